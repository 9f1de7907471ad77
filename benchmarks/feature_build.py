"""Measures the feature build: growth with the rows, one kernel against pandas and DuckDB, and live requests.

    python -m benchmarks.feature_build [--sizes 60 120 240 480] [--seeds N]

Three tables. The build, both training sets included, over worlds of 30 months and growing desks, with the power of the
rows that its CPU time grows by (1.0 = as fast as the rows). One feature, follow-ups of a rep in 28 days at each of the
panel's moments, by the kernel, by pandas (two as-of merges on running counts) and by DuckDB (the same in SQL), all
equal. All features of every candidate for one new lead, in the time that a request waits.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.config import Config
from features.moments import DAY
from features.pairs import build_pairs
from features.panel import build_panel
from features.spec import make_spec
from features.synthetic import WorldConfig, generate
from features.tables import Tables
from features.world import World, build

QUICK = ("--sizes", "40", "80", "--seeds", "1")
REPEATS = 3


def cpu(run: Callable[[], object]) -> float:
    """CPU seconds of one call, all threads."""
    begun = time.process_time()
    run()
    return time.process_time() - begun


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and range."""
    return f"{np.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


@dataclass(frozen=True)
class Built:
    """Rows of the tables, and CPU seconds of the world, the panel and the pairs."""

    rows: int
    world: float
    panel: float
    pairs: float

    @property
    def seconds(self) -> float:
        return self.world + self.panel + self.pairs


def measure_build(tables: Tables) -> tuple[Built, World]:
    """The build of one organisation, with the world that it made."""
    as_of = tables.newest()
    spec = make_spec(tables, Config(), as_of)
    made: list[World] = []
    world = cpu(lambda: made.append(build(tables, as_of, spec)))
    rows = sum(len(frame) for frame in tables.frames.values())
    return Built(rows, world, cpu(lambda: build_panel(made[0])), cpu(lambda: build_pairs(made[0]))), made[0]


def kernel_follow_ups(world: World, reps: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Follow-ups of each rep in the 28 days before each moment, by the kernel."""
    return world.logs.activities.follow_ups.between(world.rep_codes(reps), moments - 28 * DAY, moments).count()


def pandas_follow_ups(done: pd.DataFrame, asked: pd.DataFrame) -> np.ndarray:
    """The same by two as-of merges on running counts."""
    log = done.sort_values("known_at", kind="stable")
    log = log.assign(running=log.groupby("rep_id").cumcount() + 1)[["rep_id", "known_at", "running"]]

    def before(shift: int) -> np.ndarray:
        left = asked.assign(known_at=asked["as_of"] - shift, place=np.arange(len(asked))).sort_values("known_at")
        found = pd.merge_asof(left, log, on="known_at", by="rep_id", allow_exact_matches=False)
        return found.sort_values("place")["running"].fillna(0).to_numpy(dtype=np.int64)

    return before(0) - before(28 * DAY)


def duckdb_follow_ups(done: pd.DataFrame, asked: pd.DataFrame) -> np.ndarray:
    """The same in SQL: running counts, two as-of joins."""
    import duckdb

    sql = f"""
    WITH log AS (SELECT rep_id, known_at, max(n) AS n FROM (
        SELECT rep_id, known_at, row_number() OVER (PARTITION BY rep_id ORDER BY known_at) AS n FROM done)
        GROUP BY rep_id, known_at),
    now AS (SELECT a.place, coalesce(l.n, 0) AS n FROM asked a ASOF LEFT JOIN log l
            ON a.rep_id = l.rep_id AND a.as_of > l.known_at),
    then_ AS (SELECT a.place, coalesce(l.n, 0) AS n FROM asked a ASOF LEFT JOIN log l
              ON a.rep_id = l.rep_id AND a.as_of - {28 * DAY} > l.known_at)
    SELECT now.n - then_.n AS n FROM now JOIN then_ USING (place) ORDER BY place"""
    with duckdb.connect() as connection:
        connection.register("done", done[["rep_id", "known_at"]])
        connection.register("asked", asked.assign(place=np.arange(len(asked))))
        return connection.sql(sql).df()["n"].to_numpy(dtype=np.int64)


def measure_one_feature(world: World) -> dict[str, float]:
    """CPU milliseconds of each way to count, best of a few; they must agree."""
    panel = build_panel(world)
    asked = panel.loc[panel["horizon"] == 0, ["rep_id", "as_of"]].reset_index(drop=True)
    reps, moments = asked["rep_id"].to_numpy(dtype=object), asked["as_of"].to_numpy(dtype=np.int64)
    done = world.tables.activities
    ways: dict[str, Callable[[], np.ndarray]] = {
        "kernel": lambda: kernel_follow_ups(world, reps, moments),
        "pandas": lambda: pandas_follow_ups(done, asked),
        "DuckDB": lambda: duckdb_follow_ups(done, asked),
    }
    expected = ways["kernel"]()
    for name, way in ways.items():
        if not np.array_equal(way(), expected):
            raise SystemExit(f"{name} counts otherwise")
    return {name: 1e3 * min(cpu(way) for _ in range(REPEATS)) for name, way in ways.items()}


def measure_request(world: World) -> tuple[int, float]:
    """Candidates, and CPU milliseconds of all their features and the lead's for one new lead."""
    lead = world.tables.leads.tail(1).reset_index(drop=True)
    reps = world.tables.reps["rep_id"].to_numpy(dtype=object)

    def answer() -> None:
        world.lead_features(lead, world.as_of)
        world.rep_features(reps, world.as_of)
        world.pair_features(lead, reps, world.as_of)

    answer()
    return len(reps), 1e3 * min(cpu(answer) for _ in range(10))


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[60, 120, 240, 480])
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    measure_build(generate(WorldConfig(n_reps=6, n_months=6, seed=0)).tables)  # kernels are compiled once
    built: list[Built] = []
    print(
        "seats     rows  build: CPU s, median (range)   s a million rows   "
        "28-day count, CPU ms: kernel, pandas, DuckDB  candidates: CPU ms a lead"
    )
    for size in given.sizes:
        runs, ways, requests = [], [], []
        for seed in range(1, given.seeds + 1):
            one, world = measure_build(generate(WorldConfig(n_reps=size, n_months=30, seed=seed)).tables)
            runs.append(one)
            ways.append(measure_one_feature(world))
            requests.append(measure_request(world))
        built += runs
        counted = ", ".join(f"{np.median([way[name] for way in ways]):.1f}" for name in ways[0])
        rate = spread([one.seconds / one.rows * 1e6 for one in runs], 1)
        candidates = f"{int(np.median([n for n, _ in requests]))}: {spread([ms for _, ms in requests], 1)}"
        print(f"{size:5} {int(np.median([one.rows for one in runs])):8,}  {spread([one.seconds for one in runs]):<30} "
              f"{rate:<18} {counted:<45} {candidates}", flush=True)  # fmt: skip
    if len(given.sizes) > 1:
        power = np.polyfit(np.log([one.rows for one in built]), np.log([one.seconds for one in built]), 1)[0]
        print(f"The build's CPU time grows as rows to the power of {power:.2f}.")


if __name__ == "__main__":
    main()
