"""Tuning: folds that never see what they forecast, equal results however it is run, and going on after a kill."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features.errors import RequestError
from models.forecasting.panel_model import PanelSettings
from training.tuning import fold_loss, fold_origins, tune_panel

FEATURES = ("x", "z")


def make_panel(months=10, reps=12, seed=0):
    """y = 1000 + 400 x + noise; z says nothing. Origins are month numbers x 10."""
    rng = np.random.default_rng(seed)
    rows = []
    for origin in range(months):
        x, z = rng.normal(size=reps), rng.normal(size=reps)
        for horizon in range(3):
            y = np.maximum(1000 + 400 * x + rng.normal(0, 100, reps), 0)
            over = origin + horizon < months
            rows.append(
                pd.DataFrame(
                    {
                        "rep_id": [f"R{i:02d}" for i in range(reps)],
                        "month": origin + horizon,
                        "as_of": origin * 10,
                        "horizon": horizon,
                        "y": y if over else np.nan,
                        "x": x,
                        "z": z,
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="module")
def panel():
    return make_panel()


def test_folds_are_the_newest_origins_with_history_before_them(panel):
    assert fold_origins(panel) == [60, 70, 80, 90]
    assert fold_origins(make_panel(months=5)) == [30, 40]
    assert fold_origins(make_panel(months=3)) == []


def test_a_fold_learns_only_from_months_over_by_its_origin(panel):
    base = fold_loss(panel, FEATURES, PanelSettings(), 60)
    later = panel["month"] >= 6
    spoilt = panel.assign(y=np.where(later & (panel["as_of"] < 60), 1e6, panel["y"]))
    assert fold_loss(spoilt, FEATURES, PanelSettings(), 60) == base
    forecast = panel.assign(y=np.where(panel["as_of"] == 60, panel["y"] * 2, panel["y"]))
    assert fold_loss(forecast, FEATURES, PanelSettings(), 60) != base


def test_the_plain_settings_are_the_first_trial_and_the_best_is_no_worse(panel):
    tuned = tune_panel(panel, FEATURES, 6, 1, n_processes=1)
    first = tuned.trials[0]
    assert first.parameters["num_leaves"] == PanelSettings().num_leaves
    assert not first.pruned
    assert len(tuned.trials) == 6

    def mean_loss(settings):
        return np.mean([fold_loss(panel, FEATURES, settings, origin) for origin in fold_origins(panel)])

    assert mean_loss(tuned.settings) <= mean_loss(PanelSettings(seed=1)) + 1e-12


def test_several_processes_and_one_give_equal_trials(panel, tmp_path):
    alone = tune_panel(panel, FEATURES, 9, 3, n_processes=1)
    together = tune_panel(panel, FEATURES, 9, 3, tmp_path / "o.db", n_processes=2)
    assert alone == together
    assert any(trial.pruned for trial in alone.trials)


def test_a_finished_study_is_not_run_again_and_a_longer_one_goes_on(panel, tmp_path):
    store = tmp_path / "o.db"
    short = tune_panel(panel, FEATURES, 4, 3, store, n_processes=1)
    assert tune_panel(panel, FEATURES, 4, 3, store, n_processes=1) == short
    longer = tune_panel(panel, FEATURES, 9, 3, store, n_processes=1)
    assert longer.trials[:4] == short.trials
    assert longer == tune_panel(panel, FEATURES, 9, 3, n_processes=1)


def test_too_few_months_are_told():
    with pytest.raises(RequestError, match="too few complete months"):
        tune_panel(make_panel(months=3), FEATURES, 2, 1)


KILLED = """
import sys
from pathlib import Path
import pandas as pd
from training import tuning
def slow(asked, work=tuning.fold_loss):
    print("at work", flush=True)
    import time; time.sleep(0.3)
    return work(*asked)
tuning.fold_loss = lambda panel, features, settings, origin: slow((panel, features, settings, origin))
tuning.tune_panel(pd.read_parquet(sys.argv[1]), ("x", "z"), 12, 5, Path(sys.argv[2]), n_processes=1)
"""


def test_a_killed_run_goes_on_and_ends_with_the_same_trials(panel, tmp_path):
    panel.to_parquet(tmp_path / "panel.parquet")
    store = tmp_path / "o.db"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "panel.parquet"), str(store)], stdout=subprocess.PIPE, text=True
    )
    for _ in range(BUSY_LINES):
        assert child.stdout.readline() == "at work\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    time.sleep(0.1)
    import optuna

    study = optuna.load_study(study_name="contribution", storage=f"sqlite:///{store}")
    states = [trial.state.name for trial in study.trials]
    assert "RUNNING" in states
    assert "COMPLETE" in states
    went_on = tune_panel(panel, FEATURES, 12, 5, store, n_processes=1)
    assert len(went_on.trials) == 12
    whole = tune_panel(panel, FEATURES, 12, 5, n_processes=1)
    strip = [replace(trial, number=0) for trial in went_on.trials]
    assert strip == [replace(trial, number=0) for trial in whole.trials]
    assert went_on.settings == whole.settings


def test_two_runs_on_one_study_at_once_end_with_the_fixed_number_of_trials(panel, tmp_path):
    """Each used to count only what was finished, so that both began the last batch."""
    panel.to_parquet(tmp_path / "panel.parquet")
    store = tmp_path / "o.db"
    words = [sys.executable, "-c", KILLED, str(tmp_path / "panel.parquet"), str(store)]
    both = [subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for child in both:
        _, why = child.communicate(timeout=300)
        assert child.returncode == 0, why
    import optuna

    study = optuna.load_study(study_name="contribution", storage=f"sqlite:///{store}")
    finished = [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]
    assert len(finished) == 12
    assert not [trial for trial in study.trials if trial.state.name == "RUNNING"]
    owners = {trial.user_attrs["owner"] for trial in finished}
    assert len(owners) == 2, "both must have had a part, or nothing was shared"
    assert len(tune_panel(panel, FEATURES, 12, 5, store, n_processes=1).trials) == 12


def test_a_trial_whose_owner_is_not_known_yet_is_left_alone(panel, tmp_path):
    """Between its begin and the note of its owner another process may look."""
    import optuna

    from training import tuning

    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'o.db'}")
    begun, nobodys = study.ask(), study.ask()
    later = threading.Timer(0.1, lambda: begun.set_user_attr("owner", f"{socket.gethostname()}:{os.getppid()}"))
    later.start()
    tuning._drop_orphans(study)
    later.join()
    states = {trial.number: trial.state.name for trial in study.trials}
    assert states == {begun.number: "RUNNING", nobodys.number: "FAIL"}


BUSY_LINES = 22  # one batch of four trials on four folds, and a part of the next
