"""Sparse products equal dense ones."""

import numpy as np
import pytest

from models.forecasting.sparse_rows import SparseRows


@pytest.fixture
def made():
    rng = np.random.default_rng(3)
    n, k, width = 200, 5, 17
    columns = np.sort(np.array([rng.choice(width, k, replace=False) for _ in range(n)]), axis=1).astype(np.int32)
    columns[rng.random((n, k)) < 0.2] = -1
    values = rng.normal(size=(n, k))
    dense = np.zeros((n, width))
    for row in range(n):
        for column, value in zip(columns[row], values[row], strict=True):
            if column >= 0:
                dense[row, column] = value
    return SparseRows(columns, values, width), dense, rng


def test_products_equal_the_dense_ones(made):
    rows, dense, rng = made
    beta, weight = rng.normal(size=dense.shape[1]), rng.random(len(dense))
    assert np.allclose(rows.dot(beta), dense @ beta, rtol=0, atol=1e-12)
    assert np.allclose(rows.transposed_dot(weight), dense.T @ weight, rtol=0, atol=1e-12)
    assert np.allclose(rows.gram(weight), dense.T @ (weight[:, None] * dense), rtol=0, atol=1e-12)
