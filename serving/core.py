"""Fairlead as command line and HTTP use it: one facade over routing, forecasts, warnings, drivers and releases.

The state (tables with the events received, board, release) is replaced as a whole, never changed; the store holds
what must last. Both callers get the same answers because both call this.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features import moments
from features.errors import (
    DataError,
    FairleadError,
    Fault,
    NoReleaseError,
    UnknownLeadError,
    UnknownRepError,
    said,
)
from features.messages import message, to_stored
from features.moments import SECOND
from features.rows import parse_leads_file
from features.tables import Tables
from features.workdays import Workdays
from serving.allocator import give_back
from serving.board import Board
from serving.drift_watch import DriftWatch, drift_gauges, last_report
from serving.http.protocol import ConflictError, DecisionFilters, MetricsSnapshot, Team
from serving.insight import dump_json, plain_value
from serving.intake import Intake
from serving.leads import Lead, leads_of
from serving.oversight import uplift_metrics
from serving.release_probe import probe_release, tree_scorer
from serving.session import Session, apply_event, clock
from serving.shadow import Shadow
from serving.state import State
from serving.store import Reader, Store, StoredDecision, Transaction, UnknownWarningError
from serving.texts import as_lang
from serving.webhooks.delivery import Deliveries
from serving.webhooks.endpoints import endpoints_of
from serving.week import Week
from serving.wording import Json, decision_bytes, one_line
from training.release import Release, ReleaseError, champion, promotions, read_release, release_for
from training.unit import ModelUnit

_LOG = logging.getLogger("fairlead")
_TICK_SECONDS = 60.0
_FOLLOW_SECONDS = 2.0
ROUTE_COLUMNS = (
    "lead_id", "rep_id", "decided_at", "win_probability", "expected_value", "policy", "propensity", "reason",
)  # fmt: skip
_ERASED_FEED = ("from_rep_id", "rep_id", "by", "reason", "forced", "numbers")


class Core(Intake):
    """The facade. `dry_run`: decisions go to a copy of the store that is thrown away."""

    def __init__(self, session: Session, dry_run: bool = False) -> None:
        self.session = session
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self.store = self._open_store(dry_run)
        self._swap = threading.RLock()
        self._stop = threading.Event()
        self._clock_thread: threading.Thread | None = None
        self._replay_clock: int | None = None
        self._loaded_at = session.now()
        self.watch()
        self._base = self._visible(session.tables)
        # The session's tables hold the events already.
        with self.store.read() as view:
            last = view.last_event()
        self._taken: tuple[Tables, int, Tables] | None = None
        self._release: Release | None = None
        self._refused: ReleaseError | None = None
        self._unit = self._load_unit(session.as_of)
        self._state = self._make_state(self._base, last, None)
        self.shadow, self.drift_watch = Shadow(self), DriftWatch(session)
        self.deliveries: Deliveries | None = None

    # -- state --------------------------------------------------------------------------------------------------

    def _open_store(self, dry_run: bool) -> Store:
        if not dry_run:
            return self.session.open_store()
        self._scratch = tempfile.TemporaryDirectory(prefix="fairlead-")
        copied = Path(self._scratch.name) / "dry-run.db"
        if self.session.has_store():
            with self.session.open_store() as real:
                real.copy_to(copied)
        return Store.open(copied)

    def _visible(self, tables: Tables) -> Tables:
        """The tables without what --as-of hides; days of leaving stay as planned, for the hard rule."""
        if not self.session.as_of_given:
            return tables
        known = tables.known(self.session.as_of)
        planned = tables.reps.drop_duplicates("rep_id").set_index("rep_id")["left_on"]
        reps = known.reps.assign(left_on=planned.reindex(known.reps["rep_id"]).to_numpy(dtype=np.int64))
        return known.with_frames(reps=reps)

    def _load_unit(self, as_of: int) -> ModelUnit | None:
        try:
            self._release = release_for(self.session.home.releases, as_of, self.session.tables.zone)
            unit = ModelUnit.from_release(self._release)
        except NoReleaseError:
            self._release = None
        except ReleaseError as error:
            # Leads must be routed all the same; what needs the models tells the reason.
            self._release, self._refused = None, error
            _LOG.error("%s", error)
        else:
            tree_scorer(unit)
            return unit
        return None

    def _make_state(self, tables: Tables, last_event: int, before: State | None) -> State:
        newest = tables.newest()
        as_of = max(self.session.as_of, newest) if self.session.as_of_given else newest
        workdays = self._unit.workdays if self._unit is not None else Workdays("weekdays")
        board = Board(tables, self.session.config, as_of, self._unit, workdays, not self.session.as_of_given)
        if before is not None:
            board.carry(before.board)
        made = State(board, self.session, last_event, before)
        made.refused = self._refused
        return made

    def state(self) -> State:
        """The newest state: events that any process acknowledged are in it."""
        with self.store.read() as view:
            return self._caught_up(view)

    def deciding(self) -> State:
        """The state that decided last, without asking the store for events."""
        return self._state

    def _caught_up(self, view: Reader, last_event: int | None = None) -> State:
        with self._swap:
            if (view.last_event() if last_event is None else last_event) == self._state.last_event:
                return self._state
            tables, last = self._state.board.tables, self._state.last_event
            taken, self._taken = self._taken, None
            if taken is not None and taken[0] is tables:
                _, last, tables = taken
            for event in view.events_after(last):
                tables = apply_event(tables, event.table, event.rows)
                last = event.seq
            self._state = self._make_state(tables, last, self._state)
            return self._state

    def _took(self, state: State, seq: int, tables: Tables) -> None:
        """Rows up to event `seq`, checked and durable, make `tables` of the state's: need not be read once more."""
        with self._swap:
            if state is self._state:
                self._taken = (state.board.tables, seq, tables)

    def _attended(self, tx: Transaction) -> State:
        """The newest state, its desk having taken over what the transaction sees."""
        pulse = tx.pulse()
        state = self._caught_up(tx, pulse.last_event)
        state.desk.attend(tx, pulse)
        return state

    @property
    def zone(self) -> str:
        """Time zone of days, weeks and times without an offset."""
        return self.session.tables.zone

    @property
    def default_lang(self) -> str:
        """Language where a caller asks for none."""
        return self.session.lang

    @property
    def model_version(self) -> str | None:
        """Version in use; None where rules decide."""
        return self._unit.version if self._unit is not None else None

    def has_keys(self) -> bool:
        """Whether an API key was ever made."""
        return self.store.has_keys()

    def start_clock(self) -> None:
        """Look at held leads at the end of each working day, and follow promotions, in the background until `close`."""
        self._clock_thread = threading.Thread(target=self._run_clock, name="fairlead-clock", daemon=True)
        self._clock_thread.start()
        threading.Thread(target=self._follow_champion, name="fairlead-follower", daemon=True).start()
        self.shadow.start(self._stop)
        self.drift_watch.start(self._stop)
        endpoints = endpoints_of(self.session.config)
        self.deliveries = Deliveries(self.store, endpoints, self.zone, clock, self.warning_items)
        self.deliveries.start(self._stop)

    def _follow_champion(self) -> None:
        """Take a promotion or rollback within seconds; a release that cannot be used is refused once and logged."""
        releases = self.session.home.releases
        seen = champion(releases)
        while not self._stop.wait(_FOLLOW_SECONDS):
            try:
                in_charge = champion(releases)
                if in_charge == seen:
                    continue
                seen = in_charge
                self.reload_models()
            except (FairleadError, OSError):
                _LOG.exception("the promoted release cannot be used; the old one keeps serving")

    def _run_clock(self) -> None:
        last = self.session.now()
        while not self._stop.wait(_TICK_SECONDS):
            now = self.session.now()
            try:
                if self._replay_clock is None:  # a replay's days end with its own decisions
                    self.end_days(last, now)
                    self.move_overdue()
            except FairleadError:
                _LOG.exception("held leads could not be looked at; tried again in a minute")
                continue
            finally:
                give_back()
            last = now

    def end_days(self, after: int, until: int) -> list[str]:
        """Ids of held leads released at the ends of working days in (after, until]."""
        found: list[str] = []
        ends = self._state.desk.day_ends(after, until)
        if not ends:
            return found
        with self.store.transaction() as tx:
            state = self._attended(tx)
            for end in ends:
                found += [stored.lead_id for stored in state.desk.release(tx, end)]
        return found

    def close(self) -> None:
        """Let go of store and threads."""
        self._stop.set()
        if self._clock_thread is not None:
            self._clock_thread.join(timeout=5)
        if self.deliveries is not None:
            self.deliveries.join(timeout=2)
        self.store.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    # -- routing ------------------------------------------------------------------------------------------------

    def _moment(self, decided_at: int | None) -> int:
        """Moment of a decision; a replay's clock moves on with it, over the ends of working days on its way."""
        if decided_at is None:
            self._replay_clock = None
            return self.session.now()
        before = self._replay_clock
        if before is not None and decided_at > before:
            self.end_days(before, decided_at)
        self._replay_clock = max(decided_at, before or decided_at)
        return decided_at

    def _decision_clock(self) -> int:
        """The newest decided_at in a replay, else now."""
        return self._replay_clock if self._replay_clock is not None else self.session.now()

    def _typed(self, rows: Sequence[Mapping[str, object]]) -> list[Lead]:
        """Typed leads; DataError with every fault, also after looking whether another process knows more."""
        try:
            return self._state.board.typer.leads(rows)
        except DataError:
            return self.state().board.typer.leads(rows)

    def assign(self, lead: Mapping[str, object], *, decided_at: int | None, lang: str) -> tuple[int, bytes]:
        """201 and a new decision as JSON bytes, or 200 and the one that stands."""
        typed = self._typed([lead])[0]
        moment = self._moment(decided_at)
        with self.store.transaction() as tx:
            state = self._attended(tx)
            stored, new = state.desk.assign(tx, typed, moment, lang)
            answer = state.desk.answer(tx, stored, lang)
        return (201 if new else 200), answer

    def assign_batch(
        self, leads: Sequence[Mapping[str, object]], *, decided_at: int | None, lang: str
    ) -> tuple[int, bytes]:
        """201 and `{"items": [{"lead_id", "status_code", "status", "rep_id", "decision"}]}`, decided together,
        duplicates once."""
        typed = self._typed(leads)
        moment = self._moment(decided_at)
        with self.store.transaction() as tx:
            state = self._attended(tx)
            decided = state.desk.assign_batch(tx, typed, moment, lang)
            answers = [json.loads(state.desk.answer(tx, stored, lang)) for stored, _ in decided]
        items = [
            {
                "lead_id": stored.lead_id,
                "status_code": 201 if new else 200,
                "status": stored.status,
                "rep_id": stored.owner_rep_id,
                "decision": answer,
            }
            for (stored, new), answer in zip(decided, answers, strict=True)
        ]
        return 201, decision_bytes({"items": items})

    def route(self, leads: Sequence[Lead]) -> list[StoredDecision]:
        """Final decisions of leads routed one at a time in the order of created_at, as the service would."""
        ordered = sorted(leads, key=lambda lead: (lead.created_at, lead.lead_id))
        clock = ordered[0].created_at if ordered else 0
        for lead in ordered:
            self.end_days(clock, lead.created_at)
            clock = max(clock, lead.created_at)
            with self.store.transaction() as tx:
                self._attended(tx).desk.assign(tx, lead, lead.created_at)
        if ordered:
            self.end_days(clock, moments.end_of_week(clock, self.zone) - 1)
        with self.store.read() as view:
            found = view.decided([lead.lead_id for lead in leads])
        return [found[lead.lead_id] for lead in leads]

    def route_csv(self, path: Path, lang: str | None = None) -> str:
        """The contract's CSV of a leads file routed; DataError lists every fault of it, and then nothing is decided."""
        state = self.state()
        frame = parse_leads_file(path, self.zone, state.board.tables)
        leads = leads_of(frame, [_row_of(frame.iloc[i], self.zone) for i in range(len(frame))])
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(ROUTE_COLUMNS)
        for stored in self.route(leads):
            words = as_lang(lang or self.session.lang)
            document = state.document(stored.record, words)
            values = {**document, "rep_id": stored.owner_rep_id or "", "reason": one_line(document, words)}
            writer.writerow(["" if values[name] is None else values[name] for name in ROUTE_COLUMNS])
        return out.getvalue()

    def decision(self, lead_id: str, *, lang: str) -> Json:
        """The decision with candidates, versions, `owner_rep_id` and `history`."""
        state = self.state()
        with self.store.read() as view:
            stored = view.decision(lead_id)
            history = view.history(lead_id)
        if stored is None:
            raise UnknownLeadError(message("unknown.lead", lead=lead_id))
        document = state.document(stored.record, as_lang(lang))
        return {
            **document,
            "candidates": _candidates(document),
            "versions": {key: document[key] for key in ("model_version", "policy_version", "data_until")},
            "status": stored.status,
            "owner_rep_id": stored.owner_rep_id,
            "owned_at": None if stored.owned_at is None else moments.iso(stored.owned_at, self.zone),
            "overridden": stored.overridden,
            "lead": stored.lead,
            "history": [
                self._entry(entry.seq, entry.kind, entry.at, entry.lead_id, entry.rep_id, entry.body)
                for entry in history
            ],
        }

    def _entry(
        self, seq: int, kind: str, at: int, lead_id: str | None, rep_id: str | None, body: Mapping[str, Any] | None
    ) -> Json:
        extra = {key: body[key] for key in _ERASED_FEED if body is not None and key in body}
        shown: Json = {"seq": seq, "kind": kind, "at": moments.iso(at, self.zone), "lead_id": lead_id, "rep_id": rep_id}
        if body is not None and kind in ("decision", "release"):
            extra = {key: body.get(key) for key in ("status", "policy", "model_version", "policy_version")}
        return {**extra, **shown}

    def decisions(self, filters: DecisionFilters, *, lang: str) -> Json:
        """`{"items": [decision], "next_cursor"}`."""
        state = self.state()
        with self.store.read() as view:
            page = view.decisions(
                status=filters.status, rep_id=filters.rep_id, rep_ids=filters.rep_ids, since=filters.since,
                cursor=filters.cursor, limit=filters.limit,
            )  # fmt: skip
        items = [
            {
                **state.document(stored.record, as_lang(lang)),
                "status": stored.status,
                "owner_rep_id": stored.owner_rep_id,
            }
            for stored in page.items
        ]
        return {"items": items, "next_cursor": page.next_cursor}

    def feed(self, after: int, limit: int, *, lang: str) -> Json:
        """Every decision, release, override and move in order."""
        del lang  # codes only: integrators read it
        with self.store.read() as view:
            entries = view.log_after(after, limit)
        items = [self._entry(e.seq, e.kind, e.at, e.lead_id, e.rep_id, e.body) for e in entries]
        return {"items": items, "next_after": entries[-1].seq if entries else after}

    def override(self, lead_id: str, *, rep_id: str, by: str, reason: str, force: bool, lang: str) -> Json:
        """The decision with its new owner; ConflictError where the rep is full (unless forced) or has left."""
        with self.store.transaction() as tx:
            state = self._attended(tx)
            stored = tx.decision(lead_id)
            if stored is None:
                raise UnknownLeadError(message("unknown.lead", lead=lead_id))
            if rep_id not in state.board.index:
                raise UnknownRepError(message("unknown.rep", rep=rep_id))
            at = max(self._decision_clock(), stored.owned_at or stored.decided_at)
            if stored.owner_rep_id != rep_id:
                week = state.desk.book.week_of(tx, at)
                _check_override(state.board, week, lead_id, rep_id, at, force=force)
                tx.override(lead_id, rep_id=rep_id, at=at, week=week.text, by=by, reason=reason, forced=force)
        return self.decision(lead_id, lang=lang)

    # -- data -------------------------------------------------------------------------------------------------

    def reload_data(self) -> Json:
        """Read the tables again and lay the received events over them."""
        tables = self.session.reload()
        with self._swap, self.store.read() as view:
            last = 0
            for event in view.events_after(0):
                tables = apply_event(tables, event.table, event.rows)
                last = event.seq
            self.session.tables = tables
            if not self.session.as_of_given:
                self.session.as_of = tables.newest()
            self._base = self._visible(tables)
            self._state = self._make_state(self._base, last, self._state)
        rows = {name: len(frame) for name, frame in tables.frames.items()}
        return {"rows": rows, "data_until": moments.iso(self._state.board.as_of, self.zone)}

    # -- releases and operation ---------------------------------------------------------------------------------

    def models(self) -> Json:
        """Versions and metrics of the releases."""
        releases = self.session.home.releases
        record = promotions(releases)
        items = [
            {
                "version": promotion.version,
                "action": promotion.action,
                "data_until": moments.iso(promotion.data_until, self.zone),
                "promoted_at": moments.iso(promotion.at, self.zone),
                "reason": promotion.reason,
                "told": [to_stored(said) for said in promotion.told],
            }
            for promotion in reversed(record)
        ]
        report = self._unit.report if self._unit is not None else {}
        return {
            "in_use": self.model_version,
            "champion": champion(releases),
            "routing_mode": self._unit.routing_mode if self._unit is not None else "fallback",
            "tree_scorer": tree_scorer(self._unit) if self._unit is not None else None,
            "findings": report.get("findings"),
            "forecast": report.get("choice"),
            "releases": items,
        }

    def reload_models(self) -> Json:
        """Take the promoted release if its hashes hold and it answers in a child process; else keep the old one."""
        releases = self.session.home.releases
        # Events that came since the start may be in the release's data already.
        wanted = release_for(releases, self.state().board.as_of, self.zone)
        if wanted.version != self.model_version:
            probe_release(releases, wanted.version)
            unit = ModelUnit.from_release(read_release(releases, wanted.version))
            tree_scorer(unit)
            self._release = wanted
            self.use(unit)
        return self.models()

    def use(self, unit: ModelUnit) -> None:
        """Decide with these models from now on; requests under way finish with the old ones."""
        with self._swap:
            self._unit, self._refused = unit, None
            self._loaded_at = self.session.now()
            self._state = self._make_state(self._state.board.tables, self._state.last_event, self._state)

    def rule_mode(self) -> Json:
        """`{"all", "teams"}`: where routing runs by rules only."""
        with self.store.read() as view:
            found = view.setting("rule_mode")
        given: Mapping[str, Any] = found if isinstance(found, dict) else {}
        return {"all": bool(given.get("all", False)), "teams": sorted(given.get("teams", []))}

    def set_rule_mode(self, *, on: bool, team_id: str | None, by: str) -> Json:
        """`rule_mode()` after switching it for a team, or for all."""
        now = self.rule_mode()
        if team_id is None:
            now["all"] = on
        else:
            now["teams"] = sorted((set(now["teams"]) | {team_id}) if on else (set(now["teams"]) - {team_id}))
        with self.store.transaction() as tx:
            tx.set_setting("rule_mode", now, by=by)
        return now

    def ready(self) -> Json:
        """`{"ok", "reasons"}`: whether decisions can be made, and what is not as it should be."""
        reasons = []
        try:
            with self.store.read() as view:
                view.last_event()
        except FairleadError as error:
            return {"ok": False, "reasons": [said(error)]}
        if self._unit is None:
            why = message("release.no_fit") if self._refused is None else said(self._refused)
            reasons.append(message("release.fallback", why=why))
        return {"ok": True, "reasons": reasons, "model_version": self.model_version}

    def metrics_snapshot(self) -> MetricsSnapshot:
        """Totals from the store, and ages."""
        with self.store.read() as view:
            counts, waiting = view.counts(), view.message_counts()
        now = self.session.now()
        until = self._unit.data_until if self._unit is not None else None
        return MetricsSnapshot(
            decisions=counts.by_policy,
            held=counts.held,
            overrides=counts.overrides,
            event_rows=counts.event_rows,
            model_age_seconds=None if until is None else (now - until) / SECOND,
            feature_age_seconds=(now - self._state.board.as_of) / SECOND,
            fallback=self._unit is None,
            shadow=self.shadow.counts(),
            uplift=uplift_metrics(self.measured()),
            drift=drift_gauges(last_report(self.session.home)),
            messages=waiting,
            prices=self.capacity_prices(),
            calibration=self.calibration(),
            deliveries=None if self.deliveries is None else dict(self.deliveries.sent),
        )

    def team(self, manager: str) -> Team:
        """Whom the manager with that subject (a manager_id or a team_id) answers for."""
        reps = self.state().board.reps
        mine = reps.loc[((reps["manager_id"] == manager) | (reps["team_id"] == manager)).to_numpy()]
        return Team(frozenset(map(str, mine["rep_id"])), frozenset(set(map(str, mine["team_id"])) - {""}))


def _candidates(document: Json) -> list[Json]:
    """Who was looked at: the chosen rep, if any, and then the others that the decision names."""
    shown = ("rep_id", "win_probability", "expected_value", "capacity_price", "propensity")
    chosen = [{**{key: document[key] for key in shown}, "why_not": None}] if document["rep_id"] is not None else []
    return [*chosen, *document["alternatives"]]


def _check_override(board: Board, week: Week, lead_id: str, rep_id: str, at: int, *, force: bool) -> None:
    """ConflictError where a person may not give the lead to the rep: he is not there, or full and not forced."""
    rep = board.index[rep_id]
    if board.gone(rep, at):
        raise ConflictError(message("override.left", rep=rep_id))
    if not board.is_at_desk(rep_id, at):
        raise ConflictError(message("override.not_sales", rep=rep_id))
    has_place = (rep_id, lead_id) in week.placed
    if not has_place and week.used[rep] >= board.capacity[rep] and not force:
        taken = {"used": int(week.used[rep]), "capacity": int(board.capacity[rep])}
        raise ConflictError(message("override.full", rep=rep_id, week=week.text, **taken))


def _row_of(row: pd.Series, zone: str) -> Json:
    """A typed lead row as JSON sends it: times as text, missing cells left out."""
    made: Json = {}
    for name, value in row.items():
        if name == "known_at" or value == "" or (isinstance(value, float) and np.isnan(value)):
            continue
        if name in ("created_at", "recorded_at"):
            if int(value) != moments.NEVER:
                made[str(name)] = moments.iso(int(value), zone)
        else:
            made[str(name)] = plain_value(value)
    return made


__all__ = ["Core", "Fault", "State", "UnknownWarningError", "dump_json"]
