"""Templates and styles of the pages, read once; everything that goes into a template is escaped there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from serving.texts import Lang, bound, t

if TYPE_CHECKING:
    import jinja2

HTML_LANG: Final[Mapping[Lang, str]] = {"en": "en", "zh": "zh-CN"}
OTHER: Final[Mapping[Lang, Lang]] = {"en": "zh", "zh": "en"}


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    folders = (files("serving.pages") / "templates", files("serving.reports") / "templates")
    entries = [entry for folder in folders for entry in folder.iterdir() if entry.name.endswith(".j2")]
    source = {entry.name: entry.read_text(encoding="utf-8") for entry in entries}
    return jinja2.Environment(
        loader=jinja2.DictLoader(source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=bound,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, lang: Lang, context: Mapping[str, Any]) -> str:
    """HTML of a template of ours; `t` gives it the texts of the language."""
    words = {"t": partial(t, lang), "lang": lang, "html_lang": HTML_LANG[lang], "other": OTHER[lang]}
    words["gap"] = "" if lang == "zh" else " "  # between two sentences
    return _environment().get_template(template).render(**words, **context)


@cache
def stylesheet(name: str) -> str:
    """CSS text: `report` (the printed pages' own), `kept` (what pages for keeping add) or `pages` (the service's)."""
    if name == "report":
        return (files("serving.reports") / "style.css").read_text(encoding="utf-8")
    return (files("serving.pages") / "static" / f"{name}.css").read_text(encoding="utf-8")


@cache
def font_bytes() -> bytes:
    """The Chinese font of the service's pages, as WOFF 2."""
    return (files("serving.pages") / "static" / "noto-sans-sc.woff2").read_bytes()


def inline_css() -> Markup:
    """All styles of a page that must stand alone in one file."""
    return Markup(stylesheet("report") + stylesheet("kept"))  # noqa: S704 our own files


@cache
def style_address() -> str:
    """Address of the service's stylesheet; it changes with the bytes, so that browsers may keep it."""
    whole = stylesheet("report") + stylesheet("kept") + stylesheet("pages")
    return f"/pages.css?v={sha256(whole.encode()).hexdigest()[:12]}"
