"""Whether measures worked, and pilots of what cannot be told, in words, tables and a forest plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup

from serving import texts
from serving.reports import charts
from serving.reports.effect_view import verdict_cell
from serving.reports.measures import MeasureResult, Pilot
from serving.reports.tables import Cell, ChartView, Row, TableView, numeric, table, text
from serving.texts import Lang, money, money_together, number, percent, t


@dataclass(frozen=True)
class MeasuresView:
    """A sentence, a forest plot, the table beside it, and each measure in words."""

    sentence: str
    chart: ChartView
    table: TableView
    words: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class PilotsView:
    """Each lever's pilot in words, what that is reckoned from, and who would go first."""

    words: tuple[tuple[str, str], ...]
    basis: str
    table: TableView | None


def measure_name(one: MeasureResult, lang: Lang) -> str:
    """A measure's name for people."""
    if one.kind == "course":
        return texts.driver(lang, one.name)
    return t(lang, "report.measures.routing") if one.kind == "routing" else one.title or one.name


def measures_view(found: Sequence[MeasureResult], currency: str, lang: Lang) -> MeasuresView | None:
    """View of all measures; None without any."""
    if not found:
        return None
    sentence = t(
        lang,
        "report.measures.count",
        all=len(found),
        found=sum(not one.includes_zero for one in found),
        zero=sum(one.estimate is not None and one.includes_zero for one in found),
        withheld=sum(one.estimate is None for one in found),
    )
    title = t(lang, "report.measures.chart")
    svg = charts.forest_plot(
        [_forest_row(one, currency, lang) for one in found],
        title,
        sentence,
        axis_label=t(lang, "report.measures.axis"),
        tick=lambda value: money(lang, currency, value).replace(".00 ", " "),
        estimate_label=t(lang, "report.measures.estimate"),
        naive_label=t(lang, "report.measures.naive"),
    )
    heads = ("measure", "since", "reps", "effect", "interval", "bare", "verdict")
    view = table(lang, "report.measures", heads, [_row(one, currency, lang) for one in found])
    aligned = tuple(Cell(head.text, 2 <= at <= 5) for at, head in enumerate(view.heads))
    return MeasuresView(
        sentence,
        ChartView(title, Markup(svg)),  # noqa: S704 texts are escaped by charts
        TableView(view.caption, aligned, view.rows),
        tuple((measure_name(one, lang), measure_words(one, currency, lang)) for one in found),
    )


def _forest_row(one: MeasureResult, currency: str, lang: Lang) -> charts.ForestRow:
    if one.estimate is None:
        note = t(lang, "report.effects.withheld")
    elif one.includes_zero:
        note = t(lang, "report.effects.no_effect")
    else:
        note = money(lang, currency, one.estimate, signed=True)
    label = measure_name(one, lang)
    muted = one.verdict != "identified"
    return charts.ForestRow(label, one.estimate, one.ci_low, one.ci_high, one.before_after, note, muted=muted)


def _row(one: MeasureResult, currency: str, lang: Lang) -> Row:
    cash = partial(money, lang, currency, signed=True)
    estimate, low, high = money_together(lang, currency, (one.estimate, one.ci_low, one.ci_high), signed=True)
    between = f"{low} … {high}" if one.estimate is not None else "–"
    return Row(
        (
            text(measure_name(one, lang)),
            text("–" if one.first_month is None else texts.unbroken(texts.month_code(one.first_month))),
            numeric(f"{number(lang, one.n_touched)} / {number(lang, one.n_untouched)}"),
            numeric(estimate),
            numeric(between),
            numeric(cash(one.before_after)),
            verdict_cell(one.verdict, lang, nothing=one.estimate is not None and one.includes_zero),
        )
    )


def measure_words(one: MeasureResult, currency: str, lang: Lang) -> str:
    """What is claimed of a measure: an effect, none found, or withheld and why; and what the bare change would say."""
    cash = partial(money, lang, currency, signed=True)
    reasons = t(lang, "report.semicolon").join(t(lang, f"measure_reason.{reason}") for reason in one.reasons)
    _, low, high = money_together(lang, currency, (one.estimate, one.ci_low, one.ci_high), signed=True)
    said = []
    if one.estimate is None:
        said.append(t(lang, "report.measures.words_withheld", reasons=reasons))
    elif one.includes_zero:
        said.append(t(lang, "report.measures.words_none", low=low, high=high))
    else:
        key = "report.measures.words_up" if one.estimate > 0 else "report.measures.words_down"
        amount = money(lang, currency, abs(one.estimate))
        said.append(t(lang, key, amount=amount, low=low, high=high))
    if one.before_after is not None:
        said.append(t(lang, "report.measures.words_bare", bare=cash(one.before_after)))
    if not one.includes_zero and one.drift_to_undo is not None:
        said.append(t(lang, "report.measures.words_drift", drift=money(lang, currency, one.drift_to_undo)))
    if one.ramp and one.estimate is not None:
        said.append(t(lang, f"report.measures.words_ramp{'' if one.ramp > 1 else '_one'}", n=one.ramp))
    if one.rounds > 1:
        said.append(t(lang, "report.measures.words_rounds", n=one.rounds))
    if one.months_over is not None:
        said.append(t(lang, "report.measures.words_lot", n=one.months_over))
    if reasons and one.estimate is not None:
        said.append(t(lang, "report.measures.words_marked", reasons=reasons))
    return ("" if lang == "zh" else " ").join(said)


def pilots_view(pilots: Sequence[Pilot], names: Mapping[str, str], currency: str, lang: Lang) -> PilotsView | None:
    """View of the pilots that would settle what is open; None where nothing is."""
    if not pilots:
        return None
    planned = [one for one in pilots if not one.reason]
    rows = [
        Row(
            (
                text(texts.driver(lang, one.lever)),
                text(_names(one.first, names, lang)),
                text(_names(one.later, names, lang)),
            )
        )
        for one in planned
    ]
    view = None
    if planned:
        heads = tuple(Cell(t(lang, f"report.pilots.{head}")) for head in ("lever", "first", "later"))
        view = TableView(t(lang, "report.pilots.caption", seed=planned[0].seed), heads, tuple(rows))
    return PilotsView(
        tuple((texts.driver(lang, one.lever), pilot_words(one, currency, lang)) for one in pilots),
        _basis(planned[0], currency, lang) if planned else "",
        view,
    )


def _names(reps: Sequence[str], names: Mapping[str, str], lang: Lang) -> str:
    return t(lang, "report.joint").join(names.get(rep, rep) for rep in reps)


def pilot_words(one: Pilot, currency: str, lang: Lang, *, asked: bool = False) -> str:
    """A pilot in one or two sentences: who, how long, what it would show; `asked`: somebody named the effect wanted."""
    if one.reason:
        return t(lang, "report.pilots.cannot", reason=t(lang, f"measure_reason.{one.reason}"))
    cash = partial(money, lang, currency)
    said = [
        t(
            lang,
            "report.pilots.plan",
            first=one.n_first,
            all=one.n_first + one.n_later,
            months=one.months,
            start=texts.month(lang, one.start),
            smallest=cash(one.smallest_effect),
        )
    ]
    if not one.enough:
        said.append(
            t(
                lang,
                "report.pilots.short_asked" if asked else "report.pilots.short",
                wanted=cash(one.wanted),
                power=percent(lang, one.power_for_wanted),
                needed=number(lang, one.needed),
            )
        )
    return ("" if lang == "zh" else " ").join(said)


def _basis(one: Pilot, currency: str, lang: Lang) -> str:
    near, far = number(lang, one.near, 2), number(lang, one.far, 2)
    return t(lang, "report.pilots.basis", sd=money(lang, currency, one.sd), near=near, far=far)
