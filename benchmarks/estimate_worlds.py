"""Desks with known truth for `routing_estimates.py`: about 60 reps, 15,000 leads: history, then weeks to route.

What a rep makes of a lead: ability, tenure curve, courses, follow-up habit, and what he is good at (industry, source,
territory, company size), on leads whose quality is partly hidden. The old desk gives 30 % of its best leads to
newcomers, so that who got which lead is no chance. On `ramp` newcomers win 5 % of a mean lead and practised reps 25 %,
reps differ by half a unit of log-odds and fit of lead and rep is moderate. On `ability` reps differ without any fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.moments import DAY, NEVER, WEEK
from models.conversion.columns import PairColumns
from models.routing.replay import Stream

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Structure:
    """Sds on the logit: `ability`, then what a rep is good at; `ramp`: win rates of a newcomer and a practised rep on a
    mean lead, None: a tenure curve of odds ratio 3.4 about a tenth. `same`: every rep makes the same of a lead."""

    ability: float
    industry: float = 0.0
    source: float = 0.0
    territory: float = 0.0
    size: float = 0.0
    ramp: tuple[float, float] | None = None
    same: bool = False

    @property
    def sds(self) -> Floats:
        """(5,) in the order of `KINDS`."""
        return np.array([self.ability, self.industry, self.source, self.territory, self.size])


STRUCTURES: Final[dict[str, Structure]] = {
    "industry_source": Structure(0.25, industry=0.60, source=0.40),
    "territory_size": Structure(0.25, territory=0.50, size=0.50),
    "mixed": Structure(0.30, 0.40, 0.30, 0.35, 0.35),
    "ramp": Structure(0.50, 0.30, 0.25, 0.20, 0.20, ramp=(0.05, 0.25)),
    "ability": Structure(0.50),
    "null": Structure(0.0, same=True),
}
COLUMNS: Final = PairColumns(
    ("lead_employees", "lead_engagement", "lead_budget"),
    ("source", "industry", "territory"),
    ("rep_tenure_years", "rep_trainings_completed", "rep_follow_ups_per_week_90d"),
)
KINDS: Final = ("rep", "rep x industry", "rep x source", "rep x territory", "rep x lead_employees")
N_LEADS, N_REPS = 15_000, 60
REPLAYED_WEEKS = 6
HIDDEN_SD = 0.5
_MEAN_LOGIT = -2.3
_RAMP_YEARS = 0.8  # of practice after which 63 % of the way from newcomer to practised is done
_START = 1_700_006_400_000_000  # a Wednesday; weeks here are counted from it
_SIZE_EDGES = (20.0, 100.0, 400.0)
_DAY_SHARES = np.array([0.24, 0.22, 0.2, 0.18, 0.12, 0.03, 0.01])
_SOURCES = ("referral", "web_ad", "event", "老客户推荐", "cold_call")


@dataclass(frozen=True)
class EstimateWorld:
    """`pairs`: what was known when the weeks to route began; `leads` (all), `stream`, truth `p` and `value` (L, R).

    `start`: first lead to route. `reps` by week: `rep_frame(week)`. `variances`: the true components.
    """

    pairs: pd.DataFrame
    leads: pd.DataFrame
    stream: Stream
    start: int
    p: Floats
    value: Floats
    logged: Integers
    lead_score: Floats
    tenure_years: Floats
    hired_days: Floats
    trainings: Floats
    habit_seen: Floats
    as_of: int
    variances: dict[str, float]
    hidden: Floats

    def rep_frame(self, moment: int) -> pd.DataFrame:
        """Rep features at a moment; courses and follow-ups as known when the weeks began."""
        years = (moment - _START) / DAY / 365.25 - self.hired_days / 365.25
        return pd.DataFrame(
            {
                "rep_id": [f"R{r:03d}" for r in range(N_REPS)],
                "rep_tenure_years": np.maximum(years, 0.0),
                "rep_trainings_completed": self.trainings,
                "rep_follow_ups_per_week_90d": self.habit_seen,
            }
        )


def make_world(structure: str, load: float, seed: int, n_leads: int = N_LEADS) -> EstimateWorld:
    """World of a structure at `load` leads a place."""
    rng = np.random.default_rng(seed)
    shape = STRUCTURES[structure]
    places = rng.integers(3, 10, N_REPS)
    n_weeks = int(np.ceil(n_leads / (places.sum() * load)))
    counts = rng.poisson(places.sum() * load * rng.gamma(25.0, 1 / 25.0, n_weeks))
    week = np.repeat(np.arange(n_weeks), counts)
    at = _arrivals(week, rng)
    order = np.argsort(at, kind="stable")
    week, at = week[order], at[order]
    leads, codes, seen = _leads(week.size, rng)
    rep = _Reps(shape, float(n_weeks), rng)
    hidden = rng.normal(0, HIDDEN_SD, week.size)
    quality = seen + hidden
    p = 1.0 / (1.0 + np.exp(-(_MEAN_LOGIT + quality[:, None] + rep.logit(at, codes))))
    mean_amount = np.exp(8.0 + 0.25 * np.log(leads["lead_employees"] / 60.0) + 0.3 * (codes["industry"] == 2))
    value = p * mean_amount.to_numpy()[:, None]
    listed = rng.random(N_REPS) < 0.5
    serves = rng.random((N_REPS, 6)) < 0.4
    serves[np.arange(N_REPS), rng.integers(0, 6, N_REPS)] = True
    eligible = (~listed[None, :] | serves.T[codes["territory"]]) & (rep.hired[None, :] * DAY <= at[:, None] - _START)
    stream = Stream(
        at, week, ((at - _START) % WEEK) / WEEK, eligible, np.arange(n_weeks), np.tile(places, (n_weeks, 1))
    )
    start = int(np.searchsorted(week, n_weeks - REPLAYED_WEEKS))
    as_of = _START + (n_weeks - REPLAYED_WEEKS) * WEEK
    logged = _habit(stream, seen, at, rep.hired, rng)
    pairs = _pairs(leads, rep, at, logged, p, mean_amount.to_numpy(), as_of, rng)
    variances = dict(zip(KINDS, (np.maximum(shape.sds, 1e-3) ** 2).tolist(), strict=True))
    return EstimateWorld(
        pairs, leads, stream, start, p, value, logged, seen, np.maximum((as_of - _START) / DAY - rep.hired, 0) / 365.25,
        rep.hired, rep.courses((as_of - _START) / DAY), rep.habit_seen, as_of, variances, hidden,
    )  # fmt: skip


def _arrivals(week: Integers, rng: np.random.Generator) -> Integers:
    day = rng.choice(7, week.size, p=_DAY_SHARES)
    return _START + (week * WEEK + day * DAY + (rng.beta(3, 3, week.size) * 10 + 8) / 24 * DAY).astype(np.int64)


def _leads(n: int, rng: np.random.Generator) -> tuple[pd.DataFrame, dict[str, Integers], Floats]:
    """Lead columns, codes of what reps may be good at, and the quality that columns show."""
    source, industry = rng.choice(5, n, p=[0.15, 0.3, 0.15, 0.25, 0.15]), rng.choice(8, n)
    territory = rng.integers(0, 6, n)
    employees = np.ceil(np.exp(rng.normal(np.log(60.0), 1.3, n)))
    engagement, budget = rng.normal(50, 20, n), (rng.random(n) < 0.4).astype(np.float64)
    seen = np.array([0.6, -0.3, 0.1, 0.2, -0.4])[source] + rng.normal(0, 0.25, 8)[industry]
    seen = seen + 0.02 * (engagement - 50) + 0.35 * (budget - 0.4)
    leads = pd.DataFrame(
        {
            "source": np.array(_SOURCES, dtype=object)[source],
            "industry": np.array([f"行业{k}" for k in range(8)], dtype=object)[industry],
            "territory": np.array([f"T{k}" for k in range(6)], dtype=object)[territory],
            "lead_employees": employees,
            "lead_engagement": engagement,
            "lead_budget": budget,
        }
    )
    size = np.digitize(employees, _SIZE_EDGES)
    return leads, {"industry": industry, "source": source, "territory": territory, "size": size}, seen


class _Reps:
    """Hidden traits of the reps, and what is seen of them."""

    def __init__(self, shape: Structure, n_weeks: float, rng: np.random.Generator) -> None:
        self.shape, sds = shape, shape.sds
        late = rng.random(N_REPS) < 0.25
        self.hired = np.where(late, rng.uniform(0, 0.8, N_REPS) * n_weeks * 7, -rng.exponential(700, N_REPS))
        self.ability = rng.normal(0, sds[0], N_REPS)
        shares = (8, 5, 6, 4)
        self.tables = [rng.normal(0, sd, (n, N_REPS)) for sd, n in zip(sds[1:], shares, strict=True)]
        self.course_days = rng.uniform(0.0, 2.0, (N_REPS, 3)) * n_weeks * 7
        self.habit = np.exp(rng.normal(0.1, 0.4, N_REPS))
        self.habit_seen = self.habit * np.exp(rng.normal(0, 0.15, N_REPS))

    def courses(self, day: Floats | float) -> Floats:
        """(..., R) courses completed by a day."""
        return (self.course_days <= np.asarray(day)[..., None, None]).sum(axis=-1).astype(np.float64)

    def logit(self, at: Integers, codes: dict[str, Integers]) -> Floats:
        """(L, R) everything of the pair but the lead's own quality."""
        if self.shape.same:
            return np.zeros((at.size, N_REPS))
        day = (at - _START) / DAY
        years = np.maximum(day[:, None] - self.hired[None, :], 0) / 365.25
        total = self.ability + self._practice(years) + 0.25 * (self.courses(day) - 1) + 0.35 * (self.habit - 1.25)
        for table, name in zip(self.tables, ("industry", "source", "territory", "size"), strict=True):
            total = total + table[codes[name]]
        return np.asarray(total)

    def _practice(self, years: Floats) -> Floats:
        """(L, R) what tenure makes of a mean lead."""
        if self.shape.ramp is None:
            return np.asarray(0.7 * np.tanh(years - 1.0))
        low, high = (float(np.log(rate / (1.0 - rate))) for rate in self.shape.ramp)
        return np.asarray(low - _MEAN_LOGIT + (high - low) * (1.0 - np.exp(-years / _RAMP_YEARS)))


def _habit(stream: Stream, score: Floats, at: Integers, hired: Floats, rng: np.random.Generator) -> Integers:
    """(L,) the old desk: 30 % of the best leads to newcomers, the rest to anyone with room, else nobody."""
    logged = np.full(stream.n_leads, -1, dtype=np.int64)
    best = score >= np.quantile(score, 2 / 3)
    used, week = np.zeros(N_REPS, dtype=np.int64), -1
    for i in range(stream.n_leads):
        if stream.week[i] != week:
            used[:], week = 0, int(stream.week[i])
        who = stream.eligible[i] & (used < stream.capacity[week])
        young = who & ((at[i] - _START) / DAY - hired < 365)
        if best[i] and young.any() and rng.random() < 0.3:
            who = young
        if who.any():
            logged[i] = rng.choice(np.flatnonzero(who))
            used[logged[i]] += 1
    return logged


def _pairs(
    leads: pd.DataFrame, rep: _Reps, at: Integers, logged: Integers, p: Floats, amount: Floats, as_of: int,
    rng: np.random.Generator,
) -> pd.DataFrame:  # fmt: skip
    """Hand-overs before `as_of`, open where neither won nor lost by then."""
    rows = np.flatnonzero((logged >= 0) & (at < as_of))
    who, begun = logged[rows], at[rows]
    won = rng.random(rows.size) < p[rows, who]
    days = np.where(won, rng.gamma(2, 15, rows.size), rng.gamma(2, 30, rows.size))
    resolved = begun + (days * DAY).astype(np.int64)
    still = resolved >= as_of
    day = (begun - _START) / DAY
    paid = amount[rows] * np.exp(rng.normal(-0.18, 0.6, rows.size))
    return pd.DataFrame(
        {
            "lead_id": [f"L{row:06d}" for row in rows],
            "rep_id": [f"R{r:03d}" for r in who],
            "as_of": begun,
            "y": np.where(still, np.nan, won.astype(np.float64)),
            "resolved_at": np.where(still, NEVER, resolved),
            "amount": np.where(won & ~still, paid, np.nan),
            **{name: leads[name].to_numpy()[rows] for name in leads.columns},
            "rep_tenure_years": np.maximum(day - rep.hired[who], 0) / 365.25,
            "rep_trainings_completed": rep.courses(day)[np.arange(rows.size), who],
            "rep_follow_ups_per_week_90d": rep.habit[who] * np.exp(rng.normal(0, 0.15, rows.size)),
        }
    )
