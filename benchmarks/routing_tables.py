"""Measures routing as it is used: synthetic tables, `fairlead train`, then later leads one by one through the service.

`python -m benchmarks.routing_tables [--structures a,b] [--loads 0.8,1.0,1.6] [--seeds N] [--reps N] [--months N]`
trains on what was known before the last four weeks, routes the leads of those weeks in the order in which they came by
the service's own core and store, and prints the share of the attainable gain by the generator's truth: 0 = what the
desk did, 1 = an oracle that knows every truth and each whole week. All policies meet the same leads, rules and places;
the service's held leads may wait on into the next week, and so may all others'.

round_robin, bayes_quota   turns; a naive-Bayes score served in order of score to queues with quotas
lgbm_greedy, plain_fixed   a plain LightGBM on arrival; a plain penalised logistic with prices solved once a week
plain_prices               the same logistic under our policy: what is left between it and `replayed` is chances
service                    what the service decides by its default settings: it explores and keeps accounts with a rep
unbound                    the same without exploration and without keeping accounts, like all others here
replayed                   the same model's worths under the same policy without the service around it
knowable                   the true chance but for what no column shows of the lead and of the market, under our policy
truth                      the true probabilities under our policy
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.rival_chances import Predict, lightgbm_chances, plain_chances
from features import moments
from features.config import Config
from features.moments import DAY, WEEK
from features.outcomes import hand_overs
from features.synthetic import WorldConfig, generate, true_expected_amount, true_win_probability
from features.synthetic.world import World
from models.routing.baselines import FixedPrices, Greedy, Habit, QuotaQueues, RoundRobin
from models.routing.replay import RoutingPolicy, Stream, attained, hindsight, replay, total_value
from models.routing.repriced import Repriced
from models.routing.rules import eligible_matrix
from serving.board import Board
from serving.core import Core
from serving.home import Home
from serving.leads import Lead, leads_of
from serving.session import Session
from training.datasets import Datasets, build_datasets, pair_columns
from training.pipeline import TrainRequest, train_release
from training.replay_weeks import naive_bayes

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

STRUCTURES = ("mixed",)
LOADS = (0.8, 1.0, 1.6)
WEEKS, HISTORY_WEEKS = 4, 26
QUICK = ("--loads", "1.0", "--seeds", "1", "--reps", "20", "--months", "14")


@dataclass(frozen=True)
class TablesWorld:
    """Leads of the weeks to route and of those before, with their truth `p`, `value` (L, R); `start`: first to route.

    `knowable` (L, R): as `value`, but for the hidden part of lead and market. `board`: rules, reps and places as the
    service sees them; `logged` (L,) what the desk did.
    """

    world: World
    session: Session
    board: Board
    leads: pd.DataFrame
    stream: Stream
    start: int
    p: Floats
    value: Floats
    knowable: Floats
    logged: Integers
    trained: Datasets


def make_tables_world(config: WorldConfig, home: Path) -> TablesWorld:
    """World of `config`, trained up to its last four whole weeks by what `fairlead train` runs."""
    world = generate(config)
    zone, settings = world.tables.zone, Config()
    end = moments.start_of_week(world.as_of, zone)
    as_of = moments.start_of_week(end - WEEKS * WEEK + DAY, zone)
    session = Session(settings, world.tables, as_of, True, Home(home), "en", None, None)
    request = TrainRequest(as_of, trials=0, promote="gate", reason="", seed=1, now=world.as_of, folds=1)
    train_release(world.tables, settings, session.home.releases, session.home.mlruns, request)
    sets = build_datasets(world.tables, as_of, settings)
    known = world.tables.known(as_of)
    planned = world.tables.reps.drop_duplicates("rep_id").set_index("rep_id")["left_on"]
    reps = known.reps.assign(left_on=planned.reindex(known.reps["rep_id"]).to_numpy(dtype=np.int64))
    board = Board(known.with_frames(reps=reps), settings, as_of, None)
    leads = world.tables.leads
    at = leads["created_at"].to_numpy(dtype=np.int64)
    mine = (at >= as_of - HISTORY_WEEKS * WEEK) & (at < end) & (leads["sourced_by_rep_id"] == "").to_numpy()
    leads = leads.loc[mine].sort_values(["created_at", "lead_id"], kind="stable", ignore_index=True)
    stream = make_stream(leads, board, zone)
    ids = leads["lead_id"].to_numpy(dtype=object)
    sales = np.flatnonzero(np.isin(np.array(board.rep_ids, dtype=object), world.ids.reps.astype(object)))
    p, seen = np.zeros((2, len(leads), len(board.rep_ids)))
    selling = [board.rep_ids[i] for i in sales]
    p[:, sales] = true_win_probability(world, ids, selling, stream.arrived_at)
    seen[:, sales] = true_win_probability(world, ids, selling, stream.arrived_at, hidden=False)
    overs = hand_overs(world.tables).drop_duplicates("lead_id").set_index("lead_id")["rep_id"]
    logged = np.array([board.index.get(str(rep), -1) for rep in overs.reindex(leads["lead_id"])], dtype=np.int64)
    start = int(np.searchsorted(stream.arrived_at, as_of))
    amount = true_expected_amount(world, ids)[:, None]
    return TablesWorld(world, session, board, leads, stream, start, p, p * amount, seen * amount, logged, sets)


def make_stream(leads: pd.DataFrame, board: Board, zone: str) -> Stream:
    """The leads with the board's rules and places."""
    at = leads["created_at"].to_numpy(dtype=np.int64)
    monday = np.array([moments.start_of_week(int(moment), zone) for moment in at], dtype=np.int64)
    week = moments.weeks_of(at, zone)
    territories = leads["territory"].astype(str)
    eligible = np.vstack([eligible_matrix(board.desk, int(m), [t]) for m, t in zip(at, territories, strict=True)])
    weeks = np.unique(week)
    places = np.tile(board.capacity, (len(weeks), 1))
    return Stream(at, week, np.clip((at - monday) / WEEK, 0.0, 1.0), eligible, weeks, places)


def unbound(made: TablesWorld) -> Core:
    """A core on a copy of the store that neither explores nor keeps accounts with their rep."""
    config = made.session.config
    free = replace(config, routing=replace(config.routing, exploration=0.0, same_account=False))
    return replace(made.session, config=free).core(dry_run=True)


def route_through_service(made: TablesWorld, core: Core) -> tuple[Integers, int]:
    """(L,) rep of each lead by a core, -1 = still held when the weeks ended; and rules broken by it."""
    rows = made.leads.iloc[made.start :].reset_index(drop=True)
    zone = made.world.tables.zone
    leads: list[Lead] = leads_of(rows, [_plain(rows.iloc[i], zone) for i in range(len(rows))])
    stored = core.route(leads)
    choice = np.full(made.stream.n_leads, -1, dtype=np.int64)
    places: Counter[tuple[str, int]] = Counter()
    broken = 0
    for i, one in enumerate(stored, start=made.start):
        if one.owner_rep_id is None:
            continue
        choice[i] = made.board.index[one.owner_rep_id]
        places[moments.week_text(one.decided_at, zone), int(choice[i])] += 1
        broken += not eligible_matrix(made.board.desk, one.decided_at, [str(rows["territory"].iloc[i - made.start])])[
            0, choice[i]
        ]
    broken += sum(n > made.board.capacity[rep] for (_, rep), n in places.items())
    return choice, broken


def _plain(row: pd.Series, zone: str) -> dict[str, object]:
    """The lead's row as a caller would send it."""
    found: dict[str, object] = {}
    for name, value in row.items():
        if name in ("created_at", "known_at", "recorded_at"):
            if name == "created_at":
                found[name] = moments.iso(int(value), zone)
        elif not pd.isna(value) and value != "":
            found[str(name)] = value.item() if isinstance(value, np.generic) else value
    return found


def service_values(made: TablesWorld, core: Core) -> Floats:
    """(L, R) expected value of every lead by the release, as of the end of the data."""
    board = core.state().board
    plain = leads_of(made.leads, [{}] * len(made.leads))
    order = [board.index[rep] for rep in made.board.rep_ids]
    return np.array([found.expected[order] for found in board.values(plain, board.as_of)])


def rival_values(made: TablesWorld, core: Core, model: Predict) -> Floats:
    """(L, R) chance by a rival model times the amounts that ours expects."""
    board = core.state().board
    assert board.unit is not None
    as_of = made.session.as_of
    leads = made.trained.world.lead_features(made.leads, as_of)
    ids = np.array(made.board.rep_ids, dtype=object)
    reps = made.trained.world.rep_features(ids, as_of, as_of)
    reps.insert(0, "rep_id", pd.Series(list(ids), dtype="str"))
    reps = pd.concat([reps, made.trained.world.rep_categories(ids, as_of)], axis=1)
    return model(leads, reps) * np.asarray(board.unit.amount.expected_matrix(leads, reps))


def run_cell(config: WorldConfig, every: int, *, heads: bool) -> tuple[list[str], list[float]]:
    """Policy names and attained shares of one world; prints its row."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="routing-tables-") as home:
        made = make_tables_world(config, Path(home))
        trained = time.perf_counter()
        free = unbound(made)
        freely, broken_freely = route_through_service(made, free)
        free.close()
        core = made.session.core()
        choice, broken = route_through_service(made, core)
        routed = time.perf_counter()
        pairs, columns = made.trained.pairs, pair_columns(made.trained.spec)
        values = service_values(made, core)
        plain = rival_values(made, core, plain_chances(pairs, columns))

        def priced(worths: Floats, name: str) -> Repriced:
            return Repriced(made.stream, worths, np.random.default_rng(1), every=every, name=name)

        policies: list[RoutingPolicy] = [
            RoundRobin(made.stream),
            QuotaQueues(made.stream, naive_bayes(pairs, made.leads, columns), name="bayes_quota"),
            Greedy(made.stream, rival_values(made, core, lightgbm_chances(pairs, columns)), name="lgbm_greedy"),
            FixedPrices(made.stream, plain, np.random.default_rng(1), name="plain_fixed"),
            priced(plain, "plain_prices"), priced(values, "replayed"), priced(made.knowable, "knowable"),
            priced(made.value, "truth"),
        ]  # fmt: skip
        oracle = total_value(
            hindsight(made.stream, made.value, start=made.start).choice, made.value, start=made.start
        )  # fmt: skip
        totals = {policy.name: _total(made, policy) for policy in [Habit(made.stream, made.logged), *policies]}
        mode = core.state().board.unit
        core.close()
    habit = totals.pop("habit")
    totals["service"] = total_value(choice, made.value, start=made.start)
    totals["unbound"] = total_value(freely, made.value, start=made.start)
    names = [
        "round_robin", "bayes_quota", "lgbm_greedy", "plain_fixed", "plain_prices", "service", "unbound", "replayed",
        "knowable", "truth",
    ]  # fmt: skip
    shares = [attained(totals[name], habit, oracle) for name in names]
    if heads:
        print(f"{'world':10}{'load':>5}{'seed':>5}{'leads':>6}{'oracle':>8} " + "".join(f"{n:>13}" for n in names))
    held = float((choice[made.start :] < 0).mean())
    print(
        f"{config.structure:10}{config.load:5.1f}{config.seed:5d}{made.stream.n_leads - made.start:6d}"
        f"{oracle / habit:8.2f} " + "".join(f"{share:13.3f}" for share in shares)
        + f"  {'' if mode is None else mode.routing_mode}, held {held:.2f}, broken {broken + broken_freely}, "
        f"train {trained - began:.0f} s, route {routed - trained:.0f} s", flush=True,
    )  # fmt: skip
    return names, shares


def _total(made: TablesWorld, policy: RoutingPolicy) -> float:
    found = replay(made.stream, policy, start=made.start, carry=True)
    return total_value(found.choice, made.value, start=made.start)


def main() -> None:
    """A row a world, and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", default=",".join(STRUCTURES))
    parser.add_argument("--loads", default=",".join(map(str, LOADS)))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--reps", type=int, default=60)
    parser.add_argument("--months", type=int, default=30)
    parser.add_argument("--every", type=int, default=4, help="leads between two price solutions of the replays")
    args = parser.parse_args()
    names: list[str] = []
    rows: dict[float, list[list[float]]] = {}
    for structure in args.structures.split(","):
        for load in map(float, args.loads.split(",")):
            for seed in range(args.first, args.first + args.seeds):
                config = WorldConfig(
                    n_reps=args.reps, n_months=args.months, seed=seed, structure=structure, load=load,
                )  # fmt: skip
                names, shares = run_cell(config, args.every, heads=not names)
                rows.setdefault(load, []).append(shares)
    for load, found in rows.items():
        print(f"{'mean':10}{load:5.1f}{'':20}" + "".join(f"{share:13.3f}" for share in np.mean(found, axis=0)))


if __name__ == "__main__":
    main()
