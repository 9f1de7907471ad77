"""The days of a synthetic world: local days counted from its first, their work weights, months and ISO weeks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from features.synthetic.config import WorldConfig
from features.workdays import Workdays, day_number

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

HORIZON_DAYS: Final = 260  # what is open at the end still has a future, which the truth knows
DESK_WEIGHT: Final = 0.3  # the desk hands out leads on days with at least this share of an ordinary day's work
# Leads a month relative to the year's mean, January first, on top of the working days.
SEASON: Final = (0.95, 0.96, 1.08, 1.06, 1.02, 1.00, 0.94, 0.92, 1.05, 1.00, 1.03, 0.99)


@dataclass(frozen=True)
class Calendar:
    """Days 0 .. n_total - 1, of which the first n_days are history.

    `work`: effective work of each day; `running`: its sums, shape (n_total + 1,); `month`: index from the first month;
    `week`: ISO week; `desk_open`: whether leads are handed out; `per_week`: effective work of an ordinary week.
    """

    first_day: int
    n_days: int
    n_total: int
    work: Floats
    running: Floats
    month: Ints
    week: Ints
    desk_open: npt.NDArray[np.bool_]
    per_week: float

    def day(self, when: date) -> int:
        """World day of a date."""
        return day_number(when) - self.first_day

    def date(self, day: int) -> date:
        """Date of a world day."""
        return date(1970, 1, 1) + timedelta(days=self.first_day + int(day))

    def month_starts(self, n_months: int) -> Ints:
        """World days on which months 0 .. n_months begin, shape (n_months + 1,)."""
        return np.searchsorted(self.month, np.arange(n_months + 1), side="left").astype(np.int64)

    def worked(self, start_days: Floats, end_days: Floats) -> Floats:
        """Effective working days between fractional world days."""
        grid = np.arange(len(self.running), dtype=np.float64)
        done = np.interp(end_days, grid, self.running) - np.interp(start_days, grid, self.running)
        return np.asarray(done, dtype=np.float64)

    def after_work(self, start_days: Floats, work_days: Floats) -> Floats:
        """Fractional world day at which so many effective working days have passed since `start_days`."""
        grid = np.arange(len(self.running), dtype=np.float64)
        begun = np.interp(start_days, grid, self.running)
        return np.asarray(np.interp(begun + work_days, self.running, grid), dtype=np.float64)


def make_calendar(config: WorldConfig) -> Calendar:
    """The days of a world."""
    first = date(config.first_month // 12, config.first_month % 12 + 1, 1)
    last = config.end_month + 1
    first_day = day_number(first)
    n_days = day_number(date(last // 12, last % 12 + 1, 1)) - first_day
    n_total = n_days + HORIZON_DAYS
    workdays = Workdays(config.holidays)
    # A floor keeps the running sums strictly rising, so that they can be inverted.
    work = np.maximum(workdays.weights(first_day, n_total), 0.01)
    days = first_day + np.arange(n_total)
    month = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) + 1970 * 12 - config.first_month
    return Calendar(
        first_day=first_day,
        n_days=n_days,
        n_total=n_total,
        work=work,
        running=np.concatenate([[0.0], np.cumsum(work)]),
        month=month,
        week=(days + 3) // 7,
        desk_open=work >= DESK_WEIGHT,
        per_week=float(workdays.week.sum()),
    )


def season(config: WorldConfig, month: Ints) -> Floats:
    """Arrivals of a world month (counted from the first) relative to the year's mean."""
    return np.asarray(SEASON)[(config.first_month + month) % 12]
