"""The contribution forecast as one unit of a release: funnel, panel model, what the backtest chose, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.errors import RequestError
from models.forecasting import baselines
from models.forecasting.blend import FALLBACK, SHRUNK, Choice, mix
from models.forecasting.conformal import Calibration
from models.forecasting.draws import Draws
from models.forecasting.funnel import FunnelForecaster
from models.forecasting.inputs import Changes, ForecastInputs
from models.forecasting.panel_model import PanelModel

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ContributionModel:
    """What forecasts contribution. `calibrations` by method; a method without one is used as it is."""

    funnel: FunnelForecaster
    panel: PanelModel | None
    choice: Choice
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)

    def draw(
        self,
        rng: np.random.Generator,
        inputs: ForecastInputs,
        panel_rows: pd.DataFrame | None = None,
        n_draws: int = 500,
        months: Integers | None = None,
    ) -> Draws:
        """Calibrated samples of the chosen method or mixture.

        Parameters
        ----------
        panel_rows
            `rep_id, horizon` and the panel's features as of now; needed where the choice gives the panel a weight.
        """
        inputs = inputs.canonical()
        wanted = inputs.months if months is None else months
        seed = int(rng.integers(2**63))
        parts: dict[str, Draws] = {}
        for name, _ in self.choice.weights:
            raw = draw_method(
                name, np.random.default_rng(seed), inputs, wanted, n_draws, self.funnel, self.panel, panel_rows
            )
            known = self.calibrations.get(name)
            parts[name] = raw if known is None else known.apply(raw, inputs.as_of, inputs.zone)
        return mix(parts, self.choice.weights)

    def what_if(
        self,
        rng: np.random.Generator,
        inputs: ForecastInputs,
        changes: Changes,
        panel_rows: pd.DataFrame | None = None,
        n_draws: int = 500,
    ) -> tuple[Draws, Draws]:
        """The forecast as it stands and under `changes`, from equal random numbers; a model's forecast, no effect.

        Follow-ups and extra leads move only the funnel's part; where the mean of recent months was chosen, only
        absence can change anything.
        """
        seed = int(rng.integers(2**63))
        now, then = (
            self.draw(np.random.default_rng(seed), inputs.with_changes(change), panel_rows, n_draws)
            for change in (Changes(), changes)
        )
        return now, then

    def to_parts(self) -> tuple[dict[str, object], dict[str, str]]:
        """JSON-able parameters and LightGBM texts."""
        panel, texts = (None, {}) if self.panel is None else self.panel.to_parts()
        return {
            "funnel": self.funnel.to_parts(),
            "panel": panel,
            "choice": self.choice.to_parts(),
            "calibrations": {name: c.to_parts() for name, c in sorted(self.calibrations.items())},
        }, texts

    @classmethod
    def from_parts(cls, parts: Mapping[str, object], texts: Mapping[str, str]) -> ContributionModel:
        """The model that `to_parts` described."""
        panel = parts["panel"]
        calibrations = cast("Mapping[str, Mapping[str, object]]", parts["calibrations"])
        return cls(
            FunnelForecaster.from_parts(cast("Mapping[str, object]", parts["funnel"])),
            None if panel is None else PanelModel.from_parts(cast("Mapping[str, object]", panel), texts),
            Choice.from_parts(cast("Mapping[str, object]", parts["choice"])),
            {name: Calibration.from_parts(c) for name, c in calibrations.items()},
        )


def draw_method(
    name: str,
    rng: np.random.Generator,
    inputs: ForecastInputs,
    months: Integers,
    n_draws: int,
    funnel: FunnelForecaster,
    panel: PanelModel | None = None,
    panel_rows: pd.DataFrame | None = None,
) -> Draws:
    """Uncalibrated samples of one method by name, of canonical inputs.

    `funnel`, `panel`, `mean_<n>`, `shrunk_mean`, `seasonal_naive`, `exponential_smoothing`, `stage_weights`;
    RequestError otherwise, and where the panel is asked for without its model or rows.
    """
    if name == "funnel":
        return funnel.draw(rng, inputs, months, n_draws)
    if name == "panel":
        if panel is None or panel_rows is None:
            raise RequestError("the panel's forecast needs the panel model and its feature rows")
        return baselines.fan_draws(panel.fan(inputs, panel_rows, months), inputs, rng, n_draws)
    if name.startswith("mean_") and name[5:].isdigit() and int(name[5:]) > 0:
        return baselines.fan_draws(baselines.recent_mean(inputs, months, int(name[5:])), inputs, rng, n_draws)
    rules = {
        "shrunk_mean": baselines.shrunk_mean,
        "seasonal_naive": baselines.seasonal_naive,
        "exponential_smoothing": baselines.exponential_smoothing,
        "stage_weights": baselines.stage_weights,
    }
    if name not in rules:
        raise RequestError(f"no forecast method {name!r}; there are funnel, panel, mean_<n>, {', '.join(rules)}")
    return baselines.fan_draws(rules[name](inputs, months), inputs, rng, n_draws)


METHODS = (
    "funnel", "panel", SHRUNK, "mean_3", FALLBACK, "mean_12", "seasonal_naive", "exponential_smoothing",
    "stage_weights",
)  # fmt: skip
