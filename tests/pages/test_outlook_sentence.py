"""What a month's forecast says in a sentence, where money is still open and where it is not."""

from __future__ import annotations

import pytest

from serving.pages.fans import outlook_sentence

ROW = {"month": "2026-06", "p10": 1000.0, "p50": 2000.0, "p90": 4000.0, "target": None, "p_miss": None}


@pytest.mark.parametrize(
    ("lang", "open_words", "settled_words"),
    [("en", "is as likely to end above", "will most likely end at"), ("zh", "可能各半", "最可能停在")],
)
def test_a_month_that_half_of_the_chance_has_settled_is_not_said_to_end_above_or_below(lang, open_words, settled_words):
    said = outlook_sentence(ROW, "EUR", lang)
    assert open_words in said
    assert settled_words not in said
    nothing = outlook_sentence({**ROW, "p10": 0.0, "p50": 0.0}, "EUR", lang)
    assert settled_words in nothing
    assert open_words not in nothing
    assert "90" in nothing
