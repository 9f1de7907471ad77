"""Off-policy estimates on a real log with known propensities: does one policy's log give the other's known click rate?

`python -m benchmarks.off_policy --data FOLDER` reads `obd_men/men_random.csv.gz` and `men_bts.csv.gz` (Open Bandit
Dataset, small, campaign men: 10,000 impressions under uniformly random items and 10,000 under Thompson sampling, 34
items, 3 positions). FOLDER is FAIRLEAD_PUBLIC_DATA unless given. The answer is the click rate that the other log shows.
Two kinds of chances: as logged, and as counted in the log itself by item and position, plus one half. The doubly robust
estimate's outcome model is the click rate by item, shrunk to the mean, each half of the rows by the other half's rates.

References
----------
Y. Saito, S. Aihara, M. Matsutani, Y. Narita (2021), Open Bandit Dataset and Pipeline, NeurIPS Datasets and Benchmarks.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.routing.offpolicy import LoggedDecisions, OutcomeModel, evaluate

Floats = npt.NDArray[np.float64]

N_ITEMS, LEVEL = 34, 0.95
METHODS = ("ips", "snips", "dr")
_PRIOR_IMPRESSIONS = 200.0


@dataclass(frozen=True)
class Task:
    """Estimate a target policy from a log: `log` rows, chances of the log and of the target for its choices, and the
    click rate that the target is known to have. `everywhere` (positions, items): the target's chances."""

    name: str
    log: pd.DataFrame
    logged: Floats
    target: Floats
    everywhere: Floats
    answer: float


def read_log(path: Path) -> pd.DataFrame:
    """One log: item_id, position, click, propensity_score; positions from 0."""
    log = pd.read_csv(path, usecols=["item_id", "position", "click", "propensity_score"])
    return log.assign(position=log["position"] - log["position"].min())


def counted(log: pd.DataFrame) -> Floats:
    """(positions, items) chance of each item at a position as the log shows it, plus half an impression."""
    table = np.full((int(log["position"].max()) + 1, N_ITEMS), 0.5)
    np.add.at(table, (log["position"].to_numpy(), log["item_id"].to_numpy()), 1.0)
    return table / table.sum(axis=1, keepdims=True)


def of(table: Floats, log: pd.DataFrame) -> Floats:
    """(n,) the table's value for each row."""
    return table[log["position"].to_numpy(), log["item_id"].to_numpy()]


def tasks(random: pd.DataFrame, bandit: pd.DataFrame) -> list[Task]:
    """Both ways, with logged chances and with counted ones."""
    even = np.full((3, N_ITEMS), 1.0 / N_ITEMS)
    evens, bandits = counted(random), counted(bandit)
    rates = float(random["click"].mean()), float(bandit["click"].mean())
    scores = [log["propensity_score"].to_numpy(dtype=np.float64) for log in (random, bandit)]
    return [
        Task("Thompson from random, logged", random, scores[0], of(bandits, random), bandits, rates[1]),
        Task("Thompson from random, counted", random, of(evens, random), of(bandits, random), bandits, rates[1]),
        Task("random from Thompson, logged", bandit, scores[1], of(even, bandit), even, rates[0]),
        Task("random from Thompson, counted", bandit, of(bandits, bandit), of(even, bandit), even, rates[0]),
    ]  # fmt: skip


def outcome_model(task: Task) -> OutcomeModel:
    """Expected clicks of the log's choice and of the target, each half of the rows by rates of the other half."""
    item, click = task.log["item_id"].to_numpy(), task.log["click"].to_numpy(dtype=np.float64)
    position = task.log["position"].to_numpy()
    half = np.arange(len(task.log)) % 2
    logged, target = np.zeros(half.size), np.zeros(half.size)
    for side in (0, 1):
        past, mine = half != side, half == side
        shown = np.bincount(item[past], minlength=N_ITEMS)
        clicks = np.bincount(item[past], weights=click[past], minlength=N_ITEMS)
        mean = click[past].mean()
        rate = (clicks + _PRIOR_IMPRESSIONS * mean) / (shown + _PRIOR_IMPRESSIONS)
        logged[mine] = rate[item[mine]]
        target[mine] = (task.everywhere @ rate)[position[mine]]
    return OutcomeModel(logged, target)


def main() -> None:
    """Print a row a task and method: estimate, interval, the answer, and how far off in standard errors of both."""
    given = argparse.ArgumentParser()
    given.add_argument("--data", default=os.environ.get("FAIRLEAD_PUBLIC_DATA", ""))
    asked = given.parse_args()
    files = [Path(asked.data) / "obd_men" / f"men_{name}.csv.gz" for name in ("random", "bts")]
    if not asked.data or not all(path.exists() for path in files):
        sys.exit("the log obd_men is not there: give --data FOLDER, or set FAIRLEAD_PUBLIC_DATA, to what holds it")
    random, bandit = (read_log(path) for path in files)
    for name, log in (("random", random), ("Thompson", bandit)):
        print(f"{name}: {int(log['click'].sum())} clicks in {len(log):,} impressions")
    print("| target from log, chances | method | estimate | 95 % interval | answer | held | errors off | effective n |")
    print("|---|---|---|---|---|---|---|---|")
    for task in tasks(random, bandit):
        click = task.log["click"].to_numpy(dtype=np.float64)
        log = LoggedDecisions(click, task.logged, task.target)
        found = evaluate(log, model=outcome_model(task), level=LEVEL)
        noise = task.answer * (1.0 - task.answer) / len(task.log)  # the answer is a rate of as many impressions
        for name in METHODS:
            one = found.estimates[name]
            held = "yes" if one.ci_low <= task.answer <= one.ci_high else "no"
            off = (one.value - task.answer) / np.sqrt(one.se**2 + noise)
            print(
                f"| {task.name} | {name} | {one.value:.4f} | {one.ci_low:.4f} to {one.ci_high:.4f} | "
                f"{task.answer:.4f} | {held} | {off:+.1f} | {found.effective_n:,.0f} |"
            )


if __name__ == "__main__":
    main()
