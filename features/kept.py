"""What a world takes over from the one before it: parts made from rows that are the same.

A part is a function of what it is made from. Where all of that is the very same object as before, so is the part;
else it is made anew, by the same code, so that a world that follows another equals one built at once, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import ownership
from features.codes import codes_of
from features.event_log import EventLog, fixed_point
from features.ownership import Contacts, HandOvers, LeadSpans, SpanEvents
from features.tables import Tables

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
T = TypeVar("T")

_CELLS: Final = ("activity_id", "lead_id", "rep_id", "occurred_at", "known_at", "minutes")
_MASKED: Final = ("reps", "trainings")  # tables of which a moment knows less than they hold, so made anew for each
_MOST_NEW: Final = 0.2  # share of new rows beyond which everything is made anew


class Kept:
    """Parts by name, with what they were made from; `before` is asked first and then let go."""

    def __init__(self, before: Kept | None = None) -> None:
        self._before = {} if before is None else before.parts
        self.parts: dict[str, tuple[tuple[object, ...], object]] = {}

    def part(self, name: str, made_from: tuple[object, ...], make: Callable[[], T]) -> T:
        """The part of before where it was made from the same objects, else a new one."""
        known = self._before.get(name)
        if known is not None and _alike(known[0], made_from):
            value: T = known[1]  # type: ignore[assignment]  # made under this name by the same caller
        else:
            value = make()
        self.parts[name] = (made_from, value)
        return value

    def before(self, name: str) -> object:
        """The part of before, whatever it was made from; None where there is none."""
        known = self._before.get(name)
        return None if known is None else known[1]

    def same(self, name: str, value: T, equal: Callable[[T, T], bool]) -> T:
        """The value of before where the new one equals it, so that what is made from it stays too."""
        known = self._before.get(name)
        if known is not None and equal(known[1], value):  # type: ignore[arg-type]  # as above
            value = known[1]  # type: ignore[assignment]
        self.parts[name] = ((), value)
        return value

    def done(self) -> None:
        """Let go of what was before: a chain of worlds must not keep them all."""
        self._before = {}


def _alike(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return len(one) == len(other) and all(
        a is b or (isinstance(a, int) and isinstance(b, int) and a == b) for a, b in zip(one, other, strict=True)
    )


@dataclass(frozen=True)
class Knowledge:
    """What a moment knows of tables."""

    source: Tables
    as_of: int
    known: Tables


def known_after(tables: Tables, as_of: int, before: Knowledge | None) -> Knowledge:
    """What `as_of` knows of the tables, in the very frames of before where it knows the same rows of them."""
    known = tables.known(as_of)
    if before is None:
        return Knowledge(tables, as_of, known)
    low, high = min(as_of, before.as_of), max(as_of, before.as_of)
    same = {}
    for name, frame in tables.frames.items():
        at = frame["known_at"].to_numpy()
        unmoved = frame is before.source.frames.get(name) and not ((at >= low) & (at < high)).any()
        if known[name].equals(before.known[name]) if name in _MASKED else unmoved:
            same[name] = before.known[name]
    return Knowledge(tables, as_of, known.with_frames(**same))


@dataclass(frozen=True)
class Activities:
    """The activities table in codes, a row each (-1: not among the leads or reps), and its log by rep.

    `n_before`: rows that stand as in the world before; the rest is new. 0: all are new.
    """

    frame: pd.DataFrame
    lead: Ints
    rep: Ints
    occurred: Ints
    known: Ints
    log: EventLog
    n_before: int = 0


def activities_of(frame: pd.DataFrame, leads: pd.Index, reps: pd.Index, before: Activities | None) -> Activities:
    """The activities; with `before`, of the same leads and reps, only rows that came since are looked up."""
    n = 0 if before is None else _common_rows(before.frame, frame)
    new = frame.iloc[n:] if n else frame
    lead, rep = codes_of(leads, new["lead_id"]), codes_of(reps, new["rep_id"])
    occurred, known = new["occurred_at"].to_numpy(dtype=np.int64), new["known_at"].to_numpy(dtype=np.int64)
    minutes = new["minutes"].to_numpy(dtype=np.float64)
    values = {"minutes": fixed_point(minutes), "timed": np.isfinite(minutes).astype(np.int64)}
    if not n or before is None:
        return Activities(frame, lead, rep, occurred, known, EventLog.build(rep, known, values))
    log = before.log.append(rep, known, values)
    pairs = ((before.lead, lead), (before.rep, rep), (before.occurred, occurred), (before.known, known))
    lead, rep, occurred, known = (np.concatenate(pair) for pair in pairs)
    return Activities(frame, lead, rep, occurred, known, log, n)


def _common_rows(old: pd.DataFrame, new: pd.DataFrame) -> int:
    """Number of the old rows, where the new frame begins with all of them and little has come; else 0."""
    n = len(old)
    if not n or len(new) < n or len(new) - n > _MOST_NEW * n:
        return 0
    same = all(old[name].equals(new[name].iloc[:n]) for name in reversed(_CELLS))
    return n if same else 0


def spans_of(overs: HandOvers, done: Activities, deals: SpanEvents, dead_after_days: int,
             before: LeadSpans | None) -> LeadSpans:  # fmt: skip
    """All spans. `before`: those of the same hand-overs and deals, of which only leads with new activities change."""
    events = (overs.events(), ownership.activity_events(done.lead, done.known, done.occurred), deals)
    if before is None or not done.n_before:
        return ownership.spans_of_events(events, dead_after_days)
    touched = _touched(done, overs.n_leads)
    fresh = ownership.spans_of_events([_of_leads(part, touched) for part in events], dead_after_days)
    return before.where(~touched[before.lead]).joined(fresh)


def contacts_of(overs: HandOvers, done: Activities, n_reps: int, before: Contacts | None) -> Contacts:
    """All first contacts. `before`: those of the same hand-overs, of which only leads with new activities change."""
    if before is None or not done.n_before:
        every = np.ones(overs.n_leads + 1, dtype=bool)
        return ownership.contacts_of_leads(overs, every, done.lead, done.rep, done.known, done.occurred, n_reps)
    touched = _touched(done, overs.n_leads)
    mine = touched[done.lead]
    fresh = ownership.contacts_of_leads(
        overs, touched, done.lead[mine], done.rep[mine], done.known[mine], done.occurred[mine], n_reps
    )
    return before.where(~touched[overs.lead[before.over]]).joined(fresh)


def _touched(done: Activities, n_leads: int) -> Flags:
    """Leads by code, bool (n + 1,), that new activities name; the last, no lead, is not."""
    found = np.zeros(n_leads + 1, dtype=bool)
    found[done.lead[done.n_before :]] = True
    found[-1] = False
    return found


def _of_leads(events: SpanEvents, wanted: Flags) -> SpanEvents:
    mine = wanted[events[0]]
    lead, known, kind, when, rank, payload = (column[mine] for column in events)
    return lead, known, kind, when, rank, payload
