"""Our policy as the replay drives it: value less a price that is solved again as the week goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.routing.baselines import weekly_counts
from models.routing.holding import reconsider
from models.routing.policy import Candidates, Choice, Exclusion, decide
from models.routing.prices import Prices, Scenario, no_prices, solve_prices
from models.routing.replay import Books, Placement, Stream
from models.routing.settings import PolicySettings
from models.routing.share import NewcomerShare
from models.routing.volume import ArrivalProfile, VolumePrior, arrival_profile, remaining_volume, volume_prior

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass
class Repriced:
    """Prices of capacity with the remaining volume re-estimated, holding and release.

    `values` (L, R) as estimated at each lead's arrival; `win_probability` likewise (for the record only);
    `newcomer` (R,), `high` (L,), `worth` (L, R) expected value in money (None: `values` are that): for the bounds.
    `owner` (L,): rep who owns the lead's account, -1 = nobody. `every`: leads between two solutions. `recent`: leads of
    the past that the scenarios draw from. `choices`: the decision of each lead on its arrival, in order.
    """

    stream: Stream
    values: Floats
    rng: np.random.Generator
    settings: PolicySettings = field(default_factory=lambda: PolicySettings(exploration=0.0))
    win_probability: Floats | None = None
    newcomer: Flags | None = None
    high: Flags | None = None
    worth: Floats | None = None
    owner: Integers | None = None
    every: int = 1
    recent: int = 2_000
    n_scenarios: int = 8
    name: str = "repriced"
    choices: dict[int, Choice] = field(default_factory=dict, init=False)
    _prices: Prices = field(default_factory=lambda: no_prices(0), init=False)
    _prior: VolumePrior = field(default_factory=lambda: VolumePrior(0.0, 1.0), init=False)
    _profile: ArrivalProfile = field(default_factory=lambda: ArrivalProfile(np.ones(1)), init=False)
    _first: int = field(default=0, init=False)
    _since: int = field(default=0, init=False)
    _high_given: Integers = field(default_factory=lambda: np.zeros(0, dtype=np.int64), init=False)
    _given: list[float] = field(default_factory=lambda: [0.0, 0.0], init=False)  # money this week: newcomers, all

    def on_week(self, books: Books) -> None:
        self._since = -1
        self._high_given = np.zeros(books.capacity.size, dtype=np.int64)
        self._given = [0.0, 0.0]

    def on_lead(self, i: int, books: Books) -> Sequence[Placement]:
        if self._since < 0:
            self._learn_volume(i)
        if self._since < 0 or self._since >= self.every:
            self._prices, self._since = self._solve(i, books), 0
        self._since += 1
        owner = None if self.owner is None or self.owner[i] < 0 else int(self.owner[i])
        choice = decide(
            self._candidates(i, books), self._prices, self.settings, self.rng, owner=owner, high_value=self._is_high(i)
        )
        self.choices[i] = choice
        found: list[Placement] = [] if choice.rep is None else [(i, choice.rep)]
        waiting = [row for row in books.held if row != i]
        found += self._release(waiting, books, choice.rep)
        return self._counted(found)

    def on_day_end(self, books: Books) -> Sequence[Placement]:
        if not books.held:
            return []
        self._prices = self._solve(max(books.held) + 1, books)
        return self._counted(self._release(list(books.held), books, None))

    def _learn_volume(self, i: int) -> None:
        """Prior and profile from the weeks before lead i's; the scenarios draw from leads before this week's first."""
        self._first = i
        self._prior = volume_prior(weekly_counts(self.stream, i))
        self._profile = arrival_profile(self.stream.week_fraction[max(0, i - self.recent) : i])

    def _is_high(self, i: int) -> bool:
        return self.high is not None and bool(self.high[i])

    def _solve(self, upto: int, books: Books) -> Prices:
        """Prices from leads before `upto` (its own week's included) and those held now."""
        rows = np.arange(max(0, upto - self.recent), upto)
        share = self._profile.share_elapsed(books.week_fraction)
        volume = remaining_volume(self._prior, books.n_arrived, share)
        room = books.room
        held = np.array(books.held, dtype=np.int64)
        return solve_prices(
            self._scenario(rows), room, volume, self.rng, held=self._scenario(held),
            lower=self._missing(books), upper_high=self._high_left(), share=self._share(), n_scenarios=self.n_scenarios,
        )  # fmt: skip

    def _scenario(self, rows: Integers) -> Scenario:
        high = None if self.high is None else self.high[rows]
        worth = None if self.worth is None else self.worth[rows]
        return Scenario(self.values[rows], self.stream.eligible[rows], high, worth)

    def _share(self) -> NewcomerShare | None:
        """Newcomers' share of what is left of the week."""
        if self.settings.newcomer_share <= 0.0 or self.newcomer is None:
            return None
        return NewcomerShare(self.settings.newcomer_share, self.newcomer, *self._given)

    def _missing(self, books: Books) -> Integers | None:
        """(R,) leads that newcomers still miss this week."""
        if self.settings.newcomer_min <= 0 or self.newcomer is None:
            return None
        return np.where(self.newcomer, np.maximum(self.settings.newcomer_min - books.used, 0), 0).astype(np.int64)

    def _high_left(self) -> Integers | None:
        """(R,) high-value leads a rep may still get."""
        if self.settings.high_value_max is None or self.high is None:
            return None
        return np.maximum(self.settings.high_value_max - self._high_given, 0)

    def _candidates(self, i: int, books: Books) -> Candidates:
        exclusion = np.where(self.stream.eligible[i], Exclusion.NONE, Exclusion.TERRITORY).astype(np.int64)
        chance = self.values[i] if self.win_probability is None else self.win_probability[i]
        return Candidates(
            self.values[i], chance, exclusion, books.used, books.capacity, books.last_lead_at,
            self.newcomer, self._high_given, worth=None if self.worth is None else self.worth[i],
        )  # fmt: skip

    def _release(self, waiting: list[int], books: Books, just_given: int | None) -> list[Placement]:
        """Held leads whose net value is not below zero any more, on the places that are left."""
        if not waiting:
            return []
        rows = np.array(waiting, dtype=np.int64)
        room = books.room.copy()
        if just_given is not None:
            room[just_given] -= 1
        eligible = self.stream.eligible[rows]
        high_left = self._high_left()
        if high_left is not None and self.high is not None:
            eligible = eligible & ~(self.high[rows][:, None] & (high_left <= 0)[None, :])
        favour = None
        if self._prices.newcomer_rate > 0.0 and self.newcomer is not None:
            money = (self.values if self.worth is None else self.worth)[rows]
            favour = np.where(self.newcomer, self._prices.newcomer_rate * money, 0.0)
        freed = reconsider(self.values[rows], eligible, self._prices, room, favour=favour)
        return [(int(rows[release.lead]), release.rep) for release in freed]

    def _counted(self, placements: list[Placement]) -> list[Placement]:
        """The placements, less those over the bound on high-value leads; the bound's count moves on."""
        kept: list[Placement] = []
        left = self._high_left()
        for i, rep in placements:
            if self._is_high(i):
                if left is not None and left[rep] <= 0:
                    continue
                if left is not None:
                    left[rep] -= 1
                self._high_given[rep] += 1
            kept.append((i, rep))
            money = float((self.values if self.worth is None else self.worth)[i, rep])
            self._given[1] += money
            if self.newcomer is not None and self.newcomer[rep]:
                self._given[0] += money
        return kept
