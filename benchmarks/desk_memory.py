"""Whether the desk's memory stays flat: thousands of decisions and events over weeks, in process and without HTTP.

Run as `OMP_NUM_THREADS=1 python -m benchmarks.desk_memory --decisions 3000 --events 500`. What the service holds is the
same as behind HTTP, but weeks pass in minutes, so that a leak shows soon. Requests come from a pool of threads as they
do there. Events are of every kind that changes the tables: hand-overs of decided leads, calls, deals, new leads.
Printed: resident memory, what the allocator has handed out and what it keeps free, how many states and worlds are
alive (the one that decides, and those that requests under way still read), and leads that wait. The tables themselves
grow with the events, by right: some hundred bytes a row.
`benchmarks.decision_load --soak` asks the same over HTTP by the clock.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.decision import trained
from benchmarks.decision_load import leads_over_weeks, resident_mb
from features import moments
from features.moments import HOUR
from features.synthetic import WorldConfig, write_world
from features.world import World
from serving.allocator import give_back, settle
from serving.core import Core
from serving.session import open_session
from serving.state import State

QUICK = ("--reps", "40", "--decisions", "300", "--events", "60", "--steps", "6")
MB = 1 << 20
_A_MINUTE = 100  # decisions between two times at which free pages are given back, as the service's clock does


class _Mallinfo(ctypes.Structure):
    """glibc's account of its heaps, bytes."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


def allocated_mb() -> tuple[float, float]:
    """What glibc's allocator has handed out, and what it keeps free, over all its heaps; NaN where it cannot tell."""
    try:
        library = ctypes.CDLL(None)
        library.mallinfo2.restype = _Mallinfo
        found = library.mallinfo2()
    except (AttributeError, OSError):
        return float("nan"), float("nan")
    return (found.uordblks + found.hblkhd) / MB, found.fordblks / MB


def alive(*kinds: type) -> list[int]:
    """Number of objects of each class that are not freed yet; nothing is collected for the question."""
    found = [type(one) for one in gc.get_objects()]
    return [sum(kind is one for one in found) for kind in kinds]


def events_of(lead: dict[str, Any], answer: dict[str, Any], number: int) -> tuple[str, dict[str, Any]]:
    """Table and row of the event that a decision is followed by: what a CRM sends about a lead that was given."""
    at = moments.parse(answer["decided_at"])
    lead_id, rep_id = str(lead["lead_id"]), str(answer["rep_id"])
    kind = number % 4
    if kind == 0:
        return "assignments", {"lead_id": lead_id, "rep_id": rep_id, "assigned_at": moments.iso(at)}
    if kind == 1:
        return "activities", {
            "activity_id": f"A{number}", "lead_id": lead_id, "rep_id": rep_id, "kind": "call", "minutes": 5,
            "occurred_at": moments.iso(at + HOUR // 4),
        }  # fmt: skip
    if kind == 2:
        return "deals", {
            "deal_id": f"D{number}", "lead_id": lead_id, "rep_id": rep_id, "status": "won" if number % 3 else "lost",
            "amount": 1_000 + number, "closed_at": moments.iso(at + HOUR // 2),
        }  # fmt: skip
    return "leads", {**lead, "lead_id": f"E{number}"}


def drive(core: Core, n_decisions: int, n_events: int, n_threads: int) -> Iterator[tuple[int, int]]:
    """Send the requests, at most `n_threads` under way at once; yields how many of each were answered after each."""
    bodies = leads_over_weeks(core, n_decisions)
    every = max(n_decisions // max(n_events, 1), 1)
    number = 0

    def decide(body: dict[str, Any]) -> dict[str, Any]:
        at = moments.parse(body["decided_at"])
        return dict(json.loads(core.assign(body["lead"], decided_at=at, lang="en")[1]))

    with ThreadPoolExecutor(n_threads) as pool:
        waiting: list[tuple[dict[str, Any], Future[dict[str, Any]]]] = []
        for done, body in enumerate(bodies, start=1):
            waiting.append((body["lead"], pool.submit(decide, body)))
            if len(waiting) < n_threads and done < n_decisions:
                continue
            lead, answer = waiting.pop(0)
            given = answer.result()
            if done % every == 0 and number < n_events and given["status"] == "assigned":
                table, row = events_of(lead, given, number)
                pool.submit(core.add_events, table, [row], sender="benchmark").result()
                number += 1
            yield done, number


def measured(core: Core, folder: Path, asked: argparse.Namespace) -> list[float]:
    """Resident memory (MB) at each step."""
    pid = os.getpid()
    found: list[float] = []
    step = max(asked.decisions // asked.steps, 1)
    began = time.process_time()
    for done, sent in drive(core, asked.decisions, asked.events, asked.threads):
        if done % _A_MINUTE == 0:
            give_back()
        if done % step:
            continue
        handed, free = allocated_mb()
        states, worlds = alive(State, World)
        with core.store.read() as view:
            n_held = view.counts().held
        found.append(resident_mb(pid))
        said = {
            "decisions": done, "events": sent, "rss_mb": round(found[-1], 1), "handed_out_mb": round(handed, 1),
            "kept_free_mb": round(free, 1), "states": states, "worlds": worlds, "waiting": n_held,
            "store_mb": round((folder / "home" / "fairlead.db").stat().st_size / MB, 1),
            "cpu_ms": round(1e3 * (time.process_time() - began) / step, 2),
        }  # fmt: skip
        print(json.dumps(said), flush=True)
        began = time.process_time()
    return found


def main() -> None:
    """Make a world, fit models, drive the desk, and print memory by step and its slope."""
    given = argparse.ArgumentParser()
    given.add_argument("--reps", type=int, default=200)
    given.add_argument("--months", type=int, default=3)
    given.add_argument("--seed", type=int, default=0)
    given.add_argument("--decisions", type=int, default=3_000)
    given.add_argument("--events", type=int, default=500)
    given.add_argument("--threads", type=int, default=8)
    given.add_argument("--steps", type=int, default=12)
    asked = given.parse_args()
    settle()
    folder = Path(tempfile.mkdtemp(prefix="desk-memory-"))
    try:
        write_world(folder / "data", WorldConfig(n_reps=asked.reps, n_months=asked.months, seed=asked.seed))
        (folder / "home").mkdir()
        core = open_session(folder / "data", folder / "home", None).core()
        core.use(trained(core.session.tables, asked.seed)[0])
        found = np.array(measured(core, folder, asked))
        core.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    late = found[len(found) // 3 :]
    per_step = float(np.polyfit(np.arange(len(late)), late, 1)[0])
    slope = 1_000 * per_step / max(asked.decisions // asked.steps, 1)
    print(
        f"start {found[0]:.0f}, middle {found[len(found) // 2]:.0f}, end {found[-1]:.0f} MB; after the first third "
        f"{slope:+.1f} MB per 1,000 decisions"
    )


if __name__ == "__main__":
    main()
