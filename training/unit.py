"""The models that move together: conversion, amount, funnel, contribution, effects, and how they are used.

A unit is made by training, written as a release and read back by the service; nothing is lost on the way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.spec import FeatureSpec
from features.workdays import Workdays
from models.conversion.amount import AmountModel
from models.conversion.explanation import explain_difference
from models.conversion.model import ConversionModel
from models.forecasting.contribution import ContributionModel
from models.forecasting.draws import Draws
from models.forecasting.inputs import ForecastInputs
from training.release import Release

Floats = npt.NDArray[np.float64]

PANEL_PREFIX = "contribution_"
N_DRAWS = 600


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

    def score(self, leads: pd.DataFrame, reps: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
        """(L, R) win probability, sd of its logit, and expected value (major units) of leads with reps."""
        said = self.conversion.predict_matrix(leads, reps)
        worth = np.asarray(self.amount.expected_matrix(leads, reps), dtype=np.float64)
        if self.routing_mode == "lead_only" and worth.size:
            # Where reps do not differ in winning, a difference in amounts is noise as well.
            worth = np.broadcast_to(worth.mean(axis=1, keepdims=True), worth.shape)
        return said.win_probability, said.logit_sd, said.win_probability * worth

    def explain(self, lead: pd.DataFrame, rep: pd.DataFrame, other: pd.DataFrame) -> list[tuple[str, float]]:
        """What makes the win probability of a lead differ between two reps: (feature, points 0-1), adding up."""
        return list(explain_difference(self.conversion, lead, rep, other).contributions)

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
            conversion=ConversionModel.from_parts(document("conversion"), texts),
            amount=AmountModel.from_parts(document("amount")),
            contribution=ContributionModel.from_parts(document("contribution"), own),
            workdays=Workdays.from_parts(document("workdays")),
            data_until=release.data_until,
            effects=tuple(items),
            report=document("report"),
            version=release.version,
        )
