"""Lead routing: decide, say why, list, override."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from features.errors import UnknownRepError, said
from features.messages import message
from serving.http.calls import Call, answer, given, needs
from serving.http.problems import Problem
from serving.http.protocol import DecisionFilters
from serving.http.schemas import (
    DECISION,
    HISTORY,
    AssignmentRequest,
    BatchRequest,
    OverrideRequest,
    Status,
    answers,
    problems,
)
from serving.http.scoping import visible_decision, without_others
from serving.http.strict_json import StrictRoute

router = APIRouter(tags=["assignments"], route_class=StrictRoute)

_WHY = {**DECISION, "owner_rep_id": "R004", "history": HISTORY, "candidates": DECISION["alternatives"]}
_BATCH = {
    "items": [
        {"lead_id": "L10423", "status_code": 201, "status": "assigned", "rep_id": "R017", "decision": DECISION},
    ]
}
_LIST = {"items": [DECISION], "next_cursor": "4711"}
LeadId = Annotated[str, Path(examples=["L10423"])]


@router.post(
    "/v1/assignments",
    summary="Route a lead",
    status_code=201,
    responses={
        **answers(DECISION, status=201, description="Decided, and durable"),
        **answers(DECISION, description="Decided before: an assigned decision byte for byte as first given"),
        **problems(409, 413, 415),
    },
)
def assign(body: AssignmentRequest, call: Annotated[Call, needs("assign")]) -> Response:
    """Decide who gets the lead. The same `lead_id` again gives the first answer: retrying is safe."""
    decided_at = call.decided_at(body.decided_at)
    status, decision = call.service.assign(body.lead, decided_at=decided_at, lang=call.lang)
    return given(decision, status, lang=call.lang)


@router.post(
    "/v1/assignments/batch",
    summary="Route leads together",
    status_code=201,
    responses={**answers(_BATCH, status=201, description="A status each"), **problems(409, 413, 415)},
)
def assign_batch(body: BatchRequest, call: Annotated[Call, needs("assign")]) -> Response:
    """Decide on up to 1,000 leads as one problem; duplicates are answered once."""
    decided_at = call.decided_at(body.decided_at)
    status, decisions = call.service.assign_batch(body.leads, decided_at=decided_at, lang=call.lang)
    return given(decisions, status, lang=call.lang)


@router.get("/v1/assignments", summary="List decisions", responses={**answers(_LIST), **problems()})
def list_decisions(
    call: Annotated[Call, needs("decisions")],
    status: Annotated[Status | None, Query(description="As it stands now.")] = None,
    rep_id: Annotated[str | None, Query(description="Who has the lead now.", max_length=1_000)] = None,
    since: Annotated[str | None, Query(description="Decided then or later; ISO 8601.", max_length=40)] = None,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.", max_length=20)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """Decisions in the order they were made; pages stay the same however many are added meanwhile."""
    scope = call.scope()
    filters = DecisionFilters(status, rep_id, scope.rep_ids, call.moment(since, "since"), parse_cursor(cursor), limit)
    page = call.service.decisions(filters, lang=call.lang)
    items, following = page.get("items"), page.get("next_cursor")
    listed = items if isinstance(items, list) else []
    shown = [without_others(scope, one) for one in listed]
    page = {**page, "items": shown, "next_cursor": None if following is None else str(following)}
    return answer(page, lang=call.lang)


@router.post(
    "/v1/assignments/{lead_id:path}/override",
    summary="Give a lead to another rep",
    responses={**answers({**_WHY, "owner_rep_id": "R004"}), **problems(404, 409, 413, 415)},
)
def override(lead_id: LeadId, body: OverrideRequest, call: Annotated[Call, needs("override")]) -> Response:
    """A person's choice. The machine's stays on record, the first rep's place is freed, and the feed tells of it."""
    scope = call.scope()
    if scope.rep_ids is not None:
        visible_decision(scope, call.service.decision(lead_id, lang=call.lang), lead_id)
        if not scope.sees_rep(body.rep_id):
            raise Problem(403, message("scope.not_his_team", rep=body.rep_id))
    try:
        decision = call.service.override(
            lead_id, rep_id=body.rep_id, by=body.by, reason=body.reason, force=body.force, lang=call.lang
        )
    except UnknownRepError as error:
        raise Problem(422, said(error)) from error
    return answer(visible_decision(scope, decision, lead_id), lang=call.lang)


@router.get(
    "/v1/assignments/{lead_id:path}",
    summary="Why a lead went where it went",
    responses={**answers(_WHY), **problems(404)},
)
def show_decision(lead_id: LeadId, call: Annotated[Call, needs("decisions")]) -> Response:
    """The decision with all candidates, the versions that decided, who has the lead now, and its history."""
    decision = call.service.decision(lead_id, lang=call.lang)
    return answer(visible_decision(call.scope(), decision, lead_id), lang=call.lang)


def parse_cursor(text: str | None) -> int | None:
    """The sequence number that a cursor is; Problem 422 for a text that never was one."""
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**63:
        raise Problem(422, message("asked.cursor"))
    return int(text)
