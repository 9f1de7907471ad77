"""Guard of a habit's effect: does something that changes slowly and shows in no column move habit and results both?

The leads that a rep gets may become better over half a year while he works harder, for one reason. The trace of it:
his habit in the months before, and in those after, then goes with the result of today, this month's habit held.
Neither test is strong alone, as single leads are mostly luck; together they see most of what would matter. Both look
one way: for a drift that makes the habit look stronger than it is.

References
----------
Liu, Xie (2020), Cauchy combination test: a powerful test with analytic p-value calculation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from models.drivers.clustered import Floats, Interval, codes_of, coefficient_interval
from models.drivers.panel_effects import EffectError, Panel, demean_two_way, independent_columns, shifted

BEFORE = (-5, -4, -3, -2)
AFTER = (3, 4, 5, 6)  # the next two months are left out: the work on a lead reaches into them
DRIFT_ALPHA = 0.08
_LARGEST_P = 0.95


def drift_p(rows: Panel, sign: float) -> float | None:
    """p of both tests together (small: a drift makes the effect look stronger); None where neither could run.

    `rows`: a row a lead, its instrument the last control. `sign`: that of the estimated effect, 1 or -1.
    """
    found = []
    for months in (BEFORE, AFTER):
        try:
            seen = other_months(rows, months)
        except EffectError:
            continue
        if seen.se > 0:
            found.append(float(stats.t.sf(sign * seen.estimate / seen.se, seen.dof)))
    return combined_p(found) if found else None


def combined_p(p_values: Sequence[float]) -> float:
    """One p of several tests of one hypothesis, dependent or not; one that looks the other way hides no other."""
    angles = np.tan((0.5 - np.clip(p_values, 1e-15, _LARGEST_P)) * np.pi)
    return float(stats.cauchy.sf(np.mean(angles)))


def other_months(rows: Panel, months: Sequence[int]) -> Interval:
    """Coefficient on the present outcome of the rep's mean treatment in those of `months` from now that there are.

    0 where the model holds. The present treatment is instrumented, for a month's mean is a noisy sight of the habit and
    the other months would speak for what it misses.
    """
    other = _mean_of_months(rows, months)
    whole = np.isfinite(other)
    if whole.sum() < 3 or len(np.unique(rows.unit[whole])) < 2:
        raise EffectError("no rep has other months")
    units, _ = codes_of(rows.unit[whole])
    times, _ = codes_of(rows.time[whole])
    raw = np.column_stack([other, rows.controls, rows.treatment, rows.outcome])[whole]
    within = demean_two_way(raw, units, times)
    d, y = within[:, -2], within[:, -1]
    first_stage = independent_columns(within[:, :-2], raw[:, :-2])
    fitted = first_stage @ np.linalg.lstsq(first_stage, d, rcond=None)[0]
    # The last control is the instrument, which has no place of its own in the second stage.
    X = independent_columns(np.column_stack([within[:, 0], fitted, within[:, 1:-3]]), raw[:, :-2])
    if X.shape[1] < 2 or not np.array_equal(X[:, 1], fitted):
        raise EffectError("this month's habit and that of other months cannot be told apart")
    theta = np.asarray(np.linalg.lstsq(X, y, rcond=None)[0], dtype=np.float64)
    residuals = np.asarray(y - X @ theta - theta[1] * (d - fitted), dtype=np.float64)
    return coefficient_interval(X, theta, residuals, units)


def _mean_of_months(rows: Panel, months: Sequence[int]) -> Floats:
    """(n,) mean over `months` from each row's own of the rep's mean treatment; NaN where none of them is there."""
    keys, cell = np.unique(np.column_stack([rows.unit, rows.time]), axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    mean = np.bincount(cell, weights=rows.treatment) / np.bincount(cell)
    steps = np.array([shifted(keys[:, 0], keys[:, 1], mean, step) for step in months])
    there = np.isfinite(steps)
    count = there.sum(axis=0)
    total = np.where(there, steps, 0.0).sum(axis=0)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan)[cell], dtype=np.float64)
