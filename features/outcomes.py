"""What became of each lead, and what each rep contributed, as a moment knows it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.codes import codes_of, vocabulary_of
from features.moments import ALWAYS, DAY, NEVER
from features.tables import Tables

Ints = npt.NDArray[np.int64]

CENTS = 100.0
_COLUMNS = {
    "lead_id": "str",
    "rep_id": "str",
    "created_at": "int64",
    "assigned_at": "int64",
    "n_handovers": "int64",
    "own_prospect": "bool",
    "outcome": "str",
    "resolved_at": "int64",
    "amount": "float64",
    "first_contact_at": "int64",
    "last_activity_at": "int64",
}


def hand_overs(tables: Tables) -> pd.DataFrame:
    """Every time a lead came into a rep's hands: lead_id, rep_id, assigned_at, known_at, real; in order of time.

    The first one of a lead is marked by its place. A rep's own prospect comes into his hands when it is created
    (`real` False, as no assignment says so). Ties are ordered by what is known first, then by the rep's hire, so
    that neither the order of rows nor, but for the last resort, the names of reps decide.
    """
    prospects = tables.leads.loc[(tables.leads["sourced_by_rep_id"] != "").to_numpy()]
    own = pd.DataFrame(
        {
            "lead_id": prospects["lead_id"],
            "rep_id": prospects["sourced_by_rep_id"],
            "assigned_at": prospects["created_at"],
            "known_at": prospects["known_at"],
            "real": np.zeros(len(prospects), dtype=bool),
        }
    )
    given = tables.assignments[["lead_id", "rep_id", "assigned_at", "known_at"]].assign(real=True)
    both = pd.concat([own, given], ignore_index=True) if len(own) else given.reset_index(drop=True)
    hired = tables.reps.drop_duplicates("rep_id").set_index("rep_id")["hired_on"]
    order = np.lexsort(
        (
            pd.factorize(both["rep_id"], sort=True)[0],
            _times_of(both["rep_id"], hired),
            both["known_at"].to_numpy(dtype=np.int64),
            both["real"].to_numpy(dtype=bool),
            both["assigned_at"].to_numpy(dtype=np.int64),
            pd.factorize(both["lead_id"], sort=True)[0],
        )
    )
    return both.iloc[order].reset_index(drop=True)


def _times_of(ids: pd.Series, times: pd.Series, missing: int = NEVER) -> Ints:
    """Time of each id, `missing` where there is none; stays in integers, which hold NEVER where floats do not."""
    place = codes_of(vocabulary_of(times.index.to_series()), ids)
    found = np.append(times.to_numpy(dtype=np.int64), missing)
    return np.asarray(found[place], dtype=np.int64)


def first_deals(tables: Tables) -> pd.DataFrame:
    """The deal that closed each lead, indexed by lead_id: closed_at, won (bool), amount (int64 cents), known_at.

    The earliest `closed_at` decides; of several at one moment a won one, then the largest.
    """
    deals = tables.deals[["lead_id", "closed_at", "status", "amount", "known_at", "deal_id"]]
    won = (deals["status"] == "won").to_numpy()
    ranked = deals.assign(won=won, _lost=~won, _less=-deals["amount"])
    ranked = ranked.sort_values(["lead_id", "closed_at", "_lost", "_less", "deal_id"], kind="stable")
    return ranked.drop_duplicates("lead_id").set_index("lead_id")[["closed_at", "won", "amount", "known_at"]]


def lead_outcomes(tables: Tables, as_of: int, dead_after_days: int) -> pd.DataFrame:
    """What `as_of` knows of every lead that is or was in a rep's hands, one row a lead, sorted by lead_id.

    `rep_id` is the last owner, for a closed lead the last before it closed; `assigned_at` his hand-over. `outcome`
    is won, lost (the first deal decides), dead (no activity for `dead_after_days` since the later of hand-over and
    last activity) or open. `resolved_at`: the close, for dead leads the end of those days, else NEVER. `amount` in
    major units, NaN unless won. `first_contact_at`: first activity at or after the first hand-over; NEVER if none.
    Times int64 microseconds. Rows that `as_of` does not know change nothing.
    """
    known = tables.known(as_of)
    ids = vocabulary_of(known.leads["lead_id"])
    overs = hand_overs(known)
    lead = codes_of(ids, overs["lead_id"])
    overs, lead = overs.loc[lead >= 0].reset_index(drop=True), lead[lead >= 0]
    if not len(overs):
        return pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in _COLUMNS.items()})
    deals = first_deals(known)
    place = codes_of(vocabulary_of(deals.index.to_series()), ids)
    closed = np.append(deals["closed_at"].to_numpy(dtype=np.int64), NEVER)[place]
    first, owner = _deciding(lead, overs["assigned_at"].to_numpy(dtype=np.int64), closed)
    # Hand-overs come sorted by the lead's text, so their order gives the leads' order.
    ordered = lead[np.sort(first[first >= 0])]
    rows = overs.iloc[owner[ordered]]
    frame = rows[["lead_id", "rep_id", "assigned_at"]].reset_index(drop=True)
    frame["created_at"] = known.leads["created_at"].to_numpy(dtype=np.int64)[ordered]
    frame["own_prospect"] = (known.leads["sourced_by_rep_id"] != "").to_numpy()[ordered]
    n_given = np.bincount(lead, weights=overs["real"].to_numpy(dtype=np.float64), minlength=len(ids))[ordered]
    frame["n_handovers"] = np.maximum(n_given.astype(np.int64), 1)
    since = np.append(overs["assigned_at"].to_numpy(dtype=np.int64), NEVER)[first]
    contact, last = _contacts(known, ids, since)
    frame["first_contact_at"], frame["last_activity_at"] = contact[ordered], last[ordered]
    place = place[ordered]
    won = np.append(deals["won"].to_numpy(dtype=bool), False)[place]
    cents = np.append(deals["amount"].to_numpy(dtype=np.float64), np.nan)[place]
    frame["amount"] = np.where(won, cents / CENTS, np.nan)
    return _resolve(frame, closed[ordered], won, as_of, dead_after_days)


def _deciding(lead: Ints, assigned: Ints, closed: Ints) -> tuple[Ints, Ints]:
    """Row of each lead's first hand-over, and of the one that decides: the last not after the close, else the first.

    `lead` codes the rows, in the order of hand-overs; -1 for leads without any. Both int64 (number of leads,).
    """
    rows = np.arange(len(lead))
    first = np.full(len(closed), len(lead), dtype=np.int64)
    np.minimum.at(first, lead, rows)
    first[first == len(lead)] = -1
    last = np.full(len(closed), -1, dtype=np.int64)
    in_time = assigned <= closed[lead]
    np.maximum.at(last, lead[in_time], rows[in_time])
    return first, np.where(last >= 0, last, first)


def _contacts(known: Tables, ids: pd.Index, since: Ints) -> tuple[Ints, Ints]:
    """Each lead's first activity at or after `since` (NEVER if none) and its last of all (ALWAYS if none)."""
    lead = codes_of(ids, known.activities["lead_id"])
    occurred = known.activities["occurred_at"].to_numpy(dtype=np.int64)[lead >= 0]
    lead = lead[lead >= 0]
    first, last = np.full(len(ids), NEVER, dtype=np.int64), np.full(len(ids), ALWAYS, dtype=np.int64)
    after = occurred >= since[lead]
    np.minimum.at(first, lead[after], occurred[after])
    np.maximum.at(last, lead, occurred)
    return first, last


def _resolve(
    frame: pd.DataFrame, closed: Ints, won: npt.NDArray[np.bool_], as_of: int, dead_after_days: int
) -> pd.DataFrame:
    """`frame` with outcome and resolved_at, its columns in order."""
    last = frame["last_activity_at"].to_numpy(dtype=np.int64)
    dies = np.maximum(frame["assigned_at"].to_numpy(dtype=np.int64), last) + dead_after_days * DAY
    has_deal = closed != NEVER
    dead = ~has_deal & (dies < as_of)
    state = np.select([won, has_deal, dead], ["won", "lost", "dead"], default="open")
    frame["outcome"] = pd.Series(state, index=frame.index, dtype="str")
    frame["resolved_at"] = np.where(has_deal, closed, np.where(dead, dies, NEVER))
    frame["last_activity_at"] = np.where(last == ALWAYS, NEVER, last)
    return frame[list(_COLUMNS)].astype(_COLUMNS)


def contributions(tables: Tables, as_of: int) -> pd.DataFrame:
    """Contribution of each rep and month that `as_of` knows: rep_id, month, amount (major units), n_won.

    All won deals count, repeat purchases too, in the month of `closed_at`; sorted by rep and month, months without
    a won deal have no row.
    """
    deals = tables.known(as_of).deals
    won = deals.loc[(deals["status"] == "won").to_numpy()]
    months = moments.months_of(won["closed_at"].to_numpy(dtype=np.int64), tables.zone)
    summed = (
        pd.DataFrame({"rep_id": won["rep_id"].to_numpy(), "month": months, "cents": won["amount"].to_numpy()})
        .groupby(["rep_id", "month"], as_index=False, sort=True)
        .agg(cents=("cents", "sum"), n_won=("cents", "size"))
    )
    return pd.DataFrame(
        {
            "rep_id": summed["rep_id"].astype("str"),
            "month": summed["month"].astype("int64"),
            "amount": summed["cents"].astype("int64") / CENTS,
            "n_won": summed["n_won"].astype("int64"),
        }
    )
