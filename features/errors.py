"""What can be wrong with data or a request.

FairleadError
    DataError               the tables are at fault; carries every fault found
    ConfigError             fairlead.toml is at fault
    SourceError             a file, query or database cannot be read at all
    RequestError            a command or call asks for something that cannot be had
        NoReleaseError      no promoted release whose data end at or before as_of
        UnknownRepError     a rep that the tables do not know
        UnknownLeadError    a lead that neither the tables nor the store knows
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SHOWN = 200


@dataclass(frozen=True, order=True)
class Fault:
    """One broken rule. `row` is the 1-based data row (header excluded), 0 for the whole table."""

    table: str
    row: int
    column: str
    value: str
    rule: str

    def __str__(self) -> str:
        where = f"{self.table}" + (f".{self.column}" if self.column else "")
        row = f" row {self.row}" if self.row else ""
        found = f" found {self.value!r};" if self.value or self.row else ""
        return f"{where}{row}:{found} {self.rule}"


class FairleadError(Exception):
    """Base of all errors that a caller can mend; shown without a traceback."""


class DataError(FairleadError):
    """The tables break the contract; `faults` lists all of it, ordered by table and row."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__(self.describe())

    def describe(self, shown: int = _SHOWN) -> str:
        """One line a fault, at most `shown`, then how many more there are."""
        lines = [f"{len(self.faults)} fault(s) in the tables:"]
        lines += [f"  {fault}" for fault in self.faults[:shown]]
        if len(self.faults) > shown:
            lines.append(f"  ... and {len(self.faults) - shown} more (--json lists all)")
        return "\n".join(lines)


class ConfigError(FairleadError):
    """fairlead.toml holds an unknown key or an impossible value."""


class SourceError(FairleadError):
    """A file, query or database cannot be read."""


class RequestError(FairleadError):
    """The request cannot be answered; the message says what would be right."""


class NoReleaseError(RequestError):
    """No promoted release fits the moment asked about."""


class UnknownRepError(RequestError):
    """The tables hold no such rep."""


class UnknownLeadError(RequestError):
    """Neither tables nor store hold such a lead."""
