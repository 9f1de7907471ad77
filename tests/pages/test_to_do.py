"""What the pages ask people to do: no move that loses, and once only that no gain can be promised."""

from __future__ import annotations

import re

import pytest

from models.warning_rules import Reason
from serving.alerts import AlertWords, reason_words, without_promise
from serving.http.security import Principal
from serving.pages.overdue import overdue_section
from serving.pages.visit import visit_of
from serving.texts import JOINER, bound, money, t


class Fixed:
    """A facade that says which leads are late."""

    def __init__(self, core, items):
        self._core, self._items = core, items

    def __getattr__(self, name):
        return getattr(self._core, name)

    def overdue(self, *, lang=None):
        return {
            "items": self._items, "contact_hours": 24.0, "move_uncontacted_hours": None, "activities_known": True,
        }  # fmt: skip


def late(lead, hours, gain, best="R002", value=900.0):
    return {
        "lead_id": lead, "rep_id": "R001", "decided": False, "given_at": "2026-01-01T00:00:00+00:00", "hours": hours,
        "expected_value": value, "best_rep_id": best, "gain": gain, "gain_wins": 0.0, "capacity_price": 0.0,
    }  # fmt: skip


@pytest.fixture
def section(town, monkeypatch):
    """The section of the start page over some late leads, as its table's cells."""

    def make(*items):
        request = type("R", (), {})()
        request.app, request.query_params, request.headers = town.app, {"lang": "en"}, {}
        request.url = type("U", (), {"path": "/", "scheme": "http"})()
        visit = visit_of(request, Principal("admin", "local", open=True))
        monkeypatch.setattr(visit.site.book, "core", Fixed(town.core, list(items)))
        found = overdue_section(visit, visit.scope())
        return found, [[cell.text for cell in row.cells] for row in found["table"].rows]

    return make


def test_a_move_that_would_lose_is_not_proposed(section):
    """Moves with a gain come first, then the longest wait; whoever gains nothing by moving stays."""
    found, rows = section(late("A", 90, -500.0), late("B", 30, 40.0), late("C", 200, -1.0), late("D", 40, 700.0))
    assert [row[0] for row in rows] == ["D", "B", "C", "A"]
    assert [row[-1].replace(JOINER, "") for row in rows] == ["+¥700", "+¥40", "–", "–"]
    assert [row[-2] for row in rows[2:]] == [t("en", "overdue.stay")] * 2
    assert found["stay"] == ""


def test_where_no_move_gains_there_are_no_columns_of_moves(section):
    found, rows = section(late("A", 90, -500.0), late("B", 200, 0.0))
    assert [len(row) for row in rows] == [4, 4]
    assert [row[0] for row in rows] == ["B", "A"]
    assert found["stay"] == t("en", "overdue.all_stay")


def test_without_a_model_the_rep_with_most_room_is_named(section):
    found, rows = section(late("A", 90, None, value=None))
    assert rows[0][-1] == "–"
    assert len(rows[0]) == 6
    assert found["stay"] == ""


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_that_no_gain_can_be_promised_is_said_once_a_page(town, lang):
    said, once = t(lang, "alert_advice.no_gain").strip(), t(lang, "alert_advice.no_gain_here")
    told = str(town.core.warning_items(lang))
    assert told.count(said) > 1, "a program reads each warning by itself"
    for path in ("/", "/warnings"):
        page = town.client().get(f"{path}?lang={lang}").text
        assert said not in page
        assert page.count(once) == 1, path


def test_a_suggestion_with_a_gain_keeps_it():
    texts = ["Do this. Expected gain +¥3 a month (suggestive only).", "Do that." + t("en", "alert_advice.no_gain")]
    items = [{"suggestions": [{"text": one}]} for one in texts]
    found = without_promise(items, "en")
    assert [one["suggestions"][0]["text"] for one in found] == [texts[0], "Do that."]
    assert [one["no_gain"] for one in found] == [False, True]
    assert items[1]["suggestions"][0]["text"] == texts[1], "what others hold stays as it was"


def test_a_number_stays_on_one_line_with_its_unit():
    for amount in (1_234.0, 1_330_000.0, 3.2e8):
        shown = bound(f"预计{money('zh', 'CNY', amount)}以上")
        assert " " not in shown
        assert not re.search("[万亿]元", shown)
        assert shown.replace("\u00a0", " ").replace(JOINER, "") == f"预计{money('zh', 'CNY', amount)}以上"
    assert bound("80 % of 25 条, 12 leads") == "80\u00a0% of 25\u00a0条, 12 leads"
    assert bound(7) == 7


@pytest.mark.parametrize(
    ("lang", "more", "same"),
    [
        ("en", "+9 points in the chance of a miss", "less than one point"),
        ("zh", "概率因此上升 9 个百分点", "不到 1 个百分点"),
    ],
)
def test_a_chance_of_a_miss_that_hardly_moves_is_not_called_an_increase_of_nothing(lang, more, same):
    def words(p):
        numbers = {"difference": -5200.0, "p_miss_difference": p}
        return reason_words(Reason("forecast_silence", 4.0, 2.0, numbers), AlertWords(lang, "CNY", 0.8, 24.0))

    assert more in words(0.09)
    for p in (0.0, 0.004, -0.004):
        assert same in words(p)
        assert not re.search(r"(?<![\d.])0 *(%|points|个)", words(p))
