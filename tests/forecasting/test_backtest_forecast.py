"""The rolling backtest: nothing later leaks, all methods stand in one table, the choice is a model."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features import moments
from features.errors import RequestError
from models.forecasting.contribution import METHODS, ContributionModel
from models.forecasting.inputs import Changes
from models.forecasting.panel_model import PanelModel, PanelSettings
from training.backtest_forecast import PRODUCT, BacktestSettings, Snapshot, backtest, final_model, summarise

FEATURES = ("mean_6", "mean_3", "last")
SMALL = BacktestSettings(
    n_draws=120, levels=("rep", "team", "company"), panel=PanelSettings(most_rounds=40, num_leaves=5)
)
UNTIL = moments.parse("2025-07-01")
ORIGINS = [moments.parse(f"2025-0{m}-01") for m in (1, 2, 3, 4)] + [moments.parse("2025-05-15")]


def snapshot(world, as_of: int) -> Snapshot:
    """Inputs and a panel of lags, as known then."""
    inputs = world.inputs(as_of)
    last = moments.month_of(as_of)
    first = 2024 * 12
    wide = inputs.contributions.pivot_table(index="rep_id", columns="month", values="amount", aggfunc="sum")
    wide = wide.reindex(index=inputs.reps["rep_id"], columns=range(first, last + 3)).fillna(0.0)
    rows = [
        (rep, m, h, wide.loc[rep, m + h] if m + h < last else np.nan, *lags(wide.loc[rep, m - 6 : m - 1].to_numpy()))
        for m in range(first + 6, last + 1)
        for h in range(3)
        for rep in wide.index
    ]
    panel = pd.DataFrame(rows, columns=["rep_id", "month", "horizon", "y", *FEATURES])
    return Snapshot(inputs, panel, panel[panel["month"] == last], FEATURES)


def lags(past: np.ndarray) -> tuple[float, float, float]:
    return float(past.mean()), float(past[-3:].mean()), float(past[-1])


@pytest.fixture(scope="module")
def snapshots(world):
    return {origin: snapshot(world, origin) for origin in ORIGINS}


@pytest.fixture(scope="module")
def found(world, snapshots):
    targets = world.truth().assign(amount=15_000.0)
    return backtest(snapshots.__getitem__, ORIGINS, world.truth(), UNTIL, np.random.default_rng(0), targets, SMALL)


def test_every_method_is_scored_on_the_same_cases(found, world):
    cases = found.table[found.table["level"] == "rep"].groupby("method").size()
    assert set(cases.index) == {*METHODS, PRODUCT}
    assert cases.nunique() == 1
    truth = world.truth().set_index(["rep_id", "month"])["amount"]
    row = found.table[(found.table["level"] == "rep") & (found.table["y"] > 0)].iloc[0]
    assert row["y"] == pytest.approx(truth[row["rep_id"], row["month"]])
    assert (found.table["month"].max(), found.table["horizon"].max()) == (2025 * 12 + 5, 2)


def test_teams_and_company_add_up_in_the_table(found):
    for _, cases in found.table.groupby(["origin", "month", "method"]):
        for column in ("mean", "y"):
            total = cases.groupby("level")[column].sum()
            assert total["team"] == pytest.approx(total["company"])
            assert total["rep"] == pytest.approx(total["company"])


def test_the_summary_has_paired_intervals_and_skill_against_the_mean(found):
    table = summarise(found, np.random.default_rng(1), n_boot=60).set_index(["level", "method", "metric"])
    assert table.loc[("rep", "mean_6", "wape"), "skill"] == 0.0
    wape = table.loc[("rep", "funnel", "wape")]
    assert wape["low"] <= wape["estimate"] <= wape["high"]
    assert wape["skill"] > 0, "the funnel knows the pipeline, the mean does not"
    assert 0.6 < table.loc[("rep", "funnel", "coverage_80"), "estimate"] < 0.97
    assert 0 < table.loc[("rep", PRODUCT, "miss_average_precision"), "estimate"] <= 1
    by = summarise(found, np.random.default_rng(1), by="horizon", n_boot=10)
    assert set(by["group"]) == {"0", "1", "2"}


def test_an_early_origin_is_not_changed_by_later_ones(found, world, snapshots):
    """What fairlead says at the second origin is the same whether or not later origins follow."""
    targets = world.truth().assign(amount=15_000.0)
    short = backtest(snapshots.__getitem__, ORIGINS[:2], world.truth(), UNTIL, np.random.default_rng(0), targets, SMALL)
    early = found.table[found.table["origin"].isin(ORIGINS[:2])].reset_index(drop=True)
    pd.testing.assert_frame_equal(early, short.table)


def test_months_that_are_not_over_are_not_scored_and_none_is_an_error(world, snapshots):
    with pytest.raises(RequestError, match="no origin"):
        backtest(snapshots.__getitem__, ORIGINS[-1:], world.truth(), ORIGINS[-1], np.random.default_rng(0), None, SMALL)


def test_the_released_model_forecasts_and_comes_back_from_its_parts(found, snapshots):
    snap = snapshots[ORIGINS[-1]]
    model = final_model(snap, found, SMALL)
    parts, texts = model.to_parts()
    again = ContributionModel.from_parts(json.loads(json.dumps(parts, allow_nan=False)), texts)
    a, b = (m.draw(np.random.default_rng(3), snap.inputs, snap.panel_rows, 60) for m in (model, again))
    assert np.array_equal(a.samples, b.samples)
    assert (a.samples >= a.closed[None] - 1e-6).all()
    now, then = model.what_if(np.random.default_rng(3), snap.inputs, Changes(absence_days=99.0), snap.panel_rows, 60)
    assert then.samples[:, :, 0].sum() < now.samples[:, :, 0].sum()


def test_the_panel_model_learns_is_deterministic_and_explains_itself_on_the_money_scale():
    """y = 3 x feature a: out of time it must beat the mean by far, and contributions sum to the prediction."""
    rng = np.random.default_rng(0)
    rows = [
        (f"R{r}", m, h, (a := rng.uniform(0, 1000)) * 3.0, a, rng.normal())
        for m in range(100, 120) for r in range(25) for h in (0, 1)
    ]  # fmt: skip
    panel = pd.DataFrame(rows, columns=["rep_id", "month", "horizon", "y", "a", "b"])
    model = PanelModel.fit(panel, ("a", "b"))
    assert model.errors[0].wape < 0.4 * model.errors[0].wape_of_mean
    again = PanelModel.fit(panel.sample(frac=1.0, random_state=1), ("a", "b"))
    assert again.to_parts() == model.to_parts()
    X = panel[["a", "b"]].to_numpy()[:50]
    parts = model.booster(0).predict(X, pred_contrib=True) * model.scale
    np.testing.assert_allclose(np.maximum(parts.sum(axis=1), 0), model.predict(panel.iloc[:50], 0), rtol=1e-9)
    assert np.abs(parts[:, 0]).sum() > 5 * np.abs(parts[:, 1]).sum()


def test_the_panel_model_stands_on_two_months_and_refuses_none():
    panel = pd.DataFrame(
        {"rep_id": ["A", "B"] * 2, "month": [1, 1, 2, 2], "horizon": 0, "y": [1.0, 2, 3, np.nan], "a": 0.0}
    )
    model = PanelModel.fit(panel, ("a",))
    assert np.isnan(model.errors[0].wape)
    assert model.predict(panel, 0).shape == (4,)
    with pytest.raises(RequestError, match="complete month"):
        PanelModel.fit(panel.assign(y=np.nan), ("a",))
    with pytest.raises(RequestError, match="lacks no_such"):
        PanelModel.fit(panel, ("no_such",))


def test_a_choice_of_the_panel_without_its_rows_is_refused(found, snapshots):
    snap = snapshots[ORIGINS[-1]]
    model = final_model(snap, found, SMALL)
    only = replace(model, choice=replace(model.choice, weights=(("panel", 1.0),)))
    with pytest.raises(RequestError, match="panel"):
        only.draw(np.random.default_rng(0), snap.inputs)
