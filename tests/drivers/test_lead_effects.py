"""Effects on the win probability: against an oracle, and in a world where counts and rates mislead."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.moments import DAY, HOUR, NEVER
from models.drivers.effects import win_effects
from models.drivers.habit import others_mean
from models.drivers.lead_effects import landmark_frequency, matured_share, win_effect
from models.drivers.panel_effects import EffectError


def test_logit_equals_statsmodels_with_dummies():
    """Coefficient and average step of a logistic model with a dummy a rep and month."""
    import statsmodels.api as sm

    rng = np.random.default_rng(0)
    unit, time = rng.integers(0, 8, 3000), rng.integers(0, 4, 3000)
    d, q = rng.normal(size=3000) + unit * 0.2, rng.normal(size=3000)
    y = (rng.random(3000) < 1 / (1 + np.exp(1 - 0.4 * d - 0.5 * q - 0.1 * unit - 0.2 * time))).astype(float)
    design = np.column_stack([d, q, unit[:, None] == np.arange(8), time[:, None] == np.arange(1, 4)]).astype(float)
    oracle = sm.Logit(y, design).fit(disp=0, cov_type="cluster", cov_kwds={"groups": unit})
    found = win_effect(unit, time, d, y, q)
    assert found.logit.estimate == pytest.approx(oracle.params[0], rel=2e-3)  # the weak prior on reps is felt so little
    assert found.logit.se == pytest.approx(oracle.bse[0], rel=0.25)  # CR2 against CR1
    raised = design.copy()
    raised[:, 0] += 1
    assert found.interval.estimate == pytest.approx(np.mean(oracle.predict(raised) - oracle.predict(design)), rel=3e-3)


def test_binary_treatment_is_done_against_not_done():
    rng = np.random.default_rng(1)
    unit, time, d = rng.integers(0, 10, 4000), rng.integers(0, 3, 4000), rng.integers(0, 2, 4000).astype(float)
    y = (rng.random(4000) < 0.2 + 0.1 * d).astype(float)
    assert win_effect(unit, time, d, y).interval.estimate == pytest.approx(
        y[d == 1].mean() - y[d == 0].mean(), abs=0.01
    )


def test_step_error_matches_the_spread_over_worlds():
    """The delta method's standard error against the spread of estimates in repeated worlds."""
    found, errors = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        unit, time = np.repeat(np.arange(15), 60), np.tile(np.arange(6), 150)
        d = rng.normal(size=900)
        y = (rng.random(900) < 1 / (1 + np.exp(1.2 - 0.5 * d - 0.05 * unit))).astype(float)
        step = win_effect(unit, time, d, y).interval
        found.append(step.estimate)
        errors.append(step.se)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.3)


def test_matured_share_is_the_product_limit_in_reversed_time():
    """Twenty leads won after 10 days and twenty after 50; half of the quick ones are too young to show a slow win."""
    won_after = np.r_[np.full(20, 10.0), np.full(20, 50.0), np.nan, np.nan, np.nan]
    age = np.r_[np.full(10, 20.0), np.full(30, 100.0), 5.0, 10.0, 60.0]
    # At 50 days 30 of the won are old enough, 20 of them won just then: a third is won by 10 days.
    np.testing.assert_allclose(matured_share(won_after, age)[-3:], [0.0, 1 / 3, 1.0], atol=1e-8)
    np.testing.assert_allclose(matured_share(won_after, age, 20.0)[-3:], [0.0, 0.0, 1.0], atol=1e-8)
    np.testing.assert_array_equal(matured_share([np.nan, np.nan], [3.0, 4.0]), [1.0, 1.0])


def test_young_leads_teach_without_pulling_the_effect_down():
    """Wins that are still to come: the step is the true one with `maturity`, and too small where they count as lost."""
    right, wrong = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        unit, time = np.repeat(np.arange(30), 400), np.tile(np.repeat(np.arange(10), 40), 30)
        d = (time >= rng.integers(3, 12, 30)[unit]).astype(float)
        p = 1 / (1 + np.exp(1.5 - 0.6 * d - 0.02 * unit))
        wait, age = rng.exponential(60, len(unit)), (9.5 - time) * 15.0
        won = (rng.random(len(unit)) < p) & (wait <= age)
        truth = np.mean(1 / (1 + np.exp(0.9 - 0.02 * unit)) - 1 / (1 + np.exp(1.5 - 0.02 * unit)))
        share = matured_share(np.where(won, wait, np.nan), age)
        y = won.astype(float)
        right.append(win_effect(unit, time, d, y, maturity=share).interval.estimate / truth)
        wrong.append(win_effect(unit, time, d, y).interval.estimate / truth)
    assert np.mean(right) == pytest.approx(1.0, abs=0.1)
    assert np.mean(wrong) < 0.8


def test_landmark_frequency_counts_early_follow_ups_of_leads_still_open():
    """The first contact is no follow-up; a lead closed or not seen so long has no frequency; later calls are unseen."""
    start = 20_000 * DAY
    lead = [0, 0, 0, 0, 1, 1, 2, 2]
    when = [HOUR, 2 * DAY, 13 * DAY, 15 * DAY, HOUR, DAY, HOUR, DAY]
    ended = [NEVER, start + 3 * DAY, NEVER, start + 40 * DAY]
    assigned = [start, start, start + 100 * DAY, start]
    when = [w + assigned[k] for k, w in zip(lead, when, strict=True)]
    found = landmark_frequency(lead, when, assigned, ended, as_of=start + 110 * DAY, days=14)
    np.testing.assert_array_equal(found, [1.0, np.nan, np.nan, 0.0])


def test_others_mean_leaves_the_lead_itself_out():
    found = others_mean([1, 1, 1, 1, 2], [0, 0, 0, 0, 0], [1.0, 2.0, 3.0, np.nan, 9.0], least=2)
    np.testing.assert_array_equal(found, [2.5, 2.0, 1.5, 2.0, np.nan])


def test_truth_is_found_where_counts_and_short_times_mislead(lead_world):
    """Over five worlds the habit's step is near the truth; the count of a lead's calls says nothing or the opposite."""
    truth, habit, count, inside = [], [], [], 0
    for seed in range(5):
        w = lead_world(seed)
        z = others_mean(w.unit, w.time, w.early)
        step = win_effect(w.unit, w.time, w.early, w.won, w.quality, instrument=z).interval
        truth.append(w.truth)
        habit.append(step.estimate)
        inside += step.ci_low <= w.truth <= step.ci_high
        count.append(win_effect(w.unit, w.time, w.count, w.won, w.quality).interval.estimate)
    assert np.mean(habit) == pytest.approx(np.mean(truth), rel=0.3)
    assert inside >= 3
    assert np.mean(count) < 0.3 * np.mean(truth)


def test_effect_rows_name_levers_and_outcome(lead_world):
    w = lead_world(1)
    frame = pd.DataFrame(
        {
            "rep_id": [f"R{u}" for u in w.unit],
            "month": w.time,
            "y": w.won,
            "followups_per_week": w.early,
            "contacted_24h": (w.quality > 0).astype(float),
            "quality": w.quality,
            "trained:closing": w.trained,
        }
    )
    rows = win_effects(frame, np.random.default_rng(0))
    assert [row.driver for row in rows] == ["followups_per_week", "contact_within_24h", "training:closing"]
    for row in rows:
        assert row.outcome == "win_probability"
        assert (row.estimate is None) == (row.verdict == "not_identified")
        assert row.naive_estimate is not None


def test_a_placebo_course_is_not_called_real():
    """A course that does nothing, taken by the weak first: few intervals exclude 0."""
    called = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        unit, time = np.repeat(np.arange(20), 150), np.tile(np.repeat(np.arange(15), 10), 20)
        ability = rng.normal(0, 0.6, 20)
        course = (time >= 3 + np.argsort(np.argsort(ability))[unit] * 0.7).astype(float)
        won = (rng.random(3000) < 1 / (1 + np.exp(1.6 - ability[unit]))).astype(float)
        step = win_effect(unit, time, course, won).interval
        called += step.ci_low > 0 or step.ci_high < 0
    assert called <= 4


def test_all_leads_alike_or_no_probability_are_refused():
    with pytest.raises(EffectError, match="end alike"):
        win_effect([1, 1, 2, 2], [0, 1, 0, 1], [0.0, 1, 0, 1], [0.0, 0, 0, 0])
    with pytest.raises(EffectError, match="other values"):
        win_effect([1, 1, 2, 2], [0, 1, 0, 1], [0.0, 1, 0, 1], [0.0, 0.5, 0, 1])
