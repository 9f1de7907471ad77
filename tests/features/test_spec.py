"""The spec: its names, its text form, its fingerprint, and what it takes from the data."""

from __future__ import annotations

import dataclasses

import pytest

from features.codes import rep_index
from features.config import Config, Leads
from features.desk import Desk
from features.errors import ConfigError
from features.moments import parse
from features.ownership import lead_spans
from features.rep_features import rep_columns
from features.spec import FeatureSpec, assemble_spec, make_spec
from features.world import World, build

CUT = parse("2025-03-01")
GROUPS = {"activity", "leads", "skill_training", "tenure", "market", "load", "contribution"}


def test_every_feature_is_described_once_in_both_languages(spec):
    rows = spec.describe()
    names = [row[0] for row in rows]
    wanted = [*spec.lead_numeric, *spec.rep_numeric, *spec.pair_numeric, *spec.panel_numeric, *spec.lead_categorical]
    assert set(names) == set(wanted)
    assert len(names) == len(set(names))
    for name, _, _, english, chinese, group in rows:
        assert english.isprintable(), name
        assert english, name
        assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese), name
        assert group in GROUPS, name
    assert set(spec.groups().values()) == GROUPS


def test_what_is_computed_is_what_is_described(tables, spec):
    """No column is built in vain, none is missing."""
    world = World(tables, spec, CUT)
    reps, moments = world.rep_codes(["r1"]), world.rep_codes([CUT])
    computed = rep_columns(world.logs, world.desk, spec, reps, moments, moments)
    assert set(computed) == set(spec.rep_numeric)
    assert list(world.rep_features(["r1"], CUT)) == list(spec.rep_numeric)


def test_windows_stand_in_the_description(spec):
    windows = {row[0]: row[2] for row in spec.describe()}
    assert windows["rep_follow_ups_per_week_28d"] == "28 d"
    assert windows["panel_contribution_mean_6m"] == "6 months"
    assert windows["rep_tenure_years"] == ""


def test_text_form_gives_an_equal_spec_back(spec):
    again = FeatureSpec.from_json(spec.to_json())
    assert again == spec
    assert again.fingerprint() == spec.fingerprint()
    assert len(spec.fingerprint()) == 64
    assert dataclasses.replace(spec, dead_after_days=90).fingerprint() != spec.fingerprint()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"lead_numeric": []}', '{"surprise": 1}'])
def test_other_text_is_no_spec(text):
    with pytest.raises(ConfigError, match="not a feature spec"):
        FeatureSpec.from_json(text)


def test_a_spec_of_another_version_is_refused(spec):
    with pytest.raises(ConfigError, match="train anew"):
        FeatureSpec.from_json(dataclasses.replace(spec, version=0).to_json())


def test_spec_of_data_takes_lead_columns_sources_and_skills(tables):
    spec = make_spec(tables, Config(leads=Leads(ignore=("channel",), dead_after_days=90)), CUT)
    assert ("company_size", "lead_company_size") in spec.custom_numeric
    assert "lead_company_size" in spec.lead_numeric
    assert "channel" not in spec.lead_categorical
    assert "channel" in dict(spec.excluded)
    assert spec.dead_after_days == 90
    assert {value for value, _ in spec.sources} == {"referral", "event", "web_ad", "展会"}
    assert "rep_trainings_completed_skill_产品" in spec.rep_numeric
    assert {"source", "territory", "industry"} <= set(spec.lead_categorical)


def test_spec_knows_nothing_later_than_as_of(tables):
    later = tables.leads["known_at"] >= CUT
    other = tables.with_frames(leads=tables.leads.assign(source=tables.leads["source"].where(~later, "new source")))
    assert make_spec(tables, Config(), CUT) == make_spec(other, Config(), CUT)


def test_no_rep_id_or_name_is_a_feature(spec):
    names = {*spec.rep_numeric, *spec.pair_numeric, *spec.lead_numeric, *spec.lead_categorical}
    assert not names & {"rep_id", "name", "rep_name", "team_id", "manager_id", "lead_id"}


def test_names_are_safe_for_models_and_unique(tables):
    """LightGBM refuses the characters of JSON in names; two skills that read alike stay apart."""
    odd = tables.trainings.assign(skill=["a b", "a,b", 'a"b', "a[b]", "a:b"] * (len(tables.trainings) // 5))
    spec = make_spec(tables.with_frames(trainings=odd), Config(), CUT)
    skills = [name for name in spec.rep_numeric if "_skill_" in name]
    assert len(set(skills)) == len({value for value, _ in spec.skills}) == 5
    assert not any(letter in name for name in skills for letter in ' ,"[]{}:')
    world = build(tables.with_frames(trainings=odd), CUT, spec)
    done = world.rep_features(tables.reps["rep_id"], CUT)
    assert done[skills].to_numpy().sum() == done["rep_trainings_completed"].sum() > 0


def test_desk_may_be_built_apart(tables, spec):
    """The desk's logs do not depend on who computed the spans."""
    known = tables.known(CUT)
    alone = Desk(known, spec.dead_after_days)
    spans = lead_spans(known, alone.leads.ids, rep_index(known), spec.dead_after_days)
    assert len(Desk(known, spec.dead_after_days, spans).by_source) == len(alone.by_source) > 0


def test_a_spec_may_be_given_by_hand():
    assert assemble_spec().lead_categorical == ("source", "territory", "industry")
