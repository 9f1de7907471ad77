"""The hard rules of the contract, each in its smallest case."""

from __future__ import annotations

import numpy as np
import pytest

from features.moments import DAY, NEVER, parse
from models.routing.policy import Exclusion
from models.routing.rules import eligibility, eligible_matrix, make_desk

NOW = parse("2026-03-10T12:00:00")
TODAY = parse("2026-03-10")


def desk(territories=(("north",), ("south", " north "), ()), **changes):
    n = len(territories)
    parts = {
        "in_sales": np.ones(n, bool), "hired_at": np.zeros(n, np.int64), "left_at": np.full(n, NEVER),
        "territories": territories, "capacity": np.full(n, 2),
    }  # fmt: skip
    return make_desk(**(parts | changes))


def codes(desk_, territory="", moment=NOW, used=None):
    used = np.zeros(desk_.n_reps, int) if used is None else np.asarray(used)
    return [Exclusion(int(code)) for code in eligibility(desk_, moment, territory, used).exclusion]


@pytest.mark.parametrize(
    ("territory", "may"),
    [("", [1, 1, 1]), ("north", [1, 1, 1]), ("south", [0, 1, 1]), (" south", [0, 1, 1]), ("moon", [0, 0, 1])],
)
def test_territory_follows_the_contract(territory, may):
    assert [code is Exclusion.NONE for code in codes(desk(), territory)] == [bool(m) for m in may]


def test_an_unlisted_territory_where_everybody_lists_some_is_nobodys():
    found = eligibility(desk((("north",), ("south",))), NOW, "moon", np.zeros(2, int))
    assert found.territory_unlisted
    assert (found.exclusion == Exclusion.TERRITORY).all()
    assert not eligibility(desk(), NOW, "north", np.zeros(3, int)).territory_unlisted


def test_leaving_and_hiring_count_from_the_day_on():
    left = desk(left_at=np.array([TODAY, TODAY + DAY, NEVER]), hired_at=np.array([0, TODAY, TODAY + DAY]))
    assert codes(left) == [Exclusion.LEFT, Exclusion.NONE, Exclusion.NOT_HIRED]
    assert codes(left, moment=TODAY) == [Exclusion.LEFT, Exclusion.NONE, Exclusion.NOT_HIRED]
    assert codes(left, moment=TODAY - 1) == [Exclusion.NONE, Exclusion.NOT_HIRED, Exclusion.NOT_HIRED]


def test_both_days_of_an_absence_are_out_and_the_next_is_in():
    away = desk(absence_rep=np.array([1]), absence_from=np.array([TODAY]), absence_until=np.array([TODAY + 2 * DAY]))
    ins = [codes(away, moment=TODAY + hours)[1] for hours in (-1, 0, 2 * DAY - 1, 2 * DAY)]
    assert ins == [Exclusion.NONE, Exclusion.ABSENT, Exclusion.ABSENT, Exclusion.NONE]


def test_places_and_departments():
    some = desk(capacity=np.array([2, 0, 1]), in_sales=np.array([True, True, False]))
    assert codes(some, used=[2, 0, 0]) == [Exclusion.FULL, Exclusion.CAPACITY_ZERO, Exclusion.NOT_SALES]


def test_a_matrix_has_the_same_answers_as_lead_by_lead():
    away = desk(absence_rep=np.array([1]), absence_from=np.array([TODAY]), absence_until=np.array([TODAY + DAY]))
    names = ["north", "", "moon", "north"]
    matrix = eligible_matrix(away, NOW, names)
    for row, name in zip(matrix, names, strict=True):
        assert row.tolist() == [code is Exclusion.NONE for code in codes(away, name)]
    assert eligible_matrix(away, NOW, []).shape == (0, 3)
