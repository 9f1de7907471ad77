"""Rival models of win probability on a pairs frame: a plain LightGBM and a plain penalised logistic regression.

Both learn from resolved hand-overs and say the chance of every lead with every rep.
"""

from __future__ import annotations

from collections.abc import Callable

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression

from models.conversion.columns import TENURE, PairColumns

Floats = npt.NDArray[np.float64]
Predict = Callable[[pd.DataFrame, pd.DataFrame], Floats]
"""(L, R) win probability of every lead of the first frame with every rep of the second."""

PENALTIES = (0.03, 0.1, 0.3, 1.0)
FITTED_TO = ("industry", "source")  # what a rep may be better at
_SKEWED = 20.0  # largest over median from which a number is a size, to be taken by its logarithm
_MOST_LEVELS = 40
_TENURE_KNOTS = (0.5, 1.0, 2.0, 4.0)


def crossed(leads: pd.DataFrame, reps: pd.DataFrame) -> pd.DataFrame:
    """Every lead with every rep, one below the other."""
    n_leads, n_reps = len(leads), len(reps)
    left = leads.iloc[np.repeat(np.arange(n_leads), n_reps)].reset_index(drop=True)
    return pd.concat([left, reps.iloc[np.tile(np.arange(n_reps), n_leads)].reset_index(drop=True)], axis=1)


class _Levels:
    """The values of text columns and the reps, as training knew them."""

    def __init__(self, pairs: pd.DataFrame, columns: PairColumns) -> None:
        self.of = {
            name: pd.Index(sorted(pairs[name].value_counts().index[:_MOST_LEVELS])) for name in columns.lead_categorical
        }
        self.reps = pd.Index(sorted(pairs["rep_id"].unique()))

    def code(self, frame: pd.DataFrame, name: str) -> npt.NDArray[np.int64]:
        """(n,) place of each row's value, -1 where it is new."""
        known = self.reps if name == "rep_id" else self.of[name]
        return np.asarray(known.get_indexer(pd.Index(frame[name])), dtype=np.int64)

    def marks(self, frame: pd.DataFrame, name: str) -> Floats:
        """(n, levels) indicators; none where the value is new."""
        known = self.reps if name == "rep_id" else self.of[name]
        return np.vstack([np.eye(len(known)), np.zeros(len(known))])[self.code(frame, name)]


def lightgbm_chances(pairs: pd.DataFrame, columns: PairColumns) -> Predict:
    """A plain LightGBM, the rep's own number among its features."""
    levels = _Levels(pairs, columns)
    numbers = [*columns.lead_numeric, *columns.rep_numeric]

    def features(frame: pd.DataFrame) -> Floats:
        codes = [levels.code(frame, name) for name in (*columns.lead_categorical, "rep_id")]
        return np.column_stack([*codes, frame[numbers].to_numpy(dtype=np.float64, na_value=np.nan)]).astype(np.float64)

    done = pairs.loc[pairs["y"].notna()]
    categories = list(range(len(columns.lead_categorical) + 1))
    data = lgb.Dataset(features(done), done["y"].to_numpy(dtype=np.float64), categorical_feature=categories)
    options = {"objective": "binary", "learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 40}
    model = lgb.train({**options, "num_threads": 1, "verbosity": -1, "seed": 1}, data, 150)

    def predict(leads: pd.DataFrame, reps: pd.DataFrame) -> Floats:
        return np.asarray(model.predict(features(crossed(leads, reps)))).reshape(len(leads), len(reps))

    return predict


def plain_chances(pairs: pd.DataFrame, columns: PairColumns) -> Predict:
    """A penalised logistic regression (rep, rep x industry, rep x source); one penalty, chosen on the latest fifth."""
    levels = _Levels(pairs, columns)
    done = pairs.loc[pairs["y"].notna()].sort_values("as_of", kind="stable")
    scale = _Numbers(done, [name for name in (*columns.lead_numeric, *columns.rep_numeric) if name != TENURE])
    fitted = [name for name in columns.lead_categorical if name in FITTED_TO]

    def features(frame: pd.DataFrame) -> Floats:
        rep = levels.marks(frame, "rep_id")
        parts = [scale.of(frame)]
        if TENURE in columns.rep_numeric:
            years = np.nan_to_num(frame[TENURE].to_numpy(dtype=np.float64, na_value=np.nan))
            parts += [np.minimum(years, knot)[:, None] for knot in _TENURE_KNOTS]
        parts += [levels.marks(frame, name) for name in columns.lead_categorical]
        parts += [(rep[:, :, None] * levels.marks(frame, name)[:, None, :]).reshape(len(frame), -1) for name in fitted]
        return np.hstack([*parts, rep])

    x, y = features(done), done["y"].to_numpy(dtype=np.float64)
    cut = int(0.8 * len(y))
    losses = {}
    for strength in PENALTIES:
        chance = LogisticRegression(C=strength, max_iter=300).fit(x[:cut], y[:cut]).predict_proba(x[cut:])[:, 1]
        losses[strength] = -float(np.mean(y[cut:] * np.log(chance) + (1 - y[cut:]) * np.log(1 - chance)))
    model = LogisticRegression(C=min(losses, key=lambda at: losses[at]), max_iter=300).fit(x, y)

    def predict(leads: pd.DataFrame, reps: pd.DataFrame) -> Floats:
        rows = [model.predict_proba(features(crossed(leads.iloc[[i]], reps)))[:, 1] for i in range(len(leads))]
        return np.array(rows).reshape(len(leads), len(reps))

    return predict


class _Numbers:
    """Numeric columns centred and scaled, sizes by their logarithm, what is missing at the mean."""

    def __init__(self, frame: pd.DataFrame, names: list[str]) -> None:
        values = frame[names].to_numpy(dtype=np.float64, na_value=np.nan)
        seen = [bool(np.isfinite(column).any()) for column in values.T]
        self._names = [name for name, known in zip(names, seen, strict=True) if known]
        values = values[:, seen]
        middle = np.nanmedian(values, axis=0)
        self._skewed = (np.nanmin(values, axis=0) >= 0) & (np.nanmax(values, axis=0) > _SKEWED * np.maximum(middle, 1))
        values = self._bent(values)
        self._mean, self._sd = np.nanmean(values, axis=0), np.maximum(np.nanstd(values, axis=0), 1e-9)

    def _bent(self, values: Floats) -> Floats:
        return np.where(self._skewed, np.log1p(np.maximum(values, 0)), values)

    def of(self, frame: pd.DataFrame) -> Floats:
        """(n, k) numbers of order one."""
        values = frame[self._names].to_numpy(dtype=np.float64, na_value=np.nan)
        return np.nan_to_num((self._bent(values) - self._mean) / self._sd)
