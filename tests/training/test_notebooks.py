"""The notebooks run from top to bottom on a small set, and what is committed of their outputs stays light."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
BOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))


def run(name, monkeypatch, tables_folder, home):
    monkeypatch.setenv("FAIRLEAD_NOTEBOOK_DATA", str(tables_folder))
    monkeypatch.setenv("FAIRLEAD_NOTEBOOK_HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]))
    book = nbformat.read(FOLDER / name, as_version=4)
    NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}).execute()
    return "\n".join(
        output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
        for cell in book.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )


def test_there_are_both():
    assert BOOKS == ["drivers.ipynb", "retraining.ipynb"]


@pytest.mark.parametrize("name", BOOKS)
def test_committed_outputs_are_light_and_hold_no_path(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert len(text) < 200_000
    assert "/tmp/" not in text
    assert "/home/" not in text
    nbformat.validate(nbformat.reads(text, as_version=4))


def test_retraining_goes_from_tables_to_a_promoted_version(monkeypatch, tables_folder, tmp_path):
    said = run("retraining.ipynb", monkeypatch, tables_folder, tmp_path)
    assert "later than as_of: 0" in said
    assert said.count("is champion") >= 1
    assert "ok   something is better" in said
    assert "champion" in said


def test_drivers_add_up(monkeypatch, tables_folder, copy_of):
    said = run("drivers.ipynb", monkeypatch, tables_folder, copy_of().root)
    assert "the parts add up to" in said
    assert "followups_per_week" in said
    assert "before_after" in said
    assert "bare before-after" in said
    assert "identified: " in said
    assert "reps first for" in said
    assert "smallest_effect" in said
