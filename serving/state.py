"""One state of knowledge: board, desk, and what is derived from them when first asked for. Replaced, never changed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from features import moments
from features.errors import (
    NoReleaseError,
)
from features.messages import message
from models.forecasting.draws import Draws
from models.forecasting.inputs import ForecastInputs
from models.warning_rules import WarningItem
from serving.alerts import AlertInputs, find_alerts
from serving.board import Board
from serving.desk import RoutingDesk
from serving.session import Session
from serving.texts import Lang
from serving.wording import DecisionWords, Json, feature_namer
from training.release import ReleaseError
from training.snapshot import forecast_inputs, panel_rows_now, scored_pairs, targets_of
from training.unit import ModelUnit


@dataclass(frozen=True)
class Outlook:
    """The forecast of one state: its inputs, draws, the targets they meet, and every lead with its chance."""

    inputs: ForecastInputs
    panel_rows: pd.DataFrame
    draws: Draws
    targets: pd.DataFrame
    pairs: pd.DataFrame


class State:
    """One state of knowledge: board, desk, and what is derived from them when first asked for."""

    def __init__(self, board: Board, session: Session, last_event: int, before: State | None = None) -> None:
        self.board = board
        self.session = session
        self.last_event = last_event
        self.lock = threading.Lock()
        self.refused: ReleaseError | None = None
        meanings = {} if board.unit is None else {row[0]: (row[3], row[4]) for row in board.unit.spec.describe()}
        names = zip(board.reps["rep_id"], board.reps["name"], strict=True)
        self.words = DecisionWords(
            session.config.general.currency, session.config.routing.objective,
            {str(rep): str(name) or str(rep) for rep, name in names}, feature_namer(meanings),
        )  # fmt: skip
        # Of its words, not of itself: a state that nothing points back to is freed the moment it is replaced, and
        # with it a whole world of features, which the collector of cycles may leave for hours.
        self.desk: RoutingDesk = RoutingDesk(board, self.words.answer, before.desk.ledger if before else None)
        if before is not None:
            self.desk.book.carry(before.desk.book)

    def name_of(self, rep_id: str) -> str:
        """A rep's name for people, his id where he has none."""
        return self.words.name_of(rep_id)

    def feature_name(self, lang: Lang, feature: str) -> str:
        """A model feature's name for people."""
        return self.words.feature_name(lang, feature)

    def document(self, record: Mapping[str, Any], lang: Lang) -> Json:
        """A decision's record in words."""
        return self.words.document(record, lang)

    @property
    def unit(self) -> ModelUnit:
        """The models; NoReleaseError where no promoted release fits."""
        if self.board.unit is None:
            raise self.refused or no_release(self.session, self.board.as_of)
        return self.board.unit

    @cached_property
    def outlook(self) -> Outlook:
        """Forecast draws for the month of as_of and the two after."""
        unit, world = self.unit, self.board.world
        assert world is not None
        pairs = scored_pairs(world, unit.conversion, unit.amount)
        inputs = forecast_inputs(world, unit.workdays, pairs)
        rows = panel_rows_now(world, unit.workdays)
        return Outlook(inputs, rows, unit.forecast(inputs, rows), targets_of(world.tables), pairs)

    @property
    def alert_inputs(self) -> AlertInputs:
        """What warnings and reasons of forecasts are found from."""
        unit, config, world, found = self.unit, self.session.config, self.board.world, self.outlook
        assert world is not None
        return AlertInputs(
            world, unit, found.inputs, found.draws, found.targets, found.pairs, config.general.miss_ratio,
            config.routing.contact_hours, config.warnings.budget,
        )  # fmt: skip

    @cached_property
    def alerts(self) -> list[WarningItem]:
        """Warnings as of now, most urgent first."""
        return find_alerts(self.alert_inputs)


def no_release(session: Session, as_of: int) -> NoReleaseError:
    """The error that names the command which makes a release."""
    when = moments.iso(as_of, session.tables.zone)
    return NoReleaseError(message("release.none_until", moment=when, short=when[:19]))
