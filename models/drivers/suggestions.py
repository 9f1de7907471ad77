"""At most three actions for a rep, each with what it should bring, how sure that is, and when to look again.

An action is suggested only where a lever's effect stands (identified or suggestive, interval above 0) and the rep has
room for it inside the doses that the data hold. "No supported action" is an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.drivers.effects import EffectRow
from models.drivers.guards import Verdict

MOST = 3
_LARGEST_STEP = 1.0
_SMALLEST_STEP = 0.1


@dataclass(frozen=True)
class Suggestion:
    """Raise `driver` by `step`; `expected_gain` with its 90 % range in money a month; `evidence` is the verdict."""

    driver: str
    step: float
    now: float
    expected_gain: float
    gain_low: float
    gain_high: float
    evidence: Verdict


def suggest(
    levels: Mapping[str, float],
    reach: Mapping[str, float],
    effects: Sequence[EffectRow],
    money_per_win_probability: float,
    most: int = MOST,
) -> tuple[Suggestion, ...]:
    """Suggestions for one rep, largest expected gain first, at most `most`.

    `levels`: the rep's present level of each driver (a course: 0 or 1). `reach`: a level that is attainable, such as
    the upper quartile of his peers. `money_per_win_probability`: what one whole win probability on each of his leads
    of a month is worth, to turn effects on winning into money; effects on winning are preferred, being the sharper.
    """
    found: dict[str, Suggestion] = {}
    for row in sorted(effects, key=lambda row: row.outcome != "win_probability"):
        if row.driver in found or row.driver not in levels or row.driver not in reach:
            continue
        made = _suggestion(row, levels[row.driver], reach[row.driver], money_per_win_probability)
        if made is not None:
            found[row.driver] = made
    ordered = sorted(found.values(), key=lambda one: (-one.expected_gain, one.driver))
    return tuple(ordered[:most])


def _suggestion(row: EffectRow, now: float, reach: float, worth: float) -> Suggestion | None:
    if row.estimate is None or row.ci_low is None or row.ci_high is None or row.ci_low <= 0:
        return None
    ceiling = reach if row.dose_high is None else min(reach, row.dose_high)
    step = min(ceiling - now, _LARGEST_STEP)  # in this order a level that is not known stays NaN and suggests nothing
    if not step >= _SMALLEST_STEP:
        return None
    scale = step * (worth if row.outcome == "win_probability" else 1.0)
    if not scale > 0:
        return None
    return Suggestion(row.driver, step, now, scale * row.estimate, scale * row.ci_low, scale * row.ci_high, row.verdict)
