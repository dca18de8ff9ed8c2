"""How Faust reaches the source topics on Kafka: aiokafka's consumer group, with positions that the checkpoints keep.

Everything in which Faust's own Kafka transport is not exact enough is put right here:

* it begins to read where the folds stand, not at offsets that were acknowledged (:meth:`_Thread.seek_to_committed`),
  and only then: what is assigned rests until its state is restored (:class:`_Listener`);
* it sees whole transactions only, and tells with every record from where on it follows (:class:`FoldMessage`), so that
  the engine notices a record that was lost on the way, though offsets have gaps;
* it sends nothing: outputs and state are written by checkpoints (:class:`~monitor.log.kafka.state.KafkaState`). The
  offsets committed for the group are for tools that show lag; nothing depends on them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

import aiokafka
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from yarl import URL

from monitor.log.faust_reading import FoldMessage, NoProducer, ReadingMixin
from monitor.log.kafka.log import KafkaLog
from monitor.log.kafka.reading import TIMESTAMP
from monitor.log.kafka.state import KafkaState
from monitor.log.records import LogError, Shard
from monitor.log.topics import CONTRIBUTIONS, EVENTS

_HEARTBEATS_A_SESSION: Final = 10
_LONGEST_HEARTBEAT_S: Final = 3.0
_REBALANCE_S: Final = 60.0
_HOUR_MS: Final = 3_600_000
_FETCH_BYTES: Final = 4 << 20


class KafkaBackend:
    """Implements :class:`~monitor.log.protocol.Backend` for one of several workers."""

    def __init__(self, log: KafkaLog, *, session_timeout_s: float) -> None:
        self._log = log
        self._generation = log.generation
        self._session_timeout_s = session_timeout_s
        self.store = KafkaState(log)
        self.partitions = {EVENTS: log.partitions, CONTRIBUTIONS: 1}
        self.directory: Path | None = None

    @property
    def group(self) -> str:
        """The consumer group of the generation."""
        return self._log.layout.group(self._generation)

    def transport(self, app: Any) -> driver.Transport:
        """A transport for ``app``."""
        return _Transport(
            [URL("kafka://")], app, log=self._log, group=self.group, session_timeout_s=self._session_timeout_s
        )

    def topic(self, source: str) -> str:
        """Its full name."""
        return self._log.layout.topic(source, self._generation)

    def hold(self) -> AbstractContextManager[None]:
        """Nothing: shards are acquired one by one."""
        return nullcontext()

    async def bounds(self, shard: Shard) -> tuple[int, int]:
        """The first offset that is kept and the one behind the last that can be read."""

        def look() -> tuple[int, int]:
            return self._log.first_offset(*shard), self._log.end_offset(*shard)

        return await asyncio.to_thread(look)

    def lag(self, consumer: Any, shard: Shard, next_offset: int) -> int:
        """Records behind ``next_offset`` up to the last stable offset of the last fetch, marks of transactions among
        them; 0 when all that was fetched is folded and nothing is left to fetch."""
        lag: int = consumer.lag(TP(self.topic(shard.topic), shard.partition), next_offset)
        return lag

    async def report(self, consumer: Any, positions: Mapping[Shard, int]) -> None:
        """Commit the positions as the group's offsets, and see whether somebody has begun to fold all anew."""
        said = await asyncio.to_thread(self._log.generations.look)
        if self._generation not in (one.id for one in said.current.values()):
            raise LogError(f"{self._log.name} has begun another generation, to which this worker does not belong.")
        await consumer.report({TP(self.topic(shard.topic), shard.partition): at for shard, at in positions.items()})


class _Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Runs aiokafka's consumer in a thread of its own, so that heartbeats go on while records are folded."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.next_offset: dict[TP, int] = {}  # behind the last record fetched, or where reading is to begin

    def _create_worker_consumer(self, transport: _Transport) -> aiokafka.AIOKafkaConsumer:
        session_s = transport.session_timeout_s
        return aiokafka.AIOKafkaConsumer(
            **transport.log.settings.aiokafka(),
            group_id=transport.group,
            partition_assignment_strategy=[StickyPartitionAssignor],
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_poll_records=self.app.conf.broker_max_poll_records,
            max_poll_interval_ms=_HOUR_MS,  # a fold that stands still is the watchdog's business
            max_partition_fetch_bytes=_FETCH_BYTES,
            session_timeout_ms=round(session_s * 1_000),
            heartbeat_interval_ms=round(min(session_s / _HEARTBEATS_A_SESSION, _LONGEST_HEARTBEAT_S) * 1_000),
            rebalance_timeout_ms=round(max(session_s, _REBALANCE_S) * 1_000),
        )

    async def on_thread_stop(self) -> None:
        """Stop; while brokers are away, aiokafka's fetcher ends with an error, which is of no matter then."""
        try:
            await super().on_thread_stop()
        except (Exception, asyncio.CancelledError) as error:
            self.log.debug("consumer not stopped: %r", error)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go to where the folds stand, and return these positions."""
        positions: Mapping[TP, int] = await self.call_thread(self._seek_to_folds)
        return positions

    async def _seek_to_folds(self) -> Mapping[TP, int]:
        consumer = self._ensure_consumer()
        positions = {tp: self.app.fold_position(tp) for tp in self.assignment()}
        for tp, offset in positions.items():
            consumer.seek(TopicPartition(*tp), offset)
            consumer.resume(TopicPartition(*tp))
            self.next_offset[tp] = offset
        return positions

    def hold_back(self, assigned: Iterable[TopicPartition]) -> None:
        """Read nothing of these before the folds say from where."""
        consumer = self._ensure_consumer()
        for partition in assigned:
            consumer.seek(partition, 0)
            consumer.pause(partition)

    async def _fetch_records(self, consumer: aiokafka.AIOKafkaConsumer, *args: Any, **kwargs: Any) -> Any:
        records = await super()._fetch_records(consumer, *args, **kwargs)
        found = {}
        for tp, batch in records.items():
            follows = self.next_offset.get(tp, batch[0].offset)
            rows = []
            for record in batch:
                rows.append((record, follows))
                follows = record.offset + 1
            found[tp] = rows
            self.next_offset[tp] = follows
        return found

    def waiting(self, tp: TP, next_offset: int) -> int:
        """See :meth:`KafkaBackend.lag`."""
        assignment = self._ensure_consumer()._subscription.subscription.assignment
        state = None if assignment is None else assignment.state_value(TopicPartition(*tp))
        if state is None or state.lso is None or not state.has_valid_position:
            return 1  # nothing has been fetched yet, so nobody knows
        if next_offset >= self.next_offset.get(tp, 0):
            # All that was fetched is folded. The position also passes what no record is made of.
            next_offset = max(next_offset, state.position)
        waiting: int = max(0, state.lso - next_offset)
        return waiting

    def highwater(self, tp: TP) -> int:
        """The end of the partition; Faust asks at every record, to keep statistics."""
        return self._ensure_consumer().highwater(tp) or 0

    async def report(self, positions: Mapping[TP, int]) -> None:
        """Commit offsets for the group, if it will have them."""
        await self.call_thread(self._report, positions)

    async def _report(self, positions: Mapping[TP, int]) -> None:
        try:
            held = self.assignment()
            offsets = {TopicPartition(*tp): OffsetAndMetadata(at, "") for tp, at in positions.items() if tp in held}
            if offsets:
                await self._ensure_consumer().commit(offsets)
        except Exception as error:
            self.log.debug("offsets not committed: %r", error)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: the engine's watchdog looks at progress itself."""


class _Listener(driver.ConsumerRebalanceListener):  # type: ignore[misc]
    """Is told by aiokafka of a rebalance, in its thread."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        # By itself aiokafka would read from the group's offsets meanwhile, and fail where there are none.
        self._thread.hold_back(assigned)
        await super().on_partitions_assigned(assigned)


class _Consumer(ReadingMixin, driver.Consumer):  # type: ignore[misc]
    """Reads what the group assigns to this worker."""

    RebalanceListener = _Listener

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    def lag(self, tp: TP, next_offset: int) -> int:
        """See :meth:`KafkaBackend.lag`."""
        waiting: int = self._thread.waiting(tp, next_offset)
        return waiting

    async def report(self, positions: Mapping[TP, int]) -> None:
        """See :meth:`KafkaBackend.report`."""
        await self._thread.report(positions)

    def _to_message(self, tp: TP, record: Any) -> FoldMessage:
        fetched, follows = record
        headers = dict(fetched.headers)
        stated = headers.get(TIMESTAMP)
        timestamp_s = fetched.timestamp / 1e3 if stated is None else int(stated) / 1e6
        return FoldMessage(
            fetched.topic,
            fetched.partition,
            fetched.offset,
            timestamp_s,
            fetched.timestamp_type,
            [],
            fetched.key,
            fetched.value or b"",
            None,
            tp=TP(*tp),
            generation_id=self.app.consumer_generation_id,
            follows=follows,
            foreign=stated is None,
        )


class _Transport(driver.Transport):  # type: ignore[misc]
    """The brokers of ``log``."""

    Consumer = _Consumer
    Producer = NoProducer

    def __init__(self, *args: Any, log: KafkaLog, group: str, session_timeout_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.log = log
        self.group = group
        self.session_timeout_s = session_timeout_s
