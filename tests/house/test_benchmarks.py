"""The runner of benchmarks finds what lies in its folder, says what each measures, and passes on how they end."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def runner():
    spec = importlib.util.spec_from_file_location("benchmarks_runner", FOLDER / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_every_benchmark_is_found_and_says_what_it_measures(runner):
    found = {one.name: one for one in runner.find_benchmarks()}
    assert {"feature_build", "train_command", "routing"} <= set(found)
    for name, one in found.items():
        assert len(one.says) > 20, f"{name}: its first line must say what it measures"
    assert found["train_command"].quick == ("--size", "small", "--seeds", "1")
    assert found["routing"].command(["--seeds", "1"])[1:] == ["-m", "benchmarks.routing", "--seeds", "1"]


def test_the_index_tells_of_no_benchmark_that_is_not_there(runner):
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"python -m benchmarks\.(\w+)", index))
    assert named <= {one.name for one in runner.find_benchmarks()}
    assert {"feature_build", "train_command", "routing"} <= named


def test_listing_runs_nothing(runner, capsys):
    assert runner.main(["--list"]) == 0
    assert "python -m benchmarks.feature_build" in capsys.readouterr().out


def test_an_unknown_name_is_wrong_usage(runner, capsys):
    with pytest.raises(SystemExit) as stopped:
        runner.main(["nonsense"])
    assert stopped.value.code == 2
    assert "there are" in capsys.readouterr().err


def test_a_benchmark_that_fails_is_told(runner, monkeypatch, capsys):
    one = runner.Benchmark("x", "what it measures", ())
    monkeypatch.setattr(runner, "find_benchmarks", lambda: [one])
    monkeypatch.setattr(
        runner.Benchmark, "command", lambda self, options: [sys.executable, "-c", "raise SystemExit(3)"]
    )
    assert runner.main([]) == 1
    said = capsys.readouterr().out
    assert "exit 3" in said
    assert "Failed: x" in said
