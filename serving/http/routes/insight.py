"""Forecasts, warnings and drivers: what HR and managers read."""

from __future__ import annotations

from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Path, Query, Response

from features.messages import message
from features.moments import parse_month
from models.forecasting.inputs import Changes
from serving.http.calls import Call, answer, needs
from serving.http.problems import Problem
from serving.http.schemas import AcknowledgeRequest, GroupAuditRequest, Level, answers, problems
from serving.http.scoping import check_level, visible_drivers, visible_items, without_best
from serving.http.strict_json import StrictRoute

router = APIRouter(tags=["insight"], route_class=StrictRoute)
_log = structlog.get_logger("serving.audit")

_QUANTILES = {f"p{k}": 21000.0 + 900 * k for k in range(10, 100, 10)}
_FORECAST = {
    "rep_id": "R017",
    "month": "2026-02",
    "as_of": "2026-02-09T09:17:00+08:00",
    "mean": 66200.0,
    **_QUANTILES,
    "target": 70000.0,
    "p_miss": 0.31,
}
_WARNING = {
    "id": "target_miss:R017::2026-02",
    "rep_id": "R017",
    "lead_id": None,
    "kind": "target_miss",
    "severity": "high",
    "month": "2026-02",
    "p_miss": 0.71,
    "expected": 41000.0,
    "target": 70000.0,
    "reasons": [{"code": "follow_ups", "text": "fewer follow-ups than usual", "value": 1.2, "baseline": 3.4}],
    "suggestions": [{"code": "contact_idle", "text": "call the five idle leads", "expected_gain": 5200.0}],
    "status": "open",
    "opened_at": "2026-02-03T00:00:00+08:00",
}
_DRIVERS = {
    "as_of": "2026-02-09T09:17:00+08:00",
    "month": "2026-02",
    "reps": [
        {
            "id": "R017",
            "prediction": 66200.0,
            "baseline": 61000.0,
            "drivers": [
                {
                    "driver": "followups_per_week",
                    "share": 1.0,
                    "direction": "up",
                    "contribution": 5200.0,
                    "unit": "money",
                }
            ],
        }
    ],
}
Month = Annotated[str | None, Query(description="`YYYY-MM`; default this month and the two after.", max_length=7)]
ById = Annotated[str | None, Query(alias="id", description="One rep or team.", min_length=1, max_length=1_000)]
RepId = Annotated[str, Query(alias="id", description="One rep.", min_length=1, max_length=1_000)]
Ratio = Annotated[float, Query(description="Follow-ups a lead against today's.", ge=0.1, le=10.0)]
Share = Annotated[float, Query(description="New leads against today's flow.", ge=0.0, le=10.0)]
Days = Annotated[float, Query(description="Further working days off from now on.", ge=0.0, le=100.0)]
_REASON = {
    "rep_id": "R001", "month": "2026-03", "driver": "open_leads", "value": 9.0, "reference": 14.0,
    "difference": -5200.0, "p_miss_difference": 0.12,
}  # fmt: skip
_OVERDUE = {
    "items": [{
        "lead_id": "L10423", "rep_id": "R017", "decided": True, "given_at": "2026-02-09T09:17:00+08:00", "hours": 31.5,
        "expected_value": 2100.0, "best_rep_id": "R004", "gain": 640.0, "gain_wins": 0.03, "capacity_price": 120.0,
    }],
    "contact_hours": 24.0, "move_uncontacted_hours": None, "activities_known": True,
}  # fmt: skip
_WHAT_IF = {
    "level": "rep", "id": "R001", "meaning": "model_forecast", "method": "funnel",
    "items": [{
        "month": "2026-03", "mean": 21500.0, "mean_then": 23100.0, "difference": 1600.0, "p10_then": 9000.0,
        "p90_then": 40100.0, "p_miss": 0.41, "p_miss_then": 0.36,
    }],
    "effect": {
        "meaning": "effect", "verdict": "suggestive", "units": 0.4, "gain": 900.0, "gain_low": -100.0,
        "gain_high": 1900.0,
    },
}  # fmt: skip


@router.get(
    "/v1/forecasts",
    summary="Contribution to come",
    responses={**answers({"items": [_FORECAST]}), **problems(404)},
)
def forecasts(
    call: Annotated[Call, needs("forecasts")], month: Month = None, level: Level = "rep", by_id: ById = None
) -> Response:
    """Mean and quantiles of contribution a month, and the chance of missing the target."""
    _check_month(month)
    scope = call.scope()
    check_level(scope, level, by_id)
    found = call.service.forecasts(month=month, level=level, id=by_id, lang=call.lang)
    return answer(visible_items(scope, found, level), lang=call.lang)


@router.get(
    "/v1/forecasts/reasons",
    summary="Why a rep's forecast is as it is",
    responses={**answers({"items": [_REASON], "meaning": "model_forecast"}), **problems(404)},
)
def forecast_reasons(call: Annotated[Call, needs("forecasts")], by_id: RepId) -> Response:
    """The chain run again with one driver at its reference: the difference in money and in the chance of a miss."""
    check_level(call.scope(), "rep", by_id)
    return answer(call.service.forecast_reasons(id=by_id, lang=call.lang), lang=call.lang)


@router.get(
    "/v1/forecasts/what-if",
    summary="The forecast under other circumstances",
    responses={**answers(_WHAT_IF), **problems(404)},
)
def what_if(
    call: Annotated[Call, needs("forecasts")],
    level: Level = "rep",
    by_id: ById = None,
    follow_up_ratio: Ratio = 1.0,
    lead_share: Share = 1.0,
    absence_days: Days = 0.0,
) -> Response:
    """What the model would forecast, and apart from it what an effect estimate says, where one is supported."""
    if by_id is None and level != "company":
        raise Problem(422, message("asked.what_if_id", level=level, one=message(f"level.{level}")))
    check_level(call.scope(), level, by_id)
    changes = Changes((), follow_up_ratio, lead_share, absence_days)
    return answer(call.service.what_if(level, by_id, changes, lang=call.lang), lang=call.lang)


@router.get("/v1/overdue", summary="Leads not contacted in time", responses={**answers(_OVERDUE), **problems()})
def overdue(call: Annotated[Call, needs("warnings")]) -> Response:
    """Leads past `contact_hours` without a call, each with the expected gain of moving it to the best rep with room."""
    scope = call.scope()
    found = visible_items(scope, call.service.overdue(lang=call.lang))
    return answer(without_best(scope, found), lang=call.lang)


@router.get("/v1/warnings", summary="Early warnings", responses={**answers({"items": [_WARNING]}), **problems()})
def warnings(call: Annotated[Call, needs("warnings")]) -> Response:
    """What needs somebody's attention, most urgent first, with reasons and suggestions."""
    return answer(visible_items(call.scope(), call.service.warnings(lang=call.lang)), lang=call.lang)


@router.post(
    "/v1/warnings/{warning_id:path}/acknowledge",
    summary="Say that a warning was seen",
    responses={**answers({**_WARNING, "status": "acknowledged"}), **problems(404, 413, 415)},
)
def acknowledge(
    warning_id: Annotated[str, Path(examples=[_WARNING["id"]])],
    body: AcknowledgeRequest,
    call: Annotated[Call, needs("acknowledge")],
) -> Response:
    """Keep who has seen the warning, and his note; it stays listed until it is resolved."""
    scope = call.scope()
    if scope.rep_ids is not None and not scope.sees_rep(call.service.warning_rep(warning_id)):
        raise Problem(404, message("unknown.warning", warning=warning_id))
    by = body.by or call.principal.subject
    return answer(call.service.acknowledge(warning_id, by=by, note=body.note, lang=call.lang), lang=call.lang)


@router.get("/v1/drivers", summary="What drives contribution", responses={**answers(_DRIVERS), **problems(404)})
def drivers(
    call: Annotated[Call, needs("drivers")],
    level: Annotated[Level | None, Query(description="Default: all levels.")] = None,
    by_id: ById = None,
    against: Annotated[
        Literal["peers", "top"], Query(description="Whom reps are compared with: peers, or the top tenth.")
    ] = "peers",
) -> Response:
    """How the prediction differs from its baseline, by driver, adding up; and effects with intervals and verdicts."""
    scope = call.scope()
    check_level(scope, level, by_id)
    found = call.service.drivers(level=level, id=by_id, lang=call.lang, against=against)
    return answer(visible_drivers(scope, found), lang=call.lang)


_AUDIT = {
    "since": "2026-01-05T00:00:00+08:00", "until": "2026-03-02T00:00:00+08:00", "n_decisions": 1840,
    "audits": [{
        "attribute": "gender", "best": {"leads.head": "m"}, "n_hidden": 0,
        "groups": [{
            "name": "f", "n_reps": 21, "share_of_reps": 0.48, "share_of_places": 0.47,
            "shares": {"leads": 0.46, "high_value": 0.44, "expected_value": 0.45},
            "figures": [{
                "given": "leads", "per": "head", "rate": 40.3, "ratio": 0.93, "ci_low": 0.84, "ci_high": 1.03,
                "standing": "within",
            }],
        }],
    }],
    "fewest": 5, "line": 0.8, "level": 0.9, "text": ["gender: no group is below four fifths of the best-off group."],
}  # fmt: skip


@router.post(
    "/v1/group-audit",
    summary="What routing gave to groups of reps",
    responses={**answers(_AUDIT), **problems(413, 415)},
)
def group_audit(body: GroupAuditRequest, call: Annotated[Call, needs("group_audit")]) -> Response:
    """Rates by group against the best-off one. Groups are used for this answer only: never stored, never a feature."""
    since, until = call.moment(body.since, "since"), call.moment(body.until, "until")
    found = call.service.group_audit(body.groups, since=since, until=until, lang=call.lang)
    reader = call.principal
    _log.info("group_audit_read", role=reader.role, subject=reader.subject, n_attributes=len(body.groups))
    return answer(found, lang=call.lang)


def _check_month(text: str | None) -> None:
    if text is None:
        return
    try:
        month = parse_month(text) if text.isascii() else 0
    except ValueError:
        month = 0
    if not 1970 * 12 <= month < 2199 * 12:
        raise Problem(422, message("asked.month"))
