"""The pooled fit against dense algebra, a numerical optimiser, and known variances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from models.conversion import pooled
from models.conversion.arrow import PairRows, cross_products, factorise, predict_linear, project
from models.conversion.columns import without_outcomes
from models.conversion.design import Design, Encoded, learn_design
from models.conversion.pooled import FitOptions, Groups, Labels, fit_pooled, rep_codes
from models.conversion.predictor import mean_logit, train_pooled


def small_rows(seed=0, n=300, n_reps=5):
    rng = np.random.default_rng(seed)
    numeric = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    codes = np.column_stack([rng.integers(0, 4, n), rng.integers(4, 7, n)])
    codes[rng.random(codes.shape) < 0.1] = 7
    cells = np.column_stack([np.zeros(n, dtype=int), rng.integers(1, 4, n), rng.integers(4, 7, n)])
    cells[:, 1][rng.random(n) < 0.1] = 6
    cells[:, 2] = np.minimum(cells[:, 2], 6)
    return PairRows(Encoded(numeric, codes, cells), rng.integers(0, n_reps, n), n_reps, 7, 6)


def dense(rows):
    """All columns, fixed first, then each rep's cells."""
    n = len(rows)
    x = np.zeros((n, rows.n_fixed + rows.n_reps * rows.n_cells))
    x[:, : rows.n_numeric] = rows.encoded.numeric
    for i in range(n):
        for code in rows.encoded.codes[i]:
            if code < rows.n_levels:
                x[i, rows.n_numeric + code] = 1.0
        for cell in rows.encoded.cells[i]:
            if cell < rows.n_cells:
                x[i, rows.n_fixed + rows.rep[i] * rows.n_cells + cell] = 1.0
    return x


def test_arrow_algebra_equals_dense_algebra():
    rows = small_rows()
    rng = np.random.default_rng(1)
    weight, e = rng.uniform(0.1, 1, len(rows)), rng.normal(size=len(rows))
    fixed, cells = rng.uniform(0.5, 2, rows.n_fixed), rng.uniform(0.5, 2, rows.n_cells)
    x = dense(rows)
    assert np.linalg.matrix_rank(x[:, rows.n_fixed :]) > 10
    hessian = (x * weight[:, None]).T @ x + np.diag(np.concatenate([fixed, np.tile(cells, rows.n_reps)]))
    inverse = np.linalg.inv(hessian)
    factor = factorise(cross_products(rows, weight), fixed, cells)
    beta, effects = factor.solve(*project(rows, e))
    expected = inverse @ (x.T @ e)
    np.testing.assert_allclose(np.concatenate([beta, effects.ravel()]), expected, atol=1e-10)
    variances = np.diag(inverse)
    np.testing.assert_allclose(np.diag(factor.fixed_covariance), variances[: rows.n_fixed], atol=1e-10)
    np.testing.assert_allclose(factor.block_variances().ravel(), variances[rows.n_fixed :], atol=1e-10)
    np.testing.assert_allclose(predict_linear(rows, beta, effects), x @ expected, atol=1e-10)


def test_correlated_cells_have_the_prior_and_the_traces_of_a_dense_inverse():
    """Neighbouring bands share a prior: the arrow must agree with a full matrix whose blocks are not diagonal."""
    rows = small_rows(6)
    rng = np.random.default_rng(7)
    weight, fixed = rng.uniform(0.1, 1, len(rows)), rng.uniform(0.5, 2, rows.n_fixed)
    root = rng.normal(size=(rows.n_cells, rows.n_cells))
    structure = root @ root.T + np.eye(rows.n_cells)
    x = dense(rows)
    prior = np.zeros((x.shape[1], x.shape[1]))
    prior[: rows.n_fixed, : rows.n_fixed] = np.diag(fixed)
    prior[rows.n_fixed :, rows.n_fixed :] = np.kron(np.eye(rows.n_reps), structure)
    inverse = np.linalg.inv((x * weight[:, None]).T @ x + prior)
    factor = factorise(cross_products(rows, weight), fixed, structure)
    mine = inverse[rows.n_fixed :, rows.n_fixed :].reshape(rows.n_reps, rows.n_cells, rows.n_reps, rows.n_cells)
    traces = [np.trace(structure @ mine[rep, :, rep, :]) for rep in range(rows.n_reps)]
    np.testing.assert_allclose(factor.block_variances(structure).sum(axis=1), traces, atol=1e-9)


def test_solution_equals_a_numerical_optimum_of_the_penalised_likelihood_with_open_leads():
    rows = small_rows(2)
    rng = np.random.default_rng(3)
    y = (rng.random(len(rows)) < 0.3).astype(float)
    y[::5] = np.nan
    ratio = np.where(np.isnan(y), rng.uniform(-2, 0, len(rows)), 0.0)
    labels = Labels(y, ratio)
    groups = Groups(("", "a", "a", *["b"] * 4, *["c"] * 3), ("rep", *["d"] * 5))
    variances = {"a": 0.7, "b": 0.3, "c": 0.2, "rep": 0.4, "d": 0.5}
    fit = fit_pooled(rows, labels, groups, FitOptions(variances=variances))
    x = dense(rows)
    penalty = np.concatenate(
        [groups.precision(variances)[0], np.tile(np.diag(groups.precision(variances)[1]), rows.n_reps)]
    )
    centre = np.zeros(x.shape[1])
    centre[0] = fit.centre

    def loss(at):
        eta = x @ at
        p = 1 / (1 + np.exp(-eta))
        odds = np.where(np.isnan(y), p * np.exp(ratio) + 1 - p, np.where(y == 1, p, 1 - p))
        return -np.log(odds).sum() + 0.5 * (penalty * (at - centre) ** 2).sum()

    best = minimize(loss, centre, method="BFGS", options={"gtol": 1e-8, "maxiter": 2_000})
    mine = np.concatenate([fit.beta, fit.effects.ravel()])
    assert loss(mine) <= best.fun + 1e-9
    np.testing.assert_allclose(mine, best.x, atol=1e-4)


def test_gradient_vanishes_at_the_solution_to_1e_6():
    rows = small_rows(4)
    y = (np.random.default_rng(5).random(len(rows)) < 0.3).astype(float)
    groups = Groups(("", "a", "a", *["b"] * 4, *["c"] * 3), ("rep", *["d"] * 5))
    variances = {"a": 0.7, "b": 0.3, "c": 0.2, "rep": 0.4, "d": 0.5}
    fit = fit_pooled(rows, Labels(y, np.zeros(len(y))), groups, FitOptions(variances=variances))
    fixed, cells = groups.precision(variances)
    grad, blocks = project(rows, y - 1 / (1 + np.exp(-fit.eta(rows))))
    shifted = fit.beta.copy()
    shifted[0] -= fit.centre
    assert np.abs(grad - fixed * shifted).max() < 1e-6
    assert np.abs(blocks - fit.effects @ cells).max() < 1e-6


def test_a_lead_handed_over_just_now_carries_no_information():
    labels = Labels(np.array([np.nan]), np.array([0.0]))
    eta = np.array([-1.3])
    assert labels.weights(eta)[0] < 1e-8
    assert labels.responsibilities(eta)[0] == pytest.approx(1 / (1 + np.exp(1.3)))


@pytest.mark.parametrize(("sd_rep", "sd_pair"), [(0.5, 0.6), (0.4, 0.0), (0.0, 0.0)])
def test_variance_components_are_recovered(world, sd_rep, sd_pair):
    found = []
    for seed in range(3):
        made = world(seed, n=12_000, n_reps=50, sd_rep=sd_rep, sd_pair=sd_pair)
        fit = train_pooled(made.pairs, made.columns, "pairs", made.as_of).fit
        found.append([np.sqrt(fit.variances[name]) for name in ("rep", "rep x industry", "rep x source")])
    rep, pair, none = np.mean(found, axis=0)
    assert rep == pytest.approx(sd_rep, abs=0.13)
    assert pair == pytest.approx(sd_pair, abs=0.13)
    assert none < 0.13


def test_scoring_and_leaping_end_where_the_fixed_point_ends_and_sooner(monkeypatch):
    """MacKay's fixed point, followed for hundreds of rounds, says where variances must end."""
    rng = np.random.default_rng(3)
    rows = small_rows(3, n=2_000, n_reps=40)
    effects = rng.normal(size=(40, 6)) * np.array([0.3, 0.5, 0.5, 0.5, 0.4, 0.4])
    p = 1.0 / (1.0 + np.exp(1.0 - predict_linear(rows, np.zeros(rows.n_fixed), effects)))
    labels = Labels((rng.random(2_000) < p).astype(float), np.zeros(2_000))
    groups = Groups(("", "a", "a", *["b"] * 4, *["c"] * 3), ("rep", "x", "x", "x", "y", "y"))

    def run(options):
        steps = []
        newton = pooled._State.newton
        with monkeypatch.context() as patched:
            patched.setattr(pooled._State, "newton", lambda state: steps.append(0) or newton(state))
            return fit_pooled(rows, labels, groups, options).variances, len(steps)

    leaping, leaps = run(FitOptions(tolerance=1e-4))
    with monkeypatch.context() as patched:
        patched.setattr(pooled, "_leap", lambda step, before: 0.0)
        patched.setattr(
            pooled._State, "scoring_step", lambda state, name, sums, old: (sums.square / old - sums.free) / sums.free
        )
        end, _ = run(FitOptions(max_rounds=500, tolerance=1e-7))
        _, plain = run(FitOptions(tolerance=1e-4))
    assert leaps < plain
    for name in ("rep", "x", "y", "b"):
        assert leaping[name] ** 0.5 == pytest.approx(end[name] ** 0.5, abs=5e-3), name
    assert pooled._leap(0.1, 0.2) == pytest.approx(sum(0.1 * 0.5**k for k in range(1, 60)))
    assert pooled._leap(0.1, -0.2) == pooled._leap(0.2, 0.1) == pooled._leap(0.1, 0.0) == 0.0


def test_a_rep_with_few_leads_is_shrunk_and_one_with_many_is_not(world):
    made = world(1, n=6_000, n_reps=20, sd_rep=0.5)
    pairs = made.pairs.copy()
    pairs.loc[pairs.index[:3], "rep_id"] = "few"
    pairs.loc[pairs.index[:3], "y"] = 1.0
    trained = train_pooled(pairs, made.columns, "reps", made.as_of)
    effects = dict(zip(trained.model.reps, trained.model.effects[:, 0], strict=True))
    spread = dict(zip(trained.model.reps, trained.model.cell_variance[:, 0], strict=True))
    assert 0 < effects["few"] < 1.2
    assert spread["few"] > 3 * max(spread["R000"], spread["R001"])


def test_shrinkage_of_a_balanced_design_has_its_closed_form():
    """With all weights alike a rep's step is n w / (n w + 1 / tau2) of his mean residual over w."""
    n_each, reps, tau2 = 50, 4, 0.3
    n = n_each * reps
    rep = np.repeat(np.arange(reps), n_each)
    rows = PairRows(Encoded(np.zeros((n, 0)), np.zeros((n, 0), int), np.zeros((n, 1), int)), rep, reps, 0, 1)
    weight = np.full(n, 0.2)
    e = np.random.default_rng(0).normal(size=n)
    factor = factorise(cross_products(rows, weight), np.zeros(0), np.array([1 / tau2]))
    _, effects = factor.solve(*project(rows, e))
    means = e.reshape(reps, n_each).mean(axis=1)
    expected = n_each * 0.2 / (n_each * 0.2 + 1 / tau2) * means / 0.2
    np.testing.assert_allclose(effects[:, 0], expected, rtol=1e-12)
    np.testing.assert_allclose(factor.block_variances()[:, 0], 1 / (n_each * 0.2 + 1 / tau2), rtol=1e-12)


def test_mean_logit_is_close_to_the_mean_of_a_logistic_normal():
    draws = -1.5 + 0.9 * np.random.default_rng(0).normal(size=400_000)
    exact = (1 / (1 + np.exp(-draws))).mean()
    assert 1 / (1 + np.exp(-mean_logit(np.array([-1.5]), np.array([0.81]))[0])) == pytest.approx(exact, abs=0.006)


def test_columns_made_of_own_outcomes_stay_out():
    names = ("rep_tenure_years", "rep_won_rate_365d", "rep_contribution_lag1", "rep_contact_within_24h_rate_90d")
    assert without_outcomes(names) == ("rep_tenure_years", "rep_contact_within_24h_rate_90d")
    assert without_outcomes(("pair_won_rate_730d_by_industry", "pair_same_territory")) == ("pair_same_territory",)


def test_reps_are_numbered_by_appearance():
    codes, reps = rep_codes(np.array(["b", "a", "b", "c"], dtype=object))
    assert codes.tolist() == [0, 1, 0, 2]
    assert reps == ("b", "a", "c")


def test_design_survives_json_and_unknown_levels_have_no_effect(world):
    made = world(0, n=500)
    design = learn_design(made.pairs, made.columns)
    assert Design.from_json(design.to_json()) == design
    row = made.pairs.iloc[[0]].assign(source="never seen", industry="", lead_x=np.nan)
    encoded = design.encode(row)
    assert encoded.codes[0].tolist() == [design.n_levels, design.n_levels]
    assert encoded.cells[0].tolist()[:3] == [0, design.n_cells, design.n_cells]
    assert np.abs(encoded.numeric[0, 1]) < 1e-9


def test_modes_drop_what_they_name(world):
    design = learn_design(world(0, n=500).pairs, world(0, n=500).columns)
    assert design.cell_groups[0] == "rep"
    assert dict.fromkeys(design.cell_groups[1:]) == dict.fromkeys(f"rep x {term.name}" for term in design.interactions)
    assert design.in_mode("reps").n_cells == 1
    assert "pair_same_territory" not in design.in_mode("reps").fixed_names
    assert design.in_mode("lead_only").n_cells == 0
    assert set(design.in_mode("lead_only").fixed_names) == {"", "lead_x", "lead_visits", "source", "industry"}
