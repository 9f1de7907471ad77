"""Pictures of a training: calibration, backtest and SHAP summary, drawn without a display."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from training.backtest_forecast import PRODUCT, Backtest
from training.datasets import Datasets
from training.unit import ModelUnit

Floats = npt.NDArray[np.float64]

_SHAP_ROWS = 2_000
_SHOWN = 15


def shap_summary(unit: ModelUnit, sets: Datasets) -> pd.DataFrame:
    """`feature, horizon, mean_abs, mean`: SHAP of the panel model in major units a month over its newest rows."""
    panel = unit.contribution.panel
    if panel is None:
        return pd.DataFrame({"feature": [], "horizon": [], "mean_abs": [], "mean": []})
    parts = []
    for horizon in panel.horizons:
        rows = sets.panel.loc[(sets.panel["horizon"] == horizon).to_numpy(), list(panel.features)].tail(_SHAP_ROWS)
        raw = panel.booster(horizon).predict(
            rows.to_numpy(dtype=np.float64), pred_contrib=True, num_threads=panel.settings.n_threads
        )
        values = np.asarray(raw, dtype=np.float64)[:, :-1] * panel.scale
        mean, size = values.mean(axis=0), np.abs(values).mean(axis=0)
        parts.append(pd.DataFrame({"feature": panel.features, "horizon": horizon, "mean_abs": size, "mean": mean}))
    return pd.concat(parts, ignore_index=True).sort_values(["horizon", "mean_abs"], ascending=[True, False])


def draw_pictures(folder: Path, unit: ModelUnit, found: Backtest, sets: Datasets) -> None:
    """Write `calibration.svg`, `backtest.svg`, `shap.svg` and `shap_summary.parquet`, where they were measured."""
    folder.mkdir(parents=True, exist_ok=True)
    summary = shap_summary(unit, sets)
    summary.to_parquet(folder / "shap_summary.parquet", index=False)
    if unit.conversion.findings.reliability:
        _save(_calibration(unit), folder / "calibration.svg")
    if len(found.table):
        _save(_backtest(unit.report["backtest"]), folder / "backtest.svg")
    if len(summary):
        _save(_shap(summary), folder / "shap.svg")


def _axes(title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "fairlead", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})


def _calibration(unit: ModelUnit) -> Any:
    figure, axes = _axes("Win probability of later leads: predicted and won")
    bins = unit.conversion.findings.reliability
    x, y = [b.mean_probability for b in bins], np.array([b.rate for b in bins])
    reach = np.array([[b.rate - b.ci_low for b in bins], [b.ci_high - b.rate for b in bins]])
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.errorbar(x, y, yerr=np.maximum(reach, 0.0), fmt="o", capsize=3)
    axes.set_xlabel("predicted (mean of the bin)")
    axes.set_ylabel("share won, 90 % interval")
    return figure


def _backtest(rows: list[dict[str, Any]]) -> Any:
    """Pinball loss of each method with its interval, the product's apart in colour."""
    mine = [r for r in rows if r["level"] == "rep" and r["metric"] == "pinball" and r["estimate"] is not None]
    mine.sort(key=lambda r: float(r["estimate"]))
    figure, axes = _axes("Forecast: pinball loss of past origins, 90 % interval over origins")
    for place, row in enumerate(mine):
        low = row["estimate"] if row["low"] is None else row["low"]
        high = row["estimate"] if row["high"] is None else row["high"]
        axes.plot([low, high], [place, place], color="0.5")
        axes.plot([row["estimate"]], [place], "o", color="C3" if row["method"] == PRODUCT else "C0")
    axes.set_yticks(range(len(mine)), [str(r["method"]) for r in mine])
    axes.invert_yaxis()
    axes.set_xlabel("money a rep and month; lower is better")
    return figure


def _shap(summary: pd.DataFrame) -> Any:
    figure, axes = _axes("What the panel model goes by: mean |SHAP|, money a month")
    mean = summary.groupby("feature")["mean_abs"].mean().sort_values(ascending=False).head(_SHOWN)
    axes.barh(list(mean.index), mean.to_numpy())
    axes.invert_yaxis()
    return figure
