"""What pages read beside the interface's answers: names, teams, the week's places, the moment that counts as now."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from features import moments
from features.errors import RequestError, UnknownRepError
from features.messages import message
from features.moments import DAY, NEVER
from serving.alerts import without_promise
from serving.core import Core, State
from serving.pages.prepared import Prepared
from serving.store import StoredDecision
from serving.texts import as_lang, minute

_FRESH_DAYS: Final = 14
_PAST_WEEKS: Final = 8
_AWAY: Final = frozenset({"left", "not_hired", "not_sales"})


@dataclass(frozen=True)
class Seat:
    """One sales rep in one ISO week. `rule` is the hard rule that keeps new leads from him now, `none` for none."""

    rep_id: str
    name: str
    team_id: str
    manager_id: str
    tenure_years: float
    capacity: int
    used: int
    rule: str

    @property
    def free(self) -> int:
        """Places left."""
        return max(self.capacity - self.used, 0)


@dataclass(frozen=True)
class WeekOfLeads:
    """Distinct leads handed over in the ISO week from `monday`: to one rep, and to all."""

    monday: int
    mine: int
    all: int


@dataclass(frozen=True)
class Held:
    """A lead that waits, since when, and its decision's document."""

    lead_id: str
    since: int
    document: dict[str, Any]


class Book:
    """Reads for pages, over the facade."""

    def __init__(self, core: Core, prepared: Prepared | None = None) -> None:
        self.core = core
        self.prepared = prepared or Prepared()

    @property
    def zone(self) -> str:
        """Time zone of all dates shown."""
        return self.core.zone

    @property
    def currency(self) -> str:
        """Currency of all amounts shown; may be empty."""
        return self.core.session.config.general.currency

    def state(self) -> State:
        """The newest state of knowledge."""
        return self.core.state()

    def moment(self) -> int:
        """What pages call now: the clock, or where the tables are old the newest thing known or decided."""
        now, as_of = self.core.session.now(), self.state().board.as_of
        if now - as_of <= _FRESH_DAYS * DAY:
            return now
        with self.core.store.read() as view:
            newest = view.decisions(limit=1, newest_first=True).items
        return max([as_of, *(one.decided_at for one in newest)])

    def when(self, moment: int) -> str:
        """Local date and time, to the minute."""
        return minute(moments.iso(moment, self.zone))

    # -- reps and places ----------------------------------------------------------------------------------------

    def seats(self, at: int) -> list[Seat]:
        """The sales reps there at the moment, by name, with their places of its ISO week."""
        board = self.state().board
        placed = board.placed_in_tables(moments.start_of_week(at, self.zone))
        with self.core.store.read() as view:
            placed |= view.placements(moments.week_text(at, self.zone))
        taken = Counter(rep for rep, _ in placed)
        used = np.array([taken[rep] for rep in board.rep_ids], dtype=np.int64)
        exclusion, _ = board.exclusions(at, "", used)
        rules = [board.rule_of(int(code)) for code in exclusion]
        found = [self._seat(i, int(used[i]), rule, at) for i, rule in enumerate(rules) if rule not in _AWAY]
        return sorted(found, key=lambda seat: (seat.name, seat.rep_id))

    def _seat(self, i: int, used: int, rule: str, at: int) -> Seat:
        board = self.state().board
        row = board.reps.iloc[i]
        rep = board.rep_ids[i]
        tenure = (at - int(row["hired_on"])) / DAY / 365.25
        return Seat(
            rep, self.name(rep), str(row["team_id"]), str(row["manager_id"]), tenure, int(board.capacity[i]), used, rule
        )

    def name(self, rep_id: object) -> str:
        """A rep's name for people, his id where he has none."""
        return self.state().name_of(str(rep_id)) if rep_id else ""

    def knows(self, rep_id: str) -> bool:
        """Whether the tables know the rep."""
        return rep_id in self.state().board.index

    def rep(self, rep_id: str, at: int) -> Seat:
        """A rep, whether he is still there or not; UnknownRepError for one that the tables do not know."""
        board = self.state().board
        if rep_id not in board.index:
            raise UnknownRepError(message("unknown.rep", rep=rep_id))
        for seat in self.seats(at):
            if seat.rep_id == rep_id:
                return seat
        i = board.index[rep_id]
        exclusion, _ = board.exclusions(at, "", np.zeros(len(board.rep_ids), dtype=np.int64))
        return self._seat(i, 0, board.rule_of(int(exclusion[i])), at)

    def left_on(self, rep_id: str) -> int | None:
        """The moment from which a rep is gone; None where he stays."""
        board = self.state().board
        at = int(board.reps["left_on"].iloc[board.index[rep_id]])
        return None if at == NEVER else at

    def absences(self, rep_id: str, start: int, end: int) -> list[tuple[int, int]]:
        """Planned absences (first day, last day as moments) that touch [start, end)."""
        table = self.state().board.tables.absences
        mine = table.loc[(table["rep_id"] == rep_id).to_numpy()]
        spans = zip(mine["starts_on"].to_numpy(dtype=np.int64), mine["ends_on"].to_numpy(dtype=np.int64), strict=True)
        return sorted((int(a), int(b)) for a, b in spans if a < end and b + DAY > start)

    def weekly_leads(self, rep_id: str, at: int) -> list[WeekOfLeads]:
        """Leads handed over in the rep's last weeks and this one, oldest first; none from before he was hired."""
        board = self.state().board
        monday = moments.start_of_week(at, self.zone)
        weeks = [monday]
        for _ in range(_PAST_WEEKS):
            weeks.insert(0, moments.start_of_week(weeks[0] - DAY, self.zone))
        hired = int(board.reps["hired_on"].iloc[board.index[rep_id]])
        found = []
        with self.core.store.read() as view:
            for start in weeks:
                if start + 7 * DAY <= hired:
                    continue
                placed = board.placed_in_tables(start) | view.placements(moments.week_text(start, self.zone))
                mine = sum(rep == rep_id for rep, _ in placed)
                found.append(WeekOfLeads(start, mine, len({lead for _, lead in placed})))
        return found

    # -- decisions ----------------------------------------------------------------------------------------------

    def held(self, lang: str) -> list[Held]:
        """Leads that wait, the longest waiting first."""
        state = self.state()
        with self.core.store.read() as view:
            waiting = view.held()
        return [Held(one.lead_id, one.decided_at, state.document(one.record, _lang(lang))) for one in waiting]

    def decided_since(self, since: int, limit: int = 2_000) -> list[StoredDecision]:
        """Decisions made at or after the moment, newest first."""
        with self.core.store.read() as view:
            return list(view.decisions(since=since, limit=limit, newest_first=True).items)

    # -- what takes long ----------------------------------------------------------------------------------------

    def forecast(self, level: str) -> list[dict[str, Any]]:
        """Rows of the forecast table of a level, all months."""
        from serving.pages.fans import rows_of

        state = self.state()
        return self.prepared.get(state, ("forecast", level), lambda: rows_of(self.core.forecast_table(None, level)))

    def warnings(self, lang: str) -> list[dict[str, Any]]:
        """The warnings in words, with their state as of now; see `without_promise`."""
        state = self.state()
        self.prepared.get(state, "alerts", lambda: len(state.alerts))
        return without_promise(self.core.warning_items(lang), as_lang(lang))

    def drivers(self, month: str | None, against: str = "peers") -> Any:
        """The payload of the driver report; reps are compared with their peers, or with the top tenth."""
        state = self.state()
        key = ("drivers", month, against)
        return self.prepared.get(state, key, lambda: self.core.driver_payload(month, against))


def _lang(lang: str) -> Any:
    return lang


__all__ = ["Book", "Held", "RequestError", "Seat", "WeekOfLeads"]
