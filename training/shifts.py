"""Shifts between the newest periods and those before, as drift is judged by: twice, by months and by reps.

Leads of one month share the market's luck and leads of one rep his habits, so rows are never counted as independent. A
shift must stand out twice: the month's mean from what the other months do around their trend (Student's t on month
means), and the reps' own means from chance among reps (signs flipped by rep, 4,999 times). The larger of both p-values
counts, and Holm's step-down holds the chance of any false alarm among all that is judged together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import t

from features.messages import Message, message
from features.moments import DAY

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_NAMED = ("win_probability", "log_amount_won", "won_over_expected", "release")
_WON_WITHIN = re.compile(r"won_within_(\d+)_days")


@dataclass(frozen=True)
class DriftRules:
    """Fixed beforehand. Chance of any false alarm: `level` among numbers and the prediction, which are few and say
    most, `level_of_shares` among categories and missing cells, `level_of_targets` among wins, amounts and calibration,
    which are judged over `target_periods` of 30 days against the `periods_before` before them.

    `smallest_shift`, `smallest_target_shift`: in standard deviations of the rows, below which a shift is of no use to
    know; `unseen_share`: of rows; `stale_days`: without a new row, and beyond three times the usual longest gap;
    `release_days`: age of the data that the release knows; `ratio_low`, `ratio_high`: won over expected.
    """

    level: float = 0.02
    level_of_shares: float = 0.01
    level_of_targets: float = 0.008
    target_periods: int = 3
    periods_before: int = 9
    n_flips: int = 4_999
    fewest_months: int = 6
    fewest_rows: int = 40
    smallest_shift: float = 0.2
    smallest_target_shift: float = 0.1
    unseen_share: float = 0.05
    stale_days: float = 7.0
    release_days: float = 62.0
    ratio_low: float = 0.8
    ratio_high: float = 1.25


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `kind`: input, missing, unseen, freshness, prediction, target, calibration or age.

    `change`: in the unit of its kind (standard deviations, shares, days, ratio); `p_value` NaN where no test is made.
    """

    kind: str
    name: str
    change: float
    p_value: float
    alarm: bool

    def what(self) -> Message:
        """Kind and name; a lead column keeps the name it has in the table."""
        within = _WON_WITHIN.fullmatch(self.name)
        if within is not None:
            name: str = message("drift_name.won_within", days=int(within[1]))
        else:
            name = message(f"drift_name.{self.name}") if self.name in _NAMED else self.name
        return message("drift.what", kind=message(f"drift_kind.{self.kind}"), name=name)

    def told(self) -> Message:
        """What it is, by how much, and how sure."""
        if np.isfinite(self.p_value):
            return message("drift.alarm_p", what=self.what(), change=self.change, p=self.p_value)
        return message("drift.alarm", what=self.what(), change=self.change)


@dataclass(frozen=True)
class Shift:
    """A month against the months before it: change in standard deviations of the rows, and its p-value."""

    change: float
    p_value: float


def periods(at: Ints, as_of: int, n_before: int = 24) -> Ints:
    """(n,) 30-day period of each moment: 0 the last 30 days, 1 the 30 before, up to `n_before`; -1 for the rest."""
    back = (as_of - 1 - at) // (30 * DAY)
    return np.where((back >= 0) & (back <= n_before), back, -1).astype(np.int64)


def judged(family: Sequence[tuple[str, str, Shift]], level: float, smallest: float) -> list[Finding]:
    """Findings of shifts that are judged together: alarms where the adjusted p-value and the size both say so."""
    adjusted = holm(np.array([shift.p_value for *_, shift in family], dtype=np.float64))
    return [
        Finding(kind, name, shift.change, float(p), bool(p <= level and abs(shift.change) >= smallest))
        for (kind, name, shift), p in zip(family, adjusted, strict=True)
    ]


def month_shift(
    values: Floats, period: Ints, reps: Ints, rng: np.random.Generator, rules: DriftRules, n_new: int = 1
) -> Shift | None:
    """The newest `n_new` periods against those before; None where there is too little to say, or nothing varies."""
    kept = np.isfinite(values) & (period >= 0)
    x, when, who = values[kept], period[kept], reps[kept]
    sd = float(x.std()) if len(x) else 0.0
    n = np.bincount(when, minlength=n_new)
    usable = np.flatnonzero(n >= max(5, rules.fewest_rows // 4))
    before, new = usable[usable >= n_new], np.arange(n_new)
    if sd <= 0 or n[:n_new].min() < rules.fewest_rows or len(before) < rules.fewest_months:
        return None
    means = np.bincount(when, weights=x, minlength=len(n)) / np.maximum(n, 1)
    # Every new period has noise of its own, by its own number of rows; but a part that all rows of a month share does
    # not shrink with their number, so that on a desk that grows no new month counts as quieter than a usual one.
    noise = float(np.maximum(n[before].mean() / n[new], 1.0).mean()) / n_new
    back = np.asarray(before - float(new.mean()), dtype=np.float64)
    change, p_month = _against_trend(means[before], back, float(means[new].mean()), n[before], noise)
    p_rep = share_by_flips(x, np.ones(len(x)), when < n_new, who, rng, rules.n_flips)
    return Shift(change / sd, max(p_month, p_rep))


def _against_trend(means: Floats, back: Floats, now: float, n: Ints, noise: float) -> tuple[float, float]:
    """Change of the newest mean from a line through the others, and its two-sided p-value.

    `back`: periods from the newest mean's place. `noise`: its variance in that of a period of usual size.
    """
    k = len(means)
    weight = np.sqrt(n / n.mean())
    design = np.column_stack([np.ones(k), back])
    solved = np.linalg.lstsq(design * weight[:, None], means * weight, rcond=None)[0]
    left = (means - design @ solved) * weight
    variance = float(left @ left) / max(k - 2, 1)
    inverse = np.linalg.pinv((design * weight[:, None]).T @ (design * weight[:, None]))
    spread = np.sqrt(variance * (noise + inverse[0, 0]))
    change = now - float(solved[0])
    if spread <= 0:
        return change, 1.0 if change == 0 else 0.0
    return change, float(2 * t.sf(abs(change) / spread, max(k - 2, 1)))


def share_by_flips(
    x: Floats, weight: Floats, new: npt.NDArray[np.bool_], who: Ints, rng: np.random.Generator, n_flips: int
) -> float:
    """Two-sided p-value of the reps' differences between the newest periods and before, signs flipped by rep.

    A rep's part of a period is the sum of `x` over that of `weight`, both (n,); 1 where fewer than two reps have both.
    """
    size = int(who.max()) + 1
    w_new, w_old = np.bincount(who[new], weight[new], size), np.bincount(who[~new], weight[~new], size)
    both = (w_new > 0) & (w_old > 0)
    if both.sum() < 2:
        return 1.0
    mean_new = np.bincount(who[new], x[new], size)[both] / w_new[both]
    mean_old = np.bincount(who[~new], x[~new], size)[both] / w_old[both]
    weighed = (mean_new - mean_old) * w_new[both]
    flips = rng.integers(0, 2, size=(n_flips, len(weighed)), dtype=np.int8) * 2 - 1
    drawn = np.abs(flips @ weighed)
    return float((1 + (drawn >= abs(weighed.sum()) - 1e-12).sum()) / (n_flips + 1))


def holm(p: Floats) -> Floats:
    """(n,) p-values adjusted for all being looked at (Holm 1979), in the order given."""
    order = np.argsort(p, kind="stable")
    scaled = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    out = np.empty(len(p))
    out[order] = np.minimum(scaled, 1.0)
    return out
