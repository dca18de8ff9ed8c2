"""A Faust transport over the embedded log: no server is needed.

Faust's agents, conductor and fetcher run on it unchanged; what a broker does is done here:

* one consumer, to which all partitions of the subscribed topics are assigned at once, by Faust's own assignor;
* records are ranges read from the log, as raw bytes; a record appended by another process is seen within
  ``POLL_S``, because SQLite tells cheaply whether another connection has committed;
* "committed offsets" are the positions that checkpoints write together with state and outputs, so Faust's
  acknowledgements decide nothing and are not even collected (topics are declared with ``acks=False``);
* nothing is produced through Faust: outputs and state are written by the checkpoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from faust.transport import base as faust_base
from faust.types import TP
from yarl import URL

from monitor.log.embedded.log import EmbeddedLog
from monitor.log.embedded.state import EmbeddedState
from monitor.log.faust_reading import FoldMessage, NoProducer, ReadingMixin
from monitor.log.records import LogRecord, Shard
from monitor.log.topics import CONTRIBUTIONS, EVENTS

POLL_S: Final = 0.05
_BATCH_RECORDS: Final = 200
_BATCH_BYTES: Final = 1 << 20


class EmbeddedBackend:
    """Implements :class:`~monitor.log.protocol.Backend` for one process."""

    def __init__(self, log: EmbeddedLog) -> None:
        self._log = log
        self.store = EmbeddedState(log)
        self.partitions = {EVENTS: log.partitions, CONTRIBUTIONS: 1}
        self.directory: Path | None = log.directory

    @property
    def group(self) -> str:
        """The only worker's."""
        return "channel-monitor"

    def transport(self, app: Any) -> faust_base.Transport:
        """A transport with a connection of its own: this one is for the tables."""
        return Transport([URL("embedded://")], app, log=EmbeddedLog.open(self._log.directory, read_only=True))

    def topic(self, source: str) -> str:
        """Its own name."""
        return source

    def hold(self) -> AbstractContextManager[None]:
        """One `run` a directory."""
        return self._log.exclusive()

    async def bounds(self, shard: Shard) -> tuple[int, int]:
        """The first offset that is kept and the one behind the last."""
        return self._log.first_offset(*shard), self._log.end_offset(*shard)

    def lag(self, consumer: Any, shard: Shard, next_offset: int) -> int:
        """Records behind ``next_offset``: offsets have no gaps here."""
        del consumer
        return self._log.end_offset(*shard) - next_offset

    async def report(self, consumer: Any, positions: Mapping[Shard, int]) -> None:
        """Do nothing: the checkpoint holds the positions."""


class _Cluster:
    """What Faust's assignor asks of a Kafka cluster."""

    def __init__(self, partitions: Mapping[str, int]) -> None:
        self._partitions = partitions

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self._partitions.get(topic, 0)))


class Consumer(ReadingMixin):
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
        """The number of partitions of a topic of the log; ``None`` for others."""
        return self._log.topics().get(topic)

    # Positions

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go to where the folds are, and return these positions."""
        self._positions.update({tp: self.app.fold_position(tp) for tp in self._assigned})
        return dict(self._positions)

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
        return {tp: self._log.end_offset(tp.topic, tp.partition) for tp in partitions}

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """For each of ``partitions`` the first offset that is kept."""
        return {tp: self._log.first_offset(tp.topic, tp.partition) for tp in partitions}

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
        for tp in sorted(active_partitions):
            records = self._log.read(tp.topic, tp.partition, self._positions[tp], _BATCH_RECORDS, _BATCH_BYTES)
            if records:
                self._positions[tp] = records[-1].offset + 1
                found[tp] = records
        return found

    def _to_message(self, tp: TP, record: LogRecord) -> FoldMessage:
        return FoldMessage(
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
            follows=record.offset,
            foreign=record.foreign,
        )

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    async def create_topic(self, topic: str, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the log has its topics from its creation on."""

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        """The partition a writer has chosen; records are never written through Faust."""
        return partition


class Transport(faust_base.Transport):  # type: ignore[misc]
    """The broker of one process: ``log``, which the consumer closes."""

    Consumer = Consumer
    Producer = NoProducer
    driver_version = "sqlite"

    def __init__(self, *args: Any, log: EmbeddedLog, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.log = log
