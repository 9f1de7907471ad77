"""Pages when there is little, nothing yet, or trouble."""

from __future__ import annotations

import threading

import pytest

from serving.http.problems import Problem
from serving.pages.prepared import Prepared, PreparingError


class Owner:
    """Something that results belong to."""


def test_what_takes_long_is_waited_for_and_then_told():
    """A result within the wait is given; beyond it PreparingError, and later the same work's result, made once."""
    gate, made = threading.Event(), []

    def make():
        gate.wait(10)
        made.append(1)
        return "figures"

    owner, prepared = Owner(), Prepared(wait_seconds=0.05)
    with pytest.raises(PreparingError):
        prepared.get(owner, "key", make)
    gate.set()
    patient = Prepared(wait_seconds=10)
    assert patient.get(owner, "key", lambda: 7) == 7
    for _ in range(100):
        try:
            assert prepared.get(owner, "key", make) == "figures"
            break
        except PreparingError:
            continue
    assert made == [1]
    assert prepared.get(Owner(), "key", lambda: "another state's") == "another state's"


def test_a_failure_is_told_and_tried_again():
    """What failed is not kept as a result."""
    owner, prepared, tries = Owner(), Prepared(), []

    def make():
        tries.append(1)
        if len(tries) == 1:
            raise Problem(503, "not now")
        return "figures"

    with pytest.raises(Problem):
        prepared.get(owner, "key", make)
    assert prepared.get(owner, "key", make) == "figures"


@pytest.mark.parametrize(("lang", "said"), [("en", "Working it out"), ("zh", "正在计算")])
def test_a_page_that_is_being_worked_out_says_so_and_loads_itself_again(fresh, monkeypatch, lang, said):
    """The reader sees a page, not an empty wait; the header loads it again."""

    def not_yet(*_):
        raise PreparingError

    monkeypatch.setattr(fresh.book.prepared, "get", not_yet)
    answer = fresh.client().get(f"/forecast?level=team&lang={lang}")
    assert answer.status_code == 200
    assert answer.headers["refresh"] == "3"
    assert said in answer.text
    assert f'href="/forecast?level=team&amp;lang={lang}"' in answer.text
    assert "<progress" in answer.text


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_pages_stand_before_any_training(untrained, lang):
    """Without a release the start page says so and leads still go by rules; what needs a model is 503 with advice."""
    browser = untrained.client()
    start = browser.get(f"/?lang={lang}")
    assert start.status_code == 200
    assert "fairlead train" in start.text
    for path in ("/decisions", "/reps", "/models", f"/reps/{untrained.seats()[0].rep_id}"):
        assert browser.get(f"{path}?lang={lang}").status_code == 200, path
    for path in ("/forecast", "/warnings", "/drivers"):
        answer = browser.get(f"{path}?lang={lang}")
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert "<h1>" in answer.text
        assert "fairlead train" in answer.text


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_an_error_is_a_page_for_people_and_a_document_for_programs(fresh, monkeypatch, lang):
    """404 and 500 carry a way back and the request's number, never a traceback; the interface stays JSON."""
    browser = fresh.client()
    missing = browser.get(f"/nowhere?lang={lang}")
    assert missing.status_code == 404
    assert 'href="/?lang=' in missing.text
    assert missing.headers["x-request-id"] in missing.text
    assert browser.get(f"/decisions/unknown?lang={lang}").status_code == 404
    assert browser.get("/v1/assignments/unknown").headers["content-type"] == "application/problem+json"
    program = fresh.client(accept="application/json").get("/nowhere")
    assert program.headers["content-type"] == "application/problem+json"

    def broken(*_, **__):
        raise ZeroDivisionError("a secret of the code")

    monkeypatch.setattr(fresh.core, "models", broken)
    failed = browser.get(f"/models?lang={lang}")
    assert failed.status_code == 500
    assert "<h1>" in failed.text
    assert "secret" not in failed.text
    assert failed.headers["x-request-id"] in failed.text


def test_pages_have_empty_states(fresh):
    """Where a filter finds nothing the page says so and leads back."""
    browser = fresh.client()
    for path in ("/decisions?since=2099-01-01", "/warnings?kind=none", "/reps?team_id=none"):
        answer = browser.get(path)
        assert answer.status_code == 200
        assert 'class="empty"' in answer.text


def test_an_old_table_does_not_make_an_empty_week(fresh):
    """A year later pages still show the last week known, and a fresh decision makes now the moment again."""
    before = fresh.book.moment()
    fresh.now += 400 * 86_400_000_000
    later = fresh.book.moment()
    assert later <= before
    assert sum(seat.used for seat in fresh.seats()) > 5
