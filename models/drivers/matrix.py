"""The effectiveness matrix: how clients are treated, by what comes of it once lead mix, load and tenure are taken out.

Attitude is the mean of what clients say (feedback), how soon they are called (timeliness) and how seldom they complain,
each in standard deviations of the desk. Effectiveness is money a month beyond what leads, load, market and tenure
explain, drawn towards the desk's mean by as much as months vary by chance. A place near a border is marked unsure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.drivers.clustered import Floats, codes_of

Quadrant = Literal["both", "attitude_only", "effect_only", "neither"]
_Z90 = 1.645
_FEWEST_MEASURES = 2
_ATTITUDE_MARGIN = 0.25


@dataclass(frozen=True)
class MatrixPlace:
    """A rep's place. `attitude` in standard deviations (None where nothing was recorded), `effect` money a month with
    its 90 % range; `sure` where both are clear of the borders.
    """

    rep_id: str
    attitude: float | None
    effect: float
    effect_low: float
    effect_high: float
    quadrant: Quadrant
    sure: bool


def adjusted_effect(unit: npt.ArrayLike, residual: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Shrunken mean residual of each unit in sorted order, shape (g,), centred, and its standard error.

    `residual` (n,): what is left of each month. The share kept is the variance between units over all variance of their
    means (empirical Bayes); with one month a unit nothing can be told from chance and all are 0.
    """
    codes, n = codes_of(unit)
    y = np.asarray(residual, dtype=np.float64)
    counts = np.bincount(codes, minlength=n).astype(np.float64)
    means = np.bincount(codes, weights=y, minlength=n) / counts
    free = float(np.maximum(counts - 1, 0).sum())
    chance = float(np.sum((y - means[codes]) ** 2)) / free if free > 0 else np.inf
    noise = chance / counts
    between = max(0.0, float(np.var(means, ddof=1)) - float(noise.mean())) if n > 1 and np.isfinite(chance) else 0.0
    kept = between / (between + noise) if between > 0 else np.zeros(n)
    return kept * (means - means.mean()), np.sqrt(kept * np.where(np.isfinite(noise), noise, 0.0))


def attitude_score(measures: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Mean standardised measure of each rep, shape (n,), NaN without any; and how many measures it rests on.

    `measures` (n, k), higher is better, NaN where not recorded; a measure that does not vary says nothing.
    """
    values = np.array(measures, dtype=np.float64, ndmin=2)
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / count)
    used = known & (spread > 1e-12)
    scores = np.where(used, (values - mean) / np.where(spread > 1e-12, spread, 1.0), 0.0)
    n_used = used.sum(axis=1)
    return np.where(n_used > 0, scores.sum(axis=1) / np.maximum(n_used, 1), np.nan), n_used.astype(np.int64)


def place_reps(
    rep_ids: npt.ArrayLike, attitude: Floats, n_measures: npt.NDArray[np.int64], effect: Floats, se: Floats
) -> tuple[MatrixPlace, ...]:
    """Every rep's place; arrays (n,) in the reps' order. A rep without any attitude measure stands at 0, unsure."""
    places = []
    for at, rep in enumerate(np.asarray(rep_ids, dtype=object)):
        known = bool(np.isfinite(attitude[at]))
        friendly, effective = bool(known and attitude[at] >= 0), bool(effect[at] >= 0)
        half = _Z90 * float(se[at])
        clear = abs(float(effect[at])) > half and known and abs(float(attitude[at])) > _ATTITUDE_MARGIN
        quadrant: Quadrant = "neither"
        if friendly:
            quadrant = "both" if effective else "attitude_only"
        elif effective:
            quadrant = "effect_only"
        places.append(
            MatrixPlace(
                rep_id=str(rep),
                attitude=float(attitude[at]) if known else None,
                effect=float(effect[at]),
                effect_low=float(effect[at]) - half,
                effect_high=float(effect[at]) + half,
                quadrant=quadrant,
                sure=bool(clear and n_measures[at] >= _FEWEST_MEASURES),
            )
        )
    return tuple(places)
