"""The gate's recorded checks in either language; what is not the gate's own wording stays as it was written."""

from __future__ import annotations

import re
from typing import Final

from serving.texts import Lang, t

_LINE: Final = re.compile(r"(ok|FAIL)\s+([^:]+):\s*(.+)", re.DOTALL)
_NAMES: Final = {
    "log loss of win probability": "conversion",
    "pinball loss of the forecast": "forecast",
    "calibration": "calibration",
    "nothing peeks": "peeks",
}
_TOLD: Final = (
    ("not_compared", re.compile(r"not compared: (?P<n>[\d,]+) common rows, (?P<needed>[\d,]+) needed")),
    ("ece", re.compile(r"expected calibration error (?P<value>[\d.]+), at most (?P<limit>[\d.]+)")),
    ("late", re.compile(r"(?P<n>[\d,]+) training rows later than as_of")),
    (
        "compared",
        re.compile(
            r"(?P<value>[+-][\d.]+%) against the champion \(one-sided 95 % bound (?P<limit>[+-][\d.]+%)\), "
            r"at most (?P<margin>[+-][\d.]+%) allowed"
        ),
    ),
)


def verdict_words(reason: str, lang: Lang) -> list[str]:
    """A sentence a check of the reason that a promotion recorded."""
    return [_check(part.strip(), lang) for part in reason.split(";") if part.strip()]


def _check(said: str, lang: Lang) -> str:
    line = _LINE.fullmatch(said)
    if line is None or line.group(2).strip() not in _NAMES:
        return said
    outcome, name, told = line.group(1), _NAMES[line.group(2).strip()], line.group(3).strip()
    return t(
        lang, "gate.line", name=t(lang, f"gate.{name}"), outcome=t(lang, f"gate.{outcome}"), told=_told(told, lang)
    )


def _told(told: str, lang: Lang) -> str:
    for key, form in _TOLD:
        found = form.fullmatch(told)
        if found is not None:
            return t(lang, f"gate.{key}", **found.groupdict())
    return told
