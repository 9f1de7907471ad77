"""Amounts if won: recovered, smeared without exploding, and drawn as they are expected."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from models.conversion.amount import AmountModel
from models.conversion.columns import PairColumns

COLUMNS = PairColumns(("lead_size",), ("industry",), (), ())


def deals(n=3_000, seed=0, sd_rep=0.0):
    rng = np.random.default_rng(seed)
    size, industry, rep = rng.normal(size=n), rng.integers(0, 5, n), rng.integers(0, 20, n)
    log = 8 + 0.5 * size + np.array([-0.5, -0.2, 0, 0.2, 0.5])[industry] + rng.normal(0, sd_rep, 20)[rep]
    frame = pd.DataFrame(
        {
            "lead_id": [f"L{at}" for at in range(n)],
            "as_of": np.arange(n),
            "rep_id": [f"R{at}" for at in rep],
            "lead_size": size,
            "industry": [f"i{at}" for at in industry],
            "amount": np.exp(log + rng.normal(0, 0.6, n)),
        }
    )
    return frame, np.exp(log + 0.18)


def test_expected_amounts_are_near_the_truth_and_unbiased():
    frame, truth = deals()
    expected = AmountModel.fit(frame, COLUMNS).expected_amount(frame)
    assert np.median(np.abs(expected / truth - 1)) < 0.06
    assert expected.mean() == pytest.approx(truth.mean(), rel=0.04)


def test_rep_effects_are_pooled_and_dropped_where_there_are_none():
    flat, _ = deals(sd_rep=0.0)
    steep, _ = deals(sd_rep=0.5)
    assert np.std(AmountModel.fit(flat, COLUMNS).rep_effects) < 0.05
    assert np.std(AmountModel.fit(steep, COLUMNS).rep_effects) > 0.3


@pytest.mark.parametrize("seed", range(3))
def test_dozens_of_columns_of_reps_who_play_no_part_in_amounts_say_next_to_nothing(seed):
    """Forty columns that only describe the reps, on as many deals as a desk of twenty has in two years."""
    frame, _ = deals(1_000, seed)
    names = tuple(f"rep_{at}" for at in range(40))
    told = np.random.default_rng(100 + seed).normal(size=(20, 40))
    reps = pd.DataFrame(told, columns=list(names)).assign(rep_id=[f"R{at}" for at in range(20)])
    model = AmountModel.fit(frame.merge(reps, on="rep_id"), PairColumns(("lead_size",), ("industry",), names, ()))
    assert np.std(model.rep_logs(reps)) < 0.035
    # And where the columns say what reps make of a deal, they are believed.
    drawn = np.exp(0.2 * reps["rep_7"])
    better = frame.merge(reps, on="rep_id").assign(
        amount=lambda rows: rows["amount"] * rows["rep_id"].map(dict(zip(reps["rep_id"], drawn, strict=True)))
    )
    found = AmountModel.fit(better, PairColumns(("lead_size",), ("industry",), names, ())).rep_logs(reps)
    assert np.corrcoef(found, reps["rep_7"])[0, 1] > 0.9


def test_draws_have_the_expected_mean():
    frame, _ = deals()
    model = AmountModel.fit(
        frame.assign(amount=np.where(np.arange(len(frame)) % 4 == 0, 0.0, frame["amount"])), COLUMNS
    )
    assert model.zero_share == pytest.approx(0.25, abs=0.01)
    few = frame.iloc[:4]
    drawn = model.draw(np.random.default_rng(0), few, 40_000)
    assert drawn.shape == (40_000, 4)
    np.testing.assert_allclose(drawn.mean(axis=0), model.expected_amount(few), rtol=0.03)


def test_one_extreme_deal_or_lead_does_not_explode_the_mean():
    frame, _ = deals(400)
    before = AmountModel.fit(frame, COLUMNS).expected_amount(frame).mean()
    frame.loc[3, "amount"] = 1e12
    frame.loc[5, "lead_size"] = 1e9
    model = AmountModel.fit(frame, COLUMNS)
    assert model.expected_amount(frame).mean() < 1.6 * before
    assert model.expected_amount(frame.assign(lead_size=1e9)).max() < 40 * before


def test_matrix_equals_rows():
    frame, _ = deals(sd_rep=0.4)
    model = AmountModel.fit(frame, COLUMNS)
    leads = frame[["lead_size", "industry"]].iloc[:6]
    reps = pd.DataFrame({"rep_id": ["R1", "R2", "nobody"]})
    rows = leads.merge(reps, how="cross")
    np.testing.assert_allclose(model.expected_matrix(leads, reps).ravel(), model.expected_amount(rows), rtol=1e-12)


def test_round_trip_and_row_order():
    frame, _ = deals(500, sd_rep=0.3)
    model = AmountModel.fit(frame, COLUMNS)
    again = AmountModel.from_parts(json.loads(json.dumps(model.to_parts(), allow_nan=False)))
    assert (again.expected_amount(frame) == model.expected_amount(frame)).all()
    shuffled = AmountModel.fit(frame.sample(frac=1, random_state=1), COLUMNS)
    np.testing.assert_allclose(shuffled.expected_amount(frame), model.expected_amount(frame), rtol=1e-9)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_few_or_no_wins_are_still_a_model(n):
    frame, _ = deals(50)
    frame.loc[frame.index[n:], "amount"] = np.nan
    model = AmountModel.fit(frame, COLUMNS)
    expected = model.expected_amount(frame)
    assert np.isfinite(expected).all()
    assert model.n == n
    if n == 0:
        assert (expected == 0).all()
        assert (model.draw(np.random.default_rng(0), frame, 3) == 0).all()
    else:
        known = frame["amount"].iloc[:n]
        assert expected.min() > 0.3 * known.min()
        assert expected.max() < 5 * known.max()


def test_three_equal_deals_expect_about_that_amount():
    frame, _ = deals(3)
    expected = AmountModel.fit(frame.assign(amount=1_000.0), COLUMNS).expected_amount(frame)
    np.testing.assert_allclose(expected, 1_000.0, rtol=0.02)
