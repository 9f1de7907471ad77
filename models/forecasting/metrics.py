"""How good forecasts were: error, pinball loss, CRPS, coverage, PIT, miss warnings, with intervals over origins.

Smaller is better for WAPE, pinball and CRPS. Coverage is compared with its level. Everything takes plain arrays.

References: Gneiting, Raftery (2007), "Strictly proper scoring rules", JASA 102.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DECILES = tuple(k / 10 for k in range(1, 10))
COVERAGES = (0.5, 0.8, 0.9)


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval at `level`."""

    estimate: float
    low: float
    high: float
    level: float = 0.9


def wape(y: Floats, mean: Floats) -> float:
    """Sum of absolute errors over sum of actuals; NaN where nothing was sold."""
    total = float(np.abs(y).sum())
    return float(np.abs(y - mean).sum()) / total if total > 0 else float("nan")


def bias(y: Floats, mean: Floats) -> float:
    """Sum of forecasts over sum of actuals, less 1: positive is too high; NaN where nothing was sold."""
    total = float(y.sum())
    return float(mean.sum()) / total - 1.0 if total > 0 else float("nan")


def pinball_loss(y: Floats, quantiles: Floats, levels: Sequence[float] = DECILES) -> Floats:
    """Mean pinball loss over levels of each case: y (n,), quantiles (n, n_levels) -> (n,)."""
    tau = np.asarray(levels, dtype=np.float64)
    gap = y[:, None] - quantiles
    return np.asarray(np.maximum(tau * gap, (tau - 1.0) * gap).mean(axis=1), dtype=np.float64)


def crps_samples(y: Floats, samples: Floats) -> Floats:
    """CRPS of each case from its samples: y (n,), samples (n_draws, n) -> (n,).

    E|X - y| - E|X - X'| / 2, the second term over distinct pairs, so that few samples are not favoured.
    """
    n = len(samples)
    ordered = np.sort(samples, axis=0)
    away = np.abs(ordered - y[None]).mean(axis=0)
    if n < 2:
        return np.asarray(away, dtype=np.float64)
    weights = 2.0 * np.arange(1, n + 1) - n - 1.0
    spread = (weights[:, None] * ordered).sum(axis=0) * 2.0 / (n * (n - 1.0))
    return np.asarray(away - spread / 2.0, dtype=np.float64)


def covered(y: Floats, low: Floats, high: Floats) -> Floats:
    """1 where y lies in [low, high], else 0."""
    return ((y >= low) & (y <= high)).astype(np.float64)


def pit(y: Floats, samples: Floats, u: Floats) -> Floats:
    """Probability integral transform of each case, uniform if the forecast is right; `u` (n,) breaks ties at masses.

    y (n,), samples (n_draws, n) -> (n,) in 0..1.
    """
    below = (samples < y[None]).mean(axis=0)
    upto = (samples <= y[None]).mean(axis=0)
    return np.asarray(below + u * (upto - below), dtype=np.float64)


def pit_table(values: Floats, n_bins: int = 10) -> Floats:
    """Share of PIT values in each of n_bins equal bins; 1 / n_bins each if calibrated."""
    inside = np.clip((values * n_bins).astype(np.int64), 0, n_bins - 1)
    return np.bincount(inside, minlength=n_bins) / max(len(values), 1)


def average_precision(missed: npt.NDArray[np.bool_], score: Floats) -> float:
    """Area under precision and recall of a ranking of misses; ties share their precision. NaN without a miss."""
    if not missed.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hit, ranked = missed[order].astype(np.float64), score[order]
    last = np.append(ranked[1:] != ranked[:-1], True)
    found, seen = np.cumsum(hit)[last], (np.arange(len(hit)) + 1.0)[last]
    gain = np.diff(np.concatenate(([0.0], found)))
    return float((gain * found / seen).sum() / hit.sum())


def bootstrap(
    statistic: Callable[[npt.NDArray[np.int64]], float],
    n_origins: int,
    rng: np.random.Generator,
    n_boot: int = 500,
    level: float = 0.9,
) -> Interval:
    """Percentile interval of a statistic over resampled origins.

    Whole origins are drawn, since cases of one origin share their month's luck; `statistic` gets their indices.
    One origin gives no interval: low and high are NaN then.
    """
    estimate = statistic(np.arange(n_origins))
    if n_origins < 2:
        return Interval(estimate, float("nan"), float("nan"), level)
    values = np.array([statistic(rng.integers(n_origins, size=n_origins)) for _ in range(n_boot)])
    tail = (1.0 - level) / 2.0
    low, high = np.nanquantile(values, [tail, 1.0 - tail]) if np.isfinite(values).any() else (np.nan, np.nan)
    return Interval(estimate, float(low), float(high), level)


def paired_difference(loss: Floats, rival: Floats, rng: np.random.Generator, n_boot: int = 500) -> Interval:
    """Mean of loss - rival over origins with its interval; negative: better than the rival. Both (n_origins,)."""
    gap = loss - rival
    return bootstrap(lambda chosen: float(gap[chosen].mean()), len(gap), rng, n_boot)
