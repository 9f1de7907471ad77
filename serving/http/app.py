"""The composition of the HTTP service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.concurrency import run_in_threadpool

from serving.http.docs_page import STYLE, docs_page
from serving.http.guessing import Guesses
from serving.http.metrics import Metrics
from serving.http.middleware import MAX_BODY_BYTES, Guarded, Observed
from serving.http.problems import install_problems, language_of
from serving.http.protocol import Keyring, ServiceProtocol
from serving.http.routes import assignments, insight, integration, operation, webhooks
from serving.http.schemas import ProblemDocument
from serving.http.security import Doorkeeper, ProxyTrust

_DESCRIPTION: Final = (
    "Routes leads to the rep who will make most of them, forecasts contribution, warns early, explains what drives it. "
    "Errors are application/problem+json (RFC 9457). Text comes in English or Chinese: ?lang=, else Accept-Language. "
    "Callers ignore fields, kinds and policies that they do not know."
)


def create_app(
    service: ServiceProtocol,
    *,
    keyring: Keyring | None = None,
    proxy: ProxyTrust | None = None,
    version: str = "0.1.0",
    routers: Sequence[APIRouter] = (),
    max_body_bytes: int = MAX_BODY_BYTES,
) -> FastAPI:
    """The application over a service. It closes the service when it ends.

    `keyring`: where API keys are looked up (a `Store`); None, or one without keys: all rights, on loopback only.
    `routers`: the pages; their endpoints take `serving.http.calls.needs(right)` as the API's do.
    """
    metrics, guesses = Metrics(service.metrics_snapshot), Guesses()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(service.close)

    app = FastAPI(
        title="Fairlead",
        version=version,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service, app.state.metrics, app.state.guesses = service, metrics, guesses
    install_problems(app)
    for router in (assignments.router, integration.router, webhooks.router, insight.router, operation.router, *routers):
        app.include_router(router)
    _add_docs(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way
    app.add_middleware(Guarded, doorkeeper=Doorkeeper(keyring, proxy), guesses=guesses, max_body_bytes=max_body_bytes)
    app.add_middleware(Observed, metrics=metrics)
    return app


def _add_docs(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> Response:
        return Response(docs_page(app.openapi(), language_of(request)), media_type="text/html")

    @app.get("/docs.css", include_in_schema=False)
    def style() -> Response:
        return Response(STYLE, media_type="text/css", headers={"Cache-Control": "max-age=3600"})


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document with our problem in place of its own validation error, and the two ways to show a key."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    own = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(own.pop("$defs", {}))
    schemas["ProblemDocument"] = own
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    document["security"] = [{}, {"bearer": []}, {"key": []}]
    app.openapi_schema = document
    return document
