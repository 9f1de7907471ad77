"""All policies on one stream: rules kept, hindsight never beaten, ours close to it, dropping worse than the habit."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import RequestError
from features.moments import WEEK
from models.routing.baselines import FixedPrices, Greedy, Habit, LeastBusy, QuotaQueues, RoundRobin, TieredByTenure
from models.routing.naive_bayes import fit_naive_bayes
from models.routing.replay import Stream, attained, hindsight, replay, total_value
from models.routing.repriced import Repriced
from models.routing.settings import PolicySettings


def make_stream(load, seed=0, n_reps=8, weeks=7):
    """Leads with known values: lead quality x rep ability + match, two territories, some reps in one only."""
    rng = np.random.default_rng(seed)
    places = rng.integers(2, 6, n_reps)
    counts = rng.poisson(places.sum() * load, weeks)
    week = np.repeat(np.arange(weeks), counts)
    fraction = rng.choice(5, week.size) / 7 + rng.uniform(0.05, 0.1, week.size)
    order = np.lexsort((fraction, week))
    week, fraction = week[order], fraction[order]
    at = (week * WEEK + fraction * WEEK).astype(np.int64)
    values = rng.gamma(1.5, 1.0, week.size)[:, None] * np.exp(rng.normal(0, 0.4, (1, n_reps)))
    values = values * np.exp(rng.normal(0, 0.5, (4, n_reps)))[rng.integers(0, 4, week.size)]
    region, territory = rng.integers(0, 3, n_reps), rng.integers(1, 3, week.size)
    eligible = (region == 0)[None, :] | (territory[:, None] == region[None, :])
    stream = Stream(at, week, fraction, eligible, np.arange(weeks), np.tile(places, (weeks, 1)))
    return stream, values


def rivals(stream, values):
    n = stream.n_reps
    return [
        RoundRobin(stream),
        LeastBusy(stream),
        TieredByTenure(stream, np.arange(n) / 2, values.mean(axis=1)),
        QuotaQueues(stream, values.mean(axis=1)),
        Greedy(stream, values),
        FixedPrices(stream, values),
        FixedPrices(stream, values, below="hold", name="fixed_hold"),
        FixedPrices(stream, values, below="drop", name="fixed_drop"),
        Repriced(stream, values, np.random.default_rng(1), every=2, n_scenarios=6),
    ]


@pytest.mark.parametrize("load", [0.8, 1.6])
def test_no_policy_breaks_a_rule_or_beats_hindsight(load):
    stream, values = make_stream(load)
    start = int(np.searchsorted(stream.week, 2))
    best = hindsight(stream, values, start=start)
    top = total_value(best.choice, values, start=start)
    found = {policy.name: replay(stream, policy, start=start) for policy in rivals(stream, values)}
    for name, run in {**found, "hindsight": best}.items():
        rows = np.flatnonzero(run.choice >= 0)
        assert stream.eligible[rows, run.choice[rows]].all(), name
        for week in stream.weeks:
            mine = rows[stream.week[rows] == week]
            assert (np.bincount(run.choice[mine], minlength=stream.n_reps) <= stream.capacity[week]).all(), name
        assert run.refused == 0, name
        assert (run.choice[:start] == -1).all()
        assert (run.placed_at >= stream.arrived_at).all()
        assert total_value(run.choice, values, start=start) <= top * 1.001, name
    turns = total_value(found["round_robin"].choice, values, start=start)
    shares = {k: attained(total_value(r.choice, values, start=start), turns, top) for k, r in found.items()}
    assert shares["repriced"] > 0.75
    assert shares["repriced"] > max(shares["greedy"], shares["fixed_prices"]) + 0.03


def test_where_reps_are_alike_the_best_leads_get_the_places():
    """Nothing is to be won by who, much by which: under overload the least valuable leads wait, else nobody does."""
    fair = PolicySettings(mode="lead_only", exploration=0.0)
    gain = {}
    for load in (0.6, 1.6):
        stream, values = make_stream(load)
        alike = np.repeat(values.mean(axis=1)[:, None], stream.n_reps, axis=1)
        start = int(np.searchsorted(stream.week, 2))
        runs = [
            replay(stream, policy, start=start)
            for policy in (Repriced(stream, alike, np.random.default_rng(1), fair, every=2), LeastBusy(stream))
        ]
        ours, busy = (total_value(run.choice, alike, start=start) for run in runs)
        assert runs[0].refused == 0
        gain[load] = ours / busy
    assert gain[0.6] > 0.99
    assert gain[1.6] > 1.15


def test_held_leads_fill_the_week_and_are_never_dropped():
    """Under overload every place that some unplaced lead could have taken is taken."""
    stream, values = make_stream(1.6)
    run = replay(stream, Repriced(stream, values, np.random.default_rng(1), every=2, n_scenarios=4), start=60)
    for week in stream.weeks[3:]:
        rows = np.flatnonzero(stream.week == week)
        used = np.bincount(run.choice[rows][run.choice[rows] >= 0], minlength=stream.n_reps)
        left = rows[run.choice[rows] < 0]
        assert not (stream.eligible[left] & (used < stream.capacity[week])).any()
    assert (run.placed_at > stream.arrived_at).any()


def test_a_week_carries_its_waiting_leads_on_where_asked():
    stream, values = make_stream(0.9)
    plain = replay(stream, Greedy(stream, values))
    quota = QuotaQueues(stream, values.mean(axis=1))
    carried = replay(stream, quota, carry=True)
    assert carried.held_share <= replay(stream, quota).held_share
    assert plain.refused == carried.refused == 0


def test_the_log_is_followed_and_its_overfull_hands_are_held():
    stream, _ = make_stream(1.0)
    run = replay(stream, Habit(stream, np.zeros(stream.n_leads, np.int64)))
    week = stream.week[run.choice == 0]
    assert np.bincount(week).max() == stream.capacity[0, 0]
    assert set(run.choice.tolist()) == {-1, 0}


def test_the_engine_refuses_what_a_policy_may_not_do():
    class Stubborn:
        name = "stubborn"

        def on_week(self, books):
            pass

        def on_lead(self, i, books):
            return [(i, 0)]

        def on_day_end(self, books):
            return []

    stream, _ = make_stream(1.0)
    run = replay(stream, Stubborn())
    assert run.refused == stream.n_leads - (run.choice == 0).sum() > 0
    assert stream.eligible[run.choice == 0, 0].all()
    assert np.bincount(stream.week[run.choice == 0]).max() == stream.capacity[0, 0]


def test_bounds_hold_over_a_replay():
    stream, values = make_stream(1.0)
    high = values.max(axis=1) >= np.quantile(values.max(axis=1), 0.8)
    newcomer = np.arange(stream.n_reps) == int(values.mean(axis=0).argmin())
    settings = PolicySettings(exploration=0.0, high_value_max=1, newcomer_min=2)
    policy = Repriced(
        stream, values, np.random.default_rng(1), settings, newcomer=newcomer, high=high, every=4, n_scenarios=3
    )
    run = replay(stream, policy, start=60)
    for week in stream.weeks[3:]:
        rows = np.flatnonzero((stream.week == week) & (run.choice >= 0))
        assert np.bincount(run.choice[rows][high[rows]], minlength=stream.n_reps).max() <= 1
        assert (run.choice[rows] == int(newcomer.argmax())).sum() >= 2


def test_naive_bayes_finds_the_telling_field_and_ignores_the_unseen():
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 3, (4_000, 2))
    won = rng.random(4_000) < np.array([0.1, 0.3, 0.6])[codes[:, 0]]
    score = fit_naive_bayes(codes, won)
    seen = score.predict(np.array([[0, 1], [1, 1], [2, 1]]))
    assert seen == pytest.approx([0.1, 0.3, 0.6], abs=0.05)
    assert score.predict(np.array([[-1, 99]]))[0] == pytest.approx(won.mean(), abs=0.01)


def test_a_stream_out_of_order_is_refused():
    stream, _ = make_stream(1.0)
    with pytest.raises(RequestError, match="order of arrival"):
        Stream(stream.arrived_at[::-1], stream.week, stream.week_fraction, stream.eligible, stream.weeks,
               stream.capacity)  # fmt: skip
