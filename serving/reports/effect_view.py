"""Effects in words, tables and forest plots: what is claimed, what is not, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from models.drivers.effects import EffectRow
from serving import texts
from serving.reports import charts
from serving.reports.tables import Cell, ChartView, Row, TableView, numeric, table, text
from serving.texts import Lang, money, money_together, number, percent, points, t

_ZEROS = re.compile(r"\.0+(?= )|(?<=\.\d)0(?= )")  # of 1.00 and 1.50 before a unit
_OUTCOMES = ("contribution", "win_probability")
_AXIS = {"contribution": "contribution", "win_probability": "win"}


@dataclass(frozen=True)
class EffectPart:
    """Effects on one outcome: a sentence, a forest plot, the table beside it, and each lever in words."""

    title: str
    sentence: str
    chart: ChartView
    table: TableView
    words: tuple[tuple[str, str], ...]


def shown_value(row: EffectRow, value: float | None, currency: str, lang: Lang) -> str:
    """A number of this row in its unit, signed."""
    return points(lang, value) if row.unit == "probability" else money(lang, currency, value, signed=True)


def amounts(row: EffectRow, currency: str, lang: Lang) -> tuple[str, str, str]:
    """Estimate and both ends of the interval in words."""
    numbers = (row.estimate, row.ci_low, row.ci_high)
    if row.unit == "probability":
        one, low, high = (points(lang, value) for value in numbers)
    else:
        one, low, high = money_together(lang, currency, numbers, signed=True)
    return one, low, high


def interval_ends(row: EffectRow, currency: str, lang: Lang) -> tuple[str, str]:
    """Both ends of the interval in words, for where the unit stands beside them already."""
    if row.unit == "probability" and row.ci_low is not None and row.ci_high is not None:
        low, high = (number(lang, 100 * value, 1, signed=True) for value in (row.ci_low, row.ci_high))
        return low, high
    return amounts(row, currency, lang)[1:]


def best_lever(effects: Sequence[EffectRow]) -> EffectRow | None:
    """The lever that stands best: above 0, identified before suggestive, narrowest for its size; None without any.

    Levers on which more brings less are not recommended here; they stand in the table.
    """
    standing = [row for row in effects if row.estimate is not None and row.ci_low is not None and row.ci_low > 0]
    return max(standing, key=_strength, default=None)


def _strength(row: EffectRow) -> tuple[bool, float]:
    low, high, estimate = row.ci_low or 0.0, row.ci_high or 0.0, row.estimate or 0.0
    return row.verdict == "identified", estimate / max(high - low, 1e-300)


def effect_parts(effects: Sequence[EffectRow], currency: str, lang: Lang) -> list[EffectPart]:
    """One part an outcome that has effects, contribution first."""
    known = [(outcome, [row for row in effects if row.outcome == outcome]) for outcome in _OUTCOMES]
    return [_part(outcome, rows, currency, lang) for outcome, rows in known if rows]


def _part(outcome: str, rows: Sequence[EffectRow], currency: str, lang: Lang) -> EffectPart:
    sentence = t(
        lang,
        "report.effects.count",
        all=len(rows),
        found=sum(not row.includes_zero for row in rows),
        zero=sum(row.estimate is not None and row.includes_zero for row in rows),
        withheld=sum(row.estimate is None for row in rows),
    )
    title = t(lang, f"report.effects.chart_{_AXIS[outcome]}")
    svg = charts.forest_plot(
        [_forest_row(row, currency, lang) for row in rows],
        title,
        sentence,
        axis_label=t(lang, f"report.effects.axis_{_AXIS[outcome]}"),
        tick=lambda value: _tick(outcome, value, currency, lang),
        estimate_label=t(lang, "report.effects.estimate"),
        naive_label=t(lang, "report.effects.naive"),
    )
    heads = ("lever", "effect", "interval", "plain", "verdict")
    view = table(lang, "report.effects", heads, [_table_row(row, currency, lang) for row in rows])
    aligned = tuple(Cell(head.text, at in (1, 2, 3)) for at, head in enumerate(view.heads))
    return EffectPart(
        title=t(lang, f"report.effects.{outcome}"),
        sentence=sentence,
        chart=ChartView(title, Markup(svg)),  # noqa: S704 texts are escaped by charts
        table=TableView(view.caption, aligned, view.rows),
        words=tuple((texts.driver(lang, row.driver), effect_words(row, lang)) for row in rows),
    )


def _tick(outcome: str, value: float, currency: str, lang: Lang) -> str:
    if outcome == "contribution":
        return _ZEROS.sub("", money(lang, currency, value))
    return number(lang, 100 * value, 0 if abs(round(100 * value) - 100 * value) < 1e-6 else 1)


def _forest_row(row: EffectRow, currency: str, lang: Lang) -> charts.ForestRow:
    label = texts.driver(lang, row.driver)
    if row.estimate is None:
        note = t(lang, "report.effects.withheld")
    elif row.includes_zero:
        note = t(lang, "report.effects.no_effect")
    else:
        note = shown_value(row, row.estimate, currency, lang)
    return charts.ForestRow(
        label, row.estimate, row.ci_low, row.ci_high, row.naive_estimate, note, muted=row.verdict != "identified"
    )


def _table_row(row: EffectRow, currency: str, lang: Lang) -> Row:
    estimate = amounts(row, currency, lang)[0]
    low, high = interval_ends(row, currency, lang)
    between = f"{low} … {high}" if row.estimate is not None else "–"
    return Row(
        (
            text(texts.driver(lang, row.driver)),
            numeric(estimate),
            numeric(between),
            numeric(shown_value(row, row.naive_estimate, currency, lang)),
            verdict_cell(row.verdict, lang, nothing=row.estimate is not None and row.includes_zero),
        )
    )


def verdict_cell(verdict: str, lang: Lang, *, nothing: bool) -> Cell:
    """How far a number may be believed; `nothing`: its interval holds 0.

    Good evidence beside a number that may as well be 0 would read as evidence of an effect.
    """
    if nothing:
        return Cell(t(lang, "report.effects.no_effect"), tag="nothing_found")
    return Cell(t(lang, f"verdict.{verdict}"), tag=verdict)


def effect_words(row: EffectRow, lang: Lang) -> str:
    """What the row claims, in words: an effect, none found, or withheld and why."""
    said = t(lang, "report.semicolon")
    reasons = said.join(t(lang, f"reason.{reason}") for reason in row.reasons)
    if row.estimate is None:
        return t(lang, "report.effects.words_withheld", reasons=reasons)
    low, high = number(lang, row.dose_low, 1), number(lang, row.dose_high, 1)
    done = "_done" if (row.dose_low, row.dose_high) == (0.0, 1.0) else ""  # done or not: no range to speak of
    if row.includes_zero:
        words = [t(lang, f"report.effects.words_none{done}", low=low, high=high)]
    else:
        sign = t(lang, f"report.effects.{'positive' if row.estimate > 0 else 'negative'}{done}")
        words = [t(lang, f"report.effects.words_found{done}", sign=sign[:1].upper() + sign[1:], low=low, high=high)]
        if row.sensitivity is not None:
            words.append(t(lang, "report.effects.sensitivity", share=percent(lang, row.sensitivity)))
    if reasons:
        words.append(t(lang, "report.effects.words_marked", reasons=reasons))
    return ("" if lang == "zh" else " ").join(words)
