"""Early warnings: the most urgent first, with their numbers, what to try, and a place to say that one was seen."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Response

from features.messages import message
from features.moments import parse_month
from serving import texts
from serving.http.problems import Problem
from serving.pages.visit import Sent, Visit, sends, visits

router = APIRouter(include_in_schema=False)

_PER_PAGE: Final = 40


@router.get("/warnings")
def list_warnings(visit: Annotated[Visit, visits("warnings")]) -> Response:
    """Warnings that stand, by team, kind and state."""
    scope, query = visit.scope(), visit.query
    everything = [one for one in visit.book.warnings(visit.lang) if scope.sees_rep(one["rep_id"])]
    kept = {name: query.get(name, "") for name in ("team_id", "kind", "status", "rep_id")}
    shown = [one for one in everything if all(one[name] == value for name, value in kept.items() if value)]
    start = _offset(query.get("from", "0"))
    later = {**kept, "from": start + _PER_PAGE}
    context = {
        "items": [warning_view(visit, one) for one in shown[start : start + _PER_PAGE]],
        "n": len(shown),
        "n_all": len(everything),
        "kept": kept,
        "teams": sorted({one["team_id"] for one in everything if one["team_id"]}),
        "kinds": sorted({(one["kind"], one["title"]) for one in everything}, key=lambda pair: pair[1]),
        "next": visit.href("/warnings", **later) if start + _PER_PAGE < len(shown) else "",
        "first": visit.href("/warnings", **kept) if start else "",
    }
    return visit.page("warnings.html.j2", context)


def warning_view(visit: Visit, one: dict[str, Any]) -> dict[str, Any]:
    """A warning in words."""
    month = texts.month(visit.lang, parse_month(one["month"])) if one.get("month") else ""
    return {
        "id": one["id"],
        "severity": one["severity"],
        "severity_text": visit.t(f"severity.{one['severity']}"),
        "status": one["status"],
        "status_text": visit.t(f"alert_status.{one['status']}"),
        "title": one["title"],
        "rep_id": one["rep_id"],
        "team_id": one.get("team_id") or "",
        "lead_id": one.get("lead_id") or "",
        "month": month,
        "reasons": [str(reason["text"]) for reason in one["reasons"]],
        "suggestions": [str(suggestion["text"]).strip() for suggestion in one["suggestions"]],
        "no_gain": one["no_gain"],
        "opened": texts.unbroken(str(one["opened_at"])[:10]),
        "can_acknowledge": one["status"] == "open" and visit.may("acknowledge"),
    }


def _offset(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        raise Problem(422, message("asked.from_warnings"))
    return int(text)


@router.post("/warnings/{warning_id:path}/acknowledge")
def acknowledge(warning_id: str, sent: Annotated[Sent, sends("acknowledge")]) -> Response:
    """Keep who has seen the warning, and his note."""
    visit, fields = sent
    assert visit.principal is not None
    scope, core = visit.scope(), visit.book.core
    if scope.rep_ids is not None and not scope.sees_rep(core.warning_rep(warning_id)):
        raise Problem(404, message("unknown.warning", warning=warning_id))
    by = fields.get("by", "")[:200] if visit.principal.open else visit.principal.subject
    core.acknowledge(warning_id, by=by, note=fields.get("note", ""), lang=visit.lang)
    if fields.get("back") == "rep" and (rep := core.warning_rep(warning_id)):
        return visit.see_other("/reps", rep, done="acknowledged")
    return visit.see_other("/warnings", done="acknowledged")
