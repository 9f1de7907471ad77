"""Frames that the effect estimators take: a row a lead, and a row a rep and month, as known at one moment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.moments import DAY, HOUR, NEVER
from features.outcomes import contributions
from features.panel import is_sales
from features.world import World
from models.conversion.amount import AmountModel
from models.conversion.model import ConversionModel
from models.conversion.predictor import train_pooled
from models.drivers.habit import WINDOW_DAYS, concurrent_habit
from models.drivers.lead_effects import LANDMARK_DAYS, landmark_frequency, matured_share

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FEWEST_COMPLETIONS = 8
QUALITY_FOLDS = 4
CALENDAR_FEATURES = ("lead_hour_of_day", "lead_weekday", "lead_month_of_year")
TRANSIT_DAYS = 30


def lead_quality(conversion: ConversionModel, leads: pd.DataFrame) -> Floats:
    """(n,) logit of winning each lead by its own features, in the hands of a rep nobody knows."""
    if not len(leads):
        return np.empty(0)
    nobody: dict[str, Any] = {name: [np.nan] for name in (*conversion.columns.rep_numeric,)}
    reps = pd.DataFrame({"rep_id": pd.Series([""], dtype="str"), **nobody})
    return np.asarray(conversion.predict_matrix(leads, reps).logit[:, 0], dtype=np.float64)


def cross_fitted_quality(pairs: pd.DataFrame, conversion: ConversionModel, as_of: int) -> Floats:
    """(n,) logit of winning each lead by its own features, learnt from the leads of other reps.

    A score learnt from the very outcomes that it then stands beside takes part of what follow-ups do, for reps follow
    up more on leads that look good. Hour, weekday and month are left out: they decide how soon a rep can call.
    `conversion` gives the columns, and the score itself where reps are too few to learn from others.
    """
    reps, first = np.unique(pairs["rep_id"].to_numpy(dtype=object).astype(str), return_index=True)
    if len(reps) < 2 * QUALITY_FOLDS:
        return lead_quality(conversion, pairs)
    # By the order in which they were given their first lead, so that names decide nothing.
    fold_of = pd.Series(np.argsort(np.argsort(first)) % QUALITY_FOLDS, index=reps)
    fold = fold_of.loc[pairs["rep_id"].astype(str)].to_numpy()
    columns = replace(
        conversion.columns, lead_numeric=tuple(c for c in conversion.columns.lead_numeric if c not in CALENDAR_FEATURES)
    )
    quality = np.empty(len(pairs))
    for k in range(QUALITY_FOLDS):
        others = pairs.loc[fold != k].sort_values(["as_of", "lead_id"], kind="stable", ignore_index=True)
        if others["y"].nunique() < 2:
            return lead_quality(conversion, pairs)
        pooled = train_pooled(others, columns, "lead_only", as_of).model
        rest = replace(conversion, columns=columns, pooled=pooled, residual=None)
        quality[fold == k] = lead_quality(rest, pairs.loc[fold == k].reset_index(drop=True))
    return quality


def lead_effect_frame(
    world: World, pairs: pd.DataFrame, conversion: ConversionModel, amount: AmountModel | None = None
) -> pd.DataFrame:
    """One row a routed lead, for `win_effects`; young ones with the share of wins that their age has seen.

    `amount` adds what each is worth if won, repeat purchases in it.
    """
    at = pairs["as_of"].to_numpy(dtype=np.int64)
    resolved = pairs["resolved_at"].to_numpy(dtype=np.int64)
    won = pairs["outcome"].eq("won").to_numpy()
    won_after, age = np.where(won, (resolved - at) / DAY, np.nan), (world.as_of - at) / DAY
    activities = world.tables.activities
    place = pd.Index(pairs["lead_id"]).get_indexer(pd.Index(activities["lead_id"]))
    known = place >= 0
    when = activities["occurred_at"].to_numpy(dtype=np.int64)[known]
    frame = pd.DataFrame(
        {
            "lead_id": pairs["lead_id"],
            "rep_id": pairs["rep_id"],
            "month": moments.months_of(at, world.tables.zone) if len(at) else np.empty(0, dtype=np.int64),
            # An old lead that nobody closed counts as not won: to leave it out would keep the won ones of its age.
            "y": won.astype(np.float64),
            "maturity": matured_share(won_after, age),
            "maturity_landmark": matured_share(won_after, age, LANDMARK_DAYS),
            "quality": cross_fitted_quality(pairs, conversion, world.as_of),
            "tenure_years": pairs["rep_tenure_years"],
            "days_open": (np.minimum(resolved, world.as_of) - at) / DAY,
        }
    )
    if known.any():
        shape = (place[known], when, at, resolved, world.as_of)
        frame["followups_per_week"] = landmark_frequency(*shape, stop=WINDOW_DAYS)
        frame["followups_week_1"] = landmark_frequency(*shape, stop=7)
        frame["followups_week_2"] = landmark_frequency(*shape, begin=7)
        frame["habit_meanwhile"] = concurrent_habit(pairs["rep_id"], at, resolved, world.as_of, place[known], when)
        frame["contacted_24h"] = _contacted(place[known], when, at, 24 * HOUR)
    for skill, done in _completions(world).items():
        frame[f"trained:{skill}"] = _settled(done, pairs["rep_id"], at)
    if amount is not None:
        repeat = _repeat_ratio(world)
        frame["worth"] = repeat * amount.expected_amount(pairs)
        frame["amount"] = repeat * pairs["amount"].to_numpy(dtype=np.float64) if "amount" in pairs else np.nan
    return frame


def leads_per_rep_month(world: World) -> float:
    """Hand-overs to a sales rep a month of his presence, own prospects included, on average over history."""
    reps = world.tables.reps.loc[is_sales(world.tables.reps)]
    given = world.tables.assignments
    given = given.loc[given["rep_id"].isin(reps["rep_id"]).to_numpy()]
    if not len(given):
        return 0.0
    start = int(given["assigned_at"].min())
    low = np.maximum(reps["hired_on"].to_numpy(dtype=np.int64), start)
    high = np.minimum(reps["left_on"].to_numpy(dtype=np.int64), world.as_of)
    months = float(np.maximum(high - low, 0).sum()) / (30.4375 * DAY)
    return len(given) / months if months > 0 else 0.0


def _repeat_ratio(world: World) -> float:
    """All won money over that of leads' first deals: what a won lead brings in the end."""
    deals = world.tables.deals
    won = deals.loc[(deals["status"] == "won").to_numpy()].sort_values(["closed_at", "deal_id"], kind="stable")
    first = float(won.drop_duplicates("lead_id")["amount"].sum())
    return float(won["amount"].sum()) / first if first > 0 else 1.0


def _contacted(place: Ints, when: Ints, at: Ints, within: int) -> Floats:
    """(n,) 1 where a lead's first activity came within so long after hand-over."""
    inside = (when >= at[place]) & (when <= at[place] + within)
    return (np.bincount(place[inside], minlength=len(at)) > 0).astype(np.float64)


def rare_skills(world: World, most: int = 20) -> list[str]:
    """Skills on record that too few reps completed to estimate an effect, in alphabetical order, at most `most`."""
    names = set(_by_skill(world)["skill"]) - set(_completions(world)) - {""}
    return sorted(str(name) for name in names)[:most]


def _by_skill(world: World) -> pd.DataFrame:
    """Trainings with the course's name where the skill is empty."""
    trainings = world.tables.trainings
    return trainings.assign(skill=trainings["skill"].where(trainings["skill"] != "", trainings["course"]))


def _completions(world: World) -> dict[str, pd.Series]:
    """First completion of each skill by rep (course where skill is empty), for skills with enough of them."""
    trainings = _by_skill(world)
    done = trainings.loc[(trainings["completed_on"] < NEVER).to_numpy()]
    found = {}
    for name, rows in done.groupby("skill"):
        first = rows.groupby("rep_id")["completed_on"].min()
        if len(first) >= FEWEST_COMPLETIONS:
            found[str(name)] = first
    return found


def _trained_at(first: pd.Series, reps: pd.Series, at: Ints) -> Floats:
    """(n,) 1 where the rep had completed the skill before the moment."""
    completed = first.reindex(reps, fill_value=NEVER).to_numpy(dtype=np.int64)
    return (completed < at).astype(np.float64)


def _settled(first: pd.Series, reps: pd.Series, at: Ints) -> Floats:
    """(n,) 1 where the rep had completed the skill before hand-over, NaN in the weeks before completion.

    Those leads are worked on both before and after, and the weeks that send a rep to a course are no fair yardstick.
    """
    completed = first.reindex(reps, fill_value=NEVER).to_numpy(dtype=np.int64)
    return np.where((completed >= at) & (completed < at + TRANSIT_DAYS * DAY), np.nan, (completed < at) * 1.0)


def panel_effect_frame(world: World, pairs: pd.DataFrame, conversion: ConversionModel) -> pd.DataFrame:
    """One row a sales rep and ended month of his presence, for `contribution_effects`."""
    zone = world.tables.zone
    done = contributions(world.tables, world.as_of)
    if not len(done):
        return pd.DataFrame({"rep_id": [], "month": [], "contribution": []})
    first, last = int(done["month"].min()), moments.month_of(world.as_of, zone)
    reps = world.tables.reps.loc[is_sales(world.tables.reps)]
    blocks = []
    for month in range(first, last):
        start, end = moments.month_start(month, zone), moments.month_start(month + 1, zone)
        if end > world.as_of:
            continue
        here = reps.loc[((reps["hired_on"] < start) & (reps["left_on"] > end)).to_numpy(), "rep_id"]
        if len(here):
            blocks.append(_month_block(world, here.reset_index(drop=True), month, start, end))
    if not blocks:
        return pd.DataFrame({"rep_id": [], "month": [], "contribution": []})
    frame = pd.concat(blocks, ignore_index=True)
    keys = ["rep_id", "month"]
    frame["contribution"] = frame[keys].merge(done, on=keys, how="left")["amount"].fillna(0.0).to_numpy()
    before = frame[keys].assign(month=frame["month"] - 1).merge(done, on=keys, how="left")["amount"]
    frame["contribution_lag1"] = before.fillna(0.0).to_numpy()
    quality = pd.DataFrame(
        {
            "rep_id": pairs["rep_id"],
            "month": moments.months_of(pairs["as_of"].to_numpy(dtype=np.int64), zone),
            "quality": lead_quality(conversion, pairs),
        }
    )
    mean = quality.groupby(keys, as_index=False)["quality"].mean()
    merged = frame[keys].merge(mean, on=keys, how="left")["quality"]
    frame["lead_quality_mean"] = merged.fillna(quality["quality"].mean() if len(quality) else 0.0).to_numpy()
    return frame


def _month_block(world: World, reps: pd.Series, month: int, start: int, end: int) -> pd.DataFrame:
    ids = reps.to_numpy(dtype=object)
    late, early = world.rep_features(ids, end), world.rep_features(ids, start)
    block = pd.DataFrame(
        {
            "rep_id": reps,
            "month": np.int64(month),
            "followups_per_week": late["rep_follow_ups_per_open_lead_28d"] / 4.0,
            "n_new_leads": late["rep_new_leads_28d"],
            "open_leads": early["rep_open_leads"],
            "absent_days": late["rep_absent_days_28d"],
            "tenure": early["rep_tenure_years"],
        }
    )
    for skill, first in _completions(world).items():
        block[f"trained:{skill}"] = _trained_at(first, reps, np.full(len(reps), start, dtype=np.int64))
    return block
