"""Small random tables with everything that makes time hard: late logging, hand-overs, repeat deals, silence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.contract import SCHEMA
from features.moments import DAY, HOUR, NEVER, parse
from features.spec import FeatureSpec, assemble_spec
from features.tables import Tables, empty_tables

START = parse("2024-01-01")
END = parse("2025-07-01")
SOURCES = ["referral", "event", "web_ad", "展会"]
INDUSTRIES = ["retail", "banking", ""]
TERRITORIES = ["north", "south", ""]
SKILLS = ["negotiation", "产品"]


def typed(name: str, rows: dict[str, object], n: int, lateness: np.ndarray | None = None) -> pd.DataFrame:
    """A frame of the table's columns in the house's types; `lateness` shifts what makes rows known."""
    frame = pd.DataFrame(index=range(n))
    schema = SCHEMA[name]
    for column in schema.columns:
        if column.name in rows:
            values = rows[column.name]
        elif column.kind in ("date", "time"):
            values = NEVER
        elif column.kind in ("number", "integer", "boolean"):
            values = np.nan
        else:
            values = ""
        kind = "int64" if column.kind in ("date", "time", "month", "money") else "str"
        kind = "float64" if column.kind in ("number", "integer", "boolean") else kind
        frame[column.name] = pd.Series(values, index=frame.index).astype(kind)
    if schema.time is None:
        frame["known_at"] = np.iinfo(np.int64).min
    else:
        frame["known_at"] = frame[schema.time]
    if lateness is not None:
        frame["recorded_at"] = np.where(lateness > 0, frame["known_at"] + lateness, NEVER)
        frame["known_at"] = frame["known_at"] + lateness
    for name_, values in rows.items():
        if name_ not in frame:
            frame[name_] = values
    return frame


def make_tables(seed: int, n_reps: int = 6, n_leads: int = 80, late_share: float = 0.2, zone: str = "UTC") -> Tables:
    """Random tables; a `late_share` of rows is recorded hours to months late. Times are whole hours, so they tie."""
    rng = np.random.default_rng(seed)

    def times(n: int, low: int = START, high: int = END) -> np.ndarray:
        return low + rng.integers(0, (high - low) // HOUR, n) * HOUR

    def late(n: int) -> np.ndarray:
        delay = rng.integers(1, 24 * 60, n) * HOUR
        return np.where(rng.random(n) < late_share, delay, 0)

    reps = np.array([f"r{i}" for i in range(n_reps)])
    leads = np.array([f"l{i:03d}" for i in range(n_leads)])
    frames = dict(empty_tables().frames)
    frames["reps"] = typed(
        "reps",
        {
            "rep_id": reps,
            "hired_on": START - rng.integers(-120, 900, n_reps) * DAY,
            "weekly_capacity": np.where(rng.random(n_reps) < 0.3, np.nan, rng.integers(1, 9, n_reps)),
            "industries": rng.choice(["", "retail", "retail; banking"], n_reps),
            "territories": rng.choice(["", "north", "north;south"], n_reps),
            "department": rng.choice(["", "sales", "service"], n_reps, p=[0.6, 0.3, 0.1]),
        },
        n_reps,
    )
    created = np.sort(times(n_leads))
    accounts = np.where(rng.random(n_leads) < 0.5, "", rng.choice(["a1", "a2", "a3", "a4"], n_leads))
    frames["leads"] = typed(
        "leads",
        {
            "lead_id": leads,
            "created_at": created,
            "source": rng.choice(SOURCES, n_leads),
            "industry": rng.choice(INDUSTRIES, n_leads),
            "territory": rng.choice(TERRITORIES, n_leads),
            "marketer_id": rng.choice(["", "m1", "m2"], n_leads),
            "account_id": accounts,
            "sourced_by_rep_id": np.where(rng.random(n_leads) < 0.1, rng.choice(reps, n_leads), ""),
            "referred_by_lead_id": np.where(rng.random(n_leads) < 0.2, rng.choice(leads, n_leads), ""),
            "company_size": rng.integers(1, 500, n_leads).astype(np.float64),
            "channel": rng.choice(["a", "b"], n_leads),
        },
        n_leads,
        late(n_leads),
    )
    n = int(n_leads * 1.3)
    of = np.concatenate((np.arange(n_leads), rng.integers(0, n_leads, n - n_leads)))
    at = created[of] + rng.integers(0, 24 * 60, n) * HOUR
    given = pd.DataFrame({"lead_id": leads[of], "rep_id": rng.choice(reps, n), "assigned_at": at})
    given = given.drop_duplicates(["lead_id", "assigned_at"]).iloc[: n - 3]
    given = {name: given[name].to_numpy() for name in given}
    frames["assignments"] = typed("assignments", given, len(given["lead_id"]), late(len(given["lead_id"])))
    n = n_leads * 6
    of = rng.integers(0, len(given["lead_id"]), n)
    soon = rng.random(n) < 0.3
    at = given["assigned_at"][of] + np.where(soon, rng.integers(-9, 48, n), rng.integers(0, 24 * 100, n)) * HOUR
    frames["activities"] = typed(
        "activities",
        {
            "activity_id": [f"x{i}" for i in range(n)],
            "lead_id": given["lead_id"][of],
            "rep_id": np.where(rng.random(n) < 0.8, given["rep_id"][of], rng.choice(reps, n)),
            "occurred_at": at,
            "minutes": np.where(rng.random(n) < 0.3, np.nan, rng.integers(1, 90, n) / 4),
        },
        n,
        late(n),
    )
    n = int(n_leads * 0.7)
    of = rng.integers(0, n_leads, n)
    frames["deals"] = typed(
        "deals",
        {
            "deal_id": [f"d{i}" for i in range(n)],
            "lead_id": leads[of],
            "rep_id": rng.choice(reps, n),
            "closed_at": created[of] + rng.integers(1, 24 * 200, n) * HOUR,
            "status": np.where(rng.random(n) < 0.5, "won", "lost"),
            "amount": rng.integers(100, 900_000, n),
        },
        n,
        late(n),
    )
    n = n_reps * 5
    assigned = times(n) // DAY * DAY
    done = np.where(rng.random(n) < 0.3, NEVER, assigned + rng.integers(1, 60, n) * DAY)
    frames["trainings"] = typed(
        "trainings",
        {
            "rep_id": rng.choice(reps, n),
            "course": [f"c{i}" for i in range(n)],
            "assigned_on": assigned,
            "skill": rng.choice([*SKILLS, ""], n),
            "completed_on": done,
            "hours": np.where(done == NEVER, np.nan, rng.integers(1, 40, n) / 2),
            "score": np.where((done == NEVER) | (rng.random(n) < 0.2), np.nan, rng.integers(40, 100, n)),
        },
        n,
        late(n),
    )
    n = n_reps * 6
    frames["feedback"] = typed(
        "feedback",
        {
            "feedback_id": [f"f{i}" for i in range(n)],
            "rep_id": rng.choice(reps, n),
            "received_at": times(n),
            "score": rng.integers(1, 11, n).astype(np.float64),
            "complaint": rng.integers(0, 2, n).astype(np.float64),
        },
        n,
        late(n),
    )
    n = n_reps * 3
    starts = times(n) // DAY * DAY
    absences = typed(
        "absences",
        {"rep_id": rng.choice(reps, n), "starts_on": starts, "ends_on": starts + rng.integers(0, 9, n) * DAY},
        n,
    )
    recorded = rng.random(n) < 0.3
    absences["recorded_at"] = np.where(recorded, starts - 5 * DAY, NEVER)
    absences["known_at"] = np.where(recorded, starts - 5 * DAY, absences["known_at"])
    frames["absences"] = absences
    return Tables(frames, zone)


def make_spec() -> FeatureSpec:
    """The spec of the random tables, given rather than screened."""
    return assemble_spec(
        custom_numeric=(("company_size", "lead_company_size"),),
        custom_categorical=("channel",),
        sources=(("event", "event"), ("展会", "展会")),
        skills=(("negotiation", "negotiation"), ("产品", "产品")),
    )


@pytest.fixture(scope="session")
def tables() -> Tables:
    return make_tables(1)


@pytest.fixture(scope="session")
def spec() -> FeatureSpec:
    return make_spec()


@pytest.fixture(scope="session")
def maker():
    return make_tables


@pytest.fixture(scope="session")
def rows_of():
    """Makes a typed frame of one table from columns and a number of rows."""
    return typed


@pytest.fixture(scope="session")
def asked():
    """Random (rep, moment) questions; some fall exactly on events."""

    def ask(tables: Tables, seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        events = tables.activities["known_at"].to_numpy()
        moments = START + rng.integers(0, (END - START) // HOUR, n) * HOUR
        moments = np.where(rng.random(n) < 0.4, rng.choice(events, n), moments)
        return rng.choice(tables.reps["rep_id"].to_numpy(dtype=object), n), np.minimum(moments, END).astype(np.int64)

    return ask
