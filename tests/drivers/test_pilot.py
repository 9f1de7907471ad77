"""The pilot designer: textbook formulas, its power in simulated pilots, pairs drawn alike, read back by two arms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from models.drivers.panel_effects import EffectError
from models.drivers.pilot import (
    History,
    draw_arms,
    mean_variance,
    outcome_history,
    plan_pilot,
    power_for,
    reps_needed,
    smallest_effect,
)
from models.drivers.randomised import two_arms


def months(rng, reps, width, rep_sd=2.0, noise=3.0, carry=0.0):
    """Outcomes (reps, width) with a rep's own level and noise that carries over to the next month."""
    shocks = rng.normal(0, noise, (reps, width + 1))
    return rng.normal(0, rep_sd, (reps, 1)) + shocks[:, 1:] + carry * shocks[:, :-1]


def test_the_desk_s_history_is_recovered():
    rng = np.random.default_rng(0)
    y = 50 + months(rng, 400, 12, carry=0.5) + 5 * np.sin(np.arange(12))
    unit, time = np.repeat(np.arange(400), 12), np.tile(np.arange(12), 400)
    found = outcome_history(unit, time, y.ravel())
    variance = 4 + 9 * 1.25
    assert found.sd**2 == pytest.approx(variance, rel=0.05)
    assert found.near == pytest.approx((4 + 9 * 0.5) / variance, abs=0.03)
    assert found.far == pytest.approx(4 / variance, abs=0.03)
    assert found.mean == pytest.approx(50 + 5 * np.sin(np.arange(12)).mean(), abs=0.5)


def test_without_memory_the_formula_is_the_textbook_s():
    plain = History(100.0, 20.0, 0.0, 0.0, 30, 300)
    one = smallest_effect(plain, 15, 15, 0, 1)
    assert one == pytest.approx((stats.t.ppf(0.95, 28) + stats.t.ppf(0.8, 28)) * 20 * np.sqrt(2 / 15))
    assert smallest_effect(plain, 15, 15, 0, 4) == pytest.approx(one / 2)


def test_with_equal_correlation_it_is_mckenzie_s_formula():
    rho, m, r = 0.4, 5, 3
    history = History(100.0, 20.0, rho, rho, 30, 300)
    theirs = 400 * ((1 + (r - 1) * rho) / r - m * rho**2 / (1 + (m - 1) * rho))
    assert mean_variance(history, m, r) == pytest.approx(theirs)
    assert mean_variance(history, 0, r) == pytest.approx(400 * (1 + (r - 1) * rho) / r)


def test_power_at_the_smallest_effect_is_the_power_asked_for():
    history = History(100.0, 20.0, 0.5, 0.3, 30, 300)
    effect = smallest_effect(history, 12, 12, 6, 3, power=0.8)
    assert power_for(effect, history, 12, 12, 6, 3) == pytest.approx(0.8)
    assert power_for(0.0, history, 12, 12, 6, 3) == pytest.approx(0.05)
    assert power_for(2 * effect, history, 12, 12, 6, 3) > 0.99


def test_the_reps_needed_are_just_enough():
    history = History(100.0, 20.0, 0.4, 0.3, 30, 300)
    n = reps_needed(5.0, history, 6, 3) // 2
    assert smallest_effect(history, n, n, 6, 3) <= 5.0 < smallest_effect(history, n - 1, n - 1, 6, 3)
    assert reps_needed(0.0, history, 6, 3) is None


def test_simulated_pilots_find_the_smallest_effect_as_often_as_planned():
    """Designed on the history, drawn in pairs, analysed by two arms with the months before as covariate."""
    reps, before, after = 24, 6, 3
    hits = covered = unfair = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        y = months(rng, reps, 12 + after, carry=0.4)
        unit, time = np.repeat(np.arange(reps), 12), np.tile(np.arange(12), reps)
        history = outcome_history(unit, time, y[:, :12].ravel())
        output = y[:, 12 - before : 12].mean(axis=1)
        plan = plan_pilot([f"R{k:02d}" for k in range(reps)], [], output, history, rng, wanted=1.0, before=before)
        first = np.array(plan.first)
        truth = 2.3
        result = y[:, 12 : 12 + after].mean(axis=1) + truth * first
        arms = two_arms(first.astype(float), result, output, adjust=True)
        found = arms.interval
        unfair += not arms.balanced
        hits += found.ci_low > 0
        covered += found.ci_low <= truth <= found.ci_high
    variance = 4 + 9 * 1.16
    right = History(0.0, variance**0.5, (4 + 9 * 0.4) / variance, 4 / variance, 0, 0)
    planned = power_for(2.3, right, 12, 12, before, after)
    assert 0.6 < planned < 0.95  # not trivially won or lost
    assert hits / 150 == pytest.approx(planned, abs=0.09)
    assert unfair == 0
    assert 0.84 <= covered / 150 <= 0.96


def test_pairs_are_alike_and_one_of_each_goes_first():
    rng = np.random.default_rng(1)
    ids = [f"R{k:02d}" for k in range(40)]
    team, tenure = rng.choice(["A", "B"], 40), rng.choice(["<1", "1-2", ">2"], 40)
    output = rng.normal(100, 30, 40)
    first, block = draw_arms(ids, [team, tenure], output, rng)
    assert abs(int(first.sum()) - 20) <= 1
    pairs = [np.flatnonzero(block == b) for b in np.unique(block)]
    pairs = [pair for pair in pairs if len(pair) == 2]
    assert all(first[pair].sum() == 1 for pair in pairs)
    assert sum(team[a] == team[b] for a, b in pairs) >= len(pairs) - 1
    assert sum(tenure[a] == tenure[b] for a, b in pairs) >= len(pairs) - 3
    assert abs(output[first].mean() - output[~first].mean()) <= 0.2 * output.std()


def test_the_draw_is_seeded_and_blind_to_the_order_of_rows():
    ids = [f"R{k:02d}" for k in range(21)]
    output = np.arange(21.0)
    plain = draw_arms(ids, [["x"] * 21], output, np.random.default_rng(5))[0]
    again = draw_arms(ids, [["x"] * 21], output, np.random.default_rng(5))[0]
    turned = draw_arms(ids[::-1], [["x"] * 21], output[::-1], np.random.default_rng(5))[0]
    assert (plain == again).all()
    assert (plain == turned[::-1]).all()
    assert any((draw_arms(ids, [], output, np.random.default_rng(s))[0] != plain).any() for s in range(3))


def test_the_shortest_duration_that_is_enough_is_chosen():
    history = History(100.0, 20.0, 0.4, 0.3, 30, 300)
    ids = [f"R{k:02d}" for k in range(30)]
    rng = np.random.default_rng(0)
    plan = plan_pilot(ids, [], np.zeros(30), history, rng, wanted=15.0)
    assert plan.enough
    assert plan.chosen.smallest_effect <= 15.0
    shorter = [one for one in plan.durations if one.months < plan.chosen.months]
    assert all(one.smallest_effect > 15.0 for one in shorter)
    small = plan_pilot(ids, [], np.zeros(30), history, rng, wanted=1.0)
    assert (small.enough, small.chosen.months) == (False, 6)
    assert plan_pilot(ids, [], np.zeros(30), history, rng).wanted == pytest.approx(10.0)


def test_what_cannot_be_planned_is_refused():
    history = History(100.0, 20.0, 0.4, 0.3, 30, 300)
    with pytest.raises(EffectError, match="at least 8 reps"):
        plan_pilot(["a", "b"], [], np.zeros(2), history, np.random.default_rng(0))
    with pytest.raises(EffectError, match="neighbouring months"):
        outcome_history([1, 2, 3, 4], [0, 0, 0, 0], [1.0, 2, 3, 4])
    with pytest.raises(EffectError, match="two reps an arm"):
        smallest_effect(history, 1, 9, 0, 1)
