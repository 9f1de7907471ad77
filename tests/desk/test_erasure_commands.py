"""`fairlead erase` and `fairlead retention`: what went and what stayed is said, the log verifies, the desk goes on."""

from __future__ import annotations

import json

import pytest

MONDAY = "2026-03-02"
REPS = [{"rep_id": "R1", "weekly_capacity": 2}, {"rep_id": "R2", "weekly_capacity": 2}]


@pytest.fixture
def fairlead(shell):
    """Runs a command on a home as a shell would; (exit code, output, errors)."""
    return lambda home, *words: shell(*words, "--home", str(home))


def test_a_lead_is_erased_and_the_running_desk_neither_breaks_nor_gives_its_place_away(desk, fairlead):
    made = desk(REPS)
    for i in range(4):
        made.assign(f"L{i}")
    code, out, _ = fairlead(made.home, "erase", "--lead", "L1", "--reason", "asked for")
    assert code == 0
    assert "Lead L1 is erased" in out
    assert "Kept on purpose" in out
    assert "The log is whole" in fairlead(made.home, "verify-log")[1]
    assert made.assign("L9")["status"] == "held", "all places of the week stay taken"
    made.reopen()
    assert made.now("L2")["status"] == "assigned"
    code, _, err = fairlead(made.home, "erase", "--lead", "L1", "--reason", "again")
    assert (code, "'L1'" in err) == (1, True)


def test_a_reps_name_is_gone_and_his_decisions_are_still_answered_in_both_languages(desk, fairlead):
    made = desk(REPS)
    given = [made.assign(f"L{i}") for i in range(4)]
    lead_id = next(one["lead_id"] for one in given if one["rep_id"] == "R1")
    code, out, _ = fairlead(made.home, "erase", "--rep", "R1", "--reason", "has left", "--lang", "zh")
    assert code == 0
    assert "身份信息已删除" in out
    assert "有意保留的内容" in out
    assert "The log is whole" in fairlead(made.home, "verify-log")[1]
    for lang in ("en", "zh"):
        answer = made.now(lead_id, lang)
        assert answer["owner_rep_id"].startswith("erased:")
        assert "R1" not in json.dumps(answer)
    again = made.assign(lead_id)
    assert (again["http"], again["rep_id"]) == (200, made.owner(lead_id))


def test_age_is_shown_first_and_then_taken(desk, fairlead):
    made = desk(REPS)
    for i in range(6):
        made.assign(f"L{i}")
    code, out, _ = fairlead(made.home, "retention", "--keep-months", "1", "--dry-run", "--json")
    told = json.loads(out)
    assert (code, told["n_leads"], told["n_payloads"], told["n_held_kept"]) == (0, 4, 0, 2)
    assert made.now("L0")["status"] == "assigned"
    out = fairlead(made.home, "retention", "--keep-months", "1")[1]
    assert "are erased: 4, with 4 entries" in out
    assert "at least 6 months" in out
    assert "2 that wait" in out
    assert "The log is whole: 7 entries" in fairlead(made.home, "verify-log")[1]
    assert "至少" not in fairlead(made.home, "retention", "--keep-months", "24", "--lang", "zh")[1]


def test_wrong_usage_is_told(fairlead, tmp_path):
    assert fairlead(tmp_path, "erase", "--reason", "x")[0] == 2
    assert fairlead(tmp_path, "erase", "--reason", "x", "--lead", "a", "--rep", "b")[0] == 2
    assert fairlead(tmp_path, "erase", "--reason", " ", "--lead", "a")[0] == 2
    assert fairlead(tmp_path, "retention", "--keep-months", "0")[0] == 2
    assert fairlead(tmp_path, "erase", "--rep", "R1", "--reason", "x")[0] == 1
