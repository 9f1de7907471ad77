"""Linear algebra of fixed effects bordered by one block of random effects a rep.

Given the fixed effects reps are independent, so the Hessian is an arrow: eliminating the blocks leaves a system in the
fixed effects only (Schur complement). 1,000 reps x 40 effects then cost 1,000 small inverses, not one of 40,000.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from features.compiled import compiled
from models.conversion.design import Codes, Encoded, Floats


@dataclass(frozen=True)
class PairRows:
    """Design rows with their rep: `rep` (n,) in [0, n_reps). Shapes as in `Encoded`."""

    encoded: Encoded
    rep: Codes
    n_reps: int
    n_levels: int
    n_cells: int

    def __len__(self) -> int:
        return len(self.rep)

    @property
    def n_numeric(self) -> int:
        return self.encoded.numeric.shape[1]

    @property
    def n_fixed(self) -> int:
        return self.n_numeric + self.n_levels

    @cached_property
    def level_rows(self) -> Any:
        """(m, n) sparse: which rows hold a level."""
        return _indicator(self.encoded.codes, self.n_levels, self.n_levels)

    @cached_property
    def cell_rows(self) -> Any:
        """(R * K, n) sparse: which rows hold a rep's cell."""
        cells = self.encoded.cells
        absolute = np.where(cells == self.n_cells, -1, self.rep[:, None] * self.n_cells + cells)
        return _indicator(absolute, self.n_reps * self.n_cells, -1)


def _indicator(columns: Codes, n_columns: int, none: int) -> Any:
    n, width = columns.shape
    rows = np.repeat(np.arange(n), width)
    flat = columns.ravel()
    there = flat != none
    ones = np.ones(int(there.sum()))
    return sparse.csr_matrix((ones, (flat[there], rows[there])), shape=(n_columns, n))


def predict_linear(rows: PairRows, beta: Floats, effects: Floats) -> Floats:
    """(n,) linear predictor; `beta` (p,), `effects` (R, K)."""
    encoded = rows.encoded
    eta = encoded.numeric @ beta[: rows.n_numeric]
    levels = np.append(beta[rows.n_numeric :], 0.0)
    eta += levels[encoded.codes].sum(axis=1)
    if rows.n_cells:
        padded = np.column_stack([effects, np.zeros(len(effects))])
        eta += padded[rows.rep[:, None], encoded.cells].sum(axis=1)
    return np.asarray(eta)


def project(rows: PairRows, residual: Floats) -> tuple[Floats, Floats]:
    """X'e (p, ...) and Z'e (R, K, ...) of residuals (n,) or (n, B)."""
    numeric = rows.encoded.numeric.T @ residual
    fixed = np.concatenate([numeric, np.asarray(rows.level_rows @ residual)], axis=0)
    blocks = np.asarray(rows.cell_rows @ residual)
    return fixed, blocks.reshape(rows.n_reps, rows.n_cells, *residual.shape[1:])


@dataclass(frozen=True)
class CrossProducts:
    """Weighted cross-products: `fixed` (p, p), `blocks` (R, K, K), `border` (R, K, p)."""

    fixed: Floats
    blocks: Floats
    border: Floats


def cross_products(rows: PairRows, weight: Floats) -> CrossProducts:
    """X'WX, Z'WZ and Z'WX of all reps."""
    q, m, R, K = rows.n_numeric, rows.n_levels, rows.n_reps, rows.n_cells
    numeric = np.ascontiguousarray(rows.encoded.numeric)
    weighted = numeric * weight[:, None]
    fixed, blocks, border = np.zeros((q + m, q + m)), np.zeros((R, K, K)), np.zeros((R, K, q + m))
    compiled(_accumulate)(weighted, rows.encoded.codes, rows.encoded.cells, rows.rep, weight, fixed, blocks, border)
    # A product with its own transpose costs half of one with another matrix.
    half = numeric * np.sqrt(weight)[:, None]
    fixed[:q, :q] = half.T @ half
    fixed[:q, q:] = fixed[q:, :q].T
    diagonal = np.einsum("rkk->rk", blocks).copy()
    full = blocks + blocks.transpose(0, 2, 1)
    np.einsum("rkk->rk", full)[...] = diagonal
    return CrossProducts(fixed, full, border)


def _accumulate(
    weighted: Floats,
    codes: Codes,
    cells: Codes,
    rep: Codes,
    weight: Floats,
    fixed: Floats,
    blocks: Floats,
    border: Floats,
) -> None:  # pragma: no cover
    """Add each row's part to the level rows of `fixed`, to the upper halves of `blocks`, and to `border`, in place.

    One pass in the order of the rows: sparse products do the same sums, but go over the rows once a column, and
    counting by cell pairs fills R x K x K numbers for each pair of columns.
    """
    q, m, K = weighted.shape[1], fixed.shape[0] - weighted.shape[1], blocks.shape[1]
    for i in range(len(weight)):
        w, r = weight[i], rep[i]
        for a in range(codes.shape[1]):
            level = codes[i, a]
            if level == m:
                continue
            for j in range(q):
                fixed[q + level, j] += weighted[i, j]
            for b in range(codes.shape[1]):
                if codes[i, b] != m:
                    fixed[q + level, q + codes[i, b]] += w
        for a in range(cells.shape[1]):
            cell = cells[i, a]
            if cell == K:
                continue
            for j in range(q):
                border[r, cell, j] += weighted[i, j]
            for b in range(codes.shape[1]):
                if codes[i, b] != m:
                    border[r, cell, q + codes[i, b]] += w
            for b in range(a, cells.shape[1]):
                if cells[i, b] != K:
                    blocks[r, cell, cells[i, b]] += w


@dataclass(frozen=True)
class ArrowFactor:
    """Inverse of a penalised arrow Hessian.

    `block_inverse` (R, K, K); `regression` (R, K, p) = block inverse x border; `fixed_covariance` (p, p) with the
    blocks integrated out.
    """

    block_inverse: Floats
    regression: Floats
    border: Floats
    fixed_covariance: Floats

    def solve(self, fixed: Floats, blocks: Floats) -> tuple[Floats, Floats]:
        """Solution for right-hand sides (p, ...) and (R, K, ...)."""
        width = int(np.prod(fixed.shape[1:]))
        flat_fixed = fixed.reshape(len(fixed), width)
        inner = self.block_inverse @ blocks.reshape(*blocks.shape[:2], width)
        R, K, p = self.border.shape
        border = self.border.reshape(R * K, p)
        beta = self.fixed_covariance @ (flat_fixed - border.T @ inner.reshape(R * K, width))
        effects = inner - self.regression @ beta
        return beta.reshape(fixed.shape), effects.reshape(blocks.shape)

    def block_variances(self, structure: Floats | None = None) -> Floats:
        """(R, K) posterior variances of the reps' effects, fixed effects integrated out.

        With a symmetric `structure` Q (K, K) the diagonal of Q x covariance instead, whose sum over k is its trace.
        """
        if structure is None:
            structure = np.eye(self.regression.shape[1])
        own = np.einsum("rkj,kj->rk", self.block_inverse, structure)
        weighted = structure @ self.regression
        return np.asarray(own + ((weighted @ self.fixed_covariance) * self.regression).sum(axis=2))


def factorise(products: CrossProducts, fixed_precision: Floats, cell_precision: Floats) -> ArrowFactor:
    """Factor of the Hessian with prior precisions (p,), and (K,) or (K, K), added to fixed part and each block."""
    blocks = products.blocks + (np.diag(cell_precision) if cell_precision.ndim == 1 else cell_precision)
    inverse = np.asarray(np.linalg.inv(blocks), dtype=np.float64)
    regression = inverse @ products.border
    R, K, p = products.border.shape
    schur = products.fixed - products.border.reshape(R * K, p).T @ regression.reshape(R * K, p)
    schur = 0.5 * (schur + schur.T)
    schur[np.diag_indices(p)] += fixed_precision
    return ArrowFactor(inverse, regression, products.border, np.asarray(np.linalg.inv(schur), dtype=np.float64))
