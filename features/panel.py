"""Training and forecasting rows of contribution: a rep at a moment, and a month from then on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.desk import after
from features.outcomes import CENTS, contributions
from features.rep_features import Columns
from features.tables import Tables
from features.world import World

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# The working days of a month (index) in the zone: the length of time in which contribution can arise.
Exposure = Callable[[int], float]

PANEL_IDS: Final = ("rep_id", "month", "as_of", "horizon", "y", "maturity")
LAGS: Final = (1, 2, 3, 6, 12)
_SALES: Final = frozenset({"", "sales", "销售", "销售部"})


def is_sales(reps: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which rows of a reps table are of the sales department (an empty one is), bool (n,)."""
    return reps["department"].str.strip().str.casefold().isin(_SALES).to_numpy(dtype=bool)


def weekdays_of(month: int) -> float:
    """Mondays to Fridays of a month: the exposure where no calendar of holidays is given."""
    first = np.datetime64(f"{month // 12:04d}-{month % 12 + 1:02d}")
    return float(np.busday_count(first, first + 1))


def month_starts(tables: Tables, as_of: int) -> list[int]:
    """Each month's first moment after the first thing that happened, up to `as_of`."""
    first = [
        int(tables[table]["known_at"].min()) for table in ("assignments", "activities", "deals") if len(tables[table])
    ]
    if not first or min(first) >= as_of:
        return []
    begin = moments.month_of(min(first), tables.zone) + 1
    last = moments.month_of(as_of, tables.zone)
    starts = [moments.month_start(month, tables.zone) for month in range(begin, last + 1)]
    return [start for start in starts if start <= as_of]


def build_panel(
    world: World,
    as_ofs: Sequence[int] | None = None,
    horizons: Sequence[int] = (0, 1, 2),
    exposure: Exposure = weekdays_of,
) -> pd.DataFrame:
    """One row a sales rep, as_of and horizon: rep_id, month, as_of, horizon, y, maturity, spec.panel_numeric.

    `as_ofs` default to the first of each month; any moments up to `world.as_of` may be given. `month` is the month
    index of as_of plus `horizon`; `y` the contribution in that whole month in major units, NaN and `maturity` False
    where the month has not ended by `world.as_of`. A rep has rows from his hire until he is known to have left.
    Features are float64 and known before as_of. Sorted by as_of, rep and horizon.
    """
    given = month_starts(world.tables, world.as_of) if as_ofs is None else sorted(set(as_ofs))
    rows = _rows(world.tables, given)
    who, when = rows["rep_id"].to_numpy(dtype=object), rows["as_of"].to_numpy(dtype=np.int64)
    codes = world.rep_codes(who)
    base = world.rep_features(codes, when)
    history = pd.DataFrame({**_lags(world, codes, when), **_desk(world, when)})
    n = len(horizons)
    repeated = np.repeat(np.arange(len(rows)), n)
    ids = rows.iloc[repeated].reset_index(drop=True)
    ids["horizon"] = np.tile(np.asarray(horizons, dtype=np.int64), len(rows))
    ids["month"] = _month_of_each(when, world.tables.zone)[repeated] + ids["horizon"]
    ids["y"], ids["maturity"] = _targets(world, ids)
    calendar = _calendar(world, codes[repeated], ids, exposure)
    features = pd.concat(
        [base.iloc[repeated].reset_index(drop=True), history.iloc[repeated].reset_index(drop=True)], axis=1
    )
    whole = pd.concat([features, pd.DataFrame(calendar)], axis=1)
    return pd.concat([ids[list(PANEL_IDS)], whole[list(world.spec.panel_numeric)]], axis=1)


def _rows(tables: Tables, as_ofs: Sequence[int]) -> pd.DataFrame:
    """rep_id and as_of of every sales rep hired before and not known to have left by each moment."""
    reps = tables.reps.loc[is_sales(tables.reps)].sort_values("rep_id", kind="stable")
    hired = np.maximum(reps["hired_on"].to_numpy(dtype=np.int64), reps["known_at"].to_numpy(dtype=np.int64))
    left = reps["left_on"].to_numpy(dtype=np.int64)
    names = reps["rep_id"].to_numpy(dtype=object)
    here = [np.flatnonzero((hired < moment) & (left > moment)) for moment in as_ofs]
    rep_ids = np.concatenate([names[rows] for rows in here]) if here else np.empty(0, dtype=object)
    when = np.repeat(np.asarray(as_ofs, dtype=np.int64), [len(rows) for rows in here])
    return pd.DataFrame({"rep_id": pd.Series(rep_ids, dtype="str"), "as_of": when})


def _targets(world: World, ids: pd.DataFrame) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Contribution in each row's month, and whether that month is over."""
    done = contributions(world.tables, world.as_of)
    # An ended month without a won deal is a true zero.
    joined = ids[["rep_id", "month"]].merge(done, on=["rep_id", "month"], how="left", validate="many_to_one")
    months = ids["month"].to_numpy(dtype=np.int64)
    ends = {int(m): moments.month_start(int(m) + 1, world.tables.zone) for m in np.unique(months)}
    over = np.array([ends[int(month)] <= world.as_of for month in months], dtype=bool)
    return np.where(over, joined["amount"].fillna(0.0).to_numpy(dtype=np.float64), np.nan), over


def _month_of_each(when: Ints, zone: str) -> Ints:
    return moments.months_of(when, zone) if len(when) else np.empty(0, dtype=np.int64)


def _starts(months: Ints, zone: str) -> Ints:
    """First moment of each month index."""
    unique, place = np.unique(months, return_inverse=True)
    starts = np.array([moments.month_start(int(month), zone) for month in unique], dtype=np.int64)
    return starts[place] if len(months) else np.empty(0, dtype=np.int64)


def _lags(world: World, codes: Ints, when: Ints) -> Columns:
    """Contribution so far in the month of as_of, and in the whole months before it."""
    zone, log = world.tables.zone, world.logs.deals
    month = _month_of_each(when, zone)
    start = _starts(month, zone)
    found = {"panel_contribution_to_date": log.between(codes, start, when).total("cents") / CENTS}
    for lag in LAGS:
        cents = log.between(codes, _starts(month - lag, zone), start).total("cents")
        found[f"panel_contribution_mean_{lag}m"] = cents / (CENTS * lag)
    return found


def _desk(world: World, when: Ints) -> Columns:
    """How the whole desk does at each moment."""
    nowhere = np.zeros(len(when), dtype=np.int64)
    desk = world.desk
    return {
        "panel_desk_won_rate_90d": desk.rate(when, 90),
        "panel_desk_new_leads_28d": desk.new_leads.between(nowhere, after(when, -28), when).count().astype(np.float64),
        "panel_desk_contribution_90d": desk.amounts.between(nowhere, after(when, -90), when).total("cents") / CENTS,
    }


def _calendar(world: World, codes: Ints, ids: pd.DataFrame, exposure: Exposure) -> Columns:
    """What the calendar says of each row's month."""
    zone = world.tables.zone
    month, when = ids["month"].to_numpy(dtype=np.int64), ids["as_of"].to_numpy(dtype=np.int64)
    start, end = _starts(month, zone), _starts(month + 1, zone)
    angle = 2 * np.pi * (month % 12) / 12
    days = {int(m): float(exposure(int(m))) for m in np.unique(month)}
    # A year before a far month may still lie ahead of as_of: only what was known by then counts.
    year_start, year_end = np.minimum(_starts(month - 12, zone), when), np.minimum(_starts(month - 11, zone), when)
    year_before = world.logs.deals.between(codes, year_start, year_end)
    return {
        "panel_horizon": ids["horizon"].to_numpy(dtype=np.float64),
        "panel_month_sin": np.sin(angle),
        "panel_month_cos": np.cos(angle),
        "panel_workdays": np.array([days[int(m)] for m in month], dtype=np.float64),
        "panel_month_elapsed_share": np.clip((when - start) / np.maximum(end - start, 1), 0.0, 1.0),
        "panel_contribution_year_before": year_before.total("cents") / CENTS,
    }
