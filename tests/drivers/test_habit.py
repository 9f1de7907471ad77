"""Follow-ups as a habit of the rep's month, and effects on winning turned into money a month."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.moments import DAY, HOUR, NEVER
from models.drivers.effects import effect_rows
from models.drivers.habit import concurrent_habit, habit_effect, others_mean
from models.drivers.panel_effects import EffectError, demean_two_way, make_panel
from models.drivers.slow_drift import DRIFT_ALPHA, drift_p, hidden_cause


def frame_of(w, **more):
    return pd.DataFrame(
        {
            "rep_id": [f"R{u:02d}" for u in w.unit],
            "month": w.time,
            "y": w.won,
            "quality": w.quality,
            "followups_per_week": w.early,
            "trained:closing": w.trained,
            **more,
        }
    )


def empty_panel():
    return pd.DataFrame({"rep_id": [], "month": [], "contribution": []})


def test_a_habit_that_stands_still_leaves_single_leads_and_says_so():
    """No month differs from another: the first week stands for the second, which mends what noise takes away."""
    found = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        unit, time = np.repeat(np.arange(40), 200), np.tile(np.repeat(np.arange(20), 10), 40)
        rate = rng.gamma(4, 0.5, 8000)
        first, second = rng.poisson(rate), rng.poisson(rate)
        won = (rng.random(8000) < 1 / (1 + np.exp(3 - 0.5 * rate))).astype(float)
        truth = np.mean(1 / (1 + np.exp(2.5 - 0.5 * rate)) - 1 / (1 + np.exp(3 - 0.5 * rate)))
        none = np.empty((8000, 0))
        made = habit_effect(unit, time, (first + second) / 2, won, none, weeks=(first, second))
        assert made.own_only
        found.append(made.effect.interval.estimate / truth)
        with pytest.raises(EffectError, match="hardly moves"):
            habit_effect(unit, time, (first + second) / 2, won, none)
    assert np.mean(found) == pytest.approx(1.0, abs=0.3)


def test_the_habit_meanwhile_is_that_of_the_reps_other_leads():
    """Two reps, one with twice the calls: each lead sees the calls on its neighbours in its own weeks, not its own."""
    rng = np.random.default_rng(0)
    n = 400
    unit, assigned = np.arange(n) % 2, np.sort(rng.integers(0, 700, n)) * DAY
    rate = np.where(unit == 1, 2.0, 1.0) * np.where(assigned < 350 * DAY, 1.0, 1.5)
    count = rng.poisson(rate * 8)
    lead = np.repeat(np.arange(n), count)
    when = assigned[lead] + 2 * HOUR + (rng.random(len(lead)) * 56 * DAY).astype(np.int64)
    lead, when = np.r_[np.arange(n), lead], np.r_[assigned + HOUR, when]
    ended = np.full(n, NEVER)
    z = concurrent_habit(unit, assigned, ended, 800 * DAY, lead, when)
    early, late = assigned < 300 * DAY, (assigned > 360 * DAY) & (assigned < 700 * DAY)
    for rep, level in ((0, 1.0), (1, 2.0)):
        assert np.mean(z[early & (unit == rep)]) == pytest.approx(level, rel=0.15)
        assert np.mean(z[late & (unit == rep)]) == pytest.approx(1.5 * level, rel=0.15)
    k = 150
    more = np.r_[lead, np.full(50, k)], np.r_[when, assigned[k] + 9 * DAY + np.arange(50)]
    changed = concurrent_habit(unit, assigned, ended, 800 * DAY, *more)
    neighbour = next(i for i in range(k + 1, n) if unit[i] == unit[k] and assigned[i] <= assigned[k] + 9 * DAY)
    assert changed[k] == pytest.approx(z[k], rel=0.05)
    assert changed[neighbour] > 1.3 * z[neighbour]


def test_a_moving_habit_is_used(lead_world):
    w = lead_world(0)
    made = habit_effect(w.unit, w.time, w.early, w.won, w.quality[:, None])
    assert not made.own_only
    assert made.effect.method.endswith("_habit")
    assert 0 < made.drift_p <= 1


def drifting(seed, push, reps=50, months=24, per=10):
    """Leads whose hidden quality wanders slowly by rep, and by `push` on the log his habit with it."""
    rng = np.random.default_rng(seed)
    unit, time = np.repeat(np.arange(reps), months * per), np.tile(np.repeat(np.arange(months), per), reps)
    quality = np.cumsum(rng.normal(0, 0.2, (reps, months)), axis=1)
    own = rng.normal(0, 0.35, (reps, months))
    habit = (1.6 * np.exp(own + push * quality))[unit, time]
    won = rng.random(len(unit)) < 1 / (1 + np.exp(2.5 - 0.4 * habit - quality[unit, time]))
    seen = rng.poisson(7 * habit) / 7
    return make_panel(unit, time, seen, won.astype(float), others_mean(unit, time, seen))


def test_a_drift_that_moves_habit_and_results_is_seen_and_one_that_moves_only_results_is_not():
    """Of 20 worlds each; the test's own rate of false alarms is a twentieth."""
    sound = [drift_p(drifting(seed, 0.0), 1) for seed in range(20)]
    broken = [drift_p(drifting(seed, 0.6), 1) for seed in range(20)]
    assert sum(p < DRIFT_ALPHA for p in broken) >= 18
    assert sum(p < DRIFT_ALPHA for p in sound) <= 3
    # it looks one way: what makes the habit look weaker than it is raises no alarm
    assert np.median([drift_p(drifting(seed, -0.6), 1) for seed in range(3)]) > 0.9


def test_a_habit_that_lasts_and_is_counted_with_noise_is_no_drift():
    """The months around then tell of the month's own habit what its few calls do not: no reason to withhold."""

    def counted(seed, reps=60, months=30, per=7):
        rng = np.random.default_rng(seed)
        own = np.empty((reps, months))
        own[:, 0] = rng.normal(0, 1, reps)
        for month in range(1, months):
            own[:, month] = 0.8 * own[:, month - 1] + 0.6 * rng.normal(0, 1, reps)
        unit, time = np.repeat(np.arange(reps), months * per), np.tile(np.repeat(np.arange(months), per), reps)
        habit = (0.8 * np.exp(0.5 * own))[unit, time]
        won = rng.random(len(unit)) < 1 / (1 + np.exp(2.0 - habit))
        seen = rng.poisson(habit).astype(float)  # one week of calls
        return make_panel(unit, time, seen, won.astype(float), others_mean(unit, time, seen))

    found = [drift_p(counted(seed), 1) for seed in range(12)]
    assert sum(p < DRIFT_ALPHA for p in found) <= 3
    assert np.median(found) > 0.15


def test_the_hidden_cause_is_guessed_from_other_months_but_the_next():
    """Against the conditional mean of the joint normal, written out month by month; months of one to five leads."""
    reps, months = 6, 15
    rng = np.random.default_rng(0)
    leads = rng.integers(1, 6, (reps, months))
    unit = np.repeat(np.arange(reps), leads.sum(axis=1))
    time = np.repeat(np.tile(np.arange(months), reps), leads.ravel())
    calls = np.repeat(rng.gamma(2, 1, (reps, months)).ravel(), leads.ravel())
    found = hidden_cause(make_panel(unit, time, calls, np.zeros(len(unit))))
    moved = demean_two_way(np.log(calls + 0.1), unit, time)[:, 0]
    for rep in range(reps):
        for month in (0, 7, 14):
            others = np.array([m for m in range(months) if m not in (month, month + 1)])
            seen = np.array([moved[(unit == rep) & (time == m)][0] for m in others])
            walk = np.minimum.outer(others, others) / 12
            noise = leads.mean() / leads[rep, others]
            weights = np.linalg.solve(walk + 100.0 + np.diag(noise), np.minimum(others, month) / 12)
            here = found[(unit == rep) & (time == month)]
            assert here == pytest.approx(np.full(len(here), weights @ seen), abs=1e-12)


def test_a_habit_without_other_months_cannot_be_judged():
    rng = np.random.default_rng(0)
    unit, seen = np.repeat(np.arange(30), 10), rng.poisson(14, 300) / 7
    rows = make_panel(unit, np.zeros(300, dtype=int), seen, rng.integers(0, 2, 300), others_mean(unit, unit, seen))
    assert drift_p(rows, 1) is None


def test_money_a_month_is_each_leads_change_times_its_worth(lead_world):
    """With every lead worth 1,000 and 5 leads a month, money is 5,000 times the change of probability."""
    w = lead_world(3)
    rows = effect_rows(frame_of(w, worth=1000.0), empty_panel(), np.random.default_rng(0), 5.0)
    by = {(row.driver, row.outcome): row for row in rows}
    assert len(by) == 4
    for driver in ("followups_per_week", "training:closing"):
        win, money = by[driver, "win_probability"], by[driver, "contribution"]
        assert (money.unit, money.n, money.verdict) == ("money_per_month", win.n, win.verdict)
        for name in ("estimate", "ci_low", "ci_high"):
            assert getattr(money, name) == pytest.approx(5000 * getattr(win, name), rel=1e-9)


def test_a_lever_on_the_size_of_deals_counts_where_it_is_plain(lead_world):
    w = lead_world(3)
    rng = np.random.default_rng(0)
    size = np.where(w.won == 1, 1000 * np.exp(rng.normal(0, 0.3, len(w.won))), np.nan)
    rows = {}
    for name, amount in (("same", size), ("larger", size * np.exp(0.5 * w.trained))):
        made = effect_rows(frame_of(w, worth=1000.0, amount=amount), empty_panel(), np.random.default_rng(0), 1.0)
        rows[name] = next(r for r in made if (r.driver, r.outcome) == ("training:closing", "contribution"))
    assert rows["larger"].estimate - rows["same"].estimate == pytest.approx(0.5 * 1000 * w.won.mean(), rel=0.3)


def test_no_follow_ups_on_record_is_said(lead_world):
    w = lead_world(1)
    rows = effect_rows(frame_of(w).drop(columns="followups_per_week"), empty_panel(), np.random.default_rng(0), 5.0)
    row = next(r for r in rows if r.driver == "followups_per_week")
    assert (row.verdict, row.estimate, row.reasons) == ("not_identified", None, ("cannot_estimate",))


def test_a_skill_that_few_completed_is_named_and_withheld(lead_world):
    w = lead_world(1)
    rows = effect_rows(frame_of(w), empty_panel(), np.random.default_rng(0), 5.0, rare_skills=["welding"])
    found = [row for row in rows if row.driver == "training:welding"]
    assert [row.outcome for row in found] == ["win_probability", "contribution"]
    assert all((row.verdict, row.estimate, row.reasons) == ("not_identified", None, ("too_few_reps",)) for row in found)
