"""Anything that callers may do, in any order, from two desks on one store: the promises hold after each step."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from features import moments
from features.moments import DAY, HOUR
from serving.http.protocol import ConflictError
from serving.ledger import Ledger
from serving.session import open_session

START = moments.parse("2026-03-02T08:00:00")
CAPACITY = {"R1": 2, "R2": 1, "R3": 0}
TABLES = {
    "reps": "rep_id,hired_on,weekly_capacity\nR1,2024-01-01,2\nR2,2024-01-01,1\nR3,2024-01-01,0\n",
    "leads": "lead_id,created_at,source\nH0,2026-02-27T09:00:00,web\n",
    "assignments": "lead_id,rep_id,assigned_at\nH0,R1,2026-02-27T09:05:00\n",
    "deals": "deal_id,lead_id,rep_id,closed_at,status,amount\n",
}

which = st.integers(0, 1)
leads = st.integers(0, 9).map("L{}".format)
reps = st.sampled_from(sorted(CAPACITY))


class Desks(RuleBasedStateMachine):
    """Two desks that take turns; `forced` counts what people did beyond capacity, which is not the machine's."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.data = Path(self.folder.name) / "data"
        self.data.mkdir()
        for name, text in TABLES.items():
            (self.data / f"{name}.csv").write_text(text, encoding="utf-8")
        self.cores, self.now, self.given, self.by_people = [], START, {}, set()

    @initialize()
    def open(self):
        self.cores = [self.opened(), self.opened()]

    def opened(self):
        session = open_session(self.data, Path(self.folder.name) / "home", None)
        session.now = lambda: self.now
        return session.core()

    def teardown(self):
        for core in self.cores:
            core.close()
        self.folder.cleanup()

    def row(self, name):
        number = int(name[1:])
        more = {"sourced_by_rep_id": "R1"} if number == 3 else {"account_id": "A"} if number in (4, 5) else {}
        return {"lead_id": name, "created_at": moments.iso(START), "source": "web", **more}

    @rule(core=which, name=leads)
    def assign(self, core, name):
        status, body = self.cores[core].assign(self.row(name), decided_at=None, lang="en")
        said = json.loads(body)
        if name in self.given:
            assert (status, body) == (200, self.given[name])
        if said["status"] == "assigned":
            self.given[name] = body

    @rule(core=which, names=st.lists(leads, min_size=1, max_size=4))
    def batch(self, core, names):
        _, body = self.cores[core].assign_batch([self.row(name) for name in names], decided_at=None, lang="en")
        items = json.loads(body)["items"]
        assert [item["lead_id"] for item in items] == list(dict.fromkeys(names))

    @rule(core=which, name=leads, rep=reps, force=st.booleans())
    def override(self, core, name, rep, force):
        try:
            self.cores[core].override(name, rep_id=rep, by="M", reason="r", force=force, lang="en")
        except (ConflictError, LookupError):
            return
        except Exception as error:
            if "no decision" in str(error):
                return
            raise
        if force:
            self.by_people.add(name)

    @rule(core=which, name=leads, rep=reps)
    def hand_over(self, core, name, rep):
        with self.cores[core].store.read() as view:
            if view.decision(name) is None:
                return
        event = {"lead_id": name, "rep_id": rep, "assigned_at": moments.iso(self.now)}
        self.cores[core].add_events("assignments", [event], sender="crm")
        self.by_people.add(name)

    @rule(hours=st.sampled_from([1, 7, 24, 72]))
    def time_passes(self, hours):
        before = self.now
        self.now += hours * HOUR
        self.cores[0].end_days(before, self.now)
        assert self.now - before <= 3 * DAY

    @rule(core=which)
    def restart(self, core):
        self.cores[core].close()
        self.cores[core] = self.opened()

    @invariant()
    def nobody_is_given_more_than_he_can_take(self):
        if not self.cores:
            return
        board = self.cores[0].state().board
        with self.cores[0].store.read() as view:
            taken = {tuple(row) for row in view.run("SELECT week, rep_id, lead_id FROM placements")}
        for week in {week for week, _, _ in taken}:
            start = moments.start_of_week(moments.parse(f"{week}-1"))
            places = board.placed_in_tables(start) | {(rep, lead) for of, rep, lead in taken if of == week}
            chosen = Counter(rep for rep, lead in places if lead not in self.by_people)
            for rep, n in chosen.items():
                assert n <= CAPACITY[rep], (week, places)

    @invariant()
    def what_the_desk_remembers_is_what_the_store_says(self):
        for core in self.cores:
            with core.store.transaction() as tx:
                pulse = tx.pulse()
                core._state.desk.ledger.sync(tx, pulse)
                fresh = Ledger()
                fresh.sync(tx, pulse)
                mine = core._state.desk.ledger
                assert mine.held == fresh.held
                for week, places in mine._places.items():
                    assert places == tx.placements(week)

    @invariant()
    def the_log_is_whole(self):
        if self.cores:
            with self.cores[0].store.read() as view:
                assert view.verify().ok


Desks.TestCase.settings = settings(
    max_examples=6, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestDesks = Desks.TestCase
