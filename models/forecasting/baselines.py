"""Plain rivals of the funnel, each as a fan: means of recent months, seasonal naive, smoothing, CRM stage weights.

Each forecasts whole months from history alone; for the month of as_of it adds its forecast times the share of working
days left to what is closed so far. Residuals of the same rule on past months give the quantiles, scaled with the root
of the forecast (the spread of a sum of deals grows so).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from models.forecasting.draws import Draws
from models.forecasting.exposure import months_exposure
from models.forecasting.inputs import ForecastInputs
from models.forecasting.streams import stream, stream_keys

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# History (n_reps, n_months; NaN before hiring) and steps ahead -> forecast of each rep (n_reps,), NaN where unknown.
Rule = Callable[[Floats, int], Floats]

FAN_LEVELS: tuple[float, ...] = tuple((k + 0.5) / 100 for k in range(100))
_PAST_ORIGINS = 12


@dataclass(frozen=True)
class Fan:
    """A forecast by quantiles. mean (n_reps, n_months); values (n_reps, n_months, 100) at `FAN_LEVELS`, in order."""

    rep_ids: tuple[str, ...]
    months: Integers
    mean: Floats
    values: Floats
    method: str


def closed_so_far(inputs: ForecastInputs, months: Integers) -> Floats:
    """Contribution closed before as_of by rep and month asked, (n_reps, n_months)."""
    return _matrix(inputs, months)


def present(inputs: ForecastInputs, months: Integers) -> npt.NDArray[np.bool_]:
    """False where a rep is known to have left before the month began, (n_reps, n_months)."""
    starts = np.array([moments.month_start(int(m), inputs.zone) for m in months], dtype=np.int64)
    left = inputs.reps["left_on"].to_numpy(dtype=np.int64)
    return np.asarray(left[:, None] > starts[None], dtype=np.bool_)


def history(inputs: ForecastInputs) -> tuple[Integers, Floats]:
    """Complete months before as_of's, and contribution (n_reps, n_months), 0 where nothing closed.

    NaN outside a rep's employment: the month of hiring counts up to its middle, the month of leaving does not.
    """
    last = moments.month_of(inputs.as_of, inputs.zone)
    months = np.arange(moments.month_of(inputs.first_seen(), inputs.zone), last, dtype=np.int64)
    values = _matrix(inputs, months)
    starts = np.array([moments.month_start(int(m), inputs.zone) for m in months], dtype=np.int64)
    ends = np.array([moments.month_start(int(m) + 1, inputs.zone) for m in months], dtype=np.int64)
    hired = inputs.reps["hired_on"].to_numpy(dtype=np.int64)[:, None]
    left = inputs.reps["left_on"].to_numpy(dtype=np.int64)[:, None]
    there = (hired <= ((starts + ends) // 2)[None]) & (left >= ends[None])
    return months, np.where(there, values, np.nan)


def _matrix(inputs: ForecastInputs, months: Integers) -> Floats:
    out = np.zeros((len(inputs.reps), len(months)))
    if not len(months):
        return out
    rep = inputs.rep_index(inputs.contributions["rep_id"])
    column = np.asarray(pd.Index(months).get_indexer(pd.Index(inputs.contributions["month"])), dtype=np.int64)
    fits = (rep >= 0) & (column >= 0)
    np.add.at(out, (rep[fits], column[fits]), inputs.contributions["amount"].to_numpy(dtype=np.float64)[fits])
    return out


def mean_rule(n_months: int) -> Rule:
    """Mean of each rep's last n_months, of what there is where he is newer."""

    def rule(past: Floats, steps: int) -> Floats:
        del steps
        recent = past[:, -n_months:]
        count = np.isfinite(recent).sum(axis=1)
        return np.where(count > 0, np.nansum(recent, axis=1) / np.maximum(count, 1), np.nan)

    return rule


def shrunk_mean_rule(past: Floats, steps: int) -> Floats:
    """The desk's level of six months plus each rep's own distance from it over twelve, shrunk as far as it is noise.

    Where reps differ by no more than their months' luck (labels without meaning), all get the desk's level. Reps
    without a month get NaN. Reference: Efron, Morris (1975), JASA 70.
    """
    del steps
    year, half = past[:, -12:], past[:, -6:]
    n = np.isfinite(year).sum(axis=1)
    known = n > 0
    if not known.any() or not np.isfinite(half).any():
        return np.full(len(past), np.nan)
    # Each month's level is taken off first, so that who was there in good months is not taken for better.
    gap = year - _column_means(year)[None]
    own = np.where(known, np.nansum(np.nan_to_num(gap), axis=1) / np.maximum(n, 1), 0.0)
    rest = np.nansum((gap - own[:, None]) ** 2) / max(float((n - 1)[known].sum()), 1.0)
    noise = rest / np.maximum(n, 1)
    between = max(float(np.mean(own[known] ** 2 - noise[known])), 0.0)
    kept = between / np.maximum(between + noise, 1e-12)
    return np.where(known, np.maximum(np.nanmean(half) + kept * own, 0.0), np.nan)


def _column_means(values: Floats) -> Floats:
    seen = np.isfinite(values)
    return np.asarray(np.nansum(values, axis=0) / np.maximum(seen.sum(axis=0), 1), dtype=np.float64)


def seasonal_naive_rule(past: Floats, steps: int) -> Floats:
    """The same month a year ago; the last month where that is not known."""
    back = 13 - steps
    year = past[:, -back] if past.shape[1] >= back else np.full(len(past), np.nan)
    return np.where(np.isfinite(year), year, mean_rule(1)(past, steps))


def smoothed(series: Floats, n_ahead: int) -> tuple[Floats, Floats]:
    """Exponential smoothing by statsmodels: forecasts (n_ahead,) not below 0, and residuals of the fit.

    Simple smoothing, a damped trend (Holt) from two years on, parameters fitted on the series itself. Below five
    months, or where nothing varies, there is nothing to fit them on and statsmodels may raise: the mean stands in.
    """
    from statsmodels.tsa.holtwinters import Holt, SimpleExpSmoothing

    if not len(series):
        return np.full(n_ahead, np.nan), np.empty(0)
    if len(series) < 5 or np.ptp(series) == 0:
        return np.full(n_ahead, series.mean()), series - series.mean()
    scale = float(np.abs(series).mean())
    if len(series) >= 24:
        model = Holt(series / scale, damped_trend=True, initialization_method="estimated")
    else:
        model = SimpleExpSmoothing(series / scale, initialization_method="estimated")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a flat likelihood is no news; what it gives is bounded below
        fit = model.fit(optimized=True)
        ahead = np.asarray(fit.forecast(n_ahead), dtype=np.float64) * scale
    ahead = np.where(np.isfinite(ahead), ahead, series.mean())
    return np.maximum(ahead, 0.0), np.asarray(fit.resid, dtype=np.float64) * scale


def recent_mean(inputs: ForecastInputs, months: Integers, n_months: int = 6) -> Fan:
    """Fan of the mean of the last n_months; newcomers get the mean of the desk's newcomers."""
    return rule_fan(inputs, months, mean_rule(n_months), f"mean_{n_months}")


def shrunk_mean(inputs: ForecastInputs, months: Integers) -> Fan:
    """Fan of the recent mean with each rep drawn to the desk as far as his difference is noise."""
    return rule_fan(inputs, months, shrunk_mean_rule, "shrunk_mean")


def seasonal_naive(inputs: ForecastInputs, months: Integers) -> Fan:
    """Fan of the same month a year ago."""
    return rule_fan(inputs, months, seasonal_naive_rule, "seasonal_naive")


def exponential_smoothing(inputs: ForecastInputs, months: Integers) -> Fan:
    """Fan of exponential smoothing of each rep's own months; the fits' residuals, pooled, give its quantiles."""
    _, past = history(inputs)
    steps = np.asarray(months) - moments.month_of(inputs.as_of, inputs.zone)
    floor = _floor(past)
    whole = np.empty((len(past), len(steps)))
    pooled: list[Floats] = []
    for r, row in enumerate(past):
        ahead, residuals = smoothed(row[np.isfinite(row)], int(steps.max()) + 1)
        whole[r] = np.where(np.isfinite(ahead), ahead, newcomers_mean(past))[steps]
        pooled.append(residuals / np.sqrt(max(float(np.nan_to_num(ahead[0])), 0.0) + floor))
    scaled = np.concatenate(pooled) if pooled else np.empty(0)
    if len(scaled) < 10:
        scaled = scaled_residuals(past, mean_rule(6), 1, floor, 1)
    ahead = whole * share_left(inputs, months)
    return _fan(inputs, months, ahead, lambda _steps: scaled, floor, "exponential_smoothing")


def stage_weights(inputs: ForecastInputs, months: Integers) -> Fan:
    """Fan of a CRM's weighted pipeline: each open lead's expected amount x the share ever won of leads like it.

    "Like it" is its stage where stages are given, else the whole desk (no model takes part). The money is spread over
    the months by the usual days from hand-over to a win; months beyond the pipeline get what it holds, no more.
    """
    share = _past_win_share(inputs)
    leads = inputs.open_leads
    weight = leads["stage"].astype(str).map(share).fillna(share[""]) if "stage" in leads.columns else share[""]
    value = np.nan_to_num(leads["expected_amount"].to_numpy(dtype=np.float64)) * np.asarray(weight, dtype=np.float64)
    rep = inputs.rep_index(leads["rep_id"])
    total = np.bincount(rep[rep >= 0], weights=value[rep >= 0], minlength=len(inputs.reps))
    days = inputs.exposure_of_reps(months)
    usual = max(_usual_days(inputs), 1.0)
    end = np.cumsum(days, axis=1)
    spread = np.exp(-(end - days) / usual) - np.exp(-end / usual)
    ahead = total[:, None] * spread
    _, past = history(inputs)
    floor = _floor(past)
    residuals = partial(scaled_residuals, past, mean_rule(6), floor=floor, n_origins=_PAST_ORIGINS)
    return _fan(inputs, months, ahead, residuals, floor, "stage_weights")


def _past_win_share(inputs: ForecastInputs) -> dict[str, float]:
    """Share won among leads that came to an end by stage, shrunk to the desk's, which stands under "".

    Leads given up in silence count as lost: without them a CRM's weights would promise twice what comes.
    """
    spells = inputs.spells
    closed = spells.loc[spells["event"] != ""]
    won = (closed["event"] == "won").to_numpy(dtype=np.float64)
    desk = float((won.sum() + 1.0) / (len(won) + 10.0))
    out = {"": desk}
    if "stage" in inputs.landmarks.columns:
        ended = inputs.landmarks.loc[inputs.landmarks["event"] != ""]
        for stage, group in ended.groupby("stage"):
            wins = float((group["event"] == "won").sum())
            out[str(stage)] = (wins + 10.0 * desk) / (len(group) + 10.0)
    return out


def _usual_days(inputs: ForecastInputs) -> float:
    spells = inputs.spells
    won = spells.loc[spells["event"] == "won", "age_stop"].to_numpy(dtype=np.float64)
    return float(won.mean()) if len(won) else 20.0


def rule_fan(inputs: ForecastInputs, months: Integers, rule: Rule, method: str) -> Fan:
    """Fan of a rule of history, its quantiles from the rule's own residuals at past origins."""
    _, past = history(inputs)
    ahead = whole_months(inputs, months, past, rule) * share_left(inputs, months)
    floor = _floor(past)
    residuals = partial(scaled_residuals, past, rule, floor=floor, n_origins=_PAST_ORIGINS)
    return _fan(inputs, months, ahead, residuals, floor, method)


def whole_months(inputs: ForecastInputs, months: Integers, past: Floats, rule: Rule) -> Floats:
    """A rule's forecast of whole months by rep, newcomers filled from the desk's newcomers: (n_reps, n_months)."""
    first = moments.month_of(inputs.as_of, inputs.zone)
    columns = []
    for month in months:
        ahead = rule(past, int(month) - first + 1) if past.shape[1] else np.full(len(past), np.nan)
        columns.append(np.where(np.isfinite(ahead), ahead, newcomers_mean(past)))
    return np.maximum(np.column_stack(columns), 0.0)


def newcomers_mean(past: Floats, n_months: int = 3) -> float:
    """Mean contribution in the first months of reps hired within the data.

    The desk's mean where fewer than six such months are known; 0 without any history.
    """
    seen = np.isfinite(past)
    if not seen.any():
        return 0.0
    rank = np.cumsum(seen, axis=1)
    hired_inside = ~seen[:, :1]
    first = past[seen & (rank <= n_months) & hired_inside]
    return float(first.mean()) if len(first) >= 6 else float(past[seen].mean())


def share_left(inputs: ForecastInputs, months: Integers) -> Floats:
    """Share of each month's working days that each rep has left after as_of: (n_reps, n_months)."""
    whole = months_exposure(inputs.exposure, months, inputs.zone)
    left = inputs.exposure_of_reps(months)
    return np.where(whole[None] > 0, left / np.maximum(whole[None], 1e-9), 0.0)


def _floor(past: Floats) -> float:
    """Money added under the root, so that a forecast of nothing still has a spread."""
    return 0.1 * float(np.nanmean(past)) if np.isfinite(past).any() else 1.0


def _fan(
    inputs: ForecastInputs,
    months: Integers,
    ahead: Floats,
    residuals: Callable[[int], Floats],
    floor: float,
    method: str,
) -> Fan:
    """Fan around closed + ahead; scaled residuals of as many steps as the month lies ahead give its width."""
    first = moments.month_of(inputs.as_of, inputs.zone)
    closed, share = closed_so_far(inputs, months), share_left(inputs, months)
    values = np.empty((*ahead.shape, len(FAN_LEVELS)))
    for h, month in enumerate(months):
        spread = np.quantile(residuals(int(month) - first + 1), FAN_LEVELS)
        # Under part of a month the width shrinks with the root of the days left, as the forecast itself does.
        scale = np.sqrt(np.maximum(ahead[:, h], 0.0) + floor * share[:, h])
        values[:, h] = closed[:, h, None] + np.maximum(ahead[:, h, None] + scale[:, None] * spread[None], 0.0)
        gone = share[:, h] <= 0
        values[gone, h] = closed[gone, h, None]
    return Fan(inputs.rep_ids, np.asarray(months), closed + ahead, values, method)


def scaled_residuals(past: Floats, rule: Rule, steps: int, floor: float, n_origins: int) -> Floats:
    """(y - forecast) / sqrt(forecast + floor) of past whole months, pooled over reps.

    Without enough history, the spread of a month around the desk's mean; (-1, 0, 1) x root mean where there is none.
    """
    found: list[Floats] = []
    n_months = past.shape[1]
    for target in range(n_months - 1, max(2, n_months - 1 - n_origins), -1):
        known = past[:, : target - steps + 1]
        if known.shape[1] < 1:
            break
        ahead = rule(known, steps)
        fine = np.isfinite(ahead) & np.isfinite(past[:, target])
        found.append((past[fine, target] - ahead[fine]) / np.sqrt(np.maximum(ahead[fine], 0.0) + max(floor, 1e-9)))
    residuals = np.concatenate(found) if found else np.empty(0)
    if len(residuals) >= 10:
        return residuals
    seen = past[np.isfinite(past)]
    if len(seen) >= 10:
        return np.asarray((seen - seen.mean()) / np.sqrt(max(float(seen.mean()), 1e-9)), dtype=np.float64)
    scale = float(np.sqrt(seen.mean())) if len(seen) and seen.mean() > 0 else 0.0
    return np.array([-1.0, 0.0, 1.0]) * scale


def fan_draws(fan: Fan, inputs: ForecastInputs, rng: np.random.Generator, n_draws: int) -> Draws:
    """Samples of a fan: each rep and month its own rank, independent; reps draw from streams of their own."""
    inputs = inputs.canonical()
    root = int(rng.integers(2**63))
    grid = np.concatenate(([0.0], FAN_LEVELS, [1.0]))
    samples = np.empty((n_draws, len(fan.rep_ids), len(fan.months)))
    for r, key in enumerate(stream_keys(inputs)):
        u = stream(root, 0, key).random((n_draws, len(fan.months)))
        for h in range(len(fan.months)):
            edge = np.concatenate((fan.values[r, h, :1], fan.values[r, h], fan.values[r, h, -1:]))
            samples[:, r, h] = np.interp(u[:, h], grid, edge)
    return Draws(
        fan.rep_ids, tuple(inputs.reps["team_id"].astype(str)), fan.months, samples,
        closed_so_far(inputs, fan.months), fan.mean, present(inputs, fan.months), fan.method,
    )  # fmt: skip
