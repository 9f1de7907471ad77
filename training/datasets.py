"""The training sets: lead x rep pairs and the rep x month panel, as known at one moment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features import moments
from features.config import Config
from features.moments import NEVER
from features.pairs import build_pairs
from features.panel import build_panel
from features.spec import FeatureSpec, make_spec
from features.tables import Tables
from features.workdays import Workdays
from features.world import World, build
from models.conversion.columns import PairColumns
from training.snapshot import ZonedWorkdays, workdays_of


@dataclass(frozen=True)
class Datasets:
    """Both training sets with the world and spec that they were built from."""

    world: World
    spec: FeatureSpec
    workdays: Workdays
    pairs: pd.DataFrame
    panel: pd.DataFrame


def build_datasets(tables: Tables, as_of: int, config: Config, spec: FeatureSpec | None = None) -> Datasets:
    """Datasets from what `as_of` knows; the spec is made from the same tables unless given."""
    spec = spec or make_spec(tables, config, as_of)
    world = build(tables, as_of, spec)
    workdays = workdays_of(world.tables)
    exposure = ZonedWorkdays(workdays, world.tables.zone)
    panel = build_panel(world, exposure=exposure.in_month)
    return Datasets(world, spec, workdays, build_pairs(world), panel)


def pair_columns(spec: FeatureSpec) -> PairColumns:
    """The pairs frame's columns by role.

    Whether the lead was a rep's own prospect is left out: own prospects are not routed and not in the frame.
    """
    numeric = tuple(name for name in spec.lead_numeric if name != "lead_own_prospect")
    return PairColumns(numeric, spec.lead_categorical, spec.rep_numeric, spec.pair_numeric, spec.rep_categorical)


def late_rows(sets: Datasets) -> int:
    """Training rows whose features would be later than what is known: 0, or something peeks."""
    as_of = sets.world.as_of
    return int((sets.pairs["as_of"] > as_of).sum() + (sets.panel["as_of"] > as_of).sum())


def frame_hash(frame: pd.DataFrame) -> str:
    """SHA-256 over a frame's columns and values, independent of its index."""
    digest = hashlib.sha256("|".join(frame.columns).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def write_datasets(sets: Datasets, out: Path) -> Iterator[tuple[Path, int]]:
    """Write `pairs.parquet` and `panel.parquet`; yields each path and its rows.

    Times are timestamps in UTC, months `YYYY-MM`, and the spec's fingerprint stands in every row.
    """
    out.mkdir(parents=True, exist_ok=True)
    fingerprint = sets.spec.fingerprint()
    for name, frame in (("pairs", sets.pairs), ("panel", sets.panel)):
        plain = frame.assign(spec_fingerprint=fingerprint)
        for column in ("as_of", "resolved_at"):
            if column in plain.columns:
                plain[column] = as_timestamps(plain[column])
        if "month" in plain.columns:
            plain["month"] = [moments.month_text(int(m)) for m in plain["month"]]
        path = out / f"{name}.parquet"
        plain.to_parquet(path, index=False)
        yield path, len(plain)


def as_timestamps(values: pd.Series) -> pd.Series:
    """Moments as UTC timestamps, NEVER as missing."""
    raw = values.to_numpy(dtype=np.int64)
    stamps = pd.Series(pd.to_datetime(np.where(raw == NEVER, 0, raw), unit="us", utc=True), index=values.index)
    return stamps.mask(raw == NEVER)
