"""Reasons: what each column and each kind of rep effect adds to one pair, or to one pair against another.

Contributions are on the probability scale. They are found on the log-odds (where the model adds up) and scaled by one
factor, the mean slope between the two probabilities, so that they sum exactly to the difference. "certainty" is the
part due to one pair being known better than the other: scores are pulled towards one half by what is unsure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy.special import expit

from models.conversion.model import ConversionModel
from models.conversion.predictor import mean_logit

CERTAINTY: Final = "certainty"


@dataclass(frozen=True)
class Explanation:
    """`contributions`, largest first, sum to `probability` minus `reference`."""

    probability: float
    reference: float
    contributions: tuple[tuple[str, float], ...]


def explain_difference(
    model: ConversionModel, lead: pd.DataFrame, rep_a: pd.DataFrame, rep_b: pd.DataFrame
) -> Explanation:
    """Why rep a rather than rep b for one lead: frames of one row each, the reps' with rep, pair columns and rep_id.

    Contributions (0-1) sum to p_a - p_b; positive speaks for a.
    """
    pairs = pd.concat([_pair(lead, rep_a), _pair(lead, rep_b)], ignore_index=True)
    return explain_pairs(model, pairs.iloc[[0]], pairs.iloc[[1]])


def explain_pairs(model: ConversionModel, chosen: pd.DataFrame, other: pd.DataFrame) -> Explanation:
    """Contributions to p(chosen) - p(other) of two frames of one pair each."""
    both = pd.concat([chosen, other], ignore_index=True)
    parts = _parts(model, both)
    prediction = model.predict(both)
    difference = {name: parts[0].get(name, 0.0) - parts[1].get(name, 0.0) for name in {**parts[0], **parts[1]}}
    first, second = float(prediction.logit[0]), float(prediction.logit[1])
    p, q = float(prediction.win_probability[0]), float(prediction.win_probability[1])
    shrink = _shrink(model, both)
    return scaled(difference, model.calibrator.slope * float(shrink.mean()), (first, second), (p, q))


def explain(model: ConversionModel, pair: pd.DataFrame) -> Explanation:
    """Contributions to one pair's probability against the mean training pair, a rep of the desk's mean.

    `pair` is a frame of one row.
    """
    parts = _parts(model, pair)[0]
    prediction = model.predict(pair)
    base = float(model.pooled.reference @ model.pooled.beta) + _trees_mean(model, pair)
    reference = float(model.calibrator.apply(np.array([base]))[0])
    p = float(prediction.win_probability[0])
    shrink = float(_shrink(model, pair)[0])
    logits = (float(prediction.logit[0]), reference)
    return scaled(parts, model.calibrator.slope * shrink, logits, (p, float(expit(reference))))


def _pair(lead: pd.DataFrame, rep: pd.DataFrame) -> pd.DataFrame:
    kept = [name for name in lead.columns if name not in set(rep.columns)]
    return pd.concat([lead[kept].reset_index(drop=True), rep.reset_index(drop=True)], axis=1)


def _parts(model: ConversionModel, pairs: pd.DataFrame) -> list[dict[str, float]]:
    """By pair, additions to the log-odds before shrinkage and calibration."""
    found = model.pooled.contributions(pairs)
    if model.residual is not None:
        values = model.residual.contributions(model.residual.features(pairs))
        for parts, row in zip(found, values, strict=True):
            for name, value in zip(model.residual.names, row[:-1], strict=True):
                parts[name] = parts.get(name, 0.0) + float(value)
    return found


def _trees_mean(model: ConversionModel, pair: pd.DataFrame) -> float:
    if model.residual is None:
        return 0.0
    return float(model.residual.contributions(model.residual.features(pair))[0, -1])


def _shrink(model: ConversionModel, pairs: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    _, variance = model.pooled.predict(pairs)
    return mean_logit(np.ones(len(pairs)), variance)


def scaled(
    parts: dict[str, float], to_logit: float, logits: tuple[float, float], probabilities: tuple[float, float]
) -> Explanation:
    """Parts of the log-odds as parts of a probability; what they do not explain is named certainty."""
    scaled = {name: to_logit * value for name, value in parts.items() if abs(value) > 1e-12}
    gap = logits[0] - logits[1]
    scaled[CERTAINTY] = gap - sum(scaled.values())
    p, q = probabilities
    slope = (p - q) / gap if abs(gap) > 1e-12 else p * (1.0 - p)
    shares = {name: value * slope for name, value in scaled.items() if abs(value) > 1e-12}
    ordered = sorted(shares.items(), key=lambda item: (-abs(item[1]), item[0]))
    return Explanation(p, q, tuple(ordered))
