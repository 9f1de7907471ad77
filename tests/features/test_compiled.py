"""Kernels compile on first use, also where nothing can be written."""

from __future__ import annotations

import subprocess
import sys

import numba

from features.compiled import compiled


def doubled(x):
    return 2 * x


def test_a_kernel_is_compiled_once_and_right():
    assert compiled(doubled)(4) == 8 == doubled(4)
    assert compiled(doubled) is compiled(doubled)


def test_without_any_place_for_a_cache_it_compiles_in_memory(monkeypatch):
    """numba says so by a RuntimeError where neither package nor user folder is writable."""
    whole = numba.njit

    def read_only(*args, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return whole(*args, **options)

    monkeypatch.setattr(numba, "njit", read_only)
    compiled.cache_clear()
    assert compiled(doubled)(3) == 6
    compiled.cache_clear()


def test_importing_routing_loads_no_compiler():
    code = "import sys, models.routing.repriced, models.routing.offpolicy; print('numba' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
