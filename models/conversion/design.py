"""Encoding of a pairs frame: numbers on Gelman's scale, level codes, and the rep's own cells.

Numbers are clipped to the range seen in training, centred, and divided by two standard deviations, so that one prior
suits all of them and a binary column compares with a continuous one.

References
----------
Gelman (2008), Scaling regression inputs by dividing by two standard deviations, Statistics in Medicine 27.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.linalg import block_diag

from features.moments import DAY
from models.conversion.columns import FIRST_INTERACTIONS, MONTH, TENURE, PairColumns, bandable, without_outcomes

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Side = Literal["lead", "rep", "pair"]
Mode = Literal["pairs", "reps", "lead_only"]

TENURE_KNOTS: Final = (0.5, 1.0, 1.5, 2.5, 4.0)
MOST_LEVELS: Final = 200
FEWEST_ROWS_A_LEVEL: Final = 3
MOST_CELLS: Final = 30
MOST_INTERACTIONS: Final = 6
MOST_BANDS: Final = 10
BAND_CORRELATION: Final = 0.8
MOST_BANDED: Final = 3
_COMMON_TO_BANDS = 0.01  # variance of what all bands of a number share
MOST_CELLS_A_REP: Final = 120
_FEWEST_DISTINCT_FOR_CURVE = 12
_COMMON_MISSING = 0.01
_LARGEST = 1e100
_SEASONAL_DAYS = 700
_FEW_ROWS = 64


@dataclass(frozen=True)
class NumberTerm:
    """One numeric column: line and hinges at `knots` (of tenure: ramps between them), indicator where often missing."""

    name: str
    side: Side
    low: float
    high: float
    fill: float
    knots: tuple[float, ...]
    indicator: bool
    centres: tuple[float, ...]
    scales: tuple[float, ...]

    @property
    def width(self) -> int:
        return 1 + len(self.knots) + int(self.indicator)

    def groups(self) -> list[str]:
        """Variance group of each of its columns."""
        if self.name == TENURE:
            return ["rep tenure"] * self.width
        names = [f"{self.side} numbers"] + [f"{self.side} curves"] * len(self.knots)
        return names + [f"{self.side} numbers"] * int(self.indicator)

    def raw(self, values: Floats) -> Floats:
        """(n, width) line, hinges (of tenure: a ramp a stretch) and indicator before centring."""
        missing = ~np.isfinite(values)
        clipped = np.clip(np.where(missing, self.fill, values), self.low, self.high)
        if self.name == TENURE and self.knots:
            # A stretch's coefficient is what is learnt over it: early years may count for much and late ones for
            # nothing, which a line and its bends, shrunk alike, cannot say.
            edges = [self.low, *self.knots, self.high]
            parts = [np.clip((clipped - a) / (b - a), 0.0, 1.0) for a, b in pairwise(edges)]
        else:
            parts = [clipped] + [np.maximum(clipped - knot, 0.0) for knot in self.knots]
        return np.column_stack(parts + [missing.astype(np.float64)] * int(self.indicator))

    def encode(self, values: Floats) -> Floats:
        """(n, width) centred and scaled."""
        return (self.raw(values) - np.asarray(self.centres)) / np.asarray(self.scales)


@dataclass(frozen=True)
class LevelTerm:
    """One categorical column and its levels, most frequent first; an unknown level has no effect.

    With `edges` the column is numeric and its levels are the bands between them, a number on an edge in the upper one.
    """

    name: str
    side: Side
    levels: tuple[str, ...]
    edges: tuple[float, ...] = ()

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each level."""
        return {level: at for at, level in enumerate(self.levels)}

    def encode(self, values: npt.NDArray[Any]) -> Codes:
        """(n,) position of each value's level, -1 where unknown."""
        if len(values) < _FEW_ROWS:
            return np.array([self.index.get(str(value), -1) for value in values], dtype=np.int64)
        return np.asarray(pd.Index(self.levels).get_indexer(pd.Index(values)), dtype=np.int64)

    def codes(self, frame: pd.DataFrame) -> Codes:
        """(n,) position of each row's level or band, -1 where unknown or missing."""
        if not self.edges:
            return self.encode(text_column(frame, self.name))
        values = number_column(frame, self.name)
        bands = np.searchsorted(np.asarray(self.edges), values, side="right")
        return np.where(np.isfinite(values), bands, -1).astype(np.int64)


@dataclass(frozen=True)
class Encoded:
    """Encoded rows: `numeric` (n, q) with the constant first, `codes` (n, C) in [0, n_levels] (the last: unknown),
    `cells` (n, D) in [0, n_cells] (the last: none), the first cell being the rep's intercept."""

    numeric: Floats
    codes: Codes
    cells: Codes

    def take(self, rows: npt.NDArray[Any]) -> Encoded:
        """The given rows."""
        return Encoded(self.numeric[rows], self.codes[rows], self.cells[rows])


@dataclass(frozen=True)
class Design:
    """How frames become design rows; the order of the coefficients is constant, numbers, levels."""

    mode: Mode
    numbers: tuple[NumberTerm, ...]
    levels: tuple[LevelTerm, ...]
    interactions: tuple[LevelTerm, ...]

    @cached_property
    def n_numeric(self) -> int:
        """Numeric columns with the constant."""
        return 1 + sum(term.width for term in self.numbers)

    @cached_property
    def n_levels(self) -> int:
        """Levels of all categorical columns."""
        return sum(len(term.levels) for term in self.levels)

    @cached_property
    def n_cells(self) -> int:
        """Random effects of one rep."""
        if self.mode == "lead_only":
            return 0
        return 1 + sum(len(term.levels) for term in self.interactions)

    @cached_property
    def fixed_groups(self) -> tuple[str, ...]:
        """Variance group of each coefficient; "" for the constant."""
        groups = [""]
        for number in self.numbers:
            groups += number.groups()
        for level in self.levels:
            groups += [f"{level.side} {level.name}"] * len(level.levels)
        return tuple(groups)

    @cached_property
    def fixed_names(self) -> tuple[str, ...]:
        """Frame column of each coefficient; "" for the constant."""
        names = [""]
        for number in self.numbers:
            names += [number.name] * number.width
        for level in self.levels:
            names += [level.name] * len(level.levels)
        return tuple(names)

    @cached_property
    def cell_groups(self) -> tuple[str, ...]:
        """Variance group of each of a rep's effects: "rep", "rep x industry", ..."""
        if self.mode == "lead_only":
            return ()
        groups = ["rep"]
        for term in self.interactions:
            groups += [f"rep x {term.name}"] * len(term.levels)
        return tuple(groups)

    @cached_property
    def cell_structure(self) -> Floats | None:
        """(K, K) inverse of the prior covariance of a rep's effects at variances of one; None where none is banded."""
        if self.mode == "lead_only" or not any(term.edges for term in self.interactions):
            return None
        blocks: list[Floats] = [np.eye(1)]
        for term in self.interactions:
            n = len(term.levels)
            blocks.append(np.asarray(np.linalg.inv(_band_covariance(n)), dtype=np.float64) if term.edges else np.eye(n))
        return np.asarray(block_diag(*blocks))

    def encode(self, frame: pd.DataFrame, sides: Sequence[Side] = ("lead", "rep", "pair")) -> Encoded:
        """Rows of `frame`; columns of other sides, and columns the frame lacks, are at their mean or without effect."""
        n = len(frame)
        return Encoded(self._numeric(frame, n, sides), self._codes(frame, n, sides), self._cells(frame, n, sides))

    def _numeric(self, frame: pd.DataFrame, n: int, sides: Sequence[Side]) -> Floats:
        numeric = np.zeros((n, self.n_numeric))
        numeric[:, 0] = 1.0 if "lead" in sides else 0.0
        there = set(frame.columns)
        given = [term.name for term in self.numbers if term.side in sides and term.name in there]
        values = dict(zip(given, number_columns(frame, given).T, strict=True))
        at = 1
        for term in self.numbers:
            if term.name in values:
                numeric[:, at : at + term.width] = term.encode(values[term.name])
            at += term.width
        return numeric

    def _codes(self, frame: pd.DataFrame, n: int, sides: Sequence[Side]) -> Codes:
        codes = np.full((n, len(self.levels)), self.n_levels, dtype=np.int64)
        start = 0
        for at, term in enumerate(self.levels):
            if term.side in sides and term.name in frame.columns:
                found = term.codes(frame)
                codes[:, at] = np.where(found < 0, self.n_levels, found + start)
            start += len(term.levels)
        return codes

    def _cells(self, frame: pd.DataFrame, n: int, sides: Sequence[Side]) -> Codes:
        if self.mode == "lead_only":
            return np.zeros((n, 0), dtype=np.int64)
        cells = np.full((n, 1 + len(self.interactions)), self.n_cells, dtype=np.int64)
        cells[:, 0] = 0
        start = 1
        for at, term in enumerate(self.interactions, start=1):
            if "lead" in sides and term.name in frame.columns:
                found = term.codes(frame)
                cells[:, at] = np.where(found < 0, self.n_cells, found + start)
            start += len(term.levels)
        return cells

    def dense(self, encoded: Encoded) -> Floats:
        """(n, q + m) all coefficients' columns."""
        return dense_rows(encoded, self.n_levels)

    def in_mode(self, mode: Mode) -> Design:
        """The same encoding with less of the rep in it."""
        if mode == "pairs":
            return self
        if mode == "reps":
            # Declared matches are lead x rep interactions too.
            kept = tuple(term for term in self.numbers if term.side != "pair")
            return Design("reps", kept, self.levels, ())
        numbers = tuple(term for term in self.numbers if term.side == "lead")
        return Design("lead_only", numbers, tuple(term for term in self.levels if term.side == "lead"), ())

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict."""
        return {
            "mode": self.mode,
            "numbers": [
                {name: _plain(getattr(term, name)) for name in term.__dataclass_fields__} for term in self.numbers
            ],
            "levels": [[term.name, term.side, list(term.levels)] for term in self.levels],
            "interactions": [[term.name, term.side, list(term.levels), list(term.edges)] for term in self.interactions],
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Design:
        """Design as `to_json` wrote it."""
        numbers = tuple(_number_from(term) for term in saved["numbers"])
        levels, interactions = (
            tuple(LevelTerm(name, side, *map(tuple, rest)) for name, side, *rest in saved[part])
            for part in ("levels", "interactions")
        )
        return cls(saved["mode"], numbers, levels, interactions)


def _band_covariance(n: int) -> Floats:
    """(n, n) of mean variance one: neighbouring bands are alike, and hardly anything is common to all of them.

    What is common to all bands is the rep himself: left in, the two variances could not be told apart.
    """
    at = np.arange(n)
    alike = BAND_CORRELATION ** np.abs(at[:, None] - at[None, :])
    centre = np.eye(n) - 1.0 / n
    found = centre @ alike @ centre
    found *= n / max(float(np.trace(found)), 1e-12)
    return np.asarray(found + _COMMON_TO_BANDS)


def dense_rows(encoded: Encoded, n_levels: int) -> Floats:
    """(n, q + m) numeric columns and an indicator a level."""
    n_numeric = encoded.numeric.shape[1]
    full = np.zeros((len(encoded.numeric), n_numeric + n_levels + 1))
    full[:, :n_numeric] = encoded.numeric
    rows = np.arange(len(full))
    for codes in encoded.codes.T:
        full[rows, n_numeric + codes] = 1.0
    return full[:, :-1]


def number_column(frame: pd.DataFrame, name: str) -> Floats:
    """(n,) floats of a column; infinities become NaN, and numbers whose squares would overflow are clipped."""
    return number_columns(frame, [name])[:, 0]


def number_columns(frame: pd.DataFrame, names: Sequence[str]) -> Floats:
    """(n, len(names)) floats as of `number_column`, in one pass: for one row a column at a time costs 10 times that."""
    values = np.asarray(frame[list(names)].to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    return np.clip(np.where(np.isfinite(values), values, np.nan), -_LARGEST, _LARGEST)


def text_column(frame: pd.DataFrame, name: str) -> npt.NDArray[Any]:
    """(n,) objects of a text column, "" where missing or where there is no such column."""
    if name not in frame.columns:
        return np.full(len(frame), "", dtype=object)
    column = frame[name]
    if len(frame) < _FEW_ROWS:
        return np.array(["" if pd.isna(value) else str(value) for value in column], dtype=object)
    return np.asarray(column.fillna("").astype(str).to_numpy(dtype=object))


def learn_design(frame: pd.DataFrame, columns: PairColumns) -> Design:
    """Design in mode "pairs" from training rows; constant and empty columns are left out."""
    sides: list[tuple[Side, tuple[str, ...]]] = [
        ("lead", _seasonal(frame, columns.lead_numeric)),
        ("rep", without_outcomes(columns.rep_numeric)),
        ("pair", without_outcomes(columns.pair_numeric)),
    ]
    numbers = [_learn_number(number_column(frame, name), name, side) for side, names in sides for name in names]
    levels = [_learn_levels(text_column(frame, name), name, "lead") for name in columns.lead_categorical]
    levels += [_learn_levels(text_column(frame, name), name, "rep") for name in columns.rep_categorical]
    kept = tuple(term for term in levels if term is not None)
    found = tuple(term for term in numbers if term is not None)
    bands = [_learn_bands(number_column(frame, name), name) for name in bandable(columns.lead_numeric)]
    return Design("pairs", found, kept, _interactions(kept, [term for term in bands if term is not None]))


def _seasonal(frame: pd.DataFrame, names: Sequence[str]) -> tuple[str, ...]:
    """The names without the month of year where the frame holds less than two years: there it is a trend."""
    times = frame["as_of"].to_numpy(dtype=np.int64) if "as_of" in frame.columns else np.zeros(1, dtype=np.int64)
    short = len(times) == 0 or int(np.ptp(times)) < _SEASONAL_DAYS * DAY
    return tuple(name for name in names if not (short and name == MONTH))


def _learn_number(values: Floats, name: str, side: Side) -> NumberTerm | None:
    seen = values[np.isfinite(values)]
    if len(seen) == 0:
        return None
    distinct = len(np.unique(seen))
    missing = 1.0 - len(seen) / len(values)
    indicator = missing > _COMMON_MISSING
    if distinct < 2 and not indicator:
        return None
    low, high = (float(edge) for edge in np.quantile(seen, [0.002, 0.998]))
    if distinct <= _FEWEST_DISTINCT_FOR_CURVE or low == high:
        low, high = float(seen.min()), float(seen.max())
    fill = float(np.mean(np.clip(seen, low, high)))
    knots = _knots(seen, name, side, low, high, distinct)
    term = NumberTerm(name, side, low, high, fill, knots, indicator, (), ())
    raw = term.raw(values)
    centres, spread = raw.mean(axis=0), raw.std(axis=0)
    binary = np.array([distinct == 2] + [False] * len(knots) + [True] * int(indicator))
    scales = np.where(binary, np.ptp(raw, axis=0), 2.0 * spread)
    scales = np.where(scales > 1e-12, scales, 1.0)
    return NumberTerm(name, side, low, high, fill, knots, indicator, tuple(centres.tolist()), tuple(scales.tolist()))


def _knots(seen: Floats, name: str, side: Side, low: float, high: float, distinct: int) -> tuple[float, ...]:
    if distinct <= _FEWEST_DISTINCT_FOR_CURVE or side == "pair":
        return ()
    if name == TENURE:
        return tuple(knot for knot in TENURE_KNOTS if low < knot < high)
    if side == "rep":
        return ()
    middle = np.unique(np.quantile(seen, [0.25, 0.5, 0.75]))
    return tuple(float(knot) for knot in middle if low < knot < high)


def _learn_levels(values: npt.NDArray[Any], name: str, side: Side) -> LevelTerm | None:
    levels, counts = np.unique(values.astype(str), return_counts=True)
    order = np.lexsort((levels, -counts))
    kept = [str(levels[at]) for at in order[:MOST_LEVELS] if counts[at] >= FEWEST_ROWS_A_LEVEL]
    return LevelTerm(name, side, tuple(kept)) if len(levels) > 1 and kept else None


def _learn_bands(values: Floats, name: str) -> LevelTerm | None:
    """Bands of about equal counts; every value its own band where there are few."""
    seen = values[np.isfinite(values)]
    distinct = np.unique(seen)
    if len(distinct) < 2 or len(seen) < FEWEST_ROWS_A_LEVEL * MOST_BANDS:
        return None
    if len(distinct) <= MOST_BANDS:
        edges = distinct[1:]
    else:
        edges = np.unique(np.quantile(seen, np.arange(1, MOST_BANDS) / MOST_BANDS))
        edges = edges[edges > distinct[0]]
    names = [f"< {edges[0]:g}", *(f">= {edge:g}" for edge in edges)] if len(edges) else []
    return LevelTerm(name, "lead", tuple(names), tuple(edges.tolist())) if len(edges) else None


def _interactions(terms: Sequence[LevelTerm], bands: Sequence[LevelTerm]) -> tuple[LevelTerm, ...]:
    """What reps may be good at: the field's usual columns, other categories of few levels, numbers in bands."""
    # A missing level says nothing about what the rep is good at.
    named = [
        LevelTerm(term.name, term.side, tuple(x for x in term.levels if x)) for term in terms if term.side == "lead"
    ]
    first = [
        LevelTerm(term.name, term.side, term.levels[:MOST_CELLS])
        for name in FIRST_INTERACTIONS
        for term in named
        if term.name == name
    ]
    rest = [term for term in named if term.name not in FIRST_INTERACTIONS and len(term.levels) <= MOST_CELLS]
    chosen = [term for term in first + rest if len(term.levels) > 1][:MOST_INTERACTIONS]
    found: list[LevelTerm] = []
    for term in chosen + list(bands)[:MOST_BANDED]:
        if sum(len(other.levels) for other in found) + len(term.levels) <= MOST_CELLS_A_REP:
            found.append(term)
    return tuple(found)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _number_from(saved: Mapping[str, Any]) -> NumberTerm:
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in saved.items()}
    return NumberTerm(**values)
