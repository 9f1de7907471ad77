"""Early warnings: signals gathered from what is known now, the rules of `models.warning_rules`, and their words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features import moments
from features.moments import DAY
from features.outcomes import lead_outcomes
from features.world import World
from models.forecasting.draws import Draws
from models.forecasting.inputs import ForecastInputs
from models.forecasting.reasons import forecast_reasons, with_miss_change
from models.warning_rules import (
    Effect,
    Reason,
    Signals,
    Suggestion,
    WarningItem,
    WarningSettings,
    find_warnings,
)
from models.warning_signals import gather_signals, outlooks_of
from serving.texts import Lang, money, number, percent, points, t
from training.unit import ModelUnit

Json = dict[str, Any]

_MOST_REASONS = 3
_LEAST_SHARE = 0.02  # of the target that a reason moves


@dataclass(frozen=True)
class AlertInputs:
    """What warnings are found from: the forecast with its inputs and goals, the world, every lead with its chance."""

    world: World
    unit: ModelUnit
    forecast: ForecastInputs
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
    outlooks = outlooks_of(inputs.draws, inputs.targets, inputs.miss_ratio, _reasons(inputs))
    as_of = inputs.world.as_of
    over = frozenset(m for m in map(int, inputs.draws.months) if as_good_as_over(m, as_of, zone))
    return find_warnings(outlooks, signals(inputs), month, moments.iso(as_of, zone), effects, settings, over)


def as_good_as_over(month: int, as_of: int, zone: str) -> bool:
    """Whether less than a day of the month (index) is left, so that nothing in it can be changed any more."""
    return moments.month_start(month + 1, zone) - as_of < DAY


def signals(inputs: AlertInputs) -> list[Signals]:
    """What each present sales rep did lately against his own months before."""
    world, as_of = inputs.world, inputs.world.as_of
    outcomes = lead_outcomes(world.tables, as_of, world.spec.dead_after_days)
    chance = inputs.pairs.set_index("lead_id")[["p_win", "expected_amount"]].reindex(outcomes["lead_id"])
    kept = chance["p_win"].notna().to_numpy()
    exposure = inputs.forecast.exposure
    p_win, amount = (chance[c].to_numpy(dtype=np.float64)[kept] for c in ("p_win", "expected_amount"))
    return gather_signals(
        world.tables, outcomes.loc[kept].reset_index(drop=True), as_of, exposure, p_win, amount, inputs.contact_hours
    )


def forecast_reason_rows(inputs: AlertInputs) -> pd.DataFrame:
    """Why forecasts are as they are: `rep_id, month, driver, value, reference, difference, p_miss_difference`.

    Empty where the forecast is not the funnel's; a funnel's share of a mixture counts with its weight.
    """
    model = inputs.unit.contribution
    weight = dict(model.choice.weights).get("funnel", 0.0)
    rows = forecast_reasons(model.funnel, inputs.forecast)
    rows = rows.assign(difference=weight * rows["difference"].astype("float64"))
    return with_miss_change(rows if weight > 0 else rows.iloc[:0], inputs.draws, inputs.targets, inputs.miss_ratio)


def _reasons(inputs: AlertInputs) -> dict[tuple[str, int], tuple[Reason, ...]]:
    """The recent mean of each rep and month, and the drivers that pull the forecast down most."""
    draws, world = inputs.draws, inputs.world
    recent = world.rep_features(np.array(draws.rep_ids, dtype=object), world.as_of)["rep_contribution_180d"]
    usual = dict(zip(draws.rep_ids, recent.to_numpy(dtype=np.float64) / 180 * 30.4, strict=True))
    found: dict[tuple[str, int], list[Reason]] = {
        (rep, int(month)): [Reason("recent_mean", float(usual[rep]), None)]
        for rep in draws.rep_ids
        for month in draws.months
    }
    rows = forecast_reason_rows(inputs)
    goals = inputs.targets.set_index(["rep_id", "month"])["amount"]
    edge = _LEAST_SHARE * goals.reindex(pd.MultiIndex.from_frame(rows[["rep_id", "month"]])).to_numpy(dtype=np.float64)
    rows = rows.loc[(rows["difference"] < -edge) & (rows["p_miss_difference"] > 0)].sort_values("difference")
    columns = ("rep_id", "month", "driver", "value", "reference", "difference", "p_miss_difference")
    for rep, month, driver, value, reference, difference, p_miss in rows[list(columns)].itertuples(index=False):
        mine = found[(str(rep), int(month))]
        if len(mine) <= _MOST_REASONS:
            numbers = {"difference": float(difference), "p_miss_difference": float(p_miss)}
            mine.append(Reason(f"forecast_{driver}", _shown(driver, value), _shown(driver, reference), numbers))
    return {key: tuple(reasons) for key, reasons in found.items()}


def _shown(driver: str, value: float) -> float:
    """A driver's value in a unit that people know: a ratio or days in place of their logarithms."""
    if driver == "follow_ups":
        return float(np.exp(value))
    return float(np.expm1(value)) if driver == "silence" else float(value)


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
        "p_miss": _rounded(item.p_miss, 6),
        "expected": _rounded(item.expected, 2),
        "target": _rounded(item.target, 2),
        "reasons": [
            {
                "code": reason.code,
                "text": reason_words(reason, words),
                "value": _rounded(reason.value, 4),
                "baseline": _rounded(reason.baseline, 4),
                **{k: v for k, v in reason.numbers.items() if k in ("difference", "p_miss_difference")},
            }
            for reason in item.reasons
        ],
        "suggestions": [
            {
                "code": one.code,
                "text": advice_words(one, words),
                "expected_gain": _rounded(one.expected_gain, 2),
                "evidence": one.evidence,
            }
            for one in item.suggestions
        ],
        "status": status,
        "opened_at": opened_at or item.opened_at,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    """The number as people may read it, None where it is missing: money to the cent."""
    return None if value is None or not np.isfinite(value) else round(float(value), digits)


_AS_MONEY = {"expected_below_target", "recent_mean"}
_AS_SHARE = {"contact_in_time_share", "won_share", "leads_got_worse", "forecast_follow_ups", "forecast_lead_mix"}
_AS_COUNT = {"absence", "open_leads", "days_without_activity", "training_unfinished_days", "forecast_open_leads"}


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
    code = f"{reason.code}_comeback" if "comeback" in extra else reason.code
    return t(
        lang,
        f"alert_text.{code}",
        value=shown(reason.value),
        baseline=shown(reason.baseline),
        p_miss=percent(lang, extra.get("p_miss")),
        ratio=percent(lang, words.miss_ratio),
        hours=number(lang, words.contact_hours),
        course=extra.get("course", ""),
        weeks=number(lang, extra.get("weeks", 4), 0),
        worth=money(lang, words.currency, extra.get("expected_value")),
        comeback=percent(lang, extra.get("comeback")),
        difference=money(lang, words.currency, extra.get("difference"), signed=True),
        risk=_risk(extra.get("p_miss_difference"), lang),
    )


def _risk(more: float | None, lang: Lang) -> str:
    """How much more likely a driver makes a miss; what rounds to nothing is said so, not called an increase of 0."""
    if more is None or round(100 * more) == 0:
        return t(lang, "alert_text.risk_same")
    # English signs the number, Chinese says the direction in words.
    return t(lang, "alert_text.risk_more", points=points(lang, more, 0).lstrip("+" if lang == "zh" else ""))


def without_promise(items: Sequence[Json], lang: Lang) -> list[Json]:
    """The documents without the sentence that no gain can be promised, for a page that says it once.

    `no_gain`: whether some suggestion of the document had it.
    """
    said = t(lang, "alert_advice.no_gain")
    return [
        {
            **one,
            "suggestions": [{**each, "text": str(each["text"]).removesuffix(said)} for each in one["suggestions"]],
            "no_gain": any(str(each["text"]).endswith(said) for each in one["suggestions"]),
        }
        for one in items
    ]


def advice_words(one: Suggestion, words: AlertWords) -> str:
    """One suggestion as a sentence, with what it should bring or that nothing can be promised."""
    text = t(words.lang, f"alert_advice.{one.code}", course=one.numbers.get("course", ""))
    if one.expected_gain is None or one.evidence not in ("identified", "suggestive"):
        return text + t(words.lang, "alert_advice.no_gain")
    evidence = t(words.lang, f"alert_advice.{one.evidence}")
    gain = money(words.lang, words.currency, one.expected_gain, signed=True)
    return text + t(words.lang, "alert_advice.gain", gain=gain, evidence=evidence)
