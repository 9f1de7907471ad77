"""Drift: what months and reps share is no alarm, a real shift is, and the commands act on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features import moments
from features.config import Config
from features.moments import DAY, NEVER
from training.drift import find_drift, freshness_findings, input_findings, unseen_findings
from training.outcome_drift import level_shift, target_days, target_findings
from training.release import release_for
from training.shifts import DriftRules, holm, month_shift, periods

RULES = DriftRules()
AS_OF = 20_000 * DAY


def leads(seed, shift=0.0, month_sd=0.15, rep_sd=0.5, months=18, reps=60, each=5):
    """Leads whose number has a part of the month and one of the rep; the newest 30 days moved by `shift`."""
    rng = np.random.default_rng(seed)
    n = months * reps * each
    month = np.repeat(np.arange(months), reps * each)
    rep = np.tile(np.repeat(np.arange(reps), each), months)
    at = AS_OF - month * 30 * DAY - rng.integers(1, 29 * DAY, n)
    x = month_sd * rng.normal(size=months)[month] + rep_sd * rng.normal(size=reps)[rep] + rng.normal(size=n)
    x = x + np.where(month == 0, shift * x.std(), 0.0)
    source = rng.choice(["web", "event", "referral"], n)
    return pd.DataFrame({"as_of": at, "rep_id": [f"R{r:02d}" for r in rep], "x": x, "source": source})


def looked(frame, seed=0):
    return input_findings(frame, ("x",), ("source",), AS_OF, np.random.default_rng(seed), RULES)


def test_periods_count_back_from_the_moment():
    at = np.array([AS_OF, AS_OF - 1, AS_OF - 30 * DAY, AS_OF - 30 * DAY - 1, AS_OF - 60 * DAY - 1, AS_OF - 2000 * DAY])
    assert periods(at, AS_OF).tolist() == [-1, 0, 0, 1, 2, -1]


def test_holm_in_closed_form():
    assert holm(np.array([0.04, 0.01, 0.03])).tolist() == pytest.approx([0.06, 0.03, 0.06])
    assert holm(np.array([0.5, 0.9])).tolist() == [1.0, 1.0]


def test_what_months_and_reps_share_raises_no_false_alarm():
    """Taking rows for independent, as most tests do, this alarms in most months."""
    from scipy.stats import ttest_ind

    frames = [leads(seed) for seed in range(60)]
    naive = [ttest_ind(f.loc[periods(f["as_of"].to_numpy(), AS_OF) == 0, "x"], f["x"]).pvalue < 0.05 for f in frames]
    assert np.mean(naive) > 0.3
    alarmed = [any(found.alarm for found in looked(frame)) for frame in frames]
    assert sum(alarmed) <= 5


def test_a_month_of_many_leads_is_as_noisy_as_any_other_where_months_have_a_part_of_their_own():
    """Four times the leads in the newest month: taken for a quarter of the noise, a fifth of such desks would alarm."""
    small = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        period = np.repeat(np.arange(18), [800] + [200] * 17)
        reps = rng.integers(0, 20, len(period))
        x = 0.5 * rng.normal(size=18)[period] + rng.normal(size=len(period))
        found = month_shift(x, period, reps, rng, replace(RULES, n_flips=199))
        small.append(found.p_value < 0.05)
        found = level_shift(x, np.ones(len(x)), period, reps, rng, replace(RULES, n_flips=199), 1)
        small.append(found.p_value < 0.05)
    assert np.mean(small[::2]) < 0.1
    assert np.mean(small[1::2]) < 0.1


def test_half_a_standard_deviation_is_found_within_a_month():
    found = [
        any(f.alarm and f.name == "x" for f in looked(leads(seed, shift=0.5, month_sd=0.08))) for seed in range(20)
    ]
    assert sum(found) >= 18


def test_one_reps_own_change_is_no_drift_of_the_desk():
    frame = leads(3, month_sd=0.02)
    newest = periods(frame["as_of"].to_numpy(), AS_OF) == 0
    one = frame.assign(x=frame["x"] + np.where(newest & (frame["rep_id"] == "R00"), 40.0, 0.0))
    shift = month_shift(
        one["x"].to_numpy(), periods(one["as_of"].to_numpy(), AS_OF), pd.factorize(one["rep_id"])[0],
        np.random.default_rng(0), RULES,
    )  # fmt: skip
    assert shift.p_value > 0.05


def test_cells_that_are_no_longer_filled_are_found():
    frame = leads(4)
    newest = periods(frame["as_of"].to_numpy(), AS_OF) == 0
    gone = frame.assign(x=np.where(newest & (np.arange(len(frame)) % 3 == 0), np.nan, frame["x"]))
    gone.loc[gone.index[~newest][::50], "x"] = np.nan
    assert ("missing", "x") in {(f.kind, f.name) for f in looked(gone) if f.alarm}


def test_a_new_category_is_found_by_its_share():
    frame = leads(5)
    newest = periods(frame["as_of"].to_numpy(), AS_OF) == 0
    new = frame.assign(source=np.where(newest & (np.arange(len(frame)) % 10 == 0), "livestream", frame["source"]))
    (found,) = unseen_findings(new, ("source",), AS_OF, RULES)
    assert found.alarm
    assert found.change == pytest.approx(0.1, abs=0.03)
    assert not unseen_findings(frame, ("source",), AS_OF, RULES)[0].alarm


def test_a_table_that_no_longer_arrives_is_found(tables):
    now = tables.newest()
    assert not any(found.alarm for found in freshness_findings(tables, now, RULES))
    late = freshness_findings(tables, now + 60 * DAY, RULES)
    assert {found.name for found in late if found.alarm} == {"leads", "assignments", "activities", "deals"}


def test_a_release_on_its_own_data_needs_no_retraining_and_an_old_one_does(trained):
    place, _ = trained
    now = place.tables.newest()
    release = release_for(place.releases, now)
    report = find_drift(place.tables, Config(), release, now, np.random.default_rng(7))
    assert not report.needed, report.as_text()
    assert {"input", "freshness", "age"} <= {found.kind for found in report.findings}
    assert report.as_dict()["findings"]
    old = find_drift(place.tables, Config(), release, now + 90 * DAY, np.random.default_rng(7))
    assert ("age", "release") in {(found.kind, found.name) for found in old.alarms}
    assert old.as_text().startswith(f"Release {release.version}, looked at {moments.iso(now + 90 * DAY, 'UTC')}")


def outcomes(seed, factor=1.0, dearer=1.0, month_sd=0.1, months=20, reps=60, each=6):
    """Leads of which some are won within a month or two; those judged in the last 90 days differ by `factor`."""
    rng = np.random.default_rng(seed)
    n = months * reps * each
    month, rep = np.repeat(np.arange(months), reps * each), np.tile(np.repeat(np.arange(reps), each), months)
    given = AS_OF - month * 30 * DAY - rng.integers(1, 29 * DAY, n)
    luck = month_sd * rng.normal(size=months)[month] + 0.3 * rng.normal(size=reps)[rep]
    # A lead can be judged a month after its hand-over: those of the newest month cannot yet.
    p = np.clip(0.2 * np.exp(luck) * np.where(month <= 3, factor, 1.0), 0, 1)
    closed = given + rng.integers(2 * DAY, 45 * DAY, n)
    won = (rng.random(n) < p) & (closed < AS_OF)
    amount = np.exp(9 + 0.6 * rng.normal(size=n)) * np.where(closed > AS_OF - 90 * DAY, dearer, 1.0)
    return pd.DataFrame(
        {
            "as_of": given, "rep_id": [f"R{r:02d}" for r in rep], "outcome": np.where(won, "won", "open"),
            "resolved_at": np.where(won, closed, NEVER), "amount": np.where(won, amount, np.nan), "source": "web",
        }
    )  # fmt: skip


class InTime:
    """Two thirds of what is won is won within 30 days."""

    def survival_win(self, age, source):
        return np.where(np.asarray(age) < 30, 1.0, 1 / 3)


def targets(frame, times=None):
    return {f.name: f for f in target_findings(frame, AS_OF, np.random.default_rng(1), RULES, times)}


def test_targets_that_keep_up_raise_no_alarm_though_the_newest_leads_are_still_open():
    alarmed = [any(found.alarm for found in targets(outcomes(seed)).values()) for seed in range(40)]
    assert sum(alarmed) <= 2
    assert set(targets(outcomes(0))) == {"won_within_30_days", "log_amount_won"}


def test_one_poor_market_month_is_no_drift_and_wins_that_stay_halved_are():
    frame = outcomes(5, month_sd=0.05)
    poor = (frame["as_of"] > AS_OF - 60 * DAY).to_numpy() & (np.arange(len(frame)) % 5 < 2)
    once = frame.assign(outcome=frame["outcome"].where(~poor, "lost"))
    assert not targets(once)["won_within_30_days"].alarm
    found = [targets(outcomes(seed, factor=0.5))["won_within_30_days"] for seed in range(12)]
    assert sum(one.alarm for one in found) >= 10
    assert all(one.change < -0.1 for one in found)


def test_amounts_that_fall_by_a_third_are_found_with_the_wins_of_the_quarter():
    found = [targets(outcomes(seed, dearer=0.67))["log_amount_won"] for seed in range(12)]
    assert sum(one.alarm for one in found) >= 11
    assert all(one.change < 0 for one in found)


@pytest.mark.parametrize(("factor", "alarmed"), [(1.0, False), (0.5, True), (1.8, True)])
def test_calibration_is_the_ratio_to_what_was_expected_of_leads_that_could_be_judged(factor, alarmed):
    """A model that rightly expects the change is not at fault for it; one that does not is."""
    frame = outcomes(3, factor=factor, month_sd=0.05)
    blind = targets(frame.assign(prediction=0.2), InTime())["won_over_expected"]
    assert blind.kind == "calibration"
    assert blind.change == pytest.approx(factor, rel=0.3)
    assert blind.alarm == alarmed
    changed = (frame["as_of"] > AS_OF - 120 * DAY).to_numpy()
    aware = targets(frame.assign(prediction=0.2 * np.where(changed, factor, 1.0)), InTime())["won_over_expected"]
    assert aware.change == pytest.approx(1.0, abs=0.3)
    assert not aware.alarm


def test_an_error_that_all_months_share_is_no_drift():
    found = targets(outcomes(4).assign(prediction=0.4), InTime())["won_over_expected"]
    assert found.change == pytest.approx(1.0, abs=0.2)
    assert not found.alarm


def test_wins_that_stay_halved_are_found_against_what_was_expected_and_a_growing_desk_is_no_drift():
    """Without the champion's word the same drop is found about as often as not."""
    halved = [outcomes(seed, factor=0.5).assign(prediction=0.2) for seed in range(12)]
    assert sum(targets(frame, InTime())["won_over_expected"].alarm for frame in halved) >= 9
    grown = []
    for seed in range(20):
        better = np.arange(20 * 360) // 360 <= 3  # better leads have come for four months, and the champion sees it
        frame = outcomes(seed, factor=1.6).assign(prediction=0.2 * np.where(better, 1.6, 1.0))
        grown.append(targets(frame, InTime())["won_over_expected"].alarm)
    assert sum(grown) <= 1


def test_amounts_are_judged_against_the_champions_own():
    """Dearer leads that the champion takes for such are no drift; the same amounts taken for usual ones are."""
    frames = [outcomes(seed, dearer=0.67) for seed in range(6)]
    late = [(frame["resolved_at"] > AS_OF - 90 * DAY).to_numpy() for frame in frames]
    known = [
        targets(frame.assign(log_amount=9 + np.where(new, np.log(0.67), 0.0)))["log_amount_won"]
        for frame, new in zip(frames, late, strict=True)
    ]
    assert not any(one.alarm for one in known)
    blind = [targets(frame.assign(log_amount=9.0))["log_amount_won"] for frame in frames]
    assert all(one.alarm for one in blind)
    assert all(one.change < -0.3 for one in blind)


def test_the_days_in_which_wins_come_are_taken_from_old_leads():
    given = np.array([AS_OF - 300 * DAY, AS_OF - 250 * DAY, AS_OF - 10 * DAY])
    assert target_days(given, given + np.array([20, 40, 1]) * DAY, AS_OF) == 30
    assert target_days(given, given + np.array([50, 40, 1]) * DAY, AS_OF) == 60
    assert target_days(given, given + np.array([150, 140, 1]) * DAY, AS_OF) == 120
    assert target_days(given[:0], given[:0], AS_OF) == 120


def test_newest_months_are_judged_together_where_each_is_thin():
    """Fifteen wins a month for three months are 45: enough by the rule of 40, though no single month is."""
    rng = np.random.default_rng(5)
    period, reps = np.repeat(np.arange(15), 15), np.tile(np.arange(15), 15)
    left = rng.normal(0.0, 0.1, len(period)) - 1.0 * (period < 3)
    found = level_shift(left, np.ones(len(period)), period, reps, rng, DriftRules(), 3)
    assert found is not None
    assert found.change == pytest.approx(-1.0, abs=0.05)
    assert found.p_value < 0.01
    thin = period % 3 > 0
    assert level_shift(left[thin], np.ones(thin.sum()), period[thin], reps[thin], rng, DriftRules(), 3) is None
