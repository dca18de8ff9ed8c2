"""Reading partitions from one offset to another."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from monitor.log.kafka.client import KafkaSettings
from monitor.log.kafka.errors import HOPELESS, Troubles, explain
from monitor.log.kafka.offsets import Offsets, Place
from monitor.log.records import LogRecord

#: A record's timestamp in µs, as decimal digits; Kafka's own knows only milliseconds. Every record of this program
#: bears one, none of another's does.
TIMESTAMP: Final = "timestamp_us"
#: The offset that the writer expected the record to get, as decimal digits. Where it is the true one, the record's
#: timestamp is the time that its partition has come to.
EXPECTED: Final = "expected"

#: The generation whose fold wrote the record; no header where it came from outside.
GENERATION: Final = "generation"

Message = Any  # the client's own type says of every part that it may be None, for the messages that are errors
_MESSAGES_AT_ONCE: Final = 2_000
_POLL_S: Final = 0.1
_IDLE_CONSUMERS: Final = 8  # each has threads of its own


class Reader(Offsets):
    """Reads one cluster. Safe for threads; an iterator belongs to the thread that began it.

    Every method blocks, for ``timeout_s`` at most without progress, then it raises :class:`LogBusyError`; for what
    cannot succeed, :class:`LogError`.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__(settings)
        self._troubles = Troubles()
        self._idle: dict[bool, deque[Consumer]] = {True: deque(), False: deque()}

    def read(self, place: Place, start: int, end: int, *, committed: bool = True) -> Iterator[Message]:
        """The records of one place from ``start`` (or the first that is kept) up to ``end``, which must not lie behind
        :meth:`end`. Not ``committed``: also those of transactions that are open or were given up.
        """
        return self.read_all({place: (start, end)}, committed=committed)

    def read_all(self, ranges: Mapping[Place, tuple[int, int]], *, committed: bool = True) -> Iterator[Message]:
        """:meth:`read` of several places at once; records of one place come in their order."""
        left = {place: end for place, (start, end) in ranges.items() if start < end}
        if not left:
            return
        with self._consumer(committed) as consumer:
            for topic in sorted({topic for topic, _ in left}):
                self._meet(consumer, topic)
            consumer.assign([TopicPartition(*place, ranges[place][0]) for place in left])
            deadline = time.monotonic() + self._settings.timeout_s
            trouble = KafkaError(KafkaError._TIMED_OUT)
            while left:
                first = consumer.poll(_POLL_S)
                messages: list[Message] = [] if first is None else [first, *consumer.consume(_MESSAGES_AT_ONCE, 0)]
                for message in messages:
                    error = message.error()
                    if error is not None and error.code() != KafkaError._PARTITION_EOF:
                        if error.code() in HOPELESS:
                            raise explain(error, self._settings, self._troubles)
                        trouble = error
                        continue
                    place, offset = (message.topic(), message.partition()), message.offset()
                    end = left.get(place)
                    if end is None:
                        continue
                    if error is None and offset < end:
                        yield message
                        deadline = time.monotonic() + self._settings.timeout_s
                        offset += 1
                    # The last ones below the end may be none for us: marks of transactions, or given up.
                    if offset >= end:
                        del left[place]
                if time.monotonic() > deadline:
                    raise explain(trouble, self._settings, self._troubles, again=True)

    def _meet(self, consumer: Consumer, topic: str) -> None:
        """Let a consumer know the leaders of a topic; by itself it asks for those of a new one only after a second."""
        try:
            consumer.list_topics(topic, self._settings.timeout_s)
        except KafkaException as error:
            if error.args[0].code() in HOPELESS:
                raise explain(error, self._settings, self._troubles) from error

    @contextmanager
    def _consumer(self, committed: bool) -> Iterator[Consumer]:
        idle = self._idle[committed]
        try:
            consumer = idle.pop()
        except IndexError:
            consumer = Consumer({**self._settings.reader(committed=committed), "error_cb": self._troubles.note})
        try:
            yield consumer
        finally:
            if self._closed or len(idle) >= _IDLE_CONSUMERS:
                consumer.close()
            else:
                consumer.unassign()
                idle.append(consumer)

    def close(self) -> None:
        """Close the connections; closing twice does no harm."""
        super().close()
        for idle in self._idle.values():
            while idle:
                idle.pop().close()


def derived_by(message: Message) -> str | None:
    """The generation whose fold wrote a record; ``None`` for what came from outside."""
    for name, value in message.headers() or ():
        if name == GENERATION:
            return str(value, "ascii", "replace")
    return None


def record_of(topic: str, message: Message) -> LogRecord:
    """A message as a record of ``topic`` (its name without prefix)."""
    headers = message.headers()
    timestamp_us = None
    if headers is not None:
        for name, value in headers:
            if name == TIMESTAMP:
                timestamp_us = int(value)
    return LogRecord(
        topic,
        message.partition(),
        message.offset(),
        message.key(),
        message.value() or b"",
        message.timestamp()[1] * 1_000 if timestamp_us is None else timestamp_us,
        timestamp_us is None,
    )
