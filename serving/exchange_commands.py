"""Commands about what is exchanged with other systems: messages of webhooks."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from serving.command_options import SPOKEN, AsJson, ConfigFile, HomeDir, Lang

webhooks = typer.Typer(no_args_is_help=True, help="Messages that webhooks could not deliver yet: list, retry.")


@webhooks.command("list")
def webhooks_list(home: HomeDir = None, config: ConfigFile = None, lang: Lang = None, as_json: AsJson = False) -> None:
    """List messages that no endpoint has acknowledged, the oldest first: waiting or dead, attempts, last error."""
    from serving.session import open_store, spoken_language
    from serving.texts import as_lang, t

    SPOKEN.set(spoken_language(None, home, config, lang))
    with open_store(home, config) as store, store.read() as view:
        found, counts = view.messages(limit=1_000), view.message_counts()
    if as_json:
        names = ("message_id", "endpoint", "kind", "seq", "state", "attempts", "last_error")
        typer.echo(json.dumps([{name: getattr(one, name) for name in names} for one in found], indent=1))
        return
    for one in found:
        typer.echo(f"{one.message_id}  {one.endpoint}  {one.kind}  {one.state}  {one.attempts}  {one.last_error}")
    spoken = as_lang(SPOKEN.get())
    for (endpoint, state), count in sorted(counts.items()):
        words = t(spoken, f"exchange.{state}")
        typer.echo(t(spoken, "exchange.messages", endpoint=endpoint, n=f"{count:,}", state=words))
    if not counts:
        typer.echo(t(spoken, "exchange.none"))


@webhooks.command("retry")
def webhooks_retry(
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="Only messages to this one. Default: all.")] = None,
    home: HomeDir = None,
    config: ConfigFile = None,
    lang: Lang = None,
) -> None:
    """Try dead messages again from the start, under the ids that they had."""
    from serving.session import open_store, spoken_language
    from serving.texts import as_lang, t

    SPOKEN.set(spoken_language(None, home, config, lang))
    with open_store(home, config) as store, store.transaction() as tx:
        n = tx.revive(endpoint)
    typer.echo(t(as_lang(SPOKEN.get()), "exchange.retried", n=f"{n:,}"))
