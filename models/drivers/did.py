"""Did a measure work: what changed for those it touched, less what changed for those it had not touched yet.

    effect = (after - before of the touched) - (after - before of the not yet touched, in the same months)

A bare before-after credits the measure with the season, the market and everybody's learning; the difference of the
two differences does not. Where units start at different times, each round is compared with units that start later or
never, never with units already touched (whose own effect would be subtracted). What stays to be believed is that both
would have moved alike without the measure; the months before say whether they did, and where they did not the number
is withheld.
Sign: positive = more of the outcome through the measure. Unit: that of the outcome, a touched unit and time.

References
----------
Callaway, Sant'Anna (2021), Difference-in-differences with multiple time periods (comparison with the not yet treated).
Borusyak, Jaravel, Spiess (2024), Revisiting event-study designs (controls fitted on untouched rows only; an error that
takes differing effects as noise).
Roth (2022), Pretest with caution: a passed test of trends is no proof, hence `drift_to_undo`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.drivers.clustered import LEVEL, Floats, Interval, Ints, codes_of, interval
from models.drivers.growth import expected_untouched
from models.drivers.guards import FEW_MOVING_UNITS, MIN_MOVING_UNITS, Verdict
from models.drivers.panel_effects import EffectError, demean_two_way

BEFORE: Final = 12
AFTER: Final = 6
TREND_ALPHA: Final = 0.05
_FEWEST_BEFORE = 4
_LAST_BEFORE = 2
_NEVER = np.iinfo(np.int64).max // 4
# Reasons that withhold the number; `few_reps` only marks it.
WITHHOLDING = (
    "nobody_touched",
    "nobody_untouched",
    "too_few_reps",
    "too_few_untouched",
    "trend_unchecked",
    "trends_differ",
)


@dataclass(frozen=True)
class Step:
    """Touched less not yet touched at `time` from the start (0: the first), against the mean of the times before."""

    time: int
    interval: Interval


@dataclass(frozen=True)
class DidEffect:
    """A measure's effect and what a judge of it needs.

    `interval` is None exactly where `verdict` is not_identified. `before_after`: the touched units' bare change, which
    is no effect; NaN without rows. `trend_p`: p that touched and untouched moved alike beforehand, None where it could
    not be tested. `drift_to_undo`: how much the two would have to drift apart a time, unseen, to bring the estimate
    to 0. `rounds`: distinct starts used. `path`: the difference time by time.
    """

    interval: Interval | None
    verdict: Verdict
    reasons: tuple[str, ...]
    n_touched: int
    n_untouched: int
    rounds: int
    before_after: float
    trend_p: float | None
    drift_to_undo: float | None
    path: tuple[Step, ...] = ()


@dataclass(frozen=True)
class _Grid:
    """Outcome by unit and time, NaN where missing: as given, and with times and controls taken out."""

    raw: Floats
    clean: Floats
    start: Ints  # (units,) column of the first touched time, _NEVER where none
    before: int
    after: int
    gap: int
    ramp: int


@dataclass(frozen=True)
class _Cell:
    """One comparison: touched units of a round with their contrasts, and the untouched ones with theirs."""

    touched: Ints
    z_touched: Floats
    untouched: Ints
    z_untouched: Floats


def difference_in_differences(
    unit: npt.ArrayLike,
    time: npt.ArrayLike,
    start: npt.ArrayLike,
    outcome: npt.ArrayLike,
    controls: npt.ArrayLike | None = None,
    *,
    before: int = BEFORE,
    after: int = AFTER,
    gap: int = 0,
    ramp: int = 0,
    proportional: bool = False,
    level: float = LEVEL,
) -> DidEffect:
    """Mean effect on the touched over their first `after` times, against up to `before` times beforehand.

    `unit` (n,); `time` (n,) whole numbers, one row a unit and time; `start` (n,) first touched time of the row's unit,
    NaN or infinite for never; `outcome` (n,); `controls` (n, k) that the measure does not move, such as tenure. `gap`:
    times just before the start that are left out, when people were chosen or were on the course; `ramp`: times from
    the start on that are left out too, in which what was done before still comes in. `proportional`: times and controls
    lift a unit in proportion to its own level (`expected_untouched`), not all units by the same. Errors are clustered
    by unit; with one round and one time after, the interval is Welch's on the units' changes. Raises EffectError where
    lengths differ, a unit has two starts or two rows of one time, or no row is complete.
    """
    grid, kept = _grid(unit, time, start, outcome, controls, (before, after, gap, ramp), proportional)
    starts = np.unique(grid.start[grid.start < grid.raw.shape[1]])
    cells = [cell for s in starts for cell in _cells(grid, int(s), kept)]
    if not len(starts):
        return _withheld("nobody_touched")
    if not cells:
        return _withheld("nobody_untouched" if not _has_later(grid, starts) else "trend_unchecked", grid)
    found, n_touched, n_untouched = _pooled(cells, len(grid.start), level)
    trend_p = _trend_p(grid, starts)
    reasons = _reasons(n_touched, n_untouched, trend_p)
    shown = not any(reason in WITHHOLDING for reason in reasons)
    verdict: Verdict = "not_identified" if not shown else "suggestive" if reasons else "identified"
    distance = _distance(grid, starts)
    return DidEffect(
        interval=found if shown else None,
        verdict=verdict,
        reasons=reasons,
        n_touched=n_touched,
        n_untouched=n_untouched,
        rounds=sum(bool(_cells(grid, int(s), kept)) for s in starts),
        before_after=_before_after(grid, cells, starts),
        trend_p=trend_p,
        drift_to_undo=abs(found.estimate) / distance if shown and distance > 0 else None,
        path=_path(grid, starts, level) if shown else (),
    )


# -- arrays -----------------------------------------------------------------------------------------------------


def _grid(
    unit: npt.ArrayLike,
    time: npt.ArrayLike,
    start: npt.ArrayLike,
    outcome: npt.ArrayLike,
    controls: npt.ArrayLike | None,
    window: tuple[int, int, int, int],
    proportional: bool,
) -> tuple[_Grid, Ints]:
    """The grid, and its columns (all times)."""
    times = np.asarray(time)
    y = np.asarray(outcome, dtype=np.float64)
    begin = np.asarray(start, dtype=np.float64)
    extra = np.empty((len(y), 0)) if controls is None else np.asarray(controls, dtype=np.float64).reshape(len(y), -1)
    lengths = {len(np.asarray(unit)), len(times), len(begin), len(y), len(extra)}
    if len(lengths) != 1:
        raise EffectError(f"unit, time, start, outcome and controls differ in length: {sorted(lengths)}")
    if times.dtype.kind not in "iu":
        raise EffectError(f"time holds {times.dtype}, expected whole numbers such as month indices")
    whole = np.isfinite(y) & np.isfinite(extra).all(axis=1)
    if not whole.any():
        raise EffectError("no row has outcome and every control")
    codes, n_units = codes_of(np.asarray(unit)[whole])
    first = int(times[whole].min())
    columns = times[whole].astype(np.int64) - first
    width = int(columns.max()) + 1
    if len(np.unique(codes * width + columns)) != len(codes):
        raise EffectError("a unit has more than one row of one time")
    begins = np.where(np.isfinite(begin[whole]), begin[whole] - first, _NEVER).astype(np.int64)
    of_unit = np.full(n_units, _NEVER, dtype=np.int64)
    of_unit[codes] = begins
    if (of_unit[codes] != begins).any():
        raise EffectError("a unit has more than one start")
    of_unit[of_unit < 0] = 0  # touched before the data begin: never untouched, and without any time before
    free = columns < begins - window[2]
    raw, clean = np.full((n_units, width), np.nan), np.full((n_units, width), np.nan)
    raw[codes, columns] = y[whole]
    cleaned = _proportional if proportional else _cleaned
    clean[codes, columns] = cleaned(codes, columns, y[whole], extra[whole], free, width)
    return _Grid(raw, clean, of_unit, *window), np.arange(width, dtype=np.int64)


def _proportional(
    codes: Ints, columns: Ints, y: Floats, extra: Floats, free: npt.NDArray[np.bool_], width: int
) -> Floats:
    """Outcome less what the unit would have had untouched, growing in proportion; as `_cleaned` where that fails."""
    try:
        return y - expected_untouched(codes, columns, y, extra, free)
    except EffectError:
        return _cleaned(codes, columns, y, extra, free, width)


def _cleaned(codes: Ints, columns: Ints, y: Floats, extra: Floats, free: npt.NDArray[np.bool_], width: int) -> Floats:
    """Outcome less what times and controls explain, both fitted on rows that the measure has not touched."""
    if free.sum() < 3:
        return y
    units, times = codes_of(codes[free])[0], codes_of(columns[free])[0]
    rest = y.copy()
    if extra.shape[1]:
        centred = extra - extra[free].mean(axis=0)
        within = demean_two_way(np.column_stack([y[free], centred[free]]), units, times)
        moving = np.linalg.norm(within[:, 1:], axis=0) > 1e-8 * np.maximum(
            np.linalg.norm(centred[free], axis=0), 1e-300
        )
        if moving.any():
            slopes = np.linalg.lstsq(within[:, 1:][:, moving], within[:, 0], rcond=1e-8)[0]
            rest -= centred[:, moving] @ slopes
    return rest - _time_effects(codes[free], columns[free], rest[free], width)[columns]


def _time_effects(codes: Ints, columns: Ints, y: Floats, width: int) -> Floats:
    """Effect of each time (width,) beside unit effects, 0 where no untouched row is; rows may be missing."""
    units, times = codes_of(codes)[0], codes_of(columns)[0]
    left = demean_two_way(y, units, times)[:, 0]
    effects = np.zeros(int(times.max()) + 1)
    explained = y - left
    for _ in range(200):  # unit and time parts of what two-way means explain, by turns
        per_unit = np.bincount(units, weights=explained - effects[times]) / np.bincount(units)
        step = np.bincount(times, weights=explained - per_unit[units]) / np.bincount(times)
        if np.abs(step - effects).max() <= 1e-10 * max(1.0, float(np.abs(y).max())):
            break
        effects = step
    found = np.zeros(width)
    found[np.unique(columns)] = effects
    return found


# -- comparisons ------------------------------------------------------------------------------------------------


def _before(grid: _Grid, s: int) -> slice:
    """Columns of the times before a round that starts in column s."""
    return slice(max(0, s - grid.gap - grid.before), max(0, s - grid.gap))


def _after(grid: _Grid, s: int) -> slice:
    """Columns of the times after the start of a round in column s that count."""
    return slice(s + grid.ramp, s + grid.ramp + grid.after)


def _base(values: Floats, grid: _Grid, s: int) -> Floats:
    """Mean of each unit's times before, NaN where he has fewer than four of them."""
    window = values[:, _before(grid, s)]
    count = np.isfinite(window).sum(axis=1)
    total = np.where(np.isfinite(window), window, 0.0).sum(axis=1)
    return np.where(count >= _FEWEST_BEFORE, total / np.maximum(count, 1), np.nan)


def _cells(grid: _Grid, s: int, columns: Ints) -> list[_Cell]:
    """One comparison for each time after the start of a round."""
    base = _base(grid.clean, grid, s)
    made = [_cell(grid, grid.clean[:, t] - base, s, int(t)) for t in columns[_after(grid, s)]]
    return [cell for cell in made if cell is not None]


def _cell(grid: _Grid, z: Floats, s: int, last: int) -> _Cell | None:
    """Units that start at s against those untouched up to and including the column `last`; None without either."""
    known = np.isfinite(z)
    touched = np.flatnonzero((grid.start == s) & known)
    untouched = np.flatnonzero((grid.start - grid.gap > last) & (grid.start > s) & known)
    if not len(touched) or len(untouched) < 2:
        return None
    return _Cell(touched, z[touched], untouched, z[untouched])


def _pooled(cells: list[_Cell], n_units: int, level: float) -> tuple[Interval, int, int]:
    """Mean over all touched rows, with each unit's rows as one draw; and how many units of each kind."""
    effects = [cell.z_touched - cell.z_untouched.mean() for cell in cells]
    n = sum(len(one) for one in effects)
    estimate = float(sum(one.sum() for one in effects)) / n
    own, lent = np.zeros(n_units), np.zeros(n_units)
    is_own, is_lent = np.zeros(n_units, dtype=bool), np.zeros(n_units, dtype=bool)
    for cell, effect in zip(cells, effects, strict=True):
        # Deviations from the one mean: a round of a single rep has no spread of its own to speak of.
        own[cell.touched] += (effect - estimate) / n
        share = len(cell.touched) / n
        lent[cell.untouched] -= share * (cell.z_untouched - cell.z_untouched.mean()) / len(cell.untouched)
        is_own[cell.touched], is_lent[cell.untouched] = True, True
    n_own, n_lent = int(is_own.sum()), int(is_lent.sum())
    a = float(own @ own) * n_own / max(1, n_own - 1)
    b = float(lent @ lent) * n_lent / max(1, n_lent - 1)
    variance = max(a + b + 2 * float(own @ lent), 0.0)
    parts = a**2 / max(1, n_own - 1) + b**2 / max(1, n_lent - 1)
    dof = (a + b) ** 2 / parts if parts > 0 else float(n_own + n_lent - 2)
    return interval(estimate, variance**0.5, dof, level), n_own, n_lent


def _trend_p(grid: _Grid, starts: Ints) -> float | None:
    """p that the touched moved like the untouched before: by their slopes, and by their last times (a dip or a rise).

    People sent to a course after bad months have a dip that mends itself. Two tests, so the smaller p counts double.
    """
    found = []
    for contrast in (_slope, _last_times):
        cells = []
        for s in starts:
            cell = _cell(grid, contrast(grid.clean[:, _before(grid, int(s))]), int(s), int(s) - grid.gap - 1)
            if cell is not None:
                cells.append(cell)
        if sum(len(cell.touched) for cell in cells) >= 2:
            found.append(_pooled(cells, len(grid.start), LEVEL)[0].p_value)
    return min(1.0, len(found) * min(found)) if found else None


def _slope(window: Floats) -> Floats:
    """Least-squares slope a time of each unit, NaN with fewer than four times."""
    known = np.isfinite(window)
    count = np.maximum(known.sum(axis=1), 1)
    t = np.where(known, np.arange(window.shape[1], dtype=np.float64), 0.0)
    mean = t.sum(axis=1) / count
    away = np.where(known, np.arange(window.shape[1]) - mean[:, None], 0.0)
    spread = (away**2).sum(axis=1)
    slope = (away * np.where(known, window, 0.0)).sum(axis=1) / np.where(spread > 0, spread, 1.0)
    return np.where((known.sum(axis=1) >= _FEWEST_BEFORE) & (spread > 0), slope, np.nan)


def _last_times(window: Floats) -> Floats:
    """Mean of the last two times before less that of the earlier ones, NaN without both."""
    late, early = window[:, -_LAST_BEFORE:], window[:, :-_LAST_BEFORE]
    n_late, n_early = np.isfinite(late).sum(axis=1), np.isfinite(early).sum(axis=1)
    gap = np.nansum(late, axis=1) / np.maximum(n_late, 1) - np.nansum(early, axis=1) / np.maximum(n_early, 1)
    return np.where((n_late > 0) & (n_early >= _LAST_BEFORE), gap, np.nan)


# -- what is said beside it -------------------------------------------------------------------------------------


def _reasons(n_touched: int, n_untouched: int, trend_p: float | None) -> tuple[str, ...]:
    found = []
    if n_touched < MIN_MOVING_UNITS:
        found.append("too_few_reps")
    if n_untouched < MIN_MOVING_UNITS:
        found.append("too_few_untouched")
    if trend_p is None:
        found.append("trend_unchecked")
    elif trend_p < TREND_ALPHA:
        found.append("trends_differ")
    if not found and min(n_touched, n_untouched) < FEW_MOVING_UNITS:
        found.append("few_reps")
    return tuple(found)


def _has_later(grid: _Grid, starts: Ints) -> bool:
    """Whether any round has at least two units that are untouched when it starts."""
    return any(int((grid.start - grid.gap > s).sum()) >= 2 for s in starts)


def _before_after(grid: _Grid, cells: list[_Cell], starts: Ints) -> float:
    """Bare change of the touched: mean after less mean before, of the units that are compared."""
    used = np.unique(np.concatenate([cell.touched for cell in cells]))
    changes = []
    for s in starts:
        base = _base(grid.raw, grid, int(s))
        mine = used[grid.start[used] == s]
        changes.append((grid.raw[mine, _after(grid, int(s))] - base[mine, None]).ravel())
    whole = np.concatenate(changes) if changes else np.empty(0)
    whole = whole[np.isfinite(whole)]
    return float(whole.mean()) if len(whole) else float("nan")


def _distance(grid: _Grid, starts: Ints) -> float:
    """Times from the middle of the times before to the middle of those after, on average over touched rows."""
    found = []
    for s in starts:
        for unit in np.flatnonzero(grid.start == s):
            window = _before(grid, int(s))
            early = np.flatnonzero(np.isfinite(grid.raw[unit, window])) + window.start
            late = np.flatnonzero(np.isfinite(grid.raw[unit, _after(grid, int(s))])) + int(s) + grid.ramp
            if len(early) >= _FEWEST_BEFORE and len(late):
                found.append(late.mean() - early.mean())
    return float(np.mean(found)) if found else 0.0


def _path(grid: _Grid, starts: Ints, level: float) -> tuple[Step, ...]:
    """The difference at each time relative to the start that at least two touched units have."""
    steps = []
    for offset in range(-grid.gap - grid.before, grid.ramp + grid.after):
        cells = []
        for s in starts:
            t = int(s) + offset
            if 0 <= t < grid.clean.shape[1] and not -grid.gap <= offset < 0:
                cell = _cell(grid, grid.clean[:, t] - _base(grid.clean, grid, int(s)), int(s), max(t, int(s)))
                cells += [] if cell is None else [cell]
        if sum(len(cell.touched) for cell in cells) >= 2:
            steps.append(Step(offset, _pooled(cells, len(grid.start), level)[0]))
    return tuple(steps)


def _withheld(reason: str, grid: _Grid | None = None) -> DidEffect:
    bare = float("nan")
    n_touched = 0
    if grid is not None:
        columns = grid.raw.shape[1]
        inside = np.flatnonzero(grid.start < columns)
        n_touched = len(inside)
        changes = [
            grid.raw[i, _after(grid, int(grid.start[i]))] - _base(grid.raw, grid, int(grid.start[i]))[i] for i in inside
        ]
        whole = np.concatenate(changes)
        whole = whole[np.isfinite(whole)]
        bare = float(whole.mean()) if len(whole) else bare
    return DidEffect(None, "not_identified", (reason,), n_touched, 0, 0, bare, None, None)
