"""The kernel against brute force: every answer recounted event by event."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.event_log import EventLog, fixed_point
from features.moments import ALWAYS, DAY, NEVER

events = st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 12), st.integers(-5, 5)), max_size=40)


def arrays(rows: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return table[:, 0].copy(), table[:, 1].copy(), table[:, 2].copy()


def log_of(rows: list[tuple[int, int, int]]) -> EventLog:
    keys, times, values = arrays(rows)
    return EventLog.build(keys, times, {"v": values})


KEYS, STARTS, ENDS = (grid.ravel() for grid in np.meshgrid(np.arange(-1, 5), np.arange(0, 14, 3), np.arange(0, 15)))


@settings(max_examples=60, deadline=None)
@given(events)
def test_windows_equal_brute_force(rows):
    """Counts and sums hold what start <= moment < end holds; keys nobody knows have nothing."""
    window = log_of(rows).between(KEYS, np.minimum(STARTS, ENDS), ENDS)
    for i, (key, start, end) in enumerate(zip(KEYS, np.minimum(STARTS, ENDS), ENDS, strict=True)):
        inside = [value for k, time, value in rows if k == key and key >= 0 and start <= time < end]
        assert window.count()[i] == len(inside)
        assert window.total("v")[i] == sum(inside)


@settings(max_examples=60, deadline=None)
@given(events, st.lists(events, max_size=5))
def test_appending_equals_rebuilding(first, tails):
    """However the tails came and were merged, every answer is that of a log built at once."""
    grown, rows = log_of(first), list(first)
    for tail in tails:
        keys, times, values = arrays(tail)
        grown, rows = grown.append(keys, times, {"v": values}), rows + tail
    whole = log_of(rows)
    assert len(grown) == len(whole)
    assert np.array_equal(grown.before(KEYS, ENDS).count(), whole.before(KEYS, ENDS).count())
    assert np.array_equal(grown.before(KEYS, ENDS).total("v"), whole.before(KEYS, ENDS).total("v"))
    assert np.array_equal(grown.last_time(KEYS, ENDS), whole.last_time(KEYS, ENDS))
    for ours, theirs in zip(grown.last_value("v", KEYS, ENDS), whole.last_value("v", KEYS, ENDS), strict=True):
        assert np.array_equal(ours, theirs)


@settings(max_examples=60, deadline=None)
@given(events)
def test_last_event_equals_brute_force(rows):
    """The last event is strictly earlier; of a tie the largest value counts, whatever the order of rows."""
    log = log_of(rows)
    last, (value, found) = log.last_time(KEYS, ENDS), log.last_value("v", KEYS, ENDS)
    for i, (key, end) in enumerate(zip(KEYS, ENDS, strict=True)):
        earlier = [(time, v) for k, time, v in rows if k == key and key >= 0 and time < end]
        assert found[i] == bool(earlier)
        assert last[i] == (max(earlier)[0] if earlier else ALWAYS)
        if earlier:
            assert value[i] == max(earlier)[1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(0, 12)), max_size=30))
def test_spans_hold_after_their_start_up_to_their_end(rows):
    """A span counts for moments m with since < m <= until."""
    keys, since, until = arrays(rows)
    log = EventLog.of_spans(keys, since, until, {"n": np.ones(len(rows), dtype=np.int64)})
    held = log.held("n", KEYS, ENDS)
    for i, (key, moment) in enumerate(zip(KEYS, ENDS, strict=True)):
        assert held[i] == sum(k == key and a < moment <= b for k, a, b in rows)


def test_segments_are_few_after_many_small_tails():
    """Merging keeps the number of segments logarithmic, else each answer would get slower with each event."""
    log = log_of([(0, 0, 1)])
    for i in range(300):
        log = log.append(np.array([i % 3]), np.array([i]), {"v": np.array([1])})
    assert len(log) == 301
    assert len(log.segments) <= 9
    assert log.before(np.array([0, 1, 2]), np.array([NEVER] * 3)).total("v").sum() == 301


def test_sums_are_exact_where_floats_are_not():
    """Ten times 0.1 is 1, in any order: quantities are thousandths."""
    values = fixed_point(np.array([0.1] * 10 + [1e9, np.nan]))
    log = EventLog.build(np.zeros(12, dtype=np.int64), np.arange(12), {"hours": values})
    assert log.before(np.array([0]), np.array([10])).total("hours")[0] == 1_000
    assert log.between(np.array([0]), np.array([10]), np.array([12])).total("hours")[0] == 10**12


def test_days_since_is_missing_without_an_event():
    log = EventLog.build(np.array([0]), np.array([DAY]))
    assert log.days_since(np.array([0, 0, 1]), np.array([DAY, 3 * DAY, 3 * DAY])) == pytest.approx(
        [np.nan, 2.0, np.nan], nan_ok=True
    )


def test_times_that_never_come_are_no_events():
    log = EventLog.build(np.array([0, 0]), np.array([5, NEVER]))
    assert len(log) == 1
