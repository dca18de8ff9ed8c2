"""How far partitions of ``events`` have come, without reading them whole.

Every record of this program tells in a header the offset that its writer expected for it, where he knew the end of the
partition. If that is the true one, nothing came between, and the record's timestamp covers everything before it;
otherwise the records from there on have to be looked at. Records of other producers tell nothing, so each of them is
looked at, back to one of ours.

What is not committed does not count: it may be given up.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from monitor.core.events import ClockTicked, Rejected, to_us
from monitor.core.ordering import EffectiveClock
from monitor.log.kafka.offsets import Place
from monitor.log.kafka.reading import EXPECTED, Message, Reader, record_of
from monitor.log.records import LogRecord
from monitor.log.topics import EVENTS
from monitor.wire.decode import decode_pack

_FIRST_LOOK: Final = 16  # offsets looked back at once
_LOOK_FACTOR: Final = 4
_LAST_LOOK: Final = 1_024


class Tail(NamedTuple):
    """Of the committed records of a partition before the offset ``end``, one that brings it furthest."""

    end: int
    furthest: LogRecord | None


def reached(record: LogRecord) -> int:
    """How far a record brings its partition: the least recorded time (µs) that an event behind it can have."""
    clock = EffectiveClock()
    if not record.foreign:
        clock.stamp(record.timestamp_us)
    for _, event in decode_pack(record.value):
        if isinstance(event, Rejected):
            continue
        if isinstance(event, ClockTicked):
            clock.tick(to_us(event.data.at))
        else:
            clock.stamp(record.timestamp_us if event.recordedtime is None else to_us(event.recordedtime))
    return clock.floor_us


class Tails:
    """The tails of all partitions of one log, looked at again only where they have grown. Not safe for threads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: dict[Place, Tail] = {}
        self._written: dict[Place, LogRecord] = {}

    def furthest(self, place: Place, end: int) -> LogRecord | None:
        """One of the committed records before ``end`` that bring a place furthest; None if it has none. Blocks while it
        reads; raises :class:`~monitor.log.records.LogError`.
        """
        known = self._known.get(place)
        if known is None or known.end != end:
            known = self._known[place] = Tail(end, self._look_back(place, end, known or Tail(0, None)))
        return known.furthest

    def written(self, place: Place, record: LogRecord) -> None:
        """``record``, the last of a transaction, was committed where it was expected, and readers see it: so it tells
        of everything before it.
        """
        self._known[place] = Tail(record.offset + 1, record)
        self._written[place] = record

    def durable(self, place: Place, end: int) -> None:
        """A place ends there, with all that is committed or not. If that is one behind our last record, only the mark
        of its transaction is between, and nothing need be read.
        """
        record = self._written.get(place)
        if record is not None and end == record.offset + 2:
            self._known[place] = Tail(end, record)

    def _look_back(self, place: Place, end: int, known: Tail) -> LogRecord | None:
        found = known.furthest
        found_us = None if found is None else reached(found)
        needed: int | None = None  # the records from here on count
        low, look, start = end, _FIRST_LOOK, known.end
        while low > start:
            high, low = low, max(low - look, start)
            for message in reversed(list(self._reader.read(place, low, high))):
                offset = message.offset()
                if needed is not None and offset < needed:
                    return found
                record = record_of(EVENTS, message)
                record_us = reached(record)
                if found_us is None or record_us > found_us:
                    found, found_us = record, record_us
                expected = _expected(message)
                if expected == offset:
                    return found
                if expected is not None:
                    needed = expected if needed is None else min(needed, expected)
            if needed is not None and low <= needed:
                return found
            if look == _FIRST_LOOK:
                start = max(start, self._reader.starts([place])[place])
            look = min(look * _LOOK_FACTOR, _LAST_LOOK)
        return found


def _expected(message: Message) -> int | None:
    value = dict(message.headers() or ()).get(EXPECTED)
    return None if value is None else int(value)
