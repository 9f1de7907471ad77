"""Out-of-time predictions: at each fold's start only what was known then, outcomes too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.conversion.columns import PairColumns
from models.conversion.design import Codes, Floats, Mode
from models.conversion.pooled import QUICK
from models.conversion.predictor import Trained, train_pooled

FIRST_SHARE: Final = 0.4
_MANY_LEADS = 60_000
_FEWEST_LEADS = 300
_FEWEST_WINS = 20
_FEWEST_WINS_KNOWN = 8


@dataclass(frozen=True)
class OutOfTime:
    """Predictions of the frame's `rows` (n,), made in `fold` (n,) 0, 1, ...: mean and variance of the log-odds."""

    rows: Codes
    fold: Codes
    mean: Floats
    variance: Floats

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_folds(self) -> int:
        return int(self.fold.max()) + 1 if len(self.fold) else 0


def predict_out_of_time(frame: pd.DataFrame, columns: PairColumns, mode: Mode, trained: Trained) -> OutOfTime:
    """Expanding-window predictions of the later 60 % of a frame in time order; empty where leads or wins are few."""
    n_folds = 6 if len(frame) <= _MANY_LEADS else 4
    n, begun = len(frame), frame["as_of"].to_numpy(dtype=np.int64)
    wins = int((trained.labels.y == 1).sum())
    if n < _FEWEST_LEADS or min(wins, n - wins) < _FEWEST_WINS:
        return _join([])
    edges = np.linspace(FIRST_SHARE, 1.0, n_folds + 1)
    cuts = [int(begun[min(int(edge * n), n - 1)]) for edge in edges[:-1]]
    parts: list[tuple[Codes, Codes, Floats, Floats]] = []
    guess: dict[str, float] = {}
    for fold, cut in enumerate(cuts):
        upper = begun < cuts[fold + 1] if fold + 1 < n_folds else np.ones(n, dtype=bool)
        later = np.flatnonzero((begun >= cut) & upper)
        known = np.flatnonzero(begun < cut)
        if len(later) and _enough(frame, known, cut):
            # Variances of the fold before are a start that knows nothing later.
            model = train_pooled(frame.iloc[known], columns, mode, cut, replace(QUICK, guess=guess)).model
            guess = model.variances
            mean, variance = model.predict(frame.iloc[later])
            parts.append((later, np.full(len(later), len(parts), dtype=np.int64), mean, variance))
    return _join(parts)


def _enough(frame: pd.DataFrame, known: npt.NDArray[np.int64], cut: int) -> bool:
    y = frame["y"].to_numpy(dtype=np.float64, na_value=np.nan)[known]
    resolved = frame["resolved_at"].to_numpy(dtype=np.int64)[known] < cut
    return min(int((resolved & (y == 1)).sum()), int((resolved & (y == 0)).sum())) >= _FEWEST_WINS_KNOWN


def _join(parts: list[tuple[Codes, Codes, Floats, Floats]]) -> OutOfTime:
    if not parts:
        nothing, none = np.zeros(0, dtype=np.int64), np.zeros(0)
        return OutOfTime(nothing, nothing, none, none)
    rows, fold, mean, variance = (np.concatenate(column) for column in zip(*parts, strict=True))
    return OutOfTime(rows, fold, mean, variance)
