"""Around every request: an id, the caller, a bounded body, security headers, latency, one line of log.

Plain ASGI, two layers, because a layer of Starlette's own costs more than a decision.
"""

from __future__ import annotations

import re
import secrets
import time
import traceback
from collections.abc import Callable
from typing import Final

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from features.messages import message
from serving.http.guessing import Guesses, key_guess
from serving.http.limits import KNOWN, UNKNOWN, Limiter
from serving.http.metrics import Metrics
from serving.http.problems import Problem, answer_problem
from serving.http.security import (
    OPEN_PATHS,
    SECURITY_HEADERS,
    Doorkeeper,
    Principal,
    check_host,
    check_origin,
    is_local_call,
    unauthenticated,
)

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
_REQUEST_ID: Final = re.compile(r"[0-9A-Za-z._-]{8,64}")
_ALIVE: Final = "/healthz"
_log = structlog.get_logger("serving.access")


class Observed:
    """Outermost: gives the request its id, logs and measures it, and turns what nobody caught into a 500."""

    def __init__(self, app: ASGIApp, metrics: Metrics, clock: Callable[[], float] = time.perf_counter) -> None:
        self._app, self._metrics, self._clock = app, metrics, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = self._clock(), 0
        request_id = _request_id(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message, request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except Exception:
            # As text: a pretty traceback takes seconds and prints local variables, which are people's data.
            told = traceback.format_exc()
            _log.error("request_failed", request_id=request_id, route=_route(scope), traceback=told)
            if status:
                raise  # the answer has begun; only closing the connection still tells the truth
            detail = message("calls.failed")
            await _respond(Problem(500, detail), scope, receive, send_on)
        finally:
            self._record(scope, status, self._clock() - began, request_id)

    def _record(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route, principal = _route(scope), scope["state"].get("principal")
        self._metrics.observe(_method(scope), route, status, seconds)
        _log.info(
            "request_answered",
            request_id=request_id,
            method=_method(scope),
            route=route,
            status=status,
            milliseconds=round(seconds * 1_000, 2),
            role=principal.role if principal else "",
            subject=principal.subject if principal else "",
        )


class Guarded:
    """Inside it: finds out who calls before a byte of the body is read, and bounds the body."""

    def __init__(
        self, app: ASGIApp, doorkeeper: Doorkeeper, guesses: Guesses, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        self._app, self._doorkeeper, self._guesses, self._max_body_bytes = app, doorkeeper, guesses, max_body_bytes
        self._limiter = Limiter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._check(scope, Headers(scope=scope))
        except Problem as problem:
            await _respond(problem, scope, receive, send)
            return
        await self._app(scope, _bounded(receive, self._max_body_bytes), send)

    async def _check(self, scope: Scope, headers: Headers) -> None:
        if "\x00" in scope["path"] or b"%00" in scope.get("query_string", b"") or b"\x00" in scope["query_string"]:
            raise Problem(400, message("asked.nul"))
        declared = headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self._max_body_bytes:
            raise _too_large(self._max_body_bytes)
        client = scope.get("client")
        address = client[0] if client else None
        principal = await self._principal(scope["path"], address, headers)
        scope["state"]["principal"] = principal
        if principal is not None and principal.open:
            if not is_local_call(address, headers):
                raise Problem(403, message("open.loopback"))
            check_host(headers)
        check_origin(scope["method"], headers)
        if principal is not None and not principal.open:
            self._limiter.take(f"{principal.role}:{principal.subject}", KNOWN)
        if principal is None and scope["path"] not in OPEN_PATHS:
            self._limiter.take(f"from:{address or ''}", UNKNOWN)
            raise unauthenticated(html="text/html" in headers.get("accept", ""))

    async def _principal(self, path: str, address: str | None, headers: Headers) -> Principal | None:
        known = self._doorkeeper.remembered(headers)
        if known is not None or path == _ALIVE:  # that the process lives must be told even when all threads wait
            return known
        shown = self._doorkeeper.shown_secret(headers)
        guess = key_guess("key", address, shown) if shown else None
        if guess is not None:
            self._guesses.check(guess)
        found = await run_in_threadpool(self._doorkeeper.principal, headers)
        if guess is not None and found is None:
            self._guesses.failed(guess)
        elif guess is not None and found is not None and not found.open:
            self._guesses.right(guess)
        return found


def _bounded(receive: Receive, limit: int) -> Receive:
    seen = 0

    async def receive_some() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise _too_large(limit)
        return message

    return receive_some


def _too_large(limit: int) -> Problem:
    return Problem(413, message("body.bytes", most=limit), headers={"Connection": "close"})


async def _respond(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    response = answer_problem(Request(scope), problem)
    await response(scope, receive, send)


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _add_headers(message: Message, request_id: str) -> None:
    given = {name.lower() for name, _ in message["headers"]}
    ours = [(b"x-request-id", request_id.encode()), (b"cache-control", b"no-store"), *SECURITY_HEADERS]
    message["headers"] = [*message["headers"], *(pair for pair in ours if pair[0] not in given)]


def _route(scope: Scope) -> str:
    """The route's template; what matched none shares one name, or strangers could fill memory with labels."""
    return getattr(scope.get("route"), "path_format", "") or "unmatched"


def _method(scope: Scope) -> str:
    method = scope["method"]
    return method if method in {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"} else "OTHER"
