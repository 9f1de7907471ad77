"""Chinese as it is set and with one word for one thing, over all that people read."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from features.definitions import LEAD, PAIR, PANEL, REP
from features.messages import CATALOGUE
from serving.http.problems import TITLES
from serving.texts import catalogue

ROOT = Path(__file__).resolve().parents[2]
HAN = "[\u4e00-\u9fff]"
HALF_WIDTH = re.compile(f"(?<={HAN})[,;:?!()]|[,;:?!()](?={HAN})")
GAP = re.compile(r"[。；，：、？（）“”] +(?=[^\s|])")
STRAIGHT = re.compile(f'"(?={HAN})|(?<={HAN})"')

# One word for one thing: what else it has been called, and where that is another thing.
INSTEAD_OF = {
    "工龄": "司龄",
    "闸门": "门槛",
    "赢单": "成交",
    "容量": "名额",
    "地区": "区域",
    "账户": "客户",
    "存储库": "数据库",
    "撤销": "吊销",
    "可能性": "概率",
    "条未结": "条仍在跟进",
    "失单": "丢单",
    "使用中的版本": "在用版本",
    "使用中版本": "在用版本",
    "销售员": "销售",
    "业务员": "销售",
    "潜在客户": "线索",
    "转派": "改派",
    "最低负荷": "最小负荷",
    "由人改派": "由人工改派",
}


def flat(table, at=""):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", value


@cache
def chinese():
    """Every Chinese text by where it stands; an X stands for code."""
    found = {f"texts {key}": text for key, text in catalogue("zh").items()}
    found |= {f"message {code}": words[1] for code, words in CATALOGUE.items()}
    found |= {f"problem {slug}": words[1] for slug, words in TITLES.items()}
    found |= {f"feature {one.name}": one.meaning_zh for one in (*REP, *LEAD, *PAIR, *PANEL)}
    cards = tomllib.loads((ROOT / "training" / "card_texts" / "zh.toml").read_text(encoding="utf-8"))
    found |= {f"card {key}": text for key, text in flat(cards)}
    runbook = (ROOT / "examples" / "compose" / "runbook-zh.md").read_text(encoding="utf-8")
    found |= {f"runbook {at}": line for at, line in enumerate(runbook.splitlines(), 1)}
    return {where: re.sub(r"`[^`]*`|'[^']*'", "X", text) for where, text in found.items()}


def test_there_is_much_to_look_at():
    kinds = {where.split()[0] for where in chinese()}
    assert kinds == {"texts", "message", "problem", "feature", "card", "runbook"}
    assert len(chinese()) > 1_000


@pytest.mark.parametrize("rule", [HALF_WIDTH, GAP, STRAIGHT])
def test_punctuation_is_full_width_and_takes_no_space(rule):
    assert {where: text for where, text in chinese().items() if rule.search(text)} == {}


@pytest.mark.parametrize("other", INSTEAD_OF)
def test_one_word_for_one_thing(other):
    assert {where: f"{other} -> {INSTEAD_OF[other]}" for where, text in chinese().items() if other in text} == {}
