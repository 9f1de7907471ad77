"""Desks over tables written by hand (no release: rules decide), and one trained on a small synthetic world."""

from __future__ import annotations

import csv
import json
import sys

import numpy as np
import pytest

from features import moments
from features.config import Config
from features.pairs import build_pairs
from features.spec import make_spec
from features.synthetic import WorldConfig, generate, write_world
from features.workdays import Workdays
from features.world import build
from models.conversion.amount import AmountModel
from models.conversion.columns import PairColumns
from models.conversion.model import ConversionModel
from serving.cli import _guarded, app
from serving.session import open_session
from training.unit import ModelUnit

MONDAY = "2026-03-02"  # the week that most tests decide in; the tables end on the Friday before
HISTORY_LEAD = {"lead_id": "H0", "created_at": "2026-02-27T09:00:00", "source": "web"}


def at(text, zone="UTC"):
    """Moment of a date and time like `2026-03-02 09:30`."""
    return moments.parse(text.replace(" ", "T"), zone)


def write_table(folder, name, rows, columns=()):
    """One CSV of a table; columns as the rows have them."""
    names = list(dict.fromkeys([*columns, *(key for row in rows for key in row)]))
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, fieldnames=names)
        writer.writeheader()
        writer.writerows(rows)


REQUIRED = {
    "deals": ("deal_id", "lead_id", "rep_id", "closed_at", "status", "amount"),
    "assignments": ("lead_id", "rep_id", "assigned_at"),
}


def write_tables(folder, reps, *, toml="", **tables):
    """A data folder: the given reps (a rep_id and what differs from a plain rep), and one old hand-over."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {"hired_on": "2024-01-01", "weekly_capacity": 2}
    rows = [{**plain, **(rep if isinstance(rep, dict) else {"rep_id": rep})} for rep in reps]
    write_table(folder, "reps", rows)
    leads = [HISTORY_LEAD, *tables.pop("leads", ())]
    write_table(folder, "leads", leads)
    first = {"lead_id": "H0", "rep_id": rows[0]["rep_id"], "assigned_at": "2026-02-27T09:05:00"}
    write_table(folder, "assignments", [first, *tables.pop("assignments", ())])
    write_table(folder, "deals", tables.pop("deals", ()), REQUIRED["deals"])
    for name, rows_of in tables.items():
        write_table(folder, name, rows_of)
    if toml:
        (folder / "fairlead.toml").write_text(toml, encoding="utf-8")
    return folder


class DeskUnderTest:
    """A core, spoken to as callers do: JSON rows in, JSON documents out, the clock in our hands."""

    def __init__(self, data, home, **options):
        self.data, self.home, self.options = data, home, options
        self.core = self._open()

    def _open(self, dry_run=False):
        session = open_session(self.data, self.home, None, **self.options)
        self.clock = at(f"{MONDAY} 08:00")
        session.now = lambda: self.clock
        return session.core(dry_run=dry_run)

    def reopen(self):
        """As after a restart."""
        self.core.close()
        self.core = self._open()
        return self

    def assign(self, lead_id, when=f"{MONDAY} 09:00", lang="en", **row):
        status, body = self.core.assign(lead(lead_id, when, **row), decided_at=self._moment(when), lang=lang)
        return {**json.loads(body), "http": status, "bytes": body}

    def batch(self, rows, when=f"{MONDAY} 09:00", lang="en"):
        status, body = self.core.assign_batch(rows, decided_at=self._moment(when), lang=lang)
        assert status == 201
        return json.loads(body)["items"]

    def now(self, lead_id, lang="en"):
        return self.core.decision(lead_id, lang=lang)

    def owner(self, lead_id):
        return self.core.decision(lead_id, lang="en")["owner_rep_id"]

    def send(self, table, *rows):
        return self.core.add_events(table, list(rows), sender="crm")

    def override(self, lead_id, rep_id, force=False):
        return self.core.override(lead_id, rep_id=rep_id, by="M1", reason="knows them", force=force, lang="en")

    def end_days(self, after, until):
        return self.core.end_days(self._moment(after), self._moment(until))

    def route(self, rows):
        """Rows of the CSV that `fairlead route` would write, by lead."""
        path = self.home / "route.csv"
        write_table(self.home, "route", rows)
        text = self.core.route_csv(path)
        return {row["lead_id"]: row for row in csv.DictReader(text.splitlines())}

    def _moment(self, when):
        return when if when is None or isinstance(when, int) else at(when, self.core.zone)

    def places(self):
        """Leads a rep and ISO week, as the store has them."""
        with self.core.store.read() as view:
            found = view.connection.exec_driver_sql("select week, rep_id, lead_id from placements").all()
        counted = {}
        for week, rep_id, lead_id in found:
            counted.setdefault((week, rep_id), set()).add(lead_id)
        return {key: len(leads) for key, leads in counted.items()}


def lead(lead_id, when=f"{MONDAY} 09:00", **row):
    """A leads row as JSON."""
    moment = when if isinstance(when, str) else f"{MONDAY} 09:00"
    return {"lead_id": lead_id, "created_at": moment.replace(" ", "T"), "source": "web", **row}


@pytest.fixture
def desk(tmp_path):
    """desk(reps, toml=..., leads=[...], absences=[...]): a desk without a release, closed at the end."""
    opened = []

    def make(reps=("R1", "R2"), *, options=None, **tables):
        number = len(opened)
        home = tmp_path / f"home{number}"
        home.mkdir()
        made = DeskUnderTest(write_tables(tmp_path / f"data{number}", reps, **tables), home, **(options or {}))
        opened.append(made)
        return made

    yield make
    for one in opened:
        one.core.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    made = WorldConfig(n_reps=8, n_months=8, seed=12)
    write_world(folder, made)
    return folder, generate(made).tables


@pytest.fixture(scope="module")
def unit(world):
    """Models of the world, fitted for pairs, without a forecast: routing asks for none."""
    tables = world[1]
    as_of = tables.newest()
    spec = make_spec(tables, Config(), as_of)
    pairs = build_pairs(build(tables, as_of, spec))
    columns = PairColumns(spec.lead_numeric, spec.lead_categorical, spec.rep_numeric, spec.pair_numeric)
    conversion = ConversionModel.fit(pairs, columns, np.random.default_rng(3), n_sims=5, mode="pairs")
    amount = AmountModel.fit(pairs, columns)
    return ModelUnit(spec, conversion, amount, None, Workdays("weekdays"), as_of, version="test")


@pytest.fixture
def core(world, unit, tmp_path):
    """core(toml, as_of=None): a core of the world with the models put in."""
    opened = []

    def make(toml="", home="home", as_of=None):
        config = tmp_path / f"{len(opened)}.toml"
        config.write_text(toml, encoding="utf-8")
        (tmp_path / home).mkdir(exist_ok=True)
        session = open_session(world[0], tmp_path / home, config, as_of)
        one = session.core()
        one.use(unit)
        opened.append(one)
        return one

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def shell(monkeypatch, capsys):
    """Runs `fairlead` with words as a shell would; (exit code, output, errors)."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["fairlead", *words])
        try:
            code = _guarded(app)
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
