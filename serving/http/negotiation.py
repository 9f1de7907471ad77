"""Which language to answer in: `?lang=`, else Accept-Language with its q-values, else the default."""

from __future__ import annotations

from typing import Final

LANGUAGES: Final = ("en", "zh")


def choose_language(asked: str | None, header: str | None, default: str) -> str:
    """`en` or `zh`. A language we have no words for is passed over."""
    for wish in (asked or "").split(","):
        found = _ours(wish)
        if found:
            return found
    best, best_quality = default, 0.0
    for part in (header or "")[:1_000].split(","):
        tag, quality = _weighted(part)
        found = default if tag == "*" else _ours(tag)
        if found and quality > best_quality:
            best, best_quality = found, quality
    return best


def _ours(tag: str) -> str | None:
    primary = tag.strip().lower().replace("_", "-").split("-")[0]
    return primary if primary in LANGUAGES else None


def _weighted(part: str) -> tuple[str, float]:
    tag, *parameters = (piece.strip() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                quality = float(value)
            except ValueError:
                return tag, 0.0
            return tag, quality if 0.0 <= quality <= 1.0 else 0.0
    return tag, 1.0
