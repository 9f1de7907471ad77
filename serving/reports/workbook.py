"""The driver report as a workbook: a sheet a section, headed in the language, numbers as numbers, texts never run."""

from __future__ import annotations

from collections.abc import Sequence

from features.moments import day_of, month_text
from models.drivers.decomposition import Decomposition, Part
from models.drivers.effects import EffectRow
from serving import texts
from serving.pages.exports import Sheet, Value, workbook_bytes
from serving.reports.effect_view import effect_words
from serving.reports.measure_view import measure_name, measure_words
from serving.reports.payload import Effectiveness, ReportPayload
from serving.reports.render import group_name
from serving.reports.rep_view import suggestion_words, targets_text
from serving.texts import Lang, t

_MONEY_DIGITS = 2
_SHARE_DIGITS = 6


def report_workbook(payload: ReportPayload, lang: Lang) -> bytes:
    """The report's tables as .xlsx; sections without rows are left out. Win probabilities are 0-1, money is plain."""
    made = [
        _about(payload, lang),
        _effectiveness(payload, lang),
        _change(payload, lang),
        _drivers(payload, lang),
        _effects(payload, lang),
        _measures(payload, lang),
        _pilots(payload, lang),
        _matrix(payload, lang),
        _reps(payload, lang),
        _gaps(payload, lang),
    ]
    return workbook_bytes([sheet for sheet in made if sheet.rows])


def _sheet(lang: Lang, title: str, heads: Sequence[str], rows: Sequence[Sequence[Value]]) -> Sheet:
    return Sheet(t(lang, title), tuple(t(lang, head) for head in heads), tuple(tuple(row) for row in rows))


def _money(amount: float | None) -> float | None:
    return None if amount is None else round(amount, _MONEY_DIGITS)


def _about(payload: ReportPayload, lang: Lang) -> Sheet:
    """What the workbook is, of which month, and what it does not decide."""
    day = texts.day(lang, day_of(payload.as_of, payload.zone))
    subtitle = t(lang, "report.subtitle", month=texts.month(lang, payload.month), day=day)
    said = [
        subtitle,
        t(lang, "report.decides_nothing"),
        t(lang, "report.drivers.warning"),
        t(lang, "report.method.version", name=t(lang, "report.method.model_name"), version=payload.model.version),
        payload.currency,
    ]
    return Sheet(t(lang, "report.workbook.about"), (t(lang, "report.title"),), tuple((line,) for line in said if line))


def _effectiveness(payload: ReportPayload, lang: Lang) -> Sheet:
    def row(one: Effectiveness) -> list[Value]:
        amounts = [one.contribution, one.per_head, one.per_head_last_month, one.per_head_year_ago]
        amounts += [one.per_head_since_routing] if payload.routing_since is not None else []
        return [group_name(one, lang), round(one.heads, 2), *(_money(amount) for amount in amounts)]

    names = ["who", "heads", "contribution", "per_head", "last", "year"]
    names += ["routed"] if payload.routing_since is not None else []
    heads = [f"report.effectiveness.{name}" for name in names]
    return _sheet(lang, "report.effectiveness.heading", heads, [row(one) for one in payload.effectiveness])


_PART_HEADS = (
    "report.reps.part",
    "report.drivers.group",
    "report.drivers.contribution",
    "report.workbook.low",
    "report.workbook.high",
    "report.reps.movable",
)


def _part(part: Part, lang: Lang) -> list[Value]:
    return [
        texts.driver(lang, part.driver),
        texts.group(lang, part.group),
        _money(part.amount),
        _money(part.low),
        _money(part.high),
        t(lang, "report.reps.yes" if part.controllable else "report.reps.no"),
    ]


def _change(payload: ReportPayload, lang: Lang) -> Sheet:
    found: Decomposition | None = payload.month_change
    rows = [] if found is None else [_part(part, lang) for part in found.parts]
    return _sheet(lang, "report.change.heading", _PART_HEADS, rows)


def _drivers(payload: ReportPayload, lang: Lang) -> Sheet:
    heads = [f"report.drivers.{name}" for name in ("driver", "group", "size", "rank")]
    heads += ["report.workbook.rank_low", "report.workbook.rank_high"]
    rows = [
        [
            texts.driver(lang, one.driver),
            texts.group(lang, one.group),
            _money(one.importance),
            one.rank if one.rank is not None else t(lang, "report.drivers.unstable"),
            one.rank_low,
            one.rank_high,
        ]
        for one in payload.ranking
    ]
    return _sheet(lang, "report.drivers.heading", heads, rows)


def _effects(payload: ReportPayload, lang: Lang) -> Sheet:
    def row(one: EffectRow) -> list[Value]:
        digits = _SHARE_DIGITS if one.unit == "probability" else _MONEY_DIGITS
        numbers = (one.estimate, one.ci_low, one.ci_high, one.naive_estimate)
        return [
            t(lang, f"report.effects.{one.outcome}"),
            texts.driver(lang, one.driver),
            *(None if value is None else round(value, digits) for value in numbers),
            t(lang, f"verdict.{one.verdict}"),
            effect_words(one, lang),
        ]

    heads = ["report.workbook.outcome", "report.effects.lever", "report.effects.effect", "report.workbook.low"]
    heads += ["report.workbook.high", "report.effects.plain", "report.effects.verdict", "report.effects.why"]
    return _sheet(lang, "report.effects.heading", heads, [row(one) for one in payload.effects])


def _measures(payload: ReportPayload, lang: Lang) -> Sheet:
    heads = ["report.measures.measure", "report.measures.since", "report.workbook.touched", "report.workbook.untouched"]
    heads += ["report.measures.effect", "report.workbook.low", "report.workbook.high", "report.measures.bare"]
    heads += ["report.measures.verdict", "report.effects.why"]
    rows = [
        [
            measure_name(one, lang),
            None if one.first_month is None else month_text(one.first_month),
            one.n_touched,
            one.n_untouched,
            *(_money(value) for value in (one.estimate, one.ci_low, one.ci_high, one.before_after)),
            t(lang, f"verdict.{one.verdict}"),
            measure_words(one, payload.currency, lang),
        ]
        for one in payload.measures
    ]
    return _sheet(lang, "report.measures.heading", heads, rows)


def _pilots(payload: ReportPayload, lang: Lang) -> Sheet:
    """One row a rep and pilot: the list that those who run it need."""
    names = dict(payload.names)
    heads = ["report.pilots.lever", "report.workbook.rep_id", "report.reps.rep", "report.workbook.arm"]
    heads += ["report.workbook.from_month", "report.workbook.months", "report.workbook.smallest"]
    rows = [
        [
            texts.driver(lang, one.lever),
            rep,
            names.get(rep, ""),
            t(lang, f"report.pilots.{arm}"),
            month_text(one.start),
            one.months,
            _money(one.smallest_effect),
        ]
        for one in payload.pilots
        for arm, reps in (("first", one.first), ("later", one.later))
        for rep in reps
    ]
    return _sheet(lang, "report.pilots.heading", heads, rows)


def _matrix(payload: ReportPayload, lang: Lang) -> Sheet:
    names = dict(payload.names)
    heads = ["report.workbook.rep_id", *(f"report.matrix.{name}" for name in ("rep", "attitude", "effect"))]
    heads += ["report.workbook.low", "report.workbook.high", "report.matrix.quadrant", "report.matrix.certainty"]
    rows = [
        [
            one.rep_id,
            names.get(one.rep_id, ""),
            None if one.attitude is None else round(one.attitude, 2),
            *(_money(value) for value in (one.effect, one.effect_low, one.effect_high)),
            t(lang, f"report.matrix.{one.quadrant if one.attitude is not None else 'unknown'}"),
            t(lang, "report.matrix.sure" if one.sure else "report.matrix.unsure"),
        ]
        for one in payload.matrix
    ]
    return _sheet(lang, "report.matrix.heading", heads, rows)


def _reps(payload: ReportPayload, lang: Lang) -> Sheet:
    expected = {one.id: one.prediction for one in payload.reps}
    names = ("rep", "team", "tenure", "contribution", "expected", "gap", "unexplained", "suggestions", "targets")
    heads = ["report.workbook.rep_id", *(f"report.reps.{name}" for name in names)]
    rows = [
        [
            page.rep_id,
            page.name,
            page.team_id,
            round(page.tenure_years, 2),
            _money(page.contribution),
            _money(expected.get(page.rep_id)),
            _money(page.gap.total) if page.gap else None,
            _money(page.gap.unexplained) if page.gap else None,
            t(lang, "report.semicolon").join(suggestion_words(one, payload, lang) for one in page.suggestions)
            or t(lang, "report.reps.no_action"),
            targets_text(page, payload.currency, lang),
        ]
        for page in payload.rep_pages
    ]
    return _sheet(lang, "report.reps.heading", heads, rows)


def _gaps(payload: ReportPayload, lang: Lang) -> Sheet:
    rows = [
        [page.rep_id, page.name, *_part(part, lang)]
        for page in payload.rep_pages
        if page.gap is not None
        for part in page.gap.parts
    ]
    heads = ["report.workbook.rep_id", "report.reps.rep", *_PART_HEADS]
    return _sheet(lang, "report.workbook.gaps", heads, rows)
