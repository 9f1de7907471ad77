"""How fast a lead is won or lost per effective working day, by age, source and chance, whatever its state.

Two competing risks, each a Poisson regression with Gaussian priors (ridge) on piecewise constant rates: age band,
source, band x source and the log odds of ever winning at hand-over. Thin cells shrink to their margins, thin margins to
the desk's rate. Leads still to come are forecast by these; open ones by `closing`, where landmarks teach it.

References: Holford (1980), "The analysis of rates and of survivorship using log-linear models", Biometrics 36.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.forecasting.sparse_rows import SparseRows

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BAND_EDGES = (0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
_SHORTEST = 0.05  # a lead closed at the moment of hand-over was still at risk for some minutes
_SOURCES_KEPT = 12
_P_BINS = 16
_MOST_LOG_ODDS = 6.0


@dataclass(frozen=True)
class HazardSettings:
    """Prior precisions (1 / sd^2 of a log rate) of each block of the regression."""

    band: float = 0.5
    source: float = 4.0
    band_by_source: float = 12.0
    odds: float = 20.0
    odds_by_age: float = 20.0
    n_newton: int = 30


@dataclass(frozen=True)
class HazardModel:
    """Fitted rates of winning and losing: `win` and `loss` hold one coefficient a column of the design (`_design`)."""

    edges: tuple[float, ...]
    sources: tuple[str, ...]
    win: Floats
    loss: Floats
    n_won: int
    n_lost: int

    def rates(self, frame: pd.DataFrame) -> tuple[Floats, Floats]:
        """Rates of winning and of losing per effective working day, each (n_leads, n_bands).

        `frame` has `source` and `p_win`; sources never seen count as the desk's mean.
        """
        n, n_bands = len(frame), len(self.edges)
        codes = _codes(frame, self.sources)
        odds = log_odds(frame["p_win"].to_numpy(dtype=np.float64))
        win, loss = np.empty((n, n_bands)), np.empty((n, n_bands))
        for band in range(n_bands):
            X = _design(self, np.full(n, band), codes, odds)
            win[:, band] = np.exp(np.clip(X.dot(self.win), -25.0, 5.0))
            loss[:, band] = np.exp(np.clip(X.dot(self.loss), -25.0, 5.0))
        return win, loss

    def to_parts(self) -> dict[str, object]:
        """JSON-able parameters, floats exact."""
        return {
            "edges": list(self.edges),
            "sources": list(self.sources),
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
            win=np.array([float(v) for v in _items(parts, "win")]),
            loss=np.array([float(v) for v in _items(parts, "loss")]),
            n_won=int(str(parts["n_won"])),
            n_lost=int(str(parts["n_lost"])),
        )


def fit_hazards(
    spells: pd.DataFrame, edges: Sequence[float] = BAND_EDGES, settings: HazardSettings | None = None
) -> HazardModel:
    """Hazards of a history of leads at risk.

    Parameters
    ----------
    spells
        One row a stretch of a lead's life: `age_start`, `age_stop` (effective working days since hand-over), `event`
        at its end ("won", "lost", "dead" where it was given up in silence, "" for none), `source`, `p_win`.
    """
    settings = settings or HazardSettings()
    sources = sorted(spells["source"].astype(str).value_counts().index[:_SOURCES_KEPT])
    event = spells["event"]
    shell = HazardModel(
        tuple(float(e) for e in edges), tuple(sources), np.empty(0), np.empty(0),
        int((event == "won").sum()), int(event.isin(["lost", "dead"]).sum()),
    )  # fmt: skip
    cells = _cells(spells, shell)
    X = _design(shell, cells.band, cells.source, cells.odds)
    to_win, precision = _priors(shell, settings, odds_slope=1.0)
    to_loss, _ = _priors(shell, settings, odds_slope=0.0)
    win = _poisson_ridge(X, cells.won, cells.days, to_win, precision, settings.n_newton)
    loss = _poisson_ridge(X, cells.lost, cells.days, to_loss, precision, settings.n_newton)
    return replace(shell, win=win, loss=loss)


@dataclass(frozen=True)
class Phase:
    """Rates (n_leads, n_bands) that hold from the last phase's end `until` so many effective days after as_of.

    `until`: one number, or one for each lead (n_leads,).
    """

    until: float | Floats
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
        since: float | Floats = 0.0
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
    odds: Floats
    days: Floats
    won: Floats
    lost: Floats


def _items(parts: Mapping[str, object], name: str) -> Sequence[float | str]:
    value = parts[name]
    if not isinstance(value, list):
        raise TypeError(f"{name} of a hazard model is a list, found {type(value).__name__}")
    return value


def _codes(frame: pd.DataFrame, sources: tuple[str, ...]) -> Integers:
    """Position of each row's source among the known ones, -1 for others."""
    return np.asarray(pd.Index(sources).get_indexer(pd.Index(frame["source"].astype(str))), dtype=np.int64)


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
    alike, inverse = _alike([_codes(spells, shell.sources), odds_bin])
    rows = _sum_bands(start, stop, event, inverse, len(alike), shell.edges)
    band, group = np.nonzero(rows[0] > 0)
    chosen = alike[group]
    return _Cells(
        band.astype(np.int64), chosen[:, 0], odds_mean[chosen[:, 1]],
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
        lost[band] = np.bincount(group[here & ((event == "lost") | (event == "dead"))], minlength=n_groups)
    return days, won, lost


def _design(model: HazardModel, band: Integers, source: Integers, odds: Floats) -> SparseRows:
    """Columns: 1, bands, sources, both, odds, odds x age."""
    n, n_bands, n_sources = len(band), len(model.edges), len(model.sources)
    seen, at = source >= 0, 1 + n_bands
    columns = [np.zeros(n, dtype=np.int64), 1 + band, np.where(seen, at + source, -1)]
    at += n_sources
    columns.append(np.where(seen, at + band * n_sources + source, -1))
    at += n_bands * n_sources
    numbers = [odds, odds * (band - (n_bands - 1) / 2.0) / n_bands]
    columns.extend(np.full(n, at + i) for i in range(len(numbers)))
    values = [*[np.ones(n)] * 4, *numbers]
    return SparseRows(np.column_stack(columns).astype(np.int32), np.column_stack(values), at + len(numbers))


def _priors(model: HazardModel, settings: HazardSettings, odds_slope: float) -> tuple[Floats, Floats]:
    """Prior mean and precision of each coefficient."""
    n_bands, n_sources = len(model.edges), len(model.sources)
    precision = np.concatenate(
        (
            [1e-6],
            np.full(n_bands, settings.band),
            np.full(n_sources, settings.source),
            np.full(n_bands * n_sources, settings.band_by_source),
            [settings.odds, settings.odds_by_age],
        )
    )
    mean = np.zeros(len(precision))
    mean[-2] = odds_slope
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
