"""What a run came from: the code's version and the lock file, where they can be known."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def commit_of() -> str:
    """Commit of the code in a checkout, else the installed version."""
    try:
        return _git("rev-parse", "HEAD")
    except (OSError, subprocess.SubprocessError):
        pass
    try:
        return version("fairlead")
    except PackageNotFoundError:
        return "unknown"


def is_dirty() -> bool:
    """Whether the checkout differs from its commit; False outside of one."""
    try:
        return bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return False


def _git(*words: str) -> str:
    # The installed package may lie inside somebody else's checkout: only our own root counts.
    if not (_ROOT / ".git").exists():
        raise FileNotFoundError(_ROOT / ".git")
    done = subprocess.run(  # noqa: S603 - fixed words
        ["git", "-C", str(_ROOT), *words],  # noqa: S607 - git from the PATH, as its user set it
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return done.stdout.strip()


def lock_hash() -> str:
    """SHA-256 of the lock file in a checkout, "" where there is none."""
    lock = _ROOT / "requirements.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else ""


def code_hash(*modules: str) -> str:
    """SHA-256 over the source of these modules, in the order given."""
    seen = hashlib.sha256()
    for name in modules:
        seen.update(inspect.getsource(importlib.import_module(name)).encode())
    return seen.hexdigest()
