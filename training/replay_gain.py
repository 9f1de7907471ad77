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

from features.config import Routing
from models.conversion.design import text_column
from models.conversion.predictor import Trained
from models.routing.bounds import Wishes, bound_costs
from models.routing.replay import Stream
from models.routing.share import NewcomerShare

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
    """What a rule of the desk costs over the replayed weeks: expected wins and money lost, places it fell short by.

    `missing`: money by which newcomers stayed below their share in weeks that could not give them more.
    """

    rule: str
    wins: float
    value: float
    short: int
    missing: float = 0.0


@dataclass(frozen=True)
class RuleScene:
    """What the desk's rules are about. `newcomer` (R,); `high` (L,) of high value; `owner` (L,) rep of the lead's
    account, -1 = nobody; None: there are no accounts."""

    newcomer: Flags
    high: Flags
    owner: Ints | None = None


def rule_costs(
    stream: Stream,
    start: int,
    objective: Floats,
    value: Floats,
    wins: Floats,
    scene: RuleScene,
    routing: Routing,
) -> tuple[RuleCost, ...]:
    """Costs of the rules that are set, summed over the weeks' exact optima with and without them; () without any.

    `objective`, `value` (money) and `wins` (0-1) are (L, R): what routing maximises, and what is told of it.
    """
    totals: dict[str, list[float]] = {}
    rows = np.arange(start, stream.n_leads)
    for at, week in enumerate(stream.weeks):
        mine = rows[stream.week[rows] == week]
        if not mine.size:
            continue
        capacity = stream.capacity[at]
        wishes = _wishes(scene, mine, capacity, routing)
        costs = bound_costs(objective[mine], wins[mine], stream.eligible[mine], capacity, wishes, value[mine])
        for name, cost in costs.items():
            so_far = totals.setdefault(name, [0.0, 0.0, 0.0, 0.0])
            for place, more in enumerate((cost.wins, cost.value, cost.short, cost.missing)):
                so_far[place] += more
    return tuple(RuleCost(name, a, b, int(c), d) for name, (a, b, c, d) in totals.items())


def _wishes(scene: RuleScene, mine: Ints, capacity: Ints, routing: Routing) -> Wishes:
    """The rules that are set, for one week's leads."""
    lower = np.where(scene.newcomer, np.minimum(routing.newcomer_min, capacity), 0).astype(np.int64)
    most = routing.high_value_max
    owned = routing.same_account and scene.owner is not None
    return Wishes(
        lower=lower if routing.newcomer_min > 0 else None,
        upper_high=None if most is None else np.full(capacity.size, most, dtype=np.int64),
        high=scene.high[mine],
        share=NewcomerShare(routing.newcomer_share, scene.newcomer) if routing.newcomer_share > 0 else None,
        owner=scene.owner[mine] if owned and scene.owner is not None else None,
    )


__all__ = ["LEVEL", "Gain", "RuleCost", "RuleScene", "model_gain", "rule_costs"]
