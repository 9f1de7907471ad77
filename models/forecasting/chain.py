"""The funnel's expectations in closed form: who is won when, how many come, at what amounts.

A coming lead arrives at a uniform moment of its month's working days and then ages; the chance that it is won by the
end of a month is averaged over that moment by Gauss-Legendre quadrature and over the rep's recent lead mix.
Amounts are log-normal with the mean that the inputs give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.forecasting import arrivals
from models.forecasting.hazard_set import HazardSet
from models.forecasting.hazards import HazardModel, Phase, win_in_slices
from models.forecasting.inputs import ForecastInputs

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_MIX_LEADS = 40  # newest leads of a rep that stand for those to come
_COHORT_LEADS = 120
_MIX_STRENGTH = 15.0  # leads of the cohort's mix that a rep's own are joined with
_AMOUNT_STRENGTH = 5.0
_SKILL_STRENGTH = (10.0, 2_000.0)  # bounds, in expected wins, of the pull towards the model's own probability
_NODES = 4


@dataclass(frozen=True)
class Chain:
    """Expectations by rep; leads of rep r are rows open_span[r]:open_span[r + 1]. Days are effective working days.

    Attributes
    ----------
    open_wins, open_log_mean, open_log_sd
        (n_leads, n_months) chance of a win in each month; (n_leads,) log-normal amounts.
    coming_wins, coming_log_mean, coming_log_sd
        (n_reps, n_months) expected wins of leads still to come; (n_reps,) their amounts.
    repeat_wins, repeat_log_mean, repeat_log_sd
        The same for repeat purchases (the last a number).
    skill_shape, arrival_shape, repeat_shape
        (n_reps,) Gamma shapes of what is not known about a rep's winning and rates.
    """

    open_span: Integers
    open_wins: Floats
    open_log_mean: Floats
    open_log_sd: Floats
    coming_wins: Floats
    coming_log_mean: Floats
    coming_log_sd: Floats
    repeat_wins: Floats
    repeat_log_mean: Floats
    repeat_log_sd: float
    skill_shape: Floats
    arrival_shape: Floats
    repeat_shape: Floats

    def parts(self) -> dict[str, Floats]:
        """Expected money by rep and month from "open", "coming" and "repeat", each (n_reps, n_months)."""
        money = self.open_wins * _log_normal_mean(self.open_log_mean, self.open_log_sd)[:, None]
        owner = np.repeat(np.arange(len(self.open_span) - 1), np.diff(self.open_span))
        by_rep = np.zeros((len(self.open_span) - 1, money.shape[1]))
        np.add.at(by_rep, owner, money)
        return {
            "open": by_rep,
            "coming": self.coming_wins * _log_normal_mean(self.coming_log_mean, self.coming_log_sd)[:, None],
            "repeat": self.repeat_wins * _log_normal_mean(self.repeat_log_mean, self.repeat_log_sd)[:, None],
        }

    def expected(self) -> Floats:
        """Expected money still to come by rep and month, (n_reps, n_months)."""
        parts = self.parts()
        return parts["open"] + parts["coming"] + parts["repeat"]


def build_chain(
    inputs: ForecastInputs, months: Integers, hazards: HazardSet, season: Floats, half_life_days: float
) -> Chain:
    """The chain of canonical inputs under fitted hazards."""
    # Rates were learnt on working days with the usual absences in them; planned ones are taken off each rep's own.
    days = inputs.exposure_of_reps(months) / (1.0 - inputs.usual_absence())
    skill, skill_shape = _skill(inputs, hazards.plain)
    span, wins, log_mean, log_sd = _open(inputs, hazards, days, skill)
    coming, coming_mean, coming_sd, flow_shape = _coming(inputs, hazards, season, months, days, skill, half_life_days)
    repeat, repeat_mean, repeat_sd, repeat_shape = _repeats(inputs, months, days)
    return Chain(
        span, wins, log_mean, log_sd, coming, coming_mean, coming_sd, repeat, repeat_mean, repeat_sd,
        skill_shape, flow_shape, repeat_shape,
    )  # fmt: skip


def _log_normal_mean(log_mean: Floats, log_sd: Floats | float) -> Floats:
    return np.asarray(np.exp(log_mean + np.square(log_sd) / 2.0), dtype=np.float64)


def _log_mean(mean: Floats, log_sd: Floats) -> Floats:
    """Log location of a log-normal with this mean; a mean of 0 gives (nearly) 0 money."""
    return np.log(np.maximum(mean, 1e-12)) - log_sd**2 / 2.0


def _habit_shift(inputs: ForecastInputs) -> Floats:
    """Log of a what-if's follow-up ratio by rep, 0 where untouched."""
    return np.where(inputs.changed(), np.log(inputs.changes.follow_up_ratio), 0.0)


def _skill(inputs: ForecastInputs, hazards: HazardModel) -> tuple[Floats, Floats]:
    """Wins over what the hazards expected of each rep, shrunk to 1, and the Gamma shape of what stays unknown.

    The win probability knows the rep already; this catches what it missed, as far as the spread between reps tells.
    """
    won, expected = np.zeros(len(inputs.reps)), np.zeros(len(inputs.reps))
    spells = inputs.spells
    rep = inputs.rep_index(spells["rep_id"])
    mine = rep >= 0
    if mine.any():
        chunk = spells.loc[mine]
        np.add.at(won, rep[mine], (chunk["event"] == "won").to_numpy(dtype=np.float64))
        np.add.at(expected, rep[mine], _cumulative_win_hazard(chunk, hazards))
    excess = float(((won - expected) ** 2 - expected).sum())
    square = float((expected**2).sum())
    strength = _SKILL_STRENGTH[1] if excess <= 0 else float(np.clip(square / excess, *_SKILL_STRENGTH))
    shape = strength + won
    return shape / (strength + expected), shape


def _cumulative_win_hazard(spells: pd.DataFrame, hazards: HazardModel) -> Floats:
    win, _ = hazards.rates(spells)
    start = spells["age_start"].to_numpy(dtype=np.float64)
    stop = spells["age_stop"].to_numpy(dtype=np.float64)
    tops = [*hazards.edges[1:], np.inf]
    total = np.zeros(len(spells))
    for band, (low, high) in enumerate(zip(hazards.edges, tops, strict=True)):
        total += win[:, band] * np.maximum(np.minimum(stop, high) - np.maximum(start, low), 0.0)
    return total


def _open(
    inputs: ForecastInputs, hazards: HazardSet, days: Floats, skill: Floats
) -> tuple[Integers, Floats, Floats, Floats]:
    leads = inputs.open_leads
    rep = inputs.rep_index(leads["rep_id"])
    leads, rep = leads.loc[rep >= 0].reset_index(drop=True), rep[rep >= 0]
    if "follow_up_log_ratio" in leads.columns:
        leads = leads.assign(
            follow_up_log_ratio=leads["follow_up_log_ratio"].to_numpy(float) + _habit_shift(inputs)[rep]
        )
    # What closed lately may not be entered yet: leads are at risk from the moment up to which closes are.
    before, within = inputs.unseen_days()
    slices = np.column_stack([np.full(len(rep), before), days[rep]])
    slices[:, 1] += np.where(slices[:, 1] > 0, within, 0.0)
    age = leads["age_days"].to_numpy(dtype=np.float64)
    wins = hazards.win_in_slices(leads, skill[rep], age, slices)[:, 1:]
    sd = np.nan_to_num(leads["amount_log_sd"].to_numpy(dtype=np.float64))
    mean = _log_mean(np.nan_to_num(leads["expected_amount"].to_numpy(dtype=np.float64)), sd)
    span = np.concatenate(([0], np.cumsum(np.bincount(rep, minlength=len(inputs.reps))))).astype(np.int64)
    return span, wins, mean, sd


def _coming(
    inputs: ForecastInputs, hazards: HazardSet, season: Floats, months: Integers, days: Floats, skill: Floats,
    half_life_days: float,
) -> tuple[Floats, Floats, Floats, Floats]:  # fmt: skip
    """Expected wins of coming leads, their log-normal amounts, and the Gamma shapes of the arrival rates."""
    past = arrivals.past_months(inputs)
    rep = inputs.rep_index(inputs.arrivals["rep_id"])
    n = arrivals.counts(inputs, rep, inputs.arrivals["assigned_at"].to_numpy(dtype=np.int64), past)
    worked = arrivals.past_exposure(inputs, past)
    rates = arrivals.fit_rates(inputs, n, worked, season[past % 12], half_life_days)
    share = np.where(inputs.changed(), inputs.changes.lead_share, 1.0)
    leads = rates.mean[:, None] * days * season[np.asarray(months) % 12][None] * share[:, None]
    # Leads that came and are not entered yet are still to come, as far as the forecast can see.
    leads[:, 0] += np.where(days[:, 0] > 0, rates.mean * sum(inputs.unseen_days()), 0.0)
    leads[:, 0] += np.where(inputs.changed() & (days[:, 0] > 0), inputs.changes.extra_leads, 0.0)
    won, money, second = _mix(inputs, hazards, days, skill)
    wins = np.einsum("rg,rgh->rh", leads, won)
    all_won = np.maximum(won.sum(axis=(1, 2)), 1e-300)
    mean = money / all_won
    log_sd = np.sqrt(np.log(np.maximum(second / all_won / np.maximum(mean, 1e-12) ** 2, 1.0)))
    return wins, _log_mean(mean, log_sd), log_sd, rates.shape


def _mix(inputs: ForecastInputs, hazards: HazardSet, days: Floats, skill: Floats) -> tuple[Floats, Floats, Floats]:
    """For one coming lead a month: chance of a win by (rep, month of arrival, month of win), the money and its square.

    The rep's newest leads stand for those to come, joined with the newest of his tenure cohort as they would fare on
    his own working days and habit; no lead at all gives zeros.
    """
    n_reps, n_months = days.shape
    recent = _recent(inputs)
    rep = inputs.rep_index(recent["rep_id"])
    recent, rep = recent.loc[rep >= 0].reset_index(drop=True), rep[rep >= 0]
    shape = (n_reps, n_months, n_months)
    if not len(recent):
        return np.zeros(shape), np.zeros(n_reps), np.zeros(n_reps)
    own_n = np.bincount(rep, minlength=n_reps).astype(np.float64)
    own = np.zeros((n_reps, n_months**2 + 2))
    np.add.at(own, rep, _mix_values(recent, _won_by_arrival(hazards.plain, recent, days[rep], skill[rep])))
    cohort = _cohort_values(inputs, hazards.plain, recent, rep, days) * skill[:, None]
    pooled = (own + _MIX_STRENGTH * cohort) / (own_n + _MIX_STRENGTH)[:, None]
    pooled *= np.exp(_habit_effect(inputs, hazards))[:, None]
    return pooled[:, :-2].reshape(shape), pooled[:, -2], pooled[:, -1]


def _mix_values(leads: pd.DataFrame, won: Floats) -> Floats:
    """Chances of a win by arrival and month, flat, then expected money and its square: (n_leads, n_months^2 + 2)."""
    sd = np.nan_to_num(leads["amount_log_sd"].to_numpy(dtype=np.float64))
    amount = np.nan_to_num(leads["expected_amount"].to_numpy(dtype=np.float64))
    ever = won.sum(axis=(1, 2))
    return np.column_stack([won.reshape(len(leads), -1), ever * amount, ever * amount**2 * np.exp(sd**2)])


def _cohort_values(
    inputs: ForecastInputs, hazards: HazardModel, recent: pd.DataFrame, rep: Integers, days: Floats
) -> Floats:
    """Means of `_mix_values` over the newest leads of each rep's tenure cohort and of the desk, on his own days.

    Reps with equal days share the work. Other reps' absences so change nothing in a rep's forecast.
    """
    n_reps = len(inputs.reps)
    cohort = arrivals.cohort_of(inputs, np.full(n_reps, inputs.as_of, dtype=np.int64))
    order = recent.assign(cohort=cohort[rep]).sort_values(["assigned_at", "rep_id"])
    sample = order.groupby("cohort", sort=True).tail(_COHORT_LEADS)
    kinds, kind = np.unique(days, axis=0, return_inverse=True)
    size = len(arrivals.COHORT_YEARS)
    group = sample["cohort"].to_numpy(dtype=np.int64)
    count = np.bincount(group, minlength=size).astype(np.float64)[:, None]
    means = np.empty((len(kinds), size, days.shape[1] ** 2 + 2))
    for k, row in enumerate(kinds):
        spread = np.broadcast_to(row, (len(sample), len(row)))
        values = _mix_values(sample, _won_by_arrival(hazards, sample, spread, np.ones(len(sample))))
        total = np.zeros((size, values.shape[1]))
        np.add.at(total, group, values)
        desk = total.sum(axis=0) / count.sum()
        means[k] = (total + _MIX_STRENGTH * desk) / (count + _MIX_STRENGTH)
    return np.asarray(means[kind.ravel(), cohort], dtype=np.float64)


def _habit_effect(inputs: ForecastInputs, hazards: HazardSet) -> Floats:
    """Log of what each rep's present follow-up habit does to the winning of coming leads; 0 where unknown."""
    effect, centre = hazards.habit_effect()
    return effect * np.nan_to_num(_habit(inputs, centre) - centre, nan=0.0)


def _recent(inputs: ForecastInputs) -> pd.DataFrame:
    """The newest leads of each rep: they stand for those to come, so only what they brought along counts."""
    columns = ["rep_id", "assigned_at", "source", "p_win", "expected_amount", "amount_log_sd"]
    return inputs.arrivals.groupby("rep_id", sort=False).tail(_MIX_LEADS)[columns].reset_index(drop=True)


def _habit(inputs: ForecastInputs, centre: float) -> Floats:
    """Today's mean follow-up state of each rep's open leads under the what-if; the centre where he has none."""
    shift = _habit_shift(inputs)
    if "follow_up_log_ratio" not in inputs.open_leads.columns or not len(inputs.open_leads):
        return centre + shift
    mean = inputs.open_leads.groupby("rep_id")["follow_up_log_ratio"].mean()
    now = mean.reindex(list(inputs.rep_ids)).fillna(centre).to_numpy(dtype=np.float64)
    return np.asarray(now + shift, dtype=np.float64)


def _won_by_arrival(hazards: HazardModel, leads: pd.DataFrame, days: Floats, skill: Floats) -> Floats:
    """Chance that a lead like each of these is won in month h if it comes in month g: (n_leads, g, h)."""
    win, loss = hazards.rates(leads)
    phases = [Phase(float("inf"), win * skill[:, None], loss)]
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    n_months = days.shape[1]
    out = np.zeros((len(leads), n_months, n_months))
    new = np.zeros(len(leads))
    for g in range(n_months):
        for node, weight in zip(nodes, weights, strict=True):
            left = days[:, g:].copy()
            left[:, 0] *= (1.0 - node) / 2.0
            out[:, g, g:] += weight / 2.0 * win_in_slices(phases, hazards.edges, new, left)
    return out


def _repeats(inputs: ForecastInputs, months: Integers, days: Floats) -> tuple[Floats, Floats, float, Floats]:
    """Expected repeat purchases, their log-normal amounts and the Gamma shapes of their rates."""
    n_reps = len(inputs.reps)
    rep = inputs.rep_index(inputs.repeats["rep_id"])
    amount = inputs.repeats["amount"].to_numpy(dtype=np.float64)
    use = (rep >= 0) & (amount > 0)
    if not use.any():
        return np.zeros((n_reps, len(months))), np.zeros(n_reps), 0.0, np.full(n_reps, np.inf)
    past = arrivals.past_months(inputs)
    n = arrivals.counts(inputs, np.where(use, rep, -1), inputs.repeats["closed_at"].to_numpy(dtype=np.int64), past)
    rates = arrivals.fit_rates(inputs, n, arrivals.past_exposure(inputs, past), np.ones(len(past)), 120.0)
    logs = np.log(amount[use])
    sums = np.bincount(rep[use], weights=logs, minlength=n_reps)
    count = np.bincount(rep[use], minlength=n_reps)
    mean = (sums + _AMOUNT_STRENGTH * logs.mean()) / (count + _AMOUNT_STRENGTH)
    sd = float(logs.std()) if len(logs) > 1 else 0.0
    return rates.mean[:, None] * days, mean, sd, np.maximum(rates.shape, 0.05)
