"""What of an answer a caller may see: a rep his own, a manager his team's, others all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from features.messages import message
from serving.http.problems import Problem
from serving.http.protocol import Json, Team
from serving.http.security import Principal


@dataclass(frozen=True)
class Scope:
    """The reps and teams a caller may see; None: all."""

    rep_ids: frozenset[str] | None = None
    team_ids: frozenset[str] | None = None
    own_only: bool = False

    def sees_rep(self, rep_id: object) -> bool:
        """Whether a rep's things may be shown. Nobody's (a held lead's) only where all may."""
        return self.rep_ids is None or rep_id in self.rep_ids

    def sees(self, level: str, id_: object) -> bool:
        """Whether a rep's, a team's or the company's figures may be shown."""
        if self.rep_ids is None:
            return True
        if level == "team":
            return id_ in (self.team_ids or frozenset())
        return level == "rep" and id_ in self.rep_ids


ALL = Scope()


def scope_of(principal: Principal, team: Callable[[str], Team]) -> Scope:
    """The caller's scope; `team` looks a manager's up."""
    if principal.role == "rep":
        return Scope(frozenset({principal.subject}), frozenset(), own_only=True)
    if principal.role == "manager":
        found = team(principal.subject)
        return Scope(found.rep_ids, found.team_ids)
    return ALL


def visible_decision(scope: Scope, decision: Json, lead_id: str) -> Json:
    """The decision `without_others`; Problem 404 where it is not the caller's at all.

    Whose it is: the owner of now, else the machine's choice. 404, not 403: whether a lead exists is news as well.
    """
    if scope.rep_ids is None:
        return decision
    owner = decision.get("owner_rep_id") or decision.get("rep_id")
    if not scope.sees_rep(owner):
        raise Problem(404, message("unknown.lead", lead=lead_id))
    return without_others(scope, decision)


def without_others(scope: Scope, decision: Json) -> Json:
    """The decision without the chances of reps whom the caller may not see."""
    if scope.rep_ids is None:
        return decision
    shown = dict(decision)
    for name in ("alternatives", "candidates"):
        listed = shown.get(name)
        if isinstance(listed, list):
            shown[name] = [one for one in listed if isinstance(one, dict) and scope.sees_rep(one.get("rep_id"))]
    return shown


def visible_items(scope: Scope, answer: Json, level: str = "rep") -> Json:
    """The answer with only those `items` whose `rep_id` (or `id`, at its level) the caller may see."""
    items = answer.get("items")
    if scope.rep_ids is None or not isinstance(items, list):
        return answer

    def shown(item: dict[str, object]) -> bool:
        if "rep_id" in item:
            return scope.sees_rep(item["rep_id"])
        return scope.sees(str(item.get("level", level)), item.get("id"))

    return {**answer, "items": [item for item in items if isinstance(item, dict) and shown(item)]}


def without_best(scope: Scope, answer: Json) -> Json:
    """Overdue leads without the rep who would make more of them, where the caller may not see that rep."""
    items = answer.get("items")
    if scope.rep_ids is None or not isinstance(items, list):
        return answer
    kept = [one if scope.sees_rep(one.get("best_rep_id")) else {**one, "best_rep_id": None} for one in items]
    return {**answer, "items": kept}


def visible_drivers(scope: Scope, answer: Json) -> Json:
    """The driver report with only the blocks that the caller may see; effects are of all reps together and stay."""
    if scope.rep_ids is None:
        return answer
    shown = dict(answer)
    for name, level in (("company", "company"), ("teams", "team"), ("reps", "rep")):
        block = shown.get(name)
        if isinstance(block, list):
            shown[name] = [one for one in block if isinstance(one, dict) and scope.sees(level, one.get("id"))]
        elif name in shown:
            shown[name] = None
    for name in ("rep_details", "matrix"):
        if isinstance(rows := shown.get(name), list):
            shown[name] = [one for one in rows if isinstance(one, dict) and scope.sees_rep(one.get("rep_id"))]
    if isinstance(groups := shown.get("effectiveness"), list):
        shown["effectiveness"] = [
            one for one in groups if isinstance(one, dict) and one["kind"] == "team" and scope.sees("team", one["id"])
        ]
    if isinstance(pilots := shown.get("pilots"), list):
        arms = ("first", "later")
        shown["pilots"] = [
            {**one, **{arm: [rep for rep in one[arm] if scope.sees_rep(rep)] for arm in arms}} for one in pilots
        ]
    if "month_change" in shown:
        shown["month_change"] = None
    return visible_items(scope, shown)


def check_level(scope: Scope, level: str | None, id_: str | None) -> None:
    """Problem 403 where a caller asks for figures outside his scope by name."""
    if scope.rep_ids is None:
        return
    if level == "company" or (level is not None and id_ is not None and not scope.sees(level, id_)):
        if id_:
            raise Problem(403, message("scope.outside", level=message(f"level.{level}"), of=id_))
        raise Problem(403, message("scope.outside_level", level=message(f"level.{level}")))
    if scope.own_only and level == "team":
        raise Problem(403, message("scope.own_only"))
