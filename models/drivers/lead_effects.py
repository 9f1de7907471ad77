"""Effect of a lever on the win probability of a lead, from leads of the same rep.

A logistic model with rep and month effects and the lead's own quality; what is reported is a finite step on the 0-1
scale: the win probability with one more of the treatment less the one without, averaged over the leads.

Two traps of follow-up frequency, and the answer to both. A lead closed in two days with two calls has seven calls a
week (short time makes high rates: fake positive), and a lead that nobody wants to lose stays open and gathers calls
(long time gathers counts: fake negative). So the frequency is taken over the first days after assignment only, among
leads still open at the end of them (the landmark), and says nothing of how long the lead stayed open afterwards.

Leads too young to have ended are not left out, for the newest months would go with them: a lead of which a share
`maturity` of those that are ever won would be won by now counts as won with that share of its chance.

    chance(won by now) = maturity * 1 / (1 + exp(-(rep + month + coefficient * treatment + controls)))

References
----------
Farewell (1982), The use of mixture models for the analysis of survival data with long-term survivors.
Anderson, Cain, Gelber (1983), Analysis of survival by tumor response (landmark analysis).
Suissa (2008), Immortal time bias in pharmacoepidemiology.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from features.moments import DAY, NEVER
from models.drivers.clustered import (
    LEVEL,
    Floats,
    Interval,
    Ints,
    cautious_interval,
    cluster_sums,
    codes_of,
    coefficient_interval,
)
from models.drivers.clustered import influences as cluster_influences
from models.drivers.clustered import interval as t_interval
from models.drivers.panel_effects import (
    EffectError,
    Panel,
    demean_two_way,
    independent_columns,
    make_panel,
    robustness_value,
)

LANDMARK_DAYS = 14
_UNIT_PRECISION = 0.1  # a rep's effect has prior sd 3 on the logit: keeps reps without a win finite, moves no other
_TIME_PRECISION = 0.1
_RIDGE = 1e-8
_MAX_STEPS = 60
_FEWEST_AT_RISK = 10
_LEAST_MATURITY = 0.1  # what is younger carries no weight, and its share is known badly


@dataclass(frozen=True)
class LeadEffect:
    """Step of +1 in the treatment on the 0-1 scale (`interval`) and its coefficient on the logit (`logit`).

    `money`: the same step, each lead's change times what it is worth when won, averaged over the leads.
    """

    interval: Interval
    logit: Interval
    money: Interval
    n: int
    n_units: int
    within_sd: float
    robustness: float
    method: str = "logit_rep_month_effects"


def landmark_frequency(
    lead: npt.ArrayLike,
    occurred_at: npt.ArrayLike,
    assigned_at: npt.ArrayLike,
    ended_at: npt.ArrayLike,
    as_of: int,
    days: int = LANDMARK_DAYS,
    begin: int = 0,
    stop: int | None = None,
) -> Floats:
    """Follow-ups a week in the first `days` after assignment, shape (n,); NaN for leads not open for so long.

    With `begin` and `stop`: a week of the time that the lead was open between those days after assignment.
    `lead` (m,) is each activity's row in the leads' arrays and `occurred_at` (m,) its moment; `assigned_at` and
    `ended_at` (n,) are moments, NEVER for a lead still open. The first contact is no follow-up and does not count.
    """
    start, end = np.asarray(assigned_at, dtype=np.int64), np.asarray(ended_at, dtype=np.int64)
    owner, when = np.asarray(lead, dtype=np.int64), np.asarray(occurred_at, dtype=np.int64)
    landmark = start + days * DAY
    low = start + begin * DAY
    high = np.minimum(np.minimum(start + (days if stop is None else stop) * DAY, np.maximum(end, landmark)), as_of)
    contact = np.full(len(start), NEVER, dtype=np.int64)
    mine = when >= start[owner]
    np.minimum.at(contact, owner[mine], when[mine])
    first = (contact >= low) & (contact < high)
    inside = (when >= low[owner]) & (when < high[owner])
    counted = np.bincount(owner[inside], minlength=len(start)) - first
    weeks = np.maximum(high - low, DAY) / (7 * DAY)
    return np.where((end >= landmark) & (landmark <= as_of), counted / weeks, np.nan)


def matured_share(won_after_days: npt.ArrayLike, age_days: npt.ArrayLike, begin_days: float = 0.0) -> Floats:
    """Share (0-1) of the leads ever won that are won by each age, shape (n,), among those open at `begin_days`.

    `won_after_days` (n,): days from hand-over to winning, NaN unless won; `age_days` (n,): days from hand-over to the
    moment asked about. Slow wins of young leads are not on record yet, so the share of wins so slow is taken from the
    leads old enough to show them: the product-limit estimate in reversed time. 1 where nothing was won.

    References
    ----------
    Lagakos, Barraj, De Gruttola (1988), Nonparametric analysis of truncated survival data.
    """
    days, age = np.asarray(won_after_days, dtype=np.float64), np.asarray(age_days, dtype=np.float64)
    won = np.isfinite(days) & (days >= begin_days) & (days <= age)
    if not won.any():
        return np.ones(len(age))
    moments, wins = np.unique(days[won], return_counts=True)
    # At risk in reversed time: won by then, and old enough to have been seen winning that late.
    slowest, oldest = np.sort(days[won]), np.sort(age[won])
    at_risk = np.searchsorted(slowest, moments, side="right") - np.searchsorted(oldest, moments, side="left")
    # The quickest win's own factor would bring the share to 0; where few are old enough, one of them would halve it.
    told = at_risk[1:] >= _FEWEST_AT_RISK
    steps = np.log1p(-np.where(told, wins[1:] / np.maximum(at_risk[1:], 1), 0.0) * (1 - 1e-9))
    share = np.exp(np.r_[np.cumsum(steps[::-1])[::-1], 0.0])
    found = np.searchsorted(moments, age, side="right")
    return np.where(found > 0, share[np.maximum(found - 1, 0)], 0.0)


def win_effect(
    unit: npt.ArrayLike,
    time: npt.ArrayLike,
    treatment: npt.ArrayLike,
    outcome: npt.ArrayLike,
    controls: npt.ArrayLike | None = None,
    *,
    instrument: npt.ArrayLike | None = None,
    worth: npt.ArrayLike | None = None,
    maturity: npt.ArrayLike | None = None,
    level: float = LEVEL,
) -> LeadEffect:
    """Finite step of +1 on the win probability (a treatment of 0 and 1: done against not done).

    `unit` rep (n,), `time` month of assignment (n,) whole numbers, `treatment` (n,), `outcome` 0 or 1 (n,),
    `controls` (n, k) known at assignment. With an `instrument` (n,), such as `others_mean`, only what the instrument
    moves in the treatment counts (two stages: the treatment is replaced by what the first stage gives of it).
    `worth` (n,): money that each lead brings when won (default 1). `maturity` (n,), 0-1: share of the leads ever won
    that are won by the age of this one (default 1); where it is 0 the row teaches nothing and the step is still
    averaged over it. Errors are clustered by unit. Raises
    EffectError where the treatment does not move within reps or all outcomes are equal.
    """
    n = len(np.asarray(unit))
    extra = np.empty((n, 0)) if controls is None else np.asarray(controls, dtype=np.float64).reshape(n, -1)
    value = np.ones(n) if worth is None else np.asarray(worth, dtype=np.float64)
    ripe = np.ones(n) if maturity is None else np.asarray(maturity, dtype=np.float64)
    given = () if instrument is None else (np.asarray(instrument, dtype=np.float64),)
    rows = make_panel(unit, time, treatment, outcome, np.column_stack([value, ripe, extra, *given]))
    value, ripe, rows = rows.controls[:, 0], rows.controls[:, 1], replace(rows, controls=rows.controls[:, 2:])
    if instrument is not None:
        rows = instrumented(rows)
    taught = ripe >= _LEAST_MATURITY
    ripe, rows = np.where(taught, ripe, 0.0), replace(rows, outcome=np.where(taught, rows.outcome, 0.0))
    if not np.isin(rows.outcome, (0.0, 1.0)).all():
        raise EffectError("outcome holds other values than 0 and 1")
    if rows.outcome.min() == rows.outcome.max():
        raise EffectError("all leads end alike, so nothing can be learnt about winning")
    W, theta, alpha = _fitted(rows, ripe)
    return _finite_step(rows, W, theta, alpha, value, ripe, level)


def instrumented(rows: Panel) -> Panel:
    """Rows with the treatment replaced by what the first stage gives of it; the instrument is the last control."""
    rest = _first_stage_residual(rows.unit, rows.time, rows.treatment, rows.controls)
    # The residual stays out of the model: a count over a lead's open time is part of how the lead ended.
    return replace(rows, treatment=rows.treatment - rest, controls=rows.controls[:, :-1])


def added_column(rows: Panel, column: Floats) -> Interval:
    """Coefficient on the logit of one `column` (n,) more than the model of `win_effect` holds, by its score.

    The errors are those of the model without the column, as a test of it wants them: clustered by unit (CR2), with
    the degrees of freedom of Bell and McCaffrey. Raises EffectError where nothing of the column is left beside the
    model, or all outcomes are equal.

    References
    ----------
    Rao (1948), Large sample tests of statistical hypotheses (the score test).
    """
    if rows.outcome.min() == rows.outcome.max():
        raise EffectError("all leads end alike, so nothing can be learnt about winning")
    ripe = np.ones(len(rows.outcome))
    W, theta, alpha = _fitted(rows, ripe)
    score, weight = _score(rows.outcome, W @ theta + alpha[rows.unit], ripe)
    scaled = column / max(float(np.std(column)), 1e-300)
    A = np.column_stack([scaled, W])
    X, root = _weighted_within(A, weight, rows.unit)
    X = independent_columns(X, A)
    left = score / root
    coefficients = np.asarray(np.linalg.lstsq(X, left, rcond=None)[0], dtype=np.float64)
    return coefficient_interval(X, coefficients, left, rows.unit)


def _fitted(rows: Panel, maturity: Floats) -> tuple[Floats, Floats, Floats]:
    """Design, its coefficients and the unit effects of the logistic model."""
    times, n_times = codes_of(rows.time)
    W = _design(rows.treatment, rows.controls, rows.unit, times, n_times)
    n_own = W.shape[1] - (n_times - 1)
    penalty = np.r_[np.full(n_own, _RIDGE), np.full(n_times - 1, _TIME_PRECISION)]
    return W, *absorbed_logit(rows.outcome, W, rows.unit, penalty, maturity)


def _weighted_within(W: Floats, weight: Floats, unit: Ints) -> tuple[Floats, Floats]:
    """W (n, k) less its weighted unit means, times the root of the weights, and that root (n,)."""
    n_units = int(unit.max()) + 1
    total = np.bincount(unit, weights=weight, minlength=n_units) + _UNIT_PRECISION
    means = cluster_sums(W * weight[:, None], unit, n_units) / total[:, None]
    root = np.sqrt(np.maximum(weight, 1e-12))
    return root[:, None] * (W - means[unit]), root


def _first_stage_residual(unit: Ints, time: Ints, treatment: Floats, controls: Floats) -> Floats:
    """Treatment less what controls, instrument (the last column), unit and time give of it, shape (n,)."""
    times, _ = codes_of(time)
    within = demean_two_way(np.column_stack([treatment, controls]), unit, times)
    if np.linalg.norm(within[:, -1]) <= 1e-8 * max(float(np.linalg.norm(controls[:, -1])), 1e-300):
        raise EffectError("the instrument does not move within units")
    fitted = within[:, 1:] @ np.linalg.lstsq(within[:, 1:], within[:, 0], rcond=None)[0]
    return np.asarray(within[:, 0] - fitted, dtype=np.float64)


def _design(treatment: Floats, controls: Floats, unit: Ints, times: Ints, n_times: int) -> Floats:
    """Treatment, standardised controls that are no linear combination of what came before, month dummies."""
    spread = controls.std(axis=0)
    scaled = (controls - controls.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    own = np.column_stack([treatment, scaled])
    n_units = int(unit.max()) + 1
    per_unit = np.maximum(np.bincount(unit, minlength=n_units), 1).astype(np.float64)
    within = own - (cluster_sums(own, unit, n_units) / per_unit[:, None])[unit]
    kept = independent_columns(within, own)
    alive = [int(np.flatnonzero((within == kept[:, [k]]).all(axis=0))[0]) for k in range(kept.shape[1])]
    months = np.zeros((len(treatment), n_times))
    months[np.arange(len(treatment)), times] = 1.0
    return np.column_stack([own[:, alive], months[:, 1:]])


def absorbed_logit(
    y: Floats, W: Floats, unit: Ints, penalty: Floats, maturity: Floats | None = None
) -> tuple[Floats, Floats]:
    """Coefficients of W (p,) and unit effects (g,) of a logistic model, by scoring steps with the units eliminated.

    `penalty` (p,) is a ridge on W's coefficients. Memory grows with rows x p, never with rows x units. `maturity`
    (n,): see `win_effect`.
    """
    n_units = int(unit.max()) + 1
    ripe = np.ones(len(y)) if maturity is None else maturity
    theta = np.zeros(W.shape[1])
    base = min(max(float(y.sum() / max(ripe.sum(), 1.0)), 1e-6), 1 - 1e-6)
    centre = float(np.log(base / (1 - base)))
    alpha = np.zeros(n_units)
    loss = np.inf
    step_theta, step_alpha = theta, alpha
    for _ in range(_MAX_STEPS):
        shrink = 1.0
        while True:
            trial_theta, trial_alpha = theta + shrink * step_theta, alpha + shrink * step_alpha
            new = _penalised_loss(y, W @ trial_theta + trial_alpha[unit] + centre, ripe)
            new += 0.5 * float(penalty @ trial_theta**2) + 0.5 * _UNIT_PRECISION * float(trial_alpha @ trial_alpha)
            if new <= loss + 1e-9 or shrink < 1e-6:
                break
            shrink /= 2
        theta, alpha, gained, loss = trial_theta, trial_alpha, loss - new, new
        if abs(gained) <= 1e-10 * (1 + abs(new)):
            return theta, alpha + centre
        score, weight = _score(y, W @ theta + alpha[unit] + centre, ripe)
        step_theta, step_alpha = _newton_step(score, weight, W, unit, theta, alpha, penalty)
    raise EffectError("the logistic model did not converge: the treatment separates won from lost leads")


def _penalised_loss(y: Floats, eta: Floats, maturity: Floats) -> float:
    """Minus the log-likelihood of winning by now."""
    # log(1 - m p) = log(1 - p) + log(1 + (1 - m) exp(eta)), without loss of digits at either end
    rest = -np.logaddexp(0.0, eta) + np.logaddexp(0.0, eta + np.log(np.maximum(1.0 - maturity, 1e-300)))
    return float(np.sum(y * np.logaddexp(0.0, -eta) - (1 - y) * rest))


def _score(y: Floats, eta: Floats, maturity: Floats) -> tuple[Floats, Floats]:
    """Derivative of the log-likelihood by eta and its expected negative second one, (n,) each."""
    p = np.asarray(expit(eta), dtype=np.float64)
    open_share = (1 - p) / np.maximum(1 - maturity * p, 1e-300)
    score = np.asarray((y - maturity * p) * open_share, dtype=np.float64)
    weight = np.asarray(maturity * p * (1 - p) * open_share, dtype=np.float64)
    return score, weight


def _newton_step(
    score: Floats, weight: Floats, W: Floats, unit: Ints, theta: Floats, alpha: Floats, penalty: Floats
) -> tuple[Floats, Floats]:
    """Solution of the scoring system by the Schur complement of its diagonal unit block."""
    n_units = len(alpha)
    diagonal = np.bincount(unit, weights=weight, minlength=n_units) + _UNIT_PRECISION
    cross = cluster_sums(W * weight[:, None], unit, n_units)
    slope = W.T @ score - penalty * theta
    slope_unit = np.bincount(unit, weights=score, minlength=n_units) - _UNIT_PRECISION * alpha
    schur = W.T @ (W * weight[:, None]) + np.diag(penalty) - cross.T @ (cross / diagonal[:, None])
    step = np.asarray(
        np.linalg.lstsq(schur, slope - cross.T @ (slope_unit / diagonal), rcond=None)[0], dtype=np.float64
    )
    return step, (slope_unit - cross @ step) / diagonal


def _finite_step(
    rows: Panel, W: Floats, theta: Floats, alpha: Floats, worth: Floats, maturity: Floats, level: float
) -> LeadEffect:
    """Average change of probability by one step, its error by the delta method on clustered scores."""
    treatment, y, unit, n_units = rows.treatment, rows.outcome, rows.unit, len(alpha)
    eta = W @ theta + alpha[unit]
    score, weight = _score(y, eta, maturity)
    total = np.bincount(unit, weights=weight, minlength=n_units) + _UNIT_PRECISION
    means = cluster_sums(W * weight[:, None], unit, n_units) / total[:, None]
    root = np.sqrt(np.maximum(weight, 1e-12))
    X = root[:, None] * (W - means[unit])  # least squares on X and residuals repeats the last scoring step
    residuals = score / root
    times, _ = codes_of(rows.time)
    logit = cautious_interval(X, theta, residuals, unit, times=times, scale=root, absorbed=n_units, level=level)
    plain = float(np.linalg.norm(cluster_influences(X, residuals, unit)))
    scores = cluster_sums(X * residuals[:, None], unit, n_units) @ np.linalg.inv(X.T @ X)
    inflation = logit.se / plain if plain > 0 else 1.0
    binary = bool(np.isin(treatment, (0.0, 1.0)).all())
    low = eta - treatment * theta[0] if binary else eta
    before, after = expit(low), expit(low + theta[0])
    moved_low, moved_high = before * (1 - before), after * (1 - after)
    slope = (moved_high - moved_low)[:, None] * W
    slope[:, 0] = moved_high * (1.0 if binary else treatment + 1) - (0.0 if binary else moved_low * treatment)

    def averaged(value: Floats) -> Interval:
        by_unit = np.bincount(unit, weights=value * (moved_high - moved_low), minlength=n_units)
        gradient = (value @ slope - by_unit @ means) / len(y)
        step = float(np.mean(value * (after - before)))
        return t_interval(step, float(np.linalg.norm(scores @ gradient)) * inflation, logit.dof, level)

    own = X[:, 0] - X[:, 1:] @ np.linalg.lstsq(X[:, 1:], X[:, 0], rcond=None)[0]
    return LeadEffect(
        interval=averaged(np.ones(len(y))),
        logit=logit,
        money=averaged(worth),
        n=len(y),
        n_units=n_units,
        within_sd=float(np.sqrt((own @ own) / weight.sum())),
        robustness=robustness_value(logit, max(1, len(y) - W.shape[1] - n_units)),
    )
