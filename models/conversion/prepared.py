"""One lead against a team that does not change between leads: the reps' side of the models, worked out beforehand.

What is asked of the models stays what `ConversionModel.predict_matrix` and `AmountModel.expected_matrix` say, up to
rounding; only the lead's own side is left to do for each lead. Trees are answered by bit masks where a check on random
rows finds them equal to LightGBM, else by LightGBM itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from features.compiled import compiled
from models.conversion.amount import AmountModel
from models.conversion.design import Codes, Design, Floats, NumberTerm, text_column
from models.conversion.explanation import scaled
from models.conversion.model import ConversionModel
from models.conversion.predictor import SHRINK, mean_logit
from models.conversion.residual import ResidualTrees

Flags = npt.NDArray[np.bool_]

_LARGEST: Final = 1e100
_MOST_ENCODED: Final = 200
_NO_PAIRS: Final[Mapping[str, Floats]] = {}


@dataclass(frozen=True)
class LeadValues:
    """One lead as the models see it: numbers (NaN where missing) and texts ("" where missing) by column."""

    numbers: Mapping[str, float]
    texts: Mapping[str, str]


class RowEncoder:
    """The lead's side of a design for one row at a time: what `Design.encode` and `dense` say, without a frame."""

    def __init__(self, design: Design) -> None:
        self._width = design.n_numeric + design.n_levels
        self._names: list[str] = []
        rows: list[tuple[float, ...]] = []
        at = 1
        for term in design.numbers:
            if term.side == "lead":
                source = len(self._names)
                self._names.append(term.name)
                knots = [-np.inf, *term.knots] + [np.nan] * int(term.indicator)
                for k, knot in enumerate(knots):
                    rows.append((at + k, source, term.low, term.high, term.fill, knot, term.centres[k], term.scales[k]))
            at += term.width
        table = np.array(rows, dtype=np.float64).reshape(len(rows), 8)
        self._at, self._source = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
        numbers = [np.ascontiguousarray(column) for column in table[:, 2:8].T]
        self._low, self._high, self._fill, bends, self._centre, self._scale = numbers
        self._indicator = np.isnan(bends)
        self._line = np.isneginf(bends)
        self._knot = np.where(self._line | self._indicator, 0.0, bends)
        self._levels: list[tuple[str, dict[str, int]]] = []
        start = design.n_numeric
        for level in design.levels:
            if level.side == "lead":
                self._levels.append((level.name, {name: start + k for k, name in enumerate(level.levels)}))
            start += len(level.levels)
        self._cells: list[tuple[str, dict[str, int], Sequence[float] | None, int]] = []
        start, self._no_cell = 1, design.n_cells
        for interaction in design.interactions:
            index = {name: start + k for k, name in enumerate(interaction.levels)}
            edges = interaction.edges or None
            self._cells.append((interaction.name, index, edges, start))
            start += len(interaction.levels)

    def row(self, lead: LeadValues) -> Floats:
        """(p,) coefficients' columns of the lead; a number the lead has no column for is at its mean."""
        found = np.zeros(self._width)
        found[0] = 1.0
        if self._names:
            numbers = lead.numbers
            given = np.array([numbers.get(name, np.nan) for name in self._names])
            compiled(_encode)(
                given, self._at, self._source, self._low, self._high, self._fill, self._knot, self._line,
                self._indicator, self._centre, self._scale, _LARGEST, found,
            )  # fmt: skip
        for name, index in self._levels:
            place = index.get(lead.texts.get(name, ""), -1)
            if place >= 0:
                found[place] = 1.0
        return found

    def cells(self, lead: LeadValues) -> Codes:
        """(D,) a rep's effects that the lead calls for; the last, of no effect, where it calls for none."""
        found = np.full(len(self._cells), self._no_cell, dtype=np.int64)
        for k, (name, index, edges, start) in enumerate(self._cells):
            if edges is None:
                found[k] = index.get(lead.texts.get(name, ""), self._no_cell)
                continue
            value = lead.numbers.get(name, np.nan)
            if isfinite(value):
                found[k] = start + bisect_right(edges, min(max(value, -_LARGEST), _LARGEST))
        return found


def _encode(
    given: Any, at: Any, source: Any, low: Any, high: Any, fill: Any, knot: Any, line: Any, indicator: Any, centre: Any,
    scale: Any, largest: float, found: Any,
) -> None:  # fmt: skip
    """Write a row's numbers by the design's columns: lines, hinges and indicators of what is missing."""
    for k in range(at.size):
        missing = not np.isfinite(given[source[k]])
        value = fill[k] if missing else min(max(given[source[k]], -largest), largest)
        value = min(max(value, low[k]), high[k])
        if indicator[k]:
            value = 1.0 if missing else 0.0
        elif not line[k]:
            value = max(value - knot[k], 0.0)
        found[at[k]] = (value - centre[k]) / scale[k]


def _moments_of(
    x: Any, beta: Any, fixed_covariance: Any, rep_mean: Any, rep_variance: Any, covered: Any, effects: Any, both: Any,
    cells: Any, pair_at: Any, values: Any, mean: Any, variance: Any,
) -> None:  # fmt: skip
    """Write mean and variance (R,) of the log-odds of one lead with every rep, in one pass over what is known.

    `x` (p,) is the lead's row of the design; `covered` (p, R) covariances of the reps' columns with it; `effects` and
    `both` (K + 1, R) reps' effects, and what they add to the variance, by cell; `values` (n, R) pair columns, at
    `pair_at` (n,) of the design.
    """
    filled = np.flatnonzero(x)
    own = certain = 0.0
    for i in filled:
        own += x[i] * beta[i]
        for j in filled:
            certain += x[i] * fixed_covariance[i, j] * x[j]
    for r in range(mean.size):
        mean[r] = own + rep_mean[r]
        variance[r] = certain + rep_variance[r]
    for i in filled:
        twice = 2.0 * x[i]
        for r in range(mean.size):
            variance[r] += twice * covered[i, r]
    for cell in cells:
        for r in range(mean.size):
            mean[r] += effects[cell, r]
            variance[r] += both[cell, r]
    for k in range(pair_at.size):
        at, with_lead = pair_at[k], 0.0
        for i in filled:
            with_lead += x[i] * fixed_covariance[i, at]
        for r in range(mean.size):
            mean[r] += values[k, r] * beta[at]
            variance[r] += values[k, r] * (2.0 * (with_lead + covered[at, r]) + values[k, r] * fixed_covariance[at, at])
        for other in range(k):
            twice = 2.0 * fixed_covariance[at, pair_at[other]]
            for r in range(mean.size):
                variance[r] += twice * values[k, r] * values[other, r]
    for r in range(mean.size):
        variance[r] = max(variance[r], 1e-12)


def _worths(
    mean: Any, variance: Any, shrink: float, intercept: float, slope: float, log_amount: float, rep_logs: Any,
    lowest: float, highest: float, factor: float, levelled: bool, found: Any,
) -> None:  # fmt: skip
    """Write win probability, sd of its logit and expected value into `found` (3, R); see `PreparedReps.score`.

    Amounts are `factor` x exp(log), the log kept within `lowest` and `highest`; `levelled`: their mean for all.
    """
    total = 0.0
    for r in range(mean.size):
        logit = intercept + slope * mean[r] / np.sqrt(1.0 + shrink * variance[r])
        found[0, r] = 1.0 / (1.0 + np.exp(-logit))
        found[1, r] = abs(slope) * np.sqrt(variance[r])
        found[2, r] = factor * np.exp(min(max(log_amount + rep_logs[r], lowest), highest))
        total += found[2, r]
    for r in range(mean.size):
        worth = total / mean.size if levelled else found[2, r]
        found[2, r] = found[0, r] * worth


class TreeSides:
    """The residual trees with the reps' splits struck out beforehand."""

    def __init__(self, residual: ResidualTrees, reps: pd.DataFrame, lead_names: Sequence[str]) -> None:
        self.residual = residual
        own = set(lead_names)
        self.of_lead = np.array([name in own and not name.startswith("rep_") for name in residual.names])
        self.levels = {term.name: term.index for term in residual.levels}
        of_lead = [(k, name) for k, name in enumerate(residual.names) if self.of_lead[k]]
        self._lead_numbers = [(k, name) for k, name in of_lead if name not in self.levels]
        self._lead_levels = [(k, name) for k, name in of_lead if name in self.levels]
        self._numbers_at = np.array([k for k, _ in self._lead_numbers], dtype=np.int64)
        self.rep_rows = residual.features(reps)
        self.rep_rows[:, self.of_lead] = 0.0
        self.trees = residual.trees
        self.pair_at = [
            (k, name) for k, name in enumerate(residual.names) if not self.of_lead[k] and name not in reps.columns
        ]
        if self.trees is None:
            return
        of_pair = np.zeros(len(residual.names), dtype=bool)
        of_pair[[k for k, _ in self.pair_at]] = True
        self._lead_nodes = self.trees.nodes.of_features(self.of_lead)
        nodes = self.trees.nodes.of_features(of_pair)
        place = np.zeros(len(residual.names), dtype=np.int64)
        place[[k for k, _ in self.pair_at]] = np.arange(len(self.pair_at))
        self._pair_nodes = replace(nodes, feature=place[nodes.feature])
        self._pair_columns = np.ascontiguousarray(self.rep_rows[:, [k for k, _ in self.pair_at]].T)
        self._rep_masks = self.trees.masks(self.rep_rows, ~(self.of_lead | of_pair))

    def lead_row(self, lead: LeadValues) -> Floats:
        """(F,) the lead's features, 0 in the places of others."""
        row = np.zeros(len(self.residual.names))
        numbers = lead.numbers
        values = np.array([numbers.get(name, np.nan) for _, name in self._lead_numbers])
        values[~np.isfinite(values)] = np.nan
        row[self._numbers_at] = np.minimum(np.maximum(values, -_LARGEST), _LARGEST)
        for k, name in self._lead_levels:
            row[k] = self.levels[name].get(lead.texts.get(name, ""), np.nan)
        return row

    def rows(self, lead_row: Floats, pairs: Mapping[str, Floats], reps: Sequence[int] | None = None) -> Floats:
        """(R, F) features of the lead with every rep, or with `reps`."""
        rows = (self.rep_rows if reps is None else self.rep_rows[list(reps)]) + lead_row
        for k, name in self.pair_at:
            if name in pairs:
                rows[:, k] = pairs[name] if reps is None else pairs[name][list(reps)]
        return rows

    def predict(self, lead_row: Floats, pairs: Mapping[str, Floats]) -> Floats:
        """(R,) weighted addition to the log-odds."""
        if self.trees is None:
            return self.residual.predict(self.rows(lead_row, pairs))
        shared = self.trees.mask_of(self._lead_nodes, lead_row)
        if not len(self._pair_nodes.tree):
            return self.residual.weight * self.trees.total(self._rep_masks, shared)
        columns = self._pair_columns.copy()
        for at, (_, name) in enumerate(self.pair_at):
            if name in pairs:
                columns[at] = pairs[name]
        return self.residual.weight * self.trees.total(self._rep_masks, shared, self._pair_nodes, columns)

    def difference(self, lead_row: Floats, pairs: Mapping[str, Floats], a: int, b: int) -> dict[str, float]:
        """What each feature adds to the log-odds of rep a over rep b."""
        rows = self.rows(lead_row, pairs, (a, b))
        if self.trees is None:
            parts = self.residual.contributions(rows)
            values = parts[0, :-1] - parts[1, :-1]
        else:
            values = self.residual.weight * self.trees.difference(rows[0], rows[1])
        return {name: value for name, value in zip(self.residual.names, values.tolist(), strict=True) if value}


class PreparedReps:
    """The models with the reps of one frame (R rows: rep columns and `rep_id`) put in.

    `lead_only`: the reps do not differ in winning, so that their amounts are levelled too.
    """

    def __init__(
        self,
        conversion: ConversionModel,
        amount: AmountModel,
        reps: pd.DataFrame,
        lead_names: Sequence[str],
        lead_only: bool = False,
    ) -> None:
        self.conversion, self.amount, self.lead_only = conversion, amount, lead_only
        self.n_reps = len(reps)
        self._prepare_pooled(reps)
        self._prepare_amount(reps)
        self._encoded: dict[int, tuple[Floats, Floats]] = {}
        self._last: tuple[LeadValues, Mapping[str, Floats], Floats, Floats] | None = None
        residual = conversion.residual
        self._trees = None if residual is None else TreeSides(residual, reps, lead_names)

    def _prepare_pooled(self, reps: pd.DataFrame) -> None:
        pooled = self.conversion.pooled
        design = pooled.design
        self._encoder = RowEncoder(design)
        self._by_rep = design.mode != "lead_only"
        self._pair_terms = _pair_terms(design)
        names = list(dict.fromkeys(design.fixed_names))
        self._names = names
        self._name_of = np.array([names.index(name) for name in design.fixed_names])
        if not self._by_rep:
            return
        rep_x = design.dense(design.encode(reps, ("rep",)))
        effects, spread, covariance, regression = pooled.of_reps(text_column(reps, "rep_id"))
        rep_u = rep_x - regression
        covered = rep_u @ pooled.fixed_covariance
        self._rep_x, self._rep_u = rep_x, rep_u
        self._rep_mean = rep_x @ pooled.beta + effects[:, 0]
        self._rep_variance = np.einsum("np,np->n", covered, rep_u) + spread[:, 0]
        self._effects_t = np.ascontiguousarray(effects.T)
        self._both_t = np.ascontiguousarray((spread + 2.0 * covariance).T)
        self._covered_t = np.ascontiguousarray(covered.T)

    def _prepare_amount(self, reps: pd.DataFrame) -> None:
        self._amount_encoder = RowEncoder(self.amount.design)
        known = self.amount.n > 0
        self._amount_reps = self.amount.rep_logs(reps) if known else np.zeros(self.n_reps)
        self._amount_factor = self.amount.factor if known else 0.0

    def pair_names(self) -> tuple[str, ...]:
        """Pair columns that the models look at."""
        names = [name for name, _ in self._pair_terms]
        names += [name for _, name in self._trees.pair_at] if self._trees is not None else []
        return tuple(dict.fromkeys(name for name in names if not name.startswith("rep_")))

    def score(self, lead: LeadValues, pairs: Mapping[str, Floats] | None = None) -> tuple[Floats, Floats, Floats]:
        """(R,) win probability, sd of its logit, and expected value (major units) of the lead with every rep.

        `pairs`: (R,) values of `pair_names()`; one not given is at its mean.
        """
        given = _NO_PAIRS if pairs is None else pairs
        mean, variance = self._moments(lead, given)
        calibrator, amount = self.conversion.calibrator, self.amount
        log_amount = float(self._amount_encoder.row(lead) @ amount.beta) if amount.n else 0.0
        found = np.empty((3, self.n_reps))
        compiled(_worths)(
            mean, variance, SHRINK, float(calibrator.intercept), float(calibrator.slope), log_amount,
            self._amount_reps, float(amount.lowest), float(amount.highest), self._amount_factor, self.lead_only, found,
        )  # fmt: skip
        return found[0], found[1], found[2]

    def _moments(self, lead: LeadValues, pairs: Mapping[str, Floats]) -> tuple[Floats, Floats]:
        """(R,) mean and variance of the log-odds; those of the last lead asked about are remembered for its reasons."""
        last = self._last
        if last is not None and last[0] is lead and last[1] is pairs:
            return last[2], last[3]
        mean, variance = self._pooled_moments(lead, pairs)
        if self._trees is not None:
            mean = mean + self._trees.predict(self._trees.lead_row(lead), pairs)
        self._last = (lead, pairs, mean, variance)
        return mean, variance

    def _pooled_moments(self, lead: LeadValues, pairs: Mapping[str, Floats]) -> tuple[Floats, Floats]:
        pooled = self.conversion.pooled
        x = self._encoder.row(lead)
        if not self._by_rep:
            own, certain = float(x @ pooled.beta), float(x @ pooled.fixed_covariance @ x)
            return np.full(self.n_reps, own), np.full(self.n_reps, certain)
        columns = self._pair_columns(pairs)
        values = np.empty((len(columns), self.n_reps))
        for k, (_, column) in enumerate(columns):
            values[k] = column
        mean, variance = np.empty(self.n_reps), np.empty(self.n_reps)
        compiled(_moments_of)(
            x, pooled.beta, pooled.fixed_covariance, self._rep_mean, self._rep_variance, self._covered_t,
            self._effects_t, self._both_t, self._encoder.cells(lead),
            np.array([at for at, _ in columns], dtype=np.int64), values, mean, variance,
        )  # fmt: skip
        return mean, variance

    def _pair_columns(self, pairs: Mapping[str, Floats]) -> list[tuple[int, Floats]]:
        found: list[tuple[int, Floats]] = []
        for name, (at, term) in self._pair_terms:
            if name in pairs:
                columns = self._encode_pair(term, pairs[name])
                found += [(at + k, columns[k]) for k in range(term.width)]
        return found

    def _encode_pair(self, term: NumberTerm, values: Floats) -> Floats:
        """(width, R) a pair column as the design has it. Readers give the same array for the same text: remembered."""
        key = hash((term.name, id(values)))
        known = self._encoded.get(key)
        if known is None or known[0] is not values:
            if len(self._encoded) >= _MOST_ENCODED:
                self._encoded.clear()
            known = values, np.ascontiguousarray(term.encode(np.where(np.isfinite(values), values, np.nan)).T)
            self._encoded[key] = known
        return known[1]

    def explain(
        self, lead: LeadValues, a: int, b: int, pairs: Mapping[str, Floats] | None = None
    ) -> list[tuple[str, float]]:
        """Why the win probability is another with rep a than with rep b: (name, points 0-1), largest first, adding up.

        `models.conversion.explanation` says what "certainty" is. Trees are shared exactly, with b as the background.
        """
        given = _NO_PAIRS if pairs is None else pairs
        every_mean, every_variance = self._moments(lead, given)
        mean, variance = every_mean[[a, b]], every_variance[[a, b]]
        calibrator = self.conversion.calibrator
        logits = calibrator.apply(mean_logit(mean, variance))
        probabilities = expit(logits)
        parts = self._linear_parts(lead, a, b, given)
        if self._trees is not None:
            for name, value in self._trees.difference(self._trees.lead_row(lead), given, a, b).items():
                parts[name] = parts.get(name, 0.0) + value
        shrink = mean_logit(np.ones(2), variance)
        first, second = float(logits[0]), float(logits[1])
        p, q = float(probabilities[0]), float(probabilities[1])
        return list(scaled(parts, calibrator.slope * float(shrink.mean()), (first, second), (p, q)).contributions)

    def _linear_parts(self, lead: LeadValues, a: int, b: int, pairs: Mapping[str, Floats]) -> dict[str, float]:
        if not self._by_rep:
            return {}
        pooled = self.conversion.pooled
        step = self._rep_x[a] - self._rep_x[b]
        for at, values in self._pair_columns(pairs):
            step[at] = values[a] - values[b]
        by_name = np.bincount(self._name_of, weights=step * pooled.beta, minlength=len(self._names))
        parts = {name: value for name, value in zip(self._names, by_name.tolist(), strict=True) if name and value}
        effects = self._effects_t
        parts["rep"] = float(effects[0, a] - effects[0, b])
        for term, cell in zip(pooled.design.interactions, self._encoder.cells(lead), strict=True):
            parts[f"rep x {term.name}"] = float(effects[cell, a] - effects[cell, b])
        return parts


def _pair_terms(design: Design) -> list[tuple[str, tuple[int, NumberTerm]]]:
    found, at = [], 1
    for term in design.numbers:
        if term.side == "pair":
            found.append((term.name, (at, term)))
        at += term.width
    return found
