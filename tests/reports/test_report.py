"""The report: one payload, two languages, offline, safe, accessible, and exactly the contract's drivers.json."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from openpyxl import load_workbook

from models.drivers.decomposition import with_luck
from models.drivers.effects import EffectRow
from models.drivers.suggestions import suggest
from serving.reports.effect_view import best_lever, effect_parts, effect_words
from serving.reports.payload import Comparison, drivers_json
from serving.reports.render import render_report
from serving.reports.workbook import report_workbook
from serving.texts import catalogue

LANGS = ("en", "zh")
HOSTILE = '<script>alert(1)</script> & "O\'Neil"'


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


def spoken(html):
    """The page without what keeps a number on one line with its unit."""
    return html.replace("\u2060", "").replace("\u00a0", " ")


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
    lang, html = rendered[0], spoken(rendered[1])
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


def test_it_says_whether_measures_worked_and_what_would_tell(rendered):
    lang, html = rendered
    text = spoken("".join(Page(html).text))
    said = {
        "en": (
            "Of 4 measures 2 show an effect, 1 show none, and the numbers of 1 are withheld.",
            "Those it touched gained ¥9,100 a month over the others (+¥2,200 to +¥16,000).",
            "The bare before-after would say +¥31,000.",
            "Those it touched lost ¥4,000 a month",
            "Number withheld: everybody got it at once",
            "3 of 6 reps first, for 6 months from July 2026. That would find an effect of ¥21,000 a month or more",
            "No pilot can be planned: fewer than eight reps",
            "Since routing was switched on (whole months from February 2026) it has been ¥126,200 a head on average.",
            "above 5 peers of like tenure",
        ),
        "zh": (
            "4 项措施中，2 项有效果，1 项未发现效果，1 项不予公布。",
            "与尚未实施者相比，实施对象每月多出 9,100 元",
            "单纯前后对比会得出 +3.10 万元。",
            "实施对象每月减少 4,000 元",
            "数字不予公布：所有人同时实施，没有可比的对象。",
            "6 人中由 3 人先行，自2026年7月起为期 6 个月。",
            "无法设计试点：尚未实施的人不足八位。",
            "自启用系统分配以来（2026年2月起的完整月份），人均贡献额平均为 12.62 万元。",
            "比 5 位司龄相近的同事高",
        ),
    }[lang]
    for words in said:
        assert words in text


def test_a_suggested_course_says_whether_past_rounds_worked(payload):
    """Of the closing course no effect was found; where it was, or was withheld, the words differ."""
    sure = replace(payload.effects[1], ci_low=400.0)
    course = suggest({"training:closing": 0.0}, {"training:closing": 1.0}, [sure], 1.0)
    page = replace(payload.rep_pages[0], suggestions=course)
    past = payload.measures[2]
    said = {
        "past rounds: no effect found": past,
        "past rounds brought +¥6,000 a month": replace(past, estimate=6_000.0, ci_low=900.0, ci_high=11_000.0),
        "past rounds: cannot be told": replace(past, estimate=None, ci_low=None, ci_high=None),
    }
    for words, measure in said.items():
        html = spoken(render_report(replace(payload, measures=(measure,), rep_pages=(page,)), "en"))
        assert html.count("past rounds") == html.count(words) == 1
    assert "past rounds" not in render_report(replace(payload, measures=(), rep_pages=(page,)), "en")
    book = load_workbook(io.BytesIO(report_workbook(replace(payload, rep_pages=(page,)), "zh")))
    assert any("以往各批未发现效果" in str(cell.value) for sheet in book for row in sheet.iter_rows() for cell in row)


def test_without_routing_nothing_is_said_of_it(payload):
    html = render_report(replace(payload, routing_since=None), "en")
    assert "Since routing" not in html
    assert "126,200" not in html


def test_the_top_tenth_is_named_with_its_luck(payload):
    luck = with_luck(payload.rep_pages[0].gap, 4_000.0)
    page = replace(payload.rep_pages[0], gap=luck, peers="top")
    top = replace(payload, comparison=Comparison("top", 3, 40_000.0, 0.1), rep_pages=(page, *payload.rep_pages[1:]))
    for lang, said in (("en", ("10 % of that is the luck", "Luck of the top tenth", "5 reps of the top tenth")),
                       ("zh", ("其中 10% 只是", "前十分之一的运气", "5 位前十分之一的同事"))):  # fmt: skip
        html = spoken(render_report(top, lang))
        assert all(words in html for words in said)
    assert "luck of having been chosen" not in render_report(payload, "en")


@pytest.mark.parametrize("lang", LANGS)
def test_the_workbook_holds_the_tables_and_runs_nothing(payload, lang):
    book = load_workbook(io.BytesIO(report_workbook(payload, lang)))
    assert len(book.sheetnames) == 9  # no matrix in this payload
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert not [cell for cell in cells if cell.data_type == "f"]
    assert not [cell for cell in cells if isinstance(cell.value, str) and cell.value.startswith(("=", "+", "-", "@"))]
    measures = book[catalogue(lang)["report.measures.heading"]]
    rows = list(measures.iter_rows(values_only=True))
    assert rows[0][0] == catalogue(lang)["report.measures.measure"]
    assert rows[1][:8] == (HOSTILE, "2025-08", 12, 30, 9_100, 2_200, 16_000, 31_000)
    assert rows[2][4] is None
    effects = list(book[catalogue(lang)["report.effects.heading"]].iter_rows(values_only=True))
    assert effects[4][2:5] == (0.043, 0.026, 0.06)
    reps = list(book[catalogue(lang)["report.reps.heading"]].iter_rows(values_only=True))
    assert [row[0] for row in reps[1:]] == [page.rep_id for page in payload.rep_pages]
    assert reps[1][4] == pytest.approx(payload.rep_pages[0].contribution, abs=0.01)
    said = "".join(str(cell.value) for cell in cells)
    assert ("decides nothing about pay" if lang == "en" else "不作为薪酬") in said
    empty = replace(payload, measures=(), pilots=(), effects=(), rep_pages=(), month_change=None)
    assert len(load_workbook(io.BytesIO(report_workbook(empty, lang))).sheetnames) == 3


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
    assert [one["first_month"] for one in made["measures"]][:2] == ["2025-08", "2026-02"]
    assert {"estimate", "ci_low", "ci_high", "before_after", "verdict", "reasons"} <= set(made["measures"][0])
    assert (made["pilots"][0]["start"], made["pilots"][0]["first"]) == ("2026-07", ["R001", "R003", "R005"])
    assert (made["routing_since"], made["comparison"]["kind"]) == ("2026-02", "peers")


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


@pytest.mark.parametrize(
    ("lang", "none", "sure"), [("en", "no effect found", "identified"), ("zh", "未发现效果", "证据充分")]
)
def test_no_number_that_may_as_well_be_zero_is_labelled_as_well_founded(lang, none, sure):
    rows = [row(-1, 5), row(1, 5), row(-1, 5, "suggestive")]
    labels = [line.cells[-1] for line in effect_parts(rows, "EUR", lang)[0].table.rows]
    assert [one.text for one in labels] == [none, sure, none]
    assert [one.tag for one in labels] == ["nothing_found", "identified", "nothing_found"]


def test_both_sets_of_reasons_have_words():
    from models.drivers.did import WITHHOLDING

    known = catalogue("en")
    more = ("few_reps", "arms_differ", "pilot_not_over", "no_history", "too_few_to_draw")
    assert all(f"measure_reason.{reason}" in known for reason in (*WITHHOLDING, *more))


def test_no_range_mixes_yuan_and_ten_thousands(payload):
    html = spoken(render_report(payload, "zh"))
    ranges = re.findall(r"([^\s至]+ (?:万|亿)?元)(?: … |至 )(\S+ (?:万|亿)?元)", html)
    assert len(ranges) > 20
    # at least one end is below 10,000 where its other end is not: the case that would be mixed
    assert any("0.0" in low or "−0." in low or "+0." in low for low, _ in ranges)
    assert [(low, high) for low, high in ranges if low.split(" ")[1] != high.split(" ")[1]] == []
