"""The bit-mask trees say what LightGBM says, and their differences are exact Shapley values."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import lightgbm as lgb
import numpy as np
import pytest

from models.trees import UnreadableTreesError, read_trees


def booster(rng, n_trees=60, leaves=8, features=6, **parameters):
    x = rng.normal(size=(2_000, features))
    x[rng.random(x.shape) < 0.15] = np.nan
    x[rng.random(x.shape) < 0.15] = 0.0
    filled = np.nan_to_num(x)
    y = filled[:, 0] * filled[:, 1] + np.abs(filled[:, 2]) + rng.normal(size=len(x))
    given = {"objective": "l2", "num_leaves": leaves, "verbosity": -1, "num_threads": 1, "seed": 1, **parameters}
    return lgb.train(given, lgb.Dataset(x, y), n_trees), x


@pytest.mark.parametrize(
    "parameters", [{}, {"zero_as_missing": True}, {"use_missing": False}, {"leaves": 31}, {"leaves": 40}]
)
def test_scores_equal_lightgbm_with_missing_values_and_zeros(parameters):
    model, x = booster(np.random.default_rng(3), **parameters)
    trees = read_trees(model.model_to_string())
    asked = np.vstack([x, np.full((1, x.shape[1]), np.nan), np.zeros((1, x.shape[1]))])
    expected = model.predict(asked, raw_score=True)
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(trees.predict(asked), expected, rtol=0, atol=1e-12)


def test_masks_of_two_sides_join_to_the_whole_row():
    model, x = booster(np.random.default_rng(4))
    trees = read_trees(model.model_to_string())
    of_lead = np.array([True, False, True, False, False, True])
    rows = np.where(of_lead, x[0], x[1:50])
    lead = trees.masks(x[:1], of_lead)[:, 0]
    np.testing.assert_allclose(trees.total(trees.masks(rows, ~of_lead), lead), trees.predict(rows), rtol=0, atol=1e-12)


def test_a_difference_is_shared_as_shapley_over_all_mixtures_of_the_two_rows():
    model, x = booster(np.random.default_rng(5), n_trees=20, features=5)
    trees = read_trees(model.model_to_string())
    for row, other in ((x[0], x[1]), (x[2], x[3]), (x[4], x[4])):
        found = trees.difference(row, other)
        np.testing.assert_allclose(found, by_enumeration(trees, row, other), rtol=0, atol=1e-12)
        assert found.sum() == pytest.approx(float(np.diff(trees.predict(np.vstack([other, row])))[0]), abs=1e-12)


def by_enumeration(trees, row, other):
    n = len(row)
    found = np.zeros(n)
    for i in range(n):
        rest = [j for j in range(n) if j != i]
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for chosen in combinations(rest, size):
                without = other.copy()
                without[list(chosen)] = row[list(chosen)]
                with_i = without.copy()
                with_i[i] = row[i]
                low, high = trees.predict(np.vstack([without, with_i]))
                found[i] += weight * (high - low)
    return found


def test_what_it_cannot_read_it_refuses():
    rng = np.random.default_rng(6)
    x, y = rng.integers(0, 9, (800, 2)).astype(float), rng.normal(size=800)
    y += x[:, 0] % 3
    data = lgb.Dataset(x, y, categorical_feature=[0])
    by_category = lgb.train({"verbosity": -1, "num_threads": 1}, data, 5)
    wide, _ = booster(rng, n_trees=2, leaves=100)
    for model in (by_category, wide):
        with pytest.raises(UnreadableTreesError):
            read_trees(model.model_to_string())


def test_a_tree_of_one_leaf_is_a_constant():
    model = lgb.train({"verbosity": -1, "min_data_in_leaf": 900}, lgb.Dataset(np.ones((500, 1)), np.ones(500)), 1)
    trees = read_trees(model.model_to_string())
    np.testing.assert_allclose(trees.predict(np.ones((3, 1))), model.predict(np.ones((3, 1)), raw_score=True))
