"""How fast an open lead is won or lost per effective working day, by age, source and state.

Two competing risks, each a Poisson regression with Gaussian priors (ridge) on piecewise constant rates: age band,
source, band x source, optional stage, the log odds of ever winning at hand-over, and further states of the moment
such as follow-ups against the rep's own habit. Thin cells shrink to their margins, thin margins to the desk's rate.

References: Holford (1980), "The analysis of rates and of survivorship using log-linear models", Biometrics 36.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.forecasting.sparse_rows import SparseRows

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BAND_EDGES = (0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
WINDOW_DAYS = (0, 7, 14, 28, 56, 84)  # calendar days after a landmark, each window with its own regression
_EFFECTIVE = 5.0 / 7.0  # working days a calendar day
STATES = ("follow_up_log_ratio", "lead_follow_up_log_ratio", "silent_log_days", "stage_log_days", "close_log_days")
_SHORTEST = 0.05  # a lead closed at the moment of hand-over was still at risk for some minutes
_SOURCES_KEPT = 12
_OUTCOMES_KEPT = 10
_P_BINS = 16
_STATE_BINS = 7
_MOST_LOG_ODDS = 6.0
_FEWEST_WINS = 8  # in a window of days after landmarks
_PACE = "stage_log_days"


@dataclass(frozen=True)
class HazardSettings:
    """Prior precisions (1 / sd^2 of a log rate) of each block of the regression.

    `pooled` multiplies them where a window of days after landmarks is drawn to all windows together.
    """

    band: float = 0.5
    source: float = 4.0
    band_by_source: float = 12.0
    stage: float = 2.0
    odds: float = 20.0
    odds_by_age: float = 20.0
    state: float = 20.0
    stage_pace: float = 10.0
    pace: float = 4.0
    outcome: float = 8.0
    pooled: float = 2.0
    n_newton: int = 30


@dataclass(frozen=True)
class HazardModel:
    """Fitted rates of winning and losing.

    `win` and `loss` hold one coefficient a column of the design (see `_design`); `states` are the names of the
    numeric states in use, `centre` their means over the time at risk.
    """

    edges: tuple[float, ...]
    sources: tuple[str, ...]
    stages: tuple[str, ...]
    paces: tuple[str, ...]
    outcomes: tuple[str, ...]
    states: tuple[str, ...]
    centre: tuple[float, ...]
    win: Floats
    loss: Floats
    n_won: int
    n_lost: int

    def rates(self, frame: pd.DataFrame) -> tuple[Floats, Floats]:
        """Rates of winning and of losing per effective working day, each (n_leads, n_bands).

        `frame` has `source`, `p_win` and, where fitted, `stage` and the states; absent or missing states count as
        average, sources and stages never seen as the desk's mean.
        """
        n, n_bands = len(frame), len(self.edges)
        codes = _codes(frame, "source", self.sources)
        stages = _codes(frame, "stage", self.stages)
        paces = _codes(frame, "stage_pace", self.paces)
        outcomes = _codes(frame, "last_outcome", self.outcomes)
        odds = log_odds(frame["p_win"].to_numpy(dtype=np.float64))
        states = _states(frame, self.states, self.centre)
        win, loss = np.empty((n, n_bands)), np.empty((n, n_bands))
        for band in range(n_bands):
            X = _design(self, np.full(n, band), codes, stages, paces, outcomes, odds, states)
            win[:, band] = np.exp(np.clip(X.dot(self.win), -25.0, 5.0))
            loss[:, band] = np.exp(np.clip(X.dot(self.loss), -25.0, 5.0))
        return win, loss

    def state_effect(self, name: str) -> float:
        """Change of the log rate of winning per unit of a state; 0 where the state was not fitted."""
        if name not in self.states:
            return 0.0
        return float(self.win[len(self.win) - len(self.states) + self.states.index(name)])

    def to_parts(self) -> dict[str, object]:
        """JSON-able parameters, floats exact."""
        return {
            "edges": list(self.edges),
            "sources": list(self.sources),
            "stages": list(self.stages),
            "paces": list(self.paces),
            "outcomes": list(self.outcomes),
            "states": list(self.states),
            "centre": list(self.centre),
            "win": [float(v) for v in self.win],
            "loss": [float(v) for v in self.loss],
            "n_won": self.n_won,
            "n_lost": self.n_lost,
        }

    @classmethod
    def from_parts(cls, parts: Mapping[str, object]) -> HazardModel:
        """The model that `to_parts` described."""
        return cls(
            edges=tuple(float(v) for v in _items(parts, "edges")),
            sources=tuple(str(v) for v in _items(parts, "sources")),
            stages=tuple(str(v) for v in _items(parts, "stages")),
            paces=tuple(str(v) for v in _items(parts, "paces")) if "paces" in parts else (),
            outcomes=tuple(str(v) for v in _items(parts, "outcomes")) if "outcomes" in parts else (),
            states=tuple(str(v) for v in _items(parts, "states")),
            centre=tuple(float(v) for v in _items(parts, "centre")),
            win=np.array([float(v) for v in _items(parts, "win")]),
            loss=np.array([float(v) for v in _items(parts, "loss")]),
            n_won=int(str(parts["n_won"])),
            n_lost=int(str(parts["n_lost"])),
        )


def fit_hazards(
    spells: pd.DataFrame,
    edges: Sequence[float] = BAND_EDGES,
    settings: HazardSettings | None = None,
    with_states: bool = True,
    pooled: HazardModel | None = None,
) -> HazardModel:
    """Hazards of a history of leads at risk; `with_states` False leaves stage and states out.

    `pooled`: a fit on more of the same, whose levels are taken over and whose coefficients these are drawn to.

    Parameters
    ----------
    spells
        One row a stretch of a lead's life: `age_start`, `age_stop` (effective working days since hand-over), `event`
        at its end ("won", "lost", "" for none), `source`, `p_win`; optional `stage` and the columns of `STATES` as
        they stood at the stretch's start. A lead may be one row or many.
    """
    settings = settings or HazardSettings()
    known = spells["source"].astype(str).value_counts()
    stages = _texts(spells, "stage") if with_states else []
    paces = _texts(spells, "stage_pace") if stages else []
    outcomes = sorted(_most(spells, "last_outcome", _OUTCOMES_KEPT)) if with_states else []
    states = tuple(
        s for s in STATES if with_states and s in spells.columns and bool(np.isfinite(spells[s].to_numpy(float)).any())
    )
    sources = sorted(known.index[:_SOURCES_KEPT])
    shell = pooled or HazardModel(
        tuple(float(e) for e in edges), tuple(sources), tuple(stages), tuple(paces), tuple(outcomes), states,
        _centres(spells, states),
        np.empty(0), np.empty(0), int((spells["event"] == "won").sum()), int((spells["event"] == "lost").sum()),
    )  # fmt: skip
    cells = _cells(spells, shell)
    X = _design(shell, cells.band, cells.source, cells.stage, cells.pace, cells.outcome, cells.odds, cells.states)
    to_win, precision = _priors(shell, settings, odds_slope=1.0)
    to_loss, _ = _priors(shell, settings, odds_slope=0.0)
    if pooled is not None:
        to_win, to_loss, precision = pooled.win, pooled.loss, settings.pooled * precision
    win = _poisson_ridge(X, cells.won, cells.days, to_win, precision, settings.n_newton)
    loss = _poisson_ridge(X, cells.lost, cells.days, to_loss, precision, settings.n_newton)
    counts = {"n_won": int((spells["event"] == "won").sum()), "n_lost": int((spells["event"] == "lost").sum())}
    return HazardModel(**{**shell.__dict__, **counts, "win": win, "loss": loss})


@dataclass(frozen=True)
class Phase:
    """Rates (n_leads, n_bands) that hold from the last phase's end until so many effective days after as_of."""

    until: float
    win: Floats
    loss: Floats


def win_in_slices(phases: Sequence[Phase], edges: Sequence[float], age: Floats, slices: Floats) -> Floats:
    """Probability that each lead is won in each coming slice of time, given that it is open now: (n, n_slices).

    Parameters
    ----------
    phases
        In order of time, the last one without end (infinite `until`).
    age
        (n,) effective working days since hand-over.
    slices
        (n, n_slices) or (n_slices,) effective working days of each slice.
    """
    n = len(age)
    lengths = np.broadcast_to(slices, (n, np.shape(slices)[-1]))
    ends = np.cumsum(lengths, axis=1)
    tops = np.append(np.asarray(edges, dtype=np.float64)[1:], np.inf)
    out = np.zeros(lengths.shape)
    open_share = np.ones(n)
    for h in range(lengths.shape[1]):
        since = 0.0
        for phase in phases:
            start = np.clip(ends[:, h] - lengths[:, h], since, phase.until) + age
            stop = np.clip(ends[:, h], since, phase.until) + age
            since = phase.until
            for band, (low, high) in enumerate(zip(edges, tops, strict=True)):
                days = np.maximum(np.minimum(stop, high) - np.maximum(start, low), 0.0)
                both = phase.win[:, band] + phase.loss[:, band]
                closed = open_share * -np.expm1(-both * days)
                out[:, h] += closed * phase.win[:, band] / np.maximum(both, 1e-300)
                open_share = open_share - closed
    return out


def log_odds(p: Floats) -> Floats:
    """Log odds of probabilities, held within +-6; missing ones count as 0.1."""
    filled = np.where(np.isfinite(p), p, 0.1)
    tame = np.clip(filled, 1e-6, 1.0 - 1e-6)
    return np.clip(np.log(tame / (1.0 - tame)), -_MOST_LOG_ODDS, _MOST_LOG_ODDS)


@dataclass(frozen=True)
class _Cells:
    """Time at risk and events summed over leads alike."""

    band: Integers
    source: Integers
    stage: Integers
    pace: Integers
    outcome: Integers
    odds: Floats
    states: Floats
    days: Floats
    won: Floats
    lost: Floats


def _items(parts: Mapping[str, object], name: str) -> Sequence[float | str]:
    value = parts[name]
    if not isinstance(value, list):
        raise TypeError(f"{name} of a hazard model is a list, found {type(value).__name__}")
    return value


def _texts(frame: pd.DataFrame, column: str) -> list[str]:
    """The distinct texts of a column that are not empty, sorted."""
    if column not in frame.columns:
        return []
    return sorted(set(frame[column].astype(str).unique()) - {""})


def _most(frame: pd.DataFrame, column: str, most: int) -> list[str]:
    """The most frequent texts of a column that are not empty."""
    if column not in frame.columns:
        return []
    texts = frame[column].astype(str)
    return list(texts.loc[texts != ""].value_counts().index[:most])


def _codes(frame: pd.DataFrame, column: str, known: tuple[str, ...]) -> Integers:
    """Position of each row's value among the known ones, -1 for others."""
    if column not in frame.columns or not known:
        return np.full(len(frame), -1, dtype=np.int64)
    return np.asarray(pd.Index(known).get_indexer(pd.Index(frame[column].astype(str))), dtype=np.int64)


def _centres(spells: pd.DataFrame, states: tuple[str, ...]) -> tuple[float, ...]:
    days = np.maximum((spells["age_stop"] - spells["age_start"]).to_numpy(float), _SHORTEST)
    found = []
    for name in states:
        values = spells[name].to_numpy(dtype=np.float64)
        fine = np.isfinite(values)
        found.append(float(np.average(values[fine], weights=days[fine])))
    return tuple(found)


def _states(frame: pd.DataFrame, names: tuple[str, ...], centre: tuple[float, ...]) -> Floats:
    """Centred states (n, n_states); missing is average, that is 0."""
    out = np.zeros((len(frame), len(names)))
    for i, (name, middle) in enumerate(zip(names, centre, strict=True)):
        if name in frame.columns:
            out[:, i] = np.nan_to_num(frame[name].to_numpy(dtype=np.float64) - middle, nan=0.0)
    return np.clip(out, -4.0, 4.0)


def _binned(values: Floats, n_bins: int) -> tuple[Integers, Floats]:
    """Bin of each value and each bin's mean: leads alike share a cell, so a million rows become a few thousand."""
    inner = np.unique(np.quantile(values, np.linspace(0.0, 1.0, n_bins + 1)[1:-1])) if len(values) else np.empty(0)
    bins = np.searchsorted(inner, values, side="right")
    total = np.bincount(bins, weights=values, minlength=len(inner) + 1)
    count = np.bincount(bins, minlength=len(inner) + 1)
    return bins.astype(np.int64), total / np.maximum(count, 1)


def _cells(spells: pd.DataFrame, shell: HazardModel) -> _Cells:
    start = spells["age_start"].to_numpy(dtype=np.float64)
    stop = np.maximum(spells["age_stop"].to_numpy(dtype=np.float64), start + _SHORTEST)
    event = spells["event"].to_numpy(dtype=object)
    odds_bin, odds_mean = _binned(log_odds(spells["p_win"].to_numpy(dtype=np.float64)), _P_BINS)
    named = (
        ("source", shell.sources), ("stage", shell.stages), ("stage_pace", shell.paces),
        ("last_outcome", shell.outcomes),
    )  # fmt: skip
    keys = [*(_codes(spells, column, known) for column, known in named), odds_bin]
    states = _states(spells, shell.states, shell.centre)
    means = []
    for i in range(states.shape[1]):
        bins, mean = _binned(states[:, i], _STATE_BINS)
        keys.append(bins)
        means.append(mean)
    alike, inverse = _alike(keys)
    rows = _sum_bands(start, stop, event, inverse, len(alike), shell.edges)
    band, group = np.nonzero(rows[0] > 0)
    chosen = alike[group]
    state_means = [mean[chosen[:, 5 + i]] for i, mean in enumerate(means)]
    return _Cells(
        band.astype(np.int64), chosen[:, 0], chosen[:, 1], chosen[:, 2], chosen[:, 3],
        odds_mean[chosen[:, 4]],
        np.column_stack(state_means) if state_means else np.zeros((len(group), 0)),
        rows[0][band, group], rows[1][band, group], rows[2][band, group],
    )  # fmt: skip


def _alike(keys: Sequence[Integers]) -> tuple[Integers, Integers]:
    """Distinct rows of keys (each from -1 up) laid side by side, and the place of each row among them."""
    sizes = [int(key.max(initial=-1)) + 2 for key in keys]
    code = np.zeros(len(keys[0]), dtype=np.int64)
    for key, size in zip(keys, sizes, strict=True):
        code = code * size + key + 1
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    return np.column_stack(keys)[first], inverse.ravel().astype(np.int64)


def _sum_bands(
    start: Floats, stop: Floats, event: npt.NDArray[np.object_], group: Integers, n_groups: int, edges: Sequence[float]
) -> tuple[Floats, Floats, Floats]:
    """Days at risk, wins and losses by band and group, each (n_bands, n_groups)."""
    tops = [*edges[1:], np.inf]
    days, won, lost = (np.zeros((len(edges), n_groups)) for _ in range(3))
    for band, (low, high) in enumerate(zip(edges, tops, strict=True)):
        inside = np.maximum(np.minimum(stop, high) - np.maximum(start, low), 0.0)
        days[band] = np.bincount(group, weights=inside, minlength=n_groups)
        here = (stop > low) & (stop <= high)
        won[band] = np.bincount(group[here & (event == "won")], minlength=n_groups)
        lost[band] = np.bincount(group[here & (event == "lost")], minlength=n_groups)
    return days, won, lost


def _design(
    model: HazardModel, band: Integers, source: Integers, stage: Integers, pace: Integers, outcome: Integers,
    odds: Floats,
    states: Floats,
) -> SparseRows:  # fmt: skip
    """Columns: 1, bands, sources, both, stages, stages x days in them, paces, outcomes, odds, odds x age, states."""
    n, n_bands, n_sources = len(band), len(model.edges), len(model.sources)
    columns = [np.zeros(n, dtype=np.int64), 1 + band]
    seen, at = source >= 0, 1 + n_bands
    columns.append(np.where(seen, at + source, -1))
    at += n_sources
    columns.append(np.where(seen, at + band * n_sources + source, -1))
    at += n_bands * n_sources
    columns.append(np.where(stage >= 0, at + stage, -1))
    at += len(model.stages)
    values = [np.ones(n)] * len(columns)
    if _PACE in model.states:
        columns.append(np.where(stage >= 0, at + stage, -1))
        values.append(states[:, model.states.index(_PACE)])
        at += len(model.stages)
    for code, known in ((pace, model.paces), (outcome, model.outcomes)):
        columns.append(np.where(code >= 0, at + code, -1))
        values.append(np.ones(n))
        at += len(known)
    numbers = [odds, odds * (band - (n_bands - 1) / 2.0) / n_bands, *states.T]
    columns.extend(np.full(n, at + i) for i in range(len(numbers)))
    values.extend(numbers)
    return SparseRows(np.column_stack(columns).astype(np.int32), np.column_stack(values), _width(model))


def _width(model: HazardModel) -> int:
    n_bands, n_sources = len(model.edges), len(model.sources)
    return (
        1
        + n_bands
        + n_sources
        + n_bands * n_sources
        + _n_stage_columns(model)
        + len(model.paces)
        + len(model.outcomes)
        + 2
        + len(model.states)
    )


def _n_stage_columns(model: HazardModel) -> int:
    return len(model.stages) * (2 if _PACE in model.states else 1)


def _priors(model: HazardModel, settings: HazardSettings, odds_slope: float) -> tuple[Floats, Floats]:
    """Prior mean and precision of each coefficient."""
    n_bands, n_sources = len(model.edges), len(model.sources)
    precision = np.concatenate(
        (
            [1e-6],
            np.full(n_bands, settings.band),
            np.full(n_sources, settings.source),
            np.full(n_bands * n_sources, settings.band_by_source),
            np.full(len(model.stages), settings.stage),
            np.full(_n_stage_columns(model) - len(model.stages), settings.stage_pace),
            np.full(len(model.paces), settings.pace),
            np.full(len(model.outcomes), settings.outcome),
            [settings.odds, settings.odds_by_age],
            np.full(len(model.states), settings.state),
        )
    )
    mean = np.zeros(len(precision))
    mean[len(mean) - len(model.states) - 2] = odds_slope
    return mean, precision


def _poisson_ridge(
    X: SparseRows, events: Floats, days: Floats, mean: Floats, precision: Floats, n_newton: int
) -> Floats:
    """Posterior mode of log rates under Gaussian priors, by Newton steps that are halved until they help."""
    beta = mean.copy()
    # Start where the total is right; with no event at all, at half an event, so that the rate stays finite.
    lift = np.exp(np.clip(X.dot(beta), -25.0, 25.0)) @ days
    beta[0] += np.log(max(float(events.sum()), 0.5) / max(float(lift), 1e-12))
    weights = precision.copy()
    weights[0] = max(weights[0], 1e-6 if events.sum() > 0 else 1.0)
    centre = mean.copy()
    centre[0] = beta[0]
    value = _penalised(X, events, days, beta, centre, weights)
    for _ in range(n_newton):
        rate = np.exp(np.clip(X.dot(beta), -25.0, 25.0)) * days
        gradient = X.transposed_dot(rate - events) + weights * (beta - centre)
        hessian = X.gram(rate) + np.diag(weights)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-4:
            trial = beta - size * step
            reached = _penalised(X, events, days, trial, centre, weights)
            if reached <= value + 1e-12:
                break
            size /= 2.0
        else:
            break
        done = value - reached < 1e-9 * max(abs(value), 1.0)
        beta, value = trial, reached
        if done:
            break
    return beta


def _penalised(X: SparseRows, events: Floats, days: Floats, beta: Floats, centre: Floats, weights: Floats) -> float:
    eta = np.clip(X.dot(beta), -25.0, 25.0)
    fit = float(np.exp(eta) @ days - events @ eta)
    return fit + 0.5 * float(weights @ (beta - centre) ** 2)


@dataclass(frozen=True)
class HazardSet:
    """Hazards of leads whatever their state, and given the state at a landmark for each window of days after it.

    A state says much about the next days and less about later ones, so each window has its own regression on the state
    of now; what lies beyond the last follows the age alone.
    """

    plain: HazardModel
    given: tuple[HazardModel, ...] = ()

    def phases(self, leads: pd.DataFrame, skill: Floats) -> list[Phase]:
        """Rates of open leads from now on; `skill` (n_leads,) multiplies winning."""
        models = [*self.given, self.plain]
        ends = [_EFFECTIVE * day for day in WINDOW_DAYS[1 : len(self.given) + 1]] + [float("inf")]
        found = []
        for until, model in zip(ends, models, strict=True):
            win, loss = model.rates(leads)
            found.append(Phase(until, win * skill[:, None], loss))
        return found

    def habit_effect(self) -> tuple[float, float]:
        """Change of the log rate of winning per unit of `follow_up_log_ratio` over the windows, and its usual value."""
        name = "follow_up_log_ratio"
        fitted = [model for model in self.given if name in model.states]
        weights = np.array([model.n_won for model in fitted], dtype=np.float64)
        if not weights.sum():
            return 0.0, 0.0
        effect = weights @ np.array([model.state_effect(name) for model in fitted]) / weights.sum()
        return float(effect), fitted[0].centre[fitted[0].states.index(name)]

    def to_parts(self) -> dict[str, object]:
        """JSON-able parameters, floats exact."""
        return {"plain": self.plain.to_parts(), "given": [model.to_parts() for model in self.given]}

    @classmethod
    def from_parts(cls, parts: Mapping[str, object]) -> HazardSet:
        """The set that `to_parts` described."""
        given = cast("list[Mapping[str, object]]", parts["given"])
        plain = HazardModel.from_parts(cast("Mapping[str, object]", parts["plain"]))
        return cls(plain, tuple(HazardModel.from_parts(one) for one in given))


def fit_hazard_set(
    spells: pd.DataFrame, landmarks: pd.DataFrame | None = None, settings: HazardSettings | None = None
) -> HazardSet:
    """Hazards of whole lives, and given the state where landmarks bring any.

    Parameters
    ----------
    landmarks
        A row a lead open at a landmark and window of `WINDOW_DAYS` that it lived into: the columns of spells for its
        days in that window, `window`, and `stage` and states as they stood at the landmark.
    """
    plain = fit_hazards(spells, settings=settings, with_states=False)
    if landmarks is None or not len(landmarks) or not {"stage", *STATES} & set(landmarks.columns):
        return HazardSet(plain)
    window = landmarks["window"].to_numpy(dtype=np.int64)
    parts = [landmarks.loc[window == k] for k in range(len(WINDOW_DAYS) - 1)]
    enough = [int((part["event"] == "won").sum()) >= _FEWEST_WINS for part in parts]
    n_usable = enough.index(False) if False in enough else len(parts)
    if not n_usable:
        return HazardSet(plain)
    together = fit_hazards(landmarks.loc[window < n_usable], settings=settings)
    return HazardSet(plain, tuple(fit_hazards(part, settings=settings, pooled=together) for part in parts[:n_usable]))
