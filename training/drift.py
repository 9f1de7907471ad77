"""Drift: whether what comes in now still looks like what the release has learnt from, and whether it still holds.

How a shift is judged stands in `training.shifts`; outcomes, once they can be known, in `training.outcome_drift`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.config import Config
from features.messages import in_language, message
from features.moments import DAY, NEVER
from features.spec import FeatureSpec
from features.tables import Tables
from training.datasets import build_datasets
from training.outcome_drift import target_findings
from training.release import Release
from training.shifts import DriftRules, Finding, Shift, judged, month_shift, periods
from training.unit import ModelUnit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FRESH_TABLES = {"leads": "created_at", "assignments": "assigned_at", "activities": "occurred_at", "deals": "closed_at"}


@dataclass(frozen=True)
class DriftReport:
    """All findings on a release at a moment; `needed` where one of them is an alarm."""

    version: str
    as_of: str
    findings: tuple[Finding, ...]

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """Findings that call for a retraining or a look."""
        return tuple(found for found in self.findings if found.alarm)

    @property
    def needed(self) -> bool:
        """Whether to retrain."""
        return bool(self.alarms)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form, NaN as null."""
        rows = [
            {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in asdict(found).items()}
            for found in self.findings
        ]
        return {"release": self.version, "as_of": self.as_of, "needed": self.needed, "findings": rows}

    def as_text(self, lang: str = "en") -> str:
        """A paragraph in the language `en` or `zh`."""
        told = {"release": self.version, "at": self.as_of}
        head = message("drift.found", **told) if self.needed else message("drift.none", n=len(self.findings), **told)
        lines = [in_language(head, lang), *(f"  {in_language(found.told(), lang)}" for found in self.alarms)]
        return "\n".join(lines)


def find_drift(
    tables: Tables,
    config: Config,
    release: Release,
    as_of: int,
    rng: np.random.Generator,
    rules: DriftRules | None = None,
) -> DriftReport:
    """Findings on a release as of a moment, from the leads of the last 30 days and those of the year before them."""
    rules = rules or DriftRules()
    unit = ModelUnit.from_release(release)
    sets = build_datasets(tables, as_of, config, unit.spec)
    pairs = sets.pairs.assign(prediction=unit.conversion.predict(sets.pairs).win_probability)
    if unit.amount.n > 0:
        pairs = pairs.assign(log_amount=unit.amount.log_amount(sets.pairs))
    findings = [
        *input_findings(pairs, raw_columns(unit.spec), unit.spec.lead_categorical, as_of, rng, rules),
        *unseen_findings(pairs, unit.spec.lead_categorical, as_of, rules),
        *freshness_findings(sets.world.tables, as_of, rules),
        *target_findings(pairs, as_of, rng, rules, unit.conversion.times),
    ]
    age = (as_of - release.data_until) / DAY
    findings.append(Finding("age", "release", age, float("nan"), age > rules.release_days))
    return DriftReport(release.version, moments.iso(as_of, tables.zone), tuple(findings))


def raw_columns(spec: FeatureSpec) -> tuple[str, ...]:
    """Features that are a lead's own numbers; those made of history follow from them and move slowly by nature."""
    return tuple(feature for _, feature in spec.custom_numeric)


def input_findings(
    pairs: pd.DataFrame,
    numeric: tuple[str, ...],
    categorical: tuple[str, ...],
    as_of: int,
    rng: np.random.Generator,
    rules: DriftRules,
) -> list[Finding]:
    """Shifts of lead columns, of their missing shares and of the prediction, judged together."""
    period = periods(pairs["as_of"].to_numpy(dtype=np.int64), as_of)
    reps = pd.factorize(pairs["rep_id"])[0].astype(np.int64)
    tested: dict[float, list[tuple[str, str, Shift]]] = {rules.level: [], rules.level_of_shares: []}
    for kind, name, values in _series(pairs, numeric, categorical):
        shift = month_shift(values, period, reps, rng, rules)
        if shift is not None:
            number = kind == "prediction" or (name in numeric and kind == "input")
            tested[rules.level if number else rules.level_of_shares].append((kind, name, shift))
    return [found for level, family in tested.items() for found in judged(family, level, rules.smallest_shift)]


def _series(
    pairs: pd.DataFrame, numeric: tuple[str, ...], categorical: tuple[str, ...]
) -> list[tuple[str, str, Floats]]:
    """Kind, name, values and least change of every input, missing share and common category, and of the prediction."""
    found: list[tuple[str, str, Floats]] = []
    for name in numeric:
        values = pairs[name].to_numpy(dtype=np.float64)
        found.append(("input", name, values))
        found.append(("missing", name, np.isnan(values).astype(np.float64)))
    for name in categorical:
        text = pairs[name].astype("str")
        found.append(("missing", name, np.asarray(text == "", dtype=np.float64)))
        common = text[text != ""].value_counts().head(8).index
        found += [("input", f"{name}={level}", np.asarray(text == level, dtype=np.float64)) for level in common]
    if "prediction" in pairs.columns:
        found.append(("prediction", "win_probability", pairs["prediction"].to_numpy(dtype=np.float64)))
    return found


def unseen_findings(pairs: pd.DataFrame, names: tuple[str, ...], as_of: int, rules: DriftRules) -> list[Finding]:
    """Share of the newest leads whose category no earlier lead had."""
    period = periods(pairs["as_of"].to_numpy(dtype=np.int64), as_of)
    found = []
    for name in names:
        text = pairs[name].astype("str")
        new, old = text[period == 0], set(text[period != 0])
        if len(new) >= rules.fewest_rows and old:
            share = float((~new.isin(old | {""})).mean())
            found.append(Finding("unseen", name, share, float("nan"), share > rules.unseen_share))
    return found


def freshness_findings(tables: Tables, as_of: int, rules: DriftRules) -> list[Finding]:
    """Days since each table's newest row, against its own longest gap of the last year."""
    found = []
    for table, column in FRESH_TABLES.items():
        at = tables.frames[table][column].to_numpy(dtype=np.int64)
        at = np.sort(at[(at != NEVER) & (at >= as_of - 365 * DAY)])
        if len(at) >= 50:
            days, usual = (as_of - int(at[-1])) / DAY, float(np.diff(at).max()) / DAY
            alarm = days > max(rules.stale_days, 3 * usual)
            found.append(Finding("freshness", table, days, float("nan"), bool(alarm)))
    return found
