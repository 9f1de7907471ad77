"""Words of settings, sources of tables, and options of commands: (English, Chinese) by code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SETTINGS: Final[Mapping[str, tuple[str, str]]] = {
    # -- demo
    "demo.not_empty": (
        "{folder} holds other files; name an empty folder with --out",
        "{folder} 中有其他文件；请用 --out 指定一个空文件夹",
    ),
    # -- rows
    "rows.no_table": ("no table {table!r}; the tables are {tables}", "没有表 {table!r}；可用的表：{tables}"),
    "rows.no_leads_file": ("{path}: no such file of leads", "{path}：没有这个线索文件"),
    "rows.no_events_file": ("{path}: no such file of events", "{path}：没有这个事件文件"),
    "rows.file_kind": ("{path}: unknown kind of file; use {kinds}", "{path}：未知的文件类型；请用 {kinds}"),
    "rows.which_table": (
        "say with --table of which table the rows of {path} are: {tables}",
        "请用 --table 说明 {path} 的数据行属于哪个表：{tables}",
    ),
    # -- settings
    "settings.no_file": ("{path}: no such settings file", "{path}：没有这个配置文件"),
    "settings.unread": ("{path} cannot be read: {why}", "{path} 无法读取：{why}"),
    "settings.no_toml": ("{path} is no valid TOML: {why}", "{path} 不是有效的 TOML：{why}"),
    "settings.share": (
        "[routing] {name}: found {found}, expected a share between 0 and 1",
        "[routing] {name}：现为 {found}，应为 0 至 1 之间的比例",
    ),
    "settings.from_zero": (
        "[routing] {name}: found {found}, expected 0 or more",
        "[routing] {name}：现为 {found}，应不小于 0",
    ),
    "settings.measure": (
        "[measures.{measure}]: reps.{column} holds no {unknown}",
        "[measures.{measure}]：reps.{column} 中没有 {unknown}",
    ),
    # -- source
    "source.no_folder": ("{folder}: no such data folder", "{folder}：没有这个数据文件夹"),
    "source.no_data": (
        "no data: give --data DIR, or map the tables in fairlead.toml",
        "没有数据：请用 --data DIR 指定文件夹，或在 fairlead.toml 中映射各表",
    ),
    "source.left_out": (
        "[tables.{table}] left_out must return rows of a reason and a number of rows",
        "[tables.{table}] left_out 每行应返回原因和行数",
    ),
    "source.no_mapped_file": (
        "[tables.{table}] file {file!r} is not in {where}",
        "[tables.{table}] 在下列位置都找不到文件 {file!r}：{where}",
    ),
    "source.no_folder_for": (
        "[tables.{table}] file {file!r} is not in any folder",
        "[tables.{table}] 没有可以查找文件 {file!r} 的文件夹",
    ),
    "source.nor": ("{one} nor in {other}", "{one}、{other}"),
    "source.both": ("{one}; {other}", "{one}；{other}"),
    "source.no_place": (
        "[tables.{table}] query needs a data folder (--data DIR) or a database",
        "[tables.{table}] query 需要数据文件夹（--data DIR）或 database",
    ),
    "source.one_select": ("[tables.{table}] query must be one SELECT", "[tables.{table}] query 应为一条 SELECT"),
    "source.query_fails": ("[tables.{table}] query fails: {why}", "[tables.{table}] query 执行失败：{why}"),
    "source.nested": (
        "[tables.{table}] query returns {what} in a cell; select single values",
        "[tables.{table}] query 的单元格里返回了{what}；请只选取单个值",
    ),
    "source.file_faults": (
        "[tables.{table}] query reads {file}: {faults}",
        "[tables.{table}] query 所读的 {file} 有错误：{faults}",
    ),
    "source.no_url": (
        "[tables.{table}] database is no URL that can be opened; write postgresql://user@host/base or sqlite:///file.db",
        "[tables.{table}] database 不是可以打开的 URL；请写成 postgresql://user@host/base 或 sqlite:///file.db",
    ),
    "source.database": ("[tables.{table}] {url}: {why}", "[tables.{table}] 数据库 {url}：{why}"),
    "source.no_database": (
        "[tables.{table}] database file {file!r} does not exist",
        "[tables.{table}] 数据库文件 {file!r} 不存在",
    ),
    # -- usage
    "usage.wrong": ("{why} (help: {command} --help)", "用法有误：{why}（帮助：{command} --help）"),
    "usage.missing": ("{what} is missing", "缺少 {what}"),
    "usage.no_option": ("no such option: {what}", "没有选项 {what}"),
    "usage.no_command": ("no such command: {what}", "没有命令 {what}"),
    "usage.extra": ("unexpected: {what}", "多余的参数：{what}"),
    "usage.needs_value": ("{what} needs a value", "{what} 须带值"),
    "usage.no_value": ("{what} takes no value", "{what} 不带值"),
    "usage.value": ("{what}: {why}", "{what}：{why}"),
    "usage.promote": ("write never, gate or force", "请写 never、gate 或 force"),
    "usage.promote_reason": ("say why with --reason", "请用 --reason 说明原因"),
    "usage.level": ("write rep, team or company", "请写 rep、team 或 company"),
    "usage.against": ("write peers or top", "请写 peers 或 top"),
    "usage.lever": ("give one of --lever and --result", "--lever 与 --result 须给出其一，且只能给出其一"),
    "usage.lead_or_rep": ("give one of --lead and --rep", "--lead 与 --rep 须给出其一，且只能给出其一"),
    "usage.why": ("say why", "请说明原因"),
    "usage.lang": ("--lang {lang!r}: write en or zh", "--lang {lang!r}：请写 en 或 zh"),
    "usage.no_data": (
        "name the folder of tables with --data DIR, or map them in fairlead.toml",
        "请用 --data DIR 指定数据表所在的文件夹，或在 fairlead.toml 中映射各表",
    ),
    "usage.no_event": (
        "the tables hold no event, so there is no moment to work at; give one with --as-of",
        "数据表中没有任何事件，因此没有可用的时点；请用 --as-of 给出",
    ),
    "usage.moment": (
        "{option} {text!r}: write a date as 2026-06-30 or a time as 2026-06-30T14:00",
        "{option} {text!r}：请写日期，如 2026-06-30，或时间，如 2026-06-30T14:00",
    ),
    # -- what a setting must be
    "settings.mistakes": ("{path}: {n} mistake(s):\n  {lines}", "{path}：有 {n} 处错误：\n  {lines}"),
    "settings.lines": ("{above}\n  {below}", "{above}\n  {below}"),
    "settings.section": ("section [{name}]", "配置节 [{name}]"),
    "settings.unknown": ("{what} is unknown; legal are {names}", "{what} 无法识别；可用的有：{names}"),
    "settings.unknown_near": ("{what} is unknown; did you mean {near!r}?", "{what} 无法识别；是否应为 {near!r}？"),
    "settings.no_section": ("[{name}] must be a section, found {found}", "[{name}] 应为配置节，现为 {found}"),
    "settings.must": ("[{section}] {key} must be {must}", "[{section}] {key} 应为{must}"),
    "settings.must_found": (
        "[{section}] {key} must be {must}, found {found}",
        "[{section}] {key} 应为{must}，现为 {found}",
    ),
    "settings.shares": (
        "[routing] exploration and holdout are shares of one whole; together they exceed 1",
        "[routing] exploration 与 holdout 同为一个整体中的占比，合计不得超过 1",
    ),
    "settings.move_hours": (
        "[routing] move_uncontacted_hours must be at least contact_hours ({least:g}), found {found:g}",
        "[routing] move_uncontacted_hours 不得小于 contact_hours（{least:g}），现为 {found:g}",
    ),
    "settings.sections": (
        "[{name}] must hold sections such as [{name}.{example}]",
        "[{name}] 应由 [{name}.{example}] 这样的配置节组成",
    ),
    "settings.sections_found": (
        "[{name}] must hold sections such as [{name}.{example}], found {found}",
        "[{name}] 应由 [{name}.{example}] 这样的配置节组成，现为 {found}",
    ),
    "settings.webhook_name": (
        "[webhooks.{name}] is no name: write small letters, digits, - and _, at most 40",
        "[webhooks.{name}] 的名称无效：请用小写字母、数字、- 和 _，最多 40 个字符",
    ),
    "settings.webhook_url": ("[webhooks.{name}] needs a url", "[webhooks.{name}] 需要 url"),
    "settings.measure_ways": (
        "[measures.{name}] has {ways}; keep one",
        "[measures.{name}] 同时有 {ways}；请只保留一个",
    ),
    "settings.and": ("{one} and {other}", "{one} 和 {other}"),
    "settings.measure_way": (
        "[measures.{name}] needs starts_on, [[measures.{name}.rounds]] or pilot",
        "[measures.{name}] 需要 starts_on、[[measures.{name}.rounds]] 或 pilot",
    ),
    "settings.measure_whom": (
        "[measures.{name}] teams and reps belong beside a starts_on",
        "[measures.{name}] teams 和 reps 只能与 starts_on 一起使用",
    ),
    "settings.round_start": (
        "[[measures.{name}.rounds]] needs starts_on, a date such as 2026-03-01",
        "[[measures.{name}.rounds]] 需要 starts_on，即 2026-03-01 这样的日期",
    ),
    "settings.file_and_query": (
        "[tables.{name}] has both file and query; keep one",
        "[tables.{name}] 同时有 file 和 query；请只保留一个",
    ),
    "settings.database_alone": ("[tables.{name}] database needs a query", "[tables.{name}] 有 database 时须有 query"),
    "settings.left_out_alone": (
        "[tables.{name}] left_out needs a query: it counts the rows that the query leaves out",
        "[tables.{name}] 有 left_out 时须有 query：left_out 统计的是 query 略去的行",
    ),
    "settings.empty_table": (
        "[tables.{name}] needs a file, a query or columns",
        "[tables.{name}] 需要 file、query 或 columns",
    ),
    "must.text": ("a text", "文本"),
    "must.flag": ("true or false", " true 或 false"),
    "must.account_rule": ('true or false, or "live"', ' true、false 或 "live"'),
    "must.zone": ("a time zone such as Asia/Shanghai or UTC", "时区，例如 Asia/Shanghai 或 UTC"),
    "must.either": ("{one!r} or {other!r}", " {one!r} 或 {other!r}"),
    "must.whole": ("a whole number from {least} to {most:,}", " {least} 至 {most:,} 的整数"),
    "must.number_from": ("a number from {least:g} to {most:g}", " {least:g} 至 {most:g} 的数"),
    "must.number_above": ("a number above {above:g} to {most:g}", "大于 {above:g} 且不超过 {most:g} 的数"),
    "must.texts": ("a list of texts, each once", "文本列表，且各项不重复"),
    "must.renaming": ("{pattern}", " {pattern} 的形式"),
    "must.day": ("a date such as 2026-03-01", "日期，例如 2026-03-01"),
    "must.day_only": ("a date such as 2026-03-01, without a time", "不带时间的日期，例如 2026-03-01"),
    "must.rounds": (
        "sections [[measures.NAME.rounds]], each with starts_on",
        "若干 [[measures.NAME.rounds]] 配置节，每节都有 starts_on",
    ),
    "must.endpoint": (
        "an https:// address, or http:// on this machine, without a user or a fragment",
        " https:// 地址，本机也可用 http://；不得带用户名或 # 片段",
    ),
    "must.kinds": ("of {names}", "以下类型（{names}）"),
    "must.secret": ("a text of at least 16 characters", "至少 16 个字符的文本"),
    # -- what the system says
    "system.refused": ("{why}: {file}", "{why}：{file}"),
    "system.not_there": ("No such file or directory", "没有这个文件或文件夹"),
    "system.denied": ("Permission denied", "没有权限"),
    "system.not_allowed": ("Operation not permitted", "不允许此操作"),
    "system.is_folder": ("Is a directory", "这是文件夹，不是文件"),
    "system.no_folder": ("Not a directory", "不是文件夹"),
    "system.read_only": ("Read-only file system", "文件系统只读"),
    "system.full": ("No space left on device", "磁盘空间不足"),
    # -- what commands say on the way
    "synth.done": (
        "Wrote {reps} reps and {months} months into {folder}; truth.json holds what is true in it.",
        "已在 {folder} 中生成 {reps} 名销售、{months} 个月的数据；truth.json 记载其中的真实参数。",
    ),
    "dataset.rows": ("{path}: {n:,} rows", "{path}：{n:,} 行"),
    "demo.tables": (
        "1/7  Tables of {reps} reps and {months} months, with known truth",
        "1/7  生成 {reps} 名销售、{months} 个月的数据表，真实参数已知",
    ),
    "demo.training": (
        "2/7  Datasets, models, backtest, release (logged in MLflow)",
        "2/7  数据集、模型、回测、版本（记录在 MLflow 中）",
    ),
    "demo.routing": ("3/7  Routing {n} leads of the week after", "3/7  分配其后一周的 {n} 条线索"),
    "demo.forecast": ("4/7  Forecast for reps, teams and the company", "4/7  销售、团队和公司的业绩预测"),
    "demo.warnings": ("5/7  Early warnings", "5/7  预警"),
    "demo.report": ("6/7  Driver report in both languages", "6/7  中英文驱动因素报告"),
    "demo.replay": ("7/7  Replay of eight weeks under rival policies", "7/7  用不同策略回放最近八周"),
    "demo.done": (
        "Done. Open {file} in a browser; then try it live:",
        "已完成。请在浏览器中打开 {file}；然后可以实际试用：",
    ),
    "serve.where": (
        "Fairlead on http://{host}:{port}/  (interface at /docs, stop with Ctrl-C)",
        "Fairlead 运行在 http://{host}:{port}/  （接口文档见 /docs，按 Ctrl-C 停止）",
    ),
    "serve.open": (
        "No API key is set: every caller on this machine has all rights. Add one with: fairlead keys add",
        "尚未设置 API 密钥：本机的任何调用方都拥有全部权限。添加密钥：fairlead keys add",
    ),
    "serve.no_release": (
        "No promoted release fits these tables: routing by hard rules and least load. Run: fairlead train",
        "没有适用于这些数据表的已启用版本：按硬性规则和最小负荷分配。请运行：fairlead train",
    ),
    "progress.datasets": ("datasets", "数据集"),
    "progress.win_probability": ("win probability", "成交概率"),
    "progress.backtest": ("forecast backtest and effects", "预测回测和措施效果"),
    "progress.origin": ("  from {day}", "  自 {day} 起"),
    "progress.release": ("release", "版本"),
    "progress.gate": ("gate", "门槛检查"),
    "progress.registry": ("registry", "登记"),
    "progress.tuning": ("tuning", "调参"),
    "progress.trials": ("  {done} of {n} trials", "  已完成 {done}/{n} 次试验"),
    "progress.training_before": ("training on what was known before", "用此前已知的数据训练"),
    "progress.replaying": ("replaying", "回放"),
    "progress.row": ("{table}: row {row:,}", "{table}：第 {row:,} 行"),
}
