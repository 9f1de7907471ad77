from __future__ import annotations

import numpy as np
import pytest

from features.synthetic import World, WorldConfig, generate, null_world


@pytest.fixture(scope="session")
def world() -> World:
    """The default world: 60 seats, 30 months."""
    return generate(WorldConfig(seed=4))


@pytest.fixture(scope="session")
def small_world() -> World:
    return generate(WorldConfig(n_reps=20, n_months=15, seed=3))


@pytest.fixture(scope="session")
def no_effects() -> World:
    return generate(null_world(n_reps=30, n_months=18, seed=2))


def logistic(design: np.ndarray, outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and standard errors of an unpenalised logistic regression, by Newton's method."""
    beta = np.zeros(design.shape[1])
    for _ in range(40):
        p = 1 / (1 + np.exp(-design @ beta))
        hessian = (design * (p * (1 - p))[:, None]).T @ design
        beta = beta + np.linalg.solve(hessian, design.T @ (outcome - p))
    return beta, np.sqrt(np.diag(np.linalg.inv(hessian)))


@pytest.fixture(scope="session")
def fit_logistic():
    return logistic
