"""SHAP by leaf patterns gives what LightGBM and the definition give, digit for digit."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import lightgbm
import numpy as np
import pytest

from models.drivers import treeshap
from models.drivers.treeshap import interventional, path_dependent
from models.drivers.treeshap_trees import TABLE_BITS, TreeLimitError, read_trees


def simulated(n=1500, k=8, seed=0):
    """Numbers, two categories, holes and zeros."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, k))
    X[:, 5], X[:, 6] = rng.integers(0, 40, n), rng.integers(0, 6, n)
    y = 2 * X[:, 0] + X[:, 1] * X[:, 2] + 2 * np.isin(X[:, 5], [3, 7, 33]) + rng.normal(size=n)
    X[rng.random(n) < 0.2, 0] = 0.0
    X[rng.random((n, k)) < 0.1] = np.nan
    return X, y


def fitted(X, y, n_trees=30, categories=(5, 6), **options):
    settings = {"objective": "l2", "num_leaves": 31, "verbosity": -1, "num_threads": 1, "seed": 1, **options}
    settings = {"min_data_per_group": 5, "cat_smooth": 1, "deterministic": True, **settings}
    return lightgbm.train(settings, lightgbm.Dataset(X, y, categorical_feature=list(categories)), n_trees)


@pytest.mark.parametrize(
    "options",
    [{}, {"zero_as_missing": True}, {"use_missing": False}, {"num_leaves": 127, "min_data_in_leaf": 3}],
    ids=["missing", "zero_as_missing", "no_missing", "large_trees"],
)
def test_path_dependent_equals_lightgbm(options):
    """Categories never seen, negative or broken codes, holes and zeros included."""
    X, y = simulated()
    booster = fitted(X, y, **options)
    X[:50, 5], X[50:100, 5], X[100:120, 5], X[120:130, 6], X[130:140, 5] = -3, 100, 2.7, 1e12, -0.5
    found = path_dependent(booster, X, fewest_rows=0)
    known = np.asarray(booster.predict(X, pred_contrib=True))
    assert np.abs(known[:, :-1]).max() > 0.5
    np.testing.assert_allclose(found, known, rtol=0, atol=1e-9)


def test_leaves_too_deep_for_a_table_are_exact_too():
    """Counting the leading ones makes chains of splits on different features."""
    rng = np.random.default_rng(3)
    X = (rng.random((3000, 20)) < 0.9) + 0.1 * rng.random((3000, 20))
    y = np.argmax(np.c_[X < 1, np.ones(3000, dtype=bool)], axis=1)
    booster = fitted(X, y, n_trees=5, categories=(), min_data_in_leaf=2)
    pieces = read_trees(booster)[1]
    assert np.diff(pieces.piece_bits).max() > TABLE_BITS
    found = path_dependent(booster, X[:500], fewest_rows=0)
    np.testing.assert_allclose(found, booster.predict(X[:500], pred_contrib=True), rtol=0, atol=1e-9)
    against = interventional(booster, X[:20], X[500:600])
    np.testing.assert_allclose(against.sum(axis=1), booster.predict(X[:20]), rtol=0, atol=1e-9)


def test_interventional_equals_the_definition():
    """All subsets of five features, the rest taken from each row of the background."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(800, 5))
    X[:, 4] = rng.integers(0, 5, 800)
    X[rng.random((800, 5)) < 0.1] = np.nan
    booster = fitted(X, np.nan_to_num(X[:, 0] * X[:, 1]) + (X[:, 4] == 2), n_trees=10, categories=(4,))
    rows, background = X[:6], X[100:130]

    def game(row, subset):
        mixed = background.copy()
        mixed[:, list(subset)] = row[list(subset)]
        return booster.predict(mixed).mean()

    found = interventional(booster, rows, background)
    for row, values in zip(rows, found, strict=True):
        for i in range(5):
            others = [j for j in range(5) if j != i]
            value = sum(
                factorial(len(s)) * factorial(4 - len(s)) / factorial(5) * (game(row, (*s, i)) - game(row, s))
                for size in range(5)
                for s in combinations(others, size)
            )
            assert values[i] == pytest.approx(value, abs=1e-9)
    assert found[:, -1] == pytest.approx(booster.predict(background).mean(), abs=1e-12)


def test_models_outside_the_limits_fall_back_or_are_refused():
    X, y = simulated()
    linear = fitted(X, y, categories=(), linear_tree=True, n_trees=3)
    with pytest.raises(TreeLimitError, match="linear"):
        interventional(linear, X, X)
    forest = fitted(X, y, boosting="rf", bagging_freq=1, bagging_fraction=0.5, n_trees=3)
    np.testing.assert_array_equal(path_dependent(forest, X, 0), forest.predict(X, pred_contrib=True))
    many = lightgbm.train(
        {"objective": "multiclass", "num_class": 3, "verbosity": -1}, lightgbm.Dataset(X, np.arange(len(X)) % 3), 2
    )
    with pytest.raises(TreeLimitError, match="outputs"):
        read_trees(many)


def test_a_stump_and_a_constant_model():
    X = np.arange(40.0)[:, None]
    stump = fitted(X, (X[:, 0] > 19) * 1.0, n_trees=2, categories=(), num_leaves=2)
    np.testing.assert_allclose(path_dependent(stump, X, 0), stump.predict(X, pred_contrib=True), atol=1e-12)
    constant = fitted(X, np.ones(40), n_trees=2, categories=())
    np.testing.assert_allclose(path_dependent(constant, X, 0), constant.predict(X, pred_contrib=True), atol=1e-12)
    np.testing.assert_allclose(interventional(constant, X, X).sum(axis=1), 1.0)


def test_blocks_change_nothing(monkeypatch):
    X, y = simulated(700)
    booster = fitted(X, y, n_trees=5)
    whole = path_dependent(booster, X, 0)
    monkeypatch.setattr(treeshap, "_BLOCK", 64)
    np.testing.assert_array_equal(path_dependent(booster, X, 0), whole)


def test_an_empty_background_is_refused():
    X, y = simulated(300)
    with pytest.raises(ValueError, match="background"):
        interventional(fitted(X, y, n_trees=2), X, X[:0])
