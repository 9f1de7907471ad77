"""Evidence for the gate: the same folds on both sides, whatever window of origins each training had."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from models.forecasting.draws import QUANTILES
from models.forecasting.metrics import pinball_loss
from training.evidence import CONVERSION_LOSS, FORECAST_LOSS, fold_document, gather
from training.release import read_release
from training.rolling import Fold


def backtest_of(origins, weights):
    """Two methods: one is right, the other 100 too high; two reps, horizon 0."""
    rows = []
    for origin in origins:
        for rep, y in (("R1", 100.0 + origin), ("R2", 300.0)):
            for method, off in (("right", 0.0), ("high", 100.0), ("fairlead", 1e6)):
                spread = {q: y + off + 10.0 * k for k, q in enumerate(QUANTILES)}
                rows.append({
                    "level": "rep", "origin": origin, "rep_id": rep, "month": origin, "method": method, "y": y,
                    "tenure_years": 1.5, "mean": y, **spread,
                })  # fmt: skip
    return SimpleNamespace(table=pd.DataFrame(rows), choice=SimpleNamespace(weights=weights))


def test_forecast_losses_are_those_of_the_methods_that_the_release_chose():
    table = fold_document(backtest_of([1, 2], (("right", 0.5), ("high", 0.5))), [])["forecast"]
    steps = 50.0 + 10.0 * np.arange(len(QUANTILES))
    expected = pinball_loss(np.array([0.0]), steps[None, :])[0]
    assert table["loss"] == pytest.approx([expected] * 4)
    assert table["origin"] == [1, 1, 2, 2]


def test_no_backtest_gives_no_folds():
    found = SimpleNamespace(table=pd.DataFrame(), choice=SimpleNamespace(weights=(("mean_6", 1.0),)))
    assert fold_document(found, [])["forecast"]["loss"] == []


def test_a_window_that_has_moved_on_changes_no_shared_loss():
    """The nested product of a later window knows less at its first origins; that must not look like a worse model."""
    early = fold_document(backtest_of([1, 2, 3, 4], (("right", 1.0),)), [])["forecast"]
    late = fold_document(backtest_of([3, 4, 5, 6], (("right", 1.0),)), [])["forecast"]
    first = {key: loss for *key, loss in zip(*early.values(), strict=True) for key in [tuple(key)]}
    second = {key: loss for *key, loss in zip(*late.values(), strict=True) for key in [tuple(key)]}
    shared = set(first) & set(second)
    assert len(shared) == 4
    assert all(first[key] == second[key] for key in shared)


def test_equal_trainings_have_equal_losses_on_every_fold(trained):
    """The champion against itself: each lead and rep-month is shared, and nothing differs."""
    from training.unit import ModelUnit

    place, facts = trained
    before = read_release(place.releases, facts["release"])
    unit = ModelUnit.from_release(before)
    folds_held = before.document("folds")
    told = pd.DataFrame(folds_held["conversion"])
    pairs = sets_of(place, unit).pairs
    folds = []
    for origin, part in told.groupby("origin"):
        rows = pairs.set_index("lead_id", drop=False).loc[part["lead_id"]].reset_index(drop=True)
        folds.append(Fold(int(origin), rows, part["p"].to_numpy()))
    empty = SimpleNamespace(table=pd.DataFrame(), choice=SimpleNamespace(weights=()))
    found = gather(unit, sets_of(place, unit), empty, folds, before)
    conversion = found.losses[CONVERSION_LOSS]
    assert len(conversion) > 100
    assert np.array_equal(conversion.challenger, conversion.champion)
    assert set(conversion.segments) == {"source", "tenure"}
    assert found.losses[FORECAST_LOSS] is None
    assert not found.newer_data
    assert found.late_features == 0
    assert found.rank_correlation == pytest.approx(1.0)
    assert 0 < found.latency_ms < 5_000
    assert found.ece_champion == pytest.approx(found.ece)


def sets_of(place, unit):
    from features.config import Config
    from training.datasets import build_datasets

    return build_datasets(place.tables, place.tables.newest(), Config(), unit.spec)
