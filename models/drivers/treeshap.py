"""SHAP values of a LightGBM model by leaf patterns: exact, and many times LightGBM's own rate on many rows.

`path_dependent` gives what `Booster.predict(X, pred_contrib=True)` gives; `interventional` answers "against whom" with
the whole of a background group. Both fill tables once a model, then pay one look-up a row, piece of tree and feature.
Importing this costs nothing; the kernels are compiled at the first call and kept on disk where that is possible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from features.compiled import compiled
from models.drivers.treeshap_kernels import index_rows, leaf_patterns, look_up_tree, split_rows, spread_leaf
from models.drivers.treeshap_trees import Floats, Ints, Pieces, TreeArrays, TreeLimitError, read_trees

if TYPE_CHECKING:
    import lightgbm

FEWEST_ROWS = 2_000
_BLOCK = 2_048
_FEW_BITS = 12
_Sparse = dict[int, tuple[Ints, Floats]]
ReadTrees = tuple[TreeArrays, Pieces]
_NO_WEIGHT = np.zeros(0)
_NO_PATTERNS = np.zeros(0, dtype=np.int64)


def path_dependent(booster: lightgbm.Booster, X: npt.ArrayLike, fewest_rows: int = FEWEST_ROWS) -> Floats:
    """(n, features + 1) contributions and, last, the baseline; rows sum to the raw prediction.

    `X` (n, features) numbers, NaN where missing, categories by their codes. LightGBM's own contributions are used below
    `fewest_rows`, where filling tables would cost more than it saves, and where the model is outside the limits.
    """
    rows = np.ascontiguousarray(X, dtype=np.float64)
    if len(rows) >= fewest_rows:
        try:
            trees, pieces = read_trees(booster)
        except TreeLimitError:
            pass
        else:
            return _explain(rows, trees, pieces, None, trees.base)
    parts = booster.predict(rows, pred_contrib=True)
    return np.asarray(parts, dtype=np.float64).reshape(len(rows), -1)


def interventional(
    booster: lightgbm.Booster, X: npt.ArrayLike, background: npt.ArrayLike, read: ReadTrees | None = None
) -> Floats:
    """(n, features + 1) contributions against the mean raw prediction over `background` (m, features), given last.

    `read`: what `read_trees` gave of this booster, for who explains against many backgrounds.
    Raises TreeLimitError where the model is outside the limits (LightGBM has no such values to fall back to), and
    ValueError for an empty background.
    """
    rows = np.ascontiguousarray(X, dtype=np.float64)
    others = np.ascontiguousarray(background, dtype=np.float64)
    if not len(others):
        raise ValueError("an interventional explanation needs at least one background row")
    trees, pieces = read or read_trees(booster)
    base = float(np.mean(np.asarray(booster.predict(others, raw_score=True), dtype=np.float64)))
    return _explain(rows, trees, pieces, others, base)


def _tables(trees: TreeArrays, pieces: Pieces, background: Floats | None) -> tuple[Floats, _Sparse]:
    """Every piece's table, laid end to end, and the background's patterns of the leaves that have none."""
    flat = np.zeros(int(pieces.table_start[-1]))
    others: _Sparse = {}
    columns = None if background is None else np.ascontiguousarray(background.T)
    patterns_of, spread = compiled(leaf_patterns), compiled(spread_leaf)
    for tree in range(len(trees.tree_nodes) - 1):
        sides = None if columns is None else _sides(trees, tree, columns)
        for piece in range(int(pieces.tree_pieces[tree]), int(pieces.tree_pieces[tree + 1])):
            n_bits = int(pieces.piece_bits[piece + 1] - pieces.piece_bits[piece])
            table = flat[pieces.table_start[piece] : pieces.table_start[piece + 1]]
            index = None if sides is None else _counted(_index(trees, pieces, tree, piece, sides))
            for leaf in range(int(pieces.piece_leaves[piece]), int(pieces.piece_leaves[piece + 1])):
                slots = slice(pieces.leaf_start[leaf], pieces.leaf_start[leaf + 1])
                slot, on, off = pieces.slot[slots], pieces.on[slots], pieces.off[slots]
                seen, weight = (_NO_PATTERNS, _NO_WEIGHT) if index is None else _patterns(index, on, off)
                if not len(table):
                    others[leaf] = (seen, weight)
                    continue
                every = np.arange(1 << len(slot), dtype=np.int64)
                values = patterns_of(index is None, pieces.leaf_value[leaf], pieces.cover[slots], every, seen, weight)
                spread(table, n_bits, values, slot, on, off)
    return flat, others


def _counted(index: Ints) -> tuple[Ints, Floats]:
    """The different places in a piece's table that the background has, and the share of its rows with each."""
    places, counts = np.unique(index, return_counts=True)
    return places.astype(np.int64), np.asarray(counts / len(index), dtype=np.float64)


def _patterns(counted: tuple[Ints, Floats], on: Ints, off: Ints) -> tuple[Ints, Floats]:
    """The different patterns of a leaf in the background, and the share of its rows with each."""
    places, shares = counted
    wide = places[:, None]
    bits = ((wide & on) == on) & ((wide & off) == 0)
    patterns = bits @ (1 << np.arange(len(on), dtype=np.int64))
    if len(on) <= _FEW_BITS:  # counting into all patterns costs less than sorting those that there are
        share = np.bincount(patterns, weights=shares)
        seen = np.flatnonzero(share)
        return seen.astype(np.int64), np.asarray(share[seen], dtype=np.float64)
    seen, inverse = np.unique(patterns, return_inverse=True)
    share = np.bincount(inverse.reshape(-1), weights=shares, minlength=len(seen))
    return seen.astype(np.int64), np.asarray(share, dtype=np.float64)


def _sides(trees: TreeArrays, tree: int, columns: Floats) -> npt.NDArray[np.uint8]:
    """(splits of the tree, n) 1 where a row goes left; `columns` (features, n)."""
    first, last = int(trees.tree_nodes[tree]), int(trees.tree_nodes[tree + 1])
    out = np.empty((last - first, columns.shape[1]), dtype=np.uint8)
    compiled(split_rows)(
        out, columns, first, trees.feature, trees.threshold, trees.categorical, trees.default_left, trees.missing,
        trees.category_start, trees.category_length, trees.categories,
    )  # fmt: skip
    return out


def _index(trees: TreeArrays, pieces: Pieces, tree: int, piece: int, sides: npt.NDArray[np.uint8]) -> Ints:
    """(n,) bits of each row in a piece, as one whole number."""
    index = np.empty(sides.shape[1], dtype=np.int64)
    bits = slice(pieces.piece_bits[piece], pieces.piece_bits[piece + 1] + 1)
    compiled(index_rows)(
        index, sides, pieces.condition_start[bits], pieces.condition_node, pieces.condition_left,
        trees.tree_nodes[tree],
    )  # fmt: skip
    return index


def _explain(rows: Floats, trees: TreeArrays, pieces: Pieces, background: Floats | None, base: float) -> Floats:
    tables, others = _tables(trees, pieces, background)
    deep = np.flatnonzero(np.diff(pieces.table_start) == 0)
    deep_of = np.split(deep, np.searchsorted(deep, pieces.tree_pieces[1:-1]))
    out = np.empty((len(rows), trees.n_features + 1))
    out[:, -1] = base
    add = compiled(look_up_tree)
    for start in range(0, len(rows), _BLOCK):
        columns = np.ascontiguousarray(rows[start : start + _BLOCK].T)
        phi = np.zeros((trees.n_features, columns.shape[1]))
        for tree in range(len(trees.tree_nodes) - 1):
            sides = _sides(trees, tree, columns)
            add(
                phi, sides, trees.tree_nodes[tree], pieces.tree_pieces[tree], pieces.tree_pieces[tree + 1],
                pieces.piece_bits, pieces.condition_start, pieces.condition_node, pieces.condition_left,
                pieces.piece_features, pieces.features, pieces.table_start, tables,
            )  # fmt: skip
            for piece in deep_of[tree]:
                _add_deep(phi, pieces, int(piece), _index(trees, pieces, tree, int(piece), sides), others, background)
        out[start : start + _BLOCK, :-1] = phi.T
    return out


def _add_deep(phi: Floats, pieces: Pieces, piece: int, index: Ints, others: _Sparse, background: Floats | None) -> None:
    """Add a leaf without a table to `phi`, working out the patterns that the rows show and no others."""
    leaf = int(pieces.piece_leaves[piece])
    slots = slice(pieces.leaf_start[leaf], pieces.leaf_start[leaf + 1])
    seen, inverse = np.unique(index, return_inverse=True)
    # Of a leaf on its own bit j is feature j's, so the index is the pattern.
    values = compiled(leaf_patterns)(
        background is None, pieces.leaf_value[leaf], pieces.cover[slots], seen, *others[leaf]
    )
    features = pieces.features[pieces.piece_features[piece] : pieces.piece_features[piece + 1]]
    phi[features[pieces.slot[slots]]] += values[inverse.reshape(-1)].T
