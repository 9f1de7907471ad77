"""Bulk import: rows of a file through the checks of `POST /v1/events`, a batch at a time, each whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from features.contract import SCHEMA
from features.errors import DataError, Fault, RequestError
from features.messages import message
from features.reading import SUFFIXES, read_file
from features.rows import parse_rows

if TYPE_CHECKING:
    from serving.core import Core

NDJSON: Final = (".ndjson", ".jsonl")
SENDER: Final = "import"
BATCH_ROWS: Final = 1_000

_NO_JSON: Final = message("row.no_json")

Row = Mapping[str, object]


@dataclass(frozen=True)
class Placed:
    """A row, its table and its place in the file (line of NDJSON, data row of a table), from 1."""

    place: int
    table: str
    row: Row


@dataclass(frozen=True)
class Imported:
    """What came of a file: rows taken now, rows of batches taken before, and every fault by its place in the file.

    `n_refused`: rows of batches of which nothing was taken.
    """

    n_taken: int
    n_before: int
    n_refused: int
    faults: tuple[Fault, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        listed = [{"table": f.table, "row": f.row, "column": f.column, "value": f.value, "rule": f.rule}
                  for f in self.faults]  # fmt: skip
        return {"taken": self.n_taken, "taken_before": self.n_before, "refused": self.n_refused, "faults": listed}


def import_events(
    core: Core, path: Path, table: str = "", batch_rows: int = BATCH_ROWS, say: Callable[[str], object] | None = None
) -> Imported:
    """Take the rows of an NDJSON, CSV, Parquet or .xlsx file, at most `batch_rows` of one table at a time.

    A batch with a fault is refused whole and the others are taken. A batch that was taken before, in a file with the
    same rows at the same places of a batch, is not taken again (for 30 days, as with any idempotency key).
    """
    taken = before = refused = 0
    faults: list[Fault] = []
    for name, placed, wrong in _batches(path, table, batch_rows):
        faults += wrong
        if wrong or not placed:
            refused += len(placed) + len(wrong)
            if placed:  # not taken, and what else is wrong with it is told all the same
                tables = core.state().board.tables
                rest = parse_rows(name, [one.row for one in placed], tables, check_references=False)
                faults += [_in_file(one, placed) for one in rest.faults]
            continue
        rows = [one.row for one in placed]
        key = _key(name, rows)
        with core.store.read() as view:
            known = view.receipt(f"events:{SENDER}", key) is not None
        try:
            core.add_events(name, rows, sender=SENDER, key=key)
        except DataError as error:
            faults += [_in_file(one, placed) for one in error.faults]
            refused += len(rows)
            continue
        before, taken = (before + len(rows), taken) if known else (before, taken + len(rows))
        if say is not None:
            say(message("progress.row", table=name, row=placed[-1].place))
    return Imported(taken, before, refused, tuple(faults))


def _in_file(fault: Fault, placed: Sequence[Placed]) -> Fault:
    """The fault by its place in the file in place of that in the batch."""
    return replace(fault, row=placed[fault.row - 1].place if fault.row else 0)


def _key(table: str, rows: Sequence[Row]) -> str:
    return hashlib.sha256(json.dumps([table, list(rows)], ensure_ascii=True).encode()).hexdigest()


def _batches(path: Path, table: str, most: int) -> Iterator[tuple[str, list[Placed], list[Fault]]]:
    """(table, rows, faults of reading) of each batch: rows that follow each other and are of one table."""
    batch: list[Placed] = []
    wrong: list[Fault] = []
    n_read = 0
    for one in _rows(path, table):
        is_other = isinstance(one, Placed) and bool(batch) and one.table != batch[0].table
        if n_read and (n_read >= most or is_other):
            yield (batch[0].table if batch else ""), batch, wrong
            batch, wrong, n_read = [], [], 0
        n_read += 1
        if isinstance(one, Fault):
            wrong.append(one)
        else:
            batch.append(one)
    if n_read:
        yield (batch[0].table if batch else ""), batch, wrong


def _rows(path: Path, table: str) -> Iterator[Placed | Fault]:
    if not path.is_file():
        raise RequestError(message("rows.no_events_file", path=str(path)))
    if table and table not in SCHEMA:
        raise RequestError(message("rows.no_table", table=table, tables=tuple(SCHEMA)))
    suffix = path.suffix.lower()
    if suffix in NDJSON:
        return _lines(path, table)
    if suffix not in SUFFIXES:
        raise RequestError(message("rows.file_kind", path=str(path), kinds=(*NDJSON, *SUFFIXES)))
    name = table or path.stem
    if name not in SCHEMA:
        raise RequestError(message("rows.which_table", path=str(path), tables=tuple(SCHEMA)))
    return _cells(path, name)


def _cells(path: Path, table: str) -> Iterator[Placed | Fault]:
    """Rows of a table's file; DataError where the file itself is at fault, for then rows may be missing."""
    raw = read_file(path, table)
    if raw.faults:
        raise DataError(raw.faults)
    names = list(raw.frame.columns)
    for place, cells in zip(raw.rows, raw.frame.itertuples(index=False, name=None), strict=True):
        yield Placed(int(place), table, {name: cell for name, cell in zip(names, cells, strict=True) if cell != ""})


def _lines(path: Path, table: str) -> Iterator[Placed | Fault]:
    """Objects of an NDJSON file: `{"table", "row"}`, or the row itself where the table is given."""
    with path.open("rb") as lines:
        for place, line in enumerate(lines, start=1):
            if line.strip():
                yield _line(place, line, table)


def _line(place: int, line: bytes, table: str) -> Placed | Fault:
    try:
        found = json.loads(line.decode("utf-8-sig"), parse_constant=_not_finite)
    except (ValueError, RecursionError):
        return Fault(table or "events", place, "", line[:100].decode("utf-8", "replace"), _NO_JSON)
    told: Any = found if isinstance(found, dict) else {}
    name, row = (table, found) if table else (told.get("table"), told.get("row"))
    if not isinstance(name, str) or name not in SCHEMA:
        return Fault("events", place, "table", str(name)[:100], message("row.none_of", names=", ".join(SCHEMA)))
    if not isinstance(row, dict):
        return Fault(name, place, "row", str(row)[:100], message("row.no_object"))
    return Placed(place, name, row)


def _not_finite(name: str) -> NoReturn:
    raise ValueError(f"{name} is not finite")
