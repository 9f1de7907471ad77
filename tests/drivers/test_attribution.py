"""Attribution adds up, agrees with an outside implementation, and marks what is unstable."""

from __future__ import annotations

from dataclasses import replace
from math import fsum

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from models.drivers import attribution
from models.drivers.attribution import (
    AttributionError,
    DriverMap,
    attribute_company,
    attribute_rows,
    contributions,
    rank_drivers,
)
from models.drivers.decomposition import effective_heads, month_against_month, rep_against_peers

MAP = DriverMap(
    {"calls_7d": "follow_ups", "calls_28d": "follow_ups", "tenure_years": "tenure", "flow": "leads", "luck": "luck"},
    {"follow_ups": "activity", "tenure": "tenure", "leads": "leads"},
)
SETTINGS = {"num_threads": 1, "deterministic": True, "force_col_wise": True, "verbosity": -1, "seed": 1}


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    n = 600
    X = pd.DataFrame(rng.normal(size=(n, 5)), columns=["calls_7d", "calls_28d", "tenure_years", "flow", "luck"])
    X.loc[::9, "flow"] = np.nan
    y = 50_000 + 9_000 * X.calls_28d + 4_000 * X.tenure_years * (X.calls_7d > 0) + 2_000 * X.flow.fillna(0)
    y += rng.normal(0, 3_000, n)
    booster = lgb.train({**SETTINGS, "objective": "regression"}, lgb.Dataset(X, y), 60)
    reps = np.array([f"R{k % 20:02d}" for k in range(n)])
    return booster, X, y.to_numpy(), reps


def test_contributions_sum_to_prediction_less_baseline(world):
    booster, X, _, reps = world
    made = contributions(booster, X[X.columns[::-1]], MAP)
    company = attribute_company(made, MAP, "CNY")
    rows = attribute_rows(made, reps, MAP, "CNY")
    for one in (company, *rows):
        gap = fsum(item.contribution for item in one.drivers)
        assert gap == pytest.approx(one.prediction - one.baseline, rel=1e-6, abs=1e-6 * abs(one.prediction))
        assert fsum(item.share for item in one.drivers) == pytest.approx(1)
        assert fsum(one.by_group().values()) == pytest.approx(gap)
        assert all((item.direction == "up") == (item.contribution >= 0) for item in one.drivers)
    assert company.prediction == pytest.approx(fsum(one.prediction for one in rows))
    assert company.drivers[0].contribution != 0


def test_values_equal_shap_tree_explainer(world):
    shap = pytest.importorskip("shap")
    booster, X, _, _ = world
    made = contributions(booster, X, MAP)
    oracle = shap.TreeExplainer(booster, feature_perturbation="tree_path_dependent").shap_values(X)
    calls = made.drivers.index("follow_ups")
    np.testing.assert_allclose(made.values[:, calls], oracle[:, 0] + oracle[:, 1], rtol=1e-7, atol=1e-5)


def test_sums_that_are_off_are_refused(world):
    booster, X, _, _ = world
    made = contributions(booster, X, MAP)
    broken = replace(made, values=made.values + 1.0)
    with pytest.raises(AttributionError, match="add up"):
        attribution._check_sums(broken)


def test_a_bent_loss_and_missing_features_are_refused(world):
    _, X, y, _ = world
    bent = lgb.train({**SETTINGS, "objective": "poisson"}, lgb.Dataset(X, y), 5)
    with pytest.raises(AttributionError, match="identity loss"):
        contributions(bent, X, MAP)
    with pytest.raises(AttributionError, match="missing: flow"):
        contributions(world[0], X.drop(columns="flow"), MAP)


def test_ranks_are_ranges_and_an_unstable_driver_has_none(world):
    booster, X, _, reps = world
    ranked = rank_drivers(contributions(booster, X, MAP), reps, MAP, np.random.default_rng(0))
    assert ranked[0].driver == "follow_ups"
    assert (ranked[0].rank, ranked[0].rank_low, ranked[0].rank_high) == (1, 1, 1)
    rng = np.random.default_rng(3)
    noise = pd.DataFrame(rng.normal(size=(300, 30)), columns=[f"f{k}" for k in range(30)])
    booster = lgb.train({**SETTINGS, "objective": "regression"}, lgb.Dataset(noise, rng.normal(size=300)), 20)
    nothing = DriverMap({}, {})
    loose = rank_drivers(contributions(booster, noise, nothing), np.arange(300) % 8, nothing, rng)
    assert any(row.unstable for row in loose)
    assert all((row.rank is None) == row.unstable for row in loose)


def test_rep_against_peers_adds_up_to_the_last_unit(world):
    booster, X, y, reps = world
    made = contributions(booster, X, MAP)
    found = rep_against_peers("R03", made, reps, y, MAP, sorted(set(reps)))
    assert found.total == fsum(part.amount for part in found.parts)
    assert found.total == pytest.approx(y[reps == "R03"].mean() - y[reps != "R03"].mean(), rel=1e-12)
    assert found.parts[-1].driver == "unexplained"
    assert found.controllable == next(part.amount for part in found.parts if part.driver == "follow_ups")


def test_month_against_month_names_joiners_and_leavers(world):
    booster, X, y, reps = world
    one, two = np.arange(18), np.arange(22, 40)  # R00..R17, then R02..R19
    made = [contributions(booster, X.iloc[rows], MAP) for rows in (one, two)]
    found = month_against_month(made[0], made[1], reps[one], reps[two], y[one], y[two], MAP)
    parts = {part.driver: part.amount for part in found.parts}
    assert parts["joiners"] == pytest.approx(y[two][-2:].sum())
    assert parts["leavers"] == pytest.approx(-y[one][:2].sum())
    assert found.total == fsum(parts.values())
    assert found.total == pytest.approx(y[two].sum() - y[one].sum(), rel=1e-9)


def test_effective_heads_count_presence():
    assert effective_heads([20, 10, 0, 25], [20, 20, 20, 20]) == 2.5
    assert effective_heads([3], [0]) == 0
