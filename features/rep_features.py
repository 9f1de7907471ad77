"""Features of reps at any moment, one function a kind; `features.definitions.REP` says what each means.

Counts are 0 where nothing happened; rates, means and ratios are NaN where there is nothing to divide by.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from features.codes import codes_of
from features.desk import RATE_DAYS, Desk, after, smoothed
from features.event_log import FIXED_POINT, EventLog
from features.moments import DAY, SECOND
from features.outcomes import CENTS
from features.rep_logs import CONTACT_DAYS, MILLIONTHS, RepLogs, combine, lead_seconds
from features.spec import FeatureSpec

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Columns = dict[str, Floats]

YEAR_DAYS: Final = 365.25


def ratio(top: npt.NDArray[np.number], bottom: npt.NDArray[np.number]) -> Floats:
    """`top` / `bottom` in float64, NaN where `bottom` is 0 or missing."""
    top, bottom = np.asarray(top, dtype=np.float64), np.asarray(bottom, dtype=np.float64)
    divided = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=divided, where=(bottom != 0) & ~np.isnan(bottom))
    return divided


def rep_columns(logs: RepLogs, desk: Desk, spec: FeatureSpec, reps: Ints, moments: Ints, clock: Ints) -> Columns:
    """Every rep feature by name, float64 (n,) each, of rep codes at moments; `clock` rules tenure and absence."""
    return {
        **tenure(logs, reps, moments, clock),
        **activity(logs, reps, moments),
        **contact(logs, reps, moments),
        **feedback(logs, reps, moments),
        **load(logs, reps, moments),
        **absence(logs, reps, moments, clock),
        **lead_mix(logs, desk, spec, reps, moments),
        **conversion(logs, desk, reps, moments),
        **contribution(logs, reps, moments),
        **training(logs, spec, reps, moments),
    }


def tenure(logs: RepLogs, reps: Ints, moments: Ints, clock: Ints) -> Columns:
    """Years since hire; NaN for a rep who is not known or not yet hired."""
    hired = logs.statics.hired_on[reps]
    known = (logs.statics.known_at[reps] < moments) & (hired <= clock)
    years = np.full(len(reps), np.nan)
    years[known] = (clock[known] - hired[known]) / (YEAR_DAYS * DAY)
    return {"rep_tenure_years": years}


def activity(logs: RepLogs, reps: Ints, moments: Ints) -> Columns:
    """Follow-up frequency: a week, for each open lead (at least one, lest an hour's lead blow it up), and its trend."""
    log = logs.activities.follow_ups
    found: Columns = {}
    until_now = lead_seconds(logs.leads.open, reps, moments)
    for days in (7, 28, 90):
        start = after(moments, -days)
        count = log.between(reps, start, moments).count()
        found[f"rep_follow_ups_per_week_{days}d"] = np.asarray(count * (7 / days), dtype=np.float64)
        held = (until_now - lead_seconds(logs.leads.open, reps, start)) / (days * DAY // SECOND)
        found[f"rep_follow_ups_per_open_lead_{days}d"] = ratio(count, np.where(held > 0, np.maximum(held, 1.0), 0.0))
    lately = log.between(reps, after(moments, -28), moments).count() / 28
    earlier = log.between(reps, after(moments, -118), after(moments, -28)).count() / 90
    found["rep_follow_ups_ratio_28d_to_90d"] = ratio(lately, earlier)
    found["rep_days_since_follow_up"] = log.days_since(reps, moments)
    window = log.between(reps, after(moments, -90), moments)
    found["rep_minutes_per_follow_up_90d"] = ratio(window.total("minutes"), window.total("timed") * FIXED_POINT)
    return found


def contact(logs: RepLogs, reps: Ints, moments: Ints) -> Columns:
    """How soon he contacts the leads handed to him."""
    window = logs.activities.contacts.before(reps, moments)
    due = logs.activities.due.between(reps, after(moments, -CONTACT_DAYS), moments).count()
    return {
        "rep_contact_hours_mean_90d": ratio(window.total("hours"), window.total("contacts") * FIXED_POINT),
        "rep_contact_within_24h_rate_90d": ratio(logs.activities.in_time.held("contacts", reps, moments), due),
    }


def feedback(logs: RepLogs, reps: Ints, moments: Ints) -> Columns:
    """Client feedback of the last 180 days."""
    window = logs.feedback.between(reps, after(moments, -180), moments)
    return {
        "rep_feedback_score_mean_180d": ratio(window.total("score"), window.count() * FIXED_POINT),
        "rep_complaints_180d": window.total("complaints").astype(np.float64),
    }


def load(logs: RepLogs, reps: Ints, moments: Ints) -> Columns:
    """New and open leads, by age of the hand-over and against capacity."""
    found: Columns = {}
    for days in (7, 28, 90):
        count = logs.leads.new.between(reps, after(moments, -days), moments).count()
        found[f"rep_new_leads_{days}d"] = count.astype(np.float64)
    total = logs.leads.open.held("leads", reps, moments)
    young = logs.leads.open_30d.held("leads", reps, moments)
    middle = logs.leads.open_90d.held("leads", reps, moments)
    statics = logs.statics
    capacity = np.where(statics.known_at[reps] < moments, statics.capacity[reps], np.nan)
    found["rep_open_leads"] = total.astype(np.float64)
    found["rep_open_leads_age_0_30d"] = young.astype(np.float64)
    found["rep_open_leads_age_30_90d"] = (middle - young).astype(np.float64)
    found["rep_open_leads_age_over_90d"] = (total - middle).astype(np.float64)
    found["rep_load_share_28d"] = ratio(found["rep_new_leads_28d"] / 4, capacity)
    found["rep_open_leads_per_capacity"] = ratio(total, capacity)
    return found


def absence(logs: RepLogs, reps: Ints, moments: Ints, clock: Ints) -> Columns:
    """Days of absence around the clock, of plans known before the moment."""
    days = logs.absences.days
    return {
        "rep_absent_days_28d": days(reps, after(clock, -28), clock, moments),
        "rep_absent_days_next_28d": days(reps, clock, after(clock, 28), moments),
    }


def lead_mix(logs: RepLogs, desk: Desk, spec: FeatureSpec, reps: Ints, moments: Ints) -> Columns:
    """Quality and sources of what he got and of what he has open."""
    start = after(moments, -90)
    window = logs.leads.new.between(reps, start, moments)
    n_new, n_open = window.count(), logs.leads.open.held("leads", reps, moments)
    found = {"rep_lead_quality_mean_90d": ratio(window.total("quality"), n_new * MILLIONTHS)}
    sources = desk.leads.sources
    codes = codes_of(sources, np.array([value for value, _ in spec.sources], dtype=object))
    for (_, part), code in zip(spec.sources, codes, strict=True):
        keys = combine(reps, np.full(len(reps), code), len(sources))
        count = logs.leads.new_by_source.between(keys, start, moments).count()
        found[f"rep_lead_share_90d_source_{part}"] = ratio(count, n_new)
        held = logs.leads.open_by_source.held("leads", keys, moments)
        found[f"rep_open_share_source_{part}"] = ratio(held, n_open)
    return found


def conversion(logs: RepLogs, desk: Desk, reps: Ints, moments: Ints) -> Columns:
    """Own conversion, shrunk to what the desk's was at the moment; resolved leads only."""
    found: Columns = {}
    prior = desk.rate(moments)
    for days in RATE_DAYS:
        window = logs.outcomes.by_rep[days].before(reps, moments)
        resolved = window.total("resolved")
        found[f"rep_won_rate_{days}d"] = smoothed(window.total("won"), resolved, prior)
        found[f"rep_resolved_leads_{days}d"] = resolved.astype(np.float64)
    return found


def contribution(logs: RepLogs, reps: Ints, moments: Ints) -> Columns:
    """Money and deals won lately, and their trend."""
    found: Columns = {}
    money: dict[int, Ints] = {}
    for days in (30, 90, 180, 365):
        window = logs.deals.between(reps, after(moments, -days), moments)
        money[days] = window.total("cents")
        found[f"rep_contribution_{days}d"] = money[days] / CENTS
        if days in (90, 365):
            found[f"rep_wins_{days}d"] = window.count().astype(np.float64)
    found["rep_deal_size_mean_365d"] = ratio(found["rep_contribution_365d"], found["rep_wins_365d"])
    found["rep_contribution_ratio_90d_to_275d"] = ratio(money[90] * 275, (money[365] - money[90]) * 90)
    return found


def training(logs: RepLogs, spec: FeatureSpec, reps: Ints, moments: Ints) -> Columns:
    """Completed training: hours, scores, how lately, in which skills; and what is still to do."""
    log = logs.trainings.completed
    ever = log.before(reps, moments)
    found = {
        "rep_training_hours_total": ever.total("hours") / FIXED_POINT,
        "rep_training_score_mean": ratio(ever.total("score"), ever.total("scored") * FIXED_POINT),
        "rep_trainings_completed": ever.count().astype(np.float64),
        "rep_trainings_unfinished": logs.trainings.unfinished.held("courses", reps, moments).astype(np.float64),
        "rep_days_since_training": log.days_since(reps, moments),
    }
    for days in (90, 180):
        hours = log.between(reps, after(moments, -days), moments).total("hours")
        found[f"rep_training_hours_{days}d"] = hours / FIXED_POINT
    for code, (_, part) in enumerate(spec.skills):
        found[f"rep_trainings_completed_skill_{part}"] = _of_skill(logs.trainings.by_skill, spec, reps, moments, code)
    return found


def _of_skill(log: EventLog, spec: FeatureSpec, reps: Ints, moments: Ints, code: int) -> Floats:
    keys = combine(reps, np.full(len(reps), code), len(spec.skills))
    return log.before(keys, moments).count().astype(np.float64)
