"""A rep's page in plain words: his leads, why fewer this week, whom to ask, what is ahead; and the list of reps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Response
from markupsafe import Markup

from features import moments
from features.errors import NoReleaseError, RequestError
from features.moments import DAY
from serving import texts
from serving.http.problems import Problem
from serving.pages.alerts_page import warning_view
from serving.pages.book import Seat, WeekOfLeads
from serving.pages.drivers_page import asked_against
from serving.pages.fans import NARROW, fan, leading, outlook_sentence
from serving.pages.leads import decision_row
from serving.pages.overdue import calls_due, moved_words
from serving.pages.today import week_name
from serving.pages.visit import Visit, visits
from serving.reports import charts
from serving.reports.render import rep_section
from serving.reports.tables import Cell, ChartView, Row, TableView, numeric, text
from serving.store import StoredDecision

router = APIRouter(include_in_schema=False)

_N_LEADS: Final = 30
_QUIET: Final = 0.85  # a week with a seventh fewer leads than usual is worth a word
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
        raise Problem(404, f"the tables know no rep {rep_id!r}")
    at = visit.book.moment()
    seat = visit.book.rep(rep_id, at)
    _log.info("rep_page_read", rep_id=rep_id, role=visit.principal.role, subject=visit.principal.subject)
    weeks = visit.book.weekly_leads(rep_id, at)
    context = {
        "rep": seat,
        "manager": _manager(visit, seat),
        "left": _left(visit, rep_id),
        "week": week_name(visit, at),
        "summary": _summary(visit, seat, weeks),
        "reasons": _reasons(visit, seat, weeks, at),
        "weeks": _weeks_chart(visit, seat, weeks),
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


def _usual(counts: Sequence[int]) -> float | None:
    """Mean of the whole weeks before the last; None where there are fewer than two."""
    past = counts[:-1]
    return sum(past) / len(past) if len(past) >= 2 else None


def _summary(visit: Visit, seat: Seat, weeks: Sequence[WeekOfLeads]) -> str:
    now, usual = weeks[-1].mine if weeks else 0, _usual([week.mine for week in weeks])
    said = visit.t("rep.got", rep=seat.name, n=now, capacity=seat.capacity)
    if usual is None:
        return said + visit.t("rep.no_usual")
    return said + visit.t("rep.usual", usual=visit.number(usual, 1), n=len(weeks) - 1)


def _reasons(visit: Visit, seat: Seat, weeks: Sequence[WeekOfLeads], at: int) -> list[str]:
    """Why the rep got what he got this week, the hard facts before the machine's weighing."""
    monday = moments.start_of_week(at, visit.book.zone)
    said = [
        visit.t(
            "rep.absent",
            first=texts.moment_day(visit.lang, first, visit.book.zone),
            last=texts.moment_day(visit.lang, last, visit.book.zone),
        )
        for first, last in visit.book.absences(seat.rep_id, monday, monday + 7 * DAY)
    ]
    if seat.rule in ("capacity_zero", "left", "not_sales", "not_hired"):
        said.append(visit.t("rep.rule", rule=visit.t(f"rule.{seat.rule}")))
    elif seat.capacity and seat.used >= seat.capacity:
        said.append(visit.t("rep.full", used=seat.used, capacity=seat.capacity))
    return [*said, *_fewer_came(visit, weeks), *_weighing(visit, seat.rep_id, monday)]


def _fewer_came(visit: Visit, weeks: Sequence[WeekOfLeads]) -> list[str]:
    """That fewer leads came in for everybody, where that is so."""
    usual = _usual([week.all for week in weeks])
    if usual is None or weeks[-1].all >= _QUIET * usual:
        return []
    return [visit.t("rep.quiet_week", n=weeks[-1].all, usual=visit.number(usual, 1))]


def _weighing(visit: Visit, rep_id: str, monday: int) -> list[str]:
    """How the week's other leads were decided against the rep: how many, and for which reason."""
    counts: Counter[str] = Counter()
    decided = visit.book.decided_since(monday)
    others = [one for one in decided if one.owner_rep_id != rep_id]
    for one in others:
        rivals: Any = one.record.get("alternatives", [])
        counts.update(str(rival["why_not"]) for rival in rivals if rival["rep_id"] == rep_id)
    del counts["chosen"]
    if not counts:
        return [visit.t("rep.others", n=len(others))] if others else []
    parts = [
        visit.t("rep.weighed_part", n=n, why=visit.t(f"rep.why_not.{code}"))
        for code, n in counts.most_common()
        if texts.has(visit.lang, f"rep.why_not.{code}")
    ]
    joined = visit.t("report.semicolon").join(parts)
    return [visit.t("rep.weighed", n=sum(counts.values()), all=len(others), parts=joined)] if parts else []


def _weeks_chart(visit: Visit, seat: Seat, weeks: Sequence[WeekOfLeads]) -> ChartView | None:
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
    svg = charts.bar_chart(
        bars, title, _summary(visit, seat, weeks), axis_label=visit.t("rep.weeks_axis"), width=NARROW
    )
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
