"""A small trained town behind real pages: trained once, copied for every test that changes something."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import shutil
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from features import moments
from features.moments import DAY, HOUR
from features.synthetic import WorldConfig, write_world
from serving.demo import last_week
from serving.pages.book import Book
from serving.pages.prepared import Prepared
from serving.pages.site import create_site
from serving.session import open_session
from training.pipeline import TrainRequest, train_release

HOSTILE = "<script>alert(1)</script>"
FORMULA = "=HYPERLINK(A1)"
AWKWARD_LEAD = "L/1 <b>&\"'?#%"
HTML = {"accept": "text/html,application/xhtml+xml"}


def _dress(data, *names):
    """Give two reps names that a careless page would run, the second room to spare, and all territories; their ids."""
    path = data / "reps.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    there = [row for row in rows if not row["left_on"]][: len(names)]
    for row, name in zip(there, names, strict=True):
        row["name"] = name
    there[-1]["weekly_capacity"] = "12"
    for row in rows:
        row["territories"] = "north;south;east;west"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return [row["rep_id"] for row in there]


def _train(root):
    data, home = root / "data", root / "home"
    write_world(data, WorldConfig(n_reps=9, n_months=12, seed=5, load=1.3, currency="CNY"))
    hostile, formula = _dress(data, HOSTILE, FORMULA)
    zone = open_session(data, home, None).tables.zone
    monday, fresh, _ = last_week(data, zone)
    session = open_session(data, home, None, moments.iso(monday, zone))
    request = TrainRequest(monday, 0, "gate", "", 5, monday)
    train_release(session.tables, session.config, home / "releases", home / "mlruns", request, {})
    shutil.rmtree(home / "mlruns")
    session.now = lambda: monday + DAY
    core = session.core()
    for lead in fresh[:25]:
        row = {name: value for name, value in lead.items() if value != ""}
        core.assign(row, decided_at=moments.parse(lead["created_at"], zone), lang="en")
    made = {"lead_id": AWKWARD_LEAD, "created_at": moments.iso(monday + 9 * HOUR, zone), "source": "<i>web</i>"}
    core.assign(made, decided_at=monday + 6 * DAY, lang="en")
    nowhere = {"lead_id": "WAITS-1", "created_at": moments.iso(monday + 10 * HOUR, zone), "source": "web"}
    core.assign({**nowhere, "territory": "the moon"}, decided_at=monday + 6 * DAY, lang="en")
    core.close()
    (root / "town.json").write_text(json.dumps({"monday": monday, "hostile": hostile, "formula": formula}))


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Folder with `data` and `home` of the town; workers of one run share it."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "pages-town"
    root.mkdir(exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "town.json").exists():
            _train(root)
    return root


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs), "label" in self.open))
        if tag in {"label", "title", "desc", "svg"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            self.open.remove(tag)

    def handle_data(self, data):
        self.words.append(data)

    def text(self):
        return " ".join(" ".join(self.words).split())

    def attributes(self, name):
        return [attrs[name] or "" for _, attrs, _ in self.tags if name in attrs]

    def all(self, tag):
        return [attrs for name, attrs, _ in self.tags if name == tag]


class Town:
    """The town's service over a home of its own, its clock in our hands."""

    HOSTILE, FORMULA, AWKWARD_LEAD, Page = HOSTILE, FORMULA, AWKWARD_LEAD, Page

    def __init__(self, trained, home, *, release=True):
        self.data = trained / "data"
        self.home = home
        shutil.copytree(trained / "home", home, ignore=None if release else shutil.ignore_patterns("releases"))
        self.facts = SimpleNamespace(**json.loads((trained / "town.json").read_text()))
        self.now = self.facts.monday + 6 * DAY + 12 * HOUR
        self.session = open_session(self.data, home, None, moments.iso(self.facts.monday))
        self.session.now = lambda: self.now
        self.core = self.session.core()
        # Patient: on a busy machine figures take longer than a reader should wait.
        self.app = create_site(self.core, book=Book(self.core, Prepared(wait_seconds=120.0)))
        self.book = self.app.state.site.book

    def client(self, host="127.0.0.1", client="127.0.0.1", scheme="http", **headers):
        return TestClient(
            self.app,
            base_url=f"{scheme}://{host}",
            headers={**HTML, **headers},
            client=(client, 5),
            raise_server_exceptions=False,
            follow_redirects=False,
        )

    def key(self, role, subject):
        with self.core.store.transaction() as tx:
            return tx.add_key(role, subject)

    def signed_in(self, role, subject):
        """A browser elsewhere that has signed in with a new key."""
        key = self.key(role, subject)
        browser = self.client(host="fairlead.example", client="10.0.0.9")
        token = self.token_of(browser.get("/sign-in").text)
        answer = browser.post("/sign-in", data={"key": key, "token": token, "next": "/"})
        assert answer.status_code == 303, answer.text
        return browser

    @staticmethod
    def token_of(html):
        """The form token of a page."""
        return html.split('name="token" value="')[1].split('"')[0]

    def a_decision(self, **wanted):
        """A stored decision whose attributes are as wanted."""
        with self.core.store.read() as view:
            items = view.decisions(limit=500).items
        return next(one for one in items if all(getattr(one, name) == value for name, value in wanted.items()))

    def seats(self):
        return self.book.seats(self.book.moment())


@pytest.fixture(scope="session")
def town(trained, tmp_path_factory):
    """A town that tests only read."""
    made = Town(trained, tmp_path_factory.mktemp("read") / "home")
    yield made
    made.core.close()


@pytest.fixture
def fresh(trained, tmp_path):
    """A town that a test may change."""
    made = Town(trained, tmp_path / "home")
    yield made
    made.core.close()


@pytest.fixture
def untrained(trained, tmp_path):
    """The town before any training and any decision."""
    made = Town(trained, tmp_path / "home", release=False)
    yield made
    made.core.close()
