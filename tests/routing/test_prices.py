"""Volume still to come, prices of places, and held leads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom

from models.routing.holding import plan_batch, reconsider
from models.routing.prices import Prices, Scenario, plan_among_futures, solve_prices
from models.routing.transport import solve_transport
from models.routing.volume import (
    VolumeEstimate,
    VolumePrior,
    after_batch,
    arrival_profile,
    remaining_volume,
    volume_prior,
)


def rng():
    return np.random.default_rng(8)


def test_the_posterior_is_the_closed_form_of_gamma_and_poisson():
    found = remaining_volume(VolumePrior(mean=100.0, shape=4.0), n_arrived=80, share_elapsed=0.5)
    assert found.shape == 84.0
    assert found.expected == pytest.approx(84.0 / (4.0 / 100.0 + 0.5) * 0.5)


def test_simulated_weeks_are_covered_and_the_estimate_has_no_bias():
    """Known truth: rates gamma, counts Poisson; half a week is seen, the other half predicted."""
    generator, prior, misses, off = rng(), VolumePrior(60.0, 9.0), 0, []
    for _ in range(2_000):
        rate = generator.gamma(9.0, 60.0 / 9.0)
        seen, to_come = generator.poisson(rate * 0.4), generator.poisson(rate * 0.6)
        estimate = remaining_volume(prior, int(seen), 0.4)
        off.append(estimate.expected - to_come)
        misses += not estimate.quantile(0.05) <= to_come <= estimate.quantile(0.95)
    assert abs(np.mean(off)) < 1.0
    assert 0.05 < misses / 2_000 < 0.115


def test_the_prior_finds_mean_and_spread():
    counts = rng().poisson(rng().gamma(16.0, 50.0 / 16.0, 4_000))
    found = volume_prior(counts)
    assert found.mean == pytest.approx(50.0, rel=0.02)
    assert found.shape == pytest.approx(16.0, rel=0.2)
    assert volume_prior(np.zeros(0, int)).mean == 0.0


def test_without_any_history_this_weeks_own_pace_counts():
    assert remaining_volume(volume_prior(np.zeros(0, int)), 30, 0.5).expected == pytest.approx(30.5)


def test_at_the_weeks_end_nothing_is_to_come():
    late = remaining_volume(VolumePrior(50.0, 5.0), 40, 1.0)
    assert (late.expected, late.quantile(0.99), late.draw(rng(), 3).tolist()) == (0.0, 0, [0, 0, 0])
    assert late.spread(4).tolist() == [0] * 4


@pytest.mark.parametrize(
    ("expected", "shape"), [(0.02, 0.5), (3.0, 0.7), (41.0, 9.0), (900.0, 25.0), (7_000.0, 6_000.0)]
)
def test_levels_are_those_of_the_negative_binomial(expected, shape):
    """Oracle: scipy's quantiles."""
    levels, share = (np.arange(16) + 0.5) / 16, shape / (shape + expected)
    wanted = nbinom.ppf(levels, shape, share).astype(int).tolist()
    assert max(wanted) > 0 or expected < 1.0, "the case must not be trivial"
    estimate = VolumeEstimate(expected, shape)
    assert estimate.spread(16).tolist() == wanted
    assert [estimate.quantile(float(level)) for level in levels] == wanted
    assert estimate.quantile(0.9999) == int(nbinom.ppf(0.9999, shape, share))


def test_the_profile_follows_past_arrivals_and_rises_to_one():
    profile = arrival_profile(np.full(1_000, 0.25))
    assert profile.share_elapsed(0.0) == 0.0
    assert profile.share_elapsed(0.2) < 0.02
    assert profile.share_elapsed(0.3) > 0.95
    assert profile.share_elapsed(1.0) == 1.0


def scenario(values, eligible=None):
    values = np.asarray(values, dtype=float)
    return Scenario(values, np.ones(values.shape, bool) if eligible is None else eligible)


def test_one_rep_the_price_is_the_marginal_lead():
    """Four leads for two places: a place is worth the second best, and its loss costs exactly that or the third."""
    found = solve_prices(scenario([[1.0], [2.0], [3.0], [4.0]]), np.array([2]), 4.0, rng())
    assert 1.99 <= found.place[0] <= 3.01


def test_room_for_all_costs_nothing_and_fewer_to_come_costs_less():
    values = scenario(rng().random((40, 3)))
    assert solve_prices(values, np.array([50, 50, 50]), 40.0, rng()).place.tolist() == [0.0, 0.0, 0.0]
    many = solve_prices(values, np.array([5, 5, 5]), 40.0, rng()).place
    few = solve_prices(values, np.array([5, 5, 5]), 18.0, rng()).place
    assert (many > few).all()
    assert few.min() >= 0


def test_uncertain_volume_gives_prices_between_the_certain_ones():
    values = scenario(rng().random((60, 2)))
    capacity = np.array([8, 8])
    low, high = (solve_prices(values, capacity, n, rng()).place for n in (5.0, 60.0))
    middle = solve_prices(values, capacity, VolumeEstimate(25.0, 4.0), rng()).place
    assert (low < middle).all()
    assert (middle < high).all()


@pytest.mark.parametrize("n_known", [0, 1])
def test_prices_without_history_or_reps_are_nothing(n_known):
    assert solve_prices(scenario(np.ones((n_known, 0))), np.zeros(0, int), 5.0, rng()).place.size == 0
    none = solve_prices(scenario(np.ones((0, 2))), np.array([1, 1]), 5.0, rng())
    assert none.place.tolist() == [0.0, 0.0]


def test_a_minimum_for_a_newcomer_becomes_a_subsidy():
    values = np.column_stack([np.full(6, 1.0), np.full(6, 0.4)])
    found = solve_prices(scenario(values), np.array([9, 9]), 6.0, rng(), lower=np.array([0, 2]))
    assert found.place.tolist() == [0.0, 0.0]
    assert found.subsidy[1] >= 0.59
    assert found.effective[1] == -found.subsidy[1]


def test_held_leads_fill_the_places_that_are_left_when_nothing_more_comes():
    values = np.array([[0.2, 0.1], [0.9, 0.3], [0.5, 0.4]])
    held, capacity = scenario(values), np.array([1, 1])
    early = solve_prices(scenario(np.full((30, 2), 0.95)), capacity, 30.0, rng(), held=held)
    assert reconsider(values, held.eligible, early, capacity) == ()
    late = solve_prices(scenario(np.full((30, 2), 0.95)), capacity, 0.0, rng(), held=held)
    freed = reconsider(values, held.eligible, late, capacity)
    assert [(release.lead, release.rep) for release in freed] == [(1, 0), (2, 1)]
    assert len(reconsider(values, held.eligible, late, capacity, most=1)) == 1


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_releases_break_no_rule_and_leave_no_place_beside_a_fitting_lead(seed):
    generator = np.random.default_rng(seed)
    n_held, n_reps = int(generator.integers(0, 8)), int(generator.integers(1, 4))
    values, eligible = generator.random((n_held, n_reps)), generator.random((n_held, n_reps)) < 0.7
    capacity = generator.integers(0, 3, n_reps)
    freed = reconsider(values, eligible, Prices(np.zeros(n_reps), np.zeros(n_reps)), capacity)
    given_ = np.bincount([r.rep for r in freed], minlength=n_reps)
    assert (given_ <= capacity).all()
    assert all(eligible[r.lead, r.rep] for r in freed)
    assert len({r.lead for r in freed}) == len(freed)
    assert [r.value for r in freed] == sorted((r.value for r in freed), reverse=True)
    waiting = sorted(set(range(n_held)) - {r.lead for r in freed})
    assert not (eligible[waiting] & (given_ < capacity)).any()


def test_a_batch_is_planned_as_one_problem_against_those_still_to_come():
    values, capacity = np.array([[1.0, 0.9], [1.0, 0.1], [0.2, 0.2]]), np.array([1, 1])
    free = Prices(np.zeros(2), np.zeros(2))
    ones = np.ones(values.shape, bool)
    assert plan_batch(values, ones, free, capacity).tolist() == [1, 0, -1]
    dear = Prices(np.array([0.0, 0.95]), np.zeros(2))
    assert plan_batch(values, ones, dear, np.array([2, 1])).tolist() == [0, 0, -1]
    assert plan_batch(
        np.zeros((2, 0)), np.zeros((2, 0), bool), Prices(np.zeros(0), np.zeros(0)), capacity[:0]
    ).tolist() == [-1, -1]


def test_the_largest_dual_is_what_one_place_fewer_costs():
    """Known truth: the optimum of every problem with a place taken away, by another solver."""
    from scipy.optimize import linear_sum_assignment

    from models.routing import kernels
    from models.routing.transport import auction

    def best(values, places):
        columns = np.repeat(np.arange(len(places)), places)
        wide = np.hstack([values[:, columns], np.zeros((len(values), len(values)))])
        return wide[linear_sum_assignment(wide, maximize=True)].sum()

    generator = rng()
    level = generator.gamma(2.0, 0.2, 12)
    values = np.abs(generator.normal(level, 0.15, (60, 12)))
    places = generator.integers(1, 5, 12)
    rows = generator.integers(0, 60, 90)  # some leads are alike, and more come than there are places
    values /= values.max()
    solved = auction(values, rows, np.zeros(90), places, None, 1e-6)
    turned = np.ascontiguousarray(values.T)
    found = kernels.price_margins(turned, rows, np.zeros(90), places, solved.filled, solved.choice, solved.price)
    fewer = [best(values[rows], places) - best(values[rows], places - (np.arange(12) == j)) for j in range(12)]
    assert min(fewer) > 0.1  # the case is one of scarcity
    assert found == pytest.approx(fewer, abs=2e-3)
    warm = auction(values, rows, np.zeros(90), places, solved.price * 0.8, 1e-6, 0.002)
    assert warm.gap <= 1e-6
    assert values[rows, warm.choice][warm.choice >= 0].sum() == pytest.approx(best(values[rows], places), rel=1e-5)


def test_leads_that_look_at_a_list_of_reps_first_bid_as_if_they_looked_at_all():
    from models.routing import kernels

    generator = rng()
    for hold in (0.0, 0.3):
        net = np.round(generator.random((30, 120)), 2)  # many equal values
        net[generator.random(net.shape) < 0.3] = -np.inf
        rows, places = generator.integers(0, 30, 400), generator.integers(1, 5, 120)
        offsets = np.concatenate([[0], np.cumsum(places)]).astype(np.int64)
        answers = []
        for n_listed in (0, 4, 16, 500):
            owner, paid = np.zeros(offsets[-1], np.int64), np.zeros(offsets[-1])
            price, filled, choice = np.zeros(120), np.zeros(120, np.int64), np.full(400, -1)
            holds = np.full(400, hold)
            n = kernels.bid_forward(net, rows, holds, offsets, owner, paid, price, filled, choice, 0.01, n_listed)
            answers.append((n, choice.tolist(), price.tolist(), filled.tolist(), paid.tolist()))
        assert answers[0][0] > 400  # leads drive each other out
        assert all(answer == answers[0] for answer in answers[1:])


# -- batches among futures --------------------------------------------------------------------------------------


def test_a_batch_that_nothing_follows_gets_the_exact_optimum():
    chance = np.random.default_rng(5)
    batch = Scenario(chance.gamma(2.0, 1.0, (40, 6)), chance.random((40, 6)) < 0.8)
    capacity = np.full(6, 4)
    recent = Scenario(chance.gamma(2.0, 1.0, (90, 6)), np.ones((90, 6), dtype=bool))
    choice = plan_among_futures(batch, recent, None, capacity, VolumeEstimate(0.0, 5.0), chance)
    best = solve_transport(batch.values, batch.eligible, capacity, tolerance=1e-7)
    rows = np.flatnonzero(choice >= 0)
    assert len(rows) == 24 < len(choice)
    assert batch.eligible[rows, choice[rows]].all()
    assert (np.bincount(choice[rows], minlength=6) <= capacity).all()
    assert batch.values[rows, choice[rows]].sum() >= 0.999 * best.objective


def test_a_batch_that_takes_half_the_places_does_better_by_futures_than_by_prices_of_what_follows():
    """Half a week's leads at once, then the other half: prices without the batch give away places too cheaply."""
    chance = np.random.default_rng(8)
    gained = {"futures": 0.0, "prices": 0.0}
    capacity, many = np.full(8, 3), np.ones((400, 8), dtype=bool)
    for _ in range(12):
        recent = Scenario(chance.lognormal(0.0, 0.7, (400, 1)) * chance.lognormal(0.0, 0.5, (400, 8)), many)
        week = chance.lognormal(0.0, 0.7, (32, 1)) * chance.lognormal(0.0, 0.5, (32, 8))
        batch = Scenario(week[:16], np.ones((16, 8), dtype=bool))
        prices = solve_prices(recent, capacity, VolumeEstimate(16.0, 1e6), chance)
        plans = {
            "futures": plan_among_futures(batch, recent, None, capacity, VolumeEstimate(16.0, 1e6), chance),
            "prices": plan_batch(batch.values, batch.eligible, prices, capacity),
        }
        for name, choice in plans.items():
            rows = np.flatnonzero(choice >= 0)
            left = capacity - np.bincount(choice[rows], minlength=8)
            rest = np.vstack([week[16:], week[:16][choice < 0]])
            then = solve_transport(rest, np.ones(rest.shape, dtype=bool), left)
            gained[name] += batch.values[rows, choice[rows]].sum() + then.objective
    assert gained["futures"] > 1.01 * gained["prices"]


def test_a_batch_of_what_was_due_changes_nothing_and_a_lump_comes_off_what_was_to_come():
    prior = VolumePrior(100.0, 50.0)
    rest = remaining_volume(prior, n_arrived=30, share_elapsed=0.5)
    assert after_batch(rest, prior, 30, 0.5, n_batch=20) == rest
    assert after_batch(rest, prior, 30, 0.5, n_batch=25).expected == pytest.approx(rest.expected - 5)
    assert after_batch(rest, prior, 30, 0.5, n_batch=500) == VolumeEstimate(0.0, rest.shape)


def test_batches_of_nothing_and_desks_of_nobody_have_a_plan():
    none = Scenario(np.zeros((0, 3)), np.zeros((0, 3), dtype=bool))
    chance = np.random.default_rng(0)
    assert plan_among_futures(none, none, None, np.ones(3, dtype=int), VolumeEstimate(2.0, 1.0), chance).size == 0
    lone = Scenario(np.ones((2, 3)), np.zeros((2, 3), dtype=bool))
    assert plan_among_futures(lone, none, lone, np.ones(3, dtype=int), VolumeEstimate(2.0, 1.0), chance).tolist() == [
        -1,
        -1,
    ]
