"""Effective working days: how much work a stretch of calendar holds, festivals and weekends weighed.

A day's weight is 1 on an ordinary working day. Weekends and public holidays keep a small weight, a weekend that the
state declares working has a working day's, and before and after Spring Festival work fades out and comes back.
The calendar is computed for any year, past or future, when it is first asked about; importing computes nothing.

References
----------
The make-up working days below follow the yearly holiday notices of the State Council of the PRC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from features import moments

Country = Literal["none", "weekdays", "CN"]
Floats = npt.NDArray[np.float64]

COUNTRIES: Final[tuple[Country, ...]] = ("none", "weekdays", "CN")
EVERY_DAY: Final = (1.0,) * 7
OFFICE_WEEK: Final = (1.0, 1.0, 1.0, 1.0, 1.0, 0.15, 0.15)
HOLIDAY_WEIGHT: Final = 0.08
# Share of an ordinary day's work, nearest day to the festival first: people travel before it and return over weeks.
BEFORE_FESTIVAL: Final = (0.45, 0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
AFTER_FESTIVAL: Final = (0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.84, 0.88, 0.92, 0.95, 0.98)
FESTIVAL_DAYS: Final = 8  # the eve and the seven days from New Year's Day on
MAKE_UP_DAYS: Final[dict[int, tuple[str, ...]]] = {
    2019: ("02-02", "02-03", "04-28", "05-05", "09-29", "10-12"),
    2020: ("01-19", "04-26", "05-09", "06-28", "09-27", "10-10"),
    2021: ("02-07", "02-20", "04-25", "05-08", "09-18", "09-26", "10-09"),
    2022: ("01-29", "01-30", "04-02", "04-24", "05-07", "10-08", "10-09"),
    2023: ("01-28", "01-29", "04-23", "05-06", "06-25", "10-07", "10-08"),
    2024: ("02-04", "02-18", "04-07", "04-28", "05-11", "09-14", "09-29", "10-12"),
    2025: ("01-26", "02-08", "04-27", "09-28", "10-11"),
    2026: ("01-04", "02-14", "02-28", "05-09", "09-20", "10-10"),
}
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MARGIN_DAYS = 40  # a festival's slump reaches over New Year


def day_number(day: date) -> int:
    """Days since 1970-01-01 of a date."""
    return day.toordinal() - _EPOCH_ORDINAL


@dataclass(frozen=True)
class Workdays:
    """The working calendar of an organisation.

    Parameters
    ----------
    country
        "none": every weekday as `weekday_weights` says and no holidays; "weekdays": the same, kept apart in reports
        as an office week without holidays; "CN": with China's public holidays and the slump around Spring Festival.
    overrides
        Date to True (a working day) or False (a day off); goes before everything else.
    weekday_weights
        Weights Monday to Sunday of ordinary days, 1 = a full day's work; empty: every day for "none", else the
        office week.
    holiday_weight
        Weight of a public holiday.
    """

    country: Country = "CN"
    overrides: Mapping[date, bool] = field(default_factory=dict)
    weekday_weights: tuple[float, ...] = ()
    holiday_weight: float = HOLIDAY_WEIGHT
    _years: dict[int, Floats] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.country not in COUNTRIES:
            raise ValueError(f"country {self.country!r} has no calendar here; use one of {', '.join(COUNTRIES)}")
        if self.weekday_weights and (len(self.weekday_weights) != 7 or min(self.weekday_weights) < 0):
            raise ValueError("weekday_weights must be seven numbers, none negative, Monday first")

    @property
    def week(self) -> Floats:
        """Weights of ordinary days, Monday first, shape (7,)."""
        chosen = self.weekday_weights or (EVERY_DAY if self.country == "none" else OFFICE_WEEK)
        return np.asarray(chosen, dtype=np.float64)

    def weights(self, first_day: int, n: int) -> Floats:
        """Weight of each of `n` days from `first_day` (days since 1970-01-01, local dates), shape (n,), >= 0."""
        if n <= 0:
            return np.zeros(0)
        days = first_day + np.arange(n)
        years = days.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
        parts = []
        for year in range(int(years[0]), int(years[-1]) + 1):
            start = day_number(date(year, 1, 1))
            parts.append(self._year(year)[days[years == year] - start])
        return np.concatenate(parts)

    def between(self, start: moments.Moments, end: moments.Moments, zone: str = "UTC") -> Floats:
        """Effective working days from `start` to `end` (int64 moments, same shape); 0 where end <= start.

        Part of a day counts by its share of the wall clock, so that stretches add up exactly to their union.
        """
        starts, ends = np.broadcast_arrays(np.asarray(start, dtype=np.int64), np.asarray(end, dtype=np.int64))
        if starts.size == 0:
            return np.zeros(starts.shape)
        ends = np.maximum(starts, ends)
        first_clock, last_clock = _wall_clock(starts, zone), _wall_clock(ends, zone)
        first = int(np.floor_divide(first_clock.min(), moments.DAY))
        last = int(np.floor_divide(last_clock.max(), moments.DAY))
        running = np.concatenate([[0.0], np.cumsum(self.weights(first, last - first + 1))])
        grid = np.arange(len(running), dtype=np.float64)
        from_first = (first_clock - first * moments.DAY) / moments.DAY
        to_last = (last_clock - first * moments.DAY) / moments.DAY
        return np.asarray(np.maximum(np.interp(to_last, grid, running) - np.interp(from_first, grid, running), 0.0))

    def in_month(self, month: int, zone: str = "UTC") -> float:
        """Effective working days of a month index (year * 12 + month - 1). The zone does not change the dates."""
        del zone
        first = day_number(date(month // 12, month % 12 + 1, 1))
        following = month + 1
        return float(self.weights(first, day_number(date(following // 12, following % 12 + 1, 1)) - first).sum())

    def to_parts(self) -> dict[str, Any]:
        """A JSON-able dict that `from_parts` turns into an equal calendar."""
        return {
            "country": self.country,
            "overrides": {day.isoformat(): works for day, works in sorted(self.overrides.items())},
            "weekday_weights": list(self.weekday_weights),
            "holiday_weight": self.holiday_weight,
        }

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> Workdays:
        """The calendar that `to_parts` wrote."""
        return cls(
            parts["country"],
            {date.fromisoformat(day): bool(works) for day, works in parts["overrides"].items()},
            tuple(float(weight) for weight in parts["weekday_weights"]),
            float(parts["holiday_weight"]),
        )

    def _year(self, year: int) -> Floats:
        if year not in self._years:
            self._years[year] = self._compute(year)
        return self._years[year]

    def _compute(self, year: int) -> Floats:
        start, end = date(year, 1, 1), date(year + 1, 1, 1)
        days = np.arange(day_number(start), day_number(end))
        week = self.week
        weights = week[(days + 3) % 7]  # 1970-01-01 was a Thursday
        full = float(week.max())
        if self.country == "CN":
            weights = _with_chinese_holidays(weights, days, year, full, self.holiday_weight)
        for day, works in self.overrides.items():
            if day.year == year:
                weights[day_number(day) - days[0]] = full if works else self.holiday_weight
        return weights


def _wall_clock(at: moments.Moments, zone: str) -> moments.Moments:
    """Microseconds of the local wall clock since 1970-01-01 00:00 local."""
    if zone == "UTC":
        return at
    import pandas as pd

    stamps = pd.to_datetime(at.ravel(), unit="us", utc=True).tz_convert(zone).tz_localize(None)
    return np.asarray(stamps.as_unit("us").asi8, dtype=np.int64).reshape(at.shape)


def _with_chinese_holidays(
    weights: Floats, days: npt.NDArray[np.int64], year: int, full: float, holiday_weight: float
) -> Floats:
    """Weights of a year with public holidays, make-up days and the slump around Spring Festival."""
    weights = weights.copy()
    first = int(days[0])
    for text in MAKE_UP_DAYS.get(year, ()):
        weights[day_number(date.fromisoformat(f"{year}-{text}")) - first] = full
    off, festivals = chinese_holidays(year)
    off_days = np.array(sorted(day_number(day) for day in off), dtype=np.int64)
    weights[off_days - first] = np.minimum(weights[off_days - first], holiday_weight)
    for eve in festivals:
        _slump(weights, first, day_number(eve), full, holiday_weight)
    return weights


def _slump(weights: Floats, first: int, eve: int, full: float, holiday_weight: float) -> None:
    """Lower `weights` in place before, in and after the festival that begins with `eve`."""
    last = eve + FESTIVAL_DAYS - 1
    factors: dict[int, float] = {eve - 1 - k: factor for k, factor in enumerate(BEFORE_FESTIVAL)}
    factors |= {last + 1 + k: factor for k, factor in enumerate(AFTER_FESTIVAL)}
    for day, factor in factors.items():
        if 0 <= day - first < len(weights):
            weights[day - first] *= factor
    inside = np.arange(eve, last + 1) - first
    inside = inside[(inside >= 0) & (inside < len(weights))]
    weights[inside] = np.minimum(weights[inside], holiday_weight * full)


def chinese_holidays(year: int) -> tuple[frozenset[date], tuple[date, ...]]:
    """China's days off in a year, and the eves of the Spring Festivals whose slump touches it.

    Years for which no notice is out yet hold the statutory days; what is swapped for weekends is not known then.
    """
    import holidays

    off: set[date] = set()
    eves: list[date] = []
    for each in (year - 1, year, year + 1):
        for day, name in holidays.country_holidays("CN", years=[each], language="en_US").items():
            if day.year == year:
                off.add(day)
            if name.startswith("Chinese New Year (Spring Festival)") and "observed" not in name:
                eves.append(day)
    firsts = sorted({_first_of_run(day, eves) for day in eves})
    window = timedelta(days=_MARGIN_DAYS)
    near = (day - timedelta(days=1) for day in firsts)
    return frozenset(off), tuple(eve for eve in near if date(year, 1, 1) - window <= eve <= date(year, 12, 31) + window)


def _first_of_run(day: date, days: list[date]) -> date:
    """First of the unbroken run of dates that holds `day`."""
    while day - timedelta(days=1) in days:
        day -= timedelta(days=1)
    return day


def learn_workdays(
    counts: npt.ArrayLike,
    first_day: int,
    overrides: Mapping[date, bool] | None = None,
    block_days: int = 56,
    shrink_days: float = 6.0,
) -> Workdays:
    """The calendar that fits the days on which things happened.

    Parameters
    ----------
    counts
        Events (activities, decisions, deals ...) of each local day, shape (n,), from `first_day` on.
    first_day
        Days since 1970-01-01 of the first count.
    overrides
        Working days and days off that the organisation declares itself.
    block_days
        The level is free in each block of so many days, so that growth is not taken for a calendar.
    shrink_days
        Weekday weights are drawn to the calendar's own as if so many days of each weekday had been seen like that.

    Returns
    -------
    Workdays
        Of the candidates "none", "weekdays" and "CN" the one of highest Poisson likelihood, divided by the
        overdispersion of the best; a richer calendar must gain at least 3 over a simpler one. Without an event,
        or with fewer than three weeks, "none".
    """
    seen = np.asarray(counts, dtype=np.float64)
    seen = np.where(np.isfinite(seen), seen, 0.0)
    if len(seen) < 21 or seen.sum() <= 0:
        return Workdays("none", overrides or {})
    blocks = np.minimum(np.arange(len(seen)) // block_days, max(len(seen) // block_days - 1, 0))
    fits = [_fit(country, seen, first_day, blocks, overrides or {}, shrink_days) for country in COUNTRIES]
    best = max(fits, key=lambda fit: fit[1])
    dispersion = max(best[2], 1.0)
    chosen = fits[0]
    for fit in fits[1:]:
        if (fit[1] - chosen[1]) / dispersion > 3.0:
            chosen = fit
    return chosen[0]


def _fit(
    country: Country,
    seen: Floats,
    first_day: int,
    blocks: npt.NDArray[np.int64],
    overrides: Mapping[date, bool],
    shrink_days: float,
) -> tuple[Workdays, float, float]:
    """A candidate with its weekdays estimated: calendar, log-likelihood, Pearson overdispersion."""
    calendar = Workdays(country, overrides)
    if country != "none":
        prior = calendar.week
        weights = np.maximum(calendar.weights(first_day, len(seen)), 1e-3)
        level = _levels(seen, weights, blocks)
        weekday = (first_day + np.arange(len(seen)) + 3) % 7
        ordinary = np.isclose(weights, prior[weekday])
        per_day = float(level.mean())
        estimated = np.array(
            [
                (seen[ordinary & (weekday == k)].sum() + shrink_days * per_day * prior[k])
                / (level[ordinary & (weekday == k)].sum() + shrink_days * per_day)
                for k in range(7)
            ]
        )
        estimated /= estimated[:5].mean() if estimated[:5].mean() > 0 else 1.0
        calendar = Workdays(country, overrides, tuple(float(weight) for weight in estimated))
    weights = np.maximum(calendar.weights(first_day, len(seen)), 1e-3)
    rate = np.maximum(_levels(seen, weights, blocks) * weights, 1e-9)
    likelihood = float(np.sum(seen * np.log(rate) - rate))
    # A day of next to no expectation would blow up Pearson's sum: the floor keeps it a measure of the bulk.
    dispersion = float(np.mean((seen - rate) ** 2 / np.maximum(rate, 0.25)))
    return calendar, likelihood, dispersion


def _levels(seen: Floats, weights: Floats, blocks: npt.NDArray[np.int64]) -> Floats:
    """Events per effective day of each day's block, shape as `seen`."""
    total = np.bincount(blocks, weights=seen)
    exposure = np.maximum(np.bincount(blocks, weights=weights), 1e-9)
    return (total / exposure)[blocks]
