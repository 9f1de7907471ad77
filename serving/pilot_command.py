"""What `fairlead pilot` says: a plan with its list, or what a finished pilot shows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from features.errors import RequestError
from features.messages import message
from features.moments import month_text
from models.drivers.panel_effects import EffectError
from serving import texts
from serving.pilots import pilot_bytes, read_pilot
from serving.reports.measure_view import measure_words, pilot_words
from serving.reports.measures import pilot_of_plan, pilot_result
from serving.session import Session
from serving.texts import as_lang, t
from training.measure_frames import next_month, rep_months
from training.pilots import design
from training.snapshot import ZonedWorkdays, workdays_of


def plan_words(session: Session, lever: str, seed: int, wanted: float | None) -> tuple[str, dict[str, Any], str]:
    """Sentence, JSON and CSV list of a pilot; no release is needed. RequestError where none can be planned."""
    tables = session.tables.known(session.as_of)
    frame = _frame(session)
    try:
        plan = design(tables, session.as_of, frame, lever, seed, wanted=wanted)
    except EffectError as error:
        raise RequestError(message("pilot.impossible", lever=lever, why=error.args[0])) from None
    start = next_month(session.as_of, tables.zone)
    pilot = pilot_of_plan(plan, lever, start, seed)
    lang = as_lang(session.lang)
    said = texts.driver(lang, lever) + t(lang, "report.colon")
    said += pilot_words(pilot, session.config.general.currency, lang, asked=wanted is not None)
    table = pilot_bytes(plan, lever, start).decode("utf-8")
    return said, {**asdict(pilot), "start": month_text(start)}, table


def result_words(session: Session, path: Path) -> tuple[str, dict[str, Any]]:
    """Sentence and JSON of what a drawn pilot shows so far."""
    drawn = read_pilot(path)
    unknown = sorted(set(drawn.first) - set(session.tables.reps["rep_id"]))
    if unknown:
        raise RequestError(message("pilot.unknown_rep", path=str(path), rep=unknown[0], n=len(unknown)))
    found = pilot_result(_frame(session), drawn, drawn.lever)
    if found is None:
        raise RequestError(message("pilot.nothing_yet", path=str(path), month=month_text(drawn.start)))
    lang = as_lang(session.lang)
    said = texts.driver(lang, drawn.lever) + t(lang, "report.colon")
    said += measure_words(found, session.config.general.currency, lang)
    return said, {**asdict(found), "first_month": month_text(drawn.start)}


def _frame(session: Session) -> Any:
    tables = session.tables.known(session.as_of)
    return rep_months(tables, session.as_of, ZonedWorkdays(workdays_of(tables), tables.zone))
