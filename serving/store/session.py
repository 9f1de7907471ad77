"""What every part of the store needs of an open connection: the connection itself, the clock, JSON of one form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from features.errors import FairleadError
from features.messages import message

Clock = Callable[[], int]
Json = Mapping[str, object]


class StoreError(FairleadError):
    """The store cannot do what was asked."""


class StoreBusyError(StoreError):
    """Other writers held the store for too long; the same call may be tried again."""


class StoreUnavailableError(StoreError):
    """The database cannot be reached, read or written (gone, full, read-only, damaged)."""


# Made once: `json.dumps` makes an encoder a call.
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


@dataclass
class Session:
    """An open connection and the wall clock (int64 microseconds UTC)."""

    connection: Connection
    clock: Clock
    _cursor: Any = field(default=None, init=False, repr=False)

    def run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of a statement with `?` for values, by the driver itself: what every decision asks must cost little."""
        return driven(self.connection, self._opened(), statement, *values)

    def _opened(self) -> Any:
        """The driver's cursor: one for all statements, as each is read to its end."""
        if self._cursor is None:
            self._cursor = self.connection.connection.cursor()
        return self._cursor


def driven(connection: Connection, cursor: Any, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Rows of a statement with `?` for values, run by the driver's cursor; errors are those of SQLAlchemy."""
    dialect = connection.dialect
    ours = statement if dialect.name == "sqlite" else statement.replace("?", "%s")
    driver = dialect.dbapi
    assert driver is not None
    try:
        cursor.execute(ours, values)
        return list(cursor.fetchall()) if cursor.description is not None else []
    except driver.Error as error:
        raise DBAPIError.instance(ours, None, error, driver.Error, dialect=dialect) from error


def to_text(value: object) -> str:
    """Compact JSON in the order given; ValueError on NaN and infinities, which JSON has no word for."""
    return _ENCODE(value)


def to_object(text: str) -> dict[str, object]:
    """The JSON object of `text`, keys in the order written, floats exact."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise StoreError(message("store.no_object"))
    return value


def to_rows(text: str) -> list[dict[str, object]]:
    """The JSON array of objects of `text`."""
    value = json.loads(text)
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise StoreError(message("store.no_list"))
    return list(value)
