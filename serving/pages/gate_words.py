"""What a promotion's record says, for pages: the gate's checks a sentence each, or a person's reason as he wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from features.messages import Message, from_stored, in_language
from serving.texts import Lang, t


def verdict_words(entry: Mapping[str, Any], lang: Lang) -> list[str]:
    """Sentences on one promotion: a reason of its own first, then each check that the gate made.

    `entry`: `reason`, text, and `told`, stored messages, as `Core.models` lists them.
    """
    told = _told(entry)
    reason = str(entry["reason"])
    own = [] if not reason or reason in ("; ".join(told), *told[:1]) else [reason]
    return own + [_sentence(said, lang) for said in told]


def failed_checks(entry: Mapping[str, Any], lang: Lang) -> list[str]:
    """The sentences of those checks of a promotion that failed."""
    return [_sentence(said, lang) for said in _told(entry) if isinstance(said, Message) and said.code == "gate.failed"]


def _told(entry: Mapping[str, Any]) -> list[str]:
    return [from_stored(said) for said in entry.get("told") or ()]


def _sentence(said: str, lang: Lang) -> str:
    if not isinstance(said, Message) or said.code not in ("gate.passed", "gate.failed"):
        return in_language(said, lang)
    outcome = t(lang, "gate.FAIL" if said.code == "gate.failed" else "gate.ok")
    name, told = (in_language(said.values[part], lang) for part in ("name", "told"))
    return t(lang, "gate.line", name=name, outcome=outcome, told=told)
