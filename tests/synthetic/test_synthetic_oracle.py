"""The oracle is right about the world it sees through."""

from __future__ import annotations

import numpy as np
import pytest

from features import moments
from features.synthetic import (
    WorldConfig,
    eligible,
    generate,
    knowable_open_leads,
    oracle_forecast,
    true_expected_amount,
    true_win_probability,
)


def test_true_chances_are_calibrated_on_what_happened(world):
    spells = world.history.spells
    rows = np.flatnonzero(spells.order == 0)[::4]
    leads, reps = world.ids.leads[spells.lead[rows]], world.ids.reps
    chance = true_win_probability(world, leads, reps)[np.arange(len(rows)), spells.rep[rows]]
    won = spells.outcome[rows] == 1
    assert chance.mean() == pytest.approx(won.mean(), abs=3.5 * won.std() / np.sqrt(len(rows)))
    top, bottom = chance > np.quantile(chance, 0.8), chance < np.quantile(chance, 0.2)
    assert won[top].mean() == pytest.approx(chance[top].mean(), abs=0.06)
    assert won[top].mean() > 5 * won[bottom].mean()


def test_the_visible_part_knows_less_than_all(world):
    leads, reps = world.ids.leads[:300], world.ids.reps[:10]
    full = true_win_probability(world, leads, reps)
    seen = true_win_probability(world, leads, reps, hidden=False)
    assert full.shape == seen.shape == (300, 10)
    assert np.log(full / (1 - full)).std() > np.log(seen / (1 - seen)).std()


def test_where_nobody_differs_every_rep_has_the_same_chance(no_effects):
    chance = true_win_probability(no_effects, no_effects.ids.leads[:50], no_effects.ids.reps)
    np.testing.assert_allclose(chance, chance[:, :1].repeat(chance.shape[1], axis=1), rtol=1e-9)


def test_hard_rules_hold_for_what_the_desk_did(world):
    spells = world.history.spells
    rows = np.flatnonzero((spells.order == 0) & ~world.history.own[spells.lead])[:2000]
    at = world.tables.assignments.set_index("lead_id")["assigned_at"].groupby("lead_id").min()
    leads = world.ids.leads[spells.lead[rows]]
    mask = eligible(world, leads, world.ids.reps, at[leads].to_numpy())
    assert mask[np.arange(len(rows)), spells.rep[rows]].all()
    assert 0.05 < mask.mean() < 0.9


def test_expected_amounts_are_the_mean_of_what_is_paid(world):
    spells, leads = world.history.spells, world.physics.leads
    won = spells.lead[spells.outcome == 1]
    expected = true_expected_amount(world, world.ids.leads[won])
    assert leads.amount[won].sum() == pytest.approx(expected.sum(), rel=0.04)


def test_the_oracles_forecast_beats_history_and_covers():
    """Over many rep-months: unbiased within a few percent, sharper than the mean of six months, 80 % covered."""
    world = generate(WorldConfig(n_reps=40, n_months=22, seed=1, leads_per_rep_month=30.0))
    position = {rep: code for code, rep in enumerate(world.ids.reps)}
    mean, naive, true, inside = [], [], [], []
    for month in (10, 12, 14, 16, 18):
        as_of = moments.month_start(world.config.first_month + month)
        forecast = oracle_forecast(world, as_of, np.random.default_rng(month), n_draws=150)
        rows = [position[rep] for rep in forecast.rep_ids]
        actual = world.contribution[rows][:, month : month + 3]
        low, high = np.quantile(forecast.samples, [0.1, 0.9], axis=0)
        mean.append(forecast.mean)
        naive.append(world.contribution[rows][:, month - 6 : month].mean(axis=1, keepdims=True).repeat(3, axis=1))
        true.append(actual)
        inside.append((actual >= low) & (actual <= high))
    mean, naive, true, inside = (np.concatenate(parts) for parts in (mean, naive, true, inside))
    assert mean.sum() == pytest.approx(true.sum(), rel=0.12)
    assert np.abs(mean - true)[:, 0].mean() < 0.9 * np.abs(naive - true)[:, 0].mean()
    assert 0.72 < inside.mean() < 0.9


def test_mid_month_what_is_closed_is_in_every_draw(world):
    as_of = moments.parse("2026-04-20")
    forecast = oracle_forecast(world, as_of, np.random.default_rng(0), n_months=1, n_draws=50)
    deals = world.tables.deals
    closed = deals[(deals["closed_at"] >= moments.parse("2026-04-01")) & (deals["closed_at"] < as_of)]
    so_far = closed.groupby("rep_id")["amount"].sum() / 100
    floor = np.array([so_far.get(rep, 0.0) for rep in forecast.rep_ids])
    assert floor.sum() > 0
    assert (forecast.samples[:, :, 0] >= floor - 1e-6).all()


def test_the_oracle_does_not_know_what_comes_after(world):
    """Its draws at a moment are the same in a world whose later luck differs: it reads no later event."""
    as_of = moments.parse("2025-06-01")
    forecast = oracle_forecast(world, as_of, np.random.default_rng(0), n_draws=40)
    trail = world.trail
    later = {name: values[trail.deals["at"] < 517] for name, values in trail.deals.items()}
    assert world.physics.calendar.month[517] == 17
    cut = type(world)(**{**world.__dict__, "trail": type(trail)(**{**trail.__dict__, "deals": later})})
    again = oracle_forecast(cut, as_of, np.random.default_rng(0), n_draws=40)
    np.testing.assert_array_equal(forecast.samples, again.samples)


def test_a_moment_outside_history_is_refused(small_world):
    with pytest.raises(ValueError, match="history"):
        oracle_forecast(small_world, moments.parse("2031-01-01"), np.random.default_rng(0))


def test_what_is_knowable_of_open_leads_is_unbiased_and_less_than_the_oracle_knows():
    """Silence is seen in activities only, so without them a lead that fell silent still counts as possible."""
    config = WorldConfig(n_reps=40, n_months=22, seed=3, leads_per_rep_month=20.0, hidden_quality_sd=0.9)
    world = generate(config)
    nothing = world.tables.with_frames(activities=world.tables.activities.iloc[:0])
    ids = np.asarray(world.ids.leads)
    errors = {"oracle": [], "knowable": [], "without activities": []}
    drawn, true = 0.0, 0.0
    for month in (12, 15, 18):
        as_of = moments.month_start(config.first_month + month)
        deals = world.tables.deals
        first = deals.groupby("lead_id")["closed_at"].min()
        given = world.tables.assignments.groupby("lead_id")["assigned_at"].min().reindex(ids)
        closed = first.reindex(ids).fillna(2**62).to_numpy()
        is_open = (given.to_numpy() < as_of) & (closed >= as_of)
        wins = deals.loc[deals["lead_id"].isin(ids[is_open]) & (deals["status"] == "won")]
        month_end = moments.month_start(config.first_month + month + 1)
        wins = wins.loc[(wins["closed_at"] >= as_of) & (wins["closed_at"] < month_end)].drop_duplicates("lead_id")
        by_rep = wins.groupby("rep_id")["amount"].sum() / 100.0
        said = {
            "oracle": oracle_forecast(world, as_of, np.random.default_rng(0), 1, 300),
            "knowable": knowable_open_leads(world, world.tables, as_of, ids[is_open], np.random.default_rng(0), 300),
            "without activities": knowable_open_leads(
                world, nothing, as_of, ids[is_open], np.random.default_rng(0), 300
            ),
        }
        actual = by_rep.reindex([str(rep) for rep in said["oracle"].rep_ids]).fillna(0.0).to_numpy()
        true += actual.sum()
        drawn += said["knowable"].open_leads.mean(axis=0).sum()
        for name, forecast in said.items():
            errors[name].append(np.abs(forecast.open_leads.mean(axis=0)[:, 0] - actual))
    assert drawn == pytest.approx(true, rel=0.12)
    loss = {name: float(np.concatenate(found).mean()) for name, found in errors.items()}
    assert loss["oracle"] < loss["knowable"] < loss["without activities"]


def test_chances_given_replace_the_oracles(small_world):
    as_of = moments.month_start(small_world.config.first_month + 5)
    never = dict.fromkeys(small_world.ids.leads, 0.0)
    forecast = oracle_forecast(small_world, as_of, np.random.default_rng(0), n_draws=30, chances=never)
    true = oracle_forecast(small_world, as_of, np.random.default_rng(0), n_draws=30).open_leads.sum()
    assert true > 0
    assert forecast.open_leads.sum() < 0.02 * true
