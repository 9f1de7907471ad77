"""What training says, in the reader's language: its English lines come from `training`, their Chinese stands here."""

from __future__ import annotations

import re
from typing import Final

from serving.pages.gate_words import verdict_words
from serving.texts import Lang

# (pattern over a whole English line without its indent, Chinese with its groups by number)
LINES: Final[tuple[tuple[str, str], ...]] = (
    (r"Release (\S+) is champion\.", r"版本 \1 已启用。"),
    (r"Release (\S+) stays a challenger\.", r"版本 \1 未启用，仅作为候选保留。"),
    (
        r"Release (\S+) answers for moments before the champion's data end; (\S+) is champion\.",
        r"版本 \1 用于在用版本数据截止之前的时点；在用版本仍是 \2。",
    ),
    (
        r"the first release goes live although a guard failed; (.+)",
        r"这是第一个版本，虽有一项检查未通过仍然启用；在开启自动分配之前请先核实。",
    ),
    (
        r"a rollback has withdrawn this very release; --promote force brings it back",
        r"这个版本曾被回退撤下；用 --promote force 才能重新启用",
    ),
    (
        r"the release in charge cannot be read \((.+)\), so there is nothing to compare with",
        r"在用版本无法读取（\1），因此没有可比对象",
    ),
    (
        r"routing: lead x rep interaction was found: each lead has its own best rep",
        r"分配：线索与销售之间存在匹配差异，每条线索各有最合适的人",
    ),
    (
        r"routing: reps differ; lead x rep interaction is likely but not proven, and is used as far as it is sure",
        r"分配：销售之间有差异；线索与销售的匹配差异有迹象但尚未证实，按其可靠程度采用",
    ),
    (
        r"routing: reps differ, but no lead x rep interaction beyond noise was found",
        r"分配：销售之间有差异，但未发现超出偶然的线索与销售匹配差异",
    ),
    (
        r"routing: no lead x rep interaction and no rep effect worth routing on was found: .+",
        r"分配：未发现值得据以分配的匹配差异或销售差异；按负荷和公平分配",
    ),
    (
        (
            r"interaction sd (\S+) on the logit \(90 % interval (\S+) to (\S+), p = (\S+)\); "
            r"rep effect sd (\S+) \((\S+) to (\S+), p = (\S+)\)"
        ),
        r"匹配差异的标准差（logit）\1（90% 区间 \2 至 \3，p = \4）；销售差异的标准差 \5（\6 至 \7，p = \8）",
    ),
    (
        r"later leads: AUC (\S+), calibration error (\S+) \(a calibrated model stays under (\S+) at this size\)",
        r"之后的线索：AUC \1，校准误差 \2（同等数量下，校准良好的模型低于 \3）",
    ),
    (r"later leads: too few to measure the win probability on", r"之后的线索太少，无法检验成交概率"),
    (r"forecast: the forecast uses (.+), which beats the mean of recent months", r"预测：采用 \1，优于近几个月的均值"),
    (
        r"forecast: the forecast uses the mean of recent months: nothing beat it",
        r"预测：采用近几个月的均值，没有方法优于它",
    ),
    (
        r"forecast: the forecast uses the mean of recent months: too few past months to prove anything better",
        r"预测：采用近几个月的均值；历史月份太少，无法证明有更好的方法",
    ),
    (r"gate:", "门槛："),
)


def training_words(text: str, lang: Lang) -> str:
    """A training's summary in the language; a line that no pattern knows stays as it is."""
    return text if lang == "en" else "\n".join(_line(line) for line in text.splitlines())


def _line(line: str) -> str:
    said = line.strip()
    indent = line[: len(line) - len(line.lstrip())]
    for pattern, chinese in LINES:
        found = re.fullmatch(pattern, said)
        if found is not None:
            return indent + found.expand(chinese)
    return indent + " ".join(verdict_words(said, "zh"))
