"""Whether reps differ, and whether lead x rep pairs differ, beyond noise; and what routing may therefore use.

Variance-component score tests, calibrated by parametric bootstrap. The null model is fitted (without reps; without
interactions); residuals are drawn from it, including which leads would still be open; what refitting would take out of
them is taken out to first order. The statistic of a component is its sum of squared cell scores. Several statistics
share one level by the smallest p-value, itself calibrated on the same draws (Westfall and Young). Time blocks are
allowed for, so that a desk that changes while reps come and go is not taken for reps that differ.

References
----------
Lin (1997), Variance component testing in generalised linear models with random effects, Biometrika 84.
Westfall and Young (1993), Resampling-based multiple testing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit
from scipy.stats import chi2

from models.conversion.arrow import CrossProducts, PairRows, cross_products, factorise, project
from models.conversion.calibration import ReliabilityBin
from models.conversion.columns import PairColumns
from models.conversion.design import Design, Encoded, Floats, Mode
from models.conversion.pooled import QUICK, Groups, PooledFit, fit_pooled
from models.conversion.predictor import Trained, train_pooled

# Two tests at this level: on data without any rep effect at most 4 % claim one.
LEVEL: Final = 0.02
# Where reps differ at all, interactions are routed on unless noise alone would more often than not show as much, drawn
# towards none as far as they are unsure: leaving out what is there costs many times what believing in what is not does
# (benchmarks/RESULTS-routing.md).
POSSIBLE: Final = 0.5
# At which a difference between reps must show among closed leads too; a check, hence laxer than the test itself.
CLOSED_LEVEL: Final = 0.05
_CLOSED_SIMS = 199
_FEWEST_OF_EACH_OUTCOME = 8
_FEWEST_LEADS_A_BLOCK = 150
_MOST_BLOCKS = 24
_NEIGHBOURS = 40
_LEAST_LEFT = 0.02
# Tested by itself too: among dozens of columns what most desks see first, newcomers below veterans, would drown.
_FOREMOST: Final = "tenure"
_Z90 = 1.6448536269514722


@dataclass(frozen=True)
class Finding:
    """Standard deviation of an effect on the logit scale, its 90 % interval, and whether it is beyond noise."""

    estimate: float
    ci_low: float
    ci_high: float
    p_value: float
    supported: bool


@dataclass(frozen=True)
class Findings:
    """What training found. Scores are out of time (NaN where too few leads); `ece_limit` is the 95th percentile of a
    calibrated model's error on as many leads; `components` maps each rep effect to its standard deviation."""

    interaction: Finding
    rep_effect: Finding
    routing_mode: Mode
    ece: float = float("nan")
    ece_limit: float = float("nan")
    brier: float = float("nan")
    auc: float = float("nan")
    log_loss: float = float("nan")
    n: int = 0
    n_won: int = 0
    n_open: int = 0
    n_scored: int = 0
    residual_gain: float = 0.0
    residual_weight: float = 0.0
    components: dict[str, float] = field(default_factory=dict)
    reliability: tuple[ReliabilityBin, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict; NaN becomes None."""
        return {name: _without_nan(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Findings:
        """Findings as `to_json` wrote them."""
        values: dict[str, Any] = {name: float("nan") if value is None else value for name, value in saved.items()}
        values["interaction"] = Finding(**saved["interaction"])
        values["rep_effect"] = Finding(**saved["rep_effect"])
        values["reliability"] = tuple(ReliabilityBin(**row) for row in saved["reliability"])
        return cls(**values)


def _without_nan(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value


def find_effects(trained: Trained, rng: np.random.Generator, n_sims: int | None = None) -> tuple[Finding, Finding]:
    """Findings on lead x rep interaction and on rep effects, from a pooled model trained in mode "pairs".

    Rows must be in time order. `n_sims`: bootstrap draws, by default as many as 12 million residuals allow, 199 to 999.
    """
    design, n = trained.model.design, len(trained.rows)
    sims = n_sims or int(np.clip(12_000_000 // max(n, 1), 199, 999))
    interaction, main = _interaction_variance(trained), _rep_variance(trained, rng)
    y = trained.labels.y
    enough = min((y == 1).sum(), (y == 0).sum()) >= _FEWEST_OF_EACH_OUTCOME and trained.rows.n_reps > 1
    if not enough:
        return _finding(interaction, 1.0), _finding(main, 1.0)
    tests = _ScoreTests(trained)
    return (
        _finding(interaction, tests.interaction(sims, rng) if design.n_cells > 1 or tests.pair_columns.any() else 1.0),
        _finding(main, tests.rep(sims, rng)),
    )


def confirmed_by_closed(
    found: Finding, frame: pd.DataFrame, columns: PairColumns, as_of: int, rng: np.random.Generator
) -> Finding:
    """`found` on reps, withdrawn where leads that somebody closed, won against lost, do not show it too.

    Whether a lead that came to nothing is ever closed as lost is a habit of record keeping. Reps who leave theirs open
    until they count as dead look like worse sellers than those who never enter a lead that goes nowhere. A desk that
    closes fewer than half of its unsuccessful leads says too little by its losses to be asked.
    """
    if not found.supported or "outcome" not in frame.columns:
        return found
    known = (frame["resolved_at"].to_numpy(dtype=np.int64) < as_of) & frame["outcome"].isin(["won", "lost"]).to_numpy()
    n_lost, n_dead = (int((frame["outcome"] == outcome).sum()) for outcome in ("lost", "dead"))
    if n_lost < n_dead:
        return found
    closed = train_pooled(frame.loc[known].reset_index(drop=True), columns, "pairs", as_of)
    p_value = _ScoreTests(closed).rep(_CLOSED_SIMS, rng)
    return found if p_value <= CLOSED_LEVEL else replace(found, ci_low=0.0, p_value=p_value, supported=False)


def choose_mode(interaction: Finding, rep_effect: Finding) -> Mode:
    """What routing may use: pairs, reps' own levels, or leads only."""
    if interaction.supported:
        return "pairs"
    if not rep_effect.supported:
        return "lead_only"
    return "pairs" if interaction.p_value <= POSSIBLE and interaction.estimate > 0.0 else "reps"


def _finding(variance: tuple[float, float], p_value: float) -> Finding:
    value, error = variance
    # The test decides whether nothing is possible; the interval must not say otherwise.
    low = np.sqrt(max(value - _Z90 * error, 0.0)) if p_value <= LEVEL else 0.0
    high = np.sqrt(value + _Z90 * error) if np.isfinite(error) else 5.0
    return Finding(float(np.sqrt(value)), float(low), float(high), float(p_value), bool(p_value <= LEVEL))


def _interaction_variance(trained: Trained) -> tuple[float, float]:
    kinds = [name for name in trained.fit.variance_sd if name != "rep"]
    value = sum(trained.fit.variances[name] for name in kinds)
    error = float(np.sqrt(sum(trained.fit.variance_sd[name] ** 2 for name in kinds))) if kinds else float("inf")
    return value if kinds else 0.0, error


def _rep_variance(trained: Trained, rng: np.random.Generator) -> tuple[float, float]:
    """Variance of intercepts, and of what the reps' own columns say, with its standard error."""
    value, error = trained.fit.variances.get("rep", 0.0), trained.fit.variance_sd.get("rep", float("inf"))
    mine = _columns_of(trained.model.design, "rep")
    if not mine.any():
        return value, error
    rows = trained.rows.encoded.take(np.linspace(0, len(trained.rows) - 1, min(len(trained.rows), 2_000)).astype(int))
    x = trained.model.design.dense(rows)[:, mine]
    covariance = trained.fit.factor.fixed_covariance[np.ix_(mine, mine)]
    draws = rng.multivariate_normal(trained.fit.beta[mine], covariance, size=200, method="cholesky")
    said = float(np.var(x @ trained.fit.beta[mine]))
    return value + said, float(np.hypot(error, np.var(x @ draws.T, axis=0).std()))


def _columns_of(design: Design, side: str) -> npt.NDArray[np.bool_]:
    """(p,) True for coefficients of one side's columns."""
    sides = {term.name: term.side for term in design.numbers} | {term.name: term.side for term in design.levels}
    return np.array([sides.get(name, "lead") == side for name in design.fixed_names])


class _ScoreTests:
    """Scores of what a null model leaves out, and their distribution if it is true."""

    def __init__(self, trained: Trained) -> None:
        self.design = trained.model.design
        rows = _against_contemporaries(trained.rows, _columns_of(self.design, "rep"))
        self.rows, self.groups = _with_time_blocks(rows, trained.groups)
        self.labels, self.ages, self.times = trained.labels, trained.ages, trained.times
        self.guess = trained.fit.variances
        extra = np.zeros(self.rows.n_fixed - trained.rows.n_fixed, dtype=bool)
        named = np.array([_FOREMOST in name for name in self.design.fixed_names], dtype=bool)
        self.foremost = np.concatenate([named, extra])
        self.rep_columns = np.concatenate([_columns_of(self.design, "rep"), extra])
        self.pair_columns = np.concatenate([_columns_of(self.design, "pair"), extra])

    def interaction(self, n_sims: int, rng: np.random.Generator) -> float:
        """p-value of any lead x rep interaction."""
        tested = [np.array([name == kind for name in self.groups.cells]) for kind in dict.fromkeys(self.groups.cells)]
        return self._p_value(self.pair_columns, True, tested[1:], n_sims, rng)

    def rep(self, n_sims: int, rng: np.random.Generator) -> float:
        """p-value of any difference between reps."""
        intercept = np.array([name == "rep" for name in self.groups.cells])
        columns = self.rep_columns | self.pair_columns
        return self._p_value(columns, False, [intercept], n_sims, rng, self.rep_columns)

    def _p_value(
        self,
        left_out: npt.NDArray[np.bool_],
        with_intercepts: bool,
        kinds: Sequence[npt.NDArray[np.bool_]],
        n_sims: int,
        rng: np.random.Generator,
        tested_columns: npt.NDArray[np.bool_] | None = None,
    ) -> float:
        tested = left_out if tested_columns is None else tested_columns
        cells = np.zeros(self.rows.n_cells, dtype=bool)
        cells[:1] = with_intercepts
        eta, fit = self._fit_null(~left_out, cells)
        score = _Scores(
            self.rows, self.groups, fit, self.labels.weights(eta), ~left_out, tested, cells, self.foremost[tested]
        )
        observed = self.labels.responsibilities(eta) - expit(eta)
        statistics = [score.statistics(observed[:, None], kinds)]
        width = int(np.clip(8_000_000 // len(observed), 1, 100))
        for at in range(0, n_sims, width):
            drawn = self._draw(eta, min(width, n_sims - at), rng)
            statistics.append(score.statistics(drawn, kinds))
        return _joint_p_value(np.concatenate(statistics, axis=1))

    def _fit_null(self, kept: npt.NDArray[np.bool_], cells: npt.NDArray[np.bool_]) -> tuple[Floats, PooledFit]:
        rows, groups = _restrict(self.rows, self.groups, kept, cells)
        fit = fit_pooled(rows, self.labels, groups, replace(QUICK, guess=self.guess))
        return fit.eta(rows), fit

    def _draw(self, eta: Floats, n_sims: int, rng: np.random.Generator) -> Floats:
        """(n, n_sims) residuals if eta were true: won, lost or still open at each lead's age by now."""
        p = expit(eta)
        days, source = self.ages.days_by_now, self.ages.source
        won = p * (1.0 - self.times.survival_win(days, source))
        lost = (1.0 - p) * (1.0 - self.times.survival_loss(days, source))
        still = self.times.p_win_open(p, days, source)
        u = rng.random((len(p), n_sims))
        drawn = np.where(u < (won + lost)[:, None], -p[:, None], (still - p)[:, None])
        return np.where(u < won[:, None], 1.0 - p[:, None], drawn)


class _Scores:
    """Scores of left-out columns and cells, with what a refit of the null would absorb taken out to first order."""

    def __init__(
        self,
        rows: PairRows,
        groups: Groups,
        fit: PooledFit,
        weight: Floats,
        kept: npt.NDArray[np.bool_],
        tested: npt.NDArray[np.bool_],
        cells: npt.NDArray[np.bool_],
        foremost: npt.NDArray[np.bool_],
    ) -> None:
        self.rows, self.kept, self.tested, self.cells = rows, kept, tested, cells
        products = cross_products(rows, weight)
        self.products = products
        null = CrossProducts(
            products.fixed[np.ix_(kept, kept)],
            products.blocks[:, cells][:, :, cells],
            products.border[:, cells][:, :, kept],
        )
        fixed, blocks = groups.take(kept, cells).precision(fit.variances)
        self.factor = factorise(null, fixed, blocks)
        information = self._information()
        self.parts = [part for part in (np.ones(len(foremost), dtype=bool), foremost) if part.any()]
        if len(self.parts) > 1 and foremost.all():
            self.parts.pop()
        self.metrics = [_inverse(information[np.ix_(part, part)]) for part in self.parts]

    def _information(self) -> Floats:
        inner = self.products.fixed[np.ix_(self.kept, self.tested)]
        blocks = self.products.border[:, self.cells][:, :, self.tested]
        beta, effects = self.factor.solve(inner, blocks)
        used = inner.T @ beta + np.einsum("rka,rkb->ab", blocks, effects)
        return np.asarray(self.products.fixed[np.ix_(self.tested, self.tested)] - used, dtype=np.float64)

    def statistics(self, residual: Floats, kinds: Sequence[npt.NDArray[np.bool_]]) -> Floats:
        """(S, B) statistics of residuals (n, B): one of the tested columns where there are any, one of the
        foremost among them, one a kind of cells."""
        fixed, blocks = project(self.rows, residual)
        beta, effects = self.factor.solve(fixed[self.kept], blocks[:, self.cells])
        found: list[Floats] = []
        if self.tested.any():
            border = self.products.border[:, self.cells][:, :, self.tested]
            score = fixed[self.tested] - self.products.fixed[np.ix_(self.tested, self.kept)] @ beta
            score = score - np.einsum("rka,rkb->ab", border, effects)
            for part, metric in zip(self.parts, self.metrics, strict=True):
                found.append(np.einsum("ab,ac,cb->b", score[part], metric, score[part]))
        for kind in kinds:
            p_kept = self.products.border[:, kind][:, :, self.kept]
            flat = p_kept.reshape(p_kept.shape[0] * p_kept.shape[1], p_kept.shape[2]) @ beta
            cell = blocks[:, kind] - flat.reshape(blocks[:, kind].shape)
            cell = cell - self.products.blocks[:, kind][:, :, self.cells] @ effects
            found.append((cell**2).sum(axis=(0, 1)))
        return np.array(found).reshape(len(found), residual.shape[1])


def _inverse(information: Floats) -> Floats:
    ridge = 1e-6 * float(np.trace(information)) + 1e-9
    return np.asarray(np.linalg.inv(information + ridge * np.eye(len(information))), dtype=np.float64)


def _joint_p_value(statistics: Floats) -> float:
    """p-value of column 0 among the draws beside it, over all statistics (S, 1 + B) and their scaled sum.

    Each statistic is read off the scaled chi-square with its mean and variance, which makes them comparable without
    ties; that the shape is only about right costs power, not size, since the draws are read the same way.
    """
    spread = statistics.std(axis=1)
    moving = statistics[spread > 1e-12 * np.abs(statistics).max(axis=1, initial=0.0)]
    if not len(moving):
        return 1.0
    if len(moving) > 1:
        moving = np.vstack([moving, (moving / moving.std(axis=1, keepdims=True)).sum(axis=0)])
    mean, variance = moving.mean(axis=1, keepdims=True), moving.var(axis=1, keepdims=True)
    evidence = chi2.logsf(moving * 2.0 * mean / variance, 2.0 * mean**2 / variance).min(axis=0)
    return float((evidence <= evidence[0]).mean())


def _against_contemporaries(rows: PairRows, of_rep: npt.NDArray[np.bool_]) -> PairRows:
    """Rows whose rep columns are differences to the reps of the same days.

    Tenure counts on for everybody: where all were hired alike it is a calendar, and what the calendar explains is no
    difference between reps. A column with nothing left becomes constant.
    """
    at = np.flatnonzero(of_rep[: rows.n_numeric])
    numeric = rows.encoded.numeric.copy()
    window = np.arange(len(rows)) // _NEIGHBOURS
    count = np.bincount(window)
    for column in at:
        values = numeric[:, column]
        left = values - (np.bincount(window, weights=values) / count)[window]
        numeric[:, column] = left if left.var() > _LEAST_LEFT * values.var() else 0.0
    encoded = Encoded(numeric, rows.encoded.codes, rows.encoded.cells)
    return PairRows(encoded, rows.rep, rows.n_reps, rows.n_levels, rows.n_cells)


def _with_time_blocks(rows: PairRows, groups: Groups) -> tuple[PairRows, Groups]:
    """Rows with one more categorical column: equal blocks of time (rows are in time order)."""
    n = len(rows)
    blocks = int(np.clip(n // _FEWEST_LEADS_A_BLOCK, 1, _MOST_BLOCKS))
    if blocks < 2:
        return rows, groups
    m = rows.n_levels
    codes = np.where(rows.encoded.codes == m, m + blocks, rows.encoded.codes)
    block = m + np.arange(n) * blocks // n
    encoded = Encoded(rows.encoded.numeric, np.column_stack([codes, block]), rows.encoded.cells)
    timed = PairRows(encoded, rows.rep, rows.n_reps, m + blocks, rows.n_cells)
    return timed, replace(groups, fixed=groups.fixed + ("time",) * blocks)


def _restrict(
    rows: PairRows, groups: Groups, kept: npt.NDArray[np.bool_], cells: npt.NDArray[np.bool_]
) -> tuple[PairRows, Groups]:
    """Rows with only the kept coefficients and cells (none, or the intercepts)."""
    q = rows.n_numeric
    numeric = rows.encoded.numeric[:, kept[:q]]
    position = np.append(np.where(kept[q:], np.cumsum(kept[q:]) - 1, kept[q:].sum()), kept[q:].sum())
    n_cells = int(cells.sum())
    mine = rows.encoded.cells[:, :n_cells]
    encoded = Encoded(numeric, position[rows.encoded.codes], mine)
    restricted = PairRows(encoded, rows.rep, rows.n_reps, int(kept[q:].sum()), n_cells)
    return restricted, groups.take(kept, cells)
