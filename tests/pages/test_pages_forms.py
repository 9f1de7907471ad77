"""What a person can change through a page: a lead's owner, a warning, rule mode; never by somebody else's form."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest

from features.moments import DAY


def override_url(lead_id):
    return f"/decisions/{quote(lead_id, safe='')}/override"


@pytest.fixture
def lead(fresh):
    """An assigned lead, a rep with room, and the fields of a good form."""
    stored = fresh.a_decision(status="assigned", policy="priced")
    seats = [seat for seat in fresh.seats() if seat.rep_id != stored.owner_rep_id and seat.rule == "none"]
    assert seats
    browser = fresh.client()
    token = fresh.token_of(browser.get(f"/decisions/{stored.lead_id}").text)
    fields = {"rep_id": seats[0].rep_id, "reason": "knows <the> account", "by": "Wang", "token": token}
    return stored, seats[0], browser, fields


def test_a_lead_is_given_to_somebody_else_once(fresh, lead):
    """Post, redirect, get: the page then names the new owner, the machine's choice, who did it and why, escaped."""
    stored, seat, browser, fields = lead
    answer = browser.post(override_url(stored.lead_id) + "?lang=en", data=fields)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"/decisions/{stored.lead_id}?done=override")
    page = browser.get(answer.headers["location"])
    text = fresh.Page(page.text).text()
    assert f"This lead is with {seat.name}" in text
    assert fresh.book.name(stored.rep_id) in text
    assert "Wang gave it to" in text
    assert "knows <the> account" in text
    assert "&lt;the&gt;" in page.text
    assert "the reason is on record" in text
    history = fresh.core.decision(stored.lead_id, lang="en")["history"]
    assert [one["kind"] for one in history].count("override") == 1


@pytest.mark.parametrize("missing", ["rep_id", "reason", "by"])
def test_a_form_with_a_gap_comes_back_as_it_was_filled_in(fresh, lead, missing):
    """Nothing changes, the page says what is missing, and what was written is still there."""
    stored, _, browser, fields = lead
    answer = browser.post(override_url(stored.lead_id), data={**fields, missing: "  "})
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    if missing != "reason":
        assert "knows &lt;the&gt; account" in answer.text
    assert fresh.core.decision(stored.lead_id, lang="en")["owner_rep_id"] == stored.owner_rep_id


def test_a_full_rep_is_told_as_a_conflict_and_can_be_forced(fresh, lead):
    """409 as a sentence with his places and a box to tick; ticked, the lead is his and the log says beyond."""
    stored, _, browser, fields = lead
    full = next((seat for seat in fresh.seats() if seat.rule == "full" and seat.rep_id != stored.owner_rep_id), None)
    assert full is not None, "the town must have a full rep"
    answer = browser.post(override_url(stored.lead_id) + "?lang=en", data={**fields, "rep_id": full.rep_id})
    assert answer.status_code == 409
    assert answer.headers["content-type"].startswith("text/html")
    text = fresh.Page(answer.text).text()
    assert f"{full.used} of {full.capacity} places taken this week" in text
    assert 'name="force"' in answer.text
    forced = browser.post(override_url(stored.lead_id), data={**fields, "rep_id": full.rep_id, "force": "1"})
    assert forced.status_code == 303
    found = fresh.core.decision(stored.lead_id, lang="en")
    assert found["owner_rep_id"] == full.rep_id
    assert found["history"][-1]["forced"] is True


def test_a_leaver_cannot_be_forced(fresh, lead):
    """Nobody gets a lead after leaving, whatever is ticked; the page says so."""
    stored, _, browser, fields = lead
    board = fresh.core.state().board
    gone = [rep for rep in board.rep_ids if board.gone(board.index[rep], fresh.book.moment())]
    assert gone
    answer = browser.post(override_url(stored.lead_id), data={**fields, "rep_id": gone[0], "force": "1"})
    assert answer.status_code == 409
    assert fresh.core.decision(stored.lead_id, lang="en")["owner_rep_id"] == stored.owner_rep_id


def test_an_awkward_lead_can_be_given_too(fresh, lead):
    """Slashes, quotes and markup in an id lead to that lead and to no other."""
    _, seat, browser, fields = lead
    answer = browser.post(override_url(fresh.AWKWARD_LEAD), data={**fields, "force": "1"})
    assert answer.status_code == 303
    assert browser.get(answer.headers["location"]).status_code == 200
    assert fresh.core.decision(fresh.AWKWARD_LEAD, lang="en")["owner_rep_id"] == seat.rep_id


@pytest.mark.parametrize(
    "how",
    [
        {"token": ""},
        {"token": "1.00"},
        {"headers": {"origin": "http://evil.example"}},
        {"headers": {"sec-fetch-site": "cross-site"}},
        {"headers": {"content-type": "text/plain"}},
        {"later": 2 * DAY},
    ],
)
def test_somebody_elses_form_changes_nothing(fresh, lead, how):
    """Without this reader's own fresh token, or from another site, or as another kind of body, a form is refused."""
    stored, _, browser, fields = lead
    fresh.now += how.get("later", 0)
    sent = {**fields, "token": how.get("token", fields["token"])}
    answer = browser.post(override_url(stored.lead_id), data=sent, headers=how.get("headers", {}))
    assert answer.status_code in (403, 415)
    assert fresh.core.decision(stored.lead_id, lang="en")["owner_rep_id"] == stored.owner_rep_id


def test_another_readers_token_is_worth_nothing(fresh, lead):
    """A token ties a form to one role and subject."""
    stored, _, _, fields = lead
    time.sleep(1.1)  # so long the service may believe that no key was made
    manager = fresh.signed_in("admin", "chief")
    answer = manager.post(override_url(stored.lead_id), data=fields)
    assert answer.status_code == 403
    own = fresh.token_of(manager.get(f"/decisions/{stored.lead_id}").text)
    assert manager.post(override_url(stored.lead_id), data={**fields, "token": own}).status_code == 303
    assert fresh.core.decision(stored.lead_id, lang="en")["history"][-1]["by"] == "chief", (
        "the key's subject, not a field"
    )


def test_a_warning_is_acknowledged(fresh):
    """The form keeps who and what; the page then shows the warning as acknowledged, and the filter finds it."""
    browser = fresh.client()
    page = browser.get("/warnings?lang=en").text
    first = fresh.core.warning_items("en")[0]
    fields = {"token": fresh.token_of(page), "note": "talked on Monday", "by": "Wang"}
    answer = browser.post(f"/warnings/{quote(first['id'], safe='')}/acknowledge?lang=en", data=fields)
    assert answer.status_code == 303
    assert "acknowledged" in fresh.Page(browser.get(answer.headers["location"]).text).text()
    found = next(one for one in fresh.core.warning_items("en") if one["id"] == first["id"])
    assert found["status"] == "acknowledged"
    filtered = browser.get("/warnings?status=acknowledged&lang=en").text
    assert filtered.count("<article") == 1
    missing = browser.post("/warnings/none/acknowledge", data=fields)
    assert missing.status_code == 404


def test_rule_mode_is_switched_for_a_team(fresh):
    """The switch sets what the interface says, for a team and back; nonsense changes nothing."""
    browser = fresh.client()
    token = fresh.token_of(browser.get("/models").text)
    team = fresh.seats()[0].team_id
    answer = browser.post("/models/rule-mode", data={"token": token, "on": "1", "team_id": team})
    assert answer.status_code == 303
    assert fresh.core.rule_mode() == {"all": False, "teams": [team]}
    assert f"Rule mode is on for {team}" in fresh.Page(browser.get("/?lang=en").text).text()
    assert browser.post("/models/rule-mode", data={"token": token, "on": "maybe"}).status_code == 422
    assert browser.post("/models/rule-mode", data={"token": token, "on": "0", "team_id": team}).status_code == 303
    assert fresh.core.rule_mode() == {"all": False, "teams": []}
