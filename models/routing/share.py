"""Newcomers' lower bound as a share of expected value: how much more a lead must count at them to keep it.

Maximise the sum of values subject to: newcomers' part of the expected value is at least `share`. The bound's multiplier
is one number, the rate: a lead at a newcomer counts its value plus `rate` times its expected value. A higher rate never
gives newcomers less, so the least rate that keeps the bound is found by false position, one transport problem a step:
near the bound what newcomers get rises almost in a line, and a handful of steps does where halving took ten. With
expected value as the objective this is the Lagrangian of the bound, but for a positive factor on everything; with wins
as the objective the bound is kept, and the wins are close to the most that it allows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.routing.transport import Assignment, Bounds, solve_transport

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

HIGHEST_RATE: Final = 10.0  # a lead never counts more than eleven times its value at a newcomer
_STEPS: Final = 12
_CLOSE: Final = 0.002  # width of the bracket, of one plus the rate, at which the search ends
_ENOUGH: Final = 0.004  # of the bound: so little above it is no reason to go on
_AIM: Final = 0.002  # of the bound: aimed at so far above it, since only rates that keep it count
_FIRST: Final = 0.4  # first rate tried, times the part by which newcomers must get more


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

    def surplus(self, choice: Integers, worth: Floats) -> float:
        """Expected value (money) by which newcomers get more than the bound; below 0 where it is missed."""
        mine, everybody = self.given(choice, worth)
        return self.given_newcomers + mine - self.share * (self.given_all + everybody)

    def missing(self, choice: Integers, worth: Floats) -> float:
        """Expected value (money) by which the bound is missed; 0 where it is kept."""
        return max(-self.surplus(choice, worth), 0.0)


@dataclass(frozen=True)
class SharedAnswer:
    """An assignment that keeps the bound, the rate that it took, and the money by which the bound is still missed."""

    answer: Assignment
    rate: float
    missing: float


def weighted(values: Floats, worth: Floats, newcomer: Flags, rate: float) -> Floats:
    """(L, R) what each lead counts: its value, at newcomers with `rate` times its expected value on top."""
    if rate == 0.0:
        return values
    found = values.copy()
    found[:, newcomer] += rate * worth[:, newcomer]
    return found


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
    money = worth * scale

    def solve(rate: float, start: Floats | None) -> Assignment:
        counted = weighted(values, money, wanted.newcomer, rate)
        return solve_transport(
            counted, eligible, capacity, bounds=bounds, start_prices=start, tolerance=tolerance
        )  # fmt: skip

    def tried(rate: float, start: Floats | None) -> _Tried:
        answer = solve(rate, start)
        return _Tried(rate, answer, wanted.surplus(answer.choice, worth))

    low = tried(0.0, None)
    if low.surplus >= 0.0:
        return SharedAnswer(low.answer, 0.0, 0.0)
    bound = wanted.share * (wanted.given_all + wanted.given(low.answer.choice, worth)[1])
    high = tried(_first(low, bound), low.answer.prices)
    while high.surplus < 0.0:
        if high.rate >= HIGHEST_RATE:
            return SharedAnswer(_counted(high.answer, values), high.rate * scale, -high.surplus)
        low, high = high, tried(_beyond(low, high), high.answer.prices)
    best = _narrowed(low, high, bound, tried)
    return SharedAnswer(_counted(best.answer, values), best.rate * scale, 0.0)


@dataclass(frozen=True)
class _Tried:
    """A rate, its assignment, and what newcomers then get above the bound (money)."""

    rate: float
    answer: Assignment
    surplus: float

    @property
    def at(self) -> float:
        """Place on the search's scale: rates are ratios, so the logarithm of one plus them."""
        return float(np.log1p(self.rate))


def _first(free: _Tried, bound: float) -> float:
    """The rate to begin with, by how much more newcomers must get."""
    more = -free.surplus / max(bound + free.surplus, 1e-3 * bound)
    return float(np.clip(_FIRST * more, 1e-3, HIGHEST_RATE))


def _beyond(low: _Tried, high: _Tried) -> float:
    """A rate above two that both miss the bound: where the line through them meets it, and half as far again."""
    rise = max(high.surplus - low.surplus, 0.0)
    step = high.at - low.at
    line = 1.5 * step * -high.surplus / rise if rise > 0.0 else np.inf
    return float(min(np.expm1(high.at + np.clip(line, 0.5 * step, 8.0 * step)), HIGHEST_RATE))


def _narrowed(low: _Tried, high: _Tried, bound: float, tried: Callable[[float, Floats | None], _Tried]) -> _Tried:
    """The least rate found that keeps the bound, between one that misses it and one that does not (Illinois rule)."""
    pull_low, pull_high = 1.0, 1.0
    for _ in range(_STEPS):
        if high.surplus <= _ENOUGH * bound or high.rate - low.rate <= _CLOSE * (1.0 + high.rate):
            break
        below, above = pull_low * (low.surplus - _AIM * bound), pull_high * (high.surplus - _AIM * bound)
        share = float(np.clip(-below / (above - below), 0.05, 0.95))
        found = tried(float(np.expm1(low.at + share * (high.at - low.at))), high.answer.prices)
        if found.surplus >= 0.0:
            high, pull_high, pull_low = found, 1.0, 0.5 * pull_low
        else:
            low, pull_low, pull_high = found, 1.0, 0.5 * pull_high
    return high


def _unit(values: Floats, worth: Floats) -> float:
    """Objective's unit a unit of money, so that rates are of the objective's size whatever it is."""
    size = float(np.abs(worth).sum())
    return float(np.abs(values).sum()) / size if size > 0.0 else 1.0


def _counted(answer: Assignment, values: Floats) -> Assignment:
    """The answer with its objective in true values, without what newcomers count on top."""
    rows = np.flatnonzero(answer.choice >= 0)
    objective = float(values[rows, answer.choice[rows]].sum())
    return Assignment(answer.choice, answer.prices, answer.subsidies, objective, answer.gap, answer.short)
