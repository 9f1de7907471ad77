"""Scores real leads that have neither dates nor reps, through `models/`; names the columns that would leak.

    python examples/education-leads/score.py DIR     (DIR holds leads.csv of x_education_leads)

Prints what each left-out column was left out for, then how well the last quarter of the leads is ranked by a model of
the first three quarters.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from features.checking import feature_values
from features.lead_columns import screen_lead_columns
from features.leaks import suspected_leaks
from features.moments import DAY
from features.reading import read_file
from models.conversion import calibration
from models.conversion.columns import PairColumns
from models.conversion.model import ConversionModel

LEARNT_SHARE = 0.75
ORDER, OUTCOME = "Lead Number", "Converted"


def read_leads(folder: Path) -> pd.DataFrame:
    """The export in order of creation, typed, as a frame of pairs; "Select" is the form's word for nothing chosen."""
    raw = read_file(folder / "leads.csv", "leads").frame.replace("Select", "")
    raw = raw.iloc[np.argsort(raw[ORDER].astype(int), kind="stable")].reset_index(drop=True)
    typed = {str(name): feature_values(raw[name]).values for name in raw.columns}
    # The order is all that is known of time; one desk stands for reps that nobody names.
    moment = np.arange(len(raw), dtype=np.int64) * DAY // 40
    made = {"lead_id": raw["Prospect ID"], "rep_id": "desk", "as_of": moment, "resolved_at": moment + 1}
    return pd.DataFrame({**typed, **made, "y": raw[OUTCOME].astype(float), "amount": np.nan})


def columns_of(leads: pd.DataFrame) -> tuple[PairColumns, tuple[tuple[str, str], ...]]:
    """Columns that a model may use, and (column, reason) of those left out."""
    made = ("lead_id", "rep_id", "as_of", "resolved_at", "y", "amount", OUTCOME)
    given = leads.drop(columns=list(made))
    screened = screen_lead_columns(given)
    kept = [*screened.numeric, *screened.categorical]
    leaks = suspected_leaks(given[kept], leads["y"].to_numpy(dtype=np.float64))
    named = {name for name, _ in leaks}
    numeric = tuple(name for name in screened.numeric if name not in named)
    text = tuple(name for name in screened.categorical if name not in named)
    return PairColumns(numeric, text), (*screened.excluded, *leaks)


def score(leads: pd.DataFrame, columns: PairColumns) -> tuple[ConversionModel, float, float]:
    """Model of the earlier leads; AUC and calibration error on the later ones."""
    cut = int(LEARNT_SHARE * len(leads))
    model = ConversionModel.fit(leads.iloc[:cut], columns, np.random.default_rng(0))
    later = leads.iloc[cut:]
    p, y = model.predict(later).win_probability, later["y"].to_numpy(dtype=np.float64)
    return model, calibration.auc(p, y), calibration.expected_calibration_error(p, y)


def main(folder: Path) -> str:
    """The report of a folder."""
    leads = read_leads(folder)
    columns, left_out = columns_of(leads)
    model, auc, error = score(leads, columns)
    used = len(columns.lead_numeric) + len(columns.lead_categorical)
    lines = [f"{len(leads):,} leads, {leads['y'].mean():.1%} converted. Left out:"]
    lines += [f"  {name}: {reason}" for name, reason in left_out]
    lines += [
        f"{used} columns used. On the last quarter, in order of creation:",
        f"  AUC {auc:.3f}, calibration error {error:.3f}",
        f"  routing mode {model.findings.routing_mode}: there are no reps, so nothing is said of them",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.stdout.write(main(Path(sys.argv[1])) + "\n")
