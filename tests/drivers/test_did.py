"""Did it work: closed forms, a known truth under staggered starts, a null, guards that withhold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from models.drivers.did import difference_in_differences
from models.drivers.growth import expected_untouched
from models.drivers.panel_effects import EffectError

NEVER = np.nan


def long(outcome, starts, first=24_000):
    """Arrays of a grid (units, times) and a start a unit (column or NaN)."""
    n, width = outcome.shape
    unit = np.repeat([f"R{k:03d}" for k in range(n)], width)
    time = np.tile(np.arange(width) + first, n)
    start = np.repeat(np.asarray(starts, dtype=float) + first, width)
    return unit, time, start, outcome.ravel()


def staggered(seed, effect=2.0, reps=60, months=24, fault=""):
    """Rounds at 10, 13 and 16; the touched are weaker all along, the season moves all, a course helps later rounds."""
    rng = np.random.default_rng(seed)
    starts = np.where(np.arange(reps) < reps // 2, rng.choice([10, 13, 16], reps), NEVER)
    level = rng.normal(0, 2, reps) - 1.5 * np.isfinite(starts)
    noise = rng.normal(0, 1, (reps, months))
    noise[:, 1:] += 0.3 * noise[:, :-1].copy()
    y = level[:, None] + np.cumsum(rng.normal(0.3, 0.5, months))[None, :] + noise
    for rep in np.flatnonzero(np.isfinite(starts)):
        s = int(starts[rep])
        y[rep, s:] += effect * (1 + 0.05 * (s - 13))
        if fault in ("dip", "hump"):
            y[rep, s - 2 : s] -= 2.0
        if fault == "hump":  # no slope, and yet a dip
            y[rep, max(0, s - 12) : max(0, s - 12) + 2] -= 2.0
        if fault == "slope":
            y[rep] += 0.2 * np.arange(months)
    return y, starts


def test_one_round_and_one_month_after_is_welchs_test_on_the_changes():
    rng = np.random.default_rng(0)
    y = rng.normal(0, 1, (40, 9)) + 5 * rng.normal(size=(40, 1)) + np.arange(9)
    y[:15, 8] += 3.0
    starts = np.where(np.arange(40) < 15, 8, NEVER)
    found = difference_in_differences(*long(y, starts))
    change = y[:, 8] - y[:, :8].mean(axis=1)
    oracle = stats.ttest_ind(change[:15], change[15:], equal_var=False).confidence_interval(0.90)
    assert found.interval.estimate == pytest.approx(change[:15].mean() - change[15:].mean())
    assert (found.interval.ci_low, found.interval.ci_high) == pytest.approx((oracle.low, oracle.high))
    assert (found.n_touched, found.n_untouched, found.rounds) == (15, 25, 1)
    assert found.before_after == pytest.approx(change[:15].mean())
    assert found.before_after > found.interval.estimate + 3  # the season is in the one and not in the other


def test_later_rounds_are_compared_with_the_not_yet_touched_and_never_with_the_touched():
    """Effects that grow make an already touched unit a wrong yardstick: two-way fixed effects would be off."""
    months, growth = 16, 2.0
    starts = np.repeat([6.0, 9.0, NEVER], 12)
    season = np.sin(np.arange(months))
    after = np.maximum(np.arange(months)[None, :] - starts[:, None] + 1, 0)
    y = np.arange(36.0)[:, None] + season[None, :] + growth * np.nan_to_num(after)
    y += np.random.default_rng(1).normal(0, 1e-3, y.shape)
    found = difference_in_differences(*long(y, starts), after=3)
    assert found.interval.estimate == pytest.approx(growth * 2.0, abs=2e-3)  # (1 + 2 + 3) / 3 steps of growth
    assert found.interval.se < 1e-3


def test_known_truth_is_found_and_covered_under_staggered_starts():
    inside, estimates, bare = [], [], []
    for seed in range(60):
        y, starts = staggered(seed)
        found = difference_in_differences(*long(y, starts))
        if found.interval is None:
            continue
        touched = np.isfinite(starts)
        truth = np.mean(2.0 * (1 + 0.05 * (starts[touched] - 13)))
        inside.append(found.interval.ci_low <= truth <= found.interval.ci_high)
        estimates.append(found.interval.estimate / truth)
        bare.append(found.before_after / truth)
    assert len(inside) >= 50  # the guard of trends lets sound worlds through
    assert 0.80 <= np.mean(inside) <= 0.98
    assert np.mean(estimates) == pytest.approx(1.0, abs=0.05)
    assert np.mean(bare) > 1.5  # the bare before-after takes the market for the measure


def test_where_nothing_happened_nothing_is_found():
    called = 0
    for seed in range(100, 160):
        y, starts = staggered(seed, effect=0.0)
        found = difference_in_differences(*long(y, starts)).interval
        called += found is not None and not found.ci_low <= 0 <= found.ci_high
    assert called <= 11  # 10 % by construction; 11 of 60 is its 95th percentile


@pytest.mark.parametrize("fault", ["dip", "slope", "hump"])
def test_differing_trends_before_withhold_the_number(fault):
    withheld = 0
    for seed in range(20):
        y, starts = staggered(seed, fault=fault)
        found = difference_in_differences(*long(y, starts))
        withheld += found.interval is None and found.reasons == ("trends_differ",)
        assert np.isfinite(found.before_after)
    assert withheld >= 19


def test_the_months_of_choosing_can_be_left_out():
    """A dip that belongs to the weeks on the course is no trend, and must not enter the yardstick."""
    found = [difference_in_differences(*long(*staggered(seed, fault="dip")), gap=2) for seed in range(20)]
    shown = [one for one in found if one.verdict == "identified"]
    assert len(shown) >= 16
    assert np.mean([one.interval.estimate for one in shown]) == pytest.approx(2.0, abs=0.25)
    assert all({-1, -2}.isdisjoint({step.time for step in one.path}) for one in shown)


def test_controls_take_out_what_would_have_changed_anyway():
    rng = np.random.default_rng(5)
    y, starts = staggered(5, effect=1.0)
    ramp = np.cumsum(rng.normal(0.1, 0.3, y.shape), axis=1) + 0.3 * np.isfinite(starts)[:, None] * np.arange(24)
    y = y + 2.0 * ramp
    assert difference_in_differences(*long(y, starts)).reasons == ("trends_differ",)
    found = difference_in_differences(*long(y, starts), ramp.ravel())
    assert found.interval.ci_low <= 1.0 <= found.interval.ci_high


def test_missing_months_and_joiners_do_not_tilt_the_comparison():
    y, starts = staggered(8)
    y = y + 3.0 * np.arange(24)  # a strong market: comparing different months would show
    rng = np.random.default_rng(8)
    unit, time, start, outcome = long(y, starts)
    kept = rng.random(len(time)) > 0.25
    found = difference_in_differences(unit[kept], time[kept], start[kept], outcome[kept])
    assert found.interval.estimate == pytest.approx(2.0, abs=0.6)


def test_everybody_at_once_or_too_few_leave_no_comparison():
    y, _ = staggered(1)
    alone = difference_in_differences(*long(y, np.full(60, 12.0)))
    assert (alone.interval, alone.reasons) == (None, ("nobody_untouched",))
    assert np.isfinite(alone.before_after)
    none = difference_in_differences(*long(y, np.full(60, NEVER)))
    assert none.reasons == ("nobody_touched",)
    few = difference_in_differences(*long(y, np.where(np.arange(60) < 4, 12.0, NEVER)))
    assert few.interval is None
    assert "too_few_reps" in few.reasons
    eight = difference_in_differences(*long(y[30:], np.where(np.arange(30) < 8, 12.0, NEVER)))
    assert (eight.verdict, eight.reasons) == ("suggestive", ("few_reps",))
    early = difference_in_differences(*long(y, np.where(np.arange(60) < 30, 2.0, NEVER)))
    assert early.reasons == ("trend_unchecked",)


def test_order_and_names_change_nothing():
    y, starts = staggered(2)
    unit, time, start, outcome = long(y, starts)
    plain = difference_in_differences(unit, time, start, outcome).interval
    order = np.random.default_rng(0).permutation(len(unit))
    other = difference_in_differences(np.char.add("x", unit[order]), time[order], start[order], outcome[order]).interval
    assert (other.estimate, other.se) == pytest.approx((plain.estimate, plain.se))


def test_unfit_arrays_are_refused():
    y, starts = staggered(1)
    unit, time, start, outcome = long(y, starts)
    with pytest.raises(EffectError, match="differ in length"):
        difference_in_differences(unit[1:], time, start, outcome)
    with pytest.raises(EffectError, match="whole numbers"):
        difference_in_differences(unit, time.astype(float), start, outcome)
    with pytest.raises(EffectError, match="more than one row"):
        difference_in_differences(
            np.r_[unit, unit[:1]], np.r_[time, time[:1]], np.r_[start, start[:1]], np.r_[outcome, 1]
        )
    start = start.copy()
    start[0] = 24_003.0
    with pytest.raises(EffectError, match="more than one start"):
        difference_in_differences(unit, time, start, outcome)


def growing(seed, reps=60, months=24, gain=0.0):
    """A market that doubles lifts all in proportion; the weak are touched and gain `gain` times their level."""
    rng = np.random.default_rng(seed)
    starts = np.where(np.arange(reps) < reps // 2, rng.choice([10, 13, 16], reps), NEVER)
    level = np.where(np.isfinite(starts), 5.0, 20.0) * rng.gamma(20, 1 / 20, reps)
    market = np.exp(np.linspace(0, np.log(2), months))
    since = np.arange(months)[None, :] - np.nan_to_num(starts, nan=1e6)[:, None]
    mean = level[:, None] * market * (1 + gain * (since >= 0))
    truth = (gain * level[:, None] * market)[(since >= 0) & (since < 6)].mean() if gain else 0.0
    return rng.gamma(8, mean / 8), starts, truth


def _after_less_before(y, starts):
    """What adding the same to everybody would say of the first round, guards aside."""
    late, early = y[:, 10:13].mean(axis=1), y[:, :10].mean(axis=1)
    return (late - early)[starts == 10].mean() - (late - early)[~np.isfinite(starts)].mean()


def test_growth_in_proportion_is_no_effect():
    """Added up, the weak would seem to lose by being touched; in proportion they do not, and a true gain is found."""
    level, ratio, gained = [], [], []
    for seed in range(12):
        y, starts, _ = growing(seed)
        level.append(_after_less_before(y, starts))
        ratio.append(difference_in_differences(*long(y, starts), proportional=True).interval)
        y, starts, truth = growing(seed, gain=0.5)
        gained.append(difference_in_differences(*long(y, starts), proportional=True).interval.estimate / truth)
    assert np.mean(level) < -2
    assert abs(np.mean([one.estimate for one in ratio])) < 0.4
    assert sum(one.ci_low <= 0 <= one.ci_high for one in ratio) >= 9
    assert np.mean(gained) == pytest.approx(1.0, abs=0.15)


def test_expected_untouched_is_exact_where_growth_is_exact():
    """No noise: units, times and a control multiply; every row comes back, the touched ones as if untouched."""
    rng = np.random.default_rng(0)
    unit, time = np.repeat(np.arange(8), 10), np.tile(np.arange(10), 8)
    control = rng.normal(size=80)
    mean = np.exp(rng.normal(size=8)[unit] + rng.normal(size=10)[time] + 0.3 * control)
    free = (unit >= 3) | (time < 6)
    seen = np.where(free, mean, 5 * mean)
    assert expected_untouched(unit, time, seen, control[:, None], free) == pytest.approx(mean, rel=1e-3)
    with pytest.raises(EffectError, match="not negative"):
        expected_untouched(unit, time, -seen, control[:, None], free)


def test_first_times_may_be_left_out():
    """The effect comes two times after the start: with them it is a third low, without them whole."""
    whole, part = [], []
    for seed in range(10):
        y, starts = staggered(seed, effect=0.0)
        for rep in np.flatnonzero(np.isfinite(starts)):
            y[rep, int(starts[rep]) + 2 :] += 3.0
        part.append(difference_in_differences(*long(y, starts)).interval.estimate)
        found = difference_in_differences(*long(y, starts), ramp=2)
        whole.append(found.interval.estimate)
        assert max(step.time for step in found.path) == 7
    assert np.mean(part) == pytest.approx(2.0, abs=0.25)
    assert np.mean(whole) == pytest.approx(3.0, abs=0.25)
