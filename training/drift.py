"""Drift: whether what comes in now still looks like what the release has learnt from, and whether it still holds.

Leads of one month share the market's luck and leads of one rep his habits, so rows are never counted as independent. A
shift must stand out twice: the month's mean from what the other months do around their trend (Student's t on month
means), and the reps' own means from chance among reps (signs flipped by rep, 4,999 times). The larger of both p-values
counts, and Holm's step-down holds the chance of any false alarm among all inputs together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import t

from features import moments
from features.config import Config
from features.messages import Message, in_language, message
from features.moments import DAY, NEVER
from features.spec import FeatureSpec
from features.tables import Tables
from training.datasets import build_datasets
from training.release import Release
from training.unit import ModelUnit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FRESH_TABLES = {"leads": "created_at", "assignments": "assigned_at", "activities": "occurred_at", "deals": "closed_at"}
_NAMED = ("win_probability", "log_amount_won", "won_over_expected", "release")
_WON_WITHIN = re.compile(r"won_within_(\d+)_days")


@dataclass(frozen=True)
class DriftRules:
    """Fixed beforehand. Chance of any false alarm: `level` among numbers and the prediction, which are few and say
    most, `level_of_shares` among categories and missing cells, `level_of_targets` among wins, amounts and calibration,
    which are judged over `target_periods` of 30 days.

    `smallest_shift`, `smallest_target_shift`: in standard deviations of the rows, below which a shift is of no use to
    know; `unseen_share`: of rows; `stale_days`: without a new row, and beyond three times the usual longest gap;
    `release_days`: age of the data that the release knows; `ratio_low`, `ratio_high`: won over expected.
    """

    level: float = 0.025
    level_of_shares: float = 0.01
    level_of_targets: float = 0.015
    target_periods: int = 3
    n_flips: int = 4_999
    fewest_months: int = 6
    fewest_rows: int = 40
    smallest_shift: float = 0.2
    smallest_target_shift: float = 0.1
    unseen_share: float = 0.05
    stale_days: float = 7.0
    release_days: float = 62.0
    ratio_low: float = 0.8
    ratio_high: float = 1.25


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `kind`: input, missing, unseen, freshness, prediction, target, calibration or age.

    `change`: in the unit of its kind (standard deviations, shares, days, ratio); `p_value` NaN where no test is made.
    """

    kind: str
    name: str
    change: float
    p_value: float
    alarm: bool

    def what(self) -> Message:
        """Kind and name; a lead column keeps the name it has in the table."""
        within = _WON_WITHIN.fullmatch(self.name)
        if within is not None:
            name: str = message("drift_name.won_within", days=int(within[1]))
        else:
            name = message(f"drift_name.{self.name}") if self.name in _NAMED else self.name
        return message("drift.what", kind=message(f"drift_kind.{self.kind}"), name=name)

    def told(self) -> Message:
        """What it is, by how much, and how sure."""
        if np.isfinite(self.p_value):
            return message("drift.alarm_p", what=self.what(), change=self.change, p=self.p_value)
        return message("drift.alarm", what=self.what(), change=self.change)


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
        *target_findings(pairs, as_of, rng, rules, unit.conversion.times),
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
    return [found for level, family in tested.items() for found in _judged(family, level, rules.smallest_shift)]


def _judged(family: Sequence[tuple[str, str, Shift]], level: float, smallest: float) -> list[Finding]:
    """Findings of shifts that are judged together: alarms where the adjusted p-value and the size both say so."""
    adjusted = holm(np.array([shift.p_value for *_, shift in family], dtype=np.float64))
    return [
        Finding(kind, name, shift.change, float(p), bool(p <= level and abs(shift.change) >= smallest))
        for (kind, name, shift), p in zip(family, adjusted, strict=True)
    ]


def target_findings(
    pairs: pd.DataFrame, as_of: int, rng: np.random.Generator, rules: DriftRules, times: WinTimes | None = None
) -> list[Finding]:
    """Shifts of what is predicted, and of what the predictions leave over, over the newest three periods.

    The share won in time: within `target_days` of the hand-over, asked of leads handed over at least so long ago, so
    that no month looks poor for being young; the logarithm of amounts won, by the day of the win; and where pairs hold
    a `prediction` and `times` are given, calibration: wins in time less those expected, the change being the ratio of
    wins to expected, the periods before set to 1. A single market month moves all of them, hence three periods; an
    absolute error of all months is the gate's to find.
    """
    reps = pd.factorize(pairs["rep_id"])[0].astype(np.int64)
    given = pairs["as_of"].to_numpy(dtype=np.int64)
    won = (pairs["outcome"] == "won").to_numpy()
    closed = pairs["resolved_at"].to_numpy(dtype=np.int64)
    days = target_days(given[won], closed[won], as_of)
    judged = periods(np.where(given <= as_of - days * DAY, given + (days * DAY - 1), NEVER), as_of)
    in_time = (won & (closed - given <= days * DAY)).astype(np.float64)
    amount = np.log(np.maximum(pairs["amount"].to_numpy(dtype=np.float64), 0.01))
    looks = [
        ("target", f"won_within_{days}_days", in_time, judged),
        ("target", "log_amount_won", amount, periods(np.where(won, closed, NEVER), as_of)),
    ]
    expected = _expected_in_time(pairs, days, times)
    if expected is not None:
        looks.append(("calibration", "won_over_expected", in_time - expected, judged))
    family = []
    for kind, name, values, period in looks:
        shift = month_shift(values, period, reps, rng, rules, rules.target_periods)
        if shift is not None:
            family.append((kind, name, shift))
    found = _judged(family, rules.level_of_targets, rules.smallest_target_shift)
    if expected is None:
        return found
    ratio = _ratio_to_before(in_time, expected, judged, rules)
    return [one if one.kind == "target" else _as_ratio(one, ratio, rules) for one in found]


class WinTimes(Protocol):
    """How long wins take: share not yet won by an age in days, of leads that will be won."""

    def survival_win(self, age_days: Floats | float, source: Any = "") -> Floats:
        """(n,) shares."""
        ...


def _expected_in_time(pairs: pd.DataFrame, days: int, times: WinTimes | None) -> Floats | None:
    """(n,) chance that each lead is won in time; None without predictions or times."""
    if times is None or "prediction" not in pairs.columns:
        return None
    soon = 1.0 - np.asarray(
        times.survival_win(np.full(len(pairs), float(days)), pairs["source"].to_numpy(dtype=object)), dtype=np.float64
    )
    return np.asarray(pairs["prediction"].to_numpy(dtype=np.float64) * soon, dtype=np.float64)


def _ratio_to_before(won: Floats, expected: Floats, period: Ints, rules: DriftRules) -> float:
    """Wins over expected in the newest periods, over the same in those before; NaN where nothing was expected."""
    new, old = (period >= 0) & (period < rules.target_periods), period >= rules.target_periods
    if not (expected[new].sum() > 0 and expected[old].sum() > 0 and won[old].sum() > 0):
        return float("nan")
    return float((won[new].sum() / expected[new].sum()) / (won[old].sum() / expected[old].sum()))


def _as_ratio(found: Finding, ratio: float, rules: DriftRules) -> Finding:
    """Calibration by its ratio: an alarm where that is far from 1 and not by chance of months or reps."""
    off = not rules.ratio_low <= ratio <= rules.ratio_high
    return Finding(found.kind, found.name, ratio, found.p_value, bool(off and found.p_value <= rules.level_of_targets))


def target_days(given: Ints, closed: Ints, as_of: int) -> int:
    """Days within which half of the wins come, of leads won that are half a year old: 30, 60, 90 or 120."""
    old = given <= as_of - 180 * DAY
    took = (closed - given)[old] / DAY
    for days in (30, 60, 90):
        if len(took) and float((took <= days).mean()) >= 0.5:
            return days
    return 120


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


def month_shift(
    values: Floats, period: Ints, reps: Ints, rng: np.random.Generator, rules: DriftRules, n_new: int = 1
) -> Shift | None:
    """The newest `n_new` periods against those before; None where there is too little to say, or nothing varies."""
    kept = np.isfinite(values) & (period >= 0)
    x, when, who = values[kept], period[kept], reps[kept]
    sd = float(x.std()) if len(x) else 0.0
    n = np.bincount(when, minlength=n_new)
    usable = np.flatnonzero(n >= max(5, rules.fewest_rows // 4))
    before, new = usable[usable >= n_new], np.arange(n_new)
    if sd <= 0 or n[:n_new].min() < rules.fewest_rows or len(before) < rules.fewest_months:
        return None
    means = np.bincount(when, weights=x, minlength=len(n)) / np.maximum(n, 1)
    # Every new period has noise of its own, by its own number of rows.
    noise = float((n[before].mean() / n[new]).mean()) / n_new
    back = np.asarray(before - float(new.mean()), dtype=np.float64)
    change, p_month = _against_trend(means[before], back, float(means[new].mean()), n[before], noise)
    p_rep = _by_reps(x, when < n_new, who, rng, rules.n_flips)
    return Shift(change / sd, max(p_month, p_rep))


def _against_trend(means: Floats, back: Floats, now: float, n: Ints, noise: float) -> tuple[float, float]:
    """Change of the newest mean from a line through the others, and its two-sided p-value.

    `back`: periods from the newest mean's place. `noise`: its variance in that of a period of usual size.
    """
    k = len(means)
    weight = np.sqrt(n / n.mean())
    design = np.column_stack([np.ones(k), back])
    solved = np.linalg.lstsq(design * weight[:, None], means * weight, rcond=None)[0]
    left = (means - design @ solved) * weight
    variance = float(left @ left) / max(k - 2, 1)
    inverse = np.linalg.pinv((design * weight[:, None]).T @ (design * weight[:, None]))
    spread = np.sqrt(variance * (noise + inverse[0, 0]))
    change = now - float(solved[0])
    if spread <= 0:
        return change, 1.0 if change == 0 else 0.0
    return change, float(2 * t.sf(abs(change) / spread, max(k - 2, 1)))


def _by_reps(x: Floats, new: npt.NDArray[np.bool_], who: Ints, rng: np.random.Generator, n_flips: int) -> float:
    """Two-sided p-value of the reps' differences between the newest periods and before, signs flipped by rep."""
    size = int(who.max()) + 1
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
