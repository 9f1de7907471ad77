"""Typed columns out of columns of text: times, dates, months, numbers, money, booleans; and text out of anything.

Each parser takes a `str` series whose cells are stripped (empty = missing) and returns the typed values beside the
masks of the cells that break a rule. The common forms are read by column; what is left over, cell by cell.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features import moments
from features.contract import Column
from features.messages import message

Mask = npt.NDArray[np.bool_]

MONEY_LIMIT: Final = 10_000_000_000_000  # major units: far above any deal, and sums of millions stay within int64 cents
_FIRST_YEAR, _LAST_YEAR, _OPEN_END = 1900, 2199, 9999

_DAY = r"(?:19|20|21)\d\d-\d\d-\d\d"
_CLOCK = r"[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?"
_NAIVE = rf"^{_DAY}(?:{_CLOCK})?$"
_AWARE = rf"^{_DAY}{_CLOCK}(?:Z|[+-]\d\d:?\d\d)$"
_MIDNIGHT = rf"^{_DAY}(?:[T ]00:00(?::00(?:\.0+)?)?)?$"
_MONTH = r"^\d{4}-(?:0[1-9]|1[0-2])$"
_MONTH_AS_DATE = r"^\d{4}-(?:0[1-9]|1[0-2])-01(?:[T ]00:00(?::00(?:\.0+)?)?)?$"
_NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
_NOT_FINITE = r"(?i)^[+-]?(?:nan|inf|infinity)$"
_PLAIN_MONEY = r"^[+-]?\d{1,13}(?:\.\d{0,2})?$"
TRUE_WORDS: Final = frozenset({"true", "t", "yes", "y", "1", "1.0", "是"})
FALSE_WORDS: Final = frozenset({"false", "f", "no", "n", "0", "0.0", "否"})

TIME_RULE: Final = message("cell.time")
DATE_RULE: Final = message("cell.date")
YEAR_RULE: Final = message("cell.year", first=_FIRST_YEAR, last=_LAST_YEAR)
MONTH_RULE: Final = message("cell.month")
NUMBER_RULE: Final = message("cell.number")
FINITE_RULE: Final = message("cell.finite")
INTEGER_RULE: Final = message("cell.integer")
LARGE_RULE: Final = message("cell.large", limit=MONEY_LIMIT)
BOOLEAN_RULE: Final = message("cell.boolean")
STATUS_RULE: Final = message("cell.status")


@dataclass(frozen=True)
class Parsed:
    """Typed values of a column (length n) and, per broken rule, the mask (n,) of the cells that break it."""

    values: Any
    broken: tuple[tuple[Mask, str], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no cell breaks a rule."""
        return not any(mask.any() for mask, _ in self.broken)


def parse(text: pd.Series, column: Column, zone: str, typed_dates: bool = False) -> Parsed:
    """Values of `text` as the contract wants them for `column`, bounds checked.

    `typed_dates`: the source held dates, not text (a workbook turns the month 2025-03 into the date 2025-03-01).
    """
    if column.kind in ("number", "integer"):
        return _bounded(parse_numbers(text, whole=column.kind == "integer"), column, 1.0)
    if column.kind == "money":
        return _bounded(parse_money(text), column, 100.0)
    if column.kind == "time":
        return parse_times(text, zone)
    if column.kind == "date":
        return parse_dates(text, zone, open_end=not column.required)
    if column.kind == "month":
        return parse_months(text, typed_dates)
    if column.kind == "boolean":
        return parse_booleans(text)
    if column.kind == "status":
        return Parsed(text, ((~matches(text, "^(?:won|lost)?$"), STATUS_RULE),))
    if column.kind == "list":
        return Parsed(tidy_lists(text))
    return Parsed(text)


def as_arrow(text: pd.Series) -> pa.ChunkedArray:
    """The series' own Arrow strings, not copied where pandas holds them so."""
    array = pa.array(text)
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def as_series(array: Any) -> pd.Series:
    """A `str` series, missing as "", of an Arrow string array."""
    filled = pc.fill_null(pc.cast(array, pa.large_string()), "")
    return pd.Series(pd.array(filled, dtype="str"))


def stripped(text: pd.Series) -> pd.Series:
    """`text` without surrounding white space, the ideographic space included."""
    return as_series(pc.utf8_trim_whitespace(as_arrow(text)))


def matches(text: pd.Series, pattern: str) -> Mask:
    """Mask (n,) of the cells in which the RE2 pattern is found."""
    if not len(text):
        return np.zeros(0, dtype=bool)
    return np.asarray(pc.match_substring_regex(as_arrow(text), pattern).to_numpy(), dtype=bool)


def is_empty(text: pd.Series) -> Mask:
    """Mask (n,) of the empty cells."""
    if not len(text):
        return np.zeros(0, dtype=bool)
    return np.asarray(pc.equal(pc.binary_length(as_arrow(text)), 0).to_numpy(), dtype=bool)


def longer_than(text: pd.Series, limit: int) -> Mask:
    """Mask (n,) of the cells of more than `limit` characters."""
    if not len(text):
        return np.zeros(0, dtype=bool)
    return np.asarray(pc.greater(pc.utf8_length(as_arrow(text)), limit).to_numpy(), dtype=bool)


def parse_times(text: pd.Series, zone: str) -> Parsed:
    """Moments (int64 microseconds UTC); without an offset read in `zone`, where the first of two equal hours counts."""
    out = np.full(len(text), moments.NEVER, dtype=np.int64)
    done = is_empty(text)
    aware, naive = matches(text, _AWARE), matches(text, _NAIVE)
    for mask, local in ((aware, False), (naive, True)):
        if mask.any():
            stamps = pd.DatetimeIndex(
                pd.to_datetime(text[mask].array, format="ISO8601", utc=not local, errors="coerce")
            ).as_unit("us")
            if local:
                stamps = _localized(stamps, zone)
            read = ~np.asarray(stamps.isna())
            places = np.flatnonzero(mask)[read]
            out[places] = stamps.asi8[read]
            done[places] = True
    return _cell_by_cell(text, out, ~done, lambda cell: _moment(cell, zone), TIME_RULE)


def _localized(stamps: pd.DatetimeIndex, zone: str) -> pd.DatetimeIndex:
    """Naive stamps as moments of `zone`; hours that a clock change skips are NaT, for the exact way to read."""
    if zone == "UTC":
        return stamps.tz_localize("UTC")
    first = np.ones(len(stamps), dtype=bool)
    return stamps.tz_localize(ZoneInfo(zone), ambiguous=first, nonexistent="NaT").tz_convert("UTC")


def _cell_by_cell(
    text: pd.Series, out: npt.NDArray[np.int64], left: Mask, read: Callable[[str], int | str], rule: str
) -> Parsed:
    """Fill `out` where `left` by `read`, which returns a value, or the rule that the cell breaks."""
    if not left.any():
        return Parsed(out)
    cells = text[left].to_numpy(dtype=object)
    known: dict[str, int | str] = {}
    broken: dict[str, list[int]] = {}
    for place, cell in zip(np.flatnonzero(left).tolist(), cells, strict=True):
        if cell not in known:
            try:
                known[cell] = read(cell)
            except (ValueError, OverflowError, ArithmeticError):
                known[cell] = rule
        value = known[cell]
        if isinstance(value, str):
            broken.setdefault(value, []).append(place)
        else:
            out[place] = value
    return Parsed(out, tuple((_mask_of(places, len(text)), name) for name, places in broken.items()))


def _mask_of(places: list[int], n: int) -> Mask:
    mask = np.zeros(n, dtype=bool)
    mask[places] = True
    return mask


def _moment(cell: str, zone: str) -> int | str:
    """Moment of any ISO 8601 form that Python reads, a blank before the offset allowed."""
    when = _datetime(re.sub(r"\s+(?:UTC|(?=Z|[+-]\d))", lambda found: "Z" if "UTC" in found[0] else "", cell))
    if not _FIRST_YEAR <= when.year <= _LAST_YEAR:
        return YEAR_RULE
    return moments.from_datetime(when, zone)


def _datetime(cell: str) -> datetime:
    if not cell.isascii():
        raise ValueError(cell)
    return datetime.fromisoformat(cell)


def parse_dates(text: pd.Series, zone: str, open_end: bool = False) -> Parsed:
    """Moments of each date's 00:00 in `zone`; a timestamp stands for its day there.

    With `open_end` the year 9999, HR systems' "for good", is a missing date.
    """
    out = np.full(len(text), moments.NEVER, dtype=np.int64)
    done = is_empty(text)
    plain = matches(text, _MIDNIGHT)
    if plain.any():
        heads = pd.Series(pd.array(pc.utf8_slice_codeunits(as_arrow(text[plain]), 0, 10), dtype="str"))
        codes, days = pd.factorize(heads)
        starts = np.array([_plain_day(day, zone) for day in days], dtype=np.int64)
        places = np.flatnonzero(plain)
        out[places] = starts[codes]
        done[places] = starts[codes] != moments.NEVER

    def read(cell: str) -> int | str:
        when = _datetime(cell)
        if when.year == _OPEN_END and open_end:
            return moments.NEVER
        if not _FIRST_YEAR <= when.year <= _LAST_YEAR:
            return YEAR_RULE
        local = when if when.tzinfo is None else when.astimezone(ZoneInfo(zone))
        return moments.start_of_day(local.date(), zone)

    return _cell_by_cell(text, out, ~done, read, DATE_RULE)


def _plain_day(day: str, zone: str) -> int:
    try:
        return moments.start_of_day(date.fromisoformat(day), zone)
    except ValueError:
        return moments.NEVER


def parse_months(text: pd.Series, typed_dates: bool = False) -> Parsed:
    """Month indices (int64, year * 12 + month - 1), NEVER where missing."""
    out = np.full(len(text), moments.NEVER, dtype=np.int64)
    legal = matches(text, _MONTH)
    if typed_dates:
        legal |= matches(text, _MONTH_AS_DATE)

    def read(cell: str) -> int | str:
        month = moments.parse_month(cell[:7])
        return month if _FIRST_YEAR * 12 <= month < (_LAST_YEAR + 1) * 12 else YEAR_RULE

    parsed = _cell_by_cell(text, out, legal, read, MONTH_RULE)
    return Parsed(parsed.values, (*parsed.broken, (~legal & ~is_empty(text), MONTH_RULE)))


def parse_numbers(text: pd.Series, whole: bool = False) -> Parsed:
    """float64 values, NaN where missing. NaN and infinities, 1e400 too, are broken cells, never values."""
    out = np.full(len(text), np.nan)
    legal = matches(text, _NUMBER)
    if legal.any():
        out[legal] = _floats(text[legal])
    endless = matches(text, _NOT_FINITE) | np.isinf(out)
    out[endless] = np.nan
    broken = [(~legal & ~endless & ~is_empty(text), NUMBER_RULE), (endless, FINITE_RULE)]
    if whole:
        split = legal & np.isfinite(out) & (out != np.floor(out))
        broken.append((split, INTEGER_RULE))
    return Parsed(out, tuple(broken))


def _floats(text: pd.Series) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(pc.cast(as_arrow(text), pa.float64()).to_numpy(), dtype=np.float64)
    except pa.ArrowInvalid:  # forms that Python reads and Arrow does not, such as "+1" or "5."
        return np.array([float(cell) for cell in text], dtype=np.float64)


def parse_money(text: pd.Series) -> Parsed:
    """int64 cents, NEVER where missing; more decimals round half to even, from the decimal text and exactly so."""
    out = np.full(len(text), moments.NEVER, dtype=np.int64)
    plain = matches(text, _PLAIN_MONEY)
    if plain.any():
        # Below 10**13 with two decimals the nearest double times 100 is off by less than half a cent.
        out[plain] = np.rint(_floats(text[plain]) * 100.0).astype(np.int64)

    def read(cell: str) -> int | str:
        if re.fullmatch(_NOT_FINITE[4:], cell, re.IGNORECASE):
            return FINITE_RULE
        if not re.fullmatch(_NUMBER, cell, re.ASCII):
            return NUMBER_RULE
        value = float(cell)
        if not math.isfinite(value):
            return FINITE_RULE
        if abs(value) > MONEY_LIMIT:
            return LARGE_RULE
        cents = Decimal(cell).quantize(Decimal("0.01"), rounding=ROUND_HALF_EVEN)
        return int(cents.scaleb(2))

    return _cell_by_cell(text, out, ~plain & ~is_empty(text), read, NUMBER_RULE)


def parse_booleans(text: pd.Series) -> Parsed:
    """1.0 and 0.0 as float64, NaN where missing."""
    low = text.str.lower()
    true, false = low.isin(list(TRUE_WORDS)).to_numpy(), low.isin(list(FALSE_WORDS)).to_numpy()
    out = np.where(true, 1.0, np.where(false, 0.0, np.nan))
    return Parsed(out, ((~true & ~false & ~is_empty(text), BOOLEAN_RULE),))


def tidy_lists(text: pd.Series) -> pd.Series:
    """`;`-separated names, each stripped, empty ones dropped; the full-width `；` separates too."""
    odd = matches(text, r"[；\s]|;;|^;|;$")
    if not odd.any():
        return text
    tidy = [
        ";".join(part.strip() for part in cell.replace("；", ";").split(";") if part.strip()) if mark else cell
        for cell, mark in zip(text, odd, strict=True)
    ]
    return pd.Series(tidy, dtype="str")


def _bounded(parsed: Parsed, column: Column, scale: float) -> Parsed:
    broken = list(parsed.broken)
    values = np.asarray(parsed.values)
    present = values != moments.NEVER if values.dtype == np.int64 else ~np.isnan(values)
    if column.minimum is not None:
        broken.append((present & (values < column.minimum * scale), message("cell.below", minimum=column.minimum)))
    if column.maximum is not None:
        broken.append((present & (values > column.maximum * scale), message("cell.above", maximum=column.maximum)))
    return Parsed(parsed.values, tuple(broken))


class NestedValueError(ValueError):
    """A cell holds a record or a list of records, which no column of the contract can take."""


def cell_text(value: object) -> str:
    """Text of one typed value, as if it had been written to CSV: 7.0 is "7", a missing value "".

    Raises NestedValueError for records and nested lists.
    """
    if value is None or value is pd.NaT:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() and abs(value) < 10**20 else str(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        if any(isinstance(part, (list, tuple, dict, set, np.ndarray)) for part in value):
            raise NestedValueError(message("cell.nested_list"))
        return ";".join(cell_text(part) for part in value)
    if isinstance(value, (dict, bytes, bytearray, memoryview)):
        raise NestedValueError(message("cell.record"))
    return str(value)


def arrow_text(array: pa.ChunkedArray) -> tuple[pd.Series, bool]:
    """Cells of a typed Arrow column as text (missing = ""), and whether it held dates or timestamps."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return arrow_text(array.cast(kind.value_type))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return as_series(array), False
    if pa.types.is_timestamp(kind):
        return as_series(_shortened(array.cast(pa.timestamp("us", kind.tz), safe=False))), True
    if pa.types.is_date(kind):
        return as_series(array.cast(pa.date32())), True
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return as_series(array), False
    if pa.types.is_decimal(kind) and kind.scale == 0:
        return as_series(array), False
    cells = [cell_text(value) for value in array.to_pylist()]
    return pd.Series(cells, dtype="str"), False


def _shortened(array: pa.ChunkedArray) -> Any:
    """Text of timestamps; Arrow ends those with a zone in `Z`."""
    return array.cast(pa.large_string())


def utc_text(moment: int) -> str:
    """ISO 8601 text in UTC of a moment, "" where it is missing."""
    return "" if moment in (moments.NEVER, moments.ALWAYS) else moments.to_datetime(moment).astimezone(UTC).isoformat()
