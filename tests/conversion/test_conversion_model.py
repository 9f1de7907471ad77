"""The whole model: what it promises to callers."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from features.moments import NEVER
from models.conversion.columns import PairColumns
from models.conversion.explanation import explain, explain_difference
from models.conversion.model import ConversionModel, Prediction

PAIRED = {"sd_rep": 0.5, "sd_pair": 0.7, "tenure": 0.5, "n": 5_000, "n_reps": 20}


def fit(made, seed=0, **options):
    return ConversionModel.fit(made.pairs, made.columns, np.random.default_rng(seed), made.as_of, 199, **options)


@pytest.fixture(scope="module")
def made(world):
    return world(0, censored=True, **PAIRED)


@pytest.fixture(scope="module")
def model(made):
    fitted = fit(made)
    assert fitted.findings.routing_mode == "pairs"
    return fitted


@pytest.fixture(scope="module")
def treed(world):
    """A world that does not add up, so that trees are kept."""
    crossed = world(1, n=9_000, crossed=0.9, sd_rep=0.4, sd_pair=0.6, n_reps=20)
    fitted = fit(crossed)
    assert fitted.residual is not None
    assert fitted.findings.routing_mode == "pairs"
    return crossed, fitted


def split(made, n_leads, n_reps):
    """Lead rows, rep rows, pair values, and the same pairs one below the other."""
    columns = made.columns
    leads = made.pairs[[*columns.lead_numeric, *columns.lead_categorical]].iloc[:n_leads].reset_index(drop=True)
    rep_columns = ["rep_id", *columns.rep_numeric]
    reps = made.pairs.drop_duplicates("rep_id")[rep_columns].iloc[:n_reps].reset_index(drop=True)
    reps.loc[len(reps)] = ["never seen", 0.1, 3.0]
    leads.loc[0, "source"] = "unheard of"
    leads.loc[1, "lead_x"] = np.nan
    same = (np.random.default_rng(0).random((len(leads), len(reps))) < 0.5).astype(float)
    pairs = leads.merge(reps, how="cross").assign(pair_same_territory=same.ravel())
    return leads, reps, {"pair_same_territory": same}, pairs


def test_matrix_equals_pairs(made, model):
    leads, reps, values, pairs = split(made, 40, 15)
    one, all_at_once = model.predict(pairs), model.predict_matrix(leads, reps, values)
    for name in ("win_probability", "ci_low", "ci_high", "logit", "logit_sd"):
        np.testing.assert_allclose(getattr(all_at_once, name).ravel(), getattr(one, name), rtol=0, atol=1e-10)
    assert np.ptp(all_at_once.win_probability[0]) > 0.02


def test_matrix_equals_pairs_with_trees(treed):
    crossed, fitted = treed
    leads, reps, values, pairs = split(crossed, 30, 12)
    matrix = fitted.predict_matrix(leads, reps, values).win_probability
    np.testing.assert_allclose(matrix.ravel(), fitted.predict(pairs).win_probability, rtol=0, atol=1e-10)


def test_a_pair_column_not_given_counts_as_not_known(made, model):
    leads, reps, _, pairs = split(made, 5, 4)
    given = model.predict(pairs.drop(columns="pair_same_territory")).win_probability
    np.testing.assert_allclose(model.predict_matrix(leads, reps).win_probability.ravel(), given, atol=1e-10)


def test_trees_are_kept_where_effects_do_not_add_up_and_help(treed, world):
    crossed, fitted = treed
    later = world(1, n=9_000, crossed=0.9, sd_rep=0.4, sd_pair=0.6, n_reps=20)
    assert fitted.findings.residual_gain > 0.002
    assert 0 < fitted.findings.residual_weight <= 1
    mean, _ = fitted.pooled.predict(later.pairs)
    with_trees = fitted.predict(later.pairs).logit
    assert np.corrcoef(with_trees, crossed.logit)[0, 1] > np.corrcoef(mean, crossed.logit)[0, 1] + 0.03


def test_parts_survive_json_exactly(made, model, treed):
    for data, fitted in ((made, model), treed):
        parts, texts = fitted.to_parts()
        again = ConversionModel.from_parts(json.loads(json.dumps(parts, allow_nan=False)), texts)
        before, after = fitted.predict(data.pairs), again.predict(data.pairs)
        assert (before.win_probability == after.win_probability).all()
        assert (before.logit_sd == after.logit_sd).all()
        assert json.dumps(again.to_parts()[0]) == json.dumps(parts)


def test_the_same_data_and_seed_give_the_same_bytes(treed):
    crossed, fitted = treed
    again = fit(crossed)
    assert json.dumps(again.to_parts()) == json.dumps(fitted.to_parts())


def test_row_order_and_rep_names_change_nothing(made, model):
    order = np.random.default_rng(1).permutation(len(made.pairs))
    names = {rep: f"zz{7 * at % 23}" for at, rep in enumerate(sorted(set(made.pairs["rep_id"])))}
    assert len(set(names.values())) == len(names)
    renamed = made.pairs.iloc[order].assign(rep_id=lambda frame: frame["rep_id"].map(names))
    other = ConversionModel.fit(renamed, made.columns, np.random.default_rng(0), made.as_of, 199)
    probe = made.pairs.assign(rep_id=made.pairs["rep_id"].map(names))
    ours, theirs = model.predict(made.pairs), other.predict(probe)
    np.testing.assert_allclose(theirs.win_probability, ours.win_probability, rtol=0, atol=1e-9)
    assert other.findings.interaction == model.findings.interaction


def test_intervals_hold_the_truth_about_as_often_as_they_say(made, model):
    prediction = model.predict(made.pairs)
    truth = 1 / (1 + np.exp(-made.logit))
    assert 0.8 < np.mean((prediction.ci_low <= truth) & (truth <= prediction.ci_high)) < 0.99
    assert (prediction.ci_low <= prediction.win_probability).all()
    assert (prediction.win_probability <= prediction.ci_high).all()


def test_later_leads_are_calibrated(made, model):
    found = model.findings
    assert found.n_scored > 1_000
    assert found.ece <= max(0.02, found.ece_limit)
    assert 0.6 < found.auc < 0.9
    assert found.n_open == made.pairs["y"].isna().sum()


def test_a_new_rep_starts_from_tenure_and_is_less_sure(made, model):
    rows = pd.concat([made.pairs.iloc[[5]]] * 3, ignore_index=True)
    rows["rep_id"] = ["new", "new", made.pairs["rep_id"].iloc[5]]
    rows["rep_tenure_years"] = [0.1, 3.0, 3.0]
    prediction = model.predict(rows)
    assert prediction.win_probability[1] > prediction.win_probability[0]
    assert prediction.logit_sd[1] > 1.5 * prediction.logit_sd[2]


def test_without_rep_effects_the_rep_plays_no_part(world):
    made = world(2, n=2_500)
    model = fit(made)
    assert model.findings.routing_mode == "lead_only"
    leads, reps, values, _ = split(made, 6, 8)
    matrix = model.predict_matrix(leads, reps, values).win_probability
    assert np.ptp(matrix, axis=1).max() == 0.0
    assert np.ptp(matrix[:, 0]) > 0.01


def test_without_interaction_reps_keep_their_order_on_every_lead(world):
    made = world(3, n=6_000, sd_rep=0.6)
    model = fit(made, mode="reps")
    leads, reps, values, _ = split(made, 10, 8)
    mean, _ = model.pooled.predict_matrix(leads, reps, values)
    possible, _ = fit(made, mode="pairs").pooled.predict_matrix(leads, reps, values)
    by_rep, by_pair = possible.mean(axis=0), possible - possible.mean(axis=0) - possible.mean(axis=1)[:, None]
    assert by_pair.std() < 0.25 * by_rep.std(), "what is not there is drawn towards none where it is possible"
    assert np.abs(np.diff(mean - mean[:, :1], axis=0)).max() < 1e-9
    assert np.ptp(mean[0]) > 0.3


def test_a_given_mode_overrules_the_findings(world):
    made = world(2, n=1_000)
    assert fit(made, mode="pairs").pooled.design.mode == "pairs"


def test_difference_of_two_reps_adds_up_and_names_no_lead_column(made, model):
    leads, reps, _, _ = split(made, 3, 4)
    a, b = reps.iloc[[1]].assign(pair_same_territory=1.0), reps.iloc[[2]].assign(pair_same_territory=0.0)
    why = explain_difference(model, leads.iloc[[2]], a, b)
    assert sum(part for _, part in why.contributions) == pytest.approx(why.probability - why.reference, abs=1e-12)
    names = {name for name, _ in why.contributions}
    assert {"rep", "rep x industry", "rep_tenure_years"} <= names
    assert not names & set(made.columns.lead_numeric + made.columns.lead_categorical)
    sizes = [abs(part) for _, part in why.contributions]
    assert sizes == sorted(sizes, reverse=True)
    back = explain_difference(model, leads.iloc[[2]], b, a)
    assert dict(back.contributions)["rep"] == pytest.approx(-dict(why.contributions)["rep"])


def test_explanations_add_up_with_trees(treed):
    crossed, fitted = treed
    for at in range(5):
        why = explain(fitted, crossed.pairs.iloc[[at]])
        assert sum(part for _, part in why.contributions) == pytest.approx(why.probability - why.reference, abs=1e-12)
        assert why.probability == pytest.approx(fitted.predict(crossed.pairs.iloc[[at]]).win_probability[0])
        # The share not named by a column is what uncertainty takes, never most of it.
        assert abs(dict(why.contributions).get("certainty", 0.0)) < 0.15


def degenerate(world):
    base = world(4, n=350, n_reps=6, sd_rep=0.3, censored=True)
    pairs = base.pairs
    lost = pairs["y"].where(pairs["y"].isna(), 0.0)
    return base, {
        "no wins": pairs.assign(y=lost, amount=np.nan),
        "only wins": pairs.assign(y=1.0),
        "only open": pairs.assign(y=np.nan, resolved_at=NEVER, amount=np.nan),
        "three leads": pairs.iloc[:3],
        "one lead": pairs.iloc[:1],
        "no lead": pairs.iloc[:0],
        "one rep": pairs.assign(rep_id="only"),
        "one source": pairs.assign(source="s", industry=""),
        "constant": pairs.assign(lead_x=1.0, lead_visits=np.nan, rep_training_hours_total=np.inf),
        "a category a lead": pairs.assign(source=pairs["lead_id"]),
        "a rep a lead": pairs.assign(rep_id=pairs["lead_id"]),
        "astronomic": pairs.assign(lead_x=pairs["lead_x"] * 1e300),
        "all at once": pairs.assign(as_of=5, resolved_at=np.where(pairs["y"].isna(), NEVER, 6)),
        "separable": pairs.assign(y=(pairs["lead_x"] > 0).astype(float), resolved_at=pairs["as_of"] + 1),
    }


@pytest.mark.filterwarnings("error")
def test_degenerate_data_give_a_model_with_probabilities(world):
    base, cases = degenerate(world)
    for name, frame in cases.items():
        model = ConversionModel.fit(frame, base.columns, np.random.default_rng(0), n_sims=49)
        prediction = model.predict(base.pairs)
        inside = (prediction.ci_low <= prediction.win_probability) & (prediction.win_probability <= prediction.ci_high)
        assert inside.all(), name
        assert ((prediction.win_probability > 0) & (prediction.win_probability < 1)).all(), name
        json.dumps(model.to_parts(), allow_nan=False)
        assert len(model.predict(base.pairs.iloc[:0]).logit) == 0


def test_no_columns_at_all_give_the_desk_mean(world):
    made = world(5, n=1_500)
    model = ConversionModel.fit(made.pairs, PairColumns(), np.random.default_rng(0), made.as_of, 99)
    assert model.predict(made.pairs).win_probability[0] == pytest.approx(made.won.mean(), abs=0.02)


def test_few_leads_have_wide_intervals(world):
    made = world(6, n=1_500)
    few = ConversionModel.fit(made.pairs.iloc[:10], made.columns, np.random.default_rng(0), n_sims=49)
    wide, narrow = few.predict(made.pairs.iloc[:50]), fit(made).predict(made.pairs.iloc[:50])
    assert (wide.ci_high - wide.ci_low).mean() > 2 * (narrow.ci_high - narrow.ci_low).mean()


def test_chances_without_a_pair_s_own_fate_are_those_of_the_others():
    """Of n pairs that are all alike, k won: without its own fate a pair's chance is (k - y) / (n - 1)."""
    n, k = 40, 10
    p, y = k / n, np.array([1.0, 0.0, np.nan])
    ones = np.ones(3)
    told = Prediction(p * ones, p * ones, p * ones, logit(p) * ones, ones / np.sqrt(n * p * (1 - p)))
    won, lost, still_open = told.left_out(y)
    assert won == pytest.approx((k - 1) / (n - 1), abs=0.001)
    assert lost == pytest.approx(k / (n - 1), abs=0.001)
    assert still_open == pytest.approx(p)
