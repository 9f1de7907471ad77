"""The transport problem: which lead goes to which rep, each at most once, each rep within his places.

Maximise the sum of `values` over the chosen pairs plus `hold_value` over the held leads. Solved by an auction with
epsilon scaling over rep classes, forward and reverse, so that a rep with room always has price 0. The dual prices
certify the answer: `gap` is a proven distance from the optimum, not an estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from features.errors import RequestError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_COLD = 0.25  # epsilon to begin with where no prices are known
_SHRINK = 5.0  # of epsilon from phase to phase
_MOST_PHASES = 30


@dataclass(frozen=True)
class Assignment:
    """The answer of a transport problem.

    `choice` (L,): rep of each lead, -1 = held. `prices` (R,) >= 0: value of a rep's last place. `subsidies` (R,)
    >= 0: what a rep with a lower bound is given on top to reach it. `objective`: sum of values of the chosen pairs and
    of hold values. `gap`: proven relative distance from the optimum (of the problem with bonuses, where bounds are
    given). `short` (R,): places by which a lower bound could not be met.
    """

    choice: Integers
    prices: Floats
    subsidies: Floats
    objective: float
    gap: float
    short: Integers


@dataclass(frozen=True)
class Bounds:
    """Wishes on top of capacity.

    `lower` (R,): fewest leads of a rep, met where leads are left that may go to him. `upper_high` (R,): most leads
    with `high` (L,) True of a rep, never exceeded.
    """

    lower: Integers | None = None
    upper_high: Integers | None = None
    high: Flags | None = None


@dataclass(frozen=True)
class _Columns:
    """Reps split into columns of like places: `rep` (K,), `places` (K,), `any_lead` (K,), `bonus` (K,) in {0, 1}."""

    rep: Integers
    places: Integers
    any_lead: Flags
    bonus: Flags


def solve_transport(
    values: Floats,
    eligible: Flags,
    capacity: Integers,
    hold_value: float | Floats = 0.0,
    *,
    bounds: Bounds | None = None,
    start_prices: Floats | None = None,
    tolerance: float = 1e-4,
) -> Assignment:
    """Assignment within `tolerance` (relative, proven by duality) of the optimum.

    Parameters
    ----------
    values
        (L, R), any unit, any sign; finite where eligible.
    eligible
        (L, R); False is never chosen.
    capacity
        (R,) places >= 0.
    hold_value
        Worth of a held lead, one number or (L,).
    bounds
        Lower bounds and bounds on high-value leads.
    start_prices
        (R,) prices to start from, e.g. of the last solution; only speed depends on them.

    Raises
    ------
    RequestError
        Shapes that do not fit, a negative capacity, or an eligible value that is not finite.
    """
    values = np.ascontiguousarray(values, dtype=np.float64)
    capacity = np.asarray(capacity, dtype=np.int64)
    _check(values, eligible, capacity)
    n_leads, n_reps = values.shape
    hold = np.broadcast_to(np.asarray(hold_value, dtype=np.float64), (n_leads,)).copy()
    usable = eligible & (capacity > 0)[None, :]
    if n_leads == 0 or n_reps == 0 or not usable.any():
        nothing, none = np.zeros(n_reps), np.full(n_leads, -1, dtype=np.int64)
        short = _shortfall(none, capacity, bounds)
        return Assignment(none, nothing, nothing.copy(), float(hold.sum()), 0.0, short)
    columns = _split(np.minimum(capacity, n_leads + 1), bounds)  # one place is always free: its price must be 0
    largest = float(np.abs(values[usable]).max())
    scale = max(largest, float(np.abs(hold).max(initial=0.0))) or 1.0
    bonus = 0.0 if bounds is None else 2.0 * (largest + float(np.abs(hold).max(initial=0.0))) / scale
    net = _column_values(values, usable, columns, bounds, scale, bonus)
    start = None if start_prices is None or bounds is not None else np.maximum(start_prices, 0.0) / scale
    solution = _auction(net, hold / scale, columns.places, start, tolerance)
    return _collect(values, hold, solution, columns, scale, bonus, capacity, bounds)


@dataclass(frozen=True)
class Solved:
    """Scaled answer of one auction: `choice` (L,) columns, `price`, `filled` (K,), proven relative `gap`."""

    choice: Integers
    price: Floats
    filled: Integers
    gap: float


def _auction(net: Floats, hold: Floats, places: Integers, start: Floats | None, tolerance: float) -> Solved:
    """The auction of leads that each have a row of their own."""
    net = np.ascontiguousarray(net)  # one compiled version, and leads scan their row
    return auction(net, np.arange(net.shape[0]), hold, places, start, tolerance)


def auction(
    net: Floats, rows: Integers, hold: Floats, places: Integers, start: Floats | None, tolerance: float,
    first: float = 0.01, by_rep: Floats | None = None,
) -> Solved:  # fmt: skip
    """Phases of falling epsilon until the duality gap is within `tolerance`; lead i has row `rows[i]` of `net`.

    `first`: the epsilon that prices to start from (of a problem much like this one) are bid up with. `by_rep`: `net`
    turned, contiguous, where it is at hand.
    """
    from models.routing import kernels

    choice = np.full(rows.size, -1, dtype=np.int64)
    price, filled = np.zeros(places.size), np.zeros(places.size, dtype=np.int64)
    begin = price.copy() if start is None else np.asarray(start, dtype=np.float64)
    epsilon = _COLD if start is None else first
    turned = np.ascontiguousarray(net.T) if by_rep is None else by_rep
    gap = kernels.auction(
        net, turned, rows, hold, places, begin, epsilon, _SHRINK, tolerance, _MOST_PHASES, choice, price, filled
    )
    return Solved(choice, price, filled, float(gap))


def _worth(net: Floats, hold: Floats, choice: Integers) -> Floats:
    """(L,) value of each lead where it is."""
    return np.where(choice >= 0, net[np.arange(choice.size), np.maximum(choice, 0)], hold)


def _check(values: Floats, eligible: Flags, capacity: Integers) -> None:
    if values.ndim != 2 or eligible.shape != values.shape or capacity.shape != (values.shape[1],):
        raise RequestError(
            f"transport: values {values.shape}, eligible {eligible.shape} and capacity {capacity.shape} do not fit; "
            "expected (leads, reps), the same, and (reps,)"
        )
    if capacity.size and int(capacity.min()) < 0:
        raise RequestError(f"transport: capacity of rep {int(capacity.argmin())} is {int(capacity.min())}; at least 0")
    wrong = eligible & ~np.isfinite(values)
    if wrong.any():
        lead, rep = np.argwhere(wrong)[0]
        raise RequestError(f"transport: value of lead {lead} at rep {rep} is {values[lead, rep]}; a finite number")


def _split(capacity: Integers, bounds: Bounds | None) -> _Columns:
    """Columns of like places. Exact: any set of leads within a rep's bounds fits his columns, and no other.

    The first `lower` places carry the bonus, the first `upper_high` take leads of high value; both runs start at
    the rep's first place, so at most three columns a rep arise.
    """
    n_reps = capacity.size
    if bounds is None:
        ones = np.ones(n_reps, dtype=np.bool_)
        return _Columns(np.arange(n_reps, dtype=np.int64), capacity, ones, ~ones)
    lower = np.zeros(n_reps, dtype=np.int64) if bounds.lower is None else np.minimum(bounds.lower, capacity)
    upper = capacity if bounds.upper_high is None else np.clip(bounds.upper_high, 0, capacity)
    rows = []
    for rep in range(n_reps):
        edges = sorted({0, int(lower[rep]), int(upper[rep]), int(capacity[rep])})
        rows += [(rep, b - a, a < upper[rep], a < lower[rep]) for a, b in pairwise(edges)]
    table = list(zip(*rows, strict=True))
    return _Columns(
        np.array(table[0], dtype=np.int64), np.array(table[1], dtype=np.int64),
        np.array(table[2], dtype=np.bool_), np.array(table[3], dtype=np.bool_),
    )  # fmt: skip


def _column_values(
    values: Floats, usable: Flags, columns: _Columns, bounds: Bounds | None, scale: float, bonus: float
) -> Floats:
    """(L, K) scaled values, -inf where ruled out."""
    if bounds is None:
        return np.where(usable, values, -np.inf) / scale
    # `take` keeps rows together, where indexing would turn the matrix and make all that follows many times slower.
    net = np.take(values, columns.rep, axis=1)
    net /= scale
    net += columns.bonus * bonus
    barred = ~np.take(usable, columns.rep, axis=1)
    if bounds.high is not None:
        barred |= bounds.high[:, None] & ~columns.any_lead[None, :]
    np.copyto(net, -np.inf, where=barred)
    return net


def _collect(
    values: Floats,
    hold: Floats,
    solved: Solved,
    columns: _Columns,
    scale: float,
    bonus: float,
    capacity: Integers,
    bounds: Bounds | None,
) -> Assignment:
    """The answer in reps and the caller's unit."""
    choice = np.where(solved.choice >= 0, columns.rep[np.maximum(solved.choice, 0)], -1)
    signed = np.full(capacity.size, np.inf)
    np.minimum.at(signed, columns.rep, solved.price - columns.bonus * bonus)
    signed[~np.isfinite(signed)] = 0.0
    signed *= scale
    objective = float(_worth(values, hold, choice).sum())
    short = _shortfall(choice, capacity, bounds)
    return Assignment(choice, np.maximum(signed, 0.0), np.maximum(-signed, 0.0), objective, solved.gap, short)


def _shortfall(choice: Integers, capacity: Integers, bounds: Bounds | None) -> Integers:
    """(R,) leads missing to each rep's lower bound."""
    if bounds is None or bounds.lower is None:
        return np.zeros(capacity.size, dtype=np.int64)
    given = np.bincount(choice[choice >= 0], minlength=capacity.size)
    return np.maximum(bounds.lower - given, 0).astype(np.int64)
