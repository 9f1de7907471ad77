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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from features.compiled import compiled

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

MOST_LEAVES: Final = 64
_CATEGORICAL: Final = 1
_DE_BRUIJN: Final = np.uint64(0x03F79D71B4CB0A89)


class UnreadableTreesError(ValueError):
    """The text is no ensemble of numeric trees with at most 64 leaves each."""


def _first_bits() -> Ints:
    """Position of a single set bit by the top six bits of its product with a de Bruijn sequence."""
    found = np.zeros(64, dtype=np.int64)
    for bit in range(64):
        found[(int(_DE_BRUIJN) << bit & (2**64 - 1)) >> 58] = bit
    return found


@dataclass(frozen=True)
class Nodes:
    """Splits of all trees, arrays (N,). `keep`: the leaves that a row going right may still reach."""

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
    """An ensemble. `start` (T + 1,): place of each tree's leaves in `leaves`; `paths`: the splits above each leaf.

    `path_start` (leaves + 1,) cuts `path_node`, the split's number times two, plus one where the leaf lies right.
    """

    nodes: Nodes
    start: Ints
    leaves: Floats
    path_start: Ints
    path_node: Ints

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return len(self.start) - 1

    def masks(self, rows: Floats, features: npt.NDArray[np.bool_] | None = None) -> Masks:
        """(n, T) leaves each row of `rows` (n, F) may still reach, by the splits on `features` (F,) only, or on all."""
        nodes = self.nodes if features is None else self.nodes.of_features(features)
        return self.masks_by(nodes, rows)

    def masks_by(self, nodes: Nodes, rows: Floats) -> Masks:
        """(n, T) leaves each row may still reach by the given splits."""
        found = np.full((len(rows), self.n_trees), np.uint64(2**64 - 1), dtype=np.uint64)
        compiled(_strike)(np.ascontiguousarray(rows), nodes.tree, nodes.feature, nodes.threshold, nodes.kind,
                          nodes.keep, found)  # fmt: skip
        return found

    def total(self, masks: Masks, shared: Masks | None = None) -> Floats:
        """(n,) raw scores of rows whose masks are `masks` (n, T), each joined with `shared` (T,)."""
        joined = np.full(self.n_trees, np.uint64(2**64 - 1), dtype=np.uint64) if shared is None else shared
        return np.asarray(compiled(_total)(masks, joined, self.start, self.leaves, _FIRST_BITS, _DE_BRUIJN))

    def predict(self, rows: Floats) -> Floats:
        """(n,) raw scores of whole rows (n, F)."""
        return self.total(self.masks(rows))

    def difference(self, row: Floats, other: Floats) -> Floats:
        """(F,) what each feature adds to score(row) - score(other): exact Shapley values, `other` the background."""
        found = np.zeros(len(row))
        masks = self.masks(np.vstack([row, other]))
        nodes = self.nodes
        compiled(_difference)(
            row, other, masks, self.start, self.leaves, self.path_start, self.path_node, nodes.feature,
            nodes.threshold, nodes.kind, found,
        )  # fmt: skip
        return found


_FIRST_BITS: Final = _first_bits()


# Inner loops, compiled on first use. A split's `kind` is LightGBM's decision type: bit 1 sends missing values left,
# bits 2 and 3 say what counts as missing (0 nothing, 1 zeros within 1e-35, 2 NaN).


def _strike(rows: Any, tree: Any, feature: Any, threshold: Any, kind: Any, keep: Any, found: Any) -> None:
    for i in range(rows.shape[0]):
        for k in range(tree.size):
            value = rows[i, feature[k]]
            missing = (kind[k] >> 2) & 3
            if np.isnan(value) and missing != 2:
                value = 0.0
            if (missing == 1 and abs(value) <= 1e-35) or (missing == 2 and np.isnan(value)):
                left = (kind[k] & 2) != 0
            else:
                left = value <= threshold[k]
            if not left:
                found[i, tree[k]] &= keep[k]


def _total(masks: Any, shared: Any, start: Any, leaves: Any, first_bits: Any, sequence: Any) -> Any:
    n, n_trees = masks.shape
    found = np.zeros(n)
    one = np.uint64(1)
    shift = np.uint64(58)
    for i in range(n):
        score = 0.0
        for t in range(n_trees):
            mask = masks[i, t] & shared[t]
            lowest = mask & (~mask + one)
            score += leaves[start[t] + first_bits[np.int64((lowest * sequence) >> shift)]]
        found[i] = score
    return found


def _difference(
    row: Any, other: Any, masks: Any, start: Any, leaves: Any, path_start: Any, path_node: Any, feature: Any,
    threshold: Any, kind: Any, found: Any,
) -> None:  # fmt: skip
    one = np.uint64(1)
    only_row = np.empty(64, np.int64)
    only_other = np.empty(64, np.int64)
    for t in range(start.size - 1):
        if (masks[0, t] & (~masks[0, t] + one)) == (masks[1, t] & (~masks[1, t] + one)):
            continue  # the same leaf: every mixture of the two rows reaches it too
        for leaf in range(start[t], start[t + 1]):
            n_row, n_other = 0, 0
            reachable = True
            low, high = path_start[leaf], path_start[leaf + 1]
            for k in range(low, high):
                this = feature[path_node[k] // 2]
                seen = False
                for earlier in range(low, k):
                    if feature[path_node[earlier] // 2] == this:
                        seen = True
                if seen:
                    continue
                by_row, by_other = True, True
                for later in range(k, high):
                    node = path_node[later] // 2
                    if feature[node] != this:
                        continue
                    wants_left = path_node[later] % 2 == 0
                    for which in range(2):
                        value = row[this] if which == 0 else other[this]
                        missing = (kind[node] >> 2) & 3
                        if np.isnan(value) and missing != 2:
                            value = 0.0
                        if (missing == 1 and abs(value) <= 1e-35) or (missing == 2 and np.isnan(value)):
                            left = (kind[node] & 2) != 0
                        else:
                            left = value <= threshold[node]
                        if left != wants_left:
                            if which == 0:
                                by_row = False
                            else:
                                by_other = False
                if not by_row and not by_other:
                    reachable = False
                    break
                if by_row and not by_other:
                    only_row[n_row] = this
                    n_row += 1
                elif by_other and not by_row:
                    only_other[n_other] = this
                    n_other += 1
            if not reachable or n_row + n_other == 0:
                continue
            # (n_row - 1)! n_other! / (n_row + n_other)! for those of `row`, with the signs changed for the others.
            both = 1.0
            for k in range(1, n_other + 1):
                both *= k / (n_row + k)
            if n_row:
                for k in range(n_row):
                    found[only_row[k]] += leaves[leaf] * both / n_row
            if n_other:
                for k in range(n_other):
                    found[only_other[k]] -= leaves[leaf] * both / n_other


def read_trees(text: str) -> Trees:
    """The ensemble of a LightGBM model text. UnreadableTreesError for categories, linear leaves or too many leaves."""
    blocks = text.split("\nTree=")[1:]
    parsed = [_fields(block) for block in blocks]
    columns: dict[str, list[Any]] = {name: [] for name in ("tree", "feature", "threshold", "kind", "keep")}
    start, leaves, paths = [0], [], []
    for number, fields in enumerate(parsed):
        n_leaves = int(fields["num_leaves"])
        if n_leaves > MOST_LEAVES or int(fields.get("num_cat", "0")) or fields.get("is_linear", "0") != "0":
            raise UnreadableTreesError("categories, linear leaves or more than 64 leaves")
        values = [float(value) for value in fields["leaf_value"].split()]
        offset = len(columns["tree"])
        order, above, left_masks = _walk(fields, n_leaves)
        leaves += [values[leaf] for leaf in order]
        paths += [[2 * (offset + node) + side for node, side in path] for path in above]
        start.append(len(leaves))
        if n_leaves > 1:
            columns["tree"] += [number] * (n_leaves - 1)
            columns["feature"] += [int(value) for value in fields["split_feature"].split()]
            columns["threshold"] += [float(value) for value in fields["threshold"].split()]
            columns["kind"] += [int(value) for value in fields["decision_type"].split()]
            columns["keep"] += [np.uint64(~mask & (2**64 - 1)) for mask in left_masks]
    if any(kind & _CATEGORICAL for kind in columns["kind"]):
        raise UnreadableTreesError("a split on categories")
    nodes = Nodes(
        np.array(columns["tree"], dtype=np.int64), np.array(columns["feature"], dtype=np.int64),
        np.array(columns["threshold"], dtype=np.float64), np.array(columns["kind"], dtype=np.int64),
        np.array(columns["keep"], dtype=np.uint64),
    )  # fmt: skip
    path_start = np.concatenate([[0], np.cumsum([len(path) for path in paths])]).astype(np.int64)
    path_node = np.array([node for path in paths for node in path], dtype=np.int64)
    return Trees(nodes, np.array(start, dtype=np.int64), np.array(leaves, dtype=np.float64), path_start, path_node)


def _fields(block: str) -> dict[str, str]:
    """`name=value` lines of one tree."""
    found: dict[str, str] = {}
    for line in block.split("\n\n", 1)[0].splitlines()[1:]:
        name, _, value = line.partition("=")
        found[name] = value
    if "num_leaves" not in found or "leaf_value" not in found:
        raise UnreadableTreesError("a tree without leaves")
    return found


def _walk(fields: dict[str, str], n_leaves: int) -> tuple[list[int], list[list[tuple[int, int]]], list[int]]:
    """Leaves from left to right, the splits above each, and for each split the mask of its left side's leaves."""
    if n_leaves == 1:
        return [0], [[]], []
    left, right = (_numbers(fields[name]) for name in ("left_child", "right_child"))
    order: list[int] = []
    above: list[list[tuple[int, int]]] = []
    left_masks = [0] * (n_leaves - 1)

    def visit(child: int, path: list[tuple[int, int]]) -> int:
        if child < 0:
            order.append(~child)
            above.append(path)
            return 1 << (len(order) - 1)
        left_masks[child] = visit(left[child], [*path, (child, 0)])
        return left_masks[child] | visit(right[child], [*path, (child, 1)])

    visit(0, [])
    return order, above, left_masks


def _numbers(text: str) -> Sequence[int]:
    return [int(value) for value in text.split()]
