"""The audit by group in sentences, for the command line, the interface and the pages."""

from __future__ import annotations

from serving.group_audit import FEWEST, LEVEL, AttributeAudit, Figure, GroupAudit
from serving.texts import Lang, number, percent, t


def audit_text(audit: GroupAudit, lang: Lang) -> list[str]:
    """The audit in sentences: period, what stands out, and how to take it."""
    said = [period(audit, lang)]
    said += [sentence for one in audit.audits for sentence in findings(one, lang)]
    said += [screening(lang), small_groups(audit, lang), t(lang, "group_audit.apart")]
    return [sentence for sentence in said if sentence]


def findings(audit: AttributeAudit, lang: Lang) -> list[str]:
    """A sentence for each figure below four fifths; one that says so where there is none or nothing to compare."""
    if len(audit.groups) < 2:
        return [t(lang, "group_audit.nothing", attribute=audit.attribute, fewest=FEWEST)]
    said = [
        _finding(audit, group.name, figure, lang)
        for group in audit.groups
        for figure in group.figures
        if figure.standing in ("below", "below_unsure")
    ]
    return said or [t(lang, "group_audit.fine", attribute=audit.attribute)]


def _finding(audit: AttributeAudit, group: str, figure: Figure, lang: Lang) -> str:
    values = {
        "attribute": audit.attribute,
        "group": group,
        "best": audit.best[f"{figure.given}.{figure.per}"],
        "what": t(lang, f"group_audit_what.{figure.given}_{figure.per}"),
    }
    if figure.ci_low is None:
        return t(lang, "group_audit.below_none", **values)
    ratio, low, high = (number(lang, one, 2) for one in (figure.ratio, figure.ci_low, figure.ci_high))
    return t(lang, f"group_audit.{figure.standing}", **values, ratio=ratio, low=low, high=high)


def period(audit: GroupAudit, lang: Lang) -> str:
    """Which decisions were counted."""
    since, until = audit.since[:16].replace("T", " "), audit.until[:16].replace("T", " ")
    return t(lang, "group_audit.period", since=since, until=until, n=number(lang, audit.n_decisions))


def small_groups(audit: GroupAudit, lang: Lang) -> str:
    """How many groups were too small to be shown; "" where none was."""
    hidden = sum(one.n_hidden for one in audit.audits)
    return t(lang, "group_audit.small", fewest=FEWEST, n=hidden) if hidden else ""


def screening(lang: Lang) -> str:
    """How a ratio below four fifths is to be taken."""
    return t(lang, "group_audit.screen", level=percent(lang, LEVEL))
