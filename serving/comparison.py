"""Champion and challenger side by side, over what shadow mode wrote down.

Each model thinks its own choices the better ones: they are the largest of many estimates. So both choices are valued by
both models, and where leads have had time to close, wins so far are set against those that each model expected by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.moments import DAY
from features.outcomes import lead_outcomes
from features.tables import Tables
from serving.store import AGREE, DIFFER, ShadowChoice
from training.unit import ModelUnit

Floats = npt.NDArray[np.float64]

MOST_CHOICES = 20_000
FEWEST_LEADS = 40
FEWEST_WINS = 10.0  # expected by then, by either model
_Z90 = 1.6448536269514722


@dataclass(frozen=True)
class Share:
    """Agreement among compared decisions: share 0-1 with its 90 % interval (Wilson 1927)."""

    n: int
    n_agree: int
    share: float | None
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True)
class Worth:
    """Mean expected value a lead, where both gave the lead to a rep: the choices of each, by the models of each."""

    n: int
    champion_by_champion: float | None
    challenger_by_champion: float | None
    champion_by_challenger: float | None
    challenger_by_challenger: float | None


@dataclass(frozen=True)
class Group:
    """One source: how often both agree, and what the challenger's choice is worth more, by each model, a lead."""

    name: str
    n: int
    share: float
    gain_by_champion: float | None
    gain_by_challenger: float | None


@dataclass(frozen=True)
class Seat:
    """Leads that each gives to one rep, among the compared decisions."""

    rep_id: str
    champion: int
    challenger: int


@dataclass(frozen=True)
class Outcomes:
    """Leads in the hands that the champion chose: wins so far, wins that each model expected by then, Brier scores."""

    n: int
    n_won: int
    expected_champion: float
    expected_challenger: float
    brier_champion: float
    brier_challenger: float


@dataclass(frozen=True)
class Comparison:
    """All that shadow mode has seen of one challenger. `since`, `until`: moments of the first and last decision.

    `n_held_by_both`: agreements in which the lead waits. `n_held_by_one`: one of both would wait where the other gives
    the lead away. `outcomes` None: too few leads yet.
    """

    n: int
    n_not_compared: int
    since: int | None
    until: int | None
    agreement: Share
    n_held_by_both: int
    n_held_by_one: int
    worth: Worth
    sources: tuple[Group, ...]
    reps: tuple[Seat, ...]
    outcomes: Outcomes | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def compare(choices: Sequence[ShadowChoice], outcomes: Outcomes | None) -> Comparison:
    """The comparison over a challenger's choices."""
    frame = _frame(choices)
    compared = frame.loc[frame["result"].isin([AGREE, DIFFER]).to_numpy()].reset_index(drop=True)
    given = _given_by_both(compared)
    waits, would_wait = compared["rep"].isna(), compared["would"].isna()
    held = int((waits & would_wait).sum()), int((waits != would_wait).sum())
    moments_of = [one.decided_at for one in choices]
    return Comparison(
        len(choices), len(choices) - len(compared), min(moments_of, default=None), max(moments_of, default=None),
        agreement(compared), *held, worth(given), _sources(compared), _reps(compared), outcomes,
    )  # fmt: skip


def _frame(choices: Sequence[ShadowChoice]) -> pd.DataFrame:
    rows = []
    for one in choices:
        rep: Any = one.body.get("rep") or {}
        would: Any = one.body.get("would") or {}
        rows.append(
            {
                "result": one.result, "source": str(one.body.get("source") or ""), "rep": one.rep_id,
                "would": one.would_rep_id,
                "cc": rep.get("value_champion", np.nan), "cx": rep.get("value_challenger", np.nan),
                "xc": would.get("value_champion", np.nan), "xx": would.get("value_challenger", np.nan),
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=["result", "source", "rep", "would", "cc", "cx", "xc", "xx"])


def _given_by_both(compared: pd.DataFrame) -> pd.DataFrame:
    return compared.loc[compared[["cc", "cx", "xc", "xx"]].notna().all(axis=1).to_numpy()]


def agreement(compared: pd.DataFrame) -> Share:
    """Share of decisions in which both do the same."""
    n, k = len(compared), int((compared["result"] == AGREE).sum())
    if not n:
        return Share(0, 0, None, None, None)
    p, z = k / n, _Z90
    centre, half = (p + z * z / (2 * n)), z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    scale = 1 + z * z / n
    return Share(n, k, p, max((centre - half) / scale, 0.0), min((centre + half) / scale, 1.0))


def worth(given: pd.DataFrame) -> Worth:
    """Mean expected value of both choices by both models."""
    if not len(given):
        return Worth(0, None, None, None, None)
    return Worth(len(given), *(float(given[name].mean()) for name in ("cc", "xc", "cx", "xx")))


def _sources(compared: pd.DataFrame) -> tuple[Group, ...]:
    found = []
    for name, rows in compared.groupby("source", sort=True):
        both = _given_by_both(rows)
        gains = [float((both[x] - both[c]).mean()) if len(both) else None for x, c in (("xc", "cc"), ("xx", "cx"))]
        found.append(Group(str(name), len(rows), float((rows["result"] == AGREE).mean()), gains[0], gains[1]))
    return tuple(sorted(found, key=lambda one: (-one.n, one.name)))


def _reps(compared: pd.DataFrame) -> tuple[Seat, ...]:
    ours, theirs = compared["rep"].value_counts(), compared["would"].value_counts()
    names = sorted({*ours.index, *theirs.index})
    seats = [Seat(str(name), int(ours.get(name, 0)), int(theirs.get(name, 0))) for name in names]
    return tuple(sorted(seats, key=lambda seat: (-abs(seat.champion - seat.challenger), seat.rep_id)))


def outcomes_of(
    choices: Sequence[ShadowChoice],
    tables: Tables,
    as_of: int,
    dead_after_days: int,
    champion: ModelUnit,
    challenger: ModelUnit,
) -> Outcomes | None:
    """Wins so far of the leads still with the rep whom the champion chose, against what each model expected by now.

    None until there are 40 such leads with ten wins expected. A lead counts once, by its last entry.
    """
    last = {one.lead_id: one for one in reversed(choices) if one.rep_id is not None and one.body.get("rep")}
    rows = lead_outcomes(tables, as_of, dead_after_days)
    mine = rows.loc[rows["lead_id"].isin(list(last)).to_numpy()].reset_index(drop=True)
    same = [last[lead].rep_id == rep for lead, rep in zip(mine["lead_id"], mine["rep_id"], strict=True)]
    mine = mine.loc[np.array(same, dtype=bool)].reset_index(drop=True) if len(mine) else mine
    if len(mine) < FEWEST_LEADS:
        return None
    chosen = [last[lead] for lead in mine["lead_id"]]
    age = (as_of - np.array([one.decided_at for one in chosen], dtype=np.int64)) / DAY
    source = np.array([str(one.body.get("source") or "") for one in chosen], dtype=object)
    won = np.asarray(mine["outcome"] == "won", dtype=np.float64)
    expected = [
        _by_now(unit, chosen, key, age, source)
        for unit, key in ((champion, "p_champion"), (challenger, "p_challenger"))
    ]
    if max(float(p.sum()) for p in expected) < FEWEST_WINS:
        return None
    brier = [float(np.mean((p - won) ** 2)) for p in expected]
    return Outcomes(len(mine), int(won.sum()), float(expected[0].sum()), float(expected[1].sum()), *brier)


def _by_now(unit: ModelUnit, chosen: Sequence[ShadowChoice], key: str, age: Floats, source: Any) -> Floats:
    """(n,) chance of having been won by now: that of ever being won x the share of wins that come this soon."""
    bodies: list[Any] = [one.body["rep"] for one in chosen]
    p = np.array([body[key] for body in bodies], dtype=np.float64)
    waiting = np.asarray(unit.conversion.times.survival_win(np.maximum(age, 0.0), source), dtype=np.float64)
    return p * (1.0 - waiting)
