"""The routing desk: decides inside the store's transaction, from a board that never changes.

Capacity, held leads and idempotency are read from the store in the same transaction that writes the decision, so any
number of workers and commands may share one home. Prices and values are cached; they steer, they never permit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.moments import DAY, HOUR, WEEK
from features.rows import parse_rows
from models.routing.holding import reconsider
from models.routing.policy import Candidates, Choice, Exclusion, HoldReason, decide
from models.routing.prices import Prices, Scenario, no_prices, solve_prices
from models.routing.settings import Mode, PolicySettings
from models.routing.transport import solve_transport
from models.routing.volume import remaining_volume
from serving.board import Board, Values
from serving.store import StoredDecision, Transaction

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Json = dict[str, Any]

POLICY_VERSION = "priced-1"
END_OF_DAY = 18 * HOUR
_PRICE_STEPS = 24  # a week's places are priced anew after each 24th of them
_REASONS = 4

AnswersOf = Callable[[Mapping[str, Any]], dict[str, bytes]]


@dataclass(frozen=True)
class Lead:
    """One lead to route: its row in table layout, as it was sent, and its id."""

    lead_id: str
    frame: pd.DataFrame
    row: Mapping[str, object]

    def text(self, name: str) -> str:
        """A text column of the lead, "" where it has none."""
        return str(self.frame[name].iloc[0]) if name in self.frame.columns else ""

    @property
    def created_at(self) -> int:
        return int(self.frame["created_at"].iloc[0])


@dataclass(frozen=True)
class RuleMode:
    """Where the model is switched off: for all, or for the reps of some teams, who then count as average."""

    everywhere: bool = False
    teams: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Week:
    """The ISO week of a decision and its places as the store and the tables have them now."""

    text: str
    start: int
    used: Ints
    n_arrived: int


class RoutingDesk:
    """Decides leads on one board. `answers_of` renders a record's answers by language; `rules` is set by the caller."""

    def __init__(self, board: Board, answers_of: AnswersOf) -> None:
        self.board = board
        self.rules = RuleMode()
        self._answers_of = answers_of
        self._last_lead_at = board.last_lead_at.copy()
        self._values: dict[tuple[str, int], Values] = {}
        self._frames: dict[int, pd.DataFrame] = {}
        self._prices: tuple[tuple[object, ...], Prices] | None = None
        self._tables_places: dict[int, set[tuple[str, str]]] = {}
        self._tables_arrived: dict[int, Ints] = {}

    # -- one lead -----------------------------------------------------------------------------------------------

    def assign(self, tx: Transaction, lead: Lead, decided_at: int) -> tuple[StoredDecision, bool]:
        """The decision about a lead, and whether it was made now. Held leads are looked at again on the way."""
        standing = tx.decision(lead.lead_id)
        if standing is not None:
            if standing.status == "held":
                self.release(tx, decided_at)
                standing = tx.decision(lead.lead_id) or standing
            return standing, False
        self._release_own(tx, decided_at, tx.held())
        stored = self._decide_new(tx, lead, decided_at)
        waiting = [held for held in tx.held() if held.lead_id != lead.lead_id]
        if waiting:
            self.release(tx, decided_at, waiting)
        return stored, True

    def _decide_new(self, tx: Transaction, lead: Lead, decided_at: int) -> StoredDecision:
        week = self.week_of(tx, decided_at)
        owner = self._owner_in_tables(lead, decided_at)
        if owner is not None:
            record = self._owned_record(lead, owner, "already_owned", decided_at)
            return self._store(tx, lead, decided_at, week, record, False)
        finder = self._finder(lead, decided_at)
        if finder is not None:
            return self._store(tx, lead, decided_at, week, self._own_record(lead, finder, decided_at, week), True)
        candidates, choice = self._choose(tx, lead, decided_at, week)
        record = self._record(lead, decided_at, candidates, choice)
        return self._store(tx, lead, decided_at, week, record, True)

    def _owner_in_tables(self, lead: Lead, decided_at: int) -> str | None:
        """Rep who has the lead by the tables' last hand-over, which counts in its own week; None where nobody does."""
        owner = self.board.owner_of(lead.lead_id)
        return owner if owner is not None and self.board.is_at_desk(owner, decided_at) else None

    def _finder(self, lead: Lead, decided_at: int) -> str | None:
        """Rep whose own prospect the lead is; None where it is to be routed, as once its finder has gone."""
        finder = lead.text("sourced_by_rep_id")
        return finder if finder and self.board.is_at_desk(finder, decided_at) else None

    def _own_record(self, lead: Lead, finder: str, decided_at: int, week: Week) -> Json:
        """An own prospect's decision: its finder's while he is there and has a place, else it waits for him alone."""
        rule = self.board.personal_rule(self.board.index[finder], decided_at, week.used)
        if rule is Exclusion.NONE:
            return self._owned_record(lead, finder, "own_prospect", decided_at)
        return self._waiting_record(lead, finder, rule, decided_at)

    def _choose(self, tx: Transaction, lead: Lead, decided_at: int, week: Week) -> tuple[Candidates, Choice]:
        values = self.values_of(lead, decided_at)
        exclusion, unlisted = self.board.exclusions(decided_at, lead.text("territory"), week.used)
        candidates = self._candidates(values, exclusion, week, decided_at)
        settings = self.settings()
        prices = self.prices(tx, week, decided_at) if settings.mode == "priced" else None
        owner = self.board.account_owners.get(lead.text("account_id")) if lead.text("account_id") else None
        choice = decide(
            candidates, prices, settings, self._rng(lead.lead_id),
            owner=self.board.index.get(owner) if owner is not None else None,
            high_value=bool(len(values.expected) and self._objective(values).max() >= self.board.high_value_from),
            territory_unlisted=unlisted,
        )  # fmt: skip
        return candidates, choice

    def _candidates(self, values: Values, exclusion: Ints, week: Week, decided_at: int) -> Candidates:
        return Candidates(
            self._objective(values), values.win_probability, exclusion, week.used, self.board.capacity,
            self._last_lead_at, self.board.newcomers(decided_at), None, values.uncertainty,
        )  # fmt: skip

    def _objective(self, values: Values) -> Floats:
        return values.objective(self.board.config.routing.objective)

    def settings(self) -> PolicySettings:
        """The policy's settings: fallback without a model, load and fairness where reps do not differ."""
        routing = self.board.config.routing
        return PolicySettings(
            mode=self.mode(),
            exploration=routing.exploration,
            holdout=routing.holdout,
            same_account=routing.same_account,
            newcomer_min=routing.newcomer_min,
            high_value_max=None,
        )

    def mode(self) -> Mode:
        """How decisions are made at present."""
        if self.rules.everywhere:
            return "rule"
        if self.board.unit is None:
            return "fallback"
        return "lead_only" if self.board.unit.routing_mode == "lead_only" else "priced"

    def _rng(self, name: str) -> np.random.Generator:
        """Chance of one decision, fixed by the lead and the versions, so that a replay draws the same."""
        version = self.board.unit.version if self.board.unit is not None else ""
        digest = hashlib.sha256(f"{POLICY_VERSION}|{version}|{name}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big"))

    # -- state of the week --------------------------------------------------------------------------------------

    def week_of(self, tx: Transaction, moment: int) -> Week:
        """Places used in the ISO week of the moment: distinct leads over tables, decisions and overrides."""
        zone = self.board.known.zone
        start = moments.start_of_week(moment, zone)
        text = moments.week_text(moment, zone)
        if start not in self._tables_places:
            self._tables_places[start] = self.board.placed_in_tables(start)
            self._tables_arrived[start] = self._arrivals(start)
        placed = self._tables_places[start] | tx.placements(text)
        used = np.zeros(len(self.board.rep_ids), dtype=np.int64)
        for rep, _ in placed:
            if rep in self.board.index:
                used[self.board.index[rep]] += 1
        held = sum(1 for decision in tx.held() if decision.week == text)
        in_tables = int(np.searchsorted(self._tables_arrived[start], moment, side="right"))
        decided = len({lead for _, lead in tx.placements(text)})
        return Week(text, start, used, in_tables + decided + held)

    def _arrivals(self, start: int) -> Ints:
        at = self.board.routed_at
        return at[(at >= start) & (at < start + WEEK)]

    def prices(self, tx: Transaction, week: Week, moment: int) -> Prices:
        """Prices of places now; solved anew after each 24th of the week's places, each two hours, or a new hold."""
        held = tx.held()
        n_reps = len(self.board.rep_ids)
        room = np.maximum(self.board.capacity - week.used, 0)
        step = max(int(self.board.capacity.sum()) // _PRICE_STEPS, 1)
        key = (week.text, (moment - week.start) // (2 * HOUR), int(week.used.sum()) // step, len(held))
        if self._prices is not None and self._prices[0] == key:
            return self._prices[1]
        scenario = self.board.scenario(moment)
        if not len(scenario.values) and not held:
            return no_prices(n_reps)
        prior, profile = self.board.volume
        share = profile.share_elapsed((moment - week.start) / WEEK)
        volume = remaining_volume(prior, week.n_arrived, share)
        newcomer_min = self.board.config.routing.newcomer_min
        lower = None
        if newcomer_min > 0:
            missing = np.maximum(newcomer_min - week.used, 0)
            lower = np.where(self.board.newcomers(moment), missing, 0).astype(np.int64)
        prices = solve_prices(
            scenario, room, volume, self._rng(f"prices|{key}"), held=self._held_scenario(held, moment), lower=lower
        )
        self._prices = (key, prices)
        return prices

    def values_of(self, lead: Lead, moment: int) -> Values:
        """Worth of a lead with every rep, cached a day."""
        key = (lead.lead_id, moment // DAY)
        if key not in self._values:
            if len(self._values) > 4_000:
                self._values.clear()
            self._values[key] = self.board.values(lead.frame, moment, self.rep_frame(moment))[0]
        return self._levelled(self._values[key])

    def _levelled(self, values: Values) -> Values:
        """Values in which reps of teams under rule mode count as average."""
        if not self.rules.teams or not len(values.expected):
            return values
        off = self.board.reps["team_id"].isin(self.rules.teams).to_numpy()
        return Values(
            np.where(off, values.win_probability.mean(), values.win_probability),
            np.where(off, values.expected.mean(), values.expected),
            values.uncertainty,
        )

    def rep_frame(self, moment: int) -> pd.DataFrame | None:
        """Rep features for decisions of the moment's day: tenure moves by days, the rest by the data."""
        if self.board.unit is None:
            return None
        key = moment if moment < self.board.as_of else -(moment // DAY)
        if key not in self._frames:
            if len(self._frames) > 50:
                self._frames.clear()
            self._frames[key] = self.board.rep_frame(moment)
        return self._frames[key]

    # -- held leads ---------------------------------------------------------------------------------------------

    def lead_of(self, stored: StoredDecision) -> Lead:
        """The lead of a stored decision, typed again from its row."""
        frame = parse_rows("leads", [stored.lead], self.board.tables, check_references=False).frame
        return Lead(stored.lead_id, frame, stored.lead)

    def _held_values(self, held: Sequence[StoredDecision], moment: int) -> tuple[Floats, Flags]:
        """(H, R) values of held leads, and who may have them but for places."""
        n_reps = len(self.board.rep_ids)
        values, eligible = np.zeros((len(held), n_reps)), np.zeros((len(held), n_reps), dtype=np.bool_)
        nobody_used = np.zeros(n_reps, dtype=np.int64)
        for i, stored in enumerate(held):
            lead = self.lead_of(stored)
            if self._finder(lead, moment) is not None:
                continue  # waits for his finder's place, and asks for nobody else's
            values[i] = self._objective(self.values_of(lead, moment))
            exclusion, _ = self.board.exclusions(moment, lead.text("territory"), nobody_used)
            eligible[i] = exclusion == Exclusion.NONE
        return values, eligible

    def _held_scenario(self, held: Sequence[StoredDecision], moment: int) -> Scenario | None:
        return Scenario(*self._held_values(held, moment)) if held else None

    def release(
        self, tx: Transaction, moment: int, waiting: Sequence[StoredDecision] | None = None
    ) -> list[StoredDecision]:
        """Held leads that go to a rep now, each taking a place in the week of the moment."""
        everyone = list(tx.held() if waiting is None else waiting)
        if not everyone:
            return []
        found = self._release_own(tx, moment, everyone)
        held = [stored for stored in everyone if self._finder(self.lead_of(stored), moment) is None]
        if self.mode() != "priced":
            return found + self._release_by_rules(tx, moment, held)
        week = self.week_of(tx, moment)
        values, eligible = self._held_values(held, moment)
        room = np.maximum(self.board.capacity - week.used, 0)
        prices = self.prices(tx, week, moment)
        for release in reconsider(values, eligible, prices, room):
            lead = self.lead_of(held[release.lead])
            found.append(self._release_to(tx, lead, moment, self.board.rep_ids[release.rep], release.price))
        return found

    def _release_own(self, tx: Transaction, moment: int, held: Sequence[StoredDecision]) -> list[StoredDecision]:
        """Own prospects whose finder is back or has a place again go to him, the longest waiting first."""
        found = []
        for stored in held:
            lead = self.lead_of(stored)
            finder = self._finder(lead, moment)
            if finder is None:
                continue
            used = self.week_of(tx, moment).used
            if self.board.personal_rule(self.board.index[finder], moment, used) is Exclusion.NONE:
                found.append(self._release_to(tx, lead, moment, finder, 0.0, "owner", "own_prospect_released"))
        return found

    def _release_by_rules(self, tx: Transaction, moment: int, held: Sequence[StoredDecision]) -> list[StoredDecision]:
        found = []
        for stored in held:
            lead = self.lead_of(stored)
            _, choice = self._choose(tx, lead, moment, self.week_of(tx, moment))
            if choice.rep is not None:
                found.append(self._release_to(tx, lead, moment, self.board.rep_ids[choice.rep], 0.0, choice.policy))
        return found

    def _release_to(
        self, tx: Transaction, lead: Lead, moment: int, rep_id: str, price: float,
        policy: str = "priced", code: str = "released",
    ) -> StoredDecision:  # fmt: skip
        values = self.values_of(lead, moment)
        rep = self.board.index[rep_id]
        record = self._base(lead, moment) | {
            "rep_id": rep_id,
            "status": "assigned",
            "win_probability": float(values.win_probability[rep]),
            "expected_value": float(values.expected[rep]),
            "capacity_price": float(price),
            "policy": policy,
            "propensity": 1.0,
            "reasons": [{"feature": "capacity", "code": code, "numbers": {}, "contribution": 0.0}],
            "alternatives": [],
        }
        self._last_lead_at[rep] = max(int(self._last_lead_at[rep]), moment)
        week = moments.week_text(moment, self.board.known.zone)
        return tx.release_held(
            lead.lead_id, decided_at=moment, rep_id=rep_id, week=week, record=record, answers=self._answers_of(record)
        )

    def day_ends(self, after: int, until: int) -> list[int]:
        """Ends of working days (18:00 local) later than `after` and not later than `until`."""
        zone = self.board.known.zone
        day = moments.start_of_day(moments.day_of(after, zone), zone)
        found = []
        while day <= until:
            end = day + END_OF_DAY
            if after < end <= until and self._is_working_day(day):
                found.append(end)
            day = moments.start_of_day(moments.day_of(day + DAY + 12 * HOUR, zone), zone)
        return found

    def _is_working_day(self, day: int) -> bool:
        zone = self.board.known.zone
        weight = self.board.workdays.weights(int(moments.local_days(np.array([day]), zone)[0]), 1)
        return bool(weight[0] >= 0.1)

    # -- many leads at once -------------------------------------------------------------------------------------

    def assign_batch(
        self, tx: Transaction, leads: Sequence[Lead], decided_at: int
    ) -> list[tuple[StoredDecision, bool]]:
        """Decisions about leads decided together, in the order given; a lead named twice is answered once.

        What rules, owners or the hold-out decide goes first, one by one; the rest solves one transport problem of
        values less prices on the places left.
        """
        answers: dict[str, tuple[StoredDecision, bool]] = {}
        joint: list[Lead] = []
        for lead in {lead.lead_id: lead for lead in leads}.values():
            if tx.decision(lead.lead_id) is None and self._is_joint(lead, decided_at):
                joint.append(lead)
            else:
                answers[lead.lead_id] = self.assign(tx, lead, decided_at)
        for lead, stored in zip(joint, self._solve_together(tx, joint, decided_at), strict=True):
            answers[lead.lead_id] = (stored, True)
        if tx.held():
            self.release(tx, decided_at)
        return [(tx.decision(name) or stored, new) for name, (stored, new) in answers.items()]

    def _is_joint(self, lead: Lead, decided_at: int) -> bool:
        owned = self._owner_in_tables(lead, decided_at) or self._finder(lead, decided_at)
        if self.mode() != "priced" or owned is not None:
            return False
        account = lead.text("account_id")
        if account and self.board.config.routing.same_account and account in self.board.account_owners:
            return False
        holdout = self.board.config.routing.holdout
        return holdout == 0.0 or self._rng(f"holdout|{lead.lead_id}").random() >= holdout

    def _solve_together(self, tx: Transaction, leads: Sequence[Lead], decided_at: int) -> list[StoredDecision]:
        if not leads:
            return []
        week = self.week_of(tx, decided_at)
        prices = self.prices(tx, week, decided_at).effective
        chosen = [self._choose_quietly(lead, decided_at, week) for lead in leads]
        values = np.stack([candidates.value for candidates in chosen])
        open_ = np.stack([candidates.exclusion == Exclusion.NONE for candidates in chosen])
        net = values - prices[None, :]
        room = np.maximum(self.board.capacity - week.used, 0)
        answer = solve_transport(np.where(open_, net, 0.0), open_ & (net >= 0.0), room, hold_value=0.0)
        stored = []
        settings = replace(self.settings(), exploration=0.0, holdout=0.0)
        for i, (lead, candidates) in enumerate(zip(leads, chosen, strict=True)):
            rep = int(answer.choice[i])
            choice = decide(candidates, Prices(prices, np.zeros_like(prices)), settings, self._rng(lead.lead_id))
            if rep >= 0:
                choice = replace(choice, rep=rep, hold=HoldReason.NONE, propensity=1.0, policy="priced")
            else:
                why = HoldReason.BELOW_PRICE if choice.rep is not None else choice.hold
                choice = replace(choice, rep=None, hold=why, propensity=1.0, policy="priced")
            record = self._record(lead, decided_at, candidates, choice)
            stored.append(self._store(tx, lead, decided_at, week, record, True))
        return stored

    def _choose_quietly(self, lead: Lead, decided_at: int, week: Week) -> Candidates:
        exclusion, _ = self.board.exclusions(decided_at, lead.text("territory"), week.used)
        return self._candidates(self.values_of(lead, decided_at), exclusion, week, decided_at)

    # -- records ------------------------------------------------------------------------------------------------

    def _store(
        self, tx: Transaction, lead: Lead, decided_at: int, week: Week, record: Json, takes_place: bool
    ) -> StoredDecision:
        rep_id = record["rep_id"]
        if rep_id is not None:
            rep = self.board.index[rep_id]
            self._last_lead_at[rep] = max(int(self._last_lead_at[rep]), decided_at)
        return tx.put_decision(
            lead.lead_id,
            decided_at=decided_at,
            status=record["status"],
            rep_id=rep_id,
            week=week.text if takes_place else "",
            record=record,
            lead=dict(lead.row),
            answers=self._answers_of(record),
        )

    def _base(self, lead: Lead, decided_at: int) -> Json:
        unit = self.board.unit
        return {
            "lead_id": lead.lead_id,
            "decided_at": moments.iso(decided_at, self.board.known.zone),
            "model_version": unit.version if unit is not None else None,
            "policy_version": f"{POLICY_VERSION}:{self.mode()}",
            "data_until": moments.iso(self.board.as_of, self.board.known.zone),
        }

    def _owned_record(self, lead: Lead, rep_id: str, code: str, decided_at: int) -> Json:
        values = self.values_of(lead, decided_at)
        rep = self.board.index[rep_id]
        return self._base(lead, decided_at) | {
            "rep_id": rep_id,
            "status": "assigned",
            "win_probability": float(values.win_probability[rep]),
            "expected_value": float(values.expected[rep]),
            "capacity_price": 0.0,
            "policy": "owner",
            "propensity": 1.0,
            "reasons": [{"feature": "ownership", "code": code, "numbers": {}, "contribution": 0.0}],
            "alternatives": [],
        }

    def _waiting_record(self, lead: Lead, finder: str, rule: Exclusion, decided_at: int) -> Json:
        """An own prospect that waits for its finder, whom a rule keeps from it now."""
        values = self.values_of(lead, decided_at)
        rep, name = self.board.index[finder], rule.name.lower()
        return self._base(lead, decided_at) | {
            "rep_id": None,
            "status": "held",
            "win_probability": None,
            "expected_value": None,
            "capacity_price": None,
            "policy": "owner",
            "propensity": 1.0,
            "reasons": [_reason("ownership", "held_own_prospect", {"rep": finder, "rule": name})],
            "alternatives": [
                {
                    "rep_id": finder,
                    "win_probability": float(values.win_probability[rep]),
                    "expected_value": float(values.expected[rep]),
                    "capacity_price": 0.0,
                    "propensity": 0.0,
                    "why_not": "excluded",
                    "rule": name,
                }
            ],
        }

    def _record(self, lead: Lead, decided_at: int, candidates: Candidates, choice: Choice) -> Json:
        values = self.values_of(lead, decided_at)
        rep = choice.rep
        return self._base(lead, decided_at) | {
            "rep_id": None if rep is None else self.board.rep_ids[rep],
            "status": "held" if rep is None else "assigned",
            "win_probability": None if rep is None else float(candidates.win_probability[rep]),
            "expected_value": None if rep is None else float(values.expected[rep]),
            "capacity_price": None if rep is None else float(choice.price[rep]),
            "policy": choice.policy,
            "propensity": choice.propensity,
            "reasons": self._reasons(lead, decided_at, candidates, choice),
            "alternatives": [
                {
                    "rep_id": self.board.rep_ids[other.rep],
                    "win_probability": other.win_probability,
                    "expected_value": float(values.expected[other.rep]),
                    "capacity_price": other.price,
                    "propensity": other.propensity,
                    "why_not": other.why_not.name.lower(),
                    "rule": other.exclusion.name.lower(),
                }
                for other in choice.alternatives
                if other.rep != rep
            ],
        }

    def _reasons(self, lead: Lead, decided_at: int, candidates: Candidates, choice: Choice) -> list[Json]:
        """Codes and numbers: what speaks for the chosen rep against the runner-up, price, and who was ruled out."""
        reasons: list[Json] = []
        if choice.rep is None:
            reasons.append(_reason("capacity", f"held_{choice.hold.name.lower()}"))
        else:
            reasons += self._against_runner_up(lead, decided_at, candidates, choice)
        if choice.owner_unavailable is not Exclusion.NONE:
            reasons.append(_reason("ownership", "owner_unavailable", {"rule": choice.owner_unavailable.name.lower()}))
        removed = {
            Exclusion(int(code)).name.lower(): int(n)
            for code, n in zip(*np.unique(candidates.exclusion, return_counts=True), strict=True)
            if code not in (Exclusion.NONE, Exclusion.NOT_SALES)
        }
        if removed:
            reasons.append(_reason("hard_rules", "ruled_out", removed))
        return reasons

    def _against_runner_up(self, lead: Lead, decided_at: int, candidates: Candidates, choice: Choice) -> list[Json]:
        assert choice.rep is not None
        unit, rep, other = self.board.unit, choice.rep, choice.runner_up
        if choice.policy not in ("priced", "explore"):
            share = float(candidates.used[rep] / max(int(candidates.capacity[rep]), 1))
            return [_reason("load", f"by_{choice.policy}", {"load_share": share})]
        if other is None or unit is None or self.board.world is None:
            return [_reason("capacity", "only_one_left")]
        numbers = {
            "rep": self.board.rep_ids[rep],
            "other": self.board.rep_ids[other],
            "p": float(candidates.win_probability[rep]),
            "p_other": float(candidates.win_probability[other]),
            "value": float(candidates.value[rep]),
            "value_other": float(candidates.value[other]),
            "price": float(choice.price[rep]),
            "price_other": float(choice.price[other]),
        }
        found = [_reason("net_value", "explored" if choice.policy == "explore" else "best_net", numbers)]
        frame = self.board.world.lead_features(lead.frame, self.board.feature_moment(decided_at))
        reps = self.rep_frame(decided_at)
        assert reps is not None
        parts = unit.explain(frame, reps.iloc[[rep]], reps.iloc[[other]])
        top = sorted(parts, key=lambda part: -abs(part[1]))[:_REASONS]
        found += [
            {"feature": name, "code": "feature", "numbers": {"points": 100 * points}, "contribution": points}
            for name, points in top
            if abs(points) >= 1e-4
        ]
        difference = float(choice.price[rep] - choice.price[other])
        if difference:
            found.append(_reason("capacity_price", "price", numbers, -difference))
        return found


def _reason(feature: str, code: str, numbers: Mapping[str, object] | None = None, contribution: float = 0.0) -> Json:
    return {"feature": feature, "code": code, "numbers": dict(numbers or {}), "contribution": contribution}
