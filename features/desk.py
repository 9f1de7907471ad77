"""What the whole desk knows of sources, industries, marketers and accounts, as logs shared by all buckets of reps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import ownership
from features.codes import codes_of, rep_index, vocabulary_of
from features.event_log import EventLog
from features.moments import ALWAYS, DAY, NEVER
from features.ownership import LeadSpans
from features.tables import Tables

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

PRIOR_LEADS: Final = 20.0
RATE_DAYS: Final = (90, 365, 730)
LONG_DAYS: Final = 730


def smoothed(won: Ints, resolved: Ints, prior: Floats | float, strength: float = PRIOR_LEADS) -> Floats:
    """Share won, shrunk to `prior` as if `strength` leads had resolved at it; float64, shape of `won`."""
    return np.asarray((won + strength * prior) / (resolved + strength), dtype=np.float64)


def after(since: Ints, days: float) -> Ints:
    """`days` after each moment; NEVER and ALWAYS stay."""
    shifted = since + np.int64(days * DAY)
    return np.where((since == NEVER) | (since == ALWAYS), since, shifted)


def outcome_log(keys: Ints, resolved: LeadSpans, days: int) -> EventLog:
    """Log of `resolved` and `won` leads by key that became so in the `days` before a moment."""
    won = (resolved.state == ownership.WON).astype(np.int64)
    values = {"resolved": np.ones(len(won), dtype=np.int64), "won": won}
    return EventLog.of_spans(keys, resolved.since, np.minimum(resolved.until, after(resolved.since, days)), values)


def lead_text(leads: pd.DataFrame, name: str) -> pd.Series:
    """A text column of leads, "" throughout where it is not there."""
    if name in leads.columns:
        return leads[name].astype("str").fillna("")
    return pd.Series([""] * len(leads), index=leads.index, dtype="str")


@dataclass(frozen=True)
class LeadIndex:
    """Codes of the tables' leads: their id, source, industry, territory, marketer and account vocabularies.

    The arrays hold a code a lead, in table order, -1 where the text is missing.
    """

    ids: pd.Index
    sources: pd.Index
    industries: pd.Index
    territories: pd.Index
    marketers: pd.Index
    accounts: pd.Index
    source: Ints
    industry: Ints
    territory: Ints
    marketer: Ints
    account: Ints


def _vocabulary(values: pd.Series) -> pd.Index:
    given = np.asarray(values, dtype=object)
    return pd.Index(sorted(set(given) - {""}), dtype=object)


def index_leads(leads: pd.DataFrame) -> LeadIndex:
    """The codes of a leads table."""
    ids = vocabulary_of(leads["lead_id"])
    words = {
        name: _vocabulary(leads[name]) for name in ("source", "industry", "territory", "marketer_id", "account_id")
    }
    codes = {name: codes_of(vocabulary, leads[name]) for name, vocabulary in words.items()}
    return LeadIndex(
        ids=ids,
        sources=words["source"],
        industries=words["industry"],
        territories=words["territory"],
        marketers=words["marketer_id"],
        accounts=words["account_id"],
        source=codes["source"],
        industry=codes["industry"],
        territory=codes["territory"],
        marketer=codes["marketer_id"],
        account=codes["account_id"],
    )


class Desk:
    """Logs of the desk as a whole, keyed by the codes of `leads`; conversions are of leads in any rep's hands."""

    def __init__(
        self, tables: Tables, dead_after_days: int, spans: LeadSpans | None = None, index: LeadIndex | None = None
    ) -> None:
        self.leads = index_leads(tables.leads) if index is None else index
        if spans is None:
            spans = ownership.lead_spans(tables, self.leads.ids, rep_index(tables), dead_after_days)
        resolved = spans.where(spans.state != ownership.OPEN)
        lead, index = resolved.lead, self.leads
        nowhere = np.zeros(len(lead), dtype=np.int64)
        self.all = {days: outcome_log(nowhere, resolved, days) for days in RATE_DAYS}
        self.by_source = outcome_log(index.source[lead], resolved, LONG_DAYS)
        self.by_industry = outcome_log(index.industry[lead], resolved, LONG_DAYS)
        self.by_marketer = outcome_log(index.marketer[lead], resolved, LONG_DAYS)
        account = index.account[lead]
        values = {"won": (resolved.state == ownership.WON).astype(np.int64), "resolved": np.ones(len(lead), np.int64)}
        self.by_account = EventLog.of_spans(account, resolved.since, resolved.until, values)
        is_won = resolved.state == ownership.WON
        won = resolved.where(is_won)
        self.by_lead = EventLog.of_spans(won.lead, won.since, won.until, {"won": np.ones(len(won.lead), np.int64)})
        deals = tables.deals
        self.account_deals = self._deals_by_account(tables)
        started = spans.where(spans.new_owner == 1)
        self.new_leads = EventLog.build(np.zeros(len(started.lead), dtype=np.int64), started.since)
        amounts = np.where((deals["status"] == "won").to_numpy(), deals["amount"].to_numpy(dtype=np.int64), 0)
        known = deals["known_at"].to_numpy(dtype=np.int64)
        self.amounts = EventLog.build(np.zeros(len(deals), dtype=np.int64), known, {"cents": amounts})

    def _deals_by_account(self, tables: Tables) -> EventLog:
        """Deals by account, from when both the deal and its lead, which names the account, are known."""
        lead = codes_of(self.leads.ids, tables.deals["lead_id"])
        lead_known = np.append(tables.leads["known_at"].to_numpy(dtype=np.int64), NEVER)[lead]
        known = np.maximum(tables.deals["known_at"].to_numpy(dtype=np.int64), lead_known)
        return EventLog.build(np.append(self.leads.account, -1)[lead], known)

    def rate(self, moments: Ints, days: int = LONG_DAYS) -> Floats:
        """Conversion of all leads resolved in the `days` before each moment; 0.5 where none has."""
        nowhere = np.zeros(len(moments), dtype=np.int64)
        window = self.all[days].before(nowhere, moments)
        return smoothed(window.total("won"), window.total("resolved"), 0.5, 1.0)

    def rate_by(self, log: EventLog, codes: Ints, moments: Ints) -> Floats:
        """Conversion of one source, industry or marketer, shrunk to the desk's; the desk's where the code is -1."""
        window = log.before(codes, moments)
        return smoothed(window.total("won"), window.total("resolved"), self.rate(moments))

    def lead_quality(self, leads: Ints, moments: Ints) -> Floats:
        """Mean of the conversions of each lead's source and industry, as known before the moment."""
        by_source = self.rate_by(self.by_source, self.leads.source[leads], moments)
        by_industry = self.rate_by(self.by_industry, self.leads.industry[leads], moments)
        return (by_source + by_industry) / 2
