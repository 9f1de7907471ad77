"""A synthetic world as the tables of the contract, typed as `features.tables` wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.contract import SCHEMA
from features.synthetic.chances import Physics
from features.synthetic.config import SKILLS, WorldConfig
from features.synthetic.days import Floats, Ints
from features.synthetic.desk import History
from features.synthetic.languages import full_names
from features.synthetic.trail import Trail
from features.synthetic.training import NOT_DONE
from features.tables import Tables, dtype_of

SALES = "sales"
SERVICE = "service"
_REFERRALS = 0.6
_STAFF_SHARE = 20  # one person of another department for so many reps


@dataclass(frozen=True)
class Identities:
    """Ids by code: reps, leads. Arrays of text."""

    reps: npt.NDArray[np.object_]
    leads: npt.NDArray[np.object_]


def identities(n_reps: int, n_leads: int) -> Identities:
    """Ids of fixed width, so that they sort like their codes."""
    reps = np.array([f"R{i + 1:0{max(3, len(str(n_reps)))}d}" for i in range(n_reps)], dtype=object)
    leads = np.array([f"L{i + 1:0{max(5, len(str(n_leads)))}d}" for i in range(n_leads)], dtype=object)
    return Identities(reps, leads)


def to_moments(config: WorldConfig, first_day: int, days: Floats) -> moments.Moments:
    """Moments UTC of fractional local world days, to the second; NEVER where the day is not finite."""
    finite = np.isfinite(days)
    seconds = np.round((np.where(finite, days, 0.0) + first_day) * 86_400).astype(np.int64)
    at = seconds * moments.SECOND
    if config.zone != "UTC":
        naive = pd.DatetimeIndex(at.view("datetime64[us]"))
        summer = np.ones(len(at), dtype=bool)
        aware = naive.tz_localize(config.zone, ambiguous=summer, nonexistent="shift_forward")
        at = np.asarray(aware.tz_convert("UTC").tz_localize(None).as_unit("us").asi8, dtype=np.int64)
    return np.where(finite, at, moments.NEVER)


def to_days(config: WorldConfig, first_day: int, at: moments.Moments) -> Floats:
    """Fractional local world days of moments."""
    local = np.asarray(at, dtype=np.int64)
    if config.zone != "UTC":
        stamps = pd.to_datetime(local, unit="us", utc=True).tz_convert(config.zone).tz_localize(None)
        local = np.asarray(stamps.as_unit("us").asi8, dtype=np.int64)
    return np.asarray(local / moments.DAY - first_day, dtype=np.float64)


def make_tables(
    physics: Physics,
    history: History,
    trail: Trail,
    targets: tuple[Ints, Ints, Floats],
    ids: Identities,
    rng: np.random.Generator,
) -> Tables:
    """All tables of a world's history, sorted as an export would be."""
    config = physics.config
    made = _Maker(config, physics.calendar.first_day, rng)
    frames = {
        "reps": _reps(made, physics, ids),
        "leads": _leads(made, physics, history, ids, rng),
        "assignments": _assignments(made, history, ids),
        "activities": _activities(made, physics, trail, ids),
        "stages": _stages(made, physics, trail, ids),
        "deals": _deals(made, physics, trail, ids),
        "trainings": _trainings(made, physics, ids),
        "targets": made.frame(
            "targets",
            rep_id=ids.reps[targets[0]],
            month=targets[1] + config.first_month,
            amount=np.round(targets[2] * 100).astype(np.int64),
        ),
        "feedback": _feedback(made, trail, ids),
        "absences": _absences(made, physics, ids),
    }
    return Tables(frames, config.zone, config.currency)


@dataclass(frozen=True)
class _Maker:
    """Completes columns to a typed frame of the contract."""

    config: WorldConfig
    first_day: int
    rng: np.random.Generator

    def at(self, days: npt.NDArray[Any] | Sequence[float]) -> moments.Moments:
        """Moments of world days."""
        return to_moments(self.config, self.first_day, np.asarray(days, dtype=np.float64))

    def frame(self, table: str, **columns: npt.NDArray[Any]) -> pd.DataFrame:
        """The table with every column of its schema, extras after them, and known_at."""
        schema = SCHEMA[table]
        n = len(next(iter(columns.values())))
        out: dict[str, Any] = {}
        for column in schema.columns:
            dtype = dtype_of(column)
            values: Any = columns.get(column.name)
            if values is None:
                values = np.full(n, "" if dtype == "str" else moments.NEVER if dtype == "int64" else np.nan)
            out[column.name] = pd.Series(values, dtype=dtype)
        out |= {name: pd.Series(values) for name, values in columns.items() if name not in out}
        frame = pd.DataFrame(out)
        time = schema.time
        known = frame[time].to_numpy(dtype=np.int64) if time else np.full(n, moments.ALWAYS)
        return frame.assign(known_at=known)

    def logged(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame as logged late where the config says so; what is logged after the end is not in it."""
        if self.config.late_logging_days <= 0:
            return frame
        late = np.round(self.rng.exponential(self.config.late_logging_days, len(frame)) * 86_400).astype(np.int64)
        recorded = frame["known_at"].to_numpy(dtype=np.int64) + late * moments.SECOND
        frame = frame.assign(recorded_at=recorded, known_at=recorded)
        return frame.loc[recorded < self.config.end].reset_index(drop=True)


def _reps(made: _Maker, physics: Physics, ids: Identities) -> pd.DataFrame:
    people, words = physics.people, physics.words
    n_staff = max(1, people.n // _STAFF_SHARE)
    n = people.n + n_staff
    names = full_names(words, n)
    staff = np.arange(people.n, n)
    left = np.where(people.left < physics.calendar.n_days, people.left.astype(np.float64), np.nan)
    hired = np.concatenate([people.hired.astype(np.float64), np.full(n_staff, -700.0) - 40 * np.arange(n_staff)])
    territories = [
        "" if everywhere else ";".join(np.array(words.territories)[serves])
        for everywhere, serves in zip(people.everywhere, people.serves, strict=True)
    ]
    industries = [";".join(np.array([each.name for each in words.industries])[row]) for row in people.declares]
    team = [f"T{code + 1:02d}" for code in people.team]
    capacity = np.where(people.capacity_told, people.capacity.astype(np.float64), np.nan)
    empty = [""] * n_staff
    return made.frame(
        "reps",
        rep_id=np.concatenate([ids.reps, np.array([f"S{i - people.n + 1:03d}" for i in staff], dtype=object)]),
        name=np.array(names, dtype=object),
        department=np.array([SALES] * people.n + [SERVICE] * n_staff, dtype=object),
        team_id=np.array(team + empty, dtype=object),
        manager_id=np.array([f"M{code + 1:02d}" for code in people.team] + empty, dtype=object),
        hired_on=made.at(hired),
        left_on=made.at(np.concatenate([left, np.full(n_staff, np.nan)])),
        territories=np.array(territories + empty, dtype=object),
        industries=np.array(industries + empty, dtype=object),
        weekly_capacity=np.concatenate([capacity, np.full(n_staff, np.nan)]),
    )


def _leads(made: _Maker, physics: Physics, history: History, ids: Identities, rng: np.random.Generator) -> pd.DataFrame:
    leads, words, spells = physics.leads, physics.words, history.spells
    owner = np.full(leads.n, -1)
    first = spells.order == 0
    owner[spells.lead[first]] = spells.rep[first]
    own = np.where(history.own, owner, -1)
    return made.frame(
        "leads",
        lead_id=ids.leads,
        created_at=made.at(leads.created),
        source=_named([each.name for each in words.sources], leads.source),
        territory=_named(words.territories, leads.territory),
        industry=_named([each.name for each in words.industries], leads.industry),
        marketer_id=_named([f"K{i + 1:02d}" for i in range(int(leads.marketer.max(initial=0)) + 1)], leads.marketer),
        sourced_by_rep_id=_named(ids.reps, own),
        referred_by_lead_id=_named(ids.leads, _referrers(physics, history, rng)),
        account_id=np.array([f"A{code + 1:06d}" for code in leads.account], dtype=object),
        company_size=_named(words.sizes, leads.size),
        employees=leads.employees,
        budget_stated=leads.budget.astype(np.float64),
        engagement_score=leads.engagement,
        web_visits=leads.web_visits.astype(np.float64),
    )


def _referrers(physics: Physics, history: History, rng: np.random.Generator) -> Ints:
    """For most referrals the client who made it: a lead won before, at random; -1 for none."""
    leads, spells = physics.leads, history.spells
    won = (spells.outcome == 1) & (spells.end < np.minimum(history.taken, physics.calendar.n_days))
    order = np.argsort(spells.end[won], kind="stable")
    clients, since = spells.lead[won][order], spells.end[won][order]
    n_before = np.searchsorted(since, leads.created)
    pick = np.floor(rng.random(leads.n) * n_before).astype(np.int64)
    known = (leads.source == 0) & (rng.random(leads.n) < _REFERRALS) & (n_before > 0)
    return np.where(known, np.append(clients, -1)[np.where(known, pick, -1)], -1)


def _assignments(made: _Maker, history: History, ids: Identities) -> pd.DataFrame:
    spells = history.spells
    order = np.argsort(spells.assigned, kind="stable")
    return made.frame(
        "assignments",
        lead_id=ids.leads[spells.lead[order]],
        rep_id=ids.reps[spells.rep[order]],
        assigned_at=made.at(spells.assigned[order]),
    )


def _activities(made: _Maker, physics: Physics, trail: Trail, ids: Identities) -> pd.DataFrame:
    rows, words = trail.activities, physics.words
    n = len(rows["at"])
    return made.logged(
        made.frame(
            "activities",
            activity_id=np.array([f"C{i + 1:07d}" for i in range(n)], dtype=object),
            lead_id=ids.leads[rows["lead"]],
            rep_id=ids.reps[rows["rep"]],
            occurred_at=made.at(rows["at"]),
            kind=_named(words.kinds, rows["kind"]),
            outcome=_named(words.outcomes, rows["outcome"]),
            minutes=rows["minutes"],
        )
    )


def _stages(made: _Maker, physics: Physics, trail: Trail, ids: Identities) -> pd.DataFrame:
    rows = trail.stages
    return made.logged(
        made.frame(
            "stages",
            lead_id=ids.leads[rows["lead"]],
            stage=_named(physics.words.stages, rows["stage"]),
            entered_at=made.at(rows["at"]),
            expected_amount=rows["amount"],
            expected_close_on=made.at(rows["close_day"]),
        )
    )


def _deals(made: _Maker, physics: Physics, trail: Trail, ids: Identities) -> pd.DataFrame:
    rows = trail.deals
    return made.logged(
        made.frame(
            "deals",
            deal_id=np.array([f"D{i + 1:06d}" for i in range(len(rows["at"]))], dtype=object),
            lead_id=ids.leads[rows["lead"]],
            rep_id=ids.reps[rows["rep"]],
            closed_at=made.at(rows["at"]),
            status=np.where(rows["won"], "won", "lost").astype(object),
            amount=np.round(np.asarray(rows["amount"], dtype=np.float64) * 100).astype(np.int64),
            lost_reason=_named(physics.words.lost_reasons, rows["reason"]),
        )
    )


def _trainings(made: _Maker, physics: Physics, ids: Identities) -> pd.DataFrame:
    n_days = physics.calendar.n_days
    courses = sorted(physics.trainings.courses, key=lambda course: (course.assigned, course.rep, course.skill))
    courses = [course for course in courses if course.assigned < n_days]
    done = np.array([course.completed < min(n_days, NOT_DONE) for course in courses], dtype=bool)
    completed = np.array([course.completed for course in courses], dtype=np.float64)
    skills = np.array([course.skill for course in courses], dtype=np.int64)
    hours = np.array([course.hours for course in courses], dtype=np.float64)
    score = np.array([course.score for course in courses], dtype=np.float64)
    return made.frame(
        "trainings",
        rep_id=ids.reps[np.array([course.rep for course in courses], dtype=np.int64)],
        course=_named(physics.words.courses, skills),
        assigned_on=made.at([float(course.assigned) for course in courses]),
        skill=_named(SKILLS, skills),
        completed_on=made.at(np.where(done, completed, np.nan)),
        hours=np.where(done, hours, np.nan),
        score=np.where(done, score, np.nan),
    )


def _feedback(made: _Maker, trail: Trail, ids: Identities) -> pd.DataFrame:
    rows = trail.feedback
    return made.frame(
        "feedback",
        feedback_id=np.array([f"F{i + 1:05d}" for i in range(len(rows["at"]))], dtype=object),
        rep_id=ids.reps[rows["rep"]],
        received_at=made.at(rows["at"]),
        score=rows["score"],
        lead_id=ids.leads[rows["lead"]],
        complaint=rows["complaint"].astype(np.float64),
    )


def _absences(made: _Maker, physics: Physics, ids: Identities) -> pd.DataFrame:
    rows = np.array(physics.people.absences, dtype=np.int64).reshape(-1, 3)
    rows = rows[np.argsort(rows[:, 1], kind="stable")]
    return made.frame(
        "absences",
        rep_id=ids.reps[rows[:, 0]],
        starts_on=made.at(rows[:, 1].astype(np.float64)),
        ends_on=made.at(rows[:, 2].astype(np.float64)),
    )


def _named(names: Sequence[str] | npt.NDArray[np.object_], code: npt.NDArray[Any]) -> npt.NDArray[np.object_]:
    """Name of each code, "" for -1."""
    return np.append(np.array(names, dtype=object), "")[code]
