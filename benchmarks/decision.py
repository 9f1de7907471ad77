"""CPU of one routing decision: scores of every rep, reasons, and a durable audit row, ours beside the usual stack.

Run as `OMP_NUM_THREADS=1 python -m benchmarks.decision --reps 200 2000 --seeds 3`. Each seed makes its own world and
fits its own models, with 300 trees beside the pooled part, on the pairs of at most 240 reps: the others are scored as
new ones, which costs the same. The usual stack is what most services do: an LGBMClassifier
of 300 trees on a frame of one row a rep, shap.TreeExplainer for the chosen rep and the runner-up, and ORM rows
committed to the same kind of database; it knows no prices, no capacity, no rules and no waiting leads.
CPU is of the process (`time.process_time`), so another load on the machine moves it less than it moves wall time; one
thread a model, as threads that wait for each other count as CPU. `benchmarks.decision_load` asks the same over HTTP.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from sqlalchemy import JSON, String, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from features import moments
from features.config import Config
from features.moments import HOUR
from features.pairs import build_pairs
from features.spec import make_spec
from features.synthetic import WorldConfig, write_world
from features.tables import Tables
from features.workdays import Workdays
from features.world import build
from models.conversion.amount import AmountModel
from models.conversion.columns import without_outcomes
from models.conversion.model import ConversionModel
from models.conversion.residual import ResidualTrees
from serving.core import Core
from serving.session import open_session
from training.datasets import pair_columns
from training.unit import ModelUnit

N_TREES = 300
MOST_FITTED = 240
QUICK = ("--reps", "40", "--months", "4", "--seeds", "1", "--decisions", "100")


class Base(DeclarativeBase):
    """The usual stack's tables."""


class Row(Base):
    """The usual stack's decision."""

    __tablename__ = "decisions"
    lead_id: Mapped[str] = mapped_column(String, primary_key=True)
    rep_id: Mapped[str]
    record: Mapped[dict[str, object]] = mapped_column(JSON)


class Audit(Base):
    """The usual stack's log."""

    __tablename__ = "audit"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    lead_id: Mapped[str]
    what: Mapped[dict[str, object]] = mapped_column(JSON)


class UsualDesk:
    """The usual stack: `reps` (R rows of rep columns), a classifier on `names`, SHAP, an ORM."""

    def __init__(self, reps: pd.DataFrame, classifier: lgb.LGBMClassifier, names: list[str], folder: Path) -> None:
        import shap

        warnings.filterwarnings("ignore", message="LightGBM binary classifier")
        self.reps, self.classifier, self.names = reps, classifier, names
        self.explainer = shap.TreeExplainer(classifier)
        self.engine = create_engine(f"sqlite:///{folder / 'usual.db'}")

        @event.listens_for(self.engine, "connect")
        def durable(connection: Any, _: object) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")

        Base.metadata.create_all(self.engine)

    def candidates(self, lead: Mapping[str, float]) -> pd.DataFrame:
        """(R, F) the lead with every rep."""
        given = pd.DataFrame({name: lead.get(name, np.nan) for name in self.names}, index=self.reps.index)
        own = [name for name in self.names if name in self.reps.columns]
        given[own] = self.reps[own]
        return given

    def decide(self, lead_id: str, lead: Mapping[str, float]) -> dict[str, Any]:
        """The best rep with reasons, durable."""
        candidates = self.candidates(lead)
        chance = self.classifier.predict_proba(candidates)[:, 1]
        order = np.argsort(-chance)[:2]
        values = np.asarray(self.explainer.shap_values(candidates.iloc[order])).reshape(2, -1)
        gap = values[0] - values[1]
        top = np.argsort(-np.abs(gap))[:4]
        record = {
            "lead_id": lead_id,
            "rep_id": f"R{order[0]}",
            "p": float(chance[order[0]]),
            "reasons": [{"feature": self.names[k], "contribution": float(gap[k])} for k in top],
            "alternatives": [{"rep_id": f"R{k}", "p": float(chance[k])} for k in order[1:]],
        }
        with Session(self.engine) as session:
            if (known := session.get(Row, lead_id)) is not None:
                return dict(known.record)
            session.add(Row(lead_id=lead_id, rep_id=str(record["rep_id"]), record=record))
            session.add(Audit(lead_id=lead_id, what=record))
            session.commit()
        return record


def trained(
    tables: Tables, seed: int, leaves: int = 31
) -> tuple[ModelUnit, pd.DataFrame, lgb.LGBMClassifier, list[str]]:
    """Our unit with 300 trees, and a classifier of 300 trees on the same pairs."""
    as_of = tables.newest()
    spec = make_spec(tables, Config(), as_of)
    pairs = build_pairs(build(tables, as_of, spec))
    fitted = sorted(pairs["rep_id"].unique())[:MOST_FITTED]
    pairs = pairs.loc[pairs["rep_id"].isin(fitted).to_numpy()].reset_index(drop=True)
    columns = pair_columns(spec)
    rng = np.random.default_rng(seed)
    conversion = ConversionModel.fit(pairs, columns, rng, n_sims=3, mode="pairs")
    # As the residual trees of a release: no column made of a rep's own past outcomes.
    names = (
        *columns.lead_numeric, *without_outcomes(columns.rep_numeric), *without_outcomes(columns.pair_numeric),
    )  # fmt: skip
    blank = ResidualTrees("", names, (), 0.5, 0.0)
    known = pairs["y"].notna().to_numpy()
    x, y = blank.features(pairs.loc[known]), pairs.loc[known, "y"].to_numpy()
    options = {"num_leaves": leaves, "verbosity": -1, "num_threads": 1, "seed": seed, "objective": "binary"}
    text = lgb.train(options, lgb.Dataset(x, y), N_TREES).model_to_string()
    conversion = replace(conversion, residual=ResidualTrees(text, names, (), 0.5, 0.0))
    amount = AmountModel.fit(pairs, columns)
    unit = ModelUnit(spec, conversion, amount, None, Workdays("weekdays"), as_of, version="bench")
    classifier = lgb.LGBMClassifier(n_estimators=N_TREES, num_leaves=leaves, n_jobs=1, verbosity=-1, random_state=seed)
    frame = pairs[list(names)]
    classifier.fit(frame.loc[known], y)
    return unit, frame, classifier, list(names)


def rows_of(core: Core, n: int) -> list[tuple[dict[str, object], int]]:
    """New leads like old ones, spread over working hours from the first Monday after the data end."""
    leads = core.session.tables.leads
    old = leads.loc[(leads["sourced_by_rep_id"] == "").to_numpy()].tail(n).to_dict("records")
    start = moments.end_of_week(core.state().board.as_of) + 9 * HOUR
    places = int(core.state().board.capacity.sum())
    step = int(40 * HOUR / max(places, 1))
    found = []
    for i, row in enumerate(old):
        kept = {
            k: row[k]
            for k in ("source", "territory", "industry", "employees", "web_visits")
            if row.get(k) == row.get(k) and row.get(k) != ""
        }
        at = start + i * step
        found.append(({"lead_id": f"N{i}", "created_at": moments.iso(at), **kept}, at))
    return found


def ours(core: Core, n: int, warm: int = 40) -> tuple[float, float]:
    """CPU ms a decision: with everything, and what solving prices anew is of it."""
    import serving.week

    spent = 0.0
    solve = serving.week.solve_prices

    def timed(*given: Any, **named: Any) -> Any:
        nonlocal spent
        began = time.process_time()
        found = solve(*given, **named)
        spent += time.process_time() - began
        return found

    rows = rows_of(core, n + warm)
    for row, at in rows[:warm]:
        core.assign(row, decided_at=at, lang="en")
    serving.week.solve_prices = timed
    began = time.process_time()
    for row, at in rows[warm:]:
        core.assign(row, decided_at=at, lang="en")
    total = time.process_time() - began
    serving.week.solve_prices = solve
    return 1e3 * total / (len(rows) - warm), 1e3 * spent / (len(rows) - warm)


def after_events(core: Core, n: int = 12) -> tuple[float, float]:
    """Median CPU ms of taking an event (a call on a lead in a rep's hands), and of the decision after it."""
    overs, end = core.session.tables.assignments.tail(n), core.state().board.as_of
    rows = rows_of(core, n)
    taken, decided = [], []
    for i, (over, (row, at)) in enumerate(zip(overs.itertuples(), rows, strict=True)):
        call = {
            "activity_id": f"C{i}", "lead_id": over.lead_id, "rep_id": over.rep_id, "kind": "call", "minutes": 5,
            "occurred_at": moments.iso(end + (i + 1) * 60_000_000),
        }  # fmt: skip
        began = time.process_time()
        core.add_events("activities", [call], sender="benchmark")
        between = time.process_time()
        core.assign({**row, "lead_id": f"C{i}"}, decided_at=at, lang="en")
        taken.append(between - began)
        decided.append(time.process_time() - between)
    return 1e3 * statistics.median(taken[2:]), 1e3 * statistics.median(decided[2:])


def usual_desk(core: Core, classifier: lgb.LGBMClassifier, names: list[str], folder: Path) -> UsualDesk:
    """The usual stack with the reps as our desk sees them."""
    board = core.state().board
    reps = board.team_at(board.as_of).frame
    return UsualDesk(reps[[name for name in names if name in reps.columns]], classifier, names, folder)


def usual(desk: UsualDesk, frame: pd.DataFrame, n: int, warm: int = 5) -> float:
    """CPU ms a decision of the usual stack on leads like old ones."""
    rows = frame.sample(n + warm, random_state=0, replace=True).to_dict("records")
    began = 0.0
    for i, row in enumerate(rows):
        if i == warm:
            began = time.process_time()
        desk.decide(f"U{i}", {str(name): value for name, value in row.items()})
    total = time.process_time() - began
    desk.engine.dispose()
    return 1e3 * total / n


def measured(n_reps: int, months: int, seed: int, decisions: int, leaves: int) -> tuple[float, ...]:
    """CPU ms a decision: ours, what prices are of it, the usual stack; ours after an event, and taking the event."""
    folder = Path(tempfile.mkdtemp(prefix="decision-"))
    write_world(folder / "data", WorldConfig(n_reps=n_reps, n_months=months, seed=seed))
    (folder / "home").mkdir()
    core = open_session(folder / "data", folder / "home", None).core()
    unit, frame, classifier, names = trained(core.session.tables, seed, leaves)
    core.use(unit)
    whole, prices = ours(core, decisions)
    other = usual(usual_desk(core, classifier, names, folder), frame, max(decisions // 8, 10))
    event, after = after_events(core)
    core.close()
    shutil.rmtree(folder)
    said = {"reps": n_reps, "seed": seed, "ours": whole, "of it prices": prices, "usual": other, "ratio": other / whole,
            "event": event, "after it": after}  # fmt: skip
    print(json.dumps(said), flush=True)
    return whole, prices, other, after, event


def main() -> None:
    """Print the table."""
    given = argparse.ArgumentParser()
    given.add_argument("--reps", type=int, nargs="+", default=[200])
    given.add_argument("--months", type=int, default=6)
    given.add_argument("--seeds", type=int, default=3)
    given.add_argument("--decisions", type=int, default=400)
    given.add_argument("--leaves", type=int, default=31, help="leaves a tree, of both stacks; 31 is LightGBM's default")
    asked = given.parse_args()
    for n_reps in asked.reps:
        found = [measured(n_reps, asked.months, seed, asked.decisions, asked.leaves) for seed in range(asked.seeds)]
        ratios = [other / whole for whole, _, other, _, _ in found]
        columns = [*zip(*found, strict=True), ratios]
        names = ("ours, ms", "of it prices, ms", "usual stack, ms", "ours after event", "an event, ms", "ratio")
        for name, values in zip(names, columns, strict=True):
            spread = f"{min(values):.2f} to {max(values):.2f}"
            print(f"{n_reps:5d} reps  {name:18s} {statistics.mean(values):7.2f}   {spread}")


if __name__ == "__main__":
    main()
