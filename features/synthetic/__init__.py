"""Synthetic sales organisations with known truth.

`write_world(folder, WorldConfig(...))` writes the tables of the contract and truth.json; `generate(config)` keeps the
world in memory, with the hidden state that benchmarks hold estimates against.
"""

from features.synthetic.config import SKILLS, STRUCTURES, Effects, WorldConfig, null_effects, null_world
from features.synthetic.oracle import eligible, pair_chance, true_expected_amount, true_win_probability
from features.synthetic.oracle_forecast import OracleForecast, oracle_forecast
from features.synthetic.oracle_knowable import knowable_open_leads
from features.synthetic.world import World, generate
from features.synthetic.writer import SAMPLES, raw_frames, regenerate_samples, write_world

__all__ = [
    "SAMPLES",
    "SKILLS",
    "STRUCTURES",
    "Effects",
    "OracleForecast",
    "World",
    "WorldConfig",
    "eligible",
    "generate",
    "knowable_open_leads",
    "null_effects",
    "null_world",
    "oracle_forecast",
    "pair_chance",
    "raw_frames",
    "regenerate_samples",
    "true_expected_amount",
    "true_win_probability",
    "write_world",
]
