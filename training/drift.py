"""Drift: whether what comes in now still looks like what the release has learnt from, and whether it still holds.

Leads of one month share the market's luck and leads of one rep his habits, so rows are never counted as independent. A
shift must stand out twice: the month's mean from what the other months do around their trend (Student's t on month
means), and the reps' own means from chance among reps (signs flipped by rep, 4,999 times). The larger of both p-values
counts, and Holm's step-down holds the chance of any false alarm among all inputs together.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import t

from features import moments
from features.config import Config
from features.moments import DAY, NEVER
from features.spec import FeatureSpec
from features.tables import Tables
from training.datasets import Datasets, build_datasets
from training.release import Release
from training.unit import ModelUnit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FRESH_TABLES = {"leads": "created_at", "assignments": "assigned_at", "activities": "occurred_at", "deals": "closed_at"}


@dataclass(frozen=True)
class DriftRules:
    """Fixed beforehand. Chance of any false alarm: `level` among numbers and the prediction, which are few and say
    most, `level_of_shares` among categories and missing cells.

    `smallest_shift`: in standard deviations of the rows, below which a shift is of no use to know; `unseen_share`: of
    rows; `stale_days`: without a new row, and beyond three times the usual longest gap;
    `release_days`: age of the data that the release knows; `ratio_low`, `ratio_high`: won over expected.
    """

    level: float = 0.03
    level_of_shares: float = 0.02
    n_flips: int = 4_999
    fewest_months: int = 6
    fewest_rows: int = 40
    smallest_shift: float = 0.2
    unseen_share: float = 0.05
    stale_days: float = 7.0
    release_days: float = 62.0
    ratio_low: float = 0.8
    ratio_high: float = 1.25


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `kind`: input, missing, unseen, freshness, prediction, calibration or age.

    `change`: in the unit of its kind (standard deviations, shares, days, ratio); `p_value` NaN where no test is made.
    """

    kind: str
    name: str
    change: float
    p_value: float
    alarm: bool


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

    def as_text(self) -> str:
        """A paragraph."""
        head = f"Release {self.version}, looked at {self.as_of}: "
        lines = [head + ("drift was found." if self.needed else f"no drift in {len(self.findings)} looks.")]
        lines += [f"  {f.kind} {f.name}: {f.change:+.2f}" + _p_text(f.p_value) for f in self.alarms]
        return "\n".join(lines)


def _p_text(p: float) -> str:
    return f" (p = {p:.4f})" if np.isfinite(p) else ""


@dataclass(frozen=True)
class Shift:
    """A month against the months before it: change in standard deviations of the rows, and its p-value."""

    change: float
    p_value: float


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
    findings = [
        *input_findings(pairs, raw_columns(unit.spec), unit.spec.lead_categorical, as_of, rng, rules),
        *unseen_findings(pairs, unit.spec.lead_categorical, as_of, rules),
        *freshness_findings(sets.world.tables, as_of, rules),
        *calibration_findings(unit, sets, rng, rules),
    ]
    age = (as_of - release.data_until) / DAY
    findings.append(Finding("age", "release", age, float("nan"), age > rules.release_days))
    return DriftReport(release.version, moments.iso(as_of, tables.zone), tuple(findings))


def raw_columns(spec: FeatureSpec) -> tuple[str, ...]:
    """Features that are a lead's own numbers; those made of history follow from them and move slowly by nature."""
    return tuple(feature for _, feature in spec.custom_numeric)


def periods(at: Ints, as_of: int, n_before: int = 24) -> Ints:
    """(n,) 30-day period of each moment: 0 the last 30 days, 1 the 30 before, up to `n_before`; -1 for the rest."""
    back = (as_of - 1 - at) // (30 * DAY)
    return np.where((back >= 0) & (back <= n_before), back, -1).astype(np.int64)


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
    return [
        Finding(kind, name, shift.change, float(p), bool(p <= level and abs(shift.change) >= rules.smallest_shift))
        for level, family in tested.items()
        for (kind, name, shift), p in zip(
            family, holm(np.array([shift.p_value for *_, shift in family], dtype=np.float64)), strict=True
        )
    ]


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


def month_shift(values: Floats, period: Ints, reps: Ints, rng: np.random.Generator, rules: DriftRules) -> Shift | None:
    """The newest period against those before it; None where there is too little to say, or nothing varies."""
    kept = np.isfinite(values) & (period >= 0)
    x, when, who = values[kept], period[kept], reps[kept]
    sd = float(x.std()) if len(x) else 0.0
    n = np.bincount(when, minlength=1)
    usable = np.flatnonzero(n >= max(5, rules.fewest_rows // 4))
    before = usable[usable > 0]
    if sd <= 0 or n[0] < rules.fewest_rows or len(before) < rules.fewest_months:
        return None
    means = np.bincount(when, weights=x, minlength=len(n)) / np.maximum(n, 1)
    change, p_month = _against_trend(means[before], before.astype(np.float64), float(means[0]), n[before], int(n[0]))
    p_rep = _by_reps(x, when, who, rng, rules.n_flips)
    return Shift(change / sd, max(p_month, p_rep))


def _against_trend(means: Floats, back: Floats, now: float, n: Ints, n_now: int) -> tuple[float, float]:
    """Change of the newest mean from a line through the others, and its two-sided p-value."""
    k = len(means)
    weight = np.sqrt(n / n.mean())
    design = np.column_stack([np.ones(k), back])
    solved = np.linalg.lstsq(design * weight[:, None], means * weight, rcond=None)[0]
    left = (means - design @ solved) * weight
    variance = float(left @ left) / max(k - 2, 1)
    inverse = np.linalg.pinv((design * weight[:, None]).T @ (design * weight[:, None]))
    # The newest period has its own noise, by its own number of rows, beside that of the line at its place.
    spread = np.sqrt(variance * (n.mean() / n_now + inverse[0, 0]))
    change = now - float(solved[0])
    if spread <= 0:
        return change, 1.0 if change == 0 else 0.0
    return change, float(2 * t.sf(abs(change) / spread, max(k - 2, 1)))


def _by_reps(x: Floats, when: Ints, who: Ints, rng: np.random.Generator, n_flips: int) -> float:
    """Two-sided p-value of the reps' differences between the newest period and before, signs flipped by rep."""
    new, size = when == 0, int(who.max()) + 1
    n_new, n_old = np.bincount(who[new], minlength=size), np.bincount(who[~new], minlength=size)
    both = (n_new > 0) & (n_old > 0)
    if both.sum() < 2:
        return 1.0
    mean_new = np.bincount(who[new], weights=x[new], minlength=size)[both] / n_new[both]
    mean_old = np.bincount(who[~new], weights=x[~new], minlength=size)[both] / n_old[both]
    weighed = (mean_new - mean_old) * n_new[both]
    flips = rng.integers(0, 2, size=(n_flips, len(weighed)), dtype=np.int8) * 2 - 1
    drawn = np.abs(flips @ weighed)
    return float((1 + (drawn >= abs(weighed.sum()) - 1e-12).sum()) / (n_flips + 1))


def holm(p: Floats) -> Floats:
    """(n,) p-values adjusted for all being looked at (Holm 1979), in the order given."""
    order = np.argsort(p, kind="stable")
    scaled = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    out = np.empty(len(p))
    out[order] = np.minimum(scaled, 1.0)
    return out


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


def calibration_findings(unit: ModelUnit, sets: Datasets, rng: np.random.Generator, rules: DriftRules) -> list[Finding]:
    """Wins so far among leads handed over since the release's data ended, over those expected at their age."""
    pairs = sets.pairs.loc[(sets.pairs["as_of"] >= unit.data_until).to_numpy()]
    if len(pairs) < 3 * rules.fewest_rows:
        return []
    p = unit.conversion.predict(pairs).win_probability
    age = (sets.world.as_of - pairs["as_of"].to_numpy(dtype=np.int64)) / DAY
    times = unit.conversion.times
    chance = p * (1.0 - np.asarray(times.survival_win(age, pairs["source"].to_numpy(dtype=object)), dtype=np.float64))
    won = (pairs["outcome"] == "won").to_numpy(dtype=np.float64)
    expected = float(chance.sum())
    if expected < 10:
        return []
    ratio = float(won.sum()) / expected
    sums = pd.Series(won - chance).groupby(pairs["rep_id"].to_numpy(dtype=object)).sum().to_numpy(dtype=np.float64)
    flips = rng.integers(0, 2, size=(rules.n_flips, len(sums)), dtype=np.int8) * 2 - 1
    p_value = float((1 + (np.abs(flips @ sums) >= abs(sums.sum()) - 1e-12).sum()) / (rules.n_flips + 1))
    off = not rules.ratio_low <= ratio <= rules.ratio_high
    return [Finding("calibration", "won_over_expected", ratio, p_value, bool(off and p_value <= 0.01))]
