"""Rows of JSON and of lead files are read like the tables', and join them without changing a type."""

import numpy as np
import pytest

from features import moments
from features.config import Config
from features.errors import DataError, RequestError
from features.rows import parse_leads_file, parse_rows, upsert
from features.sources import load_tables


@pytest.fixture
def tables(folder):
    return load_tables(folder, Config())


ACTIVITY = {"activity_id": 7, "lead_id": "L1", "rep_id": "NA", "occurred_at": "2026-01-01T00:00:00Z", "minutes": 3}
LEAD = {"lead_id": "L9", "created_at": "2026-01-05T09:00:00", "source": "event"}


def test_typed_like_the_table(tables):
    parsed = parse_rows(
        "activities", [ACTIVITY, {**ACTIVITY, "activity_id": "8", "minutes": "2.5", "kind": None}], tables
    )
    assert not parsed.faults
    assert parsed.frame["activity_id"].tolist() == ["7", "8"]
    assert parsed.frame["minutes"].tolist() == [3.0, 2.5]
    assert parsed.frame["known_at"].tolist() == [moments.parse("2026-01-01")] * 2
    assert parsed.frame.dtypes.to_dict() == tables.activities.dtypes.to_dict()
    assert parsed.places.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("change", "column", "value", "rule"),
    [
        ({"minutes": float("nan")}, "minutes", "nan", "not finite"),
        ({"minutes": float("inf")}, "minutes", "inf", "not finite"),
        ({"minutes": "1e400"}, "minutes", "1e400", "not finite"),
        ({"minutes": 10**400}, "minutes", None, "not finite"),
        ({"minutes": True}, "minutes", "True", "a boolean where a number belongs"),
        ({"minutes": -1}, "minutes", "-1", "below 0"),
        ({"kind": {"a": 1}}, "kind", "{'a': 1}", "nested"),
        ({"kind": ["a"]}, "kind", "['a']", "nested"),
        ({"kind": "x\0"}, "kind", "x\0", "NUL"),
        ({"kind": "\ud800"}, "kind", "?", "valid Unicode"),
        ({"kind": "x" * 10_001}, "kind", "x" * 79 + "…", "longer than"),
        ({"occurred_at": "soon"}, "occurred_at", "soon", "ISO 8601"),
        ({"occurred_at": None}, "occurred_at", "", "required cell is empty"),
        ({"occurred_at": 1767225600}, "occurred_at", "1767225600", "ISO 8601"),
        ({"rep_id": "nobody"}, "rep_id", "nobody", "not found in reps.rep_id"),
        ({"lead_id": "L77"}, "lead_id", "L77", "not found in leads.lead_id"),
        ({"activity_id": " "}, "activity_id", "", "required cell is empty"),
    ],
)
def test_faults_name_the_row(tables, change, column, value, rule):
    parsed = parse_rows("activities", [ACTIVITY, {**ACTIVITY, **change}], tables)
    assert [(f.row, f.column) for f in parsed.faults] == [(2, column)]
    assert rule in parsed.faults[0].rule
    assert value is None or parsed.faults[0].value == value
    assert parsed.places.tolist() == [1]
    with pytest.raises(DataError):
        parsed.require()


def test_missing_columns_are_faults_of_each_row(tables):
    parsed = parse_rows("leads", [{}, LEAD], tables)
    assert [(f.row, f.column) for f in parsed.faults] == [(1, "created_at"), (1, "lead_id")]


@pytest.mark.parametrize("row", [None, 3, "x", ["a"]])
def test_rows_that_are_no_objects(tables, row):
    parsed = parse_rows("leads", [row], tables)
    assert "not an object" in " ".join(f.rule for f in parsed.faults)


def test_no_such_table(tables):
    with pytest.raises(RequestError, match="no table 'lead'; the tables are reps, leads"):
        parse_rows("lead", [LEAD], tables)


def test_no_rows(tables):
    parsed = parse_rows("activities", [], tables)
    assert parsed.frame.dtypes.to_dict() == tables.activities.dtypes.to_dict()
    assert upsert(tables, "activities", parsed.frame) is tables


def test_references_may_go_unchecked(tables):
    assert not parse_rows("activities", [{**ACTIVITY, "rep_id": "x"}], tables, check_references=False).faults
    assert not parse_rows("activities", [{**ACTIVITY, "rep_id": "x"}]).faults
    assert parse_rows(
        "feedback",
        [{"feedback_id": 1, "rep_id": "007", "received_at": "2026-01-01", "score": 5, "lead_id": "?"}],
        tables,
    ).faults


def test_references_among_many_rows(tables):
    many = [{**LEAD, "lead_id": f"M{n}"} for n in range(50)]
    grown = upsert(tables, "leads", parse_rows("leads", many, tables).require())
    assert not parse_rows("activities", [{**ACTIVITY, "lead_id": "M49"}], grown).faults
    assert parse_rows("activities", [{**ACTIVITY, "lead_id": "M50"}], grown).faults


def test_the_zone_is_that_of_the_tables(folder):
    from features.config import General

    tables = load_tables(folder, Config(General(zone="Asia/Shanghai")))
    created = parse_rows("leads", [LEAD], tables).frame["created_at"].iloc[0]
    assert created == moments.parse("2026-01-05T09:00:00+08:00")


def test_extra_lead_columns_take_the_tables_types(tables):
    parsed = parse_rows("leads", [{**LEAD, "size": "12", "vip": True, "new": 5, "word": "x"}], tables)
    assert not parsed.faults
    assert parsed.frame[["size", "vip", "new"]].iloc[0].tolist() == [12.0, 1.0, 5.0]
    bad = parse_rows("leads", [{**LEAD, "size": "big"}, {**LEAD, "employees": float("nan")}], tables)
    assert [(f.row, f.column) for f in bad.faults] == [(1, "size"), (2, "employees")]


def test_lists_of_territories(tables):
    row = {"rep_id": "9", "hired_on": "2026-01-01", "territories": ["north", " south "]}
    assert parse_rows("reps", [row], tables).frame["territories"].tolist() == ["north;south"]
    assert parse_rows("reps", [{**row, "territories": [1]}], tables).faults


def test_upsert_newest_wins(tables):
    rows = [
        {**ACTIVITY, "activity_id": "A1", "kind": "visit"},
        {**ACTIVITY, "activity_id": "A2"},
        {**ACTIVITY, "activity_id": "A2", "kind": "demo"},
    ]
    after = upsert(tables, "activities", parse_rows("activities", rows, tables).require())
    assert after.activities["activity_id"].tolist() == ["A1", "A2"]
    assert after.activities["kind"].tolist() == ["visit", "demo"]
    assert after.activities.dtypes.to_dict() == tables.activities.dtypes.to_dict()
    assert tables.activities["kind"].tolist() == ["call"]


def test_upsert_by_a_key_of_several_columns(tables):
    rows = [{"lead_id": "L1", "rep_id": "007", "assigned_at": t} for t in ("2025-01-02T18:00:00+08:00", "2025-01-09")]
    after = upsert(tables, "assignments", parse_rows("assignments", rows, tables).require())
    assert len(after.assignments) == 4
    again = upsert(after, "assignments", parse_rows("assignments", rows[1:], after).require())
    assert len(again.assignments) == 4  # the lead's other hand-over stays
    targets = upsert(
        tables, "targets", parse_rows("targets", [{"rep_id": "007", "month": "2025-02", "amount": 1}]).frame
    )
    assert targets.targets["amount"].tolist() == [100]


def test_upsert_fills_columns_that_one_side_lacks(tables):
    after = upsert(tables, "leads", parse_rows("leads", [{**LEAD, "new": 5, "word": "x"}], tables).require()).leads
    assert after["new"].tolist()[-1] == 5.0
    assert np.isnan(after["new"].iloc[0])
    assert after["word"].tolist() == ["", "", "", "x"]
    assert np.isnan(after["size"].iloc[-1])
    assert after["territory"].tolist()[-1] == ""


def test_upsert_of_a_column_empty_so_far(tables):
    frame = parse_rows("leads", [{**LEAD, "nothing": None}], tables).require()
    one = upsert(tables, "leads", frame)
    two = upsert(one, "leads", parse_rows("leads", [{**LEAD, "lead_id": "L10"}], tables).frame.assign(nothing=2.0))
    assert two.leads["nothing"].tolist()[-1] == 2.0
    assert str(two.leads["nothing"].dtype) == "float64"


def test_upsert_into_empty_tables():
    from features.tables import empty_tables

    after = upsert(empty_tables(), "leads", parse_rows("leads", [LEAD]).frame)
    assert after.leads["lead_id"].tolist() == ["L9"]


def test_a_file_of_leads(tmp_path, tables):
    path = tmp_path / "new.csv"
    path.write_text("lead_id,created_at,source,size\nL1,2026-01-02,web,\n8,2026-01-01,web,3\n")
    assert parse_leads_file(path, tables=tables)["lead_id"].tolist() == ["L1", "8"]
    path.write_text("lead_id,created_at,source,sourced_by_rep_id\nX,2026-01-02,web,ghost\nX,soon,,\n")
    with pytest.raises(DataError) as caught:
        parse_leads_file(path, tables=tables)
    assert {(f.row, f.column) for f in caught.value.faults} == {
        (1, "sourced_by_rep_id"),
        (2, "created_at"),
        (2, "lead_id"),
    }
    with pytest.raises(RequestError, match="no such file"):
        parse_leads_file(tmp_path / "none.csv")
