"""The table of effects as the report and drivers.json take it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.drivers.effects import contribution_effects


def frame_of(w):
    return pd.DataFrame(
        {
            "rep_id": w.unit,
            "month": w.time,
            "contribution": w.outcome,
            "followups_per_week": w.followups,
            "n_new_leads": w.controls[:, 0],
            "trained:closing": w.course,
            "trained:nobody": 0.0,
        }
    )


def test_levers_of_a_known_world(panel_world):
    """Truth inside the intervals, naive numbers beside them, and a course nobody took withheld with a reason."""
    rows = {r.driver: r for r in contribution_effects(frame_of(panel_world(2)), np.random.default_rng(0), lags=0)}
    follow, closing, nobody = rows["followups_per_week"], rows["training:closing"], rows["training:nobody"]
    assert follow.ci_low < 0.5 < follow.ci_high < follow.naive_estimate
    assert closing.ci_low < 1.5 < closing.ci_high
    assert closing.naive_estimate < 0
    assert (nobody.verdict, nobody.estimate, nobody.reasons) == ("not_identified", None, ("cannot_estimate",))
    assert follow.unit == "money_per_month"
    assert 0 < follow.sensitivity < 1


def test_no_effect_gives_an_interval_around_zero(panel_world):
    """In a world where follow-ups bring nothing, the interval holds 0 although the naive slope is large."""
    hits = 0
    for seed in range(6):
        row = contribution_effects(frame_of(panel_world(seed, effect=0.0)), np.random.default_rng(0), lags=0)[0]
        hits += row.includes_zero
        assert row.naive_estimate > 0.5
    assert hits >= 4


def test_a_lasting_step_sums_over_the_lags():
    """Half of the effect this month and half next: the row gives the whole."""
    rng = np.random.default_rng(3)
    reps, months = 60, 30
    d = rng.normal(size=(reps, months))
    y = np.zeros((reps, months))
    y[:, 1:] = 0.5 * d[:, 1:] + 0.5 * d[:, :-1]
    y += rng.normal(0, 0.5, (reps, months))
    i, t = np.meshgrid(np.arange(reps), np.arange(months), indexing="ij")
    frame = pd.DataFrame(
        {"rep_id": i.ravel(), "month": t.ravel(), "contribution": y.ravel(), "followups_per_week": d.ravel()}
    )
    row = contribution_effects(frame, np.random.default_rng(0), lags=1)[0]
    assert row.estimate == pytest.approx(1.0, abs=0.08)


def test_a_panel_without_levers_has_no_rows():
    frame = pd.DataFrame({"rep_id": ["a", "b"], "month": [1, 1], "contribution": [1.0, 2.0]})
    assert contribution_effects(frame, np.random.default_rng(0)) == ()
