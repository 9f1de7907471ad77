"""Company size as a number: reps may differ on its bands, and neighbouring bands are alike."""

from __future__ import annotations

import json

import numpy as np
import pytest

from models.conversion.columns import PairColumns, bandable
from models.conversion.design import Design, learn_design
from models.conversion.model import ConversionModel
from models.conversion.pooled import FitOptions, Groups
from models.conversion.predictor import train_pooled

KINDS = ("rep", "rep x industry", "rep x lead_employees")


def sized(world, seed, sd_size, n=6_000, n_reps=20, column="lead_employees"):
    """A world in which each rep has his own taste for small and large companies, told by a number only."""
    made = world(seed, n=n, n_reps=n_reps, sd_rep=0.3)
    rng = np.random.default_rng(seed + 100)
    size = np.exp(rng.normal(4.0, 1.2, n))
    taste = rng.normal(0, sd_size, n_reps)[np.array([int(rep[1:]) for rep in made.pairs["rep_id"]])]
    logit = made.logit + taste * np.where(size > np.exp(4.0), 1.0, -1.0)
    y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(float)
    pairs = made.pairs.assign(**{column: size, "y": y, "lead_hour_of_day": rng.integers(0, 24, n).astype(float)})
    numbers = (*made.columns.lead_numeric, "lead_hour_of_day", column)
    columns = PairColumns(numbers, made.columns.lead_categorical, made.columns.rep_numeric, made.columns.pair_numeric)
    return pairs, columns, logit, made.as_of


def test_size_like_numbers_come_first_and_built_in_ones_are_left_out():
    assert bandable(["lead_hour_of_day", "lead_score", "lead_员工人数"]) == ("lead_员工人数", "lead_score")
    assert bandable(["lead_won_rate_730d_by_source"]) == ()


@pytest.mark.parametrize("column", ["lead_employees", "lead_员工人数"])
def test_a_taste_for_large_companies_is_found_and_helps_on_new_leads(world, column):
    pairs, columns, logit, as_of = sized(world, 3, 0.7, column=column)
    early = np.arange(len(pairs)) < 5_000
    model = ConversionModel.fit(pairs[early], columns, np.random.default_rng(0), as_of, 199)
    blind = ConversionModel.fit(pairs[early], columns, np.random.default_rng(0), as_of, 199, mode="reps")
    later = pairs[~early]
    truth = 1 / (1 + np.exp(-logit[~early]))

    def error(fitted):
        return float(np.mean((fitted.predict(later).win_probability - truth) ** 2))

    assert model.findings.interaction.supported
    assert model.findings.components[f"rep x {column}"] > 0.3
    assert error(model) < 0.75 * error(blind)


def test_without_a_taste_none_is_claimed(world):
    pairs, columns, _, as_of = sized(world, 4, 0.0)
    model = ConversionModel.fit(pairs, columns, np.random.default_rng(0), as_of, 199)
    assert not model.findings.interaction.supported


def test_bands_survive_json_and_a_missing_number_has_no_cell(world):
    pairs, columns, _, as_of = sized(world, 5, 0.7)
    pairs.loc[0, "lead_employees"] = np.nan
    model = train_pooled(pairs, columns, "pairs", as_of).model
    design = Design.from_json(json.loads(json.dumps(model.design.to_json())))
    assert design == model.design
    at = [term.name for term in design.interactions].index("lead_employees") + 1
    cells = design.encode(pairs).cells[:, at]
    assert cells[0] == design.n_cells
    assert len(np.unique(cells[1:])) == 10
    few = learn_design(pairs.assign(lead_employees=np.arange(len(pairs)) % 3), columns)
    assert {len(t.levels) for t in few.interactions if t.name == "lead_employees"} == {3}


def test_the_prior_of_bands_falls_with_distance_and_leaves_to_the_rep_what_all_bands_share(world):
    pairs, columns, _, _ = sized(world, 6, 0.5, n=1_500)
    design = learn_design(pairs, columns)
    groups = Groups(design.fixed_groups, design.cell_groups, design.cell_structure)
    alike = np.linalg.inv(groups.unit_precision)
    mine = np.flatnonzero([name == "rep x lead_employees" for name in groups.cells])
    assert len(mine) == 10
    block = alike[np.ix_(mine, mine)]
    assert np.diag(block).mean() == pytest.approx(1.01)
    assert (np.diff(block[0, :8]) < 0).all()
    assert block.mean() == pytest.approx(0.01)  # variance of the mean over bands
    others = np.setdiff1d(np.arange(len(alike)), mine)
    assert np.abs(alike[np.ix_(mine, others)]).max() < 1e-9


@pytest.mark.parametrize("sd", [0.0, 0.5])
def test_variances_do_not_depend_on_where_their_estimation_starts(world, sd):
    pairs, columns, _, as_of = sized(world, 6, sd, n=2_400, n_reps=40)
    found = [
        train_pooled(pairs, columns, "pairs", as_of, FitOptions(guess=dict.fromkeys(KINDS, start))).fit.variances
        for start in (0.01, 0.36)
    ]
    assert found[0].keys() >= set(KINDS)
    for name in KINDS:
        assert found[0][name] ** 0.5 == pytest.approx(found[1][name] ** 0.5, abs=0.02)
