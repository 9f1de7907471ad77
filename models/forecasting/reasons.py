"""Why a rep's forecast is as it is: the chain run again with one driver at its reference, differences in money.

A difference says what the model's forecast would be under the reference; it is no effect, and differences do not add up
over drivers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.forecasting.arrivals import COHORT_YEARS, cohort_of
from models.forecasting.draws import Draws
from models.forecasting.funnel import FunnelForecaster
from models.forecasting.hazards import log_odds
from models.forecasting.inputs import ForecastInputs, empty

Floats = npt.NDArray[np.float64]
Driver = Literal["follow_ups", "silence", "absence", "lead_mix", "open_leads", "lead_flow"]


def forecast_reasons(funnel: FunnelForecaster, inputs: ForecastInputs) -> pd.DataFrame:
    """A row a rep, month and driver: `rep_id, month, driver, value, reference, difference`.

    `difference` = expected contribution as forecast minus with the driver at its reference, in money; closed form, so
    free of sampling noise. References: `follow_ups` (mean log ratio to the rep's habit; 0 = as usual), `silence` (mean
    log days; the desk's mean), `absence` (days left; no absence), `lead_mix` (mean win probability of open leads; the
    desk's), `open_leads` and `lead_flow` (open leads, expected new wins; the mean of the rep's tenure cohort). Empty
    where the mean model stands in, as it knows no driver.
    """
    inputs = inputs.canonical()
    columns = ["rep_id", "month", "driver", "value", "reference", "difference"]
    if funnel.mode == "mean":
        return pd.DataFrame({c: [] for c in columns})
    chain = funnel.chain(inputs)
    now = chain.expected()
    blocks = []
    for driver, (value, reference, change) in _references(inputs).items():
        then = funnel.chain(change(inputs)).expected()
        blocks.append(_block(inputs, driver, value, reference, now - then))
    n_open = np.diff(chain.open_span).astype(np.float64)
    for driver, part, amount in (
        ("open_leads", chain.parts()["open"], n_open),
        ("lead_flow", chain.parts()["coming"], chain.coming_wins.sum(axis=1)),
    ):
        usual = _cohort_mean(inputs, amount)
        # Money scales with the number: what the rep has over his cohort's number is the driver's share.
        scale = np.where(amount > 0, 1.0 - usual / np.maximum(amount, 1e-12), 0.0)
        blocks.append(_block(inputs, driver, amount, usual, part * scale[:, None]))
    return pd.concat(blocks, ignore_index=True)[columns]


def _block(inputs: ForecastInputs, driver: str, value: Floats, reference: Floats, difference: Floats) -> pd.DataFrame:
    n_months = difference.shape[1]
    return pd.DataFrame({
        "rep_id": np.repeat(np.array(inputs.rep_ids, dtype=object), n_months),
        "month": np.tile(inputs.months[:n_months], len(inputs.reps)),
        "driver": driver,
        "value": np.repeat(value, n_months),
        "reference": np.repeat(reference, n_months),
        "difference": difference.ravel(),
    })  # fmt: skip


def with_miss_change(reasons: pd.DataFrame, draws: Draws, targets: pd.DataFrame, miss_ratio: float) -> pd.DataFrame:
    """`reasons` with `p_miss_difference`: chance of a miss as forecast minus with the driver at its reference.

    The draws of what is not closed yet are scaled to the mean that they would have there, so that a run for each driver
    costs nothing; NaN without a target. `targets`: `rep_id, month (index), amount (major units)`.
    """
    goal = {
        (str(r), int(m)): float(a)
        for r, m, a in zip(targets["rep_id"], targets["month"], targets["amount"], strict=True)
    }
    place = {rep: i for i, rep in enumerate(draws.rep_ids)}
    column = {int(month): h for h, month in enumerate(draws.months)}
    change = np.full(len(reasons), np.nan)
    rows = zip(reasons["rep_id"], reasons["month"], reasons["difference"], strict=True)
    for i, (rep, month, difference) in enumerate(rows):
        target, r, h = goal.get((str(rep), int(month))), place.get(str(rep)), column.get(int(month))
        if target is None or r is None or h is None or not np.isfinite(difference):
            continue
        x, closed = draws.samples[:, r, h], draws.closed[r, h]
        above = max(float(x.mean()) - closed, 1e-12)
        other = closed + (x - closed) * max(above - difference, 0.0) / above
        line = miss_ratio * target
        change[i] = float((x < line).mean() - (other < line).mean())
    return reasons.assign(p_miss_difference=change)


_Change = Callable[[ForecastInputs], ForecastInputs]


def _references(inputs: ForecastInputs) -> dict[Driver, tuple[Floats, Floats, _Change]]:
    """Each driver's value by rep, its reference, and the inputs with it there; drivers without data are left out."""
    found: dict[Driver, tuple[Floats, Floats, _Change]] = {}
    leads, n = inputs.open_leads, len(inputs.reps)
    for driver, column in (("follow_ups", "follow_up_log_ratio"), ("silence", "silent_log_days")):
        if column in leads.columns and len(leads):
            middle = 0.0 if driver == "follow_ups" else float(leads[column].mean())
            name: Driver = "follow_ups" if driver == "follow_ups" else "silence"
            found[name] = (_by_rep(inputs, leads[column]), np.full(n, middle), _constant(leads, column, middle))
    if len(leads):
        p = leads["p_win"].to_numpy(dtype=np.float64)
        own, desk = _by_rep(inputs, leads["p_win"]), float(np.nanmean(p))
        found["lead_mix"] = (own, np.full(n, desk), _desk_mix)
    if len(inputs.absences):
        left = inputs.exposure_of_reps(inputs.months).sum(axis=1)
        free = replace(inputs, absences=empty("absences"))
        found["absence"] = (left, free.exposure_of_reps(inputs.months).sum(axis=1), _without_absence)
    return found


def _constant(leads: pd.DataFrame, column: str, value: float) -> _Change:
    """Every open lead with one value; what is overdue goes with silence, its mean log like that of the days."""
    values = {column: value}
    if column == "silent_log_days" and "overdue" in leads.columns:
        values["overdue"] = float(np.expm1(np.log1p(leads["overdue"].to_numpy(dtype=np.float64)).mean()))
    return lambda inputs: replace(inputs, open_leads=inputs.open_leads.assign(**values))


def _without_absence(inputs: ForecastInputs) -> ForecastInputs:
    return replace(inputs, absences=empty("absences"))


def _desk_mix(inputs: ForecastInputs) -> ForecastInputs:
    """Open leads whose mean log odds by rep are the desk's; the spread within a rep stays."""
    leads = inputs.open_leads
    odds = log_odds(leads["p_win"].to_numpy(dtype=np.float64))
    rep = inputs.rep_index(leads["rep_id"])
    n = np.bincount(rep[rep >= 0], minlength=len(inputs.reps))
    mean = np.bincount(rep[rep >= 0], weights=odds[rep >= 0], minlength=len(inputs.reps)) / np.maximum(n, 1)
    moved = odds - np.where(rep >= 0, mean[rep], odds.mean()) + odds.mean()
    return replace(inputs, open_leads=leads.assign(p_win=1.0 / (1.0 + np.exp(-moved))))


def _by_rep(inputs: ForecastInputs, values: pd.Series) -> Floats:
    mean = values.groupby(inputs.open_leads["rep_id"]).mean().reindex(list(inputs.rep_ids))
    return np.asarray(mean.to_numpy(dtype=np.float64), dtype=np.float64)


def _cohort_mean(inputs: ForecastInputs, amount: Floats) -> Floats:
    cohort = cohort_of(inputs, np.full(len(amount), inputs.as_of, dtype=np.int64))
    n = np.bincount(cohort, minlength=len(COHORT_YEARS))
    total = np.bincount(cohort, weights=amount, minlength=len(COHORT_YEARS))
    return np.asarray((total / np.maximum(n, 1))[cohort], dtype=np.float64)
