"""Inner loops of the auction: forward bids of leads, reverse bids of places, the dual bound, marginal prices.

Plain Python on arrays, compiled by `models.routing.compiled`. Everywhere: `net` values (L, R) are scaled to order
one and hold -inf where a pair is ruled out; `hold` (L,) is what a held lead is worth; places of rep j are rows
`offsets[j]:offsets[j + 1]` of the place arrays, the first `filled[j]` of them taken.

References
----------
D. P. Bertsekas, D. A. Castanon (1989), The auction algorithm for the transportation problem.
D. P. Bertsekas, D. A. Castanon (1992), A forward/reverse auction algorithm for asymmetric assignment problems.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def bid_forward(
    net: Array, hold: Array, offsets: Array, owner: Array, paid: Array, price: Array, filled: Array, choice: Array,
    epsilon: float,
) -> int:  # fmt: skip
    """Number of bids until every lead has a place or prefers to be held; the arrays are updated in place.

    Places of one rep are alike: a lead bids against its best *other* rep, takes the cheapest place, and the rep's
    price is that of his cheapest place. Prices only rise, so a lead that gives up has given up for this phase.
    """
    n_leads, n_reps = net.shape
    waiting = np.empty(n_leads, np.int64)
    for k in range(n_leads):
        waiting[k] = n_leads - 1 - k
    n_waiting = n_leads
    n_bids = 0
    while n_waiting > 0:
        n_waiting -= 1
        i = waiting[n_waiting]
        first = -np.inf
        second = -np.inf
        best = -1
        for j in range(n_reps):
            worth = net[i, j] - price[j]
            if worth > second:
                if worth > first:
                    second = first
                    first = worth
                    best = j
                else:
                    second = worth
        choice[i] = -1
        if best < 0 or first <= hold[i]:
            continue
        n_bids += 1
        start = offsets[best]
        stop = offsets[best + 1]
        bid = price[best] + first - max(second, hold[i]) + epsilon
        if filled[best] < stop - start:
            place = start + filled[best]
            filled[best] += 1
        else:
            place = start
            for s in range(start + 1, stop):
                if paid[s] < paid[place]:
                    place = s
            choice[owner[place]] = -1
            waiting[n_waiting] = owner[place]
            n_waiting += 1
        owner[place] = i
        paid[place] = bid
        choice[i] = best
        if filled[best] == stop - start:
            cheapest = paid[start]
            for s in range(start + 1, stop):
                cheapest = min(cheapest, paid[s])
            price[best] = cheapest
    return n_bids


def bid_reverse(
    net_by_rep: Array, hold: Array, offsets: Array, owner: Array, price: Array, filled: Array, choice: Array,
    place_of: Array, profit: Array, epsilon: float,
) -> int:  # fmt: skip
    """Number of moves until every rep with room has price 0; the arrays are updated in place.

    A rep with an empty place and a positive price lowers it until the lead that gains most from moving comes, or
    until the price is nothing. Profits of leads only rise, so it ends.
    """
    n_reps, n_leads = net_by_rep.shape
    for i in range(n_leads):
        profit[i] = hold[i]
        place_of[i] = -1
    for j in range(n_reps):
        for s in range(offsets[j], offsets[j] + filled[j]):
            i = owner[s]
            place_of[i] = s
            profit[i] = net_by_rep[j, i] - price[j]
    waiting = np.empty(n_reps, np.int64)
    queued = np.zeros(n_reps, np.bool_)
    n_waiting = 0
    for j in range(n_reps):
        if filled[j] < offsets[j + 1] - offsets[j] and price[j] > 0.0:
            waiting[n_waiting] = j
            queued[j] = True
            n_waiting += 1
    n_moves = 0
    while n_waiting > 0:
        n_waiting -= 1
        j = waiting[n_waiting]
        queued[j] = False
        while filled[j] < offsets[j + 1] - offsets[j] and price[j] > 0.0:
            first = -np.inf
            second = -np.inf
            best = -1
            for i in range(n_leads):
                offer = net_by_rep[j, i] - profit[i]
                if offer > second and choice[i] != j:
                    if offer > first:
                        second = first
                        first = offer
                        best = i
                    else:
                        second = offer
            if best >= 0 and first > epsilon:
                price[j] = min(price[j], max(0.0, second - epsilon))
                left = choice[best]
                if left >= 0:
                    last = offsets[left] + filled[left] - 1
                    gap = place_of[best]
                    owner[gap] = owner[last]
                    place_of[owner[gap]] = gap
                    filled[left] -= 1
                    if price[left] > 0.0 and not queued[left]:
                        waiting[n_waiting] = left
                        queued[left] = True
                        n_waiting += 1
                place = offsets[j] + filled[j]
                owner[place] = best
                place_of[best] = place
                choice[best] = j
                filled[j] += 1
                n_moves += 1
            else:
                price[j] = 0.0
            for s in range(offsets[j], offsets[j] + filled[j]):
                i = owner[s]
                profit[i] = net_by_rep[j, i] - price[j]
    return n_moves


def bound_above(net: Array, hold: Array, capacity: Array, price: Array) -> float:
    """Value that no assignment exceeds: places at their prices plus each lead's best profit (weak duality)."""
    total = 0.0
    for j in range(price.size):
        total += capacity[j] * price[j]
    for i in range(hold.size):
        best = hold[i]
        for j in range(price.size):
            best = max(best, net[i, j] - price[j])
        total += best
    return total


def price_margins(net: Array, hold: Array, capacity: Array, filled: Array, choice: Array, rounds: int) -> Array:
    """What one place fewer at each rep would cost: (R,), the largest optimal dual.

    The rep's lead that loses least is held or moves on, where its arrival costs that rep's margin in turn: shortest
    paths over reps, by Bellman-Ford from "an empty place costs nothing".
    """
    n_leads, n_reps = net.shape
    margin = np.full(n_reps, np.inf)
    step = np.full((n_reps, n_reps), np.inf)
    for j in range(n_reps):
        if filled[j] < capacity[j]:
            margin[j] = 0.0
    for i in range(n_leads):
        j = choice[i]
        if j >= 0:
            margin[j] = min(margin[j], net[i, j] - hold[i])
            for k in range(n_reps):
                step[j, k] = min(step[j, k], net[i, j] - net[i, k])
    for _ in range(rounds):
        moved = False
        for j in range(n_reps):
            for k in range(n_reps):
                onward = step[j, k] + margin[k]
                if onward < margin[j] - 1e-12:
                    margin[j] = onward
                    moved = True
        if not moved:
            break
    return np.maximum(margin, 0.0)
