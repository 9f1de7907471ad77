"""Recent weeks replayed under rival policies, with models trained on what was known before them.

Every policy meets the same leads in the same order, under the same hard rules and places. What each would have won is
estimated off policy from what happened (self-normalised and doubly robust, with support), by the model, and on
synthetic tables by the truth. Nothing is claimed where the log hardly ever did what the policy would have done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.accounts import LIVE, account_owners
from features.config import Config, Routing
from features.errors import RequestError
from features.messages import message
from features.moments import DAY, WEEK
from features.outcomes import hand_overs, lead_outcomes
from features.tables import Tables
from models.conversion.amount import AmountModel
from models.conversion.columns import PairColumns
from models.conversion.model import ConversionModel
from models.conversion.pooled import QUICK
from models.conversion.predictor import train_pooled
from models.routing.baselines import FixedPrices, Greedy, Habit, LeastBusy, QuotaQueues, RoundRobin, TieredByTenure
from models.routing.offpolicy import LoggedDecisions, OutcomeModel, SupportRules, evaluate, uplift
from models.routing.replay import RoutingPolicy, Stream, replay
from models.routing.repriced import Repriced
from models.routing.rules import Desk, eligible_matrix
from models.routing.settings import Mode, policy_settings
from training.datasets import Datasets, build_datasets, pair_columns
from training.replay_gain import Gain, RuleCost, RuleScene, model_gain, rule_costs
from training.unit import pair_values

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Truth = Callable[[list[str], list[str], Ints], tuple[Floats, Floats]]
"""(win probability, expected amount) as they truly are, (L, R) and (L,), of leads with reps at moments."""

OURS = "fairlead"
HABIT = "habit"
HISTORY_WEEKS = 12
FEWEST_LEADS = 30
SHARE_PRIOR = 2.0
HIGH_QUANTILE = 0.9


@dataclass(frozen=True)
class PolicyResult:
    """One policy over the replayed weeks. Sums over all leads; money in major units.

    `wins`, `value`: expected by the model trained before the weeks. `estimate`, `ci_low`, `ci_high`: wins a hundred
    leads estimated from what happened, doubly robust, 90 % interval; None where the log does not support a claim, with
    `doubt`. `snips` likewise, self-normalised. `true_wins`: where the truth is known.
    """

    name: str
    n_leads: int
    n_held: int
    wins: float
    value: float
    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    snips: float | None
    uplift: float | None
    uplift_low: float | None
    uplift_high: float | None
    effective_n: float
    outside_share: float
    supported: bool
    doubt: str
    true_wins: float | None = None
    true_value: float | None = None


@dataclass(frozen=True)
class Replay:
    """What the replay found. `given`: leads by policy and rep id; `habit_wins`: what really came of the log's choices.

    `routing_mode` is what the data before the weeks support. `model_gain`: ours less habit by the model, with its
    interval; None where no gain is claimed because reps do not differ. `rule_costs`: of the rules that are set.
    """

    first_week: str
    last_week: str
    n_weeks: int
    n_leads: int
    routing_mode: str
    results: tuple[PolicyResult, ...]
    given: dict[str, dict[str, int]]
    tenure_years: dict[str, float]
    habit_wins: float
    n_mature: int
    has_truth: bool
    notes: tuple[str, ...] = field(default=())
    model_gain: Gain | None = None
    rule_costs: tuple[RuleCost, ...] = ()

    def result(self, name: str) -> PolicyResult:
        """The result of one policy."""
        return next(one for one in self.results if one.name == name)


@dataclass(frozen=True)
class _Scene:
    """Stream and matrices of the replay; rows before `start` are history. `owner` (L,): rep who had the last lead of
    the same account when the lead came, -1 = nobody."""

    stream: Stream
    start: int
    leads: pd.DataFrame
    rep_ids: list[str]
    p: Floats
    value: Floats
    logged: Ints
    tenure: Floats
    lead_frame: pd.DataFrame
    rep_frame: pd.DataFrame
    matches: dict[str, Floats]
    owner: Ints


def replay_weeks(
    tables: Tables,
    config: Config,
    as_of: int,
    n_weeks: int,
    seed: int,
    desk_of: Callable[[Tables, int], tuple[list[str], Desk]],
    truth: Truth | None = None,
    progress: Callable[[str], None] | None = None,
) -> Replay:
    """Replay of the last whole `n_weeks` ISO weeks before `as_of`.

    `desk_of(tables, moment)`: rep ids and the desk as hard rules see it, with capacities. RequestError where the data
    before the weeks are too thin to train on, or the weeks hold too few routed leads.
    """
    say = progress or (lambda _: None)
    zone = tables.zone
    end = moments.start_of_week(as_of, zone)
    begin = moments.start_of_week(end - n_weeks * WEEK + DAY, zone)
    say(message("progress.training_before"))
    sets = build_datasets(tables, begin, config)
    if len(sets.pairs) < FEWEST_LEADS or not (sets.pairs["outcome"] == "won").any():
        raise RequestError(message("replay.too_thin", day=moments.iso(begin, zone)[:10]))
    rng = np.random.default_rng(seed)
    columns = pair_columns(sets.spec)
    conversion = ConversionModel.fit(sets.pairs, columns, rng, begin)
    amount = AmountModel.fit(sets.pairs, columns)
    say(message("progress.replaying"))
    scene = _scene(tables.known(as_of), sets, conversion, amount, begin, end, config, desk_of)
    n = scene.stream.n_leads - scene.start
    if n < FEWEST_LEADS:
        raise RequestError(message("replay.too_few", n=n, weeks=n_weeks, day=moments.iso(end, zone)[:10]))
    objective = scene.value if config.routing.objective == "expected_value" else scene.p
    mode = conversion.findings.routing_mode
    newcomer, high = scene.tenure < 1.0, _high(objective, scene.start)
    policies = _policies(scene, objective, mode, sets.pairs, columns, seed, config.routing, newcomer, high)
    choices = {p.name: replay(scene.stream, p, start=scene.start, carry=True).choice for p in policies}
    outcomes = lead_outcomes(tables, as_of, config.leads.dead_after_days)
    found = _judge(scene, choices, outcomes, conversion, truth, n_weeks, begin, end, zone)
    gain = None
    if mode != "lead_only":
        frame = sets.pairs.sort_values(["as_of", "lead_id"], kind="stable", ignore_index=True)
        trained = train_pooled(frame, columns, mode, begin, QUICK)
        ours, habit = (_placed(scene, choices[name]) for name in (OURS, HABIT))
        gain = model_gain(trained, ours, habit, conversion.calibrator.slope)
    wished = RuleScene(newcomer, high, scene.owner if (scene.owner >= 0).any() else None)
    costs = rule_costs(scene.stream, scene.start, objective, scene.value, scene.p, wished, config.routing)
    return replace(found, model_gain=gain, rule_costs=costs)


def _high(objective: Floats, start: int) -> Flags:
    """(L,) leads whose best value is among the highest tenth of those before the weeks."""
    best = objective.max(axis=1) if objective.size else np.zeros(len(objective))
    past = best[:start] if start else best
    return np.asarray(best >= np.quantile(past, HIGH_QUANTILE) if len(past) else np.zeros(len(best), dtype=bool))


def _placed(scene: _Scene, choice: Ints) -> pd.DataFrame:
    """The pairs that a policy placed in the weeks, with what the model says of them."""
    rows = np.arange(scene.start, scene.stream.n_leads)
    rows = rows[choice[rows] >= 0]
    rep = choice[rows]
    left = scene.lead_frame.iloc[rows].reset_index(drop=True)
    right = scene.rep_frame.iloc[rep].reset_index(drop=True)
    more = {name: values[rows, rep] for name, values in scene.matches.items()}
    p = scene.p[rows, rep]
    worth = np.where(p > 0, scene.value[rows, rep] / np.maximum(p, 1e-12), 0.0)
    return pd.concat([left, right], axis=1).assign(**more, p=p, worth=worth)


def _scene(
    known: Tables,
    sets: Datasets,
    conversion: ConversionModel,
    amount: AmountModel,
    begin: int,
    end: int,
    config: Config,
    desk_of: Callable[[Tables, int], tuple[list[str], Desk]],
) -> _Scene:
    """Routed leads of the history and the weeks, valued with features as of the weeks' start."""
    zone = known.zone
    leads = known.leads
    at = leads["created_at"].to_numpy(dtype=np.int64)
    mine = (at >= begin - HISTORY_WEEKS * WEEK) & (at < end) & (leads["sourced_by_rep_id"] == "").to_numpy()
    leads = leads.loc[mine].sort_values(["created_at", "lead_id"], kind="stable", ignore_index=True)
    at = leads["created_at"].to_numpy(dtype=np.int64)
    rep_ids, desk = desk_of(known, begin)
    world = sets.world
    frame = world.lead_features(leads, begin)
    reps = world.rep_features(np.array(rep_ids, dtype=object), begin, begin)
    reps.insert(0, "rep_id", pd.Series(rep_ids, dtype="str"))
    reps = pd.concat([reps, world.rep_categories(np.array(rep_ids, dtype=object), begin)], axis=1)
    matches = pair_values(conversion, world, leads, rep_ids, begin)
    p = conversion.predict_matrix(frame, reps, matches).win_probability
    worth = amount.expected_matrix(frame, reps)
    if conversion.findings.routing_mode == "lead_only":
        worth = np.broadcast_to(worth.mean(axis=1, keepdims=True), worth.shape)
    stream = _stream(leads, at, desk, zone, _own_places(known, rep_ids))
    overs = hand_overs(known).drop_duplicates("lead_id").set_index("lead_id")["rep_id"]
    index = {rep: i for i, rep in enumerate(rep_ids)}
    logged = np.array([index.get(str(rep), -1) for rep in overs.reindex(leads["lead_id"])], dtype=np.int64)
    start = int(np.searchsorted(at, begin))
    tenure = np.nan_to_num(reps["rep_tenure_years"].to_numpy(dtype=np.float64))
    owner = _account_owners(known, leads, index, config)
    return _Scene(stream, start, leads, rep_ids, p, p * worth, logged, tenure, frame, reps, matches, owner)


def _account_owners(known: Tables, leads: pd.DataFrame, index: dict[str, int], config: Config) -> Ints:
    """(L,) rep whose each lead's account was when it came; -1 where it was nobody's."""
    rule, days = config.routing.same_account, config.leads.dead_after_days
    owners = account_owners(known, live=rule == LIVE, dead_after_days=days)
    asked = zip(leads["account_id"], leads["created_at"].to_numpy(dtype=np.int64).tolist(), strict=True)
    found = [owners.owner(str(account), moment) if account else None for account, moment in asked]
    return np.array([-1 if one is None else index.get(one[0], -1) for one in found], dtype=np.int64)


def _own_places(known: Tables, rep_ids: list[str]) -> dict[tuple[int, int], int]:
    """Places that reps' own prospects take: (ISO week, rep) -> leads."""
    index = {rep: i for i, rep in enumerate(rep_ids)}
    own = set(known.leads.loc[(known.leads["sourced_by_rep_id"] != "").to_numpy(), "lead_id"])
    overs = hand_overs(known)
    overs = overs.loc[overs["lead_id"].isin(own).to_numpy()].drop_duplicates("lead_id")
    weeks = moments.weeks_of(overs["assigned_at"].to_numpy(dtype=np.int64), known.zone)
    found: dict[tuple[int, int], int] = {}
    for week, rep in zip(weeks, overs["rep_id"], strict=True):
        if str(rep) in index:
            key = int(week), index[str(rep)]
            found[key] = found.get(key, 0) + 1
    return found


def _stream(leads: pd.DataFrame, at: Ints, desk: Desk, zone: str, own: dict[tuple[int, int], int]) -> Stream:
    """Order, weeks, hard rules and places of the leads, less the places that own prospects take."""
    week = moments.weeks_of(at, zone)
    monday = np.array([moments.start_of_week(int(m), zone) for m in at], dtype=np.int64)
    territories = [str(t) for t in leads["territory"]]
    eligible = np.vstack([eligible_matrix(desk, int(m), [t]) for m, t in zip(at, territories, strict=True)])
    weeks = np.unique(week)
    capacity = np.tile(desk.capacity, (len(weeks), 1))
    for row, number in enumerate(weeks):
        taken = np.array([own.get((int(number), rep), 0) for rep in range(desk.n_reps)], dtype=np.int64)
        capacity[row] = np.maximum(capacity[row] - taken, 0)
    return Stream(
        arrived_at=at,
        week=week,
        week_fraction=np.clip((at - monday) / WEEK, 0.0, 1.0),
        eligible=eligible,
        weeks=weeks,
        capacity=capacity,
    )


def _policies(
    scene: _Scene,
    objective: Floats,
    mode: str,
    pairs: pd.DataFrame,
    columns: PairColumns,
    seed: int,
    routing: Routing,
    newcomer: Flags,
    high: Flags,
) -> list[RoutingPolicy]:
    stream = scene.stream
    score = naive_bayes(pairs, scene.leads, columns)
    lead_score = scene.p.mean(axis=1)
    named: Mode = "lead_only" if mode == "lead_only" else "priced"
    settings = replace(policy_settings(routing, named), exploration=0.0, holdout=0.0)
    rng = np.random.default_rng(seed)
    every = max(stream.n_leads // 400, 1)
    ours = Repriced(
        stream, objective, rng, settings, win_probability=scene.p, newcomer=newcomer, high=high, worth=scene.value,
        owner=scene.owner, every=every, name=OURS,
    )  # fmt: skip
    return [
        ours,
        Habit(stream, scene.logged, name=HABIT),
        RoundRobin(stream),
        LeastBusy(stream),
        TieredByTenure(stream, scene.tenure, lead_score),
        QuotaQueues(stream, score),
        Greedy(stream, objective),
        FixedPrices(stream, objective, np.random.default_rng(seed)),
    ]


def naive_bayes(pairs: pd.DataFrame, leads: pd.DataFrame, columns: PairColumns) -> Floats:
    """(L,) log odds of winning by naive Bayes on the lead's categories, as open-source CRMs score (add one half)."""
    done = pairs.loc[pairs["maturity"]]
    won = (done["outcome"] == "won").to_numpy()
    score = np.full(len(leads), np.log((won.sum() + 0.5) / ((~won).sum() + 0.5)))
    for name in columns.lead_categorical:
        if name not in leads.columns:
            continue
        values = done[name].to_numpy(dtype=object)
        for value in set(values):
            has = values == value
            ratio = ((has & won).sum() + 0.5) / (won.sum() + 1.0) * ((~won).sum() + 1.0) / ((has & ~won).sum() + 0.5)
            score[(leads[name] == value).to_numpy()] += np.log(ratio)
    return score


def _propensities(scene: _Scene) -> Floats:
    """(L, R) estimated chance that the desk's habit gave a lead to a rep.

    Shares of earlier leads by rep among those who may have the lead, kept apart for better and worse leads: the desk
    sends them differently. Smoothed towards taking turns.
    """
    good = scene.p.mean(axis=1) >= np.quantile(scene.p.mean(axis=1), 2 / 3)
    out = np.zeros_like(scene.p)
    rows = np.arange(len(scene.logged))
    for kind in (True, False):
        mine = (good == kind) & (scene.logged >= 0)
        # Leaves one out: a decision must not raise its own chance.
        counts = np.bincount(scene.logged[mine], minlength=scene.p.shape[1]).astype(np.float64)
        chances = scene.stream.eligible[mine].sum(axis=0)
        for i in rows[good == kind]:
            own = counts.copy()
            if scene.logged[i] >= 0:
                own[scene.logged[i]] -= 1.0
            rate = (own + SHARE_PRIOR * own.sum() / max(chances.sum(), 1)) / (chances + SHARE_PRIOR)
            weight = np.where(scene.stream.eligible[i], rate, 0.0)
            total = weight.sum()
            out[i] = weight / total if total > 0 else 0.0
    return out


def _judge(
    scene: _Scene,
    choices: dict[str, Ints],
    outcomes: pd.DataFrame,
    conversion: ConversionModel,
    truth: Truth | None,
    n_weeks: int,
    begin: int,
    end: int,
    zone: str,
) -> Replay:
    rows = np.arange(scene.start, scene.stream.n_leads)
    y, mature = _soft_outcomes(scene, outcomes, conversion)
    propensity = _propensities(scene)
    true_p: Floats | None = None
    worth: Floats | None = None
    if truth is not None:
        ids = [str(lead) for lead in scene.leads["lead_id"].iloc[rows]]
        true_p, worth = truth(ids, scene.rep_ids, scene.stream.arrived_at[rows])
    results = tuple(
        _result(name, choice, scene, rows, y, propensity, true_p, worth) for name, choice in choices.items()
    )
    given = {
        name: {rep: int((choice[rows] == r).sum()) for r, rep in enumerate(scene.rep_ids)}
        for name, choice in choices.items()
    }
    notes = []
    if true_p is None:
        notes.append("no_truth")
    last = moments.week_text(end - 1, zone)
    return Replay(
        moments.week_text(begin, zone), last, n_weeks, len(rows), conversion.findings.routing_mode, results, given,
        dict(zip(scene.rep_ids, map(float, scene.tenure), strict=True)), float(np.nansum(y[rows])),
        int(mature[rows].sum()), true_p is not None, tuple(notes),
    )  # fmt: skip


def _soft_outcomes(scene: _Scene, outcomes: pd.DataFrame, conversion: ConversionModel) -> tuple[Floats, Flags]:
    """(L,) 1 won, 0 lost, and for open leads the chance that is left; NaN where nobody had the lead. (L,) resolved."""
    found = outcomes.set_index("lead_id").reindex(scene.leads["lead_id"])
    state = found["outcome"].fillna("").to_numpy(dtype=object)
    rows = np.arange(len(state))
    at_owner = np.where(scene.logged >= 0, scene.p[rows, np.maximum(scene.logged, 0)], scene.p.mean(axis=1))
    end = int(scene.stream.arrived_at.max())
    age = np.maximum(end - scene.stream.arrived_at, 0) / DAY
    left = conversion.times.p_win_open(at_owner, age, scene.leads["source"].to_numpy(dtype=object))
    y = np.where(state == "won", 1.0, np.where((state == "lost") | (state == "dead"), 0.0, left))
    return np.where(state == "", np.nan, y), (state != "open") & (state != "")


def _result(
    name: str,
    choice: Ints,
    scene: _Scene,
    rows: Ints,
    y: Floats,
    propensity: Floats,
    true_p: Floats | None,
    worth: Floats | None,
) -> PolicyResult:
    chosen = choice[rows]
    placed = chosen >= 0
    at = np.maximum(chosen, 0)
    wins = np.where(placed, scene.p[rows, at], 0.0)
    value = np.where(placed, scene.value[rows, at], 0.0)
    log_ok = (scene.logged[rows] >= 0) & np.isfinite(y[rows])
    log_ok &= propensity[rows, np.maximum(scene.logged[rows], 0)] > 1e-6
    used, kept = rows[log_ok], chosen[log_ok]
    logged = scene.logged[used]
    log = LoggedDecisions(
        outcome=y[used],
        propensity=propensity[used, logged],
        target=(kept == logged).astype(np.float64),
        outside=((kept >= 0) & (propensity[used, np.maximum(kept, 0)] < SupportRules().thin)).astype(np.float64),
        cluster=scene.stream.week[used],
    )
    model = OutcomeModel(scene.p[used, logged], np.where(kept >= 0, scene.p[used, np.maximum(kept, 0)], 0.0))
    if name == HABIT:
        # The log is the habit: its own mean needs no weights.
        log = replace(log, propensity=np.ones(len(used)), target=np.ones(len(used)))
        model = OutcomeModel(model.logged, model.logged)
    judged = evaluate(log, model=model)
    gain = uplift(log, model=model)
    dr, snips = judged.estimates.get("dr"), judged.estimates.get("snips")
    more = gain.estimates.get("dr")
    supported = judged.supported or name == HABIT
    shown = dr is not None and supported
    true_wins = true_value = None
    if true_p is not None and worth is not None:
        sure = np.where(placed, true_p[np.arange(len(rows)), at], 0.0)
        true_wins, true_value = float(sure.sum()), float((sure * worth).sum())
    return PolicyResult(
        name=name,
        n_leads=len(rows),
        n_held=int((~placed).sum()),
        wins=float(wins.sum()),
        value=float(value.sum()),
        estimate=100 * dr.value if dr is not None and shown else None,
        ci_low=100 * dr.ci_low if dr is not None and shown else None,
        ci_high=100 * dr.ci_high if dr is not None and shown else None,
        snips=100 * snips.value if snips is not None and supported else None,
        uplift=100 * more.value if more is not None and shown and name != HABIT else None,
        uplift_low=100 * more.ci_low if more is not None and shown and name != HABIT else None,
        uplift_high=100 * more.ci_high if more is not None and shown and name != HABIT else None,
        effective_n=judged.effective_n,
        outside_share=judged.outside_share,
        supported=supported,
        doubt="" if supported else str(judged.doubt),
        true_wins=true_wins,
        true_value=true_value,
    )


__all__ = ["HABIT", "OURS", "PolicyResult", "Replay", "Truth", "naive_bayes", "replay_weeks"]
