"""The append-only log: every decision, release, override and move, in order, each hashed onto the one before.

The chain is made over salted digests, so a payload can be erased for good while the chain still verifies; an
erasure is itself logged, and a payload that is missing without one counts as a break. Where a payload lost a name only,
the erasure's entry holds the digest of what is left, and the old salt is gone, so that the name cannot be guessed back.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import func, select

from features.messages import message
from serving.store import schema
from serving.store.session import Session, to_object, to_text

GENESIS: Final = "0" * 64
FEED_KINDS: Final = ("decision", "release", "override", "move")
_PAGE = 1_000
_ENCODE: Final = json.JSONEncoder(ensure_ascii=True).encode
# Plain text: on the path of a decision, putting a statement together costs more than running it.
_HEAD: Final = "SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1"
_INSERT_LOG: Final = "INSERT INTO log (seq, kind, at, logged_at, digest, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?)"
_INSERT_PAYLOAD: Final = "INSERT INTO payloads (seq, lead_id, rep_id, salt, body) VALUES (?, ?, ?, ?, ?)"


@dataclass(frozen=True)
class LogEntry:
    """One row of the log. `at` is the decision clock, `logged_at` the wall clock; `body` is None once erased."""

    seq: int
    kind: str
    at: int
    logged_at: int
    lead_id: str | None
    rep_id: str | None
    body: dict[str, object] | None


@dataclass(frozen=True)
class Verification:
    """What `verify` found: `ok`, entries read, the last hash, and the first break (0 and "" where none)."""

    ok: bool
    n_entries: int
    head: str
    broken_at: int = 0
    reason: str = ""


@dataclass
class _Head:
    """Last sequence number and hash, read once a transaction."""

    seq: int = -1
    hash: str = GENESIS


def payload_digest(salt: str, lead_id: str | None, rep_id: str | None, body: str) -> str:
    """SHA-256 hex of a salted payload. `salt` is 16 random bytes in hex, so that short payloads cannot be guessed."""
    parts = _ENCODE([salt, lead_id, rep_id, body])
    return hashlib.sha256(parts.encode()).hexdigest()


def link(previous: str, seq: int, kind: str, at: int, logged_at: int, digest: str) -> str:
    """SHA-256 hex that binds an entry to the one before it."""
    return hashlib.sha256(f"{previous}|{seq}|{kind}|{at}|{logged_at}|{digest}".encode()).hexdigest()


@dataclass
class LogReader(Session):
    """Reads the log."""

    def head(self) -> tuple[int, str]:
        """Sequence number and hash of the last entry; (0, 64 zeros) for an empty log."""
        rows = self.run(_HEAD)
        return (int(rows[0][0]), str(rows[0][1])) if rows else (0, GENESIS)

    def log_after(self, after: int = 0, limit: int = _PAGE, kinds: Sequence[str] = FEED_KINDS) -> list[LogEntry]:
        """At most `limit` entries of `kinds` with a sequence number above `after`, in order."""
        table, payload = schema.log, schema.payloads
        query = (
            select(table, payload.c.lead_id, payload.c.rep_id, payload.c.body)
            .select_from(table.outerjoin(payload, table.c.seq == payload.c.seq))
            .where(table.c.seq > after, table.c.kind.in_(kinds))
            .order_by(table.c.seq)
            .limit(limit)
        )
        return [_entry(row) for row in self.connection.execute(query)]

    def hash_at(self, seq: int) -> str:
        """Hash of one entry, 64 zeros for 0, "" where there is none."""
        if seq == 0:
            return GENESIS
        rows = self.run("SELECT hash FROM log WHERE seq = ?", seq)
        return str(rows[0][0]) if rows else ""

    def leads_after(self, after: int) -> list[str | None]:
        """Leads that entries above `after` are about, once each; None where one is about no lead (or is erased)."""
        query = (
            "SELECT DISTINCT p.lead_id FROM log l LEFT JOIN payloads p ON p.seq = l.seq"
            " WHERE l.seq > ? AND l.kind IN ('decision', 'release', 'override', 'move', 'erasure')"
        )
        return [row[0] for row in self.run(query, after)]

    def history(self, lead_id: str) -> list[LogEntry]:
        """All entries about one lead, oldest first."""
        table, payload = schema.log, schema.payloads
        query = (
            select(table, payload.c.lead_id, payload.c.rep_id, payload.c.body)
            .select_from(payload.join(table, table.c.seq == payload.c.seq))
            .where(payload.c.lead_id == lead_id)
            .order_by(table.c.seq)
        )
        return [_entry(row) for row in self.connection.execute(query)]

    def verify(self) -> Verification:
        """Walks the whole chain and names the first break.

        Finds changed, missing, reordered and inserted entries, changed payloads, payloads removed without a logged
        erasure, and a tail cut off while decisions still point to it. Keep the `head` elsewhere to find a tail that
        was cut off together with its decisions.
        """
        previous, expected, (erased, rewritten) = GENESIS, 1, self._erased()
        for row in self._chain():
            reason = _fault(row, expected, previous, erased, rewritten)
            if reason:
                return Verification(False, expected - 1, previous, expected, reason)
            previous, expected = row.hash, expected + 1
        newest = self.connection.execute(select(func.max(schema.decisions.c.last_seq))).scalar() or 0
        if newest >= expected:
            return Verification(False, expected - 1, previous, expected, message("log.short"))
        return Verification(True, expected - 1, previous)

    def _chain(self) -> Iterator[_Row]:
        table, payload = schema.log, schema.payloads
        joined = table.outerjoin(payload, table.c.seq == payload.c.seq)
        query = select(table, payload.c.lead_id, payload.c.rep_id, payload.c.salt, payload.c.body).select_from(joined)
        after: int | None = None
        while True:
            page = query if after is None else query.where(table.c.seq > after)
            rows = self.connection.execute(page.order_by(table.c.seq).limit(_PAGE)).all()
            for row in rows:
                yield _Row(*row)
            if len(rows) < _PAGE:
                return
            after = int(rows[-1].seq)

    def _erased(self) -> tuple[set[int], dict[int, str]]:
        """Entries whose payload was erased, and digests of those that were rewritten; the last erasure counts."""
        erased: set[int] = set()
        rewritten: dict[int, str] = {}
        for body in self.connection.execute(
            select(schema.payloads.c.body)
            .select_from(schema.log.join(schema.payloads, schema.log.c.seq == schema.payloads.c.seq))
            .where(schema.log.c.kind == "erasure")
            .order_by(schema.log.c.seq)
        ).scalars():
            said = to_object(body)
            listed, digests = said.get("seqs"), said.get("rewritten")
            erased.update(listed if isinstance(listed, list) else ())
            rewritten.update(
                {int(seq): str(digest) for seq, digest in digests.items()} if isinstance(digests, dict) else {}
            )
        return erased, rewritten


@dataclass
class LogWriter(LogReader):
    """Appends to the log, inside an exclusive transaction only."""

    _head: _Head = field(default_factory=_Head)

    def next_seq(self) -> int:
        """Sequence number of the entry that comes next in this transaction."""
        if self._head.seq < 0:
            self._head.seq, self._head.hash = self.head()
        return self._head.seq + 1

    def head_hash(self) -> str:
        """Hash of the newest entry, those of this transaction included."""
        self.next_seq()
        return self._head.hash

    def append(
        self, kind: str, at: int, lead_id: str | None, rep_id: str | None, body: object, text: str | None = None
    ) -> int:
        """Sequence number of the new entry: one more than the last, without gaps. `text`: `body` as JSON, if made."""
        seq, previous = self.next_seq(), self._head.hash
        logged_at = self.clock()
        salt, text = secrets.token_hex(16), to_text(body) if text is None else text
        digest = payload_digest(salt, lead_id, rep_id, text)
        entry = link(previous, seq, kind, at, logged_at, digest)
        self.run(_INSERT_LOG, seq, kind, at, logged_at, digest, previous, entry)
        self.run(_INSERT_PAYLOAD, seq, lead_id, rep_id, salt, text)
        self._head.seq, self._head.hash = seq, entry
        return seq


@dataclass(frozen=True)
class _Row:
    """A log row joined with its payload, in the order of the query's columns."""

    seq: int
    kind: str
    at: int
    logged_at: int
    digest: str
    previous: str
    hash: str
    lead_id: str | None
    rep_id: str | None
    salt: str | None
    body: str | None


def _fault(row: _Row, expected: int, previous: str, erased: set[int], rewritten: Mapping[int, str]) -> str:
    if row.seq != expected:
        return message("log.gap", entry=expected, next=row.seq)
    if row.previous != previous:
        return message("log.order")
    if link(previous, row.seq, row.kind, row.at, row.logged_at, row.digest) != row.hash:
        return message("log.changed")
    if row.body is None or row.salt is None:
        return "" if row.seq in erased else message("log.gone")
    if payload_digest(row.salt, row.lead_id, row.rep_id, row.body) != rewritten.get(row.seq, row.digest):
        return message("log.payload_changed")
    return ""


def _entry(row: object) -> LogEntry:
    values = row._mapping  # type: ignore[attr-defined]  # noqa: SLF001  # SQLAlchemy's public name
    body = values["body"]
    return LogEntry(
        seq=values["seq"],
        kind=values["kind"],
        at=values["at"],
        logged_at=values["logged_at"],
        lead_id=values["lead_id"],
        rep_id=values["rep_id"],
        body=None if body is None else to_object(body),
    )
