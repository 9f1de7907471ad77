"""Forecast inputs from the tables: what `as_of` knows, cut into the frames that the funnel reads.

A lead's life is cut every four weeks, and each stretch carries the state at its start: the rep's follow-ups a lead in
the last four weeks against his own habit before, days of silence, the stage. So the hazards learn what such a state
means for the weeks that follow, which is what a forecast from today's state asks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.outcomes import CENTS, contributions
from features.panel import is_sales
from features.tables import Tables
from models.forecasting.exposure import Exposure
from models.forecasting.inputs import ForecastInputs, empty

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_STRETCH = 28 * moments.DAY
_LAGS = 3
_HISTORY = 30 * 28  # days of leads' lives that hazards learn from
_RECENT_WEEKS, _HABIT_WEEKS = 4, 13
_FOLLOW_UPS_SHRUNK = 5.0  # follow-ups by which a ratio is drawn to 1
_HABIT_SHRUNK = 10.0  # lead-weeks of the desk's habit that a rep's own is joined with


def gather_inputs(
    tables: Tables,
    outcomes: pd.DataFrame,
    as_of: int,
    exposure: Exposure,
    p_win: Floats,
    expected_amount: Floats,
    amount_log_sd: Floats | float,
) -> ForecastInputs:
    """Everything that a forecast at `as_of` may know.

    Parameters
    ----------
    tables
        The whole tables; only `tables.known(as_of)` is read.
    outcomes
        `features.outcomes.lead_outcomes(tables, as_of, ...)`.
    p_win, expected_amount, amount_log_sd
        For each row of `outcomes`: chance of ever being won in the owner's hands, as judged at hand-over, expected
        amount if won (major units), and spread of its logarithm.
    """
    known = tables.known(as_of)
    leads = _leads(known, outcomes, as_of, exposure, p_win, expected_amount, amount_log_sd)
    state = _States(known, leads, as_of, exposure)
    is_open = (leads["outcome"] == "open").to_numpy()
    columns = ["lead_id", "rep_id", "age_days", "source", "p_win", "expected_amount", "amount_log_sd"]
    open_leads = state.add(leads.loc[is_open, columns], np.flatnonzero(is_open), np.int64(as_of))
    return ForecastInputs(
        as_of=as_of,
        exposure=exposure,
        reps=_reps(known),
        contributions=contributions(known, as_of)[["rep_id", "month", "amount"]],
        open_leads=open_leads,
        spells=_spells(leads, state, as_of, exposure),
        arrivals=leads[["rep_id", "assigned_at", "source", "p_win", "expected_amount", "amount_log_sd"]],
        repeats=_repeats(known),
        absences=_absences(known),
        zone=tables.zone,
    )


def _reps(known: Tables) -> pd.DataFrame:
    reps = known.reps.loc[is_sales(known.reps), ["rep_id", "hired_on", "left_on", "team_id"]]
    return reps.reset_index(drop=True)


def _leads(
    known: Tables, outcomes: pd.DataFrame, as_of: int, exposure: Exposure, p_win: Floats, expected_amount: Floats,
    amount_log_sd: Floats | float,
) -> pd.DataFrame:  # fmt: skip
    """Outcomes with source, probabilities, amounts and age in effective working days, sorted by lead_id."""
    source = known.leads.set_index("lead_id")["source"].reindex(outcomes["lead_id"]).fillna("").to_numpy()
    ended = np.minimum(outcomes["resolved_at"].to_numpy(dtype=np.int64), as_of)
    start = outcomes["assigned_at"].to_numpy(dtype=np.int64)
    frame = outcomes[["lead_id", "rep_id", "assigned_at", "outcome"]].assign(
        source=source,
        ended=np.maximum(ended, start),
        age_days=exposure.between(start, np.maximum(ended, start)),
        p_win=p_win,
        expected_amount=expected_amount,
        amount_log_sd=amount_log_sd,
    )
    return frame.sort_values("lead_id", kind="stable").reset_index(drop=True)


def _spells(leads: pd.DataFrame, state: _States, as_of: int, exposure: Exposure) -> pd.DataFrame:
    """Stretches of four weeks of each lead's life, cut backwards from as_of, with the state at each start."""
    start = leads["assigned_at"].to_numpy(dtype=np.int64)
    ended = leads["ended"].to_numpy(dtype=np.int64)
    oldest = as_of - _HISTORY * moments.DAY
    first = np.maximum(start, oldest)
    # Cuts lie at as_of - k * stretch; a lead's stretches are those that its life touches.
    low = -((as_of - first) // -_STRETCH) - 1
    high = (as_of - ended) // _STRETCH
    n = np.where(ended > oldest, np.maximum(low - high + 1, 1), 0)
    row = np.repeat(np.arange(len(leads)), n)
    place = np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n)
    upper = as_of - (low[row] - place) * _STRETCH  # end of the stretch
    begin = np.maximum(upper - _STRETCH, first[row])
    stop = np.minimum(upper, ended[row])
    age_start, age_stop = (exposure.between(start[row], at) for at in (begin, np.maximum(stop, begin)))
    last = place == np.repeat(n - 1, n)
    outcome = leads["outcome"].to_numpy(dtype=object)[row]
    event = np.where(last & (outcome == "won"), "won", np.where(last & np.isin(outcome, ["lost", "dead"]), "lost", ""))
    frame = leads[["rep_id", "source", "p_win"]].iloc[row].reset_index(drop=True)
    frame = frame.assign(age_start=age_start, age_stop=age_stop, event=event)
    # What a state says about later weeks: each stretch once more with the state of one and of two stretches before.
    blocks = []
    for lag in range(_LAGS):
        at = begin - lag * _STRETCH
        alive = np.flatnonzero((at >= start[row]) | (lag == 0))
        blocks.append(state.add(frame.iloc[alive], row[alive], at[alive]).assign(lag=np.int64(lag)))
    return pd.concat(blocks, ignore_index=True)


@dataclass(frozen=True)
class _Week:
    """Follow-ups and open leads of each rep by week before as_of, newest last: (n_reps, n_weeks)."""

    reps: pd.Index
    done: Floats
    held: Floats


class _States:
    """The state of leads at past moments: follow-ups against habit, silence, stage."""

    def __init__(self, known: Tables, leads: pd.DataFrame, as_of: int, exposure: Exposure) -> None:
        self.as_of, self.exposure = as_of, exposure
        self.rep = leads["rep_id"].to_numpy(dtype=object)
        self.assigned = leads["assigned_at"].to_numpy(dtype=np.int64)
        self.week = _by_week(known, leads, as_of)
        ids = pd.Index(leads["lead_id"])
        self.activity = _Last(ids, known.activities["lead_id"], known.activities["known_at"])
        self.stages = known.stages.sort_values(["known_at", "entered_at"], kind="stable").reset_index(drop=True)
        self.staged = _Last(ids, self.stages["lead_id"], self.stages["known_at"])

    def add(self, frame: pd.DataFrame, lead: Integers, at: Integers | np.int64) -> pd.DataFrame:
        """`frame` with the state columns of leads (rows of the lead frame) at moments `at`."""
        when = np.broadcast_to(np.asarray(at, dtype=np.int64), (len(frame),))
        silent_from = np.maximum(self.activity.time_before(lead, when), self.assigned[lead])
        out = frame.assign(silent_log_days=np.log1p(self.exposure.between(np.minimum(silent_from, when), when)))
        if self.week.done.sum() > 0:
            out = out.assign(follow_up_log_ratio=self._ratio(lead, when))
        if len(self.stages):
            at_row = self.staged.row_before(lead, when)
            names = self.stages["stage"].to_numpy(dtype=object)
            out = out.assign(stage=np.where(at_row >= 0, names[np.maximum(at_row, 0)], "").astype(str))
        return out.reset_index(drop=True)

    def _ratio(self, lead: Integers, when: Integers) -> Floats:
        """Log of follow-ups a lead in four weeks over the rep's own habit before, drawn to 0."""
        n_weeks = self.week.done.shape[1]
        table = _log_ratios(self.week)
        column = n_weeks - (self.as_of - when + moments.WEEK - 1) // moments.WEEK
        row = self.week.reps.get_indexer(pd.Index(self.rep[lead]))
        fine = (row >= 0) & (column >= 0) & (column <= n_weeks)
        return np.where(fine, table[np.maximum(row, 0), np.clip(column, 0, n_weeks)], np.nan)


class _Last:
    """Finds the last event of a lead strictly before a moment by binary search."""

    def __init__(self, leads: pd.Index, lead_ids: pd.Series, at: pd.Series) -> None:
        code = np.asarray(leads.get_indexer(pd.Index(lead_ids)), dtype=np.int64)
        time = at.to_numpy(dtype=np.int64)
        rows = np.flatnonzero((code >= 0) & (time != moments.NEVER))
        rows = rows[np.lexsort((time[rows], code[rows]))]
        self.rows, self.code, self.time = rows, code[rows], time[rows]
        self.start = np.searchsorted(self.code, np.arange(len(leads) + 1))

    def row_before(self, lead: Integers, when: Integers) -> Integers:
        """Row of the event table, -1 where there is none."""
        place = self._place(lead, when)
        return np.where(place >= 0, self.rows[np.maximum(place, 0)] if len(self.rows) else -1, -1)

    def time_before(self, lead: Integers, when: Integers) -> Integers:
        """Moment of the event, ALWAYS where there is none."""
        place = self._place(lead, when)
        return np.where(place >= 0, self.time[np.maximum(place, 0)] if len(self.rows) else 0, moments.ALWAYS)

    def _place(self, lead: Integers, when: Integers) -> Integers:
        low, high = self.start[lead], self.start[lead + 1]
        begin = low.copy()
        while bool((low < high).any()):  # all searches halve together
            middle = (low + high) // 2
            safe = np.minimum(middle, max(len(self.time) - 1, 0))
            earlier = (low < high) & (self.time[safe] < when)
            high = np.where((low < high) & ~earlier, middle, high)
            low = np.where(earlier, middle + 1, low)
        return np.where(low > begin, low - 1, -1)


def _by_week(known: Tables, leads: pd.DataFrame, as_of: int) -> _Week:
    reps = pd.Index(sorted(set(leads["rep_id"])))
    span = as_of - int(leads["assigned_at"].min()) if len(leads) else 0
    n_weeks = int(min(span // moments.WEEK + 1, _HISTORY // 7 + _HABIT_WEEKS))
    acts = known.activities
    rep = reps.get_indexer(pd.Index(acts["rep_id"]))
    ago = (as_of - 1 - acts["known_at"].to_numpy(dtype=np.int64)) // moments.WEEK
    fine = (rep >= 0) & (ago >= 0) & (ago < n_weeks)
    done, held = np.zeros((len(reps), n_weeks)), np.zeros((len(reps), n_weeks + 1))
    np.add.at(done, (rep[fine], n_weeks - 1 - ago[fine]), 1.0)
    # A lead counts in each week in whose middle it was open.
    owner = reps.get_indexer(pd.Index(leads["rep_id"]))
    edge = [
        np.clip(n_weeks - (as_of - leads[c].to_numpy(dtype=np.int64) + moments.WEEK // 2) // moments.WEEK, 0, n_weeks)
        for c in ("assigned_at", "ended")
    ]
    ended = np.where(leads["outcome"] == "open", n_weeks, edge[1])
    np.add.at(held, (owner, edge[0]), 1.0)
    np.add.at(held, (owner, ended), -1.0)
    return _Week(reps, done, np.cumsum(held, axis=1)[:, :n_weeks])


def _log_ratios(week: _Week) -> Floats:
    """Ratio at the start of each week, as of its weeks before: (n_reps, n_weeks + 1)."""
    done, held = (np.hstack([np.zeros((len(x), 1)), np.cumsum(x, axis=1)]) for x in (week.done, week.held))
    n = done.shape[1]
    recent = np.maximum(np.arange(n) - _RECENT_WEEKS, 0)
    before = np.maximum(recent - _HABIT_WEEKS, 0)
    desk = (done[:, recent] - done[:, before]).sum(axis=0) / np.maximum((held[:, recent] - held[:, before]).sum(0), 1.0)
    habit = (done[:, recent] - done[:, before] + _HABIT_SHRUNK * desk) / (
        held[:, recent] - held[:, before] + _HABIT_SHRUNK
    )
    expected = habit * (held - held[:, recent])
    ratio = np.log((done - done[:, recent] + _FOLLOW_UPS_SHRUNK) / (expected + _FOLLOW_UPS_SHRUNK))
    return np.where((desk > 0)[None], ratio, 0.0)


def _repeats(known: Tables) -> pd.DataFrame:
    """Won deals after the one that closed their lead."""
    deals = known.deals.assign(_lost=(known.deals["status"] != "won").to_numpy(), _less=-known.deals["amount"])
    ranked = deals.sort_values(["lead_id", "closed_at", "_lost", "_less", "deal_id"], kind="stable")
    later = ranked.loc[ranked["lead_id"].duplicated() & (ranked["status"] == "won")]
    if not len(later):
        return empty("repeats")
    return pd.DataFrame(
        {"rep_id": later["rep_id"], "closed_at": later["closed_at"], "amount": later["amount"] / CENTS}
    ).reset_index(drop=True)


def _absences(known: Tables) -> pd.DataFrame:
    rows = known.absences[["rep_id", "starts_on", "ends_on"]]
    return rows.assign(ends_on=rows["ends_on"] + moments.DAY).reset_index(drop=True)
