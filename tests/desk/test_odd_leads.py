"""Odd leads through the command line and the interface: a decision or a held lead with its reason, never a 500."""

from __future__ import annotations

import csv
import json

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from serving.cli import app
from serving.http.app import create_app

MONDAY = "2026-03-02"
NORTH = [{"rep_id": "R1", "territories": "north", "weekly_capacity": 1}]
LANGUAGES = ["en", "zh"]

# what is odd -> (reps, leads rows in order, status of the last, words of its reason by language)
CASES = {
    "an unknown territory": (
        NORTH, [{"territory": "the moon"}], "held", ("no rep covers its territory", "没有销售"),
    ),
    "a territory nobody lists, and a rep for everywhere": (
        [*NORTH, {"rep_id": "R2", "weekly_capacity": 1}], [{"territory": "the moon"}], "assigned", ("", ""),
    ),
    "no rep left": (
        [{"rep_id": "R1", "left_on": "2026-03-01"}], [{}], "held", ("", "没有"),
    ),
    "all full": (NORTH, [{"territory": "north"}, {"territory": "north"}], "held", ("full week", "已满")),
    "an empty desk": ([{"rep_id": "R1", "department": "finance"}], [{}], "held", ("", "")),
    "no source": (NORTH, [{"source": ""}], "assigned", ("", "")),
    "categories nobody has seen": (NORTH, [{"source": "从未见过", "industry": "neu"}], "assigned", ("", "")),
    "empty cells": (NORTH, [{"territory": "", "industry": "", "account_id": ""}], "assigned", ("", "")),
}  # fmt: skip


def rows_of(rows):
    return [
        {"lead_id": f"L{i}", "created_at": f"{MONDAY}T09:0{i}:00", "source": "web", **row} for i, row in enumerate(rows)
    ]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("lang", LANGUAGES)
def test_by_the_command_line(desk, tmp_path, case, lang):
    reps, rows, status, words = CASES[case]
    made = desk(reps)
    path = tmp_path / "new.csv"
    found = rows_of(rows)
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(dict.fromkeys(key for row in found for key in row)))
        writer.writeheader()
        writer.writerows(found)
    said = CliRunner().invoke(
        app, ["route", "--data", str(made.data), "--home", str(made.home), "--leads", str(path), "--dry-run",
              "--lang", lang],
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    last = list(csv.DictReader(said.stdout.splitlines()))[-1]
    assert ("held" if not last["rep_id"] else "assigned") == status
    assert last["reason"]
    assert words[LANGUAGES.index(lang)] in last["reason"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("batch", [False, True])
def test_by_the_interface(desk, case, lang, batch):
    reps, rows, status, words = CASES[case]
    made = desk(reps)
    with TestClient(create_app(made.core), base_url="http://127.0.0.1", client=("127.0.0.1", 5)) as client:
        when = {"decided_at": f"{MONDAY}T12:00:00"}
        if batch:
            answer = client.post(f"/v1/assignments/batch?lang={lang}", json={"leads": rows_of(rows), **when})
            assert answer.status_code == 201, answer.text
            held = [item for item in answer.json()["items"] if item["status"] == "held"]
            last = (held or answer.json()["items"])[-1]["decision"]
        else:
            for row in rows_of(rows):
                answer = client.post(f"/v1/assignments?lang={lang}", json={"lead": row, **when})
                assert answer.status_code == 201, answer.text
            last = answer.json()
        assert last["status"] == status
        assert last["reasons"]
        assert words[LANGUAGES.index(lang)] in " ".join(reason["text"] for reason in last["reasons"])


@pytest.mark.parametrize("cell", [None, "absent"])
def test_a_lead_whose_source_is_null_or_not_sent_is_decided(desk, cell):
    made = desk(NORTH)
    row = {"lead_id": "L1", "created_at": f"{MONDAY}T09:00:00", "source": cell}
    if cell == "absent":
        del row["source"]
    with TestClient(create_app(made.core), base_url="http://127.0.0.1", client=("127.0.0.1", 5)) as client:
        answer = client.post("/v1/assignments", json={"lead": row, "decided_at": f"{MONDAY}T12:00:00"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["rep_id"] == "R1"
    assert answer.json()["reasons"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("path", ["/v1/assignments", "/v1/assignments/batch"])
def test_numbers_that_are_none_are_refused_and_nothing_is_decided(desk, number, path):
    made = desk(NORTH)
    lead = f'{{"lead_id": "L1", "created_at": "{MONDAY}T09:00:00", "source": "web", "employees": {number}}}'
    body = f'{{"leads": [{lead}]}}' if path.endswith("batch") else f'{{"lead": {lead}}}'
    with TestClient(create_app(made.core), base_url="http://127.0.0.1", client=("127.0.0.1", 5)) as client:
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert client.get("/v1/assignments/L1").status_code == 404


def test_a_faulty_file_of_leads_lists_every_fault_and_decides_nothing(desk, tmp_path):
    made = desk(NORTH)
    path = tmp_path / "bad.csv"
    path.write_text(
        "lead_id,created_at,source,territory,sourced_by_rep_id\n"
        f"B1,yesterday,web,north,\nB2,{MONDAY}T09:00:00,web,north,nobody\nB3,{MONDAY}T09:00:00,web,north,\n"
        f"B3,{MONDAY}T09:00:00,web,north,\n,{MONDAY}T09:00:00,web,north,\n",
        encoding="utf-8",
    )
    command = ["route", "--data", str(made.data), "--home", str(made.home), "--leads", str(path)]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 1
    assert said.stdout == ""
    faults = {(fault.column, fault.row) for fault in said.exception.faults}
    assert faults == {("created_at", 1), ("sourced_by_rep_id", 2), ("lead_id", 4), ("lead_id", 5)}
    assert json.loads(json.dumps(made.core.feed(0, 10, lang="en")))["items"] == []
