"""What Salesforce, HubSpot and any other CRM send, as rows and leads of the contract; nothing is guessed.

A shape that is not known is refused by the name of the field that is at fault. A property of HubSpot that says nothing
of routing is passed over, and the answer says so.

References
----------
Salesforce SOAP API, Outbound Messaging: up to 100 notifications, each with an Id of its own by which repeats are known.
Salesforce Change Data Capture: `ChangeEventHeader` with entityName, recordIds, changeType, commitTimestamp.
HubSpot Webhooks API: a list of at most 100 events; eventId alone is not unique.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree.ElementTree import ParseError, XMLPullParser

from features import moments
from features.config import Incoming
from features.errors import DataError, Fault
from features.messages import message
from serving.intake import Sent

MOST_ITEMS: Final = 100
_MOST_DEPTH: Final = 16
_XSI_TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"
_OBJECTS: Final = {"0-1": "contact", "0-3": "deal", "0-136": "lead"}
_STAGES: Final = frozenset({"lifecyclestage", "hs_lead_status", "dealstage", "hs_pipeline_stage"})
_TABLES: Final = {
    "lead": "leads", "assignment": "assignments", "activity": "activities", "stage": "stages", "deal": "deals",
    "training": "trainings", "target": "targets", "feedback": "feedback", "absence": "absences", "rep": "reps",
}  # fmt: skip
_LATEST_MS: Final = 4_102_444_800_000  # 2100

Fields = Mapping[str, object]


@dataclass(frozen=True)
class Read:
    """What a message says: things to take, in order, and what was passed over."""

    sent: tuple[Sent, ...]
    ignored: tuple[str, ...] = ()


def fault(place: int, field: str, value: object, rule: str) -> DataError:
    """The error that names a field of a message."""
    return DataError([Fault("webhook", place, field, str(value)[:200], rule)])


# -- any CRM ----------------------------------------------------------------------------------------------------


def read_generic(message_id: str, document: object) -> Read:
    """A Standard Webhooks message: `{"type": "lead.created", "data": {row}}`; `data` may be a list of rows.

    `lead.created` is routed; `lead.updated`, `activity.*`, `stage.*`, `deal.*`, ... are rows of that table.
    """
    if not isinstance(document, Mapping):
        raise fault(1, "", "", message("hook.object"))
    kind, data = document.get("type"), document.get("data")
    table = _TABLES.get(kind.partition(".")[0]) if isinstance(kind, str) else None
    if not isinstance(kind, str) or table is None:
        raise fault(1, "type", kind, message("row.none_of", names=", ".join(f"{name}.…" for name in _TABLES)))
    rows: list[Any] = data if isinstance(data, list) else [data]
    if not rows or len(rows) > MOST_ITEMS or not all(isinstance(row, Mapping) for row in rows):
        raise fault(1, "data", "", message("hook.row", most=MOST_ITEMS))
    if kind != "lead.created":
        return Read((Sent("generic", message_id, table, tuple(rows)),))
    found = [Sent("generic", _part(message_id, at), table, (row,), route=True) for at, row in enumerate(rows)]
    return Read(tuple(found))


def _part(message_id: str, at: int) -> str:
    return message_id if at == 0 else _digest(message_id, at)


# -- HubSpot ----------------------------------------------------------------------------------------------------


def read_hubspot(document: object, sender: Incoming) -> Read:
    """HubSpot's events: creation of a contact, lead or deal is a lead; its owner and stages are rows."""
    if not isinstance(document, list) or not 0 < len(document) <= MOST_ITEMS:
        raise fault(1, "", "", message("hook.events", most=MOST_ITEMS))
    sent: list[Sent] = []
    ignored: list[str] = []
    for place, event in enumerate(document, start=1):
        if not isinstance(event, Mapping):
            raise fault(place, "", "", message("hook.event"))
        found = _hubspot_event(place, event, sender)
        if isinstance(found, Sent):
            sent.append(found)
        else:
            ignored.append(found)
    return Read(tuple(sent), tuple(ignored))


def _hubspot_event(place: int, event: Fields, sender: Incoming) -> Sent | str:
    kind, _, action = str(event.get("subscriptionType", "")).partition(".")
    if kind == "object":
        kind = _OBJECTS.get(str(event.get("objectTypeId")), "")
    if kind not in _OBJECTS.values() or action not in ("creation", "propertyChange"):
        raise fault(place, "subscriptionType", event.get("subscriptionType"), message("hook.subscription"))
    number, at = event.get("objectId"), event.get("occurredAt")
    if isinstance(number, bool) or not isinstance(number, int):
        raise fault(place, "objectId", number, message("hook.record_number"))
    if isinstance(at, bool) or not isinstance(at, int) or not 0 < at < _LATEST_MS:
        raise fault(place, "occurredAt", at, message("hook.milliseconds"))
    told = ("portalId", "subscriptionId", "eventId", "occurredAt", "objectId", "propertyName", "propertyValue")
    message_id = _digest(event.get("subscriptionType"), *(event.get(name) for name in told))
    when, lead_id = moments.iso(at * 1_000), str(number)
    if action == "creation":
        source = str(event.get("changeSource") or "hubspot").lower()
        row: Fields = {"lead_id": lead_id, "created_at": when, "source": source}
        return Sent("hubspot", message_id, "leads", (row,), route=True)
    name, value = event.get("propertyName"), event.get("propertyValue")
    if not isinstance(name, str):
        raise fault(place, "propertyName", name, message("hook.missing"))
    if name == "hubspot_owner_id" and value:
        row = {"lead_id": lead_id, "rep_id": dict(sender.reps).get(str(value), str(value)), "assigned_at": when}
        return Sent("hubspot", message_id, "assignments", (row,))
    if name in _STAGES and value:
        row = {"lead_id": lead_id, "stage": value, "entered_at": when}
        return Sent("hubspot", message_id, "stages", (row,))
    return f"propertyName {name[:100]}"


# -- Salesforce -------------------------------------------------------------------------------------------------


def read_outbound(body: bytes, sender: Incoming) -> Read:
    """A SOAP outbound message: one notification or many, each of a Lead, Opportunity, Task or Event."""
    notifications = _notifications(body)
    if not 0 < len(notifications) <= MOST_ITEMS:
        raise fault(1, "Notification", len(notifications), message("hook.notifications", most=MOST_ITEMS))
    sent: list[Sent] = []
    for place, (message_id, kind, fields) in enumerate(notifications, start=1):
        if not 0 < len(message_id) <= 100:
            raise fault(place, "Id", message_id, message("hook.notification_id"))
        sent += salesforce_record(place, message_id, kind, fields, sender)
    return Read(tuple(sent))


def _notifications(body: bytes) -> list[tuple[str, str, dict[str, object]]]:
    """(Id, type, fields) of each notification. No doctype, hence no entity, is taken, and no deep nesting."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise fault(1, "", "", message("hook.encoding")) from None
    if "<!" in text.replace("<!--", ""):
        raise fault(1, "", "", message("hook.doctype"))
    parser: XMLPullParser[Any] = XMLPullParser(("start", "end"))
    found: list[tuple[str, str, dict[str, object]]] = []
    depth = 0
    try:
        for start in range(0, len(text), 4_096):  # in parts, so that depth is bounded while it is read
            parser.feed(text[start : start + 4_096])
            step: Any
            for step in parser.read_events():
                event, element = step
                depth += 1 if event == "start" else -1
                if depth > _MOST_DEPTH:
                    raise fault(1, "", "", message("hook.depth", most=_MOST_DEPTH))
                if event == "end" and _local(element.tag) == "Notification":
                    record = next((one for one in element if _local(one.tag) == "sObject"), None)
                    own = next((one.text or "" for one in element if _local(one.tag) == "Id"), "")
                    kind = "" if record is None else record.get(_XSI_TYPE, "").rpartition(":")[2]
                    cells = [] if record is None else [(_local(one.tag), one.text) for one in record]
                    found.append((own.strip(), kind, {name: text for name, text in cells if text is not None}))
        parser.close()
    except (ParseError, ValueError, LookupError):
        raise fault(1, "", "", message("hook.xml")) from None
    return found


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def read_change_event(document: object, sender: Incoming) -> Read:
    """A change event as JSON: `{"event": {"EventUuid"}, "payload": {"ChangeEventHeader": {...}, fields}}`."""
    payload = document.get("payload") if isinstance(document, Mapping) else None
    header = payload.get("ChangeEventHeader") if isinstance(payload, Mapping) else None
    if not isinstance(document, Mapping) or not isinstance(payload, Mapping) or not isinstance(header, Mapping):
        raise fault(1, "payload.ChangeEventHeader", "", message("hook.missing"))
    event, ids = document.get("event"), header.get("recordIds")
    told = event if isinstance(event, Mapping) else {}
    own = told.get("EventUuid") or told.get("replayId")
    if not isinstance(own, (str, int)) or isinstance(own, bool):
        raise fault(1, "event.EventUuid", own, message("hook.event_id_missing"))
    if not isinstance(ids, list) or not 0 < len(ids) <= MOST_ITEMS or not all(isinstance(one, str) for one in ids):
        raise fault(1, "payload.ChangeEventHeader.recordIds", "", message("hook.ids", most=MOST_ITEMS))
    if header.get("changeType") not in ("CREATE", "UPDATE"):
        raise fault(1, "payload.ChangeEventHeader.changeType", header.get("changeType"), message("hook.change"))
    fields = {name: value for name, value in payload.items() if name != "ChangeEventHeader"}
    sent: list[Sent] = []
    for at, record_id in enumerate(ids):
        message_id = _digest(header.get("entityName"), own, at)
        kind = str(header.get("entityName", ""))
        sent += salesforce_record(1, message_id, kind, {**fields, "Id": record_id}, sender)
    return Read(tuple(sent))


def salesforce_record(place: int, message_id: str, kind: str, fields: Fields, sender: Incoming) -> list[Sent]:
    """What one record of Salesforce says."""
    if kind == "Lead":
        return [Sent("salesforce", message_id, "leads", (_lead(fields, sender),), route=True)]
    if kind == "Opportunity":
        return _opportunity(place, message_id, fields, sender)
    if kind in ("Task", "Event"):
        return [Sent("salesforce", message_id, "activities", (_activity(kind, fields, sender),))]
    raise fault(place, "sObject", kind, message("row.none_of", names="Lead, Opportunity, Task, Event"))


def _lead(fields: Fields, sender: Incoming) -> dict[str, object]:
    row = {
        "lead_id": fields.get("Id"),
        "created_at": fields.get("CreatedDate"),
        "source": fields.get("LeadSource") or "salesforce",
        "industry": fields.get("Industry"),
    }
    row.update({ours: fields.get(theirs) for ours, theirs in sender.columns})
    return {name: value for name, value in row.items() if value is not None}


def _opportunity(place: int, message_id: str, fields: Fields, sender: Incoming) -> list[Sent]:
    """Its stage, and its deal once it is closed. `Lead__c` names the lead; without it the opportunity is the lead."""
    lead_id = fields.get("Lead__c") or fields.get("LeadId__c") or fields.get("Id")
    when = _first(fields, "LastStageChangeDate", "LastModifiedDate", "SystemModstamp", "CreatedDate")
    stage = {
        "lead_id": lead_id,
        "stage": fields.get("StageName"),
        "entered_at": when,
        "expected_amount": fields.get("Amount"),
        "expected_close_on": fields.get("CloseDate"),
    }
    sent = [Sent("salesforce", message_id, "stages", (stage,))]
    if not _is_true(fields.get("IsClosed")):
        return sent
    if "IsWon" not in fields:
        raise fault(place, "IsWon", "", message("hook.is_won"))
    won = _is_true(fields["IsWon"])
    deal = {
        "deal_id": fields.get("Id"),
        "lead_id": lead_id,
        "rep_id": _rep(fields, sender),
        "closed_at": _first(fields, "LastModifiedDate", "SystemModstamp", "CloseDate"),
        "status": "won" if won else "lost",
        "amount": fields.get("Amount") if won else fields.get("Amount") or 0,
    }
    return [*sent, Sent("salesforce", _digest(message_id, "deal"), "deals", (deal,))]


def _activity(kind: str, fields: Fields, sender: Incoming) -> dict[str, object]:
    row = {
        "activity_id": fields.get("Id"),
        "lead_id": _first(fields, "WhoId", "WhatId"),
        "rep_id": _rep(fields, sender),
        "occurred_at": _first(fields, "CompletedDateTime", "ActivityDateTime", "CreatedDate"),
        "kind": str(_first(fields, "TaskSubtype", "Type") or kind).lower(),
        "minutes": fields.get("DurationInMinutes"),
    }
    return {name: value for name, value in row.items() if value is not None}


def _rep(fields: Fields, sender: Incoming) -> object:
    owner = fields.get("OwnerId")
    return dict(sender.reps).get(str(owner), owner)


def _first(fields: Fields, *names: str) -> object:
    return next((fields[name] for name in names if fields.get(name)), None)


def _is_true(value: object) -> bool:
    return value is True or value == "true"


def _digest(*parts: object) -> str:
    return hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()


def answered(read: Read, answers: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """What the sender is told: an answer for each thing taken, and what was passed over."""
    return {"items": list(answers), "ignored": list(read.ignored)}
