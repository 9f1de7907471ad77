"""Settings of an organisation, as `fairlead.toml` gives them: frozen, with the contract's defaults.

Reading the file is `features.settings_file.read_config`; here are only the values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class TableSource:
    """Where one table comes from: a file (relative to the toml) or a query, over files or `database`.

    `left_out`: a second query that says what the first leaves out, in rows of a reason and a number of rows.
    """

    file: str = ""
    query: str = ""
    database: str = ""
    left_out: str = ""
    columns: tuple[tuple[str, str], ...] = ()  # (ours, theirs)


@dataclass(frozen=True)
class General:
    """Time zone, currency and language; `miss_ratio`: a miss is ending below this share of the target."""

    zone: str = "UTC"
    currency: str = ""
    lang: Literal["en", "zh"] = "en"
    miss_ratio: float = 0.8


@dataclass(frozen=True)
class Routing:
    """Policy settings. `exploration` and `holdout` are shares (0-1) of decisions.

    `default_capacity`: places a week for a rep whose capacity is empty; None: the 90th percentile of his own weeks.
    `same_account`: whether a known account stays with its owner: "live" as long as a lead of his there is open or won,
    True always, False never. `contact_hours`: the service level of first contact.
    `move_uncontacted_hours`: after so many hours without contact a lead is moved by itself; None: never.
    `newcomer_min`: least leads a week for a rep under a year of tenure. `newcomer_share`: least share (0-1) of a week's
    expected value that all of them together get. `high_value_max`: most leads of the top value decile a rep may get in
    a week; None: no bound.
    """

    objective: Literal["expected_value", "wins"] = "expected_value"
    default_capacity: int | None = None
    same_account: bool | Literal["live"] = "live"
    contact_hours: float = 24.0
    move_uncontacted_hours: float | None = None
    exploration: float = 0.03
    holdout: float = 0.0
    newcomer_min: int = 0
    newcomer_share: float = 0.0
    high_value_max: int | None = None


@dataclass(frozen=True)
class Leads:
    """Lead columns to ignore, and days without activity after which an open lead counts as lost."""

    ignore: tuple[str, ...] = ()
    dead_after_days: int = 180


@dataclass(frozen=True)
class Warnings:
    """`budget`: most alerts a team and month."""

    budget: int = 10


@dataclass(frozen=True)
class Round:
    """When a measure began (a date, `YYYY-MM-DD`), and for whom: teams and reps; all where none is named."""

    starts_on: str
    teams: tuple[str, ...] = ()
    reps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measure:
    """Something that was introduced, of which the driver report says whether it worked.

    `name`: its section's; `title` is shown to people. Either `rounds`, or `pilot`: the file of a drawn pilot that
    `fairlead pilot` wrote, relative to the settings.
    """

    name: str
    title: str = ""
    rounds: tuple[Round, ...] = ()
    pilot: str = ""


@dataclass(frozen=True)
class Webhook:
    """An endpoint that is told of decisions and warnings as they happen.

    `name`: its section's. `url`: https, or http on this machine. `secret`: `whsec_...`, where the environment gives
    none. `events`: kinds it wants; all where none is named.
    """

    name: str
    url: str
    secret: str = ""
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class Incoming:
    """A system that may send webhooks: `name` is salesforce, hubspot or generic.

    `secret` proves who sends, where the environment gives none. `url`: the address as the sender calls it, where a
    proxy changes it. `columns`: (ours, theirs) of leads. `reps`: (their user id, our rep_id) where they differ.
    """

    name: str
    secret: str = ""
    url: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    reps: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Config:
    """All settings of one organisation."""

    general: General = field(default_factory=General)
    routing: Routing = field(default_factory=Routing)
    leads: Leads = field(default_factory=Leads)
    warnings: Warnings = field(default_factory=Warnings)
    stage_order: tuple[str, ...] = ()
    store_url: str = ""
    tables: tuple[tuple[str, TableSource], ...] = ()
    measures: tuple[Measure, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    incoming: tuple[Incoming, ...] = ()
