"""Courses of a synthetic world: the weak are sent first, most complete, and what is completed acts from then on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from features.synthetic.config import SKILLS, WorldConfig
from features.synthetic.days import Calendar, Floats, Ints
from features.synthetic.population import Population

NOT_DONE: Final = 10**6
_ROUND_DAYS = 61  # a round of courses every two months
_HOURS = (16.0, 12.0, 8.0, 16.0, 4.0)


@dataclass(frozen=True)
class Course:
    """A rep's place in a course of `skill` (index in SKILLS); `completed` is NOT_DONE where he never finished."""

    rep: int
    skill: int
    assigned: int
    completed: int
    hours: float
    score: float


@dataclass(frozen=True)
class Trainings:
    """All courses, and `done`: (reps, skills) world day of completion, NOT_DONE where none."""

    courses: tuple[Course, ...]
    done: Ints

    def completed(self, rep: Ints, day: Floats) -> Floats:
        """(n, skills) 1 where the rep has completed the skill's course before that day's 00:00."""
        return np.asarray(self.done[rep] < np.floor(day)[:, None], dtype=np.float64)


def make_trainings(config: WorldConfig, calendar: Calendar, people: Population, rng: np.random.Generator) -> Trainings:
    """Rounds of courses: in each, of those not yet sent, the third that looks weakest is likeliest to go."""
    done = np.full((people.n, len(SKILLS)), NOT_DONE, dtype=np.int64)
    sent = np.zeros((people.n, len(SKILLS)), dtype=bool)
    courses: list[Course] = []
    scale = max(config.ability_sd, 0.1)
    for begin in range(20, calendar.n_days, _ROUND_DAYS):
        here = (people.hired <= begin - 20) & (people.left > begin + 30)
        for skill in range(len(SKILLS)):
            open_to = np.flatnonzero(here & ~sent[:, skill])
            if not len(open_to):
                continue
            tenure = people.tenure(open_to, np.full(len(open_to), begin))
            looks = people.ability[open_to] / scale + 0.3 * np.minimum(tenure, 3) + rng.normal(0.0, 0.7, len(open_to))
            rank = np.argsort(np.argsort(looks)) / len(open_to)
            # A few of the strong go too, or nothing could ever be learnt about them.
            goes = rng.random(len(open_to)) < np.where(rank < 1 / 3, 0.20, 0.03)
            for rep in open_to[goes]:
                sent[rep, skill] = True
                course = _attend(rep, skill, begin + int(rng.integers(0, 20)), people, rng)
                courses.append(course)
                done[rep, skill] = course.completed
    return Trainings(tuple(courses), done)


def _attend(rep: int, skill: int, assigned: int, people: Population, rng: np.random.Generator) -> Course:
    """One rep's course: 80 % complete within 10 to 45 days, unless they leave before."""
    completed = assigned + int(rng.integers(10, 46))
    finishes = rng.random() < 0.8
    score = float(np.clip(np.round(75 + 8 * people.ability[rep] + rng.normal(0.0, 9.0)), 0, 100))
    if not finishes or completed >= people.left[rep]:
        completed = NOT_DONE
    return Course(int(rep), skill, assigned, completed, _HOURS[skill], score)
