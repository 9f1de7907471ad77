"""The effects that truth.json names are in the data; those that it sets to zero are not."""

from __future__ import annotations

import numpy as np
import pytest

from features.synthetic import SKILLS, Effects, WorldConfig, generate
from features.synthetic.chances import interaction, tenure_logit


def design(world):
    """Levers of all spells with their true coefficients, and the rest of the logit put together from hidden parts."""
    spells, physics = world.history.spells, world.physics
    people, leads = physics.people, physics.leads
    courses = physics.trainings.completed(spells.rep, spells.assigned)
    levers = np.column_stack([spells.frequency, spells.within_24h, courses])
    truth = world.truth["effects"]
    names = ["followups_per_week", "contact_within_24h", *(f"training:{skill}" for skill in SKILLS)]
    beta = np.array([truth[name]["logit"] for name in names])
    rest = leads.seen[spells.lead] + leads.hidden[spells.lead] + people.ability[spells.rep]
    rest = rest + interaction(physics, spells.lead, spells.rep)
    rest = rest + tenure_logit(physics, (spells.assigned - people.hired[spells.rep]) / 365.25)
    rest = rest + physics.market[physics.calendar.month[np.floor(spells.assigned).astype(int)]]
    return names, levers, beta, rest + world.config.effects.handover * (spells.order > 0)


def test_levers_are_recovered_on_the_hidden_state(world, fit_logistic):
    names, levers, truth, rest = design(world)
    matrix = np.column_stack([np.ones(len(rest)), rest, levers])
    beta, se = fit_logistic(matrix, world.history.spells.outcome == 1)
    assert beta[1] == pytest.approx(1.0, abs=4 * se[1])
    for name, found, error, true in zip(names, beta[2:], se[2:], truth, strict=True):
        assert abs(found - true) < 3.5 * error, name
    follow_up = names.index("followups_per_week") + 2
    assert beta[follow_up] > 6 * se[follow_up], "the effect must be large enough to be seen"


def test_quality_ability_affinity_and_tenure_act_with_weight_one(world, fit_logistic):
    spells, physics = world.history.spells, world.physics
    tenure = (spells.assigned - physics.people.hired[spells.rep]) / 365.25
    parts = np.column_stack(
        [
            physics.leads.seen[spells.lead],
            physics.leads.hidden[spells.lead],
            physics.people.ability[spells.rep],
            interaction(physics, spells.lead, spells.rep),
            tenure_logit(physics, tenure),
        ]
    )
    rest = spells.logit - parts.sum(axis=1)
    beta, se = fit_logistic(np.column_stack([np.ones(spells.n), rest, parts]), spells.outcome == 1)
    np.testing.assert_array_less(np.abs(beta[2:] - 1.0), 3.5 * se[2:])


def test_true_change_in_win_probability_is_a_finite_step(world):
    logit = world.history.spells.logit
    step = world.config.effects.follow_up
    expected = np.mean(1 / (1 + np.exp(-logit - step)) - 1 / (1 + np.exp(-logit)))
    assert world.truth["effects"]["followups_per_week"]["win_probability"] == pytest.approx(expected, abs=1e-6)


def test_money_of_a_follow_up_is_what_playing_the_world_with_it_brings():
    """Two worlds of the same luck, one with an effect twice as strong on the same frequencies."""
    base = WorldConfig(n_reps=40, n_months=24, seed=6, conversion_by_tenure=(0.12, 0.12, 0.12), turnover=0.0)
    world = generate(base)
    spells, leads = world.history.spells, world.physics.leads
    luck = leads.draws.win[spells.lead, spells.order]
    more = luck < 1 / (1 + np.exp(-spells.logit - base.effects.follow_up))
    less = luck < 1 / (1 + np.exp(-spells.logit))
    gain = float(leads.amount[spells.lead] @ (more.astype(float) - less))
    people, n_days = world.physics.people, world.physics.calendar.n_days
    months = (np.minimum(people.left, n_days) - np.maximum(people.hired, 0)).sum() / 30.4375
    # Repeat purchases come on top of first deals.
    truth = world.truth["effects"]["followups_per_week"]["contribution"]
    assert truth == pytest.approx(1.06 * gain / months, rel=0.15)


def test_naive_slope_and_correlation_flatter_follow_ups(world):
    """Across reps follow-ups go with output at about 0.75; across rep-months the naive slope is far too steep."""
    spells, people = world.history.spells, world.physics.people
    n_months, n_days = world.config.n_months, world.physics.calendar.n_days
    months = np.clip((np.minimum(people.left, n_days) - np.maximum(people.hired, 0)) / 30.4, 0, None)
    seen = months > 6
    mean = np.bincount(spells.rep, spells.frequency, people.n) / np.maximum(
        np.bincount(spells.rep, minlength=people.n), 1
    )
    output = world.contribution.sum(axis=1) / np.maximum(months, 1)
    assert 0.55 < np.corrcoef(mean[seen], output[seen])[0, 1] < 0.92
    cell = spells.rep * n_months + world.physics.calendar.month[np.floor(spells.assigned).astype(int)]
    n = np.bincount(cell, minlength=people.n * n_months)
    frequency = np.bincount(cell, spells.frequency, people.n * n_months)[n > 0] / n[n > 0]
    slope = np.polyfit(frequency, world.contribution.ravel()[n > 0], 1)[0]
    assert slope > 1.25 * world.truth["effects"]["followups_per_week"]["contribution"]


def test_the_weak_are_sent_to_courses_first(world):
    done = world.physics.trainings.done
    sent = np.unique([course.rep for course in world.physics.trainings.courses if course.assigned < 400])
    ability = world.physics.people.ability
    here = np.flatnonzero((world.physics.people.hired < 0) & (world.physics.people.left > 400))
    assert ability[np.intersect1d(here, sent)].mean() < ability[np.setdiff1d(here, sent)].mean()
    unfinished = np.mean([course.completed >= 10**6 for course in world.physics.trainings.courses])
    assert 0.1 < unfinished < 0.35
    assert (done < 10**6).any(axis=0).all()


def test_activities_show_the_frequency_meant(world):
    """What a user counts (activities after the first contact, a week) follows the frequency that acts."""
    spells, trail = world.history.spells, world.trail.activities
    alone = (spells.order == 0) & (spells.end < np.minimum(world.history.taken, world.physics.calendar.n_days))
    weeks = (spells.end - spells.assigned) / 7
    counted = np.bincount(trail["lead"], minlength=world.physics.leads.n)[spells.lead] - 1
    rows = alone & (weeks > 3) & ~np.isin(spells.lead, spells.lead[spells.order > 0])
    assert rows.sum() > 5_000
    observed = counted[rows] / weeks[rows]
    assert np.corrcoef(observed, spells.frequency[rows])[0, 1] > 0.9
    slope = np.polyfit(spells.frequency[rows], observed, 1)[0]
    assert 0.85 < slope < 1.15


def test_a_null_world_has_no_rep_and_no_interaction_effect(no_effects):
    spells, physics = no_effects.history.spells, no_effects.physics
    lead_only = physics.leads.seen[spells.lead] + physics.leads.hidden[spells.lead]
    market = physics.market[physics.calendar.month[np.floor(spells.assigned).astype(int)]]
    np.testing.assert_allclose(spells.logit - lead_only - market, physics.curve[0], atol=1e-9)
    assert no_effects.truth["interaction"]["sd"] == 0
    assert all(effect["contribution"] == 0 for effect in no_effects.truth["effects"].values())
    assert 0.10 < np.mean(spells.outcome == 1) < 0.14


def test_the_logit_is_the_sum_of_its_parts(world):
    _, levers, beta, rest = design(world)
    gap = world.history.spells.logit - rest - levers @ beta
    np.testing.assert_allclose(gap, gap[0], atol=1e-9)


@pytest.mark.parametrize("structure", ["industry", "source", "territory", "size", "mixed", "latent"])
def test_interaction_has_the_configured_sd_in_each_structure(structure):
    world = generate(WorldConfig(n_reps=40, n_months=8, seed=5, structure=structure, interaction_sd=0.7))
    assert world.truth["interaction"]["sd"] == pytest.approx(0.7, rel=0.15)


def test_without_an_effect_follow_ups_still_differ_but_do_nothing(fit_logistic):
    world = generate(WorldConfig(n_reps=40, n_months=18, seed=7, effects=Effects(follow_up=0.0)))
    spells = world.history.spells
    beta, se = fit_logistic(np.column_stack([np.ones(spells.n), spells.logit, spells.frequency]), spells.outcome == 1)
    assert spells.frequency.std() > 0.5
    assert abs(beta[2]) < 3.5 * se[2]
    assert world.truth["effects"]["followups_per_week"]["win_probability"] == 0
