"""Leads that nobody has called in time, on the start page and on a rep's own; and what the machine has moved."""

from __future__ import annotations

from typing import Any, Final

from features.moments import DAY
from serving import texts
from serving.http.scoping import Scope
from serving.overdue_words import moving_sentence, overdue_sentence
from serving.pages.rep_week import named
from serving.pages.visit import Visit
from serving.reports.tables import Cell, Row, TableView, numeric

_N_SHOWN: Final = 8
_MOVES_DAYS: Final = 14


def overdue_section(visit: Visit, scope: Scope) -> dict[str, Any] | None:
    """Sentence and table of late leads of the reps whom the reader answers for."""
    found = visit.book.core.overdue()
    if not found["activities_known"]:
        return None
    mine = [one for one in found["items"] if scope.sees_rep(one["rep_id"])]
    mine.sort(key=lambda one: (-_gain(one), -one["hours"]))
    shown = {**found, "items": mine}
    rest = visit.t("overdue.all", n=visit.number(len(mine))) if len(mine) > _N_SHOWN else ""
    to_move = sum(_gain(one) > 0.0 for one in mine)
    judged = any(one["gain"] is not None for one in mine)
    return {
        "sentence": overdue_sentence(shown, visit.lang),
        "moving": moving_sentence(shown, visit.lang),
        "stay": visit.t("overdue.all_stay") if judged and not to_move else "",
        "table": _table(visit, scope, mine[:_N_SHOWN], with_moves=bool(to_move) or not judged) if mine else None,
        "rest": rest,
    }


def _gain(one: dict[str, Any]) -> float:
    """Money that moving the lead brings; 0 where it brings none, or none is known."""
    return max(float(one["gain"] or 0.0), 0.0)


def _table(visit: Visit, scope: Scope, items: list[dict[str, Any]], *, with_moves: bool) -> TableView:
    """Late leads. A move that would lose is none to propose: such a lead stays, and should be called."""
    heads = [
        Cell(visit.t("decisions.lead")), Cell(visit.t("decisions.rep")), Cell(visit.t("overdue.hours"), numeric=True),
        Cell(visit.t("overdue.value"), numeric=True),
    ]  # fmt: skip
    if with_moves:
        heads += [Cell(visit.t("overdue.best")), Cell(visit.t("overdue.gain_head"), numeric=True)]
    rows = []
    for one in items:
        known = one["decided"] and visit.may("decisions")  # others came by hand-overs of the tables
        cells = [
            Cell(one["lead_id"], href=visit.href("/decisions", one["lead_id"]) if known else ""),
            Cell(visit.book.name(one["rep_id"]), href=visit.href("/reps", one["rep_id"])),
            numeric(visit.number(one["hours"])),
            numeric("–" if one["expected_value"] is None else visit.money(one["expected_value"])),
        ]
        rows.append(Row((*cells, *(_move(visit, scope, one) if with_moves else ()))))
    return TableView(visit.t("overdue.caption" if with_moves else "overdue.caption_stay"), tuple(heads), tuple(rows))


def _move(visit: Visit, scope: Scope, one: dict[str, Any]) -> tuple[Cell, Cell]:
    """To whom a lead could go and what that brings, or that it stays."""
    if one["gain"] is not None and one["gain"] <= 0.0:
        return Cell(visit.t("overdue.stay")), numeric("–")
    best = one["best_rep_id"] if scope.sees_rep(one["best_rep_id"]) else None
    gain = "–" if one["gain"] is None else visit.money(one["gain"], signed=True)
    return Cell(visit.book.name(best) or "–"), numeric(gain)


def calls_due(visit: Visit, rep_id: str) -> dict[str, Any] | None:
    """The rep's own leads that wait for a first call, the longest first."""
    found = visit.book.core.overdue()
    mine = sorted((one for one in found["items"] if one["rep_id"] == rep_id), key=lambda one: -one["hours"])
    if not mine:
        return None
    since = [
        {"lead_id": one["lead_id"], "decided": one["decided"], "since": texts.minute(one["given_at"])}
        for one in mine[:_N_SHOWN]
    ]
    return {"note": visit.t("overdue.mine_note", hours=visit.number(found["contact_hours"])), "leads": since}


def moved_words(visit: Visit, rep_id: str, at: int) -> list[str]:
    """What the machine has moved from or to the rep lately, as he should read it."""
    said = []
    for one in visit.book.core.moves_of(rep_id, at - _MOVES_DAYS * DAY):
        gone = one["from_rep_id"] == rep_id
        other = one["rep_id"] if gone else one["from_rep_id"]
        said.append(
            visit.t(
                "overdue.moved_from" if gone else "overdue.moved_to", lead=one["lead_id"],
                rep=named(visit, other), hours=visit.number(one["hours"]),
                day=texts.moment_day(visit.lang, one["at"], visit.book.zone),
            )
        )  # fmt: skip
    return said
