"""Estimates of several courses, each drawn towards their common mean as far as chance explains their spread.

One course's own numbers are noisy: its standard error is often half of its effect. The best of five noisy estimates is
too high and the worst too low, and a weighted mean of each with all errs less on average (Stein's paradox).
The interval is not drawn: it stays the course's own, so that a course that does nothing is not called real because the
others work, and it covers the truth as often as it says, whatever the other courses do.

    estimate[c] ~ normal(effect[c], se[c]^2),  effect[c] ~ normal(mean, spread^2)

with a flat prior on the mean and a half-Cauchy one on the spread, averaged over the spread on a grid.

References
----------
Efron, Morris (1975), Data analysis using Stein's estimator and its generalizations.
Gelman (2006), Prior distributions for variance parameters in hierarchical models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.drivers.clustered import Floats, Interval

LEAST_POOLED = 3
_GRID = 200
_WIDEST = 4.0  # spread of the grid in units of what the estimates themselves spread


def shrunken(intervals: Sequence[Interval]) -> list[Interval]:
    """The intervals with their estimates drawn to the common mean, none beyond its own interval's ends.

    At least LEAST_POOLED of them with an error above 0, else they come back as they are.
    """
    e = np.array([one.estimate for one in intervals], dtype=np.float64)
    se = np.array([one.se for one in intervals], dtype=np.float64)
    if len(e) < LEAST_POOLED or not (np.isfinite(e).all() and np.isfinite(se).all() and (se > 0).all()):
        return list(intervals)
    drawn = posterior_means(e, se)
    return [
        replace(one, estimate=float(min(max(value, one.ci_low), one.ci_high)))
        for one, value in zip(intervals, drawn, strict=True)
    ]


def posterior_means(estimates: Floats, errors: Floats) -> Floats:
    """Posterior mean of each effect, shape (k,), of `estimates` (k,) with standard `errors` (k,) above 0."""
    scale = float(errors.mean())
    widest = _WIDEST * max(float(estimates.std()), scale)
    spread = np.linspace(widest / _GRID, widest, _GRID)[:, None]
    weight = 1.0 / (errors**2 + spread**2)
    mean = (weight @ estimates)[:, None] / weight.sum(axis=1, keepdims=True)
    fit = np.sum(np.log(weight) - weight * (estimates - mean) ** 2, axis=1) - np.log(weight.sum(axis=1))
    log_posterior = 0.5 * fit - np.log1p((spread[:, 0] / scale) ** 2)
    posterior = np.exp(log_posterior - log_posterior.max())
    own = spread**2 / (spread**2 + errors**2)
    return np.asarray(posterior @ (own * estimates + (1 - own) * mean) / posterior.sum(), dtype=np.float64)
