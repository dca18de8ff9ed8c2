"""The recorded time of an event without the rest of it: what a replay sorts by."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from monitor.core.events import Rejected, Time, to_us
from monitor.wire.decode import decode


class _Times(Struct, frozen=True, gc=False):
    time: Time
    recordedtime: Time | None = None


_times: Final = msgspec.json.Decoder(_Times).decode


def recorded_us(raw: bytes) -> int:
    """The recorded time of an event, as stated, else its ``time``, in µs since 1970. Nothing else is checked.

    Raises :class:`~monitor.core.events.Rejected` where there is none.
    """
    try:
        times = _times(raw)
    except (msgspec.MsgspecError, RecursionError):
        event = decode(raw)
        return to_us(event.recordedtime or event.time)
    return to_us(times.recordedtime or times.time)


def parse_time(text: str) -> int:
    """µs since 1970 of an RFC 3339 time with an offset. Raises :class:`~monitor.core.events.Rejected`."""
    try:
        return to_us(msgspec.convert(text, Time))
    except msgspec.ValidationError:
        detail = f"{text!r} is no time; write it like 2026-03-09T00:00:00Z, with an offset"
        raise Rejected("invalid_event", detail) from None
