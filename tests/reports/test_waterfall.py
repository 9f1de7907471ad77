"""A cascade goes from one level to the other, each part beginning where the one before it ended."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from serving.reports.charts import DOWN, UP, Bar
from serving.reports.gap_view import change_parts
from serving.reports.render import report_context
from serving.reports.waterfall import waterfall

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<b>王芳 & co</b>"


def drawn(parts, start=100.0, end=None):
    end = start + sum(part.value for part in parts) if end is None else end
    made = waterfall(
        Bar(HOSTILE, start, "100"),
        parts,
        Bar("after", end, "end"),
        "title",
        "desc",
        axis_label="money",
        tick=lambda values: [f"{value:.0f}" for value in values],
        up_label="up",
        down_label="down",
    )
    return ET.fromstring(made)


def bars(root):
    """Left and right end and colour of each part's bar, the legend's two left out."""
    found = [r for r in root.findall(f"{SVG}rect") if r.get("height") != "10"]
    ends = [(float(r.get("x")), float(r.get("x")) + float(r.get("width"))) for r in found]
    return [(*end, r.get("fill")) for end, r in zip(ends, found, strict=True)]


def test_each_part_begins_where_the_one_before_ended():
    root = drawn([Bar("a", 30.0, "+30"), Bar("b", -50.0, "-50"), Bar("luck", 15.0, "+15", hatched=True)])
    (a0, a1, a_fill), (b0, b1, b_fill), (c0, c1, c_fill) = bars(root)
    assert (a_fill, b_fill, c_fill) == (UP, DOWN, "url(#fl-hatch)")
    assert b1 == pytest.approx(a1, abs=0.2)
    assert c0 == pytest.approx(b0, abs=0.2)
    assert (b1 - b0) / (a1 - a0) == pytest.approx(50 / 30, abs=0.02)
    levels = [float(re.match(r"M([\d.]+)", p.get("d")).group(1)) for p in root.findall(f"{SVG}path")]
    assert levels == [pytest.approx(a0, abs=0.2), pytest.approx(c1, abs=0.2)]


def test_names_are_escaped_and_everything_stays_inside():
    root = drawn([Bar(HOSTILE, 1e9, "+1,000,000,000"), Bar("b", -2e9, "-2,000,000,000")], start=5.0)
    assert any(text.text == HOSTILE for text in root.findall(f"{SVG}text"))
    assert all(0 <= low <= high <= 762 for low, high, _ in bars(root))


def test_parts_that_do_not_arrive_are_refused():
    with pytest.raises(ValueError, match="not to the level"):
        drawn([Bar("a", 30.0, "+30")], start=100.0, end=131.0)


def test_no_parts_and_no_change_is_still_a_chart():
    assert bars(drawn([])) == []
    assert len(bars(drawn([Bar("a", 0.0, "0")]))) == 1


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_reports_cascades_arrive_with_the_small_parts_in_one(payload, lang):
    page = next(one for one in payload.rep_pages if one.gap)
    context = report_context(payload, lang)
    made = next(one for one in context["reps"]["pages"] if one["chart"])
    root = ET.fromstring(str(made["chart"].svg))
    # five parts, the smaller ones together, the unexplained one
    assert len(page.gap.parts) > 7
    assert len(bars(root)) == 7
    assert [b[2] for b in bars(root)].count("url(#fl-hatch)") == 1
    change = change_parts(payload, lang)
    levels = [text.text for text in ET.fromstring(str(change["chart"].svg)).findall(f"{SVG}text")]
    assert ("May 2026" if lang == "en" else "2026年5月") in levels
    assert ("June 2026" if lang == "en" else "2026年6月") in levels
