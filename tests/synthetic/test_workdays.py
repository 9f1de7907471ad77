from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import moments
from features.workdays import (
    AFTER_FESTIVAL,
    BEFORE_FESTIVAL,
    HOLIDAY_WEIGHT,
    MAKE_UP_DAYS,
    OFFICE_WEEK,
    Workdays,
    chinese_holidays,
    day_number,
    learn_workdays,
)


def of_day(calendar: Workdays, text: str) -> float:
    return float(calendar.weights(day_number(date.fromisoformat(text)), 1)[0])


def test_a_week_without_holidays_in_closed_form():
    first = day_number(date(2025, 3, 10))
    np.testing.assert_allclose(Workdays("CN").weights(first, 7), OFFICE_WEEK)
    np.testing.assert_allclose(Workdays("none").weights(first, 7), 1.0)


def test_february_2025_after_the_festival_in_closed_form():
    """Eve on 28 January 2025: off until 4 February, then work comes back; the 8th makes up for a day off."""
    calendar = Workdays("CN")
    got = calendar.weights(day_number(date(2025, 1, 28)), 20)
    week = [OFFICE_WEEK[(date(2025, 1, 28) + timedelta(days=k)).weekday()] for k in range(20)]
    week[11] = 1.0  # 8 February, a Saturday worked
    expected = [HOLIDAY_WEIGHT] * 8 + [week[8 + k] * AFTER_FESTIVAL[k] for k in range(12)]
    np.testing.assert_allclose(got, expected)


def test_january_2026_before_the_festival_in_closed_form():
    """Eve on 16 February 2026: the slump begins eleven days before, and January is a whole month of work."""
    calendar = Workdays("CN")
    before = calendar.weights(day_number(date(2026, 2, 5)), 11)[::-1]
    week = np.array([OFFICE_WEEK[(date(2026, 2, 15) - timedelta(days=k)).weekday()] for k in range(11)])
    week[1] = 1.0  # 14 February, a Saturday worked
    np.testing.assert_allclose(before, week * np.array(BEFORE_FESTIVAL))
    # 22 weekdays of which two are off, one worked Sunday, eight other weekend days.
    assert calendar.in_month(2026 * 12) == pytest.approx(20 + 1 + 8 * 0.15 + 2 * HOLIDAY_WEIGHT)


def test_future_years_have_a_festival_and_no_make_up_days():
    calendar = Workdays("CN")
    assert 2029 not in MAKE_UP_DAYS
    _, eves = chinese_holidays(2029)
    assert date(2029, 2, 12) in eves
    assert of_day(calendar, "2029-02-13") == HOLIDAY_WEIGHT
    assert calendar.in_month(2029 * 12 + 1) < 0.75 * calendar.in_month(2029 * 12 + 2)


def test_our_make_up_days_are_those_the_library_swaps_for():
    import holidays

    for year, days in MAKE_UP_DAYS.items():
        if year < 2021:
            continue  # swaps of 2020 were undone when the festival was prolonged
        swapped = set()
        for name in holidays.country_holidays("CN", years=[year], language="en_US").values():
            if "substituted from" in name:
                month, day, _ = name.split("substituted from ")[1].rstrip(")").split("/")
                swapped.add(f"{month}-{day}")
        assert swapped <= set(days), year
        assert len(swapped) >= 4


def test_overrides_go_before_everything():
    calendar = Workdays("CN", {date(2026, 2, 17): True, date(2026, 3, 10): False})
    assert of_day(calendar, "2026-02-17") == 1.0
    assert of_day(calendar, "2026-03-10") == HOLIDAY_WEIGHT


def test_parts_of_days_count_by_the_clock():
    calendar = Workdays("CN")
    start = moments.parse("2025-03-10T12:00", "Asia/Shanghai")
    end = moments.parse("2025-03-11T06:00", "Asia/Shanghai")
    assert calendar.between(np.array([start]), np.array([end]), "Asia/Shanghai")[0] == pytest.approx(0.75)
    assert calendar.between(np.array([end]), np.array([start]), "Asia/Shanghai")[0] == 0.0


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 3 * 365 * 24), min_size=3, max_size=3),
    st.sampled_from(["UTC", "Asia/Shanghai", "Europe/Berlin"]),
)
def test_stretches_add_up(hours, zone):
    a, b, c = (moments.parse("2024-01-01") + np.array(sorted(hours)) * moments.HOUR)[:, None]
    calendar = Workdays("CN")
    whole = calendar.between(a, c, zone)
    np.testing.assert_allclose(calendar.between(a, b, zone) + calendar.between(b, c, zone), whole, atol=1e-9)


def test_months_add_up_to_between():
    calendar = Workdays("CN")
    year = sum(calendar.in_month(2025 * 12 + k) for k in range(12))
    start, end = moments.month_start(2025 * 12), moments.month_start(2026 * 12)
    assert calendar.between(np.array([start]), np.array([end]))[0] == pytest.approx(year)


def test_parts_come_back_equal():
    calendar = Workdays("CN", {date(2026, 2, 17): True}, (1, 1, 1, 1, 0.9, 0.2, 0.1), 0.05)
    assert Workdays.from_parts(calendar.to_parts()) == calendar


@pytest.mark.parametrize("country", ["none", "weekdays", "CN"])
@pytest.mark.parametrize("per_day", [1.0, 12.0])
def test_the_calendar_that_made_the_events_is_learnt(country, per_day):
    rng = np.random.default_rng(5)
    first = day_number(date(2024, 1, 1))
    growth = np.linspace(0.6, 1.4, 560)
    counts = rng.poisson(per_day * growth * Workdays(country).weights(first, 560))
    learnt = learn_workdays(counts, first)
    assert learnt.country == country
    if country != "none":
        np.testing.assert_allclose(learnt.week, OFFICE_WEEK, atol=0.25 if per_day == 1.0 else 0.1)


def test_no_or_few_events_leave_every_day_equal():
    assert learn_workdays(np.zeros(300), 20_000).country == "none"
    assert learn_workdays(np.ones(10), 20_000).country == "none"


def test_weights_of_a_weekday_without_events_are_shrunk_not_zero():
    first = day_number(date(2025, 3, 3))
    counts = np.tile([5.0, 5, 5, 5, 5, 0, 0], 10)
    learnt = learn_workdays(counts, first)
    assert learnt.country == "weekdays"
    assert 0 < learnt.week[5] < OFFICE_WEEK[5]


@pytest.mark.parametrize("bad", [{"country": "XX"}, {"weekday_weights": (1.0,) * 6}])
def test_impossible_calendars_are_refused(bad):
    with pytest.raises(ValueError, match=r"country|seven"):
        Workdays(**bad)
