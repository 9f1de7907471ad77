"""False alarms without drift, and half a standard deviation found within a month, beside two plainer tests.

    python -m benchmarks.drift [--worlds 10] [--reps 60] [--months 24]

Each world is synthetic, with hidden market months, hires and leavers, and no planted drift; every month and every rep
of it adds a part of his own to the leads' numbers (0.1 and 0.2 standard deviations), as real desks do. It is looked at
on the first of each of its last six months. Then a numeric column of the last 30 days' leads is moved by half of its
standard deviation. `rows` is Welch's t-test on leads, `ks` the test of Kolmogorov and Smirnov, both with Holm's
correction.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import ks_2samp, ttest_ind

from features import moments
from features.config import Config
from features.sources import load_tables
from features.synthetic import WorldConfig, write_world
from training.datasets import Datasets, build_datasets
from training.drift import DriftRules, holm, input_findings, periods, raw_columns

Floats = npt.NDArray[np.float64]


def world_sets(n_reps: int, n_months: int, seed: int) -> Datasets:
    """Training sets of one world."""
    with tempfile.TemporaryDirectory() as folder:
        write_world(Path(folder), WorldConfig(n_reps=n_reps, n_months=n_months, seed=seed))
        tables = load_tables(Path(folder), Config(), None)
    return build_datasets(tables, tables.newest(), Config())


def grouped(sets: Datasets, rng: np.random.Generator) -> pd.DataFrame:
    """The pairs with a part of each month's and each rep's own in every raw number."""
    pairs = sets.pairs.copy()
    month = periods(pairs["as_of"].to_numpy(dtype=np.int64), sets.world.as_of, 10_000)
    rep = pd.factorize(pairs["rep_id"])[0]
    for name in raw_columns(sets.spec):
        sd = float(pairs[name].std())
        pairs[name] += 0.1 * sd * rng.normal(size=month.max() + 1)[month]
        pairs[name] += 0.2 * sd * rng.normal(size=rep.max() + 1)[rep]
    return pairs


def alarms(pairs: pd.DataFrame, sets: Datasets, as_of: int, column: str, seed: int) -> tuple[list[bool], list[bool]]:
    """By ours, by rows, by ks: whether anything alarms, and whether the column does."""
    known = pairs.loc[(pairs["as_of"] < as_of).to_numpy()]
    spec, rules = sets.spec, DriftRules()
    found = input_findings(known, raw_columns(spec), spec.lead_categorical, as_of, np.random.default_rng(seed), rules)
    ours = {f.name for f in found if f.alarm}
    period = periods(known["as_of"].to_numpy(dtype=np.int64), as_of)
    by_row = {}
    for label in ("rows", "ks"):
        p = {}
        for name in raw_columns(spec):
            values = known[name].to_numpy(dtype=np.float64)
            new, old = values[(period == 0) & np.isfinite(values)], values[(period > 0) & np.isfinite(values)]
            if len(new) > 5 and values[np.isfinite(values)].std() > 0:
                p[name] = ks_2samp(new, old).pvalue if label == "ks" else ttest_ind(new, old, equal_var=False).pvalue
        adjusted = holm(np.array(list(p.values()), dtype=np.float64))
        by_row[label] = {name for name, value in zip(p, adjusted, strict=True) if value <= 0.05}
    sets_of = [ours, by_row["rows"], by_row["ks"]]
    return [bool(s) for s in sets_of], [column in s for s in sets_of]


def main() -> None:
    """A row a world: looks with a false alarm, and shifts found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=10)
    parser.add_argument("--reps", type=int, default=60)
    parser.add_argument("--months", type=int, default=24)
    args = parser.parse_args()
    print(f"{args.reps} reps, {args.months} months, six looks a world; ours | rows | ks")
    totals = np.zeros((2, 3), dtype=np.int64)
    looks = 0
    for seed in range(args.worlds):
        sets = world_sets(args.reps, args.months, 1000 + seed)
        zone, last = sets.world.tables.zone, moments.month_of(sets.world.as_of - 1, sets.world.tables.zone)
        column = max(raw_columns(sets.spec), key=lambda name: float(sets.pairs[name].nunique()))
        sets = replace(sets, pairs=grouped(sets, np.random.default_rng([seed, 5])))
        false, hits = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
        for back in range(6):
            as_of = moments.month_start(last - back + 1, zone)
            false += np.array(alarms(sets.pairs, sets, as_of, column, seed)[0])
            new = periods(sets.pairs["as_of"].to_numpy(dtype=np.int64), as_of) == 0
            moved = sets.pairs[column] + np.where(new, 0.5 * float(sets.pairs[column].std()), 0.0)
            hits += np.array(alarms(sets.pairs.assign(**{column: moved}), sets, as_of, column, seed)[1])
            looks += 1
        totals += np.vstack([false, hits])
        print(f"world {seed:3d}  {column:24}  false alarms {false} of 6   found {hits} of 6", flush=True)
    print(f"all of {looks}: false alarms {totals[0] / looks}   found {totals[1] / looks}")


if __name__ == "__main__":
    main()
