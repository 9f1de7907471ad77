"""What the routes need of the rest of Fairlead, so that they can be served, and tested, with anything that has it.

Methods are called from worker threads, several at once, and may take their time. They raise `FairleadError`s:

    DataError                              422, every bad row listed
    UnknownLeadError, UnknownRepError,
        UnknownWarningError                404 (422 where the rep came in a body)
    ConflictError                          409
    NoReleaseError, StoreBusyError,
        StoreUnavailableError              503 with Retry-After
    any other RequestError, ConfigError    400
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from features.config import Incoming
from features.errors import RequestError
from models.forecasting.inputs import Changes
from serving.store import ApiKey

if TYPE_CHECKING:
    from serving.calibration import Held
    from serving.intake import Sent

Json = dict[str, object]


class ConflictError(RequestError):
    """The request is well formed and cannot be granted as things stand (a full rep, a leaver)."""


@dataclass(frozen=True)
class Team:
    """Whom a manager answers for."""

    rep_ids: frozenset[str]
    team_ids: frozenset[str]


@dataclass(frozen=True)
class DecisionFilters:
    """Which decisions to list. `rep_ids`: only leads of these (None: all); `since`: earliest decided_at, included."""

    status: str | None = None
    rep_id: str | None = None
    rep_ids: frozenset[str] | None = None
    since: int | None = None
    cursor: int | None = None
    limit: int = 100


@dataclass(frozen=True)
class UpliftMetrics:
    """Policy less hold-out. `estimates`: (value, low, high) a lead, by `wins` and `value`; empty while too few."""

    alarm: bool
    n_policy: int
    n_holdout: int
    estimates: Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True)
class MetricsSnapshot:
    """Totals from the store, and ages in seconds (None where there is no model, no data).

    `fallback`: no model can be used, rules alone decide. `shadow`: decisions that a challenger looked at, by result
    (agree, differ, not_compared, failed, skipped); None without a challenger. `drift`: change and alarm of each
    (kind, name) as last looked at; None before the first look. `messages`: of webhooks not delivered yet, by
    (endpoint, waiting or dead); `deliveries`: attempts of this process by (endpoint, delivered or failed). `prices` of
    a place as last solved, by (team, least, median or most); `calibration` None before enough can be judged.
    """

    decisions: Mapping[str, int]
    held: int
    overrides: int
    event_rows: int
    model_age_seconds: float | None = None
    feature_age_seconds: float | None = None
    fallback: bool = False
    shadow: Mapping[str, int] | None = None
    drift: Mapping[tuple[str, str], tuple[float, bool]] | None = None
    uplift: UpliftMetrics | None = None
    messages: Mapping[tuple[str, str], int] | None = None
    deliveries: Mapping[tuple[str, str], int] | None = None
    prices: Mapping[tuple[str, str], float] | None = None
    calibration: Held | None = None


class ServiceProtocol(Protocol):
    """The domain, as the routes see it. Moments are int64 microseconds UTC; `lang` is `en` or `zh`."""

    @property
    def zone(self) -> str:
        """Time zone in which times without an offset are read."""
        ...

    @property
    def default_lang(self) -> str:
        """Language where a caller asks for none."""
        ...

    def assign(self, lead: Mapping[str, object], *, decided_at: int | None, lang: str) -> tuple[int, bytes]:
        """201 and a new decision as JSON bytes, or 200 and the one that stands."""
        ...

    def assign_batch(
        self, leads: Sequence[Mapping[str, object]], *, decided_at: int | None, lang: str
    ) -> tuple[int, bytes]:
        """201 and `{"items": [{"lead_id", "status_code", "status", "rep_id", "decision"}]}` as bytes, decided together,
        duplicates once."""
        ...

    def decision(self, lead_id: str, *, lang: str) -> Json:
        """The decision with candidates, versions, `owner_rep_id` and `history`; UnknownLeadError otherwise."""
        ...

    def decisions(self, filters: DecisionFilters, *, lang: str) -> Json:
        """`{"items": [decision with owner_rep_id], "next_cursor": int | None}`."""
        ...

    def feed(self, after: int, limit: int, *, lang: str) -> Json:
        """`{"items": [{"seq", "kind", "at", "lead_id", "rep_id", ...}], "next_after": int}`."""
        ...

    def override(self, lead_id: str, *, rep_id: str, by: str, reason: str, force: bool, lang: str) -> Json:
        """The decision with its new owner; ConflictError where the rep is full (unless forced) or has left."""
        ...

    def add_events(self, table: str, rows: Sequence[Mapping[str, object]], *, sender: str, key: str = "") -> Json:
        """`{"accepted": n, "seq": n}` once durable; DataError lists every bad row, and then nothing was taken.

        `key`: the caller's idempotency key: the same again gets the same answer.
        """
        ...

    def sender(self, name: str) -> Incoming | None:
        """The system that may send webhooks under that name, its secret in place; None where none is set."""
        ...

    def take_sent(self, sent: Sequence[Sent], *, sender: str) -> list[Json]:
        """An answer each, all taken or none; what was seen before is answered as then."""
        ...

    def reload_data(self) -> Json:
        """What was read anew."""
        ...

    def forecasts(self, *, month: str | None, level: str, id: str | None, lang: str) -> Json:  # noqa: A002
        """`{"items": [row of the forecast table]}`; at level rep each with `rep_id`, else with `level` and `id`."""
        ...

    def forecast_reasons(self, *, id: str, lang: str) -> Json:  # noqa: A002
        """`{"items": [{"month", "driver", "value", "reference", "difference", "p_miss_difference"}]}` of a rep."""
        ...

    def what_if(self, level: str, id: str | None, changes: Changes, *, lang: str) -> Json:  # noqa: A002
        """`{"items": [{"month", "mean", "mean_then", "difference", ...}], "meaning", "effect"}`."""
        ...

    def warnings(self, *, lang: str) -> Json:
        """`{"items": [warning]}`, most urgent first."""
        ...

    def acknowledge(self, warning_id: str, *, by: str, note: str, lang: str) -> Json:
        """The acknowledged warning; UnknownWarningError otherwise."""
        ...

    def warning_rep(self, warning_id: str) -> str | None:
        """Whose warning it is; None for one that nobody raised."""
        ...

    def drivers(self, *, level: str | None, id: str | None, lang: str, against: str = "peers") -> Json:  # noqa: A002
        """`drivers.json`, narrowed to a level and an id where given."""
        ...

    def models(self) -> Json:
        """Versions and metrics of the releases."""
        ...

    def challenger(self) -> Json:
        """What the release in shadow would have done with the decisions since it was named."""
        ...

    def drift(self) -> Json:
        """`{"release", "as_of", "needed", "findings"}` as last looked at."""
        ...

    def reload_models(self) -> Json:
        """The versions after taking the promoted release."""
        ...

    def overdue(self, *, lang: str | None = None) -> Json:
        """`{"items": [{"lead_id", "rep_id", "hours", "best_rep_id", "gain", ...}], "contact_hours", ...}`."""
        ...

    def experiment(self, *, lang: str | None = None) -> Json:
        """`{"status", "wins", "value", "alarm", "text", ...}`: policy against the hold-out as known now."""
        ...

    def group_audit(
        self, groups: Mapping[str, Mapping[str, str]], *, since: int | None, until: int | None, lang: str
    ) -> Json:
        """`{"n_decisions", "audits", "text", ...}`; `groups`, by attribute and then rep_id, are not kept."""
        ...

    def rule_mode(self) -> Json:
        """`{"all": bool, "teams": [team_id]}`: where routing runs by rules only."""
        ...

    def set_rule_mode(self, *, on: bool, team_id: str | None, by: str) -> Json:
        """`rule_mode()` after switching it for a team, or for all."""
        ...

    def ready(self) -> Json:
        """`{"ok": bool, "reasons": [text]}`."""
        ...

    def metrics_snapshot(self) -> MetricsSnapshot:
        """Totals and ages for /metrics."""
        ...

    def team(self, manager: str) -> Team:
        """Whom the manager with that subject (a manager_id or a team_id) answers for; empty sets if nobody."""
        ...

    def close(self) -> None:
        """Let go of store and threads."""
        ...


class Keyring(Protocol):
    """Where keys are looked up; a `Store` is one."""

    def has_keys(self) -> bool:
        """Whether a key was ever made."""
        ...

    def find_key(self, key: str) -> ApiKey | None:
        """The key that `key` is, unless revoked or unknown."""
        ...
