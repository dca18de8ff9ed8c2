"""The live driver without Faust: real log, tables, checkpointer and handlers; a test says what is folded, and when."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faust.types import TP

from monitor.core.params import Params
from monitor.live.checkpoint import Checkpointer
from monitor.live.faust_app import make_app
from monitor.live.folding import FleetHandler, ParcelHandler
from monitor.live.shards import Shards
from monitor.live.tables import FoldTable
from monitor.log.embedded import EmbeddedLog
from monitor.log.embedded.transport import EmbeddedBackend
from monitor.log.records import LogRecord, Shard
from monitor.log.topics import CONTRIBUTIONS, EVENTS

APP = make_app("test")


class Played:
    """Takes the place of the engine: hands records to the handlers, one by one, when it is told to."""

    def __init__(self, log: EmbeddedLog, params: Params) -> None:
        self._log = log
        self._backend = EmbeddedBackend(log)
        self.checkpointer = Checkpointer(self._backend.store)
        self._handlers: dict[str, Any] = {}
        self._shards = Shards(self._backend, self.checkpointer, self._handlers, self.checkpointer.commit)
        self._handlers[EVENTS] = ParcelHandler(self, params, log.partitions)  # type: ignore[arg-type]
        self._handlers[CONTRIBUTIONS] = FleetHandler(self, params, log.partitions)  # type: ignore[arg-type]
        assigned = {TP(topic, p) for topic, count in self._backend.partitions.items() for p in range(count)}
        assert asyncio.run(self._shards.take(assigned))

    @property
    def next(self) -> dict[Shard, int]:
        """The offset of the next record of each shard."""
        return self.checkpointer.positions

    def table(
        self, name: str, *, topic: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
    ) -> FoldTable[Any]:
        """A table, as the engine makes it."""
        partitions = self._backend.partitions[topic]
        table: FoldTable[Any] = FoldTable(
            APP, name=name, source=topic, partitions=partitions, encode=encode, decode=decode
        )
        self._shards.add_table(table)
        self.checkpointer.add_table(table)
        return table

    def apply(self, record: LogRecord) -> None:
        """Fold one record."""
        shard = Shard(record.topic, record.partition)
        self._handlers[record.topic].apply(
            record.partition, record.offset, record.timestamp_us, record.value, record.foreign
        )
        self.checkpointer.applied(shard, record.offset + 1)

    def fold(self, topic: str, partition: int, limit: int) -> int:
        """Fold up to ``limit`` records of a partition; how many there were."""
        records = self._log.read(topic, partition, self.next[Shard(topic, partition)], limit)
        for record in records:
            self.apply(record)
        return len(records)

    def save(self) -> None:
        """Write a checkpoint."""
        assert asyncio.run(self.checkpointer.commit())

    def fold_all(self) -> None:
        """Fold and save until nothing is left."""
        self.save()
        while sum(self.fold(topic, p, 1_000) for topic, p in list(self.next)):
            self.save()


@contextmanager
def a_log(partitions: int) -> Iterator[EmbeddedLog]:
    with tempfile.TemporaryDirectory() as directory, EmbeddedLog.open(Path(directory), partitions=partitions) as log:
        log._connection.execute("PRAGMA synchronous = OFF")  # nobody pulls the plug here
        yield log
