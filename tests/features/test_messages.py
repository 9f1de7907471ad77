"""Messages: every code is said in both languages with the same named values, and each is used as it is written."""

from __future__ import annotations

import ast
import copy
import json
import pickle
import re
from pathlib import Path
from string import Formatter

import pytest

from features.messages import CATALOGUE, Message, from_stored, in_language, message, to_stored
from features.messages.lead_columns import LEAD_COLUMNS
from features.messages.operation import OPERATION
from features.messages.requests import REQUESTS
from features.messages.settings import SETTINGS
from features.messages.tables import TABLES
from features.messages.training import TRAINING

ROOT = Path(__file__).resolve().parents[2]
HAN = re.compile(r"[\u4e00-\u9fff]")
ENGLISH = re.compile(r"\b(?:the|not|must|is|are|where|with|rows?|cell|found|then|that)\b")


def named(words):
    return sorted((name, spec) for _, name, spec, _ in Formatter().parse(words) if name is not None)


def used():
    """(place, code or None, names given or None) of every call of `message` in the packages."""
    for package in ("features", "models", "training", "serving"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "message" and node.args:
                    code = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
                    given = [key.arg for key in node.keywords]
                    yield f"{path.name}:{node.lineno}", code, None if None in given else given


@pytest.mark.parametrize("code", CATALOGUE)
def test_both_languages_name_the_same_values(code):
    english, chinese = CATALOGUE[code]
    assert english
    assert chinese
    assert named(english) == named(chinese)
    assert not HAN.search(english)
    without_values = re.sub(r"\{[^}]*\}", "", chinese)
    assert HAN.search(chinese) or not re.search("[A-Za-z]{2,}", without_values)
    assert not ENGLISH.search(without_values)


def test_no_code_stands_in_two_catalogues():
    assert len(CATALOGUE) == sum(map(len, (TABLES, SETTINGS, LEAD_COLUMNS, TRAINING, OPERATION, REQUESTS)))


def test_codes_are_used_as_they_are_written():
    """A value that a call does not give would fail only where the message is needed: when something is wrong."""
    calls = list(used())
    assert len(calls) > 100
    for place, code, given in calls:
        if code is not None:
            assert code in CATALOGUE, place
            if given is not None:
                assert sorted(given) == sorted({name for name, _ in named(CATALOGUE[code][0])}), place


def test_no_code_is_dead():
    source = "".join(
        path.read_text(encoding="utf-8")
        for package in ("features", "models", "training", "serving")
        for path in (ROOT / package).rglob("*.py")
        if path.parent.name != "messages"
    )
    # made from their values
    families = (
        "kind.", "field.", "level.", "place.", "group.", "by.", "choice.", "routing.", "drift_kind.", "drift_name.",
    )  # fmt: skip
    dead = [code for code in CATALOGUE if f'"{code}"' not in source and not code.startswith(families)]
    assert dead == []
    for family in families:
        assert f'"{family}' in source, family


def test_values_are_said_in_the_language_too():
    said = message("table.more_rows", n=12_345, rule=message("table.key_twice"))
    assert said == "12,345 more rows: duplicate key"
    assert in_language(said, "en") == said
    assert in_language(said, "zh") == "另有 12,345 行：主键重复"
    several = message("gate.segments_worse", segments=("a", message("group.over_2_years")))
    assert several == "worse beyond chance: a, over 2 years"
    assert in_language(several, "zh") == "变差且超出偶然：a、2 年以上"


def test_a_message_outlives_copies_and_storage():
    said = message("gate.fairness", groups=(message("gate.group", group="T{1}", ratio=0.9),), low=0.8, high=1.25)
    chinese = in_language(said, "zh")
    assert "T{1} 0.90" in chinese
    for again in (
        copy.deepcopy(said),
        pickle.loads(pickle.dumps(said)),
        from_stored(json.loads(json.dumps(to_stored(said)))),
    ):
        assert isinstance(again, Message)
        assert again == said
        assert in_language(again, "zh") == chinese


def test_text_that_is_no_message_stays():
    assert in_language("written by Li", "zh") == "written by Li"
    assert to_stored("written by Li") == from_stored("written by Li") == "written by Li"
    assert in_language(ValueError(message("cell.finite")), "zh") == "不是有限的数"
    assert from_stored({"code": "a.code.of.another.version", "values": {}}) == "a.code.of.another.version"


def test_an_unknown_code_or_a_missing_value_is_refused():
    with pytest.raises(KeyError):
        message("no.such.code")
    with pytest.raises(KeyError):
        message("cell.below", maximum=1)
