"""The state of the shards on Kafka, for the workers that own them.

Each shard has a transactional id of its own. Whoever acquires the shard opens a producer with it, and from then on the
brokers refuse everything of the one before. A checkpoint is one transaction: outputs, changed values and deletions,
and behind them the position.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Final, TypeVar

import msgspec

from monitor.log.kafka.administration import administration
from monitor.log.kafka.log import KafkaLog
from monitor.log.kafka.offsets import Place
from monitor.log.kafka.reading import GENERATION, TIMESTAMP
from monitor.log.kafka.states import POSITION_KEY, Position, key_prefix
from monitor.log.kafka.transactions import TransactionalProducer
from monitor.log.records import Change, Checkpoint, FencedError, LogBusyError, LogError, Shard
from monitor.log.topics import EVENTS

_LOG: Final = logging.getLogger(__name__)
TRANSACTION_S: Final = 30.0
_THREADS: Final = 32
_SHOW_S: Final = 0.05
_ASK_AGAIN_S: Final = 1.0
_CHANGES_PER_TURN: Final = 5_000  # other tasks run in between

_T = TypeVar("_T")


class KafkaState:
    """Implements :class:`~monitor.log.protocol.StateStore` for a log that was opened with a version of the state.

    What blocks runs in threads. Methods raise :class:`LogError`.
    """

    def __init__(self, log: KafkaLog) -> None:
        self._log = log
        self._generation = log.generation
        self._owned: dict[Shard, TransactionalProducer] = {}
        self._last: dict[Shard, Position | None] = {}  # the position found when a shard was acquired, or written last
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="kafka-state")

    @property
    def generation(self) -> str:
        """The generation that the log had when the store was made; one that begins later has a store of its own."""
        return self._generation

    async def acquire(self, shard: Shard) -> int:
        """Shut the last owner out, and return the offset of the next record to fold.

        Raises :class:`LogError` if that lies behind the end of the source: then the log is not the one that was folded.
        """
        await self.release(shard)
        return await self._in_thread(lambda: self._acquire(shard))

    def _acquire(self, shard: Shard) -> int:
        log = self._log
        owner = self._opened(shard)
        try:
            position = self._position(shard)
            folded = 0 if position is None else position.next_offset
            end = log.reader.end(log.place_of(*shard, self._generation))
            if folded > end:
                raise LogError(
                    f"{log.name}: the state of {shard.topic}-{shard.partition} is of {folded} records, but there are "
                    f"only {end}: the topic was made anew or restored. `run --rebuild` derives the state again."
                )
        except BaseException:
            owner.close()
            raise
        self._owned[shard], self._last[shard] = owner, position
        return folded

    def _opened(self, shard: Shard) -> TransactionalProducer:
        """A new producer for a shard, that shuts out every other."""
        log = self._log
        owner = TransactionalProducer(log.settings, log.layout.owner(shard, self._generation), TRANSACTION_S)
        try:
            owner.open()
        except BaseException:
            owner.close()
            raise
        return owner

    def _position(self, shard: Shard) -> Position | None:
        """How far a shard is folded, once no transaction is open."""
        state = self._log.state_of(shard, self._generation)
        return self._log.states.positions(self._log.reader.settled_ends([state])).get(state)

    async def release(self, shard: Shard) -> None:
        """Give the shard up."""
        owner = self._owned.pop(shard, None)
        if owner is not None:
            await self._in_thread(owner.close)

    async def restore(self, shard: Shard) -> AsyncIterator[Sequence[Change]]:
        """All of the shard's state in parts."""
        place = self._log.state_of(shard, self._generation)
        changes = await self._in_thread(lambda: self._log.states.changes(place, -1, self._log.reader.end(place)))
        while part := await self._in_thread(lambda: list(islice(changes, _CHANGES_PER_TURN))):
            yield part

    async def write(self, work: Sequence[Checkpoint]) -> list[tuple[Checkpoint, LogError]]:
        """Write all checkpoints at the same time, each in a transaction of its own."""
        outcomes = await asyncio.gather(*(self._in_thread(partial(self._write, one)) for one in work))
        return [(one, error) for one, error in zip(work, outcomes, strict=True) if error is not None]

    def _write(self, checkpoint: Checkpoint) -> LogError | None:
        shard = checkpoint.shard
        owner = self._owned.get(shard)
        if owner is None:
            return self._not_owned(shard)
        position = Position(checkpoint.next_offset, self._generation, uuid.uuid4().hex)
        try:
            self._check(checkpoint)
            owner.begin()
            try:
                places = self._produce(owner, checkpoint, position)
            except BaseException:
                owner.give_up()
                raise
            owner.commit()
        except FencedError as error:
            self._lose(shard, owner)
            return error
        except LogError as error:
            return error if owner.usable else self._settle(shard, owner, position, error)
        else:
            self._last[shard] = position
        self._show(places)
        return None

    def _not_owned(self, shard: Shard) -> FencedError:
        return FencedError(f"{self._log.name}: this worker does not own {shard.topic}-{shard.partition}.")

    def _lose(self, shard: Shard, owner: TransactionalProducer) -> None:
        owner.close()
        if self._owned.get(shard) is owner:
            del self._owned[shard]

    def _settle(
        self, shard: Shard, owner: TransactionalProducer, written: Position, error: LogError
    ) -> LogError | None:
        """What became of a checkpoint whose producer broke down.

        A new producer makes the brokers settle what the old one left; then the checkpoint is there, or it never will
        be. Asks until it is known. If the one before is not the last any more, another worker has taken the shard over
        and written, and what this one has in memory is out of date.
        """
        while self._owned.get(shard) is owner:
            try:
                fresh = self._opened(shard)
                found = self._position(shard)
            except LogBusyError as busy:
                _LOG.warning("the outcome of a checkpoint is not known yet: %s", busy)
                time.sleep(_ASK_AGAIN_S)
            except LogError as hopeless:
                self._lose(shard, owner)
                return hopeless
            else:
                owner.close()
                self._owned[shard] = fresh
                if found == written:
                    self._last[shard] = written
                    return None
                if found == self._last[shard]:
                    return LogBusyError(str(error))
                self._lose(shard, fresh)
                return FencedError(f"{self._log.name}: another worker has taken over and written ({error}).")
        return self._not_owned(shard)

    def _check(self, checkpoint: Checkpoint) -> None:
        if any(record.topic == EVENTS for record in checkpoint.outputs):
            raise LogError("A checkpoint cannot write to the topic events: it holds only what came from outside.")
        if checkpoint.generation != self._generation:
            raise LogError(f"{self._log.name} has begun another generation; start `run` again.")

    def _produce(self, owner: TransactionalProducer, checkpoint: Checkpoint, position: Position) -> set[Place]:
        """Add all of a checkpoint to the transaction of its owner; where to."""
        produce = owner.produce
        topic, partition = self._log.state_of(checkpoint.shard, self._generation)
        places = {(topic, partition)}
        for record in checkpoint.outputs:
            place = self._log.place_of(record.topic, record.partition, self._generation)
            places.add(place)
            produce(
                *place,
                record.key,
                record.value,
                timestamp=max(record.timestamp_us // 1_000, 1),
                headers=[(TIMESTAMP, b"%d" % record.timestamp_us), (GENERATION, self._generation.encode())],
            )
        prefixes = {table: key_prefix(table) for table in {change.table for change in checkpoint.changes}}
        for table, key, value in checkpoint.changes:
            produce(topic, partition, prefixes[table] + key, value)
        produce(topic, partition, POSITION_KEY, msgspec.json.encode(position))
        return places

    def _show(self, places: set[Place]) -> None:
        """Let readers see what was committed before anybody hears of it, if no other worker's transaction is in the
        way for long; a failure is none of the checkpoint.
        """
        with suppress(LogError):
            ends = self._log.reader.ends(places, committed=False)
            self._log.reader.ends_beyond(ends, _SHOW_S)

    async def trim(self, shard: Shard, before_offset: int) -> None:
        """Delete the records of a derived source topic below ``before_offset``."""
        await self._in_thread(lambda: self._trim(shard, before_offset))

    def _trim(self, shard: Shard, before_offset: int) -> None:
        if shard.topic == EVENTS:
            raise LogError("The topic events is the log of record; it is never trimmed.")
        place = self._log.place_of(*shard, self._generation)
        before = min(before_offset, self._log.reader.end(place))
        if before > self._log.reader.starts([place])[place]:
            with administration(self._log.settings) as admin:
                admin.delete_records(*place, before)

    async def close(self) -> None:
        """Give all shards up."""
        for shard in list(self._owned):
            await self.release(shard)
        self._threads.shutdown()

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
