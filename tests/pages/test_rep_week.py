"""A rep's page says which leads he got and why, and why fewer, in numbers that the log bears out, in both languages."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from features import moments
from features.moments import DAY
from serving.pages.book import Seat, WeekOfLeads
from serving.pages.rep_week import is_fewer, week_reasons, week_summary
from serving.pages.visit import Visit

LANGUAGES = ["en", "zh"]


def visit(town, lang):
    return Visit(town.app.state.site, None, lang, True, "/reps", {})


def page(town, rep_id, lang, client=None):
    text = town.Page((client or town.client()).get(f"/reps/{rep_id}?lang={lang}").text).text()
    return text.replace("\u00a0", " ").replace("\u2060", "")


def decided(town):
    at = town.book.moment()
    return town.book.decided_since(moments.start_of_week(at, town.book.zone))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_each_lead_of_the_week_stands_there_with_its_reason(town, lang):
    week = decided(town)
    rep = Counter(one.owner_rep_id for one in week if one.owner_rep_id).most_common(1)[0][0]
    text = page(town, rep, lang)
    mine = [one for one in week if one.owner_rep_id == rep and not one.overridden and one.rep_id == rep]
    assert len(mine) >= 2
    for one in mine:
        why = town.core.decision(one.lead_id, lang=lang)["reasons"][0]["text"]
        assert one.lead_id in text
        assert " ".join(why.split()).replace("\u00a0", " ").replace("\u2060", "") in text


@pytest.mark.parametrize("lang", LANGUAGES)
def test_what_went_to_others_is_counted_as_the_log_has_it(town, lang):
    """For each rep: the numbers of leads at which he was weighed and lost, by reason."""
    week = decided(town)
    checked = 0
    for seat in town.seats():
        others = [one for one in week if one.owner_rep_id not in (seat.rep_id, None)]
        rivals = [
            rival for one in others for rival in one.record.get("alternatives", [])
            if rival["rep_id"] == seat.rep_id and rival["why_not"] != "chosen"
        ]  # fmt: skip
        said = week_reasons(visit(town, lang), seat, town.book.weekly_leads(seat.rep_id, town.book.moment()),
                            town.book.moment())  # fmt: skip
        whole = " ".join(said)
        if rivals:
            checked += 1
            assert str(len(others)) in whole
            assert str(len(rivals)) in whole
            lower = [one for one in rivals if one["why_not"] == "lower_value"]
            if lower:
                assert (
                    f"{len(lower)} times the lead was worth more" if lang == "en" else f"{len(lower)} 次因为该线索"
                ) in whole
        text = page(town, seat.rep_id, lang)
        assert all(" ".join(one.split()).replace("\u00a0", " ").replace("\u2060", "") in text for one in said)
    assert checked >= 3


def test_a_week_that_is_not_over_is_compared_with_this_point_of_other_weeks(town):
    monday = moments.start_of_week(town.book.moment(), town.book.zone)
    middle, end = monday + 2 * DAY, monday + 7 * DAY - 1
    weeks = [WeekOfLeads(monday - 7 * DAY * k, 10, 100) for k in (3, 2, 1)] + [WeekOfLeads(monday, 3, 30)]
    seat = town.seats()[0]
    assert "which would be" in week_summary(visit(town, "en"), seat, weeks, middle)
    assert "全周线索的" in week_summary(visit(town, "zh"), seat, weeks, middle)
    assert "which would be" not in week_summary(visit(town, "en"), seat, weeks, end)
    assert is_fewer(visit(town, "en"), weeks, end)
    assert not is_fewer(visit(town, "en"), weeks, monday + DAY // 2)


@pytest.mark.parametrize(("lang", "words"), [("en", "as a newcomer"), ("zh", "作为新人")])
def test_the_lower_bound_of_newcomers_is_named_where_it_is_set(town, monkeypatch, lang, words):
    seat = town.seats()[0]
    config = town.core.session.config
    at = town.book.moment()
    weeks = town.book.weekly_leads(seat.rep_id, at)
    without = " ".join(week_reasons(visit(town, lang), seat, weeks, at))
    routing = replace(config.routing, newcomer_min=2, newcomer_share=0.1)
    monkeypatch.setattr(town.core.session, "config", replace(config, routing=routing))
    board = town.book.state().board
    newcomer = next((rep for rep, new in zip(board.rep_ids, board.newcomers(at), strict=True) if new), None)
    said = " ".join(week_reasons(visit(town, lang), seat, weeks, at))
    assert "10%" in said.replace("\u202f", "").replace(" ", "")
    assert said != without
    if newcomer is not None:
        mine = Seat(newcomer, "N", "", "", 0.1, 3, 0, "none")
        assert words in " ".join(week_reasons(visit(town, lang), mine, weeks, at)).lower()


def test_a_full_week_an_absence_and_no_capacity_are_told_first(town):
    at = town.book.moment()
    seat = replace(town.seats()[0], capacity=4, used=4)
    weeks = town.book.weekly_leads(seat.rep_id, at)
    full = week_reasons(visit(town, "en"), seat, weeks, at)
    assert any(one.startswith("All places are taken (4 of 4)") for one in full)
    none = week_reasons(visit(town, "zh"), replace(seat, capacity=0, used=0, rule="capacity_zero"), weeks, at)
    assert any("目前不分配新线索：没有名额" in one for one in none)


def test_a_rep_reads_his_own_page_and_whom_to_ask(fresh):
    seat = max(fresh.seats(), key=lambda one: one.used)
    browser = fresh.signed_in("rep", seat.rep_id)
    for lang in LANGUAGES:
        text = page(fresh, seat.rep_id, lang, browser)
        assert fresh.book.name(seat.manager_id) in text
        assert ("This week's leads, and why" if lang == "en" else "本周获得的线索及原因") in text
    other = next(one for one in fresh.seats() if one.rep_id != seat.rep_id)
    assert browser.get(f"/reps/{other.rep_id}").status_code == 404
