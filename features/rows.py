"""Rows that arrive one by one (JSON over HTTP, a file of new leads), typed like the tables, and added to them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import cells, moments
from features.checking import Checked, check_references, check_table, shown
from features.contract import SCHEMA, TableSchema
from features.errors import DataError, Fault, RequestError
from features.messages import message
from features.reading import RawTable, read_file
from features.tables import Tables

_NUMERIC: Final = ("number", "integer", "money")
_MOST_PIECES: Final = 32  # of a text column


@dataclass(frozen=True)
class ParsedRows:
    """Typed rows without a fault in table layout, their 1-based places (n,) in the request, and all faults."""

    frame: pd.DataFrame
    faults: tuple[Fault, ...]
    places: npt.NDArray[np.int64]

    def require(self) -> pd.DataFrame:
        """The frame; DataError where any row is at fault (all or nothing)."""
        if self.faults:
            raise DataError(self.faults)
        return self.frame


def parse_rows(
    table: str,
    rows: Sequence[Mapping[str, object]],
    tables: Tables | None = None,
    check_references: bool = True,
    zone: str | None = None,
) -> ParsedRows:
    """Typed rows of JSON objects of one table; every bad row's faults are listed.

    Strings are read as in files; numbers, booleans and null are taken as such. NaN, infinities and nested values are
    faults in any column. A key twice in one request is legal: the later row is the newer. With `tables`, extra lead
    columns take the types they have there, and references must be found there unless `check_references` is False.
    `zone` (default: that of `tables`, else UTC) reads times without an offset. Raises RequestError for a table that
    the contract does not have.
    """
    schema = SCHEMA.get(table)
    if schema is None:
        raise RequestError(message("rows.no_table", table=table, tables=tuple(SCHEMA)))
    raw = _raw_of(rows, schema)
    like = tables[table] if tables is not None else None
    checked = check_table(raw, schema, zone or (tables.zone if tables else "UTC"), like, duplicates=False)
    faults = list(checked.faults)
    if tables is not None and check_references:
        faults += _orphans(table, checked, tables)
    bad = {fault.row for fault in faults}
    good = np.array([row not in bad for row in checked.rows], dtype=bool)
    frame = checked.frame.loc[good].reset_index(drop=True)
    return ParsedRows(frame, tuple(sorted(faults)), checked.rows[good])


def _orphans(table: str, checked: Checked, tables: Tables) -> list[Fault]:
    return check_references({table: checked}, tables.frames)


def _raw_of(rows: Sequence[Mapping[str, object]], schema: TableSchema) -> RawTable:
    """The rows' cells as text, with every required column, so that what is missing is a fault of its row."""
    faults: list[Fault] = []
    names = {column.name: None for column in schema.columns if column.required}
    for given in rows:
        if isinstance(given, Mapping):
            names.update(dict.fromkeys(str(name) for name in given))
    columns: dict[str, list[str]] = {name: [] for name in names}
    for place, given in enumerate(rows, start=1):
        row: Mapping[str, object] = given if isinstance(given, Mapping) else {}
        if row is not given:
            faults.append(Fault(schema.name, place, "", shown(repr(given)), message("row.no_object")))
        for name, column in columns.items():
            column.append(_cell(row.get(name), name, place, schema, faults))
    frame = _stripped_names({name: pd.Series(column, dtype="str") for name, column in columns.items()}, schema, faults)
    return RawTable(schema.name, frame, np.arange(1, len(rows) + 1), tuple(faults))


def _stripped_names(columns: dict[str, pd.Series], schema: TableSchema, faults: list[Fault]) -> pd.DataFrame:
    named: dict[str, pd.Series] = {}
    for given, column in columns.items():
        name = given.strip()
        if name in named:
            if (column != "").any():
                faults.append(Fault(schema.name, 1, name, "", message("table.column_twice")))
            continue
        named[name] = column
    return pd.DataFrame(named)


def _cell(value: object, name: str, place: int, schema: TableSchema, faults: list[Fault]) -> str:
    """Text of one JSON value; what JSON can say and a cell cannot is a fault and reads as missing."""
    column = schema.column(name.strip())
    rule = ""
    if isinstance(value, float) and not math.isfinite(value):
        rule = cells.FINITE_RULE
    elif isinstance(value, Mapping) or (isinstance(value, (list, tuple)) and (column is None or column.kind != "list")):
        rule = message("row.nested")
    elif isinstance(value, (list, tuple)) and not all(isinstance(part, str) for part in value):
        rule = message("row.list")
    elif isinstance(value, bool) and column is not None and column.kind not in ("boolean", "text"):
        rule = message("row.boolean", kind=message(f"kind.{column.kind}"))
    elif isinstance(value, str) and "\0" in value:
        rule = message("row.nul")
    if not rule:
        try:
            return cells.cell_text(value).encode("utf-8").decode("utf-8")
        except UnicodeEncodeError:
            rule = message("row.unicode")
        except (cells.NestedValueError, ValueError):
            rule = message("row.no_cell")
    faults.append(Fault(schema.name, place, name.strip(), shown(_safe(value)), rule))
    return ""


def _safe(value: object) -> str:
    return str(value).encode("utf-8", "replace").decode("utf-8")


def parse_leads_file(path: Path, zone: str = "UTC", tables: Tables | None = None) -> pd.DataFrame:
    """New leads of a file, typed like the leads table, in the file's order; the same checks, duplicates included.

    With `tables`, extra columns take the types they have there and `sourced_by_rep_id` must be a known rep.
    Raises DataError with every fault.
    """
    if not path.is_file():
        raise RequestError(message("rows.no_leads_file", path=str(path)))
    like = tables.leads if tables is not None else None
    checked = check_table(read_file(path, "leads"), SCHEMA["leads"], zone, like)
    faults = list(checked.faults)
    if tables is not None and checked.usable:
        faults += check_references({"leads": checked}, tables.frames)
    if faults:
        raise DataError(faults)
    return checked.frame


def upsert(tables: Tables, name: str, frame: pd.DataFrame) -> Tables:
    """Tables in which the rows of `frame` replace those of the same key and the others are added at the end.

    The last row of a key wins. Types stay; a column that one side lacks is missing there.
    """
    if not len(frame):
        return tables
    key = list(SCHEMA[name].key)
    old, new = _aligned(tables[name], frame.drop_duplicates(key, keep="last"))
    replaced = _has_key(old, new, key)
    kept = old.loc[~replaced] if replaced.any() else old
    joined = pd.concat([kept, new], ignore_index=True) if len(kept) else new.reset_index(drop=True)
    return tables.with_frames(**{name: _in_few_pieces(joined)})


def _in_few_pieces(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its text columns whole again where they are in many pieces.

    Each row added to a text column stays a piece of its own, which every later reading walks over and which takes
    some hundred bytes: events one by one would make both grow for ever.
    """
    whole = {}
    for name in frame.columns:
        texts = frame[name].array
        if isinstance(texts, pd.arrays.ArrowStringArray):
            pieces = texts.__arrow_array__()
            if pieces.num_chunks > _MOST_PIECES:
                whole[str(name)] = pd.Series(pd.array(pieces.combine_chunks(), dtype="str"), index=frame.index)
    return frame.assign(**whole) if whole else frame


def _has_key(old: pd.DataFrame, new: pd.DataFrame, key: list[str]) -> npt.NDArray[np.bool_]:
    """Mask of the old rows whose key is among the new; narrowed by the first column, then compared whole."""
    mask = np.array(old[key[0]].isin(new[key[0]]), dtype=bool)
    if len(key) > 1 and mask.any():
        wanted = set(new[key].itertuples(index=False, name=None))
        near = np.flatnonzero(mask)
        same = [row in wanted for row in old.iloc[near][key].itertuples(index=False, name=None)]
        mask[near] = same
    return mask


def _aligned(old: pd.DataFrame, new: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both frames with the same columns in the same order and of the same types, the old frame's order first."""
    if old.columns.equals(new.columns) and (old.dtypes == new.dtypes).all():
        return old, new
    names = [*old.columns, *(name for name in new.columns if name not in old.columns)]
    ours: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    for name in names:
        first = old[name] if name in old.columns else _missing_like(new[name], old.index)
        second = new[name] if name in new.columns else _missing_like(old[name], new.index)
        ours[name], theirs[name] = _same_type(first, second)
    return pd.DataFrame(ours, index=old.index), pd.DataFrame(theirs, index=new.index)


def _missing_like(column: pd.Series, index: pd.Index) -> pd.Series:
    if column.dtype == np.float64:
        return pd.Series(np.nan, index=index, dtype="float64")
    if column.dtype == np.int64:
        return pd.Series(moments.NEVER, index=index, dtype="int64")
    return pd.Series("", index=index, dtype="str")


def _same_type(first: pd.Series, second: pd.Series) -> tuple[pd.Series, pd.Series]:
    """The two columns in one type: numbers where both can be, else text."""
    if first.dtype == second.dtype:
        return first, second
    numbers = [_as_numbers(column) for column in (first, second)]
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0], numbers[1]
    return _as_text(first), _as_text(second)


def _as_numbers(column: pd.Series) -> pd.Series | None:
    if column.dtype == np.float64:
        return column
    if (column != "").any():
        return None
    return pd.Series(np.nan, index=column.index, dtype="float64")


def _as_text(column: pd.Series) -> pd.Series:
    if column.dtype != np.float64:
        return column
    texts = ["" if np.isnan(value) else cells.cell_text(float(value)) for value in column]
    return pd.Series(texts, index=column.index, dtype="str")
