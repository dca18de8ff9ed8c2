"""What every contender is asked to do, and how it reports: for each channel the number of events and the sum of delays.

That is far less than the monitor does. An event is decoded into the few fields that are needed, and the channel of a
parcel is kept in a plain dict that nobody saves, as if every scan named its channel. Nearer to the monitor come those
that save a small value for each parcel (:func:`parcel_step`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import time
from datetime import datetime
from pathlib import Path

import msgspec

NOWHERE = "-"
TICK = "clock.ticked.v1"


class Data(msgspec.Struct):
    """What of an event's data tells the channel."""

    parcel_id: str | None = None
    destination: str | None = None
    product: str | None = None
    carrier: str | None = None


class Event(msgspec.Struct):
    """What is read of an event."""

    type: str
    time: datetime
    data: Data
    recordedtime: datetime | None = None


pack_of = msgspec.json.Decoder(list[Event]).decode
single_of = msgspec.json.Decoder(Event).decode


def events_of(value: bytes) -> list[Event]:
    """The events of a record, a pack or one alone, without ticks: a running monitor adds some of its own."""
    events = pack_of(value) if value[:1] == b"[" else [single_of(value)]
    return [event for event in events if event.type != TICK]


class Channels:
    """Which channel an event belongs to. A parcel's registration tells it; all of a parcel is in one partition."""

    def __init__(self) -> None:
        self._of_parcel: dict[str, str] = {}

    def of(self, event: Event) -> str:
        """The channel of an event, :data:`NOWHERE` if nothing has told it yet."""
        data = event.data
        if data.parcel_id is None:
            return NOWHERE
        if data.product is not None:
            self._of_parcel[data.parcel_id] = f"{data.destination}|{data.product}|{data.carrier}"
        return self._of_parcel.get(data.parcel_id, NOWHERE)


#: What is saved of a parcel: its channel, the number of its events, and when the latest happened (s since 1970).
Parcel = tuple[str, int, int]


def parcel_step(parcel: Parcel | None, event: Event) -> Parcel:
    """The value of a parcel with one event more."""
    data = event.data
    channel, count, latest_s = parcel or (NOWHERE, 0, 0)
    if data.product is not None:
        channel = f"{data.destination}|{data.product}|{data.carrier}"
    return channel, count + 1, max(latest_s, int(event.time.timestamp()))


def delay_s(event: Event) -> int:
    """How long after it happened an event was recorded."""
    return 0 if event.recordedtime is None else round((event.recordedtime - event.time).total_seconds())


class Tally:
    """Count and sum of delays of each channel."""

    def __init__(self) -> None:
        self.of: dict[str, list[int]] = {}
        self.events = 0

    def add(self, channel: str, count: int, delays_s: int) -> None:
        """Add ``count`` events."""
        self.events += count
        found = self.of.get(channel)
        if found is None:
            self.of[channel] = [count, delays_s]
        else:
            found[0] += count
            found[1] += delays_s

    def add_all(self, events: list[Event], channels: Channels) -> None:
        """Add the events of a record."""
        for event in events:
            self.add(channels.of(event), 1, delay_s(event))

    def digest(self) -> str:
        """Equal for equal tallies."""
        return hashlib.sha256(json.dumps(sorted(self.of.items())).encode()).hexdigest()[:12]


class Task(argparse.Namespace):
    """The command line of every contender."""

    mode: str
    bootstrap: str
    topic: str
    partitions: int
    events: int
    scratch: Path


def asked(*modes: str) -> Task:
    """What this contender is to do; ``modes`` are the ways it knows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=modes)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--events", type=int, required=True, help="how many there are; the end of the work")
    parser.add_argument("--scratch", type=Path, required=True, help="an empty directory")
    return parser.parse_args(namespace=Task())


class Stopwatch:
    """Wall and CPU time between the moment a contender is ready and the end of its work."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None

    def start(self) -> None:
        """Ready; only the first call counts."""
        if self._began is None:
            self._began = time.perf_counter(), _cpu_s()

    def report(self, tally: Tally | None) -> None:
        """Done: print what was measured, as JSON. ``tally``: None if nothing was counted."""
        assert self._began is not None
        wall_s, cpu_s = time.perf_counter() - self._began[0], _cpu_s() - self._began[1]
        said = {"wall_s": wall_s, "cpu_s": cpu_s}
        if tally is not None:
            said |= {"events": tally.events, "channels": len(tally.of), "digest": tally.digest()}
        print(json.dumps(said), flush=True)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
