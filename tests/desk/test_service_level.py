"""Leads not contacted in time: who is late, what moving brings, and moves by the machine only where it is allowed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from features import moments
from features.moments import DAY, HOUR
from serving import service_level
from serving.cli import app
from serving.desk import RoutingDesk
from serving.overdue_words import overdue_text
from serving.pages.site import create_site

MONDAY, TUESDAY, FRIDAY = "2026-03-02", "2026-03-03", "2026-03-06"
MOVES = "[routing]\ncontact_hours = 24\nmove_uncontacted_hours = 48\nexploration = 0.0\n"
REPS = [{"rep_id": f"R{k}", "weekly_capacity": 3, "name": f"Rep {k}", "manager_id": "M1"} for k in (1, 2, 3)]


def called(made, lead_id, rep_id, when, number=[0]):  # noqa: B006  # a counter of ids
    number[0] += 1
    made.send(
        "activities",
        {"activity_id": f"A{number[0]}", "lead_id": lead_id, "rep_id": rep_id, "occurred_at": when.replace(" ", "T"),
         "kind": "call"},
    )  # fmt: skip


def clock_at(made, when):
    """The service's clock; a replayed decision's clock is let go."""
    made.clock = moments.parse(when.replace(" ", "T"))
    made.core._replay_clock = None


@pytest.fixture
def worth(monkeypatch):
    """worth(made, R1=..., ...): what every lead is worth with each rep; prices={}: of places, by rep."""

    def say(made, prices=None, **values):
        ids = made.core.state().board.rep_ids
        expected = np.array([values[rep] for rep in ids], dtype=float)
        price = np.array([(prices or {}).get(rep, 0.0) for rep in ids])
        monkeypatch.setattr(service_level, "worth_now", lambda *_: (expected / 1_000, expected.copy()))
        monkeypatch.setattr(RoutingDesk, "prices_now", lambda *_: price)

    return say


def test_a_lead_is_late_after_the_hours_and_no_longer_once_called_closed_or_moved(desk):
    made = desk(REPS, toml="[routing]\ncontact_hours = 24\n")
    for name in ("L1", "L2", "L3", "L4"):
        made.assign(name, f"{MONDAY} 09:00")
    assert made.core.overdue()["activities_known"] is False
    called(made, "L1", made.owner("L1"), f"{MONDAY} 12:00")
    clock_at(made, f"{TUESDAY} 08:59")
    called(made, "H0", "R1", f"{TUESDAY} 08:59")
    assert made.core.overdue()["items"] == []
    clock_at(made, f"{TUESDAY} 09:30")
    called(made, "H0", "R1", f"{TUESDAY} 09:29")
    assert [one["lead_id"] for one in made.core.overdue()["items"]] == ["L2", "L3", "L4"]
    made.send("deals", {"deal_id": "D2", "lead_id": "L2", "rep_id": made.owner("L2"), "status": "lost", "amount": 0,
                        "closed_at": f"{TUESDAY}T09:00:00"})  # fmt: skip
    other = next(rep for rep in ("R1", "R2", "R3") if rep != made.owner("L3"))
    clock_at(made, f"{TUESDAY} 09:31")
    made.override("L3", other)
    found = made.core.overdue()["items"]
    assert [(one["lead_id"], one["rep_id"], one["hours"]) for one in found] == [("L4", made.owner("L4"), 24.5)]
    assert found[0]["best_rep_id"] not in (None, made.owner("L4"))
    assert found[0]["gain"] is None  # no model: nothing can be said of gain


def test_nobody_is_late_by_what_is_not_known_yet(desk):
    """The clock of the service runs on, the data do not: a call may have been made since."""
    made = desk(REPS, toml=MOVES)
    called(made, "H0", "R1", f"{MONDAY} 10:00")
    made.assign("L1", f"{MONDAY} 09:00")
    clock_at(made, f"{FRIDAY} 09:00")
    assert made.core.overdue()["items"] == []
    assert made.core.move_overdue() == []


def test_the_gain_is_the_difference_of_worth_less_the_price_of_the_place(desk, worth):
    made = desk(REPS, toml="[routing]\ncontact_hours = 24\n")
    made.assign("L1", f"{MONDAY} 09:00")
    owner = made.owner("L1")
    clock_at(made, f"{FRIDAY} 09:00")
    called(made, "H0", "R1", f"{FRIDAY} 08:59")
    values = {"R1": 500.0, "R2": 900.0, "R3": 700.0, owner: 100.0}
    best = max((rep for rep in values if rep != owner), key=values.__getitem__)
    worth(made, **values)
    (found,) = made.core.overdue()["items"]
    assert (found["best_rep_id"], found["expected_value"]) == (best, 100.0)
    assert found["gain"] == pytest.approx(values[best] - 100.0)
    price = {"R1": 50.0, "R2": 60.0, "R3": 70.0}
    worth(made, price, **values)
    (found,) = made.core.overdue()["items"]
    paid = price[best] - price[owner]  # his own place of this week becomes free
    assert found["gain"] == pytest.approx(values[best] - 100.0 - paid)


def late_and_better(desk, worth, toml=MOVES, capacity=3, **row):
    """A lead of R1 (made so by hand) that nobody called from Monday to Friday, worth more with R2."""
    made = desk([{**rep, "weekly_capacity": capacity} for rep in REPS], toml=toml)
    made.assign("L1", f"{MONDAY} 09:00", **row)
    clock_at(made, f"{FRIDAY} 09:00")
    called(made, "H0", "R1", f"{FRIDAY} 08:59")
    owner = made.owner("L1")
    others = [rep for rep in ("R1", "R2", "R3") if rep != owner]
    worth(made, **{owner: 100.0, others[0]: 900.0, others[1]: 50.0})
    return made, owner, others[0]


def test_the_machine_moves_once_says_why_and_takes_the_place(desk, worth):
    made, owner, best = late_and_better(desk, worth)
    assert made.core.move_overdue() == ["L1"]
    now = made.now("L1")
    assert (now["owner_rep_id"], now["rep_id"], now["overridden"]) == (best, owner, False)
    moved = now["history"][-1]
    assert (moved["kind"], moved["by"], moved["reason"]) == ("move", "fairlead", "not_contacted")
    assert moved["numbers"]["gain"] == pytest.approx(800.0)
    assert moved["numbers"]["propensity"] == 1.0
    assert made.places() == {("2026-W10", best): 1}
    feed = made.core.feed(0, 100, lang="en")["items"]
    assert [one["kind"] for one in feed] == ["decision", "move"]
    # Days later, still uncalled, and now worth more with the first rep again: it is listed, and stays.
    clock_at(made, "2026-03-12 09:00")
    called(made, "H0", "R1", "2026-03-12 08:59")
    worth(made, **{best: 1.0, owner: 900.0, next(r for r in ("R1", "R2", "R3") if r not in (owner, best)): 1.0})
    assert made.core.overdue()["items"][0]["gain"] > 0
    assert made.core.move_overdue() == []
    assert made.owner("L1") == best
    with made.core.store.read() as view:
        assert view.verify().ok


def test_nothing_is_moved_unless_the_settings_say_so(desk, worth):
    made, owner, _ = late_and_better(desk, worth, toml="[routing]\ncontact_hours = 24\n")
    assert made.core.overdue()["items"][0]["gain"] == pytest.approx(800.0)
    assert made.core.move_overdue() == []
    assert made.owner("L1") == owner
    command = ["overdue", "--data", str(made.data), "--home", str(made.home)]
    refused = CliRunner().invoke(app, [*command, "--move"])
    assert refused.exit_code != 0
    assert "move_uncontacted_hours" in str(refused.exception)


def test_a_lead_that_a_person_gave_stays_with_whom_he_gave_it(desk, worth):
    made, owner, best = late_and_better(desk, worth)
    other = next(rep for rep in ("R1", "R2", "R3") if rep not in (owner, best))
    clock_at(made, f"{MONDAY} 10:00")
    made.override("L1", other)
    clock_at(made, f"{FRIDAY} 09:00")
    assert made.core.overdue()["items"][0]["rep_id"] == other
    assert made.core.move_overdue() == []


def test_own_prospects_are_never_late_and_nobody_is_moved_to_who_is_full(desk, worth):
    made, _, _ = late_and_better(desk, worth, sourced_by_rep_id="R1")
    assert made.core.overdue()["items"] == []
    full, owner, _ = late_and_better(desk, worth, capacity=1)
    for k in range(2):
        full.assign(f"X{k}", f"{FRIDAY} 08:00")
    clock_at(full, f"{FRIDAY} 09:00")
    found = [one for one in full.core.overdue()["items"] if one["lead_id"] == "L1"]
    assert [(one["best_rep_id"], one["gain"]) for one in found] == [(None, None)]
    assert full.core.move_overdue() == []
    assert full.owner("L1") == owner


def test_pages_tell_managers_who_is_late_and_reps_what_went_and_came(desk, worth):
    made, owner, best = late_and_better(desk, worth)
    site = create_site(made.core)
    with TestClient(site, base_url="http://127.0.0.1", client=("127.0.0.1", 5)) as client:
        html = {"accept": "text/html"}
        found = client.get("/v1/overdue").json()
        assert (found["contact_hours"], found["move_uncontacted_hours"], len(found["items"])) == (24.0, 48.0, 1)
        for lang, words in (("en", "Please call these first"), ("zh", "请优先联系")):
            assert words in client.get(f"/reps/{owner}?lang={lang}", headers=html).text
        made.core.move_overdue()
        for lang, gone, came in (
            ("en", f"went from you to Rep {best[1]}", f"came to you from Rep {owner[1]}"),
            ("zh", f"由您转给 Rep {best[1]}", f"由 Rep {owner[1]} 转给您"),
        ):
            assert gone in client.get(f"/reps/{owner}?lang={lang}", headers=html).text
            assert came in client.get(f"/reps/{best}?lang={lang}", headers=html).text
        for lang, words in (("en", "The machine moved it to"), ("zh", "系统自动改派给")):
            assert words in client.get(f"/decisions/L1?lang={lang}", headers=html).text


def test_the_list_says_whom_to_give_each_lead_and_what_it_brings(desk, worth):
    made, _, best = late_and_better(desk, worth)
    for lang, words in (
        ("en", "not contacted within 24 hours of being given: 1."),
        ("zh", "有 1 条线索在分配后 24 小时内"),
    ):
        text = overdue_text(made.core, made.core.overdue(), None, lang)
        assert words in text
        assert f"Rep {best[1]}" in text
        assert "800" in text
    with TestClient(create_site(made.core), base_url="http://127.0.0.1", client=("127.0.0.1", 5)) as client:
        for lang in ("en", "zh"):
            page = client.get(f"/?lang={lang}", headers={"accept": "text/html"}).text
            assert f"Rep {best[1]}" in page.split('id="overdue"')[1]
            assert "800" in page.split('id="overdue"')[1]


def test_the_command_lists_and_prints_json(desk):
    made = desk(REPS, toml="[routing]\ncontact_hours = 24\n")
    made.assign("L1", f"{MONDAY} 09:00")
    clock_at(made, f"{FRIDAY} 09:00")
    called(made, "H0", "R1", f"{FRIDAY} 08:59")
    command = ["overdue", "--data", str(made.data), "--home", str(made.home)]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0
    assert "not contacted within 24 hours of being given: 1." in shown.stdout
    told = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert [one["lead_id"] for one in told["items"]] == ["L1"]
    assert told["items"][0]["hours"] == pytest.approx((4 * DAY - HOUR / 60) / HOUR, abs=0.1)
