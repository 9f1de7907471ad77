"""Several processes on one store, killed at random: nothing acknowledged is lost, nobody goes over his capacity."""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from serving.store import Store

WORKER = Path(__file__).with_name("desk_worker.py")
SERVER = os.environ.get("FAIRLEAD_TEST_POSTGRES", "postgresql:///test")
N_LEADS, N_REPS, CAPACITY = 36, 4, 6
WEEK = "2026-W10"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """URL of an empty store, once in each database; PostgreSQL in a schema of its own, or a skip that says why."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'shared.db'}"
        return
    engine = create_engine(SERVER.replace("postgresql://", "postgresql+psycopg://", 1))
    schema = f"fairlead_test_{secrets.token_hex(6)}"
    try:
        with engine.begin() as connection:
            connection.execute(text(f"create schema {schema}"))
    except Exception as error:  # noqa: BLE001  # any reason at all means there is none to test with
        engine.dispose()
        pytest.skip(f"no PostgreSQL at {SERVER} ({type(error).__name__}); set FAIRLEAD_TEST_POSTGRES to test it")
    yield f"{SERVER}{'&' if '?' in SERVER else '?'}options=-csearch_path%3D{schema}"
    with engine.begin() as connection:
        connection.execute(text(f"drop schema {schema} cascade"))
    engine.dispose()


def start(made, database, seed):
    command = [sys.executable, str(WORKER), str(made.data), str(made.home), str(seed), str(N_LEADS)]
    environment = {**os.environ, "FAIRLEAD_DATABASE": database}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def answers(lines, said):
    """Adds {lead_id: {bytes of an assigned decision}} of whole lines; one cut short was never acknowledged."""
    for line in lines:
        status, _, rest = line.partition(" ")
        if line.endswith("}\n") and status in ("200", "201"):
            lead_id, _, body = rest.rstrip("\n").partition(" ")
            said.setdefault(lead_id, set()).add(body)
    return said


def check_history(database, said):
    with Store.open(database) as store, store.read() as view:
        assert view.verify().ok
        kinds = [(entry.kind, entry.lead_id) for entry in view.log_after(limit=10_000)]
        assert len(kinds) == len(set(kinds)), "a lead was decided or released twice"
        used = view.used_places(WEEK)
        assert max(used.values()) <= CAPACITY
        for lead_id, bodies in said.items():
            stored = view.decision(lead_id)
            assert stored is not None, f"{lead_id} was acknowledged and is lost"
            assigned = {body for body in bodies if json.loads(body)["status"] == "assigned"}
            assert len(assigned) <= 1, f"{lead_id} has two owners or two wordings"
            if assigned:
                assert next(iter(assigned)).encode() == stored.answers["en"]
        return used


def test_killed_at_random_again_and_again(desk, database):
    made = desk([{"rep_id": f"R{i}", "weekly_capacity": CAPACITY} for i in range(N_REPS)])
    said, rng = {}, random.Random(11)
    for round_ in range(2):
        workers = [start(made, database, 10 * round_ + k) for k in range(2)]
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.05, 0.8))
        for worker in workers:
            worker.kill()
            answers(worker.communicate(timeout=120)[0].splitlines(keepends=True), said)
        check_history(database, said)
    workers = [start(made, database, 90 + k) for k in range(2)]
    for worker in workers:
        answers(worker.communicate(timeout=300)[0].splitlines(keepends=True), said)
        assert worker.returncode == 0
    assert len(said) == N_LEADS
    assert check_history(database, said) == {f"R{i}": CAPACITY for i in range(N_REPS)}, "it must be a case of overload"
