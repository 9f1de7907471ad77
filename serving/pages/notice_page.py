"""What reps are told: how leads are given, from which data, who watches over it, how to object.

And, on request, every decision about a rep's leads explained, as a page or as JSON.

References
----------
GDPR 13(2)(f), 15(1)(h), 22(3); PIPL 17, 24, 48; EU AI Act 26(7) and 86: notice to workers, explanation on request.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Response

from features.messages import message
from serving.http.problems import Problem
from serving.http.scoping import without_others
from serving.pages.rep_week import named
from serving.pages.visit import Visit, visits
from serving.reports.tables import Cell, Row, TableView, numeric, text
from serving.store import StoredDecision
from serving.texts import minute
from serving.wording import decision_document

router = APIRouter(include_in_schema=False)

_MOST: Final = 200
_SECTIONS: Final = ("automated", "not_automated", "logic", "people", "ask", "object")
_log = structlog.get_logger("serving.audit")


@router.get("/notice")
def notice(visit: Annotated[Visit, visits("start")]) -> Response:
    """What is automated, from which data, by what logic, who oversees it, whom to ask and how to object."""
    used = _used(visit)
    context = {
        "sections": [(name, visit.t(f"notice_title.{name}"), visit.t(f"notice.{name}")) for name in _SECTIONS],
        "used": used,
        "left_out": _left_out(visit),
        "own": _own(visit),
    }
    return visit.page("notice.html.j2", context)


@router.get("/explanation/{rep_id:path}")
def explanation(rep_id: str, visit: Annotated[Visit, visits("warnings")]) -> Response:
    """Every decision about leads that a rep has, newest first, with all its reasons. Who has read it is logged."""
    assert visit.principal is not None
    if not visit.scope().sees_rep(rep_id):
        raise Problem(404, message("unknown.rep", rep=rep_id))
    seat = visit.book.rep(rep_id, visit.book.moment())
    _log.info("explanation_read", rep_id=rep_id, role=visit.principal.role, subject=visit.principal.subject)
    with visit.book.core.store.read() as view:
        page = view.decisions(rep_id=rep_id, limit=_MOST, newest_first=True)
    documents = [_document(visit, one) for one in page.items]
    if visit.query.get("format") == "json":
        body = {"rep_id": rep_id, "data_used": _used(visit), "data_left_out": _left_out(visit), "decisions": documents}
        return Response(json.dumps(body, ensure_ascii=False, indent=1), media_type="application/json")
    context = {
        "rep": seat,
        "view": _table(visit, documents) if documents else None,
        "more": page.next_cursor is not None,
        "most": _MOST,
    }
    return visit.page("explanation.html.j2", context)


def _own(visit: Visit) -> str:
    """The reader's own rep_id where he is a rep, else ""."""
    reader = visit.principal
    return reader.subject if reader is not None and reader.role == "rep" else ""


def _used(visit: Visit) -> list[str]:
    """Meanings of the features about a rep that the models in use look at; none without a release."""
    unit = visit.book.state().board.unit
    if unit is None:
        return []
    spec, at = unit.spec, 4 if visit.lang == "zh" else 3
    about = {*spec.rep_numeric, *spec.pair_numeric, *spec.rep_categorical}
    return list(dict.fromkeys(row[at] for row in spec.describe() if row[0] in about))


def _left_out(visit: Visit) -> list[str]:
    """Columns of the leads table that were kept out as protected attributes."""
    unit = visit.book.state().board.unit
    return [] if unit is None else [name for name, why in unit.spec.excluded if why.startswith("protected")]


def _document(visit: Visit, stored: StoredDecision) -> dict[str, Any]:
    """The decision with its reasons in words, without the chances of reps whom the reader may not see."""
    state, config = visit.book.state(), visit.book.core.session.config
    document = decision_document(
        stored.record, visit.lang, config.general.currency, config.routing.objective,
        lambda other: named(visit, other), state.feature_name,
    )  # fmt: skip
    by = "person" if stored.overridden else "move" if stored.owner_rep_id != stored.rep_id else "machine"
    # Numbers of reasons name the rep compared with; the words say it as the reader may know it.
    told = {**document, "reasons": [{"text": one["text"]} for one in document["reasons"]], "given_by": by}
    return without_others(visit.scope(), {**told, "rep_id": stored.rep_id if by == "machine" else stored.owner_rep_id})


def _table(visit: Visit, documents: list[dict[str, Any]]) -> TableView:
    names = ("lead", "decided_at", "by", "win_probability", "why")
    heads = tuple(Cell(visit.t(f"explanation.{name}"), name == "win_probability") for name in names)
    rows = []
    for one in documents:
        machine = one["given_by"] == "machine"
        said = visit.t("explanation.joint").join(str(reason["text"]) for reason in one["reasons"])
        policy = visit.t(f"policy.{one['policy']}") if machine else visit.t(f"explanation.by_{one['given_by']}")
        why = said if machine and said else visit.t("explanation.ask_person" if not machine else "decisions.no_reason")
        chance = visit.percent(one["win_probability"]) if machine else "–"
        link = visit.href("/decisions", one["lead_id"]) if visit.may("decisions") else ""
        rows.append(
            Row(
                (
                    Cell(one["lead_id"], href=link),
                    text(minute(one["decided_at"])),
                    text(policy),
                    numeric(chance),
                    text(why),
                )
            )
        )
    return TableView(visit.t("explanation.caption", n=len(rows)), heads, tuple(rows))
