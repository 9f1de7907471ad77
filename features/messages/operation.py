"""Words of releases, rollback, backup and webhooks: (English, Chinese) by code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OPERATION: Final[Mapping[str, tuple[str, str]]] = {
    # -- releases
    "release.no_part": ("release {version} has no part {part!r}", "版本 {version} 缺少部分 {part!r}"),
    "release.no_manifest": (
        "release {version}: manifest.json is missing or unreadable",
        "版本 {version}：manifest.json 缺失或无法读取",
    ),
    "release.format": (
        "release {version} has format {found}; this Fairlead reads {known}",
        "版本 {version} 的格式为 {found}；本程序读取 {known}",
    ),
    "release.manifest_changed": (
        "release {version}: manifest.json was changed after it was written",
        "版本 {version}：manifest.json 写入之后被改动过",
    ),
    "release.file_missing": ("release {version}: {file} is missing", "版本 {version}：缺少 {file}"),
    "release.file_differs": (
        "release {version}: {file} differs from its SHA-256 in the manifest",
        "版本 {version}：{file} 与清单中的 SHA-256 不符",
    ),
    "release.record_line": (
        "{path}: line {line} is no promotion; mend or remove it",
        "{path}：第 {line} 行不是启用记录；请改正或删除",
    ),
    "release.champion_unreadable": (
        "{path}: no readable manifest.json tells which release this is",
        "{path}：没有可读的 manifest.json 说明这是哪个版本",
    ),
    "release.none": (
        "as of {moment} no release has been promoted yet; run: fairlead train --as-of {short}",
        "截至 {moment} 尚未启用任何版本；请运行：fairlead train --as-of {short}",
    ),
    "release.all_later": (
        "as of {moment} every promoted release has seen later data; run: fairlead train --as-of {short}",
        "截至 {moment}，所有已启用的版本都用到了更晚的数据；请运行：fairlead train --as-of {short}",
    ),
    "rollback.nothing": (
        "there is no earlier promoted release to go back to",
        "没有更早启用过的版本可以回退",
    ),
    "rollback.done": ("Champion is {version} again.", "在用版本已回退为 {version}。"),
    # -- the store
    "backup.broken": (
        "{path}: the log of the copy breaks at entry {entry}: {why}",
        "{path}：副本的日志在第 {entry} 条处断裂：{why}",
    ),
    "backup.done": (
        "{path}: {n} log entries, head {head}. Keep the head apart from the copy.",
        "{path}：共 {n} 条日志，末条哈希 {head}。请把该哈希与副本分开保存。",
    ),
}
