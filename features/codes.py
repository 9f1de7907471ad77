"""Texts as positions in a vocabulary: what the engine counts by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.tables import Tables

Ints = npt.NDArray[np.int64]


def vocabulary_of(values: pd.Series) -> pd.Index:
    """The texts as they stand, as an index to look them up in; they must differ."""
    return pd.Index(np.asarray(values, dtype=object), dtype=object)


def rep_index(tables: Tables) -> pd.Index:
    """Every rep id that any table names, sorted: a rep counts by what he does, listed or not."""
    named: set[str] = set()
    for table in ("reps", "assignments", "activities", "deals", "trainings", "feedback", "absences"):
        named.update(np.asarray(tables[table]["rep_id"].unique(), dtype=object))
    named.update(np.asarray(tables.leads["sourced_by_rep_id"].unique(), dtype=object))
    return pd.Index(sorted(named - {""}), dtype=object)


def codes_of(vocabulary: pd.Index, values: pd.Series | pd.Index | npt.NDArray[np.object_]) -> Ints:
    """Position of each text in `vocabulary`, int64 (n,); -1 where it is not there."""
    wanted = np.asarray(values, dtype=object)
    return np.asarray(vocabulary.get_indexer(pd.Index(wanted, dtype=object)), dtype=np.int64)
