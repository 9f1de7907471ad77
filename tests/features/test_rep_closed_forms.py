"""Features of a rep whose history is short enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from features.moments import DAY, NEVER, parse
from features.tables import empty_tables
from features.world import World

T0 = parse("2025-01-01")


def world_of(rows_of, spec, assigned_days: list[float], call_days: list[float], capacity: float = np.nan) -> World:
    """One rep with a lead for each hand-over and calls on the first lead."""
    n, calls = len(assigned_days), len(call_days)
    at = np.array([T0 + int(day * DAY) for day in assigned_days], dtype=np.int64)
    called = np.array([T0 + int(day * DAY) for day in call_days], dtype=np.int64)
    ids = [f"l{i}" for i in range(n)]
    tables = empty_tables().with_frames(
        reps=rows_of("reps", {"rep_id": ["a"], "hired_on": [T0 - 365 * DAY], "weekly_capacity": [capacity]}, 1),
        leads=rows_of("leads", {"lead_id": ids, "created_at": at, "source": ["event"] * n}, n),
        assignments=rows_of("assignments", {"lead_id": ids, "rep_id": ["a"] * n, "assigned_at": at}, n),
        activities=rows_of(
            "activities",
            {
                "activity_id": [f"x{i}" for i in range(calls)],
                "lead_id": ["l0"] * calls,
                "rep_id": ["a"] * calls,
                "occurred_at": called,
            },
            calls,
        ),
    )
    return World(tables, spec, NEVER)


def ask(world: World, day: float) -> dict[str, float]:
    return world.rep_features(["a"], T0 + int(day * DAY)).iloc[0].to_dict()


def test_follow_ups_are_divided_by_the_mean_of_open_leads(rows_of, spec):
    """Two leads open all the window and one for half of it: 2.5 leads on average, 5 calls, 2 calls a lead."""
    world = world_of(rows_of, spec, [0, 1, 46], [33, 35, 40, 50, 55])
    assert ask(world, 60)["rep_follow_ups_per_open_lead_28d"] == pytest.approx(5 / 2.5)
    assert ask(world, 60)["rep_follow_ups_per_week_28d"] == 5 / 4


def test_a_lead_of_an_hour_does_not_blow_up_the_frequency(rows_of, spec):
    """At least one lead is divided by; without any the frequency is missing."""
    world = world_of(rows_of, spec, [10], [10.01, 10.02])
    assert ask(world, 10.1)["rep_follow_ups_per_open_lead_28d"] == 2
    assert np.isnan(ask(world, 9)["rep_follow_ups_per_open_lead_28d"])


def test_trend_of_follow_ups_compares_two_windows(rows_of, spec):
    """Two in 28 days against three in the 90 days before them."""
    world = world_of(rows_of, spec, [0], [10, 20, 80, 95, 100])
    assert ask(world, 118)["rep_follow_ups_ratio_28d_to_90d"] == pytest.approx((2 / 28) / (3 / 90))


def test_contact_time_and_share_in_time(rows_of, spec):
    world = world_of(rows_of, spec, [0, 2], [0.25, 3])
    now = ask(world, 10)
    assert now["rep_contact_hours_mean_90d"] == 6
    assert now["rep_contact_within_24h_rate_90d"] == 0.5
    assert np.isnan(ask(world, 1)["rep_contact_within_24h_rate_90d"])


def test_load_is_measured_against_capacity(rows_of, spec):
    world = world_of(rows_of, spec, [1, 2, 3, 4], [], capacity=2)
    now = ask(world, 10)
    assert (now["rep_load_share_28d"], now["rep_open_leads_per_capacity"], now["rep_new_leads_7d"]) == (0.5, 2, 2)
    assert np.isnan(ask(world_of(rows_of, spec, [1], []), 10)["rep_load_share_28d"])


def test_tenure_counts_from_hire(rows_of, spec):
    assert ask(world_of(rows_of, spec, [1], []), 0.25)["rep_tenure_years"] == pytest.approx(365.25 / 365.25)
