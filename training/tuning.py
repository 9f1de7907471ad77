"""Tuning the contribution model with Optuna, over months that each trial's model has not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from models.forecasting.panel_model import PanelModel, PanelSettings

TrialLogger = Callable[[int, dict[str, float], float], None]


def tune_panel(
    panel: pd.DataFrame,
    features: tuple[str, ...],
    n_trials: int,
    seed: int,
    storage: Path | None = None,
    study_name: str = "contribution",
    log_trial: TrialLogger | None = None,
) -> PanelSettings:
    """Settings with the lowest weighted absolute percentage error on the newest months, over `n_trials` trials.

    The plain settings are the first trial, so tuning never ends below them. TPE sampler (Bergstra et al. 2011) with a
    fixed seed; with `storage` the study is kept in SQLite and goes on where it stopped.
    """
    import optuna

    base = PanelSettings(seed=seed)
    if n_trials <= 0:
        return base
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=study_name,
        sampler=optuna.samplers.TPESampler(seed=seed),
        direction="minimize",
        storage=None if storage is None else f"sqlite:///{storage}",
        load_if_exists=True,
    )
    if not study.trials:
        study.enqueue_trial(
            {name: getattr(base, name) for name in ("learning_rate", "num_leaves", "min_leaf", "lambda_l2")}
        )

    def objective(trial: optuna.Trial) -> float:
        settings = replace(
            base,
            learning_rate=trial.suggest_float("learning_rate", 0.01, 0.15, log=True),
            num_leaves=trial.suggest_int("num_leaves", 4, 31),
            min_leaf=trial.suggest_int("min_leaf", 5, 80),
            lambda_l2=trial.suggest_float("lambda_l2", 0.1, 50.0, log=True),
        )
        errors = PanelModel.fit(panel, features, settings).errors
        loss = float(np.mean([e.wape for e in errors if np.isfinite(e.wape)] or [1.0]))
        if log_trial is not None:
            log_trial(trial.number, dict(trial.params), loss)
        return loss

    study.optimize(objective, n_trials=n_trials)
    best = study.best_params
    return replace(
        base,
        learning_rate=float(best["learning_rate"]),
        num_leaves=int(best["num_leaves"]),
        min_leaf=int(best["min_leaf"]),
        lambda_l2=float(best["lambda_l2"]),
    )
