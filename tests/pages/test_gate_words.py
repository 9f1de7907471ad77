"""The gate's own wording in both languages, against the gate itself."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from serving.pages.gate_words import failed_checks, verdict_words
from serving.texts import t
from training.gate import Check, GateRules, Verdict, _calibration_check, _latency_check, _rank_check


def recorded(*checks):
    """A reason as training records it."""
    return "; ".join(Verdict(True, checks).reasons())


def test_a_first_release_reads_in_chinese():
    """Checks that the gate words today have a Chinese sentence each, without an English word."""
    rules = GateRules()
    reason = recorded(
        _latency_check(13.0, rules),
        _latency_check(np.nan, rules),
        _rank_check(0.87, rules),
        Check("nothing peeks", False, "3 training rows later than as_of"),
    )
    said = verdict_words(reason, "zh")
    assert len(said) == 4
    assert not [one for one in said if re.search("[A-Za-z]{3,}", one)], said
    assert "未通过" in said[-1]
    assert "13" in said[0]


def test_calibration_is_worded_as_the_gate_words_it():
    """The numbers of the check stand in the sentence."""

    class Found:
        ece, ece_calibrated_95, ece_champion = 0.0123, 0.03, np.nan

    (said,) = verdict_words(recorded(_calibration_check(Found(), GateRules())), "zh")
    assert "0.0123" in said
    assert "0.0300" in said


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_persons_reason_stays_as_it_was_written(lang):
    """Semicolons and colons of a person's own are his."""
    assert verdict_words("after review: fine; signed Li", lang) == ["after review: fine; signed Li"]
    assert verdict_words("", lang) == []


FAILED = "FAIL calibration: expected calibration error 0.031, at most 0.020; ok latency: not measured: no pairs"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_models_page_says_plainly_that_a_first_release_failed_a_check(fresh, lang):
    path = fresh.home / "releases" / "promotions.jsonl"
    line = json.loads(path.read_text().splitlines()[0])
    browser = fresh.client()

    def shown(*reasons):
        lines = [json.dumps({**line, "reason": reason}) for reason in reasons]
        path.write_text("".join(f"{one}\n" for one in lines), encoding="utf-8")
        return fresh.Page(browser.get(f"/models?lang={lang}").text).text()

    assert len(failed_checks(FAILED, lang)) == 1
    page = shown(FAILED)
    assert t(lang, "models.first_failed") in page
    assert page.index(failed_checks(FAILED, lang)[0]) < page.index(t(lang, "models.gate_note"))
    assert t(lang, "models.first_failed") not in shown(FAILED.replace("FAIL", "ok"))
    later = shown("ok calibration: not measured: no pairs", FAILED)
    assert t(lang, "models.first_failed") not in later
    assert t(lang, "models.failed") in later
