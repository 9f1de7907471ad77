"""What a replayed policy gains over the desk's habit by the model, with an interval, and what the desk's wishes cost.

The interval is that of the fitted model: the gain is a sum of probabilities, its gradient by the effects is put through
their joint posterior covariance (delta method). Where both policies chose the same rep nothing is unsure; where they
differ, what is not known of the two reps is. What the model leaves out (reps who change, leads that behave otherwise)
is allowed for by a factor measured on worlds with known truth (`benchmarks/simulate_coverage.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.conversion.design import text_column
from models.conversion.predictor import Trained
from models.routing.bounds import BoundCost, bound_costs
from models.routing.replay import Stream
from models.routing.transport import Bounds

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

LEVEL: Final = 0.9
_Z90: Final = 1.6448536269514722
_LEFT_OUT: Final = 1.5  # of the model's own standard error


@dataclass(frozen=True)
class Gain:
    """Expected wins and money (major units) over all replayed leads, policy less habit, with 90 % intervals."""

    wins: float
    wins_low: float
    wins_high: float
    value: float
    value_low: float
    value_high: float


def model_gain(trained: Trained, ours: pd.DataFrame, habit: pd.DataFrame, slope: float) -> Gain:
    """Gain of the placed pairs `ours` over the placed pairs `habit`.

    Frames of pairs with the model's columns, `rep_id`, `p` (0-1) and `worth` (money if won); `slope` of calibration.
    """
    wins = float(ours["p"].sum() - habit["p"].sum())
    value = float((ours["p"] * ours["worth"]).sum() - (habit["p"] * habit["worth"]).sum())
    errors = []
    for scale in ("", "worth"):
        fixed, blocks, unknown = (
            a - b for a, b in zip(_gradient(trained, ours, scale), _gradient(trained, habit, scale), strict=True)
        )
        beta, effects = trained.fit.factor.solve(fixed, blocks)
        prior = np.array([trained.fit.variances[name] for name in trained.groups.cells])
        variance = float(fixed @ beta + (blocks * effects).sum() + (unknown**2 * prior).sum())
        errors.append(_LEFT_OUT * slope * float(np.sqrt(max(variance, 0.0))))
    half = [_Z90 * error for error in errors]
    return Gain(wins, wins - half[0], wins + half[0], value, value - half[1], value + half[1])


def _gradient(trained: Trained, pairs: pd.DataFrame, scale: str) -> tuple[Floats, Floats, Floats]:
    """Derivative of the pairs' sum of p (times worth) by fixed effects (p,), reps' effects (R, K), and those of reps
    whom the model does not know, taken together (K,)."""
    design, known = trained.model.design, trained.model.rep_index
    encoded = design.encode(pairs)
    p = pairs["p"].to_numpy(dtype=np.float64)
    weight = p * (1.0 - p) * (pairs[scale].to_numpy(dtype=np.float64) if scale else 1.0)
    fixed = weight @ design.dense(encoded)
    rep = np.array([known.get(str(name), len(known)) for name in text_column(pairs, "rep_id")], dtype=np.int64)
    blocks = np.zeros((len(known) + 1, design.n_cells + 1))
    for cells in encoded.cells.T:
        np.add.at(blocks, (rep, cells), weight)
    return fixed, blocks[:-1, :-1], blocks[-1, :-1]


@dataclass(frozen=True)
class RuleCost:
    """What a rule of the desk costs over the replayed weeks: expected wins and money lost, places it fell short by."""

    rule: str
    wins: float
    value: float
    short: int


def rule_costs(
    stream: Stream,
    start: int,
    value: Floats,
    wins: Floats,
    newcomer: Flags,
    high: Flags,
    newcomer_min: int,
    high_value_max: int | None,
) -> tuple[RuleCost, ...]:
    """Costs of the rules that are set, summed over the weeks' exact optima with and without them; () without any."""
    asked = [("newcomer_min", newcomer_min > 0), ("high_value_max", high_value_max is not None)]
    asked.append(("both", asked[0][1] and asked[1][1]))
    names = [name for name, there in asked if there]
    if not names:
        return ()
    totals = {name: [0.0, 0.0, 0] for name in names}
    rows = np.arange(start, stream.n_leads)
    for at, week in enumerate(stream.weeks):
        mine = rows[stream.week[rows] == week]
        if not mine.size:
            continue
        capacity = stream.capacity[at]
        lower = np.where(newcomer, np.minimum(newcomer_min, capacity), 0).astype(np.int64)
        upper = capacity if high_value_max is None else np.full(capacity.size, high_value_max, dtype=np.int64)
        bounds = Bounds(lower, upper, high[mine])
        costs: dict[str, BoundCost] = bound_costs(value[mine], wins[mine], stream.eligible[mine], capacity, bounds)
        for name in names:
            totals[name][0] += costs[name].wins
            totals[name][1] += costs[name].value
            totals[name][2] += costs[name].short
    return tuple(RuleCost(name, float(a), float(b), int(c)) for name, (a, b, c) in totals.items())


__all__ = ["LEVEL", "Gain", "RuleCost", "model_gain", "rule_costs"]
