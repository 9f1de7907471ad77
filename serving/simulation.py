"""`fairlead simulate`: the replay composed from a session, and shown as text, JSON, CSV and a printable page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from features.tables import Tables
from models.routing.rules import Desk
from serving.board import Board
from serving.session import Session
from serving.texts import LANGUAGES, Lang, money, number, percent, t
from training.replay_weeks import HABIT, OURS, PolicyResult, Replay, Truth, replay_weeks

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Simulation:
    """A replay with what pages need beside it: currency and rep names."""

    replay: Replay
    currency: str
    names: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        made: dict[str, Any] = asdict(self.replay)
        made["policies"] = made.pop("results")
        cleaned: dict[str, Any] = json.loads(json.dumps(made, default=float), parse_constant=lambda _: None)
        return cleaned

    def as_text(self, lang: str) -> str:
        """A table for the terminal."""
        spoken: Lang = "zh" if lang == "zh" else "en"
        return "\n".join(_text_lines(self, spoken))

    def as_csv(self) -> str:
        """One row a policy."""
        out = io.StringIO(newline="")
        rows = [asdict(one) for one in self.replay.results]
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)
        return out.getvalue()

    def write(self, out: Path) -> list[Path]:
        """Write simulation.json, simulation.csv and one printable page a language."""
        from serving.pages.simulation_page import render_simulation

        out.mkdir(parents=True, exist_ok=True)
        documents = {
            "simulation.json": json.dumps(self.as_dict(), ensure_ascii=False, indent=1) + "\n",
            "simulation.csv": self.as_csv(),
            **{f"simulation-{lang}.html": render_simulation(self, lang) for lang in LANGUAGES},
        }
        for name, text in documents.items():
            (out / name).write_text(text, encoding="utf-8", newline="")
        return [out / name for name in documents]


def simulate_weeks(
    session: Session, weeks: int, seed: int, progress: Callable[[str], None] | None = None
) -> Simulation:
    """The replay of a session's last whole weeks."""

    def desk_of(tables: Tables, moment: int) -> tuple[list[str], Desk]:
        # Reps as known now, so that joiners of the weeks take part; capacity as known when the weeks began.
        now = Board(session.tables, session.config, session.as_of, None)
        before = Board(session.tables, session.config, moment, None)
        places = {rep: int(n) for rep, n in zip(before.rep_ids, before.capacity, strict=True)}
        capacity = np.array([places.get(r, int(n)) for r, n in zip(now.rep_ids, now.capacity, strict=True)])
        desk = now.desk
        del tables
        return list(now.rep_ids), Desk(**{**_fields(desk), "capacity": capacity.astype(np.int64)})

    found = replay_weeks(
        session.tables, session.config, session.as_of, weeks, seed, desk_of, truth_of(session), progress
    )
    reps = session.tables.reps
    names = {str(r): str(n) or str(r) for r, n in zip(reps["rep_id"], reps["name"], strict=True)}
    return Simulation(found, session.config.general.currency, names)


def _fields(desk: Desk) -> dict[str, Any]:
    return {name: getattr(desk, name) for name in desk.__dataclass_fields__}


def truth_of(session: Session) -> Truth | None:
    """The known truth of synthetic tables; None where the folder holds no truth.json of ours."""
    if session.data is None or not (session.data / "truth.json").exists():
        return None
    from features.synthetic import Effects, WorldConfig, generate, true_expected_amount, true_win_probability

    try:
        given = json.loads((session.data / "truth.json").read_text(encoding="utf-8"))["config"]
        config = WorldConfig(**{**_frozen(given), "effects": Effects(**_frozen(given["effects"]))})
    except (ValueError, KeyError, TypeError):
        return None  # somebody else's truth.json
    world = generate(config)

    def truth(leads: list[str], reps: list[str], at: Ints) -> tuple[Floats, Floats]:
        known = set(world.ids.reps)
        probability = np.zeros((len(leads), len(reps)))
        sales = [i for i, rep in enumerate(reps) if rep in known]
        probability[:, sales] = true_win_probability(
            world, np.array(leads, dtype=object), np.array([reps[i] for i in sales], dtype=object), at
        )
        return probability, true_expected_amount(world, np.array(leads, dtype=object))

    return truth


def _frozen(given: Mapping[str, Any]) -> dict[str, Any]:
    """JSON lists as tuples, as the generator's settings hold them."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}


def _text_lines(simulation: Simulation, lang: Lang) -> list[str]:
    found = simulation.replay
    lines = [
        t(lang, "simulation.title", first=found.first_week, last=found.last_week, n=number(lang, found.n_leads)),
        headline(found, lang, simulation.currency),
        *rule_lines(found, lang, simulation.currency),
        "",
        "  ".join(text.rjust(width) for text, width in zip(_header(lang, found), _WIDTHS, strict=False)),
    ]
    lines += [
        "  ".join(text.rjust(width) for text, width in zip(policy_cells(one, found, lang), _WIDTHS, strict=False))
        for one in found.results
    ]
    return lines


_WIDTHS = (26, 14, 24, 26, 12, 12, 12, 12)


def _header(lang: Lang, found: Replay) -> list[str]:
    keys = ["policy", "by_model", "estimated", "uplift", "effective_n", "outside", "held"]
    return [t(lang, f"simulation.{key}") for key in keys] + ([t(lang, "simulation.true")] if found.has_truth else [])


def policy_cells(one: PolicyResult, found: Replay, lang: Lang) -> list[str]:
    """A row of the table: policy, wins by the model, estimated wins a hundred leads, uplift, support."""

    def ranged(value: float | None, low: float | None, high: float | None, signed: bool) -> str:
        if value is None or low is None or high is None:
            return t(lang, "simulation.no_claim") if one.name != HABIT else "–"
        middle = number(lang, value, 1, signed=signed)
        return f"{middle} ({number(lang, low, 1, signed=signed)} … {number(lang, high, 1, signed=signed)})"

    cells = [
        t(lang, f"simulation_policy.{one.name}"),
        number(lang, one.wins, 1),
        ranged(one.estimate, one.ci_low, one.ci_high, False),
        ranged(one.uplift, one.uplift_low, one.uplift_high, True),
        number(lang, one.effective_n),
        percent(lang, one.outside_share),
        number(lang, one.n_held),
    ]
    if found.has_truth:
        cells.append(number(lang, one.true_wins, 1))
    return cells


def rule_lines(found: Replay, lang: Lang, currency: str = "") -> list[str]:
    """What each wish of the desk that is set costs over the weeks, a sentence each."""
    return [
        t(
            lang, f"simulation_rule.{cost.rule}", wins=number(lang, cost.wins, 1),
            value=money(lang, currency, cost.value), short=number(lang, cost.short),
            missing=money(lang, currency, cost.missing),
        )
        for cost in found.rule_costs
    ]  # fmt: skip


def headline(found: Replay, lang: Lang, currency: str = "") -> str:
    """What is gained, in wins and money with intervals, or why nothing is claimed."""
    if found.routing_mode == "lead_only":
        return t(lang, "simulation.lead_only")
    ours, habit = found.result(OURS), found.result(HABIT)
    by_model = (ours.wins - habit.wins) / habit.wins if habit.wins > 0 else float("nan")
    model = t(lang, "simulation.gain_by_model", gain=percent(lang, by_model, signed=True))
    if found.model_gain is not None:
        said = found.model_gain
        wins, least, most = (number(lang, n, 1, signed=True) for n in (said.wins, said.wins_low, said.wins_high))
        model += t(lang, "simulation.gain_interval", wins=wins, low=least, high=most)
        cash, least, most = (
            money(lang, currency, n, signed=True) for n in (said.value, said.value_low, said.value_high)
        )
        model += t(lang, "simulation.money_interval", value=cash, low=least, high=most)
    if ours.uplift is None or ours.uplift_low is None or ours.uplift_high is None:
        return model + t(lang, "simulation.gain_not_claimed", n=number(lang, ours.effective_n))
    low, high = number(lang, ours.uplift_low, 1, signed=True), number(lang, ours.uplift_high, 1, signed=True)
    return model + t(
        lang, "simulation.gain_estimated", gain=number(lang, ours.uplift, 1, signed=True), low=low, high=high
    )


def rep_shifts(found: Replay) -> list[tuple[str, int, int]]:
    """(rep, leads under habit, leads under ours), largest change first."""
    ours, habit = found.given[OURS], found.given[HABIT]
    rows = [(rep, habit[rep], ours[rep]) for rep in ours if habit[rep] or ours[rep]]
    return sorted(rows, key=lambda row: (-abs(row[2] - row[1]), row[0]))


__all__ = ["Simulation", "headline", "policy_cells", "rep_shifts", "rule_lines", "simulate_weeks", "truth_of"]
