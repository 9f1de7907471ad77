"""One reader's request for a page: who asks, in which language, and how the answer is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import Depends, Request, Response

from features.messages import message
from serving import texts
from serving.http.negotiation import LANGUAGES, choose_language
from serving.http.problems import Problem
from serving.http.scoping import Scope, scope_of
from serving.http.security import Principal, require
from serving.pages.book import Book
from serving.pages.guard import Signer
from serving.pages.rendering import HTML_LANG, OTHER, render, style_address
from serving.texts import Lang, as_lang, t

# (address, right, key of its name)
NAVIGATION: Final = (
    ("/", "start", "today"),
    ("/decisions", "decisions", "decisions"),
    ("/warnings", "warnings", "warnings"),
    ("/forecast", "forecasts", "forecast"),
    ("/reps", "forecasts", "reps"),
    ("/drivers", "drivers", "drivers"),
    ("/experiment", "experiment", "experiment"),
    ("/models", "models", "models"),
)
_LONGEST_FIELD: Final = 2_000


@dataclass(frozen=True)
class Site:
    """What every page needs: where it reads, and what signs its forms."""

    book: Book
    signer: Signer


@dataclass(frozen=True)
class Visit:
    """One request, its caller known to have the right it needs. `asked_lang`: the language stands in the address."""

    site: Site
    principal: Principal | None
    lang: Lang
    asked_lang: bool
    path: str
    query: Mapping[str, str]
    secure: bool = False

    @property
    def book(self) -> Book:
        """Where pages read."""
        return self.site.book

    def scope(self) -> Scope:
        """Whom the reader may see."""
        assert self.principal is not None
        return scope_of(self.principal, self.book.core.team)

    def may(self, right: str) -> bool:
        """Whether the reader has a right of the interface."""
        return self.principal is not None and self.principal.may(right)

    def t(self, key: str, **values: object) -> str:
        """Text of the pages."""
        return t(self.lang, key, **values)

    def money(self, amount: float | None, *, signed: bool = False) -> str:
        """Amount in the language's way."""
        return texts.money(self.lang, self.book.currency, amount, signed=signed)

    def percent(self, share: float | None, digits: int = 0) -> str:
        """Share as a percentage."""
        return texts.percent(self.lang, share, digits)

    def number(self, value: float | None, digits: int = 0) -> str:
        """Number with separators."""
        return texts.number(self.lang, value, digits)

    def href(self, path: str, *ids: str, **query: object) -> str:
        """Address of a page of ours: ids quoted and appended, the language kept where the reader chose it."""
        whole = path + "".join("/" + quote(one, safe="") for one in ids)
        asked = {key: str(value) for key, value in query.items() if value not in (None, "")}
        if self.asked_lang:
            asked.setdefault("lang", self.lang)
        return whole + ("?" + urlencode(asked) if asked else "")

    def other_language(self) -> str:
        """This page in the other language."""
        query = {key: value for key, value in self.query.items() if key != "lang"}
        return quote(self.path) + "?" + urlencode({**query, "lang": OTHER[self.lang]})

    def page(
        self,
        template: str,
        context: Mapping[str, Any],
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The page as a response."""
        body = render(template, self.lang, {**self._frame(), **context})
        said = {"Content-Language": HTML_LANG[self.lang], "Vary": "Accept-Language, Cookie", **(headers or {})}
        return Response(body, status, said, "text/html")

    def _frame(self) -> dict[str, Any]:
        reader = self.principal
        links = [
            {"href": self.href(path), "text": t(self.lang, f"nav.{name}"), "here": self._is_here(path)}
            for path, right, name in NAVIGATION
            if self.may(right)
        ]
        return {
            "style": style_address(),
            "nav": links,
            "href": self.href,
            "may": self.may,
            "asked_lang": self.asked_lang,
            "other_href": self.other_language(),
            "other_html_lang": HTML_LANG[OTHER[self.lang]],
            "reader": None if reader is None or reader.open else reader,
            "role": "" if reader is None else t(self.lang, f"role.{reader.role}"),
            "is_open": reader is not None and reader.open,
            "token": self.site.signer.form_token(reader),
            "done": self._done(),
            "money": self.money,
            "percent": self.percent,
            "number": self.number,
            "name": self.book.name,
        }

    def _is_here(self, path: str) -> bool:
        return self.path == path or (path != "/" and self.path.startswith(path + "/"))

    def _done(self) -> str:
        key = f"done.{self.query.get('done', '')}"
        return t(self.lang, key) if texts.has(self.lang, key) else ""

    def see_other(self, path: str, *ids: str, **query: object) -> Response:
        """Send the browser on to a page, so that loading it again sends nothing twice."""
        return Response(status_code=303, headers={"Location": self.href(path, *ids, **query)})


def visit_of(request: Request, principal: Principal | None) -> Visit:
    """The visit that a request is."""
    site: Site = request.app.state.site
    asked = request.query_params.get("lang")
    chosen = choose_language(asked, request.headers.get("accept-language"), site.book.core.default_lang)
    query = {key: value for key, value in request.query_params.items() if len(value) <= _LONGEST_FIELD}
    return Visit(
        site, principal, as_lang(chosen), asked in LANGUAGES, request.url.path, query, request.url.scheme == "https"
    )


def visits(right: str) -> Any:
    """A dependency that gives the `Visit` of somebody who has `right`."""

    async def build(request: Request) -> Visit:
        return visit_of(request, require(request.state.principal, right))

    build.right = right  # type: ignore[attr-defined]  # lets a test walk the routes and their rights
    return Depends(build)


async def form_of(request: Request, longest: int = _LONGEST_FIELD) -> dict[str, str]:
    """The fields of a sent form, spaces trimmed; Problem 415 or 422 where it is none."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Problem(415, message("form.kind"))
    async with request.form(max_files=0, max_fields=40) as sent:
        fields = {name: value.strip() for name, value in sent.items() if isinstance(value, str)}
    if any("\x00" in value or len(value) > longest for value in fields.values()):
        raise Problem(422, message("form.field", longest=longest))
    return fields


def sends(right: str, longest: int = _LONGEST_FIELD) -> Any:
    """A dependency that gives the `Visit` and the fields of a form whose token is the reader's own.

    `longest`: characters that a field may have.
    """

    async def build(request: Request) -> tuple[Visit, dict[str, str]]:
        visit = visit_of(request, require(request.state.principal, right))
        fields = await form_of(request, longest)
        visit.site.signer.check_form(visit.principal, fields.get("token", ""))
        return visit, fields

    build.right = right  # type: ignore[attr-defined]
    return Depends(build)


Sent = tuple[Visit, dict[str, str]]
