"""A decomposition as a cascade: from one level, part by part, to the other, as static SVG.

The two levels are marks on a money axis, not bars, so that the axis may start where the cascade does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import fsum, isfinite

from serving.reports.charts import (
    DOWN,
    INK,
    LINE,
    QUIET,
    UP,
    WIDTH,
    Bar,
    hatch,
    label,
    rule,
    shorten,
    svg,
    text_width,
    ticks,
)

_ROW = 30.0
_TOP = 26.0
_PAD = 0.05


def waterfall(
    start: Bar,
    parts: Sequence[Bar],
    end: Bar,
    title: str,
    desc: str,
    *,
    axis_label: str,
    tick: Callable[[Sequence[float]], Sequence[str]],
    up_label: str,
    down_label: str,
) -> str:
    """Level `start`, each of `parts` from where the one before it ended, and level `end`; all in one unit of money.

    `value` of a level is where it stands, of a part what it adds; the parts sum to `end` less `start` (to rounding,
    else ValueError: a cascade that does not arrive would mislead). A part that is not finite is left out. `tick` writes
    the values of the axis, all in one unit.
    """
    shown = [part for part in parts if isfinite(part.value)]
    added = [part.value for part in shown]
    steps = [fsum([start.value, *added[:at]]) for at in range(len(added) + 1)]
    size = max(abs(value) for value in (*steps, end.value))
    if abs(steps[-1] - end.value) > 1e-6 * max(size, 1e-300):
        raise ValueError(f"parts lead to {steps[-1]}, not to the level {end.value} that they are said to explain")
    low, high = min(steps), max(steps)
    pad = _PAD * (high - low) or max(abs(high), 1.0) * _PAD
    low, high = low - pad, high + pad
    rows = (start, *shown, end)
    name_width = min(270.0, max(text_width(row.label) for row in rows) + 14)
    room = max(text_width(row.text, 12) for row in rows) + 14
    left, right = name_width + room, WIDTH - room
    bottom = _TOP + _ROW * len(rows)

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    drawn = [hatch()] if any(part.hatched for part in shown) else []
    marks = ticks(low, high, 4)
    for value, told in zip(marks, tick(marks), strict=True):
        drawn.append(rule(x(value), _TOP, x(value), bottom))
        drawn.append(label(x(value), bottom + 17, told, "middle", QUIET, 11.5))
    drawn.append(_directions(left, up_label, down_label))
    for at in range(len(steps)):  # each row ends where the next begins
        y = _TOP + _ROW * at
        drawn.append(rule(x(steps[at]), y + _ROW - 10, x(steps[at]), y + _ROW + 10, QUIET))
    drawn.append(_level(start, _TOP, x(start.value), name_width))
    for at, part in enumerate(shown):
        drawn.append(_step(part, _TOP + _ROW * (at + 1), x(steps[at]), x(steps[at + 1]), name_width))
    drawn.append(_level(end, bottom - _ROW, x(end.value), name_width))
    drawn.append(label((left + right) / 2, bottom + 37, axis_label, "middle", QUIET, 12))
    return svg(bottom + 46, title, desc, "".join(drawn))


def _directions(left: float, up_label: str, down_label: str) -> str:
    second = left + 30 + text_width(up_label, 12)
    return (
        f'<rect x="{left:.1f}" y="7" width="12" height="10" rx="2" fill="{UP}"/>'
        + label(left + 17, 16, up_label, "start", QUIET, 12)
        + f'<rect x="{second:.1f}" y="7" width="12" height="10" rx="2" fill="{DOWN}"/>'
        + label(second + 17, 16, down_label, "start", QUIET, 12)
    )


def _level(bar: Bar, y: float, at: float, width: float) -> str:
    """A level: a diamond, its amount beside it, a band behind the row."""
    middle = y + _ROW / 2
    return (
        f'<path d="M{at:.1f} {middle - 8:.1f}l8 8l-8 8l-8 -8z" fill="{INK}"/>'
        + label(0, y + 19, shorten(bar.label, width - 10))
        + label(at + 13, y + 19, bar.text, "start", INK, 12)
        + rule(0, y + _ROW, width, y + _ROW, LINE)
    )


def _step(bar: Bar, y: float, begin: float, end: float, width: float) -> str:
    fill = "url(#fl-hatch)" if bar.hatched else UP if bar.value >= 0 else DOWN
    # A hatched part has no colour of its own, so its edge says which way it goes.
    edge = f' stroke="{UP if bar.value >= 0 else DOWN}"' if bar.hatched else ""
    low, high = min(begin, end), max(begin, end)
    at, anchor = (high + 6, "start") if bar.value >= 0 else (low - 6, "end")
    return (
        label(0, y + 19, shorten(bar.label, width - 10))
        + f'<rect x="{low:.1f}" y="{y + 5:.1f}" width="{max(high - low, 1):.1f}" height="{_ROW - 11:.0f}" rx="2" '
        f'fill="{fill}"{edge}/>' + label(at, y + 19, bar.text, anchor, INK, 12)
    )
