"""Expected amount of a lead if it is won, and draws of it.

Log amounts: groups of numbers, levels and reps, each shrunk by its own estimated variance (ridge whose strength is
estimated). Back to money by smearing over the residuals; both the fitted log amount and the residuals are kept inside
the range seen, so that one extreme deal or one strange lead cannot explode a mean.

References
----------
Duan (1983), Smearing estimate: a nonparametric retransformation method, JASA 78.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import sparse
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from models.conversion.columns import PairColumns, without_outcomes
from models.conversion.design import Codes, Design, Encoded, Floats, learn_design, text_column

_RESIDUAL_LEVELS: Final = np.linspace(0.005, 0.995, 100)
_ARRAYS: Final = ("beta", "rep_effects", "residuals")
_NUMBERS: Final = ("lowest", "highest", "zero_share", "n")
_MOST_REPS: Final = 2_000
_ROUNDS: Final = 40
_LEAST_VARIANCE: Final = 1e-6
# Each group of effects begins with an imagined one of a tenth, which counts as one. Where it stands for reps it counts
# as a hundredth: over dozens of columns that describe them, reps who play no part in amounts seemed to differ by 0.05.
_IMAGINED: Final = 0.01
_REP_SURE: Final = 0.01
# Imagined deals with the desk's residual variance, so that three equal deals do not claim certainty.
_PRIOR_DEALS: Final = 5.0
_PRIOR_VARIANCE: Final = 0.25


@dataclass(frozen=True)
class AmountModel:
    """Amounts if won, major units. `n` won deals were learnt from; without any, every expectation is 0.

    `residuals` (100,) are quantiles of log amount minus fit; `zero_share` of won deals bring nothing.
    """

    design: Design
    reps: tuple[str, ...]
    beta: Floats
    rep_effects: Floats
    residuals: Floats
    lowest: float
    highest: float
    zero_share: float
    n: int

    @classmethod
    def fit(cls, pairs: pd.DataFrame, columns: PairColumns) -> AmountModel:
        """Model of the won rows (`amount` finite) of a pairs frame."""
        amounts = pairs["amount"].to_numpy(dtype=np.float64, na_value=np.nan)
        order = np.lexsort([pairs[key].to_numpy() for key in ("lead_id", "as_of") if key in pairs.columns])
        won = order[np.isfinite(amounts[order]) & (amounts[order] >= 0)]
        positive = won[amounts[won] > 0]
        design = learn_design(pairs.iloc[positive], _amount_columns(columns)).in_mode("reps")
        if len(positive) == 0:
            nothing = np.zeros(0)
            return cls(design, (), np.zeros(len(design.fixed_groups)), nothing, np.zeros(100), 0.0, 0.0, 1.0, 0)
        y = np.log(amounts[positive])
        frame = pairs.iloc[positive]
        reps, codes = _reps(frame)
        with threadpool_limits(limits=1):
            fitted = _Regression(design, design.encode(frame), codes, len(reps), y).solve()
        eta = fitted.eta
        low, high = (float(edge) for edge in np.quantile(y, [0.01, 0.99]))
        residuals = np.quantile(y - np.clip(eta, low, high), _RESIDUAL_LEVELS)
        zero = 1.0 - len(positive) / len(won)
        return cls(design, reps, fitted.beta, fitted.rep_effects, residuals, low, high, zero, len(won))

    def expected_amount(self, frame: pd.DataFrame) -> Floats:
        """(n,) mean amount if won, major units."""
        if self.n == 0:
            return np.zeros(len(frame))
        return np.asarray((1.0 - self.zero_share) * np.exp(self.log_amount(frame)) * np.exp(self.residuals).mean())

    def expected_matrix(self, leads: pd.DataFrame, reps: pd.DataFrame) -> Floats:
        """(L, R) mean amount if won, of every lead with every rep."""
        if self.n == 0:
            return np.zeros((len(leads), len(reps)))
        lead_part = self.design.dense(self.design.encode(leads, ("lead",))) @ self.beta
        return self.from_logs(lead_part[:, None] + self.rep_logs(reps)[None, :])

    def rep_logs(self, reps: pd.DataFrame) -> Floats:
        """(R,) the reps' part of the log amount."""
        return np.asarray(self.design.dense(self.design.encode(reps, ("rep",))) @ self.beta + self._rep_part(reps))

    @property
    def factor(self) -> float:
        """Mean amount if won of a fitted log amount of zero: what noise and deals of nothing make of it."""
        return float((1.0 - self.zero_share) * np.exp(self.residuals).mean())

    def from_logs(self, logs: Floats) -> Floats:
        """Mean amounts if won of fitted log amounts, shape as given."""
        clipped = np.clip(logs, self.lowest, self.highest)
        return np.asarray((1.0 - self.zero_share) * np.exp(clipped) * np.exp(self.residuals).mean())

    def draw(self, rng: np.random.Generator, frame: pd.DataFrame, n: int) -> Floats:
        """(n, len(frame)) amounts if won; their mean is `expected_amount`."""
        shape = (n, len(frame))
        if self.n == 0:
            return np.zeros(shape)
        noise = self.residuals[rng.integers(len(self.residuals), size=shape)]
        amounts = np.exp(self.log_amount(frame)[None, :] + noise)
        return np.where(rng.random(shape) < self.zero_share, 0.0, amounts)

    def log_amount(self, frame: pd.DataFrame) -> Floats:
        """(n,) logarithm of the amount if won, kept inside the range seen."""
        fitted = self.design.dense(self.design.encode(frame)) @ self.beta + self._rep_part(frame)
        return np.clip(fitted, self.lowest, self.highest)

    def _rep_part(self, frame: pd.DataFrame) -> Floats:
        index = {rep: at for at, rep in enumerate(self.reps)}
        padded = np.append(self.rep_effects, 0.0)
        return padded[[index.get(str(rep), len(self.reps)) for rep in text_column(frame, "rep_id")]]

    def to_parts(self) -> dict[str, Any]:
        """JSON-able dict."""
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS}
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        return {**arrays, **numbers, "design": self.design.to_json(), "reps": list(self.reps)}

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> AmountModel:
        """Model as `to_parts` wrote it."""
        values: dict[str, Any] = {name: np.array(parts[name], dtype=np.float64) for name in _ARRAYS}
        values |= {name: parts[name] for name in _NUMBERS}
        return cls(design=Design.from_json(parts["design"]), reps=tuple(parts["reps"]), **values)


def _amount_columns(columns: PairColumns) -> PairColumns:
    return PairColumns(
        columns.lead_numeric, columns.lead_categorical, without_outcomes(columns.rep_numeric), (),
        columns.rep_categorical,
    )  # fmt: skip


def _reps(frame: pd.DataFrame) -> tuple[tuple[str, ...], Codes]:
    """The reps with most deals, in order of first appearance, and each row's code, -1 for another."""
    ids = text_column(frame, "rep_id")
    counts = pd.Series(ids).value_counts(sort=False)
    kept = set(counts.sort_values(ascending=False, kind="stable").index[:_MOST_REPS])
    reps = tuple(str(rep) for rep in counts.index if rep in kept)
    index = {rep: at for at, rep in enumerate(reps)}
    return reps, np.array([index.get(str(rep), -1) for rep in ids], dtype=np.int64)


class _Regression:
    """Linear mixed model by alternating ridge solutions and MacKay updates of the variances."""

    def __init__(self, design: Design, encoded: Encoded, reps: Codes, n_reps: int, y: Floats) -> None:
        n, m = len(y), design.n_levels
        rows = np.arange(n)
        codes = [(rows[column != m], column[column != m]) for column in encoded.codes.T]
        codes.append((rows[reps >= 0], reps[reps >= 0] + m))
        at = np.concatenate([pair[0] for pair in codes])
        to = np.concatenate([pair[1] for pair in codes])
        levels = sparse.csr_matrix((np.ones(len(at)), (at, to)), shape=(n, m + n_reps))
        self.x = sparse.hstack([sparse.csr_matrix(encoded.numeric), levels], format="csr")
        self.y, self.n_fixed = y, design.n_numeric + m
        self.groups = (*design.fixed_groups, *(["rep"] * n_reps))
        self.coefficients = np.zeros(len(self.groups))

    @property
    def beta(self) -> Floats:
        return self.coefficients[: self.n_fixed]

    @property
    def rep_effects(self) -> Floats:
        return self.coefficients[self.n_fixed :]

    @property
    def eta(self) -> Floats:
        return np.asarray(self.x @ self.coefficients)

    def solve(self) -> _Regression:
        """Itself, solved."""
        names = {
            name: np.array([group == name for group in self.groups]) for name in dict.fromkeys(self.groups) if name
        }
        variances = dict.fromkeys(names, 0.05)
        noise = float(np.var(self.y)) + 1e-6
        f = self.n_fixed
        gram, counts = (self.x[:, :f].T @ self.x).toarray(), np.asarray(self.x[:, f:].sum(axis=0)).ravel()
        centre = float(self.y.mean())
        moment = np.asarray(self.x.T @ (self.y - centre))
        for _ in range(_ROUNDS):
            prior = np.array([1.0 / variances[name] if name else 1e-8 for name in self.groups])
            # No row has two reps: their part is diagonal, and what is left to invert is as small as the fixed effects.
            own = counts / noise + prior[f:]
            ratio = gram[:, f:] / noise / own
            covariance = np.linalg.inv(gram[:, :f] / noise + np.diag(prior[:f]) - ratio @ (gram[:, f:] / noise).T)
            beta = covariance @ ((moment[:f] - ratio @ moment[f:]) / noise)
            self.coefficients = np.concatenate([beta, moment[f:] / noise / own - ratio.T @ beta])
            spread = np.concatenate([np.diag(covariance), 1.0 / own + ((covariance @ ratio) * ratio).sum(axis=0)])
            change = 0.0
            for name, mine in names.items():
                freed = float(mine.sum() - spread[mine].sum() / variances[name])
                square = float((self.coefficients[mine] ** 2).sum())
                sure = _REP_SURE if name.startswith("rep") else 1.0
                new = (square + sure * _IMAGINED) / (freed + sure)
                new = max(new, variances[name] / 8.0, _LEAST_VARIANCE)
                change = max(change, abs(new**0.5 - variances[name] ** 0.5))
                variances[name] = min(new, 25.0)
            left = self.y - centre - np.asarray(self.x @ self.coefficients)
            used = float(len(prior) - (prior * spread).sum())
            noise = (float(left @ left) + _PRIOR_DEALS * _PRIOR_VARIANCE) / (max(len(left) - used, 0.0) + _PRIOR_DEALS)
            if change < 1e-3:
                break
        self.coefficients[0] += centre
        return self
