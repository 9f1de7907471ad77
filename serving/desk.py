"""The routing desk: decides inside the store's transaction, from a board that never changes.

Capacity, waiting leads and idempotency are what the transaction that writes the decision sees, so any number of
workers and commands may share one home. Prices and values are cached; they steer, they never permit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from features import moments
from features.moments import DAY, HOUR
from features.rows import parse_rows
from models.routing.holding import any_worth_a_place, plan_batch, reconsider
from models.routing.policy import Candidates, Choice, Exclusion, decide
from models.routing.prices import Prices, Scenario
from models.routing.rules import eligible_matrix
from models.routing.settings import VALUED, Mode, PolicySettings, policy_settings
from serving.board import Board
from serving.leads import Lead, leads_of
from serving.ledger import Ledger
from serving.records import Recorder
from serving.store import Pulse, StoredDecision, Transaction
from serving.team import Values
from serving.waiting import WaitingLeads, WaitingRows
from serving.week import LateChance, Week, WeekBook

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Json = dict[str, Any]

END_OF_DAY = 18 * HOUR
WORKING_DAY = 0.25  # of an ordinary day's work; weekends and holidays keep less
_MOST_REMEMBERED = 4_000
_MOST_VALUE_BYTES = 32_000_000  # of remembered worths: with thousands of reps a lead's take 48 KB and more

AnswerOf = Callable[[Mapping[str, Any], str], bytes]


@dataclass(frozen=True)
class RuleMode:
    """Where the model is switched off: for all, or for the reps of some teams, who then count as average."""

    everywhere: bool = False
    teams: frozenset[str] = frozenset()


def rule_mode_of(setting: object) -> RuleMode:
    """The rule mode that the store's setting says."""
    given: Mapping[str, Any] = setting if isinstance(setting, dict) else {}
    return RuleMode(bool(given.get("all", False)), frozenset(given.get("teams", [])))


class RoutingDesk:
    """Decides leads on one board. `answer_of` renders a record's answer in a language, when first asked for.

    `attend` comes first in every transaction: it takes the store's state over.
    """

    def __init__(self, board: Board, answer_of: AnswerOf, ledger: Ledger | None = None) -> None:
        self.board = board
        self.rules = RuleMode()
        self.ledger = ledger if ledger is not None else Ledger()
        self.book = WeekBook(board, self.ledger)
        self._answer_of = answer_of
        self._records = Recorder(board)
        self._values: dict[tuple[str, int], Values] = {}
        self._most_values = min(_MOST_REMEMBERED, max(_MOST_VALUE_BYTES // max(24 * len(board.rep_ids), 1), 64))
        self._settings: dict[Mode, PolicySettings] = {}
        self._leads: dict[str, Lead] = {}
        self._last_lead: tuple[int, Ints] = (-1, board.last_lead_at)
        self._no_end = (0, 0)  # a stretch that is known to hold no end of a working day
        self._waiting = WaitingLeads(len(board.rep_ids))

    def attend(self, tx: Transaction, pulse: Pulse | None = None) -> RoutingDesk:
        """The desk, once what it remembers of the store is what the transaction sees."""
        now = pulse or tx.pulse()
        self.ledger.sync(tx, now)
        self.rules = rule_mode_of(now.rule_mode)
        return self

    # -- one lead -----------------------------------------------------------------------------------------------

    def assign(
        self, tx: Transaction, lead: Lead, decided_at: int, lang: str | None = None
    ) -> tuple[StoredDecision, bool]:
        """The decision about a lead, and whether it was made now. Waiting leads are looked at again on the way.

        `lang`: language in which the caller will be answered, None where nobody is.
        """
        standing = tx.decision(lead.lead_id)
        if standing is not None:
            if standing.status == "held":
                self.release(tx, decided_at)
                standing = tx.decision(lead.lead_id) or standing
            return standing, False
        waiting = self.ledger.waiting(decided_at)
        by_rules = self.mode() not in VALUED
        if waiting and by_rules:
            self.release(tx, decided_at)  # who has waited longest comes first where value does not decide
        elif waiting:
            self._release_own(tx, decided_at, waiting)
        stored = self._decide_new(tx, lead, decided_at, lang=lang)
        if waiting and not by_rules:
            self.release(tx, decided_at, self._still(waiting))
        return stored, True

    def _still(self, waiting: Sequence[StoredDecision]) -> Sequence[StoredDecision]:
        """Those of the leads that wait still; the same object where all do."""
        held = self.ledger.held
        if all(one.lead_id in held for one in waiting):
            return waiting
        return [one for one in waiting if one.lead_id in held]

    def _decide_new(
        self, tx: Transaction, lead: Lead, decided_at: int, planned: int | None = None, lang: str | None = None,
        joint: tuple[int, int] | None = None,
    ) -> StoredDecision:  # fmt: skip
        """`joint`: the lead's place among those planned together, and how many they are."""
        owned = self._owned(tx, lead, decided_at)
        if owned is not None:
            record, takes_place = owned
            return self._store(tx, lead, decided_at, record, lang, takes_place=takes_place)
        values, candidates, choice = self._choose(tx, lead, decided_at, planned)
        record = self._records.chosen(lead, values, candidates, choice, decided_at, self.mode())
        if joint is not None:
            record["joint"] = {"place": joint[0], "of": joint[1]}
        return self._store(tx, lead, decided_at, record, lang)

    def _owned(self, tx: Transaction, lead: Lead, decided_at: int) -> tuple[Json, bool] | None:
        """Record about a lead that is somebody's already, and whether it takes a place of this week."""
        rep = self._owner_in_tables(lead, decided_at)
        if rep is not None:
            values = self.values_of(lead, decided_at)
            return self._records.owned(lead, values, rep, "already_owned", decided_at, self.mode()), False
        rep = self._finder(lead, decided_at)
        if rep is None:
            return None
        values = self.values_of(lead, decided_at)
        rule = self.board.personal_rule(rep, decided_at, self.book.week_of(tx, decided_at).used)
        if rule is Exclusion.NONE:
            return self._records.owned(lead, values, rep, "own_prospect", decided_at, self.mode()), True
        return self._records.waiting(lead, values, rep, rule, decided_at, self.mode()), True

    def _owner_in_tables(self, lead: Lead, decided_at: int) -> int | None:
        """Rep who has the lead by the tables' last hand-over, which counts in its own week; None where nobody does."""
        owner = self.board.owner_of(lead.lead_id)
        return self.board.index[owner] if owner is not None and self.board.is_at_desk(owner, decided_at) else None

    def _finder(self, lead: Lead, decided_at: int) -> int | None:
        """Rep whose own prospect the lead is; None where it is to be routed, as once its finder has gone."""
        finder = lead.text("sourced_by_rep_id")
        return self.board.index[finder] if finder and self.board.is_at_desk(finder, decided_at) else None

    def _account_owner(self, tx: Transaction, lead: Lead, decided_at: int) -> int | None:
        """Rep whose the lead's account is, by tables or newer decisions; None where it is nobody's."""
        account = lead.text("account_id")
        if not account or not self.board.config.routing.same_account:
            return None
        owners, decided = self.board.account_owners, tx.account_owner(account)
        told = owners.owner(account, decided_at)
        if decided is not None and owners.still(decided[2], decided[1], decided_at):
            told = max(told or ("", -1), decided[:2], key=lambda one: one[1])
        return self.board.index.get(told[0]) if told is not None else None

    def _choose(
        self, tx: Transaction, lead: Lead, decided_at: int, planned: int | None = None
    ) -> tuple[Values, Candidates, Choice]:
        week, settings = self.book.week_of(tx, decided_at), self.settings()
        values = self.values_of(lead, decided_at)
        exclusion, unlisted = self.board.exclusions(decided_at, lead.text("territory"), week.used)
        candidates = self._candidates(tx, values, exclusion, week, decided_at)
        choice = decide(
            candidates,
            self.book.prices(tx, decided_at, self._scenario_at(decided_at)) if settings.mode in VALUED else None,
            settings,
            LateChance(self.board, lead.lead_id),
            owner=self._account_owner(tx, lead, decided_at),
            high_value=self._is_high(values),
            territory_unlisted=unlisted,
            planned=planned,
        )
        return values, candidates, choice

    def _candidates(self, tx: Transaction, values: Values, exclusion: Ints, week: Week, decided_at: int) -> Candidates:
        bounded = self.board.config.routing.high_value_max is not None
        return Candidates(
            self._objective(values), values.win_probability, exclusion, week.used.copy(), self.board.capacity,
            self._last_lead_at(), self.board.newcomers(decided_at), self.book.high_given(tx, week) if bounded else None,
            values.uncertainty, values.expected,
        )  # fmt: skip

    def _last_lead_at(self) -> Ints:
        """(R,) moment of each rep's last lead, in tables or by decisions."""
        if self._last_lead[0] != self.ledger.n_given:
            last = self.board.last_lead_at.copy()
            for rep_id, moment in self.ledger.last_given.items():
                rep = self.board.index.get(rep_id)
                if rep is not None:
                    last[rep] = max(int(last[rep]), moment)
            self._last_lead = (self.ledger.n_given, last)
        return self._last_lead[1]

    def _is_high(self, values: Values) -> bool:
        return bool(len(values.expected) and self._objective(values).max() >= self.board.high_value_from)

    def _objective(self, values: Values) -> Floats:
        return values.objective(self.board.config.routing.objective)

    def prices_now(self, tx: Transaction, moment: int) -> Floats:
        """(R,) prices of places at the moment; 0 where no price rules."""
        if self.mode() not in VALUED:
            return np.zeros(len(self.board.rep_ids))
        return np.asarray(self.book.prices(tx, moment, self._scenario_at(moment)).place)

    def settings(self) -> PolicySettings:
        """The policy's settings: fallback without a model, load and fairness where reps do not differ."""
        mode = self.mode()
        if mode not in self._settings:
            self._settings[mode] = policy_settings(self.board.config.routing, mode)
        return self._settings[mode]

    def mode(self) -> Mode:
        """How decisions are made at present."""
        if self.rules.everywhere:
            return "rule"
        if self.board.unit is None:
            return "fallback"
        return "lead_only" if self.board.unit.routing_mode == "lead_only" else "priced"

    def values_of(self, lead: Lead, moment: int) -> Values:
        """Worth of a lead with every rep, cached a day."""
        key = (lead.lead_id, self._day_of(moment))
        if key not in self._values:
            if len(self._values) >= self._most_values:
                self._values.clear()
            self._values[key] = self.board.values([lead], moment)[0]
        return self._levelled(self._values[key])

    def _day_of(self, moment: int) -> int:
        """What worths are remembered by: the day, before the end of the data the moment itself."""
        return moment // DAY if moment >= self.board.as_of else moment

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

    # -- leads that wait ----------------------------------------------------------------------------------------

    def lead_of(self, stored: StoredDecision) -> Lead:
        """The lead of a stored decision, typed again from its row."""
        if stored.lead_id not in self._leads:
            if len(self._leads) >= _MOST_REMEMBERED:
                self._leads.clear()
            lead = self.board.typer.plain(stored.lead)
            if lead is None:
                parsed = parse_rows("leads", [stored.lead], self.board.tables, check_references=False)
                lead = leads_of(parsed.require(), [stored.lead])[0]
            self._leads[stored.lead_id] = lead
        return self._leads[stored.lead_id]

    def _scenario_at(self, moment: int) -> Callable[[Sequence[StoredDecision]], Scenario | None]:
        """The waiting leads as certain leads of every future; own prospects ask for nobody's place but their own."""

        def scenario(held: Sequence[StoredDecision]) -> Scenario | None:
            routed = self._routed(held, moment)
            if not routed:
                return None
            waiting = self._rows_of(routed, moment)
            values = waiting.taken()
            high = values.max(axis=1, initial=0.0) >= self.board.high_value_from
            eligible = self._eligible(waiting, moment)[waiting.kinds]
            return Scenario(values, eligible, high, self._money_of(routed, moment))

        return scenario

    def _routed(self, held: Sequence[StoredDecision], moment: int) -> Sequence[StoredDecision]:
        """The waiting leads that are nobody's own prospect."""
        own = {
            one.lead_id
            for one in self._waiting.prospects(held, self.lead_of)
            if self._finder(self.lead_of(one), moment) is not None
        }
        return [one for one in held if one.lead_id not in own] if own else held

    def _money_of(self, held: Sequence[StoredDecision], moment: int) -> Floats | None:
        """(H, R) expected value (money) of waiting leads; None where routing maximises just that."""
        if self.board.config.routing.objective == "expected_value":
            return None
        values = [self.values_of(self.lead_of(stored), moment).expected for stored in held]
        return np.array(values).reshape(len(held), len(self.board.rep_ids))

    def _favour(self, prices: Prices, held: Sequence[StoredDecision], values: Floats, moment: int) -> Floats | None:
        """(H, R) what waiting leads count on top at newcomers, for their share; None where nothing."""
        if prices.newcomer_rate == 0.0:
            return None
        worth = self._money_of(held, moment)
        return np.where(
            self.board.newcomers(moment), prices.newcomer_rate * (values if worth is None else worth), 0.0
        )  # fmt: skip

    def _worth_of(self, lead: Lead, moment: int) -> Floats:
        return self._objective(self.values_of(lead, moment))

    def _rows_of(self, held: Sequence[StoredDecision], moment: int) -> WaitingRows:
        """Worth and territories of waiting leads."""
        return self._waiting.rows(held, moment, (self._day_of(moment), self.rules), self.lead_of, self._worth_of)

    def _eligible(self, waiting: WaitingRows, moment: int) -> Flags:
        """(K, R) who may have leads of which territory but for places."""
        return eligible_matrix(self.board.desk, moment, waiting.territories)

    def release(
        self, tx: Transaction, moment: int, waiting: Sequence[StoredDecision] | None = None
    ) -> list[StoredDecision]:
        """Waiting leads that go to a rep now, each taking a place in the week of the moment."""
        everyone = self.ledger.waiting(moment) if waiting is None else waiting
        if not everyone or not (self.board.capacity > self.book.week_of(tx, moment).used).any():
            return []
        found = self._release_own(tx, moment, everyone)
        held = self._routed(everyone, moment)
        if not held:
            return found
        return found + (
            self._release_by_price(tx, moment, held)
            if self.mode() in VALUED
            else self._release_by_rules(tx, moment, held)
        )

    def _release_own(self, tx: Transaction, moment: int, held: Sequence[StoredDecision]) -> list[StoredDecision]:
        """Own prospects whose finder is back or has a place again go to him, the longest waiting first."""
        found = []
        for stored in self._waiting.prospects(held, self.lead_of):
            lead = self.lead_of(stored)
            rep = self._finder(lead, moment)
            if rep is None:
                continue
            used = self.book.week_of(tx, moment).used
            if self.board.personal_rule(rep, moment, used) is Exclusion.NONE:
                found.append(self._release_to(tx, lead, moment, rep, 0.0, "owner", "own_prospect_released"))
        return found

    def _release_by_price(self, tx: Transaction, moment: int, held: Sequence[StoredDecision]) -> list[StoredDecision]:
        """All waiting leads compete for the places left, at their prices."""
        week = self.book.week_of(tx, moment)
        prices = self.book.prices(tx, moment, self._scenario_at(moment))
        waiting = self._rows_of(held, moment)
        eligible = self._eligible(waiting, moment)
        room = np.maximum(self.board.capacity - week.used, 0)
        if prices.newcomer_rate == 0.0 and not any_worth_a_place(
            waiting.values, waiting.rows, eligible, waiting.kinds, prices, room
        ):
            return []
        values, eligible = waiting.taken(), eligible[waiting.kinds]
        policy = "priced" if self.mode() == "priced" else "rule"
        most = self.board.config.routing.high_value_max
        if most is not None:
            full = self.book.high_given(tx, week) >= most
            high = values.max(axis=1, initial=0.0) >= self.board.high_value_from
            eligible = eligible & ~(high[:, None] & full[None, :])
        return [
            self._release_to(tx, self.lead_of(held[one.lead]), moment, one.rep, one.price, policy)
            for one in reconsider(values, eligible, prices, room, favour=self._favour(prices, held, values, moment))
        ]

    def _release_by_rules(self, tx: Transaction, moment: int, held: Sequence[StoredDecision]) -> list[StoredDecision]:
        found = []
        for stored in held:
            lead = self.lead_of(stored)
            _, _, choice = self._choose(tx, lead, moment)
            if choice.rep is not None:
                found.append(self._release_to(tx, lead, moment, choice.rep, 0.0, choice.policy))
        return found

    def _release_to(
        self, tx: Transaction, lead: Lead, moment: int, rep: int, price: float,
        policy: str = "priced", code: str = "released",
    ) -> StoredDecision:  # fmt: skip
        values, rep_id = self.values_of(lead, moment), self.board.rep_ids[rep]
        record = self._records.released(lead, values, rep, moment, self.mode(), price, policy, code)
        high = self._is_high(values)
        if high:
            record["high_value"] = True
        stored = tx.release_held(
            lead.lead_id, decided_at=moment, rep_id=rep_id, week=moments.week_text(moment, self.board.known.zone),
            record=record,
        )  # fmt: skip
        self.book.took(moment, rep_id, lead.lead_id, high=high)
        self._wrote(tx, stored)
        return stored

    def day_ends(self, after: int, until: int) -> list[int]:
        """Ends of working days (18:00 local) later than `after` and not later than `until`."""
        if self._no_end[0] <= after and until < self._no_end[1]:
            return []
        zone = self.board.known.zone
        day = moments.start_of_day(moments.day_of(after, zone), zone)
        found = []
        while True:
            end = day + END_OF_DAY
            if after < end <= until and self._is_working_day(day):
                found.append(end)
            if end > until:
                self._no_end = (until, end)
                return found
            day = moments.start_of_day(moments.day_of(day + DAY + 12 * HOUR, zone), zone)

    def _is_working_day(self, day: int) -> bool:
        zone = self.board.known.zone
        weight = self.board.workdays.weights(int(moments.local_days(np.array([day]), zone)[0]), 1)
        return bool(weight[0] >= WORKING_DAY)

    # -- many leads at once -------------------------------------------------------------------------------------

    def assign_batch(
        self, tx: Transaction, leads: Sequence[Lead], decided_at: int, lang: str | None = None
    ) -> list[tuple[StoredDecision, bool]]:
        """Decisions about leads decided together, in the order of first mention; a lead named twice is answered once.

        What is decided already or is somebody's goes first; the rest is planned as one problem of values less prices
        on the places left, and then decided lead by lead, the plan in place of the best net value.
        """
        asked = {lead.lead_id: lead for lead in reversed(leads)}
        ordered = {lead.lead_id: asked[lead.lead_id] for lead in leads}
        standing = tx.decided(list(ordered))
        if self.ledger.waiting(decided_at):
            self.release(tx, decided_at)
        new = [lead for name, lead in ordered.items() if name not in standing]
        joint = [lead for lead in new if self.mode() == "priced" and self._is_joint(tx, lead, decided_at)]
        for lead in new:
            if lead not in joint:
                self._decide_new(tx, lead, decided_at, lang=lang)
        for place, (lead, rep) in enumerate(zip(joint, self._plan(tx, joint, decided_at), strict=True)):
            self._decide_new(tx, lead, decided_at, int(rep), lang, joint=(place, len(joint)))
        found = tx.decided(list(ordered))
        return [(found[name], name not in standing) for name in ordered]

    def answer(self, tx: Transaction, stored: StoredDecision, lang: str) -> bytes:
        """The decision as JSON bytes: an assigned one as first given in the language, which is kept from then on."""
        given = stored.answers.get(lang)
        if given is None:
            given = self._answer_of(stored.record, lang)
            if stored.status == "assigned":
                tx.put_answer(stored, lang, given)
        return given

    def _is_joint(self, tx: Transaction, lead: Lead, decided_at: int) -> bool:
        """Whether the plan has a say: not where the lead, or its account, is somebody's."""
        return (
            self._owner_in_tables(lead, decided_at) is None
            and self._finder(lead, decided_at) is None
            and self._account_owner(tx, lead, decided_at) is None
        )

    def _plan(self, tx: Transaction, leads: Sequence[Lead], decided_at: int) -> Ints:
        """(L,) rep of each lead in the best plan of all, -1 where it waits."""
        if not leads:
            return np.zeros(0, dtype=np.int64)
        worth = [self.values_of(lead, decided_at) for lead in leads]
        values = np.stack([self._objective(one) for one in worth])
        eligible = eligible_matrix(self.board.desk, decided_at, [lead.text("territory") for lead in leads])
        waiting, routing = self._scenario_at(decided_at), self.board.config.routing
        bounded = routing.newcomer_min or routing.newcomer_share or routing.high_value_max is not None
        if len(leads) > self.book.step and not bounded:
            held = waiting(self.ledger.waiting(decided_at))
            return self.book.plan(tx, decided_at, Scenario(values, eligible), held)
        room = np.maximum(self.board.capacity - self.book.week_of(tx, decided_at).used, 0)
        return plan_batch(
            values, eligible, self.book.prices(tx, decided_at, waiting), room,
            share=self.book.newcomer_share(tx, decided_at),
            worth=np.stack([one.expected for one in worth]),
        )  # fmt: skip

    # -- writing ------------------------------------------------------------------------------------------------

    def _store(
        self, tx: Transaction, lead: Lead, decided_at: int, record: Json, lang: str | None, *, takes_place: bool = True
    ) -> StoredDecision:
        rep_id = record["rep_id"]
        week = self.book.week_of(tx, decided_at).text if takes_place else ""
        stored = tx.put_decision(
            lead.lead_id, decided_at=decided_at, status=record["status"], rep_id=rep_id, week=week, record=record,
            lead=dict(lead.row), answers={} if lang is None else {lang: self._answer_of(record, lang)},
        )  # fmt: skip
        if rep_id is not None and takes_place:
            self.book.took(decided_at, rep_id, lead.lead_id, high=bool(record.get("high_value")))
        self._wrote(tx, stored)
        return stored

    def _wrote(self, tx: Transaction, stored: StoredDecision) -> None:
        fresh = self._last_lead[0] == self.ledger.n_given
        self.ledger.wrote(tx, stored)
        rep = self.board.index.get(stored.rep_id or "")
        if fresh and rep is not None:
            last = self._last_lead[1]
            last[rep] = max(int(last[rep]), stored.decided_at)
            self._last_lead = (self.ledger.n_given, last)
