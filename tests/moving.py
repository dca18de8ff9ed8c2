"""Workers that pass shards to and fro, without Faust and without brokers.

Real are :mod:`monitor.live`'s shards, tables and checkpointer; the log is a toy in memory that shuts out the last
owner of a shard, takes its time, and refuses, as a test tells it to.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

from faust.types import TP

from monitor.live.checkpoint import Checkpointer
from monitor.live.faust_app import make_app
from monitor.live.shards import Shards
from monitor.live.tables import FoldTable
from monitor.log.records import Change, Checkpoint, FencedError, LogError, NewRecord, Shard

APP = make_app("moving")
SOURCE = "events"


class Cluster:
    """What outlives the workers. A record is a number, and stands for itself in the outputs."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.records: dict[Shard, list[int]] = {Shard(SOURCE, p): [] for p in range(partitions)}
        self.first: dict[Shard, int] = defaultdict(int)
        self.headers: dict[Shard, int] = {}
        self.state: dict[Shard, dict[tuple[str, bytes], bytes]] = defaultdict(dict)
        self.outputs: dict[Shard, list[NewRecord]] = defaultdict(list)
        self.owners: dict[Shard, object] = {}

    def told(self, partition: int) -> list[int]:
        """The outputs of a shard."""
        return [int(record.value) for record in self.outputs[Shard(SOURCE, partition)]]

    def sums(self) -> list[int]:
        """The sum of what was folded of each shard, as saved."""
        return [int(self.state[shard].get(("sums", b"sum"), b"0")) for shard in self.records]


class ToyStore:
    """One worker's access to the state. ``reading`` and ``writing``: it waits until they are set."""

    generation = "g1"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._tokens: dict[Shard, object] = {}
        self.calls: list[tuple[str, Shard]] = []
        self.error: LogError | None = None
        self.reading, self.writing = asyncio.Event(), asyncio.Event()
        self.reading.set()
        self.writing.set()

    async def acquire(self, shard: Shard) -> int:
        self.calls.append(("acquire", shard))
        self._tokens[shard] = self._cluster.owners[shard] = object()
        await asyncio.sleep(0)
        return self._cluster.headers.get(shard, 0)

    async def release(self, shard: Shard) -> None:
        self.calls.append(("release", shard))
        del self._tokens[shard]

    async def restore(self, shard: Shard) -> AsyncIterator[Sequence[Change]]:
        self.calls.append(("restore", shard))
        for offset, ((table, key), value) in enumerate(list(self._cluster.state[shard].items())):
            await self.reading.wait()
            yield [Change(offset, table, key, value)]
        await self.reading.wait()
        yield []

    async def write(self, work: Sequence[Checkpoint]) -> list[tuple[Checkpoint, LogError]]:
        tokens = {one.shard: self._tokens[one.shard] for one in work}
        # As a log in another thread does: what has begun is done, even if nobody waits for it any more.
        return await asyncio.shield(asyncio.ensure_future(self._write(work, tokens)))

    async def _write(
        self, work: Sequence[Checkpoint], tokens: dict[Shard, object]
    ) -> list[tuple[Checkpoint, LogError]]:
        await self.writing.wait()
        failed: list[tuple[Checkpoint, LogError]] = []
        for one in work:
            shard = one.shard
            if self._cluster.owners[shard] is not tokens[shard]:
                failed.append((one, FencedError("another worker has it")))
            elif self.error is not None:
                failed.append((one, self.error))
            else:
                self._cluster.outputs[shard] += one.outputs
                self._cluster.state[shard] |= {(c.table, c.key): c.value for c in one.changes if c.value is not None}
                self._cluster.headers[shard] = one.next_offset
        return failed


class ToyBackend:
    """As much of a backend as shards see. Source topics have other names here."""

    def __init__(self, cluster: Cluster, store: ToyStore) -> None:
        self._cluster = cluster
        self.store = store
        self.partitions = {SOURCE: cluster.partitions}

    def topic(self, source: str) -> str:
        return f"toy-{source}"

    async def bounds(self, shard: Shard) -> tuple[int, int]:
        return self._cluster.first[shard], len(self._cluster.records[shard])


class Worker:
    """Sums up the numbers of the shards it holds; each number is sent out again."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.store = ToyStore(cluster)
        backend: Any = ToyBackend(cluster, self.store)
        self.checkpointer = Checkpointer(self.store)
        self.shards = Shards(backend, self.checkpointer, {SOURCE: self}, self.save)
        self.sums: FoldTable[int] = FoldTable(
            APP,
            name="sums",
            source=SOURCE,
            partitions=cluster.partitions,
            encode=lambda value: b"%d" % value,
            decode=int,
        )
        self.shards.add_table(self.sums)
        self.checkpointer.add_table(self.sums)
        self.folds: dict[int, int] = {}  # by partition, the sum that was restored
        self.failure: Exception | None = None

    def recovered(self, partition: int) -> None:
        assert partition not in self.folds
        self.folds[partition] = self.sums.partition(partition).get("sum", 0)

    def released(self, partition: int) -> None:
        del self.folds[partition]

    async def take(self, *partitions: int) -> bool:
        """Be assigned these, and a topic that is none of a fold's."""
        topic = f"toy-{SOURCE}"
        return await self.shards.take({TP(topic, p) for p in partitions} | {TP("else", 0)})

    def fold(self, partition: int, most: int = 1_000_000) -> int:
        """Fold what is there, as the engine does; how many records it was."""
        shard = Shard(SOURCE, partition)
        expected = self.shards.expected(shard)
        if expected is None or self.checkpointer.overfull():
            return 0
        state = self.sums.partition(partition)
        rest = self._cluster.records[shard][expected : expected + most]
        for offset, number in enumerate(rest, expected):
            state["sum"] = state.get("sum", 0) + number
            self.checkpointer.emit(shard, "contributions", 0, None, b"%d" % number, 0)
            self.checkpointer.applied(shard, offset + 1)
        return len(rest)

    async def save(self) -> bool:
        """Write a checkpoint, as the engine does: a worker that is shut out ends."""
        if self.failure is not None:
            return False
        try:
            return await self.checkpointer.commit()
        except LogError as error:
            self.failure = error
            return False

    async def finish(self) -> bool:
        """Save and fold until nothing is left of its shards; False if it cannot."""
        await self.save()
        for partition in range(self._cluster.partitions):
            self.fold(partition)
        return await self.save()
