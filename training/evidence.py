"""What the gate judges, gathered: losses on the folds that challenger and champion share, groups, ranks, latency."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import spearmanr

from features import moments
from features.messages import message
from models.conversion import calibration
from models.conversion.model import ConversionModel
from models.forecasting import metrics
from models.forecasting.draws import QUANTILES
from training.backtest_forecast import PRODUCT, Backtest
from training.datasets import Datasets, late_rows
from training.gate import TENURES, Evidence, GroupRatio, Paired, group_name
from training.own_model import OwnConversion
from training.release import Release
from training.rolling import Fold
from training.unit import ModelUnit

Floats = npt.NDArray[np.float64]

CONVERSION_LOSS = message("check.conversion_loss")
FORECAST_LOSS = message("check.forecast_loss")
FEWEST_OF_A_GROUP = 50
_FOLD_KEYS = ["origin", "rep_id", "month"]
_TENURE = np.array(TENURES)


def fold_document(found: Backtest, folds: Sequence[Fold]) -> dict[str, Any]:
    """What a later challenger is compared with, column by column: forecast losses and win probabilities by fold."""
    return {"forecast": _forecast_columns(found), "conversion": _conversion_columns(folds)}


def gather(unit: ModelUnit, sets: Datasets, found: Backtest, folds: Sequence[Fold], before: Release | None) -> Evidence:
    """Evidence on a challenger; `before` is the release it would replace."""
    findings = unit.conversion.findings
    cases = _conversion_cases(folds)
    rival = _rival_probability(cases, before)
    losses: dict[str, Paired | None] = {
        CONVERSION_LOSS: _conversion_pair(cases, rival, sets.world.tables.zone),
        FORECAST_LOSS: _forecast_pair(found, before),
    }
    return Evidence(
        losses=losses,
        newer_data=before is None or unit.data_until > before.data_until,
        ece=float(findings.ece),
        ece_calibrated_95=float(findings.ece_limit),
        late_features=late_rows(sets),
        ece_champion=_champion_ece(before),
        groups=_groups(cases, rival, sets),
        rank_correlation=_rank_correlation(unit, before),
        latency_ms=scoring_ms(unit, sets),
    )


def with_fold_scores(conversion: ConversionModel, folds: Sequence[Fold], rng: np.random.Generator) -> ConversionModel:
    """A model brought along with its own scores on the folds in its findings; ours as it is, scored while fitted."""
    cases = _conversion_cases(folds)
    if not isinstance(conversion, OwnConversion) or not len(cases):
        return conversion
    p, y = cases["p"].to_numpy(dtype=np.float64), cases["y"].to_numpy(dtype=np.float64)
    scored = replace(
        conversion.findings,
        ece=calibration.expected_calibration_error(p, y),
        ece_limit=calibration.expected_ece_of_calibrated(p, 200, rng),
        brier=calibration.brier(p, y),
        auc=calibration.auc(p, y),
        log_loss=calibration.log_loss(p, y),
        n_scored=len(p),
        reliability=calibration.reliability(p, y),
    )
    return replace(conversion, findings=scored)


def segment_tables(found: Backtest, folds: Sequence[Fold]) -> dict[str, list[dict[str, Any]]]:
    """Out-of-time quality by source and tenure: rows of win probability and of the forecast."""
    cases, conversion = _conversion_cases(folds), []
    for by in ("source", "tenure"):
        for label, part in cases.groupby(by):
            group = str(label)
            y, p = part["y"].to_numpy(dtype=np.float64), part["p"].to_numpy(dtype=np.float64)
            row = {"by": by, "group": group, "n": len(part), "won": float(y.sum()), "predicted": float(p.sum())}
            conversion.append({**row, "log_loss": float(_log_loss(y, p).mean())})
    forecast = []
    if len(found.table):
        mine = found.table.loc[(found.table["level"] == "rep") & (found.table["method"] == PRODUCT)]
        for tenure, rows in mine.groupby(_tenure(mine["tenure_years"].to_numpy(dtype=np.float64))):
            y, mean = rows["y"].to_numpy(dtype=np.float64), rows["mean"].to_numpy(dtype=np.float64)
            total = float(np.abs(y).sum())
            forecast.append(
                {
                    "by": "tenure",
                    "group": str(tenure),
                    "n": len(rows),
                    "wape": float(np.abs(y - mean).sum()) / total if total else float("nan"),
                    "bias": float(mean.sum() / y.sum()) - 1.0 if y.sum() else float("nan"),
                    "covered": float(((rows["p10"] <= rows["y"]) & (rows["y"] <= rows["p90"])).mean()),
                }
            )
    return {"conversion": conversion, "forecast": forecast}


def _served(found: Backtest) -> pd.DataFrame:
    """Rep-months of the backtest with the quantiles that the release's own choice of methods gives, and tenure.

    The nested product of the backtest would be unfair here: how much past it may choose by depends on where the window
    of origins begins, which differs between two trainings.
    """
    if not len(found.table):
        return pd.DataFrame(columns=[*_FOLD_KEYS, "y", "tenure_years", *QUANTILES])
    reps = found.table.loc[found.table["level"] == "rep"]
    parts = [reps.loc[reps["method"] == name].set_index(_FOLD_KEYS).sort_index() for name, _ in found.choice.weights]
    shared = parts[0].index
    for part in parts[1:]:
        shared = shared.intersection(part.index)
    values = np.zeros((len(shared), len(QUANTILES)))
    for (_, share), part in zip(found.choice.weights, parts, strict=True):
        values += share * part.loc[shared, list(QUANTILES)].to_numpy(dtype=np.float64)
    told = parts[0].loc[shared, ["y", "tenure_years"]].reset_index()
    return told.assign(**{name: values[:, at] for at, name in enumerate(QUANTILES)})


def _forecast_columns(found: Backtest) -> dict[str, list[Any]]:
    mine = _served(found)
    if not len(mine):
        return {"origin": [], "rep_id": [], "month": [], "loss": []}
    loss = metrics.pinball_loss(mine["y"].to_numpy(dtype=np.float64), mine[list(QUANTILES)].to_numpy(dtype=np.float64))
    return {
        "origin": [int(v) for v in mine["origin"]],
        "rep_id": [str(v) for v in mine["rep_id"]],
        "month": [int(v) for v in mine["month"]],
        "loss": [float(v) for v in loss],
    }


def _conversion_columns(folds: Sequence[Fold]) -> dict[str, list[Any]]:
    return {
        "origin": [fold.origin for fold in folds for _ in range(len(fold.pairs))],
        "lead_id": [str(lead) for fold in folds for lead in fold.pairs["lead_id"]],
        "p": [float(p) for fold in folds for p in fold.probability],
    }


def _conversion_cases(folds: Sequence[Fold]) -> pd.DataFrame:
    """Resolved leads of all folds: origin, lead_id, rep_id, as_of, y, p, source, tenure."""
    columns = ["lead_id", "rep_id", "as_of", "y", "source", "rep_tenure_years"]
    parts = [
        fold.pairs.loc[fold.pairs["maturity"], columns].assign(
            origin=fold.origin, p=fold.probability[fold.pairs["maturity"].to_numpy(dtype=bool)]
        )
        for fold in folds
    ]
    cases = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*columns, "origin", "p"])
    return cases.assign(tenure=_tenure(cases["rep_tenure_years"].to_numpy(dtype=np.float64)))


def _tenure(years: Floats) -> npt.NDArray[np.object_]:
    place = np.where(np.isfinite(years), np.searchsorted([1.0, 2.0], years, side="right"), 3)
    return np.asarray(_TENURE[place], dtype=object)


def _folds_of(before: Release | None, part: str) -> pd.DataFrame:
    """Fold columns that a release carries; empty where it carries none."""
    held: Any = {} if before is None else before.documents.get("folds", {})
    columns: Mapping[str, list[Any]] = held.get(part, {}) if isinstance(held, Mapping) else {}
    return pd.DataFrame(dict(columns))


def _rival_probability(cases: pd.DataFrame, before: Release | None) -> Floats:
    """(n,) what the champion's model of the same origin said about each case, NaN where it said nothing."""
    theirs = _folds_of(before, "conversion")
    if not len(theirs) or not len(cases):
        return np.full(len(cases), np.nan)
    told = theirs.drop_duplicates(["origin", "lead_id"]).set_index(["origin", "lead_id"])["p"]
    keys = pd.MultiIndex.from_arrays([cases["origin"].astype("int64"), cases["lead_id"].astype(object)])
    return np.asarray(told.reindex(keys).to_numpy(dtype=np.float64))


def _conversion_pair(cases: pd.DataFrame, rival: Floats, zone: str) -> Paired | None:
    both = np.isfinite(rival)
    if not both.any():
        return None
    kept = cases.loc[both]
    y = kept["y"].to_numpy(dtype=np.float64)
    return Paired(
        _log_loss(y, kept["p"].to_numpy(dtype=np.float64)),
        _log_loss(y, rival[both]),
        moments.months_of(kept["as_of"].to_numpy(dtype=np.int64), zone),
        {"source": kept["source"].to_numpy(dtype=object), "tenure": kept["tenure"].to_numpy(dtype=object)},
    )


def _log_loss(y: Floats, p: Floats) -> Floats:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(-(y * np.log(p) + (1 - y) * np.log(1 - p)), dtype=np.float64)


def _forecast_pair(found: Backtest, before: Release | None) -> Paired | None:
    ours, theirs = pd.DataFrame(_forecast_columns(found)), _folds_of(before, "forecast")
    if not len(ours) or not len(theirs):
        return None
    keys = _FOLD_KEYS
    both = ours.merge(theirs.drop_duplicates(keys), on=keys, suffixes=("", "_before"), validate="one_to_one")
    if not len(both):
        return None
    years = _served(found).set_index(keys)["tenure_years"].reindex(pd.MultiIndex.from_frame(both[keys]))
    return Paired(
        both["loss"].to_numpy(dtype=np.float64),
        both["loss_before"].to_numpy(dtype=np.float64),
        both["month"].to_numpy(dtype=np.int64),
        {"tenure": _tenure(years.to_numpy(dtype=np.float64))},
    )


def _champion_ece(before: Release | None) -> float:
    report: Any = {} if before is None else before.documents.get("report", {})
    value = (report.get("findings") or {}).get("ece")
    return float("nan") if value is None else float(value)


def _groups(cases: pd.DataFrame, rival: Floats, sets: Datasets) -> tuple[GroupRatio, ...]:
    """Groups of reps by tenure and by team with enough resolved leads."""
    if not len(cases):
        return ()
    reps = sets.world.tables.reps.drop_duplicates("rep_id").set_index("rep_id")["team_id"]
    team = cases["rep_id"].map(reps).fillna("").astype("str")
    found = []
    for by, labels in (("tenure", cases["tenure"].astype("str")), ("team", team)):
        for label in sorted(set(labels) - {"" if by == "team" else "unknown"}):
            mine = (labels == label).to_numpy()
            if mine.sum() >= FEWEST_OF_A_GROUP:
                name = message("group.team", team=label) if by == "team" else group_name(label)
                p = cases["p"].to_numpy(dtype=np.float64)[mine]
                won = float(cases["y"].to_numpy(dtype=np.float64)[mine].sum())
                found.append(
                    GroupRatio(name, float(p.sum()), won, float((p * (1 - p)).sum()), float(rival[mine].sum()))
                )
    return tuple(found)


def _importance(unit: ModelUnit) -> pd.Series:
    """Gain by feature over the panel's boosters; empty without a panel model."""
    panel = unit.contribution.panel
    if panel is None:
        return pd.Series(dtype="float64")
    gain = sum(np.asarray(booster.feature_importance("gain"), dtype=np.float64) for booster in panel.boosters)
    return pd.Series(gain, index=list(panel.features))


def _rank_correlation(unit: ModelUnit, before: Release | None) -> float:
    """Spearman correlation of the panel's importances with the champion's, over features that either uses."""
    if before is None:
        return float("nan")
    ours, theirs = _importance(unit), _importance(ModelUnit.from_release(before))
    shared = ours.index.intersection(theirs.index)
    used = shared[(ours[shared] > 0).to_numpy() | (theirs[shared] > 0).to_numpy()]
    if len(used) < 5 or ours[used].nunique() < 2 or theirs[used].nunique() < 2:
        return float("nan")
    return float(spearmanr(ours[used].to_numpy(), theirs[used].to_numpy()).statistic)


def scoring_ms(unit: ModelUnit, sets: Datasets, n_reps: int = 200, repeats: int = 5) -> float:
    """Least milliseconds, of a few tries, in which the unit scores one lead with `n_reps` reps; NaN without pairs."""
    if not len(sets.pairs):
        return float("nan")
    columns = unit.conversion.columns
    lead = sets.pairs[[*columns.lead_numeric, *columns.lead_categorical]].tail(1).reset_index(drop=True)
    latest = sets.pairs.drop_duplicates("rep_id", keep="last")[["rep_id", *columns.rep_numeric]]
    reps = latest.iloc[np.resize(np.arange(len(latest)), n_reps)].reset_index(drop=True)
    took = []
    for _ in range(repeats + 1):  # the first one warms up
        began = time.perf_counter()
        unit.score(lead, reps)
        took.append(1e3 * (time.perf_counter() - began))
    return min(took[1:])
