"""Decisions, places, overrides, the feed and the chain, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from features.errors import UnknownLeadError
from serving.store import DuplicateDecisionError, Store, StoreError, StoreVersionError
from serving.store.engine import store_url

WEEK = "2026-W07"
MONDAY = 1_770_600_000_000_000


def put(tx, lead_id, rep_id="R1", at=MONDAY, week=WEEK, **more):
    record = {"lead_id": lead_id, "rep_id": rep_id, "win_probability": 0.1 + 0.2, "policy": "priced", **more}
    return tx.put_decision(
        lead_id,
        decided_at=at,
        status="held" if rep_id is None else "assigned",
        rep_id=rep_id,
        week=week,
        record=record,
        lead={"lead_id": lead_id, "source": "会展"},
        answers={"zh": b'{"a":"\xe4\xb8\xad"}'} if rep_id else None,
    )


def test_a_decision_comes_back_as_it_was_put(store):
    with store.transaction() as tx:
        given = put(tx, "007", z=1, a=[1.5, None, "客户"])
    with store.read() as view:
        found = view.decision("007")
    assert found == given
    assert list(found.record) == ["lead_id", "rep_id", "win_probability", "policy", "z", "a"]
    assert found.record["win_probability"] == 0.1 + 0.2
    assert found.answers == {"zh": '{"a":"中"}'.encode()}
    assert found.lead == {"lead_id": "007", "source": "会展"}


def test_ids_are_text_and_never_folded(store):
    with store.transaction() as tx:
        put(tx, "007")
        put(tx, "a")
        put(tx, "A ")
    with store.read() as view:
        assert [view.decision(key) is not None for key in ("007", "7", "a", "A", "A ")] == [
            True,
            False,
            True,
            False,
            True,
        ]


def test_who_was_first_chosen_when_by_the_machine(store):
    with store.transaction() as tx:
        put(tx, "L1", "R1", MONDAY + 5)
        put(tx, "L2", "R1", MONDAY + 3)
        put(tx, "L3", "R2", MONDAY, policy="owner")
        put(tx, "L4", "R2", MONDAY + 9, policy="rule")
        put(tx, "L5", "R3", MONDAY, policy="holdout")
        put(tx, "L6", None)
        tx.override("L1", rep_id="R9", at=MONDAY + 6, week=WEEK, by="m", reason="knows him")
    with store.read() as view:
        assert view.first_given() == {"R1": MONDAY + 3, "R2": MONDAY + 9}


def test_a_block_that_raises_leaves_nothing(store):
    def fail():
        with store.transaction() as tx:
            put(tx, "L1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.read() as view:
        assert view.decision("L1") is None
        assert view.used_places(WEEK) == {}
        assert view.log_after() == []


def test_a_second_decision_about_a_lead_is_refused_and_the_first_stands(store):
    with store.transaction() as tx:
        first = put(tx, "L1", "R1")
    with pytest.raises(DuplicateDecisionError), store.transaction() as tx:
        put(tx, "L1", "R2")
    with store.read() as view:
        assert view.decision("L1") == first


@pytest.mark.parametrize(("status", "rep_id"), [("assigned", None), ("held", "R1"), ("lost", "R1")])
def test_status_and_rep_must_agree(store, status, rep_id):
    with pytest.raises(StoreError), store.transaction() as tx:
        tx.put_decision("L1", decided_at=1, status=status, rep_id=rep_id, week=WEEK, record={}, lead={})


def test_nan_never_enters_the_store(store):
    with pytest.raises(ValueError), store.transaction() as tx:
        put(tx, "L1", share=float("nan"))
    with store.read() as view:
        assert view.log_after() == []


def test_places_count_distinct_leads_a_rep_and_week(store):
    with store.transaction() as tx:
        put(tx, "L1", "R1")
        put(tx, "L2", "R1")
        put(tx, "L3", "R2")
        put(tx, "L4", None)
        put(tx, "L5", "R1", week="2026-W08")
        assert tx.used_places(WEEK) == {"R1": 2, "R2": 1}, "the transaction must see its own places"
    with store.read() as view:
        assert view.used_places(WEEK) == {"R1": 2, "R2": 1}
        assert view.placements(WEEK) == {("R1", "L1"), ("R1", "L2"), ("R2", "L3")}
        assert view.used_places("2026-W09") == {}


def test_a_release_takes_its_place_in_its_own_week(store):
    with store.transaction() as tx:
        put(tx, "L2", None, at=MONDAY + 5)
        put(tx, "L1", None, at=MONDAY + 9)
        assert [one.lead_id for one in tx.held()] == ["L2", "L1"]
    later = {"lead_id": "L2", "rep_id": "R1", "policy": "explore"}
    with store.transaction() as tx:
        tx.release_held("L2", decided_at=MONDAY + 99, rep_id="R1", week="2026-W08", record=later)
    with store.read() as view:
        found = view.decision("L2")
        assert (found.status, found.rep_id, found.owner_rep_id, found.decided_at) == (
            "assigned",
            "R1",
            "R1",
            MONDAY + 99,
        )
        assert (found.record, found.policy, found.seq, found.last_seq) == (later, "explore", 1, 3)
        assert view.used_places(WEEK) == {}
        assert view.used_places("2026-W08") == {"R1": 1}
        assert [one.lead_id for one in view.held()] == ["L1"]
        assert [entry.kind for entry in view.history("L2")] == ["decision", "release"]
    with pytest.raises(StoreError, match="only a held lead"), store.transaction() as tx:
        tx.release_held("L2", decided_at=MONDAY, rep_id="R2", week=WEEK, record=later)


def test_an_override_frees_the_first_place_and_keeps_the_machines_choice(store):
    with store.transaction() as tx:
        first = put(tx, "L1", "R1")
        put(tx, "L2", "R1")
    with store.transaction() as tx:
        now = tx.override("L1", rep_id="R2", at=MONDAY + 1, week=WEEK, by="ann", reason="knows them", forced=True)
        assert (now.rep_id, now.owner_rep_id, now.overridden) == ("R1", "R2", True)
        assert (now.record, now.answers) == (first.record, first.answers)
        assert tx.used_places(WEEK) == {"R1": 1, "R2": 1}
        tx.override("L1", rep_id="R3", at=MONDAY + 2, week=WEEK, by="bob", reason="no, him")
        assert tx.used_places(WEEK) == {"R1": 1, "R3": 1}
    with store.read() as view:
        bodies = [entry.body for entry in view.history("L1")]
    assert bodies[1] == {"from_rep_id": "R1", "rep_id": "R2", "by": "ann", "reason": "knows them", "forced": True}
    assert bodies[2]["from_rep_id"] == "R2"


def test_an_override_of_a_held_lead_takes_it_out_of_waiting(store):
    with store.transaction() as tx:
        put(tx, "L1", None)
        now = tx.override("L1", rep_id="R2", at=MONDAY, week=WEEK, by="ann", reason="mine")
        assert (now.status, now.rep_id, now.owner_rep_id, tx.held()) == ("assigned", None, "R2", [])
    with pytest.raises(UnknownLeadError), store.transaction() as tx:
        tx.override("nobody", rep_id="R2", at=MONDAY, week=WEEK, by="ann", reason="mine")


def test_an_override_back_after_a_move_takes_one_place_not_two(store):
    with store.transaction() as tx:
        put(tx, "L1", "R1")
        tx.move("L1", rep_id="R2", at=MONDAY, by="crm")
        tx.override("L1", rep_id="R1", at=MONDAY, week=WEEK, by="ann", reason="back")
        assert tx.used_places(WEEK) == {"R1": 1}
        tx.override("L1", rep_id="R1", at=MONDAY, week=WEEK, by="ann", reason="stays")
        assert tx.used_places(WEEK) == {"R1": 1}


def test_a_move_changes_the_owner_and_no_place(store):
    with store.transaction() as tx:
        put(tx, "L1", "R1")
        now = tx.move("L1", rep_id="R2", at=MONDAY + 3, by="crm")
        assert (now.rep_id, now.owner_rep_id, now.owned_at) == ("R1", "R2", MONDAY + 3)
        assert tx.used_places(WEEK) == {"R1": 1}


def test_the_feed_has_everything_in_order_without_gaps(store):
    with store.transaction() as tx:
        put(tx, "L1", "R1")
        put(tx, "L2", None)
    with store.transaction() as tx:
        tx.release_held("L2", decided_at=MONDAY, rep_id="R1", week=WEEK, record={"lead_id": "L2"})
        tx.set_setting("rule_mode", True, by="admin")
        tx.override("L1", rep_id="R2", at=MONDAY, week=WEEK, by="ann", reason="x")
        tx.move("L1", rep_id="R3", at=MONDAY, by="crm")
    with store.read() as view:
        feed = view.log_after()
        assert [(entry.seq, entry.kind, entry.lead_id, entry.rep_id) for entry in feed] == [
            (1, "decision", "L1", "R1"),
            (2, "decision", "L2", None),
            (3, "release", "L2", "R1"),
            (5, "override", "L1", "R2"),
            (6, "move", "L1", "R3"),
        ]
        assert [entry.seq for entry in view.log_after(3, limit=1)] == [5]
        assert view.log_after(6) == []


def test_pages_are_stable_while_rows_are_added_and_changed(store):
    with store.transaction() as tx:
        for i in range(7):
            put(tx, f"L{i}", f"R{i % 2}", at=MONDAY + i)
    seen, cursor = [], None
    for step in range(9):
        with store.read() as view:
            page = view.decisions(cursor=cursor, limit=3)
        seen += [one.lead_id for one in page.items]
        with store.transaction() as tx:
            if step < 2:
                put(tx, f"N{step}", "R9", at=MONDAY - 50)
            tx.override("L0", rep_id=f"R{step + 5}", at=MONDAY, week=WEEK, by="x", reason="y")
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == ["L0", "L1", "L2", "L3", "L4", "L5", "L6", "N0", "N1"]
    with store.read() as view:
        newest = view.decisions(limit=2, newest_first=True)
        assert [one.lead_id for one in newest.items] == ["N1", "N0"]
        assert [one.lead_id for one in view.decisions(cursor=newest.next_cursor, limit=2, newest_first=True).items] == [
            "L6",
            "L5",
        ]


def test_filters_narrow_the_list(store):
    with store.transaction() as tx:
        for i, rep in enumerate(["R1", "R2", None, "R1"]):
            put(tx, f"L{i}", rep, at=MONDAY + i)
        tx.override("L1", rep_id="R1", at=MONDAY, week=WEEK, by="x", reason="y")

    def ids(**filters):
        with store.read() as view:
            return [one.lead_id for one in view.decisions(**filters).items]

    assert ids(status="held") == ["L2"]
    assert ids(rep_id="R1") == ["L0", "L1", "L3"]
    assert ids(rep_ids={"R1", "R7"}, since=MONDAY + 1) == ["L1", "L3"]
    assert ids(rep_ids=frozenset()) == []
    with store.read() as view:
        assert set(view.decided(["L0", "L3", "zz"])) == {"L0", "L3"}


def test_counts_feed_the_metrics(store):
    with store.transaction() as tx:
        put(tx, "L1", "R1")
        put(tx, "L2", "R1")
        put(tx, "L3", None)
        tx.override("L1", rep_id="R2", at=1, week=WEEK, by="x", reason="y")
        tx.put_events("deals", [{"deal_id": "D1"}, {"deal_id": "D2"}], received_at=5)
        counts = tx.counts()
    assert (counts.by_policy, counts.held, counts.overrides) == ({"priced": 2}, 1, 1)
    assert (counts.event_batches, counts.event_rows) == (1, 2)


def fill(store, n=5):
    with store.transaction() as tx:
        for i in range(n):
            put(tx, f"L{i}", "R1")


def verified(store):
    with store.read() as view:
        return view.verify()


def test_an_untouched_chain_verifies(store):
    assert verified(store).ok
    fill(store)
    found = verified(store)
    assert (found.ok, found.n_entries, found.broken_at) == (True, 5, 0)
    with store.read() as view:
        assert view.head() == (5, found.head)


@pytest.mark.parametrize(
    ("tampering", "reason"),
    [
        ("update payloads set body = '{}' where seq = 3", "payload was changed"),
        ("update payloads set rep_id = 'R2' where seq = 3", "payload was changed"),
        ("update log set at = at + 1 where seq = 3", "entry was changed"),
        ("update log set kind = 'move' where seq = 3", "entry was changed"),
        ("delete from payloads where seq = 3", "without a logged erasure"),
        ("delete from payloads where seq = 3; delete from log where seq = 3", "missing"),
        ("update payloads set seq = 3 where seq = 9", ""),
    ],
)
def test_tampering_is_found_where_it_happened(store, tampering, reason):
    fill(store)
    with store.transaction() as tx:
        for statement in tampering.split(";"):
            tx.connection.execute(text(statement))
    found = verified(store)
    assert found.ok == (not reason)
    if reason:
        assert (found.broken_at, reason in found.reason) == (3, True)


def test_a_cut_tail_is_found(store):
    fill(store)
    with store.transaction() as tx:
        tx.connection.execute(text("delete from payloads where seq >= 4"))
        tx.connection.execute(text("delete from log where seq >= 4"))
    found = verified(store)
    assert (found.ok, found.broken_at) == (False, 4)


def test_a_rewritten_entry_breaks_the_next_link(store):
    """Whoever rehashes an entry to hide a change must rehash all that follow."""
    from serving.store.chain import link, payload_digest

    fill(store)
    with store.transaction() as tx:
        row = tx.connection.execute(text("select * from log where seq = 2")).one()
        salt = tx.connection.execute(text("select salt from payloads where seq = 2")).scalar_one()
        digest = payload_digest(salt, "L1", "R9", "{}")
        entry = link(row.previous, 2, row.kind, row.at, row.logged_at, digest)
        tx.connection.execute(text("update payloads set body='{}', rep_id='R9' where seq=2"))
        tx.connection.execute(
            text("update log set digest=:digest, hash=:entry where seq=2"), {"digest": digest, "entry": entry}
        )
    found = verified(store)
    assert (found.ok, found.broken_at, found.reason) == (False, 3, "the entry does not follow the one before it")


def test_erasure_leaves_no_trace_of_the_lead_and_the_chain_whole(store):
    fill(store)
    rows = [{"activity_id": "A1", "lead_id": "L2"}, {"activity_id": "A2", "lead_id": "L3"}]
    with store.transaction() as tx:
        tx.put_events("activities", rows, received_at=3)
        tx.override("L2", rep_id="R2", at=MONDAY, week=WEEK, by="x", reason="y")
        assert tx.erase_lead("L2", at=MONDAY, by="admin") == 2
    with store.read() as view:
        assert view.decision("L2") is None
        assert view.history("L2") == []
        assert view.used_places(WEEK) == {"R1": 4, "R2": 1}
        assert [dict(row) for row in view.events_after()[0].rows] == [{"activity_id": "A2", "lead_id": "L3"}]
        gone = [entry for entry in view.log_after() if entry.body is None]
        assert [(entry.seq, entry.kind, entry.lead_id) for entry in gone] == [
            (3, "decision", None),
            (6, "override", None),
        ]
        assert view.verify().ok


def test_a_newer_store_is_refused_and_left_alone(store, url):
    with store.transaction() as tx:
        tx.connection.execute(text("insert into schema_version values (99, 0)"))
    with pytest.raises(StoreVersionError, match="newer"):
        Store.open(url)


def test_a_transaction_inside_a_transaction_is_refused_at_once(store):
    with store.transaction(), pytest.raises(RuntimeError, match="already"), store.transaction():
        pass
    with store.transaction() as tx:
        put(tx, "L1")


@pytest.mark.parametrize("bad", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "http//", "nonsense://"])
def test_a_url_that_cannot_hold_the_store_is_refused(bad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "://" not in bad:
        assert store_url(bad).database == str(tmp_path / bad)
        return
    with pytest.raises(StoreError):
        store_url(bad)


def test_urls_of_postgresql_are_read_with_psycopg():
    for given in ("postgres://h/d", "postgresql://h/d", "postgresql+psycopg://h/d"):
        assert store_url(given).drivername == "postgresql+psycopg"
        assert store_url(given).database == "d"


def test_sqlite_is_durable_by_its_settings(tmp_path):
    with Store(tmp_path / "sub" / "fairlead.db") as store, store.transaction() as tx:
        pragmas = {
            name: tx.connection.execute(text(f"pragma {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
