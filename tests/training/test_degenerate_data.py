"""Thin or odd tables: the first training still yields a release, or says plainly what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from features import moments
from features.errors import RequestError
from features.world import build
from models.forecasting.draws import to_table
from training.release import release_for
from training.snapshot import forecast_inputs, panel_rows_now, scored_pairs
from training.unit import ModelUnit


def emptied(tables, *names):
    return tables.with_frames(**{name: tables.frames[name].iloc[:0] for name in names})


def of_reps(tables, reps):
    """Only what these reps did."""
    leads = set(tables.assignments.loc[tables.assignments["rep_id"].isin(reps), "lead_id"])
    found = {}
    for name, frame in tables.frames.items():
        kept = frame["lead_id"].isin(leads) if name == "leads" else np.ones(len(frame), dtype=bool)
        if "rep_id" in frame.columns:
            kept = frame["rep_id"].isin(reps)
        found[name] = frame.loc[kept].reset_index(drop=True)
    return tables.with_frames(**found)


def undecided(tables):
    """Three deals won, everything else still open."""
    won = tables.deals.loc[tables.deals["status"] == "won"].drop_duplicates("lead_id").head(3)
    return tables.with_frames(deals=won.reset_index(drop=True))


CASES = {
    "no activities": lambda t: emptied(t, "activities"),
    "required tables only": lambda t: emptied(
        t, "activities", "stages", "trainings", "targets", "feedback", "absences"
    ),
    "one rep": lambda t: of_reps(t, {t.deals.loc[t.deals["status"] == "won", "rep_id"].mode()[0]}),
    "two reps": lambda t: of_reps(t, set(sorted(t.reps["rep_id"])[:2])),
    "single source": lambda t: t.with_frames(leads=t.leads.assign(source="only")),
    "three won, the rest open": undecided,
}


@pytest.mark.parametrize("case", list(CASES))
def test_the_first_training_yields_a_release_that_forecasts(case, new_home, tables):
    spoilt = CASES[case](tables)
    place = new_home(on=spoilt)
    facts = place.train("2026-02-01")
    assert facts["promoted"]
    as_of = moments.parse("2026-02-01", "UTC")
    unit = ModelUnit.from_release(release_for(place.releases, as_of))
    world = build(spoilt, as_of, unit.spec)
    inputs = forecast_inputs(world, unit.workdays, scored_pairs(world, unit.conversion, unit.amount))
    draws = unit.forecast(inputs, panel_rows_now(world, unit.workdays))
    table = to_table(draws, "rep", None, 0.8, world.as_of, spoilt.zone)
    assert np.isfinite(table[["mean", "p10", "p90"]].to_numpy(dtype=float)).all()
    assert (table["p10"] <= table["p90"]).all()


def test_six_weeks_of_history_give_the_mean(new_home, tables):
    place = new_home()
    facts = place.train("2025-08-20")
    assert facts["promoted"]
    assert facts["forecast"]["reason"] == "too_few_origins"


@pytest.mark.parametrize("case", ["no deals", "only lost", "no assignments"])
def test_nothing_won_says_what_to_check(case, new_home, tables):
    if case == "only lost":
        spoilt = tables.with_frames(deals=tables.deals.loc[tables.deals["status"] == "lost"].reset_index(drop=True))
    else:
        spoilt = emptied(tables, "deals" if case == "no deals" else "assignments")
    place = new_home(on=spoilt)
    with pytest.raises(RequestError, match=r"won deal.*nothing to learn from.*check leads, assignments and deals"):
        place.train()
    assert not place.releases.exists()
