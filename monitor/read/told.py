"""An event as the timeline of a parcel and an explanation tell it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from monitor.core.events import Event, from_us, to_us, type_of

Record = dict[str, Any]
_SAID: Final = (
    "milestone",
    "kind",
    "stage",
    "outcome",
    "country",
    "place",
    "carrier",
    "raw_code",
    "raw_text",
    "via",
    "reason",
)


def told(event: Event, recorded_us: int, position: Record) -> Record:
    """When it happened and became known, its type, what it says, and its ``position`` in the log."""
    said = msgspec.to_builtins(event.data)
    out: Record = {"time": from_us(to_us(event.time)), "recordedtime": from_us(recorded_us), "type": type_of(event)}
    out |= {name: said[name] for name in _SAID if said.get(name) is not None}
    return out | {"position": position}
