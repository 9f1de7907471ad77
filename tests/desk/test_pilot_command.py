"""`fairlead pilot`: a list and a sentence in either language, and the result read back; wrong input told by name."""

from __future__ import annotations

import csv
import io
import json

import pytest

from features.synthetic import WorldConfig, write_world


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pilot")
    write_world(folder, WorldConfig(n_reps=20, n_months=12, seed=4))
    return folder


@pytest.fixture
def fairlead(shell, data, tmp_path):
    """Runs the command as a shell would; (exit code, output, errors)."""
    return lambda *words: shell(*words, "--data", str(data), "--home", str(tmp_path / "home"))


def test_the_list_goes_out_and_the_sentence_beside_it(fairlead, tmp_path):
    code, out, err = fairlead("pilot", "--lever", "training:closing")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out.removeprefix("\ufeff"))))
    arms = [row["arm"] for row in rows]
    assert abs(arms.count("first") - arms.count("later")) <= 1
    assert "reps first, for" in err
    path = tmp_path / "pilot.csv"
    code, said, _ = fairlead("pilot", "--lever", "training:closing", "--lang", "zh", "--out", str(path))
    assert (code, "人先行" in said) == (0, True)
    assert path.read_bytes().decode() == out
    _, other, _ = fairlead("pilot", "--lever", "training:closing", "--seed", "8")
    assert other != out


def test_the_effect_wanted_decides_how_long(fairlead):
    _, long, _ = fairlead("pilot", "--lever", "x", "--effect", "9000", "--json")
    _, short, _ = fairlead("pilot", "--lever", "x", "--effect", "90000", "--json")
    assert json.loads(short)["months"] < json.loads(long)["months"]
    assert json.loads(short)["enough"]


def test_a_pilot_in_the_past_is_read_back(fairlead, tmp_path):
    path = tmp_path / "pilot.csv"
    day = "2026-03-01"
    assert fairlead("pilot", "--lever", "calls", "--as-of", day, "--out", str(path))[0] == 0
    code, said, _ = fairlead("pilot", "--result", str(path))
    assert code == 0
    assert "calls" in said
    code, made, _ = fairlead("pilot", "--result", str(path), "--json")
    found = json.loads(made)
    assert (found["method"], found["first_month"]) == ("randomised", "2026-03")
    assert found["months_over"] >= 3
    code, _, err = fairlead("pilot", "--result", str(path), "--as-of", "2026-03-20")
    assert (code, "nothing to read yet" in err) == (1, True)


def test_wrong_input_is_told(fairlead, tmp_path):
    assert fairlead("pilot")[0] == 2
    assert fairlead("pilot", "--lever", "x", "--result", "y.csv")[0] == 2
    code, _, err = fairlead("pilot", "--result", str(tmp_path / "none.csv"))
    assert (code, "none.csv" in err) == (1, True)
    path = tmp_path / "strange.csv"
    path.write_text("rep_id,arm,lever,first_month,months\nZZ,first,x,2026-01,3\n", encoding="utf-8")
    code, _, err = fairlead("pilot", "--result", str(path))
    assert (code, "'ZZ' is not in reps" in err) == (1, True)


def test_measures_of_unknown_teams_and_lost_lists_are_told_at_the_door(fairlead, tmp_path):
    settings = tmp_path / "fairlead.toml"
    settings.write_text("[measures.x]\nstarts_on = 2026-01-01\nteams = ['T99']\n", encoding="utf-8")
    code, _, err = fairlead("forecast", "--config", str(settings))
    assert (code, "[measures.x]: reps.team_id holds no T99" in err) == (1, True)
    settings.write_text("[measures.x]\npilot = 'lost.csv'\n", encoding="utf-8")
    code, _, err = fairlead("forecast", "--config", str(settings))
    assert (code, "lost.csv" in err) == (1, True)
