"""The audit by group inside the service: a form that takes the groups, and the answer, of which nothing is kept."""

from __future__ import annotations

from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Response

from features.errors import RequestError
from features.messages import in_language, message
from features.moments import parse
from serving.group_audit import audit, parse_groups
from serving.pages.group_audit_page import audit_context
from serving.pages.visit import Sent, Visit, sends, visits

router = APIRouter(include_in_schema=False)

_LONGEST: Final = 500_000
_SEPARATORS: Final = ("\t", ";", ",")
_log = structlog.get_logger("serving.audit")


@router.get("/group-audit")
def ask(visit: Annotated[Visit, visits("group_audit")]) -> Response:
    """The form that takes groups of reps."""
    return _form(visit, {})


@router.post("/group-audit")
def show(sent: Annotated[Sent, sends("group_audit", _LONGEST)]) -> Response:
    """What routing gave to the groups; the form again, as it was filled in, where they cannot be read."""
    visit, fields = sent
    assert visit.principal is not None
    core = visit.book.core
    try:
        groups = parse_groups(fields.get("groups", ""), visit.t("group_audit_form.groups"), _separator(fields))
        since, until = (_day(visit, fields.get(name, "")) for name in ("since", "until"))
        found = audit(core, groups, since, until)
    except RequestError as error:
        return _form(visit, fields, visit.t("group_audit_form.wrong", why=in_language(error, visit.lang)))
    reader, n = visit.principal, len(groups.attributes)
    _log.info("group_audit_read", role=reader.role, subject=reader.subject, n_attributes=n)
    return visit.page("group_audit_found.html.j2", audit_context(found, visit.lang))


def _form(visit: Visit, fields: dict[str, str], wrong: str = "") -> Response:
    kept = {name: fields.get(name, "") for name in ("groups", "since", "until")}
    return visit.page("group_audit_form.html.j2", {"kept": kept, "wrong": wrong}, 422 if wrong else 200)


def _separator(fields: dict[str, str]) -> str:
    """What parts the cells: a spreadsheet's clipboard has tabs, exports have commas or semicolons."""
    heading = fields.get("groups", "").partition("\n")[0]
    return next((one for one in _SEPARATORS if one in heading), ",")


def _day(visit: Visit, text: str) -> int | None:
    if not text:
        return None
    try:
        return parse(text, visit.book.zone)
    except (ValueError, OverflowError):
        raise RequestError(message("groups.day", day=text[:40])) from None
