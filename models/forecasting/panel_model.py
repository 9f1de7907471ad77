"""LightGBM on the rep x month panel: contribution on the money scale with squared error, one booster a horizon.

Always fitted, since the driver report explains it (`Booster.predict(pred_contrib=True)` times `scale` is money, and
adds up exactly under the identity loss), whether or not it enters the forecast. Its out-of-time error is part of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import lightgbm
import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.errors import RequestError
from features.messages import message
from models.forecasting.baselines import FAN_LEVELS, Fan, closed_so_far, share_left
from models.forecasting.inputs import ForecastInputs

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PanelSettings:
    """Sizes for some hundred to some ten thousand rep-months; `n_threads` 1 gives equal bytes."""

    learning_rate: float = 0.05
    num_leaves: int = 15
    min_leaf: int = 20
    lambda_l2: float = 5.0
    feature_fraction: float = 0.7
    most_rounds: int = 400
    patience: int = 30
    held_out_share: float = 0.25
    n_threads: int = 1
    seed: int = 0


@dataclass(frozen=True)
class OutOfTime:
    """Error on the newest months, by a model that saw only what was over before them.

    Money in major units; `wape_of_mean` is the error of the mean of the training months, the least to beat.
    NaN where there are too few months to hold any out.
    """

    horizon: int
    n: int
    n_months: int
    mae: float
    wape: float
    wape_of_mean: float
    r2: float


@dataclass(frozen=True)
class PanelModel:
    """Boosters by horizon. Predictions are `scale` x booster, not below 0; `spread` are scaled residual quantiles.

    `features` names the columns in the boosters' order; `spread` is (n_horizons, 100) at `FAN_LEVELS`, in units of
    sqrt(prediction + floor).
    """

    features: tuple[str, ...]
    horizons: tuple[int, ...]
    boosters: tuple[Any, ...]
    scale: float
    floor: float
    spread: Floats
    errors: tuple[OutOfTime, ...]
    settings: PanelSettings = field(default_factory=PanelSettings)

    @classmethod
    def fit(cls, panel: pd.DataFrame, features: Sequence[str], settings: PanelSettings | None = None) -> PanelModel:
        """The model of a panel `rep_id, month, as_of, horizon, y (major units; NaN while open)` and features.

        Rows without y are left out. RequestError where no month is complete or a feature is no column.
        """
        settings = settings or PanelSettings()
        lacking = [c for c in ("rep_id", "month", "horizon", "y", *features) if c not in panel.columns]
        if lacking:
            raise RequestError(message("inputs.panel_lacks", columns=tuple(lacking[:10])))
        rows = panel.loc[np.isfinite(panel["y"].to_numpy(dtype=np.float64))]
        rows = rows.sort_values(["month", "rep_id", "horizon"], kind="stable")
        if not len(rows):
            raise RequestError(message("trained.no_month"))
        scale = max(float(rows["y"].mean()), 1e-9)
        horizons = tuple(sorted(int(h) for h in rows["horizon"].unique()))
        fits = [_fit_horizon(rows.loc[rows["horizon"] == h], tuple(features), h, scale, settings) for h in horizons]
        return cls(
            tuple(features), horizons, tuple(f.booster for f in fits), scale, 0.1 * scale,
            np.vstack([f.spread for f in fits]), tuple(f.error for f in fits), settings,
        )  # fmt: skip

    def booster(self, horizon: int) -> Any:
        """LightGBM booster of a horizon, of the nearest fitted one where that is missing; output x `scale` is money."""
        nearest = min(range(len(self.horizons)), key=lambda i: (abs(self.horizons[i] - horizon), i))
        return self.boosters[nearest]

    def predict(self, frame: pd.DataFrame, horizon: int) -> Floats:
        """Contribution of whole months in major units, (n_rows,), not below 0."""
        X = frame.loc[:, list(self.features)].to_numpy(dtype=np.float64)
        raw = np.asarray(self.booster(horizon).predict(X, num_threads=self.settings.n_threads), dtype=np.float64)
        return np.maximum(raw * self.scale, 0.0)

    def fan(self, inputs: ForecastInputs, rows: pd.DataFrame, months: Integers) -> Fan:
        """Fan of each rep of canonical inputs from panel rows `rep_id, horizon, features` as of now.

        The month of as_of adds the share of working days left of its forecast to what is closed; reps without a row
        get the desk's mean.
        """
        closed, share = closed_so_far(inputs, months), share_left(inputs, months)
        first = moments.month_of(inputs.as_of, inputs.zone)
        whole = np.full(closed.shape, self.scale)
        values = np.empty((*closed.shape, len(FAN_LEVELS)))
        for h, month in enumerate(months):
            horizon = int(month) - first
            chosen = rows.loc[rows["horizon"] == horizon]
            at = inputs.rep_index(chosen["rep_id"])
            if len(chosen):
                whole[at[at >= 0], h] = self.predict(chosen, horizon)[at >= 0]
            ahead = whole[:, h] * share[:, h]
            width = np.sqrt(ahead + self.floor * share[:, h])[:, None] * self._spread(horizon)[None]
            values[:, h] = closed[:, h, None] + np.where(
                share[:, h, None] > 0, np.maximum(ahead[:, None] + width, 0), 0
            )
        return Fan(inputs.rep_ids, np.asarray(months), closed + whole * share, values, "panel")

    def _spread(self, horizon: int) -> Floats:
        nearest = min(range(len(self.horizons)), key=lambda i: (abs(self.horizons[i] - horizon), i))
        return np.asarray(self.spread[nearest], dtype=np.float64)

    def to_parts(self) -> tuple[dict[str, object], dict[str, str]]:
        """JSON-able parameters and LightGBM texts by name `horizon_<h>`."""
        parts: dict[str, object] = {
            "features": list(self.features),
            "horizons": list(self.horizons),
            "scale": self.scale,
            "floor": self.floor,
            "spread": [[float(v) for v in row] for row in self.spread],
            "errors": [{k: _finite(v) for k, v in asdict(e).items()} for e in self.errors],
            "settings": asdict(self.settings),
        }
        texts = {f"horizon_{h}": b.model_to_string() for h, b in zip(self.horizons, self.boosters, strict=True)}
        return parts, texts

    @classmethod
    def from_parts(cls, parts: Mapping[str, object], texts: Mapping[str, str]) -> PanelModel:
        """The model that `to_parts` described."""
        horizons = tuple(int(h) for h in cast("list[int]", parts["horizons"]))
        raw = cast("list[dict[str, Any]]", parts["errors"])
        errors = [_error_of({k: float("nan") if v is None else v for k, v in e.items()}) for e in raw]
        return cls(
            tuple(cast("list[str]", parts["features"])),
            horizons,
            tuple(lightgbm.Booster(model_str=texts[f"horizon_{h}"]) for h in horizons),
            float(cast("float", parts["scale"])),
            float(cast("float", parts["floor"])),
            np.array(cast("list[list[float]]", parts["spread"]), dtype=np.float64),
            tuple(errors),
            PanelSettings(**cast("dict[str, Any]", parts["settings"])),
        )


@dataclass(frozen=True)
class _HorizonFit:
    booster: Any
    spread: Floats
    error: OutOfTime


def _error_of(numbers: dict[str, Any]) -> OutOfTime:
    return OutOfTime(**numbers)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _fit_horizon(
    rows: pd.DataFrame, features: tuple[str, ...], horizon: int, scale: float, settings: PanelSettings
) -> _HorizonFit:
    """Rounds chosen on the newest months, errors measured there, then refitted on all months."""
    months = np.unique(rows["month"].to_numpy(dtype=np.int64))
    n_held = max(1, round(settings.held_out_share * len(months)))
    y = rows["y"].to_numpy(dtype=np.float64)
    if len(months) < 4:
        booster = _train(rows, features, scale, settings, 30)
        nan = float("nan")
        error = OutOfTime(horizon, 0, 0, nan, nan, nan, nan)
        return _HorizonFit(booster, _residual_quantiles(y, np.full(len(y), y.mean()), 0.1 * scale), error)
    # A row's y is known only when its month is over: an embargo of the horizon keeps the training side honest.
    edge = months[-n_held]
    past = (
        rows.loc[rows["month"] < edge - horizon] if (rows["month"] < edge - horizon).any() else rows[: len(rows) // 2]
    )
    held = rows.loc[rows["month"] >= edge]
    n_rounds = _choose_rounds(past, features, scale, settings)
    trial = _train(past, features, scale, settings, n_rounds)
    ahead = np.maximum(trial.predict(_matrix(held, features), num_threads=settings.n_threads) * scale, 0.0)
    actual = held["y"].to_numpy(dtype=np.float64)
    error = _out_of_time(actual, ahead, float(past["y"].mean()), horizon, held["month"].nunique())
    booster = _train(rows, features, scale, settings, max(1, round(n_rounds * 1.1)))
    return _HorizonFit(booster, _residual_quantiles(actual, ahead, 0.1 * scale), error)


def _choose_rounds(rows: pd.DataFrame, features: tuple[str, ...], scale: float, settings: PanelSettings) -> int:
    """Boosting rounds by early stopping on the newest months of the training side; 50 where months are too few."""
    months = np.unique(rows["month"].to_numpy(dtype=np.int64))
    if len(months) < 4:
        return 50
    edge = months[-max(1, round(settings.held_out_share * len(months)))]
    old, new = rows.loc[rows["month"] < edge], rows.loc[rows["month"] >= edge]
    booster = _train(old, features, scale, settings, settings.most_rounds, new)
    return max(int(booster.best_iteration), 5)


def _train(
    rows: pd.DataFrame, features: tuple[str, ...], scale: float, settings: PanelSettings, n_rounds: int,
    valid: pd.DataFrame | None = None,
) -> Any:  # fmt: skip
    parameters = {
        "objective": "regression_l2",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.num_leaves,
        "min_data_in_leaf": int(np.clip(len(rows) // 20, 2, settings.min_leaf)),
        "lambda_l2": settings.lambda_l2,
        "feature_fraction": settings.feature_fraction,
        "seed": settings.seed,
        "num_threads": settings.n_threads,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    names = [f"f{i}" for i in range(len(features))]  # LightGBM refuses names that its JSON cannot hold
    train = lightgbm.Dataset(_matrix(rows, features), rows["y"].to_numpy(dtype=np.float64) / scale, feature_name=names)
    if valid is None:
        return lightgbm.train(parameters, train, n_rounds)
    seen = train.create_valid(_matrix(valid, features), valid["y"].to_numpy(dtype=np.float64) / scale)
    stop = lightgbm.early_stopping(settings.patience, verbose=False)
    return lightgbm.train(parameters, train, n_rounds, valid_sets=[seen], callbacks=[stop])


def _matrix(rows: pd.DataFrame, features: tuple[str, ...]) -> Floats:
    return np.asarray(rows.loc[:, list(features)].to_numpy(dtype=np.float64), dtype=np.float64)


def _residual_quantiles(y: Floats, ahead: Floats, floor: float) -> Floats:
    scaled = (y - ahead) / np.sqrt(np.maximum(ahead, 0.0) + floor)
    return np.asarray(np.quantile(scaled, FAN_LEVELS), dtype=np.float64)


def _out_of_time(y: Floats, ahead: Floats, mean: float, horizon: int, n_months: int) -> OutOfTime:
    total = float(np.abs(y).sum())
    spread = float(((y - y.mean()) ** 2).sum())
    return OutOfTime(
        horizon=horizon,
        n=len(y),
        n_months=n_months,
        mae=float(np.abs(y - ahead).mean()),
        wape=float(np.abs(y - ahead).sum()) / total if total else float("nan"),
        wape_of_mean=float(np.abs(y - mean).sum()) / total if total else float("nan"),
        r2=1.0 - float(((y - ahead) ** 2).sum()) / spread if spread else float("nan"),
    )
