"""Shards that come and go: the partitions Faust assigns to this worker, each with its state.

Rules this module keeps:

1. A shard is acquired before its state is read: from then on nobody else can write it, so what is read is all there is.
2. It is folded only when its tables are restored whole, from the position that was saved with them.
3. Before partitions may move, what is pending is saved. What could not be saved is void for a shard that then goes, and
   stays pending for one that does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import structlog
from faust.types import TP

from monitor.live.checkpoint import Checkpointer
from monitor.live.tables import FoldTable
from monitor.log.protocol import Backend
from monitor.log.records import LogError, Shard

_LOG: Final = structlog.get_logger(__name__)
_GIVE_UP_S: Final = 10.0


class Folds(Protocol):
    """The part of a handler that follows its shards."""

    def recovered(self, partition: int) -> None:
        """The tables of a partition are restored here."""
        ...

    def released(self, partition: int) -> None:
        """A partition has gone."""
        ...


class Shards:
    """Implements :class:`~monitor.live.faust_app.ShardKeeper`."""

    def __init__(
        self,
        backend: Backend,
        checkpointer: Checkpointer,
        folds: Mapping[str, Folds],
        save: Callable[[], Awaitable[bool]],
    ) -> None:
        self._backend = backend
        self._checkpointer = checkpointer
        self._folds = folds
        self._save = save
        self._tables: dict[str, dict[str, FoldTable[Any]]] = {}
        self._sources = {backend.topic(source): source for source in backend.partitions}
        self._acquired: set[Shard] = set()
        self._held: set[Shard] = set()  # acquired and restored
        self._moves = 0
        self._saving: asyncio.Future[bool] | None = None
        self._moving = asyncio.Lock()
        self.ready = asyncio.Event()
        self.restored_entries = 0

    def add_table(self, table: FoldTable[Any]) -> None:
        """Restore ``table`` with the shards of its source."""
        self._tables.setdefault(table.source, {})[table.name] = table

    def expected(self, shard: Shard) -> int | None:
        """The offset of the next record to fold; ``None`` when the shard is not held."""
        return self._checkpointer.positions.get(shard) if shard in self._held else None

    def position(self, tp: TP) -> int:
        """See :class:`~monitor.live.faust_app.ShardKeeper`."""
        return self._checkpointer.positions.get(Shard(self._sources[tp.topic], tp.partition), 0)

    async def give_up(self) -> None:
        """See :class:`~monitor.live.faust_app.ShardKeeper`."""
        self._moves += 1
        # Not cancelled if it takes too long: what the log is being told would be told to it again.
        self._saving = asyncio.ensure_future(self._save())
        done, _ = await asyncio.wait((self._saving,), timeout=_GIVE_UP_S)
        if not done:
            _LOG.warning("rebalance_without_checkpoint", records=self._checkpointer.pending_records)

    async def take(self, assigned: set[TP]) -> bool:
        """See :class:`~monitor.live.faust_app.ShardKeeper`."""
        wanted = {Shard(self._sources[tp.topic], tp.partition) for tp in assigned if tp.topic in self._sources}
        moves = self._moves
        async with self._moving:
            gone, new = sorted(self._acquired - wanted), sorted(wanted - self._held)
            for shard in gone:
                await self._let_go(shard)
            if new:
                self._acquired.update(new)
                for shard, position in zip(new, await self._acquire(new), strict=True):
                    if not await self._restore(shard, position, moves):
                        return False
        entries = self.restored_entries
        _LOG.info("shards_held", held=len(self._held), taken=len(new), given_up=len(gone), entries=entries)
        self.ready.set()
        return True

    async def release_all(self) -> None:
        """Give back what is held; the engine has ended."""
        for shard in sorted(self._acquired):
            await self._let_go(shard)

    async def _acquire(self, shards: list[Shard]) -> list[int]:
        """Acquire these and return their positions. If one cannot be had, the others have ended too when it raises:
        what is still under way must not meet the next try."""
        ended = await asyncio.gather(*map(self._backend.store.acquire, shards), return_exceptions=True)
        for one in ended:
            if isinstance(one, BaseException):
                raise one
        return [one for one in ended if isinstance(one, int)]

    async def _let_go(self, shard: Shard) -> None:
        self._checkpointer.drop(shard)
        for table in self._tables.get(shard.topic, {}).values():
            table.close(shard.partition)
        if shard in self._held:
            self._held.remove(shard)
            self._folds[shard.topic].released(shard.partition)
        self._acquired.remove(shard)
        await self._backend.store.release(shard)

    async def _restore(self, shard: Shard, position: int, moves: int) -> bool:
        first, end = await self._backend.bounds(shard)
        if position > end:
            raise LogError(
                f"The state has folded {shard.topic}-{shard.partition} up to offset {position}, but the log ends at "
                f"{end}: they do not belong together. Start with --rebuild, or restore a backup."
            )
        tables = self._tables.get(shard.topic, {})
        for table in tables.values():
            table.open(shard.partition)
        async for part in self._backend.store.restore(shard):
            if moves != self._moves:
                return False
            for name, table in tables.items():
                table.restore(shard.partition, [change for change in part if change.table == name])
            self.restored_entries += len(part)
        self._checkpointer.hold(shard, max(position, first))
        self._held.add(shard)
        self._folds[shard.topic].recovered(shard.partition)
        return True
