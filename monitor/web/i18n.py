"""Languages: which one a reader gets, and the texts of the page.

The texts stand in ``catalogue.toml``, both languages on one line, so that neither can be forgotten.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final

from monitor.web.settings import LANGUAGES

#: Value of ``<html lang>`` per language.
HTML_LANG: Final[dict[str, str]] = {"en": "en", "zh": "zh-CN"}


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """All texts: ``section.key`` → language → text. Raises :class:`ValueError` when a language is missing."""
    with (Path(__file__).parent / "catalogue.toml").open("rb") as file:
        tree = tomllib.load(file)
    texts: dict[str, dict[str, str]] = {}

    def walk(prefix: str, node: dict[str, Any]) -> None:
        if all(isinstance(value, str) for value in node.values()):
            if tuple(sorted(node)) != LANGUAGES:
                raise ValueError(f"catalogue.toml: {prefix} must have exactly the languages {', '.join(LANGUAGES)}")
            texts[prefix] = node
            return
        for key, value in node.items():
            walk(f"{prefix}.{key}" if prefix else key, value)

    walk("", tree)
    return texts


class Translator:
    """The texts in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts = catalogue()

    def __call__(self, key: str, **values: object) -> str:
        """The text ``key`` with ``{placeholders}`` filled. Raises :class:`KeyError` for a key we do not have."""
        text = self._texts[key][self.language]
        return text.format(**values) if values else text

    def name(self, section: str, code: object) -> str:
        """The name of a code of the vocabulary ``section``; a code from a newer version reads as itself."""
        entry = self._texts.get(f"{section}.{code}")
        return entry[self.language] if entry is not None else str(code).replace("_", " ")


def choose(asked: str | None, cookie: str | None, accept_language: str, setting: str) -> str:
    """The reader's language: the address first, then the cookie, then the setting; ``auto`` asks the browser."""
    for wish in (asked, cookie, setting):
        if wish in LANGUAGES:
            return wish
    return _from_browser(accept_language) or "en"


def _from_browser(header: str) -> str | None:
    """The best language of an ``Accept-Language`` header that we have; the first wins among equals."""
    best: tuple[float, str] | None = None
    for part in header.split(",")[:50]:
        tag, _, parameters = part.partition(";")
        primary = tag.strip().partition("-")[0].lower()
        quality = _quality(parameters)
        if primary in LANGUAGES and quality > 0 and (best is None or quality > best[0]):
            best = (quality, primary)
    return best[1] if best else None


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
