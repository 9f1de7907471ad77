"""What the policy brings against the hold-out, as decisions come in: an interval that may be looked at at any time.

Each decision draws policy or hold-out with a known chance, so that the difference in outcomes is an unbiased mean of
one score a decision. Its confidence sequence covers the truth at all times together (asymptotically), so that looking
every day and stopping early claims nothing that is not there.

References
----------
I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas (2024), Time-uniform central limit theory and asymptotic
confidence sequences, Annals of Statistics 52.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from features.errors import RequestError

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Verdict = Literal["too_few", "open", "gain", "loss", "gain_gone"]

FEWEST: Final = 30  # decisions of each kind before anything is said
TIGHTEST_AT: Final = 2_000  # decisions at which the sequence is about its narrowest
RECENT: Final = 1_000


@dataclass(frozen=True)
class Uplift:
    """Policy less hold-out, in the outcome's unit a decision; the interval holds at all times at `level`."""

    n_policy: int
    n_holdout: int
    value: float
    ci_low: float
    ci_high: float
    level: float


@dataclass(frozen=True)
class Measured:
    """The gain since the start and of the latest decisions, and what may be said.

    `verdict`: gain and loss where the interval leaves out 0; gain_gone, the alarm, where the interval has come down to
    0 after it once lay above, or the latest decisions lie below 0 or below all that was claimed before; too_few before
    30 decisions of each kind; else open.
    """

    whole: Uplift
    recent: Uplift
    verdict: Verdict

    @property
    def alarm(self) -> bool:
        """Whether somebody should look: a loss, or a gain that is gone."""
        return self.verdict in ("loss", "gain_gone")


def measured_uplift(
    outcome: Floats,
    holdout: Flags,
    holdout_chance: Floats,
    expected: Floats | None = None,
    *,
    level: float = 0.9,
    recent: int = RECENT,
) -> Measured:
    """Gain of the policy over the hold-out.

    Parameters
    ----------
    outcome
        (n,) what came of each decision, in order of time: 1 won, 0 not, or money.
    holdout
        (n,) whether the old rule decided.
    holdout_chance
        (n,) chance with which the old rule was to decide, above 0 and below 1.
    expected
        (n,) what was expected of the lead before anybody was chosen; any guess keeps the estimate unbiased, a good one
        narrows the interval.

    Raises
    ------
    RequestError
        Arrays that do not fit, or a chance of 0 or 1.
    """
    guess = np.zeros(outcome.shape) if expected is None else expected
    if not outcome.shape == holdout.shape == holdout_chance.shape == guess.shape or outcome.ndim != 1:
        raise RequestError("measured uplift: one outcome, draw, chance and expectation a decision")
    if outcome.size and not ((holdout_chance > 0) & (holdout_chance < 1)).all():
        raise RequestError("measured uplift: the chance of the hold-out must lie between 0 and 1 for each decision")
    left = outcome - guess
    score = np.where(holdout, -left / holdout_chance, left / (1.0 - holdout_chance))
    whole = _sequence(score, holdout, level)
    late = slice(max(0, score.size - recent), None)
    last, before = (
        _sequence(score[late], holdout[late], level),
        _sequence(score[: late.start], holdout[: late.start], level),
    )
    return Measured(whole, last, _verdict(whole, last, before, _was_above(score, holdout, level)))


def _sequence(score: Floats, holdout: Flags, level: float) -> Uplift:
    n, n_holdout = score.size, int(holdout.sum())
    if n < 2:
        return Uplift(n - n_holdout, n_holdout, float("nan"), -np.inf, np.inf, level)
    radius = float(score.std(ddof=1) * _radii(np.array([float(n)]), level)[0])
    value = float(score.mean())
    return Uplift(n - n_holdout, n_holdout, value, value - radius, value + radius, level)


def _radii(n: Floats, level: float) -> Floats:
    """Half width of the confidence sequence after `n` decisions, in standard deviations of their scores."""
    alpha = 1.0 - level
    tuned = np.sqrt((-2.0 * np.log(alpha) + np.log(-2.0 * np.log(alpha) + 1.0)) / TIGHTEST_AT)
    scaled = n * tuned**2 + 1.0
    return np.asarray(np.sqrt(2.0 * scaled / (n * tuned) ** 2 * np.log(np.sqrt(scaled) / alpha)))


def _was_above(score: Floats, holdout: Flags, level: float) -> bool:
    """Whether the interval ever lay above 0, with enough decisions of each kind."""
    n = np.arange(1.0, score.size + 1.0)
    mean = np.cumsum(score) / n
    spread = np.sqrt(np.maximum(np.cumsum(score**2) - n * mean**2, 0.0) / np.maximum(n - 1.0, 1.0))
    held = np.cumsum(holdout)
    enough = np.minimum(held, n - held) >= FEWEST
    return bool((enough & (mean - spread * _radii(n, level) > 0.0)).any())


def _verdict(whole: Uplift, last: Uplift, before: Uplift, was_above: bool) -> Verdict:
    if min(whole.n_policy, whole.n_holdout) < FEWEST:
        return "too_few"
    enough = min(last.n_policy, last.n_holdout) >= FEWEST and min(before.n_policy, before.n_holdout) >= FEWEST
    if enough and before.ci_low > 0 and (last.ci_high < before.ci_low or last.ci_high < 0):
        return "gain_gone"
    if was_above and whole.ci_low <= 0:
        return "gain_gone"
    if whole.ci_high < 0:
        return "loss"
    return "gain" if whole.ci_low > 0 else "open"
