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
from typing import Any

import numpy as np
import numpy.typing as npt

from features.compiled import compiled
from features.errors import RequestError
from models.routing.share import NewcomerShare, solve_shared, weighted
from models.routing.transport import Bounds, auction, solve_transport
from models.routing.volume import VolumeEstimate

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_FUTURES = 8  # that a batch is solved with
_MOST_PAIRS = 4e6  # of leads and reps in all of them
_FIRST = 0.04  # epsilon to begin with in the first future
_WARM = 0.00025  # and from the prices of a like future: most then need no second phase


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
    tolerance: float = 2e-3,
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
    bounded = bool(lower is not None and lower.any()) or upper_high is not None
    rate, ahead = 0.0, (0.0, 0.0)
    if share is not None and share.share > 0.0:
        middle, places = _future(scenario, held, int(np.sort(counts)[counts.size // 2]), capacity, rng, most_leads)
        rate, ahead = _rate(middle, places, share, Bounds(lower, upper_high, middle.high) if bounded else None)
        scenario = _favoured(scenario, share, rate)
        held = None if held is None else _favoured(held, share, rate)
    if not bounded:
        place = _unbounded(_Leads.of(scenario, held, capacity), counts, rng, most_leads, tolerance)
        return Prices(place, np.zeros(n_reps), rate, *ahead)
    place, subsidy = np.zeros(n_reps), np.zeros(n_reps)
    for count in counts:
        future, places = _future(scenario, held, int(count), capacity, rng, most_leads)
        bounds = Bounds(lower, upper_high, future.high)
        answer = solve_transport(future.values, future.eligible, places, bounds=bounds, tolerance=tolerance)
        place += answer.prices
        subsidy += answer.subsidies
    return Prices(place / counts.size, subsidy / counts.size, rate, *ahead)


def plan_among_futures(
    batch: Scenario, scenario: Scenario, held: Scenario | None, capacity: Integers, remaining: VolumeEstimate,
    rng: np.random.Generator, *, tolerance: float = 2e-4,
) -> Integers:  # fmt: skip
    """(L,) rep of each lead of a batch, -1 = held: where it goes in most of the futures, each solved with the batch.

    A batch takes many places at once, so that prices of what comes after it, found without it, are too low for its
    later leads. Parameters as of `solve_prices`.
    """
    n, n_reps = batch.values.shape
    if not n or not n_reps:
        return np.full(n, -1, dtype=np.int64)
    known = scenario.values.shape[0]
    affordable = _MOST_PAIRS / max((n + remaining.expected) * n_reps, 1.0)
    counts = _counts(remaining, rng, int(np.clip(affordable, 1, _FUTURES))) if known else np.zeros(1, dtype=np.int64)
    if not counts.any():
        counts = counts[:1]  # nothing is to come: all futures are the same
    votes, start = np.zeros((n, n_reps + 1)), None
    for count in counts:
        future, places = _future(scenario, held, int(count), capacity, rng, max(int(count), 1))
        values, eligible = np.vstack([batch.values, future.values]), np.vstack([batch.eligible, future.eligible])
        answer = solve_transport(values, eligible, places, start_prices=start, tolerance=tolerance)
        votes[np.arange(n), answer.choice[:n]] += 1.0  # the last column: held
        start = answer.prices
    # Equal votes go to the more valuable pair.
    sized = batch.values / max(float(np.abs(batch.values[batch.eligible]).max(initial=0.0)), 1e-300)
    return solve_transport(votes[:, :-1] + 0.01 * sized, batch.eligible, capacity, votes[:, -1]).choice


def _rate(
    future: Scenario, places: Integers, share: NewcomerShare, bounds: Bounds | None
) -> tuple[float, tuple[float, float]]:
    """Rate that keeps the share in a future, and what newcomers and all get of it (money)."""
    if future.values.shape[0] == 0:
        return 0.0, (0.0, 0.0)
    worth = future.values if future.worth is None else future.worth
    found = solve_shared(future.values, worth, future.eligible, places, share, bounds=bounds, tolerance=1e-3)
    return found.rate, share.given(found.answer.choice, worth)


def _favoured(leads: Scenario, share: NewcomerShare, rate: float) -> Scenario:
    """The leads with what they count on top at newcomers."""
    if rate == 0.0:
        return leads
    worth = leads.values if leads.worth is None else leads.worth
    return replace(leads, values=weighted(leads.values, worth, share.newcomer, rate), worth=worth)


@dataclass(frozen=True)
class _Leads:
    """Leads that may come and, after the first `n_known`, those held, against the reps who have places.

    `values` (n, K), -inf where ruled out; `largest` (n,) absolute value and `may_go` (n,) of a row; `reps` (K,)
    columns' reps; `capacity` (R,) places of all reps. Futures only name rows, so that none of them copies values.
    """

    values: Floats
    largest: Floats
    may_go: Flags
    n_known: int
    reps: Integers
    capacity: Integers

    @classmethod
    def of(cls, scenario: Scenario, held: Scenario | None, capacity: Integers) -> _Leads:
        """RequestError where an eligible value is not finite."""
        capacity = np.asarray(capacity, dtype=np.int64)
        reps = np.flatnonzero(capacity > 0)
        parts = [scenario] if held is None else [scenario, held]
        n_known, n = scenario.values.shape[0], sum(part.values.shape[0] for part in parts)
        values, largest, may_go = np.empty((n, reps.size)), np.empty(n), np.empty(n, dtype=np.bool_)
        for start, part in zip((0, n_known), parts, strict=False):
            end = start + part.values.shape[0]
            given = np.ascontiguousarray(part.values, dtype=np.float64)
            if not compiled(_gather)(
                given, part.eligible, reps, values[start:end], largest[start:end], may_go[start:end]
            ):
                raise RequestError("prices: the value of an eligible pair is not a finite number")
        return cls(values, largest, may_go, n_known, reps, capacity)

    def with_places(self, capacity: Integers) -> _Leads:
        """The same leads and reps with other places; a rep without any is ruled out."""
        if capacity is self.capacity:
            return self
        values = np.where(capacity[self.reps] > 0, self.values, -np.inf)
        largest = np.where(values > -np.inf, np.abs(values), 0.0).max(axis=1, initial=0.0)
        return replace(
            self, values=values, largest=largest, may_go=np.asarray((values > -np.inf).any(axis=1)), capacity=capacity
        )


def _gather(values: Any, eligible: Any, reps: Any, found: Any, largest: Any, may_go: Any) -> bool:
    """Write (n, K) values at `reps`, -inf where not eligible; False where an eligible one is not finite."""
    finite = True
    for i in range(found.shape[0]):
        largest[i], may_go[i] = 0.0, False
        for k in range(reps.size):
            value = values[i, reps[k]]
            if eligible[i, reps[k]]:
                may_go[i] = True
                finite = finite and np.isfinite(value)
                largest[i] = max(largest[i], abs(value))
            else:
                value = -np.inf
            found[i, k] = value
    return finite


def _unbounded(leads: _Leads, counts: Integers, rng: np.random.Generator, most_leads: int, tolerance: float) -> Floats:
    """(R,) prices averaged over futures of as many new leads as `counts` says, where only capacity binds.

    Each future starts from the prices of the one before: within the tolerance the answer is the same, in half the time.
    """
    from models.routing import kernels

    held = np.arange(leads.n_known, len(leads.values))
    place, before = np.zeros(leads.capacity.size), None
    scaled, scale, net, turned = leads, 1.0, leads.values, np.ascontiguousarray(leads.values.T)
    for count in counts:
        drawn, places = _drawn(leads.n_known, int(count), leads.capacity, rng, most_leads)
        future = leads.with_places(places)
        rows = np.concatenate([drawn, held])
        if not future.may_go[rows].any():
            continue
        largest = float(future.largest[rows].max(initial=0.0)) or 1.0
        if largest != scale or future is not scaled:
            scaled, scale, net = future, largest, future.values / largest
            turned = np.ascontiguousarray(net.T)
        open_ = future.capacity[future.reps]
        start, first = (np.zeros(open_.size), _FIRST) if before is None else (before / scale, _WARM)
        places_open = np.minimum(open_, rows.size + 1)
        solved = auction(net, rows, np.zeros(rows.size), places_open, start, tolerance, first, turned)
        margin = kernels.price_margins(
            turned, rows, np.zeros(rows.size), open_, solved.filled, solved.choice, solved.price
        )
        place[future.reps] += 0.5 * scale * (np.where(np.isfinite(margin), margin, 0.0) + solved.price)
        before = solved.price * scale
    return place / counts.size


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
    drawn, places = _drawn(scenario.values.shape[0], count, capacity, rng, most_leads)
    count = drawn.size
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


def _drawn(
    n_known: int, count: int, capacity: Integers, rng: np.random.Generator, most_leads: int
) -> tuple[Integers, Integers]:
    """Which known leads come in a future of `count`, without repeats where possible, and places for them."""
    places = capacity
    if count > most_leads:
        places = _rounded(np.asarray(capacity, dtype=np.float64) * (most_leads / count), rng)
        count = most_leads
    order = rng.permutation(n_known)
    if count <= n_known:
        return order[:count], places
    whole = np.tile(np.arange(n_known), count // n_known)
    return np.concatenate([whole, order[: count % n_known]]), places


def _rounded(amounts: Floats, rng: np.random.Generator) -> Integers:
    """Whole numbers whose mean is `amounts`."""
    whole = np.floor(amounts)
    return (whole + (rng.random(amounts.size) < amounts - whole)).astype(np.int64)
