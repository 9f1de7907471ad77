"""A world that follows another after an event equals one built anew, to the bit, whatever comes in whatever order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.kept import Kept
from features.moments import DAY, HOUR
from features.rows import upsert
from features.world import build

TABLES = ("activities", "deals", "assignments", "leads", "feedback", "trainings", "absences", "reps")
steps = st.lists(
    st.tuples(
        st.sampled_from(("activities", "activities", "activities", *TABLES)),
        st.sampled_from(("new", "new", "again", "changed")),
        st.integers(1, 12),
        st.sampled_from((0, HOUR, DAY, 200 * DAY)),
    ),
    min_size=2,
    max_size=9,
)


def split(tables, rng):
    """Tables with some rows of each, and the rest, which comes later in any order."""
    base, rest = {}, {}
    for name in TABLES:
        frame = tables[name]
        early = rng.random(len(frame)) < 0.7
        base[name] = frame.loc[early].reset_index(drop=True)
        rest[name] = frame.loc[~early].sample(frac=1.0, random_state=int(rng.integers(1 << 30)))
    return tables.with_frames(**base), rest


def rows_for(kind, name, tables, rest, n, rng, now):
    """Rows that come next: new ones, ones known already, or known ones that now say something else."""
    if kind == "new" and len(rest[name]):
        rows, rest[name] = rest[name].iloc[:n], rest[name].iloc[n:]
        return rows
    frame = tables[name]
    rows = frame.iloc[np.sort(rng.permutation(len(frame))[:n])].copy()
    if kind == "changed" and name in ("activities", "deals", "feedback"):
        other = frame.iloc[rng.permutation(len(frame))[: len(rows)]]
        rows["rep_id"] = other["rep_id"].to_numpy(dtype=object)
        if name != "feedback":
            rows["lead_id"] = other["lead_id"].to_numpy(dtype=object)
        rows["known_at"] = now
    return rows


def told(world, leads, rep_ids, moments):
    """Every feature of some reps, leads and pairs, one frame."""
    n = len(leads)
    return [
        world.rep_features(rep_ids, moments), world.rep_categories(rep_ids, moments),
        world.lead_features(leads, moments[:n]), world.pair_features(leads, rep_ids[:n], moments[:n]),
    ]  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), steps)
def test_a_world_that_follows_equals_one_built_anew(maker, spec, seed, steps):
    rng = np.random.default_rng(seed)
    whole = maker(seed % 7)
    tables, rest = split(whole, rng)
    # From the middle much is hidden and shows up later; from the end whatever comes changes the past.
    as_of = int(np.median(whole.activities["known_at"])) if seed % 2 else whole.newest() + 60 * DAY
    world = build(tables, as_of, spec)
    rep_ids = np.resize(np.array([*whole.reps["rep_id"], "unknown"], dtype=object), 40)
    leads = whole.leads.sample(40, random_state=seed % 1000, replace=True).reset_index(drop=True)
    for name, kind, n, later in steps:
        as_of += later
        tables = upsert(tables, name, rows_for(kind, name, tables, rest, n, rng, as_of - 1))
        followed = build(tables, as_of, spec, before=world)
        anew = build(tables, as_of, spec)
        moments = as_of - rng.integers(0, 30, 40) * 20 * DAY
        for mine, theirs in zip(
            told(followed, leads, rep_ids, moments), told(anew, leads, rep_ids, moments), strict=True
        ):
            pd.testing.assert_frame_equal(mine, theirs, check_exact=True)
        world = followed


def test_a_call_costs_no_more_than_the_lead_it_is_about(maker, spec):
    """The case above is not trivial: after a call, logs that it cannot have changed are those of before."""
    tables = maker(3)
    as_of = tables.newest() + DAY
    late = np.where(np.arange(len(tables.deals)) == 0, as_of + 30 * DAY, tables.deals["known_at"])
    tables = tables.with_frames(deals=tables.deals.assign(known_at=late))  # a deal stays hidden throughout
    before = build(tables, as_of, spec)
    last = tables.activities.sort_values("occurred_at").tail(1)  # of a lead that is not dead
    call = last.assign(activity_id="new", occurred_at=as_of + HOUR, known_at=as_of + HOUR)
    world = build(upsert(tables, "activities", call), as_of + 2 * HOUR, spec, before=before)
    kept = [
        name
        for name in ("outcomes", "leads", "deals", "statics")
        if getattr(world.logs, name) is getattr(before.logs, name)
    ]
    assert kept == ["outcomes", "leads", "deals", "statics"]
    assert world.desk is before.desk
    log = world.logs.activities.follow_ups
    assert len(log.segments) == 2
    assert len(log) == len(before.logs.activities.follow_ups) + 1


def test_parts_are_taken_over_only_where_all_they_are_made_from_is_the_same_object():
    one, other = object(), object()
    first = Kept()
    made = first.part("x", (one, 1), object)
    second = Kept(first)
    assert second.part("x", (one, 1), object) is made
    for made_from in ((other, 1), (one, 2), (one,)):
        assert Kept(first).part("x", made_from, object) is not made
    assert Kept(first).same("x", 3, lambda a, b: a is made and b == 3) is made
    with pytest.raises(AssertionError):
        assert Kept().part("x", (one, 1), object) is made
