"""The HTTP service over a real desk: whatever is sent, and whatever is missing, it answers, and never with 500."""

from __future__ import annotations

import json
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from features import moments
from serving.http.app import create_app
from training.release import ReleaseError

MONDAY = "2026-03-02"
LEAD = {"lead_id": "L1", "created_at": f"{MONDAY}T09:00:00", "source": "web"}
HARD_TEXTS = ["", " ", "NaN", "1e400", "null", "007", "-1", "9" * 400, "'; drop table log; --", "../..", "L1", "R1"]
HARD_TEXTS += ["2026-02-30", "2026-03-02", "2026-03-02T09:00:00+99:00", "0001-01-01", "9999-12-31", "x" * 20_000]
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(HARD_TEXTS),
        st.text(max_size=8),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from([*LEAD, "rep_id", "x", ""]), inner, max_size=4)
    ),
    max_leaves=6,
)
TABLES = [
    "reps",
    "leads",
    "assignments",
    "activities",
    "stages",
    "deals",
    "trainings",
    "targets",
    "feedback",
    "absences",
]


@pytest.fixture
def served(desk):
    made = desk()
    client = TestClient(
        create_app(made.core, keyring=made.core.store),
        base_url="http://127.0.0.1",
        client=("127.0.0.1", 5),
        raise_server_exceptions=False,
    )
    return made, client


def post(client, path, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(path, content=content, headers={"Content-Type": "application/json", **headers})


def is_problem(response, *statuses):
    assert response.status_code in statuses, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == response.status_code
    return response.json()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff", b"[]", b"null", b'{"lead": NaN}', b'{"lead": {"lead_id": "x", "size": NaN}}',
        b'{"lead": {"lead_id": "x", "size": 1e400}}', b'{"lead": {"lead_id": "x", "size": -Infinity}}',
        b'{"lead": {"lead_id": "x", "size": ' + b"9" * 5_000 + b"}}", b"[" * 100_000, b'{"lead": ' * 2_000,
        b'{"lead": {"lead_id": "\\ud800"}}', b'{"lead": {"lead_id": "a\\u0000"}}', b'{"lead": {}, "lead": 3}',
        b'{"lead": {"lead_id": {"a": 1}, "created_at": "2026-03-02", "source": "x"}}',
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "path", ["/v1/assignments", "/v1/assignments/batch", "/v1/events", "/v1/assignments/L1/override"]
)
def test_bodies_that_are_no_request_are_problems(served, path, body):
    is_problem(post(served[1], path, body), 400, 404, 422)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_body_of_any_shape_breaks_the_service(served, data):
    _, client = served
    kind = data.draw(st.integers(0, 4))
    row = {**LEAD, **data.draw(st.dictionaries(st.sampled_from([*LEAD, "size", "x"]), values, max_size=4))}
    if kind == 0:
        response = post(client, "/v1/assignments", {"lead": row, "decided_at": data.draw(values)})
    elif kind == 1:
        response = post(client, "/v1/assignments", {"lead": row})
    elif kind == 2:
        response = post(
            client, "/v1/assignments/batch", {"leads": data.draw(st.lists(st.just(row) | values, max_size=3))}
        )
    elif kind == 3:
        rows = data.draw(st.lists(values | st.just(row), max_size=3))
        response = post(client, "/v1/events", {"table": data.draw(st.sampled_from(TABLES) | st.text()), "rows": rows})
    else:
        response = post(client, "/v1/assignments/L1/override", data.draw(values))
    assert response.status_code < 500, response.text


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    path=st.sampled_from(
        [
            "/v1/assignments",
            "/v1/feed",
            "/v1/forecasts",
            "/v1/warnings",
            "/v1/drivers",
            "/v1/models",
            "/v1/assignments/L1",
        ]
    ),
    query=st.dictionaries(
        st.sampled_from(["status", "rep_id", "since", "cursor", "limit", "after", "month", "level", "id", "lang"]),
        st.sampled_from(HARD_TEXTS) | st.text(max_size=5),
        max_size=3,
    ),
)
def test_no_query_breaks_the_service(served, path, query):
    response = served[1].get(path, params=query)
    assert response.status_code < 500 or response.status_code == 503, response.text


@pytest.mark.parametrize("table", TABLES)
def test_orphans_and_wrong_cells_of_every_table_are_refused_row_by_row(served, table):
    rows = [{"lead_id": "nobody", "rep_id": "nobody"}, {"x": 1}]
    found = is_problem(post(served[1], "/v1/events", {"table": table, "rows": rows}), 422)
    assert {fault["row"] for fault in found["errors"]} == {1, 2}


def test_without_a_release_rules_route_and_the_rest_says_what_to_run(served):
    _, client = served
    said = post(client, "/v1/assignments", {"lead": LEAD, "decided_at": f"{MONDAY}T09:00:00"})
    assert (said.status_code, said.json()["policy"], said.json()["model_version"]) == (201, "fallback", None)
    assert "fairlead train" in is_problem(client.get("/v1/forecasts"), 503)["detail"]
    assert client.get("/v1/forecasts").headers["retry-after"]
    assert client.get("/readyz").json()["reasons"]
    assert "fairlead_fallback 1.0" in client.get("/metrics").text


def test_a_locked_database_is_503_with_retry_after_and_reading_goes_on(served):
    made, client = served
    post(client, "/v1/assignments", {"lead": LEAD})
    made.core.store._wait_seconds = 0.1
    locked = sqlite3.connect(made.home / "fairlead.db", isolation_level=None)
    with made.core.store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=100")
    made.core.store._engine.dispose()
    locked.execute("BEGIN IMMEDIATE")
    try:
        from sqlalchemy import event

        event.listen(made.core.store._engine, "connect", lambda c, _: c.execute("PRAGMA busy_timeout=100"))
        response = post(client, "/v1/assignments", {"lead": {**LEAD, "lead_id": "L2"}})
        is_problem(response, 503)
        assert int(response.headers["retry-after"]) > 0
        assert client.get("/v1/assignments/L1").status_code == 200
    finally:
        locked.execute("ROLLBACK")
        locked.close()
    assert post(client, "/v1/assignments", {"lead": {**LEAD, "lead_id": "L2"}}).status_code == 201


def test_who_may_say_when_and_see_whom(served):
    """Once keys exist: decided_at is the admin's, a rep sees his own, a manager overrides within his team."""
    made, _ = served
    with made.core.store.transaction() as tx:
        keys = {role: tx.add_key(role, subject) for role, subject in
                (("router", "crm"), ("admin", "a"), ("rep", "R1"), ("manager", "nobody"), ("hr", "h"))}  # fmt: skip
    made.core.store.has_keys()
    app = TestClient(create_app(made.core, keyring=made.core.store), base_url="http://127.0.0.1",
                     client=("10.0.0.1", 5), raise_server_exceptions=False)  # fmt: skip

    def key(role):
        return {"X-API-Key": keys[role]}

    dated = {"lead": LEAD, "decided_at": f"{MONDAY}T09:00:00"}
    is_problem(post(app, "/v1/assignments", dated), 401)
    is_problem(post(app, "/v1/assignments", dated, **key("router")), 403)
    owner = post(app, "/v1/assignments", dated, **key("admin")).json()["rep_id"]
    assert app.get("/v1/assignments/L1", headers=key("rep")).status_code == (200 if owner == "R1" else 404)
    assert app.get("/v1/assignments/L1", headers=key("manager")).status_code == 404
    is_problem(post(app, "/v1/assignments/L1/override", {"rep_id": "R2", "by": "h", "reason": "r"}, **key("hr")), 403)
    assert app.get("/metrics").status_code == 401
    assert app.get("/healthz").status_code == 200


def test_an_unfit_release_is_refused_and_the_old_policy_stays(served, monkeypatch):
    made, client = served

    def broken(*_):
        raise ReleaseError("release 9 cannot be used; the old one stays")

    monkeypatch.setattr("serving.core.release_for", broken)
    assert "release 9" in is_problem(client.post("/v1/models/reload"), 409)["detail"]
    said = post(client, "/v1/assignments", {"lead": LEAD}).json()
    assert said["policy"] == "fallback"
    assert moments.parse(said["decided_at"]) == made.clock


def test_started_on_a_damaged_release_it_routes_by_rules_and_says_why(desk, monkeypatch):
    def damaged(*_):
        raise ReleaseError("release 9: conversion.json differs from its SHA-256 in the manifest")

    monkeypatch.setattr("serving.core.release_for", damaged)
    made = desk()
    assert made.assign("L1")["policy"] == "fallback"
    assert "SHA-256" in made.core.ready()["reasons"][0]
    with pytest.raises(ReleaseError, match="SHA-256"):
        made.core.forecasts(month=None, level="rep", id=None, lang="en")
