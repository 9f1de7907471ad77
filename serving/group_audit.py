"""What routing gave to groups of reps, each group against the best-off one.

The groups come in a file of their own, are held in memory for the audit, and are neither stored nor features: a name
that is a feature already is refused. A ratio below four fifths is a reason to look, no finding of discrimination:
groups may differ in territory, experience or hours.

References
----------
29 CFR 1607.4 D, the four-fifths rule, used here for screening only.
Cochran, Sampling Techniques (1977), 6.4: variance of a ratio of totals. Here reps are the units drawn, so that leads of
one rep do not count as independent; the interval is on the log of the ratio, with Student's t.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from features import moments
from features.errors import RequestError, system_words
from features.messages import message
from features.moments import DAY, WEEK
from features.panel import is_sales
from features.spec import make_spec
from serving.board import HIGH_VALUE_QUANTILE, Board

if TYPE_CHECKING:
    from serving.oversight import Oversight
    from serving.store import StoredDecision

Floats = npt.NDArray[np.float64]
Standing = Literal["best", "within", "below", "below_unsure"]

FEWEST: Final = 5  # people a group must have to be shown
LINE: Final = 0.8
LEVEL: Final = 0.9
GIVEN: Final = ("leads", "high_value", "expected_value")
PER: Final = ("head", "place")
_PAGE: Final = 1_000
_MOST_GROUPS: Final = 50


@dataclass(frozen=True)
class GroupsFile:
    """Groups by attribute, then by rep_id; a rep of no stated group is left out. `path` is how errors name them."""

    path: str
    attributes: dict[str, dict[str, str]]


@dataclass(frozen=True)
class Figure:
    """One kind of thing given, to a head or to a place. `rate`: of the group; `ratio` to the best-off group's rate.

    `ratio`, `ci_low` and `ci_high` are None where nobody got any, the interval also for the best-off group itself.
    """

    given: str
    per: str
    rate: float
    ratio: float | None
    ci_low: float | None
    ci_high: float | None
    standing: Standing


@dataclass(frozen=True)
class GroupRow:
    """One group. Shares (0-1) are of what the groups shown have together, so that no hidden group can be worked out."""

    name: str
    n_reps: int
    share_of_reps: float
    share_of_places: float
    shares: dict[str, float]
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class AttributeAudit:
    """One attribute: groups shown, best-off groups by `given.per`, and how many groups were too small to be shown."""

    attribute: str
    groups: tuple[GroupRow, ...]
    best: dict[str, str]
    n_hidden: int


@dataclass(frozen=True)
class GroupAudit:
    """The audit of a period [since, until), ISO times."""

    since: str
    until: str
    n_decisions: int
    audits: tuple[AttributeAudit, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {**asdict(self), "fewest": FEWEST, "line": LINE, "level": LEVEL}


def read_groups(path: Path) -> GroupsFile:
    """The groups file. RequestError names the file, row and value that is wrong."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise RequestError(message("groups.unread", path=str(path), why=system_words(error))) from None
    except UnicodeDecodeError:
        raise RequestError(message("groups.no_text", path=str(path))) from None
    return parse_groups(text, str(path))


def parse_groups(text: str, path: str, separator: str = ",") -> GroupsFile:
    """The groups of a text, one rep a row under a heading. RequestError names the row and value that is wrong."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        heads, *rows = [row for row in reader if row] or [[]]
    except csv.Error as error:
        raise RequestError(message("groups.no_csv", path=path, why=str(error))) from None
    names = [head.strip() for head in heads]
    if "rep_id" not in names or len(names) < 2:
        raise RequestError(message("groups.columns", path=path))
    if len(set(names)) < len(names) or "" in names:
        raise RequestError(message("groups.names", path=path, names=tuple(names)))
    key = names.index("rep_id")
    found: dict[str, dict[str, str]] = {name: {} for name in names if name != "rep_id"}
    seen: set[str] = set()
    for at, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise RequestError(message("groups.width", path=path, row=at, n=len(row), width=len(names)))
        rep = row[key].strip()
        if not rep or rep in seen:
            raise RequestError(message("groups.rep", path=path, row=at, rep=rep))
        seen.add(rep)
        for name, cell in zip(names, row, strict=True):
            if name != "rep_id" and cell.strip():
                found[name][rep] = cell.strip()
    return GroupsFile(path, found)


def audit(core: Oversight, groups: GroupsFile, since: int | None = None, until: int | None = None) -> GroupAudit:
    """What automated decisions of [since, until) gave to the groups; by default the ISO weeks of all of them.

    A decision counts for the rep whom the machine chose, also where a person changed it later; leads that were
    somebody's already do not count. RequestError where a group column is a feature, a rep is unknown, or nothing was
    decided.
    """
    board = core.state().board
    _refuse(groups, board)
    chosen = [one for one in _decisions(core, since) if until is None or one.decided_at < until]
    if not chosen:
        raise RequestError(message("groups.no_decision"))
    zone = core.zone
    first = moments.start_of_week(min(one.decided_at for one in chosen), zone) if since is None else since
    last = moments.end_of_week(max(one.decided_at for one in chosen), zone) if until is None else until
    places = _places(board, first, last)
    given = _given(board, chosen)
    audits = tuple(_attribute(name, by_rep, board.rep_ids, places, given) for name, by_rep in groups.attributes.items())
    return GroupAudit(moments.iso(first, zone), moments.iso(last, zone), len(chosen), audits)


def _refuse(groups: GroupsFile, board: Board) -> None:
    specs = [make_spec(board.tables, board.config, board.as_of)] + ([board.unit.spec] if board.unit is not None else [])
    used: set[str] = set()
    for spec in specs:
        used.update(*(spec.lead_numeric, spec.lead_categorical, spec.rep_numeric, spec.pair_numeric))
        used.update(*(spec.panel_numeric, spec.rep_categorical, (column for column, _ in spec.custom_numeric)))
    for name, by_rep in groups.attributes.items():
        if len(set(by_rep.values())) > _MOST_GROUPS:
            raise RequestError(message("groups.too_many", path=groups.path, column=name, most=_MOST_GROUPS))
        if name in used:
            raise RequestError(message("groups.is_feature", path=groups.path, column=name))
    unknown = sorted({rep for by_rep in groups.attributes.values() for rep in by_rep} - set(board.rep_ids))
    if unknown:
        raise RequestError(message("pilot.unknown_rep", path=groups.path, rep=unknown[0], n=len(unknown)))


def _decisions(core: Oversight, since: int | None) -> list[StoredDecision]:
    found: list[StoredDecision] = []
    cursor: int | None = None
    with core.store.read() as view:
        while True:
            page = view.decisions(status="assigned", since=since, cursor=cursor, limit=_PAGE)
            found += [one for one in page.items if one.rep_id is not None and one.policy != "owner"]
            if page.next_cursor is None:
                return found
            cursor = page.next_cursor


def _places(board: Board, first: int, last: int) -> Floats:
    """(R,) places of each rep in the period: a week's, times the weeks he was there; 0 outside sales."""
    left = board.reps["left_on"].to_numpy(dtype=np.int64)
    came = np.maximum(board.reps["hired_on"].to_numpy(dtype=np.int64), first)
    went = np.minimum(left, last)
    days = np.maximum(went - came, 0) / DAY
    zone = board.known.zone
    for rep, starts, ends in board.tables.absences[["rep_id", "starts_on", "ends_on"]].itertuples(index=False):
        at = board.index.get(str(rep))
        if at is not None:
            over = moments.start_of_day(moments.day_of(int(ends), zone), zone) + DAY
            days[at] -= max(min(over, int(went[at])) - max(int(starts), int(came[at])), 0) / DAY
    return np.where(is_sales(board.reps), np.maximum(days, 0.0) * board.capacity / (WEEK / DAY), 0.0)


def _given(board: Board, chosen: Sequence[StoredDecision]) -> dict[str, Floats]:
    """What each rep got, (R,) a kind. A lead is of high value by the best rep on record for it, whoever got it."""
    found = {kind: np.zeros(len(board.rep_ids)) for kind in GIVEN}
    worth = np.array([_worth(one.record) for one in chosen])
    line = np.quantile(worth, HIGH_VALUE_QUANTILE)
    for one, best in zip(chosen, worth, strict=True):
        at = board.index.get(str(one.rep_id))
        if at is None:
            continue
        found["leads"][at] += 1
        found["high_value"][at] += best >= line and best > 0.0
        found["expected_value"][at] += _number(one.record.get("expected_value"))
    return found


def _worth(record: Mapping[str, object]) -> float:
    others = record.get("alternatives")
    values = [other.get("expected_value") for other in others] if isinstance(others, list) else []
    return max(_number(value) for value in (record.get("expected_value"), *values))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _attribute(
    name: str, by_rep: Mapping[str, str], rep_ids: Sequence[str], places: Floats, given: Mapping[str, Floats]
) -> AttributeAudit:
    there = (places > 0.0) | (given["leads"] > 0.0)
    members: dict[str, list[int]] = {}
    for at, rep in enumerate(rep_ids):
        if there[at] and rep in by_rep:
            members.setdefault(by_rep[rep], []).append(at)
    shown = {group: np.array(reps) for group, reps in sorted(members.items()) if len(reps) >= FEWEST}
    everyone = np.concatenate([*shown.values(), np.zeros(0, dtype=np.int64)]).astype(np.int64)
    bases = {"head": there.astype(np.float64), "place": places}
    best: dict[str, str] = {}
    figures: dict[str, list[Figure]] = {group: [] for group in shown}
    for kind in GIVEN:
        for per in PER if shown else ():
            rates = {group: rate_of(given[kind][reps], bases[per][reps]) for group, reps in shown.items()}
            top = max(rates, key=lambda group: rates[group][0])
            best[f"{kind}.{per}"] = top
            for group in shown:
                figures[group].append(_figure(kind, per, rates[group], rates[top], is_best=group == top))
    rows = tuple(
        GroupRow(
            group,
            len(reps),
            len(reps) / len(everyone),
            _share(places[reps], places[everyone]),
            {kind: _share(given[kind][reps], given[kind][everyone]) for kind in GIVEN},
            tuple(figures[group]),
        )
        for group, reps in shown.items()
    )
    return AttributeAudit(name, rows, best, len(members) - len(shown))


def _share(part: Floats, whole: Floats) -> float:
    total = float(whole.sum())
    return float(part.sum()) / total if total > 0.0 else 0.0


def rate_of(given: Floats, base: Floats) -> tuple[float, float, int]:
    """(rate, its standard error, reps) of what reps got against heads or places: a ratio of two totals."""
    total, n = float(base.sum()), len(base)
    if total <= 0.0:
        return 0.0, math.inf, n
    rate = float(given.sum()) / total
    spread = n / (n - 1) * float(np.square(given - rate * base).sum())
    return rate, math.sqrt(spread) / total, n


def _figure(
    kind: str, per: str, own: tuple[float, float, int], top: tuple[float, float, int], *, is_best: bool
) -> Figure:
    if is_best or top[0] <= 0.0:
        return Figure(kind, per, own[0], 1.0 if top[0] > 0.0 else None, None, None, "best" if is_best else "within")
    ratio, low, high = ratio_interval(own, top)
    if ratio >= LINE:
        return Figure(kind, per, own[0], ratio, low, high, "within")
    sure = high is not None and high < 1.0
    return Figure(kind, per, own[0], ratio, low, high, "below" if sure or ratio == 0.0 else "below_unsure")


def ratio_interval(
    own: tuple[float, float, int], top: tuple[float, float, int]
) -> tuple[float, float | None, float | None]:
    """(ratio, low, high) of two groups' rates: t interval on the log, degrees of freedom of the smaller group."""
    from scipy.stats import t as student

    ratio = own[0] / top[0]
    if ratio <= 0.0 or not math.isfinite(own[1] + top[1]):
        return ratio, None, None
    half = math.hypot(own[1] / own[0], top[1] / top[0])
    half *= float(student.ppf(0.5 + LEVEL / 2, min(own[2], top[2]) - 1))
    return ratio, ratio * math.exp(-half), ratio * math.exp(half)
