"""Dead letters as JSON: what could not be used, where it stood, why, and how to try it again."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec
from xxhash import xxh3_128_hexdigest

from monitor.core.events import from_us
from monitor.wire.incoming import Reader

Letter = dict[str, Any]


def dead_letter(
    position: Mapping[str, Any], raw: bytes, reason: str, detail: str, recorded_us: int, reader: Reader | None = None
) -> Letter:
    """The record of a dead letter. ``recorded_us``: when it was read, in microseconds since 1970 UTC.

    ``raw`` is text; bytes that are no UTF-8 stand in it as ``\\xff``, and then ``raw_base64`` holds them exactly.
    ``reader`` (not part of the contract) says how a row of a table becomes events.
    """
    letter: Letter = {"position": {name: _plain(value) for name, value in position.items()}}
    try:
        letter["raw"] = raw.decode()
    except UnicodeDecodeError:
        letter["raw"] = raw.decode(errors="backslashreplace")
        letter["raw_base64"] = base64.b64encode(raw).decode()
    letter |= {"reason": reason, "detail": _plain(detail), "recordedtime": from_us(recorded_us)}
    if reader is not None:
        letter["reader"] = msgspec.to_builtins(reader)
    return letter


def _plain(value: Any) -> Any:
    """A value of a record; bytes of a file's name that are no UTF-8 stand in it as ``\\udcff``."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def raw_of(letter: Mapping[str, Any]) -> bytes:
    """The bytes of a dead letter, exactly."""
    encoded: str | None = letter.get("raw_base64")
    return base64.b64decode(encoded) if encoded is not None else str(letter["raw"]).encode()


def reader_of(letter: Mapping[str, Any]) -> Reader | None:
    """How its bytes become events; None for a line that is an event itself."""
    return msgspec.convert(letter["reader"], Reader) if letter.get("reader") else None


def letter_id(raw: bytes, reason: str) -> str:
    """Which dead letters are one: the same bytes refused for the same reason."""
    return xxh3_128_hexdigest(b"%b\0%b" % (reason.encode(), raw))


def public(letter: Mapping[str, Any]) -> Letter:
    """The record as the contract has it."""
    return {name: value for name, value in letter.items() if name != "reader"}
