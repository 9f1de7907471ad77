"""Products with designs whose rows fill few of many columns: codes and some numbers.

A regression on sources, stages, bands and a handful of states has a hundred columns and fifteen values a row, so dense
products spend nine tenths of their time on zeros. scipy.sparse has no weighted Gram matrix: it goes through
a product of two sparse matrices, merged row by row, where adding into a small square is enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.compiled import compiled

Floats = npt.NDArray[np.float64]
Columns = npt.NDArray[np.int32]


@dataclass(frozen=True)
class SparseRows:
    """Rows that fill few of `width` columns: which, `columns` (n, k) rising, -1 for none, and `values` (n, k)."""

    columns: Columns
    values: Floats
    width: int

    def dot(self, beta: Floats) -> Floats:
        """(n,) X beta."""
        found = np.zeros(len(self.columns))
        compiled(_add_rows)(self.columns, self.values, beta, found)
        return found

    def transposed_dot(self, weight: Floats) -> Floats:
        """(width,) X' weight."""
        found = np.zeros(self.width)
        compiled(_add_columns)(self.columns, self.values, weight, found)
        return found

    def gram(self, weight: Floats) -> Floats:
        """(width, width) X' diag(weight) X."""
        found = np.zeros((self.width, self.width))
        compiled(_add_products)(self.columns, self.values, weight, found)
        return found + np.tril(found, -1).T


def _add_rows(columns: Columns, values: Floats, beta: Floats, found: Floats) -> None:  # pragma: no cover
    """Add to `found` (n,) what each row makes of `beta`."""
    for i in range(columns.shape[0]):
        for a in range(columns.shape[1]):
            if columns[i, a] >= 0:
                found[i] += values[i, a] * beta[columns[i, a]]


def _add_columns(columns: Columns, values: Floats, weight: Floats, found: Floats) -> None:  # pragma: no cover
    """Add each row's weight to `found` (width,) where the row has values."""
    for i in range(columns.shape[0]):
        for a in range(columns.shape[1]):
            if columns[i, a] >= 0:
                found[columns[i, a]] += values[i, a] * weight[i]


def _add_products(columns: Columns, values: Floats, weight: Floats, found: Floats) -> None:  # pragma: no cover
    """Add each row's products to the lower half of `found`."""
    for i in range(columns.shape[0]):
        for a in range(columns.shape[1]):
            if columns[i, a] < 0:
                continue
            scaled = weight[i] * values[i, a]
            for b in range(a + 1):
                if columns[i, b] >= 0:
                    found[columns[i, a], columns[i, b]] += scaled * values[i, b]
