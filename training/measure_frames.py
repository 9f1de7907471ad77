"""What "did it work" and pilots are computed from: rep-months of contribution, and when each measure touched whom."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.config import Measure
from features.moments import DAY, NEVER
from features.outcomes import contributions
from features.panel import is_sales
from features.tables import Tables
from models.drivers.did import DidEffect, difference_in_differences
from training.snapshot import ZonedWorkdays

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

TENURE_KNOTS = (0.5, 1.0, 2.0)  # years: a learning curve is steep at first
_LONGEST_GAP = 3
_GAP_QUANTILE = 0.9
_LONGEST_RAMP = 4
_RAMP_QUANTILE = 2 / 3
_RIPE_DAYS = 180
_FEWEST_WON = 30
_MONTH_DAYS = 30.4375


@dataclass(frozen=True)
class Touched:
    """Since which whole month (index) a measure acts on each rep it has touched; who is not named is untouched.

    `gap`: months just before that are left out: of being chosen, on the course, or touched in part. `ramp`: months
    from the start on that are left out, as most of their money is of leads worked on before.
    """

    starts: Mapping[str, int] = field(default_factory=dict)
    gap: int = 0
    ramp: int = 0


def rep_months(tables: Tables, as_of: int, workdays: ZonedWorkdays) -> pd.DataFrame:
    """One row a sales rep and ended month in which he was there from first to last day.

    Columns: rep_id, month (index), contribution (money), present (0-1, effective days there over those of the month),
    tenure (years at its start). `tables` as `as_of` knows them.
    """
    done = contributions(tables, as_of)
    reps = tables.reps.loc[is_sales(tables.reps)].drop_duplicates("rep_id").sort_values("rep_id", kind="stable")
    empty = pd.DataFrame({"rep_id": pd.Series(dtype="str"), "month": pd.Series(dtype="int64")})
    if not len(done) or not len(reps):
        return empty.assign(contribution=0.0, present=0.0, tenure=0.0)
    hired, left = reps["hired_on"].to_numpy(dtype=np.int64), reps["left_on"].to_numpy(dtype=np.int64)
    blocks = []
    for month in range(int(done["month"].min()), moments.month_of(as_of, tables.zone)):
        start, end = moments.month_start(month, tables.zone), moments.month_start(month + 1, tables.zone)
        here = (hired <= start) & (left >= end)
        if end > as_of or not here.any():
            continue
        ids = reps.loc[here, "rep_id"].reset_index(drop=True)
        whole = workdays.in_month(month)
        away = _absent_days(tables, workdays, ids, start, end)
        blocks.append(
            pd.DataFrame(
                {
                    "rep_id": ids,
                    "month": np.int64(month),
                    "present": np.clip(1 - away / whole, 0.0, 1.0) if whole > 0 else 1.0,
                    "tenure": (start - hired[here]) / (365.25 * DAY),
                }
            )
        )
    if not blocks:
        return empty.assign(contribution=0.0, present=0.0, tenure=0.0)
    frame = pd.concat(blocks, ignore_index=True)
    joined = frame[["rep_id", "month"]].merge(done, on=["rep_id", "month"], how="left", validate="one_to_one")
    return frame.assign(contribution=joined["amount"].fillna(0.0).to_numpy(dtype=np.float64))


def _absent_days(tables: Tables, workdays: ZonedWorkdays, reps: pd.Series, start: int, end: int) -> Floats:
    absences = tables.absences
    low = np.maximum(absences["starts_on"].to_numpy(dtype=np.int64), start)
    high = np.minimum(absences["ends_on"].to_numpy(dtype=np.int64) + DAY, end)
    days = pd.Series(workdays.between(low, np.maximum(low, high)))
    away = days.groupby(absences["rep_id"].to_numpy(dtype=object)).sum()
    return np.asarray(away.reindex(reps).fillna(0.0).to_numpy(dtype=np.float64))


def next_month(as_of: int, zone: str) -> int:
    """The first month (index) that begins at or after a moment."""
    month = moments.month_of(as_of, zone)
    return month if moments.month_start(month, zone) == as_of else month + 1


def own_controls(frame: pd.DataFrame) -> Floats:
    """Controls (n, k) that no measure moves: the learning curve over tenure, and presence."""
    years = frame["tenure"].to_numpy(dtype=np.float64)
    columns = [np.log1p(years), *(np.minimum(years, knot) for knot in TENURE_KNOTS)]
    return np.column_stack([*columns, frame["present"].to_numpy(dtype=np.float64)])


def effect_of(frame: pd.DataFrame, touched: Touched, also: Collection[Touched] = ()) -> DidEffect:
    """Difference-in-differences of a measure on contribution a rep and month; `also`: other measures, as controls.

    Raises EffectError where there is no rep-month.
    """
    start = frame["rep_id"].map(dict(touched.starts)).to_numpy(dtype=np.float64)
    month = frame["month"].to_numpy(dtype=np.int64)
    others = sum((_done(frame, month, one) for one in also), np.zeros(len(frame)))
    return difference_in_differences(
        frame["rep_id"].to_numpy(dtype=object).astype(str),
        month,
        start,
        frame["contribution"].to_numpy(dtype=np.float64),
        np.column_stack([own_controls(frame), others]),
        gap=touched.gap,
        ramp=touched.ramp,
        proportional=True,
    )


def _done(frame: pd.DataFrame, month: Ints, touched: Touched) -> Floats:
    start = frame["rep_id"].map(dict(touched.starts)).to_numpy(dtype=np.float64)
    return np.where(np.isfinite(start), month >= start, False).astype(np.float64)


def courses(tables: Tables) -> dict[str, Touched]:
    """Each skill's course (the course's name where skill is empty) by driver, `training:<skill>`.

    A rep counts from the first whole month after he first completed it; months back to being sent there are left out.
    Who was sent and did not complete it stays untouched. A course acts on the leads worked on after it.
    """
    ramp = months_to_win(tables)
    trainings = tables.trainings
    names = trainings["skill"].where(trainings["skill"] != "", trainings["course"])
    done = trainings.assign(skill=names).loc[(trainings["completed_on"] < NEVER).to_numpy() & (names != "").to_numpy()]
    found = {}
    for skill, rows in done.sort_values("completed_on", kind="stable").groupby("skill"):
        first = rows.drop_duplicates("rep_id")
        ended = moments.months_of(first["completed_on"].to_numpy(dtype=np.int64), tables.zone)
        sent = moments.months_of(first["assigned_on"].to_numpy(dtype=np.int64), tables.zone)
        starts = ended + 1
        gap = int(np.ceil(np.quantile(starts - sent, _GAP_QUANTILE))) if len(starts) else 0
        found[f"training:{skill}"] = Touched(
            dict(zip(first["rep_id"].astype(str), (int(one) for one in starts), strict=True)),
            min(_LONGEST_GAP, max(1, gap)),
            ramp,
        )
    return found


def months_to_win(tables: Tables) -> int:
    """Whole months from a lead's hand-over until two thirds of those won are won, at most `_LONGEST_RAMP`.

    So long the contribution after a course is mostly that of leads from before. Young leads that were won stand for
    quick ones, so deals of the last half-year's leads are left out where older ones are enough.
    """
    deals, given = tables.deals, tables.assignments
    won = deals.loc[(deals["status"] == "won").to_numpy(), ["lead_id", "closed_at"]]
    won = won.sort_values("closed_at", kind="stable").drop_duplicates("lead_id")
    handed = given.groupby("lead_id")["assigned_at"].max()
    at = won["lead_id"].map(handed).to_numpy(dtype=np.float64)
    days = (won["closed_at"].to_numpy(dtype=np.float64) - at) / DAY
    known = np.isfinite(days) & (days >= 0)
    if not known.any():
        return 0
    old = known & (at < float(given["assigned_at"].max()) - _RIPE_DAYS * DAY)
    days = days[old if old.sum() >= _FEWEST_WON else known]
    return min(_LONGEST_RAMP, round(float(np.quantile(days, _RAMP_QUANTILE)) / _MONTH_DAYS))


def routing(first_given: Mapping[str, int], as_of: int, zone: str) -> Touched:
    """Routing as a measure: a rep counts from the month after the machine first gave him a lead, before `as_of`."""
    known = {rep: moments.month_of(at, zone) + 1 for rep, at in first_given.items() if at < as_of}
    return Touched(known, gap=1)


def configured(measure: Measure, tables: Tables) -> Touched:
    """A measure of the settings: whom each round touches (all sales reps where none is named), since which month.

    A rep in several rounds counts from the first. A month in which it began halfway is left out.
    """
    reps = tables.reps.loc[is_sales(tables.reps)]
    starts: dict[str, int] = {}
    gap = 0
    for one in measure.rounds:
        day = moments.parse(one.starts_on, tables.zone)
        month = moments.month_of(day, tables.zone)
        if day > moments.month_start(month, tables.zone):
            month, gap = month + 1, 1
        named = reps["rep_id"].isin(one.reps) | reps["team_id"].isin(one.teams)
        chosen = reps["rep_id"] if not one.reps and not one.teams else reps.loc[named, "rep_id"]
        for rep in chosen:
            starts[str(rep)] = min(month, starts.get(str(rep), month))
    return Touched(starts, gap)
