"""What CRMs send is proved, mapped, taken once and whole, and refused by the name of the field at fault."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time

import pytest
from starlette.testclient import TestClient

from serving.http.app import create_app
from serving.webhooks.signing import sign

SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, or so").decode()
SHARED = "a-shared-secret-of-the-test"
TOML = f"""
[incoming.generic]
secret = "{SECRET}"
[incoming.hubspot]
secret = "{SHARED}"
url = "https://desk.example/v1/webhooks/hubspot"
reps = {{ "77" = "R1" }}
[incoming.salesforce]
secret = "{SHARED}"
columns = {{ territory = "Region__c" }}
reps = {{ "005A" = "R2" }}
"""
LEAD = {"lead_id": "L1", "created_at": "2026-03-02T08:30:00", "source": "web"}
CALL = {"activity_id": "A1", "lead_id": "L1", "rep_id": "R1", "occurred_at": "2026-03-02T09:00:00", "kind": "call"}


class Caller:
    def __init__(self, one):
        self.one = one
        self.client = TestClient(
            create_app(one.core, keyring=one.core.store),
            base_url="http://127.0.0.1",
            client=("127.0.0.1", 5),
            raise_server_exceptions=False,
        )

    def generic(self, document, message_id="msg_1", body=None, at=None, secret=SECRET):
        body = json.dumps(document).encode() if body is None else body
        stamp = int(time.time()) if at is None else at
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": "v1,AAAA " + sign(secret, message_id, stamp, body),
        }
        return self.client.post("/v1/webhooks/generic", content=body, headers=headers)

    def hubspot(self, events, at=None, secret=SHARED, url="https://desk.example/v1/webhooks/hubspot?a=b", body=None):
        body = json.dumps(events).encode() if body is None else body
        stamp = str(int(time.time() * 1_000) if at is None else at)
        signed = hmac.new(secret.encode(), b"POST" + url.encode() + body + stamp.encode(), hashlib.sha256).digest()
        headers = {
            "X-HubSpot-Signature-v3": base64.b64encode(signed).decode(),
            "X-HubSpot-Request-Timestamp": stamp,
            "Content-Type": "application/json",
        }
        return self.client.post("/v1/webhooks/hubspot?a=b", content=body, headers=headers)

    def soap(self, *notifications, key=SHARED, body=None):
        body = envelope(*notifications) if body is None else body
        headers = {"Content-Type": "text/xml; charset=utf-8"}
        return self.client.post(f"/v1/webhooks/salesforce?key={key}", content=body, headers=headers)

    def change(self, document):
        return self.client.post("/v1/webhooks/salesforce", json=document, headers={"X-Fairlead-Secret": SHARED})

    def written(self):
        """What the store holds: log entries, event batches, receipts."""
        with self.one.core.store.read() as view:
            count = lambda table: view.connection.exec_driver_sql(f"select count(*) from {table}").scalar()  # noqa: E731
            return count("log"), count("events"), count("receipts")


def envelope(*notifications):
    inner = "".join(
        f"<Notification><Id>{number}</Id>"
        f'<sObject xsi:type="sf:{kind}" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">'
        + "".join(f"<sf:{name}>{value}</sf:{name}>" for name, value in fields.items())
        + "</sObject></Notification>"
        for number, kind, fields in notifications
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
        '<notifications xmlns="http://soap.sforce.com/2005/09/outbound"><OrganizationId>00D</OrganizationId>'
        f'<SessionId xsi:nil="true"/>{inner}</notifications></soapenv:Body></soapenv:Envelope>'
    ).encode()


@pytest.fixture
def caller(desk):
    return Caller(desk(toml=TOML))


def event(kind, number=501, at=1_772_440_000_000, **more):
    told = {"eventId": 9, "subscriptionId": 3, "portalId": 2, "occurredAt": at, "attemptNumber": 0}
    return {**told, "subscriptionType": kind, "objectId": number, "changeSource": "CRM_UI", **more}


def test_a_generic_lead_is_routed_and_its_rows_follow(caller):
    made = caller.generic({"type": "lead.created", "data": LEAD})
    assert made.status_code == 200, made.text
    (item,) = made.json()["items"]
    assert (item["lead_id"], item["status_code"], item["status"]) == ("L1", 201, "assigned")
    assert caller.one.owner("L1") == item["rep_id"]
    taken = caller.generic({"type": "activity.logged", "data": [CALL, {**CALL, "activity_id": "A2"}]}, "msg_2")
    assert taken.json()["items"] == [{"table": "activities", "accepted": 2, "seq": 2}]
    assert set(caller.one.core.state().board.tables["activities"]["activity_id"]) == {"A1", "A2"}


def test_the_same_message_again_gets_the_same_answer_and_writes_nothing(caller):
    message = {"type": "lead.created", "data": [LEAD, {**LEAD, "lead_id": "L2"}]}
    first = caller.generic(message)
    written = caller.written()
    assert written == (2, 0, 2)
    again = caller.generic(message)
    assert again.content == first.content
    assert caller.written() == written
    calls = {"type": "activity.logged", "data": CALL}
    assert caller.generic(calls, "msg_2").content == caller.generic(calls, "msg_2").content
    assert caller.written() == (2, 2, 3)  # the decided lead's own row came along once


def test_who_does_not_prove_himself_is_nobody(caller):
    message = {"type": "lead.created", "data": LEAD}
    assert caller.generic(message, secret="another secret altogether").status_code == 401
    assert caller.generic(message, at=int(time.time()) - 301).status_code == 401
    assert caller.generic(message, at=int(time.time()) + 360).status_code == 401
    assert caller.client.post("/v1/webhooks/generic", json=message).status_code == 401
    assert caller.hubspot([event("contact.creation")], secret="another").status_code == 401
    assert caller.hubspot([event("contact.creation")], at=int(time.time() * 1_000) - 301_000).status_code == 401
    assert caller.hubspot([event("contact.creation")], url="https://elsewhere.example/").status_code == 401
    assert caller.soap(("04l1", "Lead", {"Id": "1"}), key="wrong").status_code == 401
    assert caller.soap(("04l1", "Lead", {"Id": "1"}), key="").status_code == 401
    assert caller.written() == (0, 0, 0)


def test_without_a_secret_there_is_no_such_address(desk):
    caller = Caller(desk())
    assert caller.generic({"type": "lead.created", "data": LEAD}).status_code == 404
    assert caller.soap(("1", "Lead", {"Id": "1"})).status_code == 404


def test_hubspots_contacts_are_routed_and_their_owners_and_stages_are_rows(caller):
    made = caller.hubspot(
        [
            event("contact.creation"),
            event("contact.propertyChange", propertyName="lifecyclestage", propertyValue="opportunity"),
            event("object.propertyChange", objectTypeId="0-1", propertyName="hubspot_owner_id", propertyValue="77"),
            event("contact.propertyChange", propertyName="firstname", propertyValue="Ann"),
        ]
    )
    assert made.status_code == 200, made.text
    assert [item.get("table", item.get("lead_id")) for item in made.json()["items"]] == ["501", "stages", "assignments"]
    assert made.json()["ignored"] == ["propertyName firstname"]
    tables = caller.one.core.state().board.tables
    assert list(tables["stages"]["stage"]) == ["opportunity"]
    assert caller.one.owner("501") == "R1"
    assert tables.leads.set_index("lead_id").loc["501", "source"] == "crm_ui"


def test_hubspots_next_attempt_of_the_same_event_changes_nothing(caller):
    first = caller.hubspot([event("deal.creation", number=9)])
    written = caller.written()
    again = caller.hubspot([event("deal.creation", number=9, attemptNumber=3)])
    assert again.content == first.content
    assert caller.written() == written
    other = caller.hubspot([event("deal.creation", number=10)])  # eventId is not unique
    assert other.json()["items"][0]["lead_id"] == "10"


def test_hubspot_signs_the_address_with_some_characters_decoded():
    from serving.webhooks.signing import hubspot_signature

    plain = hubspot_signature("s", "POST", "https://a.example/x:y?b=c@d&e=%20", b"{}", "1")
    assert hubspot_signature("s", "POST", "https://a.example/x%3Ay?b=c%40d&e=%20", b"{}", "1") == plain


def test_salesforces_outbound_messages_are_acknowledged_and_taken(caller):
    lead = {
        "Id": "00Q1",
        "CreatedDate": "2026-03-02T08:00:00.000Z",
        "LeadSource": "Web &amp; Fair",
        "Industry": "Retail",
    }
    made = caller.soap(("04l1", "Lead", lead))
    assert made.status_code == 200, made.text
    assert made.headers["content-type"].startswith("text/xml")
    assert b"<Ack>true</Ack>" in made.content
    won = {"Id": "0061", "Lead__c": "00Q1", "StageName": "Closed Won", "Amount": "1200.5", "CloseDate": "2026-03-02",
           "LastModifiedDate": "2026-03-02T09:30:00.000Z", "IsClosed": "true", "IsWon": "true",
           "OwnerId": "005A"}  # fmt: skip
    call = {
        "Id": "00T1",
        "WhoId": "00Q1",
        "OwnerId": "R1",
        "CreatedDate": "2026-03-02T09:00:00.000Z",
        "TaskSubtype": "Call",
    }
    assert caller.soap(("04l2", "Opportunity", won), ("04l3", "Task", call)).status_code == 200
    tables = caller.one.core.state().board.tables
    (deal,) = tables["deals"].to_dict("records")
    assert (deal["deal_id"], deal["rep_id"], deal["status"], deal["amount"]) == (
        "0061",
        "R2",
        "won",
        120_050,
    )  # in cents
    assert list(tables["stages"]["stage"]) == ["Closed Won"]
    assert list(tables["activities"]["kind"]) == ["call"]
    assert tables.leads.set_index("lead_id").loc["00Q1", "source"] == "Web & Fair"
    written = caller.written()
    assert caller.soap(("04l3", "Task", call)).status_code == 200, "in another message, by its own number"
    assert caller.written() == written


def test_salesforces_change_events_come_as_json(caller):
    header = {"entityName": "Lead", "recordIds": ["00Q7"], "changeType": "CREATE"}
    fields = {"CreatedDate": "2026-03-02T08:00:00Z", "LeadSource": "Event", "Region__c": "east"}
    made = caller.change({"event": {"EventUuid": "u-1"}, "payload": {"ChangeEventHeader": header, **fields}})
    assert made.json()["items"][0]["lead_id"] == "00Q7"
    assert caller.one.now("00Q7")["lead"]["territory"] == "east"


@pytest.mark.parametrize(
    ("send", "field"),
    [
        (lambda c: c.generic({"type": "invoice.paid", "data": {}}), "type"),
        (lambda c: c.generic({"type": "deal.closed", "data": "x"}), "data"),
        (lambda c: c.generic({"type": "lead.created", "data": {"lead_id": "L9"}}), "created_at"),
        (lambda c: c.generic({"type": "activity.logged", "data": {**CALL, "lead_id": "nobody"}}), "lead_id"),
        (lambda c: c.hubspot([event("company.creation")]), "subscriptionType"),
        (lambda c: c.hubspot([event("contact.creation", number="x")]), "objectId"),
        (lambda c: c.hubspot([event("contact.creation", at=10**30)]), "occurredAt"),
        (lambda c: c.soap(("1", "Case", {"Id": "5"})), "sObject"),
        (lambda c: c.soap(), "Notification"),
        (lambda c: c.soap(("1", "Opportunity", {"Id": "5", "IsClosed": "true"})), "IsWon"),
        (lambda c: c.change({"event": {}, "payload": {}}), "payload.ChangeEventHeader"),
    ],
)
def test_an_unknown_shape_is_refused_by_the_name_of_its_field(caller, send, field):
    told = send(caller)
    assert told.status_code == 422, told.text
    assert field in [one["column"] for one in told.json()["errors"]]
    assert caller.written() == (0, 0, 0)
    caller.client.headers["accept-language"] = "zh"
    for one in send(caller).json()["errors"]:
        assert re.search("[\u4e00-\u9fff]", one["rule"]), one


def test_a_message_is_taken_whole_or_not_at_all_and_may_come_again(caller):
    good, bad = (
        event("contact.creation"),
        event("contact.propertyChange", 999, propertyName="dealstage", propertyValue="x"),
    )
    told = caller.hubspot([good, bad])
    assert told.status_code == 422
    assert told.json()["errors"][0]["row"] == 2
    assert caller.written() == (0, 0, 0)
    made = caller.hubspot([good])
    assert made.json()["items"][0]["status_code"] == 201
    assert sum(caller.one.places().values()) == 1


DEEP = b'{"type":"deal.closed","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
HARD = [
    b"", b"null", b"[]", b"[[]]", b"{}", b"\xff\xfe", b'{"type":"deal.closed","data":{"amount":NaN}}', DEEP,
    b'{"type":"deal.closed","data":{"amount":1e400}}', b'{"type":"deal.closed","data":{"deal_id":"\\u0000"}}',
    b'{"type":"lead.created","data":{"lead_id":["x"]}}', b'{"type":"lead.created","data":[]}', b'{"type":[1],"data":1}',
    b'{"event":{"replayId":1},"payload":{"ChangeEventHeader":{"recordIds":[{}]}}}', b'{"payload":[]}', b"1" * 5_000,
]  # fmt: skip


@pytest.mark.parametrize("body", HARD, ids=range(len(HARD)))
def test_no_body_is_answered_with_500(caller, body):
    answers = [
        caller.generic(None, body=body),
        caller.hubspot(None, body=body),
        caller.soap(body=body),
        caller.client.post("/v1/webhooks/salesforce", content=body, headers={"X-Fairlead-Secret": SHARED}),
    ]
    assert {400 <= one.status_code < 500 for one in answers} == {True}, [one.status_code for one in answers]
    assert caller.written() == (0, 0, 0)


def test_xml_that_is_meant_to_hurt_is_refused(caller):
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'
    deep = b"<a>" * 200_000
    for body in (bomb, bomb.decode().encode("utf-16"), deep, b"<a>&unknown;</a>", b"<a" * 10, envelope() + b"<x/>"):
        assert caller.soap(body=body).status_code == 422
    assert caller.generic(None, body=b" " * 1_100_000).status_code == 413
