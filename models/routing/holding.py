"""Many leads at once: held leads looked at again, and batches planned as one problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.routing.prices import Prices
from models.routing.share import NewcomerShare, solve_shared, weighted
from models.routing.transport import solve_transport

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_SLACK = 1e-3  # of the value: prices are averages over futures, equal within this


@dataclass(frozen=True)
class Release:
    """A held lead (row index) that goes to `rep` now; `value` there, `price` of the place, `net` of the two."""

    lead: int
    rep: int
    value: float
    price: float
    net: float


def reconsider(
    values: Floats,
    eligible: Flags,
    prices: Prices,
    capacity: Integers,
    *,
    slack: float = _SLACK,
    most: int | None = None,
    favour: Floats | None = None,
) -> tuple[Release, ...]:
    """Releases among the held leads, the most valuable first; the rest goes on waiting.

    All held leads compete at once: the transport problem of their net values (value less price) on the places left.
    A lead is released only where its net value is not below zero.

    Parameters
    ----------
    values, eligible
        (H, R) of the held leads now.
    prices
        Of places now, the held leads among those they were solved for.
    capacity
        (R,) places left this week.
    most
        Release no more than this many (prices move after each).
    favour
        (H, R) what a lead counts on top at a newcomer, None: nothing.
    """
    if values.shape[0] == 0 or not (eligible & (capacity > 0)[None, :]).any():
        return ()
    net = values - prices.effective[None, :] + (0.0 if favour is None else favour)
    # A lead that sets the price itself has a net value of zero up to rounding: it must not wait for itself.
    allowance = slack * np.abs(values)
    worth = np.where(eligible, net + allowance, 0.0)
    answer = solve_transport(worth, eligible & (worth >= 0.0), capacity, hold_value=-1e-12)
    found = [
        Release(int(i), int(j), float(values[i, j]), float(prices.place[j]), float(net[i, j]))
        for i, j in enumerate(answer.choice)
        if j >= 0
    ]
    found.sort(key=lambda release: (-release.value, release.lead))
    return tuple(found if most is None else found[:most])


def any_worth_a_place(
    values: Floats, rows: Integers, eligible: Flags, kinds: Integers, prices: Prices, capacity: Integers
) -> bool:
    """Whether `reconsider` may release any of the held leads: one is worth its price at a rep with a place left.

    Held lead i has the values of `values[rows[i]]` (n, R) and may go where `eligible[kinds[i]]` (K, R) says.
    """
    from models.routing import kernels

    return bool(
        kernels.any_worth(values, rows, eligible, kinds, prices.effective, np.asarray(capacity, np.int64), _SLACK)
    )


def plan_batch(
    values: Floats,
    eligible: Flags,
    prices: Prices,
    capacity: Integers,
    *,
    share: NewcomerShare | None = None,
    worth: Floats | None = None,
) -> Integers:
    """(L,) rep of each lead of a batch, -1 = held: the exact best of the batch's net values on the places left.

    `prices` are those of the leads still to come *after* the batch; among each other the batch's leads compete here.
    `share`: newcomers' least share of the week, kept over what is given, the batch, and what is to come at `prices`;
    `worth` (L, R): expected value in money, None: `values` are that.
    """
    if values.shape[0] == 0 or values.shape[1] == 0:
        return np.full(values.shape[0], -1, dtype=np.int64)
    net = values - prices.effective[None, :]
    if share is None or share.share <= 0.0:
        return solve_transport(net, eligible, capacity).choice
    money = values if worth is None else worth
    favoured = weighted(net, money, share.newcomer, prices.newcomer_rate)
    wanted = share.after(prices.ahead_newcomers, prices.ahead_all)
    return solve_shared(favoured, money, eligible, capacity, wanted).answer.choice
