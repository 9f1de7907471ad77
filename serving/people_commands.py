"""Commands about people: the audit by group, erasure and retention."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from features.messages import message
from serving.command_options import SPOKEN, AsJson, AsOf, ConfigFile, Data, HomeDir, Lang, spoken


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
    from serving.group_audit_words import audit_text
    from serving.pages.group_audit_page import write_audit
    from serving.session import open_session, parse_as_of, spoken_language
    from serving.texts import as_lang

    SPOKEN.set(spoken_language(data, home, config, lang))
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


def erase(
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the log, so name nobody in it.")],
    lead: Annotated[str | None, typer.Option("--lead", help="lead_id of whom nothing shall stay.")] = None,
    rep: Annotated[
        str | None, typer.Option("--rep", help="rep_id to be replaced by a name that leads nowhere.")
    ] = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    lang: Lang = None,
    as_json: AsJson = False,
) -> None:
    """Erase a lead, or a rep's identity, from the store; the log still verifies, and the erasure stands in it."""
    from serving.retention import erase_lead, erase_rep
    from serving.session import spoken_language

    SPOKEN.set(spoken_language(None, home, config, lang))
    if (lead is None) == (rep is None):
        raise typer.BadParameter(spoken(message("usage.lead_or_rep")), param_hint="--lead")
    if not reason.strip():
        raise typer.BadParameter(spoken(message("usage.why")), param_hint="--reason")
    found = (
        erase_lead(home, config, lang, lead, reason)
        if lead is not None
        else erase_rep(home, config, lang, rep or "", reason)
    )
    typer.echo(json.dumps(found.numbers, indent=1) if as_json else "\n".join(found.words))


def retention(
    keep_months: Annotated[int, typer.Option("--keep-months", min=1, max=600, help="Months for which leads are kept.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, erase nothing.")] = False,
    home: HomeDir = None,
    config: ConfigFile = None,
    lang: Lang = None,
    as_json: AsJson = False,
) -> None:
    """Erase leads of which nothing was decided or received for so many months; says what went, what stayed, and why."""
    from serving.retention import retain
    from serving.session import spoken_language

    SPOKEN.set(spoken_language(None, home, config, lang))
    found = retain(home, config, lang, keep_months, dry_run=dry_run)
    typer.echo(json.dumps(found.numbers, indent=1) if as_json else "\n".join(found.words))
