"""LightGBM for what the pooled model leaves: small trees on top of its out-of-time logits, kept only where they pay.

Trees learn on early folds, stop on the fold before the latest third, and are judged on that third: kept only if log
loss falls there beyond noise (paired, one-sided 5 %), at a weight shrunk by how sure that is. The rep himself is no
feature; where only reps' levels count, no tree may join a lead column with a rep column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from models.conversion.backtest import OutOfTime
from models.conversion.calibration import log_losses
from models.conversion.columns import PairColumns, without_outcomes
from models.conversion.design import Floats, LevelTerm, Mode, number_columns, text_column
from models.conversion.pooled import Labels
from models.trees import Trees, UnreadableTreesError, read_trees

_MOST_TREES: Final = 200
_PATIENCE: Final = 20
_FEWEST_ROWS: Final = 1_500
_SURE: Final = 1.6448536269514722
_MOST_LEVELS: Final = 200
_CHUNK: Final = 60_000
_PARITY_ROWS: Final = 64
_PARITY: Final = 1e-9


@dataclass(frozen=True)
class ResidualTrees:
    """Boosted trees and the share of them (0-1) that is believed; text columns enter by rank of frequency."""

    text: str
    names: tuple[str, ...]
    levels: tuple[LevelTerm, ...]
    weight: float
    gain: float

    @cached_property
    def booster(self) -> Any:
        """The LightGBM booster."""
        return lgb.Booster(model_str=self.text)

    @cached_property
    def trees(self) -> Trees | None:
        """The trees by bit masks, checked once against LightGBM on random rows; None where LightGBM has to answer."""
        return checked_trees(self)

    def features(self, frame: pd.DataFrame) -> Floats:
        """(n, F) float64 features of pairs; NaN for a column that is not there or a level not seen."""
        levels = {term.name: term for term in self.levels}
        found = np.full((len(frame), len(self.names)), np.nan)
        numbers = [k for k, name in enumerate(self.names) if name in frame.columns and name not in levels]
        found[:, numbers] = number_columns(frame, [self.names[k] for k in numbers])
        for k, name in enumerate(self.names):
            if name in levels and name in frame.columns:
                codes = levels[name].encode(text_column(frame, name))
                found[:, k] = np.where(codes < 0, np.nan, codes.astype(np.float64))
        return found

    def predict(self, features: Floats) -> Floats:
        """(n,) weighted addition to the log-odds."""
        if not len(features):
            return np.zeros(0)
        return self.weight * np.asarray(self.booster.predict(features, raw_score=True, num_threads=1))

    def contributions(self, features: Floats) -> Floats:
        """(n, F + 1) weighted SHAP values and, last, the mean."""
        return self.weight * np.asarray(self.booster.predict(features, pred_contrib=True, num_threads=1))

    def predict_matrix(
        self, leads: pd.DataFrame, reps: pd.DataFrame, pair_columns: Mapping[str, Floats] | None = None
    ) -> Floats:
        """(L, R) weighted addition to the log-odds of every lead with every rep."""
        lead_part, rep_part = self.features(leads), self.features(reps)
        of_rep = np.array([name.startswith("rep_") or name not in leads.columns for name in self.names])
        rep_part[:, ~of_rep] = 0.0
        lead_part[:, of_rep] = 0.0
        n_leads, n_reps = len(leads), len(reps)
        total = np.empty((n_leads, n_reps))
        step = max(1, _CHUNK // max(n_reps, 1))
        for at in range(0, n_leads, step):
            block = lead_part[at : at + step]
            rows = (block[:, None, :] + rep_part[None, :, :]).reshape(-1, len(self.names))
            for name, values in (pair_columns or {}).items():
                if name in self.names:
                    rows[:, self.names.index(name)] = np.asarray(values[at : at + step], dtype=np.float64).ravel()
            total[at : at + step] = self.predict(rows).reshape(len(block), n_reps)
        return total

    def to_parts(self) -> tuple[dict[str, Any], str]:
        """JSON-able dict, and LightGBM's text."""
        levels = [[term.name, term.side, list(term.levels)] for term in self.levels]
        return {"names": list(self.names), "levels": levels, "weight": self.weight, "gain": self.gain}, self.text

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any], text: str) -> ResidualTrees:
        """Trees as `to_parts` wrote them."""
        levels = tuple(LevelTerm(name, side, tuple(levels)) for name, side, levels in parts["levels"])
        return cls(text, tuple(parts["names"]), levels, parts["weight"], parts["gain"])


def checked_trees(residual: ResidualTrees) -> Trees | None:
    """The residual's trees by bit masks; None where they differ from LightGBM on random rows, or cannot be read."""
    try:
        trees = read_trees(residual.text)
    except UnreadableTreesError:
        return None
    rng = np.random.default_rng(0)
    spread = trees.nodes.threshold
    rows = rng.choice(spread, (_PARITY_ROWS, len(residual.names))) if len(spread) else np.zeros((1, 1))
    rows = rows + rng.choice([0.0, 0.0, 1.0, -1.0, np.nan], rows.shape)
    if rows.shape[1] != len(residual.names):
        rows = np.zeros((1, len(residual.names)))
    said = np.asarray(residual.booster.predict(rows, raw_score=True, num_threads=1))
    return trees if np.allclose(trees.predict(rows), said, rtol=0, atol=_PARITY) else None


@dataclass(frozen=True)
class _Task:
    """Everything a booster is trained on; rows are out-of-time rows."""

    features: Floats
    target: Floats
    weight: Floats
    offset: Floats
    parameters: dict[str, Any]

    def boost(self, rows: npt.NDArray[np.bool_], n_trees: int, stop_on: npt.NDArray[np.bool_] | None = None) -> Any:
        """Booster of the given rows, stopped where `stop_on` rows no longer gain."""
        callbacks = [lgb.early_stopping(_PATIENCE, verbose=False)] if stop_on is not None else []
        valid = [self._set(stop_on)] if stop_on is not None else []
        return lgb.train(self.parameters, self._set(rows), n_trees, valid_sets=valid, callbacks=callbacks)

    def _set(self, rows: npt.NDArray[np.bool_]) -> Any:
        return lgb.Dataset(
            self.features[rows], self.target[rows], weight=self.weight[rows], init_score=self.offset[rows]
        )


def fit_residual(
    frame: pd.DataFrame, columns: PairColumns, mode: Mode, early: OutOfTime, labels: Labels, seed: int
) -> tuple[ResidualTrees | None, Floats]:
    """Trees worth keeping or None, and (n,) log-odds they add to the out-of-time rows.

    Rows that trained the judging booster have NaN there: what trees say of their own training rows flatters them.
    """
    added = np.zeros(len(early))
    if early.n_folds < 3 or len(early) < _FEWEST_ROWS:
        return None, added
    names, levels = _columns(frame, columns, mode)
    if not names:
        return None, added
    blank = ResidualTrees("", names, levels, 1.0, 0.0)
    target = labels.responsibilities(early.mean)
    certainty = labels.weights(early.mean) / np.maximum(expit(early.mean) * expit(-early.mean), 1e-12)
    task = _Task(
        blank.features(frame.iloc[early.rows]), target, certainty, early.mean,
        _parameters(len(early), _constraints(names, mode), seed),
    )  # fmt: skip
    first_judged = early.n_folds - max(1, early.n_folds // 3)
    last, stop = early.fold >= first_judged, early.fold == first_judged - 1
    n_trees = int(task.boost(early.fold < first_judged - 1, _MOST_TREES, stop).best_iteration)
    if n_trees < 1:
        return None, added
    judged = np.asarray(task.boost(~last, n_trees).predict(task.features[last], raw_score=True, num_threads=1))
    weight, gain = _judge(early.mean[last], judged, target[last], certainty[last])
    if weight <= 0.0:
        return None, added
    added = np.where(last, 0.0, np.nan)
    added[last] = weight * judged
    booster = task.boost(np.ones(len(early), dtype=bool), n_trees)
    return ResidualTrees(booster.model_to_string(num_iteration=-1), names, levels, weight, gain), added


def _judge(offset: Floats, tree: Floats, y: Floats, certainty: Floats) -> tuple[float, float]:
    """Weight 0-1 of the trees and their gain in log loss a lead; 0 where the gain may be chance."""
    before = log_losses(offset, y)
    candidates = np.linspace(0.1, 1.0, 10)
    losses = [float((certainty * log_losses(offset + share * tree, y)).sum()) for share in candidates]
    best = float(candidates[int(np.argmin(losses))])
    # Judged at full weight: choosing the best share on the judging rows would flatter it.
    gains = certainty * (before - log_losses(offset + 0.5 * tree, y))
    error = float(gains.std() / np.sqrt(len(gains)))
    z = float(gains.mean()) / error if error > 0 else 0.0
    if z < _SURE:
        return 0.0, 0.0
    return best * (1.0 - 1.0 / z**2), float(gains.mean())


def _columns(frame: pd.DataFrame, columns: PairColumns, mode: Mode) -> tuple[tuple[str, ...], tuple[LevelTerm, ...]]:
    numbers = list(columns.lead_numeric)
    if mode != "lead_only":
        numbers += without_outcomes(columns.rep_numeric)
    if mode == "pairs":
        numbers += without_outcomes(columns.pair_numeric)
    numbers = [name for name in numbers if frame[name].nunique(dropna=False) > 1]
    levels: list[LevelTerm] = []
    for name in columns.lead_categorical:
        counts = pd.Series(text_column(frame, name)).value_counts()
        ordered = [level for _, level in sorted((-int(count), str(level)) for level, count in counts.items())]
        if len(ordered) > 1:
            levels.append(LevelTerm(name, "lead", tuple(ordered[:_MOST_LEVELS])))
    return tuple(numbers + [term.name for term in levels]), tuple(levels)


def _constraints(names: tuple[str, ...], mode: Mode) -> list[list[int]]:
    if mode != "reps":
        return []
    of_rep = [at for at, name in enumerate(names) if name.startswith("rep_")]
    of_lead = [at for at in range(len(names)) if at not in set(of_rep)]
    return [part for part in (of_lead, of_rep) if part]


def _parameters(n: int, constraints: list[list[int]], seed: int) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "objective": "cross_entropy", "metric": "cross_entropy", "learning_rate": 0.05, "num_leaves": 8,
        "min_data_in_leaf": max(40, n // 400), "lambda_l2": 10.0, "feature_fraction": 0.7, "bagging_fraction": 0.8,
        "bagging_freq": 1, "seed": seed, "num_threads": 1, "deterministic": True, "force_col_wise": True,
        "verbosity": -1,
    }  # fmt: skip
    if constraints:
        parameters["interaction_constraints"] = constraints
    return parameters
