"""Measures a whole `fairlead train` from CSV files to a promoted release: wall clock, CPU and memory against limits.

    python -m benchmarks.train_command [--size small|large|both] [--seeds N] [--trials N]

Small: 60 reps, 30 months, about 15,000 leads and 100,000 activities, limits 90 s and 1.5 GiB. Large: 1,000 reps (1,560
with leavers), 250,000 leads and 2 million activities, limits 20 minutes and 8 GiB. With --trials small may take
10 minutes. The limits are for two cores that nobody else uses; CPU seconds are printed as well, for they hold on a busy
machine too. Beside the command stands the plainest thing that answers the same question: pandas reads the same files,
counts features with groupby, and LightGBM fits win probability once, without backtest, intervals, effects or release.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from features.synthetic import WorldConfig, write_world

QUICK = ("--size", "small", "--seeds", "1")
ROOT = Path(__file__).resolve().parents[1]
GIB = 1024**3
TRAIN = "from serving.cli import main; main()"
PLAIN = """
import sys, pandas as pd, lightgbm as lgb
from pathlib import Path
folder = Path(sys.argv[1])
read = lambda name: pd.read_csv(folder / f"{name}.csv")
leads, given, deals, done = read("leads"), read("assignments"), read("deals"), read("activities")
last = given.sort_values("assigned_at").drop_duplicates("lead_id", keep="last")
pairs = last.merge(leads, on="lead_id", validate="one_to_one")
first = deals.sort_values("closed_at").drop_duplicates("lead_id")
pairs = pairs.merge(first[["lead_id", "status"]], on="lead_id", how="left", validate="one_to_one")
pairs["hour"] = pd.to_datetime(pairs["assigned_at"], utc=True, format="ISO8601").dt.floor("D")
done["hour"] = pd.to_datetime(done["occurred_at"], utc=True, format="ISO8601").dt.floor("D")
daily = done.groupby(["rep_id", "hour"]).size().rename("n").reset_index()
daily["calls"] = daily.groupby("rep_id")["n"].transform(lambda s: s.rolling(28, min_periods=1).sum().shift(1))
pairs = pairs.merge(daily[["rep_id", "hour", "calls"]], on=["rep_id", "hour"], how="left", validate="many_to_one")
kinds = ["source", "industry", "territory", "rep_id", "company_size"]
x = pairs[[c for c in kinds if c in pairs]].astype("category").join(pairs.select_dtypes("number"))
lgb.train({"objective": "binary", "verbosity": -1, "num_threads": 2}, lgb.Dataset(x, pairs["status"].eq("won")), 200)
"""


@dataclass(frozen=True)
class Size:
    """A world and the limits of its training, in seconds and GiB on two cores."""

    n_reps: int
    leads_per_rep_month: float
    activity_scale: float
    seconds: float
    gib: float

    def config(self, seed: int) -> WorldConfig:
        """The world of one seed."""
        return WorldConfig(
            n_reps=self.n_reps,
            n_months=30,
            seed=seed,
            leads_per_rep_month=self.leads_per_rep_month,
            activity_scale=self.activity_scale,
        )


SIZES = {"small": Size(60, 10.7, 0.88, 90.0, 1.5), "large": Size(1_000, 10.9, 1.0, 1_200.0, 8.0)}
TUNED_SECONDS = 600.0


@dataclass(frozen=True)
class Used:
    """What one process used."""

    wall: float
    cpu: float
    gib: float


def measure(command: list[str]) -> Used:
    """Run a command and wait for it; CPU is of the process and its children, memory the largest of one process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2", "MLFLOW_DISABLE_TELEMETRY": "true"}
    begun = time.monotonic()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[-1]} failed:\n{said.decode(errors='replace')}")
    return Used(time.monotonic() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / GIB)


def measure_size(name: str, seed: int, trials: int = 0) -> dict[str, Used]:
    """`fairlead train` and the plain way on one world, written to files beforehand; with `trials`, tuned as well."""
    with tempfile.TemporaryDirectory() as folder:
        data, home = Path(folder) / "data", Path(folder) / "home"
        begun = time.process_time()
        tables = write_world(data, SIZES[name].config(seed)).tables
        counts = ", ".join(f"{len(tables[table]):,} {table}" for table in ("reps", "leads", "activities", "deals"))
        print(f"{name}, seed {seed}: {counts} (made in {time.process_time() - begun:.0f} s of CPU)", flush=True)
        train = [sys.executable, "-c", TRAIN, "train", "--data", str(data), "--home", str(home)]
        if trials:
            used = {f"fairlead train --trials {trials}": measure([*train, "--trials", str(trials)])}
        else:
            used = {
                "fairlead train": measure(train),
                "pandas and one LightGBM": measure([sys.executable, "-c", PLAIN, str(data)]),
            }
    for label, one in used.items():
        print(f"  {label:<24} {one.wall:8.1f} s wall {one.cpu:8.1f} s CPU {one.gib:6.2f} GiB", flush=True)
    return used


def _spread(values: list[float]) -> str:
    return f"{np.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main() -> None:
    """Print every run, then the median and the range over seeds against the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=(*SIZES, "both"), default="both")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=0, help="tune with Optuna; limit 600 s on the small size")
    given = parser.parse_args()
    for name in SIZES if given.size == "both" else (given.size,):
        runs = [measure_size(name, seed, given.trials) for seed in range(1, given.seeds + 1)]
        ours = [next(iter(one.values())) for one in runs]
        limit = replace(SIZES[name], seconds=TUNED_SECONDS) if given.trials else SIZES[name]
        wall, cpu = _spread([one.wall for one in ours]), _spread([one.cpu for one in ours])
        print(f"{name}: wall {wall} s, limit {limit.seconds:.0f}; CPU {cpu} s; "
              f"memory {max(one.gib for one in ours):.2f} GiB, limit {limit.gib}")  # fmt: skip


if __name__ == "__main__":
    main()
