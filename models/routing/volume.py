"""How many leads are still to come this week: a gamma-Poisson estimate, updated by what has come already.

The week's rate is gamma distributed over weeks (some weeks are busy); given the rate, leads arrive as a Poisson
process along the desk's usual profile over the week. Early in the week the estimate is the recent mean, later the
week's own count rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_SLOTS_PER_DAY = 24
_LEAST_SHAPE = 0.5
_LARGEST_SHAPE = 1e6  # beyond it the weeks are plain Poisson


@dataclass(frozen=True)
class ArrivalProfile:
    """Usual share of a week's leads that came before each slot's end; `cumulative` (n_slots,), rising to 1."""

    cumulative: Floats

    def share_elapsed(self, fraction_of_week: float) -> float:
        """Share (0-1) of the week's leads usually in when `fraction_of_week` (0-1) has passed; linear in a slot."""
        edges, heights = self._curve
        return float(np.interp(min(max(fraction_of_week, 0.0), 1.0), edges, heights))

    @cached_property
    def _curve(self) -> tuple[Floats, Floats]:
        return np.linspace(0.0, 1.0, self.cumulative.size + 1), np.concatenate([[0.0], self.cumulative])


def arrival_profile(fractions_of_week: Floats, *, days: int = 7, prior_leads: float = 42.0) -> ArrivalProfile:
    """Profile of past arrivals, given as fractions (0-1) of their week; smoothed by `prior_leads` spread evenly.

    Shrinking towards "evenly" keeps a share of arrivals open at every hour, so that no price rests on "nothing ever
    comes on a Sunday" learnt from a handful of leads.
    """
    n_slots = days * _SLOTS_PER_DAY
    slots = np.clip((np.asarray(fractions_of_week, dtype=np.float64) * n_slots).astype(np.int64), 0, n_slots - 1)
    counts = np.bincount(slots, minlength=n_slots) + prior_leads / n_slots
    cumulative = np.cumsum(counts) / counts.sum()
    cumulative[-1] = 1.0
    return ArrivalProfile(cumulative)


@dataclass(frozen=True)
class VolumePrior:
    """A week's number of leads before it starts: gamma with `mean` and `shape`; variance mean + mean^2 / shape."""

    mean: float
    shape: float


def volume_prior(weekly_counts: Integers) -> VolumePrior:
    """Prior from recent whole weeks (moments); without any week a mean of 0 with next to no weight."""
    counts = np.asarray(weekly_counts, dtype=np.float64)
    if counts.size == 0 or counts.sum() == 0:
        return VolumePrior(0.0, _LEAST_SHAPE)
    mean = float(counts.mean())
    # Half a week of doubt in the mean itself is added where there are few weeks.
    excess = (float(counts.var(ddof=1)) if counts.size > 1 else mean + mean**2 / 4) - mean + mean / counts.size
    shape = mean**2 / excess if excess > 0 else _LARGEST_SHAPE
    return VolumePrior(mean, float(np.clip(shape, _LEAST_SHAPE, _LARGEST_SHAPE)))


@dataclass(frozen=True)
class VolumeEstimate:
    """Leads still to come this week: negative binomial with `expected` and gamma `shape`."""

    expected: float
    shape: float

    def quantile(self, level: float) -> int:
        """Smallest number that the remaining leads stay within with probability `level` (0-1)."""
        return 0 if self.expected <= 0 else int(self._reached(np.array([level]))[0])

    def draw(self, rng: np.random.Generator, size: int) -> Integers:
        """(size,) possible numbers of remaining leads."""
        if self.expected <= 0:
            return np.zeros(size, dtype=np.int64)
        rates = rng.gamma(self.shape, self.expected / self.shape, size)
        return rng.poisson(rates).astype(np.int64)

    def spread(self, size: int) -> Integers:
        """(size,) numbers at evenly spaced levels: the distribution in few points, without chance."""
        if self.expected <= 0:
            return np.zeros(size, dtype=np.int64)
        return self._reached((np.arange(size) + 0.5) / size)

    def _reached(self, levels: Floats) -> Integers:
        """(n,) smallest numbers that the remaining leads stay within with probability `levels` (n,), by halving.

        What `scipy.stats.nbinom.ppf` says, in a tenth of its time: prices are solved often.
        """
        from scipy.special import betainc

        share = self.shape / (self.shape + self.expected)

        def within(number: Integers) -> Flags:
            return np.asarray(betainc(self.shape, number + 1.0, share) >= levels)

        low = np.full(levels.size, -1, dtype=np.int64)
        high = np.full(levels.size, int(2.0 * self.expected) + 8, dtype=np.int64)
        while not (enough := within(high)).all():
            low, high = np.where(enough, low, high), np.where(enough, high, 2 * high)
        while (high - low > 1).any():
            middle = (low + high) // 2
            enough = within(middle)
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high


def remaining_volume(prior: VolumePrior, n_arrived: int, share_elapsed: float) -> VolumeEstimate:
    """Posterior of the leads still to come after `n_arrived` in the first `share_elapsed` (0-1) of the week.

    With a rate of gamma(shape, mean) the posterior is gamma(shape + n, (shape + n) / (shape / mean + share)).
    """
    left = float(np.clip(1.0 - share_elapsed, 0.0, 1.0))
    if prior.mean <= 0:
        # Nothing is known but this week: its own pace, with the weight of what has come.
        rate = (n_arrived + prior.shape) / share_elapsed if share_elapsed > 0 else 0.0
        return VolumeEstimate(rate * left, prior.shape + n_arrived)
    shape = prior.shape + n_arrived
    rate = shape / (prior.shape / prior.mean + share_elapsed)
    return VolumeEstimate(rate * left, shape)


def after_batch(
    rest: VolumeEstimate, prior: VolumePrior, n_arrived: int, share_elapsed: float, n_batch: int
) -> VolumeEstimate:
    """Leads still to come after a batch too, by what was still to come (`rest`) without it.

    A batch brings what was due since the leads that are in. What it brings beyond that came in one lump instead of over
    the days to come: a week's leads handed in on its Monday are followed by few.
    """
    due = max(prior.mean * share_elapsed - n_arrived, 0.0)
    return VolumeEstimate(max(rest.expected - max(n_batch - due, 0.0), 0.0), rest.shape)
