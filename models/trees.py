"""Boosted trees of few leaves, read from LightGBM's text and answered by bit masks.

A tree is the mask of its leaves, in order from left to right; a split that sends a row right strikes out the leaves
of its left side, and the row's leaf is the first that is left. Masks of one side's columns (a lead's, a rep's) can be
made beforehand and joined by AND, so that one lead with 200 reps costs one AND a tree and rep.

References
----------
Lucchese et al. (2015), QuickScorer: a fast algorithm to rank documents with additive ensembles of regression trees.
Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees (interventional
values against one background row, in closed form a leaf).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[Any]  # uint32, or uint64 for trees of more than 32 leaves
Ints = npt.NDArray[np.int64]

MOST_LEAVES: Final = 64
_CATEGORICAL: Final = 1
_DE_BRUIJN: Final = {32: 0x077CB531, 64: 0x03F79D71B4CB0A89}


class UnreadableTreesError(ValueError):
    """The text is no ensemble of numeric trees with at most 64 leaves each."""


def _first_bits(bits: int) -> Ints:
    """(bits,) position of a single set bit by the top bits of its product with the de Bruijn sequence of that length.

    Five bits tell 32 positions apart, six 64.
    """
    found = np.zeros(bits, dtype=np.int64)
    for bit in range(bits):
        found[(_DE_BRUIJN[bits] << bit & (2**bits - 1)) >> _shift(bits)] = bit
    return found


def _shift(bits: int) -> int:
    return bits - (bits.bit_length() - 1)


@dataclass(frozen=True)
class Nodes:
    """Splits of all trees, arrays (N,), tree by tree. `keep`: the leaves that a row going right may still reach."""

    tree: Ints
    feature: Ints
    threshold: Floats
    kind: Ints
    keep: Masks

    def of_features(self, wanted: npt.NDArray[np.bool_]) -> Nodes:
        """The splits on the features marked in `wanted` (F,)."""
        kept = wanted[self.feature]
        return Nodes(self.tree[kept], self.feature[kept], self.threshold[kept], self.kind[kept], self.keep[kept])


@dataclass(frozen=True)
class Trees:
    """An ensemble. `start` (T + 1,): place of each tree's leaves in `leaves`; masks have 32 bits where they suffice.

    `root` (T,), `left` and `right` (N,): the split that follows, or -1 less the place of the leaf.
    """

    nodes: Nodes
    start: Ints
    leaves: Floats
    root: Ints
    left: Ints
    right: Ints

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return len(self.start) - 1

    def masks(self, rows: Floats, features: npt.NDArray[np.bool_] | None = None) -> Masks:
        """(T, n) leaves each row of `rows` (n, F) may still reach, by the splits on `features` (F,) only, or on all."""
        nodes = self.nodes if features is None else self.nodes.of_features(features)
        return self.masks_by(nodes, rows)

    def masks_by(self, nodes: Nodes, rows: Floats) -> Masks:
        """(T, n) leaves each row may still reach by the given splits."""
        from models import tree_kernels as kernels

        if len(rows) == 1:
            return self.mask_of(nodes, rows[0])[:, None]
        found = np.tile(self._all_left[:, None], len(rows))
        columns = np.ascontiguousarray(rows.T)
        kernels.strike_all(columns, nodes.tree, nodes.feature, nodes.threshold, nodes.kind, nodes.keep, found)
        return found

    def mask_of(self, nodes: Nodes, row: Floats) -> Masks:
        """(T,) leaves one row (F,) may still reach by the given splits."""
        from models import tree_kernels as kernels

        found = self._all_left.copy()
        kernels.strike_row(row, nodes.tree, nodes.feature, nodes.threshold, nodes.kind, nodes.keep, found)
        return found

    @cached_property
    def _all_left(self) -> Masks:
        """(T,) masks of rows that no split has sent anywhere."""
        bits = self.nodes.keep.dtype.type
        return np.full(self.n_trees, ~bits(0), dtype=bits)

    @property
    def _bits(self) -> int:
        return 8 * self.nodes.keep.dtype.itemsize

    @cached_property
    def _by_bit(self) -> Floats:
        """(T, 32 or 64) value of the leaf that a single set bit means, by its product with the de Bruijn sequence."""
        at = self.start[:-1, None] + _FIRST_BITS[self._bits]
        return np.ascontiguousarray(self.leaves[np.minimum(at, len(self.leaves) - 1)])

    def total(
        self, masks: Masks, shared: Masks | None = None, nodes: Nodes | None = None, columns: Floats | None = None
    ) -> Floats:
        """(n,) raw scores of rows whose masks are `masks` (T, n), each joined with `shared` (T,).

        `nodes`, `columns` (F, n): splits not in the masks, and the values they look at.
        """
        from models import tree_kernels as kernels

        if nodes is None or columns is None:
            nodes, columns = _none_of(self.nodes), np.zeros((1, masks.shape[1]))
        joined = self._all_left if shared is None else shared
        return np.asarray(
            kernels.total(
                masks, joined, columns, nodes.tree, nodes.feature, nodes.threshold, nodes.kind, nodes.keep,
                self._by_bit, np.uint64(_DE_BRUIJN[self._bits]), np.uint64(_shift(self._bits)),
            )
        )  # fmt: skip

    def predict(self, rows: Floats) -> Floats:
        """(n,) raw scores of whole rows (n, F)."""
        return self.total(self.masks(rows))

    def difference(self, row: Floats, other: Floats) -> Floats:
        """(F,) what each feature adds to score(row) - score(other): exact Shapley values, `other` the background."""
        from models import tree_kernels as kernels

        found, nodes = np.zeros(len(row)), self.nodes
        kernels.difference(
            row, other, self.root, self.left, self.right, self.leaves, nodes.feature, nodes.threshold, nodes.kind, found
        )
        return found


_FIRST_BITS: Final = {bits: _first_bits(bits) for bits in _DE_BRUIJN}


def _none_of(nodes: Nodes) -> Nodes:
    return Nodes(nodes.tree[:0], nodes.feature[:0], nodes.threshold[:0], nodes.kind[:0], nodes.keep[:0])


def read_trees(text: str) -> Trees:
    """The ensemble of a LightGBM model text. UnreadableTreesError for categories, linear leaves or too many leaves."""
    blocks = text.split("\nTree=")[1:]
    parsed = [_fields(block) for block in blocks]
    columns: dict[str, list[Any]] = {
        name: [] for name in ("tree", "feature", "threshold", "kind", "keep", "root", "left", "right")
    }
    start, leaves = [0], []
    bits = np.uint32 if all(int(fields["num_leaves"]) <= 32 for fields in parsed) else np.uint64
    every = int(bits(~bits(0)))
    for number, fields in enumerate(parsed):
        n_leaves = int(fields["num_leaves"])
        if n_leaves > MOST_LEAVES or int(fields.get("num_cat", "0")) or fields.get("is_linear", "0") != "0":
            raise UnreadableTreesError("categories, linear leaves or more than 64 leaves")
        values = [float(value) for value in fields["leaf_value"].split()]
        offset = len(columns["tree"])
        order, left_masks = _walk(fields, n_leaves)
        place = {leaf: start[-1] + at for at, leaf in enumerate(order)}
        leaves += [values[leaf] for leaf in order]
        columns["root"].append(offset if n_leaves > 1 else -1 - start[-1])
        start.append(len(leaves))
        if n_leaves > 1:
            columns["tree"] += [number] * (n_leaves - 1)
            columns["feature"] += _numbers(fields["split_feature"])
            columns["threshold"] += [float(value) for value in fields["threshold"].split()]
            columns["kind"] += _numbers(fields["decision_type"])
            columns["keep"] += [~mask & every for mask in left_masks]
            for side in ("left", "right"):
                columns[side] += [
                    offset + child if child >= 0 else -1 - place[~child] for child in _numbers(fields[f"{side}_child"])
                ]
    if any(kind & _CATEGORICAL for kind in columns["kind"]):
        raise UnreadableTreesError("a split on categories")
    made = {name: np.array(columns[name], dtype=np.int64) for name in ("tree", "feature", "kind")}
    nodes = Nodes(
        **made, threshold=np.array(columns["threshold"], dtype=np.float64), keep=np.array(columns["keep"], dtype=bits)
    )
    root, left, right = (np.array(columns[name], dtype=np.int64) for name in ("root", "left", "right"))
    return Trees(nodes, np.array(start, dtype=np.int64), np.array(leaves, dtype=np.float64), root, left, right)


def _fields(block: str) -> dict[str, str]:
    """`name=value` lines of one tree."""
    found: dict[str, str] = {}
    for line in block.split("\n\n", 1)[0].splitlines()[1:]:
        name, _, value = line.partition("=")
        found[name] = value
    if "num_leaves" not in found or "leaf_value" not in found:
        raise UnreadableTreesError("a tree without leaves")
    return found


def _walk(fields: dict[str, str], n_leaves: int) -> tuple[list[int], list[int]]:
    """Leaves from left to right, and for each split the mask of its left side's leaves."""
    if n_leaves == 1:
        return [0], []
    left, right = (_numbers(fields[name]) for name in ("left_child", "right_child"))
    order: list[int] = []
    left_masks = [0] * (n_leaves - 1)

    def visit(child: int) -> int:
        if child < 0:
            order.append(~child)
            return 1 << (len(order) - 1)
        left_masks[child] = visit(left[child])
        return left_masks[child] | visit(right[child])

    visit(0)
    return order, left_masks


def _numbers(text: str) -> list[int]:
    return [int(value) for value in text.split()]
