"""The effectiveness matrix: shrunken effects, standardised attitude, and places that admit when they are chance."""

from __future__ import annotations

from math import fsum

import numpy as np
import pytest

from models.drivers.attribution import Contributions
from models.drivers.decomposition import against_peers, rep_against_peers
from models.drivers.matrix import adjusted_effect, attitude_score, place_reps
from models.drivers.terms import driver_map


def test_effects_are_drawn_in_by_as_much_as_months_are_chance():
    """Between reps sd 2, months sd 4, six months: the share kept is 4 / (4 + 16/6)."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 2, 400)
    unit = np.repeat(np.arange(400), 6)
    effect, se = adjusted_effect(unit, truth[unit] + rng.normal(0, 4, len(unit)))
    raw = np.bincount(unit, weights=truth[unit]) / 6
    assert np.polyfit(effect, raw - raw.mean(), 1)[0] == pytest.approx(1.0, abs=0.08)
    inside = np.abs(effect - (truth - truth.mean())) < 1.645 * se
    assert 0.85 < inside.mean() < 0.95


def test_reps_that_differ_by_chance_only_stand_together():
    unit = np.repeat(np.arange(40), 6)
    effect, _ = adjusted_effect(unit, np.random.default_rng(4).normal(size=240))
    assert np.abs(effect).max() < 0.5
    alone, se = adjusted_effect(np.arange(5), np.arange(5.0))
    np.testing.assert_array_equal(np.r_[alone, se], np.zeros(10))


def test_attitude_takes_what_is_on_record():
    measures = np.array([[9.0, 0.9, 0.0], [7.0, 0.5, 0.0], [np.nan, 0.1, 0.0], [np.nan, np.nan, 0.0]])
    score, n = attitude_score(measures)
    assert n.tolist() == [2, 2, 1, 0]
    assert score[0] > 0 > score[1] > score[2]
    assert np.isnan(score[3])


def test_places_admit_chance():
    rows = place_reps(
        ["a", "b", "c", "d"],
        np.array([1.0, -1.0, 1.0, np.nan]),
        np.array([3, 3, 1, 0]),
        np.array([10.0, 10.0, -10.0, -1.0]),
        np.array([2.0, 9.0, 2.0, 2.0]),
    )
    assert [row.quadrant for row in rows] == ["both", "effect_only", "attitude_only", "neither"]
    assert [row.sure for row in rows] == [True, False, False, False]
    assert rows[3].attitude is None


def test_a_group_with_the_rep_in_it_gives_the_gap_to_the_others():
    """In a linear game the parts against the others are known: coefficient times the difference of means."""
    rng = np.random.default_rng(1)
    names = np.repeat(["a", "b", "c", "d"], 3)
    X, beta = rng.normal(size=(12, 2)), np.array([2.0, -1.0])
    whole = Contributions(("tenure", "training"), (X - X.mean(axis=0)) * beta, X @ beta, np.full(12, (X @ beta).mean()))
    own = names == "a"
    scaled = against_peers(whole, own)
    expected = (X[own].mean(axis=0) - X[~own].mean(axis=0)) * beta
    np.testing.assert_allclose(scaled.values[own].mean(axis=0), expected, atol=1e-12)


def test_parts_carry_ranges_and_still_add_up():
    rng = np.random.default_rng(2)
    names = [f"R{k}" for k in range(12) for _ in range(6)]
    values = rng.normal(size=(72, 2))
    made = Contributions(("tenure", "training"), values, values.sum(axis=1), np.zeros(72))
    gap = rep_against_peers("R0", made, names, made.prediction + rng.normal(size=72), driver_map([]), names)
    assert fsum(part.amount for part in gap.parts) == gap.total
    assert all(part.low < part.amount < part.high for part in gap.parts)
