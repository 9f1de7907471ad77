"""Times to close against known distributions, with and without open leads."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import gamma

from features.moments import DAY, NEVER
from models.conversion.predictor import train_pooled
from models.conversion.timing import Ages, TimeToClose


def test_survivor_functions_match_the_truth_when_all_is_resolved(world):
    made = world(0, n=20_000)
    times = TimeToClose.fit(made.pairs, made.as_of)
    ages = np.array([5.0, 20.0, 45.0, 90.0])
    np.testing.assert_allclose(times.survival_win(ages), gamma.sf(ages, 2, scale=15), atol=0.03)
    np.testing.assert_allclose(times.survival_loss(ages), gamma.sf(ages, 2, scale=45), atol=0.03)


def test_open_leads_do_not_bias_times_or_rates(world):
    """Young leads resolved so far are mostly wins here: dropping the open ones flatters the rest."""
    bias_dropped, bias_kept, gaps = [], [], []
    for seed in range(3):
        made = world(seed, n=8_000, months=6, censored=True)
        still = made.pairs["y"].isna().to_numpy()
        assert 0.15 < still.mean() < 0.6
        dropped = made.pairs[~still]
        truth = 1 / (1 + np.exp(-made.logit))
        late = made.pairs["as_of"].to_numpy() > made.as_of - 45 * DAY
        for frame, biases in ((dropped, bias_dropped), (made.pairs, bias_kept)):
            model = train_pooled(frame, made.columns, "lead_only", made.as_of).model
            mean, _ = model.predict(made.pairs)
            biases.append(float((1 / (1 + np.exp(-mean)) - truth)[late].mean()))
        times = TimeToClose.fit(made.pairs, made.as_of)
        ages = np.array([15.0, 40.0, 90.0])
        gaps.append(np.abs(times.survival_loss(ages) - gamma.sf(ages, 2, scale=45)).max())
    assert np.mean(bias_dropped) > 0.03
    assert abs(np.mean(bias_kept)) < 0.015
    assert np.mean(gaps) < 0.06


def test_chance_of_an_open_lead_is_bayes_rule(world):
    times = TimeToClose.fit(world(1).pairs, world(1).as_of)
    age, p = np.array([0.0, 30.0]), np.array([0.2, 0.2])
    win, loss = times.survival_win(age), times.survival_loss(age)
    np.testing.assert_allclose(times.p_win_open(p, age), p * win / (p * win + (1 - p) * loss), rtol=1e-12)
    assert times.p_win_open(0.2, 0.0) == pytest.approx(0.2)
    assert times.p_win_open(0.2, 60.0) < 0.2
    assert times.p_win_open(0.9, 5_000.0) < 0.05


def test_windows_multiply_and_stay_within_bounds(world):
    times = TimeToClose.fit(world(1).pairs, world(1).as_of)
    first, second = times.win_between(10.0, 30.0), times.win_between(30.0, 70.0)
    both = times.win_between(10.0, 70.0)
    assert 0 < first < both < 1
    assert (1 - first) * (1 - second) == pytest.approx(1 - both)
    assert times.win_between(3_000.0, 4_000.0) == 0.0
    within = times.win_within(0.3, 10.0, 20.0)
    assert within == pytest.approx(float(times.p_win_open(0.3, 10.0)) * float(first))


def test_a_source_with_its_own_pace_is_seen_and_an_unknown_one_is_the_desk(world):
    made = world(2, n=12_000)
    pairs = made.pairs.copy()
    slow = (pairs["source"] == "s1").to_numpy()
    begun = pairs["as_of"].to_numpy()
    days = (pairs["resolved_at"].to_numpy() - begun) * np.where(slow, 3, 1)
    pairs["resolved_at"] = begun + days
    times = TimeToClose.fit(pairs, int(pairs["resolved_at"].max()) + 1)
    assert times.survival_win(40.0, "s1") > times.survival_win(40.0, "s2") + 0.2
    assert times.survival_win(40.0, "no such") == times.survival_win(40.0)
    several = times.survival_win(np.array([40.0, 40.0]), np.array(["s1", "x"], dtype=object))
    assert several.tolist() == [float(times.survival_win(40.0, "s1")), float(times.survival_win(40.0))]


def test_drawn_days_follow_the_survivor_function(world):
    times = TimeToClose.fit(world(3, n=12_000).pairs, world(3, n=12_000).as_of)
    drawn = times.draw_days_to_win(np.full(20_000, 10.0), "", np.random.default_rng(0))
    assert (drawn >= 0).all()
    expected = times.win_between(10.0, 30.0)
    assert (drawn <= 20.0).mean() == pytest.approx(float(expected), abs=0.015)


def test_outcomes_frames_are_read_too():
    frame = pd.DataFrame(
        {
            "assigned_at": [0, 0, 0, 0],
            "outcome": ["won", "dead", "open", "won"],
            "resolved_at": [3 * DAY, 5 * DAY, NEVER, 20 * DAY],
            "source": ["a", "a", "b", "b"],
        }
    )
    ages = Ages.read(frame, 10 * DAY)
    assert ages.y[:2].tolist() == [1.0, 0.0]
    assert np.isnan(ages.y[2:]).all()
    assert ages.days.tolist() == [3.0, 5.0, 10.0, 10.0]


@pytest.mark.parametrize("kind", [np.nan, 0.0, 1.0])
def test_one_kind_of_outcome_or_none_still_gives_times(world, kind):
    pairs = world(0, n=200).pairs.assign(y=kind)
    if np.isnan(kind):
        pairs["resolved_at"] = NEVER
    times = TimeToClose.fit(pairs, world(0, n=200).as_of)
    survivor = times.survival_win(np.array([0.0, 10.0, 100.0]))
    assert survivor[0] == 1.0
    assert (np.diff(survivor) <= 0).all()


def test_round_trip_is_exact(world):
    times = TimeToClose.fit(world(1).pairs, world(1).as_of)
    again = TimeToClose.from_parts(json.loads(json.dumps(times.to_parts(), allow_nan=False)))
    assert again.sources == times.sources
    assert (again.win == times.win).all()
    assert (again.loss == times.loss).all()
