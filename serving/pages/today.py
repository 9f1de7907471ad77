"""The start page: what waits, what warns, how full the week is, what the month will bring, and which model decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response

from features import moments
from features.errors import NoReleaseError
from features.moments import DAY
from serving import texts
from serving.http.scoping import Scope
from serving.pages.book import Seat
from serving.pages.fans import NARROW, fan, leading, outlook_sentence
from serving.pages.overdue import overdue_section
from serving.pages.visit import Visit, visits

router = APIRouter(include_in_schema=False)

_N_HELD: Final = 8
_N_URGENT: Final = 4
_OLD_MODEL_DAYS: Final = 45


@router.get("/")
def today(visit: Annotated[Visit, visits("start")]) -> Response:
    """What a reader should know this morning; a rep is sent to his own page."""
    assert visit.principal is not None
    if visit.principal.role == "rep":
        return visit.see_other("/reps", visit.principal.subject)
    at = visit.book.moment()
    scope = visit.scope()
    seats = [seat for seat in visit.book.seats(at) if scope.sees_rep(seat.rep_id)] if visit.may("decisions") else []
    context: dict[str, Any] = {
        "day": texts.moment_day(visit.lang, at, visit.book.zone),
        "week": week_name(visit, at),
        "held": _held(visit, scope),
        "warnings": _warnings(visit, scope),
        "capacity": capacity(seats) if seats else None,
        "outlook": _outlook(visit, scope) if visit.may("forecasts") else None,
        "model": model_state(visit),
        "rules": visit.book.core.rule_mode(),
        "overdue": overdue_section(visit, scope) if visit.may("warnings") else None,
        "gain_gone": visit.may("experiment") and visit.book.core.measured().alarm,
    }
    return visit.page("today.html.j2", {**context, "cards": _cards(visit, context)})


def week_name(visit: Visit, at: int) -> str:
    """The ISO week of a moment for people: its Monday."""
    monday = moments.start_of_week(at, visit.book.zone)
    return visit.t("today.week", monday=texts.moment_day(visit.lang, monday, visit.book.zone))


def capacity(seats: Sequence[Seat]) -> dict[str, Any]:
    """Places of the week: in all, and by team."""
    by_team: dict[str, list[Seat]] = defaultdict(list)
    for seat in seats:
        by_team[seat.team_id].append(seat)
    teams = [{"team": team, **_places(mine)} for team, mine in sorted(by_team.items())]
    return {**_places(seats), "teams": teams}


def _places(seats: Sequence[Seat]) -> dict[str, int]:
    return {
        "n_reps": len(seats),
        "used": sum(seat.used for seat in seats),
        "capacity": sum(seat.capacity for seat in seats),
        "free": sum(seat.free for seat in seats if seat.rule in ("none", "full")),
        "absent": sum(seat.rule == "absent" for seat in seats),
    }


def _held(visit: Visit, scope: Scope) -> dict[str, Any] | None:
    """Leads that wait; they are nobody's yet, so only who sees all sees them."""
    if scope.rep_ids is not None or not visit.may("decisions"):
        return None
    waiting = visit.book.held(visit.lang)
    shown = [
        {
            "lead_id": one.lead_id,
            "since": visit.book.when(one.since),
            "reason": next((str(reason["text"]) for reason in one.document["reasons"]), ""),
            "value": one.document["expected_value"],
        }
        for one in waiting[:_N_HELD]
    ]
    return {"n": len(waiting), "items": shown}


def _warnings(visit: Visit, scope: Scope) -> dict[str, Any] | None:
    if not visit.may("warnings"):
        return None
    try:
        items = [one for one in visit.book.warnings(visit.lang) if scope.sees_rep(one["rep_id"])]
    except NoReleaseError:
        return None
    live = [one for one in items if one["status"] == "open"]
    high = sum(one["severity"] == "high" for one in live)
    return {"n": len(live), "high": high, "items": live[:_N_URGENT]}


def _outlook(visit: Visit, scope: Scope) -> dict[str, Any] | None:
    """The company's forecast, or for a manager the one of his team."""
    level = "company" if scope.rep_ids is None else "team"
    try:
        rows = [row for row in visit.book.forecast(level) if scope.sees(level, row["id"])]
    except NoReleaseError:
        return None
    if not rows:
        return None
    mine = [row for row in rows if row["id"] == rows[0]["id"]]
    first, ratio = leading(mine), visit.book.core.session.config.general.miss_ratio
    title = visit.t("demo.fan_title") if level == "company" else visit.t("forecast.fan_team", team=mine[0]["id"])
    return {
        "first": first,
        "month": texts.month(visit.lang, moments.parse_month(str(first["month"]))),
        "sentence": outlook_sentence(first, visit.book.currency, visit.lang, ratio),
        "chart": fan(mine, title, visit.book.currency, visit.lang, NARROW),
    }


def model_state(visit: Visit) -> dict[str, Any]:
    """Which release decides, how old its data are, and what routing goes by."""
    core = visit.book.core
    state = visit.book.state()
    unit = state.board.unit
    if unit is None:
        return {"version": None, "mode": visit.t("mode.fallback")}
    age = max(0, int((visit.book.moment() - unit.data_until) // DAY))
    return {
        "version": core.model_version,
        "until": texts.moment_day(visit.lang, unit.data_until - 1, visit.book.zone),
        "age_days": age,
        "is_old": age > _OLD_MODEL_DAYS,
        "mode": visit.t(f"mode.{unit.routing_mode}"),
        "known": visit.book.when(state.board.as_of - 1),
    }


def _cards(visit: Visit, found: dict[str, Any]) -> list[dict[str, str]]:
    """Figures at a glance, each with where it leads."""
    cards = []
    outlook, warned, held, places = (found[name] for name in ("outlook", "warnings", "held", "capacity"))
    if outlook:
        low, high = (visit.money(float(outlook["first"][name])) for name in ("p10", "p90"))
        label = visit.t("demo.expected", month=outlook["month"])
        note = visit.t("demo.expected_note", low=low, high=high)
        cards.append(_card(label, visit.money(float(outlook["first"]["p50"])), note, visit.href("/forecast")))
    if warned is not None:
        note = visit.t("today.warnings_note", high=warned["high"])
        cards.append(_card(visit.t("today.warnings"), visit.number(warned["n"]), note, visit.href("/warnings")))
    if held is not None:
        where = visit.href("/decisions", status="held")
        cards.append(_card(visit.t("today.held"), visit.number(held["n"]), visit.t("today.held_note"), where))
    if places:
        value = f"{visit.number(places['used'])} / {visit.number(places['capacity'])}"
        note = visit.t("today.capacity_note", free=visit.number(places["free"]))
        where = visit.href("/reps") if visit.may("forecasts") else ""
        cards.append(_card(visit.t("today.capacity"), value, note, where))
    return cards


def _card(label: str, value: str, note: str, href: str) -> dict[str, str]:
    return {"label": label, "value": value, "note": note, "href": href}
