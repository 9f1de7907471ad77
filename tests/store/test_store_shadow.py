"""What a challenger would have done lies beside the log: written once, found by challenger, erased with its lead."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect, text

from serving.store import ShadowChoice, Store

WEEK = "2026-W10"


def put(tx, lead_id, rep_id="R1"):
    record = {"lead_id": lead_id, "rep_id": rep_id, "policy": "priced"}
    return tx.put_decision(
        lead_id, decided_at=5, status="assigned", rep_id=rep_id, week=WEEK, record=record, lead={"lead_id": lead_id}
    )


def choice(seq, lead_id, challenger="new", result="differ", would="R2"):
    return ShadowChoice(seq, challenger, "old", lead_id, 5, result, "R1", would, {"source": "web", "rep": None})


def test_choices_are_kept_once_a_challenger_and_counted_by_result(store):
    with store.transaction() as tx:
        tx.put_shadow_choices([choice(1, "L1"), choice(2, "L2", result="agree", would="R1")])
        tx.put_shadow_choices([choice(1, "L1", would="R9"), choice(3, "L3", would=None)])
        tx.put_shadow_choices([choice(1, "L1", challenger="newer")])
    with store.read() as view:
        found = view.shadow_choices("new", 10)
        assert [(one.seq, one.would_rep_id) for one in found] == [(3, None), (2, "R1"), (1, "R2")]
        assert found[-1] == choice(1, "L1")
        assert [one.seq for one in view.shadow_choices("new", 1)] == [3]
        assert view.shadow_counts("new") == {"differ": 2, "agree": 1}
        assert view.shadow_counts("newer") == {"differ": 1}
        assert view.verify().ok


def test_places_since_an_entry_leave_out_those_taken_before_it(store):
    with store.transaction() as tx:
        first, second = put(tx, "L1"), put(tx, "L2", "R2")
    with store.read() as view:
        assert view.places_since(WEEK, second.seq) == [("R2", "L2")]
        assert sorted(view.places_since(WEEK, first.seq)) == [("R1", "L1"), ("R2", "L2")]


def test_a_lead_erased_is_gone_from_shadow_too(store):
    with store.transaction() as tx:
        put(tx, "L1")
        put(tx, "L2")
        tx.put_shadow_choices([choice(1, "L1"), choice(2, "L2")])
        tx.erase_lead("L1", at=9, by="hr")
    with store.read() as view:
        assert [one.lead_id for one in view.shadow_choices("new", 10)] == ["L2"]


def test_a_store_of_the_second_version_learns_shadow_and_keeps_what_it_held(url):
    with Store.open(url) as store, store.transaction() as tx:
        put(tx, "L1")
        tx.connection.execute(text("DROP TABLE shadow_choices"))
        tx.connection.execute(text("UPDATE schema_version SET version = 2"))
    with Store.open(url) as store, store.read() as view:
        assert inspect(view.connection).has_table("shadow_choices")
        assert view.decision("L1").rep_id == "R1"
        assert view.verify().ok
        assert view.connection.execute(text("SELECT MAX(version) FROM schema_version")).scalar() == 4


@pytest.mark.parametrize("limit", [1, 2])
def test_the_newest_choices_come_first(store, limit):
    with store.transaction() as tx:
        tx.put_shadow_choices([choice(seq, f"L{seq}") for seq in (4, 9, 7)])
    with store.read() as view:
        assert [one.seq for one in view.shadow_choices("new", limit)] == [9, 7][:limit]
