"""`fairlead.toml` -> Config: unknown keys refused with the nearest legal one, types and ranges checked, all at once."""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import reduce
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from features.config import (
    Config,
    General,
    Incoming,
    Leads,
    Measure,
    Round,
    Routing,
    TableSource,
    Warnings,
    Webhook,
)
from features.contract import SCHEMA
from features.errors import ConfigError, system_words
from features.messages import message

FILE_NAME: Final = "fairlead.toml"

Check = Callable[[Any], str]
"""Returns what the value must be where it is not; "" where it is right."""


def find_config(data_dir: Path | None, home: Path | None, explicit: Path | None) -> Path | None:
    """Path of the settings that rule: the explicit one, else that in the data folder, else in HOME; None without any.

    Raises ConfigError where the explicit file does not exist.
    """
    if explicit is not None:
        if not explicit.is_file():
            raise ConfigError(message("settings.no_file", path=str(explicit)))
        return explicit
    for folder in (data_dir, home):
        if folder is not None and (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    return None


def read_config(path: Path) -> Config:
    """Settings of the file at `path`, defaults where it is silent. Raises ConfigError listing all that is wrong."""
    try:
        given = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(message("settings.unread", path=str(path), why=system_words(error))) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(message("settings.no_toml", path=str(path), why=str(error))) from None
    reading = _Reading()
    config = _config(given, reading)
    if reading.wrong:
        lines = reduce(lambda above, below: message("settings.lines", above=above, below=below), reading.wrong)
        raise ConfigError(message("settings.mistakes", path=str(path), n=len(reading.wrong), lines=lines))
    return config


def _is_text(value: Any) -> str:
    return "" if isinstance(value, str) else message("must.text")


def _is_flag(value: Any) -> str:
    return "" if isinstance(value, bool) else message("must.flag")


def _is_account_rule(value: Any) -> str:
    return "" if isinstance(value, bool) or value == "live" else message("must.account_rule")


def _is_zone(value: Any) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, TypeError, OSError):
        return message("must.zone")
    return ""


def _either(one: str, other: str) -> Check:
    return lambda value: "" if value in (one, other) else message("must.either", one=one, other=other)


def _whole(least: int, most: int) -> Check:
    def check(value: Any) -> str:
        right = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return "" if right else message("must.whole", least=least, most=most)

    return check


def _number(above: float, most: float, included: bool = False) -> Check:
    def check(value: Any) -> str:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        right = number and (above < value <= most or (included and value == above))
        if right:
            return ""
        if included:
            return message("must.number_from", least=above, most=most)
        return message("must.number_above", above=above, most=most)

    return check


def _are_texts(value: Any) -> str:
    right = isinstance(value, list) and all(isinstance(one, str) and one.strip() for one in value)
    return "" if right and len(set(value)) == len(value) else message("must.texts")


def _is_renaming(value: Any) -> str:
    right = isinstance(value, dict) and all(isinstance(theirs, str) and theirs.strip() for theirs in value.values())
    return "" if right else message("must.renaming", pattern='{ours = "theirs", ...}')


def _is_date(value: Any) -> str:
    if isinstance(value, date):
        return "" if not isinstance(value, datetime) else message("must.day_only")
    try:
        date.fromisoformat(value)
    except (TypeError, ValueError):
        return message("must.day")
    return ""


def _are_rounds(value: Any) -> str:
    right = isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
    return "" if right else message("must.rounds")


def _is_endpoint(value: Any) -> str:
    must = message("must.endpoint")
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        if parts is None or not parts.hostname or parts.port == 0 or parts.username is not None or parts.fragment:
            return must
    except ValueError:
        return must
    right = parts.scheme == "https" or (parts.scheme == "http" and _on_this_machine(parts.hostname))
    return "" if right and value.isascii() and value.isprintable() and " " not in value else must


def _on_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _are_message_kinds(value: Any) -> str:
    legal = ("decision", "release", "override", "move", "warning")
    return _are_texts(value) or ("" if set(value) <= set(legal) else message("must.kinds", names=legal))


def _is_secret(value: Any) -> str:
    return "" if isinstance(value, str) and len(value.strip()) >= 16 else message("must.secret")


_SECTIONS: Final[dict[str, dict[str, Check]]] = {
    "general": {
        "zone": _is_zone,
        "currency": _is_text,
        "lang": _either("en", "zh"),
        "miss_ratio": _number(0, 2),
    },
    "routing": {
        "objective": _either("expected_value", "wins"),
        "default_capacity": _whole(0, 1_000_000),
        "same_account": _is_account_rule,
        "contact_hours": _number(0, 24 * 365),
        "move_uncontacted_hours": _number(0, 24 * 365),
        "exploration": _number(0, 1, included=True),
        "holdout": _number(0, 1, included=True),
        "newcomer_min": _whole(0, 1_000_000),
        "newcomer_share": _number(0, 1, included=True),
        "high_value_max": _whole(0, 1_000_000),
    },
    "stages": {"order": _are_texts},
    "leads": {"ignore": _are_texts, "dead_after_days": _whole(1, 36_500)},
    "warnings": {"budget": _whole(0, 1_000_000)},
    "store": {"url": _is_text},
}
_TABLE: Final[dict[str, Check]] = {
    "file": _is_text,
    "query": _is_text,
    "database": _is_text,
    "left_out": _is_text,
    "columns": _is_renaming,
}

_WEBHOOK: Final[dict[str, Check]] = {"url": _is_endpoint, "secret": _is_secret, "events": _are_message_kinds}
_INCOMING: Final[dict[str, Check]] = {
    "secret": _is_secret,
    "url": _is_endpoint,
    "columns": _is_renaming,
    "reps": _is_renaming,
}
_SENDERS: Final = ("salesforce", "hubspot", "generic")

_ROUND: Final[dict[str, Check]] = {"starts_on": _is_date, "teams": _are_texts, "reps": _are_texts}
_MEASURE: Final[dict[str, Check]] = {**_ROUND, "title": _is_text, "pilot": _is_text, "rounds": _are_rounds}


@dataclass
class _Reading:
    """What has been found wrong so far."""

    wrong: list[str] = field(default_factory=list)

    def unknown(self, what: str, name: str, legal: Iterable[str]) -> None:
        """Note an unknown name, with the nearest legal one, else all of them."""
        names = list(legal)
        near = difflib.get_close_matches(name, names, 1, 0.6)
        if near:
            self.wrong.append(message("settings.unknown_near", what=what, near=near[0]))
        else:
            self.wrong.append(message("settings.unknown", what=what, names=tuple(names)))

    def section(self, name: str, given: Any, checks: Mapping[str, Check]) -> dict[str, Any]:
        """The section's right values."""
        if not isinstance(given, dict):
            self.wrong.append(message("settings.no_section", name=name, found=repr(given)))
            return {}
        right: dict[str, Any] = {}
        for key, value in given.items():
            if key not in checks:
                self.unknown(f"[{name}] {key}", key, checks)
            elif must := checks[key](value):
                if key in ("database", "url", "secret"):  # may hold what nobody else shall read
                    self.wrong.append(message("settings.must", section=name, key=key, must=must))
                else:
                    said = {"section": name, "key": key, "must": must, "found": repr(value)}
                    self.wrong.append(message("settings.must_found", **said))
            else:
                right[key] = value
        return right


def _config(given: Mapping[str, Any], reading: _Reading) -> Config:
    legal = [*_SECTIONS, "tables", "measures", "webhooks", "incoming"]
    for name in given:
        if name not in legal:
            reading.unknown(message("settings.section", name=name), name, legal)
    values = {name: reading.section(name, given.get(name, {}), checks) for name, checks in _SECTIONS.items()}
    routing = Routing(**values["routing"])
    if routing.exploration + routing.holdout > 1:
        reading.wrong.append(message("settings.shares"))
    if routing.move_uncontacted_hours is not None and routing.move_uncontacted_hours < routing.contact_hours:
        hours = {"least": routing.contact_hours, "found": routing.move_uncontacted_hours}
        reading.wrong.append(message("settings.move_hours", **hours))
    leads: dict[str, Any] = dict(values["leads"])
    leads["ignore"] = tuple(leads.get("ignore", ()))
    return Config(
        general=General(**values["general"]),
        routing=routing,
        leads=Leads(**leads),
        warnings=Warnings(**values["warnings"]),
        stage_order=tuple(values["stages"].get("order", ())),
        store_url=values["store"].get("url", ""),
        tables=_tables(given.get("tables", {}), reading),
        measures=_measures(given.get("measures", {}), reading),
        webhooks=_webhooks(given.get("webhooks", {}), reading),
        incoming=_incoming(given.get("incoming", {}), reading),
    )


def _webhooks(given: Any, reading: _Reading) -> tuple[Webhook, ...]:
    if not isinstance(given, dict):
        reading.wrong.append(message("settings.sections", name="webhooks", example="crm"))
        return ()
    found = []
    for name, section in given.items():
        right = reading.section(f"webhooks.{name}", section, _WEBHOOK)
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", name):
            reading.wrong.append(message("settings.webhook_name", name=name))
        elif isinstance(section, dict) and "url" not in section:
            reading.wrong.append(message("settings.webhook_url", name=name))
        elif "url" in right:
            found.append(Webhook(name, right["url"], right.get("secret", ""), tuple(right.get("events", ()))))
    return tuple(found)


def _incoming(given: Any, reading: _Reading) -> tuple[Incoming, ...]:
    if not isinstance(given, dict):
        reading.wrong.append(message("settings.sections", name="incoming", example="hubspot"))
        return ()
    found = []
    for name, section in given.items():
        if name not in _SENDERS:
            reading.unknown(f"[incoming.{name}]", name, _SENDERS)
            continue
        right = reading.section(f"incoming.{name}", section, _INCOMING)
        pairs = {key: tuple(right.get(key, {}).items()) for key in ("columns", "reps")}
        found.append(Incoming(name, right.get("secret", ""), right.get("url", ""), **pairs))
    return tuple(found)


def _measures(given: Any, reading: _Reading) -> tuple[Measure, ...]:
    if not isinstance(given, dict):
        said = {"name": "measures", "example": "reminders", "found": repr(given)}
        reading.wrong.append(message("settings.sections_found", **said))
        return ()
    found = []
    for name, section in given.items():
        right = reading.section(f"measures.{name}", section, _MEASURE)
        ways = [key for key in ("starts_on", "rounds", "pilot") if isinstance(section, dict) and key in section]
        if len(ways) > 1:
            both = reduce(lambda one, other: message("settings.and", one=one, other=other), ways)
            reading.wrong.append(message("settings.measure_ways", name=name, ways=both))
        elif not ways and isinstance(section, dict):
            reading.wrong.append(message("settings.measure_way", name=name))
        if ways != ["starts_on"] and isinstance(section, dict) and {"teams", "reps"} & set(section):
            reading.wrong.append(message("settings.measure_whom", name=name))
        if len(ways) != 1 or ways[0] not in right:
            continue
        rounds = [right] if "starts_on" in right else right.get("rounds", [])
        found.append(
            Measure(
                name=name,
                title=right.get("title", ""),
                rounds=tuple(_round(name, one, reading) for one in rounds),
                pilot=right.get("pilot", ""),
            )
        )
    return tuple(found)


def _round(name: str, given: Mapping[str, Any], reading: _Reading) -> Round:
    own = {key: value for key, value in given.items() if key not in ("title", "pilot")}
    right = reading.section(f"measures.{name}.rounds", own, _ROUND)
    if "starts_on" not in own:
        reading.wrong.append(message("settings.round_start", name=name))
    return Round(str(right.get("starts_on", "")), tuple(right.get("teams", ())), tuple(right.get("reps", ())))


def _tables(given: Any, reading: _Reading) -> tuple[tuple[str, TableSource], ...]:
    if not isinstance(given, dict):
        said = {"name": "tables", "example": "leads", "found": repr(given)}
        reading.wrong.append(message("settings.sections_found", **said))
        return ()
    sources: list[tuple[str, TableSource]] = []
    for name, section in given.items():
        if name not in SCHEMA:
            reading.unknown(f"[tables.{name}]", name, SCHEMA)
            continue
        right = reading.section(f"tables.{name}", section, _TABLE)
        columns = right.pop("columns", {})
        _check_source(name, right, columns, reading)
        sources.append((name, TableSource(**right, columns=tuple(columns.items()))))
    return tuple(sources)


def _check_source(name: str, right: Mapping[str, str], columns: Mapping[str, str], reading: _Reading) -> None:
    file, query, database = (right.get(key, "").strip() for key in ("file", "query", "database"))
    if file and query:
        reading.wrong.append(message("settings.file_and_query", name=name))
    if database and not query:
        reading.wrong.append(message("settings.database_alone", name=name))
    if right.get("left_out", "").strip() and not query:
        reading.wrong.append(message("settings.left_out_alone", name=name))
    if not (file or query or columns):
        reading.wrong.append(message("settings.empty_table", name=name))
    if SCHEMA[name].extra_features:  # any column may be a lead feature
        return
    for ours in columns:
        if SCHEMA[name].column(ours) is None:
            reading.unknown(f"[tables.{name}] columns.{ours}", ours, [column.name for column in SCHEMA[name].columns])
