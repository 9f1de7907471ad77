"""Words for faults of tables: (English, Chinese) by code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TABLES: Final[Mapping[str, tuple[str, str]]] = {
    # -- a cell
    "cell.time": (
        "not an ISO 8601 time (2025-03-31 or 2025-03-31T14:05:00+08:00)",
        "不是 ISO 8601 时间（如 2025-03-31 或 2025-03-31T14:05:00+08:00）",
    ),
    "cell.date": ("not an ISO 8601 date (2025-03-31)", "不是 ISO 8601 日期（如 2025-03-31）"),
    "cell.year": ("year outside {first}-{last}", "年份超出 {first}–{last}"),
    "cell.month": ("not a month (YYYY-MM)", "不是月份（YYYY-MM）"),
    "cell.number": (
        "not a number (1234.5, without separators or units)",
        "不是数字（如 1234.5，不带千分位和单位）",
    ),
    "cell.finite": ("not finite", "不是有限的数"),
    "cell.integer": ("not a whole number", "不是整数"),
    "cell.large": ("larger than {limit:,}", "大于 {limit:,}"),
    "cell.boolean": ("not a boolean (true or false)", "不是布尔值（true 或 false）"),
    "cell.status": ("must be won or lost", "只能是 won 或 lost"),
    "cell.below": ("below {minimum:g}", "小于 {minimum:g}"),
    "cell.above": ("above {maximum:g}", "大于 {maximum:g}"),
    "cell.empty": ("required cell is empty", "必填单元格为空"),
    "cell.long": ("longer than {limit:,} characters", "超过 {limit:,} 个字符"),
    "cell.unlike": ("{rule}: so are all other leads' values", "{rule}：其余线索的该列都是数字"),
    "cell.nested_list": ("a nested list", "嵌套的列表"),
    "cell.record": ("a record or raw bytes", "一条记录或原始字节"),
    # -- a row of JSON
    "row.no_object": ("not an object of columns and values", "不是由列名和值组成的对象"),
    "row.nested": (
        "a nested value; a cell takes one text, number or boolean",
        "嵌套的值；一个单元格只能放一个文本、数字或布尔值",
    ),
    "row.list": (
        "must be a list of texts, or one text separated by ';'",
        "应为文本列表，或以 ; 分隔的一个文本",
    ),
    "row.boolean": ("a boolean where a {kind} belongs", "应为{kind}，却是布尔值"),
    "row.nul": ("holds a NUL character", "含有 NUL 字符"),
    "row.unicode": ("is no valid Unicode text", "不是有效的 Unicode 文本"),
    "row.no_cell": ("a value that no cell takes", "单元格不能存放的值"),
    "row.no_json": (
        "the line is no JSON in UTF-8 with finite numbers",
        "该行不是有效的 JSON（须为 UTF-8 编码，数值须有限）",
    ),
    "row.none_of": ("is none of {names}", "应为下列之一：{names}"),
    "kind.number": ("number", "数字"),
    "kind.integer": ("integer", "整数"),
    "kind.money": ("money", "金额"),
    "kind.time": ("time", "时间"),
    "kind.date": ("date", "日期"),
    "kind.month": ("month", "月份"),
    "kind.status": ("status", "状态（won 或 lost）"),
    "kind.list": ("list", "列表"),
    # -- a table
    "table.column_missing": ("required column is missing", "缺少必需的列"),
    "table.column_missing_near": (
        "required column is missing; is it {near!r}? Rename it, or map it in fairlead.toml",
        "缺少必需的列；是否就是 {near!r}？请改名，或在 fairlead.toml 中映射",
    ),
    "table.column_twice": ("duplicate column: name each column once", "列名重复：每列只能出现一次"),
    "table.not_found": ("not found in {where}", "在 {where} 中找不到"),
    "table.key_twice": ("duplicate key", "主键重复"),
    "table.key_twice_first": (
        "duplicate key ({key}), first in row {row}",
        "主键重复（{key}），首次出现在第 {row} 行",
    ),
    "table.more_rows": ("{n:,} more rows: {rule}", "另有 {n:,} 行：{rule}"),
    "table.missing": (
        "required table is missing: no {table}.csv, .parquet or .xlsx in {where}",
        "缺少必需的表：{where} 中没有 {table}.csv、.parquet 或 .xlsx",
    ),
    "table.many_files": ("more than one file: {files}; keep one", "有多个文件：{files}；请只保留一个"),
    "table.unmapped": (
        "mapped from {theirs!r}, which is no column; there are {columns}",
        "映射自 {theirs!r}，但没有这一列；现有 {columns}",
    ),
    # -- a file
    "file.kind": (
        "{file}: unknown kind of file; use .csv, .parquet or .xlsx",
        "{file}：未知的文件类型；请用 .csv、.parquet 或 .xlsx",
    ),
    "file.unread": ("{file} cannot be read: {why}", "{file} 无法读取：{why}"),
    "file.empty": ("{file} is empty; it needs at least the header", "{file} 是空的；至少要有表头"),
    "file.empty_sheet": ("the first sheet is empty; it needs at least the header", "第一张工作表是空的；至少要有表头"),
    "file.nested": (
        "{file} holds {what} in a cell; a cell takes one value",
        "{file} 的单元格里有{what}；一个单元格只能放一个值",
    ),
    "file.unreadable": ("{file} is no readable {kind} file: {why}", "{file} 不是可读的 {kind} 文件：{why}"),
    "file.binary": ("{file} is a binary file, not text", "{file} 是二进制文件，不是文本"),
    "file.encoding": ("{file} is neither UTF-8 nor GB18030 text", "{file} 既不是 UTF-8 也不是 GB18030 文本"),
    "file.header": ("{file} has no readable header: {why}", "{file} 没有可读的表头：{why}"),
    "file.cells": ("{n} cells where the header has {width}", "有 {n} 个单元格，而表头有 {width} 列"),
    "file.unsplit": (
        "cannot be split into cells ({why}); is a quotation mark left open?",
        "无法切分成单元格（{why}）；是否有引号没有闭合？",
    ),
    "file.open_quote": ("a quotation mark is opened and never closed", "引号打开后没有闭合"),
    "file.parquet": ("{file} is a Parquet file; name it .parquet", "{file} 是 Parquet 文件；请改用扩展名 .parquet"),
    "file.zip": (
        "{file} is a workbook or zip file; name it .xlsx if it is a workbook",
        "{file} 是工作簿或压缩文件；如果是工作簿，请改用扩展名 .xlsx",
    ),
    "file.gzip": ("{file} is a gzip file; unpack it", "{file} 是 gzip 压缩文件；请先解压"),
    "file.old_excel": (
        "{file} is an old Excel workbook; save it as .xlsx or CSV UTF-8",
        "{file} 是旧版 Excel 工作簿；请另存为 .xlsx 或 CSV UTF-8",
    ),
    "file.utf16": ("{file} is UTF-16 text; save it as CSV UTF-8", "{file} 是 UTF-16 文本；请另存为 CSV UTF-8"),
    "file.pdf": ("{file} is a PDF", "{file} 是 PDF 文件"),
}
