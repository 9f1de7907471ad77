"""Scores against scikit-learn and closed forms; calibration that mends what is wrong and leaves what is right."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn import metrics
from statsmodels.stats.proportion import proportion_confint

from models.conversion.calibration import (
    Calibrator,
    auc,
    brier,
    expected_calibration_error,
    expected_ece_of_calibrated,
    log_loss,
    reliability,
    wilson,
)
from models.conversion.columns import PairColumns
from models.conversion.design import learn_design
from models.conversion.pooled import Labels
from models.conversion.predictor import mean_logit, train_pooled


def sample(n, seed=0, shift=0.0, slope=1.0):
    """Logits shown, and outcomes of the true logits shift + slope x shown."""
    rng = np.random.default_rng(seed)
    shown = rng.normal(-1.5, 1.0, n)
    y = (rng.random(n) < expit(shift + slope * shown)).astype(float)
    return shown, y


def closed(y):
    return Labels(y, np.zeros(len(y)))


def test_scores_equal_scikit_learn():
    shown, y = sample(2_000)
    p = np.round(expit(shown), 2)
    p = np.clip(p, 0.005, 0.995)
    assert auc(p, y) == pytest.approx(metrics.roc_auc_score(y, p), abs=1e-12)
    assert brier(p, y) == pytest.approx(metrics.brier_score_loss(y, p), abs=1e-12)
    assert log_loss(p, y) == pytest.approx(metrics.log_loss(y, p), abs=1e-12)


def test_parts_of_a_win_are_two_weighted_leads():
    p, y = np.array([0.2, 0.7, 0.4]), np.array([0.0, 1.0, 0.25])
    doubled, truth, weight = np.array([0.2, 0.7, 0.4, 0.4]), np.array([0, 1, 1, 0]), np.array([1, 1, 0.25, 0.75])
    assert auc(p, y) == pytest.approx(metrics.roc_auc_score(truth, doubled, sample_weight=weight))
    assert brier(p, y) == pytest.approx(np.average((truth - doubled) ** 2, weights=weight) * 4 / 3 * 0.75)


def test_calibration_error_in_closed_form():
    p = np.array([0.05, 0.05, 0.55, 0.55])
    y = np.array([0.0, 1.0, 1.0, 1.0])
    assert expected_calibration_error(p, y) == pytest.approx((abs(0.10 - 1) + abs(1.10 - 2)) / 4)
    assert np.isnan(expected_calibration_error(p[:0], y[:0]))
    assert expected_calibration_error(np.array([1.0]), np.array([1.0])) == 0.0


def test_a_calibrated_model_stays_under_its_limit_in_19_of_20_samples():
    below = []
    for seed in range(60):
        shown, y = sample(1_500, seed)
        p = expit(shown)
        limit = expected_ece_of_calibrated(p, 100, np.random.default_rng(seed))
        below.append(expected_calibration_error(p, y) <= limit)
    assert 0.85 <= np.mean(below) <= 1.0


def test_a_shifted_and_flattened_model_is_mended():
    shown, y = sample(6_000, 1, shift=0.6, slope=0.6)
    later, truth = sample(6_000, 2, shift=0.6, slope=0.6)
    calibrator = Calibrator.fit(shown, closed(y))
    assert expected_calibration_error(expit(later), truth) > 0.05
    assert expected_calibration_error(expit(calibrator.apply(later)), truth) < 0.02


def test_a_right_model_is_left_almost_as_it_is_and_few_leads_move_nothing():
    shown, y = sample(6_000, 3)
    calibrator = Calibrator.fit(shown, closed(y))
    assert abs(calibrator.intercept) < 0.12
    assert abs(calibrator.slope - 1) < 0.08
    few = Calibrator.fit(shown[:10], closed(np.ones(10)))
    assert few.intercept < 0.7
    assert abs(few.slope - 1) < 0.35


def test_open_leads_handed_over_just_now_do_not_move_calibration():
    shown, y = sample(3_000, 4, shift=0.3)
    alone = Calibrator.fit(shown, closed(y))
    both = Calibrator.fit(np.append(shown, [-5.0] * 500), Labels(np.append(y, [np.nan] * 500), np.zeros(3_500)))
    assert both.intercept == pytest.approx(alone.intercept, abs=1e-5)


def test_reliability_bins_carry_wilson_intervals():
    shown, y = sample(3_000)
    rows = reliability(expit(shown), y)
    assert sum(row.n for row in rows) == 3_000
    first = rows[0]
    low, high = proportion_confint(round(first.rate * first.n), first.n, alpha=0.1, method="wilson")
    assert (first.ci_low, first.ci_high) == (pytest.approx(low), pytest.approx(high))
    assert wilson(0.0, 5)[0] == 0.0


def test_one_class_has_no_auc():
    assert np.isnan(auc(np.array([0.1, 0.2]), np.array([0.0, 0.0])))


def test_chances_of_the_training_leads_add_up_to_their_wins(world):
    """Averaging over unsure log-odds lifts chances below one half; the constant takes that back."""
    made = world(2, n=1_500, n_reps=60, sd_rep=0.8, sd_pair=1.0, rate=-2.5)
    model = train_pooled(made.pairs, made.columns, "pairs", made.as_of).model
    mean, variance = model.predict(made.pairs)
    assert variance.mean() > 0.2
    chance = expit(mean_logit(mean, variance))
    assert chance.sum() == pytest.approx(made.pairs["y"].sum(), rel=1e-6)


def test_counts_that_only_grow_and_seasons_of_one_year_are_left_out(world):
    made = world(3, n=600, months=12)
    grown = np.arange(len(made.pairs), dtype=float)
    pairs = made.pairs.assign(pair_resolved_leads_730d_by_source=grown, lead_month_of_year=grown % 12)
    columns = PairColumns(
        (*made.columns.lead_numeric, "lead_month_of_year"), (), (), ("pair_resolved_leads_730d_by_source",)
    )
    names = {term.name for term in learn_design(pairs, columns).numbers}
    assert names == set(made.columns.lead_numeric)
    long = pairs.assign(as_of=pairs["as_of"].to_numpy() * 3)
    assert "lead_month_of_year" in {term.name for term in learn_design(long, columns).numbers}
