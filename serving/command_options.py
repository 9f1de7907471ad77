"""Options that many commands share."""

from __future__ import annotations

from contextvars import ContextVar
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from features.messages import in_language

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of tables: one <table>.csv, .parquet or .xlsx each, or a fairlead.toml."),
]
HomeDir = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of decisions, releases and mlruns. Default: FAIRLEAD_HOME, else here."),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="A fairlead.toml; wins over those in the data folder and the home."),
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", help="Date or time; nothing later is seen. Default: just after the newest event."),
]


# The language in which a command's faults are told; read by whoever catches them. What the caller asks for counts from
# the first option on, so that settings which cannot be read are told in it too; the settings' own follows them.
SPOKEN: ContextVar[str] = ContextVar("spoken", default="en")


def spoken(said: object) -> str:
    """What is said, in the language of the command."""
    return in_language(said, SPOKEN.get())


class Language(StrEnum):
    """What Fairlead speaks."""

    EN = "en"
    ZH = "zh"


def _speak(lang: Language | None) -> Language | None:
    SPOKEN.set(lang or "en")
    return lang


Lang = Annotated[
    Language | None,
    typer.Option("--lang", help="en or zh. Default: the setting, else en.", callback=_speak, is_eager=True),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
