"""What the store says about places, waiting leads and owners, remembered between decisions.

Nothing here is believed before `sync` has compared it with the head of the log inside the writer's own transaction:
where the hash is the one remembered, nobody has written since; else the leads that were written about are read again.
So capacity is decided by what the transaction sees, without reading a whole week for every lead.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field

from serving.store import Pulse, Reader, StoredDecision, Transaction

Place = tuple[str, str]  # rep_id, lead_id

_MOST_CHANGES = 500


@dataclass
class Ledger:
    """Places by week, waiting leads, moments of last leads; `version` changes with anything that others wrote,
    `n_given` with every lead given."""

    version: int = 0
    n_given: int = 0
    held: dict[str, StoredDecision] = field(default_factory=dict)
    _queue: list[tuple[int, int, str]] = field(default_factory=list)  # (decided_at, seq, lead_id) of those held
    _asked: tuple[int, tuple[StoredDecision, ...]] | None = None  # number known, and who: the last answer of `waiting`
    last_given: dict[str, int] = field(default_factory=dict)
    _head: str = ""
    _seq: int = -1
    _places: dict[str, set[Place]] = field(default_factory=dict)

    def sync(self, tx: Reader, pulse: Pulse) -> None:
        """Make the ledger what the transaction sees."""
        if pulse.head == self._head:
            return
        self.version += 1
        changed = tx.leads_after(self._seq) if 0 <= self._seq <= pulse.seq else [None]
        # A remembered number whose hash has changed was rolled back: what it said never happened.
        if None in changed or len(changed) > _MOST_CHANGES or not self._is_continued(tx):
            self._read_all(tx)
        else:
            for lead_id in changed:
                assert lead_id is not None
                self._read_lead(tx, lead_id)
        self._head, self._seq = pulse.head, pulse.seq

    def _is_continued(self, tx: Reader) -> bool:
        return tx.hash_at(self._seq) == self._head

    def _read_all(self, tx: Reader) -> None:
        self._places.clear()
        self.held.clear()
        self._queue.clear()
        self._asked = None
        for stored in tx.held():
            self.hold(stored)
        self.last_given = tx.last_given()
        self.n_given += 1

    def _read_lead(self, tx: Reader, lead_id: str) -> None:
        places = tx.placements_of(lead_id)
        for week, taken in self._places.items():
            for place in [place for place in taken if place[1] == lead_id]:
                taken.discard(place)
            taken.update((rep_id, lead_id) for of, rep_id in places if of == week)
        stored = tx.decision(lead_id)
        self.let_go(lead_id)
        if stored is not None and stored.status == "held":
            self.hold(stored)
        elif stored is not None and stored.owner_rep_id is not None:
            self._given(stored.owner_rep_id, stored.owned_at or stored.decided_at)

    def places(self, tx: Reader, week: str) -> set[Place]:
        """Places that decisions and overrides take in an ISO week."""
        if week not in self._places:
            if len(self._places) > 60:  # a replay of years must not keep them all
                self._places.clear()
            self._places[week] = tx.placements(week)
        return self._places[week]

    def waiting(self, moment: int) -> tuple[StoredDecision, ...]:
        """Leads that wait and waited already at the moment, the longest waiting first; the same object while nothing
        has changed."""
        known = bisect_right(self._queue, moment, key=lambda one: one[0])
        if self._asked is None or self._asked[0] != known:
            self._asked = known, tuple(self.held[lead_id] for _, _, lead_id in self._queue[:known])
        return self._asked[1]

    def hold(self, stored: StoredDecision) -> None:
        """Remember a lead that waits."""
        self.held[stored.lead_id] = stored
        self._asked = None
        insort(self._queue, (stored.decided_at, stored.seq, stored.lead_id))

    def let_go(self, lead_id: str) -> None:
        """Forget a lead that waits no more."""
        stored = self.held.pop(lead_id, None)
        if stored is not None:
            self._asked = None
            del self._queue[bisect_left(self._queue, (stored.decided_at, stored.seq, lead_id))]

    def wrote(self, tx: Transaction, stored: StoredDecision) -> None:
        """Take over a decision or release that this transaction has just written."""
        self.let_go(stored.lead_id)
        if stored.status == "held":
            self.hold(stored)
        elif stored.rep_id is not None:
            if stored.week in self._places:
                self._places[stored.week].add((stored.rep_id, stored.lead_id))
            self._given(stored.rep_id, stored.decided_at)
        self._seq, self._head = tx.next_seq() - 1, tx.head_hash()

    def _given(self, rep_id: str, moment: int) -> None:
        self.n_given += 1
        self.last_given[rep_id] = max(self.last_given.get(rep_id, moment), moment)
