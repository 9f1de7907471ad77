"""Every route that the interface names, with parameters and bodies of any shape: an answer, never a 500."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from serving.http.app import create_app

HARD = [
    "",
    " ",
    "L1",
    "R1",
    "NaN",
    "1e400",
    "-1",
    "9" * 400,
    "2026-02-30",
    "2026-03",
    "../..",
    "'; drop table log; --",
    "\x00",
    "全部",
]
texts = st.sampled_from(HARD) | st.text(max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
LEAD = {"lead_id": "L1", "created_at": "2026-03-02T09:00:00", "source": "web"}
SOUND = {
    "lead": LEAD,
    "leads": [LEAD],
    "rep_id": "R1",
    "by": "m",
    "reason": "x",
    "table": "leads",
    "rows": [LEAD],
    "on": True,
}
RAW = [b"", b"NaN", b'{"a": NaN}', b"[1e400]", b"{", b"\xff", b'{"a": 1, "a": 2}', b"[" * 3_000]


@pytest.fixture
def served(desk):
    made = desk()
    app = create_app(made.core, keyring=made.core.store)
    client = TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 5), raise_server_exceptions=False)
    described = client.get("/openapi.json").json()
    paths = described["paths"]
    methods = ("get", "post", "put", "delete", "patch")
    routes = [
        (path, method, paths[path][method]) for path in sorted(paths) for method in methods if method in paths[path]
    ]
    return client, routes, described["components"]["schemas"]


def fields_of(told, schemas):
    """Names of the fields of a route's body."""
    content = told.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    return sorted(schemas.get(name, {}).get("properties", {}))


def sent(client, data, path, method, told, fields):
    """The answer to one call with drawn parameters and body."""
    query = {}
    for one in told.get("parameters", []):
        value = data.draw(texts)
        if one["in"] == "path":
            path = path.replace("{" + one["name"] + "}", quote(value or "L1", safe=""))
        elif one["in"] == "query" and data.draw(st.booleans()):
            query[one["name"]] = value
    body = None
    if "requestBody" in told:
        kind = data.draw(st.integers(0, 2))
        sound = {name: SOUND[name] for name in fields if name in SOUND}
        shaped = {**sound, **data.draw(st.dictionaries(st.sampled_from([*fields, "x"]), values, max_size=1))}
        body = (
            data.draw(st.sampled_from(RAW))
            if kind == 0
            else json.dumps(shaped if kind == 1 else data.draw(values), allow_nan=True).encode(errors="surrogatepass")
        )
    headers = {"content-type": "application/json", "accept": "application/json"}
    return client.request(method.upper(), path, params=query, content=body, headers=headers)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_call_of_any_route_is_a_500(served, data):
    client, routes, schemas = served
    assert len(routes) >= 15
    for path, method, told in routes:
        answer = sent(client, data, path, method, told, fields_of(told, schemas))
        # 503: no release here, so forecasts, warnings and drivers have nothing to answer with.
        assert answer.status_code < 500 or answer.status_code == 503, (method, path, answer.text)
        if answer.status_code >= 400:
            assert answer.headers["content-type"].startswith("application/problem+json"), (method, path, answer.text)
