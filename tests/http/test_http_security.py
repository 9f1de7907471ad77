"""Who may do what, from where; what every answer carries."""

from __future__ import annotations

import base64

import pytest
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from features.errors import RequestError
from serving.http.app import create_app
from serving.http.security import ACCESS, OPEN_PATHS, Doorkeeper, ProxyTrust, check_bind, is_loopback
from serving.store import ROLES, Store

LEAD = {"lead": {"lead_id": "N1"}}
OVERRIDE = {"rep_id": "R1", "by": "x", "reason": "y"}
EVENTS = {"table": "deals", "rows": [{"rep_id": "R1"}]}
AUDIT = {"groups": {"gender": {"R1": "f"}}}
# The contract's section 5, written out by hand: (method, path, body) -> roles that get an answer.
WHO = [
    ("POST", "/v1/assignments", LEAD, "router hr admin"),
    ("POST", "/v1/assignments/batch", {"leads": [{"lead_id": "N1"}]}, "router hr admin"),
    ("GET", "/v1/assignments/L1", None, "router rep manager hr admin"),
    ("GET", "/v1/assignments", None, "router rep manager hr admin"),
    ("GET", "/v1/feed", None, "router hr admin"),
    ("POST", "/v1/assignments/L1/override", OVERRIDE, "manager admin"),
    ("POST", "/v1/events", EVENTS, "router hr admin"),
    ("POST", "/v1/data/reload", None, "hr admin"),
    ("GET", "/v1/forecasts", None, "manager hr admin"),
    ("GET", "/v1/forecasts/reasons?id=R1", None, "manager hr admin"),
    ("GET", "/v1/forecasts/what-if?id=R1", None, "manager hr admin"),
    ("GET", "/v1/overdue", None, "rep manager hr admin"),
    ("GET", "/v1/warnings", None, "rep manager hr admin"),
    ("POST", "/v1/warnings/idle:R1/acknowledge", {"by": "x"}, "manager hr admin"),
    ("GET", "/v1/drivers", None, "rep manager hr admin"),
    ("GET", "/v1/models", None, "scientist hr admin"),
    ("GET", "/v1/models/challenger", None, "scientist hr admin"),
    ("GET", "/v1/experiment", None, "manager scientist hr admin"),
    ("POST", "/v1/group-audit", AUDIT, "hr admin"),
    ("GET", "/v1/models/drift", None, "scientist hr admin"),
    ("POST", "/v1/models/reload", None, "scientist hr admin"),
    ("GET", "/v1/rule-mode", None, "admin"),
    ("PUT", "/v1/rule-mode", {"on": True}, "admin"),
    ("GET", "/metrics", None, "admin"),
    ("POST", "/v1/assignments", {**LEAD, "decided_at": "2026-02-09T09:00:00"}, "admin"),
]
SUBJECTS = {"rep": "R1", "manager": "T1"}


@pytest.mark.parametrize(("method", "path", "body", "who"), WHO)
def test_each_route_answers_its_roles_and_no_other(caller, service, problem, method, path, body, who):
    for role in ROLES:
        found = caller(role, SUBJECTS.get(role, role)).request(method, path, json=body)
        if role in who.split():
            assert found.is_success, f"{role}: {found.text}"
        else:
            problem(found, 403, "forbidden")


def test_every_route_of_the_api_has_a_right_and_stands_in_the_table_above(app):
    """A route added without a guard would be open to every key."""
    document = app.openapi()
    listed = {
        (method, path.partition("?")[0].replace("L1", "{lead_id}").replace("idle:R1", "{warning_id}"))
        for method, path, *_ in WHO
    }
    ours = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if path not in OPEN_PATHS - {"/metrics"}
    }
    assert ours == listed
    assert len(ours) == 24
    assert all(roles <= set(ROLES) for roles in ACCESS.values())


def test_guards_are_declared_on_the_endpoints_themselves(app):
    from serving.http.routes import assignments, insight, integration, operation

    for module in (assignments, insight, integration, operation):
        for route in module.router.routes:
            assert isinstance(route, APIRoute)
            rights = [getattr(one.call, "right", None) for one in route.dependant.dependencies]
            assert route.path in OPEN_PATHS or len([right for right in rights if right in ACCESS]) == 1, route.path


def test_without_a_key_loopback_has_all_rights(client, connect, service, problem):
    body = {**LEAD, "decided_at": "2026-02-09T09:00:00"}
    assert client.post("/v1/assignments", json=body).is_success
    for host in ("localhost:8000", "[::1]:8000", "127.8.8.8"):
        assert connect(host=host).get("/v1/models").status_code == 200
    problem(connect(client="10.0.0.9").get("/v1/models"), 403, "forbidden")
    problem(connect(host="evil.example").get("/v1/models"), 403, "forbidden")
    problem(connect(host="127.0.0.1.evil.example").get("/v1/models"), 403, "forbidden")
    problem(connect(**{"X-Forwarded-For": "10.0.0.9"}).get("/v1/models"), 403, "forbidden")


def test_with_a_key_made_nobody_gets_in_without_one(client, caller, connect, problem, service):
    caller("admin")
    for path in ("/v1/models", "/v1/nothing", "/"):
        found = client.get(path)
        problem(found, 401, "unauthenticated")
        assert found.headers["www-authenticate"].startswith("Bearer")
    problem(client.post("/v1/assignments", content=b"{"), 401, "unauthenticated")
    for wrong in ({"X-API-Key": "guess"}, {"Authorization": "Bearer guess"}, {"Authorization": "Basic !"}):
        problem(connect(**wrong).get("/v1/models"), 401, "unauthenticated")
    assert service.calls == []
    assert client.get("/healthz").status_code == 200


def test_a_key_is_shown_in_any_of_three_ways(keyring, connect):
    key = keyring.add("admin", "ops")
    basic = base64.b64encode(f"anyone:{key}".encode()).decode()
    for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}, {"Authorization": f"Basic {basic}"}):
        assert connect(host="fairlead.example", client="10.0.0.9", **headers).get("/v1/models").status_code == 200


def test_a_browser_is_asked_for_the_key_as_a_password(caller, client):
    caller("admin")
    found = client.get("/", headers={"accept": "text/html"})
    assert (found.status_code, found.headers["www-authenticate"].split()[0]) == (401, "Basic")


def test_revoking_takes_a_second_at_most_and_keys_are_not_looked_up_each_time(keyring):
    now = [0.0]
    door = Doorkeeper(keyring, monotonic=lambda: now[0])
    key = keyring.add("admin", "ops")
    shown = Headers({"x-api-key": key})
    assert [door.principal(shown).role for _ in range(5)] == ["admin"] * 5
    assert keyring.lookups == 1
    keyring.keys.clear()
    now[0] = 1.1
    assert door.principal(shown) is None
    assert door.is_guarded()


def test_what_is_remembered_is_what_a_look_up_would_say(keyring):
    now = [0.0]
    door = Doorkeeper(keyring, monotonic=lambda: now[0])
    assert door.remembered(Headers({})) is None, "nothing is known before the first look"
    assert door.principal(Headers({})) == door.remembered(Headers({}))
    now[0] = 1.1
    assert door.remembered(Headers({})) is None, "a key may have been made meanwhile"
    shown = Headers({"x-api-key": keyring.add("rep", "R1")})
    assert door.remembered(shown) is None
    assert door.principal(shown) == door.remembered(shown)
    assert door.remembered(shown).role == "rep"
    assert door.remembered(Headers({"x-api-key": "guess"})) is None
    now[0] = 2.3
    assert door.remembered(shown) is None, "it may have been revoked meanwhile"


def test_the_first_key_closes_a_running_service(keyring):
    now = [0.0]
    door = Doorkeeper(keyring, monotonic=lambda: now[0])
    assert door.principal(Headers({})).open
    keyring.add("admin", "ops")
    now[0] = 1.1
    assert door.principal(Headers({})) is None


def test_a_real_store_keeps_the_keys(tmp_path, service):
    with Store(tmp_path / "fairlead.db") as store:
        with store.transaction() as tx:
            key = tx.add_key("scientist", "sam")
        app = create_app(service, keyring=store)
        client = TestClient(app, base_url="http://x", client=("10.0.0.9", 1), headers={"X-API-Key": key})
        assert client.get("/v1/models").status_code == 200
        assert client.get("/v1/forecasts").status_code == 403


def test_a_proxy_names_the_caller_only_with_its_secret(service, problem):
    app = create_app(service, proxy=ProxyTrust("s3cret"))
    named = {"X-Forwarded-User": "T1", "X-Forwarded-Role": "manager"}
    for headers, status in (
        ({**named, "X-Fairlead-Proxy-Secret": "s3cret"}, 200),
        ({**named, "X-Fairlead-Proxy-Secret": "guess"}, 401),
        (named, 401),
        ({"X-Forwarded-Role": "boss", "X-Forwarded-User": "x", "X-Fairlead-Proxy-Secret": "s3cret"}, 401),
        ({"X-Fairlead-Proxy-Secret": "s3cret"}, 401),
        ({}, 401),
    ):
        client = TestClient(app, base_url="http://x", client=("10.0.0.9", 1), headers=headers)
        assert client.get("/v1/forecasts").status_code == status, headers
    assert ProxyTrust("").principal(Headers({"x-fairlead-proxy-secret": ""})) is None


def test_a_manager_sees_his_team_and_nobody_else(caller, problem):
    client = caller("manager", "T1")
    listed = client.get("/v1/assignments").json()["items"]
    assert [one["lead_id"] for one in listed] == ["L1"]
    assert [one["rep_id"] for one in listed[0]["alternatives"]] == ["R1", "R2"]
    assert [one["rep_id"] for one in client.get("/v1/forecasts").json()["items"]] == ["R1", "R2"]
    assert [one["id"] for one in client.get("/v1/forecasts?level=team").json()["items"]] == ["T1"]
    assert [one["rep_id"] for one in client.get("/v1/warnings").json()["items"]] == ["R1", "R2"]
    drivers = client.get("/v1/drivers").json()
    assert (drivers["company"], drivers["teams"], len(drivers["reps"])) == (None, [{"id": "T1"}], 2)
    assert [one["rep_id"] for one in drivers["rep_details"]] == ["R1", "R2"]
    assert [one["rep_id"] for one in drivers["matrix"]] == ["R1", "R2"]
    assert drivers["effectiveness"] == [{"kind": "team", "id": "T1"}]
    assert drivers["month_change"] is None
    assert drivers["pilots"] == [{"lever": "x", "n_first": 2, "first": ["R1"], "later": ["R2"]}]
    assert drivers["measures"] == [{"name": "x"}]
    for lead_id in ("L2", "L3", "nothing"):
        problem(client.get(f"/v1/assignments/{lead_id}"), 404, "not-found")
    for path in ("forecasts?level=company", "forecasts?id=R3", "drivers?level=rep&id=R3", "drivers?level=team&id=T2"):
        problem(client.get(f"/v1/{path}"), 403, "forbidden")
    problem(client.post("/v1/warnings/idle:R3/acknowledge", json={"by": "x"}), 404, "not-found")


def test_a_manager_overrides_within_his_team_only(caller, service, problem):
    client = caller("manager", "T1")
    problem(client.post("/v1/assignments/L1/override", json={**OVERRIDE, "rep_id": "R3"}), 403, "forbidden")
    problem(client.post("/v1/assignments/L2/override", json=OVERRIDE), 404, "not-found")
    assert not [call for call in service.calls if call[0] == "override"]
    found = client.post("/v1/assignments/L1/override", json={**OVERRIDE, "rep_id": "R2", "force": True})
    assert found.json()["owner_rep_id"] == "R2"
    stranger = caller("manager", "T9")
    assert stranger.get("/v1/assignments").json()["items"] == []
    problem(stranger.post("/v1/assignments/L1/override", json=OVERRIDE), 404, "not-found")


def test_a_rep_sees_himself_only(caller, service, problem):
    client = caller("rep", "R1")
    found = client.get("/v1/assignments/L1").json()
    assert [one["rep_id"] for one in found["alternatives"]] == ["R1"]
    assert [one["rep_id"] for one in client.get("/v1/warnings").json()["items"]] == ["R1"]
    drivers = client.get("/v1/drivers").json()
    assert (drivers["company"], drivers["teams"], drivers["reps"]) == (None, [], [{"id": "R1"}])
    problem(client.get("/v1/assignments/L2"), 404, "not-found")
    problem(client.get("/v1/drivers?level=rep&id=R2"), 403, "forbidden")
    problem(client.get("/v1/drivers?level=team"), 403, "forbidden")
    client.get("/v1/assignments")
    assert service.calls[-1][1].rep_ids == {"R1"}


def test_a_rep_does_not_see_a_lead_that_was_taken_from_him(caller, service, problem):
    service.made["L1"]["owner_rep_id"] = "R2"
    problem(caller("rep", "R1").get("/v1/assignments/L1"), 404, "not-found")
    assert caller("rep", "R2").get("/v1/assignments/L1").status_code == 200


def test_metrics_are_for_admins_and_this_machine_itself(caller, client, connect, problem):
    caller("admin")
    assert client.get("/metrics").status_code == 200
    problem(connect(client="10.0.0.9").get("/metrics"), 401, "unauthenticated")
    problem(connect(Forwarded="for=10.0.0.9").get("/metrics"), 401, "unauthenticated")
    assert caller("admin").get("/metrics").status_code == 200


def test_readiness_tells_strangers_no_reasons(caller, connect, service):
    service.is_ready = False
    key = caller("admin")
    assert connect(client="10.0.0.9").get("/readyz").json() == {"ok": False}
    assert key.get("/readyz").json()["reasons"] == ["no tables"]


def test_a_page_of_another_site_changes_nothing(client, service, problem):
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        problem(client.post("/v1/data/reload", headers=headers), 403, "forbidden")
    assert service.calls == []
    for headers in ({"Origin": "http://127.0.0.1"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        assert client.post("/v1/data/reload", headers=headers).status_code == 200


def test_every_answer_carries_the_security_headers_and_an_id(client, service):
    service.fail = KeyError("x")
    for path in ("/healthz", "/v1/models", "/nothing", "/docs", "/metrics", "/v1/feed?after=x"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "script-src" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert len(headers["x-request-id"]) >= 8
    assert client.get("/healthz", headers={"X-Request-Id": "trace-12345"}).headers["x-request-id"] == "trace-12345"
    assert client.get("/healthz", headers={"X-Request-Id": 'a b\\c"d'}).headers["x-request-id"] != 'a b\\c"d'
    assert client.get("/v1/feed").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "fairlead.example", "", "::ffff:10.0.0.1"])
def test_a_public_address_needs_a_key(host):
    with pytest.raises(RequestError, match="loopback"):
        check_bind(host, has_keys=False)
    check_bind(host, has_keys=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.1.2.3", "::ffff:127.0.0.1"])
def test_loopback_needs_none(host):
    assert is_loopback(host)
    check_bind(host, has_keys=False)
