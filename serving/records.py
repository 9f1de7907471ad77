"""Decisions as records: codes and numbers as they are stored, from which every language's words are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from features import moments
from models.routing.policy import Alternative, Candidates, Choice, Exclusion
from serving.board import Board
from serving.leads import Lead
from serving.team import Values
from serving.week import POLICY_VERSION

Json = dict[str, Any]

_REASONS = 4
_RULED_OUT = [Exclusion(code) for code in Exclusion if code not in (Exclusion.NONE, Exclusion.NOT_SALES)]


class Recorder:
    """Makes records on one board."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._until = moments.iso(board.as_of, board.known.zone)

    def _base(self, lead: Lead, decided_at: int, mode: str) -> Json:
        unit = self._board.unit
        return {
            "lead_id": lead.lead_id,
            "decided_at": moments.iso(decided_at, self._board.known.zone),
            "model_version": unit.version if unit is not None else None,
            "policy_version": f"{POLICY_VERSION}:{mode}",
            "data_until": self._until,
        }

    def _given(self, lead: Lead, values: Values, rep: int, decided_at: int, mode: str) -> Json:
        return self._base(lead, decided_at, mode) | {
            "rep_id": self._board.rep_ids[rep],
            "status": "assigned",
            "win_probability": float(values.win_probability[rep]),
            "expected_value": float(values.expected[rep]),
        }

    def owned(self, lead: Lead, values: Values, rep: int, code: str, decided_at: int, mode: str) -> Json:
        """The lead is the rep's already: handed over before, or found by himself."""
        return self._given(lead, values, rep, decided_at, mode) | {
            "capacity_price": 0.0,
            "policy": "owner",
            "propensity": 1.0,
            "reasons": [reason("ownership", code)],
            "alternatives": [],
        }

    def waiting(self, lead: Lead, values: Values, rep: int, rule: Exclusion, decided_at: int, mode: str) -> Json:
        """An own prospect that waits for its finder, whom a rule keeps from it now."""
        finder, name = self._board.rep_ids[rep], rule.name.lower()
        return self._base(lead, decided_at, mode) | {
            "rep_id": None,
            "status": "held",
            "win_probability": None,
            "expected_value": None,
            "capacity_price": None,
            "policy": "owner",
            "propensity": 1.0,
            "reasons": [reason("ownership", "held_own_prospect", {"rep": finder, "rule": name})],
            "alternatives": [
                {
                    "rep_id": finder,
                    "win_probability": float(values.win_probability[rep]),
                    "expected_value": float(values.expected[rep]),
                    "capacity_price": 0.0,
                    "propensity": 0.0,
                    "why_not": "excluded",
                    "rule": name,
                }
            ],
        }

    def released(
        self, lead: Lead, values: Values, rep: int, decided_at: int, mode: str, price: float, policy: str, code: str
    ) -> Json:
        """A lead that waited goes to a rep."""
        return self._given(lead, values, rep, decided_at, mode) | {
            "capacity_price": price,
            "policy": policy,
            "propensity": 1.0,
            "reasons": [reason("capacity", code)],
            "alternatives": [],
        }

    def chosen(
        self, lead: Lead, values: Values, candidates: Candidates, choice: Choice, decided_at: int, mode: str
    ) -> Json:
        """What the policy chose, with reasons and alternatives."""
        rep = choice.rep
        found = self._base(lead, decided_at, mode) | {
            "rep_id": None if rep is None else self._board.rep_ids[rep],
            "status": "held" if rep is None else "assigned",
            "win_probability": None if rep is None else float(values.win_probability[rep]),
            "expected_value": None if rep is None else float(values.expected[rep]),
            "capacity_price": None if rep is None else float(choice.price[rep]),
            "policy": choice.policy,
            "propensity": choice.propensity,
            "reasons": self._reasons(lead, candidates, choice, decided_at),
            "alternatives": [self._alternative(other, values) for other in choice.alternatives if other.rep != rep],
        }
        if choice.high_value:
            found["high_value"] = True
        if choice.holdout_chance > 0.0:
            found["experiment"] = _experiment(candidates, choice)
        return found

    def _alternative(self, other: Alternative, values: Values) -> Json:
        return {
            "rep_id": self._board.rep_ids[other.rep],
            "win_probability": other.win_probability,
            "expected_value": float(values.expected[other.rep]),
            "capacity_price": other.price,
            "propensity": other.propensity,
            "why_not": other.why_not.name.lower(),
            "rule": other.exclusion.name.lower(),
        }

    def _reasons(self, lead: Lead, candidates: Candidates, choice: Choice, decided_at: int) -> list[Json]:
        """Codes and numbers: what speaks for the chosen rep against the runner-up, price, and who was ruled out."""
        reasons: list[Json] = []
        if choice.rep is None:
            reasons.append(reason("capacity", f"held_{choice.hold.name.lower()}"))
        else:
            reasons += self._against_runner_up(lead, candidates, choice, decided_at)
        if choice.owner_unavailable is not Exclusion.NONE:
            reasons.append(reason("ownership", "owner_unavailable", {"rule": choice.owner_unavailable.name.lower()}))
        counts = np.bincount(candidates.exclusion, minlength=len(Exclusion))
        removed = {rule.name.lower(): int(counts[rule]) for rule in _RULED_OUT if counts[rule]}
        if removed:
            reasons.append(reason("hard_rules", "ruled_out", removed))
        return reasons

    def _against_runner_up(self, lead: Lead, candidates: Candidates, choice: Choice, decided_at: int) -> list[Json]:
        assert choice.rep is not None
        rep, other = choice.rep, choice.runner_up
        if choice.policy not in ("priced", "explore"):
            share = float(candidates.used[rep] / max(int(candidates.capacity[rep]), 1))
            return [reason("load", f"by_{choice.policy}", {"load_share": share})]
        if other is None or self._board.unit is None:
            return [reason("capacity", "only_one_left")]
        numbers = {
            "rep": self._board.rep_ids[rep],
            "other": self._board.rep_ids[other],
            "p": float(candidates.win_probability[rep]),
            "p_other": float(candidates.win_probability[other]),
            "value": float(candidates.value[rep]),
            "value_other": float(candidates.value[other]),
            "price": float(choice.price[rep]),
            "price_other": float(choice.price[other]),
        }
        found = [reason("net_value", "explored" if choice.policy == "explore" else "best_net", numbers)]
        found += [
            {"feature": name, "code": "feature", "numbers": {"points": 100 * points}, "contribution": points}
            for name, points in self._board.team_at(decided_at).explain(lead, rep, other)[:_REASONS]
            if abs(points) >= 1e-4
        ]
        difference = float(choice.price[rep] - choice.price[other])
        if difference:
            found.append(reason("capacity_price", "price", numbers, -difference))
        return found


def _experiment(candidates: Candidates, choice: Choice) -> Json:
    """What measuring against the hold-out needs: its chance, and what was expected before anybody was chosen."""
    might = np.isfinite(choice.net)
    worth = candidates.value if candidates.worth is None else candidates.worth
    return {
        "holdout_chance": choice.holdout_chance,
        "win_probability": float(candidates.win_probability[might].mean()),
        "expected_value": float(worth[might].mean()),
    }


def reason(feature: str, code: str, numbers: Mapping[str, object] | None = None, contribution: float = 0.0) -> Json:
    """One reason as it is stored."""
    return {"feature": feature, "code": code, "numbers": dict(numbers or {}), "contribution": contribution}
