"""The report: one payload, two languages, offline, safe, accessible, and exactly the contract's drivers.json."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from models.drivers.effects import EffectRow
from serving.reports.effect_view import best_lever, effect_words
from serving.reports.payload import drivers_json
from serving.reports.render import render_report

LANGS = ("en", "zh")


VOID = frozenset({"meta", "link", "br", "img", "hr", "rect", "line", "circle", "path"})


class Page(HTMLParser):
    """Tags with their attributes, visible text, and a count of open tags."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module", params=LANGS)
def rendered(request, payload):
    return request.param, render_report(payload, request.param)


def test_page_is_self_contained_and_without_script(rendered):
    _, html = rendered
    page = Page(html)
    assert page.open == []
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "embed"}
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in html
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert attributes.get("href", "#").startswith("#")


def test_a_hostile_name_is_only_text(rendered):
    _, html = rendered
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_page_is_accessible(rendered):
    lang, html = rendered
    page = Page(html)
    assert dict(page.tags)["html"]["lang"] == ("zh-CN" if lang == "zh" else "en")
    tables = html.count("<table>")
    assert tables > 10
    assert html.count("<caption>") == tables
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    assert all(attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg")
    ids = [attributes["id"] for tag, attributes in page.tags if "id" in attributes and tag != "pattern"]
    assert len(ids) == len(set(ids))


def test_it_says_what_it_must(rendered, payload):
    lang, html = rendered
    said = {
        "en": ("decides nothing about pay, renewal or dismissal", "Association, not effect", "No supported action"),
        "zh": ("不作为薪酬、续约或解聘的决定依据", "相关，而非因果", "没有得到证据支持的行动"),
    }[lang]
    for words in said:
        assert words in html
    assert ("¥130,536" if lang == "en" else "13.05 万元") in html
    assert ("withheld: not identified" if lang == "en" else "不予公布") in html
    for page in payload.rep_pages[:2]:
        assert page.name in html


def test_rendering_twice_gives_the_same_bytes(rendered, payload):
    lang, html = rendered
    assert render_report(payload, lang) == html


@pytest.mark.parametrize("lang", LANGS)
def test_a_bare_payload_still_makes_a_page(payload, lang):
    """No effect, no rep, no earlier month, no model error: each says so instead of failing."""
    overall = replace(payload.effectiveness[0], per_head_last_month=None, per_head_year_ago=None)
    model = replace(payload.model, mean_absolute_error=None)
    data = replace(payload.data, excluded=())
    bare = replace(
        payload,
        effectiveness=(overall,),
        effects=(),
        rep_pages=(),
        ranking=(),
        month_change=None,
        model=model,
        data=data,
        currency="",
    )
    html = render_report(bare, lang)
    assert Page(html).open == []
    assert Page(render_report(replace(bare, effectiveness=()), lang)).open == []


def test_drivers_json_is_the_contracts(payload):
    made = json.loads(json.dumps(drivers_json(payload), allow_nan=False))
    assert {"as_of", "month", "company", "teams", "reps", "effects"} <= set(made)
    assert made["month"] == "2026-06"
    assert made["as_of"] == "2026-06-30T18:00:00+00:00"
    for one in (made["company"], *made["teams"], *made["reps"]):
        gap = sum(item["contribution"] for item in one["drivers"]) - (one["prediction"] - one["baseline"])
        assert abs(gap) <= 1e-6 * max(1.0, abs(one["prediction"]))
        assert {item["direction"] for item in one["drivers"]} <= {"up", "down"}
        assert sum(item["share"] for item in one["drivers"]) == pytest.approx(1)
    for row in made["effects"]:
        assert (row["estimate"] is None) == (row["verdict"] == "not_identified")
        assert {"driver", "outcome", "unit", "estimate", "ci_low", "ci_high", "method", "n", "verdict"} <= set(row)
    assert "Lena Vogt" not in json.dumps(made)


def test_numbers_that_are_not_finite_become_null(payload):
    odd = replace(payload, effectiveness=(replace(payload.effectiveness[0], per_head=float("nan")),))
    assert drivers_json(odd)["effectiveness"][0]["per_head"] is None


def row(low, high, verdict="identified", driver="followups_per_week"):
    return EffectRow(
        driver, "contribution", "money_per_month", (low + high) / 2, low, high, "fixed_effects", 9, verdict
    )


def test_the_headline_lever_stands_above_zero_and_identified_goes_first():
    assert best_lever([row(-1, 5), row(-9, -2)]) is None
    wide, narrow, marked = row(1, 9), row(4, 6), row(9, 10, "suggestive")
    assert best_lever([wide, marked, narrow]) is narrow
    assert best_lever([row(-1, 1), marked]) is marked


@pytest.mark.parametrize(("lang", "words"), [("en", "No effect found"), ("zh", "未发现效果")])
def test_an_interval_around_zero_is_called_no_effect(lang, words):
    assert words in effect_words(row(-1, 5), lang)
    assert words not in effect_words(row(1, 5), lang)
