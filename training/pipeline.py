"""Training, as a table of contents: datasets, models, backtest, effects, gate, release, registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from features import moments
from features.config import Config
from features.errors import NoReleaseError, RequestError
from features.messages import Message, in_language, message, to_stored
from features.tables import Tables
from models.conversion.amount import AmountModel
from models.conversion.findings import Findings
from models.conversion.model import ConversionModel
from models.drivers.effects import effect_rows
from training import tracking
from training.backtest_forecast import Backtest, BacktestSettings, final_model, summarise
from training.cards import card_document
from training.datasets import Datasets, build_datasets, frame_hash, pair_columns
from training.effect_frames import lead_effect_frame, leads_per_rep_month, panel_effect_frame, rare_skills
from training.evidence import fold_document, gather, segment_tables, with_fold_scores
from training.gate import GateRules, Verdict, judge
from training.own_contribution import fitter
from training.own_model import OwnConversion
from training.record import UNIT_EXPERIMENT, Outcome, log_origin, log_outcome
from training.release import (
    Promotion,
    Release,
    ReleaseError,
    champion,
    export_release,
    name_challenger,
    promote,
    promotions,
    release_for,
    standing,
    was_withdrawn,
)
from training.rolling import N_ORIGINS, Fold, roll, snapshot_of
from training.tuning import TrialResult, fold_origins, tune_panel
from training.unit import ModelUnit

RELEASE_METHODS = ("funnel", "panel", "shrunk_mean", "mean_3", "mean_6", "mean_12", "seasonal_naive", "stage_weights")


@dataclass(frozen=True)
class TrainRequest:
    """What was asked: moment, Optuna trials, promotion (never, gate, force), its reason, seed, and now.

    `tracking_uri`: an MLflow server; "" keeps runs in the home's `mlruns`. `win_probability`: a model of one's own as
    module:Class, "" for ours; `contribution` likewise. `folds`: most past months that the backtest and the gate score.
    """

    as_of: int
    trials: int
    promote: str
    reason: str
    seed: int
    now: int
    tracking_uri: str = ""
    win_probability: str = ""
    contribution: str = ""
    folds: int = N_ORIGINS


@dataclass(frozen=True)
class Summary:
    """What training did; `lines` for people (indent in blanks, and what is said), `facts` for programs."""

    lines: tuple[tuple[int, str], ...]
    facts: Mapping[str, Any]

    def as_text(self, lang: str = "en") -> str:
        """A paragraph in the language `en` or `zh`."""
        return "\n".join(" " * indent + in_language(said, lang) for indent, said in self.lines)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return dict(self.facts)


def train_release(
    tables: Tables,
    config: Config,
    releases: Path,
    mlruns: Path,
    request: TrainRequest,
    fingerprints: Mapping[str, str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Summary:
    """Train, judge and release on what `request.as_of` knows; everything logged to MLflow.

    RequestError where nothing was ever won; a release is written in any other case, the first one promoted.
    """
    # Backtest and effects need nothing of each other and run side by side. Their linear algebra is of small matrices: a
    # thread each is faster than threads within, which change the last bits besides.
    with threadpool_limits(limits=1), ThreadPoolExecutor(1, "effects") as aside:
        return _train(
            tables, config, releases, mlruns, request, fingerprints or {}, progress or (lambda _: None), aside
        )


def _train(
    tables: Tables,
    config: Config,
    releases: Path,
    mlruns: Path,
    request: TrainRequest,
    fingerprints: Mapping[str, str],
    say: Callable[[str], None],
    aside: ThreadPoolExecutor,
) -> Summary:
    rng = np.random.default_rng(request.seed)
    say(message("progress.datasets"))
    sets = build_datasets(tables, request.as_of, config)
    if not len(sets.pairs) or not (sets.pairs["outcome"] == "won").any():
        raise RequestError(message("trained.nothing_won"))
    tracker = tracking.open_tracker(mlruns, request.tracking_uri)
    rules = GateRules()
    with tracking.run(tracker, UNIT_EXPERIMENT, moments.iso(request.as_of, tables.zone)) as run_id:
        log_origin(tracker, run_id, sets, rules, _asked(request), fingerprints)
        say(message("progress.win_probability"))
        columns = pair_columns(sets.spec)
        conversion = ConversionModel.fit(sets.pairs, columns, rng, request.as_of)
        if request.win_probability:
            conversion = OwnConversion.around(conversion, request.win_probability, sets.pairs, request.seed)
        amount = AmountModel.fit(sets.pairs, columns)
        settings, trials = _tuned(sets, request, mlruns, say)
        say(message("progress.backtest"))
        told = aside.submit(_effects, sets, conversion, amount, rng.spawn(1)[0])
        found, folds = roll(tables, config, sets, conversion, settings, rng, say, request.folds)
        conversion = with_fold_scores(conversion, folds, rng)
        effects = told.result()
        say(message("progress.release"))
        contribution = final_model(snapshot_of(sets, conversion, amount), found, settings)
        unit = ModelUnit(sets.spec, conversion, amount, contribution, sets.workdays, request.as_of, tuple(effects))
        unit = replace(unit, report=_report(unit, sets, found, folds, request, rng))
        documents, texts = unit.to_parts()
        documents |= {"folds": fold_document(found, folds), "cards": card_document(unit.report)}
        version = export_release(releases, request.as_of, sets.spec.fingerprint(), documents, texts, tables.zone)
        say(message("progress.gate"))
        before, note = _incumbent(releases, request.as_of)
        verdict = judge(gather(unit, sets, found, folds, before), before is not None, rules, rng)
        withdrawn = was_withdrawn(promotions(releases), version)
        if withdrawn and request.promote == "gate":
            note = message("trained.withdrawn")
        if before is None and not note and any(not check.passed for check in verdict.checks):
            note = message("trained.first_failed")
        stands = before is not None and before.version == version
        passed = request.promote == "gate" and verdict.promote and not withdrawn
        promoted = stands or request.promote == "force" or passed
        if promoted and not stands:
            _promote(releases, version, request, verdict)
        in_charge = champion(releases) == version
        if not stands:
            _watch(releases, version, request.as_of, promoted=promoted)
        say(message("progress.registry"))
        log_outcome(tracker, run_id, releases, Outcome(sets, unit, found, folds, verdict, version, promoted, trials))
    status = _status(releases, version, promoted, in_charge)
    return _summary(unit, verdict, version, promoted, status, note, run_id)


def _asked(request: TrainRequest) -> dict[str, object]:
    names = ("seed", "trials", "promote", "reason", "win_probability", "contribution", "folds")
    return {name: value for name, value in asdict(request).items() if name in names}


def _incumbent(releases: Path, as_of: int) -> tuple[Release | None, str]:
    """The release that the new one would replace for its moment, None for the first; and what is wrong with it."""
    try:
        return release_for(releases, as_of), ""
    except NoReleaseError:
        return None, ""
    except ReleaseError as error:
        return None, message("trained.unreadable_champion", why=error.args[0])


def _promote(releases: Path, version: str, request: TrainRequest, verdict: Verdict) -> None:
    """Record the promotion, as a backfill where the champion knows later data."""
    record = standing(promotions(releases))
    earlier = bool(record) and request.as_of < record[-1].data_until
    checks = tuple(verdict.reasons())
    reason = request.reason or "; ".join(checks)
    told = (request.reason, *checks) if isinstance(request.reason, Message) else checks
    action = "backfill" if earlier else "promote"
    promote(releases, Promotion(version, request.as_of, action, reason, request.now, told=told))


def _watch(releases: Path, version: str, as_of: int, *, promoted: bool) -> None:
    """Let a release that was not promoted run in shadow; one that takes over ends that, a backfill changes nothing."""
    record = standing(promotions(releases))
    if promoted and champion(releases) == version:
        name_challenger(releases, None)
    elif not promoted and record and as_of >= record[-1].data_until:
        name_challenger(releases, version)


def _status(releases: Path, version: str, promoted: bool, in_charge: bool) -> Message:
    if in_charge:
        return message("trained.champion", version=version)
    if not promoted:
        return message("trained.challenger", version=version)
    return message("trained.backfill", version=version, champion=standing(promotions(releases))[-1].version)


def _tuned(
    sets: Datasets, request: TrainRequest, mlruns: Path, say: Callable[[str], None]
) -> tuple[BacktestSettings, tuple[TrialResult, ...]]:
    """Settings of the backtest, and the trials behind them; plain ones where there are too few months to tune on."""
    base = BacktestSettings(n_draws=200, methods=RELEASE_METHODS, fit_panel=fitter(request.contribution))
    if request.trials <= 0 or not fold_origins(sets.panel):
        return base, ()
    say(message("progress.tuning"))
    # Equal data and seed go on with the study they began, after a kill too.
    name = f"contribution-{frame_hash(sets.panel)[:16]}-{request.seed}"
    tuned = tune_panel(
        sets.panel, sets.spec.panel_numeric, request.trials, request.seed, mlruns / "optuna.db", name, say=say
    )
    return replace(base, panel=tuned.settings), tuned.trials


def _effects(
    sets: Datasets, conversion: ConversionModel, amount: AmountModel, rng: np.random.Generator
) -> list[dict[str, Any]]:
    leads = lead_effect_frame(sets.world, sets.pairs, conversion, amount)
    panel = panel_effect_frame(sets.world, sets.pairs, conversion)
    rare = rare_skills(sets.world)
    rows = effect_rows(leads, panel, rng, leads_per_rep_month(sets.world), rare_skills=rare)
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
    unit: ModelUnit,
    sets: Datasets,
    found: Backtest,
    folds: Sequence[Fold],
    request: TrainRequest,
    rng: np.random.Generator,
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
            "excluded": [[name, to_stored(reason)] for name, reason in sets.spec.excluded],
            "rows": {"pairs": len(sets.pairs), "panel": len(sets.panel), "reps": len(sets.world.tables.reps)},
            "segments": segment_tables(found, folds),
            "data": _data_facts(sets),
            "seed": request.seed,
        }
    )


def _data_facts(sets: Datasets) -> dict[str, Any]:
    tables, spec = sets.world.tables, sets.spec
    return {
        "as_of": moments.iso(sets.world.as_of, tables.zone),
        "tables": {name: len(frame) for name, frame in tables.frames.items()},
        "lead_columns": [*spec.lead_numeric, *spec.lead_categorical],
        "n_rep_features": len(spec.rep_numeric) + len(spec.pair_numeric),
        "n_month_features": len(spec.panel_numeric),
    }


def _summary(
    unit: ModelUnit, verdict: Verdict, version: str, promoted: bool, status: Message, note: str, run_id: str
) -> Summary:
    findings, choice = unit.conversion.findings, unit.contribution.choice
    interaction, rep = findings.interaction, findings.rep_effect
    possible = unit.routing_mode == "pairs" and not interaction.supported
    method = {"method": choice.method} if choice.reason == "beats_the_mean" else {}
    lines = (
        (0, status),
        *([(2, note)] if note else []),
        (
            2,
            message(
                "trained.routing", mode=message("routing.possible" if possible else f"routing.{unit.routing_mode}")
            ),
        ),
        (4, _effects_told(findings)),
        (4, _scores_told(findings)),
        (2, message("trained.forecast", choice=message(f"choice.{choice.reason}", **method))),
        (2, message("trained.gate")),
        *((4, said) for said in verdict.reasons()),
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


def _effects_told(findings: Findings) -> Message:
    pair, rep = findings.interaction, findings.rep_effect
    numbers = {"pair": pair.estimate, "pair_low": pair.ci_low, "pair_high": pair.ci_high, "pair_p": pair.p_value}
    numbers |= {"rep": rep.estimate, "rep_low": rep.ci_low, "rep_high": rep.ci_high, "rep_p": rep.p_value}
    return message("trained.effects", **numbers)


def _scores_told(findings: Findings) -> Message:
    if not np.isfinite(findings.auc):
        return message("trained.no_scores")
    return message("trained.scores", auc=findings.auc, ece=findings.ece, limit=findings.ece_limit)
