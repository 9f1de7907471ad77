"""Lead score by naive Bayes on categories, the way the open-source CRM's predictive scoring works: a named baseline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.errors import RequestError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NaiveBayes:
    """`log_odds` prior; `evidence`: one array (n_codes,) a column of log likelihood ratios of each category."""

    log_odds: float
    evidence: tuple[Floats, ...]

    def predict(self, codes: Integers) -> Floats:
        """(n,) win probability of leads with `codes` (n, F); a code never seen, or below 0, says nothing."""
        total = np.full(codes.shape[0], self.log_odds)
        for column, ratio in enumerate(self.evidence):
            code = codes[:, column]
            seen = (code >= 0) & (code < ratio.size)
            total += np.where(seen, ratio[np.clip(code, 0, ratio.size - 1)], 0.0)
        return 1.0 / (1.0 + np.exp(-np.clip(total, -30.0, 30.0)))


def fit_naive_bayes(codes: Integers, won: npt.NDArray[np.bool_], smoothing: float = 0.5) -> NaiveBayes:
    """Score fitted on `codes` (n, F) >= 0 or -1 where missing, and `won` (n,); counts smoothed by `smoothing`."""
    if codes.ndim != 2 or won.shape != (codes.shape[0],):
        raise RequestError(f"naive Bayes: codes {codes.shape} and won {won.shape} do not fit; (n, F) and (n,)")
    n_won, n_lost = int(won.sum()), int((~won).sum())
    prior = float(np.log((n_won + smoothing) / (n_lost + smoothing)))
    evidence = tuple(_ratios(codes[:, column], won, smoothing) for column in range(codes.shape[1]))
    return NaiveBayes(prior, evidence)


def _ratios(code: Integers, won: npt.NDArray[np.bool_], smoothing: float) -> Floats:
    """(n_codes,) log P(code | won) / P(code | not won)."""
    size = max(int(code.max(initial=0)) + 1, 1)
    wins = np.bincount(code[won & (code >= 0)], minlength=size) + smoothing
    losses = np.bincount(code[~won & (code >= 0)], minlength=size) + smoothing
    return np.asarray(np.log(wins / wins.sum()) - np.log(losses / losses.sum()), dtype=np.float64)
