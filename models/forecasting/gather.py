"""Forecast inputs from the tables: what `as_of` knows, cut into the frames that the funnel reads.

Landmarks lie every two weeks before `as_of`. At each, every lead that was open then has a state: the rep's follow-ups a
lead in the last four weeks against his own habit before, the lead's own follow-ups, what came of the last of them, days
of silence and the activities overdue by the lead's own rhythm, the stage, the days in it and on the way to it (a lead
that came this far fast will not wait long for the rest), the close that was expected. What became of it teaches what
such a state means, which is what a forecast from today's state asks (`closing`).

References: van Houwelingen (2007), "Dynamic prediction by landmarking in event history analysis", Scand. J. Stat. 34.
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

_LANDMARK_EVERY = 14 * moments.DAY
_MOST_MARKS = 150_000  # leads at landmarks
_HISTORY = 24 * 28  # days of landmarks that hazards learn from
_RECENT_WEEKS, _HABIT_WEEKS = 4, 13
_FOLLOW_UPS_SHRUNK = 5.0  # follow-ups by which a ratio is drawn to 1
_FEWEST_BELIEFS = 30
_SETTLED, _DELAY_FROM, _DELAY_COUNTS = 45 * moments.DAY, 180 * moments.DAY, moments.DAY // 4
_RATE_SHRUNK = 3.0  # leads by which a rep's follow-ups of a week are drawn to the desk's
_RHYTHM_SHRUNK = 2.0  # follow-ups by which a lead's own rhythm is drawn to the desk's
_HABIT_SHRUNK = 10.0  # lead-weeks of the desk's habit that a rep's own is joined with


def gather_inputs(
    tables: Tables,
    outcomes: pd.DataFrame,
    as_of: int,
    exposure: Exposure,
    p_win: Floats,
    expected_amount: Floats,
    amount_log_sd: Floats | float,
    p_learnt: Floats | None = None,
) -> ForecastInputs:
    """Everything that a forecast at `as_of` may know.

    Parameters
    ----------
    tables
        The whole tables; only `tables.known(as_of)` is read.
    outcomes
        `features.outcomes.lead_outcomes(tables, as_of, ...)` with a column `source`; leads handed over only after they
        were closed are left out.
    p_win, expected_amount, amount_log_sd
        For each row of `outcomes`: chance of ever being won in the owner's hands, as judged at hand-over, expected
        amount if won (major units), and spread of its logarithm.
    p_learnt
        The chances to learn hazards with, of leads whose fate the chances above know already: as they would be had the
        lead's own fate not been known (`p_win` where None).
    """
    known = tables.known(as_of)
    seen_until = as_of - logging_delay(known, as_of)
    leads = _leads(outcomes, seen_until, exposure, p_win, expected_amount, amount_log_sd)
    past = (
        leads
        if p_learnt is None
        else leads.assign(p_win=pd.Series(p_learnt, outcomes["lead_id"]).reindex(leads["lead_id"]).to_numpy())
    )
    state = _States(known, leads, as_of, exposure)
    is_open = (leads["outcome"] == "open").to_numpy()
    columns = ["lead_id", "rep_id", "age_days", "source", "p_win", "expected_amount", "amount_log_sd"]
    open_leads = state.add(leads.loc[is_open, columns], np.flatnonzero(is_open), np.int64(as_of))
    open_leads = believed_amounts(open_leads, leads, known)
    return ForecastInputs(
        as_of=as_of,
        exposure=exposure,
        reps=_reps(known, as_of),
        contributions=contributions(known, as_of)[["rep_id", "month", "amount"]],
        open_leads=open_leads,
        spells=_spells(past, seen_until),
        landmarks=_landmarks(past, state, seen_until, exposure),
        arrivals=leads[["rep_id", "assigned_at", "source", "p_win", "expected_amount", "amount_log_sd"]],
        repeats=_repeats(known),
        absences=_absences(known),
        zone=tables.zone,
        seen_until=seen_until,
    )


def logging_delay(known: Tables, as_of: int) -> int:
    """Mean time from a close to its entry over the newest deals that are old enough to have been entered.

    What is open in the tables may be closed already: leads count as open only until so long before as_of.
    """
    closed, entered = (known.deals[c].to_numpy(dtype=np.int64) for c in ("closed_at", "known_at"))
    settled = (closed < as_of - _SETTLED) & (closed >= as_of - _SETTLED - _DELAY_FROM) & (entered >= closed)
    delay = float(np.minimum(entered - closed, _SETTLED)[settled].mean()) if settled.any() else 0.0
    return int(delay) if delay >= _DELAY_COUNTS else 0


def _reps(known: Tables, as_of: int) -> pd.DataFrame:
    here = is_sales(known.reps) & (known.reps["hired_on"] < as_of).to_numpy()
    return known.reps.loc[here, ["rep_id", "hired_on", "left_on", "team_id"]].reset_index(drop=True)


def _leads(
    outcomes: pd.DataFrame, seen_until: int, exposure: Exposure, p_win: Floats, expected_amount: Floats,
    amount_log_sd: Floats | float,
) -> pd.DataFrame:  # fmt: skip
    """Outcomes with probabilities, amounts and age in effective working days, sorted by lead_id."""
    ended = np.minimum(outcomes["resolved_at"].to_numpy(dtype=np.int64), seen_until)
    start = outcomes["assigned_at"].to_numpy(dtype=np.int64)
    frame = outcomes[["lead_id", "rep_id", "source", "assigned_at", "resolved_at", "outcome", "amount"]].assign(
        ended=np.maximum(ended, start),
        age_days=exposure.between(start, np.maximum(ended, start)),
        p_win=p_win,
        expected_amount=expected_amount,
        amount_log_sd=amount_log_sd,
    )
    frame = frame.loc[start <= outcomes["resolved_at"].to_numpy(dtype=np.int64)]
    return frame.sort_values("lead_id", kind="stable").reset_index(drop=True)


_EVENTS = {"won": "won", "lost": "lost", "dead": "dead", "open": ""}


def _spells(leads: pd.DataFrame, seen_until: int) -> pd.DataFrame:
    """Each lead's life from hand-over to its end or `seen_until`, one row a lead."""
    fate = leads["outcome"].map(_EVENTS).to_numpy(dtype=object)
    return pd.DataFrame(
        {
            "rep_id": leads["rep_id"],
            "age_start": 0.0,
            "age_stop": leads["age_days"],
            "event": np.where(leads["resolved_at"].to_numpy(dtype=np.int64) <= seen_until, fate, ""),
            "source": leads["source"],
            "p_win": leads["p_win"],
        }
    )


def _landmarks(leads: pd.DataFrame, state: _States, as_of: int, exposure: Exposure) -> pd.DataFrame:
    """Leads open at each landmark with their state there, and their fate after it.

    What closed after `as_of` (the moment up to which closes are entered) counts as open.
    """
    start = leads["assigned_at"].to_numpy(dtype=np.int64)
    ended = leads["ended"].to_numpy(dtype=np.int64)
    newest = np.maximum((as_of - ended) // _LANDMARK_EVERY + 1, 1)
    oldest = np.minimum(-((start - as_of) // _LANDMARK_EVERY) - 1, _HISTORY * moments.DAY // _LANDMARK_EVERY)
    n = np.maximum(oldest - newest + 1, 0)
    # Of a large desk a part of the leads teaches as much as it can, and fits in memory.
    one_in = max(1, -(-int(n.sum()) // _MOST_MARKS))
    n = np.where(np.arange(len(n)) % one_in == 0, n, 0)
    row = np.repeat(np.arange(len(leads)), n)
    back = newest[row] + np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n)
    at = as_of - back * _LANDMARK_EVERY
    frame = state.add(leads[["rep_id", "source", "p_win"]].iloc[row].reset_index(drop=True), row, at)
    resolved = leads["resolved_at"].to_numpy(dtype=np.int64)
    return frame.assign(
        age_start=exposure.between(start[row], at),
        age_stop=exposure.between(start[row], ended[row]),
        event=np.where(resolved <= as_of, leads["outcome"].map(_EVENTS), "")[row],
    )


def believed_amounts(open_leads: pd.DataFrame, leads: pd.DataFrame, known: Tables) -> pd.DataFrame:
    """Open leads with amounts that heed what the desk believed at the newest stage, as far as past wins bear it out.

    On leads won so far, the log of the amount over the model's is regressed on the log of the belief over the model's;
    nothing changes below `_FEWEST_BELIEFS` such leads.
    """
    now_told = _beliefs(known.stages)
    # A stage that is entered at the close tells the amount itself: only what was believed a day before may teach.
    close = pd.Series(leads["ended"].to_numpy(dtype=np.int64), index=leads["lead_id"])
    before = close.reindex(known.stages["lead_id"]).fillna(moments.ALWAYS).to_numpy(dtype=np.int64) - moments.DAY
    belief = _beliefs(known.stages.loc[known.stages["entered_at"].to_numpy(dtype=np.int64) < before])
    won = leads.loc[(leads["outcome"] == "won").to_numpy() & (leads["amount"].to_numpy(dtype=np.float64) > 0)]
    model, told = won["expected_amount"].to_numpy(float), belief.reindex(won["lead_id"]).to_numpy(float)
    fine = np.isfinite(told) & (model > 0)
    if int(fine.sum()) < _FEWEST_BELIEFS:
        return open_leads
    x = np.log(told[fine] / model[fine])
    y = np.log(won["amount"].to_numpy(dtype=np.float64)[fine] / model[fine])
    slope = float(np.cov(x, y)[0, 1] / max(float(x.var(ddof=1)), 1e-9))
    rest = y - y.mean() - slope * (x - x.mean())
    sd = float(np.sqrt(max(float(rest @ rest) / max(len(rest) - 2, 1), 1e-6)))
    base = open_leads["expected_amount"].to_numpy(dtype=np.float64)
    now = now_told.reindex(open_leads["lead_id"]).to_numpy(dtype=np.float64)
    use = np.isfinite(now) & (base > 0)
    ratio = np.clip(np.log(np.where(use, now, 1.0) / np.where(use, base, 1.0)), x.min(), x.max())
    moved = base * np.exp(y.mean() + slope * (ratio - x.mean()) + sd**2 / 2.0)
    return open_leads.assign(
        expected_amount=np.where(use, moved, base),
        amount_log_sd=np.where(use, sd, open_leads["amount_log_sd"].to_numpy(dtype=np.float64)),
    )


def _beliefs(stages: pd.DataFrame) -> pd.Series:
    """The newest amount above 0 that was expected of each lead (major units), by lead_id."""
    told = stages.loc[(stages["expected_amount"] > 0).to_numpy()]
    told = told.sort_values(["entered_at", "known_at", "stage"], kind="stable").drop_duplicates("lead_id", keep="last")
    return pd.Series(told["expected_amount"].to_numpy(dtype=np.float64), index=told["lead_id"].to_numpy(dtype=object))


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
        self.given: Floats | None = None
        ids = pd.Index(leads["lead_id"])
        self.activity = _Last(ids, known.activities["lead_id"], known.activities["known_at"])
        self.outcome = _outcomes(known.activities)
        order = ["known_at", "entered_at", "stage"]
        self.stages = known.stages.sort_values(order, kind="stable").reset_index(drop=True)
        self.staged = _Last(ids, self.stages["lead_id"], self.stages["known_at"])

    def add(self, frame: pd.DataFrame, lead: Integers, at: Integers | np.int64) -> pd.DataFrame:
        """`frame` with the state columns of leads (rows of the lead frame) at moments `at`."""
        when = np.broadcast_to(np.asarray(at, dtype=np.int64), (len(frame),))
        silent_from = np.maximum(self.activity.time_before(lead, when), self.assigned[lead])
        out = frame.assign(silent_log_days=np.log1p(self.exposure.between(np.minimum(silent_from, when), when)))
        if self.outcome is not None:
            at_row = self.activity.row_before(lead, when)
            out = out.assign(last_outcome=np.where(at_row >= 0, self.outcome[np.maximum(at_row, 0)], ""))
        if self.week.done.sum() > 0:
            out = out.assign(
                overdue=self._overdue(lead, when),
                n_activities=self.activity.count_before(lead, when),
                follow_up_log_ratio=self._ratio(lead, when),
                lead_follow_up_log_ratio=self._own(lead, when),
            )
        if len(self.stages):
            at_row = self.staged.row_before(lead, when)
            row = np.maximum(at_row, 0)
            names = self.stages["stage"].to_numpy(dtype=object)
            entered = self.stages["entered_at"].to_numpy(dtype=np.int64)[row]
            since = np.where(at_row >= 0, np.maximum(entered, self.assigned[lead]), self.assigned[lead])
            waited = self.exposure.between(np.minimum(since, when), when)
            ahead = self.exposure.between(self.assigned[lead], np.minimum(since, when))
            earlier = self.staged.row_before(lead, when, 1)
            before = np.where(
                earlier >= 0, self.stages["entered_at"].to_numpy(dtype=np.int64)[np.maximum(earlier, 0)], since
            )
            before = np.clip(before, self.assigned[lead], np.maximum(since, self.assigned[lead]))
            out = out.assign(
                stage=np.where(at_row >= 0, names[row], "").astype(str),
                stage_log_days=np.log1p(waited),
                stage_before_log_days=np.log(self.exposure.between(self.assigned[lead], before) + 0.5),
                stage_ahead_log_days=np.log(ahead + 0.5),
            )
            if (self.stages["expected_close_on"].to_numpy(dtype=np.int64) != moments.NEVER).any():
                out = out.assign(close_log_days=self._until_close(at_row, row, when))
        return out.reset_index(drop=True)

    def _own(self, lead: Integers, when: Integers) -> Floats:
        """Log of follow-ups on the lead so far over what the desk's leads of its age get."""
        done = self.activity.count_before(lead, when)
        weeks = self.exposure.between(self.assigned[lead], when) / 5.0
        rate = self.week.done.sum() / max(self.week.held.sum(), 1.0)
        return np.log((done + 2.0) / (rate * weeks + 2.0))

    def _overdue(self, lead: Integers, when: Integers) -> Floats:
        """How many activities the lead would have had since its last one, at its own rhythm.

        Time runs in follow-ups that the rep gave his leads, so that absence, holidays and slow weeks make nothing
        overdue. A rhythm of few activities is drawn to the rep's.
        """
        done = self.activity.count_before(lead, when)
        last = np.maximum(self.activity.time_before(lead, when), self.assigned[lead])
        first = np.clip(self.activity.first_time(lead), self.assigned[lead], last)
        at_first, at_last, now = (self._given(lead, at) for at in (first, last, np.maximum(last, when)))
        rhythm = (np.maximum(done - 1.0, 0.0) + _RHYTHM_SHRUNK) / (at_last - at_first + _RHYTHM_SHRUNK)
        return rhythm * (now - at_last)

    def _given(self, lead: Integers, at: Integers) -> Floats:
        """Follow-ups that the rep of each lead gave a lead until a moment, counted from the first week on."""
        if self.given is None:
            self.given = _given_by_day(self.week, self.as_of, self.exposure)
        rep = np.maximum(self.week.reps.get_indexer(pd.Index(self.rep[lead])), 0)
        n_days = self.given.shape[1] - 1
        day = np.clip(n_days - (self.as_of - at) / moments.DAY, 0.0, n_days)
        low = np.minimum(day.astype(np.int64), n_days - 1)
        before = self.given[rep, low]
        return np.asarray(before + (self.given[rep, low + 1] - before) * (day - low), dtype=np.float64)

    def _until_close(self, at_row: Integers, row: Integers, when: Integers) -> Floats:
        """Log of effective days to the close expected at the stage, 0 where it is past, NaN where none was told."""
        close = self.stages["expected_close_on"].to_numpy(dtype=np.int64)[row]
        told = (at_row >= 0) & (close != moments.NEVER)
        days = self.exposure.between(when, np.where(told, np.maximum(close, when), when))
        return np.where(told, np.log1p(days), np.nan)

    def _ratio(self, lead: Integers, when: Integers) -> Floats:
        """Log of follow-ups a lead in four weeks over the rep's own habit before, drawn to 0."""
        n_weeks = self.week.done.shape[1]
        table = _log_ratios(self.week)
        column = n_weeks - (self.as_of - when + moments.WEEK - 1) // moments.WEEK
        row = self.week.reps.get_indexer(pd.Index(self.rep[lead]))
        fine = (row >= 0) & (column >= 0) & (column <= n_weeks)
        return np.where(fine, table[np.maximum(row, 0), np.clip(column, 0, n_weeks)], np.nan)


def _outcomes(activities: pd.DataFrame) -> npt.NDArray[np.object_] | None:
    """What came of each activity, as told; None where nobody tells."""
    texts = activities["outcome"].astype(str).to_numpy(dtype=object)
    return texts if len(texts) and bool((texts != "").any()) else None


class _Last:
    """Finds the last event of a lead strictly before a moment by binary search."""

    def __init__(self, leads: pd.Index, lead_ids: pd.Series, at: pd.Series) -> None:
        code = np.asarray(leads.get_indexer(pd.Index(lead_ids)), dtype=np.int64)
        time = at.to_numpy(dtype=np.int64)
        rows = np.flatnonzero((code >= 0) & (time != moments.NEVER))
        rows = rows[np.lexsort((time[rows], code[rows]))]
        self.rows, self.code, self.time = rows, code[rows], time[rows]
        self.start = np.searchsorted(self.code, np.arange(len(leads) + 1))

    def row_before(self, lead: Integers, when: Integers, back: int = 0) -> Integers:
        """Row of the event table, -1 where there is none; `back`: so many events before it."""
        place = self._place(lead, when)
        if back:
            place = np.where(place - back >= self.start[lead], place - back, -1)
        return np.where(place >= 0, self.rows[np.maximum(place, 0)] if len(self.rows) else -1, -1)

    def time_before(self, lead: Integers, when: Integers) -> Integers:
        """Moment of the event, ALWAYS where there is none."""
        place = self._place(lead, when)
        return np.where(place >= 0, self.time[np.maximum(place, 0)] if len(self.rows) else 0, moments.ALWAYS)

    def count_before(self, lead: Integers, when: Integers) -> Floats:
        """How many events of the lead lie before each moment."""
        place = self._place(lead, when)
        return np.where(place >= 0, place - self.start[lead] + 1, 0).astype(np.float64)

    def first_time(self, lead: Integers) -> Integers:
        """Moment of the lead's first event, NEVER where there is none."""
        if not len(self.time):
            return np.full(len(lead), moments.NEVER, dtype=np.int64)
        at = self.start[lead]
        return np.where(at < self.start[lead + 1], self.time[np.minimum(at, len(self.time) - 1)], moments.NEVER)

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


def _given_by_day(week: _Week, as_of: int, exposure: Exposure) -> Floats:
    """Running follow-ups a lead by rep and day (n_reps, n_days + 1); a week's, drawn to the desk's, over its work."""
    n_days = 7 * week.done.shape[1]
    starts = as_of - moments.DAY * np.arange(n_days, 0, -1)
    work = exposure.between(starts, starts + moments.DAY).reshape(-1, 7)
    in_week = np.maximum(work.sum(axis=1), 0.5)
    desk = week.done.sum(axis=0) / np.maximum(week.held.sum(axis=0), 1.0)
    rate = (week.done + _RATE_SHRUNK * desk) / (week.held + _RATE_SHRUNK)
    by_day = (rate / in_week)[:, :, None] * work[None]
    return np.hstack([np.zeros((len(week.reps), 1)), np.cumsum(by_day.reshape(len(week.reps), -1), axis=1)])


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
