"""Charts are valid, self-contained SVG without style or script, whatever the numbers and names."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.reports import charts

NAME = '<script>x</script> & "O\'Neil" 王芳'
finite = st.floats(-1e9, 1e9, allow_nan=False)


def tick(value):
    return f"{value:,.0f}"


def every_chart():
    yield charts.bar_chart(
        [charts.Bar(NAME, 5.0, "+5", hatched=True), charts.Bar("b", -3.0, "-3", muted=True)],
        NAME,
        "desc",
        axis_label="money",
        up_label="up",
        down_label="down",
    )
    yield charts.forest_plot(
        [
            charts.ForestRow(NAME, 1.0, 0.5, 1.5, 2.0, "1"),
            charts.ForestRow("withheld", None, None, None, None, "withheld", muted=True),
        ],
        NAME,
        "desc",
        axis_label="money",
        tick=tick,
        estimate_label="effect",
        naive_label="plain",
    )
    yield charts.fan_chart(
        [charts.FanPoint(NAME, (1.0, 2, 3, 4, 5), 4.0, 3.5), charts.FanPoint("May", (1.0, 2, 3), None)],
        NAME,
        "desc",
        axis_label="month",
        tick=tick,
        median_label="median",
        band_label="80 %",
        target_label="target",
        actual_label="so far",
    )
    yield charts.reliability_diagram(
        [(0.1, 0.12, 50), (0.4, 0.3, 5)],
        NAME,
        "desc",
        x_label="x",
        y_label="y",
        perfect_label="perfect",
        tick=lambda v: f"{v:.1f}",
    )
    yield charts.sparkline([1.0, float("nan"), 3.0], NAME, "desc")


@pytest.mark.parametrize("svg", list(every_chart()))
def test_charts_are_wellformed_named_and_free_of_style_and_script(svg):
    root = ET.fromstring(svg)
    assert root.find("{http://www.w3.org/2000/svg}title").text == NAME
    assert root.find("{http://www.w3.org/2000/svg}desc").text == "desc"
    for element in root.iter():
        assert not element.tag.endswith(("script", "image", "foreignObject", "style"))
        assert not [key for key in element.attrib if key == "style" or key.startswith("on") or "href" in key]
    assert "<script>" not in svg


def test_no_points_is_still_a_chart():
    ET.fromstring(charts.bar_chart([], "t", "d", axis_label=""))
    ET.fromstring(
        charts.fan_chart([], "t", "d", axis_label="", tick=tick, median_label="", band_label="", target_label="")
    )
    ET.fromstring(charts.forest_plot([], "t", "d", axis_label="", tick=tick, estimate_label="", naive_label=""))
    ET.fromstring(charts.sparkline([], "t", "d"))


@settings(max_examples=60, deadline=None)
@given(values=st.lists(finite, min_size=1, max_size=8))
def test_bars_stay_inside_the_drawing(values):
    bars = [charts.Bar(f"driver {k}", v, f"{v:,.0f}") for k, v in enumerate(values)]
    root = ET.fromstring(charts.bar_chart(bars, "t", "d", axis_label="money"))
    rects = root.findall("{http://www.w3.org/2000/svg}rect")
    assert len(rects) == len(values)
    for rect in rects:
        assert float(rect.get("x")) >= 0
        assert float(rect.get("x")) + float(rect.get("width")) <= 762


def test_a_longer_bar_is_a_larger_value():
    root = ET.fromstring(
        charts.bar_chart([charts.Bar("a", 2.0, ""), charts.Bar("b", -1.0, "")], "t", "d", axis_label="")
    )
    two, one = (float(r.get("width")) for r in root.findall("{http://www.w3.org/2000/svg}rect"))
    assert two == pytest.approx(2 * one, abs=0.2)


@given(low=finite, span=st.floats(1e-3, 1e9))
def test_ticks_are_few_round_and_inside(low, span):
    found = charts.ticks(low, low + span)
    assert len(found) <= 8
    assert all(low - 1e-6 * abs(low) - span * 1e-6 <= v <= low + span * (1 + 1e-6) + 1e-6 * abs(low) for v in found)


def test_shorten_keeps_to_the_width_and_counts_chinese_as_wide():
    assert charts.shorten("短", 100) == "短"
    cut = charts.shorten("这是一个非常长的因素名称", 80)
    assert cut.endswith("…")
    assert charts.text_width(cut) <= 80
    assert charts.text_width("王") > charts.text_width("w")
