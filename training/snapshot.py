"""What a forecast may know at a moment, gathered from tables, features and the conversion model.

Used by the backtest for each origin and by the service for today: the same code, so that neither knows more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.moments import NEVER
from features.outcomes import CENTS
from features.pairs import build_pairs
from features.panel import build_panel
from features.tables import Tables
from features.workdays import Workdays, learn_workdays
from features.world import World
from models.conversion.amount import AmountModel
from models.conversion.model import ConversionModel
from models.forecasting.gather import gather_inputs
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
    """Every lead ever in a rep's hands with p_win and expected_amount as judged at its hand-over.

    `p_learnt`: the same chance as it would be had the lead's own fate not been known.
    """
    pairs = build_pairs(world, include_own_prospects=True)
    judged = conversion.predict(pairs)
    fate: Floats = np.array(pairs["outcome"].map({"won": 1.0, "lost": 0.0, "dead": 0.0}), dtype=np.float64)
    own = (pairs["lead_own_prospect"] > 0).to_numpy() if "lead_own_prospect" in pairs else np.zeros(len(pairs), bool)
    return pairs.assign(
        p_win=judged.win_probability if len(pairs) else np.empty(0),
        p_learnt=judged.left_out(fate) if len(pairs) else np.empty(0),
        expected_amount=amount.expected_amount(pairs) if len(pairs) else np.empty(0),
        amount_log_sd=float(np.std(amount.residuals)),
        source=pairs["source"].where(~own, OWN_PROSPECT),
    )


def forecast_inputs(world: World, workdays: Workdays, pairs: pd.DataFrame) -> ForecastInputs:
    """Inputs of a forecast at `world.as_of`; `pairs` as `scored_pairs` gives them, money in major units."""
    outcomes = pairs.rename(columns={"as_of": "assigned_at"})
    exposure = ZonedWorkdays(workdays, world.tables.zone)
    p_win, expected, log_sd, p_learnt = (
        pairs[name].to_numpy(dtype=np.float64) for name in ("p_win", "expected_amount", "amount_log_sd", "p_learnt")
    )
    return gather_inputs(world.tables, outcomes, world.as_of, exposure, p_win, expected, log_sd, p_learnt)


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
