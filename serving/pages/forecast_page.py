"""Contribution to come: the company, teams and reps as fans and tables, downloads, and how good forecasts were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response
from markupsafe import Markup

from features.messages import message
from features.moments import day_of, parse_month
from serving import texts
from serving.http.problems import Problem
from serving.http.scoping import Scope, check_level
from serving.pages import exports
from serving.pages.fans import NARROW, QUANTILES, chance, fan, finite, leading, outlook_sentence
from serving.pages.visit import Visit, visits
from serving.reports import charts
from serving.reports.tables import Cell, ChartView, Row, TableView, numeric, text

router = APIRouter(include_in_schema=False)

LEVELS: Final = ("company", "team", "rep")
_FANS_PER_PAGE: Final = 12
_COLUMNS: Final = ("p10", "p50", "p90", "target", "p_miss")
_METRICS: Final = ("pinball", "crps", "wape", "coverage_80")


@router.get("/forecast")
def forecast(visit: Annotated[Visit, visits("forecasts")]) -> Response:
    """The forecast of a level (`?level=`), of one month (`?month=`) or of all three."""
    scope = visit.scope()
    level = _level(visit, scope)
    rows = _rows(visit, scope, level)
    months = sorted({str(row["month"]) for row in rows})
    month = visit.query.get("month", "")
    if month and month not in months:
        known = ", ".join(months) or message("asked.no_month")
        raise Problem(422, message("asked.forecast_month", month=month[:20], months=known))
    ids = list(dict.fromkeys(str(row["id"]) for row in rows))
    start = _offset(visit, len(ids))
    shown = ids[start : start + _FANS_PER_PAGE]
    report: Mapping[str, Any] = visit.book.state().unit.report
    context = {
        "level": level,
        "levels": [(one, visit.t(f"forecast.{one}")) for one in LEVELS if one != "company" or scope.rep_ids is None],
        "months": [(one, texts.month(visit.lang, parse_month(one))) for one in months],
        "month": month,
        "parts": [_part(visit, level, id_, [row for row in rows if row["id"] == id_], month) for id_ in shown],
        "next": visit.href("/forecast", level=level, month=month, **{"from": start + _FANS_PER_PAGE})
        if start + _FANS_PER_PAGE < len(ids)
        else "",
        "first": visit.href("/forecast", level=level, month=month) if start else "",
        "n": len(ids),
        "csv": visit.href("/forecast.csv", level=level, month=month),
        "xlsx": visit.href("/forecast.xlsx", level=level, month=month),
        "choice": choice_sentence(visit, report.get("choice")),
        "backtest": backtest_table(visit, report.get("backtest") or []),
        "reliability": reliability(visit, report.get("findings")),
    }
    return visit.page("forecast.html.j2", context)


def _level(visit: Visit, scope: Scope) -> str:
    """The level asked for; by default the company, for a manager his team."""
    level = visit.query.get("level") or ("company" if scope.rep_ids is None else "team")
    if level not in LEVELS:
        raise Problem(422, message("asked.level", levels=", ".join(LEVELS)))
    check_level(scope, level, None)
    return level


def _offset(visit: Visit, n: int) -> int:
    asked = visit.query.get("from", "0")
    if not (asked.isascii() and asked.isdigit() and len(asked) < 8):
        raise Problem(422, message("asked.from_forecasts"))
    return min(int(asked), max(n - 1, 0))


def _rows(visit: Visit, scope: Scope, level: str) -> list[dict[str, Any]]:
    """Rows that the reader may see, each with `id` and `name`, in the order of names."""
    found = []
    for row in visit.book.forecast(level):
        id_ = str(row["rep_id" if level == "rep" else "id"])
        if scope.sees(level, id_):
            found.append({**row, "id": id_, "name": _name(visit, level, id_)})
    return sorted(found, key=lambda row: (row["name"], row["id"], row["month"]))


def _name(visit: Visit, level: str, id_: str) -> str:
    if level == "rep":
        return visit.book.name(id_)
    if level == "company":
        return visit.t("report.company")
    return visit.t("report.effectiveness.team", id=id_) if id_ else visit.t("reps.no_team")


def _part(visit: Visit, level: str, id_: str, rows: Sequence[Mapping[str, Any]], month: str) -> dict[str, Any]:
    name = str(rows[0]["name"])
    chosen = next((row for row in rows if row["month"] == month), leading(rows))
    ratio = visit.book.core.session.config.general.miss_ratio
    title = visit.t("forecast.fan", name=name)
    return {
        "name": name,
        "href": visit.href("/reps", id_) if level == "rep" else "",
        "sentence": outlook_sentence(chosen, visit.book.currency, visit.lang, ratio),
        "chart": fan(rows, title, visit.book.currency, visit.lang, NARROW),
        "table": _table(visit, name, [row for row in rows if not month or row["month"] == month]),
    }


def _table(visit: Visit, name: str, rows: Sequence[Mapping[str, Any]]) -> TableView:
    heads = (Cell(visit.t("forecast.month")), *(Cell(visit.t(f"forecast.{one}"), numeric=True) for one in _COLUMNS))
    made = [
        Row(
            (
                text(texts.month(visit.lang, parse_month(str(row["month"])))),
                *(numeric(visit.money(finite(row[one]))) for one in _COLUMNS[:-1]),
                numeric(chance(visit.lang, finite(row["p_miss"]))),
            )
        )
        for row in rows
    ]
    return TableView(visit.t("forecast.caption", name=name), heads, tuple(made))


# -- downloads --------------------------------------------------------------------------------------------------


@router.get("/forecast.csv")
def forecast_csv(visit: Annotated[Visit, visits("forecasts")]) -> Response:
    """What the page shows, as CSV, headed in the page's language."""
    heads, rows, level = _export(visit)
    return _download(visit, exports.csv_bytes(heads, rows), exports.CSV, level, "csv")


@router.get("/forecast.xlsx")
def forecast_xlsx(visit: Annotated[Visit, visits("forecasts")]) -> Response:
    """What the page shows, as a workbook, headed in the page's language."""
    heads, rows, level = _export(visit)
    return _download(visit, exports.xlsx_bytes(visit.t("nav.forecast"), heads, rows), exports.XLSX, level, "xlsx")


def _export(visit: Visit) -> tuple[list[str], list[list[exports.Value]], str]:
    scope = visit.scope()
    level, month = _level(visit, scope), visit.query.get("month", "")
    heads = [visit.t(f"forecast.{one}") for one in ("id", "name", "month", "mean")]
    heads += [visit.t("forecast.quantile", level=visit.percent(k / 10)) for k in range(1, 10)]
    heads += [visit.t(f"forecast.{one}") for one in ("target", "p_miss")]
    rows: list[list[exports.Value]] = [
        [row["id"], row["name"], str(row["month"])]
        + [_rounded(row[one], 2) for one in ("mean", *QUANTILES, "target")]
        + [_rounded(row["p_miss"], 4)]
        for row in _rows(visit, scope, level)
        if not month or row["month"] == month
    ]
    return heads, rows, level


def _rounded(value: object, digits: int) -> float | None:
    number = finite(value)
    return None if number is None else round(number, digits)


def _download(visit: Visit, body: bytes, kind: str, level: str, ending: str) -> Response:
    day = day_of(visit.book.state().board.as_of - 1, visit.book.zone)
    name = exports.file_name(f"forecast-{level}", day, ending)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Language": visit.lang}
    return Response(body, 200, headers, kind)


# -- how good it was --------------------------------------------------------------------------------------------


def choice_sentence(visit: Visit, choice: Mapping[str, Any] | None) -> str:
    """How forecasts are made, and why so."""
    if not choice:
        return ""
    parts = [
        visit.t("forecast.method_share", method=method_name(visit, str(name)), share=visit.percent(float(share)))
        for name, share in choice["weights"]
    ]
    names = visit.t("report.joint").join(parts) if len(parts) > 1 else method_name(visit, choice["weights"][0][0])
    reason = visit.t(f"forecast.reason.{choice['reason']}", n=choice["n_origins"])
    return visit.t("forecast.choice", names=names, reason=reason)


def method_name(visit: Visit, name: str) -> str:
    """A forecast method for people; one that the catalogue does not hold is shown as it is."""
    key = f"forecast_method.{name}"
    return visit.t(key) if texts.has(visit.lang, key) else name.replace("_", " ")


def backtest_table(visit: Visit, rows: Sequence[Mapping[str, Any]]) -> TableView | None:
    """Past forecasts of reps by method, each figure with its interval, ours first."""
    mine = [row for row in rows if row["level"] == "rep" and row["group"] == ""]
    cells = {(str(row["method"]), str(row["metric"])): row for row in mine}
    methods = list(dict.fromkeys(str(row["method"]) for row in mine))
    if not methods:
        return None
    methods.sort(key=lambda name: (name != "fairlead", _loss(cells.get((name, "pinball")))))
    heads = (Cell(visit.t("forecast.method")), *(Cell(visit.t(f"forecast.{one}"), numeric=True) for one in _METRICS))
    made = [
        Row(
            (
                text(method_name(visit, name)),
                *(numeric(_estimate(visit, one, cells.get((name, one)))) for one in _METRICS),
            ),
            total=name == "fairlead",
        )
        for name in methods
    ]
    n = max(int(row["n_origins"]) for row in mine)
    return TableView(visit.t("forecast.backtest_caption", n=n), heads, tuple(made))


def _loss(row: Mapping[str, Any] | None) -> float:
    value = None if row is None else finite(row["estimate"])
    return float("inf") if value is None else value


def _estimate(visit: Visit, metric: str, row: Mapping[str, Any] | None) -> str:
    if row is None or (value := finite(row["estimate"])) is None:
        return "–"
    shown = visit.percent if metric in ("wape", "coverage_80") else visit.money
    low, high = finite(row["low"]), finite(row["high"])
    return shown(value) + (f" ({shown(low)}–{shown(high)})" if low is not None and high is not None else "")


def reliability(visit: Visit, findings: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Win probabilities against what came of them; None where nothing was scored out of time."""
    bins = (findings or {}).get("reliability") or []
    if not findings or not bins:
        return None
    points = [(float(b["mean_probability"]), float(b["rate"]), int(b["n"])) for b in bins if b["rate"] is not None]
    title = visit.t("models.reliability_title")
    sentence = visit.t(
        "models.reliability_sentence",
        n=visit.number(findings["n_scored"]),
        ece=visit.percent(findings["ece"], 1),
        limit=visit.percent(findings["ece_limit"], 1),
    )
    svg = charts.reliability_diagram(
        points,
        title,
        sentence,
        x_label=visit.t("models.predicted"),
        y_label=visit.t("models.observed"),
        perfect_label=visit.t("models.perfect"),
        tick=partial(texts.percent, visit.lang),
    )
    heads = (
        Cell(visit.t("models.bin")),
        *(Cell(visit.t(f"models.{one}"), numeric=True) for one in ("leads", "predicted", "observed", "interval")),
    )
    rows = [
        Row(
            (
                text(f"{visit.percent(b['low'])}–{visit.percent(b['high'])}"),
                numeric(visit.number(b["n"])),
                numeric(visit.percent(b["mean_probability"], 1)),
                numeric(visit.percent(b["rate"], 1)),
                numeric(f"{visit.percent(b['ci_low'], 1)}–{visit.percent(b['ci_high'], 1)}"),
            )
        )
        for b in bins
    ]
    return {
        "sentence": sentence,
        "chart": ChartView(title, Markup(svg)),  # noqa: S704 texts are escaped by charts
        "table": TableView(visit.t("models.reliability_caption"), heads, tuple(rows)),
    }
