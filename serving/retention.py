"""Erasure on request and by age: what went, what stays, and why, in words.

References
----------
GDPR 5(1)(e) and 17; PIPL 19 and 47. Logs of automated decisions are kept for at least six months where the EU AI Act
(26(6)) applies; shorter times are told so.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from features import moments
from features.config import Config
from serving.home import home_from
from serving.session import clock, open_store, read_settings
from serving.store import Store
from serving.store.erasure import Erased
from serving.texts import Lang, as_lang, number, t

BY: Final = "command line"
_LEAST_MONTHS: Final = 6


@dataclass(frozen=True)
class Told:
    """What an erasure did: numbers for programs, sentences for people."""

    numbers: dict[str, Any]
    words: tuple[str, ...]


def erase_lead(home: Path | None, config: Path | None, lang: str | None, lead_id: str, reason: str) -> Told:
    """Erase all that the store says about a lead. UnknownLeadError where it says nothing."""
    spoken, _ = _settings(home, config, lang)
    with open_store(home, config) as store:
        with store.transaction() as tx:
            n = tx.erase_lead(lead_id, at=clock(), by=BY, reason=reason)
        _scrub(store)
    words = [t(spoken, "erasure.lead", lead=lead_id, n=number(spoken, n)), *_kept(spoken, "lead")]
    return Told(asdict(Erased(n_leads=1, n_payloads=n)), tuple(words))


def erase_rep(home: Path | None, config: Path | None, lang: str | None, rep_id: str, reason: str) -> Told:
    """Take a rep's identity out of the store. RequestError while he has places in the running week."""
    spoken, settings = _settings(home, config, lang)
    now = clock()
    week = moments.week_text(now, settings.general.zone)
    with open_store(home, config) as store:
        with store.transaction() as tx:
            found = tx.erase_rep(rep_id, at=now, week=week, by=BY, reason=reason)
        _scrub(store)
    n, rows = number(spoken, found.n_renamed), number(spoken, found.n_event_rows)
    words = [t(spoken, "erasure.rep", rep=rep_id, n=n, rows=rows), *_kept(spoken, "rep")]
    return Told(asdict(found), tuple(words))


def retain(home: Path | None, config: Path | None, lang: str | None, keep_months: int, *, dry_run: bool) -> Told:
    """Erase leads, and resolved warnings, of which nothing was decided or received for `keep_months` months."""
    spoken, settings = _settings(home, config, lang)
    now, zone = clock(), settings.general.zone
    before = moments.from_datetime(
        (pd.Timestamp(moments.to_datetime(now, zone)) - pd.DateOffset(months=keep_months)).to_pydatetime(), zone
    )
    n_warnings, found = 0, Erased()
    with open_store(home, config) as store:
        with store.read() as view:
            n_all = sum(view.counts().by_policy.values()) + view.counts().held
        with store.transaction() as tx:
            leads = tx.leads_before(before)
            if not dry_run:
                reason = f"retention: {keep_months} months"
                found = tx.erase_leads(leads, at=now, by=BY, reason=reason) if leads else found
                n_warnings = tx.erase_warnings_before(before)
        if not dry_run:
            _scrub(store)
        with store.read() as view:
            n_held, n_left = view.counts().held, sum(view.counts().by_policy.values())
    day = moments.day_of(before, zone).isoformat()
    key = "erasure.would" if dry_run else "erasure.retained"
    words = [t(spoken, key, day=day, leads=number(spoken, len(leads)), n=number(spoken, found.n_payloads))]
    if keep_months < _LEAST_MONTHS:
        words.append(t(spoken, "erasure.short", months=_LEAST_MONTHS))
    words.append(t(spoken, "erasure.stays", held=number(spoken, n_held), left=number(spoken, n_left)))
    numbers = {
        **asdict(found), "n_leads": len(leads), "n_warnings": n_warnings, "before": day, "dry_run": dry_run,
        "n_decisions_before": n_all, "n_held_kept": n_held,
    }  # fmt: skip
    return Told(numbers, (*words, *_kept(spoken, "lead")))


def _settings(home: Path | None, config: Path | None, lang: str | None) -> tuple[Lang, Config]:
    settings, _, spoken = read_settings(None, home_from(home), config, lang)
    return as_lang(spoken), settings


def _kept(lang: Lang, what: str) -> list[str]:
    return [t(lang, f"erasure.kept_{what}"), t(lang, "erasure.elsewhere")]


def _scrub(store: Store) -> None:
    """Empty what the database keeps beside its file; the erasure itself is durable already."""
    store.scrub()
