"""What an endpoint is given: the service, who calls, in which language; and answers as JSON."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Query, Request, Response

from features.messages import message
from features.moments import DAY, parse
from serving.http.negotiation import choose_language
from serving.http.problems import Problem
from serving.http.protocol import Json, ServiceProtocol
from serving.http.scoping import Scope, scope_of
from serving.http.security import Principal, require

Lang = Annotated[str | None, Query(description="`en` or `zh`; else Accept-Language.", max_length=100)]
_EARLIEST: Final = 0
_LATEST: Final = parse("2200-01-01")


@dataclass(frozen=True)
class Call:
    """One request, its caller known to have the right it needs."""

    service: ServiceProtocol
    principal: Principal
    lang: str

    def scope(self) -> Scope:
        """Whom the caller may see; asks the service for a manager's team."""
        return scope_of(self.principal, self.service.team)

    def moment(self, text: str | None, name: str) -> int | None:
        """Moment of an ISO 8601 text in the service's zone; Problem 422 where it is none, or out of 1970 to 2199."""
        if text is None:
            return None
        try:
            moment = parse(text, self.service.zone)
        except (ValueError, OverflowError):
            raise Problem(422, message("asked.moment", name=name)) from None
        if not _EARLIEST <= moment < _LATEST - DAY:
            raise Problem(422, message("asked.moment_range", name=name))
        return moment

    def decided_at(self, text: str | None) -> int | None:
        """The moment a caller wants a decision dated; only an admin may."""
        if text is not None:
            require(self.principal, "decided_at")
        return self.moment(text, "decided_at")


def calling(right: str) -> Callable[..., Awaitable[Call]]:
    """A dependency that gives the `Call` of somebody who has `right`, named in `security.ACCESS`."""

    async def build(request: Request, lang: Lang = None) -> Call:
        principal = require(request.state.principal, right)
        service: ServiceProtocol = request.app.state.service
        chosen = choose_language(lang, request.headers.get("accept-language"), service.default_lang)
        return Call(service, principal, chosen)

    build.right = right  # type: ignore[attr-defined]  # lets a test walk the routes and their rights
    return build


def needs(right: str) -> Any:
    """`Depends(calling(right))`."""
    return Depends(calling(right))


def answer(content: Json, status: int = 200, *, lang: str = "") -> Response:
    """The content as JSON; NaN and infinities are a bug of ours and raise ValueError."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return given(body, status, lang=lang)


def given(body: bytes, status: int, *, lang: str = "") -> Response:
    """Bytes as the service gave them."""
    headers = {"Content-Language": lang, "Vary": "Accept-Language"} if lang else {}
    return Response(body, status, headers, "application/json")
