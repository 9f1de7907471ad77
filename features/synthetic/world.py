"""A synthetic world: its tables, what is true of it, and everything behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.synthetic.calibration import calibrate
from features.synthetic.chances import Physics, make_physics
from features.synthetic.config import WorldConfig
from features.synthetic.days import Floats, make_calendar
from features.synthetic.desk import History
from features.synthetic.frames import Identities, identities, make_tables
from features.synthetic.languages import vocabulary
from features.synthetic.leads import make_leads
from features.synthetic.population import make_population
from features.synthetic.targets import contributions, make_targets
from features.synthetic.trail import Trail, make_trail
from features.synthetic.training import make_trainings
from features.synthetic.truth import make_truth
from features.tables import Tables


@dataclass(frozen=True)
class World:
    """`tables`: what an organisation would export; `truth`: what it could never know (as in truth.json).

    `physics`, `history`, `trail`: the state behind, for benchmarks; `contribution`: (reps, months) won amounts.
    """

    config: WorldConfig
    tables: Tables
    truth: Mapping[str, Any]
    physics: Physics
    history: History
    trail: Trail
    ids: Identities
    contribution: Floats

    @property
    def as_of(self) -> int:
        """Moment just after history."""
        return self.config.end


def generate(config: WorldConfig) -> World:
    """The world of `config`. All chance comes from one generator seeded with `config.seed`; same config, same world.

    Raises
    ------
    ValueError
        Where the config is impossible (raised when it is made).
    """
    seeds = np.random.default_rng(config.seed).spawn(7)
    words = vocabulary(config.language)
    calendar = make_calendar(config)
    people = make_population(config, calendar, words, seeds[0])
    leads = make_leads(config, calendar, people, words, seeds[1])
    trainings = make_trainings(config, calendar, people, seeds[2])
    physics = make_physics(config, calendar, people, leads, words, trainings, seeds[3])
    physics, history = calibrate(physics)
    trail = make_trail(physics, history, seeds[4])
    deals = trail.deals
    contribution = contributions(calendar, people.n, deals["rep"], deals["at"], deals["amount"], config.n_months)
    targets = make_targets(calendar, people, contribution, seeds[5])
    ids = identities(people.n, leads.n)
    tables = make_tables(physics, history, trail, targets, ids, seeds[6])
    truth = make_truth(physics, history, ids, contribution)
    return World(config, tables, truth, physics, history, trail, ids, contribution)
