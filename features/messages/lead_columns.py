"""Words for why a lead column is no feature: (English, Chinese) by code. English begins with a short code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LEAD_COLUMNS: Final[Mapping[str, tuple[str, str]]] = {
    "column.ignored": ("ignored: listed in [leads] ignore", "按配置忽略：列在 [leads] ignore 中"),
    "column.protected_name": (
        "protected: named like a protected attribute ({word})",
        "受保护属性：名称像受保护属性（{word}）",
    ),
    "column.protected_code": (
        "protected: coded like a protected attribute ({attribute})",
        "受保护属性：取值像受保护属性（{attribute}）",
    ),
    "attribute.sex": ("sex", "性别"),
    "attribute.marital_status": ("marital status", "婚姻状况"),
    "attribute.religion": ("religion", "宗教"),
    "attribute.ethnicity": ("ethnicity", "民族"),
    "column.empty": ("empty: no value at all", "空列：没有任何值"),
    "column.constant": ("constant: always {value}", "恒定：总是 {value}"),
    "column.many_marketers": ("too_many_values: {n} marketers", "取值过多：有 {n} 位市场人员"),
    "column.many_values": (
        "too_many_values: {n} values, {most} are the most",
        "取值过多：有 {n} 种，最多 {most} 种",
    ),
    "column.id": ("id: named like an id", "编号：名称像编号"),
    "column.numbering": ("id: a number of its own for nearly every lead", "编号：几乎每条线索各有一个数"),
    "column.contact_number": ("contact: phone number or address", "联系方式：电话号码或地址"),
    "column.mail": ("contact: mail addresses", "联系方式：邮箱地址"),
    "column.phone": ("contact: phone numbers or long codes", "联系方式：电话号码或长编码"),
    "column.url": ("contact: addresses of pages", "联系方式：网址"),
    "column.contact": ("contact: phone, mail or address", "联系方式：电话、邮箱或地址"),
    "column.time": (
        "time: dates or times; give a number, such as days since",
        "时间：日期或时刻；请改成数字，例如距今天数",
    ),
    "column.person": ("name: of a person or company", "名称：人名或公司名"),
    "column.own_name": ("name: nearly every lead has its own", "名称：几乎每条线索各不相同"),
    "column.notes": ("free_text: notes or messages", "自由文本：备注或消息"),
    "column.long_text": ("free_text: long texts", "自由文本：长文本"),
    "column.own_value": ("free_text: nearly every lead has its own value", "自由文本：几乎每条线索各不相同"),
    "leak.name": (
        "leak: named like something that is filled in after contact",
        "泄漏：名称像联系之后才填写的内容",
    ),
    "leak.outcome": ("leak: holds the outcome itself ({value!r})", "泄漏：直接包含结果（{value!r}）"),
    "leak.filled_closed": (
        "leak: filled in for {gap:.0%} more of the closed leads than of others of their age",
        "泄漏：与同龄线索相比，已结束线索的填写率高出 {gap:.0%}",
    ),
    "leak.filled_contacted": (
        "leak: filled in for {gap:.0%} more of the contacted leads than of others of their age",
        "泄漏：与同龄线索相比，已联系线索的填写率高出 {gap:.0%}",
    ),
    "leak.filling": (
        "leak: being filled in tells the outcome (AUC {auc:.2f})",
        "泄漏：是否填写就能看出结果（AUC {auc:.2f}）",
    ),
    "leak.alone": (
        "leak: alone tells the outcome (AUC {auc:.2f} on leads not learnt from)",
        "泄漏：单凭它就能看出结果（未参与学习的线索上 AUC {auc:.2f}）",
    ),
    "leak.pure": (
        "leak: values that mean won {rate:.0%} of the time hold {share:.0%} of the wins",
        "泄漏：{share:.0%} 的成交落在成交率为 {rate:.0%} 的取值上",
    ),
    "leak.assessment": (
        "leak: an assessment given to {share:.0%} of the leads only (AUC {auc:.2f})",
        "泄漏：只给 {share:.0%} 的线索做过的评估（AUC {auc:.2f}）",
    ),
}
