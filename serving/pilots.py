"""The list of a pilot as a file: written for those who run it, read back when it is over."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from features import moments
from features.errors import RequestError, system_words
from features.messages import message
from models.drivers.pilot import PilotPlan
from serving.pages.exports import csv_bytes

COLUMNS: Final = ("rep_id", "arm", "lever", "first_month", "months", "block")
FIRST, LATER = "first", "later"


@dataclass(frozen=True)
class PilotFile:
    """A pilot as it was drawn: `first` says of each rep whether he got `lever` at once, from month `start` (index)."""

    lever: str
    start: int
    months: int
    first: dict[str, bool]


def pilot_bytes(plan: PilotPlan, lever: str, start: int) -> bytes:
    """The list as CSV, first arm first; no cell can become a formula."""
    rows: list[list[str | float | int | None]] = [
        [rep, FIRST if first else LATER, lever, moments.month_text(start), plan.chosen.months, block]
        for rep, first, block in sorted(
            zip(plan.ids, plan.first, plan.block, strict=True), key=lambda r: (not r[1], r[0])
        )
    ]
    return csv_bytes(COLUMNS, rows)


def read_pilot(path: Path) -> PilotFile:
    """A list that `pilot_bytes` wrote, read back. RequestError names the file, row and value that is wrong."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise RequestError(message("pilot.list_unread", path=str(path), why=system_words(error))) from None
    except UnicodeDecodeError:
        raise RequestError(message("pilot.list_no_text", path=str(path))) from None
    rows = list(csv.DictReader(io.StringIO(text)))
    missing = [name for name in COLUMNS[:5] if not rows or name not in rows[0]]
    if missing:
        raise RequestError(message("pilot.list_columns", path=str(path), columns=tuple(missing)))
    first: dict[str, bool] = {}
    for at, row in enumerate(rows, 2):
        rep = (row["rep_id"] or "").removeprefix("'")
        if row["arm"] not in (FIRST, LATER):
            raise RequestError(
                message("pilot.list_arm", path=str(path), row=at, arm=row["arm"], first=FIRST, later=LATER)
            )
        if not rep or rep in first:
            raise RequestError(message("pilot.list_rep", path=str(path), row=at, rep=rep))
        first[rep] = row["arm"] == FIRST
    return PilotFile(_one(path, rows, "lever").removeprefix("'"), _month(path, rows), _months(path, rows), first)


def _one(path: Path, rows: list[dict[str, str]], name: str) -> str:
    values = sorted({row[name] or "" for row in rows})
    if len(values) != 1 or not values[0]:
        raise RequestError(message("pilot.list_same", path=str(path), column=name, values=tuple(map(repr, values[:3]))))
    return values[0]


def _month(path: Path, rows: list[dict[str, str]]) -> int:
    text = _one(path, rows, "first_month")
    try:
        return moments.parse_month(text)
    except ValueError:
        raise RequestError(message("pilot.list_month", path=str(path), month=text)) from None


def _months(path: Path, rows: list[dict[str, str]]) -> int:
    text = _one(path, rows, "months")
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 60):
        raise RequestError(message("pilot.list_months", path=str(path), months=text))
    return int(text)
