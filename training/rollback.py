"""Rolling back: the release that was champion before takes charge again, within one file write."""

from __future__ import annotations

from pathlib import Path

from features.errors import RequestError
from training.release import Promotion, champion, promote, promotions, read_release


def roll_back(releases: Path, mlruns: Path, reason: str, now: int) -> str:
    """Version now in charge. Its hashes are checked before it takes over; aliases follow where MLflow is there."""
    in_charge = champion(releases)
    earlier = [p for p in promotions(releases) if p.version != in_charge]
    if in_charge is None or not earlier:
        raise RequestError("there is no earlier promoted release to go back to")
    before = earlier[-1]
    read_release(releases, before.version)
    promote(releases, Promotion(before.version, before.data_until, "rollback", reason, now))
    if (mlruns / "mlflow.db").exists():
        from training.tracking import CONTRIBUTION_MODEL, CONVERSION_MODEL, move_alias_to_release, open_tracker

        tracker = open_tracker(mlruns)
        for name in (CONVERSION_MODEL, CONTRIBUTION_MODEL):
            move_alias_to_release(tracker, name, before.version)
    return before.version
