"""Samples of contribution by rep and month, and the table that the contract asks for.

Teams and the company are sums of the reps' draws, so they add up in every draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.errors import RequestError
from features.messages import message

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Level = Literal["rep", "team", "company"]

LEVELS = tuple(k / 10 for k in range(1, 10))
QUANTILES = tuple(f"p{k}" for k in range(10, 100, 10))
COMPANY = "company"


@dataclass(frozen=True)
class Draws:
    """Sampled contribution in major units.

    Attributes
    ----------
    rep_ids, team_ids
        (n_reps,) ids; a team may be "".
    months
        (n_months,) month indices.
    samples
        (n_draws, n_reps, n_months); a draw is one state of the world, so it may be summed over reps and months.
    closed
        (n_reps, n_months) what is closed already: the least that a sample can be.
    expected
        (n_reps, n_months) mean in closed form where the method has one, else the samples' mean.
    present
        (n_reps, n_months) False where the rep is known to have left before that month.
    method
        What made them: "funnel", "panel", "mean_6", "blend", ...
    """

    rep_ids: tuple[str, ...]
    team_ids: tuple[str, ...]
    months: Integers
    samples: Floats
    closed: Floats
    expected: Floats
    present: npt.NDArray[np.bool_]
    method: str = "funnel"

    def of(self, rep_ids: Sequence[str]) -> Draws:
        """Draws of some reps, in the order asked."""
        place = {rep: i for i, rep in enumerate(self.rep_ids)}
        unknown = [rep for rep in rep_ids if rep not in place]
        if unknown:
            raise RequestError(message("unknown.rep_forecast", rep=unknown[0]))
        at = np.array([place[rep] for rep in rep_ids], dtype=np.int64)
        return replace(
            self,
            rep_ids=tuple(rep_ids),
            team_ids=tuple(self.team_ids[i] for i in at),
            samples=self.samples[:, at],
            closed=self.closed[at],
            expected=self.expected[at],
            present=self.present[at],
        )

    def summed(self, level: Level) -> tuple[tuple[str, ...], Floats]:
        """Ids and samples (n_draws, n_ids, n_months) of a level.

        Reps without a team are in the company's sum and in no team's.
        """
        if level == "rep":
            return self.rep_ids, self.samples
        if level == "company":
            return (COMPANY,), self.samples.sum(axis=1, keepdims=True)
        teams = tuple(sorted(set(self.team_ids) - {""}))
        out = np.empty((len(self.samples), len(teams), len(self.months)))
        member = np.array(self.team_ids, dtype=object)
        for i, team in enumerate(teams):
            out[:, i] = self.samples[:, member == team].sum(axis=1)
        return teams, out


def to_table(
    draws: Draws,
    level: Level = "rep",
    targets: pd.DataFrame | None = None,
    miss_ratio: float = 0.8,
    as_of: int = 0,
    zone: str = "UTC",
) -> pd.DataFrame:
    """The forecast as the contract's columns, a row an id and month, sorted by id and month.

    `rep_id` (level rep) or `level, id`; `month` YYYY-MM; `as_of` ISO 8601; `mean, p10 .. p90` in major units,
    quantiles in order; `target`; `p_miss` = share of draws below miss_ratio x target, NaN without a target.

    Parameters
    ----------
    targets
        `rep_id, month (index), amount (major units)`. A team's or the company's target is the sum of its reps'
        targets of that month, and `p_miss` compares it with the sum of just those reps, so that a rep without a
        target neither helps nor harms; without any target both are NaN.
    """
    goals = _goals(draws, targets)
    ids, samples = draws.summed(level)
    blocks: list[pd.DataFrame] = []
    for i, name in enumerate(ids):
        mine = _members(draws, level, name, i)
        keep = np.flatnonzero(draws.present[mine].any(axis=0))
        block = pd.DataFrame(_summary(samples[:, i], np.array(draws.months)))
        block["target"], block["p_miss"] = _miss(draws, goals, mine, miss_ratio)
        block.insert(0, "id", name)
        blocks.append(block.iloc[keep])
    table = pd.concat(blocks, ignore_index=True) if blocks else _no_rows()
    table.insert(2, "as_of", moments.iso(as_of, zone))
    table = table.sort_values(["id", "month"], kind="stable").reset_index(drop=True)
    if level == "rep":
        return table.rename(columns={"id": "rep_id"})
    table.insert(0, "level", level)
    return table


def _no_rows() -> pd.DataFrame:
    numbers = ["mean", *QUANTILES, "target", "p_miss"]
    return pd.DataFrame(
        {**{c: pd.Series([], dtype="str") for c in ("id", "month")}, **{c: np.empty(0) for c in numbers}}
    )


def _summary(samples: Floats, months: Integers) -> dict[str, object]:
    """Month texts, means and ordered quantiles of samples (n_draws, n_months)."""
    quantiles = np.maximum.accumulate(np.quantile(samples, LEVELS, axis=0), axis=0)
    out: dict[str, object] = {"month": [moments.month_text(int(m)) for m in months], "mean": samples.mean(axis=0)}
    out |= {name: quantiles[k] for k, name in enumerate(QUANTILES)}
    return out


def _goals(draws: Draws, targets: pd.DataFrame | None) -> Floats:
    """Target by rep and month, NaN where there is none."""
    out = np.full((len(draws.rep_ids), len(draws.months)), np.nan)
    if targets is None or not len(targets):
        return out
    rep = pd.Index(draws.rep_ids).get_indexer(pd.Index(targets["rep_id"].astype(str)))
    month = pd.Index(draws.months).get_indexer(pd.Index(targets["month"]))
    fits = (rep >= 0) & (month >= 0)
    out[rep[fits], month[fits]] = targets["amount"].to_numpy(dtype=np.float64)[fits]
    return np.where(draws.present, out, np.nan)


def _members(draws: Draws, level: Level, name: str, i: int) -> Integers:
    if level == "rep":
        return np.array([i], dtype=np.int64)
    if level == "company":
        return np.arange(len(draws.rep_ids), dtype=np.int64)
    return np.flatnonzero(np.array(draws.team_ids, dtype=object) == name).astype(np.int64)


def _miss(draws: Draws, goals: Floats, mine: Integers, miss_ratio: float) -> tuple[Floats, Floats]:
    """Target and chance of a miss by month for a group of reps; both NaN where nobody has a target."""
    has = np.isfinite(goals[mine])
    target = np.where(has.any(axis=0), np.nansum(goals[mine], axis=0), np.nan)
    total = np.where(has[None], draws.samples[:, mine], 0.0).sum(axis=1)
    below = (total < miss_ratio * np.nan_to_num(target)[None]).mean(axis=0)
    return target, np.where(np.isfinite(target), below, np.nan)
