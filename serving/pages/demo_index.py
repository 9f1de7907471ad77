"""The demo's start page in both languages: what was run, what came of it, and where everything lies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from features import moments
from features.moments import parse_month
from models.drivers.effects import EffectRow
from serving import texts
from serving.alerts import without_promise
from serving.core import Core
from serving.pages.fans import NARROW, fan, leading, outlook_sentence, rows_of
from serving.pages.rendering import HTML_LANG, OTHER, inline_css, render
from serving.pages.simulation_page import gain_figures
from serving.reports import charts, effect_view
from serving.reports.tables import Cell, ChartView, Row, TableView, numeric, text
from serving.simulation import Simulation, headline
from serving.texts import LANGUAGES, Lang, as_lang, joined, money, number, t
from training.replay_weeks import HABIT, OURS

_FILES: Final = (
    ("report_en", "report-en/report.html"),
    ("report_zh", "report-zh/report.html"),
    ("simulation_en", "simulation/simulation-en.html"),
    ("simulation_zh", "simulation/simulation-zh.html"),
    ("routed", "routed.csv"),
    ("forecast_rep", "forecast-rep.csv"),
    ("forecast_team", "forecast-team.csv"),
    ("forecast_company", "forecast-company.csv"),
    ("warnings", "warnings.json"),
    ("training", "training.txt"),
)
_N_URGENT: Final = 3
_N_DRIVERS: Final = 3


def write_index(
    out: Path, core: Core, simulation: Simulation, warnings: list[dict[str, Any]], lang: str
) -> tuple[Path, list[str]]:
    """Path of the start page in `lang`, written beside its sibling, and its headline in sentences.

    `index.html` and `index-zh.html` stand alone and link only to what is there. `warnings` are in `lang`; the other
    language's words are asked of `core`.
    """
    company = rows_of(core.forecast_table(None, "company"))
    payload = core.driver_payload(None)
    said: dict[str, list[str]] = {}
    for spoken in LANGUAGES:
        items = warnings if spoken == as_lang(lang) else core.warning_items(spoken)
        said[spoken] = _headline(core, simulation, company, items, payload.effects, spoken)
        context = {
            **_frame(out, core, spoken),
            "headline": said[spoken],
            "next": _open_next(spoken),
            "figures": _figures(core, simulation, company, items, spoken),
            "urgent": [_urgent(core, item, spoken) for item in without_promise(items[:_N_URGENT], spoken)],
            "kinds": _kinds(items, spoken),
            "forecast": _forecast(core, company, spoken),
            "replay": headline(simulation.replay, spoken),
            "drivers": _drivers(payload.ranking, simulation.currency, spoken),
        }
        (out / index_name(spoken)).write_text(render("demo.html.j2", spoken, context), encoding="utf-8")
    return out / index_name(as_lang(lang)), said[as_lang(lang)]


def index_name(lang: Lang) -> str:
    """File name of the start page in a language."""
    return "index.html" if lang == "en" else f"index-{lang}.html"


def _frame(out: Path, core: Core, lang: Lang) -> dict[str, Any]:
    state = core.state()
    tables = state.board.known
    until = texts.moment_day(lang, state.board.as_of, core.zone)
    created = tables.leads["created_at"]
    n_months = moments.month_of(state.board.as_of - 1, core.zone) - moments.month_of(int(created.min()), core.zone) + 1
    made = [
        {"path": path, "name": t(lang, f"demo_file.{name}"), "note": t(lang, f"demo_file.{name}_note")}
        for name, path in _ordered(lang)
        if (out / path).exists()
    ]
    as_of = moments.iso(state.board.as_of, core.zone)[:10]
    return {
        "css": inline_css(),
        "other_file": index_name(OTHER[lang]),
        "other_html_lang": HTML_LANG[OTHER[lang]],
        "lead": t(
            lang,
            "demo.lead",
            reps=number(lang, len(tables.reps)),
            months=n_months,
            leads=number(lang, len(tables.leads)),
            day=until,
        ),
        "version": t(lang, "demo.version", version=core.model_version or "–", day=until),
        "made": made,
        "command": f"fairlead serve --data {out / 'data'} --home {out / 'home'} --as-of {as_of}",
    }


def _ordered(lang: Lang) -> list[tuple[str, str]]:
    """The files, those in the page's own language before their siblings."""
    return sorted(_FILES, key=lambda file: file[0].endswith(f"_{OTHER[lang]}"))


def _headline(
    core: Core,
    simulation: Simulation,
    company: Sequence[Mapping[str, Any]],
    items: Sequence[Mapping[str, Any]],
    effects: Sequence[EffectRow],
    lang: Lang,
) -> list[str]:
    """What a sales head would want to keep, in money: routing, the month, what to try, what to look at."""
    general = core.session.config.general
    sentences = [
        _gain_sentence(simulation, lang),
        outlook_sentence(leading(company), general.currency, lang, general.miss_ratio),
    ]
    best = effect_view.best_lever([one for one in effects if one.outcome == "contribution"])
    if best is not None:
        amount, low, high = effect_view.amounts(best, general.currency, lang)
        name = texts.driver(lang, best.driver)
        sentences.append(t(lang, "demo.lever", driver=name, amount=amount, low=low, high=high))
    high_n = sum(item["severity"] == "high" for item in items)
    sentences.append(t(lang, "demo.attention", n=number(lang, len(items)), high=number(lang, high_n)))
    return sentences


def _gain_sentence(simulation: Simulation, lang: Lang) -> str:
    found = simulation.replay
    if found.routing_mode == "lead_only":
        return t(lang, "simulation.lead_only")
    ours, habit = found.result(OURS), found.result(HABIT)
    weeks = {"n": number(lang, found.n_leads), "first": found.first_week, "last": found.last_week}
    gain = money(lang, simulation.currency, ours.value - habit.value, signed=True)
    said = t(lang, "demo.gain_money", gain=gain, wins=number(lang, ours.wins - habit.wins, 1, signed=True), **weeks)
    if found.has_truth and ours.true_wins is not None and habit.true_wins is not None:
        said += t(lang, "demo.gain_true", wins=number(lang, ours.true_wins - habit.true_wins, 1, signed=True))
    return said


def _open_next(lang: Lang) -> list[dict[str, str]]:
    """The two pages to read next, in this language."""
    paths = dict(_FILES)
    return [
        {
            "path": paths[f"{name}_{lang}"],
            "name": t(lang, f"demo.next_{name}"),
            "note": t(lang, f"demo.next_{name}_note"),
        }
        for name in ("report", "simulation")
    ]


def _figures(
    core: Core,
    simulation: Simulation,
    company: Sequence[Mapping[str, Any]],
    items: Sequence[Mapping[str, Any]],
    lang: Lang,
) -> list[dict[str, str]]:
    counted = core.metrics_snapshot()
    found, first = simulation.replay, leading(company)
    high = sum(item["severity"] == "high" for item in items)
    cash = [money(lang, simulation.currency, float(first[name])) for name in ("p50", "p10", "p90")]
    gains = gain_figures(simulation, lang)

    def card(name: str, value: str, label: str | None = None, **numbers: str) -> dict[str, str]:
        named = t(lang, f"demo.{name}") if label is None else label
        return {"label": named, "value": value, "note": t(lang, f"demo.{name}_note", **numbers)}

    month = texts.month(lang, parse_month(str(first["month"])))
    return [
        card(
            "gain",
            gains[1]["value"] if gains else t(lang, "demo.gain_none"),
            first=found.first_week,
            last=found.last_week,
        ),
        card("expected", cash[0], t(lang, "demo.expected", month=month), low=cash[1], high=cash[2]),
        card("warned", number(lang, len(items)), high=number(lang, high)),
        card("routed", number(lang, sum(counted.decisions.values())), held=number(lang, counted.held)),
    ]


def _urgent(core: Core, item: Mapping[str, Any], lang: Lang) -> dict[str, Any]:
    reasons, suggestions = item["reasons"], item["suggestions"]
    who = core.state().name_of(str(item["rep_id"])) if item["rep_id"] else str(item.get("team_id") or "")
    return {
        "severity": str(item["severity"]),
        "title": str(item["title"]),
        "who": " · ".join(part for part in (who, str(item.get("lead_id") or "")) if part),
        "reason": joined(lang, *(str(reason["text"]) for reason in reasons[:2])),
        "no_gain": item["no_gain"],
        "suggestion": str(suggestions[0]["text"]) if suggestions else "",
    }


def _kinds(items: Sequence[Mapping[str, Any]], lang: Lang) -> TableView:
    counted = Counter(str(item["title"]) for item in items)
    high = Counter(str(item["title"]) for item in items if item["severity"] == "high")
    rows = [
        Row((text(title), numeric(number(lang, n)), numeric(number(lang, high[title]))))
        for title, n in counted.most_common()
    ]
    names = ("kind", "count", "of_which_high")
    heads = tuple(Cell(t(lang, f"demo.{name}"), numeric=at > 0) for at, name in enumerate(names))
    return TableView(t(lang, "demo.kinds_caption"), heads, tuple(rows))


def _forecast(core: Core, company: Sequence[Mapping[str, Any]], lang: Lang) -> dict[str, Any]:
    general = core.session.config.general
    return {
        "sentence": outlook_sentence(leading(company), general.currency, lang, general.miss_ratio),
        "chart": fan(company, t(lang, "demo.fan_title"), general.currency, lang, NARROW),
    }


def _drivers(ranking: Sequence[Any], currency: str, lang: Lang) -> ChartView | None:
    moved = [one for one in ranking if one.importance > 0][:_N_DRIVERS]
    if not moved:
        return None
    bars = [
        charts.Bar(texts.driver(lang, one.driver), one.importance, money(lang, currency, one.importance))
        for one in moved
    ]
    title = t(lang, "demo.drivers")
    svg = charts.bar_chart(bars, title, t(lang, "demo.drivers_sentence"), axis_label=t(lang, "demo.drivers_axis"))
    return ChartView(title, Markup(svg))  # noqa: S704 texts are escaped by charts
