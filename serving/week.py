"""The ISO week of a decision: places taken, leads come in, and what a place is worth to the leads still to come."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features import moments
from features.moments import WEEK
from models.routing.prices import Prices, Scenario, no_prices, plan_among_futures, solve_prices
from models.routing.share import NewcomerShare
from models.routing.volume import after_batch, remaining_volume
from serving.board import Board
from serving.leads import leads_of
from serving.ledger import Ledger
from serving.store import StoredDecision, Transaction

Ints = npt.NDArray[np.int64]

POLICY_VERSION = "priced-1"
_MOST_WEEKS = 8  # remembered at once; any other is read from the ledger again
_MOST_DAYS = 400
_MOST_LEADS = 20_000
_PRICE_STEPS = 24  # so often are a week's places priced anew; more often gains nothing (`benchmarks.routing --every`)
_FEW_PLACES = 4  # in a step: a desk so small is priced twice as often, for a place or two are much of its week

HeldScenario = Callable[[Sequence[StoredDecision]], Scenario | None]


def chance(board: Board, name: str) -> np.random.Generator:
    """Chance of one decision, fixed by the lead and the versions, so that a replay draws the same."""
    version = board.unit.version if board.unit is not None else ""
    digest = hashlib.sha256(f"{POLICY_VERSION}|{version}|{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


class LateChance:
    """The chance of a decision, made when first drawn from: most decisions leave nothing to chance."""

    def __init__(self, board: Board, name: str) -> None:
        self._board, self._name = board, name
        self._made: np.random.Generator | None = None

    def random(self) -> float:
        """A number evenly drawn from [0, 1)."""
        if self._made is None:
            self._made = chance(self._board, self._name)
        return float(self._made.random())


@dataclass
class Week:
    """One ISO week: its text, Monday's 00:00, and places taken by rep (R,), over tables, decisions and overrides."""

    text: str
    start: int
    used: Ints
    placed: set[tuple[str, str]]


class WeekBook:
    """The weeks of a board as the store has them; believed only after `Ledger.sync` in the same transaction."""

    def __init__(self, board: Board, ledger: Ledger) -> None:
        self._board, self._ledger = board, ledger
        self._weeks: dict[int, Week] = {}
        self._version = ledger.version
        self._starts: dict[int, tuple[int, int]] = {}
        self._high: dict[str, bool] = {}
        self._worth: dict[tuple[str, str], float] = {}
        self._prices: tuple[tuple[object, ...], Prices] | None = None

    def carry(self, before: WeekBook) -> None:
        """Start with the prices of the book before, where they are of the same reps and models: they only steer."""
        if before._board.rep_ids == self._board.rep_ids and before._board.unit is self._board.unit:
            self._prices = before._prices

    def week_of(self, tx: Transaction, moment: int) -> Week:
        """Places used in the ISO week of the moment: distinct leads over tables, decisions and overrides."""
        if self._version != self._ledger.version:
            self._weeks.clear()
            self._version = self._ledger.version
        start = self._start_of(moment)
        if start not in self._weeks:
            text = moments.week_text(moment, self._board.known.zone)
            placed = self._board.placed_in_tables(start) | self._ledger.places(tx, text)
            week = Week(text, start, np.zeros(len(self._board.rep_ids), dtype=np.int64), set())
            for place in placed:
                _take(self._board, week, place)
            if len(self._weeks) >= _MOST_WEEKS:
                self._weeks.clear()
            self._weeks[start] = week
        return self._weeks[start]

    def _start_of(self, moment: int) -> int:
        """Start of the moment's week; a day's is remembered."""
        day = moment // moments.DAY
        known = self._starts.get(day)
        if known is not None and known[0] <= moment < known[1]:
            return known[0]
        zone = self._board.known.zone
        start, end = moments.start_of_week(moment, zone), moments.end_of_week(moment, zone)
        if len(self._starts) >= _MOST_DAYS:
            self._starts.clear()
        self._starts[day] = (start, end)
        return start

    def took(self, moment: int, rep_id: str, lead_id: str, *, high: bool = False) -> None:
        """A place that this transaction has given away."""
        week = self._weeks.get(self._start_of(moment))
        if week is not None:
            _take(self._board, week, (rep_id, lead_id))
        if len(self._high) >= _MOST_LEADS:
            self._high.clear()
        self._high[lead_id] = high

    def high_given(self, tx: Transaction, week: Week) -> Ints:
        """(R,) leads of high value that each rep was given in the week."""
        unknown = [lead_id for _, lead_id in week.placed if lead_id not in self._high]
        if unknown:
            self._high.update(self._judge(tx, unknown))
        given = np.zeros(len(self._board.rep_ids), dtype=np.int64)
        for rep_id, lead_id in week.placed:
            if self._high.get(lead_id, False) and rep_id in self._board.index:
                given[self._board.index[rep_id]] += 1
        return given

    def _judge(self, tx: Transaction, lead_ids: Sequence[str]) -> dict[str, bool]:
        """Whether leads are of high value: as their decision said, else as the tables' lead is worth now."""
        found = {name: bool(stored.record.get("high_value")) for name, stored in tx.decided(lead_ids).items()}
        rest = [name for name in lead_ids if name not in found]
        if rest:
            table = self._board.known.leads
            rows = table.loc[table["lead_id"].isin(rest).to_numpy()].reset_index(drop=True)
            leads = leads_of(rows, [{}] * len(rows))
            objective = self._board.config.routing.objective
            for lead, values in zip(leads, self._board.values(leads, self._board.as_of), strict=True):
                best = values.objective(objective).max(initial=0.0)
                found[lead.lead_id] = bool(best >= self._board.high_value_from)
        return found

    @property
    def last_prices(self) -> Prices | None:
        """The prices as last solved, whenever that was; None before the first time."""
        return None if self._prices is None else self._prices[1]

    @property
    def step(self) -> int:
        """Places after which prices are solved anew: fewer leads at once need no plan of their own."""
        return max(self._board.n_places // _PRICE_STEPS, 1)

    def prices(self, tx: Transaction, moment: int, held_scenario: HeldScenario) -> Prices:
        """Prices of places now; solved anew with each 24th of the week, places taken and usual arrivals together, and
        with each 24th of its places in leads that wait.

        They steer, they never permit: capacity is checked beside them.
        """
        board, week = self._board, self.week_of(tx, moment)
        held = self._ledger.waiting(moment)
        step = self.step
        waits = -(-len(held) // step)
        prior, profile = board.volume
        elapsed = profile.share_elapsed((moment - week.start) / WEEK)
        gone = _PRICE_STEPS * elapsed + int(week.used.sum()) / step
        progress = int(gone if step < _FEW_PLACES else gone / 2)
        key = (week.text, progress, waits)
        if self._prices is not None and self._prices[0] == key:
            return self._prices[1]
        scenario = board.scenario(moment)
        if not len(scenario.values) and not held:
            return no_prices(len(board.rep_ids))
        room = np.maximum(board.capacity - week.used, 0)
        lower, upper = self._bounds(tx, week, moment)
        volume = remaining_volume(prior, self._arrived(tx, week, moment), elapsed)
        prices = solve_prices(
            scenario, room, volume, chance(board, f"prices|{key}"), held=held_scenario(held), lower=lower,
            upper_high=upper, share=self.newcomer_share(tx, moment),
        )  # fmt: skip
        self._prices = (key, prices)
        return prices

    def plan(self, tx: Transaction, moment: int, batch: Scenario, held: Scenario | None) -> Ints:
        """(L,) rep of each lead of a batch, -1 = held, by the futures that may follow it."""
        board, week = self._board, self.week_of(tx, moment)
        prior, profile = board.volume
        arrived, elapsed = self._arrived(tx, week, moment), profile.share_elapsed((moment - week.start) / WEEK)
        volume = after_batch(remaining_volume(prior, arrived, elapsed), prior, arrived, elapsed, len(batch.values))
        room = np.maximum(board.capacity - week.used, 0)
        rng = chance(board, f"batch|{week.text}|{len(batch.values)}|{int(week.used.sum())}")
        return plan_among_futures(batch, board.scenario(moment), held, room, volume, rng)

    def _bounds(self, tx: Transaction, week: Week, moment: int) -> tuple[Ints | None, Ints | None]:
        """(R,) leads still missing to a newcomer's least, and high-value leads that each may still get."""
        routing, lower, upper = self._board.config.routing, None, None
        if routing.newcomer_min > 0:
            missing = np.maximum(routing.newcomer_min - week.used, 0)
            lower = np.where(self._board.newcomers(moment), missing, 0).astype(np.int64)
        if routing.high_value_max is not None:
            upper = np.maximum(routing.high_value_max - self.high_given(tx, week), 0)
        return lower, upper

    def newcomer_share(self, tx: Transaction, moment: int) -> NewcomerShare | None:
        """Newcomers' least share of the week's expected value, with what has been given so far; None without one."""
        board, share = self._board, self._board.config.routing.newcomer_share
        if share <= 0.0 or board.unit is None:
            return None
        newcomer, week = board.newcomers(moment), self.week_of(tx, moment)
        if len(self._worth) >= _MOST_LEADS:
            self._worth.clear()
        unknown = [place for place in week.placed if place not in self._worth]
        if unknown:
            self._worth.update(self._worths(tx, unknown))
        given = [0.0, 0.0]
        for place in week.placed:
            rep = board.index.get(place[0])
            given[1] += self._worth[place]
            given[0] += self._worth[place] if rep is not None and newcomer[rep] else 0.0
        return NewcomerShare(share, newcomer, *given)

    def _worths(self, tx: Transaction, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
        """Expected value (money) of placed leads: as their decision said, else as the tables' lead is worth now."""
        board = self._board
        decided = tx.decided([lead_id for _, lead_id in places])
        found = dict.fromkeys(places, 0.0)
        for rep_id, lead_id in places:
            if lead_id in decided:
                said = decided[lead_id].record.get("expected_value")
                found[rep_id, lead_id] = float(said) if isinstance(said, (int, float)) else 0.0
        rest = [place for place in places if place[1] not in decided and place[0] in board.index]
        table = board.known.leads
        rows = table.loc[table["lead_id"].isin([lead_id for _, lead_id in rest]).to_numpy()].reset_index(drop=True)
        leads = leads_of(rows, [{}] * len(rows))
        values = dict(zip((lead.lead_id for lead in leads), board.values(leads, board.as_of), strict=True))
        for rep_id, lead_id in rest:
            if lead_id in values:
                found[rep_id, lead_id] = float(values[lead_id].expected[board.index[rep_id]])
        return found

    def _arrived(self, tx: Transaction, week: Week, moment: int) -> int:
        """Leads for routing that came in from the week's start to the moment, in tables or here."""
        board = self._board
        decided = sum(1 for lead_id, _ in tx.arrivals(week.start, moment + 1) if lead_id not in board.lead_ids)
        return board.arrived(week.start, moment) + decided


def _take(board: Board, week: Week, place: tuple[str, str]) -> None:
    if place in week.placed:
        return
    week.placed.add(place)
    rep = board.index.get(place[0])
    if rep is not None:
        week.used[rep] += 1
