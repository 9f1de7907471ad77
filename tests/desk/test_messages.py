"""What the desk decides is told to endpoints: from the transaction of the decision, and never from a dry run."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from typer.testing import CliRunner

from features.errors import ConfigError
from serving.cli import app

MONDAY = "2026-03-02"


@pytest.fixture
def receiver():
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.got.append(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    made = HTTPServer(("127.0.0.1", 0), Handler)
    made.got = []
    threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def settings(port, secret='secret = "a shared secret of the test"'):
    return f'[webhooks.crm]\nurl = "http://127.0.0.1:{port}/"\n{secret}\n'


def messages(one):
    with one.core.store.read() as view:
        return [(message.kind, message.seq) for message in view.messages()]


def test_a_running_service_tells_what_was_decided_and_overridden(desk, receiver):
    one = desk(toml=settings(receiver.server_port))
    one.core.start_clock()
    owner = one.assign("L1")["rep_id"]
    one.override("L1", "R2" if owner == "R1" else "R1", force=True)
    for _ in range(200):
        if len(receiver.got) == 2 and not messages(one):
            break
        time.sleep(0.05)
    assert [text.split('"')[3] for text in receiver.got] == ["decision", "override"]
    assert one.core.metrics_snapshot().deliveries == {("crm", "delivered"): 2}
    assert one.core.metrics_snapshot().messages == {}


def test_messages_wait_over_a_restart_and_a_dry_run_writes_none(desk):
    one = desk(toml=settings(9))
    one.assign("L1")
    assert messages(one) == [("decision", 1)]
    assert messages(one.reopen()) == [("decision", 1)]
    dry = one._open(dry_run=True)
    dry.assign({"lead_id": "L2", "created_at": f"{MONDAY}T09:00:00", "source": "web"}, decided_at=None, lang="en")
    with dry.store.read() as view:
        assert [message.seq for message in view.messages()] == [1]
    dry.close()
    assert messages(one) == [("decision", 1)]


def test_a_service_whose_endpoint_has_no_secret_does_not_start(desk):
    one = desk(toml=settings(9, secret=""))
    with pytest.raises(ConfigError, match="FAIRLEAD_WEBHOOK_SECRET_CRM"):
        one.core.start_clock()


def test_dead_messages_are_listed_and_sent_again_by_command(desk):
    one = desk(toml=settings(9))
    one.assign("L1")
    with one.core.store.transaction() as tx:
        (message,) = tx.messages()
        tx.bury(message.message_id, why="answered 500")
    one.core.close()
    runner, where = CliRunner(), ["--home", str(one.home)]
    listed = runner.invoke(app, ["webhooks", "list", *where]).stdout
    assert f"{message.message_id}  crm  decision  dead  0  answered 500" in listed
    assert "crm：1 条发送失败" in runner.invoke(app, ["webhooks", "list", "--lang", "zh", *where]).stdout
    assert json.loads(runner.invoke(app, ["webhooks", "list", "--json", *where]).stdout)[0]["state"] == "dead"
    assert runner.invoke(app, ["webhooks", "retry", *where]).stdout == "1 message(s) will be tried again.\n"
    one.reopen()
    with one.core.store.read() as view:
        assert view.message_counts() == {("crm", "waiting"): 1}


def test_warnings_that_open_are_told_with_their_words(core):
    one = core('[webhooks.crm]\nurl = "http://127.0.0.1:9/"\nevents = ["warning"]\n')
    one.state().__dict__["alerts"] = [item(f"idle_lead:R1:L{i}") for i in range(2)]  # a cached property's place
    one.warning_items()
    one.warning_items()
    with one.store.read() as view:
        bodies = [message.body for message in view.messages()]
    assert [body["id"] for body in bodies] == ["idle_lead:R1:L0", "idle_lead:R1:L1"]
    assert {body["status"] for body in bodies} == {"open"}
    assert bodies[0]["title"]
    assert bodies[0]["rep_id"] == "R1"


def item(name):
    from models.warning_rules import WarningItem

    return WarningItem(
        id=name, rep_id="R1", lead_id="L1", team_id="T1", kind="idle_lead", severity="high", month="2026-03",
        p_miss=None, expected=None, target=None, reasons=(), suggestions=(), urgency=1.0,
        opened_at="2026-03-02T09:00:00+00:00",
    )  # fmt: skip
