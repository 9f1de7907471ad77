"""What the desk's own wishes cost: newcomers' minimum and the bound on high-value leads, in value and in wins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.routing.transport import Assignment, Bounds, solve_transport

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class BoundCost:
    """What a rule takes from the best assignment without it: `value` and expected `wins`, positive = a loss;

    `short`: places by which a minimum could not be met.
    """

    value: float
    wins: float
    short: int


def bound_costs(
    values: Floats, wins: Floats, eligible: Flags, capacity: Integers, bounds: Bounds
) -> dict[str, BoundCost]:
    """Cost of `newcomer_min`, of `high_value_max` and of `both`, over leads (L, R) that share one week's places."""
    free = solve_transport(values, eligible, capacity)
    rules = {
        "newcomer_min": Bounds(lower=bounds.lower),
        "high_value_max": Bounds(upper_high=bounds.upper_high, high=bounds.high),
        "both": bounds,
    }
    return {name: _cost(values, wins, eligible, capacity, rule, free) for name, rule in rules.items()}


def _cost(
    values: Floats, wins: Floats, eligible: Flags, capacity: Integers, rule: Bounds, free: Assignment
) -> BoundCost:
    bound = solve_transport(values, eligible, capacity, bounds=rule)
    lost = expected_wins(free.choice, wins) - expected_wins(bound.choice, wins)
    return BoundCost(free.objective - bound.objective, lost, int(bound.short.sum()))


def expected_wins(choice: Integers, wins: Floats) -> float:
    """Sum of win probabilities (L, R) over the placed leads."""
    rows = np.flatnonzero(choice >= 0)
    return float(wins[rows, choice[rows]].sum())
