"""Appending while others append, too: an optimistic transaction.

Kafka gives nobody a lock on a partition. So a writer looks where the partitions end, makes its records for that, and
sends them inside a transaction; from the answers it learns which offsets they got. Where they are not the expected
ones, somebody else's records came between. It commits if its records are right all the same, or else gives the
transaction up and begins again, each time putting what must hold in all partitions further ahead.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

from confluent_kafka import KafkaError

from monitor.log.kafka.client import KafkaSettings
from monitor.log.kafka.errors import explain
from monitor.log.kafka.offsets import Place
from monitor.log.kafka.reading import EXPECTED, TIMESTAMP, Message, Reader, record_of
from monitor.log.kafka.tails import Tails, reached
from monitor.log.kafka.transactions import TransactionalProducer
from monitor.log.protocol import Make
from monitor.log.records import FencedError, LogBusyError, LogError, LogRecord, NewRecord
from monitor.log.topics import EVENTS

_LOG: Final = logging.getLogger(__name__)
TRANSACTION_S: Final = 20.0
_ATTEMPTS: Final = 20
_FIRST_MARGIN_US: Final = 1_000_000
_LAST_MARGIN_US: Final = 16_000_000
_FIRST_PAUSE_S: Final = 0.05  # at most, between two attempts; random, so that two writers do not meet again
_LAST_PAUSE_S: Final = 1.0
_SETTLE_S: Final = 2.0
_VISIBLE_S: Final = 2.0
_ASK_AGAIN_S: Final = 1.0


class _Sent(NamedTuple):
    """Records of a transaction, the offsets they got, and those that were expected (None: of no matter)."""

    records: Sequence[NewRecord]
    places: Sequence[Place]
    offsets: list[int]
    expected: Sequence[int | None]


class Writer:
    """Appends to the topics of one log. Safe for threads, which wait for each other. ``place_of`` gives the full name
    of a topic with the partition, or raises :class:`LogError` if there is none.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        reader: Reader,
        partitions: int,
        place_of: Callable[[str, int], Place],
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._place_of = place_of
        self._events = [place_of(EVENTS, partition) for partition in range(partitions)]
        self._tails = Tails(reader)
        self._transactional_id = f"{settings.topic_prefix}writer-{uuid.uuid4()}"
        self._producer: TransactionalProducer | None = None
        self._lock = threading.RLock()
        self._making = False
        self._ends: dict[Place, int] = {}  # while records are made: where the partitions ended at the first question
        self._noted: dict[int, int] = {}  # the ends that the maker of the records has seen

    def append_made(self, make: Make) -> list[int]:
        """See :meth:`monitor.log.protocol.Log.append_made`. Blocks until the brokers have it; while they are away, and
        nothing has been written, for ``timeout_s`` at most.
        """
        with self._lock:
            deadline = time.monotonic() + self._settings.timeout_s
            margin_us = conflicts = 0
            while True:
                try:
                    offsets = self._attempt(make, margin_us)
                except (LogBusyError, FencedError) as error:
                    # Nobody else has our transactional id, so "fenced" is the brokers' word for "took too long".
                    if time.monotonic() > deadline:
                        raise LogBusyError(str(error)) from error
                else:
                    if offsets is not None:
                        return offsets
                    conflicts += 1
                    if conflicts == _ATTEMPTS:
                        raise LogBusyError(
                            f"{self._settings.name}: other programs append so fast that events for all partitions "
                            "find no place between theirs; try again when there is less to do."
                        )
                    margin_us = min(max(2 * margin_us, _FIRST_MARGIN_US), _LAST_MARGIN_US)
                pause_s = min(_FIRST_PAUSE_S * 2**conflicts, _LAST_PAUSE_S)
                time.sleep(random.uniform(0, pause_s))  # noqa: S311 (no secret)

    def last_records(self, partition: int) -> tuple[int, list[LogRecord]]:
        """See :meth:`monitor.log.protocol.Log.last_records`."""
        place = self._place_of(EVENTS, partition)
        with self._lock:
            if not self._making:
                end = self._reader.end(place)
            else:
                if not self._ends:
                    self._ends = self._settled()
                end = self._noted[partition] = self._ends[place]
            furthest = self._tails.furthest(place, end)
            return end, [] if furthest is None else [furthest]

    def _settled(self) -> dict[Place, int]:
        """Where the partitions end, once the transactions that are open have ended; the one that stays open long, of a
        writer that died, is not waited for.

        What is not committed does not count, for it may be given up: a tick that another writer has not committed is
        not there. Should it lie between after all, :meth:`_hold` sees it.
        """
        durable = self._reader.ends(self._events, committed=False)
        for place, end in durable.items():
            self._tails.durable(place, end)
        with suppress(LogBusyError):
            return self._reader.ends_beyond(durable, _SETTLE_S)
        return self._reader.ends(self._events)

    def close(self) -> None:
        """Give back what is held."""
        with self._lock:
            if self._producer is not None:
                self._producer.close()
                self._producer = None

    # One attempt

    def _attempt(self, make: Make, margin_us: int) -> list[int] | None:
        """The offsets; None, and nothing is written, if the records do not hold where they are."""
        records = self._made(make, margin_us)
        if not records:
            return []
        places = [self._place_of(record.topic, record.partition) for record in records]
        producer = self._opened()
        producer.begin()
        try:
            sent = self._send(producer, records, places)
            holds = self._hold(sent)
        except BaseException:
            producer.give_up()
            raise
        if not holds:
            producer.abort()
            return None
        try:
            producer.commit()
        except LogError as error:
            if producer.usable:
                raise
            if not self._was_committed(sent):
                raise LogBusyError(str(error)) from error  # a new producer may do better
        self._remember(sent)
        return sent.offsets

    def _made(self, make: Make, margin_us: int) -> list[NewRecord]:
        self._ends, self._noted, self._making = {}, {}, True
        try:
            return make(margin_us)
        finally:
            self._making = False

    def _opened(self) -> TransactionalProducer:
        if self._producer is not None and not self._producer.usable:
            self._producer.close()
            self._producer = None
        if self._producer is None:
            producer = TransactionalProducer(self._settings, self._transactional_id, TRANSACTION_S)
            try:
                producer.open()
            except BaseException:
                producer.close()
                raise
            self._producer = producer
        return self._producer

    def _send(self, producer: TransactionalProducer, records: Sequence[NewRecord], places: Sequence[Place]) -> _Sent:
        sent = _Sent(records, places, [-1] * len(records), self._expected(records))
        failures: list[KafkaError] = []
        for i, (record, (topic, partition)) in enumerate(zip(records, places, strict=True)):
            headers = [(TIMESTAMP, b"%d" % record.timestamp_us)]
            if (expected := sent.expected[i]) is not None:
                headers.append((EXPECTED, b"%d" % expected))
            producer.produce(
                topic,
                partition,
                record.key,
                record.value,
                timestamp=max(record.timestamp_us // 1_000, 1),  # 0 would mean now, and less is refused
                headers=headers,
                on_delivery=partial(_delivered, sent.offsets, failures, i),
            )
        producer.flush()
        if failures:
            raise explain(failures[0], self._settings, again=True)
        return sent

    def _expected(self, records: Sequence[NewRecord]) -> list[int | None]:
        following = dict(self._noted)
        expected: list[int | None] = []
        for record in records:
            offset = following.get(record.partition) if record.topic == EVENTS else None
            expected.append(offset)
            if offset is not None:
                following[record.partition] = offset + 1
        return expected

    def _hold(self, sent: _Sent) -> bool:
        """Whether the records are right where they are: nothing that came between is recorded after they hold."""
        mine: dict[Place, set[int]] = defaultdict(set)
        bounds: dict[Place, list[tuple[int, int]]] = defaultdict(list)  # (offset, holds until)
        for record, place, offset, expected in zip(*sent, strict=True):
            mine[place].add(offset)
            if record.holds_until_us is not None and expected is not None and offset != expected:
                bounds[place].append((offset, record.holds_until_us))
        for place, bound in bounds.items():
            for message in self._reader.read(place, self._noted[place[1]], max(bound)[0], committed=False):
                between = message.offset()
                if between in mine[place]:
                    continue
                reached_us = reached(record_of(EVENTS, message))
                if any(between < offset and reached_us > until_us for offset, until_us in bound):
                    return False
        return True

    def _remember(self, sent: _Sent) -> None:
        """Wait until readers see what was written; then the next attempt need not read it."""
        last = {place: i for i, place in enumerate(sent.places)}
        if self._reader.are_visible({place: sent.offsets[i] for place, i in last.items()}, _VISIBLE_S):
            for place, i in last.items():
                record, offset = sent.records[i], sent.offsets[i]
                if record.topic == EVENTS and offset == sent.expected[i]:
                    written = LogRecord(EVENTS, place[1], offset, record.key, record.value, record.timestamp_us)
                    self._tails.written(place, written)

    def _was_committed(self, sent: _Sent) -> bool:
        """What became of a transaction whose producer broke down at the commit.

        A new producer with the same id makes the brokers settle what the old one left; then it is there, or it never
        will be. Asks until it is known.
        """
        place, offset = sent.places[0], sent.offsets[0]
        while True:
            try:
                self._opened()
                end = self._reader.settled_ends([place])[place]
                found = self._reader.read(place, offset, min(offset + 1, end))
                return any(message.offset() == offset for message in found)
            except LogBusyError as error:
                _LOG.warning("the outcome of a transaction is not known yet: %s", error)
                time.sleep(_ASK_AGAIN_S)


def _delivered(
    offsets: list[int], failures: list[KafkaError], index: int, error: KafkaError | None, message: Message
) -> None:
    if error is not None:
        failures.append(error)
    else:
        offsets[index] = message.offset()
