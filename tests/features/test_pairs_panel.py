"""Training rows: which there are, what they are called, and that targets are the truth of after as_of."""

from __future__ import annotations

import numpy as np
import pytest

from features.moments import DAY, NEVER, month_of, month_start, parse, parse_month
from features.outcomes import contributions, lead_outcomes
from features.pairs import PAIR_IDS, build_pairs
from features.panel import PANEL_IDS, build_panel, is_sales, weekdays_of
from features.world import build

CUT = parse("2025-04-10T12:00:00")


@pytest.fixture(scope="module")
def world(tables, spec):
    return build(tables, CUT, spec)


def test_pairs_are_last_hand_overs_of_routed_leads(tables, world):
    pairs = build_pairs(world)
    outcomes = lead_outcomes(tables, CUT, 180).set_index("lead_id")
    assert pairs["lead_id"].is_unique
    assert not outcomes.loc[pairs["lead_id"], "own_prospect"].any()
    assert (pairs["rep_id"].to_numpy() == outcomes.loc[pairs["lead_id"], "rep_id"].to_numpy()).all()
    assert (pairs["as_of"] <= pairs["resolved_at"]).all()
    assert pairs["as_of"].is_monotonic_increasing
    assert len(build_pairs(world, include_own_prospects=True)) > len(pairs)


def test_pair_targets_follow_outcomes(world):
    pairs = build_pairs(world)
    assert set(pairs["outcome"]) == {"won", "lost", "dead", "open"}
    wanted = pairs["outcome"].map({"won": 1.0, "lost": 0.0, "dead": 0.0, "open": np.nan})
    assert pairs["y"].to_numpy() == pytest.approx(wanted.to_numpy(), nan_ok=True)
    assert (pairs["maturity"] == (pairs["resolved_at"] != NEVER)).all()
    assert (pairs["amount"].notna() == (pairs["outcome"] == "won")).all()


def test_pair_columns_are_ids_then_the_spec(world, spec):
    pairs = build_pairs(world)
    assert list(pairs) == [
        *PAIR_IDS, *spec.lead_numeric, *spec.lead_categorical, *spec.rep_numeric, *spec.pair_numeric,
    ]  # fmt: skip
    assert (pairs[[*spec.lead_numeric, *spec.rep_numeric, *spec.pair_numeric]].dtypes == "float64").all()


def test_pair_features_do_not_move_when_the_future_comes(tables, spec, world):
    """Rows that two origins share have the same features; only what became of them differs."""
    earlier = build_pairs(build(tables, CUT - 120 * DAY, spec)).set_index(["lead_id", "rep_id", "as_of"])
    later = build_pairs(world).set_index(["lead_id", "rep_id", "as_of"])
    # A hand-over recorded late was not known at its own moment, nor to anyone who looked then.
    both = earlier.index.intersection(later.index)
    assert len(both) > 20
    names = [*spec.rep_numeric, *spec.pair_numeric, *spec.lead_numeric]
    assert earlier.loc[both, names].equals(later.loc[both, names])
    assert not earlier.loc[both, "y"].equals(later.loc[both, "y"])


def test_panel_has_a_row_a_sales_rep_month_and_horizon(tables, world):
    panel = build_panel(world)
    assert list(panel)[: len(PANEL_IDS)] == list(PANEL_IDS)
    assert not panel.duplicated(["rep_id", "as_of", "horizon"]).any()
    assert (panel["month"] == [month_of(moment) for moment in panel["as_of"]] + panel["horizon"]).all()
    reps = tables.reps.set_index("rep_id")
    hired = reps.loc[panel["rep_id"], "hired_on"].to_numpy()
    assert (hired < panel["as_of"]).all()
    assert set(panel["rep_id"]) <= set(tables.reps["rep_id"][is_sales(tables.reps)])


def test_panel_targets_are_contributions_of_ended_months(tables, world):
    panel = build_panel(world)
    done = contributions(tables, CUT).set_index(["rep_id", "month"])["amount"]
    for row in panel.itertuples():
        ended = month_start(row.month + 1) <= CUT
        assert row.maturity == ended
        if ended:
            assert row.y == pytest.approx(done.get((row.rep_id, row.month), 0.0))
        else:
            assert np.isnan(row.y)
    assert 0 < panel["maturity"].sum() < len(panel)


def test_leavers_have_no_row_from_when_they_are_known_to_have_left(tables, spec):
    left = parse("2024-12-01")
    reps = tables.reps.assign(left_on=np.where(tables.reps["rep_id"] == "r1", left, NEVER), department="")
    panel = build_panel(build(tables.with_frames(reps=reps), CUT, spec))
    assert panel.loc[panel["rep_id"] == "r1", "as_of"].max() < left
    assert panel.loc[panel["rep_id"] == "r2", "as_of"].max() > left


def test_any_day_may_be_asked(tables, world):
    """In mid-month what is closed so far is known, and so is the share of the month that is over."""
    cuts = [parse(f"2024-{month}-20T12:00:00") for month in ("04", "05", "06", "07", "08", "09", "10", "11")]
    panel = build_panel(world, as_ofs=cuts, horizons=(0,))
    won = tables.deals.loc[(tables.deals["status"] == "won").to_numpy()]
    for row in panel.itertuples():
        inside = (won["known_at"] < row.as_of) & (won["known_at"] >= month_start(month_of(row.as_of)))
        cents = won.loc[inside & (won["rep_id"] == row.rep_id), "amount"].sum()
        assert row.panel_contribution_to_date == pytest.approx(cents / 100)
    assert panel["panel_contribution_to_date"].sum() > 0
    april = panel.loc[panel["as_of"] == cuts[0], "panel_month_elapsed_share"]
    assert april.to_numpy() == pytest.approx(19.5 / 30)


def test_far_horizons_do_not_look_ahead(tables, spec):
    """Fifteen months ahead the same month a year before has not been either."""
    cut = parse("2024-09-01")
    whole, then = build(tables, CUT, spec), build(tables, cut, spec)
    names = list(spec.panel_numeric)
    ours = build_panel(whole, as_ofs=[cut], horizons=(0, 11, 12, 15))
    theirs = build_panel(then, as_ofs=[cut], horizons=(0, 11, 12, 15))
    assert ours[names].equals(theirs[names])
    assert (ours.loc[ours["horizon"] == 15, "panel_contribution_year_before"] == 0).all()


def test_exposure_is_what_the_calendar_says(world):
    assert weekdays_of(parse_month("2025-02")) == 20
    panel = build_panel(world, horizons=(1,), exposure=lambda month: float(month % 12))
    assert (panel["panel_workdays"] == panel["month"] % 12).all()


def test_local_time_rules_months_and_hours(maker, spec):
    """Eight in the evening UTC is already next month in Shanghai."""
    tables = maker(1, zone="Asia/Shanghai")
    leads = tables.leads.head(1).assign(created_at=parse("2025-01-31T20:00:00"))
    row = build(tables, CUT, spec).lead_features(leads, CUT).iloc[0]
    assert (row["lead_hour_of_day"], row["lead_weekday"], row["lead_month_of_year"]) == (4, 6, 2)
