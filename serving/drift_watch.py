"""Drift while serving: a child process looks every few hours, so that no request waits for it.

Its report is kept in `HOME/drift.json`, where pages and `/metrics` read it; `fairlead drift` and `fairlead retrain
--if-needed` without `--as-of` leave theirs there too.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features import moments
from serving.home import Home
from training.release import champion

if TYPE_CHECKING:
    from serving.session import Session

_LOG = logging.getLogger("fairlead")
_FIRST, _EVERY, _LOOK_SECONDS = 60.0, 6 * 3600.0, 60.0
_LONGEST_SECONDS = 3600.0
_CODE = "from serving.cli import main; main()"


def save_report(home: Home, report: Mapping[str, Any]) -> None:
    """Keep the newest report, all or nothing."""
    path = home.root / "drift.json"
    fresh = path.with_name(f".drift.{os.getpid()}.{threading.get_ident()}.tmp")
    fresh.write_text(json.dumps(report, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    fresh.replace(path)


def last_report(home: Home) -> dict[str, Any] | None:
    """The newest report; None before the first, or where the file cannot be read."""
    try:
        found = json.loads((home.root / "drift.json").read_bytes())
    except (OSError, ValueError):
        return None
    rows = found.get("findings") if isinstance(found, dict) else None
    return found if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else None


def drift_gauges(report: Mapping[str, Any] | None) -> dict[tuple[str, str], tuple[float, bool]] | None:
    """Change and alarm by kind and name; None without a report."""
    if report is None:
        return None
    return {
        (str(row["kind"]), str(row["name"])): (float(row["change"]), bool(row["alarm"]))
        for row in report["findings"]
        if row.get("change") is not None
    }


class DriftWatch:
    """Looks for drift in the background; `failed` counts looks of this process that came to nothing."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.failed = 0
        self._looked_at: tuple[str | None, float] = ("", 0.0)

    def start(self, stop: threading.Event) -> None:
        """Look a minute after the start, then every six hours and after each promotion, until `stop`."""
        threading.Thread(target=self._run, args=(stop,), name="fairlead-drift", daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        pause = _FIRST
        while not stop.wait(pause):
            pause = _LOOK_SECONDS
            if self.is_due():
                self.look(stop)

    def is_due(self) -> bool:
        """Whether hours have gone by, or another release has taken over since the last look."""
        version = champion(self._session.home.releases)
        before, at = self._looked_at
        return version is not None and (version != before or time.monotonic() - at >= _EVERY)

    def look(self, stop: threading.Event | None = None) -> None:
        """Look now, in a child process that gives way to everything else; the report is kept."""
        self._looked_at = (champion(self._session.home.releases), time.monotonic())
        with subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-P", "-c", _CODE, *self._arguments()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_give_way if os.name == "posix" else None,  # noqa: PLW1509 - it only lowers its own priority
        ) as child:
            said, why = self._answer(child, stop)
        try:
            save_report(self._session.home, json.loads(said))
        except (ValueError, OSError):
            self.failed += 1
            _LOG.warning("drift could not be looked at: %s", why.strip()[-300:] or "no answer")

    def _answer(self, child: subprocess.Popen[bytes], stop: threading.Event | None) -> tuple[bytes, str]:
        """What the child said and its complaints; it is ended with the service, and where it takes an hour."""
        begun = time.monotonic()
        while True:
            try:
                out, err = child.communicate(timeout=1.0)
            except subprocess.TimeoutExpired:
                if (stop is not None and stop.is_set()) or time.monotonic() - begun > _LONGEST_SECONDS:
                    child.kill()
                continue
            return out, err.decode(errors="replace")

    def _arguments(self) -> list[str]:
        session = self._session
        named: list[tuple[str, Path | str | None]] = [
            ("--home", session.home.root),
            ("--data", session.data),
            ("--config", session.config_path),
            ("--as-of", moments.iso(session.as_of, session.tables.zone) if session.as_of_given else None),
        ]
        return ["drift", "--json", *(str(part) for name, value in named if value is not None for part in (name, value))]


def _give_way() -> None:
    os.nice(10)
