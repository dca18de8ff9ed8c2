"""Short logs for tests of the folds: events by hand, folded by the replay driver."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from asking import Asked, Found

from monitor.core.params import Params
from monitor.core.switch.terms import SwitchTerms
from monitor.replay.driver import Observer, Replay, World
from monitor.wire.incoming import Incoming

DAY_US = 86_400_000_000
#: A Monday far from any holiday.
START = datetime(2025, 3, 10, tzinfo=UTC)
START_DAY = (START - datetime(1970, 1, 1, tzinfo=UTC)).days
#: For tests of what is found out about channels day by day: one tick a day, and carriers are not compared.
DAILY = Params(tick_hours=24, switch=SwitchTerms(min_parcels=100_000))
_ids = count()


def at(day: float) -> datetime:
    """A moment, in days after the start."""
    return START + timedelta(days=day)


def text(moment: datetime) -> str:
    """RFC 3339."""
    return moment.isoformat().replace("+00:00", "Z")


def made(kind: str, day: float, data: dict[str, Any], recorded: float | None = None, **envelope: Any) -> bytes:
    """The line of an event; ``day`` and ``recorded`` count from the start."""
    document = {
        "specversion": "1.0",
        "id": f"made-{next(_ids)}",
        "source": "test",
        "type": kind,
        "subject": data.get("parcel_id") or data.get("complaint_id") or data.get("refund_id") or data.get("target"),
        "time": text(at(day)),
        "recordedtime": text(at(day if recorded is None else recorded)),
        "data": {name: value for name, value in data.items() if value is not None},
    }
    return json.dumps(document | envelope).encode()


def registered(parcel: str, day: float, carrier: str = "post", **more: Any) -> bytes:
    """A parcel to Russia is handed over."""
    data = {"parcel_id": parcel, "destination": "RU", "product": "tablet", "carrier": carrier}
    recorded = more.pop("recorded", None)
    return made("parcel.registered.v1", day, data | more, recorded)


def scanned(parcel: str, milestone: str, day: float, recorded: float | None = None, **envelope: Any) -> bytes:
    """A scan."""
    data = {"parcel_id": parcel, "milestone": milestone}
    return made("parcel.scanned.v1", day, data, recorded, **envelope)


def opened(complaint: str, day: float, **more: Any) -> bytes:
    """A complaint."""
    return made("complaint.opened.v1", day, {"complaint_id": complaint, "kind": "not_received"} | more)


def closed(complaint: str, day: float, **more: Any) -> bytes:
    """The end of a complaint."""
    return made("complaint.closed.v1", day, {"complaint_id": complaint} | more)


def us(day: float) -> int:
    """µs since 1970 of a day after the start."""
    return round((START_DAY + day) * DAY_US)


def replayed(
    lines: Iterable[bytes], until: float | None = None, params: Params | None = None, observer: Observer | None = None
) -> World:
    """The world after a replay."""
    run = Replay(params or Params(), None if until is None else us(until), observer)
    run.add(Incoming("made.jsonl", i, line, event=line) for i, line in enumerate(lines, start=1))
    return run.run()


def found_at(
    days: Sequence[float], look: Callable[[World], Found], lines: Iterable[bytes], params: Params | None = None
) -> list[Found]:
    """What ``look`` finds at some ticks, in the order of ``days``, the last of which is the end of one replay."""
    asked = Asked(map(us, days), look)
    replayed(lines, max(days), params, asked)
    assert len(asked.found) == len(days)
    return asked.found
