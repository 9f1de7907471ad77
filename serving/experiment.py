"""Policy against the always-on hold-out: decisions as they were drawn, what became of their leads, and what it says.

Only decisions that were drawn count: a lead that is somebody's already, or that nobody could take, had no hold-out to
fall into. Each lead counts in the arm it was drawn into, whoever had it later. A lead's outcome is what it brought
within a horizon after its decision, so that both arms are read at the same age; younger decisions wait.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from features import moments
from features.moments import DAY, WEEK
from features.outcomes import CENTS, first_deals, lead_outcomes
from features.tables import Tables
from models.routing.measured import FEWEST, Measured, Uplift, measured_uplift
from serving.store import Reader
from serving.texts import Lang, money, number, percent, t

Json = dict[str, Any]
Status = Literal["no_holdout", "too_few", "measured"]

_AT_ONCE: Final = 1_000
_USUAL_HORIZON: Final = 13 * WEEK
_SHORTEST: Final = 2 * WEEK
_ENOUGH_WINS: Final = 30
_HORIZON_QUANTILE: Final = 0.8
_PER: Final = 100  # leads, in what people read


@dataclass(frozen=True, slots=True)
class Drawn:
    """One decision that was drawn between policy and hold-out, with chance `chance` (0-1) of the hold-out.

    `win_probability`, `expected_value`: means over the reps who might have got the lead, before anybody was chosen.
    """

    lead_id: str
    at: int
    holdout: bool
    chance: float
    win_probability: float
    expected_value: float


@dataclass
class DrawnLog:
    """The drawn decisions of a store, read on from where the last reading ended."""

    drawn: list[Drawn] = field(default_factory=list)
    _last: int = 0

    def read(self, view: Reader) -> Sequence[Drawn]:
        """All of them, in the order of the log; after an erasure what was erased is forgotten here too.

        Records are read some at a time: a log of years, as texts all at once, would not fit.
        """
        goes_on = self._last > 0
        while entries := view.drawn_after(self._last, _AT_ONCE):
            if goes_on and any(kind == "erasure" for _, kind, _, _, _ in entries):
                self.drawn, self._last, goes_on = [], 0, False
                continue
            for seq, kind, at, lead_id, body in entries:
                self._last = seq
                if kind == "decision" and (found := _drawn(lead_id, at, body)) is not None:
                    self.drawn.append(found)
        return self.drawn


def _drawn(lead_id: str, at: int, body: str) -> Drawn | None:
    if '"experiment"' not in body:
        return None
    record: Json = json.loads(body)
    given = record.get("experiment")
    if not isinstance(given, dict) or not 0.0 < float(given["holdout_chance"]) < 1.0:
        return None
    return Drawn(
        lead_id, at, record.get("policy") == "holdout", float(given["holdout_chance"]),
        float(given["win_probability"]), float(given["expected_value"]),
    )  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """What the hold-out says. `wins` is in wins a lead, `value` in money a lead, None where too few are ripe.

    `share`: hold-out set now (0-1). `n_drawn` decisions, of which `n_policy` and `n_holdout` are old enough to be read;
    `since`: the first of them. `horizon`: microseconds after a decision within which its outcome counts.
    """

    status: Status
    share: float
    n_drawn: int
    n_policy: int
    n_holdout: int
    horizon: int
    since: int | None
    until: int
    wins: Measured | None = None
    value: Measured | None = None

    @property
    def alarm(self) -> bool:
        """Whether somebody should look: the gain is gone, in wins or in money, or is a loss."""
        return any(one is not None and one.alarm for one in (self.wins, self.value))

    def as_dict(self, zone: str, currency: str, lang: Lang) -> Json:
        """JSON-able form: numbers a lead, and sentences."""
        return {
            "status": self.status,
            "holdout": self.share,
            "alarm": self.alarm,
            "n_drawn": self.n_drawn,
            "n_policy": self.n_policy,
            "n_holdout": self.n_holdout,
            "n_waiting": self.n_drawn - self.n_policy - self.n_holdout,
            "horizon_days": self.horizon / DAY,
            "since": None if self.since is None else moments.iso(self.since, zone),
            "until": moments.iso(self.until, zone),
            "wins": _measured_dict(self.wins),
            "value": _measured_dict(self.value),
            "text": sentences(self, currency, lang),
        }


def measure(drawn: Sequence[Drawn], tables: Tables, as_of: int, share: float, dead_after_days: int) -> Experiment:
    """What the hold-out says as of the end of the data."""
    if not drawn and share <= 0.0:
        return Experiment("no_holdout", share, 0, 0, 0, _USUAL_HORIZON, None, as_of)
    horizon = _horizon(tables, as_of, dead_after_days)
    ripe = [one for one in drawn if one.at + horizon <= as_of]
    n_holdout = sum(one.holdout for one in ripe)
    counts = len(drawn), len(ripe) - n_holdout, n_holdout, horizon, ripe[0].at if ripe else None, as_of
    if min(counts[1], counts[2]) < FEWEST:
        return Experiment("too_few", share, *counts)
    won, amount = _outcomes(ripe, tables, as_of, horizon)
    holdout = np.array([one.holdout for one in ripe])
    chance = np.array([one.chance for one in ripe])
    wins = measured_uplift(won, holdout, chance, np.array([one.win_probability for one in ripe]))
    value = measured_uplift(amount, holdout, chance, np.array([one.expected_value for one in ripe]))
    return Experiment("measured", share, *counts, wins, value)


def _horizon(tables: Tables, as_of: int, dead_after_days: int) -> int:
    """Whole weeks after a decision within which 80 % of won leads were won; 13 weeks where few are known."""
    most = max(dead_after_days * DAY, _SHORTEST)
    found = lead_outcomes(tables, as_of, dead_after_days)
    won = found.loc[(found["outcome"] == "won").to_numpy()]
    if len(won) < _ENOUGH_WINS:
        return min(_USUAL_HORIZON, most)
    spent = won["resolved_at"].to_numpy(dtype=np.int64) - won["assigned_at"].to_numpy(dtype=np.int64)
    weeks = int(np.ceil(np.quantile(np.maximum(spent, 0), _HORIZON_QUANTILE) / WEEK))
    return min(max(weeks * WEEK, _SHORTEST), most)


def _outcomes(
    ripe: Sequence[Drawn], tables: Tables, as_of: int, horizon: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(n,) whether each lead was won within the horizon of its decision, and what it brought (major units)."""
    deals = first_deals(tables.known(as_of)).reindex([one.lead_id for one in ripe])
    at = np.array([one.at for one in ripe], dtype=np.int64)
    closed = deals["closed_at"].to_numpy(dtype=np.float64, na_value=np.nan)
    in_time = (closed >= at) & (closed <= at + horizon)
    won = in_time & deals["won"].eq(True).to_numpy(dtype=bool)
    amount = deals["amount"].to_numpy(dtype=np.float64, na_value=0.0) / CENTS
    return won.astype(np.float64), np.where(won, amount, 0.0)


# -- words ------------------------------------------------------------------------------------------------------


def _measured_dict(found: Measured | None) -> Json | None:
    if found is None:
        return None
    return {"verdict": found.verdict, **_uplift_dict(found.whole), "recent": _uplift_dict(found.recent)}


def _uplift_dict(found: Uplift) -> Json:
    finite = [float(v) if np.isfinite(v) else None for v in (found.value, found.ci_low, found.ci_high)]
    return {
        "uplift": finite[0], "ci_low": finite[1], "ci_high": finite[2], "level": found.level,
        "n_policy": found.n_policy, "n_holdout": found.n_holdout,
    }  # fmt: skip


def sentences(found: Experiment, currency: str, lang: Lang) -> list[str]:
    """What a manager should know, in sentences."""
    if found.status == "no_holdout":
        return [t(lang, "experiment.no_holdout")]
    numbers = {
        "share": percent(lang, found.share, 1), "policy": number(lang, found.n_policy),
        "holdout": number(lang, found.n_holdout), "days": number(lang, found.horizon / DAY),
        "waiting": number(lang, found.n_drawn - found.n_policy - found.n_holdout), "fewest": FEWEST,
    }  # fmt: skip
    basis = t(lang, "experiment.basis", **numbers)
    off = [t(lang, "experiment.switched_off")] if found.share <= 0.0 else []
    if found.wins is None or found.value is None:
        return [t(lang, "experiment.too_few", **numbers), basis, *off]
    wins, value = (
        _in_words(one.whole, name, currency, lang) for one, name in ((found.wins, "wins"), (found.value, "value"))
    )
    verdicts = [t(lang, f"experiment.{name}_{one.verdict}") for name, one in _named(found)]
    return [*verdicts, wins, value, basis, *off]


def _named(found: Experiment) -> list[tuple[str, Measured]]:
    return [(name, one) for name, one in (("wins", found.wins), ("value", found.value)) if one is not None]


def _in_words(found: Uplift, name: str, currency: str, lang: Lang) -> str:
    def shown(value: float) -> str:
        if not np.isfinite(value):
            return "–"
        if name == "wins":
            return number(lang, _PER * value, 1, signed=True)
        return money(lang, currency, _PER * value, signed=True)

    return t(
        lang, f"experiment.{name}", uplift=shown(found.value), low=shown(found.ci_low), high=shown(found.ci_high),
        per=_PER, level=percent(lang, found.level),
    )  # fmt: skip


__all__ = ["Drawn", "DrawnLog", "Experiment", "measure", "sentences"]
