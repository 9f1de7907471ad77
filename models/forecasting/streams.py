"""A random stream for each rep, so that neither the order of rows nor other reps change his draws."""

from __future__ import annotations

import hashlib

import numpy as np

from models.forecasting.inputs import ForecastInputs


def stream_keys(inputs: ForecastInputs) -> list[int]:
    """Seed of each rep's draws: his `stream` where given, else a stable hash of his id."""
    if "stream" in inputs.reps.columns:
        return [int(v) & (2**64 - 1) for v in inputs.reps["stream"]]
    return [int.from_bytes(hashlib.sha256(r.encode()).digest()[:8], "big") for r in inputs.rep_ids]


def stream(root: int, part: int, key: int) -> np.random.Generator:
    """The generator of one rep (`key`) and one part of his forecast under a forecast's `root`."""
    return np.random.Generator(np.random.Philox(key=[(root + part) % 2**64, key]))
