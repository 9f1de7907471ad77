"""Models: which release decides, what training found, how well calibrated it is, what the gate said, and rule mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response

from features.messages import from_stored, in_language, message
from serving.drift_watch import last_report
from serving.http.problems import Problem
from serving.pages.drift_section import drift_section
from serving.pages.forecast_page import backtest_table, choice_sentence, reliability
from serving.pages.gate_words import failed_checks, verdict_words
from serving.pages.today import model_state
from serving.pages.visit import Sent, Visit, sends, visits
from serving.reports.tables import Cell, Row, TableView, numeric, text
from serving.texts import has, joined, unbroken
from training.release import challenger

router = APIRouter(include_in_schema=False)

_SCORES: Final = ("auc", "log_loss", "brier", "ece")


@router.get("/models")
def models(visit: Annotated[Visit, visits("models")]) -> Response:
    """The releases and what is known about the one in use."""
    core = visit.book.core
    known = core.models()
    unit = visit.book.state().board.unit
    report: Mapping[str, Any] = {} if unit is None else unit.report
    findings: Mapping[str, Any] | None = report.get("findings")
    may_switch = visit.may("rule_mode")
    context = {
        "model": model_state(visit),
        "findings": _findings(visit, findings) if findings else [],
        "scores": _scores(visit, findings) if findings else None,
        "reliability": reliability(visit, findings),
        "choice": choice_sentence(visit, report.get("choice")),
        "backtest": backtest_table(visit, report.get("backtest") or []),
        "excluded": [
            (str(name), in_language(from_stored(reason), visit.lang)) for name, reason in report.get("excluded") or []
        ],
        "releases": _releases(visit, known),
        "caveat": _caveat(visit, known),
        "rules": core.rule_mode(),
        "may_switch": may_switch,
        "teams": sorted({seat.team_id for seat in visit.book.seats(visit.book.moment()) if seat.team_id})
        if may_switch
        else [],
        "drift": drift_section(visit, last_report(core.session.home)),
        "challenger": challenger(core.session.home.releases),
        "experiment": _experiment(visit),
    }
    return visit.page("models.html.j2", context)


def _findings(visit: Visit, findings: Mapping[str, Any]) -> list[str]:
    """What training found out about reps and leads, in sentences with their numbers."""
    said = []
    for name in ("interaction", "rep_effect"):
        one = findings[name]
        possible = name == "interaction" and findings["routing_mode"] == "pairs"  # routed on, supported or not
        found = "found" if one["supported"] else "possible" if possible else "none"
        p = "< 0.001" if one["p_value"] < 0.001 else f"= {visit.number(one['p_value'], 3)}"
        said.append(visit.t(f"models.{name}_{found}", sd=visit.number(one["estimate"], 2), p=p))
    said.append(
        visit.t(
            "models.learnt_from",
            n=visit.number(findings["n"]),
            won=visit.number(findings["n_won"]),
            open=visit.number(findings["n_open"]),
        )
    )
    return said


def _scores(visit: Visit, findings: Mapping[str, Any]) -> TableView:
    heads = (Cell(visit.t("models.score")), Cell(visit.t("models.value"), numeric=True), Cell(visit.t("models.means")))
    rows = [
        Row(
            (
                text(visit.t(f"models.{name}")),
                numeric(visit.number(findings.get(name), 3)),
                text(visit.t(f"models.{name}_means")),
            )
        )
        for name in _SCORES
    ]
    return TableView(visit.t("models.scores_caption", n=visit.number(findings["n_scored"])), heads, tuple(rows))


def _releases(visit: Visit, known: Mapping[str, Any]) -> TableView | None:
    items: Any = known["releases"]
    if not items:
        return None
    heads = tuple(Cell(visit.t(f"models.{name}")) for name in ("version", "action", "until", "promoted", "verdict"))
    rows = [
        Row(
            (
                Cell(one["version"], tag="identified" if one["version"] == known["in_use"] else ""),
                text(_named(visit, "promotion", str(one["action"]))),
                text(unbroken(str(one["data_until"])[:10])),
                text(unbroken(str(one["promoted_at"])[:10])),
                text(joined(visit.lang, *verdict_words(one, visit.lang))),
            )
        )
        for one in items
    ]
    return TableView(visit.t("models.releases_caption"), heads, tuple(rows))


def _caveat(visit: Visit, known: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is to be known about a release in use that went live although a check failed; None where all passed."""
    items: list[Mapping[str, Any]] = known["releases"]
    taken = [(place, one) for place, one in enumerate(items) if one["version"] == known["in_use"]]
    mine = next(((place, one) for place, one in taken if one["action"] != "rollback"), None)
    failed = [] if mine is None else failed_checks(mine[1], visit.lang)
    if mine is None or not failed:
        return None
    first = mine[0] == len(items) - 1
    return {"sentence": visit.t("models.first_failed" if first else "models.failed"), "checks": failed}


def _named(visit: Visit, area: str, code: str) -> str:
    key = f"{area}.{code}"
    return visit.t(key) if has(visit.lang, key) else code


def _experiment(visit: Visit) -> TableView | None:
    """Decisions by policy: how much is tried on purpose and how much is held out to measure by."""
    counted = visit.book.core.metrics_snapshot().decisions
    total = sum(counted.values())
    if not total:
        return None
    heads = (
        Cell(visit.t("models.policy")),
        Cell(visit.t("models.decided"), numeric=True),
        Cell(visit.t("models.share"), numeric=True),
    )
    rows = [
        Row((text(_named(visit, "policy", name)), numeric(visit.number(n)), numeric(visit.percent(n / total, 1))))
        for name, n in sorted(counted.items(), key=lambda pair: -pair[1])
    ]
    return TableView(visit.t("models.experiment_caption", n=visit.number(total)), heads, tuple(rows))


@router.post("/models/rule-mode")
def rule_mode(sent: Annotated[Sent, sends("rule_mode")]) -> Response:
    """Switch routing by rules only on or off, for all or a team."""
    visit, fields = sent
    assert visit.principal is not None
    if fields.get("on") not in ("0", "1"):
        raise Problem(422, message("asked.on"))
    team = fields.get("team_id") or None
    visit.book.core.set_rule_mode(on=fields["on"] == "1", team_id=team, by=visit.principal.subject)
    return visit.see_other("/models", done="rules")
