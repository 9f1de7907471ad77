"""The checked tables in memory, and what of them a moment knows.

Every frame holds typed columns, so that nothing above this floor parses again:

- text: `str`, missing is "";
- dates and times: int64 microseconds UTC (a date is its 00:00 in the zone), missing is `moments.NEVER`;
- months: int64 month index; money: int64 cents; numbers and booleans (0/1): float64, missing is NaN;
- `known_at`: int64, the moment from which a *later* moment knows the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from features import moments
from features.contract import CLOCK_COLUMNS, SCHEMA, Column, TableSchema


def empty_frame(schema: TableSchema) -> pd.DataFrame:
    """A frame of no rows with the schema's columns and `known_at`, typed."""
    columns: dict[str, pd.Series] = {c.name: pd.Series([], dtype=dtype_of(c)) for c in schema.columns}
    columns["known_at"] = pd.Series([], dtype="int64")
    return pd.DataFrame(columns)


def dtype_of(column: Column) -> str:
    """Pandas dtype that holds a column of this kind."""
    if column.kind in ("date", "time", "month", "money"):
        return "int64"
    if column.kind in ("number", "integer", "boolean"):
        return "float64"
    return "str"


@dataclass(frozen=True)
class Tables:
    """All tables of one organisation, checked and typed; missing optional ones are empty frames.

    `zone` rules days, weeks and months; `currency` is for pages only.
    """

    frames: Mapping[str, pd.DataFrame]
    zone: str = "UTC"
    currency: str = ""

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self.frames[name]

    @property
    def reps(self) -> pd.DataFrame:
        return self.frames["reps"]

    @property
    def leads(self) -> pd.DataFrame:
        return self.frames["leads"]

    @property
    def assignments(self) -> pd.DataFrame:
        return self.frames["assignments"]

    @property
    def activities(self) -> pd.DataFrame:
        return self.frames["activities"]

    @property
    def stages(self) -> pd.DataFrame:
        return self.frames["stages"]

    @property
    def deals(self) -> pd.DataFrame:
        return self.frames["deals"]

    @property
    def trainings(self) -> pd.DataFrame:
        return self.frames["trainings"]

    @property
    def targets(self) -> pd.DataFrame:
        return self.frames["targets"]

    @property
    def feedback(self) -> pd.DataFrame:
        return self.frames["feedback"]

    @property
    def absences(self) -> pd.DataFrame:
        return self.frames["absences"]

    def newest(self) -> int:
        """Moment just after the newest thing that happened; ALWAYS + 1 where nothing has."""
        latest = moments.ALWAYS
        for table, column in CLOCK_COLUMNS:
            values = self.frames[table][column].to_numpy(dtype=np.int64)
            values = values[values != moments.NEVER]
            if len(values):
                latest = max(latest, int(values.max()))
        return latest + 1

    def known(self, as_of: int) -> Tables:
        """The tables as `as_of` knows them: rows of an earlier moment, later leaving and completion masked.

        `left_on` is known on that day; a course's completion, hours and score from the moment after `completed_on`.
        A second call with the same moment changes nothing.
        """
        frames = {name: _rows_known(frame, as_of) for name, frame in self.frames.items()}
        reps = frames["reps"]
        if len(reps):
            left = reps["left_on"].to_numpy(dtype=np.int64)
            frames["reps"] = reps.assign(left_on=np.where(left <= as_of, left, moments.NEVER))
        trainings = frames["trainings"]
        if len(trainings):
            done = trainings["completed_on"].to_numpy(dtype=np.int64) < as_of
            frames["trainings"] = trainings.assign(
                completed_on=np.where(done, trainings["completed_on"].to_numpy(), moments.NEVER),
                hours=np.where(done, trainings["hours"].to_numpy(), np.nan),
                score=np.where(done, trainings["score"].to_numpy(), np.nan),
            )
        return replace(self, frames=frames)

    def with_frames(self, **frames: pd.DataFrame) -> Tables:
        """A copy in which the named frames are replaced."""
        return replace(self, frames={**self.frames, **frames})


def _rows_known(frame: pd.DataFrame, as_of: int) -> pd.DataFrame:
    """The rows of an earlier moment; the frame itself where these are all, which is told by what is made from it."""
    known = frame["known_at"].to_numpy() < as_of
    if known.all() and isinstance(frame.index, pd.RangeIndex):
        return frame
    return frame.loc[known].reset_index(drop=True)


def empty_tables(zone: str = "UTC") -> Tables:
    """Tables without a row."""
    return Tables({name: empty_frame(schema) for name, schema in SCHEMA.items()}, zone)
