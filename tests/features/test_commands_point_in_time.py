"""What the commands write is the same, byte for byte, whether later rows are absent or hidden by --as-of."""

from __future__ import annotations

import json
import shutil

import pytest

from features import moments
from features.contract import SCHEMA
from features.synthetic import WorldConfig, generate
from features.synthetic.writer import text_frame
from serving.session import open_session
from training.pipeline import TrainRequest, train_release

AS_OF = "2026-05-20T13:00"


def write(tables, folder):
    folder.mkdir()
    for name in SCHEMA:
        text_frame(name, tables).to_csv(folder / f"{name}.csv", index=False)


def outputs(data, home, out, new_leads):
    core = open_session(data, home, None, AS_OF).core(dry_run=True)
    written = {path.name: path.read_bytes() for path in core.write_report(out, None)}
    return {
        "forecast": core.forecast_csv(None, "rep"),
        "forecast of teams": core.forecast_csv(None, "team"),
        "warn": json.dumps(core.warning_items()),
        "route": core.route_csv(new_leads),
        **written,
    }


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """A desk that logs late: its whole tables, and only what the moment knows of them; one release for both."""
    root = tmp_path_factory.mktemp("hidden")
    tables = generate(WorldConfig(n_reps=10, n_months=11, seed=5, leads_per_rep_month=8, late_logging_days=2.0)).tables
    as_of = moments.parse(AS_OF)
    later = tables.leads.loc[(tables.leads["known_at"] >= as_of).to_numpy()]
    assert (tables.activities["recorded_at"] > tables.activities["occurred_at"]).any()
    assert len(later) > 20, "not trivial: there are rows to hide"
    write(tables, root / "all")
    write(tables.known(as_of), root / "known")
    text_frame("leads", tables.with_frames(leads=later.head(12))).to_csv(root / "new.csv", index=False)
    session = open_session(root / "known", root / "home", None, "2026-05-01")
    request = TrainRequest(session.as_of, 0, "gate", "", 7, session.now())
    train_release(session.tables, session.config, session.home.releases, session.home.mlruns, request)
    found = {}
    for side in ("all", "known"):
        shutil.copytree(root / "home", root / f"home-{side}", symlinks=True)
        found[side] = outputs(root / side, root / f"home-{side}", root / f"report-{side}", root / "new.csv")
    return found


@pytest.mark.parametrize(
    "name", ["forecast", "forecast of teams", "warn", "route", "drivers.json", "report.html", "report.xlsx"]
)
def test_hidden_rows_are_as_good_as_absent(sides, name):
    assert len(sides["all"][name]) > 200
    assert sides["all"][name] == sides["known"][name]
