"""Inner loops of the bit-mask trees, plain Python on arrays, compiled by `features.compiled`.

They call each other, so that importing this module loads the compiler: it is imported where it is used. Everywhere:
splits are arrays (N,), tree by tree; a split's `kind` is LightGBM's decision type, whose bit 1 sends missing values
left and whose bits 2 and 3 say what counts as missing (0 nothing, 1 zeros within 1e-35, 2 NaN).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from features.compiled import compiled

Array = np.ndarray[Any, np.dtype[Any]]


@compiled
def goes_left(value: float, threshold: float, kind: int) -> bool:  # pragma: no cover
    """Whether a row with this value goes left at a split."""
    missing = (kind >> 2) & 3
    if np.isnan(value):
        if missing == 2:
            return (kind & 2) != 0
        value = 0.0
    if missing == 1 and abs(value) <= 1e-35:
        return (kind & 2) != 0
    return value <= threshold


@compiled
def strike(values: Array, threshold: float, kind: int, keep: Any, masks: Array) -> None:  # pragma: no cover
    """Strike out of `masks` (n,) what rows with `values` (n,) at one split can no longer reach."""
    if (kind >> 2) & 3 == 1:
        for i in range(masks.size):
            if not goes_left(values[i], threshold, kind):
                masks[i] &= keep
        return
    # Only NaN can be missing here: where it goes is the same for all rows.
    nan_left = goes_left(np.nan, threshold, kind)
    for i in range(masks.size):
        value = values[i]
        left = value <= threshold or (nan_left and np.isnan(value))
        masks[i] = masks[i] if left else masks[i] & keep


@compiled
def strike_all(
    columns: Array, tree: Array, feature: Array, threshold: Array, kind: Array, keep: Array, masks: Array
) -> None:  # pragma: no cover
    """Strike out of `masks` (T, n) what rows with the values `columns` (F, n) can no longer reach by the splits."""
    for k in range(tree.size):
        strike(columns[feature[k]], threshold[k], kind[k], keep[k], masks[tree[k]])


@compiled
def strike_row(
    row: Array, tree: Array, feature: Array, threshold: Array, kind: Array, keep: Array, masks: Array
) -> None:  # pragma: no cover
    """Strike out of `masks` (T,) what one row (F,) can no longer reach by the splits: a lead's side, for each lead."""
    for k in range(tree.size):
        if not goes_left(row[feature[k]], threshold[k], kind[k]):
            masks[tree[k]] &= keep[k]


@compiled
def total(
    masks: Array, shared: Array, columns: Array, tree: Array, feature: Array, threshold: Array, kind: Array,
    keep: Array, by_bit: Array, sequence: Any, shift: Any,
) -> Array:  # fmt: skip  # pragma: no cover
    """(n,) scores of rows with `masks` (T, n), joined with `shared` (T,) and the splits on `columns` (F, n).

    `by_bit` (T, bits): the leaf's value by what `shift` leaves of the lowest bit times the de Bruijn `sequence`, a
    product that the masks' own type cuts off.
    """
    n_trees, n = masks.shape
    found, own, product = np.zeros(n), np.empty(n, masks.dtype), np.empty(n, masks.dtype)
    one = np.uint64(1)
    k = 0
    for t in range(n_trees):
        for i in range(n):
            own[i] = masks[t, i] & shared[t]
        while k < tree.size and tree[k] == t:
            strike(columns[feature[k]], threshold[k], kind[k], keep[k], own)
            k += 1
        for i in range(n):
            mask = np.uint64(own[i])
            product[i] = (mask & (~mask + one)) * sequence
        values = by_bit[t]
        for i in range(n):
            found[i] += values[product[i] >> shift]
    return found


@compiled
def difference(
    row: Array, other: Array, root: Array, left: Array, right: Array, leaves: Array, feature: Array, threshold: Array,
    kind: Array, found: Array,
) -> None:  # fmt: skip  # pragma: no cover
    """Add to `found` (F,) the Shapley values of score(row) - score(other), `other` being the background.

    Only leaves that a mixture of the two rows reaches are walked to: where a feature sends both the same way, that
    way; where it parts them, the left leads on with the one that goes left, the right with the other, for good.
    """
    side = np.zeros(row.size, np.int64)  # of a feature on the way to here: 1 it is row's, 2 the other's
    chosen = np.empty(64, np.int64)
    waiting, depth_of = np.empty(65, np.int64), np.empty(65, np.int64)
    feature_of, side_of = np.empty(65, np.int64), np.empty(65, np.int64)
    for t in range(root.size):
        node, n_chosen, n_waiting = root[t], 0, 0
        while True:
            while node >= 0:
                this = feature[node]
                by_row = goes_left(row[this], threshold[node], kind[node])
                by_other = goes_left(other[this], threshold[node], kind[node])
                if side[this] == 1 or by_row == by_other:
                    node = left[node] if by_row else right[node]
                elif side[this] == 2:
                    node = left[node] if by_other else right[node]
                else:
                    waiting[n_waiting], depth_of[n_waiting] = right[node], n_chosen
                    feature_of[n_waiting], side_of[n_waiting] = this, 2 if by_row else 1
                    n_waiting += 1
                    side[this] = 1 if by_row else 2
                    chosen[n_chosen] = this
                    n_chosen += 1
                    node = left[node]
            if n_chosen:
                _share(leaves[-1 - node], chosen[:n_chosen], side, found)
            if n_waiting == 0:
                break
            n_waiting -= 1
            while n_chosen > depth_of[n_waiting]:
                n_chosen -= 1
                side[chosen[n_chosen]] = 0
            node, this = waiting[n_waiting], feature_of[n_waiting]
            side[this] = side_of[n_waiting]
            chosen[n_chosen] = this
            n_chosen += 1
        for k in range(n_chosen):
            side[chosen[k]] = 0


@compiled
def _share(value: float, chosen: Array, side: Array, found: Array) -> None:  # pragma: no cover
    """Share a leaf's value over the features that lead to it: those that are the row's gain, the other's lose.

    (n - 1)! m! / (n + m)! for n of the row and m of the other, with the signs changed for the others.
    """
    n_row = 0
    for k in range(chosen.size):
        if side[chosen[k]] == 1:
            n_row += 1
    n_other = chosen.size - n_row
    both = 1.0
    for k in range(1, n_other + 1):
        both *= k / (n_row + k)
    for k in range(chosen.size):
        if side[chosen[k]] == 1:
            found[chosen[k]] += value * both / n_row
        else:
            found[chosen[k]] -= value * both / n_other
