"""The fitted pooled model as it is stored and asked: mean and variance of the log-odds of each pair.

Of a rep's posterior block the store keeps variances, covariances with his intercept, and the intercept's regression on
the fixed effects: exact where only reps differ; with interactions, covariances among those of different kinds (small,
mostly negative) are left out, so that variances err on the wide side and a release stays small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from models.conversion.arrow import ArrowFactor, PairRows
from models.conversion.columns import PairColumns
from models.conversion.design import Codes, Design, Floats, Mode, dense_rows, learn_design, text_column
from models.conversion.pooled import QUICK, FitOptions, Groups, Labels, PooledFit, fit_pooled, rep_codes
from models.conversion.timing import Ages, TimeToClose

_CHUNK: Final = 20_000
SHRINK: Final = np.pi / 8.0


def mean_logit(mean: Floats, variance: Floats) -> Floats:
    """Logit of the mean probability when the log-odds are normal: what is unsure is pulled towards one half.

    Taking the highest of noisy scores would otherwise prefer the noise. MacKay (1992), Neural Computation 4.
    """
    return np.asarray(mean / np.sqrt(1.0 + SHRINK * variance))


@dataclass(frozen=True)
class PooledModel:
    """Fixed effects `beta` (p,), reps' `effects` (R, K), their variances; `reference` (p,) is the mean training row."""

    design: Design
    reps: tuple[str, ...]
    beta: Floats
    effects: Floats
    variances: dict[str, float]
    fixed_covariance: Floats
    cell_variance: Floats
    cell_covariance: Floats
    regression: Floats
    reference: Floats

    @cached_property
    def rep_index(self) -> dict[str, int]:
        """Row of each known rep."""
        return {rep: at for at, rep in enumerate(self.reps)}

    @cached_property
    def _padded(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Effects, variances, covariances and regression with a last row for an unknown rep, a last column for none."""
        prior = np.array([[self.variances[name] for name in self.design.cell_groups]])
        blank = np.zeros_like(prior)
        parts = [(self.effects, blank), (self.cell_variance, prior), (self.cell_covariance, blank)]
        padded = [np.pad(np.vstack([part, last]), ((0, 0), (0, 1))) for part, last in parts]
        return padded[0], padded[1], padded[2], np.vstack([self.regression, np.zeros((1, len(self.beta)))])

    def rep_rows(self, rep_ids: npt.NDArray[Any]) -> Codes:
        """(n,) row of each rep; the last, the prior's, where unknown."""
        last = len(self.reps)
        return np.array([self.rep_index.get(str(rep), last) for rep in rep_ids], dtype=np.int64)

    def of_reps(self, rep_ids: npt.NDArray[Any]) -> tuple[Floats, Floats, Floats, Floats]:
        """Effects, variances, covariances (n, K + 1; the last column: none) and regression (n, p) of the reps."""
        rows = self.rep_rows(rep_ids)
        effects, variance, covariance, regression = (part[rows] for part in self._padded)
        return effects, variance, covariance, regression

    def predict(self, frame: pd.DataFrame) -> tuple[Floats, Floats]:
        """(n,) posterior mean and variance of the log-odds of each pair."""
        parts = [self._predict(frame.iloc[at : at + _CHUNK]) for at in range(0, len(frame), _CHUNK)]
        if not parts:
            return np.zeros(0), np.zeros(0)
        return np.concatenate([mean for mean, _ in parts]), np.concatenate([variance for _, variance in parts])

    def _predict(self, frame: pd.DataFrame) -> tuple[Floats, Floats]:
        encoded = self.design.encode(frame)
        x = self.design.dense(encoded)
        mean = x @ self.beta
        cells = encoded.cells
        if not cells.shape[1]:
            return mean, _quadratic(x, self.fixed_covariance)
        reps = self.rep_rows(text_column(frame, "rep_id"))
        effects, variance, covariance, regression = self._padded
        mean = mean + effects[reps[:, None], cells].sum(axis=1)
        spread = variance[reps[:, None], cells].sum(axis=1) + 2.0 * covariance[reps[:, None], cells[:, 1:]].sum(axis=1)
        total = _quadratic(x - regression[reps], self.fixed_covariance) + spread
        return mean, np.maximum(total, 1e-12)

    def predict_matrix(
        self, leads: pd.DataFrame, reps: pd.DataFrame, pair_columns: Mapping[str, Floats] | None = None
    ) -> tuple[Floats, Floats]:
        """(L, R) posterior mean and variance of the log-odds of every lead with every rep.

        `pair_columns`: (L, R) values by name; a pair column not given is at its mean.
        """
        lead_rows = self.design.encode(leads, ("lead",))
        lead_x = self.design.dense(lead_rows)
        shape = (len(leads), len(reps))
        if self.design.mode == "lead_only":
            mean, variance = lead_x @ self.beta, _quadratic(lead_x, self.fixed_covariance)
            return np.broadcast_to(mean[:, None], shape).copy(), np.broadcast_to(variance[:, None], shape).copy()
        rep_x = self.design.dense(self.design.encode(reps, ("rep",)))
        effects, spread, covariance, regression = self.of_reps(text_column(reps, "rep_id"))
        rep_u = rep_x - regression
        rep_mean = rep_x @ self.beta + effects[:, 0]
        rep_variance = _quadratic(rep_u, self.fixed_covariance) + spread[:, 0]
        projected = lead_x @ self.fixed_covariance
        mean = (lead_x @ self.beta)[:, None] + rep_mean[None, :]
        variance = 2.0 * (projected @ rep_u.T)
        variance += np.einsum("lp,lp->l", projected, lead_x)[:, None] + rep_variance[None, :]
        both = spread + 2.0 * covariance
        for cells in lead_rows.cells[:, 1:].T:
            mean += effects.T[cells]
            variance += both.T[cells]
        for at, values in self._pair_values(pair_columns or {}, shape):
            mean += values * self.beta[at]
            variance += 2.0 * values * (projected[:, at][:, None] + (rep_u @ self.fixed_covariance[:, at])[None, :])
            for other, others in self._pair_values(pair_columns or {}, shape):
                variance += values * others * self.fixed_covariance[at, other]
        return mean, np.maximum(variance, 1e-12)

    def _pair_values(self, given: Mapping[str, Floats], shape: tuple[int, int]) -> list[tuple[int, Floats]]:
        found: list[tuple[int, Floats]] = []
        at = 1
        for term in self.design.numbers:
            if term.side == "pair" and term.name in given:
                values = np.asarray(given[term.name], dtype=np.float64).reshape(-1)
                columns = term.encode(np.where(np.isfinite(values), values, np.nan))
                found += [(at + k, columns[:, k].reshape(shape)) for k in range(term.width)]
            at += term.width
        return found

    def contributions(self, frame: pd.DataFrame) -> list[dict[str, float]]:
        """By row, what each column and each kind of rep effect adds to the log-odds of the mean training row."""
        encoded = self.design.encode(frame)
        centred = (self.design.dense(encoded) - self.reference) * self.beta
        reps = self.rep_rows(text_column(frame, "rep_id"))
        kinds = ["rep", *(f"rep x {term.name}" for term in self.design.interactions)]
        found: list[dict[str, float]] = []
        for at, row in enumerate(centred):
            parts: dict[str, float] = {}
            for name, value in zip(self.design.fixed_names[1:], row[1:], strict=True):
                parts[name] = parts.get(name, 0.0) + float(value)
            for kind, cell in zip(kinds, encoded.cells[at], strict=False):
                parts[kind] = float(self._padded[0][reps[at], cell])
            found.append(parts)
        return found

    def to_parts(self) -> dict[str, Any]:
        """JSON-able dict."""
        arrays = ("beta", "effects", "fixed_covariance", "cell_variance", "cell_covariance", "regression", "reference")
        parts: dict[str, Any] = {name: getattr(self, name).tolist() for name in arrays}
        return {**parts, "design": self.design.to_json(), "reps": list(self.reps), "variances": dict(self.variances)}

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> PooledModel:
        """Model as `to_parts` wrote it."""
        design = Design.from_json(parts["design"])
        reps, p, K = len(parts["reps"]), len(parts["beta"]), design.n_cells
        shapes = {"fixed_covariance": (p, p), "regression": (reps, p), "beta": (p,), "reference": (p,)}
        shapes |= dict.fromkeys(("effects", "cell_variance", "cell_covariance"), (reps, K))
        arrays = {name: np.array(parts[name], dtype=np.float64).reshape(shape) for name, shape in shapes.items()}
        return cls(design=design, reps=tuple(parts["reps"]), variances=dict(parts["variances"]), **arrays)


def _quadratic(x: Floats, covariance: Floats) -> Floats:
    return np.asarray(np.einsum("np,np->n", x @ covariance, x))


@dataclass(frozen=True)
class Trained:
    """A pooled model with what it was learnt from and with; rows are in the frame's order."""

    model: PooledModel
    fit: PooledFit
    rows: PairRows
    labels: Labels
    groups: Groups
    times: TimeToClose
    ages: Ages


def train_pooled(
    frame: pd.DataFrame,
    columns: PairColumns,
    mode: Mode,
    as_of: int,
    options: FitOptions | None = None,
) -> Trained:
    """Pooled model of `frame` as known at `as_of`; open leads enter by their age, their times learnt with it."""
    options = options or FitOptions()
    design = learn_design(frame, columns).in_mode(mode)
    rep, reps = rep_codes(text_column(frame, "rep_id"))
    rows = PairRows(design.encode(frame), rep, len(reps), design.n_levels, design.n_cells)
    grouped = frozenset(f"rep {term.name}" for term in design.levels if term.side == "rep")
    groups = Groups(design.fixed_groups, design.cell_groups, design.cell_structure, grouped)
    ages = Ages.read(frame, as_of)
    times = TimeToClose.fit_ages(ages)
    labels = open_labels(ages, times)
    if not ages.is_open.any():
        fit = fit_pooled(rows, labels, groups, options)
    else:
        fit = fit_pooled(rows, labels, groups, replace(QUICK, max_rounds=5, guess=options.guess))
        times = TimeToClose.fit_ages(ages, expit(fit.eta(rows)))
        labels = open_labels(ages, times)
        fit = fit_pooled(rows, labels, groups, options, fit)
        times = TimeToClose.fit_ages(ages, expit(fit.eta(rows)))
    return Trained(_compact(design, reps, fit, rows, labels), fit, rows, labels, groups, times, ages)


def open_labels(ages: Ages, times: TimeToClose) -> Labels:
    """Labels of leads at the given ages."""
    ratio = np.where(ages.is_open, times.log_ratio(ages.days, ages.source), 0.0)
    return Labels(ages.y, ratio)


def _compact(design: Design, reps: Sequence[str], fit: PooledFit, rows: PairRows, labels: Labels) -> PooledModel:
    factor = fit.factor
    n_reps, K, p = factor.regression.shape
    variance = np.einsum("rkk->rk", factor.block_inverse).copy()
    covariance = factor.block_inverse[:, 0, :].copy() if K else np.zeros((n_reps, 0))
    covariance[:, :1] = 0.0
    regression = factor.regression[:, 0, :].copy() if K else np.zeros((n_reps, p))
    beta = fit.beta.copy()
    beta[0] += _level_shift(fit.eta(rows), _training_variance(factor, rows, variance, covariance, regression), labels)
    levels = np.bincount(rows.encoded.codes.ravel(), minlength=design.n_levels + 1)[:-1] / max(len(rows), 1)
    numeric = rows.encoded.numeric.sum(axis=0) / max(len(rows), 1)
    numeric[0] = 1.0
    reference = np.concatenate([numeric, levels])
    return PooledModel(
        design, tuple(reps), beta, fit.effects, dict(fit.variances), factor.fixed_covariance,
        variance, covariance, regression, reference,
    )  # fmt: skip


def _training_variance(
    factor: ArrowFactor, rows: PairRows, variance: Floats, covariance: Floats, regression: Floats
) -> Floats:
    """(n,) variance of the log-odds of training rows, as `PooledModel.predict` gives it."""
    padded = [np.column_stack([part, np.zeros(len(part))]) for part in (variance, covariance)]
    found = np.empty(len(rows))
    for at in range(0, len(rows), _CHUNK):
        some = slice(at, at + _CHUNK)
        encoded, rep = rows.encoded.take(np.arange(len(rows))[some]), rows.rep[some]
        x = dense_rows(encoded, rows.n_levels)
        if rows.n_cells:
            x = x - regression[rep]
        own = padded[0][rep[:, None], encoded.cells].sum(axis=1)
        own += 2.0 * padded[1][rep[:, None], encoded.cells[:, 1:]].sum(axis=1)
        found[some] = np.maximum(_quadratic(x, factor.fixed_covariance) + own, 1e-12)
    return found


def _level_shift(eta: Floats, variance: Floats, labels: Labels) -> float:
    """What must be added to the constant so that mean probabilities add up to the wins of the training rows.

    The mode fits the wins at the log-odds' centre; averaging over what is unsure lifts every chance below one half.
    """
    if not len(eta):
        return 0.0
    wins, shift = float(labels.responsibilities(eta).sum()), 0.0
    for _ in range(20):
        p = expit(mean_logit(eta + shift, variance))
        slope = float((p * (1.0 - p) / np.sqrt(1.0 + SHRINK * variance)).sum())
        step = float(np.clip((wins - p.sum()) / max(slope, 1e-9), -1.0, 1.0))
        shift += step
        if abs(step) < 1e-9:
            break
    return float(np.clip(shift, -1.0, 1.0))
