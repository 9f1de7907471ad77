"""The challenger looks at every decision afterwards: it never decides, delays or breaks one."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from features import moments
from features.moments import HOUR
from serving.comparison import compare


def new_leads(core, n, step=HOUR // 2):
    """(moment, row) of n leads like old ones, from the first Monday after the data end."""
    tables = core.session.tables
    first = moments.end_of_week(core.state().board.as_of, "UTC") + 9 * HOUR
    old = tables.leads.loc[(tables.leads["sourced_by_rep_id"] == "").to_numpy()].tail(n)
    names = ("source", "territory", "industry", "employees")
    return [
        (first + i * step, {"lead_id": f"N{i}", "created_at": moments.iso(first + i * step),
                            **{k: row[k] for k in names if row.get(k) and row[k] == row[k]}})
        for i, row in enumerate(old.to_dict("records"))
    ]  # fmt: skip


def decide(core, rows):
    return [json.loads(core.assign(row, decided_at=at, lang="en")[1]) for at, row in rows]


@pytest.fixture
def shadowed(core, unit, monkeypatch):
    """shadowed(toml, other): a core of the world whose challenger is `other`, the champion's twin unless given."""

    def make(toml="[routing]\nexploration = 0.0\n", other=None):
        made = core(toml)
        monkeypatch.setattr("serving.shadow.challenger", lambda _: "twin")
        made.shadow._named, made.shadow.unit = "twin", replace(other or unit, version="twin")
        made.shadow.step(patient=False)  # where the log stands is where it begins
        return made

    return make


def chosen(made):
    with made.store.read() as view:
        return {one.lead_id: one for one in view.shadow_choices("twin", 1_000)}


def test_a_twin_of_the_champion_makes_the_same_choices_through_a_week_of_overload(shadowed):
    """It must see the places as they were: the decision's own place and all later ones are taken out again."""
    made = shadowed()
    rows = new_leads(made, 60, step=HOUR)
    said = []
    for row in rows:
        said += decide(made, [row])
        made.shadow.step(patient=False)
    assert {one["status"] for one in said} == {"assigned", "held"}, "it must be a case of overload"
    assert len({one["rep_id"] for one in said}) > 4
    found = chosen(made)
    assert set(found) >= {one["lead_id"] for one in said}
    seen = compare(list(found.values()), None)
    assert seen.agreement.n == seen.agreement.n_agree >= 55
    assert seen.n_held_by_both == sum(one["status"] == "held" for one in said)
    assert seen.n_held_by_one == 0
    assert seen.worth.champion_by_champion == pytest.approx(seen.worth.challenger_by_challenger)
    by_lead = {one["lead_id"]: one for one in said}
    first = found[said[0]["lead_id"]]
    assert first.body["rep"]["p_champion"] == pytest.approx(by_lead[first.lead_id]["win_probability"], abs=1e-12)
    assert (made.shadow.failed, made.shadow.skipped) == (0, 0)


def test_looked_at_in_one_go_at_the_end_the_twin_agrees_all_the_same(shadowed):
    made = shadowed()
    decide(made, new_leads(made, 40, step=HOUR))
    for _ in range(3):
        made.shadow.step(patient=False)
    seen = compare(list(chosen(made).values()), None)
    assert seen.agreement.n_agree == seen.agreement.n >= 38


def test_another_model_differs_and_each_choice_is_valued_by_both(shadowed, unit):
    """A challenger that sees every lead's worth with the reps in reverse order."""
    made = shadowed("[routing]\nexploration = 0.0\ndefault_capacity = 40\n", other=unit)
    board = made.deciding().board
    board.__dict__["capacity"] = np.full(len(board.rep_ids), 40)  # room for all, so that values decide and not places
    decide(made, new_leads(made, 25))
    made.shadow._on_newest_state()
    desk = made.shadow._desk
    values_of = desk.values_of
    desk.values_of = lambda lead, at: replace(
        values_of(lead, at),
        expected=values_of(lead, at).expected[::-1],
        win_probability=np.full(len(board.rep_ids), 0.5),
    )
    for _ in range(2):
        made.shadow.step(patient=False)
    found = list(chosen(made).values())
    seen = compare(found, None)
    assert seen.n == 25
    assert seen.agreement.n - seen.agreement.n_agree > 5
    assert seen.worth.challenger_by_challenger > seen.worth.champion_by_challenger
    assert seen.worth.champion_by_champion > seen.worth.challenger_by_champion
    differing = [one for one in found if one.result == "differ" and one.would_rep_id]
    assert {one.rep_id for one in differing} != {one.would_rep_id for one in differing}
    assert all(one.body["rep"]["p_challenger"] == 0.5 for one in found)
    assert sum(seat.champion for seat in seen.reps) == sum(one.rep_id is not None for one in found)
    assert seen.sources
    assert sum(group.n for group in seen.sources) == seen.agreement.n


def test_a_challenger_that_fails_is_counted_and_the_decision_stands(shadowed, monkeypatch):
    made = shadowed()

    def broken(*_):
        raise ValueError("no such column")

    rows = new_leads(made, 3)
    plain = decide(made, rows[:1])[0]
    monkeypatch.setattr("serving.shadow.ShadowDesk.would_choose", broken)
    after = decide(made, rows[1:])
    assert [one["lead_id"] for one in [plain, *after]] == ["N0", "N1", "N2"]
    assert made.shadow._attempt(lambda: made.shadow.step(patient=False)) > 0
    assert made.shadow.failed == 3
    assert not chosen(made)
    monkeypatch.undo()


def test_an_owner_or_a_trial_on_purpose_is_written_down_but_not_compared(shadowed):
    made = shadowed("[routing]\nexploration = 1.0\n")
    decide(made, new_leads(made, 12))
    rep = made.deciding().board.rep_ids[0]
    at, row = new_leads(made, 1)[0]
    own = {**row, "lead_id": "OWN", "sourced_by_rep_id": rep}
    assert json.loads(made.assign(own, decided_at=at + HOUR, lang="en")[1])["policy"] == "owner"
    made.shadow.step(patient=False)
    results = {one.lead_id: (one.result, one.body["policy"]) for one in chosen(made).values()}
    assert results["OWN"] == ("not_compared", "owner")
    explored = [result for result, policy in results.values() if policy == "explore"]
    assert explored
    assert set(explored) == {"not_compared"}


def test_it_holds_back_while_decisions_are_coming_in(shadowed):
    made = shadowed()
    rows = new_leads(made, 2)
    decide(made, rows[:1])
    made.shadow.step()
    assert not chosen(made), "the log has just moved"
    decide(made, rows[1:])
    made.shadow.step()
    assert not chosen(made)
    made.shadow.step()
    assert set(chosen(made)) == {"N0", "N1"}


def test_a_batch_is_planned_jointly_by_the_challenger_too(shadowed):
    """Lead by lead a twin would give the best places to whoever comes first, and seem to differ from itself."""
    made = shadowed()
    rows = new_leads(made, 60, step=HOUR)
    said = []
    for first in (0, 30):
        at = rows[first][0]
        made.assign_batch([row for _, row in rows[first : first + 30]], decided_at=at, lang="en")
        for _ in range(3):
            made.shadow.step(patient=False)
    with made.store.read() as view:
        said = [view.decision(f"N{i}") for i in range(60)]
    assert {one.status for one in said} == {"assigned", "held"}, "it must be a case of overload"
    assert sum("joint" in one.record for one in said) > 40
    seen = compare(list(chosen(made).values()), None)
    assert seen.agreement.n == seen.agreement.n_agree >= 55
    assert made.shadow.failed == 0
