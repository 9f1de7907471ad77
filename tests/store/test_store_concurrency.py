"""Many writers, and writers that die: no place too many, no acknowledged decision lost, one decision a lead."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from serving.store import Store, StoreBusyError

WORKER = Path(__file__).with_name("toy_desk.py")


def toy_desk():
    spec = spec_from_file_location("toy_desk", WORKER)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(url, seed, n_leads=40, capacity=5, n_reps=4):
    command = [sys.executable, str(WORKER), url, *map(str, (seed, n_leads, capacity, n_reps))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def acknowledged(lines):
    """{lead_id: {(rep_id, seq), ...}} of whole lines; a line cut short by a kill was never acknowledged."""
    said = {}
    for line in lines:
        parts = line.split(" ")
        if line.endswith("\n") and len(parts) == 3:
            said.setdefault(parts[0], set()).add((parts[1], int(parts[2])))
    return said


def check_history(url, acknowledgements, capacity):
    """What must hold whatever happened: every acknowledgement true, no rep over capacity, an unbroken chain."""
    with Store.open(url) as store, store.read() as view:
        for lead_id, answers in acknowledgements.items():
            assert len(answers) == 1, f"{lead_id} was answered in two ways: {answers}"
            found = view.decision(lead_id)
            assert found is not None, f"{lead_id} was acknowledged and is lost"
            assert (found.rep_id or "-", found.seq) == next(iter(answers))
        used = view.used_places("2026-W07")
        assert max(used.values()) <= capacity
        assert view.verify().ok
        decided = Counter(entry.lead_id for entry in view.log_after(limit=10_000))
        assert set(decided.values()) == {1}, "a lead was decided twice"
        return used


def test_threads_never_exceed_capacity_and_agree_on_each_lead(url):
    desk = toy_desk()
    with Store.open(url) as store, ThreadPoolExecutor(6) as pool:
        leads = [f"L{i}" for i in range(30)] * 3
        random.Random(1).shuffle(leads)
        found = list(pool.map(lambda lead: desk.decide(store, lead, ["R0", "R1", "R2"], 4), leads))
    said = {}
    for one in found:
        said.setdefault(one.lead_id, set()).add((one.rep_id or "-", one.seq))
    assert check_history(url, said, 4) == {"R0": 4, "R1": 4, "R2": 4}, "the case must be one of overload"


def test_processes_that_open_an_empty_store_at_once_share_it(url):
    workers = [start(url, seed) for seed in range(3)]
    lines = [line for worker in workers for line in worker.communicate(timeout=300)[0].splitlines(keepends=True)]
    assert [worker.returncode for worker in workers] == [0] * 3
    said = acknowledged(lines)
    assert len(said) == 40
    assert sum(len(line.split(" ")) == 3 for line in lines) == 120, "each process must have answered each lead"
    assert check_history(url, said, 5) == {f"R{i}": 5 for i in range(4)}


def test_kill_9_loses_nothing_that_was_acknowledged(url):
    """Rounds of two rivals killed at a random moment, then the whole history is judged."""
    luck = random.Random(7)
    lines, killed = [], 0
    for round_ in range(3):
        workers = [start(url, 10 * round_ + i, n_leads=150, capacity=30) for i in range(2)]
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
        lines += [workers[0].stdout.readline() for _ in range(luck.randint(5, 25))]
        for worker in workers:
            killed += worker.poll() is None
            worker.kill()
            lines += worker.communicate(timeout=300)[0].splitlines(keepends=True)
    said = acknowledged(lines)
    assert killed >= 4, "the workers must die at work for this to mean anything"
    assert len(said) >= 15
    check_history(url, said, 30)
    survivor = start(url, 99, n_leads=150, capacity=30)
    lines += survivor.communicate(timeout=300)[0].splitlines(keepends=True)
    assert survivor.returncode == 0, "what a killed writer left behind must not stop the next one"
    check_history(url, acknowledged(lines), 30)


def test_a_race_for_one_lead_gives_the_first_decision_to_both(url):
    desk = toy_desk()
    with Store.open(url) as one, Store.open(url) as other:
        barrier, found = threading.Barrier(2, timeout=30), {}

        def race(name, store, rep):
            for i in range(20):
                barrier.wait()
                found[name, i] = desk.decide(store, f"L{i}", [rep], 99)

        rivals = [threading.Thread(target=race, args=args) for args in (("a", one, "RA"), ("b", other, "RB"))]
        for rival in rivals:
            rival.start()
        for rival in rivals:
            rival.join(300)
    assert len(found) == 40
    assert all(found["a", i] == found["b", i] for i in range(20))


def test_readers_see_one_moment_and_do_not_wait_for_writers(url):
    desk = toy_desk()
    with Store.open(url) as store:
        desk.decide(store, "L1", ["R0"], 9)
        with store.read() as view:
            before = view.head()
            done = threading.Thread(target=desk.decide, args=(store, "L2", ["R0"], 9))
            done.start()
            done.join(300)
            assert not done.is_alive()
            assert (view.head(), view.decision("L2")) == (before, None)
        with store.read() as view:
            assert view.head()[0] == before[0] + 1
        with store.transaction() as tx:
            tx.put_events("deals", [], received_at=1)
            with store.read() as view:
                assert view.last_event() == 0, "nothing uncommitted may be seen"


def test_a_store_held_too_long_is_busy_not_broken(url):
    with Store.open(url) as holder, Store.open(url, wait_seconds=0.2) as waiter:
        with holder.transaction() as tx:
            tx.put_events("deals", [], received_at=1)
            with pytest.raises(StoreBusyError), waiter.transaction():
                pass
        with waiter.transaction() as tx:
            assert tx.last_event() == 1
