"""Each route: what it passes on, what it answers."""

from __future__ import annotations

import json

import pytest

from features.errors import ConfigError, DataError, Fault, NoReleaseError, RequestError, SourceError
from features.messages import in_language, message
from features.moments import parse
from models.forecasting.inputs import Changes
from serving.http.protocol import DecisionFilters
from serving.store import StoreBusyError, StoreUnavailableError

LEAD = {
    "lead_id": "N1",
    "created_at": "2026-02-09T09:00:00",
    "source": "会展",
    "employees": 12.5,
    "vip": True,
    "x": None,
}


def test_a_new_lead_is_201_and_the_same_again_200_with_the_bytes_given(client, service):
    first = client.post("/v1/assignments", json={"lead": LEAD})
    again = client.post("/v1/assignments", json={"lead": LEAD})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.content == again.content
    assert b"\n" in first.content, "the service's own bytes, not ours, must go out"
    assert first.headers["content-type"] == "application/json"
    assert service.calls[0] == ("assign", LEAD, None, "en")


def test_a_lead_keeps_its_types_on_the_way(client, service):
    client.post("/v1/assignments", json={"lead": {"lead_id": "007", "n": 7, "f": 7.0, "b": False, "t": "7"}})
    lead = service.calls[0][1]
    assert [type(lead[name]) for name in ("lead_id", "n", "f", "b", "t")] == [str, int, float, bool, str]


def test_decided_at_is_read_in_the_services_zone(client, service):
    client.post("/v1/assignments", json={"lead": LEAD, "decided_at": "2026-02-09T09:00:00"})
    client.post("/v1/assignments", json={"lead": LEAD, "decided_at": "2026-02-09T09:00:00Z"})
    assert [call[2] for call in service.calls] == [
        parse("2026-02-09T09:00:00", "Asia/Shanghai"),
        parse("2026-02-09T09:00:00Z"),
    ]


@pytest.mark.parametrize(
    "when",
    ["soon", "2026-13-01T00:00", "0001-01-01T00:00", "9999-12-31T23:59", "1969-12-31", "2026-02-09T99:00", "-" * 12],
)
def test_a_decided_at_that_is_no_moment_is_refused(client, problem, when):
    problem(client.post("/v1/assignments", json={"lead": LEAD, "decided_at": when}), 422, "invalid")


def test_a_batch_has_one_to_a_thousand_leads(client, problem):
    leads = [{**LEAD, "lead_id": f"B{i}"} for i in range(1_000)]
    assert client.post("/v1/assignments/batch", json={"leads": leads}).status_code == 201
    problem(client.post("/v1/assignments/batch", json={"leads": [*leads, LEAD]}), 422, "invalid")
    problem(client.post("/v1/assignments/batch", json={"leads": []}), 422, "invalid")


@pytest.mark.parametrize("lead_id", ["L1", "a/b", "客户 7", "batch", "x?y#z", "a/override", "."])
def test_any_id_can_be_asked_for(client, service, lead_id):
    from urllib.parse import quote

    service.put(lead_id, "R1")
    found = client.get(f"/v1/assignments/{quote(lead_id, safe='').replace('.', '%2E')}")
    assert found.status_code == 200
    assert found.json()["lead_id"] == lead_id


def test_the_list_passes_its_filters_on(client, service):
    found = client.get("/v1/assignments?status=held&rep_id=R1&since=2026-02-09&cursor=12&limit=5")
    since = parse("2026-02-09", "Asia/Shanghai")
    assert service.calls == [("decisions", DecisionFilters("held", "R1", None, since, 12, 5), "en")]
    assert found.json()["next_cursor"] == "7"
    assert client.get("/v1/assignments").status_code == 200
    assert service.calls[1][1] == DecisionFilters()


@pytest.mark.parametrize(
    "query",
    [
        "status=lost",
        "since=soon",
        "cursor=x",
        "cursor=-1",
        "cursor=9223372036854775808",
        "cursor=٣",
        "limit=0",
        "limit=501",
    ],
)
def test_a_filter_that_means_nothing_is_refused(client, problem, query):
    problem(client.get(f"/v1/assignments?{query}"), 422, "invalid")


def test_the_feed_goes_on_from_a_number(client, service, problem):
    assert client.get("/v1/feed?after=41&limit=10").json() == {"items": [], "next_after": 41}
    assert service.calls == [("feed", 41, 10, "en")]
    for after in ("-1", "x", "9223372036854775808", "1e3"):
        problem(client.get(f"/v1/feed?after={after}"), 422, "invalid")


def test_an_override_is_passed_on_whole(client, service):
    body = {"rep_id": "R3", "by": "ann", "reason": "knows them"}
    found = client.post("/v1/assignments/L1/override", json=body)
    assert (found.status_code, found.json()["owner_rep_id"], found.json()["rep_id"]) == (200, "R3", "R1")
    assert service.calls[0] == ("override", "L1", "R3", "ann", "knows them", False, "en")


def test_an_override_that_cannot_be_is_told_apart(client, problem):
    body = {"rep_id": "R2", "by": "ann", "reason": "x"}
    assert "force" in problem(client.post("/v1/assignments/L1/override", json=body), 409, "conflict").detail
    assert client.post("/v1/assignments/L1/override", json={**body, "force": True}).status_code == 200
    problem(client.post("/v1/assignments/L1/override", json={**body, "force": "yes"}), 422, "invalid")
    problem(client.post("/v1/assignments/L1/override", json={**body, "rep_id": "nobody"}), 422, "invalid")
    problem(client.post("/v1/assignments/none/override", json={**body, "rep_id": "R1"}), 404, "not-found")
    problem(client.post("/v1/assignments/L1/override", json={"rep_id": "R1"}), 422, "invalid")


def test_events_are_202_or_every_bad_row(client, service, problem):
    good = {"activity_id": "A1", "rep_id": "R1"}
    found = client.post("/v1/events", json={"table": "activities", "rows": [good]})
    assert (found.status_code, found.json()) == (202, {"accepted": 1, "seq": 1})
    assert service.calls == [("add_events", "activities", [good], "local")]
    rows = [{"rep_id": f"nobody{i}"} for i in range(1_200)]
    told = problem(client.post("/v1/events", json={"table": "activities", "rows": [good, *rows]}), 422, "invalid-rows")
    assert (told.n_errors, len(told.errors)) == (1_200, 1_000)
    assert told.errors[0] == {
        "table": "activities",
        "row": 2,
        "column": "rep_id",
        "value": "nobody0",
        "rule": "not found in reps.rep_id",
    }


def test_a_what_if_passes_its_changes_on_and_refuses_nonsense(client, service, problem):
    query = "level=team&id=T1&follow_up_ratio=1.5&absence_days=3"
    assert client.get(f"/v1/forecasts/what-if?{query}").json()["items"]
    assert service.calls == [("what_if", "team", "T1", Changes((), 1.5, 1.0, 3.0), "en")]
    for bad in ("level=rep", "id=R1&follow_up_ratio=nan", "id=R1&lead_share=-1", "id=R1&absence_days=inf"):
        problem(client.get(f"/v1/forecasts/what-if?{bad}"), 422, "invalid")
    assert client.get("/v1/forecasts/reasons?id=R1").json()["items"][0]["driver"] == "open_leads"
    problem(client.get("/v1/forecasts/reasons"), 422, "invalid")


def test_forecasts_by_month_level_and_id(client, service, problem):
    assert len(client.get("/v1/forecasts?month=2026-02&level=team&id=T1").json()["items"]) == 2
    assert service.calls == [("forecasts", "2026-02", "team", "T1", "en")]
    client.get("/v1/forecasts")
    assert service.calls[1] == ("forecasts", None, "rep", None, "en")
    for query in (
        "month=2026-13",
        "month=soon",
        "month=9999-01",
        "month=0001-01",
        "level=desk",
        "id=",
        "month=２０２６-01",
    ):
        problem(client.get(f"/v1/forecasts?{query}"), 422, "invalid")


def test_warnings_are_listed_and_acknowledged(client, service, problem):
    assert len(client.get("/v1/warnings").json()["items"]) == 3
    found = client.post("/v1/warnings/idle:R1/acknowledge", json={"by": "ann", "note": "on it"})
    assert (found.status_code, found.json()["status"]) == (200, "acknowledged")
    assert service.calls[-1] == ("acknowledge", "idle:R1", "ann", "on it", "en")
    problem(client.post("/v1/warnings/none/acknowledge", json={"by": "ann"}), 404, "not-found")


def test_drivers_models_and_reloads_answer(client, service):
    assert client.get("/v1/drivers?level=rep&id=R1").json()["company"] == {"id": "company"}
    assert service.calls[-1] == ("drivers", "rep", "R1", "en", "peers")
    assert client.get("/v1/drivers?against=top").status_code == 200
    assert service.calls.pop()[-1] == "top"
    assert client.get("/v1/drivers?against=me").status_code == 422
    assert client.get("/v1/models").status_code == 200
    assert client.post("/v1/models/reload").status_code == 200
    assert client.post("/v1/data/reload").status_code == 200
    assert client.put("/v1/rule-mode", json={"on": True}).json() == {"all": True, "teams": []}
    assert client.get("/v1/rule-mode").status_code == 200
    assert [call[0] for call in service.calls] == [
        "drivers",
        "models",
        "reload_models",
        "reload_data",
        "set_rule_mode",
        "rule_mode",
    ]


def test_health_and_readiness_tell_the_truth(client, service):
    assert client.get("/healthz").json() == {"ok": True}
    assert client.get("/readyz").status_code == 200
    service.is_ready = False
    found = client.get("/readyz")
    assert (found.status_code, found.json()) == (503, {"ok": False, "reasons": ["no tables"]})
    assert found.headers["retry-after"]
    assert client.get("/healthz").status_code == 200


def test_metrics_have_the_stores_totals_and_no_ids(client):
    client.get("/v1/assignments/L1")
    client.get("/nothing/of/the/kind")
    said = client.get("/metrics").text
    for line in (
        'fairlead_decisions_total{policy="priced"} 3.0',
        "fairlead_held_leads 2.0",
        "fairlead_overrides_total 1.0",
        "fairlead_event_rows_total 9.0",
        "fairlead_model_age_seconds 60.0",
        "fairlead_fallback 0.0",
        "fairlead_up 1.0",
        'route="/v1/assignments/{lead_id}",status="200"} 1.0',
        'route="unmatched",status="404"} 1.0',
    ):
        assert line in said, line
    assert "feature_age" not in said
    assert "L1" not in said


def test_metrics_outlive_the_store(client, service):
    service.fail = NoReleaseError("gone")
    found = client.get("/metrics")
    assert (found.status_code, "fairlead_up 0.0" in found.text) == (200, True)


@pytest.mark.parametrize(
    ("error", "status", "slug", "retry"),
    [
        (RequestError("month lies in the past"), 400, "bad-request", None),
        (ConfigError("no such key"), 400, "bad-request", None),
        (NoReleaseError("run fairlead train"), 503, "unavailable", "60"),
        (StoreBusyError("busy"), 503, "unavailable", "1"),
        (StoreUnavailableError("full"), 503, "unavailable", "10"),
        (SourceError("unreadable"), 503, "unavailable", "10"),
    ],
)
def test_domain_errors_have_their_status(client, service, problem, error, status, slug, retry):
    service.fail = error
    found = client.get("/v1/models")
    assert problem(found, status, slug).detail == str(error)
    assert found.headers.get("retry-after") == retry


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_errors_are_told_in_the_readers_language(client, service, problem, lang):
    rule = message("cell.below", minimum=0)
    service.fail = DataError([Fault("deals", 3, "amount", "-1", rule)])
    told = problem(client.get(f"/v1/models?lang={lang}"), 422, "invalid-rows")
    assert told.errors[0]["rule"] == in_language(rule, lang)
    line = {"en": "1 fault(s) in the rows; first: deals.amount row 3: found '-1'; below 0",
            "zh": "数据行中有 1 处错误；第一处：deals.amount 第 3 行：内容为 '-1'；小于 0"}  # fmt: skip
    assert told.detail == line[lang]
    service.fail = NoReleaseError(message("release.none", moment="2026-03-02T00:00:00", short="2026-03-02"))
    told = problem(client.get(f"/v1/models?lang={lang}"), 503, "unavailable")
    assert ("尚未启用" in told.detail) == (lang == "zh")
    assert "fairlead train --as-of 2026-03-02" in told.detail


def test_a_crash_is_500_without_internals(client, service, problem):
    service.fail = KeyError("/secret/path")
    told = problem(client.get("/v1/models"), 500, "internal")
    assert "secret" not in json.dumps(vars(told))


def test_a_nan_of_our_own_is_a_500_and_never_sent(client, service, problem):
    service.models = lambda: {"auc": float("nan")}
    problem(client.get("/v1/models"), 500, "internal")


def test_the_service_is_closed_when_the_app_ends(app, service, connect):
    with connect():
        assert not service.closed
    assert service.closed
