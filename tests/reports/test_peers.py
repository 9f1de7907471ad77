"""Whom reps are compared with: peers of like tenure and territory, or the top tenth, with the luck of the chosen."""

from __future__ import annotations

from math import fsum

import lightgbm
import numpy as np
import pandas as pd
import pytest

from models.drivers import treeshap
from models.drivers.decomposition import LUCK, UNEXPLAINED, Decomposition, Part, luck_share, with_luck
from serving.reports import peers
from serving.reports.peers import PeerGroup, peer_gaps, peer_groups, top_gaps, top_tenth


def test_peers_share_tenure_and_a_territory():
    tenure = dict.fromkeys("abcdefgh", 0.5) | dict.fromkeys("ijklm", 1.5)
    land = {**dict.fromkeys("abcd", "north"), **dict.fromkeys("efg", "south"), "h": "north;south"}
    groups = {group.members: group for group in peer_groups(tenure, land)}
    assert groups["a", "b", "c", "d"] == PeerGroup(tuple("abcd"), tuple("abcdh"), "tenure_territory")
    assert groups["e", "f", "g"] == PeerGroup(tuple("efg"), tuple("efgh"), "tenure_territory")
    assert groups["h",].background == tuple("abcdefgh")
    assert groups[tuple("ijklm")] == PeerGroup(tuple("ijklm"), tuple("ijklm"), "tenure")
    assert sorted(rep for group in groups for rep in group) == list("abcdefghijklm")


def test_too_few_in_a_territory_are_compared_by_tenure_alone():
    land = {**dict.fromkeys("abcde", "north"), "f": "west", "g": "west"}
    groups = {group.members: group for group in peer_groups(dict.fromkeys("abcdefg", 3.0), land)}
    assert groups["f", "g"] == PeerGroup(("f", "g"), tuple("abcdefg"), "tenure")
    assert groups[tuple("abcde")].background == tuple("abcde")


def test_many_mixtures_of_territories_are_told_by_the_first_alone():
    """Thirty mixtures of six territories make six groups; thirty territories of five reps make one."""
    reps = [f"R{k:03d}" for k in range(180)]
    tenure = dict.fromkeys(reps, 3.0)
    mixed = {rep: f"T{k % 6};M{k % 30}" for k, rep in enumerate(reps)}
    groups = peer_groups(tenure, mixed)
    assert (len(groups), {len(group.background) for group in groups}) == (6, {30})
    many = {rep: f"T{k % 36}" for k, rep in enumerate(reps)}
    assert [group.kind for group in peer_groups(tenure, many)] == ["tenure"]


def test_a_band_with_hardly_a_peer_joins_its_neighbour():
    tenure = dict.fromkeys("abcdef", 0.5) | {"x": 1.5} | dict.fromkeys("mnopq", 4.0)
    assert [group.members for group in peer_groups(tenure)] == [tuple("abcdefx"), tuple("mnopq")]
    same = peer_groups(dict.fromkeys("abcde", 3.0), dict.fromkeys("abcde", "north;south"))
    assert [group.kind for group in same] == ["tenure_territory"]


@pytest.mark.parametrize(("months", "share"), [(1, 0.5), (3, 0.25), (12, 1 / 13)])
def test_luck_of_the_chosen_is_what_they_fall_back_by(months, share):
    """Reps and months vary alike, so of one month's best half is luck, of twelve months' a thirteenth."""
    rng = np.random.default_rng(months)
    skill = rng.normal(0, 1, 4_000)
    seen = skill[:, None] + rng.normal(0, 1, (4_000, months))
    best = np.argsort(seen.mean(axis=1))[-400:]
    fallen = 1 - skill[best].mean() / seen.mean(axis=1)[best].mean()
    assert fallen == pytest.approx(share, abs=0.04)
    long = skill[:, None] + rng.normal(0, 1, (4_000, 12))
    assert luck_share(np.repeat(np.arange(4_000), 12), long.ravel(), months) == pytest.approx(share, abs=0.02)


def test_where_reps_do_not_differ_all_of_it_is_luck():
    rng = np.random.default_rng(2)
    y = rng.normal(0, 1, (30, 12))
    y -= y.mean(axis=1, keepdims=True)
    assert luck_share(np.repeat(np.arange(30), 12), y.ravel(), 12) == 1.0
    assert luck_share(["a", "b"], [1.0, 2.0], 12) == 1.0  # one month each tells nothing


def test_luck_is_a_part_of_its_own_and_the_sum_holds_to_the_last_unit():
    parts = (Part("tenure", "tenure", 0.1, False), Part(UNEXPLAINED, UNEXPLAINED, -30.3, False, -40.3, -20.3))
    made = with_luck(Decomposition("R1", 100.0, 69.8, fsum([0.1, -30.3]), parts), 12.7)
    assert [part.driver for part in made.parts] == ["tenure", LUCK, UNEXPLAINED]
    assert made.parts[1].amount == -12.7
    assert made.parts[2].amount == pytest.approx(-17.6)
    assert made.total == fsum(part.amount for part in made.parts) == pytest.approx(-30.2)
    assert (made.parts[2].low, made.parts[2].high) == pytest.approx((-27.6, -7.6))
    assert made.unexplained == pytest.approx(-30.3)


class Panel:
    """As much of a panel model as is asked for: two features, of which the first is worth 10 a unit."""

    features = ("rep_tenure_years", "rep_follow_ups_mean_28d")
    scale = 1.0

    def __init__(self, rows):
        data = lightgbm.Dataset(rows[list(self.features)], rows["y"], params={"min_data_in_leaf": 5, "verbose": -1})
        self.made = lightgbm.train(
            {"objective": "regression", "min_data_in_leaf": 5, "verbose": -1, "seed": 1}, data, 30
        )

    def booster(self, _):
        return self.made


@pytest.fixture(scope="module")
def desk():
    rng = np.random.default_rng(3)
    reps, months = [f"R{k:02d}" for k in range(30)], np.arange(12)
    ability = rng.normal(0, 4, 30)
    frame = pd.DataFrame({"rep_id": np.repeat(reps, 12), "month": np.tile(months, 30)})
    frame["rep_tenure_years"] = rng.uniform(0, 4, 360)
    frame["rep_follow_ups_mean_28d"] = np.repeat(rng.uniform(0, 6, 30), 12) + rng.uniform(0, 1, 360)
    frame["y"] = 100 + np.repeat(ability, 12) + 10 * frame["rep_follow_ups_mean_28d"] + rng.normal(0, 20, 360)
    panel = Panel(frame)
    return frame, panel, peers.explain_panel(panel, frame), reps


def test_the_top_tenth_is_chosen_on_twelve_months(desk):
    frame, _, _, reps = desk
    best = frame.groupby("rep_id")["y"].mean().nlargest(3).index
    assert top_tenth(frame, reps) == tuple(sorted(best))
    lucky = pd.concat([frame, pd.DataFrame({"rep_id": ["NEW"], "month": [11], "y": [1e6]})], ignore_index=True)
    assert top_tenth(lucky, [*reps, "NEW"])[0] != "NEW"
    assert "NEW" not in top_tenth(lucky, [*reps, "NEW"])


def test_gaps_to_the_top_add_up_and_name_the_luck(desk):
    frame, panel, made, reps = desk
    gaps, comparison = top_gaps(panel, frame, made, reps)
    top = top_tenth(frame, reps)
    mean = frame.groupby("rep_id")["y"].mean()
    lead = frame.loc[frame["rep_id"].isin(top), "y"].mean() - frame["y"].mean()
    assert (comparison.kind, comparison.n) == ("top", 3)
    assert comparison.lead == pytest.approx(lead)
    assert 0.02 < comparison.luck_share < 0.3
    assert set(gaps) == set(reps)
    for rep, gap in gaps.items():
        others = [one for one in top if one != rep]
        assert gap.found.total == pytest.approx(mean[rep] - mean[others].mean())
        assert gap.found.total == fsum(part.amount for part in gap.found.parts)
        luck = [part.amount for part in gap.found.parts if part.driver == LUCK]
        assert luck == ([] if rep in top else [pytest.approx(-comparison.luck_share * lead)])
        assert (gap.in_top, gap.n_peers) == (rep in top, 3 - (rep in top))


def test_the_gap_s_parts_are_those_against_that_group_s_own_rows(desk):
    """The follow-ups' part is close to what the follow-ups' difference from the top is worth, ten a unit."""
    frame, panel, made, reps = desk
    gaps, _ = top_gaps(panel, frame, made, reps)
    top = top_tenth(frame, reps)
    level = frame.groupby("rep_id")["rep_follow_ups_mean_28d"].mean()
    theirs = level[list(top)].mean()
    said, true = [], []
    for rep in reps:
        if rep not in top:
            part = next(part for part in gaps[rep].found.parts if part.driver == "follow_ups")
            said.append(part.amount)
            true.append(10 * (level[rep] - theirs))
    assert np.corrcoef(said, true)[0, 1] > 0.9
    assert np.mean(said) == pytest.approx(np.mean(true), rel=0.25)


def test_gaps_to_peers_of_a_territory_use_that_territory_s_rows(desk):
    frame, panel, made, reps = desk
    tenure = dict.fromkeys(reps, 3.0)
    busy = frame.groupby("rep_id")["rep_follow_ups_mean_28d"].mean().nlargest(15).index
    land = {rep: ("north" if rep in busy else "south") for rep in reps}
    mean = frame.groupby("rep_id")["y"].mean()
    found = peer_gaps(panel, frame, made, tenure, land)
    for rep, gap in found.items():
        near = [one for one in reps if land[one] == land[rep] and one != rep]
        assert (gap.kind, gap.n_peers) == ("tenure_territory", 14)
        assert gap.found.total == pytest.approx(mean[rep] - mean[near].mean())
    part = {rep: next(p.amount for p in gap.found.parts if p.driver == "follow_ups") for rep, gap in found.items()}
    assert abs(np.mean([part[rep] for rep in busy])) < 1.0  # 30 or so where all reps were the background
    assert np.std([part[rep] for rep in busy]) > 3.0


def test_the_models_trees_are_read_once_for_all_groups(desk, monkeypatch):
    frame, panel, made, reps = desk
    read, calls = peers.read_trees, []
    for module in (peers, treeshap):
        monkeypatch.setattr(module, "read_trees", lambda booster: calls.append(booster) or read(booster))
    land = {rep: ("north" if at < len(reps) // 2 else "south") for at, rep in enumerate(sorted(reps))}
    found = peer_gaps(panel, frame, made, dict.fromkeys(reps, 3.0), land)
    assert len({gap.n_peers for gap in found.values()} | {land[rep] for rep in found}) >= 2
    assert len(calls) == 1


def test_too_few_reps_have_no_top_tenth(desk):
    frame, panel, made, _ = desk
    gaps, comparison = top_gaps(panel, frame, made, ["R00", "R01", "R02"])
    assert (gaps, comparison.luck_share) == ({}, None)
