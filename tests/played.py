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
from monitor.live.tables import FoldTable
from monitor.log.embedded import EmbeddedLog
from monitor.log.topics import CONTRIBUTIONS, EVENTS

APP = make_app("test", "memory://")


class Played:
    """Takes the place of the engine: hands records to the handlers, one by one, when it is told to."""

    def __init__(self, log: EmbeddedLog, params: Params) -> None:
        self._log = log
        self.checkpointer = Checkpointer(log)
        self._tables: list[FoldTable[Any]] = []
        handlers = {
            EVENTS: ParcelHandler(self, params, log.partitions),  # type: ignore[arg-type]
            CONTRIBUTIONS: FleetHandler(self, params, log.partitions),  # type: ignore[arg-type]
        }
        self._handlers: dict[str, Any] = handlers
        headers = log.headers()
        self.next = {(topic, p): headers.get((topic, p), 0) for topic in handlers for p in range(log.topics()[topic])}
        for table in self._tables:
            tps = {TP(table.changelog_topic_name, p) for p in range(table.partitions)}
            asyncio.run(table.data.on_rebalance(tps, set(), tps))
        for topic, partition in self.next:
            handlers[topic].recovered(partition)

    def table(
        self, name: str, *, topic: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
    ) -> FoldTable[Any]:
        """A table, as the engine makes it."""
        partitions = self._log.topics()[topic]
        table: FoldTable[Any] = FoldTable(
            APP, name=name, partitions=partitions, changelog=self._log, encode=encode, decode=decode
        )
        self._tables.append(table)
        self.checkpointer.add_table(table)
        return table

    def fold(self, topic: str, partition: int, limit: int) -> int:
        """Fold up to ``limit`` records of a partition; how many there were."""
        records = self._log.read(topic, partition, self.next[topic, partition], limit)
        for record in records:
            self._handlers[topic].apply(partition, record.offset, record.timestamp_us, record.value)
            self.next[topic, partition] = record.offset + 1
            self.checkpointer.applied(topic, partition, record.offset + 1)
        return len(records)

    def fold_all(self) -> None:
        """Fold and save until nothing is left."""
        assert self.checkpointer.commit()
        while sum(self.fold(topic, p, 1_000) for topic, p in self.next):
            assert self.checkpointer.commit()


@contextmanager
def a_log(partitions: int) -> Iterator[EmbeddedLog]:
    with tempfile.TemporaryDirectory() as directory, EmbeddedLog.open(Path(directory), partitions=partitions) as log:
        log._connection.execute("PRAGMA synchronous = OFF")  # nobody pulls the plug here
        yield log
