"""The Faust app of the live monitor, without what Faust brings along: its web server and command line.

Faust's table recovery is replaced here too. Faust reads changelog topics record by record inside its own consumer,
under its own assignment; here a shard's state is taken over as one, in bulk, from wherever the log keeps it
(:class:`ShardKeeper`), and partitions are folded again when that is done.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import faust
import structlog
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP
from faust.types.tables import CollectionT
from mode import Service

from monitor.log.records import LogBusyError

_LOG: Final = structlog.get_logger(__name__)
_RETRY_S: Final = 1.0
_BUFFERED_RECORDS: Final = 200  # a record holds up to some hundred events


class ShardKeeper(Protocol):
    """Who holds the state of the partitions that Faust assigns to this worker."""

    async def give_up(self) -> None:
        """Save what is pending: partitions may be about to go to another worker."""
        ...

    async def take(self, assigned: set[TP]) -> bool:
        """Hold the state of exactly these partitions; False if another assignment came meanwhile."""
        ...

    def position(self, tp: TP) -> int:
        """The offset of the next record to fold."""
        ...


class FoldApp(faust.App):  # type: ignore[misc]
    """A Faust app whose shards are kept by ``keeper``, to be set before it starts."""

    keeper: ShardKeeper

    def fold_position(self, tp: TP) -> int:
        """Where the fold of a partition stands; transports begin to read there."""
        return self.keeper.position(tp)

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super()._on_partitions_revoked(revoked)
        if not self.should_stop:
            await self.keeper.give_up()

    async def on_stop(self) -> None:
        """Stop, also in the middle of a rebalance: the fetcher would then take its end for an order to begin again."""
        self.rebalancing = False
        await super().on_stop()

    def _create_directories(self) -> None:
        """Create none: state is in the log, and Faust's data directory would stay empty."""


class _Recovery(Recovery):  # type: ignore[misc]
    """After each assignment: take the shards over, then let the streams go on."""

    @Service.task  # type: ignore[untyped-decorator]
    async def _restart_recovery(self) -> None:
        while not await self.wait_for_stopped(self.signal_recovery_start):
            self.signal_recovery_start.clear()
            generation = self._generation_id
            try:
                taken = await self.app.keeper.take(self.app.consumer.assignment())
                if taken and not self.signal_recovery_start.is_set():
                    await self._resume_streams(generation_id=generation)
            except LogBusyError as error:
                _LOG.error("shards_not_taken", reason=str(error), retry_in_s=_RETRY_S)
                await self.sleep(_RETRY_S)
                self.signal_recovery_start.set()
            except Exception as error:
                await self.crash(error)
                return

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        await coro


class _Tables(TableManager):  # type: ignore[misc]
    """Tables without changelog topics of Faust's own."""

    @property
    def recovery(self) -> Recovery:
        recovery: Recovery | None = self._recovery  # type: ignore[has-type]
        if recovery is None:
            recovery = self._recovery = _Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return recovery

    def add(self, table: CollectionT) -> CollectionT:
        self[table.name] = table
        return table

    async def on_start(self) -> None:
        # Faust sleeps a second here, to let its other services come first.
        await self._update_channels()
        await self.recovery.start()

    async def _update_channels(self) -> None:
        self._tables_finalized.set()
        for table in self.values():
            await table.maybe_start()
        self._tables_registered.set()

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        # Not here: as long as this callback runs, no heartbeat is sent to the group.
        self._recovery_started.set()
        await self._update_channels()
        await self.recovery.on_rebalance(assigned, revoked, newly_assigned, generation_id)


def make_app(group: str) -> FoldApp:
    """An app of the workers that share the work under the name ``group``; it needs a transport and a keeper yet."""
    return FoldApp(
        group,
        store="memory://",
        autodiscover=False,
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
        stream_buffer_maxsize=_BUFFERED_RECORDS,
        stream_wait_empty=False,  # positions are in the checkpoints: unfinished records are simply read again
        table_standby_replicas=0,
        topic_disable_leader=True,
        topic_allow_declare=False,
        cython_optimizations=True,
        TableManager=_Tables,
    )
