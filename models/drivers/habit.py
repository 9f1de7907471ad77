"""Effect of a rep's habit of following up: what his months of more and of less do to the leads of those months.

A lead's own frequency is a poor treatment: reps chase leads that look good to them for reasons no column holds (too
large), a short window counts with noise (too small), and how long a lead stays open is part of its fate. The habit,
seen in the rep's *other* leads of the month, has none of these faults. Where reps keep the same habit all along, only
single leads are left: their first week then stands for their second, which mends the noise and not the chasing, and
the row is marked.

References
----------
Terza, Basu, Rathouz (2008), Two-stage residual inclusion estimation.
Angrist (2014), The perils of peer effects (why the lead itself is left out of the mean).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.drivers.clustered import LEVEL, Floats, Interval, codes_of, coefficient_interval
from models.drivers.lead_effects import LeadEffect, win_effect
from models.drivers.panel_effects import EffectError, Panel, demean_two_way, independent_columns, make_panel, shifted

WINDOW_DAYS = 42
LATER_MONTHS = 3  # beyond the weeks in which a lead is worked on, which reach into the next two months
_WEAK_T = 3.2  # a first stage below F = 10 says nothing (Staiger, Stock 1997)


@dataclass(frozen=True)
class HabitEffect:
    """`own_only`: the habit hardly moves, single leads speak; `future_p`: p of the later-habit guard."""

    effect: LeadEffect
    own_only: bool
    future_p: float | None


def others_mean(unit: npt.ArrayLike, time: npt.ArrayLike, treatment: npt.ArrayLike, least: int = 3) -> Floats:
    """Mean treatment of the rep's *other* leads of the month, shape (n,); NaN with fewer than `least` of them.

    As an instrument it answers three faults of a lead's own frequency at once: reps chase leads that look good to
    them for reasons no column holds, a short window counts with noise, and one lead's luck is in its own count.
    What remains is the rep's habit that month against his habit in others.
    """
    units, _ = codes_of(unit)
    times, n_times = codes_of(time)
    d = np.asarray(treatment, dtype=np.float64)
    seen = np.isfinite(d)
    cell, n_cells = codes_of(units * n_times + times)
    total = np.bincount(cell[seen], weights=d[seen], minlength=n_cells)[cell]
    count = np.bincount(cell[seen], minlength=n_cells)[cell] - seen
    others = total - np.where(seen, d, 0.0)
    return np.where(count >= least, others / np.maximum(count, 1), np.nan)


def habit_effect(
    unit: npt.ArrayLike,
    time: npt.ArrayLike,
    treatment: npt.ArrayLike,
    outcome: npt.ArrayLike,
    controls: Floats,
    worth: npt.ArrayLike | None = None,
    *,
    weeks: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    level: float = LEVEL,
) -> HabitEffect:
    """Step of one more follow-up a week on the win probability.

    `treatment` (n,): frequency over the time open in the first six weeks; `weeks`: that of the first and of the second
    week, of leads open after both; the rest as in `win_effect`. Raises EffectError where neither habit nor weeks move.
    """
    d, y = np.asarray(treatment, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    instrument = others_mean(unit, time, np.where(np.isfinite(y), d, np.nan))
    try:
        rows = make_panel(unit, time, d, y, np.column_stack([controls, instrument]))
        strong = first_stage_t(rows) > _WEAK_T
    except EffectError:
        strong = False
    if strong:
        habit = win_effect(unit, time, d, y, controls, instrument=instrument, worth=worth, level=level)
        return HabitEffect(_named(habit, "habit"), own_only=False, future_p=_future_p(rows, level))
    if weeks is None:
        raise EffectError("the habit hardly moves within reps")
    first, second = weeks
    own = win_effect(unit, time, second, y, controls, instrument=first, worth=worth, level=level)
    return HabitEffect(_named(own, "weeks"), own_only=True, future_p=None)


def _named(effect: LeadEffect, source: str) -> LeadEffect:
    return replace(effect, method=f"{effect.method}_{source}")


def _future_p(rows: Panel, level: float) -> float | None:
    try:
        return later_habit(rows, level).p_value
    except EffectError:
        return None


def first_stage_t(rows: Panel) -> float:
    """Clustered t of the instrument, the last control, on the treatment, unit and time taken out."""
    times, _ = codes_of(rows.time)
    columns = np.column_stack([rows.controls[:, ::-1], rows.treatment])
    within = demean_two_way(columns, rows.unit, times)
    X = independent_columns(within[:, :-1], columns[:, :-1])
    theta = np.asarray(np.linalg.lstsq(X, within[:, -1], rcond=None)[0], dtype=np.float64)
    found = coefficient_interval(X, theta, within[:, -1] - X @ theta, rows.unit)
    return found.estimate / found.se if found.se > 0 else np.inf


def later_habit(rows: Panel, level: float = LEVEL, months: int = LATER_MONTHS) -> Interval:
    """Coefficient of the habit of `months` later on the present outcome: 0 where the model holds.

    The present treatment is instrumented (the last control), for a month's mean is a noisy sight of the habit and the
    later one would speak for what it misses.
    """
    means = _month_means(rows, months)
    ahead = means[_cells(rows), 2]
    whole = np.isfinite(ahead)
    if whole.sum() < 3 or len(np.unique(rows.unit[whole])) < 2:
        raise EffectError("no rep has a following month")
    units, _ = codes_of(rows.unit[whole])
    times, _ = codes_of(rows.time[whole])
    raw = np.column_stack([ahead, rows.controls, rows.treatment, rows.outcome])[whole]
    within = demean_two_way(raw, units, times)
    X = independent_columns(within[:, :-2], raw[:, :-2])
    d, y = within[:, -2], within[:, -1]
    fitted = X @ np.linalg.lstsq(X, d, rcond=None)[0]
    X2 = independent_columns(np.column_stack([within[:, 0], fitted, within[:, 1:-3]]), raw[:, :-2])
    if X2.shape[1] < 2 or not np.array_equal(X2[:, 1], fitted):
        raise EffectError("this month's habit and the next one's cannot be told apart")
    theta = np.asarray(np.linalg.lstsq(X2, y, rcond=None)[0], dtype=np.float64)
    residuals = np.asarray(y - X2 @ theta - theta[1] * (d - fitted), dtype=np.float64)
    return coefficient_interval(X2, theta, residuals, units, level=level)


def _cells(rows: Panel) -> npt.NDArray[np.intp]:
    return np.unique(np.column_stack([rows.unit, rows.time]), axis=0, return_inverse=True)[1].reshape(-1)


def _month_means(rows: Panel, months: int) -> Floats:
    """(cells, 3) unit, time and the mean treatment of the unit's next time, by rep and month in sorted order."""
    keys, cell = np.unique(np.column_stack([rows.unit, rows.time]), axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    mean = np.bincount(cell, weights=rows.treatment) / np.bincount(cell)
    return np.column_stack([keys, shifted(keys[:, 0], keys[:, 1], mean, months)])
