"""Where messages go: one line a sink, ``NAME LANGUAGE URL``, with a URL of Apprise. A URL holds secrets: it is shown
nowhere, and stands in no message of ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

LANGUAGES: Final = {"en": "en", "zh-CN": "zh"}  # as it is written → as the texts know it
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")


class SinkError(ValueError):
    """The sinks are not as they must be; the message names the line or the sink, never the URL."""


@dataclass(frozen=True, slots=True)
class Sink:
    """One place: its name, the language of its messages (a key of the texts), its URL."""

    name: str
    language: str
    url: str = field(repr=False)


def parse_sinks(text: str) -> list[Sink]:
    """The sinks of some lines; empty ones, and those that begin with ``#``, count for nothing.

    Raises :class:`SinkError`.
    """
    sinks: dict[str, Sink] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 3:
            raise SinkError(f"line {number} of the sinks must be NAME LANGUAGE URL; it has {len(words)} words")
        name, language, url = words
        if not _NAME.fullmatch(name):
            raise SinkError(f"line {number} of the sinks: a name is up to 40 letters, digits, dots, dashes")
        if language not in LANGUAGES:
            raise SinkError(f"sink {name}: the language must be one of {', '.join(LANGUAGES)}")
        if "://" not in url:
            raise SinkError(f"sink {name}: the third word is no URL")
        if name in sinks:
            raise SinkError(f"sink {name} is named twice")
        sinks[name] = Sink(name, LANGUAGES[language], url)
    return list(sinks.values())
