"""The forecast under other circumstances: follow-ups, lead share, absence, more leads, for a rep, a team or all.

Two answers, never mixed: what the model would forecast (the same chain under the change, from equal random numbers),
and what an effect estimate says of the follow-ups, where one is supported. The model's answer carries along who usually
has such a value; only the effect says what changing it would do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.errors import RequestError
from features.messages import message
from models.forecasting.contribution import ContributionModel
from models.forecasting.draws import Draws, Level, to_table
from models.forecasting.inputs import Changes, ForecastInputs

SUPPORTED = frozenset({"identified", "suggestive"})


@dataclass(frozen=True)
class FollowUpEffect:
    """Effect of one more follow-up a week on a rep's contribution, in money a month with its 90 % interval."""

    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    verdict: str


def members_of(inputs: ForecastInputs, level: Level, name: str | None) -> tuple[str, ...]:
    """Ids of the reps that a level and id name; RequestError where there are none."""
    if level == "company":
        return inputs.rep_ids
    wanted = inputs.reps["rep_id" if level == "rep" else "team_id"].astype(str) == name
    found = tuple(map(str, inputs.reps.loc[wanted.to_numpy(), "rep_id"]))
    if not found:
        raise RequestError(message("unknown.level_forecast", level=message(f"level.{level}"), of=str(name)))
    return found


def what_if_table(
    now: Draws, then: Draws, reps: tuple[str, ...], targets: pd.DataFrame, miss_ratio: float
) -> pd.DataFrame:
    """Both forecasts side by side, a row a month: `month, mean, mean_then, difference, p10_then, p90_then, p_miss,
    p_miss_then` in major units; a team's rows are sums of its draws.
    """
    tables = [to_table(draws.of(reps), "company", targets, miss_ratio) for draws in (now, then)]
    old, new = (table.set_index("month") for table in tables)
    return pd.DataFrame(
        {
            "month": old.index,
            "mean": old["mean"].to_numpy(),
            "mean_then": new["mean"].to_numpy(),
            "difference": (new["mean"] - old["mean"]).to_numpy(),
            "p10_then": new["p10"].to_numpy(),
            "p90_then": new["p90"].to_numpy(),
            "p_miss": old["p_miss"].to_numpy(),
            "p_miss_then": new["p_miss"].to_numpy(),
        }
    )


def follow_up_gain(
    effect: FollowUpEffect | None, rates: Mapping[str, float], reps: tuple[str, ...], ratio: float
) -> dict[str, float | str | None]:
    """What the effect says of follow-ups x ratio: `verdict, units, gain, gain_low, gain_high`, money a month.

    `rates`: follow-ups a week and open lead of each rep now; `units` are the further follow-ups a week on average. All
    None where no effect is supported.
    """
    nothing: dict[str, float | str | None] = {
        "verdict": "no_estimate" if effect is None else effect.verdict,
        "units": None,
        "gain": None,
        "gain_low": None,
        "gain_high": None,
    }
    known = [rates[rep] for rep in reps if np.isfinite(rates.get(rep, float("nan")))]
    if effect is None or effect.verdict not in SUPPORTED or effect.estimate is None or not known or ratio == 1.0:
        return nothing
    units = (ratio - 1.0) * float(np.sum(known))
    ends = [None if end is None else end * units for end in (effect.ci_low, effect.ci_high)]
    low, high = sorted(ends, key=lambda v: (v is None, v or 0.0))
    return {
        "verdict": effect.verdict,
        "units": units / len(known),
        "gain": effect.estimate * units,
        "gain_low": low,
        "gain_high": high,
    }


def forecast_both(
    model: ContributionModel, inputs: ForecastInputs, changes: Changes, panel_rows: pd.DataFrame | None, n_draws: int,
    seed: int = 7,
) -> tuple[Draws, Draws]:  # fmt: skip
    """The forecast as it stands and under the changes, from equal random numbers."""
    return model.what_if(np.random.default_rng(seed), inputs, changes, panel_rows, n_draws)
