"""What `fairlead demo` leaves behind: a start page in each language that stands alone and leads on."""

from __future__ import annotations

import pytest

from serving.pages.demo_index import write_index
from serving.simulation import simulate_weeks

MADE = ("report-en/report.html", "simulation/simulation-en.html", "warnings.json")


@pytest.fixture(scope="module")
def written(town, tmp_path_factory):
    """Folder of the start pages and the headline, with three of the demo's files in it."""
    out = tmp_path_factory.mktemp("demo")
    for name in MADE:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("x", encoding="utf-8")
    replay = simulate_weeks(town.session, 2, 5)
    index, said = write_index(out, town.core, replay, town.core.warning_items("en"), "en")
    assert index == out / "index.html"
    return out, said


@pytest.mark.parametrize(("name", "lang", "sign"), [("index.html", "en", "¥"), ("index-zh.html", "zh-CN", "万元")])
def test_the_start_page_stands_alone(town, written, name, lang, sign):
    """Whole in one file, figures in money, links only to files that are there, and the command that serves it."""
    out, _ = written
    html = (out / name).read_text(encoding="utf-8")
    page = town.Page(html)
    assert page.all("html")[0]["lang"] == lang
    assert sign in page.text()
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in html.lower()
    links = [href for href in page.attributes("href") if not href.startswith("#")]
    missing = {href for href in links if not (out / href).exists()}
    assert missing <= {"report-zh/report.html", "simulation/simulation-zh.html"}, "only those of the other language"
    assert f"fairlead serve --data {out}" in html
    assert "nan" not in page.text().lower().split()


def test_the_headline_is_for_a_terminal_too(town, written):
    """Routing, the month, what to look at: each a sentence, with no machine's code in it."""
    _, said = written
    assert 3 <= len(said) <= 4
    assert all(one.endswith((".", "。")) for one in said)
    assert str(len(town.core.warning_items("en"))) in said[-1]
