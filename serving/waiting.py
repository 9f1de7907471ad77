"""What the desk remembers of leads that wait: who found them, where they are, and their worth with every rep.

A decision looks at all that waits, so each lead's row is made once a day and only named afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.leads import Lead
from serving.store import StoredDecision

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_FIRST_ROWS = 64


@dataclass(frozen=True)
class WaitingRows:
    """Waiting leads by row: `values` (n, R) of all remembered, `rows` (H,) those asked for, in their order.

    `kinds` (H,) are places of their territories in `territories`.
    """

    values: Floats
    rows: Ints
    kinds: Ints
    territories: tuple[str, ...]

    def taken(self) -> Floats:
        """(H, R) values of the leads asked for."""
        return np.asarray(self.values[self.rows])


LeadOf = Callable[[StoredDecision], Lead]


class WaitingLeads:
    """Remembers leads for one board of `n_reps`.

    `lead_of` types a stored lead, `worth` gives (R,) its values at a moment. They are asked for at each call: kept,
    they would tie the desk, and all that it holds, into a cycle.
    """

    def __init__(self, n_reps: int) -> None:
        self._n_reps = n_reps
        self._finders: dict[str, str] = {}
        self._prospects: tuple[Sequence[StoredDecision], list[StoredDecision]] = ((), [])
        self._clear(None)

    def _clear(self, key: Hashable) -> None:
        self._key = key
        self._rows: dict[str, int] = {}
        self._values = np.empty((_FIRST_ROWS, self._n_reps))
        self._kinds = np.empty(_FIRST_ROWS, dtype=np.int64)
        self._territories: dict[str, int] = {}
        self._asked: tuple[Sequence[StoredDecision], WaitingRows] | None = None

    def prospects(self, held: Sequence[StoredDecision], lead_of: LeadOf) -> list[StoredDecision]:
        """Those of the leads that a rep found himself, in their order; of the last asked about they are remembered."""
        if held is self._prospects[0]:
            return self._prospects[1]
        found = self._found_by_reps(held, lead_of)
        self._prospects = (held, found)
        return found

    def _found_by_reps(self, held: Sequence[StoredDecision], lead_of: LeadOf) -> list[StoredDecision]:
        known = self._finders
        if len(known) > max(4 * len(held), 64 * _FIRST_ROWS):
            known.clear()
        for one in held:
            if one.lead_id not in known:
                known[one.lead_id] = lead_of(one).text("sourced_by_rep_id")
        return [one for one in held if known[one.lead_id]]

    def rows(
        self, held: Sequence[StoredDecision], moment: int, key: Hashable, lead_of: LeadOf,
        worth: Callable[[Lead, int], Floats],
    ) -> WaitingRows:  # fmt: skip
        """The leads' rows; `key` names all beside the lead that its worth depends on: another one forgets."""
        if self._asked is not None and self._asked[0] is held and key == self._key:
            return self._asked[1]
        if key != self._key or len(self._rows) > max(4 * len(held), 16 * _FIRST_ROWS):
            self._clear(key)
        known = self._rows
        rows = np.array(
            [
                known[one.lead_id] if one.lead_id in known else self._add(one.lead_id, lead_of(one), moment, worth)
                for one in held
            ],
            dtype=np.int64,
        )
        found = WaitingRows(self._values, rows, self._kinds[rows], tuple(self._territories))
        self._asked = (held, found)
        return found

    def _add(self, lead_id: str, lead: Lead, moment: int, worth: Callable[[Lead, int], Floats]) -> int:
        row = len(self._rows)
        if row == len(self._values):
            self._values = np.concatenate([self._values, np.empty_like(self._values)])
            self._kinds = np.concatenate([self._kinds, np.empty_like(self._kinds)])
        self._values[row] = worth(lead, moment)
        self._kinds[row] = self._territories.setdefault(lead.text("territory"), len(self._territories))
        self._rows[lead_id] = row
        return row
