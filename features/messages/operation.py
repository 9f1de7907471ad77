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
    # -- erase
    "erase.busy": (
        (
            "rep {rep!r} has places in {week}, by which his capacity counts; "
            "enter left_on in reps and erase him once that week is over"
        ),
        "销售 {rep!r} 在 {week} 仍占用名额，当周须据此核算；请在 reps 中填写 left_on，待该周结束后再删除",
    ),
    # -- key
    "key.revoked": ("{key} is revoked.", "密钥 {key} 已吊销。"),
    "key.revoked_mark": ("revoked", "已吊销"),
    "key.role": ("role {role!r} is unknown; one of {roles}", "未知的角色 {role!r}；应为下列之一：{roles}"),
    "key.subject": (
        "a key needs a subject: the rep_id, the manager_id or team_id, or a system's name",
        "创建密钥须指明主体：rep_id、manager_id 或 team_id，或系统的名称",
    ),
    "key.unknown": (
        "no key {key!r}; `fairlead keys list` shows them",
        "没有密钥 {key!r}；`fairlead keys list` 列出全部",
    ),
    # -- log
    "log.breaks": ("the log breaks at entry {entry}: {why}", "日志在第 {entry} 条处断裂：{why}"),
    # -- release
    "release.no_spec": ("not a feature spec: {why}", "不是有效的特征定义：{why}"),
    "release.spec_version": (
        "feature spec has version {found}, this Fairlead reads {known}; train anew",
        "特征定义的版本为 {found}，本程序读取的是 {known}；请重新训练",
    ),
    "release.none_until": (
        "no promoted release knows only data up to {moment}; run: fairlead train --as-of {short}",
        "没有哪个已启用的版本只用到 {moment} 之前的数据；请运行：fairlead train --as-of {short}",
    ),
    "release.slow": (
        "release {version} did not load within {seconds} seconds; the old one stays",
        "版本 {version} 未能在 {seconds} 秒内载入；继续使用原版本",
    ),
    "release.fallback": ("{why}: routing by hard rules and least load", "{why}：按硬性规则和最小负荷分配"),
    "release.no_fit": ("no promoted release fits", "没有适用的已启用版本"),
    "release.broken": (
        "release {version} cannot be used ({why}); the old one stays",
        "版本 {version} 不能使用（{why}）；继续使用原版本",
    ),
    "log.short": ("entries are missing at the end", "末尾缺少记录"),
    "log.gap": ("entry {entry} is missing; the next is {next}", "缺少第 {entry} 条；下一条是第 {next} 条"),
    "log.order": ("the entry does not follow the one before it", "该条与前一条不相衔接"),
    "log.changed": ("the entry was changed", "该条被改动过"),
    "log.gone": ("the payload is gone without a logged erasure", "内容已不存在，却没有删除记录"),
    "log.payload_changed": ("the payload was changed", "内容被改动过"),
    "log.whole": (
        "The log is whole: {n} entries, head {head}.",
        "日志完整：共 {n} 条，末条哈希 {head}。",
    ),
    # -- what SQLite says
    "sqlite.full": ("database or disk is full", "磁盘已满"),
    "sqlite.disk": ("disk I/O error", "磁盘读写出错"),
    "sqlite.closed": ("unable to open database file", "无法打开数据库文件"),
    "sqlite.read_only": ("attempt to write a readonly database", "数据库只读，无法写入"),
    "sqlite.foreign": ("file is not a database", "该文件不是数据库"),
    "sqlite.malformed": ("database disk image is malformed", "数据库文件已损坏"),
    # -- store
    "store.waited": (
        "the store was busy for {seconds:g} seconds; try again",
        "数据库已持续繁忙 {seconds:g} 秒；请重试",
    ),
    "store.copy_there": (
        "{path} is there already; a copy never writes over anything",
        "{path} 已经存在；备份绝不覆盖任何文件",
    ),
    "store.reader": (
        "a reader still sees the store as it was before; run the same command again later",
        "仍有读取方在使用数据库的旧状态；请稍后再次运行同一命令",
    ),
    "store.no_url": (
        "the store's URL cannot be read; write sqlite:///PATH or postgresql://...",
        "数据库的 URL 无法识别；请写成 sqlite:///PATH 或 postgresql://...",
    ),
    "store.in_memory": (
        "the store must outlive the process; write sqlite:///PATH",
        "数据库须在进程结束后仍然存在；请写成 sqlite:///PATH",
    ),
    "store.backend": (
        "the store cannot be kept in {kind}; use SQLite or PostgreSQL",
        "数据库不能放在 {kind} 中；请用 SQLite 或 PostgreSQL",
    ),
    "store.no_folder": ("the store's folder cannot be made: {why}", "无法创建数据库所在的文件夹：{why}"),
    "store.no_wal": (
        "the store's file system cannot share memory between processes (WAL)",
        "数据库所在的文件系统不支持进程间共享内存（WAL）",
    ),
    "store.connections": ("all connections to the store are in use; try again", "数据库的连接已全部占用；请重试"),
    "store.busy": ("the store is busy; try again", "数据库繁忙；请重试"),
    "store.unusable": ("the store cannot be used: {why}", "数据库无法使用：{why}"),
    "store.refused": ("the store refused a statement: {why}", "数据库拒绝了一条语句：{why}"),
    "store.version": (
        "the store has schema version {found}, this Fairlead knows {known}; install the newer Fairlead",
        "数据库的结构版本为 {found}，本程序只认识 {known}；请安装更新的 Fairlead",
    ),
    "store.no_object": (
        "the store holds JSON that is no object where it should be one",
        "数据库中应为 JSON 对象的内容并非对象",
    ),
    "store.no_list": (
        "the store holds JSON that is no list where it should be one",
        "数据库中应为 JSON 列表的内容并非列表",
    ),
}
