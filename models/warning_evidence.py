"""Is it more than noise? Exact one-sided tests of a rep against his own past, and false discoveries held down.

References: Benjamini, Hochberg (1995), JRSS B 57; Przyborowski, Wilenski (1940), Biometrika 31 (two Poisson counts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SLUMP = 0.3  # of the own rate, what a slump is taken to be
_USUAL_SPREAD, _FEWEST_FOR_SPREAD = 0.3, 8


@dataclass(frozen=True)
class Counts:
    """A count with its exposure now and before, such as follow-ups and lead-weeks: rates are count / exposure."""

    now: float
    now_exposure: float
    before: float
    before_exposure: float

    @property
    def value(self) -> float:
        return self.now / self.now_exposure if self.now_exposure > 0 else float("nan")

    @property
    def baseline(self) -> float:
        return self.before / self.before_exposure if self.before_exposure > 0 else float("nan")


@dataclass(frozen=True)
class Conversions:
    """Leads that closed now and before: wins, and the win probabilities that they had at hand-over."""

    won_now: int
    p_now: tuple[float, ...]
    won_before: int
    p_before: tuple[float, ...]


def poisson_drop(counts: Counts, dispersion: float = 1.0) -> float:
    """Chance of so low a count now if the rate had not changed: conditional binomial test, one-sided.

    `dispersion` above 1 divides the counts, as follow-ups come in bunches. 1 where nothing can be told.
    """
    from scipy.special import bdtr

    if counts.now_exposure <= 0 or counts.before_exposure <= 0 or counts.before <= 0:
        return 1.0
    now, before = counts.now / dispersion, counts.before / dispersion
    share = counts.now_exposure / (counts.now_exposure + counts.before_exposure)
    # Rounding the parts upwards keeps the test on the safe side.
    return float(bdtr(np.ceil(now), int(np.ceil(now) + np.ceil(before)), share))


def spread_of(counts: Sequence[Counts]) -> float:
    """Sd of the log of reps' rates against their own past beyond Poisson noise, within 0.15 and 0.6; 0.3 for few reps.

    From the median deviation, so that several reps who slump at once do not hide each other.
    """
    told = [one for one in counts if one.now_exposure > 0 and one.before >= 10 and one.before_exposure > 0]
    if len(told) < _FEWEST_FOR_SPREAD:
        return _USUAL_SPREAD
    expected = np.array([one.baseline * one.now_exposure for one in told])
    before = np.array([one.before for one in told])
    log_ratio = np.log((np.array([one.now for one in told]) + 1.0) / (expected + 1.0))
    sd = 1.4826 * float(np.median(np.abs(log_ratio - np.median(log_ratio))))
    noise = float(np.median(1.0 / (expected + 1.0) + 1.0 / (before + 1.0)))
    return float(np.sqrt(np.clip(sd**2 - noise, 0.15**2, 0.6**2)))


def slump_evidence(counts: Counts, spread: float) -> float:
    """Log Bayes factor of a fall to 0.3 of the own rate against no fall; below 0 speaks for no fall.

    Counts now are negative binomial about (rate x exposure): the rate's drift of sd `spread` (log) and what the past
    leaves unknown of it widen the Poisson law. 0 where nothing can be told.
    """
    from scipy.special import gammaln

    if counts.now_exposure <= 0 or counts.before_exposure <= 0 or counts.before <= 0:
        return 0.0
    size = 1.0 / (spread**2 + 1.0 / counts.before)
    expected = counts.baseline * counts.now_exposure

    def log_chance(mean: float) -> float:
        n = counts.now
        return float(
            gammaln(n + size) - gammaln(size) - gammaln(n + 1.0)
            + size * np.log(size / (size + mean)) + n * np.log(mean / (size + mean))
        )  # fmt: skip

    return log_chance(_SLUMP * expected) - log_chance(expected)


def evidence_of(p_value: float) -> float:
    """Log Bayes factor that a p-value amounts to at most, -ln(-e p ln p); 0 from 1 / e up.

    Reference: Sellke, Bayarri, Berger (2001), The American Statistician 55.
    """
    p = max(p_value, 1e-300)
    return float(-np.log(-np.e * p * np.log(p))) if p < 1.0 / np.e else 0.0


def share_drop(counts: Counts) -> float:
    """Chance of so low a share now if the share had not changed: Fisher's exact test, one-sided."""
    from scipy.stats import hypergeom

    n_now, n_before = round(counts.now_exposure), round(counts.before_exposure)
    if n_now <= 0 or n_before <= 0:
        return 1.0
    hits = round(counts.now) + round(counts.before)
    return float(hypergeom.cdf(round(counts.now), n_now + n_before, hits, n_now))


def fewer_wins(won: int, p: Sequence[float]) -> float:
    """Chance of so few wins among leads of these win probabilities: Poisson-binomial distribution, exact."""
    chance = np.array([1.0])
    for one in p:
        chance = np.append(chance, 0.0) * (1.0 - one) + np.append(0.0, chance) * one
    return float(min(chance[: won + 1].sum(), 1.0)) if len(p) else 1.0


def dispersion_of(counts: Sequence[Counts]) -> float:
    """How many times more than Poisson the reps' counts vary about their own rates; at least 1.

    The most deviant tenth of reps is left out, so that true slumps do not hide themselves.
    """
    values = []
    for one in counts:
        total, span = one.now + one.before, one.now_exposure + one.before_exposure
        if total >= 10 and one.now_exposure > 0 and one.before_exposure > 0:
            expected = total * one.now_exposure / span
            values.append((one.now - expected) ** 2 / (expected * one.before_exposure / span))
    if len(values) < 8:
        return 1.5
    kept = np.sort(values)[: int(np.ceil(0.9 * len(values)))]
    # 0.623 is the mean of a chi-squared of one degree below its 90 % quantile.
    return max(1.0, float(kept.mean()) / 0.623)


def discoveries(p_values: Floats, rate: float) -> npt.NDArray[np.bool_]:
    """Which tests stand out when the expected share of false ones is held at `rate` (Benjamini, Hochberg)."""
    n = len(p_values)
    if not n:
        return np.zeros(0, dtype=np.bool_)
    order = np.sort(p_values)
    passing = np.flatnonzero(order <= rate * (np.arange(n) + 1.0) / n)
    return np.asarray(p_values <= order[passing[-1]] if len(passing) else np.zeros(n, dtype=np.bool_))


def worse_leads(c: Conversions) -> float:
    """Chance that leads' win probabilities are so much lower now if the mix had not changed: rank test, one-sided.

    1 where fewer than eight leads stand on either side.
    """
    from scipy.stats import mannwhitneyu

    if len(c.p_now) < 8 or len(c.p_before) < 8:
        return 1.0
    return float(mannwhitneyu(c.p_now, c.p_before, alternative="less").pvalue)
