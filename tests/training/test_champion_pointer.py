"""Who is in charge stands in `releases/champion`, however the home was copied."""

from __future__ import annotations

import shutil

import pytest

from training.release import Promotion, challenger, champion, export_release, name_challenger, promote


@pytest.fixture
def releases(tmp_path):
    folder = tmp_path / "home" / "releases"
    folder.mkdir(parents=True)
    return folder


def version_of(releases, n):
    return export_release(releases, 86_400_000_000 * n, "spec", {"part": {"n": n}}, {})


def put(releases, version):
    promote(releases, Promotion(version, 0, "promote", "test", 0))


def test_the_champion_is_a_link_to_its_folder_that_moves(releases):
    one, two = version_of(releases, 20_000), version_of(releases, 20_001)
    assert champion(releases) is None
    for version in (one, two, one):
        put(releases, version)
        assert champion(releases) == version
        assert (releases / "champion" / "manifest.json").samefile(releases / version / "manifest.json")
        assert not (releases / "champion").readlink().is_absolute()


@pytest.mark.parametrize("keep_links", [True, False])
def test_a_copied_home_keeps_its_champion_and_may_change_it(releases, tmp_path, keep_links):
    one, two = version_of(releases, 20_000), version_of(releases, 20_001)
    put(releases, one)
    copy = tmp_path / "copy"
    shutil.copytree(releases, copy, symlinks=keep_links)
    shutil.rmtree(releases)
    assert champion(copy) == one
    put(copy, two)
    assert champion(copy) == two


def test_where_links_cannot_be_made_a_line_of_text_stands_in(releases, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError("no links here")

    monkeypatch.setattr("pathlib.Path.symlink_to", refuse)
    one = version_of(releases, 20_000)
    put(releases, one)
    assert (releases / "champion").read_text() == one + "\n"
    assert champion(releases) == one


def test_the_challenger_is_named_beside_the_champion_and_is_never_the_champion(releases):
    one, two = version_of(releases, 20_000), version_of(releases, 20_001)
    assert challenger(releases) is None
    put(releases, one)
    name_challenger(releases, two)
    assert (champion(releases), challenger(releases)) == (one, two)
    put(releases, two)
    assert challenger(releases) is None
    put(releases, one)
    assert challenger(releases) == two, "the name stays where a rollback makes it a rival again"
    name_challenger(releases, None)
    name_challenger(releases, None)
    assert challenger(releases) is None
    (releases / "challenger").write_text("../elsewhere\n")
    assert challenger(releases) is None, "a name that leads out of the folder is none"
