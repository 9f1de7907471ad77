"""Rows that other systems sent: kept as received, in order, durable before they are acknowledged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from serving.store import schema
from serving.store.session import Session, to_rows, to_text


@dataclass(frozen=True)
class EventBatch:
    """Rows of one table that were received together; a later batch wins over an earlier one by key."""

    seq: int
    table: str
    rows: tuple[dict[str, object], ...]
    received_at: int
    received_from: str


@dataclass
class EventReader(Session):
    """Reads received rows."""

    def last_event(self) -> int:
        """Sequence number of the newest batch, 0 where there is none."""
        return self.connection.execute(select(func.max(schema.events.c.seq))).scalar() or 0

    def events_after(self, after: int = 0, limit: int | None = None) -> list[EventBatch]:
        """Batches with a sequence number above `after`, in the order received."""
        table = schema.events
        query = select(table).where(table.c.seq > after).order_by(table.c.seq)
        found = self.connection.execute(query if limit is None else query.limit(limit))
        return [
            EventBatch(row.seq, row.table_name, tuple(to_rows(row.rows)), row.received_at, row.received_from)
            for row in found
        ]


@dataclass
class EventWriter(EventReader):
    """Writes received rows, inside an exclusive transaction only."""

    def put_events(
        self, table: str, rows: Sequence[Mapping[str, object]], *, received_at: int, received_from: str = ""
    ) -> int:
        """Sequence number of the batch. Rows are checked by the caller; JSON cannot hold NaN or infinities."""
        seq = self.last_event() + 1
        self.connection.execute(
            schema.events.insert().values(
                seq=seq,
                table_name=table,
                n_rows=len(rows),
                rows=to_text([dict(row) for row in rows]),
                received_at=received_at,
                received_from=received_from,
            )
        )
        return seq
