"""Leads that nobody has contacted within the configured hours, and what moving each to another rep would bring.

Only what is known counts: the clock stops at the end of the data, and where no activities are known at all nobody can
be said to be late. What a lead is worth now is its worth with the rep, less what its time without a call has taken;
the same for both reps, as if either called now, so the gain is of the reps alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from features import moments
from features.moments import DAY, HOUR
from features.outcomes import lead_outcomes
from models.routing.policy import Exclusion
from serving.board import Board
from serving.desk import RoutingDesk
from serving.leads import Lead, leads_of
from serving.store import Reader, StoredDecision, Transaction

Json = dict[str, Any]
Floats = npt.NDArray[np.float64]

WINDOW: Final = 30 * DAY  # later than that a lead is idle, which warnings look after
MOST: Final = 200
_MOST_JUDGED: Final = 1_000  # the newest of them: a lead that waits for a fourth week hardly waits for this
NOT_CONTACTED: Final = "not_contacted"  # the reason of a move, as the log has it
_PAGE: Final = 10_000


@dataclass(frozen=True)
class Late:
    """A lead that its rep has not contacted in time. `stored`: its decision, None where others gave it."""

    lead_id: str
    rep_id: str
    owned_at: int
    stored: StoredDecision | None


@dataclass(frozen=True)
class Overdue:
    """A late lead, `hours` without a call, its worth with its rep, and the best other rep with room (None: nobody).

    `gain`, `gain_wins`: expected money and wins by moving, `price` of the place already taken off `gain` where money is
    what routing maximises; `net`: gain in what routing maximises, less the price. All None without a model.
    """

    late: Late
    hours: float
    value: float | None
    best_rep_id: str | None = None
    gain: float | None = None
    gain_wins: float | None = None
    price: float | None = None
    net: float | None = None

    def as_dict(self, zone: str) -> Json:
        """JSON-able form."""
        return {
            "lead_id": self.late.lead_id,
            "rep_id": self.late.rep_id,
            "decided": self.late.stored is not None,
            "given_at": moments.iso(self.late.owned_at, zone),
            "hours": round(self.hours, 1),
            "expected_value": self.value,
            "best_rep_id": self.best_rep_id,
            "gain": self.gain,
            "gain_wins": self.gain_wins,
            "capacity_price": self.price,
        }


def clock(board: Board, now: int) -> int:
    """The moment at which it is judged who is late: now, or the end of what is known."""
    return min(now, board.as_of)


def late_leads(view: Reader, board: Board, now: int, contact_hours: float) -> list[Late]:
    """Leads given within the last 30 days, open, and without activity since they were given; the longest first."""
    known, at = board.known, clock(board, now)
    if not len(known.activities):
        return []
    limit = round(contact_hours * HOUR)
    last = known.activities.groupby("lead_id")["occurred_at"].max()
    closed = frozenset(known.deals["lead_id"].tolist())
    found: dict[str, Late] = {}
    for late in [*_in_tables(board, at), *_decided(view, at)]:
        before = found.get(late.lead_id)
        if before is None or late.owned_at >= before.owned_at:
            found[late.lead_id] = late
        elif late.stored is not None:
            found[late.lead_id] = Late(before.lead_id, before.rep_id, before.owned_at, late.stored)
    silent = [
        one
        for one in found.values()
        if at - WINDOW <= one.owned_at <= at - limit
        and one.lead_id not in closed
        and int(last.get(one.lead_id, moments.ALWAYS)) < one.owned_at
        and one.rep_id in board.index
    ]
    return sorted(silent, key=lambda one: (one.owned_at, one.lead_id))


def _in_tables(board: Board, at: int) -> list[Late]:
    outcomes = lead_outcomes(board.tables, board.as_of, board.config.leads.dead_after_days)
    given = outcomes["assigned_at"].to_numpy(dtype=np.int64)
    is_open = (outcomes["outcome"] == "open").to_numpy() & ~outcomes["own_prospect"].to_numpy(dtype=bool)
    rows = outcomes.loc[is_open & (given >= at - WINDOW) & (given < at)]
    times = rows["assigned_at"].to_numpy(dtype=np.int64)
    return [
        Late(str(lead), str(rep), int(when), None)
        for lead, rep, when in zip(rows["lead_id"], rows["rep_id"], times, strict=True)
    ]


def _decided(view: Reader, at: int) -> list[Late]:
    items = view.decisions(status="assigned", since=at - WINDOW, limit=_PAGE, newest_first=True).items
    return [
        Late(one.lead_id, one.owner_rep_id, one.owned_at, one)
        for one in items
        if one.owner_rep_id is not None and one.owned_at is not None and not one.lead.get("sourced_by_rep_id")
    ]


def assess(tx: Transaction, desk: RoutingDesk, late: Sequence[Late], now: int) -> list[Overdue]:
    """What moving each lead would bring, the largest gain first; at most `MOST` of them."""
    late = late[-_MOST_JUDGED:]
    leads = _leads(desk, late)
    price = desk.prices_now(tx, now)
    found = [_judge(tx, desk, one, leads[one.lead_id], now, price) for one in late if one.lead_id in leads]
    found.sort(key=lambda one: (-(one.net if one.net is not None else -np.inf), one.late.owned_at, one.late.lead_id))
    return found[:MOST]


def _leads(desk: RoutingDesk, late: Sequence[Late]) -> Mapping[str, Lead]:
    found = {one.lead_id: desk.lead_of(one.stored) for one in late if one.stored is not None}
    rest = [one.lead_id for one in late if one.stored is None]
    table = desk.board.known.leads
    rows = table.loc[table["lead_id"].isin(rest).to_numpy()].reset_index(drop=True)
    return found | {lead.lead_id: lead for lead in leads_of(rows, [{}] * len(rows))}


def _judge(tx: Transaction, desk: RoutingDesk, late: Late, lead: Lead, now: int, price: Floats) -> Overdue:
    board = desk.board
    week = desk.book.week_of(tx, now)
    owner = board.index[late.rep_id]
    hours = (clock(board, now) - late.owned_at) / HOUR
    exclusion, _ = board.exclusions(now, lead.text("territory"), week.used)
    free = np.asarray(exclusion == Exclusion.NONE, dtype=np.bool_)
    free[owner] = False
    worths = worth_now(desk, lead, now, hours)
    if worths is None:
        share = np.where(free, week.used / np.maximum(board.capacity, 1), np.inf)
        best = board.rep_ids[int(share.argmin())] if free.any() else None
        return Overdue(late, hours, None, best)
    p, worth = worths
    if board.gone(owner, now):
        p[owner] = worth[owner] = 0.0
    wins = board.config.routing.objective == "wins"
    own_price = price[owner] if (late.rep_id, late.lead_id) in week.placed else 0.0
    net = (p if wins else worth) - price
    net = np.where(free, net - ((p if wins else worth)[owner] - own_price), -np.inf)
    if not free.any():
        return Overdue(late, hours, float(worth[owner]))
    best_rep = int(net.argmax())
    paid = float(price[best_rep] - own_price)
    gain = float(worth[best_rep] - worth[owner]) - (0.0 if wins else paid)
    return Overdue(
        late, hours, float(worth[owner]), board.rep_ids[best_rep], gain, float(p[best_rep] - p[owner]), paid,
        float(net[best_rep]),
    )  # fmt: skip


def worth_now(desk: RoutingDesk, lead: Lead, now: int, hours: float) -> tuple[Floats, Floats] | None:
    """(R,) chance and worth of a lead that is still open after so many hours; None without a model."""
    unit = desk.board.unit
    if unit is None:
        return None
    values = desk.values_of(lead, now)
    p, worth = values.win_probability, values.expected
    left = unit.conversion.times.p_win_open(p, hours * HOUR / DAY, lead.text("source"))
    return np.array(left), np.where(p > 0, worth * left / np.maximum(p, 1e-12), 0.0)


def may_move(one: Overdue, history_kinds: Sequence[tuple[str, str]]) -> bool:
    """Whether the machine may move the lead: it gains, was given by routing, and neither it nor a person has moved it.

    Own prospects, accounts that stay with their owner and the hold-out are left where they are. `history_kinds`: (kind,
    by) of the lead's log entries.
    """
    stored = one.late.stored
    return (
        one.net is not None
        and one.net > 0.0
        and one.best_rep_id is not None
        and stored is not None
        and stored.policy not in ("owner", "holdout")
        and not any(kind in ("override", "move") for kind, _ in history_kinds)
    )
