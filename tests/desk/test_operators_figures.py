"""What /metrics says of prices and calibration: prices as the desk last solved them, errors in closed form."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

from features.moments import DAY, HOUR
from serving.calibration import HORIZON, Held, measure
from serving.http.app import create_app

AS_OF = 1_000 * DAY


def decided(n, p, *, at=AS_OF - HORIZON, owner="R1", rep="R1", start=0):
    return [
        SimpleNamespace(
            lead_id=f"L{start + i}", rep_id=rep, owner_rep_id=owner, decided_at=at, lead={"source": "web"},
            record={"win_probability": p},
        )
        for i in range(n)
    ]  # fmt: skip


class View:
    """Decisions, 30 a page."""

    def __init__(self, items):
        self.items = items

    def decisions(self, *, status, since, cursor, limit):
        assert status == "assigned"
        at = cursor or 0
        page = [one for one in self.items if one.decided_at >= since][at : at + 30]
        more = at + 30 if len(page) == 30 else None
        return SimpleNamespace(items=page, next_cursor=more)


@pytest.fixture
def judged(monkeypatch):
    """measure() over decisions and the leads that were won, where a share of all wins has come by now."""

    def run(items, won, come=1.0):
        rows = pd.DataFrame({"lead_id": [one.lead_id for one in items]})
        rows["outcome"] = ["won" if one in won else "open" for one in rows["lead_id"]]
        monkeypatch.setattr("serving.calibration.lead_outcomes", lambda *_: rows)
        times = SimpleNamespace(survival_win=lambda age, source: np.full(len(age), 1.0 - come))
        board = SimpleNamespace(
            unit=SimpleNamespace(conversion=SimpleNamespace(times=times)), as_of=AS_OF, tables=None,
            config=SimpleNamespace(leads=SimpleNamespace(dead_after_days=180)),
        )  # fmt: skip
        return measure(View(items), board)

    return run


def test_the_error_is_the_gap_of_each_bin_weighted_by_its_leads(judged):
    """100 leads at 0.3 of which 40 are won, 50 at 0.8 of which 40 are: (100 x 0.1 + 50 x 0) / 150."""
    items = decided(100, 0.3) + decided(50, 0.8, start=100)
    won = {f"L{i}" for i in range(40)} | {f"L{i}" for i in range(100, 140)}
    found = judged(items, won)
    assert found.n == 150
    assert found.error == pytest.approx(10 / 150)
    assert 0.03 < found.limit < 0.15, "chance alone gives some"


def test_only_wins_that_can_have_come_are_expected(judged):
    """Where half of all wins have come, leads of 0.8 are won in 40 of 100."""
    found = judged(decided(100, 0.8), {f"L{i}" for i in range(40)}, come=0.5)
    assert found.error == pytest.approx(0.0, abs=1e-12)


def test_what_is_young_or_was_given_on_is_not_judged(judged):
    sound = decided(60, 0.5)
    others = decided(50, 0.5, owner="R2", start=60) + decided(50, 0.5, at=AS_OF - HORIZON + HOUR, start=110)
    found = judged(sound + others, {f"L{i}" for i in range(30)})
    assert (found.n, found.error) == (60, pytest.approx(0.0, abs=1e-12))


def test_nothing_is_said_of_too_few(judged):
    assert judged(decided(39, 0.9), set()) is None
    assert judged(decided(60, 0.1), set()) is None
    assert judged(decided(120, 0.1), set()).error == pytest.approx(0.1)


def test_metrics_tell_prices_by_team_and_calibration_once_an_hour(desk, monkeypatch):
    made = desk([{"rep_id": f"R{i}", "team_id": f"T{i % 2}", "weekly_capacity": 3 * (i < 5)} for i in range(6)])
    core, state = made.core, made.core._state
    assert core.capacity_prices() == {}
    place = np.array([10.0, 1.0, 30.0, 2.0, 14.0, 99.0])
    state.desk.book._prices = ((), SimpleNamespace(place=place))
    looks = []
    monkeypatch.setattr(
        "serving.oversight.measure_calibration", lambda view, board: looks.append(1) or Held(150, 0.04, 0.06)
    )
    client = TestClient(create_app(core), base_url="http://127.0.0.1", client=("127.0.0.1", 5))
    text = client.get("/metrics").text
    for team, part, value in (("T0", "least", 10.0), ("T0", "median", 14.0), ("T0", "most", 30.0), ("T1", "most", 2.0)):
        assert f'fairlead_capacity_price{{part="{part}",team="{team}"}} {value}' in text or (
            f'fairlead_capacity_price{{team="{team}",part="{part}"}} {value}' in text
        )
    assert "99.0" not in text, "who has no places has no price"
    assert "fairlead_calibration_error 0.04" in text
    assert "fairlead_calibration_error_limit 0.06" in text
    client.get("/metrics")
    assert len(looks) == 1
    now = core.session.now()
    monkeypatch.setattr(core.session, "now", lambda: now + 2 * HOUR)
    client.get("/metrics")
    assert len(looks) == 2
