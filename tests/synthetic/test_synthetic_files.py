"""The files: the contract's columns, no orphan, no time travel, the same bytes for the same config."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features import moments
from features.contract import SCHEMA
from features.synthetic import SAMPLES, WorldConfig, generate, raw_frames, regenerate_samples, write_world

COMMITTED = Path(__file__).parents[2] / "data" / "synthetic"
TINY = WorldConfig(n_reps=6, n_months=6, seed=11)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_same_config_same_bytes_and_another_seed_others(tmp_path):
    write_world(tmp_path / "a", TINY)
    write_world(tmp_path / "b", TINY)
    write_world(tmp_path / "c", WorldConfig(n_reps=6, n_months=6, seed=12))
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    assert bytes_of(tmp_path / "a")["leads.csv"] != bytes_of(tmp_path / "c")["leads.csv"]


def test_the_committed_samples_are_what_the_generator_writes(tmp_path):
    regenerate_samples(tmp_path)
    for name in SAMPLES:
        fresh, committed = bytes_of(tmp_path / name), bytes_of(COMMITTED / name)
        assert fresh.keys() == committed.keys()
        for file, content in fresh.items():
            assert content == committed[file], f"{name}/{file}: run `python -m features.synthetic data/synthetic`"
            assert len(content) < 2**20


def test_every_table_has_the_contracts_columns(tmp_path):
    write_world(tmp_path, TINY)
    for table, schema in SCHEMA.items():
        header = (tmp_path / f"{table}.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
        wanted = [column.name for column in schema.columns if column.name != "recorded_at"]
        assert header[: len(wanted)] == wanted
        assert len(header) == len(wanted) or schema.extra_features


def test_the_tables_read_back_as_the_world_holds_them(tmp_path):
    from features.settings_file import read_config
    from features.sources import load_tables

    config = WorldConfig(n_reps=8, n_months=8, seed=2, language="zh", zone="Asia/Shanghai", currency="CNY")
    world = write_world(tmp_path, config)
    read = load_tables(tmp_path, read_config(tmp_path / "fairlead.toml"), tmp_path)
    assert read.zone == world.tables.zone
    for name in SCHEMA:
        pd.testing.assert_frame_equal(
            read[name][list(world.tables[name].columns)], world.tables[name], check_dtype=False
        )


def test_settings_are_written_only_where_they_differ(tmp_path):
    write_world(tmp_path / "en", TINY)
    assert not (tmp_path / "en" / "fairlead.toml").exists()
    text = (COMMITTED / "zh" / "fairlead.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text) == {"general": {"zone": "Asia/Shanghai", "currency": "CNY", "lang": "zh"}}


def test_keys_are_unique_and_nothing_is_orphaned(small_world):
    tables = small_world.tables
    for name, schema in SCHEMA.items():
        frame = tables[name]
        assert len(frame), name
        assert not frame.duplicated(list(schema.key)).any(), name
        for reference in schema.references:
            values = frame[reference.column]
            assert set(values[values != ""]) <= set(tables[reference.table][reference.target])


def test_no_time_travel(small_world):
    tables = small_world.tables
    created = tables.leads.set_index("lead_id")["created_at"]
    end = small_world.config.end
    assigned = tables.assignments
    assert (assigned["assigned_at"].to_numpy() >= created[assigned["lead_id"]].to_numpy()).all()
    first = assigned.groupby("lead_id")["assigned_at"].min()
    for name, column in (("activities", "occurred_at"), ("stages", "entered_at"), ("deals", "closed_at")):
        frame = tables[name]
        at = frame[column].to_numpy()
        assert (at > first[frame["lead_id"]].to_numpy()).all(), name
        assert (at < end).all(), name
    deals = tables.deals.drop_duplicates("lead_id").set_index("lead_id")["closed_at"]
    for name, column in (("activities", "occurred_at"), ("stages", "entered_at")):
        frame = tables[name][tables[name]["lead_id"].isin(deals.index)]
        assert (frame[column].to_numpy() < deals[frame["lead_id"]].to_numpy()).all(), name
    referred = tables.leads[tables.leads["referred_by_lead_id"] != ""]
    assert len(referred)
    won = tables.deals[tables.deals["status"] == "won"].groupby("lead_id")["closed_at"].min()
    assert (won[referred["referred_by_lead_id"]].to_numpy() <= referred["created_at"].to_numpy()).all()


def test_nobody_works_before_he_is_hired_or_after_he_left(small_world):
    tables = small_world.tables
    reps = tables.reps.set_index("rep_id")
    assert (reps["left_on"] != moments.NEVER).any()
    for name, column in (
        ("assignments", "assigned_at"),
        ("activities", "occurred_at"),
        ("deals", "closed_at"),
        ("trainings", "assigned_on"),
    ):
        frame = tables[name]
        at = frame[column].to_numpy()
        assert (at >= reps.loc[frame["rep_id"], "hired_on"].to_numpy()).all(), name
        assert (at < reps.loc[frame["rep_id"], "left_on"].to_numpy()).all(), name


def test_only_sales_gets_leads_and_prospects_stay_their_reps(small_world):
    tables = small_world.tables
    sales = set(tables.reps.loc[tables.reps["department"] == "sales", "rep_id"])
    assert len(sales) < len(tables.reps)
    assert set(tables.assignments["rep_id"]) <= sales
    own = tables.leads[tables.leads["sourced_by_rep_id"] != ""].set_index("lead_id")["sourced_by_rep_id"]
    first = tables.assignments.drop_duplicates("lead_id").set_index("lead_id")["rep_id"]
    assert len(own) > 10
    assert (first[own.index] == own).all()


def test_times_carry_the_zones_offset_and_chinese_words_are_chinese():
    raw = raw_frames(generate(SAMPLES["zh"]).tables)
    assert raw["leads"]["created_at"].str.endswith("+08:00").all()
    assert raw["reps"]["hired_on"].str.fullmatch(r"\d{4}-\d{2}-\d{2}").all()
    assert {"转介绍", "展会", "线上广告"} <= set(raw["leads"]["source"])
    assert raw["reps"]["left_on"].eq("").any()
    assert set(raw["leads"]["budget_stated"]) == {"true", "false"}


def test_summer_time_is_written_as_it_was():
    world = generate(WorldConfig(n_reps=4, n_months=6, seed=1, zone="Europe/Berlin"))
    created = raw_frames(world.tables)["leads"]["created_at"]
    assert {text[-6:] for text in created} == {"+01:00", "+02:00"}
    back = np.array([moments.parse(text) for text in created])
    np.testing.assert_array_equal(back, world.tables.leads["created_at"].to_numpy())


def test_late_logging_adds_the_time_of_entry():
    world = generate(WorldConfig(n_reps=6, n_months=6, seed=11, late_logging_days=2.0))
    deals = world.tables.deals
    assert (deals["recorded_at"] >= deals["closed_at"]).all()
    assert (deals["known_at"] == deals["recorded_at"]).all()
    assert (deals["recorded_at"] < world.config.end).all()
    late = (deals["recorded_at"] - deals["closed_at"]).mean() / moments.DAY
    assert 1.2 < late < 2.8
    assert "recorded_at" in raw_frames(world.tables)["deals"]


def test_truth_names_levers_slumps_and_leavers(tmp_path):
    world = write_world(tmp_path, WorldConfig(n_reps=12, n_months=14, seed=20))
    truth = json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))
    assert {"followups_per_week", "contact_within_24h", "training:closing", "training:compliance"} <= set(
        truth["effects"]
    )
    assert truth["effects"]["training:compliance"] == {"logit": 0.0, "win_probability": 0.0, "contribution": 0.0}
    left = world.tables.reps[world.tables.reps["left_on"] != moments.NEVER]["rep_id"]
    assert {row["rep_id"] for row in truth["leavers"]} == set(left)
    assert set(truth["reps"]) == set(world.ids.reps)
    assert all(row["starts_on"] < row["ends_on"] for row in truth["slumps"])


@pytest.mark.parametrize(
    "bad",
    [
        {"n_reps": 1},
        {"n_months": 0},
        {"load": 0.0},
        {"structure": "chess"},
        {"conversion_by_tenure": (0.0, 0.1, 0.2)},
        {"turnover": 1.0},
    ],
)
def test_impossible_worlds_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        WorldConfig(**bad)


@pytest.mark.parametrize("months", [1, 2])
def test_the_shortest_worlds_still_have_every_table(months, tmp_path):
    write_world(tmp_path, WorldConfig(n_reps=2, n_months=months, seed=1))
    assert all((tmp_path / f"{name}.csv").exists() for name in SCHEMA)
