"""What a rep's predicted contribution is made of: SHAP values of the panel model, in the field's terms and in money.

Association, not effect: an attribution says how the model came to its number, never what would happen if someone
changed something (`effects` says that). Contributions are TreeSHAP values, path-dependent or against a named group,
grouped into drivers, and add up to prediction minus baseline on every call.
Sign: positive (`up`) = pushes the prediction above the baseline. Unit: that of the model's outcome (money a month).
Team and company numbers are sums over their reps, so that everything adds up.

References
----------
Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.errors import FairleadError
from models.drivers.clustered import Floats, codes_of
from models.drivers.treeshap import ReadTrees, interventional, path_dependent

if TYPE_CHECKING:
    import lightgbm

TOLERANCE = 1e-6
_RANK_QUANTILES = (0.05, 0.95)
_STABLE_PLACES = 2
COMPANY = "company"
OTHER = "other"


class AttributionError(FairleadError):
    """The model cannot be attributed, or its contributions do not add up."""


@dataclass(frozen=True)
class DriverItem:
    """One driver's part of a prediction. `share` (0-1): its |contribution| over the sum of all of them."""

    driver: str
    group: str
    contribution: float
    share: float
    direction: Literal["up", "down"]
    unit: str


@dataclass(frozen=True)
class Attribution:
    """A prediction taken apart: contributions of `drivers` (largest first) sum to prediction minus baseline."""

    id: str
    prediction: float
    baseline: float
    drivers: tuple[DriverItem, ...]

    def by_group(self) -> dict[str, float]:
        """Contribution of each group of drivers, in the groups' alphabetical order."""
        groups = sorted({item.group for item in self.drivers})
        return {g: fsum(item.contribution for item in self.drivers if item.group == g) for g in groups}


@dataclass(frozen=True)
class DriverMap:
    """Which driver a feature belongs to, and which group a driver: both many to one.

    A feature that is not named is its own driver, in group `other`.
    """

    driver_of: Mapping[str, str]
    group_of: Mapping[str, str]

    def driver(self, feature: str) -> str:
        """Driver of a feature."""
        return self.driver_of.get(feature, feature)

    def group(self, driver: str) -> str:
        """Group of a driver."""
        return self.group_of.get(driver, OTHER)


@dataclass(frozen=True)
class Contributions:
    """Drivers' parts of each row's prediction: `values` (n, k) + baseline = prediction (n,)."""

    drivers: tuple[str, ...]
    values: Floats
    prediction: Floats
    baseline: Floats


@dataclass(frozen=True)
class RankedDriver:
    """A driver's place by mean |contribution| over all rows; `rank` is None where it is `unstable`.

    `rank_low`, `rank_high`: 90 % range of its place when the reps are drawn anew.
    """

    driver: str
    group: str
    importance: float
    rank: int | None
    rank_low: int
    rank_high: int
    unstable: bool


def contributions(
    booster: lightgbm.Booster,
    features: pd.DataFrame,
    mapping: DriverMap,
    background: pd.DataFrame | None = None,
    read: ReadTrees | None = None,
) -> Contributions:
    """Drivers' contributions to each row's prediction, on the scale of the outcome.

    Against the model's own mean (path-dependent), or with a `background` against all of its rows (interventional).

    `features` (n rows) holds the booster's features by name; order and further columns do not matter. `read`: see
    `interventional`.
    Raises AttributionError where a feature is missing, the model's loss bends its output (Tweedie, Poisson, binary:
    then sums are on another scale), it has linear leaves, or sums are off by more than 1e-6 of the prediction.
    """
    names = list(booster.feature_name())
    missing = [name for name in names if name not in features]
    if missing:
        raise AttributionError(f"features that the model needs are missing: {', '.join(missing[:5])}")
    X = features[names].to_numpy(dtype=np.float64)
    prediction = np.asarray(booster.predict(X), dtype=np.float64)
    if not np.array_equal(prediction, np.asarray(booster.predict(X, raw_score=True), dtype=np.float64)):
        raise AttributionError("the model's output is not on the money scale: attribution needs an identity loss")
    if background is None:
        parts = path_dependent(booster, X)
    else:
        parts = interventional(booster, X, background[names].to_numpy(dtype=np.float64), read)
    drivers = tuple(sorted({mapping.driver(name) for name in names}))
    place = {driver: k for k, driver in enumerate(drivers)}
    values = np.zeros((len(X), len(drivers)))
    for column, name in enumerate(names):
        values[:, place[mapping.driver(name)]] += parts[:, column]
    made = Contributions(drivers, values, prediction, parts[:, -1].copy())
    _check_sums(made)
    return made


def _check_sums(made: Contributions) -> None:
    total = made.values.sum(axis=1) + made.baseline
    scale = np.maximum(1.0, np.maximum(np.abs(made.prediction), np.abs(made.values).sum(axis=1)))
    off = np.abs(total - made.prediction) / scale
    if len(off) and not float(off.max()) <= TOLERANCE:
        row = int(np.argmax(off))
        raise AttributionError(
            f"contributions of row {row} add up to {total[row]!r}, the prediction is {made.prediction[row]!r}"
        )


def attribute_rows(
    made: Contributions, ids: Sequence[str], mapping: DriverMap, unit: str = ""
) -> tuple[Attribution, ...]:
    """One attribution an id, sorted by id; rows of the same id are summed (a team is the sum of its reps).

    `ids` (n,): rep, team or "company" of each row; empty ids are left out.
    """
    names = np.asarray(ids, dtype=object).astype(str)
    if len(names) != len(made.prediction):
        raise AttributionError(f"{len(names)} ids were given for {len(made.prediction)} rows")
    return tuple(
        _attribution(name, made, np.flatnonzero(names == name), mapping, unit) for name in sorted(set(names) - {""})
    )


def attribute_company(made: Contributions, mapping: DriverMap, unit: str = "") -> Attribution:
    """Attribution of the sum over all rows, with id `company`."""
    return _attribution(COMPANY, made, np.arange(len(made.prediction)), mapping, unit)


def _attribution(
    name: str, made: Contributions, rows: npt.NDArray[np.intp], mapping: DriverMap, unit: str
) -> Attribution:
    sums = [fsum(made.values[rows, k]) for k in range(len(made.drivers))]
    total = fsum(abs(value) for value in sums)
    items = [
        DriverItem(
            driver=driver,
            group=mapping.group(driver),
            contribution=value,
            share=abs(value) / total if total > 0 else 0.0,
            direction="up" if value >= 0 else "down",
            unit=unit,
        )
        for driver, value in zip(made.drivers, sums, strict=True)
    ]
    items.sort(key=lambda item: (-abs(item.contribution), item.driver))
    return Attribution(name, fsum(made.prediction[rows]), fsum(made.baseline[rows]), tuple(items))


def rank_drivers(
    made: Contributions, rep_ids: Sequence[str], mapping: DriverMap, rng: np.random.Generator, draws: int = 400
) -> tuple[RankedDriver, ...]:
    """Drivers by mean |contribution|, largest first, with the range of their place when reps are drawn anew.

    A rep's rows stay together: his months are no independent evidence. A driver whose 90 % range spans more than
    two places to either side is marked unstable and has no rank.
    """
    units, n_units = codes_of(np.asarray(rep_ids, dtype=object).astype(str))
    size = np.abs(made.values)
    sums = np.column_stack([np.bincount(units, weights=c, minlength=n_units) for c in size.T])
    counts = np.bincount(units, minlength=n_units).astype(np.float64)
    weights = rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=draws).astype(np.float64)
    drawn = (weights @ sums) / (weights @ counts)[:, None]
    places = np.argsort(np.argsort(-drawn, axis=1, kind="stable"), axis=1, kind="stable") + 1
    low, high = np.quantile(places, _RANK_QUANTILES, axis=0, method="inverted_cdf").astype(np.int64)
    importance = size.mean(axis=0)
    order = sorted(range(len(made.drivers)), key=lambda k: (-importance[k], made.drivers[k]))
    found = []
    for rank, k in enumerate(order, start=1):
        unstable = bool(rank - low[k] > _STABLE_PLACES or high[k] - rank > _STABLE_PLACES)
        found.append(
            RankedDriver(
                driver=made.drivers[k],
                group=mapping.group(made.drivers[k]),
                importance=float(importance[k]),
                rank=None if unstable else rank,
                rank_low=int(low[k]),
                rank_high=int(high[k]),
                unstable=unstable,
            )
        )
    return tuple(found)
