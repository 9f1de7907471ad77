"""With the reps' side worked out beforehand, one lead is scored and explained as the models themselves would."""

from __future__ import annotations

from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from models.conversion.amount import AmountModel
from models.conversion.explanation import explain_difference
from models.conversion.model import ConversionModel
from models.conversion.prepared import LeadValues, PreparedReps
from models.conversion.residual import ResidualTrees, checked_trees


@pytest.fixture(scope="module", params=["pairs", "reps", "lead_only"])
def fitted(request, world):
    made = world(5, n=2_500, n_reps=12, sd_rep=0.5, sd_pair=0.5, tenure=0.3)
    model = ConversionModel.fit(made.pairs, made.columns, np.random.default_rng(1), n_sims=5, mode=request.param)
    names = ("lead_x", "rep_tenure_years", "pair_same_territory", "lead_visits", "industry")
    levels = tuple(term for term in model.pooled.design.levels if term.name == "industry")
    blank = ResidualTrees("", names, levels, 0.7, 0.0)
    x = blank.features(made.pairs)
    y = np.nan_to_num(made.pairs["y"].to_numpy()) + 0.2 * x[:, 0] * x[:, 2]
    booster = lgb.train({"num_leaves": 8, "verbosity": -1, "num_threads": 1, "seed": 2}, lgb.Dataset(x, y), 25)
    residual = ResidualTrees(booster.model_to_string(), names, levels, 0.7, 0.0)
    model = ConversionModel(model.columns, model.pooled, residual, model.calibrator, model.times, model.findings)
    return made, model, AmountModel.fit(made.pairs, made.columns)


def leads_and_reps():
    leads = pd.DataFrame(
        {
            "lead_x": [0.3, np.nan, 50.0, -2.0, np.inf],
            "lead_visits": [1.0, 0.2, np.nan, 9.0, 0.7],
            "source": ["s1", "never seen", "", "s3", "s0"],
            "industry": ["i2", "i5", "i0", "", "i1"],
        }
    )
    rng = np.random.default_rng(8)
    reps = pd.DataFrame(
        {
            "rep_id": [*(f"R{i:03d}" for i in range(12)), "unknown"],
            "rep_tenure_years": [*rng.uniform(0, 5, 12), np.nan],
            "rep_training_hours_total": rng.normal(size=13),
        }
    )
    pairs = (rng.random((5, 13)) < 0.5).astype(float)
    return leads, reps, pairs


def as_values(row):
    numbers = {name: float(row[name]) for name in ("lead_x", "lead_visits")}
    return LeadValues(numbers, {name: str(row[name]) for name in ("source", "industry")})


@pytest.mark.parametrize("with_pairs", [True, False])
def test_scores_are_those_of_the_models(fitted, with_pairs):
    _, model, amount = fitted
    leads, reps, pairs = leads_and_reps()
    prepared = PreparedReps(model, amount, reps, leads.columns)
    if model.pooled.design.mode == "pairs":
        assert prepared.pair_names() == ("pair_same_territory",)
    given = {"pair_same_territory": pairs} if with_pairs else {}
    said = model.predict_matrix(leads, reps, given)
    worth = amount.expected_matrix(leads, reps)
    for i in range(len(leads)):
        mine = {name: values[i] for name, values in given.items()}
        probability, spread, expected = prepared.score(as_values(leads.iloc[i]), mine)
        np.testing.assert_allclose(probability, said.win_probability[i], rtol=0, atol=1e-12)
        np.testing.assert_allclose(spread, said.logit_sd[i], rtol=0, atol=1e-12)
        np.testing.assert_allclose(expected, said.win_probability[i] * worth[i], rtol=1e-12)
    assert np.ptp(said.win_probability) > 0.05


def test_a_difference_of_two_reps_adds_up_and_its_linear_part_is_the_models_own(fitted):
    _, model, amount = fitted
    leads, reps, _ = leads_and_reps()
    whole = PreparedReps(model, amount, reps, leads.columns)
    plain = ConversionModel(model.columns, model.pooled, None, model.calibrator, model.times, model.findings)
    linear = PreparedReps(plain, amount, reps, leads.columns)
    for i in range(len(leads)):
        lead = as_values(leads.iloc[i])
        probability, _, _ = whole.score(lead)
        parts = whole.explain(lead, 2, 7)
        assert sum(value for _, value in parts) == pytest.approx(probability[2] - probability[7], abs=1e-12)
        expected = explain_difference(plain, leads.iloc[[i]], reps.iloc[[2]], reps.iloc[[7]]).contributions
        assert dict(linear.explain(lead, 2, 7)) == pytest.approx(dict(expected), abs=1e-12)


def test_trees_that_differ_from_lightgbm_are_answered_by_lightgbm(fitted, monkeypatch):
    _, model, amount = fitted
    leads, reps, _ = leads_and_reps()
    lead = as_values(leads.iloc[0])
    right = PreparedReps(model, amount, reps, leads.columns).score(lead)
    read = checked_trees(model.residual)
    broken = replace(read, leaves=read.leaves + 1.0)
    monkeypatch.setattr("models.conversion.residual.read_trees", lambda _: broken)
    reloaded = replace(model, residual=replace(model.residual))
    assert reloaded.residual.trees is None
    again = PreparedReps(reloaded, amount, reps, leads.columns).score(lead)
    np.testing.assert_allclose(again[0], right[0], rtol=0, atol=1e-12)
