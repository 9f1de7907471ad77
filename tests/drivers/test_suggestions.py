"""Actions follow from standing effects and room for them, or there are none."""

from __future__ import annotations

import pytest

from models.drivers.effects import EffectRow
from models.drivers.suggestions import suggest
from models.drivers.terms import driver_map, driver_of


def effect(driver, outcome, estimate, low, high, dose_high=5.0):
    verdict = "not_identified" if estimate is None else "identified"
    unit = "probability" if outcome == "win_probability" else "money_per_month"
    return EffectRow(driver, outcome, unit, estimate, low, high, "m", 10, verdict, dose_low=0.0, dose_high=dose_high)


def test_gain_is_step_times_effect_and_winning_is_preferred():
    rows = [
        effect("followups_per_week", "contribution", 500.0, 100.0, 900.0),
        effect("followups_per_week", "win_probability", 0.02, 0.01, 0.03),
    ]
    (one,) = suggest({"followups_per_week": 1.0}, {"followups_per_week": 1.5}, rows, 100_000.0)
    assert one.expected_gain == pytest.approx(0.5 * 0.02 * 100_000)
    assert (one.gain_low, one.gain_high) == pytest.approx((500.0, 1500.0))


def test_no_action_without_an_effect_or_without_room():
    none = effect("followups_per_week", "contribution", 500.0, -100.0, 900.0)
    withheld = effect("followups_per_week", "contribution", None, None, None)
    real = effect("followups_per_week", "contribution", 500.0, 100.0, 900.0, dose_high=2.0)
    assert suggest({"followups_per_week": 1.0}, {"followups_per_week": 3.0}, [none, withheld], 1.0) == ()
    assert suggest({"followups_per_week": 3.0}, {"followups_per_week": 3.0}, [real], 1.0) == ()
    assert suggest({"followups_per_week": 2.0}, {"followups_per_week": 9.0}, [real], 1.0) == ()  # beyond the doses seen
    assert suggest({"followups_per_week": float("nan")}, {"followups_per_week": 3.0}, [real], 1.0) == ()


def test_at_most_three_largest_first():
    rows = [effect(f"training:{k}", "contribution", 100.0 * k, 1.0, 900.0, 1.0) for k in range(1, 6)]
    levels = {f"training:{k}": 0.0 for k in range(1, 6)}
    found = suggest(levels, dict.fromkeys(levels, 1.0), rows, 1.0)
    assert [one.driver for one in found] == ["training:5", "training:4", "training:3"]


def test_features_map_to_the_fields_terms():
    assert driver_of("rep_follow_ups_per_open_lead_28d") == "follow_ups"
    assert driver_of("training_hours_total") == "training"
    assert driver_of("contribution_lag1") == "past_contribution"
    assert driver_of("tenure_years") == "tenure"
    assert driver_of("zzz") == "other"
    mapping = driver_map(["follow_ups_mean_28d", "zzz"])
    assert mapping.group(mapping.driver("follow_ups_mean_28d")) == "activity"
    assert mapping.group(mapping.driver("zzz")) == "other"
