"""Small simulated worlds for tests: their parcels, and their events read back from the JSON lines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any

import msgspec

from monitor.replay.simulate import simulate
from monitor.replay.simulate.journeys import Journeys, travel
from monitor.replay.simulate.planting import Influence, Planted
from monitor.replay.simulate.world import Plan, plan_world

START = date(2024, 3, 4)
DAYS = 130


class Data(msgspec.Struct):
    """The fields that the tests look at."""

    parcel_id: str | None = None
    order_id: str | None = None
    destination: str | None = None
    product: str | None = None
    carrier: str | None = None
    service: str | None = None
    forwarder: str | None = None
    customer_id: str | None = None
    milestone: str | None = None
    kind: str | None = None


class Line(msgspec.Struct):
    """One event, without any check."""

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    recordedtime: datetime
    data: Data


_decode = msgspec.json.Decoder(Line).decode
_ZERO_S = datetime.fromisoformat(f"{START}T00:00:00Z").timestamp()


def day_of(moment: datetime) -> float:
    """Days since the start of the small worlds."""
    return (moment.timestamp() - _ZERO_S) / 86_400


@dataclass(frozen=True)
class Seen:
    """A world as somebody sees it who has only the file."""

    truth: dict[str, Any]
    lines: list[bytes]
    events: list[Line]


@lru_cache(maxsize=8)
def seen(scenario: str, days: int = 80, channels: int = 6, volume: float = 0.4) -> Seen:
    """The events of a small world, made once per run of the tests."""
    made = simulate(scenario, 1, days, channels, START, volume)
    lines = list(made)
    return Seen(made.truth, lines, [_decode(line) for line in lines])


@lru_cache(maxsize=32)
def plan(scenario: str, start: date = START) -> Plan:
    """A world of 30 channels, without its events."""
    return plan_world(scenario, 1, DAYS, 30, start)


def planted(scenario: str, start: date = START) -> Planted:
    """The one thing planted in that world."""
    (item,) = plan(scenario, start).planted
    return item


@lru_cache(maxsize=512)
def _journeys(scenario: str, start: date, number: int) -> Journeys:
    world = plan(scenario, start)
    channel = world.channels[number]
    return travel(world.setting, channel, Influence(world.planted, channel))


def parcels(scenario: str, start: date = START, touched: bool = True, like: str | None = None) -> tuple[Journeys, ...]:
    """The journeys on the channels that ``like`` (default: the scenario itself) touches, or on all others."""
    members = planted(like or scenario, start).members
    return tuple(
        _journeys(scenario, start, number)
        for number, channel in enumerate(plan(scenario, start).channels)
        if (channel.id in members) == touched
    )
