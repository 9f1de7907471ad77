"""Early warnings from a forecast and from behaviour: pure rules, numbers only; texts are written where they are shown.

Two channels: the money (`target_miss`, from the forecast's distribution) and behaviour that comes first (fewer
follow-ups, slower first contact, fewer wins than these leads promised, idle valuable leads, unfinished training,
overload). A drop is told from noise by an exact test against the rep's own past, and over all reps at once the share of
false alarms is held down; it is told from worse leads by what the leads' own win probabilities expected.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from features import moments
from models.warning_evidence import (
    Conversions,
    Counts,
    discoveries,
    dispersion_of,
    evidence_of,
    fewer_wins,
    poisson_drop,
    share_drop,
    slump_evidence,
    spread_of,
    worse_leads,
)

Severity = Literal["high", "medium", "low"]
Kind = Literal[
    "target_miss", "follow_up_drop", "conversion_drop", "response_time", "idle_lead", "training_gap", "workload"
]
Verdict = Literal["identified", "suggestive", "not_identified"]

_RANK: Mapping[str, int] = {"high": 0, "medium": 1, "low": 2}
MONEY_KINDS = frozenset({"target_miss"})
DROP_KINDS = frozenset({"follow_up_drop", "conversion_drop", "response_time"})
_SMALL_DESK = 10
_MOST_DISPERSION = 3.0


@dataclass(frozen=True)
class WarningSettings:
    """When to warn.

    `budget` alerts a team and month, of which `behaviour_share` are kept for the behaviour channel where it has any;
    `rep_share` of the desk's reps carry an alert at most, on desks of ten or more (half of those places are kept for
    drops of behaviour): a list with everybody on it warns of nothing;
    `miss_probability` from which a miss is told; `false_discovery_rate` of each behaviour rule over all reps, but for
    follow-ups the log Bayes factor of a slump, `drop_evidence` on desks of ten or more, where places are few anyway,
    and `sure_evidence` on smaller ones; a drop must also fall below `drop_ratio` x baseline (a rise above 1 /
    drop_ratio), so that a sure trifle stays silent;
    an idle lead is told after `idle_days` and `idle_ratio` x the usual gap, as long as at least `least_comeback` of the
    desk's leads came back from as long a silence, and ranks higher from `fair_comeback` on: a list of leads long dead
    hides those that a call would save.
    """

    budget: int = 10
    behaviour_share: float = 0.4
    rep_share: float = 0.125
    miss_probability: float = 0.6
    false_discovery_rate: float = 0.1
    drop_evidence: float = 0.0
    sure_evidence: float = 3.0
    drop_ratio: float = 0.7
    idle_ratio: float = 2.0
    idle_days: float = 7.0
    least_comeback: float = 0.05
    fair_comeback: float = 0.2
    training_days: float = 30.0


@dataclass(frozen=True)
class Outlook:
    """A rep's forecast of one month, in major units. `shortfall`: mean money below miss_ratio x target."""

    rep_id: str
    team_id: str
    month: int
    expected: float
    target: float | None
    p_miss: float | None
    shortfall: float = 0.0
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class IdleLead:
    """An open lead: its expected value (major units), days without activity, and the usual gap of the rep or desk.

    `comeback`: share of earlier silences as long as this that an activity or a win ended; None where too few tell.
    """

    lead_id: str
    expected_value: float
    silent_days: float
    usual_days: float
    comeback: float | None = None


@dataclass(frozen=True)
class OpenCourse:
    """A course assigned and not completed: days since, and the days it usually takes."""

    course: str
    skill: str
    open_days: float
    usual_days: float


@dataclass(frozen=True)
class Signals:
    """What a rep did lately against his own three months before. None where there is nothing to tell from.

    `follow_ups`: activities over lead-weeks; `responses`: first contacts in time over leads due (exposures are numbers
    of leads); `workload`: open leads now and usual (exposure 1 each or weeks); `absent_days` of the window;
    `recent_follow_ups`: as `follow_ups`, over the last two weeks alone.
    """

    rep_id: str
    team_id: str
    follow_ups: Counts | None = None
    responses: Counts | None = None
    conversions: Conversions | None = None
    workload: Counts | None = None
    idle_leads: tuple[IdleLead, ...] = ()
    courses: tuple[OpenCourse, ...] = ()
    absent_days: float = 0.0
    recent_follow_ups: Counts | None = None


@dataclass(frozen=True)
class Effect:
    """An effect estimate of a driver on contribution: money a month per unit, 90 % interval, verdict."""

    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    verdict: Verdict


@dataclass(frozen=True)
class Reason:
    """Why, in numbers: `value` now against `baseline`; `numbers` hold what else the text needs."""

    code: str
    value: float
    baseline: float | None
    numbers: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Suggestion:
    """What to do. `expected_gain` in money a month, None where no effect is supported: `evidence` says which."""

    code: str
    expected_gain: float | None
    evidence: Verdict | Literal["no_estimate"]
    numbers: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class WarningItem:
    """One warning in the contract's fields, without texts.

    `urgency` is money, for ranking among equals; `evidence` of a drop is a log Bayes factor, by which drops take turns
    for the few places.
    """

    id: str
    rep_id: str
    lead_id: str
    team_id: str
    kind: Kind
    severity: Severity
    month: str
    p_miss: float | None
    expected: float | None
    target: float | None
    reasons: tuple[Reason, ...]
    suggestions: tuple[Suggestion, ...]
    urgency: float
    status: Literal["open", "acknowledged", "resolved"] = "open"
    opened_at: str = ""
    evidence: float = 0.0


def find_warnings(
    outlooks: Sequence[Outlook],
    signals: Sequence[Signals],
    month: int,
    opened_at: str = "",
    effects: Mapping[str, Effect] | None = None,
    settings: WarningSettings | None = None,
    over: frozenset[int] = frozenset(),
) -> list[WarningItem]:
    """Warnings, the most urgent first, within the budget of each team and month.

    Parameters
    ----------
    outlooks
        Forecasts of any months; each month has its own budget.
    signals
        Behaviour as of now, told under `month` (index).
    effects
        By driver, `followups_per_week` and `training:<skill or course>`: on contribution.
    over
        Months (index) as good as over: nobody can avert their misses, so they take no place of a warning.
    """
    settings = settings or WarningSettings()
    effects = effects or {}
    by_rep = {o.rep_id: o for o in outlooks if o.month == month}
    found = _misses([o for o in outlooks if o.month not in over], settings)
    found += _follow_up_drops(signals, by_rep, month, effects, settings)
    found += _slow_responses(signals, by_rep, month, settings)
    found += _conversion_drops(signals, by_rep, month, settings)
    found += _overloads(signals, by_rep, month, settings)
    for one in signals:
        found += _idle(one, by_rep, month, settings) + _gaps(one, by_rep, month, effects, settings)
    desk = {o.rep_id for o in outlooks} | {one.rep_id for one in signals}
    kept = within_budget(on_few_reps(found, len(desk), settings), settings)
    return [replace(item, opened_at=opened_at) for item in sorted(kept, key=_urgency)]


def within_budget(items: Sequence[WarningItem], settings: WarningSettings) -> list[WarningItem]:
    """The most urgent items of each team and month, `budget` at most, with room kept for behaviour."""
    groups: dict[tuple[str, str], list[WarningItem]] = {}
    for item in sorted(items, key=_urgency):
        groups.setdefault((item.team_id, item.month), []).append(item)
    kept: list[WarningItem] = []
    for group in groups.values():
        money = [item for item in group if item.kind in MONEY_KINDS]
        behaviour = [item for item in group if item.kind not in MONEY_KINDS]
        room = min(len(behaviour), round(settings.behaviour_share * settings.budget))
        taken = money[: max(settings.budget - room, 0)]
        kept += taken + behaviour[: settings.budget - len(taken)]
    return kept


def on_few_reps(items: Sequence[WarningItem], n_reps: int, settings: WarningSettings) -> list[WarningItem]:
    """The items of as many reps as may carry alerts; all of them on a small desk.

    Reps come in by turns of the channels: half of the places for drops of behaviour, the rest for the money, then for
    what is left; drops the surest first, the others the most urgent. A rep who is in brings all his alerts.
    """
    if n_reps < _SMALL_DESK:
        return list(items)
    places = max(2, int(settings.rep_share * n_reps))
    first = min((item.month for item in items), default="")
    ranked = sorted(items, key=lambda item: (item.month != first, *_urgency(item)))
    sure = sorted((item for item in ranked if item.kind in DROP_KINDS), key=lambda item: -item.evidence)
    drops = [item.rep_id for item in sure]
    money = [item.rep_id for item in ranked if item.kind in MONEY_KINDS]
    chosen: dict[str, None] = dict.fromkeys(list(dict.fromkeys(drops))[: (places + 1) // 2])
    for rep in (*money, *drops, *(item.rep_id for item in ranked)):
        if len(chosen) >= places:
            break
        chosen.setdefault(rep)
    return [item for item in items if item.rep_id in chosen]


def warning_id(rep_id: str, lead_id: str, kind: str, month: str) -> str:
    """Twelve hex digits, the same for rep, lead, kind and month for ever."""
    text = f"{rep_id}\x1f{lead_id}\x1f{kind}\x1f{month}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _urgency(item: WarningItem) -> tuple[int, float, float, str]:
    return (_RANK[item.severity], -item.urgency, -(item.p_miss or 0.0), item.id)


def _item(
    kind: Kind,
    rep_id: str,
    team_id: str,
    month: int,
    outlook: Outlook | None,
    severity: Severity,
    reasons: Sequence[Reason],
    suggestions: Sequence[Suggestion],
    urgency: float,
    lead_id: str = "",
    evidence: float = 0.0,
) -> WarningItem:
    text = moments.month_text(month)
    return WarningItem(
        id=warning_id(rep_id, lead_id, kind, text),
        rep_id=rep_id,
        lead_id=lead_id,
        team_id=team_id,
        kind=kind,
        severity=severity,
        month=text,
        p_miss=None if outlook is None else outlook.p_miss,
        expected=None if outlook is None else outlook.expected,
        target=None if outlook is None else outlook.target,
        reasons=tuple(reasons),
        suggestions=tuple(suggestions),
        urgency=float(urgency),
        evidence=float(evidence),
    )


def _misses(outlooks: Sequence[Outlook], settings: WarningSettings) -> list[WarningItem]:
    found = []
    for o in outlooks:
        if o.p_miss is None or o.target is None or o.target <= 0 or o.p_miss < settings.miss_probability:
            continue
        severity: Severity = "high" if o.p_miss >= 0.9 else "medium" if o.p_miss >= 0.75 else "low"
        main = Reason("expected_below_target", o.expected, o.target, {"p_miss": o.p_miss, "shortfall": o.shortfall})
        suggestion = Suggestion("review_pipeline", None, "no_estimate")
        found.append(
            _item("target_miss", o.rep_id, o.team_id, o.month, o, severity, (main, *o.reasons), (suggestion,),
                  o.shortfall)
        )  # fmt: skip
    return found


def _at_stake(one: Signals, by_rep: Mapping[str, Outlook], relative_drop: float) -> float:
    """Money a month that hangs on a relative drop: the same share of what the rep is expected to bring."""
    outlook = by_rep.get(one.rep_id)
    return 0.0 if outlook is None else max(outlook.expected, 0.0) * min(max(relative_drop, 0.0), 1.0)


def _by_ratio(ratio: float) -> Severity:
    return "high" if ratio <= 0.4 else "medium" if ratio <= 0.6 else "low"


def _follow_up_drops(
    signals: Sequence[Signals], by_rep: Mapping[str, Outlook], month: int, effects: Mapping[str, Effect],
    settings: WarningSettings,
) -> list[WarningItem]:  # fmt: skip
    told = [(s, s.follow_ups) for s in signals if s.follow_ups is not None]
    # What varies more than this is no bunching of counts any more: reps did change their ways.
    bunched = min(dispersion_of([counts for _, counts in told]), _MOST_DISPERSION)
    spread = spread_of([counts for _, counts in told])
    enough = settings.drop_evidence if len(signals) >= _SMALL_DESK else settings.sure_evidence
    found = []
    for one, month_counts in told:
        # Four weeks are surer, two are sooner: a slump is to be seen while its month can still be changed.
        windows = [month_counts] if one.recent_follow_ups is None else [month_counts, one.recent_follow_ups]
        counts = max(windows, key=lambda each: slump_evidence(each, spread))
        evidence = slump_evidence(counts, spread)
        if evidence < enough or not counts.value < settings.drop_ratio * counts.baseline:
            continue
        ratio = counts.value / counts.baseline
        weeks = 4.0 if counts is one.follow_ups else 2.0
        numbers: dict[str, float | str] = {
            "p_value": poisson_drop(counts, bunched), "n": counts.now, "absent_days": one.absent_days, "weeks": weeks,
        }  # fmt: skip
        reasons = [Reason("follow_ups_per_week", counts.value, counts.baseline, numbers)]
        if one.absent_days > 0:
            reasons.append(Reason("absence", one.absent_days, None))
        gain = _gain("restore_follow_ups", effects.get("followups_per_week"), counts.baseline - counts.value)
        found.append(
            _item("follow_up_drop", one.rep_id, one.team_id, month, by_rep.get(one.rep_id), _by_ratio(ratio), reasons,
                  (gain,), _at_stake(one, by_rep, 1.0 - ratio), evidence=evidence)
        )  # fmt: skip
    return found


def _gain(code: str, effect: Effect | None, units: float) -> Suggestion:
    """A suggestion whose gain is effect x units where the effect is supported, None with the verdict where not."""
    if effect is None:
        return Suggestion(code, None, "no_estimate")
    if effect.verdict == "not_identified" or effect.estimate is None:
        return Suggestion(code, None, effect.verdict)
    numbers: dict[str, float | str] = {"units": units}
    if effect.ci_low is not None and effect.ci_high is not None:
        numbers |= {"gain_low": effect.ci_low * units, "gain_high": effect.ci_high * units}
    return Suggestion(code, effect.estimate * units, effect.verdict, numbers)


def _slow_responses(
    signals: Sequence[Signals], by_rep: Mapping[str, Outlook], month: int, settings: WarningSettings
) -> list[WarningItem]:
    told = [(s, s.responses) for s in signals if s.responses is not None]
    p = np.array([share_drop(counts) for _, counts in told])
    stands_out = discoveries(p, settings.false_discovery_rate)
    found = []
    for (one, counts), p_value, out in zip(told, p, stands_out, strict=True):
        if not out or not counts.value < settings.drop_ratio * counts.baseline:
            continue
        ratio = counts.value / counts.baseline
        reason = Reason(
            "contact_in_time_share",
            counts.value,
            counts.baseline,
            {"p_value": float(p_value), "n": counts.now_exposure},
        )
        found.append(
            _item("response_time", one.rep_id, one.team_id, month, by_rep.get(one.rep_id), _by_ratio(ratio), (reason,),
                  (Suggestion("contact_sooner", None, "no_estimate"),), _at_stake(one, by_rep, 0.5 * (1.0 - ratio)),
                  evidence=evidence_of(float(p_value)))
        )  # fmt: skip
    return found


def _conversion_drops(
    signals: Sequence[Signals], by_rep: Mapping[str, Outlook], month: int, settings: WarningSettings
) -> list[WarningItem]:
    """Fewer wins than these very leads promised; worse leads are told apart and never blamed on the rep."""
    told = [(s, s.conversions) for s in signals if s.conversions is not None and s.conversions.p_now]
    p = np.array([fewer_wins(c.won_now, c.p_now) for _, c in told])
    stands_out = discoveries(p, settings.false_discovery_rate)
    # A mix may fall by a small, sure amount: it must also be a fall that matters.
    worse = discoveries(np.array([worse_leads(c) for _, c in told]), settings.false_discovery_rate)
    found = []
    for (one, c), p_value, out, fell in zip(told, p, stands_out, worse, strict=True):
        promised = float(np.mean(c.p_now))
        usual = float(np.mean(c.p_before)) if c.p_before else promised
        value = c.won_now / len(c.p_now)
        if out and value < settings.drop_ratio * promised:
            reasons = [
                Reason("won_share", value, promised, {"p_value": float(p_value), "n": float(len(c.p_now))}),
                *([Reason("leads_got_worse", promised, usual)] if fell else []),
            ]
            stake = _at_stake(one, by_rep, 1.0 - value / promised)
            found.append(
                _item("conversion_drop", one.rep_id, one.team_id, month, by_rep.get(one.rep_id),
                      _by_ratio(value / promised), reasons,
                      [Suggestion("review_lost_leads", None, "no_estimate")], stake,
                      evidence=evidence_of(float(p_value)))
            )  # fmt: skip
        elif fell and promised < settings.drop_ratio * usual:
            reason = Reason("leads_got_worse", promised, usual, {"won_share": value, "n": float(len(c.p_now))})
            found.append(
                _item("conversion_drop", one.rep_id, one.team_id, month, by_rep.get(one.rep_id), "low", (reason,),
                      (Suggestion("review_lead_mix", None, "no_estimate"),),
                      _at_stake(one, by_rep, 1.0 - promised / usual))
            )  # fmt: skip
    return found


def _overloads(
    signals: Sequence[Signals], by_rep: Mapping[str, Outlook], month: int, settings: WarningSettings
) -> list[WarningItem]:
    told = [(s, s.workload) for s in signals if s.workload is not None]
    flipped = [Counts(c.before, c.before_exposure, c.now, c.now_exposure) for _, c in told]
    p = np.array([poisson_drop(counts) for counts in flipped])
    stands_out = discoveries(p, settings.false_discovery_rate)
    found = []
    for (one, counts), p_value, out in zip(told, p, stands_out, strict=True):
        if not out or not counts.value * settings.drop_ratio > counts.baseline:
            continue
        reason = Reason("open_leads", counts.value, counts.baseline, {"p_value": float(p_value)})
        found.append(
            _item("workload", one.rep_id, one.team_id, month, by_rep.get(one.rep_id), "low", (reason,),
                  (Suggestion("share_out_leads", None, "no_estimate"),),
                  _at_stake(one, by_rep, 0.2 * (1.0 - counts.baseline / counts.value)))
        )  # fmt: skip
    return found


def _idle(one: Signals, by_rep: Mapping[str, Outlook], month: int, settings: WarningSettings) -> list[WarningItem]:
    found = []
    for lead in one.idle_leads:
        limit = max(settings.idle_days, settings.idle_ratio * lead.usual_days)
        if lead.silent_days <= limit or (lead.comeback is not None and lead.comeback < settings.least_comeback):
            continue
        hopeful = lead.comeback is None or lead.comeback >= settings.fair_comeback
        severity: Severity = "medium" if hopeful else "low"
        numbers: dict[str, float | str] = {"expected_value": lead.expected_value}
        if lead.comeback is not None:
            numbers["comeback"] = lead.comeback
        reason = Reason("days_without_activity", lead.silent_days, lead.usual_days, numbers)
        found.append(
            _item("idle_lead", one.rep_id, one.team_id, month, by_rep.get(one.rep_id), severity, (reason,),
                  (Suggestion("contact_lead", None, "no_estimate"),), lead.expected_value, lead.lead_id)
        )  # fmt: skip
    return found


def _gaps(
    one: Signals, by_rep: Mapping[str, Outlook], month: int, effects: Mapping[str, Effect], settings: WarningSettings
) -> list[WarningItem]:
    late = [c for c in one.courses if c.open_days > max(settings.training_days, 2.0 * c.usual_days)]
    if not late:
        return []
    reasons = [
        Reason("training_unfinished_days", c.open_days, c.usual_days, {"course": c.course, "skill": c.skill})
        for c in sorted(late, key=lambda c: (-c.open_days, c.course))
    ]
    suggestions = [
        replace(
            gain := _gain("finish_course", effects.get(f"training:{c.skill or c.course}"), 1.0),
            numbers={**gain.numbers, "course": c.course},
        )
        for c in sorted(late, key=lambda c: (-c.open_days, c.course))
    ]
    gains = sum(s.expected_gain for s in suggestions if s.expected_gain is not None)
    return [
        _item(
            "training_gap", one.rep_id, one.team_id, month, by_rep.get(one.rep_id), "low", reasons, suggestions, gains
        )
    ]
