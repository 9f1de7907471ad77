"""Faults and left-out columns as lines: where, what was found, what would be right, in the reader's language."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from features import cells
from features.config import Config
from features.errors import DataError, Fault
from features.lead_columns import screen_lead_columns
from features.messages import Message, in_language
from features.sources import load


def test_a_line_says_where_what_and_what_would_be_right():
    fault = Fault("deals", 3, "closed_at", "soon", cells.TIME_RULE)
    chinese = "deals.closed_at 第 3 行：内容为 'soon'；" + in_language(cells.TIME_RULE, "zh")
    assert in_language(fault.told(), "zh") == chinese
    assert str(fault) == f"deals.closed_at row 3: found 'soon'; {cells.TIME_RULE}"
    assert str(Fault("deals", 0, "", "", "wrong")) == "deals: wrong"
    assert str(Fault("deals", 0, "", "x", "wrong")) == "deals: found 'x'; wrong"


def test_many_faults_are_cut_and_counted():
    error = DataError([Fault("deals", row, "amount", "x", cells.FINITE_RULE) for row in range(1, 6)])
    text = error.describe(2, "zh")
    assert text.count("第 ") == 2
    assert "另有 3 处" in text
    assert text.startswith("表中有 5 处错误")
    assert error.describe(2).splitlines()[-1] == "  ... and 3 more (--json lists all)"


def test_what_is_wrong_with_files_is_said_in_chinese(tmp_path: Path):
    (tmp_path / "reps.csv").write_text("Rep-ID,rep id,hired_on,weekly_capacity\nr1,2,soon,-3.5\n", encoding="utf-8")
    (tmp_path / "leads.csv").write_bytes(b"PAR1")
    (tmp_path / "assignments.csv").write_text("lead_id,rep_id,assigned_at\nL1,r1\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load(tmp_path, Config())
    assert len(caught.value.faults) > 5
    for fault in caught.value.faults:
        assert isinstance(fault.rule, Message), fault
        assert re.search("[\u4e00-\u9fff]", in_language(fault.rule, "zh"))


def test_why_columns_are_left_out_is_said_in_chinese():
    n = 60
    leads = pd.DataFrame(
        {
            "lead_id": [f"L{i}" for i in range(n)], "gender": ["m", "f"] * 30, "x": ["only"] * n,
            "their_mail": [f"a{i}@b.de" for i in range(n)], "won": ["y", "n"] * 30,
        }
    )  # fmt: skip
    found = dict(screen_lead_columns(leads, ignore=["x"]).excluded)
    assert found.keys() >= {"gender", "x", "their_mail", "won"}
    for why in found.values():
        assert isinstance(why, Message)
        assert re.search("[\u4e00-\u9fff]", in_language(why, "zh"))
