"""What reps did and had, as event logs keyed by rep, or by rep and source, industry, territory, account or skill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments, ownership
from features.codes import codes_of
from features.desk import LONG_DAYS, RATE_DAYS, Desk, after, outcome_log
from features.event_log import EventLog, fixed_point
from features.moments import DAY, NEVER, SECOND
from features.ownership import Contacts, HandOvers, LeadSpans
from features.spec import REP_CATEGORICAL, FeatureSpec, rep_texts
from features.tables import Tables

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MILLIONTHS: Final = 1_000_000


def combine(left: Ints, right: Ints, n_right: int) -> Ints:
    """One key for two codes; -1 where either is missing."""
    return np.where((left >= 0) & (right >= 0), left * max(n_right, 1) + right, -1).astype(np.int64)


def split_list(text: str) -> list[str]:
    """The values of a `;`-separated cell, without blanks around them."""
    return [part.strip() for part in text.split(";") if part.strip()]


@dataclass(frozen=True)
class Listed:
    """What each rep lists in a `;`-separated cell: sorted keys (rep, value), and who lists anything at all."""

    vocabulary: pd.Index
    pairs: Ints
    lists: npt.NDArray[np.bool_]

    def match(self, reps: Ints, values: pd.Series) -> Floats:
        """1 where the rep lists the value, 0 where he lists others; NaN where he lists none or the value is ""."""
        code = codes_of(self.vocabulary, values)
        listed = np.isin(combine(reps, code, len(self.vocabulary)), self.pairs)
        return np.where(self.lists[reps] & (values != "").to_numpy(), listed, np.nan)


def listed(reps: Ints, cells: pd.Series, n_reps: int) -> Listed:
    """The lists of rep codes `reps`, one cell each."""
    parts = [split_list(str(cell)) for cell in cells]
    vocabulary = pd.Index(sorted({value for part in parts for value in part}), dtype=object)
    owner = np.repeat(reps, [len(part) for part in parts])
    code = codes_of(vocabulary, np.array([value for part in parts for value in part], dtype=object))
    lists = np.zeros(n_reps + 1, dtype=bool)
    lists[owner] = True
    return Listed(vocabulary, np.unique(combine(owner, code, len(vocabulary))), lists)


@dataclass(frozen=True)
class LeadLogs:
    """Leads that came to reps and that they hold open. `open` counts leads and start seconds, for mean load."""

    new: EventLog
    new_by_source: EventLog
    new_by_account: EventLog
    open: EventLog
    open_30d: EventLog
    open_90d: EventLog
    open_by_source: EventLog


def lead_logs(desk: Desk, spans: LeadSpans) -> LeadLogs:
    """Logs of the spans that are open and of the moments when ownership began."""
    index = desk.leads
    opened = spans.where(spans.state == ownership.OPEN)
    one = {"leads": np.ones(len(opened.lead), dtype=np.int64)}
    by_source = combine(opened.rep, index.source[opened.lead], len(index.sources))
    started = spans.where(spans.new_owner == 1)
    quality = np.rint(desk.lead_quality(started.lead, started.since) * MILLIONTHS).astype(np.int64)
    new_source = combine(started.rep, index.source[started.lead], len(index.sources))
    new_account = combine(started.rep, index.account[started.lead], len(index.accounts))
    return LeadLogs(
        new=EventLog.build(started.rep, started.since, {"quality": quality}),
        new_by_source=EventLog.build(new_source, started.since),
        new_by_account=EventLog.build(new_account, started.since),
        open=_open_log(opened),
        open_30d=EventLog.of_spans(
            opened.rep, opened.since, np.minimum(opened.until, after(opened.assigned_at, 30)), one
        ),
        open_90d=EventLog.of_spans(
            opened.rep, opened.since, np.minimum(opened.until, after(opened.assigned_at, 90)), one
        ),
        open_by_source=EventLog.of_spans(by_source, opened.since, opened.until, one),
    )


def _open_log(opened: LeadSpans) -> EventLog:
    """Open leads with the seconds at which they began and ended, so that lead-time is a difference of sums."""
    times = np.concatenate((opened.since, opened.until))
    sign = np.repeat(np.array([1, -1], dtype=np.int64), len(opened.since))
    return EventLog.build(
        np.concatenate((opened.rep, opened.rep)), times, {"leads": sign, "seconds": sign * (times // SECOND)}
    )


def lead_seconds(log: EventLog, reps: Ints, moments_: Ints) -> Ints:
    """Seconds that a rep's leads have been open before each moment, summed over his leads; int64 (n,)."""
    window = log.before(reps, moments_)
    return np.asarray(window.total("leads") * (moments_ // SECOND) - window.total("seconds"), dtype=np.int64)


@dataclass(frozen=True)
class OutcomeLogs:
    """Resolved and won leads by rep for each window of RATE_DAYS, and by rep and kind of lead over LONG_DAYS."""

    by_rep: dict[int, EventLog]
    by_source: EventLog
    by_industry: EventLog
    by_territory: EventLog


def outcome_logs(desk: Desk, spans: LeadSpans) -> OutcomeLogs:
    """Logs of the spans that are won, lost or dead."""
    resolved = spans.where(spans.state != ownership.OPEN)
    index = desk.leads
    source = combine(resolved.rep, index.source[resolved.lead], len(index.sources))
    industry = combine(resolved.rep, index.industry[resolved.lead], len(index.industries))
    territory = combine(resolved.rep, index.territory[resolved.lead], len(index.territories))
    return OutcomeLogs(
        {days: outcome_log(resolved.rep, resolved, days) for days in RATE_DAYS},
        outcome_log(source, resolved, LONG_DAYS),
        outcome_log(industry, resolved, LONG_DAYS),
        outcome_log(territory, resolved, LONG_DAYS),
    )


@dataclass(frozen=True)
class ActivityLogs:
    """Follow-ups (with minutes), first contacts (hours), and hand-overs by whether contacted within 24 hours."""

    follow_ups: EventLog
    contacts: EventLog
    due: EventLog
    in_time: EventLog


CONTACT_DAYS: Final = 90


def contact_logs(contacts: Contacts) -> tuple[EventLog, EventLog]:
    """First contacts with their hours, and hand-overs contacted within 24 hours, by rep."""
    one = np.ones(len(contacts.rep), dtype=np.int64)
    soon = contacts.hours <= 24_000
    until = np.minimum(contacts.until, after(contacts.since, CONTACT_DAYS))
    every = EventLog.of_spans(contacts.rep, contacts.since, until, {"contacts": one, "hours": contacts.hours})
    in_time = EventLog.of_spans(
        contacts.rep[soon],
        np.maximum(contacts.since, contacts.due)[soon],
        np.minimum(contacts.until, after(contacts.due, CONTACT_DAYS))[soon],
        {"contacts": one[soon]},
    )
    return every, in_time


def due_log(overs: HandOvers) -> EventLog:
    """When each hand-over's first 24 hours are over, by rep."""
    known = (overs.lead >= 0) & (overs.known != NEVER)
    return EventLog.build(overs.rep, np.where(known, np.maximum(overs.known, after(overs.assigned, 1)), NEVER))


def deal_log(tables: Tables, reps: pd.Index) -> EventLog:
    """Won deals of each rep with their cents, from when they are known."""
    deals = tables.deals.loc[(tables.deals["status"] == "won").to_numpy()]
    cents = deals["amount"].to_numpy(dtype=np.int64)
    return EventLog.build(codes_of(reps, deals["rep_id"]), deals["known_at"].to_numpy(dtype=np.int64), {"cents": cents})


@dataclass(frozen=True)
class TrainingLogs:
    """Completed courses (hours, scores), courses assigned and not completed, and completed ones by skill."""

    completed: EventLog
    unfinished: EventLog
    by_skill: EventLog


def training_logs(tables: Tables, reps: pd.Index, spec: FeatureSpec) -> TrainingLogs:
    """Logs of trainings. A course counts as completed from the later of `completed_on` and when the row is known."""
    rows = tables.trainings
    rep, known = codes_of(reps, rows["rep_id"]), rows["known_at"].to_numpy(dtype=np.int64)
    completed_on = rows["completed_on"].to_numpy(dtype=np.int64)
    done = np.where(known == NEVER, NEVER, np.maximum(completed_on, known))
    score = rows["score"].to_numpy(dtype=np.float64)
    values = {
        "hours": fixed_point(rows["hours"].to_numpy(dtype=np.float64)),
        "score": fixed_point(score),
        "scored": np.isfinite(score).astype(np.int64),
    }
    taught = rows["skill"].where((rows["skill"] != "").to_numpy(), rows["course"])
    skill = codes_of(pd.Index([value for value, _ in spec.skills], dtype=object), taught)
    one = {"courses": np.ones(len(rows), dtype=np.int64)}
    return TrainingLogs(
        completed=EventLog.build(rep, done, values),
        unfinished=EventLog.of_spans(rep, known, done, one),
        by_skill=EventLog.build(combine(rep, skill, len(spec.skills)), done),
    )


def feedback_log(tables: Tables, reps: pd.Index) -> EventLog:
    """Client feedback of each rep: score in thousandths and complaints."""
    rows = tables.feedback
    score = rows["score"].to_numpy(dtype=np.float64)
    complaint = (rows["complaint"].to_numpy(dtype=np.float64) == 1).astype(np.int64)
    known = rows["known_at"].to_numpy(dtype=np.int64)
    return EventLog.build(codes_of(reps, rows["rep_id"]), known, {"score": fixed_point(score), "complaints": complaint})


@dataclass(frozen=True)
class Absences:
    """Planned and past absences by rep: each (starts, ends) in microseconds, known from `known`; sorted by rep."""

    rep: Ints
    starts: Ints
    ends: Ints
    known: Ints

    def days(self, reps: Ints, start: Ints, end: Ints, moments_: Ints) -> Floats:
        """Days of absence between `start` and `end` as known before `moments_`, float64 (n,)."""
        low = np.searchsorted(self.rep, reps, "left")
        length = np.searchsorted(self.rep, reps, "right") - low
        query = np.repeat(np.arange(len(reps)), length)
        within = np.arange(len(query)) - np.repeat(np.cumsum(length) - length, length)
        row = low[query] + within
        overlap = np.minimum(self.ends[row], end[query]) - np.maximum(self.starts[row], start[query])
        overlap = np.where(self.known[row] < moments_[query], np.maximum(overlap, 0), 0)
        summed = np.zeros(len(reps), dtype=np.int64)
        np.add.at(summed, query, overlap)
        return np.minimum(summed, end - start) / DAY


def absences_of(tables: Tables, reps: pd.Index) -> Absences:
    """The absences table; both days of an absence belong to it."""
    rows = tables.absences
    rep = codes_of(reps, rows["rep_id"])
    ends = rows["ends_on"].to_numpy(dtype=np.int64)
    next_day = np.array([_day_after(int(end), tables.zone) for end in ends], dtype=np.int64)
    columns = (rep, rows["starts_on"].to_numpy(dtype=np.int64), next_day, rows["known_at"].to_numpy(dtype=np.int64))
    order = np.lexsort((columns[2], columns[1], rep))
    return Absences(*(column[order] for column in columns))


def _day_after(moment: int, zone: str) -> int:
    """00:00 of the day after; found from noon, as days of a change of clocks have 23 or 25 hours."""
    if moment == NEVER:
        return NEVER
    return moments.start_of_day(moments.day_of(moment + DAY + DAY // 2, zone), zone)


@dataclass(frozen=True)
class RepStatics:
    """What the reps table says, by rep code: hire, weekly capacity (NaN if not given), declared values.

    `texts` (n + 1,) by name of a category: the team, and the listed territories as one text; the last is empty.
    """

    hired_on: Ints
    known_at: Ints
    capacity: Floats
    industries: Listed
    territories: Listed
    texts: Mapping[str, npt.NDArray[np.object_]]


def rep_statics(tables: Tables, reps: pd.Index) -> RepStatics:
    """Columns of the reps table by code; a rep whom the table does not list has none."""
    rows = tables.reps
    code = codes_of(reps, rows["rep_id"])
    hired, known = np.full(len(reps) + 1, NEVER, dtype=np.int64), np.full(len(reps) + 1, NEVER, dtype=np.int64)
    capacity = np.full(len(reps) + 1, np.nan)
    hired[code], known[code] = rows["hired_on"].to_numpy(), rows["known_at"].to_numpy()
    capacity[code] = rows["weekly_capacity"].to_numpy(dtype=np.float64)
    industries = listed(code, rows["industries"], len(reps))
    territories = listed(code, rows["territories"], len(reps))
    texts = {name: np.full(len(reps) + 1, "", dtype=object) for name in REP_CATEGORICAL}
    for name, values in rep_texts(rows).items():
        texts[name][code] = values.to_numpy(dtype=object)
    return RepStatics(hired, known, capacity, industries, territories, texts)


@dataclass(frozen=True)
class RepLogs:
    """All logs of reps; `reps` gives their codes (positions)."""

    reps: pd.Index
    leads: LeadLogs
    outcomes: OutcomeLogs
    activities: ActivityLogs
    deals: EventLog
    trainings: TrainingLogs
    feedback: EventLog
    absences: Absences
    statics: RepStatics
