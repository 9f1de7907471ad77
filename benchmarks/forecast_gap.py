"""Names the gap between the funnel's forecast and the oracle's: which part of the forecast it lies in.

    python -m benchmarks.forecast_gap [--worlds a,b] [--months N] [--draws N] [--seed-shift N]

The worlds, moments and skill of `benchmarks.forecast` (0 the mean of six months, 1 the oracle). Rows replace one part
of the funnel's forecast (no calibration, no choice) by what the world knows:

- oracle's open leads, our rest: what leads still to come, repeat purchases and closed amounts cost us;
- oracle's chances, our timing: every chance of ever winning is true, the law of when is learnt as always;
- our chances, oracle's timing: the law of open leads is the oracle's with our chance at hand-over;
- knowable open leads, our rest: the law of open leads of one who knows the world's laws, but of each lead only what
  the tables tell: its hidden quality averaged out, silence seen in activities only, closes only when entered. No
  forecaster can do better on average; stages count as entered when they happen.
- our chances, knowable timing: the same with our chance at hand-over.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from benchmarks.forecast import WORLDS, Rules, Snapshots, oracle_draws, shared_cases, skills, snapshots, told
from features import moments
from features.config import Config
from features.moments import DAY
from features.outcomes import contributions
from features.synthetic import OracleForecast, World, generate, knowable_open_leads, oracle_forecast, pair_chance
from features.synthetic.frames import to_days
from features.synthetic.oracle import lead_codes, rep_codes
from models.conversion.amount import AmountModel
from models.conversion.model import Prediction
from models.forecasting.contribution import draw_method
from models.forecasting.draws import Draws
from models.forecasting.funnel import FunnelForecaster
from models.forecasting.inputs import ForecastInputs
from training.backtest_forecast import BacktestSettings, score_draws
from training.datasets import build_datasets
from training.rolling import quick_conversion, snapshot_of
from training.snapshot import targets_of

QUICK = ("--worlds", "small", "--months", "1", "--draws", "100")


@dataclass(frozen=True)
class _TrueChances:
    """A conversion model that knows: each lead's chance in its owner's hands, hidden quality and all."""

    world: World

    def predict(self, pairs: pd.DataFrame) -> Prediction:
        """True chances of pairs at their hand-over."""
        calendar = self.world.physics.calendar
        at = to_days(self.world.config, calendar.first_day, pairs["as_of"].to_numpy(dtype=np.int64))
        lead, rep = lead_codes(self.world, pairs["lead_id"].tolist()), rep_codes(self.world, pairs["rep_id"].tolist())
        p = pair_chance(self.world, lead, rep, np.clip(at, 0.0, calendar.n_total - 61.0))
        return Prediction(p, p, p, np.log(p / (1.0 - p)), np.zeros(len(p)))


@dataclass(frozen=True)
class _Moment:
    """One origin: the inputs with our chances and with true ones."""

    inputs: ForecastInputs
    informed: ForecastInputs


def _gathered(gather: Snapshots, world: World, as_of: int) -> _Moment:
    past = build_datasets(gather.tables, as_of, Config(), gather.spec)  # type: ignore[arg-type]
    amount = AmountModel.fit(past.pairs, gather.like.columns)
    ours = snapshot_of(past, quick_conversion(past, gather.like), amount)
    informed = snapshot_of(past, _TrueChances(world), amount)  # type: ignore[arg-type]
    return _Moment(ours.inputs.canonical(), informed.inputs.canonical())


def hybrids(world: World, rules: Rules, moment: _Moment, n_draws: int) -> Mapping[str, Draws]:
    """Draws of the month of as_of by method."""
    inputs = moment.inputs
    sees_stages = "stages" not in rules.without
    as_of, months = inputs.as_of, inputs.months[:1]
    ours = FunnelForecaster.fit(inputs)
    rest = ours.draw(_rng(as_of), _without_open(inputs), months, n_draws)
    chances = dict(zip(inputs.open_leads["lead_id"], inputs.open_leads["p_win"], strict=True))
    known = told(world, rules.without)

    def oracle(its: Mapping[str, float] | None) -> OracleForecast:
        return oracle_forecast(world, as_of, _rng(as_of), 1, n_draws, sees_stages, its)

    def knowable(its: Mapping[str, float] | None) -> OracleForecast:
        return knowable_open_leads(world, known, as_of, list(chances), _rng(as_of), n_draws, its)

    return {
        "mean_6": draw_method("mean_6", _rng(as_of), inputs, months, n_draws, ours),
        "fairlead": ours.draw(_rng(as_of), inputs, months, n_draws),
        "oracle's open leads, our rest": _joined(rest, oracle(None)),
        "oracle's chances, our timing": FunnelForecaster.fit(moment.informed).draw(
            _rng(as_of), moment.informed, months, n_draws
        ),
        "our chances, oracle's timing": _joined(rest, oracle(chances)),
        "knowable open leads, our rest": _joined(rest, knowable(None)),
        "our chances, knowable timing": _joined(rest, knowable(chances)),
        "oracle": oracle_draws(world, inputs, n_draws, sees_stages),
    }


def _rng(as_of: int) -> np.random.Generator:
    return np.random.default_rng(as_of % 2**32)


def _without_open(inputs: ForecastInputs) -> ForecastInputs:
    """Open leads bring nothing, and still tell of habits."""
    return replace(inputs, open_leads=inputs.open_leads.assign(expected_amount=0.0, amount_log_sd=0.0)).canonical()


def _joined(rest: Draws, leads: OracleForecast) -> Draws:
    """Our draws of everything else with the world's of open leads."""
    place = pd.Index([str(rep) for rep in leads.rep_ids]).get_indexer(pd.Index(rest.rep_ids))
    added = np.where((place >= 0)[None, :, None], leads.open_leads[:, place], 0.0)
    samples = rest.samples + added
    return replace(rest, samples=samples, expected=samples.mean(axis=0))


def score_world(name: str, rules: Rules, n_months: int, settings: BacktestSettings) -> pd.DataFrame:
    """Scores of every row in a world's last months, with `world` and `when`."""
    world = generate(rules.config)
    tables = told(world, rules.without)
    last = rules.config.end_month
    firsts = [moments.month_start(m, tables.zone) for m in range(last - n_months + 1, last + 1)]
    gather = snapshots(tables, firsts[0])
    truth = contributions(tables, rules.config.end + 400 * DAY)[["rep_id", "month", "amount"]]
    goals = targets_of(tables)
    parts = []
    for when, later in (("first day", 0), ("day 15", 14 * DAY)):
        for first in firsts:
            moment = _gathered(gather, world, first + later)
            for method, draws in hybrids(world, rules, moment, settings.n_draws).items():
                rng = np.random.default_rng(1)
                scored = score_draws(moment.inputs, draws, method, "rep", truth, goals, settings, rng)
                parts.append(scored.assign(world=name, when=when))
    return pd.concat(parts, ignore_index=True)


def report(scores: pd.DataFrame) -> None:
    """Prints the skill of every row, pooled and by world."""
    cases = shared_cases(scores)
    for when, part in cases.groupby("when", sort=False):
        print(f"\n{when}: {part['world'].nunique()} worlds, {len(part) // part['method'].nunique()} rep-months")
        print(skills(part)[["wape", "pinball", "cover80", "bias", *_SKILLS]].round(3).to_string())
        for column in _SKILLS[:2]:
            by_world = {str(world): skills(mine)[column] for world, mine in part.groupby("world", sort=False)}
            print(f"  {column} by world:")
            print(pd.DataFrame(by_world).round(2).to_string())


_SKILLS = ("skill_wape", "skill_pinball", "skill_ap")


def main() -> None:
    """Both moments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--months", type=int, default=4)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--seed-shift", type=int, default=0, help="added to every world's seed, for choices made by it")
    args = parser.parse_args()
    settings = BacktestSettings(n_draws=args.draws, levels=("rep",))
    tables = []
    for name in args.worlds.split(","):
        config = replace(WORLDS[name].config, seed=WORLDS[name].config.seed + args.seed_shift)
        tables.append(score_world(name, replace(WORLDS[name], config=config), args.months, settings))
        print(f"{name} done", file=sys.stderr, flush=True)
    report(pd.concat(tables, ignore_index=True))


if __name__ == "__main__":
    main()
