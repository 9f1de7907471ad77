"""Inner loops of the auction: forward bids of leads, reverse bids of places, the dual bound, marginal prices.

Plain Python on arrays, compiled by `features.compiled`; they call each other, so that importing this module loads the
compiler: it is imported where it is used. Everywhere: `net` values (L, R) are scaled to order
one and hold -inf where a pair is ruled out; lead i has the values of row `rows[i]` (leads that are alike share one);
`hold` (leads,) is what a held lead is worth; places of rep j are rows `offsets[j]:offsets[j + 1]` of the place arrays,
the first `filled[j]` of them taken.

References
----------
D. P. Bertsekas, D. A. Castanon (1989), The auction algorithm for the transportation problem.
D. P. Bertsekas, D. A. Castanon (1992), A forward/reverse auction algorithm for asymmetric assignment problems.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from features.compiled import compiled

Array = np.ndarray[Any, np.dtype[Any]]

LISTED = 16  # reps that a row's leads look at first
OFTEN = 2  # leads a row from which a list pays


@compiled
def _largest(values: Array) -> float:  # pragma: no cover
    """Largest of the values, -inf where there is none; four running maxima, so that none waits for the other."""
    n = values.size
    a, b, c, d = -np.inf, -np.inf, -np.inf, -np.inf
    whole = n - n % 4
    for k in range(0, whole, 4):
        a = max(a, values[k])
        b = max(b, values[k + 1])
        c = max(c, values[k + 2])
        d = max(d, values[k + 3])
    for k in range(whole, n):
        a = max(a, values[k])
    return max(a, b, c, d)


@compiled
def _first_of(values: Array, wanted: float) -> int:  # pragma: no cover
    """Place of the first value that is `wanted`, which is among them."""
    k = 0
    while values[k] != wanted:
        k += 1
    return k


@compiled
def _shortlist(worth: Array, among: Array) -> float:  # pragma: no cover
    """Write the reps of the largest worths into `among` (K,), K <= R; no other rep is worth more than the answer."""
    most = among.size
    for k in range(most):
        among[k] = k
    least = 0
    for k in range(1, most):
        if worth[among[k]] < worth[among[least]]:
            least = k
    for j in range(most, worth.size):
        if worth[j] > worth[among[least]]:
            among[least] = j
            for k in range(most):
                if worth[among[k]] < worth[among[least]]:
                    least = k
    return worth[among[least]] if worth.size > most else -np.inf


@compiled
def bid_forward(
    net: Array, rows: Array, hold: Array, offsets: Array, owner: Array, paid: Array, price: Array, filled: Array,
    choice: Array, epsilon: float, n_listed: int,
) -> int:  # fmt: skip  # pragma: no cover
    """Number of bids until every lead has a place or prefers to be held; the arrays are updated in place.

    Places of one rep are alike: a lead bids against its best *other* rep, takes the cheapest place, and the rep's
    price is that of his cheapest place. Prices only rise, so a lead that gives up has given up for this phase.
    `n_listed`: reps of each row to remember, 0 = none. As prices only rise, nobody else is ever worth more than when
    the list was made: while the best are above that, the list answers; else the row is looked through again.
    """
    n_leads, n_reps = rows.size, price.size
    waiting = np.empty(n_leads, np.int64)
    for k in range(n_leads):
        waiting[k] = n_leads - 1 - k
    worth = np.empty(n_reps)
    n_listed = min(n_listed, n_reps)
    listed = np.empty((net.shape[0] if n_listed > 0 else 0, n_listed), np.int64)
    others = np.full(net.shape[0], np.inf)
    n_waiting = n_leads
    n_bids = 0
    while n_waiting > 0:
        n_waiting -= 1
        i = waiting[n_waiting]
        row = rows[i]
        choice[i] = -1
        first, second, best = -np.inf, -np.inf, -1
        if others[row] < np.inf:
            for k in range(n_listed):
                j = listed[row, k]
                here = net[row, j] - price[j]
                if here > first or (here == first and j < best):
                    second = first
                    first, best = here, j
                elif here > second:
                    second = here
            if max(first, others[row]) <= hold[i]:
                continue
        if not (first > others[row] and max(second, hold[i]) >= others[row]):
            for j in range(n_reps):
                worth[j] = net[row, j] - price[j]
            first = _largest(worth)
            if first == -np.inf or first <= hold[i]:
                continue
            best = _first_of(worth, first)
            if n_listed > 0:
                others[row] = _shortlist(worth, listed[row])
            worth[best] = -np.inf
            second = _largest(worth)
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


@compiled
def bid_reverse(
    net_by_rep: Array, rows: Array, hold: Array, offsets: Array, owner: Array, price: Array, filled: Array,
    choice: Array, place_of: Array, profit: Array, epsilon: float,
) -> int:  # fmt: skip  # pragma: no cover
    """Number of moves until every rep with room has price 0; the arrays are updated in place.

    A rep with an empty place and a positive price lowers it until the lead that gains most from moving comes, or
    until the price is nothing. Profits of leads only rise, so it ends.
    """
    n_leads, n_reps = rows.size, price.size
    for i in range(n_leads):
        profit[i] = hold[i]
        place_of[i] = -1
    for j in range(n_reps):
        for s in range(offsets[j], offsets[j] + filled[j]):
            i = owner[s]
            place_of[i] = s
            profit[i] = net_by_rep[j, rows[i]] - price[j]
    waiting = np.empty(n_reps, np.int64)
    queued = np.zeros(n_reps, np.bool_)
    n_waiting = 0
    for j in range(n_reps):
        if filled[j] < offsets[j + 1] - offsets[j] and price[j] > 0.0:
            waiting[n_waiting] = j
            queued[j] = True
            n_waiting += 1
    offer = np.empty(n_leads)
    n_moves = 0
    while n_waiting > 0:
        n_waiting -= 1
        j = waiting[n_waiting]
        queued[j] = False
        while filled[j] < offsets[j + 1] - offsets[j] and price[j] > 0.0:
            for i in range(n_leads):
                offer[i] = net_by_rep[j, rows[i]] - profit[i]
            for s in range(offsets[j], offsets[j] + filled[j]):
                offer[owner[s]] = -np.inf  # his own leads need not come
            first = _largest(offer)
            if first > epsilon:
                best = _first_of(offer, first)
                offer[best] = -np.inf
                second = _largest(offer)
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
                profit[i] = net_by_rep[j, rows[i]] - price[j]
    return n_moves


@compiled
def distance_to_bound(
    net: Array, rows: Array, hold: Array, capacity: Array, price: Array, choice: Array, enough: float
) -> float:  # pragma: no cover
    """How far the answer lies below a value that no assignment exceeds; some number above `enough` once it is more.

    The bound is places at their prices plus each lead's best profit (weak duality): the distance is what places left
    empty are asked for, and what leads could gain elsewhere, none of it below zero but for rounding.
    """
    total = 0.0
    for j in range(price.size):
        total += capacity[j] * price[j]
    for i in range(hold.size):
        j = choice[i]
        total -= price[j] if j >= 0 else 0.0
    profit = np.empty(price.size)
    for i in range(hold.size):
        for j in range(price.size):
            profit[j] = net[rows[i], j] - price[j]
        here = profit[choice[i]] if choice[i] >= 0 else hold[i]
        total += max(hold[i], _largest(profit)) - here
        if total > enough:
            break
    return max(total, 0.0)


@compiled
def auction(
    net: Array, by_rep: Array, rows: Array, hold: Array, places: Array, start: Array, epsilon: float, shrink: float,
    tolerance: float, most_phases: int, choice: Array, price: Array, filled: Array,
) -> float:  # fmt: skip  # pragma: no cover
    """Proven relative gap after phases of falling epsilon; `choice` (leads,), `price` and `filled` (R,) are written.

    `by_rep` is `net` turned, (R, L).
    The gap is (bound - reached) / size, size = the sum of absolute values in the answer; 0 where all of it is 0.
    """
    n_leads, n_reps = rows.size, places.size
    offsets = np.zeros(n_reps + 1, np.int64)
    for j in range(n_reps):
        offsets[j + 1] = offsets[j] + places[j]
        price[j] = start[j] if places[j] > 0 else 0.0
    owner, paid = np.empty(offsets[-1], np.int64), np.empty(offsets[-1])
    place_of, profit = np.empty(n_leads, np.int64), np.empty(n_leads)
    gap = np.inf
    n_listed = LISTED if n_leads >= OFTEN * net.shape[0] else 0
    for phase in range(most_phases):
        for j in range(n_reps):
            if phase > 0:
                price[j] = max(price[j] - epsilon * shrink, 0.0)
            filled[j] = 0
            for s in range(offsets[j], offsets[j + 1]):
                paid[s] = price[j]
        bid_forward(net, rows, hold, offsets, owner, paid, price, filled, choice, epsilon, n_listed)
        bid_reverse(by_rep, rows, hold, offsets, owner, price, filled, choice, place_of, profit, epsilon)
        size = 0.0
        for i in range(n_leads):
            size += abs(net[rows[i], choice[i]] if choice[i] >= 0 else hold[i])
        # Only the last phase must know how far it is; the others that it is too far.
        enough = np.inf if phase == most_phases - 1 else 1.000001 * tolerance * size + 1e-9
        distance = distance_to_bound(net, rows, hold, places, price, choice, enough)
        nothing = 0.0 if distance <= 1e-12 else np.inf
        gap = distance / size if size > 0.0 else nothing
        if gap <= tolerance:
            break
        epsilon /= shrink
    return gap


@compiled
def price_margins(
    by_rep: Array, rows: Array, hold: Array, places: Array, filled: Array, choice: Array, price: Array
) -> Array:  # pragma: no cover
    """What one place fewer at each rep would cost: (R,), the largest optimal dual, in the unit of values and prices.

    The rep's lead that loses least is held or moves on, where its arrival costs that rep's margin in turn: shortest
    paths over reps to an empty place or a held lead. Less the auction's prices all steps are not below zero but for
    the auction's tolerance, so that Dijkstra's order serves; without prices they would run in circles below zero.
    `by_rep` (R, L): the values turned.
    """
    n_leads, n_reps = rows.size, places.size
    above = np.full(n_reps, np.inf)  # how far a rep's margin lies above his price
    here = np.empty(n_leads)
    for j in range(n_reps):
        if filled[j] < places[j]:
            above[j] = 0.0
    for i in range(n_leads):
        j = choice[i]
        if j >= 0:
            here[i] = by_rep[j, rows[i]] - price[j]
            above[j] = min(above[j], max(here[i] - hold[i], 0.0))
    done = np.zeros(n_reps, np.bool_)
    for _ in range(n_reps):
        k = -1
        for j in range(n_reps):
            if not done[j] and (k < 0 or above[j] < above[k]):
                k = j
        if above[k] == np.inf:
            break
        done[k] = True
        for i in range(n_leads):
            j = choice[i]
            if j >= 0:
                loss = here[i] - (by_rep[k, rows[i]] - price[k])
                above[j] = min(above[j], max(loss, 0.0) + above[k])
    return price + above


@compiled
def any_worth(
    values: Array, rows: Array, eligible: Array, kinds: Array, price: Array, places: Array, slack: float
) -> bool:  # pragma: no cover
    """Whether any lead's value less price is not below zero, but for `slack` of the value, at a rep with a place."""
    for i in range(rows.size):
        for j in range(price.size):
            if places[j] > 0 and eligible[kinds[i], j]:
                value = values[rows[i], j]
                if value - price[j] + slack * abs(value) >= 0.0:
                    return True
    return False
