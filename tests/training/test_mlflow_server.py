"""Training against a real MLflow server on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from training import tracking


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def server(tmp_path):
    port = free_port()
    root = tmp_path / "server"
    root.mkdir()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{root / 'server.db'}", "--artifacts-destination", str(root / "artifacts"),
    ]  # fmt: skip
    with (root / "log").open("w") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).read()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        else:
            pytest.skip(f"mlflow server did not start: {(root / 'log').read_text()[-400:]}")
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(30)


@pytest.mark.long
def test_a_training_is_logged_and_registered_on_a_server(server, new_home):
    place = new_home()
    facts = place.train("2026-03-01", tracking_uri=server)
    tracker = tracking.open_tracker(place.mlruns, server)
    run = tracker.client.get_run(facts["mlflow_run"])
    assert run.data.params["release"] == facts["release"]
    version = tracking.alias_version(tracker, tracking.CONVERSION_MODEL, "champion")
    assert tracker.client.get_model_version(tracking.CONVERSION_MODEL, version).tags["release"] == facts["release"]
    local = tracking.open_tracker(place.mlruns)
    assert tracking.alias_version(local, tracking.CONVERSION_MODEL, "champion") is None
