"""Days from hand-over to win and to loss, and what an open lead's age says about its chance.

An open lead is neither won nor lost. Leads that will be won and leads that will not take different times; a lead open
at age a is the first kind with probability p S_win(a) / (p S_win(a) + (1 - p) S_loss(a)): a mixture cure model, fitted
by EM. Beyond the latest win seen no open lead counts as still to be won (zero-tail constraint).

References
----------
Sy and Taylor (2000), Estimation in a Cox proportional hazards cure model, Biometrics 56.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.moments import DAY, NEVER
from models.conversion.design import Codes, Floats, text_column

_GRID: Final = np.concatenate(
    [[0.0, 0.25, 0.5], np.arange(1, 15), np.arange(21, 183, 7), np.arange(196, 731, 30), np.arange(820, 3700, 90)]
).astype(np.float64)
_PRIOR_LEADS: Final = 50.0
_MOST_SOURCES: Final = 100
_UNSEEN_MEAN_DAYS: Final = 30.0
# Older than every resolved lead: counts as lost, not as undecided.
_LEAST_WIN, _LEAST_LOSS = 1e-9, 1e-6


@dataclass(frozen=True)
class Ages:
    """Observed leads: `y` (n,) 1 won, 0 lost or dead, NaN open; `days` (n,) to resolution, or so far where open;
    `days_by_now` (n,) since hand-over, resolved or not."""

    y: Floats
    days: Floats
    days_by_now: Floats
    source: npt.NDArray[Any]

    @classmethod
    def read(cls, frame: pd.DataFrame, as_of: int) -> Ages:
        """Ages of a pairs or outcomes frame at `as_of`; what resolved at or after it is open.

        Needs `resolved_at`, `as_of` or `assigned_at`, and `y` or `outcome`; `source` where there is one.
        """
        begun = frame["as_of" if "as_of" in frame.columns else "assigned_at"].to_numpy(dtype=np.int64)
        resolved = frame["resolved_at"].to_numpy(dtype=np.int64)
        if "y" in frame.columns:
            y = frame["y"].to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            y = frame["outcome"].map({"won": 1.0, "lost": 0.0, "dead": 0.0}).to_numpy(dtype=np.float64)
        is_open = np.isnan(y) | (resolved == NEVER) | (resolved >= as_of)
        until = np.where(is_open, as_of, resolved)
        days = np.maximum(until - begun, 0) / DAY
        by_now = np.maximum(as_of - begun, 0) / DAY
        return cls(
            np.where(is_open, np.nan, y), np.asarray(days, dtype=np.float64), by_now, text_column(frame, "source")
        )

    @property
    def is_open(self) -> npt.NDArray[np.bool_]:
        return np.isnan(self.y)


@dataclass(frozen=True)
class TimeToClose:
    """Survivor functions of time to win and to loss on a grid of ages (days), by source; row 0 is the desk."""

    sources: tuple[str, ...]
    win: Floats
    loss: Floats

    @classmethod
    def fit(
        cls, frame: pd.DataFrame, as_of: int, win_probability: Floats | None = None, n_rounds: int = 8
    ) -> TimeToClose:
        """Times learnt from a pairs or outcomes frame (see `Ages.read`).

        `win_probability` (n,): each lead's chance by its features; without it, its source's share.
        """
        return cls.fit_ages(Ages.read(frame, as_of), win_probability, n_rounds)

    @classmethod
    def fit_ages(cls, ages: Ages, win_probability: Floats | None = None, n_rounds: int = 8) -> TimeToClose:
        """Times learnt from observed ages; a few EM rounds."""
        names, counts = np.unique(ages.source.astype(str), return_counts=True)
        order = np.lexsort((names, -counts))[:_MOST_SOURCES]
        times = cls(tuple(str(names[at]) for at in order), *_start(len(order)))
        codes = times.codes_of(ages.source)
        known = np.isfinite(ages.y)
        q = np.where(known, ages.y, 0.0)
        p = win_probability
        for step in range(n_rounds):
            weight = q if step else np.where(known, ages.y, np.nan)
            times = cls(times.sources, *_estimate(ages.days, known, weight, codes, len(order) + 1))
            chance = _share_by_source(q if step else np.where(known, ages.y, 0.2), codes) if p is None else p
            q = np.where(known, ages.y, times.p_win_open(chance, ages.days, codes))
            if known.all():
                break
        return times

    def codes_of(self, source: str | npt.NDArray[Any]) -> Codes:
        """Row of each source; 0, the desk, where unknown. Rows, as this gives them, are taken as they are."""
        if isinstance(source, np.ndarray) and source.dtype == np.int64:
            return source
        if isinstance(source, str):
            return np.array(self.sources.index(source) + 1 if source in self.sources else 0, dtype=np.int64)
        index = pd.Index(self.sources).get_indexer(pd.Index(np.asarray(source, dtype=object)))
        return np.asarray(index + 1, dtype=np.int64)

    def survival_win(self, age_days: Floats | float, source: str | npt.NDArray[Any] = "") -> Floats:
        """P(time to win > age | won in the end); broadcast shape."""
        return _interpolate(self.win, self.codes_of(source), age_days)

    def survival_loss(self, age_days: Floats | float, source: str | npt.NDArray[Any] = "") -> Floats:
        """P(time to loss > age | lost or dead in the end); broadcast shape."""
        return _interpolate(self.loss, self.codes_of(source), age_days)

    def log_ratio(self, age_days: Floats | float, source: str | npt.NDArray[Any] = "") -> Floats:
        """log S_win(age) / S_loss(age): what staying open adds to the logit of winning."""
        win = np.maximum(self.survival_win(age_days, source), _LEAST_WIN)
        loss = np.maximum(self.survival_loss(age_days, source), _LEAST_LOSS)
        return np.asarray(np.log(win) - np.log(loss))

    def p_win_open(self, p: Floats | float, age_days: Floats | float, source: str | npt.NDArray[Any] = "") -> Floats:
        """P(ever won | still open at age) of leads whose chance at hand-over was p."""
        win = np.maximum(self.survival_win(age_days, source), _LEAST_WIN) * p
        loss = np.maximum(self.survival_loss(age_days, source), _LEAST_LOSS) * (1.0 - np.asarray(p))
        return np.asarray(win / (win + loss))

    def win_between(
        self, age_from: Floats | float, age_to: Floats | float, source: str | npt.NDArray[Any] = ""
    ) -> Floats:
        """P(age_from < time to win <= age_to | won in the end, open at age_from), 0 past the latest win seen."""
        before, after = self.survival_win(age_from, source), self.survival_win(age_to, source)
        return np.clip(np.where(before > _LEAST_WIN, 1.0 - after / np.maximum(before, _LEAST_WIN), 0.0), 0.0, 1.0)

    def win_within(
        self,
        p: Floats | float,
        age_days: Floats | float,
        horizon_days: Floats | float,
        source: str | npt.NDArray[Any] = "",
    ) -> Floats:
        """P(won within horizon_days from now | open at age), of leads whose chance at hand-over was p."""
        until = np.asarray(age_days) + np.asarray(horizon_days)
        return self.p_win_open(p, age_days, source) * self.win_between(age_days, until, source)

    def draw_days_to_win(self, age_days: Floats, source: str | npt.NDArray[Any], rng: np.random.Generator) -> Floats:
        """(n,) further days until the win of leads that are open at age and will be won."""
        codes = np.broadcast_to(self.codes_of(source), age_days.shape)
        target = self.survival_win(age_days, source) * rng.random(age_days.shape)
        rows = self.win[codes]
        at = np.clip((rows > target[:, None]).sum(axis=1), 1, len(_GRID) - 1)
        n = np.arange(len(at))
        high, low = rows[n, at - 1], rows[n, at]
        share = np.where(high > low, (high - target) / np.where(high > low, high - low, 1.0), 1.0)
        days = _GRID[at - 1] + np.clip(share, 0.0, 1.0) * (_GRID[at] - _GRID[at - 1])
        return np.maximum(days - age_days, 0.0)

    def to_parts(self) -> dict[str, Any]:
        """JSON-able dict."""
        return {"sources": list(self.sources), "win": self.win.tolist(), "loss": self.loss.tolist()}

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> TimeToClose:
        """Times as `to_parts` wrote them."""
        return cls(tuple(parts["sources"]), np.array(parts["win"]), np.array(parts["loss"]))


def _start(n_sources: int) -> tuple[Floats, Floats]:
    unseen = np.tile(np.exp(-_GRID / _UNSEEN_MEAN_DAYS), (n_sources + 1, 1))
    unseen[:, -1] = 0.0
    return unseen, unseen


def _share_by_source(q: Floats, codes: Codes) -> Floats:
    desk = (q.sum() + 0.5) / (len(q) + 1.0)
    wins = np.bincount(codes, weights=q)
    share = (wins + _PRIOR_LEADS * desk) / (np.bincount(codes) + _PRIOR_LEADS)
    return np.asarray(share[codes])


def _estimate(
    days: Floats, known: npt.NDArray[np.bool_], q: Floats, codes: Codes, n_rows: int
) -> tuple[Floats, Floats]:
    """Survivor functions given the chance q of each lead to be of the winning kind; NaN q: leave the open ones out."""
    share = np.where(np.isnan(q), 0.0, q)
    other = np.where(np.isnan(q), 0.0, 1.0 - q)
    win = _survivor(days, known, share, codes, n_rows)
    loss = _survivor(days, known, other, codes, n_rows)
    unseen = _start(n_rows - 1)[0]
    return (
        win if win is not None else loss if loss is not None else unseen,
        loss if loss is not None else win if win is not None else unseen,
    )


def _survivor(days: Floats, known: npt.NDArray[np.bool_], weight: Floats, codes: Codes, n_rows: int) -> Floats | None:
    """(n_rows, grid) actuarial survivor functions, sources shrunk to the desk; None without any event."""
    n_bins = len(_GRID) - 1
    bins = np.clip(np.searchsorted(_GRID, days, side="left") - 1, 0, n_bins - 1)
    flat = codes * n_bins + bins
    size = n_rows * n_bins
    events = np.bincount(flat, weights=weight * known, minlength=size).reshape(n_rows, n_bins)
    leaving = np.bincount(flat, weights=weight, minlength=size).reshape(n_rows, n_bins)
    at_risk = leaving[:, ::-1].cumsum(axis=1)[:, ::-1] - 0.5 * (leaving - events)
    desk_events = events.sum(axis=0)
    if desk_events.sum() <= 0:
        return None
    desk = np.minimum(desk_events / np.maximum(at_risk.sum(axis=0), 1e-12), 1.0)
    hazard = (events + _PRIOR_LEADS * desk) / (np.maximum(at_risk, events) + _PRIOR_LEADS)
    hazard[0] = desk
    hazard[:, int(np.flatnonzero(desk_events > 0)[-1]) :] = 1.0
    return np.column_stack([np.ones(n_rows), np.cumprod(1.0 - hazard, axis=1)])


def _interpolate(survivor: Floats, codes: Codes, age_days: Floats | float) -> Floats:
    ages, rows = np.broadcast_arrays(np.maximum(np.asarray(age_days, dtype=np.float64), 0.0), codes)
    at = np.clip(np.searchsorted(_GRID, ages, side="right") - 1, 0, len(_GRID) - 2)
    left, right = survivor[rows, at], survivor[rows, at + 1]
    share = np.minimum((ages - _GRID[at]) / (_GRID[at + 1] - _GRID[at]), 1.0)
    return np.asarray(left + share * (right - left))
