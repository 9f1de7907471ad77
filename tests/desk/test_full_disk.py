"""A full disk: callers get 503 and when to try again, what was acknowledged stays, and service goes on once there is
room. The quota is SQLite's own (`PRAGMA max_page_count`), which fails a write exactly as a full disk does."""

from __future__ import annotations

import sqlite3

from sqlalchemy import event
from starlette.testclient import TestClient

from serving.http.app import create_app

MONDAY = "2026-03-02"
REPS = [{"rep_id": f"R{i}", "weekly_capacity": 500} for i in range(4)]


def post(client, path, body):
    return client.post(path, json=body, headers={"accept": "application/json"})


def lead(at):
    return {"lead_id": f"L{at}", "created_at": f"{MONDAY}T09:00:00", "source": "web"}


def test_a_full_disk_is_503_nothing_acknowledged_is_lost_and_room_brings_it_back(desk):
    made = desk(REPS)
    client = TestClient(
        create_app(made.core, keyring=made.core.store), base_url="http://127.0.0.1", client=("127.0.0.1", 5),
        raise_server_exceptions=False,
    )  # fmt: skip
    assert post(client, "/v1/assignments", {"lead": lead(0)}).status_code == 201
    store = made.core.store
    quota = {}

    @event.listens_for(store._engine, "connect")
    def limit(connection, _):
        if "pages" in quota:
            connection.execute(f"PRAGMA max_page_count={quota['pages']}")

    with sqlite3.connect(made.home / "fairlead.db") as reader:
        quota["pages"] = reader.execute("PRAGMA page_count").fetchone()[0] + 8
    reader.close()
    store._let_go()  # the connection kept for writing
    store._engine.dispose()
    acknowledged, refused = {}, None
    for at in range(1, 200):
        answer = post(client, "/v1/assignments", {"lead": lead(at)})
        if answer.status_code != 201:
            refused = at, answer
            break
        acknowledged[at] = answer.content
    assert refused is not None, "the quota was never reached"
    at, answer = refused
    assert len(acknowledged) >= 1
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    rows = [
        {"activity_id": "A" * 3_000 + str(i), "lead_id": "H0", "rep_id": "R0", "occurred_at": f"{MONDAY}T10:00:00"}
        for i in range(9)
    ]
    assert post(client, "/v1/events", {"table": "activities", "rows": rows}).status_code == 503
    chinese = client.post("/v1/events?lang=zh", json={"table": "activities", "rows": rows})
    assert (answer.json()["detail"], chinese.json()["detail"]) == (
        "the store cannot be used: database or disk is full",
        "数据库无法使用：磁盘已满",
    )
    assert client.get("/v1/assignments/L1").status_code == 200, "reading goes on"
    assert client.get("/healthz").status_code == 200
    with store.read() as view:
        assert view.verify().ok
        assert view.decision(f"L{at}") is None
        assert view.last_event() == 0
        assert {int(one.lead_id[1:]) for one in view.decisions(limit=500).items} == {0, *acknowledged}
    del quota["pages"]
    store._engine.dispose()
    for known, first in acknowledged.items():
        again = post(client, "/v1/assignments", {"lead": lead(known)})
        assert (again.status_code, again.content) == (200, first)
    assert post(client, "/v1/assignments", {"lead": lead(at)}).status_code == 201
    assert post(client, "/v1/events", {"table": "activities", "rows": rows}).status_code == 202
    with store.read() as view:
        assert view.verify().ok
        assert sum(view.used_places("2026-W10").values()) == len(acknowledged) + 2
