"""A Faust transport over the embedded log: ``faust.App(broker="sqlite:///absolute/directory")`` needs no server.

Faust's agents, tables, conductor and fetcher run on it unchanged; what a broker does is done here:

* one consumer, to which all partitions of the subscribed topics are assigned at once, by Faust's own assignor;
* records are ranges read from the log, as raw bytes; a record appended by another process is seen within
  ``POLL_S``, because SQLite tells cheaply whether another connection has committed;
* "committed offsets" are the headers that checkpoints write together with state and outputs, so Faust's
  acknowledgements decide nothing and are not even collected (topics are declared with ``acks=False``);
* nothing is produced through Faust: outputs and changelogs are written by the checkpoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from faust.transport import base as faust_base
from faust.transport import consumer as faust_consumer
from faust.transport import producer as faust_producer
from faust.transport.drivers import TRANSPORTS
from faust.types import TP, ConsumerMessage, Message
from mode import Service

from monitor.log.embedded import EmbeddedLog, LogRecord

SCHEME: Final = "sqlite"
POLL_S: Final = 0.05
_BATCH_RECORDS: Final = 200
_BATCH_BYTES: Final = 1 << 20
_RECORDS_PER_TURN: Final = 50


def broker_url(directory: Path) -> str:
    """The ``broker`` setting of a Faust app for the log in ``directory``."""
    return directory.absolute().as_uri().replace("file:", f"{SCHEME}:", 1)


def register() -> None:
    """Make the scheme known to Faust; harmless when repeated."""
    TRANSPORTS.aliases[SCHEME] = f"{__name__}:Transport"


class _Cluster:
    """What Faust's assignor asks of a Kafka cluster."""

    def __init__(self, partitions: Mapping[str, int]) -> None:
        self._partitions = partitions

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self._partitions.get(topic, 0)))


class Consumer(faust_consumer.Consumer):  # type: ignore[misc]
    """Reads the subscribed topics from the log."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._log: EmbeddedLog = self.transport.log
        self._assigned: set[TP] = set()
        self._positions: dict[TP, int] = {}
        self._seen_version = -1

    async def on_stop(self) -> None:
        """Stop, and close the log that the transport has opened."""
        await super().on_stop()
        self._log.close()

    # Assignment

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Take all partitions of ``topics``; Faust's callbacks follow in a task, as with a broker."""
        self.add_future(self._assign(sorted(topics)))

    async def _assign(self, topics: list[str]) -> None:
        app = self.app
        app.on_rebalance_start()
        if self._assigned:
            await self.on_partitions_revoked(set(self._assigned))
        counts = {topic: count for topic in topics if (count := self.topic_partitions(topic))}
        members = app.assignor.assign(_Cluster(counts), {"only": app.assignor.metadata(set(counts))})
        app.assignor.on_assignment(members["only"])
        self._assigned = {TP(topic, p) for topic, ps in members["only"].assignment for p in ps}
        app.consumer_generation_id += 1
        await self.on_partitions_assigned(set(self._assigned), app.consumer_generation_id)

    def assignment(self) -> set[TP]:
        """The partitions this consumer reads: all of the subscribed topics."""
        return self._assigned

    def topic_partitions(self, topic: str) -> int | None:
        """The number of partitions of a topic of the log, or of a table's changelog; ``None`` for others."""
        table = self.app.tables._changelogs.get(topic)
        if table is not None:
            partitions: int = table.partitions
            return partitions
        return self._log.topics().get(topic)

    # Positions

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go to where the folds are, by the headers of their checkpoints, and return these positions."""
        headers = self._log.headers()
        for tp in self._assigned - self._changelogs():
            self._positions[tp] = headers.get((tp.topic, tp.partition), 0)
        return dict(self._positions)

    def _changelogs(self) -> set[TP]:
        return {tp for tp in self._assigned if tp.topic in self.app.tables.changelog_topics}

    async def position(self, tp: TP) -> int | None:
        """The offset of the next record to be fetched."""
        return self._positions.get(tp)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Fetch each of ``partitions`` from the given offset on."""
        self._positions.update(partitions)

    async def _seek(self, partition: TP, offset: int) -> None:
        self._positions[partition] = offset

    def highwater(self, tp: TP) -> int:
        """The end of what has been fetched; Faust asks at every record, to keep statistics."""
        return self._positions[tp]

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """For each of ``partitions`` the offset that its next record gets."""
        changelogs = self.app.tables._changelogs
        return {
            tp: self._log.changelog_end(changelogs[tp.topic].name, tp.partition)
            if tp.topic in changelogs
            else self._log.end_offset(tp.topic, tp.partition)
            for tp in partitions
        }

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """For each of ``partitions`` the first offset; changelogs are compacted but begin at 0."""
        return dict.fromkeys(partitions, 0)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        return True

    # Records

    async def _getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,
    ) -> dict[TP, list[LogRecord]]:
        """Records of the active partitions, as soon as there are any; empty after ``timeout`` seconds."""
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            self._seen_version = self._log.data_version()
            records = self._read(active_partitions or set())
            if records:
                return records
            while self._seen_version == self._log.data_version():
                if self.should_stop or asyncio.get_running_loop().time() >= deadline:
                    return {}
                await asyncio.sleep(POLL_S)

    def _read(self, active_partitions: set[TP]) -> dict[TP, list[LogRecord]]:
        found = {}
        for tp in sorted(active_partitions - self._changelogs()):
            records = self._log.read(tp.topic, tp.partition, self._positions[tp], _BATCH_RECORDS, _BATCH_BYTES)
            if records:
                self._positions[tp] = records[-1].offset + 1
                found[tp] = records
        return found

    async def _drain_messages(self, fetcher: Service) -> None:
        # Faust's own loop starts two tasks for every record, so that a rebalance can interrupt it. Here partitions
        # never go to another worker, and a fetcher that is stopped has its task cancelled.
        unyielded = 0
        while not (self.should_stop or fetcher.should_stop):
            async for tp, message in self.getmany(timeout=1.0):
                await self.callback(message)
                self._read_offset[tp] = message.offset
                unyielded += 1
                if unyielded == _RECORDS_PER_TURN:
                    unyielded = 0
                    await asyncio.sleep(0)

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: the fetcher waits at the full queue.

        Faust would stop fetching ``tp``, and once no partition is left it sleeps for a second, however soon the
        agent has caught up.
        """

    def on_buffer_drop(self, tp: TP) -> None:
        """Do nothing, as for a full buffer."""

    def _to_message(self, tp: TP, record: LogRecord) -> Message:
        return ConsumerMessage(
            record.topic,
            record.partition,
            record.offset,
            record.timestamp_us / 1e6,
            0,
            [],
            record.key,
            record.value,
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    async def create_topic(self, topic: str, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the log has its topics from its creation on."""

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        """The partition a writer has chosen; records are never written through Faust."""
        return partition


class Producer(faust_producer.Producer):  # type: ignore[misc]
    """Faust asks for a producer; outputs do not pass through it but through the checkpoint."""

    async def create_topic(self, topic: str, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the log has its topics from its creation on."""


class Transport(faust_base.Transport):  # type: ignore[misc]
    """The broker of one process: the log in the directory that the URL names."""

    Consumer = Consumer
    Producer = Producer
    driver_version = "sqlite"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.log = EmbeddedLog.open(Path(unquote(self.url[0].raw_path)), create=False, read_only=True)
