"""What a routing decision is made from: reps, rules, capacities and values, for one state of tables and one release.

A board never changes; new events or a new release make a new one. Decisions made meanwhile live in the store.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.accounts import LIVE, AccountOwners, account_owners
from features.config import Config
from features.moments import DAY, NEVER, WEEK
from features.outcomes import hand_overs
from features.panel import is_sales
from features.tables import Tables
from features.workdays import Workdays
from features.world import World, build
from models.routing.policy import Exclusion
from models.routing.prices import Scenario
from models.routing.rules import Desk, eligibility, eligible_matrix, make_desk
from models.routing.volume import ArrivalProfile, VolumePrior, arrival_profile, volume_prior
from serving.leads import Lead, LeadTyper, leads_of
from serving.team import Team, Values
from training.unit import ModelUnit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

CAPACITY_WEEKS = 26
CAPACITY_QUANTILE = 0.9
SCENARIO_LEADS = 400
SCENARIO_WEEKS = 26
VOLUME_WEEKS = 12
HIGH_VALUE_QUANTILE = 0.9
MOST_TEAMS = 4  # a day each; what they remember of kinds of leads is large
_RULED_BY = ("reps", "leads", "assignments", "absences")
_RULES = (
    "reps", "rep_ids", "index", "handed", "desk", "capacity", "n_places", "last_lead_at", "_owners",
    "routed_at", "volume", "lead_ids", "typer",
)  # fmt: skip
_STEERS = (
    "recent_leads", "_recent_values", "_scenario_values", "_scenario_worth", "_scenario_high", "_scenario_kinds",
    "high_value_from",
)  # fmt: skip


@dataclass(frozen=True)
class Board:
    """All that decides, as one value.

    `tables`: every row there is; `known`: what `as_of` knows of them; rows of `reps` give the order of all arrays.
    `unit` is None where no promoted release fits: then hard rules and least load decide. `with_later_hires`: reps
    hired after the end of the data count from the day they are hired on, by the clock of each decision.
    """

    tables: Tables
    config: Config
    as_of: int
    unit: ModelUnit | None
    workdays: Workdays = field(default_factory=lambda: Workdays("none"))
    with_later_hires: bool = False
    _worlds: list[World] = field(default_factory=list, compare=False)  # the one before, until this one is built
    _teams: dict[int, Team] = field(default_factory=dict, compare=False)
    _teams_lock: threading.Lock = field(default_factory=threading.Lock, compare=False)

    def carry(self, before: Board) -> None:
        """Take over from the board before an event what that event cannot have changed.

        Rules, places and owners: where reps, leads, hand-overs and absences are the same rows, all known before, in
        the same ISO week. What recent leads are worth steers prices only: for the same reps and models, for a day.
        """
        built = before.__dict__.get("world")
        self._worlds[:] = before._worlds[:] if built is None else [built]
        same = all(self.tables[name] is before.tables[name] for name in _RULED_BY)
        whole = all((before.tables[name]["known_at"].to_numpy() < before.as_of).all() for name in _RULED_BY[:3])
        zone = self.tables.zone
        in_week = moments.start_of_week(self.as_of, zone) == moments.start_of_week(before.as_of, zone)
        if same and whole and in_week and self.config is before.config:
            carried = (*_RULES, "account_owners") if self.tables.deals is before.tables.deals else _RULES
            self.__dict__.update({name: before.__dict__[name] for name in carried if name in before.__dict__})
        if self.unit is before.unit and self.rep_ids == before.rep_ids and self.as_of // DAY == before.as_of // DAY:
            self.__dict__.update({name: before.__dict__[name] for name in _STEERS if name in before.__dict__})

    @cached_property
    def known(self) -> Tables:
        """The tables as `as_of` knows them; `tables` themselves keep the days of leaving as planned."""
        return self.tables.known(self.as_of)

    @cached_property
    def reps(self) -> pd.DataFrame:
        """Known reps sorted by id, with the day of leaving as planned: hard rules look at it from that day on."""
        listed = self.tables.reps if self.with_later_hires else self.known.reps
        known = listed.sort_values("rep_id", kind="stable", ignore_index=True)
        planned = self.tables.reps.drop_duplicates("rep_id").set_index("rep_id")["left_on"]
        return known.assign(left_on=planned.reindex(known["rep_id"]).to_numpy(dtype=np.int64))

    @cached_property
    def rep_ids(self) -> tuple[str, ...]:
        """Ids in the order of all arrays."""
        return tuple(str(rep) for rep in self.reps["rep_id"])

    @cached_property
    def index(self) -> dict[str, int]:
        """Place of each rep in the arrays."""
        return {rep: i for i, rep in enumerate(self.rep_ids)}

    @cached_property
    def world(self) -> World | None:
        """Features as of the data; None without a release."""
        before = self._worlds.pop() if self._worlds else None
        return None if self.unit is None else build(self.tables, self.as_of, self.unit.spec, before=before)

    @cached_property
    def handed(self) -> pd.DataFrame:
        """Every hand-over known, own prospects too: lead_id, rep index, assigned_at, week."""
        overs = hand_overs(self.known)
        rep = overs["rep_id"].map(self.index).fillna(-1).to_numpy(dtype=np.int64)
        at = overs["assigned_at"].to_numpy(dtype=np.int64)
        frame = pd.DataFrame({"lead_id": overs["lead_id"], "rep": rep, "assigned_at": at})
        return frame.assign(week=moments.weeks_of(at, self.known.zone)).loc[rep >= 0].reset_index(drop=True)

    @cached_property
    def desk(self) -> Desk:
        """The reps as hard rules see them."""
        absences = self.tables.absences
        absent = absences.loc[absences["rep_id"].isin(self.index).to_numpy()]
        ends = absent["ends_on"].to_numpy(dtype=np.int64)
        zone = self.known.zone
        until = [moments.start_of_day(pd.Timestamp(moments.day_of(int(e), zone)).date(), zone) + DAY for e in ends]
        return make_desk(
            in_sales=is_sales(self.reps),
            hired_at=self.reps["hired_on"].to_numpy(dtype=np.int64),
            left_at=self.reps["left_on"].to_numpy(dtype=np.int64),
            territories=[str(text).split(";") if text else [] for text in self.reps["territories"]],
            capacity=self.capacity,
            absence_rep=np.array([self.index[rep] for rep in absent["rep_id"]], dtype=np.int64),
            absence_from=absent["starts_on"].to_numpy(dtype=np.int64),
            absence_until=np.array(until, dtype=np.int64),
        )

    @cached_property
    def capacity(self) -> Ints:
        """(R,) places a week: as given, else the setting, else his own 90th percentile, else the desk's."""
        given = self.reps["weekly_capacity"].to_numpy(dtype=np.float64)
        default = self.config.routing.default_capacity
        if default is not None:
            return np.where(np.isnan(given), default, given).astype(np.int64)
        if not np.isnan(given).any():
            return given.astype(np.int64)
        own, desk = self._habitual_places()
        return np.where(np.isnan(given), np.where(np.isnan(own), desk, own), given).astype(np.int64)

    @cached_property
    def n_places(self) -> int:
        """Places of all reps a week."""
        return int(self.capacity.sum())

    def _habitual_places(self) -> tuple[Floats, float]:
        """90th percentile of each rep's weekly new leads over the last 26 weeks (NaN without any), and the desk's."""
        this = int(moments.weeks_of(np.array([self.as_of - 1]), self.known.zone)[0])
        recent = self.handed.loc[(self.handed["week"] > this - CAPACITY_WEEKS).to_numpy()]
        counts = recent.drop_duplicates(["lead_id", "rep", "week"]).groupby(["rep", "week"]).size()
        own = np.full(len(self.rep_ids), np.nan)
        every: list[float] = []
        hired = moments.weeks_of(self.reps["hired_on"].to_numpy(dtype=np.int64), self.known.zone)
        by_rep: dict[int, list[int]] = {}
        reps_of = counts.index.get_level_values("rep").to_numpy(dtype=np.int64)
        for rep, n in zip(reps_of, counts.to_numpy(dtype=np.int64), strict=True):
            by_rep.setdefault(int(rep), []).append(int(n))
        for at, weekly in by_rep.items():
            n_weeks = int(np.clip(this - int(hired[at]) + 1, 1, CAPACITY_WEEKS))
            values = np.zeros(max(n_weeks, len(weekly)))
            values[: len(weekly)] = weekly
            own[at] = np.ceil(np.quantile(values, CAPACITY_QUANTILE))
            every.extend(values)
        return own, float(np.ceil(np.quantile(every, CAPACITY_QUANTILE))) if every else 1.0

    @cached_property
    def last_lead_at(self) -> Ints:
        """(R,) moment of each rep's last lead in the tables; the smallest moment where he has none."""
        last = np.full(len(self.rep_ids), moments.ALWAYS, dtype=np.int64)
        np.maximum.at(last, self.handed["rep"].to_numpy(), self.handed["assigned_at"].to_numpy())
        return last

    def placed_in_tables(self, week_start: int) -> set[tuple[str, str]]:
        """(rep_id, lead_id) of the places that the tables' hand-overs take in the ISO week starting at the moment."""
        week = int(moments.weeks_of(np.array([week_start]), self.known.zone)[0])
        rows = self.handed.loc[(self.handed["week"] == week).to_numpy()]
        return {(self.rep_ids[rep], lead) for rep, lead in zip(rows["rep"], rows["lead_id"], strict=True)}

    def owner_of(self, lead_id: str) -> str | None:
        """Rep who has the lead by the tables' last known hand-over; None for one never handed over."""
        return self._owners.get(lead_id)

    @cached_property
    def _owners(self) -> Mapping[str, str]:
        last = hand_overs(self.known).drop_duplicates("lead_id", keep="last")
        return dict(zip(last["lead_id"], last["rep_id"], strict=True))

    @cached_property
    def account_owners(self) -> AccountOwners:
        """Whose each account is by the tables' hand-overs."""
        rule = self.config.routing.same_account
        return account_owners(self.known, live=rule == LIVE, dead_after_days=self.config.leads.dead_after_days)

    def feature_moment(self, decided_at: int) -> int:
        """Moment at which features are built: the decision's, or the end of the data where those are older."""
        return min(decided_at, self.as_of)

    def team_at(self, decided_at: int) -> Team:
        """The reps as the models see them in a decision at the moment: at the start of its day, where data allow."""
        assert self.unit is not None
        assert self.world is not None
        clock = max(decided_at // DAY * DAY, self.as_of) if decided_at >= self.as_of else decided_at
        with self._teams_lock:
            if clock not in self._teams:
                if len(self._teams) >= MOST_TEAMS:
                    self._teams.clear()
                self._teams[clock] = Team(self, clock)
            return self._teams[clock]

    def values(self, leads: Sequence[Lead], decided_at: int) -> list[Values]:
        """Worth of each lead with every rep, for a decision at the moment; all zero without a model."""
        if self.unit is None:
            blank = np.zeros(len(self.rep_ids))
            return [Values(blank, blank, blank) for _ in leads]
        team = self.team_at(decided_at)
        return [team.values(lead) for lead in leads]

    @cached_property
    def recent_leads(self) -> pd.DataFrame:
        """The newest routed leads, at most `SCENARIO_LEADS` of the last half year: what may come next looks alike."""
        leads = self.known.leads
        since = self.as_of - SCENARIO_WEEKS * WEEK
        mine = ((leads["sourced_by_rep_id"] == "") & (leads["created_at"] >= since)).to_numpy()
        chosen = leads.loc[mine].sort_values(["created_at", "lead_id"], kind="stable")
        return chosen.tail(SCENARIO_LEADS).reset_index(drop=True)

    @cached_property
    def _scenario_values(self) -> Floats:
        """(S, R) worth of the recent leads."""
        recent, objective = self._recent_values, self.config.routing.objective
        return np.array([v.objective(objective) for v in recent]).reshape(len(recent), len(self.rep_ids))

    @cached_property
    def _recent_values(self) -> list[Values]:
        blank: list[Mapping[str, object]] = [{}] * len(self.recent_leads)
        return self.values(leads_of(self.recent_leads, blank), self.as_of)

    @cached_property
    def _scenario_worth(self) -> Floats | None:
        """(S, R) expected value (money) of the recent leads; None where routing maximises just that."""
        if self.config.routing.objective == "expected_value":
            return None
        recent = self._recent_values
        return np.array([v.expected for v in recent]).reshape(len(recent), len(self.rep_ids))

    def scenario(self, moment: int) -> Scenario:
        """Recent leads with the values they would have now, and who may have them at the moment."""
        kinds, names = self._scenario_kinds
        eligible = eligible_matrix(self.desk, moment, names)[kinds]
        return Scenario(self._scenario_values, eligible, self._scenario_high, self._scenario_worth)

    @cached_property
    def _scenario_kinds(self) -> tuple[Ints, list[str]]:
        """(S,) places of the recent leads' territories in a list of them."""
        names = [str(territory) for territory in self.recent_leads["territory"]]
        known = sorted(set(names))
        return np.array([known.index(name) for name in names], dtype=np.int64), known

    @cached_property
    def _scenario_high(self) -> Flags:
        """(S,) recent leads of high value."""
        values = self._scenario_values
        best = values.max(axis=1) if values.size else np.zeros(len(values))
        return np.asarray(best >= self.high_value_from, dtype=np.bool_)

    @cached_property
    def high_value_from(self) -> float:
        """Best value over reps from which a lead is among the most valuable tenth of recent ones."""
        if self.unit is None or not self.rep_ids:
            return np.inf
        best = self._scenario_values.max(axis=1)
        return float(np.quantile(best, HIGH_VALUE_QUANTILE)) if len(best) else np.inf

    @cached_property
    def routed_at(self) -> Ints:
        """Moments at which leads for routing came in, rising."""
        leads = self.known.leads
        return np.sort(leads.loc[(leads["sourced_by_rep_id"] == "").to_numpy(), "created_at"].to_numpy(dtype=np.int64))

    @cached_property
    def volume(self) -> tuple[VolumePrior, ArrivalProfile]:
        """What a week usually brings, and when in the week."""
        zone = self.known.zone
        if not len(self.routed_at):
            return volume_prior(np.zeros(0, dtype=np.int64)), arrival_profile(np.zeros(0))
        weeks = moments.weeks_of(self.routed_at, zone)
        this = int(moments.weeks_of(np.array([self.as_of - 1]), zone)[0])
        first = max(int(weeks[0]) + 1, this - VOLUME_WEEKS)
        counts = np.array([int((weeks == w).sum()) for w in range(first, this)], dtype=np.int64)
        recent = self.routed_at[-4 * SCENARIO_LEADS :]
        days = moments.local_days(recent, zone)
        part = (recent - np.array([moments.start_of_week(int(m), zone) for m in recent])) / WEEK if len(days) else []
        return volume_prior(counts), arrival_profile(np.clip(np.asarray(part, dtype=np.float64), 0.0, 1.0))

    @cached_property
    def lead_ids(self) -> frozenset[str]:
        """Leads that the tables know."""
        return frozenset(self.known.leads["lead_id"].tolist())

    def arrived(self, week_start: int, until: int) -> int:
        """Leads for routing that the tables saw come in from the week's start to the moment."""
        edges = np.array([week_start, until], dtype=np.int64)
        low = np.searchsorted(self.routed_at, edges[0], side="left")
        return max(int(np.searchsorted(self.routed_at, edges[1], side="right") - low), 0)

    @cached_property
    def typer(self) -> LeadTyper:
        """What types leads that come in."""
        return LeadTyper(self.tables)

    def newcomers(self, moment: int) -> Flags:
        """(R,) reps under a year of tenure."""
        return np.asarray(self.desk.hired_at > moment - 365 * DAY, dtype=np.bool_)

    def exclusions(self, moment: int, territory: str, used: Ints) -> tuple[Ints, bool]:
        """(R,) which hard rule keeps each rep from a lead, and whether nobody lists its territory."""
        found = eligibility(self.desk, moment, territory, used)
        return found.exclusion, found.territory_unlisted

    def gone(self, rep: int, moment: int) -> bool:
        """Whether the rep has left by the moment."""
        left = int(self.desk.left_at[rep])
        return left != NEVER and left <= moment

    def is_at_desk(self, rep_id: str, moment: int) -> bool:
        """Whether somebody of that id sells here at the moment; on leave counts as here, not yet hired does not."""
        rep = self.index.get(rep_id)
        return rep is not None and bool(
            self.desk.in_sales[rep] and self.desk.hired_at[rep] <= moment and not self.gone(rep, moment)
        )

    def personal_rule(self, rep: int, moment: int, used: Ints) -> Exclusion:
        """What keeps a rep who is at the desk from a lead of his own: leave or no place; territories do not."""
        exclusion, _ = self.exclusions(moment, "", used)
        return Exclusion(int(exclusion[rep]))

    def rule_of(self, code: int) -> str:
        """Name of an exclusion, lower case."""
        return Exclusion(code).name.lower()
