"""Downloads: the page's figures under the page's language, in which nothing runs."""

from __future__ import annotations

import csv
import datetime as dt
import io
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook

from serving.pages.exports import csv_bytes, neutral, xlsx_bytes

STARTERS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "＝1"]


@pytest.mark.parametrize("cell", STARTERS)
def test_a_cell_that_would_run_is_put_behind_an_apostrophe(cell):
    """In CSV and in the workbook alike."""
    assert neutral(cell) == "'" + cell
    assert ("'" + cell) in next(csv.reader(io.StringIO(csv_bytes([cell], []).decode("utf-8-sig"), newline="")))
    book = load_workbook(io.BytesIO(xlsx_bytes("t", ["name"], [[cell]])))
    found = book.active["A2"]
    assert found.data_type != "f"
    assert str(found.value).startswith("'")


@pytest.mark.parametrize("word", ["#N/A", "#REF!", "1.5", "2026-01-01", "TRUE"])
def test_a_word_that_looks_like_something_else_stays_a_word(word):
    found = load_workbook(io.BytesIO(xlsx_bytes("t", [word], [[word]]))).active
    assert [(found[at].data_type, found[at].value) for at in ("A1", "A2")] == [("s", word)] * 2
    assert found["A1"].font.bold
    assert not found["A2"].font.bold
    assert found.freeze_panes == "A2"


@given(st.text(max_size=20), st.floats(allow_nan=False, allow_infinity=False))
def test_other_cells_stay_as_they_are(word, number):
    """Numbers, below zero too, stay numbers; harmless words stay."""
    assert neutral(number) is number
    assert neutral(None) is None
    if word[:1] not in "=+-@\t\r\n＝＋－＠":
        assert neutral(word) == word


@pytest.mark.parametrize(("lang", "head"), [("en", "Chance of a miss"), ("zh", "未达标概率")])
def test_downloads_hold_the_forecast(town, lang, head):
    """One row a rep and month with the table's figures; headed in the language; names neutralised; a safe file name."""
    browser = town.client()
    answer = browser.get(f"/forecast.csv?level=rep&lang={lang}")
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert answer.headers["content-disposition"].startswith('attachment; filename="forecast-rep-')
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert rows[0][-1] == head
    table = town.core.forecast_table(None, "rep")
    assert len(rows) - 1 == len(table) > 10
    assert ["'" + town.FORMULA in row for row in rows].count(True) == 3
    means = {(row[0], row[2]): float(row[3]) for row in rows[1:]}
    for rep, month, mean in zip(table["rep_id"], table["month"], table["mean"], strict=True):
        assert means[(rep, month)] == pytest.approx(mean, abs=0.006)
    sheet = load_workbook(io.BytesIO(browser.get(f"/forecast.xlsx?level=rep&lang={lang}").content)).active
    values = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert values[0][-1] == head
    assert len(values) == len(rows)
    assert not [cell for row in sheet.iter_rows() for cell in row if cell.data_type == "f"]
    one_month = browser.get(f"/forecast.csv?level=rep&month={table['month'][0]}").text
    assert one_month.count("\r\n") - 1 == int((table["month"] == table["month"][0]).sum())


@pytest.mark.parametrize(("lang", "sheet"), [("en", "Did it work"), ("zh", "措施是否有效")])
def test_the_driver_report_as_a_workbook(town, lang, sheet):
    """The page links to it; a sheet a section in the language, names neutralised, nothing that runs."""
    browser = town.client()
    page = browser.get(f"/drivers?lang={lang}").text
    assert "/drivers.xlsx?" in page
    answer = browser.get(f"/drivers.xlsx?lang={lang}&against=top")
    assert answer.headers["content-disposition"].startswith('attachment; filename="drivers-20')
    book = load_workbook(io.BytesIO(answer.content))
    assert sheet in book.sheetnames
    cells = [cell for one in book for row in one.iter_rows() for cell in row]
    assert not [cell for cell in cells if cell.data_type == "f"]
    assert "'" + town.FORMULA in {cell.value for cell in cells}


def test_the_same_tables_give_the_same_bytes(monkeypatch):
    """A report compared with an earlier one differs only where its figures do, whenever it was made."""
    first = xlsx_bytes("t", ["name"], [["x"], [1.5]])
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    monkeypatch.setattr("openpyxl.writer.excel.datetime", SimpleNamespace(datetime=FarOff, timezone=dt.timezone))
    assert xlsx_bytes("t", ["name"], [["x"], [1.5]]) == first
    assert load_workbook(io.BytesIO(first)).active["A3"].value == 1.5


class FarOff(dt.datetime):
    """A clock thirty years on."""

    @classmethod
    def now(cls, tz=None):
        return cls(2056, 1, 1, tzinfo=tz)
