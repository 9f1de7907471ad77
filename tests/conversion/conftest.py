"""Leads with a known truth: what each rep makes of each industry, and when it becomes known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from features.moments import DAY, NEVER
from models.conversion.columns import PairColumns

START = 1_600_000_000_000_000


@dataclass(frozen=True)
class World:
    """A pairs frame and what made it."""

    pairs: pd.DataFrame
    columns: PairColumns
    logit: np.ndarray
    won: np.ndarray
    as_of: int


def make_world(
    seed: int,
    n: int = 4_000,
    n_reps: int = 30,
    sd_rep: float = 0.0,
    sd_pair: float = 0.0,
    tenure: float = 0.0,
    censored: bool = False,
    months: int = 24,
    rate: float = -1.8,
    crossed: float = 0.0,
) -> World:
    """Winning takes 30 days on average, losing 90; `crossed`: an effect of two lead numbers that does not add up."""
    rng = np.random.default_rng(seed)
    industry, source, rep = rng.integers(0, 6, n), rng.integers(0, 4, n), rng.integers(0, n_reps, n)
    x, visits = rng.normal(size=n), rng.exponential(size=n)
    as_of = START + np.sort(rng.integers(0, months * 30 * DAY, n))
    hired = rng.uniform(-4, 1, n_reps)
    years = np.maximum((as_of - START) / (365 * DAY) - hired[rep], 0.0)
    by_rep, by_pair = rng.normal(0, sd_rep, n_reps), rng.normal(0, sd_pair, (n_reps, 6))
    logit = rate + 0.6 * x + 0.3 * (visits - 1) + rng.normal(0, 0.4, 6)[industry] + rng.normal(0, 0.3, 4)[source]
    logit = logit + tenure * np.log1p(years) + by_rep[rep] + by_pair[rep, industry]
    logit = logit + crossed * np.sign(x) * np.sign(visits - 0.7)
    won = rng.random(n) < 1 / (1 + np.exp(-logit))
    days = np.where(won, rng.gamma(2, 15, n), rng.gamma(2, 45, n))
    resolved = as_of + (days * DAY).astype(np.int64)
    now = int(as_of.max() + 1 if censored else resolved.max() + 1)
    still = resolved >= now
    pairs = pd.DataFrame(
        {
            "lead_id": [f"L{at:06d}" for at in range(n)],
            "rep_id": [f"R{at:03d}" for at in rep],
            "as_of": as_of,
            "y": np.where(still, np.nan, won.astype(float)),
            "resolved_at": np.where(still, NEVER, resolved),
            "amount": np.where(won & ~still, np.exp(8 + 0.4 * x + rng.normal(0, 0.8, n)), np.nan),
            "source": [f"s{at}" for at in source],
            "industry": [f"i{at}" for at in industry],
            "lead_x": x,
            "lead_visits": visits,
            "rep_tenure_years": years,
            "rep_training_hours_total": rng.normal(size=n_reps)[rep],
            "pair_same_territory": (rng.random(n) < 0.3).astype(float),
        }
    )
    columns = PairColumns(
        ("lead_x", "lead_visits"),
        ("source", "industry"),
        ("rep_tenure_years", "rep_training_hours_total"),
        ("pair_same_territory",),
    )
    return World(pairs, columns, logit, won, now)


@pytest.fixture(scope="session")
def world() -> Callable[..., World]:
    """`make_world`."""
    return make_world
