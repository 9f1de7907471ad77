"""Inner loops of SHAP by leaf patterns, plain Python on arrays, compiled by `features.compiled`.

A leaf of value v whose path has features 1..k gives feature i, in the path-dependent game,

    v * (o_i - z_i) * sum over S of the others  |S|! (k-1-|S|)! / k!  prod_{j in S} o_j  prod_{j not in S} z_j

with o_j = 1 where the row passes the leaf's tests of feature j and z_j the share of training rows that do. Only the
bits o matter, so a table of 2^k patterns holds every value the leaf can give. All o_j = 0 get the same value, and the
sums run over the features with o_j = 1 alone. In the interventional game a background row with bits r plays with
features A = {o=1, r=0} against B = {o=0, r=1}; it counts only where every feature is passed by one of the two.

References
----------
Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees.
Laberge, Pequignot (2022), Understanding interventional TreeSHAP.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def leaf_patterns(
    path_dependent: bool, value: float, cover: Array, patterns: Array, background: Array, weight: Array
) -> Array:
    """(p, k) what one leaf gives each of its k features, for each of the `patterns` (p,) that a row may have.

    `cover` (k,) rules the path-dependent game, `background` (m,) patterns with their `weight` (m,) the other.
    """
    k = len(cover)
    whole = (1 << k) - 1
    out = np.zeros((len(patterns), k))
    factorial = np.ones(k + 2)
    for i in range(1, k + 2):
        factorial[i] = factorial[i - 1] * i
    ones = np.empty(k, np.int64)
    forward = np.zeros((k + 1, k + 1))
    backward = np.zeros((k + 1, k + 1))
    for row in range(len(patterns)):
        pattern = patterns[row]
        if not path_dependent:
            for m in range(len(background)):
                other = background[m]
                if pattern | other != whole:
                    continue
                n_own = n_other = 0
                for j in range(k):
                    mine, theirs = (pattern >> j) & 1, (other >> j) & 1
                    n_own += mine & (1 - theirs)
                    n_other += theirs & (1 - mine)
                if n_own + n_other == 0:
                    continue
                scale = weight[m] * value / factorial[n_own + n_other]
                for j in range(k):
                    mine, theirs = (pattern >> j) & 1, (other >> j) & 1
                    if mine == 1 and theirs == 0:
                        out[row, j] += scale * factorial[n_own - 1] * factorial[n_other]
                    elif theirs == 1 and mine == 0:
                        out[row, j] -= scale * factorial[n_own] * factorial[n_other - 1]
            continue
        n = 0
        unmet = value
        for j in range(k):
            if (pattern >> j) & 1:
                ones[n] = j
                n += 1
            else:
                unmet *= cover[j]
        # forward[a]: coefficients of prod over the first a ones of (z + t); backward[a]: over the last n - a.
        forward[0, 0] = 1.0
        for a in range(n):
            z = cover[ones[a]]
            forward[a + 1, a + 1] = forward[a, a]
            for s in range(a, 0, -1):
                forward[a + 1, s] = forward[a, s] * z + forward[a, s - 1]
            forward[a + 1, 0] = forward[a, 0] * z
        backward[n, 0] = 1.0
        for a in range(n - 1, -1, -1):
            z, size = cover[ones[a]], n - 1 - a
            backward[a, size + 1] = backward[a + 1, size]
            for s in range(size, 0, -1):
                backward[a, s] = backward[a + 1, s] * z + backward[a + 1, s - 1]
            backward[a, 0] = backward[a + 1, 0] * z
        if n < k:
            # Each unmet feature: (0 - z_i) times the others' unmet covers is minus `unmet` for all of them.
            total = 0.0
            for s in range(n + 1):
                total += forward[n, s] * factorial[s] * factorial[k - 1 - s]
            for j in range(k):
                if not (pattern >> j) & 1:
                    out[row, j] = -unmet * total / factorial[k]
        for a in range(n):
            total = 0.0
            for s in range(a + 1):
                for u in range(n - a):
                    total += forward[a, s] * backward[a + 1, u] * factorial[s + u] * factorial[k - 1 - s - u]
            out[row, ones[a]] = unmet * (1.0 - cover[ones[a]]) * total / factorial[k]
    return out


def spread_leaf(table: Array, n_bits: int, patterns: Array, slot: Array, on: Array, off: Array) -> None:
    """Add a leaf's `patterns` (2^k, k) to the piece's `table` (features * 2^bits,) wherever the piece's index leads."""
    k = len(slot)
    for index in range(1 << n_bits):
        pattern = 0
        for j in range(k):
            if (index & on[j]) == on[j] and (index & off[j]) == 0:
                pattern |= 1 << j
        for j in range(k):
            table[(slot[j] << n_bits) + index] += patterns[pattern, j]


def split_rows(
    went_left: Array, columns: Array, first: int, feature: Array, threshold: Array, categorical: Array,
    default_left: Array, missing: Array, category_start: Array, category_length: Array, categories: Array,
) -> None:  # fmt: skip
    """Fill `went_left` (splits of a tree, n) by LightGBM's rules for missing values and categories.

    `columns` (features, n); `first`: number of the tree's first split.
    """
    n = columns.shape[1]
    for s in range(len(went_left)):
        node = first + s
        column, out, cut = columns[feature[node]], went_left[s], threshold[node]
        left_if_missing = default_left[node]
        if categorical[node]:
            start, most = category_start[node], 32 * category_length[node]
            for i in range(n):
                x = column[i]
                left = False
                if x > -1.0 and x < most:
                    whole = np.int64(x)
                    left = ((categories[start + (whole >> 5)] >> np.uint32(whole & 31)) & np.uint32(1)) != 0
                out[i] = left
        elif missing[node] == 2:
            for i in range(n):
                x = column[i]
                out[i] = (x <= cut) | (np.isnan(x) & left_if_missing)
        elif missing[node] == 1:
            for i in range(n):
                x = column[i]
                none = np.isnan(x) | ((x >= -1e-35) & (x <= 1e-35))
                out[i] = left_if_missing if none else x <= cut
        else:
            zero_left = cut >= 0.0
            for i in range(n):
                x = column[i]
                out[i] = (x <= cut) | (np.isnan(x) & zero_left)


def index_rows(index: Array, went_left: Array, starts: Array, nodes: Array, lefts: Array, first: int) -> None:
    """Fill `index` (n,) of whole numbers: bit b is the AND over its conditions `starts[b]:starts[b + 1]`."""
    n = len(index)
    index[:] = 0
    both = np.empty(n, np.uint8)
    for b in range(len(starts) - 1):
        both[:] = 1
        for c in range(starts[b], starts[b + 1]):
            row, flip = went_left[nodes[c] - first], np.uint8(0 if lefts[c] else 1)
            for i in range(n):
                both[i] &= row[i] ^ flip
        for i in range(n):
            index[i] |= np.int64(both[i]) << b


def look_up_tree(
    phi: Array, went_left: Array, first: int, piece: int, last_piece: int, piece_bits: Array, condition_start: Array,
    condition_node: Array, condition_left: Array, piece_features: Array, features: Array, table_start: Array,
    table: Array,
) -> None:  # fmt: skip
    """Add what pieces `piece` to `last_piece` of a tree give each row to `phi` (features of the model, n).

    A piece without a table (its features' entries are none) is left to the caller.
    """
    n = phi.shape[1]
    index = np.empty(n, np.uint16)
    both = np.empty(n, np.uint8)
    for p in range(piece, last_piece):
        if table_start[p] == table_start[p + 1]:
            continue
        low = piece_bits[p]
        n_bits = piece_bits[p + 1] - low
        index[:] = 0
        for b in range(n_bits):
            begin, end = condition_start[low + b], condition_start[low + b + 1]
            row, flip = went_left[condition_node[begin] - first], np.uint8(0 if condition_left[begin] else 1)
            shift = np.uint16(b)
            if end - begin == 1:
                for i in range(n):
                    index[i] |= np.uint16(row[i] ^ flip) << shift
                continue
            for i in range(n):
                both[i] = row[i] ^ flip
            for c in range(begin + 1, end):
                row, flip = went_left[condition_node[c] - first], np.uint8(0 if condition_left[c] else 1)
                for i in range(n):
                    both[i] &= row[i] ^ flip
            for i in range(n):
                index[i] |= np.uint16(both[i]) << shift
        for f in range(piece_features[p], piece_features[p + 1]):
            begin = table_start[p] + ((f - piece_features[p]) << n_bits)
            part = table[begin : begin + (1 << n_bits)]
            sums = phi[features[f]]
            for i in range(n):
                sums[i] += part[index[i]]
