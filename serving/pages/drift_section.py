"""What was found the last time drift was looked for, as the models page shows it: alarms first, then the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from serving.pages.visit import Visit
from serving.reports.tables import Cell, Row, TableView, numeric, text
from serving.texts import has, minute

# Inputs are many and shown where they alarm; these say something on their own.
_ALWAYS: Final = ("prediction", "target", "calibration", "age", "freshness", "unseen")
_MOST_ALARMS: Final = 30


def drift_section(visit: Visit, report: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Sentence, table and whether to retrain; None before the first look."""
    if report is None:
        return None
    rows: list[Mapping[str, Any]] = report["findings"]
    alarms = [row for row in rows if row.get("alarm")]
    rest = [row for row in rows if not row.get("alarm") and row.get("kind") in _ALWAYS]
    rest.sort(key=lambda row: _ALWAYS.index(str(row["kind"])))
    at = minute(report.get("as_of", ""))
    said = visit.t(
        "drift.found" if alarms else "drift.none",
        n=visit.number(len(rows)),
        alarms=visit.number(len(alarms)),
        release=report.get("release", ""),
        at=at,
    )
    return {"needed": bool(alarms), "sentence": said, "table": _table(visit, [*alarms[:_MOST_ALARMS], *rest])}


def _table(visit: Visit, rows: Sequence[Mapping[str, Any]]) -> TableView | None:
    if not rows:
        return None
    heads = (
        Cell(visit.t("drift.kind")),
        Cell(visit.t("drift.name")),
        Cell(visit.t("drift.change"), numeric=True),
        Cell(visit.t("drift.p"), numeric=True),
        Cell(visit.t("drift.verdict")),
    )
    made = [
        Row(
            (
                text(_kind(visit, str(row["kind"]))),
                text(_name(visit, str(row["name"]))),
                numeric(_change(visit, str(row["kind"]), row.get("change"))),
                numeric(visit.number(row.get("p_value"), 3)),
                Cell(visit.t("drift.alarm"), tag="alarm") if row.get("alarm") else text(visit.t("drift.quiet")),
            )
        )
        for row in rows
    ]
    return TableView(visit.t("drift.caption"), heads, tuple(made))


def _kind(visit: Visit, kind: str) -> str:
    key = f"drift_kind.{kind}"
    return visit.t(key) if has(visit.lang, key) else kind


def _name(visit: Visit, name: str) -> str:
    if name.startswith("won_within_") and name.endswith("_days"):
        return visit.t("drift_name.won_within", days=name.removeprefix("won_within_").removesuffix("_days"))
    key = f"drift_name.{name}"
    return visit.t(key) if has(visit.lang, key) else name


def _change(visit: Visit, kind: str, change: float | None) -> str:
    if change is None:
        return "\u2013"
    if kind == "unseen":
        return visit.percent(change, 1)
    if kind in ("age", "freshness"):
        return visit.t("drift.days", n=visit.number(change, 0 if change >= 10 else 1))
    if kind == "calibration":
        return visit.number(change, 2)
    sign = "+" if change > 0 else ""
    return visit.t("drift.sds", n=sign + visit.number(change, 2))
