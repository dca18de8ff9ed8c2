"""A lane whose carriers are as good as they are said to be, without a random number, and what was advised about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from asking import Asked, Found

from monitor.core.params import Params
from monitor.core.switch.terms import SwitchTerms
from monitor.replay.driver import Observer, Replay, World
from monitor.replay.outputs import picture
from monitor.wire.incoming import Incoming

Json = dict[str, Any]
START = datetime(2026, 1, 1, tzinfo=UTC)
#: Days to delivery of ten parcels in turn, as multiples of their carrier's.
TURNS = (0.7, 1.3, 0.9, 1.1, 0.8, 1.0, 1.2, 0.95, 1.5, 1.05)


@dataclass(frozen=True)
class Made:
    """A carrier: parcels a day, days to delivery, one of so many lost, postage, what one of ten parcels carries."""

    name: str
    per_day: int
    days: float
    lost_one_in: int
    postage: str | None
    attributes: tuple[str, ...] = ()
    first_day: int = 0
    last_day: int = 1_000


GOOD = Made("bravo", 8, 12, 200, "5.00")
BAD = Made("alpha", 10, 20, 12, "5.00")


def time(day: float) -> str:
    """RFC 3339 of a day from the start."""
    return (START + timedelta(seconds=round(day * 86_400))).isoformat()


def event(kind: str, subject: str, day: float, data: Json) -> Json:
    """An event, known at once."""
    id_ = f"{kind}/{subject}/{data.get('milestone', data.get('what', ''))}/{day}"
    return {
        "specversion": "1.0",
        "id": id_,
        "source": "made",
        "type": f"{kind}.v1",
        "subject": subject,
        "time": time(day),
        "data": data,
    }


def parcels(*carriers: Made, days: int = 60, product: str = "tablet") -> list[Json]:
    """The events of the parcels of a lane."""
    out = []
    for one in carriers:
        number = 0
        for day in range(one.first_day, min(days, one.last_day)):
            for turn in range(one.per_day):
                number += 1
                at = day + (turn + 0.5) / one.per_day
                id_ = f"{product}-{one.name}-{one.first_day}-{number}"
                data: Json = {"parcel_id": id_, "destination": "RU", "product": product, "carrier": one.name}
                data |= {"promised_days": 16, "declared_value": {"amount": "40.00", "currency": "USD"}}
                if one.postage is not None:
                    data["postage"] = {"amount": one.postage, "currency": "USD"}
                if one.attributes and number % 10 == 0:
                    data["attributes"] = list(one.attributes)
                out.append(event("parcel.registered", id_, at, data))
                out.append(event("parcel.scanned", id_, at + 0.6, {"parcel_id": id_, "milestone": "accepted"}))
                if number % one.lost_one_in:
                    arrives = at + one.days * TURNS[number % 10]
                    out.append(event("parcel.scanned", id_, arrives, {"parcel_id": id_, "milestone": "delivered"}))
    return [one for one in out if one["time"] <= time(days)]


def offered(carrier: str, day: float = 0.0, **more: Any) -> Json:
    """An offer of the lane."""
    return event("carrier.offered", f"offer-{carrier}", day, {"carrier": carrier, "destination": "RU", **more})


def ruled(rule_id: str, day: float = 0.0, **more: Any) -> Json:
    """A rule."""
    return event("rule.declared", rule_id, day, {"rule_id": rule_id, "effect": "refuse", **more})


def world(
    events: list[Json],
    terms: SwitchTerms | None = None,
    until: float | None = None,
    observer: Observer | None = None,
    **params: Any,
) -> World:
    """The state after a replay, with one tick a day, at which advice is given, unless ``params`` say otherwise."""
    until_us = None if until is None else _us(until)
    run = Replay(Params(**{"tick_hours": 24, "switch": terms or SwitchTerms(), **params}), until_us, observer)
    lines = [json.dumps(one).encode() for one in events]
    run.add(Incoming("made", i, line, line) for i, line in enumerate(lines, 1))
    return run.run()


def found_at(days: Sequence[int], look: Callable[[World], Found], events: list[Json], **params: Any) -> list[Found]:
    """What ``look`` finds at the midnights of some days, in the order of time, in one replay."""
    asked = Asked(map(_us, days), look)
    world(events, until=max(days), observer=asked, **params)
    assert len(asked.found) == len(days)
    return asked.found


def _us(day: float) -> int:
    return round((START.timestamp() + day * 86_400) * 1_000_000)


def advice(events: list[Json], terms: SwitchTerms | None = None, until: float | None = None, **params: Any) -> Json:
    """The record of the only lane."""
    (record,) = picture(world(events, terms, until, **params)).advice_records()
    return record
