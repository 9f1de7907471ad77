"""How often somebody may be wrong about a key, a session's key or a webhook's secret: by his address, and by its name.

Refused before anything is compared, so that a right guess tells no more than a wrong one. What was shown rightly
before is no guess: whoever is known stays served while strangers try. Counts are this process's own.

References
----------
OWASP, Authentication Cheat Sheet, and Slow Down Online Guessing Attacks with Device Cookies: a limit by name alone
would let strangers lock people out.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import structlog

from features.messages import message
from serving.http.limits import Limiter, Rate
from serving.http.problems import Problem

BY_ADDRESS: Final = Rate(10, 1 / 30)
BY_NAME: Final = Rate(30, 1 / 30)
_MOST_PROVEN: Final = 10_000
_KEY_NAME: Final = re.compile(r"fl_([0-9a-f]{12})_")
_log = structlog.get_logger("serving.audit")


@dataclass(frozen=True)
class Guess:
    """One attempt. `name`: the key's id or the webhook's sender; `proof`: what counts as known once it was right.

    `anywhere`: the proof is the secret itself, so that showing it again passes from any address.
    """

    where: str
    address: str
    name: str
    proof: str
    anywhere: bool = False


def key_guess(where: str, address: str | None, key: str) -> Guess:
    """The attempt to be let in by a key."""
    named = _KEY_NAME.match(key)
    return Guess(where, network_of(address), named.group(1) if named else "", key, anywhere=True)


def webhook_guess(sender: str, address: str | None) -> Guess:
    """The attempt to be taken for a sender; signatures differ each time, so it is the address that gets known."""
    return Guess("webhook", network_of(address), sender, f"{sender} {network_of(address)}")


@dataclass
class Guesses:
    """Failures by address and by name, and what was right before (as digests, the longest unused forgotten first)."""

    by_address: Limiter = field(default_factory=Limiter)
    by_name: Limiter = field(default_factory=Limiter)
    _proven: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, guess: Guess) -> None:
        """Nothing where the attempt may be looked at; Problem 429 with Retry-After after too many wrong ones."""
        proven = self._is_proven(guess.proof)
        if proven and guess.anywhere:
            return
        wait = self.by_address.wait(guess.address, BY_ADDRESS)
        if guess.name and not proven:
            wait = max(wait, self.by_name.wait(guess.name, BY_NAME))
        if wait <= 0.0:
            return
        seconds = max(1, math.ceil(wait))
        _log.warning("guess_refused", where=guess.where, address=guess.address, name=guess.name, seconds=seconds)
        raise Problem(429, message("calls.too_many_wrong"), headers={"Retry-After": str(seconds)})

    def failed(self, guess: Guess) -> None:
        """Count a wrong attempt."""
        _log.warning("guess_failed", where=guess.where, address=guess.address, name=guess.name)
        self.by_address.spend(guess.address, BY_ADDRESS)
        if guess.name:
            self.by_name.spend(guess.name, BY_NAME)

    def right(self, guess: Guess) -> None:
        """Keep in mind that the attempt was right."""
        told = _digest(guess.proof)
        with self._lock:
            self._proven[told] = None
            self._proven.move_to_end(told)
            if len(self._proven) > _MOST_PROVEN:
                self._proven.popitem(last=False)

    def _is_proven(self, proof: str) -> bool:
        with self._lock:
            return _digest(proof) in self._proven


def network_of(address: str | None) -> str:
    """What counts as one caller: an IPv4 address, or the 64 bits that one IPv6 subscriber has to himself."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


def _digest(proof: str) -> bytes:
    return hashlib.sha256(proof.encode()).digest()
