"""What takes seconds to work out, worked out once per state of knowledge, in the background where it takes long."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Final, TypeVar

T = TypeVar("T")
WAIT_SECONDS: Final = 6.0


class PreparingError(Exception):
    """The answer is being worked out; the page says so and asks again."""


class Prepared:
    """Results by owner (a state of knowledge) and key; they go when their owner goes.

    One thread works at a time, so that readers of pages do not take the machine from those who route leads.
    """

    def __init__(self, wait_seconds: float = WAIT_SECONDS) -> None:
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="fairlead-pages")
        self._made: weakref.WeakKeyDictionary[Any, dict[Hashable, Future[Any]]] = weakref.WeakKeyDictionary()

    def get(self, owner: object, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives for the owner, waited for; PreparingError where it takes longer than a reader waits.

        A failure is told to those who waited for it and tried again at the next call.
        """
        with self._lock:
            mine = self._made.setdefault(owner, {})
            future: Future[T] | None = mine.get(key)
            if future is None:
                mine[key] = future = self._pool.submit(make)
        wait([future], timeout=self._wait_seconds)
        if not future.done():
            raise PreparingError(str(key))
        try:
            return future.result()
        except BaseException:
            with self._lock:
                mine.pop(key, None)
            raise

    def close(self) -> None:
        """Stop working; what has begun is finished."""
        self._pool.shutdown(wait=False, cancel_futures=True)
