"""Events and small logs made by hand, for tests of what goes into the log and comes out of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from monitor.core.events import ClockTicked, Rejected
from monitor.log.embedded import EmbeddedLog
from monitor.log.topics import DEAD_LETTERS, EVENTS
from monitor.wire.decode import decode_pack

Json = dict[str, Any]


def registered(parcel: str = "P1", time: str = "2026-03-01T00:00:00Z", **members: Any) -> Json:
    """A registration; ``members`` are put into the envelope."""
    data = {"parcel_id": parcel, "destination": "RU", "product": "tablet", "carrier": "china-post"}
    return event("parcel.registered.v1", parcel, time, data, **members)


def scanned(
    parcel: str = "P1", milestone: str = "accepted", time: str = "2026-03-02T00:00:00Z", **members: Any
) -> Json:
    """A scan."""
    data = {"parcel_id": parcel, "milestone": milestone}
    return event("parcel.scanned.v1", parcel, time, data, **members)


def closed(complaint: str = "C1", time: str = "2026-03-03T00:00:00Z", **members: Any) -> Json:
    """The end of a complaint that names no parcel: an event for every partition."""
    return event("complaint.closed.v1", complaint, time, {"complaint_id": complaint}, **members)


def event(event_type: str, subject: str, time: str, data: Json, **members: Any) -> Json:
    """Any event; its id is made of type, subject, time and milestone."""
    name = "/".join([event_type.split(".")[1], subject, time, str(data.get("milestone", ""))])
    base = {"specversion": "1.0", "id": name, "source": "test", "type": event_type, "subject": subject, "time": time}
    return base | {"data": data} | members


def write_lines(path: Path, events: Iterable[Json | str | bytes]) -> Path:
    """A file with one event a line; text and bytes are written as they are."""
    lines = []
    for one in events:
        text = json.dumps(one) if isinstance(one, dict) else one
        lines.append(text.encode() if isinstance(text, str) else text)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def in_log(directory: Path) -> list[list[Json]]:
    """The events of each partition, in order."""
    with EmbeddedLog.open(directory, create=False) as log:
        found = []
        for partition in range(log.partitions):
            events = []
            for record in log.read(EVENTS, partition, 0, 1_000_000, 1 << 30):
                for raw, one in decode_pack(record.value):
                    assert not isinstance(one, Rejected)
                    events.append(json.loads(raw))
            found.append(events)
        return found


def all_in_log(directory: Path) -> list[Json]:
    """The events of all partitions, one after the other."""
    return [one for events in in_log(directory) for one in events]


def without_ticks(events: Iterable[Json]) -> list[Json]:
    """Only what happened to parcels."""
    return [one for one in events if one["type"] != ClockTicked.__struct_config__.tag]


def letters_in_log(directory: Path) -> list[Json]:
    """Every record of the topic of dead letters."""
    with EmbeddedLog.open(directory, create=False) as log:
        return [json.loads(record.value) for record in log.read(DEAD_LETTERS, 0, 0, 1_000_000, 1 << 30)]
