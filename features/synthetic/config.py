"""What a synthetic world is like: every size, habit and true effect, frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from features import moments

Structure = Literal["additive", "industry", "source", "territory", "size", "mixed", "latent"]
Language = Literal["en", "zh"]
Holidays = Literal["none", "weekdays", "CN"]

STRUCTURES: Final[tuple[Structure, ...]] = ("additive", "industry", "source", "territory", "size", "mixed", "latent")
SKILLS: Final = ("negotiation", "product", "prospecting", "closing", "compliance")


@dataclass(frozen=True)
class Effects:
    """True effects on the logit of winning; 0 makes a null.

    `follow_up`: one more follow-up a week. `contact_within_24h`: first contact within a day against later.
    `training`: logit of each skill's course once completed, in the order of SKILLS (the last is the placebo).
    `handover`: a lead's second and later owners, against its first.
    """

    follow_up: float = 0.35
    contact_within_24h: float = 0.30
    training: tuple[float, ...] = (0.35, 0.30, 0.25, 0.45, 0.0)
    handover: float = -0.30


@dataclass(frozen=True)
class WorldConfig:
    """A synthetic world. The same config gives the same bytes.

    Parameters
    ----------
    n_reps
        Seats of the desk at the end; with leavers replaced and the desk growing, the table holds about half again.
    n_months
        Whole months of history, up to and including `end_month`.
    seed
        Seed of the only random generator.
    end_month
        Index (year * 12 + month - 1) of the last month, 2026-06 unless given.
    leads_per_rep_month
        Leads that arrive a month and seat.
    load
        Leads a place of weekly capacity; above 1 the desk cannot place all.
    structure, interaction_sd
        On which lead attribute reps differ, and the sd over pairs of that lead x rep effect on the logit.
    ability_sd
        Sd of the reps' lasting ability on the logit.
    conversion_by_tenure
        Share of leads won in the hands of reps below one, one to two, and above two years of tenure; three equal
        numbers make a world in which tenure says nothing.
    hidden_quality_sd, market_sd
        Sd on the logit of what no column shows of a lead, and of the market's months.
    diligence_sd, drift_sd
        Sd of the log of a rep's follow-up frequency: between reps, and over his months.
    hidden_looks
        Log of follow-ups for one logit of hidden quality: what reps sense and no column shows. Above 0, no estimate
        from the tables can be right about follow-ups.
    slumps_per_rep_year
        Stretches of 60 days or more at less than half of his follow-ups.
    turnover, growth
        Share of reps that leaves a year, and by which the desk grows a year.
    newcomer_share_of_best
        Share of the best leads (top third by what is seen) that the desk's habit sends to newcomers.
    late_logging_days
        Mean days between a thing and its entry; 0: no `recorded_at` column.
    """

    n_reps: int = 60
    n_months: int = 30
    seed: int = 0
    end_month: int = 2026 * 12 + 5
    leads_per_rep_month: float = 10.0
    load: float = 0.8
    structure: Structure = "mixed"
    interaction_sd: float = 0.5
    ability_sd: float = 0.42
    conversion_by_tenure: tuple[float, float, float] = (0.05, 0.15, 0.25)
    hidden_quality_sd: float = 0.5
    market_sd: float = 0.08
    diligence_sd: float = 0.40
    drift_sd: float = 0.30
    hidden_looks: float = 0.0
    slumps_per_rep_year: float = 0.25
    turnover: float = 0.28
    growth: float = 0.20
    newcomer_share_of_best: float = 0.30
    activity_scale: float = 1.0
    late_logging_days: float = 0.0
    effects: Effects = field(default_factory=Effects)
    holidays: Holidays = "CN"
    language: Language = "en"
    zone: str = "UTC"
    currency: str = ""

    def __post_init__(self) -> None:
        _check(self.n_reps >= 2, "n_reps must be at least 2")
        _check(1 <= self.n_months <= 240, "n_months must be 1 to 240")
        _check(self.load > 0 and self.leads_per_rep_month > 0, "load and leads_per_rep_month must be above 0")
        _check(self.structure in STRUCTURES, f"structure must be one of {', '.join(STRUCTURES)}")
        _check(all(0 < rate < 0.8 for rate in self.conversion_by_tenure), "conversion_by_tenure must be in (0, 0.8)")
        _check(len(self.effects.training) == len(SKILLS), f"training needs an effect for each of {', '.join(SKILLS)}")
        _check(0 <= self.turnover < 1 and 0 <= self.growth < 1, "turnover and growth must be in [0, 1)")

    @property
    def first_month(self) -> int:
        """Index of the first month of history."""
        return self.end_month - self.n_months + 1

    @property
    def start(self) -> int:
        """Moment at which history begins."""
        return moments.month_start(self.first_month, self.zone)

    @property
    def end(self) -> int:
        """Moment just after history."""
        return moments.month_start(self.end_month + 1, self.zone)

    @property
    def tenure_matters(self) -> bool:
        """Whether conversion differs by tenure at all."""
        return len(set(self.conversion_by_tenure)) > 1


def null_effects() -> Effects:
    """Effects that are all zero."""
    return Effects(0.0, 0.0, (0.0,) * len(SKILLS), 0.0)


def null_world(n_reps: int = 60, n_months: int = 30, seed: int = 0) -> WorldConfig:
    """A world in which no rep differs from another: no ability, tenure, interaction, training or diligence."""
    return WorldConfig(
        n_reps=n_reps,
        n_months=n_months,
        seed=seed,
        structure="additive",
        interaction_sd=0.0,
        ability_sd=0.0,
        conversion_by_tenure=(0.12, 0.12, 0.12),
        diligence_sd=0.0,
        drift_sd=0.0,
        slumps_per_rep_year=0.0,
        effects=null_effects(),
    )


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
