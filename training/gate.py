"""The gate: whether a challenger may take over, by rules fixed before any result is seen.

Challenger and champion are scored on the same rows that came after the challenger's hold-out moment. Differences are
tested by a paired block bootstrap over months (Künsch 1989, blocks of one month), since leads of one month share its
luck. The rules are constants of this module and hashed into the run.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GateRules:
    """Fixed beforehand. Losses may be worse by `margin` (relative) at level `level` of a one-sided test.

    `ece_limit`: expected calibration error allowed, or the 95th percentile of a calibrated model if that is larger.
    """

    margin: float = 0.005
    level: float = 0.95
    ece_limit: float = 0.02
    n_bootstrap: int = 1000
    minimum_rows: int = 200

    def fingerprint(self) -> str:
        """SHA-256 of the rules."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Check:
    """One rule's outcome: name, passed, and the numbers behind it."""

    name: str
    passed: bool
    told: str


@dataclass(frozen=True)
class Verdict:
    """`promote` or keep, with every check."""

    promote: bool
    checks: tuple[Check, ...]

    def reasons(self) -> list[str]:
        """A line a check."""
        return [f"{'ok  ' if check.passed else 'FAIL'} {check.name}: {check.told}" for check in self.checks]


def paired_excess(
    challenger: Floats, champion: Floats, months: npt.NDArray[np.int64], rules: GateRules, rng: np.random.Generator
) -> tuple[float, float]:
    """Mean relative excess loss of the challenger and its one-sided upper bound.

    `challenger`, `champion`: (n,) losses of the same rows; `months`: (n,) month index, resampled as whole blocks.
    Negative means that the challenger is better.
    """
    base = max(float(np.mean(champion)), 1e-12)
    labels, codes = np.unique(months, return_inverse=True)
    sums = np.bincount(codes, weights=challenger - champion, minlength=len(labels))
    counts = np.bincount(codes, minlength=len(labels)).astype(np.float64)
    point = float(sums.sum() / counts.sum()) / base
    if len(labels) < 2:
        spread = float(np.std(challenger - champion) / np.sqrt(len(challenger))) / base
        return point, point + 1.645 * spread
    drawn = rng.integers(0, len(labels), size=(rules.n_bootstrap, len(labels)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1) / base
    return point, float(np.quantile(means, rules.level))


def _loss_check(
    name: str,
    losses: tuple[Floats, Floats] | None,
    months: npt.NDArray[np.int64],
    rules: GateRules,
    rng: np.random.Generator,
) -> Check:
    if losses is None or len(losses[0]) < rules.minimum_rows:
        rows = 0 if losses is None else len(losses[0])
        return Check(name, True, f"not compared: {rows} common rows, {rules.minimum_rows} needed")
    point, upper = paired_excess(losses[0], losses[1], months, rules, rng)
    told = f"{point:+.2%} against the champion (one-sided 95 % bound {upper:+.2%}), at most {rules.margin:+.2%} allowed"
    return Check(name, point <= rules.margin or upper <= 2 * rules.margin, told)


@dataclass(frozen=True)
class Evidence:
    """What the gate judges. Loss pairs are (challenger, champion) on the same rows; None where there is no champion."""

    conversion_losses: tuple[Floats, Floats] | None
    conversion_months: npt.NDArray[np.int64]
    forecast_losses: tuple[Floats, Floats] | None
    forecast_months: npt.NDArray[np.int64]
    ece: float
    ece_calibrated_95: float
    late_features: int


def judge(evidence: Evidence, has_champion: bool, rules: GateRules, rng: np.random.Generator) -> Verdict:
    """The verdict; a first release passes the comparisons, since there is nothing to compare with."""
    limit = max(rules.ece_limit, evidence.ece_calibrated_95)
    checks = [
        _loss_check("log loss of win probability", evidence.conversion_losses, evidence.conversion_months, rules, rng),
        _loss_check("pinball loss of the forecast", evidence.forecast_losses, evidence.forecast_months, rules, rng),
        Check(
            "calibration",
            not np.isfinite(evidence.ece) or evidence.ece <= limit,
            f"expected calibration error {evidence.ece:.4f}, at most {limit:.4f}",
        ),
        Check("nothing peeks", evidence.late_features == 0, f"{evidence.late_features} training rows later than as_of"),
    ]
    must = checks if has_champion else [check for check in checks if check.name == "nothing peeks"]
    return Verdict(all(check.passed for check in must), tuple(checks))
