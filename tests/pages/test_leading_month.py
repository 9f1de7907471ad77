"""A page leads with a month that can still be changed."""

from __future__ import annotations

import pytest

from serving.pages.fans import leading

MONTHS = [{"month": month} for month in ("2026-06", "2026-07", "2026-08")]


@pytest.mark.parametrize(
    ("as_of", "month"),
    [
        ("2026-06-01T00:00:00+08:00", "2026-06"),
        ("2026-06-29T23:59:59+08:00", "2026-06"),
        ("2026-06-30T17:48:42+08:00", "2026-07"),
        ("2026-06-30T23:59:59Z", "2026-07"),
    ],
)
def test_the_last_day_of_a_month_leads_with_the_next(as_of, month):
    assert leading([{**row, "as_of": as_of} for row in MONTHS])["month"] == month


def test_a_single_month_leads_whatever_is_left_of_it():
    assert leading([{"month": "2026-06", "as_of": "2026-06-30T23:00:00+00:00"}])["month"] == "2026-06"
