"""Whether measures worked, from tables: found where it is, not where it is not; pilots drawn, written and read back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features import moments
from features.config import Config, Measure, Round
from features.errors import RequestError
from features.moments import DAY, NEVER
from features.outcomes import contributions
from features.synthetic import WorldConfig, generate
from features.workdays import Workdays
from models.drivers.effects import EffectRow
from serving.pilots import PilotFile, pilot_bytes, read_pilot
from serving.reports.measure_view import measure_words, measures_view, pilot_words, pilots_view
from serving.reports.measures import (
    MeasureResult,
    Outside,
    make_pilot,
    measure_results,
    pilot_result,
    pilots_of,
    unsettled,
)
from training.measure_frames import Touched, configured, courses, months_to_win, next_month, rep_months, routing
from training.pilots import design, eligible, result
from training.snapshot import ZonedWorkdays

DAYS = ZonedWorkdays(Workdays("CN"), "UTC")


@pytest.fixture(scope="module")
def tables():
    """Nobody joins or leaves in the middle, so that every rep has all months."""
    return generate(WorldConfig(n_reps=26, n_months=16, seed=5, turnover=0.0, growth=0.0)).tables


@pytest.fixture(scope="module")
def frame(tables):
    return rep_months(tables, tables.newest(), DAYS)


def paid_more(tables, reps, since, factor):
    """The tables with won amounts of some reps multiplied from a month on."""
    deals = tables.deals
    months = moments.months_of(deals["closed_at"].to_numpy(dtype=np.int64), tables.zone)
    touched = deals["rep_id"].isin(reps).to_numpy() & (months >= since)
    amount = deals["amount"].to_numpy(dtype=np.int64)
    return tables.with_frames(deals=deals.assign(amount=np.where(touched, (amount * factor).astype(np.int64), amount)))


def test_rep_months_are_whole_ended_and_hold_each_rep_s_money(tables, frame):
    last = moments.month_of(tables.newest(), "UTC")
    assert frame["month"].max() == last - 1
    done = contributions(tables, tables.newest()).set_index(["rep_id", "month"])["amount"]
    for row in frame.sample(40, random_state=1).itertuples():
        assert row.contribution == pytest.approx(done.get((row.rep_id, row.month), 0.0))
    reps = tables.reps.set_index("rep_id")
    starts = np.array([moments.month_start(m) for m in frame["month"]])
    assert (reps["hired_on"].reindex(frame["rep_id"]).to_numpy() <= starts).all()
    assert frame["present"].between(0, 1).all()
    assert (frame["present"] < 1).any()


def test_later_rows_change_nothing_earlier(tables):
    early = tables.newest() - 100 * DAY
    seen = rep_months(tables.known(early), early, DAYS)
    cut = replace(tables, frames={k: f.loc[f["known_at"] < early] for k, f in tables.frames.items()})
    pd.testing.assert_frame_equal(seen, rep_months(cut.known(early), early, DAYS))


def test_courses_count_from_the_month_after_completion(tables):
    trainings = tables.trainings
    done = trainings.loc[(trainings["completed_on"] < NEVER).to_numpy()]
    row = done.sort_values("completed_on").iloc[0]
    found = courses(tables)[f"training:{row['skill']}"]
    ended = moments.month_of(int(row["completed_on"]), "UTC")
    assert found.starts[row["rep_id"]] == ended + 1
    assert 1 <= found.gap <= 3
    unfinished = set(trainings["rep_id"]) - set(done.loc[done["skill"] == row["skill"], "rep_id"])
    assert not unfinished & set(found.starts)


def test_settings_name_who_was_touched_and_since_when(tables):
    team = tables.reps["team_id"].iloc[0]
    mine = set(tables.reps.loc[tables.reps["team_id"] == team, "rep_id"])
    whole = configured(Measure("x", rounds=(Round("2026-03-01", (team,)),)), tables)
    assert (set(whole.starts), set(whole.starts.values()), whole.gap) == (mine, {2026 * 12 + 2}, 0)
    half = configured(Measure("x", rounds=(Round("2026-03-09", (), ("R001",)), Round("2026-01-01"))), tables)
    assert half.starts["R001"] == 2026 * 12
    assert (len(half.starts), half.gap) == (26, 1)  # the sales reps, not the back office
    assert len(tables.reps) == 27


def test_routing_counts_from_the_first_decision_before_as_of():
    at = moments.parse("2026-03-10T08:00:00")
    found = routing({"R1": at, "R2": at + 400 * DAY}, at + 60 * DAY, "UTC")
    assert found == Touched({"R1": 2026 * 12 + 3}, 1)


def test_a_measure_that_trebles_amounts_is_found_and_an_invented_one_is_not(tables):
    half = sorted(tables.reps["rep_id"])[::2]
    last = moments.month_of(tables.newest(), "UTC") - 1
    since = moments.month_text(last - 4) + "-01"
    config = Config(measures=(Measure("reminders", "提醒", (Round(since, (), tuple(half)),)),))
    worked = paid_more(tables, half, last - 4, 3.0)
    as_of = tables.newest()
    found = measure_results(worked, as_of, rep_months(worked, as_of, DAYS), config, Outside())[0]
    plain = measure_results(tables, as_of, rep_months(tables, as_of, DAYS), config, Outside())[0]
    assert (found.kind, found.verdict, found.n_touched) == ("measure", "identified", 13)
    assert found.ci_low > 0
    truth = (
        rep_months(worked, as_of, DAYS)["contribution"].sum() - rep_months(tables, as_of, DAYS)["contribution"].sum()
    )
    assert found.ci_low <= truth / (13 * 5) <= found.ci_high
    assert plain.includes_zero
    assert found.first_month == last - 4


def test_routing_for_all_at_once_is_withheld_beside_its_bare_change(tables, frame):
    at = moments.parse(moments.month_text(int(frame["month"].max()) - 3) + "-01")
    outside = Outside(dict.fromkeys(tables.reps["rep_id"], at))
    found = measure_results(tables, tables.newest(), frame, Config(), outside)
    assert found[0].kind == "routing"
    assert (found[0].estimate, found[0].reasons) == (None, ("nobody_untouched",))
    assert found[0].before_after is not None
    for lang, words in (("en", "nobody is left to compare with"), ("zh", "没有可比的对象")):
        assert words in measure_words(found[0], "CNY", lang)


def test_a_pilot_is_written_run_and_read_back(tables, frame, tmp_path):
    """Drawn on what was known then; a world in which the first arm earns twice as much gives that back."""
    as_of = moments.month_start(int(frame["month"].max()) - 2)
    known = tables.known(as_of)
    plan = design(known, as_of, rep_months(known, as_of, DAYS), "coaching", 4)
    start = next_month(as_of, "UTC")
    assert start == moments.month_of(as_of, "UTC")
    path = tmp_path / "pilot.csv"
    path.write_bytes(pilot_bytes(plan, "coaching", start))
    drawn = read_pilot(path)
    assert drawn == PilotFile("coaching", start, plan.chosen.months, dict(zip(plan.ids, plan.first, strict=True)))
    first = [rep for rep, one in drawn.first.items() if one]
    rich = paid_more(tables, first, start, 3.0)
    after = rep_months(rich, tables.newest(), DAYS)
    found = pilot_result(after, drawn, "coaching")
    assert (found.method, found.kind, found.months_over) == ("randomised", "pilot", 3)
    assert found.estimate == pytest.approx(result(after, drawn.first, start, drawn.months).arms.interval.estimate)
    assert found.ci_low > 0
    assert "pilot_not_over" in found.reasons  # three of six months
    plain = pilot_result(frame, drawn, "coaching")
    assert plain.ci_low <= 0 <= plain.ci_high
    assert pilot_result(frame, replace(drawn, start=start + 40), "coaching") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("R1,first", "R1,control"), "row 2, arm 'control'"),
        (("2026-03", "March"), "first_month must be the same"),
        (("lever,", "leber,"), "columns lever"),
        (("R1,first,x,2026-03,3,0", "R2,first,x,2026-03,3,0"), "'R2': each rep once"),
        (("R2,later,x", "R2,later,y"), "lever must be the same"),
        (("R1,first,x,2026-03,3", "R1,first,x,2026-03,0"), "months must be the same"),
    ],
)
def test_a_spoilt_list_is_refused_by_file_row_and_value(tmp_path, change, said):
    text = "rep_id,arm,lever,first_month,months,block\nR1,first,x,2026-03,3,0\nR2,later,x,2026-03,3,0\n"
    path = tmp_path / "pilot.csv"
    path.write_text(text.replace(*change, 1), encoding="utf-8")
    with pytest.raises(RequestError, match=r"pilot\.csv") as caught:
        read_pilot(path)
    assert said in str(caught.value)


def test_who_completed_a_course_or_has_left_takes_no_part(tables):
    as_of = tables.newest()
    lever, touched = next(iter(courses(tables).items()))
    found = eligible(tables, as_of, lever)
    assert not set(found) & set(touched.starts)
    assert set(eligible(tables, as_of, "something_new")) >= set(found)
    gone = tables.reps.assign(left_on=np.where(tables.reps["rep_id"] == found[0], as_of - DAY, NEVER))
    assert found[0] not in eligible(tables.with_frames(reps=gone), as_of, lever)


def test_pilots_are_planned_for_what_is_not_settled():
    def effect(driver, verdict):
        return EffectRow(driver, "contribution", "money_per_month", None, None, None, "x", 1, verdict)

    def measure(name, verdict, low):
        return MeasureResult(
            name, "course", "", "difference_in_differences", low + 1, low, low + 2, verdict, (), 9, 9, 1, 0
        )

    effects = [effect("followups_per_week", "identified"), effect("training:a", "not_identified")]
    effects += [effect("training:b", "suggestive"), effect("training:c", "not_identified")]
    measures = [measure("training:a", "identified", 1.0), measure("training:c", "identified", -1.0)]
    assert unsettled(effects, measures) == ("training:b", "training:c")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_words_of_measures_and_pilots_are_whole_in_both_languages(tables, frame, lang):
    as_of = tables.newest()
    found = measure_results(tables, as_of, frame, Config(), Outside())
    assert len(found) == 5
    view = measures_view(found, "CNY", lang)
    assert len(view.table.rows) == len(view.words) == 5
    plans = pilots_of(tables, as_of, frame, ["training:closing", "x"])
    shown = pilots_view(plans, {}, "CNY", lang)
    assert len(shown.table.rows) == 2
    first = shown.table.rows[1].cells[1].text.replace("、", ", ").split(", ")
    assert sorted(first) == sorted(plans[1].first)
    few = tables.with_frames(reps=tables.reps.head(5))
    none = make_pilot(few, as_of, frame, "x")
    assert (none.reason, none.first) == ("too_few_to_draw", ())
    assert ("fewer than eight" if lang == "en" else "不足八位") in pilot_words(none, "CNY", lang)
    assert measures_view((), "CNY", lang) is None
    assert pilots_view((), {}, "CNY", lang) is None


def test_months_to_win_are_those_until_two_thirds_are_won(tables):
    """Deals that come two months later take two more, as many as four at most; without deals there is no waiting."""
    deals = tables.deals
    first = months_to_win(tables)
    later = tables.with_frames(deals=deals.assign(closed_at=deals["closed_at"] + int(2 * 30.4375 * DAY)))
    assert first >= 1
    assert months_to_win(later) == min(4, first + 2)
    assert months_to_win(tables.with_frames(deals=deals.iloc[:0])) == 0
    assert all(touched.ramp == first for touched in courses(tables).values())
