"""What a moment does not know changes nothing, bit for bit; nor do the order of rows, the names, or the bucket."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.desk import Desk
from features.errors import RequestError
from features.moments import DAY, HOUR, NEVER, parse
from features.pairs import build_pairs
from features.panel import build_panel
from features.tables import Tables, empty_tables
from features.world import World, bucket, build

CUT = parse("2025-01-15T07:00:00")
SHUFFLED = ("reps", "leads", "assignments", "activities", "deals", "trainings", "feedback", "absences")


def answers(world: World, leads: pd.DataFrame, reps: np.ndarray, moments: np.ndarray) -> pd.DataFrame:
    """Every feature of the asked reps, leads and pairs."""
    parts = [
        world.rep_features(reps, moments),
        world.lead_features(leads, moments),
        world.pair_features(leads, reps, moments),
    ]
    return pd.concat(parts, axis=1)


def questions(tables: Tables, asked, seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    reps, moments = asked(tables, seed)
    rows = np.random.default_rng(seed).integers(0, len(tables.leads), len(reps))
    return tables.leads.iloc[rows].reset_index(drop=True), reps, np.minimum(moments, CUT)


def equal(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def another_future(tables: Tables, moment: int) -> Tables:
    """The same past; of what the moment does not know half is gone, and deals end otherwise."""
    rng = np.random.default_rng(0)
    frames = {}
    for name, frame in tables.frames.items():
        past = (frame["known_at"] < moment).to_numpy()
        kept = past | (rng.random(len(frame)) < 0.5) if name in ("deals", "activities", "feedback") else past | True
        frames[name] = frame.loc[kept].reset_index(drop=True)
    deals = frames["deals"]
    later = (deals["known_at"] >= moment).to_numpy()
    status = np.where(later, rng.choice(["won", "lost"], len(deals)), deals["status"].to_numpy(dtype=object))
    frames["deals"] = deals.assign(status=pd.Series(status, dtype="str"), amount=deals["amount"].where(~later, 77))
    return tables.with_frames(**frames)


@pytest.mark.parametrize("seed", range(4))
def test_hidden_equals_absent(maker, spec, asked, seed):
    """A world with all later rows, one built at the moment, one with other later rows: the same bits."""
    tables = maker(seed, late_share=0.4)
    leads, reps, moments = questions(tables, asked, seed)
    whole = answers(World(tables, spec, NEVER), leads, reps, moments)
    equal(whole, answers(build(tables, CUT, spec), leads, reps, moments))
    equal(whole, answers(World(another_future(tables, CUT), spec, NEVER), leads, reps, moments))
    # The case is not trivial: the same questions later have other answers.
    assert not whole.equals(answers(World(tables, spec, NEVER), leads, reps, moments + 90 * DAY))


@pytest.mark.parametrize("seed", range(3))
def test_each_moment_knows_only_its_own_past(maker, spec, asked, seed):
    """Moment by moment: the answer from the whole tables equals that of a world of the tables known then."""
    tables = maker(seed, n_leads=50, late_share=0.4)
    leads, reps, moments = questions(tables, asked, seed)
    world = World(tables, spec, NEVER)
    for i in range(12):
        row, rep, moment = leads.iloc[[i]], reps[[i]], moments[[i]]
        equal(answers(world, row, rep, moment), answers(build(tables, int(moment[0]), spec), row, rep, moment))


@pytest.mark.parametrize("seed", range(3))
def test_order_of_rows_does_not_matter(maker, spec, asked, seed):
    tables = maker(seed)
    shuffled = tables.with_frames(
        **{name: tables[name].sample(frac=1, random_state=seed + 5).reset_index(drop=True) for name in SHUFFLED}
    )
    leads, reps, moments = questions(tables, asked, seed)
    equal(
        answers(build(tables, CUT, spec), leads, reps, moments),
        answers(build(shuffled, CUT, spec), leads, reps, moments),
    )
    equal(build_pairs(build(tables, CUT, spec)), build_pairs(build(shuffled, CUT, spec)))
    equal(build_panel(build(tables, CUT, spec)), build_panel(build(shuffled, CUT, spec)))


@pytest.mark.parametrize("seed", range(3))
def test_names_of_reps_do_not_matter(maker, spec, asked, seed):
    """Reps under other names, in another order of names, have the same features."""
    tables = maker(seed)
    ids = sorted(tables.reps["rep_id"])
    names = dict(zip(ids, [f"z{9 - i}" for i in range(len(ids))], strict=True))
    renamed = {}
    for table, frame in tables.frames.items():
        columns = [column for column in ("rep_id", "sourced_by_rep_id") if column in frame.columns]
        renamed[table] = frame.assign(**{c: frame[c].map(lambda x: names.get(x, x)).astype("str") for c in columns})
    other = tables.with_frames(**renamed)
    leads, reps, moments = questions(tables, asked, seed)
    theirs = leads.assign(sourced_by_rep_id=leads["sourced_by_rep_id"].map(lambda x: names.get(x, x)).astype("str"))
    equal(
        answers(build(tables, CUT, spec), leads, reps, moments),
        answers(build(other, CUT, spec), theirs, np.array([names[rep] for rep in reps], dtype=object), moments),
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_bucket_of_reps_is_all_that_its_features_need(maker, spec, asked, seed):
    """Features of some reps from their own rows and the desk's logs equal those from everything."""
    tables = maker(seed, n_reps=8)
    known = tables.known(CUT)
    own = ["r1", "r4", "r6"]
    part = bucket(known, own)
    assert 0 < len(part.activities) < len(known.activities)
    leads, reps, moments = questions(tables, asked, seed)
    mine = np.isin(reps.astype(str), own)
    leads, reps, moments = leads.loc[mine].reset_index(drop=True), reps[mine], moments[mine]
    desk = Desk(known, spec.dead_after_days)
    equal(
        answers(World(known, spec, CUT), leads, reps, moments),
        answers(World(part, spec, CUT, desk), leads, reps, moments),
    )


def test_an_event_is_not_seen_at_its_own_moment(tables, spec):
    """Every kind of event: nothing changes at its moment, something one microsecond after."""
    world = World(tables, spec, NEVER)
    for table, feature in (
        ("activities", "rep_follow_ups_per_week_7d"),
        ("assignments", "rep_new_leads_7d"),
        ("feedback", "rep_feedback_score_mean_180d"),
    ):
        changed = 0
        for row in tables[table].head(25).itertuples():
            moments = np.array([row.known_at - 1, row.known_at, row.known_at + 1])
            before, at, after = world.rep_features([row.rep_id] * 3, moments)[feature].fillna(-1)
            assert before == pytest.approx(at, abs=1e-3)
            changed += abs(after - at) > 1e-3
        assert changed > 15, table


def test_asking_later_than_the_data_is_an_error(tables, spec):
    with pytest.raises(RequestError, match="later than what is known"):
        build(tables, CUT, spec).rep_features(["r1"], CUT + 1)


def test_empty_tables_and_unknown_reps_have_answers(tables, spec):
    """Nothing known: counts 0, rates the even prior, no row of training; a stranger beside known reps likewise."""
    world = build(empty_tables(), CUT, spec)
    row = world.rep_features(["nobody"], CUT).iloc[0]
    assert (row["rep_open_leads"], row["rep_won_rate_365d"]) == (0, 0.5)
    assert np.isnan(row["rep_tenure_years"])
    assert build_pairs(world).empty
    assert build_panel(world).empty
    stranger = build(tables, CUT, spec).rep_features(["nobody", "r1"], CUT)
    assert stranger.loc[0, "rep_new_leads_90d"] == 0
    assert stranger.loc[1, "rep_resolved_leads_730d"] > 0


def test_one_rep_alone(maker, spec):
    world = build(maker(3, n_reps=1, n_leads=20), CUT, spec)
    assert len(build_pairs(world)) > 5
    assert set(build_panel(world)["rep_id"]) <= {"r0"}


def test_the_clock_moves_tenure_and_absence_only(tables, spec):
    """Old tables do not fade: a decision long after them finds the same habits and a longer tenure."""
    world = build(tables, CUT, spec)
    reps = tables.reps["rep_id"].to_numpy(dtype=object)
    then, later = world.rep_features(reps, CUT), world.rep_features(reps, CUT, clock=CUT + 365 * DAY + 6 * HOUR)
    moved = ["rep_tenure_years", "rep_absent_days_28d", "rep_absent_days_next_28d"]
    equal(then.drop(columns=moved), later.drop(columns=moved))
    assert (later["rep_tenure_years"] - then["rep_tenure_years"]).dropna().to_numpy() == pytest.approx(1.0)
