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

import errno
from collections.abc import Sequence
from dataclasses import dataclass

from features.messages import Message, in_language, message

_SHOWN = 200
_SYSTEM = {
    errno.ENOENT: "system.not_there",
    errno.EACCES: "system.denied",
    errno.EPERM: "system.not_allowed",
    errno.EISDIR: "system.is_folder",
    errno.ENOTDIR: "system.no_folder",
    errno.EROFS: "system.read_only",
    errno.ENOSPC: "system.full",
}


@dataclass(frozen=True, order=True)
class Fault:
    """One broken rule. `row` is the 1-based data row (header excluded), 0 for the whole table."""

    table: str
    row: int
    column: str
    value: str
    rule: str

    def __str__(self) -> str:
        return self.told()

    def told(self) -> Message:
        """Where, what was found, and what would be right."""
        where = self.table + (f".{self.column}" if self.column else "")
        if self.row:
            return message("fault.row", where=where, row=self.row, value=self.value, rule=self.rule)
        if self.value:
            return message("fault.whole_found", where=where, value=self.value, rule=self.rule)
        return message("fault.whole", where=where, rule=self.rule)


class FairleadError(Exception):
    """Base of all errors that a caller can mend; shown without a traceback."""


class DataError(FairleadError):
    """The tables break the contract; `faults` lists all of it, ordered by table and row."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__(self.describe())

    def describe(self, shown: int = _SHOWN, lang: str = "en") -> str:
        """One line a fault, at most `shown`, then how many more there are, in the language `en` or `zh`."""
        lines = [in_language(message("faults.title", n=len(self.faults)), lang)]
        lines += [f"  {in_language(fault.told(), lang)}" for fault in self.faults[:shown]]
        if len(self.faults) > shown:
            lines.append(in_language(message("faults.more", n=len(self.faults) - shown), lang))
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


def system_words(error: OSError) -> str:
    """Why the system refused a file: a message where it is one of the usual reasons, else the system's own text."""
    code = _SYSTEM.get(error.errno or 0)
    return str(error.strerror or error) if code is None else message(code)


def said(error: Exception) -> str:
    """What an error says: its message, which both languages can say, or its text."""
    return error.args[0] if len(error.args) == 1 and isinstance(error.args[0], Message) else str(error)
