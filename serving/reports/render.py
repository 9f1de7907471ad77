"""The driver report as one self-contained HTML page, in either language, from the one payload."""

from __future__ import annotations

from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from features.messages import in_language
from features.moments import day_of
from serving import texts
from serving.reports import effect_view
from serving.reports.driver_view import driver_parts, team_part
from serving.reports.gap_view import change_parts
from serving.reports.matrix_view import matrix_view
from serving.reports.measure_view import measures_view, pilots_view
from serving.reports.payload import Effectiveness, ReportPayload
from serving.reports.rep_view import rep_page, rep_pages, rep_table
from serving.reports.tables import Cell, Row, TableView, numeric, table, text
from serving.texts import Lang, bound, joined, money, percent, t

if TYPE_CHECKING:
    import jinja2

TEMPLATES = ("report.html.j2", "report_body.html.j2", "report_macros.html.j2")
_ORDER = (
    "effectiveness", "change", "drivers", "effects", "measures", "pilots", "matrix", "reps", "model", "data", "method",
    "review",
)  # fmt: skip
_TENURE = {"<1", "1-2", ">2"}
_TENURE_KEYS = {"<1": "tenure_below_1", "1-2": "tenure_1_to_2", ">2": "tenure_above_2"}
_HTML_LANG = {"en": "en", "zh": "zh-CN"}


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    folder = files("serving.reports") / "templates"
    source = {name: (folder / name).read_text(encoding="utf-8") for name in TEMPLATES}
    return jinja2.Environment(
        loader=jinja2.DictLoader(source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=bound,
        trim_blocks=True,
    )


def render_report(payload: ReportPayload, lang: Lang) -> str:
    """HTML page without script or outside asset; names are escaped; prints on A4.

    Everything that it says comes from `payload` and the text catalogue, so both languages hold the same numbers.
    """
    css = (files("serving.reports") / "style.css").read_text(encoding="utf-8")
    context = {"t": partial(t, lang), "css": Markup(css), "html_lang": _HTML_LANG[lang]}  # noqa: S704 our own file
    return _environment().get_template("report.html.j2").render(**context, **report_context(payload, lang))


def report_context(
    payload: ReportPayload, lang: Lang, *, embedded: bool = False, scoped: bool = False
) -> dict[str, Any]:
    """What the body of the report takes. `embedded`: inside the service, where reps have pages of their own and teams
    stand here; `scoped`: for a reader who answers for some reps only, so without what is said of the whole company.
    """
    teams = [team_part(one, payload, lang, f"team-{at}") for at, one in enumerate(payload.teams, 1)] if embedded else []
    return {**_context(payload, lang), "embedded": embedded, "scoped": scoped, "teams": teams}


def rep_section(payload: ReportPayload, rep_id: str, lang: Lang) -> dict[str, Any] | None:
    """One rep's part of the report: sentence, chart and table against peers, suggestions; None where he has none."""
    page = next((one for one in payload.rep_pages if one.rep_id == rep_id), None)
    if page is None:
        return None
    attributed = next((one for one in payload.reps if one.id == rep_id), None)
    made = rep_page(page, attributed, payload, lang, "rep")
    return {**made, "month": texts.month(lang, payload.month), "comparison": _comparison(payload, lang)}


def _context(payload: ReportPayload, lang: Lang) -> dict[str, Any]:
    change = change_parts(payload, lang)
    parts = effect_view.effect_parts(payload.effects, payload.currency, lang)
    effectiveness = _effectiveness(payload, lang)
    names = {rep: name for rep, name in payload.names if name}
    names |= {page.rep_id: page.name or page.rep_id for page in payload.rep_pages}
    matrix = matrix_view(payload.matrix, names, payload.currency, lang)
    shown = {"effectiveness": effectiveness, "change": change, "reps": payload.rep_pages, "matrix": matrix}
    return {
        "month": texts.month(lang, payload.month),
        "day": texts.day(lang, day_of(payload.as_of, payload.zone)),
        "headline": _headline(payload, lang),
        "notes": payload.notes,
        "contents": [(name, t(lang, f"report.{name}.heading")) for name in _ORDER if shown.get(name, True)],
        "effectiveness": effectiveness,
        "change": change,
        "drivers": driver_parts(payload, lang),
        "effects": parts,
        "measures": measures_view(payload.measures, payload.currency, lang),
        "pilots": pilots_view(payload.pilots, names, payload.currency, lang),
        "matrix": matrix,
        "comparison": _comparison(payload, lang),
        "reps": {"table": rep_table(payload, lang), "pages": rep_pages(payload, lang)},
        "model_sentence": _model_sentence(payload, lang),
        "data": _data(payload, lang),
        "method": _method(payload, lang),
        "review": _review(lang),
    }


def _headline(payload: ReportPayload, lang: Lang) -> dict[str, Any]:
    cash = partial(money, lang, payload.currency)
    month = texts.month(lang, payload.month)
    overall = payload.overall()
    if overall is None or overall.per_head is None:
        return {"sentences": [t(lang, "report.headline.no_heads", month=month), _lever(payload, lang)], "cards": []}
    now = t(
        lang,
        "report.headline.now",
        month=month,
        total=cash(overall.contribution),
        heads=texts.number(lang, overall.heads, 1),
        per_head=cash(overall.per_head),
    )
    values = (overall.per_head, overall.per_head_last_month, overall.per_head_year_ago)
    names = ("this_month", "last_month", "year_ago")
    cards = [
        {"label": t(lang, f"report.headline.{name}"), "value": cash(value)}
        for name, value in zip(names, values, strict=True)
    ]
    sentences = [now, _compared(overall, lang), _lever(payload, lang)]
    if payload.routing_since is not None and overall.per_head_since_routing is not None:
        routed = cash(overall.per_head_since_routing)
        cards.append({"label": t(lang, "report.headline.since_routing"), "value": routed})
        since = texts.month(lang, payload.routing_since)
        sentences[1] = joined(lang, sentences[1], t(lang, "report.headline.routed", month=since, per_head=routed))
    return {"sentences": sentences, "cards": cards}


def _comparison(payload: ReportPayload, lang: Lang) -> str:
    """Whom reps are compared with, and how much of the top tenth's lead is luck."""
    found = payload.comparison
    if found.kind != "top":
        return t(lang, "report.comparison.peers")
    if found.lead is None or found.luck_share is None:
        return t(lang, "report.comparison.top_none")
    lead, share = money(lang, payload.currency, found.lead), percent(lang, found.luck_share)
    return t(lang, "report.comparison.top", n=found.n, lead=lead, share=share)


def _compared(overall: Effectiveness, lang: Lang) -> str:
    def against(before: float | None) -> str | None:
        if overall.per_head is None or not before:
            return None
        return percent(lang, overall.per_head / before - 1, signed=True)

    last, year = against(overall.per_head_last_month), against(overall.per_head_year_ago)
    if last is None:
        return t(lang, "report.headline.change_none")
    key = "change_last" if year is None else "change_both"
    return t(lang, f"report.headline.{key}", last=last, year=year)


def _lever(payload: ReportPayload, lang: Lang) -> str:
    best = effect_view.best_lever(payload.effects)
    if best is None:
        return t(lang, "report.headline.lever_none")
    amount, low, high = (
        effect_view.amounts(best, payload.currency, lang)[0],
        *effect_view.interval_ends(best, payload.currency, lang),
    )
    return t(
        lang,
        "report.headline.lever_found",
        driver=texts.driver(lang, best.driver),
        amount=amount,
        outcome=t(lang, f"report.headline.on_{best.outcome}"),
        low=low,
        high=high,
        verdict=t(lang, f"verdict.{best.verdict}"),
    )


def _effectiveness(payload: ReportPayload, lang: Lang) -> TableView | None:
    cash = partial(money, lang, payload.currency)
    routed = payload.routing_since is not None
    rows = []
    for one in payload.effectiveness:
        amounts = [one.contribution, one.per_head, one.per_head_last_month, one.per_head_year_ago]
        amounts += [one.per_head_since_routing] if routed else []
        cells = (text(group_name(one, lang)), numeric(texts.number(lang, one.heads, 1)))
        rows.append(Row((*cells, *(numeric(cash(amount)) for amount in amounts)), one.kind == "company"))
    heads = ("who", "heads", "contribution", "per_head", "last", "year", *(("routed",) if routed else ()))
    return table(lang, "report.effectiveness", heads, rows, first_numeric=1) if rows else None


def group_name(one: Effectiveness, lang: Lang) -> str:
    """Company, team or tenure band in words."""
    if one.kind == "company":
        return t(lang, "report.company")
    if one.kind == "tenure" and one.id in _TENURE:
        return t(lang, f"report.effectiveness.{_TENURE_KEYS[one.id]}")
    return t(lang, f"report.effectiveness.{one.kind}", id=one.id)


def _model_sentence(payload: ReportPayload, lang: Lang) -> str:
    model = payload.model
    if model.mean_absolute_error is None or model.baseline_error is None or model.baseline_error <= 0:
        return t(lang, "report.model.unknown")
    sentence = t(
        lang,
        "report.model.sentence",
        months=model.months_tested,
        error=money(lang, payload.currency, model.mean_absolute_error),
        baseline_name=t(lang, "report.model.baseline_name"),
        baseline=money(lang, payload.currency, model.baseline_error),
    )
    gain = 1 - model.mean_absolute_error / model.baseline_error
    key = "report.model.better" if gain > 0.005 else "report.model.not_better"
    return sentence + ("" if lang == "zh" else " ") + t(lang, key, gain=percent(lang, gain))


def _data(payload: ReportPayload, lang: Lang) -> dict[str, Any]:
    data = payload.data
    rows = [Row((text(name), numeric(texts.number(lang, count)))) for name, count in data.rows]
    left_out = [Row((text(name), text(in_language(reason, lang)))) for name, reason in data.excluded]
    caption = t(lang, "report.data.excluded_caption")
    heads = (Cell(t(lang, "report.data.what")), Cell(t(lang, "report.data.reason")))
    return {
        "span": t(
            lang, "report.data.span", first=texts.month(lang, data.first_month), last=texts.month(lang, data.last_month)
        ),
        "table": table(lang, "report.data", ("table", "rows"), rows, first_numeric=1),
        "excluded": TableView(caption, heads, tuple(left_out)) if left_out else None,
    }


def _method(payload: ReportPayload, lang: Lang) -> list[str]:
    when = texts.day(lang, day_of(payload.as_of, payload.zone))
    model = payload.model
    return [
        t(lang, "report.method.attribution"),
        t(lang, "report.method.effects"),
        t(lang, "report.method.guards"),
        t(lang, "report.method.known", day=when),
        t(lang, "report.method.version", name=t(lang, "report.method.model_name"), version=model.version),
    ]


def _review(lang: Lang) -> TableView:
    rows = [Row((text(t(lang, f"report.review.{key}")), text(""))) for key in ("q1", "q2", "q3", "signed")]
    return table(lang, "report.review", ("question", "answer"), rows)
