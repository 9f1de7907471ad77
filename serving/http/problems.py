"""Every error as `application/problem+json` (RFC 9457), in one shape, without echoing what was sent.

References
----------
RFC 9457, Problem Details for HTTP APIs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from features.errors import (
    ConfigError,
    DataError,
    FairleadError,
    NoReleaseError,
    RequestError,
    SourceError,
    UnknownLeadError,
    UnknownRepError,
    said,
)
from features.messages import CATALOGUE, Message, in_language, message, worded
from serving.http.negotiation import choose_language
from serving.http.protocol import ConflictError
from serving.store import StoreBusyError, StoreError, UnknownWarningError
from training.release import ReleaseError

MEDIA_TYPE: Final = "application/problem+json"
_SHOWN_FAULTS: Final = 1_000
_RETRY_SECONDS: Final = {StoreBusyError: 1, StoreError: 10, NoReleaseError: 60, SourceError: 10}

# slug: (title in English, in Chinese)
TITLES: Final[Mapping[str, tuple[str, str]]] = {
    "bad-request": ("The request cannot be answered", "请求无法处理"),
    "malformed-json": ("The body is not JSON", "请求体不是有效的 JSON"),
    "unauthenticated": ("An API key is needed", "需要 API 密钥"),
    "forbidden": ("This key has no right to that", "该密钥无此权限"),
    "not-found": ("There is no such thing", "找不到所请求的内容"),
    "method-not-allowed": ("This address does not take that method", "该地址不支持此方法"),
    "conflict": ("That cannot be done as things stand", "当前状态下无法执行"),
    "body-too-large": ("The body is too large", "请求体过大"),
    "not-json": ("The body must be sent as application/json", "请求体须以 application/json 发送"),
    "invalid": ("The request breaks the contract", "请求不符合接口约定"),
    "invalid-rows": ("Some rows break the contract", "部分数据行不符合约定"),
    "internal": ("Something went wrong on our side", "服务内部出错"),
    "too-many-calls": ("Too many calls", "请求过于频繁"),
    "unavailable": ("That is not available right now", "暂时不可用"),
}
_BY_STATUS: Final = {
    400: "bad-request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    409: "conflict",
    413: "body-too-large",
    415: "not-json",
    422: "invalid",
    429: "too-many-calls",
    503: "unavailable",
}


class Problem(HTTPException):
    """An error as it goes out. `slug` names its kind; `extra` are further members of the document."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        slug: str = "",
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.slug = slug or _BY_STATUS.get(status, "bad-request" if status < 500 else "internal")
        self.extra = dict(extra or {})


def problem_of(error: FairleadError) -> Problem:
    """The problem that a domain error is."""
    match error:
        case DataError():
            return _invalid_rows(error)
        case UnknownLeadError() | UnknownRepError() | UnknownWarningError():
            return Problem(404, said(error))
        case ConflictError() | ReleaseError():
            return Problem(409, said(error))
        case NoReleaseError() | StoreError() | SourceError():
            wait = next(seconds for kind, seconds in _RETRY_SECONDS.items() if isinstance(error, kind))
            return Problem(503, said(error), headers={"Retry-After": str(wait)})
        case RequestError() | ConfigError():
            return Problem(400, said(error))
        case _:
            return Problem(422, said(error))


def _invalid_rows(error: DataError) -> Problem:
    shown = error.faults[:_SHOWN_FAULTS]
    listed = [
        {"table": one.table, "row": one.row, "column": one.column, "value": one.value[:200], "rule": one.rule}
        for one in shown
    ]
    n = len(error.faults)
    detail = message("faults.rows", n=n, first=shown[0].told()) if shown else message("faults.rows_none", n=n)
    return Problem(422, detail, slug="invalid-rows", extra={"errors": listed, "n_errors": n})


def response_of(problem: Problem, *, path: str, lang: str, request_id: str = "") -> Response:
    """The response that tells the problem."""
    english, chinese = TITLES[problem.slug]
    document: dict[str, object] = {
        "type": f"urn:fairlead:problem:{problem.slug}",
        "title": chinese if lang == "zh" else english,
        "status": problem.status_code,
        "detail": in_language(problem.detail, lang),
        "instance": path,
    }
    if request_id:
        document["request_id"] = request_id
    document.update({name: _in_language(value, lang) for name, value in problem.extra.items()})
    body = json.dumps(document, ensure_ascii=True, allow_nan=False).encode()
    return Response(body, problem.status_code, dict(problem.headers or {}), MEDIA_TYPE)


def _in_language(value: object, lang: str) -> object:
    """A member of a problem, the messages in it said in the language."""
    if isinstance(value, Mapping):
        return {name: _in_language(part, lang) for name, part in value.items()}
    if isinstance(value, list):
        return [_in_language(part, lang) for part in value]
    return in_language(value, lang) if isinstance(value, Message) else value


def language_of(request: Request) -> str:
    """The language this request is answered in."""
    service = getattr(request.app.state, "service", None)
    default = getattr(service, "default_lang", "en")
    return choose_language(request.query_params.get("lang"), request.headers.get("accept-language"), default)


def wants_page(request: Request) -> bool:
    """Whether a person's browser asks: for HTML, and not for the interface that programs use."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1/")


def answer_problem(request: Request, problem: Problem) -> Response:
    """The problem as a page where a browser asks and pages are served (`app.state.error_page`), else as a document."""
    request_id = getattr(request.state, "request_id", "")
    page: Callable[[Request, Problem], Response] | None = getattr(request.app.state, "error_page", None)
    if page is not None and wants_page(request):
        return page(request, problem)
    return response_of(problem, path=request.url.path, lang=language_of(request), request_id=request_id)


def field_rule(error: Mapping[str, Any]) -> Message:
    """What a field must be: in English as pydantic says it, in Chinese by the type of the error."""
    code = f"field.{error['type']}"
    code = code if code in CATALOGUE else "field.other"
    given = error.get("ctx")
    numbers = given if isinstance(given, Mapping) else {}
    values = {name: str(value).replace(" or ", ", ") for name, value in numbers.items()}
    return worded(str(error["msg"]), code, **values)


def _places(errors: Sequence[Mapping[str, object]]) -> list[dict[str, str]]:
    listed = []
    for error in errors[:_SHOWN_FAULTS]:
        where = error.get("loc", ())
        parts = [str(part)[:100] for part in where] if isinstance(where, tuple) else []
        listed.append({"in": parts[0] if parts else "", "field": ".".join(parts[1:]), "rule": field_rule(error)})
    return listed


async def _on_domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FairleadError)
    return answer_problem(request, problem_of(error))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, Problem):
        return answer_problem(request, error)
    slug = _BY_STATUS.get(error.status_code, "bad-request")
    title = TITLES[slug][1 if language_of(request) == "zh" else 0]
    detail = title if error.status_code in {404, 405} or language_of(request) == "zh" else str(error.detail)
    return answer_problem(request, Problem(error.status_code, detail, slug=slug, headers=error.headers))


async def _on_invalid(request: Request, error: Exception) -> Response:
    """FastAPI's own handler echoes the input, and dies of a NaN in it; this one names the place and the rule."""
    assert isinstance(error, RequestValidationError)
    listed = _places(error.errors())
    first = listed[0] if listed else {"in": "", "field": "", "rule": ""}
    where = f"place.{first['in']}"
    where = message(where) if where in CATALOGUE else first["in"]
    if first["field"]:
        where = message("place.field", place=where, field=first["field"])
    detail = message("fault.whole", where=where, rule=first["rule"])
    problem = Problem(422, detail, extra={"errors": listed, "n_errors": len(error.errors())})
    return answer_problem(request, problem)


def install_problems(app: FastAPI) -> None:
    """Make `app` answer every error as a problem document."""
    app.add_exception_handler(FairleadError, _on_domain_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
