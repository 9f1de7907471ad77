"""Features of one lead at the end of the data, and of its pairs with the reps, without frames.

The same logs answer as in `features.lead_features`; what depends on one text only (the rate of a source, who declared
an industry) is asked once and remembered as long as the data stand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.event_log import EventLog
from features.rep_logs import Listed, combine
from features.world import World
from models.conversion.prepared import LeadValues
from serving.leads import Lead, finite

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_KINDS: Final = ("source", "industry", "territory")
# What a pair column depends on beside the rep; others depend on all kinds and the account.
_DECIDED_BY: Final = {
    **{f"pair_resolved_leads_730d_by_{kind}": kind for kind in _KINDS},
    "pair_declared_industry_match": "industry",
    "pair_territory_match": "territory",
    "pair_account_leads": "account_id",
}
_MOST_REMEMBERED: Final = 20_000
_MOST_PAIR_BYTES: Final = 4_000_000


class LeadReader:
    """Reads leads for decisions at or after the end of the data of `world`; `rep_ids` (R,) give the order of pairs."""

    def __init__(self, world: World, rep_ids: Sequence[str], pair_names: Sequence[str]) -> None:
        self._world = world
        self._at = np.array([world.as_of], dtype=np.int64)
        self._ids = np.asarray(rep_ids, dtype=object)
        self._reps = world.rep_codes(self._ids)
        self._all_at = np.full(len(self._reps), world.as_of, dtype=np.int64)
        self._pair_names = tuple(pair_names)
        self._rates: dict[tuple[str, str], float] = {}
        self._pairs: dict[tuple[str, str], Floats] = {}
        desk = world.desk
        self._sides = (
            ("source", "source", desk.by_source, desk.leads.sources),
            ("industry", "industry", desk.by_industry, desk.leads.industries),
            ("marketer", "marketer_id", desk.by_marketer, desk.leads.marketers),
        )

    def values(self, lead: Lead) -> LeadValues:
        """The lead's columns of the spec, as of the end of the data."""
        spec = self._world.spec
        numbers = {**self._origin(lead), **self._account(lead), **self._creation(lead)}
        for name, column, log, words in self._sides:
            numbers[f"lead_won_rate_730d_by_{name}"] = self._rate(name, log, words, lead.text(column))
        for column, name in spec.custom_numeric:
            numbers[name] = finite(lead.cells.get(column))
        return LeadValues(numbers, {name: lead.text(name) for name in spec.lead_categorical})

    def _origin(self, lead: Lead) -> dict[str, float]:
        referrer, won = lead.text("referred_by_lead_id"), 0.0
        if referrer:
            desk = self._world.desk
            won = float(desk.by_lead.held("won", _code(desk.leads.ids, referrer), self._at)[0] > 0)
        return {
            "lead_has_referral": float(referrer != ""),
            "lead_referrer_won": won,
            "lead_has_account": float(lead.text("account_id") != ""),
            "lead_own_prospect": float(lead.text("sourced_by_rep_id") != ""),
        }

    def _account(self, lead: Lead) -> dict[str, float]:
        account, desk = lead.text("account_id"), self._world.desk
        won, lost, days = 0.0, 0.0, math.nan
        if account:
            code = _code(desk.leads.accounts, account)
            window = desk.by_account.before(code, self._at)
            won = float(window.total("won")[0])
            lost = float(window.total("resolved")[0]) - won
            days = float(desk.account_deals.days_since(code, self._at)[0])
        return {
            "lead_account_leads_won": won,
            "lead_account_leads_lost": lost,
            "lead_days_since_account_deal": days,
        }

    def _creation(self, lead: Lead) -> dict[str, float]:
        if lead.created_at == moments.NEVER:
            return dict.fromkeys(("lead_hour_of_day", "lead_weekday", "lead_month_of_year"), math.nan)
        when = moments.to_datetime(lead.created_at, self._world.tables.zone)
        return {
            "lead_hour_of_day": float(when.hour),
            "lead_weekday": float(when.isoweekday()),
            "lead_month_of_year": float(when.month),
        }

    def _rate(self, name: str, log: EventLog, words: pd.Index, text: str) -> float:
        key = (name, text)
        if key not in self._rates:
            _forget(self._rates)
            self._rates[key] = float(self._world.desk.rate_by(log, _code(words, text), self._at)[0])
        return self._rates[key]

    def pairs(self, lead: Lead) -> Mapping[str, Floats]:
        """(R,) values of each pair column asked for."""
        return {name: self._pair(name, lead) for name in self._pair_names}

    def _pair(self, name: str, lead: Lead) -> Floats:
        column = _DECIDED_BY.get(name)
        text = lead.text(column) if column else "\t".join(lead.text(kind) for kind in (*_KINDS, "account_id"))
        key = (name, text)
        if key not in self._pairs:
            _forget(self._pairs, max(_MOST_PAIR_BYTES // max(self._all_at.nbytes, 1), 64))
            self._pairs[key] = self._made(name, text, lead)
        return self._pairs[key]

    def _made(self, name: str, text: str, lead: Lead) -> Floats:
        logs, index = self._world.logs, self._world.desk.leads
        match name:
            case "pair_resolved_leads_730d_by_source":
                return self._resolved(logs.outcomes.by_source, index.sources, text)
            case "pair_resolved_leads_730d_by_industry":
                return self._resolved(logs.outcomes.by_industry, index.industries, text)
            case "pair_resolved_leads_730d_by_territory":
                return self._resolved(logs.outcomes.by_territory, index.territories, text)
            case "pair_declared_industry_match":
                return self._listed(logs.statics.industries, text)
            case "pair_territory_match":
                return self._listed(logs.statics.territories, text)
            case "pair_account_leads":
                return self._account_leads(text)
            case _:
                frame = self._world.pair_features(lead.frame(), self._ids, self._world.as_of)
                return np.asarray(frame[name], dtype=np.float64)

    def _listed(self, listed: Listed, text: str) -> Floats:
        known = self._world.logs.statics.known_at[self._reps] < self._all_at
        asked = pd.Series([text] * len(self._reps), dtype="str")
        return np.where(known, listed.match(self._reps, asked), np.nan)

    def _resolved(self, log: EventLog, words: pd.Index, text: str) -> Floats:
        code = np.broadcast_to(_code(words, text), self._reps.shape)
        return log.before(combine(self._reps, code, len(words)), self._all_at).total("resolved").astype(np.float64)

    def _account_leads(self, text: str) -> Floats:
        accounts = self._world.desk.leads.accounts
        code = np.broadcast_to(_code(accounts, text), self._reps.shape)
        keys = combine(self._reps, code, len(accounts))
        return self._world.logs.leads.new_by_account.before(keys, self._all_at).count().astype(np.float64)


def _code(words: pd.Index, text: str) -> Ints:
    """(1,) position of a text in a vocabulary, -1 where it is not there."""
    try:
        return np.array([words.get_loc(text)], dtype=np.int64)
    except KeyError:
        return np.array([-1], dtype=np.int64)


def _forget(
    remembered: dict[tuple[str, str], float] | dict[tuple[str, str], Floats], most: int = _MOST_REMEMBERED
) -> None:
    """Callers choose the texts, so what is remembered is bounded."""
    if len(remembered) >= most:
        remembered.clear()
