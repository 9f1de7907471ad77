"""Trees of a LightGBM model as flat arrays, and the cut of each tree into pieces whose values a small table holds.

What a leaf adds to a feature's SHAP value depends on one bit a feature of its path: does the row pass all tests of that
feature on the way to the leaf? A *piece* is a whole subtree: its table is indexed by the bits of the path above it and
one bit for each test inside, so that one look-up gives what all its leaves add together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from features.errors import FairleadError

if TYPE_CHECKING:
    import lightgbm

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PIECE_BITS = 8
"""Tables of pieces with several leaves have at most 2^8 entries a feature: they stay in the first-level cache."""
TABLE_BITS = 10
"""A leaf on its own has a table up to here; beyond, only the patterns that rows show are worked out."""
MOST_BITS = 60
MOST_TABLE_ENTRIES = 100_000_000
_CATEGORICAL = 1
_DEFAULT_LEFT = 2


class TreeLimitError(FairleadError):
    """The model is outside what the compiled kernels hold; LightGBM's own contributions do it."""


@dataclass(frozen=True)
class TreeArrays:
    """Every split of the model in one array a field; `tree_nodes` (trees + 1,) bounds each tree's splits.

    `missing`: 0 none, 1 zero, 2 NaN, as LightGBM has it. `categories`, `category_start`: bit sets of categories.
    """

    n_features: int
    base: float
    tree_nodes: Ints
    feature: Ints
    threshold: Floats
    categorical: npt.NDArray[np.bool_]
    default_left: npt.NDArray[np.bool_]
    missing: Ints
    category_start: Ints
    category_length: Ints
    categories: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Pieces:
    """The cut of all trees; arrays of offsets end with the total.

    A piece with more than `TABLE_BITS` bits is a single leaf and has no table.
    A piece's index bit b is the AND over its conditions `condition_start[bit]:` of (split taken left) == wanted. A leaf
    of a piece has k features; its bit j is set where all bits of `on` are set and none of `off` is.
    """

    tree_pieces: Ints
    piece_bits: Ints  # offsets into condition_start
    condition_start: Ints
    condition_node: Ints
    condition_left: npt.NDArray[np.bool_]
    piece_features: Ints  # offsets into features
    features: Ints
    table_start: Ints
    piece_leaves: Ints  # offsets into the leaves
    leaf_value: Floats
    leaf_start: Ints  # offsets into slots
    slot: Ints  # place of the leaf's feature j among the piece's features
    on: Ints
    off: Ints
    cover: Floats  # share of the training rows that pass the leaf's tests of feature j


def read_trees(booster: lightgbm.Booster) -> tuple[TreeArrays, Pieces]:
    """Arrays and pieces of a booster with one output.

    Raises TreeLimitError for several outputs, averaged outputs (random forest), linear leaves, a path with more than 60
    features, or tables beyond 100 million entries.
    """
    model = booster.dump_model()
    if int(model.get("num_tree_per_iteration", 1)) != 1:
        raise TreeLimitError("the model has several outputs")
    if model.get("average_output"):
        raise TreeLimitError("the model averages its trees")
    splits, cut = _Splits(), _Cut()
    base = 0.0
    for tree in model["tree_info"]:
        root = tree["tree_structure"]
        if _is_linear(root):
            raise TreeLimitError("the model has linear leaves")
        base += _mean(root)
        if "split_index" in root:
            _Tree(splits, cut).add(root)
        splits.bounds.append(len(splits.feature))
        cut.tree_pieces.append(len(cut.piece_bits) - 1)
    return splits.arrays(int(model["max_feature_idx"]) + 1, base), cut.arrays()


def _is_linear(node: dict[str, Any]) -> bool:
    """Whether any leaf has coefficients."""
    stack = [node]
    while stack:
        here = stack.pop()
        if here.get("leaf_coeff"):
            return True
        if "split_index" in here:
            stack += [here["left_child"], here["right_child"]]
    return False


def _count(node: dict[str, Any]) -> float:
    return float(node["internal_count"] if "split_index" in node else node.get("leaf_count", 0))


def _mean(root: dict[str, Any]) -> float:
    """Mean leaf value by the training rows."""
    if "split_index" not in root:
        return float(root["leaf_value"])
    total, stack = 0.0, [root]
    while stack:
        node = stack.pop()
        if "split_index" in node:
            stack += [node["left_child"], node["right_child"]]
        else:
            total += float(node["leaf_value"]) * _count(node)
    return total / _count(root)


class _Splits:
    """Splits of all trees while they are read."""

    def __init__(self) -> None:
        self.bounds: list[int] = [0]
        self.feature: list[int] = []
        self.threshold: list[float] = []
        self.categorical: list[bool] = []
        self.default_left: list[bool] = []
        self.missing: list[int] = []
        self.category_start: list[int] = []
        self.category_length: list[int] = []
        self.categories: list[int] = []

    def add(self, node: dict[str, Any]) -> int:
        """Number of the split."""
        categorical = node["decision_type"] == "=="
        self.feature.append(int(node["split_feature"]))
        self.categorical.append(categorical)
        self.default_left.append(bool(node["default_left"]))
        self.missing.append({"None": 0, "Zero": 1, "NaN": 2}[node["missing_type"]])
        self.category_start.append(len(self.categories))
        words: list[int] = []
        if categorical:
            for text in str(node["threshold"]).split("||"):
                word, bit = divmod(int(text), 32)
                words += [0] * (word + 1 - len(words))
                words[word] |= 1 << bit
        self.threshold.append(0.0 if categorical else float(node["threshold"]))
        self.categories += words
        self.category_length.append(len(words))
        return len(self.feature) - 1

    def arrays(self, n_features: int, base: float) -> TreeArrays:
        """The splits as arrays."""
        return TreeArrays(
            n_features=n_features,
            base=base,
            tree_nodes=np.array(self.bounds, dtype=np.int64),
            feature=np.array(self.feature, dtype=np.int64),
            threshold=np.array(self.threshold, dtype=np.float64),
            categorical=np.array(self.categorical, dtype=np.bool_),
            default_left=np.array(self.default_left, dtype=np.bool_),
            missing=np.array(self.missing, dtype=np.int64),
            category_start=np.array(self.category_start, dtype=np.int64),
            category_length=np.array(self.category_length, dtype=np.int64),
            categories=np.array(self.categories or [0], dtype=np.uint32),
        )


class _Cut:
    """Pieces of all trees while they are made; names as in `Pieces`."""

    def __init__(self) -> None:
        self.tree_pieces: list[int] = [0]
        self.piece_bits: list[int] = [0]
        self.condition_start: list[int] = [0]
        self.condition_node: list[int] = []
        self.condition_left: list[bool] = []
        self.piece_features: list[int] = [0]
        self.features: list[int] = []
        self.table_start: list[int] = [0]
        self.piece_leaves: list[int] = [0]
        self.leaf_value: list[float] = []
        self.leaf_start: list[int] = [0]
        self.slot: list[int] = []
        self.on: list[int] = []
        self.off: list[int] = []
        self.cover: list[float] = []

    def arrays(self) -> Pieces:
        """The pieces as arrays."""
        if self.table_start[-1] > MOST_TABLE_ENTRIES:
            raise TreeLimitError(f"the tables would hold {self.table_start[-1]:,} entries")
        kinds: dict[str, Any] = {"condition_left": np.bool_, "leaf_value": np.float64, "cover": np.float64}
        made = {name: np.array(values, dtype=kinds.get(name, np.int64)) for name, values in vars(self).items()}
        return Pieces(**made)


@dataclass(frozen=True)
class _Step:
    """One test on a path: split number, side taken, feature, share of the rows that went this way."""

    node: int
    left: bool
    feature: int
    share: float


class _Tree:
    """One tree being cut."""

    def __init__(self, splits: _Splits, cut: _Cut) -> None:
        self.splits, self.cut = splits, cut
        self.number: dict[int, int] = {}
        self.inside: dict[int, int] = {}

    def add(self, root: dict[str, Any]) -> None:
        """Cut the whole tree."""
        self._measure(root)
        stack: list[tuple[dict[str, Any], tuple[_Step, ...]]] = [(root, ())]
        while stack:
            node, path = stack.pop()
            n_path = len({step.feature for step in path})
            is_leaf = "split_index" not in node
            if is_leaf or n_path + self.inside[id(node)] <= PIECE_BITS:
                if n_path > MOST_BITS:
                    raise TreeLimitError(f"a path has {n_path} features, more than {MOST_BITS}")
                self._piece(node, path)
            else:
                stack += self._children(node, path)

    def _measure(self, root: dict[str, Any]) -> None:
        """Number the splits and count those in every subtree."""
        order, stack = [], [root]
        while stack:
            node = stack.pop()
            if "split_index" in node:
                self.number[id(node)] = self.splits.add(node)
                order.append(node)
                stack += [node["left_child"], node["right_child"]]
        for node in reversed(order):
            children = (node["left_child"], node["right_child"])
            self.inside[id(node)] = 1 + sum(self.inside.get(id(child), 0) for child in children)

    def _children(
        self, node: dict[str, Any], path: tuple[_Step, ...]
    ) -> list[tuple[dict[str, Any], tuple[_Step, ...]]]:
        number, whole = self.number[id(node)], _count(node)
        found = []
        for side, left in (("left_child", True), ("right_child", False)):
            share = _count(node[side]) / whole if whole > 0 else 0.0
            found.append((node[side], (*path, _Step(number, left, self.splits.feature[number], share))))
        return found

    def _piece(self, top: dict[str, Any], above: tuple[_Step, ...]) -> None:
        cut = self.cut
        path_features = list(dict.fromkeys(step.feature for step in above))
        for feature in path_features:
            for step in above:
                if step.feature == feature:
                    cut.condition_node.append(step.node)
                    cut.condition_left.append(step.left)
            cut.condition_start.append(len(cut.condition_node))
        bit_of = {feature: bit for bit, feature in enumerate(path_features)}
        inner: dict[int, int] = {}
        leaves: list[tuple[float, tuple[_Step, ...]]] = []
        stack = [(top, above)]
        while stack:
            node, path = stack.pop()
            if "split_index" not in node:
                leaves.append((float(node["leaf_value"]), path))
                continue
            number = self.number[id(node)]
            inner[number] = len(path_features) + len(inner)
            cut.condition_node.append(number)
            cut.condition_left.append(True)
            cut.condition_start.append(len(cut.condition_node))
            stack += self._children(node, path)
        n_bits = len(path_features) + len(inner)
        features = list(dict.fromkeys([*path_features, *(self.splits.feature[number] for number in inner)]))
        for value, path in leaves:
            self._leaf(value, path, len(above), features, bit_of, inner)
        cut.features += features
        cut.piece_bits.append(cut.piece_bits[-1] + n_bits)
        cut.piece_features.append(len(cut.features))
        cut.piece_leaves.append(len(cut.leaf_value))
        entries = len(features) << n_bits if n_bits <= TABLE_BITS else 0
        cut.table_start.append(cut.table_start[-1] + entries)

    def _leaf(
        self,
        value: float,
        path: tuple[_Step, ...],
        n_above: int,
        features: list[int],
        bit_of: dict[int, int],
        inner: dict[int, int],
    ) -> None:
        cut = self.cut
        cut.leaf_value.append(value)
        for feature in dict.fromkeys(step.feature for step in path):
            on = 1 << bit_of[feature] if feature in bit_of else 0
            off, cover = 0, 1.0
            for at, step in enumerate(path):
                if step.feature != feature:
                    continue
                cover *= step.share
                if at >= n_above and step.left:
                    on |= 1 << inner[step.node]
                elif at >= n_above:
                    off |= 1 << inner[step.node]
            cut.slot.append(features.index(feature))
            cut.on.append(on)
            cut.off.append(off)
            cut.cover.append(cover)
        cut.leaf_start.append(len(cut.slot))
