"""Text to typed values: closed forms, and the standard library as the oracle."""

# ruff: noqa: DTZ001 - times without a zone are what is being read here

from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from features import cells, moments
from features.contract import Column

ZONES = ("UTC", "Asia/Shanghai", "America/New_York", "Europe/Dublin", "Australia/Lord_Howe")


def text(*values):
    return pd.Series(list(values), dtype="str")


@given(
    st.lists(
        st.tuples(
            st.datetimes(datetime(1950, 1, 1), datetime(2199, 12, 30)),
            st.sampled_from(["", "Z", "+08:00", "-0330", "+05"]),
            st.sampled_from(["T", " "]),
            st.sampled_from(["auto", "minutes", "seconds", "milliseconds", "microseconds"]),
        ),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from(ZONES),
)
@example(
    [(datetime(2025, 3, 9, 2, 30), "", "T", "auto"), (datetime(2025, 11, 2, 1, 30), "", "T", "auto")],
    "America/New_York",
)
@example(
    [(datetime(2025, 10, 5, 2, 15), "", "T", "auto"), (datetime(2025, 4, 6, 1, 45), "", "T", "auto")],
    "Australia/Lord_Howe",
)
def test_times_equal_the_exact_reading(drawn, zone):
    """By column and mixed, every time is what reading it alone gives, across clock changes and offsets."""
    written = [when.isoformat(sep, spec) + offset for when, offset, sep, spec in drawn]
    parsed = cells.parse_times(text(*written), zone)
    assert parsed.ok
    assert parsed.values.tolist() == [moments.parse(one, zone) for one in written]


@pytest.mark.parametrize(
    ("given_text", "means"),
    [
        ("2025-03-31", "2025-03-31T00:00:00+00:00"),
        ("20250331", "2025-03-31T00:00:00+00:00"),
        ("2025-03-31T14:05:00 +08:00", "2025-03-31T06:05:00+00:00"),
        ("2025-03-31 14:05:00 UTC", "2025-03-31T14:05:00+00:00"),
        ("2025-03-31T14:05:00.123456789", "2025-03-31T14:05:00.123456+00:00"),
        ("1969-12-31T23:59:59.999999", "1969-12-31T23:59:59.999999+00:00"),
    ],
)
def test_time_forms(given_text, means):
    assert cells.parse_times(text(given_text), "UTC").values.tolist() == [moments.parse(means)]


@pytest.mark.parametrize(
    ("given_text", "rule"),
    [
        ("soon", cells.TIME_RULE),
        ("2025", cells.TIME_RULE),
        ("2025-13-01", cells.TIME_RULE),
        ("2025-02-30T10:00", cells.TIME_RULE),
        ("2025-02-28T25:00", cells.TIME_RULE),
        ("31/03/2025", cells.TIME_RULE),
        ("2025-03-31T14:05:00+99:00", cells.TIME_RULE),
        ("1743400000", cells.TIME_RULE),
        ("0001-01-01", cells.YEAR_RULE),
        ("9999-12-31T23:59:59", cells.YEAR_RULE),
    ],
)
def test_times_that_are_none(given_text, rule):
    parsed = cells.parse_times(text("2025-01-01", given_text), "America/New_York")
    assert [(mask.tolist(), why) for mask, why in parsed.broken] == [([False, True], rule)]
    assert parsed.values[1] == moments.NEVER


def test_dates_are_midnight_of_the_zone():
    zone = "Asia/Shanghai"
    parsed = cells.parse_dates(
        text("2025-03-31", "2025-03-31 00:00:00", "2025-03-31T18:00", "2025-03-31T20:00:00Z", ""), zone
    )
    day = moments.parse("2025-03-31", zone)
    assert parsed.values.tolist() == [day, day, day, day + moments.DAY, moments.NEVER]
    assert parsed.ok


def test_year_9999_is_an_open_end_where_a_date_may_be_missing():
    for zone in ("UTC", "America/New_York"):
        assert cells.parse_dates(text("9999-12-31"), zone, open_end=True).values.tolist() == [moments.NEVER]
        assert not cells.parse_dates(text("9999-12-31"), zone).ok


@given(st.decimals(min_value=-(10**13), max_value=10**13, allow_nan=False, allow_infinity=False, places=None))
@example(Decimal("0.285"))
@example(Decimal("0.125"))
@example(Decimal("2.675"))
@example(Decimal("9999999999999.99"))
@example(Decimal("1E-7"))
def test_money_is_exact(amount):
    """Cents equal decimal arithmetic, half to even, whatever doubles would make of 2.675."""
    parsed = cells.parse_money(text(str(amount)))
    assert parsed.values.tolist() == [int(amount.quantize(Decimal("0.01"), ROUND_HALF_EVEN).scaleb(2))]


@pytest.mark.parametrize(
    ("given_text", "rule"),
    [
        ("NaN", cells.FINITE_RULE),
        ("-inf", cells.FINITE_RULE),
        ("1e400", cells.FINITE_RULE),
        ("1e300", cells.LARGE_RULE),
        ("99999999999999", cells.LARGE_RULE),
        ("1,200", cells.NUMBER_RULE),
        ("$5", cells.NUMBER_RULE),
        ("1_000", cells.NUMBER_RULE),
        ("٣", cells.NUMBER_RULE),
        ("0x10", cells.NUMBER_RULE),
    ],
)
def test_money_that_is_none(given_text, rule):
    parsed = cells.parse_money(text(given_text, "1"))
    assert [why for mask, why in parsed.broken if mask[0]] == [rule]
    assert parsed.values.tolist() == [moments.NEVER, 100]


def test_bounds_of_money_are_in_major_units():
    column = Column("fee", "money", minimum=2, maximum=3)
    parsed = cells.parse(text("1.99", "2", "3", "3.01", ""), column, "UTC")
    assert [(mask.tolist(), rule) for mask, rule in parsed.broken] == [
        ([True, False, False, False, False], "below 2"),
        ([False, False, False, True, False], "above 3"),
    ]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_round_trip(numbers):
    parsed = cells.parse_numbers(text(*map(repr, numbers)))
    assert parsed.ok
    assert parsed.values.tolist() == numbers


def test_numbers_that_are_none():
    parsed = cells.parse_numbers(text("", "1.", ".5", "+2", "nan", "1e400", "Infinity", "one", "2.5"), whole=True)
    assert np.isfinite(parsed.values).tolist() == [False, True, True, True, False, False, False, False, True]
    by_rule = {rule: np.flatnonzero(mask).tolist() for mask, rule in parsed.broken}
    assert by_rule == {cells.NUMBER_RULE: [7], cells.FINITE_RULE: [4, 5, 6], cells.INTEGER_RULE: [2, 8]}


def test_months_booleans_lists():
    months = cells.parse_months(text("2025-02", "2025-2", "2025-13", "2025-02-01", ""))
    assert [mask.tolist() for mask, _ in months.broken] == [[False, True, True, True, False]]
    assert cells.parse_months(text("2025-02-01"), typed_dates=True).values.tolist() == [2025 * 12 + 1]
    flags = cells.parse_booleans(text("TRUE", "no", "是", "0", "", "maybe"))
    assert flags.values.tolist()[:4] == [1.0, 0.0, 1.0, 0.0]
    assert flags.broken[0][0].tolist() == [False] * 5 + [True]
    assert cells.tidy_lists(text(" a ; b;;", "甲；乙", "c", "")).tolist() == ["a;b", "甲;乙", "c", ""]


@pytest.mark.parametrize(
    ("value", "written"),
    [(7.0, "7"), (1.5, "1.5"), (True, "true"), (None, ""), (Decimal("7.10"), "7.10"), (10**20, "1" + "0" * 20)],
)
def test_typed_values_as_text(value, written):
    assert cells.cell_text(value) == written


def test_durations_and_nested_values():
    assert cells.cell_text(timedelta(hours=1)) == "1:00:00"
    for value in ({"a": 1}, [[1]], b"x"):
        with pytest.raises(cells.NestedValueError):
            cells.cell_text(value)
