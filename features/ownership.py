"""Who had which lead in his hands, in which state, from when to when, as each moment knew it.

A lead's state at a moment follows from the rows that the moment knows: its owner is the last hand-over (of a closed
lead the last before the close), a deal makes it won or lost, and silence makes it dead. Rows that are recorded late
change the past only from the moment they are known. So a lead's life is a sequence of spans (since, until] in which
owner and state stay the same, and every count of leads at a moment is a count of spans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.codes import codes_of
from features.compiled import compiled
from features.event_log import FIXED_POINT
from features.moments import ALWAYS, DAY, HOUR, NEVER
from features.outcomes import hand_overs
from features.tables import Tables

Ints = npt.NDArray[np.int64]

OPEN: Final = 0
DEAD: Final = 1
LOST: Final = 2
WON: Final = 3

_HAND_OVER: Final = 0
_ACTIVITY: Final = 1
_DEAL: Final = 2
_ALWAYS: Final = ALWAYS
_NEVER: Final = NEVER


@dataclass(frozen=True)
class LeadSpans:
    """Spans of leads in a rep's hands, int64 (n,) each: codes of lead and rep, state, (since, until].

    `assigned_at` is the hand-over's moment; `new_owner` is 1 where the span begins another rep's ownership.
    """

    lead: Ints
    rep: Ints
    state: Ints
    since: Ints
    until: Ints
    assigned_at: Ints
    new_owner: Ints

    def where(self, mask: npt.NDArray[np.bool_]) -> LeadSpans:
        """The spans where `mask` holds."""
        return LeadSpans(
            self.lead[mask],
            self.rep[mask],
            self.state[mask],
            self.since[mask],
            self.until[mask],
            self.assigned_at[mask],
            self.new_owner[mask],
        )

    def joined(self, other: LeadSpans) -> LeadSpans:
        """The spans of both, which share no lead, ordered by lead and time."""
        mine = (self.lead, self.rep, self.state, self.since, self.until, self.assigned_at, self.new_owner)
        theirs = (other.lead, other.rep, other.state, other.since, other.until, other.assigned_at, other.new_owner)
        both = [np.concatenate(pair) for pair in zip(mine, theirs, strict=True)]
        order = np.argsort(both[0], kind="stable")
        return LeadSpans(*(column[order] for column in both))

    def until_moment(self, as_of: int) -> LeadSpans:
        """The spans as moments up to `as_of` can tell them: none that begins later, and later ends are open.

        An open lead's death lies ahead, and moves with every call; no moment before it knows.
        """
        begun = self.where(self.since < as_of)
        return replace(begun, until=np.where(begun.until < as_of, begun.until, NEVER))

    def equals(self, other: LeadSpans) -> bool:
        """Whether both hold the same spans."""
        return all(np.array_equal(column, theirs) for column, theirs in zip(
            vars(self).values(), vars(other).values(), strict=True))  # fmt: skip


@compiled
def _owner(events: Ints, start: int, stop: int, kind: Ints, when: Ints, rank: Ints, closed_at: int) -> int:
    """Index of the hand-over that decides among events[start:stop]: the last not after the close, else the first."""
    last, first = -1, -1
    for at in range(start, stop):
        j = events[at]
        if kind[j] != _HAND_OVER:
            continue
        if first == -1 or rank[j] < rank[first]:
            first = j
        if when[j] <= closed_at and (last == -1 or rank[j] > rank[last]):
            last = j
    return last if last != -1 else first


@compiled
def _lives(
    lead: Ints,
    known: Ints,
    kind: Ints,
    when: Ints,
    rank: Ints,
    payload: Ints,
    few: Ints,
    dead_after: int,
    out: Ints,
) -> int:
    """Write the spans of events sorted by (lead, known) into `out` (m, 7) and return how many there are.

    With an `out` of no rows it only counts. `payload`: rep code of a hand-over, WON or LOST of a deal; `rank`: order
    of hand-overs; `few`: indices of all events but activities, so that a lead of many calls costs no more.
    """
    written, i, few_start = 0, 0, 0
    while i < len(lead):
        stop = i
        while stop < len(lead) and lead[stop] == lead[i]:
            stop += 1
        closed_at, closed_state, touched = _NEVER, OPEN, _ALWAYS
        current_rep, current_state, current_assigned = -1, -1, _ALWAYS
        owner, few_stop, at = -1, few_start, i
        while at < stop:
            now = known[at]
            while at < stop and known[at] == now:
                if kind[at] == _ACTIVITY:
                    touched = max(touched, when[at])
                else:
                    few_stop += 1
                    if kind[at] == _DEAL and (
                        when[at] < closed_at or (when[at] == closed_at and payload[at] > closed_state)
                    ):
                        closed_at, closed_state = when[at], payload[at]
                    owner = -2
                at += 1
            if owner == -2:
                owner = _owner(few, few_start, few_stop, kind, when, rank, closed_at)
            if owner == -1:
                continue
            next_known = known[at] if at < stop else _NEVER
            rep, assigned = payload[owner], when[owner]
            dies = max(assigned, touched) + dead_after
            for part in range(2):
                if closed_state != OPEN:
                    state, begin, real = closed_state, now, part == 0
                elif part == 0:
                    state, begin, real = OPEN, now, dies > now
                else:
                    state, begin, real = DEAD, max(now, dies), max(now, dies) < next_known
                same = rep == current_rep and state == current_state and assigned == current_assigned
                if not real or same:
                    continue
                if len(out) > 0:
                    if current_rep != -1:
                        out[written - 1, 4] = begin
                    out[written, 0], out[written, 1], out[written, 2] = lead[i], rep, state
                    out[written, 3], out[written, 4], out[written, 5] = begin, _NEVER, assigned
                    out[written, 6] = 1 if rep != current_rep else 0
                written += 1
                current_rep, current_state, current_assigned = rep, state, assigned
        i, few_start = stop, few_stop
    return written


def lead_spans(tables: Tables, leads: pd.Index, reps: pd.Index, dead_after_days: int) -> LeadSpans:
    """All spans of the tables' leads, ordered by lead and time. `leads` and `reps` give the codes (positions).

    Grows with the rows of assignments, activities and deals, times the logarithm of sorting them.
    """
    done = tables.activities
    known, occurred = done["known_at"].to_numpy(dtype=np.int64), done["occurred_at"].to_numpy(dtype=np.int64)
    activities = activity_events(codes_of(leads, done["lead_id"]), known, occurred)
    overs = known_hand_overs(tables, leads, reps).events()
    return spans_of_events((overs, activities, deal_events(tables, leads)), dead_after_days)


def spans_of_events(parts: Sequence[SpanEvents], dead_after_days: int) -> LeadSpans:
    """The spans of all leads that the events are about; those of one lead depend on no other's."""
    lead, known, kind, when, rank, payload = (np.concatenate(column) for column in zip(*parts, strict=True))
    kept = np.flatnonzero((lead >= 0) & (known != NEVER))
    order = kept[np.lexsort((known[kept], lead[kept]))]
    columns = [column[order] for column in (lead, known, kind, when, rank, payload)]
    few = np.flatnonzero(columns[2] != _ACTIVITY)
    dead_after = dead_after_days * DAY
    nothing = np.empty((0, 7), dtype=np.int64)
    n = int(_lives(*columns, few, dead_after, nothing))
    out = np.empty((n, 7), dtype=np.int64)
    if n:
        _lives(*columns, few, dead_after, out)
    return LeadSpans(*(np.ascontiguousarray(column) for column in out.T))


# Codes of lead, moment from which known, kind, moment, order of hand-overs, payload (see `_lives`); int64 (n,) each.
SpanEvents = tuple[Ints, Ints, Ints, Ints, Ints, Ints]


@dataclass(frozen=True)
class HandOvers:
    """Hand-overs in their order: codes of lead (of `n_leads`) and rep, assigned_at, and from when they are known."""

    lead: Ints
    rep: Ints
    assigned: Ints
    known: Ints
    n_leads: int

    def events(self) -> SpanEvents:
        """As events in leads' lives."""
        n = len(self.lead)
        return self.lead, self.known, np.full(n, _HAND_OVER), self.assigned, np.arange(n), self.rep


def known_hand_overs(tables: Tables, leads: pd.Index, reps: pd.Index) -> HandOvers:
    """Hand-overs, each known from when *it and its lead* are known."""
    overs = hand_overs(tables)
    lead = codes_of(leads, overs["lead_id"])
    lead_known = np.full(len(leads) + 1, NEVER, dtype=np.int64)
    lead_known[codes_of(leads, tables.leads["lead_id"])] = tables.leads["known_at"].to_numpy(dtype=np.int64)
    known = np.maximum(overs["known_at"].to_numpy(dtype=np.int64), lead_known[lead])
    assigned = overs["assigned_at"].to_numpy(dtype=np.int64)
    return HandOvers(lead, codes_of(reps, overs["rep_id"]), assigned, known, len(leads))


def activity_events(lead: Ints, known: Ints, occurred: Ints) -> SpanEvents:
    """Activities as events in leads' lives."""
    nothing = np.zeros(len(lead), dtype=np.int64)
    return lead, known, np.full(len(lead), _ACTIVITY), occurred, nothing, nothing


def deal_events(tables: Tables, leads: pd.Index) -> SpanEvents:
    """Deals as events in leads' lives."""
    deals = tables.deals
    lead = codes_of(leads, deals["lead_id"])
    known, when = deals["known_at"].to_numpy(dtype=np.int64), deals["closed_at"].to_numpy(dtype=np.int64)
    state = np.where((deals["status"] == "won").to_numpy(), WON, LOST).astype(np.int64)
    return lead, known, np.full(len(lead), _DEAL), when, np.zeros(len(lead), dtype=np.int64), state


@dataclass(frozen=True)
class Contacts:
    """First contacts as each moment knew them, int64 (n,) each: rep code, hours in thousandths, (since, until].

    `due`: the moment from which the hand-over counts as one whose first 24 hours are over. `over`: its place among
    the hand-overs, by which they are ordered.
    """

    rep: Ints
    hours: Ints
    since: Ints
    until: Ints
    due: Ints
    over: Ints

    def where(self, mask: npt.NDArray[np.bool_]) -> Contacts:
        """The contacts where `mask` holds."""
        return Contacts(*(column[mask] for column in vars(self).values()))

    def joined(self, other: Contacts) -> Contacts:
        """The contacts of both, which share no hand-over, in their order."""
        both = [np.concatenate(pair) for pair in zip(vars(self).values(), vars(other).values(), strict=True)]
        order = np.argsort(both[-1], kind="stable")
        return Contacts(*(column[order] for column in both))

    def equals(self, other: Contacts) -> bool:
        """Whether both hold the same contacts."""
        return all(np.array_equal(column, theirs) for column, theirs in zip(
            vars(self).values(), vars(other).values(), strict=True))  # fmt: skip


@compiled
def _contacts(low: Ints, high: Ints, assigned: Ints, over_known: Ints, occurred: Ints, known: Ints, out: Ints) -> int:
    """Write (hand-over, first contact, since, until) of each hand-over's activities low:high; how many there are."""
    written = 0
    for i in range(len(low)):
        first = _NEVER
        for j in range(low[i], high[i]):
            if assigned[i] <= occurred[j] < first:
                since = max(known[j], over_known[i])
                if len(out) > 0:
                    if first != _NEVER:
                        out[written - 1, 3] = since
                    out[written, 0], out[written, 1] = i, occurred[j]
                    out[written, 2], out[written, 3] = since, _NEVER
                written += 1
                first = occurred[j]
    return written


def contacts_of_leads(
    overs: HandOvers, wanted: npt.NDArray[np.bool_], of_lead: Ints, by: Ints, known: Ints, occurred: Ints, n_reps: int
) -> Contacts:
    """First activity by the rep who got the lead, at or after the hand-over, of each of leads `wanted` (n + 1,).

    Activities: codes of lead and rep, from when known, when done. An earlier contact that is recorded later replaces
    the one known so far from then on.
    """
    place = np.flatnonzero((overs.lead >= 0) & (overs.rep >= 0) & (overs.known != NEVER) & wanted[overs.lead])
    assigned, over_known = overs.assigned[place], overs.known[place]
    pair = np.where((of_lead >= 0) & (by >= 0), of_lead * n_reps + by, -1)
    order = np.lexsort((occurred, known, pair))
    pair, occurred, known = pair[order], occurred[order], known[order]
    sought = overs.lead[place] * n_reps + overs.rep[place]
    low, high = np.searchsorted(pair, sought, "left"), np.searchsorted(pair, sought, "right")
    given = (low, high, assigned, over_known, occurred, known)
    n = int(_contacts(*given, np.empty((0, 4), dtype=np.int64)))
    out = np.empty((n, 4), dtype=np.int64)
    if n:
        _contacts(*given, out)
    which = out[:, 0]
    hours = (out[:, 1] - assigned[which]) * FIXED_POINT // HOUR
    due = np.maximum(over_known, assigned + DAY)[which]
    over = place[which]
    return Contacts(overs.rep[over], hours, out[:, 2].copy(), out[:, 3].copy(), due, over)
