"""Measures routing: share of the attainable gain with the true probabilities given, and the solver's time.

`python -m benchmarks.routing [--weeks N] [--seeds N] [--solver-only]` prints two tables. 0 = the desk's old habit,
1 = an oracle that knows every truth and each whole week's leads. Values are true, volume is unknown to the policies.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.moments import DAY, WEEK
from models.routing.baselines import FixedPrices, Greedy, Habit, LeastBusy, QuotaQueues, RoundRobin, TieredByTenure
from models.routing.replay import RoutingPolicy, Stream, attained, hindsight, replay, total_value
from models.routing.repriced import Repriced
from models.routing.share import NewcomerShare, solve_shared
from models.routing.transport import Bounds, solve_transport

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
STRUCTURES = ("ability", "affinity", "mixed")
LOADS = (0.8, 1.0, 1.6)
QUICK = ("--solver-only",)
_DAY_SHARES = np.array([0.24, 0.22, 0.2, 0.18, 0.12, 0.03, 0.01])


@dataclass(frozen=True)
class RoutingWorld:
    """Leads of a small desk with known truth: `p` (L, R), `value` = p x amount, and what the desk did."""

    stream: Stream
    p: Floats
    value: Floats
    lead_score: Floats
    tenure_years: Floats
    logged: Integers


def make_world(
    structure: str, load: float, seed: int, *, weeks: int, n_reps: int = 60, history: int = 8
) -> RoutingWorld:
    """World of `weeks` weeks after `history` weeks of past, about `6 x load` leads a rep and week."""
    rng = np.random.default_rng(seed)
    places = rng.integers(3, 10, n_reps)
    mean = places.sum() * load
    counts = rng.poisson(mean * rng.gamma(25.0, 1 / 25.0, weeks + history))
    week = np.repeat(np.arange(counts.size), counts)
    day = rng.choice(7, week.size, p=_DAY_SHARES)
    at = (week * 7 + day) * DAY + (rng.beta(3, 3, week.size) * 10 + 8) / 24 * DAY
    order = np.argsort(at)
    week, day, at = week[order], day[order], at[order].astype(np.int64)
    p, tenure = _win_probability(structure, week.size, n_reps, rng)
    value = p * np.exp(rng.normal(0.0, 0.6, week.size))[:, None]
    territory, region = rng.integers(0, 6, week.size), rng.integers(0, 6, n_reps)
    eligible = (territory[:, None] == region[None, :]) | (region == 0)[None, :] | (rng.random(week.size) < 0.4)[:, None]
    stream = Stream(
        at,
        week,
        (at % WEEK) / WEEK,
        eligible,
        np.arange(counts.size),
        np.tile(places, (counts.size, 1)),
    )
    score = value.mean(axis=1)
    return RoutingWorld(stream, p, value, score, tenure, _habit(stream, score, tenure, rng))


def _win_probability(structure: str, n_leads: int, n_reps: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(L, R) truth and (R,) tenure: lead quality, tenure and ability of reps, affinity to industry and source."""
    tenure = rng.gamma(1.5, 1.5, n_reps)
    ability = {"ability": 0.5, "affinity": 0.15, "mixed": 0.3}[structure]
    match = {"ability": 0.1, "affinity": 0.6, "mixed": 0.35}[structure]
    industry, source = rng.integers(0, 8, n_leads), rng.integers(0, 5, n_leads)
    rep = rng.normal(0, ability, n_reps) + 0.35 * np.tanh(tenure - 1.0)
    pair = rng.normal(0, match, (8, n_reps))[industry] + rng.normal(0, match * 0.7, (5, n_reps))[source]
    logit = -2.3 + rng.normal(0, 0.9, n_leads)[:, None] + rep[None, :] + pair
    return 1.0 / (1.0 + np.exp(-logit)), tenure


def _habit(stream: Stream, score: Floats, tenure: Floats, rng: np.random.Generator) -> Integers:
    """(L,) the old desk: 30 % of the best leads to newcomers, the rest to anyone with room, else nobody."""
    logged = np.full(stream.n_leads, -1, dtype=np.int64)
    best = score >= np.quantile(score, 0.8)
    used, week = np.zeros(stream.n_reps, dtype=np.int64), -1
    for i in range(stream.n_leads):
        if stream.week[i] != week:
            used[:], week = 0, int(stream.week[i])
        who = stream.eligible[i] & (used < stream.capacity[week])
        young = who & (tenure < 1.0)
        if best[i] and young.any() and rng.random() < 0.3:
            who = young
        if who.any():
            logged[i] = rng.choice(np.flatnonzero(who))
            used[logged[i]] += 1
    return logged


def rivals(world: RoutingWorld, seed: int, every: int) -> list[RoutingPolicy]:
    """All policies of the table, on true values."""
    stream, value = world.stream, world.value
    return [
        RoundRobin(stream),
        LeastBusy(stream),
        TieredByTenure(stream, world.tenure_years, world.lead_score),
        QuotaQueues(stream, world.lead_score),
        Greedy(stream, value),
        FixedPrices(stream, value, np.random.default_rng(seed)),
        FixedPrices(stream, value, np.random.default_rng(seed), below="drop", name="fixed_drop"),
        Repriced(stream, value, np.random.default_rng(seed), every=every),
    ]


def gain_table(weeks: int, seeds: int, every: int) -> None:
    """Prints attained shares, a row a cell."""
    head: list[str] = []
    sums: dict[float, list[list[float]]] = {load: [] for load in LOADS}
    for structure in STRUCTURES:
        for load in LOADS:
            for seed in range(seeds):
                world = make_world(structure, load, 100 * seed + 7, weeks=weeks)
                start = int(np.searchsorted(world.stream.week, 8))
                oracle = total_value(hindsight(world.stream, world.value, start=start).choice, world.value, start=start)
                habit = _run(world, Habit(world.stream, world.logged), start)[0]
                row, took, refused = [], 0.0, 0
                policies = rivals(world, seed, every)
                for policy in policies:
                    began = time.perf_counter()
                    total, broken = _run(world, policy, start)
                    took, refused = time.perf_counter() - began, refused + broken
                    row.append(attained(total, habit, oracle))
                if not head:
                    head = [policy.name for policy in policies]
                    print(
                        f"{'world':10}{'load':>5}{'seed':>5}{'oracle/habit':>13} " + "".join(f"{h:>18}" for h in head)
                    )
                sums[load].append(row)
                cells = "".join(f"{share:18.3f}" for share in row)
                print(f"{structure:10}{load:5.1f}{seed:5d}{oracle / habit:13.2f} {cells}", end="")
                print(f"  refused {refused}, ours {took:.0f} s", flush=True)
    for load, rows in sums.items():
        print(f"{'mean':10}{load:5.1f}{'':18} " + "".join(f"{share:18.3f}" for share in np.mean(rows, axis=0)))


def _run(world: RoutingWorld, policy: RoutingPolicy, start: int) -> tuple[float, int]:
    found = replay(world.stream, policy, start=start)
    return total_value(found.choice, world.value, start=start), found.refused


def solver_table() -> None:
    """Prints time and proven gap of the batch solver, compilation apart."""
    rng = np.random.default_rng(1)
    solve_transport(rng.random((5, 3)), np.ones((5, 3), dtype=np.bool_), np.array([1, 1, 1]))
    heads = f"{'leads':>7}{'reps':>6}{'territories':>12}{'load':>6}{'bounds':>8}{'seconds':>9}{'gap':>10}{'GB':>6}"
    print(heads + f"{'with share':>12}{'reached':>9}")
    for n_leads, n_reps in ((1_000, 100), (10_000, 200), (10_000, 1_000)):
        for split in (False, True):
            for load in LOADS:
                for bounded in (False, True):
                    _time_solver(n_leads, n_reps, split, load, bounded, rng)


def _time_solver(n_leads: int, n_reps: int, split: bool, load: float, bounded: bool, rng: np.random.Generator) -> None:
    quality, skill = rng.beta(2, 8, n_leads) * 5, rng.normal(1, 0.2, n_reps)
    match = rng.normal(size=(n_leads, 3)) @ rng.normal(size=(3, n_reps)) * 0.1
    chance = np.clip(quality[:, None] * (skill[None, :] + match) / 5, 0.001, 0.9)
    values = np.exp(rng.normal(9, 0.8, n_leads))[:, None] * chance
    eligible = np.ones((n_leads, n_reps), dtype=np.bool_)
    if split:
        eligible = rng.integers(0, 20, n_leads)[:, None] == rng.integers(0, 20, n_reps)[None, :]
        eligible |= (rng.random(n_reps) < 0.1)[None, :]
    capacity = rng.multinomial(int(n_leads / load), np.full(n_reps, 1 / n_reps))
    high = values.max(axis=1) >= np.quantile(values.max(axis=1), 0.9)
    lower = np.where(rng.random(n_reps) < 0.15, 3, 0)
    bounds = Bounds(lower, np.full(n_reps, max(2, int(0.2 * n_leads / n_reps))), high) if bounded else None
    began = time.perf_counter()
    answer = solve_transport(values, eligible, capacity, bounds=bounds)
    took = time.perf_counter() - began
    newcomer = np.arange(n_reps) < 0.15 * n_reps
    mine, everybody = NewcomerShare(0.0, newcomer).given(answer.choice, values)
    wanted = NewcomerShare(1.2 * mine / everybody, newcomer)  # a fifth more than they would get
    began = time.perf_counter()
    shared = solve_shared(values, values, eligible, capacity, wanted, bounds=bounds)
    with_share = time.perf_counter() - began
    mine, everybody = wanted.given(shared.answer.choice, values)
    reached = mine / everybody / wanted.share
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{n_leads:7d}{n_reps:6d}{split!s:>12}{load:6.1f}{bounded!s:>8}{took:9.3f}{answer.gap:10.1e}{memory:6.2f}"
        f"{with_share:12.3f}{reached:9.3f}",
        flush=True,
    )


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, help="leads between two price solutions")
    parser.add_argument("--solver-only", action="store_true")
    args = parser.parse_args()
    solver_table()
    if not args.solver_only:
        gain_table(args.weeks, args.seeds, args.every)


if __name__ == "__main__":
    sys.exit(main())
