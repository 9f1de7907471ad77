"""Bring your own model of contribution: any class with these four methods is tested, gated, released and served.

    class Mine:
        def fit(self, rows, features, seed): ...     # rep_id, month, horizon, y (money), features; returns self
        def predict(self, rows): ...                 # (n,) money of whole months, row by row, from the same columns
        def to_parts(self): ...                      # JSON-able dict: no pickle ever goes into a release
        @classmethod
        def from_parts(cls, parts): ...              # the same predictions again

    fairlead train --data tables --contribution my_package.my_module:Mine

A row is a rep in a month, forecast `horizon` whole months ahead from features as of then; rows given to `fit` are of
months that are over. The model takes the panel model's place: it is fitted at every origin of the backtest, enters the
forecast, alone or mixed with the funnel, only where it did better there, and is judged by the same gate. Its quantiles
come from its own errors on the newest months. The driver report goes on explaining our boosters, fitted beside it. The
module must be installed where the release is served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, Self, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.errors import RequestError
from features.messages import message
from models.forecasting.baselines import FAN_LEVELS
from models.forecasting.contribution import ContributionModel
from models.forecasting.panel_model import PanelModel, PanelSettings
from training.own_model import find_class

Floats = npt.NDArray[np.float64]

_FEWEST_MONTHS = 4  # below, ours measures no error on held-out months either


class Contribution(Protocol):
    """What a model of one's own must do; see the module's text."""

    def fit(self, rows: pd.DataFrame, features: tuple[str, ...], seed: int) -> Self:
        """Learn from months that are over; the fitted model."""
        ...

    def predict(self, rows: pd.DataFrame) -> Floats:
        """(n,) contribution of whole months, major units."""
        ...

    def to_parts(self) -> dict[str, Any]:
        """JSON-able parameters."""
        ...

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> Self:
        """The model that `to_parts` described."""
        ...


@dataclass(frozen=True)
class OwnPanel(PanelModel):
    """Forecasts of a model of one's own; boosters and their errors are ours, for the driver report."""

    own: Any = None
    path: str = ""

    @classmethod
    def fitted(
        cls, path: str, panel: pd.DataFrame, features: Sequence[str], settings: PanelSettings | None = None
    ) -> OwnPanel:
        """The class named by `path` (module:Class), fitted on the complete months of a panel."""
        base = PanelModel.fit(panel, features, settings)
        rows = panel.loc[np.isfinite(panel["y"].to_numpy(dtype=np.float64))]
        rows = rows.sort_values(["month", "rep_id", "horizon"], kind="stable", ignore_index=True)
        kept, make = tuple(features), find_class(path)
        spread = _spread(path, make, rows, kept, base)
        own = make().fit(rows, kept, base.settings.seed)
        known = {name: getattr(base, name) for name in PanelModel.__dataclass_fields__}
        made = cls(**{**known, "spread": spread}, own=own, path=path)
        made.predict(rows, base.horizons[0])  # a model that cannot answer fails here, not when it is served
        return made

    def predict(self, frame: pd.DataFrame, horizon: int) -> Floats:
        """Contribution of whole months in major units, (n_rows,), not below 0."""
        return _answers(self.path, self.own, frame.assign(horizon=horizon))

    def to_parts(self) -> tuple[dict[str, object], dict[str, str]]:
        """JSON-able parameters and LightGBM texts."""
        parts, texts = super().to_parts()
        return {**parts, "own": {"path": self.path, "parts": self.own.to_parts()}}, texts


def fitter(path: str) -> Any:
    """What fits a panel: ours, or the class at `path`, which is looked up at once."""
    if not path:
        return PanelModel.fit
    find_class(path)
    return partial(OwnPanel.fitted, path)


def read_contribution(parts: Mapping[str, object], texts: Mapping[str, str]) -> ContributionModel:
    """The contribution model of a release, ours or one with a panel brought along."""
    model = ContributionModel.from_parts(parts, texts)
    panel = cast("Mapping[str, Any] | None", parts["panel"])
    if model.panel is None or panel is None or "own" not in panel:
        return model
    saved = panel["own"]
    own = find_class(str(saved["path"])).from_parts(saved["parts"])
    known = {name: getattr(model.panel, name) for name in PanelModel.__dataclass_fields__}
    return ContributionModel(
        model.funnel, OwnPanel(**known, own=own, path=str(saved["path"])), model.choice, model.calibrations
    )


def _answers(path: str, own: Any, rows: pd.DataFrame) -> Floats:
    money = np.asarray(own.predict(rows), dtype=np.float64)
    if money.shape != (len(rows),) or not np.isfinite(money).all():
        raise RequestError(message("own.amounts", path=path, n=len(rows)))
    return np.maximum(money, 0.0)


def _spread(path: str, make: Any, rows: pd.DataFrame, features: tuple[str, ...], base: PanelModel) -> Floats:
    """(n_horizons, 100) scaled quantiles of its errors on the newest quarter of the months; ours where months are few.

    What it learns from for that was over before the horizon of the held-out months began.
    """
    month, horizon = (rows[name].to_numpy(dtype=np.int64) for name in ("month", "horizon"))
    months = np.unique(month)
    if len(months) < _FEWEST_MONTHS:
        return base.spread
    edge = months[-max(1, round(base.settings.held_out_share * len(months)))]
    past = month < edge - horizon
    if not past.any():
        return base.spread
    trial = make().fit(rows.loc[past].reset_index(drop=True), features, base.settings.seed)
    found = []
    for at, h in enumerate(base.horizons):
        held = rows.loc[(month >= edge) & (horizon == h)].reset_index(drop=True)
        if not len(held):
            found.append(base.spread[at])
            continue
        ahead = _answers(path, trial, held)
        scaled = (held["y"].to_numpy(dtype=np.float64) - ahead) / np.sqrt(ahead + base.floor)
        found.append(np.quantile(scaled, FAN_LEVELS))
    return np.vstack(found)
