"""The leads' frame for effects: a score that has not seen the outcomes it stands beside, and young leads in it."""

from __future__ import annotations

import numpy as np
import pytest

from features.config import Config
from features.synthetic import WorldConfig, generate
from models.conversion.calibration import Calibrator
from models.conversion.model import ConversionModel
from models.conversion.predictor import train_pooled
from training.datasets import build_datasets, pair_columns
from training.effect_frames import cross_fitted_quality, lead_effect_frame, lead_quality


@pytest.fixture(scope="module")
def desk():
    """Pairs of a small desk, its model, and the world as known at its end."""
    world = generate(WorldConfig(n_reps=14, n_months=12, seed=3))
    sets = build_datasets(world.tables, world.as_of, Config())
    columns = pair_columns(sets.spec)
    pairs = sets.pairs.sort_values(["as_of", "lead_id"], kind="stable", ignore_index=True)
    pooled = train_pooled(pairs, columns, "reps", world.as_of)
    model = ConversionModel(columns, pooled.model, None, Calibrator(), pooled.times, None)  # type: ignore[arg-type]
    return sets.world, pairs, model


def test_a_reps_own_outcomes_do_not_move_the_score_of_his_leads(desk):
    """All his leads turned from lost to won: his own scores stay to the last digit, those of others move."""
    world, pairs, model = desk
    before = cross_fitted_quality(pairs, model, world.as_of)
    rep = pairs["rep_id"].value_counts().index[0]
    own = (pairs["rep_id"] == rep).to_numpy()
    changed = pairs.copy()
    changed.loc[own & changed["y"].eq(0).to_numpy(), "y"] = 1.0
    after = cross_fitted_quality(changed, model, world.as_of)
    np.testing.assert_array_equal(after[own], before[own])
    assert np.abs(after[~own] - before[~own]).max() > 1e-3
    assert np.corrcoef(before, lead_quality(model, pairs))[0, 1] > 0.5


def test_few_reps_fall_back_to_the_model_in_hand(desk):
    world, pairs, model = desk
    few = pairs.loc[pairs["rep_id"].isin(pairs["rep_id"].unique()[:5])].reset_index(drop=True)
    np.testing.assert_array_equal(cross_fitted_quality(few, model, world.as_of), lead_quality(model, few))


def test_young_leads_are_in_the_frame_with_a_lower_maturity(desk):
    world, pairs, model = desk
    frame = lead_effect_frame(world, pairs, model)
    assert len(frame) == len(pairs)
    by_age = frame.groupby("month")["maturity"].mean()
    assert by_age.is_monotonic_decreasing
    assert by_age.iloc[0] > 0.95
    assert by_age.iloc[-1] < 0.3
    assert frame["maturity_landmark"].mean() < frame["maturity"].mean()
    assert np.isfinite(frame["habit_meanwhile"]).all()
