"""Reps read how leads are given, and get every decision about their leads explained; nobody else's."""

from __future__ import annotations

import json
from collections import Counter

import pytest

LANGUAGES = ["en", "zh"]


def busiest(town):
    with town.core.store.read() as view:
        items = view.decisions(limit=500).items
    return Counter(one.owner_rep_id for one in items if one.owner_rep_id).most_common(1)[0][0]


def flat(text):
    return " ".join(text.split()).replace("\u00a0", " ").replace("\u2060", "")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_notice_names_all_data_used_about_a_rep_and_every_point(town, lang):
    page = town.Page(town.client().get(f"/notice?lang={lang}").text)
    said = flat(page.text())
    spec = town.core.state().board.unit.spec
    at = 4 if lang == "zh" else 3
    meanings = [row[at] for row in spec.describe() if row[0] in {*spec.rep_numeric, *spec.pair_numeric}]
    assert len(meanings) > 10
    assert all(flat(one) in said for one in meanings)
    assert len(page.all("h2")) == 7
    for word in {"en": ("dismissal", "HR", "Objecting"), "zh": ("解雇", "人力资源", "异议")}[lang]:
        assert word in said


@pytest.mark.parametrize("lang", LANGUAGES)
def test_each_lead_is_explained_with_all_its_logged_reasons(town, lang):
    rep = busiest(town)
    said = flat(town.Page(town.client().get(f"/explanation/{rep}?lang={lang}").text).text())
    found = town.client().get(f"/explanation/{rep}?lang={lang}&format=json").json()
    assert len(found["decisions"]) >= 2
    for one in found["decisions"]:
        assert one["lead_id"] in said
        logged = town.core.decision(one["lead_id"], lang=lang)["reasons"]
        assert [reason["text"] for reason in one["reasons"]] == [reason["text"] for reason in logged]
        assert one["given_by"] != "machine" or all(flat(reason["text"]) in said for reason in logged)


def test_a_rep_gets_his_own_explanation_without_others_names_and_chances(fresh):
    rep = busiest(fresh)
    browser = fresh.signed_in("rep", rep)
    assert f"/explanation/{rep}" in browser.get(f"/reps/{rep}").text
    assert f"/explanation/{rep}" in browser.get("/notice").text
    mine = browser.get(f"/explanation/{rep}?format=json")
    assert mine.status_code == 200
    others = [seat for seat in fresh.seats() if seat.rep_id != rep]
    told = json.dumps(mine.json()["decisions"], ensure_ascii=False)
    assert not [seat.rep_id for seat in others if f'"{seat.rep_id}"' in told or seat.name in told]
    assert browser.get(f"/explanation/{others[0].rep_id}").status_code == 404
    assert fresh.signed_in("router", "crm").get(f"/explanation/{rep}").status_code == 403
    assert fresh.signed_in("hr", "h").get(f"/explanation/{rep}").status_code == 200
    assert fresh.signed_in("router", "crm2").get("/notice").status_code == 200


def test_without_a_model_the_notice_says_so(untrained):
    assert "fixed rules and load" in untrained.client().get("/notice?lang=en").text
