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
    "level.rep": ("rep", "销售"),
    "level.team": ("team", "团队"),
    "level.company": ("company", "公司"),
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
    "hook.encoding": ("the body is not UTF-8", "请求体不是 UTF-8 编码"),
    "hook.doctype": ("a message has no doctype and no CDATA", "消息不得含 DOCTYPE 或 CDATA"),
    "hook.depth": ("the body is nested deeper than {most} levels", "请求体的嵌套超过 {most} 层"),
    "hook.xml": ("the body is no well-formed XML", "请求体不是格式良好的 XML"),
    "hook.ids": ("is a list of 1 to {most} ids", "应为 1 至 {most} 个 id 的列表"),
    "hook.change": ("is neither CREATE nor UPDATE", "既不是 CREATE 也不是 UPDATE"),
    "hook.is_won": ("a closed opportunity says whether it is won", "已关闭的商机应说明是否成交"),
    "hook.no_secret": (
        "no secret is set for {name}: [incoming.{name}] secret, or FAIRLEAD_INCOMING_SECRET_…",
        "尚未为 {name} 设置密钥：请配置 [incoming.{name}] secret，或环境变量 FAIRLEAD_INCOMING_SECRET_…",
    ),
    "hook.bytes": ("a webhook may have {most:,} bytes", "webhook 请求体最多 {most:,} 字节"),
    # -- asked
    "asked.what_if_numbers": (
        "a what-if takes finite numbers from 0 up, and a follow-up ratio above 0",
        "假设情形只接受不小于 0 的有限数值，且跟进倍数须大于 0",
    ),
    "asked.what_if_reps": (
        "a what-if names reps that the forecast does not know: {reps}",
        "假设情形中含有预测范围之外的销售：{reps}",
    ),
    "asked.month_of": (
        "month {month!r}: as of {day} there are forecasts for {months}",
        "月份 {month!r}：截至 {day}，只有下列月份的预测：{months}",
    ),
    "asked.month_text": ("{month!r} is not a month; write YYYY-MM", "{month!r} 不是月份；请写成 YYYY-MM"),
    "asked.moment": (
        "{name} is not an ISO 8601 date or time, like 2026-02-09T09:17:00+08:00",
        "{name} 不是 ISO 8601 日期或时间，例如 2026-02-09T09:17:00+08:00",
    ),
    "asked.moment_range": ("{name} lies outside 1970 to 2199", "{name} 不在 1970 年至 2199 年之间"),
    "asked.nul": ("NUL is no text", "NUL 不是文本"),
    "asked.cursor": ("cursor is not one that this service gave", "cursor 不是本服务给出的"),
    "asked.what_if_id": ("id: a what-if at level {level} names one {one}", "id：level 为 {level} 时，须指明一个{one}"),
    # -- body
    "body.bytes": (
        "a body may have {most:,} bytes; send the rows in parts",
        "请求体最多 {most:,} 字节；请把数据行分批发送",
    ),
    "body.not_finite": (
        "{found} is not a number that JSON knows; send null or leave the field out",
        "{found} 不是 JSON 的数字；请发送 null，或省略该字段",
    ),
    "body.too_large_number": ("a number is too large to be finite", "数字过大，不是有限值"),
    "body.depth": ("the body is nested deeper than {most} levels", "请求体的嵌套超过 {most} 层"),
    "body.no_text": (
        "a text holds NUL or half a surrogate pair, which is no text",
        "某个文本含有 NUL 字符或半个代理对，不是有效文本",
    ),
    "body.no_utf8": ("the body is not UTF-8 (byte {byte})", "请求体不是 UTF-8 编码（第 {byte} 字节）"),
    "body.no_json": (
        "the body is not JSON: {why} at line {line}, column {column}",
        "请求体不是有效的 JSON：第 {line} 行第 {column} 列，{why}",
    ),
    "body.digits": ("a number has more digits than a double can hold", "某个数字的位数超出双精度浮点数的范围"),
    "body.content_type": (
        "send the body as application/json (Content-Type)",
        "请以 application/json 发送请求体（Content-Type）",
    ),
    # -- calls
    "calls.failed": (
        "the request was not answered; the log tells why under this request_id",
        "请求未能完成；可在日志中按此 request_id 查找原因",
    ),
    "calls.no_key": (
        "send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`",
        "请以 `Authorization: Bearer KEY` 或 `X-API-Key: KEY` 发送密钥",
    ),
    # -- groups
    "groups.unread": ("{path}: the groups file cannot be read: {why}", "{path}：群体文件无法读取：{why}"),
    "groups.no_text": ("{path}: the groups file is not UTF-8 text", "{path}：群体文件不是 UTF-8 文本"),
    "groups.no_csv": ("{path}: the groups file is no CSV: {why}", "{path}：无法按 CSV 读取：{why}"),
    "groups.columns": (
        "{path}: the groups file needs the column rep_id and at least one group column",
        "{path}：需要 rep_id 列和至少一个群体列",
    ),
    "groups.names": (
        "{path}: each column needs a name of its own, found {names}",
        "{path}：每列都要有列名，且不得重复；现有列名：{names}",
    ),
    "groups.width": (
        "{path}: row {row} has {n} cells, the heading {width}",
        "{path}：第 {row} 行有 {n} 个单元格，而表头有 {width} 列",
    ),
    "groups.rep": (
        "{path}: row {row}, rep_id {rep!r}: each rep once, none empty",
        "{path}：第 {row} 行，rep_id {rep!r}：每名销售只能出现一次，且不能为空",
    ),
    "groups.day": ("{day} is not a date; write YYYY-MM-DD", "{day} 不是日期；请写成 YYYY-MM-DD"),
    "groups.no_decision": (
        "no automated decision stands in the period; nothing can be compared",
        "该期间没有自动分配，无法比较",
    ),
    "groups.too_many": (
        "{path}: column {column} holds more than {most} groups; band its values",
        "{path}：{column} 列的群体超过 {most} 个；请合并取值",
    ),
    "groups.is_feature": (
        (
            "{path}: column {column} is a feature of the models already; an attribute given for this audit must never "
            "be one. Rename the column, or take it out of leads with [leads] ignore and train anew"
        ),
        (
            "{path}：{column} 列已是模型的特征，而用于本次核查的属性不得作为特征。"
            "请更改列名，或用 [leads] ignore 将该列排除后重新训练"
        ),
    ),
    # -- hook
    "hook.secret_missing": (
        "{section} has no secret; set {variable}, or secret = in the settings",
        "{section} 没有密钥；请设置环境变量 {variable}，或在配置中写 secret =",
    ),
    "hook.secret_short": ("{section}: a secret has at least {least} bytes", "{section}：密钥至少 {least} 字节"),
    "hook.secret_base64": (
        "{section}: a secret that begins with whsec_ goes on in base64",
        "{section}：以 whsec_ 开头的密钥，其后须为 base64",
    ),
    # -- open
    "open.loopback": (
        "without an API key this service answers to loopback only",
        "未设置 API 密钥时，本服务只接受本机访问",
    ),
    "open.bind": (
        (
            "without an API key the service answers everybody with all rights, so it listens on loopback only, not on "
            "{host!r}; make a key first (fairlead keys add) or use --host 127.0.0.1"
        ),
        (
            "未设置 API 密钥时，任何调用方都拥有全部权限，因此服务只监听本机，不能监听 {host!r}；"
            "请先创建密钥（fairlead keys add），或使用 --host 127.0.0.1"
        ),
    ),
    "open.localhost": (
        "without an API key this service answers to localhost only",
        "未设置 API 密钥时，本服务只接受以 localhost 访问",
    ),
    # -- overdue
    "overdue.not_allowed": (
        "leads are moved only where [routing] move_uncontacted_hours is set in fairlead.toml; it is not",
        "只有在 fairlead.toml 中设置 [routing] move_uncontacted_hours 之后才会改派线索；目前尚未设置",
    ),
    # -- signature
    "signature.standard_headers": (
        "the headers webhook-id, webhook-timestamp and webhook-signature are all needed",
        "须同时发送请求头 webhook-id、webhook-timestamp 和 webhook-signature",
    ),
    "signature.message_id": (
        "webhook-id has more than 200 characters, or others than ASCII",
        "webhook-id 超过 200 个字符，或含有 ASCII 以外的字符",
    ),
    "signature.standard": (
        "webhook-signature does not fit the body and the secret",
        "webhook-signature 与请求体和密钥不符",
    ),
    "signature.hubspot_headers": (
        "the headers X-HubSpot-Signature-v3 and X-HubSpot-Request-Timestamp are both needed",
        "须同时发送请求头 X-HubSpot-Signature-v3 和 X-HubSpot-Request-Timestamp",
    ),
    "signature.hubspot": (
        "X-HubSpot-Signature-v3 does not fit method, address, body, time and secret",
        "X-HubSpot-Signature-v3 与方法、地址、请求体、时间和密钥不符",
    ),
    "signature.shared": (
        "the shared secret is missing or wrong: send it as X-Fairlead-Secret, or as ?key=",
        "共享密钥缺失或有误：请以 X-Fairlead-Secret 或 ?key= 发送",
    ),
    "signature.no_time": ("{header} is no Unix time", "{header} 不是 Unix 时间"),
    "signature.old": ("{header} is more than five minutes from now", "{header} 与当前时间相差超过五分钟"),
    # -- unknown
    "unknown.level_drivers": ("no drivers for {level} {of!r}", "没有{level} {of!r} 的驱动因素"),
    "unknown.level_forecast": ("no forecast for {level} {of!r}", "没有{level} {of!r} 的预测"),
    "unknown.lead_or_event": (
        "no decision about lead {lead!r} is on record, nor any event",
        "没有关于线索 {lead!r} 的分配记录，也没有相关事件",
    ),
    "unknown.rep_store": ("the store says nothing about rep {rep!r}", "数据库中没有关于销售 {rep!r} 的任何内容"),
    # -- what a body of JSON lacks; English as Python's parser says it
    "json.value": ("Expecting value", "此处应有一个值"),
    "json.name": ("Expecting property name enclosed in double quotes", "此处应有用双引号括起的名称"),
    "json.colon": ("Expecting ':' delimiter", "此处应有冒号"),
    "json.comma": ("Expecting ',' delimiter", "此处应有逗号"),
    "json.extra": ("Extra data", "JSON 结束之后还有内容"),
    "json.open_text": ("Unterminated string starting at", "由此开始的字符串没有结束"),
    "json.control": ("Invalid control character at", "此处有不允许的控制字符"),
    "json.escape": ("Invalid \\escape", "此处的转义无效"),
    "json.unicode": ("Invalid \\uXXXX escape", "此处的 \\uXXXX 转义无效"),
    # -- where a field stands
    "place.body": ("body", "请求体"),
    "place.query": ("query", "查询参数"),
    "place.path": ("path", "地址"),
    "place.header": ("header", "请求头"),
    "place.field": ("{place} {field}", "{place} {field}"),
    # -- a field, by pydantic's type of error
    "field.missing": ("Field required", "缺少该字段"),
    "field.extra_forbidden": ("Extra inputs are not permitted", "不接受该字段"),
    "field.string_type": ("Input should be a valid string", "应为字符串"),
    "field.string_too_short": ("String should have at least {min_length} characters", "至少 {min_length} 个字符"),
    "field.string_too_long": ("String should have at most {max_length} characters", "最多 {max_length} 个字符"),
    "field.bool_type": ("Input should be a valid boolean", "应为布尔值"),
    "field.bool_parsing": ("Input should be a valid boolean", "应为布尔值"),
    "field.int_type": ("Input should be a valid integer", "应为整数"),
    "field.int_parsing": ("Input should be a valid integer", "应为整数"),
    "field.int_from_float": ("Input should be a valid integer", "应为整数"),
    "field.float_type": ("Input should be a valid number", "应为数字"),
    "field.float_parsing": ("Input should be a valid number", "应为数字"),
    "field.finite_number": ("Input should be a finite number", "应为有限的数"),
    "field.none_required": ("Input should be None", "应为 null"),
    "field.greater_than": ("Input should be greater than {gt}", "应大于 {gt}"),
    "field.greater_than_equal": ("Input should be greater than or equal to {ge}", "应不小于 {ge}"),
    "field.less_than": ("Input should be less than {lt}", "应小于 {lt}"),
    "field.less_than_equal": ("Input should be less than or equal to {le}", "应不大于 {le}"),
    "field.literal_error": ("Input should be {expected}", "应为 {expected}"),
    "field.list_type": ("Input should be a valid list", "应为列表"),
    "field.dict_type": ("Input should be a valid dictionary", "应为对象"),
    "field.model_attributes_type": ("Input should be a valid dictionary", "应为对象"),
    "field.too_short": ("At least {min_length} items are needed", "至少 {min_length} 项"),
    "field.too_long": ("At most {max_length} items are taken", "最多 {max_length} 项"),
    "field.other": ("The value does not fit", "取值不符合要求"),
}
