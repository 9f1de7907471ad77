"""Measures the whole chain, own estimates and own prices, beside rival models and policies on worlds of known truth.

`python -m benchmarks.routing_estimates [--structures a,b] [--loads 0.8,1.0] [--seeds N] [--every N]` prints the share
of the attainable gain, a row a cell: 0 = the desk's old habit, 1 = an oracle that knows every truth, the hidden quality
of each lead and the whole week. All policies meet the same leads, rules and places.

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
from collections.abc import Callable

import lightgbm as lgb
import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from benchmarks.estimate_worlds import COLUMNS, HIDDEN_SD, N_REPS, STRUCTURES, EstimateWorld, Floats, make_world
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
_NUMBERS = (*COLUMNS.lead_numeric, *COLUMNS.rep_numeric)


def by_week(world: EstimateWorld, predict: Callable[[pd.DataFrame, pd.DataFrame], Floats]) -> Floats:
    """(L, R) of `predict(leads, reps)` over the weeks to route and the recent leads that prices draw from."""
    found = np.zeros_like(world.p)
    rows = np.arange(max(0, world.start - _RECENT), world.stream.n_leads)
    for week in np.unique(world.stream.week[rows]):
        mine = rows[world.stream.week[rows] == week]
        moment = max(world.as_of, int(world.stream.arrived_at[mine[0]]))
        found[mine] = predict(world.leads.iloc[mine].reset_index(drop=True), world.rep_frame(moment))
    return found


def crossed(leads: pd.DataFrame, reps: pd.DataFrame) -> pd.DataFrame:
    """Every lead with every rep, one below the other."""
    n_leads, n_reps = len(leads), len(reps)
    left = leads.iloc[np.repeat(np.arange(n_leads), n_reps)].reset_index(drop=True)
    return pd.concat([left, reps.iloc[np.tile(np.arange(n_reps), n_leads)].reset_index(drop=True)], axis=1)


def lightgbm_chances(world: EstimateWorld) -> Floats:
    """A plain LightGBM on resolved leads."""
    levels = {name: sorted(world.leads[name].unique()) for name in COLUMNS.lead_categorical}

    def features(frame: pd.DataFrame) -> Floats:
        codes = [pd.Index(levels[name]).get_indexer(pd.Index(frame[name])) for name in COLUMNS.lead_categorical]
        rep = frame["rep_id"].str[1:].astype(int)
        return np.column_stack([*codes, rep, frame[list(_NUMBERS)].to_numpy(dtype=np.float64)]).astype(np.float64)

    done = world.pairs.loc[world.pairs["y"].notna()]
    data = lgb.Dataset(features(done), done["y"].to_numpy(), categorical_feature=[0, 1, 2, 3])
    options = {"objective": "binary", "learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 40}
    model = lgb.train({**options, "num_threads": 1, "verbosity": -1, "seed": 1}, data, 150)

    def predict(leads: pd.DataFrame, reps: pd.DataFrame) -> Floats:
        return np.asarray(model.predict(features(crossed(leads, reps)))).reshape(len(leads), len(reps))

    return by_week(world, predict)


def plain_chances(world: EstimateWorld) -> Floats:
    """A penalised logistic regression on resolved leads; its one penalty chosen on the latest fifth."""

    def features(frame: pd.DataFrame) -> Floats:
        rep = frame["rep_id"].str[1:].astype(int).to_numpy()
        years = frame["rep_tenure_years"].to_numpy()
        numbers = frame[[n for n in _NUMBERS if n not in ("rep_tenure_years", "lead_employees")]].to_numpy()
        numbers = (numbers - means) / sds
        parts = [numbers, np.log(frame["lead_employees"].to_numpy())[:, None] - 4.0]
        parts += [np.minimum(years, knot)[:, None] for knot in (0.5, 1.0, 2.0, 4.0)]
        eye = np.eye(N_REPS)[rep]
        for name in COLUMNS.lead_categorical:
            code = pd.Index(levels[name]).get_indexer(pd.Index(frame[name]))
            parts.append(np.eye(len(levels[name]))[code])
            if name in ("industry", "source"):
                parts.append((eye[:, :, None] * np.eye(len(levels[name]))[code][:, None, :]).reshape(len(frame), -1))
        return np.hstack([*parts, eye])

    levels = {name: sorted(world.leads[name].unique()) for name in COLUMNS.lead_categorical}
    done = world.pairs.loc[world.pairs["y"].notna()]
    used = [n for n in _NUMBERS if n not in ("rep_tenure_years", "lead_employees")]
    means, sds = done[used].to_numpy().mean(axis=0), done[used].to_numpy().std(axis=0)
    x, y = features(done), done["y"].to_numpy()
    cut = int(0.8 * len(y))
    losses = {}
    for strength in (0.03, 0.1, 0.3, 1.0):
        early = LogisticRegression(C=strength, max_iter=300).fit(x[:cut], y[:cut])
        chance = early.predict_proba(x[cut:])[:, 1]
        losses[strength] = -float(np.mean(y[cut:] * np.log(chance) + (1 - y[cut:]) * np.log(1 - chance)))
    model = LogisticRegression(C=min(losses, key=lambda at: losses[at]), max_iter=300).fit(x, y)

    def predict(leads: pd.DataFrame, reps: pd.DataFrame) -> Floats:
        chance = [model.predict_proba(features(crossed(leads.iloc[[i]], reps)))[:, 1] for i in range(len(leads))]
        return np.array(chance)

    return by_week(world, predict)


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
    gbm = lightgbm_chances(world) * worth
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
        FixedPrices(stream, plain_chances(world) * worth, np.random.default_rng(seed), name="plain_fixed"),
        ours, priced(by_rep * worth, "by_rep"), priced(component_chances(world) * worth, "components"),
        priced(knowable_chances(world) * (world.value / world.p), "knowable"), priced(world.value, "truth"),
    ]  # fmt: skip
    return policies, model


def run_cell(structure: str, load: float, seed: int, every: int, heads: bool) -> tuple[list[str], list[float], float]:
    """Policy names, attained shares, and ours over the habit (a ratio); prints the cell's row."""
    world = make_world(structure, load, 1_000 * seed + 11)
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
    parser.add_argument("--every", type=int, default=4, help="leads between two price solutions")
    args = parser.parse_args()
    rows: dict[float, list[list[float]]] = {}
    names: list[str] = []
    for structure in args.structures.split(","):
        for load in map(float, args.loads.split(",")):
            for seed in range(args.seeds):
                names, shares, _ = run_cell(structure, load, seed, args.every, heads=not names)
                rows.setdefault(load, []).append(shares)
    for load, found in rows.items():
        print(f"{'mean':16}{load:5.1f}{'':21}" + "".join(f"{s:13.3f}" for s in np.mean(found, axis=0)))
    every = np.array([shares for found in rows.values() for shares in found])
    for label, line in (("mean", every.mean(axis=0)), ("sd", every.std(axis=0)), ("worst", every.min(axis=0))):
        print(f"{label:16}{'all':>5}{'':21}" + "".join(f"{s:13.3f}" for s in line))


if __name__ == "__main__":
    main()
