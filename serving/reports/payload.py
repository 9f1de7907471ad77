"""What a driver report says, as frozen values without language: one payload makes both pages and drivers.json.

Money is in major units a month. Signs: a contribution or part above 0 pushes up, towards more money.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from features.moments import iso, month_text
from models.drivers.attribution import Attribution, RankedDriver
from models.drivers.decomposition import Decomposition
from models.drivers.effects import EffectRow
from models.drivers.matrix import MatrixPlace
from models.drivers.suggestions import Suggestion
from serving.reports.measures import MeasureResult, Pilot

_STATEMENT = (
    "Association, not effect, except under effects and measures. Decides nothing about pay, renewal or dismissal."
)


@dataclass(frozen=True)
class Effectiveness:
    """Contribution per effective head of the company, a team or a tenure band (`kind`).

    Effective heads count presence: who joined mid-month or was on leave counts in part. None where unknown.
    `per_head_since_routing`: the mean month since the machine's routing was switched on, up to this month.
    """

    kind: str
    id: str
    heads: float
    contribution: float
    per_head: float | None
    per_head_last_month: float | None
    per_head_year_ago: float | None
    per_head_since_routing: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Whom the reps' pages compare with: `kind` peers (of like tenure and territory) or top (tenth on twelve months).

    Of the top: `n` reps, `lead` their mean month over the desk's, in money, and `luck_share` (0-1) of it that is the
    luck of having been chosen for those very months.
    """

    kind: str = "peers"
    n: int = 0
    lead: float | None = None
    luck_share: float | None = None


@dataclass(frozen=True)
class StagedTarget:
    """One step of a rep's personal targets: a month (index) and money in it."""

    month: int
    amount: float


@dataclass(frozen=True)
class RepPage:
    """One rep: `gap` against his peers, up to three suggestions, and his last months' contribution.

    `peers`: who they are: tenure_territory, tenure (too few share his territory) or top; `in_top`: he is one of them.
    """

    rep_id: str
    name: str
    team_id: str
    tenure_years: float
    contribution: float
    gap: Decomposition | None
    n_peers: int
    suggestions: tuple[Suggestion, ...]
    history: tuple[float, ...] = ()
    targets: tuple[StagedTarget, ...] = ()
    peers: str = "tenure"
    in_top: bool = False


@dataclass(frozen=True)
class ModelQuality:
    """Out-of-time error of the explained model beside the baseline's, in money a rep and month."""

    name: str
    version: str
    mean_absolute_error: float | None
    baseline_error: float | None
    n_tested: int
    months_tested: int


@dataclass(frozen=True)
class DataNote:
    """What went in: rows a table, months covered (indices), and what was left out with its reason."""

    rows: tuple[tuple[str, int], ...]
    first_month: int
    last_month: int
    excluded: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ReportPayload:
    """All numbers of one driver report. `as_of` is a moment, `month` a month index; `currency` may be empty.

    `names`: (rep_id, name) of every rep, for people on paper only; `drivers.json` carries ids alone.
    """

    as_of: int
    month: int
    zone: str
    currency: str
    effectiveness: tuple[Effectiveness, ...]
    company: Attribution
    teams: tuple[Attribution, ...]
    reps: tuple[Attribution, ...]
    ranking: tuple[RankedDriver, ...]
    effects: tuple[EffectRow, ...]
    rep_pages: tuple[RepPage, ...]
    model: ModelQuality
    data: DataNote
    month_change: Decomposition | None = None
    review_on: date | None = None
    notes: tuple[str, ...] = field(default=())
    matrix: tuple[MatrixPlace, ...] = ()
    measures: tuple[MeasureResult, ...] = ()
    pilots: tuple[Pilot, ...] = ()
    routing_since: int | None = None
    comparison: Comparison = field(default_factory=Comparison)
    names: tuple[tuple[str, str], ...] = ()

    def overall(self) -> Effectiveness | None:
        """The company's effectiveness, if it was given."""
        return next((one for one in self.effectiveness if one.kind == "company"), None)


def drivers_json(payload: ReportPayload) -> dict[str, Any]:
    """The contract's drivers.json and more: effectiveness, ranking, month_change, matrix, measures, pilots,
    comparison, rep_details, model, data.

    Plain dicts, lists, text and finite numbers; a number that is not finite is null.
    """
    made = {
        "as_of": iso(payload.as_of, payload.zone),
        "month": month_text(payload.month),
        "currency": payload.currency,
        "company": asdict(payload.company),
        "teams": [asdict(one) for one in payload.teams],
        "reps": [asdict(one) for one in payload.reps],
        "effects": [asdict(row) for row in payload.effects],
        "effectiveness": [asdict(one) for one in payload.effectiveness],
        "ranking": [asdict(one) for one in payload.ranking],
        "month_change": _decomposition(payload.month_change),
        "matrix": [asdict(one) for one in payload.matrix],
        "measures": [_measure(one) for one in payload.measures],
        "pilots": [{**asdict(one), "start": month_text(one.start)} for one in payload.pilots],
        "routing_since": _month_or_none(payload.routing_since),
        "comparison": asdict(payload.comparison),
        "rep_details": [_rep_details(page) for page in payload.rep_pages],
        "model": asdict(payload.model),
        "data": {
            "rows": dict(payload.data.rows),
            "first_month": month_text(payload.data.first_month),
            "last_month": month_text(payload.data.last_month),
            "excluded": [{"name": name, "reason": reason} for name, reason in payload.data.excluded],
        },
        "review_on": payload.review_on.isoformat() if payload.review_on else None,
        "notes": list(payload.notes),
        "statement": _STATEMENT,
    }
    clean: dict[str, Any] = _clean(made)
    return clean


def _measure(one: MeasureResult) -> dict[str, Any]:
    path = [dict(zip(("month", "difference", "ci_low", "ci_high"), step, strict=True)) for step in one.path]
    return {**asdict(one), "first_month": _month_or_none(one.first_month), "path": path}


def _month_or_none(month: int | None) -> str | None:
    return None if month is None else month_text(month)


def _decomposition(found: Decomposition | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)


def _rep_details(page: RepPage) -> dict[str, Any]:
    # Names are for people on paper; the machine-readable file carries ids only.
    return {
        "rep_id": page.rep_id,
        "team_id": page.team_id,
        "tenure_years": page.tenure_years,
        "contribution": page.contribution,
        "gap": _decomposition(page.gap),
        "n_peers": page.n_peers,
        "peers": page.peers,
        "in_top": page.in_top,
        "suggestions": [asdict(one) for one in page.suggestions],
        "targets": [{"month": month_text(one.month), "amount": one.amount} for one in page.targets],
    }


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _clean(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
