"""A file of rows is taken batch by batch, each whole or not at all, every fault listed, and once however often run."""

from __future__ import annotations

import csv
import json

import pytest
from typer.testing import CliRunner

from features.errors import DataError, RequestError
from serving.bulk import import_events
from serving.cli import app

CALL = {"lead_id": "H0", "rep_id": "R1", "occurred_at": "2026-02-27T10:00:00", "kind": "call"}


def calls(first, last, **changed):
    return [{"activity_id": f"A{i}", **CALL, **changed} for i in range(first, last)]


def ndjson(path, rows, table="activities"):
    path.write_text("".join(json.dumps({"table": table, "row": row}) + "\n" for row in rows), encoding="utf-8")
    return path


def known(one):
    activities = one.core.state().board.tables["activities"]
    return sorted(activities["activity_id"])


def batches(one):
    with one.core.store.read() as view:
        return [(event.table, len(event.rows)) for event in view.events_after(0)]


def test_rows_come_in_batches_of_one_table(desk, tmp_path):
    one = desk()
    path = ndjson(tmp_path / "f.ndjson", calls(0, 5))
    with path.open("a") as more:
        stage = {"lead_id": "H0", "stage": "demo", "entered_at": "2026-02-27T11:00:00"}
        more.write(json.dumps({"table": "stages", "row": stage}) + "\n\n")
    found = import_events(one.core, path, batch_rows=2)
    assert (found.n_taken, found.n_before, found.n_refused, found.faults) == (6, 0, 0, ())
    assert batches(one) == [("activities", 2), ("activities", 2), ("activities", 1), ("stages", 1)]
    assert known(one) == [f"A{i}" for i in range(5)]


def test_a_replay_changes_nothing_also_after_a_restart(desk, tmp_path):
    one = desk()
    path = ndjson(tmp_path / "f.ndjson", calls(0, 5))
    import_events(one.core, path, batch_rows=2)
    written = batches(one)
    again = import_events(one.reopen().core, path, batch_rows=2)
    assert (again.n_taken, again.n_before) == (0, 5)
    assert batches(one) == written


def test_every_fault_is_listed_by_its_line_and_its_batch_is_not_taken(desk, tmp_path):
    one = desk()
    rows = calls(0, 8)
    rows[2]["rep_id"], rows[3]["occurred_at"], rows[6]["lead_id"] = "nobody", "soon", "L999"
    found = import_events(one.core, ndjson(tmp_path / "f.ndjson", rows), batch_rows=2)
    assert [(fault.row, fault.column) for fault in found.faults] == [(3, "rep_id"), (4, "occurred_at"), (7, "lead_id")]
    assert (found.n_taken, found.n_refused) == (4, 4)
    assert known(one) == ["A0", "A1", "A4", "A5"]


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense", b"[1]", b"\xff\xfe", b'{"table": "nothing", "row": {}}', b'{"table": "activities", "row": 5}',
        b'{"table": "activities", "row": {"minutes": NaN}}', b"[" * 100_000, b"1" * 5_000, b'{"row": {}}',
        b'{"table": "activities", "row": {"activity_id": "x\\u0000", "minutes": 1e400, "kind": [[1]]}}',
    ],
)  # fmt: skip
def test_a_line_that_is_none_is_a_fault_and_the_rows_beside_it_are_not_taken(desk, tmp_path, line):
    one = desk()
    path = ndjson(tmp_path / "f.jsonl", calls(0, 1))
    bad = json.dumps({"table": "activities", "row": {**CALL, "activity_id": "A9", "occurred_at": "soon"}}).encode()
    path.write_bytes(path.read_bytes() + line + b"\n" + path.read_bytes() + bad)
    found = import_events(one.core, path)
    assert {fault.row for fault in found.faults} == {2, 4}
    assert (found.n_taken, batches(one)) == (0, [])


def test_a_csv_is_of_the_table_that_it_is_named_after_or_that_is_given(desk, tmp_path):
    one = desk()
    for name, rows in (("activities.csv", calls(0, 2)), ("export.csv", calls(2, 3))):
        with (tmp_path / name).open("w", newline="") as out:
            writer = csv.DictWriter(out, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    assert import_events(one.core, tmp_path / "activities.csv").n_taken == 2
    with pytest.raises(RequestError, match="--table"):
        import_events(one.core, tmp_path / "export.csv")
    assert import_events(one.core, tmp_path / "export.csv", "activities").n_taken == 1
    assert known(one) == ["A0", "A1", "A2"]
    (tmp_path / "export.csv").write_text('activity_id,lead_id\nA9,"H0\n')
    with pytest.raises(DataError):
        import_events(one.core, tmp_path / "export.csv", "activities")


def test_the_command_says_what_it_took_and_fails_where_rows_do(desk, tmp_path):
    one = desk()
    one.core.close()
    good = ndjson(tmp_path / "good.ndjson", calls(0, 3))
    bad = ndjson(tmp_path / "bad.ndjson", calls(3, 4, rep_id="nobody"))
    where = ["--data", str(one.data), "--home", str(one.home)]
    runner = CliRunner()
    done = runner.invoke(app, ["import", "--events", str(good), *where])
    assert (done.exit_code, done.stdout) == (0, "3 rows taken, 0 taken before, 0 refused.\n")
    told = runner.invoke(app, ["import", "--events", str(bad), "--json", *where])
    assert told.exit_code == 1
    assert json.loads(told.stdout)["faults"][0]["value"] == "nobody"
    assert "nobody" in str(runner.invoke(app, ["import", "--events", str(bad), *where]).exception)
    one.reopen()
    assert known(one) == ["A0", "A1", "A2"]
