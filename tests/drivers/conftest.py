"""Worlds with a known truth: one more follow-up a week brings 0.50, a course 1.5, and the naive numbers are off."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

TRUE_FOLLOWUP = 0.50
TRUE_COURSE = 1.5


@dataclass(frozen=True)
class PanelWorld:
    unit: np.ndarray
    time: np.ndarray
    followups: np.ndarray
    course: np.ndarray
    outcome: np.ndarray
    controls: np.ndarray


def simulate_panel(
    seed: int, reps: int = 40, months: int = 24, fault: str = "", effect: float = TRUE_FOLLOWUP
) -> PanelWorld:
    """Able reps follow up more and weak ones are trained first, so that naive numbers are wrong both ways.

    fault "reaction": managers push follow-ups after a bad month; "drift": a hidden slow drift moves both;
    "dip": a course is given after bad months.
    """
    rng = np.random.default_rng(seed)
    ability = rng.normal(0, 1.5, reps)
    season = rng.normal(0, 0.5, months)
    flow = rng.normal(0, 1, (reps, months))
    habit = 3 + 0.8 * ability
    drift = np.cumsum(rng.normal(0, 0.35, (reps, months)), axis=1)
    noise = rng.normal(0, 1, (reps, months))
    starts = np.clip((np.argsort(np.argsort(ability)) / reps * months * 1.1 + rng.normal(0, 3, reps)), 3, months + 6)
    f, c, y = np.zeros((reps, months)), np.zeros((reps, months)), np.zeros((reps, months))
    started = np.full(reps, months * 9)
    for t in range(months):
        f[:, t] = habit + 0.5 * season[t] + 0.3 * flow[:, t] + rng.normal(0, 0.7, reps)
        if fault == "reaction" and t:
            f[:, t] -= 0.5 * (noise[:, t - 1])
        if fault == "drift":
            f[:, t] += drift[:, t]
        if fault == "dip" and t > 1:
            bad = (noise[:, t - 1] + noise[:, t - 2] < -1.2) & (started > months)
            started[bad] = t
        c[:, t] = t >= (started if fault == "dip" else starts)
        y[:, t] = 2 * ability + season[t] + effect * f[:, t] + TRUE_COURSE * c[:, t] + 0.6 * flow[:, t] + noise[:, t]
        if fault == "drift":
            y[:, t] += drift[:, t]
    i, t = np.meshgrid(np.arange(reps), np.arange(months), indexing="ij")
    names = np.array([f"R{k:03d}" for k in i.ravel()])
    return PanelWorld(names, t.ravel() + 24000, f.ravel(), c.ravel(), y.ravel(), flow.ravel()[:, None])


@pytest.fixture
def panel_world() -> Callable[..., PanelWorld]:
    return simulate_panel


@pytest.fixture
def public_data() -> Path:
    """The folder of public sets with known answers."""
    folder = os.environ.get("FAIRLEAD_PUBLIC_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set FAIRLEAD_PUBLIC_DATA to the folder of public data sets to run this test")
    return Path(folder)


@dataclass(frozen=True)
class LeadWorld:
    """One row a lead. `truth`: mean change of win probability by one more follow-up a week."""

    unit: np.ndarray
    time: np.ndarray
    won: np.ndarray
    quality: np.ndarray
    trained: np.ndarray
    early: np.ndarray
    lifetime_rate: np.ndarray
    count: np.ndarray
    truth: float
    truth_course: float


def simulate_leads(seed: int, reps: int = 40, months: int = 24, per_month: int = 10, slope: float = 0.35) -> LeadWorld:
    """Leads whose habit of follow-up moves with the rep's months; won leads close early, so rates and counts mislead.

    Reps chase leads that look good to them (a hidden quality), and weak reps are trained first.
    """
    from models.drivers.lead_effects import landmark_frequency

    rng = np.random.default_rng(seed)
    day = 86_400_000_000
    n = reps * months * per_month
    unit = np.repeat(np.arange(reps), months * per_month)
    time = np.tile(np.repeat(np.arange(months), per_month), reps)
    ability = rng.normal(0, 0.5, reps)
    drift = np.zeros((reps, months))
    for t in range(1, months):
        drift[:, t] = 0.7 * drift[:, t - 1] + rng.normal(0, 0.25, reps)
    starts = np.clip(np.argsort(np.argsort(ability)) / reps * months * 1.2 + rng.normal(0, 3, reps), 2, None)
    trained = (time >= starts[unit]).astype(float)
    seen, hidden = rng.normal(0, 1, n), rng.normal(0, 0.6, n)
    habit = 1.6 * np.exp(0.5 * ability[unit] + drift[unit, time] + 0.2 * seen + 0.25 * hidden)
    base = -2.6 + ability[unit] + 0.6 * seen + hidden + 0.5 * trained
    eta = base + slope * habit
    p = 1 / (1 + np.exp(-eta))
    won = (rng.random(n) < p).astype(float)
    step = float(np.mean(1 / (1 + np.exp(-eta - slope)) - p))
    course = float(np.mean(1 / (1 + np.exp(-eta - 0.5 * (1 - trained))) - 1 / (1 + np.exp(-eta + 0.5 * trained))))
    days_open = np.where(won == 1, rng.gamma(2, 20, n), rng.gamma(2, 35, n)) + 1
    count = rng.poisson(habit * days_open / 7)
    lead = np.repeat(np.arange(n), count)
    assigned = (time * 30 * day).astype(np.int64)
    when = assigned[lead] + (rng.random(len(lead)) * days_open[lead] * day).astype(np.int64)
    contact = assigned + 3600_000_000
    lead, when = np.r_[lead, np.arange(n)], np.r_[when, contact]
    ended = assigned + (days_open * day).astype(np.int64)
    early = landmark_frequency(lead, when, assigned, ended, int(ended.max()) + 1)
    return LeadWorld(unit, time, won, seen, trained, early, count * 7 / days_open, count.astype(float), step, course)


@pytest.fixture
def lead_world() -> Callable[..., LeadWorld]:
    return simulate_leads
