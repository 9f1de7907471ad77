"""A rep's own prospect stays his: takes a place of his week, waits for him, and is nobody else's while he is here."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

MONDAY = "2026-03-02"
FRIDAY = "2026-03-06"
NEXT_MONDAY = "2026-03-09"


def times_from(start, n):
    return [(datetime.fromisoformat(start) + timedelta(minutes=10 * i)).isoformat() for i in range(n)]


def own(made, name, when=f"{MONDAY} 09:00", finder="R1", **row):
    return made.assign(name, when, sourced_by_rep_id=finder, **row)


def test_it_goes_to_its_finder_and_takes_a_place(desk):
    made = desk()
    said = own(made, "P1")
    assert (said["rep_id"], said["status"], said["policy"], said["propensity"]) == ("R1", "assigned", "owner", 1.0)
    assert made.places() == {("2026-W10", "R1"): 1}


def test_a_full_finder_makes_it_wait_for_him_alone_and_the_reason_says_so(desk):
    made = desk([{"rep_id": "R1", "name": "Ann", "weekly_capacity": 1}, {"rep_id": "R2", "weekly_capacity": 9}])
    own(made, "P1")
    held = own(made, "P2")
    assert (held["rep_id"], held["status"], held["policy"]) == (None, "held", "owner")
    assert "Ann" in held["reasons"][0]["text"]
    assert "full" in held["reasons"][0]["text"]
    assert held["reasons"][0]["text"] != made.now("P2", "zh")["reasons"][0]["text"]
    assert "Ann" in made.now("P2", "zh")["reasons"][0]["text"]
    made.assign("L1", f"{MONDAY} 10:00")  # R2 has room, and still does not get it
    made.end_days(f"{MONDAY} 10:00", f"{FRIDAY} 23:00")
    assert made.now("P2")["status"] == "held"


def test_it_is_released_to_him_in_a_later_week_before_anything_new(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 1}, {"rep_id": "R2", "weekly_capacity": 0}])
    own(made, "P1")
    own(made, "P2")
    new = made.assign("L1", f"{NEXT_MONDAY} 08:00")
    assert new["status"] == "held", "the one place of the new week is the waiting prospect's"
    said = made.now("P2")
    assert (said["owner_rep_id"], said["policy"], said["decided_at"][:10]) == ("R1", "owner", NEXT_MONDAY)
    assert made.places() == {("2026-W10", "R1"): 1, ("2026-W11", "R1"): 1}


def test_an_absent_finder_gets_it_on_his_first_day_back(desk):
    away = [{"rep_id": "R1", "starts_on": MONDAY, "ends_on": "2026-03-03"}]
    made = desk(absences=away)
    assert own(made, "P1")["status"] == "held"
    made.assign("L1", "2026-03-03 23:59")
    assert made.now("P1")["status"] == "held"
    made.assign("L2", "2026-03-04 00:00")
    assert made.now("P1")["owner_rep_id"] == "R1"


@pytest.mark.parametrize(
    "finder", [{"left_on": MONDAY}, {"department": "support"}, {"hired_on": "2027-01-01"}], ids=lambda f: next(iter(f))
)
def test_once_the_finder_has_gone_or_does_not_sell_it_is_routed_like_any_other(desk, finder):
    made = desk([{"rep_id": "R1", **finder}, "R2"])
    said = own(made, "P1")
    assert (said["rep_id"], said["policy"]) == ("R2", "fallback")


def test_a_waiting_prospect_is_routed_to_others_once_its_finder_has_left(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 0, "left_on": "2026-03-04"}, "R2"])
    assert own(made, "P1")["status"] == "held"
    made.assign("L1", "2026-03-04 09:00")
    assert made.now("P1")["owner_rep_id"] == "R2"


def test_his_territory_does_not_keep_his_own_prospect_from_him(desk):
    made = desk([{"rep_id": "R1", "territories": "north"}, {"rep_id": "R2", "territories": "south"}])
    assert own(made, "P1", territory="south")["rep_id"] == "R1"


def test_routed_in_a_file_no_week_of_the_finder_goes_over_his_capacity(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 2}, {"rep_id": "R2", "weekly_capacity": 3}])
    times = times_from(f"{MONDAY}T09:00:00", 8) + times_from(f"{NEXT_MONDAY}T09:00:00", 2)
    rows = [
        {"lead_id": f"P{i}", "created_at": t, "source": "web", "sourced_by_rep_id": "R1"} for i, t in enumerate(times)
    ]
    routed = made.route(rows)
    owners = [row["rep_id"] for row in routed.values()]
    assert owners.count("R1") == 4
    assert owners.count("") == 6
    assert "R2" not in owners
    weeks = [row["decided_at"][:10] >= NEXT_MONDAY for row in routed.values() if row["rep_id"]]
    assert sum(weeks) == 2


def test_decided_in_a_batch_the_same_rule_holds(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 1}, "R2"])
    rows = [
        {"lead_id": n, "created_at": f"{MONDAY}T09:00:00", "source": "web", "sourced_by_rep_id": "R1"}
        for n in ("P1", "P2")
    ]
    said = [item["decision"] for item in made.batch(rows)]
    assert [(one["rep_id"], one["status"]) for one in said] == [("R1", "assigned"), (None, "held")]


def test_a_lead_handed_over_in_the_tables_is_owned_already_and_takes_no_second_place(desk):
    handed = [{"lead_id": "T1", "rep_id": "R2", "assigned_at": f"{MONDAY}T08:00:00"}]
    known = [{"lead_id": "T1", "created_at": f"{MONDAY}T07:00:00", "source": "web"}]
    made = desk(["R1", {"rep_id": "R2", "weekly_capacity": 1}], leads=known, assignments=handed)
    said = made.assign("T1", f"{MONDAY} 09:00")
    assert (said["rep_id"], said["policy"]) == ("R2", "owner")
    assert made.places() == {}
    assert {made.assign(f"L{i}", f"{MONDAY} 10:00")["rep_id"] for i in range(3)} == {"R1", None}
