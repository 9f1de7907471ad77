"""A small world, one training of it shared by the tests that only read, and homes to spoil."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from features import moments
from features.config import Config
from features.sources import load_tables
from features.synthetic import WorldConfig, write_world
from training.pipeline import TrainRequest, train_release

NOW = moments.parse("2026-11-01T08:00", "UTC")


@dataclass(frozen=True)
class Place:
    """A home with its tables."""

    root: Path
    tables: object

    @property
    def releases(self):
        return self.root / "releases"

    @property
    def mlruns(self):
        return self.root / "mlruns"

    def train(self, as_of=None, **asked):
        asked = {"trials": 0, "promote": "gate", "reason": "", "seed": 7, "now": NOW, **asked}
        moment = self.tables.newest() if as_of is None else moments.parse(as_of, self.tables.zone)
        request = TrainRequest(moment, **asked)
        return train_release(self.tables, Config(), self.releases, self.mlruns, request).as_dict()


@pytest.fixture(scope="session")
def tables_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, WorldConfig(n_reps=12, n_months=12, seed=3, language="en"))
    return folder


@pytest.fixture(scope="session")
def tables(tables_folder):
    return load_tables(tables_folder, Config(), None)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """MLflow's database after its migrations, which take seconds: made once and copied."""
    from training.tracking import open_tracker

    folder = tmp_path_factory.mktemp("mlflow")
    open_tracker(folder).client.search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def new_home(tmp_path, migrated, tables):
    """Makes empty homes on given tables, the world's by default."""

    def make(name="home", on=tables):
        root = tmp_path / name
        (root / "mlruns").mkdir(parents=True)
        shutil.copy(migrated, root / "mlruns" / "mlflow.db")
        return Place(root, on)

    return make


@pytest.fixture(scope="session")
def trained(tmp_path_factory, migrated, tables):
    """A home after one training, and its summary; read it, never change it."""
    root = tmp_path_factory.mktemp("trained")
    (root / "mlruns").mkdir()
    shutil.copy(migrated, root / "mlruns" / "mlflow.db")
    place = Place(root, tables)
    return place, place.train()


@pytest.fixture
def copy_of(trained, tmp_path):
    """A copy of the trained home elsewhere, to spoil."""

    def make(name="copy"):
        shutil.copytree(trained[0].root, tmp_path / name, symlinks=True)
        return replace(trained[0], root=tmp_path / name)

    return make
