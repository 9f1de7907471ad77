"""Where an installation keeps its state: decisions, releases and MLflow's runs under one folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """Paths below one home folder. Nothing is made before it is written to."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "fairlead.db"

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def mlruns(self) -> Path:
        return self.root / "mlruns"


def home_from(option: Path | None, environment: Mapping[str, str] | None = None) -> Home:
    """The home named by the option, else by FAIRLEAD_HOME, else the current folder."""
    named = (environment if environment is not None else os.environ).get("FAIRLEAD_HOME", "")
    return Home((option or Path(named or ".")).resolve())


def store_url(home: Home, configured: str, environment: Mapping[str, str] | None = None) -> str:
    """Database URL of the store: FAIRLEAD_DATABASE, else the setting, else SQLite in the home folder."""
    named = (environment if environment is not None else os.environ).get("FAIRLEAD_DATABASE", "")
    return named or configured or f"sqlite:///{home.database}"
