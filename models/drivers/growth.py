"""What untouched rows say the others would have been, where growth is in proportion: a season lifts the able more.

    expected[i, t] = exp(unit[i] + time[t] + controls[i, t] @ slopes)

fitted on untouched rows only. Money of reps grows so: a rep who wins twice as much gains twice as much from a good
month or a year of tenure, and a sum that adds the same to everybody would call the gap between them an effect.

References
----------
Santos Silva, Tenreyro (2006), The log of gravity (Poisson likelihood for any outcome that is not negative).
Wooldridge (2023), Simple approaches to nonlinear difference-in-differences with panel data.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.drivers.clustered import Floats, Ints, cluster_sums, codes_of
from models.drivers.panel_effects import EffectError

_RIDGE = 1e-6
_MOST_STEPS = 100
_LARGEST_STEP = 3.0


def expected_untouched(
    unit: Ints, time: Ints, outcome: Floats, controls: Floats, free: npt.NDArray[np.bool_]
) -> Floats:
    """(n,) expected outcome of every row had nothing touched it, from the `free` ones; NaN for units without any.

    `unit`, `time` (n,) codes, `outcome` (n,) not negative, `controls` (n, k). A time without free rows has the level
    of the first one. Raises EffectError where an outcome is negative or the fit does not converge.
    """
    if free.sum() < 3:
        raise EffectError("too few untouched rows to say how the others would have grown")
    if (outcome < 0).any():
        raise EffectError("growth in proportion needs outcomes that are not negative")
    names = np.unique(time[free])
    n_times = len(names)
    place = np.minimum(np.searchsorted(names, time), n_times - 1)
    months = (place[:, None] == np.arange(1, n_times)) & (names[place] == time)[:, None]
    centre, spread = controls[free].mean(axis=0), controls[free].std(axis=0)
    scaled = (controls - centre) / np.where(spread > 0, spread, 1.0)
    W = np.column_stack([np.where(spread > 0, scaled, 0.0), months.astype(np.float64)])
    own, n_own = codes_of(unit[free])
    theta = _slopes(W[free], outcome[free], own, n_own)
    growth = np.exp(W @ theta)
    total = np.bincount(unit[free], weights=outcome[free], minlength=int(unit.max()) + 1)
    base = np.bincount(unit[free], weights=growth[free], minlength=int(unit.max()) + 1)
    level = np.divide(total, base, out=np.full(len(base), np.nan), where=base > 0)
    return np.asarray(level[unit] * growth, dtype=np.float64)


def _slopes(W: Floats, y: Floats, unit: Ints, n_units: int) -> Floats:
    """Coefficients (k,) of a Poisson likelihood, the units' levels taken out in closed form, by Newton's method."""
    total = np.bincount(unit, weights=y, minlength=n_units)
    size = max(float(y.sum()), 1e-300)
    theta = np.zeros(W.shape[1])
    for _ in range(_MOST_STEPS):
        growth = np.exp(W @ theta)
        mean = growth * (total / np.bincount(unit, weights=growth, minlength=n_units))[unit]
        weighted = cluster_sums(W * mean[:, None], unit, n_units)
        inside = weighted / np.maximum(total, 1e-300)[:, None]
        bend = W.T @ (W * mean[:, None]) - weighted.T @ inside + _RIDGE * size * np.eye(W.shape[1])
        step = np.linalg.solve(bend, W.T @ (y - mean) - _RIDGE * size * theta)
        theta = theta + step * min(1.0, _LARGEST_STEP / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < 1e-8:
            return np.asarray(theta, dtype=np.float64)
    raise EffectError("growth in proportion could not be fitted: some times or controls have no outcome at all")
