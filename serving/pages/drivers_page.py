"""The driver report inside the service: the company, its teams, and the way to each rep's page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response

from features.messages import message
from features.moments import day_of, month_text
from serving import texts
from serving.http.problems import Problem
from serving.http.scoping import Scope, check_level
from serving.pages import exports
from serving.pages.visit import Visit, visits
from serving.reports.measures import Pilot
from serving.reports.payload import ReportPayload
from serving.reports.render import report_context
from serving.reports.tables import Row, TableView

router = APIRouter(include_in_schema=False)

_MONTHS_BACK: Final = 11


@router.get("/drivers")
def drivers(visit: Annotated[Visit, visits("drivers")]) -> Response:
    """What drives contribution in a month (`?month=`); `?level=rep&id=` leads to that rep's page."""
    assert visit.principal is not None
    level, id_ = visit.query.get("level"), visit.query.get("id")
    scope = visit.scope()
    check_level(scope, level if level in ("company", "team", "rep") else None, id_)
    if visit.principal.role == "rep":
        return visit.see_other("/reps", visit.principal.subject)
    if level == "rep" and id_:
        return visit.see_other("/reps", id_)
    month = visit.query.get("month") or None
    against = asked_against(visit)
    payload: ReportPayload = visit.book.drivers(month, against)
    last: ReportPayload = payload if month is None else visit.book.drivers(None)
    mine = scoped_payload(payload, scope)
    if level == "team" and id_:
        mine = replace(mine, teams=tuple(one for one in mine.teams if one.id == id_))
    context = report_context(mine, visit.lang, embedded=True, scoped=scope.rep_ids is not None)
    return visit.page("drivers.html.j2", {**context, **_frame(visit, mine, last, context)})


@router.get("/drivers.xlsx")
def drivers_xlsx(visit: Annotated[Visit, visits("drivers")]) -> Response:
    """The page's tables as a workbook, headed in the page's language; only what the reader may see."""
    from serving.reports.workbook import report_workbook

    assert visit.principal is not None
    scope = visit.scope()
    if visit.principal.role == "rep":
        raise Problem(403, message("scope.own_page"))
    payload: ReportPayload = visit.book.drivers(visit.query.get("month") or None, asked_against(visit))
    body = report_workbook(scoped_payload(payload, scope), visit.lang)
    name = f"drivers-{month_text(payload.month)}.xlsx"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Language": visit.lang}
    return Response(body, 200, headers, exports.XLSX)


def asked_against(visit: Visit) -> str:
    """Whom the reader wants reps compared with: `peers`, or `top`, the top tenth on twelve months."""
    return "top" if visit.query.get("against") == "top" else "peers"


def scoped_payload(payload: ReportPayload, scope: Scope) -> ReportPayload:
    """The payload with only what the reader may see; effects are of all reps together and stay."""
    if scope.rep_ids is None:
        return payload
    return replace(
        payload,
        effectiveness=tuple(one for one in payload.effectiveness if one.kind == "team" and scope.sees("team", one.id)),
        teams=tuple(one for one in payload.teams if scope.sees("team", one.id)),
        reps=tuple(one for one in payload.reps if scope.sees_rep(one.id)),
        rep_pages=tuple(one for one in payload.rep_pages if scope.sees_rep(one.rep_id)),
        month_change=None,
        matrix=tuple(one for one in payload.matrix if scope.sees_rep(one.rep_id)),
        pilots=tuple(_own_part(one, scope) for one in payload.pilots),
    )


def _own_part(pilot: Pilot, scope: Scope) -> Pilot:
    """The pilot with only the names that the reader answers for; its size stays that of the whole draw."""
    first = tuple(rep for rep in pilot.first if scope.sees_rep(rep))
    later = tuple(rep for rep in pilot.later if scope.sees_rep(rep))
    return replace(pilot, first=first, later=later)


def _frame(visit: Visit, payload: ReportPayload, last: ReportPayload, context: Mapping[str, Any]) -> dict[str, Any]:
    first = max(last.data.first_month + 1, last.month - _MONTHS_BACK)
    months = [(month_text(m), texts.month(visit.lang, m)) for m in range(last.month, first - 1, -1)]
    table: TableView = context["reps"]["table"]
    linked = [
        Row((replace(row.cells[0], href=visit.href("/reps", page.rep_id)), *row.cells[1:]), row.total)
        for row, page in zip(table.rows, payload.rep_pages, strict=True)
    ]
    return {
        "month": texts.month(visit.lang, payload.month),
        "day": texts.day(visit.lang, day_of(payload.as_of, payload.zone)),
        "chosen": month_text(payload.month),
        "against": payload.comparison.kind,
        "xlsx": visit.href("/drivers.xlsx", month=month_text(payload.month), against=payload.comparison.kind),
        "months": months,
        "reps": {**context["reps"], "table": replace(table, rows=tuple(linked))},
        "contents": _contents(visit, context),
    }


def _contents(visit: Visit, context: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [pair for pair in context["contents"] if pair[0] != "review"]
    if context["scoped"]:
        found = [pair for pair in found if pair[0] not in ("headline", "change")]
    if not context["teams"]:
        return found
    at = next((i for i, pair in enumerate(found) if pair[0] in ("reps", "model")), len(found))
    return [*found[:at], ("teams", visit.t("drivers_page.teams")), *found[at:]]
