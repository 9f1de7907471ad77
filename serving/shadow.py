"""Shadow mode: the release named `challenger` looks at every decision after it was committed, and decides nothing.

A thread of the service follows the store's log, so no request waits for it, decisions of other processes are looked at
too, and a fault in it is counted and nothing more. It holds back while decisions are coming in, works at most a fifth
of the time, and lets go of what is older than a quarter of an hour.

Entries are looked at in order, on a ledger of their own that is moved on entry by entry, so the challenger is asked
with the places, waiting leads and arrivals of the moment before each decision: with its own values and prices, the
same draws of leads to come as the champion, and neither exploration nor holdout. Only the tables may be some seconds
newer than those that the champion saw. What the champion planned together, the challenger plans together, when the
first lead of the batch comes up; releases of waiting leads, which compete with one another, are written down and not
compared.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from features import moments
from features.errors import FairleadError, said
from features.moments import SECOND
from models.routing.policy import decide
from models.routing.settings import VALUED, PolicySettings
from serving.board import Board
from serving.desk import RoutingDesk
from serving.leads import Lead
from serving.ledger import Ledger
from serving.release_probe import probe_release
from serving.store import AGREE, DIFFER, NOT_COMPARED, Reader, ShadowChoice, StoredDecision
from serving.store.chain import LogEntry
from serving.team import Values
from serving.week import chance
from training.release import ReleaseError, challenger, read_release
from training.unit import ModelUnit

if TYPE_CHECKING:
    from serving.core import Core
    from serving.state import State
    from serving.store import Transaction

Ints = npt.NDArray[np.int64]

_LOG = logging.getLogger("fairlead")
_AT_ONCE = 20  # decisions looked at between two writes
_BEHIND_SECONDS = 900.0
_BUSY_SECONDS = 30.0
_IDLE, _WAIT, _AFTER_FAULT = 2.0, 0.5, 10.0  # seconds
_REST = 4.0  # times the seconds worked: a fifth of the time at most
# No model chose here: an owner, chance, or a person who switched the models off.
NO_CHOICE = frozenset({"owner", "explore", "holdout", "rule"})


class _Earlier:
    """A view of the store without what entry `seq` of the log, and those after it, have done to places and arrivals."""

    def __init__(self, view: Reader, seq: int) -> None:
        self._view, self._seq = view, seq

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    def placements(self, week: str) -> set[tuple[str, str]]:
        """Places of a week taken before."""
        return self._view.placements(week) - set(self._view.places_since(week, self._seq))

    def arrivals(self, since: int, until: int) -> list[tuple[str, int]]:
        """Leads first decided before."""
        return self._view.arrivals(since, until, self._seq)


class ShadowLedger(Ledger):
    """Places and waiting leads as they were between two entries of the log."""

    def saw(self, entry: LogEntry, stored: StoredDecision, week: str) -> None:
        """Move on over an entry; `week` is that of the place it takes, "" for none."""
        self.let_go(stored.lead_id)
        if entry.rep_id is None:
            self.hold(replace(stored, status="held", decided_at=entry.at, rep_id=None))
            return
        if week in self._places:
            self._places[week].add((entry.rep_id, stored.lead_id))
        self._given(entry.rep_id, entry.at)

    def changed_hands(self, lead_id: str) -> None:
        """Forget the weeks after a person's choice: they are read again."""
        self.let_go(lead_id)
        self._places.clear()
        self.version += 1


class ShadowDesk(RoutingDesk):
    """A desk on the challenger's board that only says what it would do."""

    def __init__(self, board: Board, ledger: ShadowLedger, before: ShadowDesk | None = None) -> None:
        super().__init__(board, lambda _record, _lang: b"", ledger)
        self._seen = ledger
        self.plans: dict[int, int] = {}  # rep of the challenger's plan (-1: hold) by entry of the batch in work
        if before is not None:
            self.book.carry(before.book)
            self.plans = before.plans

    def settings(self) -> PolicySettings:
        """The policy without chance: a draw of its own would say nothing about the models."""
        return replace(super().settings(), exploration=0.0, holdout=0.0)

    def would_choose(self, view: Reader, lead: Lead, entry: LogEntry) -> tuple[Values, int | None]:
        """The challenger's values, and the rep that it would have chosen (None: hold) at an entry of the log."""
        tx = cast("Transaction", _Earlier(view, entry.seq))  # what is asked of it here only reads
        at, values, week = entry.at, self.values_of(lead, entry.at), self.book.week_of(tx, entry.at)
        exclusion, unlisted = self.board.exclusions(at, lead.text("territory"), week.used)
        settings = self.settings()
        choice = decide(
            self._candidates(tx, values, exclusion, week, at),
            self.book.prices(tx, at, self._scenario_at(at)) if settings.mode in VALUED else None,
            settings,
            chance(self.board, lead.lead_id),
            high_value=self._is_high(values),
            territory_unlisted=unlisted,
            planned=self._planned(view, tx, entry),
        )
        return values, choice.rep

    def _planned(self, view: Reader, tx: Transaction, entry: LogEntry) -> int | None:
        """Rep of the lead in the challenger's plan of its batch, -1 where it waits; None outside of a batch."""
        joint = (entry.body or {}).get("joint")
        if not isinstance(joint, dict):
            return None
        if joint["place"] == 0:  # a batch is one transaction: its entries follow one another
            batch = [one for one in view.log_after(entry.seq - 1, int(joint["of"])) if one.lead_id is not None]
            held = [(one.seq, view.decision(str(one.lead_id))) for one in batch]
            known = [(seq, self.lead_of(stored)) for seq, stored in held if stored is not None]
            plan = self._plan(tx, [lead for _, lead in known], entry.at)
            self.plans = {seq: int(rep) for (seq, _), rep in zip(known, plan, strict=True)}
        return self.plans.get(entry.seq)

    def saw(self, view: Reader, entry: LogEntry, stored: StoredDecision) -> None:
        """Move on over an entry."""
        waited = bool(self.ledger.waiting(entry.at))
        if entry.kind == "override":
            self._seen.changed_hands(stored.lead_id)
        elif entry.kind in ("decision", "release"):
            # A hand-over that stands in the tables takes no place here; a release's week is its own.
            week = "" if stored.week == "" else moments.week_text(entry.at, self.board.known.zone)
            self._seen.saw(entry, stored, week)
            if entry.rep_id is not None and week:
                high = bool((entry.body or {}).get("high_value"))
                self.book.took(entry.at, entry.rep_id, stored.lead_id, high=high)
        if entry.kind == "decision" and waited and self.settings().mode in VALUED:
            # Waiting leads were looked at again right after it: where a new price was due, it was solved then.
            tx = cast("Transaction", _Earlier(view, entry.seq + 1))
            self.book.prices(tx, entry.at, self._scenario_at(entry.at))


@dataclass
class Shadow:
    """Follows the log for the challenger. `failed` and `skipped` count decisions of this process; `refused` says why
    the challenger cannot be used."""

    core: Core
    failed: int = 0
    skipped: int = 0
    refused: str = ""
    unit: ModelUnit | None = None
    _named: str = ""
    _seq: int = -1
    _head: int = -1
    _busy_since: float | None = None
    _desk: ShadowDesk | None = None
    _ledger: ShadowLedger = field(default_factory=ShadowLedger, repr=False)
    _own: Board | None = None  # the champion's board once more: the live one's caches belong to live decisions
    _alike: ModelUnit | None = field(default=None, repr=False)
    _of: State | None = field(default=None, repr=False)

    def start(self, stop: threading.Event) -> None:
        """Follow in the background until `stop`."""
        threading.Thread(target=self._run, args=(stop,), name="fairlead-shadow", daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        pause = _IDLE
        while not stop.wait(pause):
            pause = self._attempt(self.step)

    def _attempt(self, step: Callable[[], float]) -> float:
        try:
            return step()
        except Exception:  # noqa: BLE001  # whatever is wrong with a challenger must end here
            self.failed += 1
            _LOG.exception("the challenger could not be asked; decisions go on without it")
            return _AFTER_FAULT

    def version(self) -> str | None:
        """Version that runs in shadow now; None where none does."""
        return self.unit.version if self.unit is not None else None

    def counts(self) -> dict[str, int] | None:
        """Decisions looked at, by result, with those of this process that failed or were let go; None without any."""
        if not self._named:
            return None
        with self.core.store.read() as view:
            return {**view.shadow_counts(self._named), "failed": self.failed, "skipped": self.skipped}

    def step(self, *, patient: bool = True) -> float:
        """Look at some of the decisions that came since the last time; seconds to wait before the next step.

        `patient`: leave it for now where decisions are coming in.
        """
        self._follow()
        if self.unit is None:
            return _IDLE
        begun = time.monotonic()
        with self.core.store.read() as view:
            pulse = view.pulse()
            if self._seq < 0:  # from here on: what was decided while nobody looked cannot be looked at as it was
                self._seq, self._ledger = pulse.seq, ShadowLedger()
                self._ledger.sync(view, pulse)
            quiet, self._head = pulse.seq == self._head, pulse.seq
            if pulse.seq == self._seq:
                return _WAIT
            if patient and not quiet and not self._waited(begun):
                return _WAIT
            self._busy_since = None
            state = self._on_newest_state()
            if state is None:
                self._seq = -1
                return _IDLE
            entries = view.log_after(self._seq, _AT_ONCE)
            found = [choice for one in entries if (choice := self._look(view, one, state)) is not None]
        if found:
            with self.core.store.transaction() as tx:
                tx.put_shadow_choices(found)
        self._seq = entries[-1].seq if len(entries) == _AT_ONCE else pulse.seq
        return max(_WAIT, _REST * (time.monotonic() - begun))

    def _waited(self, now: float) -> bool:
        """Whether decisions have kept coming for so long that it is time to look all the same."""
        self._busy_since = now if self._busy_since is None else self._busy_since
        return now - self._busy_since >= _BUSY_SECONDS

    def _follow(self) -> None:
        """Take up the challenger that is named now, tried in a child process first; refused once where it is broken."""
        releases = self.core.session.home.releases
        named = challenger(releases) or ""
        if named == self._named:
            return
        self._named, self.unit, self.refused = named, None, ""
        self._seq, self._head, self._desk, self._of, self._alike = -1, -1, None, None, None
        if not named:
            return
        try:
            probe_release(releases, named)
            self.unit = ModelUnit.from_release(read_release(releases, named))
        except (ReleaseError, FairleadError) as error:
            self.refused = said(error)
            self.failed += 1
            _LOG.warning("challenger %s cannot be used: %s", named, error)

    def _on_newest_state(self) -> State | None:
        """The state that decides now, the challenger's desk being on its tables; None where it may not be used."""
        state, unit = self.core.deciding(), self.unit
        assert unit is not None
        board = state.board
        if board.unit is None or unit.data_until > board.as_of:
            return None
        if state is not self._of:
            if self._alike is None or self._alike.version != board.unit.version:
                # Chance is fixed by the version: under the champion's both see the same leads to come.
                self._alike = replace(unit, version=board.unit.version)
            self._own = _beside(board, board.unit)
            self._desk = ShadowDesk(_beside(board, self._alike), self._ledger, self._desk)
            self._of = state
        return state

    def _look(self, view: Reader, entry: LogEntry, state: State) -> ShadowChoice | None:
        """What the challenger would have done; None for a person's doing, and where it cannot be told (counted)."""
        assert self._desk is not None
        stored = None if entry.lead_id is None else view.decision(entry.lead_id)
        if stored is None:  # erased since
            return None
        try:
            return self._asked(view, entry, stored, state) if entry.kind in ("decision", "release") else None
        except Exception:  # noqa: BLE001  # as above: the other decisions are still looked at
            self.failed += 1
            _LOG.exception("the challenger could not be asked about one decision")
            return None
        finally:
            self._desk.saw(view, entry, stored)

    def _asked(self, view: Reader, entry: LogEntry, stored: StoredDecision, state: State) -> ShadowChoice | None:
        age = (self.core.session.now() - entry.logged_at) / SECOND
        version = None if state.board.unit is None else state.board.unit.version
        if entry.body is None or entry.body.get("model_version") != version or age > _BEHIND_SECONDS:
            self.skipped += 1
            return None
        return self._compared(view, entry, entry.body, stored)

    def _compared(self, view: Reader, entry: LogEntry, body: Mapping[str, Any], stored: StoredDecision) -> ShadowChoice:
        assert self._desk is not None
        assert self._own is not None
        assert self.unit is not None
        desk, policy, rep_id = self._desk, str(body["policy"]), entry.rep_id
        lead = desk.lead_of(stored)
        values, would = desk.would_choose(view, lead, entry)
        would_id = rep_id if policy == "owner" else None if would is None else desk.board.rep_ids[would]
        own = self._own.values([lead], entry.at)[0]
        is_choice = policy not in NO_CHOICE and entry.kind == "decision"
        result = NOT_COMPARED if not is_choice else AGREE if would_id == rep_id else DIFFER
        numbers: dict[str, object] = {
            "policy": policy,
            "kind": entry.kind,
            "source": str(stored.lead.get("source") or ""),
            "rep": _numbers(desk.board, rep_id, own, values),
            "would": _numbers(desk.board, would_id, own, values),
        }
        return ShadowChoice(
            entry.seq, self.unit.version, str(body["model_version"]), stored.lead_id, entry.at, result, rep_id,
            would_id, numbers,
        )  # fmt: skip


def _beside(board: Board, unit: ModelUnit) -> Board:
    """The board with other models, or with caches of its own; rules and features are shared where they are the same."""
    made = Board(board.tables, board.config, board.as_of, unit, unit.workdays, board.with_later_hires)
    made.carry(board)
    if board.unit is not None and unit.spec == board.unit.spec:
        made.__dict__["world"] = board.world
    return made


def _numbers(board: Board, rep_id: str | None, own: Values, other: Values) -> dict[str, float] | None:
    """Win probability and expected value of a rep by champion and by challenger; None where nobody has the lead."""
    if rep_id is None or rep_id not in board.index:
        return None
    rep = board.index[rep_id]
    return {
        "p_champion": float(own.win_probability[rep]),
        "p_challenger": float(other.win_probability[rep]),
        "value_champion": float(own.expected[rep]),
        "value_challenger": float(other.expected[rep]),
    }
