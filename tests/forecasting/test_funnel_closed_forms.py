"""The funnel against results that can be written down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import moments
from features.errors import RequestError
from models.forecasting.chain import Chain
from models.forecasting.funnel import FunnelForecaster, FunnelSettings, _draw_rep, estimate_shock_sd
from models.forecasting.hazards import Phase, fit_hazards, win_in_slices
from models.forecasting.inputs import Changes

EDGES = (0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)


def constant(rate: float, n: int = 1) -> np.ndarray:
    return np.full((n, len(EDGES)), rate)


@given(
    win=st.floats(1e-4, 0.2),
    loss=st.floats(1e-4, 0.2),
    age=st.floats(0, 200),
    days=st.lists(st.floats(0, 30), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_one_open_lead_wins_by_the_month_s_end_as_competing_exponentials_say(win, loss, age, days):
    """P(win in slice) = w/(w+l) (e^-(w+l)t0 - e^-(w+l)t1), whatever the age, when rates do not depend on age."""
    phase = Phase(np.inf, constant(win), constant(loss))
    got = win_in_slices([phase], EDGES, np.array([age]), np.array(days))
    ends = np.concatenate(([0.0], np.cumsum(days)))
    alive = np.exp(-(win + loss) * ends)
    np.testing.assert_allclose(got[0], win / (win + loss) * -np.diff(alive), atol=1e-12)


def test_rates_that_change_with_age_are_taken_band_by_band():
    """Age 4 with 3 days to go crosses the edge at 5: one day at one rate, two at the next."""
    win = np.zeros((1, len(EDGES)))
    win[0, 1], win[0, 2] = 0.1, 0.3
    got = win_in_slices([Phase(np.inf, win, np.zeros_like(win))], EDGES, np.array([4.0]), np.array([3.0]))
    assert got[0, 0] == pytest.approx(1 - np.exp(-0.1 - 0.6))


def test_rates_that_change_with_time_from_now_are_taken_phase_by_phase():
    """A lead of any age: 20 days at one rate, then another; the months cut across both."""
    phases = [Phase(20.0, constant(0.05), constant(0.0)), Phase(np.inf, constant(0.01), constant(0.0))]
    got = win_in_slices(phases, EDGES, np.array([33.0]), np.array([15.0, 10.0, 20.0]))
    alive = np.exp(-np.array([0.0, 0.75, 1.05, 1.25]))
    np.testing.assert_allclose(got[0], -np.diff(alive), atol=1e-12)


def chain_of(open_wins, coming, n_months=3, shape=np.inf) -> Chain:
    n_leads = len(open_wins)
    return Chain(
        open_span=np.array([0, n_leads]),
        open_wins=np.asarray(open_wins, dtype=float).reshape(n_leads, n_months),
        open_log_mean=np.full(n_leads, np.log(1000.0)),
        open_log_sd=np.zeros(n_leads),
        coming_wins=np.asarray([coming], dtype=float),
        coming_log_mean=np.array([np.log(500.0) - 0.5 * 0.36]),
        coming_log_sd=np.array([0.6]),
        repeat_wins=np.zeros((1, n_months)),
        repeat_log_mean=np.zeros(1),
        repeat_log_sd=0.0,
        skill_shape=np.array([np.inf]),
        arrival_shape=np.array([shape]),
        repeat_shape=np.array([np.inf]),
    )


def test_draws_of_open_leads_have_binomial_mean_and_variance_and_a_lead_wins_once():
    q = [[0.2, 0.3, 0.1]]
    draws = _draw_rep(chain_of(q, [0, 0, 0]), 0, np.ones((40_000, 3)), 5, 17)
    np.testing.assert_allclose(draws.mean(axis=0) / 1000.0, q[0], atol=0.01)
    np.testing.assert_allclose((draws / 1000.0).var(axis=0), [0.16, 0.21, 0.09], atol=0.01)
    assert set(np.unique(draws.sum(axis=1).round())) == {0.0, 1000.0}


@pytest.mark.parametrize("shape", [np.inf, 4.0])
def test_coming_leads_are_compound_poisson_in_mean_and_variance(shape):
    """Mean = rate x m; variance = rate x E[A^2] + (rate x m)^2 / shape, the last from not knowing the rate."""
    rate, m, second = 3.0, 500.0, 500.0**2 * np.exp(0.36)
    draws = _draw_rep(chain_of(np.zeros((0, 3)), [rate, 0, 0], shape=shape), 0, np.ones((60_000, 3)), 5, 3)
    extra = 0.0 if np.isinf(shape) else (rate * m) ** 2 / shape
    assert draws[:, 0].mean() == pytest.approx(rate * m, rel=0.02)
    assert draws[:, 0].var() == pytest.approx(rate * second + extra, rel=0.05)
    assert draws[:, 1:].sum() == 0.0


def test_hazards_are_found_again_from_simulated_spells():
    """Truth: win 0.02 and lose 0.05 a day, twice as fast from the web; leads still open are censored."""
    rng = np.random.default_rng(3)
    n = 8000
    source = rng.choice(["web", "event"], n)
    speed = np.where(source == "web", 2.0, 1.0)
    won_at, lost_at = rng.exponential(1 / (0.02 * speed)), rng.exponential(1 / (0.05 * speed))
    seen = rng.uniform(5, 60, n)
    stop = np.minimum(np.minimum(won_at, lost_at), seen)
    event = np.where(stop == seen, "", np.where(won_at < lost_at, "won", "lost"))
    spells = pd.DataFrame({"age_start": 0.0, "age_stop": stop, "event": event, "source": source, "p_win": 2 / 7})
    assert (event == "").mean() > 0.1, "the case must hold censored leads"
    model = fit_hazards(spells)
    win, loss = model.rates(pd.DataFrame({"source": ["web", "event"], "p_win": 2 / 7}))
    np.testing.assert_allclose(win[:, 1:5].mean(axis=1), [0.04, 0.02], rtol=0.12)
    np.testing.assert_allclose(loss[:, 1:5].mean(axis=1), [0.10, 0.05], rtol=0.12)


def test_hazards_come_back_bit_equal_from_their_parts(world):
    model = fit_hazards(world.inputs(moments.parse("2025-03-01")).canonical().spells)
    again = type(model).from_parts(model.to_parts())
    frame = pd.DataFrame({"source": ["web", "never seen"], "p_win": [0.2, np.nan]})
    for a, b in zip(model.rates(frame), again.rates(frame), strict=True):
        assert np.array_equal(a, b)
        assert np.isfinite(a).all()


def test_the_mean_of_draws_is_the_chain_s_expectation(world):
    inputs = world.inputs(moments.parse("2025-03-10"))
    funnel = FunnelForecaster.fit(inputs).with_shock(0.02)
    draws = funnel.draw(np.random.default_rng(0), inputs, n_draws=4000)
    assert draws.expected.sum() > 100_000
    np.testing.assert_allclose(draws.samples.mean(axis=0).sum(axis=0), draws.expected.sum(axis=0), rtol=0.02)


def test_later_rows_hidden_or_absent_give_equal_bits(world):
    """The same seed and the same knowledge give the same draws."""
    as_of = moments.parse("2025-02-15")
    earlier = replace(world, leads=world.leads[world.leads["assigned_at"] < as_of + 5 * moments.DAY])
    outcomes = []
    for one in (world, earlier):
        inputs = one.inputs(as_of)
        outcomes.append(FunnelForecaster.fit(inputs).draw(np.random.default_rng(9), inputs, n_draws=50).samples)
    assert np.array_equal(*outcomes)


def shuffled(inputs, rng):
    names = ("reps", "contributions", "open_leads", "spells", "arrivals", "repeats", "absences")
    return replace(
        inputs, **{k: getattr(inputs, k).sample(frac=1.0, random_state=int(rng.integers(99))) for k in names}
    )


def test_shuffling_rows_changes_no_bit(world):
    inputs = world.inputs(moments.parse("2025-02-15"))
    other = shuffled(inputs, np.random.default_rng(1))
    assert list(other.reps["rep_id"]) != list(inputs.reps["rep_id"])
    a, b = (FunnelForecaster.fit(i).draw(np.random.default_rng(9), i, n_draws=60) for i in (inputs, other))
    assert a.rep_ids == b.rep_ids
    assert np.array_equal(a.samples, b.samples)
    assert np.array_equal(a.expected, b.expected)


def test_renaming_reps_changes_nothing_where_streams_are_given(world):
    """Expectations never depend on a name; draws neither, once each rep brings his stream."""
    inputs = world.inputs(moments.parse("2025-02-15"))
    inputs = replace(inputs, reps=inputs.reps.assign(stream=np.arange(len(inputs.reps))))
    new = {rep: f"Z{99 - int(rep[1:])}" for rep in inputs.reps["rep_id"]}
    names = ("reps", "contributions", "open_leads", "spells", "arrivals", "repeats", "absences")
    renamed = replace(
        inputs, **{k: getattr(inputs, k).assign(rep_id=getattr(inputs, k)["rep_id"].map(new)) for k in names}
    )
    a, b = (FunnelForecaster.fit(i).draw(np.random.default_rng(9), i, n_draws=60) for i in (inputs, renamed))
    place = [b.rep_ids.index(new[rep]) for rep in a.rep_ids]
    np.testing.assert_allclose(b.samples[:, place], a.samples, rtol=1e-6)
    np.testing.assert_allclose(b.expected[place], a.expected, rtol=1e-9)


def test_other_reps_do_not_change_a_rep_s_luck(world):
    """Streams are the reps' own: the reps that stay keep their draws but for what the desk's rates teach."""
    inputs = world.inputs(moments.parse("2025-02-15"))
    funnel = FunnelForecaster.fit(inputs)
    fewer = replace(inputs, reps=inputs.reps.iloc[3:])
    a, b = (funnel.draw(np.random.default_rng(9), i, n_draws=200) for i in (inputs, fewer))
    together = np.corrcoef(a.samples[:, 5, 0], b.samples[:, 2, 0])[0, 1]
    assert a.rep_ids[5] == b.rep_ids[2]
    assert together > 0.9


def test_a_leaver_has_nothing_after_he_left_and_a_new_hire_gets_his_cohort_s_leads(world):
    as_of = moments.parse("2025-03-10")
    inputs = world.inputs(as_of)
    reps = inputs.reps.copy()
    reps["left_on"] = reps["left_on"].where(reps.index != 0, as_of - moments.DAY)
    newcomer = pd.DataFrame(
        {"rep_id": ["NEW"], "hired_on": [as_of - 3 * moments.DAY], "left_on": [moments.NEVER], "team_id": ["T0"]}
    )
    inputs = replace(inputs, reps=pd.concat([reps, newcomer], ignore_index=True))
    draws = FunnelForecaster.fit(inputs).draw(np.random.default_rng(0), inputs, n_draws=300)
    at = {rep: i for i, rep in enumerate(draws.rep_ids)}
    left, new = at[reps["rep_id"].iloc[0]], at["NEW"]
    assert np.array_equal(draws.samples[:, left], np.broadcast_to(draws.closed[left], draws.samples[:, left].shape))
    assert draws.present[left].tolist() == [True, False, False]
    veterans = np.delete(draws.expected, [left, new], axis=0)[:, 2].mean()
    assert 0.3 * veterans < draws.expected[new, 2] < 1.7 * veterans
    assert draws.expected[new, 0] < draws.expected[new, 2], "his first leads need time to close"


def test_planned_absence_costs_nothing_where_it_is_as_much_as_usual(world):
    """One working day in five was lost to absence, and as much is planned: the forecast is that of nobody absent."""
    as_of = moments.parse("2025-03-03")
    inputs = world.inputs(as_of)
    mondays = np.arange(as_of - 52 * moments.WEEK, as_of + 20 * moments.WEEK, moments.WEEK)
    off = pd.DataFrame({"rep_id": np.repeat(inputs.reps["rep_id"].to_numpy(), len(mondays))})
    off = off.assign(starts_on=np.tile(mondays, len(inputs.reps)))
    away = replace(inputs, absences=off.assign(ends_on=off["starts_on"] + moments.DAY))
    assert inputs.usual_absence() == 0.0
    assert away.usual_absence() == pytest.approx(0.2, abs=0.002)
    funnel = FunnelForecaster.fit(inputs)
    usual, planned = (funnel.chain(i).expected().sum(axis=0)[1:] for i in (inputs, away))
    np.testing.assert_allclose(planned, usual, rtol=0.03)


def test_absence_takes_working_days_and_more_leads_bring_more(world):
    inputs = world.inputs(moments.parse("2025-03-01"))
    funnel = FunnelForecaster.fit(inputs)
    target = inputs.rep_ids[4]

    def gain(changes: Changes) -> np.ndarray:
        now, then = funnel.what_if(np.random.default_rng(2), inputs, changes, n_draws=50)
        return then.expected - now.expected

    away = gain(Changes((target,), absence_days=10.0))
    assert away[4, 0] < 0
    assert np.abs(np.delete(away, 4, axis=0)).max() == 0.0
    assert gain(Changes((target,), lead_share=2.0))[4].min() > 0
    assert gain(Changes((target,), extra_leads=5.0))[4, 1] > 0
    assert np.abs(gain(Changes((target,), follow_up_ratio=2.0))).max() == 0.0, "no follow-up state was given: no effect"


def test_what_if_on_follow_ups_moves_the_forecast_where_their_effect_was_fitted(world):
    inputs = world.inputs(moments.parse("2025-03-01"))
    rng = np.random.default_rng(0)
    ratio = rng.normal(0, 0.5, len(inputs.spells))
    won = rng.random(len(ratio)) < 0.2 * np.exp(ratio) / (0.8 + 0.2 * np.exp(ratio))
    marks = inputs.spells.assign(
        follow_up_log_ratio=ratio,
        p_win=0.2,
        age_stop=rng.exponential(20.0, len(ratio)),
        event=np.where(won, "won", "lost"),
    )
    inputs = replace(inputs, landmarks=marks, open_leads=inputs.open_leads.assign(follow_up_log_ratio=0.0))
    funnel = FunnelForecaster.fit(inputs)
    now, then = funnel.what_if(np.random.default_rng(2), inputs, Changes(follow_up_ratio=2.0), n_draws=200)
    assert then.expected.sum() > 1.2 * now.expected.sum()
    assert then.samples.mean() > 1.1 * now.samples.mean()


def test_too_few_wins_fall_back_to_the_mean_and_say_so(world):
    inputs = world.inputs(moments.parse("2024-02-15"))
    thin = replace(inputs, spells=inputs.spells.iloc[:40])
    funnel = FunnelForecaster.fit(thin, FunnelSettings(fewest_wins=30))
    assert funnel.mode == "mean"
    draws = funnel.draw(np.random.default_rng(0), thin, n_draws=80)
    assert draws.method == "mean_6"
    assert (draws.samples >= draws.closed[None] - 1e-9).all()


def test_a_funnel_comes_back_from_its_parts_with_equal_draws(world):
    import json

    inputs = world.inputs(moments.parse("2025-03-01"))
    funnel = FunnelForecaster.fit(inputs).with_shock(0.07)
    again = FunnelForecaster.from_parts(json.loads(json.dumps(funnel.to_parts())))
    a, b = (f.draw(np.random.default_rng(1), inputs, n_draws=30).samples for f in (funnel, again))
    assert again.settings == funnel.settings
    assert np.array_equal(a, b)


def test_a_release_of_before_the_closing_law_still_forecasts_by_its_plain_hazards(world):
    inputs = world.inputs(moments.parse("2025-03-01"))
    funnel = FunnelForecaster.fit(inputs)
    parts = funnel.to_parts()
    old = {**parts["settings"], "hazards": {**parts["settings"]["hazards"], "stage": 2.0}}
    del old["closing"]
    plain = {"plain": parts["hazards"]["plain"], "given": []}
    again = FunnelForecaster.from_parts({**parts, "hazards": plain, "settings": old})
    assert np.array_equal(again.chain(inputs).expected(), funnel.chain(inputs).expected())


def test_the_company_s_shock_is_found_from_its_residuals_and_drawn_to_the_prior_when_few():
    rng = np.random.default_rng(5)
    mean, own = np.full(2000, 100.0), np.full(2000, 25.0)
    actual = mean * np.exp(rng.normal(-0.02, 0.2, 2000)) + rng.normal(0, 5, 2000)
    assert estimate_shock_sd(actual, mean, own) == pytest.approx(0.2, abs=0.02)
    assert estimate_shock_sd(actual[:0], mean[:0], own[:0], prior_sd=0.1) == pytest.approx(0.1, rel=0.01)


def test_a_what_if_that_makes_no_sense_is_refused(world):
    inputs = world.inputs(moments.parse("2025-03-01"))
    with pytest.raises(RequestError, match="NOBODY"):
        inputs.with_changes(Changes(("NOBODY",)))
    for bad in ({"follow_up_ratio": 0.0}, {"absence_days": -1.0}, {"lead_share": float("nan")}):
        with pytest.raises(RequestError):
            Changes(**bad)
    with pytest.raises(RequestError, match="open_leads lacks age_days"):
        replace(inputs, open_leads=inputs.open_leads.drop(columns="age_days")).canonical()


@pytest.mark.long
def test_intervals_cover_on_a_simulated_funnel(world):
    """80 % intervals of reps over several origins of several worlds."""
    from .conftest import make_world

    inside = []
    for seed in range(6):
        w = make_world(seed)
        truth = w.truth().set_index(["rep_id", "month"])["amount"]
        for day in ("2025-01-01", "2025-02-01", "2025-03-15"):
            inputs = w.inputs(moments.parse(day))
            d = FunnelForecaster.fit(inputs).draw(np.random.default_rng(seed), inputs)
            low, high = np.quantile(d.samples, [0.1, 0.9], axis=0)
            y = np.array([[truth.get((r, int(m)), 0.0) for m in d.months] for r in d.rep_ids])
            inside.append((y >= low) & (y <= high))
    assert 0.76 < np.mean(inside) < 0.92
