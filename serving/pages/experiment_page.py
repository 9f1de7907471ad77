"""What routing brings against the always-on hold-out, for managers: sentences, figures, and how they are measured."""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response

from serving.experiment import Experiment, sentences
from serving.pages.visit import Visit, visits
from serving.reports.tables import Cell, Row, TableView, numeric, text

router = APIRouter(include_in_schema=False)

_PER: Final = 100


@router.get("/experiment")
def experiment(visit: Annotated[Visit, visits("experiment")]) -> Response:
    """Uplift in wins and money with its interval, on how many leads it rests, and whether the gain is gone."""
    found = visit.book.core.measured()
    said = sentences(found, visit.book.currency, visit.lang)
    n_first = 0 if found.wins is None else 2
    context: dict[str, Any] = {
        "alarm": found.alarm,
        "verdicts": said[: n_first or 1],
        "more": said[n_first or 1 :],
        "figures": _figures(visit, found),
    }
    return visit.page("experiment.html.j2", context)


def _figures(visit: Visit, found: Experiment) -> TableView | None:
    if found.wins is None or found.value is None:
        return None
    heads = ("outcome", "all", "low", "high")
    recent = visit.t("experiment.recent", n=visit.number(found.wins.recent.n_policy + found.wins.recent.n_holdout))
    cells = [Cell(visit.t(f"experiment.{name}"), numeric=at > 0) for at, name in enumerate(heads)]
    cells += [Cell(recent, numeric=True), *(Cell(visit.t(f"experiment.{name}"), numeric=True) for name in heads[2:])]
    rows = []
    for name, one in (("wins", found.wins), ("value", found.value)):
        numbers = [
            _shown(visit, name, value)
            for part in (one.whole, one.recent)
            for value in (part.value, part.ci_low, part.ci_high)
        ]
        rows.append(Row((text(visit.t(f"experiment.n_{name}")), *map(numeric, numbers))))
    return TableView(visit.t("experiment.figures_caption", per=_PER), tuple(cells), tuple(rows))


def _shown(visit: Visit, name: str, value: float) -> str:
    if not isfinite(value):
        return "–"
    if name == "value":
        return visit.money(_PER * value, signed=True)
    return visit.number(_PER * value, 1)
