"""Kernels compiled on first use, so that importing costs nothing and a read-only installation works.

numba refuses `cache=True` where neither the package's folder nor the user's cache folder can be written;
the kernel is then compiled in memory, once a process.
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
        return numba.njit(cache=True)(function)
    except RuntimeError:  # "cannot cache function: no locator available"
        return numba.njit(function)
