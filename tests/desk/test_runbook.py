"""The runbook names only commands, metrics and variables that exist, and its backup can be restored."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import typer.main
import yaml
from starlette.testclient import TestClient
from typer.testing import CliRunner

from serving.cli import app
from serving.http.app import create_app
from serving.store import Store

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "compose"
RUNBOOK, CHINESE = ((FOLDER / name).read_text(encoding="utf-8") for name in ("runbook.md", "runbook-zh.md"))
MONDAY = "2026-03-02"


def marked(text):
    """What is written as code, line breaks within aside, each as often as it stands there."""
    return sorted(" ".join(one.split()) for one in re.findall(r"`([^`]+)`", text))


def test_both_languages_name_the_same_commands_metrics_routes_and_files():
    """Sections and rows of tables too: what is added to one is missing from the other until it is translated."""
    assert len(set(marked(RUNBOOK))) >= 40
    assert marked(CHINESE) == marked(RUNBOOK)
    for mark in (r"^## ", r"^\| ", r"^- "):
        found = [len(re.findall(mark, text, re.MULTILINE)) for text in (RUNBOOK, CHINESE)]
        assert found[0] == found[1] > 2, mark


def test_every_command_in_the_runbook_exists():
    commands = set(typer.main.get_command(app).commands)
    named = set(re.findall(r"fairlead ([a-z][a-z-]+)", RUNBOOK.replace("\n  ", " ")))
    assert len(named) >= 9
    assert named <= commands


def test_every_metric_in_the_runbook_is_exported_or_stands_in_the_source():
    source = "".join(
        path.read_text(encoding="utf-8") for path in (FOLDER.parents[1] / "serving" / "http").rglob("metrics.py")
    )
    for name in set(re.findall(r"`fairlead_([a-z_]+)", RUNBOOK)):
        assert f'"{name}"' in source or f'"fairlead_{name.removesuffix("_total")}"' in source, name


def test_every_route_in_the_runbook_is_served(desk):
    made = desk()
    client = TestClient(
        create_app(made.core, keyring=made.core.store), base_url="http://127.0.0.1", client=("127.0.0.1", 5)
    )
    paths = client.get("/openapi.json").json()["paths"]
    for method, path in re.findall(r"([A-Z]{3,6}) (/[a-z0-9/-]+)", RUNBOOK):
        assert method.lower() in paths[path], (method, path)


def test_the_compose_file_sets_only_variables_that_fairlead_reads():
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert set(services) == {"postgres", "mlflow", "fairlead"}
    root = FOLDER.parents[1]
    code = "".join(path.read_text(encoding="utf-8") for path in (root / "serving").rglob("*.py"))
    for name in services["fairlead"]["environment"]:
        assert f'"{name}"' in code, name
    assert services["fairlead"]["command"][:2] == ["fairlead", "serve"]


def test_a_backup_made_while_serving_is_restored_as_the_runbook_says(desk, tmp_path):
    made = desk()
    first = made.assign("L1")
    target = tmp_path / "kept" / "copy.db"
    runner = CliRunner()
    done = runner.invoke(app, ["backup", str(target), "--home", str(made.home)])
    assert done.exit_code == 0, done.output
    assert "1 log entries" in done.output
    made.assign("L2")
    assert runner.invoke(app, ["backup", str(target), "--home", str(made.home)]).exit_code == 1, "never written over"
    made.core.close()
    for name in ("fairlead.db", "fairlead.db-wal", "fairlead.db-shm"):
        (made.home / name).unlink(missing_ok=True)
    shutil.copy(target, made.home / "fairlead.db")
    made.core = made._open()
    again = made.assign("L1")
    assert (again["http"], again["bytes"]) == (200, first["bytes"])
    assert made.assign("L2")["http"] == 201
    with Store.open(made.home / "fairlead.db") as store, store.read() as view:
        assert view.verify().ok
