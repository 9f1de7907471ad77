"""The service with its pages: routes, style, signing in, errors and waiting, composed over one facade."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from features.messages import in_language
from serving.core import Core
from serving.http.app import create_app
from serving.http.guessing import key_guess
from serving.http.problems import TITLES, Problem
from serving.http.security import ProxyTrust
from serving.pages import (
    alerts_page,
    challenger_page,
    drivers_page,
    experiment_page,
    forecast_page,
    group_audit_form,
    leads,
    models_page,
    notice_page,
    reps,
    today,
)
from serving.pages.book import Book
from serving.pages.guard import SessionKeyring, Signer, read_secret, session_cookie
from serving.pages.prepared import PreparingError
from serving.pages.rendering import font_bytes, stylesheet
from serving.pages.visit import Site, form_of, visit_of
from serving.texts import has

_STYLE_SECONDS: Final = 31_536_000  # its address changes with its bytes
_FONT_SECONDS: Final = 604_800
_PREPARING_SECONDS: Final = 3

plain = APIRouter(include_in_schema=False)


def create_site(core: Core, *, proxy: ProxyTrust | None = None, book: Book | None = None) -> FastAPI:
    """The whole application: interface and pages, guarded by keys, by sessions that stand for them, or by a proxy."""
    signer = Signer(read_secret(core.session.home.root), core.session.now)
    site = Site(book or Book(core), signer)
    app = create_app(core, keyring=SessionKeyring(core.store, signer), proxy=proxy, routers=(plain, *PAGES))
    app.state.site, app.state.error_page = site, error_page
    app.add_exception_handler(PreparingError, _preparing)
    return app


PAGES: Final = (
    today.router, leads.router, alerts_page.router, forecast_page.router, reps.router, drivers_page.router,
    models_page.router, challenger_page.router, experiment_page.router, notice_page.router,
    group_audit_form.router,
)  # fmt: skip


@plain.get("/pages.css")
async def style(request: Request) -> Response:
    """The one stylesheet of all pages."""
    del request
    return Response(
        stylesheet("report") + stylesheet("kept") + stylesheet("pages"),
        media_type="text/css",
        headers={"Cache-Control": f"public, max-age={_STYLE_SECONDS}, immutable"},
    )


@plain.get("/noto-sans-sc.woff2")
async def chinese_font(request: Request) -> Response:
    """Chinese characters for machines that have none; licence beside the file."""
    del request
    return Response(
        font_bytes(), media_type="font/woff2", headers={"Cache-Control": f"public, max-age={_FONT_SECONDS}"}
    )


# -- signing in and out -----------------------------------------------------------------------------------------


@plain.get("/sign-in")
async def ask_key(request: Request) -> Response:
    """The form that takes a key."""
    return _sign_in(request, next_=request.query_params.get("next", "/"))


@plain.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """A session for whoever shows a key that is known, and the page he wanted; else the form again."""
    fields = await form_of(request)
    site: Site = request.app.state.site
    site.signer.check_form(None, fields.get("token", ""))
    key, guesses = fields.get("key", ""), request.app.state.guesses
    guess = key_guess("sign_in", request.client.host if request.client else None, key)
    guesses.check(guess)
    found = await run_in_threadpool(site.book.core.store.find_key, key)
    if found is None:
        guesses.failed(guess)
        return _sign_in(request, status=401, wrong=True, next_=fields.get("next", "/"))
    guesses.right(guess)
    visit = visit_of(request, None)
    response = Response(status_code=303, headers={"Location": _own_address(fields.get("next", "/"))})
    response.headers["Set-Cookie"] = session_cookie(site.signer.session(found.key_id), secure=visit.secure)
    return response


@plain.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """The sign-in form, the session forgotten."""
    fields = await form_of(request)
    site: Site = request.app.state.site
    site.signer.check_form(request.state.principal, fields.get("token", ""))
    visit = visit_of(request, None)
    response = visit.see_other("/sign-in")
    response.headers["Set-Cookie"] = session_cookie("", secure=visit.secure)
    return response


def _own_address(wanted: str) -> str:
    """The address where it is one of ours, else the start page: a form must not send readers to another site."""
    is_ours = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted
    return wanted if is_ours and wanted.isprintable() and wanted.isascii() else "/"


def _sign_in(request: Request, *, status: int = 200, wrong: bool = False, next_: str = "/") -> Response:
    visit = visit_of(request, None)
    # Not Basic: a browser would put its own window over the page. RFC 9110 wants a challenge with every 401.
    headers = {"WWW-Authenticate": 'Bearer realm="Fairlead"'} if status == 401 else {}
    return visit.page("sign_in.html.j2", {"wrong": wrong, "next": _own_address(next_)}, status, headers)


# -- errors and waiting -----------------------------------------------------------------------------------------


def error_page(request: Request, problem: Problem) -> Response:
    """The problem for a person: what happened, what he can do; a stranger gets the form that takes a key."""
    principal = getattr(request.state, "principal", None)
    if problem.status_code == 401:
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return _sign_in(request, status=401, next_=wanted if request.method == "GET" else "/")
    visit = visit_of(request, principal)
    title = TITLES[problem.slug][1 if visit.lang == "zh" else 0]
    key = f"error.{problem.slug.replace('-', '_')}"
    context: dict[str, Any] = {
        "title": title,
        "advice": visit.t(key if has(visit.lang, key) else "error.default"),
        "detail": in_language(problem.detail, visit.lang),
        "request_id": getattr(request.state, "request_id", ""),
    }
    return visit.page("error.html.j2", context, problem.status_code, problem.headers)


async def _preparing(request: Request, error: Exception) -> Response:
    """A page that says that the figures are being worked out, and loads itself again."""
    del error
    visit = visit_of(request, request.state.principal)
    headers = {"Refresh": str(_PREPARING_SECONDS), "Retry-After": str(_PREPARING_SECONDS)}
    return visit.page(
        "preparing.html.j2",
        {"here": str(request.url.path) + (f"?{request.url.query}" if request.url.query else "")},
        200,
        headers,
    )
