"""A real training of a small world: what it writes, that it can be repeated, and that a copy of the home works."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from features import moments
from features.errors import NoReleaseError
from serving.release_probe import probe_release
from training.release import ReleaseError, champion, promotions, read_release, release_for
from training.unit import ModelUnit


def fairlead(*words, home, data=None):
    """The command in a process of its own: code, standard output, standard error."""
    more = [] if data is None else ["--data", str(data)]
    done = subprocess.run(
        [sys.executable, "-c", "from serving.cli import main; main()", *words, "--home", str(home), *more],
        capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_the_first_training_is_champion(trained):
    place, facts = trained
    assert facts["promoted"]
    assert champion(place.releases) == facts["release"]
    assert [entry.action for entry in promotions(place.releases)] == ["promote"]
    unit = ModelUnit.from_release(release_for(place.releases, place.tables.newest()))
    assert unit.routing_mode == facts["routing_mode"]
    assert unit.effects


def test_one_seed_gives_equal_bytes(trained, new_home):
    place, facts = trained
    again = new_home()
    assert again.train()["release"] == facts["release"]
    for path in sorted((place.releases / facts["release"]).iterdir()):
        assert path.read_bytes() == (again.releases / facts["release"] / path.name).read_bytes(), path.name


def test_no_time_path_or_commit_stands_in_the_hashed_bytes(trained):
    place, facts = trained
    for path in (place.releases / facts["release"]).iterdir():
        text = path.read_text(encoding="utf-8")
        assert str(place.root) not in text, path.name
        assert "2026-11-01" not in text, path.name  # the clock of the training


def test_the_release_carries_its_cards_in_both_languages(trained):
    place, facts = trained
    cards = read_release(place.releases, facts["release"]).document("cards")
    assert set(cards) == {"en", "zh"}
    english, chinese = cards["en"]["model_card"], cards["zh"]["model_card"]
    report = read_release(place.releases, facts["release"]).document("report")
    for text in (english, chinese):
        assert f"{report['rows']['pairs']:,}" in text
        assert f"{report['findings']['auc']:.3f}" in text
        assert "{" not in text
    for heading in ("What it is for", "By segment", "Limits", "Human oversight"):
        assert heading in english
    assert english.count("\n#") == chinese.count("\n#")
    assert "人的监督" in chinese
    assert "| activities |" in cards["en"]["data_sheet"]


def test_a_copied_home_answers_without_its_mlruns(copy_of, tables_folder):
    import shutil

    place = copy_of()
    shutil.rmtree(place.mlruns)
    code, out, err = fairlead("forecast", home=place.root, data=tables_folder)
    assert (code, err) == (0, "")
    assert out.startswith("rep_id,month,as_of,mean,p10")
    new = place.root / "new.csv"
    created = moments.iso(place.tables.newest(), place.tables.zone)
    new.write_text(f"lead_id,created_at,source\nNEW1,{created},referral\n", encoding="utf-8")
    code, out, err = fairlead("route", "--leads", str(new), home=place.root, data=tables_folder)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].startswith("NEW1,R")


def test_a_moment_before_the_data_names_the_command_that_helps_and_it_does(copy_of, tables_folder):
    place = copy_of()
    before = champion(place.releases)
    code, out, err = fairlead("forecast", "--as-of", "2026-04-15", home=place.root, data=tables_folder)
    assert (code, out) == (1, "")
    assert "fairlead train --as-of 2026-04-15" in err
    facts = place.train("2026-04-15")
    assert facts["promoted"]
    assert champion(place.releases) == before != facts["release"]
    assert release_for(place.releases, moments.parse("2026-05-01", "UTC")).version == facts["release"]
    code, out, err = fairlead("forecast", "--as-of", "2026-04-15", home=place.root, data=tables_folder)
    assert (code, err) == (0, "")
    assert "2026-04" in out


@pytest.mark.parametrize("command", ["forecast", "warn"])
def test_a_truncated_model_text_is_told_and_never_crashes(copy_of, tables_folder, command):
    place = copy_of()
    version = champion(place.releases)
    path = place.releases / version / "contribution_horizon_1.txt"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, out, err = fairlead(command, home=place.root, data=tables_folder)
    assert (code, out) == (1, "")
    assert "contribution_horizon_1.txt differs from its SHA-256" in err
    assert "Traceback" not in err


def test_a_truncated_text_with_hashes_to_match_dies_in_the_probe_only(copy_of):
    """LightGBM ends the process that reads such a text; nothing but a child may try it."""
    from training.release import export_release

    place = copy_of()
    good = read_release(place.releases, champion(place.releases))
    texts = {name: text[: len(text) // 3] for name, text in good.texts.items()}
    assert texts
    broken = export_release(place.releases, good.data_until, good.spec_fingerprint, good.documents, texts)
    with pytest.raises(ReleaseError, match="cannot be used"):
        probe_release(place.releases, broken)
    probe_release(place.releases, good.version)


def test_a_broken_champion_is_replaced_by_training_again(copy_of):
    place = copy_of()
    version = champion(place.releases)
    (place.releases / version / "spec.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ReleaseError):
        release_for(place.releases, place.tables.newest())
    facts = place.train()
    assert facts["promoted"]
    assert facts["release"] == version  # same data, code and seed
    assert release_for(place.releases, place.tables.newest()).version == version


def test_promote_never_leaves_no_champion(new_home, tables):
    place = new_home()
    facts = place.train("2026-03-01", promote="never")
    assert not facts["promoted"]
    assert champion(place.releases) is None
    with pytest.raises(NoReleaseError):
        release_for(place.releases, tables.newest())
    assert json.loads((place.releases / facts["release"] / "manifest.json").read_text())["files"]
