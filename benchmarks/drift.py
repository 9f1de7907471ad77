"""False alarms without drift, and half a standard deviation found within a month, beside two plainer tests.

    python -m benchmarks.drift [--worlds 20] [--reps 60] [--months 24] [--first-seed 1000]

Each world is synthetic, with hidden market months, hires and leavers, and no planted drift; every month and every rep
of it adds a part of his own to the leads' numbers (0.1 and 0.2 standard deviations), as real desks do. It is looked at
on the first of each of its last six months: inputs, prediction, and outcomes against what models learnt before those
months expected. Then a numeric column of the last 30 days' leads is moved by half of its standard
deviation. Apart from that, half of the wins of the leads judged in the last 90 days are taken away, and the amounts won
in the last 90 days cut by a third. `rows` is Welch's t-test on a lead's numbers, `ks` the test of Kolmogorov and
Smirnov, both with Holm's correction; they look at numbers only.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import ks_2samp, ttest_ind

from features import moments
from features.config import Config
from features.moments import DAY, NEVER
from features.sources import load_tables
from features.synthetic import WorldConfig, write_world
from models.conversion.amount import AmountModel
from models.conversion.model import ConversionModel
from training.datasets import Datasets, build_datasets, pair_columns
from training.drift import input_findings, raw_columns
from training.outcome_drift import target_days, target_findings
from training.shifts import DriftRules, holm, periods

Floats = npt.NDArray[np.float64]


def world_sets(n_reps: int, n_months: int, seed: int) -> Datasets:
    """Training sets of one world."""
    with tempfile.TemporaryDirectory() as folder:
        write_world(Path(folder), WorldConfig(n_reps=n_reps, n_months=n_months, seed=seed))
        tables = load_tables(Path(folder), Config(), None)
    return build_datasets(tables, tables.newest(), Config())


def grouped(sets: Datasets, rng: np.random.Generator) -> pd.DataFrame:
    """The pairs with a part of each month's and each rep's own in every raw number."""
    pairs = sets.pairs.copy()
    month = periods(pairs["as_of"].to_numpy(dtype=np.int64), sets.world.as_of, 10_000)
    rep = pd.factorize(pairs["rep_id"])[0]
    for name in raw_columns(sets.spec):
        sd = float(pairs[name].std())
        pairs[name] += 0.1 * sd * rng.normal(size=month.max() + 1)[month]
        pairs[name] += 0.2 * sd * rng.normal(size=rep.max() + 1)[rep]
    return pairs


def as_known(pairs: pd.DataFrame, as_of: int) -> pd.DataFrame:
    """The pairs of a moment, with what became of them by then."""
    known = pairs.loc[(pairs["as_of"] < as_of).to_numpy()]
    later = (known["resolved_at"] >= as_of).to_numpy()
    return known.assign(
        outcome=known["outcome"].where(~later, "open"),
        resolved_at=np.where(later, NEVER, known["resolved_at"].to_numpy(dtype=np.int64)),
        amount=known["amount"].where(~later),
        y=known["y"].where(~later),
    )


@dataclass(frozen=True)
class Champion:
    """Models as learnt at a moment."""

    conversion: ConversionModel
    amount: AmountModel

    @classmethod
    def learnt(cls, sets: Datasets, as_of: int, seed: int) -> Champion:
        """What a training at `as_of` would have."""
        known, columns = as_known(sets.pairs, as_of), pair_columns(sets.spec)
        rng = np.random.default_rng(seed)
        return cls(ConversionModel.fit(known, columns, rng, as_of, n_sims=5), AmountModel.fit(known, columns))

    def asked(self, pairs: pd.DataFrame) -> pd.DataFrame:
        """The pairs with what the models say of each."""
        p = self.conversion.predict(pairs).win_probability
        return pairs.assign(prediction=p, log_amount=self.amount.log_amount(pairs))


def target_alarms(pairs: pd.DataFrame, as_of: int, seed: int, champion: Champion) -> tuple[bool, bool]:
    """Whether half of the wins gone, and amounts cut by a third, are found in the newest judged periods."""
    rng = np.random.default_rng([seed, as_of // DAY])
    won = (pairs["outcome"] == "won").to_numpy()
    given, closed = (pairs[name].to_numpy(dtype=np.int64) for name in ("as_of", "resolved_at"))
    days = target_days(given[won], closed[won], as_of)
    span = 30 * DriftRules().target_periods
    newest = given > as_of - (days + span) * DAY
    gone = pairs.assign(outcome=pairs["outcome"].where(~(won & newest & (rng.random(len(won)) < 0.5)), "lost"))
    cheap = pairs.assign(amount=pairs["amount"] * np.where(closed > as_of - span * DAY, 0.67, 1.0))
    found = []
    for frame, name in ((gone, "won_over_expected"), (cheap, "log_amount_won")):
        looks = target_findings(frame, as_of, np.random.default_rng(seed), DriftRules(), champion.conversion.times)
        found.append(any(f.alarm for f in looks if f.name == name))
    return found[0], found[1]


def alarms(
    pairs: pd.DataFrame, sets: Datasets, as_of: int, column: str, seed: int, champion: Champion
) -> tuple[list[bool], list[bool]]:
    """By ours, by rows, by ks: whether anything alarms, and whether the column does."""
    known = champion.asked(as_known(pairs, as_of))
    spec, rules, rng = sets.spec, DriftRules(), np.random.default_rng(seed)
    found = [
        *input_findings(known, raw_columns(spec), spec.lead_categorical, as_of, rng, rules),
        *target_findings(known, as_of, rng, rules, champion.conversion.times),
    ]
    ours = {f.name for f in found if f.alarm}
    period = periods(known["as_of"].to_numpy(dtype=np.int64), as_of)
    by_row = {}
    for label in ("rows", "ks"):
        p = {}
        for name in raw_columns(spec):
            values = known[name].to_numpy(dtype=np.float64)
            new, old = values[(period == 0) & np.isfinite(values)], values[(period > 0) & np.isfinite(values)]
            if len(new) > 5 and values[np.isfinite(values)].std() > 0:
                p[name] = ks_2samp(new, old).pvalue if label == "ks" else ttest_ind(new, old, equal_var=False).pvalue
        adjusted = holm(np.array(list(p.values()), dtype=np.float64))
        by_row[label] = {name for name, value in zip(p, adjusted, strict=True) if value <= 0.05}
    sets_of = [ours, by_row["rows"], by_row["ks"]]
    return [bool(s) for s in sets_of], [column in s for s in sets_of]


def main() -> None:
    """A row a world: looks with a false alarm, and shifts found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--reps", type=int, default=60)
    parser.add_argument("--months", type=int, default=24)
    parser.add_argument("--first-seed", type=int, default=1000)
    args = parser.parse_args()
    print(f"{args.reps} reps, {args.months} months, six looks a world; ours | rows | ks")
    totals, targets = np.zeros((2, 3), dtype=np.int64), np.zeros(2, dtype=np.int64)
    looks = 0
    for seed in range(args.worlds):
        sets = world_sets(args.reps, args.months, args.first_seed + seed)
        zone, last = sets.world.tables.zone, moments.month_of(sets.world.as_of - 1, sets.world.tables.zone)
        column = max(raw_columns(sets.spec), key=lambda name: float(sets.pairs[name].nunique()))
        since = moments.month_start(last - 5, zone)
        champion = Champion.learnt(sets, since, seed)
        sets = replace(sets, pairs=grouped(sets, np.random.default_rng([seed, 5])))
        false, hits = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
        for back in range(6):
            as_of = moments.month_start(last - back + 1, zone)
            false += np.array(alarms(sets.pairs, sets, as_of, column, seed, champion)[0])
            new = periods(sets.pairs["as_of"].to_numpy(dtype=np.int64), as_of) == 0
            moved = sets.pairs[column] + np.where(new, 0.5 * float(sets.pairs[column].std()), 0.0)
            shifted = sets.pairs.assign(**{column: moved})
            hits += np.array(alarms(shifted, sets, as_of, column, seed, champion)[1])
            targets += np.array(target_alarms(champion.asked(as_known(sets.pairs, as_of)), as_of, seed, champion))
            looks += 1
        totals += np.vstack([false, hits])
        print(f"world {seed:3d}  {column:24}  false alarms {false} of 6   found {hits} of 6", flush=True)
    print(f"all of {looks}: false alarms {totals[0] / looks}   found {totals[1] / looks}")
    print(
        f"  half of the wins gone found {targets[0] / looks:.2f}, amounts a third lower found {targets[1] / looks:.2f}"
    )


if __name__ == "__main__":
    main()
