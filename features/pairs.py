"""Training rows of the conversion model: a lead in the hands of a rep, as known when it was handed over."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.moments import NEVER
from features.outcomes import lead_outcomes
from features.world import World

PAIR_IDS = ("lead_id", "rep_id", "as_of", "y", "outcome", "resolved_at", "maturity", "amount")


def build_pairs(world: World, include_own_prospects: bool = False) -> pd.DataFrame:
    """One row a lead's last hand-over: ids, what became of it by `world.as_of`, and features as of the hand-over.

    `as_of` = assigned_at; `y` 1 won, 0 lost or dead, NaN open; `maturity` whether it is resolved; `amount` in major
    units, NaN unless won. Features are float64, lead categories str. Left out: a rep's own prospects unless asked
    for (nobody chose to whom they went), and leads handed over only after they were closed. Sorted by as_of and lead.
    """
    outcomes = lead_outcomes(world.tables, world.as_of, world.spec.dead_after_days)
    kept = (outcomes["assigned_at"] <= outcomes["resolved_at"]).to_numpy()
    if not include_own_prospects:
        kept = kept & ~outcomes["own_prospect"].to_numpy(dtype=bool)
    frame = outcomes.loc[kept].sort_values(["assigned_at", "lead_id"], kind="stable", ignore_index=True)
    leads = world.tables.leads.set_index("lead_id", drop=False).loc[frame["lead_id"]].reset_index(drop=True)
    reps, moments = world.rep_codes(frame["rep_id"].to_numpy()), frame["assigned_at"].to_numpy(dtype=np.int64)
    won = (frame["outcome"] == "won").to_numpy()
    resolved = (frame["resolved_at"] != NEVER).to_numpy()
    ids = pd.DataFrame(
        {
            "lead_id": frame["lead_id"],
            "rep_id": frame["rep_id"],
            "as_of": moments,
            "y": np.where(resolved, won, np.nan).astype(np.float64),
            "outcome": frame["outcome"],
            "resolved_at": frame["resolved_at"],
            "maturity": resolved,
            "amount": frame["amount"],
        }
    )
    parts = [
        ids,
        world.lead_features(leads, moments),
        world.rep_features(reps, moments),
        world.pair_features(leads, reps, moments),
        world.rep_categories(reps, moments),
    ]
    return pd.concat(parts, axis=1)
