"""Rebuilding an old run from tables as they are now, and telling what differs and why it may."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.config import Config
from features.errors import RequestError
from features.messages import in_language, message
from features.tables import Tables
from training import tracking
from training.pipeline import TrainRequest, train_release
from training.record import UNIT_EXPERIMENT
from training.release import Release, ReleaseError, read_release, sha256
from training.rolling import N_ORIGINS

# What may make a rebuilt release differ, in the order in which to look.
CAUSES = (
    "spec_fingerprint", "pairs_sha256", "panel_sha256", "commit", "dirty", "lock_sha256", "gate_sha256",
    "gate_code_sha256",
)  # fmt: skip


@dataclass(frozen=True)
class Reproduction:
    """What a rebuilt run came to. `parts`: files of the release that differ; `causes`: (name, then, now) of inputs."""

    release: str
    rebuilt: str
    parts: tuple[str, ...]
    causes: tuple[tuple[str, str, str], ...]

    @property
    def equal(self) -> bool:
        """Whether the bytes are the same."""
        return not self.parts

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        causes = [{"name": name, "then": then, "now": now} for name, then, now in self.causes]
        return {
            "release": self.release,
            "rebuilt": self.rebuilt,
            "equal": self.equal,
            "parts": list(self.parts),
            "causes": causes,
        }

    def as_text(self, lang: str = "en") -> str:
        """A paragraph in the language `en` or `zh`."""
        if self.equal:
            lines: list[str] = [message("reproduced.equal", release=self.release)]
        else:
            lines = [message("reproduced.differs", release=self.release, rebuilt=self.rebuilt)]
            lines += [f"  {name}" for name in self.parts]
        if self.causes:
            lines.append(message("reproduced.changed"))
            lines += [f"  {in_language(_cause(*cause), lang)}" for cause in self.causes]
        elif not self.equal:
            lines.append(message("reproduced.machine"))
        return "\n".join(in_language(line, lang) for line in lines)


def _cause(name: str, then: str, now: str) -> str:
    nothing = message("reproduced.nothing")
    return message("reproduced.cause", name=name, then=then or nothing, now=now or nothing)


def reproduce(
    tables: Tables,
    config: Config,
    releases: Path,
    mlruns: Path,
    run: str,
    fingerprints: Mapping[str, str] | None = None,
    progress: Callable[[str], None] | None = None,
    tracking_uri: str = "",
) -> Reproduction:
    """Train again with the moment, seed and trials of a run (an MLflow run id or a release), apart from the registry.

    RequestError where MLflow knows no such run, or the run never came to a release.
    """
    asked = run_parameters(mlruns, run, tracking_uri)
    if "release" not in asked:
        raise RequestError(message("run.no_release", run=run))
    with tempfile.TemporaryDirectory(prefix="fairlead-reproduce-") as scratch:
        place = Path(scratch)
        moment = int(asked["as_of_us"])
        request = TrainRequest(
            moment, int(asked["trials"]), "never", "reproduce", int(asked["seed"]), moment,
            win_probability=asked.get("win_probability", ""), contribution=asked.get("contribution", ""),
            folds=int(asked.get("folds", N_ORIGINS)),
        )  # fmt: skip
        summary = train_release(
            tables, config, place / "releases", place / "mlruns", request, fingerprints, progress
        ).as_dict()
        now = run_parameters(place / "mlruns", str(summary["mlflow_run"]))
        rebuilt = read_release(place / "releases", str(summary["release"]))
        parts = _different_parts(releases, asked["release"], rebuilt, place / "releases")
    names = [*sorted(name for name in {*asked, *now} if name.startswith("sha256_")), *CAUSES]
    causes = [(name, asked.get(name, ""), now.get(name, "")) for name in names]
    return Reproduction(
        asked["release"], rebuilt.version, parts, tuple(cause for cause in causes if cause[1] != cause[2])
    )


def run_parameters(mlruns: Path, run: str, tracking_uri: str = "") -> dict[str, str]:
    """Parameters of a run, named by its id or by the release that it came to."""
    if not tracking_uri and not (mlruns / "mlflow.db").exists():
        raise RequestError(message("run.no_store", folder=str(mlruns)))
    tracker = tracking.open_tracker(mlruns, tracking_uri)
    found = tracking.find_run(tracker, UNIT_EXPERIMENT, run)
    if found is None:
        raise RequestError(message("run.unknown", run=run))
    return found


def _different_parts(releases: Path, version: str, rebuilt: Release, scratch: Path) -> tuple[str, ...]:
    """Names of the files whose bytes differ; the old release is read by its manifest where it is whole."""
    if rebuilt.version == version:
        return ()
    folder = releases / version
    if not folder.is_dir():
        raise ReleaseError(message("run.release_gone", release=version, folder=str(releases)))
    old = {path.name: sha256(path.read_bytes()) for path in folder.iterdir()}
    new = {path.name: sha256(path.read_bytes()) for path in (scratch / rebuilt.version).iterdir()}
    return tuple(name for name in sorted({*old, *new} - {"manifest.json"}) if old.get(name) != new.get(name))
