"""Guard of a habit's effect: does something that changes slowly and shows in no column move habit and results both?

The leads that a rep gets may become better over half a year while he works harder, for one reason. The trace of it:
his habit over a year on either side of a month then goes with that month's results, the month's own habit held. One
test sees it: the months around, the nearer ones more, weighed into one column, and the model's score for that column.
It looks one way, for a drift that makes the habit look stronger than it is.

The weights are about those of the best guess of a slowly wandering cause from a habit that also moves by itself. The
habit enters by its logarithm, or the busiest few months would be the whole test.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import stats

from models.drivers.clustered import Floats, codes_of
from models.drivers.lead_effects import added_column, instrumented
from models.drivers.panel_effects import EffectError, Panel, demean_two_way, shifted

# The next month is left out: the work on a lead reaches into it.
MONTHS: Final = (*range(-12, 0), *range(2, 13))
DRIFT_ALPHA: Final = 0.10
_FADE_MONTHS = 6.0
_FEW = 0.1  # follow-ups a week, so that a month without any has a logarithm


def drift_p(rows: Panel, sign: float) -> float | None:
    """p that only chance makes the habit around look like a cause beside the month's own; None where it cannot run.

    `rows`: a row a lead, outcome 0 or 1, its instrument the last control. `sign`: that of the estimated effect, 1 or
    -1; p is small where the habit around works the same way.
    """
    try:
        seen = added_column(instrumented(rows), habit_around(rows))
    except EffectError:
        return None
    if not seen.se > 0:
        return None
    return float(stats.t.sf(sign * seen.estimate / seen.se, seen.dof))


def habit_around(rows: Panel) -> Floats:
    """(n,) weighted sum of the rep's habit over `MONTHS` from each row's own, his and the months' means taken out.

    A month weighs by its leads and fades by a factor e in six months; one that is missing adds nothing.
    """
    keys, cell = np.unique(np.column_stack([rows.unit, rows.time]), axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    count = np.bincount(cell).astype(np.float64)
    habit = np.log(np.maximum(np.bincount(cell, weights=rows.treatment) / count, 0.0) + _FEW)
    times, _ = codes_of(rows.time)
    moved = np.bincount(cell, weights=demean_two_way(habit[cell], rows.unit, times)[:, 0])  # times the month's leads
    around = np.zeros(len(keys))
    for step in MONTHS:
        there = shifted(keys[:, 0], keys[:, 1], moved, step)
        around += np.exp(-abs(step) / _FADE_MONTHS) * np.where(np.isfinite(there), there, 0.0)
    return np.asarray(around[cell], dtype=np.float64)
