"""The example's mapping reads the export as it was published."""

import os
from pathlib import Path

import numpy as np
import pytest

from features import moments
from features.lead_columns import screen_lead_columns
from features.outcomes import lead_outcomes
from features.settings_file import read_config
from features.sources import load, load_tables

EXAMPLE = Path(__file__).parents[2] / "examples" / "crm-opportunities"


@pytest.fixture(scope="module")
def tables():
    root = os.environ.get("FAIRLEAD_PUBLIC_DATA", "")
    data = Path(root) / "crm_sales_opportunities_fictional"
    if not root or not data.is_dir():
        pytest.skip(f"set FAIRLEAD_PUBLIC_DATA to the folder of public data sets that holds {data.name}")
    return load_tables(data, read_config(EXAMPLE / "fairlead.toml"), EXAMPLE)


def test_the_settings_are_legal():
    config = read_config(EXAMPLE / "fairlead.toml")
    assert [name for name, _ in config.tables] == ["reps", "leads", "assignments", "deals"]
    assert config.routing.same_account is False


def test_counts_are_those_of_the_text(tables):
    text = (EXAMPLE / "README.md").read_text()
    assert len(tables.leads) == len(tables.assignments) == 8300
    assert (len(tables.reps), tables.reps["team_id"].nunique()) == (35, 6)
    n_won = int((tables.deals["status"] == "won").sum())
    n_lost = len(tables.deals) - n_won
    for number in (8800, 8300, n_won, n_lost, 8300 - n_won - n_lost):
        assert f"{number:,}" in text


def test_what_is_left_out_is_counted(tables):
    config = read_config(EXAMPLE / "fairlead.toml")
    data = Path(os.environ["FAIRLEAD_PUBLIC_DATA"]) / "crm_sales_opportunities_fictional"
    ((table, reason, n),) = load(data, config, EXAMPLE).left_out
    assert (table, n) == ("leads", 500)
    assert "engage_date" in reason


def test_the_agents_differ_by_no_more_than_chance(tables):
    """What the text promises of `train`: nothing worth routing on, although some agents leave far more leads open."""
    from features.config import Config
    from models.conversion.model import ConversionModel
    from training.datasets import build_datasets, pair_columns

    sets = build_datasets(tables, tables.newest(), Config())
    model = ConversionModel.fit(sets.pairs, pair_columns(sets.spec), np.random.default_rng(7), tables.newest())
    assert model.findings.routing_mode == "lead_only"
    assert not model.findings.rep_effect.supported
    assert model.findings.rep_effect.p_value > 0.1
    assert not model.findings.interaction.supported


def test_dates_prices_and_the_misspelt_product(tables):
    assert tables.leads["created_at"].min() == moments.parse("2016-10-20")
    assert tables.newest() - 1 == moments.parse("2017-12-31")
    assert set(tables.reps["hired_on"]) == {moments.parse("2016-10-20")}
    assert tables.leads["product"].nunique() == 7
    assert not np.isnan(tables.leads["list_price"]).any()
    assert int(tables.deals["amount"].max()) == 30288 * 100


def test_its_columns_pass_the_screen(tables):
    outcomes = lead_outcomes(tables, tables.newest(), 180)
    found = screen_lead_columns(tables.leads, (), outcomes)
    assert found.numeric == ("list_price",)
    assert set(found.categorical) >= {"product", "product_series"}


def test_the_account_would_be_named_a_leak(tables):
    """Why the mapping leaves the account out: only closing fills it in."""
    root = Path(os.environ["FAIRLEAD_PUBLIC_DATA"]) / "crm_sales_opportunities_fictional"
    from features.reading import read_file

    raw = read_file(root / "sales_pipeline.csv", "pipeline").frame
    account = raw.set_index("opportunity_id")["account"]
    leads = tables.leads.assign(account_label=account.reindex(tables.leads["lead_id"]).to_numpy())
    outcomes = lead_outcomes(tables, tables.newest(), 180)
    reasons = dict(screen_lead_columns(leads, (), outcomes).excluded)
    assert reasons["account_label"].startswith("leak: filled in for")
