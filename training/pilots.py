"""Pilots on the desk's own reps: who could take part, the draw, and what a finished pilot says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pandas as pd

from features import moments
from features.messages import message
from features.moments import DAY
from features.panel import is_sales
from features.tables import Tables
from models.drivers.panel_effects import EffectError
from models.drivers.pilot import LONGEST, PilotPlan, outcome_history, plan_pilot
from models.drivers.randomised import TwoArms, two_arms
from training.measure_frames import courses

HISTORY_MONTHS = 12
TENURE_BANDS = ("<1", "1-2", ">2")


@dataclass(frozen=True)
class PilotResult:
    """Comparison of the two arms of a pilot by lot, over `months_over` of its months; `n_left` reps are gone since."""

    arms: TwoArms
    months_over: int
    n_left: int


def eligible(tables: Tables, as_of: int, lever: str) -> list[str]:
    """Sales reps who are there at `as_of` and, of a course, have not completed it; in alphabetical order.

    A lever that no table names is a new one, which nobody has had yet.
    """
    reps = tables.reps.loc[is_sales(tables.reps)]
    here = (reps["hired_on"].to_numpy(dtype=np.int64) < as_of) & (reps["left_on"].to_numpy(dtype=np.int64) > as_of)
    had = courses(tables).get(lever)
    done: Collection[str] = had.starts if had is not None else ()
    return sorted(str(rep) for rep in reps.loc[here, "rep_id"] if rep not in done)


def design(
    tables: Tables,
    as_of: int,
    frame: pd.DataFrame,
    lever: str,
    seed: int,
    *,
    wanted: float | None = None,
) -> PilotPlan:
    """A pilot of `lever`, drawn by lot within team, tenure and output of the last months; `frame`: `rep_months`.

    The same seed, lever and reps give the same draw. EffectError where too few reps or months are there.
    """
    ids = eligible(tables, as_of, lever)
    if not len(frame):
        raise EffectError(message("pilot.no_month"))
    # A desk that grows varies more by now than it did at first; tenure stays in, as the two arms are read with it in.
    late = frame.loc[(frame["month"] > int(frame["month"].max()) - HISTORY_MONTHS).to_numpy()]
    history = outcome_history(
        late["rep_id"].to_numpy(dtype=object).astype(str),
        late["month"].to_numpy(dtype=np.int64),
        late["contribution"].to_numpy(dtype=np.float64),
    )
    reps = tables.reps.drop_duplicates("rep_id").set_index("rep_id").reindex(ids)
    years = (as_of - reps["hired_on"].to_numpy(dtype=np.float64)) / (365.25 * DAY)
    bands = np.array(TENURE_BANDS, dtype=object)[np.searchsorted([1.0, 2.0], years, side="right")]
    output = mean_before(frame, moments.month_of(as_of, tables.zone)).reindex(ids).to_numpy(dtype=np.float64)
    known = min(LONGEST, int(frame["month"].nunique()))
    return plan_pilot(
        ids,
        [reps["team_id"].to_numpy(dtype=object), bands],
        output,
        history,
        np.random.default_rng([seed, crc32(lever.encode())]),
        wanted=wanted,
        before=known,
    )


def mean_before(frame: pd.DataFrame, month: int) -> pd.Series:
    """Each rep's mean contribution over the six months before `month` (index), by rep_id."""
    rows = frame.loc[((frame["month"] >= month - LONGEST) & (frame["month"] < month)).to_numpy()]
    found: pd.Series = rows.groupby("rep_id")["contribution"].mean()
    return found


def result(frame: pd.DataFrame, first: Mapping[str, bool], start: int, months: int) -> PilotResult:
    """What a pilot says of the reps as they were drawn, whether or not they kept to it; `start`: its first month.

    EffectError where none of its months is over or an arm has fewer than two reps left.
    """
    inside = ((frame["month"] >= start) & (frame["month"] < start + months)).to_numpy()
    rows = frame.loc[inside]
    if not len(rows):
        raise EffectError(message("pilot.not_over", month=moments.month_text(start)))
    after = rows.groupby("rep_id")["contribution"].mean()
    ids = [rep for rep in sorted(first) if rep in after.index]
    before = mean_before(frame, start).reindex(ids)
    known = before.fillna(before.mean() if before.notna().any() else 0.0).to_numpy(dtype=np.float64)
    arms = two_arms(
        [float(first[rep]) for rep in ids],
        after.reindex(ids).to_numpy(dtype=np.float64),
        known,
        adjust=True,
    )
    return PilotResult(arms, int(rows["month"].nunique()), len(first) - len(ids))
