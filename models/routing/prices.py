"""Prices of capacity: what a place of each rep is worth to the leads still to come this week.

The week's remaining transport problem is solved for several scenarios: leads like the recent ones, as many as may
still come, beside the held leads, on the places left. The price of a rep's place is the middle between what the
scenario would lose without it (its largest optimal dual) and what the auction asks (close to the smallest), averaged
over scenarios: with few places the two lie apart, and the middle reached 0.02 more of the attainable gain than
either end (`benchmarks/routing.py`, load 0.8). It is high where good leads are still to come, and
falls to what the held leads make of the place as the week ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from features.compiled import compiled
from models.routing import kernels
from models.routing.share import NewcomerShare, solve_shared, weighted
from models.routing.transport import Assignment, Bounds, solve_transport
from models.routing.volume import VolumeEstimate

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_MARGIN_ROUNDS = 60


@dataclass(frozen=True)
class Scenario:
    """Leads that may come, by recent ones: `values` (S, R), `eligible` (S, R), `high` (S,) of high value.

    `worth` (S, R): expected value in money; None: `values` are that.
    """

    values: Floats
    eligible: Flags
    high: Flags | None = None
    worth: Floats | None = None


@dataclass(frozen=True)
class Prices:
    """`place` (R,) >= 0 price of a rep's place; `subsidy` (R,) >= 0 bonus of a rep short of his lower bound.

    `newcomer_rate`: what each unit of expected value counts on top at a newcomer, so that newcomers keep their share.
    `ahead_newcomers`, `ahead_all`: expected value (money) that newcomers, and all, are to get of the leads to come.
    """

    place: Floats
    subsidy: Floats
    newcomer_rate: float = 0.0
    ahead_newcomers: float = 0.0
    ahead_all: float = 0.0

    @property
    def effective(self) -> Floats:
        """(R,) what is taken off a value: price less subsidy."""
        return self.place - self.subsidy


def no_prices(n_reps: int) -> Prices:
    """Prices of nothing, for a desk without a model or without scenario."""
    return Prices(np.zeros(n_reps), np.zeros(n_reps))


def solve_prices(
    scenario: Scenario,
    capacity: Integers,
    remaining: VolumeEstimate | float,
    rng: np.random.Generator,
    *,
    held: Scenario | None = None,
    lower: Integers | None = None,
    upper_high: Integers | None = None,
    share: NewcomerShare | None = None,
    n_scenarios: int = 8,
    most_leads: int = 4_000,
    tolerance: float = 1e-3,
) -> Prices:
    """Prices (R,) of the places left, averaged over `n_scenarios` futures.

    Parameters
    ----------
    scenario
        Recent leads with the values they would have now; each future draws from them.
    capacity
        (R,) places left this week.
    remaining
        How many leads are still to come; a number stands for exactly that many (rounded at random).
    held
        Leads waiting now: certain, in every future.
    lower, upper_high
        (R,) leads still missing to a rep's lower bound; leads of high value a rep may still get.
    share
        Newcomers' least share of the week's expected value; its rate is found on the middle future.
    most_leads
        A future with more leads is thinned, and its capacity with it.
    """
    n_reps = capacity.size
    if n_reps == 0:
        return no_prices(0)
    counts = _counts(remaining, rng, n_scenarios if scenario.values.shape[0] else 1)
    if scenario.values.shape[0] == 0:
        counts = np.zeros(1, dtype=np.int64)
    place, subsidy = np.zeros(n_reps), np.zeros(n_reps)
    bounded = bool(lower is not None and lower.any()) or upper_high is not None
    rate, ahead = 0.0, (0.0, 0.0)
    if share is not None and share.share > 0.0:
        middle, places = _future(scenario, held, int(np.sort(counts)[counts.size // 2]), capacity, rng, most_leads)
        rate, ahead = _rate(middle, places, share, Bounds(lower, upper_high, middle.high) if bounded else None)
    for count in counts:
        future, places = _future(scenario, held, int(count), capacity, rng, most_leads)
        if rate > 0.0 and share is not None:
            worth = future.values if future.worth is None else future.worth
            future = replace(future, values=weighted(future.values, worth, share.newcomer, rate))
        if bounded:
            bounds = Bounds(lower, upper_high, future.high)
            answer = solve_transport(future.values, future.eligible, places, bounds=bounds, tolerance=tolerance)
            place += answer.prices
            subsidy += answer.subsidies
        else:
            answer = solve_transport(future.values, future.eligible, places, tolerance=tolerance)
            place += 0.5 * (_margins(future, places, answer) + answer.prices)
    return Prices(place / counts.size, subsidy / counts.size, rate, *ahead)


def _rate(
    future: Scenario, places: Integers, share: NewcomerShare, bounds: Bounds | None
) -> tuple[float, tuple[float, float]]:
    """Rate that keeps the share in a future, and what newcomers and all get of it (money)."""
    if future.values.shape[0] == 0:
        return 0.0, (0.0, 0.0)
    worth = future.values if future.worth is None else future.worth
    found = solve_shared(future.values, worth, future.eligible, places, share, bounds=bounds, tolerance=1e-3)
    return found.rate, share.given(found.answer.choice, worth)


def _counts(remaining: VolumeEstimate | float, rng: np.random.Generator, n_scenarios: int) -> Integers:
    """Numbers of leads still to come, one a future."""
    if isinstance(remaining, VolumeEstimate):
        return remaining.spread(n_scenarios)
    whole = np.floor(max(remaining, 0.0))
    return (whole + (rng.random(n_scenarios) < max(remaining, 0.0) - whole)).astype(np.int64)


def _future(
    scenario: Scenario,
    held: Scenario | None,
    count: int,
    capacity: Integers,
    rng: np.random.Generator,
    most_leads: int,
) -> tuple[Scenario, Integers]:
    """One future: `count` recent leads drawn (without repeats where possible), the held ones, and places for them."""
    n_known = scenario.values.shape[0]
    places = capacity
    if count > most_leads:
        places = _rounded(np.asarray(capacity, dtype=np.float64) * (most_leads / count), rng)
        count = most_leads
    if count <= n_known:
        drawn = rng.permutation(n_known)[:count]
    else:
        drawn = np.concatenate(
            [np.tile(np.arange(n_known), count // n_known), rng.permutation(n_known)[: count % n_known]]
        )
    values, eligible = scenario.values[drawn], scenario.eligible[drawn]
    high = np.zeros(count, dtype=np.bool_) if scenario.high is None else scenario.high[drawn]
    worth = None if scenario.worth is None else scenario.worth[drawn]
    if held is not None and held.values.shape[0]:
        values, eligible = np.vstack([values, held.values]), np.vstack([eligible, held.eligible])
        waiting = np.zeros(held.values.shape[0], dtype=np.bool_) if held.high is None else held.high
        high = np.concatenate([high, waiting])
        if worth is not None:
            worth = np.vstack([worth, held.values if held.worth is None else held.worth])
    return Scenario(values, eligible, high, worth), places


def _rounded(amounts: Floats, rng: np.random.Generator) -> Integers:
    """Whole numbers whose mean is `amounts`."""
    whole = np.floor(amounts)
    return (whole + (rng.random(amounts.size) < amounts - whole)).astype(np.int64)


def _margins(future: Scenario, places: Integers, answer: Assignment) -> Floats:
    """(R,) what one place fewer would cost; 0 for a rep without places."""
    usable = future.eligible & (places > 0)[None, :]
    net = np.where(usable, future.values, -np.inf)
    hold = np.zeros(net.shape[0])
    filled = np.bincount(answer.choice[answer.choice >= 0], minlength=places.size)
    margin = compiled(kernels.price_margins)(net, hold, places, filled, answer.choice, _MARGIN_ROUNDS)
    return np.where(np.isfinite(margin), margin, 0.0)
