"""Every page in both languages: whole, safe, in words, and without a dead link."""

from __future__ import annotations

import itertools
import re
from html import unescape
from urllib.parse import quote, urljoin, urlsplit

import pytest

from serving.texts import catalogue

PATHS = [
    "/",
    "/decisions",
    "/decisions?status=held",
    "/decisions?since=2099-01-01",
    "/decisions/{lead}",
    "/decisions/{awkward}",
    "/warnings",
    "/warnings?kind=nothing",
    "/forecast",
    "/forecast?level=team",
    "/forecast?level=rep",
    "/reps",
    "/reps/{rep}",
    "/reps/{hostile}",
    "/drivers",
    "/experiment",
    "/drivers?against=top",
    "/reps/{rep}?against=top",
    "/models",
    "/models/challenger",
    "/notice",
    "/explanation/{rep}",
    "/explanation/{hostile}",
    "/sign-in",
]
LANGUAGES = ["en", "zh"]


@pytest.fixture(scope="session")
def read(town):
    """read(path, lang) gives the answer of a page; paths name what the town has."""
    browser = town.client()
    lead = town.a_decision(status="assigned", policy="priced")
    names = {
        "lead": quote(lead.lead_id, safe=""),
        "awkward": quote(town.AWKWARD_LEAD, safe=""),
        "rep": quote(lead.owner_rep_id, safe=""),
        "hostile": quote(town.facts.hostile, safe=""),
    }

    def get(path, lang):
        path = path.format(**names)
        return browser.get(path + ("&" if "?" in path else "?") + f"lang={lang}")

    return get


each_page = pytest.mark.parametrize("path", PATHS)
each_language = pytest.mark.parametrize("lang", LANGUAGES)


@each_page
@each_language
def test_every_page_says_everything_in_words(town, read, path, lang):
    """No NaN, None or key of the catalogue stands where a person reads; the other language does not show through."""
    answer = read(path, lang)
    assert answer.status_code == 200, answer.text
    page = town.Page(answer.text)
    text = page.text()
    assert len(text) > 100
    assert page.all("html")[0]["lang"] == {"en": "en", "zh": "zh-CN"}[lang]
    assert not re.search(r"\b(nan|NaN|None|null|undefined|inf)\b", text), re.findall(
        r".{30}\b(?:nan|None)\b.{30}", text
    )
    shown = set(re.findall(r"\b[a-z_]+(?:\.[a-z_0-9]+)+\b", text))
    assert not shown & set(catalogue("en"))

    other = {"en": "zh", "zh": "en"}[lang]
    sentences = {said for said in catalogue(other).values() if len(said) > 14 and "{" not in said}
    assert len(sentences) > 100
    assert not [said for said in sentences - set(catalogue(lang).values()) if said in text]


@each_page
def test_chinese_sentences_follow_each_other_without_a_space(read, path):
    answer = read(path, "zh")
    assert "。" in answer.text
    assert re.findall(r".{12}[。；] +[^<\s].{12}", answer.text) == []


@each_page
@each_language
def test_every_page_is_safe_under_the_strictest_policy(town, read, path, lang):
    """No script, no inline style or handler, nothing from elsewhere, names escaped, and the policy that says so."""
    answer = read(path, lang)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    page = town.Page(answer.text)
    names = {name for name, _, _ in page.tags}
    assert not names & {"script", "style", "iframe", "object", "embed", "img", "base"}
    attributes = {name for _, attrs, _ in page.tags for name in attrs}
    assert not [name for name in attributes if name == "style" or name.startswith("on")]
    addresses = page.attributes("href") + page.attributes("src") + page.attributes("action")
    assert len(addresses) > 5
    assert all(one.startswith(("/", "#", "data:,")) and not one.startswith("//") for one in addresses)
    assert "<script" not in answer.text.lower()
    assert "<i>web" not in answer.text


@each_page
@each_language
def test_every_page_can_be_read_aloud_and_used_by_keyboard(town, read, path, lang):
    """One main heading, no level skipped, named charts, captioned tables, labelled fields, unique ids, a way past the
    navigation.
    """
    page = town.Page(read(path, lang).text)
    levels = [int(name[1]) for name, _, _ in page.tags if re.fullmatch("h[1-6]", name)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(attrs.get("role") == "img" and attrs.get("aria-label") for attrs in page.all("svg"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(attrs.get("scope") for attrs in page.all("th"))
    for name, attrs, in_label in page.tags:
        if name in {"input", "select", "textarea"} and attrs.get("type") != "hidden":
            assert in_label, attrs
    ids = [one for one in page.attributes("id") if one != "fl-hatch"]
    assert len(ids) == len(set(ids))
    assert page.all("a")[0]["href"] == "#main"
    assert "main" in ids
    for attrs in page.all("meter"):
        assert 0 <= float(attrs["value"]) <= float(attrs["max"])


@each_language
def test_no_link_is_dead(town, lang):
    """Every address that any page links to answers, in the language that the reader chose."""
    browser = town.client()
    seen, waiting = set(), [f"/?lang={lang}"]
    while waiting:
        address = waiting.pop()
        parts = urlsplit(address)
        shape = (re.sub(r"^(/reps|/decisions)/.*", r"\1/one", parts.path), re.sub(r"=[^&]*", "=", parts.query))
        if parts.path in seen or sum(one == shape for one in seen) >= 3:
            continue
        seen |= {parts.path if not parts.query or parts.query.startswith("lang=") else address}
        answer = browser.get(address.partition("#")[0])
        assert answer.status_code in (200, 303), address
        if not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        page = town.Page(answer.text)
        own = [href for href in page.attributes("href") if href.startswith("/") and f"lang={lang}" in href]
        waiting += [urljoin(address, unescape(href)) for href in own]
        fragments = {href[1:] for href in page.attributes("href") if href.startswith("#") and len(href) > 1}
        assert fragments <= set(page.attributes("id")), address
    assert {"/", "/decisions", "/warnings", "/forecast", "/reps", "/drivers", "/models", "/forecast.xlsx"} <= {
        urlsplit(one).path for one in seen
    }
    assert sum(one.startswith("/reps/") for one in seen) > 3


def test_names_and_ids_stand_as_they_are_written(town, read):
    """What looks like markup in a name, an id or a source is text to read."""
    rep = read("/reps/{hostile}", "en").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in rep
    lead = read("/decisions/{awkward}", "en")
    text = town.Page(lead.text).text()
    assert town.AWKWARD_LEAD in text
    assert "<i>web</i>" in text
    assert town.HOSTILE in town.Page(read("/reps", "en").text).text()
    assert town.FORMULA in town.Page(read("/reps", "zh").text).text()


def test_language_comes_from_the_address_else_from_the_browser(town):
    """`?lang=` wins and is carried on by every link; without it Accept-Language decides and links stay clean."""
    browser = town.client()
    asked = browser.get("/reps?lang=zh", headers={"accept-language": "en"}).text
    assert 'lang="zh-CN"' in asked
    assert all(
        "lang=" in href for href in town.Page(asked).attributes("href") if href.startswith("/") and "css" not in href
    )
    heard = browser.get("/reps", headers={"accept-language": "zh-CN,en;q=0.5"}).text
    assert '<html lang="zh-CN">' in heard
    inner = [href for href in town.Page(heard).attributes("href") if href.startswith("/reps/")]
    assert inner
    assert not [href for href in inner if "lang=" in href]


def test_chinese_amounts_are_in_wan(town, read):
    """From 10,000 up a Chinese page writes 万元, an English one the yen sign and separators."""
    assert "万元" in read("/forecast", "zh").text
    english = read("/forecast", "en").text
    assert "万" not in english
    assert re.search(r"¥\d{1,3},\d{3}", english)


def test_today_tells_the_figures_of_the_week(town, read):
    """Held leads, open warnings and places are those that the store and the tables have."""
    text = town.Page(read("/", "en").text).text()
    seats = town.seats()
    used, places = sum(seat.used for seat in seats), sum(seat.capacity for seat in seats)
    assert used > 5
    assert f"{used} / {places}" in text
    held = len(town.book.held("en"))
    assert f"Leads on hold {held} " in text
    n_open = sum(one["status"] == "open" for one in town.core.warning_items("en"))
    assert n_open > 0
    assert f"Open warnings {n_open} " in text
    assert town.core.model_version in text


def test_a_decision_names_the_runner_up_and_why_not_the_others(town, read):
    """The page of a priced lead holds the sentence against the next best, and a row a candidate."""
    stored = town.a_decision(status="assigned", policy="priced")
    document = town.core.decision(stored.lead_id, lang="en")
    text = town.Page(read("/decisions/{lead}", "en").text).text()
    assert " ".join(document["reasons"][0]["text"].split()) in text.replace("\u00a0", " ")
    shown = document["alternatives"][:12]
    assert len(shown) >= 2
    for one in shown:
        assert town.book.name(one["rep_id"]) in text
        assert one["why_not"] in text.replace("\u00a0", " ")


def test_a_rep_page_counts_his_leads_and_says_whom_to_ask(town):
    """This week's leads are the places he has taken; the manager is named."""
    seat = max(town.seats(), key=lambda one: one.used)
    assert seat.used > 0
    text = town.Page(town.client().get(f"/reps/{seat.rep_id}?lang=en").text).text()
    assert f"got {seat.used} leads this week and has {seat.capacity} places" in text
    assert town.book.name(seat.manager_id) in text


def test_a_part_of_a_list_at_a_time(town):
    """Decisions come newest first, older ones by the link; filters narrow them."""
    browser = town.client()
    everything = browser.get("/decisions?lang=en").text
    rep = town.a_decision(status="assigned").owner_rep_id
    mine = browser.get("/decisions", params={"lang": "en", "rep_id": rep}).text
    rows = mine.count("<tr>")
    assert 1 < rows < everything.count("<tr>")
    moments = re.findall("\\d{4}\u2011\\d\\d\u2011\\d\\d \\d\\d:\\d\\d", everything)
    assert len(moments) > 10
    for wrong in ("status=lost", "since=yesterday", "cursor=x"):
        answer = browser.get(f"/decisions?{wrong}&lang=en")
        assert answer.status_code == 422
        assert "<h1>" in answer.text


def test_the_stylesheet_is_one_kept_and_open(town):
    """Pages link one stylesheet whose address changes with its bytes; anybody may have it."""
    browser = town.client()
    page = town.Page(browser.get("/").text)
    (link,) = [attrs["href"] for attrs in page.all("link") if attrs["rel"] == "stylesheet"]
    answer = browser.get(link)
    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]
    assert "@import" not in answer.text
    assets = re.findall(r"url\(([^)]*)\)", answer.text)
    assert assets, "the font that machines without a Chinese one need"
    for asset in assets:
        address = asset.strip("\"'")
        assert re.match(r"/[^/]", address)
        assert browser.get(address).status_code == 200
