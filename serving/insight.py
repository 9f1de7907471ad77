"""What managers and HR read: forecasts, reasons, what-ifs, warnings and drivers, from the newest state."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from features import moments
from features.errors import (
    RequestError,
    UnknownRepError,
)
from features.messages import message
from models.forecasting.draws import Level, to_table
from models.forecasting.inputs import Changes
from models.forecasting.whatif import FollowUpEffect, follow_up_gain, forecast_both, members_of, what_if_table
from serving.alerts import AlertWords, alert_documents, forecast_reason_rows, signals
from serving.comparison import MOST_CHOICES, Comparison, compare, outcomes_of
from serving.drift_watch import last_report
from serving.session import Session
from serving.shadow import Shadow
from serving.state import State
from serving.store import AlertState, Store
from serving.texts import as_lang
from serving.wording import Json
from training.release import challenger


def dump_json(document: object) -> str:
    """JSON text for a file, with a final newline."""
    return json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


_WITH_A_LEVEL = (
    "as_of", "month", "currency", "effects", "measures", "routing_since", "comparison", "ranking", "model", "statement",
)  # fmt: skip


class Insight(ABC):
    """The part of the facade that only reads, but for acknowledgements; `Core` gives it session, store and state."""

    session: Session
    store: Store
    shadow: Shadow

    @abstractmethod
    def state(self) -> State:
        """The newest state: events that any process acknowledged are in it."""

    @property
    def zone(self) -> str:
        """Time zone of days, weeks and times without an offset."""
        return self.session.tables.zone

    def forecast_table(self, month: str | None, level: str) -> pd.DataFrame:
        """The contract's forecast; RequestError for a month outside the three that are forecast."""
        state = self.state()
        found = state.outlook
        table = to_table(
            found.draws,
            cast("Level", level),
            found.targets,
            self.session.config.general.miss_ratio,
            state.board.as_of,
            self.zone,
        )
        if month is None:
            return table
        months = [moments.month_text(int(m)) for m in found.draws.months]
        if month not in months:
            day = moments.iso(state.board.as_of, self.zone)[:10]
            raise RequestError(message("asked.month_of", month=month, day=day, months=tuple(months)))
        return table.loc[table["month"] == month].reset_index(drop=True)

    def forecast_csv(self, month: str | None, level: str) -> str:
        """The forecast as CSV: money to the cent, probabilities to six digits."""
        table = _rounded(self.forecast_table(month, level))
        return str(table.to_csv(index=False, lineterminator="\n"))

    def forecasts(self, *, month: str | None, level: str, id: str | None, lang: str) -> Json:  # noqa: A002 - the route's own word
        """`{"items": [row of the forecast table]}`."""
        del lang  # numbers only
        table = _rounded(self.forecast_table(month, level))
        if id is not None:
            table = table.loc[table["rep_id" if level == "rep" else "id"] == id]
            if not len(table):
                said = message("unknown.level_forecast", level=message(f"level.{level}"), of=id)
                raise (UnknownRepError if level == "rep" else RequestError)(said)
        items = [{str(k): plain_value(v) for k, v in row.items()} for row in table.to_dict("records")]
        if level == "rep":
            items = [{"level": "rep", "id": item["rep_id"], **item} for item in items]
        choice = self.state().unit.contribution.choice
        return {"items": items, "method": choice.method, "reason": choice.reason}

    def forecast_reasons(self, *, id: str, lang: str) -> Json:  # noqa: A002 - the route's own word
        """`{"items": [{rep_id, month, driver, value, reference, difference, p_miss_difference}]}` of a rep."""
        del lang  # codes and numbers
        state = self.state()
        if id not in state.outlook.draws.rep_ids:
            raise UnknownRepError(message("unknown.rep_forecast", rep=id))
        rows = forecast_reason_rows(state.alert_inputs)
        rows = rows.loc[(rows["rep_id"] == id).to_numpy()]
        rows = rows.assign(month=[moments.month_text(int(m)) for m in rows["month"]])
        items = [{str(k): plain_value(v) for k, v in row.items()} for row in rows.to_dict("records")]
        return {"items": items, "meaning": "model_forecast"}

    def what_if(self, level: str, id: str | None, changes: Changes, *, lang: str) -> Json:  # noqa: A002
        """Forecasts of a rep, a team or the company as they stand and under changes; `changes.rep_ids` is filled in."""
        del lang  # codes and numbers
        state = self.state()
        unit, found, ratio = state.unit, state.outlook, self.session.config.general.miss_ratio
        reps = members_of(found.inputs, cast("Level", level), id)
        asked = replace(changes, rep_ids=reps)
        now, then = forecast_both(
            unit.contribution, found.inputs, asked, found.panel_rows, found.draws.samples.shape[0]
        )
        table = what_if_table(now, then, reps, found.targets, ratio)
        names = ("estimate", "ci_low", "ci_high", "verdict")
        effect = next(
            (
                FollowUpEffect(*(row[name] for name in names))
                for row in unit.effects
                if (row["driver"], row["outcome"]) == ("followups_per_week", "contribution")
            ),
            None,
        )
        rates = {s.rep_id: s.follow_ups.value for s in signals(state.alert_inputs) if s.follow_ups is not None}
        return {
            "level": level,
            "id": id,
            "items": [{str(k): plain_value(v) for k, v in row.items()} for row in table.to_dict("records")],
            "meaning": "model_forecast",
            "method": unit.contribution.choice.method,
            "effect": {"meaning": "effect", **follow_up_gain(effect, rates, reps, changes.follow_up_ratio)},
        }

    def warning_items(self, lang: str | None = None) -> list[Json]:
        """The contract's warnings, most urgent first, with their state in the store."""
        state = self.state()
        ids = [item.id for item in state.alerts]
        with self.store.read() as view:
            states = view.alerts() if view.alerts_are_current(ids) else None
        if states is None:
            with self.store.transaction() as tx:
                at = moments.iso(state.board.as_of, self.zone)
                told = self._alert_words(self.session.lang)
                states = tx.sync_alerts(
                    ids,
                    now=state.board.as_of,
                    documents=lambda: {
                        str(one["id"]): one for one in alert_documents(state.alerts, told, lambda _: ("open", at))
                    },
                )
        known: Mapping[str, AlertState] = states
        words = self._alert_words(lang or self.session.lang)

        def status_of(warning_id: str) -> tuple[str, str]:
            found = known.get(warning_id)
            return ("open", "") if found is None else (found.status, moments.iso(found.opened_at, self.zone))

        return alert_documents(state.alerts, words, status_of)

    def _alert_words(self, lang: str) -> AlertWords:
        config = self.session.config
        return AlertWords(
            as_lang(lang), config.general.currency, config.general.miss_ratio, config.routing.contact_hours
        )

    def warnings(self, *, lang: str) -> Json:
        """`{"items": [warning]}`."""
        return {"items": self.warning_items(lang)}

    def acknowledge(self, warning_id: str, *, by: str, note: str, lang: str) -> Json:
        """The acknowledged warning."""
        items = {item["id"]: item for item in self.warning_items(lang)}
        with self.store.transaction() as tx:
            state = tx.acknowledge_alert(warning_id, by=by, note=note, now=self.session.now())
        return {
            **items.get(warning_id, {"id": warning_id}),
            "status": state.status,
            "acknowledged_by": by,
            "note": note,
        }

    def warning_rep(self, warning_id: str) -> str | None:
        """Whose warning it is; None for one that nobody raised."""
        return next((item.rep_id for item in self.state().alerts if item.id == warning_id), None)

    def drivers(self, *, level: str | None, id: str | None, lang: str, against: str = "peers") -> Json:  # noqa: A002 - the route's own word
        """`drivers.json`, narrowed to a level and an id where given."""
        del lang  # codes and numbers
        from serving.reports.payload import drivers_json

        whole = drivers_json(self.driver_payload(None, against))
        if level is None:
            return whole
        blocks = {"company": [whole["company"]], "team": whole["teams"], "rep": whole["reps"]}[level]
        if id is not None:
            blocks = [block for block in blocks if block["id"] == id]
            if not blocks:
                said = message("unknown.level_drivers", level=message(f"level.{level}"), of=str(id))
            raise (UnknownRepError if level == "rep" else RequestError)(said)
        kept = {key: whole[key] for key in _WITH_A_LEVEL}
        return {**kept, "level": level, "items": blocks}

    def driver_payload(self, month: str | None, against: str = "peers") -> Any:
        """What the driver report says, without language; reps are compared with their peers or with the top tenth."""
        from serving.reports.assemble import build_payload
        from serving.reports.measures import Outside

        state = self.state()
        assert state.unit is not None
        index = None if month is None else _month(month)
        with self.store.read() as view:
            routed = view.first_given()
        outside = Outside(routed, self.session.pilots(), "top" if against == "top" else "peers")
        return build_payload(state.board, state.unit, self.session.config, index, outside)

    def comparison(self) -> tuple[str | None, Comparison]:
        """Version that runs in shadow (None for none), and what shadow mode has seen of it."""
        named = challenger(self.session.home.releases)
        with self.store.read() as view:
            choices = view.shadow_choices(named, MOST_CHOICES) if named else []
        board, unit = self.state().board, self.shadow.unit
        known = None
        if choices and unit is not None and board.unit is not None and unit.version == named:
            ours = [one for one in choices if one.champion == board.unit.version]
            dead = self.session.config.leads.dead_after_days
            known = outcomes_of(ours, board.tables, board.as_of, dead, board.unit, unit)
        return named, compare(choices, known)

    def challenger(self) -> Json:
        """`{"challenger", "champion", "refused", "failed", "skipped", "agreement", "worth", "sources", ...}`."""
        named, found = self.comparison()
        unit, shown = self.state().board.unit, found.as_dict()
        for name in ("since", "until"):
            shown[name] = None if shown[name] is None else moments.iso(shown[name], self.zone)
        return {
            "challenger": named,
            "champion": None if unit is None else unit.version,
            "refused": self.shadow.refused,
            "failed": self.shadow.failed,
            "skipped": self.shadow.skipped,
            **shown,
        }

    def drift(self) -> Json:
        """The newest report on drift; without a release and findings before the first look."""
        blank: Json = {"release": None, "as_of": None, "needed": False, "findings": []}
        return last_report(self.session.home) or blank

    def write_report(self, out: Path, month: str | None, lang: str | None = None, against: str = "peers") -> list[Path]:
        """Write `drivers.json`, `report.html` and `report.xlsx` into a folder; the paths."""
        from serving.reports.payload import drivers_json
        from serving.reports.render import render_report
        from serving.reports.workbook import report_workbook

        payload = self.driver_payload(month, against)
        out.mkdir(parents=True, exist_ok=True)
        written = [out / "drivers.json", out / "report.html", out / "report.xlsx"]
        spoken = as_lang(lang or self.session.lang)
        written[0].write_text(dump_json(drivers_json(payload)), encoding="utf-8")
        written[1].write_text(render_report(payload, spoken), encoding="utf-8")
        written[2].write_bytes(report_workbook(payload, spoken))
        return written


def _month(text: str) -> int:
    try:
        return moments.parse_month(text)
    except ValueError as error:
        raise RequestError(message("asked.month_text", month=text)) from error


def plain_value(value: Any) -> Any:
    """JSON-able value: NaN as null, numpy numbers as Python's."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    money = [name for name in table.columns if name in ("mean", "target") or (name[0] == "p" and name[1:].isdigit())]
    rounded = table.assign(**{name: table[name].round(2) for name in money})
    return rounded.assign(p_miss=rounded["p_miss"].round(6))
