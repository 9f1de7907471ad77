"""What became of leads: small cases by hand, and the spans of the engine against the plain recomputation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.codes import rep_index
from features.contract import SCHEMA
from features.moments import ALWAYS, DAY, HOUR, NEVER, parse, parse_month
from features.outcomes import contributions, hand_overs, lead_outcomes
from features.ownership import DEAD, LOST, OPEN, WON, lead_spans
from features.tables import Tables, empty_frame, empty_tables

T0 = parse("2025-01-01")
NAMES = {OPEN: "open", DEAD: "dead", LOST: "lost", WON: "won"}


def small(**rows: list[dict[str, object]]) -> Tables:
    """Tables of a few rows; what is not given is missing, and a row is known at its own time."""
    frames = dict(empty_tables().frames)
    for name, given in rows.items():
        schema, frame = SCHEMA[name], empty_frame(SCHEMA[name])
        for column in frame.columns:
            kind = str(frame[column].dtype)
            default = {"int64": NEVER, "float64": np.nan}.get(kind, "")
            frame[column] = pd.Series([row.get(column, default) for row in given], dtype=kind)
        late = [row.get("known_at", row.get(schema.time or "", ALWAYS)) for row in given]
        frames[name] = frame.assign(known_at=pd.Series(late, dtype="int64"))
    return Tables(frames)


def lead(**more: object) -> dict[str, object]:
    return {"lead_id": "l", "created_at": T0, "source": "event", **more}


def over(rep: str, days: float, **more: object) -> dict[str, object]:
    return {"lead_id": "l", "rep_id": rep, "assigned_at": T0 + int(days * DAY), **more}


def call(days: float, **more: object) -> dict[str, object]:
    return {"activity_id": f"x{days}", "lead_id": "l", "rep_id": "a", "occurred_at": T0 + int(days * DAY), **more}


def deal(days: float, status: str, amount: int = 500, **more: object) -> dict[str, object]:
    closed = T0 + int(days * DAY)
    row = {"deal_id": f"d{days}{status}", "lead_id": "l", "rep_id": "a", "closed_at": closed, "status": status}
    return {**row, "amount": amount, **more}


def outcome(tables: Tables, days: float) -> dict[str, object]:
    return lead_outcomes(tables, T0 + int(days * DAY), 180).iloc[0].to_dict()


def test_first_deal_closes_a_lead_and_later_ones_only_count_as_contribution():
    tables = small(leads=[lead()], assignments=[over("a", 1)], deals=[deal(20, "won", 70_000), deal(10, "lost", 0)])
    assert outcome(tables, 30)["outcome"] == "lost"
    assert np.isnan(outcome(tables, 30)["amount"])
    done = contributions(tables, T0 + 30 * DAY)
    assert done.to_dict("records") == [{"rep_id": "a", "month": parse_month("2025-01"), "amount": 700.0, "n_won": 1}]


def test_a_close_is_not_known_at_its_own_moment():
    tables = small(leads=[lead()], assignments=[over("a", 1)], deals=[deal(10, "won")])
    assert outcome(tables, 10)["outcome"] == "open"
    assert outcome(tables, 10 + 1e-9)["outcome"] == "won"
    assert outcome(tables, 11)["amount"] == 5.0


def test_silence_kills_from_the_later_of_hand_over_and_last_activity():
    tables = small(leads=[lead()], assignments=[over("a", 1), over("b", 40)], activities=[call(30)])
    assert outcome(tables, 220)["outcome"] == "open"
    late = outcome(tables, 220.5)
    assert (late["outcome"], late["resolved_at"], late["rep_id"]) == ("dead", T0 + 220 * DAY, "b")


def test_the_last_owner_before_the_close_is_the_owner():
    tables = small(leads=[lead()], assignments=[over("a", 1), over("b", 5), over("c", 50)], deals=[deal(20, "won")])
    now = outcome(tables, 60)
    assert (now["rep_id"], now["assigned_at"], now["n_handovers"]) == ("b", T0 + 5 * DAY, 3)
    assert outcome(tables, 4)["rep_id"] == "a"


def test_an_own_prospect_is_his_from_the_start():
    tables = small(leads=[lead(sourced_by_rep_id="a")])
    now = outcome(tables, 2)
    assert (now["rep_id"], now["assigned_at"], now["own_prospect"]) == ("a", T0, True)
    assert not outcome(small(leads=[lead()], assignments=[over("a", 0)]), 2)["own_prospect"]


def test_first_contact_is_not_before_the_first_hand_over():
    tables = small(leads=[lead()], assignments=[over("a", 1), over("b", 9)], activities=[call(0.5), call(3), call(7)])
    now = outcome(tables, 10)
    assert (now["first_contact_at"], now["last_activity_at"]) == (T0 + 3 * DAY, T0 + 7 * DAY)
    assert outcome(tables, 3)["first_contact_at"] == NEVER


def test_a_late_logged_close_counts_from_when_it_is_known():
    tables = small(leads=[lead()], assignments=[over("a", 1)], deals=[deal(10, "won", known_at=T0 + 50 * DAY)])
    assert outcome(tables, 50)["outcome"] == "open"
    now = outcome(tables, 51)
    assert (now["outcome"], now["resolved_at"]) == ("won", T0 + 10 * DAY)


def test_nothing_comes_of_nothing():
    assert lead_outcomes(empty_tables(), T0, 180).empty
    assert contributions(empty_tables(), T0).empty
    assert hand_overs(empty_tables()).empty


@pytest.mark.parametrize("seed", range(6))
def test_spans_say_at_every_moment_what_recomputing_says(maker, seed):
    """Owner and state of every lead from the event engine equal `lead_outcomes` of the tables known then."""
    tables = maker(seed, late_share=0.4)
    ids, reps = pd.Index(tables.leads["lead_id"].to_numpy(dtype=object)), rep_index(tables)
    spans = lead_spans(tables, ids, reps, 60)
    rng = np.random.default_rng(seed)
    events = np.concatenate([tables[name]["known_at"].to_numpy() for name in ("assignments", "activities", "deals")])
    seen = set()
    for moment in [*rng.choice(events, 12), *(rng.choice(events, 8) + HOUR // 2), *(rng.choice(events, 6) + 60 * DAY)]:
        held = spans.where((spans.since < moment) & (spans.until >= moment))
        ours = {
            (ids[lead_code], reps[rep], NAMES[int(state)], int(assigned))
            for lead_code, rep, state, assigned in zip(held.lead, held.rep, held.state, held.assigned_at, strict=True)
        }
        rows = lead_outcomes(tables, int(moment), 60)
        assert len(held.lead) == len(rows)
        assert ours == set(zip(rows["lead_id"], rows["rep_id"], rows["outcome"], rows["assigned_at"], strict=True))
        seen |= {state for _, _, state, _ in ours}
    assert seen == {"open", "dead", "lost", "won"}
