"""Whether chances held: decisions old enough to be judged, the chance they stated against what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from features.moments import DAY, WEEK
from features.outcomes import lead_outcomes
from models.conversion.calibration import expected_calibration_error, expected_ece_of_calibrated

if TYPE_CHECKING:
    from serving.board import Board
    from serving.store import Reader, StoredDecision

Floats = npt.NDArray[np.float64]

HORIZON: Final = 13 * WEEK  # from a decision until it is judged
FEWEST_LEADS: Final = 40
FEWEST_WINS: Final = 10.0
_LOOK_BACK: Final = 365 * DAY
_MOST: Final = 10_000
_PAGE: Final = 1_000


@dataclass(frozen=True)
class Held:
    """Expected calibration error (0-1) of `n` decisions, and the error that true chances stay below 95 times of 100."""

    n: int
    error: float
    limit: float


def measure(view: Reader, board: Board) -> Held | None:
    """How well chances held; None without a model, or before 40 decisions with ten wins expected can be judged.

    A decision is judged 13 weeks after it, where the lead is still with the rep whom the machine chose: the chance that
    it was won by now (of being ever won, times the share of wins that come this soon) against whether it was.
    """
    chosen = _matured(view, board)
    if board.unit is None or len(chosen) < FEWEST_LEADS:
        return None
    rows = lead_outcomes(board.tables, board.as_of, board.config.leads.dead_after_days)
    outcome = dict(zip(rows["lead_id"], rows["outcome"], strict=True))
    chosen = [one for one in chosen if one.lead_id in outcome]
    won = np.array([outcome[one.lead_id] == "won" for one in chosen], dtype=np.float64)
    p = _by_now(board, chosen)
    if len(chosen) < FEWEST_LEADS or float(p.sum()) < FEWEST_WINS:
        return None
    limit = expected_ece_of_calibrated(p, 200, np.random.default_rng(0))
    return Held(len(chosen), expected_calibration_error(p, won), limit)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What is asked of one decision: ten thousand whole records would take hundreds of megabytes."""

    lead_id: str
    decided_at: int
    win_probability: float
    source: str


def _judged(one: StoredDecision) -> _Judged:
    chance = float(str(one.record["win_probability"]))
    return _Judged(one.lead_id, one.decided_at, chance, str(one.lead.get("source") or ""))


def _matured(view: Reader, board: Board) -> list[_Judged]:
    found: list[_Judged] = []
    cursor, last = None, board.as_of - HORIZON
    while True:
        page = view.decisions(status="assigned", since=board.as_of - _LOOK_BACK, cursor=cursor, limit=_PAGE)
        found += [
            _judged(one)
            for one in page.items
            if one.decided_at <= last
            and one.rep_id is not None
            and one.owner_rep_id == one.rep_id
            and isinstance(one.record.get("win_probability"), int | float)
        ]
        cursor = page.next_cursor
        if cursor is None or len(found) >= _MOST or page.items[-1].decided_at > last:
            return found


def _by_now(board: Board, chosen: list[_Judged]) -> Floats:
    assert board.unit is not None
    p = np.array([one.win_probability for one in chosen])
    age = (board.as_of - np.array([one.decided_at for one in chosen], dtype=np.int64)) / DAY
    source = np.array([one.source for one in chosen], dtype=object)
    waiting = np.asarray(board.unit.conversion.times.survival_win(age, source), dtype=np.float64)
    return p * (1.0 - waiting)
