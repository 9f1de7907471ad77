"""Effect of a rep's habit of following up: what his months of more and of less do to the leads of those months.

A lead's own frequency is a poor treatment: reps chase leads that look good to them for reasons no column holds (too
large), a short window counts with noise (too small), and how long a lead stays open is part of its fate. The habit,
seen in the rep's *other* leads of the month, has none of these faults. Where reps keep the same habit all along, only
single leads are left: their first week then stands for their second, which mends the noise and not the chasing, and
the row is marked.

References
----------
Terza, Basu, Rathouz (2008), Two-stage residual inclusion estimation (and predictor substitution, used here: a count
over a lead's open time depends on how the lead ended, and its residual would carry that into the model).
Angrist (2014), The perils of peer effects (why the lead itself is left out of the mean).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from features.moments import DAY, NEVER
from models.drivers.clustered import LEVEL, Floats, codes_of, coefficient_interval
from models.drivers.lead_effects import LeadEffect, win_effect
from models.drivers.panel_effects import EffectError, Panel, demean_two_way, independent_columns, make_panel
from models.drivers.slow_drift import drift_p

WINDOW_DAYS = 49  # a shorter count swings more than the work on a lead does, a longer one counts weeks of silence in
_WORKED_WEEKS = 8
_RIPE = 0.9  # share of wins on record from which the guards take an outcome as it stands
_WEAK_T = 3.2  # a first stage below F = 10 says nothing (Staiger, Stock 1997)


@dataclass(frozen=True)
class HabitEffect:
    """`own_only`: the habit hardly moves, single leads speak; `drift_p`: p of the guard
    against what drifts slowly and moves habit and results both; None where it could not run."""

    effect: LeadEffect
    own_only: bool
    drift_p: float | None


def others_mean(unit: npt.ArrayLike, time: npt.ArrayLike, treatment: npt.ArrayLike, least: int = 3) -> Floats:
    """Mean treatment of the rep's *other* leads of the month, shape (n,); NaN with fewer than `least` of them.

    As an instrument it answers three faults of a lead's own frequency at once: reps chase leads that look good to
    them for reasons no column holds, a short window counts with noise, and one lead's luck is in its own count.
    What remains is the rep's habit that month against his habit in others.
    """
    units, _ = codes_of(unit)
    times, n_times = codes_of(time)
    d = np.asarray(treatment, dtype=np.float64)
    seen = np.isfinite(d)
    cell, n_cells = codes_of(units * n_times + times)
    total = np.bincount(cell[seen], weights=d[seen], minlength=n_cells)[cell]
    count = np.bincount(cell[seen], minlength=n_cells)[cell] - seen
    others = total - np.where(seen, d, 0.0)
    return np.where(count >= least, others / np.maximum(count, 1), np.nan)


def concurrent_habit(
    unit: npt.ArrayLike,
    assigned_at: npt.ArrayLike,
    ended_at: npt.ArrayLike,
    as_of: int,
    lead: npt.ArrayLike,
    occurred_at: npt.ArrayLike,
) -> Floats:
    """Follow-ups a week that the rep gave his *other* leads while this one was new, shape (n,).

    All his leads up to `_WORKED_WEEKS` old count, on each of the `WINDOW_DAYS` after the hand-over of this one: more
    leads than those of one month, and the very days. Follow-ups are set against those that leads of the same age get on
    average, so that it does not matter how old the others are. With hardly any others it is the average of all reps.
    `unit`, `assigned_at`, `ended_at` (n,) by lead; `lead`, `occurred_at` (m,) by activity; times in microseconds.
    """
    units, n_units = codes_of(unit)
    start = np.asarray(assigned_at, dtype=np.int64)
    owner, when = np.asarray(lead, dtype=np.int64), np.asarray(occurred_at, dtype=np.int64)
    when, owner = when[when >= start[owner]], owner[when >= start[owner]]
    contact = np.full(len(start), NEVER, dtype=np.int64)
    np.minimum.at(contact, owner, when)
    later = when > contact[owner]
    when, owner = when[later], owner[later]
    origin = int(start.min()) if len(start) else 0
    first = (start - origin) // DAY
    last = (np.minimum(np.asarray(ended_at, dtype=np.int64), as_of) - origin) // DAY
    day = (when - origin) // DAY
    age_week = (day - first[owner]) // 7
    new = (age_week < _WORKED_WEEKS) & (day <= last[owner])
    day, owner, age_week = day[new], owner[new], age_week[new]
    # Days [begin, end) of each lead's weeks, shape (weeks, n).
    begin = first + 7 * np.arange(_WORKED_WEEKS)[:, None]
    end = np.clip(last + 1, begin, begin + 7)
    open_days = (end - begin).sum(axis=1)
    rate = np.bincount(age_week, minlength=_WORKED_WEEKS) / np.maximum(open_days, 1)
    n_days = int(max((as_of - origin) // DAY, last.max(initial=0))) + 2
    expected = np.zeros((n_units, n_days))
    for week in range(_WORKED_WEEKS):
        np.add.at(expected, (units, begin[week].clip(max=n_days - 1)), rate[week])
        np.add.at(expected, (units, end[week].clip(max=n_days - 1)), -rate[week])
    expected = np.cumsum(np.cumsum(expected, axis=1), axis=1)
    done = np.zeros((n_units, n_days))
    np.add.at(done, (units[owner], day), 1.0)
    done = np.cumsum(done, axis=1)
    stop = np.minimum(first + WINDOW_DAYS, n_days - 1)

    def in_window(running: Floats) -> Floats:
        before = np.where(first > 0, running[units, np.maximum(first - 1, 0)], 0.0)
        return np.asarray(running[units, stop - 1] - before, dtype=np.float64)

    mine = (day >= first[owner]) & (day < stop[owner])
    own_done = np.bincount(owner[mine], minlength=len(start))
    own_expected = (rate[:, None] * np.maximum(np.minimum(end, stop) - begin, 0)).sum(axis=0)
    ratio = (in_window(done) - own_done + 1) / (np.maximum(in_window(expected) - own_expected, 0.0) + 1)
    overall = 7 * len(day) / max(int(open_days.sum()), 1)
    return np.asarray(overall * ratio, dtype=np.float64)


def habit_effect(
    unit: npt.ArrayLike,
    time: npt.ArrayLike,
    treatment: npt.ArrayLike,
    outcome: npt.ArrayLike,
    controls: Floats,
    worth: npt.ArrayLike | None = None,
    *,
    weeks: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    maturity: npt.ArrayLike | None = None,
    instrument: npt.ArrayLike | None = None,
    level: float = LEVEL,
) -> HabitEffect:
    """Step of one more follow-up a week on the win probability.

    `treatment` (n,): frequency over the time open in the first seven weeks; `weeks`: that of the first and of the
    second week, of leads open after both; `instrument`: `concurrent_habit`, without it `others_mean`; the rest as in
    `win_effect`. Raises EffectError where neither habit nor weeks move.
    """
    d, y = np.asarray(treatment, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    if instrument is None:
        instrument = others_mean(unit, time, np.where(np.isfinite(y), d, np.nan))
    instrument = np.asarray(instrument, dtype=np.float64)
    ripe = np.ones(len(d), dtype=bool) if maturity is None else np.asarray(maturity, dtype=np.float64) >= _RIPE
    try:
        rows = make_panel(unit, time, d, np.where(ripe, y, np.nan), np.column_stack([controls, instrument]))
        strong = first_stage_t(rows) > _WEAK_T
    except EffectError:
        strong = False
    if strong:
        habit = win_effect(
            unit, time, d, y, controls, instrument=instrument, worth=worth, maturity=maturity, level=level
        )
        return HabitEffect(
            _named(habit, "habit"), own_only=False, drift_p=drift_p(rows, float(np.sign(habit.interval.estimate)))
        )
    if weeks is None:
        raise EffectError("the habit hardly moves within reps")
    first, second = weeks
    own = win_effect(unit, time, second, y, controls, instrument=first, worth=worth, maturity=maturity, level=level)
    return HabitEffect(_named(own, "weeks"), own_only=True, drift_p=None)


def _named(effect: LeadEffect, source: str) -> LeadEffect:
    return replace(effect, method=f"{effect.method}_{source}")


def first_stage_t(rows: Panel) -> float:
    """Clustered t of the instrument, the last control, on the treatment, unit and time taken out."""
    times, _ = codes_of(rows.time)
    columns = np.column_stack([rows.controls[:, ::-1], rows.treatment])
    within = demean_two_way(columns, rows.unit, times)
    X = independent_columns(within[:, :-1], columns[:, :-1])
    theta = np.asarray(np.linalg.lstsq(X, within[:, -1], rcond=None)[0], dtype=np.float64)
    found = coefficient_interval(X, theta, within[:, -1] - X @ theta, rows.unit)
    return found.estimate / found.se if found.se > 0 else np.inf
