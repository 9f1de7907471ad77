"""Two arms by lot: closed form, clusters, balance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from models.drivers.panel_effects import EffectError
from models.drivers.randomised import two_arms


def test_difference_and_interval_are_welchs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 30), rng.normal(0, 3, 50)
    found = two_arms(np.r_[np.ones(30), np.zeros(50)], np.r_[a, b]).interval
    oracle = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.90)
    assert (found.ci_low, found.ci_high) == pytest.approx((oracle.low, oracle.high))
    assert found.p_value == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)


def test_clusters_drawn_together_widen_the_interval():
    rng = np.random.default_rng(1)
    team = np.repeat(np.arange(20), 30)
    d = (team % 2).astype(float)
    y = d + rng.normal(0, 1, 20)[team] + rng.normal(0, 1, 600)
    alone, together = two_arms(d, y).interval, two_arms(d, y, cluster=team).interval
    assert together.estimate == pytest.approx(alone.estimate)
    assert together.se > 2 * alone.se


def test_adjustment_narrows_and_imbalance_is_seen():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(400, 2))
    d = rng.integers(0, 2, 400).astype(float)
    y = 0.5 * d + 2 * x[:, 0] + rng.normal(size=400)
    assert two_arms(d, y, x, adjust=True).interval.se < 0.6 * two_arms(d, y, x).interval.se
    assert two_arms(d, y, x).balanced
    chosen = (x[:, 0] + rng.normal(size=400) > 0).astype(float)
    assert not two_arms(chosen, y, x).balanced


def test_unfit_arms_are_refused():
    with pytest.raises(EffectError, match="other values"):
        two_arms([0, 1, 2], [1.0, 2, 3])
    with pytest.raises(EffectError, match="at least 2"):
        two_arms([0, 1, 1], [1.0, 2, 3])
