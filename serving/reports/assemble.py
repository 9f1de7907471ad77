"""The report's payload from board and release: attribution, decompositions, effects and suggestions of one month."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features import moments
from features.config import Config
from features.errors import RequestError
from features.messages import message
from features.moments import DAY
from features.outcomes import contributions as contributions_of
from features.panel import build_panel, is_sales
from features.tables import Tables
from features.world import World
from models.drivers.attribution import (
    Contributions,
    attribute_company,
    attribute_rows,
    rank_drivers,
)
from models.drivers.decomposition import Decomposition, effective_heads, month_against_month
from models.drivers.effects import EffectRow
from models.drivers.terms import driver_map
from models.forecasting.panel_model import PanelModel
from serving.board import Board
from serving.reports.measures import Outside, measure_results, pilots_of, unsettled
from serving.reports.payload import Comparison, DataNote, Effectiveness, ModelQuality, ReportPayload
from serving.reports.peers import TOP_MONTHS, Gap, explain_panel, peer_gaps, rows_of, top_gaps
from serving.reports.people import TENURE_BANDS, matrix_of, rep_pages
from training.measure_frames import rep_months, routing
from training.snapshot import ZonedWorkdays
from training.unit import ModelUnit

Floats = npt.NDArray[np.float64]

RANK_MONTHS = 6
REVIEW_DAYS = 60


def build_payload(
    board: Board, unit: ModelUnit, config: Config, month: int | None = None, outside: Outside | None = None
) -> ReportPayload:
    """What the report of a month says (default: the last whole month before as_of).

    `outside`: what neither tables nor release hold: routing's own log, lists of pilots, whom to compare with.
    RequestError for a month that has not ended or lies before the data.
    """
    world = board.world
    assert world is not None
    tables = world.tables
    chosen = _chosen_month(world, month)
    panel = unit.contribution.panel
    if panel is None:
        raise RequestError(message("report.no_model"))
    outside = outside or Outside()
    top = outside.against == "top"
    rows = _panel_rows(world, unit, range(chosen - (TOP_MONTHS if top else RANK_MONTHS) + 1, chosen + 1))
    if not (rows["month"] == chosen).any():
        raise RequestError(message("report.nobody", month=moments.month_text(chosen)))
    mapping = driver_map(panel.features)
    made = explain_panel(panel, rows)
    now = (rows["month"] == chosen).to_numpy()
    here, y = rows.loc[now].reset_index(drop=True), rows["y"].to_numpy(dtype=np.float64)
    month_made = rows_of(made, now)
    teams = tables.reps.drop_duplicates("rep_id").set_index("rep_id")["team_id"]
    effects = tuple(_effect_row(row) for row in unit.effects)
    routed = routing(outside.routed, world.as_of, tables.zone).starts
    since = min(routed.values(), default=None)
    effectiveness = _effectiveness(world, unit, chosen, since)
    late = (rows["month"] > chosen - RANK_MONTHS).to_numpy()
    recent = rows.loc[late].reset_index(drop=True)
    gaps, comparison = _gaps(panel, tables, rows, made, here, top=top)
    whole = rep_months(tables, world.as_of, ZonedWorkdays(unit.workdays, tables.zone))
    measures = measure_results(tables, world.as_of, whole, config, outside)
    return ReportPayload(
        as_of=board.as_of,
        month=chosen,
        zone=tables.zone,
        currency=config.general.currency,
        effectiveness=effectiveness,
        company=attribute_company(month_made, mapping, "money"),
        teams=attribute_rows(month_made, [str(teams.get(rep, "")) for rep in here["rep_id"]], mapping, "money"),
        reps=attribute_rows(month_made, list(here["rep_id"]), mapping, "money"),
        ranking=rank_drivers(rows_of(made, late), list(recent["rep_id"]), mapping, np.random.default_rng(7)),
        effects=effects,
        rep_pages=rep_pages(world, chosen, rows, gaps, effects),
        matrix=matrix_of(recent, rows_of(made, late), chosen, mapping),
        measures=measures,
        pilots=pilots_of(tables, world.as_of, whole, unsettled(effects, measures)),
        routing_since=since,
        comparison=comparison,
        names=tuple(zip(tables.reps["rep_id"].astype(str), tables.reps["name"].astype(str), strict=True)),
        model=_quality(panel, unit.version),
        data=_data_note(board, unit, tables),
        month_change=_month_change(made, rows, y, chosen, mapping),
        review_on=moments.day_of(board.as_of + REVIEW_DAYS * DAY, tables.zone),
    )


def _gaps(
    panel: PanelModel, tables: Tables, rows: pd.DataFrame, made: Contributions, here: pd.DataFrame, *, top: bool
) -> tuple[dict[str, Gap], Comparison]:
    """Each rep's gap to those he is compared with, and who they are; `here`: the month's rows."""
    if top:
        return top_gaps(panel, rows, made, [str(rep) for rep in here["rep_id"]])
    tenure = dict(zip(here["rep_id"], here["rep_tenure_years"].to_numpy(dtype=np.float64), strict=True))
    reps = tables.reps.drop_duplicates("rep_id")
    territories = dict(zip(reps["rep_id"].astype(str), reps["territories"].astype(str), strict=True))
    return peer_gaps(panel, rows, made, tenure, territories), Comparison("peers")


def _chosen_month(world: World, month: int | None) -> int:
    zone = world.tables.zone
    last = moments.month_of(world.as_of, zone) - 1
    if month is None:
        return last
    if month > last:
        raise RequestError(
            message(
                "report.not_ended",
                month=moments.month_text(month),
                day=moments.iso(world.as_of, zone)[:10],
                last=moments.month_text(last),
            )
        )
    return month


def _panel_rows(world: World, unit: ModelUnit, months: range) -> pd.DataFrame:
    zone = world.tables.zone
    starts = [moments.month_start(month, zone) for month in months]
    exposure = ZonedWorkdays(unit.workdays, zone)
    rows = build_panel(world, [s for s in starts if s <= world.as_of], (0,), exposure.in_month)
    return rows.loc[rows["maturity"].to_numpy(dtype=bool)].reset_index(drop=True)


def _effect_row(row: Mapping[str, Any]) -> EffectRow:
    known = {field.name for field in fields(EffectRow)}
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row.items() if key in known
    }
    return EffectRow(**values)


def _month_change(made: Contributions, rows: pd.DataFrame, y: Floats, month: int, mapping: Any) -> Decomposition | None:
    months = rows["month"].to_numpy(dtype=np.int64)
    before, after = months == month - 1, months == month
    if not before.any() or not after.any():
        return None
    reps = rows["rep_id"].to_numpy(dtype=object)
    return month_against_month(
        rows_of(made, before), rows_of(made, after), list(reps[before]), list(reps[after]), y[before], y[after], mapping
    )


def _quality(panel: PanelModel, version: str) -> ModelQuality:
    error = panel.errors[0]
    mae = error.mae if np.isfinite(error.mae) else None
    baseline = None
    if mae is not None and np.isfinite(error.wape) and error.wape > 0 and np.isfinite(error.wape_of_mean):
        baseline = error.mae / error.wape * error.wape_of_mean
    return ModelQuality("LightGBM, rep x month", version, mae, baseline, error.n, error.n_months)


def _data_note(board: Board, unit: ModelUnit, tables: Tables) -> DataNote:
    done = contributions_of(tables, board.as_of)
    last = moments.month_of(board.as_of, tables.zone) - 1
    first = int(done["month"].min()) if len(done) else last
    rows = tuple((name, len(frame)) for name, frame in tables.frames.items() if len(frame))
    return DataNote(rows, first, last, unit.spec.excluded)


# -- effectiveness ----------------------------------------------------------------------------------------------


def _effectiveness(world: World, unit: ModelUnit, month: int, since: int | None) -> tuple[Effectiveness, ...]:
    """Contribution per effective head of the company, each team and each tenure band, with earlier months beside.

    `since`: first whole month of the machine's routing; the mean from then to `month` stands beside as well.
    """
    amounts = contributions_of(world.tables, world.as_of)
    routed = range(month + 1 if since is None else since, month + 1)
    wanted = (month, month - 1, month - 12)
    tables_by_month = {m: _heads(world, unit, m, amounts) for m in {*wanted, *routed}}
    groups = [("company", "company")]
    groups += [("team", team) for team in sorted(set(tables_by_month[month]["team"]) - {""})]
    groups += [("tenure", band) for band in TENURE_BANDS]
    found = []
    for kind, name in groups:
        now = _group(tables_by_month[month], kind, name)
        if now is None:
            continue
        heads, total, per_head = now
        earlier = [_group(tables_by_month[m], kind, name) for m in wanted[1:]]
        before, year_ago = (None if one is None else one[2] for one in earlier)
        months = [one for m in routed if (one := _group(tables_by_month[m], kind, name)) is not None]
        there = sum(one[0] for one in months)
        routed_head = sum(one[1] for one in months) / there if there > 0 else None
        found.append(Effectiveness(kind, name, heads, total, per_head, before, year_ago, routed_head))
    return tuple(found)


def _heads(world: World, unit: ModelUnit, month: int, amounts: pd.DataFrame) -> pd.DataFrame:
    """Reps present in a month: team, tenure band, days present, contribution."""
    tables, zone = world.tables, world.tables.zone
    start, end = moments.month_start(month, zone), moments.month_start(month + 1, zone)
    reps = tables.reps.loc[is_sales(tables.reps)]
    hired, left = reps["hired_on"].to_numpy(dtype=np.int64), reps["left_on"].to_numpy(dtype=np.int64)
    low, high = np.maximum(hired, start), np.minimum(left, end)
    days = ZonedWorkdays(unit.workdays, zone)
    present = days.between(low, np.maximum(low, high)) - _absent_days(world, unit, reps["rep_id"], start, end)
    money = amounts.loc[amounts["month"] == month].set_index("rep_id")["amount"]
    tenure = (start - hired) / (365.25 * DAY)
    frame = pd.DataFrame(
        {
            "team": reps["team_id"].to_numpy(dtype=object),
            "band": np.array(TENURE_BANDS, dtype=object)[np.searchsorted([1.0, 2.0], tenure, side="right")],
            "present": np.maximum(present, 0.0),
            "whole": days.in_month(month),
            "amount": money.reindex(reps["rep_id"]).fillna(0.0).to_numpy(),
        }
    )
    return frame.loc[(high > low)].reset_index(drop=True)


def _absent_days(world: World, unit: ModelUnit, reps: pd.Series, start: int, end: int) -> Floats:
    absences = world.tables.absences
    low = np.maximum(absences["starts_on"].to_numpy(dtype=np.int64), start)
    high = np.minimum(absences["ends_on"].to_numpy(dtype=np.int64) + DAY, end)
    days = ZonedWorkdays(unit.workdays, world.tables.zone).between(low, np.maximum(low, high))
    away = pd.Series(days).groupby(absences["rep_id"].to_numpy(dtype=object)).sum()
    return np.asarray(away.reindex(reps).fillna(0.0).to_numpy(dtype=np.float64))


def _group(frame: pd.DataFrame, kind: str, name: str) -> tuple[float, float, float | None] | None:
    """Effective heads, contribution and contribution per head of a group; None where nobody was there."""
    mine = frame if kind == "company" else frame.loc[(frame["team" if kind == "team" else "band"] == name)]
    if not len(mine):
        return None
    heads = effective_heads(mine["present"].to_numpy(), mine["whole"].to_numpy())
    total = float(mine["amount"].sum())
    return heads, total, total / heads if heads > 0 else None
