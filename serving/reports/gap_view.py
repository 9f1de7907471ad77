"""A decomposition for readers: one sentence, the cascade from one level to the other, and the table of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import fsum
from typing import Any

from markupsafe import Markup

from models.drivers.decomposition import UNEXPLAINED, Decomposition, Part
from serving import texts
from serving.reports.charts import Bar
from serving.reports.payload import ReportPayload, RepPage
from serving.reports.tables import Cell, ChartView, Row, TableView, numeric, text
from serving.reports.waterfall import waterfall
from serving.texts import Lang, joined, money, money_together, t

_MOST_BARS = 12
_MOST_OF_REP = 5


@dataclass(frozen=True)
class _Ends:
    """Names of the two levels of a cascade and of its axis."""

    before: str
    after: str
    axis: str


def _cascade(
    found: Decomposition, ends: _Ends, title: str, sentence: str, currency: str, lang: Lang, most: int
) -> ChartView:
    """From `before` to `after`, the smaller parts beyond `most` in one, unexplained last."""
    known = [part for part in found.parts if part.group != UNEXPLAINED]
    named = [(texts.driver(lang, part.driver), part.amount, False) for part in known[:most]]
    if len(known) > most:
        rest = fsum(part.amount for part in known[most:])
        named.append((t(lang, "report.reps.smaller", n=len(known) - most), rest, False))
    named += [(texts.driver(lang, part.driver), part.amount, True) for part in found.parts if part.group == UNEXPLAINED]
    written = money_together(lang, currency, [amount for _, amount, _ in named], signed=True)
    first, last = money_together(lang, currency, (found.before, found.after))
    svg = waterfall(
        Bar(ends.before, found.before, first),
        [Bar(name, amount, told, hatched=luck) for (name, amount, luck), told in zip(named, written, strict=True)],
        Bar(ends.after, found.after, last),
        title,
        sentence,
        axis_label=ends.axis,
        tick=lambda values: tuple(one.replace(".00 ", " ") for one in money_together(lang, currency, values)),
        up_label=t(lang, "report.drivers.up"),
        down_label=t(lang, "report.drivers.down"),
    )
    return ChartView(title, Markup(svg))  # noqa: S704 texts are escaped by the chart


def _parts_table(
    found: Decomposition, currency: str, lang: Lang, caption: str, heads: Sequence[str], most: int = 99
) -> TableView:
    """Parts with their ranges, largest first; beyond `most` the smaller ones are one row, so that a page holds them."""
    cash = partial(money, lang, currency, signed=True)
    known = [part for part in found.parts if part.group != UNEXPLAINED]
    rows = [_part_row(part, currency, lang) for part in known[:most]]
    if len(known) > most:
        rest = fsum(part.amount for part in known[most:])
        name = t(lang, "report.reps.smaller", n=len(known) - most)
        rows.append(Row((text(name), text(""), numeric(cash(rest)), text(""), text(""))))
    rows += [_part_row(part, currency, lang) for part in found.parts if part.group == UNEXPLAINED]
    total = (text(t(lang, "report.change.total")), text(""), numeric(cash(found.total)), text(""), text(""))
    rows.append(Row(total, True))
    return TableView(caption, tuple(Cell(head, at in (2, 3)) for at, head in enumerate(heads)), tuple(rows))


def _part_row(part: Part, currency: str, lang: Lang) -> Row:
    amount, low, high = money_together(lang, currency, (part.amount, part.low, part.high), signed=True)
    return Row(
        (
            text(texts.driver(lang, part.driver)),
            text(texts.group(lang, part.group)),
            numeric(amount),
            numeric(f"{low} … {high}" if part.low is not None else "–"),
            text(t(lang, "report.reps.yes" if part.controllable else "report.reps.no")),
        )
    )


def _part_heads(lang: Lang) -> tuple[str, ...]:
    keys = (
        "report.reps.part",
        "report.drivers.group",
        "report.drivers.contribution",
        "report.reps.range",
        "report.reps.movable",
    )
    return tuple(t(lang, key) for key in keys)


def _largest(found: Decomposition) -> str:
    return next((part.driver for part in found.parts if part.group != UNEXPLAINED), UNEXPLAINED)


def change_parts(payload: ReportPayload, lang: Lang) -> dict[str, Any] | None:
    """Sentence, cascade and table of the change since the month before; None without a month before."""
    found = payload.month_change
    if found is None:
        return None
    largest = _largest(found)
    moved = sum(part.amount for part in found.parts if part.driver == largest)
    part, rest = money_together(lang, payload.currency, (moved, found.unexplained), signed=True)
    sentence = t(
        lang,
        "report.change.sentence_up" if found.total >= 0 else "report.change.sentence_down",
        amount=money(lang, payload.currency, abs(found.total)),
        driver=texts.driver(lang, largest),
        part=part,
        rest=rest,
    )
    title = t(lang, "report.change.chart")
    ends = _Ends(texts.month(lang, payload.month - 1), texts.month(lang, payload.month), t(lang, "report.change.axis"))
    heads = _part_heads(lang)
    return {
        "sentence": sentence,
        "chart": _cascade(found, ends, title, sentence, payload.currency, lang, _MOST_BARS),
        "table": _parts_table(found, payload.currency, lang, t(lang, "report.change.caption"), heads),
    }


def gap_parts(page: RepPage, gap: Decomposition, name: str, payload: ReportPayload, lang: Lang) -> dict[str, Any]:
    """Sentence, cascade and table of a rep's gap to those he is compared with."""
    sentence = t(
        lang,
        "report.reps.gap_above" if gap.total >= 0 else "report.reps.gap_below",
        name=name,
        amount=money(lang, payload.currency, abs(gap.total)),
        whom=t(lang, f"report.comparison.whom_{page.peers}", n=page.n_peers),
        rest=money(lang, payload.currency, gap.unexplained, signed=True),
    )
    if page.in_top:
        sentence = joined(lang, sentence, t(lang, "report.comparison.in_top", name=name))
    ends = _Ends(t(lang, f"report.comparison.level_{page.peers}"), name, t(lang, "report.reps.axis"))
    title = t(lang, "report.reps.chart", name=name)
    caption = t(lang, "report.reps.table", name=name)
    return {
        "sentence": sentence,
        "chart": _cascade(gap, ends, title, sentence, payload.currency, lang, _MOST_OF_REP),
        "table": _parts_table(gap, payload.currency, lang, caption, _part_heads(lang), _MOST_OF_REP),
    }
