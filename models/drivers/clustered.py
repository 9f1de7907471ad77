"""Cluster-robust variance of least squares, with the small-sample corrections that few reps need.

Rows of one rep share what the model does not know, so they count as one draw, not as many. With 10 to 50 reps the
plain sandwich (CR0) is too small; CR1 scales it, CR2 undoes the leverage of each cluster, CR3 (the jackknife) leaves
each cluster out in turn, and the degrees of freedom of Bell and McCaffrey replace the count of clusters minus one.
With few clusters a sandwich is a noisy number, and where it comes out small the interval misses: `cautious_interval`
never goes below the errors that independent rows, and clusters that share one covariance between times, would have.

References
----------
Bell, McCaffrey (2002), Bias reduction in standard errors for linear regression with multi-stage samples.
Pustejovsky, Tipton (2018), Small-sample methods for cluster-robust variance estimation.
Angrist, Pischke (2009), Mostly Harmless Econometrics, chapter 8 (the larger of the robust and the plain error).
Kiefer (1980), Estimation of fixed effect models for time series of cross-sections with arbitrary intertemporal
covariance (one covariance between times for all clusters).
Hausman, Kuersteiner (2008), Difference in difference meets generalized least squares (its size with few clusters).
MacKinnon, Nielsen, Webb (2023), Fast and reliable jackknife and bootstrap methods for cluster-robust inference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Correction = Literal["CR1", "CR2", "CR3"]

LEVEL = 0.90
_FULL_LEVERAGE = 1e-9
_NO_PAIRS = 1e-9


@dataclass(frozen=True)
class Interval:
    """Estimate, its standard error, degrees of freedom and the two-sided interval at `level`."""

    estimate: float
    se: float
    dof: float
    ci_low: float
    ci_high: float
    level: float = LEVEL

    @property
    def p_value(self) -> float:
        """Two-sided p of the hypothesis that the truth is 0; 0 or 1 where the error is 0."""
        if self.se <= 0:
            return 1.0 if self.estimate == 0 else 0.0
        return float(2 * stats.t.sf(abs(self.estimate) / self.se, self.dof))


def interval(estimate: float, se: float, dof: float, level: float = LEVEL) -> Interval:
    """Interval by Student's t with `dof` degrees of freedom (at least 1)."""
    dof = max(1.0, float(dof))
    half = float(stats.t.ppf(0.5 + level / 2, dof)) * se
    return Interval(float(estimate), float(se), dof, float(estimate - half), float(estimate + half), level)


def codes_of(labels: npt.ArrayLike) -> tuple[Ints, int]:
    """Codes 0..k-1 of labels in sorted order, shape (n,), and k."""
    names, codes = np.unique(np.asarray(labels), return_inverse=True)
    return np.asarray(codes, dtype=np.int64).reshape(-1), len(names)


def cluster_sums(values: Floats, clusters: Ints, n_clusters: int) -> Floats:
    """Column sums a cluster, shape (n_clusters, k), of values (n, k)."""
    sums = np.empty((n_clusters, values.shape[1]))
    for column in range(values.shape[1]):
        sums[:, column] = np.bincount(clusters, weights=values[:, column], minlength=n_clusters)
    return sums


def influences(X: Floats, residuals: Floats, clusters: Ints, column: int = 0) -> Floats:
    """What each cluster adds to the estimate's error, shape (n_clusters,); their squares sum to the CR0 variance.

    `X` (n, k) has full column rank and is what remains after fixed effects; `residuals` (n,).
    """
    bread = np.linalg.inv(X.T @ X)[:, column]
    n_clusters = int(clusters.max()) + 1
    return cluster_sums(X * residuals[:, None], clusters, n_clusters) @ bread


def coefficient_interval(
    X: Floats,
    coefficients: Floats,
    residuals: Floats,
    clusters: Ints,
    *,
    column: int = 0,
    absorbed: int = 0,
    correction: Correction = "CR2",
    level: float = LEVEL,
) -> Interval:
    """Interval of one coefficient.

    `absorbed`: parameters taken out beforehand that are *not* nested in the clusters (months, not reps), counted by
    CR1. CR1 uses clusters - 1 degrees of freedom, CR2 and CR3 those of Bell and McCaffrey under independent errors.
    """
    n, k = X.shape
    n_clusters = int(clusters.max()) + 1
    if correction == "CR1":
        scale = n_clusters / (n_clusters - 1) * (n - 1) / max(1, n - k - absorbed)
        variance = scale * float(np.sum(influences(X, residuals, clusters, column) ** 2))
        return interval(float(coefficients[column]), variance**0.5, n_clusters - 1, level)
    power = 0.5 if correction == "CR2" else 1.0
    variance, dof = _bias_reduced(X, residuals, clusters, n_clusters, column, power)
    return interval(float(coefficients[column]), variance**0.5, min(dof, n_clusters - 1), level)


def cautious_interval(
    X: Floats,
    coefficients: Floats,
    residuals: Floats,
    clusters: Ints,
    *,
    times: Ints | None = None,
    scale: Floats | None = None,
    column: int = 0,
    absorbed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Interval of one coefficient by the largest of CR3, `plain_error` and, with `times`, `common_error`.

    `times` (n,) codes; `scale` (n,): see `common_error` (default 1). `absorbed`: all parameters taken out beforehand,
    those of the clusters as well.
    """
    clustered = coefficient_interval(X, coefficients, residuals, clusters, column=column, correction="CR3", level=level)
    error = max(clustered.se, plain_error(X, residuals, column, absorbed))
    if times is not None:
        weights = np.ones(len(residuals)) if scale is None else scale
        error = max(error, common_error(X, residuals, clusters, times, weights, column))
    return clustered if error <= clustered.se else interval(clustered.estimate, error, clustered.dof, level)


def plain_error(X: Floats, residuals: Floats, column: int = 0, absorbed: int = 0) -> float:
    """Standard error of a coefficient where all rows are independent and of one variance."""
    n, k = X.shape
    free = max(1, n - k - absorbed)
    return float(residuals @ residuals / free * np.linalg.inv(X.T @ X)[column, column]) ** 0.5


def common_error(X: Floats, residuals: Floats, clusters: Ints, times: Ints, scale: Floats, column: int = 0) -> float:
    """Standard error of a coefficient where all clusters share one covariance between times.

    Row i has residual scale[i] * (what its cluster has at times[i]) + noise of its own, both with variances that no
    cluster differs in; `scale` (n,) is 1 for plain least squares and the root of the weights for weighted ones. The
    covariance is that of the residuals, so that of what fixed effects leave: the direction that it is wanted in is
    free of them as well. Being one for all, it is far less noisy than a sandwich, which has one draw a cluster.
    """
    n, k = X.shape
    n_clusters, n_times = int(clusters.max()) + 1, int(times.max()) + 1
    cell, cells = clusters * n_times + times, n_clusters * n_times

    def summed(values: Floats) -> Floats:
        return np.asarray(np.bincount(cell, weights=values, minlength=cells).reshape(n_clusters, n_times))

    pull = X @ np.linalg.inv(X.T @ X)[:, column]
    shown, size = summed(scale * residuals), summed(scale**2)
    seen, pairs = shown.T @ shown, size.T @ size
    own_seen, own_pairs = _summed_diagonal(summed(scale**2 * residuals**2)), _summed_diagonal(summed(scale**4))
    seen, pairs = seen - own_seen, pairs - own_pairs
    shared = np.where(pairs > _NO_PAIRS * size.sum(), seen / np.where(pairs > 0, pairs, 1.0), 0.0)
    reach = summed(scale * pull)
    variance = float(np.sum(shared * (reach.T @ reach - _summed_diagonal(summed((scale * pull) ** 2)))))
    variance += float(np.mean(residuals**2) * (pull @ pull))
    correction = n_clusters / (n_clusters - 1) * n / max(1, n - k)
    return max(0.0, variance * correction) ** 0.5


def _bias_reduced(
    X: Floats, residuals: Floats, clusters: Ints, n_clusters: int, column: int, power: float
) -> tuple[float, float]:
    """CR2 or CR3 variance (`power` 1/2 or 1) and degrees of freedom; work grows with rows, not with their square."""
    gram = np.linalg.inv(X.T @ X)
    root = np.linalg.cholesky(gram)
    order = np.argsort(clusters, kind="stable")
    bounds = np.searchsorted(clusters[order], np.arange(n_clusters + 1))
    direction = gram[:, column]
    variance = 0.0
    own = np.empty(n_clusters)
    shared = np.empty((n_clusters, X.shape[1]))
    for cluster in range(n_clusters):
        rows = order[bounds[cluster] : bounds[cluster + 1]]
        weights = _leverage_adjusted(X[rows], root, X[rows] @ direction, power)
        variance += float(weights @ residuals[rows]) ** 2
        own[cluster] = weights @ weights
        shared[cluster] = X[rows].T @ weights
    working = np.diag(own) - shared @ gram @ shared.T
    spread = float(np.sum(working**2))
    return variance, float(np.trace(working) ** 2 / spread) if spread > 0 else 1.0


def _leverage_adjusted(X: Floats, root: Floats, weights: Floats, power: float) -> Floats:
    """(I - H_g)^-power times the cluster's weights (n_g,), by the k-dimensional range of H_g = X root root' X'."""
    left, singular, _ = np.linalg.svd(X @ root, full_matrices=False)
    remaining = 1.0 - singular**2
    # A cluster that alone determines a direction says nothing of its own noise there: the generalised inverse drops it.
    factor = np.where(remaining > _FULL_LEVERAGE, np.maximum(remaining, _FULL_LEVERAGE) ** -power, 0.0)
    return weights + left @ ((factor - 1.0) * (left.T @ weights))


def _summed_diagonal(by_cluster: Floats) -> Floats:
    """Diagonal matrix (times, times) of the sums over clusters, the rows."""
    return np.diag(by_cluster.sum(axis=0))
