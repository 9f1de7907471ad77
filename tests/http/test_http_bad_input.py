"""Whatever is sent: a problem document with a 4xx, nothing of it echoed, and no crash."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.http.app import create_app
from serving.http.problems import Problem
from serving.http.strict_json import MAX_DEPTH, parse_json

JSON = {"content-type": "application/json"}
HAN = re.compile("[\u4e00-\u9fff]")
ENGLISH = re.compile("[a-z]{2,} [a-z]{2,}", re.IGNORECASE)  # two words in a row; names of fields stand alone


def lead(value):
    return b'{"lead": {"lead_id": "N1", "source": "event", "employees": ' + value + b"}}"


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("NaN", lead(b"NaN"), 422),
        ("Infinity", lead(b"Infinity"), 422),
        ("-Infinity", lead(b"-Infinity"), 422),
        ("1e400", lead(b"1e400"), 422),
        ("-1e400", lead(b"-1e400"), 422),
        ("an integer beyond a double", lead(b"1" + b"0" * 400), 422),
        ("an integer beyond Python's limit", lead(b"9" * 5_000), 422),
        ("half a surrogate pair", lead(b'"\\ud800"'), 422),
        ("NUL", lead(b'"a\\u0000b"'), 422),
        ("half a pair in a name", b'{"lead": {"lead_id": "N1", "\\udfff": 1}}', 422),
        ("a list for a cell", lead(b"[1]"), 422),
        ("an object for a cell", lead(b"{}"), 422),
        ("no id", b'{"lead": {}}', 422),
        ("an id left out", b'{"lead": {"source": "event"}}', 422),
        ("no lead", b"{}", 422),
        ("an unknown field", b'{"lead": {"lead_id": "N1"}, "decide_at": "2026-02-09T09:00"}', 422),
        ("a number for decided_at", b'{"lead": {"lead_id": "N1"}, "decided_at": 20260209}', 422),
        ("a list", b"[]", 422),
        ("a text", b'"lead"', 422),
        ("null", b"null", 422),
        ("nothing", b"", 422),
        ("cut short", b"{", 400),
        ("no JSON", b"lead_id=N1", 400),
        ("not UTF-8", b'{"lead": {"lead_id": "\xff"}}', 400),
        ("a control character", b'{"lead": {"lead_id": "a\x00"}}', 400),
        ("a bit deep", lead(b"[" * 40 + b"]" * 40), 422),
        ("far too deep", b"[" * 100_000, 422),
        ("deep and closed", b"[" * 100_000 + b"]" * 100_000, 422),
        ("too many columns", json.dumps({"lead": {f"c{i}": 1 for i in range(1_001)}}).encode(), 422),
    ],
)
def test_a_bad_body_is_a_problem(client, name, body, status):
    found = client.post("/v1/assignments", content=body, headers=JSON)
    assert found.status_code == status, f"{name}: {found.text}"
    assert found.headers["content-type"] == "application/problem+json"
    assert found.json()["detail"]
    asked = {**JSON, "accept-language": "zh-CN"}
    chinese = client.post("/v1/assignments", content=body, headers=asked).json()
    for text in (chinese["title"], chinese["detail"], *(one["rule"] for one in chinese.get("errors", ()))):
        assert HAN.search(text), f"{name}: {text}"
        assert not ENGLISH.search(text), f"{name}: {text}"


def test_what_was_sent_is_not_echoed(client, problem):
    told = problem(
        client.post("/v1/assignments", json={"lead": {"lead_id": "N1"}, "decided_at": {"secret": "4711"}}),
        422,
        "invalid",
    )
    assert "4711" not in json.dumps(vars(told))
    assert told.errors[0]["field"] == "decided_at"


def test_a_body_must_be_json_by_its_type(client, problem, service):
    body = json.dumps({"lead": {"lead_id": "N1"}})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        problem(client.post("/v1/assignments", content=body, headers={"content-type": kind}), 415, "not-json")
    assert service.calls == []
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/vnd.crm+json"):
        sent = client.post("/v1/assignments", content=body, headers={"content-type": kind})
        assert sent.status_code in {200, 201}


def test_a_bom_before_the_body_is_taken(client):
    assert client.post("/v1/assignments", content=b'\xef\xbb\xbf{"lead": {"lead_id": "N1"}}', headers=JSON).is_success


@pytest.fixture
def small(service, client):
    """A client of an app that takes 1,000 bytes."""
    client.app = create_app(service, max_body_bytes=1_000)
    return type(client)(client.app, base_url="http://127.0.0.1", client=("127.0.0.1", 5), raise_server_exceptions=False)


def test_a_body_over_the_limit_is_413_whether_its_length_was_told_or_not(small, service, problem):
    body = json.dumps({"lead": {"lead_id": "N1", "note": "x" * 2_000}}).encode()
    problem(small.post("/v1/assignments", content=body, headers=JSON), 413, "body-too-large")
    parts = (body[i : i + 100] for i in range(0, len(body), 100))
    problem(small.post("/v1/assignments", content=parts, headers=JSON), 413, "body-too-large")
    assert service.calls == []
    assert small.post("/v1/assignments", json={"lead": {"lead_id": "N1"}}).is_success


def test_unknown_addresses_and_methods_are_problems_too(client, problem):
    for path in ("/v1/nothing", "/v2/assignments", "/.env", "/v1/assignments/", "/redoc"):
        problem(client.get(path), 404, "not-found")
    assert "POST" in client.put("/v1/assignments", json={}).headers["allow"]
    problem(client.put("/v1/assignments", json={}), 405, "method-not-allowed")
    problem(client.delete("/v1/feed"), 405, "method-not-allowed")


def test_nul_in_an_address_is_refused_before_a_database_meets_it(client, service, problem):
    problem(client.get("/v1/assignments/a%00b"), 400, "bad-request")
    problem(client.get("/v1/assignments?rep_id=a%00b"), 400, "bad-request")
    assert service.calls == []


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e400", "-1E999", "1" + "0" * 400, "9" * 5_000, '"\\ud800"'])
def test_the_parser_itself_refuses_what_no_table_can_hold(text):
    """Models refuse most of it too; a route without a model would not."""
    for wrapped in (text, f"[[{text}]]", f'{{"a": {{"b": {text}}}}}'):
        with pytest.raises(Problem) as refused:
            parse_json(wrapped.encode())
        assert refused.value.status_code == 422


def test_depth_is_counted_to_the_level():
    def nested(depth):
        return b"[" * depth + b"]" * depth

    parse_json(nested(MAX_DEPTH))
    with pytest.raises(Problem, match="nested"):
        parse_json(nested(MAX_DEPTH + 2))


_cell = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_json = st.recursive(_cell, lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4))
_ROUTES = [
    "/v1/assignments",
    "/v1/assignments/batch",
    "/v1/assignments/L1/override",
    "/v1/events",
    "/v1/warnings/idle:R1/acknowledge",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(_ROUTES),
    body=_json.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {},
        optional={
            "lead": _json,
            "leads": _json,
            "table": _json,
            "rows": _json,
            "rep_id": _json,
            "by": _json,
            "reason": _json,
            "note": _json,
            "force": _json,
            "decided_at": _json,
        },
    ).map(lambda value: json.dumps(value).encode())
    | st.binary(),
)
def test_no_body_crashes_any_route(client, path, body):
    found = client.post(path, content=body, headers=JSON)
    assert found.status_code < 500
    if found.status_code >= 400:
        assert found.headers["content-type"] == "application/problem+json"
    found.content.decode("utf-8")


@settings(max_examples=80, deadline=None)
@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**60), 2**60)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00")),
        lambda below: (
            st.lists(below, max_size=3)
            | st.dictionaries(st.text(st.characters(codec="ascii", min_codepoint=32)), below, max_size=3)
        ),
        max_leaves=10,
    ),
    ascii_only=st.booleans(),
)
def test_all_json_that_a_table_can_hold_is_taken_as_it_is(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert json.dumps(parse_json(text.encode())) == json.dumps(value)
