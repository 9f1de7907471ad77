"""A new rep starts from his team: its level is learnt, shrunk by an estimated variance, and nothing where teams do not
differ."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features.config import Config
from features.pairs import build_pairs
from features.spec import REP_CATEGORICAL, FeatureSpec, make_spec
from features.synthetic import WorldConfig, generate
from features.world import build
from models.conversion.amount import AmountModel
from models.conversion.model import ConversionModel
from models.conversion.prepared import LeadValues, PreparedReps
from training.datasets import pair_columns

N_TEAMS, N_REPS = 6, 36


def with_teams(made, sd_team, seed):
    """The pairs with a team a rep, and outcomes drawn anew so that teams differ by `sd_team` on the logit scale."""
    rng = np.random.default_rng(seed)
    effects = sd_team * np.linspace(-1.4, 1.4, N_TEAMS)
    rep = made.pairs["rep_id"].str[1:].astype(int).to_numpy()
    team = rep % N_TEAMS
    y = (rng.random(len(rep)) < 1 / (1 + np.exp(-(made.logit + effects[team])))).astype(float)
    pairs = made.pairs.assign(rep_team=[f"T{one}" for one in team], y=y)
    return pairs, replace(made.columns, rep_categorical=("rep_team",)), effects


def new_reps(made, n_teams=N_TEAMS):
    """A rep whom nobody has seen in each team, alike in everything else."""
    return pd.DataFrame(
        {
            "rep_id": [f"NEW{k}" for k in range(n_teams)],
            "rep_tenure_years": 0.1,
            "rep_training_hours_total": 0.0,
            "rep_team": [f"T{k}" for k in range(n_teams)],
        }
    )


def starts(model, made):
    """(teams,) mean logit with which a new rep of each team starts, over the newest leads."""
    leads = made.pairs.tail(200)
    return np.asarray(model.predict_matrix(leads, new_reps(made)).logit.mean(axis=0))


@pytest.fixture(scope="module")
def fitted(world):
    made = world(11, n=6_000, n_reps=N_REPS, sd_rep=0.3, tenure=0.3)
    found = {}
    for sd in (0.0, 0.5):
        pairs, columns, effects = with_teams(made, sd, 3)
        model = ConversionModel.fit(pairs, columns, np.random.default_rng(0), made.as_of, 19, mode="reps")
        found[sd] = (model, effects, pairs, columns)
    return made, found


def test_a_new_rep_of_a_strong_team_starts_above_one_of_a_weak_team(fitted):
    made, found = fitted
    model, effects, _, _ = found[0.5]
    reached = starts(model, made)
    assert np.corrcoef(reached, effects)[0, 1] > 0.9
    assert reached[-1] - reached[0] > 0.5 * (effects[-1] - effects[0])
    assert 0.25 < model.pooled.variances["rep rep_team"] ** 0.5 < 0.9


def test_where_teams_do_not_differ_a_new_rep_starts_alike_in_all_of_them(fitted):
    made, found = fitted
    model = found[0.0][0]
    assert np.ptp(starts(model, made)) < 0.25
    assert model.pooled.variances["rep rep_team"] ** 0.5 < 0.2


def test_a_team_nobody_has_seen_is_the_desk_s_mean(fitted):
    made, found = fitted
    model = found[0.5][0]
    reps = pd.concat([new_reps(made), new_reps(made, 1).assign(rep_team="none such")], ignore_index=True)
    logits = model.predict_matrix(made.pairs.tail(50), reps).logit.mean(axis=0)
    assert logits[:-1].min() < logits[-1] < logits[:-1].max()


def test_teams_that_differ_do_not_hide_that_reps_differ(fitted):
    """The tests for reps are made without teams: what a team explains is a difference between reps as well."""
    made, found = fitted
    _, _, pairs, columns = found[0.5]
    model = ConversionModel.fit(pairs, columns, np.random.default_rng(0), made.as_of, 99)
    assert model.findings.rep_effect.supported
    assert model.findings.routing_mode != "lead_only"


def test_one_lead_at_a_time_says_the_same_as_a_matrix_and_explains_the_team(fitted):
    made, found = fitted
    model, _, pairs, columns = found[0.5]
    amount = AmountModel.fit(pairs, columns)
    reps = new_reps(made)
    prepared = PreparedReps(model, amount, reps, (*columns.lead_numeric, *columns.lead_categorical))
    lead = made.pairs.iloc[-1]
    values = LeadValues(
        {name: float(lead[name]) for name in columns.lead_numeric},
        {name: str(lead[name]) for name in columns.lead_categorical},
    )
    probability, _, expected = prepared.score(values)
    frame = made.pairs.tail(1)
    assert probability == pytest.approx(model.predict_matrix(frame, reps).win_probability[0])
    assert expected / probability == pytest.approx(amount.expected_matrix(frame, reps)[0])
    said = dict(prepared.explain(values, N_TEAMS - 1, 0))
    assert said["rep_team"] == max(said.values())


def test_training_with_teams_takes_little_longer(fitted):
    made, found = fitted
    _, _, pairs, columns = found[0.5]

    def seconds(asked):
        began = time.process_time()
        ConversionModel.fit(pairs, asked, np.random.default_rng(0), made.as_of, 19, mode="reps")
        return time.process_time() - began

    without, with_them = (min(seconds(one) for _ in range(2)) for one in (columns.without_groups(), columns))
    assert with_them < 1.8 * without + 0.5


# -- from the tables to the columns -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables():
    return generate(WorldConfig(n_reps=24, n_months=8, seed=4)).tables


def test_pairs_carry_team_and_territories_as_the_tables_say(tables):
    spec = make_spec(tables, Config(), tables.newest())
    assert spec.rep_categorical == REP_CATEGORICAL
    assert pair_columns(spec).rep_categorical == REP_CATEGORICAL
    pairs = build_pairs(build(tables, tables.newest(), spec))
    team = dict(zip(tables.reps["rep_id"], tables.reps["team_id"], strict=True))
    assert (pairs["rep_team"] == pairs["rep_id"].map(team)).mean() > 0.99
    listed = {
        str(rep): ";".join(sorted(set(str(text).split(";")) - {""}))
        for rep, text in zip(tables.reps["rep_id"], tables.reps["territories"], strict=True)
    }
    assert (pairs["rep_territories"] == pairs["rep_id"].map(listed)).mean() > 0.99


def test_nothing_is_known_of_a_team_before_the_rep_is_known(tables):
    spec = make_spec(tables, Config(), tables.newest())
    world = build(tables, tables.newest(), spec)
    rep = tables.reps.sort_values("hired_on").iloc[-1]
    at = int(rep["known_at"])
    assert world.rep_categories([rep["rep_id"]], at)["rep_team"].tolist() == [""]
    assert world.rep_categories([rep["rep_id"]], at + 1)["rep_team"].tolist() == [rep["team_id"]]
    assert world.rep_categories(["nobody"], at)["rep_team"].tolist() == [""]


def test_a_desk_without_teams_has_no_such_column_and_old_specs_keep_their_fingerprint(tables):
    plain = tables.with_frames(reps=tables.reps.assign(team_id="", territories=""))
    spec = make_spec(plain, Config(), plain.newest())
    assert spec.rep_categorical == ()
    assert "rep_categorical" not in spec.to_json()
    assert FeatureSpec.from_json(spec.to_json()) == spec
    assert list(build(plain, plain.newest(), spec).rep_categories(["R001"], plain.newest()).columns) == []
    grouped = make_spec(tables, Config(), tables.newest())
    assert FeatureSpec.from_json(grouped.to_json()) == grouped
    assert grouped.fingerprint() != spec.fingerprint()
