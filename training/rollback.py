"""Rolling back: the release that was champion before takes charge again, within one file write."""

from __future__ import annotations

from pathlib import Path

from features.errors import RequestError
from features.messages import message
from training.release import Promotion, champion, promote, promotions, read_release, standing


def roll_back(releases: Path, mlruns: Path, reason: str, now: int) -> str:
    """Version now in charge; the one left is withdrawn until it is promoted again.

    The hashes of the older one are checked before it takes over; aliases follow where MLflow is there. RequestError
    where there is nothing to go back to.
    """
    in_charge = champion(releases)
    earlier = [entry for entry in standing(promotions(releases)) if entry.version != in_charge]
    if in_charge is None or not earlier:
        raise RequestError(message("rollback.nothing"))
    before = earlier[-1]
    read_release(releases, before.version)
    promote(releases, Promotion(before.version, before.data_until, "rollback", reason, now, in_charge))
    if (mlruns / "mlflow.db").exists():
        from training.tracking import follow_record, open_tracker

        follow_record(open_tracker(mlruns), [entry.version for entry in standing(promotions(releases))])
    return before.version
