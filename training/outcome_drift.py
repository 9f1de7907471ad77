"""Drift of outcomes: whether leads are still won, and bring in, what the champion expected of the same leads.

Comparing with the champion's own word for each lead takes out who came, who got them and how the desk grew, which move
the share of wins by themselves. Wins are counted up to each lead's age and set against the chance of a win by that age,
so that leads of the last months say what they can and no month looks poor for being young.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import t

from features.moments import DAY, NEVER
from training.shifts import DriftRules, Finding, Shift, judged, month_shift, periods, share_by_flips

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class WinTimes(Protocol):
    """How long wins take: share not yet won by an age in days, of leads that will be won."""

    def survival_win(self, age_days: Floats | float, source: Any = "") -> Floats:
        """(n,) shares."""
        ...


@dataclass(frozen=True)
class Kept:
    """The share of what was expected that came, newest periods over those before, and its p-value."""

    ratio: float
    p_value: float


def target_findings(
    pairs: pd.DataFrame, as_of: int, rng: np.random.Generator, rules: DriftRules, times: WinTimes | None = None
) -> list[Finding]:
    """Shifts of wins and amounts over the newest three periods, judged together.

    Where pairs hold a `prediction` and `times` are given: calibration, wins over those expected by each lead's age, the
    change being the ratio to the periods before. Without them the share won within `target_days` of the hand-over,
    asked of leads handed over at least so long ago. Amounts by the day of the win, as logarithms, less the champion's
    own where pairs hold `log_amount`. A single market month moves all of them, hence three periods; an absolute error
    of all months is the gate's to find.
    """
    reps = pd.factorize(pairs["rep_id"])[0].astype(np.int64)
    given, closed = (pairs[name].to_numpy(dtype=np.int64) for name in ("as_of", "resolved_at"))
    won = (pairs["outcome"] == "won").to_numpy()
    days = target_days(given[won], closed[won], as_of)
    family: list[tuple[str, str, Shift]] = []
    kept = None
    if times is not None and "prediction" in pairs.columns:
        kept = _wins_kept(pairs, as_of, days, times, reps, rng, rules)
        if kept is not None:
            family.append(("calibration", "won_over_expected", Shift(kept.ratio - 1.0, kept.p_value)))
    else:
        at = periods(np.where(given <= as_of - days * DAY, given + (days * DAY - 1), NEVER), as_of)
        in_time = (won & (closed - given <= days * DAY)).astype(np.float64)
        shift = month_shift(in_time, at, reps, rng, rules, rules.target_periods)
        if shift is not None:
            family.append(("target", f"won_within_{days}_days", shift))
    shift = _amount_shift(pairs, won, closed, as_of, reps, rng, rules)
    if shift is not None:
        family.append(("target", "log_amount_won", shift))
    found = judged(family, rules.level_of_targets, rules.smallest_target_shift)
    return [one if one.kind == "target" or kept is None else _as_ratio(one, kept.ratio, rules) for one in found]


def target_days(given: Ints, closed: Ints, as_of: int) -> int:
    """Days within which half of the wins come, of leads won that are half a year old: 30, 60, 90 or 120."""
    old = given <= as_of - 180 * DAY
    took = (closed - given)[old] / DAY
    for days in (30, 60, 90):
        if len(took) and float((took <= days).mean()) >= 0.5:
            return days
    return 120


def _as_ratio(found: Finding, ratio: float, rules: DriftRules) -> Finding:
    """Calibration by its ratio: an alarm where that is far from 1 and not by chance of months or reps."""
    off = not rules.ratio_low <= ratio <= rules.ratio_high
    return Finding(found.kind, found.name, ratio, found.p_value, bool(off and found.p_value <= rules.level_of_targets))


def _wins_kept(
    pairs: pd.DataFrame, as_of: int, days: int, times: WinTimes, reps: Ints, rng: np.random.Generator, rules: DriftRules
) -> Kept | None:
    """Wins over expected by hand-over; all of the leads whose wins come in the newest periods count as new.

    Wins are counted to twice `days` at most: later ones are few, and their months long judged.
    """
    given, closed = (pairs[name].to_numpy(dtype=np.int64) for name in ("as_of", "resolved_at"))
    age = np.clip((as_of - given) / DAY, 0.0, 2.0 * days)
    won = ((pairs["outcome"] == "won").to_numpy() & (closed - given <= age * DAY)).astype(np.float64)
    by_age = 1.0 - np.asarray(times.survival_win(age, pairs["source"].to_numpy(dtype=object)), dtype=np.float64)
    expected = pairs["prediction"].to_numpy(dtype=np.float64) * by_age
    period = periods(given, as_of)
    return kept_share(won, expected, period, reps, rng, rules, rules.target_periods + days // 30)


def _amount_shift(
    pairs: pd.DataFrame, won: npt.NDArray[np.bool_], closed: Ints, as_of: int, reps: Ints, rng: np.random.Generator,
    rules: DriftRules,
) -> Shift | None:  # fmt: skip
    """Logarithms of amounts won: against the champion's for the same leads where pairs hold them, else by trend."""
    money = pairs["amount"].to_numpy(dtype=np.float64)
    amount = np.log(np.maximum(money, 0.01))
    period = periods(np.where(won, closed, NEVER), as_of)
    if "log_amount" not in pairs.columns:
        return month_shift(amount, period, reps, rng, rules, rules.target_periods)
    left = amount - pairs["log_amount"].to_numpy(dtype=np.float64)
    known = np.isfinite(left) & (period >= 0) & (money > 0)  # the champion's logarithms are of deals that brought money
    if not known.any() or left[known].std() <= 0:
        return None
    found = level_shift(
        left[known], np.ones(int(known.sum())), period[known], reps[known], rng, rules, rules.target_periods
    )
    return None if found is None else Shift(found.change / float(left[known].std()), found.p_value)


def kept_share(
    came: Floats, expected: Floats, period: Ints, reps: Ints, rng: np.random.Generator, rules: DriftRules, n_new: int
) -> Kept | None:
    """What came over what was expected in the newest `n_new` periods, over the same in those before.

    None where there is too little to say.
    """
    recent = (period >= 0) & (period < n_new + rules.periods_before)
    came, expected, period, reps = came[recent], expected[recent], period[recent], reps[recent]
    found = level_shift(came - expected, expected, period, reps, rng, rules, n_new)
    new = period < n_new
    if found is None or came[~new].sum() <= 0:
        return None
    before, now = (float(came[at].sum() / expected[at].sum()) for at in (~new, new))
    return Kept(now / before, found.p_value)


def level_shift(
    left: Floats, weight: Floats, period: Ints, reps: Ints, rng: np.random.Generator, rules: DriftRules, n_new: int
) -> Shift | None:
    """Sum of `left` over sum of `weight`: the newest `n_new` periods against the mean of those before, without a trend.

    What is left over has no trend of its own for a year, and a line drawn through months would take the shift for one.
    The larger p-value of both tests counts, as for inputs: Student's t on periods, and signs flipped by rep. None where
    there are too few rows or periods, or nothing was expected.
    """
    recent = (period >= 0) & (period < n_new + rules.periods_before)
    left, weight, period, reps = left[recent], weight[recent], period[recent], reps[recent]
    rows = np.bincount(period, minlength=n_new)
    sums, weights = np.bincount(period, left, len(rows)), np.bincount(period, weight, len(rows))
    usable = np.flatnonzero((rows >= max(5, rules.fewest_rows // 4)) & (weights > 0))
    before = usable[usable >= n_new]
    if rows[:n_new].sum() < rules.fewest_rows or len(before) < rules.fewest_months or weights[:n_new].sum() <= 0:
        return None
    share = weights[before] / weights[before].mean()
    rates = sums[before] / weights[before]
    base = float((share * rates).sum() / share.sum())
    change = float(sums[:n_new].sum() / weights[:n_new].sum()) - base
    variance = float((share * (rates - base) ** 2).sum()) / (len(before) - 1)
    # A month's part that all its leads share does not shrink with their number: see `month_shift`.
    noise = max(weights[before].mean() / weights[:n_new].sum(), 1.0 / n_new)
    spread = np.sqrt(variance * (noise + 1.0 / share.sum()))
    p_month = float(2 * t.sf(abs(change) / spread, len(before) - 1)) if spread > 0 else float(change == 0)
    return Shift(change, max(p_month, share_by_flips(left, weight, period < n_new, reps, rng, rules.n_flips)))
