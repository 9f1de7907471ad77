"""A rep's week in plain words: which leads he got and why, and in numbers why not more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from features import moments
from features.moments import DAY, WEEK
from serving import texts
from serving.pages.book import Seat, WeekOfLeads
from serving.pages.visit import Visit
from serving.reports.tables import Cell, Row, TableView, text
from serving.store import StoredDecision
from serving.wording import decision_document

_QUIET: Final = 0.85  # a week with a seventh fewer leads than usual is worth a word
_FEWER: Final = 0.5  # leads below what is usual by this point of a week
_MOST_LEADS: Final = 40


def week_summary(visit: Visit, seat: Seat, weeks: Sequence[WeekOfLeads], at: int) -> str:
    """How many leads this week, of how many places, against the weeks before and against this point of a week."""
    now, usual = weeks[-1].mine if weeks else 0, _usual([week.mine for week in weeks])
    said = visit.t("rep.got", rep=seat.name, n=now, capacity=seat.capacity)
    if usual is None:
        return said + visit.t("rep.no_usual")
    said += visit.t("rep.usual", usual=visit.number(usual, 1), n=len(weeks) - 1)
    share = _elapsed(visit, at)
    if share > 0.99:
        return said
    return said + visit.t("rep.so_far", share=visit.percent(share), expected=visit.number(usual * share, 1))


def is_fewer(visit: Visit, weeks: Sequence[WeekOfLeads], at: int) -> bool:
    """Whether the rep got fewer leads than he usually has by this point of a week."""
    usual = _usual([week.mine for week in weeks])
    return usual is not None and weeks[-1].mine < usual * _elapsed(visit, at) - _FEWER


def _usual(counts: Sequence[int]) -> float | None:
    """Mean of the whole weeks before the last; None where there are fewer than two."""
    past = counts[:-1]
    return sum(past) / len(past) if len(past) >= 2 else None


def _elapsed(visit: Visit, at: int) -> float:
    """Share of a week's leads that are usually in by this point of it."""
    _, profile = visit.book.state().board.volume
    monday = moments.start_of_week(at, visit.book.zone)
    return profile.share_elapsed((at - monday) / WEEK)


def week_leads(visit: Visit, rep_id: str, at: int) -> TableView | None:
    """This week's leads, newest first, each with the sentence that says why he got it."""
    if not visit.may("decisions"):
        return None
    monday = moments.start_of_week(at, visit.book.zone)
    mine = [one for one in visit.book.decided_since(monday) if one.owner_rep_id == rep_id]
    decided = {one.lead_id for one in mine}
    in_tables = visit.book.state().board.placed_in_tables(monday)
    others = sorted(lead for rep, lead in in_tables if rep == rep_id and lead not in decided)
    if not mine and not others:
        return None
    rows = [
        Row(
            (
                Cell(one.lead_id, href=visit.href("/decisions", one.lead_id)),
                text(visit.book.when(one.owned_at or one.decided_at)),
                text(_why(visit, one)),
            )
        )
        for one in mine[:_MOST_LEADS]
    ]
    rows += [Row((text(lead), text("–"), text(visit.t("rep.from_tables")))) for lead in others[:_MOST_LEADS]]
    heads = tuple(Cell(visit.t(f"decisions.{name}")) for name in ("lead", "decided_at", "why"))
    return TableView(visit.t("rep.week_caption", n=len(mine) + len(others)), heads, tuple(rows))


def _why(visit: Visit, stored: StoredDecision) -> str:
    if stored.overridden:
        return visit.t("rep.by_person")
    if stored.owner_rep_id != stored.rep_id:
        return visit.t("rep.by_move")
    state, config = visit.book.state(), visit.book.core.session.config

    def name(rep_id: str) -> str:
        return named(visit, rep_id)

    reasons = decision_document(
        stored.record, visit.lang, config.general.currency, config.routing.objective, name, state.feature_name
    )["reasons"]
    return str(reasons[0]["text"]) if reasons else visit.t("decisions.no_reason")


def named(visit: Visit, rep_id: object) -> str:
    """A rep's name, where the reader may see him; else only that it is another."""
    seen = visit.principal is None or visit.scope().sees_rep(rep_id)
    return visit.book.name(rep_id) if seen else visit.t("rep.another")


def week_reasons(visit: Visit, seat: Seat, weeks: Sequence[WeekOfLeads], at: int) -> list[str]:
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
    decided = visit.book.decided_since(monday)
    return [
        *said, *_fewer_came(visit, weeks, at), *_weighing(visit, seat.rep_id, decided),
        *_bounds(visit, seat, decided, at), *_waiting(visit),
    ]  # fmt: skip


def _fewer_came(visit: Visit, weeks: Sequence[WeekOfLeads], at: int) -> list[str]:
    """That fewer leads came in for everybody by this point of the week, where that is so."""
    usual = _usual([week.all for week in weeks])
    by_now = None if usual is None else usual * _elapsed(visit, at)
    if by_now is None or weeks[-1].all >= _QUIET * by_now:
        return []
    return [visit.t("rep.quiet_week", n=weeks[-1].all, usual=visit.number(by_now, 1))]


def _weighing(visit: Visit, rep_id: str, decided: Sequence[StoredDecision]) -> list[str]:
    """How the week's other leads were decided against the rep: how many, for which reason, and by how much."""
    others = [one for one in decided if one.owner_rep_id not in (rep_id, None)]
    found: dict[str, list[float]] = defaultdict(list)
    for one in others:
        rivals: Any = one.record.get("alternatives", [])
        for rival in rivals:
            if rival["rep_id"] == rep_id and rival["why_not"] != "chosen":
                code, number = _against(one.record, rival)
                found[code].append(number)
    n = sum(map(len, found.values()))
    if not n:
        return [visit.t("rep.others", n=len(others))] if others else []
    parts = [
        _part(visit, code, numbers)
        for code, numbers in sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    ]
    said = [visit.t("rep.weighed", n=n, all=len(others), parts=visit.t("report.semicolon").join(parts))]
    if n < len(others):
        said.append(visit.t("rep.not_near", n=len(others) - n))
    return said


def _against(record: Mapping[str, Any], rival: Mapping[str, Any]) -> tuple[str, float]:
    """Why a rival was not chosen, a hard rule by its name, and by how much (money, NaN where it is no matter of it)."""
    code = str(rival["why_not"])
    if code == "excluded":
        return f"rule.{rival.get('rule', 'none')}", float("nan")
    if code == "lower_value":
        return code, _money(record.get("expected_value")) - _money(rival.get("expected_value"))
    if code == "higher_price":
        return code, _money(rival.get("capacity_price")) - _money(record.get("capacity_price"))
    return code, float("nan")


def _money(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")


def _part(visit: Visit, code: str, numbers: Sequence[float]) -> str:
    """One reason with how often, and by how much on average where that is money."""
    if code.startswith("rule."):
        return visit.t("rep.ruled_part", n=len(numbers), rule=visit.t(code))
    key = f"rep.why_not.{code}"
    why = visit.t(key) if texts.has(visit.lang, key) else code.replace("_", " ")
    part = visit.t("rep.weighed_part", n=len(numbers), why=why)
    known = [one for one in numbers if np.isfinite(one)]
    in_money = visit.book.core.session.config.routing.objective == "expected_value" or code == "lower_value"
    if known and in_money:
        part += visit.t("rep.by_money", amount=visit.money(float(np.mean(known))))
    return part


def _bounds(visit: Visit, seat: Seat, decided: Sequence[StoredDecision], at: int) -> list[str]:
    """What newcomers' lower bounds have to do with it, where they are set."""
    routing, board = visit.book.core.session.config.routing, visit.book.state().board
    if routing.newcomer_min <= 0 and routing.newcomer_share <= 0.0:
        return []
    newcomers = {rep for rep, new in zip(board.rep_ids, board.newcomers(at), strict=True) if new}
    bounds = []
    if routing.newcomer_min > 0:
        bounds.append(visit.t("rep.bound_count", n=routing.newcomer_min))
    if routing.newcomer_share > 0.0:
        bounds.append(visit.t("rep.bound_share", share=visit.percent(routing.newcomer_share)))
    given = sum(one.owner_rep_id in newcomers for one in decided)
    key = "rep.newcomer_self" if seat.rep_id in newcomers else "rep.newcomer_others"
    return [visit.t(key, bounds=visit.t("report.joint").join(bounds), given=given)]


def _waiting(visit: Visit) -> list[str]:
    """How many leads wait, for a better use of the places or for a place at all."""
    with visit.book.core.store.read() as view:
        held = view.held()
    if not held:
        return []
    firsts: list[Any] = [one.record.get("reasons") or [{}] for one in held]
    priced = sum(first[0].get("code") == "held_below_price" for first in firsts)
    return [visit.t("rep.waiting", n=len(held), priced=priced)]
