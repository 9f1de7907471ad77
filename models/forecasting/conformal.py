"""Quantiles that cover as they say: a map of levels learnt from past PIT values, adapted origin by origin.

If forecasts were right, PIT values would be uniform. Their distribution on past origins says at which level a forecast
must be asked to be right: the map is estimated by horizon and size of rep, drawn to the horizon's and to none at all
where residuals are few, and after each origin corrected by adaptive conformal inference. Only the width is learnt:
each PIT value counts together with its mirror image, since the location of a month's errors is one shock that all reps
share, and a handful of past months cannot tell it from luck. A map of levels keeps quantiles in order, never below what
is closed, and leaves a mass at zero where it is; it cannot reach past the widest draw, so a forecast that is far too
narrow must be mended at its source. The mean stays as forecast.

References: Gibbs, Candes (2021), "Adaptive conformal inference under distribution shift", NeurIPS 34; Kuleshov, Fenner,
Ermon (2018), "Accurate uncertainties for deep learning using calibrated regression", ICML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from features import moments
from models.forecasting.draws import Draws

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

KNOTS = tuple(k / 20 for k in range(1, 20))
N_SIZES = 2
_STRENGTH = 60.0  # residuals' worth of "no correction"
_STEP = 0.05


@dataclass(frozen=True)
class Calibration:
    """Where to ask a forecast so that it covers as named.

    Attributes
    ----------
    levels
        (n_horizons, 2, n_knots): the forecast's own level that stands for each level of `KNOTS`.
    edge
        Expected contribution (major units) from which a rep-month counts as large.
    n
        Residuals that it was learnt from.
    """

    levels: Floats
    edge: float
    n: int

    def map_levels(self, tau: Floats, horizon: int, size: int) -> Floats:
        """The forecast's own levels for levels tau (0 to 1), any shape; horizons beyond the last use the last."""
        h = min(max(horizon, 0), len(self.levels) - 1)
        x = np.concatenate(([0.0], KNOTS, [1.0]))
        return np.interp(tau, x, np.concatenate(([0.0], self.levels[h, size], [1.0])))

    def size_of(self, mean: Floats) -> Integers:
        """0 for small, 1 for large expected contributions, shape as given."""
        return (mean >= self.edge).astype(np.int64)

    def apply(self, draws: Draws, as_of: int, zone: str = "UTC") -> Draws:
        """The draws with each rep-month's distribution mapped; a draw keeps its rank, so sums stay coherent."""
        n = len(draws.samples)
        own = (np.arange(n) + 0.5) / n
        size = self.size_of(draws.expected)
        first = moments.month_of(as_of, zone)
        out = draws.samples.copy()
        for h, month in enumerate(draws.months):
            order = np.argsort(draws.samples[:, :, h], axis=0, kind="stable")
            ranked = np.take_along_axis(draws.samples[:, :, h], order, axis=0)
            for c in range(N_SIZES):
                reps = np.flatnonzero(size[:, h] == c)
                asked = self.map_levels(own, int(month) - first, c) * n - 0.5
                low = np.clip(np.floor(asked), 0, n - 1).astype(np.int64)
                part = np.clip(asked - low, 0.0, 1.0)[:, None]
                high = np.minimum(low + 1, n - 1)
                values = ranked[low][:, reps] * (1.0 - part) + ranked[high][:, reps] * part
                block = np.empty_like(values)
                np.put_along_axis(block, order[:, reps], values, axis=0)
                out[:, reps, h] = block
        return replace(draws, samples=_with_mean(out, draws.expected, draws.closed))

    def update(self, pit: Floats, horizon: Integers, size: Integers, step: float = _STEP) -> Calibration:
        """The calibration after one more origin: each asked level moves against its miss (adaptive conformal)."""
        levels = self.levels.copy()
        for h in range(levels.shape[0]):
            for c in range(N_SIZES):
                mine = pit[(horizon == h) & (size == c)]
                if not len(mine):
                    continue
                below = (mine[:, None] <= levels[h, c][None]).mean(axis=0)
                # Few cases say little: the step grows with their number up to its full size.
                gain = step * len(mine) / (len(mine) + 10.0)
                levels[h, c] = _ordered(levels[h, c] + gain * (np.asarray(KNOTS) - below))
        return replace(self, levels=levels, n=self.n + len(pit))

    def to_parts(self) -> dict[str, object]:
        """JSON-able parameters, floats exact."""
        return {"levels": self.levels.tolist(), "edge": float(self.edge), "n": self.n}

    @classmethod
    def from_parts(cls, parts: Mapping[str, object]) -> Calibration:
        """The calibration that `to_parts` described."""
        levels = np.array(cast("list[list[list[float]]]", parts["levels"]), dtype=np.float64)
        return cls(levels, float(cast("float", parts["edge"])), int(cast("int", parts["n"])))


def no_calibration(n_horizons: int = 3) -> Calibration:
    """The map that changes nothing."""
    return Calibration(np.tile(np.asarray(KNOTS), (n_horizons, N_SIZES, 1)), 0.0, 0)


def fit_calibration(
    pit: Floats, horizon: Integers, mean: Floats, n_horizons: int = 3, strength: float = _STRENGTH
) -> Calibration:
    """The map learnt from PIT values of past forecasts, all arrays (n,).

    Parameters
    ----------
    pit, horizon, mean
        PIT value (0-1), whole months ahead, and expected contribution of each past forecast.
    strength
        Residuals that "no correction" counts for; size classes are drawn to their horizon with the same strength.
    """
    fine = np.isfinite(pit) & np.isfinite(mean)
    pit, horizon, mean = pit[fine], horizon[fine], mean[fine]
    empty = no_calibration(n_horizons)
    if not len(pit):
        return empty
    edge = float(np.median(mean))
    levels = empty.levels.copy()
    for h in range(n_horizons):
        here = pit[horizon == h]
        shared = _towards(np.asarray(KNOTS), here, strength)
        for c in range(N_SIZES):
            levels[h, c] = _ordered(_towards(shared, pit[(horizon == h) & ((mean >= edge) == bool(c))], strength))
    return Calibration(levels, edge, len(pit))


def _towards(prior: Floats, pit: Floats, strength: float) -> Floats:
    """Quantiles of PIT values and their mirror images at the knots, drawn to a prior map."""
    if not len(pit):
        return prior
    weight = len(pit) / (len(pit) + strength)
    both_sides = np.quantile(np.concatenate([pit, 1.0 - pit]), KNOTS)
    return np.asarray((1.0 - weight) * prior + weight * both_sides, dtype=np.float64)


def _with_mean(samples: Floats, expected: Floats, closed: Floats) -> Floats:
    """Samples (n_draws, n_reps, n_months) with what is above `closed` scaled to the expected mean, at most by half."""
    above = samples.mean(axis=0) - closed
    wanted = np.maximum(expected - closed, 0.0)
    scale = np.where(above > 0, np.clip(wanted / np.maximum(above, 1e-12), 0.5, 1.5), 1.0)
    return np.asarray(closed + (samples - closed) * scale, dtype=np.float64)


def _ordered(levels: Floats) -> Floats:
    return np.maximum.accumulate(np.clip(levels, 0.001, 0.999))
