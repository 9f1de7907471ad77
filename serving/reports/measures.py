"""Whether what was introduced worked, and pilots of what cannot be told: results of one report, without language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd

from features.config import Config, Measure
from features.tables import Tables
from models.drivers.clustered import Interval
from models.drivers.did import DidEffect
from models.drivers.effects import EffectRow
from models.drivers.guards import FEW_MOVING_UNITS, Verdict
from models.drivers.panel_effects import EffectError
from models.drivers.pilot import FEWEST_REPS, Duration, PilotPlan
from serving.pilots import PilotFile
from training.measure_frames import Touched, configured, courses, effect_of, months_to_win, next_month, routing
from training.pilots import design, eligible, result

Kind = Literal["course", "routing", "measure", "pilot"]
SEED = 7


@dataclass(frozen=True)
class Outside:
    """What a report says beyond tables and release: when each rep was first given a lead by the machine (moments),
    the lists of pilots by path as the settings name them, and what reps are compared with.
    """

    routed: Mapping[str, int] = field(default_factory=dict)
    pilots: Mapping[str, PilotFile] = field(default_factory=dict)
    against: Literal["peers", "top"] = "peers"


@dataclass(frozen=True)
class MeasureResult:
    """Whether a measure changed contribution, in money a rep and month; numbers None where `verdict` withholds them.

    `name`: the measure's in the settings, or the driver of a course; `title`: for people, may be empty.
    `before_after`: the bare change of the touched, which is no effect. `rounds`: how many starts. `first_month`: the
    first whole month (index) in which it acted on anybody. `drift_to_undo`: money a month by which touched and
    untouched would have to drift apart unseen to undo it. `ramp`: first months that are left out, as their money
    is mostly of leads worked on before. `path`: (month from the start, difference, low, high).
    """

    name: str
    kind: Kind
    title: str
    method: Literal["difference_in_differences", "randomised"]
    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    verdict: Verdict
    reasons: tuple[str, ...]
    n_touched: int
    n_untouched: int
    rounds: int
    first_month: int | None
    before_after: float | None = None
    trend_p: float | None = None
    drift_to_undo: float | None = None
    path: tuple[tuple[int, float, float, float], ...] = ()
    months_over: int | None = None
    ramp: int = 0
    outcome: str = "contribution"
    unit: str = "money_per_month"

    @property
    def includes_zero(self) -> bool:
        """Whether the interval holds 0, or there is none."""
        return self.ci_low is None or self.ci_high is None or self.ci_low <= 0 <= self.ci_high


@dataclass(frozen=True)
class Pilot:
    """A pilot that would tell what a lever brings, from month `start` (index).

    `months`: how long; `smallest_effect`: what it shows with a power of 0.8; `wanted`: a tenth of a mean month, and
    `needed` the reps that six months would take to show that. `first` and `later`: reps by arm. `sd`, `near`, `far`:
    the desk's own spread and correlation of months. `reason`: why none can be planned, "" where one can.
    """

    lever: str
    start: int
    months: int = 0
    smallest_effect: float | None = None
    wanted: float | None = None
    power_for_wanted: float | None = None
    enough: bool = False
    needed: int | None = None
    n_first: int = 0
    n_later: int = 0
    first: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    durations: tuple[Duration, ...] = ()
    sd: float | None = None
    near: float | None = None
    far: float | None = None
    seed: int = SEED
    reason: str = ""


def measure_results(
    tables: Tables, as_of: int, frame: pd.DataFrame, config: Config, outside: Outside
) -> tuple[MeasureResult, ...]:
    """Measures of the settings, then routing where it is on, then each course; `frame`: `rep_months`."""
    learnt = courses(tables)
    found = []
    for measure in config.measures:
        if measure.pilot:
            found.append(_by_lot(frame, measure, outside.pilots.get(measure.pilot)))
        else:
            found.append(_by_difference(frame, measure.name, "measure", measure.title, configured(measure, tables), ()))
    if (machine := routing(outside.routed, as_of, tables.zone)).starts:
        acting = replace(machine, ramp=months_to_win(tables))  # it acts on the leads that come from then on
        found.append(_by_difference(frame, "routing", "routing", "", acting, ()))
    for name, touched in learnt.items():
        others = [one for other, one in learnt.items() if other != name]
        found.append(_by_difference(frame, name, "course", "", touched, others))
    return tuple(found)


def _by_difference(
    frame: pd.DataFrame, name: str, kind: Kind, title: str, touched: Touched, also: Sequence[Touched]
) -> MeasureResult:
    try:
        effect = effect_of(frame, touched, also)
    except EffectError:
        effect = DidEffect(None, "not_identified", ("trend_unchecked",), 0, 0, 0, float("nan"), None, None)
    low, mid, high = _numbers(effect.interval)
    return MeasureResult(
        name=name,
        kind=kind,
        title=title,
        method="difference_in_differences",
        estimate=mid,
        ci_low=low,
        ci_high=high,
        verdict=effect.verdict,
        reasons=effect.reasons,
        n_touched=effect.n_touched,
        n_untouched=effect.n_untouched,
        rounds=effect.rounds,
        first_month=min(touched.starts.values(), default=None),
        before_after=effect.before_after if np.isfinite(effect.before_after) else None,
        trend_p=effect.trend_p,
        drift_to_undo=effect.drift_to_undo,
        path=tuple((s.time, s.interval.estimate, s.interval.ci_low, s.interval.ci_high) for s in effect.path),
        ramp=touched.ramp,
    )


def _by_lot(frame: pd.DataFrame, measure: Measure, pilot: PilotFile | None) -> MeasureResult:
    empty = MeasureResult(
        measure.name, "pilot", measure.title, "randomised", None, None, None, "not_identified",
        ("pilot_not_over",), 0, 0, 1, None if pilot is None else pilot.start,
    )  # fmt: skip
    if pilot is None:
        return empty
    return pilot_result(frame, pilot, measure.name, measure.title) or empty


def pilot_result(frame: pd.DataFrame, pilot: PilotFile, name: str, title: str = "") -> MeasureResult | None:
    """What a drawn pilot says so far; None where no month of it is over or an arm is empty."""
    try:
        read = result(frame, pilot.first, pilot.start, pilot.months)
    except EffectError:
        return None
    arms = read.arms
    reasons: tuple[str, ...] = () if arms.balanced else ("arms_differ",)
    if arms.balanced and min(arms.n_treated, arms.n_untreated) < FEW_MOVING_UNITS:
        reasons = ("few_reps",)
    if arms.balanced and read.months_over < pilot.months:
        reasons = (*reasons, "pilot_not_over")
    low, mid, high = _numbers(arms.interval if arms.balanced else None)
    return MeasureResult(
        name=name,
        kind="pilot",
        title=title,
        method="randomised",
        estimate=mid,
        ci_low=low,
        ci_high=high,
        verdict="not_identified" if mid is None else "suggestive" if reasons else "identified",
        reasons=reasons,
        n_touched=arms.n_treated,
        n_untouched=arms.n_untreated,
        rounds=1,
        first_month=pilot.start,
        before_after=_bare(frame, pilot),
        months_over=read.months_over,
    )


def _bare(frame: pd.DataFrame, pilot: PilotFile) -> float | None:
    """Bare change of the first arm."""
    mine = frame.loc[frame["rep_id"].isin([rep for rep, first in pilot.first.items() if first]).to_numpy()]
    inside = ((mine["month"] >= pilot.start) & (mine["month"] < pilot.start + pilot.months)).to_numpy()
    ahead = ((mine["month"] >= pilot.start - 6) & (mine["month"] < pilot.start)).to_numpy()
    if not inside.any() or not ahead.any():
        return None
    return float(mine.loc[inside, "contribution"].mean() - mine.loc[ahead, "contribution"].mean())


def _numbers(found: Interval | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if found is None else (found.ci_low, found.estimate, found.ci_high)


def unsettled(effects: Sequence[EffectRow], measures: Sequence[MeasureResult]) -> tuple[str, ...]:
    """Levers that no estimate settles: not identified on contribution, and not on winning either, by name.

    A course whose before and after is identified needs no pilot.
    """
    settled = {row.driver for row in effects if row.verdict == "identified"}
    settled |= {one.name for one in measures if one.verdict == "identified" and not one.includes_zero}
    named = [row.driver for row in effects] + [one.name for one in measures if one.kind == "course"]
    return tuple(name for name in dict.fromkeys(named) if name not in settled)


def pilots_of(tables: Tables, as_of: int, frame: pd.DataFrame, levers: Sequence[str]) -> tuple[Pilot, ...]:
    """A pilot of each lever, or why there can be none."""
    return tuple(make_pilot(tables, as_of, frame, lever) for lever in levers)


def make_pilot(
    tables: Tables, as_of: int, frame: pd.DataFrame, lever: str, seed: int = SEED, wanted: float | None = None
) -> Pilot:
    """A pilot of one lever from the next whole month on, or why there can be none."""
    start = next_month(as_of, tables.zone)
    try:
        plan = design(tables, as_of, frame, lever, seed, wanted=wanted)
    except EffectError:
        many = len(eligible(tables, as_of, lever)) >= FEWEST_REPS
        return Pilot(lever, start, seed=seed, reason="no_history" if many else "too_few_to_draw")
    return pilot_of_plan(plan, lever, start, seed)


def pilot_of_plan(plan: PilotPlan, lever: str, start: int, seed: int) -> Pilot:
    """The plan in the report's terms."""
    return Pilot(
        lever=lever,
        start=start,
        months=plan.chosen.months,
        smallest_effect=plan.chosen.smallest_effect,
        wanted=plan.wanted,
        power_for_wanted=plan.chosen.power,
        enough=plan.enough,
        needed=plan.needed,
        n_first=plan.n_first,
        n_later=len(plan.ids) - plan.n_first,
        first=tuple(rep for rep, first in zip(plan.ids, plan.first, strict=True) if first),
        later=tuple(rep for rep, first in zip(plan.ids, plan.first, strict=True) if not first),
        durations=plan.durations,
        sd=plan.history.sd,
        near=plan.history.near,
        far=plan.history.far,
        seed=seed,
    )
