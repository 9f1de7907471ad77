"""Warnings: silent under a stationary null, loud on a true drop, and telling worse leads from behaviour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.warning_evidence import (
    Conversions,
    Counts,
    discoveries,
    dispersion_of,
    evidence_of,
    fewer_wins,
    poisson_drop,
    share_drop,
    slump_evidence,
    spread_of,
)
from models.warning_rules import (
    Effect,
    IdleLead,
    OpenCourse,
    Outlook,
    Signals,
    WarningSettings,
    find_warnings,
    warning_id,
    within_budget,
)

MONTH = 2025 * 12 + 2


def stationary(rng: np.random.Generator, n: int = 60) -> list[Signals]:
    """Reps whose behaviour and leads did not change; follow-ups come in bunches (negative binomial)."""
    out = []
    for r in range(n):
        rate = rng.gamma(6.0, 1.5 / 6.0)
        early, late, before = (rng.poisson(rate * weeks * rng.gamma(200.0, 1 / 200.0)) for weeks in (20, 20, 130))
        p_now, p_before = rng.beta(2, 6, 14), rng.beta(2, 6, 40)
        share = rng.uniform(0.5, 0.9)
        out.append(Signals(
            f"R{r}", f"T{r % 5}", Counts(early + late, 40, before, 130),
            Counts(rng.binomial(20, share), 20, rng.binomial(60, share), 60),
            Conversions(int((rng.random(14) < p_now).sum()), tuple(p_now),
                        int((rng.random(40) < p_before).sum()), tuple(p_before)),
            Counts(rng.poisson(20), 1, rng.poisson(60), 3), recent_follow_ups=Counts(late, 20, before + early, 150),
        ))  # fmt: skip
    return out


def test_false_alarms_are_rare_when_nothing_changed():
    """Most rules are held to a tenth of sweeps with any false alarm; follow-ups ask each rep by himself: together under
    one rep in twenty a sweep."""
    rng = np.random.default_rng(0)
    sweeps, n_reps = 25, 60
    alarms = sum(len(find_warnings([], stationary(rng, n_reps), MONTH)) for _ in range(sweeps))
    assert alarms / (sweeps * n_reps) < 0.05


def test_a_true_slump_is_told_with_its_numbers():
    """Follow-ups fall to 0.9 a week from 1.8: the reason carries both, the suggestion what an effect says."""
    signals = stationary(np.random.default_rng(1))
    signals[7] = replace(signals[7], follow_ups=Counts(72, 80, 468, 260), recent_follow_ups=Counts(36, 40, 504, 300))
    effects = {"followups_per_week": Effect(500.0, 200.0, 800.0, "identified")}
    items = [i for i in find_warnings([], signals, MONTH, effects=effects) if i.kind == "follow_up_drop"]
    assert items[0].rep_id == "R7", "the true one leads the list"
    assert len(items) <= 3
    reason, suggestion = items[0].reasons[0], items[0].suggestions[0]
    assert (reason.code, reason.value, reason.baseline) == ("follow_ups_per_week", 0.9, 1.8)
    assert suggestion.expected_gain == pytest.approx(450.0)
    assert suggestion.numbers["gain_low"] == pytest.approx(180.0)


def test_a_slump_of_two_weeks_is_told_before_four_weeks_show_it():
    """Nothing done in the last two weeks after a usual month: the reason speaks of two weeks."""
    signals = [replace(one, recent_follow_ups=None) for one in stationary(np.random.default_rng(1))]
    signals[7] = replace(
        signals[7], follow_ups=Counts(70, 80, 468, 260), recent_follow_ups=Counts(2, 40, 536, 300)
    )  # fmt: skip
    items = [i for i in find_warnings([], signals, MONTH) if i.kind == "follow_up_drop"]
    assert items[0].rep_id == "R7"
    assert items[0].reasons[0].numbers["weeks"] == 2.0
    assert items[0].evidence > 5.0


def test_slump_evidence_is_the_log_ratio_of_two_poisson_chances_where_the_past_is_long():
    """Without drift and with an endless past the law is Poisson: log(0.3) n + 0.7 of what was expected."""
    long = Counts(4, 1.0, 1e9, 1e8)
    assert slump_evidence(long, 1e-4) == pytest.approx(4 * np.log(0.3) + 0.7 * 10.0, rel=1e-4)
    assert slump_evidence(Counts(0, 1, 0, 13), 0.3) == slump_evidence(Counts(3, 0, 4, 13), 0.3) == 0.0
    assert slump_evidence(Counts(10, 1.0, 100, 10.0), 0.3) < 0 < slump_evidence(Counts(2, 1.0, 100, 10.0), 0.3)


def test_several_slumps_at_once_do_not_hide_each_other():
    """A third of the desk stops: the spread of the others still tells what is usual."""
    rng = np.random.default_rng(3)
    counts = [Counts(rng.poisson(40), 4, rng.poisson(130), 13) for _ in range(20)]
    slumped = [Counts(rng.poisson(8), 4, rng.poisson(130), 13) for _ in range(10)]
    assert spread_of(counts + slumped) < 0.45
    assert all(slump_evidence(one, spread_of(counts + slumped)) > 1.0 for one in slumped)


def test_evidence_of_a_p_value_is_the_bound_on_its_bayes_factor():
    assert evidence_of(0.05) == pytest.approx(-np.log(-np.e * 0.05 * np.log(0.05)))
    assert evidence_of(0.5) == 0.0
    assert evidence_of(0.0) > 600


@pytest.mark.parametrize(
    "effect", [None, Effect(None, None, None, "not_identified"), Effect(9.0, 1.0, 20.0, "not_identified")]
)
def test_no_gain_is_promised_without_a_supported_effect(effect):
    signals = [Signals("A", "T", follow_ups=Counts(10, 40, 300, 130))]
    items = find_warnings([], signals, MONTH, effects={} if effect is None else {"followups_per_week": effect})
    assert items[0].suggestions[0].expected_gain is None
    assert items[0].suggestions[0].evidence == ("no_estimate" if effect is None else "not_identified")


def test_worse_leads_are_told_from_behaviour():
    good, bad = tuple([0.4] * 30), tuple([0.05] * 30)
    worse = find_warnings([], [Signals("A", "T", conversions=Conversions(1, bad, 16, tuple([0.4] * 40)))], MONTH)
    assert [(i.kind, i.severity, i.reasons[0].code) for i in worse] == [("conversion_drop", "low", "leads_got_worse")]
    fewer = find_warnings([], [Signals("A", "T", conversions=Conversions(1, good, 16, tuple([0.4] * 40)))], MONTH)
    assert [(i.kind, i.severity, i.reasons[0].code) for i in fewer] == [("conversion_drop", "high", "won_share")]


def test_misses_rank_by_probability_class_then_by_money_and_carry_the_forecast():
    outlooks = [
        Outlook("A", "T", MONTH, 100.0, 500.0, 0.95, 50.0),
        Outlook("B", "T", MONTH, 100.0, 500.0, 0.95, 250.0),
        Outlook("C", "T", MONTH, 400.0, 500.0, 0.65, 900.0),
        Outlook("D", "T", MONTH, 800.0, 500.0, 0.05, 0.0),
        Outlook("E", "T", MONTH, 800.0, None, None),
    ]
    items = find_warnings(outlooks, [], MONTH, opened_at="2025-03-01T00:00:00+00:00")
    assert [i.rep_id for i in items] == ["B", "A", "C"]
    assert (items[0].month, items[0].p_miss, items[0].target, items[0].status) == ("2025-03", 0.95, 500.0, "open")
    assert items[0].opened_at == "2025-03-01T00:00:00+00:00"
    assert find_warnings(outlooks, [], MONTH, over=frozenset({MONTH})) == []
    assert find_warnings(outlooks, [], MONTH, over=frozenset({MONTH + 1}))


def test_the_budget_holds_by_team_and_month_and_keeps_room_for_behaviour():
    outlooks = [Outlook(f"R{i}", "T", m, 1.0, 9.0, 0.99, 5.0) for i in range(20) for m in (MONTH, MONTH + 1)]
    idle = tuple(IdleLead(f"L{i}", 10.0 + i, 30.0, 3.0) for i in range(20))
    items = find_warnings(
        outlooks, [Signals("R1", "T", idle_leads=idle)], MONTH, settings=WarningSettings(budget=5, rep_share=1.0)
    )
    by_month = {m: [i for i in items if i.month == m] for m in ("2025-03", "2025-04")}
    assert len(by_month["2025-03"]) == len(by_month["2025-04"]) == 5
    assert sorted(i.lead_id for i in by_month["2025-03"] if i.kind == "idle_lead") == ["L18", "L19"]
    assert within_budget([], WarningSettings()) == []


def test_an_idle_lead_is_told_while_leads_come_back_from_such_a_silence():
    """One in fifty says too little to call for; one in four is worth more haste than one in ten."""
    shares = {"dead": 0.02, "late": 0.1, "fresh": 0.25, "unknown": None}
    idle = tuple(IdleLead(name, 100.0, 30.0, 3.0, share) for name, share in shares.items())
    items = find_warnings([], [Signals("R1", "T", idle_leads=idle)], MONTH)
    assert {i.lead_id: i.severity for i in items} == {"late": "low", "fresh": "medium", "unknown": "medium"}
    told = {i.lead_id: i.reasons[0].numbers.get("comeback") for i in items}
    assert told == {"late": 0.1, "fresh": 0.25, "unknown": None}


def test_few_reps_carry_alerts_on_a_large_desk_and_drops_have_half_of_the_places():
    """Forty reps who all miss, six of whom slump: eight may carry alerts, four of them slumping ones."""
    outlooks = [Outlook(f"R{i:02d}", "T", MONTH, 1.0, 9.0, 0.99, 100.0 - i) for i in range(40)]
    slump = Counts(0.0, 40.0, 200.0, 120.0)
    steady = Counts(66.0, 40.0, 200.0, 120.0)
    signals = [Signals(f"R{i:02d}", "T", follow_ups=slump if i >= 34 else steady) for i in range(40)]
    settings = WarningSettings(budget=100, rep_share=0.2)
    items = find_warnings(outlooks, signals, MONTH, settings=settings)
    reps = {item.rep_id for item in items}
    assert len(reps) == 8
    assert len({r for r in reps if r >= "R34"}) == 4
    assert {"R00", "R01", "R02", "R03"} <= reps
    few = find_warnings(outlooks[:9], signals[:9], MONTH, settings=settings)
    assert len({item.rep_id for item in few}) == 9


def test_ids_are_stable_and_tell_rep_lead_kind_and_month_apart():
    parts = [
        ("R", "", "target_miss", "2025-03"),
        ("R", "L", "idle_lead", "2025-03"),
        ("R", "", "target_miss", "2025-04"),
    ]
    ids = [warning_id(*p) for p in parts]
    assert len(set(ids)) == 3
    assert ids == [warning_id(*p) for p in parts]
    assert warning_id("a", "bc", "k", "m") != warning_id("ab", "c", "k", "m")


def test_training_and_workload_and_slow_contact_have_their_kinds():
    signals = [
        Signals("A", "T", courses=(OpenCourse("C1", "closing", 90.0, 20.0), OpenCourse("C2", "", 5.0, 20.0))),
        Signals("B", "T", workload=Counts(60, 1, 60, 3)),
        Signals("C", "T", responses=Counts(2, 20, 54, 60)),
    ]
    effects = {"training:closing": Effect(300.0, 100.0, 500.0, "suggestive")}
    items = {i.kind: i for i in find_warnings([], signals, MONTH, effects=effects)}
    assert set(items) == {"training_gap", "workload", "response_time"}
    assert items["training_gap"].suggestions[0].expected_gain == 300.0
    assert len(items["training_gap"].reasons) == 1
    assert items["response_time"].reasons[0].value == pytest.approx(0.1)


def test_fewer_wins_is_the_poisson_binomial_and_share_drop_is_fisher_s():
    from scipy.stats import binom, fisher_exact

    assert fewer_wins(3, [0.3] * 20) == pytest.approx(binom.cdf(3, 20, 0.3))
    table = [[5, 15], [40, 20]]
    assert share_drop(Counts(5, 20, 40, 60)) == pytest.approx(fisher_exact(table, alternative="less").pvalue)


@given(n=st.integers(1, 40), rate=st.floats(0.01, 0.5))
@settings(max_examples=40, deadline=None)
def test_discoveries_are_the_smallest_p_values_and_none_when_none_is_small(n, rate):
    rng = np.random.default_rng(n)
    p = rng.random(n)
    out = discoveries(p, rate)
    assert not out.any() or p[out].max() <= p[~out].min(initial=1.0)
    assert not discoveries(np.full(n, 0.9), rate).any()
    assert discoveries(np.full(n, rate / n / 2), rate).all()


def test_poisson_drop_is_uniform_or_above_and_one_without_a_past():
    rng = np.random.default_rng(2)
    p = np.array([poisson_drop(Counts(rng.poisson(12), 4, rng.poisson(39), 13)) for _ in range(2000)])
    assert (p <= 0.05).mean() <= 0.06
    assert (p <= 0.05).mean() > 0.01
    assert poisson_drop(Counts(0, 4, 0, 13)) == poisson_drop(Counts(3, 0, 4, 13)) == 1.0


def test_bunched_counts_are_recognised_as_such():
    rng = np.random.default_rng(3)
    plain = [Counts(rng.poisson(50), 1, rng.poisson(150), 3) for _ in range(400)]
    bunched = [Counts(4 * rng.poisson(12.5), 1, 4 * rng.poisson(37.5), 3) for _ in range(400)]
    assert dispersion_of(plain) < 1.4
    assert dispersion_of(bunched) == pytest.approx(4.0, rel=0.35)
