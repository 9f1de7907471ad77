"""What a forecast may know at a moment, gathered from tables, features and the conversion model.

Used by the backtest for each origin and by the service for today: the same code, so that neither knows more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.moments import DAY, NEVER
from features.outcomes import CENTS, contributions, first_deals
from features.pairs import build_pairs
from features.panel import build_panel, is_sales
from features.tables import Tables
from features.workdays import Workdays, learn_workdays
from features.world import World
from models.conversion.amount import AmountModel
from models.conversion.model import ConversionModel
from models.forecasting.inputs import ForecastInputs

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

OWN_PROSPECT = "own_prospect"


@dataclass(frozen=True)
class ZonedWorkdays:
    """Effective working days of one calendar in one zone: the exposure that forecasts count in."""

    workdays: Workdays
    zone: str

    def between(self, starts: Ints, ends: Ints, /) -> Floats:
        """Effective working days from each start to each end, 0 where end <= start."""
        begin, stop = np.broadcast_arrays(np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64))
        stop = np.maximum(begin, stop)
        return np.asarray(self.workdays.between(begin, stop, self.zone), dtype=np.float64)

    def in_month(self, month: int) -> float:
        """Effective working days of a month index."""
        return float(self.workdays.in_month(month, self.zone))


def workdays_of(tables: Tables) -> Workdays:
    """The calendar that fits the days on which people worked: activities, else deals and hand-overs."""
    at = tables.activities["occurred_at"].to_numpy(dtype=np.int64)
    if len(at) < 200:
        at = np.concatenate([tables.deals["closed_at"].to_numpy(), tables.assignments["assigned_at"].to_numpy()])
    at = at[at != NEVER].astype(np.int64)
    if not len(at):
        return Workdays("none")
    days = moments.local_days(at, tables.zone)
    first = int(days.min())
    return learn_workdays(np.bincount(days - first), first)


def scored_pairs(world: World, conversion: ConversionModel, amount: AmountModel) -> pd.DataFrame:
    """Every lead ever in a rep's hands with p_win and expected_amount as judged at its hand-over."""
    pairs = build_pairs(world, include_own_prospects=True)
    own = (pairs["lead_own_prospect"] > 0).to_numpy() if "lead_own_prospect" in pairs else np.zeros(len(pairs), bool)
    return pairs.assign(
        p_win=conversion.predict(pairs).win_probability if len(pairs) else np.empty(0),
        expected_amount=amount.expected_amount(pairs) if len(pairs) else np.empty(0),
        amount_log_sd=float(np.std(amount.residuals)),
        source=pairs["source"].where(~own, OWN_PROSPECT),
    )


def forecast_inputs(
    world: World, conversion: ConversionModel, amount: AmountModel, workdays: Workdays
) -> ForecastInputs:
    """Inputs of a forecast at `world.as_of`; money in major units."""
    tables, as_of = world.tables, world.as_of
    exposure = ZonedWorkdays(workdays, tables.zone)
    reps = tables.reps.loc[is_sales(tables.reps) & (tables.reps["hired_on"] < as_of).to_numpy()]
    pairs = scored_pairs(world, conversion, amount)
    start = pairs["as_of"].to_numpy(dtype=np.int64)
    resolved = pairs["resolved_at"].to_numpy(dtype=np.int64)
    age = exposure.between(start, np.minimum(resolved, as_of))
    outcome = pairs["outcome"]
    spells = pd.DataFrame(
        {
            "rep_id": pairs["rep_id"],
            "age_start": 0.0,
            "age_stop": age,
            "event": outcome.map({"won": "won", "lost": "lost", "dead": "lost", "open": ""}),
            "source": pairs["source"],
            "p_win": pairs["p_win"],
        }
    )
    is_open = (outcome == "open").to_numpy()
    columns = ["lead_id", "rep_id", "source", "p_win", "expected_amount", "amount_log_sd"]
    open_leads = pairs.loc[is_open, columns].assign(age_days=age[is_open]).reset_index(drop=True)
    arrivals = pairs[["rep_id", "source", "p_win", "expected_amount", "amount_log_sd"]].assign(assigned_at=start)
    return ForecastInputs(
        as_of=as_of,
        exposure=exposure,
        reps=reps[["rep_id", "hired_on", "left_on", "team_id"]].reset_index(drop=True),
        contributions=contributions(tables, as_of)[["rep_id", "month", "amount"]],
        open_leads=open_leads,
        spells=spells,
        arrivals=arrivals,
        repeats=repeat_purchases(tables),
        absences=absences_of(tables),
        zone=tables.zone,
    )


def repeat_purchases(tables: Tables) -> pd.DataFrame:
    """Won deals after a lead's first deal: rep_id, closed_at, amount (major units)."""
    deals = tables.deals.loc[(tables.deals["status"] == "won").to_numpy()]
    first = first_deals(tables)
    closes = deals["lead_id"].map(first["closed_at"]).to_numpy(dtype=np.int64) if len(deals) else np.empty(0)
    later = deals.loc[deals["closed_at"].to_numpy(dtype=np.int64) > closes]
    return pd.DataFrame(
        {
            "rep_id": later["rep_id"].astype("str"),
            "closed_at": later["closed_at"].astype("int64"),
            "amount": later["amount"].astype("int64") / CENTS,
        }
    ).reset_index(drop=True)


def absences_of(tables: Tables) -> pd.DataFrame:
    """Planned days off with an exclusive end: rep_id, starts_on, ends_on."""
    given = tables.absences[["rep_id", "starts_on", "ends_on"]]
    return given.assign(ends_on=given["ends_on"].to_numpy(dtype=np.int64) + DAY)


def panel_rows_now(world: World, workdays: Workdays) -> pd.DataFrame:
    """Panel rows of every sales rep at `world.as_of`, horizons 0 to 2."""
    exposure = ZonedWorkdays(workdays, world.tables.zone)
    return build_panel(world, [world.as_of], exposure=exposure.in_month)


def targets_of(tables: Tables) -> pd.DataFrame:
    """Targets in major units: rep_id, month (index), amount."""
    targets = tables.targets
    return pd.DataFrame(
        {
            "rep_id": targets["rep_id"].astype("str"),
            "month": targets["month"].astype("int64"),
            "amount": targets["amount"].astype("int64") / CENTS,
        }
    )
