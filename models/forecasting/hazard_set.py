"""The laws of leads as one: hazards whatever the state for leads still to come, the closing law for open ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.forecasting.closing import ClosingLaw, ClosingSettings, fit_closing
from models.forecasting.hazards import HazardModel, HazardSettings, Phase, fit_hazards, win_in_slices

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HazardSet:
    """`plain`: hazards by age, source and chance; `closing`: the law of open leads given their state, if learnt."""

    plain: HazardModel
    closing: ClosingLaw | None = None

    def win_in_slices(self, leads: pd.DataFrame, skill: Floats, age: Floats, slices: Floats) -> Floats:
        """Probability that each open lead is won in each coming slice of effective days, (n, n_slices).

        `skill` (n,) multiplies the odds of winning; `age` (n,) effective days since hand-over; `slices` (n, n_slices).
        """
        if self.closing is not None:
            return self.closing.win_in_slices(leads, skill, age, slices)
        win, loss = self.plain.rates(leads)
        phases = [Phase(float("inf"), win * skill[:, None], loss)]
        return win_in_slices(phases, self.plain.edges, age, slices)

    def habit_effect(self) -> tuple[float, float]:
        """Change of the log chance of winning per unit of `follow_up_log_ratio`, and its usual value."""
        return (0.0, 0.0) if self.closing is None else self.closing.habit_effect()

    def to_parts(self) -> dict[str, object]:
        """JSON-able parameters, floats exact."""
        return {
            "plain": self.plain.to_parts(),
            "closing": None if self.closing is None else self.closing.to_parts(),
        }

    @classmethod
    def from_parts(cls, parts: Mapping[str, object]) -> HazardSet:
        """The set that `to_parts` described."""
        plain, closing = (cast("Mapping[str, object] | None", parts.get(name)) for name in ("plain", "closing"))
        assert plain is not None
        return cls(HazardModel.from_parts(plain), None if closing is None else ClosingLaw.from_parts(closing))


def fit_hazard_set(
    spells: pd.DataFrame,
    landmarks: pd.DataFrame,
    hazards: HazardSettings | None = None,
    closing: ClosingSettings | None = None,
) -> HazardSet:
    """Hazards of whole lives, and the law of open leads where landmarks teach one."""
    return HazardSet(fit_hazards(spells, settings=hazards), fit_closing(spells, landmarks, closing))
