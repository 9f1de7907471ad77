"""OpenAPI, its page without script, and the language that answers are given in."""

from __future__ import annotations

import re

import pytest

from features.messages import message
from serving.http.negotiation import choose_language


@pytest.mark.parametrize(
    ("asked", "header", "default", "expected"),
    [
        ("zh", "en", "en", "zh"),
        ("zh-CN", None, "en", "zh"),
        ("fr", "zh;q=0.5", "en", "zh"),
        (None, None, "zh", "zh"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "en", "zh"),
        (None, "fr, en;q=0.3, zh;q=0.7", "en", "zh"),
        (None, "en;q=0, *", "zh", "zh"),
        (None, "zh;q=0", "en", "en"),
        (None, "zh;q=x, en-GB", "zh", "en"),
        (None, "de", "zh", "zh"),
        (None, ",;q=,=;;,zh_TW;Q=1", "en", "zh"),
        (None, "zh;q=nan", "en", "en"),
        (None, "zh;q=inf,en", "en", "en"),
    ],
)
def test_the_language_is_the_one_asked_for(asked, header, default, expected):
    assert choose_language(asked, header, default) == expected


def test_the_service_is_told_the_language_and_the_answer_says_it(client, service):
    found = client.get("/v1/warnings", headers={"accept-language": "zh-CN"})
    assert (service.calls[-1], found.headers["content-language"]) == (("warnings", "zh"), "zh")
    assert found.headers["vary"] == "Accept-Language"
    client.get("/v1/warnings?lang=en", headers={"accept-language": "zh-CN"})
    assert service.calls[-1] == ("warnings", "en")


def test_problems_are_told_in_the_callers_language(client):
    english = client.get("/v1/assignments/none").json()["title"]
    chinese = client.get("/v1/assignments/none?lang=zh").json()["title"]
    assert (english, chinese) == ("There is no such thing", "找不到所请求的内容")
    assert client.get("/v1/nothing?lang=zh").json()["title"] == chinese


def test_why_the_service_is_not_ready_is_told_in_the_callers_language(client, service, monkeypatch):
    why = message("release.fallback", why=message("release.no_fit"))
    monkeypatch.setattr(service, "ready", lambda: {"ok": True, "reasons": [why]})
    assert client.get("/readyz").json()["reasons"] == ["no promoted release fits: routing by hard rules and least load"]
    assert client.get("/readyz?lang=zh").json()["reasons"] == ["没有适用的已启用版本：按硬性规则和最小负荷分配"]


def test_every_operation_is_documented_with_an_example(client):
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert "HTTPValidationError" not in schemas
    n_bodies = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            good = [code for code in operation["responses"] if code.startswith("2")]
            assert good, where
            if path != "/metrics":
                content = operation["responses"][good[0]]["content"]["application/json"]
                assert "example" in content, where
            if path.startswith("/v1/"):
                problem = operation["responses"]["422"]["content"]
                assert set(problem) == {"application/problem+json"}, where
            if "requestBody" in operation:
                n_bodies += 1
                name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                assert schemas[name]["examples"], where
    assert n_bodies == 7


def test_the_examples_are_requests_that_are_taken(client):
    """A reader copies the example; it must work."""
    document = client.get("/openapi.json").json()
    tried = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if "requestBody" not in operation:
                continue
            name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            example = document["components"]["schemas"][name]["examples"][0]
            url = path.replace("{lead_id}", "L1").replace("{warning_id}", "idle:R1")
            found = client.request(method, url, json=example)
            shown = found.status_code in {200, 201, 202} or found.json()["type"].endswith(("invalid-rows", "invalid"))
            assert shown, f"{method} {path}: {found.text}"
            assert "body" not in found.text or found.is_success
            tried += 1
    assert tried == 7


def test_the_docs_page_needs_nothing_from_elsewhere_and_no_script(client):
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    assert " style=" not in page.text
    assert "<style" not in page.text
    assert re.findall(r'(?:src|href)="(?!#|/)', page.text) == []
    for path in client.get("/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in page.text
    assert client.get("/docs.css").headers["content-type"].startswith("text/css")
    assert "请求体" in client.get("/docs?lang=zh").text


def test_openapi_is_open_and_names_both_ways_to_show_a_key(caller, connect):
    caller("admin")
    document = connect(host="fairlead.example", client="10.0.0.9").get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "key"}
