"""Idempotency, waiting leads, batches, overrides, events, the feed and the lists."""

from __future__ import annotations

import json

import pytest

from features.errors import DataError, UnknownLeadError, UnknownRepError
from serving.http.protocol import ConflictError, DecisionFilters

MONDAY, FRIDAY, NEXT_MONDAY = "2026-03-02", "2026-03-06", "2026-03-09"


def row(name, when=f"{MONDAY}T09:00:00", **more):
    return {"lead_id": name, "created_at": when, "source": "web", **more}


def test_a_retry_gives_the_same_bytes_after_anything_that_happened_since(desk):
    made = desk()
    first = made.assign("L1")
    made.assign("L2")
    made.override("L1", "R2" if first["rep_id"] == "R1" else "R1")
    made.send("reps", {"rep_id": "R1", "hired_on": "2024-01-01", "name": "Renamed", "weekly_capacity": 5})
    made.reopen()
    again = made.assign("L1", f"{FRIDAY} 10:00", source="other")
    assert (first["http"], again["http"]) == (201, 200)
    assert again["bytes"] == first["bytes"]
    in_chinese = made.assign("L1", lang="zh")["bytes"]
    assert in_chinese == made.reopen().assign("L1", lang="zh")["bytes"] != first["bytes"]


def test_a_waiting_lead_asked_for_again_is_told_as_it_stands(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 1}])
    made.assign("L1")
    assert made.assign("L2")["status"] == "held"
    later = made.assign("L2", f"{NEXT_MONDAY} 08:00")
    assert (later["http"], later["status"], later["decided_at"][:10]) == (200, "assigned", NEXT_MONDAY)
    assert made.places() == {("2026-W10", "R1"): 1, ("2026-W11", "R1"): 1}


def test_waiting_leads_come_before_a_new_one_where_load_decides(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 1}])
    for name in ("L1", "L2", "L3"):
        made.assign(name)
    assert made.assign("NEW", f"{NEXT_MONDAY} 08:00")["status"] == "held"
    assert [made.now(name)["status"] for name in ("L2", "L3")] == ["assigned", "held"]


def test_the_end_of_each_working_day_looks_at_them_and_the_weekend_does_not(desk):
    away = [{"rep_id": "R1", "starts_on": MONDAY, "ends_on": "2026-03-07"}]
    made = desk(["R1"], absences=away)
    made.assign("L1", f"{MONDAY} 09:00")
    assert made.end_days(f"{FRIDAY} 09:00", "2026-03-09 17:59") == []
    assert made.end_days("2026-03-09 17:59", "2026-03-09 18:00") == ["L1"]
    assert made.now("L1")["decided_at"][:16] == "2026-03-09T18:00"


def test_a_replays_clock_passes_the_ends_of_days_between_its_decisions(desk):
    """Back on Wednesday, the rep gets the waiting lead that evening, not at Friday's decision."""
    away = [{"rep_id": "R1", "starts_on": MONDAY, "ends_on": "2026-03-03"}]
    made = desk([{"rep_id": "R1", "weekly_capacity": 1}], absences=away)
    made.assign("L1", f"{MONDAY} 09:00")
    made.assign("L2", f"{FRIDAY} 09:00")
    assert made.now("L1")["decided_at"][:16] == "2026-03-04T18:00"


def test_an_earlier_moment_does_not_release_what_came_to_wait_later(desk):
    away = [{"rep_id": "R1", "starts_on": "2026-03-04", "ends_on": "2026-03-04"}]
    made = desk(["R1"], absences=away)
    assert made.assign("L1", "2026-03-04 09:00")["status"] == "held"
    made.assign("L2", "2026-03-03 09:00")
    assert made.now("L1")["status"] == "held"


def test_route_writes_one_row_a_lead_and_stops_its_clock_with_the_last_leads_week(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 1}])
    routed = made.route([row("A"), row("B"), row("C", f"{MONDAY}T10:00:00")])
    assert {name: one["rep_id"] for name, one in routed.items()} == {"A": "R1", "B": "", "C": ""}
    assert made.now("B")["status"] == "held"
    assert made.end_days(f"{FRIDAY} 18:01", f"{NEXT_MONDAY} 18:00") == ["B"]


def test_route_decides_in_the_order_of_creation_not_of_rows(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 1}])
    routed = made.route([row("LATE", f"{MONDAY}T12:00:00"), row("EARLY", f"{MONDAY}T08:00:00")])
    assert (routed["EARLY"]["rep_id"], routed["LATE"]["rep_id"]) == ("R1", "")


def test_a_dry_run_says_the_same_and_records_nothing(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 2}])
    made.assign("L1", f"{MONDAY} 08:00")
    tried = made._open(dry_run=True)
    try:
        status, body = tried.assign(row("L2"), decided_at=None, lang="en")
        assert (status, json.loads(body)["status"]) == (201, "assigned")
        third = json.loads(tried.assign(row("L3"), decided_at=None, lang="en")[1])
        assert third["status"] == "held", "places taken for real count in a dry run"
    finally:
        tried.close()
    with pytest.raises(UnknownLeadError):
        made.now("L2")


def test_a_batch_answers_duplicates_once_each_lead_with_a_status(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 2}])
    made.assign("OLD")
    items = made.batch([row("N1"), row("OLD"), row("N2"), row("N1"), row("OLD")])
    assert [(item["lead_id"], item["status_code"]) for item in items] == [("N1", 201), ("OLD", 200), ("N2", 201)]
    assert [item["decision"]["status"] for item in items] == ["assigned", "assigned", "held"]


def test_a_batch_with_a_bad_row_decides_nothing(desk):
    made = desk()
    with pytest.raises(DataError) as caught:
        made.batch([row("A"), row("B", created_at="never"), row("C", sourced_by_rep_id="nobody")])
    assert [fault.row for fault in caught.value.faults] == [2, 3]
    assert made.places() == {}


def test_a_thousand_leads_at_once_keep_every_capacity(desk):
    made = desk([{"rep_id": f"R{i}", "weekly_capacity": 7} for i in range(30)])
    items = made.batch([row(f"B{i}") for i in range(1_000)])
    assert len(items) == 1_000
    assert set(made.places().values()) == {7}
    assert sum(item["decision"]["status"] == "held" for item in items) == 1_000 - 210


def test_an_override_frees_the_first_reps_place_and_leaves_the_machines_choice_on_record(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 1}, {"rep_id": "R2", "weekly_capacity": 0}])
    made.assign("L1")
    with pytest.raises(ConflictError, match="force"):
        made.override("L1", "R2")
    said = made.override("L1", "R2", force=True)
    assert (said["rep_id"], said["owner_rep_id"], said["overridden"]) == ("R1", "R2", True)
    assert made.places() == {("2026-W10", "R2"): 1}
    assert [entry["kind"] for entry in said["history"]] == ["decision", "override"]
    assert said["history"][1]["forced"] is True
    assert made.assign("L2", f"{MONDAY} 10:00")["rep_id"] == "R1"


@pytest.mark.parametrize("force", [True, False])
def test_nobody_gives_a_lead_to_a_leaver_or_outside_sales(desk, force):
    made = desk(["R1", {"rep_id": "R2", "left_on": "2026-03-01"}, {"rep_id": "R3", "department": "support"}])
    made.assign("L1")
    for rep in ("R2", "R3"):
        with pytest.raises(ConflictError):
            made.override("L1", rep, force=force)
    with pytest.raises(UnknownRepError):
        made.override("L1", "R9", force=force)
    with pytest.raises(UnknownLeadError):
        made.override("nothing", "R1", force=force)


def test_a_person_may_take_a_waiting_lead(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 1}])
    made.assign("L1")
    made.assign("L2")
    said = made.override("L2", "R1", force=True)
    assert (said["status"], said["rep_id"], said["owner_rep_id"]) == ("assigned", None, "R1")


def test_events_are_all_or_nothing_with_every_bad_row_listed(desk):
    made = desk(absences=[{"rep_id": "R1", "starts_on": "2025-01-01", "ends_on": "2025-01-01"}])
    week = {"starts_on": MONDAY, "ends_on": FRIDAY}
    with pytest.raises(DataError) as caught:
        made.send("absences", {"rep_id": "R1", **week}, {"rep_id": "R9", **week}, {"rep_id": "R2", "starts_on": "x"})
    assert {fault.row for fault in caught.value.faults} == {2, 3}
    assert {made.assign(f"L{i}")["rep_id"] for i in range(2)} == {"R1", "R2"}


def test_the_next_decision_sees_an_event_and_so_does_another_process(desk):
    made = desk([{"rep_id": "R1"}, {"rep_id": "R2", "weekly_capacity": 0}])
    other = made._open()
    try:
        made.send("absences", {"rep_id": "R1", "starts_on": MONDAY, "ends_on": FRIDAY})
        assert made.assign("L1")["status"] == "held"
        assert json.loads(other.assign(row("L2"), decided_at=None, lang="en")[1])["status"] == "held"
    finally:
        other.close()


def test_the_newest_received_wins_over_the_folder_after_restart_and_reload(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 1}])
    made.send("reps", {"rep_id": "R1", "hired_on": "2024-01-01", "weekly_capacity": 3})
    made.send("reps", {"rep_id": "R1", "hired_on": "2024-01-01", "weekly_capacity": 2})
    for again in (lambda: made, made.reopen, made.core.reload_data):
        again()
        assert made.core.state().board.capacity.tolist() == [2]


def test_reading_the_folder_anew_takes_what_changed_there(desk):
    made = desk(["R1"])
    table = "rep_id,hired_on,weekly_capacity\nR1,2024-01-01,2\nR7,2024-01-01,4\n"
    (made.data / "reps.csv").write_text(table, encoding="utf-8")
    assert made.core.reload_data()["rows"]["reps"] == 2
    assert "R7" in {made.assign(f"L{i}")["rep_id"] for i in range(4)}
    (made.data / "reps.csv").write_text("nonsense\n", encoding="utf-8")
    with pytest.raises(DataError):
        made.core.reload_data()
    assert "R7" in made.core.state().board.index


def test_a_hand_over_sent_as_an_event_moves_the_lead_and_the_feed_tells_in_order(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 1}, {"rep_id": "R2", "weekly_capacity": 1}])
    first = made.assign("L1")["rep_id"]
    other = {"R1": "R2", "R2": "R1"}[first]
    made.send("assignments", {"lead_id": "L1", "rep_id": other, "assigned_at": f"{MONDAY}T11:00:00"})
    assert (made.now("L1")["rep_id"], made.owner("L1")) == (first, other)
    assert made.assign("L2", f"{MONDAY} 12:00")["status"] == "held", "both were handed a lead this week"
    made.assign("L2", f"{NEXT_MONDAY} 09:00")
    made.override("L2", made.owner("L2"))
    feed = made.core.feed(0, 100, lang="en")
    told = [(item["kind"], item["lead_id"]) for item in feed["items"]]
    assert told == [("decision", "L1"), ("move", "L1"), ("decision", "L2"), ("release", "L2")]
    seqs = [item["seq"] for item in feed["items"]]
    assert seqs == sorted(seqs)
    assert made.core.feed(feed["next_after"], 100, lang="en") == {"items": [], "next_after": feed["next_after"]}
    assert made.core.feed(seqs[0], 1, lang="en")["items"][0]["kind"] == "move"


def test_lists_by_status_owner_and_time_page_without_gaps(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 3}, {"rep_id": "R2", "weekly_capacity": 3}])
    for i in range(8):
        made.assign(f"L{i}", f"{MONDAY} 09:0{i}")

    def listed(**wanted):
        seen, cursor = [], None
        while True:
            page = made.core.decisions(DecisionFilters(limit=2, cursor=cursor, **wanted), lang="en")
            seen += [item["lead_id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return seen

    assert listed() == [f"L{i}" for i in range(8)]
    assert len(listed(status="held")) == 2
    assert len(listed(rep_id="R1")) == 3
    since = made._moment(f"{MONDAY} 09:05")
    assert listed(since=since) == ["L5", "L6", "L7"]


def test_why_names_the_candidates_the_chosen_first_and_the_versions(desk):
    made = desk(["R1", "R2", {"rep_id": "R3", "weekly_capacity": 0}])
    chosen = made.assign("L1")["rep_id"]
    said = made.now("L1")
    assert next(one["rep_id"] for one in said["candidates"]) == chosen
    assert {one["rep_id"] for one in said["candidates"]} == {"R1", "R2", "R3"}
    assert {one["rep_id"]: one["why_not"] for one in said["candidates"]}["R3"].startswith("ruled out")
    assert said["versions"]["policy_version"] == said["policy_version"]


def test_rule_mode_is_a_switch_that_decisions_obey_at_once(desk):
    made = desk()
    made.core.set_rule_mode(on=True, team_id=None, by="admin")
    assert made.assign("L1")["policy"] == "rule"
    made.core.set_rule_mode(on=False, team_id=None, by="admin")
    assert made.assign("L2")["policy"] == "fallback"
