"""Monthly targets that trail what a rep brought lately, as organisations set them."""

from __future__ import annotations

from typing import Final

import numpy as np

from features.synthetic.days import Calendar, Floats, Ints
from features.synthetic.population import Population

LOOK_BACK_MONTHS: Final = 6
FIRST_MONTHS: Final = 3  # without a target: there is nothing to trail yet
AHEAD_MONTHS: Final = 3  # targets are plans: the next months have theirs already
_STRETCH = 0.82
_DESK_MONTHS = 3.0  # the desk's mean counts as so many months of his own


def contributions(calendar: Calendar, n_reps: int, rep: Ints, at: Floats, amount: Floats, n_months: int) -> Floats:
    """(reps, months) sums of won amounts by rep and world month."""
    month = calendar.month[np.floor(at).astype(np.int64)]
    flat = np.bincount(rep * n_months + month, weights=amount, minlength=n_reps * n_months)
    return np.asarray(flat.reshape(n_reps, n_months), dtype=np.float64)


def make_targets(
    calendar: Calendar, people: Population, contribution: Floats, rng: np.random.Generator
) -> tuple[Ints, Ints, Floats]:
    """Rep, world month and target; a rep has one from his second month to his last; those here have the next three too.

    The world's first three months have none. A target is the mean of his last six months, drawn to the mean of the
    desk's last six, a little below, to the next hundred.
    """
    n_months = contribution.shape[1]
    starts = np.append(calendar.month_starts(n_months), calendar.n_days)
    reps, months, amounts = [], [], []
    for month in range(n_months + AHEAD_MONTHS):
        last = min(month, n_months)
        first = max(0, last - LOOK_BACK_MONTHS)
        begin = int(starts[month]) if month < n_months else calendar.n_days
        here = np.flatnonzero((people.hired < begin - 25) & (people.left > begin))
        if last < FIRST_MONTHS or not len(here):
            continue
        joined = np.searchsorted(starts[:n_months], people.hired[here], side="right")
        months_seen = last - np.clip(np.maximum(first, joined), 0, last)
        own = np.array(
            [contribution[rep, last - seen : last].sum() for rep, seen in zip(here, months_seen, strict=True)]
        )
        desk = own.sum() / max(float(months_seen.sum()), 1.0)
        mean = (own + _DESK_MONTHS * desk) / (months_seen + _DESK_MONTHS)
        amount = _STRETCH * mean * rng.uniform(0.9, 1.1, len(here))
        reps.append(here)
        months.append(np.full(len(here), month))
        amounts.append(np.maximum(np.round(amount, -2), 100.0))
    if not reps:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
    return np.concatenate(reps), np.concatenate(months), np.concatenate(amounts)
