"""Messages as a code with named values, said in English or Chinese by one function.

A message is its English text, so that programs, files and tests that read it keep what they know; beside the text it
carries the code and the values, and `in_language` says the same in the other language. The words of every code stand
in both languages side by side in the catalogues of this package. What is plain text, as a person wrote it or an older
version recorded it, stays as it is in either language.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from features.messages.lead_columns import LEAD_COLUMNS
from features.messages.operation import OPERATION
from features.messages.requests import REQUESTS
from features.messages.settings import SETTINGS
from features.messages.tables import TABLES
from features.messages.training import TRAINING

# (English, Chinese) by code; placeholders are named and may carry a format, such as {share:.0%}.
CATALOGUE: Final[Mapping[str, tuple[str, str]]] = {
    **TABLES, **SETTINGS, **LEAD_COLUMNS, **TRAINING, **OPERATION, **REQUESTS,
}  # fmt: skip

Value = str | int | float | tuple[str, ...]


class Message(str):
    """The English words of a code, which knows its code and values; equal to its text in all else."""

    __slots__ = ("code", "values")

    code: str
    values: Mapping[str, Value]


def message(code: str, **values: Value) -> Message:
    """The message of a code. KeyError for a code that the catalogue lacks, or where a named value is missing.

    A value may be a message itself, or a tuple of texts and messages, which are said as a list.
    """
    made = Message(_filled(code, values, "en"))
    made.code, made.values = code, values
    return made


def worded(text: str, code: str, **values: Value) -> Message:
    """A message whose English words are given, as another program says them. KeyError as with `message`."""
    _filled(code, values, "zh")
    made = Message(text)
    made.code, made.values = code, values
    return made


def in_language(said: object, lang: str) -> str:
    """What was said in the language `zh` or `en`; an error by what it was raised with; other text as it stands."""
    if isinstance(said, Exception):
        said = said.args[0] if len(said.args) == 1 else said
    if lang == "zh" and isinstance(said, Message):
        return _filled(said.code, said.values, "zh")
    return str(said)


def _filled(code: str, values: Mapping[str, Value], lang: str) -> str:
    words = CATALOGUE[code][1 if lang == "zh" else 0]
    return words.format_map({name: _value(value, lang) for name, value in values.items()}) if values else words


def _value(value: Value, lang: str) -> Value:
    if isinstance(value, tuple):
        return ("、" if lang == "zh" else ", ").join(in_language(part, lang) for part in value)
    return in_language(value, lang) if isinstance(value, Message) else value


def to_stored(said: str) -> object:
    """JSON form of a message, `{"code", "values"}`; text that is none stays text."""
    if not isinstance(said, Message):
        return str(said)
    return {"code": said.code, "values": {name: _stored_value(value) for name, value in said.values.items()}}


def _stored_value(value: Value) -> object:
    if isinstance(value, tuple):
        return [to_stored(part) for part in value]
    return to_stored(value) if isinstance(value, str) else value


def from_stored(stored: object) -> str:
    """The message that `to_stored` wrote. A code of another version is said by its name: old records stay readable."""
    if not isinstance(stored, Mapping):
        return str(stored)
    code, given = str(stored.get("code")), stored.get("values")
    values: dict[str, Value] = {}
    for name, value in (given if isinstance(given, Mapping) else {}).items():
        if isinstance(value, list | tuple):
            values[str(name)] = tuple(from_stored(part) for part in value)
        else:
            values[str(name)] = value if isinstance(value, int | float) else from_stored(value)
    try:
        return message(code, **values)
    except (KeyError, ValueError):
        return code
