"""Leads as callers send them: typed at once where a row is plain, by the tables' own checks where it is not.

The quick way gives what `features.rows.parse_rows` gives, or nothing: whatever is unusual (a number as text, white
space, a column of another type, an unknown rep, a missing cell that must be filled) goes the long way and gets its
faults there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from features import moments
from features.contract import SCHEMA
from features.errors import DataError, Fault
from features.rows import parse_rows
from features.tables import Tables, dtype_of

_TIME: Final = re.compile(
    r"(?:19|20|21)\d\d-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.(?:\d{3}|\d{6}))?)?(Z|[+-]\d\d:\d\d)?)?"
)
_LONGEST: Final = 10_000
_LARGEST: Final = 10**15
_REQUIRED: Final = frozenset({"lead_id"})
_SLOW: Final = frozenset({"created_at", "recorded_at", "known_at"})
_SCHEMA: Final = SCHEMA["leads"]
_DTYPES: Final = {column.name: dtype_of(column) for column in _SCHEMA.columns}
_AROUND: Final = timedelta(hours=6)  # farther from a change of clocks than any local time may be shifted


@dataclass(frozen=True)
class Lead:
    """One lead to route: its typed cells in table layout, and its row as it was sent."""

    lead_id: str
    cells: Mapping[str, object]
    row: Mapping[str, object]

    def text(self, name: str) -> str:
        """A text column of the lead, "" where it has none."""
        value = self.cells.get(name, "")
        return value if isinstance(value, str) else ""

    @property
    def created_at(self) -> int:
        """Moment the lead was created."""
        value = self.cells["created_at"]
        assert isinstance(value, int)
        return value

    def frame(self) -> pd.DataFrame:
        """The lead as a table of one row."""
        return pd.DataFrame({name: pd.Series([value], dtype=_dtype(value)) for name, value in self.cells.items()})


def _dtype(value: object) -> str:
    if isinstance(value, float):
        return "float64"
    return "int64" if isinstance(value, int) else "str"


def leads_of(frame: pd.DataFrame, rows: Sequence[Mapping[str, object]]) -> list[Lead]:
    """The leads of a typed frame, in its order; `rows` as they were sent, one a row of the frame."""
    columns = [(str(name), frame[name].tolist()) for name in frame.columns]
    return [
        Lead(str(frame["lead_id"].iloc[i]), {name: values[i] for name, values in columns}, rows[i])
        for i in range(len(frame))
    ]


class LeadTyper:
    """Types rows of leads against one state of the tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._zone = ZoneInfo(tables.zone)
        own = {str(name): str(dtype) for name, dtype in tables.leads.dtypes.items()}
        self._dtypes = {**own, **_DTYPES}
        self._reps = frozenset(map(str, tables.reps["rep_id"]))
        self._blank: dict[str, object] = {
            column.name: "" if _DTYPES[column.name] == "str" else moments.NEVER for column in _SCHEMA.columns
        }

    def leads(self, rows: Sequence[Mapping[str, object]]) -> list[Lead]:
        """Typed leads in the order given; DataError lists the faults of every bad row."""
        found = [self.plain(row) for row in rows]
        odd = [i for i, lead in enumerate(found) if lead is None]
        if odd:
            slow = self._checked([rows[i] for i in odd], odd)
            for i, lead in zip(odd, slow, strict=True):
                found[i] = lead
        return [lead for lead in found if lead is not None]

    def _checked(self, rows: Sequence[Mapping[str, object]], places: Sequence[int]) -> list[Lead]:
        parsed = parse_rows("leads", rows, self._tables)
        if parsed.faults:
            raise DataError(
                [
                    Fault(f.table, places[f.row - 1] + 1 if f.row else 0, f.column, f.value, f.rule)
                    for f in parsed.faults
                ]
            )
        return leads_of(parsed.frame, rows)

    def plain(self, row: Mapping[str, object]) -> Lead | None:
        """The typed lead of a plain row; None where the long way has to be gone."""
        created = self._moment(row.get("created_at"))
        if created is None or row.get("recorded_at") is not None:
            return None
        cells = dict(self._blank)
        cells["created_at"] = cells["known_at"] = created
        for name, value in row.items():
            if name in _SLOW:
                continue
            cell = self._cell(name, value)
            if cell is None:
                return None
            cells[name] = cell
        if not (cells["lead_id"] and cells["source"]):
            return None
        finder = cells["sourced_by_rep_id"]
        if finder and finder not in self._reps:
            return None
        return Lead(str(cells["lead_id"]), cells, row)

    def _cell(self, name: str, value: object) -> str | float | None:
        """A typed cell, None where it is not plain."""
        # A column that the tables do not have is no feature; its value is only kept.
        dtype = self._dtypes.get(name) or ("str" if isinstance(value, str) else "float64")
        if dtype == "str":
            if value is None and name not in _REQUIRED:
                return ""
            return value if isinstance(value, str) and _is_plain(value) else None
        if dtype == "float64":
            if value is None:
                return math.nan
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                return None
            return float(value) if -_LARGEST < value < _LARGEST else None
        return None

    def _moment(self, value: object) -> int | None:
        if not isinstance(value, str) or len(value) > 40:
            return None
        form = _TIME.fullmatch(value)
        if form is None:
            return None
        try:
            when = datetime.fromisoformat(value)
        except ValueError:
            return None
        if when.tzinfo is None:
            offset = self._zone.utcoffset(when)
            if self._zone.utcoffset(when - _AROUND) != offset or self._zone.utcoffset(when + _AROUND) != offset:
                return None
        return moments.from_datetime(when, self._tables.zone)


def _is_plain(text: str) -> bool:
    """Whether a text stands in a cell just as it was sent."""
    return len(text) <= _LONGEST and text.isprintable() and text == text.strip()


def finite(value: object) -> float:
    """The number that a cell holds, NaN where it holds none."""
    if isinstance(value, float):
        return value
    if isinstance(value, str) and value:
        return float(np.asarray(pd.to_numeric(pd.Series([value]), errors="coerce"), dtype=np.float64)[0])
    return math.nan
