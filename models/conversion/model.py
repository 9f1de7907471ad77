"""The conversion model: pooled logistic, trees for the rest, calibration, findings; one fit, one set of parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from features.moments import NEVER
from models.conversion import calibration
from models.conversion.backtest import OutOfTime, predict_out_of_time
from models.conversion.calibration import Calibrator
from models.conversion.columns import PairColumns
from models.conversion.design import Floats, Mode
from models.conversion.findings import Findings, choose_mode, confirmed_by_closed, find_effects
from models.conversion.pooled import FitOptions, Labels
from models.conversion.predictor import PooledModel, Trained, mean_logit, train_pooled
from models.conversion.residual import ResidualTrees, fit_residual
from models.conversion.timing import TimeToClose

TREES: Final = "conversion_residual"
_Z90: Final = 1.6448536269514722
_MOST_SEED = 2**31 - 1
_MATURE = 0.8


_LEAST_KEPT: Final = 0.2


@dataclass(frozen=True)
class Prediction:
    """Chance that a lead is ever won in a rep's hands, its 90 % interval, and the calibrated log-odds; equal shapes.

    `logit_sd` is the standard deviation of the log-odds.
    """

    win_probability: Floats
    ci_low: Floats
    ci_high: Floats
    logit: Floats
    logit_sd: Floats

    def left_out(self, y: Floats) -> Floats:
        """Chances as they would be had no pair's own fate been known: y (n,) is 1, 0 or NaN where it is open.

        A training pair's fate pulled its own log-odds by about variance x (y - p) / (1 - variance p (1 - p)). Others
        may learn from these chances as from a new pair's. Cook and Weisberg (1982), Residuals and Influence, ch. 5.
        """
        p, variance = self.win_probability, self.logit_sd**2
        kept = np.maximum(1.0 - variance * p * (1.0 - p), _LEAST_KEPT)
        pull = np.where(np.isnan(y), 0.0, variance * (np.nan_to_num(y) - p) / kept)
        return np.asarray(expit(self.logit - pull), dtype=np.float64)


@dataclass(frozen=True)
class ConversionModel:
    """Win probability of lead x rep pairs."""

    columns: PairColumns
    pooled: PooledModel
    residual: ResidualTrees | None
    calibrator: Calibrator
    times: TimeToClose
    findings: Findings

    @classmethod
    def fit(
        cls,
        pairs: pd.DataFrame,
        columns: PairColumns,
        rng: np.random.Generator,
        as_of: int | None = None,
        n_sims: int | None = None,
        mode: Mode | None = None,
    ) -> ConversionModel:
        """Model of a pairs frame: `lead_id, rep_id, as_of, y, resolved_at` and the columns named.

        `as_of`: the moment the frame was built at, which ages open leads; by default just after its newest time.
        Without `mode` the data decide it. Row order and the reps' names change nothing.
        """
        # Many small matrices: threads of the linear algebra cost more than they give, and change the last bits.
        with threadpool_limits(limits=1):
            return cls._fit(_in_time_order(pairs), columns, rng, as_of, n_sims, mode)

    @classmethod
    def _fit(
        cls,
        frame: pd.DataFrame,
        columns: PairColumns,
        rng: np.random.Generator,
        as_of: int | None,
        n_sims: int | None,
        mode: Mode | None,
    ) -> ConversionModel:
        now = as_of if as_of is not None else _newest(frame) + 1
        alone = columns.without_groups()  # or a desk whose teams differ would seem to have like reps
        full = train_pooled(frame, alone, "pairs", now)
        interaction, rep_effect = find_effects(full, rng, n_sims)
        rep_effect = confirmed_by_closed(rep_effect, frame, alone, now, rng)
        chosen = mode or choose_mode(interaction, rep_effect)
        same = chosen == "pairs" and alone == columns
        guess = None if alone == columns else FitOptions(guess=full.fit.variances)
        trained = full if same else train_pooled(frame, columns, chosen, now, guess)
        early = predict_out_of_time(frame, columns, chosen, trained)
        labels = _labels_at(trained, early)
        seed = int(rng.integers(_MOST_SEED))
        residual, added = fit_residual(frame, columns, chosen, early, labels, seed)
        before = mean_logit(early.mean + added, early.variance)
        # What little data said of itself is no guide to what much data says: the first third of the folds is left out.
        usable = np.isfinite(before) & (early.fold >= early.n_folds // 3)
        calibrator = Calibrator.fit(before[usable], _rows(labels, usable)) if usable.any() else Calibrator()
        scores = _score(before, labels, early, trained, rng)
        components = {name: float(np.sqrt(full.fit.variances[name])) for name in full.fit.variance_sd}
        y = trained.labels.y
        findings = Findings(
            interaction=interaction, rep_effect=rep_effect, routing_mode=chosen, components=components,
            n=len(frame), n_won=int((y == 1).sum()), n_open=int(np.isnan(y).sum()),
            residual_gain=residual.gain if residual else 0.0, residual_weight=residual.weight if residual else 0.0,
            **scores,
        )  # fmt: skip
        return cls(columns, trained.model, residual, calibrator, trained.times, findings)

    @property
    def pair_names(self) -> tuple[str, ...]:
        """Pair columns that move a prediction; others need not be built."""
        known = {term.name for term in self.pooled.design.numbers if term.side == "pair"}
        known |= set(self.residual.names) if self.residual is not None else set()
        return tuple(name for name in self.columns.pair_numeric if name in known)

    def predict(self, frame: pd.DataFrame) -> Prediction:
        """Predictions of pairs, arrays (n,); columns as in training, missing ones count as not known."""
        mean, variance = self.pooled.predict(frame)
        if self.residual is not None and len(frame):
            mean = mean + self.residual.predict(self.residual.features(frame))
        return self._finish(mean, variance)

    def predict_matrix(
        self, leads: pd.DataFrame, reps: pd.DataFrame, pair_columns: Mapping[str, Floats] | None = None
    ) -> Prediction:
        """Predictions of every lead (L rows, lead columns) with every rep (R rows, rep columns, rep_id): arrays (L, R).

        `pair_columns`: (L, R) values by name.
        """
        mean, variance = self.pooled.predict_matrix(leads, reps, pair_columns)
        if self.residual is not None and mean.size:
            mean = mean + self.residual.predict_matrix(leads, reps, pair_columns)
        return self._finish(mean, variance)

    def _finish(self, mean: Floats, variance: Floats) -> Prediction:
        logit = self.calibrator.apply(mean_logit(mean, variance))
        half = _Z90 * np.sqrt(variance)
        low, high = self.calibrator.apply(mean - half), self.calibrator.apply(mean + half)
        spread = abs(self.calibrator.slope) * np.sqrt(variance)
        return Prediction(expit(logit), expit(np.minimum(low, logit)), expit(np.maximum(high, logit)), logit, spread)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, str]]:
        """JSON-able dict and LightGBM texts by name."""
        parts: dict[str, Any] = {
            "columns": self.columns.to_json(),
            "pooled": self.pooled.to_parts(),
            "calibrator": self.calibrator.to_parts(),
            "times": self.times.to_parts(),
            "findings": self.findings.to_json(),
            "residual": None,
        }
        texts: dict[str, str] = {}
        if self.residual is not None:
            parts["residual"], texts[TREES] = self.residual.to_parts()
        return parts, texts

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any], texts: Mapping[str, str]) -> ConversionModel:
        """Model as `to_parts` wrote it, predicting the same bits."""
        saved = parts["residual"]
        return cls(
            PairColumns.from_json(parts["columns"]),
            PooledModel.from_parts(parts["pooled"]),
            None if saved is None else ResidualTrees.from_parts(saved, texts[TREES]),
            Calibrator.from_parts(parts["calibrator"]),
            TimeToClose.from_parts(parts["times"]),
            Findings.from_json(parts["findings"]),
        )


def _in_time_order(pairs: pd.DataFrame) -> pd.DataFrame:
    keys = [key for key in ("as_of", "lead_id") if key in pairs.columns]
    return pairs.sort_values(keys, kind="stable", ignore_index=True)


def _newest(frame: pd.DataFrame) -> int:
    resolved = frame["resolved_at"].to_numpy(dtype=np.int64)
    times = np.concatenate([frame["as_of"].to_numpy(dtype=np.int64), resolved[resolved != NEVER]])
    return int(times.max(initial=0))


def _labels_at(trained: Trained, early: OutOfTime) -> Labels:
    return _rows(trained.labels, early.rows)


def _rows(labels: Labels, rows: npt.NDArray[Any]) -> Labels:
    return Labels(labels.y[rows], labels.log_ratio[rows])


def _mature(trained: Trained, early: OutOfTime, wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(n,) wanted leads old enough that most of their kind are resolved; all wanted where few are."""
    days, source = trained.ages.days_by_now[early.rows], trained.ages.source[early.rows]
    waiting = np.maximum(trained.times.survival_win(days, source), trained.times.survival_loss(days, source))
    mature = wanted & (waiting <= 1.0 - _MATURE)
    return mature if mature.sum() >= max(200, 0.2 * wanted.sum()) else wanted


def _score(
    before: Floats, labels: Labels, early: OutOfTime, trained: Trained, rng: np.random.Generator
) -> dict[str, Any]:
    """Scores of later leads, each calibrated only on folds before its own."""
    calibrated = np.full(len(early), np.nan)
    for fold in range(1, early.n_folds):
        past = (early.fold < fold) & (early.fold >= fold // 3) & np.isfinite(before)
        mine = early.fold == fold
        calibrator = Calibrator.fit(before[past], _rows(labels, past)) if past.any() else Calibrator()
        calibrated[mine] = calibrator.apply(before[mine])
    scored = _mature(trained, early, np.isfinite(calibrated))
    if not scored.any():
        return {}
    eta = calibrated[scored]
    p, y = expit(eta), _rows(labels, scored).responsibilities(eta)
    return {
        "ece": calibration.expected_calibration_error(p, y),
        "ece_limit": calibration.expected_ece_of_calibrated(p, 200, rng),
        "brier": calibration.brier(p, y),
        "auc": calibration.auc(p, y),
        "log_loss": calibration.log_loss(p, y),
        "n_scored": len(p),
        "reliability": calibration.reliability(p, y),
    }
