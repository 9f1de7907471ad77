"""How often the gate lets challengers of known quality through, beside two plainer rules on the same losses.

    python -m benchmarks.gate [--tries 20] [--seeds 5]

Each try is a desk of 60 reps and 12 monthly folds. Contributions have rep levels, a shock a month that all reps share,
and heavy tails. Champion and challenger are predictive distributions with errors of their own in the log of the mean,
partly shared by the reps of a month; the size of the challenger's error sets how much lower or higher its true pinball
loss is, found by a large simulation. The challenger has seen newer data, so that only its losses can keep it out;
`better (same data)` has not, and must prove itself.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from models.forecasting.draws import LEVELS
from models.forecasting.metrics import pinball_loss
from training.evidence import CONVERSION_LOSS, FORECAST_LOSS
from training.gate import Evidence, GateRules, Paired, judge

Floats = npt.NDArray[np.float64]

N_REPS, N_FOLDS = 60, 12
NOISE_SD, SHOCK_SD, CHAMPION_ERROR_SD = 0.7, 0.15, 0.35


@dataclass(frozen=True)
class Losses:
    """Pinball losses of both on the same rep-months, and the months."""

    challenger: Floats
    champion: Floats
    months: npt.NDArray[np.int64]


def simulate(error_sd: float, rng: np.random.Generator, n_folds: int = N_FOLDS) -> Losses:
    """One history scored by both; `error_sd` is the challenger's error in the log of the mean."""
    level = rng.normal(9.0, 0.5, N_REPS)[None, :]
    shape = (n_folds, N_REPS)
    y = np.exp(level + rng.normal(0, SHOCK_SD, (n_folds, 1)) + rng.normal(0, NOISE_SD, shape))
    shared, own = rng.normal(0, 1, (n_folds, 1)), rng.normal(0, 1, shape)
    other_shared, other_own = rng.normal(0, 1, (n_folds, 1)), rng.normal(0, 1, shape)
    champion = CHAMPION_ERROR_SD * (0.4 * shared + 0.9 * own)
    # Two models of one desk err alike: half of the challenger's error is the champion's.
    challenger = error_sd * ((0.4 * shared + 0.9 * own) + (0.4 * other_shared + 0.9 * other_own)) / np.sqrt(2.0)
    months = np.repeat(np.arange(n_folds, dtype=np.int64), N_REPS)
    return Losses(_scored(y, level + challenger, error_sd), _scored(y, level + champion, CHAMPION_ERROR_SD), months)


def _scored(y: Floats, centre: Floats, error_sd: float) -> Floats:
    spread = np.sqrt(NOISE_SD**2 + SHOCK_SD**2 + error_sd**2)
    quantiles = np.exp(centre[..., None] + spread * norm.ppf(np.asarray(LEVELS)))
    return np.asarray(pinball_loss(y.ravel(), quantiles.reshape(-1, len(LEVELS))), dtype=np.float64)


@cache
def error_for(gain: float) -> float:
    """The challenger's error at which its true pinball loss is the champion's x (1 - gain), by bisection."""
    low, high = 0.0, 2.0
    for _ in range(25):
        middle = (low + high) / 2
        found = simulate(middle, np.random.default_rng(99), 5_000)
        too_good = found.challenger.mean() < (1.0 - gain) * found.champion.mean()
        low, high = (middle, high) if too_good else (low, middle)
    return (low + high) / 2


def promoted(losses: Losses, newer: bool, rng: np.random.Generator) -> tuple[bool, bool, bool]:
    """By the gate, by the lower mean, and by a t-test that takes rep-months for independent."""
    pair = Paired(losses.challenger, losses.champion, losses.months)
    evidence = Evidence({FORECAST_LOSS: pair, CONVERSION_LOSS: None}, newer, 0.01, 0.02, 0)
    gap = losses.challenger - losses.champion
    upper = gap.mean() + 1.645 * gap.std(ddof=1) / np.sqrt(len(gap))
    return judge(evidence, True, GateRules(), rng).promote, bool(gap.mean() < 0), bool(upper < 0)


def main() -> None:
    """A row a kind of challenger and seed: how many of `tries` each rule promotes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    kinds = [
        ("5 % lower loss", 0.05, True), ("5 % lower (same data)", 0.05, False), ("equal, newer data", 0.0, True),
        ("equal, same data", 0.0, False), ("5 % higher loss", -0.05, True), ("10 % higher loss", -0.10, True),
        ("20 % higher loss", -0.20, True),
    ]  # fmt: skip
    print(f"promoted of {args.tries} tries; {N_REPS} reps, {N_FOLDS} folds; rules {GateRules().fingerprint()[:12]}")
    print(f"{'challenger':24}{'seed':>5}{'gate':>8}{'lower mean':>12}{'row t-test':>12}")
    for name, gain, newer in kinds:
        rows = []
        for seed in range(args.seeds):
            rng = np.random.default_rng([seed, 17])
            found = [promoted(simulate(error_for(gain), rng), newer, rng) for _ in range(args.tries)]
            rows.append(np.sum(found, axis=0))
            print(f"{name:24}{seed:5d}{rows[-1][0]:8d}{rows[-1][1]:12d}{rows[-1][2]:12d}", flush=True)
        least, most = np.min(rows, axis=0), np.max(rows, axis=0)
        cells = [f"{low}-{high}" for low, high in zip(least, most, strict=True)]
        print(f"{name:24}{'all':>5}{cells[0]:>8}{cells[1]:>12}{cells[2]:>12}")


if __name__ == "__main__":
    main()
