"""The tenure curve that makes the desk's conversion by tenure what the config asks for, on average over chance."""

from __future__ import annotations

from typing import Final

import numpy as np

from features.synthetic.chances import TENURE_KNOTS, Physics
from features.synthetic.days import Floats
from features.synthetic.desk import History, run_desk

BANDS: Final = (1.0, 2.0)  # years
_STEPS = 25
_LEAST_LEADS = 20


def calibrate(physics: Physics) -> tuple[Physics, History]:
    """The physics with its curve fitted, and the desk's history under it.

    The desk runs once with the curve's first guess; the curve is then moved until the mean win probability of the
    hand-overs in each band of tenure is as configured; then the desk runs again.
    """
    spells = run_desk(physics).spells
    if spells.n == 0:
        return physics, run_desk(physics)
    tenure = (spells.assigned - physics.people.hired[spells.rep]) / 365.25
    wanted = np.array(physics.config.conversion_by_tenure)
    if not physics.config.tenure_matters:
        level = _solve_level(spells.base_logit, float(wanted[0]))
        fitted = physics.with_curve((level, level, level))
    else:
        curve = _solve_curve(spells.base_logit, tenure, wanted, np.array(physics.curve))
        fitted = physics.with_curve((float(curve[0]), float(curve[1]), float(curve[2])))
    return fitted, run_desk(fitted)


def basis(tenure: Floats) -> Floats:
    """(n, 3) weights of the curve's three values at years of tenure."""
    low = np.interp(tenure, TENURE_KNOTS, (1.5, 1.0, 0.0, 0.0))
    mid = np.interp(tenure, TENURE_KNOTS, (-0.5, 0.0, 1.0, 0.0))
    return np.stack([low, mid, 1.0 - low - mid], axis=1)


def _solve_level(base: Floats, wanted: float) -> float:
    """Constant that makes the mean probability as wanted."""
    level = float(np.log(wanted / (1 - wanted)))
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(base + level)))
        level -= float(np.clip((p.mean() - wanted) / (p * (1 - p)).mean(), -1, 1))
    return level


def _solve_curve(base: Floats, tenure: Floats, wanted: Floats, guess: Floats) -> Floats:
    """Three values that make the mean probability of each tenure band as wanted; damped Newton.

    A band with hardly a hand-over keeps its guess.
    """
    band = np.digitize(tenure, BANDS)
    weights = basis(tenure)
    members = [band == k for k in range(3)]
    solved = np.array([member.sum() >= _LEAST_LEADS for member in members])
    if not solved.any():
        return guess
    curve = guess.copy()
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(base + weights @ curve)))
        slope = (p * (1 - p))[:, None] * weights
        gap = np.array([p[m].mean() - wanted[k] if solved[k] else 0.0 for k, m in enumerate(members)])
        jacobian = np.array([slope[m].mean(axis=0) if solved[k] else np.eye(3)[k] for k, m in enumerate(members)])
        curve -= np.clip(np.linalg.solve(jacobian, gap), -0.7, 0.7)
    return curve
