"""Which columns of `leads` a model may use, and why the others may not.

Left out: ids, names of people, phones, mails, addresses of pages, free text, times; columns named or coded like an
attribute that the law protects, in English or Chinese; constants; what `[leads] ignore` lists; and suspected leaks,
which are filled in after contact (`features.leaks`). Every reason starts with a short code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from features import cells
from features.contract import SCHEMA
from features.leaks import leaks_of_leads, name_tokens, words
from features.messages import message

MOST_LEVELS: Final = 200
STANDARD_CATEGORICAL: Final = ("source", "territory", "industry")
_CONTRACT = frozenset(column.name for column in SCHEMA["leads"].columns) | {"known_at", "known_at_given"}
_FEW_ROWS = 50

PROTECTED_TOKENS: Final = words(
    """
    gender genders male female woman women sex sexes sexual sexuality transgender lgbt age ages aged birth births
    birthday birthdate birthyear birthplace dob yob born ethnicity ethnic ethnicities race races racial caste tribe
    religion religious religions
    faith nationality nationalities citizenship marital married marriage spouse husband wife divorced widowed pregnant
    pregnancy maternity paternity parental parenthood child children kids disability disabilities disabled handicap
    handicapped health illness disease diagnosis genetic genetics politics political union unions veteran hukou
    immigrant immigration refugee pronoun pronouns salutation honorific agegroup agerange ageband ageyears dateofbirth
    maritalstatus skincolor skincolour
    """
)
PROTECTED_CHINESE: Final = (
    *("性别", "年龄", "年纪", "岁数", "民族", "种族", "族裔", "宗教", "信仰", "婚姻", "婚否", "已婚", "未婚", "配偶"),
    *("生育", "怀孕", "孕", "产假", "子女", "残疾", "残障", "健康", "疾病", "病史", "政治", "党员", "党派", "工会"),
    *("国籍", "籍贯", "户籍", "户口", "出生", "生日", "性取向", "血型", "男", "女", "称谓", "尊称"),
)
_SETS_OF_TWO: Final = (
    (
        "attribute.sex",
        {"male", "m", "man", "boy", "mr", "男", "男性", "男士", "先生"},
        {"female", "f", "woman", "girl", "mrs", "ms", "miss", "女", "女性", "女士", "小姐"},
    ),
    (
        "attribute.marital_status",
        {"married", "已婚", "spouse"},
        {"single", "unmarried", "divorced", "widowed", "separated", "未婚", "离异", "丧偶", "离婚"},
    ),
)
_BESIDES: Final = words(
    "other others unknown undisclosed diverse d x nonbinary non-binary n/a na none 未知 保密 其他"
) | {
    "prefer not to say",
    "not specified",
}
_FAITHS: Final = words(
    """christian christianity muslim islam islamic hindu hinduism buddhist buddhism jewish judaism sikh sikhism catholic
    protestant orthodox taoist taoism atheist agnostic 佛教 道教 基督教 天主教 伊斯兰教 无宗教"""
)
_ETHNIC: Final = words("white black asian hispanic latino caucasian african 汉 汉族")

_ID_TOKENS = words("id ids uuid guid key hash token serial")
_NUMBERING_TOKENS = words("number no num nr code ref reference sequence seq index")
_CONTACT_TOKENS = words(
    "phone phones telephone tel mobile cell cellphone fax wechat weixin whatsapp qq email emails mail e_mail skype url"
    " website homepage link address street ip ssn passport iban"
)
_CONTACT_CHINESE = ("电话", "手机", "微信", "邮箱", "邮件", "地址", "网址", "传真", "身份证", "号码", "联系方式")
_PERSON_TOKENS = words(
    "firstname lastname surname fullname forename nickname username contactname companyname customername"
)
_PERSON_BEFORE_NAME = words(
    "first last full middle given family nick user contact customer client lead company account person prospect"
    " organisation organization firm business buyer owner rep agent"
)
_PERSON_CHINESE = ("姓名", "名字", "名称", "联系人", "客户名", "公司名")
_TEXT_TOKENS = words("note notes comment comments remark remarks description message messages memo text body")
_TEXT_CHINESE = ("备注", "描述", "留言", "说明", "评论")


@dataclass(frozen=True)
class LeadColumns:
    """Lead columns by use; `excluded` pairs each column left out with its reason ("code: what was seen")."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    excluded: tuple[tuple[str, str], ...]


def screen_lead_columns(
    leads: pd.DataFrame, ignore: Sequence[str] = (), outcomes: pd.DataFrame | None = None
) -> LeadColumns:
    """Columns of the leads table that a model may use, each list in the table's order.

    `leads`: table layout (float64 columns are numbers or booleans, others text). `outcomes`: `lead_outcomes` of the
    same moment; without it leaks are known by their names only. `source`, `territory` and `industry` are categories
    unless they are leaks, `marketer_id` where it has at most 200 values; ids and times of the contract are never
    features.
    """
    reasons: dict[str, str] = {}
    candidates: list[str] = []
    for name in map(str, leads.columns):
        if name in _CONTRACT and name not in (*STANDARD_CATEGORICAL, "marketer_id"):
            continue
        if name == "marketer_id" and bool((leads[name] == "").all()):  # the contract's, but not given
            continue
        candidates.append(name)
        reason = _reason(name, leads[name], name in ignore)
        if reason:
            reasons[name] = reason
    left = [name for name in candidates if name not in reasons]
    reasons.update(leaks_of_leads(leads, left, outcomes))
    kept = [name for name in candidates if name not in reasons]
    return LeadColumns(
        numeric=tuple(name for name in kept if _is_number(leads[name])),
        categorical=tuple(name for name in kept if not _is_number(leads[name])),
        excluded=tuple((name, reasons[name]) for name in candidates if name in reasons),
    )


def _is_number(column: pd.Series) -> bool:
    return column.dtype.kind in "fiub"


def _reason(name: str, column: pd.Series, ignored: bool) -> str:
    """Why the column may not be used, judged by itself; "" where it may."""
    if ignored:
        return message("column.ignored")
    if name in STANDARD_CATEGORICAL:
        return ""
    if name != "marketer_id" and (word := protected_name(name)):
        return message("column.protected_name", word=word)
    if _is_number(column):
        values = column.to_numpy(dtype=np.float64)
        filled = values[~np.isnan(values)]
        if not len(filled):
            return message("column.empty")
        if len(filled) == len(values) and (filled == filled[0]).all():
            return message("column.constant", value=cells.cell_text(float(filled[0])))
        return _number_reason(name, filled)
    texts = column.loc[~cells.is_empty(column.astype("str"))].astype("str")
    if not len(texts):
        return message("column.empty")
    levels = texts.unique()
    if len(levels) == 1 and len(texts) == len(column):
        return message("column.constant", value=repr(str(levels[0])[:40]))
    if name == "marketer_id":
        return message("column.many_marketers", n=len(levels)) if len(levels) > MOST_LEVELS else ""
    if what := protected_code(levels):
        return message("column.protected_code", attribute=what)
    return _text_reason(name, texts, levels)


def protected_name(name: str) -> str:
    """The word in a column's name that names a protected attribute; "" without any.

    Whole words only: "stage", "language", "page" and "usage" hold no "age", "sector" no "sex".
    """
    tokens = name_tokens(name)
    for token in tokens:
        if token in PROTECTED_TOKENS:
            return token
    joined = "".join(tokens)
    if joined in PROTECTED_TOKENS:
        return joined
    return next((word for word in PROTECTED_CHINESE if word in name), "")


def protected_code(levels: Iterable[object]) -> str:
    """The protected attribute that values spell out, such as m and f; "" where they spell none."""
    found = {str(level).strip().strip(".").lower() for level in levels}
    found -= _BESIDES
    for attribute, one, two in _SETS_OF_TWO:
        if found & one and found & two and found <= one | two:
            return message(attribute)
    if not found:
        return ""
    if len(found & _FAITHS) >= 2 and len(found & _FAITHS) >= 0.6 * len(found):
        return message("attribute.religion")
    peoples = {one for one in found if one in _ETHNIC or re.fullmatch(r"[\u4e00-\u9fff]{1,5}族", one)}
    if len(peoples) >= 2 and len(peoples) >= 0.8 * len(found) and not found <= {"white", "black"}:
        return message("attribute.ethnicity")
    return ""


def _number_reason(name: str, filled: np.ndarray) -> str:
    """Ids and phones that happen to be all digits."""
    tokens = set(name_tokens(name))
    whole = bool((filled == np.floor(filled)).all())
    distinct = len(np.unique(filled)) / len(filled)
    if whole and (tokens & _ID_TOKENS or "编号" in name):
        return message("column.id")
    if whole and distinct > 0.95 and len(filled) > 5 and (tokens & _NUMBERING_TOKENS or "号" in name):
        return message("column.numbering")
    if whole and _named_contact(name, tokens) and distinct > 0.2 and len(filled) > 5:
        return message("column.contact_number")
    return ""


def _named_contact(name: str, tokens: set[str]) -> bool:
    return bool(tokens & _CONTACT_TOKENS) or any(word in name for word in _CONTACT_CHINESE)


def _text_reason(name: str, texts: pd.Series, levels: np.ndarray) -> str:
    tokens = set(name_tokens(name))
    n, n_levels = len(texts), len(levels)
    distinct = n_levels / n
    many = n_levels > 20 and distinct > 0.2
    if tokens & _ID_TOKENS or "编号" in name or (tokens & _NUMBERING_TOKENS and many):
        return message("column.id")
    if cells.matches(texts, r"^[^@\s]+@[^@\s]+\.[^@\s]+$").mean() > 0.5:
        return message("column.mail")
    if cells.matches(texts, r"^\+?[\d\s()\-./]{7,20}$").mean() > 0.8 and many:
        return message("column.phone")
    if cells.matches(texts, r"(?i)^(?:https?://|www\.)").mean() > 0.5:
        return message("column.url")
    if _named_contact(name, tokens) and n_levels > 2:
        return message("column.contact")
    if cells.matches(texts, r"^\d{4}-\d\d-\d\d(?:$|[T ])").mean() > 0.8:
        return message("column.time")
    if _named_person(name, tokens) and n_levels > 2:
        return message("column.person")
    if "name" in tokens and many:
        return message("column.own_name")
    return _wordy_reason(name, tokens, texts, n_levels, many)


def _named_person(name: str, tokens: set[str]) -> bool:
    if tokens & _PERSON_TOKENS or any(word in name for word in _PERSON_CHINESE):
        return True
    return "name" in tokens and (len(tokens) == 1 or bool(tokens & _PERSON_BEFORE_NAME))


def _wordy_reason(name: str, tokens: set[str], texts: pd.Series, n_levels: int, many: bool) -> str:
    length = float(texts.str.len().median())
    if (tokens & _TEXT_TOKENS or any(word in name for word in _TEXT_CHINESE)) and (many or length > 20):
        return message("column.notes")
    if length > 40 and n_levels > 20:
        return message("column.long_text")
    if len(texts) >= _FEW_ROWS and n_levels > len(texts) / 2:
        return message("column.own_value")
    if n_levels > MOST_LEVELS:
        return message("column.many_values", n=n_levels, most=MOST_LEVELS)
    return ""
