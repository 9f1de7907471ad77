"""Commands for operators: a backup of the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from features.messages import in_language, message
from serving.command_options import SPOKEN, ConfigFile, HomeDir, Lang


def backup(
    out: Annotated[Path, typer.Argument(help="New file for the copy; one that is there is never written over.")],
    home: HomeDir = None,
    config: ConfigFile = None,
    lang: Lang = None,
) -> None:
    """Copy the store as of one moment, SQLite or PostgreSQL, while the service runs, and verify the copy's log.

    The copy is a SQLite store: put it at HOME/fairlead.db to go back to it.
    """
    from features.errors import RequestError
    from serving.session import open_store, spoken_language
    from serving.store import Store

    SPOKEN.set(spoken_language(None, home, config, lang))
    with open_store(home, config) as store:
        out.parent.mkdir(parents=True, exist_ok=True)
        store.copy_to(out)
    with Store.open(out) as copy, copy.read() as view:
        found = view.verify()
    if not found.ok:
        raise RequestError(message("backup.broken", path=str(out), entry=str(found.broken_at), why=found.reason))
    done = message("backup.done", path=str(out), n=found.n_entries, head=str(found.head))
    typer.echo(in_language(done, SPOKEN.get()))
