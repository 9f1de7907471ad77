"""The audit by group for people: a page that stands alone and prints, and a table for spreadsheets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from serving.group_audit import GIVEN, AttributeAudit, GroupAudit
from serving.group_audit_words import findings, period, screening, small_groups
from serving.pages.exports import Value, csv_bytes
from serving.pages.rendering import HTML_LANG, OTHER, inline_css, render
from serving.reports.tables import Cell, Row, TableView, numeric, text
from serving.texts import LANGUAGES, Lang, number, percent, t

_COLUMNS = (
    "attribute", "group", "n_reps", "share_of_reps", "share_of_places", "share_of_leads", "share_of_high_value",
    "share_of_expected_value", "given", "per", "rate", "ratio", "ci_low", "ci_high", "standing",
)  # fmt: skip


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
    context = {"css": inline_css(), "other_html_lang": HTML_LANG[OTHER[lang]], **audit_context(audit, lang)}
    return render("group_audit.html.j2", lang, context)


def audit_context(audit: GroupAudit, lang: Lang) -> dict[str, Any]:
    """What the body of the page shows, by itself or inside the service."""
    return {
        "period": period(audit, lang),
        "screen": screening(lang),
        "small": small_groups(audit, lang),
        "sections": [
            {
                "heading": t(lang, "group_audit.heading", attribute=one.attribute),
                "findings": findings(one, lang),
                "tables": [_shares(one, lang), _rates(one, lang)] if len(one.groups) > 1 else [],
            }
            for one in audit.audits
        ],
    }


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
