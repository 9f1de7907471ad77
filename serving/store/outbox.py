"""Messages that webhooks still have to deliver: written with the decision or warning they tell of, gone once taken.

A row is one message to one endpoint. It stays until the endpoint has acknowledged it, or until its attempts are used
up: then it is dead, and stays to be seen and sent again by a person. What a message says about the log is not copied:
it is read from the log when it is sent, so that an erased lead is never told of.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select, update

from serving.store import schema
from serving.store.alerts import AlertState, AlertWriter
from serving.store.chain import FEED_KINDS, LogWriter
from serving.store.session import Session, to_object, to_text

WARNING: Final = "warning"
MESSAGE_KINDS: Final = (*FEED_KINDS, WARNING)
_INSERT: Final = (
    "INSERT INTO outbox (message_id, endpoint, kind, seq, body, created_at, next_at, attempts, state, last_error)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, 0, 'waiting', '')"
)
_IDS: Final = 500  # bound values of one statement


@dataclass(frozen=True)
class Subscription:
    """An endpoint by its name in the settings, and the kinds of message it wants."""

    endpoint: str
    kinds: frozenset[str]


@dataclass(frozen=True)
class Message:
    """One message to one endpoint. `seq`: the log entry it tells of, or None where `body` says it all.

    `state`: waiting or dead; `attempts`: how often it was tried; times in microseconds UTC.
    """

    message_id: str
    endpoint: str
    kind: str
    seq: int | None
    body: dict[str, object] | None
    created_at: int
    next_at: int
    attempts: int
    state: str
    last_error: str


@dataclass
class OutboxReader(Session):
    """Reads messages that are not delivered yet."""

    def messages(self, *, endpoint: str | None = None, state: str | None = None, limit: int = 100) -> list[Message]:
        """Messages not delivered, the oldest first, of one endpoint and state where given."""
        table = schema.outbox
        query = select(table)
        if endpoint is not None:
            query = query.where(table.c.endpoint == endpoint)
        if state is not None:
            query = query.where(table.c.state == state)
        query = query.order_by(table.c.created_at, table.c.seq, table.c.message_id).limit(limit)
        return [_message(row) for row in self.connection.execute(query).mappings()]

    def message_counts(self) -> dict[tuple[str, str], int]:
        """Messages not delivered, by (endpoint, state)."""
        table = schema.outbox.c
        query = select(table.endpoint, table.state, func.count()).group_by(table.endpoint, table.state)
        return {(row[0], row[1]): row[2] for row in self.connection.execute(query)}

    def has_due(self, endpoint: str, now: int) -> bool:
        """Whether a message to the endpoint is to be tried at `now`; asked often, so that nobody writes in vain."""
        query = "SELECT 1 FROM outbox WHERE endpoint = ? AND state = 'waiting' AND next_at <= ? LIMIT 1"
        return bool(self.run(query, endpoint, now))


@dataclass
class OutboxWriter(LogWriter, AlertWriter, OutboxReader):
    """Writes messages beside what they tell of, inside an exclusive transaction only."""

    subscriptions: tuple[Subscription, ...] = ()

    def append(
        self, kind: str, at: int, lead_id: str | None, rep_id: str | None, body: object, text: str | None = None
    ) -> int:
        """Sequence number of the new log entry; endpoints that want its kind get a message about it."""
        seq = super().append(kind, at, lead_id, rep_id, body, text)
        for one in self.subscriptions:
            if kind in one.kinds:
                self._put(one.endpoint, kind, seq, None)
        return seq

    def sync_alerts(
        self,
        warning_ids: Collection[str],
        *,
        now: int,
        documents: Callable[[], Mapping[str, Mapping[str, object]]] | None = None,
    ) -> dict[str, AlertState]:
        """As `AlertWriter.sync_alerts`; endpoints that want warnings are told which opened and which are resolved.

        `documents`: what to say of each warning, by id; asked only where there is somebody to tell.
        """
        wanting = [one for one in self.subscriptions if WARNING in one.kinds]
        before = self.alerts() if wanting else {}
        states = super().sync_alerts(warning_ids, now=now)
        changed = [
            state
            for key, state in sorted(states.items())
            if (old := before.get(key)) is None or (old.status, old.opened_at) != (state.status, state.opened_at)
        ]
        if not wanting or not changed:
            return states
        said = documents() if documents is not None else {}
        for state in changed:
            body = {**said.get(state.warning_id, {"id": state.warning_id}), "status": state.status, "at": now}
            for one in wanting:
                self._put(one.endpoint, WARNING, None, to_text(body))
        return states

    def _put(self, endpoint: str, kind: str, seq: int | None, body: str | None) -> None:
        now = self.clock()
        self.run(_INSERT, f"msg_{secrets.token_hex(16)}", endpoint, kind, seq, body, now, now)

    def claim_messages(self, endpoint: str, *, now: int, until: int, limit: int) -> list[Message]:
        """At most `limit` messages due at `now`, the oldest first, which nobody else gets before `until`.

        The attempt counts from here: one that dies on the way is tried again once `until` has passed.
        """
        table = schema.outbox
        query = (
            select(table)
            .where(table.c.endpoint == endpoint, table.c.state == "waiting", table.c.next_at <= now)
            .order_by(table.c.next_at, table.c.seq, table.c.message_id)
            .limit(min(limit, _IDS))
        )
        found = [_message(row) for row in self.connection.execute(query).mappings()]
        ids = [one.message_id for one in found]
        if ids:
            taken = update(table).where(table.c.message_id.in_(ids))
            self.connection.execute(taken.values(next_at=until, attempts=table.c.attempts + 1))
        return found

    def drop_message(self, message_id: str) -> None:
        """Forget a message: it was acknowledged, or what it told of was erased."""
        self.run("DELETE FROM outbox WHERE message_id = ?", message_id)

    def put_off(self, message_id: str, *, next_at: int, why: str) -> None:
        """Try the message again at `next_at`."""
        self.run("UPDATE outbox SET next_at = ?, last_error = ? WHERE message_id = ?", next_at, why, message_id)

    def bury(self, message_id: str, *, why: str) -> None:
        """Try the message no more, and keep it for people to see."""
        self.run("UPDATE outbox SET state = 'dead', last_error = ? WHERE message_id = ?", why, message_id)

    def revive(self, endpoint: str | None = None) -> int:
        """Number of dead messages, of one endpoint where given, that are to be tried again from the start."""
        table = schema.outbox
        change = update(table).where(table.c.state == "dead")
        if endpoint is not None:
            change = change.where(table.c.endpoint == endpoint)
        return self.connection.execute(change.values(state="waiting", attempts=0, next_at=self.clock())).rowcount


def _message(row: Mapping[Any, Any]) -> Message:
    values = dict(row)
    body = values["body"]
    return Message(**{**values, "body": None if body is None else to_object(str(body))})
