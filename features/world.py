"""Everything that is needed to answer features at any moment, built once from the tables.

One entry for training, backtest and service: `build`. Every event used was known before the moment asked about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import ownership
from features.codes import codes_of, rep_index, vocabulary_of
from features.desk import Desk, index_leads
from features.errors import RequestError
from features.kept import Kept, Knowledge, activities_of, contacts_of, known_after, spans_of
from features.lead_features import lead_categories, lead_columns, pair_columns
from features.moments import iso
from features.ownership import Contacts, LeadSpans, known_hand_overs
from features.rep_features import Columns, rep_columns
from features.rep_logs import (
    ActivityLogs,
    RepLogs,
    absences_of,
    contact_logs,
    deal_log,
    due_log,
    feedback_log,
    lead_logs,
    outcome_logs,
    rep_statics,
    training_logs,
)
from features.spec import FeatureSpec
from features.tables import Tables

Ints = npt.NDArray[np.int64]
T = TypeVar("T")


def build(
    tables: Tables, as_of: int, spec: FeatureSpec, desk: Desk | None = None, before: World | None = None
) -> World:
    """The world as `as_of` knows it: for training, for each origin of a backtest, and for the service alike.

    `before`: a world of the same spec; parts made from the same rows are taken over. Only speed depends on it.
    """
    follows = before if before is not None and desk is None and before.spec is spec else None
    told = known_after(tables, as_of, None if follows is None else follows.told)
    return World(told.known, spec, as_of, desk, told, follows)


def bucket(tables: Tables, rep_ids: list[str]) -> Tables:
    """The rows that features of these reps need: their own, and the whole story of the leads they ever had.

    With the `Desk` of all tables beside it, a bucket's features equal those of the whole to the bit.
    """
    own = pd.Index(sorted(set(rep_ids)), dtype=object)
    leads, given = tables.leads, tables.assignments
    theirs = given["lead_id"][_among(given["rep_id"], own)], leads["lead_id"][_among(leads["sourced_by_rep_id"], own)]
    had = vocabulary_of(pd.concat(theirs).drop_duplicates())
    frames = {}
    for name, frame in tables.frames.items():
        kept = np.zeros(len(frame), dtype=bool)
        if "lead_id" in frame.columns:
            kept |= _among(frame["lead_id"], had)
        if "rep_id" in frame.columns:
            kept |= _among(frame["rep_id"], own)
        frames[name] = frame.loc[kept].reset_index(drop=True)
    # Hires break ties between hand-overs of one moment, so the others of these leads stay listed.
    others = own.union(vocabulary_of(frames["assignments"]["rep_id"].drop_duplicates()))
    frames["reps"] = tables.reps.loc[_among(tables.reps["rep_id"], others)].reset_index(drop=True)
    return tables.with_frames(**frames)


def _among(values: pd.Series, vocabulary: pd.Index) -> npt.NDArray[np.bool_]:
    """Which values are in the vocabulary, bool (n,)."""
    return codes_of(vocabulary, values) >= 0


class World:
    """Features of reps, leads and pairs at any moment up to `as_of` (default: just after the newest event).

    `desk` are the logs of the whole desk where `tables` hold only a bucket of reps. Text ids are looked up; a rep or
    lead that the tables do not hold has no history: counts are 0, means NaN, rates the desk's.
    """

    def __init__(
        self,
        tables: Tables,
        spec: FeatureSpec,
        as_of: int | None = None,
        desk: Desk | None = None,
        told: Knowledge | None = None,
        before: World | None = None,
    ) -> None:
        self.tables = tables
        self.told = told
        self.spec = spec
        self.as_of = tables.newest() if as_of is None else as_of
        self.kept: Kept = Kept(None if before is None else before.kept)
        self.reps = self.kept.same("reps", rep_index(self.tables), pd.Index.equals)
        self._build(desk)
        self.kept.done()

    def _build(self, given: Desk | None) -> None:
        """Desk and logs, each from the rows that it is made from."""
        kept, tables, spec, reps = self.kept, self.tables, self.spec, self.reps
        leads, deals = tables.leads, tables.deals
        index = kept.part("leads", (leads,), lambda: index_leads(leads)) if given is None else given.leads
        ids, days = index.ids, spec.dead_after_days
        overs = kept.part(
            "overs", (leads, tables.assignments, tables.reps, ids, reps), lambda: known_hand_overs(tables, ids, reps)
        )
        deal_rows = kept.part("deal rows", (deals, ids), lambda: ownership.deal_events(tables, ids))
        done = self._follow("activities", (ids, reps), lambda was: activities_of(tables.activities, ids, reps, was))
        every = self._follow("spans", (overs, deal_rows), lambda was: spans_of(overs, done, deal_rows, days, was))
        spans = kept.same("known spans", every.until_moment(self.as_of), LeadSpans.equals)
        found = self._follow("contacts", (overs, reps), lambda was: contacts_of(overs, done, len(reps), was))
        contacts = kept.same("known contacts", found, Contacts.equals)
        desk = given or kept.part("desk", (index, spans, leads, deals), lambda: Desk(tables, days, spans, index))
        self.desk = desk
        contact = kept.part("contact logs", (contacts,), lambda: contact_logs(contacts))
        self.logs = RepLogs(
            reps=reps,
            leads=kept.part("lead logs", (desk, spans), lambda: lead_logs(desk, spans)),
            outcomes=kept.part("outcomes", (desk, spans), lambda: outcome_logs(desk, spans)),
            activities=ActivityLogs(
                done.log, contact[0], kept.part("due", (overs,), lambda: due_log(overs)), contact[1]
            ),
            deals=kept.part("deals", (deals, reps), lambda: deal_log(tables, reps)),
            trainings=kept.part("trainings", (tables.trainings, reps), lambda: training_logs(tables, reps, spec)),
            feedback=kept.part("feedback", (tables.feedback, reps), lambda: feedback_log(tables, reps)),
            absences=kept.part("absences", (tables.absences, reps), lambda: absences_of(tables, reps)),
            statics=kept.part("statics", (tables.reps, reps), lambda: rep_statics(tables, reps)),
        )

    def _follow(self, name: str, same: tuple[object, ...], make: Callable[[T | None], T]) -> T:
        """A part made from the one of before, where that had the same leads, reps and rows; else from nothing."""
        was = self.kept.before(name)
        alike = self.kept.part(f"{name} of", same, object) is self.kept.before(f"{name} of")
        return self.kept.part(name, (object(),), lambda: make(was if alike else None))  # type: ignore[arg-type]

    def rep_features(
        self, rep_ids: npt.ArrayLike, moments: npt.ArrayLike | int, clock: npt.ArrayLike | int | None = None
    ) -> pd.DataFrame:
        """Float64 frame (n, spec.rep_numeric) of each rep at his moment; a single moment serves all.

        `clock` (default: the moments) is the time of the decision, later than the data where tables are old; it
        rules tenure and absence. RequestError where a moment is later than `as_of`.
        """
        reps, asked, now = self._asked(rep_ids, moments, clock)
        columns = rep_columns(self.logs, self.desk, self.spec, reps, asked, now)
        return pd.DataFrame({name: columns[name] for name in self.spec.rep_numeric}, copy=False)

    def rep_categories(self, rep_ids: npt.ArrayLike, moments: npt.ArrayLike | int) -> pd.DataFrame:
        """Frame (n, spec.rep_categorical str) of each rep at his moment, "" where nothing is known of him."""
        reps, asked, _ = self._asked(rep_ids, moments, None)
        known = self.logs.statics.known_at[reps] < asked
        columns = {name: np.where(known, self.logs.statics.texts[name][reps], "") for name in self.spec.rep_categorical}
        return pd.DataFrame({name: pd.Series(values, dtype="str") for name, values in columns.items()})

    def lead_features(self, leads: pd.DataFrame, moments: npt.ArrayLike | int) -> pd.DataFrame:
        """Frame (n, spec.lead_numeric float64 + spec.lead_categorical str) of leads laid out as the table."""
        asked = self._moments(moments, len(leads))
        columns = lead_columns(self.desk, self.spec, leads, asked, self.tables.zone)
        numbers = {name: columns[name] for name in self.spec.lead_numeric}
        return pd.DataFrame({**numbers, **lead_categories(self.spec, leads)}, copy=False)

    def pair_features(self, leads: pd.DataFrame, rep_ids: npt.ArrayLike, moments: npt.ArrayLike | int) -> pd.DataFrame:
        """Float64 frame (n, spec.pair_numeric) of leads[i] in the hands of rep_ids[i]; one lead serves all reps."""
        reps, asked, _ = self._asked(rep_ids, moments, None)
        if len(leads) == 1 and len(reps) != 1:
            leads = leads.iloc[np.zeros(len(reps), dtype=np.int64)]
        columns = pair_columns(self.logs, self.desk, leads, reps, asked)
        return pd.DataFrame({name: columns[name] for name in self.spec.pair_numeric}, copy=False)

    def rep_codes(self, rep_ids: npt.ArrayLike) -> Ints:
        """Codes of rep ids; int64 codes are taken as they are, unknown ids are -1."""
        given = np.asarray(rep_ids)
        if np.issubdtype(given.dtype, np.integer):
            return given.astype(np.int64)
        return codes_of(self.reps, given.astype(object))

    def _asked(
        self, rep_ids: npt.ArrayLike, moments: npt.ArrayLike | int, clock: npt.ArrayLike | int | None
    ) -> tuple[Ints, Ints, Ints]:
        reps = self.rep_codes(rep_ids)
        asked = self._moments(moments, len(reps))
        now = asked if clock is None else np.broadcast_to(np.asarray(clock, dtype=np.int64), asked.shape)
        return reps, asked, now

    def _moments(self, moments: npt.ArrayLike | int, n: int) -> Ints:
        asked = np.ascontiguousarray(np.broadcast_to(np.asarray(moments, dtype=np.int64), (n,)))
        if n and int(asked.max()) > self.as_of:
            when = iso(int(asked.max()), self.tables.zone)
            raise RequestError(
                f"features asked for {when}, later than what is known ({iso(self.as_of, self.tables.zone)}); "
                "build the world at a later as_of"
            )
        return asked


__all__ = ["Columns", "World", "bucket", "build"]
