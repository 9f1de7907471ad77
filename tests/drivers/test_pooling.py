"""Courses drawn to their common mean: closed forms at both ends, less error on average, intervals left alone."""

from __future__ import annotations

import numpy as np
import pytest

from models.drivers.clustered import interval
from models.drivers.pooling import posterior_means, shrunken


def test_equal_estimates_stay_and_wide_apart_ones_hardly_move():
    np.testing.assert_allclose(posterior_means(np.full(4, 2.0), np.ones(4)), 2.0)
    far = np.array([0.0, 100.0, 200.0, 300.0])
    np.testing.assert_allclose(posterior_means(far, np.ones(4)), far, atol=0.1)


def test_a_noisy_estimate_is_drawn_more_and_order_changes_nothing():
    e, se = np.array([3.0, 0.0, 0.2, 1.0]), np.array([2.0, 0.5, 0.5, 0.5])
    drawn = posterior_means(e, se)
    assert 0 < drawn[0] < 2
    assert abs(drawn[1] - e[1]) < 0.4
    np.testing.assert_allclose(posterior_means(e[::-1], se[::-1]), drawn[::-1])


def test_less_error_on_average_and_intervals_stay():
    rng = np.random.default_rng(0)
    raw, drawn = [], []
    for _ in range(300):
        truth = np.array([0.5, 0.4, 0.3, 0.5, 0.0])
        found = [interval(value, 0.2, 30) for value in truth + rng.normal(0, 0.2, 5)]
        made = shrunken(found)
        assert [(one.ci_low, one.ci_high, one.se) for one in made] == [(o.ci_low, o.ci_high, o.se) for o in found]
        assert all(one.ci_low <= one.estimate <= one.ci_high for one in made)
        raw.append(np.mean([abs(o.estimate - t) for o, t in zip(found, truth, strict=True)]))
        drawn.append(np.mean([abs(o.estimate - t) for o, t in zip(made, truth, strict=True)]))
    assert np.mean(drawn) < 0.9 * np.mean(raw)


def test_two_courses_or_an_error_of_nothing_come_back_as_they_are():
    two = [interval(1.0, 0.3, 20), interval(0.0, 0.3, 20)]
    assert shrunken(two) == two
    still = [*two, interval(5.0, 0.0, 20)]
    assert shrunken(still) == still
    assert shrunken([*two, interval(0.4, 0.3, 20)])[0].estimate == pytest.approx(0.7, abs=0.2)
