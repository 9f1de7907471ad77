"""What a challenger would have done with each decision: written beside the log, never on a decision's way.

The table is no part of the hash chain: it decides nothing, and a second entry on the chain would slow the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from serving.store import schema
from serving.store.session import Session, to_object, to_text

AGREE: Final = "agree"
DIFFER: Final = "differ"
NOT_COMPARED: Final = "not_compared"
_INSERT: Final = (
    "INSERT INTO shadow_choices"
    " (seq, challenger, champion, lead_id, decided_at, result, rep_id, would_rep_id, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True)
class ShadowChoice:
    """One decision, or release of a held lead, and what the challenger would have done at that entry of the log.

    `rep_id`: the decision's rep, `would_rep_id` the challenger's (None: held). `result`: agree, differ, or
    not_compared where no model chose. `body`: numbers of both, see `serving.shadow`.
    """

    seq: int
    challenger: str
    champion: str
    lead_id: str
    decided_at: int
    result: str
    rep_id: str | None
    would_rep_id: str | None
    body: dict[str, object]


@dataclass
class ShadowReader(Session):
    """Reads what challengers would have done."""

    def shadow_choices(self, challenger: str, limit: int) -> list[ShadowChoice]:
        """The newest choices of a challenger, the newest first."""
        table = schema.shadow_choices
        query = select(table).where(table.c.challenger == challenger).order_by(table.c.seq.desc()).limit(limit)
        return [
            ShadowChoice(**{**row, "body": to_object(row["body"])}) for row in self.connection.execute(query).mappings()
        ]

    def shadow_counts(self, challenger: str) -> dict[str, int]:
        """Choices of a challenger by result."""
        table = schema.shadow_choices.c
        query = select(table.result, func.count()).where(table.challenger == challenger).group_by(table.result)
        return {row[0]: row[1] for row in self.connection.execute(query)}

    def places_since(self, week: str, seq: int) -> list[tuple[str, str]]:
        """(rep_id, lead_id) of the places of an ISO week taken by entry `seq` of the log or a later one."""
        rows = self.run("SELECT rep_id, lead_id FROM placements WHERE week = ? AND seq >= ?", week, seq)
        return [(row[0], row[1]) for row in rows]


@dataclass
class ShadowWriter(ShadowReader):
    """Writes what challengers would have done, inside an exclusive transaction only."""

    def put_shadow_choices(self, choices: Sequence[ShadowChoice]) -> None:
        """Write the choices; one that another process has written already stays."""
        for one in choices:
            self.run(
                _INSERT, one.seq, one.challenger, one.champion, one.lead_id, one.decided_at, one.result, one.rep_id,
                one.would_rep_id, to_text(one.body),
            )  # fmt: skip
