"""Effect of a lever on output from each rep's own ups and downs: rep and month fixed effects.

    outcome[i, t] = rep[i] + month[t] + estimate * treatment[i, t] + controls + error

Comparing reps with each other credits the lever with everything else that good reps do; a rep compared with himself,
the month's weather taken out, does not. Every function here takes plain arrays: unit (n,), time (n,) whole numbers,
treatment (n,), outcome (n,), controls (n, k). Rows with a missing value are left out.
Sign: positive = more of the treatment goes with more of the outcome. Unit: outcome a step of 1 in the treatment.

References
----------
Wooldridge (2010), Econometric Analysis of Cross Section and Panel Data, chapter 10.
Cinelli, Hazlett (2020), Making sense of sensitivity (the robustness value).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.errors import FairleadError
from models.drivers.clustered import (
    LEVEL,
    Correction,
    Floats,
    Interval,
    Ints,
    cautious_interval,
    cluster_sums,
    codes_of,
    coefficient_interval,
    influences,
)

_TOLERANCE = 1e-10
_MAX_SWEEPS = 10_000
_COLLINEAR = 1e-8


class EffectError(FairleadError):
    """The arrays cannot carry the estimate asked for; the message says which and why."""


@dataclass(frozen=True)
class Panel:
    """Checked arrays of one estimation: codes instead of labels, missing rows gone."""

    unit: Ints
    time: Ints
    treatment: Floats
    outcome: Floats
    controls: Floats

    @property
    def n_units(self) -> int:
        return int(self.unit.max()) + 1 if len(self.unit) else 0


@dataclass(frozen=True)
class PanelEffect:
    """A within-rep estimate and what a judge of it needs.

    `influence` (n_units,): each unit's part of the error. `within_sd`: spread of the treatment that is left after
    fixed effects and controls. `moving_units`: units whose treatment moves at all. `robustness`: the share of the
    residual variation of both treatment and outcome that a hidden factor must explain to bring the estimate to 0.
    """

    interval: Interval
    n: int
    n_units: int
    moving_units: int
    within_sd: float
    robustness: float
    influence: Floats
    method: str


def make_panel(
    unit: npt.ArrayLike,
    time: npt.ArrayLike,
    treatment: npt.ArrayLike,
    outcome: npt.ArrayLike,
    controls: npt.ArrayLike | None = None,
) -> Panel:
    """Arrays of equal length with codes for units, times as whole numbers, and only complete rows.

    Raises EffectError where lengths differ, no row is complete, or fewer than two units remain.
    """
    units, times = np.asarray(unit), np.asarray(time)
    treated, result = np.asarray(treatment, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    extra = np.empty((len(units), 0)) if controls is None else np.asarray(controls, dtype=np.float64)
    if extra.ndim == 1:
        extra = extra[:, None]
    lengths = {len(units), len(times), len(treated), len(result), len(extra)}
    if len(lengths) != 1:
        raise EffectError(f"unit, time, treatment, outcome and controls differ in length: {sorted(lengths)}")
    if times.dtype.kind not in "iu":
        raise EffectError(f"time holds {times.dtype}, expected whole numbers such as month indices")
    whole = np.isfinite(treated) & np.isfinite(result) & np.isfinite(extra).all(axis=1)
    if not whole.any():
        raise EffectError("no row has treatment, outcome and every control")
    codes, n_units = codes_of(units[whole])
    if n_units < 2:
        raise EffectError("a within-unit effect with clustered errors needs at least 2 units; 1 was given")
    return Panel(codes, times[whole].astype(np.int64), treated[whole], result[whole], extra[whole])


def demean_two_way(values: npt.ArrayLike, unit: Ints, time: Ints) -> Floats:
    """Values (n, k) less unit and time effects, by sweeping out means in turn until nothing moves.

    Exact for unbalanced panels; `unit` and `time` are codes 0, 1, 2, ... Raises EffectError without convergence.
    """
    rest = np.array(values, dtype=np.float64, ndmin=2).reshape(len(unit), -1)
    scale = np.maximum(np.abs(rest).max(axis=0, initial=0.0), 1e-300)
    per_unit, per_time = _counts(unit), _counts(time)
    for _ in range(_MAX_SWEEPS):
        rest -= (cluster_sums(rest, unit, len(per_unit)) / per_unit[:, None])[unit]
        shift = cluster_sums(rest, time, len(per_time)) / per_time[:, None]
        rest -= shift[time]
        if np.all(np.abs(shift).max(axis=0, initial=0.0) <= _TOLERANCE * scale):
            return rest
    raise EffectError("fixed effects did not converge: units and times hang together by too few rows")


def _counts(codes: Ints) -> Floats:
    return np.maximum(np.bincount(codes), 1).astype(np.float64)


def fixed_effects(
    unit: npt.ArrayLike,
    time: npt.ArrayLike,
    treatment: npt.ArrayLike,
    outcome: npt.ArrayLike,
    controls: npt.ArrayLike | None = None,
    *,
    correction: Correction | None = None,
    level: float = LEVEL,
) -> PanelEffect:
    """Two-way fixed-effects estimate with errors clustered by unit.

    A unit seen once teaches nothing about itself and drops out by construction. Without a `correction` the error is
    that of `cautious_interval`.
    Raises EffectError where the treatment does not move within units.
    """
    panel = make_panel(unit, time, treatment, outcome, controls)
    times, _ = codes_of(panel.time)
    columns = np.column_stack([panel.treatment, panel.outcome, panel.controls])
    within = demean_two_way(columns, panel.unit, times)
    raw = np.column_stack([panel.treatment, panel.controls])
    absorbed = int(times.max()) + 1
    return _least_squares(within, raw, panel.unit, times, absorbed, "fixed_effects", correction, level)


def first_differences(
    unit: npt.ArrayLike,
    time: npt.ArrayLike,
    treatment: npt.ArrayLike,
    outcome: npt.ArrayLike,
    controls: npt.ArrayLike | None = None,
    *,
    correction: Correction = "CR2",
    level: float = LEVEL,
) -> PanelEffect:
    """Estimate from changes between neighbouring times (t - 1 to t) of each unit, time effects taken out.

    Estimates the same as `fixed_effects` where that model holds, and something else where treatment answers to
    earlier outcomes or follows a hidden slow drift: their disagreement is the alarm.
    """
    panel = make_panel(unit, time, treatment, outcome, controls)
    order = np.lexsort((panel.time, panel.unit))
    units, times = panel.unit[order], panel.time[order]
    neighbours = (units[1:] == units[:-1]) & (times[1:] == times[:-1] + 1)
    if neighbours.sum() < 3:
        raise EffectError("no unit has rows at neighbouring times, so there are no changes to learn from")
    columns = np.column_stack([panel.treatment, panel.outcome, panel.controls])[order]
    changes = np.diff(columns, axis=0)[neighbours]
    ends, n_ends = codes_of(times[1:][neighbours])
    changes -= (cluster_sums(changes, ends, n_ends) / _counts(ends)[:, None])[ends]
    raw = np.delete(columns, 1, axis=1)[1:][neighbours]
    return _least_squares(changes, raw, units[1:][neighbours], ends, n_ends, "first_differences", correction, level)


def shifted(unit: npt.ArrayLike, time: npt.ArrayLike, values: npt.ArrayLike, by: int) -> Floats:
    """Value of the same unit at time + `by` (1: the next time, -1: the one before), shape (n,); NaN where missing."""
    units, times = np.asarray(unit), np.asarray(time, dtype=np.int64)
    given = np.asarray(values, dtype=np.float64)
    if not len(times):
        return given.copy()
    codes, _ = codes_of(units)
    start = int(times.min())
    width = int(times.max()) - start + 1
    key = codes * width + (times - start)
    wanted = times - start + by
    order = np.argsort(key, kind="stable")
    at = np.minimum(np.searchsorted(key[order], key + by), len(key) - 1)
    row = order[at]
    hit = (key[row] == key + by) & (wanted >= 0) & (wanted < width)
    return np.where(hit, given[row], np.nan)


def pooled_slope(treatment: npt.ArrayLike, outcome: npt.ArrayLike) -> float:
    """Slope of outcome on treatment over all rows, nothing taken out: what a correlation suggests. NaN if constant."""
    d, y = np.asarray(treatment, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    whole = np.isfinite(d) & np.isfinite(y)
    if not whole.any():
        return float("nan")
    d, y = d[whole] - d[whole].mean(), y[whole] - y[whole].mean()
    return float(d @ y / (d @ d)) if d @ d > 0 else float("nan")


def independent_columns(X: Floats, raw: Floats) -> Floats:
    """Columns of X (n, k) worth keeping: the first always, later ones where earlier ones do not give them already.

    `raw` (n, k) is X before fixed effects went out; a column of which nothing is left (tenure in months) goes.
    """
    kept: list[Floats] = []
    for column in range(X.shape[1]):
        size = float(np.linalg.norm(raw[:, column] - raw[:, column].mean()))
        rest = X[:, column].copy()
        for _ in range(2):  # twice is enough (Kahan, Parlett)
            for base in kept:
                rest -= (base @ rest) * base
        if np.linalg.norm(rest) > _COLLINEAR * max(size, 1e-300):
            kept.append(rest / np.linalg.norm(rest))
        elif column == 0:
            raise EffectError("the treatment does not move within units once times are taken out")
        else:
            kept.append(np.zeros(len(rest)))
    alive = [k for k, base in enumerate(kept) if base.any()]
    return X[:, alive]


def _least_squares(
    within: Floats,
    raw: Floats,
    unit: Ints,
    times: Ints,
    absorbed: int,
    method: str,
    correction: Correction | None,
    level: float,
) -> PanelEffect:
    """Estimate of the first column of `within` (treatment, outcome, controls...) on the second."""
    y = within[:, 1]
    X = independent_columns(np.delete(within, 1, axis=1), raw)
    if _explains(within[:, 2:], within[:, 0]):
        raise EffectError("the controls give the treatment exactly, so it has no effect of its own to estimate")
    coefficients: Floats = np.asarray(np.linalg.lstsq(X, y, rcond=None)[0], dtype=np.float64)
    residuals = y - X @ coefficients
    units, n_units = codes_of(unit)
    if n_units < 2:
        raise EffectError("changes of at least 2 units are needed")
    if correction is None:
        taken_out = n_units + absorbed - 1
        found = cautious_interval(X, coefficients, residuals, units, times=times, absorbed=taken_out, level=level)
    else:
        found = coefficient_interval(
            X, coefficients, residuals, units, absorbed=absorbed, correction=correction, level=level
        )
    own = X[:, 0] - X[:, 1:] @ np.linalg.lstsq(X[:, 1:], X[:, 0], rcond=None)[0] if X.shape[1] > 1 else X[:, 0]
    influence = np.zeros(int(unit.max()) + 1)
    influence[np.unique(unit)] = influences(X, residuals, units)
    mean = np.bincount(units, weights=raw[:, 0]) / np.bincount(units)
    moving = np.unique(units[np.abs(raw[:, 0] - mean[units]) > _COLLINEAR * max(1.0, float(np.abs(raw[:, 0]).max()))])
    dof = max(1, len(y) - X.shape[1] - n_units - absorbed + 1)
    return PanelEffect(
        interval=found,
        n=len(y),
        n_units=n_units,
        moving_units=len(moving),
        within_sd=float(np.sqrt(own @ own / len(own))),
        robustness=robustness_value(found, dof),
        influence=influence,
        method=method,
    )


def _explains(controls: Floats, treatment: Floats) -> bool:
    if controls.shape[1] == 0:
        return False
    rest = treatment - controls @ np.linalg.lstsq(controls, treatment, rcond=None)[0]
    return bool(np.linalg.norm(rest) <= _COLLINEAR * np.linalg.norm(treatment))


def robustness_value(found: Interval, residual_dof: int) -> float:
    """Share (0-1) of residual variation, of treatment and outcome both, that a hidden factor needs to undo it all.

    Built on the clustered t ratio, so repeated months of one rep do not make the estimate look sturdier.
    """
    if found.se <= 0:
        return 1.0 if found.estimate else 0.0
    f = abs(found.estimate / found.se) / residual_dof**0.5
    return float(0.5 * (np.sqrt(f**4 + 4 * f**2) - f**2))
