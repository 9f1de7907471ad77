"""API keys: shown once, kept as a salted hash; and settings that people switch while the service runs.

A key is `fl_<id>_<secret>`. The secret has 256 random bits, so a plain salted SHA-256 cannot be searched; a slow hash
would only cost every request.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select, update

from features.errors import RequestError
from features.messages import message
from serving.store import schema
from serving.store.chain import LogWriter
from serving.store.session import Session, to_text

ROLES: Final = ("router", "rep", "manager", "hr", "scientist", "admin")
_FORM = re.compile(r"fl_([0-9a-f]{12})_([0-9A-Za-z_-]{43})")


@dataclass(frozen=True)
class ApiKey:
    """A key without its secret. `subject`: a rep_id for `rep`, a manager_id or team_id for `manager`, else a name."""

    key_id: str
    role: str
    subject: str
    created_at: int
    revoked_at: int | None


@dataclass
class KeyReader(Session):
    """Reads keys and settings."""

    def has_keys(self) -> bool:
        """Whether a key was ever made. Revoking the last one must not open the service to all."""
        return bool(self.connection.execute(select(func.count()).select_from(schema.api_keys)).scalar())

    def api_keys(self) -> list[ApiKey]:
        """All keys, oldest first, revoked ones too."""
        table = schema.api_keys
        found = self.connection.execute(select(table).order_by(table.c.created_at, table.c.key_id))
        return [ApiKey(row.key_id, row.role, row.subject, row.created_at, row.revoked_at) for row in found]

    def find_key(self, key: str) -> ApiKey | None:
        """The key that `key` is, unless revoked or unknown."""
        parts = _FORM.fullmatch(key)
        if parts is None:
            return None
        row = self.connection.execute(select(schema.api_keys).where(schema.api_keys.c.key_id == parts.group(1))).first()
        if row is None or row.revoked_at is not None:
            return None
        if not hmac.compare_digest(row.hash, _hash(row.salt, parts.group(2))):
            return None
        return ApiKey(row.key_id, row.role, row.subject, row.created_at, None)

    def setting(self, name: str) -> object | None:
        """A setting's JSON value, or None where it was never made."""
        text = self.connection.execute(
            select(schema.settings.c.value).where(schema.settings.c.name == name)
        ).scalar_one_or_none()
        return None if text is None else json.loads(text)

    def settings(self, prefix: str = "") -> dict[str, object]:
        """Settings by name, of those that start with `prefix`."""
        found = self.connection.execute(select(schema.settings.c.name, schema.settings.c.value))
        return {name: json.loads(value) for name, value in found if name.startswith(prefix)}


@dataclass
class KeyWriter(LogWriter, KeyReader):
    """Writes keys and settings, inside an exclusive transaction only; all of it is logged."""

    def add_key(self, role: str, subject: str) -> str:
        """The new key, which nobody can show again."""
        if role not in ROLES:
            raise RequestError(message("key.role", role=role, roles=tuple(ROLES)))
        if not subject:
            raise RequestError(message("key.subject"))
        key_id, secret, salt, now = secrets.token_hex(6), secrets.token_urlsafe(32), secrets.token_hex(16), self.clock()
        self.connection.execute(
            schema.api_keys.insert().values(
                key_id=key_id, salt=salt, hash=_hash(salt, secret), role=role, subject=subject, created_at=now
            )
        )
        self.append("key_added", now, None, None, {"key_id": key_id, "role": role, "subject": subject})
        return f"fl_{key_id}_{secret}"

    def revoke_key(self, key_id: str) -> None:
        """Make a key worthless at once. RequestError where there is no such key; twice is no error."""
        table = schema.api_keys
        if self.connection.execute(select(table.c.key_id).where(table.c.key_id == key_id)).first() is None:
            raise RequestError(message("key.unknown", key=key_id))
        now = self.clock()
        self.connection.execute(
            update(table).where(table.c.key_id == key_id, table.c.revoked_at.is_(None)).values(revoked_at=now)
        )
        self.append("key_revoked", now, None, None, {"key_id": key_id})

    def set_setting(self, name: str, value: object, *, by: str) -> None:
        """Keep a JSON value under `name`; None takes the setting away."""
        table, now = schema.settings, self.clock()
        self.connection.execute(table.delete().where(table.c.name == name))
        if value is not None:
            self.connection.execute(
                table.insert().values(name=name, value=to_text(value), changed_at=now, changed_by=by)
            )
        self.append("setting", now, None, None, {"name": name, "value": value, "by": by})


def _hash(salt: str, secret: str) -> str:
    return hashlib.sha256(bytes.fromhex(salt) + secret.encode()).hexdigest()
