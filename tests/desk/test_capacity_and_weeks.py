"""Places: what takes one, in which week, for whom; and who may have which lead."""

from __future__ import annotations

import pytest

MONDAY, SUNDAY = "2026-03-02", "2026-03-08"


def names(made, n, when=f"{MONDAY} 09:00", **row):
    return [made.assign(f"L{i}", when, **row)["rep_id"] for i in range(n)]


def test_a_week_has_so_many_places_and_the_rest_waits(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 2}, {"rep_id": "R2", "weekly_capacity": 1}])
    assert sorted(map(str, names(made, 5))) == ["None", "None", "R1", "R1", "R2"]
    assert made.places() == {("2026-W10", "R1"): 2, ("2026-W10", "R2"): 1}


def test_capacity_zero_gets_nothing_even_alone(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 0}])
    said = made.assign("L1")
    assert (said["status"], said["rep_id"], said["propensity"]) == ("held", None, 1.0)


def test_an_empty_capacity_is_the_90th_percentile_of_the_last_26_weeks_and_the_desks_for_the_new(desk):
    """R1 got 1 lead in each of 20 weeks and 5 in one; R2 never any: R1 has his own percentile, R2 the desk's."""
    import numpy as np

    monday = np.datetime64("2025-09-01")
    leads, assignments = [], []
    for week in range(26):
        for k in range(5 if week == 3 else 2 if week % 2 else 1):
            day = str(monday + np.timedelta64(7 * week, "D"))
            leads.append({"lead_id": f"H{week}-{k}", "created_at": f"{day}T08:00:00", "source": "web"})
            assignments.append({"lead_id": f"H{week}-{k}", "rep_id": "R1", "assigned_at": f"{day}T09:00:00"})
    made = desk([{"rep_id": "R1", "weekly_capacity": ""}, {"rep_id": "R2", "weekly_capacity": ""}], leads=leads,
                assignments=assignments)  # fmt: skip
    board = made.core.state().board
    assert board.capacity.tolist() == [2, 2]


def test_default_capacity_fills_empty_cells_only(desk):
    reps = [{"rep_id": "R1", "weekly_capacity": ""}, {"rep_id": "R2", "weekly_capacity": 1}]
    made = desk(reps, toml="[routing]\ndefault_capacity = 3\n")
    assert made.core.state().board.capacity.tolist() == [3, 1]


def test_hand_overs_of_the_tables_and_decisions_count_together_and_a_lead_once(desk):
    handed = [{"lead_id": f"T{i}", "rep_id": "R1", "assigned_at": f"{MONDAY}T0{i}:00:00"} for i in range(2)]
    known = [{"lead_id": f"T{i}", "created_at": f"{MONDAY}T00:00:00", "source": "web"} for i in range(2)]
    made = desk([{"rep_id": "R1", "weekly_capacity": 4}], leads=known, assignments=handed)
    assert names(made, 3) == ["R1", "R1", None]
    # The same lead handed over again in the tables, and a decision's lead arriving there, take no second place.
    made.send("assignments", {"lead_id": "T0", "rep_id": "R1", "assigned_at": f"{MONDAY}T08:00:00"},
              {"lead_id": "L0", "rep_id": "R1", "assigned_at": f"{MONDAY}T09:00:00"})  # fmt: skip
    assert made.assign("L9", f"{MONDAY} 10:00")["status"] == "held"


def test_weeks_are_iso_weeks_of_the_zone(desk):
    """23:30 UTC on Sunday is Monday morning in Shanghai."""
    for zone, expected in (("UTC", [None, "R1"]), ("Asia/Shanghai", ["R1", None])):
        made = desk([{"rep_id": "R1", "weekly_capacity": 1}], toml=f'[general]\nzone = "{zone}"\n')
        first = made.assign("A", "2026-03-06T12:00:00+00:00")
        assert first["rep_id"] == "R1"
        late = made.assign("B", f"{SUNDAY}T23:30:00+00:00")
        after = made.assign("C", "2026-03-09T00:30:00+00:00")
        assert [late["rep_id"], after["rep_id"]] == expected or (zone == "UTC" and made.owner("B") == "R1")


@pytest.mark.parametrize(
    ("territory", "expected"),
    [("", {"N", "S", "ANY"}), ("north", {"N", "ANY"}), ("south", {"S", "ANY"}), ("west", {"ANY"})],
)
def test_territories(desk, territory, expected):
    reps = [{"rep_id": "N", "territories": "north; far north"}, {"rep_id": "S", "territories": "south"}, "ANY"]
    made = desk([rep if isinstance(rep, dict) else {"rep_id": rep} for rep in reps])
    got = {made.assign(f"L{i}", territory=territory)["rep_id"] for i in range(6)}
    assert got - {None} == expected


def test_a_territory_nobody_lists_waits_where_everybody_lists_some_and_says_so(desk):
    made = desk([{"rep_id": "N", "territories": "north"}])
    said = made.assign("L1", territory="west")
    assert said["status"] == "held"
    assert "territory" in said["reasons"][0]["text"]


@pytest.mark.parametrize("day", [MONDAY, "2026-03-03", "2026-03-04"])
def test_absence_counts_on_both_days(desk, day):
    made = desk(["R1"], absences=[{"rep_id": "R1", "starts_on": MONDAY, "ends_on": "2026-03-03"}])
    assert made.assign("L1", f"{day} 23:59")["rep_id"] == ("R1" if day == "2026-03-04" else None)


def test_leavers_get_nothing_from_that_day_on(desk):
    made = desk([{"rep_id": "R1", "left_on": "2026-03-04"}])
    assert made.assign("L1", "2026-03-03 23:59")["rep_id"] == "R1"
    assert made.assign("L2", "2026-03-04 00:00")["status"] == "held"


def test_other_departments_get_nothing(desk):
    made = desk([{"rep_id": "R1", "department": "support"}, {"rep_id": "R2", "department": "sales"}])
    assert set(names(made, 4)) == {"R2", None}


def test_a_rep_hired_after_the_tables_end_counts_from_his_first_day(desk):
    made = desk([{"rep_id": "R1", "weekly_capacity": 0}, {"rep_id": "R2", "hired_on": "2026-03-04"}])
    assert made.assign("L1", "2026-03-03 12:00")["status"] == "held"
    assert made.assign("L2", "2026-03-04 00:00")["rep_id"] == "R2"


def test_what_as_of_hides_stays_hidden_however_late_the_decision(desk):
    """A rep hired later, and hand-overs later than as_of, are not seen; the leads asked about are."""
    handed = [{"lead_id": "T1", "rep_id": "R1", "assigned_at": f"{MONDAY}T08:00:00"}]
    known = [{"lead_id": "T1", "created_at": f"{MONDAY}T07:00:00", "source": "web"}]
    reps = [{"rep_id": "R1", "weekly_capacity": 1}, {"rep_id": "R2", "hired_on": "2026-03-03"}]
    made = desk(reps, leads=known, assignments=handed, options={"as_of": "2026-03-01"})
    assert made.assign("T1", f"{MONDAY} 09:00")["policy"] == "fallback"
    assert made.assign("L2", "2026-03-05 09:00")["status"] == "held"


def test_an_account_stays_with_its_owner_and_where_he_cannot_the_reason_says_so(desk):
    """Owners by the tables, and by decisions made here."""
    made = desk([{"rep_id": "R1", "weekly_capacity": 3}, {"rep_id": "R2", "weekly_capacity": 9}])
    first = made.assign("A1", account_id="ACME")
    again = made.assign("A2", account_id="ACME")
    assert again["rep_id"] == first["rep_id"]
    assert again["policy"] == "owner"
    made.override("A2", "R2")
    assert made.assign("A3", f"{MONDAY} 10:00", account_id="ACME")["rep_id"] == "R2"
    for rep in ("R1", "R2"):
        full = desk([{"rep_id": "R1", "weekly_capacity": 1}, {"rep_id": "R2", "weekly_capacity": 1}])
        full.assign("B1", account_id="X")
        full.override("B1", rep, force=True)
        said = full.assign("B2", f"{MONDAY} 10:00", account_id="X")
        assert said["rep_id"] == {"R1": "R2", "R2": "R1"}[rep]
        assert any("owner" in reason["text"] and "full" in reason["text"] for reason in said["reasons"])


@pytest.mark.parametrize(("became", "kept"), [("open", True), ("won", True), ("lost", False), ("dead", False)])
def test_an_account_is_nobodys_once_its_leads_came_to_nothing_unless_owners_always_count(desk, became, kept):
    """R2 had the account's lead; R1, who has no lead yet, is whom the rules would choose."""
    since = "2025-06-02" if became in ("dead", "won") else "2026-02-20"
    known = {
        "leads": [{"lead_id": "T1", "created_at": f"{since}T07:00:00", "source": "web", "account_id": "ACME"}],
        "assignments": [{"lead_id": "T1", "rep_id": "R2", "assigned_at": f"{since}T08:00:00"}],
    }
    if became in ("won", "lost"):
        deal = {"deal_id": "D1", "lead_id": "T1", "rep_id": "R2", "closed_at": "2026-02-23T08:00:00", "amount": 5}
        known["deals"] = [{**deal, "status": became}]
    reps = [{"rep_id": "R0"}, {"rep_id": "R1"}, {"rep_id": "R2"}]
    said = desk(reps, **known).assign("A1", account_id="ACME")
    assert (said["rep_id"] == "R2", said["policy"] == "owner") == (kept, kept)
    always = desk(reps, toml="[routing]\nsame_account = true\n", **known)
    assert always.assign("A1", account_id="ACME")["policy"] == "owner"


def test_a_lead_decided_here_and_lost_since_leaves_its_account_to_nobody(desk):
    made = desk([{"rep_id": rep, "weekly_capacity": 9} for rep in ("R1", "R2")])
    first = made.assign("A1", account_id="ACME")
    assert made.assign("A2", account_id="ACME")["policy"] == "owner"
    for number in (1, 2):
        made.send("leads", {"lead_id": f"A{number}", "created_at": f"{MONDAY}T09:00:00", "source": "web"})
        made.send(
            "deals",
            {"deal_id": f"D{number}", "lead_id": f"A{number}", "rep_id": first["rep_id"], "status": "lost",
             "closed_at": f"{MONDAY}T10:00:00", "amount": 0},
        )  # fmt: skip
    assert made.assign("A3", f"{MONDAY} 11:00", account_id="ACME")["policy"] != "owner"


def test_without_same_account_owners_do_not_count(desk):
    made = desk(["R1", "R2"], toml="[routing]\nsame_account = false\n")
    assert {made.assign(f"A{i}", account_id="ACME")["policy"] for i in range(2)} == {"fallback"}


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"created_at": "yesterday"}, "created_at"),
        ({"sourced_by_rep_id": "nobody"}, "sourced_by_rep_id"),
        ({"lead_id": ""}, "lead_id"),
        ({"industry": "x" * 10_001}, "industry"),
    ],
)
def test_a_row_that_breaks_the_contract_names_the_column(desk, row, column):
    from features.errors import DataError

    made = desk()
    with pytest.raises(DataError) as caught:
        made.core.assign(
            {"lead_id": "L1", "created_at": f"{MONDAY}T09:00:00", "source": "web", **row}, decided_at=None, lang="en"
        )
    assert column in {fault.column for fault in caught.value.faults}


def test_unknown_words_and_empty_cells_are_decided(desk):
    made = desk()
    said = made.assign("L1", source="未知来源", industry="", marketer_id=None, colour="blue", size=3)
    assert said["status"] == "assigned"
