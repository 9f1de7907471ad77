"""A payload with everything in it: effects of all three verdicts, an awkward name, a withheld number."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from features.moments import parse, parse_month
from models.drivers.attribution import Contributions, attribute_company, attribute_rows, rank_drivers
from models.drivers.decomposition import month_against_month, rep_against_peers
from models.drivers.effects import EffectRow
from models.drivers.suggestions import suggest
from models.drivers.terms import driver_map
from serving.reports.measures import MeasureResult, Pilot
from serving.reports.payload import DataNote, Effectiveness, ModelQuality, ReportPayload, RepPage

HOSTILE = '<script>alert(1)</script> & "O\'Neil"'
NAMES = ["王芳", "Lena Vogt", HOSTILE, "李强", "Ana Sousa", "陈静"]
DRIVERS = (
    "follow_ups",
    "lead_flow",
    "lead_mix",
    "past_contribution",
    "pipeline",
    "response_time",
    "tenure",
    "training",
)


def _contributions(rng: np.random.Generator, n: int) -> Contributions:
    scale = np.array([18_000, 9_000, 7_000, 14_000, 5_000, 2_500, 6_000, 3_000.0])
    values = rng.normal(0, 1, (n, len(DRIVERS))) * scale
    baseline = np.full(n, 118_000.0)
    return Contributions(DRIVERS, values, values.sum(axis=1) + baseline, baseline)


def _effects() -> tuple[EffectRow, ...]:
    money, won = ("contribution", "money_per_month"), ("win_probability", "probability")
    dose = {"dose_low": 0.4, "dose_high": 4.2}
    course = {"dose_low": 0.0, "dose_high": 1.0}
    rows = [
        ("followups_per_week", money, 8_400.0, 2_100.0, 14_700.0, "identified", (), 21_300.0, 0.21, dose),
        ("training:closing", money, 11_900.0, -1_200.0, 25_000.0, "identified", (), -6_400.0, 0.12, course),
        (
            "training:客户谈判",
            money,
            None,
            None,
            None,
            "not_identified",
            ("future_predicts_present",),
            -4_100.0,
            None,
            course,
        ),
        ("followups_per_week", won, 0.043, 0.026, 0.060, "identified", (), 0.011, 0.08, dose),
        ("contact_within_24h", won, 0.021, 0.004, 0.038, "suggestive", ("few_reps",), 0.052, 0.04, course),
        ("training:compliance", won, 0.002, -0.019, 0.023, "identified", (), -0.031, 0.01, course),
    ]
    return tuple(
        EffectRow(d, o, u, e, lo, hi, "fixed_effects", 1_380, v, r, naive, sensitivity=s, **doses)
        for d, (o, u), e, lo, hi, v, r, naive, s, doses in rows
    )


def _measures() -> tuple[MeasureResult, ...]:
    did = "difference_in_differences"
    made = ("identified", (), 12, 30, 3, parse_month("2025-08"))
    return (
        MeasureResult("=reminders", "measure", HOSTILE, did, 9_100.0, 2_200.0, 16_000.0, *made, 31_000.0, 0.4, 2_800.0),
        MeasureResult(
            "routing", "routing", "", did, None, None, None, "not_identified", ("nobody_untouched",), 6, 0, 1,
            parse_month("2026-02"), 12_000.0,
        ),
        MeasureResult(
            "training:closing", "course", "", did, -800.0, -9_000.0, 7_400.0, "suggestive", ("few_reps",), 7, 9, 2,
            parse_month("2025-03"), 4_000.0, 0.7, 300.0,
        ),
        MeasureResult(
            "coaching", "pilot", "", "randomised", -4_000.0, -7_000.0, -1_000.0, "identified", (), 11, 12, 1,
            parse_month("2025-09"), 2_000.0, months_over=6,
        ),
    )  # fmt: skip


def _pilots() -> tuple[Pilot, ...]:
    ids = ("R001", "R003", "R005"), ("R002", "R004", "R006")
    start = parse_month("2026-07")
    plan = Pilot(
        "training:客户谈判", start, 6, 21_000.0, 13_000.0, 0.38, False, 96, 3, 3, *ids, (), 33_000.0, 0.31, 0.22
    )
    return plan, Pilot("training:compliance", start, reason="too_few_to_draw")


def make_payload() -> ReportPayload:
    rng = np.random.default_rng(7)
    ids = [f"R{k:03d}" for k in range(1, 7)]
    teams = ["North", "North", "North", "南区", "南区", "南区"]
    mapping = driver_map(DRIVERS)
    mapping = type(mapping)({d: d for d in DRIVERS}, mapping.group_of)
    now, before = _contributions(rng, 6), _contributions(rng, 5)
    actual = now.prediction + rng.normal(0, 16_000, 6)
    effects = _effects()
    pages = []
    for k, rep in enumerate(ids):
        levels = {"followups_per_week": 1.1 + 0.5 * k, "contact_within_24h": k % 2, "training:closing": float(k % 2)}
        actions = suggest(levels, {"followups_per_week": 2.9, "contact_within_24h": 1.0}, effects, 260_000.0)
        gap = rep_against_peers(rep, now, ids, actual, mapping, ids)
        history = tuple(rng.normal(110_000, 25_000, 12))
        pages.append(RepPage(rep, NAMES[k], teams[k], 0.4 + k, float(actual[k]), gap, 5, actions, history))
    change = month_against_month(before, now, ids[1:], ids, before.prediction * 0.96, actual, mapping)
    overall = Effectiveness("company", "company", 5.6, 731_000.0, 130_536.0, 122_900.0, 141_200.0, 126_200.0)
    return ReportPayload(
        as_of=parse("2026-06-30T18:00:00"),
        month=parse_month("2026-06"),
        zone="UTC",
        currency="CNY",
        effectiveness=(
            overall,
            Effectiveness("team", "North", 2.8, 371_000.0, 132_500.0, 128_100.0, 139_000.0),
            Effectiveness("team", "南区", 2.8, 360_000.0, 128_571.0, 117_700.0, None),
            Effectiveness("tenure", "<1", 0.9, 61_000.0, 67_777.0, 58_100.0, 71_000.0),
            Effectiveness("tenure", ">2", 3.7, 530_000.0, 143_243.0, 139_000.0, 150_400.0),
        ),
        company=attribute_company(now, mapping, "CNY"),
        teams=attribute_rows(now, teams, mapping, "CNY"),
        reps=attribute_rows(now, ids, mapping, "CNY"),
        ranking=rank_drivers(now, ids, mapping, rng),
        effects=effects,
        rep_pages=tuple(pages),
        model=ModelQuality("panel_contribution", "3f9a1c", 24_310.0, 27_900.0, 412, 6),
        data=DataNote(
            (("reps", 71), ("leads", 15_012), ("activities", 98_120)),
            parse_month("2024-01"),
            parse_month("2026-06"),
            (("leads.won_flag", "filled in after contact"), ("3 reps", "hired in the month of the report")),
        ),
        month_change=change,
        measures=_measures(),
        pilots=_pilots(),
        routing_since=parse_month("2026-02"),
        names=tuple(zip(ids, NAMES, strict=True)),
        review_on=date(2026, 9, 30),
    )


@pytest.fixture(scope="session")
def payload() -> ReportPayload:
    return make_payload()
