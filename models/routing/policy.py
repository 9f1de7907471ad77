"""One decision: which rep gets this lead now, or why it is held, with the exact chance of that outcome.

A lead's net value at a rep is value less price (plus subsidy); the highest wins, and where even the highest is below
zero better leads are expected for every place, so the lead waits. Reasons are codes and numbers; words are made where
they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from models.routing.prices import Prices
from models.routing.settings import VALUED, PolicySettings

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Label = Literal["priced", "explore", "owner", "holdout", "rule", "fallback"]
Branch = tuple[float, Label, Floats]  # chance of the branch, its label, its distribution over reps and holding

_SAME = 1e-12  # net values closer than this (relative) are equal


class Chance(Protocol):
    """What a decision is drawn by, such as a `numpy.random.Generator`."""

    def random(self) -> float:
        """A number evenly drawn from [0, 1)."""
        ...


class Exclusion(IntEnum):
    """Why a hard rule keeps a rep from a lead; the first that applies, in this order."""

    NONE = 0
    NOT_SALES = 1
    NOT_HIRED = 2
    LEFT = 3
    ABSENT = 4
    TERRITORY = 5
    CAPACITY_ZERO = 6
    FULL = 7
    HIGH_VALUE_FULL = 8


_FREE: Final = int(Exclusion.NONE)  # looking a member up costs more than comparing it


class HoldReason(IntEnum):
    """Why a lead waits."""

    NONE = 0
    NOBODY = 1  # the desk has no sales rep at work
    TERRITORY_UNLISTED = 2  # nobody lists the lead's territory, and everybody lists some
    NO_ELIGIBLE = 3  # those who may have it are not there
    ALL_FULL = 4  # those who may have it have no place left this week
    BELOW_PRICE = 5  # better leads are expected for every place


class WhyNot(IntEnum):
    """Why a rep was not chosen: a hard rule, or numbers."""

    CHOSEN = 0
    EXCLUDED = 1  # `exclusion` says which rule
    LOWER_VALUE = 2  # worth less at him, whatever the price
    HIGHER_PRICE = 3  # worth as much or more, but his places are dearer
    BELOW_PRICE = 4  # the lead is held: net value below zero
    OWNER_FIRST = 5  # the account's owner came first
    RULE_ORDER = 6  # load and turns decided
    EXPLORED = 7  # a near-equal was tried instead
    TIE = 8  # an equal was drawn
    PLANNED = 9  # a batch was planned as a whole: his place goes to another of its leads


@dataclass(frozen=True)
class Candidates:
    """What is known of every rep for one lead, arrays (R,).

    `value`: in the unit of the objective. `win_probability`: 0-1. `exclusion`: `Exclusion` codes, 0 = may have it.
    `used`, `capacity`: places this week. `last_lead_at`: moment of the last lead (int64 us, the smallest where none).
    `newcomer`: under a year of tenure. `uncertainty`: sd of the win probability's logit, where known. `worth`: expected
    value in money; None: `value` is that.
    """

    value: Floats
    win_probability: Floats
    exclusion: Integers
    used: Integers
    capacity: Integers
    last_lead_at: Integers
    newcomer: Flags | None = None
    high_value_given: Integers | None = None
    uncertainty: Floats | None = None
    worth: Floats | None = None


@dataclass(frozen=True)
class Alternative:
    """A rep beside the chosen one. `net` = value - price; `load_share` = used / capacity."""

    rep: int
    win_probability: float
    value: float
    price: float
    net: float
    propensity: float
    why_not: WhyNot
    exclusion: Exclusion
    load_share: float


@dataclass(frozen=True)
class Choice:
    """A decision.

    `rep`: index, None = held. `propensity`: chance of exactly this outcome before it was drawn; `probabilities`
    (R + 1,): of each rep, last of holding; they sum to 1. `net` (R,): value less price, -inf where excluded.
    `owner_unavailable`: the rule that kept the account's owner from it. `runner_up`: the next best, None if alone.
    `holdout_chance`: chance that the old rule was to decide; 0 where nothing was drawn.
    """

    rep: int | None
    policy: Label
    propensity: float
    hold: HoldReason
    net: Floats
    price: Floats
    probabilities: Floats
    runner_up: int | None
    alternatives: tuple[Alternative, ...]
    owner_unavailable: Exclusion = Exclusion.NONE
    high_value: bool = field(default=False)
    holdout_chance: float = 0.0


def decide(
    candidates: Candidates,
    prices: Prices | None,
    settings: PolicySettings,
    rng: Chance,
    *,
    owner: int | None = None,
    high_value: bool = False,
    territory_unlisted: bool = False,
    planned: int | None = None,
) -> Choice:
    """The decision for one lead.

    Parameters
    ----------
    candidates
        All reps of the desk, ruled out or not.
    prices
        Of places now; None where there are none (then 0).
    owner
        Rep who owns the lead's account.
    high_value
        The lead is among the most valuable tenth; `high_value_max` then binds.
    territory_unlisted
        No rep lists the lead's territory (for the reason only; exclusions must say so already).
    planned
        Rep that the plan of a batch gives the lead (-1: held), taken in place of the highest net value while he may
        still have it; propensities are those given the plan. None: no plan.
    """
    exclusion = _exclusions(candidates, settings, high_value)
    open_ = exclusion == _FREE
    price = _effective_price(candidates, prices, settings)
    net = np.where(open_, candidates.value - price, -np.inf)
    unavailable = Exclusion.NONE
    if owner is not None and settings.same_account:
        unavailable = Exclusion(int(exclusion[owner]))
        if unavailable is Exclusion.NONE:
            owned: list[Branch] = [(1.0, "owner", _certain(owner, net.size))]
            return _draw(owned, candidates, exclusion, price, net, settings, rng, unavailable, high_value, False)
    branches = _branches(candidates, open_, net, settings, planned)
    choice = _draw(
        branches, candidates, exclusion, price, net, settings, rng, unavailable, high_value, territory_unlisted
    )
    return replace(choice, holdout_chance=settings.holdout) if open_.any() else choice


def _exclusions(candidates: Candidates, settings: PolicySettings, high_value: bool) -> Integers:
    """(R,) codes, with places and the bound on high-value leads checked here once more."""
    found = np.asarray(candidates.exclusion, dtype=np.int64).copy()
    free = found == _FREE
    found[free & (candidates.capacity <= 0)] = Exclusion.CAPACITY_ZERO
    free = found == _FREE
    found[free & (candidates.used >= candidates.capacity)] = Exclusion.FULL
    if high_value and settings.high_value_max is not None and candidates.high_value_given is not None:
        free = found == _FREE
        found[free & (candidates.high_value_given >= settings.high_value_max)] = Exclusion.HIGH_VALUE_FULL
    return found


def _effective_price(candidates: Candidates, prices: Prices | None, settings: PolicySettings) -> Floats:
    """(R,) price less what newcomers are favoured by, short of their minimum or for their share; 0 where no price
    rules."""
    if prices is None or settings.mode not in VALUED:
        return np.zeros(candidates.value.size)
    if candidates.newcomer is None:
        return prices.place
    short = candidates.newcomer & (candidates.used < settings.newcomer_min)
    worth = candidates.value if candidates.worth is None else candidates.worth
    favour = np.where(candidates.newcomer, prices.newcomer_rate * worth, 0.0)
    return prices.place - np.where(short, prices.subsidy, 0.0) - favour


def _branches(
    candidates: Candidates, open_: Flags, net: Floats, settings: PolicySettings, planned: int | None
) -> list[Branch]:
    """Each way in which the decision may be made, chances summing to 1."""
    if not open_.any():
        return [(1.0, _label(settings), _certain(net.size, net.size))]
    kept = 1.0 - settings.holdout
    branches: list[Branch] = []
    if settings.holdout > 0.0:
        branches.append((settings.holdout, "holdout", take_turns(candidates, open_)))
    if settings.mode != "priced":
        fair = open_ & (net >= 0.0) if settings.mode == "lead_only" else open_
        rule = least_load(candidates, fair) if fair.any() else _certain(net.size, net.size)
        return [*branches, (kept, _label(settings), rule)]
    usual = _best(net) if planned is None or (planned >= 0 and not open_[planned]) else _certain(planned, net.size)
    explored = settings.exploration if usual[-1] == 0.0 else 0.0
    branches.append((kept * (1.0 - explored), "priced", usual))
    if explored > 0.0:
        branches.append((kept * explored, "explore", _near_equals(candidates, net, settings)))
    return branches


def _label(settings: PolicySettings) -> Label:
    """What a decision that follows the mode is called."""
    if settings.mode == "priced":
        return "priced"
    return "fallback" if settings.mode == "fallback" else "rule"


def _certain(outcome: int, n_reps: int) -> Floats:
    """Distribution with all weight on `outcome`; n_reps or -1 = hold."""
    found = np.zeros(n_reps + 1)
    found[outcome] = 1.0
    return found


def _even(chosen: Flags) -> Floats:
    """Distribution even over `chosen` (R,), never holding."""
    return np.append(chosen / chosen.sum(), 0.0)


def _best(net: Floats) -> Floats:
    """All weight on the highest net value (even among exact ties), on holding where it is below zero."""
    top = net.max()
    if top < 0.0:
        return _certain(net.size, net.size)
    return _even(net >= top - _SAME * max(abs(top), 1.0))


def _near_equals(candidates: Candidates, net: Floats, settings: PolicySettings) -> Floats:
    """Weight over reps whose net value is not below zero and close to the best one's."""
    best = int(net.argmax())
    slack = settings.near_equal * abs(float(candidates.value[best]))
    near = (net >= net[best] - slack) & (net >= 0.0)
    near[best] = True
    if candidates.uncertainty is None or settings.favour_unknown == 0.0:
        return _even(near)
    weight = np.where(near, np.maximum(candidates.uncertainty, 1e-9) ** settings.favour_unknown, 0.0)
    return np.append(weight / weight.sum(), 0.0)


def load_share(candidates: Candidates) -> Floats:
    """(R,) used / capacity; infinite without capacity."""
    return np.where(candidates.capacity > 0, candidates.used / np.maximum(candidates.capacity, 1), np.inf)


def least_load(candidates: Candidates, open_: Flags) -> Floats:
    """Distribution of the load rule: least load share, then longest without a lead, then drawn evenly."""
    share = np.where(open_, load_share(candidates), np.inf)
    tied = open_ & (share <= share.min() + _SAME)
    return _longest_without(candidates, tied)


def take_turns(candidates: Candidates, open_: Flags) -> Floats:
    """Distribution of the old rule: whoever has waited longest for a lead, then drawn evenly."""
    return _longest_without(candidates, open_)


def _longest_without(candidates: Candidates, among: Flags) -> Floats:
    last = candidates.last_lead_at
    return _even(among & (last == last[among].min()))


def _draw(
    branches: list[Branch],
    candidates: Candidates,
    exclusion: Integers,
    price: Floats,
    net: Floats,
    settings: PolicySettings,
    rng: Chance,
    unavailable: Exclusion,
    high_value: bool,
    territory_unlisted: bool,
) -> Choice:
    """One outcome, its mixture probability and the account of the others."""
    shares = np.array([share for share, _, _ in branches])
    probabilities = branches[0][0] * branches[0][2]
    for share, _, spread in branches[1:]:
        probabilities = probabilities + share * spread
    which = _pick(shares, rng)
    label, spread = branches[which][1], branches[which][2]
    outcome = _pick(spread, rng)
    rep = None if outcome == net.size else outcome
    hold = HoldReason.NONE
    if rep is None:
        hold = _hold_reason(exclusion, candidates.capacity, territory_unlisted)
    load = load_share(candidates)
    order = _order(net, candidates, exclusion, settings, label, load, settings.n_alternatives + 2)
    runner_up = next((int(j) for j in order[:2] if j != rep and exclusion[j] == _FREE), None)
    shown = [int(j) for j in order[: settings.n_alternatives + 1] if j != rep][: settings.n_alternatives]
    alternatives = tuple(
        _alternative(j, rep, label, candidates, exclusion, price, net, probabilities, settings, load) for j in shown
    )
    return Choice(
        rep, label, float(probabilities[outcome]), hold, net, price, probabilities, runner_up, alternatives,
        unavailable, high_value,
    )  # fmt: skip


def _pick(weights: Floats, rng: Chance) -> int:
    """Index drawn by weight; one with weight 0 never comes, and certainty draws nothing."""
    possible = np.flatnonzero(weights > 0.0)
    if possible.size == 1:
        return int(possible[0])
    edges = np.cumsum(weights[possible])
    return int(possible[min(int(np.searchsorted(edges, rng.random() * edges[-1], side="right")), possible.size - 1)])


def _hold_reason(exclusion: Integers, capacity: Integers, territory_unlisted: bool) -> HoldReason:
    """The most telling reason: nobody there, territory, absence, full, price."""
    if (exclusion == _FREE).any():
        return HoldReason.BELOW_PRICE
    at_desk = ~np.isin(exclusion, (Exclusion.NOT_SALES, Exclusion.NOT_HIRED, Exclusion.LEFT))
    if not at_desk.any():
        return HoldReason.NOBODY
    if territory_unlisted and not np.isin(exclusion[at_desk], (Exclusion.FULL, Exclusion.HIGH_VALUE_FULL)).any():
        return HoldReason.TERRITORY_UNLISTED
    full = np.isin(exclusion, (Exclusion.FULL, Exclusion.HIGH_VALUE_FULL))
    return HoldReason.ALL_FULL if (full & (capacity > 0)).any() else HoldReason.NO_ELIGIBLE


def _order(
    net: Floats,
    candidates: Candidates,
    exclusion: Integers,
    settings: PolicySettings,
    label: Label,
    load: Floats,
    most: int,
) -> Integers:
    """At most `most` reps, most likely alternative first: the open by net value (or load), then the excluded by value.

    Few are asked for, so that nobody sorts a whole desk.
    """
    open_ = exclusion == _FREE
    ruled = label in ("rule", "fallback") or settings.mode != "priced"
    given = -load if ruled else net
    score = np.where(open_ & ~np.isnan(given), given, -np.inf)
    worth = np.where(np.isfinite(candidates.value), candidates.value, -np.inf)
    among = np.arange(net.size)
    if net.size > 4 * most:
        # Whoever is among the first lies above the last of as many: ties stay in.
        n_open = int(np.count_nonzero(open_))
        if n_open >= most:
            among = np.flatnonzero(score >= np.partition(score, -most)[-most])
        else:
            closed = np.where(open_, np.inf, worth)
            among = np.flatnonzero(open_ | (closed >= np.partition(closed, -most)[-most]))
    ranked = np.lexsort((-worth[among], -score[among], ~open_[among]))
    return among[ranked[:most]].astype(np.int64)


def _alternative(
    j: int,
    rep: int | None,
    label: Label,
    candidates: Candidates,
    exclusion: Integers,
    price: Floats,
    net: Floats,
    probabilities: Floats,
    settings: PolicySettings,
    load: Floats,
) -> Alternative:
    """The account of rep j, who was not chosen."""
    why = _why_not(j, rep, label, candidates, exclusion, net, settings)
    return Alternative(
        j, float(candidates.win_probability[j]), float(candidates.value[j]), float(price[j]),
        float(candidates.value[j] - price[j]), float(probabilities[j]), why, Exclusion(int(exclusion[j])),
        float(load[j]),
    )  # fmt: skip


def _why_not(
    j: int,
    rep: int | None,
    label: Label,
    candidates: Candidates,
    exclusion: Integers,
    net: Floats,
    settings: PolicySettings,
) -> WhyNot:
    if exclusion[j] != _FREE:
        return WhyNot.EXCLUDED
    if label == "owner":
        return WhyNot.OWNER_FIRST
    if label in ("rule", "fallback", "holdout") or settings.mode != "priced":
        return WhyNot.RULE_ORDER
    if rep is None:
        return WhyNot.BELOW_PRICE
    if net[j] > net[rep]:
        return WhyNot.EXPLORED if label == "explore" else WhyNot.PLANNED
    if net[j] == net[rep]:
        return WhyNot.TIE
    return WhyNot.LOWER_VALUE if candidates.value[j] < candidates.value[rep] else WhyNot.HIGHER_PRICE
