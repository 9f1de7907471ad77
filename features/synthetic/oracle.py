"""What an oracle knows of pairs that sees through a synthetic world: true chances, amounts, hard rules.

For benchmarks only: everything here reads the hidden state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from features import moments
from features.synthetic.chances import (
    EFFORT_SD,
    FOLLOW_UP_WINDOW,
    MEAN_FOLLOW_UPS,
    contact_chance,
    frequency_factor,
    pair_logit,
    tenure_logit,
    usual_effort,
)
from features.synthetic.days import Floats, Ints
from features.synthetic.frames import to_days
from features.synthetic.population import YEAR
from features.synthetic.world import World

# Gauss-Hermite nodes of a standard normal, for the luck that nobody can know.
NODES: Final = (-2.8569700138728, -1.3556261799743, 0.0, 1.3556261799743, 2.8569700138728)
NODE_WEIGHTS: Final = (0.011257411327721, 0.222075922005613, 0.533333333333333, 0.222075922005613, 0.011257411327721)
DELAY_SCORES: Final = tuple(float(score) for score in np.linspace(-2.0, 2.0, 9))
_PAIRS_AT_ONCE = 400_000

Texts = Sequence[str] | npt.NDArray[Any]


def true_win_probability(
    world: World, lead_ids: Texts, rep_ids: Texts, at: moments.Moments | None = None, *, hidden: bool = True
) -> Floats:
    """Chance that each lead is ever won in each rep's hands, shape (leads, reps), were it handed over `at`.

    Parameters
    ----------
    world
        A generated world.
    lead_ids, rep_ids
        Ids of its leads and sales reps.
    at
        Moments of the hand-overs by lead, int64; the leads' creation unless given.
    hidden
        False leaves out what no column shows of the lead and the market, at their means: the best that a model of the
        columns could know.

    Notes
    -----
    The rep behaves as he does then: his drift, slumps and absences of the coming weeks count, the luck of effort and
    first contact is averaged out. A later change of owner is not foreseen. Hard rules are `eligible`.
    """
    leads, reps = lead_codes(world, lead_ids), rep_codes(world, rep_ids)
    days = _days(world, leads, at)
    step = max(1, _PAIRS_AT_ONCE // max(1, len(reps)))
    out = np.empty((len(leads), len(reps)))
    for first in range(0, len(leads), step):
        rows = slice(first, first + step)
        lead = np.repeat(leads[rows], len(reps))
        rep = np.tile(reps, len(leads[rows]))
        chance = pair_chance(world, lead, rep, np.repeat(days[rows], len(reps)), hidden=hidden, market=hidden)
        out[rows] = chance.reshape(-1, len(reps))
    return out


def pair_chance(
    world: World,
    lead: Ints,
    rep: Ints,
    day: Floats,
    *,
    hidden: bool = True,
    market: bool = True,
    drive: Floats | None = None,
) -> Floats:
    """Chance of winning of pairs of codes handed over on world days, the luck of effort and contact averaged out.

    `hidden`, `market`: False leaves them at their means. `drive`: instead of what the rep will do in those weeks, so
    many times his usual follow-ups, shape of `lead`.
    """
    physics = world.physics
    calendar, effects = physics.calendar, physics.config.effects
    logit = pair_logit(physics, lead, rep, day) + tenure_logit(physics, (day - physics.people.hired[rep]) / YEAR)
    begin = np.clip(np.floor(day).astype(np.int64), 0, calendar.n_total - FOLLOW_UP_WINDOW)
    if not hidden:
        logit = logit - physics.leads.hidden[lead]
    if not market:
        logit = logit - physics.market[calendar.month[begin]]
    if drive is None:
        factor = frequency_factor(physics, rep, day)
    else:
        work = calendar.running[begin + FOLLOW_UP_WINDOW] - calendar.running[begin]
        factor = drive * work / (FOLLOW_UP_WINDOW / 7 * calendar.per_week)
    usual = usual_effort(physics, lead, rep, day) * factor
    quick = contact_chance(physics, rep, day, np.array(DELAY_SCORES))
    chance = np.zeros(len(lead))
    for node, weight in zip(NODES, NODE_WEIGHTS, strict=True):
        follow_ups = effects.follow_up * (usual * np.exp(EFFORT_SD * node) - MEAN_FOLLOW_UPS)
        for share, switch in ((quick, 0.5), (1 - quick, -0.5)):
            chance += weight * share / (1 + np.exp(-(logit + follow_ups + effects.contact_within_24h * switch)))
    return chance


def true_expected_amount(world: World, lead_ids: Texts) -> Floats:
    """Mean amount of each lead's first deal if won, major units; the rep has no part in it."""
    return np.asarray(world.physics.leads.expected_amount[lead_codes(world, lead_ids)], dtype=np.float64)


def eligible(world: World, lead_ids: Texts, rep_ids: Texts, at: moments.Moments | None = None) -> npt.NDArray[np.bool_]:
    """Whether hired, not left, not absent and of the territory, shape (leads, reps). Capacity is not looked at."""
    people, calendar, config = world.physics.people, world.physics.calendar, world.config
    leads, reps = lead_codes(world, lead_ids), rep_codes(world, rep_ids)
    when = world.physics.leads.created[leads] if at is None else to_days(config, calendar.first_day, at)
    day = np.clip(np.floor(when).astype(np.int64), 0, calendar.n_total - 1)
    here = (people.hired[reps] <= day[:, None]) & (people.left[reps] > day[:, None])
    territory = world.physics.leads.territory[leads]
    serves = np.where((territory >= 0)[:, None], people.serves[reps][:, np.maximum(territory, 0)].T, True)
    return np.asarray(here & serves & ~people.absent[reps][:, day].T, dtype=np.bool_)


def lead_codes(world: World, lead_ids: Texts) -> Ints:
    """Positions of leads in the world's hidden arrays; KeyError for an unknown id."""
    return _codes(world.ids.leads, lead_ids)


def rep_codes(world: World, rep_ids: Texts) -> Ints:
    """Positions of sales reps in the world's hidden arrays; KeyError for an unknown id."""
    return _codes(world.ids.reps, rep_ids)


def _codes(known: npt.NDArray[np.object_], ids: Texts) -> Ints:
    position = {text: code for code, text in enumerate(known)}
    return np.array([position[text] for text in ids], dtype=np.int64)


def _days(world: World, leads: Ints, at: moments.Moments | None) -> Floats:
    """World days of hand-overs, within the days that the world has."""
    calendar = world.physics.calendar
    days = world.physics.leads.created[leads] if at is None else to_days(world.config, calendar.first_day, at)
    return np.clip(days, 0.0, calendar.n_total - 61.0)
