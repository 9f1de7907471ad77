"""Commands for operators: a backup of the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serving.command_options import ConfigFile, HomeDir


def backup(
    out: Annotated[Path, typer.Argument(help="New file for the copy; one that is there is never written over.")],
    home: HomeDir = None,
    config: ConfigFile = None,
) -> None:
    """Copy the store as of one moment, SQLite or PostgreSQL, while the service runs, and verify the copy's log.

    The copy is a SQLite store: put it at HOME/fairlead.db to go back to it.
    """
    from features.errors import RequestError
    from serving.session import open_store
    from serving.store import Store

    with open_store(home, config) as store:
        out.parent.mkdir(parents=True, exist_ok=True)
        store.copy_to(out)
    with Store.open(out) as copy, copy.read() as view:
        found = view.verify()
    if not found.ok:
        raise RequestError(f"{out}: the log of the copy breaks at entry {found.broken_at}: {found.reason}")
    typer.echo(f"{out}: {found.n_entries} log entries, head {found.head}. Keep the head apart from the copy.")
