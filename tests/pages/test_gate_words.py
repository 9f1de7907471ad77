"""The gate's checks on pages, in both languages, and a person's reason as he wrote it."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from features.messages import message, to_stored
from serving.pages.gate_words import failed_checks, verdict_words
from serving.texts import t
from training.gate import Check, GateRules, Verdict, _calibration_check, _latency_check, _rank_check
from training.release import Promotion

LATE = Check(message("check.late"), False, message("gate.late", n=3))


def recorded(*checks, reason=""):
    """An entry as `Core.models` lists a promotion that training recorded."""
    told = Verdict(True, checks).reasons()
    return {"reason": reason or "; ".join(told), "told": [to_stored(said) for said in told]}


def test_checks_read_in_chinese():
    """Each check has a Chinese sentence with its numbers, without an English word."""
    rules = GateRules()

    class Found:
        ece, ece_calibrated_95, ece_champion = 0.0123, 0.03, np.nan

    said = verdict_words(
        recorded(
            _latency_check(13.0, rules), _latency_check(np.nan, rules), _rank_check(0.87, rules),
            _calibration_check(Found(), rules), LATE,
        ),
        "zh",
    )  # fmt: skip
    assert len(said) == 5
    assert not [one for one in said if re.search("[A-Za-z]{3,}", one)], said
    assert "未通过" in said[-1]
    for number, one in zip(("13", "", "0.87", "0.0123", "3"), said, strict=True):
        assert number in one


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_persons_reason_stays_as_it_was_written(lang):
    """Semicolons and colons of a person's own are his; what the gate said follows."""
    written = "after review: fine; signed Li"
    assert verdict_words({"reason": written}, lang) == [written]
    assert verdict_words({"reason": ""}, lang) == []
    assert verdict_words(recorded(LATE, reason=written), lang)[0] == written
    assert len(verdict_words(recorded(LATE, reason=written), lang)) == 2


def test_the_record_keeps_what_was_said():
    told = tuple(Verdict(True, (LATE,)).reasons())
    why = message("retrain.reason", why=(message("retrain.no_release"),))
    entry = Promotion("v", 1, "promote", why, 2, told=(why, *told))
    again = Promotion.from_line(entry.as_line())
    assert again == entry
    assert again.reason_in("zh") == "重新训练：没有适用于该时点的版本"
    checked = Promotion("v", 1, "promote", "; ".join(told), 2, told=told)
    assert "未通过" in Promotion.from_line(checked.as_line()).reason_in("zh")
    plain = Promotion("v", 1, "rollback", "Li asked for it", 2, "w")
    assert "told" not in json.loads(plain.as_line())
    assert Promotion.from_line(plain.as_line()) == plain
    assert plain.reason_in("zh") == "Li asked for it"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_models_page_says_plainly_that_a_first_release_failed_a_check(fresh, lang):
    path = fresh.home / "releases" / "promotions.jsonl"
    line = json.loads(path.read_text().splitlines()[0])
    browser = fresh.client()
    failed = recorded(LATE)
    passed = recorded(Check(LATE.name, True, LATE.told))

    def shown(*entries):
        path.write_text("".join(f"{json.dumps({**line, **one})}\n" for one in entries), encoding="utf-8")
        return fresh.Page(browser.get(f"/models?lang={lang}").text).text()

    assert len(failed_checks(failed, lang)) == 1
    page = shown(failed)
    assert t(lang, "models.first_failed") in page
    assert page.index(failed_checks(failed, lang)[0]) < page.index(t(lang, "models.gate_note"))
    assert t(lang, "models.first_failed") not in shown(passed)
    later = shown(passed, failed)
    assert t(lang, "models.first_failed") not in later
    assert t(lang, "models.failed") in later
