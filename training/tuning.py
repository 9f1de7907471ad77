"""Tuning the contribution model with Optuna over rolling origins: each trial forecasts months that it has not seen.

TPE (Bergstra et al. 2011) proposes `BATCH` trials at once and several processes fit them; a trial that falls behind the
median of the others on the folds so far is pruned. A batch's proposals come from a sampler seeded by what was finished
before it, and results are told in order, so that neither the number of processes nor a kill and resume changes them.
Trainings that share a study at once end with the same number of trials, though which ones depends on who came first.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.errors import RequestError
from features.messages import message
from models.forecasting.panel_model import PanelModel, PanelSettings

BATCH = 4
_WAIT_SECONDS = 0.5
_TRIES = 10
N_FOLDS = 4
FEWEST_TRAINING_MONTHS = 3
TUNED = ("learning_rate", "num_leaves", "min_leaf", "lambda_l2", "feature_fraction")

FoldLoss = Callable[[Sequence[tuple[PanelSettings, int]]], list[float]]


@dataclass(frozen=True)
class TrialResult:
    """A finished trial: its number, parameters, loss after each fold, and whether it was pruned."""

    number: int
    parameters: Mapping[str, float]
    losses: tuple[float, ...]
    pruned: bool


@dataclass(frozen=True)
class Tuned:
    """The best settings, and every finished trial by number."""

    settings: PanelSettings
    trials: tuple[TrialResult, ...]


def fold_origins(panel: pd.DataFrame, n_folds: int = N_FOLDS) -> list[int]:
    """The newest moments of the panel with outcomes after them and enough complete months before, oldest first."""
    known = panel.loc[np.isfinite(panel["y"].to_numpy(dtype=np.float64))]
    found = []
    for origin in sorted(int(v) for v in known["as_of"].unique()):
        past = known.loc[known["month"] < _first_month(known, origin)]
        if past["month"].nunique() >= FEWEST_TRAINING_MONTHS:
            found.append(origin)
    return found[-n_folds:]


def fold_loss(panel: pd.DataFrame, features: tuple[str, ...], settings: PanelSettings, origin: int) -> float:
    """Weighted absolute percentage error of the months forecast at `origin`, learnt from months over by then."""
    known = panel.loc[np.isfinite(panel["y"].to_numpy(dtype=np.float64))]
    model = PanelModel.fit(known.loc[known["month"] < _first_month(known, origin)], features, settings)
    ahead = known.loc[known["as_of"] == origin]
    error = total = 0.0
    for horizon, rows in ahead.groupby("horizon"):
        y = rows["y"].to_numpy(dtype=np.float64)
        error += float(np.abs(y - model.predict(rows, int(str(horizon)))).sum())
        total += float(np.abs(y).sum())
    return error / total if total > 0 else 1.0


def _first_month(known: pd.DataFrame, origin: int) -> int:
    """The month that an origin lies in: that of its shortest horizon."""
    rows = known.loc[known["as_of"] == origin]
    return int((rows["month"] - rows["horizon"]).min())


def tune_panel(
    panel: pd.DataFrame,
    features: tuple[str, ...],
    n_trials: int,
    seed: int,
    storage: Path | None = None,
    study_name: str = "contribution",
    n_processes: int | None = None,
    say: Callable[[str], None] | None = None,
) -> Tuned:
    """Settings with the lowest mean loss over the folds after `n_trials` finished trials, the plain ones among them.

    With `storage` the study is kept in SQLite: one that was killed goes on from what is finished, and several processes
    that work on it at once share the trials among them and end with `n_trials` finished ones together. RequestError
    where the panel has too few months.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    base = PanelSettings(seed=seed)
    origins = fold_origins(panel)
    if not origins:
        raise RequestError(message("trained.no_tuning"))
    study = _opened(study_name, None if storage is None else f"sqlite:///{storage}")
    with _fold_losses(panel, features, n_trials, n_processes) as losses:
        while len(_finished(study)) < n_trials:
            _drop_orphans(study)
            n_free = n_trials - len(_counted(study))
            if n_free <= 0:  # the last ones are in other processes' hands, which may finish or die
                time.sleep(_WAIT_SECONDS)
                continue
            _run_batch(study, base, origins, min(BATCH, n_free), seed, losses, n_trials)
            if say is not None:
                say(message("progress.trials", done=len(_finished(study)), n=n_trials))
    done = _finished(study)
    complete = [trial for trial in done if trial.state.name == "COMPLETE"]
    best = min(complete, key=lambda trial: (trial.value, trial.number))
    return Tuned(_settings(base, best.params), tuple(_result(trial) for trial in done))


def _opened(name: str, storage: str | None) -> Any:
    """The study, made where there is none. Two processes that make its tables at once get in each other's way once."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    for left in reversed(range(_TRIES)):
        try:
            return optuna.create_study(study_name=name, storage=storage, direction="minimize", load_if_exists=True)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError):
            if left == 0:
                raise
            time.sleep(_WAIT_SECONDS)
    raise AssertionError


def _finished(study: Any) -> list[Any]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in ("COMPLETE", "PRUNED")]


def _counted(study: Any) -> list[Any]:
    """Trials that are finished or in work."""
    return [
        trial for trial in study.get_trials(deepcopy=False) if trial.state.name in ("COMPLETE", "PRUNED", "RUNNING")
    ]


def _has_place(study: Any, number: int, n_trials: int) -> bool:
    """Whether a trial just begun is among the first `n_trials`: two processes may have begun their last at once."""
    return sum(trial.number < number for trial in _counted(study)) < n_trials


def _result(trial: Any) -> TrialResult:
    losses = tuple(float(value) for _, value in sorted(trial.intermediate_values.items()))
    return TrialResult(trial.number, dict(trial.params), losses, trial.state.name == "PRUNED")


def _drop_orphans(study: Any) -> None:
    """Fail the running trials of processes of this machine that are no more, and those that this one left behind.

    A trial has no owner yet in the moment after it was begun: only one that stays without is nobody's.
    """
    unowned = {trial.number for trial in _running(study) if not trial.user_attrs.get("owner")}
    if unowned:
        time.sleep(_WAIT_SECONDS)
    for trial in _running(study):
        owner = str(trial.user_attrs.get("owner", ""))
        host, _, pid = owner.rpartition(":")
        here = host == socket.gethostname() and (int(pid) == os.getpid() or not _alive(int(pid)))
        if here or (not owner and trial.number in unowned):
            study.tell(trial.number, state=_state("FAIL"), skip_if_finished=True)


def _running(study: Any) -> list[Any]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "RUNNING"]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _state(name: str) -> Any:
    import optuna

    return optuna.trial.TrialState[name]


def _run_batch(
    study: Any, base: PanelSettings, origins: Sequence[int], size: int, seed: int, losses: FoldLoss, n_trials: int
) -> None:
    """Propose, fit and judge one batch; a fold at a time, so that a hopeless trial costs few."""
    import optuna

    done = _finished(study)
    study.sampler = optuna.samplers.TPESampler(seed=seed + 1009 * len(done), constant_liar=True, n_startup_trials=8)
    trials: list[tuple[Any, PanelSettings]] = []
    for _ in range(size):
        if not trials and not any(_is_base(trial, base) for trial in _counted(study)):
            study.enqueue_trial({name: getattr(base, name) for name in TUNED}, skip_if_exists=False)
        trial = study.ask()
        trial.set_user_attr("owner", f"{socket.gethostname()}:{os.getpid()}")
        if not _has_place(study, trial.number, n_trials):
            study.tell(trial, state=_state("FAIL"))
            break
        trials.append((trial, _suggest(trial, base)))
    values: dict[int, list[float]] = {trial.number: [] for trial, _ in trials}
    living = list(trials)
    for fold, origin in enumerate(origins):
        found = losses([(settings, origin) for _, settings in living])
        for (trial, _), value in zip(living, found, strict=True):
            values[trial.number].append(value)
            trial.report(float(np.mean(values[trial.number])), fold)
        if fold + 1 < len(origins):
            living = [item for item in living if not _falls_behind(item[0].number, values, done, fold)]
    for trial, settings in trials:
        if len(values[trial.number]) < len(origins) and settings != base:
            study.tell(trial, state=_state("PRUNED"))
        else:
            study.tell(trial, float(np.mean(values[trial.number])))


def _falls_behind(number: int, values: Mapping[int, list[float]], done: Sequence[Any], fold: int) -> bool:
    """Whether a trial's mean so far lies above the median of the finished trials at the same fold (Golovin 2017)."""
    others = [trial.intermediate_values[fold] for trial in done if fold in trial.intermediate_values]
    return len(others) >= BATCH and float(np.mean(values[number])) > float(np.median(others))


def _is_base(trial: Any, base: PanelSettings) -> bool:
    return all(trial.params.get(name) == getattr(base, name) for name in TUNED)


def _suggest(trial: Any, base: PanelSettings) -> PanelSettings:
    return replace(
        base,
        learning_rate=trial.suggest_float("learning_rate", 0.01, 0.15, log=True),
        num_leaves=trial.suggest_int("num_leaves", 4, 31),
        min_leaf=trial.suggest_int("min_leaf", 5, 80),
        lambda_l2=trial.suggest_float("lambda_l2", 0.1, 50.0, log=True),
        feature_fraction=trial.suggest_float("feature_fraction", 0.3, 1.0),
    )


def _settings(base: PanelSettings, parameters: Mapping[str, Any]) -> PanelSettings:
    return replace(
        base,
        learning_rate=float(parameters["learning_rate"]),
        num_leaves=int(parameters["num_leaves"]),
        min_leaf=int(parameters["min_leaf"]),
        lambda_l2=float(parameters["lambda_l2"]),
        feature_fraction=float(parameters["feature_fraction"]),
    )


@contextmanager
def _fold_losses(
    panel: pd.DataFrame, features: tuple[str, ...], n_trials: int, n_processes: int | None
) -> Iterator[FoldLoss]:
    """Losses of (settings, origin) pairs, in this process or in several."""
    wanted = n_processes if n_processes is not None else min(len(os.sched_getaffinity(0)), BATCH)
    columns = ["rep_id", "month", "as_of", "horizon", "y", *features]
    frame = panel.loc[:, columns]
    if wanted <= 1 or n_trials < BATCH:
        yield lambda asked: [fold_loss(frame, features, settings, origin) for settings, origin in asked]
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(wanted, context, _start_worker, (frame, features)) as pool:
        yield lambda asked: list(pool.map(_work, asked))


_worker: dict[str, Any] = {}


def _start_worker(panel: pd.DataFrame, features: tuple[str, ...]) -> None:
    _worker.update(panel=panel, features=features)


def _work(asked: tuple[PanelSettings, int]) -> float:
    return fold_loss(_worker["panel"], _worker["features"], *asked)
