"""The tables of the store, and how an older store becomes a current one.

The log is append-only: `log` holds the chain of digests, `payloads` what was said, which alone can be erased.
Times are int64 microseconds UTC; JSON is text, so that SQLite and PostgreSQL keep the same bytes.
"""

from __future__ import annotations

import json
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
    inspect,
    select,
    text,
    update,
)

from features.errors import FairleadError
from features.messages import message

VERSION: Final = 4

# SQLite makes only INTEGER PRIMARY KEY the row's own id; BIGINT would cost a second tree.
_BIG = BigInteger().with_variant(Integer(), "sqlite")

METADATA: Final = MetaData()

schema_version = Table(
    "schema_version",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("applied_at", _BIG, nullable=False),
)

log = Table(
    "log",
    METADATA,
    Column("seq", _BIG, primary_key=True, autoincrement=False),
    Column("kind", String(20), nullable=False),
    Column("at", _BIG, nullable=False),
    Column("logged_at", _BIG, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("log_by_moment", "at"),
)

payloads = Table(
    "payloads",
    METADATA,
    Column("seq", _BIG, ForeignKey("log.seq"), primary_key=True, autoincrement=False),
    Column("lead_id", Text),
    Column("rep_id", Text),
    Column("salt", String(32), nullable=False),
    Column("body", Text, nullable=False),
    Index("payloads_by_lead", "lead_id", "seq"),
)

decisions = Table(
    "decisions",
    METADATA,
    Column("lead_id", Text, primary_key=True),
    Column("seq", _BIG, nullable=False, unique=True),
    Column("last_seq", _BIG, nullable=False),
    Column("decided_at", _BIG, nullable=False),
    Column("week", String(8), nullable=False),
    Column("status", String(8), nullable=False),
    Column("policy", String(40), nullable=False),
    Column("rep_id", Text),
    Column("owner_rep_id", Text),
    Column("owned_at", _BIG),
    Column("overridden", Boolean, nullable=False),
    Column("record", Text, nullable=False),
    Column("lead", Text, nullable=False),
    Column("answers", Text, nullable=False),
    Column("account_id", Text, nullable=False, server_default=""),
    Index("decisions_by_status", "status", "decided_at"),
    Index("decisions_by_owner", "owner_rep_id", "seq"),
    Index("decisions_by_account", "account_id", "owned_at"),
)

placements = Table(
    "placements",
    METADATA,
    Column("week", String(8), primary_key=True),
    Column("rep_id", Text, primary_key=True),
    Column("lead_id", Text, primary_key=True),
    Column("seq", _BIG, nullable=False),
    Index("placements_by_lead", "lead_id"),
)

events = Table(
    "events",
    METADATA,
    Column("seq", _BIG, primary_key=True, autoincrement=False),
    Column("table_name", String(40), nullable=False),
    Column("n_rows", Integer, nullable=False),
    Column("rows", Text, nullable=False),
    Column("received_at", _BIG, nullable=False),
    Column("received_from", Text, nullable=False),
)

alerts = Table(
    "alerts",
    METADATA,
    Column("warning_id", Text, primary_key=True),
    Column("status", String(12), nullable=False),
    Column("opened_at", _BIG, nullable=False),
    Column("acknowledged_at", _BIG),
    Column("acknowledged_by", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("resolved_at", _BIG),
    Index("alerts_by_status", "status"),
)

api_keys = Table(
    "api_keys",
    METADATA,
    Column("key_id", String(16), primary_key=True),
    Column("salt", String(32), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("role", String(20), nullable=False),
    Column("subject", Text, nullable=False),
    Column("created_at", _BIG, nullable=False),
    Column("revoked_at", _BIG),
)

settings = Table(
    "settings",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("changed_at", _BIG, nullable=False),
    Column("changed_by", Text, nullable=False),
)


# Beside the chain, not in it: what a challenger would have done decides nothing, and the chain is on a decision's path.
shadow_choices = Table(
    "shadow_choices",
    METADATA,
    Column("seq", _BIG, primary_key=True, autoincrement=False),
    Column("challenger", String(80), primary_key=True),
    Column("champion", String(80), nullable=False),
    Column("lead_id", Text, nullable=False),
    Column("decided_at", _BIG, nullable=False),
    Column("result", String(16), nullable=False),
    Column("rep_id", Text),
    Column("would_rep_id", Text),
    Column("body", Text, nullable=False),
    Index("shadow_choices_by_challenger", "challenger", "seq"),
    Index("shadow_choices_by_lead", "lead_id"),
)

# Beside the chain too: a message is gone once its endpoint has taken it.
outbox = Table(
    "outbox",
    METADATA,
    Column("message_id", String(40), primary_key=True),
    Column("endpoint", String(80), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("seq", _BIG),
    Column("body", Text),
    Column("created_at", _BIG, nullable=False),
    Column("next_at", _BIG, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("state", String(8), nullable=False),
    Column("last_error", Text, nullable=False),
    Index("outbox_by_turn", "endpoint", "state", "next_at"),
)

receipts = Table(
    "receipts",
    METADATA,
    Column("source", String(80), primary_key=True),
    Column("message_id", String(200), primary_key=True),
    Column("received_at", _BIG, nullable=False),
    Column("answer", Text, nullable=False),
    Index("receipts_by_moment", "received_at"),
)


class StoreVersionError(FairleadError):
    """The store was written by a newer Fairlead."""


def found_version(connection: Connection) -> int:
    """Version of the store behind `connection`; 0 where there is none yet."""
    if not inspect(connection).has_table(schema_version.name):
        return 0
    return connection.execute(select(func.max(schema_version.c.version))).scalar() or 0


def migrate(connection: Connection, now: int) -> None:
    """Bring the store to `VERSION`; called inside an exclusive transaction, so two openers cannot meet in it.

    Version 3 added `shadow_choices`, version 4 `outbox` and `receipts`: tables of their own, which `create_all` makes.
    """
    found = found_version(connection)
    if found > VERSION:
        raise StoreVersionError(message("store.version", found=found, known=VERSION))
    if found == VERSION:
        return
    if found == 1:
        _add_accounts(connection)
    METADATA.create_all(connection)
    connection.execute(schema_version.insert().values(version=VERSION, applied_at=now))


def _add_accounts(connection: Connection) -> None:
    """Version 2: decisions by account, so that the next lead of an account finds its owner."""
    connection.execute(text("ALTER TABLE decisions ADD COLUMN account_id TEXT NOT NULL DEFAULT ''"))
    for lead_id, lead in connection.execute(select(decisions.c.lead_id, decisions.c.lead)).all():
        account = json.loads(lead).get("account_id")
        if account:
            change = update(decisions).where(decisions.c.lead_id == lead_id)
            connection.execute(change.values(account_id=str(account)))
    connection.execute(text("CREATE INDEX decisions_by_account ON decisions (account_id, owned_at)"))
    connection.execute(text("CREATE INDEX log_by_moment ON log (at)"))
