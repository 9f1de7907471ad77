"""Names of the columns that a pairs frame holds, by what they describe."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from features.definitions import LEAD

TENURE: Final = "rep_tenure_years"
MONTH: Final = "lead_month_of_year"
# Most useful to know a rep by; further low-cardinality columns follow in their own order.
FIRST_INTERACTIONS: Final = ("industry", "source", "territory", "company_size")
_OUTCOME_WORDS = re.compile(r"(^|_)(won|win|wins|lost|conversion|converted|contribution|amount|deals?|resolved)(_|$)")
# What organisations call the size of a company or of a deal; such numbers are banded before others.
_SIZE_WORDS = re.compile(
    r"size|employee|staff|headcount|people|seats|users|revenue|turnover|budget|amount|value|price|volume"
    r"|规模|人数|员工|营收|营业额|收入|预算|金额|席位|价值"
)
_BUILT_IN = frozenset(definition.name for definition in LEAD)


@dataclass(frozen=True)
class PairColumns:
    """Column names of a pairs frame. Categoricals hold text, "" where missing; numerics hold float, NaN where missing.

    `rep_categorical` (such as the team) is where a new rep starts from beside tenure and training.
    """

    lead_numeric: tuple[str, ...] = ()
    lead_categorical: tuple[str, ...] = ()
    rep_numeric: tuple[str, ...] = ()
    pair_numeric: tuple[str, ...] = ()
    rep_categorical: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every column that a prediction looks at, in one fixed order."""
        return (
            *self.lead_numeric, *self.lead_categorical, *self.rep_numeric, *self.pair_numeric, *self.rep_categorical,
        )  # fmt: skip

    def without_groups(self) -> PairColumns:
        """The columns without those that stand for groups of reps: what a group explains, reps differ by."""
        return replace(self, rep_categorical=())

    @classmethod
    def from_json(cls, saved: Mapping[str, Sequence[str]]) -> PairColumns:
        """Columns as `to_json` wrote them."""
        return cls(**{name: tuple(values) for name, values in saved.items()})

    def to_json(self) -> dict[str, list[str]]:
        """JSON-able dict."""
        return {name: list(getattr(self, name)) for name in self.__dataclass_fields__}


def carries_outcomes(name: str) -> bool:
    """True where a rep or pair column is made of the rep's own past outcomes.

    Random effects of reps are learnt from the same outcomes: taking both counts them twice. Counts of resolved leads
    only grow, so that they would stand for the calendar.
    """
    return _OUTCOME_WORDS.search(name) is not None


def without_outcomes(names: Sequence[str]) -> tuple[str, ...]:
    """The names that carry no past outcomes, in order."""
    return tuple(name for name in names if not carries_outcomes(name))


def bandable(names: Sequence[str]) -> tuple[str, ...]:
    """Lead numbers that the data bring and that reps may differ on in bands, those named like a size first.

    Times of day, rates of a source and the like are left out: reps differ by the source itself.
    """
    own = [name for name in names if name not in _BUILT_IN]
    return tuple(sorted(own, key=lambda name: _SIZE_WORDS.search(name.lower()) is None))
