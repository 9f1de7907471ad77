"""Erasing what the store says about a lead or a rep, so that the chain still verifies and every erasure is logged.

A lead's payloads go altogether. A rep's decisions are about customers too and must stay explainable: there his id gives
way to a name that leads nowhere, and the erasure's entry holds the digests of what is left.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, delete, or_, select, update

from features.errors import RequestError, UnknownLeadError
from features.messages import message
from serving.store import schema
from serving.store.chain import payload_digest
from serving.store.decisions import DecisionWriter
from serving.store.session import to_object, to_rows, to_text

_PART: Final = 500
_REFERENCES: Final = ("sourced_by_rep_id", "manager_id", "marketer_id")  # of a row about somebody else


@dataclass(frozen=True)
class Erased:
    """What an erasure took: leads, payloads erased, payloads and other rows that lost a name, event rows removed."""

    n_leads: int = 0
    n_payloads: int = 0
    n_renamed: int = 0
    n_event_rows: int = 0


@dataclass
class ErasureWriter(DecisionWriter):
    """Erases, inside an exclusive transaction only."""

    def erase_lead(self, lead_id: str, *, at: int, by: str, reason: str = "") -> int:
        """Number of log payloads erased: all that the store says about a lead. UnknownLeadError where it says nothing.

        Places taken stay counted under a name that leads nowhere. The chain still verifies.
        """
        if self.decision(lead_id) is None and lead_id not in self._leads_of_events():
            raise UnknownLeadError(message("unknown.lead_or_event", lead=lead_id))
        return self.erase_leads([lead_id], at=at, by=by, reason=reason).n_payloads

    def erase_leads(self, lead_ids: Collection[str], *, at: int, by: str, reason: str = "") -> Erased:
        """Erase all that the store says about leads: decisions, log, places' names, events, shadow, messages."""
        self._overwrite_deleted()
        wanted, n_payloads = sorted(set(lead_ids)), 0
        for start in range(0, len(wanted), _PART):
            n_payloads += self._erase_part(wanted[start : start + _PART], at, by, reason)
        n_rows = self._erase_lead_events(set(wanted)) if wanted else 0
        return Erased(n_leads=len(wanted), n_payloads=n_payloads, n_event_rows=n_rows)

    def _erase_part(self, part: Sequence[str], at: int, by: str, reason: str) -> int:
        payload = schema.payloads
        about = payload.c.lead_id.in_(part)
        seqs = list(self.connection.execute(select(payload.c.seq).where(about).order_by(payload.c.seq)).scalars())
        self.connection.execute(delete(payload).where(about))
        for table in (schema.decisions, schema.shadow_choices):
            self.connection.execute(delete(table).where(table.c.lead_id.in_(part)))
        erasure = self.append("erasure", at, None, None, {"seqs": seqs, "by": by, "reason": reason})
        places = schema.placements
        for i, lead_id in enumerate(part):
            name = f"erased:{erasure}" if len(part) == 1 else f"erased:{erasure}.{i}"
            self.connection.execute(update(places).where(places.c.lead_id == lead_id).values(lead_id=name))
            self._drop_messages(lead_id)
        return len(seqs)

    def _erase_lead_events(self, lead_ids: set[str]) -> int:
        def left(row: dict[str, object]) -> dict[str, object] | None:
            if row.get("lead_id") in lead_ids:
                return None
            return {**row, "referred_by_lead_id": None} if row.get("referred_by_lead_id") in lead_ids else row

        return self._edit_events(next(iter(lead_ids)) if len(lead_ids) == 1 else None, left)

    def erase_rep(self, rep_id: str, *, at: int, week: str, by: str, reason: str = "") -> Erased:
        """Put a name that leads nowhere in a rep's place, and remove event rows about him.

        `week`: the ISO week in progress; RequestError where he has a place in it, for his capacity counts by his id
        until it is over, or where the store says nothing about him. His keys are revoked.
        """
        places = schema.placements
        mine = select(places.c.week).where(places.c.rep_id == rep_id, places.c.week >= week).limit(1)
        busy = self.connection.execute(mine).scalar()
        if busy is not None:
            raise RequestError(message("erase.busy", rep=rep_id, week=busy))
        self._overwrite_deleted()
        alias = f"erased:{self.next_seq()}"
        digests = self._rename_payloads(rep_id, alias)
        n_renamed = len(digests) + self._rename_rows(rep_id, alias)
        n_rows = self._edit_events(rep_id, lambda row: _without_rep(row, rep_id))
        if not n_renamed + n_rows:
            raise RequestError(message("unknown.rep_store", rep=rep_id))
        self._drop_messages(rep_id)
        self.append("erasure", at, None, None, {"seqs": [], "rewritten": digests, "by": by, "reason": reason})
        return Erased(n_renamed=n_renamed, n_event_rows=n_rows)

    def _rename_payloads(self, rep_id: str, alias: str) -> dict[str, str]:
        table = schema.payloads
        found = self.connection.execute(
            select(table).where(or_(table.c.rep_id == rep_id, _holds(table.c.body, rep_id)))
        )
        digests: dict[str, str] = {}
        for row in found.all():
            body = to_text(_renamed(to_object(row.body), rep_id, alias))
            rep = alias if row.rep_id == rep_id else row.rep_id
            if (body, rep) == (row.body, row.rep_id):
                continue
            salt = secrets.token_hex(16)  # with the old one, the name could be found by trying
            digests[str(row.seq)] = payload_digest(salt, row.lead_id, rep, body)
            change = update(table).where(table.c.seq == row.seq)
            self.connection.execute(change.values(rep_id=rep, body=body, salt=salt))
        return digests

    def _rename_rows(self, rep_id: str, alias: str) -> int:
        n = self._rename_decisions(rep_id, alias)
        shadow = schema.shadow_choices
        for row in self.connection.execute(
            select(shadow).where(
                or_(shadow.c.rep_id == rep_id, shadow.c.would_rep_id == rep_id, _holds(shadow.c.body, rep_id))
            )
        ).all():
            change = update(shadow).where(shadow.c.seq == row.seq, shadow.c.challenger == row.challenger)
            self.connection.execute(
                change.values(
                    rep_id=alias if row.rep_id == rep_id else row.rep_id,
                    would_rep_id=alias if row.would_rep_id == rep_id else row.would_rep_id,
                    body=to_text(_renamed(to_object(row.body), rep_id, alias)),
                )
            )
            n += 1
        keys, now = schema.api_keys, self.clock()
        revoke = update(keys).where(keys.c.subject == rep_id, keys.c.revoked_at.is_(None))
        self.connection.execute(revoke.values(revoked_at=now))
        for column in (
            schema.placements.c.rep_id,
            keys.c.subject,
            schema.alerts.c.acknowledged_by,
            schema.settings.c.changed_by,
        ):
            n += self.connection.execute(
                update(_table(column)).where(column == rep_id).values({column.key: alias})
            ).rowcount
        return n

    def _rename_decisions(self, rep_id: str, alias: str) -> int:
        table = schema.decisions
        told = (table.c.record, table.c.lead, table.c.answers)
        his = or_(
            table.c.rep_id == rep_id, table.c.owner_rep_id == rep_id, *(_holds(column, rep_id) for column in told[:2])
        )
        found = self.connection.execute(select(table).where(his)).all()
        for row in found:
            # Answers are made again from the record when next asked for; their old bytes hold his id and his name.
            self._change(
                row.lead_id,
                rep_id=alias if row.rep_id == rep_id else row.rep_id,
                owner_rep_id=alias if row.owner_rep_id == rep_id else row.owner_rep_id,
                record=to_text(_renamed(to_object(row.record), rep_id, alias)),
                lead=to_text(_renamed(to_object(row.lead), rep_id, alias)),
                answers="{}",
            )
        return len(found)

    def _edit_events(self, mentioned: str | None, left: Any) -> int:
        """Rows removed. `left`: what is left of a row, None for nothing; only where `mentioned` stands, if given."""
        table, removed = schema.events, 0
        query = select(table.c.seq, table.c.rows).order_by(table.c.seq)
        for seq, text in self.connection.execute(
            query if mentioned is None else query.where(_holds(table.c.rows, mentioned))
        ).all():
            rows = to_rows(text)
            kept = [one for row in rows if (one := left(row)) is not None]
            if kept != rows:
                removed += len(rows) - len(kept)
                self.connection.execute(update(table).where(table.c.seq == seq).values(rows=to_text(kept)))
        return removed

    def _drop_messages(self, name: str) -> None:
        for said in (schema.receipts.c.answer, schema.outbox.c.body):
            self.connection.execute(delete(said.table).where(_holds(said, name)))

    def _leads_of_events(self) -> dict[str, int]:
        """Moment at which each lead was last told of by an event."""
        last: dict[str, int] = {}
        for received_at, text in self.connection.execute(
            select(schema.events.c.received_at, schema.events.c.rows).order_by(schema.events.c.seq)
        ):
            last.update({str(row["lead_id"]): received_at for row in to_rows(text) if row.get("lead_id") is not None})
        return last

    def leads_before(self, moment: int) -> list[str]:
        """Leads of which nothing was decided, changed or received at or after the moment; never one that waits."""
        table = schema.decisions
        rows = self.connection.execute(
            select(table.c.lead_id, table.c.status, schema.log.c.at).join(
                schema.log, schema.log.c.seq == table.c.last_seq
            )
        ).all()
        told = self._leads_of_events()
        decided = {row.lead_id: row.status == "held" or max(row.at, told.get(row.lead_id, 0)) >= moment for row in rows}
        of_events = {lead for lead, at in told.items() if at < moment and lead not in decided}
        return sorted(of_events | {lead for lead, kept in decided.items() if not kept})

    def erase_warnings_before(self, moment: int) -> int:
        """Number of warnings erased that were resolved before the moment, with who took note of them."""
        table = schema.alerts
        old = table.c.resolved_at.is_not(None) & (table.c.resolved_at < moment)
        return self.connection.execute(delete(table).where(old)).rowcount

    def _overwrite_deleted(self) -> None:
        if self.connection.dialect.name == "sqlite":  # else deleted rows stay readable in the file's free pages
            self.connection.exec_driver_sql("PRAGMA secure_delete=ON")


def _table(column: ColumnElement[Any]) -> Table:
    table = column.table
    assert isinstance(table, Table)
    return table


def _holds(column: Any, name: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = column.contains(to_text(name), autoescape=True)
    return found


def _renamed(value: Any, name: str, alias: str) -> Any:
    """JSON with every text that is `name` put to `alias`; a lead may bear the same id and keeps it."""
    if isinstance(value, Mapping):
        return {key: one if key == "lead_id" else _renamed(one, name, alias) for key, one in value.items()}
    if isinstance(value, list):
        return [_renamed(one, name, alias) for one in value]
    return alias if value == name else value


def _without_rep(row: dict[str, object], rep_id: str) -> dict[str, object] | None:
    """What is left of an event row: nothing where it is about the rep, an empty cell where it only refers to him."""
    if row.get("rep_id") == rep_id:
        return None
    return {key: None if key in _REFERENCES and value == rep_id else value for key, value in row.items()}
