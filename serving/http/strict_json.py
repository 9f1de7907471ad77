"""Bodies as strict JSON: finite numbers, real text, bounded depth; and the route class that reads them so."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from features.messages import message
from serving.http.problems import Problem

MAX_DEPTH: Final = 32
_JSON_WORDS: Final = {
    "Expecting value": "json.value",
    "Expecting property name enclosed in double quotes": "json.name",
    "Expecting ':' delimiter": "json.colon",
    "Expecting ',' delimiter": "json.comma",
    "Extra data": "json.extra",
    "Unterminated string starting at": "json.open_text",
    "Invalid control character at": "json.control",
    "Invalid \\escape": "json.escape",
    "Invalid \\uXXXX escape": "json.unicode",
}
_INLINE_BYTES: Final = 65_536  # beyond this, parsing would hold up other requests' event loop
_LARGEST: Final = 2**1023


def parse_json(body: bytes) -> object:
    """The JSON value of `body`.

    Problem 400 where it is not JSON in UTF-8; 422 where it is but holds what no table can: NaN, infinities, numbers
    beyond a double, half a surrogate pair, NUL, more than 32 levels.
    """
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_not_finite, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise Problem(400, message("body.no_utf8", byte=error.start), slug="malformed-json") from None
    except json.JSONDecodeError as error:
        detail = message("body.no_json", why=json_words(error), line=error.lineno, column=error.colno)
        raise Problem(400, detail, slug="malformed-json") from None
    except RecursionError:
        raise Problem(422, message("body.depth", most=MAX_DEPTH)) from None
    except ValueError:
        raise Problem(422, message("body.digits")) from None
    _inspect(value, escapes=b"\\u" in body)
    return value


def json_words(error: json.JSONDecodeError) -> str:
    """What is wrong with the JSON, without the place."""
    code = _JSON_WORDS.get(error.msg)
    return error.msg if code is None else message(code)


def _not_finite(name: str) -> NoReturn:
    raise Problem(422, message("body.not_finite", found=name))


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Problem(422, message("body.too_large_number"))
    return value


def _inspect(value: object, *, escapes: bool) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
                if escapes:
                    below.extend(item)
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, str):
                if escapes:
                    _real_text(item)
            elif isinstance(item, int) and not -_LARGEST < item < _LARGEST:
                raise Problem(422, message("body.too_large_number"))
        if not below:
            return
        level = below
    raise Problem(422, message("body.depth", most=MAX_DEPTH))


def _real_text(text: str) -> None:
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise Problem(422, message("body.no_text"))


class StrictRequest(Request):
    """A request whose `json()` is strict."""

    async def json(self) -> Any:
        """The body by `parse_json`."""
        body = await self.body()
        if len(body) > _INLINE_BYTES:
            return await run_in_threadpool(parse_json, body)
        return parse_json(body)


class StrictRoute(APIRoute):
    """A route that takes its body as application/json, strictly, or not at all."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler over a strict request."""
        inner = super().get_route_handler()
        takes_body = self.body_field is not None

        async def handle(request: Request) -> Response:
            if takes_body and not _is_json(request.headers.get("content-type", "")):
                raise Problem(415, message("body.content_type"))
            return await inner(StrictRequest(request.scope, request.receive))

        return handle


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
