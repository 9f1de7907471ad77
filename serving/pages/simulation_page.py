"""The replay of recent weeks as one page that stands alone and prints: what rival policies would have brought."""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

from serving.pages.rendering import HTML_LANG, OTHER, inline_css, render
from serving.reports import charts
from serving.reports.tables import Cell, ChartView, Row, TableView, numeric, text
from serving.simulation import Simulation, headline, policy_cells, rep_shifts, rule_lines
from serving.texts import Lang, as_lang, has, money, number, percent, t
from training.replay_weeks import HABIT, OURS, PolicyResult, Replay

_MOST_SHIFTS: Final = 20
_POLICY_HEADS: Final = ("policy", "by_model", "estimated", "uplift", "effective_n", "outside", "held")
_SHIFT_HEADS: Final = ("rep", "tenure", "leads_habit", "leads_ours", "change")
_BANDS: Final = (("below_1", 0.0, 1.0), ("from_1_to_2", 1.0, 2.0), ("above_2", 2.0, float("inf")))


def render_simulation(simulation: Simulation, lang: str) -> str:
    """HTML of the replay, without script or outside asset, in either language from the same numbers."""
    spoken, found = as_lang(lang), simulation.replay
    shown = rep_shifts(found)
    rest = len(shown) - _MOST_SHIFTS
    context = {
        "css": inline_css(),
        "other_html_lang": HTML_LANG[OTHER[spoken]],
        "subtitle": t(
            spoken, "simulation.title", first=found.first_week, last=found.last_week, n=number(spoken, found.n_leads)
        ),
        "headline": headline(found, spoken, simulation.currency),
        "rules": rule_lines(found, spoken, simulation.currency),
        "figures": gain_figures(simulation, spoken),
        "wins": _wins_chart(found, spoken),
        "policies": _policies(simulation, spoken),
        "has_truth": found.has_truth,
        "bands": _bands(found, spoken) if shown else None,
        "shifts": _shifts(simulation, spoken) if shown else None,
        "rest": t(spoken, "sim_page.rest", n=rest) if rest > 0 else "",
        "doubts": _doubts(found, spoken),
    }
    return render("simulation.html.j2", spoken, context)


def policy_name(lang: Lang, name: str) -> str:
    """A policy's name for people; one that the catalogue does not hold is shown as it is."""
    key = f"simulation_policy.{name}"
    return t(lang, key) if has(lang, key) else name.replace("_", " ")


def gain_figures(simulation: Simulation, lang: Lang) -> list[dict[str, str]]:
    """Cards of the gain against the desk's habit: wins and money by the model, the estimate from what happened, the
    truth where it is known. Empty where nothing may be claimed at all.
    """
    found = simulation.replay
    if found.routing_mode == "lead_only":
        return []
    ours, habit = found.result(OURS), found.result(HABIT)
    cash = money(lang, simulation.currency, ours.value - habit.value, signed=True)
    cards = [
        _card(
            lang,
            "wins",
            number(lang, ours.wins - habit.wins, 1, signed=True),
            ours=number(lang, ours.wins, 1),
            habit=number(lang, habit.wins, 1),
        ),
        _card(lang, "money", cash, share=_share(lang, ours.value, habit.value), range=_money_range(simulation, lang)),
        _estimate_card(ours, lang),
    ]
    if found.has_truth and ours.true_wins is not None and habit.true_wins is not None:
        gain = number(lang, ours.true_wins - habit.true_wins, 1, signed=True)
        cards.append(_card(lang, "truth", gain, share=_share(lang, ours.true_wins, habit.true_wins)))
    return cards


def _money_range(simulation: Simulation, lang: Lang) -> str:
    said = simulation.replay.model_gain
    if said is None:
        return ""
    low, high = (money(lang, simulation.currency, n, signed=True) for n in (said.value_low, said.value_high))
    return t(lang, "sim_page.money.range", low=low, high=high)


def _estimate_card(ours: PolicyResult, lang: Lang) -> dict[str, str]:
    if ours.uplift is None or ours.uplift_low is None or ours.uplift_high is None:
        return {
            "label": t(lang, "sim_page.estimate.label"),
            "value": t(lang, "simulation.no_claim"),
            "note": t(lang, "sim_page.estimate.none", n=number(lang, ours.effective_n)),
        }
    low, high = (number(lang, value, 1, signed=True) for value in (ours.uplift_low, ours.uplift_high))
    return _card(lang, "estimate", number(lang, ours.uplift, 1, signed=True), low=low, high=high)


def _card(lang: Lang, name: str, value: str, **numbers: str) -> dict[str, str]:
    note = t(lang, f"sim_page.{name}.note", **numbers)
    return {"label": t(lang, f"sim_page.{name}.label"), "value": value, "note": note}


def _share(lang: Lang, ours: float, habit: float) -> str:
    return percent(lang, ours / habit - 1, 1, signed=True) if habit > 0 else "–"


def _wins_chart(found: Replay, lang: Lang) -> ChartView:
    bars = []
    for one in found.results:
        name = policy_name(lang, one.name)
        bars.append(charts.Bar(name, one.wins, number(lang, one.wins, 1)))
        if found.has_truth and one.true_wins is not None:
            label = t(lang, "sim_page.true_bar", policy=name)
            bars.append(charts.Bar(label, one.true_wins, number(lang, one.true_wins, 1), hatched=True))
    title = t(lang, "sim_page.chart_truth" if found.has_truth else "simulation.chart_title")
    svg = charts.bar_chart(bars, title, headline(found, lang), axis_label=t(lang, "sim_page.axis"))
    return ChartView(title, Markup(svg))  # noqa: S704 texts are escaped by charts


def _policies(simulation: Simulation, lang: Lang) -> TableView:
    found = simulation.replay
    heads = [Cell(t(lang, f"simulation.{name}"), numeric=at > 0) for at, name in enumerate(_POLICY_HEADS)]
    if found.has_truth:
        heads.append(Cell(t(lang, "simulation.true"), numeric=True))
    heads.append(Cell(t(lang, "sim_page.value"), numeric=True))
    rows = []
    for one in found.results:
        cells = [text(policy_name(lang, one.name)), *(numeric(c) for c in policy_cells(one, found, lang)[1:])]
        cells.append(numeric(money(lang, simulation.currency, one.value)))
        rows.append(Row(tuple(cells), total=one.name == OURS))
    return TableView(t(lang, "sim_page.policies_caption"), tuple(heads), tuple(rows))


def _shifts(simulation: Simulation, lang: Lang) -> TableView:
    found = simulation.replay
    rows = []
    for rep, habit, ours in rep_shifts(found)[:_MOST_SHIFTS]:
        tenure = number(lang, found.tenure_years.get(rep), 1)
        rows.append(_shift_row(lang, simulation.names.get(rep, rep), tenure, habit, ours))
    heads = tuple(Cell(t(lang, f"simulation.{name}"), numeric=at > 0) for at, name in enumerate(_SHIFT_HEADS))
    return TableView(t(lang, "sim_page.shifts_caption"), heads, tuple(rows))


def _shift_row(lang: Lang, name: str, tenure: str, habit: int, ours: int) -> Row:
    numbers = (number(lang, habit), number(lang, ours), number(lang, ours - habit, signed=True))
    return Row((text(name), numeric(tenure), *map(numeric, numbers)))


def _bands(found: Replay, lang: Lang) -> TableView:
    """Leads by tenure: how many reps share them, under habit and under ours."""
    rows = []
    for name, low, high in _BANDS:
        inside = [row for row in rep_shifts(found) if low <= found.tenure_years.get(row[0], -1.0) < high]
        if inside:
            habit, ours = sum(row[1] for row in inside), sum(row[2] for row in inside)
            rows.append(_shift_row(lang, t(lang, f"sim_page.band.{name}"), number(lang, len(inside)), habit, ours))
    names = ("sim_page.tenure", "sim_page.n_reps", *(f"simulation.{name}" for name in _SHIFT_HEADS[2:]))
    heads = tuple(Cell(t(lang, name), numeric=at > 0) for at, name in enumerate(names))
    return TableView(t(lang, "sim_page.bands_caption"), heads, tuple(rows))


def _doubts(found: Replay, lang: Lang) -> list[str]:
    doubts = [t(lang, "sim_page.mature", n=number(lang, found.n_mature), all=number(lang, found.n_leads))]
    outside = [one for one in found.results if not one.supported and one.name != HABIT]
    if outside:
        joint = "、" if lang == "zh" else ", "
        doubts.append(t(lang, "sim_page.unsupported", names=joint.join(policy_name(lang, one.name) for one in outside)))
    return doubts
