"""Whom a rep is compared with, and the gap to them taken apart: peers of like tenure and territory, or the top tenth.

"Against whom" is interventional SHAP with that whole group as background: what the model would say of the rep's month
had each feature come from the group instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.drivers.attribution import AttributionError, Contributions, DriverMap, contributions
from models.drivers.decomposition import Decomposition, against_peers, luck_share, rep_against_peers, with_luck
from models.drivers.terms import driver_map
from models.drivers.treeshap import ReadTrees
from models.drivers.treeshap_trees import TreeLimitError, read_trees
from models.forecasting.panel_model import PanelModel
from serving.reports.payload import Comparison

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]

FEWEST_PEERS = 3
MOST_GROUPS = 24
TOP_MONTHS = 12
_FEWEST_TOP = 3
_TENURE_YEARS = (1.0, 2.0)


@dataclass(frozen=True)
class PeerGroup:
    """`members` are compared with the `others` of their `background` (which holds them as well, but for the top)."""

    members: tuple[str, ...]
    background: tuple[str, ...]
    kind: str


@dataclass(frozen=True)
class Gap:
    """A rep's mean month against his group's, how many that are, of which kind, and whether he is of the top tenth."""

    found: Decomposition
    n_peers: int
    kind: str
    in_top: bool = False


def explain_panel(
    panel: PanelModel, rows: pd.DataFrame, background: pd.DataFrame | None = None, read: ReadTrees | None = None
) -> Contributions:
    """Drivers' contributions to each row's predicted contribution, in money, by the horizon-0 booster.

    With a `background` against the mean of its rows, else against the model's own mean. `read`: that booster's trees.
    """
    booster = panel.booster(0)
    names = dict(zip(booster.feature_name(), panel.features, strict=True))
    plain_map = driver_map(panel.features)
    mapping = DriverMap({plain: plain_map.driver(feature) for plain, feature in names.items()}, plain_map.group_of)

    def plain_names(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({plain: frame[feature].to_numpy() for plain, feature in names.items()})

    others = None if background is None else plain_names(background)
    made = contributions(booster, plain_names(rows), mapping, others, read)
    return Contributions(
        made.drivers, made.values * panel.scale, made.prediction * panel.scale, made.baseline * panel.scale
    )


# -- peers ------------------------------------------------------------------------------------------------------


def peer_groups(tenure: Mapping[str, float], territories: Mapping[str, str] | None = None) -> list[PeerGroup]:
    """Reps by tenure (below one year, one to two, above), and within it by territory.

    Peers share at least one territory; a rep without any works everywhere. Where fewer than four share it, tenure
    alone decides; a band with hardly a peer joins its neighbour. Each group costs a background of its own: where the
    mixtures of territories make more than 24, a rep's first territory stands for him, and beyond that none does.
    """
    bands: list[list[str]] = [[] for _ in range(len(_TENURE_YEARS) + 1)]
    for rep, years in sorted(tenure.items()):
        bands[int(np.searchsorted(_TENURE_YEARS, years, side="right"))].append(str(rep))
    merged: list[list[str]] = []
    for band in bands:
        if merged and (len(merged[-1]) <= FEWEST_PEERS or len(band) <= FEWEST_PEERS):
            merged[-1] = sorted([*merged[-1], *band])
        else:
            merged.append(band)
    given = territories or {}
    first = {rep: text.split(";")[0] for rep, text in given.items()}
    for places in (given, first):
        groups = [group for band in merged for group in _by_territory(band, places)]
        if len(groups) <= MOST_GROUPS:
            return groups
    return [group for band in merged for group in _by_territory(band, {})]


def _by_territory(band: Sequence[str], territories: Mapping[str, str]) -> list[PeerGroup]:
    """The band's reps by the territories that they work, each set with all who share one of them."""
    places = {rep: frozenset(filter(None, territories.get(rep, "").split(";"))) for rep in band}
    found, alone = [], []
    for own in sorted(set(places.values()), key=sorted):
        members = [rep for rep in band if places[rep] == own]
        near = [rep for rep in band if not own or not places[rep] or places[rep] & own]
        if not own or len(near) <= FEWEST_PEERS or len(near) == len(band):
            alone += members
        else:
            found.append(PeerGroup(tuple(members), tuple(near), "tenure_territory"))
    if alone:
        shared = len(alone) == len(band) and all(places[a] & places[b] for a in band for b in band)
        found.append(PeerGroup(tuple(sorted(alone)), tuple(band), "tenure_territory" if shared else "tenure"))
    return found


def peer_gaps(
    panel: PanelModel,
    rows: pd.DataFrame,
    made: Contributions,
    tenure: Mapping[str, float],
    territories: Mapping[str, str] | None = None,
) -> dict[str, Gap]:
    """Each rep's mean month against his peers, taken apart against that whole group.

    One background a group. A model outside the kernel's limits is taken apart by path-dependent values instead.
    """
    mapping = driver_map(panel.features)
    ids = rows["rep_id"].to_numpy(dtype=object).astype(str)
    y = rows["y"].to_numpy(dtype=np.float64)
    found: dict[str, Gap] = {}
    try:
        read, exact = read_trees(panel.booster(0)), True
    except TreeLimitError:
        read, exact = None, False
    for group in peer_groups(tenure, territories):
        inside = np.isin(ids, group.background)
        frame, names = rows.loc[inside].reset_index(drop=True), ids[inside]
        if len(group.background) <= FEWEST_PEERS:
            continue
        parts = explain_panel(panel, frame, frame, read) if exact else rows_of(made, inside)
        for rep in group.members:
            own = names == rep
            if not own.any():
                continue
            try:
                scaled = against_peers(parts, own) if exact else parts
                gap = _against(scaled, rep, names, y[inside], mapping, group.background, exact)
            except AttributionError:
                continue
            found[rep] = Gap(gap, len(group.background) - 1, group.kind)
    return found


def _against(
    parts: Contributions,
    rep: str,
    names: npt.NDArray[np.str_],
    y: Floats,
    mapping: DriverMap,
    members: Sequence[str],
    exact: bool,
) -> Decomposition:
    """Gap of a rep; against a background the peers' own parts are the yardstick and count as nothing."""
    if exact:
        others = (names != rep) & np.isin(names, members)
        values = parts.values.copy()
        values[others] -= values[others].mean(axis=0)
        parts = Contributions(parts.drivers, values, parts.prediction, parts.baseline)
    return rep_against_peers(rep, parts, list(names), y, mapping, members)


def rows_of(made: Contributions, rows: Rows) -> Contributions:
    """The contributions of some rows."""
    return Contributions(made.drivers, made.values[rows], made.prediction[rows], made.baseline[rows])


# -- the top tenth ----------------------------------------------------------------------------------------------


def top_tenth(rows: pd.DataFrame, present: Sequence[str]) -> tuple[str, ...]:
    """The tenth (at least three) of the reps `present` with the highest mean month, by id; `rows`: twelve months.

    Only who has at least half of the months can be among them: a single month chooses luck.
    """
    months = rows.loc[rows["rep_id"].isin(list(present)).to_numpy()].groupby("rep_id")["y"].agg(["mean", "count"])
    whole = months.loc[months["count"] >= TOP_MONTHS // 2].sort_index()
    best = whole.sort_values("mean", ascending=False, kind="stable").index
    return tuple(sorted(str(rep) for rep in best[: max(_FEWEST_TOP, -(-len(present) // 10))]))


def top_gaps(
    panel: PanelModel, rows: pd.DataFrame, made: Contributions, present: Sequence[str]
) -> tuple[dict[str, Gap], Comparison]:
    """Each rep's mean month against the top tenth's on the twelve months in `rows`, and how much of that is luck.

    Of the lead of the chosen over the desk a share is luck (`luck_share`): it stands as a part of its own in the gap
    of everybody who is not one of them.
    """
    ids = rows["rep_id"].to_numpy(dtype=object).astype(str)
    y = rows["y"].to_numpy(dtype=np.float64)
    here = np.isin(ids, list(present))
    top = top_tenth(rows, present)
    if len(top) < _FEWEST_TOP or len(top) >= len(present):
        return {}, Comparison("top", len(top))
    clean = y - pd.Series(y).groupby(rows["month"].to_numpy()).transform("mean").to_numpy(dtype=np.float64)
    share = luck_share(ids[here], clean[here], TOP_MONTHS)
    chosen = np.isin(ids, top)
    lead = float(y[chosen].mean() - y[here].mean())
    mapping = driver_map(panel.features)
    try:
        parts, exact = explain_panel(panel, rows, rows.loc[chosen].reset_index(drop=True)), True
    except TreeLimitError:
        parts, exact = made, False
    found: dict[str, Gap] = {}
    for rep in present:
        try:
            gap = _gap_to_top(parts, str(rep), ids, y, mapping, top, exact)
        except AttributionError:
            continue
        inside = rep in top
        found[str(rep)] = Gap(gap if inside else with_luck(gap, share * lead), len(top) - inside, "top", inside)
    return found, Comparison("top", len(top), lead, share)


def _gap_to_top(
    parts: Contributions,
    rep: str,
    ids: npt.NDArray[np.str_],
    y: Floats,
    mapping: DriverMap,
    top: Sequence[str],
    exact: bool,
) -> Decomposition:
    """Gap to the top; one of the top is compared with the others of it, whom the background holds beside him."""
    kept = np.isin(ids, [rep, *top])
    own = rows_of(parts, kept)
    if exact and rep in top:
        own = against_peers(own, ids[kept] == rep)
    return _against(own, rep, ids[kept], y[kept], mapping, top, exact)
