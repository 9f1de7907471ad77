"""Measures the whole chain, own estimates and own prices, beside rival models and policies on worlds of known truth.

`python -m benchmarks.routing_estimates [--structures a,b] [--loads 0.8,1.0] [--seeds N] [--first-seed N] [--every N]
[--leads N]` prints the share of the attainable gain, a row a cell: 0 = the desk's old habit, 1 = an oracle that knows
every truth, the hidden quality of each lead and the whole week. All policies meet the same leads, rules and places.

round_robin, least_busy, tiered, bayes_quota   what desks do without a model of reps
lgbm_greedy, lgbm_prices    a plain LightGBM, the rep's own number among its features, on arrival and with our prices
plain_fixed    one penalised logistic regression (rep, rep x industry, rep x source), prices solved once a week
ours           this project's conversion model and policy
by_rep         the same where no interaction of lead and rep may be used: what believing in one wins or costs
components     the same model told the true variance components: how far estimating them costs
knowable       the true chance but for the lead's hidden part: what no data about leads like these could beat
truth          the true probabilities under our policy
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
from scipy.special import expit

from benchmarks.estimate_worlds import COLUMNS, HIDDEN_SD, N_LEADS, STRUCTURES, EstimateWorld, Floats, make_world
from benchmarks.rival_chances import Predict, lightgbm_chances, plain_chances
from models.conversion.amount import AmountModel
from models.conversion.model import ConversionModel
from models.conversion.pooled import FitOptions
from models.conversion.predictor import mean_logit, train_pooled
from models.routing.baselines import FixedPrices, Greedy, Habit, LeastBusy, QuotaQueues, RoundRobin, TieredByTenure
from models.routing.naive_bayes import fit_naive_bayes
from models.routing.replay import RoutingPolicy, attained, hindsight, replay, total_value
from models.routing.repriced import Repriced
from models.routing.settings import PolicySettings

LOADS = (0.8, 1.0, 1.6)
_RECENT = 2_000
QUICK = ("--structures", "mixed", "--loads", "1.0", "--seeds", "1", "--every", "16")


def by_week(world: EstimateWorld, predict: Predict) -> Floats:
    """(L, R) of `predict(leads, reps)` over the weeks to route and the recent leads that prices draw from."""
    found = np.zeros_like(world.p)
    rows = np.arange(max(0, world.start - _RECENT), world.stream.n_leads)
    for week in np.unique(world.stream.week[rows]):
        mine = rows[world.stream.week[rows] == week]
        moment = max(world.as_of, int(world.stream.arrived_at[mine[0]]))
        found[mine] = predict(world.leads.iloc[mine].reset_index(drop=True), world.rep_frame(moment))
    return found


def component_chances(world: EstimateWorld) -> Floats:
    """Our pooled model told the true variances; kinds of effects that are not there are told so."""
    told = {f"rep x {name}": 1e-6 for name in (*COLUMNS.lead_numeric, *COLUMNS.lead_categorical)}
    model = train_pooled(world.pairs, COLUMNS, "pairs", world.as_of, FitOptions(variances={**told, **world.variances}))
    return by_week(world, lambda leads, reps: expit(mean_logit(*model.model.predict_matrix(leads, reps))))


def knowable_chances(world: EstimateWorld) -> Floats:
    """True chances averaged over the hidden part of the lead."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    log_odds = np.log(world.p / (1 - world.p)) - world.hidden[:, None]
    return np.asarray(
        sum(w * expit(log_odds + HIDDEN_SD * x) for x, w in zip(nodes, weights / weights.sum(), strict=True))
    )


def lead_scores(world: EstimateWorld) -> Floats:
    """(L,) naive Bayes on the lead's categories."""
    codes = np.column_stack([pd.factorize(world.leads[name], sort=True)[0] for name in COLUMNS.lead_categorical])
    done = world.pairs.loc[world.pairs["y"].notna()]
    rows = done["lead_id"].str[1:].astype(int).to_numpy()
    return fit_naive_bayes(codes[rows], done["y"].to_numpy() > 0.5).predict(codes)


def rivals(world: EstimateWorld, seed: int, every: int) -> tuple[list[RoutingPolicy], ConversionModel]:
    """All policies of a row, and our fitted model."""
    stream, score = world.stream, lead_scores(world)
    model = ConversionModel.fit(world.pairs, COLUMNS, np.random.default_rng(seed), world.as_of, 199)
    amounts = AmountModel.fit(world.pairs, COLUMNS)
    worth = by_week(world, amounts.expected_matrix)
    gbm = by_week(world, lightgbm_chances(world.pairs, COLUMNS)) * worth
    plain = by_week(world, plain_chances(world.pairs, COLUMNS)) * worth
    mine = by_week(world, lambda leads, reps: model.predict_matrix(leads, reps).win_probability)
    by_rep = mine
    if model.findings.routing_mode == "pairs":
        plainer = ConversionModel.fit(world.pairs, COLUMNS, np.random.default_rng(seed), world.as_of, 199, "reps")
        by_rep = by_week(world, lambda leads, reps: plainer.predict_matrix(leads, reps).win_probability)

    def priced(values: Floats, name: str) -> Repriced:
        return Repriced(stream, values, np.random.default_rng(seed), every=every, name=name)

    ours: RoutingPolicy = priced(mine * worth, "ours")
    if model.findings.routing_mode == "lead_only":
        level = np.repeat((mine * worth).mean(axis=1)[:, None], mine.shape[1], axis=1)
        fair = PolicySettings(mode="lead_only", exploration=0.0, holdout=0.0)
        ours = Repriced(stream, level, np.random.default_rng(seed), fair, every=every, name="ours")
    policies = [
        RoundRobin(stream), LeastBusy(stream), TieredByTenure(stream, world.tenure_years, score, name="tiered"),
        QuotaQueues(stream, score, name="bayes_quota"), Greedy(stream, gbm, name="lgbm_greedy"),
        priced(gbm, "lgbm_prices"),
        FixedPrices(stream, plain, np.random.default_rng(seed), name="plain_fixed"),
        ours, priced(by_rep * worth, "by_rep"), priced(component_chances(world) * worth, "components"),
        priced(knowable_chances(world) * (world.value / world.p), "knowable"), priced(world.value, "truth"),
    ]  # fmt: skip
    return policies, model


def run_cell(
    structure: str, load: float, seed: int, every: int, heads: bool, n_leads: int = N_LEADS
) -> tuple[list[str], list[float], float]:
    """Policy names, attained shares, and ours over the habit (a ratio); prints the cell's row."""
    world = make_world(structure, load, 1_000 * seed + 11, n_leads)
    oracle = total_value(hindsight(world.stream, world.value, start=world.start).choice, world.value, start=world.start)
    habit = _total(world, Habit(world.stream, world.logged))[0]
    began = time.perf_counter()
    policies, model = rivals(world, seed, every)
    shares, broken, ratio = [], 0, float("nan")
    for policy in policies:
        total, refused = _total(world, policy)
        broken += refused
        shares.append(attained(total, habit, oracle))
        ratio = total / habit if policy.name == "ours" else ratio
    names = [policy.name for policy in policies]
    if heads:
        print(f"{'world':16}{'load':>5}{'seed':>5}{'oracle':>8}{'ours':>7} " + "".join(f"{n:>13}" for n in names))
    found = model.findings
    print(
        f"{structure:16}{load:5.1f}{seed:5d}{oracle / habit:8.2f}{ratio:7.2f} " + "".join(f"{s:13.3f}" for s in shares)
        + f"  {found.routing_mode}, refused {broken}, ECE {found.ece:.3f} (limit {found.ece_limit:.3f}), "
        f"{time.perf_counter() - began:.0f} s", flush=True,
    )  # fmt: skip
    return names, shares, ratio


def _total(world: EstimateWorld, policy: RoutingPolicy) -> tuple[float, int]:
    found = replay(world.stream, policy, start=world.start)
    return total_value(found.choice, world.value, start=world.start), found.refused


def main() -> None:
    """The table, its means by load, and the worst cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", default=",".join(name for name in STRUCTURES if not STRUCTURES[name].same))
    parser.add_argument("--loads", default=",".join(map(str, LOADS)))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--first-seed", type=int, default=0, help="other seeds than the table's, for choices made by it"
    )
    parser.add_argument("--every", type=int, default=4, help="leads between two price solutions")
    parser.add_argument("--leads", type=int, default=N_LEADS, help="of the whole history: more make it longer")
    args = parser.parse_args()
    rows: dict[float, list[list[float]]] = {}
    names: list[str] = []
    for structure in args.structures.split(","):
        for load in map(float, args.loads.split(",")):
            for seed in range(args.first_seed, args.first_seed + args.seeds):
                names, shares, _ = run_cell(structure, load, seed, args.every, not names, args.leads)
                rows.setdefault(load, []).append(shares)
    for load, found in rows.items():
        print(f"{'mean':16}{load:5.1f}{'':21}" + "".join(f"{s:13.3f}" for s in np.mean(found, axis=0)))
    every = np.array([shares for found in rows.values() for shares in found])
    for label, line in (("mean", every.mean(axis=0)), ("sd", every.std(axis=0)), ("worst", every.min(axis=0))):
        print(f"{label:16}{'all':>5}{'':21}" + "".join(f"{s:13.3f}" for s in line))


if __name__ == "__main__":
    main()
