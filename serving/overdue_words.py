"""Leads not contacted in time as sentences and table rows, for the command line and the pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serving.core import Core
from serving.texts import Lang, money, number, t


def overdue_text(core: Core, found: Mapping[str, Any], moved: Sequence[str] | None, lang: Lang) -> str:
    """What `fairlead overdue` prints."""
    lines = [overdue_sentence(found, lang), moving_sentence(found, lang)]
    lines += [lead_sentence(core, one, lang) for one in found["items"]]
    if moved is not None:
        joint = "、" if lang == "zh" else ", "
        lines.append(
            t(lang, "overdue.moved", n=number(lang, len(moved)), leads=joint.join(moved))
            if moved
            else t(lang, "overdue.none_moved")
        )
    return "\n".join(lines)


def overdue_sentence(found: Mapping[str, Any], lang: Lang) -> str:
    """How many leads wait for a first call, or that nothing is known of calls."""
    hours = number(lang, found["contact_hours"], 0 if float(found["contact_hours"]).is_integer() else 1)
    if not found["activities_known"]:
        return t(lang, "overdue.no_activities")
    if not found["items"]:
        return t(lang, "overdue.none", hours=hours)
    return t(lang, "overdue.some", n=number(lang, len(found["items"])), hours=hours)


def moving_sentence(found: Mapping[str, Any], lang: Lang) -> str:
    """Whether the machine moves such leads by itself."""
    after = found["move_uncontacted_hours"]
    if after is None:
        return t(lang, "overdue.not_moved")
    return t(lang, "overdue.moves", hours=number(lang, after, 0 if float(after).is_integer() else 1))


def lead_sentence(core: Core, one: Mapping[str, Any], lang: Lang) -> str:
    """One lead: who has it, for how long, and what moving it would bring."""
    name = core.state().name_of
    said = t(lang, "overdue.lead", lead=one["lead_id"], rep=name(one["rep_id"]), hours=number(lang, one["hours"], 0))
    return said + gain_words(core, one, lang)


def gain_words(core: Core, one: Mapping[str, Any], lang: Lang) -> str:
    """What moving a lead would bring, in words."""
    if one["best_rep_id"] is None:
        return t(lang, "overdue.nobody")
    rep = core.state().name_of(one["best_rep_id"])
    if one["gain"] is None:
        return t(lang, "overdue.no_model", rep=rep)
    currency = core.session.config.general.currency
    key = "overdue.gain" if one["gain"] > 0 else "overdue.no_gain"
    return t(
        lang, key, rep=rep, gain=money(lang, currency, one["gain"], signed=True),
        wins=number(lang, one["gain_wins"], 3, signed=True),
    )  # fmt: skip
