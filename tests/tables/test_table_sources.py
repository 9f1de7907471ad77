"""Folders, mapped files, queries over files and databases: the same tables, and errors that name what to mend."""

import os
import sqlite3
import subprocess

import pytest

from features.config import Config, TableSource
from features.errors import DataError, SourceError
from features.sources import _without_password, load, load_tables


def mapped(**sources: TableSource) -> Config:
    return Config(tables=tuple(sources.items()))


def frames_equal(one, other):
    return all(one[name].equals(other[name]) for name in one.frames)


@pytest.fixture
def crm(folder):
    """The good folder, with its deals in a CRM's own file and spelling."""
    (folder / "deals.csv").rename(folder / "Opps 2025.csv")
    text = (folder / "Opps 2025.csv").read_text()
    for ours, theirs in (("deal_id", "Opp"), ("lead_id", "Lead"), ("rep_id", "Owner"), ("closed_at", "Closed")):
        text = text.replace(ours, theirs, 1)
    (folder / "Opps 2025.csv").write_text(text)
    return folder


COLUMNS = (("deal_id", "Opp"), ("lead_id", "Lead"), ("rep_id", "Owner"), ("closed_at", "Closed"))


def test_a_mapped_file_with_renamed_columns(crm):
    deals = load_tables(crm, mapped(deals=TableSource(file="Opps 2025.csv", columns=COLUMNS))).deals
    assert list(deals["rep_id"]) == ["007", "NA"]


def test_the_mapping_may_lie_in_another_folder(crm, tmp_path):
    """Files are looked for in the data folder, then beside the toml."""
    elsewhere = tmp_path / "settings"
    elsewhere.mkdir()
    (crm / "Opps 2025.csv").rename(elsewhere / "opps.csv")
    config = mapped(deals=TableSource(file="opps.csv", columns=COLUMNS))
    assert len(load_tables(crm, config, elsewhere).deals) == 2


def test_columns_alone_rename_those_of_the_folders_file(folder):
    (folder / "leads.csv").write_text(
        "lead_id,created_at,channel,source\nL1,2025-01-02,a,x\nL2,2025-01-02,b,x\nNone,2025-01-02,c,x\n"
    )
    leads = load_tables(folder, mapped(leads=TableSource(columns=(("source", "channel"),)))).leads
    assert list(leads["source"]) == ["a", "b", "c"]
    assert "channel" not in leads.columns


def test_a_mapped_column_that_is_not_there(crm):
    with pytest.raises(DataError, match=r"deals\.rep_id: mapped from 'Boss', which is no column; there are Opp, Lead"):
        load_tables(crm, mapped(deals=TableSource(file="Opps 2025.csv", columns=(*COLUMNS, ("rep_id", "Boss")))))


@pytest.mark.parametrize("view", ['"Opps 2025"', "'Opps 2025.csv'", '"opps 2025.csv"'])
def test_a_query_over_files(crm, view):
    """Ids stay text in whatever way the query names the file."""
    query = f"""
        SELECT Opp AS deal_id, Lead AS lead_id, Owner AS rep_id, Closed::TIMESTAMP AS closed_at, status,
               amount::DECIMAL(9,2) AS amount
        FROM {view}"""
    deals = load_tables(crm, mapped(deals=TableSource(query=query))).deals
    assert list(deals["rep_id"]) == ["007", "NA"]
    assert deals["amount"].tolist() == [123456, 0]


def test_a_query_reads_gb18030_workbooks_and_own_readers(folder):
    (folder / "src.csv").write_bytes("编号,来源\n007,转介绍\n".encode("gb18030"))
    query = """
        SELECT L.lead_id, L.created_at, coalesce(s.来源, L.source) AS source
        FROM leads L LEFT JOIN src s ON s.编号 = '007' AND L.lead_id = 'L1'"""
    assert set(load_tables(folder, mapped(leads=TableSource(query=query))).leads["source"]) == {"转介绍", "event"}
    query = "SELECT * FROM read_csv('leads.csv', all_varchar = true)"
    assert len(load_tables(folder, mapped(leads=TableSource(query=query))).leads) == 3


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT * FROM nowhere", "nowhere"),
        ("SELEC 1", "syntax error"),
        ("SELECT missing FROM leads", "missing"),
        ("CREATE TABLE x (a INT)", "must be one SELECT"),
        ("SELECT {'a': 1} AS lead_id", "record"),
        ("SELECT * FROM ragged", "cells where the header has"),
        ("SELECT lead_id::INT FROM leads", "Conversion"),
    ],
)
def test_a_query_that_fails_names_its_table(folder, query, said):
    (folder / "ragged.csv").write_text("a,b\n1\n")
    with pytest.raises(SourceError, match=r"\[tables.leads\] query") as caught:
        load_tables(folder, mapped(leads=TableSource(query=query)))
    assert said in str(caught.value)


def test_a_query_that_names_two_columns_alike(folder):
    query = "SELECT a.*, b.source FROM leads a JOIN leads b USING (lead_id)"
    with pytest.raises(DataError, match=r"leads\.source: duplicate column"):
        load_tables(folder, mapped(leads=TableSource(query=query)))


def test_a_query_sees_no_variable_of_ours(folder):
    with pytest.raises(SourceError):
        load_tables(folder, mapped(leads=TableSource(query="SELECT * FROM raws")))


def to_sqlite(folder, path):
    """The folder's leads in a database, their file gone."""
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE leads (lead_id TEXT, created_at TEXT, source TEXT, size REAL)")
        base.execute("INSERT INTO leads VALUES ('L1','2025-01-02 09:00:00','%w:eb',7.0), ('L2','2025-01-03','b',NULL)")
        base.execute("INSERT INTO leads VALUES ('None','2025-01-04','c',1.5)")
    base.close()
    (folder / "leads.csv").unlink()


@pytest.mark.parametrize("absolute", [True, False])
def test_sqlite(folder, absolute):
    path = folder / "crm.db"
    to_sqlite(folder, path)
    url = f"sqlite:///{path if absolute else 'crm.db'}"
    query = "SELECT * FROM leads WHERE source LIKE '%w:e%' OR lead_id <> ':x'"
    leads = load_tables(folder, mapped(leads=TableSource(query=query, database=url))).leads
    assert list(leads["source"]) == ["%w:eb", "b", "c"]
    assert leads["size"].tolist()[0] == 7.0


@pytest.mark.parametrize(
    ("url", "query", "said"),
    [
        ("sqlite:///nothing.db", "SELECT 1", "'nothing.db' does not exist"),
        ("sqlite:///crm.db", "SELECT * FROM absent", "no such table"),
        ("sqlite:///crm.db", "DELETE FROM leads WHERE 0", "must be one SELECT"),
        ("postgresql://me:hush@127.0.0.1:1/base", "SELECT 1", "127.0.0.1:1"),
        ("postgresql://me:p@ss:hush@127.0.0.1:1/base", "SELECT 1", "no URL that can be opened"),
        ("oracle+nothing://me:hush@host/base", "SELECT 1", "no URL that can be opened"),
        ("not a url with hush", "SELECT 1", "no URL that can be opened"),
    ],
)
def test_a_database_that_fails_names_its_table_and_no_password(folder, url, query, said):
    to_sqlite(folder, folder / "crm.db")
    with pytest.raises(SourceError) as caught:
        load_tables(folder, mapped(leads=TableSource(query=query, database=url)))
    message = str(caught.value)
    assert message.startswith("[tables.leads]")
    assert said in message
    assert "hush" not in message
    assert caught.value.__cause__ is None
    assert not (folder / "nothing.db").exists()


def test_a_driver_that_quotes_the_url_shows_no_password():
    url = "postgresql://me:hush@host/base"
    assert _without_password(f"cannot reach {url}", url) == "cannot reach postgresql://me:***@host/base"
    assert _without_password("plain", "sqlite:///x.db") == "plain"


def _postgres() -> str:
    """URL of a PostgreSQL to test against, "" where none answers."""
    url = os.environ.get("FAIRLEAD_TEST_POSTGRES", "postgresql:///test")
    try:
        done = subprocess.run(
            ["psql", url, "-Atc", "SELECT 1"], check=False, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return url if done.returncode == 0 else ""


def test_postgresql(folder):
    url = _postgres()
    if not url:
        pytest.skip(
            "no PostgreSQL answers at postgresql:///test; install Debian's `postgresql`, make a database `test`, "
            "or set FAIRLEAD_TEST_POSTGRES"
        )
    query = """
        SELECT * FROM (VALUES
            ('L1', timestamptz '2025-01-02 09:00:00.25+08', 'w%b', 1.50::numeric, true, DATE '2025-01-01'),
            ('L2', '2025-01-03', 'b', NULL, false, NULL),
            ('None', '2025-01-04', '展会', 2, NULL, NULL)
        ) AS t (lead_id, created_at, source, size, vip, seen)"""
    leads = load_tables(folder, mapped(leads=TableSource(query=query, database=url))).leads
    assert list(leads["source"]) == ["w%b", "b", "展会"]
    assert leads["created_at"].iloc[0] == 1735779600250000
    assert leads["size"].tolist()[::2] == [1.5, 2.0]
    assert leads["vip"].tolist()[:2] == [1.0, 0.0]


def test_no_data_at_all(tmp_path):
    with pytest.raises(SourceError, match="--data DIR"):
        load_tables(None, Config())
    with pytest.raises(SourceError, match="no such data folder"):
        load_tables(tmp_path / "nowhere", Config())
    with pytest.raises(SourceError, match=r"\[tables.leads\] file 'x.csv' is not in"):
        load_tables(tmp_path, mapped(leads=TableSource(file="x.csv")))


def test_shuffled_rows_give_the_same_rows(folder):
    """Reading keeps the file's order and nothing else depends on it."""
    before = load_tables(folder, Config())
    for name in ("leads", "deals", "reps"):
        head, *rows = (folder / f"{name}.csv").read_text().splitlines()
        (folder / f"{name}.csv").write_text("\n".join([head, *rows[::-1]]) + "\n")
    after = load_tables(folder, Config())
    for name in ("leads", "deals", "reps"):
        assert after[name].iloc[::-1].reset_index(drop=True).equals(before[name])
    assert frames_equal(load_tables(folder, Config()), after)


def test_what_a_query_leaves_out_is_counted(folder):
    """A query that drops rows says how many and why, in a second query; reasons without a row are not listed."""
    counts = "SELECT 'no source' AS why, count(*) AS n FROM leads WHERE source IS NULL UNION ALL SELECT 'none', 0"
    (folder / "leads.csv").write_text(
        "lead_id,created_at,source\nL1,2025-01-02,x\nL2,2025-01-02,x\nNone,2025-01-02,x\nL4,2025-01-02,\n"
    )
    query = "SELECT * FROM leads WHERE source IS NOT NULL"
    loaded = load(folder, mapped(leads=TableSource(query=query, left_out=counts)))
    assert loaded.left_out == (("leads", "no source", 1),)
    assert len(loaded.tables.leads) == 3
    for wrong in ("SELECT count(*) FROM leads", "SELECT 'why', 'many' FROM leads", "SELECT 1, 2, 3"):
        with pytest.raises(SourceError, match=r"\[tables.leads\] left_out must return rows of a reason and a number"):
            load(folder, mapped(leads=TableSource(query=query, left_out=wrong)))


def test_fingerprints(folder):
    one = dict(load(folder, Config()).fingerprints)
    assert len(one["leads"]) == 64
    query = mapped(leads=TableSource(query="SELECT * FROM leads ORDER BY lead_id"))
    other = mapped(leads=TableSource(query="SELECT * FROM leads ORDER BY lead_id DESC"))
    assert load(folder, query).fingerprints == load(folder, other).fingerprints
    (folder / "reps.csv").write_text((folder / "reps.csv").read_text().replace("Bond", "Band"))
    changed = dict(load(folder, Config()).fingerprints)
    assert {name for name in one if one[name] != changed[name]} == {"reps"}


def test_files_are_found_in_any_case(folder):
    """On some systems `Activities.CSV` and `activities.csv` are one file; elsewhere it must not vanish in silence."""
    before = load_tables(folder, Config())
    (folder / "activities.csv").rename(folder / "Activities.CSV")
    assert frames_equal(load_tables(folder, Config()), before)
    (folder / "activities.csv").write_text("activity_id,lead_id,rep_id,occurred_at\n")
    with pytest.raises(DataError, match=r"more than one file: Activities\.CSV, activities\.csv"):
        load_tables(folder, Config())


@pytest.mark.parametrize("target", ["nowhere.csv", "absences.csv"])
def test_a_link_that_leads_nowhere_is_a_fault_not_an_absent_table(folder, target):
    (folder / "absences.csv").unlink()
    (folder / "absences.csv").symlink_to(target)
    with pytest.raises(DataError, match=r"absences: absences\.csv cannot be read"):
        load_tables(folder, Config())
