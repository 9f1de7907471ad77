"""Columns that a salesperson fills in while working the lead: known too late, they make a model look brilliant.

A column is suspected by its name (tags, lost_reason, last_activity), or by what it knows of the outcome. Statistics
alone cannot part a leak from a very good feature; the bounds are set so that ordinary good ones (a lead source, time
spent on a website, an occupation) stay, and an assessment such as a score or quality is suspected only where it is
filled in for a part of the leads. What is suspected is reported, so that a person can overrule by renaming.

References
----------
Kaufman, Rosset, Perlich, Stitelman (2012), Leakage in data mining: formulation, detection, and avoidance.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.messages import message

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def words(text: str) -> frozenset[str]:
    """The words of `text`, each once."""
    return frozenset(text.split())


AUC_BOUND: Final = 0.9
FILLED_AUC_BOUND: Final = 0.75
FILLED_GAP_BOUND: Final = 0.5
PURE_RATE: Final = 0.97
PURE_SHARE: Final = 0.15
_LEAST_CLASS = 30
_BINS = 20
_PRIOR = 5.0
_BLANKS = frozenset({"", "select", "none", "n/a", "na", "nan", "null", "unknown", "-", "未知", "无"})

_TELLING = words(
    """won lost closed converted conversion outcome churned disposition disqualified lostreason winloss isconverted
    isclosed iswon followups touches callbacks tags"""
)
_TELLING_NAMES = words(
    """tag status lead_status deal_status opportunity_status contact_status result lead_stage deal_stage
    sales_stage opportunity_stage pipeline_stage close_date closed_at closing_date close_value deal_value deal_amount
    win signed signed_on contract_signed first_contact_at first_contacted_at response_time n_calls calls n_activities
    activities n_follow_ups follow_ups follow_up_count call_count call_result call_outcome"""
)
_HAPPENINGS = words(
    """activity activities contact contacted call called email emailed touch touched modified updated update action
    interaction meeting note followup follow reply replied response"""
)
_TELLING_CHINESE = (
    *("成交", "赢单", "输单", "丢单", "流失", "签约", "签单", "结果", "转化", "战败", "跟进", "标签", "线索状态"),
    *("商机状态", "商机阶段", "最近联系", "最后联系", "最近活动", "最后活动", "回访"),
)
_TELLING_VALUES = frozenset(
    {"won", "lost", "closed", "closed won", "closed lost", "closed-won", "closed-lost", "converted", "deal won"}
    | {"deal lost", "成交", "已成交", "赢单", "输单", "丢单", "已签约", "战败"}
)
_ASSESSMENTS = words(
    """quality profile score scores scored scoring index rating rated grade graded ranking temperature priority interest
    intent potential probability likelihood activity engagement remark feedback"""
)
_ASSESSMENTS_CHINESE = ("评分", "打分", "等级", "评级", "意向", "质量", "优先级")


def name_tokens(name: str) -> list[str]:
    """Lower-case words of a column's name: split at case changes, digits and anything that is no letter."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    spaced = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", spaced)
    return [token for token in re.split(r"[^a-z\u4e00-\u9fff]+", spaced.lower()) if token]


def telling_name(name: str) -> bool:
    """Whether the name says that the column is filled in after contact."""
    tokens = name_tokens(name)
    found = set(tokens)
    return bool(
        found & _TELLING
        or "_".join(tokens) in _TELLING_NAMES
        or ("last" in found and found & _HAPPENINGS)
        or ({"follow", "ups"} <= found)
        or any(word in name for word in _TELLING_CHINESE)
    )


def _is_assessment(name: str) -> bool:
    return bool(set(name_tokens(name)) & _ASSESSMENTS) or any(word in name for word in _ASSESSMENTS_CHINESE)


def suspected_leaks(
    frame: pd.DataFrame,
    y: Floats,
    closed: Flags | None = None,
    contacted: Flags | None = None,
    strata: npt.NDArray[np.int64] | None = None,
) -> tuple[tuple[str, str], ...]:
    """(column, "leak: why") for each suspected column of `frame`, in its order.

    frame
        n rows of text or numbers; ids and constants may be among them.
    y
        (n,) 1 won, 0 not, NaN not known yet.
    closed, contacted
        (n,) whether a person has closed or contacted the lead by now; None: not known.
    strata
        (n,) groups of like age within which filled shares are compared, for an old lead has had more time.
    """
    found: list[tuple[str, str]] = []
    y = np.asarray(y, dtype=np.float64)
    groups = np.zeros(len(frame), dtype=np.int64) if strata is None else strata
    for name in map(str, frame.columns):
        reason: str = message("leak.name") if telling_name(name) else ""
        reason = reason or _by_words(frame[name]) or _by_numbers(name, frame[name], y, closed, contacted, groups)
        if reason:
            found.append((name, reason))
    return tuple(found)


def leaks_of_leads(
    leads: pd.DataFrame, columns: Sequence[str], outcomes: pd.DataFrame | None
) -> tuple[tuple[str, str], ...]:
    """Suspected leaks among these columns of the leads table, given what became of the leads (`lead_outcomes`)."""
    standard = ("source", "territory", "industry", "marketer_id")
    if outcomes is None or not len(outcomes):
        named = leads[[name for name in columns if name not in standard]]
        return suspected_leaks(named, np.full(len(leads), np.nan))
    at = pd.Index(outcomes["lead_id"]).get_indexer(pd.Index(leads["lead_id"]))
    judged = leads.loc[at >= 0, list(columns)]
    known = outcomes.iloc[at[at >= 0]]
    outcome = known["outcome"].to_numpy(dtype=object)
    y = np.where(outcome == "won", 1.0, np.where(np.isin(outcome, ["lost", "dead"]), 0.0, np.nan))
    closed = np.isin(outcome, ["won", "lost"])
    contacted = known["first_contact_at"].to_numpy(dtype=np.int64) != np.iinfo(np.int64).max
    found = suspected_leaks(judged, y, closed, contacted, _age_groups(known["created_at"].to_numpy(dtype=np.int64)))
    return tuple((name, why) for name, why in found if name not in standard or not telling_name(name))


def _age_groups(created: npt.NDArray[np.int64], n_groups: int = 10) -> npt.NDArray[np.int64]:
    """Decile of creation of each row, 0 the oldest."""
    ranks = np.empty(len(created), dtype=np.int64)
    ranks[np.argsort(created, kind="stable")] = np.arange(len(created))
    return ranks * n_groups // max(len(created), 1)


def _by_words(column: pd.Series) -> str:
    if column.dtype.kind in "fiub":
        return ""
    found = [value for value in column.unique() if str(value).strip().lower() in _TELLING_VALUES]
    return message("leak.outcome", value=str(found[0])[:40]) if found else ""


def _by_numbers(
    name: str,
    column: pd.Series,
    y: Floats,
    closed: Flags | None,
    contacted: Flags | None,
    groups: npt.NDArray[np.int64],
) -> str:
    """What in the values tells the outcome; "" where nothing does or too few outcomes are known."""
    filled = _filled(column)
    for state, code in ((closed, "leak.filled_closed"), (contacted, "leak.filled_contacted")):
        if state is not None and (gap := _filled_gap(filled, state, groups)) >= FILLED_GAP_BOUND:
            return message(code, gap=gap)
    known = ~np.isnan(y)
    won = y[known] == 1
    if min(won.sum(), (~won).sum()) < _LEAST_CLASS:
        return ""
    filled = filled[known]
    if (by_filling := auc(filled.astype(np.float64), won)) >= FILLED_AUC_BOUND:
        return message("leak.filling", auc=by_filling)
    codes = _codes(column[known], filled)
    scores, rates = _unseen_rates(codes, won)
    by_value = auc(scores, won)
    if by_value >= AUC_BOUND:
        return message("leak.alone", auc=by_value)
    pure = (rates >= PURE_RATE) & filled
    if won.mean() < 0.7 and won[pure].sum() >= PURE_SHARE * won.sum():
        share = float(won[pure].sum() / won.sum())
        return message("leak.pure", rate=float(won[pure].mean()), share=share)
    if _is_assessment(name) and 0.2 <= 1 - filled.mean() < 1 and by_value >= 0.55:
        return message("leak.assessment", share=float(filled.mean()), auc=by_value)
    return ""


def _filled(column: pd.Series) -> Flags:
    if column.dtype.kind in "fiub":
        return ~np.isnan(column.to_numpy(dtype=np.float64))
    return ~column.astype("str").str.strip().str.lower().isin(list(_BLANKS)).to_numpy(dtype=bool)


def _filled_gap(filled: Flags, state: Flags, groups: npt.NDArray[np.int64]) -> float:
    """Filled share where `state` minus where not, within groups, weighted by what each group can tell."""
    gap = weight = 0.0
    for group in np.unique(groups):
        yes, no = filled[(groups == group) & state], filled[(groups == group) & ~state]
        if len(yes) and len(no):
            here = len(yes) * len(no) / (len(yes) + len(no))
            gap += here * (float(yes.mean()) - float(no.mean()))
            weight += here
    return gap / weight if weight >= _LEAST_CLASS / 2 else 0.0


def auc(score: Floats, won: Flags) -> float:
    """Chance that a won lead scores above one that is not, ties half."""
    ranks = pd.Series(score).rank().to_numpy()
    n_won = int(won.sum())
    n_not = len(won) - n_won
    if not n_won or not n_not:
        return 0.5
    return float((ranks[won].sum() - n_won * (n_won + 1) / 2) / (n_won * n_not))


def _codes(column: pd.Series, filled: Flags) -> npt.NDArray[np.int64]:
    """Level of each row: a category, or one of twenty quantile bins of a number; missing is a level."""
    if column.dtype.kind in "fiub":
        values = column.to_numpy(dtype=np.float64)
        if not filled.any():
            return np.zeros(len(values), dtype=np.int64)
        edges = np.unique(np.quantile(values[filled], np.linspace(0, 1, _BINS + 1)[1:-1]))
        return np.where(filled, np.searchsorted(edges, values, side="right") + 1, 0).astype(np.int64)
    texts = column.astype("str").where(filled, "")
    return np.asarray(pd.factorize(texts)[0], dtype=np.int64)


def _unseen_rates(codes: npt.NDArray[np.int64], won: Flags) -> tuple[Floats, Floats]:
    """Each row's share of wins at its level, learnt from the other half of the rows: shrunk, and as it is."""
    half = np.arange(len(codes)) % 2 == 0
    shrunk, plain = np.empty(len(codes)), np.empty(len(codes))
    size = int(codes.max(initial=0)) + 1
    for learn, judge in ((half, ~half), (~half, half)):
        base = float(won[learn].mean())
        n = np.bincount(codes[learn], minlength=size)
        wins = np.bincount(codes[learn], weights=won[learn].astype(np.float64), minlength=size)
        shrunk[judge] = ((wins + _PRIOR * base) / (n + _PRIOR))[codes[judge]]
        plain[judge] = np.where(n >= _LEAST_CLASS, wins / np.maximum(n, 1), 0.0)[codes[judge]]
    return shrunk, plain
