"""Decisions about leads: the list, one lead with its reasons and rivals, and giving it to somebody else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response

from features import moments
from features.errors import UnknownRepError
from features.messages import message
from serving.http.problems import Problem
from serving.http.protocol import ConflictError
from serving.http.routes.assignments import parse_cursor
from serving.http.scoping import Scope, visible_decision
from serving.pages.visit import Sent, Visit, sends, visits
from serving.reports.tables import Cell, Row, TableView, numeric, text
from serving.store import StoredDecision
from serving.store.decisions import MACHINE
from serving.texts import has, minute

router = APIRouter(include_in_schema=False)

_PER_PAGE: Final = 50
_MOST_RIVALS: Final = 12
# Standard columns of a lead, in the order in which people ask for them; a customer's own columns follow.
_FIELDS: Final = ("created_at", "source", "territory", "industry", "account_id", "marketer_id", "referred_by_lead_id")


@router.get("/decisions")
def list_decisions(visit: Annotated[Visit, visits("decisions")]) -> Response:
    """Decisions, newest first, by status, rep and day."""
    scope, query = visit.scope(), visit.query
    status = query.get("status", "")
    if status not in ("", "assigned", "held"):
        raise Problem(422, message("asked.status"))
    since = query.get("since", "")
    with visit.book.core.store.read() as view:
        page = view.decisions(
            status=status or None,
            rep_id=query.get("rep_id") or None,
            rep_ids=scope.rep_ids,
            since=_day_start(visit, since),
            cursor=parse_cursor(query.get("cursor")),
            limit=_PER_PAGE,
            newest_first=True,
        )
    kept = {"status": status, "rep_id": query.get("rep_id", ""), "since": since}
    older = visit.href("/decisions", **kept, cursor=page.next_cursor) if page.next_cursor is not None else ""
    context = {
        "table": _list(visit, page.items) if page.items else None,
        "kept": kept,
        "filtered": any(kept.values()),
        "reps": _rep_options(visit, scope),
        "older": older,
        "newest": visit.href("/decisions", **kept) if query.get("cursor") else "",
    }
    return visit.page("decisions.html.j2", context)


def _day_start(visit: Visit, text_: str) -> int | None:
    if not text_:
        return None
    try:
        return moments.start_of_day(date.fromisoformat(text_), visit.book.zone)
    except (ValueError, OverflowError):
        raise Problem(422, message("asked.day")) from None


def _rep_options(visit: Visit, scope: Scope) -> list[tuple[str, str]]:
    state = visit.book.state()
    reps = [rep for rep in state.board.rep_ids if scope.sees_rep(rep)]
    return sorted(((rep, state.name_of(rep)) for rep in reps), key=lambda pair: (pair[1], pair[0]))


def _list(visit: Visit, items: tuple[StoredDecision, ...]) -> TableView:
    names = ("lead", "decided_at", "rep", "status", "win_probability", "expected_value", "why")
    heads = tuple(Cell(visit.t(f"decisions.{name}"), name in ("win_probability", "expected_value")) for name in names)
    return TableView(visit.t("decisions.caption"), heads, tuple(decision_row(visit, one) for one in items))


def decision_row(visit: Visit, stored: StoredDecision, *, with_rep: bool = True) -> Row:
    """A decision as a row: lead, when, rep and status (where wanted), chance, value, policy."""
    record: Mapping[str, Any] = stored.record
    held = stored.status == "held"
    rep = stored.owner_rep_id
    whose = Cell(visit.book.name(rep) or "–", href=visit.href("/reps", rep) if rep and visit.may("warnings") else "")
    status = visit.t("decisions.overridden" if stored.overridden else f"status.{stored.status}")
    cells = [
        Cell(stored.lead_id, href=visit.href("/decisions", stored.lead_id)),
        text(visit.book.when(stored.decided_at)),
        *([whose, Cell(status, tag="held" if held else "assigned")] if with_rep else []),
        numeric(visit.percent(_number(record.get("win_probability")), 1)),
        numeric(visit.money(_number(record.get("expected_value")))),
        text(policy_name(visit, stored.policy, held=held)),
    ]
    return Row(tuple(cells))


def policy_name(visit: Visit, policy: str, *, held: bool = False) -> str:
    """What a policy goes by, in words; one that the catalogue does not hold is shown as it is."""
    key = "policy.held" if held else f"policy.{policy}"
    return visit.t(key) if has(visit.lang, key) else policy.replace("_", " ")


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


# -- one lead ---------------------------------------------------------------------------------------------------


@router.get("/decisions/{lead_id:path}")
def show_decision(lead_id: str, visit: Annotated[Visit, visits("decisions")]) -> Response:
    """Who has the lead, why he and not the next best, what else was weighed, and what happened since."""
    return _page(visit, lead_id)


@router.post("/decisions/{lead_id:path}/override")
def override(lead_id: str, sent: Annotated[Sent, sends("override")]) -> Response:
    """Give the lead to somebody else, with a reason; where that is refused the form comes back and says why."""
    visit, fields = sent
    assert visit.principal is not None
    scope, core = visit.scope(), visit.book.core
    rep_id, reason = fields.get("rep_id", ""), fields.get("reason", "")
    by = fields.get("by", "") if visit.principal.open else visit.principal.subject
    if scope.rep_ids is not None:
        visible_decision(scope, core.decision(lead_id, lang=visit.lang), lead_id)
        if rep_id and not scope.sees_rep(rep_id):
            raise Problem(403, message("scope.not_his_team", rep=rep_id))
    missing = next((name for name, value in (("rep", rep_id), ("reason", reason), ("by", by)) if not value), None)
    if missing is not None:
        return _page(visit, lead_id, fields, visit.t(f"override.missing_{missing}"), status=422)
    try:
        core.override(
            lead_id, rep_id=rep_id, by=by[:200], reason=reason, force=bool(fields.get("force")), lang=visit.lang
        )
    except UnknownRepError:
        return _page(visit, lead_id, fields, visit.t("override.unknown_rep"), status=422)
    except ConflictError:
        return _page(visit, lead_id, fields, _conflict(visit, rep_id), status=409)
    return visit.see_other("/decisions", lead_id, done="override")


def _conflict(visit: Visit, rep_id: str) -> str:
    seat = visit.book.rep(rep_id, visit.book.moment())
    if seat.rule == "left":
        return visit.t("override.left", rep=seat.name)
    return visit.t("override.full", rep=seat.name, used=seat.used, capacity=seat.capacity)


def _page(
    visit: Visit, lead_id: str, fields: Mapping[str, str] | None = None, trouble: str = "", status: int = 200
) -> Response:
    scope = visit.scope()
    found: dict[str, Any] = dict(
        visible_decision(scope, dict(visit.book.core.decision(lead_id, lang=visit.lang)), lead_id)
    )
    reasons = found["reasons"]
    held = found["status"] == "held"
    context = {
        "lead_id": lead_id,
        "found": found,
        "owner": found["owner_rep_id"],
        "decided_at": minute(found["decided_at"]),
        "held": held,
        "why": reasons[0]["text"] if reasons else visit.t("decisions.no_reason"),
        "more": [_as_sentence(reason["text"], visit.lang) for reason in reasons[1:]],
        "policy": policy_name(visit, str(found["policy"]), held=held and not found["policy"]),
        "rivals": _rivals(visit, found),
        "facts": _facts(visit, found["lead"]),
        "history": [_entry(visit, entry) for entry in found["history"]],
        "form": _form(visit, scope, found, fields or {}, trouble, status) if visit.may("override") else None,
    }
    return visit.page("decision.html.j2", context, status)


def _as_sentence(said: str, lang: str) -> str:
    """A reason with a capital at its beginning, as a list wants it."""
    return said[:1].upper() + said[1:] if lang == "en" else said


def _rivals(visit: Visit, found: Mapping[str, Any]) -> TableView | None:
    others = list(found["alternatives"])
    if not others:
        return None
    if found["rep_id"] and all(one["rep_id"] != found["rep_id"] for one in others):
        numbers = ("rep_id", "win_probability", "expected_value", "capacity_price", "propensity")
        others.insert(0, {**{name: found[name] for name in numbers}, "why_not": visit.t("why_not.chosen")})
    names = ("rep", "win_probability", "expected_value", "price", "propensity", "why_not")
    heads = tuple(Cell(visit.t(f"decisions.{name}"), 0 < at < 5) for at, name in enumerate(names))
    rows = [
        Row(
            (
                Cell(
                    visit.book.name(one["rep_id"]),
                    href=visit.href("/reps", one["rep_id"]) if visit.may("warnings") else "",
                ),
                numeric(visit.percent(_number(one["win_probability"]), 1)),
                numeric(visit.money(_number(one["expected_value"]))),
                numeric(visit.money(_number(one["capacity_price"]))),
                numeric(visit.percent(_number(one["propensity"]), 1)),
                text(str(one["why_not"])),
            ),
            total=one["rep_id"] == found["rep_id"],
        )
        for one in others[:_MOST_RIVALS]
    ]
    return TableView(visit.t("decisions.rivals_caption", n=len(others)), heads, tuple(rows))


def _facts(visit: Visit, lead: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is known of the lead, the standard columns first."""
    named = [(visit.t(f"lead_field.{name}"), name) for name in _FIELDS if lead.get(name) not in (None, "")]
    own = [(name.replace("_", " "), name) for name in sorted(lead) if name not in (*_FIELDS, "lead_id", "recorded_at")]
    return [(label, _shown(visit, name, lead[name])) for label, name in named + own if lead[name] not in (None, "")]


def _shown(visit: Visit, name: str, value: object) -> str:
    if isinstance(value, bool):
        return visit.t("decisions.yes" if value else "decisions.no")
    if isinstance(value, (int, float)):
        return visit.number(float(value), 0 if float(value).is_integer() else 2)
    return minute(value) if name == "created_at" else str(value)


def _entry(visit: Visit, entry: Mapping[str, Any]) -> dict[str, str]:
    kind = str(entry["kind"])
    key = f"history.{kind}"
    who = visit.book.name(entry.get("rep_id")) or "–"
    if kind == "decision" and entry.get("status") == "held":
        key = "history.held"
    reason = str(entry.get("reason") or "")
    if kind == "move" and entry.get("by") == MACHINE:
        key, numbers = "history.moved_itself", entry.get("numbers") or {}
        reason = visit.t("overdue.reason", hours=visit.number(_number(numbers.get("hours")), 0))
    said = visit.t(key, rep=who, by=entry.get("by", "")) if has(visit.lang, key) else kind
    forced = visit.t("history.forced") if entry.get("forced") else ""
    return {"at": minute(entry["at"]), "said": said + forced, "reason": reason}


def _form(
    visit: Visit, scope: Scope, found: Mapping[str, Any], fields: Mapping[str, str], trouble: str, status: int
) -> dict[str, Any]:
    """The form that gives the lead to somebody else: who may take it, with his places, and what was sent before."""
    seats = [seat for seat in visit.book.seats(visit.book.moment()) if scope.sees_rep(seat.rep_id)]
    options = [
        {
            "id": seat.rep_id,
            "text": visit.t("override.option", rep=seat.name, used=seat.used, capacity=seat.capacity)
            + (visit.t("override.absent") if seat.rule == "absent" else ""),
        }
        for seat in seats
        if seat.rep_id != found["owner_rep_id"]
    ]
    return {
        "options": options,
        "fields": {name: fields.get(name, "") for name in ("rep_id", "reason", "by")},
        "trouble": trouble,
        "offer_force": status == 409,
        "open": bool(trouble),
    }
