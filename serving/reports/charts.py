"""Charts as static SVG text: no script, no style attribute, no outside asset, so they fit a strict content policy.

Every text comes from the caller, in the caller's language, and is escaped here. Each chart carries a <title> and a
<desc>; a page puts a plain sentence and a table beside it. Colours keep apart for colour-blind readers and in grey
print, and direction is shown by side or shape as well.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10
from typing import Final

UP: Final = "#1f6f8b"
DOWN: Final = "#c0652a"
INK: Final = "#23303b"
QUIET: Final = "#5f6b76"
LINE: Final = "#d5dbe1"
BAND: Final = ("#dcebf0", "#b5d5df", "#86bac9")
_FONT = "system-ui, 'Noto Sans SC', 'PingFang SC', 'Microsoft YaHei', sans-serif"
WIDTH: Final = 760
_ROW = 30
Format = Callable[[float], str]


@dataclass(frozen=True)
class Bar:
    """One bar. `text` stands at its end; `hatched` marks what is not known (luck), `muted` what is not sure."""

    label: str
    value: float
    text: str
    hatched: bool = False
    muted: bool = False


@dataclass(frozen=True)
class ForestRow:
    """One interval; numbers None where withheld, then `text` says so. `naive` is drawn as an open circle."""

    label: str
    estimate: float | None
    low: float | None
    high: float | None
    naive: float | None
    text: str
    muted: bool = False


@dataclass(frozen=True)
class FanPoint:
    """Quantiles of one month in rising order (an odd number, the middle one the median), and the target if any."""

    label: str
    quantiles: tuple[float, ...]
    target: float | None = None
    actual: float | None = None


def _svg(width: float, height: float, title: str, desc: str, body: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="100%" role="img" '
        f'aria-label="{escape(title)}" font-family="{escape(_FONT)}" font-size="13" fill="{INK}">'
        f"<title>{escape(title)}</title><desc>{escape(desc)}</desc>{body}</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str = "start", fill: str = INK, size: float = 13) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" font-size="{size:g}">{escape(text)}</text>'
    )


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str = LINE, width: float = 1, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="{width:g}"{dashed}/>'
    )


def svg(height: float, title: str, desc: str, body: str) -> str:
    """A chart of the usual width around `body`, which is made of `label`, `rule` and shapes."""
    return _svg(WIDTH, height, title, desc, body)


def label(x: float, y: float, text: str, anchor: str = "start", fill: str = INK, size: float = 13) -> str:
    """Escaped text at a place."""
    return _text(x, y, text, anchor, fill, size)


def rule(x1: float, y1: float, x2: float, y2: float, colour: str = LINE) -> str:
    """A line."""
    return _rule(x1, y1, x2, y2, colour)


def text_width(text: str, size: float = 13) -> float:
    """Rough width of a text in pixels; Chinese characters are a full em wide."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return size * (wide + 0.56 * (len(text) - wide))


def shorten(text: str, width: float, size: float = 13) -> str:
    """Text cut to `width` pixels with an ellipsis."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text + "…"


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers that span low to high, at most `most` + 1 of them."""
    if not (isfinite(low) and isfinite(high)) or high <= low:
        return [low if isfinite(low) else 0.0]
    raw = (high - low) / most
    unit = 10.0 ** floor(log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw * 0.999)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def bar_chart(
    bars: Sequence[Bar],
    title: str,
    desc: str,
    *,
    axis_label: str,
    up_label: str = "",
    down_label: str = "",
    width: float = WIDTH,
) -> str:
    """Horizontal bars from a common zero: to the right what adds, to the left what takes away; `width` in pixels."""
    shown = [bar for bar in bars if isfinite(bar.value)]
    label = min(290.0, max([text_width(bar.label) for bar in shown], default=60) + 14)
    low, high = min([b.value for b in shown] + [0.0]), max([b.value for b in shown] + [0.0])
    room = max([text_width(bar.text, 12) for bar in shown], default=0) + 12
    left, right = label + (room if low < 0 else 0), width - (room if high > 0 else 8)
    # A span too small to divide by (a subnormal number) is no span.
    scale = (right - left) / (high - low) if high - low > 1e-300 else 0.0
    zero = left - low * scale
    top = 26.0 if up_label or down_label else 10.0
    bottom = top + _ROW * len(shown)
    parts = [hatch()] if any(bar.hatched for bar in shown) else []
    if down_label and low < 0:
        parts.append(_text(zero - 6, 16, down_label, "end", DOWN, 12))
    if up_label and high > 0:
        parts.append(_text(zero + 6, 16, up_label, "start", UP, 12))
    for row, bar in enumerate(shown):
        parts.append(_bar(bar, top + row * _ROW, zero, scale, label))
    parts.append(_rule(zero, top, zero, bottom, QUIET))
    parts.append(_text(zero, bottom + 20, axis_label, _anchor(zero, width), QUIET, 12))
    return _svg(width, bottom + 30, title, desc, "".join(parts))


def _anchor(x: float, width: float) -> str:
    return "start" if x < width * 0.3 else "end" if x > width * 0.7 else "middle"


def hatch() -> str:
    """Definition of the hatching that marks luck and what no table shows."""
    # Several charts of one page may define it: equal definitions under one id do no harm.
    return (
        '<defs><pattern id="fl-hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><rect width="6" height="6" fill="#eef1f4"/>'
        f'<line x1="0" y1="0" x2="0" y2="6" stroke="{QUIET}" stroke-width="2"/></pattern></defs>'
    )


def _bar(bar: Bar, y: float, zero: float, scale: float, label: float) -> str:
    end = zero + bar.value * scale
    fill = "url(#fl-hatch)" if bar.hatched else UP if bar.value >= 0 else DOWN
    faint = ' fill-opacity="0.45"' if bar.muted else ""
    at, anchor = (end + 6, "start") if bar.value >= 0 else (end - 6, "end")
    return (
        _text(0, y + 19, shorten(bar.label, label - 10))
        + f'<rect x="{min(zero, end):.1f}" y="{y + 5:.1f}" width="{max(abs(end - zero), 1):.1f}" height="{_ROW - 11}" '
        f'rx="2" fill="{fill}"{faint}/>' + _text(at, y + 19, bar.text, anchor, INK, 12)
    )


def forest_plot(
    rows: Sequence[ForestRow],
    title: str,
    desc: str,
    *,
    axis_label: str,
    tick: Format,
    estimate_label: str,
    naive_label: str,
) -> str:
    """Estimates with intervals (filled) beside what the plain comparison suggests (open circle)."""
    numbers = [v for r in rows for v in (r.low, r.high, r.naive, r.estimate) if v is not None and isfinite(v)] + [0.0]
    low, high = min(numbers), max(numbers)
    pad = 0.06 * (high - low) or 1.0
    low, high = low - pad, high + pad
    label = min(230.0, max([text_width(r.label) for r in rows], default=60) + 16)
    side = min(230.0, max([text_width(r.text, 12) for r in rows], default=60) + 16)
    left, right, top, row_height = label, WIDTH - side, 34.0, 36.0
    bottom = top + row_height * len(rows)

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    parts = [_legend(left, estimate_label, naive_label)]
    for value in ticks(low, high, 5):
        parts.append(_rule(x(value), top, x(value), bottom))
        parts.append(_text(x(value), bottom + 17, tick(value), "middle", QUIET, 11.5))
    parts.append(_rule(x(0.0), top, x(0.0), bottom, INK, 1.2))
    for index, row in enumerate(rows):
        parts.append(_forest_row(row, top + row_height * (index + 0.5), x, label, right, side))
    parts.append(_text((left + right) / 2, bottom + 37, axis_label, "middle", QUIET, 12))
    return _svg(WIDTH, bottom + 46, title, desc, "".join(parts))


def _legend(left: float, estimate_label: str, naive_label: str) -> str:
    second = left + 46 + text_width(estimate_label, 12)
    return (
        _rule(left, 14, left + 20, 14, UP, 2)
        + f'<rect x="{left + 6:.1f}" y="10" width="8" height="8" fill="{UP}"/>'
        + _text(left + 26, 18, estimate_label, "start", QUIET, 12)
        + f'<circle cx="{second + 4:.1f}" cy="14" r="4.5" fill="#ffffff" stroke="{DOWN}" stroke-width="1.8"/>'
        + _text(second + 14, 18, naive_label, "start", QUIET, 12)
    )


def _forest_row(row: ForestRow, y: float, x: Callable[[float], float], label: float, right: float, side: float) -> str:
    parts = [_text(0, y + 4, shorten(row.label, label - 8))]
    if row.naive is not None:
        parts.append(
            f'<circle cx="{x(row.naive):.1f}" cy="{y + 7:.1f}" r="4.5" fill="#ffffff" stroke="{DOWN}" '
            'stroke-width="1.8"/>'
        )
    if row.estimate is not None and row.low is not None and row.high is not None:
        dash = "4 3" if row.muted else ""
        parts.append(_rule(x(row.low), y - 4, x(row.high), y - 4, UP, 2.4, dash))
        parts.append(f'<rect x="{x(row.estimate) - 5:.1f}" y="{y - 9:.1f}" width="10" height="10" fill="{UP}"/>')
    parts.append(_text(right + 12, y + 4, shorten(row.text, side - 12, 12), "start", INK, 12))
    return "".join(parts)


def fan_chart(
    points: Sequence[FanPoint],
    title: str,
    desc: str,
    *,
    axis_label: str,
    tick: Format,
    median_label: str,
    band_label: str,
    target_label: str,
    actual_label: str = "",
    width: float = WIDTH,
) -> str:
    """Forecast quantiles by month as nested bands around the median, with targets as ticks; `width` in pixels."""
    values = [v for p in points for v in (*p.quantiles, p.target, p.actual) if v is not None and isfinite(v)] + [0.0]
    low, high = min(values), max(values) * 1.06 or 1.0
    axis = max([text_width(tick(v), 11.5) for v in ticks(low, high)], default=40) + 12
    left, right, top, bottom = axis, width - 16.0, 40.0, 270.0
    step = (right - left) / max(1, len(points))

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    def x(index: int) -> float:
        return left + step * (index + 0.5)

    parts = [_fan_legend(median_label, band_label, target_label, actual_label)]
    for value in ticks(low, high):
        parts.append(_rule(left, y(value), right, y(value)))
        parts.append(_text(left - 8, y(value) + 4, tick(value), "end", QUIET, 11.5))
    half = max((len(p.quantiles) // 2 for p in points), default=0)
    broad = min(56.0, step * 0.62)
    for index, point in enumerate(points):
        parts.append(_fan_point(point, x(index), broad, y, half))
        parts.append(_text(x(index), bottom + 19, point.label, "middle", INK, 12))
    parts.append(_text((left + right) / 2, bottom + 40, axis_label, "middle", QUIET, 12))
    return _svg(width, bottom + 50, title, desc, "".join(parts))


def _fan_legend(median: str, band: str, target: str, actual: str) -> str:
    at, parts = 0.0, []
    marks = [
        (band, lambda a: f'<rect x="{a:.1f}" y="7" width="16" height="12" fill="{BAND[1]}"/>'),
        (median, lambda a: _rule(a, 13, a + 16, 13, UP, 3)),
        (target, lambda a: _rule(a, 13, a + 16, 13, DOWN, 2.5, "3 2")),
        (actual, lambda a: f'<circle cx="{a + 8:.1f}" cy="13" r="4.5" fill="{INK}"/>'),
    ]
    for label, mark in marks:
        if label:
            parts.append(mark(at) + _text(at + 22, 17, label, "start", QUIET, 12))
            at += 42 + text_width(label, 12)
    return "".join(parts)


def _fan_point(point: FanPoint, x: float, width: float, y: Callable[[float], float], half: int) -> str:
    parts = []
    count = len(point.quantiles)
    for depth in range(count // 2):
        low, high = y(point.quantiles[depth]), y(point.quantiles[count - 1 - depth])
        colour = BAND[min(len(BAND) - 1, depth * len(BAND) // max(1, half))]
        parts.append(
            f'<rect x="{x - width / 2:.1f}" y="{high:.1f}" width="{width:.1f}" height="{max(low - high, 1):.1f}" '
            f'fill="{colour}"/>'
        )
    if count:
        middle = y(point.quantiles[count // 2])
        parts.append(_rule(x - width / 2, middle, x + width / 2, middle, UP, 3))
    if point.target is not None:
        parts.append(_rule(x - width / 2 - 7, y(point.target), x + width / 2 + 7, y(point.target), DOWN, 2.5, "3 2"))
    if point.actual is not None:
        parts.append(f'<circle cx="{x:.1f}" cy="{y(point.actual):.1f}" r="4.5" fill="{INK}"/>')
    return "".join(parts)


def reliability_diagram(
    points: Sequence[tuple[float, float, int]],
    title: str,
    desc: str,
    *,
    x_label: str,
    y_label: str,
    perfect_label: str,
    tick: Format,
) -> str:
    """Observed share against predicted probability a bin, (predicted, observed, count), areas by count."""
    top_value = max([max(p, o) for p, o, _ in points] + [0.1]) * 1.08
    size, left, top = 330.0, 62.0, 30.0
    most = max([n for *_, n in points], default=1)

    def x(value: float) -> float:
        return left + value / top_value * size

    def y(value: float) -> float:
        return top + size - value / top_value * size

    parts = []
    for value in ticks(0.0, top_value, 5):
        parts.append(_rule(left, y(value), left + size, y(value)) + _rule(x(value), top, x(value), top + size))
        parts.append(_text(left - 8, y(value) + 4, tick(value), "end", QUIET, 11.5))
        parts.append(_text(x(value), top + size + 18, tick(value), "middle", QUIET, 11.5))
    parts.append(_rule(x(0), y(0), x(top_value), y(top_value), QUIET, 1.5, "5 4"))
    parts.append(_text(x(top_value) + 8, y(top_value) + 12, perfect_label, "start", QUIET, 12))
    for predicted, observed, count in points:
        radius = 3 + 7 * (count / most) ** 0.5
        parts.append(
            f'<circle cx="{x(predicted):.1f}" cy="{y(observed):.1f}" r="{radius:.1f}" fill="{UP}" fill-opacity="0.8"/>'
        )
    parts.append(_text(left + size / 2, top + size + 40, x_label, "middle", QUIET, 12))
    parts.append(_text(0, 14, y_label, "start", QUIET, 12))
    return _svg(left + size + 90, top + size + 52, title, desc, "".join(parts))


def sparkline(values: Sequence[float], title: str, desc: str, *, width: float = 150, height: float = 34) -> str:
    """Small line of a series with its last point marked; gaps where a value is missing."""
    numbers = [v for v in values if isfinite(v)]
    low, high = min(numbers, default=0.0), max(numbers, default=1.0)
    span = high - low or 1.0
    step = (width - 10) / max(1, len(values) - 1)
    places = [
        (5 + k * step, height - 5 - (v - low) / span * (height - 10)) if isfinite(v) else None
        for k, v in enumerate(values)
    ]
    path, pen = [], "M"
    for place in places:
        if place is None:
            pen = "M"
            continue
        path.append(f"{pen}{place[0]:.1f} {place[1]:.1f}")
        pen = "L"
    last = next((place for place in reversed(places) if place is not None), None)
    dot = f'<circle cx="{last[0]:.1f}" cy="{last[1]:.1f}" r="3" fill="{DOWN}"/>' if last else ""
    line = f'<path d="{" ".join(path)}" fill="none" stroke="{UP}" stroke-width="1.8"/>' if path else ""
    body = line + dot
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title><desc>{escape(desc)}</desc>{body}</svg>"
    )
