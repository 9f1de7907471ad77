"""Commands about the API keys of the service."""

from __future__ import annotations

from typing import Annotated

import typer

from features.messages import message
from serving.command_options import SPOKEN, ConfigFile, HomeDir, Lang, spoken

keys = typer.Typer(no_args_is_help=True, help="API keys of the service: add, revoke, list.")


@keys.command("add")
def keys_add(
    role: Annotated[str, typer.Argument(help="router, rep, manager, hr, scientist or admin.")],
    subject: Annotated[str, typer.Argument(help="Whom the key is for: a rep_id, a manager_id or a name.")],
    home: HomeDir = None,
    config: ConfigFile = None,
    lang: Lang = None,
) -> None:
    """Make a key and print it once; only its hash is kept."""
    from serving.session import open_store, spoken_language

    SPOKEN.set(spoken_language(None, home, config, lang))
    with open_store(home, config) as store, store.transaction() as tx:
        key = tx.add_key(role, subject)
    typer.echo(key)


@keys.command("revoke")
def keys_revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as `fairlead keys list` shows it.")],
    home: HomeDir = None,
    config: ConfigFile = None,
    lang: Lang = None,
) -> None:
    """Revoke a key at once."""
    from serving.session import open_store, spoken_language

    SPOKEN.set(spoken_language(None, home, config, lang))
    with open_store(home, config) as store, store.transaction() as tx:
        tx.revoke_key(key_id)
    typer.echo(spoken(message("key.revoked", key=key_id)))


@keys.command("list")
def keys_list(home: HomeDir = None, config: ConfigFile = None, lang: Lang = None) -> None:
    """List keys by id, role and subject; never the keys themselves."""
    from serving.session import open_store, spoken_language

    SPOKEN.set(spoken_language(None, home, config, lang))
    with open_store(home, config) as store, store.read() as view:
        found = view.api_keys()
    for key in found:
        typer.echo(
            f"{key.key_id}  {key.role}  {key.subject}"
            + ("" if key.revoked_at is None else "  " + spoken(message("key.revoked_mark")))
        )
