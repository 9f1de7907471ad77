"""The client of one file against a live service: every call, and what it does when answers fail to come."""

from __future__ import annotations

import importlib.util
import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import uvicorn

from serving.http.app import create_app

FILE = Path(__file__).resolve().parents[2] / "examples" / "client" / "fairlead_client.py"
LEAD = {"lead_id": "L/1 线索", "created_at": "2026-03-02T08:30:00", "source": "web"}
CALL = {"activity_id": "A1", "lead_id": "L/1 线索", "rep_id": "R1", "occurred_at": "2026-03-02T09:00:00"}


@pytest.fixture(scope="module")
def module():
    spec = importlib.util.spec_from_file_location("fairlead_client", FILE)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def live(desk):
    """A desk, and the address of a real server over it."""
    one = desk()
    one.core.forecasts = lambda **asked: {"items": [{"rep_id": "R1", "mean": 1.0, "asked": asked}]}  # no release here
    one.core.warnings = lambda **_: {"items": [{"id": "w1", "rep_id": "R1"}]}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = create_app(one.core, keyring=one.core.store)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(200):
        if server.started:
            break
        time.sleep(0.05)
    yield one, f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join(10)


def test_a_lead_is_decided_told_of_overridden_and_fed(live, module):
    _, url = live
    client = module.Fairlead(url)
    made = client.assign(LEAD)
    assert (made["lead_id"], made["status"]) == (LEAD["lead_id"], "assigned")
    assert client.assign(LEAD) == made
    other = "R2" if made["rep_id"] == "R1" else "R1"
    assert client.override(LEAD["lead_id"], other, by="M1", reason="knows them")["owner_rep_id"] == other
    assert client.decision(LEAD["lead_id"])["owner_rep_id"] == other
    items = client.assign_batch([{**LEAD, "lead_id": "L2"}, LEAD])
    assert [(item["lead_id"], item["status_code"]) for item in items] == [("L2", 201), (LEAD["lead_id"], 200)]
    assert [entry["kind"] for entry in client.feed()] == ["decision", "override", "decision"]
    assert client.forecast(month="2026-03")[0]["asked"]["month"] == "2026-03"
    assert client.warnings() == [{"id": "w1", "rep_id": "R1"}]


def test_rows_are_taken_once_by_their_key(live, module):
    _, url = live
    client = module.Fairlead(url)
    client.assign(LEAD)
    first = client.events("activities", [CALL], idempotency_key="k1")
    assert first["accepted"] == 1
    assert client.events("activities", [CALL], idempotency_key="k1") == first
    assert client.events("activities", [CALL])["seq"] == first["seq"] + 1


def test_faults_are_told_by_row_and_column_and_not_tried_again(live, module):
    _, url = live
    waits = []
    client = module.Fairlead(url, sleep=waits.append)
    with pytest.raises(module.InvalidRows) as told:
        client.events("activities", [{**CALL, "rep_id": "nobody"}])
    assert told.value.status == 422
    assert {fault["column"] for fault in told.value.errors} == {"rep_id", "lead_id"}
    with pytest.raises(module.FairleadError) as told:
        client.decision("unknown")
    assert (told.value.status, waits) == (404, [])
    with pytest.raises(ValueError, match="not JSON compliant"):
        client.assign({**LEAD, "size": float("nan")})


def test_a_key_is_sent_and_a_wrong_one_told(live, module):
    one, url = live
    with one.core.store.transaction() as tx:
        key = tx.add_key("router", "crm")
    time.sleep(1.1)  # the service remembers for a second that there was no key
    assert module.Fairlead(url, key).assign(LEAD)["status"] == "assigned"
    with pytest.raises(module.FairleadError, match="401"):
        module.Fairlead(url, "fl_wrong").assign(LEAD)


@pytest.fixture
def flaky():
    """A server that answers by a script: (status, headers, body), or None to hang up."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.server.keys.append(self.headers["Idempotency-Key"])
            step = self.server.script.pop(0)
            if step is None:
                self.connection.close()
                return
            status, headers, body = step
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    made = HTTPServer(("127.0.0.1", 0), Handler)
    made.script, made.keys, made.url = [], [], f"http://127.0.0.1:{made.server_port}"
    threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def test_what_fails_for_now_is_tried_again_under_one_key_after_the_wait_asked_for(flaky, module):
    taken = json.dumps({"accepted": 1, "seq": 3}).encode()
    flaky.script = [(503, {"Retry-After": "7"}, b"{}"), None, (429, {"Retry-After": "900"}, b""), (202, {}, taken)]
    waits = []
    assert module.Fairlead(flaky.url, sleep=waits.append).events("activities", [CALL])["seq"] == 3
    assert (waits[0], waits[2]) == (7.0, 30.0)
    assert 0.5 <= waits[1] <= 1.0
    assert len(flaky.keys) == 4
    assert len(set(flaky.keys)) == 1


def test_after_the_last_attempt_the_error_says_what_is_known(flaky, module):
    flaky.script = [None, None]
    with pytest.raises(module.NotAnswered, match="no answer after 2 attempt"):
        module.Fairlead(flaky.url, attempts=2, sleep=lambda _: None).events("activities", [CALL])
    flaky.script = [(503, {}, b'{"detail": "the store is busy"}')] * 2
    with pytest.raises(module.FairleadError, match="503: the store is busy"):
        module.Fairlead(flaky.url, attempts=2, sleep=lambda _: None).events("activities", [CALL])


def test_a_redirect_is_not_followed_and_another_page_is_no_answer(flaky, module):
    flaky.script = [(302, {"Location": flaky.url + "/elsewhere"}, b""), (200, {}, b"<html>")]
    client = module.Fairlead(flaky.url)
    with pytest.raises(module.FairleadError, match="302"):
        client.events("activities", [CALL])
    with pytest.raises(module.FairleadError, match="no JSON object"):
        client.events("activities", [CALL])
    assert len(flaky.keys) == 2


def test_the_client_needs_nothing_but_the_standard_library(module):
    import ast

    tree = ast.parse(FILE.read_text(encoding="utf-8"))
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names | {"__future__"}
