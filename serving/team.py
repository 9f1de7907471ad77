"""The reps of a board as the models see them for decisions of one day, and leads' worth in their hands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.conversion.prepared import LeadValues, PreparedReps
from serving.lead_values import LeadReader
from serving.leads import Lead

if TYPE_CHECKING:
    from serving.board import Board

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Values:
    """One lead's worth with every rep, arrays (R,). `expected` = win probability x amount if won, major units."""

    win_probability: Floats
    expected: Floats
    uncertainty: Floats

    def objective(self, name: str) -> Floats:
        """What routing maximises: expected value or wins."""
        return self.expected if name == "expected_value" else self.win_probability


class Team:
    """The reps of a board at a decision's clock; features are built at the clock or at the end of the data."""

    def __init__(self, board: Board, clock: int) -> None:
        assert board.unit is not None
        assert board.world is not None
        self._world = board.world
        self._ids = np.asarray(board.rep_ids, dtype=object)
        self.at = board.feature_moment(clock)
        self.frame = board.world.rep_features(self._ids, self.at, clock)
        self.frame.insert(0, "rep_id", pd.Series(board.rep_ids, dtype="str"))
        self.frame = pd.concat([self.frame, board.world.rep_categories(self._ids, self.at)], axis=1)
        spec, unit = board.unit.spec, board.unit
        self.prepared = PreparedReps(
            unit.conversion, unit.amount, self.frame, (*spec.lead_numeric, *spec.lead_categorical),
            unit.routing_mode == "lead_only",
        )  # fmt: skip
        self._spec = spec
        self._wanted = frozenset(spec.lead_numeric)
        self._last: tuple[Lead, LeadValues, Mapping[str, Floats]] | None = None
        self._is_now = self.at == board.world.as_of

    @cached_property
    def _reader(self) -> LeadReader:
        return LeadReader(self._world, list(self._ids), self.prepared.pair_names())

    def read(self, lead: Lead) -> tuple[LeadValues, Mapping[str, Floats]]:
        """What the models want to know of a lead and of its pairs; of the last lead asked about it is remembered."""
        last = self._last
        if last is not None and last[0] is lead:
            return last[1], last[2]
        values, pairs = self._read(lead)
        self._last = (lead, values, pairs)
        return values, pairs

    def _read(self, lead: Lead) -> tuple[LeadValues, Mapping[str, Floats]]:
        if self._is_now:
            values = self._reader.values(lead)
            if values.numbers.keys() >= self._wanted:
                return values, self._reader.pairs(lead)
        frame = lead.frame()
        row = self._world.lead_features(frame, self.at).iloc[0]
        values = LeadValues(
            {name: float(row[name]) for name in self._spec.lead_numeric},
            {name: str(row[name]) for name in self._spec.lead_categorical},
        )
        names = self.prepared.pair_names()
        pairs = self._world.pair_features(frame, self._ids, self.at) if names else pd.DataFrame()
        return values, {name: pairs[name].to_numpy(dtype=np.float64) for name in names}

    def values(self, lead: Lead) -> Values:
        """A lead's worth with every rep."""
        probability, spread, expected = self.prepared.score(*self.read(lead))
        return Values(probability, expected, spread)

    def explain(self, lead: Lead, rep: int, other: int) -> list[tuple[str, float]]:
        """Why the win probability is another with one rep than with the other: (feature, points 0-1), adding up."""
        values, pairs = self.read(lead)
        return self.prepared.explain(values, rep, other, pairs)
