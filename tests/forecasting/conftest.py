"""A small simulated funnel: hazards, arrivals and amounts are known, so forecasts can be held against truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from features import moments
from models.forecasting.exposure import weekdays
from models.forecasting.inputs import ForecastInputs, empty

ZONE = "UTC"
DAYS = weekdays(ZONE)


@dataclass(frozen=True)
class FunnelWorld:
    """Leads with their true fate; `inputs(as_of)` tells only what is known then.

    A lead of ever-win probability p is a winner with chance p; winners close at `win_rate`, losers at `loss_rate` per
    working day, so the chain's age-free truth is a mixture of two exponentials.
    """

    reps: pd.DataFrame
    leads: pd.DataFrame
    start: int

    def inputs(self, as_of: int) -> ForecastInputs:
        known = self.leads[self.leads["assigned_at"] < as_of]
        closed = known["closed_at"] < as_of
        stop = np.where(closed, known["closed_at"], as_of)
        age = DAYS.between(known["assigned_at"].to_numpy(), stop.astype(np.int64))
        spells = known.assign(
            age_start=0.0, age_stop=age, event=np.where(closed, np.where(known["won"], "won", "lost"), "")
        )
        won = known[closed & known["won"]]
        months = moments.months_of(won["closed_at"].to_numpy(), ZONE)
        money = won.assign(month=months).groupby(["rep_id", "month"], as_index=False)["amount"].sum()
        reps = self.reps[self.reps["hired_on"] < as_of]
        left = np.where(reps["left_on"] <= as_of, reps["left_on"], moments.NEVER)
        return ForecastInputs(
            as_of=as_of,
            exposure=DAYS,
            reps=reps.assign(left_on=left),
            contributions=money[["rep_id", "month", "amount"]],
            open_leads=known.assign(age_days=age)[~closed].drop(columns=["closed_at", "won", "amount"]),
            spells=spells[["rep_id", "age_start", "age_stop", "event", "source", "p_win"]],
            arrivals=known[["rep_id", "assigned_at", "source", "p_win", "expected_amount", "amount_log_sd"]],
            repeats=empty("repeats"),
            first_moment=self.start,
        )

    def truth(self) -> pd.DataFrame:
        """Contribution by rep and month of everything that ever closed."""
        won = self.leads[self.leads["won"]]
        months = moments.months_of(won["closed_at"].to_numpy(), ZONE)
        return won.assign(month=months).groupby(["rep_id", "month"], as_index=False)["amount"].sum()


def make_world(seed: int, n_reps: int = 20, n_months: int = 18, per_day: float = 0.4) -> FunnelWorld:
    """A stationary funnel; reps differ in flow, leads in p_win, sources in speed."""
    rng = np.random.default_rng(seed)
    start = moments.parse("2024-01-01")
    end = moments.month_start(moments.month_of(start) + n_months)
    flow = per_day * rng.gamma(8.0, 1 / 8.0, n_reps)
    days = np.arange(start, end, moments.DAY)
    working = days[DAYS.between(days, days + moments.DAY) > 0.5]
    rows = []
    for r in range(n_reps):
        count = rng.poisson(flow[r], len(working))
        when = np.repeat(working, count) + rng.integers(0, moments.DAY, count.sum())
        rows.append(pd.DataFrame({"rep_id": f"R{r:03d}", "assigned_at": when}))
    leads = pd.concat(rows, ignore_index=True)
    n = len(leads)
    leads["lead_id"] = [f"L{i:06d}" for i in range(n)]
    leads["source"] = rng.choice(["event", "referral", "web"], n)
    leads["p_win"] = rng.beta(2.0, 6.0, n)
    leads["won"] = rng.random(n) < leads["p_win"]
    rate = np.where(leads["won"], 1 / 18.0, 1 / 30.0) * np.where(leads["source"] == "web", 2.0, 1.0)
    wait = rng.exponential(1.0, n) / rate
    leads["closed_at"] = leads["assigned_at"] + (wait * 7 / 5 * moments.DAY).astype(np.int64)
    leads["expected_amount"], leads["amount_log_sd"] = 10_000.0, 0.5
    leads["amount"] = 10_000.0 * np.exp(rng.normal(-0.125, 0.5, n))
    reps = pd.DataFrame(
        {
            "rep_id": [f"R{r:03d}" for r in range(n_reps)],
            "hired_on": start - 400 * moments.DAY,
            "left_on": moments.NEVER,
            "team_id": [f"T{r % 3}" for r in range(n_reps)],
        }
    )
    return FunnelWorld(reps, leads, start)


@pytest.fixture(scope="session")
def world() -> FunnelWorld:
    return make_world(7)
