"""For other systems: the feed out, events in, and reading the tables anew."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from serving.http.calls import Call, answer, needs
from serving.http.schemas import DECISION, EventsRequest, answers, problems
from serving.http.strict_json import StrictRoute

router = APIRouter(tags=["integration"], route_class=StrictRoute)

_FEED = {
    "items": [
        {
            "seq": 4711,
            "kind": "decision",
            "at": "2026-02-09T09:17:00+08:00",
            "lead_id": "L10423",
            "rep_id": "R017",
            "decision": DECISION,
        }
    ],
    "next_after": 4711,
}
_RELOADED = {"data_until": "2026-02-09T11:00:00+08:00", "rows": {"leads": 15000, "deals": 4100}}


@router.get("/v1/feed", summary="Everything that happened, in order", responses={**answers(_FEED), **problems()})
def feed(
    call: Annotated[Call, needs("feed")],
    after: Annotated[int, Query(description="`next_after` of the call before; 0 from the start.", ge=0, lt=2**63)] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> Response:
    """Decisions, releases of held leads, overrides and moves, each with its number. Ignore kinds you do not know."""
    return answer(call.service.feed(after, limit, lang=call.lang), lang=call.lang)


@router.post(
    "/v1/events",
    summary="Send new rows",
    status_code=202,
    responses={
        **answers({"accepted": 1, "seq": 88}, status=202, description="Durable; the next decision sees it"),
        **problems(413, 415),
    },
)
def add_events(
    body: EventsRequest,
    call: Annotated[Call, needs("events")],
    idempotency_key: Annotated[
        str | None, Header(description="The same key again gets the same answer for 30 days.", max_length=200)
    ] = None,
) -> Response:
    """Rows of one table, all or none: 422 lists every bad row. By key the newest received wins over the tables."""
    once = {"key": idempotency_key} if idempotency_key else {}
    return answer(call.service.add_events(body.table, body.rows, sender=call.principal.subject, **once), 202)


@router.post("/v1/data/reload", summary="Read the tables anew", responses={**answers(_RELOADED), **problems()})
def reload_data(call: Annotated[Call, needs("reload_data")]) -> Response:
    """Read `--data` again and check it; tables with faults are refused and the old ones stay."""
    return answer(call.service.reload_data())
