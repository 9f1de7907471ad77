"""What our policy is measured against: the log, turns, load, tenure tiers, quota queues, greedy, fixed prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.routing.prices import Scenario, solve_prices
from models.routing.replay import Books, Placement, Stream
from models.routing.volume import remaining_volume, volume_prior

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_RECENT_WEEKS = 8


def _open(stream: Stream, i: int, books: Books) -> Flags:
    """(R,) who may have lead i now."""
    return stream.eligible[i] & (books.used < books.capacity)


def _least(key: Floats | Integers, among: Flags) -> int:
    """Index of the smallest key among those, the first of equals; -1 where there is none."""
    where = np.flatnonzero(among)
    return int(where[np.argmin(key[where])]) if where.size else -1


def _placed(i: int, rep: int) -> list[Placement]:
    return [(i, rep)] if rep >= 0 else []


@dataclass
class _AtOnce:
    """Base of the policies that decide on arrival and look at waiting leads again at the day's end."""

    stream: Stream

    def on_week(self, books: Books) -> None:
        """Nothing to prepare."""

    def choose(self, i: int, books: Books) -> int:
        """Rep for lead i, -1 = wait."""
        raise AssertionError(f"{type(self).__name__} does not say how it chooses (lead {i}, week {books.week})")

    def on_lead(self, i: int, books: Books) -> Sequence[Placement]:
        return _placed(i, self.choose(i, books))

    def on_day_end(self, books: Books) -> Sequence[Placement]:  # noqa: ARG002 - the same for all books
        """Nothing: whom nobody had room for on arrival, nobody has room for at night."""
        return []


@dataclass
class Habit(_AtOnce):
    """What the desk did: `logged` (L,) rep of each lead, -1 = nobody. Where he is full, the lead waits."""

    logged: Integers = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    name: str = "habit"

    def choose(self, i: int, books: Books) -> int:
        rep = int(self.logged[i])
        return rep if rep >= 0 and _open(self.stream, i, books)[rep] else -1


@dataclass
class RoundRobin(_AtOnce):
    """Taking turns: whoever has waited longest for a lead and has room."""

    name: str = "round_robin"

    def choose(self, i: int, books: Books) -> int:
        return _least(books.last_lead_at, _open(self.stream, i, books))


@dataclass
class LeastBusy(_AtOnce):
    """Least load share, then longest without a lead."""

    name: str = "least_busy"

    def choose(self, i: int, books: Books) -> int:
        who = _open(self.stream, i, books)
        share = books.used / np.maximum(books.capacity, 1)
        if not who.any():
            return -1
        return _least(books.last_lead_at, who & (share <= share[who].min() + 1e-12))


@dataclass
class TieredByTenure(_AtOnce):
    """Good leads to old hands: thirds of the leads by score to thirds of the reps by tenure, turns within a tier.

    `tenure_years` (R,) at the stream's start, `lead_score` (L,). Cuts are those of earlier leads; a tier without room
    passes on to the nearest.
    """

    tenure_years: Floats = field(default_factory=lambda: np.zeros(0))
    lead_score: Floats = field(default_factory=lambda: np.zeros(0))
    name: str = "tiered_by_tenure"
    _cuts: Floats = field(default_factory=lambda: np.zeros(2), init=False)

    def choose(self, i: int, books: Books) -> int:
        if books.n_arrived == 1:
            past = self.lead_score[:i] if i else self.lead_score[:1]
            self._cuts = np.quantile(past, [1 / 3, 2 / 3])
        wanted = int(np.searchsorted(self._cuts, self.lead_score[i], side="right"))
        tiers = np.searchsorted(np.quantile(self.tenure_years, [1 / 3, 2 / 3]), self.tenure_years, side="right")
        who = _open(self.stream, i, books)
        for tier in sorted(range(3), key=lambda t: (abs(t - wanted), -t)):
            rep = _least(books.last_lead_at, who & (tiers == tier))
            if rep >= 0:
                return rep
        return -1


@dataclass
class QuotaQueues:
    """Leads wait till night; then the best scored go first, round the reps with daily quota left.

    `lead_score` (L,), e.g. of a naive Bayes on the lead's fields. A rep's quota grows by capacity / 5 each working
    day of the week, so an overloaded desk serves its best waiting leads.
    """

    stream: Stream
    lead_score: Floats
    working_days: int = 5
    name: str = "naive_bayes_quota"

    def on_week(self, books: Books) -> None:
        """Quotas follow from the books."""

    def on_lead(self, i: int, books: Books) -> Sequence[Placement]:  # noqa: ARG002 - the lead waits for the night
        return []

    def on_day_end(self, books: Books) -> Sequence[Placement]:
        day = int(np.ceil(books.week_fraction * 7.0 - 1e-9))
        quota = np.ceil(books.capacity * min(day / self.working_days, 1.0)).astype(np.int64) - books.used
        turn = books.last_lead_at.copy()
        turn_no = int(turn.max(initial=0))
        found: list[Placement] = []
        for i in sorted(books.held, key=lambda row: (-self.lead_score[row], row)):
            rep = _least(turn, self.stream.eligible[i] & (quota > 0) & (books.used < books.capacity))
            if rep >= 0:
                quota[rep] -= 1
                turn_no += 1
                turn[rep] = turn_no
                found.append((i, rep))
        return found


@dataclass
class Greedy(_AtOnce):
    """Best value with room, whatever the place is worth to others. `values` (L, R)."""

    values: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    name: str = "greedy"

    def choose(self, i: int, books: Books) -> int:
        return _least(-self.values[i], _open(self.stream, i, books))


@dataclass
class FixedPrices(_AtOnce):
    """Value less a price that is solved once, as the week starts, from recent leads and their mean number.

    `below`: what becomes of a lead worth less than every price: it is placed all the same, held to the end of the
    week's last working day, or dropped.
    """

    values: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    below: Literal["place", "hold", "drop"] = "place"
    recent: int = 2_000
    name: str = "fixed_prices"
    _price: Floats = field(default_factory=lambda: np.zeros(0), init=False)
    _week_started: int = field(default=-1, init=False)

    def choose(self, i: int, books: Books) -> int:
        if books.week != self._week_started:
            self._price, self._week_started = self._solve(i, books), books.week
        who = _open(self.stream, i, books)
        rep = _least(-(self.values[i] - self._price), who)
        if rep < 0 or (self.below != "place" and self.values[i, rep] < self._price[rep]):
            return -1
        return rep

    def _solve(self, i: int, books: Books) -> Floats:
        rows = np.arange(max(0, i - self.recent), i)
        counts = weekly_counts(self.stream, i)
        volume = remaining_volume(volume_prior(counts), 0, 0.0)
        scenario = Scenario(self.values[rows], self.stream.eligible[rows])
        return solve_prices(scenario, books.capacity, float(volume.expected), self.rng).place

    def on_day_end(self, books: Books) -> Sequence[Placement]:
        if self.below != "hold" or books.week_fraction < 5 / 7 - 1e-9:
            return []
        found: list[Placement] = []
        room = books.room
        for i in sorted(books.held, key=lambda row: -float(self.values[row].max())):
            rep = _least(-self.values[i], self.stream.eligible[i] & (room > 0))
            if rep >= 0:
                room[rep] -= 1
                found.append((i, rep))
        return found


def weekly_counts(stream: Stream, before: int, weeks: int = _RECENT_WEEKS) -> Integers:
    """Leads in each of the last whole weeks before lead `before`'s own week, oldest first."""
    this = int(stream.week[before])
    past = stream.week[:before]
    past = past[past < this]
    if past.size == 0:
        return np.zeros(0, dtype=np.int64)
    first = max(int(past.min()), this - weeks)
    return np.bincount(past[past >= first] - first, minlength=this - first).astype(np.int64)
