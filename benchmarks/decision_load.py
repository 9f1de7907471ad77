"""One decision over HTTP under open-loop load: CPU a request and latency of ours, the usual stack and MLflow's server.

Run as `OMP_NUM_THREADS=1 python -m benchmarks.decision_load --rate 10 --seconds 40`. Requests arrive as a Poisson
process at the rate given, whether or not earlier ones are answered, so that a slow server queues. CPU is what the
server's processes used (`/proc`), by requests answered. All three have 300 trees and score every rep; the usual
stack is that of `benchmarks.decision` behind FastAPI; `mlflow models serve` only scores the frame it is sent, without
reasons and without a record.
`--soak MINUTES` keeps ours under the rate for that long instead, every sixth request an event, and prints its resident
memory by minute and its slope.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import pickle
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
from pydantic import BaseModel

from benchmarks.decision import UsualDesk, rows_of, trained, usual_desk
from features import moments
from features.moments import DAY, HOUR
from features.synthetic import WorldConfig, write_world
from serving.core import Core
from serving.session import open_session

_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 600


class Asked(BaseModel):
    """What the usual stack is sent."""

    lead_id: str
    lead: dict[str, float | None]


@dataclass
class Measured:
    """What a run of one server cost."""

    name: str
    cpu_ms: float
    n: int
    failed: int
    latency_ms: list[float] = field(default_factory=list)

    def line(self) -> str:
        """One row of the table."""
        p = [float(np.percentile(self.latency_ms, q)) for q in (50, 95, 99)] if self.latency_ms else [0.0] * 3
        shown = f"{self.name:24s} {self.cpu_ms:8.2f} {p[0]:8.1f} {p[1]:8.1f} {p[2]:8.1f}"
        return f"{shown} {self.n:7d} {self.failed:6d}"


def family(pid: int) -> Iterator[int]:
    """The process and its children."""
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from family(int(child))


def cpu_seconds(pid: int) -> float:
    """CPU that the process and its children have used."""
    spent = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        spent += int(fields[11]) + int(fields[12])
    return spent / _TICKS


def resident_mb(pid: int) -> float:
    """Resident memory of one process."""
    found = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(found[0].split()[1]) / 1024


async def load(
    asked: Callable[[int], tuple[str, Any]], rate: float, seconds: float, seed: int, headers: dict[str, str]
) -> tuple[list[float], int]:
    """Latencies (ms) of Poisson arrivals, and how many were not answered with success; `asked`: address and body."""
    rng = np.random.default_rng(seed)
    at = np.cumsum(rng.exponential(1.0 / rate, int(rate * seconds)))
    found: list[float] = []
    failed = 0
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:
        began = time.perf_counter()

        async def one(i: int) -> None:
            nonlocal failed
            await asyncio.sleep(max(at[i] - (time.perf_counter() - began), 0.0))
            sent = began + at[i]  # late senders count as latency: the client must not hide a queue
            try:
                url, body = asked(i)
                answer = await client.post(url, json=body, headers=headers)
                failed += answer.status_code >= 300
            except httpx.HTTPError:
                failed += 1
                return
            found.append(1e3 * (time.perf_counter() - sent))

        await asyncio.gather(*(one(i) for i in range(len(at))))
    return found, failed


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, path: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers, ended with the block."""
    folder = Path(sys.executable).parent  # MLflow looks for uvicorn on the path
    env = {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with log.open("wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=out, env=env)
    try:
        until = time.monotonic() + _START_SECONDS
        while not _answers(f"http://127.0.0.1:{port}{path}"):
            if time.monotonic() > until or child.poll() is not None:
                raise SystemExit(f"{' '.join(command[:4])} did not come up:\n{log.read_text()[-2000:]}")
            time.sleep(0.3)
        yield child
    finally:
        stop(child)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code < 500
    except httpx.HTTPError:
        return False


def measure(
    name: str, child: subprocess.Popen[bytes], url: str, body_of: Callable[[int], Any], rate: float, seconds: float,
    warm: int = 40,
) -> Measured:  # fmt: skip
    """One server under load, after `warm` requests."""
    headers = {"Accept-Language": "en"}
    with httpx.Client(timeout=60, trust_env=False) as client:
        for i in range(warm):
            answer = client.post(url, json=body_of(i), headers=headers)
            if answer.status_code >= 300:
                raise SystemExit(f"{name} answered {answer.status_code}: {answer.text[:500]}")
    before = cpu_seconds(child.pid)
    found, failed = asyncio.run(load(lambda i: (url, body_of(i + warm)), rate, seconds, 1, headers))
    spent = cpu_seconds(child.pid) - before
    return Measured(name, 1e3 * spent / max(len(found), 1), len(found), failed, found)


def stop(child: subprocess.Popen[bytes]) -> None:
    """End a server that this process started."""
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(timeout=20)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def serve_ours(folder: Path, port: int) -> None:
    """The service with the pickled unit, in this process."""
    from serving.allocator import settle
    from serving.http.server import run
    from serving.pages.site import create_site

    settle()
    core = open_session(folder / "data", folder / "home", None).core()
    core.use(pickle.loads((folder / "unit.pickle").read_bytes()))
    core.start_clock()
    run(create_site(core), "127.0.0.1", port)


def serve_usual(folder: Path, port: int) -> None:
    """The usual stack behind FastAPI, in this process."""
    import uvicorn
    from fastapi import FastAPI

    desk = UsualDesk(*pickle.loads((folder / "usual.pickle").read_bytes()), folder)

    app = FastAPI()

    @app.get("/healthz")
    def healthy() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/decide", status_code=201)
    def decide(asked: Asked) -> dict[str, Any]:
        lead = {name: np.nan if value is None else value for name, value in asked.lead.items()}
        return desk.decide(asked.lead_id, lead)

    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")


def leads_over_weeks(core: Core, n: int) -> list[dict[str, Any]]:
    """Bodies of leads like old ones: nine tenths of the places a week, in working hours, week after week."""
    old = [row for row, _ in rows_of(core, 400)]
    start = moments.end_of_week(core.state().board.as_of) + 9 * HOUR
    per_day = max(int(0.9 * int(core.state().board.capacity.sum()) / 5), 1)
    bodies = []
    for i in range(n):
        day, of_day = divmod(i, per_day)
        week, weekday = divmod(day, 5)
        at = start + (7 * week + weekday) * DAY + of_day * 8 * HOUR // per_day
        lead = {**old[i % len(old)], "lead_id": f"H{i}", "created_at": moments.iso(at)}
        bodies.append({"lead": lead, "decided_at": moments.iso(at)})
    return bodies


def calls_on(core: Core, n: int) -> list[dict[str, Any]]:
    """Bodies of `POST /v1/events`: a call each on a lead handed over lately, one a minute after the data end."""
    overs, end = core.session.tables.assignments.tail(200), core.state().board.as_of
    rows = list(zip(overs["lead_id"], overs["rep_id"], strict=True))
    return [
        {
            "table": "activities",
            "rows": [{
                "activity_id": f"S{i}", "lead_id": str(rows[i % len(rows)][0]), "rep_id": str(rows[i % len(rows)][1]),
                "occurred_at": moments.iso(end + i * 60_000_000), "kind": "call", "minutes": 5,
            }],
        }
        for i in range(n)
    ]  # fmt: skip


def waiting(url: str) -> int:
    """Leads that wait, as the server counts them."""
    text = httpx.get(url, trust_env=False, timeout=60).text
    return int(float(next(line.split()[-1] for line in text.splitlines() if line.startswith("fairlead_held_leads"))))


def soak(
    child: subprocess.Popen[bytes], url: str, bodies: list[dict[str, Any]], calls: list[dict[str, Any]],
    rate: float, minutes: int,
) -> None:  # fmt: skip
    """Keep the server under load, an event after every fifth decision, and print its resident memory by minute.

    The slope is that of the minutes after the first third, and of the waiting leads among them, which take memory by
    right: least squares on both.
    """
    decisions, events = f"{url}/v1/assignments", f"{url}/v1/events"
    seen: list[tuple[float, int]] = []
    n_decided = n_sent = 0
    for minute in range(1, minutes + 1):
        asked: list[tuple[str, Any]] = []
        while len(asked) < int(rate * 60):
            if len(asked) % 6 == 5:
                asked.append((events, calls[n_sent]))
                n_sent += 1
            else:
                asked.append((decisions, bodies[n_decided]))
                n_decided += 1
        before = cpu_seconds(child.pid)
        found, failed = asyncio.run(load(asked.__getitem__, rate, 60.0, minute, {"Accept-Language": "en"}))
        seen.append((resident_mb(child.pid), waiting(f"{url}/metrics")))
        said = {
            "minute": minute, "rss_mb": round(seen[-1][0], 1), "waiting": seen[-1][1], "decisions": n_decided,
            "events": n_sent, "failed": failed,
            "cpu_ms": round(1e3 * (cpu_seconds(child.pid) - before) / max(len(found), 1), 2),
            "p50_ms": round(statistics.median(found), 1), "p99_ms": round(float(np.percentile(found, 99)), 1),
        }  # fmt: skip
        print(json.dumps(said), flush=True)
    late = np.array(seen[minutes // 3 :])
    rows = np.column_stack([np.ones(len(late)), np.arange(len(late)), late[:, 1] - late[:, 1].mean()])
    slope = np.linalg.lstsq(rows, late[:, 0], rcond=None)[0]
    plain = np.polyfit(np.arange(len(late)), late[:, 0], 1)[0]
    print(
        f"after minute {minutes // 3}: {late[0, 0]:.1f} to {late[-1, 0]:.1f} MB, {60 * plain:+.1f} MB an hour; "
        f"{60 * slope[1]:+.1f} MB an hour beside what goes with waiting leads"
    )


def compare(asked: argparse.Namespace, folder: Path) -> None:
    """Make a world, then load each server in turn."""
    write_world(folder / "data", WorldConfig(n_reps=asked.reps, n_months=asked.months, seed=asked.seed))
    (folder / "home").mkdir()
    core = open_session(folder / "data", folder / "home", None).core()
    unit, frame, classifier, names = trained(core.session.tables, asked.seed, asked.leaves)
    core.use(unit)
    (folder / "unit.pickle").write_bytes(pickle.dumps(unit))
    desk = usual_desk(core, classifier, names, folder)
    (folder / "usual.pickle").write_bytes(pickle.dumps((desk.reps, classifier, names)))
    n = int(asked.rate * max(asked.seconds, 60 * asked.soak)) + 400
    bodies, calls = leads_over_weeks(core, n), calls_on(core, n)
    core.close()
    port = free_port()
    ours = [sys.executable, "-m", "benchmarks.decision_load", "--serve", "ours", str(folder), str(port)]
    url = f"http://127.0.0.1:{port}/v1/assignments"
    with running(ours, port, "/healthz", folder / "ours.log") as child:
        if asked.soak:
            soak(child, f"http://127.0.0.1:{port}", bodies, calls, asked.rate, asked.soak)
            return
        found = [measure("ours", child, url, bodies.__getitem__, asked.rate, asked.seconds)]
    leads = frame.sample(n, random_state=0, replace=True).to_dict("records")
    plain = [{name: None if math.isnan(value) else float(value) for name, value in row.items()} for row in leads]
    port = free_port()
    usual = [sys.executable, "-m", "benchmarks.decision_load", "--serve", "usual", str(folder), str(port)]
    url = f"http://127.0.0.1:{port}/decide"
    with running(usual, port, "/healthz", folder / "usual.log") as child:
        body = [{"lead_id": f"U{i}", "lead": lead} for i, lead in enumerate(plain)]
        found.append(measure("usual stack", child, url, body.__getitem__, asked.rate, asked.seconds))
    found.append(_mlflow(folder, desk, leads, classifier, asked))
    print(f"{'':24s} {'CPU ms':>8s} {'p50 ms':>8s} {'p95 ms':>8s} {'p99 ms':>8s} {'n':>7s} {'failed':>6s}")
    for one in found:
        print(one.line())
    print(
        f"usual / ours {found[1].cpu_ms / found[0].cpu_ms:.1f}, mlflow / ours {found[2].cpu_ms / found[0].cpu_ms:.1f}"
    )


def _mlflow(
    folder: Path, desk: UsualDesk, leads: list[dict[str, Any]], classifier: Any, asked: argparse.Namespace
) -> Measured:
    """`mlflow models serve` with the classifier, sent the frame of every rep."""
    import mlflow

    frame = desk.candidates(leads[0]).astype(np.float64)
    signature = mlflow.models.infer_signature(frame)  # else a column without a value arrives as objects
    where = str(folder / "model")
    mlflow.lightgbm.save_model(classifier.booster_, where, pip_requirements=["lightgbm"], signature=signature)
    port = free_port()
    tool = str(Path(sys.executable).with_name("mlflow"))
    command = [tool, "models", "serve", "-m", str(folder / "model"), "--env-manager", "local", "-p", str(port)]

    def body(i: int) -> dict[str, Any]:
        rows = desk.candidates(leads[i % 50]).astype(object)
        return {"dataframe_split": rows.where(rows.notna(), None).to_dict("split", index=False)}

    kept = [body(i) for i in range(50)]
    url = f"http://127.0.0.1:{port}/invocations"
    with running(command, port, "/ping", folder / "mlflow.log") as child:
        return measure("mlflow, scores only", child, url, lambda i: kept[i % 50], asked.rate, asked.seconds)


def main() -> None:
    """Serve one stack where asked to, else compare or soak."""
    given = argparse.ArgumentParser()
    given.add_argument("--reps", type=int, default=200)
    given.add_argument("--months", type=int, default=3)
    given.add_argument("--seed", type=int, default=0)
    given.add_argument("--rate", type=float, default=10.0, help="requests a second")
    given.add_argument("--seconds", type=float, default=40.0)
    given.add_argument("--leaves", type=int, default=31)
    given.add_argument("--soak", type=int, default=0, metavar="MINUTES")
    given.add_argument("--serve", nargs=3, metavar=("STACK", "FOLDER", "PORT"), help=argparse.SUPPRESS)
    asked = given.parse_args()
    if asked.serve:
        stack, where, port = asked.serve
        (serve_ours if stack == "ours" else serve_usual)(Path(where), int(port))
        return
    folder = Path(tempfile.mkdtemp(prefix="decision-load-"))
    try:
        compare(asked, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
