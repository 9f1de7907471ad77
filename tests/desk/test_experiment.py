"""Policy against hold-out from the decision log and what became of its leads: gain, interval, alarm, plain words."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from features import moments
from features.moments import DAY, WEEK
from serving.cli import app
from serving.experiment import Drawn, measure
from serving.pages.site import create_site
from serving.texts import LANGUAGES

MONDAY = "2026-03-02"
HOLDOUT = "[routing]\nholdout = 0.4\nexploration = 0.0\n"
REPS = [{"rep_id": "R1", "weekly_capacity": 500}, {"rep_id": "R2", "weekly_capacity": 500}]


def decided(made, n=160):
    """n decisions of one Monday; ids by arm."""
    for i in range(n):
        made.assign(f"L{i}", f"{MONDAY} 09:{i % 60:02d}")
    with made.core.store.read() as view:
        items = view.decisions(limit=500).items
    held_out = [one.lead_id for one in items if one.policy == "holdout"]
    return held_out, [one.lead_id for one in items if one.policy != "holdout"]


def won(made, lead_ids, day="2026-03-09", amount=100):
    made.send(
        "deals",
        *[
            {"deal_id": f"D{one}", "lead_id": one, "rep_id": "R1", "closed_at": f"{day}T10:00:00", "status": "won",
             "amount": amount}
            for one in lead_ids
        ],
    )  # fmt: skip


def passes(made, day="2026-08-31"):
    """Something comes in much later, so that the data end there."""
    made.send("leads", {"lead_id": f"later-{day}", "created_at": f"{day}T09:00:00", "source": "web"})


def test_a_gain_is_measured_in_wins_and_money_from_the_log_and_the_deals(desk):
    made = desk(REPS, toml=HOLDOUT)
    held_out, policy = decided(made)
    won(made, policy[: len(policy) * 3 // 4])
    assert made.core.experiment()["status"] == "too_few"  # the outcomes are known, but nothing is old enough
    passes(made)
    found = made.core.experiment()
    assert (found["status"], found["n_policy"], found["n_holdout"]) == ("measured", len(policy), len(held_out))
    wins, value = found["wins"], found["value"]
    # Every score in closed form: wins over the chance of the arm, the hold-out never wins.
    assert wins["uplift"] == pytest.approx((len(policy) * 3 // 4) / 0.6 / 160)
    assert value["uplift"] == pytest.approx(100 * wins["uplift"])
    assert wins["ci_low"] < wins["uplift"] < wins["ci_high"]
    assert (wins["verdict"], found["alarm"]) == ("gain", False)
    assert found["n_waiting"] == 0


def test_what_is_won_after_the_horizon_does_not_count_and_younger_decisions_wait(desk):
    made = desk(REPS, toml=HOLDOUT)
    _, policy = decided(made)
    won(made, policy, day="2026-08-30")
    passes(made)
    assert made.core.experiment()["wins"]["uplift"] == 0.0
    made.assign("young", "2026-08-31 10:00")
    assert made.core.experiment()["n_waiting"] == 1


def test_leads_that_were_not_drawn_and_erased_ones_are_left_out(desk):
    made = desk(REPS, toml=HOLDOUT)
    made.assign("own", f"{MONDAY} 08:00", sourced_by_rep_id="R2")
    held_out, _ = decided(made, 90)
    won(made, [held_out[0]])
    passes(made)
    before = made.core.experiment()
    assert before["n_drawn"] == 90
    assert before["wins"]["uplift"] == pytest.approx(-1 / 0.4 / 90)
    with made.core.store.transaction() as tx:
        tx.erase_lead(held_out[0], at=made.clock, by="admin")
    after = made.core.experiment()
    assert (after["n_drawn"], after["wins"]["uplift"]) == (89, 0.0)


def test_without_a_hold_out_it_says_so(desk):
    made = desk(REPS)
    decided(made, 5)
    for lang in LANGUAGES:
        found = made.core.experiment(lang=lang)
        assert (found["status"], found["wins"], found["alarm"]) == ("no_holdout", None, False)
        assert "holdout" in found["text"][0]


def test_a_hold_out_switched_off_later_is_still_read_and_the_fact_told(desk):
    made = desk(REPS, toml=HOLDOUT)
    decided(made)
    passes(made)
    (made.data / "fairlead.toml").write_text("[routing]\nholdout = 0.0\n", encoding="utf-8")
    found = made.reopen().core.experiment(lang="en")
    assert found["status"] == "measured"
    assert found["text"][-1] == "The hold-out is switched off now, so nothing new is learnt."


def test_the_alarm_sounds_in_metrics_and_on_pages_when_the_gain_is_gone(desk):
    """First a strong gain, then as strong a loss: the interval comes down to 0 after it lay above."""
    made = desk(REPS, toml=HOLDOUT)
    held_out, policy = decided(made, 200)
    passes(made)
    site = create_site(made.core)
    local = {"host": "127.0.0.1"}
    with TestClient(site, base_url="http://127.0.0.1", client=("127.0.0.1", 5)) as client:
        half = [f"L{i}" for i in range(100)]
        won(made, [one for one in policy if one in half])
        text = client.get("/metrics", headers=local).text
        assert "fairlead_uplift_alarm 0.0" in text
        assert made.core.experiment()["wins"]["verdict"] == "gain"
        won(made, [one for one in held_out if one not in half])
        found = client.get("/v1/experiment").json()
        assert (found["wins"]["verdict"], found["alarm"]) == ("gain_gone", True)
        text = client.get("/metrics", headers=local).text
        assert "fairlead_uplift_alarm 1.0" in text
        assert f'fairlead_uplift_leads{{arm="holdout"}} {float(len(held_out))}' in text
        assert 'fairlead_uplift{outcome="wins",part="ci_low"}' in text
        for lang, words in (("en", "is gone"), ("zh", "已经消失")):
            page = client.get(f"/experiment?lang={lang}", headers={"accept": "text/html"})
            assert page.status_code == 200
            assert words in page.text
            assert words in client.get(f"/?lang={lang}", headers={"accept": "text/html"}).text


def test_the_command_prints_sentences_or_json(desk):
    made = desk(REPS, toml=HOLDOUT)
    decided(made)
    passes(made)
    folders = ["uplift", "--data", str(made.data), "--home", str(made.home)]
    shown = CliRunner().invoke(app, folders)
    assert shown.exit_code == 0
    assert "hold-out" in shown.stdout
    told = json.loads(CliRunner().invoke(app, [*folders, "--json", "--lang", "zh"]).stdout)
    assert told["status"] == "measured"
    assert "对照组" in told["text"][0]


def test_a_lead_s_own_chance_narrows_the_interval(desk):
    """Wins follow what was expected of each lead: with it the interval is narrower than without."""
    tables = desk(REPS).core.state().board.tables
    rng = np.random.default_rng(0)
    start = moments.parse("2026-01-01")
    chances = rng.beta(0.3, 0.9, 400)
    drawn = [Drawn(f"X{i}", start + i, bool(rng.random() < 0.4), 0.4, float(p), 100 * float(p))
             for i, p in enumerate(chances)]  # fmt: skip
    deals = [
        {"deal_id": f"D{i}", "lead_id": f"X{i}", "rep_id": "R1", "closed_at": start + DAY, "status": "won",
         "amount": 10_000, "known_at": start + DAY}
        for i, p in enumerate(chances)
        if rng.random() < p
    ]  # fmt: skip
    made = tables.with_frames(deals=tables.deals.iloc[:0].reindex(columns=tables.deals.columns))
    import pandas as pd

    frame = pd.DataFrame(deals).reindex(columns=tables.deals.columns)
    frame = frame.fillna({c: "" for c in frame.columns if frame[c].dtype == object})
    made = tables.with_frames(deals=frame)
    end = start + 40 * WEEK
    known = measure(drawn, made, end, 0.4, 180)
    blind = measure([replace(one, win_probability=0.0) for one in drawn], made, end, 0.4, 180)
    assert known.wins.whole.value == pytest.approx(0.0, abs=0.15)
    width = known.wins.whole.ci_high - known.wins.whole.ci_low
    assert width < 0.9 * (blind.wins.whole.ci_high - blind.wins.whole.ci_low)
