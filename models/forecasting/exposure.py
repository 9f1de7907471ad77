"""Effective working days between moments: the clock on which leads age, arrive and close.

Counting working days instead of calendar days is what carries holidays, short months and Spring Festival
through the whole forecast: a month of eight effective days yields what eight days yield.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from features import moments

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Exposure(Protocol):
    """Anything that counts effective working days."""

    def between(self, starts: Integers, ends: Integers, /) -> Floats:
        """Effective working days from each start to each end, shape as given, 0 where end <= start."""
        ...


@dataclass(frozen=True)
class DailyExposure:
    """Effective working days from one weight a local day; days outside the table count as plain Monday to Friday.

    `first_day` is days since 1970-01-01, `weights` (n_days,) the share of a working day that each day is worth.
    """

    first_day: int
    weights: Floats
    zone: str = "UTC"

    def between(self, starts: Integers, ends: Integers, /) -> Floats:
        """Effective working days from each start to each end, parts of a day by the clock."""
        begin, stop = np.broadcast_arrays(np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64))
        return np.maximum(self._until(stop) - self._until(begin), 0.0)

    def _until(self, when: Integers) -> Floats:
        flat = np.ascontiguousarray(when).ravel()
        days = moments.local_days(flat, self.zone)
        if not len(days):
            return np.zeros(np.shape(when))
        low, high = int(days.min()), int(days.max()) + 1
        weights = self._weights(np.arange(low, high + 1))
        before = np.concatenate(([0.0], np.cumsum(weights)))
        offset = np.zeros(len(days)) if self.zone == "UTC" else _zone_offset(flat, self.zone)
        part = (flat + offset - days * moments.DAY) / moments.DAY
        # A common origin keeps the difference of two separate calls exact.
        origin = float(self._plain_before(low))
        done = origin + before[days - low] + np.clip(part, 0.0, 1.0) * weights[days - low]
        return np.asarray(done, dtype=np.float64).reshape(np.shape(when))

    def _weights(self, days: Integers) -> Floats:
        plain = (np.mod(days + 3, 7) < 5).astype(np.float64)
        inside = (days >= self.first_day) & (days < self.first_day + len(self.weights))
        plain[inside] = self.weights[days[inside] - self.first_day]
        return plain

    def _plain_before(self, day: int) -> float:
        """Working days from 1970-01-01 (or the table's start, if earlier) to a day's start."""
        base = min(self.first_day, 0)
        if day <= base:
            return -float(self._weights(np.arange(day, base)).sum())
        return float(self._weights(np.arange(base, day)).sum())


def weekdays(zone: str = "UTC") -> DailyExposure:
    """Exposure of plain Monday to Friday weeks, without holidays."""
    return DailyExposure(0, np.empty(0), zone)


def _zone_offset(when: Integers, zone: str) -> Floats:
    """Microseconds that local time runs ahead of UTC at each moment."""
    unique_hours, inverse = np.unique(when // moments.HOUR, return_inverse=True)
    ahead = []
    for hour in unique_hours:
        shift = moments.to_datetime(int(hour) * moments.HOUR, zone).utcoffset()
        ahead.append(0.0 if shift is None else shift.total_seconds() * moments.SECOND)
    return np.asarray(ahead, dtype=np.float64)[inverse]


def months_ahead(as_of: int, n_months: int = 3, zone: str = "UTC") -> Integers:
    """Month indices (n_months,) from the month that holds `as_of` on."""
    return moments.month_of(as_of, zone) + np.arange(n_months, dtype=np.int64)


def month_slices(exposure: Exposure, as_of: int, months: Integers, zone: str = "UTC") -> Floats:
    """Effective working days left in each month after `as_of`, shape (n_months,); 0 for a month that is over."""
    starts = np.array([max(as_of, moments.month_start(int(m), zone)) for m in months], dtype=np.int64)
    ends = np.array([moments.month_start(int(m) + 1, zone) for m in months], dtype=np.int64)
    return exposure.between(starts, ends)


def months_exposure(exposure: Exposure, months: Integers, zone: str = "UTC") -> Floats:
    """Effective working days of each whole month, shape (n_months,)."""
    starts = np.array([moments.month_start(int(m), zone) for m in months], dtype=np.int64)
    ends = np.array([moments.month_start(int(m) + 1, zone) for m in months], dtype=np.int64)
    return exposure.between(starts, ends)
