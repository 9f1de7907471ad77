"""The trail that spells leave in the tables: activities, stages, deals, repeat purchases, feedback.

All times are fractional world days; everything at or after the end of history, or after a lead was taken away, is
dropped. Rows come sorted by time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from features.synthetic.chances import Physics
from features.synthetic.days import Floats, Ints
from features.synthetic.desk import History

REPEAT_RATE: Final = 0.15  # repeat purchases a won lead, over the years after
REPEAT_SHARE: Final = 0.6  # of the first amount, on average
REPEAT_SD: Final = 0.4
REPEAT_DAYS: Final = 150.0
STAGE_SHARES: Final = (0.12, 0.45, 0.75)  # of the way from first contact to the end
REACHED_WHEN_LOST: Final = (0.75, 0.40, 0.15)
BELIEF_BIAS: Final = 0.05  # log of the amount believed at a stage over the true one, and its sd at the first stage
BELIEF_SD: Final = 0.35
_FEEDBACK_RATE = 0.3
_MAX_REPEATS = 3


@dataclass(frozen=True)
class Trail:
    """Columns by table, as arrays: codes of leads and reps, fractional world days, amounts."""

    activities: dict[str, npt.NDArray[Any]]
    stages: dict[str, npt.NDArray[Any]]
    deals: dict[str, npt.NDArray[Any]]
    feedback: dict[str, npt.NDArray[Any]]


def make_trail(physics: Physics, history: History, rng: np.random.Generator) -> Trail:
    """All that the spells leave behind, drawn from `rng`."""
    visible = np.minimum(history.taken.astype(np.float64), float(physics.calendar.n_days))
    deals = _deals(physics, history, visible, rng)
    return Trail(
        activities=_activities(physics, history, visible, rng),
        stages=_stages(physics, history, visible, rng),
        deals=deals,
        feedback=_feedback(physics, history, visible, rng),
    )


def _activities(
    physics: Physics, history: History, visible: Floats, rng: np.random.Generator
) -> dict[str, npt.NDArray[Any]]:
    """The first contact and the follow-ups of each spell.

    Follow-ups are planned, not thrown like dice: they fall where the rep's effort times his drive adds up to the next
    whole number, from a random start, so that the frequency seen is close to the frequency meant.
    """
    spells, calendar = history.spells, physics.calendar
    end = np.minimum(spells.end, visible)
    driven = physics.driven
    per_unit = spells.effort / calendar.per_week
    begun = _driven_at(driven, spells.rep, spells.contact)
    done = per_unit * np.maximum(_driven_at(driven, spells.rep, end) - begun, 0.0)
    phase = rng.random(spells.n)
    counts = np.where(spells.contact < end, np.floor(done + phase), 0).astype(np.int64)
    row = np.repeat(np.arange(spells.n), counts)
    k = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    target = begun[row] + (k + 1 - phase[row]) / per_unit[row]
    at = _day_of_driven(driven, spells.rep[row], target)
    # Within its day a follow-up falls into office hours.
    at = np.floor(at) + (9 + 9 * rng.random(len(row))) / 24
    keep = (at > spells.contact[row] + 0.01) & (at < end[row] - 0.005)
    row, at = row[keep], at[keep]
    seen = np.flatnonzero(spells.contact < visible)
    row, at = np.concatenate([seen, row]), np.concatenate([spells.contact[seen], at])
    order = np.argsort(at, kind="stable")
    row, at = row[order], at[order]
    n_kinds = len(physics.words.kinds)
    kind = rng.choice(n_kinds, len(row), p=np.array([0.5, 0.25, 0.15, 0.10]))
    outcome = rng.choice(len(physics.words.outcomes), len(row), p=np.array([0.45, 0.25, 0.12, 0.18]))
    minutes = np.maximum(np.round(np.exp(rng.normal(np.array([2.3, 1.6, 4.0, 3.8])[kind], 0.5))), 1.0)
    return {
        "lead": spells.lead[row],
        "rep": spells.rep[row],
        "at": _seconds(at),
        "kind": kind,
        "outcome": outcome,
        "minutes": minutes,
    }


def _driven_at(driven: Floats, rep: Ints, at: Floats) -> Floats:
    """Running drive of each rep at fractional days."""
    at = np.clip(at, 0.0, driven.shape[1] - 1.001)
    day = np.floor(at).astype(np.int64)
    low = driven[rep, day]
    return np.asarray(low + (driven[rep, day + 1] - low) * (at - day), dtype=np.float64)


def _day_of_driven(driven: Floats, rep: Ints, target: Floats) -> Floats:
    """Day on which a rep's running drive passes `target`, by one search over all reps laid end to end."""
    step = float(driven[:, -1].max()) + 1.0
    offset = step * np.arange(len(driven))
    flat = (driven + offset[:, None]).ravel()
    clipped = np.minimum(target, driven[rep, -1] - 1e-9)
    position = np.searchsorted(flat, clipped + offset[rep], side="right") - 1
    return np.asarray(position - rep * driven.shape[1], dtype=np.float64)


def _deals(
    physics: Physics, history: History, visible: Floats, rng: np.random.Generator
) -> dict[str, npt.NDArray[Any]]:
    """Won and lost leads, and what won clients buy again while their rep is still here."""
    spells = history.spells
    closed = np.flatnonzero((spells.outcome >= 0) & (spells.end < visible))
    won = spells.outcome[closed] == 1
    reason = np.where(won, -1, rng.integers(0, len(physics.words.lost_reasons), len(closed)))
    amount = np.where(won, physics.leads.amount[spells.lead[closed]], 0.0)
    bought = closed[won]
    n_again = np.minimum(rng.poisson(REPEAT_RATE, len(bought)), _MAX_REPEATS)
    again = np.repeat(bought, n_again)
    wait = 14 + rng.exponential(REPEAT_DAYS, len(again))
    repeat = np.exp(rng.normal(np.log(REPEAT_SHARE) - REPEAT_SD**2 / 2, REPEAT_SD, len(again)))
    amount_again = np.maximum(np.round(physics.leads.amount[spells.lead[again]] * repeat, -1), 10.0)
    at_again = _workday(physics, spells.rep[again], spells.end[again] + wait)
    stays = at_again < np.minimum(physics.people.left[spells.rep[again]], physics.calendar.n_days)
    row = np.concatenate([closed, again[stays]])
    at = np.concatenate([spells.end[closed], at_again[stays]])
    order = np.argsort(at, kind="stable")
    columns = {
        "lead": spells.lead[row],
        "rep": spells.rep[row],
        "at": _seconds(at),
        "won": np.concatenate([won, np.ones(int(stays.sum()), dtype=bool)]),
        "amount": np.concatenate([amount, amount_again[stays]]),
        "reason": np.concatenate([reason, np.full(int(stays.sum()), -1)]),
    }
    return {name: values[order] for name, values in columns.items()}


def _workday(physics: Physics, rep: Ints, at: Floats) -> Floats:
    """The same hour on the rep's next day at work."""
    day = np.minimum(np.floor(at).astype(np.int64), physics.calendar.n_total - 1)
    hour = 9 + 9 * (at - np.floor(at))
    return np.asarray(physics.next_work[rep, day] + hour / 24, dtype=np.float64)


def _stages(
    physics: Physics, history: History, visible: Floats, rng: np.random.Generator
) -> dict[str, npt.NDArray[Any]]:
    """Entries into stages: all of them where won, fewer and fewer where not; with what was believed then."""
    spells = history.spells
    calendar = physics.calendar
    parts = []
    going = np.ones(spells.n, dtype=bool)
    begun = np.interp(spells.contact, np.arange(len(calendar.running)), calendar.running)
    ended = np.interp(spells.end, np.arange(len(calendar.running)), calendar.running)
    for stage, (share, reached) in enumerate(zip(STAGE_SHARES, REACHED_WHEN_LOST, strict=True)):
        earlier = 1.0 if stage == 0 else REACHED_WHEN_LOST[stage - 1]
        going &= (spells.outcome == 1) | (rng.random(spells.n) < reached / earlier)
        jitter = share * rng.uniform(0.8, 1.2, spells.n)
        at = np.interp(begun + jitter * (ended - begun), calendar.running, np.arange(len(calendar.running)))
        at = np.maximum(np.floor(at) + (9 + 9 * (at - np.floor(at))) / 24, spells.contact + 0.01 * (stage + 1))
        believed = physics.leads.amount[spells.lead] * np.exp(
            rng.normal(BELIEF_BIAS, BELIEF_SD / (stage + 1), spells.n)
        )
        left = np.exp(rng.normal(-0.1, 0.4, spells.n)) * physics.win_days[physics.leads.source[spells.lead]]
        row = np.flatnonzero(going & (at < np.minimum(spells.end, visible)))
        parts.append(
            {
                "lead": spells.lead[row],
                "stage": np.full(len(row), stage),
                "at": at[row],
                "amount": np.round(believed[row], -1),
                "close_day": np.floor(calendar.after_work(at[row], left[row] * (1 - share))).astype(np.int64) + 1,
            }
        )
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns["at"] = _seconds(columns["at"])
    order = np.argsort(columns["at"], kind="stable")
    columns = {name: values[order] for name, values in columns.items()}
    # A lead taken over goes through the stages again; a second entry in the same second would break the key.
    _, first = np.unique(columns["lead"] * 10 + columns["stage"] + columns["at"] / 1e5, return_index=True)
    return {name: values[np.sort(first)] for name, values in columns.items()}


def _feedback(
    physics: Physics, history: History, visible: Floats, rng: np.random.Generator
) -> dict[str, npt.NDArray[Any]]:
    """Scores from clients some days after the end: attitude, speed and the outcome speak, and much chance."""
    spells = history.spells
    at = np.floor(spells.end + 1 + rng.exponential(8.0, spells.n)) + rng.uniform(8 / 24, 21 / 24, spells.n)
    given = (spells.outcome >= 0) & (spells.end < visible) & (rng.random(spells.n) < _FEEDBACK_RATE)
    given &= at < physics.calendar.n_days
    late = np.log(np.maximum(spells.contact - spells.assigned, 0.05))
    felt = 7.2 + 0.9 * physics.people.attitude[spells.rep] + 0.7 * (spells.outcome == 1) - 0.25 * late
    score = np.clip(np.round(felt + rng.normal(0.0, 1.3, spells.n)), 1, 10)
    complaint = (score <= 4) & (rng.random(spells.n) < 0.6)
    row = np.flatnonzero(given)
    row = row[np.argsort(at[row], kind="stable")]
    return {
        "lead": spells.lead[row],
        "rep": spells.rep[row],
        "at": _seconds(at[row]),
        "score": score[row],
        "complaint": complaint[row],
    }


def _seconds(at: Floats) -> Floats:
    """Days rounded down to whole seconds."""
    return np.asarray(np.floor(at * 86_400 + 1e-4) / 86_400, dtype=np.float64)
