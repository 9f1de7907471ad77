"""The quick ways of typing and reading a lead say what the tables' own checks and the feature engine say."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.config import Config
from features.errors import DataError
from features.rows import parse_rows
from features.spec import make_spec
from features.synthetic import WorldConfig, generate
from features.world import build
from serving.lead_values import LeadReader
from serving.leads import LeadTyper, leads_of

FIRST = datetime.fromisoformat("1970-01-01")
texts = st.one_of(
    st.sampled_from(
        ["", " ", "x", "referral", "微信", "a\u00a0b", " lead", "007", "true", "nan", "1e400", "\u3000", "L0001"]
    ),
    st.text(max_size=6),
)
cells = st.one_of(texts, st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.just([1]))
zones = st.sampled_from([None, "+08:00", "Z", "-03:30"])


@st.composite
def times(draw):
    when = draw(st.datetimes(FIRST, FIRST.replace(year=2190)))
    return draw(st.sampled_from([when.isoformat(), when.date().isoformat(), when.isoformat(" ", "seconds")])) + (
        draw(zones) or ""
    )


@pytest.fixture(scope="module", params=["UTC", "Asia/Shanghai", "America/New_York"])
def tables(request, synthetic):
    return replace(synthetic, zone=request.param)


@pytest.fixture(scope="module")
def synthetic():
    return generate(WorldConfig(n_reps=6, n_months=6, seed=4)).tables


def same(left, right):
    return left == right or (
        isinstance(left, float) and isinstance(right, float) and math.isnan(left) and math.isnan(right)
    )


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_plain_row_is_typed_as_the_long_way_types_it(tables, data):
    """Whatever the quick way takes, it takes as the tables' checks do; the rest it leaves to them."""
    typer = LeadTyper(tables)
    columns = ["source", "territory", "account_id", "sourced_by_rep_id", "employees", "industry", "recorded_at"]
    columns += [str(name) for name in tables.leads.columns if name not in {"known_at", "lead_id", "created_at"}]
    row = {"lead_id": "NEW", "source": "web", "created_at": data.draw(times())}
    row |= {name: data.draw(cells) for name in data.draw(st.lists(st.sampled_from(columns), max_size=5, unique=True))}
    quick = typer.plain(row)
    if quick is None:
        return
    parsed = parse_rows("leads", [row], tables)
    assert parsed.faults == ()
    slow = leads_of(parsed.frame, [row])[0]
    for name in tables.leads.columns:
        default = "" if str(tables.leads[name].dtype) == "str" else math.nan
        assert same(quick.cells.get(name, default), slow.cells.get(name, default)), name


def test_ordinary_rows_take_the_quick_way_and_faulty_ones_keep_their_place(synthetic):
    typer = LeadTyper(synthetic)
    good = {"lead_id": "A", "created_at": "2026-03-02T09:00:00+08:00", "source": "web", "employees": 20}
    assert typer.plain(good) is not None
    assert [lead.lead_id for lead in typer.leads([{**good, "lead_id": 7}, good])] == ["7", "A"]
    with pytest.raises(DataError) as caught:
        typer.leads([good, {**good, "created_at": ""}, good, {**good, "sourced_by_rep_id": "nobody"}])
    assert [(fault.row, fault.column) for fault in caught.value.faults] == [(2, "created_at"), (4, "sourced_by_rep_id")]


def test_a_lead_is_read_as_the_feature_engine_reads_it(synthetic):
    """Every number, category and pair column of old and new leads, at the end of the data."""
    as_of = synthetic.newest()
    spec = make_spec(synthetic, Config(), as_of)
    world = build(synthetic, as_of, spec)
    reps = [str(rep) for rep in synthetic.reps["rep_id"]]
    reader = LeadReader(world, reps, spec.pair_numeric)
    rows = synthetic.leads.iloc[::11].reset_index(drop=True).copy()
    rows.loc[0, "source"], rows.loc[1, "industry"], rows.loc[2, "account_id"] = "never seen", "", "unknown"
    rows.loc[3, "referred_by_lead_id"] = rows.loc[5, "lead_id"]
    expected = world.lead_features(rows, as_of)
    assert len(rows) > 10
    for i, lead in enumerate(leads_of(rows, [{}] * len(rows))):
        values = reader.values(lead)
        assert set(values.numbers) >= set(spec.lead_numeric)
        for name in spec.lead_numeric:
            assert same(values.numbers[name], float(expected[name].iloc[i])), name
        assert dict(values.texts) == {name: str(expected[name].iloc[i]) for name in spec.lead_categorical}
        pairs = world.pair_features(rows.iloc[[i]].reset_index(drop=True), np.array(reps, dtype=object), as_of)
        mine = reader.pairs(lead)
        for name in spec.pair_numeric:
            np.testing.assert_array_equal(mine[name], pairs[name].to_numpy(), err_msg=name)
