"""Counts, sums and last values of events before any moment, by binary search over running sums.

An event log holds events sorted by (key, moment) beside the running sums of their values. What happened to a key in
a window is then the difference of two running sums, found by two binary searches: the same code answers one live
question and a training panel. Values are int64 (money in cents, other quantities in thousandths), so totals are
exact in whatever order events came.

A quantity that *holds for a while* (a lead is open, a win counts for a year) is two events: its value at the start
and its negative at the end. What holds at a moment is then the sum of all that came before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from features.compiled import compiled
from features.moments import ALWAYS, DAY, NEVER

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FIXED_POINT: Final = 1_000
_MERGE_RATIO: Final = 2


@compiled
def _positions(unique: Ints, offsets: Ints, times: Ints, keys: Ints, ends: Ints) -> Ints:  # pragma: no cover
    """First position of each key's events that is not earlier than its moment; -1 where the key has none."""
    found = np.empty(len(keys), np.int64)
    for i in range(len(keys)):
        low, high = 0, len(unique)
        while low < high:
            middle = (low + high) // 2
            if unique[middle] < keys[i]:
                low = middle + 1
            else:
                high = middle
        if low == len(unique) or unique[low] != keys[i]:
            found[i] = -1
            continue
        start, stop = offsets[low], offsets[low + 1]
        while start < stop:
            middle = (start + stop) // 2
            if times[middle] < ends[i]:
                start = middle + 1
            else:
                stop = middle
        found[i] = start
    return found


@compiled
def _starts(unique: Ints, offsets: Ints, keys: Ints) -> Ints:  # pragma: no cover
    """Position of each key's first event; -1 where the key has none."""
    found = np.empty(len(keys), np.int64)
    for i in range(len(keys)):
        low, high = 0, len(unique)
        while low < high:
            middle = (low + high) // 2
            if unique[middle] < keys[i]:
                low = middle + 1
            else:
                high = middle
        known = low < len(unique) and unique[low] == keys[i]
        found[i] = offsets[low] if known else -1
    return found


@dataclass(frozen=True)
class Segment:
    """Events sorted by (key, moment, values): `unique` keys, their `offsets` into `times`, running `sums`."""

    unique: Ints
    offsets: Ints
    times: Ints
    sums: Mapping[str, Ints]

    def __len__(self) -> int:
        return len(self.times)

    def keys(self) -> Ints:
        """Key of each event, shape (n,)."""
        return np.repeat(self.unique, np.diff(self.offsets))

    def values(self, name: str) -> Ints:
        """Value of each event, shape (n,)."""
        return np.diff(self.sums[name])


def _segment(keys: Ints, times: Ints, values: Mapping[str, Ints]) -> Segment:
    """A sorted segment. Ties are ordered by value, so that the order of rows never shows."""
    order = np.lexsort((*(values[name] for name in sorted(values, reverse=True)), times, keys))
    unique, first = np.unique(keys[order], return_index=True)
    offsets = np.append(first, len(keys)).astype(np.int64)
    sums = {name: np.concatenate(([0], np.cumsum(column[order]))).astype(np.int64) for name, column in values.items()}
    return Segment(unique, offsets, times[order], sums)


@dataclass(frozen=True)
class Window:
    """Events of each asked (key, window), as positions in each segment. `rows` holds pairs of int64 (n,) arrays."""

    segments: tuple[Segment, ...]
    rows: tuple[tuple[Ints, Ints], ...]
    n: int

    def count(self) -> Ints:
        """Number of events, int64 (n,)."""
        counted = np.zeros(self.n, dtype=np.int64)
        for low, high in self.rows:
            counted += high - low
        return counted

    def total(self, name: str) -> Ints:
        """Sum of the values called `name`, int64 (n,), exact."""
        summed = np.zeros(self.n, dtype=np.int64)
        for segment, (low, high) in zip(self.segments, self.rows, strict=True):
            sums = segment.sums[name]
            summed += sums[high] - sums[low]
        return summed


@dataclass(frozen=True)
class EventLog:
    """Events by key in a few sorted segments, the newest last. Immutable: `append` gives another log."""

    segments: tuple[Segment, ...]

    @classmethod
    def build(cls, keys: Ints, times: Ints, values: Mapping[str, Ints] | None = None) -> EventLog:
        """A log of events given in any order: int64 arrays of one length. Negative keys and NEVER are dropped.

        `values` are integers; round quantities with `fixed_point` first.
        """
        keys, times = np.asarray(keys, dtype=np.int64), np.asarray(times, dtype=np.int64)
        kept = (keys >= 0) & (times != NEVER)
        columns = {name: np.asarray(column, dtype=np.int64)[kept] for name, column in (values or {}).items()}
        return cls((_segment(keys[kept], times[kept], columns),))

    @classmethod
    def of_spans(cls, keys: Ints, since: Ints, until: Ints, values: Mapping[str, Ints]) -> EventLog:
        """A log of values that hold for moments m with since < m <= until; read them with `held`.

        Spans that end before they start are dropped; `until` may be NEVER.
        """
        real = np.flatnonzero(since < until)
        both = np.concatenate((real, real))
        times = np.concatenate((since[real], until[real]))
        sign = np.repeat(np.array([1, -1], dtype=np.int64), len(real))
        return cls.build(keys[both], times, {name: sign * column[both] for name, column in values.items()})

    def __len__(self) -> int:
        return sum(len(segment) for segment in self.segments)

    def append(self, keys: Ints, times: Ints, values: Mapping[str, Ints] | None = None) -> EventLog:
        """A log with these events added. Segments are merged when a newer one nears the size of an older.

        So each event is sorted anew only about log2(n) times, and answers equal those of a log built at once.
        """
        tail = EventLog.build(keys, times, values).segments[0]
        if not len(tail):
            return self
        segments = [*self.segments, tail]
        while len(segments) > 1 and len(segments[-1]) * _MERGE_RATIO >= len(segments[-2]):
            newer, older = segments.pop(), segments.pop()
            segments.append(_merge(older, newer))
        return EventLog(tuple(segments))

    def before(self, keys: Ints, end: Ints) -> Window:
        """Events of each key earlier than `end`; `keys` and `end` int64 (n,)."""
        rows = []
        for segment in self.segments:
            high = _positions(segment.unique, segment.offsets, segment.times, keys, end)
            low = _starts(segment.unique, segment.offsets, keys)
            rows.append((np.maximum(low, 0), np.maximum(high, 0)))
        return Window(self.segments, tuple(rows), len(keys))

    def between(self, keys: Ints, start: Ints, end: Ints) -> Window:
        """Events of each key with start <= moment < end; int64 (n,) each."""
        rows = []
        for segment in self.segments:
            low = _positions(segment.unique, segment.offsets, segment.times, keys, start)
            high = _positions(segment.unique, segment.offsets, segment.times, keys, end)
            rows.append((np.maximum(low, 0), np.maximum(high, 0)))
        return Window(self.segments, tuple(rows), len(keys))

    def held(self, name: str, keys: Ints, moments: Ints) -> Ints:
        """Sum of the spans' values that hold at each moment, int64 (n,). For logs made by `of_spans`."""
        return self.before(keys, moments).total(name)

    def last_time(self, keys: Ints, before: Ints) -> Ints:
        """Moment of each key's last event earlier than `before`, int64 (n,); ALWAYS where there is none."""
        last = np.full(len(keys), ALWAYS, dtype=np.int64)
        window = self.before(keys, before)
        for segment, (low, high) in zip(window.segments, window.rows, strict=True):
            some = high > low
            last[some] = np.maximum(last[some], segment.times[high[some] - 1])
        return last

    def last_value(self, name: str, keys: Ints, before: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Value of each key's last event earlier than `before`, and whether there is one; of a tie the largest."""
        value = np.zeros(len(keys), dtype=np.int64)
        last = np.full(len(keys), ALWAYS, dtype=np.int64)
        found = np.zeros(len(keys), dtype=bool)
        window = self.before(keys, before)
        for segment, (low, high) in zip(window.segments, window.rows, strict=True):
            some = np.flatnonzero(high > low)
            time = segment.times[high[some] - 1]
            given = segment.sums[name][high[some]] - segment.sums[name][high[some] - 1]
            newer = (time > last[some]) | ((time == last[some]) & (~found[some] | (given > value[some])))
            taken = some[newer]
            last[taken], value[taken], found[taken] = time[newer], given[newer], True
        return value, found

    def days_since(self, keys: Ints, moments: Ints) -> Floats:
        """Days from each key's last event to the moment, float64 (n,); NaN where there is none."""
        last = self.last_time(keys, moments)
        some = last != ALWAYS
        days = np.full(len(keys), np.nan)
        days[some] = (moments[some] - last[some]) / DAY
        return days


def _merge(older: Segment, newer: Segment) -> Segment:
    """One sorted segment of both."""
    names = older.sums if len(older) else newer.sums
    return _segment(
        np.concatenate((older.keys(), newer.keys())),
        np.concatenate((older.times, newer.times)),
        {name: np.concatenate((older.values(name), newer.values(name))) for name in names},
    )


def fixed_point(values: Floats) -> Ints:
    """Quantities as int64 thousandths, NaN as 0: integers add up to the same bits in any order."""
    return np.rint(np.nan_to_num(np.asarray(values, dtype=np.float64)) * FIXED_POINT).astype(np.int64)
