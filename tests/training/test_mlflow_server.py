"""Training against a real MLflow server on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from training import tracking

WAIT_SECONDS = 90


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory, migrated):
    """Address of a real server on loopback, its database migrated beforehand; a skip that says why there is none."""
    port = free_port()
    root = tmp_path_factory.mktemp("server")
    shutil.copy(migrated, root / "server.db")
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{root / 'server.db'}", "--artifacts-destination", str(root / "artifacts"),
    ]  # fmt: skip
    with (root / "log").open("w") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        if not is_up(f"http://127.0.0.1:{port}/health", child):
            pytest.skip(f"mlflow server did not start in {WAIT_SECONDS} s: {(root / 'log').read_text()[-400:]}")
        yield f"http://127.0.0.1:{port}"
    finally:
        # Its workers are children of their own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        child.wait(30)


def is_up(address, child):
    """Whether the server answers before the time is over or it has ended."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=2).read()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return True
    return False


def test_a_training_is_logged_and_registered_on_a_server(server, new_home):
    place = new_home()
    facts = place.train("2025-12-15", tracking_uri=server)
    tracker = tracking.open_tracker(place.mlruns, server)
    run = tracker.client.get_run(facts["mlflow_run"])
    assert run.data.params["release"] == facts["release"]
    version = tracking.alias_version(tracker, tracking.CONVERSION_MODEL, "champion")
    assert tracker.client.get_model_version(tracking.CONVERSION_MODEL, version).tags["release"] == facts["release"]
    local = tracking.open_tracker(place.mlruns)
    assert tracking.alias_version(local, tracking.CONVERSION_MODEL, "champion") is None
    names = {item.path for item in tracker.client.list_artifacts(facts["mlflow_run"])}
    assert {"report.json", "gate.json", "tables", "cards"} <= names
    assert (tracker.client.get_run(facts["mlflow_run"]).info.artifact_uri).startswith("mlflow-artifacts:")
    where = tracker.client.download_artifacts(facts["mlflow_run"], "gate_rules.json")
    assert "version" in Path(where).read_text(encoding="utf-8")
