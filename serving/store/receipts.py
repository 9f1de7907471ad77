"""What other systems sent under an id of their own, and how it was answered: the same id again changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from serving.store.session import Session, to_object, to_text

KEPT_DAYS: Final = 30  # senders try for a day or three, never for a month
_DAY: Final = 86_400_000_000


@dataclass
class ReceiptReader(Session):
    """Reads receipts."""

    def receipt(self, source: str, message_id: str) -> dict[str, object] | None:
        """What the sender's message was answered with; None for one that never came."""
        rows = self.run("SELECT answer FROM receipts WHERE source = ? AND message_id = ?", source, message_id)
        return to_object(rows[0][0]) if rows else None


@dataclass
class ReceiptWriter(ReceiptReader):
    """Writes receipts, in the transaction that does what the message asks for."""

    def put_receipt(self, source: str, message_id: str, answer: Mapping[str, object]) -> None:
        """Keep an answer, and forget those of more than `KEPT_DAYS` ago."""
        now = self.clock()
        self.run("DELETE FROM receipts WHERE received_at < ?", now - KEPT_DAYS * _DAY)
        self.run(
            "INSERT INTO receipts (source, message_id, received_at, answer) VALUES (?, ?, ?, ?)",
            source, message_id, now, to_text(answer),
        )  # fmt: skip
