"""Guards of an effect, and the ladder that a number must climb before it is called one.

identified       every guard passes: the number may be acted on, within its interval
suggestive       the number is shown, marked: something softer is missing (few reps, a dose the data do not hold)
not_identified   a guard broke, or the data cannot carry it: the number is withheld and the reason given

Within-rep estimates break when managers answer to results, when a hidden drift moves treatment and outcome together,
or when the treatment hardly moves. Each leaves a trace: changes and levels disagree, or *future* treatment predicts
the present outcome. What varies at random within a month and stays hidden leaves none: hence a sensitivity line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from models.drivers.clustered import Floats, Interval, codes_of, coefficient_interval
from models.drivers.panel_effects import (
    EffectError,
    PanelEffect,
    demean_two_way,
    first_differences,
    fixed_effects,
    independent_columns,
    make_panel,
    shifted,
)

Verdict = Literal["identified", "suggestive", "not_identified"]

ALPHA = 0.03  # two such guards: about 6 % of sound worlds are withheld, and every simulated break is still caught
MIN_MOVING_UNITS = 6
FEW_MOVING_UNITS = 10
_MIN_WITHIN_SHARE = 0.02
_PLACEBO_SHARE = 0.25
_PLACEBO_DRAWS = 20
_NOTHING_LEFT = 1e-14
# Reasons that withhold the number; every other reason only marks it.
BLOCKING = (
    "no_variation",
    "too_few_reps",
    "levels_and_changes_disagree",
    "future_predicts_present",
    "slow_drift",
    "arms_differ",
    "within_and_between_disagree",
    "cannot_estimate",
)


@dataclass(frozen=True)
class Guards:
    """Outcome of every guard; a p of None means that the guard could not run on these data.

    `agreement_p`: levels (fixed effects) against changes (first differences). `future_p`: coefficient of future
    treatment. `placebo_share`: share of placebo treatments whose 90 % interval excludes 0 (0.10 when all is well).
    """

    agreement_p: float | None
    future_p: float | None
    placebo_share: float | None
    moving_units: int
    within_share: float
    dose_low: float
    dose_high: float
    reasons: tuple[str, ...]


def agreement_p(levels: PanelEffect, changes: PanelEffect) -> float:
    """p that two estimates on the same units differ by chance, their clusters' errors being shared.

    Raises EffectError where they come from different unit lists.
    """
    if len(levels.influence) != len(changes.influence):
        raise EffectError("the two estimates come from different units and cannot be compared")
    gap = levels.interval.estimate - changes.interval.estimate
    raw = float(np.linalg.norm(levels.influence - changes.influence))
    inflation = max(_inflation(levels), _inflation(changes))
    if raw <= 0:
        return 1.0 if gap == 0 else 0.0
    dof = min(levels.interval.dof, changes.interval.dof)
    return float(2 * stats.t.sf(abs(gap) / (raw * inflation), max(1.0, dof)))


def _inflation(effect: PanelEffect) -> float:
    """How much the small-sample correction widened the plain sandwich error."""
    plain = float(np.linalg.norm(effect.influence))
    return max(1.0, effect.interval.se / plain) if plain > 0 else 1.0


def future_treatment(unit: npt.ArrayLike, time: npt.ArrayLike, treatment: npt.ArrayLike, ahead: int) -> Floats:
    """Mean treatment of the same unit over those of the next `ahead` times that there are, shape (n,); NaN at none."""
    steps = np.array([shifted(unit, time, treatment, step) for step in range(1, ahead + 1)])
    there = np.isfinite(steps)
    count = there.sum(axis=0)
    total = np.where(there, steps, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def future_effect(
    unit: npt.ArrayLike,
    time: npt.ArrayLike,
    treatment: npt.ArrayLike,
    outcome: npt.ArrayLike,
    controls: npt.ArrayLike | None = None,
) -> Interval:
    """Coefficient of *future* treatment on the present outcome, present treatment held: 0 where the model holds.

    Looks one time ahead; for a course (a share from 0 to 1) three, as people are chosen for a course over months.
    """
    d = np.asarray(treatment, dtype=np.float64)
    whole = d[np.isfinite(d)]
    course = bool(len(whole)) and float(whole.min()) >= 0 and float(whole.max()) <= 1
    ahead = future_treatment(unit, time, d, 3 if course else 1)
    extra = np.empty((len(d), 0)) if controls is None else np.asarray(controls, dtype=np.float64).reshape(len(d), -1)
    return fixed_effects(unit, time, ahead, outcome, np.column_stack([d, extra])).interval


def placebo_share(
    unit: npt.ArrayLike,
    time: npt.ArrayLike,
    treatment: npt.ArrayLike,
    outcome: npt.ArrayLike,
    controls: npt.ArrayLike | None,
    rng: np.random.Generator,
    draws: int = _PLACEBO_DRAWS,
) -> float:
    """Share of placebo treatments called real at 90 %: each rep's own path, turned round by a random offset.

    The estimated effect is taken out of the outcome first, else a true effect would look like a broken placebo.
    """
    panel = make_panel(unit, time, treatment, outcome, controls)
    order = np.lexsort((panel.time, panel.unit))
    d, y = panel.treatment[order], panel.outcome[order]
    units, times, extra = panel.unit[order], panel.time[order], panel.controls[order]
    real = fixed_effects(units, times, d, y, extra).interval.estimate
    codes, _ = codes_of(times)
    rest = demean_two_way(np.column_stack([y - real * d, extra]), units, codes)
    # What controls explain is taken out once; a draw then costs one more sweep.
    basis = np.linalg.qr(independent_columns(rest[:, 1:], extra))[0] if extra.shape[1] else rest[:, :0]
    left = rest[:, 0] - basis @ (basis.T @ rest[:, 0])
    starts = np.flatnonzero(np.r_[True, units[1:] != units[:-1]])
    lengths = np.diff(np.r_[starts, len(units)])
    position = np.arange(len(units)) - np.repeat(starts, lengths)
    rejected = ran = 0
    for _ in range(draws):
        offset = np.repeat(rng.integers(0, lengths), lengths)
        turned = d[np.repeat(starts, lengths) + (position + offset) % np.repeat(lengths, lengths)]
        own = demean_two_way(turned, units, codes)[:, 0]
        own -= basis @ (basis.T @ own)
        if own @ own <= _NOTHING_LEFT * max(float(turned @ turned), 1e-300):
            continue
        slope = float(own @ left / (own @ own))
        found = coefficient_interval(
            own[:, None], np.array([slope]), left - slope * own, units, absorbed=int(codes.max()) + 1, correction="CR1"
        )
        ran += 1
        rejected += found.ci_low > 0 or found.ci_high < 0
    return rejected / ran if ran else float("nan")


def run_guards(
    levels: PanelEffect,
    unit: npt.ArrayLike,
    time: npt.ArrayLike,
    treatment: npt.ArrayLike,
    outcome: npt.ArrayLike,
    controls: npt.ArrayLike | None,
    rng: np.random.Generator,
    *,
    dose: tuple[float, float] | None = None,
    agreement_alpha: float = ALPHA,
) -> Guards:
    """Every guard of a within-unit estimate `levels` on the arrays that it came from.

    `dose`: least and most treatment that the data hold, where it is not that of these rows. `agreement_alpha`: p below
    which levels and changes are said to disagree.
    """
    agreed: float | None
    future: float | None
    try:
        agreed = agreement_p(levels, first_differences(unit, time, treatment, outcome, controls))
    except EffectError:
        agreed = None
    try:
        future = future_effect(unit, time, treatment, outcome, controls).p_value
    except EffectError:
        future = None
    share = placebo_share(unit, time, treatment, outcome, controls, rng)
    panel = make_panel(unit, time, treatment, outcome, controls)
    spread = float(panel.treatment.std())
    within = levels.within_sd / spread if spread > 0 else 0.0
    low, high = dose or dose_range(panel.treatment)
    return Guards(
        agreement_p=agreed,
        future_p=future,
        placebo_share=None if np.isnan(share) else share,
        moving_units=levels.moving_units,
        within_share=within,
        dose_low=low,
        dose_high=high,
        reasons=_reasons(agreed, future, share, levels.moving_units, within, high - low, agreement_alpha),
    )


def dose_range(treatment: Floats) -> tuple[float, float]:
    """5th and 95th percentile of the treatment; of a course (0 or 1) the least and the most."""
    whole = treatment[np.isfinite(treatment)]
    ends = (0.0, 1.0) if np.isin(whole, (0.0, 1.0)).all() else (0.05, 0.95)
    return float(np.quantile(whole, ends[0])), float(np.quantile(whole, ends[1]))


def _reasons(
    agreed: float | None, future: float | None, share: float, moving: int, within: float, dose: float, alpha: float
) -> tuple[str, ...]:
    found: list[str] = []
    if within < _MIN_WITHIN_SHARE:
        found.append("no_variation")
    if moving < MIN_MOVING_UNITS:
        found.append("too_few_reps")
    elif moving < FEW_MOVING_UNITS:
        found.append("few_reps")
    if agreed is not None and agreed < alpha:
        found.append("levels_and_changes_disagree")
    if future is not None and future < ALPHA:
        found.append("future_predicts_present")
    if agreed is None and future is None:
        found.append("guards_could_not_run")
    if share > _PLACEBO_SHARE:
        found.append("placebo_found")
    if dose < 1.0:
        found.append("step_beyond_data")
    return tuple(found)


def level_if_shown(level: float, *alphas: float) -> float:
    """Level of an interval that is shown only where guards pass, so that it misses at most 1 - `level` of those shown.

    `alphas`: how often each guard withholds a sound number. Where the numbers that pass are the wrong ones more often
    than others, what is shown misses more than what was computed, by at most the share withheld (Bonferroni):
    P(miss | shown) <= P(miss) / P(shown).

    References
    ----------
    Roth (2022), Pretest with caution: event-study estimates after testing for parallel trends.
    """
    return 1.0 - (1.0 - level) * max(0.0, 1.0 - sum(alphas))


def verdict_of(reasons: tuple[str, ...]) -> Verdict:
    """Rung of the ladder that the reasons leave: any blocking one withholds, any other one marks."""
    if any(reason in BLOCKING for reason in reasons):
        return "not_identified"
    return "suggestive" if reasons else "identified"


def unit_spread(
    unit: npt.ArrayLike, time: npt.ArrayLike, outcome: npt.ArrayLike, rng: np.random.Generator, draws: int = 400
) -> tuple[float, float, float]:
    """Variance of units' mean outcome after time effects, the variance that chance alone gives, and the p of more.

    Chance: the rows of a time are dealt out to its units at random. Where units do not differ beyond it, there is no
    rep driver to look for.
    """
    panel = make_panel(unit, time, np.zeros(len(np.asarray(unit))), outcome)
    _, times = np.unique(panel.time, return_inverse=True)
    rest = demean_two_way(panel.outcome, np.zeros(len(times), dtype=np.int64), times.astype(np.int64))[:, 0]
    counts = np.bincount(panel.unit)
    rows = np.argsort(times, kind="stable")

    def spread(values: Floats) -> float:
        return float(np.var(np.bincount(panel.unit, weights=values) / counts, ddof=1))

    seen = spread(rest)
    chance = np.empty(draws)
    for draw in range(draws):
        dealt = np.empty_like(rest)
        dealt[rows] = rest[np.lexsort((rng.random(len(times)), times))]
        chance[draw] = spread(dealt)
    return seen, float(chance.mean()), float((1 + np.sum(chance >= seen)) / (draws + 1))
