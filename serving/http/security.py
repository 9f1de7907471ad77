"""Who may do what: one table of rights, callers known by key or by a trusted proxy, and the way a server may be bound.

Without any key every caller has all rights, and then only loopback may reach the service. Once a key was made, every
call but the open ones needs one, for ever: revoking the last key closes the service, it does not open it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from starlette.datastructures import Headers

from features.errors import RequestError
from features.messages import message
from serving.http.problems import Problem
from serving.http.protocol import Keyring
from serving.store import ROLES

# route -> roles. `admin` has every right. A rep sees his own, a manager his team's (serving/http/scoping.py).
ACCESS: Final[Mapping[str, frozenset[str]]] = {
    "assign": frozenset({"router", "hr"}),
    "decisions": frozenset({"router", "rep", "manager", "hr"}),
    "feed": frozenset({"router", "hr"}),
    "override": frozenset({"manager"}),
    "events": frozenset({"router", "hr"}),
    "reload_data": frozenset({"hr"}),
    "forecasts": frozenset({"manager", "hr"}),
    "warnings": frozenset({"rep", "manager", "hr"}),
    "acknowledge": frozenset({"manager", "hr"}),
    "drivers": frozenset({"rep", "manager", "hr"}),
    "models": frozenset({"scientist", "hr"}),
    "reload_models": frozenset({"scientist", "hr"}),
    "experiment": frozenset({"manager", "hr", "scientist"}),
    "group_audit": frozenset({"hr"}),  # protected attributes come in with it
    "rule_mode": frozenset(),
    "decided_at": frozenset(),
    "metrics": frozenset(),
    "start": frozenset(ROLES),  # the start page, which shows each role what it may see
}
# These say nothing about anybody, or guard themselves (/metrics: admin or loopback; webhooks: by their signatures).
OPEN_PATHS: Final = frozenset(
    {
        "/healthz", "/readyz", "/docs", "/docs.css", "/openapi.json", "/metrics", "/pages.css",
        "/noto-sans-sc.woff2", "/sign-in",
        "/v1/webhooks/generic", "/v1/webhooks/hubspot", "/v1/webhooks/salesforce",
    }
)  # fmt: skip
SESSION_COOKIE: Final = "fairlead_session"
SESSION_PREFIX: Final = "fls_"
_CACHED_SECONDS: Final = 1.0

SECURITY_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; form-action 'self'; "
            b"frame-ancestors 'none'; base-uri 'none'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),  # no-referrer: browsers send forms with "Origin: null"
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


@dataclass(frozen=True)
class Principal:
    """Who calls. `open`: no key was ever made, so everybody on this machine has all rights."""

    role: str
    subject: str
    open: bool = False

    def may(self, right: str) -> bool:
        """Whether the role has a right of `ACCESS`."""
        return self.role == "admin" or self.role in ACCESS[right]


@dataclass(frozen=True)
class ProxyTrust:
    """How a reverse proxy that has done OIDC tells who calls. Its secret proves that the headers are its own."""

    secret: str
    secret_header: str = "x-fairlead-proxy-secret"  # noqa: S105  # a header's name
    subject_header: str = "x-forwarded-user"
    role_header: str = "x-forwarded-role"

    def is_shown(self, headers: Headers) -> bool:
        """Whether the proxy's own secret came."""
        return bool(self.secret) and _same(headers.get(self.secret_header, ""), self.secret)

    def principal(self, headers: Headers) -> Principal | None:
        """The caller that the proxy names, or None where the secret or a known role is missing."""
        if not self.is_shown(headers):
            return None
        role, subject = headers.get(self.role_header, ""), headers.get(self.subject_header, "")
        return Principal(role, subject) if role in ROLES and subject else None


@dataclass
class Doorkeeper:
    """Tells who calls, from the headers. Looked-up keys are remembered for a second, so revoking takes that long."""

    keyring: Keyring | None
    proxy: ProxyTrust | None = None
    monotonic: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: dict[str, tuple[float, Principal | None]] = field(default_factory=dict)
    _guarded: tuple[float, bool] = (float("-inf"), False)

    def is_guarded(self) -> bool:
        """Whether callers must show who they are."""
        if self.proxy is not None:
            return True
        if self.keyring is None:
            return False
        when, guarded = self._guarded
        if not guarded and self.monotonic() - when > _CACHED_SECONDS:
            guarded = self.keyring.has_keys()
            self._guarded = (self.monotonic(), guarded)
        return guarded

    def remembered(self, headers: Headers) -> Principal | None:
        """The caller where he can be told without asking the store; None says nothing."""
        if self.proxy is not None:
            return self.proxy.principal(headers)
        now, (when, guarded) = self.monotonic(), self._guarded
        if not guarded:
            fresh = self.keyring is None or now - when <= _CACHED_SECONDS
            return Principal("admin", "local", open=True) if fresh else None
        when, found = self._known.get(shown_key(headers), (float("-inf"), None))
        return found if now - when <= _CACHED_SECONDS else None

    def principal(self, headers: Headers) -> Principal | None:
        """The caller, or None where nobody we know."""
        if not self.is_guarded():
            return Principal("admin", "local", open=True)
        if self.proxy is not None and (found := self.proxy.principal(headers)):
            return found
        key = shown_key(headers)
        return self._lookup(key) if key and self.keyring is not None else None

    def shown_secret(self, headers: Headers) -> str:
        """What the caller shows and may have guessed: a wrong proxy's secret, or a key. Sessions are signed."""
        if self.proxy is not None and (secret := headers.get(self.proxy.secret_header, "")):
            return "" if self.proxy.is_shown(headers) else secret
        key = shown_key(headers)
        return "" if key.startswith(SESSION_PREFIX) else key

    def _lookup(self, key: str) -> Principal | None:
        assert self.keyring is not None
        now = self.monotonic()
        with self._lock:
            when, found = self._known.get(key, (float("-inf"), None))
        if now - when <= _CACHED_SECONDS:
            return found
        api_key = self.keyring.find_key(key)
        principal = None if api_key is None else Principal(api_key.role, api_key.subject)
        with self._lock:
            if len(self._known) >= 1_000:
                self._known.clear()
            self._known[key] = (now, principal)
        return principal


def shown_key(headers: Headers) -> str:
    """The key a caller shows: `X-API-Key`, a bearer token, the password of Basic, or else a browser's session."""
    if key := headers.get("x-api-key", "").strip():
        return key
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode("ascii").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return "" if scheme else _session(headers)


def _session(headers: Headers) -> str:
    for pair in headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == SESSION_COOKIE:
            return value
    return ""


def check_bind(host: str, has_keys: bool) -> None:
    """Nothing where the service may listen on `host`; RequestError where it would stand open to others."""
    if has_keys or is_loopback(host):
        return
    raise RequestError(message("open.bind", host=host))


def is_loopback(host: str) -> bool:
    """Whether an address or name means this machine only. Names other than localhost are not looked up."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def is_local_call(client: str | None, headers: Headers) -> bool:
    """Whether a call comes from this machine itself, and not through a proxy that runs on it. No address: a socket."""
    if "x-forwarded-for" in headers or "forwarded" in headers:
        return False
    return client is None or is_loopback(client)


def check_host(headers: Headers) -> None:
    """Refuse names other than loopback's: a page elsewhere that points its own name at 127.0.0.1 must get nothing."""
    host = headers.get("host", "")
    name = host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    if not is_loopback(name):
        raise Problem(403, message("open.localhost"))


def check_origin(method: str, headers: Headers) -> None:
    """Refuse changes that a page of another site sends through somebody's browser."""
    if method in {"GET", "HEAD", "OPTIONS"}:
        return
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host", ""):
        raise Problem(403, message("form.other_site"))
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Problem(403, message("form.other_site"))


def require(principal: Principal | None, right: str) -> Principal:
    """The caller, who has the right; Problem 401 for nobody, 403 for somebody without it."""
    if principal is None:
        raise unauthenticated()
    if not principal.may(right):
        raise Problem(403, message("scope.role", role=str(principal.role)))
    return principal


def unauthenticated(html: bool = False) -> Problem:
    """Problem 401. Browsers are told to ask for the key as a password."""
    challenge = 'Basic realm="Fairlead", charset="UTF-8"' if html else 'Bearer realm="Fairlead"'
    detail = message("calls.no_key")
    return Problem(401, detail, headers={"WWW-Authenticate": challenge})


def _same(shown: str, secret: str) -> bool:
    return hmac.compare_digest(shown.encode(), secret.encode())
