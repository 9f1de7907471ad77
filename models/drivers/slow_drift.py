"""Guard of a habit's effect: does something that changes slowly and shows in no column move habit and results both?

The leads that a rep gets may become better over half a year while he works harder, for one reason. The trace of it:
his habit in the months before and after then goes with a month's results, more than it tells of the month's own habit.
One test sees it: the best guess of the hidden cause from the habit of the months around is one column, and the model's
score for that column is the test. It looks one way, for a drift that makes the habit look stronger than it is.

A month's own habit is counted with noise, and the months around tell of it too: so the column is an instrument of the
habit as well, and what is tested is what it says beyond that (a test of overidentifying restrictions). Left out there,
sound organisations with few follow-ups a month were withheld in up to four of ten.

The guess is that of a local level, seen through the habit (a Kalman smoother, written as a regression):

    log(habit[t]) = level + cause[t] + own[t],   cause[t] - cause[t-1] ~ normal(0, WANDERING),   own[t] ~ normal(0, 1)

The model only shapes the column: whatever it gets wrong costs power and leaves the test's level as it is, for the
column is made of habits alone. The habit enters by its logarithm, or the busiest few months would be the whole test.

References
----------
Harvey (1989), Forecasting, Structural Time Series Models and the Kalman Filter (the local level model).
Sargan (1958), The estimation of economic relationships using instrumental variables.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np
from scipy import stats

from models.drivers.clustered import Floats, Ints, codes_of
from models.drivers.lead_effects import added_column, instrumented
from models.drivers.panel_effects import EffectError, Panel, demean_two_way

DRIFT_ALPHA: Final = 0.05
# A cause worth looking for moves the habit in a year as much as it moves by itself from month to month.
WANDERING: Final = 1 / 12
# The month's own habit is what the effect is of, and the work on its leads reaches into the next month.
_LEFT_OUT: Final = (0, 1)
_ANY_LEVEL = 100.0  # prior variance of a rep's level: any level will do
_FEW = 0.1  # follow-ups a week, so that a month without any has a logarithm


def drift_p(rows: Panel, sign: float) -> float | None:
    """p that only chance makes the months around look like a cause beside the month's own habit; None if it cannot run.

    `rows`: a row a lead, outcome 0 or 1, its instrument the last control. `sign`: that of the estimated effect, 1 or
    -1; p is small where the habit around works the same way.
    """
    try:
        cause = hidden_cause(rows)
        # The last control is the instrument; the cause stands before it, so that both tell of the habit.
        told = instrumented(replace(rows, controls=np.insert(rows.controls, -1, cause, axis=1)))
        seen = added_column(replace(told, controls=told.controls[:, :-1]), cause)
    except EffectError:
        return None
    if not seen.se > 0:
        return None
    return float(stats.t.sf(sign * seen.estimate / seen.se, seen.dof))


def hidden_cause(rows: Panel) -> Floats:
    """(n,) best guess of each row's hidden cause from the rep's habit in other months, levels and months taken out.

    A month weighs by its leads. A rep with no month to go by has 0.
    """
    keys, cell = np.unique(np.column_stack([rows.unit, rows.time]), axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    count = np.bincount(cell).astype(np.float64)
    habit = np.log(np.maximum(np.bincount(cell, weights=rows.treatment) / count, 0.0) + _FEW)
    times, _ = codes_of(rows.time)
    moved = np.bincount(cell, weights=demean_two_way(habit[cell], rows.unit, times)[:, 0]) / count
    noise = count.mean() / count
    guess = np.zeros(len(keys))
    bounds = np.searchsorted(keys[:, 0], np.arange(rows.n_units + 1))
    for begin, end in pairwise(bounds):
        own = slice(begin, end)
        guess[own] = _smoothed(keys[own, 1], moved[own], noise[own])
    return np.asarray(guess[cell], dtype=np.float64)


def _smoothed(months: Ints, habit: Floats, noise: Floats) -> Floats:
    """Guess of the cause in each of a rep's months (k,) from his habit in the months that may be used for it."""
    since = (months - months.min()).astype(np.float64)
    walk = WANDERING * np.minimum.outer(since, since)
    ahead = months[None, :] - months[:, None]
    used = ~np.isin(ahead, _LEFT_OUT)
    # A month that may not be used for one guess gets no weight in it: a system for each guess, all in one stack.
    covariance = (walk + _ANY_LEVEL + np.diag(noise)) * (used[:, :, None] & used[:, None, :])
    diagonal = np.arange(len(months))
    covariance[:, diagonal, diagonal] += ~used
    known = np.where(used, habit, 0.0)
    weights = np.linalg.solve(covariance, known[:, :, None])[:, :, 0]
    return np.asarray(np.einsum("ij,ij->i", np.where(used, walk, 0.0), weights), dtype=np.float64)
