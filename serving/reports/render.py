"""The driver report as one self-contained HTML page, in either language, from the one payload."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.resources import files
from math import fsum
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from features.moments import day_of, month_text
from models.drivers.attribution import Attribution
from models.drivers.decomposition import UNEXPLAINED, Decomposition, Part
from models.drivers.effects import CONTACT
from models.drivers.suggestions import Suggestion
from serving import texts
from serving.fault_words import left_out_words
from serving.reports import charts, effect_view
from serving.reports.matrix_view import matrix_view
from serving.reports.measure_view import measures_view, pilots_view
from serving.reports.payload import Effectiveness, ReportPayload, RepPage
from serving.reports.tables import Cell, ChartView, Row, TableView, numeric, table, text
from serving.texts import Lang, money, percent, t

if TYPE_CHECKING:
    import jinja2

TEMPLATES = ("report.html.j2", "report_body.html.j2", "report_macros.html.j2")
_ORDER = (
    "effectiveness", "change", "drivers", "effects", "measures", "pilots", "matrix", "reps", "model", "data", "method",
    "review",
)  # fmt: skip
_MOST_BARS = 12
_TENURE = {"<1", "1-2", ">2"}
_TENURE_KEYS = {"<1": "tenure_below_1", "1-2": "tenure_1_to_2", ">2": "tenure_above_2"}
_HTML_LANG = {"en": "en", "zh": "zh-CN"}


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    folder = files("serving.reports") / "templates"
    source = {name: (folder / name).read_text(encoding="utf-8") for name in TEMPLATES}
    return jinja2.Environment(
        loader=jinja2.DictLoader(source), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
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
    teams = [_team(one, payload, lang, f"team-{at}") for at, one in enumerate(payload.teams, 1)] if embedded else []
    return {**_context(payload, lang), "embedded": embedded, "scoped": scoped, "teams": teams}


def rep_section(payload: ReportPayload, rep_id: str, lang: Lang) -> dict[str, Any] | None:
    """One rep's part of the report: sentence, chart and table against peers, suggestions; None where he has none."""
    page = next((one for one in payload.rep_pages if one.rep_id == rep_id), None)
    if page is None:
        return None
    attributed = next((one for one in payload.reps if one.id == rep_id), None)
    made = _rep_page(page, attributed, payload, lang, "rep")
    return {**made, "month": texts.month(lang, payload.month), "comparison": _comparison(payload, lang)}


def _team(one: Attribution, payload: ReportPayload, lang: Lang, anchor: str) -> dict[str, Any]:
    title = t(lang, "report.effectiveness.team", id=one.id) if one.id else t(lang, "reps.no_team")
    cash = partial(money, lang, payload.currency)
    sentence = t(lang, "drivers_page.sentence", prediction=cash(one.prediction), baseline=cash(one.baseline))
    return {
        "anchor": anchor,
        "title": title,
        "sentence": sentence,
        "chart": _attribution_chart(one, payload.currency, lang, t(lang, "drivers_page.chart", who=title), sentence),
        "table": _attribution_table(one, payload.currency, lang),
    }


def _context(payload: ReportPayload, lang: Lang) -> dict[str, Any]:
    change = _change(payload, lang)
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
        "drivers": _drivers(payload, lang),
        "effects": parts,
        "measures": measures_view(payload.measures, payload.currency, lang),
        "pilots": pilots_view(payload.pilots, names, payload.currency, lang),
        "matrix": matrix,
        "comparison": _comparison(payload, lang),
        "reps": {"table": _rep_table(payload, lang), "pages": _rep_pages(payload, lang)},
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
        sentences[1] = _joined(lang, sentences[1], t(lang, "report.headline.routed", month=since, per_head=routed))
    return {"sentences": sentences, "cards": cards}


def _joined(lang: Lang, *sentences: str) -> str:
    return ("" if lang == "zh" else " ").join(sentences)


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
    amount, low, high = effect_view.amounts(best, payload.currency, lang)
    return t(
        lang,
        "report.headline.lever_found",
        driver=texts.driver(lang, best.driver),
        amount=amount,
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


def _bars(found: Decomposition, currency: str, lang: Lang, most: int = _MOST_BARS) -> list[charts.Bar]:
    known = [part for part in found.parts if part.group != UNEXPLAINED][:most]
    rest = [part for part in found.parts if part.group == UNEXPLAINED]
    return [
        charts.Bar(
            texts.driver(lang, part.driver),
            part.amount,
            money(lang, currency, part.amount, signed=True),
            hatched=part.group == UNEXPLAINED,
        )
        for part in (*known, *rest)
    ]


def _parts_table(
    found: Decomposition, currency: str, lang: Lang, caption: str, heads: Sequence[str], most: int = 99
) -> TableView:
    """Parts with their ranges, largest first; beyond `most` the smaller ones are one row, so that a page holds them."""
    cash = partial(money, lang, currency, signed=True)
    known = [part for part in found.parts if part.group != UNEXPLAINED]
    rows = [_part_row(part, cash, lang) for part in known[:most]]
    if len(known) > most:
        rest = fsum(part.amount for part in known[most:])
        name = t(lang, "report.reps.smaller", n=len(known) - most)
        rows.append(Row((text(name), text(""), numeric(cash(rest)), text(""), text(""))))
    rows += [_part_row(part, cash, lang) for part in found.parts if part.group == UNEXPLAINED]
    total = (text(t(lang, "report.change.total")), text(""), numeric(cash(found.total)), text(""), text(""))
    rows.append(Row(total, True))
    return TableView(caption, tuple(Cell(head, at in (2, 3)) for at, head in enumerate(heads)), tuple(rows))


def _part_row(part: Part, cash: Callable[[float | None], str], lang: Lang) -> Row:
    return Row(
        (
            text(texts.driver(lang, part.driver)),
            text(texts.group(lang, part.group)),
            numeric(cash(part.amount)),
            numeric(f"{cash(part.low)} … {cash(part.high)}" if part.low is not None else "–"),
            text(t(lang, "report.reps.yes" if part.controllable else "report.reps.no")),
        )
    )


def _part_heads(lang: Lang) -> tuple[str, ...]:
    keys = (
        "report.reps.part",
        "report.drivers.group",
        "report.drivers.contribution",
        "report.reps.range",
        "report.reps.movable",
    )
    return tuple(t(lang, key) for key in keys)


def _largest(found: Decomposition) -> str:
    return next((part.driver for part in found.parts if part.group != UNEXPLAINED), UNEXPLAINED)


def _change(payload: ReportPayload, lang: Lang) -> dict[str, Any] | None:
    found = payload.month_change
    if found is None:
        return None
    largest = _largest(found)
    signed = partial(money, lang, payload.currency, signed=True)
    sentence = t(
        lang,
        "report.change.sentence_up" if found.total >= 0 else "report.change.sentence_down",
        amount=money(lang, payload.currency, abs(found.total)),
        driver=texts.driver(lang, largest),
        part=signed(sum(part.amount for part in found.parts if part.driver == largest)),
        rest=signed(found.unexplained),
    )
    title = t(lang, "report.change.chart")
    svg = charts.bar_chart(
        _bars(found, payload.currency, lang),
        title,
        sentence,
        axis_label=t(lang, "report.change.axis"),
        up_label=t(lang, "report.drivers.up"),
        down_label=t(lang, "report.drivers.down"),
    )
    heads = _part_heads(lang)
    return {
        "sentence": sentence,
        "chart": ChartView(title, Markup(svg)),  # noqa: S704 texts are escaped by charts
        "table": _parts_table(found, payload.currency, lang, t(lang, "report.change.caption"), heads),
    }


def _drivers(payload: ReportPayload, lang: Lang) -> dict[str, Any]:
    cash = partial(money, lang, payload.currency)
    company = payload.company
    company_sentence = t(
        lang,
        "report.drivers.company_sentence",
        prediction=cash(company.prediction),
        baseline=cash(company.baseline),
    )
    made: dict[str, Any] = {
        "chart": None,
        "table": None,
        "company_sentence": company_sentence,
        "company_chart": _attribution_chart(
            company, payload.currency, lang, t(lang, "report.drivers.company_chart"), company_sentence
        ),
        "company_table": _attribution_table(company, payload.currency, lang),
    }
    moved = [one for one in payload.ranking if one.importance > 0]
    if not moved:
        return made | {"sentence": t(lang, "report.drivers.nothing")}
    top = moved[0]
    sentence = t(lang, "report.drivers.sentence", driver=texts.driver(lang, top.driver), amount=cash(top.importance))
    bars = [
        charts.Bar(texts.driver(lang, one.driver), one.importance, cash(one.importance), muted=one.unstable)
        for one in moved[:_MOST_BARS]
    ]
    title = t(lang, "report.drivers.chart")
    svg = charts.bar_chart(bars, title, sentence, axis_label=t(lang, "report.drivers.axis"))
    rows = [
        Row(
            (
                text(texts.driver(lang, one.driver)),
                text(texts.group(lang, one.group)),
                numeric(cash(one.importance)),
                numeric(str(one.rank) if one.rank is not None else t(lang, "report.drivers.unstable")),
                numeric(f"{one.rank_low}–{one.rank_high}"),
            )
        )
        for one in moved
    ]
    heads = ("driver", "group", "size", "rank", "range")
    view = table(lang, "report.drivers", heads, rows, first_numeric=2)
    return made | {"sentence": sentence, "chart": ChartView(title, Markup(svg)), "table": view}  # noqa: S704


def _attribution_chart(one: Attribution, currency: str, lang: Lang, title: str, sentence: str) -> ChartView:
    bars = [
        charts.Bar(
            texts.driver(lang, item.driver), item.contribution, money(lang, currency, item.contribution, signed=True)
        )
        for item in one.drivers[:_MOST_BARS]
    ]
    svg = charts.bar_chart(
        bars,
        title,
        sentence,
        axis_label=t(lang, "report.drivers.company_axis", baseline=money(lang, currency, one.baseline)),
        up_label=t(lang, "report.drivers.up"),
        down_label=t(lang, "report.drivers.down"),
    )
    return ChartView(title, Markup(svg))  # noqa: S704 texts are escaped by charts


def _attribution_table(one: Attribution, currency: str, lang: Lang) -> TableView:
    rows = [
        Row(
            (
                text(texts.driver(lang, item.driver)),
                text(texts.group(lang, item.group)),
                numeric(money(lang, currency, item.contribution, signed=True)),
                numeric(percent(lang, item.share)),
            )
        )
        for item in one.drivers
    ]
    caption = t(
        lang,
        "report.drivers.company_caption",
        baseline=money(lang, currency, one.baseline),
        prediction=money(lang, currency, one.prediction),
    )
    heads = tuple(
        Cell(t(lang, f"report.drivers.{key}"), at > 1)
        for at, key in enumerate(("driver", "group", "contribution", "share"))
    )
    return TableView(caption, heads, tuple(rows))


def _rep_table(payload: ReportPayload, lang: Lang) -> TableView:
    cash = partial(money, lang, payload.currency)
    expected = {one.id: one.prediction for one in payload.reps}
    rows = [
        Row(
            (
                text(page.name or page.rep_id),
                text(page.team_id),
                numeric(texts.number(lang, page.tenure_years, 1)),
                numeric(cash(page.contribution)),
                numeric(cash(expected.get(page.rep_id))),
                numeric(cash(page.gap.total, signed=True) if page.gap else "–"),
                numeric(cash(page.gap.unexplained, signed=True) if page.gap else "–"),
            )
        )
        for page in payload.rep_pages
    ]
    heads = ("rep", "team", "tenure", "contribution", "expected", "gap", "unexplained")
    return table(lang, "report.reps", heads, rows, first_numeric=2)


def _rep_pages(payload: ReportPayload, lang: Lang) -> list[dict[str, Any]]:
    attributed = {one.id: one for one in payload.reps}
    return [
        _rep_page(page, attributed.get(page.rep_id), payload, lang, f"rep-{at}")
        for at, page in enumerate(payload.rep_pages, start=1)
    ]


def _rep_page(
    page: RepPage, attributed: Attribution | None, payload: ReportPayload, lang: Lang, anchor: str
) -> dict[str, Any]:
    cash = partial(money, lang, payload.currency)
    name = page.name or page.rep_id
    facts = t(
        lang,
        "report.reps.facts" if page.team_id else "report.reps.facts_no_team",
        id=page.rep_id,
        team=page.team_id,
        tenure=texts.number(lang, page.tenure_years, 1),
        contribution=cash(page.contribution),
        month=texts.month(lang, payload.month),
    )
    made: dict[str, Any] = {
        "anchor": anchor,
        "name": name,
        "facts": facts,
        "sentence": t(lang, "report.reps.no_peers"),
        "chart": None,
        "table": None,
        "history": _history(page, name, payload.currency, lang),
        "top": _top(attributed, payload.currency, lang),
        "suggestions": [_suggestion(one, payload, lang) for one in page.suggestions],
        "targets": targets_text(page, payload.currency, lang),
    }
    return made | (_gap(page, page.gap, name, payload, lang) if page.gap else {})


def _gap(page: RepPage, gap: Decomposition, name: str, payload: ReportPayload, lang: Lang) -> dict[str, Any]:
    sentence = t(
        lang,
        "report.reps.gap_above" if gap.total >= 0 else "report.reps.gap_below",
        name=name,
        amount=money(lang, payload.currency, abs(gap.total)),
        whom=t(lang, f"report.comparison.whom_{page.peers}", n=page.n_peers),
        rest=money(lang, payload.currency, gap.unexplained, signed=True),
    )
    if page.in_top:
        sentence = _joined(lang, sentence, t(lang, "report.comparison.in_top", name=name))
    title = t(lang, "report.reps.chart", name=name)
    bars = _bars(gap, payload.currency, lang, most=5)
    svg = charts.bar_chart(
        bars,
        title,
        sentence,
        axis_label=t(lang, "report.reps.axis"),
        up_label=t(lang, "report.drivers.up"),
        down_label=t(lang, "report.drivers.down"),
    )
    view = _parts_table(gap, payload.currency, lang, t(lang, "report.reps.table", name=name), _part_heads(lang), 5)
    return {"sentence": sentence, "chart": ChartView(title, Markup(svg)), "table": view}  # noqa: S704


def _history(page: RepPage, name: str, currency: str, lang: Lang) -> Markup | None:
    if len(page.history) < 2:
        return None
    title = t(lang, "report.reps.history", name=name, n=len(page.history))
    desc = f"{money(lang, currency, min(page.history))} – {money(lang, currency, max(page.history))}"
    return Markup(charts.sparkline(page.history, title, desc))  # noqa: S704 texts are escaped by charts


def targets_text(page: RepPage, currency: str, lang: Lang) -> str:
    """The staged targets in one line, "" where the rep has too few months."""
    steps = [
        t(lang, "report.reps.step", month=texts.month(lang, one.month), amount=money(lang, currency, one.amount))
        for one in page.targets
    ]
    return t(lang, "report.joint").join(steps)


def _top(one: Attribution | None, currency: str, lang: Lang) -> str:
    if one is None:
        return ""
    named = [
        f"{texts.driver(lang, item.driver)} {money(lang, currency, item.contribution, signed=True)}"
        for item in one.drivers[:3]
        if item.contribution != 0
    ]
    return t(lang, "report.joint").join(named)


def suggestion_words(one: Suggestion, payload: ReportPayload, lang: Lang) -> str:
    """One suggested action in a line: what, what it should bring, how sure that is, and when to look again."""
    made = _suggestion(one, payload, lang)
    rest = [made[part] for part in ("gain", "evidence", "past", "review") if made[part]]
    return made["what"] + t(lang, "report.colon") + t(lang, "report.joint").join(rest)


def _suggestion(one: Suggestion, payload: ReportPayload, lang: Lang) -> dict[str, str]:
    cash = partial(money, lang, payload.currency, signed=True)
    share = one.driver == CONTACT
    course = one.driver.startswith("training:")
    written = percent if share else partial(texts.number, digits=1)
    what = t(
        lang,
        "report.reps.suggest_" + ("share" if share else "do" if course else "step"),
        driver=texts.driver(lang, one.driver),
        now=written(lang, one.now),
        next=written(lang, one.now + one.step),
    )
    gain = t(lang, "report.reps.gain", gain=cash(one.expected_gain), low=cash(one.gain_low), high=cash(one.gain_high))
    return {
        "what": what,
        "gain": gain,
        "evidence": t(lang, "report.reps.evidence", verdict=t(lang, f"verdict.{one.evidence}")),
        "past": _past_rounds(one, payload, lang),
        "review": t(lang, "report.reps.review", day=texts.day(lang, payload.review_on)) if payload.review_on else "",
    }


def _past_rounds(one: Suggestion, payload: ReportPayload, lang: Lang) -> str:
    """Whether past rounds of a course that is suggested worked; "" for what is no course."""
    past = next((found for found in payload.measures if found.kind == "course" and found.name == one.driver), None)
    if past is None:
        return ""
    if past.estimate is None:
        return t(lang, "report.reps.past_unknown")
    if past.includes_zero:
        return t(lang, "report.reps.past_none")
    return t(lang, "report.reps.past_found", amount=money(lang, payload.currency, past.estimate, signed=True))


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
    left_out = [Row((text(name), text(left_out_words(reason, lang)))) for name, reason in data.excluded]
    caption = t(lang, "report.data.excluded_caption")
    heads = (Cell(t(lang, "report.data.what")), Cell(t(lang, "report.data.reason")))
    return {
        "span": t(lang, "report.data.span", first=month_text(data.first_month), last=month_text(data.last_month)),
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
