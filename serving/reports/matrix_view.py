"""The effectiveness matrix in words, as a chart of four quadrants and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from models.drivers.matrix import MatrixPlace
from serving.reports import charts
from serving.reports.tables import Cell, ChartView, Row, TableView, numeric, table, text
from serving.texts import Lang, money_together, number, t

QUADRANTS = ("both", "attitude_only", "effect_only", "neither")
_HEIGHT = 420.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 720.0, 16.0, 380.0
_DOT, _NAME_SIZE = 5.5, 11
Box = tuple[float, float, float, float]  # left, top, right, bottom
_MOST_LABELS = 8


@dataclass(frozen=True)
class MatrixView:
    """A sentence, the chart, the table and what each quadrant suggests."""

    sentence: str
    chart: ChartView
    table: TableView
    advice: tuple[tuple[str, str], ...]


def matrix_view(places: Sequence[MatrixPlace], names: dict[str, str], currency: str, lang: Lang) -> MatrixView | None:
    """View of the reps whose attitude is on record; None without any."""
    shown = [one for one in places if one.attitude is not None]
    if not shown:
        return None
    counts = {name: sum(one.quadrant == name for one in shown) for name in QUADRANTS}
    sentence = t(lang, "report.matrix.sentence", n=len(shown), sure=sum(one.sure for one in shown), **counts)
    title = t(lang, "report.matrix.chart")
    order = {name: at for at, name in enumerate(QUADRANTS)}
    rows = [
        _row(one, names.get(one.rep_id, one.rep_id), currency, lang)
        for one in sorted(places, key=lambda one: (order[one.quadrant], -one.effect, one.rep_id))
    ]
    heads = ("rep", "attitude", "effect", "range", "quadrant", "certainty")
    plain = table(lang, "report.matrix", heads, rows)
    view = TableView(
        plain.caption, tuple(Cell(head.text, at in (1, 2, 3)) for at, head in enumerate(plain.heads)), plain.rows
    )
    return MatrixView(
        sentence=sentence,
        chart=ChartView(title, Markup(_chart(shown, names, title, sentence, lang))),  # noqa: S704 escaped by charts
        table=view,
        advice=tuple((t(lang, f"report.matrix.{name}"), _advice(name, shown, lang)) for name in QUADRANTS),
    )


def _advice(quadrant: str, places: Sequence[MatrixPlace], lang: Lang) -> str:
    """What a quadrant suggests, for how many, and for how many of them the place is clear."""
    mine = [one for one in places if one.quadrant == quadrant]
    advice = t(lang, f"report.matrix.{quadrant}_advice")
    return t(lang, "report.matrix.advice_sure", advice=advice, n=len(mine), sure=sum(one.sure for one in mine))


def _row(one: MatrixPlace, name: str, currency: str, lang: Lang) -> Row:
    effect, low, high = money_together(lang, currency, (one.effect, one.effect_low, one.effect_high), signed=True)
    attitude = number(lang, one.attitude, 1, signed=True) if one.attitude is not None else "–"
    quadrant = (
        t(lang, f"report.matrix.{one.quadrant}") if one.attitude is not None else t(lang, "report.matrix.unknown")
    )
    return Row(
        (
            text(name),
            numeric(attitude),
            numeric(effect),
            numeric(f"{low} … {high}"),
            text(quadrant),
            text(t(lang, "report.matrix.sure" if one.sure else "report.matrix.unsure")),
        )
    )


def _chart(places: Sequence[MatrixPlace], names: dict[str, str], title: str, desc: str, lang: Lang) -> str:
    """Points by attitude (up) and effect (right); open where unsure."""
    wide = max([abs(one.effect) for one in places] + [1e-9]) * 1.15
    high = max([abs(one.attitude or 0.0) for one in places] + [1e-9]) * 1.15
    middle_x, middle_y = (_LEFT + _RIGHT) / 2, (_TOP + _BOTTOM) / 2
    # Corner labels sit outside the plotting range of most points; the rules are the desk's means.
    parts = [
        charts.rule(middle_x, _TOP, middle_x, _BOTTOM, charts.QUIET),
        charts.rule(_LEFT, middle_y, _RIGHT, middle_y, charts.QUIET),
    ]
    corners = {
        "both": (_RIGHT, _TOP + 4, "end"),
        "attitude_only": (_LEFT, _TOP + 4, "start"),
        "effect_only": (_RIGHT, _BOTTOM - 6, "end"),
        "neither": (_LEFT, _BOTTOM - 6, "start"),
    }
    for name, (x, y, anchor) in corners.items():
        parts.append(charts.label(x, y, t(lang, f"report.matrix.{name}"), anchor, charts.QUIET, 12))
    ordered = sorted(places, key=lambda one: -abs(one.effect))
    points = [
        (
            middle_x + one.effect / wide * (_RIGHT - _LEFT) / 2,
            middle_y - (one.attitude or 0.0) / high * (_BOTTOM - _TOP - 40) / 2,
        )
        for one in ordered
    ]
    taken = [(x - _DOT, y - _DOT, x + _DOT, y + _DOT) for x, y in points]
    for at, (one, (x, y)) in enumerate(zip(ordered, points, strict=True)):
        colour = charts.UP if one.effect >= 0 else charts.DOWN
        fill = colour if one.sure else "none"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}" stroke="{colour}" stroke-width="1.6"/>')
        if at < _MOST_LABELS or (one.sure and at < 3 * _MOST_LABELS):
            name = charts.shorten(names.get(one.rep_id, one.rep_id), 90, 11)
            parts.append(_beside(x, y, name, taken))
    parts.append(charts.label(_RIGHT, _HEIGHT - 14, t(lang, "report.matrix.axis_x"), "end", charts.QUIET, 12))
    parts.append(charts.label(_LEFT, _HEIGHT - 14, t(lang, "report.matrix.axis_y"), "start", charts.QUIET, 12))
    return charts.svg(_HEIGHT, title, desc, "".join(parts))


def _beside(x: float, y: float, name: str, taken: list[Box]) -> str:
    """A point's name where it covers no point and no other name, "" where there is no such place: the table has all.

    `taken` holds what is drawn already, and gets the name's own place.
    """
    width = charts.text_width(name, _NAME_SIZE)
    places = [(x + 8, y + 4, "start"), (x - 8, y + 4, "end"), (x, y - 9, "middle"), (x, y + 17, "middle")]
    for at, base, anchor in places:
        left = at - {"start": 0.0, "end": width, "middle": width / 2}[anchor]
        box = (left, base - 9, left + width, base + 2)
        if left >= 0 and left + width <= charts.WIDTH and not any(_overlap(box, one) for one in taken):
            taken.append(box)
            return charts.label(at, base, name, anchor, size=_NAME_SIZE)
    return ""


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
