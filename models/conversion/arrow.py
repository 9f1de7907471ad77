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
    weighted = rows.encoded.numeric * weight[:, None]
    return CrossProducts(_fixed(rows, weight, weighted), _blocks(rows, weight), _border(rows, weight, weighted))


def _fixed(rows: PairRows, weight: Floats, weighted: Floats) -> Floats:
    q, m = rows.n_numeric, rows.n_levels
    fixed = np.zeros((q + m, q + m))
    fixed[:q, :q] = rows.encoded.numeric.T @ weighted
    if m:
        mixed = np.asarray(rows.level_rows @ weighted)
        fixed[q:, :q], fixed[:q, q:] = mixed, mixed.T
        fixed[q:, q:] = _pairwise(rows.encoded.codes, rows.encoded.codes, m, m, weight)
    return fixed


def _pairwise(left: Codes, right: Codes, n_left: int, n_right: int, weight: Floats) -> Floats:
    """(n_left, n_right) sums of weight over rows holding both codes; the last code of each side is dropped."""
    total = np.zeros((n_left + 1) * (n_right + 1))
    for a in left.T:
        for b in right.T:
            total += np.bincount(a * (n_right + 1) + b, weights=weight, minlength=len(total))
    return total.reshape(n_left + 1, n_right + 1)[:n_left, :n_right]


def _blocks(rows: PairRows, weight: Floats) -> Floats:
    K, R = rows.n_cells, rows.n_reps
    side = K + 1
    base = rows.rep * (side * side)
    total = np.zeros(R * side * side)
    cells = rows.encoded.cells
    for a in range(cells.shape[1]):
        for b in range(a, cells.shape[1]):
            index = base + cells[:, a] * side + cells[:, b]
            total += np.bincount(index, weights=weight, minlength=len(total))
    upper = total.reshape(R, side, side)[:, :K, :K]
    diagonal = np.einsum("rkk->rk", upper).copy()
    full = upper + upper.transpose(0, 2, 1)
    np.einsum("rkk->rk", full)[...] = diagonal
    return full


def _border(rows: PairRows, weight: Floats, weighted: Floats) -> Floats:
    K, R, q, m = rows.n_cells, rows.n_reps, rows.n_numeric, rows.n_levels
    border = np.zeros((R, K, q + m))
    if not K:
        return border
    border[:, :, :q] = np.asarray(rows.cell_rows @ weighted).reshape(R, K, q)
    if m:
        scaled = sparse.csr_matrix(rows.level_rows.multiply(weight[None, :]))
        border[:, :, q:] = (rows.cell_rows @ scaled.T).toarray().reshape(R, K, m)
    return border


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
