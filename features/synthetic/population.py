"""Reps of a synthetic world: who is at the desk when, what they can do, and how they work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from features.synthetic.config import SKILLS, WorldConfig
from features.synthetic.days import Calendar, Floats, Ints
from features.synthetic.languages import Vocabulary

STAYS: Final = 10**6  # the world day on which those leave who do not
YEAR: Final = 365.25
TEAM_SIZE: Final = 8
LATENT: Final = 3
_SLUMP_FACTOR = 0.35
_TENURE_SHARES = (0.46, 0.27, 0.27)  # at the start: below one year, one to two, above


@dataclass(frozen=True)
class Slump:
    """A stretch of world days, `start` included and `end` not, in which a rep does much less than he used to."""

    rep: int
    start: int
    end: int
    factor: float


@dataclass(frozen=True)
class Population:
    """All sales reps that the world ever has; arrays by rep, and by rep and day.

    `hired`, `left`: world days (STAYS: never leaves). `capacity`: places a week. `ability`, `promptness`, `attitude`:
    centred. `diligence`: log of the follow-ups a week relative to the desk. `by_industry`, `by_source`,
    `by_territory`, `by_size`, `latent`: lead x rep effects on the logit. `serves`: (reps, territories) bool.
    `drive`: (reps, n_total) relative follow-ups of a day from drift, slumps and absence, without the calendar.
    `absent`: (reps, n_total) bool.
    """

    hired: Ints
    left: Ints
    capacity: Ints
    capacity_told: npt.NDArray[np.bool_]
    team: Ints
    everywhere: npt.NDArray[np.bool_]
    serves: npt.NDArray[np.bool_]
    ability: Floats
    promptness: Floats
    attitude: Floats
    diligence: Floats
    by_industry: Floats
    by_source: Floats
    by_territory: Floats
    by_size: Floats
    latent: Floats
    declares: npt.NDArray[np.bool_]
    drive: Floats
    absent: npt.NDArray[np.bool_]
    absences: tuple[tuple[int, int, int], ...]
    slumps: tuple[Slump, ...]

    @property
    def n(self) -> int:
        """Number of sales reps."""
        return len(self.hired)

    def tenure(self, rep: Ints, day: Ints) -> Floats:
        """Years since hire of reps at world days, shape as given."""
        return np.asarray((day - self.hired[rep]) / YEAR, dtype=np.float64)


def make_population(config: WorldConfig, calendar: Calendar, words: Vocabulary, rng: np.random.Generator) -> Population:
    """Reps with their hidden traits, drawn from `rng`."""
    hired, left = _careers(config, calendar, rng)
    n = len(hired)
    shares = np.array([each.share for each in words.industries]), np.array([each.share for each in words.sources])
    sds = _affinity_sds(config)
    by_industry = _affinity(rng, n, shares[0], sds["industry"])
    ability = rng.normal(0.0, 1.0, n)
    diligence = config.diligence_sd * (0.85 * ability + 0.53 * rng.normal(size=n))
    slumps = _slumps(config, calendar, hired, left, rng)
    absences = _absences(calendar, hired, left, rng)
    absent = np.zeros((n, calendar.n_total), dtype=bool)
    for rep, start, end in absences:
        absent[rep, start : end + 1] = True
    n_territories = len(words.territories)
    team = rng.permutation(np.arange(n) % max(1, round(n / TEAM_SIZE)))
    everywhere, serves = _territories(team, n_territories, rng)
    even = np.full(n_territories, 1.0 / n_territories)
    sizes = np.array([0.55, 0.30, 0.15])
    return Population(
        hired=hired,
        left=left,
        capacity=_capacities(config, hired, rng),
        capacity_told=rng.random(n) < 0.9,
        team=team,
        everywhere=everywhere,
        serves=serves,
        ability=config.ability_sd * ability,
        promptness=rng.normal(0.0, 0.5, n) if config.diligence_sd > 0 else np.zeros(n),
        attitude=rng.normal(0.0, 0.8, n),
        diligence=diligence,
        by_industry=by_industry,
        by_source=_affinity(rng, n, shares[1], sds["source"]),
        by_territory=_affinity(rng, n, even, sds["territory"]),
        by_size=_affinity(rng, n, sizes, sds["size"]),
        latent=rng.normal(0.0, sds["latent"] / np.sqrt(LATENT), (n, LATENT))
        if sds["latent"]
        else np.zeros((n, LATENT)),
        declares=_declared(by_industry, rng),
        drive=_drive(config, calendar, n, slumps, absent, rng),
        absent=absent,
        absences=absences,
        slumps=slumps,
    )


def _careers(config: WorldConfig, calendar: Calendar, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """World days of hire and of leaving; the desk grows to n_reps seats and replaces who leaves."""
    years = config.n_months / 12
    seats = config.n_reps / (1 + config.growth) ** years
    n_first = max(2, round(seats))
    band = rng.choice(3, n_first, p=_TENURE_SHARES)
    spread = np.where(band == 2, rng.exponential(2.0, n_first), rng.random(n_first))
    hired = [int(day) for day in -np.round((band + spread) * YEAR)]
    left = [STAYS] * n_first
    starts = calendar.month_starts(config.n_months)
    for month in range(config.n_months):
        begin, end = int(starts[month]), int(starts[month + 1])
        here = [rep for rep in range(len(hired)) if hired[rep] < begin and left[rep] > begin]
        gone = rng.random(len(here)) < config.turnover / 12
        for rep, goes in zip(here, gone, strict=True):
            # Nobody leaves within his first three months: he would hardly have had a lead.
            if goes and begin - hired[rep] > 90:
                left[rep] = int(rng.integers(begin + 1, end))
        wanted = round(seats * (1 + config.growth) ** ((month + 1) / 12))
        staying = sum(hired[rep] < end and left[rep] >= end for rep in range(len(hired)))
        for _ in range(max(0, wanted - staying)):
            hired.append(int(rng.integers(begin, end)))
            left.append(STAYS)
    return np.array(hired, dtype=np.int64), np.array(left, dtype=np.int64)


def _capacities(config: WorldConfig, hired: Ints, rng: np.random.Generator) -> Ints:
    """Places a week, at least 1: newer reps have more, who are not busy with old clients yet."""
    mean = config.leads_per_rep_month / (YEAR / 12 / 7) / config.load
    wanted = mean * np.where(hired > -YEAR / 2, 1.2, 0.78) * rng.uniform(0.85, 1.15, len(hired))
    return np.maximum(1, np.floor(wanted + rng.random(len(hired)))).astype(np.int64)


def _affinity_sds(config: WorldConfig) -> dict[str, float]:
    """Sd of each lead x rep effect, so that the whole has the configured sd."""
    sds = dict.fromkeys(("industry", "source", "territory", "size", "latent"), 0.0)
    if config.structure == "mixed":
        sds["industry"] = sds["source"] = config.interaction_sd / np.sqrt(2)
    elif config.structure != "additive":
        sds[config.structure] = config.interaction_sd
    return sds


def _affinity(rng: np.random.Generator, n: int, shares: Floats, sd: float) -> Floats:
    """Effects (reps, categories), each rep's mean over leads zero, the sd over pairs as asked."""
    drawn = rng.normal(size=(n, len(shares)))
    weights = shares / shares.sum()
    drawn -= (drawn @ weights)[:, None]
    scale = np.sqrt(np.mean(drawn**2 @ weights))
    return np.asarray(drawn * sd / scale, dtype=np.float64)


def _declared(by_industry: Floats, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Industries that reps say they know: mostly their best, with an error of judgement; one or two each."""
    scale = max(float(by_industry.std()), 0.1)
    felt = by_industry + rng.normal(0.0, scale, by_industry.shape)
    ranks = np.argsort(np.argsort(-felt, axis=1), axis=1)
    return ranks < rng.integers(1, 3, len(by_industry))[:, None]


def _territories(
    team: Ints, n_territories: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Who serves every territory, and (reps, territories) who serves which: a home of his team and one more."""
    n = len(team)
    everywhere = rng.random(n) < 0.5
    serves = np.repeat(everywhere[:, None], n_territories, axis=1)
    rows = np.arange(n)
    serves[rows, team % n_territories] = True
    serves[rows, rng.integers(0, n_territories, n)] = True
    return everywhere, serves


def _slumps(
    config: WorldConfig, calendar: Calendar, hired: Ints, left: Ints, rng: np.random.Generator
) -> tuple[Slump, ...]:
    """Slumps of 60 to 120 days at random times, never two at once."""
    found = []
    for rep in range(len(hired)):
        begin, end = max(0, int(hired[rep]) + 90), min(int(left[rep]), calendar.n_days)
        day = begin + float(rng.exponential(YEAR / max(config.slumps_per_rep_year, 1e-9)))
        while day < end - 60:
            length = int(rng.integers(60, 121))
            found.append(Slump(rep, int(day), int(day) + length, _SLUMP_FACTOR))
            day += length + 60 + float(rng.exponential(YEAR / config.slumps_per_rep_year))
    return tuple(found)


def _absences(
    calendar: Calendar, hired: Ints, left: Ints, rng: np.random.Generator
) -> tuple[tuple[int, int, int], ...]:
    """(rep, first day, last day) of leave: about three a year of 2 to 10 days, some planned past the end."""
    found = []
    for rep in range(len(hired)):
        day = max(0, int(hired[rep])) + float(rng.exponential(YEAR / 3))
        end = min(int(left[rep]), calendar.n_days + 60)
        while day < end - 11:
            length = int(rng.integers(2, 11))
            found.append((rep, int(day), int(day) + length - 1))
            day += length + 7 + float(rng.exponential(YEAR / 3))
    return tuple(found)


def _drive(
    config: WorldConfig,
    calendar: Calendar,
    n: int,
    slumps: tuple[Slump, ...],
    absent: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> Floats:
    """(reps, n_total) relative follow-ups: exp of a slow drift with mean one, slumps, nothing while absent."""
    n_months = int(calendar.month[-1]) + 1
    keep = 0.75
    drift = np.empty((n, n_months))
    drift[:, 0] = rng.normal(0.0, 1.0, n)
    for month in range(1, n_months):
        drift[:, month] = keep * drift[:, month - 1] + np.sqrt(1 - keep**2) * rng.normal(size=n)
    level = np.exp(config.drift_sd * drift - config.drift_sd**2 / 2)
    drive = level[:, calendar.month]
    for slump in slumps:
        drive[slump.rep, slump.start : slump.end] *= slump.factor
    return np.where(absent, 0.0, drive)


N_SKILLS: Final = len(SKILLS)
