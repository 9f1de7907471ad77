"""A small folder of legal tables, and ways to break it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from features.config import Config
from features.errors import DataError, Fault
from features.sources import load_tables

GOOD: Mapping[str, str] = {
    "reps": "rep_id,name,hired_on,left_on,territories,weekly_capacity\n"
    "007,Bond,2020-01-15,,north;south,5\n"
    "NA,Nadia,2021-03-01,2025-06-30,,\n"
    "null,Nils,2022-05-01,,,0\n",
    "leads": "lead_id,created_at,source,territory,size,vip\n"
    "L1,2025-01-02T09:00:00,web_ad,north,10,yes\n"
    "L2,2025-01-03 10:30:00.5,转介绍,,,no\n"
    "None,2025-01-04T00:00:00+08:00,event,south,7.5,\n",
    "assignments": "lead_id,rep_id,assigned_at\nL1,007,2025-01-02T10:00:00Z\nL2,NA,2025-01-03\nNone,null,2025-01-05\n",
    "deals": "deal_id,lead_id,rep_id,closed_at,status,amount\n"
    "D1,L1,007,2025-02-01T12:00:00,won,1234.56\n"
    "D2,L2,NA,2025-02-02,lost,0\n",
    "activities": "activity_id,lead_id,rep_id,occurred_at,kind,minutes\nA1,L1,007,2025-01-02T11:00:00,call,3.5\n",
    "trainings": "rep_id,course,assigned_on,skill,completed_on,hours,score\n"
    "007,Basics,2025-01-10,closing,2025-01-20,8,91\n",
    "targets": "rep_id,month,amount\n007,2025-02,5000\n",
    "feedback": "feedback_id,rep_id,received_at,score,lead_id,complaint\n"
    "F1,007,2025-03-01,9,L1,false\nF2,007,2025-03-02,2,,true\n",
    "absences": "rep_id,starts_on,ends_on\n007,2025-04-01,2025-04-05\n",
    "stages": "lead_id,stage,entered_at,expected_amount,expected_close_on\nL1,demo,2025-01-10,900,2025-02-15\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with every table, all legal."""
    data = tmp_path / "data"
    data.mkdir()
    for name, text in GOOD.items():
        (data / f"{name}.csv").write_text(text, encoding="utf-8")
    return data


@pytest.fixture
def faults_of(folder: Path) -> Callable[..., list[Fault]]:
    """Writes the given tables over the good ones and returns the faults of the folder."""

    def find(**texts: str | bytes | None) -> list[Fault]:
        for name, text in texts.items():
            path = folder / f"{name}.csv"
            if text is None:
                path.unlink()
            else:
                path.write_bytes(text.encode() if isinstance(text, str) else text)
        with pytest.raises(DataError) as caught:
            load_tables(folder, Config())
        return list(caught.value.faults)

    return find
