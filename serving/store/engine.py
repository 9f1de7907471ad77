"""The store: one database, many readers, one writer at a time.

SQLite runs in WAL mode with synchronous=FULL, so a commit that returned survives `kill -9` and power loss; writers
begin with BEGIN IMMEDIATE. PostgreSQL writers take one advisory lock that ends with their transaction. Either way what
a writer reads cannot change before it commits, which is what capacity and idempotency rest on.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from features.messages import message
from serving.store import schema
from serving.store.alerts import AlertReader
from serving.store.chain import GENESIS, LogReader
from serving.store.decisions import DecisionReader
from serving.store.erasure import ErasureWriter
from serving.store.events import EventReader, EventWriter
from serving.store.keys import ApiKey, KeyReader, KeyWriter
from serving.store.outbox import OutboxReader, OutboxWriter, Subscription
from serving.store.receipts import ReceiptReader, ReceiptWriter
from serving.store.session import Clock, StoreBusyError, StoreError, StoreUnavailableError, driven
from serving.store.shadow import ShadowReader, ShadowWriter

_WAIT_SECONDS: Final = 30.0
_ADVISORY_KEY: Final = 0x6661_6972_6C65_6164  # "fairlead"
_SQLITE_WORDS: Final = {  # what SQLite says where an operator can do something about it
    "database or disk is full": "sqlite.full",
    "disk I/O error": "sqlite.disk",
    "unable to open database file": "sqlite.closed",
    "attempt to write a readonly database": "sqlite.read_only",
    "file is not a database": "sqlite.foreign",
    "database disk image is malformed": "sqlite.malformed",
}
_BUSY_CODES: Final = ("55P03", "57014", "40001", "40P01")  # lock and statement timeouts, serialisation, deadlock


# What every decision asks first, in one go.
_PULSE: Final = (
    "SELECT (SELECT MAX(seq) FROM events), (SELECT value FROM settings WHERE name = 'rule_mode'), l.seq, l.hash"
    " FROM (SELECT 1 AS one) AS x LEFT JOIN (SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1) AS l ON 1 = 1"
)


@dataclass(frozen=True)
class Pulse:
    """How far the store has come: newest event batch, the rule-mode setting, and the head of the log."""

    last_event: int
    rule_mode: object
    seq: int
    head: str


@dataclass
class Reader(LogReader, AlertReader, EventReader, KeyReader, ShadowReader, OutboxReader, ReceiptReader, DecisionReader):
    """One consistent view of the store: everything read through it is as of the same moment."""

    def pulse(self) -> Pulse:
        """How far the store has come."""
        last, mode, seq, head = self.run(_PULSE)[0]
        return Pulse(last or 0, None if mode is None else json.loads(mode), seq or 0, head or GENESIS)


@dataclass
class Transaction(OutboxWriter, EventWriter, KeyWriter, ShadowWriter, ReceiptWriter, ErasureWriter, Reader):
    """The exclusive writer: commits when the block ends, leaves nothing behind when it raises."""

    def pulse(self) -> Pulse:
        """How far the store has come; later entries are chained onto this head."""
        found = super().pulse()
        if self._head.seq < 0:
            self._head.seq, self._head.hash = found.seq, found.head
        return found


class Store:
    """Decisions, events, acknowledgements and keys in SQLite or PostgreSQL.

    Threads may share one store. `clock` gives the wall time in microseconds UTC. `subscriptions`: endpoints that get
    a message about what a transaction writes, in that transaction.
    """

    subscriptions: tuple[Subscription, ...] = ()

    def __init__(self, where: Path | str, *, clock: Clock | None = None, wait_seconds: float = _WAIT_SECONDS) -> None:
        self.url = store_url(where)
        self._clock = clock or _wall_clock
        self._wait_seconds = wait_seconds
        self._writer = threading.Lock()
        self._writing = threading.local()
        self._engine = _engine(self.url, wait_seconds)
        self._write_engine = self._engine.execution_options(fairlead_writer=True)
        self._kept: Connection | None = None
        try:
            self._migrate()
        except BaseException:
            self._engine.dispose()
            raise

    @classmethod
    def open(cls, url: str | Path, *, clock: Clock | None = None, wait_seconds: float = _WAIT_SECONDS) -> Store:
        """The store at a path, a `sqlite:///` or a `postgresql://` URL; created where there is none."""
        return cls(url, clock=clock, wait_seconds=wait_seconds)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    def close(self) -> None:
        """Close all connections; SQLite folds its write-ahead log into the file."""
        with self._writer:
            self._let_go()
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """A consistent view; writers are not kept waiting."""
        with _translated(), self._engine.connect() as connection, connection.begin():
            yield Reader(connection, self._clock)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """The exclusive writer, over all threads and processes; committed and durable once the block has ended.

        StoreBusyError after `wait_seconds` of waiting; RuntimeError when one thread opens a second inside the first.
        """
        if getattr(self._writing, "now", False):
            raise RuntimeError("a store transaction is open in this thread already; pass it on instead")
        # Threads queue here: SQLite's own waiting sleeps in steps and lets late comers overtake.
        if not self._writer.acquire(timeout=self._wait_seconds):
            raise StoreBusyError(message("store.waited", seconds=self._wait_seconds))
        self._writing.now = True
        try:
            with _translated(), self._turn() as connection:
                yield Transaction(connection, self._clock, subscriptions=self.subscriptions)
        finally:
            self._writing.now = False
            self._writer.release()

    @contextmanager
    def _turn(self) -> Iterator[Connection]:
        """The writer's connection inside a transaction."""
        if self.dialect != "sqlite":
            with self._write_engine.connect() as connection, connection.begin():
                yield connection
            return
        # One connection is kept for writing, and the driver itself begins and commits: SQLAlchemy's own account of
        # a transaction costs more than the transaction, and is opened only by statements that go through it.
        if self._kept is None:
            self._kept = self._write_engine.connect()
        kept = self._kept
        try:
            cursor = kept.connection.cursor()
            driven(kept, cursor, "BEGIN IMMEDIATE")
            yield kept
            if kept.in_transaction():
                kept.commit()
            else:
                driven(kept, cursor, "COMMIT")
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        """Give the writer's connection back; what it has not committed is rolled back."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def copy_to(self, path: Path) -> None:
        """A whole copy as of one moment in a SQLite file that is not there yet, while others read and write.

        It is a backup and can be opened as a store.
        """
        if path.exists():
            raise StoreError(message("store.copy_there", path=str(path)))
        if self.dialect == "sqlite":
            with _translated(), self._engine.connect() as connection:
                raw = connection.connection.driver_connection
                assert isinstance(raw, sqlite3.Connection)
                with closing(sqlite3.connect(path)) as copy:
                    raw.backup(copy)
            return
        with self.read() as view, Store(path, clock=self._clock) as copied, copied.transaction() as tx:
            for table in schema.METADATA.sorted_tables:
                if table is schema.schema_version:
                    continue
                rows = view.connection.execution_options(yield_per=1_000).execute(select(table))
                for part in rows.mappings().partitions():
                    tx.connection.execute(table.insert(), [dict(row) for row in part])

    def scrub(self) -> None:
        """Fold SQLite's write-ahead log into the file and empty it, so that no erased page stays behind.

        StoreBusyError where a reader holds an older view. PostgreSQL frees erased rows by its own vacuum.
        """
        if self.dialect != "sqlite":
            return
        with _translated(), self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            busy = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise StoreBusyError(message("store.reader"))

    def find_key(self, key: str) -> ApiKey | None:
        """The key that `key` is, unless revoked or unknown."""
        with self.read() as view:
            return view.find_key(key)

    def has_keys(self) -> bool:
        """Whether a key was ever made."""
        with self.read() as view:
            return view.has_keys()

    def _migrate(self) -> None:
        with _translated(), self._engine.connect() as connection, connection.begin():
            current = schema.found_version(connection) == schema.VERSION
        if not current:
            with self.transaction() as tx:
                schema.migrate(tx.connection, self._clock())


def store_url(where: Path | str) -> URL:
    """SQLAlchemy URL of a path, `sqlite:///...`, `postgres://...` or `postgresql://...` (read with psycopg)."""
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite", database=str(Path(where).absolute()))
    try:
        url = make_url(where.replace("postgres://", "postgresql://", 1) if where.startswith("postgres://") else where)
    except ArgumentError:
        raise StoreError(message("store.no_url")) from None
    if url.drivername == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.drivername == "postgresql+psycopg":
        return url
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise StoreError(message("store.in_memory"))
        return URL.create("sqlite", database=str(Path(url.database).absolute()))
    raise StoreError(message("store.backend", kind=url.get_backend_name()))


def _wall_clock() -> int:
    return time.time_ns() // 1_000


def _engine(url: URL, wait_seconds: float) -> Engine:
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, wait_seconds)
    wait = int(wait_seconds * 1_000)
    asked = url.query.get("options", ())  # the URL's own (a search_path, say) must survive ours
    given = asked if isinstance(asked, str) else " ".join(asked)
    options = f"{given} -c lock_timeout={wait} -c synchronous_commit=on".strip()
    engine = create_engine(
        url, connect_args={"options": options, "connect_timeout": 10}, pool_pre_ping=True, pool_size=10, max_overflow=20
    )

    @event.listens_for(engine, "begin")
    def take_turn(connection: Connection) -> None:
        if connection.get_execution_options().get("fairlead_writer"):
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_KEY})
        else:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")

    return engine


def _sqlite(url: URL, wait_seconds: float) -> Engine:
    assert url.database is not None
    try:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailableError(message("store.no_folder", why=str(error))) from error
    engine = create_engine(url, connect_args={"timeout": wait_seconds}, pool_size=10, max_overflow=20)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
        _wal(connection, wait_seconds)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get("fairlead_writer"):  # a writer has begun already
            connection.exec_driver_sql("BEGIN")

    return engine


def _wal(connection: sqlite3.Connection, wait_seconds: float) -> None:
    # Turning WAL on does not wait for other openers as statements do.
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise StoreUnavailableError(message("store.no_wal"))
        return


@contextmanager
def _translated() -> Iterator[None]:
    """Database errors by what a caller can do about them."""
    try:
        yield
    except PoolTimeoutError as error:
        raise StoreBusyError(message("store.connections")) from error
    except OperationalError as error:
        if _is_busy(error):
            raise StoreBusyError(message("store.busy")) from error
        raise StoreUnavailableError(message("store.unusable", why=_first_line(error))) from error
    except DBAPIError as error:
        raise StoreUnavailableError(message("store.refused", why=_first_line(error))) from error


def _is_busy(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.OperationalError):
        return error.orig.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
    return getattr(error.orig, "sqlstate", None) in _BUSY_CODES


def _first_line(error: DBAPIError) -> str:
    first = str(error.orig).strip().split("\n")[0]
    code = _SQLITE_WORDS.get(first)
    return first if code is None else message(code)
