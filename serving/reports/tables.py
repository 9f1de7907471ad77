"""Tables and charts as a template takes them: finished texts, nothing left to compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from serving.texts import Lang, t


@dataclass(frozen=True)
class Cell:
    """One cell; `numeric` aligns right, `tag` shows the text as a label of that class, `href` makes it a link."""

    text: str
    numeric: bool = False
    tag: str = ""
    href: str = ""


@dataclass(frozen=True)
class Row:
    """One row; its first cell is the row's heading."""

    cells: tuple[Cell, ...]
    total: bool = False


@dataclass(frozen=True)
class TableView:
    """Caption, column headings and rows."""

    caption: str
    heads: tuple[Cell, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class ChartView:
    """Title and the chart's SVG."""

    title: str
    svg: Markup


def text(value: str) -> Cell:
    """Cell of words."""
    return Cell(value)


def numeric(value: str) -> Cell:
    """Cell of a number, aligned right."""
    return Cell(value, numeric=True)


def table(lang: Lang, prefix: str, heads: Sequence[str], rows: Sequence[Row], *, first_numeric: int = 99) -> TableView:
    """Table whose caption and headings stand in the catalogue under `prefix`; columns from `first_numeric` on hold
    numbers.
    """
    cells = tuple(Cell(t(lang, f"{prefix}.{head}"), at >= first_numeric) for at, head in enumerate(heads))
    return TableView(t(lang, f"{prefix}.caption"), cells, tuple(rows))
