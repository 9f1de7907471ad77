"""What became of each lead, and what each rep contributed, as a moment knows it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
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
    both["hired_on"] = _times_of(both["rep_id"], hired)
    order = ["lead_id", "assigned_at", "real", "known_at", "hired_on", "rep_id"]
    return both.sort_values(order, kind="stable", ignore_index=True).drop(columns="hired_on")


def _times_of(ids: pd.Series, times: pd.Series, missing: int = NEVER) -> Ints:
    """Time of each id, `missing` where there is none; stays in integers, which hold NEVER where floats do not."""
    place = times.index.get_indexer(pd.Index(ids))
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
    overs = _known_overs(known)
    if not len(overs):
        return pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in _COLUMNS.items()})
    deals = first_deals(known)
    overs["closed_at"] = _times_of(overs["lead_id"], deals["closed_at"])
    owner = _last_owner(overs)
    frame = owner[["lead_id", "rep_id", "assigned_at", "closed_at"]].reset_index(drop=True)
    leads = known.leads.set_index("lead_id")
    frame["created_at"] = _times_of(frame["lead_id"], leads["created_at"])
    frame["own_prospect"] = (leads["sourced_by_rep_id"].reindex(frame["lead_id"]) != "").to_numpy()
    counted = overs.groupby("lead_id", sort=True)
    frame["n_handovers"] = np.maximum(counted["real"].sum().to_numpy(), 1).astype(np.int64)
    first = counted["assigned_at"].min()
    frame["first_contact_at"] = _times_of(frame["lead_id"], _first_contacts(known, first))
    last = _times_of(frame["lead_id"], known.activities.groupby("lead_id")["occurred_at"].max(), ALWAYS)
    return _resolve(frame, last, deals, as_of, dead_after_days)


def _known_overs(known: Tables) -> pd.DataFrame:
    overs = hand_overs(known)
    return overs.loc[overs["lead_id"].isin(known.leads["lead_id"]).to_numpy()].reset_index(drop=True)


def _last_owner(overs: pd.DataFrame) -> pd.DataFrame:
    """The hand-over that decides each lead: the last one not after its close, else its first."""
    in_time = (overs["assigned_at"] <= overs["closed_at"]).to_numpy()
    last = overs.loc[in_time].drop_duplicates("lead_id", keep="last")
    first = overs.drop_duplicates("lead_id")
    late = first.loc[~first["lead_id"].isin(last["lead_id"]).to_numpy()]
    return pd.concat([last, late]).sort_values("lead_id", kind="stable")


def _first_contacts(known: Tables, first: pd.Series) -> pd.Series:
    """Earliest activity of each lead at or after `first` (indexed by lead_id)."""
    done = known.activities[["lead_id", "occurred_at"]]
    since = _times_of(done["lead_id"], first)
    return done.loc[done["occurred_at"].to_numpy(dtype=np.int64) >= since].groupby("lead_id")["occurred_at"].min()


def _resolve(frame: pd.DataFrame, last: Ints, deals: pd.DataFrame, as_of: int, dead_after_days: int) -> pd.DataFrame:
    """`frame` with outcome, resolved_at, amount and last_activity_at, columns in order."""
    closed = frame["closed_at"].to_numpy(dtype=np.int64)
    dies = np.maximum(frame["assigned_at"].to_numpy(dtype=np.int64), last) + dead_after_days * DAY
    has_deal = closed != NEVER
    won = frame["lead_id"].map(deals["won"]).eq(True).to_numpy() if len(deals) else np.zeros(len(frame), dtype=bool)
    dead = ~has_deal & (dies < as_of)
    frame["outcome"] = pd.Series(
        np.select([won, has_deal, dead], ["won", "lost", "dead"], default="open"), index=frame.index, dtype="str"
    )
    frame["resolved_at"] = np.where(has_deal, closed, np.where(dead, dies, NEVER))
    amount = frame["lead_id"].map(deals["amount"]).to_numpy(dtype=np.float64) if len(deals) else np.nan
    frame["amount"] = np.where(won, amount / CENTS, np.nan)
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
