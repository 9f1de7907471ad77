"""Who is told and who may tell: the endpoints and senders of the settings, with their secrets."""

from __future__ import annotations

import os
from dataclasses import dataclass

from features.config import Config, Incoming
from features.errors import ConfigError
from features.messages import message
from serving.store import MESSAGE_KINDS, Subscription
from serving.webhooks.signing import secret_bytes

_LEAST_SECRET = 16  # bytes


@dataclass(frozen=True)
class Endpoint:
    """Where messages go. `repr` keeps the secret to itself."""

    name: str
    url: str
    secret: str
    kinds: frozenset[str]

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r})"


def endpoints_of(config: Config) -> tuple[Endpoint, ...]:
    """The endpoints of the settings; ConfigError where one has no secret, here or in the environment."""
    found = []
    for hook in config.webhooks:
        variable = f"FAIRLEAD_WEBHOOK_SECRET_{_upper(hook.name)}"
        secret = _secret(f"[webhooks.{hook.name}]", variable, hook.secret)
        found.append(Endpoint(hook.name, hook.url, secret, frozenset(hook.events or MESSAGE_KINDS)))
    return tuple(found)


def subscriptions_of(config: Config) -> tuple[Subscription, ...]:
    """What the store writes messages for."""
    return tuple(Subscription(one.name, frozenset(one.events or MESSAGE_KINDS)) for one in config.webhooks)


def sender_of(config: Config, name: str) -> Incoming | None:
    """The sender of that name, its secret in place; None where the settings and the environment know none."""
    section = next((one for one in config.incoming if one.name == name), Incoming(name))
    variable = f"FAIRLEAD_INCOMING_SECRET_{_upper(name)}"
    if not section.secret and not os.environ.get(variable):
        return None
    secret = _secret(f"[incoming.{name}]", variable, section.secret)
    return Incoming(name, secret, section.url, section.columns, section.reps)


def _secret(section: str, variable: str, given: str) -> str:
    """The secret; the environment's wins, so that the file need not hold one."""
    secret = (os.environ.get(variable) or given).strip()
    if not secret:
        raise ConfigError(message("hook.secret_missing", section=section, variable=variable))
    try:
        right = len(secret_bytes(secret)) >= _LEAST_SECRET
    except ValueError:
        raise ConfigError(message("hook.secret_base64", section=section)) from None
    if not right:
        raise ConfigError(message("hook.secret_short", section=section, least=_LEAST_SECRET))
    return secret


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")
