"""Trying a release in a child process before it is loaded: a broken model text kills the process that reads it."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

from features.messages import message
from training.release import ReleaseError
from training.unit import ModelUnit

_LOG = logging.getLogger("fairlead")
_SECONDS = 60
_CODE = """
import sys
from pathlib import Path
from training.release import read_release
from training.unit import ModelUnit
unit = ModelUnit.from_release(read_release(Path(sys.argv[1]), sys.argv[2]))
print(unit.version, unit.routing_mode)
"""


def probe_release(releases: Path, version: str) -> None:
    """Load the release in a child; ReleaseError where it fails, dies or hangs."""
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-P", "-c", _CODE, str(releases), version],
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # LightGBM quotes whatever bytes it stumbled over, past the end of a text too
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ReleaseError(message("release.slow", version=version, seconds=_SECONDS)) from error
    if done.returncode != 0 or version not in done.stdout:
        last = "".join(c for c in (done.stderr.strip().splitlines() or ["no message"])[-1] if c.isprintable())[:300]
        raise ReleaseError(message("release.broken", version=version, why=last))


def tree_scorer(unit: ModelUnit) -> str | None:
    """What answers the unit's trees: `bit_masks` where they equal LightGBM on a check, else `lightgbm`; None without
    trees. The check is made once a release, when this is first asked."""
    residual = unit.conversion.residual
    if residual is None:
        return None
    if residual.trees is None:
        _LOG.warning("release %s: its trees differ from LightGBM by bit masks, so LightGBM answers them", unit.version)
        return "lightgbm"
    return "bit_masks"
