"""Drift: what months and reps share is no alarm, a real shift is, and the commands act on it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from features import moments
from features.config import Config
from features.moments import DAY
from training.drift import (
    DriftRules,
    calibration_findings,
    find_drift,
    freshness_findings,
    holm,
    input_findings,
    month_shift,
    periods,
    unseen_findings,
)
from training.release import release_for

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


class Believes:
    """A conversion model that gives every lead 20 % and knows that half of what is won is won within 30 days."""

    def __init__(self):
        self.times = self

    def predict(self, pairs):
        return SimpleNamespace(win_probability=np.full(len(pairs), 0.2))

    def survival_win(self, age, source):
        return np.where(age < 30, 1.0, 0.5)


@pytest.mark.parametrize(("true", "alarmed"), [(0.2, False), (0.13, True), (0.3, True)])
def test_wins_beside_those_expected_at_the_leads_age(true, alarmed):
    rng = np.random.default_rng(11)
    n, reps = 6_000, 60
    age = rng.integers(1, 200, n)
    won = (age >= 30) & (rng.random(n) < 0.5 * true)
    pairs = pd.DataFrame(
        {
            "as_of": AS_OF - age * DAY,
            "rep_id": [f"R{r:02d}" for r in rng.integers(0, reps, n)],
            "source": "web",
            "outcome": np.where(won, "won", "open"),
        }
    )
    unit = SimpleNamespace(conversion=Believes(), data_until=AS_OF - 365 * DAY)
    sets = SimpleNamespace(pairs=pairs, world=SimpleNamespace(as_of=AS_OF))
    (found,) = calibration_findings(unit, sets, rng, RULES)
    assert found.change == pytest.approx(true / 0.2, abs=0.12)
    assert found.alarm == alarmed
