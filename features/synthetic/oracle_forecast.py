"""True distribution of contribution from the state of a synthetic world at a moment: the floor for forecasts.

The oracle knows each open lead's true chance and pace and each rep's true powers. It does not know what has not
happened: leads still to come, drift, the market's next months, who will leave. Three parts are drawn and summed:

- open leads: outcome, time and amount given that they are still open and, where stages are kept, given the stages
  entered so far and the amounts believed at them, each from its own true law;
- leads still to come: Poisson arrivals at today's seats, shared by turns, each like one that reps of the same tenure
  band got in the year before, in this rep's hands;
- repeat purchases of clients won so far.

Left out, being small: second owners after somebody leaves, repeat purchases of clients not won yet, leads that wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from features import moments
from features.synthetic.chances import FOLLOW_UP_WINDOW, PACE_SD, Physics, Spells
from features.synthetic.days import Floats, Ints, season
from features.synthetic.desk import turn_weights
from features.synthetic.frames import to_days
from features.synthetic.leads import AMOUNT_SD
from features.synthetic.oracle import pair_chance
from features.synthetic.population import YEAR
from features.synthetic.trail import (
    BELIEF_BIAS,
    BELIEF_SD,
    REACHED_WHEN_LOST,
    REPEAT_DAYS,
    REPEAT_RATE,
    REPEAT_SD,
    REPEAT_SHARE,
    STAGE_SHARES,
)
from features.synthetic.world import World

_POOL = 600
N_PACES: Final = 64  # equally likely paces of an open lead
_STAGE_SLACK_DAYS: Final = 0.6
_MARKET_KEEP: Final = 0.6


@dataclass(frozen=True)
class OracleForecast:
    """`samples`: (draws, reps, months) contribution in major units; `months`: indexes (year * 12 + month - 1).

    `open_leads`: the part of `samples` that leads open at the moment bring, same shape.
    """

    rep_ids: npt.NDArray[np.object_]
    months: Ints
    samples: Floats
    open_leads: Floats

    @property
    def mean(self) -> Floats:
        """(reps, months) expected contribution."""
        return np.asarray(self.samples.mean(axis=0), dtype=np.float64)


def oracle_forecast(
    world: World,
    as_of: int,
    rng: np.random.Generator,
    n_months: int = 3,
    n_draws: int = 400,
    sees_stages: bool = True,
    chances: Mapping[str, float] | None = None,
) -> OracleForecast:
    """True forecast for the month of `as_of` and those after it, for the sales reps here at `as_of`.

    What is closed before `as_of` in its month is in every draw. `sees_stages` False: for a desk that keeps no stages,
    whose forecasters cannot know what they tell. `chances`: somebody's chance of ever winning, as judged at hand-over,
    by lead_id, in place of the true ones of open leads.

    Raises
    ------
    ValueError
        Where `as_of` lies outside the history.
    """
    physics = world.physics
    now = float(to_days(world.config, physics.calendar.first_day, np.array([as_of], dtype=np.int64))[0])
    if not 0 < now <= physics.calendar.n_days:
        raise ValueError(f"as_of must lie within the world's {world.config.n_months} months of history")
    state = WorldState(world, now, n_months, n_draws, rng)
    total = np.broadcast_to(_closed(state), (n_draws, len(state.reps), n_months)).copy()
    open_leads = _open(state, sees_stages, chances)
    total += open_leads + _to_come(state) + _repeats(state)
    months = moments.month_of(as_of, world.config.zone) + np.arange(n_months, dtype=np.int64)
    return OracleForecast(world.ids.reps[state.reps], months, total, open_leads)


class WorldState:
    """A world at a moment, and the shocks that all reps of a draw share."""

    def __init__(self, world: World, now: float, n_months: int, n_draws: int, rng: np.random.Generator) -> None:
        people, calendar = world.physics.people, world.physics.calendar
        self.world, self.now, self.n_months, self.n_draws, self.rng = world, now, n_months, n_draws, rng
        self.first_month = int(calendar.month[min(int(now), calendar.n_total - 1)])
        self.last_day = float(np.searchsorted(calendar.month, self.first_month + n_months))
        self.reps = np.flatnonzero((people.hired < now) & (people.left >= now))
        self.row = np.full(people.n, -1)
        self.row[self.reps] = np.arange(len(self.reps))
        sd = world.config.market_sd
        self.arrivals = np.exp(rng.normal(0.0, sd, (n_draws, n_months)))
        self.market = np.empty((n_draws, n_months))
        self.market[:, 0] = world.physics.market[self.first_month]
        for month in range(1, n_months):
            self.market[:, month] = _MARKET_KEEP * self.market[:, month - 1] + 0.8 * rng.normal(0.0, sd, n_draws)
        leaves = rng.exponential(YEAR / max(world.config.turnover, 1e-9), (n_draws, len(self.reps)))
        self.leaves = now + leaves

    def sums(self, draw: Ints, row: Ints, day: Floats, amount: Floats) -> Floats:
        """(draws, reps, months) of amounts on world days, without what comes after leaving or the last month."""
        inside = (day < self.last_day) & (day >= self.now) & (day < self.leaves[draw, row])
        draw, row, day, amount = draw[inside], row[inside], day[inside], amount[inside]
        month = self.world.physics.calendar.month[np.floor(day).astype(np.int64)] - self.first_month
        shape = (self.n_draws, len(self.reps), self.n_months)
        flat = np.ravel_multi_index((draw, row, month), shape)
        total = np.bincount(flat, weights=amount, minlength=int(np.prod(shape)))
        return np.asarray(total, dtype=np.float64).reshape(shape)


def _closed(state: WorldState) -> Floats:
    """(reps, months) what is won already in the current month."""
    deals = state.world.trail.deals
    at = np.asarray(deals["at"], dtype=np.float64)
    rows = state.row[np.asarray(deals["rep"], dtype=np.int64)]
    month = state.world.physics.calendar.month[np.floor(at).astype(np.int64)]
    now = (at < state.now) & (month == state.first_month) & (rows >= 0)
    out = np.zeros((len(state.reps), state.n_months))
    np.add.at(out[:, 0], rows[now], np.asarray(deals["amount"], dtype=np.float64)[now])
    return out


def _open(state: WorldState, sees_stages: bool, chances: Mapping[str, float] | None) -> Floats:
    """Draws of what open leads bring: each lead's law on a grid of paces, won and lost, weighed by what was seen."""
    world, physics = state.world, state.world.physics
    spells, taken = world.history.spells, world.history.taken
    row = np.flatnonzero((spells.assigned < state.now) & (spells.end >= state.now) & (taken >= state.now))
    spells = spells.take(row[state.row[spells.rep[row]] >= 0])
    source = physics.leads.source[spells.lead]
    worked = physics.calendar.worked(spells.contact, np.maximum(spells.contact, state.now))
    chance = 1 / (1 + np.exp(-logit_as_known(physics, spells, state.now)))
    if chances is not None:
        ids = world.ids.leads[spells.lead]
        told = [chances.get(str(each), own) for each, own in zip(ids, chance, strict=True)]
        chance = np.clip(np.array(told), 1e-9, 1 - 1e-9)
    won_days, won_share = paces_left(physics.win_days[source], worked)
    lost_days, lost_share = paces_left(physics.loss_days[source], worked)
    weight = np.hstack([(chance * won_share)[:, None] * np.ones(N_PACES), ((1 - chance) * lost_share)[:, None]
                        * np.ones(N_PACES)])  # fmt: skip
    stages = stages_seen(state, spells) if sees_stages else None
    if stages is not None:
        weight = weight * stage_likelihood(stages, worked[:, None], np.hstack([won_days, lost_days]))
    draw, which, cell = sample_won(weight, state)
    days = won_days[which, cell]
    day = office_day(state, spells.rep[which], spells.contact[which], days)
    amount = open_amounts(physics, spells.lead, stages, which, state.rng)
    return state.sums(draw, state.row[spells.rep[which]], np.maximum(day, state.now), amount)


def paces_left(usual_days: Floats, worked: Floats) -> tuple[Floats, Floats]:
    """Days from contact to the end on a grid of equally likely paces that lie ahead, (n, N_PACES), and their share."""
    past = ndtr((np.log(np.maximum(worked, 1e-9)) - np.log(usual_days)) / PACE_SD)
    level = past[:, None] + (np.arange(N_PACES) + 0.5)[None] / N_PACES * (1 - past)[:, None]
    return usual_days[:, None] * np.exp(PACE_SD * ndtri(np.clip(level, 1e-12, 1 - 1e-12))), 1 - past


@dataclass(frozen=True)
class StagesSeen:
    """Stages entered before now by open spell: work done from contact to entry, NaN where not entered; amounts."""

    worked: Floats
    log_amount: Floats


def stages_seen(state: WorldState, spells: Spells) -> StagesSeen:
    """(n, stages) each, the last entry where a spell has several."""
    rows, calendar = state.world.trail.stages, state.world.physics.calendar
    lead, at = np.asarray(rows["lead"], dtype=np.int64), np.asarray(rows["at"], dtype=np.float64)
    place = np.full(state.world.physics.leads.n, -1)
    place[spells.lead] = np.arange(spells.n)
    mine = place[lead]
    fits = (mine >= 0) & (at < state.now) & (at >= spells.contact[np.maximum(mine, 0)])
    n_stages = len(STAGE_SHARES)
    worked, amount = np.full((spells.n, n_stages), np.nan), np.full((spells.n, n_stages), np.nan)
    to, stage = mine[fits], np.asarray(rows["stage"], dtype=np.int64)[fits]
    worked[to, stage] = calendar.worked(spells.contact[to], at[fits])
    amount[to, stage] = np.log(np.maximum(np.asarray(rows["amount"], dtype=np.float64)[fits], 1.0))
    return StagesSeen(worked, amount)


def stage_likelihood(seen: StagesSeen, worked: Floats, days: Floats) -> Floats:
    """Likelihood of the stages entered and not entered by now, of each lead and grid cell (won ones first).

    `worked`: (n, 1) days from contact until now, or (n, cells) until the end where a cell's end lies before now.
    """
    out = np.ones(days.shape)
    won = np.arange(days.shape[1]) < N_PACES
    before = 1.0
    for stage, (share, reached) in enumerate(zip(STAGE_SHARES, REACHED_WHEN_LOST, strict=True)):
        going = np.where(won, 1.0, reached / before)[None]
        before = reached
        middle, entered = share * days, seen.worked[:, stage, None]
        # Entries are uniform over a fifth to either side, and moved within their day.
        half = 0.2 * middle + _STAGE_SLACK_DAYS
        density = going * (np.abs(entered - middle) <= half) / (2 * half)
        still_ahead = np.clip((middle + half - worked) / (2 * half), 0.0, 1.0)
        waiting = 1 - going + going * still_ahead
        # Nothing is learnt of a stage while the one before has not been entered.
        reachable = np.isfinite(seen.worked[:, stage - 1, None]) if stage else np.ones((len(days), 1), dtype=bool)
        out *= np.where(np.isfinite(entered), density, np.where(reachable, waiting, 1.0))
    lost_track = ~(out.sum(axis=1) > 0)
    out[lost_track] = 1.0
    return out


def sample_won(weight: Floats, state: WorldState) -> tuple[Ints, Ints, Ints]:
    """Draw, lead and grid cell of each lead won in each draw."""
    n = len(weight)
    if not n:
        return (np.zeros(0, dtype=np.int64),) * 3
    cumulative = np.cumsum(weight, axis=1)
    cumulative /= cumulative[:, -1:]
    flat = (cumulative + np.arange(n)[:, None]).ravel()
    u = state.rng.random((state.n_draws, n)) + np.arange(n)
    cell = np.searchsorted(flat, u.ravel(), side="right").reshape(u.shape) - np.arange(n) * weight.shape[1]
    draw, which = np.nonzero(cell < N_PACES)
    return draw, which, np.clip(cell[draw, which], 0, N_PACES - 1)


def open_amounts(
    physics: Physics, lead: Ints, seen: StagesSeen | None, which: Ints, rng: np.random.Generator
) -> Floats:
    """Drawn amounts of open leads won, given what was believed of them at their stages."""
    middle = np.log(np.maximum(physics.leads.expected_amount[lead], 1e-9)) - AMOUNT_SD**2 / 2
    precision = np.full(len(lead), AMOUNT_SD**-2)
    pulled = middle * precision
    for stage in range(0 if seen is None else seen.log_amount.shape[1]):
        assert seen is not None
        told = np.isfinite(seen.log_amount[:, stage])
        sure = (BELIEF_SD / (stage + 1)) ** -2 * told
        pulled = pulled + sure * np.where(told, seen.log_amount[:, stage] - BELIEF_BIAS, 0.0)
        precision = precision + sure
    noise = rng.normal(size=len(which))
    return np.asarray(np.exp((pulled / precision)[which] + noise / np.sqrt(precision)[which]), dtype=np.float64)


def logit_as_known(physics: Physics, spells: Spells, now: float) -> Floats:
    """Logit of open leads with the follow-ups to come at the rep's present drive instead of his future one."""
    calendar = physics.calendar
    begin = np.floor(spells.assigned).astype(np.int64)
    end = np.minimum(begin + FOLLOW_UP_WINDOW, calendar.n_total)
    today = min(int(now), calendar.n_total - 1)
    cut = np.clip(today, begin, end)
    level = _present_drive(physics, spells.rep, today)
    units = physics.driven[spells.rep, cut] - physics.driven[spells.rep, begin]
    units = units + level * (calendar.running[end] - calendar.running[cut])
    known = spells.effort * units / (FOLLOW_UP_WINDOW / 7 * calendar.per_week)
    return np.asarray(spells.logit + physics.config.effects.follow_up * (known - spells.frequency), dtype=np.float64)


def _present_drive(physics: Physics, rep: Ints, today: int) -> Floats:
    """Mean drive of the two weeks before today, days of absence apart."""
    first = max(0, today - 14)
    drive = physics.people.drive[:, first : today + 1]
    present = np.maximum((drive > 0).sum(axis=1), 1)
    level = drive.sum(axis=1) / present
    return np.asarray(np.where(level > 0, level, 1.0)[rep], dtype=np.float64)


def _to_come(state: WorldState) -> Floats:
    """Draws of what leads bring that have not arrived yet."""
    physics, rng, calendar = state.world.physics, state.rng, state.world.physics.calendar
    days = np.arange(int(state.now), int(state.last_day))
    if not len(days) or not len(state.reps):
        return np.zeros((state.n_draws, len(state.reps), state.n_months))
    rate = _arrivals_by_rep(state, days)
    rate[0] *= 1 - (state.now - days[0])
    month = calendar.month[days] - state.first_month
    counts = rng.poisson(rate[None] * state.arrivals[:, month][:, :, None])
    draw, when, row = np.nonzero(counts)
    repeat = counts[draw, when, row]
    draw, when, row = np.repeat(draw, repeat), np.repeat(when, repeat), np.repeat(row, repeat)
    lead, chance = _pool_chances(state, row, month[when])
    logit = np.log(chance / (1 - chance)) + state.market[draw, month[when]]
    won = rng.random(len(lead)) < 1 / (1 + np.exp(-logit))
    draw, when, row, lead = draw[won], when[won], row[won], lead[won]
    contact = days[when] + 0.5 + rng.exponential(0.7, len(lead))
    worked = physics.win_days[physics.leads.source[lead]] * np.exp(PACE_SD * rng.normal(size=len(lead)))
    day = office_day(state, state.reps[row], contact, worked)
    return state.sums(draw, row, day, _amounts(physics, lead, rng))


def _arrivals_by_rep(state: WorldState, days: Ints) -> Floats:
    """(days, reps) leads expected, at today's seats, by turns, within capacity on average."""
    physics, config, calendar = state.world.physics, state.world.config, state.world.physics.calendar
    people = physics.people
    effort = 0.85 * calendar.work[days] + 0.15 * calendar.per_week / 7
    a_day = config.leads_per_rep_month * len(state.reps) / (calendar.per_week / 7 * YEAR / 12)
    total = a_day * season(config, calendar.month[days]) * effort
    tenure = (days[:, None] - people.hired[state.reps][None]) / YEAR
    weight = turn_weights(tenure) * ~people.absent[state.reps][:, days].T
    share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
    most = people.capacity[state.reps][None] * (calendar.work[days] / calendar.per_week)[:, None]
    return np.asarray(np.minimum(total[:, None] * share, 1.2 * most), dtype=np.float64)


def _pool_chances(state: WorldState, row: Ints, month: Ints) -> tuple[Ints, Floats]:
    """For each lead to come a lead like it, and its chance without the market, in the hands of its rep."""
    world, physics, calendar = state.world, state.world.physics, state.world.physics.calendar
    spells = world.history.spells
    recent = (spells.assigned < state.now) & (spells.assigned >= state.now - YEAR)
    newcomer = spells.assigned - physics.people.hired[spells.rep] < YEAR
    pools = [_pool(spells.lead[recent & (newcomer == kind)], spells.lead, state.rng) for kind in (False, True)]
    is_new = state.now - physics.people.hired[state.reps] < YEAR
    table = np.stack([pools[int(new)] for new in is_new]) if len(is_new) else np.zeros((0, _POOL), dtype=np.int64)
    chance = np.empty((state.n_months, len(state.reps), _POOL))
    present = _present_drive(physics, state.reps, min(int(state.now), calendar.n_total - 1))
    for k in range(state.n_months):
        starts = np.searchsorted(calendar.month, state.first_month + k)
        day = max(state.now, float(starts)) + 12.0
        chance[k] = _chance_ahead(world, table, state.reps, day, 1 + (present - 1) * 0.75**k)
    pick = state.rng.integers(0, _POOL, len(row))
    return table[row, pick], chance[month, row, pick]


def _pool(leads: Ints, otherwise: Ints, rng: np.random.Generator) -> Ints:
    """_POOL leads drawn from `leads`, or from `otherwise` where these are few."""
    return rng.choice(leads if len(leads) >= 30 else otherwise, _POOL)


def _chance_ahead(world: World, table: Ints, reps: Ints, day: float, drive: Floats) -> Floats:
    """(reps, _POOL) chances on a day to come: the rep's drive as expected, the market at zero."""
    lead, rep = table.ravel(), np.repeat(reps, table.shape[1])
    when = np.full(len(lead), day)
    chance = pair_chance(world, lead, rep, when, drive=np.repeat(drive, table.shape[1]), market=False)
    return np.clip(chance, 1e-9, 1 - 1e-9).reshape(table.shape)


def _repeats(state: WorldState) -> Floats:
    """Draws of what clients won so far buy again."""
    world, rng = state.world, state.rng
    spells, taken = world.history.spells, world.history.taken
    won = np.flatnonzero((spells.outcome == 1) & (spells.end < np.minimum(taken, state.now)))
    won = won[state.row[spells.rep[won]] >= 0]
    age = np.maximum(state.now - spells.end[won] - 14, 0.0)
    still = np.exp(-age / REPEAT_DAYS)
    counts = rng.poisson(REPEAT_RATE * still, (state.n_draws, len(won)))
    draw, which = np.nonzero(counts)
    which, draw = np.repeat(which, counts[draw, which]), np.repeat(draw, counts[draw, which])
    begin = np.maximum(spells.end[won[which]] + 14, state.now)
    day = _next_day(state, spells.rep[won[which]], begin + rng.exponential(REPEAT_DAYS, len(which)))
    noise = np.exp(rng.normal(np.log(REPEAT_SHARE) - REPEAT_SD**2 / 2, REPEAT_SD, len(which)))
    amount = world.physics.leads.amount[spells.lead[won[which]]] * noise
    return state.sums(draw, state.row[spells.rep[won[which]]], day, amount)


def _amounts(physics: Physics, lead: Ints, rng: np.random.Generator) -> Floats:
    """Drawn amounts of leads that are won."""
    noise = np.exp(rng.normal(-(AMOUNT_SD**2) / 2, AMOUNT_SD, len(lead)))
    return np.asarray(physics.leads.expected_amount[lead] * noise, dtype=np.float64)


def office_day(state: WorldState, rep: Ints, contact: Floats, worked: Floats) -> Floats:
    """World day of closing after so much work since the first contact."""
    return _next_day(state, rep, state.world.physics.calendar.after_work(contact, worked))


def _next_day(state: WorldState, rep: Ints, at: Floats) -> Floats:
    """The rep's next day at work, noon where moved."""
    last = state.world.physics.calendar.n_total - 1
    day = np.minimum(np.floor(at).astype(np.int64), last)
    moved = state.world.physics.next_work[rep, day].astype(np.int64)
    return np.asarray(np.where(moved == day, np.minimum(at, last), moved + 0.5), dtype=np.float64)
