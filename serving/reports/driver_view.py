"""What goes with output: how the model tells strong months from weak ones, for the desk, a team and over all reps."""

from __future__ import annotations

from functools import partial
from typing import Any

from markupsafe import Markup

from models.drivers.attribution import Attribution
from serving import texts
from serving.reports import charts
from serving.reports.payload import ReportPayload
from serving.reports.tables import Cell, ChartView, Row, TableView, numeric, table, text
from serving.texts import Lang, money, percent, t

_MOST_BARS = 12


def driver_parts(payload: ReportPayload, lang: Lang) -> dict[str, Any]:
    """Sentences, charts and tables of the ranking over all reps and of the desk's month."""
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


def team_part(one: Attribution, payload: ReportPayload, lang: Lang, anchor: str) -> dict[str, Any]:
    """Sentence, chart and table of a team\'s month."""
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
