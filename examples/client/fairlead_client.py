"""A client of Fairlead in one file, on the standard library alone: copy it beside your code.

    from fairlead_client import Fairlead

    fairlead = Fairlead("http://127.0.0.1:8080", key="fl_...")
    decision = fairlead.assign({"lead_id": "L1", "created_at": "2026-02-09T09:17:00+08:00", "source": "referral"})
    fairlead.events("activities", [{"activity_id": "A1", "lead_id": "L1", "rep_id": "R017", "occurred_at": "..."}])

Every call may be tried again without harm, and is: a lead is decided once however often it is sent, an override to the
same rep changes nothing, and rows carry an idempotency key. Tried again is what brings no answer, 429, and 502 to 504,
after the wait that Retry-After asks for, else ever longer ones.

Errors:
    FairleadError           whatever went wrong: `status` (0 where no answer came), `detail`, `problem` (RFC 9457)
        NotAnswered         no answer after all attempts; whether the call was taken is not known, so send it again
        InvalidRows         422: `errors` lists table, row, column, value and rule of each fault
"""

from __future__ import annotations

import http.client
import json
import random
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
Row = Mapping[str, Any]
MOST_LEADS = 1_000  # of one batch
_AGAIN = frozenset({429, 502, 503, 504})
_LONGEST_WAIT = 30.0


class FairleadError(Exception):
    """A call was refused. `problem`: the document of RFC 9457 that tells why, empty where none came."""

    def __init__(self, status: int, detail: str, problem: Json | None = None) -> None:
        super().__init__(f"{status}: {detail}" if status else detail)
        self.status, self.detail, self.problem = status, detail, problem or {}


class NotAnswered(FairleadError):  # noqa: N818  # reads as what happened
    """No answer came after all attempts; whether the call was taken is not known, so send it again."""


class InvalidRows(FairleadError):  # noqa: N818  # reads as what happened
    """Rows break the contract, and none was taken."""

    @property
    def errors(self) -> list[Json]:
        """Table, row, column, value and rule of each fault."""
        return list(self.problem.get("errors", []))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another place."""

    def redirect_request(self, *_: Any) -> None:
        """None: the answer itself is what the caller gets."""


class Fairlead:
    """Calls one Fairlead. `timeout`: seconds an attempt may be silent; `attempts`: how often a call is tried."""

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        lang: str = "en",
        timeout: float = 10.0,
        attempts: int = 5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
            raise ValueError(f"{url!r} is no http or https address")
        self._url, self._timeout, self._attempts, self._sleep = url.rstrip("/"), timeout, max(1, attempts), sleep
        self._headers = {"Accept": "application/json", "Accept-Language": lang, "User-Agent": "fairlead-client"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._opener = urllib.request.build_opener(_NoRedirect)

    # -- leads --------------------------------------------------------------------------------------------------

    def assign(self, lead: Row, *, decided_at: str | None = None) -> Json:
        """The decision about a lead: the one that stands where there is one. `rep_id` is None while it is held."""
        return self._post("/v1/assignments", _without_none(lead=lead, decided_at=decided_at))

    def assign_batch(self, leads: Sequence[Row], *, decided_at: str | None = None) -> list[Json]:
        """`{"lead_id", "status_code", "status", "rep_id", "decision"}` each, up to 1,000 decided together."""
        items: list[Json] = []
        for start in range(0, len(leads), MOST_LEADS):
            body = _without_none(leads=list(leads[start : start + MOST_LEADS]), decided_at=decided_at)
            items += self._post("/v1/assignments/batch", body)["items"]
        return items

    def decision(self, lead_id: str) -> Json:
        """Why a lead went where it went: candidates, versions, `owner_rep_id`, `history`."""
        return self._get(f"/v1/assignments/{_quoted(lead_id)}")

    def override(self, lead_id: str, rep_id: str, *, by: str, reason: str, force: bool = False) -> Json:
        """The decision with its new owner. FairleadError 409 where the rep is full (send `force`) or has left."""
        body = {"rep_id": rep_id, "by": by, "reason": reason, "force": force}
        return self._post(f"/v1/assignments/{_quoted(lead_id)}/override", body)

    # -- rows ---------------------------------------------------------------------------------------------------

    def events(self, table: str, rows: Sequence[Row], *, idempotency_key: str = "") -> Json:
        """`{"accepted", "seq"}` once durable; InvalidRows lists every fault, and then nothing was taken."""
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return self._post("/v1/events", {"table": table, "rows": list(rows)}, headers)

    def feed(self, after: int = 0) -> Iterator[Json]:
        """Decisions, releases, overrides and moves after a number, in order; keep the last `seq` you have seen."""
        while True:
            page = self._get("/v1/feed", after=after)
            yield from page["items"]
            if not page["items"]:
                return
            after = page["next_after"]

    # -- outlook ------------------------------------------------------------------------------------------------

    def forecast(self, *, month: str | None = None, level: str = "rep", id: str | None = None) -> list[Json]:  # noqa: A002
        """Rows of the forecast: mean, deciles, target and probability of a miss."""
        return list(self._get("/v1/forecasts", month=month, level=level, id=id)["items"])

    def warnings(self) -> list[Json]:
        """Early warnings, the most urgent first."""
        return list(self._get("/v1/warnings")["items"])

    def acknowledge(self, warning_id: str, *, note: str = "") -> Json:
        """The acknowledged warning."""
        return self._post(f"/v1/warnings/{_quoted(warning_id)}/acknowledge", {"note": note})

    # -- calls --------------------------------------------------------------------------------------------------

    def _get(self, path: str, **query: Any) -> Json:
        given = urllib.parse.urlencode({name: value for name, value in query.items() if value is not None})
        return self._call("GET", path + (f"?{given}" if given else ""), None, {})

    def _post(self, path: str, body: Json, headers: Mapping[str, str] | None = None) -> Json:
        # NaN is refused here, where the traceback shows who made it.
        sent = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        return self._call("POST", path, sent, {"Content-Type": "application/json", **(headers or {})})

    def _call(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Json:
        why = ""
        for attempt in range(1, self._attempts + 1):
            request = urllib.request.Request(  # noqa: S310  # the scheme was checked
                self._url + path, body, {**self._headers, **headers}, method=method
            )
            try:
                with self._opener.open(request, timeout=self._timeout) as answer:
                    return _document(answer.read(), answer.status)
            except urllib.error.HTTPError as error:
                with error:
                    refused = _refusal(error)
                if error.code not in _AGAIN or attempt == self._attempts:
                    raise refused from None
                wait = error.headers.get("Retry-After", "")
            except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
                why, wait = str(getattr(error, "reason", "") or error or type(error).__name__), ""
            if attempt < self._attempts:
                self._sleep(_wait_seconds(wait, attempt))
        raise NotAnswered(0, f"{method} {path}: no answer after {self._attempts} attempt(s): {why}")


def _wait_seconds(asked: str, attempt: int) -> float:
    """Seconds before the next attempt: as asked, else a half to one of 0.5, 1, 2, ...; at most thirty."""
    if asked.isdigit():
        return min(float(asked), _LONGEST_WAIT)
    return min(0.5 * 2.0 ** (attempt - 1), _LONGEST_WAIT) * random.uniform(0.5, 1.0)  # noqa: S311  # no secret


def _document(body: bytes, status: int) -> Json:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise FairleadError(status, "the answer is no JSON object; is this the address of a Fairlead?")
    return found


def _refusal(error: urllib.error.HTTPError) -> FairleadError:
    try:
        problem = _document(error.read(), error.code)
    except (FairleadError, OSError, http.client.HTTPException):
        problem = {}
    detail = str(problem.get("detail") or problem.get("title") or error.reason)
    is_rows = error.code == 422 and "errors" in problem
    return (InvalidRows if is_rows else FairleadError)(error.code, detail, problem)


def _quoted(part: str) -> str:
    return urllib.parse.quote(part, safe="")


def _without_none(**fields: Any) -> Json:
    return {name: value for name, value in fields.items() if value is not None}
