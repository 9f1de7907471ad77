"""The real server in a process of its own: it answers, finishes what is under way, and stops when asked."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

PROGRAM = """
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("fakes", sys.argv[1])
fakes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fakes)
from serving.http.app import create_app
from serving.http.server import run

class Slow(fakes.FakeService):
    def reload_data(self):
        time.sleep(0.6)
        return {"rows": {}}
    def close(self):
        print("closed", flush=True)

run(create_app(Slow()), "127.0.0.1", int(sys.argv[2]))
"""


@pytest.fixture
def server(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = tmp_path / "serve.py"
    program.write_text(PROGRAM)
    fakes = Path(__file__).with_name("conftest.py")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(program), str(fakes), str(port)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    process.address, process.log = f"http://127.0.0.1:{port}", tmp_path / "log"
    for _ in range(300):
        try:
            urllib.request.urlopen(process.address + "/healthz", timeout=5)
            break
        except urllib.error.URLError:
            time.sleep(0.1)
    yield process
    process.kill()
    process.wait(10)


def call(server, path, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        server.address + path, data, {"Content-Type": "application/json"}, method=method or ("POST" if data else "GET")
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as found:
            return found.status, json.loads(found.read()), found.headers
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read()), error.headers


def test_it_serves_logs_and_stops_without_dropping_a_request(server):
    status, said, headers = call(server, "/v1/assignments", {"lead": {"lead_id": "客户%7"}})
    assert (status, said["lead_id"]) == (201, "客户%7")
    assert "server" not in {name.lower() for name in headers}
    assert call(server, "/v1/assignments/%E5%AE%A2%E6%88%B7%257")[0] == 200
    status, said, _ = call(server, "/v1/assignments?rep_id=%ff%fe")
    assert status == 200
    answered = []
    slow = threading.Thread(target=lambda: answered.append(call(server, "/v1/data/reload", method="POST")[0]))
    slow.start()
    time.sleep(0.2)
    server.send_signal(signal.SIGTERM)
    slow.join(20)
    assert answered == [200], "a request under way must be finished"
    assert server.wait(20) in {0, -signal.SIGTERM}
    assert server.stdout.read().strip() == "closed"
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    asked = [line for line in lines if line["event"] == "request_answered"]
    assert {"request_id", "route", "status", "milliseconds", "timestamp", "level"} <= asked[0].keys()
    assert "客户" not in server.log.read_text(), "ids stay out of the log"
