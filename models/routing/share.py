"""Newcomers' lower bound as a share of expected value: how much more a lead must count at them to keep it.

Maximise the sum of values subject to: newcomers' part of the expected value is at least `share`. The bound's multiplier
is one number, the rate: a lead at a newcomer counts its value plus `rate` times its expected value. A higher rate never
gives newcomers less, so the least rate that keeps the bound is found by bisection, one transport problem a step. With
expected value as the objective this is the Lagrangian of the bound, but for a positive factor on everything; with wins
as the objective the bound is kept, and the wins are close to the most that it allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.routing.transport import Assignment, Bounds, solve_transport

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

HIGHEST_RATE: Final = 10.0  # a lead never counts more than eleven times its value at a newcomer
_STEPS: Final = 10
_CLOSE: Final = 0.01  # relative width of the bracket at which the search ends


@dataclass(frozen=True)
class NewcomerShare:
    """The bound for what is left of a week.

    `share` (0-1): least part of the expected value that newcomers together get. `newcomer` (R,). `given_newcomers`,
    `given_all`: expected value that they, and all, have been given already (money).
    """

    share: float
    newcomer: Flags
    given_newcomers: float = 0.0
    given_all: float = 0.0

    def after(self, newcomers: float, everybody: float) -> NewcomerShare:
        """The bound once that much more is given to newcomers, and to all."""
        return NewcomerShare(
            self.share, self.newcomer, self.given_newcomers + newcomers, self.given_all + everybody
        )  # fmt: skip

    def given(self, choice: Integers, worth: Floats) -> tuple[float, float]:
        """Expected value (money) that a choice (L,) gives newcomers and all, by `worth` (L, R)."""
        rows = np.flatnonzero(choice >= 0)
        reps = choice[rows]
        amounts = worth[rows, reps]
        return float(amounts[self.newcomer[reps]].sum()), float(amounts.sum())

    def missing(self, choice: Integers, worth: Floats) -> float:
        """Expected value (money) by which the bound is missed; 0 where it is kept."""
        mine, everybody = self.given(choice, worth)
        wanted = self.share * (self.given_all + everybody)
        return max(wanted - self.given_newcomers - mine, 0.0)


@dataclass(frozen=True)
class SharedAnswer:
    """An assignment that keeps the bound, the rate that it took, and the money by which the bound is still missed."""

    answer: Assignment
    rate: float
    missing: float


def weighted(values: Floats, worth: Floats, newcomer: Flags, rate: float) -> Floats:
    """(L, R) what each lead counts: its value, at newcomers with `rate` times its expected value on top."""
    return values if rate == 0.0 else values + np.where(newcomer, rate * worth, 0.0)


def solve_shared(
    values: Floats,
    worth: Floats,
    eligible: Flags,
    capacity: Integers,
    wanted: NewcomerShare,
    *,
    bounds: Bounds | None = None,
    tolerance: float = 1e-4,
) -> SharedAnswer:
    """The transport problem under the bound, at the least rate found that keeps it.

    Parameters
    ----------
    values, worth
        (L, R): what is maximised, in any unit, and expected value in money.
    wanted
        The bound; where no rate up to `HIGHEST_RATE` keeps it, the answer at that rate and what is missing.
    bounds
        Counts that hold beside it.
    """
    scale = _unit(values, worth)

    def solve(rate: float, start: Floats | None) -> Assignment:
        counted = weighted(values, worth * scale, wanted.newcomer, rate)
        return solve_transport(
            counted, eligible, capacity, bounds=bounds, start_prices=start, tolerance=tolerance
        )  # fmt: skip

    free = solve(0.0, None)
    if wanted.missing(free.choice, worth) <= 0.0:
        return SharedAnswer(free, 0.0, 0.0)
    low, high = 0.0, HIGHEST_RATE
    best = solve(high, free.prices)
    if (still := wanted.missing(best.choice, worth)) > 0.0:
        return SharedAnswer(_counted(best, values), high * scale, still)
    for _ in range(_STEPS):
        if high - low <= _CLOSE * (1.0 + high):
            break
        # Rates are ratios: halve between one plus them.
        middle = float(np.sqrt((1.0 + low) * (1.0 + high)) - 1.0)
        tried = solve(middle, best.prices)
        if wanted.missing(tried.choice, worth) <= 0.0:
            high, best = middle, tried
        else:
            low = middle
    return SharedAnswer(_counted(best, values), high * scale, 0.0)


def _unit(values: Floats, worth: Floats) -> float:
    """Objective's unit a unit of money, so that rates are of the objective's size whatever it is."""
    size = float(np.abs(worth).sum())
    return float(np.abs(values).sum()) / size if size > 0.0 else 1.0


def _counted(answer: Assignment, values: Floats) -> Assignment:
    """The answer with its objective in true values, without what newcomers count on top."""
    rows = np.flatnonzero(answer.choice >= 0)
    objective = float(values[rows, answer.choice[rows]].sum())
    return Assignment(answer.choice, answer.prices, answer.subsidies, objective, answer.gap, answer.short)
