"""What becomes of a lead in a rep's hands: follow-ups, first contact, chance of winning, time and outcome.

logit = curve(tenure) + ability + lead x rep + seen + hidden + follow_up x (frequency - mean) + contact in 24 h
        + completed courses + the market's month + later owner
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from features.synthetic.config import WorldConfig
from features.synthetic.days import Calendar, Floats, Ints
from features.synthetic.languages import Vocabulary
from features.synthetic.leads import Draws, Leads
from features.synthetic.population import Population
from features.synthetic.training import Trainings

MEAN_FOLLOW_UPS: Final = 1.25  # a week
FOLLOW_UP_WINDOW: Final = 56  # days over which the frequency that counts is taken
PACE_SD: Final = 0.5
SILENT_SHARE: Final = 0.35  # of the leads that are not won, those that nobody ever closes
TENURE_KNOTS: Final = (0.0, 0.5, 1.5, 2.5)
_CONTACT_HOURS = 8.0
_CONTACT_SD = 0.9
_LOOKS = 0.33
EFFORT_SD: Final = 0.30  # of the log, a lead's own
_SEASONED = 0.25
_MOST_FOLLOW_UPS = 7.0


@dataclass(frozen=True)
class Physics:
    """Everything that decides about a pair. `curve`: logit at half a year, one and a half, and two and a half on."""

    config: WorldConfig
    calendar: Calendar
    people: Population
    leads: Leads
    words: Vocabulary
    trainings: Trainings
    market: Floats
    curve: tuple[float, float, float]
    driven: Floats
    next_work: npt.NDArray[np.int32]
    win_days: Floats
    loss_days: Floats

    def with_curve(self, curve: tuple[float, float, float]) -> Physics:
        """The same with another tenure curve."""
        return replace(self, curve=curve)


@dataclass(frozen=True)
class Spells:
    """Pairs played out: a lead in the hands of one rep from `assigned` on; arrays of equal length.

    `effort`: follow-ups a week before drift and slumps; `frequency`: with them; `end`: day of winning, losing or
    falling silent; `base_logit`: the logit without the tenure curve; `outcome`: 1 won, 0 lost, -1 silent.
    """

    lead: Ints
    rep: Ints
    order: Ints
    assigned: Floats
    effort: Floats
    frequency: Floats
    contact: Floats
    within_24h: npt.NDArray[np.bool_]
    base_logit: Floats
    logit: Floats
    outcome: Ints
    end: Floats

    @property
    def n(self) -> int:
        """Number of spells."""
        return len(self.lead)

    def take(self, rows: Ints | npt.NDArray[np.bool_]) -> Spells:
        """The spells of these rows."""
        return Spells(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


def make_physics(
    config: WorldConfig,
    calendar: Calendar,
    people: Population,
    leads: Leads,
    words: Vocabulary,
    trainings: Trainings,
    rng: np.random.Generator,
) -> Physics:
    """Running sums and look-ups that every pair needs; the market's months are drawn from `rng`."""
    n_months = int(calendar.month[-1]) + 1
    market = np.zeros(n_months)
    for month in range(1, n_months):
        market[month] = 0.6 * market[month - 1] + 0.8 * rng.normal(0.0, config.market_sd)
    driven = np.zeros((people.n, calendar.n_total + 1))
    np.cumsum(people.drive * calendar.work, axis=1, out=driven[:, 1:])
    rates = np.log(np.array(config.conversion_by_tenure) / (1 - np.array(config.conversion_by_tenure)))
    return Physics(
        config,
        calendar,
        people,
        leads,
        words,
        trainings,
        market,
        (float(rates[0]), float(rates[1]), float(rates[2])),
        driven,
        _next_work(calendar, people),
        np.array([each.win_days for each in words.sources]),
        np.array([each.loss_days for each in words.sources]),
    )


def _next_work(calendar: Calendar, people: Population) -> npt.NDArray[np.int32]:
    """(reps, n_total) first day from each on that is a working day on which the rep is not absent."""
    out = np.empty((people.n, calendar.n_total), dtype=np.int32)
    following = np.full(people.n, calendar.n_total - 1, dtype=np.int32)
    for day in range(calendar.n_total - 1, -1, -1):
        if calendar.desk_open[day]:
            following = np.where(people.absent[:, day], following, day).astype(np.int32)
        out[:, day] = following
    return out


def tenure_logit(physics: Physics, tenure: Floats) -> Floats:
    """The learning curve at years of tenure: rising to two and a half years, flat after."""
    if not physics.config.tenure_matters:
        return np.full(np.shape(tenure), physics.curve[0])
    low, mid, high = physics.curve
    return np.asarray(np.interp(tenure, TENURE_KNOTS, (low - 0.5 * (mid - low), low, mid, high)), dtype=np.float64)


def interaction(physics: Physics, lead: Ints, rep: Ints) -> Floats:
    """Lead x rep effect on the logit; an empty category has none."""
    people, leads = physics.people, physics.leads
    total = people.by_source[rep, leads.source[lead]] + people.by_size[rep, leads.size[lead]]
    for table, code in ((people.by_industry, leads.industry[lead]), (people.by_territory, leads.territory[lead])):
        total = total + np.where(code >= 0, table[rep, np.maximum(code, 0)], 0.0)
    return np.asarray(total + np.sum(people.latent[rep] * leads.latent[lead], axis=-1), dtype=np.float64)


def usual_effort(physics: Physics, lead: Ints, rep: Ints, assigned: Floats) -> Floats:
    """Follow-ups a week that the rep would give this lead, before drift, slumps, absence and chance."""
    people, config = physics.people, physics.config
    log_effort = np.log(MEAN_FOLLOW_UPS * config.activity_scale) + people.diligence[rep]
    log_effort = log_effort + _LOOKS * physics.leads.seen[lead] + config.hidden_looks * physics.leads.hidden[lead]
    if config.diligence_sd > 0:
        tenure = np.clip((assigned - people.hired[rep]) / 365.25, 0.0, 3.0)
        log_effort = log_effort + _SEASONED * (tenure - 1.0)
    return np.asarray(np.exp(log_effort), dtype=np.float64)


def frequency_factor(physics: Physics, rep: Ints, assigned: Floats) -> Floats:
    """What drift, slumps, absence and holidays make of an effort over the weeks after `assigned`; about 1."""
    calendar = physics.calendar
    begin = np.clip(np.floor(assigned).astype(np.int64), 0, calendar.n_total - FOLLOW_UP_WINDOW)
    done = physics.driven[rep, begin + FOLLOW_UP_WINDOW] - physics.driven[rep, begin]
    return np.asarray(done / (FOLLOW_UP_WINDOW / 7 * calendar.per_week), dtype=np.float64)


def pair_logit(physics: Physics, lead: Ints, rep: Ints, assigned: Floats) -> Floats:
    """Logit of winning without tenure, follow-ups and first contact: lead, rep, courses and the market."""
    people, leads, calendar = physics.people, physics.leads, physics.calendar
    day = np.clip(np.floor(assigned).astype(np.int64), 0, calendar.n_total - 1)
    courses = physics.trainings.completed(rep, assigned) @ np.asarray(physics.config.effects.training)
    quality = leads.seen[lead] + leads.hidden[lead]
    return np.asarray(
        people.ability[rep] + interaction(physics, lead, rep) + quality + courses + physics.market[calendar.month[day]],
        dtype=np.float64,
    )


def play(physics: Physics, draws: Draws, lead: Ints, rep: Ints, order: Ints, assigned: Floats) -> Spells:
    """What comes of handing each lead to its rep at `assigned`, with the luck drawn for its `order`-th owner."""
    effects, calendar = physics.config.effects, physics.calendar
    effort = usual_effort(physics, lead, rep, assigned) * np.exp(EFFORT_SD * draws.effort[lead, order])
    effort = np.minimum(effort, _MOST_FOLLOW_UPS)
    frequency = effort * frequency_factor(physics, rep, assigned)
    contact = _first_contact(physics, rep, assigned, draws.delay[lead, order])
    within = contact - assigned <= 1.0
    base = pair_logit(physics, lead, rep, assigned)
    base = base + effects.follow_up * (frequency - MEAN_FOLLOW_UPS) + effects.contact_within_24h * (within - 0.5)
    base = base + effects.handover * (order > 0)
    logit = base + tenure_logit(physics, (assigned - physics.people.hired[rep]) / 365.25)
    won = draws.win[lead, order] < 1 / (1 + np.exp(-logit))
    silent = ~won & (draws.silence[lead, order] < SILENT_SHARE)
    source = physics.leads.source[lead]
    pace = np.exp(PACE_SD * draws.pace[lead, order])
    worked = np.where(won, physics.win_days[source], physics.loss_days[source]) * pace
    end = _office_time(physics, rep, calendar.after_work(contact, worked), contact)
    outcome = np.where(won, 1, np.where(silent, -1, 0))
    return Spells(lead, rep, order, assigned, effort, frequency, contact, within, base, logit, outcome, end)


def play_none(physics: Physics) -> Spells:
    """Spells of no pair."""
    none = np.zeros(0, dtype=np.int64)
    return play(physics, physics.leads.draws, none, none, none, np.zeros(0))


def contact_chance(physics: Physics, rep: Ints, assigned: Floats, points: Floats) -> Floats:
    """Chance of first contact within 24 h, shape of `rep`, from normal scores `points` of the delay."""
    hits = [_first_contact(physics, rep, assigned, np.full(len(rep), point)) - assigned <= 1.0 for point in points]
    return np.asarray(np.mean(hits, axis=0), dtype=np.float64)


def _first_contact(physics: Physics, rep: Ints, assigned: Floats, score: Floats) -> Floats:
    """World day of the first contact: a log-normal delay, moved into the rep's next office hours."""
    hours = _CONTACT_HOURS * np.exp(_CONTACT_SD * score - physics.people.promptness[rep])
    return _office_time(physics, rep, assigned + np.maximum(hours, 0.1) / 24, assigned)


def _office_time(physics: Physics, rep: Ints, when: Floats, after: Floats) -> Floats:
    """`when` moved into the rep's next working hours (9:00 to 18:00); later than `after`; whole seconds."""
    last = physics.calendar.n_total - 1
    day = np.minimum(np.floor(when).astype(np.int64), last)
    hour = (when - np.floor(when)) * 24
    late = hour >= 18
    moved = physics.next_work[rep, np.minimum(day + late, last)].astype(np.int64)
    spread = 9 + (hour * 7.31) % 2.5  # those who start the day with it do not all do so at 9:00 sharp
    hour = np.where((moved != day) | (hour < 9), spread, hour)
    at = np.maximum(moved + hour / 24, after + 0.02)
    return np.asarray(np.round(at * 86_400) / 86_400, dtype=np.float64)
