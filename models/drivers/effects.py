"""Effects of the levers that HR and managers hold, each with its own specification, guards and verdict.

A lever's specification holds what would otherwise speak for it, and nothing that the lever works through: last
month's contribution belongs to follow-ups (managers answer to bad months) and would hurt training, whose effect
shows in last month's contribution as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.drivers.clustered import LEVEL, Floats, codes_of
from models.drivers.guards import Guards, Verdict, dose_range, run_guards, verdict_of
from models.drivers.lead_effects import LANDMARK_DAYS, others_mean, win_effect
from models.drivers.panel_effects import EffectError, fixed_effects, pooled_slope, shifted

FOLLOW_UPS = "followups_per_week"
CONTACT = "contact_within_24h"
TRAINED = "trained:"
_DAYS_OPEN = "days_open"
_FLOW = ("n_new_leads", "lead_quality_mean", "open_leads", "absent_days")
_TENURE_KNOTS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)  # years: a learning curve is steep at first
# Measured on synthetic desks of known truth (6,650): 6,170 without lags, 9,500 with one, 10,300 with two.
_FOLLOW_UP_LAGS = 0


@dataclass(frozen=True)
class EffectRow:
    """One lever on one outcome, as `drivers.json` gives it.

    `estimate`, `ci_low`, `ci_high` (90 %) are None exactly where `verdict` is not_identified. `unit`: probability
    (0-1) or money_per_month, a step of 1 in the driver. `naive_estimate`: what comparing reps with each other would
    say. `sensitivity` (0-1): the share of residual variation of lever and outcome that a hidden factor would have to
    explain to undo the estimate. `dose_low`, `dose_high`: what the data hold of the lever.
    """

    driver: str
    outcome: str
    unit: str
    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    method: str
    n: int
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    naive_estimate: float | None = None
    dose_low: float | None = None
    dose_high: float | None = None
    sensitivity: float | None = None

    @property
    def includes_zero(self) -> bool:
        """Whether the interval holds 0: then the texts say that no effect was found."""
        return self.ci_low is None or self.ci_high is None or self.ci_low <= 0 <= self.ci_high


def contribution_effects(
    panel: pd.DataFrame, rng: np.random.Generator, *, lags: int = _FOLLOW_UP_LAGS, level: float = LEVEL
) -> tuple[EffectRow, ...]:
    """Effects on a rep's contribution a month, one row for follow-ups and one for each skill trained.

    `panel`: one row a rep and month: rep_id, month (index), contribution (money), followups_per_week (the rep's
    mean a lead in the month), n_new_leads, lead_quality_mean, open_leads, absent_days, tenure (years),
    contribution_lag1, trained:<skill> (0-1). Only rep_id, month and contribution must be there. The follow-up effect
    is that of a lasting step: the sum over this month and the `lags` before, with the lead flow of those months held.
    """
    skills = _skills(panel)
    rows = []
    flow = _past_flow(panel, lags)
    if FOLLOW_UPS in panel:
        extra = flow + [_column(panel, TRAINED + skill) for skill in skills]
        extra += [_column(panel, "contribution_lag1")] if "contribution_lag1" in panel else []
        own = _column(panel, FOLLOW_UPS)
        # With differences to the present as controls, the present's coefficient is the sum over all lags.
        extra += [shifted(panel["rep_id"], panel["month"], own, -lag) - own for lag in range(1, lags + 1)]
        rows.append(_panel_row(panel, FOLLOW_UPS, own, extra, rng, level))
    for skill in skills:
        others = flow + [_column(panel, TRAINED + other) for other in skills if other != skill]
        rows.append(_panel_row(panel, f"training:{skill}", _column(panel, TRAINED + skill), others, rng, level))
    return tuple(rows)


def win_effects(leads: pd.DataFrame, rng: np.random.Generator, *, level: float = LEVEL) -> tuple[EffectRow, ...]:
    """Effects on the win probability of a lead: follow-ups, contact within 24 h, each skill trained.

    `leads`: one row an assigned lead: rep_id, month (index, of assignment), y (1 won, 0 not, NaN open),
    followups_per_week (of `landmark_frequency`; NaN where it is not defined), contacted_24h (0 or 1), quality (the
    lead's own predicted logit, no rep in it), tenure_years, days_open, trained:<skill> (completed before assignment,
    0 or 1). Leads too recent to have ended must be left out *by date*, not by whether they have ended.
    """
    skills = _skills(leads)
    rows = []
    trained = [_column(leads, TRAINED + skill) for skill in skills]
    if FOLLOW_UPS in leads:
        own = _column(leads, FOLLOW_UPS)
        if _DAYS_OPEN in leads:  # closed before the landmark: their frequency is that of a short time
            own = np.where(_column(leads, _DAYS_OPEN) < LANDMARK_DAYS, np.nan, own)
        rows.append(_lead_row(leads, FOLLOW_UPS, own, trained, rng, level, habit=True))
    if "contacted_24h" in leads:
        rows.append(_lead_row(leads, CONTACT, _column(leads, "contacted_24h"), trained, rng, level))
    for skill in skills:
        others = [_column(leads, TRAINED + other) for other in skills if other != skill]
        rows.append(_lead_row(leads, f"training:{skill}", _column(leads, TRAINED + skill), others, rng, level))
    return tuple(rows)


def _past_flow(panel: pd.DataFrame, lags: int) -> list[Floats]:
    """Leads that came in the `lags` months before and their quality: this month's deals are made of them as well."""
    return [
        shifted(panel["rep_id"], panel["month"], _column(panel, name), -lag)
        for name in _FLOW[:2]
        if name in panel
        for lag in range(1, lags + 1)
    ]


def _skills(frame: pd.DataFrame) -> list[str]:
    return sorted(str(name)[len(TRAINED) :] for name in frame.columns if str(name).startswith(TRAINED))


def _column(frame: pd.DataFrame, name: str) -> Floats:
    return np.asarray(frame[name].to_numpy(dtype=np.float64), dtype=np.float64)


def _tenure(frame: pd.DataFrame, name: str) -> list[Floats]:
    """Tenure beyond what rep and month effects take out already: the bend of the learning curve."""
    if name not in frame:
        return []
    years = np.maximum(_column(frame, name), 0.0)
    return [np.log1p(years), *(np.minimum(years, knot) for knot in _TENURE_KNOTS)]


def _moving(columns: Sequence[Floats], n: int) -> Floats:
    """Controls (n, k) that hold at least one number and vary; a column that is empty must not empty the panel."""
    kept = [c for c in columns if np.isfinite(c).mean() > 0.5 and np.nanstd(c) > 0] if n else []
    return np.column_stack(kept) if kept else np.empty((n, 0))


def _panel_row(
    panel: pd.DataFrame, driver: str, treatment: Floats, extra: list[Floats], rng: np.random.Generator, level: float
) -> EffectRow:
    unit, time = panel["rep_id"].to_numpy(), panel["month"].to_numpy(dtype=np.int64)
    outcome = _column(panel, "contribution")
    controls = _moving([_column(panel, c) for c in _FLOW if c in panel] + _tenure(panel, "tenure") + extra, len(panel))
    naive = pooled_slope(treatment, outcome)
    try:
        levels = fixed_effects(unit, time, treatment, outcome, controls, level=level)
        guards = run_guards(levels, unit, time, treatment, outcome, controls, rng)
    except EffectError:
        return _withheld(driver, "contribution", "money_per_month", len(panel), naive, treatment)
    found = levels.interval
    numbers = (found.estimate, found.ci_low, found.ci_high, levels.robustness)
    return _row(driver, "contribution", "money_per_month", "fixed_effects", numbers, levels.n, guards, naive)


def _lead_row(
    leads: pd.DataFrame,
    driver: str,
    treatment: Floats,
    extra: list[Floats],
    rng: np.random.Generator,
    level: float,
    *,
    habit: bool = False,
) -> EffectRow:
    unit, time = leads["rep_id"].to_numpy(), leads["month"].to_numpy(dtype=np.int64)
    outcome = _column(leads, "y")
    quality = [_column(leads, "quality")] if "quality" in leads else []
    controls = _moving(quality + _tenure(leads, "tenure_years") + extra, len(leads))
    naive = pooled_slope(treatment, outcome)
    try:
        instrument = others_mean(unit, time, np.where(np.isfinite(outcome), treatment, np.nan)) if habit else None
        found = win_effect(unit, time, treatment, outcome, controls, instrument=instrument, level=level)
        guards = _monthly_guards(unit, time, treatment, outcome, controls, rng)
    except EffectError:
        return _withheld(driver, "win_probability", "probability", len(leads), naive, treatment)
    step = found.interval
    numbers = (step.estimate, step.ci_low, step.ci_high, found.robustness)
    method = "logit_rep_month_effects_habit" if habit else "logit_rep_month_effects"
    return _row(driver, "win_probability", "probability", method, numbers, found.n, guards, naive)


def _monthly_guards(
    unit: np.ndarray[tuple[int], np.dtype[np.object_]],
    time: np.ndarray[tuple[int], np.dtype[np.int64]],
    treatment: Floats,
    outcome: Floats,
    controls: Floats,
    rng: np.random.Generator,
) -> Guards:
    """Guards on the means of each rep's leads of a month; the dose range is that of the leads themselves."""
    whole = np.isfinite(treatment) & np.isfinite(outcome) & np.isfinite(controls).all(axis=1)
    units, _ = codes_of(unit[whole])
    times = time[whole]
    cell, n_cells = codes_of(units * (int(times.max()) + 1) + times)
    counts = np.bincount(cell, minlength=n_cells)
    columns = np.column_stack([units, times, treatment[whole], outcome[whole], controls[whole]])
    means = np.column_stack([np.bincount(cell, weights=c, minlength=n_cells) / counts for c in columns.T])
    rep, month = np.rint(means[:, 0]).astype(np.int64), np.rint(means[:, 1]).astype(np.int64)
    levels = fixed_effects(rep, month, means[:, 2], means[:, 3], means[:, 4:])
    dose = dose_range(treatment[whole])
    return run_guards(levels, rep, month, means[:, 2], means[:, 3], means[:, 4:], rng, dose=dose)


def _row(
    driver: str,
    outcome: str,
    unit: str,
    method: str,
    numbers: tuple[float, float, float, float],
    n: int,
    guards: Guards,
    naive: float,
) -> EffectRow:
    verdict = verdict_of(guards.reasons)
    estimate, low, high, robustness = numbers
    shown = verdict != "not_identified"
    return EffectRow(
        driver=driver,
        outcome=outcome,
        unit=unit,
        estimate=estimate if shown else None,
        ci_low=low if shown else None,
        ci_high=high if shown else None,
        method=method,
        n=n,
        verdict=verdict,
        reasons=guards.reasons,
        naive_estimate=naive if np.isfinite(naive) else None,
        dose_low=guards.dose_low,
        dose_high=guards.dose_high,
        sensitivity=robustness if shown else None,
    )


def _withheld(driver: str, outcome: str, unit: str, n: int, naive: float, treatment: Floats) -> EffectRow:
    low, high = dose_range(treatment) if np.isfinite(treatment).any() else (None, None)
    return EffectRow(
        driver=driver,
        outcome=outcome,
        unit=unit,
        estimate=None,
        ci_low=None,
        ci_high=None,
        method="none",
        n=n,
        verdict="not_identified",
        reasons=("cannot_estimate",),
        naive_estimate=naive if np.isfinite(naive) else None,
        dose_low=low,
        dose_high=high,
    )
