"""Bring your own model of win probability: any class with these four methods is tested, gated, released and served.

    class Mine:
        def fit(self, pairs, columns, seed): ...     # pairs frame with y (1, 0, NaN open); returns self
        def predict(self, pairs): ...                # (n,) probabilities, row by row, of the same columns
        def to_parts(self): ...                      # JSON-able dict: no pickle ever goes into a release
        @classmethod
        def from_parts(cls, parts): ...              # the same predictions again

    fairlead train --data tables --win-probability my_package.my_module:Mine

The module must be installed where the release is served. It is fitted at every origin of the backtest and judged by the
same gate. Calibration, intervals and whether reps differ at all stay ours: the pooled model is fitted beside it. For
contribution see `training/own_contribution.py`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, logit

from features.errors import RequestError
from features.messages import message
from models.conversion.columns import PairColumns
from models.conversion.explanation import explain_difference
from models.conversion.model import ConversionModel, Prediction

Floats = npt.NDArray[np.float64]

_Z90 = 1.6448536269514722
_EDGE = 1e-6
_CHUNK = 50_000


class WinProbability(Protocol):
    """What a model of one's own must do; see the module's text."""

    def fit(self, pairs: pd.DataFrame, columns: PairColumns, seed: int) -> Self:
        """Learn from resolved and open pairs; the fitted model."""
        ...

    def predict(self, pairs: pd.DataFrame) -> Floats:
        """(n,) probabilities."""
        ...

    def to_parts(self) -> dict[str, Any]:
        """JSON-able parameters."""
        ...

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> Self:
        """The model that `to_parts` described."""
        ...


@dataclass(frozen=True)
class OwnConversion(ConversionModel):
    """Win probabilities of a model of one's own, with the pooled model's intervals, times and findings."""

    own: Any = None
    path: str = ""
    seed: int = 0

    @classmethod
    def around(cls, base: ConversionModel, path: str, pairs: pd.DataFrame, seed: int) -> OwnConversion:
        """The class named by `path` (module:Class), fitted on the pairs, around the pooled model."""
        own = find_class(path)().fit(pairs, base.columns, seed)
        known = {name: getattr(base, name) for name in ConversionModel.__dataclass_fields__}
        made = cls(**known, own=own, path=path, seed=seed)
        made._probability(pairs)  # a model that cannot answer fails here, not at the desk
        return made

    def refitted(self, base: ConversionModel, pairs: pd.DataFrame) -> OwnConversion:
        """The same class fitted on other pairs, such as those of a past origin."""
        return replace(OwnConversion.around(base, self.path, pairs, self.seed), findings=self.findings)

    def predict(self, frame: pd.DataFrame) -> Prediction:
        """Predictions of pairs, arrays (n,)."""
        if not len(frame):
            return super().predict(frame)
        return self._around(self._probability(frame), super().predict(frame).logit_sd)

    def predict_matrix(
        self, leads: pd.DataFrame, reps: pd.DataFrame, pair_columns: Mapping[str, Floats] | None = None
    ) -> Prediction:
        """Predictions of every lead with every rep, arrays (L, R)."""
        spread = super().predict_matrix(leads, reps, pair_columns).logit_sd
        shape = (len(leads), len(reps))
        if not spread.size:
            return self._around(np.zeros(shape), spread)
        kept = [name for name in leads.columns if name not in set(reps.columns)]
        step = max(_CHUNK // len(reps), 1)
        parts = []
        for at in range(0, len(leads), step):
            some = leads[kept].iloc[at : at + step]
            left = some.loc[some.index.repeat(len(reps))].reset_index(drop=True)
            right = reps.iloc[np.tile(np.arange(len(reps)), len(some))].reset_index(drop=True)
            pairs = pd.concat([left, right], axis=1)
            for name in self.columns.pair_numeric:
                given = (pair_columns or {}).get(name)
                pairs[name] = np.nan if given is None else np.asarray(given)[at : at + step].reshape(-1)
            parts.append(self._probability(pairs))
        return self._around(np.concatenate(parts).reshape(shape), spread)

    def difference(self, lead: pd.DataFrame, rep: pd.DataFrame, other: pd.DataFrame) -> list[tuple[str, float]]:
        """What makes the probability differ between two reps, (column, points 0-1) adding up, the largest first.

        Each differing column is moved from the other's value to the rep's, in one order and in the reverse one, and
        the mean of both steps is taken.
        """
        kept = [name for name in lead.columns if name not in set(rep.columns)]
        one = lead[kept].reset_index(drop=True)
        start, end = (pd.concat([one, frame.reset_index(drop=True)], axis=1) for frame in (other, rep))
        names = [n for n in rep.columns if not start[n].equals(end[n])]
        found = dict.fromkeys(names, 0.0)
        for order in (names, names[::-1]):
            steps = [start]
            for name in order:
                steps.append(steps[-1].assign(**{name: end[name].to_numpy()}))
            p = self.predict(pd.concat(steps, ignore_index=True)).win_probability
            for name, gain in zip(order, np.diff(p), strict=True):
                found[name] += float(gain) / 2.0
        return sorted(found.items(), key=lambda item: -abs(item[1]))

    def _probability(self, frame: pd.DataFrame) -> Floats:
        p = np.asarray(self.own.predict(frame), dtype=np.float64)
        if p.shape != (len(frame),) or not np.isfinite(p).all() or p.min() < 0 or p.max() > 1:
            raise RequestError(message("own.probabilities", path=self.path, n=len(frame)))
        return np.clip(p, _EDGE, 1 - _EDGE)

    def _around(self, p: Floats, spread: Floats) -> Prediction:
        centre = logit(np.clip(p, _EDGE, 1 - _EDGE))
        return Prediction(p, expit(centre - _Z90 * spread), expit(centre + _Z90 * spread), centre, spread)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, str]]:
        """JSON-able dict and LightGBM texts by name."""
        parts, texts = super().to_parts()
        return {**parts, "own": {"path": self.path, "seed": self.seed, "parts": self.own.to_parts()}}, texts


def find_class(path: str) -> Any:
    """The class at `module:Class`; RequestError where it is not there or lacks a method."""
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise RequestError(message("own.no_class", path=path, why=str(error))) from error
    lacking = [method for method in ("fit", "predict", "to_parts", "from_parts") if not hasattr(found, method)]
    if lacking:
        raise RequestError(message("own.lacks", path=path, methods=tuple(lacking)))
    return found


def read_conversion(parts: Mapping[str, Any], texts: Mapping[str, str]) -> ConversionModel:
    """The conversion model of a release, ours or one brought along."""
    base = ConversionModel.from_parts(parts, texts)
    saved = parts.get("own")
    if saved is None:
        return base
    known = {name: getattr(base, name) for name in ConversionModel.__dataclass_fields__}
    own = find_class(str(saved["path"])).from_parts(saved["parts"])
    return OwnConversion(**known, own=own, path=str(saved["path"]), seed=int(saved["seed"]))


def explain(
    model: ConversionModel, lead: pd.DataFrame, rep: pd.DataFrame, other: pd.DataFrame
) -> list[tuple[str, float]]:
    """What makes the win probability of a lead differ between two reps: (feature, points 0-1), adding up."""
    if isinstance(model, OwnConversion):
        return model.difference(lead, rep, other)
    return list(explain_difference(model, lead, rep, other).contributions)
