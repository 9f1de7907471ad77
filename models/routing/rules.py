"""Hard rules: who may get a lead at a moment, as exclusion codes from arrays.

A lead without territory may go to any rep; one whose territory some rep lists, to those who list it and to those who
list none; one whose territory nobody lists, only to reps without listed territories. Leaving counts from the day on,
both days of an absence are excluded, hiring from the day on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from features.moments import NEVER
from models.routing.policy import Exclusion

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_MOST_STRETCHES: Final = 100


@dataclass(frozen=True)
class Desk:
    """The reps as the rules see them, arrays (R,) in one fixed order.

    `in_sales`; `hired_at`, `left_at`: moments of the day's 00:00, NEVER where none; `capacity`: places a week;
    `absence_rep`, `absence_from`, `absence_until` (A,): rep index and half-open interval of moments;
    `lists_any` (R,): the rep lists territories; `rows` territory -> (R,) who lists it.
    """

    in_sales: Flags
    hired_at: Integers
    left_at: Integers
    capacity: Integers
    absence_rep: Integers
    absence_from: Integers
    absence_until: Integers
    lists_any: Flags
    rows: Mapping[str, Flags]

    @property
    def n_reps(self) -> int:
        return int(self.in_sales.size)

    @cached_property
    def changes(self) -> Integers:
        """Moments, rising, at which somebody comes, leaves, goes on leave or is back."""
        found = (self.hired_at, self.left_at, self.absence_from, self.absence_until)
        return np.unique(np.concatenate(found))

    @cached_property
    def remembered(self) -> dict[int, Integers]:
        """What `presence` has found, by stretch of time."""
        return {}


def make_desk(
    *,
    in_sales: Flags,
    hired_at: Integers,
    left_at: Integers,
    territories: Sequence[Sequence[str]],
    capacity: Integers,
    absence_rep: Integers | None = None,
    absence_from: Integers | None = None,
    absence_until: Integers | None = None,
) -> Desk:
    """Desk with its territory index. `territories`: one list a rep, empty = everywhere; names are stripped."""
    n_reps = in_sales.size
    rows: dict[str, Flags] = {}
    lists_any = np.zeros(n_reps, dtype=np.bool_)
    for rep, names in enumerate(territories):
        for name in (text.strip() for text in names):
            if name:
                lists_any[rep] = True
                rows.setdefault(name, np.zeros(n_reps, dtype=np.bool_))[rep] = True
    empty = np.zeros(0, dtype=np.int64)
    return Desk(
        in_sales=in_sales, hired_at=hired_at, left_at=left_at, capacity=capacity,
        absence_rep=empty if absence_rep is None else absence_rep,
        absence_from=empty if absence_from is None else absence_from,
        absence_until=empty if absence_until is None else absence_until,
        lists_any=lists_any, rows=rows,
    )  # fmt: skip


@dataclass(frozen=True)
class Eligibility:
    """`exclusion` (R,) codes for one lead; `territory_unlisted`: no rep who is there lists the lead's territory."""

    exclusion: Integers
    territory_unlisted: bool


def territory_fits(desk: Desk, territory: str) -> Flags:
    """(R,) reps who may take a lead of `territory`; empty text means none given."""
    name = territory.strip()
    if not name:
        return np.ones(desk.n_reps, dtype=np.bool_)
    listed = desk.rows.get(name)
    return ~desk.lists_any if listed is None else listed | ~desk.lists_any


def absent_at(desk: Desk, moment: int) -> Flags:
    """(R,) reps on leave at `moment`."""
    away = np.zeros(desk.n_reps, dtype=np.bool_)
    now = (desk.absence_from <= moment) & (moment < desk.absence_until)
    away[desk.absence_rep[now]] = True
    return away


def presence(desk: Desk, moment: int) -> Integers:
    """(R,) codes of the rules that hold for every lead at `moment`: department, hired, left, absent, no capacity.

    They stay between two `changes`, and are remembered.
    """
    stretch = int(np.searchsorted(desk.changes, moment, side="right"))
    known = desk.remembered
    if stretch not in known:
        if len(known) >= _MOST_STRETCHES:
            known.clear()
        known[stretch] = _presence(desk, moment)
    return known[stretch].copy()


def _presence(desk: Desk, moment: int) -> Integers:
    found = np.zeros(desk.n_reps, dtype=np.int64)
    left = (desk.left_at != NEVER) & (desk.left_at <= moment)
    # The last written rules: the order of Exclusion, backwards.
    found[desk.capacity <= 0] = Exclusion.CAPACITY_ZERO
    found[absent_at(desk, moment)] = Exclusion.ABSENT
    found[left] = Exclusion.LEFT
    found[desk.hired_at > moment] = Exclusion.NOT_HIRED
    found[~desk.in_sales] = Exclusion.NOT_SALES
    return found


def eligibility(desk: Desk, moment: int, territory: str, used: Integers) -> Eligibility:
    """Exclusion codes of every rep for a lead of `territory` at `moment`, `used` (R,) places this week."""
    found = presence(desk, moment)
    fits = territory_fits(desk, territory)
    order = (found == Exclusion.NONE) | (found > Exclusion.TERRITORY)
    found[order & ~fits] = Exclusion.TERRITORY
    found[(found == Exclusion.NONE) & (used >= desk.capacity)] = Exclusion.FULL
    return Eligibility(found, bool(territory.strip()) and territory.strip() not in desk.rows)


def eligible_matrix(desk: Desk, moment: int, territories: Sequence[str]) -> Flags:
    """(L, R) who may get which lead at `moment`, whatever places are left; one row a distinct territory is made."""
    here = presence(desk, moment) == Exclusion.NONE
    by_name = {name: territory_fits(desk, name) & here for name in set(territories)}
    if not territories:
        return np.zeros((0, desk.n_reps), dtype=np.bool_)
    return np.stack([by_name[name] for name in territories])
