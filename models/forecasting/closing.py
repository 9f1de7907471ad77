"""Whether an open lead will be won, and when, given its state now: a mixture of two fates, learnt at landmarks.

At each past landmark every open lead had a state; what became of it teaches both parts of the law:

- the chance that a lead in this state is ever won: a logistic regression on its chance as judged at hand-over, source,
  stage, age on its own clock, activities overdue by its own rhythm, and further states;
- when: hazards of those that will be won and of those that will not, by stage, on the lead's own clock, which runs in
  units of the time that its source and the days to its stages so far foretell. Leads that came this far fast finish
  fast.

Leads still open count as either fate with the probability that their age leaves (EM), so that slow fates count in full.

References
----------
van Houwelingen (2007), "Dynamic prediction by landmarking in event history analysis", Scand. J. Stat. 34.
Sy and Taylor (2000), "Estimation in a Cox proportional hazards cure model", Biometrics 56.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from models.forecasting.hazards import log_odds
from models.forecasting.pace import Clocks, ClosePace, fit_close_pace
from models.forecasting.sparse_rows import SparseRows

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

EDGES = tuple(float(e) for e in np.concatenate([
    np.arange(0.0, 0.6, 0.1), np.arange(0.6, 1.4, 0.05), np.arange(1.4, 1.95, 0.1), [2.0, 2.3, 2.7, 3.2, 4.0],
]).round(2))  # fmt: skip
_AGES = (0.1, 0.25, 0.4, 0.6, 0.8, 0.95, 1.1, 1.3, 1.6, 2.2)  # of a lead's own time: bands of age
_DUE = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.1, 1.4, 2.0, 4.0)  # bands of activities overdue
_RHYTHMS = 3  # of leads with no, one, and more activities
STATES = ("follow_up_log_ratio", "lead_follow_up_log_ratio", "silent_log_days", "stage_log_days", "close_log_days")
_OUTCOMES_KEPT = 10
_SOURCES_KEPT = 40
_FEWEST_WINS = 8
_SHORTEST = 0.05  # effective days
_N_APART = 4


@dataclass(frozen=True)
class ClosingSettings:
    """Prior precisions of each block of the log odds.

    `smooth`: time on the own clock by which a stage's hazards are drawn to those of all; `n_rounds` of EM.
    """

    source: float = 2.7
    stage: float = 0.33
    age: float = 1.3
    age_by_stage: float = 2.7
    overdue: float = 1.3
    outcome: float = 1.3
    odds: float = 13.0
    odds_by_stage: float = 13.0
    apart: float = 0.7
    state: float = 13.0
    smooth: float = 1.0
    n_rounds: int = 5


@dataclass(frozen=True)
class ClosingLaw:
    """Fitted law. `beta`: coefficients of the log odds of ever winning (see `_design`).

    `win`, `loss`: hazards (1 + n_stages, n_bands) per unit of a lead's own clock of those that will be won, or not; the
    first row is for leads without a stage.
    """

    pace: ClosePace
    sources: tuple[str, ...]
    stages: tuple[str, ...]
    outcomes: tuple[str, ...]
    states: tuple[str, ...]
    centre: tuple[float, ...]
    beta: Floats
    win: Floats
    loss: Floats
    n_won: int

    def ever(self, leads: pd.DataFrame, age: Floats) -> Floats:
        """(n,) chance that leads of this state and age (effective days since hand-over) are ever won."""
        return np.asarray(expit(_design(self, leads, age, self.pace.clocks(leads)).dot(self.beta)), dtype=np.float64)

    def win_in_slices(self, leads: pd.DataFrame, skill: Floats, age: Floats, slices: Floats) -> Floats:
        """Probability that each open lead is won in each coming slice of effective days, (n, n_slices).

        `skill` (n,) multiplies the odds of winning; `slices` (n, n_slices).
        """
        scale = self.pace.clocks(leads).won
        ever = self.ever(leads, age)
        ever = ever * skill / (1.0 - ever + ever * skill)
        row = 1 + _places(leads, "stage", self.stages)
        ends = np.column_stack([age, age[:, None] + np.cumsum(slices, axis=1)]) / scale[:, None]
        passed = _cumulative(self.win[row], ends)
        still = np.exp(-(passed - passed[:, :1]))
        return ever[:, None] * (still[:, :-1] - still[:, 1:])

    def habit_effect(self) -> tuple[float, float]:
        """Change of the log odds of winning per unit of `follow_up_log_ratio`, and its usual value; 0, 0 without it."""
        name = "follow_up_log_ratio"
        if name not in self.states:
            return 0.0, 0.0
        at = self.states.index(name)
        return float(self.beta[len(self.beta) - len(self.states) + at]), self.centre[at]

    def to_parts(self) -> dict[str, object]:
        """JSON-able parameters, floats exact."""
        return {
            "pace": self.pace.to_parts(),
            **{name: list(getattr(self, name)) for name in _TUPLES},
            **{name: getattr(self, name).tolist() for name in _ARRAYS},
            "n_won": self.n_won,
        }

    @classmethod
    def from_parts(cls, parts: Mapping[str, object]) -> ClosingLaw:
        """The law that `to_parts` described."""
        tuples = {name: tuple(cast("list[str]", parts[name])) for name in _TUPLES}
        arrays = {name: np.array(parts[name], dtype=np.float64) for name in _ARRAYS}
        pace = ClosePace.from_parts(cast("Mapping[str, object]", parts["pace"]))
        return cls(pace=pace, n_won=int(str(parts["n_won"])), **tuples, **arrays)  # type: ignore[arg-type]


_TUPLES = ("sources", "stages", "outcomes", "states", "centre")
_ARRAYS = ("beta", "win", "loss")


def fit_closing(
    spells: pd.DataFrame, landmarks: pd.DataFrame, settings: ClosingSettings | None = None
) -> ClosingLaw | None:
    """The law that landmarks teach; None where fewer than `_FEWEST_WINS` of them ended in a win.

    Parameters
    ----------
    landmarks
        A row a lead open at a landmark: `age_start` there and `age_stop` where it closed or was seen last (effective
        working days since hand-over), `event` ("won", "lost", "dead", "" while open), `source`, `p_win`, and what the
        inputs tell of open leads: stage, activities and `STATES`, as they stood at the landmark; all optional.
    """
    settings = settings or ClosingSettings()
    event = landmarks["event"].to_numpy(dtype=object)
    if int((event == "won").sum()) < _FEWEST_WINS:
        return None
    pace = fit_close_pace(spells, landmarks)
    clocks = pace.clocks(landmarks)
    start, stop = (landmarks[column].to_numpy(dtype=np.float64) for column in ("age_start", "age_stop"))
    stop = np.maximum(stop, start + _SHORTEST)
    shell = _shell(pace, landmarks)
    X = _design(shell, landmarks, start, clocks)
    row = 1 + _places(landmarks, "stage", shell.stages)
    mean, precision = _priors(shell, settings)
    won, closed = event == "won", event != ""
    to_win, to_loss = (_exposures(start / clock, stop / clock) for clock in (clocks.won, clocks.lost))
    n_rows = len(shell.stages) + 1
    chance = np.where(won, 1.0, 0.0)
    chance[~closed] = 0.1
    beta = mean
    win = loss = np.empty(0)
    for _ in range(settings.n_rounds):
        win = _hazards(to_win, stop / clocks.won, row, won, chance, n_rows, settings.smooth)
        loss = _hazards(to_loss, stop / clocks.lost, row, closed & ~won, 1.0 - chance, n_rows, settings.smooth)
        beta = _logistic(X, chance, beta, mean, precision)
        log_ratio = (loss[row] * to_loss).sum(axis=1) - (win[row] * to_win).sum(axis=1)
        chance = np.where(closed, won, expit(X.dot(beta) + log_ratio))
    return ClosingLaw(**{**shell.__dict__, "beta": beta, "win": win, "loss": loss})


def _shell(pace: ClosePace, landmarks: pd.DataFrame) -> ClosingLaw:
    states = tuple(
        s for s in STATES if s in landmarks.columns and bool(np.isfinite(landmarks[s].to_numpy(float)).any())
    )
    centre = tuple(float(np.nanmean(landmarks[s].to_numpy(float))) for s in states)
    return ClosingLaw(
        pace, _texts(landmarks, "source", _SOURCES_KEPT), pace.stages,
        _texts(landmarks, "last_outcome", _OUTCOMES_KEPT), states, centre, np.empty(0), np.empty(0), np.empty(0),
        int((landmarks["event"] == "won").sum()),
    )  # fmt: skip


def _texts(frame: pd.DataFrame, column: str, most: int) -> tuple[str, ...]:
    """The most frequent texts of a column that are not empty, sorted."""
    if column not in frame.columns:
        return ()
    texts = frame[column].astype(str)
    return tuple(sorted(texts.loc[texts != ""].value_counts().index[:most]))


def _places(frame: pd.DataFrame, column: str, known: Sequence[str]) -> Integers:
    """Position of each row's text among the known ones, -1 for others."""
    if column not in frame.columns or not known:
        return np.full(len(frame), -1, dtype=np.int64)
    return np.asarray(pd.Index(known).get_indexer(pd.Index(frame[column].astype(str))), dtype=np.int64)


def _design(law: ClosingLaw, leads: pd.DataFrame, age: Floats, clocks: Clocks) -> SparseRows:
    """Columns: 1, sources, bands of age on the clocks of win and loss, stages (alone, x bands, x odds), activities
    overdue, outcomes, odds, the pace foretold over the usual ones (alone, squared), states."""
    n, n_bands, n_stages = len(leads), len(_AGES) + 1, len(law.stages)
    band, lost_band = (np.searchsorted(_AGES, age / clock).astype(np.int64) for clock in (clocks.won, clocks.lost))
    stage = _places(leads, "stage", law.stages)
    odds = log_odds(leads["p_win"].to_numpy(dtype=np.float64))
    one, none = np.ones(n), np.full(n, -1, dtype=np.int64)
    columns, values, at = [np.zeros(n, dtype=np.int64)], [one], 1

    def add(code: Integers, width: int, value: Floats = one) -> None:
        nonlocal at
        columns.append(np.where(code >= 0, at + code, none))
        values.append(value)
        at += width

    add(_places(leads, "source", law.sources), len(law.sources))
    add(band, n_bands)
    add(np.where(stage < 0, lost_band, -1), n_bands)
    add(stage, n_stages)
    add(np.where(stage >= 0, stage * n_bands + band, -1), n_stages * n_bands)
    add(stage, n_stages, odds)
    add(_overdue(leads), _RHYTHMS * (len(_DUE) + 1))
    add(_places(leads, "last_outcome", law.outcomes), len(law.outcomes))
    for value in (odds, *clocks.apart.T, *np.square(clocks.apart).T, *_states(law, leads).T):
        add(np.zeros(n, dtype=np.int64), 1, value)
    return SparseRows(np.column_stack(columns).astype(np.int32), np.column_stack(values), at)


def _overdue(leads: pd.DataFrame) -> Integers:
    """Band of the activities overdue, apart by how many there were; -1 where nobody tells."""
    if "overdue" not in leads.columns:
        return np.full(len(leads), -1, dtype=np.int64)
    due, done = (leads[column].to_numpy(dtype=np.float64) for column in ("overdue", "n_activities"))
    code = np.clip(done, 0, _RHYTHMS - 1) * (len(_DUE) + 1) + np.searchsorted(_DUE, np.nan_to_num(due))
    return np.where(np.isfinite(due), np.nan_to_num(code), -1).astype(np.int64)


def _states(law: ClosingLaw, leads: pd.DataFrame) -> Floats:
    """(n, n_states) numbers about their means; missing ones are average."""
    out = np.zeros((len(leads), len(law.states)))
    for i, (name, middle) in enumerate(zip(law.states, law.centre, strict=True)):
        if name in leads.columns:
            out[:, i] = np.nan_to_num(leads[name].to_numpy(dtype=np.float64) - middle, nan=0.0)
    return np.clip(out, -4.0, 4.0)


def _priors(law: ClosingLaw, settings: ClosingSettings) -> tuple[Floats, Floats]:
    """Prior means and precisions of the columns of `_design`."""
    n_bands, n_stages = len(_AGES) + 1, len(law.stages)
    precision = np.concatenate([
        [1e-3],
        np.full(len(law.sources), settings.source),
        np.full(2 * n_bands, settings.age),
        np.full(n_stages, settings.stage),
        np.full(n_stages * n_bands, settings.age_by_stage),
        np.full(n_stages, settings.odds_by_stage),
        np.full(_RHYTHMS * (len(_DUE) + 1), settings.overdue),
        np.full(len(law.outcomes), settings.outcome),
        [settings.odds],
        np.full(_N_APART, settings.apart),
        np.full(len(law.states), settings.state),
    ])  # fmt: skip
    mean = np.zeros(len(precision))
    mean[len(mean) - len(law.states) - _N_APART - 1] = 1.0
    return mean, precision


def _exposures(start: Floats, stop: Floats) -> Floats:
    """(n, n_bands) time on the own clock that each row spends in each band."""
    low, high = np.array(EDGES), np.append(EDGES[1:], np.inf)
    return np.maximum(np.minimum(stop[:, None], high) - np.maximum(start[:, None], low), 0.0)


def _cumulative(hazards: Floats, ends: Floats) -> Floats:
    """(n, k) integrals of each row's hazards (n, n_bands) from 0 to `ends` (n, k)."""
    return np.stack([(hazards * _exposures(np.zeros(len(ends)), ends[:, k])).sum(axis=1) for k in range(ends.shape[1])],
                    axis=1)  # fmt: skip


def _hazards(
    days: Floats, stop: Floats, row: Integers, ended: npt.NDArray[np.bool_], weight: Floats, n_rows: int, smooth: float
) -> Floats:
    """(n_rows, n_bands) hazards of one fate: events over weighted time at risk, drawn to the hazards of all rows."""
    band = np.clip(np.searchsorted(EDGES, stop, side="left") - 1, 0, len(EDGES) - 1)
    at_risk, events = np.zeros((n_rows, len(EDGES))), np.zeros((n_rows, len(EDGES)))
    for k in range(n_rows):
        here = row == k
        at_risk[k] = weight[here] @ days[here]
        events[k] = np.bincount(band[here & ended], minlength=len(EDGES))
    usual = (events.sum(axis=0) + 0.5 * events.sum() / max(at_risk.sum(), 1e-9)) / (at_risk.sum(axis=0) + 0.5)
    return (events + smooth * usual) / (at_risk + smooth)


def _logistic(X: SparseRows, y: Floats, start: Floats, mean: Floats, precision: Floats) -> Floats:
    """Posterior mode of a logistic regression of y in [0, 1] under Gaussian priors, by Newton steps."""
    beta = start.copy()
    for _ in range(25):
        p = expit(X.dot(beta))
        gradient = X.transposed_dot(p - y) + precision * (beta - mean)
        step = np.linalg.solve(X.gram(np.maximum(p * (1.0 - p), 1e-6)) + np.diag(precision), gradient)
        largest = float(np.abs(step).max())
        beta = beta - step * min(1.0, 2.0 / max(largest, 1e-12))
        if largest < 1e-6:
            break
    return beta
