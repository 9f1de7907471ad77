"""The desk keeps nothing alive that it has done with: old states, old worlds, pieces of columns, remembered leads."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

import pandas as pd
import pytest

from features.moments import HOUR, WEEK, iso
from features.rows import upsert
from features.world import World
from serving.state import State
from serving.store import Reader


@pytest.fixture
def no_collector():
    """Without Python's collector of cycles, which may come hours late."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive(kind):
    """Objects of a class that are not freed, dead cycles included."""
    return [one for one in gc.get_objects() if type(one) is kind]


def new_leads(core, n):
    """Rows of `n` leads like those known, an hour apart after the end of the data."""
    end = core.state().board.as_of
    old = core.session.tables.leads.tail(n)
    return [
        ({"lead_id": f"N{i}", "created_at": iso(end + i * HOUR), "source": row.source}, end + i * HOUR)
        for i, row in enumerate(old.itertuples(), start=1)
    ]


def test_a_state_is_freed_with_its_world_as_soon_as_another_takes_over(core, no_collector):
    others = [*alive(World), *alive(State)]  # of other tests
    one = core()
    rows = new_leads(one, 5)
    for row, at in rows[:3]:
        one.assign(row, decided_at=at, lang="en")
    one.metrics_snapshot()  # looks at the state too, and must not hold on to it
    before = weakref.ref(one.state())
    assert before().board.world is not None, "the world must have been built, else nothing is shown"
    call = {"activity_id": "C1", "lead_id": rows[0][0]["lead_id"], "rep_id": one.state().board.rep_ids[0],
            "occurred_at": iso(rows[2][1])}  # fmt: skip
    one.add_events("activities", [call], sender="crm")
    one.assign(rows[3][0], decided_at=rows[3][1], lang="en")
    assert before() is None
    mine = [kept for kept in (*alive(World), *alive(State)) if not any(kept is other for other in others)]
    assert sorted(type(kept).__name__ for kept in mine) == ["State", "World"]


def test_weeks_that_are_over_are_forgotten(desk):
    one = desk(("R1", "R2"))
    first = one.core.state().board.as_of
    for week in range(20):
        at = first + (week + 1) * WEEK
        one.core.assign({"lead_id": f"L{week}", "created_at": iso(at), "source": "web"}, decided_at=at, lang="en")
    assert 0 < len(one.core.state().desk.book._weeks) <= 8
    at = first + WEEK  # a week forgotten: what was placed in it is counted from the store
    for late in ("A", "B", "C", "D"):
        one.core.assign({"lead_id": late, "created_at": iso(at), "source": "web"}, decided_at=at, lang="en")
    places = one.places()
    assert max(places.values()) == 2, "two places a rep and week"
    assert sum(places.values()) == 20 + 3


def test_text_columns_stay_in_few_pieces_however_many_rows_come_one_by_one(desk):
    tables = desk(("R1",)).core.session.tables
    row = tables.leads.iloc[[0]]
    for i in range(200):
        tables = upsert(tables, "leads", row.assign(lead_id=f"N{i}", source=f"s{i}"))
    leads = tables.leads
    assert len(leads) == 201
    assert max(leads[name].array.__arrow_array__().num_chunks for name in ("lead_id", "source")) <= 33
    assert leads["source"].tolist()[1:] == [f"s{i}" for i in range(200)]
    assert leads["source"].dtype == row["source"].dtype
    again = upsert(tables, "leads", row.assign(lead_id="N7", source="other"))
    assert again.leads["source"].tolist()[-1] == "other"
    assert len(again.leads) == 201
    assert isinstance(again.leads.index, pd.RangeIndex)


def test_what_was_drawn_is_read_in_parts(desk, monkeypatch):
    one = desk([{"rep_id": "R1", "weekly_capacity": 9}], toml="[routing]\nholdout = 0.5\n")
    asked = []
    read = Reader.drawn_after
    monkeypatch.setattr("serving.experiment._AT_ONCE", 2)
    monkeypatch.setattr(Reader, "drawn_after", lambda view, *given: asked.append(given) or read(view, *given))
    for i in range(4):
        one.assign(f"L{i}")
    assert one.core.measured().n_drawn == 4
    assert asked == [(0, 2), (2, 2), (4, 2)]
    one.assign("L4")
    assert one.core.measured().n_drawn == 5
    assert asked[3:] == [(4, 2), (5, 2)]


ALLOCATOR = """
import ctypes, sys
from serving.allocator import give_back, settle
if not settle():
    sys.exit("no glibc")
import pyarrow as pa
assert pa.default_memory_pool().backend_name == "system"
def resident():
    return int(next(l.split()[1] for l in open("/proc/self/status") if l.startswith("VmRSS"))) // 1024
library = ctypes.CDLL(None)
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
blocks = []
for _ in range(2_000):
    blocks.append(library.malloc(50_000))
    ctypes.memset(ctypes.c_void_p(blocks[-1]), 1, 50_000)
for block in blocks[:-1]:  # the last one keeps the heap from shrinking by itself
    library.free(block)
before = resident()
assert give_back()
print(before, resident())
"""


def test_free_pages_are_given_back_to_the_system():
    done = subprocess.run([sys.executable, "-c", ALLOCATOR], capture_output=True, text=True, check=False)
    if done.stderr.strip() == "no glibc":
        pytest.skip("the C library is not glibc: it keeps its own ways with free memory")
    before, after = map(int, done.stdout.split())
    assert before - after > 60, done.stderr
