"""The law of open leads finds known truth again: who is won, when, and what tells nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import norm

from features import moments
from models.forecasting.closing import ClosingLaw, fit_closing
from models.forecasting.gather import _given_by_day, _Week
from models.forecasting.hazard_set import HazardSet, fit_hazard_set
from models.forecasting.pace import fit_close_pace

WIN_DAYS, LOSS_DAYS, SD = 25.0, 15.0, 0.4
SHARES = (0.3, 0.7)  # of the way to the end at which stages are entered


def lives(n: int, seed: int, stages: bool = False, p: float | None = None):
    """Spells and landmarks of leads with log-normal times; some are still open. Truth: chance `p_win`, times above."""
    rng = np.random.default_rng(seed)
    chance = rng.beta(2.0, 5.0, n) if p is None else np.full(n, p)
    won = rng.random(n) < chance
    total = np.where(won, WIN_DAYS, LOSS_DAYS) * np.exp(SD * rng.standard_normal(n))
    seen = rng.uniform(10.0, 150.0, n)  # age at which the history ends
    stop, event = np.minimum(total, seen), np.where(total > seen, "", np.where(won, "won", "lost"))
    leads = pd.DataFrame({"rep_id": "A", "source": "web", "p_win": chance, "age_start": 0.0, "age_stop": stop,
                          "event": event})  # fmt: skip
    marks = []
    for age in np.arange(2.0, 150.0, 10.0):
        there = stop > age
        mark = leads[there].assign(age_start=age)
        if stages:
            entered = np.array(SHARES)[:, None] * total[there]
            stage = (entered < age).sum(axis=0)
            at = np.where(stage == 2, entered[1], np.where(stage == 1, entered[0], 0.0))
            before = np.where(stage == 2, entered[0], at)
            mark = mark.assign(stage=np.array(["", "one", "two"])[stage], stage_ahead_log_days=np.log(at + 0.5),
                               stage_before_log_days=np.log(before + 0.5))  # fmt: skip
        marks.append(mark)
    return leads, pd.concat(marks, ignore_index=True)


def true_win(p: float, age: float, days: float) -> float:
    """P(won within so many days | open at this age) of log-normal times in closed form."""

    def still(usual: float, at: float) -> float:
        return float(norm.sf(np.log(at / usual) / SD))

    alive = p * still(WIN_DAYS, age) + (1 - p) * still(LOSS_DAYS, age)
    return p * (still(WIN_DAYS, age) - still(WIN_DAYS, age + days)) / alive


def told(law: ClosingLaw, lead: dict[str, object], age: float, days: float) -> float:
    frame = pd.DataFrame({"source": ["web"], **{name: [value] for name, value in lead.items()}})
    return float(law.win_in_slices(frame, np.ones(1), np.array([age]), np.array([[days]]))[0, 0])


@pytest.mark.parametrize("p", [0.15, 0.45])
@pytest.mark.parametrize("age", [2.0, 12.0, 22.0, 35.0])
def test_log_normal_times_are_found_again_from_histories_that_end(p, age):
    spells, marks = lives(6000, 1)
    assert 0.05 < (spells["event"] == "").mean() < 0.5, "the case must hold leads still open"
    law = fit_closing(spells, marks)
    for days in (10.0, 21.0):
        assert told(law, {"p_win": p}, age, days) == pytest.approx(true_win(p, age, days), abs=0.05)


def test_a_stage_entered_early_foretells_an_early_close():
    spells, marks = lives(4000, 2, stages=True)
    pace = fit_close_pace(spells, marks)
    frame = pd.DataFrame({"source": "web", "stage": ["two", "two", ""],
                          "stage_ahead_log_days": np.log([7.5, 28.5, 0.5]),
                          "stage_before_log_days": np.log([3.5, 12.5, 0.5])})  # fmt: skip
    fast, slow, unknown = pace.clocks(frame).won
    assert fast == pytest.approx(10.0, rel=0.12)
    assert slow == pytest.approx(40.0, rel=0.12)
    assert unknown == pytest.approx(WIN_DAYS, rel=0.12)
    law = fit_closing(spells, marks)
    lead = {"p_win": 0.3, "stage": "two", "stage_before_log_days": np.log(3.5)}
    soon = told(law, {**lead, "stage_ahead_log_days": np.log(7.5)}, 8.0, 5.0)
    late = told(law, {**lead, "stage_ahead_log_days": np.log(28.5), "stage_before_log_days": np.log(12.5)}, 29.0, 5.0)
    assert soon > 2 * late


def test_a_rhythm_that_stopped_tells_of_an_end_and_a_rhythm_without_meaning_does_not():
    """Overdue leads are never won where silence means the end; where it is thrown like dice it tells nothing."""
    spells, marks = lives(4000, 3, p=0.4)
    rng = np.random.default_rng(0)
    dice = rng.choice([0.1, 6.0], len(marks))
    alive = np.where((marks["event"] == "won") | (dice < 1), 0.1, 6.0)
    for due, means in ((alive, True), (dice, False)):
        law = fit_closing(spells, marks.assign(overdue=due, n_activities=4.0))
        quick, silent = (
            told(law, {"p_win": 0.4, "overdue": value, "n_activities": 4.0}, 12.0, 21.0) for value in (0.1, 6.0)
        )
        assert (silent < 0.2 * quick) if means else (silent == pytest.approx(quick, rel=0.15))


def test_states_that_say_nothing_leave_the_law_as_it_is():
    spells, marks = lives(5000, 4)
    noise = np.random.default_rng(1).normal(0.0, 1.0, len(marks))
    plain, noisy = fit_closing(spells, marks), fit_closing(spells, marks.assign(follow_up_log_ratio=noise))
    assert abs(noisy.habit_effect()[0]) < 0.08
    for age in (2.0, 20.0):
        with_noise = told(noisy, {"p_win": 0.3, "follow_up_log_ratio": 0.0}, age, 21.0)
        assert with_noise == pytest.approx(told(plain, {"p_win": 0.3}, age, 21.0), abs=0.01)


def test_a_habit_that_moves_the_odds_is_measured():
    rng = np.random.default_rng(5)
    n = 8000
    habit = rng.normal(0.0, 0.7, n)
    won = rng.random(n) < expit(-1.0 + habit)
    stop = np.where(won, WIN_DAYS, LOSS_DAYS) * np.exp(SD * rng.standard_normal(n))
    leads = pd.DataFrame({"rep_id": "A", "source": "web", "p_win": expit(-1.0), "age_start": 0.0, "age_stop": stop,
                          "event": np.where(won, "won", "lost"), "follow_up_log_ratio": habit})  # fmt: skip
    effect, centre = fit_closing(leads, leads).habit_effect()
    assert effect == pytest.approx(1.0, abs=0.12)
    assert centre == pytest.approx(0.0, abs=0.05)


def test_without_enough_wins_at_landmarks_the_plain_hazards_forecast_open_leads():
    spells, marks = lives(400, 6)
    none = fit_hazard_set(spells, marks.loc[marks["event"] != "won"])
    assert none.closing is None
    lead = pd.DataFrame({"source": ["web"], "p_win": [0.3]})
    found = none.win_in_slices(lead, np.ones(1), np.array([5.0]), np.array([[10.0, 10.0]]))
    assert found.shape == (1, 2)
    assert (found > 0).all()
    assert none.habit_effect() == (0.0, 0.0)


def test_chances_of_months_add_up_to_the_chance_of_all_and_skill_moves_the_odds():
    spells, marks = lives(2000, 7)
    law = fit_closing(spells, marks)
    leads = pd.DataFrame({"source": ["web", "never seen"], "p_win": [0.2, np.nan]})
    age, ones = np.array([3.0, 14.0]), np.ones(2)
    parts = law.win_in_slices(leads, ones, age, np.array([[5.0, 10.0, 400.0]] * 2))
    whole = law.win_in_slices(leads, ones, age, np.array([[415.0]] * 2))
    np.testing.assert_allclose(parts.sum(axis=1), whole[:, 0], rtol=1e-9)
    ever = law.ever(leads, age)
    assert (parts.sum(axis=1) <= ever + 1e-12).all()
    doubled = law.win_in_slices(leads, 2.0 * ones, age, np.array([[415.0]] * 2))[:, 0]
    np.testing.assert_allclose(doubled / whole[:, 0], 2.0 / (1.0 + ever), rtol=1e-9)


def test_the_set_comes_back_bit_equal_from_its_parts():
    import json

    spells, marks = lives(1500, 8, stages=True)
    laws = fit_hazard_set(spells, marks.assign(overdue=0.2, n_activities=2.0, last_outcome="reached"))
    again = HazardSet.from_parts(json.loads(json.dumps(laws.to_parts())))
    leads = marks.iloc[:50].reset_index(drop=True)
    asked = (leads, np.ones(50), leads["age_start"].to_numpy(), np.full((50, 2), 9.0))
    assert np.array_equal(laws.win_in_slices(*asked), again.win_in_slices(*asked))
    assert laws.to_parts() == again.to_parts()


def test_running_follow_ups_rest_in_weeks_without_any_and_count_a_lead_s_share():
    """Two leads held, four follow-ups a week for two weeks, none in the third: two a lead, then hardly any."""

    class EveryDay:
        def between(self, starts, ends, /):
            return (np.asarray(ends) - np.asarray(starts)) / moments.DAY

    week = _Week(pd.Index(["A"]), np.array([[400.0, 400.0, 0.0]]), np.array([[200.0, 200.0, 200.0]]))
    given = _given_by_day(week, moments.parse("2025-03-01"), EveryDay())
    assert given.shape == (1, 22)
    np.testing.assert_allclose(given[0, [0, 7, 14, 21]], [0.0, 2.0, 4.0, 4.0], atol=1e-9)
