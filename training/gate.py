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

from features.messages import Message, message

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]

TENURES = ("under 1 year", "1 to 2 years", "over 2 years", "unknown")


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
    """One rule's outcome: name, passed, the numbers behind it, and whether a first release needs it too.

    Name and numbers are messages, which both languages say.
    """

    name: str
    passed: bool
    told: str
    always: bool = False


@dataclass(frozen=True)
class Verdict:
    """`promote` or keep, with every check."""

    promote: bool
    checks: tuple[Check, ...]

    def reasons(self) -> list[Message]:
        """A line a check, as a message in either language."""
        return [
            message("gate.passed" if check.passed else "gate.failed", name=check.name, told=check.told)
            for check in self.checks
        ]


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
            message("check.late"),
            evidence.late_features == 0,
            message("gate.late", n=int(evidence.late_features)),
            True,
        ),
    ]
    return Verdict(all(check.passed for check in checks if has_champion or check.always), tuple(checks))


def group_name(label: str) -> str:
    """The message that names a group of reps by tenure; a label that is none stays."""
    code = f"group.{label.replace(' ', '_')}"
    return message(code) if label in TENURES else label


def _enough(pair: Paired, rules: GateRules) -> bool:
    return len(pair) >= rules.minimum_rows and pair.n_months >= rules.minimum_months


def _loss_check(name: str, excess: Excess | None, pair: Paired | None, rules: GateRules) -> Check:
    if excess is None:
        rows, months = (0, 0) if pair is None else (len(pair), pair.n_months)
        needed = {"rows": rules.minimum_rows, "least": rules.minimum_months}
        return Check(name, True, message("gate.not_compared", n=rows, months=months, **needed))
    allowed = {"margin": rules.margin, "bound": rules.bound}
    told = message("gate.compared", excess=excess.point, high=excess.high, **allowed)
    return Check(name, excess.point <= rules.margin and excess.high <= rules.bound, told)


def _better_check(found: Mapping[str, Excess | None], newer_data: bool, rules: GateRules) -> Check:
    better = [name for name, excess in found.items() if excess is not None and excess.high < -rules.better_by]
    if better:
        return Check(message("check.better"), True, message("gate.these_better", names=tuple(better)))
    if newer_data:
        return Check(message("check.better"), True, message("gate.newer"))
    return Check(message("check.better"), False, message("gate.nothing_better"))


def _segment_check(name: str, pair: Paired, rules: GateRules, rng: np.random.Generator) -> Check:
    worst, failed = -np.inf, []
    told, name = message("gate.segments_few"), message("check.segments", of=name)
    for by, labels in sorted(pair.segments.items()):
        for label in sorted(set(labels.tolist())):
            mine = labels == label
            part = Paired(pair.challenger[mine], pair.champion[mine], pair.months[mine])
            if not _enough(part, rules):
                continue
            excess = paired_excess(part, rules.segment_level, rules.n_bootstrap, rng)
            of = {"by": message(f"by.{by}"), "label": group_name(str(label)) if by == "tenure" else str(label)}
            segment = message("gate.segment", excess=excess.point, **of)
            if excess.point > worst:
                worst, told = excess.point, message("gate.segments_worst", segment=segment)
            if excess.point > rules.segment_margin and excess.low > 0.0:
                failed.append(segment)
    if failed:
        return Check(name, False, message("gate.segments_worse", segments=tuple(failed)))
    return Check(name, True, told)


def _calibration_check(evidence: Evidence, rules: GateRules) -> Check:
    given = [rules.ece_limit, evidence.ece_calibrated_95, evidence.ece_champion]
    limit = max(value for value in given if np.isfinite(value))
    if not np.isfinite(evidence.ece):
        return Check(message("check.calibration"), True, message("gate.ece_unmeasured"))
    told = message("gate.ece", ece=evidence.ece, limit=limit)
    return Check(message("check.calibration"), evidence.ece <= limit, told)


def _fairness_check(groups: tuple[GroupRatio, ...], rules: GateRules) -> Check:
    """Groups whose wins are over- or under-predicted against the whole: beyond chance, and more than the champion does.

    The level is shared among the groups (Bonferroni), so that many teams raise no more alarms than one.
    """
    predicted, won = sum(g.predicted for g in groups), sum(g.won for g in groups)
    if not groups or won <= 0 or predicted <= 0:
        return Check(message("check.fairness"), True, message("gate.fairness_unmeasured"))
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
        told.append(message("gate.group", group=group.group, ratio=ratio))
    allowed = {"low": rules.fairness_low, "high": rules.fairness_high}
    return Check(message("check.fairness"), fair, message("gate.fairness", groups=tuple(told), **allowed))


def _ratio(expected: float, won: float) -> float:
    return expected / max(won, 0.5)


def _rank_check(correlation: float, rules: GateRules) -> Check:
    if not np.isfinite(correlation):
        return Check(message("check.ranks"), True, message("gate.ranks_uncompared"))
    told = message("gate.ranks", correlation=correlation, limit=rules.rank_limit)
    return Check(message("check.ranks"), correlation >= rules.rank_limit, told)


def _latency_check(latency_ms: float, rules: GateRules) -> Check:
    if not np.isfinite(latency_ms):
        return Check(message("check.latency"), True, message("gate.latency_unmeasured"))
    told = message("gate.latency", ms=latency_ms, limit=rules.latency_ms)
    return Check(message("check.latency"), latency_ms <= rules.latency_ms, told)
