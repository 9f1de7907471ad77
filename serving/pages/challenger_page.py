"""The challenger in shadow: how often it would do the same, where it differs, what both choices are worth, outcomes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Response

from features.messages import in_language
from serving.comparison import FEWEST_LEADS, FEWEST_WINS, Comparison
from serving.pages.visit import Visit, visits
from serving.reports.tables import Cell, Row, TableView, numeric, text
from serving.texts import joined

router = APIRouter(include_in_schema=False)

_MOST_ROWS = 15


@router.get("/models/challenger")
def challenger(visit: Annotated[Visit, visits("models")]) -> Response:
    """What the release in shadow would have done with the decisions since it was named."""
    core = visit.book.core
    named, found = core.comparison()
    unit = visit.book.state().board.unit
    context = {
        "named": named,
        "champion": None if unit is None else unit.version,
        "refused": in_language(core.shadow.refused, visit.lang),
        "counted": _counted(visit, found, core.shadow.failed, core.shadow.skipped),
        "agreement": _agreement(visit, found),
        "worth": _worth(visit, found),
        "sources": _sources(visit, found),
        "reps": _reps(visit, found),
        "outcomes": _outcomes(visit, found),
        "fewest": (visit.number(FEWEST_LEADS), visit.number(FEWEST_WINS)),
    }
    return visit.page("challenger.html.j2", context)


def _counted(visit: Visit, found: Comparison, failed: int, skipped: int) -> str:
    said = visit.t("shadow.counted", n=visit.number(found.n), rest=visit.number(found.n_not_compared))
    if failed or skipped:
        lost = visit.t("shadow.lost", failed=visit.number(failed), skipped=visit.number(skipped))
        said = joined(visit.lang, said, lost)
    return said


def _agreement(visit: Visit, found: Comparison) -> str:
    one = found.agreement
    if not one.n:
        return ""
    return visit.t(
        "shadow.agreement",
        share=visit.percent(one.share),
        low=visit.percent(one.ci_low),
        high=visit.percent(one.ci_high),
        n=visit.number(one.n),
        both=visit.number(found.n_held_by_both),
        held=visit.number(found.n_held_by_one),
    )


def _heads(visit: Visit, first: str, *rest: str) -> tuple[Cell, ...]:
    return (Cell(visit.t(f"shadow.{first}")), *(Cell(visit.t(f"shadow.{name}"), numeric=True) for name in rest))


def _worth(visit: Visit, found: Comparison) -> TableView | None:
    one = found.worth
    if not one.n:
        return None
    rows = [
        Row((text(visit.t(f"shadow.by_{judge}")), *(numeric(visit.money(value)) for value in values)))
        for judge, values in (
            ("champion", (one.champion_by_champion, one.challenger_by_champion)),
            ("challenger", (one.champion_by_challenger, one.challenger_by_challenger)),
        )
    ]
    caption = visit.t("shadow.worth_caption", n=visit.number(one.n))
    return TableView(caption, _heads(visit, "judge", "champion_choice", "challenger_choice"), tuple(rows))


def _sources(visit: Visit, found: Comparison) -> TableView | None:
    if not found.sources:
        return None
    rows = [
        Row(
            (
                text(one.name or visit.t("shadow.no_source")),
                numeric(visit.number(one.n)),
                numeric(visit.percent(one.share)),
                numeric(visit.money(one.gain_by_champion, signed=True)),
                numeric(visit.money(one.gain_by_challenger, signed=True)),
            )
        )
        for one in found.sources[:_MOST_ROWS]
    ]
    heads = _heads(visit, "source", "leads", "same", "gain_champion", "gain_challenger")
    return TableView(visit.t("shadow.sources_caption"), heads, tuple(rows))


def _reps(visit: Visit, found: Comparison) -> TableView | None:
    moved = [one for one in found.reps if one.champion != one.challenger]
    if not moved:
        return None
    rows = []
    for one in moved[:_MOST_ROWS]:
        name = Cell(visit.book.name(one.rep_id))
        numbers: tuple[Any, ...] = (one.champion, one.challenger)
        shift = f"{one.challenger - one.champion:+,}".replace("-", "\u2212")
        rows.append(Row((name, *(numeric(visit.number(n)) for n in numbers), numeric(shift))))
    caption = visit.t("shadow.reps_caption", shown=visit.number(len(rows)), all=visit.number(len(moved)))
    return TableView(caption, _heads(visit, "rep", "given", "would_give", "shift"), tuple(rows))


def _outcomes(visit: Visit, found: Comparison) -> TableView | None:
    one = found.outcomes
    if one is None:
        return None
    rows = [
        Row(
            (
                text(visit.t(f"shadow.{name}")),
                numeric(visit.number(expected, 1)),
                numeric(visit.number(one.n_won)),
                numeric(visit.number(one.n_won / expected if expected > 0 else None, 2)),
                numeric(visit.number(brier, 4)),
            )
        )
        for name, expected, brier in (
            ("champion", one.expected_champion, one.brier_champion),
            ("challenger", one.expected_challenger, one.brier_challenger),
        )
    ]
    heads = _heads(visit, "model", "expected", "won", "ratio", "brier")
    return TableView(visit.t("shadow.outcomes_caption", n=visit.number(one.n)), heads, tuple(rows))
