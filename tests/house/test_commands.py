"""Every command explains itself, and wrong usage is told from wrong data."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer.main
from typer.testing import CliRunner

from serving.cli import app

runner = CliRunner()
COMMANDS = ["demo", "synth", "check", "dataset", "train", "forecast", "warn", "explain", "route", "simulate", "serve"]


def test_each_command_has_help_and_stands_in_the_readme():
    from pathlib import Path

    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    command = typer.main.get_command(app)
    assert set(COMMANDS) <= set(command.commands)
    for name, one in command.commands.items():
        assert len(one.help or "") > 40 or name == "keys", name
        assert f"fairlead {name}" in readme, f"{name} is not in the README"


def test_each_option_says_what_it_does():
    command = typer.main.get_command(app)
    for name, one in command.commands.items():
        for parameter in one.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_wrong_usage_exits_2():
    assert runner.invoke(app, ["nonsense"]).exit_code == 2
    assert runner.invoke(app, ["forecast", "--level", "planet"]).exit_code == 2
    assert runner.invoke(app, ["train", "--promote", "force"]).exit_code == 2


@pytest.mark.parametrize(("given", "kept"), [(None, "1"), ("4", "4")])
def test_products_of_matrices_run_in_one_thread_unless_the_operator_wants_more(given, kept):
    """Told to the linear algebra before it is loaded, hence asked of a fresh process."""
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    script = (
        "import atexit, os, sys\n"
        "atexit.register(lambda: print(os.environ['OPENBLAS_NUM_THREADS'], 'numpy' in sys.modules))\n"
        "from serving.cli import main\nsys.argv = ['fairlead', '--help']\nmain()"
    )
    environment |= {} if given is None else {"OPENBLAS_NUM_THREADS": given}
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert said.splitlines()[-1] == f"{kept} False"
