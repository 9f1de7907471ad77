"""What another policy would have earned, from the log of the one that ran: IPS, SNIPS, doubly robust, intervals.

Sign and unit are the outcome's (wins: 0-1 a decision). An estimate is a mean over decisions. Where the log hardly ever
did what the other policy wants, no estimate is claimed: `supported` is False and says why.

References
----------
D. G. Horvitz, D. J. Thompson (1952); A. Swaminathan, T. Joachims (2015), The self-normalized estimator;
M. Dudik, D. Erhan, J. Langford, L. Li (2014), Doubly robust policy evaluation and optimization.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from features.errors import RequestError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Method = Literal["ips", "snips", "dr"]
Doubt = Literal["", "no_decisions", "small_effective_sample", "outside_support", "weight_on_few"]

_LEAST_PROPENSITY = 1e-12


@dataclass(frozen=True)
class SupportRules:
    """When an estimate is refused.

    `least_effective`: effective sample size; `most_outside`: share (0-1) of the target's choices on which the log's
    chance was below `thin`; `most_weight`: share of all weight on one decision.
    """

    least_effective: float = 100.0
    most_outside: float = 0.1
    thin: float = 0.002
    most_weight: float = 0.1


@dataclass(frozen=True)
class Estimate:
    """A policy's mean outcome with its interval at `level`; `se` by the influence function, clustered if asked."""

    method: Method
    value: float
    ci_low: float
    ci_high: float
    se: float
    level: float


@dataclass(frozen=True)
class Evaluation:
    """Estimates of one policy and how far they may be believed.

    `effective_n`: (sum w)^2 / sum w^2. `outside_share` (0-1): probability of the target's choices that the log hardly
    made. `largest_weight_share`: of the sum of weights. `supported`: False where the numbers must not be claimed,
    with the reason in `doubt`.
    """

    estimates: Mapping[Method, Estimate]
    n: int
    effective_n: float
    outside_share: float
    largest_weight_share: float
    supported: bool
    doubt: Doubt


@dataclass(frozen=True)
class LoggedDecisions:
    """The log: `outcome` (n,); `propensity` (n,) chance with which the log made its choice, logged or estimated;

    `target` (n,) chance with which the other policy would have made the same choice; `outside` (n,) probability that
    the other policy gives to choices the log hardly ever made (0 where unknown); `cluster` (n,) decisions that share
    a draw (a week, say), for the interval.
    """

    outcome: Floats
    propensity: Floats
    target: Floats
    outside: Floats | None = None
    cluster: Integers | None = None


@dataclass(frozen=True)
class OutcomeModel:
    """For the doubly robust estimate: `logged` (n,) expected outcome of the log's choice, `target` (n,) of the other

    policy's, averaged over its choices. Fitted on other data than the log judged here, or cross-fitted.
    """

    logged: Floats
    target: Floats


def evaluate(
    log: LoggedDecisions,
    *,
    model: OutcomeModel | None = None,
    level: float = 0.9,
    rules: SupportRules | None = None,
) -> Evaluation:
    """IPS and SNIPS, and DR where an outcome model is given, with support.

    Raises
    ------
    RequestError
        Arrays that do not fit, or a logged choice of propensity 0.
    """
    rules = rules or SupportRules()
    _check(log)
    n = log.outcome.size
    if n == 0:
        return Evaluation({}, 0, 0.0, 1.0, 1.0, supported=False, doubt="no_decisions")
    weight = log.target / log.propensity
    total = float(weight.sum())
    effective = total**2 / float((weight**2).sum()) if total > 0 else 0.0
    outside = float(log.outside.mean()) if log.outside is not None else 0.0
    largest = float(weight.max()) / total if total > 0 else 1.0
    estimates: dict[Method, Estimate] = {}
    if total > 0:
        estimates["ips"] = _interval("ips", weight * log.outcome, log.cluster, level)
        estimates["snips"] = _snips(log, weight, level)
    if model is not None:
        score = model.target + weight * (log.outcome - model.logged)
        estimates["dr"] = _interval("dr", score, log.cluster, level)
    doubt = _doubt(effective, outside, largest, rules)
    return Evaluation(estimates, n, effective, outside, largest, supported=not doubt, doubt=doubt)


def uplift(
    log: LoggedDecisions, *, model: OutcomeModel | None = None, level: float = 0.9, rules: SupportRules | None = None
) -> Evaluation:
    """The other policy's mean outcome less the log's own, on the same decisions, so that shared luck cancels."""
    own = evaluate(log, model=model, level=level, rules=rules)
    if "snips" not in own.estimates:
        return own
    weight = log.target / log.propensity
    mean = float(log.outcome.mean())
    scores: dict[Method, Floats] = {"ips": weight * log.outcome - log.outcome}
    snips = own.estimates["snips"].value
    # The influence of a decision on SNIPS less that on the plain mean.
    scores["snips"] = snips - mean + weight / weight.mean() * (log.outcome - snips) - (log.outcome - mean)
    if model is not None:
        scores["dr"] = model.target + weight * (log.outcome - model.logged) - log.outcome
    estimates = {name: _interval(name, score, log.cluster, level) for name, score in scores.items()}
    return Evaluation(
        estimates, own.n, own.effective_n, own.outside_share, own.largest_weight_share, own.supported, own.doubt
    )


def _check(log: LoggedDecisions) -> None:
    shapes = {log.outcome.shape, log.propensity.shape, log.target.shape}
    shapes |= {extra.shape for extra in (log.outside, log.cluster) if extra is not None}
    if len(shapes) != 1 or log.outcome.ndim != 1:
        raise RequestError(f"off-policy: arrays of shapes {sorted(shapes)}; one entry a decision each")
    if log.propensity.size and not (log.propensity >= _LEAST_PROPENSITY).all():
        row = int(np.argmin(log.propensity))
        raise RequestError(
            f"off-policy: propensity of decision {row} is {log.propensity[row]}; it was made, so above 0"
        )
    if not (np.isfinite(log.outcome).all() and np.isfinite(log.target).all() and (log.target >= 0).all()):
        raise RequestError("off-policy: outcomes and target probabilities must be finite, probabilities at least 0")


def _snips(log: LoggedDecisions, weight: Floats, level: float) -> Estimate:
    """Weighted mean; its error by the influence w (y - mean) / mean(w)."""
    value = float((weight * log.outcome).sum() / weight.sum())
    influence = value + weight / weight.mean() * (log.outcome - value)
    return _interval("snips", influence, log.cluster, level)


def _interval(method: Method, score: Floats, cluster: Integers | None, level: float) -> Estimate:
    """Mean of `score` with a normal (t by clusters, where given) interval."""
    from scipy.stats import norm, t

    n = score.size
    value = float(score.mean())
    off = score - value
    if cluster is None:
        groups, squares = n, float((off**2).sum())
    else:
        _, which = np.unique(cluster, return_inverse=True)
        sums = np.bincount(which, weights=off)
        groups, squares = sums.size, float((sums**2).sum())
    if groups < 2:
        return Estimate(method, value, -np.inf, np.inf, np.inf, level)
    se = float(np.sqrt(squares * groups / (groups - 1))) / n
    tail = 0.5 + level / 2
    width = float(norm.ppf(tail) if cluster is None else t.ppf(tail, groups - 1)) * se
    return Estimate(method, value, value - width, value + width, se, level)


def _doubt(effective: float, outside: float, largest: float, rules: SupportRules) -> Doubt:
    if effective < rules.least_effective:
        return "small_effective_sample"
    if outside > rules.most_outside:
        return "outside_support"
    return "weight_on_few" if largest > rules.most_weight else ""
