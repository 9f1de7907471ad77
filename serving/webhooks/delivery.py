"""Delivers the store's messages to their endpoints, in threads of their own: no decision waits for anybody else.

Each message is claimed in a short transaction, sent outside of any, and dropped once the endpoint has answered with
2xx. A process that dies in between leaves the message, which is sent again under the same id: at least once, so
receivers drop what they have seen. Other answers and silence are tried again, ever more seldom, then the message is
dead and waits for a person. Redirects are not followed and bodies are not read: an answer is its status.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from features import moments
from features.errors import FairleadError
from features.moments import SECOND
from serving.store import LogEntry, Message, Store
from serving.webhooks.endpoints import Endpoint
from serving.webhooks.signing import sign

_LOG = logging.getLogger("fairlead")
MOST_ATTEMPTS: Final = 12
TIMEOUT_SECONDS: Final = 10.0
_FIRST_SECONDS: Final = 5.0
_LONGEST_SECONDS: Final = 4 * 3_600.0
_AT_ONCE: Final = 20
_LEASE: Final = (_AT_ONCE + 1) * 3 * int(TIMEOUT_SECONDS) * SECOND  # longer than a claim can take to send
_IDLE_SECONDS: Final = 0.5
_AFTER_FAULT_SECONDS: Final = 5.0
_DECISION_FIELDS: Final = (
    "status", "policy", "win_probability", "expected_value", "capacity_price", "propensity", "model_version",
    "policy_version",
)  # fmt: skip
_CHANGE_FIELDS: Final = ("from_rep_id", "by", "reason", "forced")

Send = Callable[[str, Mapping[str, str], bytes], int]
"""Status of the answer to a POST of (url, headers, body); OSError or HTTPException where none came."""


def pause_seconds(message_id: str, attempt: int) -> float:
    """Seconds after failed attempt 1, 2, ...: five, then fourfold each time, at most four hours, a half more or less.

    The jitter is drawn from the message's id, so that messages that failed together do not come back together.
    """
    drawn = int.from_bytes(hashlib.sha256(f"{message_id}:{attempt}".encode()).digest()[:4], "big") / 2**32
    return min(_FIRST_SECONDS * 4.0 ** (attempt - 1), _LONGEST_SECONDS) * (0.5 + drawn)


def post(url: str, headers: Mapping[str, str], body: bytes) -> int:
    """Status of the answer. No redirect is followed, no proxy asked, no body read."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, dict(headers))
        return connection.getresponse().status
    finally:
        connection.close()


def message_body(message: Message, entry: LogEntry | None, zone: str) -> bytes | None:
    """JSON of a message, the same at every attempt; None where what it tells of was erased."""
    if message.seq is None:
        said = dict(message.body or {})
        at, kind = said.pop("at", message.created_at), f"warning.{said.get('status', 'open')}"
        return _json(kind, int(str(at)), said, zone)
    if entry is None or entry.body is None:
        return None
    fields = _DECISION_FIELDS if entry.kind in ("decision", "release") else _CHANGE_FIELDS
    about = {"seq": entry.seq, "kind": entry.kind, "lead_id": entry.lead_id, "rep_id": entry.rep_id}
    return _json(entry.kind, entry.at, {**about, **{key: entry.body.get(key) for key in fields}}, zone)


def _json(kind: str, at: int, data: Mapping[str, object], zone: str) -> bytes:
    document = {"type": kind, "timestamp": moments.iso(at, zone), "data": data}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


@dataclass
class Deliveries:
    """Sends the messages of a store to its endpoints. `watch` is called now and then: it looks for new warnings."""

    store: Store
    endpoints: tuple[Endpoint, ...]
    zone: str
    now: Callable[[], int]
    watch: Callable[[], Any] | None = None
    watch_seconds: float = 300.0
    send: Send = post
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)  # (endpoint, delivered | failed), of this process
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, stop: threading.Event) -> None:
        """Deliver in the background until `stop`."""
        for endpoint in self.endpoints:
            self._begin(f"fairlead-webhook-{endpoint.name}", self._run, endpoint, stop)
        if self.watch is not None and any("warning" in one.kinds for one in self.endpoints):
            self._begin("fairlead-webhook-warnings", self._run_watch, stop)

    def _begin(self, name: str, run: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=run, args=given, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, timeout: float) -> None:
        """Wait so many seconds for the threads to end, so that the store may be closed."""
        until = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))

    def _run(self, endpoint: Endpoint, stop: threading.Event) -> None:
        pause = 0.0
        while not stop.wait(pause):
            try:
                pause = 0.0 if self.deliver(endpoint, stop) else _IDLE_SECONDS
            except Exception:  # noqa: BLE001  # whatever goes wrong, the next message must still be sent
                pause = _AFTER_FAULT_SECONDS
                if not stop.is_set():
                    _LOG.exception("messages to %s could not be sent; tried again in a moment", endpoint.name)

    def _run_watch(self, stop: threading.Event) -> None:
        assert self.watch is not None
        while not stop.wait(self.watch_seconds):
            try:
                self.watch()
            except FairleadError as error:
                _LOG.warning("warnings could not be looked at: %s", error)
            except Exception:  # noqa: BLE001  # one bad look must not end all later ones
                _LOG.exception("warnings could not be looked at")

    def deliver(self, endpoint: Endpoint, stop: threading.Event | None = None) -> int:
        """Number of messages tried now: those due, the oldest first, a few at a time."""
        now = self.now()
        with self.store.read() as view:
            if not view.has_due(endpoint.name, now):
                return 0
        with self.store.transaction() as tx:
            claimed = tx.claim_messages(endpoint.name, now=now, until=now + _LEASE, limit=_AT_ONCE)
        outcomes: list[tuple[Message, str]] = []
        for message in claimed:
            if stop is not None and stop.is_set():
                break  # what is claimed and not sent comes back when its lease ends
            outcomes.append((message, self._attempt(endpoint, message)))
        self._settle(endpoint, outcomes)
        return len(claimed)

    def _attempt(self, endpoint: Endpoint, message: Message) -> str:
        """Why the message was not taken; "" where it was."""
        with self.store.read() as view:
            found = view.log_after(message.seq - 1, 1) if message.seq is not None else []
        entry = found[0] if found and found[0].seq == message.seq else None
        body = message_body(message, entry, self.zone)
        if body is None:
            return ""
        stamp = self.now() // SECOND
        headers = {
            "content-type": "application/json",
            "user-agent": "Fairlead",
            "webhook-id": message.message_id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": sign(endpoint.secret, message.message_id, stamp, body),
        }
        try:
            status = self.send(endpoint.url, headers, body)
        except (OSError, http.client.HTTPException) as error:
            return f"no answer: {type(error).__name__}"
        return "" if 200 <= status < 300 else f"answered {status}"

    def _settle(self, endpoint: Endpoint, outcomes: list[tuple[Message, str]]) -> None:
        with self.store.transaction() as tx:
            for message, why in outcomes:
                attempt = message.attempts + 1
                if not why:
                    tx.drop_message(message.message_id)
                elif attempt >= MOST_ATTEMPTS or why == "answered 410":  # Gone: the endpoint wants no more
                    tx.bury(message.message_id, why=why)
                    _LOG.error("a message to %s is dead after %d attempts: %s", endpoint.name, attempt, why)
                else:
                    after = int(pause_seconds(message.message_id, attempt) * SECOND)
                    tx.put_off(message.message_id, next_at=self.now() + after, why=why)
        for _, why in outcomes:
            self.sent[endpoint.name, "failed" if why else "delivered"] += 1
