"""What MLflow holds after a training: lineage, artifacts, signatures, versions and aliases that follow the record."""

from __future__ import annotations

import sqlite3

import numpy as np
import pandas as pd
import pytest

from features.config import Config
from training import tracking
from training.datasets import build_datasets
from training.release import challenger, champion, promotions, release_for, standing
from training.rollback import roll_back
from training.unit import ModelUnit

MODELS = (tracking.CONVERSION_MODEL, tracking.CONTRIBUTION_MODEL)


def release_at(tracker, name, alias):
    version = tracking.alias_version(tracker, name, alias)
    return None if version is None else tracker.client.get_model_version(name, version).tags["release"]


@pytest.fixture(scope="module")
def logged(trained):
    place, facts = trained
    tracker = tracking.open_tracker(place.mlruns)
    return tracker, tracker.client.get_run(facts["mlflow_run"]), facts


def test_the_store_is_sqlite_under_mlruns(trained):
    place, _ = trained
    with sqlite3.connect(place.mlruns / "mlflow.db") as base:
        names = {row[0] for row in base.execute("select name from experiments")}
    assert {"fairlead-train", "fairlead-conversion", "fairlead-contribution"} <= names


def test_the_run_tells_where_it_came_from(logged, trained):
    _, run, facts = logged
    given = run.data.params
    assert run.info.status == "FINISHED"
    assert given["release"] == facts["release"]
    assert given["seed"] == "7"
    for name in ("pairs_sha256", "panel_sha256", "gate_sha256", "lock_sha256", "spec_fingerprint"):
        assert len(given[name]) == 64, name
    assert given["dirty"] in {"True", "False"}
    assert given["commit"]
    assert run.data.metrics["auc"] > 0.5
    assert run.data.metrics["backtest_fairlead_pinball"] > 0


def test_the_run_holds_tables_pictures_and_cards(logged):
    tracker, run, _ = logged

    def below(path=""):
        for item in tracker.client.list_artifacts(run.info.run_id, path):
            if item.is_dir:
                yield from below(item.path)
            else:
                yield item.path

    names = set(below())
    assert {
        "report.json", "effects.json", "gate.json", "gate_rules.json", "feature_spec.json", "tables/backtest.parquet",
        "tables/backtest_metrics.parquet", "tables/win_probability.parquet", "pictures/calibration.svg",
        "pictures/backtest.svg", "pictures/shap.svg", "pictures/shap_summary.parquet", "cards/model_card.en.md",
        "cards/model_card.zh.md", "cards/data_sheet.en.md", "cards/data_sheet.zh.md",
    } <= names  # fmt: skip


def test_fold_predictions_came_before_what_they_predict(logged, tmp_path):
    tracker, run, _ = logged
    frame = pd.read_parquet(tracker.client.download_artifacts(run.info.run_id, "tables/win_probability.parquet"))
    assert frame["origin"].nunique() >= 3
    assert (frame["as_of"] >= frame["origin"]).all()
    assert frame["p"].between(0, 1).all()
    assert not frame["lead_id"].duplicated().any()


@pytest.mark.parametrize("name", MODELS)
def test_versions_have_a_signature_and_requirements(logged, name):
    import mlflow

    tracker, _, _ = logged
    version = tracking.alias_version(tracker, name, "champion")
    info = mlflow.models.get_model_info(f"models:/{name}/{version}")
    assert len(info.signature.inputs.inputs) > 5
    assert len(info.signature.outputs.inputs) >= 1
    folder = mlflow.artifacts.download_artifacts(f"models:/{name}/{version}")
    from pathlib import Path

    assert "lightgbm" in (Path(folder) / "requirements.txt").read_text()
    assert not list(Path(folder).rglob("*.pkl"))


def test_the_registered_model_says_what_the_release_says(logged, trained):
    import mlflow

    place, _ = trained
    unit = ModelUnit.from_release(release_for(place.releases, place.tables.newest()))
    pairs = build_datasets(place.tables, place.tables.newest(), Config(), unit.spec).pairs.head(20)
    names = unit.conversion.columns.names
    assert set(unit.spec.rep_categorical) <= set(names)
    served = mlflow.pyfunc.load_model(f"models:/{tracking.CONVERSION_MODEL}@champion")
    said = served.predict(pairs[["rep_id", *names]])
    assert np.array_equal(said["win_probability"].to_numpy(), unit.conversion.predict(pairs).win_probability)


@pytest.mark.parametrize("name", MODELS)
def test_aliases_of_the_first_release(logged, name):
    tracker, _, facts = logged
    assert release_at(tracker, name, "champion") == release_at(tracker, name, "challenger") == facts["release"]
    assert release_at(tracker, name, "previous") is None


def test_retraining_and_rolling_back_move_the_aliases(new_home, tables):
    place = new_home()
    first = place.train("2026-05-01")["release"]
    again = place.train("2026-05-01")
    assert again["promoted"]
    assert again["release"] == first  # nothing new: no second version, no second line
    assert len(promotions(place.releases)) == 1
    # Forced, since this is about aliases: whether the gate would agree is a matter of the world.
    second = place.train("2026-06-01", promote="force", reason="to see the aliases move")
    assert second["promoted"]
    assert challenger(place.releases) is None
    tracker = tracking.open_tracker(place.mlruns)
    for name in MODELS:
        assert release_at(tracker, name, "champion") == second["release"]
        assert release_at(tracker, name, "previous") == first
        assert len(tracker.client.search_model_versions(f"name='{name}'")) == 2
    told = " ".join(second["gate"]["checks"])
    assert "ok   something is better" in told
    assert "against the champion" in told
    assert roll_back(place.releases, place.mlruns, "complaints", 1) == first == champion(place.releases)
    for name in MODELS:
        assert release_at(tracker, name, "champion") == first
        assert release_at(tracker, name, "previous") is None
    assert [entry.version for entry in standing(promotions(place.releases))] == [first]
    refused = place.train("2026-06-01")
    assert refused["release"] == second["release"]
    assert not refused["promoted"]  # what a person has withdrawn only a person brings back
    assert champion(place.releases) == first
    assert challenger(place.releases) == second["release"], "what the gate keeps back runs in shadow"
    place.train("2026-03-01")
    assert challenger(place.releases) == second["release"], "a backfill is no rival"


def test_training_prints_nothing_of_its_own(new_home, capfd):
    new_home().train("2026-02-01")
    out, err = capfd.readouterr()
    assert out == ""
    assert "Registered" not in err
    assert "Successfully" not in err
