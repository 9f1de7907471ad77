"""The tables of the contract: columns, types, keys and the time that makes a row known.

`SCHEMA` is the single place that reading, checking, events and documentation take the columns from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["text", "date", "time", "number", "integer", "money", "boolean", "month", "status", "list"]


@dataclass(frozen=True)
class Column:
    """A column: its type, and whether it must be there. `minimum`/`maximum` bound numbers, both included.

    A required column's cells must be filled, too, unless it `may_be_empty`, or is to be `filled_where` another column
    has a value: a lead whose source nobody knows is still a lead, and a lost deal has no amount.
    """

    name: str
    kind: Kind
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    may_be_empty: bool = False
    filled_where: tuple[str, str] | None = None


@dataclass(frozen=True)
class Reference:
    """`column` must be found in `table`.`target` unless empty."""

    column: str
    table: str
    target: str


@dataclass(frozen=True)
class TableSchema:
    """One table. `time` names the column whose moment makes a row known; None: a plan, known ahead."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    time: str | None
    optional: bool = False
    references: tuple[Reference, ...] = ()
    extra_features: bool = False

    def column(self, name: str) -> Column | None:
        """The column called `name`, or None."""
        return next((column for column in self.columns if column.name == name), None)


def _text(name: str, required: bool = False) -> Column:
    return Column(name, "text", required)


def _recorded() -> Column:
    return Column("recorded_at", "time")


_REP = Reference("rep_id", "reps", "rep_id")
_LEAD = Reference("lead_id", "leads", "lead_id")

SCHEMA: Final[dict[str, TableSchema]] = {
    schema.name: schema
    for schema in (
        TableSchema(
            "reps",
            (
                _text("rep_id", True),
                _text("name"),
                _text("department"),
                _text("team_id"),
                _text("manager_id"),
                Column("hired_on", "date", True),
                Column("left_on", "date"),
                Column("territories", "list"),
                Column("industries", "list"),
                Column("weekly_capacity", "integer", minimum=0),
                _recorded(),
            ),
            ("rep_id",),
            "hired_on",
        ),
        TableSchema(
            "leads",
            (
                _text("lead_id", True),
                Column("created_at", "time", True),
                Column("source", "text", True, may_be_empty=True),
                _text("territory"),
                _text("industry"),
                _text("marketer_id"),
                _text("sourced_by_rep_id"),
                _text("referred_by_lead_id"),
                _text("account_id"),
                _recorded(),
            ),
            ("lead_id",),
            "created_at",
            references=(Reference("sourced_by_rep_id", "reps", "rep_id"),),
            extra_features=True,
        ),
        TableSchema(
            "assignments",
            (_text("lead_id", True), _text("rep_id", True), Column("assigned_at", "time", True), _recorded()),
            ("lead_id", "rep_id", "assigned_at"),
            "assigned_at",
            references=(_LEAD, _REP),
        ),
        TableSchema(
            "activities",
            (
                _text("activity_id", True),
                _text("lead_id", True),
                _text("rep_id", True),
                Column("occurred_at", "time", True),
                _text("kind"),
                _text("outcome"),
                Column("minutes", "number", minimum=0),
                _recorded(),
            ),
            ("activity_id",),
            "occurred_at",
            optional=True,
            references=(_LEAD, _REP),
        ),
        TableSchema(
            "stages",
            (
                _text("lead_id", True),
                _text("stage", True),
                Column("entered_at", "time", True),
                Column("expected_amount", "number", minimum=0),
                Column("expected_close_on", "date"),
                _recorded(),
            ),
            ("lead_id", "stage", "entered_at"),
            "entered_at",
            optional=True,
            references=(_LEAD,),
        ),
        TableSchema(
            "deals",
            (
                _text("deal_id", True),
                _text("lead_id", True),
                _text("rep_id", True),
                Column("closed_at", "time", True),
                Column("status", "status", True),
                Column("amount", "money", True, minimum=0, filled_where=("status", "won")),
                _text("lost_reason"),
                _recorded(),
            ),
            ("deal_id",),
            "closed_at",
            references=(_LEAD, _REP),
        ),
        TableSchema(
            "trainings",
            (
                _text("rep_id", True),
                _text("course", True),
                Column("assigned_on", "date", True),
                _text("skill"),
                Column("completed_on", "date"),
                Column("hours", "number", minimum=0),
                Column("score", "number", minimum=0, maximum=100),
                _recorded(),
            ),
            ("rep_id", "course", "assigned_on"),
            "assigned_on",
            optional=True,
            references=(_REP,),
        ),
        TableSchema(
            "targets",
            (
                _text("rep_id", True),
                Column("month", "month", True),
                Column("amount", "money", True, minimum=0),
                _recorded(),
            ),
            ("rep_id", "month"),
            None,
            optional=True,
            references=(_REP,),
        ),
        TableSchema(
            "feedback",
            (
                _text("feedback_id", True),
                _text("rep_id", True),
                Column("received_at", "time", True),
                Column("score", "number", True, minimum=1, maximum=10),
                _text("lead_id"),
                Column("complaint", "boolean"),
                _recorded(),
            ),
            ("feedback_id",),
            "received_at",
            optional=True,
            references=(_REP, _LEAD),
        ),
        TableSchema(
            "absences",
            (
                _text("rep_id", True),
                Column("starts_on", "date", True),
                Column("ends_on", "date", True),
                _recorded(),
            ),
            ("rep_id", "starts_on", "ends_on"),
            None,
            optional=True,
            references=(_REP,),
        ),
    )
}

# Only these make "just after the newest row": plans and dates of hire lie ahead of what has happened.
CLOCK_COLUMNS: Final = (
    ("leads", "created_at"),
    ("assignments", "assigned_at"),
    ("activities", "occurred_at"),
    ("stages", "entered_at"),
    ("deals", "closed_at"),
    ("feedback", "received_at"),
)
CELL_LIMIT: Final = 10_000
