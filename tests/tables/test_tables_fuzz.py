"""Whatever bytes a file holds: tables, or a named fault. Never anything else."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.config import Config
from features.contract import SCHEMA
from features.errors import DataError, SourceError
from features.reading import read_file
from features.rows import parse_rows, upsert
from features.sources import load_tables
from features.tables import dtype_of, empty_tables

NAMES = st.sampled_from(sorted(SCHEMA))
HEADERS = {name: ",".join(column.name for column in schema.columns) for name, schema in SCHEMA.items()}
NASTY = (
    *("", "007", "NA", "nan", "inf", "1e400", "-1", "2025-01-02", "2025-13-45", "won", "lost", "2025-02", "1.005"),
    *('"', '"a\nb"', "x" * 10_001, "9999-12-31", "true", "；", "\u3000", "é", "🙂", "1e-400", "24:00", "+08:00", "\r"),
    *(";", "\\", "'"),
)
CELLS = st.sampled_from(NASTY)


def check(folder: Path) -> None:
    try:
        tables = load_tables(folder, Config())
    except (DataError, SourceError):
        return
    for name, schema in SCHEMA.items():
        for column in schema.columns:
            assert str(tables[name][column.name].dtype) == dtype_of(column)
        assert tables[name]["known_at"].dtype == np.int64


def folder_with(name: str, data: bytes, suffix: str = "csv") -> tempfile.TemporaryDirectory:
    place = tempfile.TemporaryDirectory()
    for table, header in HEADERS.items():
        (Path(place.name) / f"{table}.csv").write_text(header + "\n")
    (Path(place.name) / f"{name}.csv").unlink()
    (Path(place.name) / f"{name}.{suffix}").write_bytes(data)
    return place


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    NAMES,
    st.binary(max_size=300),
    st.booleans(),
    st.sampled_from(["csv", "csv", "parquet", "xlsx"]),
)
def test_arbitrary_bytes(name, data, headed, suffix):
    with folder_with(name, (HEADERS[name].encode() + b"\n" if headed else b"") + data, suffix) as place:
        check(Path(place))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(NAMES, st.data())
def test_nasty_cells(name, data):
    width = len(SCHEMA[name].columns)
    rows = data.draw(st.lists(st.lists(CELLS, min_size=width - 1, max_size=width + 1), max_size=4))
    text = "\n".join([HEADERS[name], *(",".join(row) for row in rows)])
    with folder_with(name, text.encode()) as place:
        check(Path(place))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200).filter(lambda data: data.count(b'"') % 2 == 0))
def test_no_cell_is_lost_or_made(data):
    """Rows that are kept are the rows of Python's reader of the header's width, whichever path read them."""
    import csv
    import io

    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "t.csv"
        path.write_bytes(b"a,b\n" + data)
        raw = read_file(path, "t")
    if not raw.readable or raw.faults:
        return
    try:
        text = (b"a,b\n" + data).decode("utf-8")
    except UnicodeDecodeError:
        text = (b"a,b\n" + data).decode("gb18030")
    lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line][1:]
    if '"' not in text:  # a quotation mark inside a bare cell has no agreed meaning
        assert raw.frame.to_numpy().tolist() == lines


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | CELLS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=100, deadline=None)
@given(NAMES, st.data())
def test_arbitrary_json(name, data):
    names = st.sampled_from([column.name for column in SCHEMA[name].columns]) | st.text(max_size=5)
    rows = data.draw(st.lists(st.dictionaries(names, JSON, max_size=8), max_size=3))
    parsed = parse_rows(name, rows)
    assert len(parsed.frame) == len(parsed.places) == len(rows) - len({f.row for f in parsed.faults if f.row})
    if len(parsed.frame):
        after = upsert(empty_tables(), name, parsed.frame)
        assert 1 <= len(after[name]) <= len(parsed.frame)
