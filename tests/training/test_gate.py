"""The gate: bounds in closed form, what each rule lets through, and challengers of known quality."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t

from training.evidence import CONVERSION_LOSS, FORECAST_LOSS
from training.gate import Evidence, GateRules, GroupRatio, Paired, judge, paired_excess

RULES = GateRules()


def pair(gain, months=12, rows=40, seed=0, sd=0.05, segments=None):
    """Champion losses around 1; the challenger's lower by `gain`, with noise that each month shares."""
    rng = np.random.default_rng(seed)
    month = np.repeat(np.arange(months), rows)
    champion = rng.gamma(4.0, 0.25, months * rows)
    challenger = champion * (1.0 - gain) + rng.normal(0, sd, months)[month] * 0.2
    return Paired(challenger, champion, month, segments or {})


def evidence(**changed):
    given = {"losses": {CONVERSION_LOSS: pair(0.0, sd=0.0), FORECAST_LOSS: pair(0.0, sd=0.0)}, "newer_data": True}
    return Evidence(**{**given, "ece": 0.01, "ece_calibrated_95": 0.02, "late_features": 0, **changed})


def verdict(has_champion=True, **changed):
    return judge(evidence(**changed), has_champion, RULES, np.random.default_rng(1))


def failed(found):
    return [check.name for check in found.checks if not check.passed]


def test_the_excess_is_the_mean_difference_over_the_champions_mean():
    losses = Paired(np.array([1.0, 3.0, 5.0, 7.0]), np.array([2.0, 2.0, 4.0, 8.0]), np.array([0, 0, 1, 1]))
    excess = paired_excess(losses, 0.95, 200, np.random.default_rng(0))
    assert excess.point == pytest.approx(0.0 / 4.0)
    shifted = Paired(losses.challenger + 0.4, losses.champion, losses.months)
    assert paired_excess(shifted, 0.95, 200, np.random.default_rng(0)).point == pytest.approx(0.1)


def test_the_bound_is_students_over_month_means():
    rng = np.random.default_rng(3)
    k, rows = 12, 50
    month = np.repeat(np.arange(k), rows)
    gap = rng.normal(0.02, 0.1, k)
    losses = Paired(1.0 + gap[month], np.ones(k * rows), month)
    exact = gap.mean() + t.ppf(0.95, k - 1) * gap.std(ddof=1) / np.sqrt(k)
    found = paired_excess(losses, 0.95, 20_000, np.random.default_rng(0))
    assert found.high == pytest.approx(exact, rel=0.03)


def test_rows_of_one_month_count_as_one():
    """Many rows of few months prove nothing: the bound depends on the months."""
    few, many = pair(0.02, months=3, rows=400), pair(0.02, months=30, rows=40)
    rng = np.random.default_rng(0)
    assert paired_excess(few, 0.95, 2000, rng).high > paired_excess(many, 0.95, 2000, rng).high
    one = Paired(np.ones(500), np.full(500, 2.0), np.zeros(500, dtype=np.int64))
    assert paired_excess(one, 0.95, 100, rng).high == np.inf


def test_a_first_release_needs_only_that_nothing_peeks():
    assert verdict(False, losses={CONVERSION_LOSS: None, FORECAST_LOSS: None}, ece=0.5).promote
    assert failed(verdict(False, late_features=1)) == ["nothing peeks"]
    assert not verdict(False, late_features=1).promote


def test_a_retraining_on_newer_data_with_equal_losses_is_promoted():
    assert verdict().promote


def test_equal_losses_on_the_same_data_are_kept():
    found = verdict(newer_data=False)
    assert failed(found) == ["something is better"]
    assert not found.promote


@pytest.mark.parametrize("member", [CONVERSION_LOSS, FORECAST_LOSS])
def test_a_member_that_is_worse_keeps_the_whole_unit_out(member):
    losses = {CONVERSION_LOSS: pair(0.2, sd=0.0), FORECAST_LOSS: pair(0.2, sd=0.0), member: pair(-0.05)}
    found = verdict(losses=losses)
    assert member in failed(found)
    assert not found.promote


@pytest.mark.parametrize("harm", [0.05, 0.1, 0.3])
def test_a_challenger_made_worse_is_never_promoted_in_20_tries(harm):
    tries = [verdict(losses={CONVERSION_LOSS: None, FORECAST_LOSS: pair(-harm, seed=s)}).promote for s in range(20)]
    assert not any(tries)


@pytest.mark.parametrize("newer", [True, False])
def test_a_challenger_with_5_percent_lower_loss_is_promoted_in_15_of_20(newer):
    tries = [
        verdict(losses={CONVERSION_LOSS: None, FORECAST_LOSS: pair(0.05, seed=s)}, newer_data=newer).promote
        for s in range(20)
    ]
    assert sum(tries) >= 15


def test_a_segment_that_suffers_keeps_out_what_is_better_on_the_whole():
    labels = np.array([["large", "small"][i % 4 == 0] for i in range(480)], dtype=object)
    good = pair(0.10, sd=0.0, segments={"source": labels})
    assert verdict(losses={FORECAST_LOSS: good}).promote
    hurt = np.where(labels == "small", good.champion * 1.2, good.challenger)
    found = verdict(losses={FORECAST_LOSS: replace(good, challenger=hurt)})
    assert failed(found) == [f"segments of {FORECAST_LOSS}"]
    assert "source small +20.00%" in " ".join(found.reasons())


def test_calibration_may_be_as_bad_as_the_champions():
    assert failed(verdict(ece=0.05)) == ["calibration"]
    assert verdict(ece=0.05, ece_champion=0.06).promote
    assert verdict(ece=0.05, ece_calibrated_95=0.055).promote
    assert verdict(ece=float("nan"), ece_calibrated_95=float("nan")).promote


def test_a_group_whose_wins_are_underpredicted_beyond_chance_fails():
    even = GroupRatio("over 2 years", 400.0, 400.0, 300.0)
    assert verdict(groups=(even, GroupRatio("under 1 year", 100.0, 102.0, 90.0))).promote
    unfair = GroupRatio("under 1 year", 60.0, 140.0, 55.0)
    assert failed(verdict(groups=(even, unfair))) == ["fairness by group"]
    as_before = replace(unfair, by_champion=60.0)
    assert verdict(groups=(replace(even, by_champion=400.0), as_before)).promote
    chance = GroupRatio("team T9", 2.0, 4.0, 1.9)
    assert verdict(groups=(even, chance)).promote


def test_ranks_and_latency_are_held():
    assert failed(verdict(rank_correlation=0.1)) == ["driver ranks"]
    assert failed(verdict(latency_ms=400.0)) == ["latency"]
    assert verdict(rank_correlation=0.9, latency_ms=5.0).promote


def test_too_few_common_cases_are_said_and_not_judged():
    found = verdict(losses={FORECAST_LOSS: pair(-0.5, months=2)})
    assert found.promote
    assert "not compared: 80 common cases of 2 months" in " ".join(found.reasons())


def test_the_rules_hash_changes_with_any_rule():
    assert RULES.fingerprint() == GateRules().fingerprint()
    assert replace(RULES, margin=0.006).fingerprint() != RULES.fingerprint()
