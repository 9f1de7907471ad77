"""The words of a synthetic world in English and in Chinese: names, sources, industries, courses, reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from features.synthetic.config import Language


@dataclass(frozen=True)
class Source:
    """Where leads come from: name, share of leads, logit of winning, median working days to win and to lose."""

    name: str
    share: float
    logit: float
    win_days: float
    loss_days: float


@dataclass(frozen=True)
class Industry:
    """An industry: name, share of leads, logit of winning, log of the amount relative to the mean."""

    name: str
    share: float
    logit: float
    log_amount: float


@dataclass(frozen=True)
class Vocabulary:
    """All words of one language. `amount` is the typical amount of a deal in the language's money."""

    sources: tuple[Source, ...]
    industries: tuple[Industry, ...]
    territories: tuple[str, ...]
    sizes: tuple[str, ...]
    courses: tuple[str, ...]
    stages: tuple[str, ...]
    kinds: tuple[str, ...]
    outcomes: tuple[str, ...]
    lost_reasons: tuple[str, ...]
    given: tuple[str, ...]
    family: tuple[str, ...]
    amount: float
    family_first: bool


_SHARES = (0.20, 0.16, 0.34, 0.18, 0.12)
_LOGITS = (0.75, 0.25, -0.25, -0.60, 0.15)
_WIN_DAYS = (18.0, 30.0, 24.0, 38.0, 33.0)
_LOSS_DAYS = (26.0, 28.0, 15.0, 20.0, 31.0)
_INDUSTRY_SHARES = (0.26, 0.21, 0.17, 0.15, 0.12, 0.09)
_INDUSTRY_LOGITS = (0.10, -0.20, 0.20, 0.0, -0.10, 0.15)
_INDUSTRY_AMOUNTS = (0.10, -0.25, 0.35, 0.0, -0.10, 0.20)


def _sources(*names: str) -> tuple[Source, ...]:
    return tuple(Source(*row) for row in zip(names, _SHARES, _LOGITS, _WIN_DAYS, _LOSS_DAYS, strict=True))


def _industries(*names: str) -> tuple[Industry, ...]:
    rows = zip(names, _INDUSTRY_SHARES, _INDUSTRY_LOGITS, _INDUSTRY_AMOUNTS, strict=True)
    return tuple(Industry(*row) for row in rows)


ENGLISH: Final = Vocabulary(
    sources=_sources("referral", "event", "web_ad", "cold_call", "partner"),
    industries=_industries("manufacturing", "retail", "finance", "logistics", "education", "health"),
    territories=("north", "east", "south", "west"),
    sizes=("small", "medium", "large"),
    courses=(
        "Negotiation Workshop",
        "Product Deep Dive",
        "Prospecting Basics",
        "Closing with Confidence",
        "Compliance Refresher",
    ),
    stages=("qualified", "proposal", "negotiation"),
    kinds=("call", "email", "visit", "demo"),
    outcomes=("reached", "no answer", "interested", "follow up"),
    lost_reasons=("price", "competitor", "no budget", "no need", "no decision"),
    given=(
        "Alice", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Henry", "Irene", "Jack", "Kate", "Leo", "Maria",
        "Noah", "Olga", "Paul", "Quinn", "Rosa", "Sam", "Tina", "Umar", "Vera", "Walter", "Yara", "Zoe",
    ),
    family=(
        "Adams", "Baker", "Clark", "Dixon", "Evans", "Fischer", "Garcia", "Hughes", "Ivanov", "Jones", "Keller",
        "Lopez", "Meyer", "Novak", "Owens", "Price", "Reed", "Silva", "Turner", "Walsh", "Young",
    ),
    amount=20_000.0,
    family_first=False,
)  # fmt: skip

CHINESE: Final = Vocabulary(
    sources=_sources("转介绍", "展会", "线上广告", "电话拓客", "合作伙伴"),
    industries=_industries("制造业", "零售", "金融", "物流", "教育", "医疗"),
    territories=("华北", "华东", "华南", "西南"),
    sizes=("小型", "中型", "大型"),
    courses=("谈判技巧", "产品知识", "客户开发", "成交技巧", "合规培训"),
    stages=("初步接洽", "方案报价", "商务谈判"),
    kinds=("电话", "微信", "拜访", "演示"),
    outcomes=("已接通", "未接通", "有意向", "继续跟进"),
    lost_reasons=("价格", "竞争对手", "预算不足", "暂无需求", "未决定"),
    given=(*"伟芳娜敏静丽强磊军洋勇艳杰娟涛明超霞平刚", "志强", "晓燕", "建国", "雅琴", "子涵"),
    family=tuple("王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁"),
    amount=60_000.0,
    family_first=True,
)  # fmt: skip


def vocabulary(language: Language) -> Vocabulary:
    """The words of a language."""
    return CHINESE if language == "zh" else ENGLISH


def full_names(words: Vocabulary, n: int) -> list[str]:
    """`n` different names, in a fixed order that mixes given and family names; numbered once all are used."""
    names = []
    for i in range(n):
        given = words.given[i % len(words.given)]
        family = words.family[(i * 8 + i // len(words.given)) % len(words.family)]
        rounds = i // (len(words.given) * len(words.family))
        name = f"{family}{given}" if words.family_first else f"{given} {family}"
        names.append(f"{name} {rounds + 1}" if rounds else name)
    return names
