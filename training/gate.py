"""The gate: whether a challenger may take over, by rules fixed before any result is seen.

Challenger and champion are scored on the same folds: each fold's models saw only what was known at its origin. The
relative excess of the challenger's loss is bounded by a paired block bootstrap over months (Künsch 1989, blocks of one
month), since cases of one month share its luck; with few months the bound is widened as Student's t is. The unit is
judged as one: no member worse, and one better, by its losses or by having seen newer data. The rules are constants of
this module, logged and hashed into the run when it starts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, t

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]


@dataclass(frozen=True)
class GateRules:
    """Fixed beforehand. Losses are relative to the champion's; one-sided bounds are at `level`.

    A member is not worse where its mean excess is at most `margin` and the bound at most `bound`; it is better where
    the bound is below -`better_by`. A segment fails where its excess is above `segment_margin` and still above 0 at
    `segment_level`. `ece_limit`: expected calibration error allowed, or the 95th percentile of a calibrated model if
    that is larger, or the champion's. `fairness_low`, `fairness_high`: predicted over actual wins of a group, over the
    same ratio of all. `rank_limit`: Spearman
    correlation of the drivers' importance with the champion's. `latency_ms`: 200 candidates of one lead.
    """

    version: str = "4"
    margin: float = 0.01
    bound: float = 0.02
    better_by: float = 0.001
    level: float = 0.95
    segment_margin: float = 0.05
    segment_level: float = 0.99
    ece_limit: float = 0.02
    fairness_low: float = 0.8
    fairness_high: float = 1.25
    rank_limit: float = 0.3
    latency_ms: float = 250.0
    n_bootstrap: int = 1000
    minimum_rows: int = 60
    minimum_months: int = 3

    def fingerprint(self) -> str:
        """SHA-256 of the rules."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Paired:
    """Losses of challenger and champion on the same cases of the same folds, arrays (n,), with each case's month.

    `segments`: (n,) labels by the segmentation's name, such as source or tenure.
    """

    challenger: Floats
    champion: Floats
    months: Ints
    segments: Mapping[str, Texts] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of cases."""
        return len(self.challenger)

    @property
    def n_months(self) -> int:
        """Number of different months."""
        return len(np.unique(self.months))


@dataclass(frozen=True)
class GroupRatio:
    """Wins predicted and won of one group of reps' leads, out of time.

    `variance` of the number won if the predictions are true; `by_champion`: wins that the champion predicted of the
    same leads, NaN where it did not.
    """

    group: str
    predicted: float
    won: float
    variance: float
    by_champion: float = float("nan")


@dataclass(frozen=True)
class Evidence:
    """What the gate judges.

    `losses` by member's name, None where there are no common cases; `newer_data`: whether the challenger has seen later
    data than the champion; `ece_champion`, `rank_correlation`, `latency_ms`: NaN where not measured.
    """

    losses: Mapping[str, Paired | None]
    newer_data: bool
    ece: float
    ece_calibrated_95: float
    late_features: int
    ece_champion: float = float("nan")
    groups: tuple[GroupRatio, ...] = ()
    rank_correlation: float = float("nan")
    latency_ms: float = float("nan")


@dataclass(frozen=True)
class Check:
    """One rule's outcome: name, passed, the numbers behind it in words, and whether a first release needs it too."""

    name: str
    passed: bool
    told: str
    always: bool = False


@dataclass(frozen=True)
class Verdict:
    """`promote` or keep, with every check."""

    promote: bool
    checks: tuple[Check, ...]

    def reasons(self) -> list[str]:
        """A line a check."""
        return [f"{'ok  ' if check.passed else 'FAIL'} {check.name}: {check.told}" for check in self.checks]


@dataclass(frozen=True)
class Excess:
    """Relative excess loss of the challenger, negative where it is better, with one-sided bounds."""

    point: float
    low: float
    high: float


def paired_excess(pair: Paired, level: float, n_bootstrap: int, rng: np.random.Generator) -> Excess:
    """Mean relative excess and its bounds at `level`, months resampled as whole blocks; infinite below two months."""
    base = max(float(np.mean(pair.champion)), 1e-12)
    labels, codes = np.unique(pair.months, return_inverse=True)
    k = len(labels)
    sums = np.bincount(codes, weights=pair.challenger - pair.champion, minlength=k)
    counts = np.bincount(codes, minlength=k).astype(np.float64)
    point = float(sums.sum() / counts.sum()) / base
    if k < 2:
        return Excess(point, -np.inf, np.inf)
    drawn = rng.integers(0, k, size=(n_bootstrap, k))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1) / base
    # The bootstrap of few blocks is too narrow: by (k-1)/k in variance, and normal where Student's t is due.
    widen = float(t.ppf(level, k - 1) / norm.ppf(level) * np.sqrt(k / (k - 1)))
    low, high = np.quantile(means, [1.0 - level, level])
    return Excess(point, point + widen * min(float(low) - point, 0.0), point + widen * max(float(high) - point, 0.0))


def judge(evidence: Evidence, has_champion: bool, rules: GateRules, rng: np.random.Generator) -> Verdict:
    """The verdict; a first release passes the comparisons, since there is nothing to compare with."""
    found = {
        name: paired_excess(pair, rules.level, rules.n_bootstrap, rng) if pair and _enough(pair, rules) else None
        for name, pair in evidence.losses.items()
        if pair is not None or has_champion
    }
    checks = [_loss_check(name, excess, evidence.losses[name], rules) for name, excess in found.items()]
    checks += [
        _segment_check(name, pair, rules, rng)
        for name, pair in evidence.losses.items()
        if pair is not None and _enough(pair, rules)
    ]
    if has_champion:
        checks.append(_better_check(found, evidence.newer_data, rules))
    checks += [
        _calibration_check(evidence, rules),
        _fairness_check(evidence.groups, rules),
        _rank_check(evidence.rank_correlation, rules),
        _latency_check(evidence.latency_ms, rules),
        Check(
            "nothing peeks",
            evidence.late_features == 0,
            f"{evidence.late_features} training rows later than as_of",
            True,
        ),
    ]
    return Verdict(all(check.passed for check in checks if has_champion or check.always), tuple(checks))


def _enough(pair: Paired, rules: GateRules) -> bool:
    return len(pair) >= rules.minimum_rows and pair.n_months >= rules.minimum_months


def _loss_check(name: str, excess: Excess | None, pair: Paired | None, rules: GateRules) -> Check:
    if excess is None:
        rows, months = (0, 0) if pair is None else (len(pair), pair.n_months)
        needed = f"{rules.minimum_rows} cases of {rules.minimum_months} months needed"
        return Check(name, True, f"not compared: {rows} common cases of {months} months, {needed}")
    told = (
        f"{excess.point:+.2%} against the champion (one-sided 95 % bound {excess.high:+.2%}), "
        f"at most {rules.margin:+.2%} (bound {rules.bound:+.2%}) allowed"
    )
    return Check(name, excess.point <= rules.margin and excess.high <= rules.bound, told)


def _better_check(found: Mapping[str, Excess | None], newer_data: bool, rules: GateRules) -> Check:
    better = [name for name, excess in found.items() if excess is not None and excess.high < -rules.better_by]
    if better:
        return Check("something is better", True, ", ".join(better))
    if newer_data:
        return Check("something is better", True, "it has learnt from newer data")
    return Check("something is better", False, "no loss is lower beyond chance, and the champion knows the same data")


def _segment_check(name: str, pair: Paired, rules: GateRules, rng: np.random.Generator) -> Check:
    worst, failed = ("", -np.inf), []
    for by, labels in sorted(pair.segments.items()):
        for label in sorted(set(labels.tolist())):
            mine = labels == label
            part = Paired(pair.challenger[mine], pair.champion[mine], pair.months[mine])
            if not _enough(part, rules):
                continue
            excess = paired_excess(part, rules.segment_level, rules.n_bootstrap, rng)
            worst = max(worst, (f"{by} {label}", excess.point), key=lambda item: item[1])
            if excess.point > rules.segment_margin and excess.low > 0.0:
                failed.append(f"{by} {label} {excess.point:+.2%}")
    if failed:
        return Check(f"segments of {name}", False, f"worse beyond chance: {'; '.join(failed)}")
    told = f"worst is {worst[0]} with {worst[1]:+.2%}" if worst[0] else "none is large enough to compare"
    return Check(f"segments of {name}", True, told)


def _calibration_check(evidence: Evidence, rules: GateRules) -> Check:
    given = [rules.ece_limit, evidence.ece_calibrated_95, evidence.ece_champion]
    limit = max(value for value in given if np.isfinite(value))
    told = f"expected calibration error {evidence.ece:.4f}, at most {limit:.4f}"
    if not np.isfinite(evidence.ece):
        return Check("calibration", True, "not measured: too few later leads")
    return Check("calibration", evidence.ece <= limit, told)


def _fairness_check(groups: tuple[GroupRatio, ...], rules: GateRules) -> Check:
    """Groups whose wins are over- or under-predicted against the whole: beyond chance, and more than the champion does.

    The level is shared among the groups (Bonferroni), so that many teams raise no more alarms than one.
    """
    predicted, won = sum(g.predicted for g in groups), sum(g.won for g in groups)
    if not groups or won <= 0 or predicted <= 0:
        return Check("fairness by group", True, "not measured: no group of reps has enough later leads")
    whole, champion_whole = predicted / won, sum(g.by_champion for g in groups) / won
    z = float(norm.ppf(1.0 - 0.005 / len(groups)))
    told, fair = [], True
    for group in groups:
        expected = group.predicted / whole
        ratio = _ratio(expected, group.won)
        inside = rules.fairness_low <= ratio <= rules.fairness_high
        chance = abs(group.won - expected) <= z * np.sqrt(group.variance / whole)
        before = _ratio(group.by_champion / champion_whole, group.won)
        no_worse = np.isfinite(before) and abs(np.log(ratio)) <= abs(np.log(before)) + 0.05
        fair = fair and bool(inside or chance or no_worse)
        told.append(f"{group.group} {ratio:.2f}")
    limits = f"{rules.fairness_low:.2f} to {rules.fairness_high:.2f}, or within chance, or as the champion"
    return Check("fairness by group", fair, f"predicted over actual wins {', '.join(told)}; allowed {limits}")


def _ratio(expected: float, won: float) -> float:
    return expected / max(won, 0.5)


def _rank_check(correlation: float, rules: GateRules) -> Check:
    if not np.isfinite(correlation):
        return Check("driver ranks", True, "not compared: no champion with a panel model of common features")
    told = f"rank correlation of importance with the champion {correlation:.2f}, at least {rules.rank_limit:.2f}"
    return Check("driver ranks", correlation >= rules.rank_limit, told)


def _latency_check(latency_ms: float, rules: GateRules) -> Check:
    if not np.isfinite(latency_ms):
        return Check("latency", True, "not measured")
    told = f"200 candidates of a lead in {latency_ms:.0f} ms, at most {rules.latency_ms:.0f} ms"
    return Check("latency", latency_ms <= rules.latency_ms, told)
