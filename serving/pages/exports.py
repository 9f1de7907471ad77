"""Tables as files for spreadsheets, in which no cell can become a formula.

References
----------
OWASP, CSV Injection: a text that begins with = + - @, a tab or a carriage return is run by spreadsheets.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from openpyxl.cell.cell import Cell
    from openpyxl.styles import Font
    from openpyxl.worksheet.worksheet import Worksheet

Value = str | float | int | None
_STARTERS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_READ_AS: Final = ("=", "#")  # texts that openpyxl takes for a formula or an error
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CSV: Final = "text/csv; charset=utf-8"


def neutral(value: Value) -> Value:
    """The value, a text that a spreadsheet would run behind an apostrophe; numbers stay numbers."""
    return "'" + value if isinstance(value, str) and value.startswith(_STARTERS) else value


def csv_bytes(heads: Sequence[str], rows: Sequence[Sequence[Value]]) -> bytes:
    """CSV in UTF-8 with a BOM, without which spreadsheets read Chinese as something else."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    for row in (heads, *rows):
        writer.writerow(["" if (cell := neutral(value)) is None else cell for value in row])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


@dataclass(frozen=True)
class Sheet:
    """One sheet: its title, the heads of its columns, and rows of texts and numbers."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Value]]


def xlsx_bytes(title: str, heads: Sequence[str], rows: Sequence[Sequence[Value]]) -> bytes:
    """A workbook of one sheet, its first row fixed, texts as texts."""
    return workbook_bytes([Sheet(title, heads, rows)])


def workbook_bytes(sheets: Sequence[Sheet]) -> bytes:
    """A workbook of at least one sheet, the first row of each fixed, texts as texts; same tables, same bytes."""
    from openpyxl import Workbook

    book = Workbook(write_only=True)  # rows are written as they come: half the time
    for at, one in enumerate(sheets, 1):
        title = "".join(c for c in one.title if c not in "[]:*?/\\")[:31] or f"Sheet{at}"
        _fill(book.create_sheet(title), one)
    out = io.BytesIO()
    book.save(out)
    return _timeless(out)


def _timeless(saved: io.BytesIO) -> bytes:
    """The workbook without the moment of its making, so that the same tables give the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            body = old.read(name)
            if name == "docProps/core.xml":
                body = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"2000-01-01T00:00:00Z", body)
            new.writestr(zipfile.ZipInfo(name, _NO_TIME), body, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _fill(sheet: Worksheet, one: Sheet) -> None:
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    for column, name in enumerate(one.heads, 1):
        wide = max([_width(name), *(_width(row[column - 1]) for row in one.rows[:200])])
        sheet.column_dimensions[get_column_letter(column)].width = min(40, wide + 2)
    sheet.freeze_panes = "A2"
    bold = Font(bold=True)
    sheet.append([_text_cell(sheet, neutral(head), bold) for head in one.heads])
    for row in one.rows:
        values = map(neutral, row)
        sheet.append([
            _text_cell(sheet, value) if isinstance(value, str) and value.startswith(_READ_AS) else value
            for value in values
        ])  # fmt: skip


def _text_cell(sheet: Worksheet, value: Value, font: Font | None = None) -> Cell:
    """A cell that is text, whatever it begins with."""
    from openpyxl.cell import WriteOnlyCell

    cell: Cell = WriteOnlyCell(sheet, value)
    if isinstance(value, str):
        cell.data_type = "s"
    if font is not None:
        cell.font = font
    return cell


def _width(value: Value) -> int:
    shown = "" if value is None else str(value)
    return sum(2 if ord(c) > 0x2E7F else 1 for c in shown)


def file_name(stem: str, day: date, ending: str) -> str:
    """An ASCII file name for a download."""
    return f"{stem}-{day.isoformat()}.{ending}"
