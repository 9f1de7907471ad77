"""Where two sums of money part: a rep against his peers, a month against the one before.

Parts come from the panel model's contributions; what the model does not explain is a part of its own and is named
so. Every decomposition adds up to the last unit: `total` equals the floating-point sum of its parts in order.
Sign: positive = more than the peers, more than the month before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np
import numpy.typing as npt

from models.drivers.attribution import AttributionError, Contributions, DriverMap
from models.drivers.clustered import Floats, cluster_sums, codes_of

UNEXPLAINED = "unexplained"
_Z90 = 1.645
JOINERS = "joiners"
LEAVERS = "leavers"
LUCK = "luck_of_the_chosen"
# What a rep or his manager can move within a quarter; the rest is given to him.
CONTROLLABLE_GROUPS = ("activity", "skill")


@dataclass(frozen=True)
class Part:
    """One driver's (or `unexplained`, `joiners`, `leavers`) part of a difference, in money.

    `low`, `high`: 90 % range from months (of the rep) and reps (his peers, the desk); None where it cannot be had.
    """

    driver: str
    group: str
    amount: float
    controllable: bool
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Decomposition:
    """`total` = `after` - `before`, and parts, largest first with unexplained last, that sum to it exactly."""

    id: str
    before: float
    after: float
    total: float
    parts: tuple[Part, ...]

    @property
    def controllable(self) -> float:
        """Sum of the parts that the rep or his manager can move."""
        return fsum(part.amount for part in self.parts if part.controllable)

    @property
    def unexplained(self) -> float:
        """The part that the model does not explain: luck and what no table shows."""
        return fsum(part.amount for part in self.parts if part.group == UNEXPLAINED)


def rep_against_peers(
    rep_id: str,
    made: Contributions,
    rep_ids: Sequence[str],
    actual: npt.ArrayLike,
    mapping: DriverMap,
    peers: Sequence[str],
) -> Decomposition:
    """A rep's mean month less the mean month of `peers` (himself left out), taken apart by driver.

    `actual` (n,): contribution of each row of `made`; `rep_ids` (n,). Raises AttributionError without rows for the
    rep or without a single peer.
    """
    names = np.asarray(rep_ids, dtype=object).astype(str)
    own = names == rep_id
    others = np.isin(names, [p for p in peers if p != rep_id])
    if not own.any() or not others.any():
        raise AttributionError(f"rep {rep_id}: no rows of his own or of a peer to compare with")
    y = np.asarray(actual, dtype=np.float64)
    columns = np.column_stack([made.values, y - made.values.sum(axis=1)])
    gaps = columns[own].mean(axis=0) - columns[others].mean(axis=0)
    half = _Z90 * np.sqrt(_mean_variance(columns[own]) + _mean_variance(_by_rep(columns[others], names[others])))
    named = {driver: float(gap) for driver, gap in zip(made.drivers, gaps[:-1], strict=True)}
    ranges = dict(zip((*made.drivers, UNEXPLAINED), half.tolist(), strict=True))
    return _closed(rep_id, float(y[others].mean()), float(y[own].mean()), named, {}, mapping, ranges)


def _by_rep(columns: Floats, names: npt.NDArray[np.str_]) -> Floats:
    """Mean of each rep's rows, (reps, k)."""
    codes, n = codes_of(names)
    return cluster_sums(columns, codes, n) / np.bincount(codes, minlength=n)[:, None]


def _mean_variance(columns: Floats) -> Floats:
    """Variance of the mean of rows (n, k), NaN for a single row: it tells nothing of its own chance."""
    n = len(columns)
    return columns.var(axis=0, ddof=1) / n if n > 1 else np.full(columns.shape[1], np.nan)


def luck_share(unit: npt.ArrayLike, outcome: npt.ArrayLike, n_months: int) -> float:
    """Share (0-1) of the lead of units chosen as best on `n_months` that is luck: they fall back by it afterwards.

    One less the reliability of a mean of so many months: variance between units over all variance of their means.
    `outcome` (n,): each unit's months, the months' own ups and downs taken out. 1 where units do not differ beyond
    chance. Normal theory; months that hang together make chance look smaller than it is.

    References
    ----------
    Galton (1886), Regression towards mediocrity; Efron, Morris (1977), Stein's paradox in statistics.
    """
    codes, n = codes_of(unit)
    y = np.asarray(outcome, dtype=np.float64)
    counts = np.bincount(codes, minlength=n).astype(np.float64)
    means = np.bincount(codes, weights=y, minlength=n) / counts
    free = float(np.maximum(counts - 1, 0).sum())
    if n < 2 or free <= 0:
        return 1.0
    chance = float(np.sum((y - means[codes]) ** 2)) / free
    between = max(0.0, float(np.var(means, ddof=1)) - chance * float(np.mean(1 / counts)))
    noise = chance / n_months
    return noise / (between + noise) if between + noise > 0 else 1.0


def with_luck(found: Decomposition, luck: float) -> Decomposition:
    """The same gap with `luck` money (of the others' having been chosen) taken out of what is not explained."""
    parts = tuple(part for part in found.parts if part.group != UNEXPLAINED)
    own = Part(LUCK, UNEXPLAINED, -luck, False)
    rest = [part for part in found.parts if part.group == UNEXPLAINED]
    left = fsum([found.after, -found.before, *(-part.amount for part in (*parts, own))])
    moved = rest[0]
    shift = left - moved.amount
    ends = [None if end is None else end + shift for end in (moved.low, moved.high)]
    whole = (*parts, own, Part(UNEXPLAINED, UNEXPLAINED, left, False, ends[0], ends[1]))
    return Decomposition(found.id, found.before, found.after, fsum(part.amount for part in whole), whole)


def against_peers(interventional: Contributions, own: npt.NDArray[np.bool_]) -> Contributions:
    """Contributions against the others only, from those against a whole group that the rows `own` (n,) belong to.

    One background serves a whole group: a row's parts against its own rep's rows cancel on average (swapping the two
    players of a game swaps the sign of every value), so leaving them out only rescales.
    """
    n, mine = len(own), int(own.sum())
    if mine == n:
        raise AttributionError("a rep cannot be compared with himself alone")
    scale = n / (n - mine)
    return Contributions(
        interventional.drivers, interventional.values * scale, interventional.prediction, interventional.baseline
    )


def month_against_month(
    before: Contributions,
    after: Contributions,
    ids_before: Sequence[str],
    ids_after: Sequence[str],
    actual_before: npt.ArrayLike,
    actual_after: npt.ArrayLike,
    mapping: DriverMap,
    name: str = "company",
) -> Decomposition:
    """Change of the total from one month to the next: joiners, leavers, and by driver for those in both.

    One row a rep and month in each of the two. Raises AttributionError where a rep occurs twice in a month or the
    models' drivers differ.
    """
    if before.drivers != after.drivers:
        raise AttributionError("the two months are explained by different drivers")
    first, second = _rows(ids_before), _rows(ids_after)
    y0, y1 = np.asarray(actual_before, dtype=np.float64), np.asarray(actual_after, dtype=np.float64)
    stay = sorted(set(first) & set(second))
    rows0, rows1 = [first[rep] for rep in stay], [second[rep] for rep in stay]
    each = after.values[rows1] - before.values[rows0]
    gaps = each.sum(axis=0)
    half = _Z90 * len(stay) * np.sqrt(_mean_variance(each)) if stay else np.full(each.shape[1], np.nan)
    named = {driver: float(gap) for driver, gap in zip(before.drivers, gaps, strict=True)}
    moves = {
        JOINERS: fsum(y1[second[rep]] for rep in sorted(set(second) - set(first))),
        LEAVERS: -fsum(y0[first[rep]] for rep in sorted(set(first) - set(second))),
    }
    ranges = dict(zip(before.drivers, half.tolist(), strict=True))
    return _closed(name, fsum(y0), fsum(y1), named, moves, mapping, ranges)


def _rows(ids: Sequence[str]) -> dict[str, int]:
    rows = {str(rep): row for row, rep in enumerate(ids)}
    if len(rows) != len(ids):
        raise AttributionError("a rep occurs more than once in a month")
    return rows


def _closed(
    name: str,
    before: float,
    after: float,
    named: Mapping[str, float],
    moves: Mapping[str, float],
    mapping: DriverMap,
    ranges: Mapping[str, float],
) -> Decomposition:
    """Decomposition whose unexplained part closes the sum exactly; `ranges`: half widths of the parts' intervals."""
    parts = [
        _part(driver, mapping.group(driver), amount, mapping.group(driver) in CONTROLLABLE_GROUPS, ranges)
        for driver, amount in named.items()
    ]
    parts += [Part(move, "staff", amount, False) for move, amount in moves.items()]
    parts.sort(key=lambda part: (-abs(part.amount), part.driver))
    rest = fsum([after, -before, *(-part.amount for part in parts)])
    whole = (*parts, _part(UNEXPLAINED, UNEXPLAINED, rest, False, ranges))
    # The parts' own sum is the total, so that a reader who adds them up meets no last digit that differs.
    return Decomposition(name, before, after, fsum(part.amount for part in whole), whole)


def _part(driver: str, group: str, amount: float, controllable: bool, ranges: Mapping[str, float]) -> Part:
    half = ranges.get(driver, float("nan"))
    known = np.isfinite(half)
    return Part(driver, group, amount, controllable, amount - half if known else None, amount + half if known else None)


def effective_heads(days_present: npt.ArrayLike, working_days: npt.ArrayLike) -> float:
    """Heads in full-time equivalents: each rep's days present over the month's working days, at most 1, summed.

    `days_present`, `working_days` (n,), one entry a rep. A rep who joined mid-month or was on leave counts in part.
    """
    present, whole = np.asarray(days_present, dtype=np.float64), np.asarray(working_days, dtype=np.float64)
    share = np.where(whole > 0, present / np.where(whole > 0, whole, 1.0), 0.0)
    return fsum(np.clip(share, 0.0, 1.0))
