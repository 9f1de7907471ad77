"""Rival policies on one stream of leads: who would have got which lead, and what that is worth under one yardstick.

Every policy sees the same leads in the same order, each with its own weekly places. The engine, not the policy, keeps
the books: a placement on a rep who is full or ruled out is refused and counted, so that no policy wins by breaking a
rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from features.errors import RequestError
from features.moments import WEEK
from models.routing.transport import solve_transport

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Stream:
    """Leads in order of arrival.

    `arrived_at` (L,) moments, not falling; `week` (L,) number of the ISO week;
    `week_fraction` (L,) share (0-1) of the week that has passed; `eligible` (L, R) hard rules without places;
    `capacity` (W, R) places in week `weeks[w]`; `weeks` (W,) rising, each week of a lead among them.
    """

    arrived_at: Integers
    week: Integers
    week_fraction: Floats
    eligible: Flags
    weeks: Integers
    capacity: Integers

    def __post_init__(self) -> None:
        n_leads = self.arrived_at.size
        shapes = {self.week.size, self.week_fraction.size, self.eligible.shape[0]}
        if shapes - {n_leads} or self.capacity.shape != (self.weeks.size, self.eligible.shape[1]):
            raise RequestError("replay: the stream's arrays do not fit each other; one entry a lead, one column a rep")
        if np.any(np.diff(self.arrived_at) < 0):
            raise RequestError("replay: leads are not in order of arrival; sort them by time")
        if not np.isin(self.week, self.weeks).all():
            raise RequestError("replay: a lead's week has no capacity row")

    @property
    def n_leads(self) -> int:
        return int(self.arrived_at.size)

    @property
    def n_reps(self) -> int:
        return int(self.eligible.shape[1])


@dataclass
class Books:
    """What is on record at a moment of the replay; kept by the engine, read by policies.

    `used`, `capacity` (R,) places this week; `last_lead_at` (R,) moment of the last lead; `given` (R,) leads so far;
    `held`: rows of the stream that wait; `n_arrived`: leads this week; `now`: moment; `week_fraction`: 0-1.
    """

    used: Integers
    capacity: Integers
    last_lead_at: Integers
    given: Integers
    held: list[int]
    n_arrived: int = 0
    now: int = 0
    week: int = 0
    week_fraction: float = 0.0

    @property
    def room(self) -> Integers:
        """(R,) places left."""
        return np.maximum(self.capacity - self.used, 0)


_DAYS = 7

Placement = tuple[int, int]  # row of the stream, rep


class RoutingPolicy(Protocol):
    """A policy as the replay drives it; rows not placed are held and may be placed by any later answer."""

    name: str

    def on_week(self, books: Books) -> None:
        """A week starts with fresh places."""

    def on_lead(self, i: int, books: Books) -> Sequence[Placement]:
        """Lead i has arrived (it is the last of `books.held`): placements now, of it or of other held leads."""

    def on_day_end(self, books: Books) -> Sequence[Placement]:
        """A day is over: placements of held leads."""


@dataclass(frozen=True)
class Replayed:
    """What a policy did. `choice` (L,) rep, -1 = never placed; `placed_at` (L,) moment (arrival where held);

    `refused`: placements against a hard rule or capacity, none of which were carried out.
    """

    name: str
    choice: Integers
    placed_at: Integers
    refused: int

    @property
    def held_share(self) -> float:
        """Share (0-1) of leads that were never placed."""
        return float((self.choice < 0).mean()) if self.choice.size else 0.0


def replay(stream: Stream, policy: RoutingPolicy, *, start: int = 0, carry: bool = False) -> Replayed:
    """The policy's decisions on leads `start` onward (earlier ones are its history).

    `carry`: held leads wait on into the next week; otherwise a week is judged by its own leads, and what is still
    held at its end stays unplaced.
    """
    run = _Run(stream, policy)
    for i in range(start, stream.n_leads):
        fresh = i == start or stream.week[i] != stream.week[i - 1]
        if i > start:
            run.end_days(i - 1, _DAYS if fresh else _day_in_week(stream, i))
        if fresh:
            run.start_week(int(stream.week[i]), carry)
        run.arrive(i)
    if stream.n_leads > start:
        run.end_days(stream.n_leads - 1, _DAYS)
    return Replayed(policy.name, run.choice, run.placed_at, run.refused)


def _day_in_week(stream: Stream, i: int) -> int:
    """0-6 of lead i, Monday first."""
    return min(int(np.floor(stream.week_fraction[i] * _DAYS + 1e-9)), _DAYS - 1)


@dataclass
class _Run:
    """One policy on its way through the stream."""

    stream: Stream
    policy: RoutingPolicy
    choice: Integers = field(init=False)
    placed_at: Integers = field(init=False)
    refused: int = 0
    books: Books = field(init=False)

    def __post_init__(self) -> None:
        n_reps = self.stream.n_reps
        zeros = np.zeros(n_reps, dtype=np.int64)
        never = np.full(n_reps, np.iinfo(np.int64).min, dtype=np.int64)
        self.choice = np.full(self.stream.n_leads, -1, dtype=np.int64)
        self.placed_at = self.stream.arrived_at.copy()
        self.books = Books(zeros.copy(), zeros.copy(), never, zeros.copy(), [])

    def start_week(self, week: int, carry: bool) -> None:
        books = self.books
        books.capacity = self.stream.capacity[int(np.searchsorted(self.stream.weeks, week))]
        books.used = np.zeros(self.stream.n_reps, dtype=np.int64)
        books.week, books.n_arrived, books.week_fraction = week, 0, 0.0
        if not carry:
            books.held.clear()
        self.policy.on_week(books)

    def arrive(self, i: int) -> None:
        books = self.books
        books.now, books.week_fraction = int(self.stream.arrived_at[i]), float(self.stream.week_fraction[i])
        books.n_arrived += 1
        books.held.append(i)
        self.place(self.policy.on_lead(i, books))

    def end_days(self, last: int, until: int) -> None:
        """The ends of all days of the week from lead `last`'s day to the one before day `until` (0-7), leads or not.

        The week's very last end makes sure that a place nobody is expected for any more goes to a waiting lead.
        """
        books = self.books
        for day in range(_day_in_week(self.stream, last), until):
            if not books.held:
                return
            books.week_fraction = (day + 1) / _DAYS
            passed = books.week_fraction - float(self.stream.week_fraction[last])
            books.now = int(self.stream.arrived_at[last]) + int(passed * WEEK)
            self.place(self.policy.on_day_end(books))

    def place(self, placements: Sequence[Placement]) -> None:
        books = self.books
        for i, rep in placements:
            fits = i in books.held and self.stream.eligible[i, rep] and books.used[rep] < books.capacity[rep]
            if not fits:
                self.refused += 1
                continue
            books.held.remove(i)
            books.used[rep] += 1
            books.given[rep] += 1
            books.last_lead_at[rep] = books.now
            self.choice[i] = rep
            self.placed_at[i] = books.now


def hindsight(stream: Stream, values: Floats, *, start: int = 0) -> Replayed:
    """The best that could be done knowing each whole week: the transport problem of every week, solved exactly.

    `values` (L, R) under which it is best.
    """
    choice = np.full(stream.n_leads, -1, dtype=np.int64)
    for w, week in enumerate(stream.weeks):
        rows = np.flatnonzero(stream.week == week)
        rows = rows[rows >= start]
        if rows.size:
            answer = solve_transport(values[rows], stream.eligible[rows], stream.capacity[w])
            choice[rows] = answer.choice
    return Replayed("hindsight", choice, stream.arrived_at.copy(), 0)


def total_value(choice: Integers, values: Floats, *, start: int = 0) -> float:
    """Sum of `values` (L, R) over the placed leads from `start` on; held leads count nothing."""
    rows = np.flatnonzero(choice >= 0)
    rows = rows[rows >= start]
    return float(values[rows, choice[rows]].sum())


def attained(policy: float, habit: float, oracle: float) -> float:
    """Share of the attainable gain: 0 = the habit, 1 = the oracle; NaN where nothing was to be gained."""
    return (policy - habit) / (oracle - habit) if oracle - habit > 1e-9 * max(abs(oracle), 1.0) else float("nan")
