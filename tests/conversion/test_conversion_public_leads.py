"""Real leads of an education company: no reps, no dates; ascending lead numbers are the order of creation."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.moments import DAY
from models.conversion.calibration import auc
from models.conversion.columns import PairColumns
from models.conversion.model import ConversionModel

FOLDER = Path(os.environ.get("FAIRLEAD_PUBLIC_DATA", "")) / "x_education_leads"
NUMERIC = ("TotalVisits", "Total Time Spent on Website", "Page Views Per Visit")
# Filled in after contact.
LEAKS = ("Tags", "Lead Quality", "Lead Profile", "Last Activity", "Last Notable Activity")

pytestmark = pytest.mark.skipif(
    not os.environ.get("FAIRLEAD_PUBLIC_DATA") or not FOLDER.exists(),
    reason="set FAIRLEAD_PUBLIC_DATA to the folder that holds x_education_leads",
)


@pytest.fixture(scope="module")
def pairs():
    frame = pd.read_csv(FOLDER / "leads.csv", dtype=str, keep_default_na=False).replace("Select", "")
    frame = frame.sort_values("Lead Number", key=lambda number: number.astype(int), ignore_index=True)
    frame["lead_id"], frame["rep_id"], frame["amount"] = frame["Prospect ID"], "desk", np.nan
    frame["y"] = frame["Converted"].astype(float)
    frame["as_of"] = np.arange(len(frame)) * DAY // 40
    frame["resolved_at"] = frame["as_of"] + 1
    for name in NUMERIC:
        frame[name] = pd.to_numeric(frame[name])
    return frame


@pytest.fixture(scope="module")
def columns(pairs):
    made = {"lead_id", "rep_id", "amount", "y", "as_of", "resolved_at", "Prospect ID", "Lead Number", "Converted"}
    text = [
        name
        for name in pairs.columns
        if name not in made and name not in NUMERIC and name not in LEAKS and not name.startswith("Asymmetrique")
    ]
    return PairColumns(NUMERIC, tuple(text))


def test_later_leads_are_ranked_well(pairs, columns):
    cut = int(0.75 * len(pairs))
    model = ConversionModel.fit(pairs.iloc[:cut], columns, np.random.default_rng(0), n_sims=99)
    later = pairs.iloc[cut:]
    assert model.findings.routing_mode == "lead_only"
    assert auc(model.predict(later).win_probability, later["y"].to_numpy()) > 0.88


def test_the_example_names_the_leaks_and_ranks_later_leads():
    import importlib.util

    path = Path(__file__).parents[2] / "examples" / "education-leads" / "score.py"
    spec = importlib.util.spec_from_file_location("education_leads_example", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    said = example.main(FOLDER)
    for name in (*LEAKS, "Asymmetrique Activity Index", "Asymmetrique Profile Score"):
        assert f"{name}: leak: " in said
    assert float(said.split("AUC ")[-1][:5]) > 0.88
    assert "lead_only" in said


def test_reps_dealt_at_random_are_not_found_to_differ(pairs, columns):
    dealt = pairs.assign(rep_id=np.random.default_rng(0).integers(0, 20, len(pairs)).astype(str))
    model = ConversionModel.fit(dealt, columns, np.random.default_rng(0), n_sims=199)
    assert model.findings.routing_mode == "lead_only"
    assert model.findings.interaction.ci_low == 0.0
