"""One file -> its cells as text, nothing guessed: "007", "NA", "null" and "None" stay what they are.

CSV (UTF-8 with or without BOM, GB18030), Parquet and `.xlsx`. What is wrong with a file comes back as faults beside
what could be read, so that all of it is listed at once. Row numbers count data rows from 1; blank lines do not count.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from features.cells import NestedValueError, arrow_text, cell_text
from features.errors import Fault, system_words
from features.messages import message

SUFFIXES: Final = (".csv", ".parquet", ".xlsx")
_CHUNK = 1 << 20
_HEADER_BYTES = 1 << 18
_MAGIC = (
    (b"PAR1", "file.parquet"),
    (b"PK\x03\x04", "file.zip"),
    (b"\x1f\x8b", "file.gzip"),
    (b"\xd0\xcf\x11\xe0", "file.old_excel"),
    (b"\xff\xfe", "file.utf16"),
    (b"\xfe\xff", "file.utf16"),
    (b"%PDF", "file.pdf"),
)


@dataclass(frozen=True)
class RawTable:
    """Cells of one table as text (missing = ""), the data row each came from, and what was wrong.

    `typed_dates`: columns that the source held as dates. `digest`: SHA-256 of the file's bytes. `readable` is False
    where no cell could be had. `loose`: cells of rows that were dropped for their length; `whole` is False where it is
    not known how many rows were lost. So a reference to a row that is only misshapen is no orphan.
    """

    name: str
    frame: pd.DataFrame
    rows: npt.NDArray[np.int64]
    faults: tuple[Fault, ...] = ()
    typed_dates: frozenset[str] = frozenset()
    digest: str = ""
    readable: bool = True
    loose: frozenset[str] = frozenset()
    whole: bool = True


@dataclass
class _Draft:
    """What a reader has found so far."""

    name: str
    header: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    loose: set[str] = field(default_factory=set)
    whole: bool = True

    def fault(self, rule: str, row: int = 0, value: str = "", column: str = "") -> None:
        self.faults.append(Fault(self.name, row, column, value, rule))

    def finish(
        self, columns: Sequence[pd.Series], rows: npt.NDArray[np.int64], typed: Sequence[bool] = (), digest: str = ""
    ) -> RawTable:
        """The raw table: headers stripped, unnamed empty columns dropped, a second column of one name refused."""
        kept: dict[str, pd.Series] = {}
        typed_dates = set()
        for place, (given, cells) in enumerate(zip(self.header, columns, strict=True)):
            name = given.strip()
            if not name:
                if not (cells != "").any():
                    continue
                name = f"column {place + 1}"
            if name in kept:
                self.fault(message("table.column_twice"), column=name)
                continue
            kept[name] = cells.reset_index(drop=True)
            if typed and typed[place]:
                typed_dates.add(name)
        frame = pd.DataFrame(kept, index=pd.RangeIndex(len(rows)))
        return RawTable(
            self.name, frame, rows, tuple(self.faults), frozenset(typed_dates), digest,
            loose=frozenset(self.loose), whole=self.whole,
        )  # fmt: skip

    def unreadable(self, rule: str, digest: str = "") -> RawTable:
        """The raw table of a file from which no cell could be had."""
        self.fault(rule)
        nothing = np.zeros(0, dtype=np.int64)
        return RawTable(self.name, pd.DataFrame(), nothing, tuple(self.faults), digest=digest, readable=False)


def read_file(path: Path, name: str) -> RawTable:
    """Cells of the file at `path` as table `name`; never raises for what the file holds."""
    draft = _Draft(name)
    if path.suffix.lower() not in SUFFIXES:
        return draft.unreadable(message("file.kind", file=path.name))
    try:
        data = path.read_bytes()
    except OSError as error:
        return draft.unreadable(message("file.unread", file=path.name, why=system_words(error)))
    digest = hashlib.sha256(data).hexdigest()
    if not data:
        return draft.unreadable(message("file.empty", file=path.name), digest)
    if path.suffix.lower() == ".csv":
        return _read_csv(data, path.name, draft, digest)
    read = _read_parquet if path.suffix.lower() == ".parquet" else _read_workbook
    try:
        return read(data, draft, digest)
    except NestedValueError as error:
        return draft.unreadable(message("file.nested", file=path.name, what=error.args[0]), digest)
    except Exception as error:  # noqa: BLE001 - both parsers raise whatever broken bytes lead them to
        said = " ".join(str(error).split())[:160]
        return draft.unreadable(message("file.unreadable", file=path.name, kind=path.suffix[1:], why=said), digest)


def from_records(name: str, columns: Sequence[str], records: Iterable[Sequence[object]]) -> RawTable:
    """Raw table of typed records, as a database returns them."""
    draft = _Draft(name, list(columns))
    cells: list[list[str]] = [[] for _ in columns]
    dates = [False] * len(columns)
    n = 0
    for record in records:
        n += 1
        for place, value in enumerate(record):
            dates[place] = dates[place] or hasattr(value, "isoformat")
            cells[place].append(cell_text(value))
    series = [pd.Series(column, dtype="str") for column in cells]
    return draft.finish(series, np.arange(1, n + 1), dates)


def from_arrow(name: str, table: pa.Table) -> RawTable:
    """Raw table of a typed Arrow table; NestedValueError where a cell holds a record."""
    kept = [place for place, column in enumerate(table.column_names) if not column.startswith("__index_level_")]
    draft = _Draft(name, [table.column_names[place] for place in kept])
    read = [arrow_text(table.column(place)) for place in kept]  # by place: a query may name two columns alike
    rows = np.arange(1, table.num_rows + 1, dtype=np.int64)
    return draft.finish([cells for cells, _ in read], rows, [dated for _, dated in read])


def _with_digest(raw: RawTable, digest: str) -> RawTable:
    return replace(raw, digest=digest)


def _read_parquet(data: bytes, draft: _Draft, digest: str) -> RawTable:
    import pyarrow.parquet as pq

    return _with_digest(from_arrow(draft.name, pq.read_table(pa.BufferReader(data))), digest)


def _read_workbook(data: bytes, draft: _Draft, digest: str) -> RawTable:
    """Cells of the first sheet. A short row is padded, for a workbook does not store empty cells."""
    from openpyxl import load_workbook

    book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    try:
        sheet = book.worksheets[0]
        sheet.reset_dimensions()
        lines = sheet.iter_rows(values_only=True)
        header = [cell_text(value) for value in next(lines, ())]
        while header and not header[-1].strip():
            header.pop()
        if not header:
            return draft.unreadable(message("file.empty_sheet"), digest)
        draft.header = header
        return _sheet_rows(lines, draft, digest)
    finally:
        book.close()


def _sheet_rows(lines: Iterable[Sequence[object]], draft: _Draft, digest: str) -> RawTable:
    width = len(draft.header)
    cells: list[list[str]] = [[] for _ in range(width)]
    dates = [False] * width
    rows: list[int] = []
    for number, line in enumerate(lines, start=1):
        if all(value is None or value == "" for value in line):
            continue
        rows.append(number)
        if any(value not in (None, "") for value in line[width:]):
            draft.fault(message("file.cells", n=len(line), width=width), number)
        for place in range(width):
            value = line[place] if place < len(line) else None
            dates[place] = dates[place] or hasattr(value, "isoformat")
            cells[place].append(cell_text(value))
    series = [pd.Series(column, dtype="str") for column in cells]
    return draft.finish(series, np.array(rows, dtype=np.int64), dates, digest)


def _read_csv(data: bytes, file: str, draft: _Draft, digest: str) -> RawTable:
    for magic, code in _MAGIC:
        if data.startswith(magic):
            return draft.unreadable(message(code, file=file), digest)
    if b"\0" in data:
        return draft.unreadable(message("file.binary", file=file), digest)
    body: bytes | memoryview = data
    if data.startswith(codecs.BOM_UTF8):
        body = memoryview(data)[len(codecs.BOM_UTF8) :]
    if not _decodes(body, "utf-8"):
        if not _decodes(body, "gb18030"):
            return draft.unreadable(message("file.encoding", file=file), digest)
        body = bytes(body).decode("gb18030").encode("utf-8")
    try:
        header, delimiter = _csv_header(body)
    except csv.Error as error:
        return draft.unreadable(message("file.header", file=file, why=str(error)), digest)
    if not header:
        return draft.unreadable(message("file.empty", file=file), digest)
    draft.header = header
    fast = _fast_csv(body, header, delimiter) if data.count(b'"') % 2 == 0 else None
    columns, rows = fast if fast is not None else _careful_csv(body, delimiter, draft)
    return draft.finish(columns, rows, digest=digest)


def _decodes(body: bytes | memoryview, encoding: str) -> bool:
    """Whether the bytes are text of this encoding; by pieces, so that no second copy is held."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        for start in range(0, len(body), _CHUNK):
            decoder.decode(body[start : start + _CHUNK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _lines(body: bytes | memoryview) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(body), encoding="utf-8", newline="")


def _csv_header(body: bytes | memoryview) -> tuple[list[str], str]:
    """Names of the columns and the delimiter: a comma, or what a header without commas is split by (`;`, tab)."""
    for line in csv.reader(_lines(body)):
        if line:
            break
    else:
        return [], ","
    if len(line) == 1:
        for other in (";", "\t"):
            if other in line[0]:
                return next(row for row in csv.reader(_lines(body), delimiter=other) if row), other
    return line, ","


def _fast_csv(
    body: bytes | memoryview, header: list[str], delimiter: str
) -> tuple[list[pd.Series], npt.NDArray[np.int64]] | None:
    """Columns by Arrow's reader, which refuses ragged rows; None where it refuses, for the careful way to say why."""
    from pyarrow import csv as arrow_csv

    names = [str(place) for place in range(len(header))]
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(pa.py_buffer(body)),
            read_options=arrow_csv.ReadOptions(column_names=names, skip_rows_after_names=1, use_threads=True),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()),
                strings_can_be_null=False,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    columns = [pd.Series(pd.array(table.column(name), dtype="str")) for name in names]
    return columns, np.arange(1, table.num_rows + 1, dtype=np.int64)


def _careful_csv(
    body: bytes | memoryview, delimiter: str, draft: _Draft
) -> tuple[list[pd.Series], npt.NDArray[np.int64]]:
    """Columns by Python's reader: every ragged row is named, kept rows are those of the header's width."""
    width = len(draft.header)
    cells: list[list[str]] = [[] for _ in range(width)]
    rows: list[int] = []
    number = -1
    reader = csv.reader(_lines(body), delimiter=delimiter)
    try:
        for line in reader:
            if not line:
                continue
            number += 1
            if number == 0:
                continue
            if len(line) != width:
                found = delimiter.join(line)[:80]
                draft.fault(message("file.cells", n=len(line), width=width), number, found)
                draft.loose.update(cell.strip() for cell in line)
                continue
            rows.append(number)
            for column, cell in zip(cells, line, strict=True):
                column.append(cell)
    except csv.Error as error:
        draft.fault(message("file.unsplit", why=str(error)), number + 1)
        draft.whole = False
    if _open_quote(body, delimiter):
        draft.fault(message("file.open_quote"), max(number, 0))
        draft.whole = False
    return [pd.Series(column, dtype="str") for column in cells], np.array(rows, dtype=np.int64)


def _open_quote(body: bytes | memoryview, delimiter: str) -> bool:
    try:
        for _ in csv.reader(_lines(body), delimiter=delimiter, strict=True):
            pass
    except csv.Error as error:
        return "end of data" in str(error)
    return False


def fingerprint(raw: RawTable) -> str:
    """SHA-256 of the file's bytes; for queried rows of the cells, whatever order the rows came in."""
    if raw.digest:
        return raw.digest
    seen = hashlib.sha256("\x1f".join(map(str, raw.frame.columns)).encode())
    if len(raw.frame.columns):
        hashes: Any = pd.util.hash_pandas_object(raw.frame, index=False)
        seen.update(np.sort(np.asarray(hashes, dtype=np.uint64)).tobytes())
    return seen.hexdigest()
