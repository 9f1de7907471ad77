"""Opening what a command works on: settings, tables with the events received since, home, store and moment."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from features import moments
from features.config import Config
from features.errors import DataError, NoReleaseError, RequestError
from features.messages import Message, message
from features.rows import parse_rows, upsert
from features.settings_file import find_config, read_config
from features.sources import load, load_tables
from features.tables import Tables
from serving.home import Home, home_from, store_url
from serving.store import Store
from serving.webhooks.endpoints import subscriptions_of

if TYPE_CHECKING:
    from serving.core import Core
    from serving.pilots import PilotFile
    from training.drift import DriftReport


def clock() -> int:
    """Now, as a moment. The service's only clock; tests pass their own."""
    return time.time_ns() // 1_000


@dataclass
class Session:
    """What a command works on. `tables` hold all rows; `as_of` hides what is later.

    `as_of_given` tells a moment asked for from the default, which follows new events while serving.
    """

    config: Config
    tables: Tables
    as_of: int
    as_of_given: bool
    home: Home
    lang: str
    data: Path | None
    config_path: Path | None
    fingerprints: dict[str, str] = field(default_factory=dict)
    left_out: tuple[tuple[str, str, int], ...] = ()

    def now(self) -> int:
        """The clock's moment."""
        return clock()

    def reload(self) -> Tables:
        """The tables read again from where they came from, without events."""
        return load_tables(self.data, self.config, self.config_path.parent if self.config_path else None)

    def has_store(self) -> bool:
        """Whether there may be a store already; opening one makes it."""
        url = store_url(self.home, self.config.store_url)
        return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).exists()

    def open_store(self) -> Store:
        """The store of this installation, made where there is none."""
        self.home.root.mkdir(parents=True, exist_ok=True)
        store = Store.open(store_url(self.home, self.config.store_url))
        store.subscriptions = subscriptions_of(self.config)
        return store

    def drift(self) -> DriftReport:
        """What has drifted since the release that answers for `as_of` learnt; NoReleaseError where there is none."""
        import numpy as np

        from serving.drift_watch import save_report
        from training.drift import find_drift
        from training.release import release_for

        release = release_for(self.home.releases, self.as_of, self.tables.zone)
        found = find_drift(self.tables, self.config, release, self.as_of, np.random.default_rng(7))
        if not self.as_of_given:  # a look at the past is not what pages show
            save_report(self.home, found.as_dict())
        return found

    def needs_training(self) -> tuple[Message, ...]:
        """Why to train again, empty where nothing calls for it."""
        try:
            return tuple(found.what() for found in self.drift().alarms)
        except NoReleaseError:
            return (message("retrain.no_release"),)

    def pilots(self) -> dict[str, PilotFile]:
        """Lists of pilots by path as the settings name them; RequestError for one that cannot be read."""
        from serving.pilots import read_pilot

        base = self.config_path.parent if self.config_path else Path()
        return {one.pilot: read_pilot(base / one.pilot) for one in self.config.measures if one.pilot}

    def core(self, dry_run: bool = False) -> Core:
        """The facade over routing, forecasts, warnings and drivers."""
        from serving.core import Core

        return Core(self, dry_run=dry_run)


def read_settings(
    data: Path | None, home: Home, explicit: Path | None, lang: str | None
) -> tuple[Config, Path | None, str]:
    """Settings, the file they came from if any, and the language; RequestError for one that is not spoken."""
    path = find_config(data, home.root, explicit)
    config = read_config(path) if path is not None else Config()
    chosen = lang or config.general.lang
    if chosen not in {"en", "zh"}:
        raise RequestError(message("usage.lang", lang=chosen))
    return config, path, chosen


def spoken_language(data: Path | None, home: Path | None, config: Path | None, lang: str | None) -> str:
    """Language of a command's words: as asked for, else the setting's."""
    return read_settings(data, home_from(home), config, lang)[2]


def open_session(
    data: Path | None, home: Path | None, config: Path | None, as_of: str | None = None, lang: str | None = None
) -> Session:
    """A session on checked tables. DataError lists every fault; RequestError says what is missing."""
    place = home_from(home)
    settings, path, chosen = read_settings(data, place, config, lang)
    if data is None and not settings.tables:
        raise RequestError(message("usage.no_data"))
    loaded = load(data, settings, path.parent if path else None)
    session = Session(settings, loaded.tables, 0, as_of is not None, place, chosen, data, path)
    session.tables = with_stored_events(loaded.tables, session)
    session.fingerprints, session.left_out = dict(loaded.fingerprints), loaded.left_out
    session.as_of = parse_as_of(as_of, session.tables.zone) if as_of is not None else session.tables.newest()
    if session.as_of <= 0:
        raise RequestError(message("usage.no_event"))
    _check_measures(session)
    return session


def _check_measures(session: Session) -> None:
    """RequestError for a measure of reps or teams that no row of reps names, or whose pilot cannot be read."""
    session.pilots()
    reps = session.tables.reps
    for measure in session.config.measures:
        for one in measure.rounds:
            for column, named in (("rep_id", one.reps), ("team_id", one.teams)):
                unknown = sorted(set(named) - set(reps[column]))
                if unknown:
                    raise RequestError(
                        message("settings.measure", measure=measure.name, column=column, unknown=tuple(unknown[:5]))
                    )


def parse_as_of(text: str, zone: str, option: str = "--as-of") -> int:
    """Moment of --as-of, or of another option; a date means its 00:00."""
    try:
        return moments.parse(text, zone)
    except ValueError as error:
        raise RequestError(message("usage.moment", option=option, text=text)) from error


def with_stored_events(tables: Tables, session: Session) -> Tables:
    """The tables with every event that the service acknowledged; the newest received wins over the folder."""
    url = store_url(session.home, session.config.store_url)
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        return tables
    with session.open_store() as store, store.read() as view:
        for event in view.events_after(0):
            tables = apply_event(tables, event.table, event.rows)
    return tables


def apply_event(tables: Tables, table: str, rows: Sequence[Mapping[str, object]]) -> Tables:
    """Tables after one acknowledged event; DataError where its rows no longer fit (a parent left the folder)."""
    parsed = parse_rows(table, rows, tables)
    if parsed.faults:
        raise DataError(parsed.faults)
    return upsert(tables, table, parsed.frame)


def open_home(home: Path | None) -> tuple[Home, int]:
    """The home and now."""
    return home_from(home), clock()


def open_store(home: Path | None, config: Path | None) -> Store:
    """The store of a home, without tables."""
    place = home_from(home)
    settings, _, _ = read_settings(None, place, config, None)
    place.root.mkdir(parents=True, exist_ok=True)
    return Store.open(store_url(place, settings.store_url))
