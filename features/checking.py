"""Raw tables -> typed tables, with every fault of every table listed at once.

A fault names table, data row, column, value and rule. Surrounding white space never counts: it is stripped from
headers and cells. Rows later than the moment asked about are checked too; hiding them is not done here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features import cells, moments
from features.contract import CELL_LIMIT, SCHEMA, Column, TableSchema
from features.errors import Fault
from features.messages import message
from features.reading import RawTable
from features.tables import dtype_of

SHOWN_VALUE: Final = 80
LISTED_PER_RULE: Final = 100_000  # a column wrong throughout is one mistake; millions of lines would say no more
_RESERVED = "known_at"


@dataclass(frozen=True)
class Checked:
    """One table, typed: all rows (bad cells are missing), the source row of each, and the faults found so far.

    `usable` is False where the table is absent, its key columns are, or rows of it are lost: references to it then
    prove nothing. `loose`: cells of rows of the wrong length, which references may mean.
    """

    frame: pd.DataFrame
    rows: npt.NDArray[np.int64]
    faults: tuple[Fault, ...]
    usable: bool = True
    loose: frozenset[str] = frozenset()


class FaultList:
    """Collects the faults of one table; knows the source row and how a value is shown."""

    def __init__(self, table: str, rows: npt.NDArray[np.int64]) -> None:
        self.table, self.rows, self.faults = table, rows, list[Fault]()

    def whole(self, rule: str, column: str = "") -> None:
        """A fault of the whole table or column."""
        self.faults.append(Fault(self.table, 0, column, "", rule))

    def cells(self, mask: npt.NDArray[np.bool_], column: str, text: pd.Series | None, rule: str) -> None:
        """A fault for each marked cell; past 100,000 of one rule, one fault says how many more there are."""
        places = np.flatnonzero(mask)
        listed = places[:LISTED_PER_RULE]
        values = [""] * len(listed) if text is None else text.iloc[listed].to_numpy(dtype=object)
        for row, value in zip(self.rows[listed].tolist(), values, strict=True):
            self.faults.append(Fault(self.table, row, column, shown(str(value)), rule))
        if len(places) > LISTED_PER_RULE:
            self.whole(message("table.more_rows", n=len(places) - LISTED_PER_RULE, rule=rule), column)


def shown(value: str) -> str:
    """`value` cut to what a message can hold."""
    return value if len(value) <= SHOWN_VALUE else value[: SHOWN_VALUE - 1] + "…"


def check_table(
    raw: RawTable, schema: TableSchema, zone: str, like: pd.DataFrame | None = None, duplicates: bool = True
) -> Checked:
    """The typed table of `raw`: contract columns first, then its extra ones, then `known_at`.

    `like`: a typed frame whose extra columns rule the types of the same columns here (for rows that join it).
    `duplicates`: whether a key seen twice is a fault.
    """
    found = FaultList(schema.name, raw.rows)
    found.faults.extend(raw.faults)
    if not raw.readable:
        return Checked(_no_rows(schema), raw.rows[:0], tuple(found.faults), usable=False)
    typed: dict[str, Any] = {}
    present: set[str] = set()
    for column in schema.columns:
        if column.name in raw.frame.columns:
            present.add(column.name)
            typed[column.name] = _column(raw, column, zone, found)
        else:
            if column.required:
                found.whole(_missing_rule(column.name, raw.frame.columns), column.name)
            typed[column.name] = missing_values(column, len(raw.rows))
    for name in raw.frame.columns:
        if name not in present:
            typed[name if name != _RESERVED else f"{name}_given"] = _extra(raw, name, schema, like, found)
    typed[_RESERVED] = known_at(schema, typed, len(raw.rows))
    frame = pd.DataFrame(typed, index=pd.RangeIndex(len(raw.rows)))
    usable = set(schema.key) <= present
    if duplicates and usable:
        _check_key(frame, schema, raw, found)
    return Checked(frame, raw.rows, tuple(found.faults), usable and raw.whole, raw.loose)


def _no_rows(schema: TableSchema) -> pd.DataFrame:
    from features.tables import empty_frame

    return empty_frame(schema)


def missing_values(column: Column, n: int) -> Any:
    """`n` missing values of the column's type."""
    dtype = dtype_of(column)
    if dtype == "int64":
        return np.full(n, moments.NEVER, dtype=np.int64)
    return np.full(n, np.nan) if dtype == "float64" else pd.Series([""] * n, dtype="str")


def _missing_rule(name: str, columns: pd.Index) -> str:
    near = difflib.get_close_matches(name, [str(column).lower().replace(" ", "_") for column in columns], 1, 0.75)
    spelt = [str(column) for column in columns if near and str(column).lower().replace(" ", "_") == near[0]]
    return message("table.column_missing_near", near=spelt[0]) if spelt else message("table.column_missing")


def _column(raw: RawTable, column: Column, zone: str, found: FaultList) -> Any:
    text = cells.stripped(raw.frame[column.name])
    _check_length(text, column.name, found)
    empty = cells.is_empty(text)
    if column.required and not column.may_be_empty:
        found.cells(empty & _to_be_filled(raw, column), column.name, None, message("cell.empty"))
    parsed = cells.parse(text, column, zone, column.name in raw.typed_dates)
    for mask, rule in parsed.broken:
        found.cells(mask, column.name, text, rule)
    return parsed.values if column.filled_where is None else np.where(empty, 0, np.asarray(parsed.values))


def _to_be_filled(raw: RawTable, column: Column) -> npt.NDArray[np.bool_]:
    """Rows in which the column must have a value; all of them where the column that says so is missing itself."""
    if column.filled_where is None or column.filled_where[0] not in raw.frame.columns:
        return np.ones(len(raw.rows), dtype=bool)
    other, value = column.filled_where
    return np.asarray(cells.stripped(raw.frame[other]) == value, dtype=bool)


def _check_length(text: pd.Series, name: str, found: FaultList) -> None:
    found.cells(cells.longer_than(text, CELL_LIMIT), name, text, message("cell.long", limit=CELL_LIMIT))


def _extra(raw: RawTable, name: str, schema: TableSchema, like: pd.DataFrame | None, found: FaultList) -> Any:
    """An extra column: text, but of leads a feature, which may be number or boolean."""
    text = cells.stripped(raw.frame[name])
    _check_length(text, name, found)
    if like is not None and name in like.columns:
        return _as_known(text, name, like, found)
    if not schema.extra_features:
        return text
    parsed = feature_values(text)
    for mask, rule in parsed.broken:
        found.cells(mask, name, text, rule)
    return parsed.values


def _as_known(text: pd.Series, name: str, like: pd.DataFrame, found: FaultList) -> Any:
    if like[name].dtype != np.float64:
        return text
    words = cells.parse_booleans(text)
    parsed = cells.parse_numbers(text)
    wordy = ~np.isnan(words.values)
    for mask, rule in parsed.broken:
        found.cells(mask & ~wordy, name, text, message("cell.unlike", rule=rule))
    return np.where(wordy, words.values, parsed.values)


def feature_values(text: pd.Series) -> cells.Parsed:
    """float64 where every cell is a number (no `007`, which is an id) or a yes/no word, else the text.

    NaN and infinities among numbers are broken cells; a column of nothing but such words is text.
    """
    filled = ~cells.is_empty(text)
    if not filled.any():
        return cells.Parsed(text)
    booleans = cells.parse_booleans(text)
    worded = cells.matches(text, r"(?i)^(?:true|false|yes|no|是|否)$")
    if worded[filled].all():
        return booleans
    numbers = cells.parse_numbers(text)
    unreadable, endless = (mask for mask, _ in numbers.broken)
    if unreadable.any() or cells.matches(text, r"^[+-]?0\d").any() or not np.isfinite(numbers.values).any():
        return cells.Parsed(text)
    return cells.Parsed(numbers.values, ((endless, cells.FINITE_RULE),))


def known_at(schema: TableSchema, typed: Mapping[str, Any], n: int) -> npt.NDArray[np.int64]:
    """Moment from which a later one knows the row: recorded_at, else the row's time, else (a plan) ALWAYS."""
    recorded = np.asarray(typed["recorded_at"], dtype=np.int64)
    own = np.full(n, moments.ALWAYS) if schema.time is None else np.asarray(typed[schema.time], dtype=np.int64)
    return np.where(recorded != moments.NEVER, recorded, own)


def _check_key(frame: pd.DataFrame, schema: TableSchema, raw: RawTable, found: FaultList) -> None:
    """A fault for each row whose key an earlier row has, naming that row."""
    key = list(schema.key)
    whole = np.ones(len(frame), dtype=bool)
    for name in key:
        values = frame[name]
        whole &= (values != moments.NEVER).to_numpy() if values.dtype == np.int64 else ~cells.is_empty(values)
    keyed = frame.loc[whole, key]
    again = keyed.duplicated(keep="first")
    if not again.any():
        return
    repeated = keyed.loc[keyed.duplicated(keep=False)]
    groups = repeated.groupby(key, sort=False).ngroup().tolist()
    written = raw.frame.iloc[repeated.index][key].to_numpy(dtype=object)
    firsts: dict[int, int] = {}
    listed = 0
    for row, group, parts in zip(raw.rows[repeated.index].tolist(), groups, written, strict=True):
        if group in firsts and listed == LISTED_PER_RULE:
            left = int(again.sum()) - listed
            found.whole(message("table.more_rows", n=left, rule=message("table.key_twice")), ", ".join(key))
            return
        if group in firsts:
            listed += 1
            value = ", ".join(str(part).strip() for part in parts)
            rule = message("table.key_twice_first", key=", ".join(key), row=firsts[group])
            found.faults.append(Fault(schema.name, row, ", ".join(key), shown(value), rule))
        else:
            firsts[group] = row


def check_references(checked: Mapping[str, Checked], against: Mapping[str, pd.DataFrame] | None = None) -> list[Fault]:
    """Orphans: a filled reference whose target no row has.

    Targets are the tables in `checked`, or those of `against`. A table that could not be read is no target.
    """
    faults: list[Fault] = []
    for name, one in checked.items():
        for reference in SCHEMA[name].references:
            loose: frozenset[str] = frozenset()
            if against is not None:
                targets = against[reference.table][reference.target]
            else:
                other = checked.get(reference.table)
                if other is None or not other.usable:
                    continue
                targets, loose = other.frame[reference.target], other.loose
            values = one.frame[reference.column]
            lost = ~_found_in(values, targets) & ~cells.is_empty(values)
            if loose:
                lost &= ~np.asarray(values.isin(list(loose)), dtype=bool)
            found = FaultList(name, one.rows)
            where = f"{reference.table}.{reference.target}"
            found.cells(lost, reference.column, values, message("table.not_found", where=where))
            faults += found.faults
    return faults


def _found_in(values: pd.Series, targets: pd.Series) -> npt.NDArray[np.bool_]:
    """Mask of the values that `targets` holds; a few values are looked for among many targets, not the reverse."""
    if values.dtype == "str" and targets.dtype == "str":  # pandas looks texts up as objects, 25 times as slowly
        held = pc.is_in(pa.array(values), value_set=pa.array(targets))
        return np.asarray(held, dtype=bool)
    if len(values) * 10 < len(targets):
        targets = targets[targets.isin(values.unique())]
    return np.asarray(values.isin(targets), dtype=bool)
