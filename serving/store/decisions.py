"""Decisions, the places they take, and what became of them: releases, overrides, moves.

The machine's choice (`rep_id`, `record`, `answers`) is written once; who has the lead now is `owner_rep_id`.
A place is (ISO week, rep, lead): a rep's used places of a week are its distinct leads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.exc import IntegrityError

from features.errors import UnknownLeadError
from features.messages import message
from serving.store import schema
from serving.store.chain import LogWriter
from serving.store.session import Json, Session, StoreError, to_object, to_text

# SQLite takes 32,766 bound values in a statement; a team is far smaller, a whole desk of ids may not be.
_IN_LIMIT = 10_000
MACHINE: Final = "fairlead"  # by whom a move is, where no person asked for it
# Plain text: on the path of a decision, putting a statement together costs more than running it.
_NAMES: Final = tuple(column.name for column in schema.decisions.columns)
_DECISION: Final = f"SELECT {', '.join(_NAMES)} FROM decisions WHERE lead_id = ?"  # noqa: S608 - our own columns
_INSERT_DECISION: Final = f"INSERT INTO decisions ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"  # noqa: S608
_PLACEMENTS: Final = "SELECT rep_id, lead_id FROM placements WHERE week = ?"
_INSERT_PLACEMENT: Final = "INSERT INTO placements (week, rep_id, lead_id, seq) VALUES (?, ?, ?, ?)"
_ACCOUNT: Final = (
    "SELECT owner_rep_id, owned_at, lead_id FROM decisions WHERE account_id = ? AND owner_rep_id IS NOT NULL"
    " ORDER BY owned_at DESC, last_seq DESC LIMIT 1"
)
_USED: Final = (
    select(schema.placements.c.rep_id, func.count())
    .where(schema.placements.c.week == bindparam("wanted"))
    .group_by(schema.placements.c.rep_id)
)


class DuplicateDecisionError(StoreError):
    """The lead was decided already; ask `decision(lead_id)` inside the transaction first."""


@dataclass(frozen=True)
class StoredDecision:
    """A lead's decision as the store has it.

    `seq` orders lists and never changes; `last_seq` is the newest log entry about the lead. `status` is as it stands
    now (`assigned` or `held`), `rep_id` the machine's choice (None while held, or where a person took a held lead),
    `owner_rep_id` who has the lead now, since `owned_at`. `record` is the canonical decision, `answers` the bytes
    first given by language (none before a caller has asked).
    """

    lead_id: str
    seq: int
    last_seq: int
    decided_at: int
    week: str
    status: str
    policy: str
    rep_id: str | None
    owner_rep_id: str | None
    owned_at: int | None
    overridden: bool
    record: dict[str, object]
    lead: dict[str, object]
    answers: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """Some decisions, and the cursor of the next page (None at the end)."""

    items: tuple[StoredDecision, ...]
    next_cursor: int | None


@dataclass(frozen=True)
class Counts:
    """Totals for metrics: decisions by policy, leads held now, overrides, event batches and their rows."""

    by_policy: dict[str, int]
    held: int
    overrides: int
    event_batches: int
    event_rows: int


@dataclass
class DecisionReader(Session):
    """Reads decisions and places."""

    def decision(self, lead_id: str) -> StoredDecision | None:
        """The lead's decision, or None."""
        rows = self.run(_DECISION, lead_id)
        return _decision(dict(zip(_NAMES, rows[0], strict=True))) if rows else None

    def decided(self, lead_ids: Sequence[str]) -> dict[str, StoredDecision]:
        """The decisions of those of `lead_ids` that have one."""
        found: dict[str, StoredDecision] = {}
        for start in range(0, len(lead_ids), _IN_LIMIT):
            part = lead_ids[start : start + _IN_LIMIT]
            query = select(schema.decisions).where(schema.decisions.c.lead_id.in_(part))
            found.update({row["lead_id"]: _decision(row) for row in self.connection.execute(query).mappings()})
        return found

    def decisions(
        self,
        *,
        status: str | None = None,
        rep_id: str | None = None,
        rep_ids: Collection[str] | None = None,
        since: int | None = None,
        cursor: int | None = None,
        limit: int = 100,
        newest_first: bool = False,
    ) -> Page:
        """Decisions in the order of their first log entry, which no later row can change.

        `rep_id` and `rep_ids` match the owner as of now; `since` is the earliest decided_at, included; `cursor` comes
        from the page before.
        """
        table = schema.decisions.c
        query = select(schema.decisions)
        if status is not None:
            query = query.where(table.status == status)
        if rep_id is not None:
            query = query.where(table.owner_rep_id == rep_id)
        if rep_ids is not None:
            query = query.where(table.owner_rep_id.in_(sorted(rep_ids)))
        if since is not None:
            query = query.where(table.decided_at >= since)
        if cursor is not None:
            query = query.where(table.seq < cursor if newest_first else table.seq > cursor)
        query = query.order_by(table.seq.desc() if newest_first else table.seq)
        return self._page(query, limit)

    def _page(self, query: Select[tuple[object, ...]], limit: int) -> Page:
        rows = self.connection.execute(query.limit(limit + 1)).mappings().all()
        items = tuple(_decision(row) for row in rows[:limit])
        return Page(items, items[-1].seq if len(rows) > limit else None)

    def held(self) -> list[StoredDecision]:
        """Leads that wait, the longest waiting first."""
        table = schema.decisions
        query = select(table).where(table.c.status == "held").order_by(table.c.decided_at, table.c.seq)
        return [_decision(row) for row in self.connection.execute(query).mappings()]

    def placements(self, week: str) -> set[tuple[str, str]]:
        """(rep_id, lead_id) of every place taken in an ISO week (`2026-W07`) by decisions and overrides.

        Unite them with the week's assignments in the tables before counting: a lead in both takes one place.
        """
        return {(row[0], row[1]) for row in self.run(_PLACEMENTS, week)}

    def placements_of(self, lead_id: str) -> list[tuple[str, str]]:
        """(week, rep_id) of the places that a lead takes."""
        return [(row[0], row[1]) for row in self.run("SELECT week, rep_id FROM placements WHERE lead_id = ?", lead_id)]

    def last_given(self) -> dict[str, int]:
        """Moment at which each rep was last given a lead that he still has, by decisions and overrides."""
        rows = self.run("SELECT owner_rep_id, MAX(owned_at) FROM decisions GROUP BY owner_rep_id")
        return {row[0]: int(row[1]) for row in rows if row[0] is not None}

    def first_given(self) -> dict[str, int]:
        """Moment at which the machine first chose each rep for a lead; owners and held-out leads are not its choice."""
        query = (
            "SELECT rep_id, MIN(decided_at) FROM decisions"
            " WHERE rep_id IS NOT NULL AND policy NOT IN ('owner', 'holdout') GROUP BY rep_id"
        )
        rows = self.run(query)
        return {row[0]: int(row[1]) for row in rows}

    def arrivals(self, since: int, until: int, before: int | None = None) -> list[tuple[str, int]]:
        """(lead_id, moment) of the leads first decided in [since, until) and not found by a rep himself.

        `before`: only by entries of the log with a lower number.
        """
        query = (
            "SELECT p.lead_id, l.at FROM log l JOIN payloads p ON p.seq = l.seq"
            " JOIN decisions d ON d.lead_id = p.lead_id"
            " WHERE l.kind = 'decision' AND l.at >= ? AND l.at < ? AND d.policy <> 'owner'"
        )
        last = () if before is None else (before,)
        return [(row[0], int(row[1])) for row in self.run(query + " AND l.seq < ?" * len(last), since, until, *last)]

    def drawn_after(self, seq: int, limit: int = 1_000) -> list[tuple[int, str, int, str, str]]:
        """(seq, kind, moment, lead_id, record's JSON) of at most `limit` first decisions and erasures after entry
        `seq` of the log."""
        query = (
            "SELECT l.seq, l.kind, l.at, p.lead_id, p.body FROM log l JOIN payloads p ON p.seq = l.seq"
            " WHERE l.seq > ? AND l.kind IN ('decision', 'erasure') ORDER BY l.seq LIMIT ?"
        )
        return [(int(row[0]), row[1], int(row[2]), row[3] or "", row[4]) for row in self.run(query, seq, limit)]

    def machine_moves(self, since: int) -> list[tuple[int, str, Json]]:
        """(moment, lead_id, body) of the machine's own moves at or after the moment, the newest first."""
        query = (
            "SELECT l.at, p.lead_id, p.body FROM log l JOIN payloads p ON p.seq = l.seq"
            " WHERE l.kind = 'move' AND l.at >= ? ORDER BY l.seq DESC"
        )
        found = [(int(at), str(lead_id), to_object(body)) for at, lead_id, body in self.run(query, since)]
        return [one for one in found if one[2].get("by") == MACHINE]

    def account_owner(self, account_id: str) -> tuple[str, int, str] | None:
        """Rep who has the newest lead of an account by decisions, overrides and moves, since when, and the lead."""
        rows = self.run(_ACCOUNT, account_id)
        return (str(rows[0][0]), int(rows[0][1]), str(rows[0][2])) if rows else None

    def used_places(self, week: str) -> dict[str, int]:
        """Distinct leads by rep_id placed in an ISO week by decisions and overrides."""
        return {row[0]: row[1] for row in self.connection.execute(_USED, {"wanted": week})}

    def counts(self) -> Counts:
        """Totals over the whole store."""
        table = schema.decisions.c
        by_policy = select(table.policy, func.count()).where(table.status == "assigned").group_by(table.policy)
        held = select(func.count()).where(table.status == "held")
        overrides = select(func.count()).where(schema.log.c.kind == "override")
        batches = select(func.count(), func.coalesce(func.sum(schema.events.c.n_rows), 0))
        n_batches, n_rows = self.connection.execute(batches).one()
        return Counts(
            by_policy={row[0]: row[1] for row in self.connection.execute(by_policy)},
            held=self.connection.execute(held).scalar_one(),
            overrides=self.connection.execute(overrides).scalar_one(),
            event_batches=n_batches,
            event_rows=int(n_rows),
        )


@dataclass
class DecisionWriter(LogWriter, DecisionReader):
    """Writes decisions, inside an exclusive transaction only."""

    def put_decision(
        self,
        lead_id: str,
        *,
        decided_at: int,
        status: str,
        rep_id: str | None,
        week: str,
        record: Json,
        lead: Json,
        policy: str = "",
        answers: Mapping[str, bytes] | None = None,
    ) -> StoredDecision:
        """The decision as stored; takes the rep's place of `week` where it is assigned.

        A `week` of "" takes none: the hand-over stands in the tables and counts there. `policy` is the record's own
        unless given. DuplicateDecisionError where the lead has a decision.
        """
        _check_status(status, rep_id)
        seq = self.next_seq()
        stored = StoredDecision(
            lead_id=lead_id,
            seq=seq,
            last_seq=seq,
            decided_at=decided_at,
            week=week,
            status=status,
            policy=policy or str(record.get("policy", "")),
            rep_id=rep_id,
            owner_rep_id=rep_id,
            owned_at=None if rep_id is None else decided_at,
            overridden=False,
            record=dict(record),
            lead=dict(lead),
            answers=dict(answers or {}),
        )
        text = to_text(stored.record)
        try:
            self.run(_INSERT_DECISION, *_columns(stored, text))
        except IntegrityError as error:
            raise DuplicateDecisionError(f"lead {lead_id!r} is decided already") from error
        self.append("decision", decided_at, lead_id, rep_id, record, text)
        if rep_id is not None and week:
            self._take(week, rep_id, lead_id, seq)
        return stored

    def release_held(
        self,
        lead_id: str,
        *,
        decided_at: int,
        rep_id: str,
        week: str,
        record: Json,
        policy: str = "",
        answers: Mapping[str, bytes] | None = None,
    ) -> StoredDecision:
        """The held lead's decision, now assigned; takes a place in the week of its own `decided_at`."""
        held = self._known(lead_id)
        if held.status != "held":
            raise StoreError(f"lead {lead_id!r} is {held.status}; only a held lead can be released")
        text = to_text(record)
        seq = self.append("release", decided_at, lead_id, rep_id, record, text)
        self._change(
            lead_id,
            last_seq=seq,
            decided_at=decided_at,
            week=week,
            status="assigned",
            policy=policy or str(record.get("policy", "")),
            rep_id=rep_id,
            owner_rep_id=rep_id,
            owned_at=decided_at,
            record=text,
            answers=_answers_text(answers or {}),
        )
        self._take(week, rep_id, lead_id, seq)
        return self._known(lead_id)

    def put_answer(self, stored: StoredDecision, lang: str, body: bytes) -> None:
        """Keep the bytes in which an assigned decision is first given in a language."""
        self.run(
            "UPDATE decisions SET answers = ? WHERE lead_id = ?",
            _answers_text({**stored.answers, lang: body}),
            stored.lead_id,
        )

    def override(
        self, lead_id: str, *, rep_id: str, at: int, week: str, by: str, reason: str, forced: bool = False
    ) -> StoredDecision:
        """The decision with its new owner: the first owner's place is freed, the machine's choice stays on record.

        Capacity is the caller's to check, inside the same transaction. `forced` is logged.
        """
        before = self._known(lead_id)
        body = {"from_rep_id": before.owner_rep_id, "rep_id": rep_id, "by": by, "reason": reason, "forced": forced}
        seq = self.append("override", at, lead_id, rep_id, body)
        if before.owner_rep_id is not None:
            self._free(before.owner_rep_id, lead_id)
        self._free(rep_id, lead_id, week)  # he may have had this place before a move; it is one place still
        self._change(lead_id, last_seq=seq, status="assigned", owner_rep_id=rep_id, owned_at=at, overridden=True)
        self._take(week, rep_id, lead_id, seq)
        return self._known(lead_id)

    def reassign(
        self, lead_id: str, *, rep_id: str, at: int, week: str, reason: str, numbers: Mapping[str, Any]
    ) -> StoredDecision:
        """The decision after the machine has moved the lead, logged as a move by it with its reason.

        The rep before is freed of the place, the new one takes one of `week`; capacity is the caller's to check, inside
        the same transaction.
        """
        before = self._known(lead_id)
        body = {
            "from_rep_id": before.owner_rep_id, "rep_id": rep_id, "by": MACHINE, "reason": reason,
            "numbers": dict(numbers),
        }  # fmt: skip
        seq = self.append("move", at, lead_id, rep_id, body)
        if before.owner_rep_id is not None:
            self._free(before.owner_rep_id, lead_id)
        self._free(rep_id, lead_id, week)
        self._change(lead_id, last_seq=seq, owner_rep_id=rep_id, owned_at=at)
        self._take(week, rep_id, lead_id, seq)
        return self._known(lead_id)

    def move(self, lead_id: str, *, rep_id: str, at: int, by: str) -> StoredDecision:
        """The decision with its new owner after a hand-over in the tables (an `assignments` event).

        No place is taken or freed here: the hand-over stands in the tables and counts from there, and the first rep
        was handed the lead that week too.
        """
        before = self._known(lead_id)
        body = {"from_rep_id": before.owner_rep_id, "rep_id": rep_id, "by": by}
        seq = self.append("move", at, lead_id, rep_id, body)
        self._change(lead_id, last_seq=seq, status="assigned", owner_rep_id=rep_id, owned_at=at)
        return self._known(lead_id)

    def _known(self, lead_id: str) -> StoredDecision:
        found = self.decision(lead_id)
        if found is None:
            raise UnknownLeadError(message("unknown.lead", lead=lead_id))
        return found

    def _change(self, lead_id: str, **values: object) -> None:
        named = ", ".join(f"{name} = ?" for name in values)  # columns as this class writes them
        self.run(f"UPDATE decisions SET {named} WHERE lead_id = ?", *values.values(), lead_id)  # noqa: S608

    def _take(self, week: str, rep_id: str, lead_id: str, seq: int) -> None:
        self.run(_INSERT_PLACEMENT, week, rep_id, lead_id, seq)

    def _free(self, rep_id: str, lead_id: str, week: str | None = None) -> None:
        mine = "DELETE FROM placements WHERE rep_id = ? AND lead_id = ?"
        if week is None:
            self.run(mine, rep_id, lead_id)
        else:
            self.run(f"{mine} AND week = ?", rep_id, lead_id, week)


def _check_status(status: str, rep_id: str | None) -> None:
    if status not in {"assigned", "held"}:
        raise StoreError(f"status {status!r} is neither assigned nor held")
    if (status == "assigned") != (rep_id is not None):
        raise StoreError("an assigned decision names its rep, a held one none")


def _columns(stored: StoredDecision, record: str) -> list[object]:
    values: dict[str, object] = dict(vars(stored))
    values["record"], values["lead"] = record, to_text(stored.lead)
    values["answers"] = _answers_text(stored.answers)
    values["account_id"] = str(stored.lead.get("account_id") or "").strip()
    return [values[name] for name in _NAMES]


def _answers_text(answers: Mapping[str, bytes]) -> str:
    return to_text({lang: body.decode("utf-8") for lang, body in answers.items()})


def _decision(row: Mapping[Any, Any]) -> StoredDecision:
    values = dict(row)
    values.pop("account_id")
    values["record"], values["lead"] = to_object(values["record"]), to_object(values["lead"])
    values["answers"] = {lang: str(text).encode() for lang, text in to_object(values["answers"]).items()}
    values["overridden"] = bool(values["overridden"])
    return StoredDecision(**values)
