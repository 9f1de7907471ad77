"""Faults and left-out columns read in Chinese: every rule that the code can state has its words there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from features import cells
from features.errors import DataError, Fault
from serving.fault_words import LEFT_OUT, RULES, fault_line, faults_text, left_out_words, rule_words

ROOT = Path(__file__).resolve().parents[2]
ENGLISH = re.compile(r"\b(?:the|not|must|is|are|of|where|with|rows?|column|cell|found)\b")


@pytest.mark.parametrize("name", [name for name in dir(cells) if name.endswith("_RULE")])
def test_each_rule_of_a_cell_has_chinese_words(name):
    said = rule_words(getattr(cells, name), "zh")
    assert said != getattr(cells, name)
    assert not ENGLISH.search(said)


@pytest.mark.parametrize(
    "rule",
    [
        "required column is missing", "required column is missing; is it 'Rep'? Rename it, or map it in fairlead.toml",
        "required cell is empty", "longer than 10,000 characters", "below 0", "above 10",
        "duplicate key (lead_id), first in row 3", "12 more rows: duplicate key", "not found in reps.rep_id",
        "deals.csv is empty; it needs at least the header", "3 cells where the header has 7",
        "leads.csv is neither UTF-8 nor GB18030 text", "duplicate column: name each column once",
        "required table is missing: no deals.csv, .parquet or .xlsx in data",
        "not finite: so are all other leads' values",
        "more than one file: a.csv, a.parquet; keep one", "a boolean where a number belongs",
        "the line is no JSON in UTF-8 with finite numbers", "is none of reps, leads",
    ],
)  # fmt: skip
def test_other_rules_have_chinese_words(rule):
    said = rule_words(rule, "zh")
    assert re.search("[\u4e00-\u9fff]", said)
    assert not ENGLISH.search(said.replace("fairlead.toml", ""))
    assert rule_words(rule, "en") == rule


def test_a_rule_within_a_rule_is_translated_too():
    assert rule_words("7 more rows: not finite", "zh") == "另有 7 行：不是有限的数"


def test_every_reason_to_leave_a_column_out_has_chinese_words():
    source = "".join((ROOT / f"features/{name}.py").read_text(encoding="utf-8") for name in ("lead_columns", "leaks"))
    stated = re.findall(
        r'return f?"((?:ignored|protected|empty|constant|too_many_values|id|contact|time|name|free_text): [^"]*)"',
        source,
    )
    assert len(stated) > 12
    for text in stated:
        example = re.sub(r"\{[^}]*\}", "7", text)
        assert left_out_words(example, "zh") != example, text


def test_a_line_says_where_what_and_what_would_be_right():
    fault = Fault("deals", 3, "closed_at", "soon", cells.TIME_RULE)
    assert "deals.closed_at 第 3 行" in fault_line(fault, "zh")
    assert "'soon'" in fault_line(fault, "zh")
    assert fault_line(fault, "en") == str(fault)


def test_many_faults_are_cut_and_counted():
    error = DataError([Fault("deals", row, "amount", "x", "not finite") for row in range(1, 6)])
    text = faults_text(error, "zh", shown=2)
    assert text.count("第 ") == 2
    assert "另有 3 处" in text
    assert text.startswith("表中有 5 处错误")


@pytest.mark.parametrize(("pattern", "_"), [*RULES, *LEFT_OUT])
def test_patterns_compile(pattern, _):
    re.compile(pattern)
