"""A copy taken while others write is a whole store: a backup, and what a dry run starts from."""

from __future__ import annotations

import threading

import pytest

from serving.store import Store, StoreError

WEEK = "2026-W10"


def put(store, name):
    with store.transaction() as tx:
        record = {"lead_id": name, "rep_id": "R1", "policy": "rule"}
        return tx.put_decision(
            name, decided_at=1, status="assigned", rep_id="R1", week=WEEK, record=record, lead={"lead_id": name}
        )


def test_a_copy_holds_all_that_was_acknowledged_before_it_and_verifies(store, tmp_path):
    before = [put(store, f"L{i}") for i in range(20)]
    with store.transaction() as tx:
        tx.put_events("leads", [{"lead_id": "L1", "size": 1.5}], received_at=3)
        tx.set_setting("rule_mode", {"all": True, "teams": []}, by="a")
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            put(store, f"M{number}")
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        store.copy_to(tmp_path / "copy.db")
    finally:
        stop.set()
        writer.join()
    with Store.open(tmp_path / "copy.db") as copy, copy.read() as view:
        assert view.verify().ok
        found = view.decided([one.lead_id for one in before])
        assert [found[one.lead_id] for one in before] == before
        assert {lead for _, lead in view.placements(WEEK)} >= set(found)
        assert view.last_event() == 1
        assert view.pulse().rule_mode == {"all": True, "teams": []}
        n_copied = view.pulse().seq
    with store.read() as view:
        assert view.pulse().seq >= n_copied
    put_again = Store.open(tmp_path / "copy.db")
    try:
        assert put(put_again, "NEW").seq == n_copied + 1, "a restored store goes on where the copy ended"
    finally:
        put_again.close()


def test_a_copy_never_writes_over_a_file(store, tmp_path):
    (tmp_path / "there.db").write_text("mine", encoding="utf-8")
    with pytest.raises(StoreError, match="there already"):
        store.copy_to(tmp_path / "there.db")
    assert (tmp_path / "there.db").read_text(encoding="utf-8") == "mine"


def test_a_store_of_the_first_version_learns_accounts(tmp_path):
    """An older file is brought up to date when it is opened, its decisions found by account."""
    import sqlite3

    path = tmp_path / "old.db"
    with Store.open(path) as store, store.transaction() as tx:
        record = {"lead_id": "L1", "rep_id": "R1", "policy": "rule"}
        tx.put_decision("L1", decided_at=5, status="assigned", rep_id="R1", week=WEEK, record=record,
                        lead={"lead_id": "L1", "account_id": "A"})  # fmt: skip
    with sqlite3.connect(path) as old:
        old.execute("DROP INDEX decisions_by_account")
        old.execute("DROP INDEX log_by_moment")
        old.execute("ALTER TABLE decisions DROP COLUMN account_id")
        old.execute("UPDATE schema_version SET version = 1")
    old.close()
    with Store.open(path) as store, store.read() as view:
        assert view.account_owner("A") == ("R1", 5, "L1")
        assert view.verify().ok
