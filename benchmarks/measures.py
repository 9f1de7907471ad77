"""Whether a measure worked, and pilots by lot, against known truth, beside the bare before-after and fixed effects.

    OMP_NUM_THREADS=1 python -m benchmarks.measures panels [--seeds 40]
    OMP_NUM_THREADS=1 python -m benchmarks.measures tables [--seeds 20]

`panels`: rep-months made of numbers; a market that grows, the weak touched first, rounds whose effect grows with time;
faults: those chosen after bad months (dip), those on the rise anyway (slope), everybody at once. `tables`: whole
synthetic organisations; half of the reps get a measure in two rounds that raises their deals by half or does nothing,
the generator's own courses, and pilots drawn by lot on what was known three months earlier. Printed: mean truth and
estimate, mean relative error, share of 90 % intervals that hold the truth (inside) and that leave 0 out (real), and
of worlds withheld.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from features import moments
from features.synthetic import World, WorldConfig, generate
from features.synthetic.config import SKILLS
from features.tables import Tables
from features.workdays import Workdays
from models.drivers.clustered import Interval
from models.drivers.did import difference_in_differences
from models.drivers.panel_effects import EffectError, fixed_effects
from models.drivers.pilot import power_for
from training.measure_frames import Touched, courses, effect_of, next_month, rep_months
from training.pilots import design, result
from training.snapshot import ZonedWorkdays

QUICK = ("panels", "--seeds", "5")
FAULTS = ("", "null", "dip", "slope", "at_once")
DAYS = ZonedWorkdays(Workdays("CN"), "UTC")
RAISE = 1.5
PILOT_MONTHS = 3
DRAWS = 5


@dataclass
class Tally:
    """What a method said over the seeds."""

    truth: list[float] = field(default_factory=list)
    said: list[float] = field(default_factory=list)
    inside: list[bool] = field(default_factory=list)
    real: list[bool] = field(default_factory=list)
    withheld: int = 0

    def add(self, truth: float, found: Interval | float | None) -> None:
        """One world's answer: an interval, a bare number, or nothing."""
        if found is None or (isinstance(found, float) and not np.isfinite(found)):
            self.withheld += 1
            return
        self.truth.append(truth)
        if isinstance(found, Interval):
            self.said.append(found.estimate)
            self.inside.append(found.ci_low <= truth <= found.ci_high)
            self.real.append(found.ci_low > 0 or found.ci_high < 0)
        else:
            self.said.append(found)

    def row(self) -> str:
        """The tally as a line."""
        n = len(self.said)
        if not n:
            return f"{'':>10}{'':>10}{'':>8}{'':>8}{'':>8}{1.0:>9.0%}"
        truth, said = np.array(self.truth), np.array(self.said)
        error = f"{np.mean(np.abs(said - truth)) / abs(truth.mean()):8.2f}" if truth.any() else f"{'':>8}"
        inside = f"{np.mean(self.inside):8.2f}" if self.inside else f"{'':>8}"
        real = f"{np.mean(self.real):8.2f}" if self.real else f"{'':>8}"
        return f"{truth.mean():10.3g}{said.mean():10.3g}{error}{inside}{real}{self.withheld / (n + self.withheld):9.0%}"


def panel_world(seed: int, fault: str, reps: int = 60, months: int = 24) -> tuple[np.ndarray, np.ndarray, float]:
    """Outcome (reps, months), start of each rep (NaN: never), and the true mean effect over six months."""
    rng = np.random.default_rng(seed)
    ability = rng.normal(0, 1.5, reps)
    # The weak are likelier to be touched, and sooner.
    rank = np.argsort(np.argsort(ability + rng.normal(0, 1.0, reps)))
    starts = np.where(rank < reps // 2, 10.0 + 3 * (rank // (reps // 6)), np.nan)
    if fault == "at_once":
        starts = np.full(reps, 12.0)
    market = np.cumsum(rng.normal(0.15, 0.3, months))
    noise = rng.normal(0, 1, (reps, months))
    noise[:, 1:] += 0.3 * noise[:, :-1].copy()
    y = ability[:, None] + market[None, :] + noise
    if fault == "dip":
        for rep in range(reps):
            low = noise[rep, 8:16] + noise[rep, 7:15]
            starts[rep] = 9.0 + np.argmin(low) if low.min() < -2.2 else np.nan
    gain = 0.0 if fault == "null" else 1.0
    for rep in np.flatnonzero(np.isfinite(starts)):
        since = np.arange(months) - starts[rep] + 1
        y[rep] += gain * np.where(since > 0, 0.5 + 0.15 * since, 0.0)
        if fault == "slope":
            y[rep] += 0.15 * np.arange(months)
    return y, starts, gain * (0.5 + 0.15 * 3.5)


def run_panels(seeds: int) -> dict[tuple[str, str], Tally]:
    """Every fault and method."""
    found: dict[tuple[str, str], Tally] = defaultdict(Tally)
    for fault in FAULTS:
        for seed in range(seeds):
            y, starts, truth = panel_world(seed, fault)
            unit, time = np.repeat(np.arange(len(y)), y.shape[1]), np.tile(np.arange(y.shape[1]), len(y))
            start = np.repeat(starts, y.shape[1])
            ours = difference_in_differences(unit, time, start, y.ravel())
            name = fault or "sound"
            found[name, "ours"].add(truth, ours.interval)
            found[name, "bare before-after"].add(truth, ours.before_after)
            on = np.where(np.isfinite(start), time >= start, False).astype(float)
            try:
                found[name, "two-way fixed effects"].add(truth, fixed_effects(unit, time, on, y.ravel()).interval)
            except EffectError:
                found[name, "two-way fixed effects"].add(truth, None)
    return found


def raised(tables: Tables, touched: Touched, factor: float) -> Tables:
    """The tables with won amounts of touched reps multiplied from their start on."""
    deals = tables.deals
    months = moments.months_of(deals["closed_at"].to_numpy(dtype=np.int64), tables.zone)
    start = deals["rep_id"].map(dict(touched.starts)).to_numpy(dtype=np.float64)
    on = np.isfinite(start) & (months >= start)
    amount = deals["amount"].to_numpy(dtype=np.int64)
    return tables.with_frames(deals=deals.assign(amount=np.where(on, (amount * factor).astype(np.int64), amount)))


def invented(frame: pd.DataFrame, rng: np.random.Generator) -> Touched:
    """Half of the reps, chosen by lot, in two rounds."""
    reps = sorted(set(frame["rep_id"]))
    chosen = rng.permutation(reps)[: len(reps) // 2]
    last = int(frame["month"].max())
    return Touched({rep: last - (8 if k % 2 else 5) for k, rep in enumerate(chosen)})


def true_gain(before: pd.DataFrame, after: pd.DataFrame, touched: Touched) -> float:
    """Mean money that a touched rep gained in his first six months."""
    start = before["rep_id"].map(dict(touched.starts)).to_numpy(dtype=np.float64)
    since = before["month"].to_numpy() - start
    inside = (since >= 0) & (since < 6)
    return float((after["contribution"] - before["contribution"]).to_numpy()[inside].mean())


def course_gain(world: World, name: str, touched: Touched) -> float:
    """Money a month that a course brings those who completed it, from their leads of the six months after the ramp.

    Those sent to it are weaker than the desk, so it brings them less than the desk's mean in truth.json.
    """
    spells, skill = world.history.spells, SKILLS.index(name.removeprefix("training:"))
    effect = world.config.effects.training[skill]
    starts = np.array([touched.starts.get(str(rep), np.inf) for rep in world.ids.reps], dtype=float)
    month = world.config.first_month + world.physics.calendar.month[np.floor(spells.assigned).astype(int)]
    since = month - starts[spells.rep]
    mine = (since >= 0) & (since < 6)
    logit = spells.logit[mine]
    change = 1 / (1 + np.exp(-logit)) - 1 / (1 + np.exp(effect - logit))
    deals = world.tables.deals
    won = deals.loc[(deals["status"] == "won").to_numpy()].sort_values("closed_at", kind="stable")
    repeat = float(won["amount"].sum()) / float(won.drop_duplicates("lead_id")["amount"].sum())
    money = repeat * float(change @ world.physics.leads.expected_amount[spells.lead[mine]])
    there = len(np.unique(np.column_stack([spells.rep, month])[mine], axis=0))
    return money / max(there, 1)


def run_tables(seeds: int) -> Iterator[tuple[dict[tuple[str, str], Tally], str]]:
    """Whole organisations."""
    found: dict[tuple[str, str], Tally] = defaultdict(Tally)
    planned, hits = [], []
    for seed in range(seeds):
        world = generate(WorldConfig(n_reps=60, n_months=24, seed=500 + seed))
        tables, as_of, rng = world.tables, world.tables.newest(), np.random.default_rng(seed)
        frame = rep_months(tables, as_of, DAYS)
        touched = invented(frame, rng)
        for name, factor in (("measure, half more", RAISE), ("measure, nothing", 1.0)):
            rich = rep_months(raised(tables, touched, factor), as_of, DAYS)
            effect = effect_of(rich, touched)
            truth = true_gain(frame, rich, touched)
            found[name, "ours"].add(truth, effect.interval)
            found[name, "bare before-after"].add(truth, effect.before_after)
        learnt = courses(tables)
        for name, one in learnt.items():
            effect = effect_of(frame, one, [other for key, other in learnt.items() if key != name])
            truth = course_gain(world, name, one)
            label = "course, placebo" if truth == 0 else "courses (four)"
            found[label, "ours"].add(truth, effect.interval)
            found[label, "bare before-after"].add(truth, effect.before_after)
        _pilot(tables, frame, seed, found, planned, hits)
    said = f"pilots: found {np.mean(hits):.0%}, planned for {np.mean(planned):.0%} of them"
    yield found, said


def _pilot(
    tables: Tables,
    frame: pd.DataFrame,
    seed: int,
    found: dict[tuple[str, str], Tally],
    planned: list[float],
    hits: list[bool],
) -> None:
    """A pilot drawn three months before the end, whose first arm then earns half a mean month more; some draws each."""
    then = moments.month_start(int(frame["month"].max()) - PILOT_MONTHS + 1)
    known = tables.known(then)
    for draw in range(DRAWS):
        plan = design(known, then, rep_months(known, then, DAYS), "new", 100 * seed + draw)
        first = dict(zip(plan.ids, plan.first, strict=True))
        start = next_month(then, "UTC")
        gain = plan.history.mean / 2
        on = frame["rep_id"].map(first).fillna(False).to_numpy(dtype=bool) & (frame["month"] >= start).to_numpy()
        rich = frame.assign(contribution=frame["contribution"] + np.where(on, gain, 0.0))
        for name, read, truth in (("pilot, half more", rich, gain), ("pilot, nothing", frame, 0.0)):
            arms = result(read, first, start, PILOT_MONTHS).arms
            found[name, "ours"].add(truth, arms.interval if arms.balanced else None)
            if truth:
                hits.append(arms.interval.ci_low > 0)
                later = len(plan.ids) - plan.n_first
                planned.append(power_for(truth, plan.history, plan.n_first, later, 6, PILOT_MONTHS))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("panels", "tables"))
    parser.add_argument("--seeds", type=int, default=20)
    asked = parser.parse_args()
    found, said = (run_panels(asked.seeds), "") if asked.what == "panels" else next(run_tables(asked.seeds))
    print(
        f"{'world':<22}{'method':<24}{'truth':>10}{'estimate':>10}{'error':>8}{'inside':>8}{'real':>8}{'withheld':>9}"
    )
    for (world, method), tally in found.items():
        print(f"{world:<22}{method:<24}{tally.row()}")
    if said:
        print(said)


if __name__ == "__main__":
    main()
