"""The pages in a real Chromium: by axe's rules, under the policy, on a phone's width, and worked by clicks."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
from urllib.parse import quote

import pytest
import uvicorn
from fastapi import Response

from serving.texts import catalogue

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync", "--disable-background-networking",
    "--disable-component-update",
)  # fmt: skip
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
PATHS = (
    "/", "/decisions", "/decisions?status=held", "/decisions/{lead}", "/explanation/{rep}", "/warnings", "/forecast",
    "/reps", "/reps/{rep}", "/drivers", "/experiment", "/models", "/models/challenger", "/group-audit", "/notice",
    "/sign-in", "/nowhere", "/docs",
)  # fmt: skip


@contextlib.contextmanager
def serving(app):
    """The address at which the application answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(app, port=port, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def chromium():
    """A running browser; skipped, with how to get it, where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here; get one with: apt-get install chromium (the pages are then opened in it)")
    sync = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not here; get it with: pip install -r requirements.lock"
    )
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium):
    """A fresh tab that notes in `tab.said` what its console says and which scripts fail."""
    context = chromium.new_context(viewport=DESK, locale="en-GB")
    page = context.new_page()
    page.said = []
    page.on("console", lambda line: page.said.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.said.append(str(error)))
    yield page
    context.close()


@pytest.fixture(scope="module")
def address(chromium, town):
    @town.app.get("/broken-page")
    def broken() -> Response:
        body = "<!doctype html><html><title>x</title><p style='color:red;width:900px'>x</p><img src='data:,'></html>"
        return Response(body, media_type="text/html")

    with serving(town.app) as found:
        yield found


def opened(tab, url):
    """Open a page, past the one that says that figures are being worked out."""
    for _ in range(60):
        answer = tab.goto(url)  # none where the page that waits has gone on by itself meanwhile
        if answer is not None and "refresh" not in answer.headers:
            return
        time.sleep(1)
    raise AssertionError(f"{url} is never ready")


def complaints(tab):
    """What the console says, but for Chromium's own note on an answer above 399."""
    return [line for line in tab.said if "the server responded with a status of" not in line]


def violations(tab):
    """Findings of axe that are serious or critical: rule, and where."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(tab).response["violations"]
    return [
        (one["id"], one["nodes"][0]["target"], one["nodes"][0]["failureSummary"])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def overflow(tab):
    """Pixels by which the page is wider than the screen."""
    return tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_the_checks_can_fail(tab, address):
    """On one page of this very server: a style refused and told, a picture without words, a paragraph too wide."""
    tab.set_viewport_size(PHONE)
    tab.goto(f"{address}/broken-page")
    assert any("Content Security Policy" in line for line in complaints(tab))
    assert {"image-alt", "html-has-lang"} <= {one[0] for one in violations(tab)}
    tab.evaluate("document.querySelector('p').style.width = '900px'")
    assert overflow(tab) > 400


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_sound(tab, town, address, path, lang):
    """No serious finding of axe on desk or phone, an empty console, nothing to scroll sideways at 390 pixels."""
    lead = town.a_decision(status="assigned", policy="priced")
    where = path.format(lead=quote(lead.lead_id, safe=""), rep=quote(lead.owner_rep_id, safe=""))
    opened(tab, f"{address}{where}{'&' if '?' in where else '?'}lang={lang}")
    assert tab.get_attribute("html", "lang") in {"en", "zh", "zh-CN"}
    assert violations(tab) == []
    tab.set_viewport_size(PHONE)
    assert overflow(tab) <= 0
    assert violations(tab) == []
    assert complaints(tab) == []


def test_the_style_is_there(tab, address):
    """The mark of the page one is on has the colour that only the stylesheet gives."""
    opened(tab, f"{address}/?lang=en")
    colour = tab.evaluate("getComputedStyle(document.querySelector('nav [aria-current]')).backgroundColor")
    assert colour == "rgb(31, 111, 139)"


def test_chinese_has_a_font_where_the_machine_has_none(tab, address):
    """The service's own file is taken under the policy, and draws every Chinese character of the texts by itself."""
    opened(tab, f"{address}/?lang=zh")
    words = sorted({one for text in catalogue("zh").values() for one in text if "\u3000" <= one <= "\u9fff"})
    assert len(words) > 600
    tab.evaluate(
        """async words => {
            const main = document.querySelector('main');
            main.textContent = words;
            main.style.fontFamily = '"Fairlead SC"';
            await document.fonts.load('16px "Fairlead SC"', words);
            await document.fonts.ready;
        }""",
        "".join(words),
    )
    browser = tab.context.new_cdp_session(tab)
    browser.send("DOM.enable")
    browser.send("CSS.enable")
    root = browser.send("DOM.getDocument")["root"]["nodeId"]
    node = browser.send("DOM.querySelector", {"nodeId": root, "selector": "main"})["nodeId"]
    fonts = browser.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
    assert [(one["isCustomFont"], one["glyphCount"]) for one in fonts] == [(True, len(words))]
    assert complaints(tab) == []


def test_the_first_key_press_offers_to_skip_the_navigation(tab, address):
    """A keyboard reader gets to the matter with one key."""
    for path in ("/", "/sign-in"):
        opened(tab, f"{address}{path}?lang=en")
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.className") == "skip", path
        tab.keyboard.press("Enter")
        tab.wait_for_url("**#main")  # the browser moves there in its own time


def test_signing_in_and_out_by_clicks(tab, fresh):
    """A wrong key is told, the right one opens the page that was wanted, and signing out closes it again."""
    key = fresh.key("hr", "people")
    with serving(fresh.app) as at:
        tab.goto(f"{at}/notice?lang=en")
        tab.fill("input[name=key]", "wrong")
        tab.click("main button[type=submit]")
        assert tab.is_visible("[role=alert]")
        tab.fill("input[name=key]", key)
        tab.click("main button[type=submit]")
        tab.wait_for_url(f"{at}/notice?lang=en")
        assert tab.is_visible("text=people (")
        tab.click(".who button")
        assert tab.is_visible("input[name=key]")
        tab.goto(f"{at}/decisions?lang=en")
        assert tab.is_visible("input[name=key]")
        assert complaints(tab) == []


def test_a_lead_is_given_to_somebody_else_by_clicks(tab, fresh):
    """The rep chosen has room, the page names him as the owner afterwards, and the store has it with the reason."""
    stored = fresh.a_decision(status="assigned", policy="priced")
    seats = [seat for seat in fresh.seats() if seat.rep_id != stored.owner_rep_id and seat.rule == "none"]
    assert seats
    with serving(fresh.app) as at:
        opened(tab, f"{at}/decisions/{quote(stored.lead_id, safe='')}?lang=en")
        tab.select_option("select[name=rep_id]", seats[0].rep_id)
        tab.fill("textarea[name=reason]", "knows the account")
        tab.fill("input[name=by]", "Wang")
        tab.click("form.stacked button[type=submit]")
        assert tab.is_visible("[role=status]")
        assert "knows the account" in tab.inner_text("main")
        assert complaints(tab) == []
    found = fresh.core.decision(stored.lead_id, lang="en")
    assert found["owner_rep_id"] == seats[0].rep_id
    assert (found["history"][-1]["by"], found["history"][-1]["reason"]) == ("Wang", "knows the account")


def test_the_stop_switch_works_by_clicks(tab, fresh):
    """Rule mode for everybody, and off again."""
    with serving(fresh.app) as at:
        opened(tab, f"{at}/models?lang=en")
        for on in (True, False):
            tab.select_option("select[name=on]", "1" if on else "0")
            tab.click("form:has(select[name=on]) button[type=submit]")
            assert tab.is_visible("[role=status]")
            assert fresh.core.rule_mode() == {"all": on, "teams": []}
        assert complaints(tab) == []
