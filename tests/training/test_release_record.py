"""Who answers for which moment: promotions, backfills, rollbacks, and releases whose bytes were changed."""

from __future__ import annotations

import json

import pytest

from features.errors import NoReleaseError, RequestError
from features.moments import DAY
from training.release import (
    Promotion,
    ReleaseError,
    champion,
    export_release,
    promote,
    promotions,
    read_release,
    release_for,
    standing,
    was_withdrawn,
)
from training.rollback import roll_back

DAY_0 = 20_000 * DAY


@pytest.fixture
def releases(tmp_path):
    folder = tmp_path / "releases"
    folder.mkdir()
    return folder


def put(releases, day, tag="a", action="promote"):
    """A promoted release of data up to a day."""
    version = export_release(releases, DAY_0 + day * DAY, "spec", {"part": {"tag": tag}}, {"trees": f"text {tag}"})
    promote(releases, Promotion(version, DAY_0 + day * DAY, action, "test", 0))
    return version


def asked(releases, day):
    return release_for(releases, DAY_0 + day * DAY).version


def test_the_newest_data_at_or_before_the_moment_answer(releases):
    first, second = put(releases, 10), put(releases, 20)
    assert asked(releases, 10) == asked(releases, 19) == first
    assert asked(releases, 20) == asked(releases, 400) == second
    with pytest.raises(NoReleaseError, match=r"seen later data; run: fairlead train --as-of 2024-10-13T00:00:00"):
        asked(releases, 9)


def test_no_release_names_the_command(releases):
    with pytest.raises(NoReleaseError, match="no release has been promoted yet; run: fairlead train --as-of"):
        asked(releases, 5)


def test_a_release_of_earlier_data_leaves_the_champion_in_charge(releases):
    late = put(releases, 20)
    early = put(releases, 10, action="backfill")
    assert champion(releases) == late
    assert asked(releases, 15) == early
    assert asked(releases, 25) == late


def test_equal_data_the_latest_promotion_answers(releases):
    put(releases, 10, "a")
    latest = put(releases, 10, "b")
    assert asked(releases, 10) == latest == champion(releases)


def test_a_rollback_withdraws_and_a_second_goes_further_back(releases, tmp_path):
    first, second, third = put(releases, 10), put(releases, 20), put(releases, 30)
    assert roll_back(releases, tmp_path / "none", "wrong", 1) == second == champion(releases) == asked(releases, 400)
    assert roll_back(releases, tmp_path / "none", "wrong too", 2) == first == champion(releases)
    with pytest.raises(RequestError, match="no earlier promoted release"):
        roll_back(releases, tmp_path / "none", "again", 3)
    assert [entry.action for entry in promotions(releases)] == ["promote"] * 3 + ["rollback"] * 2
    assert was_withdrawn(promotions(releases), third)
    assert not was_withdrawn(promotions(releases), first)
    assert not was_withdrawn(promotions(releases), "never seen")
    assert put(releases, 30) == third == champion(releases)
    assert not was_withdrawn(promotions(releases), third)
    assert [entry.version for entry in standing(promotions(releases))] == [first, third]


def test_a_rollback_checks_the_release_that_it_goes_back_to(releases, tmp_path):
    first, second = put(releases, 10), put(releases, 20)
    (releases / first / "trees.txt").write_text("text", encoding="utf-8")
    with pytest.raises(ReleaseError, match=r"trees\.txt differs"):
        roll_back(releases, tmp_path / "none", "wrong", 1)
    assert champion(releases) == second


@pytest.mark.parametrize(
    ("name", "spoil", "told"),
    [
        ("trees.txt", lambda data: data[:-3], "differs from its SHA-256"),
        ("part.json", lambda data: data.replace(b'"a"', b'"b"'), "differs from its SHA-256"),
        ("part.json", None, "is missing"),
        ("manifest.json", None, "missing or unreadable"),
        ("manifest.json", lambda data: data[:20], "missing or unreadable"),
        ("manifest.json", lambda _data: b"[]", "missing or unreadable"),
        ("manifest.json", lambda data: data.replace(b'"spec"', b'"else"'), "changed after it was written"),
    ],
)
def test_a_changed_release_is_refused_and_an_export_mends_it(releases, name, spoil, told):
    version = put(releases, 10)
    path = releases / version / name
    if spoil is None:
        path.unlink()
    else:
        path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ReleaseError, match=told):
        read_release(releases, version)
    assert put(releases, 10) == version
    assert read_release(releases, version).texts == {"trees": "text a"}


def test_hashes_of_the_manifest_hold(releases):
    import hashlib

    version = put(releases, 10)
    manifest = json.loads((releases / version / "manifest.json").read_bytes())
    assert set(manifest["files"]) == {"part.json", "trees.txt"}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((releases / version / name).read_bytes()).hexdigest() == digest


def test_a_damaged_record_is_named_by_its_line(releases):
    put(releases, 10)
    with (releases / "promotions.jsonl").open("a", encoding="utf-8") as out:
        out.write('{"version": "x", ')
    with pytest.raises(ReleaseError, match="line 2 is no promotion"):
        asked(releases, 10)
