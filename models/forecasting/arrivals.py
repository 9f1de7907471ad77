"""How many leads (or repeat purchases) come to a rep per effective working day, and by season.

A rep's rate is a Gamma posterior: his own recent count, recency weighted, shrunk to his tenure cohort's rate by a
strength that the spread between reps tells; a newcomer without a lead starts from his cohort.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features import moments
from models.forecasting.inputs import ForecastInputs

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

COHORT_YEARS = (0.0, 0.5, 1.0, 2.0)
_WINDOW_MONTHS = 24
_COHORT_STRENGTH = 60.0  # effective days by which a cohort's rate is drawn to the desk's
_STRENGTH_BOUNDS = (2.0, 200.0)


@dataclass(frozen=True)
class Rates:
    """Gamma posteriors of events per effective working day: mean = shape / days. Both (n_reps,)."""

    shape: Floats
    days: Floats

    @property
    def mean(self) -> Floats:
        return self.shape / self.days


def cohort_of(inputs: ForecastInputs, at: Integers) -> Integers:
    """Tenure cohort of each rep at moments `at`, shape as broadcast with reps on the last axis."""
    years = (at - inputs.reps["hired_on"].to_numpy(dtype=np.int64)) / (365.25 * moments.DAY)
    return np.searchsorted(COHORT_YEARS[1:], years, side="right").astype(np.int64)


def past_exposure(inputs: ForecastInputs, months: Integers) -> Floats:
    """Effective working days each rep worked by month before as_of, as far as all is entered: (n_reps, n_months)."""
    starts = np.array([moments.month_start(int(m), inputs.zone) for m in months], dtype=np.int64)
    ends = np.array([moments.month_start(int(m) + 1, inputs.zone) for m in months], dtype=np.int64)
    low = np.maximum(starts[None], inputs.begins()[:, None])
    stop = np.minimum(inputs.reps["left_on"].to_numpy(dtype=np.int64), inputs.counted_until)
    high = np.minimum(ends[None], stop[:, None])
    return inputs.exposure.between(low, np.maximum(low, high))


def past_months(inputs: ForecastInputs, n_months: int = _WINDOW_MONTHS) -> Integers:
    """The months up to as_of's that the data reach into, at most n_months of them, oldest first."""
    last = moments.month_of(inputs.as_of, inputs.zone)
    first = moments.month_of(inputs.first_seen(), inputs.zone)
    return np.arange(max(first, last - n_months + 1), last + 1, dtype=np.int64)


def counts(inputs: ForecastInputs, reps: Integers, at: Integers, months: Integers) -> Floats:
    """Events by rep and month (n_reps, n_months) from each event's rep index (-1 is left out) and moment."""
    out = np.zeros((len(inputs.reps), len(months)))
    if not len(at) or not len(months):
        return out
    column = moments.months_of(at, inputs.zone) - months[0]
    inside = (reps >= 0) & (column >= 0) & (column < len(months)) & (at < inputs.counted_until)
    np.add.at(out, (reps[inside], column[inside]), 1.0)
    return out


def fit_rates(
    inputs: ForecastInputs, n: Floats, days: Floats, season: Floats, half_life_days: float, by_cohort: bool = True
) -> Rates:
    """Posterior rate of each rep at as_of.

    Parameters
    ----------
    n, days
        Events and effective working days by rep and month, both (n_reps, n_months), oldest month first.
    season
        (n_months,) multiplier of each of these months.
    half_life_days
        Effective working days after which a month counts half.
    """
    weighted_days = days * season[None]
    typical = days.max(axis=0) if len(days) else np.zeros(days.shape[1])
    ago = np.cumsum(typical[::-1])[::-1] - typical / 2.0
    recency = 0.5 ** (ago / half_life_days)
    own_n, own_days = n @ recency, weighted_days @ recency
    desk = (own_n.sum() + 1e-9) / max(float(own_days.sum()), 1.0)
    prior = _cohort_rates(inputs, own_n, own_days, desk) if by_cohort else np.full(len(own_n), desk)
    strength = _strength(own_n, own_days, prior)
    return Rates(strength * prior + own_n, strength + own_days)


def fit_season(n: Floats, days: Floats, months: Integers, n_years: float = 2.0) -> Floats:
    """Multiplier of each month of the year (12,), mean about 1, shrunk to 1 as if n_years had shown nothing.

    Each month's rate is held against the mean of the eleven around it, so that growth is not taken for season.
    """
    total, exposure = n.sum(axis=0), days.sum(axis=0)
    rate = total / np.maximum(exposure, 1e-9)
    ratio = [[] for _ in range(12)]  # type: list[list[float]]
    for i, month in enumerate(months[:-1]):  # the month of as_of is not over
        low, high = max(0, i - 5), min(len(months) - 1, i + 6)
        around = total[low:high].sum() / max(float(exposure[low:high].sum()), 1e-9)
        if exposure[i] > 0 and around > 0 and high - low >= 6:
            ratio[int(month) % 12].append(float(np.clip(rate[i] / around, 0.3, 3.0)))
    log_means = [float(np.sum(np.log(r)) / (len(r) + n_years)) if r else 0.0 for r in ratio]
    return np.exp(np.array(log_means) - np.mean(log_means))


def _cohort_rates(inputs: ForecastInputs, own_n: Floats, own_days: Floats, desk: float) -> Floats:
    cohort = cohort_of(inputs, np.int64(inputs.as_of) + np.zeros(len(own_n), dtype=np.int64))
    size = len(COHORT_YEARS)
    n = np.bincount(cohort, weights=own_n, minlength=size)
    days = np.bincount(cohort, weights=own_days, minlength=size)
    rate = (n + _COHORT_STRENGTH * desk) / (days + _COHORT_STRENGTH)
    return np.asarray(rate[cohort], dtype=np.float64)


def _strength(n: Floats, days: Floats, prior: Floats) -> float:
    """Effective days that the prior is worth: rate over the variance between reps beyond Poisson's."""
    expected = prior * days
    seen = expected > 0
    if int(seen.sum()) < 3:
        return 20.0
    # Moments of a Gamma-Poisson: E[(n - e)^2 - e] = e^2 / shape.
    excess = float(((n - expected)[seen] ** 2 - expected[seen]).sum())
    share = excess / max(float((expected[seen] ** 2).sum()), 1e-12)
    mean = float(expected[seen].sum() / days[seen].sum())
    if share <= 0:
        return _STRENGTH_BOUNDS[1]
    return float(np.clip(1.0 / share / max(mean, 1e-9), *_STRENGTH_BOUNDS))
