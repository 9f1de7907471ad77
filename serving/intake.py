"""Rows and leads that other systems send: checked, taken whole or not at all, and once only where they carry an id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from features.config import Incoming
from features.errors import DataError, Fault
from features.rows import parse_rows, upsert
from features.tables import Tables
from serving.oversight import Oversight
from serving.store import Transaction
from serving.webhooks.endpoints import sender_of
from serving.wording import Json

if TYPE_CHECKING:
    from serving.leads import Lead
    from serving.session import Session
    from serving.state import State

Rows = Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class Sent:
    """One thing that another system says: a lead to be routed, or rows of a table.

    `source` and `message_id` tell it from all others; a second one of the same id is answered and not taken again.
    """

    source: str
    message_id: str
    table: str
    rows: tuple[Mapping[str, object], ...]
    route: bool = False


class Intake(Oversight):
    """The part of the facade that takes what other systems send."""

    session: Session

    if TYPE_CHECKING:  # what the whole facade has

        def _caught_up(self, view: Any, last_event: int | None = None) -> State: ...

        def _attended(self, tx: Transaction) -> State: ...

        def _typed(self, rows: Rows) -> list[Lead]: ...

        def _moment(self, decided_at: int | None) -> int: ...

        def _took(self, state: State, seq: int, tables: Tables) -> None: ...

    def add_events(self, table: str, rows: Rows, *, sender: str, key: str = "") -> Json:
        """`{"accepted", "seq"}` once durable; DataError lists every bad row, and then nothing was taken.

        `key`: the sender's idempotency key: the same again gets the same answer, and nothing is taken twice.
        """
        source = f"events:{sender}"[:80]
        with self.store.transaction() as tx:
            seen = tx.receipt(source, key) if key else None
            if seen is not None:
                return seen
            state = self._caught_up(tx)
            seq, tables = self._take(tx, state.board.tables, table, rows, sender)
            answer: Json = {"accepted": len(rows), "seq": seq}
            if key:
                tx.put_receipt(source, key, answer)
        self._took(state, seq, tables)
        return answer

    def sender(self, name: str) -> Incoming | None:
        """The system that may send webhooks under that name, its secret in place; None where none is set."""
        return sender_of(self.session.config, name)

    def take_sent(self, sent: Sequence[Sent], *, sender: str) -> list[Json]:
        """An answer each, all in one transaction; DataError lists every fault, and then nothing was taken.

        What was seen before under its id is answered as then. Leads to be routed are decided as `assign` would.
        """
        with self.store.read() as view:
            known = [view.receipt(one.source, one.message_id) for one in sent]
        fresh = [one for one, seen in zip(sent, known, strict=True) if seen is None and one.route]
        typed = self._typed([one.rows[0] for one in fresh]) if fresh else []
        leads = {one.message_id: lead for one, lead in zip(fresh, typed, strict=True)}
        moment = self._moment(None)
        answers: list[Json] = []
        faults: list[Fault] = []
        seq = 0
        with self.store.transaction() as tx:
            state = self._attended(tx)
            tables = state.board.tables
            for place, one in enumerate(sent, start=1):
                seen = tx.receipt(one.source, one.message_id)
                if seen is None:
                    try:
                        if one.route:
                            seen = self._routed(tx, state, leads[one.message_id], moment)
                        else:
                            seq, tables = self._take(tx, tables, one.table, one.rows, sender)
                            seen = {"table": one.table, "accepted": len(one.rows), "seq": seq}
                    except DataError as error:
                        many = len(sent) > 1
                        faults += [Fault(f.table, place if many else f.row, f.column, f.value, f.rule)
                                   for f in error.faults]  # fmt: skip
                        continue
                    tx.put_receipt(one.source, one.message_id, seen)
                answers.append(seen)
            if faults:
                raise DataError(faults)
        if seq:
            self._took(state, seq, tables)
        return answers

    def _routed(self, tx: Transaction, state: State, lead: Lead, moment: int) -> Json:
        stored, new = state.desk.assign(tx, lead, moment)
        return {
            "lead_id": stored.lead_id, "status_code": 201 if new else 200, "status": stored.status,
            "rep_id": stored.owner_rep_id,
        }  # fmt: skip

    def _take(self, tx: Transaction, tables: Tables, table: str, rows: Rows, sender: str) -> tuple[int, Tables]:
        """Number of the event batch written, and the tables with it; the state itself follows once this is durable."""
        missing = self._missing_leads(tx, tables, rows)
        known = tables
        if missing:
            known = upsert(tables, "leads", parse_rows("leads", missing, tables, check_references=False).frame)
        parsed = parse_rows(table, rows, known)
        if parsed.faults:
            raise DataError(parsed.faults)
        now = self.session.now()
        if missing and table != "leads":
            # A lead decided here and not yet in the tables comes along, so that the rows find it later too.
            tx.put_events("leads", missing, received_at=now, received_from=sender)
        seq = tx.put_events(table, [dict(row) for row in rows], received_at=now, received_from=sender)
        if table == "assignments":
            self._moves(tx, parsed.frame, sender)
        return seq, upsert(known, table, parsed.frame)

    def _missing_leads(self, tx: Transaction, tables: Tables, rows: Iterable[Mapping[str, object]]) -> list[Json]:
        """Rows of leads that the store decided, that the events name, and that the tables do not hold yet."""
        named = {str(row.get("lead_id", "")) for row in rows} - {""}
        if named:
            listed = tables.leads["lead_id"]
            named -= set(listed[listed.isin(list(named))])
        return [dict(stored.lead) for _, stored in sorted(tx.decided(sorted(named)).items())]

    def _moves(self, tx: Transaction, frame: pd.DataFrame, sender: str) -> None:
        """Hand-overs of leads that were decided here, to somebody else, are moves on their record."""
        ordered = frame.sort_values("assigned_at", kind="stable")
        moments_of = ordered["assigned_at"].to_numpy(dtype=np.int64)
        for lead_id, rep_id, at in zip(ordered["lead_id"], ordered["rep_id"], moments_of, strict=True):
            stored = tx.decision(str(lead_id))
            if stored is not None and stored.owner_rep_id != str(rep_id):
                tx.move(str(lead_id), rep_id=str(rep_id), at=int(at), by=sender or "events")
