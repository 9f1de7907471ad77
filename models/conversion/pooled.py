"""Penalised logistic regression with a block of random effects a rep; variance components estimated, not guessed.

log-odds of winning = fixed effects (each group of them shrunk by its own estimated variance) + the rep's intercept
+ rep x industry, rep x source, ... Newton steps on the observed-data likelihood alternate with updates of the
variances (Laplace approximation, REML-like): of fixed effects by MacKay's fixed point, of reps' effects by scoring
steps on the same equation. Where a rep's data say little of an effect the fixed point moves by a few hundredths of the
way a round; a fit stopped there believes in effects that are not there, and too little in those that are.

An open lead contributes log(p S_win + (1 - p) S_loss): its gradient is q - p with q its chance given its age, its
weight p(1 - p) - q(1 - q), what staying open really tells; a lead handed over just now tells nothing.

References
----------
Breslow and Clayton (1993), Approximate inference in generalized linear mixed models, JASA 88.
Wood and Fasiolo (2017), A generalized Fellner-Schall method for smoothing parameter optimization, Biometrics 73.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit

from models.conversion.arrow import (
    ArrowFactor,
    PairRows,
    cross_products,
    factorise,
    predict_linear,
    project,
)
from models.conversion.design import Floats

LEAST_VARIANCE: Final = 1e-6
_MOST_VARIANCE = 25.0
_CONSTANT_VARIANCE = 6.25
_LEAST_WEIGHT = 1e-9
# Steps that shrink by less than this a step are not yet on their way to an end that they tell.
_MOST_SHARE = 0.95
# One imagined effect of this size in each group of fixed effects, so that a group of three cannot run away.
_FIXED_PRIOR = 0.25
# One imagined effect of a tenth: teams may be few, and where they do not differ their effects must go to nothing.
_GROUPED_PRIOR = 0.01


@dataclass(frozen=True)
class FitOptions:
    """`variances`: held at these values instead of estimated; `guess`: where estimation starts.

    `tolerance`: a standard deviation's last change; `precision`: the linear predictor's last change.
    """

    max_rounds: int = 40
    tolerance: float = 2e-3
    precision: float = 1e-9
    variances: Mapping[str, float] = field(default_factory=dict)
    guess: Mapping[str, float] = field(default_factory=dict)


# Where a fit is only compared, bootstrapped or started from; a hundredth of a standard deviation decides nothing there.
QUICK: Final = FitOptions(max_rounds=15, tolerance=1e-2, precision=1e-2)


@dataclass(frozen=True)
class Labels:
    """`y` (n,) 1, 0 or NaN where open; `log_ratio` (n,) what its age adds to an open lead's logit, else 0."""

    y: Floats
    log_ratio: Floats

    def responsibilities(self, eta: Floats) -> Floats:
        """(n,) y, or the chance of an open lead given its age."""
        return np.where(np.isnan(self.y), expit(eta + self.log_ratio), self.y)

    def log_likelihood(self, eta: Floats) -> float:
        """Observed-data log-likelihood, up to a constant."""
        closed = np.where(self.y > 0.5, log_expit(eta), log_expit(-eta))
        still = np.logaddexp(log_expit(eta) + self.log_ratio, log_expit(-eta))
        return float(np.where(np.isnan(self.y), still, closed).sum())

    def weights(self, eta: Floats) -> Floats:
        """(n,) observed information of each row's linear predictor."""
        p = expit(eta)
        q = self.responsibilities(eta)
        lost = np.where(np.isnan(self.y), q * (1.0 - q), 0.0)
        return np.maximum(p * (1.0 - p) - lost, _LEAST_WEIGHT)


@dataclass(frozen=True)
class PooledFit:
    """Fitted effects. `beta` (p,), `effects` (R, K), `variances` by group with `variance_sd` their standard errors."""

    beta: Floats
    effects: Floats
    variances: dict[str, float]
    variance_sd: dict[str, float]
    factor: ArrowFactor
    centre: float

    def eta(self, rows: PairRows) -> Floats:
        """(n,) linear predictor of training rows."""
        return predict_linear(rows, self.beta, self.effects)


@dataclass(frozen=True)
class Groups:
    """Variance group of each fixed effect ("" = the constant) and of each of a rep's cells.

    `structure` (K, K): inverse of the cells' prior correlation, with nothing between groups; None: independent cells.
    `grouped`: fixed groups that stand for reps, such as their teams.
    """

    fixed: tuple[str, ...]
    cells: tuple[str, ...]
    structure: Floats | None = None
    grouped: frozenset[str] = frozenset()

    @property
    def unit_precision(self) -> Floats:
        """(K, K) prior precision of the cells at variances of one."""
        return np.eye(len(self.cells)) if self.structure is None else self.structure

    def precision(self, variances: Mapping[str, float]) -> tuple[Floats, Floats]:
        """Prior precisions (p,) and (K, K)."""
        fixed = np.array([1.0 / (variances[name] if name else _CONSTANT_VARIANCE) for name in self.fixed])
        scale = np.array([1.0 / variances[name] for name in self.cells])
        return fixed, self.unit_precision * np.sqrt(np.outer(scale, scale))

    def take(self, fixed: npt.NDArray[np.bool_], cells: npt.NDArray[np.bool_]) -> Groups:
        """The groups of some fixed effects and some cells, whole groups of them."""
        names = tuple(name for name, keep in zip(self.fixed, fixed, strict=True) if keep)
        kept = tuple(name for name, keep in zip(self.cells, cells, strict=True) if keep)
        structure = None if self.structure is None else self.structure[np.ix_(cells, cells)]
        return Groups(names, kept, structure, self.grouped)

    def names(self) -> list[str]:
        """Each group once, in order."""
        return [name for name in dict.fromkeys(self.fixed + self.cells) if name]


class _State:
    """Coefficients on their way to the optimum."""

    def __init__(self, rows: PairRows, labels: Labels, groups: Groups, start: PooledFit | None) -> None:
        self.rows, self.labels, self.groups = rows, labels, groups
        seen = labels.y[np.isfinite(labels.y)]
        rate = (seen.sum() + 0.5) / (len(seen) + 1.0)
        self.centre = float(np.log(rate / (1.0 - rate)))
        self.beta = np.zeros(rows.n_fixed)
        self.beta[0] = self.centre
        self.effects = np.zeros((rows.n_reps, rows.n_cells))
        self.variances = {name: 0.09 if name in groups.cells else 0.25 for name in groups.names()}
        # What the last step of a fixed effects' variance changed in its standard deviation; empty after a leap.
        self.stepped: dict[str, float] = {}
        # Of reps' variances: the last slope, and the share of a scoring step that is taken.
        self.slopes: dict[str, float] = {}
        self.pace: dict[str, float] = {}
        if start is not None and start.effects.shape == self.effects.shape and start.beta.shape == self.beta.shape:
            self.beta, self.effects, self.variances = start.beta.copy(), start.effects.copy(), dict(start.variances)

    def penalised(self, eta: Floats, beta: Floats, effects: Floats, fixed: Floats, cells: Floats) -> float:
        shifted = beta.copy()
        shifted[0] -= self.centre
        return (
            self.labels.log_likelihood(eta)
            - 0.5 * float(fixed @ shifted**2)
            - 0.5 * float(((effects @ cells) * effects).sum())
        )

    def newton(self) -> tuple[ArrowFactor, float]:
        """One Newton step, halved until it gains; the factor before the step and the largest change of eta."""
        fixed, cells = self.groups.precision(self.variances)
        eta = predict_linear(self.rows, self.beta, self.effects)
        factor = factorise(cross_products(self.rows, self.labels.weights(eta)), fixed, cells)
        grad_fixed, grad_blocks = project(self.rows, self.labels.responsibilities(eta) - expit(eta))
        shifted = self.beta.copy()
        shifted[0] -= self.centre
        step_beta, step_effects = factor.solve(grad_fixed - fixed * shifted, grad_blocks - self.effects @ cells)
        before = self.penalised(eta, self.beta, self.effects, fixed, cells)
        step_eta = predict_linear(self.rows, step_beta, step_effects)
        size = min(1.0, 8.0 / max(float(np.abs(step_eta).max(initial=0.0)), 1e-300))
        for _ in range(30):
            beta, effects = self.beta + size * step_beta, self.effects + size * step_effects
            after = self.penalised(eta + size * step_eta, beta, effects, fixed, cells)
            if after >= before - 1e-9 * (1.0 + abs(before)):
                self.beta, self.effects = beta, effects
                break
            size *= 0.5
        return factor, float(np.abs(size * step_eta).max(initial=0.0))

    def update_variances(self, factor: ArrowFactor, held: Mapping[str, float]) -> float:
        """A step of each variance; the largest change of a standard deviation before leaping.

        Of fixed effects every second step is a leap: MacKay's fixed point nears its end by a constant share a step, so
        two steps tell where it ends (Aitken's delta squared, by standard deviation).
        """
        change, stepped = 0.0, dict[str, float]()
        sums = _sums_by_group(self, factor)
        for name, old in self.variances.items():
            if name in self.groups.cells:
                new = old * (1.0 + self.scoring_step(name, sums[name], old))
            else:
                size = _GROUPED_PRIOR if name in self.groups.grouped else _FIXED_PRIOR
                new = (sums[name].square + size) / max(sums[name].free + 1.0, 1e-12)
            new = min(max(new, old / 8.0, LEAST_VARIANCE), old * 8.0, _MOST_VARIANCE)
            new = held.get(name, new)
            step = new**0.5 - old**0.5
            change = max(change, abs(step))
            if name in self.stepped and name not in held:
                new = max(new**0.5 + _leap(step, self.stepped[name]), 0.5 * new**0.5) ** 2
                new = min(max(new, LEAST_VARIANCE), _MOST_VARIANCE)
            elif name not in self.groups.cells:
                stepped[name] = step
            self.variances[name] = float(new)
        self.stepped = stepped
        return change

    def scoring_step(self, name: str, sums: _Sums, old: float) -> float:
        """Relative step of the variance of a kind of rep effects; halved for good each time that it turns round."""
        slope = sums.square / old - sums.free
        turned = slope * self.slopes.get(name, slope) < 0.0
        self.pace[name] = self.pace.get(name, 1.0) * (0.5 if turned else 1.0)
        self.slopes[name] = slope
        return self.pace[name] * slope / max(sums.information, 1e-12)


def _leap(step: float, before: float) -> float:
    """What steps that shrink as the last two did still add up to; nothing where they do not shrink evenly."""
    share = step / before if before else 0.0
    return step * share / (1.0 - share) if 0.0 < share <= _MOST_SHARE else 0.0


@dataclass
class _Sums:
    """Of a group: sum of squared effects, effective number of effects, and twice the information on the log of its
    variance."""

    square: float = 0.0
    free: float = 0.0
    information: float = 0.0


def _sums_by_group(state: _State, factor: ArrowFactor) -> dict[str, _Sums]:
    structure = state.groups.unit_precision
    fixed = np.diag(factor.fixed_covariance)
    cells = factor.block_variances(structure)
    squares = ((state.effects @ structure) * state.effects).sum(axis=0)
    sums = {name: _Sums() for name in state.variances}
    for at, name in enumerate(state.groups.fixed):
        if name:
            sums[name].square += float(state.beta[at] ** 2)
            sums[name].free += float(1.0 - fixed[at] / state.variances[name])
    for at, name in enumerate(state.groups.cells):
        kept = 1.0 - cells[:, at] / state.variances[name]
        sums[name].square += float(squares[at])
        sums[name].free += float(kept.sum())
        sums[name].information += float((kept**2).sum())
    return sums


def fit_pooled(
    rows: PairRows, labels: Labels, groups: Groups, options: FitOptions, start: PooledFit | None = None
) -> PooledFit:
    """Posterior modes and curvature at the variances that fit best; see the module's text."""
    state = _State(rows, labels, groups, start)
    for given in (options.guess, options.variances):
        state.variances.update({name: value for name, value in given.items() if name in state.variances})
    settled, moved, polish = False, 0.0, 12
    for _ in range(options.max_rounds):
        factor, moved = state.newton()
        if moved > 2.0:
            continue
        if not settled:
            change = state.update_variances(factor, options.variances)
            settled = change < options.tolerance and moved < 0.1
        if settled and moved < max(1e-3, options.precision):
            break
    while moved > options.precision and polish > 0:
        factor, moved = state.newton()
        polish -= 1
    fit = PooledFit(state.beta, state.effects, state.variances, {}, factor, state.centre)
    return PooledFit(**{**fit.__dict__, "variance_sd": _variance_errors(state, factor)})


def _variance_errors(state: _State, factor: ArrowFactor) -> dict[str, float]:
    """Standard error of each cell group's variance, from the information of a variance in a linear model."""
    spread = factor.block_variances(state.groups.unit_precision)
    kept = 1.0 - spread / np.array([state.variances[name] for name in state.groups.cells])
    errors: dict[str, float] = {}
    for name in dict.fromkeys(state.groups.cells):
        mine = np.array([group == name for group in state.groups.cells])
        information = 0.5 * float(((kept[:, mine] / state.variances[name]) ** 2).sum())
        errors[name] = float(1.0 / np.sqrt(information)) if information > 1e-12 else float("inf")
    return errors


def observed_weights(labels: Labels, eta: Floats) -> Floats:
    """(n,) information weights; see `Labels.weights`."""
    return labels.weights(eta)


def rep_codes(rep_ids: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Code of each row's rep, and the reps in order of first appearance, so that names play no part."""
    codes: dict[str, int] = {}
    rows = np.array([codes.setdefault(str(rep), len(codes)) for rep in rep_ids], dtype=np.int64)
    return rows, tuple(codes)
