"""Effects of the levers that HR and managers hold, each with its own specification, guards and verdict.

A lever's specification holds what would otherwise speak for it, and nothing that the lever works through: last
month's contribution belongs to follow-ups (managers answer to bad months) and would hurt training, whose effect
shows in last month's contribution as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.drivers.clustered import LEVEL, Floats, Interval, Ints, codes_of, interval
from models.drivers.guards import (
    ALPHA,
    FEW_MOVING_UNITS,
    MIN_MOVING_UNITS,
    Guards,
    Verdict,
    dose_range,
    level_if_shown,
    run_guards,
    verdict_of,
)
from models.drivers.habit import habit_effect
from models.drivers.lead_effects import LANDMARK_DAYS, LeadEffect, win_effect
from models.drivers.panel_effects import EffectError, fixed_effects, pooled_slope, shifted
from models.drivers.pooling import LEAST_POOLED, shrunken
from models.drivers.slow_drift import DRIFT_ALPHA

FOLLOW_UPS = "followups_per_week"
CONTACT = "contact_within_24h"
TRAINED = "trained:"
_DAYS_OPEN = "days_open"
_FLOW = ("n_new_leads", "lead_quality_mean", "open_leads", "absent_days")
_TENURE_KNOTS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)  # years: a learning curve is steep at first
_MEANWHILE = "habit_meanwhile"
_WEEKS = ("followups_week_1", "followups_week_2")
_DEAL_SIZE_ALPHA = 0.01
_RIPE = 0.9  # share of wins on record from which a lead's outcome is taken as it stands
# Of a course only one month's change a rep speaks, in few leads: at 3 % sound worlds were withheld too often.
_AGREEMENT_ALPHA = 0.01
# Of the months' guards only these speak of the leads' estimate too; the others are about the months' own arithmetic.
_SHARED_GUARDS = ("levels_and_changes_disagree", "future_predicts_present")
# How often the guards of one kind of row withhold a sound number; a row of leads is withheld by the months' as well.
_OF_MONTHS = (ALPHA, ALPHA)
_OF_COURSES = (_AGREEMENT_ALPHA, ALPHA, *_OF_MONTHS)
_OF_HABITS = (DRIFT_ALPHA, *_OF_MONTHS)


@dataclass(frozen=True)
class EffectRow:
    """One lever on one outcome, as `drivers.json` gives it.

    `estimate`, `ci_low`, `ci_high` are None exactly where `verdict` is not_identified; the interval holds the truth in
    90 % of the rows that are shown (`level_if_shown`). `unit`: probability
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
    panel: pd.DataFrame, rng: np.random.Generator, *, lags: int = 0, level: float = LEVEL
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
    followups_per_week (of `landmark_frequency` over seven weeks; NaN where it is not defined), followups_week_1 and _2,
    habit_meanwhile (`concurrent_habit`),
    contacted_24h (0 or 1), quality (the lead's own predicted logit, no rep in it), tenure_years,
    days_open, trained:<skill> (completed before assignment, 0 or 1; NaN: left out), worth (money if won), amount (money
    it did bring, NaN unless won). Leads too recent to have ended stay in as not won, with `maturity` (0-1, of
    `matured_share`; `maturity_landmark` among those open at the landmark), or are left out *by date*, never by whether
    they have ended.
    """
    return tuple(_win_row(lever) for lever in _pooled(_levers(leads, rng, level)))


def effect_rows(
    leads: pd.DataFrame,
    panel: pd.DataFrame,
    rng: np.random.Generator,
    leads_per_month: float,
    *,
    rare_skills: Sequence[str] = (),
    level: float = LEVEL,
) -> tuple[EffectRow, ...]:
    """Every lever on winning, then on contribution, follow-ups first.

    A lead pays off months after the work on it, so what a lever does to a month's money is taken from the leads that
    the work was done on: each lead's change of win probability times its `worth`, times the `leads_per_month` of a
    rep. The panel of months (`contribution_effects`) guards it, and stands in where the leads cannot say.
    `rare_skills`: skills that too few completed to estimate anything; they are named and withheld.
    """
    levers = _pooled(_levers(leads, rng, level))
    nan = float("nan")
    levers += [_Lever(f"training:{skill}", 0, (0.0, 1.0), nan, nan, reasons=("too_few_reps",)) for skill in rare_skills]
    months = {row.driver: row for row in contribution_effects(panel, rng, level=level)}
    money = [_money_row(lever, months.pop(lever.driver, None), leads_per_month) for lever in levers]
    return (*(_win_row(lever) for lever in levers), *money, *months.values())


@dataclass(frozen=True)
class _Lever:
    """One lever on the leads: `found` None where it cannot be estimated; `money` a lead; naive slopes on both."""

    driver: str
    n: int
    dose: tuple[float, float] | None
    naive: float
    naive_money: float
    found: LeadEffect | None = None
    money: Interval | None = None
    reasons: tuple[str, ...] = ("cannot_estimate",)


def _levers(leads: pd.DataFrame, rng: np.random.Generator, level: float) -> list[_Lever]:
    skills = _skills(leads)
    trained = {skill: _column(leads, TRAINED + skill) for skill in skills}
    known = {skill: np.nan_to_num(column) for skill, column in trained.items()}
    rows = []
    if FOLLOW_UPS in leads:
        own = _column(leads, FOLLOW_UPS)
        if _DAYS_OPEN in leads:  # closed before the landmark: their frequency is that of a short time
            own = np.where(_column(leads, _DAYS_OPEN) < LANDMARK_DAYS, np.nan, own)
        rows.append(_lever(leads, FOLLOW_UPS, own, [*known.values()], rng, level, habit=True))
    else:
        rows.append(_Lever(FOLLOW_UPS, 0, None, float("nan"), float("nan")))
    if "contacted_24h" in leads:
        rows.append(_lever(leads, CONTACT, _column(leads, "contacted_24h"), [*known.values()], rng, level))
    for skill in skills:
        others = [column for other, column in known.items() if other != skill]
        rows.append(_lever(leads, f"training:{skill}", trained[skill], others, rng, level))
    return rows


def _pooled(levers: list[_Lever]) -> list[_Lever]:
    """The courses' estimates drawn towards their common mean; intervals and guards stay each course's own.

    A course that a guard has broken neither draws nor is drawn.
    """
    sound = [
        at
        for at, lever in enumerate(levers)
        if lever.driver.startswith("training:") and lever.found and verdict_of(lever.reasons) != "not_identified"
    ]
    if len(sound) < LEAST_POOLED:
        return levers
    found = [(levers[at].found, levers[at].money) for at in sound]
    wins = shrunken([one.interval for one, _ in found if one])
    money = shrunken([value for _, value in found if value])
    for at, win, value in zip(sound, wins, money, strict=True):
        one = levers[at].found
        assert one is not None
        levers[at] = replace(levers[at], found=replace(one, interval=win, method=f"{one.method}_pooled"), money=value)
    return levers


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
    level = level_if_shown(level, *_OF_MONTHS)
    try:
        levels = fixed_effects(unit, time, treatment, outcome, controls, level=level)
        guards = run_guards(levels, unit, time, treatment, outcome, controls, rng)
    except EffectError:
        dose = dose_range(treatment) if np.isfinite(treatment).any() else None
        return _withheld(driver, "contribution", "money_per_month", len(panel), naive, dose)
    numbers = _Numbers(levels.interval, levels.robustness, "fixed_effects", naive)
    dose = (guards.dose_low, guards.dose_high)
    return _row(driver, "contribution", "money_per_month", numbers, levels.n, guards.reasons, dose)


def _lever(
    leads: pd.DataFrame,
    driver: str,
    treatment: Floats,
    extra: list[Floats],
    rng: np.random.Generator,
    level: float,
    *,
    habit: bool = False,
) -> _Lever:
    """One lever on the leads; `habit`: it is one, seen in the rep's other leads of the month."""
    unit, time = leads["rep_id"].to_numpy(), leads["month"].to_numpy(dtype=np.int64)
    outcome = _column(leads, "y")
    worth = _column(leads, "worth") if "worth" in leads else np.ones(len(leads))
    quality = [_column(leads, "quality")] if "quality" in leads else []
    controls = _moving(quality + _tenure(leads, "tenure_years") + extra, len(leads))
    dose = dose_range(treatment) if np.isfinite(treatment).any() else None
    ripeness = "maturity_landmark" if habit else "maturity"
    maturity = _column(leads, ripeness) if ripeness in leads else np.ones(len(leads))
    ripe = maturity >= _RIPE
    level = level_if_shown(level, *(_OF_HABITS if habit else _OF_COURSES))
    plain = _Lever(
        driver,
        len(leads),
        dose,
        pooled_slope(treatment[ripe], outcome[ripe]),
        pooled_slope(treatment[ripe], (outcome * worth)[ripe]),
    )
    try:
        if not habit:
            found = win_effect(unit, time, treatment, outcome, controls, worth=worth, maturity=maturity, level=level)
            # The weeks before a course are left out of the estimate, but changes need the months on both sides of it.
            whole = np.nan_to_num(treatment) if driver.startswith("training:") else treatment
            old = (unit[ripe], time[ripe], whole[ripe], outcome[ripe], controls[ripe])
            reasons = _monthly_guards(*old, rng, _AGREEMENT_ALPHA).reasons
        else:
            weeks = (
                (_column(leads, _WEEKS[0]), _column(leads, _WEEKS[1])) if set(_WEEKS) <= set(leads.columns) else None
            )
            meanwhile = _column(leads, _MEANWHILE) if _MEANWHILE in leads else None
            seen = habit_effect(
                unit,
                time,
                treatment,
                outcome,
                controls,
                worth,
                weeks=weeks,
                maturity=maturity,
                instrument=meanwhile,
                level=level,
            )
            found, reasons = seen.effect, _habit_reasons(seen.own_only, seen.drift_p, unit, treatment)
    except EffectError:
        return plain
    money = found.money
    if "amount" in leads:
        base = float(np.nanmean((outcome * worth)[ripe])) if ripe.any() else 0.0
        money = _with_deal_size(money, leads, treatment, controls, worth, base, level)
    return replace(plain, n=found.n, found=found, money=money, reasons=reasons)


def _habit_reasons(
    own_only: bool, drift: float | None, unit: npt.NDArray[np.object_], treatment: Floats
) -> tuple[str, ...]:
    """What speaks against a follow-up effect: too few reps, a habit that stands still, a slow drift."""
    seen = np.isfinite(treatment)
    n_units = len(np.unique(unit[seen].astype(str)))
    low, high = dose_range(treatment)
    found = []
    if n_units < MIN_MOVING_UNITS:
        found.append("too_few_reps")
    elif n_units < FEW_MOVING_UNITS:
        found.append("few_reps")
    if own_only:
        found.append("habit_stands_still")
    if drift is not None and drift < DRIFT_ALPHA:
        found.append("slow_drift")
    if high - low < 1.0:
        found.append("step_beyond_data")
    return tuple(found)


def _with_deal_size(
    money: Interval, leads: pd.DataFrame, treatment: Floats, controls: Floats, worth: Floats, base: float, level: float
) -> Interval:
    """Money a lead with what the lever does to the size of deals, where it plainly does something.

    `base`: money that a lead brings on average.
    """
    amount = _column(leads, "amount")
    won = np.isfinite(amount) & (amount > 0) & (worth > 0)
    if won.sum() < 50:
        return money
    gap = np.where(won, np.log(np.where(won, amount, 1.0) / np.where(won, worth, 1.0)), np.nan)
    try:
        size = fixed_effects(leads["rep_id"], leads["month"].to_numpy(np.int64), treatment, gap, controls).interval
    except EffectError:
        return money
    if not size.p_value < _DEAL_SIZE_ALPHA:
        return money
    spread = (money.se**2 + (base * size.se) ** 2) ** 0.5
    return interval(money.estimate + base * size.estimate, spread, min(money.dof, size.dof), level)


def _monthly_guards(
    unit: npt.NDArray[np.object_],
    time: Ints,
    treatment: Floats,
    outcome: Floats,
    controls: Floats,
    rng: np.random.Generator,
    agreement_alpha: float,
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
    return run_guards(
        levels, rep, month, means[:, 2], means[:, 3], means[:, 4:], rng, dose=dose, agreement_alpha=agreement_alpha
    )


def _win_row(lever: _Lever) -> EffectRow:
    found = lever.found
    if found is None:
        return _withheld(
            lever.driver, "win_probability", "probability", lever.n, lever.naive, lever.dose, lever.reasons
        )
    numbers = _Numbers(found.interval, found.robustness, found.method, lever.naive)
    return _row(lever.driver, "win_probability", "probability", numbers, lever.n, lever.reasons, lever.dose)


def _money_row(lever: _Lever, month: EffectRow | None, leads_per_month: float) -> EffectRow:
    """Contribution from the leads, with the months' guards added; the months' own row where leads cannot say."""
    naive = leads_per_month * lever.naive_money
    if month is not None and month.naive_estimate is not None:
        naive = month.naive_estimate
    if lever.found is None or lever.money is None:
        if month is not None and month.method != "none":
            return month
        return _withheld(lever.driver, "contribution", "money_per_month", lever.n, naive, lever.dose, lever.reasons)
    one = lever.money
    found = interval(leads_per_month * one.estimate, leads_per_month * one.se, one.dof, one.level)
    broken = () if month is None else tuple(r for r in month.reasons if r in _SHARED_GUARDS)
    reasons = tuple(dict.fromkeys([*lever.reasons, *broken]))
    numbers = _Numbers(found, lever.found.robustness, f"{lever.found.method}_worth", naive)
    return _row(lever.driver, "contribution", "money_per_month", numbers, lever.n, reasons, lever.dose)


@dataclass(frozen=True)
class _Numbers:
    interval: Interval
    robustness: float
    method: str
    naive: float


def _row(
    driver: str,
    outcome: str,
    unit: str,
    numbers: _Numbers,
    n: int,
    reasons: tuple[str, ...],
    dose: tuple[float, float] | None,
) -> EffectRow:
    verdict = verdict_of(reasons)
    found, shown = numbers.interval, verdict != "not_identified"
    return EffectRow(
        driver=driver,
        outcome=outcome,
        unit=unit,
        estimate=found.estimate if shown else None,
        ci_low=found.ci_low if shown else None,
        ci_high=found.ci_high if shown else None,
        method=numbers.method,
        n=n,
        verdict=verdict,
        reasons=reasons,
        naive_estimate=numbers.naive if np.isfinite(numbers.naive) else None,
        dose_low=dose[0] if dose else None,
        dose_high=dose[1] if dose else None,
        sensitivity=numbers.robustness if shown else None,
    )


def _withheld(
    driver: str,
    outcome: str,
    unit: str,
    n: int,
    naive: float,
    dose: tuple[float, float] | None,
    reasons: tuple[str, ...] = ("cannot_estimate",),
) -> EffectRow:
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
        reasons=reasons,
        naive_estimate=naive if np.isfinite(naive) else None,
        dose_low=dose[0] if dose else None,
        dose_high=dose[1] if dose else None,
    )
