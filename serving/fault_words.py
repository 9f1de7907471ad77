"""Faults of the tables in the reader's language: the rules of `features` are English; their Chinese stands here.

A rule is known by a pattern over its English words, so that numbers and names in it carry over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Final

from features.errors import DataError, Fault
from serving.texts import Lang, t

SHOWN: Final = 200

# (pattern over the whole English text, Chinese with its groups by number)
RULES: Final[tuple[tuple[str, str], ...]] = (
    (r"(.+) more rows: (.+)", r"另有 \1 行：\2"),
    (r"required column is missing; is it (.+)\? Rename it, or map it in fairlead\.toml",
     r"缺少必需的列；是否就是 \1？请改名，或在 fairlead.toml 中映射"),
    (r"required column is missing", "缺少必需的列"),
    (r"required cell is empty", "必填单元格为空"),
    (r"longer than (.+) characters", r"超过 \1 个字符"),
    (r"not an ISO 8601 time \((.+) or (.+)\)", r"不是 ISO 8601 时间（如 \1 或 \2）"),
    (r"not an ISO 8601 date \((.+)\)", r"不是 ISO 8601 日期（如 \1）"),
    (r"year outside (.+)", r"年份超出 \1"),
    (r"not a month \((.+)\)", r"不是月份（\1）"),
    (r"not a number \((.+), without separators or units\)", r"不是数字（如 \1，不带千分位和单位）"),
    (r"not finite", "不是有限的数"),
    (r"not a whole number", "不是整数"),
    (r"larger than (.+)", r"大于 \1"),
    (r"not a boolean \(true or false\)", "不是布尔值（true 或 false）"),
    (r"must be won or lost", "只能是 won 或 lost"),
    (r"below (\S+)", r"小于 \1"),
    (r"above (\S+)", r"大于 \1"),
    (r"duplicate key \((.+)\), first in row (\d+)", r"主键重复（\1），首次出现在第 \2 行"),
    (r"duplicate key", "主键重复"),
    (r"duplicate column: name each column once", "列名重复：每列只能出现一次"),
    (r"not found in (\S+)", r"在 \1 中找不到"),
    (r"(.+): so are all other leads' values", r"\1：其余线索的该列都是数字"),
    (r"(.+): unknown kind of file; use \.csv, \.parquet or \.xlsx",
     r"\1：未知的文件类型；请用 .csv、.parquet 或 .xlsx"),
    (r"(.+) cannot be read: (.+)", r"\1 无法读取：\2"),
    (r"(.+) is empty; it needs at least the header", r"\1 是空的；至少要有表头"),
    (r"(.+) holds (.+) in a cell; a cell takes one value", r"\1 的单元格里有 \2；一个单元格只能放一个值"),
    (r"(.+) is no readable (\S+) file: (.+)", r"\1 不是可读的 \2 文件：\3"),
    (r"(.+) is neither UTF-8 nor GB18030 text", r"\1 既不是 UTF-8 也不是 GB18030 文本"),
    (r"(.+) has no readable header: (.+)", r"\1 没有可读的表头：\2"),
    (r"(\d+) cells where the header has (\d+)", r"有 \1 个单元格，而表头有 \2 列"),
    (r"cannot be split into cells \((.+)\); is a quotation mark left open\?",
     r"无法切分成单元格（\1）；是否有引号没有闭合？"),
    (r"a quotation mark is opened and never closed", "引号打开后没有闭合"),
    (r"not an object of columns and values", "不是由列名和值组成的对象"),
    (r"a nested value; a cell takes one text, number or boolean", "嵌套的值；一个单元格只能放一个文本、数字或布尔值"),
    (r"must be a list of texts, or one text separated by ';'", "应为文本列表，或以 ; 分隔的一个文本"),
    (r"a boolean where a (.+) belongs", r"应为 \1，却是布尔值"),
    (r"holds a NUL character", "含有 NUL 字符"),
    (r"is no valid Unicode text", "不是有效的 Unicode 文本"),
    (r"a value that no cell takes", "单元格不能存放的值"),
    (r"the line is no JSON in UTF-8 with finite numbers", "该行不是有效的 JSON（须为 UTF-8 编码，数值须有限）"),
    (r"is none of (.+)", r"应为下列之一：\1"),
    (r"required table is missing: no (.+) in (.+)", r"缺少必需的表：\2 中没有 \1"),
    (r"more than one file: (.+); keep one", r"有多个文件：\1；请只保留一个"),
    (r"mapped from (.+), which is no column; there are (.+)", r"映射自 \1，但没有这一列；现有 \2"),
)  # fmt: skip

# Why a lead column is no feature: "code: what was seen".
LEFT_OUT: Final[tuple[tuple[str, str], ...]] = (
    (r"ignored: listed in \[leads\] ignore", "按配置忽略：列在 [leads] ignore 中"),
    (r"protected: named like a protected attribute \((.+)\)", r"受保护属性：名称像受保护属性（\1）"),
    (r"protected: coded like a protected attribute \((.+)\)", r"受保护属性：取值像受保护属性（\1）"),
    (r"empty: no value at all", "空列：没有任何值"),
    (r"constant: always (.+)", r"恒定：总是 \1"),
    (r"too_many_values: (\d+) marketers", r"取值过多：有 \1 位市场人员"),
    (r"too_many_values: (\d+) values, (\d+) are the most", r"取值过多：有 \1 种，最多 \2 种"),
    (r"id: named like an id", "编号：名称像编号"),
    (r"id: a number of its own for nearly every lead", "编号：几乎每条线索各有一个数"),
    (r"contact: .+", "联系方式：电话、邮箱或地址"),
    (r"time: .+", "时间：日期或时刻；请改成数字，例如距今天数"),
    (r"name: .+", "名称：人名或公司名"),
    (r"free_text: .+", "自由文本：备注或消息"),
    (r"leak: named like something that is filled in after contact", "泄漏：名称像联系之后才填写的内容"),
    (r"leak: holds the outcome itself \((.+)\)", r"泄漏：直接包含结果（\1）"),
    (r"leak: filled in for (\S+) more of the closed leads than of others of their age",
     r"泄漏：与同龄线索相比，已结束线索的填写率高出 \1"),
    (r"leak: filled in for (\S+) more of the contacted leads than of others of their age",
     r"泄漏：与同龄线索相比，已联系线索的填写率高出 \1"),
    (r"leak: being filled in tells the outcome \(AUC (\S+)\)", r"泄漏：是否填写就能看出结果（AUC \1）"),
    (r"leak: alone tells the outcome \(AUC (\S+) on leads not learnt from\)",
     r"泄漏：单凭它就能看出结果（未参与学习的线索上 AUC \1）"),
    (r"leak: values that mean won (\S+) of the time hold (\S+) of the wins",
     r"泄漏：\2 的成交落在成交率为 \1 的取值上"),
    (r"leak: an assessment given to (\S+) of the leads only \(AUC (\S+)\)",
     r"泄漏：只给 \1 的线索做过的评估（AUC \2）"),
)  # fmt: skip


def rule_words(rule: str, lang: Lang) -> str:
    """A rule's text in the language; one that no pattern knows stays as it is."""
    return rule if lang == "en" else _translated(rule, RULES)


def left_out_words(reason: str, lang: Lang) -> str:
    """Why a lead column is no feature, in the language."""
    return reason if lang == "en" else _translated(reason, LEFT_OUT)


def _translated(said: str, catalogue: Sequence[tuple[str, str]]) -> str:
    for pattern, chinese in catalogue:
        found = _compiled(pattern).fullmatch(said)
        if found is not None:
            inner = found.expand(chinese)
            if found.re.groups and catalogue is RULES:  # a rule within a rule: "12 more rows: duplicate key"
                for group in found.groups():
                    if group and group != said and (words := _translated(group, RULES)) != group:
                        inner = inner.replace(group, words)
            return inner
    return said


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)


def fault_line(fault: Fault, lang: Lang) -> str:
    """One fault as a line: table, column, row, value found, and what would be right."""
    if lang == "en":
        return str(fault)
    where = fault.table + (f".{fault.column}" if fault.column else "")
    row = t(lang, "faults.row", row=fault.row) if fault.row else ""
    found = t(lang, "faults.found", value=repr(fault.value)) if fault.value or fault.row else ""
    return t(lang, "faults.line", where=where, row=row, found=found, rule=rule_words(fault.rule, lang))


def faults_text(error: DataError, lang: Lang, shown: int = SHOWN) -> str:
    """All faults of an error, a line each, at most `shown`, then how many more there are."""
    if lang == "en":
        return error.describe(shown)
    lines = [t(lang, "faults.title", n=len(error.faults))]
    lines += [f"  {fault_line(fault, lang)}" for fault in error.faults[:shown]]
    if len(error.faults) > shown:
        lines.append(t(lang, "faults.more", n=len(error.faults) - shown))
    return "\n".join(lines)
