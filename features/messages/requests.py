"""Words of requests that cannot be answered, and of what senders of webhooks got wrong: (English, Chinese) by code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

REQUESTS: Final[Mapping[str, tuple[str, str]]] = {
    # -- faults as lines
    "fault.whole": ("{where}: {rule}", "{where}：{rule}"),
    "fault.whole_found": ("{where}: found {value!r}; {rule}", "{where}：内容为 {value!r}；{rule}"),
    "fault.row": ("{where} row {row}: found {value!r}; {rule}", "{where} 第 {row} 行：内容为 {value!r}；{rule}"),
    "faults.title": ("{n} fault(s) in the tables:", "表中有 {n} 处错误："),
    "faults.more": ("  ... and {n} more (--json lists all)", "  …… 另有 {n} 处（--json 列出全部）"),
    "faults.rows": ("{n} fault(s) in the rows; first: {first}", "数据行中有 {n} 处错误；第一处：{first}"),
    "faults.rows_none": ("{n} fault(s) in the rows", "数据行中有 {n} 处错误"),
    # -- people, leads, warnings
    "unknown.lead": ("no decision about lead {lead!r} is on record", "没有关于线索 {lead!r} 的分配记录"),
    "unknown.rep": ("the tables know no rep {rep!r}", "数据表中没有销售 {rep!r}"),
    "unknown.rep_forecast": ("no forecast for rep {rep!r}", "没有销售 {rep!r} 的预测"),
    "unknown.warning": (
        "no warning {warning!r}; GET /v1/warnings lists them",
        "没有预警 {warning!r}；GET /v1/warnings 列出全部",
    ),
    "override.left": (
        "rep {rep} has left; nobody can be given a lead after leaving",
        "销售 {rep} 已离职，不能再分配线索",
    ),
    "override.not_sales": ("rep {rep} is not in sales, or not hired yet", "{rep} 不在销售部门，或尚未入职"),
    "override.full": (
        'rep {rep} has {used} of {capacity} places of {week} taken; send "force": true to go over it',
        '销售 {rep} 在 {week} 的 {capacity} 个名额已用 {used} 个；发送 "force": true 可以超出',
    ),
    "scope.not_his_team": ("{rep} is not of this manager's team", "{rep} 不在该主管的团队中"),
    "scope.own_only": ("a rep sees his own figures only", "销售只能查看自己的数据"),
    "scope.own_page": ("a rep reads his own part on his page", "销售请在本人页面查看自己的部分"),
    "scope.outside": (
        "the figures of {level} {of} are outside this key's scope",
        "{level} {of} 的数据不在该密钥的权限范围内",
    ),
    "scope.outside_level": (
        "the figures of {level} are outside this key's scope",
        "{level} 的数据不在该密钥的权限范围内",
    ),
    "scope.role": ("the role {role} has no right to that", "角色 {role} 无此权限"),
    # -- forms and addresses of pages
    "form.stale": (
        "the form is too old or was not made for you; load the page again and send it once more",
        "表单已过期或不是为您生成的；请重新打开页面再提交一次",
    ),
    "form.other_site": ("this request comes from a page of another site", "该请求来自其他网站的页面"),
    "form.kind": (
        "a form is sent as application/x-www-form-urlencoded",
        "表单须以 application/x-www-form-urlencoded 发送",
    ),
    "form.field": (
        "a field holds NUL or more than {longest:,} characters",
        "某个字段含有 NUL 字符，或超过 {longest:,} 个字符",
    ),
    "asked.on": ("on is 0 or 1", "on 应为 0 或 1"),
    "asked.level": ("level is one of {levels}", "level 应为下列之一：{levels}"),
    "asked.from_forecasts": ("from is the number of forecasts to pass over", "from 是要跳过的预测条数"),
    "asked.from_warnings": ("from is the number of warnings to pass over", "from 是要跳过的预警条数"),
    "asked.status": ("status is assigned or held", "status 应为 assigned 或 held"),
    "asked.day": ("the day is not one; write it like 2026-02-09", "日期无效；请写成 2026-02-09 的形式"),
    "asked.month": ("month is not one; write YYYY-MM", "月份无效；请写成 YYYY-MM"),
    "asked.forecast_month": (
        "month {month}: there are forecasts for {months}",
        "月份 {month}：只有下列月份的预测：{months}",
    ),
    "asked.no_month": ("no month", "无"),
    "calls.too_many": ("this caller has called too often; wait a little", "调用过于频繁，请稍后再试"),
    "calls.too_many_wrong": (
        "too many wrong keys or signatures came; wait, then try again",
        "错误的密钥或签名过多；请稍候再试",
    ),
    # -- webhooks
    "hook.object": ("a message is an object with type and data", "消息应为含 type 和 data 的对象"),
    "hook.row": (
        "is a row as an object, or a list of 1 to {most} of them",
        "应为一行数据（对象），或由 1 至 {most} 行组成的列表",
    ),
    "hook.events": ("is a list of 1 to {most} events", "应为 1 至 {most} 个事件的列表"),
    "hook.event": ("an event is an object", "事件应为对象"),
    "hook.subscription": (
        "is neither creation nor propertyChange of a contact, lead or deal",
        "既不是联系人、线索或商机的 creation，也不是其 propertyChange",
    ),
    "hook.record_number": ("is the number of a record", "应为记录的编号"),
    "hook.milliseconds": ("is a time in milliseconds since 1970", "应为自 1970 年起的毫秒数"),
    "hook.missing": ("is missing", "缺失"),
    "hook.event_id_missing": ("is missing; by it a repeated event is known", "缺失；重复的事件靠它识别"),
    "hook.notifications": ("a message holds 1 to {most} of them", "一条消息应含 1 至 {most} 个"),
    "hook.notification_id": (
        "a notification has an Id of at most 100 characters",
        "每个 Notification 都应有不超过 100 个字符的 Id",
    ),
    "hook.encoding": ("the body is not UTF-8", "正文不是 UTF-8 编码"),
    "hook.doctype": ("a message has no doctype and no CDATA", "消息不得含 DOCTYPE 或 CDATA"),
    "hook.depth": ("the body is nested deeper than {most} levels", "正文的嵌套超过 {most} 层"),
    "hook.xml": ("the body is no well-formed XML", "正文不是格式良好的 XML"),
    "hook.ids": ("is a list of 1 to {most} ids", "应为 1 至 {most} 个 id 的列表"),
    "hook.change": ("is neither CREATE nor UPDATE", "既不是 CREATE 也不是 UPDATE"),
    "hook.is_won": ("a closed opportunity says whether it is won", "已关闭的商机应说明是否赢单"),
    "hook.no_secret": (
        "no secret is set for {name}: [incoming.{name}] secret, or FAIRLEAD_INCOMING_SECRET_…",
        "尚未为 {name} 设置密钥：请配置 [incoming.{name}] secret，或环境变量 FAIRLEAD_INCOMING_SECRET_…",
    ),
    "hook.bytes": ("a webhook may have {most:,} bytes", "webhook 正文最多 {most:,} 字节"),
}
