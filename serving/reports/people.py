"""Pages of reps: the gap to peers, actions, personal targets; and the effectiveness matrix of all of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.outcomes import contributions as contributions_of
from features.world import World
from models.drivers.attribution import Contributions, DriverMap
from models.drivers.effects import CONTACT, FOLLOW_UPS, EffectRow
from models.drivers.matrix import MatrixPlace, adjusted_effect, attitude_score, place_reps
from models.drivers.suggestions import suggest
from serving.reports.payload import RepPage, StagedTarget
from serving.reports.peers import Gap

Floats = npt.NDArray[np.float64]

HISTORY_MONTHS = 12
REACH_QUANTILE = 0.75
TENURE_BANDS = ("<1", "1-2", ">2")
STAGES = 3
_FEWEST_MONTHS = 4
# What a rep did not choose: the rest of a month is his, and chance's.
_GIVEN_GROUPS = ("leads", "load", "market", "tenure")


def rep_pages(
    world: World, month: int, rows: pd.DataFrame, gaps: Mapping[str, Gap], effects: tuple[EffectRow, ...]
) -> tuple[RepPage, ...]:
    """One page for each rep of the month; `rows` hold the months before it as well, `gaps` whom he is compared with."""
    here = rows.loc[(rows["month"] == month).to_numpy()].reset_index(drop=True)
    reps = world.tables.reps.drop_duplicates("rep_id").set_index("rep_id")
    tenure = dict(zip(here["rep_id"], here["rep_tenure_years"].to_numpy(dtype=np.float64), strict=True))
    money = dict(zip(here["rep_id"], here["y"].to_numpy(dtype=np.float64), strict=True))
    history = _history(world, list(here["rep_id"]), month)
    levels = _levels(here)
    reach = {name: _reach(values) for name, values in levels.items()}
    worth = _worth_of_win_probability(world)
    pages = []
    for i, rep in enumerate(here["rep_id"]):
        own = {name: float(values[i]) for name, values in levels.items() if np.isfinite(values[i])}
        row = reps.loc[rep]
        gap = gaps.get(str(rep))
        past = history[rep][-max(1, min(HISTORY_MONTHS, int(tenure[rep] * 12) + 1)) :]
        pages.append(
            RepPage(
                rep_id=str(rep),
                name=str(row["name"]) or str(rep),
                team_id=str(row["team_id"]),
                tenure_years=float(tenure[rep]),
                contribution=float(money[rep]),
                gap=gap.found if gap else None,
                n_peers=gap.n_peers if gap else 0,
                suggestions=suggest(own, reach, effects, worth),
                history=history[rep],
                targets=staged_targets(past, _reachable(gap), month),
                peers=gap.kind if gap else "tenure",
                in_top=gap is not None and gap.in_top,
            )
        )
    return tuple(pages)


def _reachable(gap: Gap | None) -> float | None:
    """Peers' mean month as a yardstick for targets; the top tenth's is none: part of it is luck."""
    return gap.found.before if gap is not None and gap.kind != "top" else None


def staged_targets(history: tuple[float, ...], peers: float | None, month: int) -> tuple[StagedTarget, ...]:
    """Three monthly steps from the rep's own mean to what he can attain; none with fewer than four months.

    Attainable is the upper quartile of his own months, or his peers' mean where that is higher, but never above the
    best tenth of his own months: nobody is asked for what he has not come near.
    """
    if len(history) < _FEWEST_MONTHS:
        return ()
    own = np.asarray(history, dtype=np.float64)
    base = float(own[-6:].mean())
    upper, best = float(np.quantile(own, REACH_QUANTILE)), float(np.quantile(own, 0.9))
    goal = max(base, upper, min(peers if peers is not None else upper, best))
    return tuple(StagedTarget(month + k, base + (goal - base) * k / STAGES) for k in range(1, STAGES + 1))


def matrix_of(rows: pd.DataFrame, made: Contributions, month: int, mapping: DriverMap) -> tuple[MatrixPlace, ...]:
    """Places of the month's reps: attitude from feedback, timeliness and complaints, by case-mix adjusted money."""
    here = rows.loc[(rows["month"] == month).to_numpy()].sort_values("rep_id", kind="stable")
    wanted = here["rep_id"].to_numpy(dtype=object).astype(str)
    ids = rows["rep_id"].to_numpy(dtype=object).astype(str)
    inside = np.isin(ids, wanted)
    given = [k for k, driver in enumerate(made.drivers) if mapping.group(driver) in _GIVEN_GROUPS]
    explained = made.baseline + made.values[:, given].sum(axis=1)
    effect, se = adjusted_effect(ids[inside], (rows["y"].to_numpy(dtype=np.float64) - explained)[inside])
    complaints = -_feature(here, "rep_complaints_180d")
    feedback = _feature(here, "rep_feedback_score_mean_180d")
    measures = np.column_stack([
        feedback,
        _feature(here, "rep_contact_within_24h_rate_90d"),
        np.where(np.isfinite(feedback), complaints, np.nan),  # without feedback no complaint could be seen
    ])  # fmt: skip
    attitude, n_measures = attitude_score(measures)
    return place_reps(wanted, attitude, n_measures, effect, se)


def _feature(frame: pd.DataFrame, name: str) -> Floats:
    if name not in frame:
        return np.full(len(frame), np.nan)
    return np.asarray(frame[name].to_numpy(dtype=np.float64))


def _history(world: World, reps: list[str], month: int) -> dict[str, tuple[float, ...]]:
    done = contributions_of(world.tables, world.as_of)
    months = list(range(month - HISTORY_MONTHS + 1, month + 1))
    grid = done.pivot_table(index="rep_id", columns="month", values="amount", aggfunc="sum")
    grid = grid.reindex(index=reps, columns=months).fillna(0.0)
    return {rep: tuple(map(float, grid.loc[rep].to_numpy())) for rep in reps}


def _levels(here: pd.DataFrame) -> dict[str, Floats]:
    """Present level of each lever by rep, in the effects' own units."""
    found = {
        FOLLOW_UPS: here["rep_follow_ups_per_open_lead_28d"].to_numpy(dtype=np.float64) / 4.0,
        CONTACT: here["rep_contact_within_24h_rate_90d"].to_numpy(dtype=np.float64),
    }
    prefix = "rep_trainings_completed_skill_"
    for name in here.columns:
        if str(name).startswith(prefix):
            done = np.minimum(here[name].to_numpy(dtype=np.float64), 1.0)
            found[f"training:{str(name).removeprefix(prefix)}"] = done
    return found


def _reach(values: Floats) -> float:
    """What is attainable: the upper quartile of the reps; a course can always be taken."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan")
    return 1.0 if set(np.unique(known)) <= {0.0, 1.0} else float(np.quantile(known, REACH_QUANTILE))


def _worth_of_win_probability(world: World) -> float:
    """Money a month that one whole win probability on each of a rep's new leads would bring."""
    deals = world.tables.deals
    won = deals.loc[(deals["status"] == "won").to_numpy(), "amount"].to_numpy(dtype=np.float64) / 100
    reps = world.rep_features(np.array(sorted(world.tables.reps["rep_id"]), dtype=object), world.as_of)
    monthly = float(np.nanmean(reps["rep_new_leads_90d"].to_numpy(dtype=np.float64))) / 3 if len(reps) else 0.0
    return monthly * float(won.mean()) if len(won) else 0.0
