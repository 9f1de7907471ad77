"""For operators and data scientists: models, the rule-mode switch, health, readiness, metrics."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response

from features.messages import in_language
from serving.http.calls import Call, answer, needs
from serving.http.metrics import Metrics
from serving.http.problems import language_of
from serving.http.protocol import ServiceProtocol
from serving.http.schemas import RuleModeRequest, answers, problems
from serving.http.security import is_local_call, require
from serving.http.strict_json import StrictRoute

router = APIRouter(tags=["operation"], route_class=StrictRoute)

_MODELS = {
    "model_version": "12",
    "policy_version": "1",
    "data_until": "2026-02-09T11:00:00+08:00",
    "releases": [{"version": "12", "champion": True, "metrics": {"auc": 0.71, "ece": 0.018, "crps": 10420.0}}],
}
_UPLIFT = {
    "uplift": 0.021, "ci_low": 0.004, "ci_high": 0.038, "level": 0.9, "n_policy": 5210, "n_holdout": 274,
}  # fmt: skip
_MEASURED = {
    "status": "measured", "holdout": 0.05, "alarm": False, "n_drawn": 7300, "n_policy": 5210, "n_holdout": 274,
    "n_waiting": 1816, "horizon_days": 56.0, "wins": {"verdict": "gain", **_UPLIFT, "recent": _UPLIFT},
    "text": ["The policy wins more than the hold-out."],
}  # fmt: skip
_RULES = {"all": False, "teams": ["T2"]}


@router.get("/v1/models", summary="Versions and metrics", responses={**answers(_MODELS), **problems()})
def models(call: Annotated[Call, needs("models")]) -> Response:
    """The releases that are known, the one that decides, and how well each did."""
    return answer(call.service.models())


_CHALLENGER = {
    "challenger": "20260301-0d5b1c7a9e42", "champion": "20260201-6b1f0c2d3e4a", "refused": "", "failed": 0,
    "skipped": 0, "n": 412, "n_not_compared": 37, "since": "2026-03-02T09:00:00+08:00",
    "until": "2026-03-20T18:00:00+08:00", "n_held_by_both": 140, "n_held_by_one": 12,
    "agreement": {"n": 375, "n_agree": 281, "share": 0.749, "ci_low": 0.711, "ci_high": 0.784},
    "worth": {
        "n": 352, "champion_by_champion": 5210.0, "challenger_by_champion": 5104.0, "champion_by_challenger": 5388.0,
        "challenger_by_challenger": 5515.0,
    },
    "sources": [
        {"name": "referral", "n": 120, "share": 0.81, "gain_by_champion": -60.0, "gain_by_challenger": 88.0},
    ],
    "reps": [{"rep_id": "R004", "champion": 9, "challenger": 15}],
    "outcomes": {
        "n": 140, "n_won": 22, "expected_champion": 19.7, "expected_challenger": 21.4, "brier_champion": 0.118,
        "brier_challenger": 0.116,
    },
}  # fmt: skip


@router.get(
    "/v1/models/challenger",
    summary="What the challenger would have done",
    responses={**answers(_CHALLENGER), **problems()},
)
def challenger(call: Annotated[Call, needs("models")]) -> Response:
    """Shadow mode: agreement with the champion, where they differ, both choices valued by both models, outcomes."""
    return answer(call.service.challenger())


_DRIFT = {
    "release": "20260301-0d5b1c7a9e42", "as_of": "2026-03-20T18:00:00+08:00", "needed": True,
    "findings": [
        {"kind": "target", "name": "won_within_30_days", "change": -0.31, "p_value": 0.002, "alarm": True},
        {"kind": "freshness", "name": "leads", "change": 0.4, "p_value": None, "alarm": False},
    ],
}  # fmt: skip


@router.get(
    "/v1/models/drift",
    summary="Whether the release still fits what comes in",
    responses={**answers(_DRIFT), **problems()},
)
def drift(call: Annotated[Call, needs("models")]) -> Response:
    """The newest report on drift; without a release and findings before the first look."""
    return answer(call.service.drift())


@router.post("/v1/models/reload", summary="Take the promoted release", responses={**answers(_MODELS), **problems(409)})
def reload_models(call: Annotated[Call, needs("reload_models")]) -> Response:
    """Load the promoted release beside the old one, check it, and change over without dropping a request."""
    return answer(call.service.reload_models())


@router.get(
    "/v1/experiment", summary="What routing brings against the hold-out", responses={**answers(_MEASURED), **problems()}
)
def experiment(call: Annotated[Call, needs("experiment")]) -> Response:
    """Uplift of the policy over the always-on hold-out in wins and money, valid however often one looks."""
    return answer(call.service.experiment(lang=call.lang), lang=call.lang)


@router.get("/v1/rule-mode", summary="Where rules alone decide", responses={**answers(_RULES), **problems()})
def rule_mode(call: Annotated[Call, needs("rule_mode")]) -> Response:
    """Whether leads go by hard rules and least load instead of the models: for all, or for some teams."""
    return answer(call.service.rule_mode())


@router.put(
    "/v1/rule-mode", summary="Switch the models off or on", responses={**answers(_RULES), **problems(404, 413, 415)}
)
def set_rule_mode(body: RuleModeRequest, call: Annotated[Call, needs("rule_mode")]) -> Response:
    """Switch rule mode for a team, or for all; logged."""
    return answer(call.service.set_rule_mode(on=body.on, team_id=body.team_id, by=call.principal.subject))


@router.get("/healthz", summary="Is the process alive", responses=answers({"ok": True}))
async def healthz() -> Response:
    """Always 200 while the process answers."""
    return answer({"ok": True})


@router.get(
    "/readyz",
    summary="Can it decide",
    responses={**answers({"ok": True, "reasons": []}), **answers({"ok": False, "reasons": ["…"]}, status=503)},
)
def readyz(request: Request) -> Response:
    """200 once tables, store and a policy are at hand, 503 with the reasons until then."""
    service: ServiceProtocol = request.app.state.service
    state = service.ready()
    is_ready = bool(state.get("ok"))
    if request.state.principal is None and not _is_local(request):
        state = {"ok": is_ready}
    reasons = state.get("reasons")
    if isinstance(reasons, list):
        state = {**state, "reasons": [in_language(one, language_of(request)) for one in reasons]}
    response = answer(state, 200 if is_ready else 503)
    if not is_ready:
        response.headers["Retry-After"] = "5"
    return response


@router.get("/metrics", summary="Prometheus metrics", response_class=Response, responses=problems())
def metrics(request: Request) -> Response:
    """Decisions by policy, held leads, overrides, model and feature age, latency; for admin or loopback."""
    if not _is_local(request):
        require(request.state.principal, "metrics")
    found: Metrics = request.app.state.metrics
    return Response(found.render(), media_type=found.content_type)


def _is_local(request: Request) -> bool:
    return is_local_call(request.client.host if request.client else None, request.headers)
