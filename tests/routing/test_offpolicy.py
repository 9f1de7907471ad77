"""Off-policy estimates: closed forms, known truth, coverage, refusal, and a real log with a known answer."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import RequestError
from models.routing.offpolicy import LoggedDecisions, OutcomeModel, SupportRules, evaluate, uplift


def test_closed_form_on_four_decisions():
    log = LoggedDecisions(np.array([1.0, 0.0, 1.0, 0.0]), np.full(4, 0.5), np.array([1.0, 1.0, 0.0, 0.5]))
    model = OutcomeModel(logged=np.full(4, 0.25), target=np.full(4, 0.5))
    found = evaluate(log, model=model, rules=SupportRules(least_effective=1, most_weight=1)).estimates
    assert found["ips"].value == pytest.approx(0.5)  # weights 2, 2, 0, 1
    assert found["snips"].value == pytest.approx(0.4)
    assert found["dr"].value == pytest.approx(0.5 + (2 * 0.75 - 2 * 0.25 + 0 - 0.25) / 4)


def simulate(seed, n=3_000):
    """A log by uneven chances, a target policy, and the target's true mean."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n)
    truth = np.array([[0.1, 0.4, 0.2], [0.5, 0.1, 0.3]])
    behaviour = np.array([[0.6, 0.2, 0.2], [0.2, 0.5, 0.3]])
    target = np.array([[0.1, 0.8, 0.1], [0.7, 0.1, 0.2]])
    took = (rng.random(n)[:, None] > behaviour[kind].cumsum(axis=1)).sum(axis=1)
    y = (rng.random(n) < truth[kind, took]).astype(float)
    log = LoggedDecisions(y, behaviour[kind, took], target[kind, took])
    wrong = truth * 0.7 + 0.05
    model = OutcomeModel(wrong[kind, took], (wrong * target)[kind].sum(axis=1))
    return log, model, float((truth * target).sum(axis=1).mean()), float((truth * behaviour).sum(axis=1).mean())


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    hits = dict.fromkeys(("ips", "snips", "dr", "gain"), 0)
    for seed in range(200):
        log, model, truth, own = simulate(seed)
        assert abs(truth - own) > 0.1  # the estimators have something to find
        for name, estimate in evaluate(log, model=model).estimates.items():
            hits[name] += estimate.ci_low <= truth <= estimate.ci_high
        gain = uplift(log, model=model).estimates["dr"]
        hits["gain"] += gain.ci_low <= truth - own <= gain.ci_high
    assert all(0.83 <= count / 200 <= 0.97 for count in hits.values()), hits


def test_a_model_narrows_the_interval():
    log, model, _, _ = simulate(1)
    found = evaluate(log, model=model).estimates
    assert found["dr"].se < found["ips"].se


def test_the_log_judging_itself_is_its_own_mean():
    log, _, _, _ = simulate(2)
    same = LoggedDecisions(log.outcome, log.propensity, log.propensity)
    found = evaluate(same)
    assert found.estimates["ips"].value == pytest.approx(log.outcome.mean())
    assert found.effective_n == pytest.approx(log.outcome.size)
    assert uplift(same).estimates["snips"].value == pytest.approx(0.0)


def test_clusters_that_share_luck_widen_the_interval():
    rng = np.random.default_rng(3)
    cluster = np.repeat(np.arange(30), 40)
    y = 0.2 + rng.normal(0, 0.2, 30)[cluster] + rng.normal(0, 0.1, cluster.size)
    ones = np.ones(cluster.size)
    alone = evaluate(LoggedDecisions(y, ones, ones)).estimates["ips"].se
    together = evaluate(LoggedDecisions(y, ones, ones, cluster=cluster)).estimates["ips"].se
    assert together > 3 * alone


@pytest.mark.parametrize(
    ("target", "outside", "doubt"),
    [
        (np.r_[np.ones(20), np.zeros(980)], None, "small_effective_sample"),
        (np.full(1_000, 0.5), np.full(1_000, 0.4), "outside_support"),
        (np.zeros(1_000), None, "small_effective_sample"),
        (np.full(1_000, 0.5), None, ""),
    ],
)
def test_thin_support_is_refused_with_its_reason(target, outside, doubt):
    log = LoggedDecisions(np.tile([0.0, 1.0], 500), np.full(1_000, 0.5), target, outside)
    found = evaluate(log)
    assert (found.doubt, found.supported) == (doubt, not doubt)
    assert uplift(log).doubt == doubt


def test_no_decisions_and_bad_propensities():
    nothing = np.zeros(0)
    assert evaluate(LoggedDecisions(nothing, nothing, nothing)).doubt == "no_decisions"
    with pytest.raises(RequestError, match="propensity of decision 1"):
        evaluate(LoggedDecisions(np.ones(2), np.array([0.5, 0.0]), np.ones(2)))
    with pytest.raises(RequestError, match="one entry a decision"):
        evaluate(LoggedDecisions(np.ones(2), np.ones(3), np.ones(2)))


def fashion_logs():
    folder = os.environ.get("FAIRLEAD_PUBLIC_DATA", "")
    files = [Path(folder) / "obd_men" / f"men_{name}.csv.gz" for name in ("random", "bts")]
    if not folder or not all(path.exists() for path in files):
        told = "SKIPPED: the fashion log obd_men is not there; set FAIRLEAD_PUBLIC_DATA to the folder that holds it"
        warnings.warn(told, stacklevel=2)
        pytest.skip(told)
    return [pd.read_csv(path, usecols=["item_id", "position", "click", "propensity_score"]) for path in files]


def chances(log):
    """Mean logged propensity of each item and position, spread to sum to one a position; smoothed for unseen pairs."""
    counts = log.groupby(["position", "item_id"]).size().unstack(fill_value=0).reindex(columns=range(34), fill_value=0)
    share = (counts + 0.5).div((counts + 0.5).sum(axis=1), axis=0)
    return share.stack()


def test_a_real_log_gives_the_other_policys_known_click_rate():
    """Random items tell the click rate under Thompson sampling within the interval, and the reverse.

    The reverse has 69 clicks and chances down to 0.0002: with the logged ones IPS stops 0.0001 short of the answer
    (SNIPS reaches it), with chances estimated from the log, which are known to vary less, both reach it.
    """
    random, bandit = fashion_logs()
    rates = (random["click"].mean(), bandit["click"].mean())
    assert rates == pytest.approx((0.0046, 0.0069))
    of_bandit, uniform = chances(bandit), np.full(len(bandit), 1 / 34)
    logged = [log["propensity_score"].to_numpy() for log in (random, bandit)]
    at = [
        of_bandit.reindex(pd.MultiIndex.from_frame(log[["position", "item_id"]])).to_numpy() for log in (random, bandit)
    ]
    clicks = [log["click"].to_numpy(float) for log in (random, bandit)]
    forward = evaluate(LoggedDecisions(clicks[0], logged[0], at[0]), level=0.95)
    reverse = evaluate(LoggedDecisions(clicks[1], logged[1], uniform), level=0.95)
    estimated = evaluate(LoggedDecisions(clicks[1], at[1], uniform), level=0.95)
    cases = [(forward, "ips", rates[1]), (forward, "snips", rates[1]), (reverse, "snips", rates[0])]
    cases += [(estimated, "ips", rates[0]), (estimated, "snips", rates[0])]
    for found, method, answer in cases:
        assert found.supported
        estimate = found.estimates[method]
        assert estimate.ci_low <= answer <= estimate.ci_high
        assert estimate.ci_high - estimate.ci_low < 0.006  # narrow enough to mean something
