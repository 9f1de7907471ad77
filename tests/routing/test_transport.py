"""The batch solver against exact oracles, its dual certificate, its bounds and its edges."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.optimize import linear_sum_assignment, linprog

from features.errors import RequestError
from models.routing.bounds import Wishes, bound_costs
from models.routing.transport import Bounds, solve_transport

TOLERANCE = 1e-3


@st.composite
def problems(draw, max_leads=10, max_reps=5):
    """(values, eligible, capacity): ties, negative values, nobody, no places, all of it."""
    n_leads, n_reps = draw(st.integers(0, max_leads)), draw(st.integers(0, max_reps))
    numbers = st.integers(-2, 5).map(float) if draw(st.booleans()) else st.floats(-2.0, 5.0, width=32)
    values = draw(npst.arrays(np.float64, (n_leads, n_reps), elements=numbers))
    eligible = draw(npst.arrays(np.bool_, (n_leads, n_reps)))
    capacity = draw(npst.arrays(np.int64, n_reps, elements=st.integers(0, 4)))
    return values, eligible, capacity


def exact_by_columns(values, eligible, capacity, hold):
    """Optimum by duplicated columns and one holding column a lead."""
    n_leads = values.shape[0]
    columns = np.repeat(np.arange(capacity.size), capacity)
    places = np.where(eligible, values, -1e7)[:, columns]
    waiting = np.where(np.eye(n_leads, dtype=bool), hold, -1e7)
    matrix = np.concatenate([places, waiting], axis=1)
    rows, cols = linear_sum_assignment(matrix, maximize=True)
    return matrix[rows, cols].sum()


def exact_by_linprog(values, eligible, capacity, lower=None, high=None, upper_high=None):
    """Optimum by HiGHS, with bounds."""
    n_leads, n_reps = values.shape
    rows, limits = [], []
    for i in range(n_leads):
        row = np.zeros((n_leads, n_reps))
        row[i] = 1
        rows.append(row.ravel())
        limits.append(1)
    for j in range(n_reps):
        row = np.zeros((n_leads, n_reps))
        row[:, j] = 1
        rows.append(row.ravel())
        limits.append(capacity[j])
        if lower is not None:
            rows.append(-row.ravel())
            limits.append(-lower[j])
        if upper_high is not None:
            rows.append((row * high[:, None]).ravel())
            limits.append(upper_high[j])
    limit = [(0, 1 if ok else 0) for ok in eligible.ravel()]
    found = linprog(-values.ravel(), A_ub=np.array(rows), b_ub=limits, bounds=limit)
    return -found.fun if found.success else None


def check_rules(answer, eligible, capacity):
    chosen = np.flatnonzero(answer.choice >= 0)
    assert eligible[chosen, answer.choice[chosen]].all()
    given_ = np.bincount(answer.choice[chosen], minlength=capacity.size)
    assert (given_ <= capacity).all()
    return given_


@given(problems(), st.floats(-1.0, 1.0))
@settings(max_examples=80, deadline=None)
def test_within_a_thousandth_of_the_exact_optimum_and_no_rule_broken(problem, hold):
    values, eligible, capacity = problem
    answer = solve_transport(values, eligible, capacity, hold)
    check_rules(answer, eligible, capacity)
    exact = exact_by_columns(values, eligible, capacity, hold) if values.shape[0] else 0.0
    assert answer.objective <= exact + 1e-9
    assert answer.objective >= exact - TOLERANCE * max(abs(exact), 0.01) - 1e-9


@given(problems())
@settings(max_examples=60, deadline=None)
def test_a_rep_with_room_has_price_zero_and_the_prices_prove_the_optimum(problem):
    values, eligible, capacity = problem
    answer = solve_transport(values, eligible, capacity)
    given_ = check_rules(answer, eligible, capacity)
    assert (answer.prices >= 0).all()
    assert (answer.prices[(given_ < capacity)] == 0).all()
    profit = np.where(eligible & (capacity > 0), values - answer.prices, -np.inf).max(axis=1, initial=0.0)
    bound = float((capacity * answer.prices).sum() + np.maximum(profit, 0).sum())
    assert bound - answer.objective <= 2e-4 * max(abs(answer.objective), 1e-9) + 1e-9


@given(problems(), st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_one_place_more_never_lowers_the_optimum(problem, which):
    values, eligible, capacity = problem
    before = solve_transport(values, eligible, capacity, tolerance=1e-7).objective
    if capacity.size:
        capacity = capacity.copy()
        capacity[which % capacity.size] += 1
    after = solve_transport(values, eligible, capacity, tolerance=1e-7).objective
    assert after >= before - 1e-5 * max(abs(before), 1.0)


def test_the_random_cases_are_not_trivial():
    """Greedy in order of arrival misses the optimum here, so that the comparison above can fail."""
    values = np.array([[1.0, 0.9], [1.0, 0.1]])
    answer = solve_transport(values, np.ones((2, 2), dtype=bool), np.array([1, 1]))
    assert answer.choice.tolist() == [1, 0]
    assert answer.objective == pytest.approx(1.9)


@pytest.mark.parametrize("seed", range(12))
def test_bounds_agree_with_a_linear_programme(seed):
    """Lower bounds are met and upper bounds on high-value leads kept at the cost the exact solution has."""
    rng = np.random.default_rng(seed)
    n_leads, n_reps = 12, 4
    values = rng.random((n_leads, n_reps)) * np.array([1.0, 0.9, 0.8, 0.1])
    eligible = rng.random((n_leads, n_reps)) < 0.9
    capacity = rng.integers(2, 5, n_reps)
    high = values.max(axis=1) > np.median(values.max(axis=1))
    lower, upper = np.array([0, 1, 0, 2]), np.array([1, 2, 1, 3])
    exact = exact_by_linprog(values, eligible, capacity, lower, high, upper)
    if exact is None:
        pytest.skip("no assignment meets these bounds")
    answer = solve_transport(values, eligible, capacity, bounds=Bounds(lower, upper, high), tolerance=1e-6)
    given_ = check_rules(answer, eligible, capacity)
    assert (given_ >= lower).all()
    assert (np.bincount(answer.choice[high & (answer.choice >= 0)], minlength=n_reps) <= upper).all()
    assert answer.objective == pytest.approx(exact, rel=TOLERANCE)
    assert answer.objective < exact_by_linprog(values, eligible, capacity) - 1e-6


def test_a_rep_below_his_minimum_shows_a_subsidy_and_the_cost_is_counted_in_wins():
    values = np.array([[1.0, 0.2], [0.8, 0.3]])
    ones, capacity = np.ones((2, 2), dtype=bool), np.array([2, 2])
    lower = np.array([0, 1])
    answer = solve_transport(values, ones, capacity, bounds=Bounds(lower=lower), tolerance=1e-6)
    assert answer.choice.tolist() == [0, 1]
    assert answer.subsidies[1] == pytest.approx(0.5, abs=0.31)
    assert answer.prices[1] == 0.0
    high = np.zeros(2, dtype=bool)
    wishes = Wishes(lower=lower, upper_high=np.zeros(2, dtype=np.int64), high=high)
    cost = bound_costs(values, values / 2, ones, capacity, wishes)
    assert cost["newcomer_min"].value == pytest.approx(0.5)
    assert cost["newcomer_min"].wins == pytest.approx(0.25)
    assert cost["high_value_max"].value == pytest.approx(0.0)


def test_a_minimum_nobody_can_meet_is_reported_short():
    answer = solve_transport(np.array([[1.0, 1.0]]), np.array([[True, False]]), np.array([1, 3]),
                             bounds=Bounds(lower=np.array([0, 2])))  # fmt: skip
    assert answer.short.tolist() == [0, 2]
    assert answer.choice.tolist() == [0]


@pytest.mark.parametrize(("n_leads", "n_reps"), list(itertools.product((0, 3), (0, 2))))
def test_empty_desks_and_empty_weeks(n_leads, n_reps):
    answer = solve_transport(np.ones((n_leads, n_reps)), np.ones((n_leads, n_reps), dtype=bool), np.zeros(n_reps, int))
    assert answer.choice.tolist() == [-1] * n_leads
    assert answer.objective == 0.0
    assert answer.prices.tolist() == [0.0] * n_reps


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12, 1e300])
def test_any_unit_gives_the_same_choice(scale):
    rng = np.random.default_rng(3)
    values, eligible, capacity = rng.random((20, 4)), rng.random((20, 4)) < 0.8, np.array([2, 3, 0, 4])
    plain = solve_transport(values, eligible, capacity)
    assert plain.choice.max() == 3
    scaled = solve_transport(values * scale, eligible, capacity)
    assert scaled.objective == pytest.approx(plain.objective * scale, rel=TOLERANCE)


def test_start_prices_change_the_speed_only():
    rng = np.random.default_rng(4)
    values, ones, capacity = rng.random((60, 6)), np.ones((60, 6), dtype=bool), np.full(6, 6)
    cold = solve_transport(values, ones, capacity)
    warm = solve_transport(values, ones, capacity, start_prices=cold.prices * 3.0)
    assert warm.objective == pytest.approx(cold.objective, rel=TOLERANCE)


def test_all_alike_and_overloaded_fills_every_place():
    answer = solve_transport(np.ones((50, 5)), np.ones((50, 5), dtype=bool), np.full(5, 4))
    assert (answer.choice >= 0).sum() == 20
    assert answer.prices == pytest.approx(np.ones(5), abs=0.05)


@pytest.mark.parametrize(
    ("values", "eligible", "capacity", "told"),
    [
        (np.ones((2, 2)), np.ones((2, 3), dtype=bool), np.ones(2, int), "do not fit"),
        (np.ones((1, 2)), np.ones((1, 2), dtype=bool), np.array([1, -1]), "rep 1 is -1"),
        (np.array([[1.0, np.nan]]), np.ones((1, 2), dtype=bool), np.ones(2, int), "lead 0 at rep 1 is nan"),
    ],
)
def test_bad_arrays_get_a_clear_error(values, eligible, capacity, told):
    with pytest.raises(RequestError, match=told):
        solve_transport(values, eligible, capacity)


def test_what_is_ruled_out_may_hold_anything():
    answer = solve_transport(np.array([[np.nan, 1.0]]), np.array([[False, True]]), np.array([1, 1]))
    assert answer.choice.tolist() == [1]
