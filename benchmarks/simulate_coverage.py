"""Measures the replay's own estimates against the truth: how often its intervals hold the true gain.

`python -m benchmarks.simulate_coverage [--seeds N] [--reps N] [--months N] [--weeks N]` replays the last weeks of
synthetic desks of several structures and loads. A row a world: the true gain of ours over the habit in wins, what the
model said with its 90 % interval, and the doubly robust estimate where the log supported one; then the shares covered.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import numpy.typing as npt

from features.config import Config, Routing
from features.synthetic import WorldConfig, generate, true_expected_amount, true_win_probability
from features.synthetic.world import World
from features.tables import Tables
from models.routing.rules import Desk
from serving.board import Board
from training.replay_weeks import HABIT, OURS, Replay, Truth, replay_weeks

STRUCTURES = ("mixed", "industry", "territory", "additive", "size")
LOADS = (0.8, 1.0, 1.6)
QUICK = ("--seeds", "2", "--reps", "12", "--months", "12")


def truth_of(world: World) -> Truth:
    """The world's own win probabilities and amounts."""

    def truth(
        leads: list[str], reps: list[str], at: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        known = set(world.ids.reps)
        sales = [i for i, rep in enumerate(reps) if rep in known]
        chance = np.zeros((len(leads), len(reps)))
        ids = np.array(leads, dtype=object)
        chance[:, sales] = true_win_probability(world, ids, np.array([reps[i] for i in sales], dtype=object), at)
        return chance, true_expected_amount(world, ids)

    return truth


def run(config: WorldConfig, weeks: int) -> Replay:
    """One replay of a world's last weeks."""
    world = generate(config)
    settings = Config(routing=Routing(objective="wins"))

    def desk_of(tables: Tables, moment: int) -> tuple[list[str], Desk]:
        del tables
        board = Board(world.tables, settings, moment, None)
        return list(board.rep_ids), board.desk

    return replay_weeks(world.tables, settings, world.as_of, weeks, 7, desk_of, truth_of(world))


def main() -> None:
    """The table and the shares covered."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--reps", type=int, default=20)
    parser.add_argument("--months", type=int, default=16)
    parser.add_argument("--weeks", type=int, default=6)
    args = parser.parse_args()
    held: list[bool] = []
    robust: list[bool] = []
    errors: list[float] = []
    print(
        f"{'world':10}{'load':>5}{'seed':>5}{'leads':>7}{'true gain':>11}{'by model':>10}{'90 % interval':>20}  robust"
    )
    for seed in range(args.first, args.first + args.seeds):
        structure, load = STRUCTURES[seed % len(STRUCTURES)], LOADS[seed % len(LOADS)]
        began = time.perf_counter()
        config = WorldConfig(
            n_reps=args.reps, n_months=args.months, seed=500 + seed, structure=structure, load=load,
            leads_per_rep_month=14.0,
        )  # fmt: skip
        found = run(config, args.weeks)
        ours, habit = found.result(OURS), found.result(HABIT)
        assert ours.true_wins is not None
        assert habit.true_wins is not None
        gain = ours.true_wins - habit.true_wins
        line = f"{structure:10}{load:5.1f}{seed:5d}{found.n_leads:7d}{gain:11.1f}"
        if found.model_gain is None:
            line += f"{'no claim':>10}{found.routing_mode:>20}"
        else:
            said = found.model_gain
            held.append(said.wins_low <= gain <= said.wins_high)
            half = (said.wins_high - said.wins_low) / 2
            errors.append((said.wins - gain) / half)
            line += f"{said.wins:10.1f}{said.wins_low:10.1f}{said.wins_high:10.1f}{'' if held[-1] else ' !'}"
        if ours.uplift is not None and ours.uplift_low is not None and ours.uplift_high is not None:
            robust.append(ours.uplift_low <= 100 * gain / found.n_leads <= ours.uplift_high)
            line += f"  {ours.uplift:.1f} ({ours.uplift_low:.1f} to {ours.uplift_high:.1f}) a hundred"
        else:
            line += f"  {ours.doubt} (n {ours.effective_n:.0f})"
        print(line + f"  {time.perf_counter() - began:.0f} s", flush=True)
    print(f"model interval covers {np.mean(held):.2f} of {len(held)} claims; error in half-widths: ", end="")
    print(f"mean {np.mean(errors):+.2f}, sd {np.std(errors):.2f} (0.61 where 90 % are covered exactly)")
    if robust:
        print(f"doubly robust interval covers {np.mean(robust):.2f} of {len(robust)} claims")


if __name__ == "__main__":
    sys.exit(main())
