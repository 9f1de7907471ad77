"""What must not be lost: decisions and their places, events, acknowledgements, keys; in one database."""

from serving.store.alerts import AlertState, UnknownWarningError
from serving.store.chain import FEED_KINDS, LogEntry, Verification
from serving.store.decisions import Counts, DuplicateDecisionError, Page, StoredDecision
from serving.store.engine import Pulse, Reader, Store, Transaction
from serving.store.events import EventBatch
from serving.store.keys import ROLES, ApiKey
from serving.store.outbox import MESSAGE_KINDS, Message, Subscription
from serving.store.schema import StoreVersionError
from serving.store.session import StoreBusyError, StoreError, StoreUnavailableError
from serving.store.shadow import AGREE, DIFFER, NOT_COMPARED, ShadowChoice

__all__ = [
    "AGREE",
    "DIFFER",
    "FEED_KINDS",
    "MESSAGE_KINDS",
    "NOT_COMPARED",
    "ROLES",
    "AlertState",
    "ApiKey",
    "Counts",
    "DuplicateDecisionError",
    "EventBatch",
    "LogEntry",
    "Message",
    "Page",
    "Pulse",
    "Reader",
    "ShadowChoice",
    "Store",
    "StoreBusyError",
    "StoreError",
    "StoreUnavailableError",
    "StoreVersionError",
    "StoredDecision",
    "Subscription",
    "Transaction",
    "UnknownWarningError",
    "Verification",
]
