"""One file of any legal kind gives the same typed table; an illegal one a named fault."""

# ruff: noqa: DTZ001 - times without a zone are what is being read here

import datetime as dt
import io
from decimal import Decimal

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features import moments
from features.config import Config, General
from features.reading import fingerprint, from_records, read_file
from features.sources import load_tables


def test_ids_stay_what_they_are(folder):
    """007 keeps its zeros, and reps called NA, null or leads called None are people, not gaps."""
    tables = load_tables(folder, Config())
    assert list(tables.reps["rep_id"]) == ["007", "NA", "null"]
    assert list(tables.leads["lead_id"]) == ["L1", "L2", "None"]


def test_types_are_those_of_the_tables(folder):
    tables = load_tables(folder, Config())
    assert tables.deals["amount"].tolist() == [123456, 0]
    assert tables.leads["size"].tolist()[0] == 10.0
    assert np.isnan(tables.leads["size"].iloc[1])
    assert tables.leads["vip"].tolist()[:2] == [1.0, 0.0]
    assert tables.targets["month"].tolist() == [2025 * 12 + 1]
    assert tables.feedback["complaint"].tolist() == [0.0, 1.0]
    assert tables.reps["left_on"].tolist()[0] == moments.NEVER
    assert {str(tables[n][c].dtype) for n, c in (("leads", "source"), ("activities", "kind"))} == {"str"}


def test_known_at_is_the_rows_time_unless_it_was_recorded_later(folder):
    (folder / "deals.csv").write_text(
        "deal_id,lead_id,rep_id,closed_at,status,amount,recorded_at\n"
        "D1,L1,007,2025-02-01,won,1,2025-02-09T08:00:00\nD2,L2,NA,2025-02-02,lost,0,\n"
    )
    tables = load_tables(folder, Config())
    assert tables.deals["known_at"].tolist() == [moments.parse("2025-02-09T08:00:00"), moments.parse("2025-02-02")]
    assert tables.reps["known_at"].tolist() == tables.reps["hired_on"].tolist()
    assert tables.targets["known_at"].tolist() == [moments.ALWAYS]
    assert tables.absences["known_at"].tolist() == [moments.ALWAYS]


@pytest.mark.parametrize(
    ("encoding", "bom"), [("utf-8", b""), ("utf-8", b"\xef\xbb\xbf"), ("gb18030", b"")], ids=["utf8", "bom", "gb18030"]
)
def test_encodings(folder, encoding, bom):
    text = "lead_id,created_at,source\nL1,2025-01-02,转介绍\nL2,2025-01-02,网络广告\nNone,2025-01-04,展会\n"
    (folder / "leads.csv").write_bytes(bom + text.encode(encoding))
    assert list(load_tables(folder, Config()).leads["source"]) == ["转介绍", "网络广告", "展会"]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_quotes_newlines_and_blank_lines(tmp_path, newline):
    text = 'a,b\n"1\n2","x""y"\n\n,"  padded "\n'.replace("\n", newline)
    (tmp_path / "t.csv").write_bytes(text.encode())
    raw = read_file(tmp_path / "t.csv", "t")
    assert raw.frame["b"].tolist() == ['x"y', "  padded "]
    assert raw.frame["a"].tolist() == [f"1{newline}2", ""]
    assert raw.rows.tolist() == [1, 2]
    assert not raw.faults


def test_the_careful_reader_agrees_with_the_fast_one(tmp_path):
    """The oracle of the fast path: a ragged row at the end forces Python's reader, all rows before it are equal."""
    body = 'a,b,c\n1,"x, y",\n"q""q",NA,é\n' * 1 + "3,line,z\n"
    (tmp_path / "fast.csv").write_bytes(body.encode())
    (tmp_path / "slow.csv").write_bytes(body.encode() + b"ragged\n")
    fast, slow = read_file(tmp_path / "fast.csv", "t"), read_file(tmp_path / "slow.csv", "t")
    assert not fast.faults
    assert [fault.row for fault in slow.faults] == [4]
    pd.testing.assert_frame_equal(fast.frame, slow.frame)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters(tmp_path, delimiter):
    (tmp_path / "t.csv").write_text(f'a{delimiter}b\n1{delimiter}"x{delimiter}y"\n')
    assert read_file(tmp_path / "t.csv", "t").frame["b"].tolist() == [f"x{delimiter}y"]


def test_header_only_is_an_empty_table(folder):
    (folder / "activities.csv").write_text("activity_id,lead_id,rep_id,occurred_at")
    (folder / "deals.csv").write_text("deal_id,lead_id,rep_id,closed_at,status,amount\n")
    tables = load_tables(folder, Config())
    assert len(tables.activities) == len(tables.deals) == 0
    assert str(tables.deals["amount"].dtype) == "int64"
    assert str(tables.activities["minutes"].dtype) == "float64"
    assert tables.newest() > moments.ALWAYS + 1


def test_workbook_cells(folder):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["rep_id", "hired_on", "weekly_capacity", "name", None])
    sheet.append(["007", dt.datetime(2020, 1, 15), 5, "Bond"])
    sheet.append([7, dt.date(2021, 3, 1), 5.0, None])
    sheet.append([None] * 4)
    sheet.append([8.0, "2022-01-01", None, True])
    (folder / "reps.csv").unlink()
    book.save(folder / "reps.xlsx")
    (folder / "assignments.csv").write_text("lead_id,rep_id,assigned_at\nL1,7,2025-01-02\n")
    for name in ("deals", "activities", "trainings", "targets", "feedback", "absences"):
        text = (folder / f"{name}.csv").read_text().replace(",NA,", ",8,")
        (folder / f"{name}.csv").write_text(text)
    reps = load_tables(folder, Config()).reps
    assert list(reps["rep_id"]) == ["007", "7", "8"]
    assert reps["hired_on"].tolist() == [moments.parse(day) for day in ("2020-01-15", "2021-03-01", "2022-01-01")]
    assert reps["name"].tolist() == ["Bond", "", "true"]
    assert reps["weekly_capacity"].tolist()[:2] == [5.0, 5.0]


def test_workbook_turns_months_into_dates(folder):
    book = openpyxl.Workbook()
    book.active.append(["rep_id", "month", "amount"])
    book.active.append(["007", dt.datetime(2025, 2, 1), 5000])
    (folder / "targets.csv").unlink()
    book.save(folder / "targets.xlsx")
    assert load_tables(folder, Config()).targets["month"].tolist() == [moments.parse_month("2025-02")]


def test_parquet_of_typed_columns(folder):
    zone = "Asia/Shanghai"
    pq.write_table(
        pa.table(
            {
                "rep_id": pa.array(["007", "NA", "null"]),
                "hired_on": pa.array([dt.date(2020, 1, 15)] * 3),
                "weekly_capacity": pa.array([5, None, 0], pa.int32()),
                "territories": pa.array([["north", "south"], [], None]),
            }
        ),
        folder / "reps.parquet",
    )
    pq.write_table(
        pa.table(
            {
                "deal_id": pa.array([1, 2], pa.int64()),
                "lead_id": pa.array(["L1", "L2"]).dictionary_encode(),
                "rep_id": ["007", "NA"],
                "closed_at": pa.array([dt.datetime(2025, 2, 1, 12), dt.datetime(2025, 2, 2)], pa.timestamp("ns")),
                "status": ["won", "lost"],
                "amount": pa.array([Decimal("1234.56"), Decimal("0.00")], pa.decimal128(12, 2)),
                "recorded_at": pa.array([None, dt.datetime(2025, 2, 3)], pa.timestamp("us", "UTC")),
                "urgent": [True, None],
            }
        ),
        folder / "deals.parquet",
    )
    for name in ("reps", "deals"):
        (folder / f"{name}.csv").unlink()
    tables = load_tables(folder, Config(General(zone=zone)))
    assert tables.reps["territories"].tolist() == ["north;south", "", ""]
    assert tables.reps["hired_on"].tolist()[0] == moments.parse("2020-01-15", zone)
    assert tables.deals["deal_id"].tolist() == ["1", "2"]
    assert tables.deals["amount"].tolist() == [123456, 0]
    assert tables.deals["closed_at"].tolist()[0] == moments.parse("2025-02-01T12:00", zone)
    assert tables.deals["recorded_at"].tolist() == [moments.NEVER, moments.parse("2025-02-03T00:00:00+00:00")]
    assert tables.deals["urgent"].tolist() == ["true", ""]


def test_parquet_float_ids_and_nan(tmp_path):
    pq.write_table(pa.table({"id": [7.0, 1.5], "x": [float("nan"), float("inf")]}), tmp_path / "t.parquet")
    raw = read_file(tmp_path / "t.parquet", "t")
    assert raw.frame["id"].tolist() == ["7", "1.5"]
    assert raw.frame["x"].tolist() == ["nan", "inf"]


def test_parquet_with_records_in_cells(tmp_path):
    pq.write_table(pa.table({"a": [{"b": 1}]}), tmp_path / "t.parquet")
    raw = read_file(tmp_path / "t.parquet", "t")
    assert not raw.readable
    assert "a cell takes one value" in raw.faults[0].rule


def _workbook() -> bytes:
    out = io.BytesIO()
    openpyxl.Workbook().save(out)
    return out.getvalue()


def _parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("suffix", "data", "said"),
    [
        ("csv", b"", "is empty"),
        ("csv", b"\xef\xbb\xbf", "is empty"),
        ("csv", b"\n\n", "is empty"),
        ("csv", b"a,b\n1,\x00\n", "binary file"),
        ("csv", b"a,b\n1,\xff\xff\n", "neither UTF-8 nor GB18030"),
        ("csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("csv", _parquet(), "Parquet file"),
        ("csv", _workbook(), "workbook"),
        ("csv", b"\x1f\x8b\x08", "gzip"),
        ("parquet", b"a,b\n1,2\n", "no readable parquet"),
        ("parquet", _parquet()[:-9], "no readable parquet"),
        ("xlsx", b"a,b\n1,2\n", "no readable xlsx"),
        ("xlsx", _workbook()[:400], "no readable xlsx"),
        ("xlsx", _workbook(), "first sheet is empty"),
        ("txt", b"a\n", "unknown kind"),
    ],
)
def test_unreadable_files(tmp_path, suffix, data, said):
    (tmp_path / f"t.{suffix}").write_bytes(data)
    raw = read_file(tmp_path / f"t.{suffix}", "leads")
    assert not raw.readable
    assert len(raw.faults) == 1
    assert said in raw.faults[0].rule


@pytest.mark.parametrize(
    ("data", "row", "said"),
    [
        (b"a,b\n1,2\n3\n4,5\n6,7,8\n", 2, "1 cells where the header has 2"),
        (b'a,b\n1,"2\n3,4\n', 1, "never closed"),
        (b'a,b\n1,"' + b"x" * 200_000 + b"\n", 1, "quotation mark"),
        (b"a,b,a\n1,2,3\n", 0, "duplicate column"),
        (b"a,b, a \n1,2,3\n", 0, "duplicate column"),
    ],
)
def test_faults_within_files(tmp_path, data, row, said):
    (tmp_path / "t.csv").write_bytes(data)
    raw = read_file(tmp_path / "t.csv", "t")
    assert any(fault.row == row and said in fault.rule for fault in raw.faults), raw.faults


def test_unnamed_columns(tmp_path):
    """Trailing commas of a workbook's export are no column; cells without a header are kept under their place."""
    (tmp_path / "t.csv").write_text("a,,b,\n1,x,2,\n")
    assert list(read_file(tmp_path / "t.csv", "t").frame.columns) == ["a", "column 2", "b"]


def test_fingerprints_see_cells_not_the_order_of_queried_rows():
    one = from_records("t", ["a", "b"], [(1, "x"), (2, None)])
    other = from_records("t", ["a", "b"], [(2, None), (1, "x")])
    changed = from_records("t", ["a", "b"], [(2, None), (1, "y")])
    assert fingerprint(one) == fingerprint(other) != fingerprint(changed)
