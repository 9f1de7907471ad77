"""How often a caller may call: a bucket of tokens each, so that one key in a loop leaves the desk to others too."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from features.messages import message
from serving.http.problems import Problem

_MOST_CALLERS: Final = 10_000


@dataclass(frozen=True)
class Rate:
    """`burst` calls at once, `per_second` on the long run."""

    burst: float
    per_second: float


KNOWN: Final = Rate(1_000, 200)
UNKNOWN: Final = Rate(30, 0.5)  # without a valid key there is nothing to do but to guess one


@dataclass
class Limiter:
    """Buckets by caller; the callers longest silent are forgotten first, which only fills their buckets."""

    monotonic: Callable[[], float] = time.monotonic
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, caller: str, rate: Rate) -> None:
        """Take one token; Problem 429 with Retry-After where the caller has none left."""
        tokens = self._change(caller, rate, 1.0)
        if tokens < 1.0:
            wait = max(1, round((1.0 - tokens) / rate.per_second))
            raise Problem(429, message("calls.too_many"), headers={"Retry-After": str(wait)})

    def spend(self, caller: str, rate: Rate) -> None:
        """Take one token where there is one."""
        self._change(caller, rate, 1.0)

    def wait(self, caller: str, rate: Rate) -> float:
        """Seconds until the caller has a token; 0 where he has one. Takes none, and remembers no new caller."""
        with self._lock:
            if caller not in self._buckets:
                return 0.0
        tokens = self._change(caller, rate, 0.0)
        return 0.0 if tokens >= 1.0 else (1.0 - tokens) / rate.per_second

    def _change(self, caller: str, rate: Rate, cost: float) -> float:
        """Tokens that the caller had before `cost` was taken off, where he had so many."""
        with self._lock:
            now = self.monotonic()
            tokens, when = self._buckets.pop(caller, (rate.burst, now))
            tokens = min(rate.burst, tokens + (now - when) * rate.per_second)
            self._buckets[caller] = (tokens - cost if tokens >= cost else tokens, now)
            if len(self._buckets) > _MOST_CALLERS:
                del self._buckets[next(iter(self._buckets))]
        return tokens
