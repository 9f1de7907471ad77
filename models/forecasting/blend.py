"""Which forecast to use: funnel, panel model, shrunk mean, mean of recent months or a mixture, as past origins say.

A mixture averages quantiles. The mean of recent months is used unless a rival's pinball loss is lower by more than one
standard error over past origins; among rivals within one standard error of the best the simplest is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.errors import RequestError
from models.forecasting import metrics
from models.forecasting.draws import QUANTILES, Draws

Floats = npt.NDArray[np.float64]
Reason = Literal["beats_the_mean", "mean_not_beaten", "too_few_origins"]

FALLBACK = "mean_6"
SHRUNK = "shrunk_mean"
_FEWEST_ORIGINS = 3


@dataclass(frozen=True)
class Choice:
    """What the backtest chose.

    `weights` (method, share) sum to 1; `reason` with the pinball loss of the chosen and of the fallback, their
    difference and its standard error over `n_origins`, all in money: the page's text is written from these.
    """

    weights: tuple[tuple[str, float], ...]
    reason: Reason
    n_origins: int
    loss: float
    fallback_loss: float
    difference: float
    standard_error: float

    @property
    def method(self) -> str:
        """The method's name, "blend" for a mixture."""
        return self.weights[0][0] if len(self.weights) == 1 else "blend"

    def to_parts(self) -> dict[str, object]:
        """JSON-able parameters; what is not finite is null."""
        parts = asdict(self)
        parts["weights"] = [[name, share] for name, share in self.weights]
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in parts.items()}

    @classmethod
    def from_parts(cls, parts: Mapping[str, object]) -> Choice:
        """The choice that `to_parts` described."""
        weights = tuple((str(n), float(s)) for n, s in cast("list[tuple[str, float]]", parts["weights"]))
        names = ("loss", "fallback_loss", "difference", "standard_error")
        numbers = {k: float("nan") if parts[k] is None else float(cast("float", parts[k])) for k in names}
        return cls(weights, cast("Reason", parts["reason"]), int(cast("int", parts["n_origins"])), **numbers)


def choose(
    table: pd.DataFrame, candidates: Sequence[str] = ("funnel", "panel", SHRUNK), fallback: str = FALLBACK
) -> Choice:
    """The method to use after a backtest.

    Parameters
    ----------
    table
        One level of the backtest's long table: `origin, rep_id, month, method, p10 .. p90, y`. Only cases that all of
        the methods forecast count.
    """
    names = [c for c in candidates if (table["method"] == c).any()]
    cube, y, origin = _cube(table, [*names, fallback])
    losses = {w: _by_origin(_mixed(cube, w), y, origin) for w in _grid(len(names))}
    fallback_loss = losses[(*(0.0,) * len(names), 1.0)]
    n_origins = len(fallback_loss)
    if n_origins < _FEWEST_ORIGINS or not names:
        mean = float(fallback_loss.mean()) if n_origins else float("nan")
        return Choice(((fallback, 1.0),), "too_few_origins", n_origins, mean, mean, 0.0, float("nan"))
    best = min(losses, key=lambda w: (float(losses[w].mean()), w))
    chosen = min(
        (w for w in losses if _within_one_error(losses[w], losses[best])),
        key=lambda w: (sum(share > 0 for share in w), float(losses[w].mean()), w),
    )
    gap = losses[chosen] - fallback_loss
    error = _standard_error(gap)
    if gap.mean() >= -error:
        mean = float(fallback_loss.mean())
        return Choice(
            ((fallback, 1.0),), "mean_not_beaten", n_origins, mean, mean, float((losses[best] - fallback_loss).mean()),
            _standard_error(losses[best] - fallback_loss),
        )  # fmt: skip
    weights = tuple((name, share) for name, share in zip([*names, fallback], chosen, strict=True) if share > 0)
    return Choice(
        weights, "beats_the_mean", n_origins, float(losses[chosen].mean()), float(fallback_loss.mean()),
        float(gap.mean()), error,
    )  # fmt: skip


def mix(parts: Mapping[str, Draws], weights: Sequence[tuple[str, float]]) -> Draws:
    """One forecast from several: quantiles averaged, ranks (so the ties between reps) of the heaviest part.

    RequestError where a part is missing or weights do not sum to 1.
    """
    if abs(sum(share for _, share in weights) - 1.0) > 1e-9:
        raise RequestError("weights of a blend sum to 1")
    missing = [name for name, _ in weights if name not in parts]
    if missing:
        raise RequestError(f"a blend needs the forecast of {missing[0]}")
    lead, share = max(weights, key=lambda pair: (pair[1], pair[0] == "funnel"))
    base = parts[lead]
    if len(weights) == 1:
        return base
    order = np.argsort(base.samples, axis=0, kind="stable")
    total = share * np.take_along_axis(base.samples, order, axis=0)
    expected = share * base.expected
    for name, other in weights:
        if name != lead:
            total += other * np.sort(parts[name].samples, axis=0)
            expected = expected + other * parts[name].expected
    samples = np.empty_like(total)
    np.put_along_axis(samples, order, total, axis=0)
    return replace(base, samples=samples, expected=expected, method="blend")


def _grid(n_candidates: int) -> list[tuple[float, ...]]:
    """All mixtures of the candidates and the fallback in steps of a quarter."""
    steps = [k / 4 for k in range(5)]
    return [w for w in product(steps, repeat=n_candidates + 1) if abs(sum(w) - 1.0) < 1e-9]


def _cube(table: pd.DataFrame, methods: Sequence[str]) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Quantiles (n_methods, n_cases, 9), actuals and origins of the cases that every method has."""
    keys = ["origin", "rep_id", "month"]
    frames = [table.loc[table["method"] == m].set_index(keys).sort_index() for m in methods]
    shared = frames[-1].index
    for frame in frames[:-1]:
        shared = shared.intersection(frame.index)
    shared = shared.sort_values()
    aligned = [frame.loc[shared] for frame in frames]
    y = aligned[-1]["y"].to_numpy(dtype=np.float64)
    known = np.isfinite(y)
    cube = np.stack([f[list(QUANTILES)].to_numpy(dtype=np.float64)[known] for f in aligned])
    return cube, y[known], np.asarray(shared.get_level_values("origin"), dtype=np.int64)[known]


def _mixed(cube: Floats, weights: Sequence[float]) -> Floats:
    return np.asarray(np.tensordot(np.asarray(weights), cube, axes=1), dtype=np.float64)


def _by_origin(quantiles: Floats, y: Floats, origin: npt.NDArray[np.int64]) -> Floats:
    loss = metrics.pinball_loss(y, quantiles)
    _, place = np.unique(origin, return_inverse=True)
    return np.asarray(np.bincount(place, weights=loss) / np.bincount(place), dtype=np.float64)


def _standard_error(gap: Floats) -> float:
    return float(gap.std(ddof=1) / np.sqrt(len(gap))) if len(gap) > 1 else float("inf")


def _within_one_error(loss: Floats, best: Floats) -> bool:
    gap = loss - best
    return bool(gap.mean() <= _standard_error(gap)) if gap.any() else True
