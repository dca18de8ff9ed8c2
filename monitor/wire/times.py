"""The recorded time of an event without the rest of it: what a replay sorts by."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from monitor.core.events import Time, to_us
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
