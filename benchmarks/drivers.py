"""Effects of levers against known truth, over many seeds, beside the methods that others use, in one run.

    OMP_NUM_THREADS=1 python -m benchmarks.drivers panels [--seeds 200] [--first-seed 0]
    OMP_NUM_THREADS=1 python -m benchmarks.drivers leads [--seeds 20]
    OMP_NUM_THREADS=1 python -m benchmarks.drivers tables [--seeds 20] [--world strong]

`panels`: rep-month panels made of numbers; able reps follow up more, weak ones are trained first. `leads`: lead by
lead, won leads close early, reps chase leads they like. `tables`: whole synthetic organisations through the feature
code. Printed for each method: mean truth and estimate, mean relative error, share of 90 % intervals that hold the
truth (inside) and that leave 0 out (real), and of worlds withheld; beside the errors of whole organisations stand those
of estimators that know more than any table shows (`information_bounds`). An empty cell: the method has no interval.
The rivals cost most and are far from the truth, so they run on the first NAIVE_SEEDS seeds only; `n` says on how many.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import KFold, cross_val_predict

from features.config import Config
from features.synthetic import Effects, World, WorldConfig, generate, null_effects
from features.synthetic.config import SKILLS
from models.conversion.amount import AmountModel
from models.conversion.calibration import Calibrator
from models.conversion.model import ConversionModel
from models.conversion.predictor import train_pooled
from models.drivers.clustered import Interval, codes_of, coefficient_interval
from models.drivers.effects import contribution_effects, effect_rows, win_effects
from models.drivers.habit import WINDOW_DAYS, concurrent_habit
from models.drivers.lead_effects import landmark_frequency
from models.drivers.panel_effects import fixed_effects
from training.datasets import build_datasets, pair_columns
from training.effect_frames import lead_effect_frame, leads_per_rep_month, panel_effect_frame

Floats = np.ndarray
DAY = 86_400_000_000
NAIVE_SEEDS = 20
FOLLOW, COURSE = 0.50, 1.5
PANEL_FAULTS = ("", "reaction", "drift", "flow", "dip", "null")
LEAD_FAULTS = ("", "drift", "null", "poisson_chase")
TABLE_WORLDS = {
    "strong": WorldConfig(structure="additive", drift_sd=0.45, effects=Effects(0.5, 0.4, (0.6, 0.5, 0.4, 0.6, 0.0))),
    "default": WorldConfig(),
    "null": WorldConfig(effects=null_effects()),
}


# -- worlds -----------------------------------------------------------------------------------------------------------


def panel_world(seed: int, fault: str, reps: int = 40, months: int = 24) -> pd.DataFrame:
    """A row a rep and month. Truth: 0.50 a follow-up, 1.5 a course (0 in `null`), nothing from the placebo course.

    reaction: managers push after a bad month. drift: a hidden slow drift moves follow-ups and output. flow: a hidden
    flow of leads that comes and lasts does. dip: the course is given after bad months.
    """
    rng = np.random.default_rng(seed)
    effect, gain = (0.0, 0.0) if fault == "null" else (FOLLOW, COURSE)
    ability, season = rng.normal(0, 1.5, reps), rng.normal(0, 0.5, months)
    flow, noise = rng.normal(0, 1, (reps, months)), rng.normal(0, 1, (reps, months))
    drift = np.cumsum(rng.normal(0, 0.35, (reps, months)), axis=1)
    lasting = np.cumsum(rng.random((reps, months)) < 0.08, axis=1) % 2 * 1.5
    order = np.argsort(np.argsort(ability)) / reps * months * 1.1
    starts = np.clip(order + rng.normal(0, 3, reps), 3, months + 6)
    placebo = np.clip(order + rng.normal(0, 3, reps), 3, months + 6)
    started = np.full(reps, months * 9)
    f, c, y = np.zeros((reps, months)), np.zeros((reps, months)), np.zeros((reps, months))
    for t in range(months):
        f[:, t] = 3 + 0.8 * ability + 0.5 * season[t] + 0.3 * flow[:, t] + rng.normal(0, 0.7, reps)
        if fault == "reaction" and t:
            f[:, t] -= 0.5 * noise[:, t - 1]
        f[:, t] += {"drift": drift, "flow": lasting}.get(fault, np.zeros((reps, months)))[:, t]
        if fault == "dip" and t > 1:
            bad = (noise[:, t - 1] + noise[:, t - 2] < -1.2) & (started > months)
            started[bad] = t
        c[:, t] = t >= (started if fault == "dip" else starts)
        y[:, t] = 2 * ability + season[t] + effect * f[:, t] + gain * c[:, t] + 0.6 * flow[:, t] + noise[:, t]
        y[:, t] += {"drift": drift, "flow": lasting}.get(fault, np.zeros((reps, months)))[:, t]
    i, t = np.meshgrid(np.arange(reps), np.arange(months), indexing="ij")
    columns = {"followups_per_week": f, "trained:closing": c, "contribution": y, "n_new_leads": flow}
    made = {name: values.ravel() for name, values in columns.items()}
    made["trained:placebo"] = (t >= placebo[:, None]).astype(float).ravel()
    return pd.DataFrame({"rep_id": [f"R{k:03d}" for k in i.ravel()], "month": t.ravel() + 24_000, **made})


@dataclass(frozen=True)
class LeadWorld:
    """Frame for `win_effects` and the true steps on the win probability."""

    frame: pd.DataFrame
    truth: dict[str, float]


def lead_world(seed: int, fault: str, reps: int = 50, months: int = 24, per_month: int = 10) -> LeadWorld:
    """Leads whose calls are thrown like dice at the rep's habit of the month; won leads close early.

    drift: a hidden, slowly wandering quality of the rep's leads moves habit and wins. poisson_chase: reps chase what
    they like.
    """
    rng = np.random.default_rng(seed)
    slope, gain = (0.0, 0.0) if fault == "null" else (0.4, 0.6)
    n = reps * months * per_month
    unit = np.repeat(np.arange(reps), months * per_month)
    time = np.tile(np.repeat(np.arange(months), per_month), reps)
    ability = rng.normal(0, 0.5, reps)
    drift = np.zeros((reps, months))
    for t in range(1, months):
        drift[:, t] = 0.7 * drift[:, t - 1] + rng.normal(0, 0.25, reps)
    order = np.argsort(np.argsort(ability)) / reps * months * 1.2
    trained = (time >= np.clip(order + rng.normal(0, 3, reps), 2, None)[unit]).astype(float)
    placebo = (time >= np.clip(order + rng.normal(0, 3, reps), 2, None)[unit]).astype(float)
    seen, hidden = rng.normal(0, 1, n), rng.normal(0, 0.6, n)
    chase = 0.3 if fault == "poisson_chase" else 0.0
    quality = np.cumsum(rng.normal(0, 0.2, (reps, months)), axis=1)
    push = 0.5 * quality[unit, time] if fault == "drift" else 0.0
    habit = 1.6 * np.exp(0.5 * ability[unit] + drift[unit, time] + 0.2 * seen + chase * hidden + push)
    base = -2.6 + ability[unit] + 0.6 * seen + hidden + gain * trained + slope * habit
    base += quality[unit, time] if fault == "drift" else 0.0
    p = 1 / (1 + np.exp(-base))
    won = (rng.random(n) < p).astype(float)
    step = float(np.mean(1 / (1 + np.exp(-base - slope)) - p))
    low, high = base - gain * trained, base + gain * (1 - trained)
    course = float(np.mean(1 / (1 + np.exp(-high)) - 1 / (1 + np.exp(-low))))
    days = np.where(won == 1, rng.gamma(2, 20, n), rng.gamma(2, 35, n)) + 1
    count = rng.poisson(habit * days / 7)
    lead = np.repeat(np.arange(n), count)
    assigned = (time * 30 * DAY).astype(np.int64)
    when = np.r_[assigned[lead] + (rng.random(len(lead)) * days[lead] * DAY).astype(np.int64), assigned + DAY // 24]
    ended = assigned + (days * DAY).astype(np.int64)
    shape = (np.r_[lead, np.arange(n)], when, assigned, ended, int(ended.max()) + 1)
    frame = pd.DataFrame(
        {
            "rep_id": [f"R{u:03d}" for u in unit],
            "month": time,
            "y": won,
            "quality": seen,
            "trained:closing": trained,
            "trained:placebo": placebo,
            "followups_per_week": landmark_frequency(*shape, stop=WINDOW_DAYS),
            "followups_week_1": landmark_frequency(*shape, stop=7),
            "followups_week_2": landmark_frequency(*shape, begin=7),
            "habit_meanwhile": concurrent_habit(unit, assigned, ended, shape[-1], *shape[:2]),
            "lifetime_rate": count * 7 / days,
            "n_calls": count.astype(float),
        }
    )
    return LeadWorld(frame, {"followups_per_week": step, "training:closing": course, "training:placebo": 0.0})


@dataclass(frozen=True)
class TableWorld:
    """Leads, panel, leads a rep-month, true effects by lever and outcome, and errors of estimators that know more.

    `bounds`: by name of the estimator and lever, its error as a share of the truth.
    """

    leads: pd.DataFrame
    panel: pd.DataFrame
    per_month: float
    truth: dict[str, dict[str, float]]
    bounds: dict[tuple[str, str], float]


def table_world(config: WorldConfig) -> TableWorld:
    """A synthetic organisation by the product's own feature code."""
    world = generate(config)
    sets = build_datasets(world.tables, world.as_of, Config())
    columns = pair_columns(sets.spec)
    pairs = sets.pairs.sort_values(["as_of", "lead_id"], kind="stable", ignore_index=True)
    # Only the leads' own part of the model is used, so its out-of-time scores and trees are left out here.
    pooled = train_pooled(pairs, columns, "reps", world.as_of)
    quick = ConversionModel(columns, pooled.model, None, Calibrator(), pooled.times, None)  # type: ignore[arg-type]
    leads = lead_effect_frame(sets.world, sets.pairs, quick, AmountModel.fit(sets.pairs, columns))
    panel = panel_effect_frame(sets.world, sets.pairs, quick)
    truth: dict[str, dict[str, float]] = dict(world.truth["effects"])
    return TableWorld(leads, panel, leads_per_rep_month(sets.world), truth, information_bounds(world))


def information_bounds(world: World) -> dict[tuple[str, str], float]:
    """Error, as a share of the true logit, of estimators that are told what no table shows.

    "all else known": a lead's whole chance but for the lever, hidden quality and the rep's ability included. "reps
    unknown": the same, but the levels of reps and months have to be learnt from the same leads, as in any comparison
    of a rep with himself. Both take one Newton step from the truth on the leads' real fates; no unbiased estimator
    errs less on average in large samples.
    """
    spells, effects = world.history.spells, world.config.effects
    p = 1 / (1 + np.exp(-spells.logit))
    weight, left = p * (1 - p), (spells.outcome == 1) - p
    month = world.physics.calendar.month[np.floor(spells.assigned).astype(int)]
    done = world.physics.trainings.completed(spells.rep, spells.assigned)
    levers = {f"training:{skill}": (done[:, k], effects.training[k]) for k, skill in enumerate(SKILLS)}
    levers["followups_per_week"] = (spells.frequency, effects.follow_up)
    levers["contact_within_24h"] = (spells.within_24h.astype(float), effects.contact_within_24h)
    found = {}
    for lever, (x, true) in levers.items():
        if not true:
            continue
        own = x.astype(float)
        for _ in range(100):  # weighted means of reps and months, by turns
            for group in (spells.rep, month):
                total = np.bincount(group, weights=weight)
                own = own - (np.bincount(group, weights=weight * own) / np.maximum(total, 1e-300))[group]
        for name, column in (("bound: all else known", x), ("bound: reps unknown", own)):
            found[name, lever] = float(column @ left / (weight @ column**2) / true)
    return found


# -- methods ----------------------------------------------------------------------------------------------------------


def slope(d: Floats, y: Floats, controls: Floats, unit: Floats) -> Interval:
    """Least squares of y on d and controls, clustered; no fixed effects."""
    whole = np.isfinite(d) & np.isfinite(y) & np.isfinite(controls).all(axis=1)
    X = np.column_stack([d, controls, np.ones(len(d))])[whole]
    theta = np.linalg.lstsq(X, y[whole], rcond=None)[0]
    return coefficient_interval(X, theta, y[whole] - X @ theta, codes_of(unit[whole])[0])


def double_ml(d: Floats, y: Floats, controls: Floats, unit: Floats) -> Interval:
    """Partialling out by boosted trees with five folds, then residual on residual (Chernozhukov et al., 2018)."""
    whole = np.isfinite(d) & np.isfinite(y) & np.isfinite(controls).all(axis=1)
    d, y, X, unit = d[whole], y[whole], controls[whole], unit[whole]
    folds = KFold(5, shuffle=True, random_state=0)
    trees = HistGradientBoostingRegressor(max_iter=60, max_leaf_nodes=15, random_state=0)
    rest_d = (d - cross_val_predict(trees, X, d, cv=folds))[:, None]
    rest_y = y - cross_val_predict(trees, X, y, cv=folds)
    theta = np.linalg.lstsq(rest_d, rest_y, rcond=None)[0]
    return coefficient_interval(rest_d, theta, rest_y - rest_d @ theta, codes_of(unit)[0])


Found = tuple[str, str, float, float | None, float | None, float | None, str]


def rivals(
    frame: pd.DataFrame, lever: str, column: str, outcome: str, controls: list[str], truth: float
) -> Iterator[Found]:
    """What others would say of one lever: method, lever, truth, estimate, interval, verdict."""
    d, y = frame[column].to_numpy(float), frame[outcome].to_numpy(float)
    X, unit = frame[[*controls, "month"]].to_numpy(float), frame["rep_id"].to_numpy()
    methods: dict[str, Callable[[], Interval]] = {
        "naive slope": lambda: slope(d, y, np.empty((len(d), 0)), unit),
        "OLS with controls": lambda: slope(d, y, X, unit),
        "double ML": lambda: double_ml(d, y, X, unit),
    }
    for name, run in methods.items():
        found = run()
        yield name, lever, truth, found.estimate, found.ci_low, found.ci_high, ""


def panels(seeds: range, fault: str) -> Iterator[Found]:
    """Every method on the panels of `seeds`."""
    truths = {"followups_per_week": FOLLOW, "training:closing": COURSE, "training:placebo": 0.0}
    if fault == "null":
        truths = dict.fromkeys(truths, 0.0)
    for seed in seeds:
        frame = panel_world(seed, fault)
        for row in contribution_effects(frame, np.random.default_rng(seed)):
            yield "ours", row.driver, truths[row.driver], row.estimate, row.ci_low, row.ci_high, row.verdict
        if fault == "" and seed in seeds[:NAIVE_SEEDS]:
            levers = {"followups_per_week": "followups_per_week", "training:closing": "trained:closing"}
            for lever, column in levers.items():
                others = ["n_new_leads", *(c for c in levers.values() if c != column)]
                yield from rivals(frame, lever, column, "contribution", others, truths[lever])
        if fault in ("reaction", "drift", "flow", "dip"):
            column = "trained:closing" if fault == "dip" else "followups_per_week"
            lever = "training:closing" if fault == "dip" else "followups_per_week"
            unguarded = fixed_effects(
                frame["rep_id"], frame["month"].to_numpy(), frame[column], frame["contribution"], frame[["n_new_leads"]]
            ).interval
            yield "no guards", lever, truths[lever], unguarded.estimate, unguarded.ci_low, unguarded.ci_high, ""


def leads(seeds: range, fault: str) -> Iterator[Found]:
    """Every method on the worlds of leads of `seeds`."""
    for seed in seeds:
        world = lead_world(seed, fault)
        for row in win_effects(world.frame, np.random.default_rng(seed)):
            yield "ours", row.driver, world.truth[row.driver], row.estimate, row.ci_low, row.ci_high, row.verdict
        if fault == "" and seed in seeds[:NAIVE_SEEDS]:
            tried = {"followups_per_week": "lifetime_rate", "followups_per_week (count)": "n_calls"}
            for lever, column in (*tried.items(), ("training:closing", "trained:closing")):
                truth = world.truth[lever.split(" ")[0]]
                yield from rivals(world.frame, lever, column, "y", ["quality"], truth)


def tables(seeds: range, name: str) -> Iterator[Found]:
    """Ours, and the slope over all rows, on the synthetic organisations of `seeds`."""
    for seed in seeds:
        world = table_world(replace(TABLE_WORLDS[name], seed=seed))
        for row in effect_rows(world.leads, world.panel, np.random.default_rng(seed), world.per_month):
            known, lever = world.truth[row.driver][row.outcome], f"{row.driver} > {row.outcome}"
            told = [("ours", lever, known, row.estimate, row.ci_low, row.ci_high, row.verdict)]
            told.append(("naive slope", lever, known, row.naive_estimate, None, None, ""))
            if row.outcome == "win_probability":
                bounds = [(one, gap) for (one, driver), gap in world.bounds.items() if driver == row.driver]
                told += [(one, lever, known, known * (1 + gap), None, None, "") for one, gap in bounds]
            yield from told
            if known and row.driver.startswith("training:"):  # and all courses in one line
                yield from ((method, f"courses > {row.outcome}", *rest) for method, _, *rest in told)


# -- the table --------------------------------------------------------------------------------------------------------


def summary(rows: Iterator[Found]) -> pd.DataFrame:
    """A row a method and lever. `real`: share whose interval leaves 0 out; of a placebo, a false alarm."""
    columns = ["method", "lever", "truth", "estimate", "ci_low", "ci_high", "verdict"]
    d = pd.DataFrame(rows, columns=columns)
    numbers = d[["truth", "estimate", "ci_low", "ci_high"]].astype(float)
    d[numbers.columns] = numbers
    size = numbers["truth"].abs().replace(0.0, np.nan)
    shown, has = numbers["estimate"].notna(), numbers["ci_low"].notna()
    d["withheld"] = np.where(d["verdict"] == "", np.nan, (~shown).astype(float))
    d["error"] = (numbers["estimate"] - numbers["truth"]).abs() / size
    inside = (numbers["ci_low"] <= numbers["truth"]) & (numbers["truth"] <= numbers["ci_high"])
    d["inside"] = np.where(has, inside, np.nan).astype(float)
    d["real"] = np.where(has, (numbers["ci_low"] > 0) | (numbers["ci_high"] < 0), np.nan).astype(float)
    found = d.groupby(["lever", "method"], sort=False)
    table = found[["truth", "estimate", "error", "inside", "real", "withheld"]].mean()
    table.insert(2, "sd", found["estimate"].std())
    return table.assign(n=found.size()).reset_index()


def show(title: str, table: pd.DataFrame) -> None:
    """Print one table."""
    print(f"\n{title}")
    print(table.round(4).to_string(index=False, na_rep=""))


def main() -> None:
    """Print the tables of one part."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("part", choices=["panels", "leads", "tables"])
    options.add_argument("--seeds", type=int, default=20)
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--world", choices=sorted(TABLE_WORLDS), default="strong")
    given = options.parse_args()
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    told = f"{given.seeds} seeds from {given.first_seed}"
    if given.part == "tables":
        show(f"tables, world {given.world}, {told}", summary(tables(seeds, given.world)))
        return
    run, faults = (panels, PANEL_FAULTS) if given.part == "panels" else (leads, LEAD_FAULTS)
    for fault in faults:
        show(f"{given.part}, {fault or 'sound'}, {told}", summary(run(seeds, fault)))


if __name__ == "__main__":
    main()
