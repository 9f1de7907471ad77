"""How long leads take from hand-over to the win, as their source and the days to their stages so far foretell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_LOG_SCALES = (0.7, 5.5)
_SOFT = 0.5  # days added before logs are taken
_SOURCE_SHRUNK = 10.0  # wins by which a source's usual time is drawn to the desk's
_AHEAD, _BEFORE = "stage_ahead_log_days", "stage_before_log_days"


@dataclass(frozen=True)
class ClosePace:
    """How long leads take from hand-over to the win, if they are won, and to the loss, if they are lost.

    `won`, `lost` (n_sources + 1,): mean logs of effective days by source, the desk last. `beta` (n_stages, 3): what a
    stage entered adds to the first: a constant, and shares of the logs of days until it and until the stage before,
    both over the usual. A lead with a stage is expected to be lost as fast as it would be won.
    """

    sources: tuple[str, ...]
    won: Floats
    lost: Floats
    stages: tuple[str, ...]
    beta: Floats

    def clocks(self, leads: pd.DataFrame) -> Clocks:
        """The own clocks of leads."""
        won, lost = self._usual(leads)
        if not self.stages:
            return Clocks(np.exp(won), np.exp(lost), np.zeros((len(leads), 2)))
        stage = _places(leads, "stage", self.stages)
        told = np.clip(won + (self.beta[stage] * _told(leads, won)).sum(axis=1), *_LOG_SCALES)
        staged = stage >= 0
        apart = np.column_stack([told - won, told - lost]) * staged[:, None]
        return Clocks(np.exp(np.where(staged, told, won)), np.exp(np.where(staged, told, lost)), apart)

    def _usual(self, leads: pd.DataFrame) -> tuple[Floats, Floats]:
        source = _places(leads, "source", self.sources)
        return self.won[source], self.lost[source]

    def to_parts(self) -> dict[str, object]:
        """JSON-able parameters, floats exact."""
        return {
            "sources": list(self.sources),
            "won": [float(v) for v in self.won],
            "lost": [float(v) for v in self.lost],
            "stages": list(self.stages),
            "beta": [[float(v) for v in row] for row in self.beta],
        }

    @classmethod
    def from_parts(cls, parts: Mapping[str, object]) -> ClosePace:
        """The pace that `to_parts` described."""
        sources, stages = (tuple(cast("list[str]", parts[name])) for name in ("sources", "stages"))
        won, lost, beta = (np.array(parts[name], dtype=np.float64) for name in ("won", "lost", "beta"))
        return cls(sources, won, lost, stages, beta.reshape(len(stages), 3))


@dataclass(frozen=True)
class Clocks:
    """Effective days (n,) that each lead takes from hand-over to the win and to the loss; `apart` (n, 2): the logs of
    the foretold time over the usual times to win and to lose, 0 for leads without a stage."""

    won: Floats
    lost: Floats
    apart: Floats


def fit_close_pace(spells: pd.DataFrame, landmarks: pd.DataFrame) -> ClosePace:
    """Pace of leads closed so far; what stages foretell by ridge regression of the log of days to the win."""
    sources = tuple(sorted(set(spells["source"].astype(str))))
    won, lost = (_usual_logs(spells, event, sources) for event in ("won", "lost"))
    has_stages = {"stage", _AHEAD, _BEFORE} <= set(landmarks.columns)
    stages = tuple(sorted(set(landmarks["stage"].astype(str)) - {""})) if has_stages else ()
    closed = landmarks.loc[(landmarks["event"] == "won").to_numpy()]
    base = won[_places(closed, "source", sources)]
    y = np.log(closed["age_stop"].to_numpy(dtype=np.float64) + _SOFT) - base
    beta = np.zeros((len(stages), 3))
    for k, stage in enumerate(stages):
        here = (closed["stage"].astype(str) == stage).to_numpy()
        X = _told(closed.loc[here], base[here])
        beta[k] = np.linalg.solve(X.T @ X + np.eye(3), X.T @ y[here])
    return ClosePace(sources, won, lost, stages, beta)


def _usual_logs(spells: pd.DataFrame, event: str, sources: Sequence[str]) -> Floats:
    """Mean log of days to an event by source, drawn to the desk's, which comes last."""
    here = spells.loc[(spells["event"] == event).to_numpy()]
    logs = np.log((here["age_stop"] - here["age_start"]).to_numpy(dtype=np.float64) + _SOFT)
    desk = float(logs.mean()) if len(logs) else 3.0
    place = _places(here, "source", sources)
    total = np.bincount(place, weights=logs, minlength=len(sources))
    count = np.bincount(place, minlength=len(sources))
    return np.append((total + _SOURCE_SHRUNK * desk) / (count + _SOURCE_SHRUNK), desk)


def _told(leads: pd.DataFrame, usual: Floats) -> Floats:
    """(n, 3) what the newest stage tells of the time to the win."""
    days = (leads[column].to_numpy(dtype=np.float64) - usual for column in (_AHEAD, _BEFORE))
    return np.column_stack([np.ones(len(leads)), *days])


def _places(frame: pd.DataFrame, column: str, known: Sequence[str]) -> Integers:
    return np.asarray(pd.Index(known).get_indexer(pd.Index(frame[column].astype(str))), dtype=np.int64)
