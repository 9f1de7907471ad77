"""From logits to probabilities that hold out of time, and how well they hold.

References
----------
Platt (1999), Probabilistic outputs for support vector machines; the line is shrunk towards "leave as it is".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from scipy.special import expit, logit
from scipy.stats import rankdata

from models.conversion.design import Floats
from models.conversion.pooled import Labels

N_BINS: Final = 10
# Prior standard deviations of intercept and slope - 1: a few hundred later leads are needed to move either.
_PRIOR = np.array([0.2, 0.15])


@dataclass(frozen=True)
class Calibrator:
    """Logit after calibration = intercept + slope x logit before."""

    intercept: float = 0.0
    slope: float = 1.0

    @classmethod
    def fit(cls, before: Floats, labels: Labels) -> Calibrator:
        """Line that fits best among those near the identity; `before` (n,) out-of-time logits.

        It turns about their mean: about a logit of 0, where hardly a lead lies, a flatter line would move the level.
        """
        told = labels.weights(before)
        centre = float(np.average(before, weights=told)) if len(before) else 0.0
        at = np.array([0.0, 1.0])
        x = np.column_stack([np.ones(len(before)), before - centre])
        precision = 1.0 / _PRIOR**2
        for _ in range(30):
            eta = centre + x @ at
            gradient = x.T @ (labels.responsibilities(eta) - expit(eta)) - precision * (at - [0.0, 1.0])
            hessian = (x * labels.weights(eta)[:, None]).T @ x + np.diag(precision)
            step = np.linalg.solve(hessian, gradient)
            at = at + step / max(1.0, float(np.abs(step).max()))
            if np.abs(step).max() < 1e-10:
                break
        slope = float(max(at[1], 0.05))
        return cls(float(at[0]) + centre * (1.0 - slope), slope)

    def apply(self, before: Floats) -> Floats:
        """Calibrated logits, shape as given."""
        return self.intercept + self.slope * before

    def to_parts(self) -> dict[str, float]:
        """JSON-able dict."""
        return asdict(self)

    @classmethod
    def from_parts(cls, parts: Mapping[str, float]) -> Calibrator:
        """Calibrator as `to_parts` wrote it."""
        return cls(**parts)


@dataclass(frozen=True)
class ReliabilityBin:
    """One of ten equal-width bins: leads in it, mean predicted probability, share won with its Wilson interval."""

    low: float
    high: float
    n: int
    mean_probability: float
    rate: float
    ci_low: float
    ci_high: float


def reliability(p: Floats, y: Floats) -> tuple[ReliabilityBin, ...]:
    """Bins that hold leads; `y` (n,) 0-1 (an open lead's chance counts as a part of a win); intervals at level 0.9."""
    found: list[ReliabilityBin] = []
    bins = _bins(p)
    for at in range(N_BINS):
        mine = bins == at
        n = int(mine.sum())
        if n:
            rate = float(y[mine].mean())
            low, high = wilson(rate, n)
            found.append(ReliabilityBin(at / N_BINS, (at + 1) / N_BINS, n, float(p[mine].mean()), rate, low, high))
    return tuple(found)


def wilson(rate: float, n: int, z: float = 1.6448536269514722) -> tuple[float, float]:
    """Wilson interval of a share. Wilson (1927), JASA 22."""
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)))
    return max(0.0, centre - half), min(1.0, centre + half)


def expected_calibration_error(p: Floats, y: Floats) -> float:
    """Mean over leads of |mean probability - share won| of the lead's bin; NaN without leads."""
    if len(p) == 0:
        return float("nan")
    gaps = np.bincount(_bins(p), weights=p - y, minlength=N_BINS)
    return float(np.abs(gaps).sum() / len(p))


def expected_ece_of_calibrated(p: Floats, n_sims: int, rng: np.random.Generator, level: float = 0.95) -> float:
    """Quantile of the calibration error that these probabilities would show if they were all true."""
    if len(p) == 0:
        return float("nan")
    bins = _bins(p)
    errors = [
        np.abs(np.bincount(bins, weights=p - (rng.random(len(p)) < p), minlength=N_BINS)).sum() / len(p)
        for _ in range(n_sims)
    ]
    return float(np.quantile(errors, level))


def brier(p: Floats, y: Floats) -> float:
    """Mean squared error of probabilities, `y` 0-1 (parts of a win as two weighted leads); NaN without leads."""
    return float(np.mean(y * (1.0 - p) ** 2 + (1.0 - y) * p**2)) if len(p) else float("nan")


def log_loss(p: Floats, y: Floats) -> float:
    """Mean negative log-likelihood; NaN without leads."""
    return float(np.mean(log_losses(logit(np.clip(p, 1e-15, 1 - 1e-15)), y))) if len(p) else float("nan")


def log_losses(eta: Floats, y: Floats) -> Floats:
    """(n,) negative log-likelihood of each lead at logit eta."""
    return np.asarray(np.logaddexp(0.0, eta) - y * eta)


def auc(p: Floats, y: Floats) -> float:
    """Chance that a won lead scores above a lost one, ties half; parts of a win count by weight. NaN for one class."""
    won, lost = float(y.sum()), float((1.0 - y).sum())
    if len(p) == 0 or won < 1e-9 or lost < 1e-9:
        return float("nan")
    ties = rankdata(p, method="dense").astype(np.int64) - 1
    won_at = np.bincount(ties, weights=y)
    lost_at = np.bincount(ties, weights=1.0 - y)
    below = np.concatenate([[0.0], np.cumsum(lost_at)[:-1]])
    return float((won_at * (below + 0.5 * lost_at)).sum() / (won * lost))


def _bins(p: Floats) -> Any:
    return np.clip((p * N_BINS).astype(np.int64), 0, N_BINS - 1)
