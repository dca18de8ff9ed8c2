"""The log of record as one ordered file: every event once, with its effective recorded time and a sequence.

A replay sorts by (recordedtime, sequence), so it folds the events in the order in which the log has them. An event
that stands in every partition is written once, from the partition of its subject; so is each tick. Memory does not
grow with the log.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from monitor.core.events import EVERYWHERE, ClockTicked, Event, Rejected, route, to_us
from monitor.core.ordering import EffectiveClock
from monitor.log.partition import at_home, partition_of
from monitor.log.protocol import Log
from monitor.log.topics import EVENTS
from monitor.wire.decode import decode_pack, with_recorded, with_sequence

_EVENT: Final = 0
_TICK: Final = 1  # behind the events recorded at the same instant

_Placed = tuple[int, int, int, int, int, bytes]  # recorded µs, event or tick, partition, offset, index, bytes
Place = tuple[int, int, int]  # partition, offset, index of an event in the topic events


@dataclass(slots=True)
class Exported:
    """What an export has written so far. ``unreadable``: what holds no event, or one that another producer
    put where it does not belong; it was left out, as the folds set it aside."""

    events: int = 0
    ticks: int = 0
    unreadable: int = 0


def export_events(log: Log, done: Exported) -> Iterator[bytes]:
    """The lines of the log as it stands at the call, in order, without line feeds. ``done`` is kept up to date.

    Raises :class:`~monitor.log.records.LogError`.
    """
    return (line for _, line in placed_lines(log, done))


def placed_lines(log: Log, done: Exported, until_us: int | None = None) -> Iterator[tuple[Place, bytes]]:
    """The same lines, each with its place in the log; up to and with what was recorded at ``until_us`` (µs).

    Raises :class:`~monitor.log.records.LogError`.
    """
    streams = [_placed(log, partition, end, done) for partition, end in enumerate(log.ends(EVENTS))]
    last_tick: int | None = None
    sequence = 0
    for recorded_us, kind, partition, offset, index, raw in heapq.merge(*streams):
        if until_us is not None and recorded_us > until_us:
            return
        if kind == _TICK:
            if last_tick is not None and recorded_us <= last_tick:
                continue
            last_tick = recorded_us
            done.ticks += 1
        else:
            done.events += 1
        sequence += 1
        yield (partition, offset, index), with_sequence(with_recorded(raw, recorded_us), sequence)


def _placed(log: Log, partition: int, end: int, done: Exported) -> Iterator[_Placed]:
    """The events of one partition that are written from it, with the time and place at which they are."""
    clock = EffectiveClock()
    for record in log.scan(EVENTS, partition, 0, end):
        for index, (raw, event) in enumerate(decode_pack(record.value)):
            if record.foreign and not isinstance(event, Rejected):
                event = at_home(event, partition, log.partitions)
            if isinstance(event, Rejected):
                done.unreadable += 1
            elif isinstance(event, ClockTicked):
                at_us = to_us(event.data.at)
                if clock.tick(at_us):  # else it changes nothing, nor would it in a replay
                    yield at_us, _TICK, partition, record.offset, index, raw
            else:
                stated = record.timestamp_us if event.recordedtime is None else to_us(event.recordedtime)
                recorded_us = clock.stamp(stated)
                if _home(event, log.partitions) in (partition, EVERYWHERE):
                    yield recorded_us, _EVENT, partition, record.offset, index, raw


def _home(event: Event, partitions: int) -> int | None:
    """The partition an event is written from; ``EVERYWHERE`` where its own does not matter."""
    return partition_of(event.subject, partitions) if route(event) is EVERYWHERE else EVERYWHERE
