"""Webhooks of other systems: each proves by its own signature who sends, and is taken once however often it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from features.config import Incoming
from features.errors import said
from features.messages import message
from serving.http.calls import answer
from serving.http.guessing import Guesses, webhook_guess
from serving.http.problems import Problem
from serving.http.protocol import ServiceProtocol
from serving.http.schemas import answers, problems
from serving.http.strict_json import parse_json
from serving.session import clock
from serving.webhooks.incoming import (
    Read,
    answered,
    read_change_event,
    read_generic,
    read_hubspot,
    read_outbound,
)
from serving.webhooks.signing import SignatureError, check_hubspot, check_shared, check_standard

router = APIRouter(tags=["integration"])

MAX_BYTES: Final = 1_048_576
_ACK: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv='
    b'"http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><notificationsResponse xmlns='
    b'"http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>'
)
_TAKEN: Final = {
    "items": [
        {"lead_id": "L10423", "status_code": 201, "status": "assigned", "rep_id": "R017"},
        {"table": "activities", "accepted": 1, "seq": 88},
    ],
    "ignored": [],
}
_RESPONSES: Final = {**answers(_TAKEN, description="Taken, now or before"), **problems(404, 413, 429)}


@router.post("/v1/webhooks/generic", summary="From any CRM, by Standard Webhooks", responses=_RESPONSES)
async def generic(request: Request) -> Response:
    """`lead.created` is routed; `activity.*`, `stage.*`, `deal.*` ... are rows. Signed with webhook-signature."""
    body, sender = await _opened(request, "generic")
    with_id = _proved(request, sender, lambda: check_standard(sender.secret, request.headers, body, clock() / 1e6))
    return await run_in_threadpool(
        lambda: answer(_take(request, sender, lambda: read_generic(with_id, parse_json(body))))
    )


@router.post("/v1/webhooks/hubspot", summary="From HubSpot", responses=_RESPONSES)
async def hubspot(request: Request) -> Response:
    """Creation of a contact, lead or deal is routed; owner and stage changes are rows. X-HubSpot-Signature-v3."""
    body, sender = await _opened(request, "hubspot")
    uri = str(request.url)
    if sender.url:  # behind a proxy the address that was called is another
        uri = sender.url + (f"?{request.url.query}" if request.url.query else "")
    _proved(
        request, sender, lambda: check_hubspot(sender.secret, request.headers, request.method, uri, body, clock() / 1e6)
    )
    return await run_in_threadpool(
        lambda: answer(_take(request, sender, lambda: read_hubspot(parse_json(body), sender)))
    )


@router.post("/v1/webhooks/salesforce", summary="From Salesforce", responses=_RESPONSES)
async def salesforce(request: Request) -> Response:
    """Outbound messages (SOAP) and change events (JSON) of Lead, Opportunity, Task and Event, by a shared secret."""
    body, sender = await _opened(request, "salesforce")
    given = request.headers.get("x-fairlead-secret") or request.query_params.get("key", "")
    _proved(request, sender, lambda: check_shared(sender.secret, given))
    if "xml" not in request.headers.get("content-type", ""):
        return await run_in_threadpool(
            lambda: answer(_take(request, sender, lambda: read_change_event(parse_json(body), sender)))
        )
    await run_in_threadpool(lambda: _take(request, sender, lambda: read_outbound(body, sender)))
    return Response(_ACK, media_type="text/xml")


async def _opened(request: Request, name: str) -> tuple[bytes, Incoming]:
    """Body and sender; Problem 404 where the settings know no secret of his, 413 for a body no webhook has."""
    service: ServiceProtocol = request.app.state.service
    sender = service.sender(name)
    if sender is None:
        raise Problem(404, message("hook.no_secret", name=name))
    body = await request.body()
    if len(body) > MAX_BYTES:
        raise Problem(413, message("hook.bytes", most=MAX_BYTES), headers={"Connection": "close"})
    return body, sender


def _proved(request: Request, sender: Incoming, check: Callable[[], str | None]) -> str:
    """What the check gives; Problem 401 where it fails, 429 before it where it failed too often."""
    guesses: Guesses = request.app.state.guesses
    guess = webhook_guess(sender.name, request.client.host if request.client else None)
    guesses.check(guess)
    try:
        found = check() or ""
    except SignatureError as error:
        guesses.failed(guess)
        raise Problem(401, said(error), headers={"WWW-Authenticate": "Signature"}) from None
    guesses.right(guess)
    return found


def _take(request: Request, sender: Incoming, read: Callable[[], Read]) -> dict[str, object]:
    service: ServiceProtocol = request.app.state.service
    found = read()
    return answered(found, service.take_sent(found.sent, sender=sender.name))
