"""Training, as a table of contents: datasets, models, backtest, effects, gate, release, registry."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.config import Config
from features.errors import RequestError
from features.outcomes import contributions
from features.tables import Tables
from models.conversion.amount import AmountModel
from models.conversion.calibration import Calibrator
from models.conversion.model import ConversionModel
from models.conversion.predictor import train_pooled
from models.drivers.effects import contribution_effects, win_effects
from models.forecasting import metrics
from models.forecasting.blend import FALLBACK, Choice
from models.forecasting.draws import QUANTILES
from training import tracking
from training.backtest_forecast import Backtest, BacktestSettings, Snapshot, backtest, final_model, summarise
from training.datasets import Datasets, build_datasets, frame_hash, late_rows, pair_columns
from training.effect_frames import lead_effect_frame, panel_effect_frame
from training.gate import Evidence, GateRules, Verdict, judge
from training.lineage import code_version, lock_hash
from training.release import Promotion, Release, champion, export_release, promote, read_release
from training.snapshot import forecast_inputs, panel_rows_now, targets_of
from training.tuning import tune_panel
from training.unit import ModelUnit

Floats = npt.NDArray[np.float64]

N_ORIGINS = 6
FEWEST_MONTHS = 3
RELEASE_METHODS = ("funnel", "panel", "mean_3", "mean_6", "mean_12", "seasonal_naive", "stage_weights")


@dataclass(frozen=True)
class TrainRequest:
    """What was asked: moment, Optuna trials, promotion (never, gate, force), its reason, seed, and now."""

    as_of: int
    trials: int
    promote: str
    reason: str
    seed: int
    now: int


@dataclass(frozen=True)
class Summary:
    """What training did; `lines` for people, `facts` for programs."""

    lines: tuple[str, ...]
    facts: Mapping[str, Any]

    def as_text(self) -> str:
        """A paragraph."""
        return "\n".join(self.lines)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return dict(self.facts)


@dataclass(frozen=True)
class Fold:
    """Out-of-time predictions of win probability: pairs handed over between one origin and the next."""

    pairs: pd.DataFrame
    probability: Floats


def train_release(
    tables: Tables,
    config: Config,
    releases: Path,
    mlruns: Path,
    request: TrainRequest,
    fingerprints: Mapping[str, str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Summary:
    """Train, judge and release on what `request.as_of` knows; everything logged to MLflow under `mlruns`."""
    say = progress or (lambda _: None)
    rng = np.random.default_rng(request.seed)
    say("datasets")
    sets = build_datasets(tables, request.as_of, config)
    if not len(sets.pairs) or not (sets.pairs["outcome"] == "won").any():
        raise RequestError(
            "no routed lead with a won deal is known at as_of, so there is nothing to learn from; "
            "check leads, assignments and deals, or give a later --as-of"
        )
    say("win probability")
    columns = pair_columns(sets.spec)
    conversion = ConversionModel.fit(sets.pairs, columns, rng, request.as_of)
    amount = AmountModel.fit(sets.pairs, columns)
    tracker = tracking.open_tracker(mlruns)
    with tracking.run(tracker, "fairlead-train", moments.iso(request.as_of, tables.zone)) as run_id:
        settings = _tuned(tracker, sets, request, mlruns)
        say("forecast backtest")
        found, folds = _backtest(tables, config, sets, conversion, request, settings, rng, say)
        say("effects")
        effects = _effects(sets, conversion, rng)
        say("release")
        snap = _snapshot(sets, conversion, amount)
        unit = ModelUnit(
            sets.spec, conversion, amount, final_model(snap, found, settings), sets.workdays, request.as_of,
            tuple(effects),
        )  # fmt: skip
        unit = replace(unit, report=_report(unit, sets, found, request, rng))
        before = _champion(releases)
        verdict = judge(_evidence(unit, found, folds, before, sets), before is not None, GateRules(), rng)
        documents, texts = unit.to_parts()
        documents["folds"] = {"rows": _fold_rows(found)}
        version = export_release(releases, request.as_of, sets.spec.fingerprint(), documents, texts, tables.zone)
        promoted = request.promote == "force" or (request.promote == "gate" and verdict.promote)
        _log_run(tracker, run_id, request, sets, unit, found, verdict, version, fingerprints or {})
        _register(tracker, unit, sets, releases / version, version, promoted)
        if promoted:
            reason = request.reason or "; ".join(verdict.reasons())
            promote(releases, Promotion(version, request.as_of, "promote", reason, request.now))
    return _summary(unit, verdict, version, promoted, run_id)


def _tuned(tracker: tracking.Tracker, sets: Datasets, request: TrainRequest, mlruns: Path) -> BacktestSettings:
    base = BacktestSettings(n_draws=200, methods=RELEASE_METHODS)
    if request.trials <= 0 or not sets.panel["maturity"].any():
        return base

    def log_trial(number: int, parameters: dict[str, float], loss: float) -> None:
        with tracking.run(tracker, "fairlead-train", f"trial-{number}") as run_id:
            tracking.log_parameters(tracker, run_id, parameters)
            tracking.log_metrics(tracker, run_id, {"wape": loss})

    name = f"contribution-{sets.spec.fingerprint()[:12]}-{request.as_of}-{request.seed}"
    panel = tune_panel(
        sets.panel, sets.spec.panel_numeric, request.trials, request.seed, mlruns / "optuna.db", name, log_trial
    )
    return replace(base, panel=panel)


def _snapshot(sets: Datasets, conversion: ConversionModel, amount: AmountModel) -> Snapshot:
    inputs = forecast_inputs(sets.world, conversion, amount, sets.workdays)
    rows = panel_rows_now(sets.world, sets.workdays)
    return Snapshot(inputs, sets.panel, rows, sets.spec.panel_numeric)


def quick_conversion(sets: Datasets, like: ConversionModel) -> ConversionModel:
    """The pooled model of a backtest's origin, in the mode that the full data chose, without tests and trees."""
    frame = sets.pairs.sort_values(["as_of", "lead_id"], kind="stable", ignore_index=True)
    trained = train_pooled(frame, like.columns, like.findings.routing_mode, sets.world.as_of)
    return ConversionModel(like.columns, trained.model, None, Calibrator(), trained.times, like.findings)


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


def _backtest(
    tables: Tables,
    config: Config,
    sets: Datasets,
    conversion: ConversionModel,
    request: TrainRequest,
    settings: BacktestSettings,
    rng: np.random.Generator,
    say: Callable[[str], None],
) -> tuple[Backtest, list[Fold]]:
    """Forecasts from past origins with models of that time, and their win probabilities of the leads that followed."""
    origins = origins_of(tables, request.as_of)
    folds: list[Fold] = []
    ends = dict(zip(origins, [*origins[1:], request.as_of], strict=False))

    def snapshot(origin: int) -> Snapshot:
        past = build_datasets(tables, origin, config, sets.spec)
        usable = bool((past.pairs["outcome"] == "won").any())
        model = quick_conversion(past, conversion)
        amount = AmountModel.fit(past.pairs, conversion.columns)
        at = sets.pairs["as_of"].to_numpy(dtype=np.int64)
        later = sets.pairs.loc[(at >= origin) & (at < ends[origin])]
        if usable and len(later):
            folds.append(Fold(later, model.predict(later).win_probability))
        return _snapshot(past, model, amount)

    truth = contributions(tables, request.as_of)[["rep_id", "month", "amount"]]
    try:
        found = backtest(
            snapshot, origins, truth, request.as_of, rng, targets_of(tables.known(request.as_of)), settings,
            lambda text: say(f"  from {text[:10]}"),
        )  # fmt: skip
    except RequestError:
        # Too young for a backtest: the mean is used, and said so.
        nothing = Choice(((FALLBACK, 1.0),), "too_few_origins", 0, float("nan"), float("nan"), 0.0, float("nan"))
        found = Backtest(pd.DataFrame(), nothing, {}, settings.funnel.shock_sd)
    return found, folds


def _effects(sets: Datasets, conversion: ConversionModel, rng: np.random.Generator) -> list[dict[str, Any]]:
    leads = lead_effect_frame(sets.world, sets.pairs, conversion)
    panel = panel_effect_frame(sets.world, sets.pairs, conversion)
    rows = [*win_effects(leads, rng), *contribution_effects(panel, rng)]
    return [_finite(asdict(row)) for row in rows]


def _finite(value: Any) -> Any:
    """JSON-able copy: NaN and infinities as null, tuples as lists, numpy numbers as Python's."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        return _finite(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _report(
    unit: ModelUnit, sets: Datasets, found: Backtest, request: TrainRequest, rng: np.random.Generator
) -> dict[str, Any]:
    """What pages and cards say about the unit: findings, backtest, errors, what was left out."""
    summary = summarise(found, rng) if len(found.table) else pd.DataFrame()
    panel = unit.contribution.panel
    return _finite(
        {
            "findings": unit.conversion.findings.to_json(),
            "choice": found.choice.to_parts(),
            "backtest": summary.to_dict("records"),
            "panel_errors": [] if panel is None else [asdict(error) for error in panel.errors],
            "excluded": [list(item) for item in sets.spec.excluded],
            "rows": {"pairs": len(sets.pairs), "panel": len(sets.panel), "reps": len(sets.world.tables.reps)},
            "seed": request.seed,
        }
    )


def _fold_rows(found: Backtest) -> list[list[Any]]:
    """The product's pinball loss by origin, rep and month: what a later challenger is compared with."""
    if not len(found.table):
        return []
    mine = found.table.loc[(found.table["level"] == "rep") & (found.table["method"] == "fairlead")]
    loss = metrics.pinball_loss(mine["y"].to_numpy(dtype=np.float64), mine[list(QUANTILES)].to_numpy(dtype=np.float64))
    keys = zip(mine["origin"], mine["rep_id"], mine["month"], loss, strict=True)
    return [[int(origin), str(rep), int(month), float(value)] for origin, rep, month, value in keys]


def _champion(releases: Path) -> Release | None:
    version = champion(releases)
    return read_release(releases, version) if version is not None else None


def _evidence(unit: ModelUnit, found: Backtest, folds: list[Fold], before: Release | None, sets: Datasets) -> Evidence:
    findings = unit.conversion.findings
    losses, months = None, np.empty(0, dtype=np.int64)
    forecast, forecast_months = None, np.empty(0, dtype=np.int64)
    if before is not None:
        losses, months = _conversion_losses(folds, before, sets)
        forecast, forecast_months = _forecast_losses(found, before)
    return Evidence(
        losses, months, forecast, forecast_months, float(findings.ece), float(findings.ece_limit), late_rows(sets)
    )


def _conversion_losses(
    folds: list[Fold], before: Release, sets: Datasets
) -> tuple[tuple[Floats, Floats] | None, npt.NDArray[np.int64]]:
    """Log losses of challenger and champion on leads that neither had seen when it predicted them."""
    nothing = np.empty(0, dtype=np.int64)
    if before.spec_fingerprint != sets.spec.fingerprint() or not folds:
        return None, nothing
    rival = ModelUnit.from_release(before).conversion
    kept = []
    for fold in folds:
        fresh = (fold.pairs["as_of"] >= before.data_until) & fold.pairs["maturity"]
        kept.append((fold.pairs.loc[fresh], fold.probability[fresh.to_numpy()]))
    pairs = pd.concat([rows for rows, _ in kept])
    if not len(pairs):
        return None, nothing
    y = pairs["y"].to_numpy(dtype=np.float64)
    ours = _log_loss(y, np.concatenate([p for _, p in kept]))
    theirs = _log_loss(y, rival.predict(pairs).win_probability)
    return (ours, theirs), moments.months_of(pairs["as_of"].to_numpy(dtype=np.int64), sets.world.tables.zone)


def _log_loss(y: Floats, p: Floats) -> Floats:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(-(y * np.log(p) + (1 - y) * np.log(1 - p)), dtype=np.float64)


def _forecast_losses(found: Backtest, before: Release) -> tuple[tuple[Floats, Floats] | None, npt.NDArray[np.int64]]:
    rows: Any = before.documents.get("folds", {}).get("rows", [])
    theirs = {(origin, rep, month): loss for origin, rep, month, loss in rows}
    ours = {(origin, rep, month): loss for origin, rep, month, loss in _fold_rows(found)}
    shared = sorted(set(ours) & set(theirs))
    if not shared:
        return None, np.empty(0, dtype=np.int64)
    pair = np.array([ours[key] for key in shared]), np.array([theirs[key] for key in shared])
    return pair, np.array([month for _, _, month in shared], dtype=np.int64)


def _log_run(
    tracker: tracking.Tracker,
    run_id: str,
    request: TrainRequest,
    sets: Datasets,
    unit: ModelUnit,
    found: Backtest,
    verdict: Verdict,
    version: str,
    fingerprints: Mapping[str, str],
) -> None:
    findings = unit.conversion.findings
    tracking.log_parameters(
        tracker,
        run_id,
        {
            "as_of": moments.iso(request.as_of, sets.world.tables.zone),
            "seed": request.seed,
            "trials": request.trials,
            "release": version,
            "routing_mode": unit.routing_mode,
            "forecast_method": found.choice.method,
            "spec_fingerprint": sets.spec.fingerprint(),
            "pairs_sha256": frame_hash(sets.pairs),
            "panel_sha256": frame_hash(sets.panel),
            "gate_sha256": GateRules().fingerprint(),
            "code": code_version(),
            "lock_sha256": lock_hash(),
            **{f"sha256_{name}": value for name, value in fingerprints.items()},
        },
    )
    numbers = {
        "ece": findings.ece,
        "brier": findings.brier,
        "auc": findings.auc,
        "log_loss": findings.log_loss,
        "interaction_sd": findings.interaction.estimate,
        "rep_effect_sd": findings.rep_effect.estimate,
    }
    for error in unit.contribution.panel.errors if unit.contribution.panel is not None else ():
        numbers[f"panel_wape_h{error.horizon}"] = error.wape
    for row in unit.report["backtest"]:
        if row["level"] == "rep" and row["estimate"] is not None:
            numbers[f"backtest_{row['method']}_{row['metric']}"] = row["estimate"]
    tracking.log_metrics(tracker, run_id, numbers)
    tracking.log_document(tracker, run_id, "feature_spec", asdict(sets.spec))
    tracking.log_document(tracker, run_id, "report", unit.report)
    tracking.log_document(tracker, run_id, "effects", list(unit.effects))
    tracking.log_document(tracker, run_id, "gate", {"promote": verdict.promote, "checks": verdict.reasons()})
    with tempfile.TemporaryDirectory() as folder:
        if len(found.table):
            tracking.log_table(tracker, run_id, "backtest", found.table, Path(folder))


def _register(
    tracker: tracking.Tracker, unit: ModelUnit, sets: Datasets, folder: Path, version: str, promoted: bool
) -> None:
    columns = unit.conversion.columns
    names = [*columns.lead_numeric, *columns.lead_categorical, *columns.rep_numeric, *columns.pair_numeric]
    example = sets.pairs[["rep_id", *names]].head(5)
    said = unit.conversion.predict(example)
    output = pd.DataFrame({"win_probability": said.win_probability, "ci_low": said.ci_low, "ci_high": said.ci_high})
    versions = {
        tracking.CONVERSION_MODEL: tracking.register_release(tracking.CONVERSION_MODEL, folder, example, output)
    }
    if unit.contribution.panel is not None:
        features = pd.DataFrame(
            sets.panel[list(sets.spec.panel_numeric)].head(5).to_numpy(),
            columns=unit.contribution.panel.booster(0).feature_name(),
        )
        versions[tracking.CONTRIBUTION_MODEL] = tracking.register_booster(
            tracking.CONTRIBUTION_MODEL, unit.contribution.panel.booster(0), features
        )
    for name, number in versions.items():
        tracking.tag_version(tracker, name, number, version)
        tracking.set_alias(tracker, name, "challenger", number)
        if promoted:
            tracking.take_charge(tracker, name, number)


def _summary(unit: ModelUnit, verdict: Verdict, version: str, promoted: bool, run_id: str) -> Summary:
    findings, choice = unit.conversion.findings, unit.contribution.choice
    mode = {
        "pairs": "lead x rep interaction was found: each lead has its own best rep",
        "reps": "reps differ, but no lead x rep interaction beyond noise was found",
        "lead_only": "no lead x rep interaction and no rep effect worth routing on was found: "
        "routing goes by load and fairness",
    }[unit.routing_mode]
    forecast = {
        "beats_the_mean": f"the forecast uses {choice.method}, which beats the mean of recent months",
        "mean_not_beaten": "the forecast uses the mean of recent months: nothing beat it",
        "too_few_origins": "the forecast uses the mean of recent months: too few past months to prove anything better",
    }[choice.reason]
    interaction, rep = findings.interaction, findings.rep_effect
    lines = (
        f"Release {version} {'is champion' if promoted else 'stays a challenger'}.",
        f"  routing: {mode}",
        (
            f"    interaction sd {interaction.estimate:.2f} on the logit (90 % interval {interaction.ci_low:.2f} to "
            f"{interaction.ci_high:.2f}, p = {interaction.p_value:.3f}); rep effect sd {rep.estimate:.2f} "
            f"({rep.ci_low:.2f} to {rep.ci_high:.2f}, p = {rep.p_value:.3f})"
        ),
        (
            f"    later leads: AUC {findings.auc:.3f}, calibration error {findings.ece:.3f} "
            f"(a calibrated model stays under {findings.ece_limit:.3f} at this size)"
        ),
        f"  forecast: {forecast}",
        "  gate:",
        *(f"    {line}" for line in verdict.reasons()),
    )
    facts = {
        "release": version,
        "promoted": promoted,
        "routing_mode": unit.routing_mode,
        "interaction_supported": interaction.supported,
        "rep_effect_supported": rep.supported,
        "findings": findings.to_json(),
        "forecast": choice.to_parts(),
        "gate": {"promote": verdict.promote, "checks": verdict.reasons()},
        "mlflow_run": run_id,
    }
    return Summary(lines, _finite(facts))
