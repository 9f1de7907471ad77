"""`fairlead check`: the report on a folder or mapping of tables, for people in their language and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from features import moments
from features.errors import DataError, Fault, RequestError
from features.messages import in_language, message
from features.sources import load
from serving.home import home_from
from serving.session import parse_as_of, read_settings
from serving.texts import Lang, as_lang, number, t

_MOST_LINES = 1000


@dataclass(frozen=True)
class CheckReport:
    """Rows a table, faults, and lead columns that will not be used, with why.

    `rows_left_out`: (table, reason, rows) of what the settings' queries leave out.
    """

    lang: Lang
    rows: dict[str, int]
    faults: tuple[Fault, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    newest: str = ""
    rows_left_out: tuple[tuple[str, str, int], ...] = ()

    def as_dict(self) -> dict[str, object]:
        """JSON-able form; rules and reasons in English, as programs know them."""
        return {
            "ok": not self.faults,
            "rows": self.rows,
            "newest": self.newest,
            "faults": [fault.__dict__ for fault in self.faults],
            "left_out": [{"column": column, "reason": reason} for column, reason in self.left_out],
            "rows_left_out": [
                {"table": table, "reason": reason, "rows": rows} for table, reason, rows in self.rows_left_out
            ],
        }

    def as_text(self) -> str:
        """A paragraph a person reads."""
        lang = self.lang
        if self.faults:
            return DataError(self.faults).describe(_MOST_LINES, lang)
        lines = [t(lang, "check.sound")]
        lines += [t(lang, "check.rows", table=f"{name:<12}", n=f"{n:>10,}") for name, n in self.rows.items()]
        lines += [t(lang, "check.newest", moment=self.newest)] if self.newest else []
        lines += [
            t(lang, "check.query_left_out", table=table, n=number(lang, n), reason=reason)
            for table, reason, n in self.rows_left_out
        ]
        lines += [
            t(lang, "check.left_out", column=column, reason=in_language(reason, lang))
            for column, reason in self.left_out
        ]
        return "\n".join(lines)


def check_tables(
    data: Path | None, home: Path | None, config: Path | None, lang: str | None, as_of: str | None = None
) -> CheckReport:
    """The report, without the store's events. Checks run on all rows; `as_of` moves what lead columns are judged by."""
    from features.spec import make_spec

    settings, path, chosen = read_settings(data, home_from(home), config, lang)
    spoken = as_lang(chosen)
    if data is None and not settings.tables:
        raise RequestError(message("usage.no_data"))
    try:
        loaded = load(data, settings, path.parent if path else None)
    except DataError as error:
        return CheckReport(spoken, {}, error.faults)
    tables, newest = loaded.tables, loaded.tables.newest()
    rows = {name: len(frame) for name, frame in tables.frames.items()}
    moment = newest if as_of is None else min(parse_as_of(as_of, tables.zone), newest)
    if moment <= 0:
        return CheckReport(spoken, rows, (), rows_left_out=loaded.left_out)
    spec = make_spec(tables, settings, moment)
    return CheckReport(spoken, rows, (), spec.excluded, moments.iso(newest - 1, tables.zone), loaded.left_out)
