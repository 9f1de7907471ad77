"""The replayed gain's interval by the model against dense algebra and known truth, and what wishes cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features.config import Config, Routing
from features.synthetic import WorldConfig, generate
from models.conversion.columns import PairColumns
from models.conversion.predictor import train_pooled
from models.routing.replay import Stream
from serving.board import Board
from serving.simulation import Simulation, headline, rule_lines
from training import replay_weeks
from training.replay_gain import RuleScene, model_gain, rule_costs

DAY = 86_400_000_000
COLUMNS = PairColumns(("lead_x",), ("industry",), ("rep_tenure_years",))


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(0)
    n = 900
    rep, industry = rng.integers(0, 6, n), rng.integers(0, 3, n)
    x = rng.normal(size=n)
    logit = -1 + 0.5 * x + rng.normal(0, 0.6, 6)[rep] + rng.normal(0, 0.6, (6, 3))[rep, industry]
    frame = pd.DataFrame(
        {
            "lead_id": [f"L{i:04d}" for i in range(n)],
            "rep_id": [f"R{r}" for r in rep],
            "as_of": np.arange(n) * DAY,
            "resolved_at": np.arange(n) * DAY + DAY,
            "y": (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(float),
            "source": "",
            "industry": [f"i{k}" for k in industry],
            "lead_x": x,
            "rep_tenure_years": rng.uniform(0, 5, n),
        }
    )
    return frame, train_pooled(frame, COLUMNS, "pairs", int(n * DAY + 10 * DAY))


def pairs_of(frame, rep, p=0.3, worth=100.0):
    return frame.head(40).assign(rep_id=rep, p=p, worth=worth)


def test_the_same_choices_gain_nothing_for_sure(trained):
    frame, fitted = trained
    found = model_gain(fitted, pairs_of(frame, "R1"), pairs_of(frame, "R1"), 1.0)
    assert (found.wins, found.wins_low, found.wins_high, found.value) == (0.0, 0.0, 0.0, 0.0)


def test_the_interval_is_the_posterior_s_own_by_draws(trained):
    """Draws of all effects from the dense posterior give the same spread, but for the factor of what is left out."""
    frame, fitted = trained
    ours, habit = pairs_of(frame, "R1", 0.3), pairs_of(frame, "R2", 0.2)
    found = model_gain(fitted, ours, habit, 1.0)
    factor, design = fitted.fit.factor, fitted.model.design
    R, K, q = factor.regression.shape
    flat = factor.regression.reshape(R * K, q)
    blocks = np.zeros((R * K, R * K))
    for r in range(R):
        blocks[r * K : (r + 1) * K, r * K : (r + 1) * K] = factor.block_inverse[r]
    whole = np.block(
        [
            [factor.fixed_covariance, -factor.fixed_covariance @ flat.T],
            [-flat @ factor.fixed_covariance, blocks + flat @ factor.fixed_covariance @ flat.T],
        ]
    )
    gradient = np.zeros(q + R * K)
    for pairs, sign in ((ours, 1.0), (habit, -1.0)):
        encoded = design.encode(pairs)
        weight = sign * (pairs["p"] * (1 - pairs["p"])).to_numpy()
        gradient[:q] += weight @ design.dense(encoded)
        rep = fitted.model.rep_index[pairs["rep_id"].iloc[0]]
        for i, cells in enumerate(encoded.cells):
            for cell in cells[cells < K]:
                gradient[q + rep * K + cell] += weight[i]
    sd = np.sqrt(gradient @ whole @ gradient)
    assert sd > 0.5
    assert (found.wins_high - found.wins_low) / 2 == pytest.approx(1.5 * 1.6448536 * sd, rel=1e-6)
    assert found.value_high - found.value_low == pytest.approx(100 * (found.wins_high - found.wins_low), rel=1e-6)


def test_a_rep_nobody_knows_is_less_sure_than_one_well_known(trained):
    frame, fitted = trained
    known = model_gain(fitted, pairs_of(frame, "R1"), pairs_of(frame, "R2"), 1.0)
    new = model_gain(fitted, pairs_of(frame, "new"), pairs_of(frame, "R2"), 1.0)
    assert new.wins_high - new.wins_low > known.wins_high - known.wins_low


def test_wishes_cost_what_the_best_leads_would_have_brought():
    value = np.array([[10.0, 1.0], [8.0, 1.0]])
    week = np.zeros(2, dtype=np.int64)
    stream = Stream(
        week, week, np.zeros(2), np.ones((2, 2), dtype=bool), np.zeros(1, dtype=np.int64), np.full((1, 2), 2)
    )
    newcomer, high = np.array([False, True]), np.array([True, False])
    scene = RuleScene(newcomer, high)

    def costs(owned=None, **rules):
        asked = scene if owned is None else RuleScene(newcomer, high, owned)
        return rule_costs(stream, 0, value, value, value / 20, asked, Routing(**rules))

    assert costs() == ()
    (floor,) = costs(newcomer_min=1)
    assert (floor.rule, floor.value, floor.short) == ("newcomer_min", pytest.approx(7.0), 0)
    assert floor.wins == pytest.approx(7.0 / 20)
    names = [cost.rule for cost in costs(newcomer_min=1, high_value_max=0)]
    assert names == ["newcomer_min", "high_value_max", "together"]
    share, owned, together = costs(np.array([-1, 1]), newcomer_share=0.2)
    assert (share.rule, share.missing) == ("newcomer_share", 0.0)
    assert share.value > 0
    assert (owned.rule, owned.value) == ("same_account", pytest.approx(7.0))
    assert together.value >= max(share.value, owned.value) - 1e-9
    assert [cost.rule for cost in costs(np.array([-1, 1]), same_account=False, newcomer_min=1)] == ["newcomer_min"]


@pytest.fixture(scope="module")
def replayed():
    world = generate(WorldConfig(n_reps=12, n_months=12, seed=3, leads_per_rep_month=16.0, structure="industry"))
    settings = Config(routing=Routing(objective="wins", newcomer_min=1, newcomer_share=0.2))

    def desk_of(_, moment):
        board = Board(world.tables, settings, moment, None)
        return list(board.rep_ids), board.desk

    return world, replay_weeks.replay_weeks(world.tables, settings, world.as_of, 4, 1, desk_of)


def test_a_replay_compares_all_policies_on_the_same_leads_and_says_where_it_is_thin(replayed):
    _, found = replayed
    names = {one.name for one in found.results}
    assert names >= {
        "fairlead",
        "habit",
        "round_robin",
        "least_busy",
        "tiered_by_tenure",
        "naive_bayes_quota",
        "greedy",
    }
    assert {one.n_leads for one in found.results} == {found.n_leads}
    for one in found.results:
        assert one.n_held + sum(found.given[one.name].values()) == found.n_leads
        assert (one.uplift is None) or one.supported
    ours = found.result("fairlead")
    assert ours.uplift is None
    assert ours.doubt == "small_effective_sample"


def test_a_replay_gives_its_gain_an_interval_and_the_cost_of_the_newcomers_minimum(replayed):
    _, found = replayed
    if found.routing_mode == "lead_only":
        assert found.model_gain is None
    else:
        gain = found.model_gain
        assert gain.wins_low < gain.wins < gain.wins_high
        assert gain.wins == pytest.approx(found.result("fairlead").wins - found.result("habit").wins)
    costs = {cost.rule: cost for cost in found.rule_costs}
    assert list(costs) == ["newcomer_min", "newcomer_share", "same_account", "together"]
    assert all(cost.wins >= -1e-6 for cost in costs.values())
    assert costs["together"].wins > 0
    lines = [line for lang in ("en", "zh") for line in rule_lines(found, lang, "EUR")]
    assert len(lines) == 8


def test_own_prospects_take_places_of_the_replayed_weeks(replayed):
    world, _ = replayed
    leads = world.tables.leads
    own = set(leads.loc[(leads["sourced_by_rep_id"] != "").to_numpy(), "lead_id"])
    assert own
    reps = [str(rep) for rep in world.tables.reps["rep_id"]]
    taken = replay_weeks._own_places(world.tables, reps)
    assert sum(taken.values()) <= len(own)
    assert sum(taken.values()) > 0.8 * len(own)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_text_shows_every_column_and_what_wishes_cost(replayed, lang):
    _, found = replayed
    shown = replace(found, has_truth=True, results=tuple(replace(one, true_wins=123.25) for one in found.results))
    lines = Simulation(shown, "EUR", {}).as_text(lang).splitlines()
    assert sum("123.2" in line or "123.3" in line for line in lines) == len(found.results)
    assert len(rule_lines(found, lang, "EUR")) == len(found.rule_costs) == 4
    if found.model_gain is not None:
        assert "90" in headline(found, lang, "EUR")
