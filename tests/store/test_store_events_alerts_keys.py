"""Events, warnings' states, keys and settings, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from features.errors import RequestError
from serving.store import Store, StoreError, StoreUnavailableError, UnknownWarningError


def test_events_come_back_in_the_order_received(store, url):
    rows = [{"deal_id": "D1", "amount": 12.5, "lost_reason": None, "note": "大"}]
    with store.transaction() as tx:
        assert tx.put_events("deals", rows, received_at=5, received_from="crm") == 1
        assert tx.put_events("activities", [], received_at=6) == 2
        assert [one.seq for one in tx.events_after()] == [1, 2]
    with Store.open(url) as other, other.read() as view:
        first, second = view.events_after()
        assert (first.table, first.rows, first.received_at, first.received_from) == ("deals", tuple(rows), 5, "crm")
        assert (second.seq, second.rows) == (2, ())
        assert [one.seq for one in view.events_after(1)] == [2]
        assert [one.seq for one in view.events_after(0, limit=1)] == [1]
        assert view.last_event() == 2


def test_events_are_all_or_nothing(store):
    def fail():
        with store.transaction() as tx:
            tx.put_events("deals", [{"deal_id": "D1"}], received_at=5)
            tx.put_events("deals", [{"amount": float("inf")}], received_at=5)

    with pytest.raises(ValueError):
        fail()
    with store.read() as view:
        assert view.events_after() == []


def test_warnings_open_stand_vanish_and_come_back(store):
    with store.transaction() as tx:
        tx.sync_alerts(["a", "b"], now=10)
        tx.acknowledge_alert("a", by="ann", note="called him", now=15)
        states = tx.sync_alerts(["a", "c"], now=20)
    assert {key: (one.status, one.opened_at) for key, one in states.items()} == {
        "a": ("acknowledged", 10),
        "b": ("resolved", 10),
        "c": ("open", 20),
    }
    assert (states["a"].acknowledged_by, states["a"].note, states["a"].acknowledged_at) == ("ann", "called him", 15)
    assert states["b"].resolved_at == 20
    with store.transaction() as tx:
        assert tx.alerts_are_current(["c", "a"])
        assert not tx.alerts_are_current(["a", "b", "c"])
        again = tx.sync_alerts(["a", "b"], now=30)
        assert (again["b"].status, again["b"].opened_at, again["b"].resolved_at) == ("open", 30, None)
        assert again["c"].status == "resolved"
        assert set(tx.alerts("resolved")) == {"c"}


def test_acknowledging_needs_a_warning_that_was_raised(store):
    with pytest.raises(UnknownWarningError), store.transaction() as tx:
        tx.acknowledge_alert("nothing", by="ann", note="", now=1)
    with store.transaction() as tx:
        tx.sync_alerts(["a"], now=1)
        tx.sync_alerts([], now=2)
        assert tx.acknowledge_alert("a", by="ann", note="", now=3).status == "resolved"


def test_a_key_opens_until_it_is_revoked_and_is_never_kept(store):
    assert not store.has_keys()
    with store.transaction() as tx:
        key = tx.add_key("manager", "M1")
        other = tx.add_key("admin", "ops")
    found = store.find_key(key)
    assert (found.role, found.subject, found.revoked_at) == ("manager", "M1", None)
    assert store.find_key(other).role == "admin"
    with store.read() as view:
        tables = ("api_keys", "payloads", "log")
        rows = [row for name in tables for row in view.connection.execute(text(f"select * from {name}"))]
    kept = " ".join(map(str, rows))
    assert key.split("_", 2)[2] not in kept
    for wrong in (key[:-1] + ("A" if key[-1] != "A" else "B"), key + "x", "", "fl__", key.replace("fl_", "xx_"), "é"):
        assert store.find_key(wrong) is None
    with store.transaction() as tx:
        tx.revoke_key(found.key_id)
        tx.revoke_key(found.key_id)
    assert store.find_key(key) is None
    assert store.has_keys(), "revoking keys must not open the service to all"
    with store.read() as view:
        assert [(one.role, one.revoked_at is None) for one in view.api_keys()] == [("manager", False), ("admin", True)]


def test_keys_need_a_known_role_and_a_subject(store):
    for role, subject in (("boss", "x"), ("admin", "")):
        with pytest.raises(RequestError), store.transaction() as tx:
            tx.add_key(role, subject)
    with pytest.raises(RequestError, match="no key"), store.transaction() as tx:
        tx.revoke_key("0" * 12)
    assert not store.has_keys()


def test_settings_are_kept_logged_and_taken_away(store):
    with store.transaction() as tx:
        assert tx.setting("rule_mode:T1") is None
        tx.set_setting("rule_mode:T1", True, by="ann")
        tx.set_setting("rule_mode:T1", {"on": False}, by="bob")
        tx.set_setting("other", 1, by="bob")
        assert tx.setting("rule_mode:T1") == {"on": False}
        assert tx.settings("rule_mode") == {"rule_mode:T1": {"on": False}}
        tx.set_setting("other", None, by="bob")
        assert tx.setting("other") is None
        assert [entry.body["by"] for entry in tx.log_after(kinds=("setting",))] == ["ann", "bob", "bob", "bob"]


def test_a_path_that_cannot_hold_a_database_is_said_plainly(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailableError, match="folder"):
        Store(tmp_path / "file" / "fairlead.db")
    (tmp_path / "noise.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match=r"cannot be used|refused"):
        Store(tmp_path / "noise.db")


def test_an_unreachable_server_is_unavailable_not_a_crash():
    with pytest.raises(StoreUnavailableError):
        Store.open("postgresql://nobody@127.0.0.1:1/nowhere")
