"""A rep's part of the report: facts, the gap to his peers, what to do next, and staged targets."""

from __future__ import annotations

from functools import partial
from typing import Any

from markupsafe import Markup

from models.drivers.attribution import Attribution
from models.drivers.effects import CONTACT
from models.drivers.suggestions import Suggestion
from serving import texts
from serving.reports import charts
from serving.reports.gap_view import gap_parts
from serving.reports.payload import ReportPayload, RepPage
from serving.reports.tables import Row, TableView, numeric, table, text
from serving.texts import Lang, money, money_together, percent, t


def rep_table(payload: ReportPayload, lang: Lang) -> TableView:
    """All reps of the report, a row each."""
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


def rep_pages(payload: ReportPayload, lang: Lang) -> list[dict[str, Any]]:
    """Every rep's part, in the payload's order."""
    attributed = {one.id: one for one in payload.reps}
    return [
        rep_page(page, attributed.get(page.rep_id), payload, lang, f"rep-{at}")
        for at, page in enumerate(payload.rep_pages, start=1)
    ]


def rep_page(
    page: RepPage, attributed: Attribution | None, payload: ReportPayload, lang: Lang, anchor: str
) -> dict[str, Any]:
    """One rep\'s part as the templates take it; `attributed`: what the model counts for his month, None without it."""
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
    return made | (gap_parts(page, page.gap, name, payload, lang) if page.gap else {})


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
    ends = (one.expected_gain, one.gain_low, one.gain_high)
    expected, low, high = money_together(lang, payload.currency, ends, signed=True)
    gain = t(lang, "report.reps.gain", gain=expected, low=low, high=high)
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
