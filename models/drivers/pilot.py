"""A pilot that would tell: who gets a measure first by lot, how many, for how long, and what it could then show.

Where observation cannot identify a lever, drawing lots can: half of a group gets it first, the others after the pilot.
Lots are drawn within pairs that are alike in team, tenure and output beforehand, so that chance cannot put the strong
on one side. What a pilot can show follows from the desk's own months: how much a rep's month varies, and how much of
that a rep keeps from month to month (which the months before take out again).

    smallest effect = (t[1 - alpha / 2] + t[power]) * sqrt(variance * (1 / n_first + 1 / n_later))
    variance        = variance of a rep's mean month in the pilot, given his mean month before it (ANCOVA)

Sign: positive = more money. Unit: that of the outcome, a rep and month.

References
----------
McKenzie (2012), Beyond baseline and follow-up: the case for more T in experiments (ANCOVA with several months).
Burlig, Preonas, Woerman (2020), Panel data and experimental design (any serial correlation).
Bloom (1995), Minimum detectable effects.
Bruhn, McKenzie (2009), In pursuit of balance: randomization in practice in development field experiments (pairs).
Morgan, Rubin (2012), Rerandomization to improve covariate balance in experiments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from features.messages import message
from models.drivers.clustered import LEVEL, Floats, Ints, codes_of
from models.drivers.panel_effects import EffectError, demean_two_way, shifted

POWER: Final = 0.80
LONGEST: Final = 6
FEWEST_REPS: Final = 8
_EVEN = 0.2  # standard deviations
_MOST_DRAWS = 100
_FEWEST_PAIRS = 10  # of neighbouring months, to speak of a correlation at all


@dataclass(frozen=True)
class History:
    """How reps' months vary once the months' own ups and downs are out.

    `mean` and `sd` of a rep's month; `near`: correlation of a rep's neighbouring months; `far`: of months further
    apart, the share of variance that belongs to the rep (intraclass correlation).
    """

    mean: float
    sd: float
    near: float
    far: float
    n_units: int
    n_rows: int

    def covariance(self, lag: Ints) -> Floats:
        """Covariance of two months of a rep `lag` months apart."""
        apart = np.abs(lag)
        return self.sd**2 * np.where(apart == 0, 1.0, np.where(apart == 1, self.near, self.far))


@dataclass(frozen=True)
class Duration:
    """A pilot of `months`: the smallest effect that it would show with the power asked for, and the power for it."""

    months: int
    smallest_effect: float
    power: float


@dataclass(frozen=True)
class PilotPlan:
    """Who gets the measure first, and what that will tell.

    `first` (n,) True where a unit gets it at once; `block` (n,): units of one block were drawn against each other.
    `durations`: one to six months; `chosen`: the shortest that shows `wanted` with the power asked for, else the
    longest. `enough`: whether that one does. `needed`: reps in both arms that the longest would take.
    """

    ids: tuple[str, ...]
    first: tuple[bool, ...]
    block: tuple[int, ...]
    wanted: float
    durations: tuple[Duration, ...]
    chosen: Duration
    enough: bool
    needed: int | None
    history: History

    @property
    def n_first(self) -> int:
        """Units that get it at once."""
        return sum(self.first)


def outcome_history(
    unit: npt.ArrayLike, time: npt.ArrayLike, outcome: npt.ArrayLike, controls: npt.ArrayLike | None = None
) -> History:
    """How reps' months vary and hang together: unit (n,), time (n,) whole numbers, outcome (n,), controls (n, k).

    Times and controls, such as tenure, are taken out first. Raises EffectError with fewer than three units or too few
    neighbouring months.
    """
    y = np.asarray(outcome, dtype=np.float64)
    extra = np.empty((len(y), 0)) if controls is None else np.asarray(controls, dtype=np.float64).reshape(len(y), -1)
    whole = np.isfinite(y) & np.isfinite(extra).all(axis=1)
    codes, n_units = codes_of(np.asarray(unit)[whole])
    times = np.asarray(time)[whole].astype(np.int64)
    y, extra = y[whole], extra[whole]
    if n_units < 3:
        raise EffectError(message("pilot.few_reps", n=n_units))
    columns = codes_of(times)[0]
    within = demean_two_way(np.column_stack([y, extra]), np.zeros(len(y), dtype=np.int64), columns)
    rest = within[:, 0] - within[:, 1:] @ np.linalg.lstsq(within[:, 1:], within[:, 0], rcond=1e-8)[0]
    free = max(1, len(y) - int(columns.max()) - 1 - extra.shape[1])
    variance = float(rest @ rest) / free
    near, n_near = _lagged(codes, times, rest, (1,))
    if n_near < _FEWEST_PAIRS:
        raise EffectError(message("pilot.few_months", n=n_near))
    far, n_far = _lagged(codes, times, rest, range(2, int(times.max() - times.min()) + 1))
    scale = variance if variance > 0 else 1.0
    kept = float(np.clip(near / scale, 0.0, 0.99))
    return History(
        mean=float(y.mean()),
        sd=variance**0.5,
        near=kept,
        far=float(np.clip(far / scale, 0.0, kept)) if n_far >= _FEWEST_PAIRS else kept,
        n_units=n_units,
        n_rows=len(y),
    )


def _lagged(codes: Ints, times: Ints, rest: Floats, lags: Sequence[int]) -> tuple[float, int]:
    """Mean product of rows of one unit that lie so far apart, and how many there are."""
    total, n = 0.0, 0
    for lag in lags:
        other = shifted(codes, times, rest, -lag)
        both = np.isfinite(other)
        total += float(rest[both] @ other[both])
        n += int(both.sum())
    return (total / n if n else 0.0), n


def mean_variance(history: History, before: int, after: int) -> float:
    """Variance of a rep's mean over `after` months, given his mean over the `before` months ahead of them."""
    pre, post = np.arange(before), before + np.arange(after)
    own = float(history.covariance(post[:, None] - post[None, :]).mean())
    if before == 0:
        return own
    base = float(history.covariance(pre[:, None] - pre[None, :]).mean())
    shared = float(history.covariance(pre[:, None] - post[None, :]).mean())
    return max(0.0, own - shared**2 / base) if base > 0 else own


def smallest_effect(
    history: History,
    n_first: int,
    n_later: int,
    before: int,
    after: int,
    *,
    power: float = POWER,
    level: float = LEVEL,
) -> float:
    """Smallest effect that two arms of that size show with `power`, tested two-sided at 1 - `level`."""
    error, dof = _error(history, n_first, n_later, before, after)
    return float(stats.t.ppf(0.5 + level / 2, dof) + stats.t.ppf(power, dof)) * error


def power_for(
    effect: float, history: History, n_first: int, n_later: int, before: int, after: int, *, level: float = LEVEL
) -> float:
    """Chance that an interval at `level` of such a pilot excludes 0 on the right side, if the truth is `effect`."""
    error, dof = _error(history, n_first, n_later, before, after)
    if error <= 0:
        return 1.0 if effect else 0.0
    return float(stats.t.cdf(abs(effect) / error - stats.t.ppf(0.5 + level / 2, dof), dof))


def reps_needed(
    effect: float, history: History, before: int, after: int, *, power: float = POWER, level: float = LEVEL
) -> int | None:
    """Reps in both arms together that a pilot needs to show `effect` with `power`; None where the effect is 0."""
    if not effect:
        return None
    spread = mean_variance(history, before, after) / effect**2
    normal = float(stats.norm.ppf(0.5 + level / 2) + stats.norm.ppf(power))
    n = max(2, int(2 * spread * normal**2))
    while smallest_effect(history, n, n, before, after, power=power, level=level) > abs(effect):
        n += max(1, n // 200)
    return 2 * n


def _error(history: History, n_first: int, n_later: int, before: int, after: int) -> tuple[float, float]:
    if min(n_first, n_later) < 2 or after < 1 or before < 0:
        raise EffectError(message("pilot.arms", first=n_first, later=n_later, months=after))
    spread = mean_variance(history, before, after) * (1 / n_first + 1 / n_later)
    return spread**0.5, float(n_first + n_later - 2 - (before > 0))


def draw_arms(
    ids: Sequence[str], strata: Sequence[npt.ArrayLike], output: npt.ArrayLike, rng: np.random.Generator
) -> tuple[npt.NDArray[np.bool_], Ints]:
    """Who is first, bool (n,), and the block of each unit (n,): pairs alike in every stratum and close in `output`.

    `strata`: labels (n,) each, the most important first; `output` (n,) beforehand, NaN where there is none. Who finds
    no partner in his stratum is paired with one who is alike in the strata before it; a last odd one by a coin alone.
    Lots are drawn again while the arms' outputs lie more than a fifth of a standard deviation apart, at most 100 times;
    then the most even draw counts. The order of rows changes nothing: units are sorted by id first.
    """
    names = np.asarray(ids, dtype=object).astype(str)
    level = np.asarray(output, dtype=np.float64)
    level = np.where(np.isfinite(level), level, np.nanmean(level) if np.isfinite(level).any() else 0.0)
    labels = [np.asarray(one, dtype=object).astype(str) for one in strata]
    block = np.full(len(names), -1, dtype=np.int64)
    left, made = np.lexsort((names, level)), 0
    for depth in range(len(labels), -1, -1):
        waiting: dict[tuple[str, ...], int] = {}
        for row in left:
            key = tuple(str(one[row]) for one in labels[:depth])
            if key in waiting:
                block[[waiting.pop(key), row]] = made
                made += 1
            else:
                waiting[key] = int(row)
        left = np.array(sorted(waiting.values(), key=lambda row: (level[row], names[row])), dtype=np.int64)
    for row in left:
        block[row], made = made, made + 1
    members = [sorted(np.flatnonzero(block == one).tolist(), key=lambda row: names[row]) for one in range(made)]
    draws = (_lots(members, len(names), rng) for _ in range(_MOST_DRAWS))
    best, least = np.zeros(len(names), dtype=bool), np.inf
    for first in draws:
        apart = _apart(level, first)
        if apart < least:
            best, least = first, apart
        if apart <= _EVEN:
            break
    return best, block


def _lots(blocks: Sequence[Sequence[int]], n: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """One of each pair at random; who has no partner by a coin."""
    first = np.zeros(n, dtype=bool)
    for members in blocks:
        chosen = int(rng.integers(2))
        if chosen < len(members):
            first[members[chosen]] = True
    return first


def _apart(level: Floats, first: npt.NDArray[np.bool_]) -> float:
    """Difference of the arms' mean output in standard deviations; infinite where an arm is empty."""
    if first.all() or not first.any():
        return float("inf")
    spread = float(level.std())
    return abs(float(level[first].mean() - level[~first].mean())) / spread if spread > 0 else 0.0


def plan_pilot(
    ids: Sequence[str],
    strata: Sequence[npt.ArrayLike],
    output: npt.ArrayLike,
    history: History,
    rng: np.random.Generator,
    *,
    wanted: float | None = None,
    before: int = LONGEST,
    power: float = POWER,
    level: float = LEVEL,
) -> PilotPlan:
    """A pilot among the units `ids`, drawn by lot, with the shortest duration that shows `wanted` (default: a tenth
    of a mean month) with `power`. `before`: months of output known ahead of it. EffectError with fewer than 8 units.
    """
    if len(ids) < FEWEST_REPS:
        raise EffectError(message("pilot.few_eligible", least=FEWEST_REPS, n=len(ids)))
    first, block = draw_arms(ids, strata, output, rng)
    n_first, n_later = int(first.sum()), int((~first).sum())
    aim = abs(history.mean) / 10 if wanted is None else abs(wanted)
    durations = tuple(
        Duration(
            months,
            smallest_effect(history, n_first, n_later, before, months, power=power, level=level),
            power_for(aim, history, n_first, n_later, before, months, level=level),
        )
        for months in range(1, LONGEST + 1)
    )
    chosen = next((one for one in durations if one.smallest_effect <= aim), durations[-1])
    return PilotPlan(
        ids=tuple(str(one) for one in ids),
        first=tuple(bool(one) for one in first),
        block=tuple(int(one) for one in block),
        wanted=aim,
        durations=durations,
        chosen=chosen,
        enough=chosen.smallest_effect <= aim,
        needed=reps_needed(aim, history, before, LONGEST, power=power, level=level),
        history=history,
    )
