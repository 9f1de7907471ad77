"""A rollback by command while a real service decides lead after lead: all calls are answered, the service follows."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from training.release import Promotion, champion, export_release, promote, read_release

COMMAND = [sys.executable, "-W", "ignore", "-c", "from serving.cli import main; main()"]
LONGEST_SECONDS = 60  # a second or two to notice, and a child process that tries the release first


class Caller(threading.Thread):
    """Sends leads one after another until told to stop; keeps (when answered, status, model version) of each."""

    def __init__(self, address, name):
        super().__init__(name=name, daemon=True)
        self.address, self.stop, self.answers, self.faults = address, threading.Event(), [], []

    def run(self):
        n = 0
        while not self.stop.is_set():
            n += 1
            lead = {"lead_id": f"{self.name}-{n}", "created_at": "2026-11-02T09:00:00", "source": "referral"}
            body = json.dumps({"lead": lead}).encode()
            request = urllib.request.Request(
                f"{self.address}/v1/assignments", body, {"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=60) as found:
                    self.answers.append((time.monotonic(), found.status, json.load(found)["model_version"]))
            except (OSError, ValueError) as error:  # a dropped connection, an error status, half an answer
                self.faults.append(error)
            time.sleep(0.02)

    def versions(self):
        return [version for _, _, version in self.answers]


@pytest.fixture
def place(copy_of):
    """A home whose champion has a release before it to go back to."""
    made = copy_of()
    good = read_release(made.releases, champion(made.releases))
    documents = {**good.documents, "report": {**good.document("report"), "seed": 99}}
    newer = export_release(made.releases, good.data_until, good.spec_fingerprint, documents, good.texts)
    promote(made.releases, Promotion(newer, good.data_until, "promote", "test", 0))
    return made, good.version, newer


@pytest.fixture
def address(place, tables_folder, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", "--port", str(port), "--data", str(tables_folder), "--home", str(place[0].root)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*COMMAND, *words], stdout=log, stderr=log)
    found = f"http://127.0.0.1:{port}"
    for _ in range(900):
        try:
            urllib.request.urlopen(found + "/healthz", timeout=5)
            break
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
    yield found
    process.kill()
    process.wait(10)


def test_a_rollback_under_load_drops_no_request_and_the_service_follows(place, address):
    home, older, newer = place
    callers = [Caller(address, f"caller{i}") for i in range(3)]
    for caller in callers:
        caller.start()
    assert waited(lambda: all(len(caller.answers) >= 5 for caller in callers))
    words = ["rollback", "--reason", "worse than before", "--home", str(home.root)]
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=300, check=False)
    moved_at = time.monotonic()
    assert done.returncode == 0, done.stderr
    assert older in done.stdout
    followed = waited(lambda: all(caller.versions()[-1] == older for caller in callers))
    for caller in callers:
        caller.stop.set()
    for caller in callers:
        caller.join(60)
    assert followed, f"still {newer} after {LONGEST_SECONDS} seconds"
    for caller in callers:
        assert caller.faults == []
        assert {status for _, status, _ in caller.answers} == {201}
        said = caller.versions()
        turn = said.index(older)
        assert said == [newer] * turn + [older] * (len(said) - turn), "it goes from one to the other once"
        assert 5 <= turn < len(said)
        assert caller.answers[turn][0] - moved_at < LONGEST_SECONDS


def waited(condition):
    end = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return condition()
