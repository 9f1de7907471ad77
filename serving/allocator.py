"""Memory given back to the system, as a service of many threads, which replaces large arrays often, must ask for.

Measured with `benchmarks.desk_memory` on 200 reps: once no old world is kept alive, what the process holds stays at
100 MB, but the memory of the process still rose, as freed memory stayed with the allocators.

- glibc gives threads heaps of their own, up to eight a core. A request may run in any of forty threads, so each heap
  comes to hold what the largest request ever needed, and a block in use near its end keeps all before it. Python's own
  lock lets one thread allocate at a time, so that two heaps serve as well.
- glibc shrinks a heap only from its end. `malloc_trim` gives back free pages wherever they lie.
- Arrow's own allocator, which holds the text columns, keeps a heap a thread likewise; the C library's serves instead.
"""

from __future__ import annotations

import ctypes
from typing import Final

import pyarrow as pa

_ARENA_MAX: Final = -8  # M_ARENA_MAX of glibc's malloc.h
_HEAPS: Final = 2


def settle() -> bool:
    """Few heaps for all threads, Arrow's columns among them; before threads are started.

    False where the C library is not glibc, which then keeps its own ways.
    """
    pa.default_memory_pool().release_unused()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        return bool(ctypes.CDLL(None).mallopt(_ARENA_MAX, _HEAPS))
    except (AttributeError, OSError):
        return False


def give_back() -> bool:
    """Give free pages back to the system: some milliseconds, so now and then, not at each request.

    False where there was nothing to give, or where the C library has no word for it.
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError):
        return False
