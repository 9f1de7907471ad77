"""The table of features: one row says name, unit, window, meaning in two languages and the group it is shown in.

`{days}` rows stand for one feature a window, `{of}` rows for one a source or skill of the data. Every event counts
from the moment it is known and only where that is earlier than the moment asked about.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

Group = Literal["activity", "leads", "skill_training", "tenure", "market", "load", "contribution"]


@dataclass(frozen=True)
class Definition:
    """One feature, or a family of them where `windows` or `per` is given. `window`: "" means all history or now."""

    name: str
    unit: str
    meaning_en: str
    meaning_zh: str
    group: Group
    windows: tuple[int, ...] = ()
    window: str = ""
    per: Literal["", "source", "skill"] = ""

    def expand(self, values: tuple[tuple[str, str], ...]) -> list[Definition]:
        """The single features of a family; `values` are (value, name part) of the sources or skills."""
        if self.windows:
            unit = "months" if "}m" in self.name else "d"
            return [self._at(str(days), f"{days} {unit}", days=str(days)) for days in self.windows]
        if self.per:
            return [self._at(part, self.window, of=value) for value, part in values]
        return [self]

    def _at(self, part: str, window: str, **filled: str) -> Definition:
        named = dict.fromkeys(filled, part)
        return replace(
            self,
            name=self.name.format(**named),
            meaning_en=self.meaning_en.format(**filled),
            meaning_zh=self.meaning_zh.format(**filled),
            window=window,
            windows=(),
            per="",
        )


_D = Definition

REP: Final = (
    _D("rep_tenure_years", "years", "time since hire", "司龄", "tenure"),
    _D(
        "rep_follow_ups_per_week_{days}d",
        "per week",
        "follow-ups a week in the last {days} days",
        "近 {days} 天每周跟进次数",
        "activity",
        (7, 28, 90),
    ),
    _D(
        "rep_follow_ups_per_open_lead_{days}d",
        "per lead",
        "follow-ups in the last {days} days for each lead open on average in that time",
        "近 {days} 天每条在跟线索的跟进次数",
        "activity",
        (7, 28, 90),
    ),
    _D(
        "rep_follow_ups_ratio_28d_to_90d",
        "ratio",
        "follow-ups a day in the last 28 days against the 90 days before them",
        "近 28 天日均跟进与此前 90 天之比",
        "activity",
        window="28 d, 90 d before",
    ),
    _D("rep_days_since_follow_up", "days", "time since the last follow-up", "距上次跟进天数", "activity"),
    _D(
        "rep_minutes_per_follow_up_90d",
        "minutes",
        "mean length of a follow-up",
        "平均每次跟进时长",
        "activity",
        window="90 d",
    ),
    _D(
        "rep_contact_hours_mean_90d",
        "hours",
        "mean time from hand-over to first contact, of contacts in the window",
        "从分配到首次联系的平均小时数",
        "activity",
        window="90 d",
    ),
    _D(
        "rep_contact_within_24h_rate_90d",
        "0-1",
        "share of hand-overs contacted within 24 hours, of those whose 24 hours ended in the window",
        "24小时内首次联系的占比",
        "activity",
        window="90 d",
    ),
    _D("rep_feedback_score_mean_180d", "1-10", "mean client feedback", "客户评分均值", "activity", window="180 d"),
    _D("rep_complaints_180d", "count", "complaints in client feedback", "客户投诉数", "activity", window="180 d"),
    _D(
        "rep_new_leads_{days}d",
        "count",
        "leads that came into his hands in the last {days} days",
        "近 {days} 天新接线索数",
        "load",
        (7, 28, 90),
    ),
    _D("rep_open_leads", "count", "leads in his hands without a deal and not dead", "在跟线索数", "load"),
    _D(
        "rep_open_leads_age_0_30d",
        "count",
        "open leads handed over up to 30 days ago",
        "接手 30 天内的在跟线索数",
        "load",
    ),
    _D(
        "rep_open_leads_age_30_90d",
        "count",
        "open leads handed over 30 to 90 days ago",
        "接手 30 至 90 天的在跟线索数",
        "load",
    ),
    _D(
        "rep_open_leads_age_over_90d",
        "count",
        "open leads handed over more than 90 days ago",
        "接手超过 90 天的在跟线索数",
        "load",
    ),
    _D(
        "rep_load_share_28d",
        "ratio",
        "new leads a week against weekly capacity",
        "每周新线索与周名额之比",
        "load",
        window="28 d",
    ),
    _D("rep_open_leads_per_capacity", "ratio", "open leads against weekly capacity", "在跟线索与周名额之比", "load"),
    _D("rep_absent_days_28d", "days", "days of absence in the last 28 days", "近 28 天缺勤天数", "load", window="28 d"),
    _D(
        "rep_absent_days_next_28d",
        "days",
        "days of planned absence in the coming 28 days",
        "未来 28 天计划缺勤天数",
        "load",
        window="next 28 d",
    ),
    _D(
        "rep_lead_quality_mean_90d",
        "0-1",
        "mean conversion of the sources and industries of his new leads, as the desk knew it at each hand-over",
        "新线索来源与行业的平均历史转化率",
        "leads",
        window="90 d",
    ),
    _D(
        "rep_lead_share_90d_source_{of}",
        "0-1",
        "share of his new leads from source {of}",
        "新线索中来源为{of}的占比",
        "leads",
        window="90 d",
        per="source",
    ),
    _D(
        "rep_open_share_source_{of}",
        "0-1",
        "share of his open leads from source {of}",
        "在跟线索中来源为{of}的占比",
        "leads",
        per="source",
    ),
    _D(
        "rep_won_rate_{days}d",
        "0-1",
        "own conversion of leads resolved in the last {days} days, shrunk to the desk's",
        "近 {days} 天已结束线索的转化率（向团队均值收缩）",
        "contribution",
        (90, 365, 730),
    ),
    _D(
        "rep_resolved_leads_{days}d",
        "count",
        "leads won, lost or dead in the last {days} days",
        "近 {days} 天已结束线索数",
        "contribution",
        (90, 365, 730),
    ),
    _D(
        "rep_contribution_{days}d",
        "money",
        "amount of deals won in the last {days} days",
        "近 {days} 天成交额",
        "contribution",
        (30, 90, 180, 365),
    ),
    _D(
        "rep_wins_{days}d",
        "count",
        "deals won in the last {days} days",
        "近 {days} 天成交单数",
        "contribution",
        (90, 365),
    ),
    _D(
        "rep_deal_size_mean_365d",
        "money",
        "mean amount of a won deal",
        "平均单笔成交额",
        "contribution",
        window="365 d",
    ),
    _D(
        "rep_contribution_ratio_90d_to_275d",
        "ratio",
        "amount won a day in the last 90 days against the 275 days before them",
        "近 90 天日均成交额与此前 275 天之比",
        "contribution",
        window="90 d, 275 d before",
    ),
    _D("rep_training_hours_total", "hours", "hours of completed training", "累计培训小时", "skill_training"),
    _D(
        "rep_training_hours_{days}d",
        "hours",
        "hours of training completed in the last {days} days",
        "近 {days} 天完成的培训小时",
        "skill_training",
        (90, 180),
    ),
    _D("rep_training_score_mean", "0-100", "mean score of completed training", "培训平均得分", "skill_training"),
    _D("rep_trainings_completed", "count", "courses completed", "已完成课程数", "skill_training"),
    _D("rep_trainings_unfinished", "count", "courses assigned and not completed", "未完成课程数", "skill_training"),
    _D(
        "rep_days_since_training",
        "days",
        "time since the last completed course",
        "距上次完成培训天数",
        "skill_training",
    ),
    _D(
        "rep_trainings_completed_skill_{of}",
        "count",
        "courses completed in {of}",
        "已完成“{of}”课程数",
        "skill_training",
        per="skill",
    ),
)

LEAD: Final = (
    _D("lead_has_referral", "0/1", "an existing client referred it", "是否由老客户转介绍", "leads"),
    _D("lead_referrer_won", "0/1", "the referring lead was won", "转介绍的线索是否已成交", "leads"),
    _D("lead_has_account", "0/1", "it belongs to an account", "是否属于已有客户", "leads"),
    _D("lead_own_prospect", "0/1", "a rep's own prospect", "是否销售自拓", "leads"),
    _D("lead_account_leads_won", "count", "leads of the account won before", "该客户此前成交线索数", "leads"),
    _D(
        "lead_account_leads_lost",
        "count",
        "leads of the account lost or dead before",
        "该客户此前未成交线索数",
        "leads",
    ),
    _D(
        "lead_days_since_account_deal",
        "days",
        "time since the account's last deal",
        "距该客户上次成交或丢单天数",
        "leads",
    ),
    _D("lead_hour_of_day", "hours", "local hour of creation", "创建时点（小时）", "leads"),
    _D("lead_weekday", "1-7", "local weekday of creation, Monday is 1", "创建星期", "leads"),
    _D("lead_month_of_year", "1-12", "local month of creation", "创建月份", "market"),
    _D(
        "lead_won_rate_730d_by_source",
        "0-1",
        "the desk's conversion of its source, shrunk to the desk's",
        "该来源的历史转化率",
        "leads",
        window="730 d",
    ),
    _D(
        "lead_won_rate_730d_by_industry",
        "0-1",
        "the desk's conversion of its industry, shrunk to the desk's",
        "该行业的历史转化率",
        "leads",
        window="730 d",
    ),
    _D(
        "lead_won_rate_730d_by_marketer",
        "0-1",
        "the desk's conversion of its marketer's leads, shrunk to the desk's",
        "该市场人员线索的历史转化率",
        "leads",
        window="730 d",
    ),
)

PAIR: Final = (
    _D(
        "pair_won_rate_730d_by_source",
        "0-1",
        "own conversion of the lead's source, shrunk to his own rate",
        "本人对该来源的转化率",
        "contribution",
        window="730 d",
    ),
    _D(
        "pair_won_rate_730d_by_industry",
        "0-1",
        "own conversion of the lead's industry, shrunk to his own rate",
        "本人对该行业的转化率",
        "contribution",
        window="730 d",
    ),
    _D(
        "pair_won_rate_730d_by_territory",
        "0-1",
        "own conversion of the lead's territory, shrunk to his own rate",
        "本人对该区域的转化率",
        "contribution",
        window="730 d",
    ),
    _D(
        "pair_resolved_leads_730d_by_source",
        "count",
        "own resolved leads of the source",
        "本人该来源已结束线索数",
        "contribution",
        window="730 d",
    ),
    _D(
        "pair_resolved_leads_730d_by_industry",
        "count",
        "own resolved leads of the industry",
        "本人该行业已结束线索数",
        "contribution",
        window="730 d",
    ),
    _D(
        "pair_resolved_leads_730d_by_territory",
        "count",
        "own resolved leads of the territory",
        "本人该区域已结束线索数",
        "contribution",
        window="730 d",
    ),
    _D(
        "pair_account_leads",
        "count",
        "leads of the account that were in his hands before",
        "本人此前接手该客户线索数",
        "contribution",
    ),
    _D(
        "pair_declared_industry_match",
        "0/1",
        "he declares experience in the lead's industry; empty where either is not given",
        "申报的行业经验是否匹配",
        "skill_training",
    ),
    _D(
        "pair_territory_match",
        "0/1",
        "he lists the lead's territory; empty where either is not given",
        "负责区域是否匹配",
        "market",
    ),
)

PANEL: Final = (
    _D(
        "panel_horizon",
        "months",
        "whole months from the month of as_of to the month forecast",
        "预测月距当前月数",
        "market",
    ),
    _D("panel_month_sin", "-1..1", "month of the year, sine", "月份（正弦）", "market"),
    _D("panel_month_cos", "-1..1", "month of the year, cosine", "月份（余弦）", "market"),
    _D("panel_workdays", "days", "effective working days of the month forecast", "预测月有效工作日", "market"),
    _D("panel_month_elapsed_share", "0-1", "share of the month forecast that is over", "预测月已过比例", "market"),
    _D(
        "panel_contribution_to_date",
        "money",
        "contribution so far in the month of as_of",
        "当月至今成交额",
        "contribution",
    ),
    _D(
        "panel_contribution_mean_{days}m",
        "money",
        "mean monthly contribution of the {days} whole months before",
        "此前 {days} 个整月的月均成交额",
        "contribution",
        (1, 2, 3, 6, 12),
    ),
    _D(
        "panel_contribution_year_before",
        "money",
        "contribution in the same month a year before",
        "去年同月成交额",
        "contribution",
    ),
    _D(
        "panel_desk_won_rate_90d",
        "0-1",
        "the desk's conversion of leads resolved lately",
        "团队近期转化率",
        "market",
        window="90 d",
    ),
    _D(
        "panel_desk_new_leads_28d",
        "count",
        "leads handed to the whole desk lately",
        "团队近期新线索数",
        "market",
        window="28 d",
    ),
    _D(
        "panel_desk_contribution_90d",
        "money",
        "amount won by the whole desk lately",
        "团队近期成交额",
        "market",
        window="90 d",
    ),
)
