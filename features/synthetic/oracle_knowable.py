"""What open leads will bring for one who knows a synthetic world's laws, but of each lead only what the tables tell.

Between a forecaster and the oracle lies what nobody could know. This law of open leads leaves that out:

- a lead's hidden quality is averaged over its distribution;
- a lead is open as long as no close is entered: it may have fallen silent long ago, or be closed and not entered yet.
  Its activities tell when it was alive, and an activity that is overdue by the lead's own rhythm tells that it is not.

Known are each rep's true powers, the luck and effort of each lead so far, and the laws of pace, stages and silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.synthetic.chances import SILENT_SHARE, Physics, Spells
from features.synthetic.days import Floats, Ints
from features.synthetic.frames import to_days
from features.synthetic.leads import MARKETER_SD
from features.synthetic.oracle import NODE_WEIGHTS, NODES, lead_codes
from features.synthetic.oracle_forecast import (
    OracleForecast,
    WorldState,
    logit_as_known,
    office_day,
    open_amounts,
    paces_left,
    sample_won,
    stage_likelihood,
    stages_seen,
)
from features.synthetic.world import World
from features.tables import Tables

_SLACK_DAYS: Final = 0.6  # follow-ups are moved within their day


def knowable_open_leads(
    world: World,
    tables: Tables,
    as_of: int,
    lead_ids: Sequence[str],
    rng: np.random.Generator,
    n_draws: int = 400,
    chances: Mapping[str, float] | None = None,
) -> OracleForecast:
    """Draws of what leads bring in the month of `as_of` whose close is not entered yet; `samples` holds nothing else.

    Parameters
    ----------
    tables
        What the desk keeps of the world: without activities nothing tells of silence, without stages nothing of them.
    lead_ids
        Leads that are open in the tables at `as_of`.
    chances
        Somebody's chance of ever winning, as judged at hand-over, by lead_id, in place of the knowable ones.
    """
    physics = world.physics
    now = float(to_days(world.config, physics.calendar.first_day, np.array([as_of], dtype=np.int64))[0])
    state = WorldState(world, now, 1, n_draws, rng)
    spells = _held(state, lead_codes(world, np.asarray(lead_ids, dtype=object)))
    chance = _chance(state, spells)
    if chances is not None:
        ids = world.ids.leads[spells.lead]
        chance = np.array([chances.get(str(each), own) for each, own in zip(ids, chance, strict=True)])
    last, followed = _last_activity(world, tables, as_of, spells)
    source = physics.leads.source[spells.lead]
    lived = physics.calendar.worked(spells.contact, np.maximum(last, spells.contact))
    won_days, won_share = paces_left(physics.win_days[source], lived)
    lost_days, lost_share = paces_left(physics.loss_days[source], lived)
    days = np.hstack([won_days, lost_days])
    ends = physics.calendar.after_work(np.repeat(spells.contact[:, None], days.shape[1], axis=1), days)
    hidden = _not_entered(world.config.late_logging_days, now - ends)
    never = np.hstack([np.zeros(won_days.shape), np.full(lost_days.shape, SILENT_SHARE)])
    weight = np.hstack([(chance * won_share)[:, None] + 0 * won_days, ((1 - chance) * lost_share)[:, None]
                        + 0 * lost_days])  # fmt: skip
    weight = weight * (never + (1.0 - never) * hidden)
    if len(tables.activities):
        weight = weight * _no_activity(physics, spells, last, followed, np.minimum(ends, now), now,
                                       world.config.late_logging_days)  # fmt: skip
    stages = stages_seen(state, spells) if len(tables.stages) else None
    if stages is not None:
        worked = physics.calendar.worked(spells.contact, np.maximum(spells.contact, now))
        weight = weight * stage_likelihood(stages, np.minimum(worked[:, None], days), days)
    weight[~(weight.sum(axis=1) > 0)] = np.append(np.zeros(days.shape[1] - 1), 1.0)
    draw, which, cell = sample_won(weight, state)
    day = office_day(state, spells.rep[which], spells.contact[which], won_days[which, cell])
    amount = open_amounts(physics, spells.lead, stages, which, rng)
    # What was won this month and is not entered yet still counts in it; what was won before does not.
    begun = float(np.searchsorted(physics.calendar.month, state.first_month))
    inside = day >= begun
    draw, which, day, amount = draw[inside], which[inside], np.maximum(day[inside], now), amount[inside]
    money = state.sums(draw, state.row[spells.rep[which]], day, amount)
    months = np.array([moments.month_of(as_of, world.config.zone)], dtype=np.int64)
    return OracleForecast(world.ids.reps[state.reps], months, money, money)


def _held(state: WorldState, leads: Ints) -> Spells:
    """The spell in which each lead is now, of leads in the hands of reps who are here."""
    spells, taken = state.world.history.spells, state.world.history.taken
    asked = np.zeros(state.world.physics.leads.n, dtype=bool)
    asked[leads] = True
    row = np.flatnonzero((spells.assigned < state.now) & (taken >= state.now) & asked[spells.lead])
    return spells.take(row[state.row[spells.rep[row]] >= 0])


def _chance(state: WorldState, spells: Spells) -> Floats:
    """Chance of ever winning as judged at hand-over, what no column shows of the lead averaged out."""
    physics = state.world.physics
    logit = logit_as_known(physics, spells, state.now) - physics.leads.hidden[spells.lead]
    sd = float(np.hypot(state.world.config.hidden_quality_sd, MARKETER_SD))
    return np.asarray(
        sum(w / (1 + np.exp(-(logit + sd * node))) for node, w in zip(NODES, NODE_WEIGHTS, strict=True)),
        dtype=np.float64,
    )


def _last_activity(world: World, tables: Tables, as_of: int, spells: Spells) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """World day of each spell's newest activity entered by `as_of`, its first contact where there is none; whether
    it had one after the contact."""
    known = tables.known(as_of).activities
    place = np.full(world.physics.leads.n, -1)
    place[spells.lead] = np.arange(spells.n)
    codes = pd.Index(world.ids.leads).get_indexer(pd.Index(known["lead_id"]))
    at = to_days(world.config, world.physics.calendar.first_day, known["occurred_at"].to_numpy(dtype=np.int64))
    row = place[np.maximum(codes, 0)]
    fits = (codes >= 0) & (row >= 0)
    last = spells.contact.copy()
    np.maximum.at(last, row[fits], at[fits])
    return last, last > spells.contact + 0.005


def _not_entered(late_days: float, since: Floats) -> Floats:
    """Chance that a close so many days ago is not entered yet; 1 for one to come."""
    if late_days <= 0:
        return np.asarray(since < 0, dtype=np.float64)
    return np.exp(-np.maximum(since, 0.0) / late_days)


def _no_activity(
    physics: Physics, spells: Spells, last: Floats, followed: npt.NDArray[np.bool_], until: Floats, now: float,
    late_days: float,
) -> Floats:  # fmt: skip
    """Likelihood, (n, cells), that a lead alive `until` shows no activity after its `last` one.

    Follow-ups come evenly in units of the rep's effort and drive; the first falls anywhere in its first unit.
    """
    begin = np.minimum(last, now)[:, None]
    end = np.maximum(until - _SLACK_DAYS, begin)
    driven = physics.driven
    days = np.arange(driven.shape[1], dtype=np.float64)
    due = np.empty(end.shape)
    for i, rep in enumerate(spells.rep):
        due[i] = np.interp(end[i], days, driven[rep]) - np.interp(begin[i], days, driven[rep])
    due *= (spells.effort / physics.calendar.per_week)[:, None]
    whole = np.floor(due)
    apart = (end - begin) / np.maximum(due, 1e-9)
    sure = _unseen(whole, apart, now - begin, late_days)
    # Of a first follow-up only the chance is known that it was due.
    more = _unseen(whole + 1.0, apart, now - begin, late_days)
    first = (1.0 - (due - whole)) * sure + (due - whole) * more
    return np.where(followed[:, None], sure, first)


def _unseen(n: Floats, apart: Floats, ago: Floats, late_days: float) -> Floats:
    """Chance that none of n activities is entered, each `apart` days after the one before, which was `ago` days ago."""
    if late_days <= 0:
        return np.asarray(n < 1, dtype=np.float64)
    return np.exp(-np.maximum(n * ago - apart * n * (n + 1) / 2, 0.0) / late_days)
