"""Features of leads, and of a lead in a rep's hands, at any moment; `features.definitions` says what each means."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.codes import codes_of
from features.desk import Desk, lead_text, smoothed
from features.event_log import EventLog
from features.moments import HOUR, NEVER, local_days
from features.rep_features import Columns
from features.rep_logs import RepLogs, combine
from features.spec import FeatureSpec

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def lead_columns(desk: Desk, spec: FeatureSpec, leads: pd.DataFrame, moments: Ints, zone: str) -> Columns:
    """Every lead number by name, float64 (n,) each; `leads` is laid out as the table, its leads may be new."""
    return {
        **_origin(desk, leads, moments),
        **_account(desk, leads, moments),
        **_creation(leads, zone),
        **_rates(desk, leads, moments),
        **_custom(spec, leads),
    }


def lead_categories(spec: FeatureSpec, leads: pd.DataFrame) -> dict[str, pd.Series]:
    """Every lead category by name, str, "" where missing."""
    return {name: lead_text(leads, name).reset_index(drop=True) for name in spec.lead_categorical}


def _given(leads: pd.DataFrame, name: str) -> Floats:
    return (lead_text(leads, name) != "").to_numpy().astype(np.float64)


def _origin(desk: Desk, leads: pd.DataFrame, moments: Ints) -> Columns:
    referrer = codes_of(desk.leads.ids, lead_text(leads, "referred_by_lead_id"))
    return {
        "lead_has_referral": _given(leads, "referred_by_lead_id"),
        "lead_referrer_won": (desk.by_lead.held("won", referrer, moments) > 0).astype(np.float64),
        "lead_has_account": _given(leads, "account_id"),
        "lead_own_prospect": _given(leads, "sourced_by_rep_id"),
    }


def _account(desk: Desk, leads: pd.DataFrame, moments: Ints) -> Columns:
    account = codes_of(desk.leads.accounts, lead_text(leads, "account_id"))
    window = desk.by_account.before(account, moments)
    won = window.total("won")
    return {
        "lead_account_leads_won": won.astype(np.float64),
        "lead_account_leads_lost": (window.total("resolved") - won).astype(np.float64),
        "lead_days_since_account_deal": desk.account_deals.days_since(account, moments),
    }


def _creation(leads: pd.DataFrame, zone: str) -> Columns:
    """Local hour, weekday (Monday is 1) and month of creation, NaN where a lead has no time."""
    created = leads["created_at"].to_numpy(dtype=np.int64)
    some = created != NEVER
    stamps = created[some]
    days = local_days(stamps, zone)
    hour, weekday, month = (np.full(len(created), np.nan) for _ in range(3))
    hour[some] = _local(stamps, zone) // HOUR % 24
    weekday[some] = (days + 3) % 7 + 1
    month[some] = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    return {"lead_hour_of_day": hour, "lead_weekday": weekday, "lead_month_of_year": month}


def _local(stamps: Ints, zone: str) -> Ints:
    """Moments shifted to local clock time."""
    aware = pd.to_datetime(stamps, unit="us", utc=True).tz_convert(zone)
    return np.asarray(aware.tz_localize(None).as_unit("us").asi8, dtype=np.int64)


def _rates(desk: Desk, leads: pd.DataFrame, moments: Ints) -> Columns:
    index = desk.leads
    sides = (
        ("source", "source", desk.by_source, index.sources),
        ("industry", "industry", desk.by_industry, index.industries),
        ("marketer", "marketer_id", desk.by_marketer, index.marketers),
    )
    return {
        f"lead_won_rate_730d_by_{name}": desk.rate_by(log, codes_of(words, lead_text(leads, column)), moments)
        for name, column, log, words in sides
    }


def _custom(spec: FeatureSpec, leads: pd.DataFrame) -> Columns:
    """The numbers that the data bring; NaN where a request leaves one out or gives no number."""
    found: Columns = {}
    for column, name in spec.custom_numeric:
        if column in leads.columns:
            found[name] = pd.to_numeric(leads[column], errors="coerce").to_numpy(dtype=np.float64)
        else:
            found[name] = np.full(len(leads), np.nan)
    return found


def pair_columns(logs: RepLogs, desk: Desk, leads: pd.DataFrame, reps: Ints, moments: Ints) -> Columns:
    """Every feature of a lead in a rep's hands by name, float64 (n,) each; row i asks for leads[i] and reps[i]."""
    index, outcomes, statics = desk.leads, logs.outcomes, logs.statics
    whole = outcomes.by_rep[730].before(reps, moments)
    own = smoothed(whole.total("won"), whole.total("resolved"), desk.rate(moments))
    source = codes_of(index.sources, lead_text(leads, "source"))
    industry = codes_of(index.industries, lead_text(leads, "industry"))
    territory = codes_of(index.territories, lead_text(leads, "territory"))
    found: Columns = {}
    sides = (
        ("source", outcomes.by_source, source, len(index.sources)),
        ("industry", outcomes.by_industry, industry, len(index.industries)),
        ("territory", outcomes.by_territory, territory, len(index.territories)),
    )
    for name, log, code, n in sides:
        rate, resolved = _own_rate(log, combine(reps, code, n), moments, own)
        found[f"pair_won_rate_730d_by_{name}"] = rate
        found[f"pair_resolved_leads_730d_by_{name}"] = resolved
    account = codes_of(index.accounts, lead_text(leads, "account_id"))
    keys = combine(reps, account, len(index.accounts))
    found["pair_account_leads"] = logs.leads.new_by_account.before(keys, moments).count().astype(np.float64)
    known = statics.known_at[reps] < moments
    for feature, column, listed in (
        ("pair_declared_industry_match", "industry", statics.industries),
        ("pair_territory_match", "territory", statics.territories),
    ):
        found[feature] = np.where(known, listed.match(reps, lead_text(leads, column)), np.nan)
    return found


def _own_rate(log: EventLog, keys: Ints, moments: Ints, own: Floats) -> tuple[Floats, Floats]:
    """A rep's conversion of one kind of lead, shrunk to his own, and how many such leads resolved."""
    window = log.before(keys, moments)
    resolved = window.total("resolved")
    return smoothed(window.total("won"), resolved, own), resolved.astype(np.float64)
