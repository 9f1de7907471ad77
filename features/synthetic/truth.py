"""What is true of a world, as numbers that estimates can be held against, and as functions for benchmarks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

import numpy as np

from features.synthetic.calibration import BANDS
from features.synthetic.chances import TENURE_KNOTS, Physics, interaction
from features.synthetic.config import SKILLS
from features.synthetic.days import Floats, Ints
from features.synthetic.desk import History
from features.synthetic.frames import Identities

_PAIRS_A_LEAD: Final = 5
HOW: Final = {
    "win_probability": "mean over all hand-overs of the change in the chance of winning: one more follow-up a week"
    " as a whole step; first contact within 24 h against later; the course completed against not; all else as it was",
    "contribution": "the same changes times the expected amount of each lead and the realised ratio of all won money"
    " to that of first deals, summed over hand-overs and divided by the rep-months worked",
    "logit": "coefficient on the logit of winning",
}


def make_truth(physics: Physics, history: History, ids: Identities, contribution: Floats) -> dict[str, Any]:
    """Content of truth.json: JSON-able, ids as in the tables, dates as text, money in major units."""
    people, words, config, calendar = physics.people, physics.words, physics.config, physics.calendar
    industries = [each.name for each in words.industries]
    sources = [each.name for each in words.sources]
    reps = {
        str(ids.reps[rep]): {
            "ability": _round(people.ability[rep]),
            "log_diligence": _round(people.diligence[rep]),
            "promptness": _round(people.promptness[rep]),
            "attitude": _round(people.attitude[rep]),
            "weekly_capacity": int(people.capacity[rep]),
            "by_industry": _by_name(industries, people.by_industry[rep]),
            "by_source": _by_name(sources, people.by_source[rep]),
            "by_territory": _by_name(words.territories, people.by_territory[rep]),
            "by_size": _by_name(words.sizes, people.by_size[rep]),
        }
        for rep in range(people.n)
    }
    leavers = np.flatnonzero(people.left < calendar.n_days)
    return {
        "config": asdict(config),
        "how": HOW,
        "effects": _effects(physics, history, contribution),
        "conversion": conversion(physics, history),
        "tenure_curve": {
            "years": list(TENURE_KNOTS[1:]) if config.tenure_matters else [0.0],
            "logit": [_round(value) for value in (physics.curve if config.tenure_matters else physics.curve[:1])],
        },
        "ability_sd": config.ability_sd,
        "interaction": _interaction(physics, history),
        "sources": {each.name: each.logit for each in words.sources},
        "industries": {each.name: each.logit for each in words.industries},
        "market": [_round(value) for value in physics.market[: config.n_months]],
        "leavers": [
            {"rep_id": str(ids.reps[rep]), "left_on": calendar.date(int(people.left[rep])).isoformat()}
            for rep in leavers
        ],
        "slumps": [
            {
                "rep_id": str(ids.reps[slump.rep]),
                "starts_on": calendar.date(slump.start).isoformat(),
                "ends_on": calendar.date(min(slump.end, int(people.left[slump.rep])) - 1).isoformat(),
                "factor": slump.factor,
            }
            for slump in people.slumps
        ],
        "reps": reps,
    }


def conversion(physics: Physics, history: History) -> dict[str, Any]:
    """Share of hand-overs that the desk's habit wins: expected, and with the luck it had, whole and by tenure."""
    spells = history.spells
    band = np.digitize((spells.assigned - physics.people.hired[spells.rep]) / 365.25, BANDS)
    won = (spells.outcome == 1) & (spells.end < history.taken)
    names = ("below_1_year", "1_to_2_years", "above_2_years")
    out: dict[str, Any] = {"all": _share(spells.logit, won, np.ones(spells.n, dtype=bool))}
    return out | {name: _share(spells.logit, won, band == k) for k, name in enumerate(names)}


def interaction_sd(physics: Physics, lead: Ints, rep: Ints) -> float:
    """Sd on the logit of the lead x rep effect over pairs, each rep's mean taken off."""
    if not len(lead):
        return 0.0
    effect = interaction(physics, lead, rep)
    n = np.maximum(np.bincount(rep, minlength=physics.people.n), 1)
    mean = np.bincount(rep, weights=effect, minlength=physics.people.n) / n
    return float(np.std(effect - mean[rep]))


def _interaction(physics: Physics, history: History) -> dict[str, Any]:
    """The sd over pairs of any lead with any rep, and over those that territories and habit brought together."""
    lead = np.repeat(np.arange(physics.leads.n), _PAIRS_A_LEAD)
    rep = (lead * 7 + np.tile(np.arange(_PAIRS_A_LEAD), physics.leads.n)) % physics.people.n
    return {
        "structure": physics.config.structure,
        "sd": _round(interaction_sd(physics, lead, rep)),
        "sd_of_hand_overs": _round(interaction_sd(physics, history.spells.lead, history.spells.rep)),
    }


def rep_months(physics: Physics) -> float:
    """Rep-months worked in history, of 30.4375 days each."""
    people, n_days = physics.people, physics.calendar.n_days
    days = np.clip(np.minimum(people.left, n_days) - np.maximum(people.hired, 0), 0, None)
    return float(days.sum() / 30.4375)


def _effects(physics: Physics, history: History, contribution: Floats) -> dict[str, dict[str, float]]:
    """Each lever's true effect on the logit, the chance of winning and the month's money."""
    spells, effects = history.spells, physics.config.effects
    logit = spells.logit
    courses = physics.trainings.completed(spells.rep, spells.assigned)
    shifts: dict[str, tuple[float, Floats, Floats]] = {
        "followups_per_week": (effects.follow_up, logit + effects.follow_up, logit),
        "contact_within_24h": _switch(logit, effects.contact_within_24h, spells.within_24h.astype(np.float64)),
    }
    for skill, effect in enumerate(effects.training):
        shifts[f"training:{SKILLS[skill]}"] = _switch(logit, effect, courses[:, skill])
    money = physics.leads.expected_amount[spells.lead] * _repeat_ratio(physics, history, contribution)
    out = {}
    for driver, (coefficient, with_it, without) in shifts.items():
        change = _chance(with_it) - _chance(without)
        out[driver] = {
            "logit": coefficient,
            "win_probability": _round(change.mean() if spells.n else 0.0, 6),
            "contribution": _round(float(change @ money) / max(rep_months(physics), 1e-9), 2),
        }
    return out


def _switch(logit: Floats, effect: float, on: Floats) -> tuple[float, Floats, Floats]:
    """Coefficient, logits with the switch on, logits with it off."""
    return effect, logit + effect * (1 - on), logit - effect * on


def _repeat_ratio(physics: Physics, history: History, contribution: Floats) -> float:
    """All won money over that of first deals."""
    spells = history.spells
    visible = np.minimum(history.taken, physics.calendar.n_days)
    first = (spells.outcome == 1) & (spells.end < visible)
    amount = float(physics.leads.amount[spells.lead[first]].sum())
    return float(contribution.sum()) / amount if amount > 0 else 1.0


def _share(logit: Floats, won: Ints | np.ndarray[Any, np.dtype[np.bool_]], member: Any) -> dict[str, float]:
    n = int(member.sum())
    if not n:
        return {"n": 0}
    return {"n": n, "expected": _round(_chance(logit[member]).mean()), "realised": _round(won[member].mean())}


def _chance(logit: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logit)), dtype=np.float64)


def _by_name(names: Any, values: Floats) -> dict[str, float]:
    return {str(name): _round(value) for name, value in zip(names, values, strict=True) if value != 0.0}


def _round(value: Any, digits: int = 4) -> float:
    return round(float(value), digits)
