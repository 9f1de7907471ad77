"""Who had which lead in his hands, in which state, from when to when, as each moment knew it.

A lead's state at a moment follows from the rows that the moment knows: its owner is the last hand-over (of a closed
lead the last before the close), a deal makes it won or lost, and silence makes it dead. Rows that are recorded late
change the past only from the moment they are known. So a lead's life is a sequence of spans (since, until] in which
owner and state stay the same, and every count of leads at a moment is a count of spans.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    parts = [_hand_over_events(tables, leads, reps), _activity_events(tables, leads), _deal_events(tables, leads)]
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


def known_hand_overs(tables: Tables, leads: pd.Index, reps: pd.Index) -> tuple[Ints, Ints, Ints, Ints]:
    """Codes of lead and rep, assigned_at and the moment from which each hand-over *and its lead* are known."""
    overs = hand_overs(tables)
    lead = codes_of(leads, overs["lead_id"])
    lead_known = np.full(len(leads) + 1, NEVER, dtype=np.int64)
    lead_known[codes_of(leads, tables.leads["lead_id"])] = tables.leads["known_at"].to_numpy(dtype=np.int64)
    known = np.maximum(overs["known_at"].to_numpy(dtype=np.int64), lead_known[lead])
    return lead, codes_of(reps, overs["rep_id"]), overs["assigned_at"].to_numpy(dtype=np.int64), known


_Events = tuple[Ints, Ints, Ints, Ints, Ints, Ints]


def _hand_over_events(tables: Tables, leads: pd.Index, reps: pd.Index) -> _Events:
    lead, rep, assigned, known = known_hand_overs(tables, leads, reps)
    return lead, known, np.full(len(lead), _HAND_OVER), assigned, np.arange(len(lead)), rep


def _activity_events(tables: Tables, leads: pd.Index) -> _Events:
    done = tables.activities
    lead = codes_of(leads, done["lead_id"])
    known, when = done["known_at"].to_numpy(dtype=np.int64), done["occurred_at"].to_numpy(dtype=np.int64)
    nothing = np.zeros(len(lead), dtype=np.int64)
    return lead, known, np.full(len(lead), _ACTIVITY), when, nothing, nothing


def _deal_events(tables: Tables, leads: pd.Index) -> _Events:
    deals = tables.deals
    lead = codes_of(leads, deals["lead_id"])
    known, when = deals["known_at"].to_numpy(dtype=np.int64), deals["closed_at"].to_numpy(dtype=np.int64)
    state = np.where((deals["status"] == "won").to_numpy(), WON, LOST).astype(np.int64)
    return lead, known, np.full(len(lead), _DEAL), when, np.zeros(len(lead), dtype=np.int64), state


@dataclass(frozen=True)
class Contacts:
    """First contacts as each moment knew them, int64 (n,) each: rep code, hours in thousandths, (since, until].

    `due`: the moment from which the hand-over counts as one whose first 24 hours are over.
    """

    rep: Ints
    hours: Ints
    since: Ints
    until: Ints
    due: Ints


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


def first_contacts(tables: Tables, leads: pd.Index, reps: pd.Index) -> Contacts:
    """Each hand-over's first activity by the rep who got the lead, at or after the hand-over.

    An earlier contact that is recorded later replaces the one known so far from then on.
    """
    lead, rep, assigned, over_known = known_hand_overs(tables, leads, reps)
    kept = (lead >= 0) & (rep >= 0) & (over_known != NEVER)
    lead, rep, assigned, over_known = lead[kept], rep[kept], assigned[kept], over_known[kept]
    done = tables.activities
    of_lead, by = codes_of(leads, done["lead_id"]), codes_of(reps, done["rep_id"])
    known = done["known_at"].to_numpy(dtype=np.int64)
    pair = np.where((of_lead >= 0) & (by >= 0), of_lead * len(reps) + by, -1)
    occurred = done["occurred_at"].to_numpy(dtype=np.int64)
    order = np.lexsort((occurred, known, pair))
    pair, occurred, known = pair[order], occurred[order], known[order]
    wanted = lead * len(reps) + rep
    low, high = np.searchsorted(pair, wanted, "left"), np.searchsorted(pair, wanted, "right")
    given = (low, high, assigned, over_known, occurred, known)
    n = int(_contacts(*given, np.empty((0, 4), dtype=np.int64)))
    out = np.empty((n, 4), dtype=np.int64)
    if n:
        _contacts(*given, out)
    over = out[:, 0]
    hours = (out[:, 1] - assigned[over]) * FIXED_POINT // HOUR
    due = np.maximum(over_known, assigned + DAY)[over]
    return Contacts(rep[over], hours, out[:, 2].copy(), out[:, 3].copy(), due)
