"""Policy against hold-out: unbiased, valid however often one looks, and alarmed when the gain is gone."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import RequestError
from models.routing.measured import measured_uplift


def decisions(rng, n, gain, chance=0.1):
    """Wins of leads of chance 0.15, plus `gain` under the policy."""
    quality = rng.beta(2, 10, n)
    holdout = rng.random(n) < chance
    won = rng.random(n) < quality + np.where(holdout, 0.0, gain)
    return won.astype(float), holdout, np.full(n, chance), quality


def test_two_decisions_of_each_kind_in_closed_form():
    found = measured_uplift(np.array([1.0, 0.0, 1.0, 0.0]), np.array([False, False, True, True]), np.full(4, 0.5))
    assert found.whole.value == pytest.approx(0.0)
    assert (found.whole.n_policy, found.whole.n_holdout, found.verdict) == (2, 2, "too_few")


def test_looking_after_every_fifty_decisions_rarely_finds_a_gain_that_is_not_there():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(150):
        outcome, holdout, chance, expected = decisions(rng, 2_000, 0.0)
        looks = [
            measured_uplift(outcome[:n], holdout[:n], chance[:n], expected[:n]).whole for n in range(300, 2_001, 50)
        ]
        wrong += any(look.ci_low > 0 or look.ci_high < 0 for look in looks)
    assert wrong <= 150 * 0.10 + 8


def test_a_gain_is_found_and_the_lead_s_own_chance_narrows_the_interval():
    outcome, holdout, chance, expected = decisions(np.random.default_rng(1), 6_000, 0.08, chance=0.2)
    found = measured_uplift(outcome, holdout, chance, expected)
    assert found.verdict == "gain"
    assert not found.alarm
    assert found.whole.ci_low < 0.08 < found.whole.ci_high
    blind = measured_uplift(outcome, holdout, chance).whole
    assert found.whole.ci_high - found.whole.ci_low < blind.ci_high - blind.ci_low


def test_a_gain_that_is_gone_raises_the_alarm():
    rng = np.random.default_rng(2)
    good, bad = decisions(rng, 8_000, 0.12, chance=0.3), decisions(rng, 1_500, -0.10, chance=0.3)
    joined = [np.concatenate(pair) for pair in zip(good, bad, strict=True)]
    assert measured_uplift(*good).verdict == "gain"
    found = measured_uplift(*joined, recent=1_500)
    assert found.verdict == "gain_gone"
    assert found.alarm


def test_a_policy_that_loses_is_named():
    found = measured_uplift(*decisions(np.random.default_rng(3), 6_000, -0.08, chance=0.3))
    assert (found.verdict, found.alarm) == ("loss", True)


def test_chances_of_nothing_or_all_are_refused():
    with pytest.raises(RequestError, match="between 0 and 1"):
        measured_uplift(np.ones(3), np.zeros(3, dtype=bool), np.zeros(3))
    with pytest.raises(RequestError, match="one outcome"):
        measured_uplift(np.ones(3), np.zeros(2, dtype=bool), np.full(3, 0.5))


def test_an_interval_that_comes_down_to_nothing_after_a_gain_raises_the_alarm():
    """Slowly worse, so that no stretch of the latest decisions is bad enough by itself."""
    rng = np.random.default_rng(5)
    parts = [decisions(rng, 1_500, gain, chance=0.3) for gain in (0.14, 0.0, -0.03, -0.05, -0.06)]
    joined = [np.concatenate(pair) for pair in zip(*parts, strict=True)]
    looks = [measured_uplift(*[one[:n] for one in joined]).verdict for n in (1_500, 7_500)]
    assert looks == ["gain", "gain_gone"]
    assert measured_uplift(*decisions(rng, 6_000, 0.0, chance=0.3)).verdict == "open"
