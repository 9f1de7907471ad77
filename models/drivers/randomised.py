"""Effect of a measure that was given out by lot: the difference of two arms, with a check that the lot was fair.

What randomisation buys is that nothing needs to be modelled; what it needs is that the arms were alike beforehand.
So the arms are compared on everything known before, and where they differ more than lots do, the number is withheld:
then it is a comparison of different people and no effect.

References
----------
Imbens, Rubin (2015), Causal Inference for Statistics, Social, and Biomedical Sciences, chapters 6, 7 and 14.
Lin (2013), Agnostic notes on regression adjustments to experimental data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from models.drivers.clustered import LEVEL, Floats, Interval, codes_of, coefficient_interval
from models.drivers.panel_effects import EffectError

_BALANCE_ALPHA = 0.001
_LARGE_DIFFERENCE = 0.5  # standardised: small honest lots reach 0.3 on one covariate of many (NSW: 0.30), not this


@dataclass(frozen=True)
class TwoArms:
    """Difference treated minus untreated and what speaks for the arms being alike.

    `balance_p`: p of the joint test that covariates tell the arms apart (1 without covariates).
    `largest_difference`: the largest standardised difference of a covariate's means. `balanced`: both within bounds.
    """

    interval: Interval
    n_treated: int
    n_untreated: int
    mean_treated: float
    mean_untreated: float
    balance_p: float
    largest_difference: float
    balanced: bool


def two_arms(
    treatment: npt.ArrayLike,
    outcome: npt.ArrayLike,
    covariates: npt.ArrayLike | None = None,
    *,
    cluster: npt.ArrayLike | None = None,
    adjust: bool = False,
    level: float = LEVEL,
) -> TwoArms:
    """Difference of means of outcome (n,) between treatment 1 and 0 (n,), rows with a missing value left out.

    `covariates` (n, k), known before, feed the balance check, and with `adjust` the estimate (each arm its own
    slopes). `cluster` (n,): what was drawn together, such as a team. Raises EffectError where an arm holds fewer
    than two rows.
    """
    d, y = np.asarray(treatment, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    extra = np.empty((len(d), 0)) if covariates is None else np.asarray(covariates, dtype=np.float64)
    extra = extra[:, None] if extra.ndim == 1 else extra
    whole = np.isfinite(d) & np.isfinite(y) & np.isfinite(extra).all(axis=1)
    d, y, extra = d[whole], y[whole], extra[whole]
    if not np.isin(d, (0.0, 1.0)).all():
        raise EffectError("treatment of a two-arm comparison holds other values than 0 and 1")
    n_treated, n_untreated = int(d.sum()), int(len(d) - d.sum())
    if min(n_treated, n_untreated) < 2:
        raise EffectError(f"each arm needs at least 2 rows: treated {n_treated}, untreated {n_untreated}")
    together = np.arange(len(d)) if cluster is None else np.asarray(cluster)[whole]
    p, largest = balance(d, extra)
    return TwoArms(
        interval=_difference(d, y, extra if adjust else extra[:, :0], together, cluster is None, level),
        n_treated=n_treated,
        n_untreated=n_untreated,
        mean_treated=float(y[d == 1].mean()),
        mean_untreated=float(y[d == 0].mean()),
        balance_p=p,
        largest_difference=largest,
        balanced=p > _BALANCE_ALPHA and largest < _LARGE_DIFFERENCE,
    )


def _difference(
    d: Floats, y: Floats, extra: Floats, together: npt.NDArray[np.generic], single: bool, level: float
) -> Interval:
    """Interval of the treatment's coefficient: Welch's where rows are independent, else CR2 by cluster."""
    if single and extra.shape[1] == 0:
        a, b = y[d == 1], y[d == 0]
        va, vb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
        spread = va + vb
        parts = va**2 / (len(a) - 1) + vb**2 / (len(b) - 1)
        dof = spread**2 / parts if parts > 0 else len(y) - 2
        half = float(stats.t.ppf(0.5 + level / 2, dof) * spread**0.5)
        gap = float(a.mean() - b.mean())
        return Interval(gap, float(spread**0.5), float(dof), gap - half, gap + half, level)
    centred = extra - extra.mean(axis=0)
    X = np.column_stack([d, np.ones_like(d), centred, centred * d[:, None]])
    coefficients = np.linalg.lstsq(X, y, rcond=None)[0]
    codes, n_clusters = codes_of(together)
    if n_clusters < 3:
        raise EffectError("a clustered comparison needs at least 3 clusters")
    return coefficient_interval(X, coefficients, y - X @ coefficients, codes, correction="CR2", level=level)


def balance(treatment: Floats, covariates: Floats) -> tuple[float, float]:
    """p that the covariates' differences come from a lot, and the largest standardised difference.

    The joint test regresses the arm on all covariates (F); standardised by the pooled standard deviation of the arms.
    """
    moving = covariates[:, covariates.std(axis=0) > 0] if covariates.size else covariates
    if moving.shape[1] == 0:
        return 1.0, 0.0
    a, b = moving[treatment == 1], moving[treatment == 0]
    pooled = np.sqrt((a.var(axis=0, ddof=1) + b.var(axis=0, ddof=1)) / 2)
    gaps = np.abs(a.mean(axis=0) - b.mean(axis=0)) / np.where(pooled > 0, pooled, np.inf)
    centred = moving - moving.mean(axis=0)
    target = treatment - treatment.mean()
    fitted = centred @ np.linalg.lstsq(centred, target, rcond=None)[0]
    rank = int(np.linalg.matrix_rank(centred))
    free = len(target) - rank - 1
    rest = float(np.sum((target - fitted) ** 2))
    if free < 1 or rest <= 0:
        return 0.0, float(gaps.max())
    return float(stats.f.sf(float(fitted @ fitted) / rank / (rest / free), rank, free)), float(gaps.max())
