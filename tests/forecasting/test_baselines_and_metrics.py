"""Rivals, scores, calibration and the choice between forecasts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import moments
from features.errors import RequestError
from models.forecasting import baselines, metrics
from models.forecasting.baselines import shrunk_mean_rule
from models.forecasting.blend import Choice, choose, mix
from models.forecasting.conformal import Calibration, fit_calibration, no_calibration
from models.forecasting.draws import QUANTILES, Draws, to_table
from models.forecasting.exposure import DailyExposure, months_exposure, weekdays
from models.forecasting.inputs import ForecastInputs, empty

MARCH = 2025 * 12 + 2


def simple_inputs(amounts: dict[str, list[float]], as_of: str = "2025-03-01", hired: dict[str, str] | None = None):
    """Reps with a contribution in each of the months up to as_of's, the last entry the newest whole month."""
    moment = moments.parse(as_of)
    last = moments.month_of(moment)
    rows = [(r, last - len(v) + k, a) for r, v in amounts.items() for k, a in enumerate(v)]
    reps = pd.DataFrame({
        "rep_id": list(amounts), "left_on": moments.NEVER, "team_id": "T1",
        "hired_on": [moments.parse((hired or {}).get(r, "2020-01-01")) for r in amounts],
    })  # fmt: skip
    money = pd.DataFrame(rows, columns=["rep_id", "month", "amount"])
    return ForecastInputs(
        moment, weekdays(), reps, money, empty("open_leads"), empty("spells"), empty("arrivals"), empty("repeats")
    )


def test_the_mean_of_recent_months_is_just_that_and_shorter_for_newer_reps():
    inputs = simple_inputs(
        {"A": [9.0, 1, 2, 3, 4, 5, 6], "B": [0.0, 0, 0, 0, 0, 4, 8]}, hired={"B": "2025-01-01"}
    ).canonical()
    fan = baselines.recent_mean(inputs, inputs.months, 6)
    np.testing.assert_allclose(fan.mean[0], 3.5)
    np.testing.assert_allclose(fan.mean[1], 6.0)
    assert (np.diff(fan.values, axis=2) >= 0).all()
    assert fan.values.min() >= 0


def test_the_shrunk_mean_gives_labels_the_desk_s_level_and_true_differences_their_own():
    """Reps that differ by luck only share the level; reps far apart keep their own; a newcomer is not known."""
    rng = np.random.default_rng(5)
    noise = rng.normal(100, 30, (200, 12))
    alike = shrunk_mean_rule(noise, 1)
    assert alike.std() < 0.35 * noise.mean(axis=1).std()
    assert alike.mean() == pytest.approx(noise[:, -6:].mean(), rel=0.01)
    apart = np.arange(1.0, 201.0)[:, None] * 10 + rng.normal(0, 1, (200, 12))
    np.testing.assert_allclose(shrunk_mean_rule(apart, 1), apart.mean(axis=1), rtol=0.02, atol=2.0)
    noise[0] = np.nan
    assert np.isnan(shrunk_mean_rule(noise, 1)[0])
    assert np.isfinite(shrunk_mean_rule(noise, 1)[1:]).all()


def test_a_newcomer_without_a_month_gets_the_newcomers_mean():
    amounts = {f"N{i}": [0.0] * 6 + [2.0, 4.0, 9.0] for i in range(4)} | {"OLD": [100.0] * 9, "NEW": [0.0] * 9}
    hired = {f"N{i}": "2024-12-01" for i in range(4)} | {"NEW": "2025-02-25"}
    inputs = simple_inputs(amounts, hired=hired).canonical()
    fan = baselines.recent_mean(inputs, inputs.months, 6)
    assert fan.mean[inputs.rep_ids.index("NEW"), 1] == pytest.approx(5.0)


def test_mid_month_adds_the_days_left_to_what_is_closed():
    inputs = simple_inputs({"A": [60.0] * 6 + [10.0]}, as_of="2025-03-17")
    inputs = replace(inputs, contributions=inputs.contributions.assign(month=lambda f: f["month"] + 1)).canonical()
    share = 11 / 21  # March 2025 has 21 weekdays, 11 from the 17th on
    fan = baselines.recent_mean(inputs, inputs.months, 6)
    assert fan.mean[0, 0] == pytest.approx(10.0 + 60.0 * share)
    assert fan.values[0, 0].min() >= 10.0


@pytest.mark.parametrize("n", [0, 1, 2, 4, 7, 30])
def test_smoothing_takes_series_of_any_length(n):
    rng = np.random.default_rng(n)
    ahead, residuals = baselines.smoothed(rng.gamma(2.0, 50.0, n), 3)
    assert ahead.shape == (3,)
    assert len(residuals) == n
    assert np.isnan(ahead).all() if n == 0 else (ahead >= 0).all()


def test_smoothing_finds_a_level_shift_that_the_mean_misses():
    series = np.array([10.0] * 12 + [100.0] * 6) + np.random.default_rng(0).normal(0, 1, 18)
    assert baselines.smoothed(series, 1)[0][0] > 90.0


def test_seasonal_naive_is_the_month_a_year_ago():
    inputs = simple_inputs({"A": [float(k) for k in range(1, 15)]}).canonical()
    fan = baselines.seasonal_naive(inputs, inputs.months)
    np.testing.assert_allclose(fan.mean[0], [3.0, 4.0, 5.0])


def test_stage_weights_are_amount_times_share_won():
    inputs = simple_inputs({"A": [0.0] * 4})
    leads = pd.DataFrame({
        "lead_id": ["L1", "L2"], "rep_id": "A", "age_days": 3.0, "source": "web", "p_win": 0.99,
        "expected_amount": [100.0, 300.0], "amount_log_sd": 0.0,
    })  # fmt: skip
    spells = pd.DataFrame({
        "rep_id": "A", "age_start": 0.0, "age_stop": 1.0,
        "event": ["won"] * 30 + ["lost"] * 40 + ["dead"] * 20 + [""] * 5,
        "source": "web", "p_win": 0.5,
    })  # fmt: skip
    inputs = replace(inputs, open_leads=leads, spells=spells).canonical()
    fan = baselines.stage_weights(inputs, inputs.months)
    assert fan.mean.sum() == pytest.approx(400.0 * 31 / 100, rel=1e-6)


def test_crps_and_pinball_and_wape_in_closed_form():
    """CRPS of a point mass is the absolute error; of a fair {0, 1} at y = 0: E|X| - E|X-X'|/2 = 1/2 - 1/4."""
    y = np.array([3.0])
    assert metrics.crps_samples(y, np.full((9, 1), 5.0))[0] == pytest.approx(2.0)
    coin = np.repeat([[0.0], [1.0]], 5000, axis=0)
    assert metrics.crps_samples(np.array([0.0]), coin)[0] == pytest.approx(0.25, abs=1e-3)
    assert metrics.pinball_loss(y, np.full((1, 9), 1.0))[0] == pytest.approx(0.5 * 2.0)
    assert metrics.wape(np.array([2.0, 8.0]), np.array([4.0, 5.0])) == pytest.approx(0.5)
    assert metrics.bias(np.array([2.0, 8.0]), np.array([4.0, 8.0])) == pytest.approx(0.2)
    assert np.isnan(metrics.wape(np.zeros(2), np.ones(2)))


@given(st.lists(st.integers(0, 4), min_size=2, max_size=40), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_average_precision_agrees_with_scikit_learn_ties_included(scores, seed):
    from sklearn.metrics import average_precision_score

    missed = np.random.default_rng(seed).random(len(scores)) < 0.4
    missed[0] = True
    got = metrics.average_precision(missed, np.array(scores, dtype=float))
    assert got == pytest.approx(average_precision_score(missed, scores))


def test_pit_is_uniform_when_right_also_with_a_mass_at_zero():
    rng = np.random.default_rng(0)
    truth = np.maximum(rng.normal(0, 1, 4000), 0)
    samples = np.maximum(rng.normal(0, 1, (400, 4000)), 0)
    table = metrics.pit_table(metrics.pit(truth, samples, rng.random(4000)))
    np.testing.assert_allclose(table, 0.1, atol=0.025)


def test_paired_intervals_cover_the_true_difference():
    rng = np.random.default_rng(1)
    hit = 0
    for _ in range(60):
        shared = rng.normal(10, 5, 20)
        got = metrics.paired_difference(shared + rng.normal(-0.5, 0.4, 20), shared, rng, 200)
        hit += got.low <= -0.5 <= got.high
    assert hit >= 46
    assert got.high < 0, "pairing removes the months' own noise"
    assert np.isnan(metrics.bootstrap(lambda chosen: 1.0, 1, rng).low)


def gamma_draws(
    n_reps: int, shape: float, scale: float, seed: int, method: str = "funnel", zeros: float = 0.2
) -> Draws:
    rng = np.random.default_rng(seed)
    samples = rng.gamma(shape, scale, (400, n_reps, 3))
    samples[: round(400 * zeros)] = 0.0
    rng.shuffle(samples, axis=0)
    ids = tuple(f"R{i:03d}" for i in range(n_reps))
    flat = np.zeros((n_reps, 3))
    return Draws(
        ids, tuple(f"T{i % 2}" for i in range(n_reps)), np.arange(MARCH, MARCH + 3), samples, flat,
        samples.mean(axis=0), flat == 0, method,
    )  # fmt: skip


def test_calibrated_draws_cover_where_raw_ones_are_too_narrow():
    """Truth is 1.6 times as spread as the forecast says; after calibration 80 % hold near 80 % on fresh cases."""
    rng = np.random.default_rng(3)

    def outcome(n: int) -> np.ndarray:
        return rng.gamma(3.0, 100 * 8 / 3.0, (n, 3))

    draws = gamma_draws(300, 8.0, 100.0, 1, zeros=0.0)
    past, fresh = outcome(300), outcome(300)
    pit = metrics.pit(past.ravel(), draws.samples.reshape(400, -1), rng.random(900))
    horizon = np.tile(np.arange(3), 300)
    calibration = fit_calibration(pit, horizon, draws.expected.ravel())
    better = calibration.apply(draws, moments.month_start(MARCH))

    def coverage(d: Draws) -> float:
        low, high = np.quantile(d.samples, [0.1, 0.9], axis=0)
        return float(((fresh >= low) & (fresh <= high)).mean())

    assert coverage(draws) < 0.65
    assert 0.74 < coverage(better) < 0.86
    assert (better.samples >= 0).all()
    table = to_table(better, "rep", None, 0.8, moments.month_start(MARCH))
    assert (np.diff(table[list(QUANTILES)].to_numpy(), axis=1) >= 0).all()


def test_few_residuals_hardly_move_a_calibration_and_none_leave_it():
    empty_map = fit_calibration(np.empty(0), np.empty(0, dtype=np.int64), np.empty(0))
    assert np.array_equal(empty_map.levels, no_calibration().levels)
    few = fit_calibration(np.array([0.99, 0.98]), np.zeros(2, dtype=np.int64), np.ones(2))
    assert np.abs(few.levels - no_calibration().levels).max() < 0.08
    draws = gamma_draws(4, 3.0, 10.0, 2)
    np.testing.assert_allclose(no_calibration().apply(draws, moments.month_start(MARCH)).samples, draws.samples)


def test_adaptive_calibration_follows_a_shift():
    """When every outcome falls below the forecast's median, the asked levels sink origin by origin."""
    rng = np.random.default_rng(4)
    calibration: Calibration = no_calibration()
    for _ in range(60):
        pit = rng.uniform(0, 0.5, 30)
        calibration = calibration.update(pit, np.zeros(30, dtype=np.int64), np.ones(30, dtype=np.int64))
    assert calibration.levels[0, 1, 9] == pytest.approx(0.25, abs=0.06)
    assert (np.diff(calibration.levels, axis=2) >= 0).all()
    assert calibration.levels[1, 0, 9] == 0.5, "other cells stay"
    again = Calibration.from_parts(calibration.to_parts())
    assert np.array_equal(again.levels, calibration.levels)


def scores(gap: float, n_origins: int = 8, seed: int = 0) -> pd.DataFrame:
    """A backtest in which the funnel's quantiles are off by noise and the mean's by noise + gap."""
    rng = np.random.default_rng(seed)
    rows = []
    for origin in range(n_origins):
        for rep in range(25):
            y = rng.normal(100, 10)
            for method, off in (("funnel", 0.0), ("panel", 30.0), ("mean_6", gap)):
                q = (
                    100
                    + off * rng.choice([-1, 1])
                    + 10 * np.array([-1.28, -0.84, -0.52, -0.25, 0, 0.25, 0.52, 0.84, 1.28])
                )
                rows.append((origin, f"R{rep}", MARCH, method, y, *q))
    return pd.DataFrame(rows, columns=["origin", "rep_id", "month", "method", "y", *QUANTILES])


def test_the_mean_is_used_when_nothing_beats_it():
    choice = choose(scores(gap=0.0))
    assert (choice.method, choice.reason) == ("mean_6", "mean_not_beaten")


def test_the_funnel_is_chosen_when_it_beats_the_mean_and_the_reason_carries_numbers():
    choice = choose(scores(gap=25.0))
    assert choice.weights[0][0] == "funnel"
    assert choice.reason == "beats_the_mean"
    assert choice.difference < -choice.standard_error < 0
    assert Choice.from_parts(choice.to_parts()) == choice


def test_two_origins_are_too_few_to_leave_the_mean():
    choice = choose(scores(gap=25.0, n_origins=2))
    assert (choice.method, choice.reason) == ("mean_6", "too_few_origins")


def test_a_blend_averages_quantiles_and_keeps_ranks():
    a, b = gamma_draws(5, 3.0, 10.0, 1), gamma_draws(5, 9.0, 30.0, 2, "panel")
    blend = mix({"funnel": a, "panel": b}, (("funnel", 0.75), ("panel", 0.25)))
    level = np.linspace(0.01, 0.99, 30)
    expected = 0.75 * np.quantile(a.samples, level, axis=0) + 0.25 * np.quantile(b.samples, level, axis=0)
    np.testing.assert_allclose(np.quantile(blend.samples, level, axis=0), expected, rtol=1e-9)
    assert np.array_equal(np.argsort(blend.samples[:, 0, 0])[-50:], np.argsort(a.samples[:, 0, 0])[-50:])
    with pytest.raises(RequestError):
        mix({"funnel": a}, (("funnel", 0.5), ("panel", 0.5)))


def test_tables_add_up_over_levels_and_compare_targets_of_those_who_have_one():
    draws = gamma_draws(6, 3.0, 10.0, 1)
    targets = pd.DataFrame({"rep_id": ["R000", "R002", "R001"], "month": MARCH, "amount": [40.0, 60.0, 10.0]})
    tables = {
        level: to_table(draws, level, targets, 0.8, moments.parse("2025-03-01")) for level in ("rep", "team", "company")
    }
    for month, total in tables["company"].set_index("month")["mean"].items():
        for level in ("rep", "team"):
            part = tables[level]
            assert part.loc[part["month"] == month, "mean"].sum() == pytest.approx(total)
    rep, team, company = tables["rep"], tables["team"], tables["company"]
    assert list(rep.columns) == ["rep_id", "month", "as_of", "mean", *QUANTILES, "target", "p_miss"]
    assert list(team.columns)[:3] == ["level", "id", "month"]
    assert company["target"].iloc[0] == 110.0
    by_hand = (draws.samples[:, [0, 1, 2], 0].sum(axis=1) < 0.8 * 110.0).mean()
    assert company["p_miss"].iloc[0] == pytest.approx(by_hand)
    assert company["p_miss"].isna().tolist() == company["target"].isna().tolist() == [False, True, True]
    assert rep["as_of"].unique().tolist() == ["2025-03-01T00:00:00+00:00"]


def test_daily_exposure_adds_up_and_reads_its_own_weights():
    start = moments.parse("2025-03-03")
    week = DailyExposure(start // moments.DAY, np.array([1.0, 0.5, 0.0]), "Asia/Shanghai")
    at = np.array([start, start + moments.HOUR * 20, start + 3 * moments.DAY, start + 9 * moments.DAY])
    parts = week.between(at[:-1], at[1:])
    assert parts.sum() == pytest.approx(week.between(at[:1], at[-1:])[0])
    plain = weekdays()
    assert months_exposure(plain, np.array([MARCH, MARCH + 1]))[0] == 21.0
    assert plain.between(at[-1:], at[:1])[0] == 0.0
