"""Every command explains itself, and wrong usage is told from wrong data."""

from __future__ import annotations

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
