"""Wrong usage of a command in Chinese: typer says it in English only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from pydantic import ValidationError
from typer.exceptions import TyperException

from features.messages import in_language, message
from serving.http.problems import field_rule

# What typer says, and the code that says it in both languages; the group is what is named.
_KNOWN: Final = (
    (re.compile(r"Missing (?:option|argument) (.+?)\.?"), "usage.missing"),
    (re.compile(r"No such option: (\S+)(?: .*)?"), "usage.no_option"),
    (re.compile(r"No such command (.+)\."), "usage.no_command"),
    (re.compile(r"Got unexpected extra argument\(s\) \((.+)\)"), "usage.extra"),
    (re.compile(r"Option (.+) requires an argument\.?"), "usage.needs_value"),
    (re.compile(r"Option (.+) does not take a value\."), "usage.no_value"),
)
_VALUE: Final = re.compile(r"Invalid value for (.+?): (.+)", re.DOTALL)


def asks_for_chinese(words: Sequence[str]) -> bool:
    """Whether a command's words ask for Chinese; they may be wrong before any of them is understood."""
    return "--lang=zh" in words or ("--lang", "zh") in pairwise(words)


def usage_in_chinese(error: TyperException) -> str:
    """What is wrong with the words of a command; as typer says it where that is not known."""
    said = error.format_message()
    told: str = said
    for pattern, code in _KNOWN:
        if found := pattern.fullmatch(said):
            told = message(code, what=found[1])
    if found := _VALUE.fullmatch(said):
        cause = error.__cause__
        why = field_rule(cause.errors()[0]) if isinstance(cause, ValidationError) else found[2]
        told = message("usage.value", what=found[1], why=why)
    return in_language(message("usage.wrong", why=told, command=_command(error)), "zh")


def _command(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    path = str(context.command_path) if context is not None else ""
    return "fairlead" + path.rpartition("fairlead")[2]  # however the program was started
