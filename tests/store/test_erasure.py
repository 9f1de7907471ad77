"""Erasure in both databases: nothing of the person stays, the rest does, and the chain still verifies."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from features.errors import RequestError, UnknownLeadError
from serving.store import Store, schema

WEEK = "2026-W10"
LATER = "2026-W20"


def put(tx, lead_id, rep_id, at=100, **record):
    told = {"lead_id": lead_id, "rep_id": rep_id, "policy": "priced", **record}
    return tx.put_decision(
        lead_id, decided_at=at, status="assigned" if rep_id else "held", rep_id=rep_id, week=WEEK, record=told,
        lead={"lead_id": lead_id, "sourced_by_rep_id": "REP-ONE"}, answers={"en": b'{"rep_id":"REP-ONE"}'},
    )  # fmt: skip


def filled(store):
    """REP-ONE: chosen, an alternative, overridden away, holder of a key, in events; a lead bears his id too."""
    with store.transaction() as tx:
        put(tx, "L1", "REP-ONE", reasons=[{"code": "best_net", "numbers": {"rep": "REP-ONE", "other": "R2"}}])
        put(tx, "L2", "R2", alternatives=[{"rep_id": "REP-ONE", "expected_value": 1.5}])
        put(tx, "REP-ONE", "R3")
        tx.override("L1", rep_id="R2", at=110, week=WEEK, by="M1", reason="moves on")
        tx.add_key("rep", "REP-ONE")
        rows = [{"rep_id": "REP-ONE", "name": "Ann Other"}, {"rep_id": "R5", "manager_id": "REP-ONE"}]
        tx.put_events("reps", rows, received_at=120)


def everything(store):
    """All text in the store, in one string."""
    with store.read() as view:
        tables = [table for table in schema.METADATA.sorted_tables if table.name != "schema_version"]
        return "\n".join(str(row) for table in tables for row in view.connection.execute(table.select()).all())


def test_a_rep_is_gone_decisions_stay_explained_and_the_chain_is_whole(store):
    filled(store)
    with store.transaction() as tx:
        found = tx.erase_rep("REP-ONE", at=200, week=LATER, by="hr", reason="asked for")
    assert found.n_event_rows == 1
    left = everything(store)
    assert "Ann Other" not in left
    assert left.count("REP-ONE") == left.count("'REP-ONE', ") + left.count('"lead_id":"REP-ONE"')  # the lead of that id
    with store.read() as view:
        assert view.verify().ok
        first, second = view.decision("L1"), view.decision("L2")
        assert first.rep_id == first.lead["sourced_by_rep_id"] == first.record["reasons"][0]["numbers"]["rep"]
        assert first.rep_id.startswith("erased:")
        assert first.owner_rep_id == "R2"
        assert first.answers == {}
        assert second.record["alternatives"] == [{"rep_id": first.rep_id, "expected_value": 1.5}]
        assert view.decision("REP-ONE").rep_id == "R3"
        assert view.history("L1")[-1].body["from_rep_id"] == first.rep_id
        assert view.api_keys()[0].revoked_at is not None
        assert list(view.events_after()[0].rows) == [{"rep_id": "R5", "manager_id": None}]


def test_after_a_rep_is_erased_changes_are_still_found_and_the_name_cannot_be_guessed(store):
    filled(store)
    with store.read() as view:
        before = dict(view.connection.execute(text("select seq, salt from payloads")).all())
    with store.transaction() as tx:
        tx.erase_rep("REP-ONE", at=200, week=LATER, by="hr")
    with store.read() as view:
        after = dict(view.connection.execute(text("select seq, salt from payloads")).all())
    changed = {seq for seq in before if before[seq] != after[seq]}
    assert {1, 2, 4, 5} == changed, "with the old salt, trying every rep would tell who it was"
    with store.transaction() as tx:
        tx.connection.execute(text("update payloads set body = replace(body, '1.5', '9.5') where seq = 2"))
    with store.read() as view:
        found = view.verify()
    assert (found.ok, found.broken_at, found.reason) == (False, 2, "the payload was changed")


def test_a_rep_with_places_this_week_and_an_unknown_one_are_refused(store):
    filled(store)
    with store.transaction() as tx:
        put(tx, "L9", "REP-ONE")
    with pytest.raises(RequestError, match=f"places in {WEEK}"), store.transaction() as tx:
        tx.erase_rep("REP-ONE", at=200, week=WEEK, by="hr")
    with pytest.raises(RequestError, match="nothing about rep 'NOBODY'"), store.transaction() as tx:
        tx.erase_rep("NOBODY", at=200, week=LATER, by="hr")
    assert "REP-ONE" in everything(store)


def test_a_lead_known_by_events_alone_can_be_erased(store):
    with store.transaction() as tx:
        tx.put_events(
            "leads", [{"lead_id": "E1", "city": "Ulm"}, {"lead_id": "E2", "referred_by_lead_id": "E1"}], received_at=5
        )
        tx.erase_lead("E1", at=9, by="hr", reason="asked for")
        assert list(tx.events_after()[0].rows) == [{"lead_id": "E2", "referred_by_lead_id": None}]
        with pytest.raises(UnknownLeadError):
            tx.erase_lead("E1", at=9, by="hr")


def test_age_takes_old_leads_and_leaves_young_and_waiting_ones(store):
    with store.transaction() as tx:
        put(tx, "OLD", "R1", at=10)
        put(tx, "OLD2", "R1", at=10)
        put(tx, "MOVED", "R1", at=10)
        put(tx, "TOLD", "R1", at=10)
        put(tx, "WAITS", None, at=10)
        put(tx, "NEW", "R1", at=100)
        tx.override("MOVED", rep_id="R2", at=100, week=WEEK, by="m", reason="x")
        tx.put_events("activities", [{"activity_id": "A1", "lead_id": "EVENT"}], received_at=20)
        tx.put_events("activities", [{"activity_id": "A2", "lead_id": "TOLD"}], received_at=80)
        old = tx.leads_before(50)
        assert old == ["EVENT", "OLD", "OLD2"]
        used = tx.used_places(WEEK)
        assert tx.erase_leads(old, at=200, by="hr").n_payloads == 2
        assert tx.used_places(WEEK) == used, "two erased leads are two places still"
    with store.read() as view:
        assert view.verify().ok
        assert [row for batch in view.events_after() for row in batch.rows] == [
            {"activity_id": "A2", "lead_id": "TOLD"}
        ]


def test_nothing_stays_in_the_files(tmp_path):
    with Store.open(tmp_path / "f.db") as store:
        filled(store)
        with store.transaction() as tx:
            tx.erase_rep("REP-ONE", at=200, week=LATER, by="hr")
            tx.erase_leads(["REP-ONE"], at=200, by="hr")
        store.scrub()
        assert not any(b"REP-ONE" in path.read_bytes() for path in tmp_path.iterdir())
