"""Rates of SHAP values on one core: leaf patterns beside LightGBM's own and shap, with the largest difference.

    OMP_NUM_THREADS=1 python benchmarks/shap_speed.py [--rows 100000] [--seeds 3]

100,000 rows x 30 features (one category, 3 % missing), 500 trees of 31 leaves. LightGBM and shap are timed on fewer
rows (their cost a row is constant) and in CPU seconds, as is ours, tables included; compiling is timed apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import lightgbm
import numpy as np
import shap

from models.drivers.treeshap import interventional, path_dependent

CATEGORY = 29


def simulated(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows with a mixed truth: steps, products, a category."""
    X = rng.normal(size=(n, 30))
    X[:, CATEGORY] = rng.integers(0, 12, n)
    y = X[:, :6] @ rng.normal(size=6) + X[:, 6] * X[:, 7] + 2 * (X[:, 8] > 0.5) + (X[:, CATEGORY] % 5 == 2)
    y += rng.normal(size=n)
    X[rng.random((n, 30)) < 0.03] = np.nan
    return X, y


def trained(X: np.ndarray, y: np.ndarray, categories: list[int]) -> lightgbm.Booster:
    """500 trees of 31 leaves."""
    options = {"objective": "l2", "num_leaves": 31, "learning_rate": 0.05, "verbosity": -1, "num_threads": 1}
    return lightgbm.train(options, lightgbm.Dataset(X, y, categorical_feature=categories), 500)


def timed(run: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """Result and CPU seconds."""
    start = time.process_time()
    made = run()
    return made, time.process_time() - start


def main() -> None:
    """One line a seed and method."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--seeds", type=int, default=3)
    given = options.parse_args()
    ratios, against = [], []
    for seed in range(given.seeds):
        X, y = simulated(np.random.default_rng(seed), given.rows)
        booster = trained(X[:30_000], y[:30_000], [CATEGORY])
        if seed == 0:
            start = time.perf_counter()
            path_dependent(booster, X[:64], fewest_rows=0)
            print(f"first call (compiling, or from the cache): {time.perf_counter() - start:.1f} s")
        few = X[:1000]
        theirs, t_lightgbm = timed(lambda b=booster, x=few: np.asarray(b.predict(x, pred_contrib=True)))
        ours, t_ours = timed(lambda b=booster, x=X: path_dependent(b, x, fewest_rows=0))
        rate, base = len(X) / t_ours, len(few) / t_lightgbm
        ratios.append(rate / base)
        off = np.abs(ours[:1000] - theirs).max()
        print(
            f"seed {seed} path-dependent: ours {rate:,.0f} rows/s, LightGBM {base:,.0f}, {rate / base:.0f}x, "
            f"off {off:.0e}"
        )
        numbers = trained(X[:30_000], y[:30_000], [])
        background, rows, shown = X[5000:6000], X[:2000], X[:4]
        ours, t_ours = timed(lambda b=numbers, x=rows, z=background: interventional(b, x, z))
        explainer = shap.TreeExplainer(
            numbers, shap.maskers.Independent(background, max_samples=len(background)),
            feature_perturbation="interventional",
        )  # fmt: skip
        theirs, t_shap = timed(lambda e=explainer, x=shown: np.asarray(e.shap_values(x, check_additivity=False)))
        rate, base = len(rows) / t_ours, len(shown) / t_shap
        against.append(rate / base)
        off = np.abs(ours[: len(shown), :-1] - theirs).max()
        print(
            f"seed {seed} interventional, 1,000 background rows: ours {rate:,.0f} rows/s, shap {base:,.1f}, "
            f"{rate / base:.0f}x, off {off:.0e}"
        )
    print(
        f"times LightGBM: {min(ratios):.0f} to {max(ratios):.0f}; times shap: {min(against):.0f} to {max(against):.0f}"
    )


if __name__ == "__main__":
    main()
