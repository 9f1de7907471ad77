"""Pages of reps: the gap to peers, actions, personal targets; and the effectiveness matrix of all of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.outcomes import contributions as contributions_of
from features.world import World
from models.drivers.attribution import AttributionError, Contributions, DriverMap, contributions
from models.drivers.decomposition import Decomposition, against_peers, rep_against_peers
from models.drivers.effects import CONTACT, FOLLOW_UPS, EffectRow
from models.drivers.matrix import MatrixPlace, adjusted_effect, attitude_score, place_reps
from models.drivers.suggestions import suggest
from models.drivers.terms import driver_map
from models.drivers.treeshap_trees import TreeLimitError
from models.forecasting.panel_model import PanelModel
from serving.reports.payload import RepPage, StagedTarget
from training.unit import ModelUnit

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]

HISTORY_MONTHS = 12
FEWEST_PEERS = 3
REACH_QUANTILE = 0.75
TENURE_BANDS = ("<1", "1-2", ">2")
STAGES = 3
_FEWEST_MONTHS = 4
# What a rep did not choose: the rest of a month is his, and chance's.
_GIVEN_GROUPS = ("leads", "load", "market", "tenure")


def rep_pages(
    world: World, unit: ModelUnit, month: int, rows: pd.DataFrame, made: Contributions, effects: tuple[EffectRow, ...]
) -> tuple[RepPage, ...]:
    """One page for each rep of the month; `rows` and `made` hold the months before it as well."""
    panel = unit.contribution.panel
    assert panel is not None
    here = rows.loc[(rows["month"] == month).to_numpy()].reset_index(drop=True)
    reps = world.tables.reps.drop_duplicates("rep_id").set_index("rep_id")
    tenure = dict(zip(here["rep_id"], here["rep_tenure_years"].to_numpy(dtype=np.float64), strict=True))
    money = dict(zip(here["rep_id"], here["y"].to_numpy(dtype=np.float64), strict=True))
    history = _history(world, list(here["rep_id"]), month)
    levels = _levels(here)
    reach = {name: _reach(values) for name, values in levels.items()}
    worth = _worth_of_win_probability(world)
    gaps = peer_gaps(panel, rows, made, tenure)
    pages = []
    for i, rep in enumerate(here["rep_id"]):
        own = {name: float(values[i]) for name, values in levels.items() if np.isfinite(values[i])}
        row = reps.loc[rep]
        gap, n_peers = gaps.get(str(rep), (None, 0))
        past = history[rep][-max(1, min(HISTORY_MONTHS, int(tenure[rep] * 12) + 1)) :]
        pages.append(
            RepPage(
                rep_id=str(rep),
                name=str(row["name"]) or str(rep),
                team_id=str(row["team_id"]),
                tenure_years=float(tenure[rep]),
                contribution=float(money[rep]),
                gap=gap,
                n_peers=n_peers,
                suggestions=suggest(own, reach, effects, worth),
                history=history[rep],
                targets=staged_targets(past, gap.before if gap else None, month),
            )
        )
    return tuple(pages)


def explain_panel(panel: PanelModel, rows: pd.DataFrame, background: pd.DataFrame | None = None) -> Contributions:
    """Drivers' contributions to each row's predicted contribution, in money, by the horizon-0 booster.

    With a `background` against the mean of its rows, else against the model's own mean.
    """
    booster = panel.booster(0)
    names = dict(zip(booster.feature_name(), panel.features, strict=True))
    plain_map = driver_map(panel.features)
    mapping = DriverMap({plain: plain_map.driver(feature) for plain, feature in names.items()}, plain_map.group_of)

    def plain_names(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({plain: frame[feature].to_numpy() for plain, feature in names.items()})

    others = None if background is None else plain_names(background)
    made = contributions(booster, plain_names(rows), mapping, others)
    return Contributions(
        made.drivers, made.values * panel.scale, made.prediction * panel.scale, made.baseline * panel.scale
    )


def peer_gaps(
    panel: PanelModel, rows: pd.DataFrame, made: Contributions, tenure: Mapping[str, float]
) -> dict[str, tuple[Decomposition, int]]:
    """Each rep's mean month against his peers of like tenure, taken apart against that whole group; and how many.

    One background a tenure band. A model outside the kernel's limits is taken apart by path-dependent values instead.
    """
    mapping = driver_map(panel.features)
    ids = rows["rep_id"].to_numpy(dtype=object).astype(str)
    y = rows["y"].to_numpy(dtype=np.float64)
    found: dict[str, tuple[Decomposition, int]] = {}
    for members in peer_groups(tenure):
        inside = np.isin(ids, members)
        group, names = rows.loc[inside].reset_index(drop=True), ids[inside]
        if len(members) <= FEWEST_PEERS:
            continue
        try:
            parts, exact = explain_panel(panel, group, group), True
        except TreeLimitError:
            parts, exact = _rows_of(made, inside), False
        for rep in members:
            own = names == rep
            if not own.any():
                continue
            try:
                scaled = against_peers(parts, own) if exact else parts
                gap = _against(scaled, rep, names, y[inside], mapping, members, exact)
            except AttributionError:
                continue
            found[rep] = (gap, len(members) - 1)
    return found


def _against(
    parts: Contributions,
    rep: str,
    names: npt.NDArray[np.str_],
    y: Floats,
    mapping: DriverMap,
    members: list[str],
    exact: bool,
) -> Decomposition:
    """Gap of a rep; against a background the peers' own parts are the yardstick and count as nothing."""
    if exact:
        others = names != rep
        values = parts.values.copy()
        values[others] -= values[others].mean(axis=0)
        parts = Contributions(parts.drivers, values, parts.prediction, parts.baseline)
    return rep_against_peers(rep, parts, list(names), y, mapping, members)


def peer_groups(tenure: Mapping[str, float]) -> list[list[str]]:
    """Reps by tenure: below one year, one to two, above; a band with hardly a peer joins its neighbour."""
    bands: list[list[str]] = [[] for _ in TENURE_BANDS]
    for rep, years in sorted(tenure.items()):
        bands[int(np.searchsorted([1.0, 2.0], years, side="right"))].append(str(rep))
    groups: list[list[str]] = []
    for band in bands:
        if groups and (len(groups[-1]) <= FEWEST_PEERS or len(band) <= FEWEST_PEERS):
            groups[-1] = sorted([*groups[-1], *band])
        else:
            groups.append(band)
    return groups


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


def _rows_of(made: Contributions, rows: Rows) -> Contributions:
    return Contributions(made.drivers, made.values[rows], made.prediction[rows], made.baseline[rows])


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
