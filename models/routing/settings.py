"""Settings of the routing policy, frozen; the contract's `[routing]` section maps onto them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from features.config import Routing
from features.errors import ConfigError
from features.messages import message

Mode = Literal["priced", "lead_only", "fallback", "rule"]
VALUED: Final[frozenset[Mode]] = frozenset({"priced", "lead_only"})  # in which a lead must be worth a place to get one


@dataclass(frozen=True)
class PolicySettings:
    """How one decision is made.

    Attributes
    ----------
    mode
        priced: value less price. lead_only: the data show no difference between reps, so load and fairness decide
        who, and the price of a place still decides which leads wait.
        fallback: there is no model. rule: an administrator switched the model off.
    exploration, holdout
        Shares (0-1) of decisions: near-equals instead of the best; the old rule instead of the policy.
    near_equal
        A net value within this share of the best one's value counts as its equal for exploration.
    favour_unknown
        0: near-equals are equally likely; above: as likely as their (uncertainty)^favour_unknown.
    same_account
        The owner of the account comes first.
    newcomer_min, newcomer_share, high_value_max
        Fewest leads a week of a newcomer; least share (0-1) of a week's expected value of all newcomers together;
        most high-value leads a week of a rep, None: no bound.
    n_alternatives
        How many reps a decision names beside the chosen one.
    """

    mode: Mode = "priced"
    exploration: float = 0.03
    holdout: float = 0.0
    near_equal: float = 0.08
    favour_unknown: float = 0.0
    same_account: bool = True
    newcomer_min: int = 0
    newcomer_share: float = 0.0
    high_value_max: int | None = None
    n_alternatives: int = 5

    def __post_init__(self) -> None:
        for name in ("exploration", "holdout", "near_equal", "newcomer_share"):
            share = getattr(self, name)
            if not 0.0 <= share <= 1.0:
                raise ConfigError(message("settings.share", name=name, found=share))
        for name in ("newcomer_min", "high_value_max", "n_alternatives"):
            count = getattr(self, name)
            if count is not None and count < 0:
                raise ConfigError(message("settings.from_zero", name=name, found=count))
        if self.favour_unknown < 0:
            raise ConfigError(message("settings.from_zero", name="favour_unknown", found=self.favour_unknown))


def policy_settings(routing: Routing, mode: Mode = "priced") -> PolicySettings:
    """Settings of one decision from the organisation's `[routing]` section; ConfigError where a value is impossible."""
    return PolicySettings(
        mode=mode, exploration=routing.exploration, holdout=routing.holdout, same_account=bool(routing.same_account),
        newcomer_min=routing.newcomer_min, newcomer_share=routing.newcomer_share,
        high_value_max=routing.high_value_max,
    )  # fmt: skip
