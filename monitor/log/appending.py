"""Appending events in their order: packed by partition, in durable transactions of bounded size.

Rules this module keeps:

1. Events enter each partition in the order in which they are added. An event for every partition enters all of them
   in one transaction; so does a tick.
2. An event for every partition has one effective recorded time in all of them: it is written with the least that none
   of them has passed, and holds only if none passes it before the event is there. So what follows from it belongs to
   one tick everywhere. The time it stated stays as a note for :mod:`monitor.log.embedded.merging`; events of one
   partition keep their stated time as it is.
3. A record holds the events of one partition: one as an object, several as a JSON array. A tick is a record alone;
   it is left out where every partition has passed it, so several tickers write it once.
4. The timestamp of a record is the effective recorded time of its last event, so the last record of a partition
   says how far the partition has come.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from monitor.core.events import ClockTicked, ClockTickedData, Rejected, from_us, to_us
from monitor.core.ordering import EffectiveClock
from monitor.log.partition import key_hash, partition_of
from monitor.log.protocol import Log
from monitor.log.records import LogRecord, NewRecord
from monitor.log.sorting import Admitted
from monitor.log.topics import EVENTS
from monitor.wire.decode import decode_pack, encode, with_raised

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TICK_SOURCE: Final = "channel-monitor"
PACK_EVENTS: Final = 200
PACK_BYTES: Final = 512 * 1024
TRANSACTION_BYTES: Final = 8 << 20
RECORD_BYTES: Final = 1_600  # what a record costs beside its value, about: 5,000 records fill a transaction


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


class _Tick(NamedTuple):
    """A tick between events."""

    at_us: int
    raw: bytes


class _Pack:
    """The record of one partition that is being filled."""

    __slots__ = ("bytes", "events", "holds_until_us", "keys", "timestamp_us")

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.keys: set[int] = set()
        self.bytes = 0
        self.timestamp_us = 0
        self.holds_until_us: int | None = None


class Appender:
    """Writes to the topic ``events`` of one log. Methods raise :class:`~monitor.log.records.LogError`."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._ends = [-1] * log.partitions
        self._clocks = [EffectiveClock() for _ in self._ends]
        self._look()
        self._waiting: list[Admitted | _Tick] = []
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
        self._waiting.append(event)
        self.events += 1
        self._grown_by(len(event.raw))

    def tick(self, at_us: int, raw: bytes | None = None) -> None:
        """Add a tick to every partition. ``raw``: the event if it is at hand."""
        self._waiting.append(_Tick(at_us, raw or tick_event(at_us)))
        self.ticks += 1
        self._grown_by(RECORD_BYTES * len(self._clocks))

    def flush(self, more: list[NewRecord] | None = None) -> None:
        """Write all that was added, and ``more`` records, in one durable transaction."""
        if not (self._waiting or more):
            return
        self._log.append_made(lambda margin_us: self._records(margin_us) + (more or []))
        self._waiting, self._bytes = [], 0

    def _grown_by(self, size: int) -> None:
        self._bytes += size
        if self._bytes >= TRANSACTION_BYTES:
            self.flush()

    # Inside the transaction

    def _look(self) -> None:
        """Learn how far the partitions have come that others have written to."""
        for partition, known in enumerate(self._ends):
            end, last = self._log.last_records(partition)
            if end != known:
                self._clocks[partition] = _clock_after(last)
                self._ends[partition] = end

    def _records(self, margin_us: int) -> list[NewRecord]:
        self._look()
        # Should the transaction fail, the clocks stand where the log does not: the next look must read it again.
        self._ends = [-1] * len(self._ends)
        packing = _Packing(self._clocks, margin_us)
        for item in self._waiting:
            if isinstance(item, _Tick):
                packing.tick(item)
            else:
                packing.add(item)
        return packing.finish()


class _Packing:
    """Makes records of events and ticks; the clocks come along. What must hold in every partition is put ``margin_us``
    ahead of them."""

    def __init__(self, clocks: list[EffectiveClock], margin_us: int = 0) -> None:
        self._clocks = clocks
        self._margin_us = margin_us
        self._packs = [_Pack() for _ in clocks]
        self._ready: list[NewRecord] = []

    def finish(self) -> list[NewRecord]:
        """The records, in their order."""
        for partition in range(len(self._packs)):
            self._close(partition)
        return self._ready

    def add(self, event: Admitted) -> None:
        """Put an event behind what its partition has."""
        if event.key:
            self._put(partition_of(event.key, len(self._packs)), event.raw, event.recorded_us, key_hash(event.key))
            return
        recorded_us = max(event.recorded_us, *(clock.floor_us + self._margin_us for clock in self._clocks))
        raw = with_raised(event.raw, recorded_us)
        for partition in range(len(self._packs)):
            self._put(partition, raw, recorded_us, None)
            pack = self._packs[partition]
            pack.holds_until_us = min(pack.holds_until_us or recorded_us, recorded_us)

    def tick(self, tick: _Tick) -> None:
        """Put a tick behind what every partition has."""
        if all(clock.floor_us > tick.at_us for clock in self._clocks):
            return
        for partition, clock in enumerate(self._clocks):
            self._close(partition)
            holds_until_us = tick.at_us if clock.tick(tick.at_us) else None
            timestamp_us = clock.floor_us if holds_until_us is None else tick.at_us
            self._ready.append(
                NewRecord(EVENTS, partition, tick.raw, timestamp_us=timestamp_us, holds_until_us=holds_until_us)
            )

    def _put(self, partition: int, raw: bytes, recorded_us: int, hashed: int | None) -> None:
        pack = self._packs[partition]
        if pack.events and (len(pack.events) >= PACK_EVENTS or pack.bytes + len(raw) > PACK_BYTES):
            self._close(partition)
            pack = self._packs[partition]
        pack.events.append(raw)
        pack.bytes += len(raw)
        pack.timestamp_us = self._clocks[partition].stamp(recorded_us)
        if hashed is not None:
            pack.keys.add(hashed)

    def _close(self, partition: int) -> None:
        pack = self._packs[partition]
        if not pack.events:
            return
        value = pack.events[0] if len(pack.events) == 1 else b"[%b]" % b",".join(pack.events)
        self._ready.append(
            NewRecord(
                EVENTS,
                partition,
                value,
                timestamp_us=pack.timestamp_us,
                index_keys=sorted(pack.keys),
                holds_until_us=pack.holds_until_us,
            )
        )
        self._packs[partition] = _Pack()


def _clock_after(last: list[LogRecord]) -> EffectiveClock:
    """How far a partition has come, from its last records."""
    clock = EffectiveClock()
    for record in last:
        if not record.foreign:
            clock.stamp(record.timestamp_us)
        for _, event in decode_pack(record.value):
            if isinstance(event, Rejected):
                continue
            if isinstance(event, ClockTicked):
                clock.tick(to_us(event.data.at))
            elif event.recordedtime is not None:
                clock.stamp(to_us(event.recordedtime))
            else:
                clock.stamp(record.timestamp_us)
    return clock
