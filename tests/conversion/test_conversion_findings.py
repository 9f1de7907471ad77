"""Effects that exist are found, effects that do not are not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from models.conversion import findings
from models.conversion.findings import LEVEL, Finding, Findings, choose_mode, confirmed_by_closed, find_effects
from models.conversion.predictor import train_pooled


def found(made, seed=0, n_sims=199):
    trained = train_pooled(made.pairs, made.columns, "pairs", made.as_of)
    return find_effects(trained, np.random.default_rng(seed), n_sims)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_real_interaction_is_found_with_an_interval_that_holds_it(world, seed):
    interaction, rep = found(world(seed, n=12_000, n_reps=50, sd_rep=0.4, sd_pair=0.5))
    assert interaction.supported
    assert rep.supported
    assert interaction.p_value <= 0.01
    assert interaction.ci_low < 0.55
    assert interaction.ci_high > 0.45
    assert interaction.ci_low > 0.2


def test_rep_levels_without_interaction_are_told_apart(world):
    interaction, rep = found(world(3, n=8_000, sd_rep=0.5))
    assert not interaction.supported
    assert rep.supported
    assert interaction.ci_low == 0.0
    assert choose_mode(interaction, rep) != "lead_only"


def test_a_possible_interaction_is_used_only_where_reps_differ():
    """What is possible but not proven is drawn towards none; where reps do not differ at all it stays out."""
    differ, alike = Finding(0.4, 0.2, 0.6, 0.005, True), Finding(0.1, 0.0, 0.3, 0.4, False)
    possible, noise = Finding(0.5, 0.0, 0.8, 0.4, False), Finding(0.5, 0.0, 0.8, 0.6, False)
    assert choose_mode(possible, differ) == "pairs"
    assert choose_mode(noise, differ) == choose_mode(replace(possible, estimate=0.0), differ) == "reps"
    assert choose_mode(possible, alike) == "lead_only"


def test_tenure_alone_counts_as_a_rep_effect(world):
    _, rep = found(world(4, n=8_000, tenure=0.8))
    assert rep.supported


def test_nothing_is_claimed_where_nothing_is(world):
    """Six worlds without any rep effect, half with open leads: 12 tests at 2 %; three claims would be 1 in 500."""
    claims = []
    for seed in range(6):
        interaction, rep = found(world(seed, n=2_500, n_reps=25, censored=bool(seed % 2), months=12), seed)
        claims += [interaction.supported, rep.supported]
    assert sum(claims) <= 2


def test_a_desk_that_changes_while_reps_come_and_go_is_no_rep_effect(world):
    """The desk doubles its odds half-way, when new reps replace the old: the same reps' features must not get it."""
    made = world(5, n=5_000, n_reps=40)
    pairs = made.pairs.copy()
    rng = np.random.default_rng(0)
    late = np.arange(len(pairs)) >= len(pairs) // 2
    y = rng.random(len(pairs)) < 1 / (1 + np.exp(-made.logit - 0.7 * late))
    number = rng.integers(0, 20, len(pairs)) + 20 * (rng.random(len(pairs)) < np.where(late, 0.8, 0.2))
    pairs["y"], pairs["rep_id"] = y.astype(float), [f"R{at}" for at in number]
    pairs["rep_tenure_years"] = 0.0
    trained = train_pooled(pairs, made.columns, "pairs", made.as_of)
    _, rep = find_effects(trained, np.random.default_rng(0), 199)
    assert rep.p_value > LEVEL


def test_a_tenure_that_is_only_the_calendar_is_no_rep_effect(world):
    """All hired on one day, win rates rising within each month and falling back: a calendar, not tenure."""
    made = world(7, n=4_000)
    share = np.arange(len(made.pairs)) / len(made.pairs)
    y = np.random.default_rng(1).random(len(share)) < 1 / (1 + np.exp(-made.logit - 1.0 + 2.0 * (24 * share % 1)))
    pairs = made.pairs.assign(y=y.astype(float), rep_tenure_years=5 * share)
    trained = train_pooled(pairs, made.columns, "pairs", made.as_of)
    _, rep = find_effects(trained, np.random.default_rng(0), 199)
    assert rep.p_value > LEVEL


def test_rep_columns_are_compared_among_contemporaries(world):
    made = world(8, n=2_000)
    calendar = np.linspace(0, 5, 2_000)
    hired = np.random.default_rng(0).uniform(0, 3, 2_000)
    for values, kept in ((calendar, False), (calendar + hired, True)):
        pairs = made.pairs.assign(rep_tenure_years=values)
        trained = train_pooled(pairs, made.columns, "pairs", made.as_of)
        of_rep = findings._columns_of(trained.model.design, "rep")
        rows = findings._against_contemporaries(trained.rows, of_rep)
        tenure = rows.encoded.numeric[:, np.flatnonzero(of_rep)[0]]
        assert bool(tenure.any()) is kept
        assert abs(np.corrcoef(tenure, calendar)[0, 1]) < 0.05 if kept else True
        others = ~of_rep[: rows.n_numeric]
        assert (rows.encoded.numeric[:, others] == trained.rows.encoded.numeric[:, others]).all()


def left_open(made, share_of_rep):
    """The world's pairs where reps leave such shares of their leads open, whatever they are, until they are dead."""
    rep = made.pairs["rep_id"].str[1:].astype(int).to_numpy()
    silent = np.random.default_rng(9).random(len(rep)) < share_of_rep[rep]
    y = np.where(silent, 0.0, made.pairs["y"])
    outcome = np.where(silent, "dead", np.where(y == 1, "won", "lost"))
    return made.pairs.assign(y=y, outcome=outcome)


def test_reps_who_differ_only_in_what_they_leave_open_are_no_rep_effect(world):
    """Some never enter a lead that goes nowhere, others keep it open for ever: among closed leads all are alike."""
    made = world(11, n=8_000, rate=0.3)
    pairs = left_open(made, np.where(np.arange(30) % 3 == 0, 0.0, 0.35))
    trained = train_pooled(pairs, made.columns, "pairs", made.as_of)
    _, rep = find_effects(trained, np.random.default_rng(0), 199)
    assert rep.supported, "not trivial: all leads together show a difference"
    again = confirmed_by_closed(rep, pairs, made.columns, made.as_of, np.random.default_rng(0))
    assert not again.supported
    assert again.p_value > LEVEL
    assert again.ci_low == 0.0


def test_reps_who_sell_better_stay_a_rep_effect_whatever_they_leave_open(world):
    made = world(12, n=8_000, sd_rep=0.5)
    _, rep = found(made)
    assert rep.supported
    for share in (0.3, 0.9):  # at 0.9 hardly a lost lead is closed, so all leads judge
        pairs = left_open(made, np.full(30, share))
        assert confirmed_by_closed(rep, pairs, made.columns, made.as_of, np.random.default_rng(0)) == rep


def test_too_few_outcomes_claim_nothing(world):
    made = world(0, n=200, rate=-9.0)
    interaction, rep = found(made)
    assert interaction.p_value == rep.p_value == 1.0
    assert choose_mode(interaction, rep) == "lead_only"


def test_joint_p_value_uses_every_statistic_and_reaches_the_least_possible():
    draws = np.random.default_rng(0).chisquare(20, size=(6, 200))
    draws[:, 0] = 20.0
    assert findings._joint_p_value(draws) > 0.2
    draws[3, 0] = 90.0
    assert findings._joint_p_value(draws) == 1 / 200
    draws[:, 0] = 33.0
    assert findings._joint_p_value(draws) == 1 / 200
    assert findings._joint_p_value(np.ones((1, 50))) == 1.0


def test_joint_p_value_is_uniform_under_the_null():
    rng = np.random.default_rng(1)
    values = [findings._joint_p_value(rng.chisquare([[2], [40]], size=(2, 100))) for _ in range(400)]
    assert np.mean(np.array(values) <= 0.1) == pytest.approx(0.1, abs=0.045)


def test_findings_survive_json_with_their_missing_scores():
    made = Findings(Finding(0.1, 0.0, 0.2, 0.5, False), Finding(0.3, 0.2, 0.4, 0.01, True), "reps")
    saved = json.loads(json.dumps(made.to_json(), allow_nan=False))
    again = Findings.from_json(saved)
    assert np.isnan(again.ece)
    assert again.to_json() == made.to_json()


@pytest.mark.long
def test_size_and_power_over_many_worlds(world):
    """At most 5 % false claims (120 worlds: 11 or fewer is within chance), nearly every real interaction found."""
    false = 0
    for seed in range(120):
        interaction, rep = found(world(1_000 + seed, n=3_000, n_reps=30, censored=bool(seed % 2)), seed)
        false += interaction.supported or rep.supported
    assert false <= 11
    power = [found(world(seed, n=15_000, n_reps=60, sd_rep=0.3, sd_pair=0.5), seed)[0].supported for seed in range(20)]
    assert np.mean(power) >= 0.95


@pytest.mark.parametrize(("tenure", "supported"), [(1.2, True), (0.0, False)])
def test_newcomers_below_veterans_are_seen_among_dozens_of_idle_columns(world, tenure, supported):
    made = world(14, n=1_000, tenure=tenure, rate=-3.0 + (0.0 if tenure else 1.2))
    rng = np.random.default_rng(5)
    noise = {f"rep_noise_{k}": rng.normal(size=1_000) for k in range(40)}
    columns = replace(made.columns, rep_numeric=(*made.columns.rep_numeric, *noise))
    trained = train_pooled(made.pairs.assign(**noise), columns, "pairs", made.as_of)
    _, rep = find_effects(trained, np.random.default_rng(0), 499)
    assert rep.supported is supported
