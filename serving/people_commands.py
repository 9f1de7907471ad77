"""Commands about people: the audit by group."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from serving.command_options import AsJson, AsOf, ConfigFile, Data, HomeDir, Lang


def audit_groups(
    groups: Annotated[
        Path, typer.Option("--groups", help="CSV of rep_id and group columns; held in memory for this audit only.")
    ],
    since: Annotated[
        str | None, typer.Option("--since", help="First day of the decisions audited. Default: the first decision.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="Day after the last one. Default: just after the last decision.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for audit-en.html, audit-zh.html, audit.csv, audit.json.")
    ] = None,
    data: Data = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    as_of: AsOf = None,
    lang: Lang = None,
    as_json: AsJson = False,
) -> None:
    """Compare what routing gave to groups of reps: leads, high-value leads and expected value, a head and a place.

    Each group stands against the best-off one with an interval. Groups of fewer than 5 reps are not shown. The group
    columns are read for this audit only: they are never stored and never a feature.
    """
    from serving.group_audit import audit, read_groups
    from serving.pages.group_audit_page import audit_text, write_audit
    from serving.session import open_session, parse_as_of
    from serving.texts import as_lang

    session = open_session(data, home, config, as_of, lang)
    zone = session.tables.zone
    edges = [
        None if day is None else parse_as_of(day, zone, name) for day, name in ((since, "--since"), (until, "--until"))
    ]
    with closing(session.core()) as core:
        found = audit(core, read_groups(groups), *edges)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), ensure_ascii=False, indent=1))
    else:
        typer.echo("\n".join(audit_text(found, as_lang(session.lang))))
    if out is not None:
        for path in write_audit(found, out):
            typer.echo(str(path), err=as_json)
