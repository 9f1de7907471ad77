"""Every fault of the contract by table, row, column, value and rule; all at once; and what is no fault."""

import pytest

from features import checking, moments
from features.config import Config
from features.errors import DataError
from features.sources import load_tables

LEADS = "lead_id,created_at,source\nL1,2025-01-02,web\nL2,2025-01-03,web\nNone,2025-01-04,web\n"
DEALS = "deal_id,lead_id,rep_id,closed_at,status,amount\n"
FEEDBACK = "feedback_id,rep_id,received_at,score,lead_id,complaint\n"
ACTIVITIES = "activity_id,lead_id,rep_id,occurred_at,minutes\n"
ASSIGNED = "lead_id, rep_id, assigned_at"
TWICE = "L1,007,2025-01-02T00:00Z\nL1,007,2025-01-02T08:00+08:00\n"


def with_column(name, *values):
    lines = LEADS.splitlines()
    return "\n".join(f"{line},{cell}" for line, cell in zip(lines, (name, *values), strict=True)) + "\n"


def has(faults, table, row, column, value, rule):
    hits = [f for f in faults if (f.table, f.row, f.column) == (table, row, column) and rule in f.rule]
    assert hits, "\n".join(map(str, faults))
    assert any(f.value == value for f in hits), hits
    return True


def test_the_good_folder_is_good(folder):
    assert {name: len(frame) for name, frame in load_tables(folder, Config()).frames.items()} == {
        "reps": 3, "leads": 3, "assignments": 3, "activities": 1, "stages": 1, "deals": 2,
        "trainings": 1, "targets": 1, "feedback": 2, "absences": 1,
    }  # fmt: skip


def test_what_nobody_knows_may_be_empty(folder):
    """A lead whose source nobody knows is a lead, and a lost deal has no amount."""
    (folder / "leads.csv").write_text(LEADS.replace("L2,2025-01-03,web", "L2,2025-01-03,"))
    (folder / "deals.csv").write_text(DEALS + "D1,L1,007,2025-02-01,won,1\nD2,L2,007,2025-02-01,lost,\n")
    tables = load_tables(folder, Config())
    assert tables.leads["source"].tolist() == ["web", "", "web"]
    assert tables.deals["amount"].tolist() == [100, 0]


@pytest.mark.parametrize(
    ("row", "column", "value", "rule"),
    [
        ("D9,L1,007,soon,won,5", "closed_at", "soon", "ISO 8601"),
        ("D9,L1,007,2025-02-03,Won,5", "status", "Won", "won or lost"),
        ("D9,L1,007,2025-02-03,pending,5", "status", "pending", "won or lost"),
        ("D9,L1,007,2025-02-03,won,-0.01", "amount", "-0.01", "below 0"),
        ("D9,L1,007,2025-02-03,won,NaN", "amount", "NaN", "not finite"),
        ("D9,L1,007,2025-02-03,won,inf", "amount", "inf", "not finite"),
        ("D9,L1,007,2025-02-03,won,1e400", "amount", "1e400", "not finite"),
        ("D9,L1,007,2025-02-03,won,1e30", "amount", "1e30", "larger than"),
        ("D9,L1,007,2025-02-03,won,many", "amount", "many", "not a number"),
        ("D9,L1,007,2025-02-03,won,", "amount", "", "required cell is empty"),
        ("D9,L1,007,2025-02-03,,5", "status", "", "required cell is empty"),
        ("D9,L1,007,,won,5", "closed_at", "", "required cell is empty"),
        ("D9,nobody,007,2025-02-03,won,5", "lead_id", "nobody", "not found in leads.lead_id"),
        ("D9,L1,7,2025-02-03,won,5", "rep_id", "7", "not found in reps.rep_id"),
        (",L1,007,2025-02-03,won,5", "deal_id", "", "required cell is empty"),
        ("D1,L1,007,2025-02-03,won,5", "deal_id", "D1", "first in row 1"),
        ("D9,L1,007,2025-02-03,won", "", "D9,L1,007,2025-02-03,won", "5 cells where the header has 6"),
    ],
)
def test_one_bad_cell(faults_of, row, column, value, rule):
    faults = faults_of(deals=DEALS + "D1,L1,007,2025-02-01,won,1\n" + row + "\n")
    assert has(faults, "deals", 2, column, value, rule)
    assert len(faults) == 1


@pytest.mark.parametrize(
    ("table", "text", "row", "column", "value", "rule"),
    [
        ("reps", "rep_id,hired_on,weekly_capacity\n007,2020-01-01,2.5\n", 1, "weekly_capacity", "2.5", "whole number"),
        ("reps", "rep_id,hired_on,weekly_capacity\n007,2020-01-01,-1\n", 1, "weekly_capacity", "-1", "below 0"),
        ("reps", "rep_id,hired_on\n007,2020-99-01\n", 1, "hired_on", "2020-99-01", "ISO 8601 date"),
        ("targets", "rep_id,month,amount\n007,2025/02,1\n", 1, "month", "2025/02", "YYYY-MM"),
        ("targets", "rep_id,month,amount\n007,2025-02,1\n007,2025-02,2\n", 2, "rep_id, month", "007, 2025-02", "row 1"),
        ("feedback", FEEDBACK + "F,007,2025-01-01,11,,\n", 1, "score", "11", "above 10"),
        ("feedback", FEEDBACK + "F,007,2025-01-01,0,,\n", 1, "score", "0", "below 1"),
        ("feedback", FEEDBACK + "F,007,2025-01-01,5,L9,\n", 1, "lead_id", "L9", "not found"),
        ("feedback", FEEDBACK + "F,007,2025-01-01,5,,x\n", 1, "complaint", "x", "boolean"),
        ("trainings", "rep_id,course,assigned_on,score\n007,C,2025-01-01,100.5\n", 1, "score", "100.5", "above 100"),
        ("activities", ACTIVITIES + "A,L1,007,2025-01-01,-2\n", 1, "minutes", "-2", "below 0"),
        ("leads", with_column("sourced_by_rep_id", "NA", "", "ghost"), 3, "sourced_by_rep_id", "ghost", "in reps"),
        ("leads", with_column("size", "NaN", "1", "2"), 1, "size", "NaN", "not finite"),
        (
            "assignments",
            "lead_id,rep_id,assigned_at\n" + TWICE,
            2,
            ASSIGNED,
            "L1, 007, 2025-01-02T08:00+08:00",
            "row 1",
        ),
    ],
)
def test_faults_of_each_kind(faults_of, table, text, row, column, value, rule):
    assert has(faults_of(**{table: text}), table, row, column, value, rule)


def test_a_cell_too_long(faults_of):
    long = "x" * 10_001
    faults = faults_of(leads=LEADS.replace("L2,2025-01-03,web", f"L2,2025-01-03,{long}"))
    assert has(faults, "leads", 2, "source", "x" * 79 + "…", "longer than 10,000")


def test_ten_thousand_characters_are_legal(folder):
    (folder / "leads.csv").write_text(LEADS.replace("L2,2025-01-03,web", "L2,2025-01-03," + "字" * 10_000), "utf-8")
    assert len(load_tables(folder, Config()).leads) == 3


def test_missing_and_duplicate_columns(faults_of):
    faults = faults_of(leads="lead_id,Created At,source,source\nL1,2025-01-02,a,b\n", deals="deal_id,lead_id\nD,L1\n")
    assert has(faults, "leads", 0, "created_at", "", "is it 'Created At'?")
    assert has(faults, "leads", 0, "source", "", "duplicate column")
    assert [f.column for f in faults if f.table == "deals"] == ["amount", "closed_at", "rep_id", "status"]


def test_missing_tables(folder):
    for name in ("reps", "leads", "activities", "stages", "trainings", "targets", "feedback", "absences"):
        (folder / f"{name}.csv").unlink()
    with pytest.raises(DataError) as caught:
        load_tables(folder, Config())
    assert [(f.table, f.rule[:25]) for f in caught.value.faults] == [
        ("leads", "required table is missing"),
        ("reps", "required table is missing"),
    ]


def test_two_files_of_one_table(folder):
    (folder / "leads.parquet").write_bytes((folder / "leads.csv").read_bytes())
    with pytest.raises(DataError, match=r"more than one file: leads\.csv, leads\.parquet"):
        load_tables(folder, Config())


def test_all_faults_at_once_in_order(faults_of):
    faults = faults_of(
        reps=b"\x00\x01",
        targets="rep_id,month,amount\n007,x,-1\n008,2025-01,y\n",
        deals=DEALS + "D1,L1,007,soon,won,1\nD1,L9,007,2025-01-01,maybe\nD1,L1,007,2025-01-01,odd,1\n",
    )
    assert faults == sorted(faults)
    assert {(f.table, f.row, f.column) for f in faults} == {
        ("reps", 0, ""), ("targets", 1, "month"), ("targets", 1, "amount"), ("targets", 2, "amount"),
        ("deals", 1, "closed_at"), ("deals", 2, ""), ("deals", 3, "status"), ("deals", 3, "deal_id"),
    }  # fmt: skip


def test_an_unreadable_table_makes_no_orphans(faults_of):
    """References to a table that could not be read prove nothing; a thousand orphans would hide the one fault."""
    faults = faults_of(reps="rep,hired_on\n007,2020-01-01\n")
    assert {(f.table, f.column) for f in faults} == {("reps", "rep_id")}


def test_very_many_faults_of_one_rule_are_counted(faults_of, monkeypatch):
    monkeypatch.setattr(checking, "LISTED_PER_RULE", 3)
    faults = faults_of(leads="lead_id,created_at,source\n" + "".join(f"L{n},x,web\n" for n in range(9)))
    times = [f for f in faults if f.column == "created_at"]
    assert len(times) == 4
    assert times[0].rule.startswith("6 more rows")
    faults = faults_of(leads="lead_id,created_at,source\n" + "L1,2025-01-01,web\n" * 9)
    repeats = [f for f in faults if "duplicate key" in f.rule]
    assert [(f.row, f.rule[:11]) for f in repeats] == [(0, "5 more rows"), *((n, "duplicate k") for n in (2, 3, 4))]


def test_white_space_around_ids_and_headers_does_not_count(folder):
    (folder / "reps.csv").write_text(
        " rep_id , hired_on\n 007 ,2020-01-01 \n\u3000NA\u3000,2020-01-01\nnull,2020-01-01\n", "utf-8"
    )
    assert list(load_tables(folder, Config()).reps["rep_id"]) == ["007", "NA", "null"]


def test_a_row_after_as_of_is_checked_and_hidden_never_a_fault(folder):
    (folder / "deals.csv").write_text(DEALS + "D1,L1,007,2199-01-01,won,1\n")
    tables = load_tables(folder, Config())
    assert len(tables.deals) == 1
    assert len(tables.known(moments.parse("2026-01-01")).deals) == 0


def test_extra_columns(folder):
    (folder / "deals.csv").write_text(
        DEALS.replace("amount", "amount,discount,known_at") + "D1,L1,007,2025-02-01,won,1,0.5,x\n"
    )
    (folder / "leads.csv").write_text(
        "lead_id,created_at,source,code,n,flag,mixed,nothing\nL1,2025-01-02,w,007,1,yes,1,\nL2,2025-01-02,w,12,,no,a,\nNone,2025-01-02,w,3,2.5,,nan,\n"
    )
    tables = load_tables(folder, Config())
    assert tables.deals["discount"].tolist() == ["0.5"]
    assert tables.deals["known_at_given"].tolist() == ["x"]
    kinds = {name: str(tables.leads[name].dtype) for name in ("code", "n", "flag", "mixed", "nothing")}
    assert kinds == {"code": "str", "n": "float64", "flag": "float64", "mixed": "str", "nothing": "str"}


def test_a_reference_to_a_misshapen_row_is_no_orphan(faults_of):
    """The row is wrong and dropped, but its lead is in the file: saying it is nowhere would be false."""
    for wrong in ("L1,2025-01-02,web,more\n", "L1,2025-01-02\n"):
        faults = faults_of(leads=LEADS.replace("L1,2025-01-02,web\n", wrong))
        assert [(f.table, f.row) for f in faults] == [("leads", 1)]
    faults = faults_of(leads=LEADS.replace("L1,2025-01-02,web\n", "L9,2025-01-02\n"))
    assert has(faults, "assignments", 1, "lead_id", "L1", "not found in leads.lead_id")


def test_after_an_open_quotation_mark_no_row_is_called_missing(faults_of):
    faults = faults_of(leads=LEADS.replace("2025-01-02,web", '2025-01-02,"web'))
    assert [f.rule for f in faults] == ["a quotation mark is opened and never closed"]
