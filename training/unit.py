"""The models that move together: conversion, amount, funnel, contribution, effects, and how they are used.

A unit is made by training, written as a release and read back by the service; nothing is lost on the way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.spec import FeatureSpec
from features.workdays import Workdays
from features.world import World
from models.conversion.amount import AmountModel
from models.conversion.model import ConversionModel
from models.forecasting.contribution import ContributionModel
from models.forecasting.draws import Draws
from models.forecasting.inputs import ForecastInputs
from training.own_contribution import read_contribution
from training.own_model import explain, read_conversion
from training.release import Release

Floats = npt.NDArray[np.float64]

PANEL_PREFIX = "contribution_"
N_DRAWS = 600
_PAIRS_AT_ONCE = 200_000


def pair_values(
    conversion: ConversionModel, world: World, leads: pd.DataFrame, rep_ids: Sequence[str], moment: int
) -> dict[str, Floats]:
    """(L, R) by name: the pair columns that a conversion model uses, of leads in table layout with reps at a moment."""
    names, n_leads, n_reps = conversion.pair_names, len(leads), len(rep_ids)
    if not names or not n_leads or not n_reps:
        return {}
    codes = world.rep_codes(np.asarray(rep_ids, dtype=object))
    step = max(1, _PAIRS_AT_ONCE // n_reps)
    parts = []
    for at in range(0, n_leads, step):
        block = leads.iloc[at : at + step]
        many = block.iloc[np.repeat(np.arange(len(block)), n_reps)].reset_index(drop=True)
        parts.append(world.pair_features(many, np.tile(codes, len(block)), moment)[list(names)])
    whole = pd.concat(parts, ignore_index=True)
    return {name: whole[name].to_numpy(dtype=np.float64).reshape(n_leads, n_reps) for name in names}


@dataclass(frozen=True)
class ModelUnit:
    """One trained unit. `effects`: rows of the effects table; `report`: backtest and findings, JSON-able."""

    spec: FeatureSpec
    conversion: ConversionModel
    amount: AmountModel
    contribution: ContributionModel
    workdays: Workdays
    data_until: int
    effects: tuple[Mapping[str, Any], ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""

    @property
    def routing_mode(self) -> str:
        """pairs, reps or lead_only: what of a rep the data support."""
        return str(self.conversion.findings.routing_mode)

    def score(
        self, leads: pd.DataFrame, reps: pd.DataFrame, pairs: Mapping[str, Floats] | None = None
    ) -> tuple[Floats, Floats, Floats]:
        """(L, R) win probability, sd of its logit, and expected value (major units) of leads with reps.

        `pairs`: (L, R) pair columns by name, as `pair_values` builds them; without them a match counts as not known.
        """
        said = self.conversion.predict_matrix(leads, reps, pairs)
        worth = np.asarray(self.amount.expected_matrix(leads, reps), dtype=np.float64)
        if self.routing_mode == "lead_only" and worth.size:
            # Where reps do not differ in winning, a difference in amounts is noise as well.
            worth = np.broadcast_to(worth.mean(axis=1, keepdims=True), worth.shape)
        return said.win_probability, said.logit_sd, said.win_probability * worth

    def pair_values(self, world: World, leads: pd.DataFrame, rep_ids: Sequence[str], moment: int) -> dict[str, Floats]:
        """(L, R) pair columns that the model uses, of leads in table layout with reps at a moment."""
        return pair_values(self.conversion, world, leads, rep_ids, moment)

    def explain(self, lead: pd.DataFrame, rep: pd.DataFrame, other: pd.DataFrame) -> list[tuple[str, float]]:
        """What makes the win probability of a lead differ between two reps: (feature, points 0-1), adding up."""
        return explain(self.conversion, lead, rep, other)

    def forecast(
        self, inputs: ForecastInputs, panel_rows: pd.DataFrame | None, seed: int = 7, n_draws: int = N_DRAWS
    ) -> Draws:
        """Calibrated draws of contribution for the month of as_of and the two after."""
        return self.contribution.draw(np.random.default_rng(seed), inputs, panel_rows, n_draws)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, str]]:
        """JSON documents and LightGBM texts of a release."""
        conversion, texts = self.conversion.to_parts()
        contribution, panel_texts = self.contribution.to_parts()
        documents: dict[str, Any] = {
            "conversion": conversion,
            "amount": self.amount.to_parts(),
            "contribution": contribution,
            "workdays": self.workdays.to_parts(),
            "spec": json.loads(self.spec.to_json()),
            "effects": {"items": [dict(effect) for effect in self.effects]},
            "report": dict(self.report),
        }
        return documents, {**texts, **{PANEL_PREFIX + name: text for name, text in panel_texts.items()}}

    @classmethod
    def from_release(cls, release: Release) -> ModelUnit:
        """The unit that a verified release holds."""
        document, texts = release.document, release.texts
        own = {n.removeprefix(PANEL_PREFIX): t for n, t in texts.items() if n.startswith(PANEL_PREFIX)}
        items: Any = document("effects")["items"]
        return cls(
            spec=FeatureSpec.from_json(json.dumps(document("spec"))),
            conversion=read_conversion(document("conversion"), texts),
            amount=AmountModel.from_parts(document("amount")),
            contribution=read_contribution(document("contribution"), own),
            workdays=Workdays.from_parts(document("workdays")),
            data_until=release.data_until,
            effects=tuple(items),
            report=document("report"),
            version=release.version,
        )
