"""Leads of a synthetic world: when they arrive, what is seen of them, and what is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from features.synthetic.config import WorldConfig
from features.synthetic.days import Calendar, Floats, Ints, season
from features.synthetic.languages import Vocabulary
from features.synthetic.population import LATENT, YEAR, Population

MAX_OWNERS: Final = 4
AMOUNT_SD: Final = 0.35
MARKETER_SD: Final = 0.1
_SIZE_LOGITS = np.array([0.12, 0.0, -0.15])
_N_MARKETERS = 6


@dataclass(frozen=True)
class Draws:
    """The chance in each lead's life, drawn ahead, so that the same lead meets the same luck whoever gets it.

    Shape (leads, MAX_OWNERS) each: uniform for winning and for silence, normals for pace, delay and follow-ups.
    `turn`: uniform (leads,) that decides whether a best lead goes to a newcomer; `minutes`: (leads, MAX_OWNERS).
    """

    win: Floats
    silence: Floats
    pace: Floats
    delay: Floats
    effort: Floats
    minutes: Floats
    turn: Floats


@dataclass(frozen=True)
class Leads:
    """All leads in order of arrival. Codes index the vocabulary; -1 is empty. Days are fractional world days.

    `seen`: logit of what the columns show; `hidden`: logit of what they do not; `expected_amount`: mean amount if
    won; `amount`: what it would bring. `account`: index of the account; `own`: uniform below `own_share` where a rep
    brings the lead himself.
    """

    created: Floats
    source: Ints
    industry: Ints
    territory: Ints
    size: Ints
    employees: Floats
    budget: npt.NDArray[np.bool_]
    engagement: Floats
    web_visits: Ints
    marketer: Ints
    account: Ints
    own: Floats
    seen: Floats
    hidden: Floats
    latent: Floats
    best: npt.NDArray[np.bool_]
    expected_amount: Floats
    amount: Floats
    draws: Draws

    @property
    def n(self) -> int:
        """Number of leads."""
        return len(self.created)


OWN_SHARE: Final = 0.05


def make_leads(
    config: WorldConfig, calendar: Calendar, people: Population, words: Vocabulary, rng: np.random.Generator
) -> Leads:
    """Leads of the whole history, drawn from `rng`."""
    created = _arrivals(config, calendar, people, rng)
    n = len(created)
    source = rng.choice(len(words.sources), n, p=_shares([each.share for each in words.sources]))
    industry = rng.choice(len(words.industries), n, p=_shares([each.share for each in words.industries]))
    industry = np.where(rng.random(n) < 0.03, -1, industry)
    territory = np.where(rng.random(n) < 0.03, -1, rng.integers(0, len(words.territories), n))
    employees = np.ceil(np.exp(rng.normal(np.log(60.0), 1.2, n)))
    size = np.digitize(employees, [70.0, 250.0])
    budget = rng.random(n) < 0.4
    engagement = np.asarray(np.round(np.clip(rng.normal(50.0, 20.0, n), 0.0, 100.0), 1), dtype=np.float64)
    web_visits = rng.poisson(rng.gamma(1.5, 2.0, n))
    marketer = rng.integers(0, _N_MARKETERS, n)
    marketer_logit = rng.normal(0.0, MARKETER_SD, _N_MARKETERS)
    seen = (
        _lookup([each.logit for each in words.sources], source)
        + _lookup([each.logit for each in words.industries], industry)
        + _SIZE_LOGITS[size]
        + 0.35 * (budget - 0.4)
        + 0.02 * (engagement - 50.0)
        + 0.30 * (np.log1p(web_visits) - 1.2)
    )
    hidden = rng.normal(0.0, config.hidden_quality_sd, n) + marketer_logit[marketer]
    location = (
        np.log(words.amount)
        - 0.15
        + _lookup([each.log_amount for each in words.industries], industry)
        + 0.30 * np.log(employees / 60.0)
    )
    amount = np.round(np.exp(location + rng.normal(0.0, AMOUNT_SD, n)), -1)
    return Leads(
        created=created,
        source=source,
        industry=industry,
        territory=territory,
        size=size,
        employees=np.where(rng.random(n) < 0.04, np.nan, employees),
        budget=budget,
        engagement=engagement,
        web_visits=web_visits,
        marketer=marketer,
        account=_accounts(n, rng),
        own=rng.random(n),
        seen=seen,
        hidden=hidden,
        latent=rng.normal(size=(n, LATENT)),
        best=seen > np.quantile(seen, 2 / 3) if n else np.zeros(0, dtype=bool),
        expected_amount=np.exp(location + AMOUNT_SD**2 / 2),
        amount=np.maximum(amount, 10.0),
        draws=draw_luck(n, rng),
    )


def draw_luck(n: int, rng: np.random.Generator) -> Draws:
    """Fresh luck for `n` leads."""
    shape = (n, MAX_OWNERS)
    return Draws(
        win=rng.random(shape),
        silence=rng.random(shape),
        pace=rng.normal(size=shape),
        delay=rng.normal(size=shape),
        effort=rng.normal(size=shape),
        minutes=rng.random(shape),
        turn=rng.random(n),
    )


def arrival_rate(config: WorldConfig, calendar: Calendar, people: Population) -> Floats:
    """Leads expected on each world day, shape (n_total,): seats x season x work; the web never sleeps wholly."""
    days = np.arange(calendar.n_total)
    seats = np.array([np.sum((people.hired <= day) & (people.left > day)) for day in days], dtype=np.float64)
    effort = 0.85 * calendar.work + 0.15 * calendar.per_week / 7
    month_of_work = calendar.per_week / 7 * YEAR / 12
    return np.asarray(
        config.leads_per_rep_month * seats * season(config, calendar.month) * effort / month_of_work, dtype=np.float64
    )


def _arrivals(config: WorldConfig, calendar: Calendar, people: Population, rng: np.random.Generator) -> Floats:
    """Fractional world days of arrival, sorted, to the second; most come in office hours."""
    rate = arrival_rate(config, calendar, people)[: calendar.n_days]
    month_noise = np.exp(rng.normal(0.0, config.market_sd, int(calendar.month[-1]) + 1))
    counts = rng.poisson(rate * month_noise[calendar.month[: calendar.n_days]])
    day = np.repeat(np.arange(calendar.n_days), counts)
    n = len(day)
    hour = np.where(rng.random(n) < 0.85, rng.triangular(8.0, 11.0, 19.0, n), rng.uniform(0.0, 24.0, n))
    seconds = np.minimum(np.floor(hour * 3600), 86_399)
    return np.sort(day + seconds / 86_400)


def _accounts(n: int, rng: np.random.Generator) -> Ints:
    """Account of each lead: mostly new, one in eight that of an earlier lead."""
    account = np.arange(n)
    again = (rng.random(n) < 0.125) & (account > 20)
    earlier = np.floor(rng.random(n) * account).astype(np.int64)
    for lead in np.flatnonzero(again):
        account[lead] = account[earlier[lead]]
    return account


def _shares(values: list[float]) -> Floats:
    shares = np.array(values)
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def _lookup(values: list[float], code: Ints) -> Floats:
    """Value of each code; an empty one (-1) gets 0."""
    return np.asarray(np.append(np.array(values), 0.0)[code], dtype=np.float64)
