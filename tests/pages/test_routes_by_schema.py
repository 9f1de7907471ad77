"""Every operation of the interface as its own schema describes it, kept to and broken, over a trained desk."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

schemathesis = pytest.importorskip(
    "schemathesis", reason="Schemathesis is not here; get it with: pip install -r requirements.lock"
)

N_EXAMPLES = 6
HARD = ("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 5_000)
LIMITS = settings(
    max_examples=N_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # shrinking a fault takes minutes; the case is told as it is
)


@pytest.fixture
def operations(fresh):
    """(client on loopback, operations by `METHOD path`)."""
    client = fresh.client(accept="application/json")
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    found = {f"{one.method.upper()} {one.path}": one for one in (result.ok() for result in schema.get_all_operations())}
    assert len(found) >= 29
    return client, found


def sent(client, case, body=None):
    """The answer to a generated case; `body` in place of its own."""
    told = case.as_transport_kwargs(base_url="http://127.0.0.1")
    content = {"content": body} if body is not None else {}
    if body is None:
        content = {name: told[name] for name in ("json", "data") if told.get(name) is not None}
        if "json" in content:
            content = {"content": json.dumps(content["json"]).encode(errors="surrogatepass")}
        elif "data" in content:
            content = {"content": content["data"] if isinstance(content["data"], bytes) else str(content["data"])}
    headers = {**{name: str(value) for name, value in told["headers"].items()}, "content-type": "application/json"}
    return client.request(told["method"], told["url"], params=told.get("params"), headers=_ascii(headers), **content)


def _ascii(headers):
    return {name: value.encode("ascii", "replace").decode() for name, value in headers.items() if "\n" not in value}


def places(value, path=()):
    """Paths of all values of a JSON document, the containers and the whole among them."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(one for name, inner in inside for one in places(inner, (*path, name)))]


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def check(where, answer):
    assert answer.status_code < 500, (where, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"].startswith("application/problem+json"), (where, answer.text)


def each(operation, mode, look):
    """Look at some cases of an operation, the same ones at every run."""

    @LIMITS
    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode[mode]), data=st.data())
    def run(case, data):
        look(case, data)

    run()


@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_no_operation_answers_with_a_500(operations, mode):
    """Requests that keep to the schema, and requests that break it in one place: an answer, or a problem document."""
    client, found = operations
    answered = {}
    for where, operation in found.items():
        if mode == "NEGATIVE" and not (operation.query or operation.body or operation.path_parameters):
            continue

        def look(case, _, where=where):
            answer = sent(client, case)
            check(where, answer)
            answered.setdefault(answer.status_code // 100, set()).add(where)

        each(operation, mode, look)
    assert len(answered[4]) >= 10
    if mode == "POSITIVE":
        assert len(answered[2]) >= 15


def test_numbers_that_are_none_are_refused_wherever_they_stand(operations):
    """NaN, infinities, 1e400 and integers beyond reading, in the place of any value of a sound body: 422."""
    client, found = operations
    with_body = {where: one for where, one in found.items() if one.body}
    assert len(with_body) >= 7
    for where, operation in with_body.items():

        def look(case, data, where=where):
            place = data.draw(st.sampled_from(places(case.body)))
            number = data.draw(st.sampled_from(HARD))
            body = json.dumps(replaced(case.body, place, "@@")).replace('"@@"', number)
            answer = sent(client, case, body.encode(errors="surrogatepass"))
            check(where, answer)
            assert answer.status_code == 422, (where, body[:300], answer.text)

        each(operation, "POSITIVE", look)
