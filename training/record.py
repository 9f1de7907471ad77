"""What a training run leaves in MLflow: where it came from, what it found, and the registered versions."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from features import moments
from models.forecasting.panel_model import PanelModel
from training import tracking
from training.backtest_forecast import Backtest
from training.cards import write_cards
from training.datasets import Datasets, frame_hash
from training.gate import GateRules, Verdict
from training.lineage import code_hash, commit_of, is_dirty, lock_hash
from training.own_contribution import OwnPanel
from training.pictures import draw_pictures
from training.release import promotions, standing
from training.rolling import Fold
from training.tuning import TrialResult
from training.unit import ModelUnit

UNIT_EXPERIMENT = "fairlead-train"
CONVERSION_EXPERIMENT = "fairlead-conversion"
CONTRIBUTION_EXPERIMENT = "fairlead-contribution"


# What turns folds into a verdict: with the rules it is fixed before any result is seen.
GATE_CODE = ("training.gate", "training.evidence", "models.forecasting.metrics", "models.conversion.calibration")


@dataclass(frozen=True)
class Outcome:
    """All that a training came to, before it is logged."""

    sets: Datasets
    unit: ModelUnit
    found: Backtest
    folds: Sequence[Fold]
    verdict: Verdict
    version: str
    promoted: bool
    trials: Sequence[TrialResult] = ()


def log_origin(
    tracker: tracking.Tracker,
    run_id: str,
    sets: Datasets,
    rules: GateRules,
    asked: Mapping[str, object],
    fingerprints: Mapping[str, str],
) -> None:
    """Log what the run starts from, the gate's rules among it, before any result is seen."""
    tracking.log_parameters(
        tracker,
        run_id,
        {
            **asked,
            "as_of": moments.iso(sets.world.as_of, sets.world.tables.zone),
            "as_of_us": sets.world.as_of,
            "spec_fingerprint": sets.spec.fingerprint(),
            "pairs_sha256": frame_hash(sets.pairs),
            "panel_sha256": frame_hash(sets.panel),
            "gate_version": rules.version,
            "gate_sha256": rules.fingerprint(),
            "gate_code_sha256": code_hash(*GATE_CODE),
            "commit": commit_of(),
            "dirty": is_dirty(),
            "lock_sha256": lock_hash(),
            **{f"sha256_{name}": value for name, value in fingerprints.items()},
        },
    )
    tracking.log_document(tracker, run_id, "gate_rules", asdict(rules))
    tracking.log_document(tracker, run_id, "feature_spec", asdict(sets.spec))


def log_outcome(tracker: tracking.Tracker, run_id: str, releases: Path, outcome: Outcome) -> None:
    """Log what was found, a run a model family beside the unit's, register the versions and move the aliases."""
    unit, verdict = outcome.unit, outcome.verdict
    tracking.log_parameters(
        tracker,
        run_id,
        {
            "release": outcome.version,
            "promoted": outcome.promoted,
            "routing_mode": unit.routing_mode,
            "forecast_method": outcome.found.choice.method,
        },
    )
    tracking.log_metrics(tracker, run_id, {**_conversion_numbers(unit), **_contribution_numbers(unit)})
    tracking.log_document(tracker, run_id, "report", unit.report)
    tracking.log_document(tracker, run_id, "effects", list(unit.effects))
    tracking.log_document(tracker, run_id, "gate", {"promote": verdict.promote, "checks": verdict.reasons()})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _write_tables(folder / "tables", outcome)
        draw_pictures(folder / "pictures", unit, outcome.found, outcome.sets)
        write_cards(folder / "cards", unit.report)
        tracking.log_folder(tracker, run_id, folder)
    _log_families(tracker, run_id, releases / outcome.version, outcome)
    tracking.follow_record(tracker, [entry.version for entry in standing(promotions(releases))], outcome.version)


def _write_tables(folder: Path, outcome: Outcome) -> None:
    """Per-fold predictions and metrics as Parquet."""
    folder.mkdir(parents=True)
    if len(outcome.found.table):
        outcome.found.table.to_parquet(folder / "backtest.parquet", index=False)
        pd.DataFrame(outcome.unit.report["backtest"]).to_parquet(folder / "backtest_metrics.parquet", index=False)
    if outcome.folds:
        ids = ["lead_id", "rep_id", "as_of", "y", "outcome", "maturity"]
        parts = [fold.pairs[ids].assign(origin=fold.origin, p=fold.probability) for fold in outcome.folds]
        pd.concat(parts, ignore_index=True).to_parquet(folder / "win_probability.parquet", index=False)


def _conversion_numbers(unit: ModelUnit) -> dict[str, float]:
    findings = unit.conversion.findings
    return {
        "ece": findings.ece,
        "brier": findings.brier,
        "auc": findings.auc,
        "log_loss": findings.log_loss,
        "interaction_sd": findings.interaction.estimate,
        "rep_effect_sd": findings.rep_effect.estimate,
    }


def _contribution_numbers(unit: ModelUnit) -> dict[str, float]:
    panel = unit.contribution.panel
    numbers = {f"panel_wape_h{error.horizon}": error.wape for error in (panel.errors if panel is not None else ())}
    for row in unit.report["backtest"]:
        if row["level"] == "rep" and row["estimate"] is not None:
            numbers[f"backtest_{row['method']}_{row['metric']}"] = row["estimate"]
    return numbers


def _log_families(tracker: tracking.Tracker, run_id: str, folder: Path, outcome: Outcome) -> None:
    """One run a model family with its numbers and its registered version; a release registered before is left alone."""
    unit, version = outcome.unit, outcome.version
    tags = {"fairlead.training": run_id, "release": version}
    if tracking.version_of(tracker, tracking.CONVERSION_MODEL, version) is None:
        with tracking.run(tracker, CONVERSION_EXPERIMENT, version) as family:
            tracking.tag_run(tracker, family, tags)
            tracking.log_metrics(tracker, family, _conversion_numbers(unit))
            example, output = _conversion_example(unit, outcome.sets)
            tracking.log_release(tracker, folder, example, output, version)
    if outcome.trials:
        with tracking.run(tracker, CONTRIBUTION_EXPERIMENT, f"tuning {version}") as parent:
            tracking.tag_run(tracker, parent, tags)
            for trial in outcome.trials:
                state = {"pruned": str(trial.pruned).lower()}
                steps = {"wape": trial.losses}
                tracking.log_trial(
                    tracker, CONTRIBUTION_EXPERIMENT, parent, f"trial {trial.number}", trial.parameters, steps, state
                )
    panel = unit.contribution.panel
    if panel is None or tracking.version_of(tracker, tracking.CONTRIBUTION_MODEL, version) is not None:
        return
    with tracking.run(tracker, CONTRIBUTION_EXPERIMENT, version) as family:
        tracking.tag_run(tracker, family, tags)
        tracking.log_parameters(tracker, family, {**asdict(panel.settings), "estimator": _estimator(panel)})
        tracking.log_metrics(tracker, family, _contribution_numbers(unit))
        booster: Any = panel.booster(0)
        rows = outcome.sets.panel[list(outcome.sets.spec.panel_numeric)].head(5)
        example = pd.DataFrame(rows.to_numpy(), columns=booster.feature_name())
        tracking.log_booster(tracker, booster, example, version)


def _estimator(panel: PanelModel) -> str:
    return panel.path if isinstance(panel, OwnPanel) else "LightGBM"


def _conversion_example(unit: ModelUnit, sets: Datasets) -> tuple[pd.DataFrame, pd.DataFrame]:
    columns = unit.conversion.columns
    example = sets.pairs[["rep_id", *columns.names]].head(5)
    said = unit.conversion.predict(example)
    output = pd.DataFrame({"win_probability": said.win_probability, "ci_low": said.ci_low, "ci_high": said.ci_high})
    return example, output
