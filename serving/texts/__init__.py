"""Texts of pages, reports and messages in English and Chinese, and numbers as each language writes them.

One TOML file an area and language (`en/report.toml`, `zh/report.toml`); its tables become dotted keys
(`report.title`). All files of a language form one catalogue. Placeholders are named: `{rep}`.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Final, Literal

from features.moments import day_of, month_text

Lang = Literal["en", "zh"]
LANGUAGES: Final[tuple[Lang, ...]] = ("en", "zh")
_WAN, _YI = 1e4, 1e8
_EN_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_EN_SYMBOLS = {"CNY": "¥", "RMB": "¥", "USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
_ZH_NAMES = {"CNY": "元", "RMB": "元", "USD": "美元", "EUR": "欧元", "GBP": "英镑", "HKD": "港元", "JPY": "日元"}
MINUS = "−"
_UNIT: Final = re.compile(r"(?<=\d) (?=[%万亿元美欧英港日条个次人天周月年小倍位项单名])")
_WAN_YUAN: Final = re.compile(r"(\d [万亿])(?=[元美欧英港日])")  # between two characters a browser breaks anywhere
_COUNTED: Final = re.compile("(?<=\\d\u00a0)个(?:百分点|工作日|小时|月)")
_HAN: Final = re.compile("[\u4e00-\u9fff]")
JOINER: Final = "\u2060"  # browsers break a line between a sign and a currency symbol


def bound(value: object) -> object:
    """A plain text of a page with each number kept on one line with its unit; whatever else it is stays as it is."""
    if type(value) is not str:
        return value
    whole = _UNIT.sub("\u00a0", _WAN_YUAN.sub("\\1" + JOINER, value))
    return _COUNTED.sub(lambda unit: JOINER.join(unit[0]), whole)


def as_lang(lang: str) -> Lang:
    """The language of words: Chinese where asked for, else English."""
    return "zh" if lang == "zh" else "en"


@cache
def catalogue(lang: Lang) -> Mapping[str, str]:
    """All texts of a language by dotted key. Raises ValueError where two files give the same key."""
    found: dict[str, str] = {}
    folder = files("serving.texts") / lang
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if not entry.name.endswith(".toml"):
            continue
        for key, text in _flat(tomllib.loads(entry.read_text(encoding="utf-8"))):
            if key in found:
                raise ValueError(f"text {key} stands in two files of {lang}")
            found[key] = text
    return found


def _flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def has(lang: Lang, key: str) -> bool:
    """Whether the catalogue holds `key`."""
    return key in catalogue(lang)


def t(lang: Lang, key: str, **values: object) -> str:
    """Text of `key` with its placeholders filled. Raises KeyError for an unknown key or a missing placeholder."""
    text = catalogue(lang)[key]
    if "{" not in text:
        return text
    return _chinese(text, values) if lang == "zh" else text.format_map(values)


def _chinese(text: str, values: Mapping[str, object]) -> str:
    """Text filled as Chinese sets it: a space where a value meets it in Latin letters, none between two characters.

    What a value holds inside, such as a name, stays as it is.
    """
    filled = ""
    for literal, name, spec, _ in _parts(text):
        filled = _met(filled, literal)
        if name is not None:
            filled = _met(filled, format(values[name], spec or ""))
    return filled


def _met(before: str, after: str) -> str:
    if not before or not after:
        return before + after
    if after[0] == " " and len(after) > 1 and _HAN.match(before[-1]) and _HAN.match(after[1]):
        return before + after[1:]
    if before[-1] == " " and len(before) > 1 and _HAN.match(before[-2]) and _HAN.match(after[0]):
        return before[:-1] + after
    latin_first = before[-1].isascii() and before[-1].isalpha() and _HAN.match(after[0])
    latin_then = after[0].isascii() and after[0].isalpha() and _HAN.match(before[-1])
    return f"{before} {after}" if latin_first or latin_then else before + after


@cache
def _parts(text: str) -> tuple[tuple[str, str | None, str | None, str | None], ...]:
    return tuple(Formatter().parse(text))


@cache
def named(lang: Lang, key: str) -> frozenset[str]:
    """Names of the placeholders in the text of `key`."""
    return frozenset(name for _, name, _, _ in _parts(catalogue(lang)[key]) if name)


def joined(lang: Lang, *sentences: str) -> str:
    """Sentences one after the other, as the language sets them apart."""
    return ("" if lang == "zh" else " ").join(sentences)


def number(lang: Lang, value: float | None, digits: int = 0, *, signed: bool = False) -> str:
    """Number with thousands separators and a true minus; a dash where it is missing."""
    del lang  # both languages write 1,234.5
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{abs(value):,.{digits}f}"
    zero = not text.strip("0.,")
    sign = "" if zero else MINUS if value < 0 else "+" if signed else ""
    return sign + text


def percent(lang: Lang, value: float | None, digits: int = 0, *, signed: bool = False) -> str:
    """Share (0-1) as a percentage."""
    text = number(lang, None if value is None else 100 * value, digits, signed=signed)
    return text if text == "–" else text + ("%" if lang == "zh" else " %")


def points(lang: Lang, value: float | None, digits: int = 1) -> str:
    """Difference of two shares (0-1) in percentage points, signed."""
    text = number(lang, None if value is None else 100 * value, digits, signed=True)
    return text if text == "–" else text + (" 个百分点" if lang == "zh" else " points")


def money(lang: Lang, currency: str, amount: float | None, *, signed: bool = False) -> str:
    """Amount of money as the language writes it: Chinese in 万 from 10,000 up and 亿 from 100 million up."""
    return money_together(lang, currency, (amount,), signed=signed)[0]


def money_together(
    lang: Lang, currency: str, amounts: Sequence[float | None], *, signed: bool = False
) -> tuple[str, ...]:
    """Amounts of one range or sentence, all in the unit of the largest: never 元 at one end and 万元 at the other."""
    sizes = [abs(amount) for amount in amounts if amount is not None and math.isfinite(amount)]
    size = max(sizes, default=0.0)
    return tuple(_money(lang, currency, amount, size, signed) for amount in amounts)


def _money(lang: Lang, currency: str, amount: float | None, size: float, signed: bool) -> str:
    if amount is None or not math.isfinite(amount):
        return "–"
    if lang == "zh":
        return _money_zh(currency, amount, size, signed)
    symbol = _EN_SYMBOLS.get(currency, f"{currency} " if currency else "")
    text = number(lang, amount, signed=signed)
    sign, digits = (text[0] + JOINER, text[1:]) if text[0] in f"+{MINUS}" else ("", text)
    return f"{sign}{symbol}{digits}"


def _money_zh(currency: str, amount: float, size: float, signed: bool) -> str:
    """`size`: the amount that the unit is chosen for."""
    name = _ZH_NAMES.get(currency, "元" if not currency else f" {currency}")
    if round(size / _WAN, 2) >= _YI / _WAN:
        return f"{number('zh', amount / _YI, 2, signed=signed)} 亿{name}"
    if round(size) >= _WAN:
        return f"{number('zh', amount / _WAN, 2 if size < 1e6 else 1, signed=signed)} 万{name}"
    return f"{number('zh', amount, signed=signed)} {name.strip()}"


def day(lang: Lang, when: date) -> str:
    """Date in words: 21 November 2026, 2026年11月21日."""
    if lang == "zh":
        return f"{when.year}年{when.month}月{when.day}日"
    return f"{when.day} {_EN_MONTHS[when.month - 1]} {when.year}"


def moment_day(lang: Lang, moment: int, zone: str = "UTC") -> str:
    """Local date of a moment in words."""
    return day(lang, day_of(moment, zone))


def unbroken(iso: str) -> str:
    """An ISO date or month that stays on one line: browsers break one after its hyphens."""
    return iso.replace("-", "\u2011")


def minute(iso: object) -> str:
    """Date and time of an ISO timestamp to the minute, broken by a line between the two at most."""
    return unbroken(str(iso)[:16].replace("T", " "))


def month(lang: Lang, index: int) -> str:
    """Month of a month index in words: November 2026, 2026年11月."""
    year, of_year = divmod(int(index), 12)
    return f"{year}年{of_year + 1}月" if lang == "zh" else f"{_EN_MONTHS[of_year]} {year}"


def month_code(index: int) -> str:
    """`YYYY-MM` of a month index."""
    return month_text(index)


def driver(lang: Lang, name: str) -> str:
    """Name of a driver or lever for people; a name that the catalogue does not hold is shown as it is."""
    if name.startswith("training:"):
        skill = name.removeprefix("training:")
        known = f"skill.{skill}"
        return t(lang, "driver.training_in", skill=t(lang, known) if has(lang, known) else skill)
    key = f"driver.{name}"
    return t(lang, key) if has(lang, key) else name.replace("_", " ")


def group(lang: Lang, name: str) -> str:
    """Name of a group of drivers for people."""
    key = f"group.{name}"
    return t(lang, key) if has(lang, key) else name.replace("_", " ")
