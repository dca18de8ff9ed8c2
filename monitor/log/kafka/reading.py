"""Reading partitions from one offset to another, and asking where they begin and end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # it is exported

from monitor.log.kafka.client import KafkaSettings
from monitor.log.kafka.errors import HOPELESS, Troubles, explain
from monitor.log.records import LogBusyError, LogError, LogRecord

#: A record's timestamp in µs, as decimal digits; Kafka's own knows only milliseconds. Every record of this program
#: bears one, none of another's does.
TIMESTAMP: Final = "timestamp_us"
#: The offset that the writer expected the record to get, as decimal digits. Where it is the true one, the record's
#: timestamp is the time that its partition has come to.
EXPECTED: Final = "expected"

#: The generation whose fold wrote the record; no header where it came from outside.
GENERATION: Final = "generation"

Place = tuple[str, int]  # full name of a topic, partition
Message = Any  # the client's own type says of every part that it may be None, for the messages that are errors
_WHERE: Any = OffsetSpec  # its methods have no types
_MESSAGES_AT_ONCE: Final = 2_000
_POLL_S: Final = 0.1
_FIRST_PROBE_S: Final = 0.5


class Reader:
    """Reads one cluster. Safe for threads; an iterator belongs to the thread that began it.

    Every method blocks, for ``timeout_s`` at most without progress, then it raises :class:`LogBusyError`; for what
    cannot succeed, :class:`LogError`.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._troubles = Troubles()
        config: dict[str, Any] = {**settings.librdkafka(), "error_cb": self._troubles.note}
        self._client = AdminClient(config)
        self._idle: dict[bool, deque[Consumer]] = {True: deque(), False: deque()}
        self._closed = False

    def probe(self) -> None:
        """Wait until a broker answers; at once with the reason if it does not let us in."""
        deadline = time.monotonic() + self._settings.timeout_s
        while True:
            try:
                self._client.list_topics(timeout=_FIRST_PROBE_S)
                return
            except KafkaException as error:
                self._client.poll(0)
                reason = self._troubles.decisive
                if reason is not None:
                    raise explain(reason, self._settings) from error
                if error.args[0].code() in HOPELESS or time.monotonic() >= deadline:
                    raise explain(error, self._settings, self._troubles) from error

    # Where partitions begin and end

    def starts(self, places: Iterable[Place]) -> dict[Place, int]:
        """The first offset that is kept, for each place."""
        return self._offsets(dict.fromkeys(places, _WHERE.earliest()), committed=False)

    def ends(self, places: Iterable[Place], *, committed: bool = True) -> dict[Place, int]:
        """The offset behind the last record that can be read, for each place: one answer per broker, so at one moment
        if one broker leads them all. Not ``committed``: behind the last record that is durable, whosever it is.
        """
        return self._offsets(dict.fromkeys(places, _WHERE.latest()), committed=committed)

    def end(self, place: Place, *, committed: bool = True) -> int:
        """:meth:`ends` of one place."""
        return self.ends([place], committed=committed)[place]

    def first_since(self, place: Place, time_ms: int) -> int | None:
        """The offset of the first record with a timestamp from ``time_ms`` on; None if there is none."""
        offset = self._offsets({place: _WHERE.for_timestamp(time_ms)}, committed=False)[place]
        return None if offset < 0 else offset

    def settled_ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """:meth:`ends`, once every transaction that is open now has ended; others may have been opened since."""
        return self._ends_beyond(self.ends(places, committed=False), self._settings.timeout_s)

    def wait_until_visible(self, last: Mapping[Place, int], at_most_s: float) -> None:
        """Wait until readers see the committed records at these offsets; raises nothing. The marks of a commit are set
        after it was confirmed; and a transaction that was begun before, and is still open, hides it as long.
        """
        with suppress(LogError):
            self._ends_beyond({place: offset + 1 for place, offset in last.items()}, at_most_s)

    def _ends_beyond(self, least: Mapping[Place, int], at_most_s: float) -> dict[Place, int]:
        deadline = time.monotonic() + at_most_s
        pause_s = 0.001
        while True:
            ends = self._offsets(dict.fromkeys(least, _WHERE.latest()), committed=True, at_most_s=at_most_s)
            behind = [place for place, end in least.items() if ends[place] < end]
            if not behind:
                return ends
            if time.monotonic() > deadline:
                raise LogBusyError(
                    f"{self._settings.name}: a transaction in {behind[0][0]} stays open; "
                    "brokers end it after a while, then try again."
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.1)

    def _offsets(self, specs: dict[Place, Any], *, committed: bool, at_most_s: float | None = None) -> dict[Place, int]:
        if not specs:
            return {}
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        timeout_s = self._settings.timeout_s if at_most_s is None else at_most_s
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                asked = self._client.list_offsets(
                    {TopicPartition(*place): spec for place, spec in specs.items()},
                    isolation_level=level,
                    request_timeout=timeout_s,
                )
                self._client.poll(0)
                return {(place.topic, place.partition): answer.result().offset for place, answer in asked.items()}
            except KafkaException as error:
                if error.args[0].code() in HOPELESS or time.monotonic() > deadline:
                    raise explain(error, self._settings, self._troubles, again=True) from error
                with suppress(KafkaException):  # who leads since when is asked again for minutes only otherwise
                    self._client.list_topics(timeout=_POLL_S)
                time.sleep(_POLL_S)

    # Records

    def read(self, place: Place, start: int, end: int, *, committed: bool = True) -> Iterator[Message]:
        """The records of one place from ``start`` (or the first that is kept) up to ``end``, which must not lie behind
        :meth:`end`. Not ``committed``: also those of transactions that are open or were given up.
        """
        if start >= end:
            return
        with self._consumer(committed) as consumer:
            self._meet(consumer, place[0])
            consumer.assign([TopicPartition(*place, start)])
            deadline = time.monotonic() + self._settings.timeout_s
            trouble = KafkaError(KafkaError._TIMED_OUT)
            while True:
                first = consumer.poll(_POLL_S)
                messages: list[Message] = [] if first is None else [first, *consumer.consume(_MESSAGES_AT_ONCE, 0)]
                for message in messages:
                    error = message.error()
                    if error is None:
                        offset = message.offset()
                        if offset >= end:
                            return
                        yield message
                        if offset + 1 >= end:
                            return
                        deadline = time.monotonic() + self._settings.timeout_s
                    elif error.code() == KafkaError._PARTITION_EOF:
                        # The records below the end may be none for us: marks of transactions, or given up.
                        if message.offset() >= end:
                            return
                    elif error.code() in HOPELESS:
                        raise explain(error, self._settings, self._troubles)
                    else:
                        trouble = error
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
            if self._closed:
                consumer.close()
            else:
                consumer.unassign()
                idle.append(consumer)

    def close(self) -> None:
        """Close the connections; closing twice does no harm."""
        self._closed = True
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
