"""Starting the service: guards, application, background clock, then requests until it is asked to stop."""

from __future__ import annotations

from collections.abc import Callable

from features.messages import in_language, message
from serving.allocator import settle
from serving.core import Core
from serving.http.security import check_bind
from serving.http.server import run
from serving.pages.site import create_site
from serving.session import Session


def launch(session: Session, host: str, port: int, say: Callable[[str], object]) -> None:
    """Serve until SIGTERM or SIGINT. RequestError where the address is public and no key guards it."""
    settle()
    core = Core(session)
    try:
        has_keys = core.has_keys()
        check_bind(host, has_keys)
        say(in_language(message("serve.where", host=host, port=port), session.lang))
        if not has_keys:
            say(in_language(message("serve.open"), session.lang))
        if core.model_version is None:
            say(in_language(message("serve.no_release"), session.lang))
        core.start_clock()
        run(create_site(core), host, port)
    finally:
        core.close()
