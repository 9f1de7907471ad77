"""How a browser shows who it is: a signed session instead of a key, and tokens that tie a form to its reader.

A session names a key by its id and holds until it expires or the key is revoked; the key itself is never kept. The
secret that signs lies in the home folder, so that all workers of one home take each other's sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from features.messages import message
from features.moments import HOUR, SECOND
from serving.http.problems import Problem
from serving.http.security import SESSION_COOKIE, SESSION_PREFIX, Principal
from serving.store import ApiKey, Store

SESSION_HOURS: Final = 12
_FORM_HOURS: Final = 12
_FILE: Final = "session.secret"
_SESSION: Final = re.compile(r"fls_([0-9a-f]{12})_([0-9]{1,15})_([0-9a-f]{64})")
_TOKEN: Final = re.compile(r"([0-9]{1,15})\.([0-9a-f]{64})")


@dataclass(frozen=True)
class Signer:
    """Makes and checks sessions and form tokens. `now` gives the wall time in microseconds UTC."""

    secret: bytes
    now: Callable[[], int]

    def session(self, key_id: str) -> str:
        """A session of the key, worth something for `SESSION_HOURS`."""
        until = (self.now() + SESSION_HOURS * HOUR) // SECOND
        return f"fls_{key_id}_{until}_{self._mac('session', key_id, str(until))}"

    def key_of(self, session: str) -> str | None:
        """The id of the key that a session stands for; None where it was not made here or is over."""
        parts = _SESSION.fullmatch(session)
        if parts is None or not self._holds(parts.group(2), parts.group(3), "session", parts.group(1)):
            return None
        return parts.group(1)

    def form_token(self, principal: Principal | None) -> str:
        """A token for the forms of one reader's pages."""
        until = str((self.now() + _FORM_HOURS * HOUR) // SECOND)
        return f"{until}.{self._mac('form', *_identity(principal), until)}"

    def check_form(self, principal: Principal | None, token: str) -> None:
        """Problem 403 where the token is not this reader's, or too old."""
        parts = _TOKEN.fullmatch(token)
        if parts is None or not self._holds(parts.group(1), parts.group(2), "form", *_identity(principal)):
            raise Problem(403, message("form.stale"))

    def _holds(self, until: str, mac: str, *said: str) -> bool:
        return hmac.compare_digest(mac, self._mac(*said, until)) and int(until) * SECOND > self.now()

    def _mac(self, *said: str) -> str:
        # Each part with its length, so that no two lists of parts sound alike.
        told = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in said)
        return hmac.new(self.secret, told, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class SessionKeyring:
    """The store's keys, and the sessions that stand for them."""

    store: Store
    signer: Signer

    def has_keys(self) -> bool:
        """Whether a key was ever made."""
        return self.store.has_keys()

    def find_key(self, key: str) -> ApiKey | None:
        """The key that `key` is or, being a session, stands for; None where unknown, over or revoked."""
        if not key.startswith(SESSION_PREFIX):
            return self.store.find_key(key)
        key_id = self.signer.key_of(key)
        if key_id is None:
            return None
        with self.store.read() as view:
            return next((one for one in view.api_keys() if one.key_id == key_id and one.revoked_at is None), None)


def read_secret(home: Path) -> bytes:
    """The home's secret, made at first use and readable by its owner only; a passing one where it cannot be kept."""
    path = home / _FILE
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        found = path.read_bytes()
        return found if len(found) >= 32 else secrets.token_bytes(32)
    except OSError:
        return secrets.token_bytes(32)
    made = secrets.token_bytes(32)
    with os.fdopen(handle, "wb") as file:
        file.write(made)
    return made


def session_cookie(value: str, *, secure: bool) -> str:
    """The Set-Cookie header that gives a session, or takes it away where the value is empty."""
    age = SESSION_HOURS * 3600 if value else 0
    parts = [f"{SESSION_COOKIE}={value}", "Path=/", f"Max-Age={age}", "HttpOnly", "SameSite=Strict"]
    return "; ".join([*parts, "Secure"] if secure else parts)


def _identity(principal: Principal | None) -> tuple[str, str]:
    return ("", "") if principal is None else (principal.role, principal.subject)
