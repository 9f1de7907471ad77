"""A desk that remembers instead of computing, an app over it, and clients that call it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from features.errors import DataError, Fault, NoReleaseError, UnknownLeadError, UnknownRepError
from features.messages import message
from serving.http.app import create_app
from serving.http.protocol import ConflictError, MetricsSnapshot, Team
from serving.store import ApiKey, UnknownWarningError

TEAMS = {"R1": "T1", "R2": "T1", "R3": "T2"}


class FakeService:
    """The protocol over dictionaries. `calls` has what it was asked; `fail` raises at the next call."""

    zone = "Asia/Shanghai"
    default_lang = "en"

    def __init__(self):
        self.made, self.calls, self.fail, self.closed = {}, [], None, False
        self.is_ready = True
        self.put("L1", "R1")
        self.put("L2", "R3")
        self.put("L3", None)

    def put(self, lead_id, rep_id):
        self.made[lead_id] = {
            "lead_id": lead_id,
            "rep_id": rep_id,
            "owner_rep_id": rep_id,
            "status": "assigned" if rep_id else "held",
            "alternatives": [{"rep_id": one, "win_probability": 0.2} for one in TEAMS],
            "history": [],
        }
        return self.made[lead_id]

    def _called(self, *said):
        self.calls.append(said)
        if self.fail is not None:
            raise self.fail

    def assign(self, lead, *, decided_at, lang):
        self._called("assign", dict(lead), decided_at, lang)
        if "lead_id" not in lead:
            raise DataError([Fault("leads", 1, "lead_id", "", message("cell.empty"))])
        known = lead["lead_id"] in self.made
        decision = self.made.get(lead["lead_id"]) or self.put(lead["lead_id"], "R1")
        body = json.dumps({**decision, "lang": lang}, ensure_ascii=False, indent=1).encode()
        return (200 if known else 201), body

    def assign_batch(self, leads, *, decided_at, lang):
        self._called("assign_batch", len(leads), decided_at, lang)
        items = [
            {"lead_id": one["lead_id"], "status_code": self.assign(one, decided_at=decided_at, lang=lang)[0]}
            for one in leads
        ]
        return 201, json.dumps({"items": items}).encode()

    def decision(self, lead_id, *, lang):
        self._called("decision", lead_id, lang)
        if lead_id not in self.made:
            raise UnknownLeadError(f"no decision about lead {lead_id!r} is on record")
        return self.made[lead_id]

    def decisions(self, filters, *, lang):
        self._called("decisions", filters, lang)
        items = [one for one in self.made.values() if filters.rep_ids is None or one["rep_id"] in filters.rep_ids]
        return {"items": items, "next_cursor": 7}

    def feed(self, after, limit, *, lang):
        self._called("feed", after, limit, lang)
        return {"items": [], "next_after": after}

    def override(self, lead_id, *, rep_id, by, reason, force, lang):
        self._called("override", lead_id, rep_id, by, reason, force, lang)
        if rep_id not in TEAMS:
            raise UnknownRepError(f"no rep {rep_id!r}")
        if rep_id == "R2" and not force:
            raise ConflictError("R2 has no place left this week; send force to go beyond")
        return {**self.decision(lead_id, lang=lang), "owner_rep_id": rep_id}

    def add_events(self, table, rows, *, sender):
        self._called("add_events", table, list(rows), sender)
        faults = [
            Fault(table, i + 1, "rep_id", str(row.get("rep_id")), message("table.not_found", where="reps.rep_id"))
            for i, row in enumerate(rows)
            if row.get("rep_id") not in TEAMS
        ]
        if faults:
            raise DataError(faults)
        return {"accepted": len(rows), "seq": 1}

    def reload_data(self):
        self._called("reload_data")
        return {"rows": {}}

    def forecasts(self, *, month, level, id, lang):  # noqa: A002
        self._called("forecasts", month, level, id, lang)
        if level == "rep":
            return {"items": [{"rep_id": one, "mean": 1.0} for one in TEAMS]}
        return {"items": [{"level": level, "id": one} for one in (["T1", "T2"] if level == "team" else ["company"])]}

    def forecast_reasons(self, *, id, lang):  # noqa: A002
        self._called("forecast_reasons", id, lang)
        return {"items": [{"rep_id": id, "driver": "open_leads"}]}

    def what_if(self, level, id, changes, *, lang):  # noqa: A002
        self._called("what_if", level, id, changes, lang)
        return {"level": level, "id": id, "items": [{"month": "2026-02", "difference": 1.0}]}

    def warnings(self, *, lang):
        self._called("warnings", lang)
        return {"items": [{"id": f"idle:{one}", "rep_id": one} for one in TEAMS]}

    def acknowledge(self, warning_id, *, by, note, lang):
        self._called("acknowledge", warning_id, by, note, lang)
        if self.warning_rep(warning_id) is None:
            raise UnknownWarningError(f"no warning {warning_id!r}")
        return {"id": warning_id, "status": "acknowledged"}

    def warning_rep(self, warning_id):
        rep_id = warning_id.partition(":")[2]
        return rep_id if rep_id in TEAMS else None

    def drivers(self, *, level, id, lang, against="peers"):  # noqa: A002
        self._called("drivers", level, id, lang, against)
        both = [{"rep_id": one} for one in TEAMS]
        return {
            "rep_details": both,
            "matrix": both,
            "effectiveness": [
                {"kind": "company", "id": "company"},
                {"kind": "team", "id": "T1"},
                {"kind": "team", "id": "T2"},
                {"kind": "tenure", "id": "<1"},
            ],
            "month_change": {"total": 1.0},
            "pilots": [{"lever": "x", "n_first": 2, "first": ["R1", "R3"], "later": ["R2"]}],
            "measures": [{"name": "x"}],
            "company": {"id": "company"},
            "teams": [{"id": "T1"}, {"id": "T2"}],
            "reps": [{"id": one} for one in TEAMS],
            "effects": [],
        }

    def models(self):
        self._called("models")
        return {"releases": []}

    def challenger(self):
        self._called("challenger")
        return {"challenger": None}

    def drift(self):
        self._called("drift")
        return {"release": None, "findings": []}

    def reload_models(self):
        self._called("reload_models")
        return {"releases": []}

    def rule_mode(self):
        self._called("rule_mode")
        return {"all": False, "teams": []}

    def set_rule_mode(self, *, on, team_id, by):
        self._called("set_rule_mode", on, team_id, by)
        return {"all": on, "teams": []}

    def ready(self):
        return {"ok": self.is_ready, "reasons": [] if self.is_ready else ["no tables"]}

    def overdue(self, *, lang=None):
        self._called("overdue", lang)
        return {"items": [{"rep_id": one, "best_rep_id": "R3"} for one in TEAMS], "contact_hours": 24.0}

    def experiment(self, *, lang=None):
        self._called("experiment", lang)
        return {"status": "no_holdout", "alarm": False}

    def group_audit(self, groups, *, since, until, lang):
        self._called("group_audit", groups, since, until, lang)
        return {"n_decisions": 1, "audits": [], "text": []}

    def metrics_snapshot(self):
        if isinstance(self.fail, NoReleaseError):
            raise self.fail
        return MetricsSnapshot({"priced": 3, "rule": 1}, held=2, overrides=1, event_rows=9, model_age_seconds=60.0)

    def team(self, manager):
        reps = frozenset(rep for rep, team in TEAMS.items() if team == manager)
        return Team(reps, frozenset({manager}) if reps else frozenset())

    def close(self):
        self.closed = True


class FakeKeyring:
    """Keys by their text; `made` says whether one ever was."""

    def __init__(self):
        self.keys, self.made, self.lookups = {}, False, 0

    def add(self, role, subject):
        self.made = True
        key = f"key-of-{subject}"
        self.keys[key] = ApiKey(key, role, subject, 0, None)
        return key

    def has_keys(self):
        return self.made

    def find_key(self, key):
        self.lookups += 1
        return self.keys.get(key)


def client_of(app, host="127.0.0.1", client="127.0.0.1", **headers):
    return TestClient(
        app, base_url=f"http://{host}", headers=headers, client=(client, 5), raise_server_exceptions=False
    )


@pytest.fixture
def service():
    return FakeService()


@pytest.fixture
def keyring():
    return FakeKeyring()


@pytest.fixture
def app(service, keyring):
    return create_app(service, keyring=keyring)


@pytest.fixture
def client(app):
    """A caller on loopback, without a key."""
    return client_of(app)


@pytest.fixture
def connect(app):
    """Clients from elsewhere: connect(host=..., client=..., header=value)."""
    return lambda **how: client_of(app, **how)


@pytest.fixture
def caller(app, keyring):
    """A client with a key of a role and a subject."""

    def make(role, subject="someone"):
        return client_of(app, host="fairlead.example", client="10.0.0.9", **{"X-API-Key": keyring.add(role, subject)})

    return make


@pytest.fixture
def problem():
    """Checks that an answer is a problem document of a status and a kind, and gives the document."""

    def check(response, status, slug):
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        document = response.json()
        assert {"type", "title", "status", "detail", "instance"} <= document.keys()
        assert (document["status"], document["type"]) == (status, f"urn:fairlead:problem:{slug}")
        assert document["request_id"] == response.headers["x-request-id"]
        return SimpleNamespace(**document)

    return check
