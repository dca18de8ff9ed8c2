"""Appending events in their order: packed by partition, in durable transactions of bounded size.

Rules this module keeps:

1. Events enter each partition in the order in which they are added. An event for every partition enters all of them
   in one transaction; so does a tick.
2. A record holds the events of one partition: one as an object, several as a JSON array. A tick is a record alone.
3. The timestamp of a record is the effective recorded time of its last event, so the last record of a partition
   says how far the partition has come.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from monitor.core.events import ClockTicked, ClockTickedData, Rejected, from_us, to_us
from monitor.core.ordering import EffectiveClock
from monitor.log.embedded import EmbeddedLog
from monitor.log.partition import key_hash, partition_of
from monitor.log.records import NewRecord
from monitor.log.sorting import Admitted
from monitor.log.topics import EVENTS
from monitor.wire.decode import decode_pack, encode

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TICK_SOURCE: Final = "channel-monitor"
PACK_EVENTS: Final = 200
PACK_BYTES: Final = 512 * 1024
TRANSACTION_BYTES: Final = 8 << 20
TRANSACTION_RECORDS: Final = 5_000


def tick_event(at_us: int) -> bytes:
    """The ``clock.ticked.v1`` of a grid point, in canonical JSON. The same grid point gives the same bytes."""
    time = _EPOCH + timedelta(microseconds=at_us)
    return encode(
        ClockTicked(
            specversion="1.0",
            id=f"tick/{from_us(at_us)}",
            source=TICK_SOURCE,
            time=time,
            recordedtime=time,
            data=ClockTickedData(at=time),
        )
    )


class _Pack:
    """The record of one partition that is being filled."""

    __slots__ = ("bytes", "events", "keys", "timestamp_us")

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.keys: set[int] = set()
        self.bytes = 0
        self.timestamp_us = 0


class Appender:
    """Writes to the topic ``events`` of one log. Methods raise :class:`~monitor.log.records.LogError`."""

    def __init__(self, log: EmbeddedLog) -> None:
        self._log = log
        self._clocks = [_clock_of(log, partition) for partition in range(log.partitions)]
        self._packs = [_Pack() for _ in self._clocks]
        self._ready: list[NewRecord] = []
        self._bytes = 0
        self.events = 0
        self.ticks = 0

    @property
    def frontier_us(self) -> int | None:
        """The least recorded time that the next event of any partition can have; None in an empty log."""
        floors = [clock.floor_us for clock in self._clocks if not clock.untouched]
        return max(floors, default=None)

    def add(self, event: Admitted) -> None:
        """Add one event behind those added before."""
        if event.key:
            self._put(partition_of(event.key, len(self._packs)), event, key_hash(event.key))
        else:
            for partition in range(len(self._packs)):
                self._put(partition, event, None)
        self.events += 1
        if self._bytes >= TRANSACTION_BYTES or len(self._ready) >= TRANSACTION_RECORDS:
            self.flush()

    def tick(self, at_us: int, raw: bytes | None = None) -> None:
        """Add a tick to every partition. ``raw``: the event if it is at hand."""
        raw = raw or tick_event(at_us)
        for partition, clock in enumerate(self._clocks):
            self._close(partition)
            timestamp_us = at_us if clock.tick(at_us) else clock.floor_us
            self._ready.append(NewRecord(EVENTS, partition, raw, timestamp_us=timestamp_us))
        self._bytes += len(raw) * len(self._clocks)
        self.ticks += 1
        if len(self._ready) >= TRANSACTION_RECORDS:
            self.flush()

    def flush(self, more: list[NewRecord] | None = None) -> None:
        """Write all that was added, and ``more`` records, in one durable transaction."""
        for partition in range(len(self._packs)):
            self._close(partition)
        self._log.append(self._ready + (more or []))
        self._ready, self._bytes = [], 0

    def _put(self, partition: int, event: Admitted, hashed: int | None) -> None:
        pack = self._packs[partition]
        if pack.events and (len(pack.events) >= PACK_EVENTS or pack.bytes + len(event.raw) > PACK_BYTES):
            self._close(partition)
            pack = self._packs[partition]
        pack.events.append(event.raw)
        pack.bytes += len(event.raw)
        pack.timestamp_us = self._clocks[partition].stamp(event.recorded_us)
        if hashed is not None:
            pack.keys.add(hashed)
        self._bytes += len(event.raw)

    def _close(self, partition: int) -> None:
        pack = self._packs[partition]
        if not pack.events:
            return
        value = pack.events[0] if len(pack.events) == 1 else b"[%b]" % b",".join(pack.events)
        self._ready.append(
            NewRecord(EVENTS, partition, value, timestamp_us=pack.timestamp_us, index_keys=sorted(pack.keys))
        )
        self._packs[partition] = _Pack()


def _clock_of(log: EmbeddedLog, partition: int) -> EffectiveClock:
    """How far a partition has come, from its last record."""
    clock = EffectiveClock()
    end = log.end_offset(EVENTS, partition)
    for record in log.read(EVENTS, partition, end - 1, 1) if end else ():
        clock.stamp(record.timestamp_us)
        for _, event in decode_pack(record.value):
            if isinstance(event, Rejected):
                continue
            if isinstance(event, ClockTicked):
                clock.tick(to_us(event.data.at))
            elif event.recordedtime is not None:
                clock.stamp(to_us(event.recordedtime))
    return clock
