"""Rebuilding an old run, and retraining only where something calls for it."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from features.config import Config
from features.errors import RequestError
from features.messages import in_language, message
from serving.cli import app
from training.lineage import code_hash
from training.pipeline import Summary
from training.record import GATE_CODE
from training.release import champion, read_release
from training.reproduce import reproduce, run_parameters

runner = CliRunner()


def test_a_run_is_rebuilt_byte_for_byte_and_a_changed_table_is_named(new_home, tables):
    place = new_home()
    facts = place.train("2026-02-01", seed=5, folds=3)  # of four that the history allows
    scored = read_release(place.releases, facts["release"]).document("report")["backtest"]
    assert {row["n_origins"] for row in scored} == {3}
    again = reproduce(tables, Config(), place.releases, place.mlruns, facts["release"])
    assert again.equal
    # Whoever works on the code meanwhile changes these two, and nothing else may differ.
    assert {name for name, _, _ in again.causes} <= {"commit", "dirty"}
    assert again.as_text().splitlines()[0] == f"Release {facts['release']} was rebuilt byte for byte."
    won = tables.deals["status"] == "won"
    dearer = tables.deals.assign(amount=np.where(won, tables.deals["amount"] * 2, tables.deals["amount"]))
    other = reproduce(
        tables.with_frames(deals=dearer), Config(), place.releases, place.mlruns, facts["mlflow_run"], {"deals": "new"}
    )
    assert not other.equal
    assert "amount.json" in other.parts
    assert "workdays.json" not in other.parts
    causes = {name for name, _, _ in other.causes}
    assert {"pairs_sha256", "panel_sha256", "sha256_deals"} <= causes
    assert not causes & {"spec_fingerprint", "lock_sha256"}
    assert champion(place.releases) == facts["release"]
    assert other.as_dict()["equal"] is False


def test_a_run_that_is_not_there_is_told(trained, tmp_path):
    place, facts = trained
    with pytest.raises(RequestError, match="knows no training run 'nonsense'"):
        run_parameters(place.mlruns, "nonsense")
    with pytest.raises(RequestError, match=r"holds no mlflow\.db"):
        run_parameters(tmp_path, facts["release"])
    assert run_parameters(place.mlruns, facts["release"])["release"] == facts["release"]
    assert run_parameters(place.mlruns, facts["mlflow_run"])["release"] == facts["release"]


def test_nothing_is_trained_where_nothing_has_drifted(copy_of, tables_folder):
    place = copy_of()
    before = champion(place.releases)
    words = ["--data", str(tables_folder), "--home", str(place.root)]
    said = runner.invoke(app, ["retrain", "--if-needed", *words], catch_exceptions=False)
    assert said.exit_code == 0
    assert said.output == "No drift was found: the release stays.\n"
    assert champion(place.releases) == before
    told = runner.invoke(app, ["drift", *words], catch_exceptions=False)
    assert f"Release {before}" in told.output
    assert "no drift in" in told.output


def test_retraining_is_judged_by_twelve_months_and_says_why_in_chinese(new_home, tables_folder, monkeypatch):
    """The words, the reason kept in the record and the folds; the training itself is looked at elsewhere."""
    asked = []

    def trained(tables, config, releases, mlruns, request, *_):
        asked.append(request)
        return Summary(((0, message("trained.challenger", version="V")),), {})

    monkeypatch.setattr("training.pipeline.train_release", trained)
    words = ["--data", str(tables_folder), "--home", str(new_home().root), "--lang", "zh"]
    said = runner.invoke(app, ["retrain", "--if-needed", *words], catch_exceptions=False)
    assert said.output == "重新训练：没有适用于该时点的版本。\n版本 V 未启用，仅作为候选保留。\n"
    assert asked[0].folds == 12
    assert asked[0].reason == "retrain: no release answers for this moment"
    said = runner.invoke(app, ["rollback", "--reason", "x", *words[2:]])
    assert "没有更早启用过的版本可以回退" in str(in_language(said.exception, "zh"))


def test_the_gates_code_is_hashed_into_the_run(trained):
    place, facts = trained
    held = run_parameters(place.mlruns, facts["mlflow_run"])
    assert held["gate_code_sha256"] == code_hash(*GATE_CODE)
    assert code_hash("training.gate") != code_hash("training.evidence")


def test_a_home_without_a_release_is_trained(new_home, tables_folder):
    place = new_home()
    words = ["--data", str(tables_folder), "--home", str(place.root), "--as-of", "2026-02-01"]
    said = runner.invoke(app, ["retrain", "--if-needed", *words], catch_exceptions=False)
    assert said.exit_code == 0
    assert "Retraining: no release answers for this moment." in said.output
    assert champion(place.releases) is not None
