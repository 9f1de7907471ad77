"""Within-rep estimates against oracles and known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.drivers.clustered import cautious_interval, codes_of, coefficient_interval, common_error
from models.drivers.guards import level_if_shown, run_guards, unit_spread, verdict_of
from models.drivers.panel_effects import (
    EffectError,
    demean_two_way,
    first_differences,
    fixed_effects,
    pooled_slope,
    shifted,
)


def unbalanced(seed: int, reps: int = 12, months: int = 14):
    rng = np.random.default_rng(seed)
    unit, time = (a.ravel() for a in np.meshgrid(np.arange(reps), np.arange(months), indexing="ij"))
    keep = rng.random(len(unit)) > 0.25
    unit, time = unit[keep], time[keep]
    X = rng.normal(size=(len(unit), 3)) + unit[:, None] * 0.2
    y = X @ [0.5, -0.3, 0.2] + unit + np.sin(time) + rng.normal(size=len(unit)) * (1 + unit / 6)
    return unit, time, X, y


def dummies(codes):
    return (codes[:, None] == np.unique(codes)).astype(float)


def test_fixed_effects_equal_least_squares_with_dummies_in_statsmodels():
    """Estimate equals LSDV; the CR1 error equals statsmodels' cluster error but for the parameters it counts."""
    import statsmodels.api as sm

    unit, time, X, y = unbalanced(0)
    design = np.column_stack([X, dummies(unit), dummies(time)[:, 1:]])
    oracle = sm.OLS(y, design).fit(cov_type="cluster", cov_kwds={"groups": unit})
    found = fixed_effects(unit, time, X[:, 0], y, X[:, 1:], correction="CR1").interval
    assert len(np.unique(unit)) * len(np.unique(time)) > len(unit)  # truly unbalanced
    assert found.estimate == pytest.approx(oracle.params[0], rel=1e-9)
    n, nested = len(y), len(np.unique(unit)) - 1  # unit effects are nested in the clusters: not counted
    ratio = np.sqrt((n - design.shape[1]) / (n - design.shape[1] + nested))
    assert found.se == pytest.approx(oracle.bse[0] * ratio, rel=1e-8)


def test_cr2_equals_the_dense_formula():
    """Bell and McCaffrey's matrices written out, on a small design."""
    rng = np.random.default_rng(1)
    clusters, _ = codes_of(rng.integers(0, 7, 60))
    X = rng.normal(size=(60, 3))
    y = X[:, 0] + rng.normal(size=60)
    beta = np.linalg.lstsq(X, y, rcond=None)[0]
    e = y - X @ beta
    gram = np.linalg.inv(X.T @ X)
    H = X @ gram @ X.T
    meat, G = np.zeros((3, 3)), []
    for g in range(7):
        at = clusters == g
        values, vectors = np.linalg.eigh(np.eye(at.sum()) - H[np.ix_(at, at)])
        A = vectors @ np.diag(values**-0.5) @ vectors.T
        meat += X[at].T @ A @ np.outer(e[at], e[at]) @ A @ X[at]
        G.append((np.eye(60) - H)[:, at] @ A @ X[at] @ gram[:, 0])
    B = np.array(G) @ np.array(G).T
    found = coefficient_interval(X, beta, e, clusters)
    assert found.se == pytest.approx(np.sqrt((gram @ meat @ gram)[0, 0]), rel=1e-10)
    assert found.dof == pytest.approx(np.trace(B) ** 2 / np.sum(B**2), rel=1e-10)


def test_cr3_is_the_jackknife_over_clusters():
    """Leaving each cluster out in turn: the sum of squared shifts of the coefficient."""
    rng = np.random.default_rng(4)
    clusters, _ = codes_of(rng.integers(0, 8, 80))
    X = rng.normal(size=(80, 2))
    y = X[:, 0] + rng.normal(size=80)
    beta = np.linalg.lstsq(X, y, rcond=None)[0]
    shifts = [np.linalg.lstsq(X[clusters != g], y[clusters != g], rcond=None)[0][0] - beta[0] for g in range(8)]
    found = coefficient_interval(X, beta, y - X @ beta, clusters, correction="CR3")
    assert found.se == pytest.approx(np.linalg.norm(shifts), rel=1e-9)


def test_a_cautious_error_is_never_below_that_of_independent_rows():
    """Residuals that cancel within clusters make a sandwich of nearly nothing."""
    clusters = np.repeat(np.arange(10), 2)
    X, residuals = np.ones((20, 1)), np.tile([1.0, -1.0], 10)
    assert coefficient_interval(X, np.ones(1), residuals, clusters).se < 1e-9
    found = cautious_interval(X, np.ones(1), residuals, clusters)
    assert found.se == pytest.approx(np.sqrt(20 / 19 / 20))
    shared = np.repeat(np.tile([1.0, -1.0], 5), 2)
    assert cautious_interval(X, np.ones(1), shared, clusters).se > 1.3 * found.se


def test_one_covariance_for_all_clusters_equals_its_sum_over_pairs_of_rows():
    """Pairs of different rows of a cluster go by the covariance of their times, learnt from all clusters."""
    rng = np.random.default_rng(5)
    clusters, times = codes_of(rng.integers(0, 6, 70))[0], codes_of(rng.integers(0, 4, 70))[0]
    X, scale = rng.normal(size=(70, 2)), rng.uniform(0.3, 1.5, 70)
    e = rng.normal(size=70)
    together = (clusters[:, None] == clusters) & ~np.eye(70, dtype=bool)
    shared = np.zeros((4, 4))
    for s in range(4):
        for t in range(4):
            pairs = together & (times[:, None] == s) & (times == t)
            shared[s, t] = np.outer(scale * e, scale * e)[pairs].sum() / np.outer(scale**2, scale**2)[pairs].sum()
    covariance = np.where(together, np.outer(scale, scale) * shared[times[:, None], times], 0.0)
    covariance += np.mean(e**2) * np.eye(70)
    bread = np.linalg.inv(X.T @ X)
    variance = (bread @ X.T @ covariance @ X @ bread)[1, 1] * 6 / 5 * 70 / 68
    assert variance > 0
    assert common_error(X, e, clusters, times, scale, 1) == pytest.approx(variance**0.5, rel=1e-9)


def test_months_that_hang_together_count_even_where_each_clusters_own_score_is_nothing():
    """Half of the clusters move like the others' residuals: a sandwich sees nothing, independent rows too little."""
    slow, fast = np.array([1.0, 1.0, -1.0, -1.0]), np.array([1.0, -1.0, 1.0, -1.0])
    X, residuals = np.tile(np.r_[slow, fast], 4)[:, None], np.tile(np.r_[fast, slow], 4)
    clusters, times = np.repeat(np.arange(8), 4), np.tile(np.arange(4), 8)
    assert coefficient_interval(X, np.zeros(1), residuals, clusters, correction="CR3").se < 1e-9
    without = cautious_interval(X, np.zeros(1), residuals, clusters).se
    assert cautious_interval(X, np.zeros(1), residuals, clusters, times=times).se > 1.4 * without


def test_what_passes_guards_misses_no_more_than_was_said():
    """The worst case: guards withhold only intervals that hold the truth."""
    level = level_if_shown(0.9, 0.03, 0.05)
    assert level == pytest.approx(1 - 0.1 * 0.92)
    missed, shown = 1 - level, 1 - 0.08
    assert missed / shown == pytest.approx(0.1)
    assert level_if_shown(0.9) == pytest.approx(0.9)


def test_first_differences_equal_a_regression_of_changes():
    unit, time, X, y = unbalanced(2)
    order = np.lexsort((time, unit))
    u, t, d, z = unit[order], time[order], X[order, 0], y[order]
    follow = (u[1:] == u[:-1]) & (t[1:] == t[:-1] + 1)
    D = np.column_stack([np.diff(d)[follow], dummies(t[1:][follow])])
    expected = np.linalg.lstsq(D, np.diff(z)[follow], rcond=None)[0][0]
    assert first_differences(unit, time, X[:, 0], y).interval.estimate == pytest.approx(expected, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_shuffled_rows_and_renamed_reps_change_nothing(seed):
    unit, time, X, y = unbalanced(seed % 50)
    order = np.random.default_rng(seed).permutation(len(y))
    one = fixed_effects(unit, time, X[:, 0], y).interval
    two = fixed_effects([f"x{99 - u}" for u in unit[order]], time[order], X[order, 0], y[order]).interval
    assert two.estimate == pytest.approx(one.estimate, rel=1e-8)
    assert two.se == pytest.approx(one.se, rel=1e-7)


def test_demeaning_leaves_no_unit_or_time_mean():
    unit, time, _, y = unbalanced(3)
    rest = demean_two_way(y, unit, codes_of(time)[0])[:, 0]
    for codes in (unit, time):
        assert np.abs(np.bincount(codes, weights=rest)).max() < 1e-7


def test_a_control_that_fixed_effects_absorb_is_dropped_and_a_still_treatment_refused():
    unit, time, X, y = unbalanced(4)
    tenure = unit * 3.0 + time / 12  # rep and month effects give it exactly
    with_tenure = fixed_effects(unit, time, X[:, 0], y, tenure).interval.estimate
    assert with_tenure == pytest.approx(fixed_effects(unit, time, X[:, 0], y).interval.estimate, rel=1e-7)
    with pytest.raises(EffectError, match="does not move"):
        fixed_effects(unit, time, tenure, y)
    with pytest.raises(EffectError, match="controls give the treatment"):
        fixed_effects(unit, time, X[:, 0], y, 2 * X[:, 0])


def test_rows_with_missing_values_are_left_out():
    unit, time, X, y = unbalanced(5)
    holed = y.copy()
    holed[::7] = np.nan
    keep = np.isfinite(holed)
    one, two = fixed_effects(unit, time, X[:, 0], holed), fixed_effects(unit[keep], time[keep], X[keep, 0], y[keep])
    assert one.n == keep.sum()
    assert one.interval.estimate == pytest.approx(two.interval.estimate, rel=1e-12)


@pytest.mark.parametrize("bad", [{"time": np.array([0.5, 1.0])}, {"outcome": np.array([1.0])}, {"unit": [1, 1]}])
def test_arrays_that_cannot_carry_an_estimate_are_refused(bad):
    ones = np.array([0.0, 1.0])
    good = {"unit": [1, 2], "time": np.array([1, 2]), "treatment": ones, "outcome": ones}
    with pytest.raises(EffectError):
        fixed_effects(**(good | bad))


def test_shifted_takes_the_same_unit_only():
    found = shifted(["b", "a", "a", "b", "a"], [5, 1, 2, 6, 4], [10.0, 1, 2, 11, 4], 1)
    np.testing.assert_array_equal(found, [11, 2, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(shifted([0, 1], [1, 0], [3.0, 4.0], -1), [np.nan, np.nan])


def test_truth_is_found_where_the_naive_numbers_are_off(panel_world):
    """0.50 a follow-up and 1.5 a course: intervals hold them; slopes over all rows say 2 and minus 2."""
    w = panel_world(0)
    follow = fixed_effects(w.unit, w.time, w.followups, w.outcome, np.column_stack([w.controls, w.course])).interval
    course = fixed_effects(w.unit, w.time, w.course, w.outcome, np.column_stack([w.controls, w.followups])).interval
    assert follow.ci_low < 0.5 < follow.ci_high
    assert course.ci_low < 1.5 < course.ci_high
    assert pooled_slope(w.followups, w.outcome) > 1.0 > follow.ci_high
    assert pooled_slope(w.course, w.outcome) < 0 < course.ci_low


@pytest.mark.parametrize("fault", ["reaction", "drift"])
def test_guards_withhold_in_broken_worlds(panel_world, fault):
    """Managers that answer to bad months, and a hidden drift, leave traces that the guards see."""
    for seed in range(3):
        w = panel_world(seed, fault=fault)
        X = np.column_stack([w.controls, w.course])
        levels = fixed_effects(w.unit, w.time, w.followups, w.outcome, X)
        guards = run_guards(levels, w.unit, w.time, w.followups, w.outcome, X, np.random.default_rng(seed))
        assert verdict_of(guards.reasons) == "not_identified"


def test_a_course_given_after_bad_months_is_withheld(panel_world):
    w = panel_world(1, fault="dip")
    levels = fixed_effects(w.unit, w.time, w.course, w.outcome, w.controls)
    guards = run_guards(levels, w.unit, w.time, w.course, w.outcome, w.controls, np.random.default_rng(1))
    assert "future_predicts_present" in guards.reasons


def test_guards_let_sound_worlds_pass(panel_world):
    """Five of six sound worlds at least: two guards at 3 % each are wrong now and then."""
    passed = 0
    for seed in range(6):
        w = panel_world(seed)
        X = np.column_stack([w.controls, w.course])
        levels = fixed_effects(w.unit, w.time, w.followups, w.outcome, X)
        guards = run_guards(levels, w.unit, w.time, w.followups, w.outcome, X, np.random.default_rng(0))
        passed += verdict_of(guards.reasons) == "identified"
        assert guards.dose_low < guards.dose_high
    assert passed >= 5


def test_few_reps_mark_and_fewer_withhold(panel_world):
    for reps, expected in ((8, "few_reps"), (4, "too_few_reps")):
        w = panel_world(3, reps=reps)
        levels = fixed_effects(w.unit, w.time, w.followups, w.outcome)
        guards = run_guards(levels, w.unit, w.time, w.followups, w.outcome, None, np.random.default_rng(0))
        assert expected in guards.reasons


def test_unit_spread_tells_units_that_differ_from_units_that_do_not():
    rng = np.random.default_rng(0)
    unit, time = (a.ravel() for a in np.meshgrid(np.arange(15), np.arange(30), indexing="ij"))
    noise = rng.normal(size=len(unit)) + time
    _, chance, p_null = unit_spread(unit, time, noise, np.random.default_rng(1))
    assert chance == pytest.approx(1 / 30, rel=0.25)
    assert p_null > 0.05
    assert unit_spread(unit, time, noise + 0.1 * unit, np.random.default_rng(1))[2] < 0.01


@pytest.mark.long
def test_coverage_and_size_over_many_worlds(panel_world):
    """90 % intervals cover 85 to 97 %; sound worlds are withheld in at most 15 %, broken ones in at least 95 %."""
    covered, withheld, broken = [], [], []
    for seed in range(60):
        w = panel_world(seed)
        X = np.column_stack([w.controls, w.course])
        levels = fixed_effects(w.unit, w.time, w.followups, w.outcome, X)
        covered.append(levels.interval.ci_low <= 0.5 <= levels.interval.ci_high)
        guards = run_guards(levels, w.unit, w.time, w.followups, w.outcome, X, np.random.default_rng(seed))
        withheld.append(verdict_of(guards.reasons) == "not_identified")
        for fault in ("reaction", "drift"):
            w = panel_world(seed, fault=fault)
            X = np.column_stack([w.controls, w.course])
            levels = fixed_effects(w.unit, w.time, w.followups, w.outcome, X)
            guards = run_guards(levels, w.unit, w.time, w.followups, w.outcome, X, np.random.default_rng(seed))
            broken.append(verdict_of(guards.reasons) == "not_identified")
    assert 0.83 <= np.mean(covered) <= 0.99
    assert np.mean(withheld) <= 0.15
    assert np.mean(broken) >= 0.95
