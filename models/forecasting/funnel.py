"""Contribution by Monte Carlo of the funnel: closed so far + open leads + leads still to come + repeat purchases.

Fitted once (hazards, season, the company's shock) and carried in a release; the state of the desk (open leads, rates of
arrival, lead mix) is read from the inputs of each forecast, so an old release forecasts from today's pipeline.
Where leads are too few to learn from, the mean of recent months stands in and `mode` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from models.forecasting import arrivals, baselines
from models.forecasting.chain import Chain, build_chain
from models.forecasting.closing import ClosingSettings
from models.forecasting.draws import Draws
from models.forecasting.hazard_set import HazardSet, fit_hazard_set
from models.forecasting.hazards import HazardSettings
from models.forecasting.inputs import Changes, ForecastInputs
from models.forecasting.streams import stream, stream_keys

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mode = Literal["funnel", "mean"]

_HAZARDS = frozenset(each.name for each in fields(HazardSettings))
_CHUNK = 2_000_000  # random numbers held at once while a rep's open leads are drawn


@dataclass(frozen=True)
class FunnelSettings:
    """Choices of the funnel.

    `half_life_days` (effective) of arrival rates; `fewest_wins` below which the mean model stands in; `shock_sd` of the
    company's log shock before a backtest has told it, `shock_correlation` between months.
    """

    half_life_days: float = 90.0
    fewest_wins: int = 30
    shock_sd: float = 0.10
    shock_correlation: float = 0.7
    hazards: HazardSettings = field(default_factory=HazardSettings)
    closing: ClosingSettings = field(default_factory=ClosingSettings)


@dataclass(frozen=True)
class FunnelForecaster:
    """A fitted funnel. `season` (12,) multiplies arrivals by month of the year; `hazards` is None in mode "mean"."""

    mode: Mode
    hazards: HazardSet | None
    season: Floats
    settings: FunnelSettings

    @classmethod
    def fit(cls, inputs: ForecastInputs, settings: FunnelSettings | None = None) -> FunnelForecaster:
        """A funnel learnt from everything in `inputs`; mode "mean" where fewer than `fewest_wins` were won."""
        settings = settings or FunnelSettings()
        inputs = inputs.canonical()
        won = int((inputs.spells["event"] == "won").sum())
        if won < settings.fewest_wins or not len(inputs.arrivals):
            return cls("mean", None, np.ones(12), settings)
        months = arrivals.past_months(inputs, 60)
        n = arrivals.counts(
            inputs,
            inputs.rep_index(inputs.arrivals["rep_id"]),
            inputs.arrivals["assigned_at"].to_numpy(dtype=np.int64),
            months,
        )
        season = arrivals.fit_season(n, arrivals.past_exposure(inputs, months), months)
        laws = fit_hazard_set(inputs.spells, inputs.landmarks, settings.hazards, settings.closing)
        return cls("funnel", laws, season, settings)

    def with_shock(self, sd: float) -> FunnelForecaster:
        """The same funnel with the company's shock as a backtest measured it (`estimate_shock_sd`)."""
        return replace(self, settings=replace(self.settings, shock_sd=sd))

    def chain(self, inputs: ForecastInputs, months: Integers | None = None) -> Chain:
        """What the funnel expects, in closed form; needs mode "funnel"."""
        assert self.hazards is not None, "the mean model has no chain"
        inputs = inputs.canonical()
        wanted = inputs.months if months is None else months
        return build_chain(inputs, wanted, self.hazards, self.season, self.settings.half_life_days)

    def draw(
        self, rng: np.random.Generator, inputs: ForecastInputs, months: Integers | None = None, n_draws: int = 500
    ) -> Draws:
        """Samples of each rep's contribution in each month, closed so far included.

        Each rep draws from a stream of his own (his id, or `reps.stream`, with one number of `rng`), so the order of
        rows changes nothing and two forecasts with equal seeds differ only by what differs in their inputs.
        """
        inputs = inputs.canonical()
        wanted = inputs.months if months is None else months
        root = int(rng.integers(2**63))
        if self.mode == "mean":
            fan = baselines.recent_mean(inputs, wanted, 6)
            return baselines.fan_draws(fan, inputs, np.random.default_rng(root), n_draws)
        chain = self.chain(inputs, wanted)
        shock = self._shock(np.random.default_rng(root), n_draws, len(wanted))
        closed = baselines.closed_so_far(inputs, wanted)
        samples = np.empty((n_draws, len(inputs.reps), len(wanted)))
        streams = stream_keys(inputs)
        for r in range(len(inputs.reps)):
            samples[:, r] = closed[r] + _draw_rep(chain, r, shock, root, streams[r])
        return Draws(
            inputs.rep_ids, tuple(inputs.reps["team_id"].astype(str)), wanted, samples, closed,
            closed + chain.expected(), baselines.present(inputs, wanted), "funnel",
        )  # fmt: skip

    def what_if(
        self, rng: np.random.Generator, inputs: ForecastInputs, changes: Changes, n_draws: int = 500
    ) -> tuple[Draws, Draws]:
        """The forecast as it stands and under `changes`, from the same random numbers.

        Their difference is a forecast of the model, not an effect: what changing the driver would do is another
        question. In mode "mean" only absence and lead share can matter, both through the working days left.
        """
        seed = int(rng.integers(2**63))
        now = self.draw(np.random.default_rng(seed), inputs.with_changes(Changes()), n_draws=n_draws)
        then = self.draw(np.random.default_rng(seed), inputs.with_changes(changes), n_draws=n_draws)
        return now, then

    def _shock(self, rng: np.random.Generator, n_draws: int, n_months: int) -> Floats:
        """Multiplier of all wins by draw and month, mean 1, months correlated."""
        shared = np.sqrt(self.settings.shock_correlation)
        own = np.sqrt(1.0 - self.settings.shock_correlation)
        z = shared * rng.standard_normal((n_draws, 1)) + own * rng.standard_normal((n_draws, n_months))
        sd = self.settings.shock_sd
        return np.asarray(np.exp(sd * z - sd * sd / 2.0), dtype=np.float64)

    def to_parts(self) -> dict[str, object]:
        """JSON-able parameters, floats exact."""
        return {
            "mode": self.mode,
            "hazards": None if self.hazards is None else self.hazards.to_parts(),
            "season": [float(v) for v in self.season],
            "settings": asdict(self.settings),
        }

    @classmethod
    def from_parts(cls, parts: Mapping[str, object]) -> FunnelForecaster:
        """The funnel that `to_parts` described."""
        raw = dict(cast("Mapping[str, float]", parts["settings"]))
        # Releases of before the closing law hold settings of hazards by state, and none of the law.
        told = {name: value for name, value in cast("dict[str, float]", raw.pop("hazards")).items() if name in _HAZARDS}
        hazard = HazardSettings(**told)  # type: ignore[arg-type]
        closing = ClosingSettings(**cast("dict[str, float]", raw.pop("closing", {})))  # type: ignore[arg-type]
        settings = FunnelSettings(hazards=hazard, closing=closing, **raw)  # type: ignore[arg-type]
        hazards = parts["hazards"]
        return cls(
            cast("Mode", parts["mode"]),
            None if hazards is None else HazardSet.from_parts(cast("Mapping[str, object]", hazards)),
            np.array(cast("list[float]", parts["season"]), dtype=np.float64),
            settings,
        )


def estimate_shock_sd(
    actual: Floats, mean: Floats, own_variance: Floats, prior_sd: float = 0.10, strength: float = 6.0
) -> float:
    """Standard deviation of the company's log shock from past company-months, shrunk to a prior.

    Parameters
    ----------
    actual, mean, own_variance
        (n,) what the company sold, what was forecast, and the variance that independent reps explain. What the squared
        errors exceed that variance by is the shock's.
    strength
        Company-months that the prior counts for.
    """
    fine = np.isfinite(actual) & (mean > 0)
    actual, mean, own_variance = actual[fine], mean[fine], own_variance[fine]
    excess = ((actual - mean) ** 2 - own_variance) / mean**2
    pooled = (float(excess.sum()) + strength * prior_sd**2) / (len(excess) + strength)
    return float(np.sqrt(np.clip(np.log1p(max(pooled, 0.0)), 0.02**2, 0.6**2)))


def _draw_rep(chain: Chain, r: int, shock: Floats, root: int, key: int) -> Floats:
    """One rep's sampled money from open leads, coming leads and repeat purchases: (n_draws, n_months)."""
    streams = [stream(root, part, key) for part in range(4)]
    n_draws = len(shock)
    ability = _gamma(streams[3], chain.skill_shape[r], n_draws)
    lift = shock * ability[:, None]
    out = _open_money(chain, r, lift, streams[0])
    flow = _gamma(streams[3], chain.arrival_shape[r], n_draws)
    out += _compound(streams[1], chain.coming_wins[r] * lift * flow[:, None], chain.coming_log_mean[r],
                     chain.coming_log_sd[r])  # fmt: skip
    again = _gamma(streams[3], chain.repeat_shape[r], n_draws)
    out += _compound(streams[2], chain.repeat_wins[r] * shock * again[:, None], chain.repeat_log_mean[r],
                     chain.repeat_log_sd)  # fmt: skip
    return out


def _gamma(rng: np.random.Generator, shape: float, n: int) -> Floats:
    """Multipliers of mean 1 and variance 1 / shape; all 1 for an infinite shape."""
    if not np.isfinite(shape):
        return np.ones(n)
    return rng.standard_gamma(shape, n) / shape


def _open_money(chain: Chain, r: int, lift: Floats, rng: np.random.Generator) -> Floats:
    """Money from a rep's open leads: each is won in one month or in none."""
    low, high = chain.open_span[r], chain.open_span[r + 1]
    out = np.zeros(lift.shape)
    step = max(1, _CHUNK // max(len(lift), 1))
    for begin in range(low, high, step):
        part = slice(begin, min(begin + step, high))
        q = chain.open_wins[part]
        u = rng.random((len(lift), q.shape[0]))
        sd = chain.open_log_sd[part]
        amount = np.exp(chain.open_log_mean[part] + sd * rng.standard_normal(u.shape))
        none = np.maximum(1.0 - q.sum(axis=1), 0.0)
        # Odds against "not won in these months" are lifted, so that chances stay below 1.
        total = none[None] + sum(lift[:, h, None] * q[None, :, h] for h in range(q.shape[1]))
        edge = np.zeros(u.shape)
        for h in range(q.shape[1]):
            upper = edge + lift[:, h, None] * q[None, :, h] / np.maximum(total, 1e-300)
            out[:, h] += np.where((u >= edge) & (u < upper), amount, 0.0).sum(axis=1)
            edge = upper
    return out


def _compound(rng: np.random.Generator, rate: Floats, log_mean: float, log_sd: float) -> Floats:
    """Sums of Poisson many log-normal amounts for each rate."""
    n = rng.poisson(rate)
    amounts = np.exp(log_mean + log_sd * rng.standard_normal(int(n.sum())))
    owner = np.repeat(np.arange(n.size), n.ravel())
    sums = np.bincount(owner, weights=amounts, minlength=n.size)
    return np.asarray(sums, dtype=np.float64).reshape(rate.shape)
