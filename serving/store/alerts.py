"""What people did about warnings: open, acknowledged by whom, resolved once the warning is gone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select, update

from features.errors import RequestError
from features.messages import message
from serving.store import schema
from serving.store.session import Session

_PART = 10_000


@dataclass(frozen=True)
class AlertState:
    """State of one warning. `status`: open, acknowledged or resolved; times in microseconds UTC."""

    warning_id: str
    status: str
    opened_at: int
    acknowledged_at: int | None
    acknowledged_by: str
    note: str
    resolved_at: int | None


class UnknownWarningError(RequestError):
    """No warning of that id has ever been raised."""


@dataclass
class AlertReader(Session):
    """Reads the state of warnings."""

    def alert(self, warning_id: str) -> AlertState | None:
        """State of a warning, or None."""
        row = self.connection.execute(select(schema.alerts).where(schema.alerts.c.warning_id == warning_id)).first()
        return None if row is None else AlertState(*row)

    def alerts(self, status: str | None = None) -> dict[str, AlertState]:
        """States by warning id, of one status where given."""
        query = select(schema.alerts)
        if status is not None:
            query = query.where(schema.alerts.c.status == status)
        return {row.warning_id: AlertState(*row) for row in self.connection.execute(query)}

    def alerts_are_current(self, warning_ids: Collection[str]) -> bool:
        """Whether `sync_alerts` would change nothing, so that a reader need not become a writer."""
        wanted = set(warning_ids)
        live = {key for key, state in self.alerts().items() if state.status != "resolved"}
        return live == wanted


@dataclass
class AlertWriter(AlertReader):
    """Writes the state of warnings, inside an exclusive transaction only."""

    def sync_alerts(self, warning_ids: Collection[str], *, now: int) -> dict[str, AlertState]:
        """States after comparing with the warnings that stand at `now`.

        New ones open; those that stand already keep their `opened_at` and acknowledgement; vanished ones are resolved;
        a resolved one that comes back opens anew.
        """
        known, wanted = self.alerts(), set(warning_ids)
        fresh = sorted(wanted - known.keys())
        if fresh:
            self.connection.execute(
                schema.alerts.insert(),
                [
                    {"warning_id": key, "status": "open", "opened_at": now, "acknowledged_by": "", "note": ""}
                    for key in fresh
                ],
            )
        again = sorted(key for key in wanted & known.keys() if known[key].status == "resolved")
        gone = sorted(key for key in known.keys() - wanted if known[key].status != "resolved")
        self._set(
            again,
            status="open",
            opened_at=now,
            resolved_at=None,
            acknowledged_at=None,
            acknowledged_by="",
            note="",
        )
        self._set(gone, status="resolved", resolved_at=now)
        return self.alerts()

    def acknowledge_alert(self, warning_id: str, *, by: str, note: str, now: int) -> AlertState:
        """The acknowledged state; UnknownWarningError for an id never raised. The last to acknowledge is kept."""
        state = self.alert(warning_id)
        if state is None:
            raise UnknownWarningError(message("unknown.warning", warning=warning_id))
        if state.status == "resolved":
            return state
        self._set([warning_id], status="acknowledged", acknowledged_at=now, acknowledged_by=by, note=note)
        return AlertState(warning_id, "acknowledged", state.opened_at, now, by, note, None)

    def _set(self, warning_ids: list[str], **values: object) -> None:
        table = schema.alerts
        for start in range(0, len(warning_ids), _PART):
            part = warning_ids[start : start + _PART]
            self.connection.execute(update(table).where(table.c.warning_id.in_(part)).values(**values))
