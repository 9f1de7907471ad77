"""The audit by group for people: sentences, a page that stands alone and prints, and a table for spreadsheets."""

from __future__ import annotations

import json
from pathlib import Path

from serving.group_audit import FEWEST, GIVEN, LEVEL, AttributeAudit, Figure, GroupAudit
from serving.pages.exports import Value, csv_bytes
from serving.pages.rendering import HTML_LANG, OTHER, inline_css, render
from serving.reports.tables import Cell, Row, TableView, numeric, text
from serving.texts import LANGUAGES, Lang, number, percent, t

_COLUMNS = (
    "attribute", "group", "n_reps", "share_of_reps", "share_of_places", "share_of_leads", "share_of_high_value",
    "share_of_expected_value", "given", "per", "rate", "ratio", "ci_low", "ci_high", "standing",
)  # fmt: skip


def audit_text(audit: GroupAudit, lang: Lang) -> list[str]:
    """The audit in sentences: period, what stands out, and how to take it."""
    hidden = sum(one.n_hidden for one in audit.audits)
    said = [_period(audit, lang)]
    said += [sentence for one in audit.audits for sentence in findings(one, lang)]
    said.append(t(lang, "group_audit.screen", level=percent(lang, LEVEL)))
    if hidden:
        said.append(t(lang, "group_audit.small", fewest=FEWEST, n=hidden))
    return [*said, t(lang, "group_audit.apart")]


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


def _period(audit: GroupAudit, lang: Lang) -> str:
    since, until = audit.since[:16].replace("T", " "), audit.until[:16].replace("T", " ")
    return t(lang, "group_audit.period", since=since, until=until, n=number(lang, audit.n_decisions))


def write_audit(audit: GroupAudit, folder: Path) -> list[Path]:
    """Paths of the pages in both languages, the table and the JSON written into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, bytes] = {f"audit-{lang}.html": render_audit(audit, lang).encode() for lang in LANGUAGES}
    made["audit.csv"] = csv_bytes(_COLUMNS, _csv_rows(audit))
    made["audit.json"] = (json.dumps(audit.as_dict(), ensure_ascii=False, indent=1) + "\n").encode()
    for name, body in made.items():
        (folder / name).write_bytes(body)
    return [folder / name for name in made]


def _csv_rows(audit: GroupAudit) -> list[list[Value]]:
    return [
        [
            one.attribute, group.name, group.n_reps, group.share_of_reps, group.share_of_places,
            *(group.shares[kind] for kind in GIVEN), figure.given, figure.per, figure.rate, figure.ratio,
            figure.ci_low, figure.ci_high, figure.standing,
        ]
        for one in audit.audits
        for group in one.groups
        for figure in group.figures
    ]  # fmt: skip


def render_audit(audit: GroupAudit, lang: Lang) -> str:
    """HTML without script or outside asset."""
    hidden = sum(one.n_hidden for one in audit.audits)
    context = {
        "css": inline_css(),
        "other_html_lang": HTML_LANG[OTHER[lang]],
        "period": _period(audit, lang),
        "screen": t(lang, "group_audit.screen", level=percent(lang, LEVEL)),
        "small": t(lang, "group_audit.small", fewest=FEWEST, n=hidden) if hidden else "",
        "sections": [
            {
                "heading": t(lang, "group_audit.heading", attribute=one.attribute),
                "findings": findings(one, lang),
                "tables": [_shares(one, lang), _rates(one, lang)] if len(one.groups) > 1 else [],
            }
            for one in audit.audits
        ],
    }
    return render("group_audit.html.j2", lang, context)


def _shares(audit: AttributeAudit, lang: Lang) -> TableView:
    names = [t(lang, f"group_audit.{key}") for key in ("group", "n_reps", "share_of_reps", "share_of_places")]
    names += [t(lang, f"group_audit_given.{kind}") for kind in GIVEN]
    rows = []
    for group in audit.groups:
        shares = (group.share_of_reps, group.share_of_places, *(group.shares[kind] for kind in GIVEN))
        cells = (numeric(percent(lang, share, 1)) for share in shares)
        rows.append(Row((text(group.name), numeric(number(lang, group.n_reps)), *cells)))
    heads = tuple(Cell(name, numeric=at > 0) for at, name in enumerate(names))
    return TableView(t(lang, "group_audit.caption_shares", attribute=audit.attribute), heads, tuple(rows))


def _rates(audit: AttributeAudit, lang: Lang) -> TableView:
    keys = ("group", "measure", "rate", "ratio", "interval", "standing")
    rows = []
    for group in audit.groups:
        for one in group.figures:
            between = "–" if one.ci_low is None else f"{number(lang, one.ci_low, 2)} – {number(lang, one.ci_high, 2)}"
            numbers = (number(lang, one.rate, 2), number(lang, one.ratio, 2), between)
            rows.append(
                Row(
                    (
                        text(group.name),
                        text(t(lang, f"group_audit_measure.{one.given}_{one.per}")),
                        *map(numeric, numbers),
                        text(t(lang, f"group_audit_standing.{one.standing}")),
                    )
                )
            )
    heads = tuple(Cell(t(lang, f"group_audit.{key}"), numeric=key in ("rate", "ratio", "interval")) for key in keys)
    return TableView(t(lang, "group_audit.caption_rates", attribute=audit.attribute), heads, tuple(rows))
