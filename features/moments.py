"""Moments, days, ISO weeks and months of one time zone, on int64 microseconds UTC.

Integers, so that every engine and every order of addition gives the same bits.
A missing time is `NEVER`, the largest moment: it is never earlier than anything, so it is never known.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

Moments = npt.NDArray[np.int64]

NEVER: Final = int(np.iinfo(np.int64).max)
ALWAYS: Final = int(np.iinfo(np.int64).min)
MICROSECOND: Final = 1
SECOND: Final = 1_000_000
HOUR: Final = 3_600 * SECOND
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse(text: str, zone: str = "UTC") -> int:
    """Moment of an ISO 8601 date (its 00:00) or timestamp; without an offset it is read in `zone`.

    Raises ValueError where `text` is not ISO 8601.
    """
    when = datetime.fromisoformat(text.strip())
    return from_datetime(when, zone)


def from_datetime(when: datetime, zone: str = "UTC") -> int:
    """Moment of `when`; a naive one is read in `zone`. Exact to the microsecond."""
    if when.tzinfo is None:
        when = when.replace(tzinfo=ZoneInfo(zone))
    return (when.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def to_datetime(moment: int, zone: str = "UTC") -> datetime:
    """Aware datetime of a moment in `zone`."""
    return (_EPOCH + timedelta(microseconds=int(moment))).astimezone(ZoneInfo(zone))


def iso(moment: int, zone: str = "UTC") -> str:
    """ISO 8601 text with the zone's offset, seconds unless there are microseconds."""
    return to_datetime(moment, zone).isoformat()


def day_of(moment: int, zone: str = "UTC") -> date:
    """Local date of a moment."""
    return to_datetime(moment, zone).date()


def start_of_day(day: date, zone: str = "UTC") -> int:
    """Moment of the date's 00:00 in `zone`."""
    return from_datetime(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)))


def start_of_week(moment: int, zone: str = "UTC") -> int:
    """Moment of Monday 00:00 of the ISO week that holds `moment`."""
    day = day_of(moment, zone)
    return start_of_day(day - timedelta(days=day.weekday()), zone)


def end_of_week(moment: int, zone: str = "UTC") -> int:
    """Moment of the next Monday 00:00 after `moment`."""
    day = day_of(moment, zone)
    return start_of_day(day + timedelta(days=7 - day.weekday()), zone)


def week_text(moment: int, zone: str = "UTC") -> str:
    """ISO week as `2026-W07`."""
    year, week, _ = day_of(moment, zone).isocalendar()
    return f"{year}-W{week:02d}"


def month_of(moment: int, zone: str = "UTC") -> int:
    """Month index: year * 12 + month - 1, so that months add and subtract as integers."""
    day = day_of(moment, zone)
    return day.year * 12 + day.month - 1


def month_text(month: int) -> str:
    """`YYYY-MM` of a month index."""
    return f"{month // 12:04d}-{month % 12 + 1:02d}"


def parse_month(text: str) -> int:
    """Month index of `YYYY-MM`; ValueError otherwise."""
    if len(text) != 7 or text[4] != "-" or not (text[:4] + text[5:]).isdigit():
        raise ValueError(f"{text!r} is not a month; write YYYY-MM")
    year, month = int(text[:4]), int(text[5:])
    if not 1 <= month <= 12 or year < 1:
        raise ValueError(f"{text!r} is not a month; write YYYY-MM")
    return year * 12 + month - 1


def month_start(month: int, zone: str = "UTC") -> int:
    """Moment of the month's first 00:00."""
    return start_of_day(date(month // 12, month % 12 + 1, 1), zone)


def local_days(moments: Moments, zone: str = "UTC") -> Moments:
    """Days since 1970-01-01 in local time, shape as given. NEVER and ALWAYS must not be passed."""
    if zone == "UTC":
        return np.floor_divide(moments, DAY)
    stamps = pd.to_datetime(np.asarray(moments, dtype=np.int64), unit="us", utc=True).tz_convert(zone)
    naive = stamps.tz_localize(None).as_unit("us").asi8
    return np.floor_divide(naive, DAY)


def months_of(moments: Moments, zone: str = "UTC") -> Moments:
    """Month index of each moment, shape as given. NEVER and ALWAYS must not be passed."""
    days = local_days(np.asarray(moments, dtype=np.int64), zone)
    since = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return np.asarray(since + 1970 * 12, dtype=np.int64)


def weeks_of(moments: Moments, zone: str = "UTC") -> Moments:
    """Number of each moment's ISO week, counted from the week of Monday 1969-12-29."""
    return np.floor_divide(local_days(np.asarray(moments, dtype=np.int64), zone) + 3, 7)
