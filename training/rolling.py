"""Rolling origins: the models of past moments, what they said about what followed, and the forecast's backtest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.config import Config
from features.errors import RequestError
from features.messages import message
from features.outcomes import contributions
from features.tables import Tables
from models.conversion.amount import AmountModel
from models.conversion.calibration import Calibrator
from models.conversion.model import ConversionModel
from models.conversion.pooled import FitOptions
from models.conversion.predictor import train_pooled
from models.forecasting.blend import FALLBACK, Choice
from training.backtest_forecast import Backtest, BacktestSettings, Snapshot, backtest
from training.datasets import Datasets, build_datasets
from training.own_model import OwnConversion
from training.snapshot import forecast_inputs, panel_rows_now, scored_pairs, targets_of

Floats = npt.NDArray[np.float64]

N_ORIGINS = 6
FEWEST_MONTHS = 3


@dataclass(frozen=True)
class Fold:
    """Out-of-time win probabilities: pairs handed over between one origin and the next, by the model of the origin."""

    origin: int
    pairs: pd.DataFrame
    probability: Floats


def origins_of(tables: Tables, as_of: int, n_origins: int = N_ORIGINS) -> list[int]:
    """Starts of the newest months that are over at `as_of`, oldest first, each with months of history before it."""
    known = tables.known(as_of)
    at = known.assignments["assigned_at"].to_numpy(dtype=np.int64)
    if not len(at):
        return []
    first = moments.month_of(int(at.min()), tables.zone) + FEWEST_MONTHS
    last = moments.month_of(as_of, tables.zone) - 1
    months = range(max(first, last - n_origins + 1), last + 1)
    return [moments.month_start(month, tables.zone) for month in months]


def quick_conversion(
    sets: Datasets, like: ConversionModel, guess: Mapping[str, float] | None = None
) -> ConversionModel:
    """The pooled model of a backtest's origin, in the mode that the full data chose, without tests and trees.

    `guess`: variances to start from, such as those of an earlier origin.
    """
    frame = sets.pairs.sort_values(["as_of", "lead_id"], kind="stable", ignore_index=True)
    options = FitOptions(guess=guess or {})
    trained = train_pooled(frame, like.columns, like.findings.routing_mode, sets.world.as_of, options)
    base = ConversionModel(like.columns, trained.model, None, Calibrator(), trained.times, like.findings)
    return like.refitted(base, frame) if isinstance(like, OwnConversion) else base


def snapshot_of(sets: Datasets, conversion: ConversionModel, amount: AmountModel) -> Snapshot:
    """All that a forecast may know at the datasets' moment."""
    pairs = scored_pairs(sets.world, conversion, amount)
    inputs = forecast_inputs(sets.world, sets.workdays, pairs)
    rows = panel_rows_now(sets.world, sets.workdays)
    return Snapshot(inputs, sets.panel, rows, sets.spec.panel_numeric)


def roll(
    tables: Tables,
    config: Config,
    sets: Datasets,
    conversion: ConversionModel,
    settings: BacktestSettings,
    rng: np.random.Generator,
    say: Callable[[str], None],
    n_origins: int = N_ORIGINS,
) -> tuple[Backtest, list[Fold]]:
    """Forecasts from past origins with models of that time, and their win probabilities of the leads that followed."""
    as_of = sets.world.as_of
    origins = origins_of(tables, as_of, n_origins)
    folds: list[Fold] = []
    variances: dict[str, float] = {}
    ends = dict(zip(origins, [*origins[1:], as_of], strict=False))
    at = sets.pairs["as_of"].to_numpy(dtype=np.int64)

    def snapshot(origin: int) -> Snapshot:
        past = build_datasets(tables, origin, config, sets.spec)
        model = quick_conversion(past, conversion, variances)
        # A month adds little: the next origin's search starts where this one ended. Only ever forward in time.
        variances.update(model.pooled.variances)
        amount = AmountModel.fit(past.pairs, conversion.columns)
        later = sets.pairs.loc[(at >= origin) & (at < ends[origin])]
        if len(later) and (past.pairs["outcome"] == "won").any():
            folds.append(Fold(origin, later, model.predict(later).win_probability))
        return snapshot_of(past, model, amount)

    truth = contributions(tables, as_of)[["rep_id", "month", "amount"]]
    try:
        found = backtest(
            snapshot, origins, truth, as_of, rng, targets_of(tables.known(as_of)), settings,
            lambda text: say(message("progress.origin", day=text[:10])),
        )  # fmt: skip
    except RequestError:
        # Too young for a backtest: the mean is used, and said so.
        nothing = Choice(((FALLBACK, 1.0),), "too_few_origins", 0, float("nan"), float("nan"), 0.0, float("nan"))
        found = Backtest(pd.DataFrame(), nothing, {}, settings.funnel.shock_sd)
    return found, folds
