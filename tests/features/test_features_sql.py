"""An oracle that shares no code: features recomputed in DuckDB from the tables as they are given.

Each query sees `asked` (n, rep_id, lead_id, moment) and the tables; times are microseconds. Rates over leads whose
state changes with what is known take the plain definition: the first deal known at the moment, the last owner.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import pytest

from features.moments import DAY, NEVER
from features.panel import build_panel
from features.tables import Tables
from features.world import World, build

D = f"{DAY}::BIGINT"
# Of each asked moment: every lead known and owned then, its owner, hand-over, close and state.
STATES = f"""
    overs AS (
        SELECT lead_id, rep_id, assigned_at, known_at, 1 AS given FROM assignments
        UNION ALL
        SELECT lead_id, sourced_by_rep_id, created_at, known_at, 0 FROM leads WHERE sourced_by_rep_id <> ''
    ),
    moments AS (SELECT DISTINCT moment FROM asked),
    close AS (
        SELECT m.moment, d.lead_id, min(d.closed_at) AS closed_at,
            arg_min(d.status, (d.closed_at, CASE d.status WHEN 'won' THEN 0 ELSE 1 END)) AS status,
            min(d.known_at) AS first_known
        FROM moments m JOIN deals d ON d.known_at < m.moment GROUP BY ALL
    ),
    spoken AS (
        SELECT m.moment, a.lead_id, max(a.occurred_at) AS last
        FROM moments m JOIN activities a ON a.known_at < m.moment GROUP BY ALL
    ),
    owned AS (
        SELECT m.moment, o.lead_id,
            coalesce(
                arg_max(o.rep_id, (o.assigned_at, o.given)) FILTER (o.assigned_at <= coalesce(c.closed_at, {NEVER})),
                arg_min(o.rep_id, (o.assigned_at, o.given))
            ) AS rep_id,
            coalesce(
                max(o.assigned_at) FILTER (o.assigned_at <= coalesce(c.closed_at, {NEVER})), min(o.assigned_at)
            ) AS assigned_at,
            any_value(c.status) AS status
        FROM moments m
        JOIN overs o ON o.known_at < m.moment
        JOIN leads l ON l.lead_id = o.lead_id AND l.known_at < m.moment
        LEFT JOIN close c ON c.moment = m.moment AND c.lead_id = o.lead_id
        GROUP BY m.moment, o.lead_id
    ),
    states AS (
        SELECT w.*, CASE WHEN w.status IS NOT NULL THEN w.status
            WHEN greatest(w.assigned_at, coalesce(s.last, w.assigned_at)) + 180 * {D} < w.moment THEN 'dead'
            ELSE 'open' END AS state
        FROM owned w LEFT JOIN spoken s ON s.moment = w.moment AND s.lead_id = w.lead_id
    )
"""


def counted(table: str, days: int, value: str = "count(t.rep_id)", where: str = "true") -> str:
    """SQL of an aggregate over a table's rows of the asked rep, known in the `days` before the moment."""
    return f"""
        SELECT {value} FROM asked a LEFT JOIN {table} t
            ON t.rep_id = a.rep_id AND t.known_at < a.moment AND t.known_at >= a.moment - {days} * {D} AND {where}
        GROUP BY a.n ORDER BY a.n
    """


def states(value: str, where: str = "true") -> str:
    """SQL of an aggregate over the leads that the asked rep owns at the moment."""
    return f"""
        WITH {STATES} SELECT {value} FROM asked a LEFT JOIN states t
            ON t.moment = a.moment AND t.rep_id = a.rep_id AND {where}
        GROUP BY a.n, a.moment ORDER BY a.n
    """


DONE = "greatest(t.completed_on, t.known_at)"
EVER = 40_000
REP_SQL = {
    "rep_follow_ups_per_week_7d": counted("activities", 7),
    "rep_follow_ups_per_week_28d": counted("activities", 28, "count(t.rep_id) / 4.0"),
    "rep_minutes_per_follow_up_90d": counted("activities", 90, "avg(t.minutes) FILTER (NOT isnan(t.minutes))"),
    "rep_contribution_30d": counted("deals", 30, "coalesce(sum(t.amount), 0) / 100.0", "t.status = 'won'"),
    "rep_contribution_365d": counted("deals", 365, "coalesce(sum(t.amount), 0) / 100.0", "t.status = 'won'"),
    "rep_deal_size_mean_365d": counted("deals", 365, "avg(t.amount) / 100.0", "t.status = 'won'"),
    "rep_wins_90d": counted("deals", 90, where="t.status = 'won'"),
    "rep_feedback_score_mean_180d": counted("feedback", 180, "avg(t.score)"),
    "rep_complaints_180d": counted("feedback", 180, "coalesce(sum(t.complaint), 0)"),
    "rep_trainings_completed": counted("trainings", EVER, where=f"{DONE} < a.moment"),
    "rep_trainings_unfinished": counted("trainings", EVER, where=f"{DONE} >= a.moment"),
    "rep_training_hours_total": counted("trainings", EVER, "coalesce(sum(t.hours), 0)", f"{DONE} < a.moment"),
    "rep_training_hours_180d": counted(
        "trainings", EVER, "coalesce(sum(t.hours), 0)", f"{DONE} < a.moment AND {DONE} >= a.moment - 180 * {D}"
    ),
    "rep_training_score_mean": counted("trainings", EVER, "avg(t.score)", f"{DONE} < a.moment AND NOT isnan(t.score)"),
    "rep_trainings_completed_skill_产品": counted("trainings", EVER, where=f"{DONE} < a.moment AND t.skill = '产品'"),
    "rep_open_leads": states("count(t.lead_id)", "t.state = 'open'"),
    "rep_open_leads_age_0_30d": states(
        "count(t.lead_id)", f"t.state = 'open' AND t.moment - t.assigned_at <= 30 * {D}"
    ),
    "rep_open_leads_age_over_90d": states(
        "count(t.lead_id)", f"t.state = 'open' AND t.moment - t.assigned_at > 90 * {D}"
    ),
    # Long windows hold all that was ever resolved here, so the state at the moment is enough.
    "rep_resolved_leads_730d": states("count(t.lead_id)", "t.state <> 'open'"),
    "rep_won_rate_730d": f"""
        WITH {STATES},
        desk AS (
            SELECT m.moment,
                (count(*) FILTER (s.state = 'won') + 0.5) / (count(*) FILTER (s.state <> 'open') + 1) AS rate
            FROM moments m LEFT JOIN states s ON s.moment = m.moment GROUP BY ALL
        )
        SELECT (count(t.lead_id) FILTER (t.state = 'won') + 20 * any_value(k.rate))
            / (count(t.lead_id) FILTER (t.state <> 'open') + 20)
        FROM asked a JOIN desk k ON k.moment = a.moment
        LEFT JOIN states t ON t.moment = a.moment AND t.rep_id = a.rep_id GROUP BY a.n ORDER BY a.n
    """,
    "rep_days_since_follow_up": f"""
        SELECT (a.moment - t.known_at) / {DAY}.0 FROM asked a
        ASOF LEFT JOIN activities t ON t.rep_id = a.rep_id AND t.known_at < a.moment ORDER BY a.n
    """,
    "rep_contact_hours_mean_90d": f"""
        WITH overs AS (
            SELECT o.lead_id, o.rep_id, o.assigned_at, greatest(o.known_at, l.known_at) AS known_at
            FROM (
                SELECT lead_id, rep_id, assigned_at, known_at FROM assignments
                UNION ALL
                SELECT lead_id, sourced_by_rep_id, created_at, known_at FROM leads WHERE sourced_by_rep_id <> ''
            ) o JOIN leads l USING (lead_id)
        ),
        touched AS (
            SELECT a.n, o.lead_id, o.assigned_at, a.moment,
                (min(t.occurred_at) - o.assigned_at) // 3600000 / 1000.0 AS hours,
                greatest(arg_min(t.known_at, (t.occurred_at, t.known_at)), o.known_at) AS since
            FROM asked a JOIN overs o ON o.rep_id = a.rep_id AND o.known_at < a.moment
            JOIN activities t ON t.rep_id = a.rep_id AND t.lead_id = o.lead_id AND t.known_at < a.moment
                AND t.occurred_at >= o.assigned_at
            GROUP BY a.n, a.moment, o.lead_id, o.assigned_at, o.known_at
        )
        SELECT avg(t.hours) FROM asked a LEFT JOIN touched t ON t.n = a.n AND t.since >= a.moment - 90 * {D}
        GROUP BY a.n ORDER BY a.n
    """,
    "rep_contact_within_24h_rate_90d": f"""
        WITH overs AS (
            SELECT o.lead_id, o.rep_id, o.assigned_at,
                greatest(o.known_at, l.known_at, o.assigned_at + {D}) AS due
            FROM (
                SELECT lead_id, rep_id, assigned_at, known_at FROM assignments
                UNION ALL
                SELECT lead_id, sourced_by_rep_id, created_at, known_at FROM leads WHERE sourced_by_rep_id <> ''
            ) o JOIN leads l USING (lead_id)
        )
        SELECT avg(CASE WHEN EXISTS (
            SELECT 1 FROM activities t WHERE t.rep_id = o.rep_id AND t.lead_id = o.lead_id AND t.known_at < a.moment
                AND t.occurred_at BETWEEN o.assigned_at AND o.assigned_at + {D}
        ) THEN 1.0 ELSE 0.0 END) FILTER (o.rep_id IS NOT NULL)
        FROM asked a LEFT JOIN overs o ON o.rep_id = a.rep_id AND o.due < a.moment AND o.due >= a.moment - 90 * {D}
        GROUP BY a.n ORDER BY a.n
    """,
    "rep_absent_days_next_28d": f"""
        SELECT least(coalesce(sum(greatest(0,
            least(t.ends_on + {D}, a.moment + 28 * {D}) - greatest(t.starts_on, a.moment)
        )) FILTER (t.rep_id IS NOT NULL), 0) / {DAY}.0, 28)
        FROM asked a LEFT JOIN absences t ON t.rep_id = a.rep_id AND t.known_at < a.moment GROUP BY a.n ORDER BY a.n
    """,
}
LEAD_SQL = {
    "lead_hour_of_day": "SELECT hour(make_timestamp(created_at)) FROM asked JOIN leads USING (lead_id) ORDER BY n",
    "lead_weekday": "SELECT isodow(make_timestamp(created_at)) FROM asked JOIN leads USING (lead_id) ORDER BY n",
    "lead_account_leads_won": f"""
        WITH {STATES} SELECT count(s.lead_id) FROM asked a JOIN leads l USING (lead_id)
        LEFT JOIN (states s JOIN leads o ON o.lead_id = s.lead_id AND o.account_id <> '')
            ON s.moment = a.moment AND o.account_id = l.account_id AND s.state = 'won'
        GROUP BY a.n ORDER BY a.n
    """,
    "lead_won_rate_730d_by_source": f"""
        WITH {STATES},
        desk AS (
            SELECT m.moment,
                (count(*) FILTER (s.state = 'won') + 0.5) / (count(*) FILTER (s.state <> 'open') + 1) AS rate
            FROM moments m LEFT JOIN states s ON s.moment = m.moment GROUP BY ALL
        )
        SELECT (count(o.lead_id) FILTER (s.state = 'won') + 20 * any_value(k.rate))
            / (count(o.lead_id) FILTER (s.state <> 'open') + 20)
        FROM asked a JOIN leads l USING (lead_id) JOIN desk k ON k.moment = a.moment
        LEFT JOIN (states s JOIN leads o ON o.lead_id = s.lead_id) ON s.moment = a.moment AND o.source = l.source
        GROUP BY a.n ORDER BY a.n
    """,
}
PAIR_SQL = {
    "pair_resolved_leads_730d_by_industry": f"""
        WITH {STATES} SELECT count(s.lead_id) FROM asked a JOIN leads l USING (lead_id)
        LEFT JOIN (states s JOIN leads o ON o.lead_id = s.lead_id AND o.industry <> '')
            ON s.moment = a.moment AND s.rep_id = a.rep_id AND o.industry = l.industry AND s.state <> 'open'
        GROUP BY a.n ORDER BY a.n
    """,
}


def ask(tables: Tables, asked, seed: int) -> pd.DataFrame:
    """Questions of a rep, a lead and a moment."""
    reps, moments = asked(tables, seed, 120)
    leads = np.random.default_rng(seed).choice(tables.leads["lead_id"].to_numpy(dtype=object), len(reps))
    return pd.DataFrame({"n": np.arange(len(reps)), "rep_id": reps, "lead_id": leads, "moment": moments})


def run(tables: Tables, asked: pd.DataFrame, sql: str) -> np.ndarray:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for name, frame in tables.frames.items():
        connection.register(name, frame.astype({c: object for c in frame.columns if frame[c].dtype == "str"}))
    connection.register("asked", asked.astype({"rep_id": object, "lead_id": object}))
    return connection.execute(sql).fetchnumpy()


@pytest.fixture(scope="module", params=[11, 12])
def case(request, maker, spec, asked):
    tables = maker(request.param, late_share=0.3)
    return tables, World(tables, spec, NEVER), ask(tables, asked, request.param)


def compare(case, features: pd.DataFrame, name: str, sql: str) -> None:
    tables, _, asked = case
    (found,) = run(tables, asked, sql).values()
    oracle = np.ma.filled(np.ma.asarray(found, dtype=np.float64), np.nan)
    assert len(np.unique(oracle[~np.isnan(oracle)])) > 2, "the case is trivial"
    assert features[name].to_numpy() == pytest.approx(oracle, rel=1e-12, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", REP_SQL)
def test_rep_features_equal_sql(case, name):
    _, world, asked = case
    compare(case, world.rep_features(asked["rep_id"], asked["moment"]), name, REP_SQL[name])


@pytest.mark.parametrize("name", LEAD_SQL)
def test_lead_features_equal_sql(case, name):
    tables, world, asked = case
    leads = tables.leads.set_index("lead_id", drop=False).loc[asked["lead_id"]]
    compare(case, world.lead_features(leads, asked["moment"]), name, LEAD_SQL[name])


@pytest.mark.parametrize("name", PAIR_SQL)
def test_pair_features_equal_sql(case, name):
    tables, world, asked = case
    leads = tables.leads.set_index("lead_id", drop=False).loc[asked["lead_id"]]
    compare(case, world.pair_features(leads, asked["rep_id"], asked["moment"]), name, PAIR_SQL[name])


def test_panel_targets_and_lags_equal_sql(tables, spec):
    """Contribution of the month and mean of the three before, from deals by calendar month."""
    panel = build_panel(build(tables, int(tables.newest()), spec), horizons=(1,))
    rows = panel.assign(n=range(len(panel)), moment=int(tables.newest()), lead_id="")[
        ["n", "rep_id", "lead_id", "moment", "month", "as_of"]
    ]
    sql = """
        SELECT
            (SELECT coalesce(sum(d.amount), 0) / 100.0 FROM deals d
                WHERE d.rep_id = a.rep_id AND d.status = 'won' AND d.known_at < a.moment
                AND year(make_timestamp(d.closed_at)) * 12 + month(make_timestamp(d.closed_at)) - 1 = a.month) AS y,
            (SELECT coalesce(sum(d.amount), 0) / 300.0 FROM deals d
                WHERE d.rep_id = a.rep_id AND d.status = 'won' AND d.known_at < a.as_of
                AND make_timestamp(d.known_at) >= make_timestamp(a.as_of) - INTERVAL 3 MONTH) AS lag
        FROM asked a ORDER BY a.n
    """
    found = run(tables, rows, sql)
    over = panel["maturity"].to_numpy()
    assert 0 < over.sum() < len(panel)
    assert panel["y"].to_numpy()[over] == pytest.approx(np.asarray(found["y"], dtype=float)[over])
    assert panel["panel_contribution_mean_3m"].to_numpy() == pytest.approx(np.asarray(found["lag"], dtype=float))
