"""Measures contribution forecasts and miss probabilities against baselines and an oracle that knows the world's state.

    python -m benchmarks.forecast [--worlds a,b] [--months N] [--company-worlds N] [--draws N]
    python -m benchmarks.forecast --history rep_month.csv

Worlds differ in rules: hidden lead quality and late logging, no stages or activities, fast growth and turnover, small
desks, reps who do not differ, and two desks of 50 to 60 reps with two years of history. In each, the last months are
forecast on their first day and on day 15, with everything as known then: the models of that moment, and a choice,
calibration and company shock learnt from earlier origins only.
Skill = (loss of the mean of six months - loss) / (loss of that mean - loss of the oracle): 0 the mean, 1 the oracle.
Losses of a world are divided by its mean contribution before they are pooled; intervals are 90 %, over resampled
(world, month). The oracle sees the stages that the tables hold and knows what no table can: each lead's hidden quality
and each rep's true powers. The last table counts how often the company's total lies in its 80 % interval.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from features import moments
from features.config import Config
from features.moments import DAY
from features.outcomes import contributions
from features.synthetic import World, WorldConfig, generate, null_world, oracle_forecast
from features.tables import Tables
from models.conversion.amount import AmountModel
from models.conversion.model import ConversionModel
from models.forecasting import metrics
from models.forecasting.baselines import (
    closed_so_far,
    mean_rule,
    present,
    seasonal_naive_rule,
    shrunk_mean_rule,
)
from models.forecasting.contribution import METHODS
from models.forecasting.draws import QUANTILES, Draws
from models.forecasting.inputs import ForecastInputs
from training.backtest_forecast import BacktestSettings, Snapshot, backtest, score_draws
from training.datasets import build_datasets, pair_columns
from training.rolling import quick_conversion, snapshot_of
from training.snapshot import targets_of

QUICK = ("--worlds", "small", "--months", "2", "--company-worlds", "2", "--draws", "100")
WARM_UP = 5
_NO_SUCH_TABLES = ("activities", "stages", "absences", "trainings", "feedback")


@dataclass(frozen=True)
class Rules:
    """A world and the tables that its desk does not keep."""

    config: WorldConfig
    without: tuple[str, ...] = ()


WORLDS = {
    "plain": Rules(WorldConfig(n_reps=30, n_months=20, seed=401)),
    "hidden": Rules(
        WorldConfig(n_reps=30, n_months=20, seed=402, hidden_quality_sd=0.9, late_logging_days=3.0, structure="latent",
                    hidden_looks=0.2, holidays="weekdays"),
    ),
    "bare": Rules(
        WorldConfig(n_reps=26, n_months=18, seed=403, structure="additive", interaction_sd=0.0, market_sd=0.15),
        _NO_SUCH_TABLES,
    ),
    "growing": Rules(
        WorldConfig(n_reps=30, n_months=20, seed=404, turnover=0.45, growth=0.4, load=1.2, leads_per_rep_month=14.0,
                    structure="source", conversion_by_tenure=(0.12, 0.2, 0.28)),
        ("stages",),
    ),
    "small": Rules(
        WorldConfig(n_reps=14, n_months=15, seed=405, leads_per_rep_month=7.0, slumps_per_rep_year=0.6, drift_sd=0.5,
                    ability_sd=0.7, language="zh", zone="Asia/Shanghai"),
    ),
    "alike": Rules(null_world(24, 18, 406)),
    "usual": Rules(WorldConfig(n_reps=60, n_months=26, seed=407)),
    "sources": Rules(
        WorldConfig(n_reps=50, n_months=24, seed=408, structure="source", load=1.1, hidden_quality_sd=0.3,
                    late_logging_days=1.5, ability_sd=0.6),
    ),
}  # fmt: skip


def told(world: World, without: Sequence[str]) -> Tables:
    """The world's tables without those that the desk does not keep."""
    return world.tables.with_frames(**{name: world.tables[name].iloc[:0] for name in without})


def snapshots(tables: Tables, first: int) -> Snapshots:
    """Snapshots by moment; the mode of the win model is the one that `first` would have chosen."""
    sets = build_datasets(tables, first, Config())
    model = ConversionModel.fit(sets.pairs, pair_columns(sets.spec), np.random.default_rng(0), first)
    return Snapshots(tables, sets.spec, model)


@dataclass(frozen=True)
class Snapshots:
    """All that a moment may know, as training and service gather it."""

    tables: Tables
    spec: object
    like: ConversionModel

    def __call__(self, as_of: int) -> Snapshot:
        past = build_datasets(self.tables, as_of, Config(), self.spec)  # type: ignore[arg-type]
        model = quick_conversion(past, self.like)
        return snapshot_of(past, model, AmountModel.fit(past.pairs, self.like.columns))


def oracle_draws(world: World, inputs: ForecastInputs, n_draws: int, sees_stages: bool) -> Draws:
    """The oracle's samples of the month of as_of for the reps of the inputs, 0 for those it does not count as here."""
    seed = np.random.default_rng(inputs.as_of % 2**32)
    found = oracle_forecast(world, inputs.as_of, seed, 1, n_draws, sees_stages)
    place = pd.Index([str(rep) for rep in found.rep_ids]).get_indexer(pd.Index(inputs.rep_ids))
    samples = np.where((place >= 0)[None, :, None], found.samples[:, place], 0.0)
    teams = tuple(inputs.reps["team_id"].astype(str))
    here = present(inputs, found.months) & (place >= 0)[:, None]
    return Draws(
        inputs.rep_ids, teams, found.months, samples, closed_so_far(inputs, found.months), samples.mean(axis=0), here,
        "oracle",
    )  # fmt: skip


def score_world(name: str, rules: Rules, n_months: int, settings: BacktestSettings) -> pd.DataFrame:
    """Scores of every method in a world's last months: the backtest's table with `world` and `when`."""
    world = generate(rules.config)
    tables = told(world, rules.without)
    last = rules.config.end_month
    firsts = [moments.month_start(m, tables.zone) for m in range(last - n_months - WARM_UP + 1, last + 1)]
    asked = {"first day": firsts[WARM_UP:], "day 15": [at + 14 * DAY for at in firsts[WARM_UP:]]}
    gather = snapshots(tables, firsts[WARM_UP])
    kept: dict[int, ForecastInputs] = {}

    def snapshot(as_of: int) -> Snapshot:
        found = gather(as_of)
        kept[as_of] = found.inputs
        return found

    truth = contributions(tables, rules.config.end + 400 * DAY)[["rep_id", "month", "amount"]]
    goals, end, rng = targets_of(tables), rules.config.end, np.random.default_rng(1)
    known = backtest(snapshot, firsts, truth, end, rng, goals, settings).table
    parts = []
    for when, origins in asked.items():
        if when == "first day":
            mine = known.loc[known["origin"].isin(origins)]
        else:
            mine = backtest(snapshot, origins, truth, end, rng, goals, settings, history=known).table
        best = [
            score_draws(inputs, oracle_draws(world, inputs, settings.n_draws, "stages" not in rules.without), "oracle",
                        level, truth, goals, settings, rng)
            for inputs in (kept[at].canonical() for at in origins)
            for level in settings.levels
        ]  # fmt: skip
        both = pd.concat([mine.loc[mine["horizon"] == 0], *best], ignore_index=True)
        parts.append(both.assign(world=name, when=when))
    return pd.concat(parts, ignore_index=True)


def shared_cases(scores: pd.DataFrame) -> pd.DataFrame:
    """Rep-months that every method and the oracle forecast, money relative to the world's mean contribution."""
    reps = scores.loc[scores["level"] == "rep"]
    keys = ["world", "when", "rep_id", "month"]
    n = reps.groupby(keys)["method"].transform("nunique")
    reps = reps.loc[n == reps["method"].nunique()]
    size = reps.groupby("world")["y"].transform("mean")
    money = ["y", "mean", "target", *QUANTILES]
    return reps.assign(**{c: reps[c] / size for c in money})


def measures(cases: pd.DataFrame) -> dict[str, float]:
    """WAPE, pinball loss, coverage of the 80 % interval, bias, average precision of misses."""
    y, q = cases["y"].to_numpy(float), cases[list(QUANTILES)].to_numpy(float)
    aimed = cases.loc[np.isfinite(cases["target"].to_numpy(float))]
    missed = (aimed["y"] < 0.8 * aimed["target"]).to_numpy()
    return {
        "wape": metrics.wape(y, cases["mean"].to_numpy(float)),
        "pinball": float(metrics.pinball_loss(y, q).mean()),
        "cover80": float(metrics.covered(y, q[:, 0], q[:, -1]).mean()),
        "bias": metrics.bias(y, cases["mean"].to_numpy(float)),
        "miss_ap": metrics.average_precision(missed, aimed["p_miss"].to_numpy(float)),
    }


def skills(cases: pd.DataFrame) -> pd.DataFrame:
    """Measures by method with skill in WAPE, pinball and average precision."""
    table = pd.DataFrame({str(m): measures(part) for m, part in cases.groupby("method")}).T
    base, best = table.loc["mean_6"], table.loc["oracle"]
    for name, column in (("skill_wape", "wape"), ("skill_pinball", "pinball"), ("skill_ap", "miss_ap")):
        table[name] = (base[column] - table[column]) / (base[column] - best[column])
    return table


def report(scores: pd.DataFrame, n_boot: int = 200) -> None:
    """Prints the pooled table of each moment, the product's skill by world, and intervals over (world, month)."""
    cases = shared_cases(scores)
    for when, part in cases.groupby("when", sort=False):
        print(f"\n{when}: {part['world'].nunique()} worlds, {len(part) // part['method'].nunique()} rep-months")
        print(skills(part).round(3).to_string())
        clusters = list(part.groupby(["world", "month"]).indices.values())
        rng = np.random.default_rng(0)
        drawn = [
            skills(part.iloc[np.concatenate([clusters[i] for i in rng.integers(len(clusters), size=len(clusters))])])
            for _ in range(n_boot)
        ]
        for name in ("skill_wape", "skill_pinball", "skill_ap"):
            low, high = np.nanquantile([table.loc["fairlead", name] for table in drawn], [0.05, 0.95])
            print(f"  fairlead {name}: 90 % interval {low:.2f} to {high:.2f}")
        print("  by world:")
        rows = {str(w): skills(mine).loc["fairlead"] for w, mine in part.groupby("world", sort=False)}
        print(pd.DataFrame(rows).T.round(3).to_string())


def reliability(scores: pd.DataFrame) -> None:
    """Prints how often misses happened against the probabilities told."""
    mine = scores.loc[(scores["level"] == "rep") & (scores["method"] == "fairlead") & scores["p_miss"].notna()]
    missed = (mine["y"] < 0.8 * mine["target"]).astype(float)
    bins = pd.cut(mine["p_miss"], [-0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
    table = pd.DataFrame({"told": mine["p_miss"], "missed": missed}).groupby(bins, observed=True)
    print(f"\nmisses told and true (base rate {missed.mean():.2f}):")
    print(table.mean().assign(n=table.size()).round(3).to_string())


def company(n_worlds: int, settings: BacktestSettings) -> None:
    """Prints the coverage of the company's 80 % interval over many small worlds, four months each."""
    lean = replace(settings, methods=("funnel", "mean_6"), levels=("rep", "company"))
    rows = []
    for seed in range(n_worlds):
        config = WorldConfig(
            n_reps=6 + seed % 5, n_months=13, seed=7_000 + seed, market_sd=(0.05, 0.1, 0.2)[seed % 3],
            leads_per_rep_month=(6.0, 10.0, 14.0)[seed % 3], late_logging_days=2.0 * (seed % 2),
        )  # fmt: skip
        rows.append(score_world(f"w{seed}", Rules(config, (("stages",), ())[seed % 2]), 4, lean))
    scores = pd.concat(rows, ignore_index=True)
    mine = scores.loc[scores["level"] == "company"]
    print(f"\ncompany's 80 % interval over {n_worlds} small worlds, {n_worlds * 4} company-months:")
    held = metrics.covered(mine["y"].to_numpy(float), mine["p10"].to_numpy(float), mine["p90"].to_numpy(float))
    print(mine.assign(held=held).groupby(["when", "method"])["held"].mean().unstack().round(3).to_string())


def labels_without_meaning(file: str) -> None:
    """Prints WAPE of rules of history on a table of rep, month and sales, and how far reps' forecasts lie apart.

    One month ahead, the last 24 months in turn; `apart` is the sd of reps' forecasts over their mean.
    """
    wide = pd.read_csv(file).pivot_table(index="Sales Rep", columns="month", values="sales", aggfunc="sum")
    past = wide.to_numpy(dtype=np.float64)
    rules = {"mean of 3": mean_rule(3), "mean of 6": mean_rule(6), "mean of 12": mean_rule(12),
             "seasonal naive": seasonal_naive_rule, "shrunk mean": shrunk_mean_rule}  # fmt: skip
    rows = {}
    for name, rule in rules.items():
        ahead = np.column_stack([rule(past[:, :m], 1) for m in range(past.shape[1] - 24, past.shape[1])])
        apart = float((ahead.std(axis=0) / ahead.mean(axis=0)).mean())
        rows[name] = {"wape": metrics.wape(past[:, -24:].ravel(), ahead.ravel()), "apart": apart}
    print(f"\n{file}: {past.shape[0]} reps, {past.shape[1]} months")
    print(pd.DataFrame(rows).T.round(4).to_string())


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--months", type=int, default=4)
    parser.add_argument("--company-worlds", type=int, default=16)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--history", help="only this: a CSV of Sales Rep, month, sales whose reps are mere labels")
    args = parser.parse_args()
    if args.history:
        labels_without_meaning(args.history)
        return
    settings = BacktestSettings(n_draws=args.draws, methods=METHODS)
    tables = []
    for name in args.worlds.split(","):
        tables.append(score_world(name, WORLDS[name], args.months, settings))
        print(f"{name} done", file=sys.stderr, flush=True)
    scores = pd.concat(tables, ignore_index=True)
    report(scores)
    reliability(scores)
    if args.company_worlds:
        company(args.company_worlds, settings)


if __name__ == "__main__":
    main()
