"""Rolling-origin backtest of contribution forecasts: each origin is fitted and scored with what was known then.

The nested method "fairlead" is what the product would have said: its choice of method, calibration and company shock
come only from origins and months that were over by then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.errors import RequestError
from features.messages import message
from models.forecasting import metrics
from models.forecasting.blend import FALLBACK, SHRUNK, Choice, choose
from models.forecasting.conformal import Calibration, fit_calibration
from models.forecasting.contribution import METHODS, ContributionModel, draw_method
from models.forecasting.draws import LEVELS, QUANTILES, Draws, Level
from models.forecasting.funnel import FunnelForecaster, FunnelSettings, estimate_shock_sd
from models.forecasting.inputs import ForecastInputs
from models.forecasting.panel_model import PanelModel, PanelSettings

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

PRODUCT = "fairlead"
_BANDS = {0.5: ("low_50", "high_50"), 0.8: ("p10", "p90"), 0.9: ("low_90", "high_90")}


@dataclass(frozen=True)
class Snapshot:
    """All that one origin may know.

    `panel` has the training rows with `y` as known then, `panel_rows` those to forecast; both None where no panel takes
    part. `features` names the panel's columns.
    """

    inputs: ForecastInputs
    panel: pd.DataFrame | None = None
    panel_rows: pd.DataFrame | None = None
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class BacktestSettings:
    """`n_draws` a forecast; `methods` scored; `levels` scored; a miss is ending below `miss_ratio` x target.

    `fit_panel`: what fits the panel model, ours unless somebody brings another.
    """

    n_draws: int = 300
    methods: tuple[str, ...] = METHODS
    levels: tuple[Level, ...] = ("rep", "company")
    miss_ratio: float = 0.8
    funnel: FunnelSettings = field(default_factory=FunnelSettings)
    panel: PanelSettings = field(default_factory=PanelSettings)
    fit_panel: Callable[[pd.DataFrame, Sequence[str], PanelSettings], PanelModel] = PanelModel.fit


@dataclass(frozen=True)
class Backtest:
    """What a backtest found.

    `table`: a row a (level, origin, rep_id, month, method): `horizon, mean, p10 .. p90, low_50, high_50, low_90,
    high_90, crps, pit, spread, y, tenure_years, target, p_miss`; `rep_id` holds the id of the level.
    """

    table: pd.DataFrame
    choice: Choice
    calibrations: dict[str, Calibration]
    shock_sd: float


def backtest(
    snapshot: Callable[[int], Snapshot],
    origins: Sequence[int],
    truth: pd.DataFrame,
    truth_until: int,
    rng: np.random.Generator,
    targets: pd.DataFrame | None = None,
    settings: BacktestSettings | None = None,
    progress: Callable[[str], None] | None = None,
    history: pd.DataFrame | None = None,
) -> Backtest:
    """The scored past.

    Parameters
    ----------
    snapshot
        Gives what was known at a moment; called once an origin, in time order.
    origins
        Moments to forecast from; any day of a month.
    truth
        `rep_id, month, amount`: contribution as it became; months that end after `truth_until` are not scored.
    targets
        `rep_id, month, amount`, for miss probabilities.
    history
        The table of an earlier backtest, which the nested method may learn from beside the origins given.

    Raises RequestError without an origin that has a complete month after it.
    """
    settings = settings or BacktestSettings()
    done: list[pd.DataFrame] = []
    for origin in sorted(origins):
        snap = snapshot(origin)
        inputs = snap.inputs.canonical()
        months = _ended(inputs, truth_until)
        if not len(months):
            continue
        past = done if history is None else [history, *done]
        so_far = _known_at(_joined(past), origin, inputs.zone)
        done.append(_score_origin(snap, inputs, months, truth, targets, so_far, rng, settings))
        if progress is not None:
            progress(moments.iso(origin, inputs.zone))
    table = _joined(done)
    if not len(table):
        raise RequestError(message("trained.no_origin"))
    choice, calibrations, shock = _learn(table, settings)
    return Backtest(table, choice, calibrations, shock)


def final_model(snap: Snapshot, found: Backtest, settings: BacktestSettings | None = None) -> ContributionModel:
    """The model to release: fitted on the newest snapshot with what the backtest chose, calibrated and measured."""
    settings = settings or BacktestSettings()
    funnel = FunnelForecaster.fit(snap.inputs, settings.funnel).with_shock(found.shock_sd)
    panel = None
    if snap.panel is not None and np.isfinite(snap.panel["y"].to_numpy(dtype=np.float64)).any():
        panel = settings.fit_panel(snap.panel, snap.features, settings.panel)
    return ContributionModel(funnel, panel, found.choice, found.calibrations)


def summarise(
    found: Backtest, rng: np.random.Generator, miss_ratio: float = 0.8, by: str | None = None, n_boot: int = 300
) -> pd.DataFrame:
    """Metrics of each level and method, a row a metric with its 90 % interval over origins.

    Columns `level, group, method, metric, estimate, low, high, n_origins, n_cases, skill, chosen`. `skill` = 1 - loss /
    loss of the mean of six months, for WAPE, pinball and CRPS. `by`: a column of the table to split by, such as
    `horizon`, `size` or `tenure`; `group` is "" without. Only cases that every method forecast are compared.
    """
    table = _shared_cases(found.table)
    table = table.assign(size=_size_class(table), tenure=_tenure_class(table))
    rows: list[dict[str, object]] = []
    groups = [("", table)] if by is None else [(str(name), part) for name, part in table.groupby(by)]
    for group, part in groups:
        for level, cases in part.groupby("level"):
            rows += _metric_rows(str(level), group, cases, rng, miss_ratio, n_boot)
    out = pd.DataFrame(rows)
    out["chosen"] = out["method"] == found.choice.method
    return out


def _ended(inputs: ForecastInputs, until: int) -> Integers:
    return np.array([m for m in inputs.months if moments.month_start(int(m) + 1, inputs.zone) <= until], dtype=np.int64)


def _joined(done: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(done, ignore_index=True) if done else pd.DataFrame()


def _known_at(table: pd.DataFrame, origin: int, zone: str) -> pd.DataFrame:
    """Scores whose month was over at the origin: nothing later may choose or calibrate."""
    if not len(table):
        return table
    ends = {int(m): moments.month_start(int(m) + 1, zone) for m in table["month"].unique()}
    return table.loc[table["month"].map(ends) <= origin]


def _learn(table: pd.DataFrame, settings: BacktestSettings) -> tuple[Choice, dict[str, Calibration], float]:
    """Choice, calibrations and company shock of the scores given; neutral ones where there are none."""
    nan = float("nan")
    if not len(table):
        return Choice(((FALLBACK, 1.0),), "too_few_origins", 0, nan, nan, 0.0, nan), {}, settings.funnel.shock_sd
    reps = table.loc[table["level"] == "rep"]
    calibrations = {}
    for name in ("funnel", "panel", SHRUNK, FALLBACK):
        mine = reps.loc[reps["method"] == name]
        if len(mine):
            calibrations[name] = fit_calibration(
                mine["pit"].to_numpy(dtype=np.float64),
                mine["horizon"].to_numpy(dtype=np.int64),
                mine["mean"].to_numpy(dtype=np.float64),
            )
    company = table.loc[(table["level"] == "company") & (table["method"] == "funnel")]
    shock = settings.funnel.shock_sd
    if len(company):
        y, mean, spread = (company[c].to_numpy(dtype=np.float64) for c in ("y", "mean", "spread"))
        shock = estimate_shock_sd(y, mean, spread, settings.funnel.shock_sd)
    return choose(reps), calibrations, shock


def _score_origin(
    snap: Snapshot, inputs: ForecastInputs, months: Integers, truth: pd.DataFrame, targets: pd.DataFrame | None,
    so_far: pd.DataFrame, rng: np.random.Generator, settings: BacktestSettings,
) -> pd.DataFrame:  # fmt: skip
    choice, calibrations, shock = _learn(so_far, settings)
    funnel = FunnelForecaster.fit(inputs, settings.funnel).with_shock(shock)
    panel = _panel(snap, settings)
    seed = int(rng.integers(2**63))
    rows = None if panel is None else snap.panel_rows

    def drawn(name: str) -> Draws:
        return draw_method(
            name, np.random.default_rng(seed), inputs, months, settings.n_draws, funnel, panel, rows
        )  # fmt: skip

    made = {name: drawn(name) for name in settings.methods if name != "panel" or rows is not None}
    usable = {name for name, _ in choice.weights} <= set(made)
    if not usable:  # the panel may not be there yet at an early origin
        choice = Choice(((FALLBACK, 1.0),), "too_few_origins", 0, 0.0, 0.0, 0.0, 0.0)
    product = ContributionModel(funnel, panel, choice, calibrations)
    made[PRODUCT] = product.draw(np.random.default_rng(seed), inputs, rows, settings.n_draws, months)
    return pd.concat(
        [
            score_draws(inputs, draws, name, level, truth, targets, settings, rng)
            for name, draws in made.items()
            for level in settings.levels
        ],
        ignore_index=True,
    )


def _panel(snap: Snapshot, settings: BacktestSettings) -> PanelModel | None:
    if snap.panel is None or snap.panel_rows is None or "panel" not in settings.methods:
        return None
    if not np.isfinite(snap.panel["y"].to_numpy(dtype=np.float64)).any():
        return None
    return settings.fit_panel(snap.panel, snap.features, settings.panel)


def score_draws(
    inputs: ForecastInputs, draws: Draws, name: str, level: Level, truth: pd.DataFrame, targets: pd.DataFrame | None,
    settings: BacktestSettings, rng: np.random.Generator,
) -> pd.DataFrame:  # fmt: skip
    """Scores of one method's draws at one level, a row an id and month, as in `Backtest.table`."""
    ids, samples = draws.summed(level)
    actual = _at_level(draws, _grid(draws, truth), level)
    goal = _at_level(draws, _grid(draws, targets, np.nan), level)
    kept = _at_level(draws, draws.present.astype(np.float64), level) > 0
    spread = _at_level(draws, draws.samples.var(axis=0), level)
    where_id, where_month = np.nonzero(kept)
    x, y = samples[:, where_id, where_month], actual[where_id, where_month]
    quantiles = np.quantile(x, (*LEVELS, 0.25, 0.75, 0.05, 0.95), axis=0)
    target = goal[where_id, where_month]
    below = (x < settings.miss_ratio * np.nan_to_num(target)[None]).mean(axis=0)
    hired = (inputs.as_of - inputs.reps["hired_on"].to_numpy(dtype=np.int64)) / (365.25 * moments.DAY)
    out = {
        "level": level,
        "origin": np.int64(inputs.as_of),
        "rep_id": np.array(ids, dtype=object)[where_id],
        "month": draws.months[where_month],
        "horizon": draws.months[where_month] - moments.month_of(inputs.as_of, inputs.zone),
        "method": name,
        "mean": x.mean(axis=0),
        **{column: quantiles[k] for k, column in enumerate((*QUANTILES, "low_50", "high_50", "low_90", "high_90"))},
        "crps": metrics.crps_samples(y, x),
        "pit": metrics.pit(y, x, rng.random(len(y))),
        "spread": spread[where_id, where_month],
        "y": y,
        "tenure_years": hired[where_id] if level == "rep" else np.nan,
        "target": target,
        "p_miss": np.where(np.isfinite(target), below, np.nan),
    }
    return pd.DataFrame(out)


def _grid(draws: Draws, amounts: pd.DataFrame | None, missing: float = 0.0) -> Floats:
    """Amounts by rep and month of the draws."""
    out = np.full((len(draws.rep_ids), len(draws.months)), missing)
    if amounts is None or not len(amounts):
        return out
    rep = pd.Index(draws.rep_ids).get_indexer(pd.Index(amounts["rep_id"].astype(str)))
    month = pd.Index(draws.months).get_indexer(pd.Index(amounts["month"]))
    fits = (rep >= 0) & (month >= 0)
    out[rep[fits], month[fits]] = amounts["amount"].to_numpy(dtype=np.float64)[fits]
    return out


def _at_level(draws: Draws, values: Floats, level: Level) -> Floats:
    """Sums of values (n_reps, n_months) by the ids of a level; NaN counts as nothing unless all are NaN."""
    if level == "rep":
        return values
    teams = np.array(draws.team_ids, dtype=object)
    members = (
        [np.ones(len(teams), dtype=np.bool_)]
        if level == "company"
        else [teams == team for team in draws.summed("team")[0]]
    )
    return np.vstack([
        np.where(np.isfinite(values[m]).any(axis=0), np.nansum(values[m], axis=0), np.nan) for m in members
    ])  # fmt: skip


def _shared_cases(table: pd.DataFrame) -> pd.DataFrame:
    """Cases that every method has, so that none is judged on easier ones."""
    n_methods = table.groupby(["level", "origin", "rep_id", "month"])["method"].transform("nunique")
    return table.loc[n_methods == n_methods.max()]


def _size_class(table: pd.DataFrame) -> pd.Series:
    """`small`, `middle`, `large` by the mean of six months' forecast, so that all methods share the classes."""
    keys = ["level", "origin", "rep_id", "month"]
    base = table.loc[table["method"] == FALLBACK].set_index(keys)["mean"]
    mean = base.reindex(pd.MultiIndex.from_frame(table[keys])).to_numpy(dtype=np.float64)
    edges = np.nanquantile(mean, [1 / 3, 2 / 3]) if np.isfinite(mean).any() else [0.0, 0.0]
    return pd.Series(np.array(["small", "middle", "large"])[np.searchsorted(edges, mean)], index=table.index)


def _tenure_class(table: pd.DataFrame) -> pd.Series:
    names = np.array(["under_1_year", "1_to_2_years", "over_2_years", "all"])
    years = table["tenure_years"].to_numpy(dtype=np.float64)
    return pd.Series(names[np.where(np.isfinite(years), np.searchsorted([1.0, 2.0], years), 3)], index=table.index)


def _metric_rows(
    level: str, group: str, cases: pd.DataFrame, rng: np.random.Generator, miss_ratio: float, n_boot: int
) -> list[dict[str, object]]:
    """Every metric of every method on one level's cases; all methods share the resampled origins (paired)."""
    origins, place = np.unique(cases["origin"].to_numpy(dtype=np.int64), return_inverse=True)
    seed = int(rng.integers(2**63))
    rows: list[dict[str, object]] = []
    for method in sorted(cases["method"].unique()):
        mine = cases["method"].to_numpy() == method
        for metric, statistic in _statistics(cases.loc[mine], place[mine], len(origins), miss_ratio).items():
            interval = metrics.bootstrap(statistic, len(origins), np.random.default_rng(seed), n_boot)
            rows.append({
                "level": level, "group": group, "method": method, "metric": metric, "estimate": interval.estimate,
                "low": interval.low, "high": interval.high, "n_origins": len(origins), "n_cases": int(mine.sum()),
            })  # fmt: skip
    base = {str(r["metric"]): float(str(r["estimate"])) for r in rows if r["method"] == FALLBACK}
    for row in rows:
        loss = row["metric"] in ("wape", "pinball", "crps") and base.get(str(row["metric"]), 0.0) > 0
        row["skill"] = 1.0 - float(str(row["estimate"])) / base[str(row["metric"])] if loss else float("nan")
    return rows


_Statistic = Callable[[Integers], float]


def _statistics(cases: pd.DataFrame, place: Integers, n_origins: int, miss_ratio: float) -> dict[str, _Statistic]:
    """Each metric as a function of the origins drawn; `place` is each case's origin."""
    a = {c: cases[c].to_numpy(dtype=np.float64) for c in cases.columns if cases[c].dtype.kind in "fi"}
    y, mean, one = a["y"], a["mean"], np.ones(len(cases))

    def ratio(top: Floats, bottom: Floats, less: float = 0.0) -> _Statistic:
        over = np.bincount(place, weights=top, minlength=n_origins)
        under = np.bincount(place, weights=bottom, minlength=n_origins)

        def statistic(chosen: Integers) -> float:
            total = float(under[chosen].sum())
            return float(over[chosen].sum()) / total - less if total > 0 else float("nan")

        return statistic

    pinball = metrics.pinball_loss(y, np.column_stack([a[q] for q in QUANTILES]))
    return {
        "wape": ratio(np.abs(y - mean), np.abs(y)),
        "bias": ratio(mean, y, 1.0),
        "pinball": ratio(pinball, one),
        "crps": ratio(a["crps"], one),
        **{
            f"coverage_{round(100 * level)}": ratio(metrics.covered(y, a[low], a[high]), one)
            for level, (low, high) in _BANDS.items()
        },
        "miss_average_precision": _precision(a, place, n_origins, miss_ratio),
    }


def _precision(a: dict[str, Floats], place: Integers, n_origins: int, miss_ratio: float) -> _Statistic:
    """Average precision of miss probabilities over the cases with a target; it does not split into sums."""
    has = np.isfinite(a["target"])
    missed, score, where = (a["y"] < miss_ratio * a["target"])[has], a["p_miss"][has], place[has]
    rows = [np.flatnonzero(where == origin) for origin in range(n_origins)]

    def statistic(chosen: Integers) -> float:
        picked = np.concatenate([rows[i] for i in chosen]) if len(missed) else np.empty(0, dtype=np.int64)
        return metrics.average_precision(missed[picked], score[picked]) if len(picked) else float("nan")

    return statistic
