"""Everything one forecast may know at its moment, as frames; canonical order, so that row order changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.errors import RequestError
from features.messages import message
from models.forecasting.exposure import Exposure, months_ahead

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "reps": ("rep_id", "hired_on", "left_on", "team_id"),
    "contributions": ("rep_id", "month", "amount"),
    "open_leads": ("lead_id", "rep_id", "age_days", "source", "p_win", "expected_amount", "amount_log_sd"),
    "spells": ("rep_id", "age_start", "age_stop", "event", "source", "p_win"),
    "landmarks": ("rep_id", "age_start", "age_stop", "event", "source", "p_win"),
    "arrivals": ("rep_id", "assigned_at", "source", "p_win", "expected_amount", "amount_log_sd"),
    "repeats": ("rep_id", "closed_at", "amount"),
    "absences": ("rep_id", "starts_on", "ends_on"),
}
_ORDER: Mapping[str, tuple[str, ...]] = {
    "reps": ("rep_id",),
    "contributions": ("rep_id", "month"),
    "open_leads": ("rep_id", "lead_id"),
    "spells": ("rep_id", "age_start", "age_stop", "event", "source", "p_win"),
    "landmarks": ("rep_id", "age_start", "age_stop", "event", "source", "p_win"),
    "arrivals": ("rep_id", "assigned_at", "source", "p_win", "expected_amount"),
    "repeats": ("rep_id", "closed_at", "amount"),
    "absences": ("rep_id", "starts_on", "ends_on"),
}
_TEXT = {"rep_id", "lead_id", "team_id", "source", "event", "stage", "last_outcome"}


@dataclass(frozen=True)
class Changes:
    """What a what-if alters, for the reps named (all where `rep_ids` is empty).

    `follow_up_ratio` multiplies follow-ups a lead, `lead_share` the flow of new leads, `absence_days` are further
    effective working days off from as_of on, `extra_leads` more leads a rep in the rest of the first month.
    """

    rep_ids: tuple[str, ...] = ()
    follow_up_ratio: float = 1.0
    lead_share: float = 1.0
    absence_days: float = 0.0
    extra_leads: float = 0.0

    def __post_init__(self) -> None:
        numbers = (self.follow_up_ratio, self.lead_share, self.absence_days, self.extra_leads)
        if not all(np.isfinite(v) and v >= 0 for v in numbers) or self.follow_up_ratio == 0:
            raise RequestError(message("asked.what_if_numbers"))


@dataclass(frozen=True)
class ForecastInputs:
    """All that is known at `as_of`. Money in major units, times int64 microseconds UTC, months as indices.

    reps
        `rep_id, hired_on, left_on (NEVER while here), team_id`; optional `stream` (int64): the seed of the rep's
        draws in place of his id, so that renamed reps keep their draws.
    contributions
        `rep_id, month, amount`: what was closed, the month of as_of included as far as it went.
    open_leads
        `lead_id, rep_id, age_days` (effective working days since hand-over), `source, p_win` (ever won, as judged at
        hand-over), `expected_amount` if won, `amount_log_sd`; optional states: `stage`, `stage_log_days` (log1p of
        effective days in it), `stage_ahead_log_days` and `stage_before_log_days` (log of 0.5 + effective days from
        hand-over to it and to the stage before), `overdue` (activities missed by the lead's own rhythm) and
        `n_activities`, `last_outcome` (of its newest activity), `lead_follow_up_log_ratio` (log of the lead's own
        follow-ups over the desk's at its age), `close_log_days` (to the close expected at the stage),
        `follow_up_log_ratio` (log of recent follow-ups over the rep's own habit), `silent_log_days` (log1p of
        effective days without activity).
    spells
        Leads' whole lives at risk, see `hazards.fit_hazards`.
    landmarks
        What became of leads open at past landmarks given their states there, see `closing.fit_closing`.
    arrivals
        Leads handed over or brought by the rep: `rep_id, assigned_at, source, p_win, expected_amount,
        amount_log_sd`; optional `follow_up_log_ratio` is ignored here: coming leads meet today's habit.
    repeats
        Won deals after a lead's first: `rep_id, closed_at, amount`.
    absences
        Planned days off, `rep_id, starts_on, ends_on` (moments; the end is exclusive).
    first_moment
        Where the data begin; nobody is thought to have been without leads before.
    seen_until
        Moment up to which closes are known to be entered, None for as_of: ages and lives at risk count up to it.
    """

    as_of: int
    exposure: Exposure
    reps: pd.DataFrame
    contributions: pd.DataFrame
    open_leads: pd.DataFrame
    spells: pd.DataFrame
    arrivals: pd.DataFrame
    repeats: pd.DataFrame
    absences: pd.DataFrame = field(default_factory=lambda: empty("absences"))
    landmarks: pd.DataFrame = field(default_factory=lambda: empty("landmarks"))
    zone: str = "UTC"
    first_moment: int = moments.ALWAYS
    seen_until: int | None = None
    changes: Changes = field(default_factory=Changes)
    # Which frames were put in order already, so that a chain of calls sorts once.
    _ordered: tuple[int, ...] = field(default=(), repr=False, compare=False)

    @property
    def rep_ids(self) -> tuple[str, ...]:
        return tuple(str(r) for r in self.reps["rep_id"])

    @property
    def months(self) -> Integers:
        return months_ahead(self.as_of, 3, self.zone)

    def canonical(self) -> ForecastInputs:
        """The same knowledge with rows in a fixed order and columns checked; RequestError names what lacks."""
        if self._ordered == tuple(id(getattr(self, name)) for name in COLUMNS):
            return self
        reps = _ordered("reps", self.reps)
        if reps["rep_id"].duplicated().any():
            raise RequestError(message("inputs.rep_twice"))
        done = replace(
            self,
            reps=reps,
            contributions=_ordered("contributions", self.contributions),
            open_leads=_ordered("open_leads", self.open_leads),
            spells=_ordered("spells", self.spells),
            landmarks=_ordered("landmarks", self.landmarks),
            arrivals=_ordered("arrivals", self.arrivals),
            repeats=_ordered("repeats", self.repeats),
            absences=_ordered("absences", self.absences),
        )
        return replace(done, _ordered=tuple(id(getattr(done, name)) for name in COLUMNS))

    def with_changes(self, changes: Changes) -> ForecastInputs:
        """The same inputs under a what-if."""
        unknown = sorted(set(changes.rep_ids) - set(self.rep_ids))
        if unknown:
            raise RequestError(message("asked.what_if_reps", reps=tuple(unknown[:5])))
        return replace(self, changes=changes)

    def changed(self) -> npt.NDArray[np.bool_]:
        """Which reps the what-if touches, in the order of `reps`."""
        if not self.changes.rep_ids:
            return np.ones(len(self.reps), dtype=np.bool_)
        return np.asarray(self.reps["rep_id"].isin(self.changes.rep_ids).to_numpy(), dtype=np.bool_)

    def rep_index(self, rep_ids: pd.Series) -> Integers:
        """Row in `reps` of each id, -1 for one not there."""
        return np.asarray(pd.Index(self.reps["rep_id"]).get_indexer(pd.Index(rep_ids)), dtype=np.int64)

    def begins(self) -> Integers:
        """Moment from which each rep's history counts: hired, or where the data begin."""
        return np.maximum(self.reps["hired_on"].to_numpy(dtype=np.int64), self.first_seen())

    def first_seen(self) -> int:
        """Where the data begin: as given, else the earliest arrival or month with a contribution."""
        if self.first_moment != moments.ALWAYS:
            return self.first_moment
        found = [int(self.arrivals["assigned_at"].min())] if len(self.arrivals) else []
        if len(self.contributions):
            found.append(moments.month_start(int(self.contributions["month"].min()), self.zone))
        return min([*found, self.as_of])

    @property
    def counted_until(self) -> int:
        """`seen_until`, as_of where nothing is entered late."""
        return self.as_of if self.seen_until is None else min(self.seen_until, self.as_of)

    def unseen_days(self) -> tuple[float, float]:
        """Effective days from `seen_until` to as_of: before as_of's month, and in it."""
        if self.counted_until == self.as_of:
            return 0.0, 0.0
        start = moments.month_start(moments.month_of(self.as_of, self.zone), self.zone)
        edge = max(start, self.counted_until)
        days = self.exposure.between(np.array([self.counted_until, edge]), np.array([edge, self.as_of]))
        return float(days[0]), float(days[1])

    def exposure_of_reps(self, months: Integers) -> Floats:
        """Effective working days that each rep still has in each month after as_of: (n_reps, n_months).

        Absences planned, the day of hiring and of leaving, and a what-if's absence are taken off.
        """
        starts = np.array([moments.month_start(int(m), self.zone) for m in months], dtype=np.int64)
        ends = np.array([moments.month_start(int(m) + 1, self.zone) for m in months], dtype=np.int64)
        hired = self.reps["hired_on"].to_numpy(dtype=np.int64)[:, None]
        left = self.reps["left_on"].to_numpy(dtype=np.int64)[:, None]
        low = np.maximum(np.maximum(starts[None, :], self.as_of), hired)
        high = np.minimum(ends[None, :], left)
        days = self.exposure.between(low, np.maximum(low, high))
        days = days - _absent(self, low, high)
        off = np.where(self.changed(), self.changes.absence_days, 0.0)[:, None]
        taken = np.clip(off - (np.cumsum(days, axis=1) - days), 0.0, days)
        return np.maximum(days - taken, 0.0)

    def usual_absence(self) -> float:
        """Share of working days of the year before as_of on which reps were absent, at most a half."""
        hired = self.reps["hired_on"].to_numpy(dtype=np.int64)
        left = self.reps["left_on"].to_numpy(dtype=np.int64)
        low = np.maximum(hired, max(self.first_seen(), self.as_of - 365 * moments.DAY))[:, None]
        high = np.maximum(low, np.minimum(left, self.as_of)[:, None])
        days = float(self.exposure.between(low, high).sum())
        return min(float(_absent(self, low, high).sum()) / days, 0.5) if days > 0 else 0.0


def empty(name: str) -> pd.DataFrame:
    """A frame of no rows with the columns of one input."""
    return pd.DataFrame(
        {c: pd.Series([], dtype="str" if c in _TEXT else "int64" if _is_time(c) else "float64") for c in COLUMNS[name]}
    )


def _is_time(column: str) -> bool:
    return column.endswith(("_at", "_on")) or column == "month"


def _ordered(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    lacking = [c for c in COLUMNS[name] if c not in frame.columns]
    if lacking:
        raise RequestError(message("inputs.lacks", table=name, columns=tuple(lacking)))
    order = [*_ORDER[name], *sorted(c for c in frame.columns if c not in _ORDER[name])]
    return frame.sort_values(order, kind="stable").reset_index(drop=True)


def _absent(inputs: ForecastInputs, low: Integers, high: Integers) -> Floats:
    """Effective working days of planned absences inside [low, high) by rep and month; overlaps are merged."""
    out = np.zeros(low.shape)
    if not len(inputs.absences):
        return out
    rep = inputs.rep_index(inputs.absences["rep_id"])
    starts = inputs.absences["starts_on"].to_numpy(dtype=np.int64)
    ends = inputs.absences["ends_on"].to_numpy(dtype=np.int64)
    until = np.full(len(inputs.reps), moments.ALWAYS, dtype=np.int64)
    for r, start, end in zip(rep, starts, ends, strict=True):  # sorted by rep and start
        if r < 0 or end <= max(start, until[r]):
            continue
        begin = max(start, until[r])
        a, b = np.maximum(low[r], begin), np.minimum(high[r], end)
        out[r] += inputs.exposure.between(a, np.maximum(a, b))
        until[r] = end
    return out
