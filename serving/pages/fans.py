"""Forecasts as fan charts and sentences, from rows of the forecast table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
from markupsafe import Markup

from features.moments import parse_month
from serving import texts
from serving.reports import charts
from serving.reports.tables import ChartView
from serving.texts import Lang, money, percent, t

NARROW: Final = 500.0  # a chart that a phone can show, or that stands beside its table
QUANTILES: Final = tuple(f"p{k}" for k in range(10, 100, 10))


def leading(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The row that a page leads with: the first month with a day or more left, for one that is over is no news."""
    for row in rows:
        local = pd.Timestamp(str(row["as_of"])).tz_localize(None)
        if local + pd.Timedelta(days=1) <= pd.Timestamp(f"{row['month']}-01") + pd.offsets.MonthBegin(1):
            return row
    return rows[-1]


def finite(value: object) -> float | None:
    """The number, None where it is missing."""
    if value is None or not isinstance(value, (int, float, np.number)):
        return None
    return float(value) if np.isfinite(value) else None


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table by column name."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def fan(
    rows: Sequence[Mapping[str, Any]], title: str, currency: str, lang: Lang, width: float = charts.WIDTH
) -> ChartView:
    """Fan chart of one rep's, team's or the company's rows, a month each."""
    points = [
        charts.FanPoint(
            texts.month(lang, parse_month(str(row["month"]))),
            tuple(float(row[name]) for name in QUANTILES),
            finite(row["target"]),
        )
        for row in rows
    ]
    svg = charts.fan_chart(
        points,
        title,
        outlook_sentence(leading(rows), currency, lang) if rows else "",
        axis_label=t(lang, "demo.fan_axis"),
        width=width,
        tick=partial(round_money, lang, currency),
        median_label=t(lang, "demo.fan_median"),
        band_label=t(lang, "demo.fan_band"),
        target_label=t(lang, "demo.fan_target") if any(point.target is not None for point in points) else "",
    )
    return ChartView(title, Markup(svg))  # noqa: S704 texts are escaped by charts


def round_money(lang: Lang, currency: str, amount: float) -> str:
    """A round amount for an axis, without zeros behind the point."""
    return re.sub(
        r"\.(\d*?)0+(?=\D|$)", lambda found: "." + found[1] if found[1] else "", money(lang, currency, amount)
    )


def chance(lang: Lang, p: float | None) -> str:
    """A chance from draws as a percentage; draws cannot tell less than one in a hundred from never."""
    if p is not None and not 0.01 <= p <= 0.99:
        return t(lang, "demo.chance_below" if p < 0.5 else "demo.chance_above")
    return percent(lang, p)


def outlook_sentence(row: Mapping[str, Any], currency: str, lang: Lang, miss_ratio: float | None = None) -> str:
    """One month's forecast as a sentence; with `miss_ratio` the target and the chance of missing it too."""
    # Where half of the chance lies on one amount, such as nothing at all, "above or below" would say nothing.
    settled = float(row["p50"]) <= float(row["p10"])
    said = t(
        lang,
        "demo.forecast_settled" if settled else "demo.forecast_sentence",
        most=percent(lang, 0.9),
        amount=money(lang, currency, float(row["p50"])),
        month=texts.month(lang, parse_month(str(row["month"]))),
        share=percent(lang, 0.8),
        low=money(lang, currency, float(row["p10"])),
        high=money(lang, currency, float(row["p90"])),
    )
    target, p_miss = finite(row["target"]), finite(row["p_miss"])
    if miss_ratio is None or target is None or p_miss is None:
        return said
    return said + t(
        lang,
        "demo.forecast_target",
        target=money(lang, currency, target),
        ratio=percent(lang, miss_ratio),
        p_miss=chance(lang, p_miss),
    )
