"""Signals of behaviour by rep from the tables, as `as_of` knows them: the last four weeks against the rep's own past.

Follow-ups are counted on leads in their first eight weeks, per lead and effective working week: a growing heap of old
leads, a festival or an absence so is no drop.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.panel import is_sales
from features.tables import Tables
from models.forecasting.draws import Draws
from models.forecasting.exposure import Exposure
from models.warning_evidence import Conversions, Counts
from models.warning_rules import IdleLead, OpenCourse, Outlook, Reason, Signals

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_WEEK_DAYS = 5.0  # effective working days of a week
_YOUNG = 56 * moments.DAY
_FEWEST_LEAD_WEEKS = 4.0
_FEWEST_SILENCES = 20


def outlooks_of(
    draws: Draws,
    targets: pd.DataFrame,
    miss_ratio: float = 0.8,
    reasons: dict[tuple[str, int], tuple[Reason, ...]] | None = None,
) -> list[Outlook]:
    """Forecast summaries by rep and month for the rules; months in which the rep has left are left out.

    `targets`: `rep_id, month (index), amount (major units)`. `shortfall` = mean of what draws fall short of
    miss_ratio x target. `reasons` by (rep_id, month), such as from the chain's own drivers.
    """
    goal = {
        (str(rep), int(month)): float(amount)
        for rep, month, amount in zip(targets["rep_id"], targets["month"], targets["amount"], strict=True)
    }
    found = []
    for r, rep in enumerate(draws.rep_ids):
        for h, month in enumerate(map(int, draws.months)):
            if not draws.present[r, h]:
                continue
            target, x = goal.get((rep, month)), draws.samples[:, r, h]
            line = 0.0 if target is None else miss_ratio * target
            found.append(
                Outlook(
                    rep, draws.team_ids[r], month, float(x.mean()), target,
                    None if target is None else float((x < line).mean()), float(np.maximum(line - x, 0.0).mean()),
                    (reasons or {}).get((rep, month), ()),
                )
            )  # fmt: skip
    return found


@dataclass(frozen=True)
class Windows:
    """Calendar days that count as now and as before, for quick signals and for conversion, which needs more cases.

    Follow-ups are looked at over `recent_days` too, against all that lies before in the same span: a slump shows there
    first.
    """

    now_days: int = 28
    before_days: int = 91
    recent_days: int = 14
    closed_now_days: int = 91
    closed_before_days: int = 182


def gather_signals(
    tables: Tables,
    outcomes: pd.DataFrame,
    as_of: int,
    exposure: Exposure,
    p_win: Floats,
    expected_amount: Floats,
    contact_hours: float = 24.0,
    windows: Windows | None = None,
) -> list[Signals]:
    """Signals of every sales rep who is here at as_of, sorted by rep_id.

    Parameters
    ----------
    outcomes
        `features.outcomes.lead_outcomes(tables, as_of, ...)`.
    p_win, expected_amount
        By row of outcomes: chance of ever being won as judged at hand-over, and amount if won (major units).
    """
    known, windows = tables.known(as_of), windows or Windows()
    reps = known.reps.loc[is_sales(known.reps) & (known.reps["left_on"].to_numpy() > as_of)].sort_values("rep_id")
    leads = outcomes.assign(p_win=p_win, value=np.asarray(p_win) * np.asarray(expected_amount))
    end = np.minimum(leads["resolved_at"].to_numpy(dtype=np.int64), as_of)
    leads["ended"] = np.maximum(end, leads["assigned_at"].to_numpy(dtype=np.int64))
    cuts = [as_of - days * moments.DAY for days in (windows.now_days + windows.before_days, windows.now_days)] + [as_of]
    index = pd.Index(reps["rep_id"].astype(str))
    absent = _absent_days(known, index, exposure, cuts)
    follow_ups = _follow_ups(known, leads, index, exposure, cuts, absent)
    late = [cuts[0], as_of - windows.recent_days * moments.DAY, as_of]
    recent = _follow_ups(known, leads, index, exposure, late, _absent_days(known, index, exposure, late))
    responses = _responses(leads, index, cuts, as_of, contact_hours)
    closed = _conversions(leads, as_of, windows)
    workload = _workload(leads, index, as_of)
    idle, courses = _idle_leads(known, leads, as_of), _courses(known, as_of)
    return [
        Signals(
            rep, str(team), follow_ups[r], responses[r], closed.get(rep), workload[r], idle.get(rep, ()),
            courses.get(rep, ()), float(absent[1][r]), recent[r],
        )
        for r, (rep, team) in enumerate(zip(index, reps["team_id"], strict=True))
    ]  # fmt: skip


def _absent_days(known: Tables, reps: pd.Index, exposure: Exposure, cuts: list[int]) -> tuple[Floats, Floats]:
    """Effective working days absent before and now, each (n_reps,)."""
    rows = known.absences
    rep = np.asarray(reps.get_indexer(pd.Index(rows["rep_id"])), dtype=np.int64)
    out = []
    for low, high in pairwise(cuts):
        start = np.clip(rows["starts_on"].to_numpy(dtype=np.int64), low, high)
        stop = np.clip(rows["ends_on"].to_numpy(dtype=np.int64) + moments.DAY, low, high)
        days = exposure.between(start, np.maximum(start, stop))
        away = np.bincount(rep[rep >= 0], weights=days[rep >= 0], minlength=len(reps))
        out.append(np.asarray(away, dtype=np.float64))
    return out[0], out[1]


def _follow_ups(
    known: Tables, leads: pd.DataFrame, reps: pd.Index, exposure: Exposure, cuts: list[int],
    absent: tuple[Floats, Floats],
) -> list[Counts | None]:  # fmt: skip
    """Activities and lead-weeks of young leads before and now; None where too few leads were in hand."""
    start = leads["assigned_at"].to_numpy(dtype=np.int64)
    stop = np.minimum(leads["ended"].to_numpy(dtype=np.int64), start + _YOUNG)
    owner = np.asarray(reps.get_indexer(pd.Index(leads["rep_id"])), dtype=np.int64)
    place = pd.Index(leads["lead_id"]).get_indexer(pd.Index(known.activities["lead_id"]))
    at = known.activities["occurred_at"].to_numpy(dtype=np.int64)
    on_young = (place >= 0) & (at >= start[place]) & (at <= stop[place])
    doer = np.asarray(reps.get_indexer(pd.Index(known.activities["rep_id"])), dtype=np.int64)
    sums: list[tuple[Floats, Floats]] = []
    for k, (low, high) in enumerate(pairwise(cuts)):
        inside = on_young & (doer >= 0) & (at >= low) & (at < high)
        n = np.bincount(doer[inside], minlength=len(reps)).astype(np.float64)
        begin = np.clip(start, low, high)
        days = exposure.between(begin, np.maximum(begin, np.clip(stop, low, high)))
        held = np.bincount(owner[owner >= 0], weights=days[owner >= 0], minlength=len(reps)) / _WEEK_DAYS
        whole = float(exposure.between(np.array([low]), np.array([high]))[0])
        here = np.clip(1.0 - absent[k] / max(whole, 1e-9), 0.0, 1.0)
        sums.append((n, held * here))
    (before, before_weeks), (now, now_weeks) = sums
    enough = (now_weeks >= _FEWEST_LEAD_WEEKS) & (before_weeks >= _FEWEST_LEAD_WEEKS)
    return [
        Counts(float(now[r]), float(now_weeks[r]), float(before[r]), float(before_weeks[r])) if enough[r] else None
        for r in range(len(reps))
    ]


def _responses(
    leads: pd.DataFrame, reps: pd.Index, cuts: list[int], as_of: int, contact_hours: float
) -> list[Counts | None]:
    """First contacts in time over leads whose time is up, before and now."""
    limit = round(contact_hours * moments.HOUR)
    given = leads["assigned_at"].to_numpy(dtype=np.int64)
    due = ~leads["own_prospect"].to_numpy(dtype=bool) & (given + limit <= as_of)
    contact = leads["first_contact_at"].to_numpy(dtype=np.int64)
    in_time = contact <= given + limit
    owner = np.asarray(reps.get_indexer(pd.Index(leads["rep_id"])), dtype=np.int64)
    hits, n = [], []
    for low, high in pairwise(cuts):
        mine = due & (owner >= 0) & (given >= low) & (given < high)
        n.append(np.bincount(owner[mine], minlength=len(reps)))
        hits.append(np.bincount(owner[mine & in_time], minlength=len(reps)))
    return [
        Counts(float(hits[1][r]), float(n[1][r]), float(hits[0][r]), float(n[0][r])) if n[1][r] and n[0][r] else None
        for r in range(len(reps))
    ]


def _conversions(leads: pd.DataFrame, as_of: int, windows: Windows) -> dict[str, Conversions]:
    """Leads resolved now and before, by rep."""
    resolved = leads["resolved_at"].to_numpy(dtype=np.int64)
    edge = as_of - windows.closed_now_days * moments.DAY
    oldest = edge - windows.closed_before_days * moments.DAY
    done = leads.loc[(resolved < as_of) & (resolved >= oldest)]
    found = {}
    for rep, mine in done.groupby("rep_id", sort=True):
        late = mine["resolved_at"].to_numpy(dtype=np.int64) >= edge
        won, p = (mine["outcome"] == "won").to_numpy(), mine["p_win"].to_numpy(dtype=np.float64)
        found[str(rep)] = Conversions(
            int(won[late].sum()), tuple(map(float, p[late])), int(won[~late].sum()), tuple(map(float, p[~late]))
        )
    return found


def _workload(leads: pd.DataFrame, reps: pd.Index, as_of: int) -> list[Counts | None]:
    """Open young leads now, and at three points a month apart before."""
    owner = np.asarray(reps.get_indexer(pd.Index(leads["rep_id"])), dtype=np.int64)
    start = leads["assigned_at"].to_numpy(dtype=np.int64)
    stop = np.minimum(leads["resolved_at"].to_numpy(dtype=np.int64), start + _YOUNG)
    held = []
    for back in (0, 1, 2, 3):
        at = as_of - back * 30 * moments.DAY
        inside = (owner >= 0) & (start < at) & (stop >= at)
        held.append(np.bincount(owner[inside], minlength=len(reps)).astype(np.float64))
    usual = held[1] + held[2] + held[3]
    return [Counts(float(held[0][r]), 1.0, float(usual[r]), 3.0) if usual[r] > 0 else None for r in range(len(reps))]


def _idle_leads(known: Tables, leads: pd.DataFrame, as_of: int) -> dict[str, tuple[IdleLead, ...]]:
    """The quarter of open leads that is worth most, with days of silence and the desk's usual gap."""
    is_open = leads.loc[(leads["outcome"] == "open").to_numpy()]
    if not len(is_open):
        return {}
    usual = _usual_gap(known, as_of)
    last = is_open["last_activity_at"].to_numpy(dtype=np.int64)
    since = np.where(last == moments.NEVER, is_open["assigned_at"], np.maximum(last, is_open["assigned_at"]))
    silent = (as_of - since) / moments.DAY
    rows = is_open.assign(silent=silent)
    rich = rows.loc[rows["value"] >= np.quantile(rows["value"], 0.75)].sort_values("lead_id")
    back = comeback_shares(*_silences(known, leads, as_of), rich["silent"].to_numpy(dtype=np.float64))
    found: dict[str, list[IdleLead]] = {}
    for lead_id, rep, value, days, share in zip(
        rich["lead_id"], rich["rep_id"], rich["value"], rich["silent"], back, strict=True
    ):
        told = float(share) if np.isfinite(share) else None
        found.setdefault(str(rep), []).append(IdleLead(str(lead_id), float(value), float(days), usual, told))
    return {rep: tuple(items) for rep, items in found.items()}


def comeback_shares(days: Floats, ended: npt.NDArray[np.bool_], asked: Floats) -> Floats:
    """Share of silences of at least `asked` (k,) days that an activity or a win ended; NaN where fewer than 20 tell.

    `days` (n,): how long each silence lasted; `ended` (n,): whether an activity or a win ended it, not a loss or time.
    """
    order = np.argsort(days, kind="stable")
    came = np.append(np.cumsum(ended[order][::-1])[::-1], 0)
    at = np.searchsorted(days[order], asked, side="left")
    left = len(days) - at
    return np.where(left >= _FEWEST_SILENCES, came[at] / np.maximum(left, 1), np.nan)


def _silences(known: Tables, leads: pd.DataFrame, as_of: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Days of each silence that is over, and whether an activity or a win ended it; of the year before as_of.

    A silence begins with the hand-over or an activity. One that still lasts tells nothing yet.
    """
    index = pd.Index(leads["lead_id"])
    begin = leads["assigned_at"].to_numpy(dtype=np.int64)
    acts = known.activities
    code = np.asarray(index.get_indexer(pd.Index(acts["lead_id"])), dtype=np.int64)
    at = acts["occurred_at"].to_numpy(dtype=np.int64)
    mine = (code >= 0) & (at >= begin[np.maximum(code, 0)]) & (at < as_of)
    over = (leads["outcome"] != "open").to_numpy()
    end = leads["resolved_at"].to_numpy(dtype=np.int64)[over]
    lead = np.concatenate([np.arange(len(leads)), code[mine], np.flatnonzero(over)])
    time = np.concatenate([begin, at[mine], end])
    good = np.concatenate([
        np.zeros(len(leads), dtype=bool), np.ones(int(mine.sum()), dtype=bool),
        (leads["outcome"] == "won").to_numpy()[over],
    ])  # fmt: skip
    order = np.lexsort((np.arange(len(time)), time, lead))
    lead, time, good = lead[order], time[order], good[order]
    follows = (lead[1:] == lead[:-1]) & (time[1:] >= as_of - 365 * moments.DAY)
    return (np.diff(time) / moments.DAY)[follows], good[1:][follows]


def _usual_gap(known: Tables, as_of: int) -> float:
    """Days between two activities on a lead that four in five gaps of the last half year stay under; 7 where none."""
    acts = known.activities[["lead_id", "occurred_at"]].sort_values(["lead_id", "occurred_at"], kind="stable")
    at = acts["occurred_at"].to_numpy(dtype=np.int64)
    same = (acts["lead_id"].to_numpy()[1:] == acts["lead_id"].to_numpy()[:-1]) & (at[1:] >= as_of - 180 * moments.DAY)
    gaps = np.diff(at)[same] / moments.DAY
    return float(np.quantile(gaps, 0.8)) if len(gaps) else 7.0


def _courses(known: Tables, as_of: int) -> dict[str, tuple[OpenCourse, ...]]:
    """Courses assigned and not completed, with the days that the course usually takes."""
    rows = known.trainings
    assigned = rows["assigned_on"].to_numpy(dtype=np.int64)
    done = rows["completed_on"].to_numpy(dtype=np.int64)
    finished = done != moments.NEVER
    took = pd.Series((done[finished] - assigned[finished]) / moments.DAY, dtype="float64")
    by_course = took.groupby(rows["course"].to_numpy()[finished]).median() if len(took) else pd.Series(dtype="float64")
    usual = float(took.median()) if len(took) else 30.0
    found: dict[str, list[OpenCourse]] = {}
    waiting = rows.loc[~finished & (assigned < as_of)].sort_values(["rep_id", "course"])
    for rep, course, skill, on in zip(
        waiting["rep_id"], waiting["course"], waiting["skill"], waiting["assigned_on"], strict=True
    ):
        days = (as_of - int(on)) / moments.DAY
        known_days = float(by_course.get(course, usual))
        found.setdefault(str(rep), []).append(OpenCourse(str(course), str(skill), days, known_days))
    return {rep: tuple(items) for rep, items in found.items()}
