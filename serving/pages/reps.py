"""A rep's page in plain words: his leads, why fewer this week, whom to ask, what is ahead; and the list of reps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Response
from markupsafe import Markup

from features.errors import NoReleaseError, RequestError
from features.messages import message
from serving import texts
from serving.http.problems import Problem
from serving.pages.alerts_page import warning_view
from serving.pages.book import Seat, WeekOfLeads
from serving.pages.drivers_page import asked_against
from serving.pages.fans import NARROW, fan, leading, outlook_sentence
from serving.pages.leads import decision_row
from serving.pages.overdue import calls_due, moved_words
from serving.pages.rep_week import is_fewer, week_leads, week_reasons, week_summary
from serving.pages.today import week_name
from serving.pages.visit import Visit, visits
from serving.reports import charts
from serving.reports.render import rep_section
from serving.reports.tables import Cell, ChartView, Row, TableView, numeric, text
from serving.store import StoredDecision

router = APIRouter(include_in_schema=False)

_N_LEADS: Final = 30
_log = structlog.get_logger("serving.audit")


@router.get("/reps")
def list_reps(visit: Annotated[Visit, visits("forecasts")]) -> Response:
    """The sales reps that the reader answers for, with their week."""
    at, scope = visit.book.moment(), visit.scope()
    team = visit.query.get("team_id", "")
    mine = [seat for seat in visit.book.seats(at) if scope.sees_rep(seat.rep_id)]
    shown = [seat for seat in mine if not team or seat.team_id == team]
    context = {
        "week": week_name(visit, at),
        "table": _seat_table(visit, shown) if shown else None,
        "teams": sorted({seat.team_id for seat in mine if seat.team_id}),
        "team": team,
    }
    return visit.page("reps.html.j2", context)


def _seat_table(visit: Visit, seats: Sequence[Seat]) -> TableView:
    names = ("rep", "team", "tenure", "used", "capacity", "state")
    heads = tuple(Cell(visit.t(f"reps.{name}"), name in ("tenure", "used", "capacity")) for name in names)
    rows = [
        Row(
            (
                Cell(seat.name, href=visit.href("/reps", seat.rep_id)),
                text(seat.team_id or visit.t("reps.no_team")),
                numeric(visit.number(seat.tenure_years, 1)),
                numeric(visit.number(seat.used)),
                numeric(visit.number(seat.capacity)),
                text(_state(visit, seat)),
            )
        )
        for seat in seats
    ]
    return TableView(visit.t("reps.caption"), heads, tuple(rows))


def _state(visit: Visit, seat: Seat) -> str:
    return visit.t("reps.can_take") if seat.rule == "none" else visit.t(f"rule.{seat.rule}")


# -- one rep ----------------------------------------------------------------------------------------------------


@router.get("/reps/{rep_id:path}")
def show_rep(rep_id: str, visit: Annotated[Visit, visits("warnings")]) -> Response:
    """What a rep, or who answers for him, should know. Who has read it is logged."""
    assert visit.principal is not None
    if not visit.scope().sees_rep(rep_id):
        raise Problem(404, message("unknown.rep", rep=rep_id))
    at = visit.book.moment()
    seat = visit.book.rep(rep_id, at)
    _log.info("rep_page_read", rep_id=rep_id, role=visit.principal.role, subject=visit.principal.subject)
    weeks = visit.book.weekly_leads(rep_id, at)
    context = {
        "rep": seat,
        "manager": _manager(visit, seat),
        "left": _left(visit, rep_id),
        "week": week_name(visit, at),
        "summary": week_summary(visit, seat, weeks, at),
        "fewer": is_fewer(visit, weeks, at),
        "reasons": week_reasons(visit, seat, weeks, at),
        "week_leads": week_leads(visit, rep_id, at),
        "weeks": _weeks_chart(visit, weeks, week_summary(visit, seat, weeks, at)),
        "moves": moved_words(visit, rep_id, at),
        "calls": calls_due(visit, rep_id),
        "leads": _leads(visit, rep_id),
        "outlook": _outlook(visit, rep_id) if visit.may("forecasts") else None,
        "warnings": _warnings(visit, rep_id),
        "drivers": _drivers(visit, rep_id) if visit.may("drivers") else None,
        "is_self": visit.principal.role == "rep",
    }
    return visit.page("rep.html.j2", context)


def _manager(visit: Visit, seat: Seat) -> str:
    return visit.book.name(seat.manager_id)


def _left(visit: Visit, rep_id: str) -> str:
    at = visit.book.left_on(rep_id)
    return "" if at is None else texts.moment_day(visit.lang, at, visit.book.zone)


def _weeks_chart(visit: Visit, weeks: Sequence[WeekOfLeads], said: str) -> ChartView | None:
    if len(weeks) < 2:
        return None
    title = visit.t("rep.weeks_title", n=len(weeks))
    bars = [
        charts.Bar(
            texts.moment_day(visit.lang, week.monday, visit.book.zone),
            float(week.mine),
            visit.number(week.mine),
            muted=at > 0,
        )
        for at, week in enumerate(reversed(weeks))
    ]
    svg = charts.bar_chart(bars, title, said, axis_label=visit.t("rep.weeks_axis"), width=NARROW)
    return ChartView(title, Markup(svg))  # noqa: S704 texts are escaped by charts


def _leads(visit: Visit, rep_id: str) -> TableView | None:
    """The leads that the machine or a person gave him, newest first."""
    if not visit.may("decisions"):
        return None
    with visit.book.core.store.read() as view:
        items: tuple[StoredDecision, ...] = view.decisions(rep_id=rep_id, limit=_N_LEADS, newest_first=True).items
    if not items:
        return None
    names = ("lead", "decided_at", "win_probability", "expected_value", "why")
    heads = tuple(Cell(visit.t(f"decisions.{name}"), name in ("win_probability", "expected_value")) for name in names)
    return TableView(
        visit.t("rep.leads_caption", n=len(items)),
        heads,
        tuple(decision_row(visit, one, with_rep=False) for one in items),
    )


def _outlook(visit: Visit, rep_id: str) -> dict[str, Any] | None:
    try:
        rows = [row for row in visit.book.forecast("rep") if row["rep_id"] == rep_id]
    except NoReleaseError:
        return None
    if not rows:
        return None
    ratio = visit.book.core.session.config.general.miss_ratio
    return {
        "sentence": outlook_sentence(leading(rows), visit.book.currency, visit.lang, ratio),
        "chart": fan(rows, visit.t("rep.fan", rep=visit.book.name(rep_id)), visit.book.currency, visit.lang, NARROW),
    }


def _warnings(visit: Visit, rep_id: str) -> list[dict[str, Any]] | None:
    try:
        return [warning_view(visit, one) for one in visit.book.warnings(visit.lang) if one["rep_id"] == rep_id]
    except NoReleaseError:
        return None


def _drivers(visit: Visit, rep_id: str) -> dict[str, Any] | None:
    """His part of the driver report of the last whole month; None where there is no report or he is not in it."""
    try:
        payload = visit.book.drivers(None, asked_against(visit))
    except (NoReleaseError, RequestError):
        return None
    section = rep_section(payload, rep_id, visit.lang)
    if section is None:
        return None
    other = "top" if payload.comparison.kind == "peers" else "peers"
    section["other"] = visit.href("/reps", rep_id, against=other) + "#drivers"
    section["other_name"] = visit.t(f"report.comparison.choose_{other}")
    return section
