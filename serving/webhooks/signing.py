"""Signatures of webhooks: made for what goes out, checked for what comes in, always over the bytes as sent.

References
----------
Standard Webhooks, specification 1.0: headers `webhook-id`, `webhook-timestamp` (Unix seconds), `webhook-signature`
(`v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`; several, separated by spaces, while a secret changes).
HubSpot, Validating requests, version 3: base64 HMAC-SHA256 of method + URI + body + timestamp (milliseconds).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

from features.messages import message

TOLERANCE_SECONDS: Final = 300
_PREFIX: Final = "whsec_"
# What HubSpot decodes in the URI before it signs; a %3F stays where it does not begin the query.
_DECODED: Final = {
    "%3A": ":", "%2F": "/", "%3F": "?", "%40": "@", "%21": "!", "%24": "$", "%27": "'", "%28": "(", "%29": ")",
    "%2A": "*", "%2C": ",", "%3B": ";",
}  # fmt: skip
_ENCODED: Final = re.compile("|".join(_DECODED), re.IGNORECASE)


class SignatureError(Exception):
    """What came in is not proved to come from whom it says."""


def secret_bytes(secret: str) -> bytes:
    """Key of a `whsec_` secret (base64 after the prefix); any other text stands for itself in UTF-8."""
    text = secret.strip()
    if not text.startswith(_PREFIX):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a secret that begins with whsec_ goes on in base64") from None


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` of a message."""
    content = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret_bytes(secret), content, hashlib.sha256).digest()).decode()


def check_standard(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> str:
    """The message's id; SignatureError where a header lacks, the time is more than five minutes off, or nothing fits.

    `headers` by small name; `now` in Unix seconds.
    """
    message_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "")
    if not message_id or not stamp or not given:
        raise SignatureError(message("signature.standard_headers"))
    if len(message_id) > 200 or not message_id.isascii():
        raise SignatureError(message("signature.message_id"))
    _check_time(stamp, "webhook-timestamp", 1.0, now)
    wanted = sign(secret, message_id, int(stamp), body).encode()
    if not any(hmac.compare_digest(one.encode(), wanted) for one in given.split(" ")):
        raise SignatureError(message("signature.standard"))
    return message_id


def check_hubspot(secret: str, headers: Mapping[str, str], method: str, uri: str, body: bytes, now: float) -> None:
    """Nothing where HubSpot's third signature fits; SignatureError otherwise. `uri`: as HubSpot called it."""
    stamp, given = headers.get("x-hubspot-request-timestamp", ""), headers.get("x-hubspot-signature-v3", "")
    if not stamp or not given:
        raise SignatureError(message("signature.hubspot_headers"))
    _check_time(stamp, "X-HubSpot-Request-Timestamp", 1_000.0, now)
    wanted = hubspot_signature(secret, method, uri, body, stamp)
    if not hmac.compare_digest(given.encode(), wanted.encode()):
        raise SignatureError(message("signature.hubspot"))


def hubspot_signature(secret: str, method: str, uri: str, body: bytes, stamp: str) -> str:
    """Base64 HMAC-SHA256 of HubSpot's third signature."""
    place, mark, query = uri.partition("?")
    decoded = _ENCODED.sub(lambda found: _DECODED[found.group().upper()], place)
    decoded += mark + _ENCODED.sub(lambda found: _DECODED[found.group().upper()], query)
    content = f"{method}{decoded}".encode() + body + stamp.encode()
    return base64.b64encode(hmac.new(secret.encode(), content, hashlib.sha256).digest()).decode()


def check_shared(secret: str, given: str) -> None:
    """Nothing where the shared secret is right; SignatureError otherwise."""
    if not given or not hmac.compare_digest(given.encode(), secret.encode()):
        raise SignatureError(message("signature.shared"))


def _check_time(stamp: str, name: str, per_second: float, now: float) -> None:
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 16):
        raise SignatureError(message("signature.no_time", header=name))
    if abs(int(stamp) / per_second - now) > TOLERANCE_SECONDS:
        raise SignatureError(message("signature.old", header=name))
