"""Whose an account is: the rep who was handed its newest lead, or the newest one that has not come to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.codes import codes_of, vocabulary_of
from features.moments import DAY, NEVER
from features.outcomes import first_deals, hand_overs
from features.tables import Tables

Ints = npt.NDArray[np.int64]

LIVE: Final = "live"


@dataclass(frozen=True)
class AccountOwners:
    """Hand-overs of leads that have an account, by account and rising in time; arrays (n,).

    `starts`: first row of each account, and its number of rows. `ended_at`: until when the lead makes the account his;
    NEVER where for good. `closed`: the same of every closed lead, by lead_id; `dead_after`: microseconds that a lead
    without a deal counts for, None: for good.
    """

    starts: dict[str, tuple[int, int]]
    rep_ids: npt.NDArray[np.object_]
    assigned_at: Ints
    ended_at: Ints
    closed: dict[str, int]
    dead_after: int | None

    def owner(self, account: str, moment: int) -> tuple[str, int] | None:
        """Rep whose the account is at the moment, and since when; None where it is nobody's."""
        start, n = self.starts.get(account, (0, 0))
        for row in range(start + n - 1, start - 1, -1):
            if self.assigned_at[row] < moment <= self.ended_at[row]:
                return str(self.rep_ids[row]), int(self.assigned_at[row])
        return None

    def still(self, lead_id: str, since: int, moment: int) -> bool:
        """Whether a lead handed over at `since`, by a decision that the tables need not know, still makes it his."""
        open_until = NEVER if self.dead_after is None else since + self.dead_after
        return moment <= self.closed.get(lead_id, open_until)


def account_owners(known: Tables, *, live: bool, dead_after_days: int) -> AccountOwners:
    """Owners of accounts by what the tables hold.

    `live`: a lead counts until its first deal is lost, for good where that is won, and without a deal for
    `dead_after_days` from its hand-over; otherwise every lead counts for good.
    """
    accounts = known.leads.set_index("lead_id")["account_id"]
    overs = hand_overs(known)
    overs = overs.assign(account=overs["lead_id"].map(accounts).fillna(""))
    overs = overs.loc[(overs["account"] != "").to_numpy()]
    codes, names = pd.factorize(overs["account"])
    order = np.lexsort((overs["assigned_at"].to_numpy(dtype=np.int64), codes))
    overs, codes = overs.iloc[order], codes[order]
    assigned = overs["assigned_at"].to_numpy(dtype=np.int64)
    ended, closed = np.full(len(overs), NEVER, dtype=np.int64), dict[str, int]()
    if live:
        deals = first_deals(known)
        until = np.where(deals["won"].to_numpy(dtype=bool), NEVER, deals["closed_at"].to_numpy(dtype=np.int64))
        closed = dict(zip(deals.index.astype(str), until.tolist(), strict=True))
        place = codes_of(vocabulary_of(deals.index.to_series()), overs["lead_id"])
        ended = np.where(place >= 0, np.append(until, NEVER)[place], assigned + dead_after_days * DAY)
    first, counts = np.unique(codes, return_index=True, return_counts=True)[1:]
    places = zip(first.tolist(), counts.tolist(), strict=True)
    return AccountOwners(
        dict(zip((str(name) for name in names), places, strict=True)), overs["rep_id"].to_numpy(dtype=object), assigned,
        ended, closed, dead_after_days * DAY if live else None,
    )  # fmt: skip
