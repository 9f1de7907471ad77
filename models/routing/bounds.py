"""What the desk's own wishes cost in value and in wins: each found by solving with it and without it.

The wishes: newcomers' least number of leads, newcomers' least share of expected value, the bound on high-value leads a
rep, and accounts that stay with their owner.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from models.routing.share import NewcomerShare, solve_shared
from models.routing.transport import Assignment, Bounds, solve_transport

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

TOGETHER: Final = "together"


@dataclass(frozen=True)
class BoundCost:
    """What a rule takes from the best assignment without it: `value` (money) and expected `wins`, positive = a loss;

    `short`: places by which a minimum could not be met; `missing`: money by which newcomers' share could not.
    """

    value: float
    wins: float
    short: int
    missing: float = 0.0


@dataclass(frozen=True)
class Wishes:
    """The rules asked about; what is None is not set.

    `owner` (L,): rep who owns each lead's account, -1 = nobody; leads in order of arrival.
    """

    lower: Integers | None = None
    upper_high: Integers | None = None
    high: Flags | None = None
    share: NewcomerShare | None = None
    owner: Integers | None = None

    def each(self) -> dict[str, Wishes]:
        """The rules that are set, one at a time, and all together where there are several."""
        found: dict[str, Wishes] = {}
        if self.lower is not None:
            found["newcomer_min"] = Wishes(lower=self.lower)
        if self.share is not None:
            found["newcomer_share"] = Wishes(share=self.share)
        if self.upper_high is not None:
            found["high_value_max"] = Wishes(upper_high=self.upper_high, high=self.high)
        if self.owner is not None:
            found["same_account"] = Wishes(owner=self.owner)
        return found | {TOGETHER: self} if len(found) > 1 else found


def bound_costs(
    values: Floats, wins: Floats, eligible: Flags, capacity: Integers, wishes: Wishes, worth: Floats | None = None
) -> dict[str, BoundCost]:
    """Cost of each rule that is set, and of all together, over leads (L, R) that share one week's places.

    `values` (L, R) are what routing maximises, `wins` win probabilities, `worth` expected value in money (None:
    `values` are that).
    """
    money = values if worth is None else worth
    rules = wishes.each()
    if not rules:
        return {}
    free = solve_transport(values, eligible, capacity).choice
    best = expected_wins(free, money), expected_wins(free, wins)
    found = {}
    for name, rule in rules.items():
        answer = _under(values, money, eligible, capacity, rule)
        missing = 0.0 if rule.share is None else rule.share.missing(answer.choice, money)
        lost = best[0] - expected_wins(answer.choice, money), best[1] - expected_wins(answer.choice, wins)
        found[name] = BoundCost(*lost, int(answer.short.sum()), missing)
    return found


def _under(values: Floats, money: Floats, eligible: Flags, capacity: Integers, rule: Wishes) -> Assignment:
    """The best assignment under the rule."""
    kept = _with_owners(eligible, capacity, rule.owner)
    there = kept >= 0
    taken = np.bincount(kept[there], minlength=capacity.size)
    lower = None if rule.lower is None else np.maximum(rule.lower - taken, 0)
    upper = rule.upper_high
    if upper is not None and rule.high is not None:
        upper = np.maximum(upper - np.bincount(kept[there & rule.high], minlength=capacity.size), 0)
    rest, left = ~there, capacity - taken
    bounds = (
        None
        if lower is None and upper is None
        else Bounds(lower, upper, None if rule.high is None else rule.high[rest])
    )
    if rule.share is None:
        answer = solve_transport(values[rest], eligible[rest], left, bounds=bounds)
    else:
        wanted = rule.share.after(*rule.share.given(kept, money))
        answer = solve_shared(values[rest], money[rest], eligible[rest], left, wanted, bounds=bounds).answer
    choice = kept.copy()
    choice[rest] = answer.choice
    return replace(answer, choice=choice)


def _with_owners(eligible: Flags, capacity: Integers, owner: Integers | None) -> Integers:
    """(L,) the owner of each lead's account where he may have it and has a place, in order of arrival; else -1."""
    found = np.full(eligible.shape[0], -1, dtype=np.int64)
    if owner is None:
        return found
    left = capacity.copy()
    for i in np.flatnonzero(owner >= 0):
        rep = int(owner[i])
        if eligible[i, rep] and left[rep] > 0:
            found[i] = rep
            left[rep] -= 1
    return found


def expected_wins(choice: Integers, wins: Floats) -> float:
    """Sum of win probabilities, or of any other worth (L, R), over the placed leads."""
    rows = np.flatnonzero(choice >= 0)
    return float(wins[rows, choice[rows]].sum())
