"""Messages are written with what they tell of, claimed by one process at a time, and stay until acknowledged."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect, text

from serving.store import Store, Subscription

WEEK = "2026-W10"
ALL = frozenset({"decision", "release", "override", "move", "warning"})


def put(tx, lead_id, rep_id="R1"):
    record = {"lead_id": lead_id, "rep_id": rep_id, "policy": "priced"}
    return tx.put_decision(
        lead_id, decided_at=5, status="assigned", rep_id=rep_id, week=WEEK, record=record, lead={"lead_id": lead_id}
    )


@pytest.fixture
def told(store):
    store.subscriptions = (Subscription("crm", ALL), Subscription("bi", frozenset({"override"})))
    return store


def waiting(store, endpoint="crm"):
    with store.read() as view:
        return view.messages(endpoint=endpoint)


def test_each_endpoint_gets_the_kinds_it_wants_and_keys_and_settings_are_nobodys_business(told):
    with told.transaction() as tx:
        put(tx, "L1")
        tx.override("L1", rep_id="R2", at=6, week=WEEK, by="M1", reason="knows them")
        tx.add_key("router", "crm")
    assert [(one.kind, one.seq) for one in waiting(told)] == [("decision", 1), ("override", 2)]
    assert [(one.kind, one.seq) for one in waiting(told, "bi")] == [("override", 2)]
    ids = [one.message_id for name in ("crm", "bi") for one in waiting(told, name)]
    assert len(set(ids)) == 3


def test_a_decision_that_is_not_committed_leaves_no_message(told):
    def fail():
        with told.transaction() as tx:
            put(tx, "L1")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert waiting(told) == []


def test_warnings_are_told_once_when_they_open_and_once_when_they_are_resolved(told):
    def sync(*ids):
        with told.transaction() as tx:
            tx.sync_alerts(ids, now=7, documents=lambda: {key: {"id": key, "rep_id": "R1"} for key in ids})

    sync("a", "b")
    sync("a", "b")
    sync("b")
    bodies = [one.body for one in waiting(told)]
    assert sorted((body["id"], body["status"], body.get("rep_id")) for body in bodies) == [
        ("a", "open", "R1"),
        ("a", "resolved", None),
        ("b", "open", "R1"),
    ]
    assert waiting(told, "bi") == []


def test_what_is_claimed_is_nobody_elses_until_its_lease_ends_and_keeps_its_id(told):
    with told.transaction() as tx:
        put(tx, "L1")
        put(tx, "L2")
    first = waiting(told)
    due = first[-1].next_at
    with told.transaction() as tx:
        claimed = tx.claim_messages("crm", now=due, until=due + 100, limit=10)
        assert [one.message_id for one in claimed] == [one.message_id for one in first]
    with told.transaction() as tx:
        assert tx.claim_messages("crm", now=due + 99, until=due + 500, limit=10) == []
    with told.read() as view:
        assert not view.has_due("crm", due + 99)
        assert view.has_due("crm", due + 100)
    with told.transaction() as tx:  # whoever had them died
        again = tx.claim_messages("crm", now=due + 100, until=due + 500, limit=10)
    assert [(one.message_id, one.attempts) for one in again] == [(one.message_id, 1) for one in first]


def test_delivered_ones_are_gone_dead_ones_stay_and_can_be_revived(told):
    with told.transaction() as tx:
        put(tx, "L1")
        put(tx, "L2")
    one, other = waiting(told)
    with told.transaction() as tx:
        tx.drop_message(one.message_id)
        tx.bury(other.message_id, why="answered 500")
    with told.read() as view:
        assert view.message_counts() == {("crm", "dead"): 1}
        assert not view.has_due("crm", 2_000_000_000_000_000)
        assert view.messages(state="dead")[0].last_error == "answered 500"
    with told.transaction() as tx:
        assert tx.revive("bi") == 0
        assert tx.revive("crm") == 1
    assert [(one.message_id, one.state, one.attempts) for one in waiting(told)] == [(other.message_id, "waiting", 0)]


def test_an_erased_lead_leaves_neither_message_body_nor_receipt(told):
    with told.transaction() as tx:
        put(tx, "L1")
        tx.sync_alerts(["w"], now=7, documents=lambda: {"w": {"id": "w", "lead_id": "L1"}})
        tx.put_receipt("generic", "m1", {"lead_id": "L1"})
        tx.put_receipt("generic", "m2", {"lead_id": "L10"})
    with told.transaction() as tx:
        tx.erase_lead("L1", at=9, by="hr")
    with told.read() as view:
        assert [one.kind for one in view.messages()] == ["decision"]  # says a number only; its entry is empty
        assert view.receipt("generic", "m1") is None
        assert view.receipt("generic", "m2") == {"lead_id": "L10"}


def test_receipts_are_kept_by_sender_and_forgotten_after_a_month(url):
    now = [1_700_000_000_000_000]
    with Store.open(url, clock=lambda: now[0]) as store:
        with store.transaction() as tx:
            tx.put_receipt("hubspot", "m1", {"accepted": 1})
        now[0] += 29 * 86_400_000_000
        with store.transaction() as tx:
            tx.put_receipt("generic", "m1", {"accepted": 2})
            assert tx.receipt("hubspot", "m1") == {"accepted": 1}
        now[0] += 2 * 86_400_000_000
        with store.transaction() as tx:
            tx.put_receipt("generic", "m2", {})
            assert tx.receipt("hubspot", "m1") is None
            assert tx.receipt("generic", "m1") == {"accepted": 2}


def test_a_store_of_the_third_version_learns_the_outbox_and_keeps_what_it_held(url):
    with Store.open(url) as store, store.transaction() as tx:
        put(tx, "L1")
        tx.connection.execute(text("DROP TABLE outbox"))
        tx.connection.execute(text("DROP TABLE receipts"))
        tx.connection.execute(text("UPDATE schema_version SET version = 3"))
    with Store.open(url) as store, store.read() as view:
        assert inspect(view.connection).has_table("outbox")
        assert inspect(view.connection).has_table("receipts")
        assert view.decision("L1").rep_id == "R1"
        assert view.verify().ok
        assert view.connection.execute(text("SELECT MAX(version) FROM schema_version")).scalar() == 4
