"""What managers watch after switching on: what routing brings against the hold-out, and who is not called in time."""

from __future__ import annotations

import threading
import weakref
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from features.errors import RequestError
from features.messages import message
from features.moments import DAY, HOUR
from features.panel import is_sales
from serving.calibration import Held
from serving.calibration import measure as measure_calibration
from serving.experiment import DrawnLog, Experiment, measure
from serving.group_audit import GroupsFile, audit
from serving.group_audit_words import audit_text
from serving.http.protocol import UpliftMetrics
from serving.insight import Insight
from serving.service_level import NOT_CONTACTED, Late, Overdue, assess, clock, late_leads, may_move
from serving.state import State
from serving.store import Transaction
from serving.texts import as_lang
from serving.wording import Json
from training.unit import ModelUnit


class Oversight(Insight):
    """The part of the facade that watches routing at work."""

    _drawn: DrawnLog
    _drawn_lock: threading.Lock
    _measured: tuple[weakref.ref[State], int, Experiment] | None  # weak: no old state lives on for its sake
    _held: tuple[int, ModelUnit | None, Held | None] | None
    _state: State

    @abstractmethod
    def _attended(self, tx: Transaction) -> State:
        """The newest state, its desk having taken over what the transaction sees."""

    @abstractmethod
    def _decision_clock(self) -> int:
        """The newest decided_at in a replay, else now."""

    def watch(self) -> None:
        """Start with nothing read."""
        self._drawn, self._drawn_lock = DrawnLog(), threading.Lock()
        self._measured, self._held = None, None

    def measured(self) -> Experiment:
        """Policy against hold-out as known now."""
        state = self.state()
        with self._drawn_lock:
            with self.store.read() as view:
                drawn = self._drawn.read(view)
            before = self._measured
            if before is None or before[0]() is not state or before[1] != len(drawn):
                config, board = self.session.config, state.board
                found = measure(
                    drawn, board.tables, board.as_of, config.routing.holdout, config.leads.dead_after_days
                )  # fmt: skip
                self._measured = before = (weakref.ref(state), len(drawn), found)
            return before[2]

    def experiment(self, *, lang: str | None = None) -> Json:
        """`{"status", "wins": {"uplift", "ci_low", "ci_high", "verdict", ...}, "value", "alarm", "text", ...}`."""
        currency = self.session.config.general.currency
        return self.measured().as_dict(self.zone, currency, as_lang(lang or self.session.lang))

    # -- figures for operators ----------------------------------------------------------------------------------

    def capacity_prices(self) -> dict[tuple[str, str], float]:
        """Price of a place as last solved, by (team, least, median or most) over its reps who have places."""
        state = self._state
        prices = state.desk.book.last_prices
        board = state.board
        if prices is None or len(prices.place) != len(board.rep_ids):
            return {}
        there = is_sales(board.reps) & (board.capacity > 0)
        teams = board.reps["team_id"].to_numpy(dtype=object)
        found: dict[tuple[str, str], float] = {}
        for team in sorted(set(map(str, teams[there]))):
            mine = prices.place[there & (teams == team)]
            parts = ("least", float(mine.min())), ("median", float(np.median(mine))), ("most", float(mine.max()))
            found.update({(team, part): value for part, value in parts})
        return found

    def calibration(self) -> Held | None:
        """Whether stated chances held; looked at once an hour, for it reads many decisions."""
        now, unit = self.session.now(), self._state.board.unit
        with self._drawn_lock:
            if self._held is None or self._held[1] is not unit or now - self._held[0] > HOUR:
                with self.store.read() as view:
                    self._held = (now, unit, measure_calibration(view, self._state.board))
            return self._held[2]

    # -- what routing gave to groups ----------------------------------------------------------------------------

    def group_audit(
        self, groups: Mapping[str, Mapping[str, str]], *, since: int | None, until: int | None, lang: str
    ) -> Json:
        """The audit with its `text`; `groups` by attribute, then rep_id, are held for this call and nowhere kept."""
        given = GroupsFile("groups", {name: dict(by_rep) for name, by_rep in groups.items()})
        found = audit(self, given, since, until)
        return {**found.as_dict(), "text": audit_text(found, as_lang(lang))}

    # -- leads not contacted in time ----------------------------------------------------------------------------

    def overdue(self, *, lang: str | None = None) -> Json:
        """`{"items": [{"lead_id", "rep_id", "hours", "best_rep_id", "gain", ...}], "contact_hours", ...}`."""
        del lang  # codes and numbers
        routing, state = self.session.config.routing, self.state()
        return {
            "items": [one.as_dict(self.zone) for one in self.overdue_leads()],
            "contact_hours": routing.contact_hours,
            "move_uncontacted_hours": routing.move_uncontacted_hours,
            "activities_known": bool(len(state.board.known.activities)),
        }

    def overdue_leads(self) -> list[Overdue]:
        """Leads past the configured hours without a call, the largest gain of moving first."""
        board, now = self.state().board, self._decision_clock()
        if board.as_of < now - DAY:  # old tables: judged as of their end, in its week
            now = board.as_of
        hours = self.session.config.routing.contact_hours
        with self.store.read() as view:
            late = late_leads(view, board, now, hours)
        if not late:
            return []
        with self.store.transaction() as tx:
            return assess(tx, self._attended(tx).desk, late, now)

    def move_overdue(self) -> list[str]:
        """Ids of leads moved now to a rep with room who makes more of them; none unless the settings say so.

        A lead is moved by itself at most once, and never after a person has. Where the data are more than a day older
        than the decision, nobody can tell who has called since, and nothing is moved.
        """
        hours, now = self.session.config.routing.move_uncontacted_hours, self._decision_clock()
        if hours is None or clock(self.state().board, now) < now - DAY:
            return []
        with self.store.read() as view:
            late = late_leads(view, self.state().board, now, hours)
        moved: list[str] = []
        while late:
            with self.store.transaction() as tx:
                one = self._move_one(tx, late_leads(tx, self._attended(tx).board, now, hours), now)
            if one is None:
                break
            moved.append(one)
        return moved

    def _move_one(self, tx: Transaction, late: Sequence[Late], now: int) -> str | None:
        """The lead whose move gains most, moved; None where none may be. After each, places and prices change."""
        state = self._attended(tx)
        for one in assess(tx, state.desk, late, now):
            history = [(entry.kind, str((entry.body or {}).get("by", ""))) for entry in tx.history(one.late.lead_id)]
            if not may_move(one, history):
                continue
            assert one.best_rep_id is not None
            numbers = {
                "hours": one.hours, "gain": one.gain, "gain_wins": one.gain_wins, "capacity_price": one.price,
                "model_version": state.board.unit.version if state.board.unit is not None else None, "propensity": 1.0,
            }  # fmt: skip
            week = state.desk.book.week_of(tx, now)
            tx.reassign(
                one.late.lead_id, rep_id=one.best_rep_id, at=now, week=week.text, reason=NOT_CONTACTED, numbers=numbers
            )  # fmt: skip
            return one.late.lead_id
        return None

    def moves_of(self, rep_id: str, since: int) -> list[Json]:
        """The machine's moves of leads to or from a rep: `{"at", "lead_id", "from_rep_id", "rep_id", "hours"}`."""
        with self.store.read() as view:
            found = view.machine_moves(since)
        made: list[Json] = []
        for at, lead_id, body in found:
            numbers: Any = body["numbers"]
            if rep_id in (body["from_rep_id"], body["rep_id"]):
                ends = {name: body[name] for name in ("from_rep_id", "rep_id")}
                made.append({"at": at, "lead_id": lead_id, **ends, "hours": numbers["hours"]})
        return made

    def require_moves(self) -> None:
        """RequestError where the settings do not allow the machine to move leads."""
        if self.session.config.routing.move_uncontacted_hours is None:
            raise RequestError(message("overdue.not_allowed"))


def uplift_metrics(found: Experiment) -> UpliftMetrics:
    """The figures of /metrics."""
    measured = {"wins": found.wins, "value": found.value}
    return UpliftMetrics(
        alarm=found.alarm,
        n_policy=found.n_policy,
        n_holdout=found.n_holdout,
        estimates={
            name: (one.whole.value, one.whole.ci_low, one.whole.ci_high)
            for name, one in measured.items()
            if one is not None
        },
    )
