"""Kernels in machine code, so that a read-only installation works too.

`compiled(function)(...)` where it is called compiles on first use and imports nothing before; `@compiled` serves
kernels that call each other. numba refuses `cache=True` where neither the package's folder nor the user's cache folder
can be written; the kernel is then compiled in memory, once a process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The machine-code version of `function`, kept on disk between processes where that is possible."""
    import numba

    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # "cannot cache function: no locator available"
        return numba.njit(nogil=True)(function)
