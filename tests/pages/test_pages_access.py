"""Who may read which page: signing in with a key, roles, teams, and what a stranger gets."""

from __future__ import annotations

import io
import re

import pytest
from openpyxl import load_workbook

from features.moments import HOUR
from serving.pages.guard import Signer, read_secret

PAGES = ("/", "/decisions", "/warnings", "/forecast", "/reps", "/drivers", "/experiment", "/models")
MAY = {
    "router": {"/", "/decisions"},
    "manager": {"/", "/decisions", "/warnings", "/forecast", "/reps", "/drivers", "/experiment"},
    "hr": set(PAGES),
    "scientist": {"/", "/experiment", "/models"},
    "admin": set(PAGES),
}


def manager_of(town):
    """A manager who answers for some reps and not for all."""
    seats = town.seats()
    managers = sorted({seat.manager_id for seat in seats if seat.manager_id})
    mine = next(one for one in managers if 0 < sum(seat.manager_id == one for seat in seats) < len(seats))
    team = town.core.team(mine)
    others = [seat for seat in seats if seat.rep_id not in team.rep_ids]
    assert others
    return mine, team, others


@pytest.mark.parametrize("role", sorted(MAY))
def test_each_role_opens_its_pages_and_is_shown_no_other(fresh, role):
    """The rights are those of the interface; the navigation names just what opens."""
    subject = manager_of(fresh)[0] if role == "manager" else "someone"
    browser = fresh.signed_in(role, subject)
    opened = {path for path in PAGES if browser.get(path).status_code == 200}
    assert opened == MAY[role]
    shown = re.findall(r'<li><a href="([^"?]*)', browser.get("/").text.split("<nav")[1].split("</nav>")[0])
    assert set(shown) == MAY[role]


def test_a_stranger_gets_the_form_and_a_program_the_document(fresh):
    """Once a key was made: 401 with a form for browsers, without a challenge that opens a window; JSON for programs."""
    fresh.key("hr", "someone")
    browser = fresh.client()
    page = browser.get("/warnings?kind=x&lang=zh")
    assert page.status_code == 401
    assert page.headers["www-authenticate"].startswith("Bearer")
    assert 'name="next" value="/warnings?kind=x&amp;lang=zh"' in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    program = fresh.client(accept="application/json").get("/v1/warnings")
    assert program.status_code == 401
    assert program.headers["content-type"] == "application/problem+json"


def test_signing_in_gives_a_session_and_not_the_key(fresh):
    """The cookie is out of reach of scripts and of other sites, holds no key, and goes when one signs out."""
    key = fresh.key("hr", "someone")
    browser = fresh.client()
    token = fresh.token_of(browser.get("/sign-in").text)
    wrong = browser.post("/sign-in", data={"key": key[:-1] + "x", "token": token})
    assert wrong.status_code == 401
    assert "set-cookie" not in wrong.headers
    assert 'role="alert"' in wrong.text
    right = browser.post("/sign-in", data={"key": f" {key} ", "token": token, "next": "/forecast?level=team"})
    assert (right.status_code, right.headers["location"]) == (303, "/forecast?level=team")
    cookie = right.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert key.rpartition("_")[2] not in cookie
    assert "Secure" not in cookie
    assert browser.get("/forecast").status_code == 200
    out = browser.post("/sign-out", data={"token": fresh.token_of(browser.get("/").text)})
    assert (out.status_code, "Max-Age=0" in out.headers["set-cookie"]) == (303, True)
    assert browser.get("/forecast").status_code == 401
    safe = fresh.client(scheme="https")
    again = safe.post("/sign-in", data={"key": key, "token": token})
    assert again.headers["set-cookie"].endswith("; Secure")


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1", ""])
def test_signing_in_leads_to_no_other_site(fresh, wanted):
    """An address that is not ours becomes the start page."""
    key = fresh.key("hr", "someone")
    browser = fresh.client()
    token = fresh.token_of(browser.get("/sign-in").text)
    answer = browser.post("/sign-in", data={"key": key, "token": token, "next": wanted})
    assert answer.headers["location"] == "/"


def test_a_session_ends_with_its_time_or_with_its_key(fresh):
    """Twelve hours at most, and at once where the key is revoked; a forged one was never worth anything."""
    key_id = fresh.key("hr", "someone").split("_")[1]
    now = [fresh.now]
    signer = Signer(read_secret(fresh.home), lambda: now[0])
    keyring = type(fresh.app.state.site.signer)
    assert keyring is Signer
    session = signer.session(key_id)
    assert signer.key_of(session) == key_id
    assert signer.key_of(session[:-1] + ("0" if session[-1] != "0" else "1")) is None
    assert Signer(b"another secret" * 4, lambda: now[0]).key_of(session) is None
    later = session.split("_")
    later[2] = str(int(later[2]) + 9)
    assert signer.key_of("_".join(later)) is None
    now[0] += 13 * HOUR
    assert signer.key_of(session) is None
    browser = fresh.client(cookie=f"other=1; fairlead_session={fresh.app.state.site.signer.session(key_id)}")
    with fresh.core.store.transaction() as tx:
        tx.revoke_key(key_id)
    assert browser.get("/").status_code == 401


def test_the_secret_is_made_once_and_is_its_owners_only(tmp_path):
    """Workers of one home sign alike; nobody else on the machine may read what they sign with."""
    first = read_secret(tmp_path / "home")
    assert len(first) == 32
    assert read_secret(tmp_path / "home") == first
    assert (tmp_path / "home" / "session.secret").stat().st_mode & 0o077 == 0
    assert read_secret(tmp_path / "elsewhere") != first


def test_a_rep_reads_his_own_page_only(fresh):
    """The start page is his page; another's, and another's lead, are not there at all; no forecast, no override."""
    stored = fresh.a_decision(status="assigned", policy="priced")
    mine = stored.owner_rep_id
    browser = fresh.signed_in("rep", mine)
    assert browser.get("/").headers["location"] == f"/reps/{mine}"
    page = browser.get(f"/reps/{mine}?lang=en")
    assert page.status_code == 200
    others = [seat for seat in fresh.seats() if seat.rep_id != mine]
    text = fresh.Page(page.text).text()
    named = [
        seat.name for seat in others if seat.name in text and seat.rep_id != fresh.book.rep(mine, fresh.now).manager_id
    ]
    assert not named
    assert browser.get(f"/reps/{others[0].rep_id}").status_code == 404
    with fresh.core.store.read() as view:
        items = view.decisions(limit=500).items
    other_lead = next(one for one in items if one.owner_rep_id not in (None, mine))
    assert browser.get(f"/decisions/{other_lead.lead_id}").status_code == 404
    own = browser.get(f"/decisions/{stored.lead_id}?lang=en")
    assert own.status_code == 200
    assert "/override" not in own.text
    listed = browser.get("/decisions?lang=en").text
    assert not [seat.name for seat in others if seat.name in fresh.Page(listed).text()]
    assert browser.get("/drivers").headers["location"] == f"/reps/{mine}"
    assert browser.get("/drivers.xlsx").status_code == 403


def test_a_manager_reads_his_team_only(fresh):
    """Reps, forecasts, warnings, drivers and decisions of others do not show, nor the company's figures."""
    manager, team, others = manager_of(fresh)
    browser = fresh.signed_in("manager", manager)
    names = {seat.name for seat in others}
    mine = {seat.name for seat in fresh.seats() if seat.rep_id in team.rep_ids}
    for path in ("/", "/reps", "/warnings", "/forecast?level=rep", "/decisions", "/drivers"):
        text = fresh.Page(browser.get(path).text).text()
        assert not [name for name in names if name in text], path
    assert mine & set(fresh.Page(browser.get("/reps").text).text().split("  ")) or any(
        name in fresh.Page(browser.get("/reps").text).text() for name in mine
    )
    assert browser.get("/forecast?level=company").status_code == 403
    assert browser.get("/drivers?level=company").status_code == 403
    assert browser.get(f"/reps/{others[0].rep_id}").status_code == 404
    exported = browser.get("/forecast.csv?level=rep").text
    assert not [seat for seat in others if f"\n{seat.rep_id}," in exported]
    assert any(f"\n{rep}," in exported for rep in team.rep_ids)
    book = load_workbook(io.BytesIO(browser.get("/drivers.xlsx").content))
    cells = {cell for sheet in book for row in sheet.iter_rows(values_only=True) for cell in row}
    assert not [seat for seat in others if seat.rep_id in cells or seat.name in cells]
    assert cells & set(team.rep_ids)


def test_a_manager_gives_leads_within_his_team_only(fresh):
    """A lead of another's team is not there for him; a rep of another's team cannot get his lead."""
    manager, team, others = manager_of(fresh)
    browser = fresh.signed_in("manager", manager)
    with fresh.core.store.read() as view:
        items = view.decisions(limit=500).items
    mine = next(one for one in items if one.owner_rep_id in team.rep_ids)
    theirs = next(one for one in items if one.owner_rep_id and one.owner_rep_id not in team.rep_ids)
    page = browser.get(f"/decisions/{mine.lead_id}").text
    assert not [seat for seat in others if f'value="{seat.rep_id}"' in page]
    fields = {"rep_id": others[0].rep_id, "reason": "r", "token": fresh.token_of(page)}
    assert browser.post(f"/decisions/{mine.lead_id}/override", data=fields).status_code == 403
    fields["rep_id"] = next(iter(team.rep_ids - {theirs.owner_rep_id}))
    assert browser.post(f"/decisions/{theirs.lead_id}/override", data=fields).status_code == 404
    assert fresh.core.decision(theirs.lead_id, lang="en")["owner_rep_id"] == theirs.owner_rep_id


def test_who_reads_a_rep_page_is_logged(fresh, capsys):
    """The log has the reader and the read."""
    browser = fresh.signed_in("hr", "li.na")
    rep = fresh.seats()[0].rep_id
    capsys.readouterr()
    assert browser.get(f"/reps/{rep}").status_code == 200
    said = capsys.readouterr()
    line = next(one for one in (said.out + said.err).splitlines() if "rep_page_read" in one)
    assert rep in line
    assert "li.na" in line


def test_wrong_keys_at_the_form_are_refused_for_a_while_and_the_right_one_works_after_it(fresh):
    """By address, with how long to wait; other addresses and whoever has signed in are not touched."""
    clock = [0.0]
    fresh.app.state.guesses.by_address.monotonic = fresh.app.state.guesses.by_name.monotonic = lambda: clock[0]
    key, other = fresh.key("hr", "someone"), fresh.key("hr", "other")

    def sign_in(key, client="10.0.0.9"):
        browser = fresh.client(host="fairlead.example", client=client)
        token = fresh.token_of(browser.get("/sign-in").text)
        return browser.post("/sign-in?lang=en", data={"key": key, "token": token, "next": "/"})

    assert sign_in(other).status_code == 303
    assert [sign_in(f"guess-{i}").status_code for i in range(12)] == [401] * 10 + [429] * 2
    refused = sign_in(key)
    assert refused.status_code == 429
    assert "Too many" in refused.text
    wait = int(refused.headers["retry-after"])
    assert sign_in(other).status_code == 303
    assert sign_in(key, client="10.0.0.7").status_code == 303
    clock[0] += wait
    fresh_key = fresh.key("hr", "third")
    assert sign_in(fresh_key).status_code == 303
