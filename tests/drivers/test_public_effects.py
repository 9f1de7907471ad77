"""Public data with known answers, through the same estimators as the report."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.drivers.guards import unit_spread
from models.drivers.panel_effects import fixed_effects
from models.drivers.randomised import two_arms

BEFORE = ["age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75"]


def test_jtrain_grant(public_data):
    """Grants for training cut the scrap rate by a log of 0.252, last year's grant held."""
    d = pd.read_csv(public_data / "jtrain_firm_panel" / "jtrain.csv")
    found = fixed_effects(d.fcode, d.year, d.grant, d.lscrap, d[["grant_1"]])
    assert found.interval.estimate == pytest.approx(-0.252, abs=5e-4)
    assert (found.n, found.n_units) == (162, 54)


def test_lalonde_experiment_is_an_effect(public_data):
    d = pd.read_csv(public_data / "lalonde_nsw_training" / "nsw_experimental_445.csv")
    found = two_arms(d.treat, d.re78, d[BEFORE])
    assert found.interval.estimate == pytest.approx(1794, abs=1)
    assert found.interval.ci_low > 0
    assert found.balanced
    adjusted = two_arms(d.treat, d.re78, d[BEFORE], adjust=True).interval
    assert adjusted.ci_low < 1794 < adjusted.ci_high


@pytest.mark.parametrize("controls", ["cps1_controls_15992", "psid1_controls_2490"])
def test_lalonde_observational_controls_are_no_effect(public_data, controls):
    """Trainees against other people: -8,498 is computed, and withheld because the arms were never alike."""
    folder = public_data / "lalonde_nsw_training"
    trained = pd.read_csv(folder / "nsw_experimental_445.csv").query("treat == 1")
    others = pd.read_csv(folder / f"{controls}.csv")
    d = pd.concat([trained, others.rename(columns={"trt": "treat", "nodeg": "nodegree"})])
    found = two_arms(d.treat, d.re78, d[BEFORE])
    assert found.interval.estimate < -8_000
    assert not found.balanced


def test_lalonde_as_a_panel_does_not_call_the_gap_an_effect(public_data):
    """Each person against himself: the -8,498 between trainees and other people is gone; the sign is right."""
    folder = public_data / "lalonde_nsw_training"
    trained = pd.read_csv(folder / "nsw_experimental_445.csv").query("treat == 1")
    d = pd.concat([trained, pd.read_csv(folder / "cps1_controls_15992.csv").iloc[:3000]], ignore_index=True)
    years = [
        d.assign(person=d.index, step=k, pay=d[f"re{y}"], on=d.treat * (k == 2)) for k, y in enumerate((74, 75, 78))
    ]
    long = pd.concat(years)
    levels = fixed_effects(long.person, long.step, long.on, long.pay)
    assert levels.interval.ci_low > 0
    assert levels.moving_units == 185


def test_hillstrom_mails(public_data):
    d = pd.read_csv(public_data / "hillstrom_email_rct" / "hillstrom.csv")
    for segment, points in (("Mens E-Mail", 7.66), ("Womens E-Mail", 4.52)):
        pair = d[d.segment.isin([segment, "No E-Mail"])]
        found = two_arms(pair.segment == segment, pair.visit, pair[["recency", "history", "mens", "womens", "newbie"]])
        assert 100 * found.interval.estimate == pytest.approx(points, abs=0.005)
        assert found.balanced


def test_thornton_incentive(public_data):
    """Any incentive brings 45 points, villages being the clusters."""
    d = pd.read_csv(public_data / "thornton_incentive_rct" / "thornton_hiv.csv")
    found = two_arms(d["any"], d.got, cluster=d.villnum.fillna(-1))
    assert 100 * found.interval.estimate == pytest.approx(45.06, abs=0.05)
    assert found.interval.ci_low > 0.35


def test_foresight_has_no_rep_driver(public_data):
    """Reps' labels are random there: they differ by no more than chance, and an invented course does nothing."""
    d = pd.read_csv(public_data / "foresight_pharma_sales" / "rep_month.csv")
    month = pd.PeriodIndex(d["month"], freq="M").astype("int64")
    sales = np.log(d["sales"].clip(lower=1))
    assert unit_spread(d["Sales Rep"], month, sales, np.random.default_rng(0))[2] > 0.05
    real = 0
    for seed in range(20):
        starts = np.random.default_rng(seed).integers(6, 42, d["Sales Rep"].nunique())
        rep = d["Sales Rep"].astype("category").cat.codes.to_numpy()
        course = (month - month.min() >= starts[rep]).astype(float)
        found = fixed_effects(d["Sales Rep"], month, course, sales).interval
        real += found.ci_low > 0 or found.ci_high < 0
    assert real <= 4
