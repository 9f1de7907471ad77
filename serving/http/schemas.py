"""Bodies as they come in, strictly typed, and answers as OpenAPI shows them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr
from pydantic.config import JsonDict

Cell = StrictStr | StrictBool | StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)] | None
Row = Annotated[dict[Annotated[str, Field(min_length=1, max_length=200)], Cell], Field(min_length=1, max_length=1_000)]
Id = Annotated[StrictStr, Field(min_length=1, max_length=1_000)]
Attribute = Annotated[StrictStr, Field(min_length=1, max_length=100)]
Group = Annotated[StrictStr, Field(min_length=1, max_length=200)]
Moment = Annotated[StrictStr, Field(min_length=10, max_length=40, examples=["2026-02-09T09:17:00+08:00"])]

MAX_LEADS: Final = 1_000
MAX_EVENT_ROWS: Final = 100_000

LEAD: Final[JsonDict] = {
    "lead_id": "L10423",
    "created_at": "2026-02-09T09:17:00+08:00",
    "source": "referral",
    "territory": "east",
    "industry": "manufacturing",
    "account_id": "A77",
    "employees": 240,
}
DECISION: Final = {
    "lead_id": "L10423",
    "rep_id": "R017",
    "decided_at": "2026-02-09T09:17:00+08:00",
    "status": "assigned",
    "win_probability": 0.231,
    "expected_value": 8420.5,
    "capacity_price": 1130.0,
    "policy": "priced",
    "propensity": 0.97,
    "reasons": [
        {"feature": "won_rate_365d_by_industry", "text": "wins more often in manufacturing", "contribution": 0.041}
    ],
    "alternatives": [
        {
            "rep_id": "R004",
            "win_probability": 0.228,
            "expected_value": 8311.2,
            "capacity_price": 2410.0,
            "propensity": 0.01,
            "why_not": "his places are worth more to other leads this week",
        }
    ],
    "model_version": "12",
    "policy_version": "1",
}
HISTORY: Final = [
    {"seq": 4711, "kind": "decision", "at": "2026-02-09T09:17:00+08:00", "rep_id": "R017"},
    {"seq": 4790, "kind": "override", "at": "2026-02-09T11:02:00+08:00", "rep_id": "R004", "by": "M3", "reason": "…"},
]


class Body(BaseModel):
    """A body of which no unknown field is taken, so that a misspelt one is told."""

    model_config = ConfigDict(extra="forbid", strict=True)


class AssignmentRequest(Body):
    """One lead to be routed: a row of the leads table; any further column is a lead feature."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"lead": LEAD}]})

    lead: Row
    decided_at: Moment | None = Field(None, description="Decide as of then (admin, or no key made yet); default now.")


class BatchRequest(Body):
    """Leads to be decided together."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"leads": [LEAD]}]})

    leads: Annotated[list[Row], Field(min_length=1, max_length=MAX_LEADS)]
    decided_at: Moment | None = Field(None, description="Decide as of then (admin, or no key made yet); default now.")


class OverrideRequest(Body):
    """A person's choice in place of the machine's."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"rep_id": "R004", "by": "M3", "reason": "knows the account"}]},
    )

    rep_id: Id
    by: Annotated[StrictStr, Field(min_length=1, max_length=200)]
    reason: Annotated[StrictStr, Field(min_length=1, max_length=2_000)]
    force: StrictBool = Field(False, description="Beyond the rep's capacity too; logged. Never for leavers.")


class EventsRequest(Body):
    """Rows of one table, taken all or none; the newest received wins by key."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "table": "activities",
                    "rows": [
                        {
                            "activity_id": "A991",
                            "lead_id": "L10423",
                            "rep_id": "R017",
                            "occurred_at": "2026-02-09T10:00:00+08:00",
                            "kind": "call",
                        }
                    ],
                }
            ]
        },
    )

    table: Annotated[StrictStr, Field(min_length=1, max_length=40)]
    rows: Annotated[list[Row], Field(min_length=1, max_length=MAX_EVENT_ROWS)]


class GroupAuditRequest(Body):
    """Groups of reps by attribute, then by rep_id, for this one audit; reps of no stated group are left out."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"groups": {"gender": {"R001": "f", "R002": "m"}}, "since": "2026-01-01"}]},
    )

    groups: Annotated[dict[Attribute, dict[Id, Group]], Field(min_length=1, max_length=20)]
    since: Moment | None = Field(None, description="Earliest decided_at, included; default the first decision's week.")
    until: Moment | None = Field(None, description="Latest decided_at, not included; default the last decision's week.")


class AcknowledgeRequest(Body):
    """Who has seen a warning, and what he says about it."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"by": "M3", "note": "talked on Monday"}]}
    )

    by: Annotated[StrictStr, Field(max_length=200)] = ""
    note: Annotated[StrictStr, Field(max_length=2_000)] = ""


class RuleModeRequest(Body):
    """Switch routing by rules only on or off, for a team or for all."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"on": True}]})

    on: StrictBool
    team_id: Id | None = None


class RowFault(BaseModel):
    """One broken rule."""

    table: str = ""
    row: int = 0
    column: str = ""
    value: str = ""
    rule: str = ""


class ProblemDocument(BaseModel):
    """RFC 9457. `errors` lists every bad row or field of a 422."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:fairlead:problem:not-found",
                    "title": "There is no such thing",
                    "status": 404,
                    "detail": "no decision about lead 'L1' is on record",
                    "instance": "/v1/assignments/L1",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str = ""
    errors: list[RowFault] = []


Status = Literal["assigned", "held"]
Level = Literal["rep", "team", "company"]


def answers(example: object, *, status: int = 200, description: str = "") -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: its own with an example."""
    said = description or ("Done" if status >= 400 else "OK")
    return {status: {"description": said, "content": {"application/json": {"example": example}}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of the problems a route can answer with, beside those that all can."""
    told = {
        400: "The request cannot be answered",
        401: "No key, or none that is known",
        403: "No right to that",
        404: "No such thing",
        409: "Not as things stand",
        413: "Body too large",
        415: "Not application/json",
        422: "Breaks the contract",
        429: "Too often; see Retry-After",
        503: "Not right now; see Retry-After",
    }
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {
        status: {"description": told[status], "content": {"application/problem+json": {"schema": schema}}}
        for status in sorted({400, 401, 403, 422, 503, *statuses})
    }
