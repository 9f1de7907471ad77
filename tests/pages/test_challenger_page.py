"""The challenger's page and route: what they say of a twin of the champion, of a broken release, and of none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from features import moments
from features.moments import DAY, HOUR
from serving.comparison import FEWEST_LEADS, compare, outcomes_of
from serving.store import ShadowChoice
from serving.texts import t
from training.release import champion, export_release, name_challenger, read_release


def name_twin(town, **changed):
    """Release a twin of the champion, some of its parts changed, and let it run in shadow; its version."""
    releases = town.home / "releases"
    release = read_release(releases, champion(releases))
    documents = {**release.documents, "report": {**release.documents["report"], "twin": True}, **changed}
    version = export_release(releases, release.data_until, release.spec_fingerprint, documents, release.texts)
    name_challenger(releases, version)
    return version


def decide(town, n):
    for i in range(n):
        at = town.facts.monday + 7 * DAY + (9 + i) * HOUR
        lead = {"lead_id": f"S{i}", "created_at": moments.iso(at), "source": "referral" if i % 2 else "web"}
        town.core.assign(lead, decided_at=at, lang="en")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_twin_agrees_and_the_page_the_route_and_the_metrics_say_so(fresh, lang):
    version = name_twin(fresh)
    browser = fresh.client()
    page = fresh.Page(browser.get(f"/models/challenger?lang={lang}").text).text()
    assert t(lang, "shadow.nothing_yet") in page
    fresh.core.shadow.step(patient=False)
    assert fresh.core.shadow.refused == ""
    decide(fresh, 12)
    fresh.core.shadow.step(patient=False)
    said = browser.get("/v1/models/challenger").json()
    assert said["challenger"] == version
    assert said["champion"] == champion(fresh.home / "releases")
    n = said["agreement"]["n"]
    assert 6 <= n == said["agreement"]["n_agree"] <= said["n"] == 12
    page = fresh.Page(browser.get(f"/models/challenger?lang={lang}").text).text()
    assert version in page
    assert "100%" in page.replace(" ", "")
    assert t(lang, "shadow.no_shift") in page
    assert t(lang, "shadow.outcomes_title") in page
    models = browser.get(f"/models?lang={lang}").text
    assert "/models/challenger" in models
    assert version in models
    metrics = browser.get("/metrics").text
    assert f'fairlead_shadow_choices_total{{result="agree"}} {n}.0' in metrics
    assert 'fairlead_shadow_choices_total{result="failed"} 0.0' in metrics


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_without_a_challenger_the_page_says_how_to_get_one(fresh, lang):
    fresh.core.shadow.step(patient=False)
    page = fresh.Page(fresh.client().get(f"/models/challenger?lang={lang}").text).text()
    assert "--promote never" in page
    assert "fairlead_shadow_choices" not in fresh.client().get("/metrics").text
    assert fresh.client().get("/v1/models/challenger").json()["challenger"] is None


def test_a_release_that_cannot_be_loaded_is_refused_said_and_decisions_go_on(fresh):
    version = name_twin(fresh, amount={"nothing": "of use"})
    fresh.core.shadow.step(patient=False)
    assert version in fresh.core.shadow.refused
    decide(fresh, 2)
    assert fresh.core.shadow.step(patient=False) > 0
    browser = fresh.client()
    assert version in fresh.Page(browser.get("/models/challenger?lang=en").text).text()
    said = browser.get("/v1/models/challenger").json()
    assert (said["n"], said["failed"]) == (0, 1)
    assert said["refused"]


def test_a_challenger_that_has_seen_later_data_waits(fresh):
    version = name_twin(fresh)
    fresh.core.shadow.step(patient=False)
    unit = fresh.core.shadow.unit
    fresh.core.shadow.unit = replace(unit, data_until=fresh.core.deciding().board.as_of + 1)
    decide(fresh, 2)
    fresh.core.shadow.step(patient=False)
    fresh.core.shadow.step(patient=False)
    with fresh.core.store.read() as view:
        assert not view.shadow_choices(version, 10)


def test_outcomes_set_wins_so_far_against_those_expected_by_now(fresh):
    """Leads of the tables stand in for decided ones; of those in other hands by now nothing is counted."""
    board = fresh.core.state().board
    unit, tables = board.unit, fresh.session.reload()
    as_of = tables.newest()
    known = tables.assignments.drop_duplicates("lead_id", keep="last").head(300)
    numbers = {"p_champion": 0.2, "p_challenger": 0.9, "value_champion": 1.0, "value_challenger": 1.0}
    choices = [
        ShadowChoice(i, "new", unit.version, lead, at, "agree", rep, rep, {"source": "web", "rep": numbers})
        for i, (lead, rep, at) in enumerate(
            zip(known["lead_id"], known["rep_id"], known["assigned_at"].tolist(), strict=True)
        )
    ]
    found = outcomes_of(choices, tables, as_of, 180, unit, unit)
    won = tables.deals.loc[(tables.deals["status"] == "won").to_numpy(), "lead_id"]
    assert found.n <= 300
    assert 0 < found.n_won <= known["lead_id"].isin(won).sum()
    assert found.expected_challenger == pytest.approx(4.5 * found.expected_champion)
    assert found.brier_champion < found.brier_challenger
    elsewhere = [replace(one, rep_id="nobody") for one in choices]
    assert outcomes_of(elsewhere, tables, as_of, 180, unit, unit) is None
    assert outcomes_of(choices[: FEWEST_LEADS - 1], tables, as_of, 180, unit, unit) is None


def test_the_interval_of_agreement_is_wilsons():
    """Closed form for 8 of 10 at 90 %: 0.541 to 0.932."""
    choices = [
        ShadowChoice(i, "new", "old", f"L{i}", i, "agree" if i < 8 else "differ", "R1", "R1", {}) for i in range(10)
    ]
    share = compare(choices, None).agreement
    assert (share.n, share.n_agree, share.share) == (10, 8, 0.8)
    assert (share.ci_low, share.ci_high) == (pytest.approx(0.541, abs=2e-3), pytest.approx(0.932, abs=2e-3))
