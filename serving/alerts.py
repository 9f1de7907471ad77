"""Early warnings: signals gathered from what is known now, the rules of `models.warning_rules`, and their words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.moments import DAY, HOUR, NEVER
from features.outcomes import lead_outcomes
from features.world import World
from models.forecasting.draws import Draws
from models.warning_evidence import Conversions, Counts
from models.warning_rules import (
    Effect,
    IdleLead,
    OpenCourse,
    Outlook,
    Reason,
    Signals,
    Suggestion,
    WarningItem,
    WarningSettings,
    find_warnings,
)
from serving.texts import Lang, money, number, percent, t
from training.unit import ModelUnit

Floats = npt.NDArray[np.float64]
Json = dict[str, Any]

NOW_DAYS = 28
BEFORE_DAYS = 90
CLOSED_NOW_DAYS = 60
CLOSED_BEFORE_DAYS = 180
VALUABLE_QUANTILE = 0.75
_FEWEST_WEEKS = 4.0


@dataclass(frozen=True)
class AlertInputs:
    """What warnings are found from: the forecast's draws and goals, features, and every lead with its chance."""

    world: World
    unit: ModelUnit
    draws: Draws
    targets: pd.DataFrame
    pairs: pd.DataFrame
    miss_ratio: float
    contact_hours: float
    budget: int


def find_alerts(inputs: AlertInputs) -> list[WarningItem]:
    """Warnings as of the world's moment, most urgent first."""
    zone = inputs.world.tables.zone
    month = moments.month_of(inputs.world.as_of, zone)
    effects = {
        str(row["driver"]): Effect(row["estimate"], row["ci_low"], row["ci_high"], row["verdict"])
        for row in inputs.unit.effects
        if row["outcome"] == "contribution"
    }
    settings = WarningSettings(budget=inputs.budget)
    return find_warnings(
        outlooks(inputs), signals(inputs), month, moments.iso(inputs.world.as_of, zone), effects, settings
    )


def outlooks(inputs: AlertInputs) -> list[Outlook]:
    """The forecast of each rep and month, with what is missing to the target on average."""
    draws = inputs.draws
    goals = {
        (str(r), int(m)): float(a) for r, m, a in inputs.targets[["rep_id", "month", "amount"]].itertuples(index=False)
    }
    recent = inputs.world.rep_features(np.array(draws.rep_ids, dtype=object), inputs.world.as_of)
    half_year = recent["rep_contribution_180d"].to_numpy(dtype=np.float64) / 180 * 30.4
    found = []
    for r, rep_id in enumerate(draws.rep_ids):
        for h, month in enumerate(draws.months):
            if not draws.present[r, h]:
                continue
            samples = draws.samples[:, r, h]
            target = goals.get((rep_id, int(month)))
            edge = inputs.miss_ratio * target if target is not None else 0.0
            found.append(
                Outlook(
                    rep_id, draws.team_ids[r], int(month), float(samples.mean()), target,
                    None if target is None else float((samples < edge).mean()),
                    float(np.maximum(edge - samples, 0.0).mean()),
                    (Reason("recent_mean", float(half_year[r]), None),),
                )
            )  # fmt: skip
    return found


def signals(inputs: AlertInputs) -> list[Signals]:
    """What each present sales rep did lately against his own months before."""
    world, as_of = inputs.world, inputs.world.as_of
    reps = world.tables.reps.drop_duplicates("rep_id")
    left = dict(zip(reps["rep_id"], reps["left_on"].to_numpy(dtype=np.int64), strict=True))
    teams = dict(zip(reps["rep_id"], reps["team_id"].astype(str), strict=True))
    present = [r for r in inputs.draws.rep_ids if int(left[r]) > as_of]
    ids = np.array(present, dtype=object)
    now, before = world.rep_features(ids, as_of), world.rep_features(ids, as_of - NOW_DAYS * DAY)
    long_ago = world.rep_features(ids, as_of - (NOW_DAYS + BEFORE_DAYS) * DAY)
    outcomes = lead_outcomes(world.tables, as_of, world.spec.dead_after_days)
    responses = _responses(outcomes, as_of, inputs.contact_hours)
    conversions = _conversions(inputs.pairs, as_of)
    usual = _usual_gap(now)
    idle = _idle_leads(inputs, outcomes, usual)
    courses = _open_courses(world)
    return [
        Signals(
            rep_id=rep,
            team_id=teams[rep],
            follow_ups=_follow_ups(now.iloc[i], before.iloc[i], long_ago.iloc[i]),
            responses=responses.get(rep),
            conversions=conversions.get(rep),
            workload=_workload(now.iloc[i], before.iloc[i], long_ago.iloc[i]),
            idle_leads=tuple(idle.get(rep, ())),
            courses=tuple(courses.get(rep, ())),
            absent_days=float(now.iloc[i]["rep_absent_days_28d"]),
        )
        for i, rep in enumerate(present)
    ]


def _follow_ups(now: pd.Series, before: pd.Series, long_ago: pd.Series) -> Counts | None:
    """Activities over lead-weeks: the last 28 days against the 90 before them."""
    open_now, open_then, open_long = (float(f["rep_open_leads"]) for f in (now, before, long_ago))
    lead_weeks_now = (open_now + open_then) / 2 * NOW_DAYS / 7
    lead_weeks_before = (open_then + open_long) / 2 * BEFORE_DAYS / 7
    if min(lead_weeks_now, lead_weeks_before) < _FEWEST_WEEKS:
        return None
    count_now = float(now["rep_follow_ups_per_week_28d"]) * NOW_DAYS / 7
    count_before = float(before["rep_follow_ups_per_week_90d"]) * BEFORE_DAYS / 7
    return Counts(count_now, lead_weeks_now, count_before, lead_weeks_before)


def _workload(now: pd.Series, before: pd.Series, long_ago: pd.Series) -> Counts | None:
    usual = float(before["rep_open_leads"]) + float(long_ago["rep_open_leads"])
    return Counts(float(now["rep_open_leads"]), 1.0, usual, 2.0) if usual > 0 else None


def _responses(outcomes: pd.DataFrame, as_of: int, hours: float) -> dict[str, Counts]:
    """First contacts in time over leads whose time for it is over."""
    late = int(hours * HOUR)
    at = outcomes["assigned_at"].to_numpy(dtype=np.int64)
    contact = outcomes["first_contact_at"].to_numpy(dtype=np.int64)
    in_time = (contact != NEVER) & (contact - at <= late)
    due = at + late < as_of
    is_now = due & (at >= as_of - NOW_DAYS * DAY)
    is_before = due & ~is_now & (at >= as_of - (NOW_DAYS + BEFORE_DAYS) * DAY)
    frame = pd.DataFrame(
        {
            "rep_id": outcomes["rep_id"],
            "now": is_now & in_time,
            "n_now": is_now,
            "before": is_before & in_time,
            "n_before": is_before,
        }
    )
    sums = frame.groupby("rep_id").sum()
    columns = ("now", "n_now", "before", "n_before")
    return {
        str(rep): Counts(*(float(row[c]) for c in columns))
        for rep, row in sums.iterrows()
        if row["n_now"] > 0 and row["n_before"] > 0
    }


def _conversions(pairs: pd.DataFrame, as_of: int) -> dict[str, Conversions]:
    """Leads that closed in the last 60 days and in the 180 before, with the chances they had at hand-over."""
    at = pairs["resolved_at"].to_numpy(dtype=np.int64)
    now = (at != NEVER) & (at >= as_of - CLOSED_NOW_DAYS * DAY) & (at < as_of)
    before = (at >= as_of - (CLOSED_NOW_DAYS + CLOSED_BEFORE_DAYS) * DAY) & (at < as_of - CLOSED_NOW_DAYS * DAY)
    won = (pairs["outcome"] == "won").to_numpy()
    chance = pairs["p_win"].to_numpy(dtype=np.float64)
    found = {}
    groups: dict[Any, Any] = dict(pairs.groupby("rep_id").indices)
    for rep, rows in groups.items():
        lately, earlier = rows[now[rows]], rows[before[rows]]
        if len(lately) and len(earlier):
            found[str(rep)] = Conversions(
                int(won[lately].sum()), tuple(map(float, chance[lately])),
                int(won[earlier].sum()), tuple(map(float, chance[earlier])),
            )  # fmt: skip
    return found


def _usual_gap(now: pd.DataFrame) -> float:
    """Days between two follow-ups of an open lead, over the desk."""
    per_lead = now["rep_follow_ups_per_open_lead_90d"].to_numpy(dtype=np.float64)
    per_lead = per_lead[np.isfinite(per_lead) & (per_lead > 0)]
    return float(90 / np.median(per_lead)) if len(per_lead) else 14.0


def _idle_leads(inputs: AlertInputs, outcomes: pd.DataFrame, usual: float) -> dict[str, list[IdleLead]]:
    """The most valuable quarter of open leads, with the days since anything happened on them."""
    as_of = inputs.world.as_of
    open_ = inputs.pairs.loc[(inputs.pairs["outcome"] == "open").to_numpy()]
    if not len(open_) or not len(inputs.world.tables.activities):
        return {}
    worth = (open_["p_win"] * open_["expected_amount"]).to_numpy(dtype=np.float64)
    last = outcomes.set_index("lead_id")["last_activity_at"].reindex(open_["lead_id"]).to_numpy(dtype=np.int64)
    since = np.where(last == NEVER, open_["as_of"].to_numpy(dtype=np.int64), last)
    edge = float(np.quantile(worth, VALUABLE_QUANTILE))
    found: dict[str, list[IdleLead]] = {}
    for lead, rep, value, moment in zip(open_["lead_id"], open_["rep_id"], worth, since, strict=True):
        if value >= edge:
            found.setdefault(str(rep), []).append(IdleLead(str(lead), float(value), (as_of - moment) / DAY, usual))
    return found


def _open_courses(world: World) -> dict[str, list[OpenCourse]]:
    trainings = world.tables.trainings
    done = (trainings["completed_on"] < NEVER).to_numpy()
    took = (trainings["completed_on"] - trainings["assigned_on"])[done].to_numpy(dtype=np.float64) / DAY
    usual = float(np.median(took)) if len(took) else 30.0
    found: dict[str, list[OpenCourse]] = {}
    open_ = trainings.loc[~done]
    ages = (world.as_of - open_["assigned_on"].to_numpy(dtype=np.int64)) / DAY
    for rep, course, skill, days in zip(open_["rep_id"], open_["course"], open_["skill"], ages, strict=True):
        found.setdefault(str(rep), []).append(OpenCourse(str(course), str(skill), float(days), usual))
    return found


# -- words ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AlertWords:
    """What texts need beside the numbers."""

    lang: Lang
    currency: str
    miss_ratio: float
    contact_hours: float


def alert_documents(
    items: Sequence[WarningItem], words: AlertWords, status_of: Callable[[str], tuple[str, str]]
) -> list[Json]:
    """The contract's warning items. `status_of(id)`: status and opened_at as the store has them."""
    return [_document(item, words, *status_of(item.id)) for item in items]


def _document(item: WarningItem, words: AlertWords, status: str, opened_at: str) -> Json:
    return {
        "id": item.id,
        "rep_id": item.rep_id,
        "lead_id": item.lead_id or None,
        "team_id": item.team_id,
        "kind": item.kind,
        "title": t(words.lang, f"alert_kind.{item.kind}"),
        "severity": item.severity,
        "month": item.month,
        "p_miss": item.p_miss,
        "expected": item.expected,
        "target": item.target,
        "reasons": [
            {
                "code": reason.code,
                "text": reason_words(reason, words),
                "value": _finite(reason.value),
                "baseline": _finite(reason.baseline),
            }
            for reason in item.reasons
        ],
        "suggestions": [
            {
                "code": one.code,
                "text": advice_words(one, words),
                "expected_gain": _finite(one.expected_gain),
                "evidence": one.evidence,
            }
            for one in item.suggestions
        ],
        "status": status,
        "opened_at": opened_at or item.opened_at,
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


_AS_MONEY = {"expected_below_target", "recent_mean"}
_AS_SHARE = {"contact_in_time_share", "won_share", "leads_got_worse"}
_AS_COUNT = {"absence", "open_leads", "days_without_activity", "training_unfinished_days"}


def reason_words(reason: Reason, words: AlertWords) -> str:
    """One reason as a sentence with its numbers."""
    lang = words.lang

    def shown(value: float | None) -> str:
        if reason.code in _AS_MONEY:
            return money(lang, words.currency, value)
        if reason.code in _AS_SHARE:
            return percent(lang, value)
        return number(lang, value, 0 if reason.code in _AS_COUNT else 1)

    extra: Mapping[str, Any] = reason.numbers
    return t(
        lang,
        f"alert_text.{reason.code}",
        value=shown(reason.value),
        baseline=shown(reason.baseline),
        p_miss=percent(lang, extra.get("p_miss")),
        ratio=percent(lang, words.miss_ratio),
        hours=number(lang, words.contact_hours),
        course=extra.get("course", ""),
        worth=money(lang, words.currency, extra.get("expected_value")),
    )


def advice_words(one: Suggestion, words: AlertWords) -> str:
    """One suggestion as a sentence, with what it should bring or that nothing can be promised."""
    text = t(words.lang, f"alert_advice.{one.code}", course=one.numbers.get("course", ""))
    if one.expected_gain is None or one.evidence not in ("identified", "suggestive"):
        return text + t(words.lang, "alert_advice.no_gain")
    evidence = t(words.lang, f"alert_advice.{one.evidence}")
    gain = money(words.lang, words.currency, one.expected_gain, signed=True)
    return text + t(words.lang, "alert_advice.gain", gain=gain, evidence=evidence)
