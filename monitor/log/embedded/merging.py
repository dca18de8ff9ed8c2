"""Puts the events of a log in the order of the recorded times they state, as if all of them had been ingested at once.

Rules this module keeps:

1. Every event stays, each as often as it was ingested; what stands in every partition is read from one of them, the
   partition of its subject.
2. The order is that of the gateway: (stated recorded time, sequence, source, id, canonical bytes), with the ticks of
   the grid between. The last tick stays if it lies behind the last event.
3. It is one transaction: the log is the old one or the new one, and what was folded from the old one is forgotten with
   it. What others append meanwhile comes behind.
4. A record that holds no event keeps its partition and the time at which it stood there.

Memory does not grow with the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from sys import intern
from typing import Final

from monitor.core.events import EVERYWHERE, ClockTicked, Event, Rejected, canonical_body, route, to_us
from monitor.core.ordering import EffectiveClock, normal_sequence, ticks_between
from monitor.core.params import Params
from monitor.core.vocabulary import YEAR_2089_US
from monitor.log.appending import Appender
from monitor.log.embedded import EmbeddedLog
from monitor.log.partition import partition_of
from monitor.log.records import LogError, LogFullError, LogRecord, NewRecord
from monitor.log.sorting import MAX_BYTES, Admitted, EventSorter
from monitor.log.topics import EVENTS
from monitor.wire.decode import decode, decode_pack, raised_from_us, with_recorded

Progress = Callable[[int, int], None]  # events read, events written

#: The source of what is no event: an event's cannot be empty.
_NO_EVENT: Final = ""


@dataclass(frozen=True, slots=True)
class Merged:
    """``events`` in the log, each counted once. ``rewritten``: they were out of order, and ``ticks`` (grid points) were
    written between them; otherwise the log was left as it is.
    """

    events: int
    ticks: int
    rewritten: bool


def merge_history(
    log: EmbeddedLog,
    params: Params,
    progress: Progress,
    *,
    state_version: str | None = None,
    sort_bytes: int = MAX_BYTES,
) -> Merged:
    """Put the events in order and begin a new generation, with ``state_version``. The caller holds the log's
    :meth:`~monitor.log.embedded.EmbeddedLog.exclusive`.

    Raises :class:`~monitor.log.records.LogError`; then nothing was changed.
    """
    try:
        with EventSorter(log.directory, sort_bytes) as sorter:
            reading = _Reading(log, sorter, progress)
            reading.go_on()
            with log.rewriting_events(state_version):
                reading.go_on()  # what was appended meanwhile; from here on others wait
                if reading.in_order:
                    return Merged(reading.events, 0, rewritten=False)
                log.forget_events()
                ticks = _write(log, params, sorter.in_order(), reading, progress)
                return Merged(reading.events, ticks, rewritten=True)
    except LogError as error:
        if isinstance(error, LogFullError) or isinstance(error.__cause__, OSError):
            raise LogFullError(
                f"The disk of {log.directory} has no room to put the log in order: that needs, for a while, twice the "
                "size of log.sqlite3 besides it. Nothing was changed. Free some space, or start `run` without "
                "--rebuild."
            ) from error
        raise


class _Partition:
    """How far one partition has been read."""

    __slots__ = ("clock", "last", "next_offset")

    def __init__(self) -> None:
        self.clock = EffectiveClock()
        self.last: Admitted | None = None
        self.next_offset = 0


class _Reading:
    """Brings every event to the sorter, once, and finds out whether they stand in order already."""

    def __init__(self, log: EmbeddedLog, sorter: EventSorter, progress: Progress) -> None:
        self._log = log
        self._sorter = sorter
        self._progress = progress
        self._partitions = [_Partition() for _ in range(log.partitions)]
        self.in_order = True
        self.events = 0
        self.last_tick: tuple[int, bytes] | None = None  # its grid point and the event

    def go_on(self) -> None:
        """Read on to the end of the log as it stands at the call, at least."""
        for number, partition in enumerate(self._partitions):
            end = self._log.end_offset(EVENTS, number)
            while partition.next_offset < end:
                records = self._log.read(EVENTS, number, partition.next_offset)
                for record in records:
                    self._take(record, partition)
                partition.next_offset = records[-1].offset + 1 if records else end

    def _take(self, record: LogRecord, partition: _Partition) -> None:
        clock = partition.clock
        for index, (raw, event) in enumerate(decode_pack(record.value)):
            if isinstance(event, Rejected):
                at_us = record.timestamp_us if clock.untouched else clock.floor_us
                value = raw if raw == record.value else b"[%b]" % raw  # an element may itself be an array
                name = f"{record.partition:03}/{record.offset:013}/{index:06}"
                self._sorter.add(Admitted(at_us, "", _NO_EVENT, name, "", value))
            elif isinstance(event, ClockTicked):
                at_us = to_us(event.data.at)
                clock.tick(at_us)
                if at_us < YEAR_2089_US and (self.last_tick is None or at_us > self.last_tick[0]):
                    self.last_tick = at_us, raw
            else:
                self._event(record, raw, event, partition)

    def _event(self, record: LogRecord, raw: bytes, event: Event, partition: _Partition) -> None:
        stated_us = record.timestamp_us if event.recordedtime is None else to_us(event.recordedtime)
        key = route(event)
        if key is EVERYWHERE and (before_us := raised_from_us(raw)) is not None:
            stated_us = before_us
            self.in_order = False
        effective_us = partition.clock.stamp(stated_us)
        if stated_us >= YEAR_2089_US:  # not believed; it keeps its place
            stated_us = effective_us
        else:
            raw = with_recorded(raw, stated_us)
        one = Admitted(stated_us, normal_sequence(event.sequence), intern(event.source), event.id, key or "", raw)
        if stated_us != effective_us or (partition.last is not None and _is_before(one, partition.last)):
            self.in_order = False
        partition.last = one
        if key is not EVERYWHERE or partition_of(event.subject, len(self._partitions)) == record.partition:
            self._sorter.add(one)
            self.events += 1
            self._progress(self.events, 0)


def _is_before(one: Admitted, other: Admitted) -> bool:
    if one[:4] != other[:4]:
        return one[:4] < other[:4]
    return _canonical(one.raw) < _canonical(other.raw)


def _canonical(raw: bytes) -> tuple[bytes, bytes]:
    return canonical_body(decode(raw)), raw


def _write(log: EmbeddedLog, params: Params, events: Iterable[Admitted], reading: _Reading, progress: Progress) -> int:
    """Append the events with the ticks between; how many grid points."""
    appender = Appender(log)
    reached_us: int | None = None
    for event in events:
        if reached_us is not None:
            for at_us in ticks_between(reached_us, event.recorded_us, params.tick_us):
                appender.tick(at_us)
            reached_us = event.recorded_us
        if event.source == _NO_EVENT:
            record = NewRecord(EVENTS, int(event.id[:3]), event.raw, timestamp_us=event.recorded_us)
            appender.flush([record])
            continue
        reached_us = event.recorded_us
        appender.add(event)
        progress(reading.events, appender.events)
    if reached_us is not None:
        for at_us in ticks_between(reached_us, reached_us + 1, params.tick_us):
            appender.tick(at_us)
    if reading.last_tick is not None and (reached_us is None or reading.last_tick[0] > reached_us):
        appender.tick(*reading.last_tick)
    appender.flush()
    return appender.ticks
