"""The gate's recorded checks in either language; what is not the gate's own wording stays as it was written."""

from __future__ import annotations

import re
from typing import Final

from serving.texts import Lang, has, t

_LINE: Final = re.compile(r"(ok|FAIL)\s+([^:]+):\s*(.+)", re.DOTALL)
_BETWEEN: Final = re.compile(r";\s*(?=(?:ok|FAIL)\s)")  # a check's own words may hold semicolons
_TOLD: Final = (
    ("not_compared", re.compile(r"not compared: (?P<n>[\d,]+) common (?:rows|cases)\b.*", re.DOTALL)),
    ("no_champion", re.compile(r"not compared: no champion\b.*", re.DOTALL)),
    ("not_measured", re.compile(r"not measured\b.*", re.DOTALL)),
    ("ece", re.compile(r"expected calibration error (?P<value>[\d.]+), at most (?P<limit>[\d.]+)")),
    ("late", re.compile(r"(?P<n>[\d,]+) training rows later than as_of")),
    ("latency", re.compile(r"200 candidates of a lead in (?P<value>\d+) ms, at most (?P<limit>\d+) ms")),
    ("newer", re.compile(r"it has learnt from newer data")),
    (
        "ranks",
        re.compile(r"rank correlation of importance with the champion (?P<value>-?[\d.]+), at least (?P<limit>.+)"),
    ),
    (
        "fairness",
        re.compile(r"predicted over actual wins (?P<groups>.+); allowed (?P<low>[\d.]+) to (?P<high>[\d.]+),.*"),
    ),
    (
        "compared",
        re.compile(r"(?P<value>[+-][\d.]+%) against the champion \(one-sided 95 % bound (?P<limit>[^)]+)\).*"),
    ),
)


def verdict_words(reason: str, lang: Lang) -> list[str]:
    """A sentence a check of the reason that a promotion recorded."""
    return [_check(part.strip(), lang) for part in _BETWEEN.split(reason) if part.strip()]


def failed_checks(reason: str, lang: Lang) -> list[str]:
    """The sentences of those checks that a promotion's reason says failed."""
    parts = [part.strip() for part in _BETWEEN.split(reason)]
    return [_check(part, lang) for part in parts if part.startswith("FAIL ")]


def _check(said: str, lang: Lang) -> str:
    line = _LINE.fullmatch(said)
    if line is None:
        return said
    outcome, name, told = t(lang, f"gate.{line.group(1)}"), _named(line.group(2).strip(), lang), line.group(3).strip()
    return t(lang, "gate.line", name=name, outcome=outcome, told=_told(told, lang))


def _named(name: str, lang: Lang) -> str:
    if name.startswith("segments of "):
        return t(lang, "gate_check.segments", of=_named(name.removeprefix("segments of "), lang))
    key = f"gate_check.{name.replace(' ', '_')}"
    return t(lang, key) if has(lang, key) else name


def _told(told: str, lang: Lang) -> str:
    for key, form in _TOLD:
        found = form.fullmatch(told)
        if found is not None:
            numbers = found.groupdict()
            if "groups" in numbers and lang == "zh":
                numbers["groups"] = _groups(numbers["groups"])
            return t(lang, f"gate.{key}", **numbers)
    return told


def _groups(said: str) -> str:
    """The gate's names of groups of reps in Chinese."""
    words = (
        ("under 1 year", "不满 1 年"),
        ("1 to 2 years", "1 至 2 年"),
        ("over 2 years", "2 年以上"),
        ("team ", "团队 "),
    )
    for english, chinese in words:
        said = said.replace(english, chinese)
    return said.replace(", ", "，")
