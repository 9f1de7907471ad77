"""The old desk's habit, day by day: who gets which lead, within capacity, and what is handed over when reps leave.

Leads go out mostly in turn. Of the best leads a configured share goes to newcomers and the rest to the others. A known
account mostly stays with its owner. Nobody is given a lead while absent, after leaving, outside his territories or
beyond his places of the week; what finds no room waits, and after two weeks is forgotten.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from features.synthetic.chances import Physics, Spells, play, play_none
from features.synthetic.days import Floats, Ints
from features.synthetic.leads import MAX_OWNERS, OWN_SHARE
from features.synthetic.population import STAYS

PATIENCE_DAYS: Final = 14
ACCOUNT_SHARE: Final = 0.7
_CLOSES = 17 / 24  # what arrives later is handed out on the next working day
# Turns relative to a rep of one to two years: the seasoned live on old clients, newcomers on what the desk sends.
_TURNS = (1.7, 1.0, 0.65)


@dataclass(frozen=True)
class History:
    """All spells, and of each the day on which the rep's leaving took the lead away (STAYS: never).

    `own`: leads that a rep brought himself (bool by lead).
    """

    spells: Spells
    taken: Ints
    own: npt.NDArray[np.bool_]


@dataclass
class _State:
    """What the desk knows between days."""

    used: Ints
    turn: Floats
    queue: deque[tuple[int, int, int]] = field(default_factory=deque)  # lead, waiting since, order
    parts: list[Spells] = field(default_factory=list)
    n_spells: int = 0
    held_by: dict[int, list[tuple[int, int, int, float]]] = field(
        default_factory=dict
    )  # of leavers: row, lead, order, end
    taken: dict[int, int] = field(default_factory=dict)
    owner: dict[int, int] = field(default_factory=dict)
    best: int = 0
    best_to_newcomers: int = 0


def run_desk(physics: Physics) -> History:
    """The desk's whole history under its habit; all chance lies in the leads' own draws."""
    calendar, people, leads = physics.calendar, physics.people, physics.leads
    state = _State(np.zeros(people.n, dtype=np.int64), np.zeros(people.n))
    own = np.zeros(leads.n, dtype=bool)
    leavers: dict[int, list[int]] = {}
    for leaver in np.flatnonzero(people.left < calendar.n_days).tolist():
        leavers.setdefault(int(people.left[leaver]), []).append(leaver)
    arrived = 0
    week = -1
    for day in range(calendar.n_days):
        if calendar.week[day] != week:
            week = int(calendar.week[day])
            state.used[:] = 0
        for rep in leavers.get(day, ()):
            _hand_back(state, rep, day)
        if not calendar.desk_open[day]:
            continue
        until = int(np.searchsorted(leads.created, day + _CLOSES))
        state.queue.extend((lead, day, 0) for lead in range(arrived, until))
        arrived = until
        _hand_out(physics, state, own, day)
    if not state.parts:  # no lead ever found a rep: keep the columns
        state.parts.append(play_none(physics))
    spells = _joined(state.parts)
    taken = np.full(spells.n, STAYS, dtype=np.int64)
    for row, day in state.taken.items():
        taken[row] = day
    return History(spells, taken, own)


def turn_weights(tenure: Floats) -> Floats:
    """Turns that reps of so many years get, relative to one of one to two years; shape as given."""
    return np.asarray(np.select([tenure < 1, tenure < 2], _TURNS[:2], _TURNS[2]), dtype=np.float64)


def _hand_back(state: _State, rep: int, day: int) -> None:
    """Queue the open leads of a rep who leaves on `day`, before everything that waits."""
    for row, lead, order, end in reversed(state.held_by.pop(rep, [])):
        if end >= day:
            state.taken[row] = day
            # After so many hands nobody takes the lead up again.
            if order + 1 < MAX_OWNERS:
                state.queue.appendleft((lead, day, order + 1))


def _hand_out(physics: Physics, state: _State, own: npt.NDArray[np.bool_], day: int) -> None:
    """Give out what waits, as far as there is room today."""
    people, leads = physics.people, physics.leads
    here = (people.hired <= day) & (people.left > day) & ~people.absent[:, day]
    tenure = people.tenure(np.arange(people.n), np.full(people.n, day))
    newcomer = tenure < 1
    weight = turn_weights(tenure)
    if here.any():
        # Who was away or is new starts level with the others, not with a claim to all turns missed.
        state.turn = np.maximum(state.turn, state.turn[here].min())
    free = here & (state.used < people.capacity)
    waiting: deque[tuple[int, int, int]] = deque()
    chosen: list[tuple[int, int, int]] = []
    while state.queue and free.any():
        lead, since, order = state.queue.popleft()
        rep = _choose(physics, state, own, free, newcomer, lead, order)
        if rep is None:
            if day - since < PATIENCE_DAYS:
                waiting.append((lead, since, order))
            continue
        state.used[rep] += 1
        state.turn[rep] += 1 / weight[rep]
        state.owner[int(leads.account[lead])] = rep
        free[rep] = state.used[rep] < people.capacity[rep]
        chosen.append((lead, rep, order))
        if leads.best[lead]:
            state.best += 1
            state.best_to_newcomers += int(newcomer[rep])
    waiting.extend(item for item in state.queue if day - item[1] < PATIENCE_DAYS)
    state.queue = waiting
    if chosen:
        _record(physics, state, np.array(chosen, dtype=np.int64), day)


def _choose(
    physics: Physics,
    state: _State,
    own: npt.NDArray[np.bool_],
    free: npt.NDArray[np.bool_],
    newcomer: npt.NDArray[np.bool_],
    lead: int,
    order: int,
) -> int | None:
    """The rep whose turn it is for this lead, or None where nobody who may has room."""
    people, leads = physics.people, physics.leads
    if order == 0 and leads.own[lead] < OWN_SHARE:
        candidates = np.flatnonzero(free)
        own[lead] = True
        return int(candidates[int(leads.own[lead] / OWN_SHARE * len(candidates))])
    territory = leads.territory[lead]
    eligible = free & (people.serves[:, territory] if territory >= 0 else True)
    owner = state.owner.get(int(leads.account[lead]))
    if owner is not None and eligible[owner] and leads.own[lead] < OWN_SHARE + (1 - OWN_SHARE) * ACCOUNT_SHARE:
        return owner
    if leads.best[lead]:
        preferred = eligible & (newcomer if _to_newcomer(physics, state, lead) else ~newcomer)
        eligible = preferred if preferred.any() else eligible
    candidates = np.flatnonzero(eligible)
    if not len(candidates):
        return None
    return int(candidates[np.argmin(state.turn[candidates])])


def _to_newcomer(physics: Physics, state: _State, lead: int) -> bool:
    """Whether a best lead should go to a newcomer: by chance, which leans against the share so far.

    Territories and full weeks get in the way of the wish; without the lean the share would stay below what is asked.
    """
    wanted = physics.config.newcomer_share_of_best
    so_far = state.best_to_newcomers / state.best if state.best else wanted
    return bool(physics.leads.draws.turn[lead] < wanted + 5 * (wanted - so_far) * min(1.0, state.best / 100))


def _record(physics: Physics, state: _State, chosen: Ints, day: int) -> None:
    """Play out today's hand-overs and keep them."""
    lead, rep, order = chosen.T
    luck = physics.leads.draws.minutes[lead, order]
    created = physics.leads.created[lead]
    fresh = np.floor(created) == day
    morning = day + (9 + 1.5 * luck) / 24
    assigned = np.where(fresh, np.maximum(created, day + 8.5 / 24) + (3 + 57 * luck) / 1440, morning)
    assigned = np.round(assigned * 86_400) / 86_400
    spells = play(physics, physics.leads.draws, lead, rep, order, assigned)
    for i in range(spells.n):
        if physics.people.left[rep[i]] < STAYS:
            row = state.n_spells + i, int(lead[i]), int(order[i]), float(spells.end[i])
            state.held_by.setdefault(int(rep[i]), []).append(row)
    state.n_spells += spells.n
    state.parts.append(spells)


def _joined(parts: list[Spells]) -> Spells:
    """All parts in one."""
    names = Spells.__dataclass_fields__
    return Spells(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
