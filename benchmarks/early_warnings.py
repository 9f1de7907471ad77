"""Measures early warnings on true slumps: caught, caught early, and how many rep-months carry an alert.

    python -m benchmarks.early_warnings [--worlds N] [--months N] [--reps N]

A slump is a stretch of 60 days or more in which a rep follows up less than half as often as he did. Warnings are asked
for on the first day and on day 15 of each month, everything as known then. Caught: an alert on that rep within 60 days
of the start. Early: one that comes at least 30 days before the end of the first month under 0.8 of target. Beside the
product stand its channels alone and plain rivals at the same share of rep-months: the chance of a miss, the raw ratio
of activities in 28 days to the 91 before, and chance. The last table is the reliability of the miss probabilities.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features import moments
from features.config import Config
from features.moments import DAY
from features.outcomes import contributions
from features.synthetic import WorldConfig, generate
from models.conversion.amount import AmountModel
from models.conversion.model import ConversionModel
from models.forecasting.blend import Choice
from models.forecasting.contribution import ContributionModel
from models.forecasting.funnel import FunnelForecaster
from models.warning_rules import MONEY_KINDS
from serving.alerts import AlertInputs, find_alerts
from training.datasets import Datasets, build_datasets, pair_columns
from training.rolling import quick_conversion
from training.snapshot import forecast_inputs, scored_pairs, targets_of
from training.unit import ModelUnit

QUICK = ("--worlds", "1", "--months", "3", "--reps", "24")
RULES = (
    {"slumps_per_rep_year": 0.6},
    {"slumps_per_rep_year": 0.6, "drift_sd": 0.45, "late_logging_days": 2.0, "hidden_quality_sd": 0.8},
    {"slumps_per_rep_year": 0.6, "holidays": "weekdays", "activity_scale": 0.6, "turnover": 0.4},
)
_CHOICE = Choice((("funnel", 1.0),), "beats_the_mean", 6, 1.0, 1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Look:
    """What one look at a world said: alerts as (rep, kind), rivals' scores by rep, chances of a miss in the month."""

    world: int
    at: int
    month: int
    reps: tuple[str, ...]
    alerts: frozenset[tuple[str, str]]
    scores: Mapping[str, Mapping[str, float]]
    misses: pd.DataFrame


@dataclass(frozen=True)
class Slump:
    """A true slump: its rep, start, and the end of the first month under 0.8 of target after it (None: none)."""

    world: int
    rep_id: str
    start: int
    missed_until: int | None


def look_at(seed: int, rules: Mapping[str, object], n_months: int, n_reps: int) -> tuple[list[Look], list[Slump]]:
    """Looks at the last months of a world, and the slumps that begin in them."""
    config = WorldConfig(n_reps=n_reps, n_months=12 + n_months, seed=seed, **rules)  # type: ignore[arg-type]
    world = generate(config)
    tables, zone = world.tables, world.tables.zone
    months = range(config.end_month - n_months + 1, config.end_month + 1)
    starts = [moments.month_start(month, zone) for month in months]
    sets = build_datasets(tables, starts[0], Config())
    like = ConversionModel.fit(sets.pairs, pair_columns(sets.spec), np.random.default_rng(0), starts[0])
    targets = targets_of(tables)
    truth = contributions(tables, config.end + 400 * DAY).set_index(["rep_id", "month"])["amount"]
    looks = []
    for at in sorted([*starts, *(start + 14 * DAY for start in starts)]):
        past = build_datasets(tables, at, Config(), sets.spec)
        amount = AmountModel.fit(past.pairs, like.columns)
        looks.append(_look(seed, at, past, quick_conversion(past, like), amount, targets, truth))
    return looks, list(_slumps(seed, world.truth["slumps"], starts[0], config.end, targets, truth, zone))


def _look(
    seed: int, at: int, past: Datasets, conversion: ConversionModel, amount: AmountModel, targets: pd.DataFrame,
    truth: pd.Series,
) -> Look:  # fmt: skip
    world, zone = past.world, past.world.tables.zone
    pairs = scored_pairs(world, conversion, amount)
    inputs = forecast_inputs(world, past.workdays, pairs)
    model = ContributionModel(FunnelForecaster.fit(inputs), None, _CHOICE)
    draws = model.draw(np.random.default_rng(7), inputs, None, 300)
    unit = ModelUnit(past.spec, conversion, amount, model, past.workdays, at)
    alerts = find_alerts(AlertInputs(world, unit, inputs, draws, targets_of(world.tables), pairs, 0.8, 24.0, 10))
    month = moments.month_of(at, zone)
    goal = targets.loc[targets["month"] == month].set_index("rep_id")["amount"]
    here = [rep for r, rep in enumerate(draws.rep_ids) if draws.present[r, 0]]
    place = {rep: r for r, rep in enumerate(draws.rep_ids)}
    p_miss = {rep: float((draws.samples[:, place[rep], 0] < 0.8 * goal[rep]).mean()) for rep in here if rep in goal}
    missed = {rep: float(truth.get((rep, month), 0.0) < 0.8 * goal[rep]) for rep in p_miss}
    acts = world.tables.activities
    ago = (at - acts["occurred_at"].to_numpy(dtype=np.int64)) / DAY
    now = acts.loc[ago <= 28, "rep_id"].value_counts()
    before = acts.loc[(ago > 28) & (ago <= 119), "rep_id"].value_counts()
    chance = np.random.default_rng(at % 2**32).random(len(here))
    scores = {
        "chance of a miss": {rep: p_miss.get(rep, 0.0) for rep in here},
        "raw activity ratio": {rep: -float(now.get(rep, 0)) / max(float(before.get(rep, 0)), 1.0) for rep in here},
        "at random": dict(zip(here, chance, strict=True)),
    }
    misses = pd.DataFrame({"p": pd.Series(p_miss), "missed": pd.Series(missed)})
    found = frozenset((item.rep_id, item.kind) for item in alerts)
    return Look(seed, at, month, tuple(here), found, scores, misses)


def _slumps(
    seed: int, listed: Iterable[Mapping[str, str]], first: int, end: int, targets: pd.DataFrame, truth: pd.Series,
    zone: str,
) -> Iterable[Slump]:  # fmt: skip
    goals = targets.set_index(["rep_id", "month"])["amount"]
    for slump in listed:
        start = moments.parse(slump["starts_on"], zone)
        if not first <= start < end - 60 * DAY or moments.parse(slump["ends_on"], zone) - start < 59 * DAY:
            continue
        rep, begin = slump["rep_id"], moments.month_of(start, zone)
        under = [
            month
            for month in range(begin, begin + 12)
            if (rep, month) in goals.index and truth.get((rep, month), 0.0) < 0.8 * goals[(rep, month)]
        ]
        yield Slump(seed, rep, start, moments.month_start(under[0] + 1, zone) if under else None)


def carried(looks: list[Look], alerted: Mapping[tuple[int, int], frozenset[str]]) -> float:
    """Share of rep-months that carry an alert at any look of the month."""
    present = {(k.world, rep, k.month) for k in looks for rep in k.reps}
    marked = {(k.world, rep, k.month) for k in looks for rep in alerted[(k.world, k.at)] & frozenset(k.reps)}
    return len(marked) / max(len(present), 1)


def judge(
    looks: list[Look], slumps: list[Slump], alerted: Mapping[tuple[int, int], frozenset[str]]
) -> tuple[float, ...]:
    """Share caught, share early, share of rep-months with an alert."""
    caught = early = 0
    for slump in slumps:
        hits = [k.at for k in looks if k.world == slump.world and slump.rep_id in alerted[(k.world, k.at)]]
        soon = [at for at in hits if slump.start <= at <= slump.start + 60 * DAY]
        caught += bool(soon)
        early += bool(soon) and slump.missed_until is not None and min(soon) <= slump.missed_until - 30 * DAY
    n = max(len(slumps), 1)
    return caught / n, early / n, carried(looks, alerted)


def at_same_share(looks: list[Look], name: str, share: float) -> dict[tuple[int, int], frozenset[str]]:
    """The rival's highest scores at each look, as many as bring the wanted share of rep-months."""
    best: dict[tuple[int, int], frozenset[str]] = {}
    for cut in np.arange(0.02, 0.6, 0.01):
        chosen = {}
        for k in looks:
            ranked = sorted(k.reps, key=lambda rep: (-k.scores[name][rep], rep))
            chosen[(k.world, k.at)] = frozenset(ranked[: round(cut * len(ranked))])
        if best and carried(looks, chosen) > share:
            break
        best = chosen
    return best


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--months", type=int, default=8)
    parser.add_argument("--reps", type=int, default=30)
    args = parser.parse_args()
    looks: list[Look] = []
    slumps: list[Slump] = []
    for k in range(args.worlds):
        more, true = look_at(9_000 + k, RULES[k % len(RULES)], args.months, args.reps)
        looks += more
        slumps += true
        print(f"world {k} done", file=sys.stderr, flush=True)
    ours = {(k.world, k.at): frozenset(rep for rep, _ in k.alerts) for k in looks}
    money = {(k.world, k.at): frozenset(rep for rep, kind in k.alerts if kind in MONEY_KINDS) for k in looks}
    drops = {(k.world, k.at): frozenset(rep for rep, kind in k.alerts if kind == "follow_up_drop") for k in looks}
    share = carried(looks, ours)
    rows = {"fairlead": ours, "  its money channel": money, "  its follow-up channel": drops}
    rows |= {
        name: at_same_share(looks, name, share) for name in ("chance of a miss", "raw activity ratio", "at random")
    }
    print(f"{len(slumps)} true slumps in {args.worlds} worlds; {sum(len(k.reps) for k in looks) // 2} rep-months")
    table = pd.DataFrame({name: judge(looks, slumps, alerted) for name, alerted in rows.items()}).T
    table.columns = ["caught", "early", "rep-months alerted"]
    print(table.round(3).to_string())
    by_world = {w: judge([k for k in looks if k.world == w], [s for s in slumps if s.world == w], ours)
                for w in sorted({k.world for k in looks})}  # fmt: skip
    print("by world:", {w: tuple(round(v, 2) for v in values) for w, values in by_world.items()})
    told = pd.concat([k.misses for k in looks])
    bins = told.groupby(pd.cut(told["p"], [-0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]), observed=True)
    print(f"\nmisses told and true (base rate {told['missed'].mean():.2f}):")
    print(bins.mean().assign(n=bins.size()).round(3).to_string())


if __name__ == "__main__":
    main()
