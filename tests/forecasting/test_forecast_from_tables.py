"""Inputs, reasons and signals gathered from synthetic tables: point in time, in any row order, with known slumps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features import moments
from features.errors import RequestError
from features.outcomes import lead_outcomes
from features.synthetic import WorldConfig, generate
from features.workdays import Workdays
from models.forecasting.blend import Choice
from models.forecasting.contribution import ContributionModel
from models.forecasting.funnel import FunnelForecaster
from models.forecasting.gather import gather_inputs, logging_delay
from models.forecasting.inputs import Changes
from models.forecasting.reasons import forecast_reasons, with_miss_change
from models.forecasting.whatif import FollowUpEffect, follow_up_gain, forecast_both, members_of, what_if_table
from models.warning_rules import find_warnings
from models.warning_signals import comeback_shares, gather_signals, outlooks_of


class Calendar:
    def between(self, starts, ends, /):
        return Workdays("CN").between(starts, ends)


@pytest.fixture(scope="module")
def tables():
    return generate(WorldConfig(n_reps=16, n_months=14, seed=5)).tables


def gathered(tables, as_of):
    outcomes = lead_outcomes(tables, as_of, 180).assign(source="web")
    p = 0.05 + 0.2 * (outcomes["lead_id"].map(hash_share).to_numpy())
    return gather_inputs(tables, outcomes, as_of, Calendar(), p, np.full(len(p), 5_000.0), 0.5)


def hash_share(text: str) -> float:
    return (sum(map(ord, text)) % 97) / 97


def test_later_rows_hidden_or_absent_give_the_same_inputs_and_draws(tables):
    as_of = tables.newest() - 90 * moments.DAY
    cut = replace(tables, frames={k: f.loc[f["known_at"] < as_of] for k, f in tables.frames.items()})
    assert len(cut.deals) < len(tables.deals)
    a, b = (gathered(t, as_of).canonical() for t in (tables, cut))
    for name in ("reps", "contributions", "open_leads", "spells", "landmarks", "arrivals", "repeats"):
        pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name))
    draws = [FunnelForecaster.fit(i).draw(np.random.default_rng(0), i, n_draws=40).samples for i in (a, b)]
    assert np.array_equal(*draws)


def test_shuffled_tables_give_equal_draws(tables):
    as_of = tables.newest() - 60 * moments.DAY
    mixed = replace(tables, frames={k: f.sample(frac=1.0, random_state=3) for k, f in tables.frames.items()})
    draws = []
    for t in (tables, mixed):
        inputs = gathered(t, as_of)
        draws.append(FunnelForecaster.fit(inputs).draw(np.random.default_rng(0), inputs, n_draws=40))
    assert draws[0].rep_ids == draws[1].rep_ids
    np.testing.assert_allclose(draws[0].samples, draws[1].samples, rtol=1e-9)


def test_spells_hold_each_lead_s_whole_life_once_and_each_close_once(tables):
    as_of = tables.newest() - 30 * moments.DAY
    outcomes = lead_outcomes(tables, as_of, 180)
    inputs = gathered(tables, as_of)
    spells = inputs.spells
    assert (spells["event"] == "won").sum() == (outcomes["outcome"] == "won").sum()
    for fate in ("lost", "dead"):
        assert (spells["event"] == fate).sum() == (outcomes["outcome"] == fate).sum()
    stop = np.minimum(outcomes["resolved_at"].to_numpy(), as_of)
    start = outcomes["assigned_at"].to_numpy()
    life = Calendar().between(start, np.maximum(start, stop)).sum()
    assert (spells["age_stop"] - spells["age_start"]).sum() == pytest.approx(life)
    assert len(inputs.open_leads) == (outcomes["outcome"] == "open").sum()


def test_landmarks_hold_the_days_after_them_once_and_no_close_twice_a_landmark(tables):
    """Days add up to the days lived after each landmark; wins after a landmark are each told once."""
    as_of = tables.newest() - 30 * moments.DAY
    outcomes = lead_outcomes(tables, as_of, 180)
    marks = gathered(tables, as_of).landmarks
    start, end = outcomes["assigned_at"].to_numpy(), np.minimum(outcomes["resolved_at"].to_numpy(), as_of)
    days, wins, born = 0.0, 0, 0.0
    for back in range(1, 49):
        at = as_of - back * 14 * moments.DAY
        alive = (start < at) & (end > at)
        days += Calendar().between(np.full(alive.sum(), at), end[alive]).sum()
        born += Calendar().between(start[alive], np.full(alive.sum(), at)).sum()
        wins += ((outcomes["outcome"] == "won").to_numpy() & alive).sum()
    assert (marks["age_stop"] - marks["age_start"]).sum() == pytest.approx(days)
    assert marks["age_start"].sum() == pytest.approx(born)
    assert (marks["event"] == "won").sum() == wins > 50


def test_a_lead_s_rhythm_tells_what_is_overdue_and_the_days_to_its_stages_stand_in_order(tables):
    """Leads whose last activity is long ago by their own rhythm are overdue; what is due grows with silence."""
    leads = gathered(tables, tables.newest() - 30 * moments.DAY).open_leads
    often = leads.loc[leads["n_activities"] > 3]
    assert np.corrcoef(np.log1p(often["overdue"]), often["silent_log_days"])[0, 1] > 0.8
    staged = leads.loc[leads["stage"] != ""]
    assert (staged["stage_before_log_days"] <= staged["stage_ahead_log_days"] + 1e-9).all()
    waited = np.expm1(staged["stage_log_days"]) + np.exp(staged["stage_ahead_log_days"]) - 0.5
    np.testing.assert_allclose(waited, staged["age_days"], atol=1e-6)


def test_late_logging_is_measured_and_open_leads_count_only_up_to_it(tables):
    """Deals entered four days late: lives end four days before as_of, and the forecast does not sink for it."""
    as_of = tables.newest() - 30 * moments.DAY
    late = tables.with_frames(deals=tables.deals.assign(known_at=tables.deals["closed_at"] + 4 * moments.DAY))
    known = late.known(as_of)
    assert logging_delay(tables.known(as_of), as_of) == 0
    assert logging_delay(known, as_of) == 4 * moments.DAY
    inputs, prompt = gathered(late, as_of), gathered(tables, as_of)
    assert inputs.seen_until == as_of - 4 * moments.DAY
    assert len(inputs.open_leads) > len(prompt.open_leads)
    a, b = (FunnelForecaster.fit(i).chain(i).expected()[:, 1].sum() for i in (inputs, prompt))
    assert 0.9 * b < a < 1.15 * b


def test_beliefs_that_told_past_amounts_move_open_leads_and_noise_does_not(tables):
    as_of = tables.newest() - 30 * moments.DAY
    honest = gathered(tables, as_of).open_leads
    assert honest["amount_log_sd"].nunique() == 2  # told and not told
    stages = tables.stages
    noise = np.random.default_rng(0).permutation(stages["expected_amount"].to_numpy())
    mixed = gathered(tables.with_frames(stages=stages.assign(expected_amount=noise)), as_of).open_leads
    told = honest["amount_log_sd"] < honest["amount_log_sd"].max()
    spread = [np.log(f.loc[told, "expected_amount"]).std() for f in (honest, mixed)]
    assert spread[0] > 3 * spread[1]


def test_silence_is_read_from_the_last_activity_known_before_the_moment(tables):
    as_of = tables.newest() - 30 * moments.DAY
    inputs, known = gathered(tables, as_of), tables.known(as_of)
    lead = inputs.open_leads.iloc[len(inputs.open_leads) // 2]
    outcomes = lead_outcomes(tables, as_of, 180).set_index("lead_id")
    acts = known.activities.loc[known.activities["lead_id"] == lead["lead_id"], "known_at"]
    since = max([int(outcomes.loc[lead["lead_id"], "assigned_at"]), *acts.tolist()])
    days = Calendar().between(np.array([since]), np.array([as_of]))[0]
    assert lead["silent_log_days"] == pytest.approx(np.log1p(days))


def test_repeat_purchases_are_won_deals_after_the_first(tables):
    as_of = tables.newest()
    inputs, known = gathered(tables, as_of), tables.known(as_of)
    won = known.deals.loc[known.deals["status"] == "won"]
    n_first = (lead_outcomes(tables, as_of, 180)["outcome"] == "won").sum()
    assert len(inputs.repeats) == len(won) - n_first
    assert inputs.contributions["amount"].sum() == pytest.approx(won["amount"].sum() / 100)


def test_reasons_are_differences_of_the_chain_and_silent_reps_lose_by_silence(tables):
    as_of = tables.newest() - 30 * moments.DAY
    inputs = gathered(tables, as_of)
    funnel = FunnelForecaster.fit(inputs)
    table = forecast_reasons(funnel, inputs)
    assert {"silence", "lead_mix", "open_leads", "lead_flow"} <= set(table["driver"])
    assert np.isfinite(table["difference"]).all()
    silence = table[(table["driver"] == "silence") & (table["month"] == inputs.months[0])].dropna()
    assert np.corrcoef(silence["value"] - silence["reference"], silence["difference"])[0, 1] < 0


def test_a_reason_tells_how_the_chance_of_a_miss_changes_with_it(tables):
    """A target at the expected amount: drivers that pull down raise the chance of a miss, and the other way round."""
    as_of = tables.newest() - 30 * moments.DAY
    inputs = gathered(tables, as_of)
    funnel = FunnelForecaster.fit(inputs)
    draws = funnel.draw(np.random.default_rng(0), inputs, n_draws=200)
    grid = [
        (rep, int(m), draws.expected[r, h]) for r, rep in enumerate(draws.rep_ids) for h, m in enumerate(draws.months)
    ]
    targets = pd.DataFrame(grid, columns=["rep_id", "month", "amount"])
    told = with_miss_change(forecast_reasons(funnel, inputs), draws, targets, 0.8).dropna()
    assert (told["difference"] < 0).sum() > 20
    assert (told.loc[told["difference"] < 0, "p_miss_difference"] >= 0).all()
    assert (told.loc[told["difference"] > 0, "p_miss_difference"] <= 0).all()
    large = told.loc[told["difference"] < -0.3 * told["difference"].abs().max()]
    assert (large["p_miss_difference"] > 0).any()
    assert with_miss_change(told, draws, targets.iloc[:0], 0.8)["p_miss_difference"].isna().all()


def test_what_if_sums_the_team_and_keeps_model_and_effect_apart(tables):
    as_of = tables.newest() - 30 * moments.DAY
    inputs = gathered(tables, as_of)
    funnel = FunnelForecaster.fit(inputs)
    model = ContributionModel(funnel, None, Choice((("funnel", 1.0),), "beats_the_mean", 6, 1.0, 2.0, -1.0, 0.1))
    team = str(inputs.reps["team_id"].iloc[0])
    reps = members_of(inputs, "team", team)
    assert len(reps) > 1
    now, then = forecast_both(model, inputs, Changes(reps, lead_share=0.0, absence_days=5.0), None, 100)
    table = what_if_table(now, then, reps, pd.DataFrame({"rep_id": [], "month": [], "amount": []}), 0.8)
    # Absence in the first month puts wins off, so that a later month may gain what an earlier one loses.
    assert table["difference"].sum() < 0
    assert (table["difference"].iloc[:2] < 0).all()
    assert table["mean"].iloc[0] == pytest.approx(now.of(reps).samples[:, :, 0].sum(axis=1).mean())
    others = [r for r in now.rep_ids if r not in reps]
    assert np.array_equal(now.of(others).samples, then.of(others).samples)
    effect = FollowUpEffect(1000.0, 200.0, 1800.0, "identified")
    gain = follow_up_gain(effect, dict.fromkeys(reps, 2.0), reps, 1.5)
    assert gain["gain"] == pytest.approx(1000.0 * len(reps))
    assert (gain["units"], gain["gain_low"]) == (1.0, pytest.approx(200.0 * len(reps)))
    less = follow_up_gain(effect, dict.fromkeys(reps, 2.0), reps, 0.5)
    assert less["gain_low"] < less["gain"] < less["gain_high"] < 0
    none = FollowUpEffect(None, None, None, "not_identified")
    assert follow_up_gain(none, dict.fromkeys(reps, 2.0), reps, 1.5)["gain"] is None
    with pytest.raises(RequestError, match="no forecast for team"):
        members_of(inputs, "team", "nobody")


def test_signals_and_warnings_of_tables_stay_the_same_in_any_row_order_and_find_a_collapse(tables):
    """A rep whose follow-ups of the last four weeks are taken away (all but a tenth) is told."""
    as_of = tables.newest()
    acts = tables.activities
    counts = acts.loc[acts["known_at"] > as_of - 120 * moments.DAY, "rep_id"].value_counts()
    rep = counts.index[0]
    recent = (acts["rep_id"] == rep) & (acts["known_at"] > as_of - 28 * moments.DAY)
    gone = tables.with_frames(activities=acts.loc[~(recent & (np.arange(len(acts)) % 10 > 0))])
    found = []
    for t in (gone, replace(gone, frames={k: f.sample(frac=1.0, random_state=1) for k, f in gone.frames.items()})):
        outcomes = lead_outcomes(t, as_of, 180)
        p = np.full(len(outcomes), 0.12)
        signals = gather_signals(t, outcomes, as_of, Calendar(), p, p * 0 + 5000.0)
        found.append(find_warnings([], signals, moments.month_of(as_of - 1), "now"))
    assert found[0] == found[1]
    assert rep in {i.rep_id for i in found[0] if i.kind == "follow_up_drop"}
    assert sum(i.kind == "follow_up_drop" for i in found[0]) <= 3


def test_the_share_that_came_back_counts_silences_at_least_as_long():
    """Thirty silences of 1 to 30 days: the even ones ended well, the odd ones never."""
    days = np.arange(1.0, 31.0)[::-1]
    shares = comeback_shares(days, days % 2 == 0, np.array([0.0, 2.0, 10.5, 11.0, 11.5, 99.0]))
    assert shares[:4] == pytest.approx([15 / 30, 15 / 29, 10 / 20, 10 / 20])
    assert np.isnan(shares[4:]).all()


def test_silence_is_told_by_what_came_of_such_silences_before(tables):
    """The longer a lead lies still, the fewer came back; beyond twice the longest wait nobody is sent after it."""
    as_of = tables.newest()
    outcomes = lead_outcomes(tables, as_of, 180)
    p = np.full(len(outcomes), 0.12)
    signals = gather_signals(tables, outcomes, as_of, Calendar(), p, p * 0 + 5000.0)
    leads = sorted((one for s in signals for one in s.idle_leads), key=lambda one: one.silent_days)
    told = [one.comeback for one in leads if one.comeback is not None]
    assert len(told) > 20
    assert told[0] > 0.5
    assert told[-1] < 0.05
    warned = {i.lead_id for i in find_warnings([], signals, moments.month_of(as_of - 1), "now") if i.lead_id}
    still = {one.lead_id for one in leads if one.comeback is not None and one.comeback < 0.05}
    assert still
    assert not warned & still


def test_outlooks_carry_the_chance_of_a_miss_and_its_money(tables):
    as_of = tables.newest() - 30 * moments.DAY
    inputs = gathered(tables, as_of)
    draws = FunnelForecaster.fit(inputs).draw(np.random.default_rng(0), inputs, n_draws=100)
    month, rep = int(draws.months[0]), draws.rep_ids[0]
    targets = pd.DataFrame({"rep_id": [rep], "month": [month], "amount": [1e12]})
    first = next(o for o in outlooks_of(draws, targets) if (o.rep_id, o.month) == (rep, month))
    assert first.p_miss == 1.0
    assert first.shortfall == pytest.approx(0.8e12 - first.expected)
    assert sum(o.p_miss is not None for o in outlooks_of(draws, targets)) == 1
