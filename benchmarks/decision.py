"""CPU of one routing decision: scores of every rep, reasons, and a durable audit row, ours beside the usual stack.

Run as `python -m benchmarks.decision --reps 200 --seeds 3`. Each seed makes its own world and fits its own models, with
300 trees beside the pooled part. The usual stack is what most services do: an LGBMClassifier of 300 trees on a frame of
one row a rep, shap.TreeExplainer for the chosen row, and an ORM row committed to the same kind of database.
CPU is of the process (`time.process_time`), so another load on the machine moves it less than it moves wall time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
import warnings
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
QUICK = ("--reps", "40", "--months", "4", "--seeds", "1", "--decisions", "100")


class Base(DeclarativeBase):
    """The usual stack's tables."""


class Row(Base):
    """The usual stack's decision."""

    __tablename__ = "decisions"
    lead_id: Mapped[str] = mapped_column(String, primary_key=True)
    rep_id: Mapped[str]
    record: Mapped[dict[str, object]] = mapped_column(JSON)


def trained(tables: Tables, seed: int) -> tuple[ModelUnit, pd.DataFrame, lgb.LGBMClassifier, list[str]]:
    """Our unit with 300 trees, and a classifier of 300 trees on the same pairs."""
    as_of = tables.newest()
    spec = make_spec(tables, Config(), as_of)
    pairs = build_pairs(build(tables, as_of, spec))
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
    options = {"num_leaves": 8, "verbosity": -1, "num_threads": 1, "seed": seed, "objective": "binary"}
    text = lgb.train(options, lgb.Dataset(x, y), N_TREES).model_to_string()
    conversion = replace(conversion, residual=ResidualTrees(text, names, (), 0.5, 0.0))
    amount = AmountModel.fit(pairs, columns)
    unit = ModelUnit(spec, conversion, amount, None, Workdays("weekdays"), as_of, version="bench")
    classifier = lgb.LGBMClassifier(n_estimators=N_TREES, num_leaves=8, n_jobs=1, verbosity=-1, random_state=seed)
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


def usual(
    frame: pd.DataFrame,
    classifier: lgb.LGBMClassifier,
    names: list[str],
    folder: Path,
    n_reps: int,
    n: int,
    warm: int = 5,
) -> float:
    """CPU ms a decision of the usual stack: predict_proba on a frame, SHAP of the chosen row, an ORM row committed."""
    import shap

    warnings.filterwarnings("ignore", message="LightGBM binary classifier")
    engine = create_engine(f"sqlite:///{folder / 'usual.db'}")

    @event.listens_for(engine, "connect")
    def durable(connection: Any, _: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    Base.metadata.create_all(engine)
    explainer = shap.TreeExplainer(classifier)
    rng = np.random.default_rng(0)
    began = 0.0
    for i in range(n + warm):
        if i == warm:
            began = time.process_time()
        rows = [frame.iloc[k].to_dict() for k in rng.integers(0, len(frame), 1)]
        candidates = pd.DataFrame([{**rows[0], names[-1]: float(r)} for r in range(n_reps)], columns=names)
        chance = classifier.predict_proba(candidates)[:, 1]
        best = int(np.argmax(chance))
        values = np.asarray(explainer.shap_values(candidates.iloc[[best]]))
        reasons = dict(zip(names, map(float, values.reshape(-1)[: len(names)]), strict=False))
        with Session(engine) as session:
            assert session.get(Row, f"U{i}") is None
            session.add(Row(lead_id=f"U{i}", rep_id=f"R{best}", record={"p": float(chance[best]), "reasons": reasons}))
            session.commit()
    total = time.process_time() - began
    engine.dispose()
    return 1e3 * total / n


def main() -> None:
    """Print the table."""
    given = argparse.ArgumentParser()
    given.add_argument("--reps", type=int, default=200)
    given.add_argument("--months", type=int, default=6)
    given.add_argument("--seeds", type=int, default=3)
    given.add_argument("--decisions", type=int, default=400)
    asked = given.parse_args()
    found = []
    for seed in range(asked.seeds):
        folder = Path(tempfile.mkdtemp(prefix="decision-"))
        write_world(folder / "data", WorldConfig(n_reps=asked.reps, n_months=asked.months, seed=seed))
        (folder / "home").mkdir()
        core = open_session(folder / "data", folder / "home", None).core()
        unit, frame, classifier, names = trained(core.session.tables, seed)
        core.use(unit)
        whole, prices = ours(core, asked.decisions)
        other = usual(frame, classifier, names, folder, len(core.state().board.rep_ids), max(asked.decisions // 8, 10))
        core.close()
        shutil.rmtree(folder)
        found.append((whole, prices, other))
        print(json.dumps({"seed": seed, "ours": whole, "of it prices": prices, "usual": other, "ratio": other / whole}))
    columns = list(zip(*found, strict=True))
    for name, values in zip(("ours", "of it prices", "usual stack"), columns, strict=True):
        print(f"{name:14s} {statistics.mean(values):7.2f} ms   {min(values):.2f} to {max(values):.2f}")
    ratios = [other / whole for whole, _, other in found]
    print(f"{'ratio':14s} {statistics.mean(ratios):7.1f} x    {min(ratios):.1f} to {max(ratios):.1f}")


if __name__ == "__main__":
    main()
