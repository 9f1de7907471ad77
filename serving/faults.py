"""Faults of the tables as lines in the reader's language."""

from __future__ import annotations

from typing import Final

from features.errors import DataError, Fault
from features.messages import in_language
from serving.texts import Lang, t

SHOWN: Final = 200


def fault_line(fault: Fault, lang: Lang) -> str:
    """One fault as a line: table, column, row, value found, and what would be right."""
    if lang == "en":
        return str(fault)
    where = fault.table + (f".{fault.column}" if fault.column else "")
    row = t(lang, "faults.row", row=fault.row) if fault.row else ""
    found = t(lang, "faults.found", value=repr(fault.value)) if fault.value or fault.row else ""
    return t(lang, "faults.line", where=where, row=row, found=found, rule=in_language(fault.rule, lang))


def faults_text(error: DataError, lang: Lang, shown: int = SHOWN) -> str:
    """All faults of an error, a line each, at most `shown`, then how many more there are."""
    if lang == "en":
        return error.describe(shown)
    lines = [t(lang, "faults.title", n=len(error.faults))]
    lines += [f"  {fault_line(fault, lang)}" for fault in error.faults[:shown]]
    if len(error.faults) > shown:
        lines.append(t(lang, "faults.more", n=len(error.faults) - shown))
    return "\n".join(lines)
